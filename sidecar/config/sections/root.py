"""The top level of a configuration: the keys that both roles have."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from sidecar.check.identity import IdentitySettings
from sidecar.check.pipeline import CheckSettings
from sidecar.check.routes import Route
from sidecar.clients.proxy import ProxySettings
from sidecar.config.addresses import Endpoint, OptionalMetadataUrl
from sidecar.config.configuration import Configuration, Listeners, LoadedFile
from sidecar.config.key_files import ExaminedFiles, KeyFiles, examine
from sidecar.config.rules import Draft, SectionRule
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.claim_names import dotted_claims
from sidecar.config.sections.encoded_slashes import kept_slashes
from sidecar.config.sections.keys import KeyCache
from sidecar.config.sections.limits import LimitsSection
from sidecar.config.sections.listen import Listen
from sidecar.config.sections.log import Log
from sidecar.config.sections.patterns import regular_expressions
from sidecar.config.sections.proxy import Proxy, a_mapping, servers_beside_the_proxy
from sidecar.config.sections.public_routes import left_to_public_routes
from sidecar.config.sections.routes import ROUTE_RULES, Paths, RouteSection
from sidecar.config.sections.shared_keys import SHARED_KEYS_RULES
from sidecar.config.sections.token_sources import TokenPlace
from sidecar.config.sections.trust import TRUST_RULES, Trust
from sidecar.config.values import Duration, Realm

if TYPE_CHECKING:  # a sidecar does not import the modules of a gateway
    from sidecar.gateway.settings import GatewaySettings


class RootSection(Section):
    """The keys that both roles have."""

    role: Literal["sidecar", "gateway"] = Field(
        description="What the program does: `sidecar` beside a service, or `gateway` at the edge."
    )
    listen: Listen = Field(default_factory=Listen, description="Where it listens.")
    trust: tuple[Trust, ...] = written(
        (), "The trusted issuers. May be left out where no token has to be verified."
    )
    key_cache: KeyCache | None = written(
        None,
        "Where the last good public keys are kept, for a start while their server is "
        "down. They are used until `max_stale` after they were fetched.",
    )
    proxy: Annotated[Proxy | None, BeforeValidator(a_mapping)] = written(
        None, "The forward proxy through which everything is fetched. Without it, directly."
    )
    paths: Paths = Field(default_factory=Paths, description="How paths are read.")
    routes: tuple[RouteSection, ...] = Field(
        description="The rules. The most specific match wins; without a match the request is "
        "denied."
    )
    realm: Realm = written("authz-sidecar", "The `realm` of `WWW-Authenticate` challenges.")
    resource_metadata: OptionalMetadataUrl = written(
        None,
        "The URL, for clients, of the document that says who issues tokens for this service (RFC "
        "9728); it is named in `WWW-Authenticate` challenges. `sidecar metadata` prints the "
        "document, and Envoy serves it.",
    )
    limits: LimitsSection = Field(
        default_factory=LimitsSection,
        description="The limits on requests, tokens, checks and caches.",
    )
    log: Log = Field(default_factory=Log, description="What is logged.")
    drain: Annotated[float, Duration("0s", "10m")] = written(
        "25s",
        "How long after SIGTERM it goes on answering while Envoy is still connected; "
        "less than the pod's `terminationGracePeriodSeconds`.",
    )
    start_timeout: Annotated[float, Duration("0s", "5m")] = written(
        "10s",
        "How long it waits for the first keys of every issuer and the first signing keys, before "
        "it reports that it is ready, and before a new configuration is used.",
    )

    # The lists whose readable items are checked even if other items cannot be read.
    lists: ClassVar[tuple[str, ...]] = ("trust", "routes")
    # The rules between sections: those that make a file invalid, and those that only warn.
    rules: ClassVar[tuple[SectionRule, ...]] = (*TRUST_RULES, *SHARED_KEYS_RULES, *ROUTE_RULES)
    warning_rules: ClassVar[tuple[SectionRule, ...]] = (
        left_to_public_routes,
        dotted_claims,
        kept_slashes,
        regular_expressions,
        servers_beside_the_proxy,
    )

    @classmethod
    def examine(cls, draft: Draft, expectation: KeyFiles) -> ExaminedFiles:
        """Read the files that the configuration names."""
        return examine(draft, expectation)

    def proxy_settings(self) -> ProxySettings | None:
        """The proxy through which everything is fetched."""
        return copied(ProxySettings, self.proxy) if self.proxy else None

    def check_settings(
        self,
        routes: Iterable[Route],
        identity: IdentitySettings,
        sources: Iterable[TokenPlace],
        *,
        shadow: bool = False,
    ) -> CheckSettings:
        """What the check needs, with the parts of one role."""
        return copied(
            CheckSettings,
            self.limits,
            trust=tuple(entry.settings() for entry in self.trust),
            routes=tuple(routes),
            identity=identity,
            sources=tuple(source.source_settings() for source in sources),
            literal_semicolons=self.paths.semicolons == "literal",
            shadow=shadow,
        )

    def settings(self, source: LoadedFile) -> Configuration:
        """The settings of a valid file. Each role implements it."""
        raise NotImplementedError

    def configuration(
        self,
        source: LoadedFile,
        check: CheckSettings,
        gateway: "GatewaySettings | None" = None,
        internal: Endpoint | None = None,
    ) -> Configuration:
        """The settings of both roles, with those of one role added."""
        return copied(
            Configuration,
            self,
            self.limits,
            path=source.path,
            digest=source.digest,
            found_keys=source.found_keys,
            warnings=source.warnings,
            check=check,
            keys=tuple(
                entry.key_settings(self.limits.key_waiters, self.proxy_settings())
                for entry in self.trust
            ),
            key_cache=self.key_cache.directory if self.key_cache else None,
            listen=copied(Listeners, self.listen, internal=internal),
            gateway=gateway,
        )
