"""OpenLineage events: which jobs they are about, what they teach, and what is refused."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, ownership_job
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport

from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.sections import EndpointSettings
from console.control.dependencies.datasets import learned_dependencies
from console.domain.dependency import LearnedDependency, LineageView, SharedDataset
from console.domain.filter import JobFilter
from console.engine import lineage_receiver
from console.engine.endpoints import MAX_BODY_BYTES, EndpointWorker
from console.engine.lineage_receiver import LINEAGE_PATH, LineageReceiver
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.engine.endpoints.test_endpoints import listening
from tests.lab.process import free_port
from tests.rows import each_row

TOKEN = "lineage-0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
NIGHT = datetime(2026, 11, 20, 3, tzinfo=UTC)
NOW = datetime(2026, 11, 26, 15, tzinfo=UTC)
"""On the clock of the receiver, after all recorded events."""
ORDERS, TABLE = ("file", "/data/orders.csv"), ("postgres://db:5432", "shop.public.orders")
PRODUCER = "https://example.com/jobs"


@pytest.fixture
def url(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HEADWAY_TEST_TOKEN", TOKEN)
    bench.turn()
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="HEADWAY_TEST_TOKEN"))
    secrets = SecretStore()
    receiver = LineageReceiver(bench.store, Clock(real=lambda: NOW), secrets)
    with listening(EndpointWorker(settings, {LINEAGE_PATH: receiver.endpoint}, secrets)) as base:
        yield base


def event(name: str, inputs: Any = (), outputs: Any = (), at: datetime = NIGHT, **fields: Any) -> dict[str, Any]:
    read, written = ([dict(zip(("namespace", "name"), use, strict=True)) for use in uses] for uses in (inputs, outputs))
    return {
        "eventTime": at.isoformat(),
        "eventType": "COMPLETE",
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "fake", "name": name},
        "inputs": read,
        "outputs": written,
        **fields,
    }


def send(url: str, body: Any) -> httpx.Response:
    return httpx.post(
        f"{url}{LINEAGE_PATH}", content=body if isinstance(body, bytes) else json.dumps(body), headers=HEADERS
    )


def learned(bench: Bench) -> list[LearnedDependency]:
    lineage = bench.reads().lineage
    return learned_dependencies(*lineage.shared_datasets(), lineage.nights(NIGHT)[1])


def reported(bench: Bench, job: str) -> LineageView:
    reads = bench.reads()
    return reads.lineage.lineage_of(reads.jobs.job(job).row.id)


@pytest.fixture
def other(bench: Bench) -> None:
    """A job that no dependency joins to extract."""
    bench.scheduler.job("report")


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_a_dependency_is_learned_from_the_events_of_the_real_client(
    bench: Bench, other: None, url: str, compression: HttpCompression | None
) -> None:
    auth = ApiKeyTokenProvider({"apiKey": TOKEN})
    transport = HttpTransport(HttpConfig(url=url, auth=auth, timeout=5, compression=compression))
    client = OpenLineageClient(transport=transport)
    facets: dict[str, Any] = {
        "ownership": ownership_job.OwnershipJobFacet(owners=[ownership_job.Owner(name="team:sales")])
    }
    failure = error_message_run.ErrorMessageRunFacet(message="password=hunter2 refused", programmingLanguage="Python")
    for name, at, inputs, outputs in (
        ("extract", 3, [], [OutputDataset(*TABLE)]),
        ("report", 4, [InputDataset(*TABLE)], []),
    ):
        run = Run(runId=str(uuid.uuid4()), facets={"errorMessage": failure} if name == "report" else {})
        for state in (RunState.START, RunState.COMPLETE):
            client.emit(
                RunEvent(
                    eventType=state, eventTime=NIGHT.replace(hour=at).isoformat(), run=run,
                    job=Job("fake", name, facets=facets), producer=PRODUCER, inputs=inputs, outputs=outputs,
                )
            )  # fmt: skip
    client.close()
    dataset = SharedDataset("postgres://db:5432/shop.public.orders", PRODUCER, NIGHT, NIGHT.replace(hour=4))
    assert [LearnedDependency("fake/extract", "fake/report", (dataset,))] == learned(bench)
    view = reported(bench, "fake/report")
    assert [(False, dataset.name)] == [(use.is_output, use.dataset) for use in view.datasets]
    texts = {facet.name: facet.text for facet in view.facets}
    assert "team:sales" == texts["ownership"]
    assert "hunter2" not in texts["errorMessage"]
    assert texts["errorMessage"].endswith("refused")


def test_repeated_and_late_events_change_nothing(bench: Bench, other: None, url: str) -> None:
    jobs = bench.reads().jobs.job_ids(JobFilter())
    sent = [event("extract", outputs=[ORDERS]), event("report", inputs=[ORDERS], at=NIGHT + timedelta(hours=1))]
    reply = send(url, sent)
    assert (200, "2 received, 2 about a known job\n") == (reply.status_code, reply.text)
    before = learned(bench)
    send(url, [*reversed(sent), event("extract", outputs=[ORDERS], at=NIGHT - timedelta(days=1))])
    assert before == learned(bench)
    assert jobs == bench.reads().jobs.job_ids(JobFilter())


def test_an_event_from_the_future_is_refused_and_hides_no_later_one(bench: Bench, url: str) -> None:
    for time in ("2099-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"):
        ahead = {**event("extract", outputs=[ORDERS]), "eventTime": time}
        fault = f"eventTime: {time} is more than 5 min ahead of Headway's clock. Fix: set the clock"
        reply = send(url, ahead)
        assert (400, True) == (reply.status_code, reply.text.startswith(fault))
        reply = send(url, [event("extract"), ahead])
        text = f"1 received, 1 about a known job; left out: 1.{fault}"
        assert (200, True) == (reply.status_code, reply.text.startswith(text))
    assert () == tuple(reported(bench, "fake/extract").datasets)
    near = NOW + timedelta(minutes=4)
    assert 200 == send(url, event("extract", outputs=[ORDERS], at=near)).status_code
    [use] = reported(bench, "fake/extract").datasets
    assert use.seen <= NOW, "its time is not ahead of Headway's clock"


@pytest.fixture
def dags(bench: Bench) -> None:
    for dag, task in (("producer", "make_orders"), ("consumer", "use_orders")):
        bench.scheduler.job(dag)
        bench.scheduler.job(f"{dag}.{task}", parent=dag)


def test_the_tasks_of_two_airflow_dags_join_the_dags(bench: Bench, dags: None, url: str) -> None:
    """Events that the provider 2.20.3 of Airflow 3 sent, one recorded per task."""
    sent = json.loads(Path(__file__).with_name("airflow_events.json").read_text())
    assert "2 received, 2 about a known job\n" == send(url, sent).text
    [pair] = learned(bench)
    assert ("fake/producer", "fake/consumer") == (pair.upstream, pair.downstream)
    assert ["file/data/orders.csv"] == [dataset.name for dataset in pair.datasets]
    assert [True] == [dataset.is_output for dataset in reported(bench, "fake/producer").datasets]
    assert "AIRFLOW TASK" in [facet.text for facet in reported(bench, "fake/consumer.use_orders").facets]


def recorded_deadline() -> dict[str, Any]:
    """The end of a DAG's run with a deadline, as the provider 2.20.3 of Airflow 3.3.2 sent it."""
    event: dict[str, Any] = json.loads(Path(__file__).with_name("airflow_deadline.json").read_text())
    return event


