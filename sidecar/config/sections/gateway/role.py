"""A gateway's configuration: its model, its rules, and what becomes of it."""

from collections.abc import Iterator
from typing import Final

from sidecar.config.rules import Finding
from sidecar.config.sections.gateway import attributes as attribute_rules
from sidecar.config.sections.gateway.build import build_gateway
from sidecar.config.sections.gateway.files import examine
from sidecar.config.sections.gateway.root import Gateway
from sidecar.config.sections.gateway.rules import RULES
from sidecar.config.sections.roles import Role


def _doubts(gateway: Gateway) -> Iterator[Finding]:
    """Everything in a good configuration that deserves a second look."""
    yield from _subjects_that_look_alike(gateway)
    yield from _sessions_of_anybody(gateway)
    yield from attribute_rules.doubts(gateway)
    yield from _sessions_that_end_with_their_credential(gateway)


def _sessions_that_end_with_their_credential(gateway: Gateway) -> Iterator[Finding]:
    """A session that may end before its time, without the file saying so.

    How long a credential lives is known when it is brought, and then it is in the log.
    """
    for index, each in enumerate(gateway.credentials):
        session = each.session
        if session is not None and "outlives_credential" not in session.model_fields_set:
            text = (
                "a session ends with the credential it was issued for, mostly long before absolute "
                f"({session.absolute / 3600:g}h): with the exp of a JWT, or of the issuer's "
                "answer; write outlives_credential: false if that is meant, or true to let it go on"
            )
            yield Finding(("credentials", index, "session"), text)


def _sessions_of_anybody(gateway: Gateway) -> Iterator[Finding]:
    """An SSO of which every active token is taken for a login here, whoever it was issued to."""
    for index, each in enumerate(gateway.credentials):
        asked = each.introspection
        if asked is not None and not asked.audiences and not asked.clients:
            text = (
                "any active token of this issuer will do, also one that a user granted to another "
                "application; say in clients or audiences whose are meant"
            )
            yield Finding(("credentials", index, "introspection"), text)


def _subjects_that_look_alike(gateway: Gateway) -> Iterator[Finding]:
    """Credentials of several issuers whose subjects are told apart by nothing."""
    issuers = {trust.name: trust.issuer for trust in gateway.trust}
    owners: dict[str, tuple[str, str]] = {}
    for index, each in enumerate(gateway.credentials):
        found: tuple[str, ...] = ()
        if each.jwt is not None:
            found = tuple(issuers[name] for name in each.jwt.trust)
        elif each.introspection is not None:
            found = (each.introspection.issuer or each.introspection.url,)
        for issuer in dict.fromkeys(found):
            other, name = owners.setdefault(each.subject_prefix, (issuer, each.name))
            if other != issuer:
                whose = "itself" if name == each.name else f'"{name}"'
                text = (
                    f"its subjects come from {issuer} and those of {whose} from {other}, and "
                    "nothing tells them apart; give each a subject_prefix of its own if one could "
                    "be in both"
                )
                yield Finding(("credentials", index, "name"), text)
                break


GATEWAY: Final = Role(
    model=Gateway,
    rules=RULES,
    doubts=_doubts,
    examine=examine,
    build=build_gateway,
    lists=("trust", "routes", "credentials"),
    # An issuer and an audience that no file has: no rule finds anything in them.
    stand_ins={
        "role": "gateway",
        "issuer": "https://unreadable.invalid",
        "credentials": [],
        "request_tokens": {"keys": {"directory": "."}, "audiences": {"unreadable": []}},
        "routes": [],
    },
)
