"""The demo's guided tour: five steps that are done by doing them, in two lines that cover no row."""

from __future__ import annotations

import dataclasses
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from console.config import key_table
from console.domain.incident import IncidentView
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock, ZoneMode
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.tour import NAMES, REPAIRED, GuidedTour, TourState
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, ZONE, at, draft, incident, plan_of
from tests.tui.test_snapshots import SMALL, WIDE, SnapCompare, shot

ROOM = 78
"""Cells of a line at 80 columns, with a blank at each end."""


def tour() -> GuidedTour:
    """A tour whose clock goes on by a second whenever it is read."""
    ticks = count(100)
    return GuidedTour(lambda: float(next(ticks)))


def key(screen: str, name: str) -> str:
    """The key as the table has it."""
    return next((key_table.key_label(act.keys[0]) for act in key_table.key_actions(screen) if act.name == name), "Esc")


CONTEXT = RenderContext(NOW, ZonedClock(ZoneInfo(ZONE)), GlyphSet())


def repaired() -> IncidentView:
    """The root was good at 03:26; its incident was closed hours later, when all that it left stale had run again."""
    view = incident()
    row = dataclasses.replace(view.row, closed=at("06:09"))
    return dataclasses.replace(view, row=row, members=(), repaired=at("03:26"))


def seen(where: str, incidents: int = 1, only_problems: bool = False) -> TourState:
    return TourState(where, only_problems, incidents)


def test_nothing_changes_without_an_action() -> None:
    guided_tour = tour()
    for _ in range(5):
        guided_tour.notice(seen("services"))
    assert 0 == guided_tour.step


def test_each_step_is_done_by_doing_it() -> None:
    guided_tour, steps = tour(), []
    for tour_state in (
        seen("services", 0), seen("services"), seen("services", only_problems=True), seen("incident"), seen("run"),
        seen("incident"), seen("plan"), seen("preview"), seen("recovery"), seen("recovery", 0),
    ):  # fmt: skip
        guided_tour.notice(tour_state)
        steps.append(guided_tour.step)
    assert [0, 0, 1, 2, 3, 3, 4, 4, 4, 5] == steps
    assert guided_tour.title.startswith("TOUR 5/5  Done in ")


def test_who_runs_ahead_has_done_what_lies_before() -> None:
    guided_tour = tour()
    guided_tour.notice(seen("plan"))
    assert (4, "TOUR 5/5  Start it, and see it verified") == (guided_tour.step, guided_tour.title)


@each_row("step", range(len(NAMES) - 1))
def test_a_dialog_opened_before_its_step_is_only_viewed(step: int) -> None:
    """Its keys are those of the box: no line may send a person to a screen that lies under it."""
    guided_tour = tour()
    guided_tour.had_incident = True
    for _ in range(step):
        guided_tour.skip()
    for text in ("", "type INC-0412"):
        output = guided_tour.text(TourState("preview", incidents=1, must_type=text), key)
        assert f"Nothing is sent yet. {key('preview', 'back')} closes it" == output


def test_a_calm_start_is_no_end() -> None:
    guided_tour = tour()
    guided_tour.notice(seen("services", 0))
    assert not guided_tour.is_done
    assert "wait for it" in guided_tour.text(seen("services", 0), key)


def test_who_started_a_plan_is_not_sent_to_start_it_again() -> None:
    guided_tour = tour()
    guided_tour.notice(seen("plan"))
    assert "asks before it starts" in guided_tour.text(seen("plan"), key)
    guided_tour.take_plans({1: "running"})
    for place in ("plan", "incident", "services", "run"):
        assert f"{key(place, 'incidents')} shows its status" in guided_tour.text(seen(place), key)


def test_it_never_contradicts_the_header() -> None:
    """It said "Done … Repaired" below a header that said "1 will miss · 1 incident"."""
    progress = tour()
    progress.notice(seen("plan"))
    progress.take_plans({1: "done"})
    progress.notice(seen("run"))
    assert 4 == progress.step
    assert "shows the incident that is still open" in progress.text(seen("run"), key)
    at_risk = TourState("run", incidents=0, at_risk=("Supply plan",))
    progress.notice(at_risk)
    assert 4 == progress.step
    assert "until no service is at risk" in progress.text(at_risk, key)
    progress.notice(seen("run", 0))
    assert progress.is_done
    assert ("Repaired. Expected on time: Supply plan", True) == (progress.recap(CONTEXT.hm), progress.awaits_plans)
    progress.take_plans({1: "done"}, repaired())
    assert "Failed 03:12, repaired 03:26. Expected on time: Supply plan" == progress.recap(CONTEXT.hm)
    assert not progress.awaits_plans
    assert "then .venv/bin/headway init" in progress.text(seen("run", 0), key)
    assert "shows what needs attention now" in progress.text(at_risk, key)


