"""Tokens of one tenant that pass for another's, where one trust entry has many issuers."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.check.identity import Normalised
from sidecar.check.trust import TrustEntry
from sidecar.jose.issuers import IssuerTemplate
from sidecar.model import Allow, Reason
from sidecar.snapshots.keys import KeySnapshot
from tests.attacks.cases import refused_for
from tests.support.checks import (
    GATEWAY,
    Service,
    claims,
    key_set,
    request,
    snapshot,
)
from tests.support.gateways import PARTNER, Gateway, partner_token
from tests.support.gateways import request as gateway_request
from tests.support.settings import identity_settings
from tests.support.tokens import Json, SigningKey, key_for, new_key, sign

ACME = "3f6a1b2c-0000-4000-8000-00000000acme"
EVIL = "66660000-0000-4000-8000-00000000evil"
PATTERN = IssuerTemplate("https://login.test/", "tid", "/v2.0")
ANY = replace(GATEWAY, issuers=frozenset(), pattern=PATTERN)
LISTED = replace(ANY, issuers=frozenset({PATTERN.filled(ACME)}))
KEY, OTHER_KEY = key_for("ES256"), new_key("ES256", "other")


def token(key: SigningKey = KEY, **changes: Any) -> str:
    """A token of Acme with these claims changed; one given as None is left out."""
    usual = {"issuer": PATTERN.filled(ACME), "tid": ACME}
    return sign(claims(**{**usual, **changes}), key)


def service(trust: TrustEntry, *keys: SigningKey | Json) -> Service:
    return Service(snapshot(*(keys or (KEY,))), trust=(trust,))


@pytest.mark.parametrize("trust", [ANY, LISTED], ids=["any value", "listed values"])
@pytest.mark.parametrize(
    ("attack", "reason"),
    refused_for(
        Reason.UNTRUSTED_ISSUER,
        {
            "the claim is of another tenant": token(tid=EVIL),
            "the claim is missing": token(tid=None),
            "the claim is a list": token(tid=[ACME]),
            "the claim is a number": token(tid=7),
            "the claim is in other case": token(tid=ACME.upper()),
            "the claim ends with a newline": token(tid=f"{ACME}\n"),
            "issuer and claim end with a newline": token(
                issuer=PATTERN.filled(f"{ACME}\n"), tid=f"{ACME}\n"
            ),
            "the issuer ends with a newline": token(issuer=f"{PATTERN.filled(ACME)}\n"),
            "the issuer ends with a slash": token(issuer=f"{PATTERN.filled(ACME)}/"),
            "the value is empty": token(issuer=PATTERN.filled(""), tid=""),
            "the value is two segments": token(issuer=PATTERN.filled("a/b"), tid="a/b"),
            "the value is a dot": token(issuer=PATTERN.filled("."), tid="."),
            "the value is two dots": token(issuer=PATTERN.filled(".."), tid=".."),
            "the value is percent-encoded": token(issuer=PATTERN.filled("%61"), tid="%61"),
            "the value is the placeholder": token(issuer=PATTERN.filled("{tid}"), tid="{tid}"),
            "the value has a query": token(issuer=PATTERN.filled("a?b"), tid="a?b"),
            "the value has a host": token(issuer=PATTERN.filled("@evil"), tid="@evil"),
            "the value has a letter that looks alike": token(
                issuer=PATTERN.filled("\u0430cme"), tid="\u0430cme"
            ),
            "the value has digits of another script": token(
                issuer=PATTERN.filled("\u0661"), tid="\u0661"
            ),
            "another host": token(issuer=f"https://evil.test/{ACME}/v2.0"),
            "a host that begins alike": token(issuer=f"https://login.test.evil.test/{ACME}/v2.0"),
            "something before the issuer": token(issuer=f"x{PATTERN.filled(ACME)}"),
            "scheme and host in other case": token(issuer=PATTERN.filled(ACME).title()),
            "beginning and end overlap": token(issuer="https://login.test/v2.0", tid=""),
            "the pattern itself": token(issuer=str(PATTERN)),
        },
    ),
)
def test_an_issuer_is_what_the_claim_makes_of_the_pattern(
    trust: TrustEntry, attack: str, reason: Reason
) -> None:
    assert service(trust).reason(request(attack)) is reason
    assert service(trust).reason(request(token())) is Reason.AUTHORIZED


def test_a_tenant_that_is_not_listed_is_not_trusted() -> None:
    evil = token(issuer=PATTERN.filled(EVIL), tid=EVIL)

    assert service(LISTED).reason(request(evil)) is Reason.UNTRUSTED_ISSUER
    assert service(ANY).reason(request(evil)) is Reason.AUTHORIZED


@pytest.mark.parametrize("trust", [ANY, LISTED, GATEWAY], ids=["any value", "listed", "one"])
@pytest.mark.parametrize(
    "owner",
    [
        PATTERN.filled(EVIL),
        f"{PATTERN.filled(ACME)}/",
        PATTERN.filled(ACME).upper(),
        "https://login.test/{tenantid}/v1.0",
        "https://login.test/{tenantid}",
        "https://evil.test/{tenantid}/v2.0",
    ],
)
def test_a_key_of_one_issuer_signs_for_no_other(trust: TrustEntry, owner: str) -> None:
    attack = token(issuer=next(iter(trust.issuers), PATTERN.filled(ACME)))

    for named in (KEY.kid, None):
        foreign = {**KEY.jwk(kid=named), "issuer": owner}
        assert service(trust, foreign).reason(request(attack)) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("owner", [PATTERN.filled(ACME), "https://login.test/{tenantid}/v2.0"])
def test_a_key_signs_for_the_issuer_it_is_published_for(owner: str) -> None:
    published = service(ANY, {**KEY.jwk(), "issuer": owner})

    assert published.reason(request(token())) is Reason.AUTHORIZED


def test_a_remembered_token_is_forgotten_when_its_key_becomes_another_issuers() -> None:
    asked = service(ANY)
    assert asked.reason(request(token())) is Reason.AUTHORIZED

    asked.keys = KeySnapshot(
        {"gateway": key_set({**KEY.jwk(), "issuer": PATTERN.filled(EVIL)}, OTHER_KEY)}
    )

    assert asked.reason(request(token())) is Reason.UNKNOWN_KEY


def test_two_tenants_with_one_sub_are_two_people_behind_a_sidecar() -> None:
    headers = (("x-user-id", ("sub",)), ("x-tenant", ("tid",)), ("x-scopes", Normalised.SCOPES))
    asked = Service(snapshot(KEY), trust=(ANY,), identity=identity_settings(headers=headers))
    evil = token(issuer=PATTERN.filled(EVIL), tid=EVIL)

    seen = [dict(asked.allow(request(text)).headers.overwrite) for text in (token(), evil)]

    assert [(each["x-user-id"], each["x-tenant"]) for each in seen] == [
        ("alice", ACME),
        ("alice", EVIL),
    ]


def test_the_log_says_whose_subject_was_refused() -> None:
    evil = token(issuer=PATTERN.filled(EVIL), tid=EVIL, audience="stock")

    held = service(ANY).deny(request(evil)).held

    assert held == (
        ("aud", "stock"),
        ("iss", PATTERN.filled(EVIL)),
        ("issuer", "gateway"),
        ("sub", "alice"),
    )


@pytest.mark.parametrize("prefix", ["{tid}:", "{iss}:", "entra {tid} "])
def test_two_tenants_with_one_sub_are_two_people_behind_a_gateway(prefix: str) -> None:
    partner = replace(PARTNER, issuers=frozenset(), pattern=PATTERN)
    gateway = Gateway(trust=(partner,), subject_prefixes={"mobile": prefix})

    subjects = set()
    for tenant in (ACME, EVIL):
        text = partner_token(issuer=PATTERN.filled(tenant), tid=tenant, azp="app")
        decision = gateway.decide(gateway_request(bearer=text))
        assert isinstance(decision, Allow), decision
        assert decision.token is not None
        assert decision.token.claims["sub"] == decision.token.subject
        assert decision.token.claims["azp"] == decision.token.subject.replace("bob", "app")
        subjects.add(decision.token.subject)

    for tenant in (ACME, EVIL):
        text = prefix.replace("{tid}", tenant).replace("{iss}", PATTERN.filled(tenant))
        subjects.remove(f"{text}bob")
    assert not subjects
