"""Keys that seal: written down as they are read, named by nothing of their own, never shown."""

import base64
from typing import Any

import pytest

from sidecar.errors import SourceFault
from sidecar.rings.sealing_key import SECRET_BYTES, TIMINGS, SealingKey, from_private_jwk

KEY = SealingKey.generate()
JWK: dict[str, Any] = KEY.private_jwk()


def test_a_key_survives_being_written_down() -> None:
    assert from_private_jwk(JWK) == KEY
    assert (JWK["kty"], JWK["alg"], JWK["use"]) == ("oct", "A256GCM", "enc")
    assert base64.urlsafe_b64decode(JWK["k"] + "=") == KEY.secret
    assert len(KEY.secret) == SECRET_BYTES


def test_every_key_is_another_and_so_is_its_name() -> None:
    keys = [SealingKey.generate() for _ in range(500)]

    assert len({key.secret for key in keys}) == len({key.kid for key in keys}) == 500
    assert not [key for key in keys if key.kid.startswith("-")], "taken for an option"


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(KEY) == f"SealingKey(kid={KEY.kid!r})"


def test_its_timings_are_those_of_the_longest_session() -> None:
    assert TIMINGS.kept >= 12 * 3600
    assert TIMINGS.ahead < 180


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kty": "EC"}, "not for alg A256GCM and use enc"),
        ({"alg": "A128GCM"}, "not for alg A256GCM and use enc"),
        ({"use": "sig"}, "not for alg A256GCM and use enc"),
        ({"kid": ""}, "not for alg A256GCM and use enc"),
        ({"kid": 7}, "not for alg A256GCM and use enc"),
        ({"k": None}, "not for alg A256GCM and use enc"),
        ({"k": JWK["k"][:-2]}, "not 32 bytes in base64url"),
        ({"k": JWK["k"] + "="}, "not 32 bytes in base64url"),
        ({"k": JWK["k"] + "AAAA"}, "not 32 bytes in base64url"),
        ({"k": "!" + JWK["k"][1:]}, "not 32 bytes in base64url"),
        ({"k": "\xe9" + JWK["k"][1:]}, "not 32 bytes in base64url"),
        ({"key_ops": ["encrypt"]}, "not 32 bytes in base64url"),
    ],
)
def test_what_is_no_sealing_key_is_refused_and_not_quoted(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(SourceFault) as caught:
        from_private_jwk(JWK | change)
    assert words in str(caught.value)
    assert JWK["k"][2:40] not in str(caught.value)
