"""A home-grown API mapped in the config: conformance, nasty replies, and what the mapping itself must say."""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import struct
import threading
import time
import tomllib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from connectors.http.actions import MAX_SEARCHED_PAGES
from connectors.http.client import format_instant, next_link
from connectors.http.connector import CONNECTOR, HttpConnector, HttpProfile, open_system
from connectors.http.options import HttpHoldCall, HttpJobsCall, HttpLogCall, HttpOptions, HttpPartsCall, HttpRunsCall
from connectors.http.runs import NOT_FOUND_ALONE
from connectors.http.sign_in import OAuth2Grant
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.conformance.world import HOOKS, identity, new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector, Preview, Receipt
from connectors.sdk.errors import (
    AccessRefused,
    ActionRefused,
    InvalidAnswer,
    NotSupported,
    RecordUnreadable,
    SystemUnreachable,
)
from connectors.sdk.field_mapping import (
    MAX_SECONDS,
    FieldTally,
    MappedJobFields,
    MappedRunFields,
    has_field,
    instant_of,
    inventory_of,
    read_run,
    tallying,
    texts_at,
    value_at,
)
from connectors.sdk.fields import digest
from connectors.sdk.records import Poll, RunRecord, RunRef, TargetClock
from connectors.sdk.states import Capability, ProofLevel, RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAnswerTooLarge
from console.cli.connectors import TrialResult, trial_lines, try_target
from tests.connectors.polls import walked
from tests.fakes.homegrown import HomeGrown
from tests.rows import each_row

PAGE = Path(__file__).parents[3] / "docs" / "connectors" / "http.md"
EXAMPLE: dict[str, Any] = tomllib.loads(PAGE.read_text().partition("```toml\n")[2].partition("```")[0])


def settings(**more: Any) -> dict[str, Any]:
    """The example of docs/connectors/http.md: what people copy is what is tested."""
    values = {name: value for name, value in EXAMPLE["systems"]["batch"].items() if name not in ("kind", "poll_every")}
    return {**values, "limit": 4, **more}


def opened(fake: HomeGrown, transport: Any = None, **more: Any) -> HttpConnector:
    options = HttpOptions.model_validate(settings(**more))
    return open_system(options, "api", lambda _: "let-me-in", transport or fake.transport)


def test_a_system_can_what_its_config_names_a_call_for() -> None:
    """Plans, `why` and keys offered a rerun that the connector then refused."""
    calls = {"path": "/x/{job}/{key}", "method": "POST"}
    assert CONNECTOR.lacks is not None
    for given, lacked in (({}, {"rerun", "start", "cancel", "mark"}), ({"rerun": calls}, {"start", "cancel", "mark"})):
        results = CONNECTOR.lacks(HttpOptions.model_validate(settings(verbs=given)))
        assert lacked == set(results)
    assert "the config names no call for it: add [systems.NAME.verbs.start] with its path" == results[Capability.START]
    without = {name: value for name, value in settings().items() if name != "log"}
    assert {Capability.LOG} == set(CONNECTOR.lacks(HttpOptions.model_validate(without)))
    alone = settings(jobs={name: value for name, value in settings()["jobs"].items() if name != "upstreams"})
    assert {Capability.NATIVE_DEPENDENCIES} == set(CONNECTOR.lacks(HttpOptions.model_validate(alone)))


class TestHomeGrown(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = CONNECTOR
    against = "fake: a home-grown scheduler of ours, by the example in the docs"

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = HomeGrown()

    def connector(self) -> Connector:
        return opened(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        options = HttpOptions.model_validate(settings(url=f"http://{host}:{port}"))
        return CONNECTOR.open(options, "api", lambda _: "let-me-in")

    def make_success(self) -> str:
        return "load"

    def make_failure(self) -> str:
        return "mart"

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run("load", "hibernating", self.fake.now)
        return opened(self.fake)

    def a_running_run(self) -> RunRecord:
        row = self.fake.run("load", "active", self.fake.now)
        polls = self.polls_until_end(opened(self.fake), "")
        return next(run for poll in polls for run in poll.runs if run.attempt_key == str(row["id"]))

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            self.fake.jobs.pop(0)
            return opened(self.fake)
        nasty = FaultyTransport(self.fake.handle, how, "/api/", "error", endless=_more)
        return opened(self.fake, nasty, limit=100)

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "/api/runs"
        return opened(self.fake)

    def crowded(self, runs: int) -> Connector:
        at = self.fake.now - timedelta(days=30)
        self.fake.runs = []
        for number in range(runs):
            self.fake.run("load", "done", at + timedelta(seconds=number))
        crowd = _Crowd(self.fake)
        return opened(self.fake, crowd, limit=1000)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        self.fake.log = "0123456789abcde\n" * (size // 16)
        return opened(self.fake), next(run for poll in self.polls_until_end(opened(self.fake), "") for run in poll.runs)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        fake = NewestFirst()
        return opened(fake), lambda: behind(fake)

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs]

    def advance(self) -> None:
        self.fake.tick()


class _Crowd(FaultyTransport):
    """Pages of a long list that is sorted once."""

    def __init__(self, fake: HomeGrown) -> None:
        super().__init__(fake.handle, "")
        self.fake = fake

    def handle_request(self, request: Any) -> Any:
        first = int(request.url.params.get("after") or 0)
        rows = self.fake.runs[first : first + 1000]
        after = str(first + 1000) if first + 1000 < len(self.fake.runs) else None
        return httpx.Response(200, json={"runs": rows, "paging": {"after": after}})


def _more(body: Any, times: int) -> Any:
    """Always the same page, and always another token."""
    return body | {"paging": {"after": str(-times)}} if "paging" in body else body


@contextmanager
def resetting(fake: HomeGrown) -> Iterator[tuple[int, Callable[[int | None], None]]]:
    """Port of a server with this scheduler's answers, and what resets its connections after so many bytes of them."""
    remaining: list[int | None] = [None]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = fake.handle(
                httpx.Request("GET", f"http://127.0.0.1{self.path}", headers=dict(self.headers.items()))
            )
            head = f"HTTP/1.1 {reply.status_code} X\r\nContent-Type: application/json\r\n"
            data = f"{head}Content-Length: {len(reply.content)}\r\n\r\n".encode() + reply.content
            passed = len(data) if remaining[0] is None else min(len(data), remaining[0])
            self.wfile.write(data[:passed])
            self.close_connection = True
            if remaining[0] is not None:
                remaining[0] -= passed
            if passed < len(data):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], lambda count: remaining.__setitem__(0, count)
        finally:
            server.shutdown()
            thread.join()


def test_f36_polls_whose_connection_is_reset_anywhere_end_in_the_runs_of_a_calm_poll() -> None:
    """The pages of a poll arrive whole or the poll fails and leaves its cursor: nothing is lost or doubled."""
    chance = random.Random(36)
    fake = HomeGrown()
    calm = [run for poll in TestHomeGrown().polls_until_end(opened(fake), "") for run in poll.runs]
    with resetting(fake) as (port, reset_after):
        options = HttpOptions.model_validate(settings(url=f"http://127.0.0.1:{port}"))
        connector = CONNECTOR.open(options, "api", lambda _: "let-me-in")
        cursor, more, failures, runs = "", True, 0, list[RunRecord]()
        while more:
            for place in [*sorted(chance.sample(range(2_000), 20)), None]:
                reset_after(place)
                try:
                    poll = connector.poll(cursor, (), 5)
                except SystemUnreachable:
                    failures += 1
                else:
                    break
            runs += poll.runs
            cursor, more = poll.cursor, poll.more
        connector.close()
    assert failures > 10
    assert [(run.job, run.attempt_key, run.state, run.ended_at) for run in calm] == [
        (run.job, run.attempt_key, run.state, run.ended_at) for run in runs
    ]


# -- what it reads ----------------------------------------------------------------------------------------------------
def test_jobs_are_read_as_the_config_says() -> None:
    [load, _] = opened(HomeGrown()).inventory("", 5).jobs
    assert ("load", "Load orders", "load.py", ProofLevel.FULL) == (
        load.native_id,
        load.title,
        load.definition,
        load.proof,
    )
    assert ("debian-cron", "10 3 * * *", "Europe/Berlin") == (
        load.schedule.dialect, load.schedule.expression, load.schedule.zone,
    )  # fmt: skip
    assert not load.paused


@each_row(
    "path, needs, upstreams, reason",
    [
        ("needs", ["load", "stock"], ("load", "stock"), ""),
        ("needs.job", [{"job": "stock", "mode": "all"}, {"job": "load"}], ("load", "stock"), ""),
        ("needs[type=job].job", [{"type": "job", "job": "load"}, {"type": "file", "job": "stock"}], ("load",), ""),
        ("needs", '["load"]', ("load",), ""),
        ("needs", "load", ("load",), ""),
        ("needs", 7, ("7",), ""),
        ("needs", None, (), ""),
        ("needs", [], (), ""),
        ("none", ["load"], (), ""),
        ("needs", ["load", None, ""], ("load",), ""),
        ("needs[*].job", [{"job": "load"}, {"job": None}, {"job": "stock"}], ("load", "stock"), ""),
        ("needs", "[load", ("[load",), "upstream '[load' is not in this list of jobs"),
        ("needs", "[" * 100_000, ("[" * 500,), "is not in this list of jobs"),
        ("needs", [["load"]], ('["load"]',), "upstream '[\"load\"]' is not in this list of jobs"),
        ("needs", ["x" * 5000, "\ud800"], ("x" * 500, "\ud800"), "is not in this list of jobs"),
        ("needs", ["mart", "load", {}, "load"], ("load", "{}"), "waits for itself, upstream 'load' is named 2 times"),
        ("needs.job", [{"task": "load"}], (), ""),
    ],
)
def test_upstreams_are_read_as_a_list_of_ids_or_of_objects(path: str, needs: Any, upstreams: Any, reason: str) -> None:
    rows = [{"name": "mart", "needs": needs}, {"name": "load"}, {"name": "stock"}, {"name": 7}]
    fields = MappedJobFields(id="name", upstreams=path)
    inventory = inventory_of(rows, fields, ProofLevel.EXIT, "", None, "")
    [mart] = [job for job in inventory.jobs if job.native_id == "mart"]
    assert (upstreams, True) == (mart.upstreams, inventory.complete)
    assert reason in " ".join(record.reason for record in inventory.skipped)
    assert bool(reason) == bool(inventory.skipped)


def test_relations_count_in_the_hash_of_a_job_in_any_order() -> None:
    """A known job whose upstreams or parent changed was never stored again."""

    def hashed(**row: Any) -> str:
        fields = MappedJobFields(id="name", parent="flow", upstreams="needs", definition="does")
        return inventory_of([{"name": "a", **row}], fields, ProofLevel.EXIT, "", None, "").jobs[0].definition_hash

    plain = {"does": "x"}
    assert hashed(**plain) == digest(["x"]) == hashed(**plain, needs=[])
    assert hashed(**plain, needs=["b", "c"]) == hashed(**plain, needs=["c", "b"])
    assert 4 == len({hashed(**plain), hashed(**plain, needs=["b"]), hashed(flow="b"), hashed(**plain, flow="b")})


def test_a_relation_to_a_job_that_is_not_read_stays_and_is_reported_of_a_whole_list_alone() -> None:
    """One unreadable row deleted the stored dependencies on its job."""
    rows: list[Any] = [{"name": "mart", "needs": ["load"], "flow": "night"}, {"name": "night"}]
    fields = MappedJobFields(id="name", parent="flow", upstreams="needs")
    for row, reported in (([], ["job mart"]), ([{"name": None}], ["job 3"])):
        inventory = inventory_of(rows + row, fields, ProofLevel.EXIT, "", None, "")
        assert ("night", ("load",)) == (inventory.jobs[0].parent, inventory.jobs[0].upstreams)
        assert reported == [record.where for record in inventory.skipped]
        trial = TrialResult("batch/api", inventory=inventory)
        assert trial.is_understood is inventory.complete is not bool(row)


def test_a_parent_is_another_job_of_the_list_or_reported() -> None:
    rows = [{"name": name, "flow": flow} for name, flow in (("a", None), ("a.1", "a"), ("b", "b"), ("c", "gone"))]
    inventory = inventory_of(rows, MappedJobFields(id="name", parent="flow"), ProofLevel.EXIT, "", None, "")
    assert {"a": None, "a.1": "a", "b": None, "c": "gone"} == {job.native_id: job.parent for job in inventory.jobs}
    assert [("job b", "it is its own parent"), ("job c", "parent 'gone' is not in this list of jobs")] == [
        (record.where, record.reason) for record in inventory.skipped
    ]
    same = inventory_of(rows, MappedJobFields(id="name", parent="flow"), ProofLevel.EXIT, inventory.hash, None, "")
    assert same.unchanged


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
def test_a_mark_sets_the_result_of_an_ended_run_once(verb: Verb) -> None:
    fake, key = HomeGrown(), new_key()
    connector = opened(fake)
    runs = {run.attempt_key: run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs}
    failed = next(run for run in runs.values() if run.state is RunState.FAILED)
    spec = replace(TestHomeGrown().ask(failed), verb=verb)
    preview = connector.preview(spec, 5)
    assert (None, ("POST https://batch.internal/api/runs/2/mark {\"status\": \"done\"}",)) == (
        preview.refused, preview.native_calls,
    )  # fmt: skip
    lookup = connector.look_up(preview, key, 5)
    assert isinstance(lookup, ActionUnknown)
    assert "run 2 is crashed: it does not show the mark" in lookup.why
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert ["POST /api/runs/2/mark"] == [call for call in fake.requested if call.startswith("POST")]
    for state, why in ((RunState.RUNNING, "cancel it first, or let it end"), (RunState.SUCCEEDED, "nothing to do")):
        assert why in str(connector.preview(replace(spec, state=state), 5).refused)
    with pytest.raises(NotSupported, match=r"add \[systems.NAME.verbs.mark\] with its path"):
        opened(fake, verbs={}).preview(spec, 5)


def test_history_comes_page_by_page_and_then_only_what_changed() -> None:
    fake = HomeGrown()
    connector, cursor, sizes = opened(fake), "", []
    for _ in range(3):
        poll = connector.poll(cursor, (), 5)
        cursor = poll.cursor
        sizes.append((len(poll.runs), poll.more))
    assert [(4, True), (4, True), (2, False)] == sizes
    fake.run("load", "done", fake.now - timedelta(minutes=5))
    assert ["11"] == [run.attempt_key for run in connector.poll(cursor, (), 5).runs if run.attempt_key == "11"]


class NewestFirst(HomeGrown):
    """Lists its newest change first: a row that changes during a walk moves to a page that was read already."""

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in self.runs if row["changed"] >= query.get("since", "")]
        rows.sort(key=lambda row: row["id"], reverse=True)
        first = int(query.get("after") or 0)
        return {"runs": rows[first : first + 4], "paging": {"after": str(first + 4) if rows[first + 4 :] else None}}


