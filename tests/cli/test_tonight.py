"""`headway forecast tonight`: the timeline line by line, now, at an earlier moment, on a past date."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from console.cli.exits import Exit
from console.cli.forecast import timeline_table
from console.cli.main import main
from console.control.explain.timeline import timeline_lanes
from console.domain.timeline import TimelineJob, TimelineRun
from console.store.queries.reader import Queries
from tests.control.services import test_timeline as timeline
from tests.store.estate import EXTRACT, Estate, at, failed
from tests.store.fixtures import night, reads, served, store, store_url
from tests.store.queries.test_night import judged
from tests.store.test_decisions import day, decide, expected

__all__ = ["night", "reads", "served", "store", "store_url"]


def tonight_output(url: str, capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK) -> str:
    capsys.readouterr()
    assert code == main(["--store", url, "forecast", "tonight", *arguments])
    return capsys.readouterr().out


def test_services_come_with_the_jobs_of_their_paths(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    lines = tonight_output(store_url, capsys).splitlines()
    assert lines[0] == "business date 2026-11-19: 1 service, 1 critical job; times: Europe/Berlin"
    assert lines[3].startswith("Supply plan")
    assert lines[4].split()[:2] == [EXTRACT, "failed"]


def test_a_document_has_every_bar_with_its_instants(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    document = json.loads(tonight_output(store_url, capsys, "--json"))
    [service, job] = document["lanes"]
    assert ("service", "supply", "job", EXTRACT) == (service["kind"], service["name"], job["kind"], job["name"])
    assert {"kind": "ran", "state": "failed", "start": f"{at('03:10'):%Y-%m-%dT%H:%M:%SZ}"}.items() <= job["bars"][
        0
    ].items()


def test_an_earlier_moment_shows_nothing_that_came_later(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    assert "not started" in tonight_output(store_url, capsys, "--at", "04:05")
    assert "running" in tonight_output(store_url, capsys, "--at", "04:12")


def test_an_invalid_time_of_day_is_refused_with_an_example(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--store", store_url, "forecast", "tonight", "--at", "3 o'clock"])
    assert "write 03:20" in capsys.readouterr().err


def _often(*runs: TimelineRun, now: str) -> list[str]:
    """The row of a job that runs often, on whose last run before its deadline its service waits."""
    job = TimelineJob(1, "etl/often", 30, 45, "history", runs)
    view = timeline.night(job, now=now)
    return list(timeline_table(timeline_lanes(view, timeline.at(now)), timeline.at(now)).rows[1][1:4])


def _run(number: int, due: str, ends: str | None = None) -> TimelineRun:
    tries = (timeline.ran(due, ends),) if ends else ()
    return TimelineRun(number, timeline.at(due), timeline.at(due), "succeeded" if ends else "planned", tries)


def test_a_frequent_job_shows_the_missing_run_apart_from_the_others() -> None:
    ran = (_run(1, "03:04", "03:05"), _run(2, "03:07", "03:08"), _run(3, "03:08", "03:09"))
    ahead = _run(4, "03:20")
    assert ["03:20 not started", "03:20", "before 03:07–03:08, 03:08–03:09"] == _often(*ran, ahead, now="03:12")
    after = TimelineRun(3, timeline.at("03:01"), timeline.at("03:01"), "succeeded", (timeline.ran("03:08", "03:09"),))
    assert ["03:04 not started", "03:04", "since then 03:08–03:09"] == _often(after, _run(4, "03:04"), now="03:12")
    assert ["not started", "03:20", ""] == _often(_run(4, "03:20"), now="03:12")
    assert ["succeeded", "03:08", "03:07–03:08, 03:08–03:09"] == _often(*ran, now="03:12")


@timeline.OFTEN
def test_a_frequent_job_is_due_at_its_next_start(every: int, seconds: int) -> None:
    now = timeline.at("03:00") + timedelta(seconds=seconds)
    job = timeline.often(every, now)
    lanes = timeline_lanes(timeline.night(job, now=f"{now:%H:%M}"), now)
    following = f"{job.next_start:%H:%M}"
    [status, due, ran] = timeline_table(lanes, now).rows[1][1:4]
    assert (f"{following} not started", following, True) == (status, due, ran.startswith("before "))


def test_a_failed_job_has_failed_though_it_starts_again(
    served: Estate, reads: Queries, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed(), failed(period="03:12"), failed(period="03:14"))
    decide(served, expected=(expected("03:22"), expected("03:24")))
    judged(served, day(path=(served.job_id(),), incident_key=None))
    lines = tonight_output(store_url, capsys).splitlines()
    assert [EXTRACT, "failed", "04:14"] == lines[4].split()[:3]
    assert "not started" not in lines[4]
