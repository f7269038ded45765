"""A hostile client, in a process of its own: one that costs the server more than itself.

``python -m tests.support.hostile FILE`` does for some seconds what the file says, and prints as
JSON what became of it. Where the server closes its connection it makes another one.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from typing_extensions import override

from tests.support.http1 import Address
from tests.support.processes import Child

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Attack:
    """What the hostile client does: ``way`` names one of ``WAYS`` (``__main__``).

    Its requests have the fields ``repeated``, which cost it a byte each from the second one on, and
    in turn one of the lists of ``fresh`` ones. ``per_second`` counts the requests, or bursts of
    frames, of each of its ``connections``.
    """

    way: str
    repeated: Fields = ()
    fresh: Sequence[Fields] = ((),)
    per_second: int = 1000
    connections: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What became of it.

    How much was sent, how often each status was answered, and how often the server had enough.
    """

    sent: int
    statuses: dict[str, int]
    closed: int

    @override
    def __str__(self) -> str:
        answers = [f"{count} x {status}" for status, count in self.statuses.items()]
        return f"{self.sent} sent, {', '.join(answers) or 'no'} answers, {self.closed} x closed"


class Hostile:
    """A hostile client for the length of a ``with`` block, or as many ``seconds``."""

    def __init__(
        self,
        attack: Attack,
        address: Address,
        host: str,
        directory: Path,
        *,
        seconds: float,
        tls: bool = False,
    ) -> None:
        folder = directory / "hostile"
        folder.mkdir()
        orders = folder / "attack.json"
        document = {"address": address, "host": host, "tls": tls, "seconds": seconds}
        orders.write_text(json.dumps({**document, "attack": asdict(attack)}))
        self._process = Child([sys.executable, "-m", "tests.support.hostile", str(orders)], folder)

    def __enter__(self) -> Self:
        self._process.wait_until(lambda: bool(self._process.stdout()))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def report(self) -> Report:
        """Wait for its end."""
        assert self._process.wait(within=20.0) == 0, self._process.stderr()
        return Report(**json.loads(self._process.stdout()[-1]))
