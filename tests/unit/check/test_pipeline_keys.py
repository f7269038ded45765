"""What the pipeline does about keys: those it has, those it needs, and tokens it remembers."""

from dataclasses import replace
from hashlib import sha256

import pytest

from sidecar.model import Allow, Deny, KeyQuestion, Pending, Reason, Tried
from sidecar.snapshots.keys import KeySnapshot
from tests.support.checks import (
    CLUSTER,
    GATEWAY,
    NOW,
    Service,
    claims,
    key_question,
    key_set,
    key_unknown,
    keys_unavailable,
    request,
    snapshot,
    token,
)
from tests.support.tokens import key_for, new_key, resigned, sign

OTHER_KEY = new_key("ES256", "other")


def test_an_unknown_kid_is_asked_for_and_both_verdicts_are_known() -> None:
    result = Service().check(request(token(OTHER_KEY)))

    assert key_question(result) == KeyQuestion("gateway", "other")
    unknown, unavailable = key_unknown(result), keys_unavailable(result)
    assert isinstance(unknown, Deny)
    assert isinstance(unavailable, Deny)
    assert unknown.reason is Reason.UNKNOWN_KEY
    assert unavailable.reason is Reason.KEYS_UNAVAILABLE
    assert unknown.detail == unavailable.detail == "gateway has no key of this id"
    assert unknown.route == unavailable.route == "read-order"
    assert unknown.fingerprint == unavailable.fingerprint != ""


def test_with_the_key_that_was_asked_for_the_check_goes_on() -> None:
    result = Service().check(request(token(OTHER_KEY)))

    assert isinstance(result, Pending)
    decision = result.resume(snapshot(OTHER_KEY), NOW)
    assert not isinstance(decision, Pending)
    assert decision.reason is Reason.AUTHORIZED


def test_what_a_check_waits_for_does_not_show_its_token() -> None:
    text = token(OTHER_KEY)

    assert text not in repr(Service().check(request(text)))


def test_a_key_is_asked_for_once() -> None:
    result = Service().check(request(token(OTHER_KEY)))

    assert isinstance(result, Pending)
    decision = result.resume(snapshot(), NOW)
    assert not isinstance(decision, Pending)
    assert decision.reason is Reason.UNKNOWN_KEY


def test_with_the_key_in_the_snapshot_the_same_token_passes() -> None:
    service = Service()
    view = request(token(OTHER_KEY))
    assert key_question(service.check(view))

    service.keys = snapshot(key_for("ES256"), OTHER_KEY)
    assert service.reason(view) is Reason.AUTHORIZED


def test_where_there_are_keys_a_token_without_a_kid_waits_for_no_other() -> None:
    nameless = sign(claims(), OTHER_KEY, kid=None)

    assert Service().deny(request(nameless)).reason is Reason.BAD_SIGNATURE
    assert Service(snapshot(OTHER_KEY)).reason(request(nameless)) is Reason.AUTHORIZED


WITHOUT_KID = replace(GATEWAY, without_kid=True)


def test_of_an_issuer_whose_tokens_have_no_kid_any_key_may_be_new() -> None:
    nameless = sign(claims(), OTHER_KEY, kid=None)
    service = Service(trust=(WITHOUT_KID, CLUSTER))
    known = service.keys.sets["gateway"].keys

    result = service.check(request(nameless))

    tried = Tried(sha256(nameless.encode()).digest(), known)
    assert key_question(result) == KeyQuestion("gateway", None, tried)
    unknown, unavailable = key_unknown(result), keys_unavailable(result)
    assert isinstance(unknown, Deny)
    assert isinstance(unavailable, Deny)
    assert (unknown.reason, unavailable.reason) == (Reason.UNKNOWN_KEY, Reason.KEYS_UNAVAILABLE)
    assert unknown.detail == unavailable.detail == "no key of gateway has signed it"


@pytest.mark.parametrize(
    ("brought", "reason"),
    [
        (snapshot(key_for("ES256"), OTHER_KEY), Reason.AUTHORIZED),
        (snapshot(key_for("ES256"), new_key("ES256", "third")), Reason.UNKNOWN_KEY),
    ],
)
def test_a_token_without_a_kid_is_verified_with_the_keys_that_were_fetched_for_it(
    brought: KeySnapshot, reason: Reason
) -> None:
    service = Service(trust=(WITHOUT_KID, CLUSTER))
    result = service.check(request(sign(claims(), OTHER_KEY, kid=None)))

    assert isinstance(result, Pending)
    decision = result.resume(brought, NOW)
    assert isinstance(decision, Allow | Deny)
    assert decision.reason is reason


def test_a_known_kid_of_an_issuer_whose_tokens_have_none_is_decided_at_once() -> None:
    service = Service(trust=(WITHOUT_KID, CLUSTER))
    forged = sign(claims(), OTHER_KEY, kid=key_for("ES256").kid)

    assert service.deny(request(forged)).reason is Reason.BAD_SIGNATURE
    assert service.reason(request(sign(claims(), key_for("ES256"), kid=None))) is Reason.AUTHORIZED


