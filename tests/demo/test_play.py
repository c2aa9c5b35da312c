"""The demo's night played end to end by the engine: incident, clocks, rerun, recovery, and the night without any
action.

The clock is moved by hand: it is fixed at each instant until everything has been polled and evaluated."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.sdk.secrets import SecretStore
from console.config.loading import load_config
from console.demo import playback as plays
from console.demo.playback import LONG, SINK, ZONE, DemoPlayback, moment
from console.domain.ids import new_action_key
from console.domain.incident import IncidentView
from console.domain.plan import PlanDraft, PlanView
from console.domain.run import RunView
from console.domain.service import ServiceView
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from console.engine.evaluation.evaluator import Evaluator
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import Engine
from console.store.db.database import Database
from console.store.queries import open_queries
from console.timing.clock import ClockSetting, real_now
from console.tui.app.navigation import HeadwayApp
from console.tui.frame.tour import GuidedTour
from tests.action_requests import rerun_of
from tests.demo import story
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.tui import driving

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise, as it loads

POLL_RATE = 20.0
"""The pollers' pace: each target is polled every 750 ms. Polls are most of the cost of these nights."""


class Night:
    """One play with an engine at work in this process."""

    def __init__(self, play: DemoPlayback, store: Database, judging: threading.Lock) -> None:
        self.play = play
        self.store = store
        self.judging = judging
        self.requests = EngineClient(str(play.store))

    def at(self, clock: str) -> None:
        """Moves the clock to this local time and waits until every target was seen up to it and all is judged."""
        now = moment(clock)
        with self.judging:  # between a jump and the polls what ended meanwhile is still on, and late
            plays.set_clock(self.play, self.store, ClockSetting(now, real_now() + LONG, POLL_RATE))
            self.wait(f"all is seen at {clock}", lambda: self.seen_until() >= now)
        self.wait(f"all is judged at {clock}", lambda: plays.is_evaluated(self.store))

    def seen_until(self) -> datetime:
        with open_queries(str(self.play.store)) as reads:
            return min(
                target.last_ok or datetime.min.replace(tzinfo=moment("03:11").tzinfo)
                for target in reads.estate.systems()
            )

    def wait(self, what: str, done: Callable[[], object]) -> None:
        wait_until(done, what, pause=0.02)

    def service(self, name: str) -> ServiceView:
        with open_queries(str(self.play.store)) as reads:
            return next(service for service in reads.services.list_services() if service.name == name)

    def expect(self, timeliness: str, *names: str) -> None:
        """Waits until these services are judged so: by time alone that may take some seconds."""
        expected = dict.fromkeys(names, timeliness)
        self.wait(f"{expected}", lambda: {name: self.service(name).timeliness for name in names} == expected)

    def incidents(self) -> list[IncidentView]:
        with open_queries(str(self.play.store)) as reads:
            return [
                reads.incidents.incident(incident.id)
                for closed in (False, True)
                for incident in reads.incidents.list_incidents(closed=closed)
            ]

    def run(self, name: str) -> RunView:
        """The job's run of the story's night."""
        with open_queries(str(self.play.store)) as reads:
            runs = [run for run in reads.jobs.job(name).runs if run.business_date == "2026-11-19"]
            return reads.runs.run(runs[0].id)

    def rerun(self, name: str) -> str:
        """Requests a rerun through the preview, as the console does; returns its key."""
        run_id = self.run(name).row.id
        answer = self.requests.wait(self.requests.preview(rerun_of(run_id)), HANGS_SECONDS)
        assert answer.ok, answer.error
        key = new_action_key()
        self.requests.act(rerun_of(run_id, answer.data, "a bad file"), key)
        self.wait(f"the rerun of {name} is sent", lambda: self.action(key) not in ("requested", "sending"))
        return key

    def action(self, key: str) -> str:
        with open_queries(str(self.play.store)) as reads:
            return next(action.state for action in reads.actions.list_actions() if action.key == key)


