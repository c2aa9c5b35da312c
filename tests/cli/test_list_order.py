"""What lists say when nobody watches, in which order they stand, and which clock a slack is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.states import RunState
from console.cli.clock_format import until_text
from console.cli.exits import Exit
from console.cli.incidents import incident_table
from console.cli.main import main
from console.cli.reader import staleness_text
from console.cli.services import service_table, slack_text
from console.domain.header import EngineView
from console.domain.incident import IncidentRow, sort_by_impact
from console.domain.reason import OutOfReach
from console.tui.frame.service_groups import ordered
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.tui.fake_reads import NOW as NIGHT
from tests.tui.fake_reads import at, incident_row, services

__all__ = ["bench"]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "texts",
    [["service"], ["incident"], ["job"], ["job", "fake/extract"], ["run", "fake/extract"], ["incident", "1"]],
)
def test_a_list_of_a_store_without_an_engine_says_how_old_it_is(
    texts: list[str], bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    bench.stop_clock()
    capsys.readouterr()
    main(["--store", bench.url, *texts])
    fresh = capsys.readouterr()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = '', until_us = 0")
    assert Exit.OK == main(["--store", bench.url, *texts])
    output = capsys.readouterr()
    assert "" == fresh.err
    assert output.err.startswith("headway: no engine has run since ")
    assert output.out.splitlines()[0].endswith(fresh.out.splitlines()[0])


def test_a_list_of_jobs_has_their_titles_where_names_do_not(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A job of a source with opaque ids could not be distinguished from others."""
    bench.turn()
    assert Exit.OK == main(["--store", bench.url, "job", "list"])
    assert "title" not in capsys.readouterr().out
    with bench.store.write(None) as connection:
        connection.rows("UPDATE job SET title = 'pilot rota' WHERE native_id = 'extract'")
    assert Exit.OK == main(["--store", bench.url, "job", "list", "pilot"])
    heading, row = capsys.readouterr().out.splitlines()[-2:]
    assert ["job", "title"] == heading.split()[:2]
    assert ["fake/extract", "pilot", "rota"] == row.split()[:3]


def test_ages_use_real_time() -> None:
    ended = EngineView("", None, NOON - timedelta(minutes=2), alive=False)
    assert "no engine has run since 2026-11-20 11:58:00 UTC; this data is 2m old" == staleness_text(ended, NOON)
    assert "no engine has run" in staleness_text(ended._replace(heartbeat=None), NOON)


def test_slack_is_the_time_left_to_act_where_an_incident_is_open() -> None:
    by_name = {service.name: service for service in services()}
    assert ("+40m18s to act", "+5h", "–", "–") == tuple(
        slack_text(by_name[name], NIGHT) for name in ("supply-plan", "churn-scores", "stock-levels", "weekly-finance")
    )


def test_once_its_act_by_has_passed_slack_is_the_delay_of_the_usual_repair() -> None:
    """It was "-3h41m to act"."""
    first = services()[0]
    late = replace(first, act_by=NIGHT - timedelta(hours=3), expected=first.deadline + timedelta(hours=2))
    assert "-2h, usual repair" == slack_text(late, NIGHT)
    assert "–" == slack_text(replace(late, expected=None), NIGHT)


def test_services_that_need_a_person_stand_first() -> None:
    rows = service_table(list(reversed(services())), NIGHT).rows
    assert ["Supply plan", "Daily revenue"] == [row[0] for row in rows[:2]]
    assert ["Weekly finance", "Churn scores", "Stock levels"] == [row[0] for row in rows[2:]], "no estimate; those over"
    assert [row[0] for row in rows] == [view.title for view in ordered(tuple(services()), NIGHT)], "as in the console"


def test_the_cause_of_a_service_is_in_the_zone_of_the_table() -> None:
    reason = OutOfReach("db07", "unreachable", at("03:05"), needed_from=at("04:15") + timedelta(days=1))
    view = replace(services()[2], zone="Europe/Berlin", reasons=(reason,))
    table = service_table([view], NIGHT)
    cause = table.rows[0][[column.title for column in table.columns].index("cause")]
    assert "db07 unreachable since 02:05 UTC, needed from Sat 21 Nov 03:15 UTC: forecast unverified" == cause


