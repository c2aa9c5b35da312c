"""Holds and triggers over a night: `extract` (03:10) feeds `load` (04:00), which is held for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState, Verb
from console.control.evaluate import evaluate
from console.control.holds.starts import LATE
from console.domain.decision import PolicyAction
from console.domain.dependency import DependencyMode, EngineDown
from console.domain.hold import HoldActionFacts, HoldFacts, HoldReason, HoldState
from console.domain.switches import Modes, SwitchState, switch_name
from tests.control.ledger import ended
from tests.control.stage import DUE, EXTRACT, LOAD, PERIOD, Stage, StagedAction, hold_edge
from tests.factories import at, estate, job, minutes, target
from tests.properties import examples
from tests.reasons import why_of, zoned
from tests.rows import each_row

HOUR = timedelta(hours=1)


def failed(stage: Stage) -> Stage:
    """The upstream fails at 03:12."""
    stage.when("03:12", lambda: stage.extract_ends(RunState.FAILED, "03:10", "03:12"))
    return stage


def repaired(stage: Stage, clock: str) -> Stage:
    """Its rerun succeeds then."""
    done = at(clock)
    stage.when(
        clock, lambda: stage.run(EXTRACT, "03:10", RunState.SUCCEEDED, started_at=done - minutes(1), ended_at=done)
    )
    return stage


def good(stage: Stage) -> Stage:
    stage.when("03:20", lambda: stage.extract_ends(RunState.SUCCEEDED, "03:10", "03:20"))
    return stage


def reason(stage: Stage) -> tuple[RunState, str]:
    run = stage.state(stage.load, "04:00")
    return run.state, why_of(run)


def test_nothing_is_held_where_the_upstream_is_good_in_time() -> None:
    stage = good(Stage())
    stage.until("04:30")
    assert ({}, [(DUE, "clock")]) == (stage.held, stage.started())


def test_a_downstream_is_held_from_its_lead_on_while_its_upstream_is_red() -> None:
    stage = failed(Stage())
    stage.until("03:49")
    assert {} == stage.held
    stage.until("04:30")
    hold = stage.hold()
    assert (HoldState.HELD, "reactive", at("03:50:30"), PERIOD) == (
        hold.state,
        hold.kind,
        hold.placed_at,
        hold.period_key,
    )
    assert ([], hold.key) == (stage.source.starts, stage.source.mark)
    held = f"held by Headway until {EXTRACT.name} is good (hold {hold.key})"
    assert (RunState.HELD, held) == reason(stage)
    assert at("10:00") == hold.until


def test_what_is_let_go_before_its_instant_is_started_by_its_own_clock() -> None:
    stage = repaired(failed(Stage()), "03:55")
    stage.until("05:00")
    assert ([(DUE, "clock")], [Verb.HOLD, Verb.RELEASE]) == (stage.started(), stage.sent())
    assert (HoldState.RELEASED, "its schedule starts it at 04:00 UTC") == (stage.hold().state, zoned(stage.hold().text))


def test_what_is_let_go_after_its_instant_is_started_once() -> None:
    stage = repaired(failed(Stage()), "04:30")
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("04:30") < started < at("04:33"))
    assert [Verb.HOLD, Verb.RELEASE, Verb.START] == stage.sent()
    start = next(action.action for action in stage.requested.values() if action.action.verb is Verb.START)
    assert (PERIOD, {"period_at": PERIOD}, "queue") == (start.period_key, start.parameters, start.overlap)
    assert HoldState.RELEASED is stage.hold().state


def test_a_start_of_ours_not_yet_reported_by_its_source_is_awaited_and_not_missed() -> None:
    """pg_cron begins within the next minute, Airflow when a slot is free."""
    stage = repaired(failed(Stage()), "04:30")
    stage.reports_after = minutes(2)
    stage.until("04:32")
    assert ([Verb.HOLD, Verb.RELEASE, Verb.START], HoldState.RELEASED) == (stage.sent(), stage.hold().state)
    assert (RunState.HELD, f"started by Headway: its run is awaited (hold {stage.hold().key})") == reason(stage)
    stage.until("06:00")
    assert RunState.SUCCEEDED is reason(stage)[0]


def test_a_start_of_ours_of_which_nothing_comes_is_missed_and_says_what_became_of_the_hold() -> None:
    stage = repaired(failed(Stage()), "04:30")
    stage.reports_after = 9 * HOUR
    stage.until("04:32")
    start = list(stage.requested.values())[-1]
    start.state, start.text, start.ended_at = "failed", "its run did not start within 1 h", at("04:33")
    stage.until("04:40")
    why = "started by Headway: its run did not start within 1 h"
    text = f"no start in the log by 04:05 UTC; {why} (hold {stage.hold().key})"
    assert (RunState.MISSED, text) == reason(stage)


def test_a_start_of_the_schedulers_own_after_the_release_is_enough() -> None:
    """Airflow makes up for the latest interval when a DAG wakes."""
    stage = repaired(failed(Stage()), "04:30")
    stage.when("04:31", lambda: stage.source.starts.append((stage.now, "clock")))
    stage.until("06:00")
    assert ([Verb.HOLD, Verb.RELEASE], "its run has started") == (stage.sent(), zoned(stage.hold().text))


def test_nothing_is_started_before_the_source_was_seen_after_the_release() -> None:
    """A poll that is late may bring the native start any moment."""
    stage = repaired(failed(Stage()), "04:30")
    stage.late = lambda now: at("04:31") <= now < at("05:10")
    stage.when("04:32", lambda: stage.source.starts.append((stage.now, "clock")))
    stage.until("06:00")
    assert ([(at("04:32"), "clock")], [Verb.HOLD, Verb.RELEASE]) == (stage.started(), stage.sent())


def test_one_hold_covers_all_upstreams_and_ends_when_the_last_succeeds() -> None:
    stock = job(3, "etl-hosts/db07:stock", "03:15")
    stage = repaired(failed(Stage(hold_edge(), hold_edge(up=stock), extra=(stock,))), "04:10")
    stage.when(
        "04:40", lambda: stage.run(stock, "03:15", RunState.SUCCEEDED, started_at=at("04:35"), ended_at=at("04:40"))
    )
    stage.until("04:39")
    assert (HoldState.HELD, []) == (stage.hold().state, stage.source.starts)
    stage.until("06:00")
    assert (1, HoldState.RELEASED) == (len(stage.source.starts), stage.hold().state)


def test_a_hold_whose_time_is_over_lets_go_and_starts_nothing_and_says_so() -> None:
    stage = failed(Stage(hold_edge(hold_for=HOUR)))
    stage.until("06:00")
    assert ([], None, HoldState.RELEASED) == (stage.source.starts, stage.source.mark, stage.hold().state)
    assert f"released at 05:00 UTC and not started; {EXTRACT.name} is not good" == zoned(stage.hold().text)
    assert f"{LOAD.name} was {zoned(stage.hold().text)}" == stage.events[-1]
    text = f"no start in the log by 04:05 UTC; {zoned(stage.hold().text)} (hold {stage.hold().key})"
    assert (RunState.MISSED, text) == reason(stage)


def test_what_could_be_let_go_only_after_its_time_is_not_started_any_more() -> None:
    """An engine that was down for hours must not start the night's jobs at noon."""
    stage = repaired(failed(Stage(hold_edge(hold_for=HOUR, engine_down=EngineDown.CLOSED))), "04:30")
    stage.crash = lambda now: at("04:05") <= now < at("05:30")
    stage.until("06:00")
    [over] = [hold for hold in stage.held.values() if hold.period_key == PERIOD]
    assert ([], "released at 05:30 UTC and not started; it was too late to start it") == (
        stage.source.starts,
        zoned(over.text),
    )


