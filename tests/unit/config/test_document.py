"""Reading YAML strictly."""

from pathlib import Path

import pytest

from sidecar.config.document import MAXIMUM_BYTES, read
from sidecar.config.problems import Position
from sidecar.errors import ConfigurationFault


def _file(directory: Path, content: bytes | str) -> Path:
    file = directory / "file.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("17", 17),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-01-31", "2026-01-31"),
        ("'17'", "17"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_the_core_schema(tmp_path: Path, text: str, value: object) -> None:
    assert read(_file(tmp_path, f"key: {text}\n")).value == {"key": value}


def test_keys_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    document = read(_file(tmp_path, "1: a\ntrue: b\n"))

    assert document.value == {"1": "a", "true": "b"}


@pytest.mark.parametrize(("written", "value"), [("${PORT}", 9464), ('"${PORT}"', "9464")])
def test_a_variable_reads_as_if_it_were_written_in_place(
    tmp_path: Path, written: str, value: object
) -> None:
    assert read(_file(tmp_path, f"key: {written}"), {"PORT": "9464"}).value == {"key": value}


def test_values_and_keys_have_places(tmp_path: Path) -> None:
    document = read(_file(tmp_path, "a:\n  - b: 1\n    c: 2\n"))

    assert document.at_value(("a", 0, "c")) == Position(3, 8)
    assert document.at_key(("a", 0, "c")) == Position(3, 5)
    assert document.at_value(("a", 0, "not there")) == Position(2, 5)


def test_a_skipped_value_hides_nothing_after_it(tmp_path: Path) -> None:
    document = read(_file(tmp_path, "a: 1\na: {b: [1, {c: 2}], d: 3}\ne: !x [1, [2]]\nf: 4\n"))

    assert document.value == {"a": 1, "e": None, "f": 4}
    assert len(document.problems) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: 1\nb: \xff\n", ":2:1: is not UTF-8 text"),
        (b"a: \x01\n", "this is not YAML: it holds a character that YAML does not allow"),
        (b"a: [1\n", "this is not YAML"),
        (b"#" * (MAXIMUM_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_what_is_no_yaml_is_a_fault(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(ConfigurationFault, match=problem):
        read(_file(tmp_path, content))


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="cannot be read: No such file"):
        read(tmp_path / "nowhere.yaml")


def test_deep_nesting_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="nested more than 20 levels deep"):
        read(_file(tmp_path, "a: " + "[" * 5000 + "]" * 5000))