def test_the_clock_waits_from_the_incident_to_the_first_plan_unless_the_tour_is_left() -> None:
    progress, waits = tour(), []
    for state, plans in (
        (seen("services", 0), ()), (seen("services"), ()), (seen("incident"), ()), (seen("plan"), ()),
        (seen("preview"), ()), (seen("recovery"), ("running",)), (seen("recovery", 0), ("running",)),
    ):  # fmt: skip
        progress.take_plans(dict(enumerate(plans, 1)))
        progress.notice(state)
        waits.append(progress.is_being_read)
    assert [False, True, True, True, True, False, False] == waits
    guided_tour = tour()
    guided_tour.notice(seen("services"))
    guided_tour.on = False
    assert not guided_tour.is_being_read


def _all_is_good(night: Night) -> None:
    night.reads.head = night.reads.head._replace(open_incidents=0)
    night.reads.services_ = []
    night.reads.changed()


def _came_too_late(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7, state="done")]


def test_the_recap_names_what_was_delivered_since() -> None:
    """Also after noon, when the services begin their next business date."""
    progress = tour()
    progress.notice(TourState("services", incidents=1, at_risk=("Daily revenue", "Supply plan", "Price list")))
    progress.notice(seen("recovery", 0))
    progress.take_plans({1: "done"}, repaired())
    outcomes = ("Supply plan", "Delivered on time"), ("Price list", "Delivered late"), ("Churn", "Delivered on time")
    progress.notice(TourState("recovery", delivered=outcomes))
    progress.notice(seen("recovery", 0))
    assert progress.recap(CONTEXT.hm) == (
        "Failed 03:12, repaired 03:26. Expected on time: Daily revenue. Delivered on time: Supply plan."
        " Delivered late: Price list"
    )


@on_the_night(tour=tour())
async def test_the_tour_is_given_the_deliveries(night: Night) -> None:
    await night.see("TOUR 1/5")
    progress = night.app.tour
    assert progress is not None
    await night.until(lambda: bool(progress.delivered), "the deliveries")
    assert {"Delivered on time"} == set(progress.delivered.values())


def test_a_repair_ends_it_though_the_plan_still_holds_later_starts() -> None:
    guided_tour = tour()
    guided_tour.notice(seen("services", 1))
    guided_tour.take_plans({1: "running"})
    guided_tour.notice(seen("recovery", 1))
    assert guided_tour.step < len(NAMES)
    guided_tour.take_plans({1: REPAIRED})
    guided_tour.notice(seen("recovery", 2))
    assert guided_tour.step < len(NAMES)
    guided_tour.notice(seen("recovery", 1))
    assert guided_tour.step == len(NAMES)
    assert guided_tour.awaits_plans
    assert "The plan finishes by itself" in guided_tour.text(seen("recovery", 0), key)
    guided_tour.take_plans({1: "done"}, repaired())
    assert "Above: the recap of the plan. Your own estate: ^C, then .venv/bin/headway init" == guided_tour.text(
        seen("recovery", 0), key
    )
    assert ":plan 1 opens the recap. Your own estate: ^C, then .venv/bin/headway init" == guided_tour.text(
        seen("services", 0), key
    )
    assert not guided_tour.awaits_plans


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_a_plan_that_waits_for_a_person_has_no_recap_yet(state: str) -> None:
    guided_tour = tour()
    guided_tour.notice(seen("plan"))
    guided_tour.take_plans({1: state})
    assert f"Plan 1 is {state}: r resumes it" == guided_tour.text(seen("recovery"), key)
    guided_tour.notice(seen("recovery", 0))
    guided_tour.take_plans({1: state}, repaired())
    assert f"Plan 1 is {state}: r resumes it" == guided_tour.text(seen("recovery", 0), key)
    assert f"Plan 1 is {state}: :plan 1, then r resumes it" == guided_tour.text(seen("services", 0), key)
    assert guided_tour.awaits_plans


def test_the_recap_is_in_the_zone_that_the_console_shows_now() -> None:
    progress, clock = tour(), ZonedClock(ZoneInfo(ZONE))
    ctx = RenderContext(NOW, clock, GlyphSet())
    progress.notice(seen("services", 1))
    progress.notice(seen("recovery", 0))
    progress.take_plans({1: "done"}, repaired())
    assert progress.recap(ctx.hm).startswith("Failed 03:12, repaired 03:26.")
    clock.mode = ZoneMode.UTC
    assert progress.recap(ctx.hm).startswith("Failed 02:12, repaired 02:26.")


