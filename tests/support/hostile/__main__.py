"""The process of a hostile client."""

import json
import ssl
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.support.hostile import Attack, Fields, Report, http1_ways, http2_ways
from tests.support.hostile.target import Target

_RECONNECTS: Final = 100
WAYS: Final = {**http2_ways.WAYS, **http1_ways.WAYS}


def main() -> None:
    """Be the hostile client."""
    orders: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    attack = _read(orders["attack"])
    context = None
    if orders["tls"]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1" if attack.way in http1_ways.WAYS else "h2"])
    print("begun", flush=True)
    until = time.monotonic() + orders["seconds"]
    targets = [
        Target(tuple(orders["address"]), orders["host"], context, until)
        for _ in range(attack.connections)
    ]
    with ThreadPoolExecutor(len(targets)) as threads:
        list(threads.map(lambda target: _attack(target, attack), targets))
    report = Report(
        sum(target.sent for target in targets),
        dict(sum((target.statuses for target in targets), Counter())),
        sum(target.closed for target in targets),
    )
    print(json.dumps(asdict(report)), flush=True)


def _attack(target: Target, attack: Attack) -> None:
    """On one connection after another, until the time is over."""
    while target.goes_on and target.closed <= _RECONNECTS:
        try:
            WAYS[attack.way](target, attack)
        except OSError:
            target.closed += 1


def _read(document: dict[str, Any]) -> Attack:
    fresh = [_fields(each) for each in document["fresh"]]
    return Attack(**{**document, "repeated": _fields(document["repeated"]), "fresh": fresh})


def _fields(document: list[list[str]]) -> Fields:
    return [(name, value) for name, value in document]


if __name__ == "__main__":
    main()
