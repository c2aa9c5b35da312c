"""Manual steps: they wait by the clock in their zone, each day once, and turn red when nobody has completed them."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.manual.connector import CONNECTOR, ManualConnector
from connectors.manual.options import ManualOptions
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.states import RunState
from console.timing.schedule import instants
from tests.rows import each_row

OPTIONS = ManualOptions.model_validate(
    {"zone": "Europe/Berlin", "steps": {"sign_off": {"at": "05:00", "title": "Finance signs off"}}}
)
FIVE = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
"""05:00 in Berlin."""


def test_the_page_shows_steps_that_load() -> None:
    page = (Path(__file__).parents[3] / "docs/connectors/manual.md").read_text(encoding="utf-8")
    people = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["systems"]["people"]
    assert "manual" == people.pop("kind")
    assert timedelta(hours=2) == ManualOptions.model_validate(people).steps["sign_off"].remind_after


def polled(now: datetime, cursor: str = "", *runs: RunRef, options: ManualOptions = OPTIONS) -> Poll:
    return ManualConnector(options, lambda: now).poll(cursor, runs, 5)


def reported_steps(poll: Poll) -> list[tuple[str, str, datetime | None]]:
    return [(run.attempt_key, run.state.value, run.queued_at) for run in poll.runs]


def test_a_step_waits_once_a_day_from_its_time() -> None:
    first = polled(FIVE - timedelta(hours=1))
    assert [] == reported_steps(first)  # a step that was due before the first poll is not pending
    assert [] == reported_steps(polled(FIVE - timedelta(seconds=1), first.cursor))
    second = polled(FIVE, first.cursor)
    assert [("2026-11-20", "waiting", FIVE)] == reported_steps(second)
    assert [] == reported_steps(polled(FIVE + timedelta(hours=1), second.cursor))
    assert "approval" == second.runs[0].reason


def test_a_step_of_some_days_waits_on_these_alone() -> None:
    step = {"at": "05:00", "days": ["sat"]}
    options = ManualOptions.model_validate({"zone": "Europe/Berlin", "steps": {"weekly": step}})
    cursor = polled(FIVE - timedelta(days=1), options=options).cursor
    assert [] == reported_steps(polled(FIVE, cursor, options=options))
    assert ["2026-11-21"] == [
        key for key, _, _ in reported_steps(polled(FIVE + timedelta(days=1), cursor, options=options))
    ]
    [job] = ManualConnector(options, lambda: FIVE).inventory("", 5).jobs
    assert ("0 5 * * 6", "Europe/Berlin", "sat at 05:00") == (
        job.schedule.expression, job.schedule.zone, job.schedule.text,
    )  # fmt: skip


def test_a_time_that_the_clocks_skip_begins_when_they_change_as_its_schedule_has_it() -> None:
    """Half an hour later, its run was missed before it began to wait."""
    options = ManualOptions.model_validate({"zone": "Europe/Berlin", "steps": {"sign_off": {"at": "02:30"}}})
    change = datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
    [job] = ManualConnector(options, lambda: change).inventory("", 5).jobs
    assert [change] == instants(job.schedule, change - timedelta(hours=12), change + timedelta(hours=12))
    cursor = polled(change - timedelta(minutes=1), options=options).cursor
    assert [("2027-03-28", "waiting", change)] == reported_steps(polled(change, cursor, options=options))


def test_a_time_that_comes_twice_begins_once_the_first_time() -> None:
    options = ManualOptions.model_validate({"zone": "Europe/Berlin", "steps": {"sign_off": {"at": "02:30"}}})
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    begun = polled(first, polled(first - timedelta(hours=1), options=options).cursor, options=options)
    assert [("2026-10-25", "waiting", first)] == reported_steps(begun)
    assert [] == reported_steps(polled(first + timedelta(hours=3), begun.cursor, options=options))


@pytest.mark.parametrize("key, since", [("2026-11-20", FIVE), ("again@2026-11-20T06:00:00+00:00", None)])
def test_an_uncompleted_step_is_overdue_after_its_time(key: str, since: datetime | None) -> None:
    began = since or datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
    run = RunRef("sign_off", "2026-11-20T04:00:00Z", key, "")
    cursor = polled(FIVE).cursor
    assert [] == reported_steps(polled(began + timedelta(minutes=119), cursor, run))
    [late] = polled(began + timedelta(minutes=120), cursor, run).runs
    assert (key, RunState.TIMED_OUT, "2026-11-20T04:00:00Z") == (late.attempt_key, late.state, late.period_key)
    assert late.message.startswith("it is not completed yet ")


def test_the_same_steps_are_unchanged_and_nothing_is_ever_sent() -> None:
    connector = ManualConnector(OPTIONS, lambda: FIVE)
    first = connector.inventory("", 5)
    assert connector.inventory(first.hash, 5).unchanged
    assert frozenset() == CONNECTOR.capabilities
    with pytest.raises(NotSupported, match="headway action complete STEP"):
        connector.act(None, "k", 5)  # type: ignore[arg-type]


@each_row(
    "step, text",
    [
        ({"at": "25:00"}, r"steps\.x\.at\n.*'25:00'"),
        ({"at": "05:00", "remind_after": "soon"}, "is not a duration"),
        ({"at": "05:00", "days": ["mo"]}, "days are some of mon"),
        ({}, "Field required"),
        ({"at": "05:00", "titel": "x"}, "Extra inputs"),
    ],
)
def test_an_invalid_step_is_reported(step: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ManualOptions.model_validate({"steps": {"x": step}})


@each_row("name", ["", " ", " sign", "sign\n", "si\x1b[2Jgn", "sign\u202e"])
def test_a_step_that_cannot_be_shown_or_typed_is_refused(name: str) -> None:
    """Its name is its id: lists show it, and people type it."""
    with pytest.raises(ValidationError, match="holds what cannot be shown or typed"):
        ManualOptions.model_validate({"steps": {name: {"at": "05:00"}}})


def test_a_wrong_zone_or_day_names_what_is_near() -> None:
    with pytest.raises(ValidationError, match='"Europe/Berln" is not a time zone; did you mean "Europe/Berlin'):
        ManualOptions.model_validate({"zone": "Europe/Berln", "steps": {"a": {"at": "05:00"}}})
    with pytest.raises(ValidationError, match='"monday" is not a day; days are some of mon, tue'):
        ManualOptions.model_validate({"steps": {"a": {"at": "05:00", "days": ["monday"]}}})
