"""``sidecar validate``: a configuration held against every rule, its key files included."""

import sys
from argparse import ArgumentParser, Namespace

from sidecar.cli.options import add_configuration
from sidecar.config import KeyFiles, load


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)


def run(options: Namespace) -> int:
    """Print that the file is valid, its warnings on standard error; faults go to the caller."""
    configuration = load(options.configuration, KeyFiles.REQUIRED)
    for warning in configuration.warnings:
        sys.stderr.write(f"{warning.told(configuration.path)} (warning)\n")
    issuers = len({entry.issuer for entry in configuration.check.trust})
    routes = len(configuration.check.routes)
    sys.stdout.write(
        f"{configuration.path}: valid: {_counted(issuers, 'issuer')}, {_counted(routes, 'route')}\n"
    )
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
