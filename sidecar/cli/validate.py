"""``sidecar validate``: checks a configuration against every rule, including its key files."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from sidecar.check.trust import TrustEntry
from sidecar.cli.options import add_configuration
from sidecar.config import KeyFiles, load


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)


def run(options: Namespace) -> int:
    """Print that the file is valid, its warnings on standard error; faults go to the caller."""
    configuration = load(options.configuration, KeyFiles.REQUIRED)
    for warning in configuration.warnings:
        sys.stderr.write(f"{warning.format(configuration.path)} (warning)\n")
    counts = [
        _counted(len(_issuers(configuration.check.trust)), "issuer"),
        _counted(len(configuration.check.routes), "route"),
    ]
    if configuration.gateway is not None:
        counts.insert(0, _counted(len(configuration.gateway.credentials), "credential"))
    sys.stdout.write(f"{configuration.path}: valid: {', '.join(counts)}\n")
    return 0


def _issuers(trust: Iterable[TrustEntry]) -> set[str]:
    """The trusted issuers; a pattern counts as one where any value is accepted."""
    return {issuer for entry in trust for issuer in entry.issuers or {str(entry.pattern)}}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