def test_a_run_that_fails_behind_a_walk_over_several_polls_is_reported_by_the_next_one() -> None:
    fake = NewestFirst()
    connector = opened(fake)
    begun, first = fake.now, connector.poll("", (), 5)
    key = behind(fake)
    *_, last = TestHomeGrown().polls_until_end(connector, first.cursor)
    assert last.seen_until is not None
    assert begun >= last.seen_until
    keys = [run.attempt_key for poll in TestHomeGrown().polls_until_end(connector, last.cursor) for run in poll.runs]
    assert key in keys


def behind(fake: HomeGrown) -> str:
    """A run that fails on the first page, and a newer change on the last one."""
    fake.now += timedelta(minutes=8)
    row = fake.run("mart", "crashed", fake.now - timedelta(minutes=7), rc=3)
    fake.now += timedelta(minutes=8)
    fake.runs[0]["changed"] = fake.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(row["id"])


def test_an_open_run_missing_from_the_list_is_looked_up_alone() -> None:
    fake = HomeGrown()
    connector = opened(fake, overlap=0)
    cursor = list(TestHomeGrown().polls_until_end(connector, ""))[-1].cursor
    open_runs = [RunRef("load", "", "1", "1"), RunRef("load", "", "999", "999")]
    states = {run.attempt_key: run.state for run in connector.poll(cursor, open_runs, 5).runs}
    assert (RunState.SUCCEEDED, RunState.UNKNOWN) == (states["1"], states["999"])


def test_a_list_that_is_not_where_the_config_says_is_named() -> None:
    with pytest.raises(SystemUnreachable, match=r"has no list at rows = 'items'.*headway connector try"):
        opened(HomeGrown(), runs={**settings()["runs"], "rows": "items"}).poll("", (), 5)


def test_an_instant_of_nan_is_skipped_with_its_reason_and_the_rest_is_kept() -> None:
    """It was read as none: a success without a start, and not a word of it."""
    fake = HomeGrown()

    def answer(request: httpx.Request) -> httpx.Response:
        body = fake.handle(request).read()
        return httpx.Response(200, headers={"content-type": "application/json"},
                              content=body.replace(f'"{fake.runs[0]["began"]}"'.encode(), b"NaN"))  # fmt: skip

    polls = [*TestHomeGrown().polls_until_end(opened(fake, FaultyTransport(answer, "")), "")]
    assert [
        "'nan' at 'began' is not an instant written as iso (times = …). Fix: name another field, or correct times"
    ] == [skip.reason for poll in polls for skip in poll.skipped]
    keys = {run.attempt_key for poll in polls for run in poll.runs}
    assert {str(row["id"]) for row in fake.runs[1:]} == keys


@pytest.mark.parametrize("field", ["began", "finished"])
def test_a_run_in_the_future_is_skipped_with_its_reason_until_its_time(field: str) -> None:
    """It was green: an API that writes its times in another zone."""
    fake = HomeGrown()
    row = fake.run("load", "done", fake.now)
    row[field] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    polls = [*TestHomeGrown().polls_until_end(opened(fake), "")]
    reasons = [skip.reason for poll in polls for skip in poll.skipped]
    assert 1 == len(reasons)
    assert "min in the future: correct zone or times in the config, or the clock that wrote it" in reasons[0]
    assert str(row["id"]) not in {run.attempt_key for poll in polls for run in poll.runs}
    assert (False, None) == (polls[-1].complete, polls[-1].seen_until)
    row[field] = fake.now.isoformat()
    again = [*TestHomeGrown().polls_until_end(opened(fake), polls[-1].cursor)]
    assert str(row["id"]) in {run.attempt_key for poll in again for run in poll.runs}


def test_a_run_of_ours_whose_times_cannot_be_read_was_sent_all_the_same() -> None:
    """A run whose times cannot be read counts as sent: it is not sent again."""
    fake = HomeGrown()
    connector = opened(fake)
    run = next(run for run in connector.poll("", (), 5).runs)
    sent, key = connector.preview(TestHomeGrown().ask(run), 5), "headway-" + "a" * 20
    connector.act(sent, key, 5)
    fake.runs[-1]["began"] = "soon"
    assert isinstance(connector.look_up(sent, key, 5), ActionFound)
    count = len(fake.runs)
    assert "was sent before" in connector.act(sent, key, 5).message
    assert count == len(fake.runs)


def test_an_instant_that_means_none_is_no_success_without_a_start() -> None:
    fake = HomeGrown()
    fake.run("load", "done", fake.now)["began"] = "0001-01-01T00:00:00Z"
    reasons = [skip.reason for poll in TestHomeGrown().polls_until_end(opened(fake), "") for skip in poll.skipped]
    assert ["'0001-01-01T00:00:00Z' at 'began' is not a run's time: leave it empty without one"] == reasons


@pytest.mark.parametrize("circle, most", [(1, 3), (3, 10), (0, 25)])
def test_pages_without_end_are_named_and_cost_few_requests(circle: int, most: int) -> None:
    """Every page has another token and other words on its runs; `circle`: how many differ, 0: none has a row."""
    request_count = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal request_count
        request_count += 1
        row = {"id": request_count % max(circle, 1), "job": "load", "status": "done", "note": request_count}
        return httpx.Response(200, json={"runs": [row] if circle else [], "paging": {"after": str(request_count)}})

    connector = opened(HomeGrown(), FaultyTransport(answer, ""))
    polls = [*TestHomeGrown().polls_until_end(connector, "")]
    assert request_count <= most
    assert "the pages do not end" in polls[-1].warnings[0]
    assert (False, None) == (polls[-1].complete, polls[-1].seen_until)


def test_a_wrong_key_needs_a_person() -> None:
    fake = HomeGrown()
    fake.key = "another"
    with pytest.raises(AccessRefused, match="who are you"):
        opened(fake).poll("", (), 5)


def test_a_list_by_offset_is_walked_too() -> None:
    call = {**settings()["runs"], "query": {"since": "{since}", "limit": "{limit}", "after": "{offset}"}}
    del call["next"]
    connector = opened(HomeGrown(), runs=call)
    runs = {identity(run) for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs}
    assert 10 == len(runs)


class Numbered(HomeGrown):
    """Pages by number, from `first` on, or by offset, of at most `most` rows whatever is requested. `beyond`: the
    status of a page behind the last one."""

    def __init__(self, first: int = 1, most: int = 100, jobs: int = 23, beyond: int = 200) -> None:
        super().__init__()
        self.first, self.most, self.beyond, self.pages = first, most, beyond, list[str]()
        self.total, self.link = 0, ""
        self.jobs = [{"name": f"job{number:02d}", "on": True} for number in range(jobs)]

    def _answer(self, request: httpx.Request, path: str, query: dict[str, Any]) -> tuple[int, Any]:
        if path not in ("/api/jobs", "/api/runs"):
            return super()._answer(request, path, query)
        rows = self.jobs
        if path == "/api/runs":
            rows = [row for row in self.runs if row["changed"] >= query.get("since", "")]
            rows.sort(key=lambda row: str(row["changed"]))
        size = min(int(query["limit"]), self.most)
        query = {"page": str(self.first), **query}
        start = int(query["offset"]) if "offset" in query else (int(query["page"]) - self.first) * size
        shown = rows[start : start + size] if start >= 0 else []
        self.pages.append(f"{path} {query.get('page')}")
        if start and not shown and self.beyond != 200:
            return self.beyond, {"message": "no such page"}
        more = start + size < len(rows)
        self.link = f"<https://batch.internal{path}?Page={int(query['page']) + 1}&n=1>" if more else ""
        return 200, {path.rpartition("/")[2]: shown, "total": self.total or len(rows), "more": more, "link": self.link}

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.link = ""
        reply = super().handle(request)
        if self.link:
            reply.headers["Link"] = f'<https://x/?page=1>; rel="first", {self.link}; title="a, b"; rel="prev NEXT"'
        return reply


def by_number(
    fake: HomeGrown, limit: int = 4, place: str = "{page}", transport: Any = None, **calls: Any
) -> HttpConnector:
    """Jobs and runs by {page} or {offset}. `calls`: what both lists say besides."""
    tables = {name: {**settings()[name], **calls} for name in ("jobs", "runs")}
    del tables["runs"]["next"]
    tables["jobs"]["query"] = {"limit": "{limit}", place.strip("{}"): place}
    tables["runs"]["query"] = {"since": "{since}", **tables["jobs"]["query"]}
    if place == "{cursor}":
        for table in tables.values():
            table["query"]["page"] = table["query"].pop("cursor")
            table.update(calls)
    return opened(fake, transport, limit=limit, **tables)


def names_and_runs(connector: HttpConnector) -> tuple[list[str], int, list[Poll]]:
    """The jobs, how many runs there are, and the polls that read them."""
    names = [job.native_id for job in connector.inventory("", 5).jobs]
    polls = [*TestHomeGrown().polls_until_end(connector, "")]
    return names, len({identity(run) for poll in polls for run in poll.runs}), polls


@each_row("oldest_first", [False, True])
@each_row("first", [0, 1])
def test_pages_are_numbered_from_0_or_1(first: int, oldest_first: bool) -> None:
    """Of an API that counts from 0 the first page was lost in silence."""
    fake = Numbered(first)
    connector = by_number(fake, first_page=first)
    if oldest_first:
        runs = {**settings()["runs"], "oldest_first": True, "first_page": first, "next": ""}
        runs["query"] = {"since": "{since}", "limit": "{limit}", "page": "{page}"}
        connector = opened(fake, runs=runs)
        assert 10 == len(
            {identity(run) for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs}
        )
        return
    names, runs_read, _ = names_and_runs(connector)
    assert ([row["name"] for row in fake.jobs], 10) == (names, runs_read)
    assert f"/api/jobs {first}" == fake.pages[0]


