"""Ages, as tables show them, and times that are moved to another zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.timing.formats import age_text, in_zone, localized, zoned_time
from tests.factories import at, minutes

BERLIN, NOW = "Europe/Berlin", at("04:00")


@pytest.mark.parametrize("clock, text", [("03:00", "12m ago"), ("03:12", "0s ago"), ("03:14", "now")])
def test_the_age_of_what_a_clock_ahead_of_ours_reported_is_never_negative(clock: str, text: str) -> None:
    assert text == age_text(at(clock), at("03:12"))


@pytest.mark.parametrize(
    "text, moved",
    [
        ("nothing in the log by 03:15 UTC", "nothing in the log by 04:15 CET"),
        ("restart by 05:40 UTC, green by 06:00 UTC", "restart by 06:40 CET, green by 07:00 CET"),
        ("not seen since 18 Nov 23:30 UTC", "not seen since 19 Nov 00:30 CET"),
        ("no run by 23:30 UTC", "no run by 00:30 CET"),
        ("ended 03:15 CET at 12:99 UTC", "ended 03:15 CET at 12:99 UTC"),
        ("job 03:15 UTCX", "job 03:15 UTCX"),
        ("last green, 2026-11-18 23:30 UTC", "last green, 19 Nov 00:30 CET"),
        ("line of a log 03:15:00 UTC", "line of a log 03:15:00 UTC"),
    ],
)
def test_the_times_of_a_text_move_to_another_zone(text: str, moved: str) -> None:
    assert moved == in_zone(text, "UTC", BERLIN, NOW)
    assert text == in_zone(text, "UTC", "UTC", NOW)


@pytest.mark.parametrize("shown, minute", [("{:%H:%M:%S}Z", "03:15Z"), ("{:%H:%M:%S}", "03:15")])
def test_a_full_minute_of_a_text_is_shown_without_seconds(shown: str, minute: str) -> None:
    text = "held since {}, ended {}"
    stamps = "2026-11-19 03:15Z", "2026-11-19 03:15:07Z"
    assert text.format(minute, minute.replace("15", "15:07")) == localized(text.format(*stamps), shown.format)


@given(
    st.integers(-20 * 1440, 40 * 1440),
    st.sampled_from([BERLIN, "Asia/Kolkata", "America/Sao_Paulo"]),
)
def test_what_was_written_for_one_zone_reads_as_if_written_for_the_other(later: int, zone: str) -> None:
    instant = NOW + minutes(later)
    written = zoned_time(instant, zone, NOW)
    dated = zoned_time(instant, "UTC", NOW)
    assert in_zone(written, zone, "UTC", NOW) in (dated, zoned_time(instant, "UTC"))


def test_the_repeated_hour_of_an_autumn_night_is_distinguished_by_its_label() -> None:
    autumn = at("04:00").replace(month=10, day=25)
    for instant in ("00:30", "01:30"):
        both = autumn.replace(hour=int(instant[:2]), minute=30)
        assert f"{instant} UTC" == in_zone(zoned_time(both, BERLIN), BERLIN, "UTC", autumn)