@contextmanager
def playing(folder: Path) -> Iterator[Night]:
    """An engine at work in this folder; its clock waits at 03:11."""
    play, judging, step = DemoPlayback(folder), threading.Lock(), Evaluator.step

    def judge(evaluator: Evaluator, fence: int) -> float:
        with judging:
            return step(evaluator, fence)

    with plays.listener() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(SINK, url)
        patch.setattr(Evaluator, "step", judge)
        store = plays.set_up(play, moment("03:11"), POLL_RATE)
        config, secrets = load_config(play.config), SecretStore()
        engine = Engine(lambda: EngineAssembly(config, store, secrets), EngineAssembly(config, store, secrets))
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            yield Night(play, store, judging)
        finally:
            engine.stop()
            thread.join(HANGS_SECONDS)
            store.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has read the sixty nights: every test goes on from a copy of it."""
    with playing(tmp_path_factory.mktemp("history")) as night:
        whole = plays.attempts_recorded(night.play, moment("03:11"))
        night.wait("the history is read", lambda: plays.attempts_read(night.store) == whole)
        night.at("03:11")
    return night.play.store


def copy_history(history: Path, folder: Path) -> None:
    with sqlite3.connect(history) as source, sqlite3.connect(folder / history.name) as copy:
        source.backup(copy)
    source.close()
    copy.close()


@pytest.fixture
def night(history: Path, tmp_path: Path) -> Iterator[Night]:
    copy_history(history, tmp_path)
    with playing(tmp_path) as result:
        yield result


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_person_who_reads_every_step_of_the_tour_saves_every_service(
    history: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """By keys: each step takes five minutes of the night to read, if the clock does not wait."""
    copy_history(history, tmp_path)
    with playing(tmp_path) as night, driving.unseen():
        asyncio.run(_follow_the_tour(night, size))


class DrivenClock:
    """The clock of the demo, moved by the test: by no time of the machine, and not while the console stops it."""

    def __init__(self, night: Night) -> None:
        self._night, self.at, self.waits = night, moment("03:11"), False

    def set_waiting(self, waits: bool) -> None:
        self.waits = waits

    async def read_for(self, minutes: int) -> None:
        if not self.waits:
            self.at += timedelta(minutes=minutes)
            await asyncio.to_thread(self._night.at, f"{self.at.astimezone(ZoneInfo(ZONE)):%H:%M}")


async def _follow_the_tour(night: Night, size: tuple[int, int]) -> None:
    clock = DrivenClock(night)
    app = HeadwayApp(
        lambda: open_queries(str(night.play.store)),
        lambda: EngineClient(str(night.play.store)),
        tour=GuidedTour(time.monotonic),
        set_clock_waiting=clock.set_waiting,
    )
    async with app.run_test(size=size) as pilot:
        page = driving.Night()
        page.app, page.pilot = app, pilot
        await page.see("wait for it")
        await clock.read_for(2)
        await page.until(lambda: app.tour is not None and app.tour.had_incident, "the failure")
        await page.until(lambda: clock.waits, "a clock that waits")
        stopped = clock.at
        for keys, text in (
            ("!", "TOUR 2/5"), ("enter", "TOUR 3/5"), ("g", "TOUR 4/5"), ("escape", "shows a plan"),
            ("r", "10 steps "), ("enter", "type INC-0001 ↵ a reason, then"), ("INC-0001", "INC-0001"),
            ("enter", story.WANTS_REASON),
        ):  # fmt: skip
            await clock.read_for(5)
            await pilot.press(*([keys] if keys in ("!", "enter", "escape") else keys))
            await page.see(text)
            assert clock.waits, text
        await clock.read_for(5)
        assert stopped == clock.at
        await pilot.press(*"disk", "enter")
        await page.until(
            lambda: not clock.waits and bool(replayed_requests(night, story.EXTRACT)),
            "the rerun is sent, the clock runs",
        )
        tour = app.tour
        assert tour is not None
        while not tour.is_repaired and clock.at < moment("04:00"):
            await clock.read_for(4)
            app.read_header()
            await page.at_rest()
        await page.see("TOUR 5/5  Done in", "Expected on time: ", "0 at risk · 1 incident")
        assert [] == [service.name for service in app.services if service.is_endangered]
        assert {"Supply plan", "Daily revenue"} == set(
            tour.recap(app.ctx.hm).partition("Expected on time: ")[2].split(", ")
        )


def notified_lines(incident: IncidentView, kind: str) -> list[Any]:
    return [delivery for delivery in incident.deliveries if delivery.kind == kind and delivery.state == "sent"]


def test_one_incident_opens_with_the_clocks_of_both_services_and_one_alert_leaves(night: Night) -> None:
    night.at("03:11")
    assert [] == night.incidents()
    night.expect("on_time", "daily-revenue", "supply-plan", "price-list")
    night.at("03:13")
    [incident] = night.incidents()
    assert story.EXTRACT == incident.row.root_job
    assert "No space left on device" in incident.log
    plan = night.service("supply-plan")
    assert ("at_risk", incident.row.id) == (plan.timeliness, plan.incident_id)
    assert plan.act_by is not None
    assert plan.green_by is not None
    assert moment("03:58") < plan.act_by < moment("04:15")
    assert moment("04:15") < plan.green_by < moment("04:35")
    assert {"supply-plan": "history (60 runs)", "daily-revenue": "history (60 runs)"} == {
        service.name: service.basis.text for service in incident.services if service.basis
    }
    assert {"on_time"} == {
        night.service(name).timeliness for name in ("price-list", "stock-cover", "customer-segments")
    }
    night.wait("the alert is sent", lambda: notified_lines(night.incidents()[0], "opened"))
    night.at("03:20")
    assert 1 == len(night.incidents()[0].deliveries)


def test_a_rerun_before_the_load_starts_is_verified_and_everything_after_it_comes_out_well(night: Night) -> None:
    night.at("03:20")
    key = night.rerun(story.EXTRACT)
    assert key == json.loads((night.play.folder / "actions.jsonl").read_text())["key"]
    night.at("03:30")
    assert ("running", "sent") == (night.run(story.EXTRACT).row.state, night.action(key))
    night.at("03:36")
    night.wait("the rerun is verified", lambda: night.action(key) == "verified")
    extract = night.run(story.EXTRACT)
    assert [("failed", None), ("succeeded", key)] == sorted(
        (attempt.state, attempt.action_key) for attempt in extract.attempts
    )
    night.wait("the incident is closed", lambda: night.incidents()[0].row.closed is not None)
    for clock in ("04:00:30", "04:30", "05:10", "05:45", "06:20"):
        night.at(clock)
    night.expect("met", "daily-revenue", "supply-plan")
    assert "complete" == night.service("supply-plan").data_state
    night.wait("the recovery is told", lambda: notified_lines(night.incidents()[0], "recovered"))
    assert 1 == len(night.incidents())


@pytest.mark.deep  # its course, decided: tests/demo/test_night.py; carried out: tests/engine/plans/test_plans.py
def test_a_late_rerun_leaves_followers_that_are_rerun_one_by_one(night: Night) -> None:
    night.at("03:13")
    night.at("03:56")
    night.rerun(story.EXTRACT)
    for clock in ("04:00:30", "04:14"):
        night.at(clock)
    load = night.run(story.LOAD)
    assert (True, "succeeded") == (load.row.stale_read, load.row.state)
    key = night.rerun(story.LOAD)
    for clock in ("04:20", "04:29", "04:38"):
        night.at(clock)
    night.wait("the rerun is verified", lambda: night.action(key) == "verified")
    assert "succeeded" == night.run(story.QUALITY).row.state
    night.wait("the incident is closed", lambda: night.incidents()[0].row.closed is not None)
    for clock in ("04:41", "05:05", "05:31", "05:45", "06:25"):
        night.at(clock)
    night.expect("met", "daily-revenue", "supply-plan")
    assert 1 == len(night.incidents())


@pytest.mark.deep  # its course, decided: tests/demo/test_night.py and tests/forecast/test_golden_nights.py
def test_without_any_action_both_services_are_lost_and_it_stays_one_incident(night: Night) -> None:
    night.at("03:13")
    night.at("03:59")
    night.expect("at_risk", "supply-plan")
    for clock in ("04:01", "04:15", "04:41"):
        night.at(clock)
    night.expect("at_risk", "supply-plan")  # a plan started now still saves it
    for clock in ("05:05", "05:21"):
        night.at(clock)
    night.expect("will_miss", "supply-plan")
    for clock in ("05:35", "06:05", "06:31"):
        night.at(clock)
    night.expect("breached", "supply-plan")
    night.at("07:31")
    night.expect("breached", "daily-revenue")
    assert "failed" == night.run(story.SETTLE).row.state
    [incident] = night.incidents()
    assert incident.row.closed is None
    assert story.EXTRACT == incident.row.root_job
    assert {story.LOAD, story.SUPPLY, story.PLAN, story.REVENUE, story.SETTLE} <= {
        member.job for member in incident.members
    }
    night.expect("met", "price-list", "stock-cover", "customer-segments")


def proposed(night: Night) -> PlanDraft:
    requests = EngineClient(str(night.play.store))
    answer = requests.wait(requests.ask(ProposeRecovery(night.incidents()[0].row.id)), HANGS_SECONDS)
    assert answer.ok, answer.error
    return PlanDraft.read(answer.data)


def carry_out(night: Night, draft: PlanDraft, clock: str, until: str) -> datetime:
    """Starts the plan at that time, and moves the clock by four minutes whenever it waits for a run."""
    number = EngineClient(str(night.play.store)).start_plan(draft, new_action_key(), "the disk was full")
    now = moment(clock)

    def plan() -> PlanView:
        with open_queries(str(night.play.store)) as reads:
            return reads.plans.plan(number)

    def is_under_way() -> bool:
        plan_view = plan()
        return plan_view.state != "running" or any(step.action_state == "sent" for step in plan_view.steps)

    while plan().state == "running" and now < moment(until):
        night.wait("a step is sent, or the plan is over", is_under_way)
        now += timedelta(minutes=4)
        night.at(f"{now.astimezone(ZoneInfo(ZONE)):%H:%M}")
    assert ("done", {"verified"}) == (plan().state, {step.state for step in plan().steps}), plan()
    return now


@pytest.mark.deep  # ten seconds of polling; tests/engine and tests/invariants carry plans out more quickly
def test_plans_repair_the_night_across_all_systems_after_nobody_acted(night: Night) -> None:
    """The settlement, which its own clock starts while the first plan goes on, fails: the second one's only step."""
    for clock in ("03:13", "04:01", "04:15", "04:41", "05:05", "05:21", "05:35"):
        night.at(clock)
    first = proposed(night)
    assert [story.EXTRACT, story.LOAD] == [step.job for step in first.steps][:2]
    assert {"etl-hosts", "warehouse-airflow", "warehouse-pg"} == {step.system for step in first.steps}
    assert "payments-aws/settle_orders" in {exclusion.job for exclusion in first.excluded}
    at = carry_out(night, first, "05:35", "08:00")
    second = proposed(night)
    assert [("payments-aws/settle_orders", ())] == [(step.job, step.after) for step in second.steps]
    carry_out(night, second, f"{at.astimezone(ZoneInfo(ZONE)):%H:%M}", "09:00")
    night.wait("the incident is closed", lambda: night.incidents()[0].row.closed is not None)


