"""`[calendars]`: what config says comes to the calendar that decisions read; every fault names its place and fix."""

from __future__ import annotations

import shutil
from datetime import date, time
from pathlib import Path

import pytest

from console.config.loading import load_config
from console.domain.calendar import Calendar, CalendarWindow
from tests.config.test_config import GOOD, ROOT, faults
from tests.rows import each_row


def calendar(tmp_path: Path, name: str, text: str) -> Calendar:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + text)
    result = load_config(file).declared.calendar(name)
    assert result is not None
    return result


def test_a_calendar_of_nothing_but_its_name_is_monday_to_friday(tmp_path: Path) -> None:
    assert Calendar("plain", (0, 1, 2, 3, 4)) == calendar(tmp_path, "plain", "[calendars.plain]\n")


def test_every_calendar_setting_is_stored(tmp_path: Path) -> None:
    text = """
[calendars.a]
weekdays = ["sat", "Monday"]
country = "DE"
subdivision = "BE"
closed = [2026-12-24]
open = [2026-12-25]
on = "first business day"
windows = ["22:00-24:00"]
timezone = "Europe/Berlin"
"""
    result = calendar(tmp_path, "a", text)
    assert ((0, 5), "DE", "BE", "Europe/Berlin") == (result.weekdays, result.country, result.subdivision, result.zone)
    assert ((date(2026, 12, 24),), (date(2026, 12, 25),)) == (result.closed, result.opened)
    assert (CalendarWindow(time(22), time(0)),) == result.windows


def test_calendars_of_several_files_are_one_estate(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD + "[calendars.one]\n")
    (tmp_path / "b.toml").write_text("[calendars.two]\n")
    assert ["one", "two"] == [calendar.name for calendar in load_config(tmp_path).declared.calendars]


def test_the_example_has_a_calendar_of_each_kind(tmp_path: Path) -> None:
    example = shutil.copyfile(ROOT / "config.example.toml", tmp_path / "headway.toml")
    named = [calendar.name for calendar in load_config(example).declared.calendars]
    assert ["business-days", "quarter-close", "patch-nights"] == named


@each_row(
    "text, expected",
    [
        ('weekdays = ["mo"]', 'weekdays.1: "mo" is not a day of the week; write "mon" to "sun".'),
        ('country = "XX"', '"XX" is not a country with known holidays; write its two letters: country = "DE".'),
        ('country = "de"', '"de" is not a country with known holidays; did you mean "DE"?'),
        (
            'country = "DE"\nsubdivision = "ZZ"',
            '"ZZ" is not a subdivision of DE with known holidays; known: BB, BE',
        ),
        ('subdivision = "BE"', "a subdivision without a country is not a country with known holidays"),
        ('on = "first moonday"', '"first moonday" names no day; write "first business day"'),
        ('windows = "25:00-03:00"', '"25:00-03:00" is not a window of a day; write "22:00-06:00".'),
        ('closed = ["soon"]', "calendars.x.closed.1: "),
        (
            "closed = [2026-12-24]\nopen = [2026-12-24]",
            "2026-12-24 is closed and open at once; write it in one of them.",
        ),
        (
            "weekdays = []",
            'calendars.x: no day of it ever counts; name weekdays = ["mon", "tue"], on or open.',
        ),
        ('weekdays = []\non = "first business day"', "calendars.x: no day of it ever counts; name weekdays"),
        ('on = "6th friday"', 'on.1: "6th friday" is never: there are at most 5 in a month; write less.'),
        ('onn = "last friday"', 'calendars.x.onn: unknown key. Did you mean "on"?'),
    ],
)
def test_an_invalid_calendar_is_reported_with_its_fix(tmp_path: Path, text: str, expected: str) -> None:
    results = faults(tmp_path, f"{GOOD}[calendars.x]\n{text}\n")
    assert [] != [line for line in results if line.startswith("headway.toml:") and expected in line], results


@pytest.mark.parametrize("top", ['jobs."dwh/a"', "services.s"])
def test_an_unknown_calendar_is_reported_where_it_is_referenced(tmp_path: Path, top: str) -> None:
    text = GOOD.replace(f"[{top}]", f'[{top}]\ncalendar = "busy-days"') + "[calendars.busy-day]\n"
    assert f'{top}.calendar: no calendar "busy-days". Did you mean "busy-day"?' in faults(tmp_path, text)[0]
