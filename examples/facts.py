"""What a stop of the tour claims, and whether it holds."""

from typing import NamedTuple

from examples.exchange import Exchange, claims


class Fact(NamedTuple):
    """Something that should hold, and whether it does."""

    text: str
    holds: bool


class Stop(NamedTuple):
    """One stop of the tour: a heading, and what there is to see."""

    title: str
    facts: tuple[Fact, ...]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return all(fact.holds for fact in self.facts)


def stop(title: str, *facts: Fact) -> Stop:
    """A stop with its facts."""
    return Stop(title, facts)


def answered(exchange: Exchange, status: int, *reasons: str) -> Fact:
    """The answer has this status, and the checks on the way gave these reasons, in its order."""
    said = ", ".join(f"{name}: {reason}" for name, reason in exchange.reasons.items())
    text = f"{exchange.request} → {exchange.response.status}   {said}"
    if (exchange.response.status, *exchange.reasons.values()) == (status, *reasons):
        return Fact(text, holds=True)
    return Fact(f"{text}   (expected {status}: {', '.join(reasons)})", holds=False)


def sees(exchange: Exchange, service: str, expected: dict[str, str]) -> Fact:
    """These identity headers have reached a service, and no others."""
    found = exchange.arrived[service].identity
    shown = [f"{name}: {found[name]}" for name in sorted(found)]
    return Fact("\n       ".join([f"{service} sees", *shown]), found == expected)


def named(exchange: Exchange, expected: str | None) -> Fact:
    """Under which name orders knows the caller; None for nobody."""
    name = exchange.arrived["orders"].identity.get("x-user-id")
    text = f"orders sees x-user-id: {name}" if name else "orders sees nobody"
    return Fact(text, name == expected)


def passed_on(which: str, exchange: Exchange) -> Fact:
    """Both services have got the same token. It is not shown: it would be good for a while."""
    got = {name: arrived.token for name, arrived in exchange.arrived.items()}
    shown = ", ".join(f"{claims(token)['jti'][:8]}… at {name}" for name, token in got.items())
    return Fact(f"jti of {which}: {shown}", got["orders"] == got["payments"])