def test_what_was_let_go_in_time_is_not_started_hours_later() -> None:
    """The engine died between the release and the start, and was away until noon."""
    stage = repaired(failed(Stage(hold_edge(hold_for=HOUR))), "04:30")
    stage.crash = lambda now: at("04:31") <= now < at("05:30")
    stage.until("06:00")
    assert ([], HoldState.RELEASED) == (stage.source.starts, stage.hold().state)
    assert f"{LOAD.name} was released at 04:30 UTC and not started; it was too late to start it" == stage.events[-1]


def waiting(stage: Stage, clock: str) -> Stage:
    """What starts the downstream cannot be sent before then."""
    stage.waits = lambda action: action.verb is Verb.START and stage.now < at(clock)
    return stage


def ran_itself(stage: Stage, clock: str) -> Stage:
    """Its own run, whoever made it."""
    stage.when(clock, lambda: stage.source.starts.append((stage.now, "clock")))
    return stage


def test_a_start_that_waits_past_its_time_is_withdrawn_and_notified() -> None:
    stage = waiting(repaired(failed(Stage(hold_edge(hold_for=HOUR))), "04:30"), "05:30")
    stage.until("05:04")
    assert HoldState.STARTING is stage.hold().state
    stage.until("06:00")
    assert ([], "refused") == (stage.source.starts, list(stage.requested.values())[-1].state)
    assert f"{LOAD.name} was released at 04:30 UTC and not started; it was too late to start it" == stage.events[-1]


def test_a_waiting_start_is_withdrawn_when_the_held_run_appears() -> None:
    stage = ran_itself(waiting(repaired(failed(Stage()), "04:30"), "05:30"), "04:50")
    stage.until("05:00")
    assert (HoldState.RELEASED, "its run has started") == (stage.hold().state, zoned(stage.hold().text))
    assert "refused" == list(stage.requested.values())[-1].state
    stage.until("06:00")
    assert [(at("04:50"), "clock")] == stage.started()


def test_a_trigger_without_a_clock_that_waits_is_withdrawn_when_its_job_ran_by_itself() -> None:
    ready = job(2, "warehouse/load", target_id=2)
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER, down=ready), load=ready)), "04:10")
    ran_itself(waiting(stage, "05:30"), "05:10").until("05:20")
    assert (HoldState.RELEASED, "its run has started") == (stage.hold().state, zoned(stage.hold().text))
    stage.until("07:00")
    assert [(at("05:10"), "clock")] == stage.started()


def test_a_trigger_without_a_clock_that_waits_past_its_time_is_withdrawn() -> None:
    ready = job(2, "warehouse/load", target_id=2)
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER, down=ready, hold_for=HOUR), load=ready)), "04:10")
    waiting(stage, "05:30").until("07:00")
    assert ([], "not started; it was too late to start it") == (stage.source.starts, zoned(stage.hold().text))


def test_a_start_before_its_clock_that_waits_does_not_follow_the_run_that_a_person_made() -> None:
    stage = good(Stage(hold_edge(DependencyMode.TRIGGER), load=replace(LOAD, starts_held=True)))
    ran_itself(waiting(stage, "03:50"), "03:40").until("06:00")
    assert ([(at("03:40"), "clock")], HoldState.RELEASED) == (stage.started(), stage.hold().state)


