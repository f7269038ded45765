"""Calls of Envoy as the server hands them over, and the checks that answer them."""

import asyncio
import json
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.check.pipeline import Pipeline
from sidecar.check.routes import Match, Route
from sidecar.check.templates import PathTemplate
from sidecar.keys.settings import FileKeys
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import Decision, RequestView, TokenKind
from sidecar.shell.check import CheckContext, Checks
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
)
from sidecar.wire.grpc.authorization import Authorization
from tests.support.settings import check_settings, key_settings, trust_entry
from tests.support.tokens import SigningKey, claims, jwks, key_for, sign

LONG_AGO = 1_000_000_000


@dataclass
class Call:
    """A call as the server hands it over."""

    body: bytes
    deadline: float = math.inf
    replies: list[CheckResponse] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def reply(self, body: bytes) -> None:
        self.replies.append(CheckResponse.FromString(body))
        self.answered.set()

    @property
    def reason(self) -> str:
        (reply,) = self.replies
        return reply.dynamic_metadata.fields["reason"].string_value


@dataclass
class Watcher:
    """Both observers."""

    decisions: list[Decision] = field(default_factory=list)

    def decided(
        self, request: RequestView, request_id: str, decision: Decision, duration: float
    ) -> None:
        del request, request_id
        assert duration >= 0
        self.decisions.append(decision)

    def verified(self, trust: str, result: str) -> None:
        pass

    def remembered(self, *, hit: bool) -> None:
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
    checks: Checks
    authorization: Authorization
    keys: Path
    watcher: Watcher

    async def check(self, call: Call) -> Call:
        self.authorization.check(call)
        await asyncio.wait_for(call.answered.wait(), 10)
        return call


def publish(file: Path, *keys: SigningKey) -> None:
    file.write_text(json.dumps(jwks(*keys)))
    os.utime(file, (LONG_AGO, LONG_AGO + len(keys)))


def play(
    tmp_path: Path,
    story: Callable[[Scene], Awaitable[None]],
    *,
    shadow: bool = False,
    cooldown: float = 0.0,
    clock: Callable[[], float] | None = None,
    published: bool = True,
) -> Scene:
    settings = check_settings(
        trust=(
            trust_entry(
                name="gateway",
                kind=TokenKind.REQUEST,
                issuer="https://gateway.shop.internal",
                audiences=frozenset({"orders"}),
                algorithms=frozenset({"ES256"}),
                types=frozenset({"at+jwt"}),
                leeway=0.0,
                required_claims=(),
            ),
        ),
        routes=(Route("all", Match(PathTemplate.parse("/**"))),),
        shadow=shadow,
    )
    file = tmp_path / "keys.json"
    if published:
        publish(file, key_for("ES256"))

    async def stage() -> Scene:
        watcher = Watcher()
        keys = VerificationKeys(
            [key_settings("gateway", FileKeys(file), refresh=3600, cooldown=cooldown)], watcher
        )
        keys.start()
        await keys.first_keys(5.0 if published else 0.0)
        context = CheckContext(Pipeline(settings, watcher), keys, challenge=(), key_wait=5.0)
        loop = asyncio.get_running_loop()
        checks = Checks(context, watcher, loop, clock=clock or time.time)
        scene = Scene(checks, Authorization(checks), file, watcher)
        try:
            await story(scene)
        finally:
            await keys.stop()
        return scene

    return asyncio.run(stage())


def request(key: SigningKey | None = None, **header: str | None) -> bytes:
    """A check of a request with a valid token, signed with ``key``."""
    token = sign(
        claims(issuer="https://gateway.shop.internal", audience="orders", subject="alice"),
        key or key_for("ES256"),
        **header,
    )
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", "/orders/1", "orders.shop.internal"
    line = http.header_map.headers.add()
    line.key, line.raw_value = "authorization", f"Bearer {token}".encode()
    return message.SerializeToString()
