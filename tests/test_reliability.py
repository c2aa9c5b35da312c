"""The figures of docs/reliability.md: the latest of each form of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import FAULTS
from tests.reliability import joined, keep, places


def printed(points: float) -> str:
    return "said before\n" + json.dumps({"bench": "crash", "figures": [{"name": "points", "value": points}]}) + "\n"


def test_the_last_figures_of_the_quick_and_of_the_full_form_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    keep(printed(1_100.0), "one core", quick=False, path=path)
    keep(printed(90.0), "two cores", quick=True, path=path)
    keep(printed(110.0), "two cores", quick=True, path=path)
    benches = json.loads(path.read_text())["benches"]
    results = [(item["quick"], item["machine"], item["figures"][0]["value"]) for item in benches]
    assert [(True, "two cores", 110.0), (False, "one core", 1_100.0)] == results


def test_the_pieces_of_a_full_run_are_summed_and_what_is_at_most_stays_so() -> None:
    pieces = [
        {
            "bench": "crash",
            "figures": [{"name": "points", "value": points}, {"name": "repeats_per_crash", "value": 1.0}],
        }
        for points in (500.0, 600.0)
    ]
    figures = json.loads(joined([json.dumps(piece) for piece in pieces]))["figures"]
    assert {"points": 1_100.0, "repeats_per_crash": 1.0} == {figure["name"]: figure["value"] for figure in figures}


def test_each_fault_has_a_test_that_is_named_by_its_number() -> None:
    numbered = {number for number in FAULTS for name in FAULTS[number].tests if name.startswith(f"test_f{number:02}_")}
    assert {*range(1, 67)} <= numbered
    assert {} == {number: name for number in FAULTS for name in FAULTS[number].tests if name not in places()}
