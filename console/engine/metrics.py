"""Metrics for Prometheus, from the store and from this process at the moment of the scrape.

Series are per service and per target, and per job only where a filter asks: their number stays small on any estate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.sdk.states import RED_STATES
from connectors.sdk.transport.http_server import ServerReply
from console.domain.filter import parse_filter
from console.domain.service import Timeliness
from console.engine.endpoints import Endpoint
from console.store.queries import open_queries
from console.store.queries.reader import Queries

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

MAX_JOBS = 200
"""Jobs with a series of their own; further ones are counted."""
NOT_INSTALLED = "prometheus-client is not installed. Fix: install headway[metrics]"


class MetricsEndpoint:
    """Answers GET /metrics. `unhealthy_reason`: empty if the engine is healthy. `jobs`: filter of those with a series
    of their own; empty: none."""

    def __init__(self, url: str, unhealthy_reason: Callable[[], str], jobs: str = "") -> None:
        self._url, self._unhealthy_reason, self._jobs = url, unhealthy_reason, jobs
        self._registry: CollectorRegistry | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(frozenset({"GET", "HEAD"}), self._answer)

    def _answer(self, bodies: Sequence[bytes], fence: int) -> list[ServerReply]:
        """Raises StoreError."""
        try:
            from prometheus_client import (  # noqa: PLC0415 - an extra, and only where metrics are read
                CONTENT_TYPE_LATEST,
                generate_latest,
            )
        except ImportError:
            return [ServerReply.of_text(501, NOT_INSTALLED)] * len(bodies)
        reply = ServerReply(200, generate_latest(self._collectors()), CONTENT_TYPE_LATEST)
        return [reply] * len(bodies)

    def _collectors(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector  # noqa: PLC0415 - see above

        if self._registry is None:
            registry = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)
            registry.register(self)
            self._registry = registry
        return self._registry

    def collect(self) -> Iterable[Metric]:
        """Called by the registry, for one scrape. Raises StoreError."""
        with open_queries(self._url) as queries:
            of_jobs = _of_jobs(queries, self._jobs) if self._jobs else ()
            return [*_of_store(queries), *of_jobs, *_of_engine(self._unhealthy_reason())]


def _of_store(queries: Queries) -> Iterable[Metric]:
    now = queries.now()
    yield from _of_services(queries, now)
    yield from _of_targets(queries, now)
    incidents = queries.incidents.list_incidents()
    acknowledged = sum(bool(incident.acknowledged_by) for incident in incidents)
    yield _gauge(
        "headway_incidents",
        "Open incidents.",
        ("acknowledged",),
        [(("no",), len(incidents) - acknowledged), (("yes",), acknowledged)],
    )
    yield _gauge(
        "headway_notifications",
        "Notifications, per URL, that have not arrived: pending and claimed are retried, parked are not.",
        ("state",),
        [((state,), count) for state, count in queries.alerts.deliveries().items()],
    )


def _of_services(queries: Queries, now: datetime) -> Iterable[Metric]:
    services = queries.services.list_services()
    counts = Counter(service.timeliness for service in services)
    yield _gauge(
        "headway_services",
        "Services on their current business date, by timeliness.",
        ("timeliness",),
        [((str(timeliness),), counts[timeliness]) for timeliness in Timeliness],
    )
    pending = [service for service in services if service.delivered is None and service.is_promised]
    labels = ("service", "tier")
    yield _gauge(
        "headway_service_late_probability",
        "Probability that the service finishes after its deadline; undelivered services with a forecast only. For an"
        " interrupted service it assumes the usual repair, not a restart now; see headway_service_act_by_seconds.",
        labels,
        [((s.name, str(s.tier)), s.p_late) for s in pending if s.p_late is not None],
    )
    yield _gauge(
        "headway_service_act_by_seconds",
        "Seconds until the latest restart that keeps the promise, of services that need one; negative once passed.",
        labels,
        [((s.name, str(s.tier)), (s.act_by - now).total_seconds()) for s in pending if s.act_by is not None],
    )
    yield _gauge(
        "headway_service_deadline_seconds",
        "Seconds until the deadline of an undelivered service; negative once passed.",
        labels,
        [((s.name, str(s.tier)), (s.deadline - now).total_seconds()) for s in pending],
    )


def _of_targets(queries: Queries, now: datetime) -> Iterable[Metric]:
    targets = queries.estate.systems()
    labels = ("system", "target")
    yield _gauge(
        "headway_target_up",
        "1 if the last poll of the target succeeded.",
        labels,
        [((t.system, t.name), float(not t.polls_fail and t.last_ok is not None)) for t in targets],
    )
    yield _gauge(
        "headway_target_poll_age_seconds",
        "Seconds since the last successful poll of the target.",
        labels,
        [((t.system, t.name), (now - t.last_ok).total_seconds()) for t in targets if t.last_ok is not None],
    )
    yield _gauge(
        "headway_target_poll_duration_seconds",
        "Duration of the last successful poll of the target.",
        labels,
        [((t.system, t.name), t.poll_ms / 1000) for t in targets if t.poll_ms is not None],
    )
    yield _gauge(
        "headway_target_failed_polls",
        "Failed polls of the target in a row.",
        labels,
        [((t.system, t.name), t.failures) for t in targets],
    )
    yield _gauge("headway_jobs", "Watched jobs.", (), [((), sum(target.jobs for target in targets))])


def _of_jobs(queries: Queries, text: str) -> Iterable[Metric]:
    job_filter = parse_filter(text, queries.now())
    ids = queries.jobs.job_ids(job_filter, "name")
    jobs, left_out = queries.jobs.jobs_by_ids(ids[:MAX_JOBS]), max(0, len(ids) - MAX_JOBS)
    red = [((job.name,), float(job.state in RED_STATES)) for job in jobs]
    yield _gauge("headway_job_needs_repair", "1 if the job's latest run must be repaired.", ("job",), red)
    yield _gauge("headway_job_series_left_out", "Jobs of the filter above its limit.", (), [((), left_out)])


def _of_engine(unhealthy_reason: str) -> Iterable[Metric]:
    yield _gauge(
        "headway_engine_healthy",
        "1 if no worker of the engine fails, hangs or is silent; headway status names it.",
        (),
        [((), float(not unhealthy_reason))],
    )


def _gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see MetricsEndpoint

    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
