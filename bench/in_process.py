"""The check inside this process: bytes from Envoy in, bytes to Envoy out, wired as app wires it."""

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from bench.service import Service
from sidecar.check.pipeline import Pipeline
from sidecar.config import Configuration
from sidecar.config.loader import load
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.shell import check as shell
from sidecar.telemetry.decisions import DecisionLog
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.refreshes import RefreshLog
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from sidecar.wire.grpc.authorization import Authorization


class Call:
    """A call that keeps its answer."""

    __slots__ = ("body", "deadline", "response")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.deadline = math.inf
        self.response = b""

    def reply(self, body: bytes) -> None:
        """Keep it (``wire.grpc.authorization.Call.reply``)."""
        self.response = body


class Checks:
    """Answers checks, one after another."""

    def __init__(self, checks: shell.Checks) -> None:
        self._authorization = Authorization(checks)

    def answer(self, body: bytes) -> bytes:
        """Answer one serialised CheckRequest."""
        call = Call(body)
        self._authorization.check(call)
        return call.response

    def expect_allow(self, body: bytes) -> None:
        """Make sure that what is measured is an allow."""
        response = CheckResponse.FromString(self.answer(body))
        assert response.HasField("ok_response"), response


def sidecar_checks(service: Service, directory: Path) -> Checks:
    """The checks of a sidecar beside a service."""
    configuration = loaded(service.configuration, directory)
    metrics = Metrics()
    check = configuration.check
    metrics.expect([entry.name for entry in check.trust], check.routes, shadow=False)
    context = shell.CheckContext(
        pipeline=Pipeline(check, metrics),
        keys=asyncio.run(_fetched(configuration, metrics)),
        challenge=configuration.challenge,
        key_wait=configuration.key_wait,
    )
    return Checks(shell.Checks(context, decision_log(configuration, metrics)))


def loaded(document: Mapping[str, object], directory: Path) -> Configuration:
    """A configuration, read from a file as ``sidecar serve`` reads it."""
    file = directory / "sidecar.yaml"
    with file.open("w") as stream:
        YAML(typ="safe").dump(document, stream)
    return load(file)


def decision_log(configuration: Configuration, metrics: Metrics) -> DecisionLog:
    """What is told about every answer."""
    log = configuration.log
    return DecisionLog(metrics, allows=log.allows, per_second=log.denials_per_second)


async def _fetched(configuration: Configuration, metrics: Metrics) -> VerificationKeys:
    keys = VerificationKeys(configuration.keys, RefreshLog(metrics))
    keys.start()
    await keys.first_keys(configuration.start_timeout)
    await keys.stop()
    return keys
