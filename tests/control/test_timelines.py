"""Every timeline of the folder is a test; a line that nobody understands is a failure that names it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from console.control.evaluate import evaluate
from console.forecast.forecaster import Forecaster
from tests.control.timeline_estate import Unreadable
from tests.control.timelines import Player, files, play
from tests.rows import each_row

OPENING = ["estate: job hosts/extract at 03:10; takes 20m"]


@each_row("path", files(), ids=lambda path: path.stem)
def test_the_night_goes_as_its_timeline_says(path: Path) -> None:
    play(path)


@pytest.mark.deep
@each_row("path", files(), ids=lambda path: path.stem)
def test_the_night_goes_so_with_the_simulation_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.control.ledger.evaluate", partial(evaluate, foresee=Forecaster()))
    play(path)


@each_row(
    "line, why",
    [
        ("extract fails", 'it begins with "estate: "'),
        ("at 03:12 extract falls over", "unknown line"),
        ("at 03:12 load fails", "0 jobs are called load"),
        ("at 03:12 ann acknowledges extract for 1h", "0 open incidents name extract"),
        ("at 03:12 check rows passes: 1 row", "the checks are none"),
        ("at 03:00 nothing happens", "time goes forward"),
        ("expect one pager to oncall naming extract", "unknown line"),
        ("estate: job hosts/load at 03:15", "before the first event"),
    ],
)
def test_a_line_that_is_not_understood_fails_with_its_number(line: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as error:
        Player([*OPENING, "at 03:11 nothing happens", line]).play()
    assert str(error.value).startswith(f"timeline:3: {line}\n")


@each_row(
    "line, why",
    [
        ("expect nothing new", "opened to oncall"),
        ("expect one page to planning naming extract", "expected 1, and it is 0"),
        ("expect it closed: green again", r"expected \['green again'\], and it is \[\]"),
        ("at 03:40 nothing happens", "at the end of timeline: told, and not expected"),
    ],
)
def test_a_false_expectation_and_an_unexpected_notification_fail(line: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        Player([*OPENING, "at 03:12 extract fails: exit 1", line]).play()
