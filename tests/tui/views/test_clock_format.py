"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock, ZoneMode, format_short, format_signed
from console.tui.frame.glyphs import GlyphSet
from tests.rows import each_row
from tests.tui.fake_reads import at

NOW = datetime(2026, 11, 20, 2, 17, 42, tzinfo=UTC)


@each_row(
    "seconds,text",
    [(0, "0s"), (8, "8s"), (2412, "40m12s"), (2400, "40m"), (11_520, "3h12m"), (187_200, "2d4h"), (-90, "-1m30s")],
)
def test_a_span_has_at_most_two_units(seconds: int, text: str) -> None:
    assert text == format_duration(seconds)


def test_a_short_span_drops_seconds_above_a_minute() -> None:
    assert ["40m", "3h12m", "8s", "-12m"] == [format_short(timedelta(seconds=s)) for s in (2412, 11_542, 8, -735)]


def test_slack_is_signed() -> None:
    assert ["+1h22m", "-12m"] == [format_signed(timedelta(seconds=s)) for s in (4920, -720)]


def test_a_deadline_uses_its_own_wall_clock_with_its_zone() -> None:
    clock = ZonedClock(ZoneInfo("Asia/Tokyo")).at_home_in("Europe/Berlin")
    deadline = datetime(2026, 11, 20, 5, 30, tzinfo=UTC)
    assert ("06:30", "CET") == (clock.hm(deadline, NOW), clock.label(deadline))
    clock.mode = ZoneMode.MINE
    assert ("14:30", "JST") == (clock.hm(deadline, NOW), clock.label(deadline))
    clock.mode = ZoneMode.UTC
    assert ("05:30", "UTC") == (clock.hm(deadline, NOW), clock.label(deadline))


def test_the_label_changes_with_summer_time() -> None:
    clock = ZonedClock().at_home_in("Europe/Berlin")
    summer, winter = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert ("CEST", "CET") == (clock.label(summer), clock.label(winter))


def test_a_zone_that_this_machine_does_not_know_is_utc() -> None:
    assert "UTC" == ZonedClock().at_home_in("Mars/Olympus").label(NOW)


def test_far_instants_carry_their_day() -> None:
    clock = ZonedClock(UTC)
    assert "Sun 02:17" == clock.hm(NOW + timedelta(days=2), NOW)
    assert "12-20 02:17" == clock.hm(NOW + timedelta(days=30), NOW)


def test_what_is_on_another_day_says_on_which() -> None:
    clock, now = ZonedClock(UTC), datetime(2026, 11, 20, 3, 17, tzinfo=UTC)
    times = [now + timedelta(hours=3), now + timedelta(hours=23), now - timedelta(hours=4), now + timedelta(days=10)]
    assert ["06:17", "Sat 02:17", "Thu 23:17", "30 Nov"] == [clock.day(at, now) for at in times]
    assert "–" == clock.day(None, now)


@each_row(
    "key, text",
    [
        ("2026-11-20T02:10:00Z", "2026-11-20 03:10"),
        ("2026-11-20T02:10:07Z", "2026-11-20 03:10:07"),
        ("start:2026-11-03T02:41:07Z", "start 2026-11-03 03:41:07"),
        ("start:2026-11-26T15:51:01.496156Z", "start 2026-11-26 16:51:01"),
        ("manual__7", "manual__7"),
        ("", ""),
        ("2026-11-20T29:10:00Z", "2026-11-20T29:10:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_period_key_is_read_as_an_instant_where_it_is_one(key: str, text: str) -> None:
    assert text == RenderContext(NOW, ZonedClock(ZoneInfo("Europe/Berlin")), GlyphSet()).period(key)


def test_a_stamp_names_its_zone_only_where_it_is_not_the_one_of_now() -> None:
    ctx = RenderContext(at("03:17"), ZonedClock(ZoneInfo("Europe/Berlin")), GlyphSet())
    assert ctx.stamp(at("03:10")) == "2026-11-20 03:10"
    assert ctx.stamp(datetime(2026, 10, 24, 1, 10, tzinfo=UTC)) == "2026-10-24 03:10 CEST"


@each_row(
    "text, shown",
    [
        ("daily at 01:00 UTC", "daily at 02:00"),
        ("daily at 23:30 UTC", "daily at 00:30"),
        ("daily at 01:00 Europe/Berlin", "daily at 01:00"),
        ("hourly at :17 Asia/Kolkata", "hourly at :47"),
        ("every 5 minutes UTC", "every 5 minutes"),
        ("Mon-Fri at 07:00 UTC", "Mon-Fri at 08:00"),
        ("Mon-Fri at 23:30 UTC", "Mon-Fri at 23:30 UTC"),
        ("at 03:15, 09:15 Europe/Berlin", "at 03:15, 09:15"),
        ("started by EventBridge", "started by EventBridge"),
    ],
)
def test_a_schedule_is_shown_in_the_zone_of_the_screen(text: str, shown: str) -> None:
    assert shown == ZonedClock(ZoneInfo("Europe/Berlin")).schedule(text, NOW)
