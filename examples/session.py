"""alice logs in on the login page, and goes through the shop with a session of the gateway's."""

from collections.abc import Iterator
from typing import Final

from examples.facts import Fact, Stop, answered, named, stop
from examples.world import HOST, World
from tests.support.http1 import Field, Response

HTML: Final[Field] = ("accept", "text/html")
SESSION: Final = "__Host-session"
EVERYWHERE: Final = ("authorized", "authorized", "authorized")


def session(world: World) -> Iterator[Stop]:
    """From the first click to the logout. What the browser does is done here."""
    first = _page(world, "GET", "/orders/42", HTML)
    login = _page(world, "GET", first.header("location") or "")
    yield stop(
        "A browser without a session is sent to the login page, and from there to the SSO",
        _redirected("GET /orders/42", first, 302, "/login?return_to=/orders/42"),
        _redirected("GET /login", login, 303, f"{world.provider.issuer}/auth"),
    )

    # The person types a name and a password, at the SSO.
    back = world.provider.browse(login.header("location") or "", "alice")
    target = back.removeprefix(f"https://{HOST}")
    begun = _page(world, "GET", target, ("cookie", _cookie(login)))
    held = _cookie(begun)
    cookie: Field = ("cookie", held)
    _, _, attributes = (begun.header("set-cookie") or "").partition("; ")
    yield stop(
        "alice logs in there; the login page asks the gateway for her session (POST /session)",
        _redirected("GET /login/callback", begun, 303, "/orders/42"),
        Fact(f"her cookie: {SESSION}=…; {attributes}", held.startswith(f"{SESSION}=")),
    )

    asked = world.provider.introspections
    read = world.ask("GET", "/orders/42", cookie)
    placed = world.ask("POST", "/orders", cookie, ("origin", f"https://{HOST}"))
    yield stop(
        "With that cookie she is as good as with the SSO's, and the SSO is not asked",
        answered(read, 200, *EVERYWHERE),
        answered(placed, 200, *EVERYWHERE),
        named(placed, "alice"),
        Fact("questions to the SSO: none", world.provider.introspections == asked),
    )

    out = _page(world, "POST", "/login/logout", cookie)
    again = _page(world, "GET", "/orders/42", HTML)
    yield stop(
        "She logs out: the browser forgets its cookie, and the next page is the login again",
        _redirected("POST /login/logout", out, 303, "/"),
        Fact(f"{SESSION} is emptied", _cookie(out) == f"{SESSION}="),
        _redirected("GET /orders/42", again, 302, "/login?return_to=/orders/42"),
        answered(world.ask("GET", "/orders/42"), 401, "no_credential"),
    )


def _page(world: World, method: str, target: str, *headers: Field) -> Response:
    fields = [("host", HOST), *headers]
    return world.edge.envoy.request(method, target, fields, tls=world.edge.tls)


def _cookie(response: Response) -> str:
    """The cookie that an answer sets, as the browser sends it back."""
    return (response.header("set-cookie") or "").partition(";")[0]


def _redirected(request: str, response: Response, status: int, location: str) -> Fact:
    # The query has the state of a login: it is not shown.
    found = response.header("location") or ""
    shown = found if found.startswith("/") else found.partition("?")[0]
    text = f"{request} → {response.status}   location: {shown}"
    return Fact(text, (response.status, shown) == (status, location))
