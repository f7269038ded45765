"""Loads a configuration, or reports every problem in it at once."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import create_model

from sidecar.config import rules, schema
from sidecar.config.configuration import Configuration, LoadedFile
from sidecar.config.document import YamlDocument, read
from sidecar.config.key_files import KeyFiles
from sidecar.config.problems import FileProblem, Finding, Location, fault
from sidecar.config.rules import Draft
from sidecar.config.sections.root import RootSection
from sidecar.config.sections.sidecar import Sidecar


def load(path: Path, key_files_are: KeyFiles = KeyFiles.GOOD_IF_THERE) -> Configuration:
    """Load a configuration file.

    Args:
        path: the file.
        key_files_are: what is expected of the key files it names.

    Raises:
        ConfigurationFault: something is wrong; the text has one line for each thing.
    """
    document = read(path)
    return _load(document, _role(document.value), key_files_are)


def _role(document: object) -> type[RootSection]:
    """The role of a document: a gateway's if it says so, else a sidecar's."""
    if isinstance(document, dict) and document.get("role") == "gateway":
        return _gateway()
    return Sidecar


def _gateway() -> type[RootSection]:
    from sidecar.config.sections.gateway.root import Gateway  # noqa: PLC0415 - for a gateway alone

    return Gateway


def _owner(role: type[RootSection], location: Location) -> str | None:
    """The other role, where it has the key."""
    other, name = (_gateway(), "gateway") if role is Sidecar else (Sidecar, "sidecar")
    return f"role: {name}" if schema.has_key(other, location) else None


def _load(
    document: YamlDocument, role: type[RootSection], key_files_are: KeyFiles
) -> Configuration:
    checked = schema.check(document, role, partial(_owner, role))
    problems = [*document.problems, *checked.problems]
    root = checked.model
    draft = _draft(document, role, root, checked.bad)
    if draft is None:
        raise fault(document.path, problems)
    files = role.examine(draft, key_files_are)
    problems += _problems(document, [*rules.check(draft, role.rules), *files.wrong])
    if problems or root is None:
        raise fault(document.path, problems)
    warnings = sorted(
        _problems(document, [*rules.warnings(draft, role.warning_rules), *files.warnings])
    )
    loaded = LoadedFile(document.path, document.digest, files.keys, tuple(warnings))
    return root.settings(loaded)


def _draft(
    document: YamlDocument,
    role: type[RootSection],
    root: RootSection | None,
    bad: tuple[Location, ...],
) -> Draft | None:
    """The document without its bad sections, and without the bad items of its lists."""
    if not isinstance(document.value, dict):
        return None
    sections = frozenset(str(location[0]) for location in bad)
    parts = {name: part for name, part in document.value.items() if name not in sections}
    broken = {location[:2] for location in bad}
    places: dict[str, tuple[Location, ...]] = {}
    for name in role.lists:
        found = document.value.get(name)
        items = found if isinstance(found, list) else []
        readable = [index for index in range(len(items)) if (name, index) not in broken]
        places[name] = tuple((name, index) for index in readable)
        parts[name] = [items[index] for index in readable]
    if root is None:
        root = schema.read(document, _without(role, sections - parts.keys()), parts)
    return Draft(document, root, places, sections)


def _without(role: type[RootSection], sections: Iterable[str]) -> type[RootSection]:
    """The shape of a role in which some sections are None."""
    # Any: create_model takes its fields as keywords, and mypy its own options among them.
    absent: dict[str, Any] = dict.fromkeys(role.model_fields.keys() & set(sections), (None, None))
    return create_model(role.__name__, __base__=role, **absent)


def _problems(document: YamlDocument, findings: Iterable[Finding]) -> list[FileProblem]:
    return [FileProblem(document.at_value(location), text) for location, text in findings]
