"""What was sent and is not there yet may still arrive: absence is proved by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionUnknown, LookUpResult, Preview
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import instant_key
from connectors.sdk.settle import send_timeout, sent_at, unless_in_flight
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 3, 20, tzinfo=UTC)


def sent(seconds_ago: float) -> Preview:
    return Preview("clear", "clear it", "1 task", plan={SENT_AT: instant_key(NOW - timedelta(seconds=seconds_ago))})


@each_row(
    "answer, seconds_ago, kind",
    [
        (ActionAbsent(), 10, ActionUnknown),
        (ActionAbsent(), 181, ActionAbsent),
        (ActionFound("x"), 10, ActionFound),
        (ActionUnknown("why"), 181, ActionUnknown),
    ],
)
def test_absent_counts_once_no_sender_can_still_act(
    answer: LookUpResult, seconds_ago: float, kind: type[LookUpResult]
) -> None:
    assert isinstance(unless_in_flight(answer, sent(seconds_ago), NOW), kind)


def test_the_person_reads_until_when_it_may_still_arrive() -> None:
    expected = ActionUnknown("it is not there; the source may still work on it until 03:22:50 UTC")
    assert expected == unless_in_flight(ActionAbsent(), sent(10), NOW)


@pytest.mark.parametrize("plan", [{}, {SENT_AT: None}, {SENT_AT: "soon"}])
def test_an_unsent_action_is_absent(plan: dict[str, Any]) -> None:
    assert sent_at(plan) is None
    assert isinstance(unless_in_flight(ActionAbsent(), Preview("", "", "", plan=plan), NOW), ActionAbsent)


@pytest.mark.parametrize("seconds_ago, remaining", [(0, 60.0), (59, 60.0), (70, 50.0)])
def test_who_sends_ends_before_it_may_be_called_absent(seconds_ago: float, remaining: float) -> None:
    assert remaining == send_timeout(sent(seconds_ago), 60.0, NOW)


def test_what_comes_too_late_is_not_sent() -> None:
    with pytest.raises(SystemUnreachable, match="120 s have passed since it was to be sent"):
        send_timeout(sent(120), 60.0, NOW)
