from dataclasses import replace
from typing import Any

import pytest

from sidecar.check.claims import SignedToken, find, verify
from sidecar.check.refusal import Refusal
from sidecar.check.trust import RequiredValue
from sidecar.model import Reason, VerifiedToken
from tests.support.checks import CLUSTER, GATEWAY, ISSUER, NOW, claims


def verified(changes: dict[str, Any], **entry: Any) -> VerifiedToken | Refusal:
    """The verdict about the usual claims with these changed; None leaves one out."""
    trust = replace(GATEWAY, **entry)
    return verify(SignedToken(trust, claims() | changes, "0123456789abcdef"), NOW)


def reason(changes: dict[str, Any], **entry: Any) -> Reason | None:
    result = verified(changes, **entry)
    return result.reason if isinstance(result, Refusal) else None


def test_a_verified_token_carries_what_the_rules_ask_for() -> None:
    token = verified({"scope": "a b", "roles": ["r"], "groups": ["g", "h"]})

    assert isinstance(token, VerifiedToken)
    assert (token.trust, token.kind, token.issuer) == ("gateway", GATEWAY.kind, ISSUER)
    assert (token.subject, token.fingerprint) == ("alice", "0123456789abcdef")
    assert token.scopes == {"a", "b"}
    assert token.roles == {"r"}
    assert token.groups == {"g", "h"}


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        (NOW + 1, None),
        (NOW - 9, None),
        (NOW - 9.999, None),
        (NOW - 10, Reason.EXPIRED),
        (0, Reason.EXPIRED),
        (-1, Reason.EXPIRED),
    ],
)
def test_a_token_lives_until_its_leeway_is_over(expires: float, expected: Reason | None) -> None:
    assert reason({"exp": expires}) is expected


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(
    ("start", "expected"),
    [(NOW, None), (NOW + 10, None), (NOW + 10.5, Reason.NOT_YET_VALID), (0, None)],
)
def test_a_token_begins_to_live_a_leeway_early(
    name: str, start: float, expected: Reason | None
) -> None:
    assert reason({name: start}) is expected


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ["1900000000", True, False, [], {}, 10**400, -(10**400), float("nan")]
)
def test_a_date_is_a_finite_number(name: str, value: object) -> None:
    assert verified({name: value}) == Refusal(
        Reason.INVALID_CLAIM, f"{name} is not a finite number"
    )


def test_a_token_must_expire() -> None:
    missing = Refusal(Reason.INVALID_CLAIM, "exp is missing")

    assert verify(SignedToken(GATEWAY, claims(exp=None), ""), NOW) == missing
    assert verified({"exp": None}) == missing


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_date_that_may_be_missing_is_no_null(name: str) -> None:
    assert verified({name: None}) == Refusal(Reason.INVALID_CLAIM, f"{name} is not a finite number")


@pytest.mark.parametrize("audience", ["orders", ["orders"], ["billing", "orders", "orders"]])
def test_one_audience_in_common_is_enough(audience: object) -> None:
    assert reason({"aud": audience}) is None


@pytest.mark.parametrize(
    ("audience", "held"),
    [
        ("billing", "billing"),
        ("Orders", "Orders"),
        ("orders/", "orders/"),
        ("", ""),
        ([], ""),
        (["billing", "stock"], "billing, stock"),
    ],
)
def test_a_token_for_others_is_refused_and_operators_see_for_whom_it_is(
    audience: object, held: str
) -> None:
    assert verified({"aud": audience}) == Refusal(
        Reason.WRONG_AUDIENCE, "gateway accepts: orders", held=(("aud", held),)
    )


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"exp": NOW - 42.4}, ("exp", "42 s ago")),
        ({"nbf": NOW + 90}, ("nbf", "in 90 s")),
        ({"iat": NOW + 11}, ("iat", "in 11 s")),
    ],
)
def test_operators_see_by_how_much_a_date_is_off(
    changes: dict[str, float], held: tuple[str, str]
) -> None:
    refusal = verified(changes)
    assert isinstance(refusal, Refusal)
    assert refusal.held == (held,)