def test_the_deadline_of_an_airflow_dag_is_a_property_of_its_job(bench: Bench, dags: None, url: str) -> None:
    assert "1 received, 1 about a known job\n" == send(url, recorded_deadline()).text
    text = "2026-11-26T07:00:00Z for the run of 2026-11-26T04:00:00Z"
    assert text in [facet.text for facet in reported(bench, "fake/producer").facets]
    assert {"fake/producer": text} == bench.reads().lineage.reported_deadlines()


@pytest.mark.parametrize(
    "field, value",
    [
        ("deadline_time", "soon"), ("deadline_time", None), ("deadline_time", "2026-11-26T07:00:00"),
        ("deadline_time", "0001-01-01T00:00:00+00:00"), ("reference", "odd"),
        ("reference", {"reference_type": "AverageRuntimeDeadline"}),
        ("reference", {"reference_type": "FixedDatetimeDeadline"}),
    ],
)  # fmt: skip
def test_a_deadline_that_no_service_can_have_is_left_out(
    bench: Bench, dags: None, url: str, field: str, value: Any
) -> None:
    event = recorded_deadline()
    event["run"]["facets"]["airflowDagRun"]["dagRun"]["deadlines"]["alerts"][0][field] = value
    assert 200 == send(url, event).status_code
    assert {} == bench.reads().lineage.reported_deadlines()


