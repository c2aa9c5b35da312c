"""Documents that `--json` of the commands and the HTTP API share. Loads nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

from console.control.explain.lineage import LineageReach, services_below
from console.control.incidents.verdict.decision import Step, Until, Verdict
from console.control.incidents.verdict.text import verdict_text
from console.domain.dependency import LineageJob
from console.domain.filter import FILTER_FIELDS, JobFilter, argument_terms, name_terms, parse_terms
from console.domain.ids import utc_minute
from console.domain.incident import IncidentRow
from console.domain.reason import NoPromise, NotEvaluated, Reason, kind_name, reason_document, reasons_text
from console.domain.service import ServiceView, Timeliness, is_unverified
from console.domain.text import Title, render
from console.store.errors import MAX_CANDIDATES

if TYPE_CHECKING:
    from console.store.queries import Queries

DEFAULT_DEPTH = 3
"""Levels of lineage, each way."""


def json_text(document: Any, indent: int | None = None) -> str:
    """The document as JSON in ASCII: times in UTC, control characters escaped."""
    return json.dumps(document, default=json_default, indent=indent, ensure_ascii=True)


def json_default(value: Any) -> Any:
    """Values for JSON: dataclasses by their fields, steps and reasons with their kind, times in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Reason):
        return reason_document(value)
    if isinstance(value, Title):
        return value.text(utc_minute)
    if isinstance(value, Step | Until):
        return {"kind": kind_name(type(value))} | fields_of(value)
    return fields_of(value) if is_dataclass(value) else str(value)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, not those of its parts; texts with times in UTC."""
    return {field.name: _written(getattr(value, field.name), str(field.type)) for field in fields(value)}


def _written(value: Any, kind: str) -> Any:
    if kind == "tuple[Text, ...]":
        return [render(text, utc_minute) for text in value]
    return render(value, utc_minute) if kind == "Text" else value


def verdict_document(verdict: Verdict, now: datetime) -> dict[str, Any]:
    """The verdict as data for a program: its fields, and its line as `text`, times in UTC."""
    return fields_of(verdict) | {"text": verdict_text(verdict, now, utc_minute)}


def services_on(reads: Queries, name: str | None, business_date: str | None) -> list[ServiceView]:
    """All services or the one of this name, on that business date, else their current one. Raises NotFound."""
    services = [reads.services.service(name, business_date)] if name else reads.services.list_services(business_date)
    return [_not_expected(service, reads) for service in services] if business_date else services


def _not_expected(service: ServiceView, reads: Queries) -> ServiceView:
    if not service.calendar or service.reasons != (NotEvaluated(),):
        return service
    from console.timing.calendars import counts, exclusion_reason  # noqa: PLC0415 - for start-up time

    calendar, day = reads.declared().calendar(service.calendar), date.fromisoformat(service.business_date)
    if calendar is None or counts(calendar, day):
        return service
    reason = exclusion_reason(calendar, day)
    return replace(service, timeliness=Timeliness.NO_PROMISE.value, data_state="", reasons=(NoPromise(reason),))


def service_document(service: ServiceView) -> dict[str, Any]:
    """A service as data; a date without a promise has no deadline."""
    document = fields_of(service) | {
        "reason": reasons_text(service.reasons, utc_minute),
        "is_unverified": is_unverified(service),
    }
    return document if service.is_promised else {**document, "deadline": None, "promised": None}


def incidents_list(reads: Queries, with_closed: bool) -> list[IncidentRow]:
    """The open incidents; then, `with_closed`, the latest closed ones."""
    closed = reads.incidents.list_incidents(closed=True) if with_closed else []
    return reads.incidents.list_incidents() + closed


def unknown_field_fault(terms: Sequence[str], reads: Queries) -> str:
    """Why a term `word:value` of a filter is invalid: not a field and not part of any job's name, or without a system
    or kind of that name. Empty if none is."""
    split_terms = [term for argument in terms for term in argument_terms(argument)]
    for system in parse_terms(term for term in split_terms if term.lower().startswith("system:")).systems:
        names = {name for view in reads.estate.systems() for name in (view.system, view.kind)}
        if not any(system.lower() in name.lower() for name in names):
            near = get_close_matches(system.lower(), sorted(names), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(names)[:MAX_CANDIDATES])}"
            return f'"system:{system}" in the filter is invalid: no system or kind is named like that; {hint}'
    for term in name_terms(split_terms):
        part = term.lstrip("-!~")
        if not reads.jobs.job_ids(JobFilter(terms=(part,))):
            field = part.partition(":")[0]
            near = get_close_matches(field.lower(), FILTER_FIELDS, n=1)
            hint = f"did you mean {near[0]}:?" if near else f"fields: {', '.join(FILTER_FIELDS)}"
            text = f'no field "{field}:", and "{part}" is part of no job\'s name; {hint}'
            return f'"{term}" in the filter is invalid: {text}'
    return ""


class LineageJobDocument(TypedDict):
    """One job of a lineage, `steps` away."""

    job: str
    system: str
    steps: int
    state: str | None
    at: datetime | None
    period_key: str | None
    last_state: str | None
    last_at: datetime | None
    is_red: bool
    is_root_cause: bool
    is_critical: bool


class LineageServiceDocument(TypedDict):
    """A service downstream."""

    service: str
    tier: int
    business_date: str
    deadline: datetime | None
    timeliness: str
    act_by: datetime | None
    green_by: datetime | None
    delivered: datetime | None
    cause: str | None


class LineageEdgeDocument(TypedDict):
    upstream: str
    downstream: str


class OmittedJobsDocument(TypedDict):
    """The number of jobs further away."""

    upstream: int
    downstream: int


class CausesDocument(TypedDict):
    """Root causes of a job's state, and the services below it."""

    root_causes: list[LineageJobDocument]
    services: list[LineageServiceDocument]