@pytest.mark.parametrize("audience", [7, False, ["orders", 7], ["orders", None], {"orders": 1}])
def test_an_audience_is_a_string_or_a_list_of_strings(audience: object) -> None:
    assert verified({"aud": audience}) == Refusal(
        Reason.INVALID_CLAIM, "aud is not a string or a list of strings"
    )


def test_a_missing_audience_is_called_missing() -> None:
    missing = Refusal(Reason.INVALID_CLAIM, "aud is missing")

    assert verify(SignedToken(GATEWAY, claims(audience=None), ""), NOW) == missing
    assert verified({"aud": None}) == missing


def test_another_claim_may_say_whom_a_token_is_for() -> None:
    entry = {"audience_claim": ("client", "id")}

    assert reason({"aud": "billing", "client": {"id": "orders"}}, **entry) is None
    assert reason({"client": {"id": "billing"}}, **entry) is Reason.WRONG_AUDIENCE
    assert verified({"client": "orders"}, **entry) == Refusal(
        Reason.INVALID_CLAIM, "client.id is missing"
    )


@pytest.mark.parametrize("subject", [None, 7, ["alice"], {"id": "alice"}])
def test_a_subject_is_a_string(subject: object) -> None:
    assert verified({"sub": subject}) == Refusal(Reason.INVALID_CLAIM, "sub is not a string")


def test_only_subjects_that_are_listed_are_accepted() -> None:
    entry = {"subjects": CLUSTER.subjects}

    assert reason({"sub": "system:serviceaccount:shop:billing"}, **entry) is None
    assert verified({"sub": "system:serviceaccount:other:billing"}, **entry) == Refusal(
        Reason.UNTRUSTED_SUBJECT, "subjects of gateway are: system:serviceaccount:shop:*"
    )


def test_a_token_without_a_subject_is_nobody_that_is_listed() -> None:
    document = claims(sub=None)

    anyone = verify(SignedToken(GATEWAY, document, ""), NOW)
    assert isinstance(anyone, VerifiedToken)
    assert anyone.subject == ""
    listed = verify(SignedToken(replace(GATEWAY, subjects=("*",)), document, ""), NOW)
    assert listed == Refusal(Reason.UNTRUSTED_SUBJECT, "sub is missing")


@pytest.mark.parametrize("tenant", [{}, {"tenant": None}, {"tenant": {"id": ""}}, {"tenant": "x"}])
def test_a_required_claim_must_say_something(tenant: dict[str, object]) -> None:
    assert verified(tenant, required_claims=(("tenant", "id"),)) == Refusal(
        Reason.INVALID_CLAIM, "tenant.id is missing"
    )


def test_a_required_claim_may_be_anything_that_is_there() -> None:
    required = (("tenant",), ("level",))

    assert reason({"tenant": {"id": 1}, "level": 0}, required_claims=required) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a b", {"a", "b"}),
        ("  a  ", {"a"}),
        ("", set()),
        (["a", "b c", ""], {"a", "b c"}),
        ([1, None, "a"], {"a"}),
        (None, set()),
        (7, set()),
        ({"a": True}, set()),
    ],
)
def test_scopes_are_words_or_a_list(value: object, words: set[str]) -> None:
    token = verified({"scp": value}, scope_claim=("scp",))

    assert isinstance(token, VerifiedToken)
    assert token.scopes == words


@pytest.mark.parametrize(
    ("value", "names"),
    [("a b", {"a b"}), ("", set()), (["a", 1, ""], {"a"}), (None, set()), ({"a": 1}, set())],
)
def test_roles_and_groups_are_names_that_may_hold_spaces(value: object, names: set[str]) -> None:
    token = verified(
        {"realm": {"roles": value, "groups": value}},
        roles_claim=("realm", "roles"),
        groups_claim=("realm", "groups"),
    )

    assert isinstance(token, VerifiedToken)
    assert token.roles == names
    assert token.groups == names


