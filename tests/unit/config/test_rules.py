"""Rules between sections: each is asked where what it needs could be read, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sidecar.config import KeyFiles, load
from sidecar.config.document import read
from sidecar.config.rules import Draft
from sidecar.config.sections.sidecar import Sidecar
from sidecar.errors import ConfigurationFault

EXAMPLES = Path(__file__).parents[2] / "support" / "configurations"


def example(role: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(EXAMPLES / f"{role}.yaml")
    return document


SECTIONS = [(role, name) for role in ("sidecar", "gateway") for name in example(role)]


@pytest.mark.parametrize(("role", "name"), SECTIONS)
@pytest.mark.parametrize("unreadable", [[{"no": "such key"}], None])
def test_no_rule_asks_for_a_section_that_cannot_be_read_without_needing_it(
    tmp_path: Path, role: str, name: str, unreadable: object
) -> None:
    file = tmp_path / "sidecar.yaml"
    YAML(typ="safe").dump({**example(role), "routes": [], name: unreadable}, file)

    with pytest.raises(ConfigurationFault):
        load(file, KeyFiles.IGNORED)


def test_a_section_of_another_kind_is_a_mistake_of_the_rule(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("{}")
    root = Sidecar.model_construct(routes=(), trust=(), identity=None)
    draft = Draft(read(file), root, {"routes": (), "trust": ()}, frozenset({"identity"}))

    with pytest.raises(TypeError, match=r"identity is no str: does the rule need it\?"):
        draft.section("identity", str)
    with pytest.raises(TypeError, match="mode holds 'e', which is no int"):
        Draft(read(file), Sidecar.model_construct(mode=("e",)), {}, frozenset()).items("mode", int)
