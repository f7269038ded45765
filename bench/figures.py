"""What was measured, and the table that shows it: budgets and the committed baseline beside it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ENVOY_VERSION = "1.40.0"
TIMES = "\N{MULTIPLICATION SIGN}"
_HEADS = ("", "measured", "budget", "", "baseline")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    ``budget`` is what the first of ``values`` may be at most; a figure without one is there to be
    looked at. A figure whose ``unit`` is TIMES is a ratio, which another machine reproduces.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    budget: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the budget is kept."""
        if self.budget is None:
            return ""
        return "met" if self.values[0] <= self.budget else "MISSED"


def machine() -> dict[str, str | int | None]:
    """On what kind of machine, and with which releases, figures are taken."""
    packages = ("grpcio", "cryptography", "protobuf")
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "envoy": ENVOY_VERSION,
    }


def document(parts: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """What is written to bench/latest.json; copied to bench/baseline.json it is the next one."""
    return {
        "machine": machine(),
        "figures": {
            part: {figure.name: [round(value, 3) for value in figure.values] for figure in figures}
            for part, figures in parts.items()
        },
    }


def baseline(file: Path) -> dict[str, Any]:
    """A committed document; empty where there is none yet."""
    loaded: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return loaded


def table(parts: Mapping[str, Sequence[Figure]], before: Mapping[str, Any]) -> str:
    """The figures in columns, part by part."""
    rows = []
    for part, figures in parts.items():
        known = before.get("figures", {}).get(part, {})
        rows.append((f"[{part}]", "", "", "", ""))
        rows += [_row(figure, known.get(figure.name)) for figure in figures]
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in {0, 3} else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [_HEADS, *rows]
    )


def _row(figure: Figure, before: list[float] | None) -> tuple[str, str, str, str, str]:
    return (
        figure.name,
        _text(figure.values, figure.unit),
        "" if figure.budget is None else f"≤ {_text([figure.budget], figure.unit)}",
        figure.verdict,
        "" if before is None else _text(before, figure.unit),
    )


def _text(values: Sequence[float], unit: str) -> str:
    digits = 2 if unit in {TIMES, "s", "KiB"} else 0
    return f"{' / '.join(f'{value:,.{digits}f}' for value in values)} {unit}"
