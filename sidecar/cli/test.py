"""``sidecar test``: policy tests, from requests to decisions, without any signing key."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from sidecar.check.pipeline import CheckSettings
from sidecar.cli import junit
from sidecar.cli.options import add_configuration
from sidecar.cli.policy_tests import Case, Expectation, PolicyTests
from sidecar.cli.simulation import decide, with_token
from sidecar.cli.stand_ins import StandIn, snapshot
from sidecar.cli.texts import printable
from sidecar.config import KeyFiles, load, schema
from sidecar.config import document as documents
from sidecar.config.problems import Problem, fault
from sidecar.model import Allow, Decision, RequestView


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)
    parser.add_argument("tests", metavar="TESTS", type=Path, help="the file of tests")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write the results there too")


def run(options: Namespace) -> int:
    """Print one line per test and what differs; 1 if anything does."""
    settings = load(options.configuration, KeyFiles.IGNORED).check
    tests = _read(options.tests, settings)
    used = {case.token.trust for case in tests.tests if case.token is not None}
    stand_ins = {entry.name: StandIn(entry) for entry in settings.trust if entry.name in used}
    keys = snapshot(stand_ins)
    now = time.time() if tests.now is None else tests.now
    results = []
    for case in tests.tests:
        request = _request(case, settings, stand_ins, now)
        differences = list(_differences(case.expect, decide(settings, request, keys, now)))
        results.append((case.name, differences))
        sys.stdout.write(f"{'FAIL' if differences else 'ok':4} {printable(case.name)}\n")
        for line in differences:
            sys.stdout.write(f"       {printable(line)}\n")
    failed = sum(bool(differences) for _, differences in results)
    sys.stdout.write(f"{len(results)} tests, {failed} failed\n")
    if options.junit is not None:
        junit.write(options.junit, options.tests.stem, results)
    return 1 if failed else 0


def _read(path: Path, settings: CheckSettings) -> PolicyTests:
    """The tests, or a fault with all that is wrong in their file."""
    document = documents.read(path)
    checked = schema.check(document, PolicyTests)
    problems = [*document.problems, *checked.problems]
    names = {entry.name for entry in settings.trust}
    for index, case in enumerate(checked.model.tests if checked.model else ()):
        if case.token is not None and case.token.trust not in names:
            position = document.at_value(("tests", index, "token", "trust"))
            accepted = ", ".join(sorted(names))
            text = f'no trust entry is called "{case.token.trust}"; accepted: {accepted}'
            problems.append(Problem(position, text))
    if problems or checked.model is None:
        raise fault(path, problems)
    return checked.model


def _request(
    case: Case, settings: CheckSettings, stand_ins: Mapping[str, StandIn], now: float
) -> RequestView:
    request = RequestView(
        method=case.request.method,
        path=case.request.path,
        host=case.request.host,
        headers=tuple(
            (name, line.encode()) for name, lines in case.request.headers.items() for line in lines
        ),
        principal=case.request.principal,
        route=case.request.route or None,
    )
    if case.token is None:
        return request
    token = stand_ins[case.token.trust].token(
        case.token.claims,
        now=now,
        expires_in=case.token.expires_in,
        type_=case.token.type,
        kid=case.token.kid,
    )
    return with_token(request, settings.sources[0], token)


def _differences(expect: Expectation, decision: Decision) -> Iterator[str]:
    """What of a decision is other than expected, one line each."""
    got = "allow" if isinstance(decision, Allow) else "deny"
    if got != expect.decision:
        yield f"decision: expected {expect.decision}, got {got} ({decision.reason.label})"
    if expect.reason is not None and decision.reason is not expect.reason:
        yield f"reason: expected {expect.reason.label}, got {decision.reason.label}"
    if expect.route and decision.route != expect.route:
        yield f"route: expected {expect.route}, got {decision.route or 'none'}"
    if not isinstance(decision, Allow):
        if expect.headers:
            yield "headers: expected changes, got none because the request is denied"
        return
    changed: dict[str, str | None] = dict(decision.headers.overwrite)
    changed |= dict.fromkeys(decision.headers.remove)
    for name, value in expect.headers.items():
        if name not in changed:
            yield f"header {name}: expected {_shown(value)}, got no change"
        elif changed[name] != value:
            yield f"header {name}: expected {_shown(value)}, got {_shown(changed[name])}"


def _shown(value: str | None) -> str:
    return "removed" if value is None else value
