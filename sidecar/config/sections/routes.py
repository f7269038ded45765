"""The shape of ``routes``, as far as both roles have it."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StrictBool

from sidecar.config.section import Section
from sidecar.config.values import Host, Method, Name, Pattern, Scope, Template, Text, When


def _not_nothing(value: object) -> object:
    """Refuses a key after which nothing is written: it would widen a rule without a word."""
    if value is None:
        raise ValueError("nothing is written after the key; fill it in or leave the key out")
    return value


class Match(Section):
    """The requests a route is for."""

    methods: tuple[Method, ...] = Field(
        default=(), min_length=1, description="The methods, in capitals; without it, any."
    )
    hosts: tuple[Host, ...] = Field(
        default=(),
        min_length=1,
        description="The hosts, without port; `*.example.org` stands for every host below "
        "example.org. Without it, any.",
    )
    path: Template = Field(
        description="`/orders/{id}`: a parameter in braces and `*` stand for one segment, `**` at "
        "the end for one or more."
    )


class Allow(Section):
    """What a route asks of a request. All of what is named must hold."""

    public: StrictBool = Field(
        default=False, description="Let everyone through without a look at any token."
    )
    optional: StrictBool = Field(
        default=False,
        description="Let requests without a token through, too; a bad token is still refused.",
    )
    authenticated: StrictBool = Field(
        default=False, description="Any valid token of an accepted kind will do."
    )
    scopes: tuple[Scope, ...] = Field(
        default=(), min_length=1, description="The token has all of these scopes."
    )
    any_role: tuple[Text, ...] = Field(
        default=(), min_length=1, description="The token has one of these roles."
    )
    any_group: tuple[Text, ...] = Field(
        default=(), min_length=1, description="The token has one of these groups."
    )
    callers: tuple[Pattern, ...] = Field(
        default=(),
        min_length=1,
        description="Patterns of which the caller's mTLS principal matches one; `*` stands for one "
        "part between `:` or `/`.",
    )
    when: When = Field(
        default=None,
        description="A condition in CEL over `claims` and `request` (`method`, `host`, `path`, "
        "`params`, `caller`). The request is as routes match it: the host in lower case without "
        "port, the path without query. A HEAD is `HEAD`, on a route for GET as well.",
    )


class Route(Section):
    """A rule, and the requests it is for."""

    name: Name = Field(description="What it is called in metrics, logs and answers.")
    match: Annotated[Match | None, BeforeValidator(_not_nothing)] = Field(
        default=None,
        description="The requests it is for. Without it the route is reached only by its name in "
        "Envoy's `context_extensions`.",
    )
    allow: Allow = Field(description="What it asks of them.")
