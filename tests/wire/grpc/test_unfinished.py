"""Checks that are finished on the event loop, as calls to a real server."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import Allow, Decision, Deny, HeaderChanges, Pending, Reason, RequestView, ask
from sidecar.shell.check import CheckContext, Checks
from sidecar.snapshots.keys import KeySnapshot
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)
from sidecar.wire.grpc.authorization import METHOD, Authorization
from sidecar.wire.grpc.sockets import UnixAddress
from tests.support.processes import eventually
from tests.support.served import Served, served, status_of

ALLOW = Allow(Reason.AUTHORIZED, None, HeaderChanges())


@dataclass
class Questions:
    """A role that asks elsewhere about every request, and an elsewhere that a test answers for."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    asked: list[asyncio.Future[None]] = field(default_factory=list)

    def check(self, request: RequestView, keys: KeySnapshot, now: float) -> Pending[Decision]:
        del request, keys, now
        return ask(self._finish, late=Deny(Reason.INTROSPECTION_UNAVAILABLE))

    def refuse(self, request: RequestView, denial: Deny) -> Decision:
        del request
        return denial

    async def _finish(self) -> Decision:
        question = self.loop.create_future()
        self.asked.append(question)
        await question
        return ALLOW

    def end(self) -> None:
        """Close the loop, with nothing left on it that waits."""
        for task in (left := asyncio.all_tasks(self.loop)):
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()

    def answer(self) -> None:
        """Answer the question that was asked first."""
        self.loop.call_soon_threadsafe(self.asked.pop(0).set_result, None)


class Unobserved:
    """Is told about answers, and about keys that nobody fetches."""

    def decided(
        self, request: RequestView, request_id: str, decision: Decision, duration: float
    ) -> None:
        pass

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        pass

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        pass

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        pass

    def looked_up(self, trust: str, result: str) -> None:
        pass


@dataclass
class Scene:
    """A server of those checks, and a client of it."""

    questions: Questions
    served: Served

    def ask(self) -> "grpc._CallFuture[bytes]":
        """Send a check, and return once its question was asked."""
        asked = len(self.questions.asked)
        message = CheckRequest()
        message.attributes.request.http.method = "GET"
        future = self.served.method(METHOD).future(message.SerializeToString(), timeout=30)
        eventually(lambda: len(self.questions.asked) > asked)
        return future


@pytest.fixture
def scene(socket_directory: Path) -> Iterator[Scene]:
    questions, unobserved = Questions(), Unobserved()
    thread = threading.Thread(target=questions.loop.run_forever)
    thread.start()
    context = CheckContext(questions, VerificationKeys([], unobserved), challenge=(), key_wait=1.0)
    checks = Checks(context, unobserved, questions.loop)
    try:
        address = UnixAddress(socket_directory / "authz.sock")
        with served(address, {METHOD: Authorization(checks).check}) as server:
            yield Scene(questions, server)
    finally:
        questions.loop.call_soon_threadsafe(questions.loop.stop)
        thread.join()
        questions.end()


def reason(future: "grpc._CallFuture[bytes]") -> str:
    answer = CheckResponse.FromString(future.result(timeout=5))
    return answer.dynamic_metadata.fields["reason"].string_value


def test_a_check_that_waits_holds_up_no_other(scene: Scene) -> None:
    first, second = scene.ask(), scene.ask()
    assert scene.served.echo(b"meanwhile") == b"meanwhile"

    scene.questions.answer()
    assert reason(first) == "authorized"
    assert not second.done()

    scene.questions.answer()
    assert reason(second) == "authorized"


def test_a_server_that_stops_answers_what_is_still_unfinished(scene: Scene) -> None:
    waiting = scene.ask()
    stop = threading.Thread(target=scene.served.server.stop, args=(30,))
    stop.start()

    scene.questions.answer()
    assert reason(waiting) == "authorized"

    scene.served.channel.close()
    stop.join(timeout=5)
    assert not stop.is_alive()


def test_what_is_not_finished_by_the_end_of_the_grace_is_dropped(scene: Scene) -> None:
    waiting = scene.ask()
    scene.served.server.stop(0.2)
    with pytest.raises(grpc.RpcError) as failure:
        waiting.result(timeout=5)
    assert status_of(failure.value) is grpc.StatusCode.UNAVAILABLE

    scene.questions.answer()
