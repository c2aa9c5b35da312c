"""What a webhook sends: to the documented receiver, signed, once; what it refuses; no secret in any error."""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.diagnosis.routes import send_test_message
from console.engine.notify.channels import Channels
from console.engine.notify.self_monitoring import STORE, SelfMonitor
from console.engine.notify.webhook import WebhookNotification
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.notify.test_routing import later
from tests.fakes.scheduler import FakeScheduler
from tests.golden.files import WEBHOOK
from tests.golden.webhooks import notifications
from tests.lab.process import Daemon, free_port, wait_until
from tests.lab.sinks import Behaviour, HttpSink
from tests.rows import each_row
from tests.test_docs import ROOT, fences

PAGE = ROOT / "docs" / "webhook.md"
KEY = "0123456789abcdef" * 4


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    made = HttpSink()
    made.start()
    yield made
    made.stop()


def bench_at(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    scheduler = FakeScheduler()
    for job in ("extract", "load"):
        scheduler.job(job)
    monkeypatch.setenv("HOOK_URL", f"webhook://{KEY}@127.0.0.1:{port}/hook?team=etl")
    config = replace(
        estate_config(folder, scheduler), routes={"oncall": RouteSettings(urls=(SecretRef(env="HOOK_URL"),))}
    )
    return running_bench(folder, scheduler, config)


@pytest.fixture
def bench(tmp_path: Path, sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench_at(tmp_path, sink.port, monkeypatch) as made:
        yield made


def finish(bench: Bench, state: RunState, minutes_ago: int) -> None:
    ended = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    bench.scheduler.attempt("extract", "1", state, ended - timedelta(minutes=1), ended_at=ended)
    bench.turn()


def errors(bench: Bench) -> list[tuple[Any, ...]]:
    with bench.store.read() as session:
        return [tuple(row) for row in session.rows("SELECT state, error FROM delivery ORDER BY id")]


def test_the_documented_receiver_accepts_an_incident_and_its_end_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source] = fences(PAGE.read_text(encoding="utf-8"), "python")
    (tmp_path / "receiver.py").write_text(source)
    port, log = free_port(), tmp_path / "receiver.log"
    daemon = Daemon([sys.executable, str(tmp_path / "receiver.py")], log, {**os.environ, "KEY": KEY, "PORT": str(port)})
    daemon.start()
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_until(lambda: _status(address) == 401, "the receiver, which refuses an unsigned request")
        with bench_at(tmp_path, port, monkeypatch) as bench:
            finish(bench, RunState.FAILED, 4)
            with bench.store.write(bench.fence) as session:  # as if the engine had died before it was recorded
                session.rows("UPDATE delivery SET state = 'claimed'")
            bench.parts.outbox.recover(bench.fence)
            bench.send()
            finish(bench, RunState.SUCCEEDED, 1)
            assert [("sent", ""), ("sent", "")] == errors(bench)
    finally:
        daemon.stop()
    printed = [line.split(" ")[:2] for line in log.read_text().splitlines() if "INC-" in line]
    assert [["opened", "INC-0001"], ["recovered", "INC-0001"]] == printed


def _status(address: str) -> int | None:
    try:
        return httpx.post(address, content=b"{}").status_code
    except httpx.HTTPError:
        return None


def test_an_incident_is_sent_with_its_services_and_a_valid_signature(bench: Bench, sink: HttpSink) -> None:
    finish(bench, RunState.FAILED, 4)
    finish(bench, RunState.SUCCEEDED, 1)
    opened, ended = [post.data for post in sink.posts]
    [incident] = opened["incidents"]
    assert ("fake/extract", "run", "team") == tuple(incident[name] for name in ("root", "cause", "owner"))
    assert [("supply", "Supply plan")] == [(service["name"], service["title"]) for service in incident["services"]]
    assert (1, "opened", "open", "bench") == tuple(opened[name] for name in ("version", "kind", "action", "estate"))
    assert ("recovered", "resolve", opened["key"]) == tuple(ended[name] for name in ("kind", "action", "key"))
    assert incident["closed"] is None
    assert ended["incidents"][0]["closed"] is not None
    for post in sink.posts:
        schema_of().validate(post.data)
        headers = {name.lower(): value for name, value in post.headers.items()}
        signed = f"{post.data['id']}.{headers['webhook-timestamp']}.".encode() + post.body
        mac = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed, "sha256")).decode()
        assert (post.data["id"], f"v1,{mac}") == (headers["webhook-id"], headers["webhook-signature"])
        assert "/hook?team=etl" == post.path
        assert KEY not in str(post)


def test_a_lost_answer_is_sent_again_under_the_same_id(bench: Bench, sink: HttpSink) -> None:
    sink.behaviour = Behaviour(drop=True)
    finish(bench, RunState.FAILED, 4)
    sink.behaviour = Behaviour()
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE delivery SET next_us = 0")
    bench.send()
    first, second = [post.data for post in sink.posts]
    assert (first["id"], False, True) == (second["id"], first["may_be_repeat"], second["may_be_repeat"])


