"""``sidecar serve``: the program itself."""

from argparse import ArgumentParser, Namespace

from sidecar import app
from sidecar.cli.options import add_configuration


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)


def run(options: Namespace) -> int:
    """Serve until told to stop."""
    return app.serve(options.configuration)
