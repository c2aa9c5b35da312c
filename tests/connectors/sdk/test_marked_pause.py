"""What an ask for a hold becomes: the plan's notes, the mark as it is shown, and why there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, HoldMark
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import (
    MarkedPause,
    PauseState,
    hold_parameters,
    hold_plan,
    holds_in,
    mark_refusal,
    native_holds,
    release_parameters,
    release_plan,
    requested_mark,
    required_mark,
    shown_mark,
    shown_mark_of_plan,
    with_hold,
    without_hold,
)
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb

KEY = "headway-0123456789"


@given(note=st.text(), separator=st.sampled_from("\n "))
def test_a_note_is_the_same_after_a_hold(note: str, separator: str) -> None:
    hold = HoldMark(KEY, "alice", datetime(2026, 11, 21, 6, 30, tzinfo=UTC))
    held = with_hold(note, hold, separator)
    assert [hold] == holds_in(held)
    assert note == without_hold(held, KEY)


def ask_marks(verb: Verb, **parameters: str) -> ActionSpec:
    return ActionSpec(verb, RunRef("job", "", "", ""), RunState.PLANNED, parameters)


def test_a_hold_notes_who_and_until_when_and_shows_its_mark() -> None:
    plan = hold_parameters(ask_marks(Verb.HOLD, by="alice", until="2026-11-21T07:30:00+01:00", why="x"))
    assert {"by": "alice", "until": "2026-11-21T07:30:00+01:00"} == plan
    assert "headway-hold id=<key> by=alice until=2026-11-21T06:30:00Z" == shown_mark_of_plan(plan)
    assert mark_refusal(plan) is None
    assert KEY == required_mark(plan, KEY).id


@pytest.mark.parametrize("parameters", [{}, {"by": "alice"}, {"by": "a b", "until": "2026-11-21T06:30:00Z"}])
def test_a_step_that_sets_no_mark_is_identified_by_its_text(parameters: dict[str, str]) -> None:
    plan = hold_parameters(ask_marks(Verb.HOLD, **parameters))
    text = f'a hold by "{plan["by"]}" until "{plan["until"]}" cannot be written down at its source'
    assert ("", text) == (shown_mark_of_plan(plan), mark_refusal(plan))
    with pytest.raises(NotSupported) as caught:
        required_mark(plan, KEY)
    assert text == str(caught.value)


@pytest.mark.parametrize(
    "parameters, expected",
    [({"hold": KEY}, (KEY, True)), ({"hold": KEY, "enable": "no"}, (KEY, False)), ({}, ("", True))],
)
def test_a_release_names_its_hold_and_whether_it_enables(
    parameters: dict[str, str], expected: tuple[str, bool]
) -> None:
    assert expected == release_parameters(ask_marks(Verb.RELEASE, **parameters))


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


@pytest.mark.parametrize(
    "now, plan, expected",
    [
        (FREE, HOLD, ActionAbsent),
        (PAUSED, HOLD, ActionAbsent),
        (HELD, HOLD, ActionFound),
        (BARE, HOLD, ActionAbsent),
        (PAUSED_STATES, HOLD, ActionAbsent),
        (None, HOLD, ActionUnknown),
        (FREE, RELEASE, ActionFound),
        (HELD, RELEASE, ActionAbsent),
        (BARE, RELEASE, ActionAbsent),
        (PAUSED, RELEASE, ActionUnknown),
        (PAUSED_STATES, RELEASE, ActionUnknown),
        (OUTLIVED, RELEASE, ActionAbsent),
        (PAUSED, CLEAR, ActionFound),
        (BARE, CLEAR, ActionAbsent),
        (None, CLEAR, ActionUnknown),
    ],
)
def test_the_outcome_is_determined_by_mark_and_pause(
    now: PauseState | None, plan: dict[str, Any], expected: type
) -> None:
    assert expected is type(KUBE.look_up(now, plan, OURS))


@pytest.mark.parametrize(
    "now, plan, text",
    [
        (HELD, HOLD, "ns/load is suspended, and its annotation records this hold"),
        (FREE, RELEASE, "ns/load is released"),
        (PAUSED, CLEAR, "ns/load is as before, and its annotation no longer records this hold"),
    ],
)
def test_a_proved_outcome_reads_as_the_answer_to_its_request(now: PauseState, plan: dict[str, Any], text: str) -> None:
    ref = KUBE.receipt(plan, OURS).native_ref
    assert (text, ActionFound(ref, text)) == (KUBE.receipt(plan, OURS).message, KUBE.look_up(now, plan, OURS))


@pytest.mark.parametrize("now, expected", [(FREE, mark()), (BARE, mark()), (HELD, None)])
def test_the_mark_is_written_unless_it_is_held_under_that_key(now: PauseState, expected: HoldMark | None) -> None:
    assert expected == KUBE.to_write(now, HOLD, OURS)


@pytest.mark.parametrize("now", [PAUSED, PAUSED_STATES])
def test_what_somebody_paused_since_is_left_alone(now: PauseState) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.to_write(now, HOLD, OURS)
    assert "Kubernetes: ns/load is suspended by now, and not by this hold; nothing was sent" == str(caught.value)


def test_a_plan_that_makes_no_mark_is_not_sent() -> None:
    with pytest.raises(NotSupported):
        KUBE.to_write(FREE, {**HOLD, "until": "tomorrow"}, OURS)


@pytest.mark.parametrize("now", [FREE, PAUSED, PAUSED_STATES])
def test_a_hold_whose_mark_was_removed_is_not_released(now: PauseState) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.check_release(now, RELEASE)
    assert "Kubernetes: the annotation of ns/load no longer records this hold; nothing was sent" == str(caught.value)


@pytest.mark.parametrize("now", [HELD, BARE, OUTLIVED])
def test_a_hold_whose_mark_is_there_may_be_released(now: PauseState) -> None:
    KUBE.check_release(now, RELEASE)


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    "now, why",
    [
        (HELD, None),
        (BARE, None),
        (OUTLIVED, None),
        (PAUSED_STATES, f"ns/load is held by another: {mark(OTHER).text}"),
        (FREE, "ns/load is not held: it is enabled, without a mark of ours"),
        (PAUSED, "ns/load is disabled and has no mark of ours: someone else paused it. By hand: do it"),
    ],
)
def test_a_preview_of_a_release_says_why_not(now: PauseState, why: str | None) -> None:
    assert why == KUBE.release_refusal(JOB, now, OURS, "do it")


def test_an_ask_becomes_a_mark_and_a_plan() -> None:
    requested = requested_mark(ask(Verb.HOLD, by="alice", until="2026-11-21T07:30:00+01:00"))
    assert requested is not None
    assert "headway-hold id=KEY by=alice until=2026-11-21T06:30:00Z" == shown_mark(requested)
    assert HOLD == hold_plan(JOB, requested)
    assert requested_mark(ask(Verb.HOLD, by="alice", until="2026-11-21T07:30:00")) is None
    assert RELEASE == release_plan(JOB, ask(Verb.RELEASE, hold=OURS))
    assert CLEAR == release_plan(JOB, ask(Verb.RELEASE, hold=OURS, enable="no"))


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
