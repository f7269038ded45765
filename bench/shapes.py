"""The most expensive request there is, by shape, against the check of a new token.

Every request of a shape brings a new ES256 token, as those that it is compared with do: what else
it brings is all that the ratio shows. Its size is that of our own limits, or of Envoy's where it is
lower (60 KiB of headers). What is above a limit is refused early; that has its price as well.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.figures import TIMES, Figure
from bench.gateway import PARTNER, SESSION_COOKIE
from bench.in_process import Checks, sidecar_checks
from bench.mint import minting_gateway
from bench.sampling import cpu_per_call, interleaved, ratio
from bench.service import BROWSER, HOST, TRIED, Service, described
from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from tests.support.gateway_process import ISSUER
from tests.support.tokens import SigningKey, claims, sign

BUDGET: Final = 3.0

_PUBLIC_PATH: Final = "/public"
_OWN_PATH: Final = "/owners/alice/orders"
_OWN: Final = {
    "name": "own",
    "match": {"path": "/owners/{owner}/**"},
    "allow": {"scopes": ["orders:read"], "when": "claims.sub != request.params.owner"},
}
_KEPT_PATH: Final = "/kept"
_KEPT: Final = {
    "name": "kept",
    "match": {"path": f"{_KEPT_PATH}/{{name}}:verb", "encoded_slashes": "keep"},
    "allow": {"scopes": ["orders:read"], "when": "claims.sub != request.params.name"},
}
_READ_PATH: Final = "/read"
_READ: Final = {
    "name": "read",
    "match": {"path": _READ_PATH},
    "allow": {
        "headers": ["x-tenant"],
        "when": "!('none' in token.groups) && !('none' in token.scopes) && request.headers != {}",
    },
}
_PUBLIC: Final = {"name": "public", "match": {"path": _PUBLIC_PATH}, "allow": {"public": True}}

_PROTOCOLS: Final = "sec-websocket-protocol"

_BATCH: Final = 20
_PLAIN: Final = "a new token and nothing else"
# Below Envoy's limit, with the rest of a request; and what our own limits leave for a shape.
_HEAD: Final = 58_000
_LINES: Final = 480
_COOKIES: Final = 1000
_PATH: Final = 8190
_CLAIMS: Final = 5300
_VALUES: Final = 370


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request has besides a new token; ``claims`` and ``header`` are the token's.

    ``budget`` is for each shape alone: without one it is there to be looked at.
    """

    name: str
    headers: tuple[tuple[str, bytes], ...] = ()
    path: str = _OWN_PATH
    host: str = HOST
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = BUDGET


class Role(NamedTuple):
    """A role in this process, and who signs its clients' tokens.

    ``claims`` makes those of a token with these changed; ``cookie`` may carry a token.
    """

    name: str
    checks: Checks
    key: SigningKey
    claims: Callable[..., dict[str, Any]]
    cookie: str

    def bodies(self, shape: Shape, number: int) -> list[bytes]:
        """So many requests of a shape, each with a token of its own."""
        return [self._body(shape, f"{index:08}") for index in range(number)]

    def reason(self, body: bytes) -> str:
        """Why a request is let through or refused."""
        metadata = CheckResponse.FromString(self.checks.answer(body)).dynamic_metadata
        return metadata.fields["reason"].string_value

    def _body(self, shape: Shape, number: str) -> bytes:
        document = self.claims(jti=number, **shape.claims)
        payload = json.dumps(document, separators=(",", ":")).encode()
        token = sign(payload, self.key, **shape.header)
        headers = [
            *((name, value.encode()) for name, value in BROWSER.items()),
            ("authorization", f"Bearer {token}".encode()),
            *shape.headers,
        ]
        return described(headers, path=shape.path, host=shape.host)


def measure(*, quick: bool) -> list[Figure]:
    """The cost of each shape for each role."""
    rounds = 3 if quick else 15
    figures: list[Figure] = []
    for role in (_sidecar, _gateway):
        with role() as running:
            figures += _measured(running, rounds)
    return figures


def _measured(role: Role, rounds: int) -> Iterator[Figure]:
    shapes = (Shape(_PLAIN), *request_shapes(role), *token_shapes())
    bodies = {shape.name: role.bodies(shape, rounds * _BATCH + 1) for shape in shapes}
    reasons = {name: role.reason(all_of_one.pop()) for name, all_of_one in bodies.items()}

    def batch(name: str, number: int) -> float:
        some = bodies[name][number * _BATCH : (number + 1) * _BATCH]
        return cpu_per_call(role.checks.answer, some)

    samples = interleaved({name: partial(batch, name) for name in bodies}, rounds)
    for shape in shapes[1:]:
        value = ratio(samples[shape.name], samples[_PLAIN])
        name = f"{role.name}, {shape.name}: {reasons[shape.name]}"
        yield Figure(name, (value,), TIMES, shape.budget)