@pytest.mark.parametrize("jobs", [3, 23])
def test_a_probe_names_a_page_0_that_is_not_read(jobs: int) -> None:
    def missing(connector: HttpConnector) -> list[str]:
        return [right.fix for right in connector.probe(5).rights if right.held is False]

    def as_page_1(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("page") == "0":
            request.url = request.url.copy_merge_params({"page": "1"})
        return Numbered(jobs=jobs).handle(request)

    def refused(request: httpx.Request) -> httpx.Response:
        is_0 = request.url.params.get("page") == "0"
        return httpx.Response(500, json={}) if is_0 else Numbered(jobs=jobs).handle(request)

    assert ["set first_page = 0 in jobs, and in runs if so"] == missing(by_number(Numbered(0, jobs=jobs)))
    assert [] == missing(by_number(Numbered(0, jobs=jobs), first_page=0))
    for answer in (Numbered(jobs=jobs).handle, as_page_1, refused):
        assert [] == missing(by_number(Numbered(), transport=httpx.MockTransport(answer)))


@each_row("beyond", [200, 400, 404, 416, 422])
@each_row("place", ["{page}", "{offset}"])
@each_row("most, jobs", [(3, 23), (3, 24), (3, 3), (10, 10), (10, 9), (10, 23), (10, 0)])
def test_a_server_that_gives_fewer_rows_a_page_than_requested_loses_none(
    most: int, jobs: int, place: str, beyond: int
) -> None:
    """Its first page was taken for the whole list, without a warning."""
    fake = Numbered(most=most, jobs=jobs, beyond=beyond)
    fake.runs = fake.runs[: jobs and 3]
    names, runs_read, polls = names_and_runs(by_number(fake, 20, place))
    assert ([row["name"] for row in fake.jobs], len(fake.runs)) == (names, runs_read)
    assert all(poll.complete for poll in polls)
    texts = [text for poll in polls for text in poll.warnings]
    fix = f"jobs /api/jobs gives {most} rows a page, and limit is 20; all pages were read. Fix: set"
    assert (jobs > most) == any(fix in text for text in texts)
    declared = by_number(fake, 20, place, paging="server")
    names, runs_read, polls = names_and_runs(declared)
    assert ([row["name"] for row in fake.jobs], len(fake.runs)) == (names, runs_read)
    assert [()] * len(polls) == [poll.warnings for poll in polls]


def test_a_server_that_repeats_its_last_page_behind_it_is_read_to_its_end() -> None:
    fake = Numbered(jobs=3)
    fake.runs = fake.runs[:3]

    def repeated(request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_merge_params({"page": "1"})
        return fake.handle(request)

    connector = by_number(fake, 20, transport=httpx.MockTransport(repeated))
    for _ in range(2):
        names, runs_read, polls = names_and_runs(connector)
        assert ([row["name"] for row in fake.jobs], 3) == (names, runs_read)
        assert [(True, ())] * len(polls) == [(poll.complete, poll.warnings) for poll in polls]


def test_a_list_whose_pages_are_as_long_as_requested_takes_no_request_more() -> None:
    """Where a page was full, a shorter one is the last; without one, a page as long as the longest is read on."""
    for jobs, limit, pages in ((10, 4, "123"), (3, 4, "12"), (8, 4, "123")):
        fake = Numbered(jobs=jobs)
        connector = by_number(fake, limit)
        for _ in range(2):
            fake.pages.clear()
            connector.inventory("", 5)
            assert [f"/api/jobs {page}" for page in pages] == fake.pages
        fake.jobs, fake.pages = fake.jobs[:2], []
        connector.inventory("", 5)
        assert ["/api/jobs 1"] == fake.pages


@each_row("place, next_at", [("{page}", ""), ("{offset}", ""), ("{cursor}", "Link")])
@each_row("most", [3, 4, 100])
def test_a_number_of_rows_is_that_of_all_pages_together(place: str, next_at: str, most: int) -> None:
    """Each page but a single one was reported as incomplete."""
    more = {"count": "total", **({"next": next_at, "next_query": "page"} if next_at else {})}
    fake = Numbered(most=most)
    names, runs_read, polls = names_and_runs(by_number(fake, 4, place, **more))
    assert (23, 10) == (len(names), runs_read)
    assert all(poll.complete for poll in polls)
    fake.total = 24
    inventory = by_number(fake, 4, place, **more).inventory("", 5)
    assert ["/api/jobs has 24 rows and gave 23: the rest cannot be read"] == [
        record.reason for record in inventory.skipped
    ]


def test_a_refused_page_is_not_the_end_of_a_list_that_has_more_rows() -> None:
    inventory = by_number(Numbered(most=10, jobs=10, beyond=400), 20, count="total").inventory("", 5)
    assert inventory.complete
    fake = Numbered(most=10, jobs=10, beyond=400)
    fake.total = 23
    inventory = by_number(fake, 20, count="total").inventory("", 5)
    assert ["/api/jobs has 23 rows and gave 10: the rest cannot be read"] == [
        record.reason for record in inventory.skipped
    ]


@each_row(
    "next_at, next_query, reason",
    [
        ("Link", "page", ""),
        ("link", "page", ""),
        ("Link", "token", '/api/jobs names its next page by a link without "token" (jobs.next_query)'),
        ("link", "token", '/api/jobs names its next page by a link without "token" (jobs.next_query)'),
        ("Linked", "page", 'no answer has the field "Linked" (jobs.next)'),
        ("more", "", '/api/jobs has true at "more" (jobs.next), which is not a token: later pages are not read. Fix'),
    ],
)
def test_the_next_page_is_named_by_a_header_or_a_field_and_nothing_else(
    next_at: str, next_query: str, reason: str
) -> None:
    """Pages that only a header names could not be read; `true` was sent as the token of a page."""
    fake = Numbered()
    inventory = by_number(fake, 4, "{cursor}", next=next_at, next_query=next_query).inventory("", 5)
    assert (not reason, 4 if reason else 23) == (inventory.complete, len(inventory.jobs))
    assert reason in " ".join(record.reason for record in inventory.skipped)
    assert not any("/api/jobs True" in page for page in fake.pages)


def test_a_full_page_without_a_link_is_the_last_only_where_a_shorter_one_has_a_link() -> None:
    inventory = by_number(Numbered(jobs=4), 4, "{cursor}", next="Link", next_query="page").inventory("", 5)
    assert (True, 4) == (inventory.complete, len(inventory.jobs))
    fake = Numbered(jobs=23)
    transport = httpx.MockTransport(lambda request: HomeGrown.handle(fake, request))
    silent = by_number(fake, 4, "{cursor}", transport, next="Link", next_query="page").inventory("", 5)
    assert 'no answer has the header "Link" (jobs.next)' in silent.skipped[0].reason


@each_row(
    "header, link",
    [
        ('<https://a/b?page=2>; rel="next"', "https://a/b?page=2"),
        ("</b?page=2>;rel=next", "/b?page=2"),
        ('<b>; rel="prev", <c>; rel="next"', "c"),
        ('<b>; title="x; rel=next"; rel="prev"', ""),
        ('<b>; rel="nextish"', ""),
        ("", ""),
    ],
)
def test_the_link_of_the_next_page_is_read_from_its_header(header: str, link: str) -> None:
    assert link == next_link(header)


@pytest.mark.quiet
@each_row("header", ["<" * 50_000, "<>;" * 20_000 + " " * 20_000])
def test_a_hostile_header_of_links_is_read_at_once(header: str) -> None:
    begun = time.thread_time()
    assert "" == next_link(header)
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize("beyond", [400, 404])
def test_a_walk_that_another_process_began_ends_where_its_next_page_is_refused(beyond: int) -> None:
    """Its poll would have failed at the same page for ever."""
    fake = Numbered(beyond=beyond)
    first = by_number(fake, 20).poll("", (), 5)
    assert first.more
    connector = by_number(fake, 20)
    again = connector.poll(first.cursor, (), 5)
    assert "runs are read again from the last change that was read completely" in again.warnings[0]
    assert 10 == len(again.runs)
    assert not connector.poll(again.cursor, (), 5).more


def test_an_unconfigured_action_is_refused_with_the_fix() -> None:
    connector = opened(HomeGrown(), verbs={})
    run = next(iter(connector.poll("", (), 5).runs))
    with pytest.raises(NotSupported, match=r"add \[systems.NAME.verbs.rerun\] with its path"):
        connector.preview(TestHomeGrown().ask(run), 5)


def unfiltered() -> dict[str, Any]:
    """The runs' list by an API that cannot filter: every call lists all."""
    return {**settings()["runs"], "query": {"limit": "{limit}", "after": "{cursor}"}}


def test_an_action_that_could_not_be_looked_up_is_refused_before_and_never_sent() -> None:
    fake = HomeGrown()
    crowded = opened(fake, runs=unfiltered(), limit=1)
    run = next(run for run in crowded.poll("", (), 5).runs)
    before = crowded.preview(TestHomeGrown().ask(run), 5)
    assert before.refused is None
    for _ in range(MAX_SEARCHED_PAGES):
        fake.run("load", "done", fake.now)
    refused = crowded.preview(TestHomeGrown().ask(run), 5).refused
    assert "more than 50 pages of runs are listed. Fix: add {since} to the query of runs" in str(refused)
    with pytest.raises(NotSupported, match=r"the outcome of a lost reply cannot be checked: .*Fix: add \{since\}"):
        crowded.act(before, "headway-" + "a" * 20, 5)
    assert not any(line.startswith("POST") for line in fake.requested)


def test_a_list_that_fills_the_limit_without_pages_is_not_accepted_as_complete() -> None:
    calls = {"runs": {**settings()["runs"], "query": {}}, "jobs": {**settings()["jobs"], "query": {}}}
    del calls["runs"]["next"]
    fake = HomeGrown()
    cut = opened(fake, limit=2, **calls)
    poll, jobs = cut.poll("", (), 5), cut.inventory("", 5)
    assert (False, None, False) == (poll.complete, poll.seen_until, jobs.complete)
    assert "gave 10 rows, limit is 2" in poll.warnings[0]
    assert 'paging = "none"' in jobs.skipped[0].reason
    for call in calls.values():
        call["paging"] = "none"
    whole = opened(fake, limit=2, **calls)
    poll, jobs = whole.poll("", (), 5), whole.inventory("", 5)
    assert (True, (), True) == (poll.complete, poll.warnings, jobs.complete)
    assert poll.seen_until is not None


@pytest.mark.parametrize(
    "change, text",
    [({"status": None}, "the state: no name or number"), ({"id": 2}, "about another run than requested")],
)
def test_an_open_run_with_an_unreadable_row_is_reported_as_skipped(change: dict[str, Any], text: str) -> None:
    fake = HomeGrown()
    connector = opened(fake, overlap=0)
    cursor = list(TestHomeGrown().polls_until_end(connector, ""))[-1].cursor
    odd = fake.runs[0] | change
    connector = opened(fake, FaultyTransport(lambda asked: _single(fake, asked, odd), ""), overlap=0)
    poll = connector.poll(cursor, [RunRef("load", "", "1", "1")], 5)
    assert (False, None) == (poll.complete, poll.seen_until)
    assert text in poll.skipped[0].reason
    assert not {"1", "2"} & {run.attempt_key for run in poll.runs}


def _single(fake: HomeGrown, request: httpx.Request, row: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=row) if request.url.path.endswith("/runs/1") else fake.handle(request)


def test_a_run_that_ended_by_itself_is_no_cancel_that_worked() -> None:
    fake = HomeGrown()
    row = fake.run("load", "active", fake.now)
    connector = opened(fake)
    run = next(run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs if run.state.is_open)
    preview = connector.preview(replace(TestHomeGrown().ask(run), verb=Verb.CANCEL), 5)
    row |= {"status": "crashed", "finished": row["began"]}
    lookup = connector.look_up(preview, "headway-" + "a" * 20, 5)
    assert isinstance(lookup, ActionUnknown)
    assert "it ended by itself" in str(lookup)
    row |= {"status": "stopped"}
    assert isinstance(connector.look_up(preview, "headway-" + "a" * 20, 5), ActionFound)


def test_a_cancel_is_found_by_the_state_alone() -> None:
    fake = HomeGrown()
    row = fake.run("load", "active", fake.now)
    connector = opened(fake)
    run = next(run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs if run.state.is_open)
    preview = connector.preview(replace(TestHomeGrown().ask(run), verb=Verb.CANCEL), 5)
    row |= {"status": "stopped", "finished": "soon"}
    assert isinstance(connector.look_up(preview, "headway-" + "a" * 20, 5), ActionFound)


def test_a_cancelled_action_is_not_reported_as_conflicting_with_itself() -> None:
    fake = HomeGrown()
    fake.run("load", "active", fake.now)
    connector = opened(fake)
    run = next(run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs if run.state.is_open)
    spec = TestHomeGrown().ask(run)
    overlaps = {verb: connector.preview(replace(spec, verb=verb), 5).overlap for verb in (Verb.CANCEL, Verb.RERUN)}
    assert {Verb.CANCEL: None, Verb.RERUN: "a run of it is running"} == overlaps


def test_a_run_that_has_no_id_is_refused() -> None:
    missed = ActionSpec(Verb.RERUN, RunRef("load", "2026-11-22T02:08:00Z", "", ""), RunState.MISSED)
    preview = opened(HomeGrown()).preview(missed, 5)
    assert "load 2026-11-22T02:08:00Z has no run at its source" in str(preview.refused)


GUIDE = PAGE.parents[1] / "adding-a-connector.md"


GUIDE_EXAMPLES = [text.partition("```")[0] for text in GUIDE.read_text(encoding="utf-8").split("```toml\n")[1:]]


@each_row("example", GUIDE_EXAMPLES)
def test_the_tables_of_the_guide_make_a_profile(example: str) -> None:
    tables = tomllib.loads(example)
    verbs = sorted({"rerun", "start", "cancel"} - {*tables.get("verbs", {})})
    lacks = [*verbs, *({"log", "hold"} - {*tables})]
    document = {"kind": "mine", "base": "http", "title": "Mine", "ladder": "Proves a run's end.",
                "grants": "# least rights", "lacks": dict.fromkeys(lacks, "has no such call"),
                }  # fmt: skip
    lists = {name: settings()[name] for name in ("jobs", "runs", "states")}
    lists["jobs"]["paging"] = "none"
    profile = HttpProfile.model_validate({**document, **lists, **tables}, context={})
    needs = {Capability.NATIVE_DEPENDENCIES} if profile.jobs.upstreams else set()
    assert {*tables.get("verbs", {}), *({"log", "hold"} & {*tables}), *needs} == profile.capabilities()


@each_row("call", [HttpJobsCall, HttpRunsCall, HttpPartsCall, HttpLogCall, HttpHoldCall, OAuth2Grant])
def test_every_setting_is_documented(call: type[BaseModel]) -> None:
    """A new author met some of them in error texts only."""
    pages = PAGE.read_text(encoding="utf-8") + GUIDE.read_text(encoding="utf-8")
    assert [] == [name for name in call.model_fields if not re.search(rf"(?<![a-z_]){name}(?![a-z_])", pages)]


ME = {"account": {"path": "/api/me", "name": "name"}}
PARTS = {
    "path": "/api/runs/{id}/parts",
    "account": "by",
    "id": "id",
    "name": "name",
    "state": "state",
    "ended": "end",
    "paging": "none",
}


# -- what a mapping must say ------------------------------------------------------------------------------------------
@each_row(
    "change, text",
    [
        ({"states": {"done": "success"}}, 'is not a state that a source reports. Did you mean "succeeded"?'),
        ({"states": {"bad": "failed"}}, "no run could ever be green"),
        ({"runs.next": ""}, "query.after: {cursor} is the token of the next page. Fix: name in next"),
        (
            {"runs.query": {"since": "{sinc}"}, "runs.next": ""},
            "query.since: {sinc} means nothing here; did you mean {since}? there are {cursor}",
        ),
        ({"states": {"done": "succeeded", "CC *": "succeeded"}}, "so that no other is green"),
        ({"states": {"done": "succeeded", "C* 4": "failed"}}, "has a * before its end"),
        ({"runs.next_path": "/runs/more"}, "next_path: send {cursor} in it"),
        ({"runs.next": "Link"}, "Fix: name in next_query the parameter of that link that has the token"),
        ({"runs.first_page": 0}, "first_page: no page is requested by its number. Fix: send {page}"),
        ({"runs.state": "a..b"}, "is not a path into a row"),
        ({"runs.zone": "Europe/Belin"}, '"Europe/Belin" is not a time zone'),
        ({"runs.key": ""}, "the outcome of a lost reply could not be checked"),
        ({"jobs.upstreams": "needs..job"}, "is not a path into a row"),
        (
            {
                "runs.attempt": "tries",
                "runs.first_started": "began",
                "runs.started": "",
                "runs.ended": "",
                "runs.duration": "took",
            },
            "duration: with first_started, a later attempt would end by the start of the first one",
        ),
        (
            {"parts": {**PARTS, "children": {**PARTS, "path": "/children"}}, "log.path": "/{part}"},
            'parts.children.path: "/children" names no {id}, so the call is the same for every run',
        ),
        (
            {"parts": {**PARTS, "children": {**PARTS, "children": PARTS}}, "log.path": "/{part}"},
            "parts.children.children",
        ),
        ({"verbs": {"mark": {"path": "/api/mark"}}}, 'verbs.mark.path: "/api/mark" names no {id}'),
        ({"verbs": {"mark": {"path": "/{id}", "body": {"why": "{run.why}"}}}}, "only rerun sends a field of a run"),
        (
            {"hold": {"path": "/{job}", "job_path": "/{job}", "note": "n", "body": {"on": "{enabled}", "n": "{note}"}}},
            "hold: only a profile holds",
        ),
        (
            {"verbs.actions": {"path": "/api/actions", "rows": "actions", "run": "run"}},
            'verbs.actions.path: "/api/actions" names no {key}',
        ),
        ({"runs.paging": "none"}, 'paging = "none", and it pages by {cursor}'),
        (
            {"hold": {"path": "/{job}/{paused}", "job_path": "/{job}", "note": "n", "query": {"n": "{note}"}}},
            "{paused} is true or false, which no path takes",
        ),
        (
            {"hold": {"path": "/{job}", "job_path": "/{job}", "note": "n", "pause": "/{job}/off"}},
            "pause: a hold must be released as well. Fix: name the call resume",
        ),
        (
            {
                "hold": {
                    "path": "/{job}",
                    "note": "n",
                    "body": {"on": "{enabled}", "n": "{note}"},
                    "resume": "/{job}/on",
                }
            },
            "or only resume, where this call pauses the job and {note} is its reason",
        ),
        (
            {
                "hold": {
                    "path": "/{job}",
                    "note": "n",
                    "body": {"n": "{note}"},
                    "pause": "/{job}/off",
                    "resume": {"path": "/{job}/on", "body": {"n": "{note}"}},
                }
            },
            "resume: the call at path writes {note} already. Fix: remove {note} here, or remove pause",
        ),
        (
            {"hold": {"path": "/{job}", "note": "n", "body": {"n": "{note}"}, "resume": "/{job}/{paused}"}},
            "{paused} means nothing here; there are {job}",
        ),
        (
            {"hold": {"path": "/{job}", "note": "n", "body": {"n": "{note}"}, "resume": "/{job}", "note_in": "job"}},
            "job_path: send {job} in it",
        ),
        (
            {"jobs.enabled": "", "hold": {"path": "/{job}", "note": "n", "body": {"n": "{note}"}, "resume": "/{job}"}},
            "hold: no answer shows whether a job is paused. Fix: name jobs.paused or jobs.enabled",
        ),
        (
            {"hold": {"path": "/{job}", "note": "on", "body": {"n": "{note}"}, "resume": "/{job}"}},
            'hold.note: "on" is the id or the pause of a job, and never returns the mark. Fix: name the field',
        ),
        (
            {"verbs": {"cancel": {"path": "/{id}", "headers": {"X-Why": "{nonsense}"}}}},
            "{nonsense} means nothing here; there are {id}, {job}, {key}, {period}",
        ),
        ({"log.headers": {"Accept": "{key}"}}, "{key} means nothing here"),
        ({"log.headers": {"X Y": "a"}}, "is not written like X-Api-Key"),
        ({"runs.zone": "schedule.zone"}, "name its field in jobs.schedule_zone"),
        ({"runs.first_started": "began"}, "first_started: name in attempt the number of the latest attempt"),
        ({"log.next": "seq"}, "next: {cursor} and next belong together, for a log in parts"),
        (
            {"log": {"path": "/{id}", "parts": "lines", "text": "text", "query": {"from": "{cursor}"}}},
            "next: {cursor} and next belong together, for a log in parts",
        ),
        ({"runs.attempt_counts": "starts"}, 'attempt_counts = "starts": name in attempt the field with the number'),
        ({"log.query": {"from": "{offset}"}}, "{offset} is a byte of one log: leave out parts, ranges"),
        (
            {"log": {"path": "/{id}", "text": "text", "query": {"from": "{offset}"}}},
            "a text by {offset} needs the byte behind it. Fix: name in next",
        ),
        (
            {"log": {"path": "/{id}", "next": "next", "query": {"from": "{offset}"}}},
            "text: next is the byte behind a text by {offset}. Fix: name in text where an answer has it",
        ),
        (
            {"hold": {"path": "/{job}", "note": "n", "body": {"on": "{enabled}"}}},
            "body: the call sends no {note}, so it writes no mark. Fix: send {note} in body or query",
        ),
        (
            {"hold": {"path": "/jobs", "note": "n", "body": {"on": "{enabled}", "n": "{note}"}}},
            "path: the call is the same for every job. Fix: send {job} in it",
        ),
        *(
            ({"runs.job": path}, f"{path!r} is not a path into a row")
            for path in ("{{ run.job }}", "{{job}}", "$.job", "${job}")
        ),
        (
            {"parts": {"path": "/{id}", "id": "number", "name": "number", "state": "state"}},
            'both are "number". Fix: name another field, or leave out [parts] and name in runs.attempt',
        ),
        (
            {"runs.first": "first", "runs.attempt": "tries"},
            "attempts of a run are counted by runs.first and by runs.attempt. Fix: keep one of them",
        ),
        (
            {"parts": {**PARTS, "account": ""}, "log.path": "/{part}", "verbs.rerun": {"path": "/{id}"}},
            "so a lost rerun would never be found. Fix: name parts.account and [account]; or, where a",
        ),
        ({"verbs.start": {"path": "/{job}"}}, "could not be checked. Fix: send {key} ["),
        ({"runs.key": ""}, "could not be checked. Fix: name in runs.key where a run shows it, or in verbs.actions"),
        ({"username": "me"}, "username and password belong together"),
        (
            {"token": {"env": "TOKEN"}, "headers": {"authorization": {"env": "KEY"}}},
            'headers: "authorization" and token both set the Authorization header: remove one of them',
        ),
        (
            {"username": "me", "password": {"env": "PASSWORD"}, "headers": {"Authorization": {"env": "KEY"}}},
            'headers: "Authorization" and password both set the Authorization header: remove one of them',
        ),
        (
            {"headers": {"X-Key": {"env": "KEY"}}, "log.headers": {"x-key": "7"}},
            "log.headers.x-key: the sign-in sends this header. Fix: remove it",
        ),
        ({"headers": {"Host": {"env": "KEY"}}}, "the HTTP client sets the header Host. Fix: remove it"),
        ({"url": "http://batch.example.com"}, "unencrypted: use https://, or say plain_http = true"),
        ({"jobs.path": "api"}, "is not written like /api/runs"),
        ({"jobs.server": "http://batch.example.com"}, "would send the credentials unencrypted: use https:// ["),
        ({"runs.state": "steps[name=]"}, "is not a path into a row"),
        ({"verbs": {"cancel": {"path": "/{id}", "body": {"why": "{run.why}"}}}}, "only rerun sends a field of a run"),
        (
            {"verbs": {"rerun": {"path": "/x", "body": {"key": "{key}", "a": "{run.a}"}}}, "runs.one": ""},
            "{run.a} is read from the run. Fix: name runs.one",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_mapping_that_cannot_work_says_why(change: dict[str, Any], text: str) -> None:
    mapping = settings()
    for place, value in change.items():
        table, _, name = place.partition(".")
        mapping = {**mapping, table: {**mapping[table], name: value} if name else value}
    with pytest.raises(ValidationError) as raised:
        HttpOptions.model_validate(mapping)
    assert text in str(raised.value)


@each_row(
    "path, value",
    [
        ("steps[type=end].state", "ok"),
        ("steps[type=gone].state", None),
        ("steps[0].state", "no"),
        ("name[3]", "load"),
        ("name[4]", None),
        ("{name[1]} {steps[type=end].state}", "acme ok"),
    ],
)
def test_an_item_is_named_by_a_field_and_a_part_of_a_text_by_its_place(path: str, value: object) -> None:
    row = {
        "name": "projects/acme/jobs/load",
        "steps": [{"type": "start", "state": "no"}, {"type": "end", "state": "ok"}],
    }
    assert value == value_at(row, path)


RUNS = {"id": "id", "job": "job", "state": "state", "key": "key", "rows": "rows"}
STATES = {"done": "succeeded", "CC 0000": "succeeded", "CC *": "failed", "CC 0*": "partial", "input": "queued"}


@each_row(
    "row, native, state",
    [
        ({"code": "CC 0000", "phase": "output"}, "CC 0000", RunState.SUCCEEDED),
        ({"code": "cc 0004", "phase": "output"}, "cc 0004", RunState.PARTIAL),
        ({"code": "CC 1000", "phase": "output"}, "CC 1000", RunState.FAILED),
        ({"code": None, "phase": "input"}, "input", RunState.QUEUED),
        ({"phase": "output"}, "output", RunState.UNKNOWN),
        ({"code": "", "phase": "input"}, "", None),
    ],
)
def test_a_state_is_named_in_full_or_by_its_beginning_and_may_be_in_a_second_field(
    row: dict[str, Any], native: str, state: RunState | None
) -> None:
    runs = {**settings()["runs"], "state": "code", "state_else": "phase"}
    options = HttpOptions.model_validate(settings(runs=runs, states=STATES))
    if state is None:
        with pytest.raises(RecordUnreadable, match="the state: no name or number at 'code'"):
            read_run({"id": 7, "job": "load", **row}, options.runs, options.states)
        return
    run = read_run({"id": 7, "job": "load", **row}, options.runs, options.states)
    assert (native, state) == (run.native_state, run.state)


def test_later_pages_of_a_path_of_their_own_are_walked_by_the_last_part_of_a_link() -> None:
    fake, paths = HomeGrown(), []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        if request.url.path.startswith("/api/more/"):
            request.url = request.url.copy_with(path="/api/runs", params={"after": request.url.path[10:], "limit": 4})
        reply = fake.handle(request)
        body = reply.json()
        if request.url.path == "/api/runs" and body["paging"]["after"]:
            body["paging"]["after"] = f"/elsewhere/more/{body['paging']['after']}"
        return httpx.Response(reply.status_code, json=body, headers={"date": reply.headers["date"]})

    query = {"since": "{since}", "limit": "{limit}"}
    runs = {**settings()["runs"], "query": query, "next_path": "/api/more/{cursor}"}
    truth = opened(fake).poll("", (), 10)
    assert truth.more, "one page is not enough"
    connector = opened(fake, httpx.MockTransport(handler), runs=runs)
    first = connector.poll("", (), 10)
    connector.poll(first.cursor, (), 10)
    assert paths[1].startswith("/api/more/")
    assert "?" not in paths[1]
    assert [run.attempt_key for run in truth.runs] == [run.attempt_key for run in first.runs]


NAMES = [{"name": "id"}, {"name": "job"}, {"name": "state"}]


@pytest.mark.parametrize(
    "answer, ids, reason",
    [
        ({"rows": [[1, "load", "done"], [2, "load", "done"]], "names": NAMES, "of": 2}, ["1", "2"], ""),
        ({"rows": [[1, "load", "done"]], "names": NAMES, "of": 2}, ["1"], "/runs has 2 rows and gave 1"),
        ({"rows": [[1, "load", "done"], [2, "load"]], "names": NAMES, "of": 2}, ["1"], "no name or number at 'state'"),
    ],
)
def test_rows_of_a_table_are_named_by_its_columns_and_counted(answer: Any, ids: list[str], reason: str) -> None:
    options = HttpOptions.model_validate({
        "url": "http://127.0.0.1:1", "jobs": {"path": "/jobs", "id": "id"}, "states": {"done": "succeeded"},
        "runs": {**RUNS, "path": "/runs", "key": "", "columns": "names", "count": "of"},
    })  # fmt: skip
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    poll = open_system(options, "api", lambda _: "", transport).poll("", (), 10)
    assert (ids, not reason) == ([run.attempt_key for run in poll.runs], poll.complete)
    assert reason in f"{poll.warnings} {poll.skipped}"


@pytest.mark.parametrize("names", [None, [], [{"name": "id"}, {"title": "job"}]])
def test_a_table_without_the_names_of_its_columns_is_no_empty_list(names: Any) -> None:
    runs = {**RUNS, "path": "/runs", "key": "", "columns": "names"}
    options = HttpOptions.model_validate({
        "url": "http://127.0.0.1:1", "jobs": {"path": "/jobs", "id": "id"}, "states": {"done": "succeeded"},
        "runs": runs,
    })  # fmt: skip
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"rows": [], "names": names}))
    with pytest.raises(InvalidAnswer, match="has no list at rows = 'rows' with names at columns = 'names'"):
        open_system(options, "api", lambda _: "", transport).poll("", (), 10)


def test_runs_of_each_job_that_are_named_by_their_keys_are_all_read() -> None:
    """The key of a row is its field "*", as is the job of a list; a field of the row names the job here."""
    listed = {"load": {"1": "done", "2": "crashed"}, "mart": {"1": "done"}}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/jobs":
            return httpx.Response(200, json={"jobs": HomeGrown().jobs})
        job = request.url.path.split("/")[3]
        began = "2025-11-20T03:10:00Z"
        rows = {key: {"job": job, "status": status, "began": began} for key, status in listed[job].items()}
        return httpx.Response(200, json={"runs": rows})

    runs = {
        "path": "/api/jobs/{job}/runs", "rows": "runs.*", "id": "*", "job": "job", "state": "status",
        "started": "began", "paging": "none",
    }  # fmt: skip
    poll = opened(HomeGrown(), httpx.MockTransport(answer), runs=runs, verbs={}).poll("", (), 5)
    assert {("load", "1"), ("load", "2"), ("mart", "1")} == {(run.job, run.attempt_key) for run in poll.runs}


def test_lists_of_jobs_without_runs_are_read_in_as_many_polls_as_their_time_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None had a row, so none ended the poll: at a low rate it ran out of time, each time at the same job."""
    jobs = [{**HomeGrown().jobs[0], "name": f"j{number:03}"} for number in range(150)]
    now, listed = 0.0, list[str]()

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/jobs":
            return httpx.Response(200, json={"jobs": jobs})
        listed.append(request.url.path.split("/")[3])
        return httpx.Response(200, json={"runs": []})

    monkeypatch.setattr("connectors.sdk.transport.http.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("connectors.sdk.transport.http.wait_seconds", wait)
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (lambda: now,))
    runs = {"path": "/api/jobs/{job}/runs", "rows": "runs", "id": "id", "job": "*", "state": "s", "paging": "none"}
    connector = opened(
        HomeGrown(), httpx.MockTransport(answer), runs=runs, verbs={}, limit=1000, requests_per_second=5.0
    )
    poll = connector.poll("", (), 20)
    while poll.more:
        poll = connector.poll(poll.cursor, (), 20)
    assert [job["name"] for job in jobs] == sorted(set(listed))


@each_row(
    "queued, began, finished, instants",
    [
        ("2026-10-25T01:50:00", "2026-10-25T02:50:00", "2026-10-25T02:10:00", ("00:50", "01:10")),
        ("2026-10-25T02:55:00", "2026-10-25T02:05:00", "2026-10-25T02:20:00", ("01:05", "01:20")),
        ("2026-10-25T01:50:00", "2026-10-25T02:10:00", "2026-10-25T02:40:00", ("00:10", "00:40")),
        ("2026-03-29T01:50:00", "2026-03-29T01:55:00", "2026-03-29T03:10:00", ("00:55", "01:10")),
    ],
)
def test_a_local_time_that_comes_twice_is_not_before_the_one_before_it(
    queued: str, began: str, finished: str, instants: tuple[str, str]
) -> None:
    """Each was the first reading: a run over the change of the clocks ended before it began and was left out."""
    fields = MappedRunFields.model_validate({
        "id": "id", "job": "job", "state": "state", "queued": "queued", "started": "began", "ended": "ended",
        "zone": "Europe/Berlin",
    })  # fmt: skip
    row = {"id": 1, "job": "load", "state": "done", "queued": queued, "began": began, "ended": finished}
    later = datetime(2027, 1, 1, tzinfo=UTC)
    run = read_run(row, fields, {"done": RunState.SUCCEEDED}, TargetClock(later, later))
    assert run.started_at is not None
    assert run.ended_at is not None
    assert instants == (f"{run.started_at:%H:%M}", f"{run.ended_at:%H:%M}")


def test_an_instant_is_requested_in_whole_seconds() -> None:
    """Salesforce reads no microseconds."""
    fields = HttpOptions.model_validate(settings()).runs
    assert "2026-11-20T03:10:00Z" == format_instant(datetime(2026, 11, 20, 3, 10, 0, 999_999, UTC), fields)


def test_a_path_walks_into_a_row_and_braces_put_texts_together() -> None:
    row = {"a": {"b": [{"c": 7}]}, "p": "x", "n": None, "nan": float("nan")}
    paths = ("a.b[0].c", "a.b[1].c", "{p}/{a.b[0].c}", "{n}-{p}", "{p} {nan}")
    assert [7, None, "x/7", None, None] == [value_at(row, path) for path in paths]


INSTANTS = [("iso", "2026-11-20T04:10:00"), ("seconds", 1795144200), ("milliseconds", "1795144200000")]


@pytest.mark.parametrize("times, value", INSTANTS)
def test_instants_are_read_as_they_are_written(times: str, value: Any) -> None:
    call = {**settings()["runs"], "times": times, "zone": "Europe/Berlin"}
    fields = HttpOptions.model_validate(settings(runs=call)).runs
    assert "2026-11-20T03:10:00+00:00" == instant_of(value, "began", fields).isoformat()


@pytest.mark.parametrize(
    "runs, why",
    [
        ({"path": "/runs", "query": {"since": "{since}"}}, "/runs gave 100 rows, limit is 100"),
        ({"path": "/runs", "query": {"c": "{cursor}"}, "next": "next"}, "/runs names as its next page the one"),
    ],
    ids=["cut off at a page", "its next page is itself"],
)
def test_what_is_not_in_a_list_that_leaves_out_rows_is_not_proved_to_have_never_arrived(
    runs: dict[str, Any], why: str
) -> None:
    answer = {"rows": [{"id": number, "job": "load", "state": "done"} for number in range(100)], "next": "again"}
    options = HttpOptions.model_validate({
        "url": "http://127.0.0.1:1", "jobs": {"path": "/jobs", "id": "id"}, "runs": {**RUNS, **runs},
        "states": {"done": "succeeded"}, "verbs": {"start": {"path": "/{job}/start/{key}"}},
    })  # fmt: skip
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    preview = Preview("POST", "start", "job load", plan={"verb": "start", "job": "load"})
    lookup = open_system(options, "api", lambda _: "", transport).look_up(preview, "headway-abcdefghijkl", 5)
    assert isinstance(lookup, ActionUnknown)
    assert why in lookup.why


TIMED = MappedRunFields(id="id", job="job", state="state", started="at", duration="took", times="milliseconds")


@each_row("took", [10**400, -(10**400), MAX_SECONDS * 1000, -1, float("nan"), float("inf")])
def test_a_duration_that_no_run_has_gives_no_end(took: float) -> None:
    at = round(datetime.now(UTC).timestamp() * 1000) - 5000
    row = {"id": 1, "job": "load", "state": "ok", "at": at, "took": took}
    ended = [read_run({**row, "took": value}, TIMED, {"ok": RunState.SUCCEEDED}).ended_at for value in (took, 2500)]
    assert [None, datetime.fromtimestamp((at + 2500) / 1000, UTC)] == ended


def test_a_duration_after_a_start_at_the_end_of_time_is_unreadable() -> None:
    at = round(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)
    with pytest.raises(RecordUnreadable, match="in the future"):
        read_run({"id": 1, "job": "load", "state": "ok", "at": at, "took": 10**11}, TIMED, {})


def test_a_key_is_each_text_that_its_path_names() -> None:
    causes = [{"kind": "remote", "note": note} for note in ("a", None, "b")]
    row = {"actions": [{"kind": "cause", "causes": [*causes, {"kind": "timer", "note": "c"}, 7]}, None]}
    assert ["a", "b"] == texts_at(row, "actions[kind=cause].causes[kind=remote].note")
    assert ["a", "b", "c"] == texts_at(row, "actions[*].causes[*].note") == texts_at(row, "actions.causes.note")
    keys = [new_key(), new_key()]
    fields = MappedRunFields(id="id", job="job", state="state", key="retries[*]")
    assert keys[-1] == read_run({"id": 1, "job": "load", "state": "ok", "retries": keys}, fields, {}).action_key
    assert "a" == value_at({"x": [{"y": "b"}, {"y": "a"}]}, "x[-1].y")
    assert None is value_at({"x": []}, "x[-1].y") is value_at({"x": [{"y": 1}]}, "x[*].y")
    assert (["a"], ["x", "2"], ["1-x"]) == (
        texts_at(row, "actions[0].causes[0].note"),
        texts_at({"tags": ["x", 2]}, "tags"),
        texts_at({"a": 1, "b": "x"}, "{a}-{b}"),
    )
    assert [] == texts_at(row, "") + texts_at(row, "none") + texts_at(None, "a.b") + texts_at({"a": 1}, "{a}/{b}")


# -- a run that is repeated under its id ------------------------------------------------------------------------------
class InPlace(HomeGrown):
    """A rerun repeats the run under its id; the run has the number of its attempts, a queued one among them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.keys, self.sent = set[str](), list[str](), dict[str, str]()
        for row in self.runs:
            row["tries"] = 1

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        page = super()._page(query)
        return {**page, "runs": [_without(row, self.hidden) for row in page["runs"]]}

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.sent = dict(request.headers)
        if match := re.fullmatch(r"/api/runs/(\d+)/parts", request.url.path):
            row = self.runs[int(match[1]) - 1]
            part = {"id": 1, "name": "all", "state": row["status"], "end": row["finished"]}  # lists no other attempt
            return httpx.Response(200, json=[part])
        return super().handle(request)

    def _act(self, path: str, key: str) -> tuple[int, Any]:
        row = self.runs[int(path.split("/")[3]) - 1]
        self.keys.append(key)
        row["request"] = key
        return 202, self.become(row, "waiting", row["tries"] + 1)

    def become(self, row: dict[str, Any], status: str, tries: int) -> dict[str, Any]:
        self.now += timedelta(seconds=10)
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        row |= {"status": status, "tries": tries, "changed": at, "finished": None if status in OPEN else at}
        return row


OPEN = ("waiting", "active")


def repeating(fake: HomeGrown, **runs: Any) -> HttpConnector:
    """A connector whose rerun carries no key, unless `rerun` gives it one."""
    given = settings()
    verbs = {"rerun": {"path": "/api/runs/{id}/rerun", **runs.pop("rerun", {})}, "actions": runs.pop("actions", None)}
    parts = runs.pop("parts", None)
    return opened(
        fake,
        limit=100,
        runs={**given["runs"], **runs},
        verbs=verbs,
        **({"parts": parts, "log": None, **ME} if parts else {}),
    )


@each_row("counts", ["attempts", "starts"])
@each_row("ends", ["crashed", "done"])
def test_the_end_of_a_run_is_not_hidden_by_an_attempt_that_its_source_does_not_list(counts: str, ends: str) -> None:
    """A source that counts the queued attempt: it was keyed as the next one and stayed queued for ever. With a wrong
    attempt_counts, that attempt is closed."""
    fake = InPlace()
    row = fake.become(fake.run("load", "waiting", fake.now), "waiting", 1)
    connector = repeating(fake, attempt="tries", attempt_counts=counts)
    states: dict[str, RunState] = {}
    cursor, refs = "", dict[str, RunRef]()
    for status in ("waiting", "active", ends):
        fake.become(row, status, 1)
        poll = connector.poll(cursor, [*refs.values()], 5)
        assert not poll.more
        cursor = poll.cursor
        states |= {run.attempt_key: run.state for run in poll.runs}
        refs |= {run.attempt_key: ref(run) for run in poll.runs}
        refs = {key: known for key, known in refs.items() if states[key].is_open}
    own = {key: state for key, state in states.items() if key.startswith(f"{row['id']}.")}
    end = RunState.FAILED if ends == "crashed" else RunState.SUCCEEDED
    extra = {f"{row['id']}.2": RunState.UNKNOWN} if counts == "starts" else {}
    assert {f"{row['id']}.1": end, **extra} == own


@pytest.mark.parametrize("counts", ["attempts", "starts"])
def test_a_run_without_a_start_and_an_attempt_waits_for_its_first_one(counts: str) -> None:
    """It was skipped: its number of attempts was None. One that began has a number."""
    fake = InPlace()
    row = fake.become(fake.run("load", "waiting", fake.now), "waiting", 1)
    row |= {"tries": None, "began": None}
    connector = repeating(fake, attempt="tries", attempt_counts=counts)
    poll = connector.poll("", (), 5)
    assert {f"{row['id']}.1": RunState.QUEUED} == {
        run.attempt_key: run.state for run in poll.runs if run.native_ref == str(row["id"])
    }
    row |= {"began": row["changed"], "status": "active"}
    assert ["its number of attempts is 'None'"] == [item.reason for item in connector.poll("", (), 5).skipped]


class WithEmptyPage(InPlace):
    """The last page of each walk is empty."""

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        rows = super()._page(query)["runs"]
        return {"runs": rows, "paging": {"after": str(int(query.get("after") or 0) + len(rows)) if rows else None}}


def test_an_attempt_ends_in_the_poll_that_lists_the_next_one_of_its_run() -> None:
    """It stayed open for ever: the last page alone ended it, and until then the store's open run was the next one."""
    fake = WithEmptyPage()
    row = fake.run("load", "active", fake.now, tries=1)
    connector = repeating(fake, attempt="tries")
    runs, cursor = walked(connector)
    fake.become(row, "active", 2)
    first = connector.poll(cursor, [ref(runs[f"{row['id']}.1"])], 5)
    assert first.more, "another page follows"
    states = {run.attempt_key: run.state for run in first.runs if run.native_ref == str(row["id"])}
    assert {f"{row['id']}.1": RunState.LOST, f"{row['id']}.2": RunState.RUNNING} == states


def test_an_open_run_that_an_earlier_page_listed_is_not_read_alone() -> None:
    """Each open run took a request in each poll, because the last page was empty."""
    fake = WithEmptyPage()
    rows = [fake.run("load", "active", fake.now) for _ in range(3)]
    connector = opened(fake, limit=100)
    runs, cursor = walked(connector)
    known = [runs[str(row["id"])] for row in rows]
    fake.requested.clear()
    _, cursor = walked(connector, cursor, *known)
    assert ["GET /api/runs"] * 2 == fake.requested
    rows[0]["changed"] = "2020-01-01T00:00:00Z"  # before every page
    fake.requested.clear()
    walked(connector, cursor, *known)
    assert ["GET /api/runs", "GET /api/runs", f"GET /api/runs/{rows[0]['id']}"] == fake.requested


def test_a_wrong_path_of_a_single_run_ends_no_open_run_and_is_reported() -> None:
    """Each open run that the list did not show was unknown by it, and the system was healthy."""
    fake = HomeGrown()
    row = fake.run("load", "active", fake.now)
    connector = opened(fake, limit=100, overlap=0, runs={**settings()["runs"], "one": "/api/runs/{id}/one"})
    runs, cursor = walked(connector)
    fake.runs.remove(row)
    poll = connector.poll(cursor, [ref(runs[str(row["id"])])], 5)
    assert (False, []) == (poll.complete, [run for run in poll.runs if run.attempt_key == str(row["id"])])
    assert [NOT_FOUND_ALONE] == [item.reason for item in poll.skipped]
    trial = try_target(connector, "batch/api", 5)
    assert not trial.is_understood
    [line] = [line for line in trial_lines(trial) if "read one run" in line]
    found = re.fullmatch(r"  right    read one run: MISSING; run \d+ is in the list, and (.*)", line)
    assert found
    assert "runs.one does not find it; let the account read /api/runs/{id}/one, or correct runs.one" == found[1]
    assert try_target(opened(HomeGrown()), "batch/api", 5).is_understood


def ended_and_open(fake: HomeGrown, connector: HttpConnector) -> tuple[str, str, RunRef]:
    """The only ended run, the cursor after a walk, and the open run, which the source deleted since."""
    fake.runs.clear()
    ended, row = fake.run("load", "done", fake.now), fake.run("load", "active", fake.now)
    runs, cursor = walked(connector)
    fake.runs.remove(row)
    return str(ended["id"]), cursor, ref(runs[str(row["id"])])


def outcome(poll: Poll) -> tuple[bool, list[tuple[str, RunState]]]:
    return poll.complete, sorted((run.native_ref, run.state) for run in poll.runs)


def test_an_open_run_ends_where_each_listed_run_was_deleted_as_well() -> None:
    """Every poll was incomplete, with a path to correct that was right, and the run stayed open for ever."""
    fake = HomeGrown()
    connector = opened(fake, limit=100, overlap=0)
    _, cursor, open_run = ended_and_open(fake, connector)
    fake.runs.clear()
    poll = connector.poll(cursor, [open_run], 5)
    assert (True, [(open_run.native_ref, RunState.LOST)]) == outcome(poll)


def test_a_run_that_is_listed_now_shows_a_wrong_path_where_the_one_before_was_deleted() -> None:
    fake = HomeGrown()
    paths = {**settings()["runs"], "one": "/api/runs/{id}/one"}
    connector = opened(fake, limit=100, overlap=0, runs=paths)
    _, cursor, open_run = ended_and_open(fake, connector)
    fake.runs.clear()
    fake.run("load", "active", fake.now, id=3)
    for _ in range(2):
        poll = connector.poll(cursor, [open_run], 5)
        assert (False, [NOT_FOUND_ALONE]) == (poll.complete, [item.reason for item in poll.skipped])
        assert open_run.native_ref not in {run.native_ref for run in poll.runs}


@each_row("status", [400, 403])
@each_row("has_another", [False, True])
def test_a_refused_single_run_fails_no_poll(status: int, has_another: bool) -> None:
    """A listed run that is archived can be refused: each poll failed by it, and the cursor did not move."""
    fake = HomeGrown()
    refused = ""

    def answer(request: httpx.Request) -> httpx.Response:
        is_refused = request.url.path == f"/api/runs/{refused}"
        return httpx.Response(status, json={"message": "run is archived"}) if is_refused else fake.handle(request)

    connector = opened(fake, FaultyTransport(answer, ""), limit=100, overlap=0)
    refused, cursor, open_run = ended_and_open(fake, connector)
    if has_another:  # this poll shows neither, and the refused one is listed first
        fake.run("load", "done", fake.now + timedelta(minutes=1), id=3)
        cursor = json.dumps({**json.loads(cursor), "since": (fake.now + timedelta(hours=1)).isoformat()})
        open_run = replace(open_run, started_at=None)
    poll = connector.poll(cursor, [open_run], 5)
    if has_another:
        assert (True, [(open_run.native_ref, RunState.UNKNOWN)]) == outcome(poll)
    else:
        assert (False, [NOT_FOUND_ALONE]) == (poll.complete, [item.reason for item in poll.skipped])


@each_row("status, why", [(400, "is a refusal"), (403, "is a refusal"), (405, "is a refusal"), (500, "is a fault")])
def test_a_probe_names_the_right_to_one_run_where_its_request_fails(status: int, why: str) -> None:
    """It raised, or denied the right to the list, which it had just read."""
    fake = HomeGrown()

    def answer(request: httpx.Request) -> httpx.Response:
        is_single = request.url.path.startswith("/api/runs/") and not request.url.path.endswith("/log")
        return httpx.Response(status, json={"message": "no"}) if is_single else fake.handle(request)

    probe = opened(fake, httpx.MockTransport(answer)).probe(5)
    rights = {right.name: right for right in probe.rights if right.needed_for == "view"}
    assert {"read jobs": True, "read runs": True, "read one run": False, "read log": True} == {
        name: right.held for name, right in rights.items()
    }
    one = rights["read one run"]
    assert f"({status}) {why}" in one.why
    assert "let the account read /api/runs/{id}, or correct runs.one" == one.fix


@pytest.mark.parametrize("status, held, why", [(403, False, "(403)"), (404, None, "has no log"), (503, None, "(503)")])
def test_a_probe_names_the_right_to_the_log_where_it_is_missing(status: int, held: bool | None, why: str) -> None:
    """The probe passed, and the log of each failed run was refused."""
    fake = HomeGrown()
    fake.run("load", "done", fake.now)
    assert True is {right.name: right.held for right in opened(fake).probe(5).rights}["read log"]

    def answer(request: httpx.Request) -> httpx.Response:
        is_log = request.url.path.endswith("/log")
        return httpx.Response(status, json={"message": "no"}) if is_log else fake.handle(request)

    rights = {right.name: right for right in opened(fake, httpx.MockTransport(answer)).probe(5).rights}
    log = rights["read log"]
    assert (True, held) == (rights["read runs"].held, log.held)
    assert why in log.why
    assert log.fix.startswith("let the account read /api/")


def test_a_trial_reads_a_second_page_of_runs() -> None:
    """A token that is refused beside another parameter passed, and then failed in every poll."""
    fake = HomeGrown()

    def answer(request: httpx.Request) -> httpx.Response:
        conflicts = {"since", "after"} <= set(request.url.params)
        return httpx.Response(400, json={"message": "cursor_conflict"}) if conflicts else fake.handle(request)

    trial = try_target(opened(fake, httpx.MockTransport(answer)), "batch/api", 5)
    assert "cursor_conflict" in trial.error
    assert trial.poll is not None
    assert 4 == len(trial.poll.runs)
    trial = try_target(opened(fake), "batch/api", 5)
    assert trial.poll is not None
    assert (8, True) == (len(trial.poll.runs), trial.is_understood)


class WithActions(InPlace):
    """The run shows no key of a rerun; a list of actions does."""

    def __init__(self) -> None:
        super().__init__()
        self.actions = list[dict[str, Any]]()

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/actions":
            rows = [row for row in self.actions if row["ref"] == request.url.params["ref"]]
            return httpx.Response(200, json={"actions": rows})
        return super().handle(request)


ACTIONS = {"path": "/api/actions", "query": {"ref": "{key}"}, "rows": "actions", "run": "result.run"}


@pytest.mark.parametrize("result", [None, {"run": "10"}])
def test_an_action_that_no_run_shows_is_looked_up_by_its_key(result: dict[str, str] | None) -> None:
    """A rerun whose reply was lost stayed unknown, and a person's retry could not be told from it."""
    fake = WithActions()
    connector = repeating(fake, attempt="tries", rerun=KEYED, key="", actions=ACTIONS)
    row, preview = rerun_in_place(fake, connector)
    key = new_key()
    assert ("where its reply is lost, it is looked up by its key in verbs.actions",) == preview.notes
    fake.become(row, "active", 2)  # by a person
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    fake.actions = [{"ref": key, "result": result}]
    taken = connector.look_up(preview, key, 5)
    if result:
        assert ActionFound(f"{row['id']}.2", "run 10 was repeated by it") == taken
    else:
        assert ActionUnknown("the API accepted it; it has no run yet") == taken


@pytest.mark.parametrize("first", ["", "first"])
def test_a_rerun_that_makes_a_run_is_looked_up_by_its_key_in_the_list_of_actions(first: str) -> None:
    fake = WithActions()
    connector = repeating(fake, first=first, key="", actions=ACTIONS, rerun=KEYED)
    row, preview = rerun_in_place(fake, connector)
    key = new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    fake.actions = [{"ref": key, "result": {"run": "77"}}]
    assert ActionFound("77", "run 77 carries it") == connector.look_up(preview, key, 5)
    assert Receipt("77", "was sent before, and is run 77") == connector.act(preview, key, 5)
    assert row["tries"] == 1


def rerun_in_place(fake: HomeGrown, connector: HttpConnector) -> tuple[dict[str, Any], Preview]:
    row = fake.runs[-1]
    run = next(run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs
               if run.native_ref == str(row["id"]))  # fmt: skip
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 5)
    assert preview.refused is None
    return row, preview


@each_row("goes_on", ["waiting", "active", "crashed", "done"])
def test_a_rerun_that_arrived_is_not_absent_where_parts_list_no_new_attempt(goes_on: str) -> None:
    """It was ActionAbsent, and could have been sent again."""
    fake = InPlace()
    connector = repeating(fake, parts=PARTS)
    row, preview = rerun_in_place(fake, connector)
    key = new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    connector.act(preview, key, 5)
    fake.become(row, goes_on, 2)
    assert isinstance(connector.look_up(preview, key, 5), ActionUnknown)
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 5)