def test_an_unknown_job_counts_as_the_job_that_started_it_or_is_left_out(bench: Bench, url: str) -> None:
    parent = {"job": {"namespace": "airflow", "name": "spark"}, "root": {"job": {"namespace": "x", "name": "extract"}}}
    run = {"runId": str(uuid.uuid4()), "facets": {"parent": parent, "environmentVariables": {"KEY": "canary"}}}
    reply = send(url, [event("spark.write", outputs=[ORDERS], run=run), event("unknown", outputs=[ORDERS])])
    assert "2 received, 1 about a known job\n" == reply.text
    [dataset] = reported(bench, "fake/extract").datasets
    assert ("file/data/orders.csv", True) == (dataset.dataset, dataset.is_output)


def test_a_query_in_the_form_of_sparks_listener_counts_as_the_dag_that_submitted_it(
    bench: Bench, dags: None, url: str
) -> None:
    """In the form that the listener's own tests expect (OpenLineage, integration/spark); the listener was not run. The
    parent of a query is its application, the root the DAG (spark.openlineage.rootParentJobName)."""
    application = {"namespace": "spark", "name": "orders_app"}
    name = "orders_app.execute_insert_into_hadoop_fs_relation_command.warehouse_orders"
    job_type = {"processingType": "BATCH", "integration": "SPARK", "jobType": "SQL_JOB"}
    engine = {"name": "spark", "version": "3.5.3", "openlineageAdapterVersion": "1.54.0"}
    for dag, read, written in (("producer", [], [ORDERS]), ("consumer", [ORDERS], [])):
        root = {"job": {"namespace": "fake", "name": dag}, "run": {"runId": str(uuid.uuid4())}}
        parent = {"job": application, "run": {"runId": str(uuid.uuid4())}, "root": root}
        facets = {"parent": parent, "processing_engine": engine, "spark_properties": {"properties": {"a": "canary"}}}
        run = {"runId": str(uuid.uuid4()), "facets": facets}
        job = {"namespace": "spark", "name": name, "facets": {"jobType": job_type}}
        states = ("START", "RUNNING", "COMPLETE")
        sent = [event(name, read, written, eventType=state, run=run, job=job) for state in states]
        assert "3 received, 3 about a known job\n" == send(url, sent).text
    [pair] = learned(bench)
    assert ("fake/producer", "fake/consumer") == (pair.upstream, pair.downstream)
    texts = {facet.name: facet.text for facet in reported(bench, "fake/producer").facets}
    assert {"jobType": "SPARK SQL_JOB", "processing_engine": "spark 3.5.3"} == texts


