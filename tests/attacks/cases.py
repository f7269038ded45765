"""What the tables of attacks are made of."""

import json
from collections.abc import Mapping

import pytest

from sidecar.model import Reason
from tests.support.checks import claims
from tests.support.tokens import compact, key_for

KEY = key_for("ES256")
HEADER = {"alg": KEY.algorithm, "kid": KEY.kid, "typ": "at+jwt"}
CLAIMS = claims()


def refused_for(reason: Reason, attacks: Mapping[str, object]) -> list[object]:
    """One case per attack: what is sent, and the reason it must be refused for."""
    return [pytest.param(attack, reason, id=name) for name, attack in attacks.items()]


def issued(
    *, header: Mapping[str, object] | bytes = HEADER, payload: Mapping[str, object] | bytes = CLAIMS
) -> str:
    """A token signed by the issuer's own key: only what is in it is wrong."""
    return compact(header, payload, KEY)


def with_json(text: str, document: Mapping[str, object] = CLAIMS) -> bytes:
    """The document as JSON, with this text in front of its members."""
    return b"{" + text.encode() + b"," + json.dumps(document).encode()[1:]
