"""``sidecar schema``: the JSON Schema of the configuration file, for editors."""

import json
import sys
from argparse import ArgumentParser, Namespace

from pydantic import TypeAdapter

from sidecar.config.sections.gateway.root import Gateway
from sidecar.config.sections.sidecar import Sidecar


def add_arguments(_: ArgumentParser) -> None:
    """Declare the command's options: there are none."""


def run(_: Namespace) -> int:
    """Print the schema of both roles; the key ``role`` tells them apart."""
    either: TypeAdapter[Sidecar | Gateway] = TypeAdapter(Sidecar | Gateway)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | either.json_schema()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return 0