def test_a_poll_keeps_the_runs_beside_one_whose_parts_meet_a_fault_and_the_next_one_reads_it() -> None:
    """One 502 on one of 200 lists of parts threw the whole poll away: a first poll never ended."""
    fake, failing = InPlace(), {3, 4}

    def answer(request: httpx.Request) -> httpx.Response:
        match = re.fullmatch(r"/api/runs/(\d+)/parts", request.url.path)
        return httpx.Response(502) if match and int(match[1]) in failing else fake.handle(request)

    connector = opened(fake, httpx.MockTransport(answer), limit=100, log=None, verbs={}, parts=PARTS)
    first = connector.poll("", (), 20)
    assert {str(row["id"]) for row in fake.runs} - {"3", "4"} == {run.native_ref for run in first.runs}
    assert (2, False, None) == (len(first.skipped), first.complete, first.seen_until)
    assert all("is read again by the next poll" in item.reason for item in first.skipped)
    failing.discard(3)
    second = connector.poll(first.cursor, (), 20)
    assert "3" in {run.native_ref for run in second.runs}
    failing.clear()
    third = connector.poll(second.cursor, (), 20)
    assert "4" in {run.native_ref for run in third.runs}
    assert third.complete
    assert third.seen_until is not None


def test_a_page_whose_parts_take_longer_than_a_poll_is_read_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """101 requests at 5 per second do not fit into 20 s: each poll began again, and nothing was ever stored."""
    fake, now = InPlace(), 0.0
    for number in range(90):
        fake.run("load", "active", fake.now - timedelta(minutes=200 - number))

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("connectors.sdk.transport.http.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("connectors.sdk.transport.http.wait_seconds", wait)
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (lambda: now,))
    mapping = settings(limit=100, log=None, verbs={}, parts=PARTS)
    options = HttpOptions.model_validate(mapping).model_copy(update={"requests_per_second": 5.0})
    connector = open_system(options, "api", lambda _: "let-me-in", fake.transport)
    seen, cursor, polls = set[str](), "", 0
    while True:
        poll = connector.poll(cursor, (), 20)
        seen, polls = seen | {run.native_ref for run in poll.runs}, polls + 1
        if not poll.more:
            break
        assert cursor != poll.cursor
        cursor = poll.cursor
    assert {str(row["id"]) for row in fake.runs} == seen
    assert 2 == polls


