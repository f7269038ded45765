"""Tokens the issuer did sign: for another time, another service or another purpose."""

from dataclasses import replace

import pytest

from sidecar.model import Reason
from tests.attacks.cases import CLAIMS, KEY, issued, refused_for, with_json
from tests.support.checks import (
    CLUSTER,
    CLUSTER_ISSUER,
    GATEWAY,
    ISSUER,
    NOW,
    Service,
    claims,
    request,
    snapshot,
    token,
    workload_token,
)
from tests.support.tokens import key_for, new_key, sign


def expiring(json_text: str) -> str:
    """The usual claims, with exp written like this."""
    return issued(payload=with_json(f'"exp":{json_text}', claims(exp=None)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *refused_for(
            Reason.INVALID_CLAIM,
            {
                "exp missing": token(exp=None),
                "exp null": expiring("null"),
                "exp as text": expiring('"9999999999"'),
                "exp true": expiring("true"),
                "exp in a list": expiring("[9999999999]"),
                "exp of 400 digits": expiring("1" + "0" * 400),
                "exp of minus 400 digits": expiring("-1" + "0" * 400),
                "nbf as text": token(nbf="0"),
                "iat false": token(iat=False),
                "audience missing": token(audience=None),
                "audience with a number": token(audience=["orders", 7]),
                "audience in a list in a list": token(audience=[["orders"]]),
                "audience as an object": token(audience={"orders": True}),
                "subject is a number": token(subject=0),
                "subject is a list": token(subject=["alice"]),
                "subject is an object": token(subject={"id": "alice"}),
            },
        ),
        *refused_for(
            Reason.MALFORMED_TOKEN,
            {
                "exp NaN": expiring("NaN"),
                "exp Infinity": expiring("Infinity"),
                "exp 1e400": expiring("1e400"),
                "typ in a list": sign(CLAIMS, KEY, typ=["at+jwt"]),
                "typ that looks alike": sign(CLAIMS, KEY, typ="\u0430t+jwt"),
            },
        ),
        *refused_for(
            Reason.EXPIRED,
            {
                "exp past": token(exp=NOW - 10),
                "exp zero": expiring("0"),
                "exp negative": expiring("-1"),
                "exp -1e308": expiring("-1e308"),
                "exp in 1970": expiring("1800000"),
            },
        ),
        *refused_for(
            Reason.NOT_YET_VALID,
            {
                "nbf tomorrow": token(nbf=NOW + 86400),
                "iat tomorrow": token(iat=NOW + 86400),
                "iat in milliseconds": token(iat=NOW * 1000),
                "nbf 1e308": token(nbf=1e308),
            },
        ),
        *refused_for(
            Reason.UNTRUSTED_ISSUER,
            {
                "issuer missing": token(issuer=None),
                "issuer with a slash": token(issuer=f"{ISSUER}/"),
                "issuer in other case": token(issuer=ISSUER.upper()),
                "issuer with a port": token(issuer=f"{ISSUER}:443"),
                "issuer with a space": token(issuer=f"{ISSUER} "),
                "issuer that looks alike": token(issuer="https://g\u0430teway.shop.test"),
                "issuer in a list": token(issuer=[ISSUER]),
            },
        ),
        *refused_for(
            Reason.WRONG_AUDIENCE,
            {
                "audience of another service": token(audience="billing"),
                "audience that begins alike": token(audience="orders-admin"),
                "audience in other case": token(audience="Orders"),
                "audience that looks alike": token(audience="\u043erders"),
                "audiences joined by a space": token(audience="billing orders"),
                "audience list empty": token(audience=[]),
                "audience empty": token(audience=""),
            },
        ),
        *refused_for(
            Reason.WRONG_TOKEN_TYPE,
            {
                "typ missing": sign(CLAIMS, KEY, typ=None),
                "typ empty": sign(CLAIMS, KEY, typ=""),
                "typ JWT": sign(CLAIMS, KEY, typ="JWT"),
                "typ of an ID token": sign(CLAIMS, KEY, typ="id+jwt"),
                "typ of a session token": sign(CLAIMS, KEY, typ="session+jwt"),
                "typ of another tree": sign(CLAIMS, KEY, typ="text/at+jwt"),
                "typ with a space": sign(CLAIMS, KEY, typ="at+jwt "),
                "typ of a request, issuer of workloads": sign(
                    claims(issuer=CLUSTER_ISSUER), key_for("RS256")
                ),
            },
        ),
        *refused_for(
            Reason.TOKEN_KIND_NOT_ACCEPTED, {"workload token as request token": workload_token()}
        ),
        *refused_for(
            Reason.UNTRUSTED_SUBJECT,
            {
                "workload of another namespace": workload_token(
                    subject="system:serviceaccount:evil:billing"
                ),
                "workload of a deeper name": workload_token(
                    subject="system:serviceaccount:shop:billing:x"
                ),
                "workload without a subject": workload_token(subject=None),
            },
        ),
        *refused_for(
            Reason.INSUFFICIENT_SCOPE,
            {
                "scope of other case": token(scope="Orders:Read"),
                "scope that begins alike": token(scope="orders:readonly"),
                "scopes joined by a comma": token(scope="orders:read,orders:write"),
                "scopes joined by a tab": token(scope="orders:read\torders:write"),
                "scope as an object": token(scope={"orders:read": True}),
                "scope in a list in a list": token(scope=[["orders:read"]]),
            },
        ),
    ],
)
def test_a_misused_token_is_refused(text: str, reason: Reason) -> None:
    assert Service().reason(request(text)) is reason


