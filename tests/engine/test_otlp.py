"""The export by OTLP, against an HTTP server of this test that decodes requests with opentelemetry-proto's messages.

It is no collector: `tests/lab/test_otlp_real.py` has one. What a vendor accepts beyond the protocol is not tested.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.cli.configure import probe_otlp
from console.config.sections import OtlpSettings
from console.engine import otlp as module
from console.engine.metrics import MetricsEndpoint
from console.engine.otlp import RESULTS, OtlpExporter
from console.engine.supervisor.assembly import EngineAssembly
from console.store import run_export
from console.store.meta import next_changed_seq
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.fakes.web_server import web_server
from tests.lab.process import free_port

__all__ = ["bench"]

KEY = "canary-0123456789abcdef"


@dataclass
class Receiver:
    """What arrived; `status`: of the next answers, by path."""

    url: str = ""
    status: dict[str, int] = field(default_factory=dict)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    body: bytes = b""
    """Of all answers."""
    content_type: str = "application/x-protobuf"

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status = self.status.get(request.url.path, 200)
        if status == 200 and request.url.path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(request.content))
        elif status == 200:
            self.traces.append(ExportTraceServiceRequest.FromString(request.content))
        return httpx.Response(status, headers={"content-type": self.content_type}, content=self.body)

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with web_server(made.answer) as made.url:
        yield made


def plain(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    """Name -> value."""
    return {
        entry.key: entry.value.int_value if entry.value.HasField("int_value") else entry.value.string_value
        for entry in attributes
    }


def exporter(bench: Bench, url: str, **settings: object) -> OtlpExporter:
    secrets, metrics = SecretStore(), MetricsEndpoint(bench.url, lambda: "").collect
    made = OtlpSettings.model_validate({"url": url, **settings})
    return OtlpExporter(bench.store, Clock(), made, secrets, "bench", metrics)


def ago(minutes: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes)


def test_the_metrics_of_the_scrape_arrive_as_gauges_with_the_headers(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTLP_KEY", KEY)
    bench.turn()
    exporting = exporter(bench, f"{receiver.url}/", headers={"X-Api-Key": {"env": "OTLP_KEY"}}, signals=("metrics",))
    exporting.step(bench.fence)
    exporting.step(bench.fence)
    assert "" == exporting.trouble
    [request], [sent] = receiver.metrics, receiver.requests
    assert (KEY, "application/x-protobuf") == (sent.headers["x-api-key"], sent.headers["content-type"])
    [resource] = request.resource_metrics
    assert {"service.name": "headway", "service.instance.id": "bench"}.items() <= plain(
        resource.resource.attributes
    ).items()
    values = {
        (metric.name, *sorted(plain(point.attributes).items())): point.as_double
        for metric in resource.scope_metrics[0].metrics
        for point in metric.gauge.data_points
    }
    families = {family.name: family for family in MetricsEndpoint(bench.url, lambda: "").collect() if family.samples}
    names = {metric.name for metric in resource.scope_metrics[0].metrics}
    assert families.keys() | {"cicd.pipeline.run.active"} == names
    [target] = bench.reads().estate.systems()
    assert 1 == values["headway_target_up", ("system", "fake"), ("target", target.name)]
    assert 2 == values["headway_jobs",]
    seconds = datetime.now(UTC).timestamp()
    [point] = next(m for m in resource.scope_metrics[0].metrics if m.name == "headway_jobs").gauge.data_points
    assert seconds - 60 < point.time_unix_nano / 1e9 <= seconds


def test_a_finished_run_is_a_span_by_the_conventions_for_ci_cd_without_its_message(
    bench: Bench, receiver: Receiver
) -> None:
    exporting = exporter(bench, receiver.url, signals=("traces",))
    exporting.step(bench.fence)
    bench.scheduler.attempt("load", "0", RunState.UNKNOWN, ago(20), ended_at=ago(10))
    began, ended = ago(20), ago(5)
    bench.scheduler.attempt("extract", "1", RunState.RUNNING, began)
    bench.turn()
    exporting.step(bench.fence)
    assert [] == receiver.requests
    bench.scheduler.attempt("extract", "1", RunState.FAILED, began, ended_at=ended, exit_code=3, message="secret disk")
    bench.turn()
    exporting.step(bench.fence)
    bench.parts.evaluator.step(bench.fence)
    with bench.store.write(None) as session:
        session.rows("UPDATE run SET changed_seq = ?", (next_changed_seq(session),))
    exporting.step(bench.fence)
    [span] = receiver.spans
    assert (16, 8) == (len(span.trace_id), len(span.span_id))
    assert ("RUN fake/extract", Span.SPAN_KIND_SERVER) == (span.name, span.kind)
    assert (began.timestamp(), ended.timestamp()) == (span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9)
    assert Status.STATUS_CODE_ERROR == span.status.code
    attributes = plain(span.attributes)
    [run] = [run for job_id in (1, 2) for run in bench.reads().runs.list_runs(job_id) if run.state == "failed"]
    assert {
        "cicd.pipeline.name": "fake/extract",
        "cicd.pipeline.action.name": "RUN",
        "cicd.pipeline.run.id": run.period_key,
        "cicd.pipeline.result": "failure",
        "error.type": "failed",
        "process.exit.code": 3,
        "headway.business_date": run.business_date,
    } == attributes
    assert b"secret disk" not in receiver.requests[-1].content
    bench.scheduler.attempt("extract", "2", RunState.SUCCEEDED, ago(3), period_key=run.period_key, ended_at=ago(1))
    bench.turn()
    exporting.step(bench.fence)
    [_, again] = receiver.spans
    assert ("success", Status.STATUS_CODE_UNSET) == (
        plain(again.attributes)["cicd.pipeline.result"], again.status.code,
    )  # fmt: skip
    assert (span.trace_id, False) == (again.trace_id, span.span_id == again.span_id)


@pytest.mark.parametrize("signals", [("metrics",), ("metrics", "traces")])
def test_runs_are_metrics_by_the_conventions_for_ci_cd_of_all_jobs_together(
    bench: Bench, receiver: Receiver, signals: tuple[str, ...]
) -> None:
    exporting = exporter(bench, receiver.url, signals=signals)
    exporting.step(bench.fence)
    runs = [("succeeded", 1), ("succeeded", 5), ("failed", 2), ("running", None), ("queued", None)]
    for number, (state, minutes) in enumerate(runs):
        begun = ago(20 - number)
        ended = None if minutes is None else begun + timedelta(minutes=minutes)
        job, key = "extract" if number % 2 else "load", str(number)
        bench.scheduler.attempt(job, key, RunState(state), begun, ended_at=ended, period_key=key)
    bench.turn()
    for _ in range(2):
        with bench.store.write(None) as session:
            session.rows("UPDATE run SET changed_seq = ?", (next_changed_seq(session),))
        exporting._metrics_due = 0.0
        exporting.step(bench.fence)
    assert "" == exporting.trouble
    metrics = {metric.name: metric for metric in receiver.metrics[-1].resource_metrics[0].scope_metrics[0].metrics}
    duration, errors, active = (metrics[f"cicd.pipeline.run.{name}"] for name in ("duration", "errors", "active"))
    assert ("s", "{error}", "{run}") == (duration.unit, errors.unit, active.unit)
    assert {AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE} == {
        data.aggregation_temporality for data in (duration.histogram, errors.sum, active.sum)
    }
    assert (True, False) == (errors.sum.is_monotonic, active.sum.is_monotonic)
    succeeded, failed = sorted(duration.histogram.data_points, key=lambda point: len(point.attributes))
    finished = {"cicd.pipeline.run.state": "executing"}
    assert {**finished, "cicd.pipeline.result": "success"} == plain(succeeded.attributes)
    assert {**finished, "cicd.pipeline.result": "failure", "error.type": "failed"} == plain(failed.attributes)
    assert [(2, 360.0), (1, 120.0)] == [(point.count, point.sum) for point in (succeeded, failed)]
    bounds = [*succeeded.explicit_bounds, inf]
    assert [(60.0, 1), (300.0, 1)] == [pair for pair in zip(bounds, succeeded.bucket_counts, strict=True) if pair[1]]
    [error] = errors.sum.data_points
    assert ({"error.type": "failed"}, 1) == (plain(error.attributes), error.as_int)
    assert {("pending", 1), ("executing", 1), ("finalizing", 0)} == {
        (plain(point.attributes)["cicd.pipeline.run.state"], point.as_int) for point in active.sum.data_points
    }
    assert 0 < error.start_time_unix_nano < error.time_unix_nano
    assert (3 if "traces" in signals else 0) == len(receiver.spans)


@pytest.mark.parametrize("status", [404, 503])
def test_after_an_outage_of_the_receiver_each_run_arrives(bench: Bench, receiver: Receiver, status: int) -> None:
    """The engine restarts meanwhile: the next exporter goes on behind what was accepted."""
    exporter(bench, receiver.url).step(bench.fence)
    receiver.status = {"/v1/traces": status}
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, ago(5), ended_at=ago(4))
    bench.turn()
    exporting = exporter(bench, receiver.url)
    exporting.step(bench.fence)
    assert f"POST {receiver.url}/v1/traces ({status})" in exporting.trouble
    assert "Fix: start the receiver, or correct url or signals in [otlp]" in exporting.trouble
    assert 2 == len(receiver.metrics), "the other signal does not suffer"
    receiver.status = {}
    exporting = exporter(bench, receiver.url)
    exporting.step(bench.fence)
    assert ("", 1) == (exporting.trouble, len(receiver.spans))


def test_what_the_receiver_refuses_for_good_is_reported_and_blocks_no_later_run(
    bench: Bench, receiver: Receiver
) -> None:
    exporting = exporter(bench, receiver.url, signals=("traces",))
    exporting.step(bench.fence)
    receiver.status = {"/v1/traces": 400}
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, ago(5), ended_at=ago(4))
    bench.turn()
    exporting.step(bench.fence)
    assert "(400) is a refusal, and the request is not repeated: no reason given" in exporting.trouble
    receiver.status = {}
    bench.scheduler.attempt("load", "2", RunState.SUCCEEDED, ago(3), ended_at=ago(2))
    bench.turn()
    exporting.step(bench.fence)
    assert ["RUN fake/load"] == [span.name for span in receiver.spans]


SPANS = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="too old"))
POINTS = ExportMetricsServiceResponse(partial_success=ExportMetricsPartialSuccess(rejected_data_points=2**40))


@pytest.mark.parametrize(
    "signal, body, expected",
    [
        ("traces", SPANS.SerializeToString(), "rejected 1 span, not sent again: too old"),
        ("metrics", POINTS.SerializeToString(), f"rejected {2**40} data points, not sent again: no reason given"),
        ("traces", b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "old"}, "x": 1}', "rejected 1 span"),
        ("metrics", b'{"partialSuccess": {"rejectedDataPoints": 3}}', "rejected 3 data points"),
        ("traces", b'{"partialSuccess": {"errorMessage": "use gzip"}}', "accepted it and warns: use gzip"),
        ("traces", b'{"partialSuccess": {}}', ""),
        ("traces", b"{", ""),
        ("traces", b"\xff\xff", ""),
    ],
)
def test_what_the_receiver_rejects_of_a_request_is_reported_and_not_sent_again(
    bench: Bench, receiver: Receiver, signal: str, body: bytes, expected: str
) -> None:
    exporting = exporter(bench, receiver.url, signals=(signal,))
    exporting.step(bench.fence)
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, ago(5), ended_at=ago(4))
    bench.turn()
    receiver.body = body
    receiver.content_type = "application/json; charset=utf-8" if body[:1] == b"{" else "application/x-protobuf"
    exporting._metrics_due = 0.0
    with capture_logs() as logged:
        exporting.step(bench.fence)
        exporting.step(bench.fence)
    assert (expected in exporting.trouble, bool(expected)) == (True, bool(exporting.trouble))
    assert [exporting.trouble] * bool(expected) == [entry["error"] for entry in logged if "error" in entry]
    assert (1, 0) == (len(receiver.traces), len(receiver.metrics)) or 2 == len(receiver.metrics)


def test_the_example_of_the_docs_is_valid() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    [example] = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[otlp]" in block]
    for written in (example, example.replace("\n# ", "\n")):
        OtlpSettings.model_validate(tomllib.loads(written)["otlp"])


def test_a_store_file_reads_only_the_runs_that_changed(bench: Bench) -> None:
    """SQLite began with all jobs, and read all their runs."""
    with bench.store.read() as session:
        plan = [row.detail for row in session.rows(f"EXPLAIN QUERY PLAN {run_export._ENDED}", (1, 1, 1, 1, 1))]
    assert ["SEARCH r USING INDEX run_changed (changed_seq>?)", "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)"] == plan[
        :2
    ]


def test_every_ended_state_has_a_result() -> None:
    unfinished = {RunState.MISSED, RunState.UNKNOWN}
    assert {state for state in RunState if not state.is_open} - unfinished == RESULTS.keys()


def test_a_secret_in_a_message_is_masked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_KEY", f"127.0.0.1-{KEY}")
    exporting = exporter(bench, f"http://127.0.0.1:{free_port()}/{KEY}", headers={"X-Key": {"env": "OTLP_KEY"}})
    exporting._secrets.add(KEY)
    exporting.step(bench.fence)
    assert "otlp: POST " in exporting.trouble
    assert KEY not in exporting.trouble


def test_the_engine_exports_on_a_thread_of_its_own_and_reports_failures_in_its_status(bench: Bench) -> None:
    settings = OtlpSettings(url=f"http://127.0.0.1:{free_port()}", signals=("metrics",))
    parts = EngineAssembly(replace(bench.config, otlp=settings), bench.store, SecretStore(), bench.sink)
    parts.begin(bench.fence)
    assert parts.otlp is not None
    assert "otlp" in dict(parts.running())
    assert "otlp" not in dict(bench.parts.running())
    parts.otlp.step(bench.fence)
    assert "Fix: start the receiver, or correct url or signals in [otlp]" in parts.trouble("")
    parts.finish()


def test_check_names_an_unset_header_and_a_receiver_that_does_not_take_a_signal(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(bench.config, otlp=OtlpSettings(url=receiver.url))
    assert [("otlp metrics", "ok"), ("otlp traces", "ok")] == [
        (result.target, result.verdict) for result in probe_otlp(config, SecretStore())
    ]
    receiver.status = {"/v1/traces": 404}
    traces = probe_otlp(config, SecretStore())[1]
    assert "unsupported" == traces.verdict
    assert "Fix: start the receiver, or correct url or signals in [otlp]" in traces.text[0]
    monkeypatch.delenv("OTLP_KEY", raising=False)
    unset = OtlpSettings(url=receiver.url, headers={"X-Key": SecretRef(env="OTLP_KEY")}, signals=("metrics",))
    [metrics] = probe_otlp(replace(config, otlp=unset), SecretStore())
    assert ("refused", True) == (metrics.verdict, "Fix: export OTLP_KEY" in metrics.text[0])
    assert [] == probe_otlp(bench.config, SecretStore())


@pytest.mark.deep
def test_an_engine_without_the_extra_starts_and_names_the_fix(bench: Bench) -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import console.engine.supervisor.assembly"
    subprocess.run([sys.executable, "-c", code], check=True)
    with without("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2"):
        exporting = exporter(bench, "http://127.0.0.1:1", signals=("metrics",))
        exporting.step(bench.fence)
    assert module.NOT_INSTALLED == exporting.trouble


@contextmanager
def without(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, None)
        yield
