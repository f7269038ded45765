"""Minting: a client's credential in, a request token out, against raw cryptography.

What a request token cannot do without is one signature; what a credential may need is one
verification. The budget is twice the sum of both.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.figures import TIMES, Figure
from bench.gateway import (
    SESSION_COOKIE,
    SSO_COOKIE,
    SSO_SESSION,
    Gateway,
    Headers,
    Json,
    check_request,
    introspected,
    with_bearer,
    with_cookie,
)
from bench.in_process import Call, Checks, decision_log, loaded
from bench.sampling import cpu_per_call, interleaved, ratio
from bench.service import HOST
from sidecar.app.gateway import GatewayRole
from sidecar.app.roles import Instruments
from sidecar.config import Configuration
from sidecar.gateway.exchange import IssuedSession
from sidecar.model import RequestView
from sidecar.shell import check as shell
from sidecar.telemetry.gateway_metrics import GatewayMetrics
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog
from tests.support.key_server import KeyServer
from tests.support.rings import until

_BATCH = 100
_BUDGET = 2.0
_VERIFY = "raw ES256 verification by cryptography"
_SIGN = "raw ES256 signature by cryptography"
_SESSION = "session token in"
_SSO = "introspected before"
_SEEN = "a partner's JWT, seen before"
_NEW = "a partner's JWT, new"
_REUSED = "introspected before, token reused"
_BUDGETS = {_SESSION: _BUDGET, _SSO: _BUDGET, _SEEN: None, _NEW: None, _REUSED: None}


def measure(*, quick: bool) -> list[Figure]:
    """The cost of a minted request by what the client brings, and without a new signature."""
    rounds = 5 if quick else 25
    with minting_gateway() as (gateway, minting), minting_gateway(reuse="10s") as (_, reusing):
        token = minting.begin_session(with_bearer(gateway.partner_token()))
        with_session = check_request(with_cookie(SESSION_COOKIE, token))
        with_sso = check_request(with_cookie(SSO_COOKIE, SSO_SESSION))
        new = [
            check_request(with_bearer(gateway.partner_token())) for _ in range(rounds * _BATCH + 1)
        ]
        seen = new.pop()
        for checks in (minting, reusing):
            checks.look_up(with_sso)
        for body in (with_session, with_sso, seen):
            minting.expect_allow(body)
        reusing.expect_allow(with_sso)

        def repeated(checks: Checks, body: bytes) -> Callable[[int], float]:
            return lambda _: cpu_per_call(checks.answer, [body] * _BATCH)

        def batch(number: int) -> float:
            return cpu_per_call(minting.answer, new[number * _BATCH : (number + 1) * _BATCH])

        samples = interleaved(
            {
                **_raw(len(token)),
                _SESSION: repeated(minting, with_session),
                _SSO: repeated(minting, with_sso),
                _SEEN: repeated(minting, seen),
                _NEW: batch,
                _REUSED: repeated(reusing, with_sso),
            },
            rounds,
        )
    return _figures(samples)


class Minting(Checks):
    """The checks of a gateway. What goes on beside them stands still while ``runner`` does."""

    def __init__(self, runner: asyncio.Runner, role: GatewayRole, checks: shell.Checks) -> None:
        super().__init__(checks)
        self._runner = runner
        self._role = role

    def begin_session(self, headers: Headers) -> str:
        """A session token in exchange for a credential."""
        lines = tuple((name, value.encode()) for name, value in headers)
        request = RequestView("POST", "/session", HOST, lines)
        issued = self._runner.run(self._role.begin_session(request)).outcome
        assert isinstance(issued, IssuedSession), issued
        return issued.cookie.partition(";")[0].partition("=")[2]

    def look_up(self, body: bytes) -> None:
        """Make a check that has to ask others first."""

        async def answered() -> None:
            call = Call(body)
            self._authorization.check(call)
            await until(lambda: bool(call.response))

        self._runner.run(answered())


@contextmanager
def minting_gateway(
    reuse: str = "0s", further_routes: Sequence[Json] = ()
) -> Iterator[tuple[Gateway, Minting]]:
    """A gateway in this process, wired as app wires it, whose SSO has one session."""
    with (
        tempfile.TemporaryDirectory() as name,
        KeyServer(Path(name), tls=False) as sso,
        asyncio.Runner() as runner,
    ):
        sso.documents["/introspect"] = introspected()
        gateway = Gateway(
            Path(name), f"{sso.url}/introspect", reuse=reuse, further_routes=further_routes
        )
        configuration = loaded(gateway.configuration, Path(name))
        metrics = Metrics()
        role = runner.run(_started(configuration, metrics))
        log = decision_log(configuration, metrics)
        try:
            yield (
                gateway,
                Minting(runner, role, shell.Checks(role.context, log, runner.get_loop())),
            )
        finally:
            runner.run(role.stop())


async def _started(configuration: Configuration, metrics: Metrics) -> GatewayRole:
    instruments = Instruments(metrics, RefreshLog(metrics))
    role = GatewayRole(instruments, GatewayMetrics(metrics), configuration, None)
    await role.start()
    await role.first_keys(configuration.start_timeout)
    return role


def _raw(length: int) -> dict[str, Callable[[int], float]]:
    """One verification and one signature of ``length`` bytes, as ``cryptography`` makes them."""
    key, algorithm, message = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.ECDSA(SHA256()),
        b"." * length,
    )
    public, signature = key.public_key(), key.sign(message, algorithm)
    return {
        _VERIFY: lambda _: cpu_per_call(
            lambda _: public.verify(signature, message, algorithm), range(_BATCH)
        ),
        _SIGN: lambda _: cpu_per_call(lambda _: key.sign(message, algorithm), range(_BATCH)),
    }


def _figures(samples: dict[str, list[float]]) -> list[Figure]:
    raw = [sum(both) for both in zip(samples[_VERIFY], samples[_SIGN], strict=True)]
    figures = [Figure(name, (statistics.median(samples[name]),), "µs") for name in (_VERIFY, _SIGN)]
    for name, budget in _BUDGETS.items():
        costs = samples[name]
        figures += [
            Figure(name, (statistics.median(costs),), "µs"),
            Figure(f"{name} / both", (ratio(costs, raw),), TIMES, budget),
        ]
    return figures