def request_shapes(role: Role) -> Iterator[Shape]:
    """Shapes of everything but the token."""
    cookie = role.cookie.encode()
    for name, line in {
        "cookies within the limit": b"a;" * _COOKIES,
        "cookies that nearly carry a token": (cookie + b";") * _COOKIES,
        "cookies that carry tokens": (cookie + b"=;") * _COOKIES,
        "cookies of one byte": b"a;" * (_HEAD // 2),
        "a cookie of spaces": b" " * _HEAD,
        "a cookie of commas": b"," * _HEAD,
        "cookies that only some servers find": (b"a," + cookie + b"=;") * _COOKIES,
        "a large cookie": b"a=" + b"x" * _HEAD,
    }.items():
        yield Shape(name, (("cookie", line),))
    cut = b"=;" + b"a=\xff;" * (_COOKIES - 1)
    yield Shape("cookies that are not text, public", (("cookie", cookie + cut),), _PUBLIC_PATH)
    tokens = (cookie + b"=;") * _COOKIES
    yield Shape("cookies that carry tokens, public", (("cookie", tokens),), _PUBLIC_PATH)
    for name, member in {"protocols": b"a,", "protocols that carry tokens": b"bearer.,"}.items():
        yield Shape(name, ((_PROTOCOLS, member * 63),))
    yield Shape("large protocols", ((_PROTOCOLS, (b"x" * 900 + b",") * 63),))
    yield Shape("large members that are no protocols", ((_PROTOCOLS, (b"x" * 900 + b" ,") * 63),))
    yield Shape("protocols above the limit", ((_PROTOCOLS, b"," * _HEAD),))
    yield Shape("protocols, public", ((_PROTOCOLS, (b"x" * 900 + b",") * 63),), _PUBLIC_PATH)
    yield Shape("header lines within the limit", _numbered("a", _LINES))
    yield Shape("header lines nearly called as ours", _numbered("x_user-", _LINES))
    yield Shape("header lines called as ours", _spellings("x-user-id", _LINES))
    yield Shape("header lines", _numbered("", 8000))
    yield Shape("lines of cookies", (("cookie", b"a;"),) * _LINES)
    for header in ("origin", "x-request-id", "content-type", "x-forwarded-for", "x" * _HEAD):
        yield Shape(f"a large {header[:15]}", ((header, b"," * _HEAD),))
    yield Shape("a second, large Authorization", (("authorization", b"a" * _HEAD),))
    for name, unit in {
        "segments": "a/",
        "dots": ".a/",
        "letters, encoded": "%41",
        "letters, every other encoded": "%41a",
        "spaces, encoded": "%20",
        "slashes, encoded": "%2F",
        "Chinese, encoded": "%e4%b8%80",
        "brackets": "[",
        "semicolons": ";",
    }.items():
        yield Shape(f"a path of {name}", path=_filled(_OWN_PATH + "/", unit, _PATH))
    kept = _filled(f"{_KEPT_PATH}/", "a%2F", _PATH - len("a:verb")) + "a:verb"
    yield Shape("a path of slashes that are kept", path=kept)
    for name, lines in {
        "a large header that a condition reads": (b"a" * _HEAD,),
        "a list in a header that a condition reads": (b"," * _HEAD,),
        "lines of a header that a condition reads": (b"a",) * _LINES,
    }.items():
        yield Shape(name, tuple(("x-tenant", line) for line in lines), _READ_PATH)
    yield Shape("a large path", path=_filled(_OWN_PATH, "a", _HEAD))
    yield Shape("a large query", path=_filled(f"{_OWN_PATH}?", "?", _HEAD))
    yield Shape("a large host", host="a" * _HEAD)
    yield Shape("a host of commas", host="," * _HEAD)
    yield Shape(
        "the worst of each",
        (*_numbered("x_user-", _LINES), ("cookie", (cookie + b";") * _COOKIES)),
        _filled(f"{_OWN_PATH}/", "%20", _PATH),
        claims={"groups": [f" %{number:x} " for number in range(_VALUES)]},
        budget=None,
    )


def token_shapes() -> Iterator[Shape]:
    """Shapes of the token's claims."""
    many = _VALUES // 2
    yield Shape("a token above the limit", claims={"x": "a" * _HEAD})
    yield Shape("claims", claims={f"c{number}": 1 for number in range(_VALUES)})
    for name, value in {
        "lists": [[]] * many,
        "objects": [{}] * many,
        "objects with a member": [{"a": 1}] * many,
        "deep lists": [_nested(28)] * (_VALUES // 30),
        "lists above the limit": [[]] * (_CLAIMS // 3),
        "strings of brackets": ["["] * many,
        "a string of quotes": '"' * (_CLAIMS // 2),
        "a string of escapes": "\n" * (_CLAIMS // 2),
        "numbers with a point": [1.5] * _VALUES,
        "a large integer": 10**999,
        "an integer above the limit": 10**4000,
    }.items():
        yield Shape(name, claims={"x": value})
    yield Shape("scopes", claims={"scope": _filled("orders:read", " a", _CLAIMS)})
    distinct = [f"{number:x}" for number in range(_VALUES)]
    yield Shape("distinct scopes", claims={"scope": " ".join(["orders:read", *distinct])})
    for name in ("groups", "roles", "amr"):
        yield Shape(name, claims={name: distinct})
    yield Shape(
        "groups and a header that a condition reads",
        (("x-tenant", b"a"),),
        _READ_PATH,
        claims={"groups": distinct},
    )
    yield Shape("groups to be encoded", claims={"groups": [f" %{name} " for name in distinct]})
    yield Shape("groups that are lists", claims={"groups": [[]] * many})
    for name, text in {"percent signs": "%", "letters": "a", "spaces": " ", "accents": "é"}.items():
        yield Shape(
            f"a subject of {name}", claims={"sub": text * (_CLAIMS // (len(json.dumps(text)) - 2))}
        )
    # The key that signed it is behind as many others as are tried.
    yield Shape("no kid, and as many keys as are tried", header={"kid": None})
    yield Shape("an actor of lists", claims={"act": {"sub": "a", "x": [[]] * many}})


def _filled(begin: str, unit: str, size: int) -> str:
    return begin + unit * ((size - len(begin)) // len(unit))


def _spellings(name: str, number: int) -> tuple[tuple[str, bytes], ...]:
    """So many header lines, each with another spelling of a name of ours."""
    marks = product("!#$%&'*+-.^_`|~", repeat=name.count("-"))
    names = (name.replace("-", "{}").format(*chosen) for chosen in cycle(marks))
    return tuple((each, b"") for each in islice(names, number))


def _numbered(prefix: str, number: int) -> tuple[tuple[str, bytes], ...]:
    return tuple((f"{prefix}{index}", b"") for index in range(number))


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth > 1 else []


@contextmanager
def _sidecar() -> Iterator[Role]:
    """With a cookie that may carry the token, which goes no further, and a condition."""
    cookie = "__Host-token"
    with tempfile.TemporaryDirectory() as name:
        service = Service(Path(name), keys=TRIED + 1)
        service.configuration["token_sources"] = [
            {"header": "authorization", "scheme": "Bearer"},
            {"cookie": cookie},
            {"header": _PROTOCOLS, "prefix": "bearer."},
        ]
        service.configuration["identity"]["forward_token"] = False
        service.configuration["routes"] += [_PUBLIC, _OWN, _KEPT, _READ]
        checks = sidecar_checks(service, Path(name))

    def about(**changes: Any) -> dict[str, Any]:
        return _customer(issuer=service.issuer, audience="orders", **changes)

    yield Role("sidecar", checks, service.keys["ES256"], about, cookie)


@contextmanager
def _gateway() -> Iterator[Role]:
    checked = [route | {"token": {"audiences": ["orders"]}} for route in (_OWN, _KEPT)]
    limited = {"audiences": ["orders"], "groups": ["a*", "b*:c*", "gold"]}
    checked.append(_READ | {"token": limited})
    routes = [_PUBLIC, *checked]
    with minting_gateway(further_routes=routes) as (gateway, checks):

        def about(**changes: Any) -> dict[str, Any]:
            return _customer(issuer=PARTNER, audience=ISSUER, **changes)

        yield Role("gateway", checks, gateway.partner, about, SESSION_COOKIE)


def _customer(**changes: Any) -> dict[str, Any]:
    usual = {
        "subject": "customer-00000000",
        "lifetime": 3600,
        "scope": "orders:read",
        "groups": ["gold"],
        "roles": ["customer"],
        "realm_access": {"roles": ["customer"]},
    }
    subject = changes.pop("sub", usual["subject"])
    return claims(**{**usual, "subject": subject, **changes})
