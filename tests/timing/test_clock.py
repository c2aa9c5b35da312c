"""The one clock, real and replayed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from console.timing.clock import Clock, ClockSetting

ORIGIN = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
STARTED = datetime(2027, 1, 1, 12, 0, tzinfo=UTC)


def clock(hand: ClockSetting | None, real: datetime) -> Clock:
    return Clock(lambda: hand, lambda: real)


def test_without_a_row_the_clock_is_the_real_one() -> None:
    before = datetime.now(UTC)
    assert before <= Clock().now() <= datetime.now(UTC)
    assert STARTED == clock(None, STARTED).now()


def test_a_replay_runs_at_its_rate_from_its_origin() -> None:
    hand = ClockSetting(ORIGIN, STARTED, rate=60)
    assert ORIGIN + timedelta(minutes=5) == clock(hand, STARTED + timedelta(seconds=5)).now()
    assert 60 == clock(hand, STARTED).rate


def test_a_paused_replay_does_not_move() -> None:
    hand = ClockSetting(ORIGIN, STARTED, rate=60, paused=True)
    assert ORIGIN == clock(hand, STARTED + timedelta(hours=1)).now()
    assert 0 == clock(hand, STARTED).rate


def test_a_replay_never_shows_a_time_before_its_origin() -> None:
    assert ORIGIN == clock(ClockSetting(ORIGIN, STARTED, rate=2), STARTED - timedelta(hours=1)).now()


def test_a_changed_row_is_seen_after_a_while() -> None:
    hands = [ClockSetting(ORIGIN, STARTED), ClockSetting(ORIGIN, STARTED, paused=True)]
    subject = Clock(lambda: hands[0], lambda: STARTED)
    assert 1 == subject.rate
    hands.reverse()
    subject._refresh_at = 0.0
    assert 0 == subject.rate


def test_what_is_put_off_waits_in_real_seconds_whatever_the_rate() -> None:
    assert STARTED + timedelta(seconds=5) == clock(None, STARTED).after(5)
    assert ORIGIN + timedelta(minutes=5) == clock(ClockSetting(ORIGIN, STARTED, rate=60), STARTED).after(5)


def test_a_timer_set_during_a_paused_replay_is_not_due_at_once() -> None:
    assert ORIGIN + timedelta(seconds=5) == clock(ClockSetting(ORIGIN, STARTED, paused=True), STARTED).after(5)