def test_a_start_waits_for_a_poll_of_a_source_that_was_unreachable() -> None:
    """The next poll reports what it ran while it did not answer."""
    stage = ran_itself(waiting(repaired(failed(Stage()), "04:30"), "05:30"), "05:10")
    stage.late = lambda now: at("05:00") <= now < at("05:40")
    stage.until("06:00")
    assert ([(at("05:10"), "clock")], "its run has started") == (stage.started(), zoned(stage.hold().text))


def test_a_start_that_never_arrived_is_repeated_for_as_long_as_any_other() -> None:
    stage = repaired(failed(Stage(hold_edge(hold_for=HOUR))), "04:59")
    answers = iter([None, None, "not sent: no route to host"])
    stage.reply = lambda action: next(answers, None)
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("05:00") <= started < at("05:05"))


def by_mara(stage: Stage, hours: float) -> Stage:
    """A person holds it from 03:30 on, for so long."""
    stage.when("03:30", partial(mara_holds, stage, at("03:30") + hours * HOUR))
    return stage


def mara_holds(stage: Stage, until: datetime) -> None:
    hold = HoldFacts(
        key="headway-mara", job_id=LOAD.id, upstream_id=None, business_date=None, kind="person",
        mode=DependencyMode.HOLD,
        state=HoldState.PLACING, held_by="mara", why="", until=until, due_at=None, period_key="",
        reason=HoldReason.BY_PERSON, detail=("mara",),
    )  # fmt: skip
    stage.held[hold.key] = hold
    stage.requested[hold.key] = StagedAction(PolicyAction(hold.key, Verb.HOLD, LOAD.id), stage.now)


def test_a_start_between_the_sending_of_a_hold_and_its_verification_is_held_and_not_missed() -> None:
    hold = HoldFacts(
        "headway-mara", EXTRACT.id, None, None, "person", DependencyMode.HOLD, HoldState.PLACING, "mara", "",
        at("05:00"), None, "",
        place=HoldActionFacts("verified", "", at("03:10:01"), unsent=False, sent_at=at("03:09:40")),
    )  # fmt: skip
    facts = estate(EXTRACT, targets=[target(1, last_ok_at=at("04:00"), seen_until=at("04:00"))])
    [placed] = evaluate(replace(facts, holds=(hold,)), at("03:10:02")).holds
    assert (HoldState.HELD, at("03:09:40")) == (placed.hold.state, placed.hold.placed_at)
    runs = evaluate(replace(facts, holds=(placed.hold,)), at("04:00")).expected
    assert [RunState.HELD] == [run.state for run in runs if run.job_id == EXTRACT.id and run.period_at == at("03:10")]


def test_a_persons_hold_that_runs_out_is_a_dependencys_while_its_upstream_is_not_good() -> None:
    """What Headway starts reads what is finished, whoever held it before."""
    stage = by_mara(repaired(failed(Stage()), "05:00"), 1)
    stage.until("04:45")
    hold = stage.hold()
    assert ("reactive", HoldState.HELD, "headway", at("10:00"), PERIOD) == (
        hold.kind, hold.state, hold.held_by, hold.until, hold.period_key,
    )  # fmt: skip
    text = f"{LOAD.name} is held on until {EXTRACT.name} is good: the hold by mara has ended"
    assert (text, "headway-mara", []) == (stage.events[-1], stage.source.mark, stage.started())
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("05:00") <= started < at("05:03"))


def test_a_persons_hold_that_ends_just_before_a_start_does_not_let_it_slip() -> None:
    stage = by_mara(failed(Stage()), 0.5 - 1 / 120)
    stage.until("05:00")
    assert ([], "reactive", [Verb.HOLD]) == (stage.started(), stage.hold().kind, stage.sent())


def test_a_persons_hold_that_is_longer_than_the_dependencys_is_not_started_on_what_is_unfinished() -> None:
    stage = by_mara(failed(Stage(hold_edge(hold_for=HOUR))), 2)
    stage.until("06:00")
    text = f"released at 05:30 UTC and not started; {EXTRACT.name} is not good"
    assert ([], HoldState.RELEASED, text) == (stage.started(), stage.hold().state, zoned(stage.hold().text))


@pytest.mark.deep
def test_an_expired_hold_of_a_person_starts_what_no_dependency_holds_and_the_stale_read_is_notified() -> None:
    stage = by_mara(failed(Stage(hold_edge(DependencyMode.OBSERVE))), 1)
    stage.whole = True
    stage.until("06:00")
    [(_, by)] = stage.started()
    assert ("headway", True) == (by, stage.state(LOAD, "04:00").stale_read)
    text = f"{LOAD.name} is started: no start of its own came after its release; {EXTRACT.name} is not good"
    assert text == stage.events[-1]


@pytest.mark.deep
def test_a_run_released_before_its_upstream_succeeded_is_started_with_a_warning() -> None:
    """A manual release is the person's decision; Headway shows its effect."""
    stage = failed(Stage())

    def released() -> None:
        hold = stage.hold()
        action = PolicyAction("headway-byhand", Verb.RELEASE, LOAD.id, parameters={"hold": hold.key})
        stage.requested["headway-byhand"] = StagedAction(action, stage.now)
        stage.held[hold.key] = replace(hold, state=HoldState.RELEASING, release_key="headway-byhand")

    stage.whole = True
    stage.when("04:20", released)
    stage.until("06:00")
    assert (["headway"], True) == ([by for _, by in stage.started()], stage.state(LOAD, "04:00").stale_read)
    assert stage.events[-1].endswith(f"no start of its own came after its release; {EXTRACT.name} is not good")


