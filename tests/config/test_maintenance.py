"""`[[maintenance]]` and `[[exceptions]]`: what config says, and every fault with its place and fix."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from console.config.loading import load_config
from console.config.references import job_patterns, unmatched_patterns
from console.domain.settings import Declared
from console.store.config_documents import declared_json, parse_declared
from tests.config.test_config import GOOD, faults
from tests.rows import each_row

TEXT = """
[calendars.close]
on = "last business day of quarter"
[[maintenance]]
why = "kernel patches"
systems = ["dwh"]
from = 2026-11-21T22:00:00
to = "2026-11-22T04:00:00"
timezone = "Europe/Berlin"
[[exceptions]]
why = "quarter close"
calendar = "close"
dates = [2026-12-30]
services = ["s"]
more_time = "90m"
"""


IN_BERLIN = 'timezone = "Europe/Berlin"'


def declared(tmp_path: Path) -> Declared:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + TEXT)
    return load_config(file).declared


def test_a_window_without_an_offset_is_in_its_zone(tmp_path: Path) -> None:
    [window] = declared(tmp_path).maintenance
    assert (datetime(2026, 11, 21, 21, tzinfo=UTC), datetime(2026, 11, 22, 3, tzinfo=UTC)) == (
        window.since,
        window.until,
    )


def test_an_exception_stores_its_days_and_what_it_moves(tmp_path: Path) -> None:
    [planned_exception] = declared(tmp_path).exceptions
    assert ("close", (date(2026, 12, 30),), timedelta(minutes=90)) == (
        planned_exception.calendar,
        planned_exception.dates,
        planned_exception.more_time,
    )


def test_the_store_holds_every_maintenance_setting(tmp_path: Path) -> None:
    declared_settings = declared(tmp_path)
    assert declared_settings == parse_declared(declared_json(declared_settings))


@each_row(
    "text, expected",
    [
        ('[[maintenance]]\nsystems = ["dwh"]', "maintenance.1.why: is missing."),
        ('[[maintenance]]\nwhy = "x"', "maintenance.1.jobs: is missing; add systems"),
        (
            '[[maintenance]]\nwhy = "x"\nsystems = ["dwh"]',
            "maintenance.1.calendar: is missing; write from and to, or the calendar",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\nfrom = 2026-11-22T00:00:00Z\nto = 2026-11-21T00:00:00Z',
            "ends before it begins; its to lies after its from",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\nfrom = "soon"\ncalendar = "c"',
            "maintenance.1.from: is not an instant",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\ncalendar = "d"',
            'maintenance.1.calendar: no calendar "d". Known: c.',
        ),
        ('[[maintenance]]\nwhy = "x"\nsystems = ["dhw"]\ncalendar = "c"', 'no system "dhw". Did you mean "dwh"?'),
        (
            '[[exceptions]]\nwhy = "x"\nservices = ["ss"]\ncalendar = "c"\nmore_time = "1h"',
            'exceptions.1.services: no service "ss". Did you mean "s"?',
        ),
        (
            '[[exceptions]]\nwhy = "x"\nservices = ["s"]\nmore_time = "1h"',
            "exceptions.1.calendar: is missing; write dates = [2026-12-31]",
        ),
        (
            '[[exceptions]]\nwhy = "x"\ncalendar = "c"\nmore_time = "1h"',
            "exceptions.1.services: is missing; needed by more_time: services",
        ),
        (
            '[[exceptions]]\nwhy = "x"\ncalendar = "c"\ntakes_longer = "1h"',
            "exceptions.1.jobs: is missing; needed by takes_longer: jobs",
        ),
        (
            '[[exceptions]]\nwhy = "x"\ncalendar = "c"\njobs = ["*"]',
            'exceptions.1.jobs: nothing is moved; write more_time = "90m"',
        ),
        (
            '[[maintenance]]\nwhy = "x"\ntargets = ["dwh/databas"]\ncalendar = "c"',
            'maintenance.1.targets: "dwh" has no "databas". Did you mean "database"?',
        ),
        (
            '[[maintenance]]\nwhy = "x"\ntargets = ["dhw/x"]\ncalendar = "c"',
            'maintenance.1.targets: no system "dhw" in "dhw/x". Did you mean "dwh"?',
        ),
        (
            '[[maintenance]]\nwhy = "x"\ntargets = ["db07"]\ncalendar = "c"',
            'maintenance.1.targets: "db07" is not a target. Write system/target',
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["dhw/a"]\ncalendar = "c"',
            'maintenance.1.jobs: no system "dhw" in "dhw/a". Did you mean "dwh"?',
        ),
        (
            '[[exceptions]]\nwhy = "x"\njobs = ["extract"]\ncalendar = "c"\ntakes_longer = "1h"',
            'exceptions.1.jobs: "extract" fits no job name. Write system/native-id, * for any text.',
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\nfrom = 0001-01-01T00:00:00+05:00\ncalendar = "c"',
            "maintenance.1.from: lies in the year 1; write one from 1970 to 2999, or leave it out for no limit",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\nto = 9999-12-31T23:00:00-05:00\ncalendar = "c"',
            "maintenance.1.to: lies in the year 9999; write one from 1970 to 2999",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\ncalendar = "c"\nto = 2026-03-29T02:30:00\n' + IN_BERLIN,
            "maintenance.1.to: 02:30 does not exist on 2026-03-29 in Europe/Berlin; write 2026-03-29T01:30:00+01:00 or",
        ),
        (
            '[[maintenance]]\nwhy = "x"\njobs = ["*"]\ncalendar = "c"\nto = 2026-10-25T02:30:00\n' + IN_BERLIN,
            "02:30 comes twice on 2026-10-25 in Europe/Berlin; write 2026-10-25T02:30:00+02:00 or 2026",
        ),
        ("[maintenance]\na = 1", "Write [[maintenance]] above each why"),
    ],
)
def test_an_invalid_setting_is_reported_with_its_fix(tmp_path: Path, text: str, expected: str) -> None:
    results = faults(tmp_path, f"{GOOD}[calendars.c]\n{text}\n")
    assert [] != [line for line in results if expected in line], results


def test_all_faults_of_an_entry_are_reported_at_once(tmp_path: Path) -> None:
    entries = '[[exceptions]]\nreason = "x"\nmore_time = "1h"\ntakes_longer = "2x"\n[[maintenance]]\nfrom = "soon"\n'
    results = "\n".join(faults(tmp_path, f"{GOOD}{entries}"))
    for expected in (
        "exceptions.1.why: is missing.", "exceptions.1.reason: unknown key.", "exceptions.1.calendar: is missing",
        'exceptions.1.takes_longer: "2x" ', "exceptions.1.services: is missing; needed by more_time",
        "exceptions.1.jobs: is missing; needed by takes_longer:", "maintenance.1.why: is missing.",
        "maintenance.1.jobs: is missing", "maintenance.1.from: is not an instant", "maintenance.1.calendar: is missing",
    ):  # fmt: skip
        assert results.count(expected) == 1, (expected, results)
    assert 10 == results.count("\n") + 1


@each_row("wrong", ["dates = [1]", 'more_time = "2x"', "services = 1", "jobs = 1", "calendar = 1"])
def test_no_fault_follows_from_a_wrong_value(tmp_path: Path, wrong: str) -> None:
    keys = {"why": '"x"', "dates": "[2026-12-31]", "more_time": '"1h"', "services": '["s"]'}
    name, _, value = wrong.partition(" = ")
    entry = "\n".join(f"{key} = {text}" for key, text in (keys | {name: value}).items())
    assert 1 == len(faults(tmp_path, f"{GOOD}[[exceptions]]\n{entry}\n"))


STARS = """[calendars.c]
[[maintenance]]
why = "x"
systems = ["etl-*", "dw*"]
targets = ["dwh/x*"]
jobs = ["dwh/x*"]
calendar = "c"
[[exceptions]]
why = "y"
services = ["daily-*"]
jobs = ["dwh/y*"]
calendar = "c"
more_time = "1h"
[[rules.too_long.where]]
jobs = ["dwh/r*"]
threshold = "1h"
"""


def test_a_pattern_that_fits_nothing_yet_is_a_remark(tmp_path: Path) -> None:
    """What it means may come with tomorrow's deployment."""
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + STARS)
    config = load_config(file)
    assert [
        'maintenance 1: systems = "etl-*" fits nothing yet. Known: dwh.',
        'maintenance 1: targets = "dwh/x*" fits nothing yet. Known: dwh/database.',
        'exceptions 1: services = "daily-*" fits nothing yet. Known: s.',
    ] == unmatched_patterns(config)
    assert ["dwh/x*", "dwh/y*", "dwh/r*"] == job_patterns(config)
