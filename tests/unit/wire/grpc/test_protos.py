"""The check that what is generated is what ``protos/`` compiles to."""

from pathlib import Path

import pytest

from tools.protos import ROOT, TARGETS, compile_into, differences


@pytest.mark.parametrize("folder", TARGETS)
def test_what_is_committed_is_what_protos_compiles_to(folder: str, tmp_path: Path) -> None:
    compile_into(tmp_path, folder)
    assert differences(tmp_path, ROOT / TARGETS[folder]) == []


def test_changed_missing_and_superfluous_files_are_named(tmp_path: Path) -> None:
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for tree, files in ((fresh, ("same", "changed", "missing")), (committed, ("same", "changed"))):
        tree.mkdir()
        for name in files:
            (tree / f"{name}.py").write_text("" if name == "same" else str(tree))
    (committed / "superfluous.pyi").touch()
    assert differences(fresh, committed) == ["changed.py", "missing.py", "superfluous.pyi"]
