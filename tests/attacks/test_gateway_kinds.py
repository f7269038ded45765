"""Good tokens in the wrong place: each is refused there for more than one reason.

An attack lists the checks that stand in its way, in their order, and what each one says. Here they
are relaxed one at a time, together, and in every other combination: the first that is left refuses,
and only with all of them relaxed would the token pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from sidecar.check.rules import Rule, Scopes
from sidecar.check.trust import TrustEntry
from sidecar.config import KeyFiles, load
from sidecar.errors import ConfigurationFault
from sidecar.model import Pending, Reason, TokenKind, VerifiedToken
from sidecar.snapshots.keys import KeySet, KeySnapshot
from tests.support import gateways
from tests.support.checks import (
    CLUSTER,
    CLUSTER_ISSUER,
    GATEWAY,
    NOW,
    Service,
    key_set,
    key_unknown,
    request,
    route,
    workload_token,
)
from tests.support.gateways import PARTNER, Gateway, partner_token
from tests.support.minting import ISSUER, ring
from tests.support.tokens import Json, key_for, new_key, sign

CONFIGURATION = Path(__file__).parents[1] / "support" / "configurations" / "gateway.yaml"


@dataclass(frozen=True, slots=True)
class Situation:
    """A token, and what whoever it is shown to believes and asks for."""

    text: str
    trust: TrustEntry
    keys: KeySet
    rules: tuple[Rule, ...] = ()


class Check(NamedTuple):
    """One check: what it says, and what it changes where it is not relaxed."""

    name: str
    reason: Reason
    applied: Callable[[Situation], Situation]


class Attack(NamedTuple):
    """``relaxed`` is the situation where none of ``checks`` is made; ``ask`` shows the token."""

    relaxed: Situation
    checks: tuple[Check, ...]
    ask: Callable[[Situation], Reason]


def trusting(name: str, reason: Reason, **strict: object) -> Check:
    """A check that the trust entry asks for."""

    def applied(situation: Situation) -> Situation:
        changes: dict[str, Any] = strict
        return replace(situation, trust=replace(situation.trust, **changes))

    return Check(name, reason, applied)


NOT_TRUSTED = trusting(
    "issuer", Reason.UNTRUSTED_ISSUER, issuers=frozenset({"https://another.example"})
)
NOT_PUBLISHED = Check(
    "key",
    Reason.UNKNOWN_KEY,
    lambda situation: replace(situation, keys=key_set(new_key("ES256", "another"))),
)


def for_types(*types: str) -> Check:
    return trusting("type", Reason.WRONG_TOKEN_TYPE, types=frozenset(types))


def for_audience(audience: str) -> Check:
    return trusting("audience", Reason.WRONG_AUDIENCE, audiences=frozenset({audience}))


def of_kind(kind: TokenKind) -> Check:
    return trusting("kind", Reason.TOKEN_KIND_NOT_ACCEPTED, kind=kind)


def at_the_front_door(situation: Situation) -> Reason:
    keys = KeySnapshot({situation.trust.name: situation.keys})
    gateway = Gateway(keys, trust=(situation.trust,))
    verdict = gateway.check(gateways.request(bearer=situation.text))
    if isinstance(verdict, Pending):
        return key_unknown(verdict).reason
    return gateway.reason(gateways.request(bearer=situation.text))


def at_a_service(situation: Situation) -> Reason:
    service = Service(
        KeySnapshot({situation.trust.name: situation.keys}),
        trust=(situation.trust,),
        routes=(route("orders", "/orders/{id}", *situation.rules),),
    )
    return service.reason(request(situation.text))


def request_token_at_the_front_door() -> Attack:
    """Stolen from a service, it would buy the next one before it expires, for ever."""
    text = Gateway().token(gateways.request(sso="alice-at-sso"))
    (published,) = ring(gateways.KEY).jwks(NOW)["keys"]
    believed = replace(
        PARTNER,
        issuers=frozenset({ISSUER}),
        types=frozenset({"at+jwt"}),
        audiences=frozenset({"orders"}),
    )
    return Attack(
        Situation(text, believed, key_set(published)),
        (
            NOT_TRUSTED,
            for_types("jwt"),
            NOT_PUBLISHED,
            for_audience(ISSUER),
            of_kind(TokenKind.REQUEST),
        ),
        at_the_front_door,
    )


def session_token_at_a_service() -> Attack:
    """Stolen from a browser, it would be a request token that lives for hours."""
    gateway = Gateway()
    text = gateway.session()
    opened = gateway.tokens.open(text, sha256(text.encode()).digest(), NOW)
    assert isinstance(opened, VerifiedToken)
    kid = gateway.sealing.sealer(NOW).kid
    signing = new_key("ES256", kid)
    # What it would be if sessions were signed, as request tokens are.
    signed = sign(opened.claims, signing, typ="session+jwt")
    believed = replace(GATEWAY, types=frozenset({"session+jwt"}), audiences=GATEWAY.issuers)
    return Attack(
        Situation(signed, believed, key_set(signing)),
        (
            Check("form", Reason.MALFORMED_TOKEN, lambda situation: replace(situation, text=text)),
            for_types("at+jwt"),
            NOT_PUBLISHED,
            for_audience("orders"),
        ),
        at_a_service,
    )


def external_token_at_a_service() -> Attack:
    """Shown to a service past the gateway, it would bring rights that nobody here gave."""
    believed = replace(PARTNER, kind=TokenKind.REQUEST)
    return Attack(
        Situation(partner_token(), believed, key_set(key_for("ES256"))),
        (
            NOT_TRUSTED,
            for_types("at+jwt"),
            NOT_PUBLISHED,
            for_audience("orders"),
            of_kind(TokenKind.EXTERNAL),
        ),
        at_a_service,
    )


def workload_token_at_a_route_for_requests() -> Attack:
    """Whoever may run a pod would speak for every user."""
    text = workload_token(audience=CLUSTER_ISSUER)
    believed = replace(CLUSTER, kind=TokenKind.REQUEST, audiences=frozenset({CLUSTER_ISSUER}))
    return Attack(
        Situation(text, believed, key_set(key_for("RS256"))),
        (
            NOT_TRUSTED,
            for_types("at+jwt"),
            NOT_PUBLISHED,
            for_audience("orders"),
            trusting(
                "subject",
                Reason.UNTRUSTED_SUBJECT,
                subjects=("system:serviceaccount:shop:shipping",),
            ),
            of_kind(TokenKind.WORKLOAD),
            Check(
                "scope",
                Reason.INSUFFICIENT_SCOPE,
                lambda situation: replace(situation, rules=(Scopes(("orders:read",)),)),
            ),
        ),
        at_a_service,
    )


ATTACKS = pytest.mark.parametrize(
    "attack",
    [
        request_token_at_the_front_door,
        session_token_at_a_service,
        external_token_at_a_service,
        workload_token_at_a_route_for_requests,
    ],
    ids=lambda attack: attack.__name__.replace("_", " "),
)


def verdict(attack: Attack, made: tuple[Check, ...]) -> Reason:
    """What is said where these checks are made and the others relaxed."""
    situation = attack.relaxed
    for check in made:
        situation = check.applied(situation)
    return attack.ask(situation)


def every_choice(checks: tuple[Check, ...]) -> Iterator[tuple[Check, ...]]:
    """One check at least, and up to all of them, in their order."""
    for number in range(1, len(checks) + 1):
        yield from combinations(checks, number)


@ATTACKS
def test_whatever_check_is_left_refuses_it(attack: Callable[[], Attack]) -> None:
    played = attack()

    for made in every_choice(played.checks):
        names = " and ".join(check.name for check in made)
        assert verdict(played, made) is made[0].reason, f"only {names} looked at"


@ATTACKS
def test_only_with_every_check_relaxed_would_it_pass(attack: Callable[[], Attack]) -> None:
    played = attack()

    assert len(played.checks) > 3
    assert verdict(played, ()) is Reason.AUTHORIZED


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("external", "it would accept its own request tokens at the front door"),
        ("request", "a gateway accepts no request tokens"),
    ],
)
def test_a_gateway_that_would_believe_its_own_tokens_does_not_load(
    tmp_path: Path, kind: str, problem: str
) -> None:
    document: Json = YAML(typ="safe").load(CONFIGURATION)
    trust = document["trust"][0]
    trust |= {"kind": kind, "issuer": document["issuer"], "audiences": ["orders"]}
    file = tmp_path / "gateway.yaml"
    with file.open("w") as written:
        YAML(typ="safe").dump(document, written)

    with pytest.raises(ConfigurationFault, match=problem):
        load(file, KeyFiles.IGNORED)
