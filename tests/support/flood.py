"""Many checks at once from a process of its own, straight to the sidecar's socket.

``python -m tests.support.flood SOCKET FILE PER_SECOND`` sends each line of the file as a token and
prints, as JSON, how often each HTTP status was answered (200 is an allow, a name is a call that
failed) and the seconds it took.
"""

import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Semaphore
from typing import Any, Final, Self

import grpc

from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)
from sidecar.wire.grpc.authorization import METHOD
from tests.support.http1 import HOST
from tests.support.processes import Child
from tests.support.served import status_of, unary
from tests.support.tokens import segment

# Above the 64 checks of an issuer that wait for a key, so that the others are answered at once;
# well below the 256 that a sidecar takes on, above which anybody may be refused.
IN_FLIGHT: Final = 128
LONGEST: Final = 5.0


class Flood:
    """Goes on for the length of a ``with`` block, or until every token was sent, or 5 seconds."""

    def __init__(
        self, socket: Path, tokens: Iterable[str], directory: Path, *, per_second: int
    ) -> None:
        folder = directory / "flood"
        folder.mkdir()
        (folder / "tokens").write_text("\n".join(tokens))
        module = "tests.support.flood"
        arguments = [str(socket), str(folder / "tokens"), str(per_second)]
        self._process = Child([sys.executable, "-m", module, *arguments], folder)

    def __enter__(self) -> Self:
        self._process.wait_until(lambda: bool(self._process.stdout()))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    @property
    def over(self) -> bool:
        """Whether it has ended by itself."""
        return not self._process.running

    def told(self) -> tuple[dict[str, int], float]:
        """How often each status was answered, and the seconds it took in all."""
        assert self._process.wait() == 0, self._process.stderr()
        told: dict[str, Any] = json.loads(self._process.stdout()[-1])
        return told["statuses"], told["seconds"]


def unknown_keys(token: str, number: int) -> list[str]:
    """As many tokens, like this one but for their kids, which nobody has heard of."""
    payload = token.split(".")[1]

    def forged() -> str:
        header = {"alg": "ES256", "kid": secrets.token_hex(8), "typ": "at+jwt"}
        return f"{segment(header)}.{payload}.{segment(secrets.token_bytes(64))}"

    return [forged() for _ in range(number)]


def check_request(token: str) -> bytes:
    """A request as Envoy describes it."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host = "GET", "/orders/1", HOST
    http.header_map.headers.add(key="authorization", raw_value=f"Bearer {token}".encode())
    return request.SerializeToString()


def _status(call: "grpc.Future[bytes]") -> str:
    """The HTTP status of an answer; of a call that failed, why it did."""
    error = call.exception()
    if isinstance(error, grpc.RpcError):
        return status_of(error).name
    response = CheckResponse.FromString(call.result())
    return str(response.denied_response.status.code if response.status.code else 200)


def main() -> None:
    """Be the flood."""
    socket, file, per_second = sys.argv[1:]
    requests = [check_request(token) for token in Path(file).read_text().splitlines()]
    statuses: Counter[str] = Counter()
    free = Semaphore(IN_FLIGHT)

    def answered(call: "grpc.Future[bytes]") -> None:
        statuses[_status(call)] += 1
        free.release()

    with grpc.insecure_channel(f"unix:{socket}") as channel:
        check = unary(channel, METHOD)
        grpc.channel_ready_future(channel).result(10)
        print("begun", flush=True)
        began = time.monotonic()
        for number, request in enumerate(requests):
            due = began + number / int(per_second)
            time.sleep(max(0.0, due - time.monotonic()))
            free.acquire()
            if time.monotonic() > began + LONGEST:
                free.release()
                break
            check.future(request, timeout=10).add_done_callback(answered)
        for _ in range(IN_FLIGHT):
            free.acquire()
    seconds = time.monotonic() - began
    print(json.dumps({"statuses": statuses, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
