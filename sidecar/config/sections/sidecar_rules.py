"""The rules between values that hold for a sidecar alone."""

from collections.abc import Iterator
from typing import Final

from sidecar.check.identity import folded
from sidecar.check.rules import DEFAULT_KINDS
from sidecar.config import rules as semantics
from sidecar.config.problems import Location
from sidecar.config.rules import Draft, Finding, Rule, listed, sources_are_one_thing
from sidecar.config.sections.key_rules import RULES as KEY_RULES
from sidecar.config.sections.sidecar import Sidecar, SidecarAllow
from sidecar.model import TokenKind


def accepted_kinds(allow: SidecarAllow) -> frozenset[TokenKind]:
    """The kinds of token a route accepts."""
    return frozenset(allow.tokens) if allow.tokens else DEFAULT_KINDS


def _trust_is_needed(draft: Draft[Sidecar]) -> Iterator[Finding]:
    if draft.root.trust or draft.bad & {"trust", "routes"}:
        return
    if not all(item.allow.public for item in draft.root.routes):
        yield Finding(
            ("trust",), "no issuer is trusted; write at least one entry, or make every route public"
        )


def _kinds_are_provided(draft: Draft[Sidecar]) -> Iterator[Finding]:
    if "trust" in draft.bad or not draft.root.trust:
        return
    provided = {trust.kind for trust in draft.root.trust}
    for location, item in draft.located("routes", draft.root.routes):
        if item.allow.public:
            continue
        for kind in sorted(accepted_kinds(item.allow) - provided, key=lambda kind: kind.value):
            default = "" if item.allow.tokens else " (which is what a route accepts by default)"
            text = (
                f"no trust entry is of kind {kind.value}{default}; add one, or name in tokens: "
                f"{listed(sorted(kind.value for kind in provided))}"
            )
            yield Finding((*location, "allow", "tokens"), text)


def _token_sources(draft: Draft[Sidecar]) -> Iterator[Finding]:
    if "token_sources" not in draft.bad:
        sources = draft.root.token_sources
        yield from sources_are_one_thing(
            draft, ((("token_sources", index), source) for index, source in enumerate(sources))
        )


def _identity_has_its_own_headers(draft: Draft[Sidecar]) -> Iterator[Finding]:
    if "identity" in draft.bad:
        return
    identity = draft.root.identity
    owned: list[tuple[Location, str]] = [
        (("identity", "headers", name), name) for name in identity.headers
    ]
    owned += [(("identity", "strip", index), name) for index, name in enumerate(identity.strip)]
    passed = [(("identity", "pass", index), name) for index, name in enumerate(identity.passed)]
    yield from semantics.headers_are_distinct(draft, [*owned, *passed])
    if "token_sources" in draft.bad:
        return
    carriers = semantics.carriers(draft.root.token_sources)
    for location, name in owned:
        if folded(name) in carriers:
            yield Finding(location, f"{name} carries the token; choose another header")
    for location, name in passed:
        if name in carriers:
            text = (
                f"{name} is a token source: what goes on is verified here, and forward_token says "
                "whether it does; leave it out"
            )
            yield Finding(location, text)


RULES: Final[tuple[Rule[Sidecar], ...]] = (
    *semantics.RULES,
    *KEY_RULES,
    _trust_is_needed,
    _kinds_are_provided,
    _token_sources,
    _identity_has_its_own_headers,
)
