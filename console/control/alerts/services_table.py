"""Affected services as notifications show them: title, status and table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from console.control.alerts.context import AlertContext, AlertSubject
from console.control.alerts.joint_repair import joint_act_by, remaining_act_by
from console.control.incidents.verdict.text import IF_REPAIRED
from console.control.snapshot.estate_index import EstateIndex
from console.domain.decision import AffectedServiceVerdict
from console.domain.estate import ServiceFacts
from console.domain.message import ClockTime, Columns
from console.domain.service import (
    DELIVERED,
    NOT_AT_RISK,
    RepairCase,
    Timeliness,
    repair_case,
    timeliness_label,
)
from console.text.cleaning import clean_line
from console.timing.formats import local_time, zone_label

COLUMNS = ("Service", "Due", "Status")
NOT_YET = "not yet delivered"
StatusLabel = Callable[[Timeliness], str]


def status_text(timeliness: Timeliness) -> str:
    """The word for it; an affected service without an estimate is at risk."""
    return timeliness_label(Timeliness.AT_RISK if timeliness is Timeliness.NO_ESTIMATE else timeliness)


def business_status_text(timeliness: Timeliness) -> str:
    """The label for owners."""
    return "late" if timeliness is Timeliness.BREACHED else status_text(timeliness)


def still_text(timeliness: Timeliness, status: StatusLabel = status_text) -> str:
    """ "still at risk", "will still miss": once its cause is resolved."""
    return "will still miss" if timeliness is Timeliness.WILL_MISS else f"still {status(timeliness)}"


def is_only_unknown(context: AlertContext, service: AffectedServiceVerdict) -> bool:
    """True at the end of an incident for a service without an estimate that no other incident affects."""
    day = context.days.get(service.key)
    return service.timeliness is Timeliness.NO_ESTIMATE and day is not None and day.incident_key is None


def end_status_text(context: AlertContext, service: AffectedServiceVerdict, status: StatusLabel = status_text) -> str:
    """Its word at the end of an incident: a service without an estimate is at risk only if another incident affects
    it; else that its delivery is still to come is all that is known."""
    return NOT_YET if is_only_unknown(context, service) else status(service.timeliness)


def service_facts(index: EstateIndex, name: str) -> ServiceFacts | None:
    return next((service for service in index.estate.services if service.name == name), None)


def service_title(index: EstateIndex, name: str) -> str:
    """Its title of config, or its name."""
    known = service_facts(index, name)
    return clean_line((known.title if known is not None else "") or name)


def service_zone(index: EstateIndex, name: str) -> str:
    known = service_facts(index, name)
    return known.zone if known is not None else "UTC"


def services_table(
    context: AlertContext,
    subject: AlertSubject,
    services: Sequence[AffectedServiceVerdict],
    zone: str,
    label: StatusLabel = status_text,
) -> Columns:
    """The status of each; no act-by once it has passed. At the end of an incident that of the others."""
    is_closed = subject.decision.closed
    lines = []
    for service in services:
        status = end_status_text(context, service, label) if is_closed else label(service.timeliness)
        act_by_of = remaining_act_by if is_closed else joint_act_by
        act_by = None if service.timeliness in NOT_AT_RISK else act_by_of(context, subject, service)
        if act_by is not None and act_by > context.now:
            status += f", act by {local_time(act_by, zone, context.now)}"
        else:
            status += delivery_text(context, service, zone)
        title = service_title(context.index, service.service)
        lines.append(ServiceLine(title, clock_time(service.deadline, zone, context.now), status))
    return service_columns(lines)


class ServiceLine(NamedTuple):
    """A row of the table."""

    title: str
    due: ClockTime
    status: str


def service_columns(lines: Iterable[ServiceLine]) -> Columns:
    return Columns(COLUMNS, tuple((line.title, line.due, line.status) for line in lines))


def clock_time(at: datetime, zone: str, now: datetime) -> ClockTime:
    return ClockTime(local_time(at, zone, now), zone_label(at, zone))


def delivery_text(context: AlertContext, service: AffectedServiceVerdict, zone: str) -> str:
    """ " at 05:10" once it is delivered, else ", expected 05:10"; empty if unknown."""
    day = context.days.get(service.key)
    at = (day.delivered_at or day.expected_at) if day is not None else service.expected_at
    if at is None:
        return ""
    if service.timeliness in DELIVERED:
        return f" at {local_time(at, zone, context.now)}"
    case = repair_case(service.act_by, day.p_late if day is not None else None, service.reasons)
    return f", expected {local_time(at, zone, context.now)}{f' {IF_REPAIRED}' if case is RepairCase.USUAL else ''}"
