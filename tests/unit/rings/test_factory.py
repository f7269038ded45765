"""From settings to the back end they name, and nothing more."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.clients.vault.settings import KvKeys, TokenFile, TransitKeys, VaultSettings
from sidecar.errors import ConfigurationFault
from sidecar.rings import SigningRing
from sidecar.rings.directory_ring import DirectoryRing
from sidecar.rings.ephemeral import EphemeralRing
from sidecar.rings.factory import open_ring, open_sealing_ring
from sidecar.rings.lifecycle import Timings
from sidecar.rings.settings import InDirectory, InMemory, InTransit, RingPlace, RingSettings
from sidecar.rings.transit import TransitRing

VAULT = VaultSettings("https://vault.example", TokenFile(Path("token")))
DIRECTORY = InDirectory(Path("keys"))
TRANSIT = InTransit(TransitKeys(VAULT, "request"))
MEMORY = InMemory(KvKeys(VAULT, "gateways", replicas=True), "gateway-1")
TIMINGS = Timings(token_life=300)


@pytest.mark.parametrize(
    ("place", "kind", "name"),
    [
        (DIRECTORY, DirectoryRing, "file keys/ring.json"),
        (TRANSIT, TransitRing, "transit key transit/request"),
        (MEMORY, EphemeralRing, "record secret/gateways/gateway-1-"),
    ],
)
def test_a_ring_is_opened_where_it_is(place: RingPlace, kind: type[SigningRing], name: str) -> None:
    ring = open_ring(RingSettings("request", place, "ES256", TIMINGS))

    assert type(ring) is kind
    assert str(ring).startswith(name)
    assert ring.keys.timings == TIMINGS


def test_keys_that_seal_are_in_a_directory() -> None:
    ring = open_sealing_ring(RingSettings("session", DIRECTORY, "A256GCM", TIMINGS))

    assert str(ring) == "file keys/ring.json"


@pytest.mark.parametrize("place", [TRANSIT, MEMORY])
def test_keys_that_seal_are_nowhere_else(place: RingPlace) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        open_sealing_ring(RingSettings("session", place, "A256GCM", TIMINGS))
    assert str(caught.value) == (
        "the session keys must be in a directory: every replica needs their secrets"
    )


def test_a_back_end_that_is_not_configured_costs_nothing() -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from sidecar.rings.factory import open_ring; "
        "from sidecar.rings.settings import InDirectory, RingSettings; "
        "open_ring(RingSettings('request', InDirectory(Path('keys')))); "
        "print([name for name in sys.modules if name.endswith(('.transit', '.ephemeral'))])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout == "[]\n"
