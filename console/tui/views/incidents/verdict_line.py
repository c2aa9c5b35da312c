"""The verdict of an incident as one line: action, latest time, services saved; or the plan that runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from console.control.incidents.verdict import (
    Verdict,
    incident_verdict,
    saved_text,
    step_text,
    step_verdict,
    urgent_service,
)
from console.domain.incident import IncidentView
from console.domain.plan import PlanView
from console.domain.service import ServiceView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, counted
from console.tui.widgets.paint import Segment, length_of


class OpenIncident(NamedTuple):
    """An incident, and its plans in progress."""

    view: IncidentView
    plans: tuple[PlanView, ...]
    zone: str = ""
    """Of its times beside a service: the service's zone."""

    @classmethod
    def read(cls, reads: Queries, number: int, zone: str = "") -> OpenIncident:
        return cls(reads.incidents.incident(number), tuple(reads.plans.list_plans(number, ended=False)), zone)


def service_verdict(services: Sequence[ServiceView], ctx: RenderContext, width: int) -> list[Segment]:
    """Of the most urgent service, before its incident is read."""
    urgent = urgent_service(services, ctx.now)
    if urgent is None:
        return []
    if urgent.act_by is None or not urgent.cause:
        return [(f" {urgent.trouble or urgent.reason or urgent.title}", "warn")]
    same = [view for view in services if view.incident_id == urgent.incident_id]
    step = step_text(urgent.cause, can_rerun=True)
    return _fitted(step_verdict(step, urgent.act_by, same, ctx.now, lambda at: ctx.hm(at, urgent.zone)), width)


def verdict_line(opened: OpenIncident, ctx: RenderContext, width: int) -> list[Segment]:
    """The verdict of the incident, as far as it fits."""
    view, plans, zone = opened
    return _fitted(incident_verdict(view, plans, ctx.now, lambda at: ctx.hm(at, zone)), width)


def _fitted(verdict: Verdict, width: int) -> list[Segment]:
    """With the names of the services that it still saves if they fit, else their number, else nothing."""
    (first, style), *further = verdict.parts
    line: list[Segment] = [(f" {first}", style), *further]
    short = f"saves {counted(len(verdict.saves), 'service')}" if verdict.saves else ""
    for text in (saved_text(verdict.saves), short):
        if text and length_of(line) + len(text) + 2 <= width:
            return [*line, (f", {text}", "strong")]
    return line
