"""GitLab CI by its profile, on a fake by GitLab's documentation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import httpx
import pytest

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk import registry
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns
from connectors.sdk.conformance.faults import GARBLED, JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import ActionRefused, NotSupported, RateLimited
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.polls import walked
from tests.fakes.gitlab import PROJECT, FakeGitLab, written
from tests.rows import each_row

KIND = registry.load("gitlab")
SETTINGS = {"url": "https://gitlab.example.com", "projects": [PROJECT], "token": {"env": "GITLAB_TOKEN"}}
PROFILE = HttpProfile.model_validate(
    tomllib.loads(registry.profiles()["gitlab"].read_text(encoding="utf-8")), context={}
)


def opened(fake: FakeGitLab, transport: httpx.BaseTransport | None = None, **changes: Any) -> HttpConnector:
    options = KIND.options.model_validate(SETTINGS)
    profile = PROFILE.model_copy(update=changes)
    return profile.open_target(options, PROJECT, lambda _: "right", transport or fake.transport)


class TestGitLab(Reads, Logs, Deadlines, Reruns, Cancels, Holds, Faults):
    kind = KIND
    against = "fake: a GitLab of ours, by the shapes that GitLab documents"
    limits: ClassVar[Mapping[str, str]] = {"due": "the fake starts nothing by its schedules"}
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": "tests/connectors/http/test_mapped.py"}

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = FakeGitLab()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KIND.options.model_validate({**SETTINGS, "url": f"http://{host}:{port}"})
        return KIND.open(options, PROJECT, lambda _: "right")

    def make_success(self) -> str:
        return "14"

    def make_failure(self) -> str:
        return "13"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.pipeline(14, "hibernating", self.fake.now)
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.hangs.add(14)
        row = self.fake.pipeline(14, "running", self.fake.now - timedelta(minutes=5))
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.native_ref == str(row["id"]))

    def pause_by_hand(self, job_id: str) -> None:
        self._row(job_id)["active"] = False

    def resume_by_hand(self, job_id: str) -> None:
        self._row(job_id)["active"] = True

    def _row(self, job_id: str) -> dict[str, Any]:
        return next(row for row in self.fake.schedules if str(row["id"]) == job_id)

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.schedules.pop()
            return opened(self.fake)
        paths = "/etl/(pipelines|pipeline_schedules)$"
        faulty = FaultyTransport(self.fake.handle, "", paths, "name", _Endless())
        connector = opened(self.fake, faulty)
        connector.poll("", (), 10)  # which job each run is of: an odd job would hide all of its runs
        faulty.how = how
        return connector

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "GET .*/pipelines$"
        return opened(self.fake)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """A pipeline changes while a walk reads, and moves to the end of the list: the others move up a place."""
        fake = FakeGitLab()
        fake.pipelines.clear()
        for number in range(9):
            fake.pipeline(14, "success", fake.now - timedelta(hours=9 - number))

        def change() -> str:
            fake.now += timedelta(minutes=8)
            row = fake.pipeline(13, "failed", fake.now - timedelta(minutes=7))
            fake.retry(fake.pipelines[0], "ann")
            fake.pipelines[0]["updated_at"] = fake.pipelines[8]["updated_at"]
            return f"{row['id']}.1"

        return opened(fake, limit=4), change

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        self.fake.trace = "0123456789abcde\n" * (size // 16)
        return opened(self.fake), self.latest("13")

    def native_trace(self) -> object:
        rows = [{name: value for name, value in row.items() if name != "updated_at"} for row in self.fake.schedules]
        return rows, [(row["id"], row["status"], len(row["jobs"])) for row in self.fake.pipelines]

    def advance(self) -> None:
        self.fake.tick()


class _Endless:
    """The same full page for ever, of schedules and of pipelines, whatever is requested."""

    def __init__(self) -> None:
        self._first: dict[bool, Any] = {}

    def __call__(self, body: Any, times: int) -> Any:
        first = self._first.setdefault(any("cron" in row for row in body), body)
        return (first * 100)[:100]


def test_schedules_are_jobs_in_their_own_zone() -> None:
    fake = FakeGitLab()
    fake.schedules[1] |= {"cron_timezone": "Pacific Time (US & Canada)", "active": False}
    nightly, hourly = opened(fake).inventory("", 10).jobs
    assert ("13", "Nightly load", "ann", False) == (nightly.native_id, nightly.title, nightly.owner, nightly.paused)
    assert ("0 3 * * *", "Europe/Berlin") == (nightly.schedule.expression, nightly.schedule.zone)
    assert ("", "7 * * * * Pacific Time (US & Canada)") == (hourly.schedule.expression, hourly.schedule.text)
    assert hourly.schedule.next_at is not None
    assert hourly.schedule.has_clock, "a zone of Rails: the next start counts"
    assert hourly.paused


def test_each_project_is_a_target_and_its_path_is_one_part_of_the_address() -> None:
    options = KIND.options.model_validate({**SETTINGS, "projects": ["acme/etl", "acme/dwh"]})
    assert ["acme/etl", "acme/dwh"] == KIND.targets(options)
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.partition(b"?")[0])
        return httpx.Response(200, json=[])

    PROFILE.open_target(options, "acme/dwh", lambda _: "right", httpx.MockTransport(answer)).inventory("", 5)
    assert [b"/api/v4/projects/acme%2Fdwh/pipeline_schedules"] == paths


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_pipeline_belongs_to_the_schedule_that_lists_it_in_either_order(newest_first: bool) -> None:
    fake = FakeGitLab()
    fake.newest_first = newest_first
    for number in range(250):
        fake.pipeline(14, "success", fake.now - timedelta(minutes=250 - number))
    connector = opened(fake)
    runs, cursor = walked(connector)
    assert {str(row["id"]): str(row["schedule"]) for row in fake.pipelines} == {
        run.native_ref: run.job for run in runs.values()
    }
    fake.now += timedelta(minutes=9)
    new = fake.pipeline(14, "success", fake.now - timedelta(minutes=5))
    fake.requests.clear()
    runs, _ = walked(connector, cursor)
    assert "14" == runs[f"{new['id']}.1"].job
    lists = [call for call in fake.requests if call.endswith("/pipelines") and "pipeline_schedules" in call]
    assert len(lists) <= 4, "only the pages where new ones are"


def test_a_pipeline_of_a_deleted_schedule_is_left_out() -> None:
    fake = FakeGitLab()
    fake.schedules.pop()
    connector = opened(fake)
    poll = connector.poll("", (), 10)
    assert ({"13"}, True, ()) == ({run.job for run in poll.runs}, poll.complete, poll.skipped)


def test_a_pipeline_that_its_schedule_does_not_list_yet_is_skipped_and_read_later() -> None:
    fake = FakeGitLab()
    connector = opened(fake)
    _, cursor = walked(connector)
    row = fake.pipeline(14, "running", fake.now)
    row["schedule"] = 0
    poll = connector.poll(cursor, (), 10)
    assert (False, None) == (poll.complete, poll.seen_until)
    assert f"the job of run {row['id']} is unknown" in poll.skipped[0].reason
    row["schedule"] = 14
    assert f"{row['id']}.1" in walked(connector, poll.cursor)[0]


def unsorted_runs() -> dict[str, Any]:
    """A list of runs that is not sorted by change, and runs without children."""
    assert PROFILE.parts is not None
    parts = PROFILE.parts.model_copy(update={"children": None})
    return {"runs": PROFILE.runs.model_copy(update={"oldest_first": False}), "parts": parts}


@pytest.mark.parametrize("changes", [{}, {"limit": 2}, unsorted_runs()], ids=["by change", "of two", "not sorted"])
def test_a_run_that_is_listed_late_is_read_though_another_changed_since(changes: dict[str, Any]) -> None:
    fake = FakeGitLab()
    connector = opened(fake, **changes)
    _, cursor = walked(connector)
    late = fake.pipeline(14, "running", fake.now - timedelta(minutes=8))
    late["schedule"] = 0
    later = fake.pipeline(13, "running", fake.now - timedelta(minutes=1))
    polls = [connector.poll(cursor, (), 10)]
    while polls[-1].more:
        polls.append(connector.poll(polls[-1].cursor, (), 10))
    assert {None} == {poll.seen_until for poll in polls}, "the late run would count as missed"
    assert f"{later['id']}.1" in {run.attempt_key for poll in polls for run in poll.runs}
    late["schedule"] = 14
    assert f"{late['id']}.1" in walked(connector, polls[-1].cursor)[0]


class _SlowGitLab(FakeGitLab):
    """Answers in 50 ms of its own clock, which ends the calls' time."""

    seconds = 0.0

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.seconds += 0.05
        return super().handle(request)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    "stays, changes",
    [(True, {}), (False, {}), (True, unsorted_runs())],
    ids=["one connector", "a connector for each poll", "not sorted"],
)
def test_a_long_history_is_read_in_several_polls(
    newest_first: bool, stays: bool, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll reads a part of the schedules' lists and goes on where the one before ended."""
    fake = _SlowGitLab()
    fake.newest_first = newest_first
    monkeypatch.setattr("connectors.sdk.composed.Deadline", partial(Deadline, monotonic=lambda: fake.seconds))
    recent, fake.pipelines = fake.pipelines, []
    old = fake.now - timedelta(days=200)
    for number in range(1200):
        fake.pipeline(13 + number % 2, "success", old)
    for row in recent:
        row["id"] += 1200
    fake.pipelines += recent
    fake.schedules += [{**fake.schedules[0], "id": 20 + number} for number in range(58)]
    recent[-1]["schedule"] = fake.schedules[-1]["id"]
    connector, cursor, polls, runs = opened(fake, **changes), "", 0, dict[str, str]()
    while True:
        begun, polls = fake.seconds, polls + 1
        poll = connector.poll(cursor, (), 1.0)
        assert (True, True) == (fake.seconds - begun < 1.0, polls < (15 if stays else 60))
        assert poll.cursor != cursor, "the engine does not read the same page again"
        runs |= {run.native_ref: run.job for run in poll.runs}
        cursor, connector = poll.cursor, connector if stays else opened(fake)
        if not poll.more:
            break
    assert ({str(row["id"]): str(row["schedule"]) for row in recent}, True) == (runs, poll.complete)


def test_an_unreadable_job_makes_its_runs_skipped_not_deleted() -> None:
    fake = FakeGitLab()
    poll = opened(fake, FaultyTransport(fake.handle, GARBLED, "/pipeline_schedules$")).poll("", (), 10)
    assert ({"13"}, False) == ({run.job for run in poll.runs}, poll.complete)
    assert {f"the job of run {row['id']} is unknown" for row in fake.pipelines if row["schedule"] == 14} == {
        item.reason.partition(":")[0] for item in poll.skipped
    }


def test_a_rate_limit_in_the_middle_preserves_what_was_read() -> None:
    """The next poll goes on behind it, and waits as long as GitLab says; nothing is read twice for ever."""
    fake = FakeGitLab()
    fake.pipelines.clear()
    for number in range(9):
        fake.pipeline(14, "success", fake.now - timedelta(hours=9 - number))
    remaining = 4

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal remaining
        remaining -= request.url.path.endswith("/jobs") and request.url.params["page"] == "1"
        limited = httpx.Response(429, json={"message": "Retry later"}, headers={"retry-after": "42"})
        return limited if remaining < 0 else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(handle))
    first = connector.poll("", (), 10)
    assert (4, True) == (len(first.runs), first.more)
    with pytest.raises(RateLimited) as caught:
        connector.poll(first.cursor, (), 10)
    assert 42 == caught.value.retry_after_seconds
    remaining = 100
    rest = walked(connector, first.cursor)[0]
    assert 9 == len({run.attempt_key for run in first.runs} | rest.keys())


