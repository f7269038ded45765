"""The file of a ring: read strictly, and never quoted."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.errors import SourceFault
from sidecar.rings.document import dump, load
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing
from sidecar.rings.rotation import begin, rotated
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.rings.stored import StoredKey

KEY, NEXT = LocalKey.generate("ES256"), LocalKey.generate("Ed25519")
RING = rotated(begin(KEY, Timings(), 1000.5), lambda: NEXT, 2000.0, early=True)

Json = dict[str, Any]


def changed(change: Callable[[Json], object]) -> bytes:
    document = json.loads(dump(RING))
    change(document)
    return json.dumps(document).encode()


SEALING = rotated(begin(SealingKey.generate(), TIMINGS, 1000.5), SealingKey.generate, 2e7)


@pytest.mark.parametrize("ring", [RING, SEALING])
def test_a_ring_survives_being_written_down(ring: KeyRing[StoredKey]) -> None:
    assert load(dump(ring)) == ring


def test_a_ring_is_of_one_kind() -> None:
    other = json.loads(dump(SEALING))["keys"][1]
    mixed = changed(lambda ring: ring["keys"].append(other))

    with pytest.raises(SourceFault) as caught:
        load(mixed)
    assert str(caught.value) == "holds keys that sign and keys that seal; a ring is of one kind"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a key ring: it is not UTF-8 JSON"),
        (b"[]", "is not a key ring: it is not a JSON object"),
        (dump(RING)[:-20], "is not a key ring: it is not UTF-8 JSON"),
        (dump(RING).replace(b'"x"', b'"y"', 1), "holds a name twice"),
        (changed(lambda ring: ring.update(version=2)), "expected an object with keys, timings and"),
        (changed(lambda ring: ring.pop("timings")), "expected an object with keys, timings and"),
        (changed(lambda ring: ring.update(keys=[])), "a list with at least one key"),
        (changed(lambda ring: ring.update(keys={})), "a list with at least one key"),
        (changed(lambda ring: ring.update(keys=["key"])), "expected an object with activates, jwk"),
        (changed(lambda ring: ring["keys"][0].pop("published")), "expected an object with activ"),
        (changed(lambda ring: ring["keys"][0].update(published="now")), "a time is not a number"),
        (changed(lambda ring: ring["keys"][0].update(published=True)), "a time is not a number"),
        (changed(lambda ring: ring["keys"][0].update(jwk=[])), '"jwk" must be an object'),
        (changed(lambda ring: ring["keys"][0]["jwk"].pop("d")), "a public key where a private one"),
        (changed(lambda ring: ring["keys"].append(ring["keys"][1])), "holds a key twice"),
        (changed(lambda ring: ring["keys"].reverse()), "not in the order in which they become"),
        (changed(lambda ring: ring["timings"].pop("leeway")), "expected an object with leeway, "),
        (changed(lambda ring: ring["timings"].update(period=1)), "has timings that cannot be used"),
    ],
)
def test_what_is_not_a_ring_says_why_and_quotes_no_key(content: bytes, words: str) -> None:
    with pytest.raises(SourceFault) as caught:
        load(content)

    assert words in str(caught.value)
    assert KEY.private_jwk()["d"] not in str(caught.value)