@pytest.mark.parametrize("own", [True, False])
def test_the_parts_of_a_run_never_replace_its_own_start_and_end(own: bool) -> None:
    """A run that ends after its last part ended with that part, up to 90 s early."""
    fake = InPlace()
    row = fake.runs[-1]
    began, ended = (datetime.fromisoformat(row[name]) for name in ("began", "finished"))

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/parts"):
            return fake.handle(request)
        at = {"begin": f"{began + timedelta(seconds=20):%FT%TZ}", "end": f"{ended - timedelta(seconds=90):%FT%TZ}"}
        return httpx.Response(200, json=[{"id": 1, "name": "all", "state": "done", **at}])

    runs = {**settings()["runs"], **({} if own else {"started": "", "ended": ""})}
    parts = {**PARTS, "started": "begin"}
    connector = opened(fake, httpx.MockTransport(answer), limit=100, log=None, verbs={}, runs=runs, parts=parts)
    run = next(run for run in connector.poll("", (), 20).runs if run.native_ref == str(row["id"]))
    without = began + timedelta(seconds=20), ended - timedelta(seconds=90)
    assert ((began, ended) if own else without) == (run.started_at, run.ended_at)


@pytest.mark.parametrize("shown", ["", "in one", "other"])
def test_a_rerun_under_the_id_of_its_run_is_found_where_the_run_shows_its_key(shown: str) -> None:
    """A person's retry was taken for ours."""
    fake = InPlace()
    fake.hidden = {"request"}
    connector = repeating(fake, attempt="tries", key="request" if shown else "", rerun=KEYED if shown else {})
    row, preview = rerun_in_place(fake, connector)
    key = new_key()
    receipt = connector.act(preview, key, 5)
    assert f"{row['id']}.2" == receipt.native_ref
    assert not shown or key == row["request"] == fake.keys[-1]
    result = connector.look_up(preview, key if shown != "other" else new_key(), 5)
    assert isinstance(result, ActionFound if shown == "in one" else ActionUnknown)
    if isinstance(result, ActionFound):
        assert receipt.native_ref == result.native_ref
    else:
        assert "perhaps it was not started by Headway" in result.why


