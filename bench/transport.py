"""What one call costs on each gRPC server there is for Python: constant bytes back, nothing else.

``python -m bench.transport`` starts them all on Unix sockets, loads one after another, round by
round, and prints the median CPU per call and its ratio to ours. The figures belong to the machine
and the run; the ratios are what docs/decisions/0001-grpc-server.md rests on. Takes under a minute.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

METHOD = "/envoy.service.auth.v3.Authorization/Check"
REQUEST = bytes(740)  # as large as a small CheckRequest with a token
RESPONSE = b"\x0a\x00"
CALLS = {1: 2_000, 16: 10_000}  # calls in flight: calls made
ROUNDS = 3
OURS = "completion queue"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to serve: ``serve`` blocks; ``cpus`` and ``experiments`` are set before it runs."""

    serve: Callable[[str], None]
    cpus: frozenset[int] = frozenset()
    experiments: str = ""


@dataclass(slots=True)
class Figures:
    """One entry per round: the server's CPU per call and the 99th percentile of latency, in µs."""

    cpu: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


def serve_sync(address: str) -> None:
    """Serve with grpc.server and two threads."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: RESPONSE
    )
    service, method = METHOD[1:].split("/")
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(
            threads, handlers=[grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        server.add_insecure_port(address)
        server.start()
        server.wait_for_termination()


def serve_aio(address: str) -> None:
    """Serve with grpc.aio on asyncio's own loop."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return RESPONSE

    async def serve() -> None:
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        service, method = METHOD[1:].split("/")
        server = grpc.aio.server(
            handlers=[grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        server.add_insecure_port(address)
        await server.start()
        await server.wait_for_termination()

    asyncio.run(serve())


def serve_ours(address: str) -> None:
    """Serve as the sidecar does."""
    # Imported here alone: sidecar.wire decides how grpc runs in its process.
    from sidecar.wire.grpc.calls import Limits  # noqa: PLC0415 - see above
    from sidecar.wire.grpc.server import new_server  # noqa: PLC0415 - see above
    from sidecar.wire.grpc.sockets import parse_address  # noqa: PLC0415 - see above

    server = new_server(
        parse_address(address),
        {METHOD: lambda call: call.reply(RESPONSE)},
        handled=lambda _method, _code: None,
        limits=Limits(),
    )
    server.start()
    threading.Event().wait()


NO_EVENT_ENGINE = "-event_engine_client,-event_engine_listener"
KINDS = {
    "grpc.aio": Kind(serve_aio),
    "sync": Kind(serve_sync),
    "sync, one CPU": Kind(serve_sync, frozenset({0})),
    "sync, one CPU, no event engine": Kind(serve_sync, frozenset({0}), NO_EVENT_ENGINE),
    # sidecar.wire asks for the same, but here grpc has been imported before it.
    OURS: Kind(serve_ours, experiments=NO_EVENT_ENGINE),
}


def measure() -> dict[str, dict[int, Figures]]:
    """Return the figures by kind of server and calls in flight."""
    figures = {name: {in_flight: Figures() for in_flight in CALLS} for name in KINDS}
    with ExitStack() as stack:
        # In /tmp itself: the path of a Unix socket has at most 107 bytes.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        running = {
            name: stack.enter_context(_running(name, directory / f"{number}.sock"))
            for number, name in enumerate(KINDS)
        }
        for _ in range(ROUNDS):
            for in_flight, calls in CALLS.items():
                for name, (pid, socket) in running.items():
                    before = _cpu(pid)
                    latencies = _load(socket, in_flight, calls)
                    result = figures[name][in_flight]
                    result.cpu.append((_cpu(pid) - before) / calls * 1e6)
                    result.p99.append(statistics.quantiles(latencies, n=100)[98])
    return figures


@contextmanager
def _running(name: str, socket: Path) -> Iterator[tuple[int, Path]]:
    kind = KINDS[name]
    experiments = {"GRPC_EXPERIMENTS": kind.experiments} if kind.experiments else {}
    command = [sys.executable, "-m", "bench.transport", "--serve", name, f"unix:{socket}"]
    with subprocess.Popen(command, env=os.environ | experiments) as process:
        try:
            while not socket.exists():
                if process.poll() is not None:
                    raise RuntimeError(f"the server {name!r} did not start")
                time.sleep(0.02)
            yield process.pid, socket
        finally:
            process.send_signal(signal.SIGKILL)


def _cpu(pid: int) -> float:
    # clock_getcpuclockid(3): the CPU clock of another process, which Python has no name for.
    return time.clock_gettime(~pid << 3 | 2)


def _load(socket: Path, in_flight: int, calls: int) -> list[float]:
    """Make ``calls`` calls over one connection and return how long each took, in µs."""
    if shutil.which("h2load") is None:
        return asyncio.run(_call(socket, in_flight, calls))
    with tempfile.TemporaryDirectory() as directory:
        body, log = Path(directory, "body"), Path(directory, "log")
        body.write_bytes(b"\0" + struct.pack(">I", len(REQUEST)) + REQUEST)
        command = (
            f"h2load -n {calls} -c 1 -m {in_flight} -d {body} --log-file {log} -B unix:{socket}"
        )
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        subprocess.run(
            [*command.split(), *headers, f"http://localhost{METHOD}"],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        # Start, HTTP status and duration of each call, separated by tabs.
        lines = [line.split("\t") for line in log.read_text().splitlines()]
    if len(lines) != calls or any(status != "200" for _, status, _ in lines):
        raise RuntimeError("not every call was answered")
    return [float(duration) for _, _, duration in lines]


async def _call(socket: Path, in_flight: int, calls: int) -> list[float]:
    durations: list[float] = []

    async def client() -> None:
        for _ in range(calls // in_flight):
            began = time.perf_counter()
            await method(REQUEST)
            durations.append((time.perf_counter() - began) * 1e6)

    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        await asyncio.gather(*(client() for _ in range(in_flight)))
    return durations


def table(figures: dict[str, dict[int, Figures]]) -> str:
    """Lay the medians out in Markdown, with each server's ratio to ours."""
    heads = [f"{in_flight} in flight | ratio | p99" for in_flight in CALLS]
    lines = [
        f"| server, CPU µs per call | {' | '.join(heads)} |",
        "|---" * (1 + 3 * len(CALLS)) + "|",
    ]
    for name, by_load in figures.items():
        cells = [name]
        for in_flight, result in by_load.items():
            cpu = statistics.median(result.cpu)
            ratio = cpu / statistics.median(figures[OURS][in_flight].cpu)
            cells += [f"{cpu:.0f}", f"{ratio:.1f}", f"{statistics.median(result.p99):.0f} µs"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print, or serve as one of KINDS."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.transport")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "ADDRESS"), help="be one server")
    arguments = parser.parse_args()
    if arguments.serve is None:
        print(table(measure()))
        return
    kind = KINDS[arguments.serve[0]]
    if kind.cpus:
        os.sched_setaffinity(0, kind.cpus)
    kind.serve(arguments.serve[1])


if __name__ == "__main__":
    main()
