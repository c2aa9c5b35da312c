"""`headway calendar`: the preview of a calendar, from config and from the store."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from console.config.loading import load_config
from console.diagnosis.config import clock_changes
from console.diagnosis.installation import Installation
from console.engine.supervisor.settings import estate_settings
from console.store.config_sync import sync_config
from tests.config.test_config import GOOD
from tests.store.estate import MIDNIGHT
from tests.store.ready import open_ready

TEXT = f"""{GOOD}
[calendars.business-days]
country = "DE"
closed = [2026-12-24]
[calendars.close]
on = "last business day of quarter"
country = "DE"
closed = [2026-12-24]
[calendars.patches]
on = "2nd tuesday"
windows = "22:00-04:00"
"""
FROM = ["--from", "2026-12-22"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "headway.toml"
    file.write_text(TEXT)
    return file


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert Exit.OK == main(arguments)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_preview_names_each_day_and_what_was_left_out_before_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, "--config", str(config), "calendar", "business-days", "--next", "3", *FROM)
    assert [
        "day  date        hours    why     excluded before it",
        "Tue  2026-12-22  all day  counts  –",
        "Wed  2026-12-23  all day  counts  –",
        "Mon  2026-12-28  all day  counts  2026-12-24 named closed, 2026-12-25 Christmas Day",
    ] == lines


def test_a_shortened_list_of_days_says_how_many_it_omits(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(("--config", str(config), "calendar", "business-days", "--next", "9999", *FROM))
    out, err = capsys.readouterr()
    last = out.splitlines()[-1].split()[1]
    assert f"headway: at most 1000 days are shown; continue with --from {last}\n" == err


def test_the_store_previews_what_config_does(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = str(tmp_path / "headway.db")
    store = open_ready(url)
    sync_config(store, estate_settings(load_config(config)), MIDNIGHT, None)
    store.close()
    texts = ["calendar", "patches", "--next", "4", "--json", *FROM]
    by_config = printed(capsys, "--config", str(config), *texts)
    assert by_config == printed(capsys, "--store", url, *texts)
    document = json.loads("\n".join(by_config))
    assert ["2027-01-12", "2027-02-09", "2027-03-09", "2027-04-13"] == [day["date"] for day in document["days"]]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_today_is_that_of_the_calendars_own_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str], zone: str) -> None:
    """At each moment one of these two is on another date than UTC."""
    file = tmp_path / "headway.toml"
    days = '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'
    file.write_text(f'{GOOD}\n[calendars.daily]\nweekdays = {days}\ntimezone = "{zone}"\n')
    before = datetime.now(ZoneInfo(zone)).date()
    [day] = json.loads("".join(printed(capsys, "--config", str(file), "calendar", "daily", "--next", "1", "--json")))[
        "days"
    ]
    [listed] = json.loads("".join(printed(capsys, "--config", str(file), "calendar", "--json")))
    assert before <= date.fromisoformat(day["date"]) <= datetime.now(ZoneInfo(zone)).date()
    assert day["date"] == listed["next"]


def test_a_list_says_what_each_calendar_is_made_of(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--config", str(config), "calendar", *FROM)
    assert "close          last business day of quarter; no holidays of DE  2026-12-31" in lines
    assert "business-days  Mon Tue Wed Thu Fri; no holidays of DE           2026-12-22" in lines


def test_an_unknown_calendar_names_those_that_are_there(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.NOT_FOUND == main(["--config", str(config), "calendar", "busines-days"])
    assert 'no calendar "busines-days". Known: business-days, close, patches.' in capsys.readouterr().err


def test_a_calendar_that_ends_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(GOOD + "[calendars.once]\nweekdays = []\nopen = [2026-12-24]\n")
    assert Exit.OK == main(["--config", str(config), "calendar", "once", *FROM])
    output = capsys.readouterr()
    assert (2, True) == (len(output.out.splitlines()), "has no more days within five years" in output.err)


NEVER = """[calendars.never]
weekdays = []
open = [2020-01-01]
"""


def test_a_calendar_without_a_counting_day_is_reported_wherever_it_is_shown(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own page, in the list, and by `headway check`, which names who goes by it."""
    config.write_text(GOOD.replace("[services.s]", '[services.s]\ncalendar = "never"') + NEVER)
    text = "no day counts within five years from 2026-12-22, so nothing is ever expected on it. Fix: check its"
    assert Exit.PROBLEM == main(["--config", str(config), "calendar", "never", *FROM])
    assert f'calendar "never": {text}' in capsys.readouterr().err
    assert Exit.OK == main(["--config", str(config), "calendar", *FROM])
    output = capsys.readouterr()
    assert (True, True) == (f'calendar "never": {text}' in output.err, "never" in output.out)
    assert Exit.PROBLEM == main(["--config", str(config), "check", "--no-probe"])
    assert 'calendar "never" (of service s): no day counts within five years from ' in capsys.readouterr().out