def replayed_requests(night: Night, job: str) -> list[tuple[str, str]]:
    """(verb, key) of all that the replay was requested this job, in that order."""
    sent = night.play.folder / "actions.jsonl"
    text = sent.read_text() if sent.exists() else ""
    rows = [json.loads(line) for line in text.splitlines() if line]
    return [(row.get("verb", "rerun"), row["key"]) for row in rows if "/".join(row["job"]) == job]


@pytest.mark.deep  # ten seconds of polling, as the one above
def test_a_plan_that_is_late_holds_the_load_over_its_start_and_starts_it_once_with_the_new_orders(night: Night) -> None:
    for clock in ("03:13", "03:53"):
        night.at(clock)
    draft = proposed(night)
    hold = draft.steps[0]
    assert ("hold", story.LOAD, "pause the DAG") == (hold.verb, hold.job, hold.preview["verb"])
    EngineClient(str(night.play.store)).start_plan(draft, new_action_key(), "the disk was full")
    night.wait("the load is held", lambda: replayed_requests(night, story.LOAD))
    night.wait("the rerun is sent", lambda: replayed_requests(night, story.EXTRACT))
    for clock in ("03:56", "04:01", "04:05"):
        night.at(clock)
    with open_queries(str(night.play.store)) as reads:
        assert "held" == next(run.state for run in reads.jobs.job(story.LOAD).runs if run.business_date == "2026-11-19")
    night.at("04:08")
    night.wait("the load is let go", lambda: "release" in dict(replayed_requests(night, story.LOAD)))
    night.wait(
        "that is proved", lambda: night.action(dict(replayed_requests(night, story.LOAD))["release"]) == "verified"
    )
    night.at("04:12")
    night.wait("the load is started", lambda: "start" in dict(replayed_requests(night, story.LOAD)))
    for clock in ("04:14", "04:27"):
        night.at(clock)
    key = dict(replayed_requests(night, story.LOAD))["start"]
    night.wait("the start is verified", lambda: night.action(key) == "verified")
    load = night.run(story.LOAD)
    assert [("succeeded", key)] == [(attempt.state, attempt.action_key) for attempt in load.attempts]
    assert (False, ["hold", "release", "start"]) == (
        load.row.stale_read,
        [verb for verb, _ in replayed_requests(night, story.LOAD)],
    )
