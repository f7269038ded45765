"""Reads the folders of this package."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import Field

from sidecar.cli.policy_tests import HeaderName, Moment, Request
from sidecar.config import Configuration, KeyFiles, document, load
from sidecar.config.section import Section
from sidecar.config.values import Text

DIRECTORY: Final = Path(__file__).parent
# The headings of a README that the table of providers is made from.
OBTAINED: Final = "Who can obtain a token with this audience"
HELD_OFF: Final = "What holds the others off"


class Token(Section):
    """A whole token of a provider, as it would be decoded, in a request."""

    name: Text
    header: dict[str, Any]
    claims: dict[str, Any]
    request: Request


class AcceptedToken(Token):
    """It is let through. ``headers`` are those that are set or, with null, removed."""

    headers: dict[HeaderName, Text | None] = Field(min_length=1)


class RefusedToken(Token):
    """It is refused for the reason with this label."""

    reason: Text


class Tokens(Section):
    """The tokens of a provider.

    ``of_others`` are of somebody else's tenant, project or repository; ``of_another_kind`` are the
    provider's and not what the configuration asks for, such as ID tokens.
    """

    now: Moment
    accepted: tuple[AcceptedToken, ...] = Field(min_length=1)
    of_others: tuple[RefusedToken, ...] = Field(min_length=1)
    of_another_kind: tuple[RefusedToken, ...] = ()


class Provider(NamedTuple):
    """The folder of a provider, read. ``sections`` are the README's, by their headings."""

    directory: Path
    title: str
    sections: dict[str, str]
    tokens: Tokens
    key_set: dict[str, Any]

    @property
    def configuration_file(self) -> Path:
        """What the provider's users begin with."""
        return self.directory / "sidecar.yaml"

    def configuration(self) -> Configuration:
        """It, loaded."""
        return load(self.configuration_file, KeyFiles.IGNORED)


def read(directory: Path) -> Provider:
    """Read one folder.

    Raises:
        ValueError: a file of it is not as it should be (``ConfigurationFault`` for the
            configuration).
    """
    title, sections = _sections((directory / "README.md").read_text(encoding="utf-8"))
    return Provider(
        directory=directory,
        title=title,
        sections=sections,
        tokens=Tokens.model_validate(document.read(directory / "tokens.yaml", {}).value),
        key_set=json.loads((directory / "jwks.json").read_text(encoding="utf-8")),
    )


def all_providers() -> Iterator[Provider]:
    """Every folder, in the order of its name."""
    for file in sorted(DIRECTORY.glob("*/sidecar.yaml")):
        yield read(file.parent)


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """The title of a README, and its sections by their headings."""
    head, *rest = text.split("\n## ")
    title = head.partition("\n")[0].removeprefix("# ")
    parts = (section.partition("\n") for section in rest)
    return title, {heading: body.strip() for heading, _, body in parts}