@pytest.mark.parametrize(("candidates", "reason"), [(1, False), (2, False), (3, True)])
def test_as_many_keys_are_tried_as_configured_and_it_is_told_that_there_are_more(
    candidates: int, reason: bool
) -> None:
    keys = [new_key("ES256", f"{number}") for number in range(3)]
    entry = replace(GATEWAY, key_candidates=candidates)
    service = Service(snapshot(*keys), trust=(entry, CLUSTER))
    nameless = request(sign(claims(), keys[2], kid=None))
    told = f"only {candidates} of the keys that fit were tried; key_candidates allows more"

    if reason:
        assert service.reason(nameless) is Reason.AUTHORIZED
        forged = request(sign(claims(), OTHER_KEY, kid=None))
        assert service.deny(forged).detail == ""
        return
    deny = service.deny(nameless)
    assert (deny.reason, deny.detail) == (Reason.BAD_SIGNATURE, told)

    asking = Service(snapshot(*keys), trust=(replace(entry, without_kid=True), CLUSTER))
    unknown = key_unknown(asking.check(nameless))
    assert isinstance(unknown, Deny)
    assert (unknown.reason, unknown.detail) == (Reason.UNKNOWN_KEY, told)


def test_an_unknown_kid_is_not_the_only_thing_told_where_keys_without_one_were_not_tried() -> None:
    keys = [new_key("ES256", f"{number}").jwk(kid=None) for number in range(5)]

    unknown = key_unknown(Service(snapshot(*keys)).check(request(token(OTHER_KEY))))

    assert isinstance(unknown, Deny)
    assert unknown.detail == (
        "gateway has no key of this id; only 4 of the keys that fit were tried; key_candidates "
        "allows more"
    )


def test_a_key_without_a_kid_is_tried_before_one_is_asked_for() -> None:
    service = Service(snapshot(OTHER_KEY.jwk(kid=None)))

    assert service.reason(request(token(OTHER_KEY))) is Reason.AUTHORIZED
    assert key_question(service.check(request(token(key_for("ES256")))))


@pytest.mark.parametrize(
    "keys",
    [KeySnapshot(), KeySnapshot({"gateway": key_set(key_for("ES256"), usable_until=NOW)})],
    ids=["never read", "too old"],
)
def test_without_keys_no_token_of_the_issuer_is_decided(keys: KeySnapshot) -> None:
    needed = Service(keys).check(request(text := token()))

    assert key_question(needed) == KeyQuestion("gateway", key_for("ES256").kid)
    unknown, unavailable = key_unknown(needed), keys_unavailable(needed)
    assert isinstance(unknown, Deny)
    assert isinstance(unavailable, Deny)
    assert unavailable.reason is Reason.KEYS_UNAVAILABLE
    assert unavailable.detail == "the keys of gateway were never read or are too old"
    assert unknown.reason is Reason.UNKNOWN_KEY
    assert unknown.detail == "gateway has no key of this id"
    assert Service(keys).reason(request(text)) is Reason.KEYS_UNAVAILABLE


def test_without_keys_a_token_without_a_kid_asks_for_any() -> None:
    needed = Service(KeySnapshot()).check(request(sign(claims(), key_for("ES256"), kid=None)))

    assert key_question(needed).kid is None


def test_an_algorithm_that_no_key_of_this_id_is_for_is_refused() -> None:
    key = key_for("ES256")
    service = Service(snapshot({**key_for("RS256").jwk(), "kid": key.kid}))

    deny = service.deny(request(token(key)))
    assert (deny.reason, deny.detail) == (
        Reason.ALGORITHM_NOT_ALLOWED,
        "no key of gateway is for it",
    )


def test_an_algorithm_that_the_issuer_may_not_use_is_refused() -> None:
    entry = replace(GATEWAY, algorithms=frozenset({"RS256", "EdDSA"}))

    deny = Service(trust=(entry, CLUSTER)).deny(request(token()))
    assert (deny.reason, deny.detail) == (
        Reason.ALGORITHM_NOT_ALLOWED,
        "gateway allows: EdDSA, RS256",
    )


# What is remembered.


def test_a_token_seen_before_is_not_verified_again() -> None:
    service = Service()
    first = service.check(request(token_text := token()))
    second = service.check(request(token_text))

    assert first == second
    assert service.observer.lookups == [False, True]
    assert service.pipeline.remembered_tokens == 1


def test_a_token_that_was_refused_for_its_signature_is_not_remembered() -> None:
    service = Service()
    service.check(request(resigned(token(), b"\x01" * 64)))

    assert service.pipeline.remembered_tokens == 0


def test_a_remembered_token_expires() -> None:
    service = Service()
    view = request(token())
    assert service.reason(view) is Reason.AUTHORIZED

    assert service.reason(view, now=NOW + 69.9) is Reason.AUTHORIZED
    assert service.reason(view, now=NOW + 70) is Reason.EXPIRED


def test_a_remembered_token_is_held_against_every_route_anew() -> None:
    service = Service()
    text = token()
    assert service.reason(request(text)) is Reason.AUTHORIZED

    assert service.reason(request(text, path="/staff")) is Reason.MISSING_ROLE
    assert service.observer.lookups == [False, True]


def test_a_remembered_token_dies_with_its_key() -> None:
    service = Service()
    view = request(token())
    assert service.reason(view) is Reason.AUTHORIZED

    service.keys = snapshot(OTHER_KEY)
    assert key_question(service.check(view))
    assert service.pipeline.remembered_tokens == 0


def test_a_remembered_token_needs_keys_that_are_fresh_enough() -> None:
    service = Service()
    view = request(token(lifetime=86400))
    assert service.reason(view) is Reason.AUTHORIZED

    assert service.reason(view, now=NOW + 3600) is Reason.KEYS_UNAVAILABLE


def test_a_remembered_token_survives_a_snapshot_that_still_has_its_key() -> None:
    service = Service()
    view = request(token())
    service.check(view)

    service.keys = snapshot(OTHER_KEY, key_for("ES256"))
    assert service.reason(view) is Reason.AUTHORIZED
    assert service.observer.lookups == [False, True]
