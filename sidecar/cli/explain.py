"""What a check finds at each of its steps, for a person who asks why.

The decision is the pipeline's; this only looks, with the pipeline's own functions, at what it
looked at. Nothing printed here is the token itself.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from sidecar.check import jws
from sidecar.check.claims import find
from sidecar.check.extract import CookieSource, Credential, TokenSource, cookie_finder, extract
from sidecar.check.identity import IdentitySource, Normalised
from sidecar.check.jws import UnverifiedToken
from sidecar.check.path import canonical
from sidecar.check.pipeline import CheckSettings
from sidecar.check.refusal import Refusal
from sidecar.check.routes import METHOD, Route, RouteTable
from sidecar.check.trust import TrustEntry, TrustTable
from sidecar.cli.key_sets import KnownKeys
from sidecar.cli.texts import dated, printable
from sidecar.jose import algorithms
from sidecar.model import RequestView, Step
from sidecar.snapshots.keys import KeySnapshot

Findings = Mapping[Step, tuple[str, ...]]


def explain(
    settings: CheckSettings, request: RequestView, known: KnownKeys, now: float
) -> Findings:
    """What there is to see at each step that could be taken, one line each.

    Args:
        settings: what the configuration says about checks.
        request: the request.
        known: the public keys.
        now: Unix seconds.
    """
    found, route = about_request(settings, request)
    if route is None or route.public:
        return found
    cookies = cookie_finder(settings.sources, settings.cookies).find(request)
    if isinstance(cookies, Refusal):
        return found
    credential = extract(request, settings.sources, cookies)
    found[Step.CREDENTIAL] = about_credential(credential)
    if not isinstance(credential, Credential):
        return found | {Step.POLICY: about_rules(route)}
    seen = about_jwt(settings, settings.trust, credential.text, known, now)
    if Step.POLICY in seen:
        seen[Step.POLICY] = (*about_rules(route), *seen[Step.POLICY])
        seen[Step.IDENTITY] = tuple(
            f"{name} from {_source(source)}" for name, source in settings.identity.headers
        )
    return found | seen


def about_request(
    settings: CheckSettings, request: RequestView
) -> tuple[dict[Step, tuple[str, ...]], Route | None]:
    """The steps before any credential, and the route that takes the request."""
    found: dict[Step, tuple[str, ...]] = {Step.RECEIVE: ()}
    path = canonical(request.path, literal_semicolons=settings.literal_semicolons)
    if isinstance(path, Refusal):
        return found | {Step.PATH: (printable(request.path),)}, None
    found[Step.PATH] = (path,)
    if not METHOD.fullmatch(request.method):
        return found | {Step.ROUTE: (printable(request.method),)}, None
    table = RouteTable(settings.routes)
    route = (
        table.find(request.host, path, request.method)
        if request.route is None
        else table.named(request.route)
    )
    found[Step.ROUTE] = _about_route(route, request)
    return found, route


def about_credential(credential: Credential | Refusal | None) -> tuple[str, ...]:
    """Where a request carries its credential."""
    if isinstance(credential, Credential):
        return (f"in {source_name(credential.source)}",)
    return ("none",) if credential is None else ()


def about_jwt(
    settings: CheckSettings,
    entries: Sequence[TrustEntry],
    text: str,
    known: KnownKeys,
    now: float,
) -> dict[Step, tuple[str, ...]]:
    """The steps from the text of a token to what it grants, held against these trust entries."""
    token = jws.parse(text, settings.token_bytes, settings.token_values)
    digest = sha256(text.encode("latin-1")).hexdigest()
    found = {Step.PARSE: _about_token(text, digest[:16], token)}
    if isinstance(token, Refusal):
        return found
    trust = TrustTable(entries).select(token)
    found[Step.TRUST] = _about_trust(token, trust)
    if isinstance(trust, Refusal):
        return found
    found[Step.KEY] = _about_keys(trust, known, now)
    found[Step.SIGNATURE] = _about_signature(token, trust, known.snapshot, now)
    found[Step.CLAIMS] = _about_claims(token, trust, now)
    found[Step.POLICY] = _about_grants(token, trust)
    return found


def source_name(source: TokenSource) -> str:
    """A token source in words."""
    if isinstance(source, CookieSource):
        return f"the cookie {source.name}"
    scheme = f", behind {source.scheme}" if source.scheme else ""
    return f"the header {source.name}{scheme}"


def _source(source: IdentitySource) -> str:
    return f"the {source.value}" if isinstance(source, Normalised) else ".".join(source)


def _about_route(route: Route | None, request: RequestView) -> tuple[str, ...]:
    if route is None:
        if request.route is not None:
            return (f"none is called {printable(request.route)}",)
        return (f"none for {printable(request.method)} on {printable(request.host) or 'any host'}",)
    if request.route is not None:
        return (f"{route.name}, as named in the request",)
    if route.match is None:
        return (route.name,)
    methods = ", ".join(sorted(route.match.methods)) or "any method"
    hosts = ", ".join(sorted(route.match.hosts)) or "any host"
    return (f"{route.name}: {methods} {route.match.template.text} on {hosts}",)


def _about_token(text: str, fingerprint: str, token: UnverifiedToken | Refusal) -> tuple[str, ...]:
    size = f"{len(text)} bytes, fingerprint {fingerprint}"
    if isinstance(token, Refusal):
        return (size,)
    kid = "no kid" if token.header.kid is None else f"kid {printable(token.header.kid)}"
    return (size, f"alg {printable(token.header.algorithm)}, {kid}, typ {_typ(token)}")


def _typ(token: UnverifiedToken) -> str:
    return "absent" if token.header.type is None else printable(token.header.type)


def _about_trust(token: UnverifiedToken, trust: TrustEntry | Refusal) -> tuple[str, ...]:
    issuer = f"iss {printable(token.claims.get('iss', 'absent'))}, typ {_typ(token)}"
    if isinstance(trust, Refusal):
        return (issuer,)
    return (issuer, f"{trust.name}, for {trust.kind.value} tokens")


def _about_keys(trust: TrustEntry, known: KnownKeys, now: float) -> tuple[str, ...]:
    allowed = f"{trust.name} allows {', '.join(sorted(trust.algorithms))}"
    key_set = known.snapshot.usable(trust.name, now)
    if key_set is None:
        return (allowed, printable(known.missing[trust.name]))
    kids = sorted("without kid" if key.kid is None else key.kid for key in key_set.keys)
    return (allowed, f"its keys: {printable(', '.join(kids))}")


def _about_signature(
    token: UnverifiedToken, trust: TrustEntry, keys: KeySnapshot, now: float
) -> tuple[str, ...]:
    key_set = keys.usable(trust.name, now)
    kid, algorithm = token.header.kid, token.header.algorithm
    candidates = key_set.candidates(kid, algorithm) if key_set else ()
    for key in candidates:
        if algorithms.verify(algorithm, key.public_key, token.signing_input, token.signature):
            return (f"signed by the key {key.thumbprint}",)
    return tuple(f"not signed by the key {key.thumbprint}" for key in candidates)


def _about_claims(token: UnverifiedToken, trust: TrustEntry, now: float) -> tuple[str, ...]:
    audience = find(token.claims, trust.audience_claim)
    return (
        *about_dates(token.claims, now),
        f"{'.'.join(trust.audience_claim)} {printable(audience)}, accepted: "
        + ", ".join(sorted(trust.audiences)),
        f"sub {printable(token.claims.get('sub', 'absent'))}",
    )


def about_dates(claims: Mapping[str, object], now: float) -> tuple[str, ...]:
    """The dates among some claims."""
    return tuple(
        f"{name} {dated(claims[name], now)}" for name in ("iat", "nbf", "exp") if name in claims
    )


def about_rules(route: Route) -> tuple[str, ...]:
    """What a route asks for, in the words of the configuration."""
    lines = [printable(rule.describe()) for rule in route.rules]
    if route.optional:
        lines.append("optional: true")
    return tuple(f"asked for: {line}" for line in lines)


def _about_grants(token: UnverifiedToken, trust: TrustEntry) -> tuple[str, ...]:
    grants = (
        ("scopes", trust.scope_claim),
        ("roles", trust.roles_claim),
        ("groups", trust.groups_claim),
    )
    return tuple(
        f"the token's {name}: {printable(find(token.claims, path) or 'none')}"
        for name, path in grants
    )
