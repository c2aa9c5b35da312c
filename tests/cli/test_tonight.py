"""`headway tonight`: the timeline line by line, now, at an earlier moment, on a past date."""

from __future__ import annotations

import json

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from console.store.reads import Reads
from tests.store.estate import EXTRACT, Estate, at, failed
from tests.store.fixtures import night, reads, served, store, store_url
from tests.store.test_apply import day
from tests.store.test_night import judged

__all__ = ["night", "reads", "served", "store", "store_url"]


def told(url: str, capsys: pytest.CaptureFixture[str], *words: str, code: Exit = Exit.OK) -> str:
    capsys.readouterr()
    assert code == main(["--store", url, "tonight", *words])
    return capsys.readouterr().out


def test_services_come_with_the_jobs_of_their_paths(
    served: Estate, reads: Reads, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    lines = told(store_url, capsys).splitlines()
    assert lines[0] == "business date 2026-11-19: 1 service, 1 critical job; times: Europe/Berlin"
    assert lines[3].startswith("Supply plan")
    assert lines[4].split()[:2] == [EXTRACT, "failed"]


def test_a_document_has_every_bar_with_its_instants(
    served: Estate, reads: Reads, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    document = json.loads(told(store_url, capsys, "--json"))
    [service, job] = document["lanes"]
    assert ("service", "supply", "job", EXTRACT) == (service["kind"], service["name"], job["kind"], job["name"])
    assert {"kind": "ran", "state": "failed", "start": f"{at('03:10'):%Y-%m-%dT%H:%M:%SZ}"}.items() <= job["bars"][
        0
    ].items()


def test_at_an_earlier_moment_nothing_is_told_that_came_later(
    served: Estate, reads: Reads, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    served.ingest(failed())
    judged(served, day(path=(served.job_id(),), incident_key=None))
    assert "not begun" in told(store_url, capsys, "--at", "04:05")
    assert "running" in told(store_url, capsys, "--at", "04:12")


def test_what_is_no_time_of_day_is_said_with_what_to_write(
    served: Estate, reads: Reads, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--store", store_url, "tonight", "--at", "3 o'clock"])
    assert "is no time of day; write 03:20" in capsys.readouterr().err