def test_a_request_token_does_not_pass_where_a_workload_is_asked_for() -> None:
    assert Service().reason(request(token(), path="/jobs")) is Reason.TOKEN_KIND_NOT_ACCEPTED


def test_one_issuers_kinds_are_kept_apart_by_their_types() -> None:
    external = replace(GATEWAY, name="external", types=frozenset({"jwt"}), audiences=frozenset("x"))
    service = Service(trust=(GATEWAY, external, CLUSTER))

    # Chosen by its type, the entry has keys of its own: those of another do not help.
    text = sign(claims(audience="x"), KEY, typ="JWT")
    assert service.reason(request(text)) is Reason.KEYS_UNAVAILABLE


# A token that was accepted once has earned nothing for later.


def accepted_once() -> tuple[Service, str]:
    service, text = Service(), token()
    assert service.reason(request(text)) is Reason.AUTHORIZED
    assert service.pipeline.remembered_tokens == 1
    return service, text


def test_a_remembered_token_is_refused_after_its_expiry() -> None:
    service, text = accepted_once()

    assert service.reason(request(text), now=NOW + 3000) is Reason.EXPIRED


def test_a_remembered_token_is_refused_when_the_clock_went_back() -> None:
    service, text = accepted_once()

    assert service.reason(request(text), now=NOW - 3000) is Reason.NOT_YET_VALID


@pytest.mark.parametrize(
    ("published", "reason"),
    [
        pytest.param(new_key("ES256", "other").jwk(), Reason.UNKNOWN_KEY, id="key gone"),
        pytest.param(new_key("ES256", KEY.kid).jwk(), Reason.BAD_SIGNATURE, id="key exchanged"),
        pytest.param(
            key_for("ES384").jwk(kid=KEY.kid), Reason.ALGORITHM_NOT_ALLOWED, id="curve exchanged"
        ),
    ],
)
def test_a_remembered_token_is_refused_once_its_key_is_not_there(
    published: dict[str, object], reason: Reason
) -> None:
    service, text = accepted_once()

    service.keys = snapshot(published)
    assert service.reason(request(text)) is reason


def test_a_remembered_token_is_refused_once_its_key_is_for_another_algorithm() -> None:
    key = key_for("RS256")
    service = Service(snapshot(key))
    view = request(token(key))
    assert service.reason(view) is Reason.AUTHORIZED

    service.keys = snapshot(key.jwk(alg="PS256"))
    assert service.reason(view) is Reason.ALGORITHM_NOT_ALLOWED


def test_a_remembered_token_is_no_help_to_one_that_differs_in_a_byte() -> None:
    service, text = accepted_once()
    last = "A" if text[-1] != "A" else "Q"

    assert service.reason(request(text[:-1] + last)) is Reason.BAD_SIGNATURE
    assert service.reason(request(text[:-1])) is Reason.MALFORMED_TOKEN
