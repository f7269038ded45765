"""Loads a configuration, or says everything that is wrong with it at once."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sidecar.config import rules as semantics
from sidecar.config import schema
from sidecar.config.build import Configuration, Loaded
from sidecar.config.document import Document, read
from sidecar.config.key_files import KeyFiles
from sidecar.config.problems import Location, Problem, fault
from sidecar.config.rules import Draft, Finding
from sidecar.config.sections.public_routes import doubts
from sidecar.config.sections.roles import R, Role
from sidecar.config.sections.sidecar_role import SIDECAR


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


def _role(document: object) -> Role[Any]:  # Any: which model it has, the role alone knows
    """The role that a document is written for; whatever is not a gateway's is a sidecar's."""
    if isinstance(document, dict) and document.get("role") == "gateway":
        return _gateway()
    return SIDECAR


def _gateway() -> Role[Any]:
    from sidecar.config.sections.gateway.role import GATEWAY  # noqa: PLC0415 - for a gateway alone

    return GATEWAY


def _owner(role: Role[Any], location: Location) -> str | None:
    """The other role, where it has the key."""
    other, name = (_gateway(), "gateway") if role is SIDECAR else (SIDECAR, "sidecar")
    return f"role: {name}" if schema.has_key(other.model, location) else None


def _load(document: Document, role: Role[R], key_files_are: KeyFiles) -> Configuration:
    checked = schema.check(document, role.model, partial(_owner, role))
    problems = [*document.problems, *checked.problems]
    root = checked.model
    draft = _whole(document, role, root) if root else _readable_parts(document, role, checked.bad)
    if draft is None:
        raise fault(document.path, problems)
    found = role.examine(draft, key_files_are)
    problems += semantics.check(draft, role.rules) + _problems(document, found.wrong)
    if problems or root is None:
        raise fault(document.path, problems)
    doubtful = (*doubts(root), *role.doubts(root), *found.doubtful)
    warnings = tuple(sorted(_problems(document, doubtful)))
    return role.build(root, Loaded(document.path, document.digest, found.keys, warnings))


def _whole(document: Document, role: Role[R], root: R) -> Draft[R]:
    lists = {name: range(len(getattr(root, name))) for name in role.lists}
    return Draft(document, root, _places(lists), bad=frozenset())


def _readable_parts(
    document: Document, role: Role[R], bad: tuple[Location, ...]
) -> Draft[R] | None:
    """What is left when every section and every item with something bad in it is left out."""
    if not isinstance(document.value, dict):
        return None
    sections = {str(location[0]) for location in bad}
    parts = dict(role.stand_ins)
    parts |= {name: part for name, part in document.value.items() if name not in sections}
    broken = {location[:2] for location in bad}
    lists: dict[str, list[int]] = {}
    for name in role.lists:
        items = document.value.get(name)
        lists[name] = []
        if isinstance(items, list):
            lists[name] = [i for i in range(len(items)) if (name, i) not in broken]
            parts[name] = [items[i] for i in lists[name]]
    root = role.model.model_validate(parts)
    return Draft(document, root, _places(lists), bad=frozenset(sections))


def _places(lists: Mapping[str, Iterable[int]]) -> dict[str, tuple[Location, ...]]:
    return {name: tuple((name, index) for index in indices) for name, indices in lists.items()}


def _problems(document: Document, findings: Iterable[Finding]) -> list[Problem]:
    return [Problem(document.at_value(location), text) for location, text in findings]
