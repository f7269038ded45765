"""``sidecar test``: policy tests, from requests to decisions, without any signing key."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sidecar.check.extract import TokenSource
from sidecar.cli import junit
from sidecar.cli.gateway_cases import simulated
from sidecar.cli.gateway_simulation import minted_claims
from sidecar.cli.key_sets import KnownKeys
from sidecar.cli.options import add_configuration
from sidecar.cli.policy_mistakes import mistakes
from sidecar.cli.policy_tests import Case, Expectation, PolicyTests
from sidecar.cli.simulation import SidecarSimulation, Simulation, with_token
from sidecar.cli.stand_ins import StandIn, snapshot
from sidecar.cli.texts import printable
from sidecar.cli.trace import Explanation, Findings
from sidecar.config import Configuration, KeyFiles, load, schema
from sidecar.config import document as documents
from sidecar.config.problems import FileProblem, fault
from sidecar.model import Allow, Decision, Deny, RequestView, Step

_SHADOW: Final = (
    "mode is shadow: decided as if enforced; the sidecar lets through what is marked would_deny\n"
)

# The steps whose denials depend on what is in the token.
_EXPLAINED: Final = frozenset({Step.CLAIMS, Step.POLICY})

# The source and the text of a case's token or session; None where it has neither.
Bring = Callable[[Case], tuple[TokenSource, str] | None]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)
    parser.add_argument("tests", metavar="TESTS", type=Path, help="the file of tests")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write the results there too")


def run(options: Namespace) -> int:
    """Print one line per test, and the differences; 1 if there is any."""
    configuration = load(options.configuration, KeyFiles.IGNORED)
    tests = _read(options.tests, configuration)
    used = {case.token.trust for case in tests.tests if case.token is not None}
    trust = configuration.check.trust
    stand_ins = {entry.name: StandIn(entry) for entry in trust if entry.name in used}
    keys = snapshot(stand_ins, {each.trust: each.source for each in configuration.keys})
    known = KnownKeys(keys, {entry.name: "none is made for this test" for entry in trust})
    now = time.time() if tests.now is None else tests.now
    simulation, bring = _simulated(configuration, stand_ins, now)
    shadow = configuration.check.shadow
    if shadow:
        sys.stdout.write(_SHADOW)
    results = []
    for case in tests.tests:
        request = _request(case)
        if (brought := bring(case)) is not None:
            request = with_token(request, *brought)
        explanation = Explanation(known, now, configuration.gateway)
        decision = simulation.decide(request, keys, explanation)
        differences = [*_differences(case.expect, decision)]
        if case.expect.token:
            differences += _token_differences(case.expect, decision)
        if differences and isinstance(decision, Deny):
            differences += _explained(decision, explanation.findings)
        results.append((case.name, differences))
        mark = " (would_deny)" if shadow and isinstance(decision, Deny) else ""
        sys.stdout.write(f"{'FAIL' if differences else 'ok':4} {printable(case.name)}{mark}\n")
        for line in differences:
            sys.stdout.write(f"       {printable(line)}\n")
    failed = sum(bool(differences) for _, differences in results)
    sys.stdout.write(f"{len(results)} tests, {failed} failed\n")
    if options.junit is not None:
        junit.write(options.junit, options.tests.stem, results)
    return 1 if failed else 0


def _read(path: Path, configuration: Configuration) -> PolicyTests:
    """The tests. Raises ConfigurationFault with every problem of the file."""
    document = documents.read(path)
    checked = schema.check(document, PolicyTests)
    problems = [*document.problems, *checked.problems]
    if checked.model is not None:
        problems += [
            FileProblem(document.at_value(location), text)
            for location, text in mistakes(checked.model, configuration)
        ]
    if problems or checked.model is None:
        raise fault(path, problems)
    return checked.model


def _simulated(
    configuration: Configuration, stand_ins: Mapping[str, StandIn], now: float
) -> tuple[Simulation, Bring]:
    """The checks of the configuration's role, and a function that gives a case's credential."""
    if configuration.gateway is not None:
        return simulated(configuration, stand_ins, now)

    def bring(case: Case) -> tuple[TokenSource, str] | None:
        if case.token is None:
            return None
        source = configuration.check.sources[0]
        return source, stand_ins[case.token.trust].token_for(case.token, now)

    return SidecarSimulation(configuration.check, now), bring


def _request(case: Case) -> RequestView:
    return RequestView(
        method=case.request.method,
        path=case.request.path,
        host=case.request.host,
        headers=tuple(
            (name, line.encode()) for name, lines in case.request.headers.items() for line in lines
        ),
        principal=case.request.principal,
        route=case.request.route or None,
    )


def _token_differences(expect: Expectation, decision: Decision) -> Iterator[str]:
    """How the token for the service differs from what is expected, one line each."""
    claims = minted_claims(decision)
    if claims is None:
        yield "token: expected one, got none"
        return
    for name, value in expect.token.items():
        expected, got = _format_claim(value), _format_claim(claims.get(name))
        if got != expected:  # as JSON: to Python, true is 1
            yield f"token {name}: expected {expected}, got {got}"


def _differences(expect: Expectation, decision: Decision) -> Iterator[str]:
    """How a decision differs from what is expected, one line each."""
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
            yield f"header {name}: expected {_format(value)}, got no change"
        elif changed[name] != value:
            yield f"header {name}: expected {_format(value)}, got {_format(changed[name])}"


def _explained(denial: Deny, findings: Findings) -> Iterator[str]:
    """What operators are told of a denial, and what ``check`` shows of its step, one line each."""
    if denial.detail:
        yield f"detail: {denial.detail}"
    yield from (f"{name}: {value}" for name, value in denial.held)
    if denial.reason.step in _EXPLAINED:
        yield from findings.get(denial.reason.step, ())


def _format_claim(value: object) -> str:
    return "none" if value is None else json.dumps(value, sort_keys=True)


def _format(value: str | None) -> str:
    return "removed" if value is None else value