def harmed(
    number: int, tier: int | None, act_by: timedelta | None, age: timedelta, closed: bool = False
) -> IncidentRow:
    return incident_row(id=number, tier=tier, act_by=None if act_by is None else NIGHT + act_by,
                        failed_since=NIGHT - age, closed=NIGHT if closed else None)  # fmt: skip


def test_incidents_are_ordered_by_impact_everywhere() -> None:
    """Tier before act-by before age; an incident without affected services comes last, even if it is the oldest."""
    hour = timedelta(hours=1)
    ordered = [harmed(4, 1, hour, hour), harmed(2, 1, None, hour), harmed(5, 2, hour / 4, hour),
               harmed(1, None, None, 9 * hour), harmed(3, None, None, 2 * hour),
               harmed(6, 1, hour, hour, closed=True)]  # fmt: skip
    names = [f"INC-{incident.id:04}" for incident in ordered]
    rows = incident_table(ordered[::-1], NIGHT).rows
    assert names == [row[0] for row in rows]
    assert ordered == sort_by_impact(ordered[::-1])


def test_what_comes_on_another_day_says_on_which() -> None:
    assert "in 2h" == until_text(NOON + timedelta(hours=2), NOON)
    assert "in 14h (Sat 21 Nov)" == until_text(NOON + timedelta(hours=14), NOON)
    assert "–" == until_text(None, NOON)


@pytest.mark.parametrize("texts", [["job", "list", "--limit", "0"], ["run", "fake/extract", "--limit", "0"]])
def test_a_list_of_no_rows_is_no_list(texts: list[str], bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--store", bench.url, *texts])
    assert Exit.USAGE == end.value.code
    assert "argument --limit: '0'" in capsys.readouterr().err


@pytest.mark.parametrize("texts", [["version"], ["--version"]])
def test_the_version_is_printed_by_option_and_by_command(texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(texts)
    assert capsys.readouterr().out.startswith("headway ")


def test_the_version_is_available_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == main(["version", "--json"])
    assert '"version": "' in capsys.readouterr().out


def test_an_incident_of_a_target_shows_why_and_since_when_it_is_unreachable(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench.store.write(None) as connection:
        connection.rows(
            "INSERT INTO incident (id, key, title, cause, root_period_key, business_date, reason, owner, runbook,"
            " root_target_id,"
            " failed_since_us, opened_us, close_reason, fingerprint, version, changed_seq)"
            " SELECT 7, 'k', 'fake/one is out of sight', 'target', '', '2026-11-20', '', '', '', id, 0, 0, '', '', 1, 0"
            " FROM target"
        )
        connection.rows(
            "UPDATE target SET error = 'no route to host', error_kind = 'unreachable', failing_since_us = 0"
        )
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "incident", "7"])
    assert "fake/one: unreachable: no route to host (since 1970-01-01 00:00:00 UTC)" in capsys.readouterr().out


def test_the_log_of_another_jobs_run_is_not_shown_under_this_name(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("load", "b1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    run_id = bench.reads().jobs.job("fake/load").row.run_id
    capsys.readouterr()
    assert Exit.NOT_FOUND == main(["--store", bench.url, "log", "fake/extract", "--run", str(run_id)])
    assert f"run {run_id} belongs to fake/load, not to fake/extract" in capsys.readouterr().err


def test_the_jobs_of_a_service_are_those_that_it_hangs_on(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.scheduler.job("apart")
    bench.poller._inventory_at = 0.0
    bench.turn()
    capsys.readouterr()
    both = {"fake/extract", "fake/load"}
    for texts, names in (((), both | {"fake/apart"}), (("--service", "supply"), both)):
        assert Exit.OK == main(["--store", bench.url, "job", "list", *texts, "--json"])
        assert names == {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert Exit.NOT_FOUND == main(["--store", bench.url, "job", "list", "--service", "suply"])
    assert '"service suply" not found; did you mean supply?' in capsys.readouterr().err
