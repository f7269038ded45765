"""What an issuer's answer means, member by member."""

import json
from dataclasses import replace
from pathlib import Path
from time import thread_time

import pytest

from sidecar.check.refusal import Refusal
from sidecar.clients.http import Response
from sidecar.model import Reason, TokenKind, VerifiedToken
from sidecar.session.answers import UnusableAnswer, Verdict, read
from sidecar.session.settings import (
    MOST_NAMES,
    IntrospectionSettings,
    SecretAuthentication,
)
from tests.support.hard_documents import hard_documents
from tests.support.settings import introspection_settings

NOW = 1_000_000.0
URL = "https://sso.example/introspect"
SETTINGS = introspection_settings(
    name="sso",
    url=URL,
    authentication=SecretAuthentication("gateway", Path("unused")),
    leeway=10.0,
)

# Whose a session is, as operators are told it with a refusal.
ALICE = (("issuer", "sso"), ("sub", "alice"))


def answered(
    settings: IntrospectionSettings = SETTINGS, active: object = True, **members: object
) -> Verdict:
    """The verdict on an answer; a member given as None is left out."""
    answer = {"active": active, "sub": "alice", **members}
    present = {name: value for name, value in answer.items() if value is not None}
    return read(Response(200, {}, json.dumps(present).encode()), settings, "f00d", NOW)


def session(verdict: Verdict) -> VerifiedToken:
    assert isinstance(verdict, VerifiedToken), verdict
    return verdict


def unusable(body: bytes, status: int = 200) -> str:
    with pytest.raises(UnusableAnswer) as fault:
        read(Response(status, {}, body), SETTINGS, "f00d", NOW)
    return str(fault.value)


def test_an_active_session_is_whose_the_issuer_says() -> None:
    token = session(answered(exp=NOW + 60, scope="orders:read", client_id="shop"))
    assert token == VerifiedToken(
        trust="sso",
        kind=TokenKind.EXTERNAL,
        issuer=URL,
        subject="alice",
        claims=token.claims,
        scopes=frozenset({"orders:read"}),
        roles=frozenset(),
        groups=frozenset(),
        fingerprint="f00d",
    )
    assert token.claims["client_id"] == "shop"


def test_scopes_roles_and_groups_are_where_the_configuration_says() -> None:
    settings = replace(
        SETTINGS,
        scopes=frozenset({"shop"}),
        scope_claim=("ext", "scp"),
        roles_claim=("realm_access", "roles"),
        groups_claim=("memberOf",),
    )
    token = session(
        answered(
            settings,
            ext={"scp": ["orders:read"]},
            realm_access={"roles": ["customer"]},
            memberOf=["staff"],
            scope="elsewhere",
            roles=["elsewhere"],
            groups=["elsewhere"],
        )
    )
    assert token.scopes == {"shop", "orders:read"}
    assert token.roles == {"customer"}
    assert token.groups == {"staff"}


def test_an_inactive_session_is_refused_whatever_else_is_said() -> None:
    assert answered(active=False, exp="nonsense") == Refusal(Reason.INACTIVE_SESSION)


@pytest.mark.parametrize("active", ["true", 1, None, {}, "false", 0])
def test_active_is_a_boolean(active: object) -> None:
    with pytest.raises(UnusableAnswer, match="does not say whether the session is active"):
        answered(active=active)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not UTF-8 JSON"),
        (b"<!doctype html><h1>Sign in</h1>", "is not UTF-8 JSON"),
        (b"true", "is not a JSON object"),
        (b'[{"active": true, "sub": "alice"}]', "is not a JSON object"),
        (b'{"active": true, "active": false}', "holds a name twice"),
        (b'{"active": true, "sub": "alice", "exp": NaN}', "holds NaN or an infinity"),
    ],
)
def test_nonsense_is_no_answer(body: bytes, problem: str) -> None:
    assert unusable(body) == f"{URL} gave an answer that {problem}"


@pytest.mark.parametrize(
    ("client", "accepted"),
    [
        ("login", True),
        ("portal", True),
        ("somebody-else", False),
        (None, False),
        (["login"], False),
    ],
)
def test_a_session_may_have_to_be_that_of_a_named_client(client: object, accepted: bool) -> None:
    verdict = answered(replace(SETTINGS, clients=frozenset({"login", "portal"})), client_id=client)

    if accepted:
        session(verdict)
    else:
        accepts = "sso accepts the clients: login, portal"
        expected = f"client_id is missing; {accepts}" if client is None else accepts
        held = (("client_id", client),) if isinstance(client, str) else ()
        assert verdict == Refusal(Reason.WRONG_AUDIENCE, expected, held=(*held, *ALICE))


def test_a_kind_of_token_that_its_issuer_does_not_issue_is_a_plain_no() -> None:
    answer = Response(400, {}, b'{"error": "unsupported_token_type"}')

    verdict = read(answer, SETTINGS, "f00d", NOW)

    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.INACTIVE_SESSION