def test_known_pairs_and_pairs_without_an_order_are_not_suggested() -> None:
    shared = [SharedDataset("file/a", PRODUCER, NIGHT, NIGHT)]
    names = {number: f"job{number}" for number in range(6)}
    pairs = dict.fromkeys([(0, 1), (1, 0), (2, 4), (4, 3), (0, 5)], shared)
    assert [("job0", "job5")] == [
        (pair.upstream, pair.downstream) for pair in learned_dependencies(pairs, names, [(2, 3), (3, 4)])
    ]


FAULTS = {
    "text": ("{", "body: Invalid JSON"),
    "no job name": (event("extract", job={"namespace": "fake"}), "job.name: Field required"),
    "time": ([event("extract", eventTime="late"), event("extract", eventTime="soon")], "0.eventTime: "),
    "array": ("[{]", "body: Invalid JSON"),
    "deep": ("[" * 100_000, "body: Invalid JSON"),
    "type": (event("extract", eventType="canary"), "eventType: Input should be 'START'"),
    "run": (event("extract", run={"runId": "canary"}), "run.runId: "),
    "dataset": (event("extract", inputs=[ORDERS, ("file", "")]), "inputs.1.name: "),
    "datasets": (event("extract", outputs=[ORDERS] * 1001), "outputs: List should have at most 1000 items"),
    "parent": (event("extract", run={"runId": str(uuid.uuid4()), "facets": {"parent": 1}}), "run.facets.parent: "),
}


@each_row(
    "sent, left_out",
    [
        ({"producer": "caf\ud83d"}, "1.producer: Input should be a valid string"),
        ({"eventTime": None}, "1.eventTime: "),
        ({"run": {"runId": 7}}, "1.run.runId: "),
        ({"inputs": [{"namespace": "file"}]}, "1.inputs.0.name: Field required"),
    ],
)
def test_one_event_that_cannot_be_read_costs_no_other(
    bench: Bench, url: str, sent: dict[str, Any], left_out: str
) -> None:
    reply = send(url, [event("extract", outputs=[ORDERS]), event("extract") | sent])
    assert 200 == reply.status_code
    assert reply.text.startswith(f"1 received, 1 about a known job; left out: {left_out}")
    assert 1 == len(reported(bench, "fake/extract").datasets)


@each_row("text", [b"caf\xe9", b"a\nb", b'", "more": ' + b"9" * 5000 + b', "last": "'])
def test_bytes_that_are_no_text_cost_no_event(bench: Bench, url: str, text: bytes) -> None:
    body = json.dumps([event("extract", outputs=[ORDERS]), event("extract") | {"note": "BAD"}]).encode()
    reply = send(url, (b"\xef\xbb\xbf" + body).replace(b"BAD", text))
    assert (200, "2 received, 2 about a known job\n") == (reply.status_code, reply.text)


def test_times_as_producers_in_java_and_python_write_them_count_as_utc_and_a_bad_event_is_left_out(
    bench: Bench, other: None, url: str
) -> None:
    """The three events of a public report, one of a zone without a city, and two that cannot be read among them."""
    times = (
        "2026-11-27T03:00:00Z", "2026-11-27T03:00:00.829392", "2026-11-27T03:00:00.969066Z[Europe/London]",
        "2026-11-27T04:00:00+01:00[GMT+01:00]",
    )  # fmt: skip
    good = [event("extract", outputs=[(ORDERS[0], f"{ORDERS[1]}{at}")]) for at in range(len(times))]
    sent = [{**known, "eventTime": time.replace("-27T", "-20T")} for known, time in zip(good, times, strict=True)]
    reply = send(url, [sent[0], event("extract", eventTime="soon"), *sent[1:], 7])
    assert 200 == reply.status_code
    assert reply.text.startswith("4 received, 4 about a known job; left out: 1.eventTime: ")
    assert "; left out: 5: Input should be an object. Fix: " in reply.text
    seen = {use.seen.replace(microsecond=0) for use in reported(bench, "fake/extract").datasets}
    assert {NIGHT} == seen


