"""Prefect 3 as it really is: the conformance tests of both kinds that read it, and what only a real server can show."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from typing import Any, ClassVar

import pytest

from connectors.http.connector import CONNECTOR as HTTP
from connectors.prefect.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector, Preview, Receipt
from connectors.sdk.errors import AccessRefused, ActionRefused, OutcomeUnknown
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from tests.lab.prefect import JOBS, PASSWORD, PrefectServer
from tests.lab.process import HANGS_SECONDS, ask, private_folder, remove_folder, wait_until

ORDERS, STOCK = "load-orders/nightly", "stock-count/hourly"
MAPPING: dict[str, Any] = {
    "username": "headway",
    "password": {"env": "HEADWAY_PREFECT"},
    "limit": 50,
    "jobs": {
        "path": "/deployments/filter",
        "method": "POST",
        "body": {"limit": "{limit}", "offset": "{offset}"},
        "id": "id",
        "title": "name",
        "paused": "paused",
        "definition": "entrypoint",
    },
    "runs": {
        "path": "/flow_runs/filter",
        "method": "POST",
        "body": {
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": "{limit}",
            "offset": "{offset}",
            "flow_runs": {
                "expected_start_time": {"after_": "{since}"},
                "deployment_id": {"is_null_": False},
            },
        },
        "one": "/flow_runs/{id}",
        "id": "id",
        "job": "deployment_id",
        "state": "state_type",
        "queued": "expected_start_time",
        "started": "start_time",
        "ended": "end_time",
        "message": "state.message",
    },
    "states": {
        "SCHEDULED": "waiting",
        "PENDING": "queued",
        "RUNNING": "running",
        "PAUSED": "waiting",
        "CANCELLING": "cancelling",
        "COMPLETED": "succeeded",
        "FAILED": "failed",
        "CRASHED": "failed",
        "CANCELLED": "cancelled",
    },
}


@pytest.fixture(scope="module")
def prefect() -> Iterator[PrefectServer]:
    folder = private_folder("prefect")
    server = PrefectServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        remove_folder(folder)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_PREFECT", PASSWORD)


def connect(url: str, **options: Any) -> Connector:
    account = {"username": "headway", "password": {"env": "HEADWAY_PREFECT"}}
    return CONNECTOR.open(CONNECTOR.options(url=url, **{**account, **options}), "api", SecretStore())


@pytest.fixture
def connector(prefect: PrefectServer) -> Iterator[Connector]:
    opened = connect(prefect.url)
    yield opened
    opened.close()


def every(connector: Connector, cursor: str = "") -> list[RunRecord]:
    """The last word on each attempt since the cursor."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), 30)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return list(runs.values())


def attempts(connector: Connector, run: str) -> list[RunRecord]:
    return [run_record for run_record in every(connector) if run_record.attempt_key.startswith(run)]


class TestPrefectConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    kind = CONNECTOR
    against = "real: Prefect 3.8.8"
    patience_seconds: ClassVar[float] = 120.0
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "a real Prefect says no word that it does not have",
    }

    @pytest.fixture(autouse=True)
    def world(self, prefect: PrefectServer, password: None) -> Iterator[None]:
        self.prefect = prefect
        yield
        prefect.behave("stock-count", "succeed")

    def connector(self) -> Connector:
        return connect(self.prefect.url)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}/api")

    def make_success(self) -> str:
        self.prefect.ran(STOCK, "succeed", "COMPLETED")
        return STOCK

    def make_failure(self) -> str:
        self.prefect.ran(ORDERS, "fail", "FAILED")
        return ORDERS

    def a_running_run(self) -> RunRecord:
        run = self.prefect.run(STOCK, "hang")
        self.prefect.wait_for(run, "RUNNING")
        with self.opened() as connector:
            (run_record,) = attempts(connector, run)
        assert run_record.state is RunState.RUNNING
        return run_record

    def pause_by_hand(self, job_id: str) -> None:
        self.prefect.call("POST", f"deployments/{self.prefect.deployment(job_id)['id']}/pause_deployment")

    def resume_by_hand(self, job_id: str) -> None:
        self.prefect.call("POST", f"deployments/{self.prefect.deployment(job_id)['id']}/resume_deployment")

    def let_it_fall_due(self, job_id: str) -> None:
        """A second schedule, first due in five seconds, until its run has begun; none of a held job begins within 20 s.
        Returns when it has ended: it is taken up ten seconds ahead, and a start at its time is refused."""
        deployment = self.prefect.deployment(job_id)
        result, limit_seconds = deployment["id"], 20.0 if deployment["paused"] else self.patience_seconds
        due = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
        rule = {"schedule": {"interval": 30, "anchor_date": due}, "active": True}
        (made,) = self.prefect.call("POST", f"deployments/{result}/schedules", [rule])
        before = self.by_the_clock(result)
        until = time.monotonic() + limit_seconds
        begun_or_over = lambda: self.by_the_clock(result) != before or time.monotonic() >= until  # noqa: E731
        wait_until(begun_or_over, "a run of the second schedule, or none", pause=0.5)
        self.prefect.call("DELETE", f"deployments/{result}/schedules/{made['id']}")
        wait_until(lambda: not self.due_or_running(result), "the end of the runs of the second schedule", pause=0.5)

    def due_or_running(self, deployment: str) -> list[Any]:
        soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
        where = {
            "deployment_id": {"any_": [deployment]},
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}},
            "expected_start_time": {"before_": soon},
        }
        rows: list[Any] = self.prefect.call("POST", "flow_runs/filter", {"flow_runs": where})
        return rows

    def by_the_clock(self, deployment: str) -> int:
        where = {"deployment_id": {"any_": [deployment]}, "start_time": {"is_null_": False}}
        rows = self.prefect.call("POST", "flow_runs/filter", {"flow_runs": where})
        return len([row for row in rows if row["auto_scheduled"]])

    def native_trace(self) -> object:
        rows = [self.prefect.deployment(job) for job in JOBS]
        stored = [{name: row[name] for name in ("paused", "description", "tags", "parameters")} for row in rows]
        schedules = [[(schedule["schedule"], schedule["active"]) for schedule in row["schedules"]] for row in rows]
        return stored, schedules