@pytest.mark.parametrize(
    "status, text", [(302, "redirects are refused. Fix: name the final address"), (500, "HTTP 500")]
)
def test_a_refusal_is_recorded_without_key_path_or_answer(bench: Bench, sink: HttpSink, status: int, text: str) -> None:
    sink.behaviour = Behaviour(status=status, body=KEY.encode())
    finish(bench, RunState.FAILED, 4)
    [(state, error)] = errors(bench)
    assert ("pending", 1) == (state, len(sink.posts))
    assert text in error
    assert KEY not in error
    assert "hook" not in error


def test_a_digest_names_each_of_its_incidents(bench: Bench, sink: HttpSink) -> None:
    finish(bench, RunState.FAILED, 4)
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE alert SET kind = 'digest', incident_id = NULL")
        session.rows(
            "INSERT INTO alert (incident_id, dedup_key, kind, version, route, message, made_us"
            ", urgent, waits, let_us, digest_id) SELECT id, key, 'opened', 1, 'oncall', '', 0,"
            " FALSE, FALSE, 0, (SELECT max(id) FROM alert) FROM incident"
        )
        session.rows("UPDATE delivery SET state = 'pending', next_us = 0")
    bench.send()
    digest = sink.posts[-1].data
    assert ("digest", ["INC-0001"]) == (digest["kind"], [incident["incident"] for incident in digest["incidents"]])


def test_headways_own_trouble_is_sent_from_memory_under_the_id_that_the_store_would_use(
    bench: Bench, sink: HttpSink
) -> None:
    sink.behaviour = Behaviour(status=503)
    own = SelfMonitor({STORE: 0.0})
    own.report(bench.parts, None, {STORE: "database or disk is full"})
    wait_until(lambda: bool(sink.posts) and not own._offline[0].sending, "the first try")
    sink.behaviour = Behaviour()
    own.report(bench.parts, bench.fence, {STORE: "database or disk is full"})
    later(bench)
    posts = [post.data for post in sink.posts]
    assert {("headway", "open", posts[0]["id"])} == {(post["kind"], post["action"], post["id"]) for post in posts}
    assert "sent" == errors(bench)[-1][0]


@each_row(
    "url, fault",
    [
        (f"webhooks://{KEY}@hooks.example.com/path?a=b", ""),
        (f"webhook://whsec_{KEY}@127.0.0.1:8080", ""),
        ("webhooks://hooks.example.com/CANARY", "key: missing, or not alone before the @"),
        (f"webhooks://CANARY:{KEY}@hooks.example.com", "key: missing, or not alone before the @"),
        (f"webhooks://{KEY}@/CANARY", "server: missing"),
        (f"webhooks://{KEY}@CANARY:99999", "server or port: "),
        (f"webhooks://{KEY}@hooks.example.com/CANARY#x", "nothing may follow a #"),
        ("webhooks://CANARY@hooks.example.com", "key: not 24 bytes or more in base64"),
    ],
)
def test_check_names_the_wrong_part_and_none_of_its_text(url: str, fault: str) -> None:
    result = Channels(None).of(url).problem()
    assert fault in result
    assert bool(fault) == bool(result)
    assert KEY not in result
    assert "CANARY" not in result


def test_a_first_route_is_tried_with_one_test(sink: HttpSink) -> None:
    url = f"webhook://{KEY}@127.0.0.1:{sink.port}/"
    assert "" == send_test_message(url)
    assert [("test", "inform", [])] == [
        (post.data["kind"], post.data["action"], post.data["incidents"]) for post in sink.posts
    ]
    sink.behaviour = Behaviour(status=401)
    assert "HTTP 401" == send_test_message(url)


def schema_of() -> Any:
    schema = json.loads(WEBHOOK.read_text(encoding="utf-8"))
    return OAS31Validator(schema, format_checker=oas31_format_checker)


def test_every_kind_fits_the_schema() -> None:
    documents = [one.model_dump(mode="json") for one in notifications()]
    [example] = fences(PAGE.read_text(encoding="utf-8"), "json")
    for document in [*documents, json.loads(example)]:
        schema_of().validate(document)
    kinds = WebhookNotification.model_json_schema()["properties"]["kind"]["enum"]
    assert set(kinds) == {document["kind"] for document in documents}
    with pytest.raises(Exception, match="'kind' is a required property"):
        schema_of().validate({name: value for name, value in documents[0].items() if name != "kind"})


def test_the_page_documents_every_field() -> None:
    page = PAGE.read_text(encoding="utf-8")
    schema = WebhookNotification.model_json_schema(mode="serialization")
    names = {*schema["properties"], *(name for item in schema["$defs"].values() for name in item.get("properties", ()))}
    assert set() == {name for name in names if f"`{name}`" not in page}
