"""The documents that the gateway publishes, and who has them already."""

import json

import pytest

from sidecar.gateway.publishing import (
    Document,
    jwks_document,
    metadata_document,
    metadata_paths,
)
from sidecar.jose.key_documents import parse
from tests.support.tokens import jwks, key_for, new_key

ISSUER = "https://gateway.shop.internal"
KEYS = jwks(key_for("ES256"))


def test_a_key_set_is_what_verifiers_read() -> None:
    document = jwks_document(KEYS, 300)
    (key,) = parse(document.body).keys
    assert key.kid == key_for("ES256").kid
    assert document.media_type == "application/jwk-set+json"


@pytest.mark.parametrize(
    ("max_age", "cache_control"), [(300, "public, max-age=300"), (0, "no-cache")]
)
def test_it_is_reused_for_as_long_as_the_ring_says(max_age: int, cache_control: str) -> None:
    assert jwks_document(KEYS, max_age).cache_control == cache_control


def test_replicas_with_the_same_keys_give_the_same_tag_and_others_do_not() -> None:
    (key,) = KEYS["keys"]
    again = jwks_document({"keys": [dict(reversed(key.items()))]}, 300)
    other = jwks_document(jwks(new_key("ES256", "other")), 300)
    assert jwks_document(KEYS, 300).etag == again.etag
    assert jwks_document(KEYS, 300).etag != other.etag


DOCUMENT = Document(b"", "text/plain", 0, '"abc"')


@pytest.mark.parametrize(
    "sent",
    ['"abc"', 'W/"abc"', '"other", "abc"', '"with, comma" ,W/"abc"', "*", " * ", '"",,"abc"'],
)
def test_a_client_that_has_the_document_is_recognised(sent: str) -> None:
    assert DOCUMENT.is_known(sent)


@pytest.mark.parametrize("sent", ["", '"other"', "abc", '"ab"', '"x"abc"', '"*"', '"abc', '"ABC"'])
def test_any_other_gets_the_document(sent: str) -> None:
    assert not DOCUMENT.is_known(sent)


def test_the_metadata_says_where_the_keys_are_and_that_there_is_nothing_else() -> None:
    document = metadata_document(ISSUER + "/tenant", 3600)
    assert document.media_type == "application/json"
    assert json.loads(document.body) == {
        "issuer": ISSUER + "/tenant",
        "jwks_uri": ISSUER + "/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": [],
    }


@pytest.mark.parametrize(
    ("issuer", "inserted"),
    [
        (ISSUER, None),
        (ISSUER + "/", None),
        (ISSUER + "/a/tenant", "/a/tenant"),
        (ISSUER + "/tenant/", "/tenant"),
        (ISSUER + "/ten%20ant", "/ten ant"),
    ],
)
def test_the_metadata_is_also_where_rfc_8414_inserts_the_path(
    issuer: str, inserted: str | None
) -> None:
    plain = "/.well-known/oauth-authorization-server"
    assert metadata_paths(issuer) == ((plain,) if inserted is None else (plain, plain + inserted))