def test_a_quiet_poll_costs_one_request() -> None:
    fake = FakeGitLab()
    connector = opened(fake)
    _, cursor = walked(connector)
    fake.requests.clear()
    walked(connector, cursor)
    assert ["GET /projects/acme/etl/pipelines"] == fake.requests


def test_a_row_that_moves_to_the_end_while_a_walk_reads_hides_no_other() -> None:
    fake = FakeGitLab()
    fake.pipelines.clear()
    for number in range(9):
        fake.pipeline(14, "success", fake.now - timedelta(hours=9 - number))
    connector = opened(fake, limit=4)
    first = connector.poll("", (), 10)
    assert (4, True) == (len(first.runs), first.more)
    fake.pipelines[1]["updated_at"] = fake.pipelines[-1]["updated_at"]
    rest, _ = walked(connector, first.cursor)
    assert {str(row["id"]) for row in fake.pipelines[4:]} <= {run.native_ref for run in rest.values()}


def test_a_retry_is_a_further_attempt_of_the_same_run() -> None:
    fake = FakeGitLab()
    row = fake.pipelines[-2]
    fake.retry(row, "ann")
    fake.tick()
    fake.tick()
    runs, _ = walked(opened(fake))
    first, second = runs[f"{row['id']}.1"], runs[f"{row['id']}.2"]
    assert (RunState.FAILED, "failed: load (script_failure)") == (first.state, first.message)
    assert (RunState.SUCCEEDED, first.attempt_key) == (second.state, second.again_of)
    assert first.ended_at is not None
    assert second.started_at is not None
    assert first.ended_at < second.started_at