@on_the_night(tour=GuidedTour(lambda: 0.0, step=4), prepare=_came_too_late)
async def test_a_plan_that_left_something_red_ends_no_tour(night: Night) -> None:
    """It said "Done, proved" beside "STAYS OPEN, not saved"."""
    night.app.navigation.open_plan(7)
    await night.see("TOUR 5/5  Start it", "STAYS OPEN", "later jobs had started: r on the incident plans their reruns")
    _all_is_good(night)
    await night.see("TOUR 5/5  Done in", "Expected on time: ")


@pytest.mark.deep
@on_the_night(tour=GuidedTour(lambda: 0.0, step=4))
async def test_the_tour_ends_wherever_one_is_once_all_is_good(night: Night) -> None:
    await night.see("TOUR 5/5  Start it", "2 then r shows the plan")
    night.reads.plans_ = [plan_of(draft(), 7)]
    await night.see("runs by itself")
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, members=())
    await night.see("Repaired. The forecasts are computed again")
    night.reads.plans_ = [plan_of(draft(), 7, state="done")]
    await night.see("2 shows the incident that is still open")
    _all_is_good(night)
    await night.see("TOUR 5/5  Done in", "Expected on time: ")


@on_the_night(tour=GuidedTour(lambda: 0.0, step=4))
async def test_at_its_end_services_shows_all_rows_again(night: Night) -> None:
    """Its own key had left an empty list of the estate that was just saved."""
    await night.act("problems")
    await night.see("only problems")
    night.reads.plans_ = [plan_of(draft(), 7, state="done")]
    _all_is_good(night)
    await night.see("TOUR 5/5  Done in")
    await night.wait_until_hidden("only problems")


def test_it_stops_its_clock_when_it_is_done_and_lists_the_skipped_steps() -> None:
    guided_tour = tour()
    for _ in NAMES:
        guided_tour.skip()
    assert guided_tour.took == guided_tour.took
    assert "(5 skipped)" in guided_tour.text(seen("services", 0), key)
    guided_tour.skip()
    assert 5 == guided_tour.step


@each_row("where", [*key_table.SCREENS, "preview"])
@each_row("step", range(len(NAMES) + 1))
def test_every_line_fits_80_cells_wherever_one_is(step: int, where: str) -> None:
    for incidents, plans in ((0, ()), (1, ()), (1, ("running",)), (1, ("done",)), (1, ("short",))):
        guided_tour = tour()
        guided_tour.had_incident = bool(incidents)
        guided_tour.take_plans(dict(enumerate(plans, 1)))
        for _ in range(step):
            guided_tour.skip()
        for text in ("", "type INC-10412", "enter a reason"):
            assert len(guided_tour.text(TourState(where, False, incidents, text), key)) <= ROOM
        assert len(guided_tour.title) <= 56


@pytest.mark.deep
@on_the_night(tour=tour())
async def test_the_whole_tour_by_keys(night: Night) -> None:
    await night.see("TOUR 1/5  See what is at risk", "! shows only what needs attention")
    await night.act("problems")
    await night.see("TOUR 2/5  Open the incident", "↵ opens its incident")
    await night.act("open")
    await night.see("TOUR 3/5  See where it spreads", "g shows the jobs it affects")
    await night.act("lineage")
    await night.see("TOUR 4/5  Plan the repair", "Esc goes back")
    await night.act("back")
    await night.see("r shows a plan")
    await night.act("recover")
    await night.see("TOUR 5/5  Start it", "asks before it starts")
    await night.act("start")
    await night.see("Start the plan", "selects Start the plan, then ↵ starts it")
    await night.press("down", "enter")
    await night.see("PLAN 1 running", "Its scheduler confirms the rerun")
    _all_is_good(night)
    await night.see("TOUR 5/5  Done in", "headway init")


@on_the_night(tour=tour())
async def test_it_is_left_comes_back_and_can_be_skipped(night: Night) -> None:
    await night.see("TOUR 1/5")
    await night.act("tour_skip")
    await night.see("TOUR 2/5")
    await night.act("tour")
    await night.wait_until_hidden("TOUR")
    await night.see("the tour waits; ^T comes back to it")
    await night.act("incidents")
    await night.see("INC-0412")
    await night.act("tour_skip")
    await night.see("the tour was left; its key brings it back")
    await night.act("tour")
    await night.see("TOUR 2/5")


