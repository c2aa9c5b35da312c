"""The table of benchmarks: what is compared with what, and what is marked."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import table


def figure(value: float | None, unit: str = "cpu-ms", ratio: float | None = None, name: str = "step") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio": ratio}


def marks(now: dict[str, Any], then: dict[str, Any], gauge: float = 1.0, recorded_gauge: float = 1.0) -> str:
    [row] = table.compare("bench", [now], gauge, {"gauge": recorded_gauge, "figures": [then]})
    return row.mark


@pytest.mark.parametrize(
    "now, then, gauge, mark",
    [
        (figure(107), figure(27), 1.0, "+296% <<"),
        (figure(27), figure(107), 1.0, "-75% <<"),
        (figure(114), figure(100), 1.0, "+14%"),
        (figure(200), figure(100), 2.0, "+0%"),  # a machine half as fast
        (figure(200, "CPU ms"), figure(100, "CPU ms"), 2.0, "+0%"),
        (figure(50, "records/cpu-s"), figure(100, "records/cpu-s"), 2.0, "+0%"),
        (figure(200, "bytes"), figure(200, "bytes"), 2.0, "+0%"),
        (figure(200, ratio=1.0), figure(90, ratio=1.0), 1.0, "+122% <<"),  # its anchor slowed down as much
        (figure(90, ratio=3.0), figure(90, ratio=1.0), 1.0, "+0%"),
        (figure(300, "MB", ratio=1.0), figure(200, "MB", ratio=1.0), 2.0, "+50% <<"),
        (figure(200, "ms", ratio=1.5), figure(90, "ms", ratio=1.5), 1.0, "+0%"),
        (figure(107, "ms, p95"), figure(27, "ms, p95"), 1.0, "wall time"),
        (figure(107, "polls/s"), figure(27, "polls/s"), 1.0, "wall time"),
        (figure(107, "ms", ratio=4.0), figure(27, "ms", ratio=1.0), 1.0, "+300% <<"),
        (figure(None), figure(90), 1.0, ""),
        (figure(1), figure(1, name="other"), 1.0, "new"),
    ],
)
def test_what_moved_by_more_than_a_seventh_is_marked(
    now: dict[str, Any], then: dict[str, Any], gauge: float, mark: str
) -> None:
    assert mark == marks(now, then, gauge)


def test_records_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "RECORDED", tmp_path / "recorded.json")
    records = {"b --quick": {"date": "2026-11-24", "gauge": 0.2, "figures": [figure(1), figure(None, name="x")]}}
    table.write_records(records)
    assert records == json.loads(table.RECORDED.read_text())


def test_each_record_is_of_a_benchmark() -> None:
    records = json.loads(table.RECORDED.read_text())
    assert {title.split()[0] for title in records} <= {*table.benchmarks()}
    assert all(record["figures"] and record["gauge"] > 0 for record in records.values())


def test_make_bench_runs_what_is_recorded_the_evaluation_at_full_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(name: str, scale: str) -> list[dict[str, Any]]:
        ran.append(f"{name} {scale}".strip())
        return []

    [options] = re.findall(r"^BENCH := *(.*)$", (table.HERE.parents[1] / "Makefile").read_text(), re.MULTILINE)
    monkeypatch.setattr(table, "run_benchmark", run)
    monkeypatch.setattr(table, "gauge_seconds", lambda: 1.0)
    monkeypatch.setattr(sys, "argv", ["table", *options.split()])
    assert 0 == table.main()
    assert {*ran} == {*json.loads(table.RECORDED.read_text())} > {"control", "forecast_speed"}
    monkeypatch.setattr(sys, "argv", ["table", "--quick", "control"])
    ran.clear()
    assert (0, ["control --quick"]) == (table.main(), ran)


@pytest.mark.parametrize(
    "options, fault",
    [
        (["--smoke"], "nothing is recorded with --smoke; name a benchmark"),
        (["control", "--against", "HEAD", "--record"], "--against records nothing"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    options: list[str], fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "run_benchmark", lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["table", *options])
    with pytest.raises(SystemExit, match="2"):
        table.main()
    assert fault in capsys.readouterr().err


@pytest.mark.deep
def test_a_commit_is_measured_in_turn_with_this_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of medians, with the other's figures from its own files."""
    roots: list[Path] = []

    def run(name: str, scale: str, root: Path) -> list[dict[str, Any]]:
        roots.append(root)
        assert (root / "console/__init__.py").exists()
        return [figure(10 + len(roots)), figure(None, name="without")]

    monkeypatch.setattr(table, "run_benchmark", run)
    with table.worktree("HEAD") as other:
        rows = list(table.run_pairs("control", "", other))
    here = table.HERE.parents[1]
    assert ([here, other, here, other], [("step", "cpu-ms", 12, 13)]) == (roots, rows)
    assert not other.exists()
