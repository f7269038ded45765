"""Configurations as users write them, each with the decisions that they expect."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize(
    "name", sorted(path.name.removesuffix(".tests.yaml") for path in CASES.glob("*.tests.yaml"))
)
def test_a_configuration_decides_as_its_user_expects(name: str, run: Run) -> None:
    status, output, errors = run("test", "-c", CASES / f"{name}.yaml", CASES / f"{name}.tests.yaml")

    assert status == 0, output + errors
