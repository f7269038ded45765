"""``sidecar metadata``: the document that says who issues tokens for this service (RFC 9728).

Envoy serves it. All of it follows from the configuration, and nothing from a request.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from sidecar.check.extract import BEARER, HeaderSource, TokenSource
from sidecar.check.rules import AnyScope, Scopes
from sidecar.check.trust import TrustEntry
from sidecar.cli.options import add_configuration
from sidecar.config import Configuration, KeyFiles, load
from sidecar.config.addresses import METADATA_PATH
from sidecar.errors import ConfigurationFault
from sidecar.gateway.settings import CredentialSettings, IntrospectedCredential, JwtCredential
from sidecar.model import TokenKind

# What Envoy sends without max_direct_response_body_size_bytes.
_LARGEST_BODY: Final = 4096

_ROUTE: Final = """\
# A route of the virtual host of {host}, in front of the others.
- match: {{path: {path}}}
  direct_response:
    status: 200
    body: {{inline_string: {body}}}
  response_headers_to_add:
    - header: {{key: content-type, value: application/json}}
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
  typed_per_filter_config:
    # Nothing is forwarded, so there is nothing to check: a client that has no token reads it.
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      disabled: true
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)
    parser.add_argument(
        "--envoy", action="store_true", help="print the route of Envoy that serves the document"
    )


def run(options: Namespace) -> int:
    """Print the document, or Envoy's route; what is left out of it is on standard error.

    Raises:
        ConfigurationFault: the configuration has no ``resource_metadata``.
    """
    configuration = load(options.configuration, KeyFiles.IGNORED)
    url = configuration.resource_metadata
    if url is None:
        raise ConfigurationFault(
            f"{configuration.path}: the document's URL is not written; write resource_metadata: "
            f"https://HOST{METADATA_PATH}"
        )
    document = _document(configuration, url)
    if options.envoy:
        body = json.dumps(document, separators=(",", ":"))
        if len(body) > _LARGEST_BODY:
            sys.stderr.write(
                f"Envoy takes it with max_direct_response_body_size_bytes: {len(body)} in its "
                "route configuration\n"
            )
        parts = urlsplit(url)
        # JSON's strings are YAML's.
        sys.stdout.write(
            _ROUTE.format(host=parts.netloc, path=json.dumps(parts.path), body=json.dumps(body))
        )
    else:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _document(configuration: Configuration, url: str) -> dict[str, object]:
    """The metadata (RFC 9728 §2). A list without elements is left out (§3.2)."""
    lists = {
        "authorization_servers": _authorization_servers(configuration),
        "scopes_supported": _scopes(configuration),
        "bearer_methods_supported": _bearer_methods(configuration),
    }
    # The well-known path was inserted behind the host (§3).
    resource = url.replace(METADATA_PATH, "", 1)
    return {"resource": resource, **{name: value for name, value in lists.items() if value}}


def _authorization_servers(configuration: Configuration) -> list[str]:
    """The issuers whose tokens a client can obtain: neither the cluster's nor the gateway's own."""
    entries = [each for each in configuration.check.trust if each.kind is TokenKind.EXTERNAL]
    usable = _usable(configuration)
    found: set[str] = set()
    if configuration.gateway is not None:
        named = {name for each in usable if isinstance(each, JwtCredential) for name in each.trusts}
        entries = [each for each in entries if each.name in named]
        found |= _introspected(usable)
    for entry in entries:
        found |= _of(entry)
    known = sorted(issuer for issuer in found if urlsplit(issuer).scheme == "https")
    for issuer in sorted(found - set(known)):
        _left_out(f"the issuer {issuer}", "it is no https URL (RFC 8414 §2)")
    return known


def _of(entry: TrustEntry) -> frozenset[str]:
    """The issuers of an entry."""
    if not entry.issuers:
        _left_out(f"the issuers of {entry.name}", "any value of their pattern is accepted")
    return entry.issuers


def _introspected(credentials: Iterable[CredentialSettings]) -> set[str]:
    """The issuers that are asked about opaque credentials."""
    found = set()
    for each in credentials:
        if isinstance(each, IntrospectedCredential):
            issuer = each.introspection.issuer
            if issuer is None:
                _left_out(f"the issuer of {each.name}", "its introspection names no issuer")
            else:
                found.add(issuer)
    return found


def _scopes(configuration: Configuration) -> list[str]:
    """The scopes that routes ask for, and at a gateway those that their tokens may carry."""
    found: set[str] = set()
    for route in configuration.check.routes:
        for rule in route.rules:
            if isinstance(rule, Scopes | AnyScope):
                found.update(rule.scopes)
    if configuration.gateway is not None:
        for grant in configuration.gateway.grants.values():
            found |= grant.scopes
    return sorted(found)


def _bearer_methods(configuration: Configuration) -> list[str]:
    """The methods of RFC 6750 that are accepted; a cookie is none of them."""
    sources = configuration.check.sources
    if configuration.gateway is not None:
        sources = tuple(each.source for each in _usable(configuration))
    return ["header"] if any(map(_is_bearer, sources)) else []


def _is_bearer(source: TokenSource) -> bool:
    if not isinstance(source, HeaderSource):
        return False
    return (source.name, (source.scheme or "").lower()) == (BEARER.name, BEARER.scheme)


def _usable(configuration: Configuration) -> list[CredentialSettings]:
    """The credentials that requests may have; none for a sidecar."""
    gateway = configuration.gateway
    if gateway is None:
        return []
    return [each for each in gateway.credentials if each.name not in gateway.exchange_only]


def _left_out(what: str, why: str) -> None:
    sys.stderr.write(f"authorization_servers leaves out {what}: {why}\n")
