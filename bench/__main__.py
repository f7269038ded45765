"""``python -m bench [--quick] [PART …]``: figures as ratios taken in one run, budgets beside them.

Everything runs on loopback, is bounded and stopped again. Absolute figures belong to the machine
and the moment. A budget that is missed is printed as MISSED and fails nothing.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.figures import Figure, baseline, document, machine, table

PARTS: Final = {
    "core": "the check in process, against a raw ES256 verification",
    "mint": "a credential in, a request token out, in process, against raw cryptography",
    "shapes": "the most expensive request there is, by shape, against the check of a new token",
    "calls": "Python calls and files of a check, counted",
    "scaling": "more routes, issuers, keys",
    "keys": "fetching keys, while checks are in flight",
    "floor": "a call that does nothing, against grpc's own servers",
    "whole": "over gRPC and through Envoy, against Envoy's jwt_authn",
    "edge": "minting through Envoy, by where the keys are, against Envoy alone",
    "flood": "good traffic beside a flood of unknown keys",
    "memory": "idle, and per remembered token",
    "start": "from exec to ready",
    "restart": "what a restart of the sidecar alone costs",
}
# bench.transport, behind it, has one length and does not fit into a quick run.
LONG: Final = frozenset({"floor"})

_HERE: Final = Path(__file__).parent


def main() -> None:
    """Measure the parts, print the table, write bench/latest.json."""
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer samples, in seconds")
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    chosen = options.parts or [part for part in PARTS if not (options.quick and part in LONG)]

    taken: dict[str, list[Figure]] = {}
    missing = []
    for part in chosen:
        sys.stderr.write(f"{part}: {PARTS[part]} …\n")
        measure: Callable[..., list[Figure]] = import_module(f"bench.{part}").measure
        try:
            taken[part] = measure(quick=options.quick)
        except Exception as error:  # the other parts are worth having
            missing.append(f"{part} could not be measured: {error!r}")

    before = baseline(_HERE / "baseline.json")
    print(table(taken, before))
    print(*missing, sep="\n")
    print(f"measured on: {_told(machine())}")
    print(f"baseline on: {_told(before.get('machine', {}))}")
    (_HERE / "latest.json").write_text(json.dumps(document(taken), indent=2) + "\n")


def _told(kind: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in kind.items()) or "nothing yet"


if __name__ == "__main__":
    main()
