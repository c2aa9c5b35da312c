"""A schedule that is moved and accepted while its job is held, through the real store, actions and pollers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import Verb
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.store.jobs import accept_drift
from tests.engine.holds.test_holds import Night, a_night, repair, started


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """`load` is due at 05:00, and held for that always."""
    with a_night(tmp_path, clock="0 5 * * *", engine_down="closed") as made:
        made.at("03:20").rounds()
        assert [("held", "standing", "2026-11-20T05:00:00Z")] == open_holds(made)
        yield made


def open_holds(night: Night) -> list[tuple[str, ...]]:
    return night.rows("SELECT state, kind, period_key FROM hold WHERE ended_us IS NULL")


def moves(night: Night, clock: str) -> None:
    """Its owner moves the clock of `load`, and accepts that."""
    jobs = night.bench.scheduler.jobs
    jobs["load"] = replace(jobs["load"], schedule=Schedule("debian-cron", clock, "UTC"))
    night.rounds(1)
    with night.bench.reads() as reads:
        shown = max(drift.id for drift in reads.jobs.job("fake/load").drift)
    accept_drift(night.bench.store, night.job_id("load"), shown, "mara", night.now)
    night.rounds()


def test_a_standing_hold_follows_the_accepted_schedule_and_starts_it_once(night: Night) -> None:
    moves(night, "0 4 * * *")
    assert [("held", "standing", "2026-11-20T04:00:00Z")] == open_holds(night)
    night.at("04:05").rounds()
    assert "held" == night.load()[0]
    night.restart()
    repair(night, "04:06")
    night.at("04:06").rounds()
    night.at("04:07").rounds(6)
    night.at("04:08").rounds(6)
    assert [("start", "load")] == started(night)


def test_what_a_person_lets_go_is_started_for_the_schedule_that_was_accepted(night: Night) -> None:
    moves(night, "0 4 * * *")
    night.at("04:05").rounds()
    [(key,)] = night.rows("SELECT key FROM hold WHERE ended_us IS NULL")
    request = ActionRequest(Verb.RELEASE, job_id=night.job_id("load"), parameters={"hold": key}, why="late")
    night.bench.requests().act(request, new_action_key())
    night.rounds()
    night.at("04:06").rounds(6)
    night.at("04:07").rounds(6)
    assert [("start", "load")] == started(night)


def test_what_is_not_let_go_in_time_is_missed_by_the_schedule_that_was_accepted(night: Night) -> None:
    moves(night, "0 4 * * *")
    night.at("04:05").rounds()
    night.at("10:20").rounds(6)
    assert "missed" == night.load()[0]
