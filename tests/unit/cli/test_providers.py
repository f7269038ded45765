"""The examples for identity providers: each does what it says, with keys and tokens of its shape.

A folder of ``examples/providers`` is tested without a line here.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from examples.providers.folders import (
    HELD_OFF,
    OBTAINED,
    AcceptedToken,
    Provider,
    RefusedToken,
    Token,
    all_providers,
)
from sidecar.check.claims import find
from tests.support.key_server import KeyServer
from tests.support.tokens import Json, SigningKey, compact, new_key
from tests.unit.cli.conftest import Run

PROVIDERS = {provider.directory.name: provider for provider in all_providers()}
# Of another issuer than any provider, whatever key id it claims to be.
MALLORY = new_key("RS256", "mallory")


@cache
def key_at(position: int) -> SigningKey:
    """The key at a position of a key set, whichever provider's it is: they take long to make."""
    return new_key("RS256", str(position))


class Published:
    """A provider that publishes keys of ours in its shape, and the configuration that fetches them.

    The signing keys of ``jwks.json`` keep all their members; only their key material is ours.
    """

    def __init__(self, provider: Provider, server: KeyServer, directory: Path) -> None:
        self.provider = provider
        key_set = deepcopy(provider.key_set)
        self._keys: dict[str, SigningKey] = {}
        for position, jwk in enumerate(key_set["keys"]):
            if jwk["use"] == "sig":
                key = self._keys[jwk["kid"]] = replace(key_at(position), kid=jwk["kid"])
                jwk |= {"n": key.jwk()["n"], "e": key.jwk()["e"]}
        path = f"/{provider.directory.name}"
        server.documents[path] = key_set
        document = YAML(typ="safe").load(provider.configuration_file)
        for entry in document["trust"]:
            entry["keys"] = {"jwks": {"url": server.url + path, "ca_file": str(server.ca_file)}}
        self.configuration = directory / f"{provider.directory.name}.yaml"
        with self.configuration.open("w") as file:
            YAML(typ="safe").dump(document, file)

    def signed(self, token: Token, **changes: Any) -> str:
        """The token with claims changed, signed by the key that its header names."""
        claims = {**token.claims, **changes}
        return compact(token.header, claims, self._keys[token.header["kid"]])


def check(run: Run, published: Published, token: Token, text: str) -> Json:
    """What ``sidecar check`` decides about the token's request when it carries this text."""
    request = token.request
    headers = [
        argument
        for name, lines in request.headers.items()
        for line in lines
        for argument in ("--header", f"{name}: {line}")
    ]
    _, output, errors = run(
        *("check", "-c", published.configuration, "--fetch", "--json"),
        *("--at", published.provider.tokens.now, "--host", request.host, *headers),
        *(request.method, request.path),
        stdin=text,
    )
    assert not errors
    decision: Json = json.loads(output)
    return decision


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Published]]:
    """Every provider, with its keys on a server."""
    directory = tmp_path_factory.mktemp("providers")
    with KeyServer(directory) as server:
        yield {name: Published(provider, server, directory) for name, provider in PROVIDERS.items()}


def tokens(*lists: str) -> list[object]:
    """A case for each token in these lists of ``tokens.yaml``."""
    return [
        pytest.param(name, token, id=f"{name}: {token.name}")
        for name, provider in PROVIDERS.items()
        for each in lists
        for token in getattr(provider.tokens, each)
    ]


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_configuration_is_valid_without_a_warning(run: Run, name: str) -> None:
    status, _, errors = run("validate", "-c", PROVIDERS[name].configuration_file)

    assert (status, errors) == (0, "")


@pytest.mark.parametrize("name", PROVIDERS)
def test_its_policy_tests_hold(run: Run, name: str) -> None:
    directory = PROVIDERS[name].directory
    status, output, errors = run("test", "-c", directory / "sidecar.yaml", directory / "tests.yaml")

    assert (status, errors) == (0, ""), output


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_key_set_can_be_used_as_it_is(run: Run, name: str) -> None:
    provider = PROVIDERS[name]
    token = provider.tokens.accepted[0]
    keys = [
        argument
        for entry in provider.configuration().check.trust
        for argument in ("--keys", f"{entry.name}={provider.directory / 'jwks.json'}")
    ]
    text = compact(token.header, token.claims, MALLORY)
    _, output, _ = run(
        *("check", "-c", provider.configuration_file, "--json", *keys),
        *("--at", provider.tokens.now, token.request.method, token.request.path),
        stdin=text,
    )

    assert json.loads(output)["reason"] == "bad_signature"


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_readme_says_who_can_obtain_a_token_and_what_holds_others_off(name: str) -> None:
    sections = PROVIDERS[name].sections

    assert all(sections[heading] for heading in (OBTAINED, HELD_OFF))


@pytest.mark.parametrize("name", PROVIDERS)
def test_tokens_of_another_kind_are_tried_unless_the_readme_says_that_there_are_none(
    name: str,
) -> None:
    provider = PROVIDERS[name]
    readme = (provider.directory / "README.md").read_text(encoding="utf-8")

    assert bool(provider.tokens.of_another_kind) != ("signs tokens of one kind" in readme)


@pytest.mark.parametrize(("name", "token"), tokens("accepted"))
def test_a_token_of_its_shape_is_accepted_with_these_identity_headers(
    run: Run, published: dict[str, Published], name: str, token: AcceptedToken
) -> None:
    provider = published[name]
    decision = check(run, provider, token, provider.signed(token))

    assert decision["decision"] == "allow", decision
    changes = dict.fromkeys(decision["remove"]) | decision["set"]
    assert {header: changes.get(header, "unchanged") for header in token.headers} == token.headers


@pytest.mark.parametrize(("name", "token"), tokens("of_others", "of_another_kind"))
def test_what_others_can_obtain_is_refused(
    run: Run, published: dict[str, Published], name: str, token: RefusedToken
) -> None:
    provider = published[name]
    decision = check(run, provider, token, provider.signed(token))

    assert (decision["decision"], decision["reason"]) == ("deny", token.reason)


@pytest.mark.parametrize(("name", "token"), tokens("accepted"))
def test_the_same_token_is_refused_with_one_thing_wrong(
    run: Run, published: dict[str, Published], name: str, token: AcceptedToken
) -> None:
    provider = published[name]
    entry = next(
        entry
        for entry in provider.provider.configuration().check.trust
        if find(token.claims, entry.audience_claim)
    )
    wrong = {
        "bad_signature": compact(token.header, token.claims, MALLORY),
        "unknown_key": compact({**token.header, "kid": "other"}, token.claims, MALLORY),
        "expired": provider.signed(token, exp=token.claims["iat"] - 600),
        "untrusted_issuer": provider.signed(token, iss="https://mallory.example"),
        "wrong_audience": provider.signed(token, **{entry.audience_claim[0]: "somebody-else"}),
    }
    reasons = {
        reason: check(run, provider, token, text)["reason"] for reason, text in wrong.items()
    }

    assert reasons == dict(zip(wrong, wrong, strict=True))
