"""How far a check reaches: calls of our functions, their files, and switches between files.

Counted by ``sys.setprofile``, so the same every time: what a reader has to follow, and what Python
pays for besides the cryptography.
"""

import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType

import sidecar
from bench.figures import Figure
from bench.gateway import SESSION_COOKIE, check_request, with_bearer, with_cookie
from bench.in_process import sidecar_checks
from bench.mint import minting_gateway
from bench.service import Service

_BUDGETS = {
    "a new ES256 token": (85, 17, 28),
    "a token seen before": (70, 14, 22),
    "session token in": (95, 22, 38),
}
_OURS = str(Path(sidecar.__file__).parent)
_UNITS = ("calls", "files", "switches")


def measure(*, quick: bool) -> list[Figure]:
    """The calls, files and switches of three checks."""
    del quick  # each is counted once
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = Service(directory)
        checks = sidecar_checks(service, directory)
    # What is made once for all checks is made by one that is not counted.
    checks.expect_allow(service.check_request(service.token()))
    new = service.check_request(service.token())
    counted = {
        "a new ES256 token": _count(lambda: checks.answer(new)),
        "a token seen before": _count(lambda: checks.answer(new)),
    }
    with minting_gateway() as (gateway, minting):
        token = minting.begin_session(with_bearer(gateway.partner_token()))
        session = check_request(with_cookie(SESSION_COOKIE, token))
        minting.expect_allow(session)
        counted["session token in"] = _count(lambda: minting.answer(session))
    return [
        Figure(f"{check}: {unit}", (float(value),), "", float(budget))
        for check, values in counted.items()
        for unit, value, budget in zip(_UNITS, values, _BUDGETS[check], strict=True)
    ]


def _count(check: Callable[[], object]) -> tuple[int, int, int]:
    """The Python calls of a check, the files they are in, and how often the file changes."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_OURS):
            files.append(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        check()
    finally:
        sys.setprofile(None)
    switches = sum(1 for one, other in pairwise(files) if one != other)
    return len(files), len(set(files)), switches
