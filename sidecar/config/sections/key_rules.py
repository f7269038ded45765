"""The rules between the values of ``trust[].keys``, and those that need the entry around it."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from sidecar.config.problems import Location
from sidecar.config.rules import Draft, Finding, Rule
from sidecar.config.sections import keys as models
from sidecar.config.sections.root import Configured, Trust
from sidecar.model import TokenKind


def sources(draft: Draft[Configured]) -> Iterator[tuple[Location, Trust, models.Source]]:
    """Every readable entry with its source and where that stands."""
    for location, trust in draft.trust:
        yield (*location, "keys", trust.keys.chosen), trust, models.source(trust.keys)


def _times_fit(draft: Draft[Configured]) -> Iterator[Finding]:
    for here, trust, source in sources(draft):
        refresh, written = models.refresh_of(trust.kind, source), source.model_fields_set
        if source.max_stale <= refresh:
            text = "max_stale is not longer than refresh; the keys would be too old in between"
            yield Finding((*here, "max_stale"), text)
        if "cooldown" in written and source.cooldown > refresh:
            text = (
                "cooldown is longer than refresh; the regular fetches would come first: write "
                "refresh or less"
            )
            yield Finding((*here, "cooldown"), text)
        if isinstance(source, models.FileSource) or "min_refresh" not in written:
            continue
        if source.min_refresh > refresh:
            text = "min_refresh is longer than refresh, of which it is the lower limit"
            yield Finding((*here, "min_refresh"), text)


def _keys_come_over_https(draft: Draft[Configured]) -> Iterator[Finding]:
    for here, trust, source in sources(draft):
        match source:
            case models.JwksSource():
                yield from https((*here, "url"), source.url, source)
            case models.OidcSource():
                yield from https((*here[:-2], "issuer"), trust.issuer, source)
            case models.VaultSource():
                yield from https((*here, "address"), source.address, source)
            case models.KubernetesSource():
                yield from https((*here, "server"), source.server, None)


def https(
    where: Location,
    url: str,
    source: models.Reached | None,
    danger: str = "could exchange the keys",
) -> Iterator[Finding]:
    """A URL over http, unless its ``source`` allows it. ``danger`` is what others could do then."""
    if urlsplit(url).scheme == "http" and not (source and source.allow_http):
        choice = "write https, or allow_http: true in the source" if source else "write https"
        yield Finding(where, f"over http, whoever is on the way {danger}; {choice}")


def _discovery_needs_a_url(draft: Draft[Configured]) -> Iterator[Finding]:
    for here, trust, source in sources(draft):
        if not isinstance(source, models.OidcSource):
            continue
        try:
            models.discoverable(trust.issuer)
        except ValueError as fault:
            yield Finding((*here[:-2], "issuer"), f"{fault}; or name the keys with jwks")


def _private_key_has_its_certificate(draft: Draft[Configured]) -> Iterator[Finding]:
    for here, _, source in sources(draft):
        if isinstance(source, models.Reached):
            yield from private_key_alone(here, source)


def private_key_alone(here: Location, source: models.Reached) -> Iterator[Finding]:
    """A client certificate's key without the certificate."""
    if source.private_key and not source.certificate:
        text = "there is a private_key and no certificate to go with it; write both or neither"
        yield Finding((*here, "private_key"), text)


def _clusters_vouch_for_workloads(draft: Draft[Configured]) -> Iterator[Finding]:
    for here, trust, source in sources(draft):
        cluster = isinstance(source, models.KubernetesSource)
        if cluster and trust.kind is not TokenKind.WORKLOAD:
            text = (
                "a cluster signs the tokens of workloads; write kind: workload and the subjects "
                "that are accepted"
            )
            yield Finding((*here[:-2], "kind"), text)


RULES: Final[tuple[Rule[Configured], ...]] = (
    _times_fit,
    _keys_come_over_https,
    _discovery_needs_a_url,
    _private_key_has_its_certificate,
    _clusters_vouch_for_workloads,
)
