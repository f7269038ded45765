"""Settings are copied from the keys of their names, and only where the types agree."""

from dataclasses import dataclass

import pytest

from sidecar.config.section import Section, copied, written


class Person(Section):
    name: str
    nicknames: tuple[str, ...] = written((), "What friends say.")
    ages: dict[str, int] = written({}, "By year.")
    unused: int = written(0, "What no setting has.")


@dataclass(frozen=True)
class PersonSettings:
    name: str
    nicknames: frozenset[str]
    ages: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Numbered:
    name: int


ALICE = Person(name="alice", nicknames=("al", "al"), ages={"2026": 30})


def test_settings_have_the_values_of_the_keys_of_their_names() -> None:
    assert copied(PersonSettings, ALICE) == PersonSettings(
        "alice", frozenset({"al"}), (("2026", 30),)
    )


def test_what_is_given_besides_comes_first() -> None:
    assert copied(PersonSettings, ALICE, name="bob").name == "bob"


def test_a_key_of_another_type_is_not_copied() -> None:
    with pytest.raises(TypeError, match="a setting is <class 'int'>"):
        copied(Numbered, ALICE)


def test_a_setting_that_no_key_has_is_missing() -> None:
    with pytest.raises(TypeError, match="missing"):
        copied(PersonSettings)
