"""One check outside of a server: a request as Envoy would describe it, and the decision."""

from sidecar.check.extract import CookieSource, TokenSource
from sidecar.check.pipeline import CheckSettings, Pipeline
from sidecar.model import Decision, KeyNeeded, RequestView
from sidecar.snapshots.keys import KeySnapshot


class _Nobody:
    """Is told about tokens and tells no one (``CheckObserver``)."""

    def verified(self, trust: str, result: str) -> None:
        """Nothing is counted here."""

    def remembered(self, *, hit: bool) -> None:
        """Nothing is counted here."""


def decide(
    settings: CheckSettings, request: RequestView, keys: KeySnapshot, now: float
) -> Decision:
    """The decision when no more keys can be had than are in the snapshot; ``now`` is Unix time."""
    pipeline = Pipeline(settings, _Nobody())
    verdict = pipeline.check(request, keys, now)
    return pipeline.refuse(request, verdict.unknown) if isinstance(verdict, KeyNeeded) else verdict


def with_token(request: RequestView, source: TokenSource, token: str) -> RequestView:
    """The request with a token where the source says."""
    if isinstance(source, CookieSource):
        line = ("cookie", f"{source.name}={token}")
    else:
        line = (source.name, f"{source.scheme} {token}" if source.scheme else token)
    return request._replace(headers=(*request.headers, (line[0], line[1].encode("latin-1"))))
