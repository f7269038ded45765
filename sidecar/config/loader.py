"""Loads a configuration, or says everything that is wrong with it at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sidecar.config import key_files, key_rules, schema, semantics
from sidecar.config.build import Configuration, build
from sidecar.config.document import Document, read
from sidecar.config.doubts import doubts
from sidecar.config.key_files import KeyFiles
from sidecar.config.models import Sidecar
from sidecar.config.problems import Location, Problem, fault
from sidecar.config.semantics import Draft, Finding

_RULES: Final = (*semantics.RULES, *key_rules.RULES)


def load(path: Path, key_files_are: KeyFiles = KeyFiles.GOOD_IF_THERE) -> Configuration:
    """Load a configuration file.

    Args:
        path: the file.
        key_files_are: what is expected of the key files it names.

    Raises:
        ConfigurationFault: something is wrong; the text has one line for each thing.
    """
    document = read(path)
    checked = schema.check(document, Sidecar)
    problems = [*document.problems, *checked.problems]
    sidecar = checked.model
    draft = _whole(document, sidecar) if sidecar else _readable_parts(document, checked.bad)
    if draft is None:
        raise fault(path, problems)
    found = key_files.examine(draft, key_files_are)
    problems += semantics.check(draft, _RULES) + _problems(document, found.wrong)
    if problems or sidecar is None:
        raise fault(path, problems)
    warnings = _problems(document, (*doubts(sidecar), *found.doubtful))
    return build(sidecar, path, document.digest, found.keys, tuple(sorted(warnings)))


def _whole(document: Document, sidecar: Sidecar) -> Draft:
    return Draft(
        document=document,
        sidecar=sidecar,
        trust=tuple((("trust", index), item) for index, item in enumerate(sidecar.trust)),
        routes=tuple((("routes", index), item) for index, item in enumerate(sidecar.routes)),
        bad=frozenset(),
    )


def _readable_parts(document: Document, bad: tuple[Location, ...]) -> Draft | None:
    """What is left when every section and every item with something bad in it is left out."""
    if not isinstance(document.value, dict):
        return None
    sections = {str(location[0]) for location in bad}
    parts: dict[str, object] = {"role": "sidecar", "routes": []}
    parts |= {name: part for name, part in document.value.items() if name not in sections}
    broken = {location[:2] for location in bad}
    places: dict[str, list[Location]] = {"trust": [], "routes": []}
    for name, good in places.items():
        items = document.value.get(name)
        if isinstance(items, list):
            indices = [i for i in range(len(items)) if (name, i) not in broken]
            good += [(name, i) for i in indices]
            parts[name] = [items[i] for i in indices]
    sidecar = Sidecar.model_validate(parts)
    return Draft(
        document=document,
        sidecar=sidecar,
        trust=tuple(zip(places["trust"], sidecar.trust, strict=True)),
        routes=tuple(zip(places["routes"], sidecar.routes, strict=True)),
        bad=frozenset(sections),
    )


def _problems(document: Document, findings: Iterable[Finding]) -> list[Problem]:
    return [Problem(document.at_value(location), text) for location, text in findings]
