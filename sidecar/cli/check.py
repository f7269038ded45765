"""``sidecar check``: one request against a configuration, step by step, without any server."""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from sidecar.check.extract import TokenSource
from sidecar.cli.check_gateway import named_credential, simulated
from sidecar.cli.key_sets import add_keys, known_keys
from sidecar.cli.options import add_configuration
from sidecar.cli.simulation import SidecarSimulation, Simulation, with_token
from sidecar.cli.texts import moment, printable, read_token
from sidecar.cli.trace import Explanation, Findings
from sidecar.config import Configuration, load
from sidecar.errors import ConfigurationFault
from sidecar.model import Allow, Decision, Deny, Reason, RequestView, Step

_MARKS = {"passed": "✓", "failed": "✗", "not reached": "-"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser)
    parser.add_argument("method", metavar="METHOD", help="the request's method")
    parser.add_argument("path", metavar="PATH", help="the request's path, with its query")
    parser.add_argument("--host", default="", help="the request's host")
    parser.add_argument(
        "--header",
        dest="headers",
        metavar="LINE",
        action="append",
        type=_header,
        default=[],
        help="a header as 'Name: value'; may be given several times",
    )
    parser.add_argument(
        "--principal", default="", help="the caller's identity from its client certificate"
    )
    parser.add_argument(
        "--route", metavar="NAME", help="the route's name from Envoy's context_extensions"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_moment,
        help="the time of the check, RFC 3339 or Unix seconds; now if not given",
    )
    parser.add_argument(
        "--no-token",
        action="store_true",
        help="read no token from standard input; the request is as the other options say",
    )
    add_keys(parser)
    parser.add_argument(
        "--credential",
        metavar="NAME",
        help="for a gateway: the credential that standard input is; the first if not given",
    )
    parser.add_argument(
        "--answer",
        metavar="FILE",
        type=Path,
        help="for a gateway: what a session's issuer answers when it is asked (RFC 7662), JSON",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: Namespace) -> int:
    """Print the answer; 0 if the request goes through, 1 if it does not."""
    configuration = load(options.configuration)
    request = RequestView(
        method=options.method,
        path=options.path,
        host=options.host,
        headers=tuple(options.headers),
        principal=options.principal,
        route=options.route,
    )
    token = "" if options.no_token else read_token()
    if not token and not options.no_token:
        sys.stderr.write("no token on standard input; --no-token checks without one\n")
        return 2
    now = time.time() if options.at is None else options.at
    if token:
        request = with_token(request, _source(configuration, options), token)
    simulation = _simulated(configuration, options, request, now)
    known = known_keys(configuration, options)
    explanation = Explanation(known, now, configuration.gateway)
    decision = simulation.decide(request, known.snapshot, explanation)
    findings = explanation.findings
    if isinstance(decision, Deny) and decision.reason is Reason.KEYS_UNAVAILABLE:
        # The pipeline's text is about a server, which would have fetched the keys.
        decision = decision._replace(detail=findings[Step.KEY][-1])
    write = _as_json if options.json else _as_text
    mode = "shadow" if configuration.check.shadow else "enforce"
    sys.stdout.write(write(decision, findings, simulation.steps, mode))
    return 0 if isinstance(decision, Allow) else 1


def _source(configuration: Configuration, options: Namespace) -> TokenSource:
    """Where a request carries the token on standard input."""
    if configuration.gateway is not None:
        return named_credential(configuration.gateway, options.credential).source
    return configuration.check.sources[0]


def _simulated(
    configuration: Configuration, options: Namespace, request: RequestView, now: float
) -> Simulation:
    """The checks of the configuration's role.

    Raises:
        ConfigurationFault: an option does not apply to the configuration's role.
    """
    if configuration.gateway is not None:
        return simulated(configuration, options.credential, options.answer, request, now)
    if options.credential is not None or options.answer is not None:
        raise ConfigurationFault("--credential and --answer are for the configuration of a gateway")
    return SidecarSimulation(configuration.check, now)


def _header(line: str) -> tuple[str, bytes]:
    name, colon, value = line.partition(":")
    if not colon or not name:
        raise ArgumentTypeError(f"{line!r} is not 'Name: value'")
    return name.lower(), value.strip().encode("utf-8", "surrogateescape")


def _moment(text: str) -> float:
    try:
        return moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _outcomes(decision: Decision, findings: Findings, steps: Sequence[Step]) -> dict[Step, str]:
    """Every step in order: passed, failed or not reached."""
    # A gateway has no step for identity headers; a denial there belongs to its last step.
    last = decision.reason.step if decision.reason.step in steps else steps[-1]
    end = steps.index(last)
    outcomes = {
        step: "passed" if index <= end and step in findings else "not reached"
        for index, step in enumerate(steps)
    }
    if isinstance(decision, Deny):
        outcomes[last] = "failed"
    return outcomes


def _set_headers(decision: Allow) -> Iterator[tuple[str, str]]:
    """The headers that are set. Tokens are replaced by a description."""
    for name, value in decision.headers.overwrite:
        yield name, "Bearer and a token" if name == "authorization" else value
    if decision.headers.cookie:
        yield "set-cookie", "the session, renewed"


def _as_text(decision: Decision, findings: Findings, steps: Sequence[Step], mode: str) -> str:
    lines = []
    for step, outcome in _outcomes(decision, findings, steps).items():
        lines.append(f"{_MARKS[outcome]} {step.value}")
        if outcome != "not reached":
            lines += [f"    {line}" for line in findings.get(step, ())]
    reason = decision.reason
    verdict = "allow" if isinstance(decision, Allow) else "deny"
    lines += ["", f"decision: {verdict}", f"reason: {reason.label}", f"status: {reason.status}"]
    if mode == "shadow":
        lines.append("mode: shadow, and decided here as if enforced")
    lines.append(reason.sentence)
    if isinstance(decision, Deny):
        lines += [f"detail: {printable(decision.detail)}"] if decision.detail else []
        if mode == "shadow":
            lines.append("would_deny: the sidecar records this and lets the request through")
    else:
        lines += [f"set {name}: {printable(value)}" for name, value in _set_headers(decision)]
        lines += [f"remove {name}" for name in decision.headers.remove]
    return "\n".join(lines) + "\n"


def _as_json(decision: Decision, findings: Findings, steps: Sequence[Step], mode: str) -> str:
    denied = isinstance(decision, Deny)
    outcomes = _outcomes(decision, findings, steps)
    answer: dict[str, object] = {
        "decision": "deny" if denied else "allow",
        "mode": mode,
        "would_deny": denied and mode == "shadow",
        "reason": decision.reason.label,
        "status": decision.reason.status,
        "sentence": decision.reason.sentence,
        "detail": decision.detail if isinstance(decision, Deny) else "",
        "route": decision.route,
        "steps": [
            {
                "step": step.name.lower(),
                "meaning": step.value,
                "outcome": outcome,
                "found": findings.get(step, ()) if outcome != "not reached" else (),
            }
            for step, outcome in outcomes.items()
        ],
    }
    if isinstance(decision, Allow):
        answer["set"] = dict(_set_headers(decision))
        answer["remove"] = decision.headers.remove
    return json.dumps(answer, indent=2) + "\n"