def test_a_success_with_a_failed_job_is_partial() -> None:
    fake = FakeGitLab()
    row = fake.pipelines[-1]
    row["jobs"][0] |= {"status": "failed", "allow_failure": True, "failure_reason": "script_failure"}
    run = walked(opened(fake))[0][f"{row['id']}.1"]
    assert (RunState.PARTIAL, "failed: extract (script_failure)") == (run.state, run.message)


def test_the_log_is_that_of_the_failed_job_of_its_attempt() -> None:
    fake = FakeGitLab()
    row = fake.pipelines[-2]
    fake.outcome["load"] = "failed"
    fake.retry(row, "ann")
    fake.tick()
    fake.tick()
    connector = opened(fake)
    runs, _ = walked(connector)
    for number, job in ((1, row["jobs"][1]), (2, row["jobs"][2])):
        fake.requests.clear()
        assert fake.trace == connector.log(ref(runs[f"{row['id']}.{number}"]), None, 4096, 10).text
        assert f"GET /projects/acme/etl/jobs/{job['id']}/trace" == fake.requests[-1]


def rerun_of(fake: FakeGitLab) -> tuple[HttpConnector, dict[str, Any], ActionSpec]:
    connector = opened(fake)
    row = fake.pipelines[-2]
    run = walked(connector)[0][f"{row['id']}.1"]
    return connector, row, ActionSpec(Verb.RERUN, ref(run), run.state)


