"""Every rule of the configuration, each broken in a file of its own."""

from pathlib import Path

import pytest

from sidecar.config import KeyFiles, load
from sidecar.errors import ConfigurationFault

BROKEN = Path(__file__).parent / "broken"
GATEWAY = BROKEN / "gateway"
_EXPECTATION = "# expect: "


@pytest.mark.parametrize("name", sorted(path.name for path in BROKEN.glob("*.yaml")))
def test_every_problem_is_told_with_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    monkeypatch.delenv("SIDECAR_TEST_UNSET", raising=False)

    assert _problems(name, KeyFiles.REQUIRED) == _expected(name)


# What is wrong with the files of a gateway is in test_gateway_files: they hold secrets, and are
# made there.
@pytest.mark.parametrize("name", sorted(path.name for path in GATEWAY.glob("*.yaml")))
def test_every_problem_of_a_gateway_is_told_with_its_place(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(GATEWAY)

    assert _problems(name, KeyFiles.IGNORED) == _expected(name)


def _problems(name: str, key_files_are: KeyFiles) -> list[str]:
    with pytest.raises(ConfigurationFault) as fault:
        load(Path(name), key_files_are)
    return str(fault.value).splitlines()


def _expected(name: str) -> list[str]:
    """The lines at the top of a file that say what is wrong with it."""
    return [
        f"{name}:{line.removeprefix(_EXPECTATION)}"
        for line in Path(name).read_text().splitlines()
        if line.startswith(_EXPECTATION)
    ]
