"""How a plan goes on: rows and the time in, the next moves out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.recovery.execution import next_moves
from console.domain.plan import (
    BeginWait,
    ChangePlanState,
    EndStep,
    PlanProgress,
    RequestStep,
    StepPeriod,
    StepProgress,
    StepRun,
    is_outdated,
)
from tests.factories import at, minutes

NOW = at("04:00")
RED = StepRun("failed", "native", False, at("03:00"), at("03:10"))


def step(place: int, *after: int, state: str = "planned", **more: Any) -> StepProgress:
    facts: dict[str, Any] = {
        "id": place, "verb": "rerun", "job": f"s/j{place}", "system": "s", "run_id": place, "wait_s": 0.0, "due": None,
        "action_key": None, "action_state": "", "action_text": "", "run": RED,
        "others": "",
    }  # fmt: skip
    return StepProgress(place=place, after=after, state=state, **(facts | more))


def plan(*steps: StepProgress, state: str = "running", at_once: int = 1) -> PlanProgress:
    return PlanProgress(1, "recovery", "repair", 1, state, "mara", at("03:30"), at_once, steps)


def moves(progress: PlanProgress, now: Any = NOW) -> list[tuple[str, Any]]:
    """Each move in short: what, and to which step or state."""
    results: list[tuple[str, Any]] = []
    for move in next_moves(progress, now):
        if isinstance(move, RequestStep | BeginWait):
            results.append((type(move).__name__, move.step.place))
        elif isinstance(move, EndStep):
            results.append((move.state, move.step.place))
        elif isinstance(move, ChangePlanState):
            results.append(("plan", move.state))
    return results


GOOD = StepRun("succeeded", "native", False, at("03:40"), at("03:50"))


def test_the_first_step_is_requested_and_those_that_wait_for_it_are_not() -> None:
    assert [("RequestStep", 1)] == moves(plan(step(1), step(2, 1), step(3, 2)))


def test_a_verified_step_lets_the_next_one_go() -> None:
    step_progress = step(1, state="requested", action_state="verified", action_text="succeeded (native)")
    assert [("verified", 1), ("RequestStep", 2)] == moves(plan(step_progress, step(2, 1)))


def test_while_an_action_is_under_way_its_step_waits() -> None:
    for state in ("requested", "sending", "sent", "unknown"):
        assert [] == moves(plan(step(1, state="requested", action_state=state), step(2, 1)))


def test_the_first_failed_step_stops_the_plan_and_nothing_more_is_requested() -> None:
    red = step(1, state="requested", action_state="failed", action_text="exit 1")
    progress = plan(red, step(2, 1), step(3, system="other"))
    assert [("failed", 1), ("plan", "stopped")] == moves(progress)
    further = "headway plan resume 1 (requests failed steps again), or plan abort"
    assert ChangePlanState("stopped", "step 1, s/j1: exit 1", further) == next_moves(progress, NOW)[-1]


def test_a_stopped_plan_names_the_period_and_region_of_its_failed_step() -> None:
    period = StepPeriod("2026-11-20T02:00:00Z", "EU")
    stopped = next_moves(plan(step(1, state="failed", text="exit 1", period=period)), NOW)[-1]
    assert isinstance(stopped, ChangePlanState)
    assert "step 1, s/j1 2026-11-20 02:00Z EU: exit 1" == stopped.text


def test_only_a_wait_that_depends_on_steps_to_come_makes_a_plan_outdated() -> None:
    """Resuming runs again what a wait depends on, also through another step; another branch does not repair it."""
    for after, is_replaced in (((1,), False), ((2,), True), ((3,), True)):
        wait = step(4, *after, verb="wait", run=RED)
        other = step(3, 2, verb="release")
        progress = plan(step(1, state="verified"), step(2, state="failed"), other, wait, state="stopped")
        assert bool(progress.outdated) is is_replaced, after


@given(
    st.lists(st.tuples(st.sampled_from(["planned", "verified"]), st.booleans(), st.sets(st.integers(1, 6))), max_size=6)
)
def test_a_plan_is_outdated_by_the_steps_before_its_waits(drawn: Any) -> None:
    """A step waits for earlier ones: also where they wait in a circle, or for a step that is not in the plan."""
    steps = [
        step(place, *after, state=state, verb="wait" if is_wait else "rerun")
        for place, (state, is_wait, after) in enumerate(drawn, start=1)
    ]
    pending = {each.place for each in steps if each.verb == "rerun" and each.state == "planned"}
    waits = [each for each in steps if each.verb == "wait" and each.state == "planned"]
    before: dict[int, set[int]] = {}
    for each in steps:
        near = {place for place in each.after if place < each.place}
        before[each.place] = near.union(*(before[place] for place in near))
    assert is_outdated(steps) is any(pending & before[wait.place] for wait in waits)


def test_a_step_that_ends_in_the_same_turn_is_not_to_come() -> None:
    """Step 1 is verified now: what waits for it alone is not repaired by an abort."""
    good = step(1, state="requested", action_state="verified", action_text="succeeded")
    red = step(2, state="requested", action_state="failed", action_text="exit 1")
    stopped = next_moves(plan(good, red, step(3, 1, verb="wait", run=RED)), NOW)[-1]
    further = "headway plan resume 1 (requests failed steps again), or plan abort"
    assert ChangePlanState("stopped", "step 2, s/j2: exit 1", further) == stopped


def test_a_step_that_failed_before_the_plan_was_moved_still_stops_it() -> None:
    """The engine died between the two."""
    assert [("plan", "stopped")] == moves(plan(step(1, state="failed"), step(2, system="other")))


def test_what_was_under_way_when_a_plan_stopped_or_was_paused_goes_on_to_its_end() -> None:
    step_progress = step(2, state="requested", action_state="verified")
    for state in ("stopped", "paused"):
        assert [("verified", 2)] == moves(plan(step(1, state="failed"), step_progress, step(3, 2), state=state))


def test_a_paused_plan_of_which_nothing_is_left_is_done() -> None:
    """A paused plan without remaining steps is done, and does not block a new plan for its incident."""
    last = step(2, state="requested", action_state="verified")
    assert [("verified", 2), ("plan", "done")] == moves(plan(step(1, state="verified"), last, state="paused"))


def test_an_aborted_plan_drops_the_steps_it_has_not_requested() -> None:
    assert [("abandoned", 2)] == moves(
        plan(step(1, state="requested", action_state="sent"), step(2, 1), state="aborted")
    )


def test_a_plan_whose_steps_are_all_over_is_done() -> None:
    over = (step(1, state="verified"), step(2, state="verified"))
    assert [("plan", "done")] == moves(plan(*over))


def test_a_run_that_became_good_by_other_means_is_not_sent_again() -> None:
    progress = plan(step(1, run=GOOD), step(2, 1))
    assert [("verified", 1), ("RequestStep", 2)] == moves(progress)
    assert "good by other means: succeeded (native)" == next_moves(progress, NOW)[0].text  # type: ignore[union-attr]


def test_what_was_good_before_the_plan_or_reads_stale_data_or_began_too_early_is_sent() -> None:
    before = replace(GOOD, started=at("03:10"), ended=at("03:20"))
    for run in (before, replace(GOOD, stale=True), None):
        assert [("RequestStep", 1)] == moves(plan(step(1, run=run)))
    early = step(2, 1, run=GOOD)
    assert [("RequestStep", 2)] == moves(plan(step(1, state="verified", run=replace(GOOD, ended=at("03:45"))), early))


def test_what_was_red_when_the_person_saw_it_and_good_before_they_confirmed_is_not_sent() -> None:
    """Its scheduler ran it again at 03:10, unseen by any poll before the plan was started at 03:30."""
    before = replace(GOOD, started=at("03:10"), ended=at("03:20"))
    assert [("verified", 1), ("plan", "done")] == moves(plan(step(1, run=before, state_at_start="failed")))
    for run in (before, replace(before, stale=True)):
        assert [("RequestStep", 1)] == moves(plan(step(1, run=run, state_at_start="succeeded")))
    assert [("RequestStep", 1)] == moves(plan(step(1, run=replace(before, stale=True), state_at_start="failed")))


def test_a_step_that_was_refused_as_its_run_is_good_by_now_is_over_and_the_plan_goes_on() -> None:
    progress = plan(step(1, state="requested", run=GOOD, action_state="refused", action_text="…"), step(2, 1))
    assert [("verified", 1), ("RequestStep", 2)] == moves(progress)
    assert "good by other means: succeeded (native); nothing was sent" == next_moves(progress, NOW)[0].text  # type: ignore[union-attr]


def test_a_cancel_is_not_needed_once_its_run_has_ended() -> None:
    ended = StepRun("failed", "native", False, at("03:00"), at("03:40"))
    assert [("verified", 1), ("plan", "done")] == moves(plan(step(1, verb="cancel", run=ended)))


def test_at_most_so_many_writes_as_the_plan_allows_are_in_flight_at_a_system() -> None:
    three = (step(1), step(2), step(3, system="other"))
    assert [("RequestStep", 1), ("RequestStep", 3)] == moves(plan(*three))
    assert [("RequestStep", 1), ("RequestStep", 2), ("RequestStep", 3)] == moves(plan(*three, at_once=2))
    assert [("RequestStep", 3)] == moves(plan(step(1, state="requested", action_state="sent"), *three[1:]))


def test_a_step_waits_for_somebody_elses_action_on_its_run() -> None:
    assert [] == moves(plan(step(1, others="jo rerun")))


def test_a_run_that_runs_already_is_waited_for_and_must_end_well() -> None:
    running = StepRun("running", "native", False, at("03:20"), None)
    waits = step(1, verb="wait", run=running)
    assert [] == moves(plan(waits, step(2, 1)))
    assert [("verified", 1), ("RequestStep", 2)] == moves(plan(replace(waits, run=GOOD), step(2, 1)))
    red = replace(GOOD, state="failed")
    assert [("failed", 1), ("plan", "stopped")] == moves(plan(replace(waits, run=red), step(2, 1)))


def test_a_run_that_is_still_to_come_is_waited_for() -> None:
    assert [] == moves(plan(step(1, verb="wait", run=None), step(2, 1)))


# What its own scheduler starts once a step before it is good.

RERUN = StepRun("succeeded", "native", False, at("03:50"), at("03:59"))
LOADED = step(1, state="verified", run=RERUN)
FOLLOWS = step(2, 1, started_by=(1,), polled=at("04:00"))


def step_polled(step_run: StepRun) -> StepProgress:
    return replace(FOLLOWS, due=at("04:00:30"), polled=at("04:01"), newest=step_run)


def test_a_native_start_is_awaited_before_a_step_is_requested() -> None:
    [move] = next_moves(plan(LOADED, FOLLOWS), NOW)
    assert isinstance(move, BeginWait)
    assert (NOW + minutes(0.5), "looks first whether its own scheduler starts it now") == (move.until, move.text)
    slow = plan(LOADED, replace(FOLLOWS, poll_every_s=60.0))
    assert BeginWait(slow.steps[1], NOW + minutes(2), move.text) == next_moves(slow, NOW)[0]


def test_a_step_is_requested_only_once_a_later_poll_has_seen_no_start() -> None:
    waiting = replace(FOLLOWS, due=at("04:00:30"))
    assert [] == moves(plan(LOADED, waiting), at("04:05"))
    assert [("RequestStep", 2)] == moves(plan(LOADED, replace(waiting, polled=at("04:01"))), at("04:01"))


def test_a_native_run_replaces_the_step() -> None:
    begun = StepRun("running", "native", False, at("03:59"), None)
    assert [] == moves(plan(LOADED, step_polled(begun)), at("04:10"))
    assert [] == moves(plan(LOADED, step_polled(replace(begun, state="queued", started=None))), at("04:10"))
    good = plan(LOADED, step_polled(replace(begun, state="succeeded", ended=at("04:10"))))
    assert [("verified", 2), ("plan", "done")] == moves(good, at("04:11"))
    assert "its own scheduler started it: succeeded (native)" == next_moves(good, NOW)[0].text  # type: ignore[union-attr]
    red = plan(LOADED, step_polled(replace(begun, state="failed", ended=at("04:10"))))
    assert [("failed", 2), ("plan", "stopped")] == moves(red, at("04:11"))


def test_a_run_that_began_before_its_upstream_ran_again_or_read_too_early_does_not_stand_in() -> None:
    for old in (StepRun("succeeded", "native", False, at("03:20"), at("03:30")), replace(RERUN, stale=True)):
        progress = plan(LOADED, replace(FOLLOWS, due=at("04:00:30"), polled=at("04:01"), newest=old))
        assert [("RequestStep", 2)] == moves(progress, at("04:01"))


def test_nothing_is_awaited_of_a_step_that_was_only_marked() -> None:
    assert [("RequestStep", 2)] == moves(plan(replace(LOADED, verb="mark_ok"), FOLLOWS))


def test_a_step_whose_run_its_scheduler_set_off_behind_the_step_before_waits_for_that_run() -> None:
    """A rerun of the one starts the other again at once: a rerun of both would be refused."""
    first = step(1, state="verified", run=GOOD)
    again = StepRun("running", "native", False, at("03:50"), None)
    assert [] == moves(plan(first, step(2, 1, run=again, state_at_start="failed")))
    good, bad = replace(again, state="succeeded", ended=at("03:58")), replace(again, state="failed", ended=at("03:58"))
    assert [("verified", 2), ("plan", "done")] == moves(plan(first, step(2, 1, run=good, state_at_start="failed")))
    assert [("RequestStep", 2)] == moves(plan(first, step(2, 1, run=bad, state_at_start="failed")))
    before = replace(again, started=at("03:30"))
    assert [("RequestStep", 2)] == moves(plan(first, step(2, 1, run=before, state_at_start="failed")))


def test_what_its_own_clock_has_yet_to_start_is_run_again_only_where_it_came_too_early() -> None:
    first = step(1, state="verified", run=GOOD)
    to_come = StepRun("planned", "inferred", False, None, None)
    assert [] == moves(plan(first, step(2, 1, run=to_come)))
    early = StepRun("succeeded", "native", True, at("03:40"), at("03:45"))
    assert [("RequestStep", 2)] == moves(plan(first, step(2, 1, run=early)))
    late = StepRun("succeeded", "native", False, at("03:55"), at("03:58"))
    assert [("verified", 2), ("plan", "done")] == moves(plan(first, step(2, 1, run=late)))


# a downstream that is held meanwhile


def holding(hold: dict[str, Any] | None = None, rerun: str = "requested", **more: Any) -> PlanProgress:
    """A hold of load, beside it a rerun of what it reads, then its release and its run."""
    first: dict[str, Any] = {"verb": "hold", "wait_s": 2400.0, **(hold or {})}
    return plan(
        step(1, job="s/load", job_id=3, system="flow", run=None, **first),
        step(2, job_id=1, state=rerun, action_state="sent" if rerun == "requested" else ""),
        step(3, 1, 2, job="s/load", job_id=3, system="flow", verb="release", run=None),
        step(4, 3, job="s/load", job_id=3, system="flow", verb="wait", run=more.pop("run", None)),
        **more,
    )


HELD = {"state": "verified", "action_key": "headway-1", "action_state": "verified", "hold_state": "held"}


def test_a_hold_is_placed_shortly_before_the_start_that_it_prevents() -> None:
    assert [("BeginWait", 1)] == moves(holding())
    due = {"due": at("04:10")}
    assert [] == moves(holding(due))
    assert [("RequestStep", 1)] == moves(holding(due), at("04:10"))


def test_nothing_is_held_where_the_repair_ends_before_its_start() -> None:
    progress = holding({"due": at("04:10")}, rerun="verified")
    assert [("verified", 1), ("verified", 3)] == moves(progress)
    ends = [move.text for move in next_moves(progress, NOW) if isinstance(move, EndStep)]
    assert ["inputs were good", "it was not held"] == [text.partition(";")[0] for text in ends]


def test_what_has_begun_by_its_own_clock_is_not_held_any_more() -> None:
    running = StepRun("running", "native", False, at("04:00"), None)
    assert [("verified", 1)] == moves(holding({"due": at("04:00")}, run=running))


def test_a_hold_that_its_scheduler_refused_as_its_run_had_begun_does_not_stop_the_plan() -> None:
    refused = {"state": "requested", "action_key": "headway-1", "action_state": "refused", "action_text": "it runs now"}
    running = StepRun("running", "native", False, at("04:00"), None)
    assert [("verified", 1)] == moves(holding(refused, run=running))
    assert [("failed", 1), ("plan", "stopped")] == moves(holding(refused))
    over = {**refused, "state": "verified", "hold_state": "failed"}
    [release] = [
        move for move in next_moves(holding(over, rerun="verified", run=running), NOW) if isinstance(move, EndStep)
    ]
    assert "it was not held; nothing was sent" == release.text


def test_what_is_held_is_let_go_once_what_it_reads_is_good_and_it_is_known_to_be_held() -> None:
    assert [] == moves(holding(HELD))
    assert [("RequestStep", 3)] == moves(holding(HELD, rerun="verified"))
    assert [] == moves(holding({**HELD, "hold_state": "placing"}, rerun="verified"))
    assert [("verified", 3)] == moves(holding({**HELD, "hold_state": "released"}, rerun="verified"))


def test_a_plan_releases_its_hold_though_a_person_requests_another_beside_it() -> None:
    """A plan releases its own hold before it reports that a person's hold is still in force."""
    beside = {"held_by": "mara until 2026-11-20 12:00Z"}
    assert [("RequestStep", 3)] == moves(holding({**HELD, **beside}, rerun="verified"))
    assert [] == moves(holding({**HELD, **beside, "hold_state": ""}, rerun="verified"))
    for over in ({"hold_state": "released"}, {"action_state": "refused", "hold_state": "failed"}):
        [release] = [move for move in next_moves(holding({**HELD, **beside, **over}, rerun="verified"), NOW)
                     if isinstance(move, EndStep)]  # fmt: skip
        assert "it is held by mara until 2026-11-20 12:00Z, not by this plan: nothing was sent" in release.text