def test_a_start_that_cannot_be_released_is_missed_once_its_time_is_over() -> None:
    stage = failed(Stage(hold_edge(hold_for=HOUR)))
    stage.reply = lambda action: "no right to do this" if action.verb is Verb.RELEASE else None
    stage.until("05:14")
    assert RunState.HELD is reason(stage)[0]
    stage.until("05:20")
    assert (HoldState.HELD, RunState.MISSED) == (stage.hold().state, reason(stage)[0])


def test_a_job_that_a_person_paused_is_not_held_and_stays_paused() -> None:
    stage = failed(Stage())
    stage.when("03:30", lambda: setattr(stage.source, "paused", True))
    stage.until("06:00")
    assert ({}, True, []) == (stage.held, stage.source.paused, stage.source.starts)


def test_a_job_that_a_person_pauses_under_our_hand_is_not_held() -> None:
    stage = failed(Stage())
    stage.latency = minutes(2)
    stage.when("03:51", lambda: setattr(stage.source, "paused", True))
    stage.until("06:00")
    assert (HoldState.FAILED, "paused by a person") == (stage.hold().state, zoned(stage.hold().text))
    assert [Verb.HOLD] == stage.sent()


def test_a_hold_that_a_person_undid_ends_and_is_not_placed_again() -> None:
    stage = failed(Stage())
    stage.when("03:55", lambda: setattr(stage.source, "mark", None))
    stage.when("03:56", stage.reconciled)
    stage.until("06:00")
    assert ([(DUE, "clock")], [Verb.HOLD]) == (stage.started(), stage.sent())
    assert HoldReason.MARK_GONE is stage.hold().reason


def test_a_hold_that_a_person_undid_loses_its_mark_and_a_later_pause_stays_theirs() -> None:
    """The note of a DAG that a person resumed still bears the mark: their next pause must not be taken for ours."""
    stage = repaired(failed(Stage()), "04:20")
    stage.when("03:54", lambda: setattr(stage.source, "undone", True))
    stage.when("03:56", stage.reconciled)
    stage.latency = minutes(3)

    def pause() -> None:
        stage.source.undone, stage.source.paused = False, True

    stage.when("03:58", pause)
    stage.until("06:00")
    assert ([], None, True) == (stage.started(), stage.source.mark, stage.source.paused)
    assert [Verb.HOLD, Verb.RELEASE] == stage.sent()
    text = "a person enabled it at its source; the hold mark is gone"
    assert (HoldState.RELEASED, text) == (stage.hold().state, zoned(stage.hold().text))


def test_a_mark_that_cannot_be_removed_yet_is_removed_later() -> None:
    stage = failed(Stage())
    answers = iter([None, "no right to write the note"])
    stage.reply = lambda action: next(answers, None)
    stage.when("03:54", lambda: setattr(stage.source, "undone", True))
    stage.when("03:56", stage.reconciled)
    stage.until("04:00")
    assert (HoldState.CLEARING, [(DUE, "clock")]) == (stage.hold().state, stage.started())
    stage.until("04:30")
    assert (HoldState.RELEASED, None, 3) == (stage.hold().state, stage.source.mark, len(stage.requested))


def test_in_a_freeze_a_mark_is_left_where_it_is() -> None:
    stage = failed(Stage())
    stage.when("03:54", lambda: setattr(stage.source, "undone", True))
    stage.when("03:55", lambda: stage.freeze(Modes(frozen=SwitchState("on", "alice"))))
    stage.when("03:56", stage.reconciled)
    stage.until("04:30")
    assert (HoldState.CLEARING, [Verb.HOLD]) == (stage.hold().state, stage.sent())


def test_a_run_that_goes_on_is_not_held_in_mid_run() -> None:
    """A paused DAG goes on with no task."""
    stage = failed(Stage())
    stage.run(LOAD, "04:00", RunState.RUNNING, started_at=at("03:40"))
    stage.until("03:59")
    assert {} == stage.held


def test_a_job_without_a_recent_poll_is_not_held_unseen() -> None:
    """A restarted engine knows yesterday's runs: it polls first."""
    stage = failed(Stage())
    stage.late = lambda now: at("03:45") <= now < at("03:55")
    stage.until("03:54")
    assert {} == stage.held
    stage.until("04:30")
    assert HoldState.HELD is stage.hold().state


def test_a_hold_that_could_not_be_placed_in_time_is_withdrawn() -> None:
    stage = failed(Stage())
    stage.latency = minutes(15)
    stage.until("06:00")
    assert ([(DUE, "clock")], HoldState.FAILED) == (stage.started(), stage.hold().state)
    assert "refused" == stage.requested[stage.hold().key].state


def test_a_hold_that_never_arrived_is_placed_again_while_there_is_time() -> None:
    stage = failed(Stage())
    answers = iter(["not sent: no route to host"])
    stage.reply = lambda action: next(answers, None)
    stage.until("04:30")
    assert [HoldState.FAILED, HoldState.HELD] == sorted((hold.state for hold in stage.held.values()), key=str)
    assert [] == stage.source.starts


