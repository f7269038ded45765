"""Every rule of the configuration, each broken in a file of its own."""

from pathlib import Path

import pytest

from sidecar.config import KeyFiles, load
from sidecar.errors import ConfigurationFault

BROKEN = Path(__file__).parent / "broken"
_EXPECTATION = "# expect: "


@pytest.mark.parametrize("name", sorted(path.name for path in BROKEN.glob("*.yaml")))
def test_every_problem_is_told_with_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    monkeypatch.delenv("SIDECAR_TEST_UNSET", raising=False)
    file = Path(name)
    expected = [
        f"{name}:{line.removeprefix(_EXPECTATION)}"
        for line in file.read_text().splitlines()
        if line.startswith(_EXPECTATION)
    ]

    with pytest.raises(ConfigurationFault) as fault:
        load(file, KeyFiles.REQUIRED)

    assert str(fault.value).splitlines() == expected
