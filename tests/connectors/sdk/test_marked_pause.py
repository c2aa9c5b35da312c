"""What a request for a hold becomes, and the rules of marks and pauses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, HoldMark, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.marked_pause import (
    KEY_PLACEHOLDER,
    MarkedPause,
    MarkedPauseHolder,
    PauseState,
    hold_plan,
    holds_in,
    mark_of,
    native_holds,
    release_plan,
    shown_mark,
    with_hold,
    without_hold,
)
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from tests.rows import each_row

KEY = "headway-0123456789"


@given(note=st.text(), separator=st.sampled_from("\n "))
def test_a_note_is_the_same_after_a_hold(note: str, separator: str) -> None:
    hold = HoldMark(KEY, "alice", datetime(2026, 11, 21, 6, 30, tzinfo=UTC))
    held = with_hold(note, hold, separator)
    assert [hold] == holds_in(held)
    assert note == without_hold(held, KEY)


@each_row(
    "parameters",
    [
        {},
        {"by": "alice"},
        {"by": "alice", "until": "soon"},
        {"by": "alice", "until": "2026-11-21T07:30:00"},
        {"by": "", "until": "2026-11-21T06:30:00Z"},
        {"by": "a b", "until": "2026-11-21T06:30:00Z"},
        {"by": "x" * 65, "until": "2026-11-21T06:30:00Z"},
    ],
)
def test_a_request_that_makes_no_mark_is_refused_with_its_text(parameters: dict[str, str]) -> None:
    by, until = parameters.get("by", ""), parameters.get("until", "")
    with pytest.raises(NotSupported) as caught:
        mark_of(parameters, KEY)
    assert f'a hold by "{by}" until "{until}" cannot be written down at its source' == str(caught.value)


KUBE = MarkedPause("Kubernetes", "suspended", "annotation")
JOB, OURS, OTHER = "ns/load", "headway-0000000001", "headway-0000000002"
UNTIL = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)


def mark(hold: str = OURS) -> HoldMark:
    return HoldMark(hold, "alice", UNTIL)


FREE, PAUSED = PauseState(False, ()), PauseState(True, ())
HELD, BARE, PAUSED_STATES = PauseState(True, (mark(),)), PauseState(False, (mark(),)), PauseState(True, (mark(OTHER),))
OUTLIVED = PauseState(True, (mark(OTHER), mark()))
HOLD = hold_plan(JOB, mark())
RELEASE: dict[str, Any] = {"how": "release", "job": JOB, "hold": OURS}
CLEAR = {**RELEASE, "how": "clear"}


def ask(verb: Verb, **parameters: str) -> ActionSpec:
    return ActionSpec(verb, RunRef(JOB, "", "", ""), RunState.PLANNED, parameters)


@each_row(
    "now, plan, expected",
    [
        (FREE, HOLD, ActionAbsent),
        (PAUSED, HOLD, ActionAbsent),
        (HELD, HOLD, ActionFound),
        (BARE, HOLD, ActionAbsent),
        (PAUSED_STATES, HOLD, ActionAbsent),
        (FREE, RELEASE, ActionFound),
        (HELD, RELEASE, ActionAbsent),
        (BARE, RELEASE, ActionAbsent),
        (PAUSED, RELEASE, ActionUnknown),
        (PAUSED_STATES, RELEASE, ActionUnknown),
        (OUTLIVED, RELEASE, ActionAbsent),
        (PAUSED, CLEAR, ActionFound),
        (BARE, CLEAR, ActionAbsent),
    ],
)
def test_the_outcome_is_determined_by_mark_and_pause(now: PauseState, plan: dict[str, Any], expected: type) -> None:
    assert expected is type(KUBE.look_up(now, plan, OURS))


@pytest.mark.parametrize(
    "now, plan, text",
    [
        (HELD, HOLD, "ns/load was suspended, and its annotation records this hold"),
        (FREE, RELEASE, "ns/load is released"),
        (PAUSED, CLEAR, "ns/load is as before, and its annotation no longer records this hold"),
    ],
)
def test_a_proved_outcome_reads_as_the_answer_to_its_request(now: PauseState, plan: dict[str, Any], text: str) -> None:
    assert (Receipt(JOB, text), ActionFound(JOB, text)) == (KUBE.receipt(plan), KUBE.look_up(now, plan, OURS))


def test_a_mark_that_comes_and_goes_with_its_pause_proves_by_itself() -> None:
    one_step = MarkedPause("pg_cron", "inactive", "command", is_one_step=True)
    assert isinstance(one_step.look_up(BARE, HOLD, OURS), ActionFound)
    unknown = ActionUnknown("a session still sends it")
    assert unknown == one_step.look_up(FREE, HOLD, OURS, unknown)
    assert unknown == one_step.look_up(BARE, RELEASE, OURS, unknown)
    assert unknown == one_step.look_up(PAUSED, RELEASE, OURS, unknown)
    assert isinstance(one_step.look_up(PAUSED, CLEAR, OURS), ActionFound)


@pytest.mark.parametrize("now, expected", [(FREE, mark()), (BARE, mark()), (HELD, None)])
def test_the_mark_is_written_unless_it_is_held_under_that_key(now: PauseState, expected: HoldMark | None) -> None:
    assert expected == KUBE.to_write(now, HOLD, OURS)


@pytest.mark.parametrize("now", [PAUSED, PAUSED_STATES])
def test_what_somebody_paused_since_is_left_alone(now: PauseState) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.to_write(now, HOLD, OURS)
    assert "Kubernetes: ns/load is suspended by now, and not by this hold" == str(caught.value)


def test_a_mark_that_a_hold_does_not_replace_refuses_it() -> None:
    rules = MarkedPause("pg_cron", "inactive", "command", replaces_marks=False)
    left = PauseState(False, (mark(OTHER),))
    assert f"{JOB} is held already: {mark(OTHER).text}" == rules.hold_refusal(JOB, left)
    with pytest.raises(NotSupported, match=f"pg_cron: {JOB} is held by another: {mark(OTHER).text}"):
        rules.to_write(left, HOLD, OURS)
    assert mark() == rules.to_write(BARE, HOLD, OURS)


def test_a_plan_that_makes_no_mark_is_not_sent() -> None:
    with pytest.raises(NotSupported):
        KUBE.to_write(FREE, {**HOLD, "until": "tomorrow"}, OURS)


@pytest.mark.parametrize("now", [FREE, PAUSED, PAUSED_STATES])
def test_a_hold_whose_mark_was_removed_is_not_released(now: PauseState) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.check_release(now, RELEASE)
    assert "Kubernetes: the annotation of ns/load no longer records this hold" == str(caught.value)


@pytest.mark.parametrize("now", [HELD, BARE, OUTLIVED])
def test_a_hold_whose_mark_is_there_may_be_released(now: PauseState) -> None:
    KUBE.check_release(now, RELEASE)


@each_row(
    "now, why",
    [
        (FREE, None),
        (BARE, None),
        (PAUSED, "ns/load is suspended already, not by Headway"),
        (PAUSED_STATES, "ns/load is suspended already, by Headway for alice until 2026-11-21T06:30:00Z"),
    ],
)
def test_a_preview_of_a_hold_says_who_was_first(now: PauseState, why: str | None) -> None:
    assert why == KUBE.hold_refusal(JOB, now)


@each_row(
    "now, why",
    [
        (HELD, None),
        (BARE, None),
        (OUTLIVED, None),
        (PAUSED_STATES, f"ns/load is held by another: {mark(OTHER).text}"),
        (FREE, "ns/load is not held: it is not suspended, and has no mark of ours"),
        (PAUSED, "ns/load is suspended and has no mark of ours: someone else paused it. By hand: do it"),
    ],
)
def test_a_preview_of_a_release_says_why_not(now: PauseState, why: str | None) -> None:
    assert why == KUBE.release_refusal(JOB, now, OURS, "do it")


def test_an_ask_becomes_a_mark_and_a_plan() -> None:
    requested = mark_of({"by": "alice", "until": "2026-11-21T07:30:00.5+01:00", "why": "x"}, KEY_PLACEHOLDER)
    assert "headway-hold id=KEY by=alice until=2026-11-21T06:30:00Z" == shown_mark(requested)
    assert HOLD == hold_plan(JOB, requested)
    assert mark() == mark_of(HOLD, OURS)
    assert RELEASE == release_plan(JOB, ask(Verb.RELEASE, hold=OURS))
    assert CLEAR == release_plan(JOB, ask(Verb.RELEASE, hold=OURS, enable="no"))
    assert {**RELEASE, "hold": ""} == release_plan(JOB, ask(Verb.RELEASE))


def test_a_mark_is_bare_where_nothing_is_paused_under_it() -> None:
    seen = {"held": HELD, "bare": BARE, "outlived": OUTLIVED, "free": FREE}
    assert {name: [hold.bare for hold in native_holds(JOB, now, "here")] for name, now in seen.items()} == {
        "held": [False],
        "bare": [True],
        "outlived": [False, True],
        "free": [],
    }


def test_a_plan_that_sets_no_mark_is_refused_for_that_and_not_for_a_missing_pause() -> None:
    with pytest.raises(NotSupported, match='a hold by "" until "2026-11-21T06:30:00Z" cannot be written down'):
        KUBE.to_write(FREE, {**HOLD, "by": ""}, OURS)


class Holder(MarkedPauseHolder[PauseState]):
    marking, pause, unit = KUBE, "suspend", "the CronJob"
    hold_notes, fix = ("active Jobs continue",), "do it"

    def __init__(self, now: PauseState) -> None:
        self.now = now

    def read(self, job: str) -> PauseState:
        return self.now

    def state(self, row: PauseState) -> PauseState:
        return row

    def hold_calls(self, row: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return (f"PATCH {plan['job']} {mark.text}",)

    def release_calls(self, row: PauseState, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"PATCH {plan['job']} {plan['how']}",)


def test_a_preview_of_a_hold_names_the_job_the_end_and_the_call_without_its_key() -> None:
    preview = Holder(FREE).preview(ask(Verb.HOLD, by="alice", until="2026-11-21T06:30:00Z"))
    assert (
        "suspend the CronJob",
        "suspend the CronJob ns/load until 2026-11-21T06:30:00Z at the latest, marked by its annotation",
        ("PATCH ns/load headway-hold id=KEY by=alice until=2026-11-21T06:30:00Z",),
        ("active Jobs continue",),
        HOLD,
    ) == (preview.verb, preview.summary, preview.native_calls, preview.notes, preview.plan)


@each_row(
    "now, enable, verb, end, notes",
    [
        (HELD, "", "resume the CronJob", "resume the CronJob ns/load and remove its hold mark (annotation)", 1),
        (BARE, "", "remove the mark", "(annotation) of the CronJob ns/load; it is no longer suspended", 0),
        (HELD, "no", "remove the mark", "(annotation) of the CronJob ns/load; suspended or not stays as it is", 0),
    ],
)
def test_a_preview_of_a_release_names_whether_the_job_is_resumed(
    now: PauseState, enable: str, verb: str, end: str, notes: int
) -> None:
    preview = Holder(now).preview(ask(Verb.RELEASE, hold=OURS, enable=enable))
    assert (verb, True, notes) == (preview.verb, preview.summary.endswith(end), len(preview.notes))


def test_a_hold_of_a_job_that_somebody_paused_is_refused() -> None:
    with pytest.raises(ActionRefused, match="ns/load is suspended already, not by Headway"):
        Holder(PAUSED).preview(ask(Verb.HOLD, by="alice", until="2026-11-21T06:30:00Z"))
