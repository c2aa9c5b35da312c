"""Reasons of services and expected runs, and titles of incidents, as a reader in UTC has them."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from console.domain.decision import (
    AffectedServiceVerdict,
    ExpectedRun,
    IncidentDecision,
    KnownIncident,
    ServiceDayVerdict,
)
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.finding import Finding, FindingView
from console.domain.incident import IncidentRow
from console.domain.job import ExplanationStep
from console.domain.reason import reasons_text
from console.domain.service import ServiceView
from console.domain.text import Text, render
from console.timing.formats import dated_time, zoned_time


def reason_of(day: ServiceDayVerdict | AffectedServiceVerdict | ServiceView, zone: str = "UTC") -> str:
    """All clauses in one line, times near its deadline."""
    return reasons_text(day.reasons, partial(zoned_time, zone=zone, near=day.deadline))


def source_text(finding: Finding | FindingView, zone: str = "UTC") -> str:
    """Its text with its threshold, times near its beginning."""
    return render(finding.with_source, partial(zoned_time, zone=zone, near=finding.since))


def why_of(run: ExpectedRun | RunFacts, near: datetime | None = None, zone: str = "UTC") -> str:
    """Why it is expected, held or missed."""
    return render(run.why, partial(zoned_time, zone=zone, near=near))


def step_text(step: ExplanationStep) -> str:
    """Its text."""
    return render(step.text, partial(dated_time, zone="UTC"))


def proof_of(step: ExplanationStep) -> str:
    """Its evidence."""
    return render(step.evidence, partial(dated_time, zone="UTC"))


def number_of(incident: IncidentDecision) -> int | None:
    """Its number; None for a new one."""
    return incident.incident.id if isinstance(incident.incident, KnownIncident) else None


def zoned(text: Text, near: datetime | None = None, zone: str = "UTC") -> str:
    """Times with their date where it is another than that of `near`."""
    return render(text, partial(zoned_time, zone=zone, near=near))


def dated(text: Text) -> str:
    """Each time with its date."""
    return render(text, partial(dated_time, zone="UTC"))


def close_text(incident: IncidentDecision) -> str:
    """Why it closed; empty while it is open."""
    return incident.closed_because(partial(zoned_time, zone="UTC"))


def evidence_of(incident: IncidentDecision | IncidentFacts | IncidentRow, near: datetime | None = None) -> str:
    """Its reason."""
    return render(incident.reason, partial(zoned_time, zone="UTC", near=near))


def title_of(
    incident: IncidentDecision | IncidentFacts | IncidentRow, near: datetime | None = None, zone: str = "UTC"
) -> str:
    """Times with their date where it is another than that of `near`."""
    return incident.title.text(partial(zoned_time, zone=zone, near=near))
