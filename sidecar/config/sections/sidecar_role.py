"""A sidecar's configuration: its model, its rules, and what becomes of it."""

from collections.abc import Iterator
from typing import Final

from sidecar.check.identity import IdentitySettings
from sidecar.check.pipeline import CheckSettings
from sidecar.config.build import Configuration, Loaded, build, route, token_source, trust_entry
from sidecar.config.key_files import examine
from sidecar.config.rules import Finding
from sidecar.config.sections.roles import Role
from sidecar.config.sections.sidecar import Sidecar
from sidecar.config.sections.sidecar_rules import RULES, accepted_kinds


def _doubts(sidecar: Sidecar) -> Iterator[Finding]:
    if sidecar.mode == "shadow":
        text = "mode is shadow: every request is let through, whatever is decided about it"
        yield Finding(("mode",), text)


def _build(sidecar: Sidecar, loaded: Loaded) -> Configuration:
    check = CheckSettings(
        trust=tuple(map(trust_entry, sidecar.trust)),
        routes=tuple(route(item, accepted_kinds(item.allow)) for item in sidecar.routes),
        identity=IdentitySettings(
            headers=tuple(sidecar.identity.headers.items()),
            strip=sidecar.identity.strip,
            passed=sidecar.identity.passed,
            forward_token=sidecar.identity.forward_token,
            maximum_bytes=sidecar.identity.max_bytes,
        ),
        sources=tuple(map(token_source, sidecar.token_sources)),
        literal_semicolons=sidecar.paths.semicolons == "literal",
        shadow=sidecar.mode == "shadow",
        maximum_cookies=sidecar.limits.cookies,
        maximum_token_bytes=sidecar.limits.token_bytes,
        maximum_token_values=sidecar.limits.token_values,
        remembered_tokens=sidecar.limits.remembered_tokens,
    )
    return build(sidecar, loaded, check)


SIDECAR: Final = Role(
    model=Sidecar,
    rules=RULES,
    doubts=_doubts,
    examine=examine,
    build=_build,
    lists=("trust", "routes"),
    stand_ins={"role": "sidecar", "routes": []},
)