def test_a_refused_hold_is_tried_again_with_growing_pauses_and_notified_once() -> None:
    stage = failed(Stage())
    answers = iter(["it is locked by another"] * 3)
    stage.reply = lambda action: next(answers, None)
    stage.until("04:30")
    requests = [f"{action.at:%H:%M:%S}" for action in stage.requested.values()]
    assert ["03:50:00", "03:51:00", "03:52:30", "03:55:00"] == requests
    assert ([], HoldState.HELD) == (stage.source.starts, stage.held[list(stage.requested)[-1]].state)
    assert [f"{LOAD.name} could not be held: it is locked by another; it is tried again until 04:00 UTC"] == [
        event for event in stage.events if "could not" in event
    ]


def test_a_start_without_a_hold_is_notified_a_minute_before_it_and_tried_to_the_end() -> None:
    stage = failed(Stage())
    stage.reply = lambda action: "it was refused" if action.verb is Verb.HOLD else None
    stage.until("03:58:30")
    assert 1 == len(stage.events)
    stage.until("06:00")
    text = f"{EXTRACT.name} is not good, and nothing holds {LOAD.name}: it starts at 04:00 UTC by its schedule"
    assert [f"{text} and is not suppressed: it was refused"] == stage.events[1:]
    assert [(DUE, "clock")] == stage.started()
    assert 4 <= len(stage.requested) <= 7


def test_a_start_not_held_because_its_source_is_unreachable_is_notified() -> None:
    stage = failed(Stage())
    stage.late = lambda now: at("03:45") <= now < at("04:10")
    stage.until("04:30")
    assert ([(DUE, "clock")], {}) == (stage.started(), stage.requested)
    [event] = stage.events
    assert event.endswith("it starts at 04:00 UTC by its schedule and is not suppressed: it was unobserved")


def test_a_person_who_undid_a_hold_is_not_notified_that_it_is_missing() -> None:
    stage = failed(Stage())
    stage.when("03:55", lambda: setattr(stage.source, "mark", None))
    stage.when("03:56", stage.reconciled)
    stage.until("06:00")
    assert [] == [event for event in stage.events if "nothing holds" in event]


def test_a_refused_release_is_requested_again() -> None:
    stage = repaired(failed(Stage()), "04:10")
    answers = iter([None, "no right to do this"])
    stage.reply = lambda action: next(answers, None)
    stage.until("04:11")
    hold = stage.hold()
    assert (HoldState.HELD, HoldReason.RELEASE_FAILED, ("no right to do this",)) == (
        hold.state, hold.reason, hold.detail)  # fmt: skip
    stage.until("06:00")
    assert (1, None) == (len(stage.source.starts), stage.source.mark)


@pytest.mark.parametrize("text, starts", [("not sent: no route to host", 1), ("the job is gone", 0)])
def test_a_start_is_repeated_only_where_it_is_proved_that_it_never_arrived(text: str, starts: int) -> None:
    stage = repaired(failed(Stage()), "04:10")
    answers = iter([None, None, text])
    stage.reply = lambda action: next(answers, None)
    stage.until("06:00")
    assert (starts, HoldState.RELEASED) == (len(stage.source.starts), stage.hold().state)


def test_a_standing_hold_is_placed_long_before_and_released_at_the_lead_where_the_upstream_succeeded() -> None:
    stage = good(Stage(hold_edge(engine_down=EngineDown.CLOSED)))
    stage.until("03:49")
    assert (HoldState.HELD, "standing", at("03:00:30")) == (
        stage.hold().state,
        stage.hold().kind,
        stage.hold().placed_at,
    )
    stage.until("03:59")
    assert (HoldState.RELEASED, None) == (stage.hold().state, stage.source.mark)
    stage.until("04:30")
    assert [(DUE, "clock")] == stage.started()
    assert {PERIOD, "2026-11-21T04:00:00Z"} == {hold.period_key for hold in stage.held.values()}


def test_a_dependency_that_leaves_the_config_lets_go() -> None:
    stage = failed(Stage())
    stage.when("04:20", lambda: setattr(stage, "estate", replace(stage.estate, dependencies=())))
    stage.until("06:00")
    assert (1, HoldState.RELEASED) == (len(stage.source.starts), stage.hold().state)


def test_nothing_is_placed_in_a_freeze_and_what_is_held_stays_held() -> None:
    stage = repaired(failed(Stage()), "04:10")
    stage.when("03:40", lambda: stage.freeze(Modes(frozen=SwitchState("on", "alice"))))
    stage.until("05:00")
    assert ({}, [(DUE, "clock")]) == (stage.held, stage.started())
    held = repaired(failed(Stage()), "04:10")
    held.when("04:05", lambda: held.freeze(Modes(frozen=SwitchState("on", "alice"))))
    held.until("05:00")
    assert (HoldState.HELD, [], [Verb.HOLD]) == (held.hold().state, held.source.starts, held.sent())
    held.freeze(Modes())
    held.until("05:10")
    assert 1 == len(held.source.starts)


def test_in_shadow_a_hold_not_placed_is_reported_once() -> None:
    stage = failed(Stage())
    stage.freeze(Modes(estate_live=False))
    stage.until("05:00")
    assert ([(DUE, "clock")], []) == (stage.started(), stage.sent())
    assert [f"would have held {LOAD.name} until {EXTRACT.name} is good: it is in shadow"] == stage.events
    live = failed(Stage())
    live.freeze(Modes(estate_live=False, scoped={switch_name("dependency", EXTRACT.name, LOAD.name): True}))
    live.until("05:00")
    assert HoldState.HELD is live.hold().state


