import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import edge
from bench.figures import TIMES, Figure, table
from bench.gateway import with_bearer, with_cookie
from bench.http2 import Request
from bench.ways import Samples, Way
from tests.support.envoy import ROOT


def quick_run(part: str) -> list[str]:
    """The lines that a quick run of one part prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", part],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def way(milliseconds: float, **cpu: float) -> Way:
    """A way whose requests all took so long, with one request in flight."""
    samples = Samples({name: [used] for name, used in cpu.items()}, [milliseconds / 1000] * 2)
    return Way(Path("nowhere"), lambda: Request(b""), {}, {1: samples})


@pytest.mark.parametrize(
    ("part", "figure", "budget"),
    [
        ("core", "a new ES256 token / raw ES256", "≤ 1.70"),
        ("mint", "session token in / both", "≤ 2.00"),
        ("shapes", "gateway, cookies within the limit: authorized", "≤ 3.00"),
    ],
)
def test_a_quick_run_prints_its_figures_beside_their_budgets(
    part: str, figure: str, budget: str
) -> None:
    lines = quick_run(part)
    (line,) = [line for line in lines if line.startswith(figure)]
    assert budget in line
    assert ("met" in line) != ("MISSED" in line)


@pytest.mark.parametrize(("measured", "verdict"), [(1.1, "met"), (1.11, "MISSED")])
def test_a_budget_is_met_or_missed(measured: float, verdict: str) -> None:
    assert Figure("growth", (measured,), TIMES, 1.1).verdict == verdict


def test_the_baseline_stands_beside_what_was_measured() -> None:
    figures = {"start": [Figure("ready", (0.51,), "s", 1.0), Figure("new", (1.0, 2.0), "µs")]}
    before = {"figures": {"start": {"ready": [0.6]}}}
    assert table(figures, before).splitlines() == [
        "         measured    budget       baseline",
        "[start]",
        "ready      0.51 s  ≤ 1.00 s  met    0.60 s",
        "new      1 / 2 µs",
    ]


def test_the_committed_baseline_says_what_it_was_taken_on() -> None:
    document = json.loads(Path(ROOT, "bench", "baseline.json").read_text())
    assert {"cpus", "python", "grpcio", "envoy"} <= document["machine"].keys()


def test_what_the_gateway_adds_is_told_apart_from_envoy_alone() -> None:
    ways = {"keys in a file": way(3, gateway=400, Envoy=200), edge.ALONE: way(1, Envoy=50)}
    lines = table({"edge": list(edge.figures(ways, 1))}, {}).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "keys in a file, 1 in flight: CPU of gateway",
        "keys in a file, 1 in flight: CPU of Envoy",
        "keys in a file, 1 in flight: p50 / p99 / p99.9",
        "keys in a file, 1 in flight: adds p50 / p99",
        "Envoy alone, 1 in flight: CPU of Envoy",
        "Envoy alone, 1 in flight: p50 / p99 / p99.9",
    ]
    assert lines[5].endswith("2,000 / 2,000 µs")


def test_without_openbao_its_keys_are_left_out_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(edge, "BINARY", tmp_path / "missing")
    with ExitStack() as stack:
        assert edge.in_vault(stack, tmp_path) == {}
    assert "OpenBao is not installed" in capsys.readouterr().err


def test_requests_have_20_header_lines_whatever_the_credential() -> None:
    assert len(with_bearer("token")) == len(with_cookie("session", "token")) == 20