@pytest.mark.parametrize("body", [b'{"error": "invalid_request"}', b"{}", b"<html>", b""])
def test_no_other_bad_request_is_an_answer(body: bytes) -> None:
    assert unusable(body, 400) == f"{URL} answered with status 400 instead of 200"


@pytest.mark.parametrize("status", [201, 204, 400, 403, 404, 500, 502])
def test_only_200_is_an_answer(status: int) -> None:
    expected = f"{URL} answered with status {status} instead of 200"
    assert unusable(b'{"active": true, "sub": "alice"}', status) == expected


@pytest.mark.parametrize("subject", [None, "", 17, ["alice"], True])
def test_a_session_is_somebodys(subject: object) -> None:
    problem = "is not a string" if subject else "is missing"
    assert answered(sub=subject) == Refusal(Reason.INVALID_CLAIM, f"sub {problem}")


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
def test_a_bearer_token_is_one_in_any_case_and_where_nothing_is_said(kind: object) -> None:
    body = json.dumps({"active": True, "sub": "alice", "token_type": kind}).encode()

    assert session(read(Response(200, {}, body), SETTINGS, "f00d", NOW)).subject == "alice"


@pytest.mark.parametrize(
    "kind", ["DPoP", "dpop", "mac", "N_A", "refresh_token", "", "Bearer ", 7, ["Bearer"], False]
)
def test_any_other_type_of_token_is_no_session(kind: object) -> None:
    expected = Refusal(Reason.INACTIVE_SESSION, "its issuer says that it is no bearer token")
    assert answered(token_type=kind) == expected


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", False])
def test_a_session_that_is_bound_to_a_key_is_refused_unless_it_is_accepted(cnf: object) -> None:
    lenient = replace(SETTINGS, accept_bound_tokens=True)
    refused = answered(cnf=cnf, token_type="Bearer")

    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.INACTIVE_SESSION
    assert refused.detail.startswith("cnf binds it to a key, and no proof of that key is checked")
    assert session(answered(lenient, cnf=cnf, token_type="DPoP")).subject == "alice"
    assert isinstance(answered(lenient, cnf=cnf, token_type="mac"), Refusal)


@pytest.mark.parametrize("member", ["token_use", "typ"])
@pytest.mark.parametrize(
    "use",
    [
        *("refresh", "Refresh", "refresh_token", "refresh-token", "refreshToken", "REFRESH TOKEN"),
        *("Offline", "offline_access", "ID", "id_token", "application/rt+jwt", "logout+jwt"),
        *(["refresh"], ["access", "refresh_token"]),
    ],
)
def test_a_token_to_get_others_or_to_know_who_logged_in_is_no_session(
    member: str, use: object
) -> None:
    expected = f"its issuer says in {member} that it is no access token"
    assert answered(SETTINGS, **{member: use}) == Refusal(Reason.INACTIVE_SESSION, expected)


@pytest.mark.parametrize("member", ["token_use", "typ"])
@pytest.mark.parametrize("use", ["access", "access_token", "Bearer", "JWT", "at+jwt", 7, ["x"]])
def test_other_uses_are_left_to_the_issuer(member: str, use: object) -> None:
    assert session(answered(SETTINGS, **{member: use})).subject == "alice"


@pytest.mark.parametrize("name", hard_documents(1024))
def test_the_hardest_answers_cost_little(name: str) -> None:
    body = hard_documents(SETTINGS.http.answer_bytes)[name]
    began = thread_time()

    with pytest.raises(UnusableAnswer):
        read(Response(200, {}, body), SETTINGS, "f00d", NOW)

    # CPU seconds of this thread; the hardest takes a few milliseconds.
    assert thread_time() - began < 0.1


def test_the_longest_lists_of_an_active_session_cost_little() -> None:
    many = [f"{number:x}" for number in range(SETTINGS.http.answer_bytes // 40)]
    began = thread_time()

    verdict = answered(scope=" ".join(many), roles=many, groups=many, aud=many)

    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.IDENTITY_TOO_LARGE
    assert thread_time() - began < 0.1


def test_that_a_session_has_ended_counts_before_what_kind_it_was() -> None:
    assert answered(active=False, token_type="DPoP") == Refusal(Reason.INACTIVE_SESSION)


def test_a_session_without_an_end_is_accepted() -> None:
    assert session(answered(exp=None)).subject == "alice"


def test_the_subject_is_the_member_that_is_named_and_no_other() -> None:
    named = replace(SETTINGS, subject_claim=("username",))
    assert session(answered(named, sub="bob", username="alice")).subject == "alice"
    assert session(answered(named, sub=None, username="alice")).subject == "alice"
    assert session(answered(sub="bob", username="alice")).subject == "bob"
    for username in (None, ""):
        assert answered(named, username=username) == Refusal(
            Reason.INVALID_CLAIM, "username is missing, and subject_claim of sso names it"
        )
    assert answered(named, username=7) == Refusal(Reason.INVALID_CLAIM, "username is not a string")


def test_a_refusal_names_the_subject_by_the_member_that_is_named() -> None:
    named = replace(SETTINGS, subject_claim=("user", "id"))
    refused = answered(named, sub="bob", user={"id": "alice"}, exp=NOW - 60)
    assert isinstance(refused, Refusal)
    assert refused.held[-2:] == ALICE


MEMBERS = (
    *("exp", "nbf", "iat", "iss", "aud", "client_id", "username", "token_type", "token_use", "typ"),
    *("scope", "roles", "groups", "jti", "cnf", "email"),
)


@pytest.mark.parametrize("name", [*MEMBERS, "sub", "active"])
@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        replace(SETTINGS, audiences=frozenset({"shop"})),
        replace(SETTINGS, clients=frozenset({"shop"})),
    ],
)
def test_a_member_that_is_null_is_absent(name: str, settings: IntrospectionSettings) -> None:
    absent = {"active": True, "sub": "alice"}
    absent.pop(name, None)
    verdicts: list[object] = []
    for answer in (absent, absent | {name: None}):
        try:
            body = json.dumps(answer).encode()
            verdicts.append(read(Response(200, {}, body), settings, "f00d", NOW))
        except UnusableAnswer as fault:
            verdicts.append(str(fault))
    assert verdicts[0] == verdicts[1]


