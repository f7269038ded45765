"""The value types that all layers share: the request, the verified token, the decision.

Everything here is frozen: a value that passed one step cannot change before the next. A verdict
is one of these values and never an exception. They are named tuples because a check creates a dozen
of them, and creating a frozen dataclass takes three times as long.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
U = TypeVar("U")

# RFC 6750 §3.1 and RFC 9470 §3: what a client is told to do better.
INVALID_REQUEST = "invalid_request"
INVALID_TOKEN = "invalid_token"  # noqa: S105 - an error code, not a secret
INSUFFICIENT_SCOPE = "insufficient_scope"
INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"


class Step(Enum):
    """The steps of a check, in the order they are taken. Every reason belongs to exactly one."""

    RECEIVE = "the check itself can be carried out"
    PATH = "the path has one canonical form"
    ROUTE = "a route of this service matches"
    CREDENTIAL = "the request carries at most one credential"
    PARSE = "the token is a well-formed compact JWS"
    TRUST = "its issuer and type are trusted here"
    KEY = "its algorithm is allowed and its key is known"
    SIGNATURE = "the signature holds"
    SESSION = "the session is alive"
    CLAIMS = "the claims are valid here and now"
    POLICY = "the route's rules hold"
    IDENTITY = "the identity fits into headers"
    MINT = "a token for the services can be signed"


# The steps that only the gateway takes.
GATEWAY_STEPS: Final = frozenset({Step.SESSION, Step.MINT})


class _Meaning(NamedTuple):
    step: Step
    status: int
    error: str | None
    sentence: str


class Reason(Enum):
    """Why a request was let through or refused: the closed set behind every log, metric and body.

    ``label``, the name in lower case, is what operators see in metrics, logs, metadata, bodies and
    ``sidecar check``. ``step`` is the step of the check that the reason ends, ``status`` the HTTP
    status the client gets, ``error`` the OAuth error code (RFC 6750 §3.1) where there is one for
    it, ``sentence`` one for a person, in characters that RFC 6750 §3 lets a challenge carry.
    """

    # Let through.
    PUBLIC = _Meaning(Step.ROUTE, 200, None, "The route is public: no credential is looked at.")
    ANONYMOUS = _Meaning(Step.POLICY, 200, None, "The route accepts requests without a credential.")
    AUTHORIZED = _Meaning(
        Step.IDENTITY, 200, None, "The token is valid and the route's rules hold."
    )

    # The request.
    REQUEST_TOO_LARGE = _Meaning(
        Step.RECEIVE, 431, None, "The request has more or larger headers than are looked at here."
    )
    UNSAFE_PATH = _Meaning(
        Step.PATH, 400, INVALID_REQUEST, "The path can be read in more than one way."
    )
    INVALID_METHOD = _Meaning(
        Step.ROUTE, 400, INVALID_REQUEST, "The method is not made of capital letters and hyphens."
    )
    NO_ROUTE = _Meaning(Step.ROUTE, 403, None, "No route of this service matches the request.")
    NO_CREDENTIAL = _Meaning(
        Step.CREDENTIAL, 401, None, "The route needs a token and the request has none."
    )
    UNSUPPORTED_SCHEME = _Meaning(
        Step.CREDENTIAL,
        401,
        None,
        "The Authorization header uses a scheme that is not accepted here.",
    )
    AMBIGUOUS_REQUEST = _Meaning(
        Step.CREDENTIAL,
        400,
        INVALID_REQUEST,
        "The request carries two credentials, or two values of a header that a rule reads.",
    )

    CROSS_SITE_REQUEST = _Meaning(
        Step.CREDENTIAL,
        403,
        None,
        "A page of another site may not make this request with the browser's cookies.",
    )

    # The token.
    TOKEN_TOO_LARGE = _Meaning(
        Step.PARSE, 401, INVALID_TOKEN, "The token is larger than this service accepts."
    )
    MALFORMED_TOKEN = _Meaning(
        Step.PARSE, 401, INVALID_TOKEN, "The token is not a well-formed signed JWT."
    )
    UNSUPPORTED_CRITICAL_HEADER = _Meaning(
        Step.PARSE,
        401,
        INVALID_TOKEN,
        "The token demands an extension that is not understood here.",
    )
    UNTRUSTED_ISSUER = _Meaning(
        Step.TRUST, 401, INVALID_TOKEN, "The token's issuer is not trusted here."
    )
    WRONG_TOKEN_TYPE = _Meaning(
        Step.TRUST, 401, INVALID_TOKEN, "The issuer is trusted, but not for tokens of this type."
    )
    ALGORITHM_NOT_ALLOWED = _Meaning(
        Step.KEY,
        401,
        INVALID_TOKEN,
        "The token's algorithm is not allowed for its issuer or its key.",
    )
    KEYS_UNAVAILABLE = _Meaning(
        Step.KEY, 503, None, "The issuer's keys are not available at the moment."
    )
    UNKNOWN_KEY = _Meaning(
        Step.KEY, 401, INVALID_TOKEN, "The token is signed with a key its issuer does not publish."
    )
    BAD_SIGNATURE = _Meaning(
        Step.SIGNATURE, 401, INVALID_TOKEN, "The token's signature does not hold."
    )
    INVALID_SESSION = _Meaning(
        Step.SESSION, 401, INVALID_TOKEN, "The session token was not made here, or was changed."
    )
    INACTIVE_SESSION = _Meaning(
        Step.SESSION, 401, INVALID_TOKEN, "The session is not active at its issuer."
    )
    INTROSPECTION_UNAVAILABLE = _Meaning(
        Step.SESSION, 503, None, "The session's issuer cannot be asked at the moment."
    )
    INVALID_CLAIM = _Meaning(
        Step.CLAIMS, 401, INVALID_TOKEN, "A claim of the token is missing or not as it has to be."
    )
    EXPIRED = _Meaning(Step.CLAIMS, 401, INVALID_TOKEN, "The token has expired.")
    NOT_YET_VALID = _Meaning(Step.CLAIMS, 401, INVALID_TOKEN, "The token is not valid yet.")
    WRONG_AUDIENCE = _Meaning(
        Step.CLAIMS, 401, INVALID_TOKEN, "The token is meant for another service."
    )
    UNTRUSTED_SUBJECT = _Meaning(
        Step.CLAIMS, 401, INVALID_TOKEN, "The token's subject is not accepted from its issuer."
    )

    # The rules of the route.
    TOKEN_KIND_NOT_ACCEPTED = _Meaning(
        Step.POLICY, 403, None, "The route does not accept tokens of this kind."
    )
    INSUFFICIENT_SCOPE = _Meaning(
        Step.POLICY, 403, INSUFFICIENT_SCOPE, "The token lacks a scope the route needs."
    )
    INSUFFICIENT_USER_AUTHENTICATION = _Meaning(
        Step.POLICY,
        401,
        INSUFFICIENT_USER_AUTHENTICATION,
        "The route needs a more recent or a stronger authentication of the user.",
    )
    MISSING_ROLE = _Meaning(
        Step.POLICY, 403, None, "The token carries none of the roles the route accepts."
    )
    MISSING_GROUP = _Meaning(
        Step.POLICY, 403, None, "The token carries none of the groups the route accepts."
    )
    CALLER_NOT_ALLOWED = _Meaning(
        Step.POLICY, 403, None, "The calling workload is not among those the route accepts."
    )
    CONDITION_NOT_MET = _Meaning(Step.POLICY, 403, None, "The route's condition does not hold.")
    CONDITION_FAILED = _Meaning(
        Step.POLICY, 403, None, "The route's condition could not be evaluated for this request."
    )
    IDENTITY_TOO_LARGE = _Meaning(
        Step.IDENTITY, 403, None, "The token's identity does not fit into the request's headers."
    )

    SIGNING_UNAVAILABLE = _Meaning(
        Step.MINT, 503, None, "No token for the services can be signed at the moment."
    )

    # What the gateway's internal listener does not read.
    MALFORMED_REQUEST = _Meaning(
        Step.RECEIVE, 400, INVALID_REQUEST, "The request is not HTTP as it is read here."
    )
    UNEXPECTED_BODY = _Meaning(
        Step.RECEIVE, 413, None, "The request has a body, and none is read here."
    )

    # The service.
    OVERLOADED = _Meaning(
        Step.RECEIVE, 503, None, "Too many checks at once: this one could not be made in time."
    )
    INTERNAL_ERROR = _Meaning(
        Step.RECEIVE, 500, None, "The check failed inside the authorization service."
    )

    def __init__(self, step: Step, status: int, error: str | None, sentence: str) -> None:
        self.label = self._name_.lower()
        self.step = step
        self.status = status
        self.error = error
        self.sentence = sentence


# The reasons that only the gateway has.
GATEWAY_REASONS: Final = frozenset(
    {Reason.CROSS_SITE_REQUEST, *(reason for reason in Reason if reason.step in GATEWAY_STEPS)}
)

# The reasons that only the gateway's internal listener has.
LISTENER_REASONS: Final = frozenset({Reason.MALFORMED_REQUEST, Reason.UNEXPECTED_BODY})


class RequestView(NamedTuple):
    """One request as the check sees it: what Envoy passes, nothing derived.

    ``headers`` has one entry per field line, pseudo-headers included, names in lower case, values
    as the bytes Envoy received. ``path`` is ``:path`` with its query; empty for a CONNECT without
    one. ``principal`` is the peer identity Envoy took from the client certificate, empty without
    mTLS. ``route`` is the route's name where Envoy's per-route configuration gives one.
    """

    method: str
    path: str
    host: str
    headers: tuple[tuple[str, bytes], ...]
    principal: str = ""
    route: str | None = None

    def values(self, name: str) -> list[bytes]:
        """Every value of the header ``name`` (lower case), one per field line."""
        return [value for key, value in self.headers if key == name]


class TokenKind(Enum):
    """What a token is for. A route accepts kinds, and kinds never mix."""

    REQUEST = "request"
    WORKLOAD = "workload"
    EXTERNAL = "external"


class VerifiedToken(NamedTuple):
    """A token that has been verified.

    It is created in ``check.claims``, when signature, dates, audience and type are valid, and in
    ``session``, for a session that is active at its issuer or that the gateway sealed.

    ``trust`` is the name of the configured trust entry, or of the session's credential,
    ``fingerprint`` the first 16 hex digits of the token's SHA-256: the only form in which a token
    may be named anywhere. ``credential`` is the name of the gateway's credential; a sidecar has
    none.
    """

    trust: str
    kind: TokenKind
    issuer: str
    subject: str
    claims: Mapping[str, object]
    scopes: frozenset[str]
    roles: frozenset[str]
    groups: frozenset[str]
    fingerprint: str
    credential: str = ""


class HeaderChanges(NamedTuple):
    """The changes to the headers of a request that is forwarded to the service.

    A name is never in both: ``overwrite`` replaces every value the client sent, ``remove`` removes
    the header. Names are in lower case; values are printable ASCII, except the rest of a Cookie
    header, which is as the client sent it. ``cookie`` is a ``Set-Cookie`` to add to the response to
    the client, empty for none.
    """

    overwrite: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    cookie: str = ""


class Deny(NamedTuple):
    """The request is refused.

    ``detail`` is more specific than the reason's sentence; it never contains text from the client.
    ``challenge`` has further parameters of ``WWW-Authenticate``, by name: what the client needs
    instead. ``fingerprint`` identifies the token that was checked, empty if there was none;
    ``token`` is set only if it was verified. ``cookie`` is a ``Set-Cookie`` for the client, empty
    for none. ``held`` has the values that were refused, by name: from the request, or from a token
    with a valid signature. It is only for the log and the status page, which cut and redact it; no
    response contains it.
    """

    reason: Reason
    route: str | None = None
    detail: str = ""
    fingerprint: str = ""
    token: VerifiedToken | None = None
    challenge: tuple[tuple[str, str], ...] = ()
    cookie: str = ""
    held: tuple[tuple[str, str], ...] = ()


class Allow(NamedTuple):
    """The request is forwarded to the service.

    ``would_deny`` is set only in shadow mode: the denial that was decided and not enforced.
    """

    reason: Reason
    route: str | None
    headers: HeaderChanges
    token: VerifiedToken | None = None
    would_deny: Deny | None = None


Decision = Allow | Deny


class Tried(NamedTuple):
    """A token without a kid, by its SHA-256, and the keys of which none has signed it."""

    digest: bytes
    keys: frozenset[Any]


class KeyQuestion(NamedTuple):
    """A question for the key of a token, to the verification keys, which may have to fetch it.

    ``kid`` is that of the token, None if it has none: then ``tried`` are the keys that it was
    verified with, None if there were none. The answer is the snapshot of keys to verify the token
    with, or None if a fetch that began after the question brought no such key.
    """

    trust: str
    kid: str | None
    tried: Tried | None = None


class Late(Enum):
    """The answer to a question for which there was none in time."""

    LATE = "late"


LATE: Final = Late.LATE

Question = KeyQuestion | Callable[[], Awaitable[object]]
"""What a check needs to know before it can resume. A callable is called and awaited on the event
loop; its result is the answer."""


class Pending(NamedTuple, Generic[T]):
    """A result that is not known yet: a question, and a function that resumes with the answer.

    ``resume`` is called once, with the answer, or with ``LATE`` if there was none in time, and with
    the time in Unix seconds. It returns the result or the next question; after ``LATE`` it always
    returns the result.
    """

    question: Question
    resume: "Callable[[Any, float], T | Pending[T]]"

    def then(self, go_on: "Callable[[T, float], U | Pending[U]]") -> "Pending[U]":
        """Apply ``go_on`` to the result, with the time in Unix seconds."""

        def resume(answer: object, now: float) -> "U | Pending[U]":
            result = self.resume(answer, now)
            return result.then(go_on) if isinstance(result, Pending) else go_on(result, now)

        return Pending(self.question, resume)


def ask(question: Callable[[], Awaitable[T]], *, late: T) -> Pending[T]:
    """A result that is the answer to the question, or ``late`` if there is none in time."""
    return Pending(question, lambda answer, _now: late if answer is LATE else answer)
