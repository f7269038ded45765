"""Settings as a configuration has them that leaves out every key that it can, but for changes.

Whatever stands for a key that is left out is said in the configuration alone.
"""

from dataclasses import replace
from typing import Any, Final

from sidecar.check.extract import CookieSource
from sidecar.check.identity import IdentitySettings
from sidecar.check.pipeline import CheckSettings
from sidecar.check.trust import TrustEntry
from sidecar.config.sections.gateway.introspection import Introspection
from sidecar.config.sections.gateway.request_tokens import RequestTokens
from sidecar.config.sections.gateway.session import SessionSection
from sidecar.config.sections.identity import Identity
from sidecar.config.sections.keys import KubernetesSection
from sidecar.config.sections.limits import LimitsSection
from sidecar.config.sections.sidecar import Sidecar
from sidecar.config.sections.trust import Trust
from sidecar.keys.settings import KeySettings, KubernetesKeys, SourceSettings
from sidecar.mint.settings import RequestTokenSettings
from sidecar.session.settings import (
    ClientAuthentication,
    IntrospectionSettings,
    SessionTokenSettings,
)

_LIMITS: Final = LimitsSection()
_TRUST: Final = Trust.model_validate(
    {
        "name": "gateway",
        "kind": "request",
        "issuer": "https://gateway.test",
        "audiences": ["orders"],
        "algorithms": ["ES256"],
        "keys": {"file": {"path": "unused"}},
    }
)
_INTROSPECTION: Final = Introspection.model_validate(
    {"url": "https://sso.test/", "client": {"id": "gateway", "secret_file": "unused"}}
)
_SESSION: Final = SessionSection.model_validate(
    {"keys": {"directory": "unused"}, "issued_for": ["sso"]}
)
_REQUEST_TOKENS: Final = RequestTokens.model_validate(
    {"keys": {"directory": "unused"}, "audiences": {"orders": []}}
)


def trust_entry(*, issuer: str = "", **changes: Any) -> TrustEntry:
    """An entry for request tokens; ``issuer`` is its only one."""
    if issuer:
        changes["issuers"] = frozenset({issuer})
    return replace(_TRUST.settings(), **changes)


def key_settings(trust: str, source: SourceSettings, **changes: Any) -> KeySettings:
    """How the keys of an entry are kept fresh, with the times that a file has."""
    usual = _TRUST.key_settings(_LIMITS.key_waiters, proxy=None)
    return replace(usual, trust=trust, source=source, **changes)


def kubernetes_keys(**changes: Any) -> KubernetesKeys:
    """The cluster's keys, as a pod finds them."""
    usual = KubernetesSection().settings("", None)
    assert isinstance(usual, KubernetesKeys)
    return replace(usual, **changes)


def introspection_settings(
    name: str, url: str, authentication: ClientAuthentication, **changes: Any
) -> IntrospectionSettings:
    """How the sessions of an issuer are looked up."""
    usual = _INTROSPECTION.settings(name, _LIMITS.token_bytes, proxy=None)
    return replace(usual, url=url, authentication=authentication, **changes)


def session_token_settings(name: str, issuer: str, **changes: Any) -> SessionTokenSettings:
    """The session tokens that clients hold."""
    usual = _SESSION.settings(name, issuer, CookieSource("__Host-session"), ())
    return replace(usual.tokens, **changes)


def request_token_settings(issuer: str, **changes: Any) -> RequestTokenSettings:
    """How request tokens are made."""
    return replace(_REQUEST_TOKENS.settings(issuer), **changes)


def identity_settings(**changes: Any) -> IdentitySettings:
    """How identity is handed on: no header is set."""
    return replace(Identity().settings(), **changes)


def check_settings(**changes: Any) -> CheckSettings:
    """A check that trusts nobody and has no route."""
    usual = Sidecar.model_validate({"role": "sidecar", "routes": ()})
    settings = usual.check_settings((), usual.identity.settings(), usual.token_sources)
    return replace(settings, **changes)
