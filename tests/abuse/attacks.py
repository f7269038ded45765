"""What hostile clients send: the attacks on both roles, those on a sidecar and those on a gateway.

Everything is made beforehand, so that the hostile client has nothing to do but to send it.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from tests.support.flood import unknown_keys
from tests.support.hostile import Attack, Fields
from tests.support.tokens import resigned, segment

SECONDS: Final = 1.0
_PER_SECOND: Final = 1000
# For requests of 60 KB each, by the time that they reach the program: so many are 12 MB a second.
_LARGE_PER_SECOND: Final = 200

# As much as fits into one entry of HPACK's table (4,096 bytes with name and overhead, RFC 7541
# §4.1); repeated, it comes to Envoy's limit of 60 KiB.
_ENTRY: Final = 4000
_REPETITIONS: Final = 14


class Sample(NamedTuple):
    """What hostile clients have: tokens of the kind that is believed, and a session.

    ``issue`` makes such tokens, rightly signed: some hostile clients are no strangers.
    """

    issue: Callable[..., str]
    session: str = ""

    @property
    def token(self) -> str:
        """One that has not expired."""
        return self.issue()


def cookie_crumbs(_: Sample) -> Attack:
    """Cookies ``a;a;a;…``, 2,000 for a byte; three connections at 8 kB a second each."""
    return Attack(
        "requests",
        repeated=[("cookie", "a;" * (_ENTRY // 2))] * _REPETITIONS,
        per_second=_LARGE_PER_SECOND,
        connections=3,
    )


def cookies(_: Sample) -> Attack:
    """Cookies with names and values."""
    crumbs = [("cookie", "a=b; " * (_ENTRY // 5))] * _REPETITIONS
    return Attack("requests", repeated=crumbs, per_second=_LARGE_PER_SECOND)


def header_lines(_: Sample) -> Attack:
    """Many lines, each with a name of its own."""
    return Attack("requests", repeated=[(f"x-{n}", "a") for n in range(85)])


def header_values(_: Sample) -> Attack:
    """Lines of one name, as long as they may be."""
    lines = [("x-a", "a" * _ENTRY)] * _REPETITIONS
    return Attack("requests", repeated=lines, per_second=_LARGE_PER_SECOND)


def owned_headers(_: Sample) -> Attack:
    """Lines that have to be removed."""
    return Attack("requests", repeated=[("x-user-id", "a")] * 85)


def long_path(_: Sample) -> Attack:
    """Many segments."""
    return Attack("requests", repeated=[(":path", "/a" * (_ENTRY // 2))])


def escaped_path(_: Sample) -> Attack:
    """A path of escapes alone."""
    return Attack("requests", repeated=[(":path", "/orders/" + "%e2%82%ac" * (_ENTRY // 9))])


def longest_path(_: Sample) -> Attack:
    """As long as Envoy allows: too long to be repeated for a byte."""
    fresh = [[(":path", "/orders/" + "a/%41" * 11_000)]]
    return Attack("requests", fresh=fresh, per_second=_LARGE_PER_SECOND)


def huge_tokens(sample: Sample) -> Attack:
    """As long as Envoy allows."""
    token = sample.token + "A" * 55_000
    return Attack("requests", fresh=[[_bearer(token)]], per_second=_LARGE_PER_SECOND)


def largest_tokens(sample: Sample) -> Attack:
    """As long as is looked at: claims by the hundred, signed by nobody."""
    header, _, _ = sample.token.split(".")
    claims = segment({f"claim-{n}": n for n in range(300)})
    token = f"{header}.{claims}.{segment(secrets.token_bytes(64))}"
    return Attack("requests", fresh=[[_bearer(token)]], per_second=_LARGE_PER_SECOND)


def deep_json(_: Sample) -> Attack:
    """A header of brackets, repeated for a byte."""
    header = segment(b'{"alg":' + b"[" * 2700)
    return Attack("requests", repeated=[_bearer(f"{header}.e30.AAAA")])


def deep_claims(sample: Sample) -> Attack:
    """Claims of brackets."""
    header, _, _ = sample.token.split(".")
    claims = segment(b'{"sub":' + b"[" * 2700)
    return Attack("requests", repeated=[_bearer(f"{header}.{claims}.{'A' * 86}")])


def random_kids(sample: Sample) -> Attack:
    """Each names a key that nobody has heard of."""
    return _fresh_tokens(unknown_keys(sample.token, _number()))


def bad_signatures(sample: Sample) -> Attack:
    """Each has to be verified to be refused."""
    return _fresh_tokens(_forged(sample.token))


def resets(sample: Sample) -> Attack:
    """Requests of the kind that costs the most, given up at once."""
    tokens = [[_bearer(token)] for token in _forged(sample.token)]
    return Attack("resets", fresh=tokens, per_second=200)


def resets_of_cookies(sample: Sample) -> Attack:
    """The same with cookies."""
    return replace(cookies(sample), way="resets")


def unread_answers(_: Sample) -> Attack:
    """Answers of the application's, large ones."""
    return Attack("unread answers", repeated=[(":path", "/healthz")])