def test_a_trigger_without_a_clock_starts_once_when_its_upstream_is_good() -> None:
    ready = job(2, "warehouse/load", target_id=2)
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER, down=ready), load=ready)), "04:10")
    stage.until("04:09")
    assert {} == stage.held
    stage.until("07:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("04:10") <= started <= at("04:11"))
    assert ([Verb.START], HoldState.RELEASED) == (stage.sent(), stage.hold().state)


def test_a_trigger_whose_job_is_out_of_sight_says_so_once_and_starts_it_when_it_is_seen() -> None:
    ready = job(2, "warehouse/load", target_id=2)
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER, down=ready), load=ready)), "04:10")
    answers = stage._polled

    def polled() -> None:
        answers()
        away = at("04:00") <= stage.now < at("05:00")
        stage.target(2, last_ok_at=at("03:59") if away else stage.now, failing_since=at("04:00") if away else None)

    stage._polled = polled  # type: ignore[method-assign]
    stage.until("04:59")
    text = "its source does not answer; it is started once observed again, until 10:10 UTC"
    assert ([f"{EXTRACT.name} is good, and {ready.name} is not started: {text}"], []) == (stage.events, stage.sent())
    stage.until("05:30")
    assert ([Verb.START], 1) == (stage.sent(), len(stage.source.starts))


def test_a_trigger_makes_up_for_nothing_that_is_older_than_its_hold_for() -> None:
    ready = job(2, "warehouse/load", target_id=2)
    stage = Stage(hold_edge(DependencyMode.TRIGGER, down=ready, hold_for=HOUR), load=ready)
    stage.extract_ends(RunState.SUCCEEDED, "00:10", "00:20")
    stage.until("04:00")
    assert {} == stage.held


def test_a_trigger_before_its_clock_starts_at_once_and_its_clock_does_not_start_it_again() -> None:
    early = replace(LOAD, starts_held=True)
    stage = good(Stage(hold_edge(DependencyMode.TRIGGER), load=early))
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("03:20") <= started <= at("03:22"))
    assert (None, [Verb.HOLD, Verb.START, Verb.RELEASE]) == (stage.source.mark, stage.sent())
    assert HoldState.RELEASED is stage.hold().state


def test_a_start_before_its_clock_that_is_refused_is_made_after_it() -> None:
    early = replace(LOAD, starts_held=True)
    stage = good(Stage(hold_edge(DependencyMode.TRIGGER), load=early))
    stage.reply = lambda action: "it runs already" if action.overlap == "refuse" and action.verb is Verb.START else None
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("04:02") <= started <= at("04:04"))
    assert [Verb.HOLD, Verb.START, Verb.RELEASE, Verb.START] == stage.sent()


def test_a_trigger_whose_kind_cannot_start_what_is_held_waits_for_its_clock() -> None:
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER))), "03:55")
    stage.until("06:00")
    assert [(DUE, "clock")] == stage.started()


NAMED = job(2, "warehouse/load", Schedule("none", text="EventBridge Scheduler", next_at=DUE), target_id=2)
"""Its source names when it starts it next, and tells of no start: nothing is expected of it."""


def test_a_clock_that_the_source_only_names_is_held_and_started_once() -> None:
    stage = repaired(failed(Stage(hold_edge(down=NAMED), load=NAMED)), "04:30")
    stage.until("04:29")
    assert (HoldState.HELD, DUE, []) == (stage.hold().state, stage.hold().due_at, stage.source.starts)
    stage.until("06:00")
    assert ([Verb.HOLD, Verb.RELEASE, Verb.START], ["headway"]) == (stage.sent(), [by for _, by in stage.started()])
    ahead = repaired(failed(Stage(hold_edge(down=NAMED), load=NAMED)), "03:55")
    ahead.until("06:00")
    assert ([Verb.HOLD, Verb.RELEASE], [(DUE, "clock")]) == (ahead.sent(), ahead.started())


@pytest.mark.parametrize("hours, starter", [(1.0, "headway"), (0.25, "clock")])
def test_a_persons_hold_of_a_clock_that_the_source_only_names_loses_no_start(hours: float, starter: str) -> None:
    """No run is expected: the held start is the one that its source named when the hold was placed."""
    stage = by_mara(Stage(hold_edge(DependencyMode.OBSERVE, down=NAMED), load=NAMED), hours)
    stage.until("06:00")
    assert [starter] == [by for _, by in stage.started()]


def test_a_persons_hold_of_a_clock_that_the_source_only_names_is_a_dependencys_when_it_runs_out() -> None:
    stage = by_mara(repaired(failed(Stage(hold_edge(down=NAMED), load=NAMED)), "05:00"), 1)
    stage.until("04:45")
    assert ("reactive", DUE, []) == (stage.hold().kind, stage.hold().due_at, stage.started())
    stage.until("06:00")
    assert ["headway"] == [by for _, by in stage.started()]


def test_a_start_that_comes_within_its_minute_is_not_doubled() -> None:
    """AWS starts between 04:00:00 and 04:00:59, and reports it a moment later."""
    stage = repaired(failed(Stage(hold_edge(down=NAMED), load=NAMED)), "03:59")
    stage.when("04:00", lambda: setattr(stage.source, "paused", True))
    stage.when("04:00:30", lambda: setattr(stage.source, "paused", False))
    stage.when("04:01", lambda: stage.source.starts.append((stage.now, "clock")))
    stage.until("06:00")
    assert ([Verb.HOLD, Verb.RELEASE], ["clock"]) == (stage.sent(), [by for _, by in stage.started()])


