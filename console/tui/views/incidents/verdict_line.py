"""The verdict of an incident as one line: action, latest time, services saved; or the plan that runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from connectors.sdk.states import is_open
from console.control.incidents.verdict import fix_text, job_label, saved_text, until_text
from console.domain.incident import (
    AffectedServiceView,
    IncidentView,
    MemberView,
    blocked_reason,
    has_recovered,
    open_steps,
)
from console.domain.plan import PlanView
from console.domain.service import ServiceView, Timeliness
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, counted
from console.tui.widgets.paint import Segment, length_of

LATE_MINUTES = 15


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
    fix = fix_text(job_label(urgent.cause), urgent.act_by, ctx.now, lambda at: ctx.hm(at, urgent.zone))
    return _with_saved([_urged(fix, urgent.act_by, ctx)], same, ctx, width)


def urgent_service(services: Sequence[ServiceView], now: datetime) -> ServiceView | None:
    """The endangered service to act on first: the earliest act-by that has not passed, else the earliest that has, else
    the earliest deadline."""
    endangered = [view for view in services if view.is_endangered and not view.has_delivered]

    def urgency(view: ServiceView) -> tuple[bool, bool, datetime]:
        return view.act_by is None, view.act_by is not None and view.act_by <= now, view.act_by or view.deadline

    return min(endangered, key=urgency, default=None)


def verdict_line(opened: OpenIncident, ctx: RenderContext, width: int) -> list[Segment]:
    """A plan in progress, a rerun in progress, what to restart, or why there is nothing to do."""
    view, plans, zone = opened
    if view.row.closed is not None:
        ended = "Resolved" if has_recovered(view) else "Closed"
        reason = blocked_reason(view).removeprefix("closed: ")
        return [(f" {ended} {ctx.hm(view.row.closed, zone)}: {reason}", "ok" if has_recovered(view) else "plain")]
    if plans:
        return _plan(plans[0], opened, ctx)
    root = next((member for member in view.members if member.role == "root"), None)
    if root is not None and is_open(root.state) and root.started is not None:
        return _still_runs(root, root.started, opened, ctx)
    steps = open_steps(view)
    if not steps:
        return [(f" {_capital(blocked_reason(view))}", "warn")]
    verb = "restart" if steps[0].can_rerun else "repair"
    fix = fix_text(job_label(steps[0].job), view.row.act_by, ctx.now, lambda at: ctx.hm(at, zone), verb)
    return _with_saved([_urged(fix, view.row.act_by, ctx)], view.services, ctx, width)


def delivery_estimate(plan: PlanView, view: IncidentView, ctx: RenderContext, zone: str = "") -> str:
    """ "services done about 06:16": the last of them, while the plan runs; empty without an estimate."""
    end = max((service.expected for service in view.services if service.expected is not None), default=None)
    return f"services done about {ctx.hm(end, zone)}" if end is not None and plan.state == "running" else ""


def _plan(plan: PlanView, opened: OpenIncident, ctx: RenderContext) -> list[Segment]:
    style = {"running": "run", "stopped": "bad"}.get(plan.state, "warn")
    state: Segment = (f" Plan {plan.id} {plan.state}: {plan.done} of {counted(len(plan.steps), 'step')}", style)
    done = delivery_estimate(plan, opened.view, ctx, opened.zone)
    return [state, (f", {done}", "plain")] if done else [state]


def _still_runs(root: MemberView, started: datetime, opened: OpenIncident, ctx: RenderContext) -> list[Segment]:
    """Of a rerun, or of the first run that takes too long; and the next green-by that has not passed."""
    view, zone = opened.view, opened.zone
    does = "runs again" if started > view.row.failed_since else "is still running"
    segments: list[Segment] = [(f" {job_label(root.job)} {does} since {ctx.hm(started, zone)}", "run")]
    green_bys = (service.green_by for service in view.services if service.green_by is not None)
    by = min((green_by for green_by in green_bys if green_by > ctx.now), default=None)
    if by is not None:
        segments.append((f", must succeed{until_text(by, ctx.now, lambda at: ctx.hm(at, zone))}", "plain"))
    return segments


def _urged(fix: str, act_by: datetime | None, ctx: RenderContext) -> Segment:
    is_near = act_by is not None and (act_by - ctx.now).total_seconds() < LATE_MINUTES * 60
    return f" {_capital(fix)}", "bad" if is_near else "warn"


def _with_saved(
    fix: list[Segment], services: Sequence[ServiceView | AffectedServiceView], ctx: RenderContext, width: int
) -> list[Segment]:
    """With the names of the services that it still saves if they fit, else their number, else nothing."""
    titles = list(dict.fromkeys(service.title or service.name for service in services if _is_savable(service, ctx.now)))
    named = saved_text(titles)
    short = f"saves {counted(len(titles), 'service')}" if titles else ""
    for text in (named, short):
        if text and length_of(fix) + len(text) + 2 <= width:
            return [*fix, (f", {text}", "strong")]
    return fix


def _is_savable(service: ServiceView | AffectedServiceView, now: datetime) -> bool:
    at_risk = service.timeliness in (Timeliness.AT_RISK, Timeliness.WILL_MISS)
    return at_risk and service.act_by is not None and service.act_by > now


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
