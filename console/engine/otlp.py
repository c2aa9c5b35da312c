"""Export by OTLP/HTTP: the metrics of /metrics and of runs at intervals, and each finished run as a span.

Source: opentelemetry.io, OTLP and semantic conventions for CI/CD spans and metrics (in development). Runs are read from
the store behind a cursor, saved once they are accepted: none is left out, and some may be sent twice, under the same
ids.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from typing import Any

import structlog

from connectors.sdk.errors import ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RED_STATES, RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, HttpReply
from console.config.sections import OtlpSettings
from console.domain.ids import micros
from console.store.db.database import Database
from console.store.run_export import FinishedRun, count_open_runs, next_finished_runs, save_export_cursor
from console.text.cleaning import clean_line
from console.timing.clock import Clock

log = structlog.get_logger("headway.otlp")

SECONDS = 10.0
"""Timeout of a request."""
MAX_AGE = timedelta(days=1)
"""Runs that ended earlier are left out: the history of a new system, and what a long outage left."""
MEMORY = 20_000
"""Latest runs that are not sent twice: an evaluation may change the row of a run that has ended."""
MESSAGE_LIMIT = 240
NOT_INSTALLED = 'otlp: opentelemetry-proto is not installed. Fix: pip install "headway[otlp]"'
PROTOBUF = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}
RESULTS = {
    RunState.SUCCEEDED: "success", RunState.PARTIAL: "partial", RunState.FAILED: "failure", RunState.LOST: "error",
    RunState.TIMED_OUT: "timeout", RunState.CANCELLED: "cancellation", RunState.SKIPPED: "skip",
    RunState.BLOCKED: "skip",
}  # fmt: skip
"""cicd.pipeline.result by state; a run in another state has not finished."""
OPEN_RUN_STATES = {RunState.RUNNING: "executing", RunState.RETRYING: "executing", RunState.CANCELLING: "finalizing"}
"""cicd.pipeline.run.state by state; other open runs are pending."""
BOUNDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Upper bounds of the buckets of cicd.pipeline.run.duration, in seconds."""
CUMULATIVE = {"aggregation_temporality": "AGGREGATION_TEMPORALITY_CUMULATIVE"}


def post_signal(settings: OtlpSettings, secrets: SecretStore, signal: str, fields: Callable[[], dict[str, Any]]) -> str:
    """Why the receiver permanently refuses a request of these fields, or a part of it; empty if it does not. Raises
    ConnectorError."""
    name = {"metrics": "metrics", "traces": "trace"}[signal]
    try:
        service = import_module(f"opentelemetry.proto.collector.{name}.v1.{name}_service_pb2")
        import_module("prometheus_client")
    except ImportError:
        raise NotSupported(NOT_INSTALLED) from None
    body = getattr(service, f"Export{name.title()}ServiceRequest")(**fields()).SerializeToString()
    headers = {header: secrets(value) for header, value in settings.headers.items()} | PROTOBUF
    path, endpoint = f"/v1/{signal}", HttpEndpoint("otlp", settings.url, settings.ca_file)
    try:
        reply = endpoint.call("POST", path, Deadline(SECONDS), content=body, headers=headers, accept={400})
    except (NotSupported, SystemUnreachable) as error:
        raise type(error)(f"{error}. Fix: start the receiver, or correct url or signals in [otlp]") from None
    finally:
        endpoint.close()
    if reply.status == 400:
        return f"{reply.place} is a refusal, and the request is not repeated: {reply.error or 'no reason given'}"
    return _partial_success(reply, getattr(service, f"Export{name.title()}ServiceResponse"))