class Linked(HomeGrown):
    """A rerun is a run of its own that names the first one. Only a start shows its key."""

    def _act(self, path: str, key: str) -> tuple[int, Any]:
        status, row = super()._act(path, key)
        if path.endswith("/rerun"):
            del row["request"]
            row["retry_of"] = int(path.split("/")[3])
        return status, row


def test_a_rerun_that_names_its_first_run_is_found_by_that_where_it_shows_no_key() -> None:
    """Each was unknown: the new run "has no field request (runs.key), and may be it"."""
    fake = Linked()
    connector = opened(fake, limit=100, runs={**settings()["runs"], "first": "retry_of"})
    row, preview = rerun_in_place(fake, connector)
    key = new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    connector.act(preview, key, 5)
    again = str(fake.runs[-1]["id"])
    assert ActionFound(again, f"run {again} carries it") == connector.look_up(preview, key, 5)
    with pytest.raises(NotSupported, match=f"the run was repeated since the preview, by run {again}"):
        connector.act(preview, key, 5)
    fake.run("load", "done", fake.now, retry_of=None)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound), "a run of another group is not it"
    fake._act(f"/api/runs/{row['id']}/rerun", "")  # by a person, as well
    assert isinstance(connector.look_up(preview, key, 5), ActionUnknown)


def test_a_preview_shows_the_path_as_it_is_sent() -> None:
    """Copied into curl, the id 2026/11/28/rebuild+0001 named another path."""
    fake = HomeGrown()
    row = fake.run("load", "crashed", fake.now, id="2026/11/28/rebuild+0001")
    [call] = (
        opened(fake)
        .preview(ActionSpec(Verb.RERUN, RunRef("load", "", row["id"], row["id"]), RunState.FAILED), 5)
        .native_calls
    )
    assert call.startswith("POST https://batch.internal/api/runs/2026%2F11%2F28%2Frebuild%2B0001/rerun ")
    assert '"<key>"' in call


@pytest.mark.parametrize("counts", ["attempts", "starts"])
def test_a_run_keeps_the_start_of_its_first_attempt_where_no_other_is_listed(counts: str) -> None:
    """The repeated attempt began with the run: it took hours."""
    fake = InPlace()
    row = fake.become(fake.run("load", "crashed", fake.now), "crashed", 1)
    connector = repeating(fake, attempt="tries", attempt_counts=counts, started="", first_started="began")
    began = datetime.fromisoformat(row["began"])

    def starts() -> dict[str, tuple[RunState, datetime | None]]:
        records = [run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs]
        own = [run for run in records if run.native_ref == str(row["id"])]
        return {run.attempt_key.partition(".")[2]: (run.state, run.started_at) for run in own}

    assert {"1": (RunState.FAILED, began)} == starts()
    fake.become(row, "done", 3)
    assert [("1", (RunState.LOST, began)), ("3", (RunState.SUCCEEDED, None))] == [*starts().items()], "oldest first"
    fake.become(row, "waiting", 3)
    number = "4" if counts == "starts" else "3"
    assert [("1", (RunState.LOST, began)), (number, (RunState.QUEUED, None))] == [*starts().items()]


# -- headers of a call, and keys that the list does not show ----------------------------------------------------------
KEYED = {"body": {"request": "{key}"}, "headers": {"Idempotency-Key": "{key}", "X-Job": "of {job}"}}


def test_a_call_sends_its_own_headers_with_the_key_of_the_action() -> None:
    """An API that requires Idempotency-Key needed a proxy that adds it."""
    fake = InPlace()
    connector = repeating(fake, attempt="tries", rerun=KEYED)
    row, preview = rerun_in_place(fake, connector)
    assert f"rerun Idempotency-Key: <key> X-Job: of {row['job']} " in preview.native_calls[0]
    key = new_key()
    connector.act(preview, key, 5)
    assert (key, f"of {row['job']}") == (fake.sent["idempotency-key"], fake.sent["x-job"])
    log = {**settings()["log"], "ranges": False, "headers": {"accept": "text/csv"}}
    opened(fake, log=log).log(RunRef("load", "", "1", "1"), None, 100, 5)
    assert "text/csv" == fake.sent["accept"]
    assert "idempotency-key" not in fake.sent


def test_a_rerun_with_a_key_that_no_run_shows_is_counted_by_attempts_alone() -> None:
    call = {"path": "/api/runs/{id}/rerun", "headers": {"Idempotency-Key": "{key}"}}
    with pytest.raises(ValidationError, match="the outcome of a lost reply could not be checked"):
        HttpOptions.model_validate(settings(runs={**settings()["runs"], "key": ""}, verbs={"rerun": call}))


class Terse(HomeGrown):
    """Its list of runs leaves out fields; `single` is what one run alone leaves out."""

    hidden, single = frozenset({"request"}), frozenset[str]()

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        page = super()._page(query)
        return {**page, "runs": [_without(row, self.hidden) for row in page["runs"]]}

    def _row(self, number: str) -> dict[str, Any] | None:
        row = super()._row(number)
        return row and _without(row, self.single)