class TestPrefectByMapping(Reads, Deadlines):
    """Kind `http` reads its REST API, mapped in the config alone, and passes in observe."""

    kind = HTTP
    against = "real: Prefect 3.8.8, its REST API"
    limits: ClassVar[dict[str, str]] = {
        "act": "the mapping names no verb: it observes",
        "log": "Prefect's log is a list of records; this mapping names none",
        "unknown_word": "a real Prefect says no word that it does not have",
    }

    @pytest.fixture(autouse=True)
    def world(self, prefect: PrefectServer, password: None) -> None:
        self.prefect = prefect

    def connector(self) -> Connector:
        return self.connector_at("127.0.0.1", self.prefect.port)

    def connector_at(self, host: str, port: int) -> Connector:
        options = HTTP.options.model_validate({"url": f"http://{host}:{port}/api", **MAPPING})
        return HTTP.open(options, "api", SecretStore())

    def make_success(self) -> str:
        return str(self.prefect.row(self.prefect.ran(STOCK, "succeed", "COMPLETED"))["deployment_id"])

    def make_failure(self) -> str:
        return str(self.prefect.row(self.prefect.ran(ORDERS, "fail", "FAILED"))["deployment_id"])


def test_a_run_that_completed_with_a_failed_task_is_partial_and_its_log_has_the_error(
    prefect: PrefectServer, connector: Connector
) -> None:
    run = prefect.run(ORDERS, "partial")
    assert "COMPLETED" == prefect.wait_for(run)["state_type"]
    (run_record,) = attempts(connector, run)
    assert (ORDERS, RunState.PARTIAL, "Completed") == (run_record.job, run_record.state, run_record.native_state)
    assert re.fullmatch(r"tasks not green: transform-[0-9a-f]+ \(Failed\)", run_record.message)
    wait_until(lambda: "bad row 7" in connector.log(ref(run_record), None, 65536, 20).text, "the log of the task")


def test_a_rerun_is_attempt_two_and_the_first_keeps_its_end_and_its_log(
    prefect: PrefectServer, connector: Connector
) -> None:
    run = prefect.run(ORDERS, "fail")
    prefect.wait_for(run, "FAILED")
    (first,) = attempts(connector, run)
    key = new_key()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state, {"why": "the file is there"}), 20)
    prefect.behave("load-orders", "succeed")
    connector.act(preview, key, 30)
    prefect.wait_for(run, "COMPLETED")
    before, after = attempts(connector, run)
    assert (first.state, first.started_at, first.ended_at) == (before.state, before.started_at, before.ended_at)
    assert (RunState.SUCCEEDED, key, first.period_key) == (after.state, after.action_key, after.period_key)
    assert after.started_at is not None
    assert after.started_at > (first.ended_at or after.started_at)
    wait_until(lambda: "loaded [0" in connector.log(ref(after), None, 65536, 20).text, "the log of attempt two")
    assert "bad row 7" not in connector.log(ref(after), None, 65536, 20).text
    assert "loaded [0" not in connector.log(ref(before), None, 65536, 20).text
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 20)


def sent(connector: Connector, preview: Preview, key: str) -> Receipt:
    """Its server on SQLite answers 503 now and then while busy: the same key is sent again, which makes one run."""
    for _ in range(4):
        with suppress(OutcomeUnknown):
            return connector.act(preview, key, 30)
    return connector.act(preview, key, 30)


