import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import TIMES, Figure, table
from tests.support.envoy import ROOT


def test_a_quick_run_prints_its_figures_beside_their_budgets() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "core"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("a new ES256 token / raw ES256")]
    assert "≤ 1.70" in line
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
