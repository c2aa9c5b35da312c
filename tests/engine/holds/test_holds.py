"""A hold from its decision to the scheduler and back, through the real store, actions and pollers; the clock is
fixed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.contract import HoldMark
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import Schedule
from connectors.sdk.states import Capability, RunState, Verb
from console.config.sections import DependencySettings
from console.domain.hold import MARK_REMOVED, HoldReason
from console.domain.ids import micros, new_action_key, utc_minute
from console.domain.settings import ServiceSetting
from console.domain.text import render, text_of
from console.engine.api.action_request import ActionRequest
from console.store import approvals
from console.store.audit import ChangeOrigin
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

NIGHT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ABLE = frozenset({Capability.RERUN, Capability.LOG, Capability.START, Capability.HOLD})


def at(clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return NIGHT.replace(hour=hours, minute=minutes)


@dataclass
class Night:
    """A bench whose clock is set by the test."""

    bench: Bench
    now: datetime = NIGHT

    def at(self, clock: str) -> Night:
        """It is that time."""
        self.now = at(clock)
        with self.bench.store.write(None) as connection:
            connection.rows("DELETE FROM clock")
            connection.rows(
                "INSERT INTO clock (id, origin_us, started_us, rate, paused) VALUES (1, ?, 0, 1, TRUE)",
                (micros(self.now),),
            )
        self.bench.parts.clock._refresh_at = 0.0
        return self

    def rounds(self, count: int = 3) -> Night:
        """Polls, evaluates, moves the actions, with fresh marks and jobs of the source."""
        for _ in range(count):
            self.bench.parts.clock._refresh_at = 0.0
            self.bench.parts.evaluator._whole_at = 0.0
            self.bench.poller._inventory_at = 0.0
            self.bench.poller._holds._refresh_at = 0.0
            self.bench.turn()
            self.bench.parts.actions.step(self.bench.fence)
        return self

    def restart(self) -> None:
        """A new engine on the same store, as after a crash."""
        with self.bench.store.write(None) as connection:
            connection.rows("UPDATE lease SET until_us = 0")
        self.bench.restart()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.bench.store.read() as connection:
            return [tuple(row) for row in connection.rows(sql)]

    def hold(self) -> tuple[Any, ...]:
        [row] = self.rows("SELECT state, kind, period_key, reason, detail FROM hold")
        return (*row[:3], render(HoldReason(row[3]).text(text_of(row[4])), utc_minute))

    def load(self) -> tuple[Any, ...]:
        """The run of load that is due at 04:00."""
        [(state, reason)] = self.rows(
            "SELECT r.state, r.reason FROM run r JOIN job j ON j.id = r.job_id"
            " WHERE j.native_id = 'load' AND r.period_key = '2026-11-20T04:00:00Z'"
        )
        return state, render(text_of(reason), utc_minute)

    def events(self) -> list[str]:
        rows = self.rows("SELECT text FROM event WHERE kind = 'hold' ORDER BY id")
        return [render(text_of(text), utc_minute) for (text,) in rows]

    def job_id(self, name: str) -> int:
        return int(self.rows(f"SELECT id FROM job WHERE native_id = '{name}'")[0][0])


@contextmanager
def a_night(
    folder: Path, mode: str = "hold", clock: str = "0 4 * * *", promised: ServiceSetting | None = None,
    has_owners: bool = False, **edge_more: str,
) -> Iterator[Night]:  # fmt: skip
    """`load` is due at 04:00, or whenever it is requested, and held for `extract`, which failed at 03:12. `promised`: a
    service of that night. `has_owners`: with a route "owners"."""
    scheduler = FakeScheduler(capabilities=ABLE)
    scheduler.job("extract")
    scheduler.job("load", Schedule("debian-cron", clock, "UTC") if clock else None)
    config = estate_config(folder, scheduler)
    edge = DependencySettings(upstream="fake/extract", downstream="fake/load", mode=mode, **edge_more)
    noon = {"cutoff": at("12:00").time()}
    system = config.systems["fake"]
    system = replace(system, settings=system.settings.model_copy(update=noon))
    config = replace(
        config, dependencies=(edge,), systems={"fake": system}, services={"daily": promised} if promised else {}
    )
    if has_owners:
        config = replace(config, routes={**config.routes, "owners": config.routes["oncall"]})
    with running_bench(folder, scheduler, config) as bench:
        night = Night(bench)
        scheduler.now = lambda: night.now
        night.at("03:00").rounds(1)
        scheduler.attempt("extract", "e1", RunState.FAILED, at("03:10"), ended_at=at("03:12"))
        yield night


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with a_night(tmp_path) as made:
        yield made


def repair(night: Night, clock: str) -> None:
    night.bench.scheduler.attempt(
        "extract", "e2", RunState.SUCCEEDED, at(clock) - timedelta(minutes=1), ended_at=at(clock),
        period_key="extract@2026-11-20",
    )  # fmt: skip


def started(night: Night) -> list[tuple[str, str]]:
    return [pair for pair in night.bench.scheduler.done if pair[0] == "start"]


def test_a_downstream_is_held_started_once_and_notified(night: Night) -> None:
    scheduler = night.bench.scheduler
    night.at("03:51").rounds()
    [(key,)] = night.rows("SELECT key FROM hold")
    mark = scheduler.marks["load"]
    assert (key, "headway", at("10:00")) == (mark.id, mark.by, mark.until)
    assert ("held", "reactive", "2026-11-20T04:00:00Z", "until fake/extract is good") == night.hold()
    night.at("04:05").rounds()
    assert ("held", f"held by Headway until fake/extract is good (hold {key})") == night.load()
    assert [] == night.rows("SELECT what FROM drift")
    repair(night, "04:10")
    night.at("04:11").rounds(4)
    assert ("watching", {}) == (night.hold()[0], scheduler.marks)
    night.at("04:13").rounds()
    assert [("start", "load")] == started(night)
    assert ("held", f"started by Headway: its run is awaited (hold {key})") == night.load()
    [(start_key,)] = night.rows("SELECT start_key FROM hold")
    scheduler.attempt("load", "l1", RunState.SUCCEEDED, at("04:13"), action_key=start_key, period_key=None)
    night.at("04:14").rounds()
    assert ("succeeded", "released") == (night.load()[0], night.hold()[0])
    assert [("hold", "verified"), ("release", "verified"), ("start", "verified")] == night.rows(
        "SELECT verb, state FROM action ORDER BY requested_us"
    )
    assert [
        "fake/load is held until fake/extract is good",
        "fake/load is released: fake/extract is good",
        "fake/load is started: no start of its own came after its release",
    ] == night.events()
    requested = night.rows("SELECT verb FROM audit WHERE verb LIKE 'request %' ORDER BY seq")
    assert [("request hold",), ("request release",), ("request start",)] == requested


def test_an_engine_that_dies_between_any_two_steps_goes_on_with_the_same_hold(night: Night) -> None:
    """The rows are the memory: a new engine after each round."""
    for clock in ("03:51", "03:52", "03:53", "04:05"):
        night.at(clock).rounds(1)
        night.restart()
    repair(night, "04:10")
    for clock in ("04:11", "04:12", "04:13", "04:14", "04:15", "04:16", "04:17"):
        night.at(clock).rounds(1)
        night.restart()
    assert [("hold", "load"), ("release", "load"), ("start", "load")] == night.bench.scheduler.done


def test_an_engine_that_dies_while_a_mark_is_removed_removes_it_once(night: Night) -> None:
    night.at("03:51").rounds()
    night.bench.scheduler.undone.add("load")
    for clock in ("03:55", "03:56", "03:57", "03:58"):
        night.at(clock).rounds(2)  # two evaluations of one engine
        night.restart()
    assert ([("hold", "load"), ("release", "load")], {}) == (night.bench.scheduler.done, night.bench.scheduler.marks)
    assert "released" == night.hold()[0]


def test_a_mark_that_a_person_took_away_ends_the_hold_for_its_period(night: Night) -> None:
    night.at("03:51").rounds()
    del night.bench.scheduler.marks["load"]
    night.at("03:55").rounds()
    assert ("released", "its mark is gone from its source: released by a person") == (night.hold()[0], night.hold()[3])
    assert {} == night.bench.scheduler.marks
    assert "planned" == night.load()[0]


def test_a_mark_missing_from_one_poll_ends_nothing(night: Night) -> None:
    night.at("03:51").rounds()
    mark = night.bench.scheduler.marks.pop("load")
    night.at("03:55").rounds(1)
    night.bench.scheduler.marks["load"] = mark
    night.at("03:56").rounds(1)
    del night.bench.scheduler.marks["load"]
    night.at("03:57").rounds(1)
    assert ("held", {}) == (night.hold()[0], night.bench.scheduler.marks)
    night.at("03:58").rounds(1)
    assert "released" == night.hold()[0]


def test_a_held_job_enabled_by_a_person_stays_enabled_and_a_later_pause_is_theirs(night: Night) -> None:
    scheduler = night.bench.scheduler
    night.at("03:51").rounds()
    scheduler.undone.add("load")
    night.at("03:55").rounds(2)
    assert "clearing" == night.hold()[0]
    night.at("03:56").rounds(4)
    removed = render(HoldReason.ENABLED_AT_SOURCE.text((MARK_REMOVED,)), utc_minute)
    assert ("released", removed) == (night.hold()[0], night.hold()[3])
    assert ({}, False) == (scheduler.marks, scheduler.jobs["load"].paused)
    scheduler.jobs["load"] = replace(scheduler.jobs["load"], paused=True)
    repair(night, "04:10")
    night.at("04:11").rounds(4)
    assert ([("hold", "load"), ("release", "load")], True) == (scheduler.done, scheduler.jobs["load"].paused)
    requested = night.rows("SELECT verb, why FROM audit WHERE verb LIKE 'request %' ORDER BY seq")
    assert ("request release", render(HoldReason.ENABLED_AT_SOURCE.text(), utc_minute)) == requested[-1]


def test_a_mark_that_returns_repeatedly_is_removed_each_time(night: Night) -> None:
    """An old crontab is put back, and the job enabled below the hold mark."""
    scheduler = night.bench.scheduler
    night.at("03:51").rounds()
    mark = scheduler.marks["load"]
    for clock in ("03:53", "03:55", "03:57"):
        scheduler.marks["load"] = mark
        scheduler.undone.add("load")
        night.at(clock).rounds(6)
        assert ("released", {}) == (night.hold()[0], scheduler.marks)
    assert [("hold", "load"), *[("release", "load")] * 3] == scheduler.done


def test_a_mark_unknown_to_the_store_is_reported_and_left_alone(night: Night) -> None:
    mark = HoldMark("headway-0123456789abcdef", "other-store", at("09:00"))
    night.bench.scheduler.marks["load"] = mark
    night.at("03:51").rounds()
    assert ("foreign", "foreign", "") == night.hold()[:3]
    assert {"load": mark} == night.bench.scheduler.marks
    [event] = night.events()
    assert event.startswith(
        "fake/load is held by other-store under headway-0123456789abcdef: a mark that this store did"
    )
    del night.bench.scheduler.marks["load"]
    night.at("03:56").rounds(2)
    rows = night.rows("SELECT state FROM hold WHERE key = 'headway-0123456789abcdef'")
    assert [("released",)] == rows


@pytest.mark.parametrize("met", [SystemUnreachable("the notes cannot be read"), KeyError("State")])
def test_marks_that_cannot_be_read_fail_no_poll_and_change_nothing(
    night: Night, monkeypatch: pytest.MonkeyPatch, met: Exception
) -> None:
    night.at("03:51").rounds()
    held = night.hold()

    def refused(*_: object) -> tuple[()]:
        raise met

    connector = night.bench.poller._connector
    assert connector is not None
    monkeypatch.setattr(connector, "holds", refused)
    night.at("03:55").rounds()
    assert (held, [("", None)]) == (night.hold(), night.rows("SELECT error, failing_since_us FROM target"))
    assert connector is night.bench.poller._connector
    monkeypatch.undo()
    del night.bench.scheduler.marks["load"]
    night.at("03:56").rounds(2)
    assert "released" == night.hold()[0]


def test_a_person_holds_and_lets_go_and_what_came_due_is_started_once(night: Night) -> None:
    repair(night, "03:20")
    requests, job_id = night.bench.requests(), 0
    night.at("03:30").rounds()
    job_id, key = night.job_id("load"), new_action_key()
    until = {"by": "alice", "until": "2026-11-20T08:00:00Z"}
    requests.act(ActionRequest(Verb.HOLD, job_id=job_id, parameters=until, why="the network is moved"), key)
    night.rounds()
    assert ("held", "person", "") == night.hold()[:3]
    night.at("04:05").rounds()
    assert "held" == night.load()[0]
    requests.act(ActionRequest(Verb.RELEASE, job_id=job_id, parameters={"hold": key}), new_action_key())
    night.rounds()
    assert ("watching", "2026-11-20T04:00:00Z") == (night.hold()[0], night.hold()[2])
    night.at("04:08").rounds()
    assert [("start", "load")] == started(night)


def test_a_persons_hold_that_runs_out_goes_on_as_the_dependencys(night: Night) -> None:
    night.at("03:30").rounds()
    until = {"by": "alice", "until": "2026-11-20T04:10:00Z"}
    request = ActionRequest(Verb.HOLD, job_id=night.job_id("load"), parameters=until, why="the network is moved")
    night.bench.requests().act(request, new_action_key())
    night.rounds().at("04:11").rounds()
    assert ("held", "reactive", "2026-11-20T04:00:00Z", "until fake/extract is good") == night.hold()
    [row] = night.rows("SELECT held_by, until_us, upstream_id FROM hold")
    assert ("headway", micros(at("10:00")), night.job_id("extract")) == row
    repair(night, "04:20")
    night.at("04:21").rounds(4).at("04:23").rounds()
    assert ([("start", "load")], "released") == (started(night), night.hold()[0])


def test_a_hold_whose_time_is_over_before_it_is_placed_is_refused(night: Night) -> None:
    """It waits for approval; approved after its end it would keep back what is due, and be let go the moment after."""
    night.at("03:30").rounds()
    requests, key = night.bench.requests(), new_action_key()
    until = {"by": "alice", "until": "2026-11-20T03:40:00Z"}
    request = ActionRequest(
        Verb.HOLD, job_id=night.job_id("load"), parameters=until, needs_approval=True, preview={"verb": "hold"}
    )
    requests.act(request, key)
    night.at("03:41")
    change = ChangeOrigin("jo", "her desk", "", micros(at("03:41")))
    bench = night.bench
    assert "" == approvals.approve_action(bench.store, bench.fence, key, bench.digest(key), change)
    night.bench.parts.actions.step(night.bench.fence)
    message = "it was to end at 2026-11-20 03:40+00:00 and was not placed until then: ask again, for a longer time"
    assert [("refused", message)] == night.rows(f"SELECT state, text FROM action WHERE key = '{key}'")
    assert ({}, [("refuse hold",)]) == (
        night.bench.scheduler.marks,
        night.rows("SELECT verb FROM audit WHERE object = 'fake/load' ORDER BY seq DESC LIMIT 1"),
    )


def test_an_unsent_action_is_not_reported_as_lost(night: Night) -> None:
    """The words by which the store knows that an action never arrived are those that the engine writes."""
    scheduler = night.bench.scheduler

    def away(_: str) -> None:
        scheduler.on_act = None
        raise SystemUnreachable("no route to host")

    scheduler.on_act = away
    night.at("03:51").rounds(2)
    assert ("failed", {}) == (night.hold()[0], scheduler.marks)
    night.at("03:53").rounds()
    assert ["load"] == list(scheduler.marks)
    assert [("failed",), ("held",)] == night.rows("SELECT state FROM hold ORDER BY state")


def test_a_job_without_a_clock_is_started_when_its_upstream_is_good(tmp_path: Path) -> None:
    with a_night(tmp_path, "trigger", clock="") as night:
        night.at("03:20").rounds()
        repair(night, "03:30")
        night.at("03:31").rounds()
        assert [("start", "load")] == night.bench.scheduler.done
        assert ("released", "trigger") == night.hold()[:2]


def start_state(night: Night) -> tuple[str, str]:
    [row] = night.rows("SELECT state, text FROM action WHERE verb = 'start'")
    return row[0], row[1]


def sends(night: Night, clock: str) -> tuple[str, str]:
    """The actions alone, before any evaluation of that time."""
    night.at(clock)
    night.bench.parts.actions.step(night.bench.fence)
    return start_state(night)


@pytest.mark.parametrize("mode, schedule", [("trigger", ""), ("hold", "0 4 * * *")])
def test_a_start_that_waited_does_not_leave_after_the_run_that_came_by_itself(
    tmp_path: Path, mode: str, schedule: str
) -> None:
    with a_night(tmp_path, mode, schedule) as night:
        scheduler = night.bench.scheduler
        night.at("03:51").rounds()
        repair(night, "04:10")
        scheduler.overlap = "a run of it goes on"
        night.at("04:11").rounds(4).at("04:13").rounds()
        assert "requested" == start_state(night)[0]
        scheduler.attempt("load", "own", RunState.SUCCEEDED, at("05:10"), period_key=None)
        night.at("05:30").bench.poller.poll_once(night.bench.fence)
        scheduler.overlap = None
        assert ("refused", "its run has started") == sends(night, "05:30")
        night.at("05:31").rounds()
        assert ([], "released") == (started(night), night.hold()[0])


def test_a_start_waits_until_a_source_that_was_unreachable_has_reported_its_runs(tmp_path: Path) -> None:
    with a_night(tmp_path, "trigger", clock="") as night:
        scheduler = night.bench.scheduler
        night.at("03:20").rounds()
        repair(night, "03:30")
        night.at("03:31").bench.poller.poll_once(night.bench.fence)
        night.bench.parts.evaluator.step(night.bench.fence)
        scheduler.refuse = SystemUnreachable("no route to host")
        assert sends(night, "03:31")[1].startswith("unreachable")
        night.at("03:32").rounds(1)
        scheduler.refuse = None
        scheduler.attempt("load", "own", RunState.SUCCEEDED, at("05:10"), period_key=None)
        assert ("requested", "its system is unreachable: it may have started on its own schedule") == sends(
            night, "05:30"
        )
        night.bench.poller.poll_once(night.bench.fence)
        assert ("refused", "its run has started") == sends(night, "05:31")
        assert [] == started(night)


def test_a_start_that_waited_for_hours_does_not_leave_before_the_evaluation_withdraws_it(night: Night) -> None:
    night.at("03:51").rounds()
    repair(night, "04:10")
    night.at("04:11").rounds(4)
    night.bench.scheduler.overlap = "a run of it goes on"
    night.at("04:13").rounds()
    night.bench.scheduler.overlap = None
    night.at("10:06").bench.poller.poll_once(night.bench.fence)
    assert ("refused", "it was too late to start it") == sends(night, "10:06")
    assert [] == started(night)