def _partial_success(reply: HttpReply, response_type: Any) -> str:
    """The count and reason of spans or data points that the receiver rejected; empty for none, and for a reply of
    another form. The specification forbids to send them again."""
    json_format, message = import_module("google.protobuf.json_format"), import_module("google.protobuf.message")
    response = response_type()
    try:
        if reply.content_type == "application/json":
            json_format.ParseDict(reply.json(), response, ignore_unknown_fields=True)
        else:
            response.ParseFromString(reply.body)
    except (ConnectorError, message.DecodeError, json_format.ParseError):
        return ""
    partial = response.partial_success
    counts = {"span": getattr(partial, "rejected_spans", 0), "data point": getattr(partial, "rejected_data_points", 0)}
    rejected = " and ".join(f"{count} {noun}{'s' * (count != 1)}" for noun, count in counts.items() if count)
    reason = partial.error_message or "no reason given"
    if rejected:
        return f"{reply.place}: the receiver rejected {rejected}, not sent again: {reason}"
    return f"{reply.place}: the receiver accepted it and warns: {reason}" if partial.error_message else ""


@dataclass
class _Durations:
    """A histogram, with the names of OTLP."""

    count: int = 0
    sum: float = 0.0
    """Seconds."""
    bucket_counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, seconds: float) -> None:
        self.count += 1
        self.sum += seconds
        self.bucket_counts[bisect_left(BOUNDS, seconds)] += 1


class OtlpExporter:
    """Sends the signals that the settings name. `metrics`: prometheus_client's metrics now."""

    def __init__(
        self, store: Database, clock: Clock, settings: OtlpSettings, secrets: SecretStore, estate: str,
        metrics: Callable[[], Iterable[Any]],
    ) -> None:  # fmt: skip
        self._store, self._clock, self._settings, self._secrets = store, clock, settings, secrets
        self._estate, self._metrics, self._metrics_due = estate, metrics, 0.0
        names = {"service.name": "headway", "service.instance.id": estate, "service.version": version("headway")}
        self._resource = {"attributes": _attributes(names)}
        self._sent: dict[FinishedRun, None] = {}
        self._started_ns = time.time_ns()
        self._durations: defaultdict[str, _Durations] = defaultdict(_Durations)
        """Of the runs exported since, by state."""
        self._troubles: dict[str, str] = {}
        self.trouble = ""
        """Why the last export of a signal failed, with the fix; empty if none did."""

    def step(self, fence: int) -> None:
        """Sends the metrics if they are due, and the next runs. Raises StoreError."""
        exports: dict[str, Callable[[], str]] = {"traces": partial(self._export_runs, fence)}
        if "metrics" in self._settings.signals:
            exports["metrics"] = self._export_metrics
        for signal, export in exports.items():
            try:
                text = export()
            except ConnectorError as error:
                text = str(error)
            trouble = clean_line(self._secrets.mask(text), MESSAGE_LIMIT)
            if trouble and trouble != self._troubles.get(signal):
                log.warning("export failed", signal=signal, error=trouble)
            self._troubles[signal] = trouble
        self.trouble = "; ".join(filter(None, dict.fromkeys(self._troubles.values())))

    def _export_metrics(self) -> str:
        if time.monotonic() < self._metrics_due:
            return self._troubles["metrics"]
        self._metrics_due = time.monotonic() + self._settings.every.total_seconds()

        def fields() -> dict[str, Any]:
            now_ns = time.time_ns()
            metrics = [_metric(family, now_ns) for family in self._metrics() if family.samples]
            scope = {"metrics": [*metrics, *self._run_metrics(now_ns)]}
            return {"resource_metrics": [{"resource": self._resource, "scope_metrics": [scope]}]}

        return post_signal(self._settings, self._secrets, "metrics", fields)

    def _run_metrics(self, now_ns: int) -> Iterator[dict[str, Any]]:
        """The metrics of the conventions that have a value, of all jobs together."""

        def point(attributes: Mapping[str, str], **values: Any) -> dict[str, Any]:
            times = {"start_time_unix_nano": self._started_ns, "time_unix_nano": now_ns}
            return {"attributes": _attributes(attributes), **times, **values}

        active = dict.fromkeys(("pending", "executing", "finalizing"), 0)
        for state, runs in count_open_runs(self._store).items():
            active[OPEN_RUN_STATES.get(RunState(state), "pending")] += runs
        numbers = [point({"cicd.pipeline.run.state": state}, as_int=runs) for state, runs in active.items()]
        yield {"name": "cicd.pipeline.run.active", "unit": "{run}", "sum": CUMULATIVE | {"data_points": numbers}}
        histograms, errors = list[dict[str, Any]](), list[dict[str, Any]]()
        for state, durations in self._durations.items():
            finished = {"cicd.pipeline.run.state": "executing", "cicd.pipeline.result": RESULTS[RunState(state)]}
            error = {"error.type": state} if state in RED_STATES else {}
            histograms.append(point(finished | error, explicit_bounds=BOUNDS, **asdict(durations)))
            errors += [point(error, as_int=durations.count)] if error else []
        if histograms:
            histogram = CUMULATIVE | {"data_points": histograms}
            yield {"name": "cicd.pipeline.run.duration", "unit": "s", "histogram": histogram}
        if errors:
            counter = CUMULATIVE | {"data_points": errors, "is_monotonic": True}
            yield {"name": "cicd.pipeline.run.errors", "unit": "{error}", "sum": counter}

    def _export_runs(self, fence: int) -> str:
        """Counts the next runs, once they are sent where traces are."""
        changed, cursor = next_finished_runs(self._store, micros(self._clock.now() - MAX_AGE))
        runs = [run for run in changed if run.state in RESULTS and run not in self._sent]

        def fields() -> dict[str, Any]:
            scope = {"spans": [_span(self._estate, run) for run in runs]}
            return {"resource_spans": [{"resource": self._resource, "scope_spans": [scope]}]}

        before = self._troubles.get("traces", "")
        sends = runs and "traces" in self._settings.signals
        refused = post_signal(self._settings, self._secrets, "traces", fields) if sends else before
        save_export_cursor(self._store, cursor, fence)
        self._sent |= dict.fromkeys(runs)
        for run in runs:
            self._durations[run.state].add(max(0, run.ended_us - run.started_us) / 1_000_000)
        for run in list(self._sent)[:-MEMORY]:
            del self._sent[run]
        return refused