def test_a_lost_answer_to_a_retry_is_found_by_the_attempt_and_the_account() -> None:
    fake = FakeGitLab()
    connector, row, spec = rerun_of(fake)
    preview, key = connector.preview(spec, 5), new_key()
    assert preview.native_calls == (
        f"POST https://gitlab.example.com/api/v4/projects/acme%2Fetl/pipelines/{row['id']}/retry",
    )
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    fake.retry(row, "bob")
    lookup = connector.look_up(preview, key, 5)
    assert isinstance(lookup, ActionUnknown)
    assert "started by bob, perhaps not by Headway" in lookup.why
    with pytest.raises(ActionRefused, match="it is running"):
        connector.act(preview, key, 5)
    fake.pipelines[-2]["jobs"][-1]["user"]["username"] = fake.me
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)


def test_the_receipt_of_a_retry_names_the_attempt_that_it_makes() -> None:
    """Its end verifies the action."""
    fake = FakeGitLab()
    connector, row, spec = rerun_of(fake)
    receipt = connector.act(connector.preview(spec, 5), new_key(), 5)
    assert (f"{row['id']}.2", "accepted: retry the failed jobs") == (receipt.native_ref, receipt.message)
    assert receipt.native_ref in walked(connector)[0]


@pytest.mark.parametrize(
    "status, why", [("running", "only failed parts of an ended run"), ("success", "only failed parts of an ended run")]
)
def test_only_a_failed_pipeline_is_retried(status: str, why: str) -> None:
    fake = FakeGitLab()
    connector, row, spec = rerun_of(fake)
    row |= {"status": status, "updated_at": "2026-11-20T03:00:00.000Z"}
    assert why in str(connector.preview(spec, 5).refused)