def test_the_same_key_twice_is_one_run_for_the_period_that_its_flow_can_read(
    prefect: PrefectServer, connector: Connector
) -> None:
    prefect.behave("stock-count", "succeed")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)
    period = at.isoformat().replace("+00:00", "Z")
    ask = ActionSpec(Verb.START, RunRef(STOCK, period, "", ""), RunState.MISSED, {"period_at": period})
    preview, key = connector.preview(ask, 20), new_key()
    first, again = sent(connector, preview, key), sent(connector, preview, key)
    assert first.native_ref == again.native_ref
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    rows = prefect.call("POST", "flow_runs/filter", {"flow_runs": {"idempotency_key": {"any_": [key]}}})
    assert [period] == [row["expected_start_time"] for row in rows]
    prefect.wait_for(rows[0]["id"], "COMPLETED")
    (run,) = attempts(connector, rows[0]["id"])
    assert (period, at, key) == (run.period_key, run.period_at, run.action_key)


def test_a_flow_that_another_called_is_a_job_of_its_own_and_cannot_be_rerun(
    prefect: PrefectServer, connector: Connector
) -> None:
    prefect.wait_for(prefect.run("count-all/by-hand"), "COMPLETED")
    assert "count-shelf" in {job.native_id for job in connector.inventory("", 30).jobs}
    wait_until(lambda: "count-shelf" in {run.job for run in every(connector)}, "the called flow's run")
    called = next(run for run in every(connector) if run.job == "count-shelf")
    assert called.context["called_by_task_run"]
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(called), called.state), 20).refused
    assert refused is not None
    assert "rerun the flow that called it" in refused


def test_an_automation_that_runs_a_deployment_after_another_is_an_edge(
    prefect: PrefectServer, connector: Connector
) -> None:
    ids = {job: prefect.deployment(job)["id"] for job in JOBS}
    automation = {
        "name": "count after orders",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": ["prefect.flow-run.Completed"],
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {
                "prefect.resource.id": f"prefect.deployment.{ids[ORDERS]}",
                "prefect.resource.role": "deployment",
            },
            "threshold": 1,
            "within": 0,
        },
        "actions": [{"type": "run-deployment", "source": "selected", "deployment_id": ids["count-all/by-hand"]}],
    }
    made = prefect.call("POST", "automations/", automation)
    try:
        jobs = {job.native_id: job for job in connector.inventory("", 30).jobs}
        assert (ORDERS,) == jobs["count-all/by-hand"].upstreams
        assert () == jobs[STOCK].upstreams
    finally:
        prefect.call("DELETE", f"automations/{made['id']}")


def test_a_wrong_password_is_refused_with_a_message(prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_PREFECT", "wrong")
    opened = connect(prefect.url)
    with pytest.raises(AccessRefused, match="401"):
        opened.probe(20)
    opened.close()


def test_behind_a_proxy_with_the_rules_to_watch_everything_is_seen_and_an_act_is_refused(
    prefect: PrefectServer,
) -> None:
    """The rules are those that `headway connector grants prefect` prints, here applied by a proxy of ours."""
    run = prefect.ran(ORDERS, "fail", "FAILED")
    with proxy(prefect.url, rule("VIEW")) as url:
        watching = connect(url)
        rights = watching.probe(30).rights
        assert [True] * 7 == [right.held for right in rights if right.needed_for == "view"]
        acts = [right for right in rights if right.needed_for == "act"]
        assert [(False, True)] * 3 == [(right.held, "headway connector grants prefect" in right.fix) for right in acts]
        assert watching.inventory("", 30).complete
        run_record = attempts(watching, run)[-1]
        assert watching.log(ref(run_record), None, 4096, 20).text
        preview = watching.preview(ActionSpec(Verb.RERUN, ref(run_record), run_record.state), 20)
        with pytest.raises(AccessRefused, match="403"):
            watching.act(preview, new_key(), 20)
        watching.close()
    with proxy(prefect.url, f"{rule('VIEW')}|{rule('ACT')}") as url:
        acting = connect(url)
        assert all(right.held for right in acting.probe(30).rights)
        acting.close()
    assert "FAILED" == prefect.row(run)["state_type"]


def rule(name: str) -> str:
    """The pattern of paths of one rule in grants.txt."""
    text = files("connectors.prefect").joinpath("grants.txt").read_text()
    match = re.search(rf"{name}$\nlocation ~ (\S+)", text, re.MULTILINE)
    assert match, name
    return match[1]


@contextmanager
def proxy(url: str, allowed: str) -> Iterator[str]:
    """The API's address behind a proxy that lets only these paths through."""
    origin = url.removesuffix("/api")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not re.search(allowed, self.path.partition("?")[0]):
                self.reply(403, b"{}", "application/json")
                return
            headers = {name: self.headers[name] for name in ("authorization", "content-type") if self.headers[name]}
            reply = ask(self.command, f"{origin}{self.path}", content=body, headers=headers)
            self.reply(reply.status_code, reply.content, reply.headers.get("content-type", "text/plain"))

        do_GET = do_POST = do_PATCH = answer

        def reply(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *texts: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANGS_SECONDS)
