"""Google's services by their profiles, on fakes made from and judged by Google's discovery documents."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import PeriodKind, RunState, Verb
from tests.connectors.polls import walked
from tests.fakes.described import described
from tests.fakes.google_services import (
    FAILED,
    LOAD,
    MART,
    RUNNING,
    SUCCEEDED,
    FakeGoogle,
    FakeRunJobs,
    FakeScheduler,
    FakeTransfers,
    FakeWorkflows,
    number_of,
    written,
)
from tests.rows import each_row

SETTINGS = {"project": "acme", "location": "europe-west1"}
RUNS_OF_AN_ODD_JOB = 4  # a job without an id hides its three runs, and a run of the other job is odd
AGAINST = "described: {} of ours, made from and judged by Google's discovery document"


def document(kind: str) -> dict[str, Any]:
    return tomllib.loads(registry.profiles()[kind].read_text(encoding="utf-8"))


def opened(kind: str, fake: FakeGoogle, transport: httpx.BaseTransport | None = None) -> HttpConnector:
    profile = HttpProfile.model_validate(document(kind), context={})
    options = profile.model_of_options().model_validate({**SETTINGS, "google": {}})
    return profile.open_target(options, "api", lambda _: "", transport or fake.transport)


def at_address(kind: str, url: str) -> HttpConnector:
    """All calls go to one address; the sign-in, which has an address of its own, is left out."""
    changed = {**document(kind), "sign_in": "bearer"}
    changed |= {
        name: {**part, "server": url} for name, part in changed.items() if isinstance(part, dict) and "server" in part
    }
    profile = HttpProfile.model_validate(changed, context={})
    options = profile.model_of_options().model_validate({**SETTINGS, "url": url, "token": {"env": "TOKEN"}})
    return profile.open_target(options, "api", lambda _: "right")


class GoogleWorld(Deadlines, Reads, Faults):
    fake_service: ClassVar[type[FakeGoogle]]
    spoiled: ClassVar[str]
    """The lists, and a text in them."""
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = self.fake_service()

    def open_on(self, transport: httpx.BaseTransport | None = None) -> HttpConnector:
        return opened(self.kind.kind, self.fake, transport)

    def connector(self) -> Connector:
        return self.open_on()

    def connector_at(self, host: str, port: int) -> Connector:
        return at_address(self.kind.kind, f"http://{host}:{port}")

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(MART, "HIBERNATING", self.fake.now - timedelta(minutes=9))
        return self.open_on()

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(MART)
        row = self.fake.run(MART, RUNNING, self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(self.open_on(), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == number_of(row))

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs.pop()
            return self.open_on()
        return self.open_on(FaultyTransport(self.fake.handle, how, self.spoiled, "description", endless))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "(executions|runs|entries:list)$"
        return self.open_on()

    def native_trace(self) -> object:
        return [dict(row) for row in (*self.fake.runs, *self.fake.jobs)]

    def advance(self) -> None:
        self.fake.tick()


def endless(body: Any, times: int) -> Any:
    """The same page for ever, under another token each time."""
    return body | {"nextPageToken": str(times + 1)}


class TestWorkflows(GoogleWorld, Logs, Reruns, Starts, Cancels):
    kind = registry.load("google_workflows")
    lists_of_records = RUNS_OF_AN_ODD_JOB
    against = AGAINST.format("Workflows")
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "its log is a list of steps, one line each"}
    fake_service, spoiled = FakeWorkflows, "/(executions|workflows)$"


class TestRunJobs(GoogleWorld, Logs, Reruns, Starts, Cancels):
    kind = registry.load("google_run_jobs")
    against = AGAINST.format("Cloud Run and a Logging")
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "its log is read as far as its first 1000 lines"}
    fake_service, spoiled = FakeRunJobs, "/(executions|jobs)$"


class HeldWorld(GoogleWorld, Holds):
    limits: ClassVar[Mapping[str, str]] = {"due": "the fake starts nothing by its schedules"}
    by_hand: ClassVar[tuple[dict[str, Any], dict[str, Any]]]
    """The fields of a job that a person paused, and of one that was resumed."""

    def pause_by_hand(self, job_id: str) -> None:
        self._row(job_id).update(self.by_hand[0])

    def resume_by_hand(self, job_id: str) -> None:
        self._row(job_id).update(self.by_hand[1])

    def _row(self, job_id: str) -> dict[str, Any]:
        return next(row for row in self.fake.jobs if number_of(row) == job_id)


class TestTransfers(HeldWorld, Logs):
    kind = registry.load("google_data_transfer")
    lists_of_records = RUNS_OF_AN_ODD_JOB
    against = AGAINST.format("a transfer service")
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "its log is read as far as its first 1000 messages"}
    fake_service, spoiled = FakeTransfers, "/(runs|transferConfigs)$"
    by_hand = {"disabled": True}, {"disabled": False}


class TestScheduler(HeldWorld):
    kind = registry.load("google_scheduler")
    against = AGAINST.format("a Scheduler and a Logging")
    unplayed: ClassVar[Mapping[str, str]] = {"long_log": "Scheduler records no text of its targets"}
    fake_service, spoiled = FakeScheduler, "/(entries:list|jobs)$"
    by_hand = {"state": "PAUSED"}, {"state": "ENABLED"}


@each_row(
    "kind, api, calls",
    [
        ("google_workflows", "workflows.v1", 1),
        ("google_workflows", "workflowexecutions.v1", 6),
        ("google_run_jobs", "run.v2", 6),
        ("google_run_jobs", "logging.v2", 1),
        ("google_data_transfer", "bigquerydatatransfer.v1", 6),
        ("google_scheduler", "cloudscheduler.v1", 5),
        ("google_scheduler", "logging.v2", 1),
    ],
)
def test_each_path_parameter_and_field_is_in_googles_description(kind: str, api: str, calls: int) -> None:
    profile = HttpProfile.model_validate(document(kind), context={})
    result = profile.compare(described(api).text)
    assert ([], calls, []) == (result.faults, result.calls, result.undescribed)


@pytest.mark.parametrize(
    "kind, service", [("google_workflows", FakeWorkflows), ("google_data_transfer", FakeTransfers)]
)
def test_each_jobs_own_list_of_runs_is_read_page_by_page(kind: str, service: type[FakeGoogle]) -> None:
    fake = service()
    fake.jobs.append(fake.job("a-job-without-runs"))
    fake.per_page = 2
    runs, cursor = walked(opened(kind, fake))
    assert {LOAD: 3, MART: 3} == {job: [run.job for run in runs.values()].count(job) for job in (LOAD, MART)}
    fake.run(MART, FAILED, fake.now - timedelta(minutes=4))
    assert [(MART, RunState.FAILED)] == [
        (run.job, run.state) for run in walked(opened(kind, fake), cursor)[0].values() if run.state is RunState.FAILED
    ][-1:]


def test_a_quiet_poll_of_workflows_requests_executions_since_the_last_one() -> None:
    fake = FakeWorkflows()
    connector = opened("google_workflows", fake)
    _, cursor = walked(connector)
    fake.requests.clear()
    runs, _ = walked(connector, cursor)
    assert ["GET /workflows", f"GET /workflows/{LOAD}/executions", f"GET /workflows/{MART}/executions"] == fake.requests
    assert 1 >= len(runs)


def test_a_rerun_of_a_workflow_sends_the_argument_of_the_run_and_shows_none_of_it() -> None:
    fake = FakeWorkflows()
    connector = opened("google_workflows", fake)
    run = next(run for run in walked(connector)[0].values() if run.state is RunState.FAILED)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert "2026-11-24" not in str(preview)
    assert '"argument": "<argument of the run>"' in preview.native_calls[0]
    connector.act(preview, "headway-0123456789", 10)
    assert ('{"day": "2026-11-24"}', {"headway-action": "headway-0123456789"}) == (
        fake.runs[-1]["argument"],
        fake.runs[-1]["labels"],
    )


def test_the_condition_completed_alone_says_how_an_execution_ended() -> None:
    """Of another that succeeded before it, nothing is green."""
    fake = FakeRunJobs()
    row = fake.run(MART, RUNNING, fake.now - timedelta(minutes=2))
    assert "CONDITION_SUCCEEDED" == row["conditions"][0]["state"]
    run = walked(opened("google_run_jobs", fake))[0][number_of(row)]
    assert RunState.RUNNING is run.state


def test_a_transfer_that_was_listed_first_is_read_though_the_list_has_no_order() -> None:
    fake = FakeTransfers()
    connector = opened("google_data_transfer", fake)
    _, cursor = walked(connector)
    fake.runs.insert(0, fake.run(LOAD, SUCCEEDED, fake.now - timedelta(minutes=4)))
    fake.runs.pop()
    assert number_of(fake.runs[0]) in walked(connector, cursor)[0]


def test_a_transfer_is_named_by_its_data_and_only_a_scheduled_one_answers_the_schedule() -> None:
    fake = FakeTransfers()
    fake.runs.clear()
    for schedule in ("every day 03:10", ""):
        fake.run(LOAD, SUCCEEDED, fake.now - timedelta(minutes=4)).update(
            {"runTime": "2026-11-20T00:00:00Z", "schedule": schedule}
        )
    runs, _ = walked(opened("google_data_transfer", fake))
    keys = {None, number_of(fake.runs[1])}
    assert keys == {run.period_key for run in runs.values()}
    assert {("2026-11-20T00:00:00Z", PeriodKind.NAME, None)} == {
        (run.period_name, run.denotes, run.period_at) for run in runs.values()
    }


def test_ends_of_a_job_without_retries_are_runs_and_an_entry_that_came_late_is_read() -> None:
    fake = FakeScheduler()
    connector = opened("google_scheduler", fake)
    fake.run(LOAD, SUCCEEDED, fake.now)
    _, cursor = walked(connector)
    fake.run(LOAD, FAILED, fake.now - timedelta(minutes=4))
    runs, _ = walked(connector, cursor)
    assert [RunState.FAILED, RunState.SUCCEEDED] == sorted(run.state for run in runs.values())


@each_row(
    "schedule, has_next_start",
    [("0 4 * * *", False), ("*/5 4-6 1,15 jan-mar MON#1", False), ("every 5 minutes", True),
     ("2nd,third mon,wed of march 17:00", True)],
)  # fmt: skip
def test_a_start_is_late_after_the_deadline_of_an_attempt_and_a_retry_is_no_start(
    schedule: str, has_next_start: bool
) -> None:
    """Scheduler logs an attempt when it ends, and calls the instant of a retry the next scheduled one."""
    fake = FakeScheduler()
    fake.jobs[0]["schedule"] = schedule
    job = opened("google_scheduler", fake).inventory("", 10).jobs[0]
    assert timedelta(minutes=30) == job.schedule.window
    assert (schedule, has_next_start) == (job.schedule.expression, job.schedule.next_at is not None)


def test_a_deadline_that_is_no_time_is_reported() -> None:
    fake = FakeScheduler()
    fake.jobs[0]["attemptDeadline"] = "soon"
    [skipped] = opened("google_scheduler", fake).inventory("", 10).skipped
    assert "'soon' at 'attemptDeadline' is not a number of seconds" == skipped.reason


def test_a_pause_that_was_lost_leaves_a_mark_and_is_sent_again() -> None:
    """Mark and pause are two calls: the mark is written first and removed last."""
    fake = FakeScheduler()
    until = {"by": "ann", "until": written(fake.now + timedelta(hours=2))}
    run = next(run for run in walked(opened("google_scheduler", fake))[0].values() if run.job == MART)
    spec = ActionSpec(Verb.HOLD, ref(run), RunState.PLANNED, until)
    connector = opened("google_scheduler", fake)
    preview = connector.preview(spec, 10)
    assert ["PATCH", "POST"] == [call.split()[0] for call in preview.native_calls]
    connector.act(preview, "headway-0123456789", 10)
    row = fake.jobs[1]
    assert ("PAUSED", True) == (row["state"], "id=headway-0123456789" in row["description"])
    row["state"] = "ENABLED"
    [hold] = opened("google_scheduler", fake).holds(10)
    assert hold.bare
    connector.act(preview, "headway-0123456789", 10)
    assert "PAUSED" == row["state"]
    assert 1 == row["description"].count("headway-hold")
