"""``credentials[].session``: session tokens of the gateway's own, and their keys."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StrictBool

from sidecar.check.extract import CookieSource
from sidecar.check.patterns import EVERY_NAME
from sidecar.config.problems import Finding
from sidecar.config.section import Section, copied, written
from sidecar.config.sections.claim_names import ONE_CLAIM, is_dotted
from sidecar.config.sections.gateway.signing_keys import UNKNOWN_PERIOD
from sidecar.config.values import Duration, File, Name, Pattern, Text
from sidecar.gateway.settings import SessionCredential
from sidecar.rings.lifecycle import Timings
from sidecar.rings.sealing_key import ALGORITHM as SEALING_ALGORITHM
from sidecar.rings.settings import InDirectory, RingSettings
from sidecar.session.settings import SessionTokenSettings

# How often a replica reads the session keys (DirectoryRing), in seconds; only gateways use them.
_KEYS_REFRESH: Final = 1.0
# The largest cookie, name and value together, that browsers store (RFC 6265bis §5.4).
_COOKIE_BYTES: Final = 4096


def _in_a_directory(value: object) -> object:
    """Refuses the places of request token keys that session keys cannot have, with the reason."""
    if isinstance(value, dict) and "transit" in value:
        raise ValueError(
            "sessions are encrypted in this process, on every request; keep their keys in a "
            "directory"
        )
    if isinstance(value, dict) and "ephemeral" in value:
        raise ValueError(
            "every replica has to read the sessions of the others, and after a restart its own; "
            "keep their keys in a directory"
        )
    return value


class SessionKeys(Section):
    """Where the keys live that sessions are encrypted with."""

    directory: File = Field(
        description="A directory, such as a mounted Secret, that `sidecar keys` manages: of its "
        "own, with keys for A256GCM."
    )


class SessionSection(Section):
    """Session tokens of the gateway's own, which a client gets from `POST /session`."""

    keys: Annotated[SessionKeys, BeforeValidator(_in_a_directory)] = Field(
        description="Where the keys live that sessions are encrypted with."
    )
    issued_for: tuple[Name, ...] = Field(
        min_length=1, description="The credentials that a session is issued for."
    )
    idle: Annotated[float, Duration("1m", "720h")] = written(
        "30m", "A session that is not used for so long ends."
    )
    absolute: Annotated[float, Duration("1m", "720h")] = written(
        "12h", "A session ends so long after it began, however much it is used."
    )
    renew: Annotated[float, Duration("1s", "24h")] = written(
        "1m", "How old a cookie is when the next request is answered with a new one."
    )
    outlives_credential: StrictBool = written(
        False,
        "Whether a session goes on when the credential it was issued for has expired. "
        "Otherwise it ends at that one's `exp`, where it has one.",
    )
    claims: tuple[Text, ...] = written(
        (),
        "Claims a session keeps for conditions, besides those that request tokens have.",
        min_length=1,
    )
    roles: tuple[Pattern, ...] = written(
        (EVERY_NAME,),
        "The roles a session keeps, by name or pattern as in `attributes`, of those that its "
        "credential may bring. The whole cookie has at most 4,096 bytes; rules and tokens see no "
        "other roles.",
        min_length=1,
    )
    groups: tuple[Pattern, ...] = written(
        (EVERY_NAME,), "The groups a session keeps, in the same way.", min_length=1
    )
    leeway: Annotated[float, Duration("0s", "5m")] = written(
        "10s", "How far the clocks of two replicas may be apart."
    )
    propagation: Annotated[float, Duration("0s", "1h")] = written(
        "2m", "The time until every replica has read a change of the directory."
    )

    def findings(self) -> Iterator[Finding]:
        """The times fit together."""
        if self.idle > self.absolute:
            text = "idle is longer than absolute, after which no session goes on; write it or less"
            yield Finding(("idle",), text)
        if self.renew >= self.idle:
            text = (
                "renew is not shorter than idle: a session in use would end between two cookies; "
                "write less than idle"
            )
            yield Finding(("renew",), text)

    def warnings(self) -> Iterator[Finding]:
        """Sessions may end before ``absolute``, or a claim most likely was meant as a nested one.

        When a credential expires is known only when it is presented; it is logged then.
        """
        if "outlives_credential" not in self.model_fields_set:
            text = (
                "a session ends with the credential it was issued for, mostly long before absolute "
                f"({self.absolute / 3600:g}h): with the exp of a JWT, or of the issuer's "
                "answer; write outlives_credential: false if that is meant, or true to let it go on"
            )
            yield Finding((), text)
        for index, name in enumerate(self.claims):
            if is_dotted(name):
                whole = name.partition(".")[0]
                text = f"{ONE_CLAIM.format(name)}; a session keeps whole claims: write {whole}"
                yield Finding(("claims", index), text)

    def timings(self) -> Timings:
        """The timings that the dates of the keys follow from. A token is valid for ``idle``."""
        return Timings(
            verifier_refresh=_KEYS_REFRESH,
            token_life=self.idle,
            leeway=self.leeway,
            propagation=self.propagation,
            period=UNKNOWN_PERIOD,
        )

    def settings(
        self, name: str, issuer: str, source: CookieSource, copied_claims: Iterable[str]
    ) -> SessionCredential:
        """The credential of this name. ``copied_claims`` are those that request tokens have."""
        return copied(
            SessionCredential,
            self,
            name=name,
            source=source,
            tokens=copied(
                SessionTokenSettings,
                self,
                name=name,
                issuer=issuer,
                cookie=source.name,
                max_bytes=_COOKIE_BYTES,
                claims=tuple(dict.fromkeys((*copied_claims, *self.claims))),
            ),
            ring=RingSettings(
                set="session",
                place=InDirectory(self.keys.directory),
                algorithm=SEALING_ALGORITHM,
                timings=self.timings(),
            ),
        )