def test_an_older_attempt_is_not_retried() -> None:
    fake = FakeGitLab()
    connector, row, spec = rerun_of(fake)
    fake.retry(row, "ann")
    assert re.search("attempt 2 .* is running", str(connector.preview(spec, 5).refused))


def test_a_hold_preserves_the_description_and_the_mark_is_no_change_of_the_job() -> None:
    fake = FakeGitLab()
    world = TestGitLab()
    world.fake = fake
    before = opened(fake).inventory("", 5)
    with world.held("13"):
        assert fake.schedules[0]["description"].startswith("Nightly load\nheadway-hold id=headway-")
        assert not fake.schedules[0]["active"]
        during = opened(fake).inventory("", 5)
    assert "Nightly load" == fake.schedules[0]["description"]
    assert [replace(job, paused=False) for job in during.jobs] == [*before.jobs]


def test_a_deleted_open_run_is_lost() -> None:
    fake = FakeGitLab()
    row = fake.pipeline(14, "running", fake.now)
    connector = opened(fake)
    runs, cursor = walked(connector)
    known: RunRef = ref(runs[f"{row['id']}.1"])
    fake.pipelines.remove(row)
    poll = connector.poll(cursor, (known,), 10)
    assert [RunState.LOST] == [run.state for run in poll.runs if run.attempt_key == known.attempt_key]


def test_a_start_is_refused_with_the_reason_of_the_profile() -> None:
    run = RunRef("13", "2026-11-20T03:00:00Z", "", "")
    with pytest.raises(NotSupported, match="playing a schedule takes no key of ours"):
        opened(FakeGitLab()).preview(ActionSpec(Verb.START, run, RunState.MISSED), 5)


@each_row(
    "child, state, message",
    [
        ("success", RunState.SUCCEEDED, ""),
        ("failed", RunState.PARTIAL, "failed: deploy (failed: https://gitlab.example.com/acme/etl/pipelines/"),
        ("canceled", RunState.PARTIAL, "failed: deploy (canceled: https://"),
        ("skipped", RunState.SUCCEEDED, ""),
        ("running", RunState.RUNNING, ""),
        ("manual", RunState.WAITING, ""),
        ("waiting_for_resource", RunState.WAITING, ""),
        ("hibernating", RunState.UNKNOWN, ""),
        (None, RunState.SUCCEEDED, ""),
    ],
)
def test_a_success_is_as_good_as_its_child_pipelines(child: str | None, state: RunState, message: str) -> None:
    """Without strategy: depend GitLab shows the parent as a success in each case."""
    fake = FakeGitLab()
    row = fake.pipelines[-1]
    fake.bridge(row, "checks", "success")
    fake.bridge(row, "deploy", child)
    run = walked(opened(fake))[0][f"{row['id']}.1"]
    assert (state, state.is_open) == (run.state, run.ended_at is None)
    assert run.message.startswith(message)
    assert bool(message) == bool(run.message)
    assert ("success" if not (state.is_open or child == "hibernating") else f"success, deploy: {child}") == (
        run.native_state
    )


def test_a_parent_is_running_while_one_child_runs_and_another_waits_for_a_person() -> None:
    fake = FakeGitLab()
    row = fake.pipelines[-1]
    fake.bridge(row, "checks", "manual")
    fake.bridge(row, "deploy", "running")
    assert RunState.RUNNING is walked(opened(fake))[0][f"{row['id']}.1"].state