def _metric(family: Any, now_ns: int) -> dict[str, Any]:
    points = [
        {"attributes": _attributes(sample.labels), "as_double": sample.value, "time_unix_nano": now_ns}
        for sample in family.samples
    ]
    return {"name": family.name, "description": family.documentation, "gauge": {"data_points": points}}


def _span(estate: str, run: FinishedRun) -> dict[str, Any]:
    """All attempts of a run are one trace."""
    trace = f"{estate}\0{run.job}\0{run.period_key}"
    is_red = run.state in RED_STATES
    attributes = {
        "cicd.pipeline.name": run.job,
        "cicd.pipeline.action.name": "RUN",
        "cicd.pipeline.run.id": run.period_key,
        "cicd.pipeline.run.url.full": run.url,
        "cicd.pipeline.result": RESULTS[RunState(run.state)],
        "error.type": run.state if is_red else "",
        "process.exit.code": run.exit_code,
        "headway.business_date": run.business_date,
    }
    return {
        "trace_id": sha256(trace.encode()).digest()[:16],
        "span_id": sha256(f"{trace}\0{run.attempts} {run.state} {run.ended_us}".encode()).digest()[:8],
        "name": f"RUN {run.job}",
        "kind": "SPAN_KIND_SERVER",
        "start_time_unix_nano": run.started_us * 1000,
        "end_time_unix_nano": run.ended_us * 1000,
        "attributes": _attributes(attributes),
        "status": {"code": "STATUS_CODE_ERROR" if is_red else "STATUS_CODE_UNSET"},
    }


def _attributes(values: Mapping[str, str | int | None]) -> list[dict[str, Any]]:
    """Without empty texts and None."""
    return [
        {"key": key, "value": {"int_value" if isinstance(value, int) else "string_value": value}}
        for key, value in values.items()
        if value not in ("", None)
    ]
