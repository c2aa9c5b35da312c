"""`headway forecast`: over the store as it is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.forecast import job_forecast_table
from console.cli.main import main
from console.control.snapshot.runs import round_up_to_minute
from console.domain.ids import micros
from console.domain.reason import ScheduleChanged
from console.domain.stored import stored_text
from console.timing.clock import real_now
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.tui.fake_ahead import EXTRACT, ahead

__all__ = ["bench"]


def forecast_output(bench: Bench, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "forecast", *arguments])
    return capsys.readouterr().out


def red(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=30))
    bench.turn()


def test_a_forecast_names_its_odds_its_path_and_what_it_rests_on(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    red(bench)
    text = forecast_output(bench, capsys, "supply")
    assert "Supply plan  " in text
    assert " % risk of being late" in text
    assert "in 95 %, usual repair\n" in text
    assert "path      critical: fake/extract → fake/load\n" in text
    assert "evidence  declared durations (too few runs)" in text


def test_json_matches_services_and_why(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    red(bench)
    own = json.loads(forecast_output(bench, capsys, "supply", "--json"))
    (listed,) = json.loads(forecast_output(bench, capsys, "--json"))
    assert own == {**listed, "jobs": own["jobs"]}
    assert Exit.OK == main(["--store", bench.url, "service", "supply", "--json"])
    service = json.loads(capsys.readouterr().out)
    assert (own["p_late"], own["p50"], own["p95"], own["why"], own["act_by"]) == (
        service["p_late"], service["expected"], service["p95"], service["reason"], service["act_by"],
    )  # fmt: skip
    assert Exit.OK == main(["--store", bench.url, "why", "supply", "--json"])
    why = json.loads(capsys.readouterr().out)
    assert (own["p_late"], own["p50"], own["why"]) == (why["p_late"], why["end"], why["reason"])


def test_a_job_upstream_of_a_service_is_shown_with_its_remaining_slack(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    red(bench)
    own = json.loads(forecast_output(bench, capsys, "supply", "--json"))
    job = json.loads(forecast_output(bench, capsys, "fake/extract", "--json"))
    assert ["fake/extract", "fake/load"] == [job["job"] for job in own["jobs"]]
    assert {"job": "fake/extract", "services": own["jobs"][:1]} == job
    assert [(True, True), (False, False)] == [(job["has_failed"], job["slack_s"] is None) for job in own["jobs"]]
    assert (own["act_by"], own["green_by"], 1.0) == tuple(
        job["services"][0][it] for it in ("act_by", "green_by", "decides")
    )
    text = forecast_output(bench, capsys, "extract")
    assert "Supply plan" in text
    assert "100 %" in text
    assert "fake/load  " in forecast_output(bench, capsys, "supply")
    assert Exit.NOT_FOUND == main(["--store", bench.url, "forecast", "no-such"])


def test_a_job_that_failed_today_has_its_slack_in_the_forecast_of_tomorrow(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    red(bench)
    with bench.store.write(None) as session:
        columns = [row.name for row in session.rows("PRAGMA table_info(service_day)") if row.name != "id"]
        tomorrow = {"business_date": "date(business_date, '+1 day')", "deadline_us": "deadline_us + 86400000000"}
        values = ", ".join(tomorrow.get(column, column) for column in columns)
        session.rows(
            f"INSERT INTO service_day ({', '.join(columns)}) SELECT {values} FROM service_day WHERE jobs <> '[]'"
        )
    services = json.loads(forecast_output(bench, capsys, "fake/extract", "--json"))["services"]
    assert [(True, True), (False, False)] == [(day["has_failed"], day["slack_s"] is None) for day in services]


def test_forecasts_are_scored_once_their_day_is_over(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    red(bench)
    assert "has ended yet" in forecast_output(bench, capsys, "score")
    with bench.store.write(None) as connection:
        over = micros(datetime.now(UTC) - timedelta(minutes=1))
        day = f"deadline_us = {over}, delivered_us = {over - 60_000_000}, timeliness = 'met'"
        connection.rows(f"UPDATE service_day SET {day}")
        connection.rows("UPDATE forecast SET p_late = 0.3")
    document = json.loads(forecast_output(bench, capsys, "score", "--json"))
    assert [0.09, 0.09] == [round(item["brier"], 6) for item in (document["all"], *document["services"])]
    assert ["supply"] == [service["service"] for service in document["services"]]
    assert "too few days: " in forecast_output(bench, capsys, "score", "supply")
    with bench.store.write(None) as connection:
        connection.rows("UPDATE service_day SET delivered_us = NULL, timeliness = 'no_estimate'")
    assert [] == json.loads(forecast_output(bench, capsys, "score", "--json"))["services"], (
        "nobody proved that it was late"
    )


def test_two_services_at_once_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--store", bench.url, "forecast", "a", "b"])
    assert Exit.USAGE == ended.value.code
    assert "unrecognized arguments: b" in capsys.readouterr().err
    assert Exit.NOT_FOUND == main(["--store", bench.url, "forecast", "score", "suply"])


def what_if(bench: Bench, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, dict[str, object]]]:
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "forecast", "what-if", *arguments, "--json"])
    services: list[dict[str, dict[str, object]]] = json.loads(capsys.readouterr().out)["services"]
    return services


def test_what_if_a_red_job_were_restarted_skipped_or_faster(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    red(bench)
    p50 = {}
    for way in ("--restart", "--skip", "--faster"):
        (results, *_) = what_if(bench, capsys, way, "fake/extract")
        p50[way] = str(results["then"]["p50"])
        assert p50[way] < str(results["now"]["p50"])
        times = [datetime.fromisoformat(str(results[text][at])) for text in ("now", "then") for at in ("p50", "p95")]
        assert times == [round_up_to_minute(at) for at in times], "to the full minute, as a service is told"
    assert p50["--skip"] < p50["--restart"]
    later = (datetime.now(UTC) + timedelta(hours=3)).strftime("%H:%M")
    (results, *_) = what_if(bench, capsys, "--restart", "fake/extract", "--at", later)
    assert str(results["then"]["p50"]) > p50["--restart"]


def test_what_if_computes_small_arrays_without_threads(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    red(bench)
    assert [] != what_if(bench, capsys, "--skip", "fake/extract")
    assert "1" == os.environ["OPENBLAS_NUM_THREADS"]


def test_what_if_refuses_what_is_no_time_and_no_share(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    red(bench)
    assert Exit.USAGE == main(
        ["--store", bench.url, "forecast", "what-if", "--restart", "fake/extract", "--at", "soon"]
    )
    assert Exit.USAGE == main(["--store", bench.url, "forecast", "what-if", "--skip", "fake/extract", "--at", "03:58"])
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "forecast", "what-if", "--skip", "fake/extract"])
    assert "Supply plan" in capsys.readouterr().out


@pytest.mark.parametrize(
    "requests, text",
    [
        (("--night", "2030-01-01", "--at", "03:58"), "--at needs --restart, not an unchanged night"),
        (("--skip", "fake/extract", "--by", "0.8"), "--by needs --faster, not --skip"),
        (("--faster", "fake/extract", "--times", "3"), "--times needs --slots, not --faster"),
    ],
)
def test_what_if_refuses_an_option_that_would_say_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str], requests: tuple[str, ...], text: str
) -> None:
    assert Exit.USAGE == main(["--store", bench.url, "forecast", "what-if", *requests])
    assert text in capsys.readouterr().err


def test_two_dates_of_a_service_are_distinguished() -> None:
    """Two rows of one name, of which one had no time at all."""
    tonight = ahead("supply-plan", EXTRACT, act_by=None)
    tomorrow = replace(tonight, business_date="2026-11-20", deadline=tonight.deadline + timedelta(days=1))
    names = [
        row[0]
        for row in job_forecast_table([tonight, ahead("daily-revenue", EXTRACT), tomorrow], tonight.deadline).rows
    ]
    assert ["Supply plan 2026-11-19", "Daily revenue", "Supply plan 2026-11-20"] == names


def test_the_reasons_of_a_service_are_in_the_zone_of_the_command(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    red(bench)
    bench.stop_clock()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE service SET zone = 'Asia/Tokyo'")
        start = ScheduleChanged("load", real_now().replace(hour=3, minute=30))
        connection.rows("UPDATE service_day SET reasons = ?", (stored_text((start,)),))
    for arguments in ((), ("supply",)):
        text = forecast_output(bench, capsys, *arguments, "--utc")
        assert "load starts 03:30 UTC" in text, text