class ReachDocument(LineageJobDocument, CausesDocument):
    """A job with its causes and services."""


class DatasetDocument(TypedDict):
    """A dataset that the job reads or writes, by OpenLineage events."""

    dataset: str
    is_output: bool
    producer: str
    seen: datetime


class FacetDocument(TypedDict):
    """A property of the job or its latest run, by OpenLineage events."""

    name: str
    text: str
    producer: str
    seen: datetime


class LineageDocument(ReachDocument):
    """The jobs around one job, nearest first, and the edges between them."""

    business_date: str | None
    upstream: list[LineageJobDocument]
    downstream: list[LineageJobDocument]
    edges: list[LineageEdgeDocument]
    omitted: OmittedJobsDocument
    datasets: list[DatasetDocument]
    facets: list[FacetDocument]


def job_reach(reads: Queries, job_id: int, run: str = "") -> LineageReach:
    """Raises NotFound for an unknown run."""
    view = reads.lineage.lineage_of(job_id, run)
    services = services_below(view, view.job_id, reads.services.list_services(view.business_date or None))
    return LineageReach(view, services, reads.now())


def lineage_document(reach: LineageReach, up: int, down: int) -> LineageDocument:
    """The jobs within so many steps."""
    above = {job_id: steps for job_id, steps in reach.upstream.items() if steps <= up}
    below = {job_id: steps for job_id, steps in reach.downstream.items() if steps <= down}
    included, jobs = {reach.view.job_id, *above, *below}, reach.view.jobs
    return {
        **lineage_job_document(reach, reach.job, 0),
        "business_date": reach.view.business_date or None,
        **_causes_and_services(reach),
        "upstream": [lineage_job_document(reach, jobs[job_id], steps) for job_id, steps in above.items()],
        "downstream": [lineage_job_document(reach, jobs[job_id], steps) for job_id, steps in below.items()],
        "edges": [
            {"upstream": jobs[upstream].name, "downstream": jobs[downstream].name}
            for upstream, downstream in reach.view.edges
            if upstream in included and downstream in included
        ],
        "omitted": {"upstream": len(reach.upstream) - len(above), "downstream": len(reach.downstream) - len(below)},
        "datasets": [
            {"dataset": use.dataset, "is_output": use.is_output, "producer": use.producer, "seen": use.seen}
            for use in reach.view.datasets
        ],
        "facets": [
            {"name": facet.name, "text": facet.text, "producer": facet.producer, "seen": facet.seen}
            for facet in reach.view.facets
        ],
    }


def reach_document(reach: LineageReach) -> ReachDocument:
    """The job itself, with causes and services."""
    return {**lineage_job_document(reach, reach.job, 0), **_causes_and_services(reach)}


def _causes_and_services(reach: LineageReach) -> CausesDocument:
    return {
        "root_causes": [lineage_job_document(reach, cause, reach.upstream.get(cause.id, 0)) for cause in reach.causes],
        "services": [_service_document(service) for service in reach.services],
    }


def lineage_job_document(reach: LineageReach, job: LineageJob, steps: int) -> LineageJobDocument:
    return {
        "job": job.name,
        "system": job.system,
        "steps": steps,
        "state": job.state or None,
        "at": job.at,
        "period_key": job.period_key or None,
        "last_state": job.before or None,
        "last_at": job.before_at,
        "is_red": job.is_red,
        "is_root_cause": job in reach.causes,
        "is_critical": job.name in reach.critical,
    }


def _service_document(service: ServiceView) -> LineageServiceDocument:
    return {
        "service": service.name,
        "tier": service.tier,
        "business_date": service.business_date,
        "deadline": service.deadline if service.is_promised else None,
        "timeliness": service.timeliness,
        "act_by": service.act_by,
        "green_by": service.green_by,
        "delivered": service.delivered,
        "cause": service.cause or None,
    }
