"""Recovery plans in the console, started: watched step by step, paused, resumed, abandoned; the rest is shown."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.config.preferences import PersonalPreferences
from console.domain.incident import open_reason, open_steps
from console.domain.plan import WAIT
from console.domain.request import RequestKind
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.plans.rows import ended_rows
from tests.reasons import dated
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, at, draft, incident, plan_of
from tests.tui.views.plans.test_proposed_plans import started


@on_the_night()
async def test_a_plan_that_was_started_is_watched_step_by_step(night: Night) -> None:
    await started(night)
    assert 1 == len(night.requests.started)
    night.requests.go_on(1, state="requested", action_key="headway-1", action_state="sent", started=NOW)
    await night.see("▶ sent", "0 of 4 steps")
    night.requests.go_on(1, state="verified", action_state="verified", text="succeeded (native)", ended=NOW)
    await night.see("● verified", "03:17", "message  succeeded (native)", "1 of 4 steps")


def _runs_already(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7)]


@on_the_night(prepare=_runs_already)
async def test_a_step_that_waits_says_for_what(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7 running", "~22m")
    night.requests.go_on(1, others="mara rerun")
    await night.see("now      waits for mara rerun, an action in flight on its run")
    night.requests.go_on(1, others="", state="requested", action_state="sent", started=NOW)
    await night.see("now      waits for its scheduler's word on how it ended")


def _long_chain(night: Night) -> None:
    """A chain of steps, each after the one before, and one of them that was not needed."""
    plan = plan_of(draft(), 7)
    last, load = plan.steps[-1], "warehouse-airflow/load_orders"
    chain = [dataclasses.replace(last, place=n, after=tuple(range(1, n))[-1:], job=load) for n in range(1, 7)]
    needless = dataclasses.replace(
        chain[5], verb="hold", state="verified", text="its inputs were good; nothing was sent"
    )
    night.reads.plans_ = [dataclasses.replace(plan, steps=(*chain[:5], needless))]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_narrow_screen_has_room_for_what_the_steps_of_a_long_chain_say(size: tuple[int, int]) -> None:
    @on_the_night(size=size, prepare=_long_chain, address=("plan", 7))
    async def query(night: Night) -> None:
        await night.see("PLAN 7 running", "not needed", "its inputs were good")
        indents = [line.index("└") for line in night.text.splitlines() if "└" in line]
        assert (size[0] >= 100) == (indents[0] < indents[-1])

    query()


@each_row(
    "changes, text",
    [
        ({"verb": WAIT, "run_state": "running"}, "waits, running now"),
        ({"verb": WAIT, "run_state": "planned"}, "waits for its start"),
        ({"verb": WAIT}, "waits for its run"),
        ({"system": "cloud"}, "waits for its turn at cloud, after step 1"),
        ({"system": "pg-dwh"}, ""),
        ({"after": (1,), "others": "mara rerun"}, ""),
        ({"state": "requested", "text": "queued: it runs"}, "queued: it runs"),
        ({"state": "verified"}, ""),
    ],
)
def test_the_reason_a_step_is_not_yet_requested_is_shown(changes: dict[str, Any], text: str) -> None:
    first, second, *_ = plan_of(draft()).steps
    busy = dataclasses.replace(first, state="requested", system="cloud")
    step = dataclasses.replace(second, **{"after": (), **changes})
    assert text == plan_of(draft(), steps=(busy, step)).waits_for(step)


@pytest.mark.parametrize("state", ["paused", "stopped", "aborted"])
def test_a_step_of_a_plan_that_does_not_go_on_waits_for_nothing_else(state: str) -> None:
    step = dataclasses.replace(plan_of(draft()).steps[0], others="mara rerun")
    assert "" == plan_of(draft(), steps=(step,), state=state).waits_for(step)


def _is_done(night: Night) -> None:
    steps = tuple(dataclasses.replace(step, state="verified") for step in plan_of(draft()).steps)
    night.reads.plans_ = [plan_of(draft(), 7, state="done", text="4 of 4 steps are over", steps=steps)]


def _has_ended(night: Night) -> None:
    _is_done(night)
    [plan] = night.reads.plans_
    ended = dataclasses.replace(plan, requested=NOW - timedelta(minutes=24), ended=NOW)
    night.reads.plans_ = [ended]


@on_the_night(prepare=_has_ended)
async def test_a_plan_that_has_ended_is_summed_up_in_one_line(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("0 of 2 services on time  4 of 4 steps verified in 24m  by mara at 02:53:42")


def _has_delivered(night: Night) -> None:
    _has_ended(night)
    [plan] = night.reads.plans_
    first, *others = plan.steps
    needless = dataclasses.replace(first, verb="hold", action_state="")
    night.reads.plans_ = [dataclasses.replace(plan, steps=(needless, *others))]
    view = night.reads.incident_
    met = (
        dataclasses.replace(service, timeliness="met", expected=None, delivered=at("06:02"))
        for service in view.services
    )
    row = dataclasses.replace(view.row, closed=NOW)
    night.reads.incident_ = dataclasses.replace(view, row=row, services=tuple(met), members=(), repaired=at("03:14"))


@on_the_night(prepare=_has_delivered)
async def test_the_recap_counts_services_once_and_steps_that_were_not_needed_apart(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see(
        "failed 03:12, repaired 03:14, 2 of 2 services delivered on time",
        "3 of 3 steps verified in 24m, 1 not needed",
        "INC-0412 closed 03:17",
        "Supply plan  due 06:30, delivered 06:02  met",
    )


@each_row(
    "state, keys",
    [
        ("running", ["open", "pause", "abort"]), ("paused", ["open", "resume", "abort"]),
        ("stopped", ["open", "resume", "abort"]), ("done", ["open"]), ("aborted", ["open"]),
    ],
)  # fmt: skip
def test_the_footer_of_a_plan_lists_the_keys_that_steer_it_in_its_state(state: str, keys: list[str]) -> None:
    def prepare(night: Night) -> None:
        night.reads.plans_ = [plan_of(draft(), 7, state=state)]

    @on_the_night(prepare=prepare, address=("plan", 7))
    async def query(night: Night) -> None:
        await night.see(f"PLAN 7 {state}", "<INC-0412>")
        foot = night.text.splitlines()[-1]
        listed = [label for label in ("open", "pause", "resume", "abort") if label in foot]
        assert keys == listed

    query()


@on_the_night(prepare=_is_done)
async def test_a_plan_that_is_done_says_what_it_did_not_save_and_what_plans_the_rest(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see(
        "PLAN 7 done", "INC-0412 STAYS OPEN", *(f"still red or stale: {job}" for job in (EXTRACT, LOAD, MART))
    )
    await night.see("at risk, not lost yet: Supply plan, Daily revenue", "r on the incident plans the remaining steps")
    supply, *others = night.reads.incident_.services
    lost = dataclasses.replace(supply, timeliness="will_miss")
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, services=(lost, *others))
    night.reads.changed()
    await night.see("not saved: Supply plan", "at risk, not lost yet: Daily revenue")


@on_the_night(prepare=_is_done)
async def test_a_plan_that_ended_well_says_that_its_incident_is_closed_and_what_it_saved(night: Night) -> None:
    view = night.reads.incident_
    first, second = (
        dataclasses.replace(service, timeliness="on_time", expected=at("05:56"), act_by=None)
        for service in view.services
    )
    saved = (first, dataclasses.replace(second, timeliness="met"))
    row = dataclasses.replace(view.row, closed=NOW)
    night.reads.incident_ = dataclasses.replace(view, row=row, services=saved)
    night.app.navigation.open_plan(7)
    await night.see(
        "PLAN 7 done",
        "INC-0412 closed 03:17",
        "● Supply plan  due 06:30, expected 05:56  on time",
    )
    assert "STAYS OPEN" not in night.text


@on_the_night(prepare=_is_done)
async def test_an_incident_closing_after_a_plan_is_shown_as_that(night: Night) -> None:
    view = night.reads.incident_
    night.reads.incident_ = dataclasses.replace(view, members=())
    night.app.navigation.open_plan(7)
    await night.see("INC-0412 closes once what starts by itself has run")


OWN_KEYS = PersonalPreferences(Path("console.toml"), {"recover": "f4", "plan.everything": "f8"}, text="")


@on_the_night(prepare=_is_done, personal=OWN_KEYS)
async def test_planning_the_rest_is_shown_with_the_keys_of_this_person(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("F4 on the incident plans the remaining steps")


def test_remaining_runs_of_one_job_are_distinguished_by_their_period() -> None:
    view = incident()
    first, *_ = open_steps(view)
    reason = open_reason(dataclasses.replace(view, actions=(), members=tuple(
        dataclasses.replace(first, run_id=number, period_key=f"2026-11-20T03:{number}:00Z", period=at(f"04:{number}"))
        for number in (10, 20)
    )))  # fmt: skip
    expected = [f"still red or stale: {first.job} 2026-11-20 03:{number} UTC" for number in (10, 20)]
    assert expected == [dated(line) for line in reason[:2]]


@on_the_night(prepare=_runs_already)
async def test_the_incident_shows_the_plan_that_goes_on_and_r_opens_it(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("PLAN 7 running  0 of 4 steps")
    await night.press("r")
    await night.see("PLAN 7 running  repair")
    assert [] == night.requests.calls
    await night.press("escape")
    await night.see("AFFECTED SERVICES")


@on_the_night(prepare=_runs_already)
async def test_closing_the_screen_leaves_the_plan_running(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7 running")
    await night.press("escape")
    await night.see("SERVICES 5")
    assert ([], "running") == (night.requests.steered, night.reads.plans_[0].state)


@on_the_night(prepare=_runs_already)
async def test_p_pauses_at_once_and_resume_asks_first(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7 running")
    await night.press("r")
    await night.see("plan 7 is running")
    await night.press("p")
    await night.see("PLAN 7 paused", "paused by mara")
    await night.press("r")
    await night.see("Resume it")
    await night.press("enter")
    await night.see("PLAN 7 paused")
    assert [(7, RequestKind.PAUSE_PLAN)] == night.requests.steered
    await night.press("r")
    await night.see("Resume it")
    await night.press("down", "enter")
    await night.see("PLAN 7 running")


@on_the_night(prepare=_runs_already)
async def test_a_plan_is_given_up_only_once_it_was_confirmed(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7 running")
    await night.press("x")
    await night.see("remaining steps are not sent")
    await night.press("enter")
    await night.see("PLAN 7 running")
    assert [] == night.requests.steered
    await night.press("x")
    await night.see("Abort it")
    await night.press("down", "enter")
    await night.see("PLAN 7 aborted")


@on_the_night(prepare=_runs_already)
async def test_a_plan_is_found_by_name(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.typing()
    await night.type("plan 7")
    await night.see("7 repair")
    await night.press("enter")
    await night.see("PLAN 7 running")


@on_the_night()
async def test_on_a_small_screen_the_jobs_and_starts_of_a_running_plan_are_whole(night: Night) -> None:
    await started(night)
    due = at("04:30")
    [plan] = night.reads.plans_
    deep = dataclasses.replace(plan.steps[-1], due=due, after=(plan.steps[-2].place,))
    night.reads.plans_ = [dataclasses.replace(plan, steps=(*plan.steps[:-1], deep))]
    night.reads.changed()
    await night.see("at 04:30", "└ warehouse-airflow/load_orders")
    steps = night.text.partition("message")[2].partition("───")[0]
    assert "…" not in steps


def test_the_period_of_a_remaining_run_is_in_the_zone_of_the_screen() -> None:
    view = incident()
    first, *_ = open_steps(view)
    members = tuple(
        dataclasses.replace(first, run_id=number, period_key=f"2026-11-20T03:{number}:00Z", period=at(f"04:{number}"))
        for number in (10, 20)
    )
    rows = ended_rows(
        dataclasses.replace(view, actions=(), members=members), RenderContext(NOW, ZonedClock(), GlyphSet())
    )
    texts = ["".join(text for text, _ in row.cells) for row in rows[1:3]]
    assert [f"   still red or stale: {first.job} {clock}" for clock in ("03:10", "03:20")] == texts


@pytest.mark.parametrize("state, text", [("running", "at 03:10"), ("paused", "03:10 has passed")])
def test_a_paused_plan_promises_no_time_that_has_passed(state: str, text: str) -> None:
    first, *others = plan_of(draft()).steps
    due = dataclasses.replace(first, due=at("03:10"))

    def prepare(night: Night) -> None:
        night.reads.plans_ = [plan_of(draft(), 7, state=state, steps=(due, *others))]

    @on_the_night(size=(120, 36), prepare=prepare, address=("plan", 7))
    async def query(night: Night) -> None:
        await night.see(f"PLAN 7 {state}", text)

    query()