def test_a_start_that_a_clock_that_is_behind_is_still_to_make_is_not_doubled() -> None:
    """Released at 04:01 by our clock, before 04:00 by its own, which is 5 minutes behind."""
    stage = repaired(failed(Stage()), "04:00:30")
    stage.target(2, behind=minutes(5))
    stage.when("04:05", lambda: stage.source.starts.append((stage.now, "clock")))
    stage.until("06:00")
    assert ([Verb.HOLD, Verb.RELEASE], ["clock"]) == (stage.sent(), [by for _, by in stage.started()])


def test_a_start_that_a_clock_that_is_behind_never_made_is_made_once_it_had_its_time() -> None:
    stage = repaired(failed(Stage()), "04:00:30")
    stage.target(2, behind=minutes(5))
    stage.until("06:00")
    [(started, by)] = stage.started()
    assert ("headway", True) == (by, at("04:05:30") <= started < at("04:07"))


def test_a_trigger_before_a_clock_that_the_source_only_names_does_not_double_it() -> None:
    early = replace(NAMED, starts_held=True)
    stage = good(Stage(hold_edge(DependencyMode.TRIGGER, down=early), load=early))
    stage.until("06:00")
    assert ([Verb.HOLD, Verb.START, Verb.RELEASE], ["headway"]) == (stage.sent(), [by for _, by in stage.started()])


def test_a_late_trigger_starts_on_completion() -> None:
    stage = repaired(failed(Stage(hold_edge(DependencyMode.TRIGGER))), "04:30")
    stage.until("06:00")
    assert ["headway"] == [by for _, by in stage.started()]
    assert {"hold", "trigger"} == {action.action.origin for action in stage.requested.values()}


def test_a_skipped_upstream_holds_nothing() -> None:
    stage = failed(Stage())
    stage.when("04:10", lambda: stage.run(EXTRACT, "03:10", RunState.SKIPPED))
    stage.until("06:00")
    assert 1 == len(stage.source.starts)


@each_row(
    "clock, accepted, is_held",
    [
        ("10 3 * * 6", "12:00", False),  # Saturdays: this is a Thursday's date
        ("10 3 * * *", "03:30", True),  # due before its schedule was known: did it run?
        ("10 3 * * 6", "03:30", False),
        ("10 5 * * *", "12:00", True),  # still to come
        ("10 3 * * * *", "12:00", True),  # nobody can read that
    ],
)
def test_an_upstream_without_a_run_is_not_waited_for_only_where_its_schedule_wants_none(
    clock: str, accepted: str, is_held: bool
) -> None:
    other = job(3, "etl-hosts/db07:other", Schedule("debian-cron", clock), accepted_at=at(accepted))
    stage = Stage(hold_edge(up=other), extra=(other,))
    stage.until("05:00")
    assert ([] if is_held else [(DUE, "clock")]) == stage.started()


HOURLY = job(3, "etl-hosts/db07:hourly", Schedule("debian-cron", "10 3-12 * * *"))


def hourly(*ends: tuple[str, RunState]) -> Stage:
    """`load` waits for an upstream of every hour, whose runs take five minutes and end so."""
    stage = Stage(hold_edge(up=HOURLY), extra=(HOURLY,))
    for clock, state in ends:
        done = ended(clock, 5)
        stage.when(f"{done['ended_at']:%H:%M}", partial(stage.run, HOURLY, clock, state, **done))
    return stage


@pytest.mark.deep
def test_of_an_upstream_of_every_hour_the_next_green_run_lets_go() -> None:
    """A job held at 04:00 starts after it and reads what that run wrote: nothing of it is stale."""
    stage = hourly(("03:10", RunState.FAILED), ("04:10", RunState.SUCCEEDED), ("05:10", RunState.SUCCEEDED))
    stage.whole = True
    stage.until("04:14")
    assert HoldState.HELD is stage.hold().state
    stage.until("05:30")
    [(started, by)] = stage.started()
    assert ("headway", True, False) == (by, started < at("04:20"), stage.state(LOAD, "04:00").stale_read)


def test_another_failed_run_of_an_hourly_upstream_closes_the_gate() -> None:
    stage = hourly(("03:10", RunState.FAILED), ("04:10", RunState.FAILED), ("05:10", RunState.SUCCEEDED))
    stage.until("05:14")
    assert HoldState.HELD is stage.hold().state
    stage.until("05:30")
    assert [("headway", True)] == [(by, started > at("05:15")) for started, by in stage.started()]


def test_of_an_upstream_of_every_hour_the_run_before_its_start_counts_though_a_later_one_is_red() -> None:
    stage = hourly(("03:10", RunState.SUCCEEDED), ("04:10", RunState.FAILED))
    stage.until("05:00")
    assert ({}, [(DUE, "clock")]) == (stage.held, stage.started())


def test_an_upstream_whose_end_is_unknown_is_not_good() -> None:
    stage = Stage(hold_edge(hold_for=HOUR))
    stage.when("03:12", lambda: stage.run(EXTRACT, "03:10", RunState.UNKNOWN, started_at=at("03:10")))
    stage.until("04:50")
    assert HoldState.HELD is stage.hold().state