def test_what_is_no_event_is_refused_with_the_place_and_nothing_is_stored(bench: Bench, url: str) -> None:
    wrong = {}
    for fault, (body, place) in FAULTS.items():
        content = body if isinstance(body, str) else json.dumps(body)
        reply = httpx.post(f"{url}{LINEAGE_PATH}", content=content, headers=HEADERS)
        is_named = reply.text.startswith(place) and "Fix: send OpenLineage events" in reply.text
        if not is_named or reply.status_code != 400 or "canary" in reply.text:
            wrong[fault] = reply.status_code, reply.text
    assert {} == wrong
    assert () == reported(bench, "fake/extract").datasets


def test_a_wrong_key_and_a_large_body_are_refused(url: str) -> None:
    assert 401 == httpx.post(f"{url}{LINEAGE_PATH}", content=b"[]", headers={"Authorization": "Bearer x"}).status_code
    spaces = b" " * (MAX_BODY_BYTES + 1)
    assert 413 == httpx.post(f"{url}{LINEAGE_PATH}", content=spaces, headers=HEADERS).status_code
    packed = HEADERS | {"Content-Encoding": "gzip"}
    bomb = httpx.post(f"{url}{LINEAGE_PATH}", content=gzip.compress(spaces), headers=packed)
    assert (413, True) == (bomb.status_code, "unpacked. Fix: send less" in bomb.text)


def test_more_datasets_than_one_transaction_takes_are_all_stored(
    bench: Bench, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_receiver, "WRITE_ROWS", 7)
    for number in range(2):
        uses = [("file", f"/{number}/{index}") for index in range(20)]
        assert send(url, event("extract", outputs=uses)).is_success
    assert 40 == len(reported(bench, "fake/extract").datasets)


def test_foreign_facets_and_control_sequences_are_harmless(bench: Bench, url: str) -> None:
    facets = {
        "documentation": {"description": "\x1b[31mred\nmore"},
        "ownership": {"owners": [1, {"name": 2}]},
        "jobType": [],
    }
    job = {"namespace": "fake", "name": "extract", "facets": facets}
    assert send(url, event("extract", outputs=[("file\x1b", "/a\nb")], job=job)).is_success
    view = reported(bench, "fake/extract")
    assert ["documentation"] == [facet.name for facet in view.facets]
    assert "\x1b" not in view.facets[0].text + view.datasets[0].dataset


def test_events_need_the_token_also_where_none_is_set(bench: Bench) -> None:
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}")
    receiver = LineageReceiver(bench.store, Clock(real=lambda: NOW), SecretStore())
    with listening(EndpointWorker(settings, {LINEAGE_PATH: receiver.endpoint}, SecretStore())) as base:
        refused = send(base, [])
    assert 401 == refused.status_code
    assert refused.text.endswith("Fix: send Authorization: Bearer TOKEN; first set [endpoints] token in the config\n")


def test_a_name_is_stored_as_a_terminal_shows_it_without_its_secrets(bench: Bench, url: str) -> None:
    names = ["pass\x1b[0mword=Hunter2x", "pass\ufe0fword=Hun\x1b]8;;x\x1b\\ter2x", "password=Hun\u200bter2x"]
    assert send(url, event("extract", outputs=[("s3://b", name) for name in names])).is_success
    assert ["s3://b/password=***"] == [dataset.dataset for dataset in reported(bench, "fake/extract").datasets]


def test_a_secret_of_the_config_is_masked_in_a_name_and_in_a_facet(bench: Bench, url: str) -> None:
    """The token of the endpoint has no shape of a secret."""
    facets = {"documentation": {"description": f"loads {TOKEN}"}}
    job = {"namespace": "fake", "name": "extract", "facets": facets}
    assert send(url, event("extract", outputs=[("s3://b", TOKEN)], job=job)).is_success
    view = reported(bench, "fake/extract")
    assert ["s3://b/•••"] == [dataset.dataset for dataset in view.datasets]
    assert ["loads •••"] == [facet.text for facet in view.facets]
