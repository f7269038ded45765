"""A sidecar pays for no module that only a gateway uses: its memory and start are every pod's."""

import subprocess
import sys
from pathlib import Path

CONFIGURATIONS = Path(__file__).parents[2] / "support" / "configurations"
GATEWAYS = {"sidecar.gateway", "sidecar.session", "sidecar.mint", "sidecar.rings"}
PROGRAM = """
import sys
from pathlib import Path

import sidecar.app.program
import sidecar.cli.serve
from sidecar.config import KeyFiles, load

load(Path(sys.argv[1]), KeyFiles.IGNORED)
print(*sys.modules)
"""


def imported(configuration: str) -> set[str]:
    """What a fresh interpreter has imported when it has read a configuration and could serve."""
    command = [sys.executable, "-c", PROGRAM, str(CONFIGURATIONS / configuration)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_a_sidecar_imports_nothing_of_a_gateway() -> None:
    assert imported("sidecar.yaml").isdisjoint(GATEWAYS)


def test_a_gateway_does() -> None:
    assert imported("gateway.yaml") >= GATEWAYS