def _without(row: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@each_row("verb", [Verb.RERUN, Verb.START])
@each_row("is_in_one", [True, False])
def test_a_key_that_the_list_does_not_show_is_read_from_the_run_alone(verb: Verb, is_in_one: bool) -> None:
    """The action was absent while its run was running, and could have been sent again."""
    fake = Terse()
    fake.single = frozenset() if is_in_one else frozenset({"request"})
    connector = opened(fake)
    run = next(iter(connector.poll("", (), 5).runs))
    preview, key = connector.preview(replace(TestHomeGrown().ask(run), verb=verb), 5), new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    connector.act(preview, key, 5)
    result = connector.look_up(preview, key, 5)
    if is_in_one:
        assert ActionFound(str(fake.runs[-1]["id"]), f"run {fake.runs[-1]['id']} carries it") == result
        assert isinstance(connector.look_up(preview, new_key(), 5), ActionAbsent)
    else:
        assert isinstance(result, ActionUnknown)
        assert f"run {fake.runs[-1]['id']} has no field request (runs.key)" in result.why


@each_row(
    "path, row, is_there",
    [
        ("a", {"a": None}, True),
        ("a", {}, False),
        ("a.b", {"a": {"b": None}}, True),
        ("a.b", {"a": {"c": 1}}, False),
        ("a.b", {"a": None}, True),
        ("a[kind=x].b", {"a": []}, True),
        ("a[kind=x].b", {}, False),
        ("{a}-{b}", {"a": 1}, False),
        ("a", None, False),
    ],
)
def test_a_row_has_a_field_whatever_its_value(path: str, row: Any, is_there: bool) -> None:
    assert is_there is has_field(row, path)


# -- pages and logs in pieces -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "status, text, expired_text",
    [
        (400, "cursor has expired", "cursor has expired"),
        (410, "gone", "cursor has expired"),
        (400, "begin again", "cursor_expired"),
    ],
)
def test_a_page_token_that_expired_between_polls_starts_the_walk_again(
    status: int, text: str, expired_text: str
) -> None:
    """Every later poll failed with the refusal, also where its code alone names it."""
    fake, expired = HomeGrown(), set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("after") in expired:
            return httpx.Response(status, json={"error": {"code": "cursor_expired", "message": text}})
        return fake.handle(request)

    runs = {**settings()["runs"], "expired_text": expired_text}
    connector = opened(fake, FaultyTransport(answer, ""), runs=runs)
    first = connector.poll("", (), 5)
    expired.add("4")
    second = connector.poll(first.cursor, (), 5)
    assert [f"no longer knows the next page: cursor_expired: {text}" in warning for warning in second.warnings] == [
        True
    ]
    assert [run.attempt_key for run in first.runs] == [run.attempt_key for run in second.runs]
    expired.clear()
    rest = [run.attempt_key for poll in TestHomeGrown().polls_until_end(connector, second.cursor) for run in poll.runs]
    assert {str(row["id"]) for row in fake.runs} == {*rest, *(run.attempt_key for run in second.runs)}


def test_another_refusal_of_a_later_page_is_reported() -> None:
    fake, refused = HomeGrown(), list[bool]()

    def answer(request: httpx.Request) -> httpx.Response:
        is_later = refused and "after" in request.url.params
        return httpx.Response(400, json={"message": "bad limit"}) if is_later else fake.handle(request)

    runs = {**settings()["runs"], "expired_text": "cursor has expired"}
    connector = opened(fake, FaultyTransport(answer, ""), runs=runs)
    first = connector.poll("", (), 5)
    refused.append(True)
    with pytest.raises(NotSupported, match="bad limit"):
        connector.poll(first.cursor, (), 5)


def test_runs_that_were_deleted_while_a_token_expired_are_a_gap() -> None:
    fake, removed = HomeGrown(), list[bool]()

    def answer(request: httpx.Request) -> httpx.Response:
        is_later = removed and "after" in request.url.params
        return httpx.Response(410, json={}) if is_later else fake.handle(request)

    runs = {**settings()["runs"], "retention_days": 1}
    connector = opened(fake, FaultyTransport(answer, ""), runs=runs)
    cursor = json.loads(connector.poll("", (), 5).cursor)
    since = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    removed.append(True)
    [gap] = connector.poll(json.dumps({**cursor, "since": since}), (), 5).gaps
    assert "runs are kept for 1 days" in gap.reason


@each_row("oldest_first", [False, True])
@each_row("paused_days", [None, 40])
def test_no_poll_asks_further_back_than_its_source_keeps_runs(oldest_first: bool, paused_days: int | None) -> None:
    """The first poll asked since 1970, which the API refused, and so in each poll."""
    fake, asked = HomeGrown(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["since"])
        return fake.handle(request)

    runs = {**settings()["runs"], "retention_days": 30}
    if oldest_first:
        runs |= {"oldest_first": True, "query": {"since": "{since}", "limit": "{limit}", "page": "{page}"}, "next": ""}
    since = datetime.now(UTC) - timedelta(days=paused_days or 0)
    cursor = "" if paused_days is None else json.dumps({"since": since.isoformat()})
    oldest = datetime.now(UTC) - timedelta(days=30)
    opened(fake, FaultyTransport(answer, ""), runs=runs).poll(cursor, [RunRef("load", "", "1", "1", since)], 5)
    assert oldest < datetime.fromisoformat(asked[0]) < oldest + timedelta(hours=2)


def log_in_pieces(connector: HttpConnector, run: RunRef, piece: int) -> str:
    """The whole log, read in chunks of so many bytes."""
    text, start = "", "0"
    while (chunk := connector.log(run, start, piece, 5)).more:
        text += chunk.text
        start = str(chunk.next)
    return text + chunk.text


class PiecewiseLog(HomeGrown):
    """Answers 10 bytes of a log from an offset on; 416 behind its end."""

    def _log(self, request: httpx.Request, number: int, headers: dict[str, Any]) -> httpx.Response:
        first, whole = int(request.url.params.get("from", 0)), self.log.encode()
        if first > len(whole):
            return httpx.Response(416)
        return httpx.Response(200, content=whole[first : first + 10], headers={"content-type": "text/plain"})


@each_row("size", [0, 7, 10, 95, 100])
@each_row("piece", [4, 33, 4096])
def test_a_log_that_comes_in_pieces_is_read_to_its_end(size: int, piece: int) -> None:
    """Only the first piece was read, and nothing said that the rest is missing."""
    fake = PiecewiseLog()
    fake.log = "".join("zeile ä\n"[at % 8] for at in range(size))
    connector = opened(fake, log={"path": "/api/runs/{id}/log", "query": {"from": "{offset}"}})
    run = RunRef("load", "", "1", "1")
    whole = fake.log.encode()
    tail = connector.log(run, None, piece, 5)
    assert whole.decode().endswith(tail.text)
    assert (len(whole) > piece, True) == (tail.cut, len(tail.text.encode()) > min(len(whole), piece) - 2)
    assert fake.log == log_in_pieces(connector, run, piece)


