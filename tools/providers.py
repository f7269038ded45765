"""Writes the page about identity providers from ``examples/providers``."""

from collections.abc import Iterable, Iterator

from examples.providers.folders import HELD_OFF, OBTAINED, Provider, all_providers
from sidecar.check.claims import find
from sidecar.check.trust import ClaimPath, TrustEntry


def providers() -> str:
    """What each provider's tokens look like, and who can obtain one."""
    every = sorted(all_providers(), key=lambda provider: provider.title)
    return "\n".join(
        [
            "# Identity providers",
            "",
            "A configuration for each provider, with its policy tests, with tokens and keys as the",
            "provider makes them, and with what to know about it. Names, ids and keys are made up.",
            "",
            "## What their tokens look like",
            "",
            "Which claims hold the audience, the subject (with the subjects that are accepted),",
            "scopes, roles and groups, and which further claims must be there or have a value. A",
            "cell is empty where the provider's tokens have none.",
            "",
            "| provider | kind | issuer | algorithms | `typ` | audience | subject | required "
            "| scopes | roles | groups |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *(row for provider in every for row in _tokens(provider)),
            "",
            "## Who can obtain one",
            "",
            "A valid signature says who issued a token, and the audience whom it is for. Neither",
            "says that whoever requested it is one of yours: some serve the whole world.",
            "",
            f"| provider | {OBTAINED.lower()} | {HELD_OFF.lower()} |",
            "|---|---|---|",
            *(
                f"| {_link(provider)} | {_on_one_line(provider, OBTAINED)} "
                f"| {_on_one_line(provider, HELD_OFF)} |"
                for provider in every
            ),
            "",
        ]
    )


def _tokens(provider: Provider) -> Iterator[str]:
    """A row for each trust entry."""
    for entry in provider.configuration().check.trust:
        accepted = [
            token.claims
            for token in provider.tokens.accepted
            if all(each.accepts(find(token.claims, each.claim)) for each in entry.claim_values)
        ]
        cells = [
            _link(provider),
            f"`{entry.kind.value}`",
            ", ".join(f"`{issuer}`" for issuer in entry.written_issuers),
            _names(entry.algorithms),
            _names(name or "none" for name in entry.types),
            _claim(entry.audience_claim),
            ": ".join([_claim(entry.subject_claim), *filter(None, [_names(entry.subjects)])]),
            ", ".join(_required(entry)),
            *(
                _claim(path) if any(find(claims, path) for claims in accepted) else ""
                for path in _grants(entry)
            ),
        ]
        yield f"| {' | '.join(cells)} |"


def _required(entry: TrustEntry) -> Iterator[str]:
    """The claims that must be there, or have a value, besides the subject."""
    for required in entry.claim_values:
        yield f"{_claim(required.claim)}: {_names(map(str, required.values))}"
    for path in entry.required_claims:
        if path != entry.subject_claim:
            yield _claim(path)


def _grants(entry: TrustEntry) -> tuple[ClaimPath, ...]:
    return entry.scope_claim, entry.roles_claim, entry.groups_claim


def _link(provider: Provider) -> str:
    return f"[{provider.title}](../examples/providers/{provider.directory.name})"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _claim(path: ClaimPath) -> str:
    """A claim as a configuration has it."""
    return f"`{path[0]}`" if len(path) == 1 else f"`[{', '.join(path)}]`"


def _on_one_line(provider: Provider, heading: str) -> str:
    return " ".join(provider.sections[heading].split()).replace("|", "\\|")
