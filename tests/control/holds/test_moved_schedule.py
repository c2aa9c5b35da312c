"""A schedule that moves, and is accepted, while its job is held: its start is neither lost nor doubled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import RunState, Verb
from console.domain.dependency import DependencyMode, EngineDown
from console.domain.estate import DependencyFacts
from console.domain.hold import HoldState
from console.timing.schedule import last_instant
from tests.control.stage import LOAD, TAKES, Stage, hold_edge
from tests.factories import at, daily, minutes
from tests.properties import examples
from tests.reasons import why_of, zoned

STANDING_HOLD = hold_edge(engine_down=EngineDown.CLOSED)


class Moving(Stage):
    """A night in which the owner moves the downstream's clock at its source, and accepts that."""

    def __init__(self, *edges: DependencyFacts, starts_held: bool = False) -> None:
        super().__init__(*(edges or (STANDING_HOLD,)), load=replace(LOAD, starts_held=starts_held))
        self.clock = LOAD.schedule
        self.pending: list[datetime] = []
        """The instants that came up, by what its source and the accepted schedule both say."""

    def moves(self, when: str, clock: str, accepted: str = "") -> Moving:
        """`clock` "": from then on nothing starts it."""
        schedule = daily(clock) if clock else Schedule("none")
        self.when(when, lambda: setattr(self, "clock", schedule))
        before = self.script[at(when)]

        def accept() -> None:
            if self.now == at(when):
                before()
            known = self.estate.jobs[LOAD.id]
            job = replace(known, schedule=self.clock, accepted_at=self.now)
            self.estate = replace(self.estate, jobs={**self.estate.jobs, LOAD.id: job})

        self.when(accepted or when, accept)
        return self

    def good(self, clock: str) -> Moving:
        began = "03:10" if clock > "03:10" else "03:00"
        self.when(clock, lambda: self.extract_ends(RunState.SUCCEEDED, began, clock))
        return self

    def _world(self) -> None:
        if self.now in self.script:
            self.script[self.now]()
        if last_instant(self.clock, self.now) != self.now:
            return
        known = self.estate.jobs[LOAD.id]
        if known.schedule == self.clock and known.accepted_at is not None and known.accepted_at <= self.now:
            self.pending.append(self.now)
        if not self.source.asleep:
            self.source.starts.append((self.now, "clock"))

    def _polled(self) -> None:
        starts, self.source.starts = self.source.starts, []
        super()._polled()
        self.source.starts = starts
        for started, by in starts:
            if self.now - started < self.reports_after:
                continue
            period = started if by == "clock" else self.requested[by].action.parameters["period_at"]
            clock = period if isinstance(period, str) else instant_key(period)
            done = started + TAKES <= self.now
            ended = {"ended_at": started + TAKES} if done else {}
            state = RunState.SUCCEEDED if done else RunState.RUNNING
            self.run(LOAD, clock[11:16], state, started_at=started, **ended)

    def last(self) -> list[tuple[HoldState, str]]:
        """Holds that are over, by their periods."""
        over = [hold for hold in self.held.values() if hold.state.is_over]
        return [(hold.state, hold.period_key[:16]) for hold in sorted(over, key=lambda hold: hold.period_key)]


@pytest.mark.parametrize("moved", ["03:40", "04:40"])
def test_a_standing_hold_is_started_by_the_accepted_schedule(moved: str) -> None:
    stage = Moving().good("03:20").moves("03:25", moved)
    stage.until("05:00")
    assert [(at(moved), "clock")] == stage.started()
    assert (HoldState.RELEASED, f"2026-11-20T{moved}") in stage.last()


@pytest.mark.parametrize("moved, starts", [("", []), ("04:40", [(at("04:40"), "clock")])])
def test_an_action_withdrawn_while_no_engine_worked_is_not_started(
    moved: str, starts: list[tuple[datetime, str]]
) -> None:
    stage = Moving().moves("03:53", moved).good("03:35")
    stage.crash = lambda now: at("03:45") <= now < at("04:05")
    stage.until("05:00")
    assert starts == stage.started()


@pytest.mark.parametrize("moved, repaired", [("03:30", "03:50"), ("03:30", "04:20"), ("04:40", "05:00")])
def test_what_came_due_by_the_schedule_that_was_accepted_is_started_once(moved: str, repaired: str) -> None:
    stage = Moving().moves("03:25", moved).good(repaired)
    stage.until("06:00")
    assert [(at(repaired) + minutes(1.5), "headway")] == stage.started()
    assert [at(moved)] == stage.pending


def test_the_start_that_is_held_is_shown_by_the_schedule_that_was_accepted() -> None:
    stage = Moving().moves("03:25", "03:30")
    stage.until("03:40")
    runs = {run.period_key[:16]: run.state for run in stage.estate.runs if run.job_id == LOAD.id}
    assert {"2026-11-20T03:30": RunState.HELD, "2026-11-21T03:30": RunState.PLANNED} == runs
    assert stage.hold().due_at == at("03:30")
    assert stage.hold().until == at("03:30") + STANDING_HOLD.hold_for