def test_a_child_pipeline_that_ends_after_its_parent_is_read_again() -> None:
    """Its end does not change the parent, which no list of changes has again."""
    fake = FakeGitLab()
    row = fake.pipelines[-1]
    bridge = fake.bridge(row, "deploy", "running")
    connector = opened(fake)
    runs, cursor = walked(connector)
    known = ref(runs[f"{row['id']}.1"])
    fake.now += timedelta(hours=3)
    assert RunState.RUNNING is connector.poll(cursor, (known,), 10).runs[-1].state
    bridge["downstream_pipeline"] |= {"status": "failed", "updated_at": written(fake.now)}
    fake.now += timedelta(hours=3)
    poll = connector.poll(cursor, (known,), 10)
    [ended] = [run for run in poll.runs if run.attempt_key == known.attempt_key]
    assert (RunState.PARTIAL, fake.now - timedelta(hours=3)) == (ended.state, ended.ended_at)
    fake.requests.clear()
    connector.poll(poll.cursor, (), 10)
    assert ["GET /projects/acme/etl/pipelines"] == fake.requests, "a quiet poll is one request"


def test_the_log_of_a_run_with_a_failed_child_is_that_of_its_own_jobs() -> None:
    fake = FakeGitLab()
    row = fake.pipelines[-1]
    fake.bridge(row, "deploy", "failed")
    connector = opened(fake)
    run = walked(connector)[0][f"{row['id']}.1"]
    assert fake.trace * 2 == connector.log(ref(run), None, 4096, 10).text


@pytest.mark.parametrize("child", ["running", "success"])
def test_a_failed_pipeline_stays_failed_whatever_its_children_do(child: str) -> None:
    """It took the end of a child, hours after its own."""
    fake = FakeGitLab()
    row = fake.pipelines[-2]
    alone = walked(opened(fake))[0][f"{row['id']}.1"]
    fake.now += timedelta(hours=3)
    fake.bridge(row, "deploy", child)
    run = walked(opened(fake))[0][f"{row['id']}.1"]
    assert (RunState.FAILED, alone.ended_at) == (run.state, run.ended_at)
    assert run.ended_at is not None


def test_a_run_that_is_deleted_before_its_parts_are_read_is_skipped_and_the_others_are_read() -> None:
    """Its 404 ended the whole poll, with the advice to correct the profile."""
    fake = FakeGitLab()
    row, handle = fake.pipelines[-1], fake.handle

    def without_bridges(request: httpx.Request) -> httpx.Response:
        is_gone = request.url.path.endswith(f"/{row['id']}/bridges")
        return httpx.Response(404, json={"message": "404 Not found"}) if is_gone else handle(request)

    fake.handle = without_bridges  # type: ignore[method-assign]
    connector = opened(fake)
    polls = [connector.poll("", (), 10)]
    while polls[-1].more:
        polls.append(connector.poll(polls[-1].cursor, (), 10))
    refs = {run.native_ref for poll in polls for run in poll.runs}
    assert str(row["id"]) not in refs
    assert f"{fake.pipelines[-2]['id']}" in refs
    reasons = [record.reason for poll in polls for record in poll.skipped]
    assert any("the run was deleted meanwhile, or parts.children.path is wrong" in reason for reason in reasons), (
        reasons
    )


def test_an_archived_project_and_one_without_ci_start_nothing() -> None:
    fake, reported = FakeGitLab(), list[str]()
    for fake.is_archived, fake.builds in (
        (False, "enabled"),
        (False, "private"),
        (False, "disabled"),
        (True, "enabled"),
    ):
        reported.append((opened(fake).poll("", (), 10).stopped or "").partition(":")[0])
    assert ["", "", "CI/CD of the project is disabled", "the project is archived"] == reported
    fake.forbidden = "/projects/acme/etl$"
    assert None is opened(fake).poll("", (), 10).stopped
