"""Write ``docs/reference`` from the code, and ``docs/providers.md`` from the examples.

With ``--check``, say whether they are up to date.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sidecar.cli import COMMANDS, parser
from sidecar.cli.policy_tests import PolicyTests
from sidecar.config.section import Section
from sidecar.config.sections.gateway.root import Gateway
from sidecar.config.sections.root import RootSection
from sidecar.config.sections.sidecar import Sidecar
from sidecar.model import Reason
from sidecar.telemetry.gateway_metrics import GatewayMetrics
from sidecar.telemetry.metrics import Metrics
from tools.providers import providers

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs"

Json = dict[str, Any]
# The sections that have a table by now, by their paths.
Told = dict[str, Json]


def configuration() -> str:
    """Every key of the configuration file and of the file of policy tests."""
    both: Told = {}
    return "\n".join(
        [
            "# Configuration",
            "",
            "One YAML file. Unknown keys, keys that stand twice, anchors, aliases and tags are",
            "errors. `${NAME}` as a whole value is the environment variable of that name.",
            "Durations are written as `200ms`, `10s`, `5m` or `24h`. A claim is written as its",
            "name, or for a nested claim as the list of names that lead to it.",
            "`sidecar schema` prints the same as a JSON Schema.",
            "",
            "What both roles have comes first, then what each has besides.",
            "",
            *_sections(RootSection, both),
            "# A sidecar's configuration",
            "",
            *_sections(Sidecar, both.copy()),
            "# A gateway's configuration",
            "",
            *_sections(Gateway, both.copy()),
            "# Policy tests",
            "",
            "The file that `sidecar test` reads. Each test is decided as the configuration says,",
            "with throw-away keys in place of the issuers'; in shadow mode as if enforced, and a",
            "denial is marked `would_deny`. Nobody is asked: there are keys of those issuers alone",
            "that `token` names, and a session that no `session` describes is inactive.",
            "",
            *_sections(PolicyTests, {}),
        ]
    )


def reasons() -> str:
    """Every reason a request is let through or denied for."""
    rows = [
        f"| `{reason.label}` | {reason.step.value} | {reason.status} | "
        f"{f'`{reason.error}`' if reason.error else ''} | {reason.sentence} |"
        for reason in Reason
    ]
    return "\n".join(
        [
            "# Reasons",
            "",
            "The reason of a decision is its label in metrics, logs, dynamic metadata, problem",
            "bodies and `sidecar check`. A denial ends the check at the step it names.",
            "",
            "| reason | step | status | OAuth error | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def command_line() -> str:
    """The help of every command."""
    lines = ["# Command line", ""]
    lines += ["Exit codes: 0 good, 1 the answer is no, 2 wrong use or a bad configuration.", ""]
    # argparse wraps at the terminal's width and, from Python 3.14 on, may colour.
    os.environ.update(COLUMNS="80", NO_COLOR="1")
    lines += ["```text", parser(()).format_help().rstrip(), "```", ""]
    for command in _commands(parser(COMMANDS)):
        lines += [f"## {command.prog}", "", "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(root: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands, each before those of the commands below it."""
    for action in root._actions:  # argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from _commands(command)


def metrics() -> str:
    """Every metric with its type, its labels and what it counts."""
    every = Metrics()
    of_both = len(every.descriptions)
    GatewayMetrics(every)
    rows = [
        f"| `{name}` | {type_} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        for name, type_, labels, text in every.descriptions
    ]
    heading = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    return "\n".join(
        [
            "# Metrics",
            "",
            "On `/metrics`, with 0 for every label set the configuration can lead to. Labels come",
            "from the configuration and from closed lists, never from a request. There are also",
            "the usual ones of the process and of Python's garbage collector. All who ask within a",
            "second are shown the same.",
            "",
            *heading,
            *rows[:of_both],
            "",
            "A gateway has these besides:",
            "",
            *heading,
            *rows[of_both:],
            "",
        ]
    )


