"""Reads introspection responses (RFC 7662 §2.2). Pure.

An answer that does not say clearly whether a session is active is a fault, and refuses the request.
"""

import re
from typing import Final

from sidecar.check.claims import (
    BOUND,
    about,
    check_audience,
    check_dates,
    find,
    invalid,
    names_in,
    scopes_in,
    without_subject,
)
from sidecar.check.jws import media_type
from sidecar.check.refusal import Refusal
from sidecar.clients.http import Response, redacted_url
from sidecar.errors import SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object
from sidecar.model import Reason, TokenKind, VerifiedToken
from sidecar.session.settings import MOST_NAMES, IntrospectionSettings

Verdict = VerifiedToken | Refusal

_AUDIENCE: Final = ("aud",)
# The types of tokens (RFC 6749 §7.1, RFC 9449 §5), in lower case.
_BEARER: Final = frozenset({"bearer"})
_BEARER_OR_BOUND: Final = frozenset({"bearer", "dpop"})
# The members in which issuers name the use of a token, and the uses that are no session. Spellings
# differ between issuers in hyphens and capitals, which are ignored.
_USE_MEMBERS: Final = ("token_use", "typ")
_OTHER_USES: Final = frozenset(
    {
        *("refresh", "refreshtoken", "refreshjwt", "rtjwt", "offline", "offlineaccess"),
        *("offlinetoken", "id", "idtoken", "idjwt", "logout", "logouttoken", "logoutjwt"),
    }
)
_NO_LETTER: Final = re.compile(r"[^a-z]+")


class UnusableAnswer(SourceFault):
    """The issuer answered, but the answer does not say whether the session is active."""


def read(
    response: Response, settings: IntrospectionSettings, fingerprint: str, now: float
) -> Verdict:
    """The session that an answer describes, or why it is refused.

    Args:
        response: the issuer's answer; any response.
        settings: what the answer must match.
        fingerprint: the session's, as ``VerifiedToken.fingerprint``.
        now: Unix seconds.

    Raises:
        UnusableAnswer: it is not a JSON object that says whether the session is active.
    """
    if _is_unsupported_token_type(response):
        return Refusal(Reason.INACTIVE_SESSION, "it is no session that its issuer would issue")
    answer = _present(_document(response, settings.url))
    active = answer.get("active")
    if active is False:
        return Refusal(Reason.INACTIVE_SESSION)
    if active is not True:
        raise UnusableAnswer(
            f"{redacted_url(settings.url)} does not say whether the session is active"
        )
    return (
        _other_than_a_session(answer, accept_bound=settings.accept_bound_tokens)
        or _refusal(answer, settings, now)
        or _session(answer, settings, fingerprint)
    )


def _is_unsupported_token_type(response: Response) -> bool:
    """Whether the error is ``unsupported_token_type`` (RFC 7009 §2.2.1): the token is not active.

    Some providers answer with it for any JWT. It is no fault of the issuer, which a client could
    otherwise cause.
    """
    try:
        error = load_object(response.body).get("error") if response.status == 400 else None
    except StrictJsonError:
        return False
    return error == "unsupported_token_type"


def _document(response: Response, url: str) -> dict[str, object]:
    if response.status != 200:
        raise UnusableAnswer(
            f"{redacted_url(url)}{response.via} answered with status {response.status} "
            "instead of 200"
        )
    try:
        return load_object(response.body)
    except StrictJsonError as fault:
        raise UnusableAnswer(f"{redacted_url(url)} gave an answer that {fault}") from fault


def _present(answer: dict[str, object]) -> dict[str, object]:
    """The answer without members that are null: some servers write those that they do not have."""
    if None not in answer.values():
        return answer
    return {name: value for name, value in answer.items() if value is not None}


def _other_than_a_session(answer: dict[str, object], *, accept_bound: bool) -> Refusal | None:
    """The refusal of an active token that is not a bearer access token; None for one that is.

    RFC 7662 §2.2: ``token_type`` is that of RFC 6749 §5.1, compared without case. A token that is
    bound to a key has ``cnf``, and one bound by DPoP another type (RFC 9449 §6.2). Its proof is not
    checked here, so it is refused unless ``accept_bound``.
    """
    kind, accepted = answer.get("token_type"), _BEARER_OR_BOUND if accept_bound else _BEARER
    if kind is not None and not (isinstance(kind, str) and kind.lower() in accepted):
        return Refusal(Reason.INACTIVE_SESSION, "its issuer says that it is no bearer token")
    if answer.get("cnf") is not None and not accept_bound:
        return Refusal(Reason.INACTIVE_SESSION, f"cnf {BOUND}")
    for member in _USE_MEMBERS:
        if not _OTHER_USES.isdisjoint(_uses(answer.get(member))):
            detail = f"its issuer says in {member} that it is no access token"
            return Refusal(Reason.INACTIVE_SESSION, detail)
    return None


def _uses(value: object) -> list[str]:
    """The uses that a member names, in lower case, without characters that are not letters."""
    return [_NO_LETTER.sub("", media_type(use)) for use in names_in(value)]


def _refusal(
    answer: dict[str, object], settings: IntrospectionSettings, now: float
) -> Refusal | None:
    """Why an active session is refused; None if it is accepted."""
    refusal = check_dates(answer, now, settings.leeway)
    if refusal is None and settings.audiences:
        refusal = check_audience(answer, _AUDIENCE, settings.audiences, settings.name)
    client = answer.get("client_id")
    if refusal is None and settings.clients and not _is_one_of(client, settings.clients):
        # A token that a user granted to another client is no login here.
        accepted = f"{settings.name} accepts the clients: {', '.join(sorted(settings.clients))}"
        refusal = Refusal(
            Reason.WRONG_AUDIENCE,
            f"client_id is missing; {accepted}" if client is None else accepted,
            held=(("client_id", client),) if isinstance(client, str) else (),
        )
    if refusal is None:
        return None
    return about(answer, settings.name, refusal, settings.subject_claim)


def _is_one_of(value: object, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names


def _session(
    answer: dict[str, object], settings: IntrospectionSettings, fingerprint: str
) -> Verdict:
    # TLS authenticates the issuer, so ``iss`` may be absent; but it must not name another issuer.
    issuer = answer.get("iss", settings.issuer or settings.url)
    if not isinstance(issuer, str) or not issuer:
        return invalid("iss", "is not a name")
    if settings.issuer not in (None, issuer):
        return Refusal(
            Reason.UNTRUSTED_ISSUER,
            f"{settings.name} accepts: {settings.issuer}",
            held=(("iss", issuer),),
        )
    subject = find(answer, settings.subject_claim)
    if subject is None or subject == "":
        return without_subject(settings.subject_claim, settings.name)
    if not isinstance(subject, str):
        return invalid(".".join(settings.subject_claim), "is not a string")
    scopes = scopes_in(find(answer, settings.scope_claim))
    roles = names_in(find(answer, settings.roles_claim))
    groups = names_in(find(answer, settings.groups_claim))
    if len(scopes) + len(roles) + len(groups) > MOST_NAMES:
        detail = f"more than {MOST_NAMES} scopes, roles and groups"
        refusal = Refusal(Reason.IDENTITY_TOO_LARGE, detail)
        return about(answer, settings.name, refusal, settings.subject_claim)
    return VerifiedToken(
        trust=settings.name,
        kind=TokenKind.EXTERNAL,
        issuer=issuer,
        subject=subject,
        claims=answer,
        scopes=scopes | settings.scopes,
        roles=roles,
        groups=groups,
        fingerprint=fingerprint,
    )
