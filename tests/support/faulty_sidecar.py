"""The sidecar with a fault put in, for what no request can cause.

Run as ``python -m tests.support.faulty_sidecar FAULT serve …``.
"""

import runpy
import sys
import time

from sidecar.check.pipeline import Pipeline
from sidecar.shell.check import Checks
from sidecar.wire.grpc import completion_queue


def _break() -> None:
    def check(*_: object) -> None:
        raise RuntimeError("a bug")

    Pipeline.check = check  # type: ignore[method-assign, assignment]  # the fault


def _delay() -> None:
    """Have every check looked at when its deadline has passed, by a clock that is ahead."""
    defaults = Checks.__init__.__kwdefaults__
    assert defaults is not None
    defaults["clock"] = lambda: time.time() + 10


def _public_grpc() -> None:
    """Have grpcio lack what the fast gRPC server uses."""
    completion_queue._USED = ("Server.gone",)


if __name__ == "__main__":
    {"broken": _break, "late": _delay, "public-grpc": _public_grpc}[sys.argv.pop(1)]()
    runpy.run_module("sidecar", run_name="__main__")
