"""The command line. A command's module is imported only when that command is run.

Exit codes: 0 success, 1 a negative result, 2 wrong usage or a configuration that cannot be used.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from sidecar.errors import Fault

COMMANDS: Final = {
    "serve": "answer Envoy's checks until told to stop",
    "drain": "have Envoy send its clients elsewhere, and wait until they have gone",
    "validate": "say whether a configuration can be used, or everything that is wrong with it",
    "check": "decide about one request and say why, step by step",
    "test": "check a configuration with a file of requests and expected decisions",
    "keys": "make and rotate the keys that the gateway signs and seals with",
    "token": "decode a token",
    "metadata": "print the document that tells clients who issues tokens for a service",
    "schema": "print the JSON Schema of the configuration file",
}

_KID_OPTION: Final = "--revoke"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser(arguments[:1]).parse_args(_joined(arguments))
    try:
        status: int = options.run(options)
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed the pipe.
        sys.stderr.close()
        return 1
    return status


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with a kid joined to its option by ``=``.

    A kid may begin with a hyphen, and argparse would take it for another option.
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == _KID_OPTION:
            joined[-1] = f"{_KID_OPTION}={argument}"
        else:
            joined.append(argument)
    return joined


def parser(chosen: Collection[str]) -> ArgumentParser:
    """The parser of all commands; only those in ``chosen`` have their options."""
    root = ArgumentParser(
        prog="sidecar",
        description="Answers Envoy's ext_authz checks from the JWT a request carries.",
    )
    root.add_argument("--version", action="version", version=f"%(prog)s {version('authz-sidecar')}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name in chosen:
            module: Any = import_module(f"sidecar.cli.{name}")  # Any: modules have no protocol
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return root
