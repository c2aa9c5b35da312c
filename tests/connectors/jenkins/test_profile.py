"""Jenkins by its profile, on a fake by its Remote Access API."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import GARBLED, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector, Receipt
from connectors.sdk.errors import NotSupported, OutcomeUnknown, PermissionMissing
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState, Verb
from tests.fakes.jenkins import LOAD, LOG, MART, TIMER, FakeJenkins, cause_action, remote_cause
from tests.rows import each_row

KIND = registry.load("jenkins")
PROFILE = HttpProfile.model_validate(
    tomllib.loads(registry.profiles()["jenkins"].read_text(encoding="utf-8")), context={}
)
SETTINGS = {
    "url": "https://jenkins.example.com",
    "views": ["nightly"],
    "username": "headway",
    "password": {"env": "JENKINS_API_TOKEN"},
    "trigger_token": {"env": "JENKINS_TRIGGER_TOKEN"},
}


def secret(reference: Any) -> str:
    return "trigger" if "TRIGGER" in str(reference) else "right"


def opened(fake: FakeJenkins, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    options = KIND.options.model_validate({**SETTINGS, **changes})
    return PROFILE.open_target(options, "nightly", secret, transport or fake.transport)


class TestJenkins(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = KIND
    against = "fake: a Jenkins of ours, by its Remote Access API and the source of its core"
    limits: ClassVar[Mapping[str, str]] = {"due": "the fake starts nothing by its schedules"}
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("crowded", "with_a_run_behind"), "tests/connectors/http/test_mapped.py"
    )
    unplayed: ClassVar[Mapping[str, str]] = {
        "long_log": "its log comes in one answer, which is refused beyond 32 MiB",
    }

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeJenkins()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, "nightly", secret)

    def make_success(self) -> str:
        return MART

    def make_failure(self) -> str:
        return LOAD

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.build(MART, "HIBERNATED", self.fake.now - timedelta(minutes=9))
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(MART)
        row = self.fake.build(MART, None, self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == f"{MART}/{row['number']}")

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.jobs[job_id]["buildable"] = False

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.jobs[job_id]["buildable"] = True

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            del self.fake.jobs[MART]
            return opened(self.fake)
        return opened(self.fake, _SpoiledBuilds(self.fake.handle, how, "/view/", "url", endless))

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "/view/"
        return opened(self.fake)

    def native_trace(self) -> object:
        jobs = [{**row, "description": row["description"] or None} for row in self.fake.jobs.values()]
        return jobs, {name: list(map(dict, rows)) for name, rows in self.fake.builds.items()}, list(self.fake.queue)

    def advance(self) -> None:
        self.fake.tick()


class _SpoiledBuilds(FaultyTransport):
    """Spoils the builds of the last job in an answer that has builds, else the jobs."""

    def _spoil(self, rows: list[dict[str, Any]]) -> None:
        super()._spoil(next((row["allBuilds"] for row in reversed(rows) if row.get("allBuilds")), rows))


def endless(body: Any, times: int) -> Any:
    """The same full page for ever."""
    for job in body["jobs"]:
        if "allBuilds" in job:
            job["allBuilds"] = ((job["allBuilds"] or [{}]) * 5)[:5]
    return body


def walked(
    connector: Connector, cursor: str = "", open_runs: tuple[RunRef, ...] = ()
) -> tuple[dict[str, RunRecord], str]:
    runs: dict[str, RunRecord] = {}
    while True:
        poll = connector.poll(cursor, open_runs, 10)
        assert poll.complete, poll
        runs, cursor = runs | {run.attempt_key: run for run in poll.runs}, poll.cursor
        if not poll.more:
            return runs, cursor


def test_jobs_in_folders_are_jobs_and_folders_are_not() -> None:
    jobs = opened(FakeJenkins()).inventory("", 10).jobs
    assert [(LOAD, "etl » load orders"), (MART, "mart")] == [(job.native_id, job.title) for job in jobs]


def test_the_log_of_a_job_in_a_folder_is_at_the_path_of_its_folders() -> None:
    fake = FakeJenkins()
    run = walked(opened(fake))[0][f"{LOAD}/3"]
    assert LOG == opened(fake).log(ref(run), None, 4096, 10).text
    assert "GET /job/etl/job/load orders/3/consoleText" == fake.requests[-1]


def test_a_build_ends_its_duration_after_its_start_and_not_before_building_is_false() -> None:
    fake = FakeJenkins()
    row = fake.build(MART, None, fake.now - timedelta(minutes=5))
    row["result"] = "SUCCESS"  # a step of a pipeline may set it
    assert RunState.RUNNING is walked(opened(fake))[0][f"{MART}/4"].state
    row |= {"building": False, "duration": 61_500}
    run = walked(opened(fake))[0][f"{MART}/4"]
    assert run.started_at is not None
    assert (RunState.SUCCEEDED, run.started_at + timedelta(seconds=61.5)) == (run.state, run.ended_at)


def test_a_quiet_poll_is_one_request_however_long_history_is() -> None:
    """Pages go on only for jobs that have more builds since the last poll than one answer shows."""
    fake = FakeJenkins()
    fake.builds[MART].clear()
    for number in range(300):
        fake.build(MART, "SUCCESS", fake.now - timedelta(minutes=5 * (300 - number)))
    fake.build(MART, "SUCCESS", fake.now - timedelta(days=8))["number"] = 0
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert {f"{MART}/{number}" for number in range(1, 301)} <= runs.keys()
    fake.requests.clear()
    walked(connector, cursor)
    assert ["GET /view/nightly/api/json"] == fake.requests


def test_an_open_build_behind_newer_ones_is_looked_up_alone() -> None:
    fake = FakeJenkins()
    row = fake.build(LOAD, None, fake.now - timedelta(hours=3))
    connector = opened(fake)
    runs, cursor = walked(connector)
    run = runs[f"{LOAD}/4"]
    for minutes in range(9, 0, -1):
        fake.build(LOAD, "SUCCESS", fake.now - timedelta(minutes=minutes))
    row |= {"building": False, "result": "ABORTED", "duration": 60_000}
    ended, cursor = walked(connector, cursor, (ref(run),))
    assert (LOAD, RunState.CANCELLED) == (ended[f"{LOAD}/4"].job, ended[f"{LOAD}/4"].state)


def test_a_job_whose_row_cannot_be_read_is_reported_and_hides_no_other() -> None:
    fake = FakeJenkins()
    poll = opened(fake, FaultyTransport(fake.handle, GARBLED, "/view/")).poll("", (), 10)
    assert ({LOAD}, False, 1) == ({run.job for run in poll.runs}, poll.complete, len(poll.skipped))


def failed_run(fake: FakeJenkins) -> ActionSpec:
    run = walked(opened(fake))[0][f"{LOAD}/3"]
    return ActionSpec(Verb.RERUN, ref(run), run.state)


def test_a_rerun_that_waits_in_the_queue_is_neither_absent_nor_sent_again() -> None:
    fake = FakeJenkins()
    fake.is_busy = True
    connector, key = opened(fake), new_key()
    preview = connector.preview(failed_run(fake), 10)
    assert "trigger" not in str(preview).replace("trigger_token", ""), "a preview shows no secret"
    connector.act(preview, key, 10)
    answer = connector.look_up(preview, key, 10)
    assert ActionUnknown("it waits in the queue of its source") == answer
    assert Receipt(key, "was sent before, and waits in the queue of its source") == connector.act(preview, key, 10)
    fake.is_busy = False
    fake.tick()
    assert ActionFound(f"{LOAD}/4", f"run {LOAD}/4 carries it") == connector.look_up(preview, key, 10)


def test_a_job_without_the_trigger_token_is_refused_and_nothing_is_built() -> None:
    fake = FakeJenkins()
    fake.tokens.pop(LOAD)
    connector = opened(fake)
    with pytest.raises(PermissionMissing, match=r"load%20orders/build \(403\)"):
        connector.act(connector.preview(failed_run(fake), 10), new_key(), 10)
    assert not fake.queue


def test_a_job_with_parameters_is_refused() -> None:
    fake = FakeJenkins()
    fake.parameterized.add(LOAD)
    connector = opened(fake)
    with pytest.raises(NotSupported, match=r"load%20orders/build \(400\)"):
        connector.act(connector.preview(failed_run(fake), 10), new_key(), 10)
    assert not fake.queue


def test_without_a_trigger_token_in_the_config_a_preview_says_so_and_jobs_are_watched() -> None:
    fake = FakeJenkins()
    preview = opened(fake, trigger_token=None).preview(failed_run(fake), 10)
    assert "the config has no trigger_token, which this call sends" == preview.refused


def test_a_job_that_cannot_be_disabled_is_not_held() -> None:
    """A branch of a multibranch pipeline: Jenkins answers as if it were."""
    fake = FakeJenkins()
    fake.never_disabled.add(MART)
    connector, key = opened(fake), new_key()
    until = (fake.now + timedelta(hours=1)).isoformat()
    preview = connector.preview(
        ActionSpec(Verb.HOLD, RunRef(MART, "", "", ""), RunState.UNKNOWN, {"by": "ann", "until": until}), 10
    )
    assert any("/submitDescription?description=" in call and "ann" in call for call in preview.native_calls)
    connector.act(preview, key, 10)
    assert not isinstance(connector.look_up(preview, key, 10), ActionFound)


@each_row(
    "place, change, fault",
    [
        ("runs", {"path": "/view/{target}/api/json?tree=x%7B{end}%7D"}, r"{end} is {offset} and {limit} together"),
        ("runs", {"key": ""}, "queue: say in key where a run shows our key"),
        ("runs", {"rows": "jobs.*.allBuilds.*"}, r"'jobs\.\*\.allBuilds\.\*' may have one \"\.\*\""),
        ("jobs", {"rows": "jobs.*.jobs"}, r"only runs has the rows of every row of a list"),
        (
            "options",
            {"trigger_token": {"type": "secret", "about": "A token of it.", "default": "x"}},
            "default does not fit",
        ),
    ],
)
def test_a_bad_profile_gets_its_fault_and_fix(place: str, change: dict[str, Any], fault: str) -> None:
    document = tomllib.loads(registry.profiles()["jenkins"].read_text(encoding="utf-8"))
    with pytest.raises(ValidationError, match=fault):
        HttpProfile.model_validate({**document, place: {**document[place], **change}}, context={})


@each_row(
    "call, change",
    [
        ("hold", {"query": {"description": "{note}", "token": "{option.trigger_token}"}}),
        ("hold", {"pause": "/job/{job}/disable/{option.trigger_token}"}),
        ("jobs", {"query": {"token": "{option.trigger_token}"}}),
        ("verbs", {"cancel": {"path": "/job/{id}/stop/{option.trigger_token}"}}),
        ("oauth2", {"form": {"audience": "{option.trigger_token}"}}),
    ],
)
def test_a_secret_is_in_the_query_or_body_of_an_action_alone(call: str, change: dict[str, Any]) -> None:
    document = tomllib.loads(registry.profiles()["jenkins"].read_text(encoding="utf-8"))
    with pytest.raises(ValidationError, match=r"\{option.trigger_token\} is a secret, which only query and body"):
        HttpProfile.model_validate({**document, call: {**document.get(call, {}), **change}}, context={})


def test_a_rerun_that_is_merged_into_the_request_of_another_is_found_by_its_key() -> None:
    """Jenkins adds our cause behind the first one of the queued item."""
    fake = FakeJenkins()
    fake.is_busy = True
    connector, key = opened(fake), new_key()
    preview = connector.preview(failed_run(fake), 10)
    fake.queue.append((LOAD, {"_class": "x", "actions": [cause_action(TIMER, remote_cause("a deploy script"))]}))
    connector.act(preview, key, 10)
    assert ActionUnknown("it waits in the queue of its source") == connector.look_up(preview, key, 10)
    fake.is_busy = False
    fake.tick()
    assert ActionFound(f"{LOAD}/4", f"run {LOAD}/4 carries it") == connector.look_up(preview, key, 10)
    assert key == walked(connector)[0][f"{LOAD}/4"].action_key


SERVER = SETTINGS["url"]


@each_row(
    "status, location, is_done",
    [
        (302, ".", True),
        (303, "/job/mart/4/", True),
        (302, f"{SERVER}:443/job/mart/4/console", True),
        (302, "https://login.example.org/?from=jenkins", False),
        (302, f"{SERVER}/login?from=%2Fjob%2Fmart%2F4%2F", False),
        (302, f"{SERVER}/job/mart/4/../../../login", False),
        (302, f"{SERVER}:8443/job/mart/4/", False),
        (302, "http://jenkins.example.com/job/mart/4/", False),
        (302, "https://[jenkins/job/mart/4/", False),
        (302, f"{SERVER}:x/job/mart/4/", False),
        (302, "", False),
        (307, f"{SERVER}/job/mart/4/", False),
    ],
)
def test_a_redirect_is_a_success_at_its_own_run_alone(status: int, location: str, is_done: bool) -> None:
    fake = FakeJenkins()
    fake.hangs.add(MART)
    fake.build(MART, None, fake.now)
    run = walked(opened(fake))[0][f"{MART}/4"]

    def answer(request: httpx.Request) -> httpx.Response:
        redirect = httpx.Response(status, headers={"location": location})
        return redirect if request.method == "POST" else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(answer))
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 10)
    with nullcontext() if is_done else pytest.raises(OutcomeUnknown, match="looked up"):
        connector.act(preview, new_key(), 10)


def test_a_redirect_of_a_call_that_answers_with_none_has_an_unknown_outcome() -> None:
    fake = FakeJenkins()
    login = httpx.Response(302, headers={"location": "/login"})
    connector = opened(fake, httpx.MockTransport(lambda call: login if call.method == "POST" else fake.handle(call)))
    with pytest.raises(OutcomeUnknown, match="a redirect to the same host"):
        connector.act(connector.preview(failed_run(fake), 10), new_key(), 10)


def test_the_upstream_projects_of_a_freestyle_job_are_its_upstreams() -> None:
    fake = FakeJenkins()
    fake.jobs[MART] |= {"_class": "hudson.model.FreeStyleProject", "upstreamProjects": [{"fullName": LOAD}]}
    inventory = opened(fake).inventory("", 10)
    assert {LOAD: (), MART: (LOAD,)} == {job.native_id: job.upstreams for job in inventory.jobs}
    assert (["GET /view/nightly/api/json"], True) == (fake.requests, inventory.complete)
    fake.jobs[MART]["upstreamProjects"] = [{"fullName": "outside/of-the-view"}]
    inventory = opened(fake).inventory("", 10)
    reasons = [record.reason for record in inventory.skipped]
    assert ["upstream 'outside/of-the-view' is not in this list of jobs"] == reasons
    upstreams = {job.native_id: job.upstreams for job in inventory.jobs}
    assert ({LOAD: (), MART: ("outside/of-the-view",)}, True) == (upstreams, inventory.complete), "of another view"


def test_jenkins_that_prepares_its_shutdown_starts_nothing_and_a_refused_reading_proves_nothing() -> None:
    fake, reported = FakeJenkins(), list[bool]()
    for fake.is_quieting_down, fake.forbidden in ((False, ""), (True, ""), (True, "^GET /api/json$")):
        reported.append(bool(opened(fake).poll("", (), 10).stopped))
    assert [False, True, False] == reported