def _tier_one(night: Night) -> None:
    plan_draft = night.requests.draft
    [first, *others] = plan_draft.steps
    step = dataclasses.replace(first, first_tier=("daily-revenue",))
    night.requests.draft = dataclasses.replace(plan_draft, steps=(step, *others))


@on_the_night(tour=tour(), prepare=_tier_one)
async def test_where_a_name_is_typed_first_the_tour_says_that_and_no_other_key(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("recover")
    await night.see("PLAN INC-0412", "4 steps")
    await night.act("start")
    await night.see("TOUR 5/5", "type INC-0412 ↵ an optional reason, then ↵ starts it")
    assert "selects Start the plan, then ↵ starts it" not in night.text


def _wants_why(night: Night) -> None:
    night.requests.wants_why = True


@on_the_night(tour=tour(), prepare=_wants_why)
async def test_where_a_reason_is_required_the_tour_says_so(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("recover")
    await night.see("PLAN INC-0412", "4 steps")
    await night.act("start")
    await night.see("TOUR 5/5", "required", "enter a reason, then ↵ starts it")


def _without_engine(night: Night) -> None:
    night.reads.head = night.reads.head._replace(engine=night.reads.head.engine._replace(alive=False))


@on_the_night(tour=tour(), prepare=_without_engine)
async def test_once_the_engine_of_the_demo_has_stopped_the_tour_promises_nothing(night: Night) -> None:
    await night.see("Supply plan", "The engine of the demo has stopped: quit and start again")


WAITS: list[bool] = []


@pytest.mark.deep
@on_the_night(set_clock_waiting=WAITS.append)
async def test_the_clock_of_a_demo_waits_for_its_key_and_while_a_dialog_is_open(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("demo_pause")
    await night.see("the clock of the demo is stopped; ^O resumes it")
    await night.until(lambda: WAITS == [True], "the stop")
    await night.act("demo_pause")
    await night.until(lambda: WAITS == [True, False], "the go")
    await night.act("recover")
    await night.see("4 steps")
    await night.act("start")
    await night.until(lambda: WAITS == [True, False, True], "the stop for the dialog")
    await night.press("down", "enter")
    await night.see("PLAN 1 running")
    await night.until(lambda: WAITS == [True, False, True, False], "the go once it is sent")


@on_the_night()
async def test_only_a_demo_has_a_clock_that_stops(night: Night) -> None:
    await night.see("Supply plan")
    await night.act("demo_pause")
    await night.see("only a demo has a clock that can stop")


def _in_replay(night: Night) -> None:
    night.reads.head = night.reads.head._replace(replay=True)


@on_the_night(prepare=_in_replay)
async def test_a_demo_without_its_tour_says_how_one_gets_it(night: Night) -> None:
    await night.see("REPLAY")
    await night.press("ctrl+t")
    await night.see("Tour disabled (--no-tour)")


@on_the_night(tour=tour(), ascii=True)
async def test_in_plain_ascii_it_is_letters(night: Night) -> None:
    await night.see("TOUR 1/5")
    await night.act("tour_skip")
    await night.see("Enter opens its incident")
    assert "".join(line for line in night.text.splitlines() if "TOUR" in line).isascii()


@on_the_night()
async def test_outside_of_the_demo_its_keys_say_where_it_is(night: Night) -> None:
    await night.see("Supply plan")
    assert "TOUR" not in night.text
    await night.act("tour")
    await night.see("the tour belongs to the recorded night: headway demo")


@on_the_night(size=(80, 24), tour=tour())
async def test_a_terminal_that_becomes_too_small_and_large_again_has_it_back(night: Night) -> None:
    await night.see("TOUR 1/5")
    await night.pilot.resize_terminal(40, 10)
    await night.see("terminal too small")
    assert "TOUR" not in night.text
    await night.pilot.resize_terminal(80, 24)
    await night.see("TOUR 1/5")


@on_the_night(size=(60, 16), tour=tour())
async def test_its_line_is_broken_where_it_is_too_long_and_never_cut(night: Night) -> None:
    await night.see("TOUR 1/5", "One job failed, two services are at risk. ! shows only\n what needs attention")


STATES = {
    "begins": (("see:TOUR 1/5",), "only what needs attention"),
    "incident": (("see:Supply plan", "!", "see:TOUR 2/5", "enter"), "TOUR 3/5"),
    "box": (("see:Supply plan", "r", "see:4 steps", "enter"), "starts it"),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_at_80_by_24(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state], SMALL, tour=tour())


def test_at_120_by_36(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, *STATES["begins"], WIDE, tour=tour())