def test_a_claim_is_found_by_its_path_and_names_may_hold_dots() -> None:
    document = {"a": {"b": 1}, "https://shop.test/x.y": 2, "list": [1]}

    assert find(document, ("a", "b")) == 1
    assert find(document, ("https://shop.test/x.y",)) == 2
    assert find(document, ("a", "b", "c")) is None
    assert find(document, ("list", "0")) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is missing"),
        ("example.net", "differs"),
        (True, "differs"),
        (["example.org"], "is not text, a boolean or a whole number"),
        ({"hd": "example.org"}, "is not text, a boolean or a whole number"),
        (1.5, "is not text, a boolean or a whole number"),
    ],
)
def test_a_required_value_is_told_with_what_is_accepted(value: object, problem: str) -> None:
    required = RequiredValue.of(("org", "hd"), ["example.org", 7, False])
    refused = verified({"org": {"hd": value}}, claim_values=(required,))

    assert isinstance(refused, Refusal)
    assert refused[:2] == (
        Reason.INVALID_CLAIM,
        f"org.hd {problem}; accepted: 7, example.org, false",
    )
    held = {"example.net": "example.net", True: "true"} if problem == "differs" else {}
    assert refused.held == (((("org.hd", held[value]),)) if held else ())


@pytest.mark.parametrize(
    ("accepted", "value", "advice"),
    [
        (True, "true", 'it is text, so write "true" in quotes'),
        (45678901, "45678901", 'it is text, so write "45678901" in quotes'),
        ("true", True, "it is no text, so write true without quotes"),
        ("7", 7, "it is no text, so write 7 without quotes"),
    ],
)
def test_a_value_that_differs_in_its_json_type_alone_is_told_how_to_be_written(
    accepted: str | int, value: object, advice: str
) -> None:
    required = RequiredValue.of(("ref_protected",), [accepted, "other"])
    refused = verified({"ref_protected": value}, claim_values=(required,))

    assert isinstance(refused, Refusal)
    assert refused.detail.startswith(f"ref_protected differs in its JSON type alone: {advice}; acc")


@pytest.mark.parametrize("value", ["True", " true", 1, 0, False, "truer"])
def test_a_value_that_is_written_in_another_way_differs_in_more_than_its_type(
    value: object,
) -> None:
    refused = verified({"ok": value}, claim_values=(RequiredValue.of(("ok",), [True]),))

    assert isinstance(refused, Refusal)
    assert refused.detail == "ok differs; accepted: true"


def test_a_token_with_every_required_value_is_verified() -> None:
    required = (RequiredValue.of(("hd",), ["example.org"]), RequiredValue.of(("ok",), [True]))

    assert reason({"hd": "example.org", "ok": True}, claim_values=required) is None


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", [], False, 0])
def test_a_token_that_is_bound_to_a_key_is_refused_unless_it_is_accepted(cnf: object) -> None:
    refused = verified({"cnf": cnf})

    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.INVALID_CLAIM
    assert refused.detail.startswith("cnf binds it to a key, and no proof of that key is checked")
    assert refused.detail.endswith("accept_bound_tokens: true is written")
    assert reason({"cnf": cnf}, accept_bound_tokens=True) is None


def test_a_binding_of_null_is_none() -> None:
    assert reason({"cnf": None}) is None


def test_the_subject_is_the_claim_that_is_named_and_no_other() -> None:
    named = {"subject_claim": ("user", "id"), "required_claims": (("user", "id"),)}
    token = verified({"sub": "bob", "user": {"id": "alice"}}, **named)

    assert isinstance(token, VerifiedToken)
    assert token.subject == "alice"
    for user in ({}, {"id": None}, {"id": ""}, "alice", None):
        assert verified({"sub": "alice", "user": user}, **named) == Refusal(
            Reason.INVALID_CLAIM,
            "user.id is missing, and subject_claim of gateway names it",
        )
    assert verified({"user": {"id": 7}}, **named) == Refusal(
        Reason.INVALID_CLAIM, "user.id is not a string"
    )


def test_patterns_of_subjects_are_for_the_claim_that_is_named() -> None:
    named = {"subject_claim": ("oid",), "subjects": ("a-*",), "required_claims": (("oid",),)}

    assert reason({"sub": "b", "oid": "a-1"}, **named) is None
    assert reason({"sub": "a-1", "oid": "b"}, **named) is Reason.UNTRUSTED_SUBJECT
    assert verified({"sub": "a-1"}, **named) == Refusal(
        Reason.UNTRUSTED_SUBJECT, "oid is missing, and subject_claim of gateway names it"
    )
