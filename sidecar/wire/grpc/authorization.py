"""``envoy.service.auth.v3.Authorization/Check``: bytes to a check, and its decision to bytes.

This module only translates; ``shell.check`` runs the check.
"""

import logging
from functools import partial
from typing import Final, Protocol

from sidecar.check.refusal import deny
from sidecar.model import Decision, Deny, Reason
from sidecar.shell.check import Check, Checks
from sidecar.wire.grpc.codec import UNREAD, Envelope, decode, encode

_log = logging.getLogger(__name__)

METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"


class Call(Protocol):
    """One check to answer: a serialised CheckRequest, and until when (Unix seconds)."""

    body: bytes
    deadline: float

    def reply(self, body: bytes) -> None:
        """Answer with a serialised CheckResponse, once, from any thread."""
        ...


class Authorization:
    """The handler of the method."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    def check(self, call: Call) -> None:
        """Answer one call, at once or when the answers to its questions are known."""
        check = Check(self._checks, call.deadline)
        envelope, denial = UNREAD, None
        try:
            envelope = decode(call.body, check.context.limits)
            if envelope.refusal is not None:
                denial = deny(envelope.refusal)
        except Exception:  # UndecodableRequest, or a bug
            _log.exception("Envoy's check request could not be read")
            denial = Deny(Reason.INTERNAL_ERROR)
        reply = partial(_reply, call, envelope, check.context.challenge)
        if denial is None:
            check.decide(envelope.view, envelope.request_id, reply)
        else:
            check.refuse(envelope.view, envelope.request_id, reply, denial)


def _reply(
    call: Call, envelope: Envelope, challenge: tuple[tuple[str, str], ...], decision: Decision
) -> None:
    request_id, grpc = envelope.request_id, envelope.grpc
    call.reply(encode(decision, challenge=challenge, request_id=request_id, grpc=grpc))
