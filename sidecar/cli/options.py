"""Options that several commands have."""

from argparse import ArgumentParser
from pathlib import Path


def add_configuration(parser: ArgumentParser) -> None:
    """``-c FILE``, as ``options.configuration``."""
    parser.add_argument(
        "-c",
        dest="configuration",
        metavar="FILE",
        type=Path,
        required=True,
        help="the configuration file",
    )
