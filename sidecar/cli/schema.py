"""``sidecar schema``: the JSON Schema of the configuration file, for editors."""

import json
import sys
from argparse import ArgumentParser, Namespace

from sidecar.config.models import Sidecar


def add_arguments(_: ArgumentParser) -> None:
    """Declare the command's options: there are none."""


def run(_: Namespace) -> int:
    """Print the schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema"
    } | Sidecar.model_json_schema()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return 0
