"""The content of a night at one moment: always the same, never revoked, changed by actions only downstream."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.replay.client import SentAction
from connectors.replay.parse import JobKey
from connectors.replay.world import ReplayAttempt, world
from connectors.sdk.states import RunState
from tests.connectors.replay import nights
from tests.connectors.replay.nights import CALM, CHECK, EXTRACT, LOAD, SETTLE, at

NIGHT = nights.night()
AFTER = {EXTRACT: {LOAD, CHECK, SETTLE}, LOAD: {CHECK, SETTLE}, CHECK: set(), SETTLE: set(), CALM: set()}

hours = st.floats(12, 24).map(lambda hour: round(hour, 3))
reruns = st.lists(st.tuples(st.sampled_from(sorted(AFTER)), hours), max_size=4, unique_by=lambda item: item[1]).map(
    lambda rows: sorted((nights.rerun(job, hour, place) for place, (job, hour) in enumerate(rows)), key=_sent)
)


def _sent(action: SentAction) -> datetime:
    return action.sent_at


def last(job: JobKey, now: datetime, *actions: SentAction) -> list[ReplayAttempt]:
    """The attempts of the job's run of the last night."""
    return [item for item in world(NIGHT, actions, now) if item.job == job and item.due >= at(13)]


def states(job: JobKey, hour: float, *actions: SentAction) -> list[RunState | None]:
    return [item.ending.state if item.ending else None for item in last(job, at(hour), *actions)]


def test_a_run_is_not_there_before_its_start_open_in_between_and_ended_after() -> None:
    assert [] == states(EXTRACT, 14.99)
    assert [None] == states(EXTRACT, 15.01)
    assert [RunState.FAILED] == states(EXTRACT, 15.1)


def test_a_follower_by_the_clock_is_green_on_old_data_when_nothing_is_done() -> None:
    [load] = last(LOAD, at(17))
    assert load.ending is not None
    assert (RunState.SUCCEEDED, False) == (load.ending.state, load.ending.fresh)
    assert [RunState.FAILED] == states(SETTLE, 19)


def test_a_rerun_that_ends_before_the_followers_start_makes_them_good() -> None:
    early = nights.rerun(EXTRACT, 15.2)
    assert [RunState.FAILED, RunState.SUCCEEDED] == states(EXTRACT, 19, early)
    [load] = last(LOAD, at(19), early)
    assert load.ending is not None
    assert load.ending.fresh
    assert [RunState.SUCCEEDED] == states(CHECK, 19, early)
    assert [RunState.SUCCEEDED] == states(SETTLE, 19, early)


def test_a_rerun_that_is_still_running_at_the_followers_start_comes_too_late_for_it() -> None:
    late = nights.rerun(EXTRACT, 15.9)
    [load] = last(LOAD, at(19), late)
    assert load.ending is not None
    assert not load.ending.fresh
    assert [RunState.FAILED] == states(SETTLE, 19, late)


def test_followers_that_read_old_data_are_good_after_one_rerun_each_in_order() -> None:
    done = (nights.rerun(EXTRACT, 16.5, 1), nights.rerun(LOAD, 17.9, 2), nights.rerun(SETTLE, 18.5, 3))
    assert [RunState.SUCCEEDED, RunState.SUCCEEDED] == states(LOAD, 20, *done)
    assert [RunState.FAILED, RunState.SUCCEEDED] == states(SETTLE, 20, *done)


def test_a_job_that_another_one_starts_follows_each_of_its_successes() -> None:
    done = (nights.rerun(EXTRACT, 16.5, 1), nights.rerun(LOAD, 17, 2))
    assert [RunState.FAILED] == states(CHECK, 17, *done)
    assert [RunState.FAILED, RunState.SUCCEEDED] == states(CHECK, 20, *done)


def test_tasks_run_one_after_the_other_and_those_behind_a_failure_are_blocked() -> None:
    shown = {
        item.job[1]: item for item in world(NIGHT, (), at(17)) if item.job[1].startswith("check.") and item.due >= at(0)
    }
    endings = [shown[f"check.{name}"].ending for name in ("count", "compare", "tell")]
    assert [RunState.SUCCEEDED, RunState.FAILED, RunState.BLOCKED] == [ending.state for ending in endings if ending]
    assert shown["check.count"].ended_at == shown["check.compare"].started_at
    assert shown["check.tell"].started_at is None


def test_a_rerun_of_a_failed_dag_begins_at_the_failed_task() -> None:
    done = (nights.rerun(EXTRACT, 15.2, 1), nights.rerun(CHECK, 18, 2))
    failed_only = (nights.rerun(CHECK, 18, 2),)
    good = [item.job[1] for item in world(NIGHT, done, at(20)) if item.number == 2 and item.job[0] == "flow"]
    red = [item.job[1] for item in world(NIGHT, failed_only, at(20)) if item.number == 2 and item.job[0] == "flow"]
    assert ["check", "check.compare", "check.count", "check.tell"] == sorted(good)
    assert ["check", "check.compare", "check.tell"] == sorted(red)


@given(hours, hours, reruns)
def test_seen_records_are_never_withdrawn(item: float, other: float, actions: list[SentAction]) -> None:
    earlier, later = sorted((at(item), at(other)))
    before = {(entry.job, entry.run, entry.number): entry for entry in world(NIGHT, actions, earlier)}
    after = {(entry.job, entry.run, entry.number): entry for entry in world(NIGHT, actions, later)}
    for identity, value in before.items():
        now = after[identity]
        assert (value.queued_at, value.action_key) == (now.queued_at, now.action_key)
        assert value.started_at in (None, now.started_at)
        if value.ended_at is not None:
            assert value == now


@given(hours, reruns)
def test_the_world_is_the_same_every_time(hour: float, actions: list[SentAction]) -> None:
    assert world(NIGHT, actions, at(hour)) == world(nights.night(), tuple(actions), at(hour))


@given(st.sampled_from(sorted(AFTER)), hours, hours)
def test_an_action_changes_only_its_run_and_what_follows_it(job: JobKey, sent: float, hour: float) -> None:
    action = nights.rerun(job, sent)
    before, after = set(world(NIGHT, (), at(hour))), set(world(NIGHT, (action,), at(hour)))
    touched = {(item.job[0], item.job[1].partition(".")[0]) for item in before ^ after}
    assert touched <= {job, *AFTER[job]}
    assert all(item.changed_at >= action.sent_at for item in before ^ after)


@given(hours, hours, reruns)
def test_changes_since_an_instant_are_exactly_those_after_it(
    item: float, two: float, actions: list[SentAction]
) -> None:
    since, now = sorted((at(item), at(two)))
    assert [entry for entry in world(NIGHT, actions, now) if entry.changed_at >= since] == world(
        NIGHT, actions, now, since
    )


def test_a_rerun_of_an_old_run_ends_well_in_the_usual_time() -> None:
    action = SentAction("headway-0000000001", CALM, "2026-11-19T02:00:00Z", at(18))
    attempts = [item for item in world(NIGHT, (action,), at(23)) if item.job == CALM and item.run == action.run]
    assert [RunState.FAILED, RunState.SUCCEEDED] == [attempt.ending.state for attempt in attempts if attempt.ending]
    assert timedelta(seconds=930) == attempts[1].ended_at - attempts[1].started_at  # type: ignore[operator]
