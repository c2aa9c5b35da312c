"""What is judged of a mark and a pause, the same for every kind whose things bear their marks themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Absent, Ask, CannotTell, Found, HoldMark, NotSupported, RunRef, State, Verb
from connectors.marking import Marking, Standing, asked_mark, hold_plan, native_holds, release_plan, shown

KUBE = Marking("Kubernetes", "suspended", "annotation")
JOB, OURS, OTHER = "ns/load", "headway-0000000001", "headway-0000000002"
UNTIL = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)


def mark(hold: str = OURS) -> HoldMark:
    return HoldMark(hold, "alice", UNTIL)


FREE, PAUSED = Standing(False, ()), Standing(True, ())
HELD, BARE, TAKEN = Standing(True, (mark(),)), Standing(False, (mark(),)), Standing(True, (mark(OTHER),))
OUTLIVED = Standing(True, (mark(OTHER), mark()))
HOLD = hold_plan(JOB, mark())
RELEASE: dict[str, Any] = {"how": "release", "job": JOB, "hold": OURS}
CLEAR = {**RELEASE, "how": "clear"}


def ask(verb: Verb, **parameters: str) -> Ask:
    return Ask(verb, RunRef(JOB, "", "", ""), State.PLANNED, parameters)


@pytest.mark.parametrize(
    "now, plan, expected",
    [
        (FREE, HOLD, Absent),
        (PAUSED, HOLD, Absent),
        (HELD, HOLD, Found),
        (BARE, HOLD, Absent),
        (TAKEN, HOLD, Absent),
        (None, HOLD, CannotTell),
        (FREE, RELEASE, Found),
        (HELD, RELEASE, Absent),
        (BARE, RELEASE, Absent),
        (PAUSED, RELEASE, CannotTell),
        (TAKEN, RELEASE, CannotTell),
        (OUTLIVED, RELEASE, Absent),
        (PAUSED, CLEAR, Found),
        (BARE, CLEAR, Absent),
        (None, CLEAR, CannotTell),
    ],
)
def test_what_arrived_is_told_by_mark_and_pause(now: Standing | None, plan: dict[str, Any], expected: type) -> None:
    assert expected is type(KUBE.look(now, plan, OURS))


@pytest.mark.parametrize("now, expected", [(FREE, mark()), (BARE, mark()), (HELD, None)])
def test_the_mark_is_written_unless_it_is_held_under_that_key(now: Standing, expected: HoldMark | None) -> None:
    assert expected == KUBE.to_write(now, HOLD, OURS)


@pytest.mark.parametrize("now", [PAUSED, TAKEN])
def test_what_somebody_paused_since_is_left_alone(now: Standing) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.to_write(now, HOLD, OURS)
    assert "Kubernetes: ns/load is suspended by now, and not by this hold; nothing was sent" == str(caught.value)


def test_a_plan_that_makes_no_mark_is_not_sent() -> None:
    with pytest.raises(NotSupported):
        KUBE.to_write(FREE, {**HOLD, "until": "tomorrow"}, OURS)


@pytest.mark.parametrize("now", [FREE, PAUSED, TAKEN])
def test_a_hold_whose_mark_is_gone_is_not_released(now: Standing) -> None:
    with pytest.raises(NotSupported) as caught:
        KUBE.check_release(now, RELEASE)
    assert "Kubernetes: no annotation of ns/load tells of this hold by now; nothing was sent" == str(caught.value)


@pytest.mark.parametrize("now", [HELD, BARE, OUTLIVED])
def test_a_hold_whose_mark_is_there_may_be_released(now: Standing) -> None:
    KUBE.check_release(now, RELEASE)


@pytest.mark.parametrize(
    "now, why",
    [
        (FREE, None),
        (BARE, None),
        (PAUSED, "ns/load is suspended already, not by Headway"),
        (TAKEN, "ns/load is suspended already, by Headway for alice until 2026-11-21T06:30:00Z"),
    ],
)
def test_a_preview_of_a_hold_says_who_was_first(now: Standing, why: str | None) -> None:
    assert why == KUBE.unfit(JOB, now)


@pytest.mark.parametrize(
    "now, why",
    [
        (HELD, None),
        (BARE, None),
        (OUTLIVED, None),
        (TAKEN, f"ns/load is held by another: {mark(OTHER).text}"),
        (FREE, "ns/load is not held: it is enabled, without a mark of ours"),
        (PAUSED, "ns/load is disabled and bears no mark of ours: somebody else paused it. By hand: do it"),
    ],
)
def test_a_preview_of_a_release_says_why_not(now: Standing, why: str | None) -> None:
    assert why == KUBE.bound(JOB, now, OURS, "do it")


def test_an_ask_becomes_a_mark_and_a_plan() -> None:
    asked = asked_mark(ask(Verb.HOLD, by="alice", until="2026-11-21T07:30:00+01:00"))
    assert asked is not None
    assert "headway-hold id=KEY by=alice until=2026-11-21T06:30:00Z" == shown(asked)
    assert HOLD == hold_plan(JOB, asked)
    assert asked_mark(ask(Verb.HOLD, by="alice", until="2026-11-21T07:30:00")) is None
    assert RELEASE == release_plan(JOB, ask(Verb.RELEASE, hold=OURS))
    assert CLEAR == release_plan(JOB, ask(Verb.RELEASE, hold=OURS, enable="no"))


def test_a_mark_is_bare_where_nothing_is_paused_under_it() -> None:
    seen = {"held": HELD, "bare": BARE, "outlived": OUTLIVED, "free": FREE}
    assert {name: [one.bare for one in native_holds(JOB, now, "here")] for name, now in seen.items()} == {
        "held": [False],
        "bare": [True],
        "outlived": [False, True],
        "free": [],
    }


def test_a_plan_that_makes_no_mark_is_refused_for_that_and_not_for_a_pause_that_nobody_made() -> None:
    with pytest.raises(NotSupported, match='a hold by "" until "2026-11-21T06:30:00Z" cannot be written down'):
        KUBE.to_write(FREE, {**HOLD, "by": ""}, OURS)