def unread_denials(sample: Sample) -> Attack:
    """Answers of ours."""
    return Attack("unread answers", repeated=[_bearer(sample.token + "A")])


def pipelined(sample: Sample) -> Attack:
    """Requests of HTTP/1.1 that do not wait for the answers to earlier ones."""
    tokens = [[_bearer(token)] for token in _forged(sample.token)]
    return Attack("pipelined", fresh=tokens)


def pipelined_unread(_: Sample) -> Attack:
    """The same, for large answers that stay unread."""
    return Attack("pipelined, unread", repeated=[(":path", "/healthz")])


def trickled_heads(sample: Sample) -> Attack:
    """Heads that come a byte at a time on fifty connections."""
    return Attack("trickled", repeated=[_bearer(sample.token)])


def continuations(sample: Sample) -> Attack:
    """A head that does not end."""
    return Attack("continuations", repeated=[_bearer(sample.token)], per_second=200)


def pings(_: Sample) -> Attack:
    """Each is answered."""
    return Attack("pings", per_second=200)


def unread_pings(_: Sample) -> Attack:
    """The answers stay where they are."""
    return Attack("unread pings", per_second=200)


def settings(_: Sample) -> Attack:
    """Each is acknowledged."""
    return Attack("settings", per_second=200)


def priorities(_: Sample) -> Attack:
    """They mean nothing any more (RFC 9113 §5.3.2)."""
    return Attack("priorities", per_second=200)


def window_updates(_: Sample) -> Attack:
    """Windows that open a byte at a time."""
    return Attack("window updates", per_second=200)


def empty_data(_: Sample) -> Attack:
    """A body that has no bytes and no end."""
    return Attack("empty data", per_second=200)


def signed_claims(sample: Sample) -> Attack:
    """Tokens that are good but for the role, with groups by the hundred."""
    groups = [f"group {n}" for n in range(350)]
    return _denied([sample.issue(groups=groups, jti=str(n)) for n in range(50)])


def signed_subject(sample: Sample) -> Attack:
    """A token that is good but for the role; its subject looks like many tokens in the log."""
    return _denied([sample.issue(subject="eyJ" * 1800)])


def opaque_sessions(_: Sample) -> Attack:
    """Sessions that nobody issued. Each is a question to the SSO."""
    fresh = [[("cookie", f"sso_session={secrets.token_urlsafe(32)}")] for _ in range(_number())]
    return Attack("requests", fresh=fresh)


def forged_sessions(sample: Sample) -> Attack:
    """Session tokens that nobody sealed."""
    head, _, _ = sample.session.rpartition(".")
    fresh = [
        [("cookie", f"__Host-session={head}.{segment(secrets.token_bytes(16))}")]
        for _ in range(_number())
    ]
    return Attack("requests", fresh=fresh)


def unread_metrics() -> Attack:
    """Answers of another listener's, on as many connections as it takes, but for a few."""
    return Attack(
        "pipelined, unread", repeated=[(":path", "/metrics")], per_second=50, connections=190
    )


Make = Callable[[Sample], Attack]

ON_BOTH: Final[tuple[Make, ...]] = (
    *(cookie_crumbs, cookies, header_lines, header_values, owned_headers),
    *(long_path, escaped_path, longest_path),
    *(huge_tokens, largest_tokens, deep_json, deep_claims, random_kids, bad_signatures),
    *(resets, resets_of_cookies, unread_answers, unread_denials),
    *(pipelined, pipelined_unread, trickled_heads),
)
ON_SIDECARS: Final[tuple[Make, ...]] = (signed_claims, signed_subject)
ON_GATEWAYS: Final[tuple[Make, ...]] = (opaque_sessions, forged_sessions)
# With these Envoy is left alone, at the edge and in a pod alike.
ON_ENVOY: Final[tuple[Make, ...]] = (
    *(continuations, pings, unread_pings, settings),
    *(priorities, window_updates, empty_data),
)


def _number() -> int:
    return int(_PER_SECOND * SECONDS)


def _bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def _forged(token: str) -> list[str]:
    return [resigned(token, secrets.token_bytes(64)) for _ in range(_number())]


def _denied(tokens: Sequence[str]) -> Attack:
    """Requests for what the bearers of these tokens may not have."""
    fresh = [[(":path", "/support"), _bearer(token)] for token in tokens]
    return Attack("requests", fresh=fresh, per_second=_LARGE_PER_SECOND)


def _fresh_tokens(tokens: Sequence[str]) -> Attack:
    fresh: list[Fields] = [[_bearer(token)] for token in tokens]
    return Attack("requests", fresh=fresh, per_second=_PER_SECOND)
