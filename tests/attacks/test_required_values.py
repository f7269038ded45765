"""Tokens of one issuer and type that only a claim tells apart, shown where the other is meant."""

from dataclasses import replace

import pytest

from sidecar.check.rules import NamedTokens, TokenKinds
from sidecar.check.trust import RequiredValue
from sidecar.model import Reason, TokenKind
from sidecar.snapshots.keys import KeySnapshot
from tests.support.checks import GATEWAY, Service, key_set, request, route, token
from tests.support.tokens import Json, SigningKey, new_key

SHARED, ACCESS_KEY, IDENTITY_KEY = (new_key("ES256", kid) for kid in ("both", "access", "identity"))
_USE = ("token_use",)
ACCESS = replace(
    GATEWAY,
    name="access",
    kind=TokenKind.EXTERNAL,
    claim_values=(RequiredValue.of(_USE, ["access"]),),
)
IDENTITY = replace(
    ACCESS,
    name="identity",
    claim_values=(RequiredValue.of(_USE, ["id"]), RequiredValue.of(("verified",), [True])),
)


def service() -> Service:
    """Takes access tokens on ``/orders``. Each entry has a key of its own, and one in common."""
    named = TokenKinds(frozenset(), frozenset({NamedTokens(TokenKind.EXTERNAL, "access")}))
    return Service(
        KeySnapshot(
            {"access": key_set(SHARED, ACCESS_KEY), "identity": key_set(SHARED, IDENTITY_KEY)}
        ),
        trust=(ACCESS, IDENTITY),
        routes=(route("orders", "/orders", named),),
    )


@pytest.mark.parametrize("key", [SHARED, ACCESS_KEY])
def test_an_access_token_passes(key: SigningKey) -> None:
    assert service().reason(request(token(key, token_use="access"), path="/orders")) is (
        Reason.AUTHORIZED
    )


@pytest.mark.parametrize(
    ("key", "claims", "reason"),
    [
        (SHARED, {"token_use": "id", "verified": True}, Reason.TOKEN_KIND_NOT_ACCEPTED),
        # The claim chooses the entry, and with it the keys that the token is verified with.
        (IDENTITY_KEY, {"token_use": "access"}, Reason.UNKNOWN_KEY),
        (ACCESS_KEY, {"token_use": "id", "verified": True}, Reason.UNKNOWN_KEY),
        (SHARED, {"token_use": "id", "verified": False}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": "id", "verified": 1}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": "id"}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": ["access", "id"]}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": {"access": "access"}}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": "access "}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"Token_use": "access"}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {"token_use": "refresh"}, Reason.WRONG_TOKEN_TYPE),
        (SHARED, {}, Reason.WRONG_TOKEN_TYPE),
    ],
)
def test_another_token_of_the_same_issuer_is_refused_every_time(
    key: SigningKey, claims: Json, reason: Reason
) -> None:
    asked, view = service(), request(token(key, **claims), path="/orders")

    # The second time, the signature of the first may be remembered.
    assert [asked.reason(view), asked.reason(view)] == [reason, reason]


def test_what_is_remembered_of_one_token_is_no_help_to_another() -> None:
    asked = service()
    access = token(SHARED, token_use="access")
    identity = token(SHARED, token_use="id", verified=True)
    spliced = ".".join([*identity.split(".")[:2], access.split(".")[2]])

    assert asked.reason(request(access, path="/orders")) is Reason.AUTHORIZED
    assert asked.reason(request(spliced, path="/orders")) is Reason.BAD_SIGNATURE
    assert asked.reason(request(identity, path="/orders")) is Reason.TOKEN_KIND_NOT_ACCEPTED
    assert asked.reason(request(access, path="/orders")) is Reason.AUTHORIZED
