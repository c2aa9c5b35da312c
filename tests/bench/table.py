"""One table of benchmarks beside their last recorded figures: `python -m tests.bench.table [NAME …] [--record]`.

Without a name all that are recorded run, each at the scale of its record. CPU time is compared in units of this
machine: CPU seconds of a fixed loop, run before and after each benchmark. Wall time is compared by its ratio to its
anchor, without one not at all, everything else as it is. What moved by more than 15 % is marked; which way is good only
people know. --record writes the figures of this run into `recorded.json`. --against COMMIT runs each benchmark in turn
with that of a commit (A B A B) and prints the medians of both instead: the closest comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import rounded

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
"""Benchmark and scale -> date, gauge in seconds, and the figures as its --json prints them."""
NEEDS_LAB = frozenset({"airflow_estate", "coordinators", "engines"})
"""Started by the lab: what they need is installed there."""
MOVED = 0.15
GAUGE_STEPS = 5_000_000
TIME_UNITS = frozenset({"ms", "us", "s", "cpu-s", "cpu-ms"})
RATES = ("/cpu-s", "a second", "per second", "/s")
LIMIT_SECONDS = 1_800
PAIRS = 2
"""Runs of each side of --against."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of this run beside the recorded one."""

    bench: str
    name: str
    unit: str
    value: float
    recorded: float | None
    """Value at its record; None without one."""
    moved: float | None
    """Share by which it moved, in units that do not depend on the machine; None where it cannot be compared."""

    @property
    def mark(self) -> str:
        if self.moved is None:
            return "new" if self.recorded is None else "wall time" if is_wall_time(self.unit) else ""
        text = f"{self.moved:+.0%}"
        return f"{text} <<" if abs(self.moved) > MOVED else text


def benchmarks() -> list[str]:
    """Names of all benchmarks that can be started here."""
    files = (path for path in HERE.glob("[a-z]*.py") if "__main__" in path.read_text(encoding="utf-8"))
    return sorted({path.stem for path in files} - NEEDS_LAB - {Path(__file__).stem, "test_benches"})


def gauge_seconds() -> float:
    """CPU seconds of a fixed loop: how fast this machine is now."""
    started, total = time.process_time(), 0
    for number in range(GAUGE_STEPS):
        total += number
    return time.process_time() - started


def run_benchmark(name: str, scale: str, root: Path = HERE.parents[1]) -> list[dict[str, Any]]:
    """Its figures; none where it fails, which is reported on standard error. `root`: of the code that is measured."""
    argv = [sys.executable, "-m", f"tests.bench.{name}", "--json", *([scale] if scale else [])]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False, cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"{name}: no figures within {LIMIT_SECONDS} s", file=sys.stderr)
        return []
    if done.returncode or not done.stdout.strip():
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        print(f"{name}: exit {done.returncode}: {reason}", file=sys.stderr)
        return []
    figures: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["figures"]
    return figures


def is_time(unit: str) -> bool:
    return bool(TIME_UNITS & {*unit.replace(",", " ").split()[:2]})


def is_rate(unit: str) -> bool:
    return any(rate in unit for rate in RATES)


def is_wall_time(unit: str) -> bool:
    """True if a figure depends on what else the machine does."""
    return (is_time(unit) or is_rate(unit)) and "cpu" not in unit.lower()


def comparable(figure: Mapping[str, Any], gauge: float) -> float | None:
    """The figure in a unit that does not depend on the machine; None if it has no value, or is of wall time
    without an anchor."""
    if figure["value"] is None:
        return None
    value, unit = float(figure["value"]), str(figure["unit"])
    if is_wall_time(unit):
        ratio: float | None = figure["ratio"]
        return ratio
    return value / gauge if is_time(unit) else value * gauge if is_rate(unit) else value