def test_data_has_the_hours_and_what_the_clocks_make_of_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = '[calendars.odd]\nweekdays = ["sun"]\nwindows = ["02:30-03:30", "22:00-04:00"]\ntimezone = "Europe/Berlin"\n'
    config.write_text(GOOD + odd)
    texts = ["--config", str(config), "calendar", "odd", "--next", "1", "--from", "2026-03-29"]
    document = json.loads("\n".join(printed(capsys, *texts, "--json")))
    assert ["02:30-03:30", "22:00-04:00"] == document["windows"]
    gap, night = document["days"][0]["hours"]
    assert [{"from": "2026-03-29T01:00:00Z", "to": "2026-03-29T01:30:00Z"}] == gap["open"]
    assert ("02:30 does not exist on 2026-03-29", "") == (gap["note"], night["note"])
    lines = printed(capsys, *texts)
    assert "Sun  2026-03-29  03:00 CEST-03:30 CEST, 22:00-04:00 Europe/Berlin  counts  –" == lines[1]
    assert "window 02:30-03:30: 02:30 does not exist on 2026-03-29; 03:00 CEST-03:30 CEST" == lines[2]


def test_times_skipped_by_a_clock_change_are_reported_before_the_night(config: Path) -> None:
    """By the rule that decisions go by: the jump, and the first of two. Each change is one note, however many times it
    concerns."""
    step = '[systems.people]\nkind = "manual"\nzone = "Europe/Berlin"\n[systems.people.steps.sign]\nat = "02:15"\n'
    second = '[services.t]\ndelivered_by = ["dwh/load_supply"]\ndeadline = "02:30"\ntimezone = "Europe/Berlin"\n'
    quiet = '[routes.a]\nurls = [{ env = "X" }]\n'
    quiet += 'quiet_hours = { from = "22:00", to = "01:30", timezone = "Europe/London" }\n'
    config.write_text(GOOD.replace('"06:30"', '"02:30"') + second + step + quiet)
    berlin = "services.s.deadline 02:30, services.t.deadline 02:30, systems.people.steps.sign.at 02:15"
    london = "routes.a.quiet_hours.to 01:30"
    jump, first = "do not exist and the time of the change counts", "occur twice and the first one counts, in"
    assert [
        f"clock change of 2026-03-29 in Europe/Berlin: these times {jump}, 03:00 CEST: {berlin}",
        f"clock change of 2026-03-29 in Europe/London: these times {jump}, 02:00 BST: {london}",
    ] == changes_after(config, datetime(2026, 1, 1, tzinfo=UTC))
    assert [
        f"clock change of 2026-10-25 in Europe/Berlin: these times {first} CEST: {berlin}",
        f"clock change of 2026-10-25 in Europe/London: these times {first} BST: {london}",
    ] == changes_after(config, datetime(2026, 6, 1, tzinfo=UTC))


def changes_after(config: Path, now: datetime) -> list[str]:
    return [problem.line for problem in clock_changes(Installation(config, now))]


def test_status_says_what_is_in_maintenance_until_when_and_why(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a quiet night would look like a good one."""
    patches = (
        '[[maintenance]]\nwhy = "patches"\nsystems = ["dwh"]\nfrom = 2026-01-01T00:00:00Z\nto = 2199-01-01T00:00:00Z\n'
    )
    over = '[[maintenance]]\nwhy = "over"\njobs = ["*"]\nfrom = 2026-01-01T00:00:00Z\nto = 2026-01-02T00:00:00Z\n'
    config.write_text(TEXT + patches + over)
    url = str(tmp_path / "headway.db")
    store = open_ready(url)
    sync_config(store, estate_settings(load_config(config)), MIDNIGHT, None)
    store.close()
    assert Exit.NO_ENGINE == main(["--store", url, "status"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "maintenance" in line]
    assert ["in maintenance: dwh until 2199-01-01 01:00:00, alerts suppressed: patches"] == lines
    assert Exit.NO_ENGINE == main(["--store", url, "status", "--json"])
    assert [{"of": "dwh", "until": "2199-01-01T00:00:00Z", "why": "patches"}] == json.loads(capsys.readouterr().out)[
        "maintenance"
    ]


def test_a_far_date_that_its_calendar_leaves_out_has_no_promise_either(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A date outside the evaluation window has no promise where its calendar excludes it."""
    config.write_text(TEXT.replace("[services.s]", '[services.s]\ncalendar = "business-days"'))
    url = str(tmp_path / "headway.db")
    store = open_ready(url)
    sync_config(store, estate_settings(load_config(config)), MIDNIGHT, None)
    store.close()
    results = {}
    for business_date in ("2027-01-01", "2027-01-04"):
        assert Exit.OK == main(["--store", url, "service", "--date", business_date, "--json"])
        [document] = json.loads(capsys.readouterr().out)
        results[business_date] = document["timeliness"], document["deadline"], document["reason"]
    text = "no promise for 2027-01-01: calendar business-days, New Year's Day; the next is for 2027-01-04"
    assert ("no_promise", None, text) == results["2027-01-01"]
    assert ("no_estimate", "2027-01-05T05:30:00Z", "not judged yet") == results["2027-01-04"]
