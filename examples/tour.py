"""What is worth seeing, stop by stop.

Each stop is made when it is asked for, and finds the shop as those before have left it.
"""

import time
from collections.abc import Iterator
from typing import Final

from examples.configurations import LEEWAY
from examples.exchange import claims, forged
from examples.facts import Fact, Stop, answered, named, passed_on, sees, stop
from examples.rotation import rotation
from examples.session import session
from examples.world import World
from sidecar.config.values import seconds
from tests.support import tokens
from tests.support.http1 import Field

ALICE: Final = {
    "x-user-id": "alice",
    "x-user-groups": "berlin,staff",
    "x-user-roles": "customer",
    "x-user-scopes": "orders:read orders:write payments:pay payments:read",
}
ALICE_AT_PAYMENTS: Final = {name: ALICE[name] for name in ("x-user-id", "x-user-scopes")}
ACME: Final = {
    "x-user-id": "partner:acme",
    "x-user-roles": "customer",
    "x-user-scopes": "orders:read payments:read",
}
FORGED: Final = (("x-user-id", "root"), ("x-user-roles", "admin"))
EVERYWHERE: Final = ("authorized", "authorized", "authorized")


class Tour:
    """Goes through the shop as alice, who has logged in at the SSO."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._session = world.provider.login("alice")
        self._alice: Field = _cookie(self._session)

    def stops(self) -> Iterator[Stop]:
        """All stops, in order."""
        yield from self._the_swap()
        yield from self._the_rules()
        yield from self._the_front_door()
        yield from session(self._world)
        internal = self._internal_token()
        yield from self._inside(internal)
        yield rotation(self._world, self._alice)
        yield self._replay(internal)
        self._world.provider.end(self._session)
        yield stop(
            "Her session at the SSO ends: the next request is refused",
            answered(self._world.ask("GET", "/orders/42", self._alice), 401, "inactive_session"),
        )

    def _the_swap(self) -> Iterator[Stop]:
        ask = self._world.ask
        yield stop(
            "A public route looks at no credential",
            answered(ask("GET", "/healthz"), 200, "public", "public"),
        )
        yield stop(
            "No credential where one is needed",
            answered(ask("POST", "/orders"), 401, "no_credential"),
        )
        first = ask("POST", "/orders", self._alice)
        yield stop(
            "alice has a session of the SSO: each service is told who is asking",
            answered(first, 200, *EVERYWHERE),
            sees(first, "orders", ALICE),
            sees(first, "payments", ALICE_AT_PAYMENTS),
            Fact(
                "her cookie has reached neither",
                not any(arrived.values("cookie") for arrived in first.arrived.values()),
            ),
        )
        second = ask("POST", "/orders", self._alice)
        yield stop(
            "Again with the same cookie: another token, which orders passes on to payments",
            answered(second, 200, *EVERYWHERE),
            passed_on("the first request", first),
            passed_on("the second request", second),
            Fact(
                "they are two tokens",
                first.arrived["orders"].token != second.arrived["orders"].token,
            ),
        )
        pretending = ask("POST", "/orders", self._alice, *FORGED)
        anonymous = ask("GET", "/healthz", *FORGED)
        yield stop(
            "She also sends x-user-id: root and x-user-roles: admin",
            answered(pretending, 200, *EVERYWHERE),
            named(pretending, "alice"),
            answered(anonymous, 200, "public", "public"),
            named(anonymous, None),
        )

    def _the_rules(self) -> Iterator[Stop]:
        ask = self._world.ask
        reader = _cookie(self._world.provider.login("alice", scopes=("orders:read",)))
        yield stop(
            "A session that may only read: the scope for an order is missing",
            answered(ask("POST", "/orders", reader), 403, "authorized", "insufficient_scope"),
        )
        bobs = ask("GET", "/customers/bob/orders", self._alice)
        yield stop("Somebody else's orders", answered(bobs, 403, "authorized", "condition_not_met"))
        refund = ask("POST", "/orders/42/refund", self._alice)
        audiences = claims(refund.arrived["orders"].token)["aud"]
        yield stop(
            "A route whose token is for orders only: payments refuses it, so orders cannot go on",
            answered(refund, 502, "authorized", "authorized", "wrong_audience"),
            Fact(f"aud of the token: {', '.join(audiences)}", audiences == ["orders"]),
        )

    def _the_front_door(self) -> Iterator[Stop]:
        ask = self._world.ask
        partner = _bearer(self._partner_token())
        acme = ask("GET", "/orders/42", partner)
        yield stop(
            "A partner's JWT is swapped too: its subject is told apart from ours, and of its roles "
            "(customer, support) it brings the one that is declared",
            answered(acme, 200, *EVERYWHERE),
            sees(acme, "orders", ACME),
        )
        yield stop(
            "Two credentials in one request",
            answered(ask("GET", "/orders/42", self._alice, partner), 400, "ambiguous_request"),
        )
        yield stop(
            "A token from inside, sent through the front door",
            answered(
                ask("GET", "/orders/42", _bearer(self._internal_token())), 401, "untrusted_issuer"
            ),
        )
        yield stop(
            "A path that can be read in two ways",
            answered(ask("GET", "/public//orders", self._alice), 400, "unsafe_path"),
        )

    def _inside(self, internal: str) -> Iterator[Stop]:
        ask = self._world.ask_orders
        pretending = ask("GET", "/orders/42", _bearer(internal), *FORGED)
        yield stop(
            "From inside, straight to orders: its own sidecar looks at everything again",
            answered(ask("GET", "/orders/42", *FORGED), 401, "no_credential"),
            answered(pretending, 200, "authorized", "authorized"),
            named(pretending, "alice"),
            answered(ask("GET", "/orders/42", _bearer(forged(internal))), 401, "bad_signature"),
        )

    def _replay(self, internal: str) -> Stop:
        expires = claims(internal)["exp"] + seconds(LEEWAY)
        time.sleep(max(0.0, expires - time.time()))
        replayed = self._world.ask_orders("GET", "/orders/42", _bearer(internal))
        return stop(
            "A token from before, sent to orders once more: it was good for seconds",
            answered(replayed, 401, "expired"),
        )

    def _internal_token(self) -> str:
        """What a service gets, and somebody might steal there."""
        return self._world.ask("GET", "/orders/42", self._alice).arrived["orders"].token

    def _partner_token(self) -> str:
        document = tokens.claims(
            issuer="https://partner.example",
            audience="shop",
            subject="acme",
            scope="orders:read payments:read",
            roles=["customer", "support"],
        )
        return tokens.sign(document, self._world.partner, typ="JWT")


def _cookie(session: str) -> Field:
    return "cookie", f"sso_session={session}"


def _bearer(token: str) -> Field:
    return "authorization", f"Bearer {token}"
