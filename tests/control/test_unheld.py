"""Which dependencies cannot hold, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.contract import Schedule
from console.control.unheld import unheld
from console.model.values import JobFacts
from console.model.words import Mode
from tests.control.stage import hold_edge
from tests.factories import at, estate, job

EXTRACT = job(1, "hosts/extract", "03:10")
RATE = Schedule("none", words="EventBridge Scheduler: rate(1 hour)")


def told(load: JobFacts, mode: Mode) -> list[str]:
    return list(unheld(estate(EXTRACT, load, feeds=[hold_edge(mode, EXTRACT, load)])))


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.TRIGGER])
@pytest.mark.parametrize(
    "load",
    [
        job(2, "aws/mart", "04:00"),
        job(2, "aws/mart", replace(RATE, next_at=at("04:00"))),
        replace(job(2, "aws/mart", RATE), paused_since=at("01:00")),
        replace(job(2, "aws/mart", RATE), gone_since=at("01:00")),
    ],
    ids=["a clock", "a clock that names its next start", "paused by a person", "gone"],
)
def test_what_can_be_held_or_never_starts_is_not_told(load: JobFacts, mode: Mode) -> None:
    assert [] == told(load, mode)


def test_a_clock_that_names_no_start_cannot_be_held_and_the_way_out_is_said() -> None:
    [words] = told(job(2, "aws/mart", RATE), Mode.HOLD)
    assert (
        "aws/mart cannot be held until hosts/extract is good: EventBridge Scheduler: rate(1 hour), and its next start"
        " is not known. Hold it by hand, or give it a clock that names its starts."
    ) == words


def test_a_job_without_a_clock_is_triggered_but_not_held() -> None:
    bare = job(2, "aws/mart")
    assert [] == told(bare, Mode.TRIGGER)
    [words] = told(bare, Mode.HOLD)
    assert "aws/mart cannot be held until hosts/extract is good: it has no clock. Its mode can be trigger." == words


@pytest.mark.parametrize("words", ["Never, external triggers only", "Triggered by assets", ""])
def test_what_only_people_or_events_start_has_no_clock(words: str) -> None:
    bare = job(2, "airflow/load", Schedule("none", words=words))
    assert [] == told(bare, Mode.TRIGGER)
    [found] = told(bare, Mode.HOLD)
    assert "airflow/load cannot be held until hosts/extract is good: it has no clock. Its mode can be trigger." == found


def test_a_trigger_beside_a_clock_that_names_no_start_is_told_to_start_it_twice() -> None:
    [words] = told(job(2, "aws/mart", RATE), Mode.TRIGGER)
    assert "by its own clock as well: EventBridge Scheduler: rate(1 hour)" in words


def test_what_only_watches_is_not_told() -> None:
    assert [] == told(job(2, "aws/mart", RATE), Mode.OBSERVE)