def test_a_plan_that_ends_early_says_what_it_leaves_held() -> None:
    progress = holding(HELD, state="aborted")
    [release, _] = [move for move in next_moves(progress, NOW) if isinstance(move, EndStep)]
    assert "it stays held until its hold ends: headway hold release s/load releases it" in release.text
    red = replace(
        progress,
        state="running",
        steps=(progress.steps[0], replace(progress.steps[1], state="failed"), *progress.steps[2:]),
    )
    assert "s/load stays held meanwhile" in next_moves(red, NOW)[-1].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "hold, release",
    [
        ({"state": "requested", "action_key": "headway-1", "action_state": "sent"}, ""),
        ({**HELD, "hold_state": ""}, ""),
        ({**HELD, "hold_state": "releasing"}, "failed"),
    ],
)
def test_pending_holds_and_failed_releases_are_reported_to_stay_held(hold: dict[str, Any], release: str) -> None:
    progress = holding(hold, rerun="failed")
    third = replace(progress.steps[2], action_state=release)
    stopped = replace(progress, steps=(*progress.steps[:2], third, progress.steps[3]))
    assert "s/load stays held meanwhile" in next_moves(stopped, NOW)[-1].text  # type: ignore[union-attr]


def test_a_hold_requested_again_is_not_put_off_behind_the_start_that_it_prevents() -> None:
    """Its wait began again with each resume."""
    progress = holding({"wait_s": 600.0})
    assert [progress.requested + timedelta(seconds=600)] == [
        move.until
        for move in next_moves(progress, progress.requested + timedelta(seconds=300))
        if isinstance(move, BeginWait)
    ]
    assert [("RequestStep", 1)] == moves(progress, progress.requested + timedelta(seconds=601))


def test_an_upstream_that_succeeded_in_the_same_evaluation_needs_no_hold() -> None:
    """After an engine was away both come at once: it was held for nothing."""
    progress = holding({"due": NOW})
    second = replace(progress.steps[1], action_state="verified")
    both = replace(progress, steps=(progress.steps[0], second, *progress.steps[2:]))
    assert [("verified", 2), ("verified", 1)] == moves(both)[:2]


def test_a_release_that_is_under_way_already_is_awaited_as_it_may_fail() -> None:
    assert [] == moves(holding({**HELD, "hold_state": "releasing"}, rerun="verified"))
    assert [("verified", 3)] == moves(holding({**HELD, "hold_state": "watching"}, rerun="verified"))
