"""What Vault is asked for so that it signs as JWS wants it, and which answers are refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.errors import SourceFault
from sidecar.rings.transit import sign
from tests.support.scripted_vault import Server
from tests.support.upstream import Upstream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Upstream() as upstream:
        yield Server(upstream, tmp_path)


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [
        ("ES256", {"hash_algorithm": "sha2-256"}),
        ("ES512", {"hash_algorithm": "sha2-512"}),
        ("RS384", {"hash_algorithm": "sha2-384", "signature_algorithm": "pkcs1v15"}),
        (
            "PS256",
            {
                "hash_algorithm": "sha2-256",
                "signature_algorithm": "pss",
                "salt_length": "hash",
            },
        ),
        ("EdDSA", {}),
        ("Ed25519", {}),
    ],
)
def test_a_signature_is_asked_for_as_jws_wants_it(
    server: Server, algorithm: str, parameters: dict[str, str]
) -> None:
    server.answers("transit/sign/k", {"data": {"signature": "vault:v2:_-8", "key_version": 2}})
    signature = server.ask(lambda vault: sign(vault, "transit/sign/k", 2, b"\xff\xfe", algorithm))

    assert signature == b"\xff\xef"
    assert json.loads(server.received[0].body) == {
        "input": "//4=",
        "key_version": 2,
        "marshaling_algorithm": "jws",
        **parameters,
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"signature": "vault:v3:AAAA", "key_version": 3},
        {"signature": "vault:v3:AAAA", "key_version": 2},
        {"signature": "AAAA", "key_version": 2},
        {"signature": "vault:v2:A", "key_version": 2},
        {"signature": "vault:v2:é", "key_version": 2},
        {"signature": "vault:v2:AAAA"},
    ],
    ids=["other version", "other prefix", "no prefix", "cut off", "not base64", "no version"],
)
def test_a_signature_other_than_the_one_asked_for_is_not_used(
    server: Server, answer: dict[str, object]
) -> None:
    server.answers("transit/sign/k", {"data": answer})

    with pytest.raises(SourceFault, match="gave an answer that Vault would not give"):
        server.ask(lambda vault: sign(vault, "transit/sign/k", 2, b"message", "ES256"))