def crashed(now: datetime, every: int) -> bool:
    return int(now.timestamp() // 30) % every == 0


def test_evaluations_that_are_lost_to_a_crash_change_nothing_but_the_time() -> None:
    stage = repaired(failed(Stage()), "04:30")
    stage.crash = lambda now: crashed(now, 2)
    stage.until("06:00")
    assert (1, [Verb.HOLD, Verb.RELEASE, Verb.START]) == (len(stage.source.starts), stage.sent())


MOMENTS = st.integers(min_value=0, max_value=239).map(lambda number: at("03:02") + timedelta(seconds=60) * number)
WINDOWS = st.tuples(MOMENTS, st.integers(min_value=1, max_value=40).map(minutes))
NIGHTS = st.fixed_dictionaries(
    {
        "good": st.none() | MOMENTS,
        "latency": st.sampled_from([0.0, 0.5, 1.0, 4.0]).map(minutes),
        "late": st.lists(WINDOWS, max_size=2),
        "crash": st.lists(WINDOWS, max_size=2),
        "undone": st.none() | MOMENTS,
        "paused": st.none() | WINDOWS,
        "lost": st.integers(min_value=0, max_value=3),
        "native": st.booleans(),
        "mode": st.sampled_from([DependencyMode.HOLD, DependencyMode.TRIGGER]),
        "down": st.sampled_from(list(EngineDown)),
        "early": st.booleans(),
        "waits": st.lists(st.tuples(MOMENTS, st.integers(min_value=1, max_value=150).map(minutes)), max_size=2),
        "own": st.none() | MOMENTS,
        "mara": st.none() | WINDOWS,
    }
)
"""A night: when the upstream is good, how long actions take, when polls are late and evaluations lost, what a person
does at the source, how many requests never arrive, whether the scheduler makes up for what it missed, how long a start
waits as requested, when somebody else starts it, and from when and for how long a person holds it."""


def within(windows: list[tuple[datetime, timedelta]], now: datetime) -> bool:
    return any(begin <= now < begin + span for begin, span in windows)


def played(night: dict[str, Any]) -> Stage:
    edge = hold_edge(night["mode"], engine_down=night["down"], hold_for=2 * HOUR)
    stage = Stage(edge, load=replace(LOAD, starts_held=night["early"]))
    stage.step = minutes(1)
    stage.target(2, poll_every=stage.step)  # else it is unobserved from poll to poll, and no start leaves
    stage.latency = night["latency"]
    stage.late = lambda now: within(night["late"], now)
    stage.crash = lambda now: within(night["crash"], now)
    stage.waits = lambda action: action.verb is Verb.START and within(night["waits"], stage.now)
    lost = iter(["not sent: no route to host"] * night["lost"])
    stage.reply = lambda action: next(lost, None)
    if night["good"] is not None:
        stage.script[night["good"]] = lambda: stage.extract_ends(RunState.SUCCEEDED, "03:01", f"{night['good']:%H:%M}")
    before = dict(stage.script)

    def world() -> None:
        before.get(stage.now, lambda: None)()
        if stage.now == night["undone"]:
            stage.source.mark = None
        if night["paused"] is not None:
            begin, span = night["paused"]
            if stage.now == begin and stage.source.mark is None:
                stage.source.paused = True
            if stage.now == begin + span:
                stage.source.paused = False
        if night["native"] and stage.now > DUE and not stage.source.asleep and not stage.source.starts:
            stage.source.starts.append((stage.now, "clock"))
        if stage.now == night["own"] and stage.now > DUE and not stage.source.starts:
            stage.source.starts.append((stage.now, "clock"))
        if night["mara"] is not None and stage.now == night["mara"][0]:
            mara_holds(stage, stage.now + night["mara"][1])
        if stage.now.minute % 3 == 0 and not stage.late(stage.now) and not stage.crash(stage.now):
            stage.reconciled()

    instant = at("03:00")
    while instant <= at("09:00"):
        stage.script[instant] = world
        instant += stage.step
    stage.until("09:00")
    return stage


@pytest.mark.deep
@examples(40)
@given(NIGHTS)
def test_whatever_comes_in_between_a_start_is_neither_lost_nor_doubled_nor_stuck(night: dict[str, Any]) -> None:
    stage = played(night)
    starts, about = stage.started(), [hold for hold in stage.held.values() if hold.period_key == PERIOD]
    by_hand = night["undone"] is not None and night["early"] and night["mode"] is DependencyMode.TRIGGER
    assert len(starts) <= 1 or by_hand, (starts, stage.events)  # whoever undoes a hold lets its clock start it
    for when, by in starts:  # what we start reads what its upstream has finished
        is_read = night["good"] is not None and night["good"] <= when
        assert by == "clock" or (is_read and (night["mara"] is not None or when < DUE + 2 * HOUR + LATE))
    open_ones = [hold for hold in stage.held.values() if not hold.state.is_over and hold.period_key == PERIOD]
    assert [] == open_ones
    assert stage.source.mark is None or stage.held[stage.source.mark].period_key != PERIOD
    if not starts and not stage.source.paused:  # it is said why it did not run
        asleep = night["paused"] is not None and within([night["paused"]], DUE)
        assert asleep or any(hold.state is HoldState.RELEASED and zoned(hold.text) for hold in about), stage.held
        holds = [hold for hold in about if any(text in zoned(hold.text) for text in ("not good", "too late", "person"))]
        assert asleep or holds or night["lost"], (stage.held, stage.events)