def compare(bench: str, figures: list[dict[str, Any]], gauge: float, record: Mapping[str, Any]) -> Iterator[Comparison]:
    """Each figure beside that of `record`, which may be empty."""
    before = {figure["name"]: figure for figure in record.get("figures", ())}
    for figure in figures:
        now, known, then = comparable(figure, gauge), before.get(figure["name"]), None
        if known is not None:
            then = comparable(known, record["gauge"])
        moved = now / then - 1 if now is not None and then else None
        yield Comparison(bench, figure["name"], figure["unit"], figure["value"], known and known["value"], moved)


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The files of a commit, for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        git = ("git", "-C", str(HERE), "worktree")
        subprocess.run([*git, "add", "--quiet", "--detach", folder, commit], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def run_pairs(name: str, scale: str, other: Path) -> Iterator[tuple[str, str, float, float]]:
    """(name, unit, this value, the other's) of each figure that both have: medians of runs in turn."""
    sides: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    units: dict[str, str] = {}
    for _ in range(PAIRS):
        for values, root in zip(sides, (HERE.parents[1], other), strict=True):
            for figure in run_benchmark(name, scale, root):
                if figure["value"] is not None:
                    values.setdefault(figure["name"], []).append(figure["value"])
                    units.setdefault(figure["name"], figure["unit"])
    here, there = sides
    for figure_name in here:
        if figure_name in there:
            yield figure_name, units[figure_name], median(here[figure_name]), median(there[figure_name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; without one those recorded")
    scales = parser.add_mutually_exclusive_group()
    for name in ("--quick", "--smoke"):
        scales.add_argument(name, dest="scale", action="store_const", const=name, default="")
    parser.add_argument("--record", action="store_true", help="record the figures of this run")
    parser.add_argument("--against", metavar="COMMIT", help="compare with the code of a commit, in turn")
    given = parser.parse_args()
    if unknown := set(given.names) - {*benchmarks()}:
        parser.error(f"no benchmark: {', '.join(sorted(unknown))}; there are {', '.join(benchmarks())}")
    if given.against and given.record:
        parser.error("--against records nothing")
    records: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    titles = [f"{name} {given.scale}".strip() for name in given.names]
    titles = titles or [title for title in records if given.scale in title]
    if not titles:
        parser.error(f"nothing is recorded with {given.scale}; name a benchmark")
    if given.against is not None:
        with worktree(given.against) as other:
            for title in titles:
                bench, _, scale = title.partition(" ")
                print(f"{title}, against {given.against}", flush=True)
                for name, unit, here, there in run_pairs(bench, scale, other):
                    moved = f"{here / there - 1:+.0%}" if there else ""
                    print(f"  {name:<36} {here:>12g} {there:>12g}  {moved:<9} {unit}", flush=True)
        return 0
    for title in titles:
        bench, _, scale = title.partition(" ")
        before = gauge_seconds()
        figures, record = run_benchmark(bench, scale), records.get(title, {})
        gauge = (before + gauge_seconds()) / 2
        print(f"{title}, recorded {record.get('date', 'never')}", flush=True)
        for row in compare(bench, figures, gauge, record):
            recorded = "" if row.recorded is None else f"{row.recorded:g}"
            print(f"  {row.name:<36} {row.value:>12g} {recorded:>12}  {row.mark:<9} {row.unit}", flush=True)
        if given.record and figures:
            today = datetime.now(UTC).date().isoformat()
            records[title] = {"date": today, "gauge": rounded(gauge), "figures": figures}
            write_records(records)
    return 0


def write_records(records: Mapping[str, Any]) -> None:
    """One figure per line, so that a change of one is one line of a diff."""
    blocks = []
    for bench, record in sorted(records.items()):
        lines = ",\n".join(f"   {json.dumps(figure)}" for figure in record["figures"])
        head = json.dumps({key: value for key, value in record.items() if key != "figures"})[1:-1]
        blocks.append(f' {json.dumps(bench)}: {{{head}, "figures": [\n{lines}\n ]}}')
    making = RECORDED.with_suffix(".making")
    making.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")
    os.replace(making, RECORDED)


if __name__ == "__main__":
    sys.exit(main())