def test_a_start_that_expires_under_a_moved_hold_is_missed_and_notified() -> None:
    stage = Moving(replace(STANDING_HOLD, hold_for=timedelta(hours=1))).moves("03:25", "03:30")
    stage.until("05:00")
    [run] = [run for run in stage.estate.runs if run.job_id == LOAD.id and run.period_at == at("03:30")]
    assert RunState.MISSED is run.state
    assert any("not started" in event for event in stage.events)


def test_a_start_due_before_the_schedule_moved_stays_pending_and_is_missed_when_it_expires() -> None:
    stage = Moving(hold_edge(hold_for=timedelta(hours=1))).moves("04:20", "11:00")
    stage.until("04:30")
    [run] = [run for run in stage.estate.runs if run.job_id == LOAD.id and run.period_at == at("04:00")]
    assert RunState.HELD is run.state
    stage.until("05:30")
    [run] = [run for run in stage.estate.runs if run.job_id == LOAD.id and run.period_at == at("04:00")]
    assert RunState.MISSED is run.state
    assert "not good" in why_of(run)


def test_a_schedule_that_moved_and_is_not_accepted_moves_no_hold() -> None:
    stage = Moving().moves("03:25", "03:30", accepted="05:30").good("04:10")
    stage.until("05:00")
    assert [(at("04:11:30"), "headway")] == stage.started()


def test_what_nothing_starts_any_more_is_let_go_and_not_started() -> None:
    stage = Moving().moves("03:25", "").good("04:10")
    stage.until("06:00")
    assert [] == stage.started()
    assert (None, HoldState.RELEASED, "its source named no start that came due while it was held") == (
        stage.source.mark,
        stage.hold().state,
        zoned(stage.hold().text),
    )


def test_a_schedule_that_moves_back_is_held_for_again() -> None:
    stage = Moving().moves("03:25", "03:40").good("03:20").moves("03:45", "04:00")
    stage.when("03:46", lambda: stage.extract_ends(RunState.FAILED, "03:45", "03:46"))
    stage.until("04:30")
    assert [(at("03:40"), "clock")] == stage.started()
    assert stage.source.mark is not None


def test_whoever_undoes_a_hold_that_moved_is_not_held_again_for_that_start() -> None:
    stage = Moving().moves("03:25", "03:40")
    stage.when("03:30", lambda: setattr(stage.source, "undone", True))
    stage.when("03:31", stage.reconciled)
    stage.until("03:55")
    assert [(at("03:40"), "clock")] == stage.started()


def test_a_start_that_its_source_only_names_is_followed() -> None:
    named = replace(LOAD, schedule=Schedule("none", text="EventBridge Scheduler", next_at=at("04:00")))
    stage = Stage(replace(STANDING_HOLD), load=named)
    other = replace(named, schedule=replace(named.schedule, next_at=at("03:40")), accepted_at=at("03:25"))
    stage.when("03:25", lambda: setattr(stage, "estate", replace(stage.estate, jobs={**stage.estate.jobs, 2: other})))
    stage.until("03:30")
    assert (HoldState.HELD, at("03:40"), "2026-11-20T03:40:00Z") == (
        stage.hold().state,
        stage.hold().due_at,
        stage.hold().period_key,
    )


CLOCKS = st.integers(min_value=7, max_value=35).map(lambda number: at("03:00") + minutes(5) * number)
MOVES = st.lists(st.tuples(CLOCKS, st.none() | CLOCKS), min_size=1, max_size=3, unique_by=lambda move: move[0])
NIGHTS = st.fixed_dictionaries(
    {
        "moves": MOVES,
        "good": CLOCKS,
        "down": st.sampled_from(list(EngineDown)),
        "mode": st.sampled_from([DependencyMode.HOLD, DependencyMode.TRIGGER]),
        "latency": st.sampled_from([0.0, 1.0]).map(minutes),
        "crash": st.none() | CLOCKS,
    }
)


@pytest.mark.deep
@examples(40)
@given(NIGHTS)
def test_however_a_schedule_moves_no_start_is_lost_or_doubled(night: dict[str, Any]) -> None:
    stage = Moving(hold_edge(night["mode"], engine_down=night["down"]))
    stage.step, stage.latency = minutes(1), night["latency"]
    stage.target(2, poll_every=stage.step)
    for when, clock in night["moves"]:
        if clock is None and night["mode"] is DependencyMode.TRIGGER:
            continue  # what has no clock is started on completion
        stage.moves(f"{when - minutes(2):%H:%M}", "" if clock is None else f"{clock:%H:%M}")
    stage.script[night["good"] + minutes(1)] = lambda: stage.extract_ends(
        RunState.SUCCEEDED, "03:10", f"{night['good']:%H:%M}"
    )
    if night["crash"] is not None:
        stage.crash = lambda now: night["crash"] <= now < night["crash"] + minutes(12)
    stage.until("08:00")
    starts = [when for when, _ in stage.started()]
    assert len(starts) <= len(stage.pending), (stage.pending, stage.started(), stage.events)
    assert all(any(when >= due for when in starts) for due in stage.pending), (
        stage.pending,
        stage.started(),
        stage.events,
    )
    assert Verb.START not in stage.sent() or stage.pending
