"""Each benchmark starts and prints figures, in its smallest form. People judge the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.bench.table import NEEDS_LAB, benchmarks

SMALLEST = {
    "crash": ("--points", "12", "--seconds", "45"),
    "forecast": ("--every", "200"),
    "forecast_apart": ("--services", "10"),
    "forecast_parts": ("--every", "96", "--only", "whole"),
    "forecast_speed": ("--quick", "--jobs", "5000"),
}
"""Of those that have their own options; all others have --smoke."""
NO_SET = "the recorded nights are not here"


@pytest.mark.parametrize(
    "bench",
    [
        pytest.param(name, marks=pytest.mark.lab if name in NEEDS_LAB else pytest.mark.deep)
        for name in [*benchmarks(), *sorted(NEEDS_LAB)]
    ],
)
def test_a_benchmark_prints_figures(bench: str) -> None:
    argv = [sys.executable, "-m", f"tests.bench.{bench}", "--json", *SMALLEST.get(bench, ("--smoke",))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "BENCH_JOBS": "10000"})
    if NO_SET in done.stderr:
        pytest.skip("the recorded nights are missing: put them at ../shared/late-risk beside this repository")
    assert 0 == done.returncode, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["figures"]
