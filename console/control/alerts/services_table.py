"""Affected services as notifications show them: title, status and table."""

from __future__ import annotations

from operator import attrgetter

from console.control.alerts.context import AlertContext
from console.control.snapshot.estate_index import EstateIndex
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import ServiceFacts
from console.domain.service import Timeliness, limit_instances, service_of_instance, timeliness_label
from console.text.cleaning import clean_line
from console.text.message import table
from console.timing.formats import local_time, zoned_time

FINE = (Timeliness.ON_TIME, Timeliness.MET, Timeliness.MET_LATE)
_DELIVERED = (Timeliness.MET, Timeliness.MET_LATE)


def status_text(timeliness: Timeliness) -> str:
    """The word for it; an affected service without an estimate is at risk."""
    return timeliness_label(Timeliness.AT_RISK if timeliness is Timeliness.NO_ESTIMATE else timeliness)


def service_facts(index: EstateIndex, affected: AffectedServiceVerdict) -> ServiceFacts | None:
    return next((service for service in index.estate.services if service.name == affected.service), None)


def service_title(index: EstateIndex, affected: AffectedServiceVerdict) -> str:
    """Its title of config, or its name."""
    known = service_facts(index, affected)
    return clean_line((known.title if known is not None else "") or affected.service)


def service_zone(index: EstateIndex, affected: AffectedServiceVerdict) -> str:
    known = service_facts(index, affected)
    return known.zone if known is not None else "UTC"


def services_table(context: AlertContext, decision: IncidentDecision) -> list[str]:
    rows, near = [], context.now
    labels = {zoned_time(service.deadline, decision.zone).rpartition(" ")[2] for service in decision.services}
    for service, hidden in limit_instances(decision.services, attrgetter("service")):
        due = (local_time if len(labels) == 1 else zoned_time)(service.deadline, decision.zone, near)
        status = status_text(service.timeliness)
        if not decision.closed and service.act_by is not None and service.timeliness not in FINE:
            status += f", act by {local_time(service.act_by, decision.zone, near)}"
        elif known := _delivery(context, service, decision.zone):
            status += f"{'' if service.timeliness in _DELIVERED else ', expected'} {known}"
        rows.append([service_title(context.index, service), due, status])
        rows += [[f"{clean_line(service_of_instance(service.service))}: {hidden} more", "", ""]] if hidden else []
    return table([["SERVICE", f"DUE ({labels.pop()})" if len(labels) == 1 else "DUE", "STATUS"], *rows]) if rows else []


def _delivery(context: AlertContext, service: AffectedServiceVerdict, zone: str) -> str:
    """When it was delivered, or else is expected; empty if unknown."""
    day = context.days.get(service.key)
    at = (day.delivered_at or day.expected_at) if day is not None else service.expected_at
    return local_time(at, zone, context.now) if at is not None else ""