def test_with_every_optional_member_null_a_session_is_a_session() -> None:
    answer = {"active": True, "sub": "alice", **dict.fromkeys(MEMBERS)}
    found = read(Response(200, {}, json.dumps(answer).encode()), SETTINGS, "f00d", NOW)
    assert session(found).claims == {"active": True, "sub": "alice"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"exp": NOW - 9.9}, None),
        ({"exp": NOW - 10}, Reason.EXPIRED),
        ({"exp": "tomorrow"}, Reason.INVALID_CLAIM),
        ({"exp": True}, Reason.INVALID_CLAIM),
        ({"nbf": NOW + 10}, None),
        ({"nbf": NOW + 10.1}, Reason.NOT_YET_VALID),
        ({"iat": NOW + 10.1}, Reason.NOT_YET_VALID),
        ({"nbf": "soon"}, Reason.INVALID_CLAIM),
    ],
)
def test_dates_hold_within_the_leeway(members: dict[str, object], reason: Reason | None) -> None:
    verdict = answered(SETTINGS, **members)
    assert (verdict.reason if isinstance(verdict, Refusal) else None) is reason


@pytest.mark.parametrize("audience", ["shop", ["other", "shop"]])
def test_an_audience_that_is_ours_is_accepted(audience: object) -> None:
    settings = replace(SETTINGS, audiences=frozenset({"shop"}))
    assert session(answered(settings, aud=audience)).subject == "alice"


@pytest.mark.parametrize("audience", ["other", ["other"], []])
def test_an_audience_that_is_not_ours_is_refused(audience: object) -> None:
    settings = replace(SETTINGS, audiences=frozenset({"shop"}))
    held = (("aud", "other" if audience else ""), *ALICE)
    assert answered(settings, aud=audience) == Refusal(
        Reason.WRONG_AUDIENCE, "sso accepts: shop", held=held
    )


@pytest.mark.parametrize("audience", [None, 17, ["shop", 17]])
def test_where_an_audience_is_needed_it_has_to_be_there(audience: object) -> None:
    settings = replace(SETTINGS, audiences=frozenset({"shop"}))
    problem = "missing" if audience is None else "not a string or a list of strings"
    expected = Refusal(Reason.INVALID_CLAIM, f"aud is {problem}", held=ALICE)
    assert answered(settings, aud=audience) == expected


def test_of_a_session_with_more_names_than_any_check_can_look_at_none_is() -> None:
    many = [f"group-{number}" for number in range(MOST_NAMES)]
    assert session(answered(groups=many)).groups == frozenset(many)

    detail = f"more than {MOST_NAMES} scopes, roles and groups"
    expected = Refusal(Reason.IDENTITY_TOO_LARGE, detail, held=ALICE)
    assert answered(groups=many, roles=["one-more"]) == expected
    assert answered(scope=" ".join([*many, "one-more"])) == expected


def test_the_issuer_is_who_it_says_or_who_it_is_configured_to_be() -> None:
    named = replace(SETTINGS, issuer="https://sso.example")
    assert session(answered(iss="https://any.example")).issuer == "https://any.example"
    assert session(answered(named, iss="https://sso.example")).issuer == "https://sso.example"
    assert session(answered(named)).issuer == "https://sso.example"


def test_an_issuer_that_calls_itself_something_else_is_refused() -> None:
    settings = replace(SETTINGS, issuer="https://sso.example")
    expected = Refusal(
        Reason.UNTRUSTED_ISSUER,
        "sso accepts: https://sso.example",
        held=(("iss", "https://sso.example/"),),
    )
    assert answered(settings, iss="https://sso.example/") == expected


@pytest.mark.parametrize("issuer", ["", 17, ["https://sso.example"]])
def test_an_issuer_is_a_name(issuer: object) -> None:
    assert answered(iss=issuer) == Refusal(Reason.INVALID_CLAIM, "iss is not a name")
