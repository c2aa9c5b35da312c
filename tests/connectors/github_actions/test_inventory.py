"""What a workflow's file and state say: schedules, tasks and their order, what starts it, what puts it to sleep."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from connectors.github_actions import parse
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.records import JobRecord, Schedule
from console.timing.schedule import instants, schedule_fault
from tests.connectors.github_actions.support import ORDERS, REPORT, STOCK, job, opened, repository
from tests.corpus import HOSTILE
from tests.fakes.github import FakeGitHub
from tests.rows import each_row


def jobs(fake: FakeGitHub) -> dict[str, JobRecord]:
    inventory = opened(fake).inventory("", 10)
    return {job.native_id.partition(":")[2]: job for job in inventory.jobs}


def test_a_workflow_has_its_schedule_its_jobs_in_their_order_and_what_starts_it() -> None:
    results = jobs(repository())
    assert Schedule("github", "10 3 * * *", "UTC", window=timedelta(hours=1)) == results[ORDERS].schedule
    assert (job(ORDERS), (job(f"{ORDERS}.extract"),)) == (
        results[f"{ORDERS}.load"].parent,
        results[f"{ORDERS}.load"].upstreams,
    )
    assert "Load it" == results[f"{ORDERS}.load"].title
    assert (job(ORDERS), job(STOCK)) == results[REPORT].upstreams
    assert ("none", "on workflow_run") == (results[REPORT].schedule.dialect, results[REPORT].schedule.text)


def test_its_schedule_is_read_by_the_control_plane() -> None:
    schedule = jobs(repository())[ORDERS].schedule
    assert schedule_fault(schedule) is None
    day = datetime(2026, 11, 21, tzinfo=UTC)
    assert [day.replace(hour=3, minute=10)] == instants(schedule, day, day.replace(hour=23))


def test_the_next_instant_of_several_schedules_is_reported() -> None:
    fake = repository()
    fake.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    fake.files[ORDERS] = 'on: { schedule: [{ cron: "0 22 * * *" }, { cron: "0 14 * * *", timezone: Europe/Berlin }] }'
    schedule = jobs(fake)[ORDERS].schedule
    assert ("github", "", datetime(2026, 11, 21, 13, 0, tzinfo=UTC)) == (
        schedule.dialect,
        schedule.expression,
        schedule.next_at,
    )
    assert ("0 22 * * * UTC; 0 14 * * * Europe/Berlin", timedelta(hours=1)) == (schedule.text, schedule.window)


def test_a_workflow_disabled_by_github_is_paused_with_the_reason() -> None:
    fake = repository()
    connector = opened(fake)
    before = connector.inventory("", 10)
    fake.state[STOCK] = "disabled_inactivity"
    after = connector.inventory(before.hash, 10)
    asleep = next(job_record for job_record in after.jobs if job_record.native_id == job(STOCK))
    assert (False, True) == (after.unchanged, asleep.paused)
    assert "disabled by GitHub itself: no commit for 60 days" == asleep.schedule.text
    (warning,) = connector.poll("", (), 10).warnings
    assert f"{job(STOCK)} is disabled by GitHub itself" in warning
    assert "no commit for 60 days" in connector.probe(10).notes[0]


def test_a_file_is_read_again_only_when_it_changed() -> None:
    fake = repository()
    connector = opened(fake)
    first = connector.inventory("", 10)
    fake.requests.clear()
    assert connector.inventory(first.hash, 10).unchanged
    assert ["GET /actions/workflows", "GET /contents/.github/workflows", "GET "] == fake.requests


def test_a_file_that_is_no_workflow_is_skipped_with_its_reason_and_deletes_nothing() -> None:
    fake = repository()
    fake.files[ORDERS] = "jobs: [unclosed"
    inventory = opened(fake).inventory("", 10)
    assert not inventory.complete
    assert "it is not YAML" in inventory.skipped[0].reason
    assert job(STOCK) in {job.native_id for job in inventory.jobs}


ODD = ("on: 7", "jobs: 3", "on: {schedule: [7, {cron: 3}]}", "[" * 3000, "a: &a [*a]")


@pytest.mark.deep
def test_any_text_is_a_definition_or_unreadable() -> None:
    for text in (*HOSTILE, *ODD):
        with suppress(RecordUnreadable):
            assert isinstance(parse.parse_workflow(text), parse.GitHubWorkflow), ascii(text)


@each_row(
    "shown, name",
    [
        ("build", "build"),
        ("build (3.11, eu)", "build"),
        ("Deploy to eu", "ship"),
        ("call / inner", "call"),
        ("x", None),
    ],
)
def test_a_job_of_a_run_finds_its_task(shown: str, name: str | None) -> None:
    text = (
        "on: push\njobs:\n  build: {}\n  ship: { name: 'Deploy to ${{ matrix.where }}' }\n  call: { uses: ./x.yml }\n"
    )
    assert name == parse.parse_workflow(text).task_of(shown)
