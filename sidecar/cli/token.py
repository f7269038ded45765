"""``sidecar token inspect``: decodes a token without verifying it."""

import base64
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from hashlib import sha256

from sidecar.check import jws
from sidecar.check.refusal import Refusal
from sidecar.cli.texts import dated, read_token

_MAXIMUM_BYTES = 65536


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser(
        "inspect",
        help="decode the token on standard input, without verifying it",
        description="Decode the token on standard input, without verifying it.",
    )


def run(_: Namespace) -> int:
    """Print header, claims and dates; 1 if the token is not well-formed."""
    text = read_token()
    token = jws.parse(text, _MAXIMUM_BYTES)
    if isinstance(token, Refusal):
        sys.stderr.write(f"{token.reason.sentence} ({token.reason.label}: {token.detail})\n")
        return 1
    header = json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "=="))
    now = time.time()
    sys.stdout.write(
        "Not verified: anyone could have written this.\n"
        f"fingerprint: {sha256(text.encode()).hexdigest()[:16]}\n"
        f"header: {_format_members(header)}\n"
        f"claims: {_format_members(token.claims)}\n"
    )
    for name in ("iat", "nbf", "exp"):
        if name in token.claims:
            sys.stdout.write(f"{name}: {dated(token.claims[name], now)}\n")
    return 0


def _format_members(members: dict[str, object]) -> str:
    # JSON in ASCII: escapes everything that a terminal might interpret.
    return json.dumps(members, indent=2)