@pytest.mark.parametrize("packed", [False, True])
def test_a_piece_of_a_log_that_is_too_long_is_read_on_from_where_it_was_cut(
    packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer above the limit was an error, also where only the end of the log was read."""
    monkeypatch.setattr("connectors.sdk.transport.http.LIMIT_BYTES", 1001)
    fake, status = HomeGrown(), 200
    whole = "zeile ä\n" * 400

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return fake.handle(request)
        body = whole.encode()[int(request.url.params["from"]) :]
        headers = {"content-encoding": "gzip"} if packed else {}
        stream = httpx.ByteStream(gzip.compress(body) if packed else body)
        return httpx.Response(status, stream=stream, headers=headers)

    connector = opened(
        fake, httpx.MockTransport(answer), log={"path": "/api/runs/{id}/log", "query": {"from": "{offset}"}}
    )
    assert whole.endswith(connector.log(RunRef("load", "", "1", "1"), None, 500, 5).text[1:])
    assert whole == log_in_pieces(connector, RunRef("load", "", "1", "1"), 700)
    status = 500
    with pytest.raises(HttpAnswerTooLarge):
        connector.log(RunRef("load", "", "1", "1"), None, 500, 5)


@each_row("ends", ["empty", "same", "null"])
@each_row("piece", [9, 33, 4096])
def test_a_log_in_json_by_the_offset_of_its_bytes_is_read_to_its_end(piece: int, ends: str) -> None:
    """Its pieces end between characters, so the next offset is the one of the answer."""
    fake, whole = HomeGrown(), "zeile ä\n" * 12

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return fake.handle(request)
        first = int(request.url.params["from"])
        text = whole.encode()[first : first + 17].decode("utf-8", "ignore")
        end = first + len(text.encode())
        is_last = end == len(whole.encode())
        following = None if is_last and ends == "null" else first if is_last and ends == "same" else end
        return httpx.Response(200, json={"text": text, "next_offset": following})

    log = {"path": "/api/runs/{id}/log", "query": {"from": "{offset}"}, "text": "text", "next": "next_offset"}
    connector, run = opened(fake, FaultyTransport(answer, ""), log=log), RunRef("load", "", "1", "1")
    tail = connector.log(run, None, piece, 5)
    assert whole.endswith(tail.text)
    assert (len(whole.encode()) > piece, True) == (tail.cut, bool(tail.text))
    assert whole == log_in_pieces(connector, run, piece)


@each_row("end, read", [("17", True), (17.0, True), ("", False), ("soon", None), (-1, None), (True, None)])
def test_the_next_byte_of_a_log_is_a_number_or_is_refused_with_its_place(end: object, read: bool | None) -> None:
    fake = HomeGrown()
    pieces = {"0": ("a" * 17, end), "17": ("b" * 5, None)}

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return fake.handle(request)
        text, following = pieces[request.url.params["from"]]
        return httpx.Response(200, json={"text": text, "next_offset": following})

    log = {"path": "/api/runs/{id}/log", "query": {"from": "{offset}"}, "text": "text", "next": "next_offset"}
    connector, run = opened(fake, FaultyTransport(answer, ""), log=log), RunRef("load", "", "1", "1")
    if read is None:
        with pytest.raises(InvalidAnswer, match=r"'next_offset' \(log.next\) is not the number of a byte. Fix: "):
            connector.log(run, "0", 1_000, 5)
    else:
        assert "a" * 17 + "b" * 5 * read == connector.log(run, "0", 1_000, 5).text


PART_LOGS = {
    "bytes from an offset": {"query": {"from": "{offset}"}},
    "text from an offset": {"query": {"from": "{offset}"}, "text": "text", "next": "end"},
    "lines by a token": {"query": {"after": "{cursor}"}, "parts": "lines", "text": "text", "next": "after"},
    "text in one answer": {"query": {"whole": "yes"}, "text": "text"},
    "bytes in one answer": {"query": {"whole": "yes", "since": "{since}"}},
}


@pytest.mark.parametrize("log", PART_LOGS.values(), ids=PART_LOGS)
@pytest.mark.parametrize("piece", [9, 33, 4096])
def test_the_log_of_each_part_is_read_to_its_end(log: dict[str, Any], piece: int) -> None:
    """The first piece of each was read alone, and JSON was shown as it came."""
    logs = {"7": "eins ä\n" * 5, "8": "zwei\n" * 6}
    began = {"began": "2026-11-20T03:00:00Z", "end": "2026-11-20T03:09:00Z", "state": "crashed"}
    rows = [{"id": number, "name": number, **began} for number in (7, 8)]

    def answer(request: httpx.Request) -> httpx.Response:
        whole, params = logs.get(request.url.path.rpartition("/")[2]), request.url.params
        if whole is None:
            return httpx.Response(200, json=rows)
        if "lines" in log.values():
            first = int(params.get("after", 0))
            lines = [{"text": line} for line in whole.splitlines()[first : first + 2]]
            return httpx.Response(200, json={"lines": lines, "after": first + len(lines)})
        first = int(params.get("from", 0))
        text = whole if "whole" in params else whole.encode()[first : first + 12].decode("utf-8", "ignore")
        if "text" not in log:
            return httpx.Response(200, text=text)
        return httpx.Response(200, json={"text": text, "end": first + len(text.encode())})

    parts = {**PARTS, "started": "began"}
    connector = opened(
        HomeGrown(), httpx.MockTransport(answer), parts=parts, log={"path": "/api/logs/{part}", **log}, verbs={}
    )
    run, whole = RunRef("load", "", "1", "1"), "".join(logs.values())
    tail = connector.log(run, None, piece, 5)
    assert whole.endswith(tail.text)
    assert (len(whole.encode()) > piece, True) == (tail.cut, bool(tail.text))
    assert whole == log_in_pieces(connector, run, piece)


def test_half_a_character_in_a_json_log_is_replaced() -> None:
    fake = HomeGrown()

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return fake.handle(request)
        return httpx.Response(200, content=b'{"text": "a\\ud83db"}', headers={"content-type": "application/json"})

    connector = opened(fake, FaultyTransport(answer, ""), log={"path": "/api/runs/{id}/log", "text": "text"})
    assert "a?b" == connector.log(RunRef("load", "", "1", "1"), None, 1_000, 5).text


def test_the_rate_of_a_mapping_spaces_the_requests_of_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("connectors.sdk.transport.http.wait_seconds", waits.append)
    fake = HomeGrown()
    for rate, count in ((None, 0), (0.5, 1)):
        connector = opened(fake, requests_per_second=rate)
        for _ in range(2):
            connector.poll("", (), 60)
        assert count == len(waits)


class NumberedLog(HomeGrown):
    """Answers three lines of a log behind a number. `stays`: the last answer names its own number again."""

    stays = False

    def _log(self, request: httpx.Request, number: int, headers: dict[str, Any]) -> httpx.Response:
        first = int(request.url.params.get("afterSeq", 0))
        lines = [{"text": line} for line in self.log.splitlines()[first : first + 3]]
        following = first + len(lines) if lines or self.stays else None
        return httpx.Response(200, json={"lines": lines, "nextAfterSeq": following})


NUMBERED = {
    "path": "/api/runs/{id}/log",
    "query": {"afterSeq": "{cursor}"},
    "parts": "lines",
    "text": "text",
    "next": "nextAfterSeq",
}


@each_row("stays", [True, False])
@each_row("lines", [0, 1, 3, 10])
def test_a_log_by_the_numbers_of_its_lines_is_read_to_its_end(lines: int, stays: bool) -> None:
    """Only the first lines were read, and nothing said that the rest is missing."""
    fake = NumberedLog()
    fake.log, fake.stays = "".join(f"zeile {number} ä\n" for number in range(lines)), stays
    connector, run = opened(fake, log=NUMBERED), RunRef("load", "", "1", "1")
    assert fake.log == connector.log(run, None, 4096, 5).text
    assert fake.log == log_in_pieces(connector, run, 20)


@pytest.fixture
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[HomeGrown], httpx.MockTransport]:
    """The transport of a fake whose answers take 0.1 s each, by the clock of deadlines."""
    now = [0.0]
    monkeypatch.setattr(Deadline.__init__, "__defaults__", (lambda: now[0],))

    def transport(fake: HomeGrown) -> httpx.MockTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            now[0] += 0.1
            return fake.handle(request)

        return httpx.MockTransport(answer)

    return transport


def test_a_log_by_numbers_that_never_ends_says_what_is_missing(
    slow_answers: Callable[[HomeGrown], httpx.MockTransport],
) -> None:
    fake = NumberedLog()
    fake.log = "x\n" * 10_000
    chunk = opened(fake, slow_answers(fake), log=NUMBERED).log(RunRef("load", "", "1", "1"), None, 4096, 1)
    assert re.search(r"x\n\[the log from \d+ on could not be read in time\]\n$", chunk.text)


def test_a_log_that_is_not_read_in_time_says_what_is_missing(
    slow_answers: Callable[[HomeGrown], httpx.MockTransport],
) -> None:
    fake = PiecewiseLog()
    fake.log = "0123456789" * 1000
    log = {"path": "/api/runs/{id}/log", "query": {"from": "{offset}"}}
    chunk = opened(fake, slow_answers(fake), log=log).log(RunRef("load", "", "1", "1"), None, 4096, 1)
    *_, last = chunk.text.splitlines()
    match = re.fullmatch(r"\[the log from byte (\d+) on could not be read in time\]", last)
    assert match is not None
    assert chunk.text.startswith("0123456789" * (int(match[1]) // 10) + "\n")


@each_row("by", ["files", "parts"])
@each_row("start", [None, "0"])
def test_a_step_without_a_log_leaves_that_of_the_others(by: str, start: str | None) -> None:
    """The step that never began answers 404: the log of each failed run was refused as a whole."""
    fake, logs = HomeGrown(), {"load": "5 rows\n", "publish": "no route to host\n"}

    def answer(request: httpx.Request) -> httpx.Response:
        *_, last = path = request.url.path.split("/")
        if last == "steps":
            names = ("load", "publish", "notify")
            return httpx.Response(200, json=[{"id": name, "name": name, "state": "crashed", **times} for name in names])
        if "steps" in path:
            return httpx.Response(200, text=logs[last]) if last in logs else httpx.Response(404)
        return fake.handle(request)

    times = {name: fake.runs[0][name] for name in ("began", "finished")}
    steps = {"path": "/api/runs/{id}/steps", "paging": "none", "id": "id"}
    if by == "files":
        connector = opened(
            fake,
            httpx.MockTransport(answer),
            log={"path": "/api/runs/{id}/steps/{file}", "files": {**steps, "title": "name"}},
        )
    else:
        parts = {**steps, "name": "name", "state": "state", "started": "began", "ended": "finished"}
        log = {"path": "/api/runs/{id}/steps/{part}"}
        connector = opened(fake, httpx.MockTransport(answer), log=log, parts=parts, verbs={})
    run = RunRef("load", "", "1.1", "1")
    titles = ("==> load <==\n", "==> publish <==\n") if by == "files" else ("", "")
    assert f"{titles[0]}5 rows\n{titles[1]}no route to host\n" == connector.log(run, start, 4096, 5).text
    logs.clear()
    with pytest.raises(NotSupported, match="has no log"):
        connector.log(run, start, 4096, 5)


def test_a_probe_reads_the_log_of_a_failed_run_where_there_is_one() -> None:
    """It tried a good run: "read log: held", and the log of each failed run was refused."""
    fake = HomeGrown()
    connector = opened(fake)
    failed = {str(row["id"]) for row in fake.runs if row["status"] == "crashed"}
    connector.probe(5)
    [log] = [call for call in fake.requested if call.endswith("/log")]
    assert log.split("/")[3] in failed


def test_a_token_with_a_slash_that_is_not_a_link_stays_whole() -> None:
    fake, tokens = HomeGrown(), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/more":
            tokens.append(request.url.params["token"])
            return httpx.Response(200, json={"runs": [], "paging": {}})
        return httpx.Response(200, json={**fake.handle(request).json(), "paging": {"after": "ab/cd+e="}})

    runs = {**settings()["runs"], "next_path": "/api/more?token={cursor}"}
    [*_] = TestHomeGrown().polls_until_end(opened(fake, FaultyTransport(answer, ""), runs=runs), "")
    assert ["ab/cd+e="] == tokens


# -- a run that is repeated twice -------------------------------------------------------------------------------------
class Retried(InPlace):
    """The keys of a run's reruns and the starts of its attempts are lists, which one run alone shows."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = {"retries", "attempts"}
        for row in self.runs:
            row |= {"retries": [], "attempts": [{"began": row["began"]}]}

    def _act(self, path: str, key: str) -> tuple[int, Any]:
        row = self.runs[int(path.split("/")[3]) - 1]
        row["retries"].append({"reason": key})
        return 202, self.become(row, "waiting", row["tries"] + 1)

    def tick(self) -> None:
        self.now += timedelta(seconds=30)
        for row in self.runs:
            if row["status"] == "waiting":
                row["attempts"].append({"began": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")})
                self.become(row, "crashed", row["tries"])


IN_ORDER = {"attempt": "tries", "started": "attempts[-1].began", "first_started": "began", "key": "retries[*].reason"}


class TestRetried(Reruns):
    """The second rerun of one run was not found, or called absent: it could have been sent again."""

    kind = CONNECTOR
    against = "fake: a home-grown scheduler of ours, by the example in the docs"
    elsewhere: ClassVar[dict[str, str]] = dict.fromkeys(HOOKS, "tests/connectors/http/test_mapped.py")
    runs: ClassVar[dict[str, str]] = IN_ORDER

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = Retried()

    def connector(self) -> Connector:
        return repeating(self.fake, rerun=KEYED, **self.runs)

    def make_failure(self) -> str:
        return "mart"

    def native_trace(self) -> object:
        return [dict(row) for row in self.fake.runs]

    def advance(self) -> None:
        self.fake.tick()


@pytest.mark.parametrize("key, is_found", [("retries[*].reason", True), ("retries[0].reason", False)])
def test_a_second_rerun_that_arrived_is_not_absent_without_the_number_of_attempts(key: str, is_found: bool) -> None:
    fake = Retried()
    connector = repeating(fake, rerun=KEYED, key=key)
    for _ in range(2):
        row, preview = rerun_in_place(fake, connector)
        sent = new_key()
        assert isinstance(connector.look_up(preview, sent, 5), ActionAbsent)
        connector.act(preview, sent, 5)
        fake.tick()
        result = connector.look_up(preview, sent, 5)
    assert isinstance(result, ActionFound if is_found else ActionUnknown), result
    assert is_found or "changed since the preview" in str(result)
    assert row["retries"][-1] == {"reason": sent}


def test_a_repeated_attempt_begins_when_the_run_alone_says_and_takes_no_request_again() -> None:
    """It began with the first attempt, hours before, and was longer than all successful runs."""
    fake = Retried()
    connector = repeating(fake, rerun=KEYED, **IN_ORDER)
    row, preview = rerun_in_place(fake, connector)
    connector.act(preview, new_key(), 5)
    fake.tick()
    began = datetime.fromisoformat(row["attempts"][-1]["began"])
    for _ in range(2):
        runs = {run.attempt_key: run for poll in TestRetried().polls_until_end(connector, "") for run in poll.runs}
    assert (began, RunState.FAILED) == (runs[f"{row['id']}.2"].started_at, runs[f"{row['id']}.2"].state)
    assert datetime.fromisoformat(row["began"]) == runs[f"{row['id']}.1"].started_at
    assert 1 == fake.requested.count(f"GET /api/runs/{row['id']}") - 2, "the preview and the action read it as well"


def test_a_poll_reads_a_bounded_number_of_repeated_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of them took a request each, however many; the next poll goes on with the rest."""
    monkeypatch.setattr("connectors.http.parts.MAX_PART_READS", 2)
    fake = Retried()
    for row in fake.runs:
        row |= {"tries": 2, "attempts": [{"began": row["began"]}] * 2}
    alone = re.compile(r"GET /api/runs/\d+")
    connector = repeating(fake, rerun=KEYED, **IN_ORDER)
    cursor, latest = "", list[RunRecord]()
    for _ in range(5):
        fake.requested.clear()
        poll = connector.poll(cursor, (), 5)
        cursor = poll.cursor
        latest += [run for run in poll.runs if run.attempt_key.endswith(".2")]
        assert 2 == sum(alone.fullmatch(call) is not None for call in fake.requested)
    assert not poll.more
    assert len(fake.runs) == len({run.attempt_key for run in latest})
    assert all(run.started_at is not None for run in latest)


def test_open_runs_that_no_list_has_are_read_in_turn() -> None:
    """The first 50 were read in each poll, and the others never."""
    fake = HomeGrown()
    connector = opened(fake)
    refs = tuple(RunRef("load", "", str(number), str(number)) for number in range(900, 1020))
    reported = list[set[str]]()
    for _ in range(3):
        poll = connector.poll("", refs, 5)
        while poll.more:
            poll = connector.poll(poll.cursor, refs, 5)
        assert "120 open runs are not in the list, and a poll reads 50 of them alone" in poll.warnings
        reported.append({run.native_ref for run in poll.runs if int(run.native_ref) >= 900})
    assert [50, 50, 50] == [len(runs) for runs in reported]
    assert {ref.native_ref for ref in refs} == set().union(*reported)


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
def test_a_mark_of_an_attempt_that_is_not_the_latest_is_refused_and_not_found(verb: Verb) -> None:
    """A retry that succeeded by itself was taken for the mark of the failed attempt."""
    fake = InPlace()
    row = fake.become(fake.run("load", "crashed", fake.now), "crashed", 1)
    mark = {"verbs": {"mark": settings()["verbs"]["mark"]}}
    connector = opened(fake, limit=100, runs={**settings()["runs"], "attempt": "tries"}, **mark)
    run = next(run for poll in TestHomeGrown().polls_until_end(connector, "") for run in poll.runs
               if run.native_ref == str(row["id"]))  # fmt: skip
    spec = ActionSpec(verb, ref(run), run.state)
    preview, key = connector.preview(spec, 5), new_key()
    assert preview.refused is None
    assert (verb is Verb.SKIP) == ("its source shows a success, as after mark OK" in preview.notes)
    for status in ("active", "done"):
        fake.become(row, status, 2)
        text = f"another attempt of the run is there: {row['id']}.2 is {status}"
        assert text == connector.preview(spec, 5).refused
        with pytest.raises(NotSupported, match="nothing was sent"):
            connector.act(preview, key, 5)
        lookup = connector.look_up(preview, key, 5)
        assert isinstance(lookup, ActionUnknown)
        assert text in lookup.why
    assert [] == [call for call in fake.requested if call.startswith("POST")]


def test_a_path_that_no_row_has_is_reported_under_its_own_key() -> None:
    """`first_started` was counted in place of `started`, so a typo in started was not reported."""
    fake, tally = Retried(), FieldTally()
    connector = repeating(fake, rerun=KEYED, **IN_ORDER | {"started": "tried[-1].began", "first_started": "beganed"})
    with tallying(tally):
        connector.poll("", (), 5)
    texts = [text for text in tally.missing() if "began" in text]
    assert ["runs.first_started", "runs.started"] == sorted(text.partition(":")[0] for text in texts)
    assert any(
        '"tried[-1].began". A run that is read alone may have it. Fix: correct it, or ignore' in text for text in texts
    )


@pytest.mark.parametrize("lines", [["a", "", "b"], ["", "a\n", "\n"], [""]])
def test_blank_lines_of_a_log_by_lines_stay(lines: list[str]) -> None:
    answer = httpx.Response(200, json={"lines": [{"text": line} for line in lines]})
    log = {"path": "/api/runs/{id}/log", "parts": "lines", "text": "text"}
    text = (
        opened(HomeGrown(), httpx.MockTransport(lambda _: answer), log=log)
        .log(RunRef("load", "", "1", "1"), "0", 1000, 5)
        .text
    )
    assert text == "".join(line.removesuffix("\n") + "\n" for line in lines)


# -- fields that no answer has ----------------------------------------------------------------------------------------
class Plain(HomeGrown):
    """`leaves_out`: the last page has no token at all."""

    leaves_out = False

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        page = super()._page(query)
        return {"runs": page["runs"]} if self.leaves_out and page["paging"]["after"] is None else page


@each_row("leaves_out", [True, False])
@each_row("next_at", ["paging.after", "paging.afters"])
def test_a_full_page_without_the_field_of_the_next_page_is_no_whole_list(next_at: str, leaves_out: bool) -> None:
    """A typo in next: later pages were lost in silence. The last page of some APIs has no such field."""
    fake = Plain()
    fake.leaves_out = leaves_out
    poll = opened(fake, limit=len(fake.runs), runs={**settings()["runs"], "next": next_at}).poll("", (), 5)
    assert len(fake.runs) == len(poll.runs)
    is_typo = next_at == "paging.afters"
    assert poll.complete is not is_typo
    text = '/api/runs gave 10 rows, and no answer has the field "paging.afters" (runs.next): later pages are not read'
    assert [is_typo] == [any(text in warning for warning in poll.warnings)]


@each_row(
    "value, times, fix",
    [
        (1795686000140, "iso", 'Fix: times = "milliseconds"'),
        ("1795686000", "compact", 'Fix: times = "seconds"'),
        ("20261126T094001Z", "seconds", 'Fix: times = "iso"'),
        (20261126094001, "iso", 'Fix: times = "compact"'),
        (20261399094001, "compact", "Fix: name another field, or correct times"),
        ("2026-13-26T09:40:01", "iso", "Fix: name another field, or correct times"),
        ("soon", "milliseconds", "Fix: name another field, or correct times"),
    ],
)
def test_an_instant_in_another_form_says_in_which(value: Any, times: str, fix: str) -> None:
    with pytest.raises(RecordUnreadable) as raised:
        instant_of(value, "began", MappedRunFields(id="id", job="job", state="state", times=times))
    assert fix in str(raised.value)


def test_an_instant_with_a_zone_is_read_among_numbers() -> None:
    fields = MappedRunFields(id="id", job="job", state="state", times="milliseconds")
    instants = {instant_of(value, "at", fields) for value in (1795686001311, "2026-11-26T09:40:01.311Z")}
    assert {datetime(2026, 11, 26, 9, 40, 1, 311000, UTC)} == instants
    with pytest.raises(RecordUnreadable, match="written as milliseconds"):
        instant_of("2026-11-26T09:40:01", "at", fields)


@each_row(
    "document, log, problem",
    [
        ({"text": "one"}, {"text": "text"}, ""),
        ({"text": None}, {"text": "text"}, ""),
        ({}, {"text": "text"}, ""),
        ({"text": "one"}, {"text": "body"}, "has no 'body' (log.text). Fix: correct it"),
        ({"lines": [{"text": "one"}]}, {"parts": "lines", "text": "text"}, ""),
        ({"lines": []}, {"parts": "lines", "text": "text"}, ""),
        ({"lines": [{"text": "one"}]}, {"parts": "rows", "text": "text"}, "has no 'rows' (log.parts). Fix: correct it"),
        ({"lines": [{"text": "one"}]}, {"parts": "lines", "text": "body"}, "parts without 'body' (log.text). Fix:"),
    ],
)
def test_a_log_at_a_wrong_field_is_an_error_and_no_empty_log(
    document: dict[str, Any], log: dict[str, str], problem: str
) -> None:
    fake = HomeGrown()
    run = fake.run("load", "done", fake.now)

    def answer(request: httpx.Request) -> httpx.Response:
        is_log = request.url.path.endswith("/log")
        return httpx.Response(200, json=document) if is_log else fake.handle(request)

    connector = opened(fake, FaultyTransport(answer, ""), log={"path": "/api/runs/{id}/log", **log})
    ref = RunRef("load", "", str(run["id"]), str(run["id"]), None)
    if problem:
        with pytest.raises(InvalidAnswer) as caught:
            connector.log(ref, None, 4096, 5)
        assert problem in str(caught.value)
    else:
        connector.log(ref, None, 4096, 5)