# Every page that is generated, and what writes it.
PAGES: list[tuple[str, Callable[[], str]]] = [
    ("reference/configuration.md", configuration),
    ("reference/reasons.md", reasons),
    ("reference/cli.md", command_line),
    ("reference/metrics.md", metrics),
    ("providers.md", providers),
]


def _sections(model: type[Section], told: Told) -> Iterator[str]:
    """A table for every section of a model, of the keys that are not told at the same place yet."""
    schema = model.model_json_schema()
    definitions: Json = schema.get("$defs", {})
    pending: list[tuple[str, Json]] = [("", schema)]
    while pending:
        path, section = pending.pop(0)
        before = told.get(path, {}).get("properties", {})
        rows, nested = [], []
        for name, property_ in section["properties"].items():
            kind, inner = _kind(property_, definitions)
            default = _default(name, property_, section, inner)
            description = property_.get("description") or (inner or {}).get("description", "")
            if inner is not None:
                suffix = "[]" if property_.get("type") == "array" else ""
                place = f"{path}.{name}{suffix}".lstrip(".")
                elsewhere = next((at for at, other in told.items() if other == inner), place)
                if elsewhere == place:  # a section gets a table of its own
                    nested.append((place, inner))
                else:
                    description += f" As `{elsewhere}`."
            if name not in before:
                rows.append(f"| `{name}` | {kind} | {default} | {description} |")
        if rows:
            yield from (f"## {path or 'Top level'}", "", section["description"], "")
            yield from ("| key | value | default | meaning |", "|---|---|---|---|", *rows, "")
        told[path] = section
        pending[:0] = nested


def _kind(schema: Json, definitions: Json) -> tuple[str, Json | None]:
    """What kind of value a schema stands for, and the section it holds."""
    if "$ref" in schema:
        target: Json = definitions[schema["$ref"].rpartition("/")[2]]
        return _kind(target, definitions) if "enum" in target else ("section", target)
    if "x-kind" in schema:
        return schema["x-kind"], None
    if "enum" in schema or "const" in schema:
        accepted = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{value}`" for value in accepted), None
    if "anyOf" in schema:
        kinds = [_kind(each, definitions) for each in schema["anyOf"]]
        words = [kind for kind, _ in kinds if kind != "null"]
        nullable = ["`null`"] if "null" in [k for k, _ in kinds] and words != ["section"] else []
        return " or ".join(words + nullable), next((inner for _, inner in kinds if inner), None)
    if schema["type"] == "array":
        kind, inner = _kind(schema["items"], definitions)
        return f"list of {'sections' if inner else kind}", inner
    if schema["type"] == "object":
        return "mapping", None
    if schema["type"] in {"integer", "number"}:
        what = "whole number" if schema["type"] == "integer" else "number"
        return f"{what} from {schema['minimum']} to {schema['maximum']}", None
    return "`true` or `false`" if schema["type"] == "boolean" else str(schema["type"]), None


def _default(name: str, property_: Json, section: Json, inner: Json | None) -> str:
    if name in section.get("required", ()):
        return "required"
    default = property_.get("default")
    if default in (None, "", [], {}) or (inner is not None and not isinstance(default, list)):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def main() -> int:
    """Write or compare the pages."""
    options = argparse.ArgumentParser(description=__doc__, prog="python -m tools.reference")
    options.add_argument("--check", action="store_true", help="write nothing, exit 1 if outdated")
    check = options.parse_args().check
    outdated = []
    for name, text in ((name, write()) for name, write in PAGES):
        file = TARGET / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if check and (not file.is_file() or file.read_text(encoding="utf-8") != text):
            outdated.append(str(file.relative_to(ROOT)))
        elif not check:
            file.write_text(text, encoding="utf-8")
    if outdated:
        print(
            "not what the code and the examples say, run `make reference`:", *outdated, sep="\n  "
        )
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
