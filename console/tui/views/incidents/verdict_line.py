"""The verdict of an incident as one line: action, latest time, services saved; or the plan that runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from connectors.sdk.states import is_open
from console.control.incidents.verdict import countdown_text, fix_text, job_label, saved_text
from console.domain.incident import IncidentView, MemberView, blocked_reason, open_steps
from console.domain.plan import PlanView
from console.domain.service import ServiceView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, counted
from console.tui.widgets.paint import Segment, length_of

LATE_MINUTES = 15


class OpenIncident(NamedTuple):
    """An incident, and its plans in progress."""

    view: IncidentView
    plans: tuple[PlanView, ...]

    @classmethod
    def read(cls, reads: Queries, number: int) -> OpenIncident:
        return cls(reads.incidents.incident(number), tuple(reads.plans.list_plans(number, ended=False)))


def service_verdict(services: Sequence[ServiceView], ctx: RenderContext, width: int) -> list[Segment]:
    """Of the most urgent service, before its incident is read."""
    urgent = urgent_service(services)
    if urgent is None:
        return []
    if urgent.act_by is None or not urgent.cause:
        return [(f" {urgent.trouble or urgent.reason or urgent.title}", "warn")]
    same = [view for view in services if view.incident_id == urgent.incident_id and view.is_endangered]
    fix = fix_text(job_label(urgent.cause), urgent.act_by, ctx.now, lambda at: ctx.hm(at, urgent.zone))
    return _with_saved([_urged(fix, urgent.act_by, ctx)], [view.title or view.name for view in same], width)


def urgent_service(services: Sequence[ServiceView]) -> ServiceView | None:
    """The endangered service to act on first: the earliest act-by, else the earliest deadline."""
    endangered = [view for view in services if view.is_endangered and not view.has_delivered]
    return min(endangered, key=lambda view: (view.act_by is None, view.act_by or view.deadline), default=None)


def verdict_line(view: IncidentView, plans: Sequence[PlanView], ctx: RenderContext, width: int) -> list[Segment]:
    """A plan in progress, a rerun in progress, what to restart, or why there is nothing to do."""
    zone = view.services[0].zone if view.services else ""
    if view.row.closed is not None:
        return [(f" Resolved {ctx.hm(view.row.closed, zone)}: {blocked_reason(view)}", "ok")]
    if plans:
        return _plan(plans[0], view, ctx)
    root = next((member for member in view.members if member.role == "root"), None)
    if root is not None and is_open(root.state) and root.started is not None:
        return _runs_again(root, view, ctx)
    steps = open_steps(view)
    titles = [service.title or service.name for service in view.services]
    if not steps:
        return _with_saved([(f" {_capital(blocked_reason(view))}", "warn")], [], width)
    verb = "restart" if steps[0].can_rerun else "repair"
    fix = fix_text(job_label(steps[0].job), view.row.act_by, ctx.now, lambda at: ctx.hm(at, zone), verb)
    return _with_saved([_urged(fix, view.row.act_by, ctx)], titles, width)


def expected_end(view: IncidentView) -> datetime | None:
    """When its last service is expected to be delivered; None without an estimate."""
    return max((service.expected for service in view.services if service.expected is not None), default=None)


def _plan(plan: PlanView, view: IncidentView, ctx: RenderContext) -> list[Segment]:
    style = {"running": "run", "stopped": "bad"}.get(plan.state, "warn")
    segments: list[Segment] = [
        (f" Plan {plan.id} {plan.state}: {plan.done} of {counted(len(plan.steps), 'step')}", style)
    ]
    end = expected_end(view)
    if plan.state == "running" and end is not None:
        zone = view.services[0].zone
        segments.append((f", services done about {ctx.hm(end, zone)}", "plain"))
    return segments


def _runs_again(root: MemberView, view: IncidentView, ctx: RenderContext) -> list[Segment]:
    zone = view.services[0].zone if view.services else ""
    segments: list[Segment] = [(f" {job_label(root.job)} runs again since {ctx.hm(root.started, zone)}", "run")]
    by = min((service.green_by for service in view.services if service.green_by is not None), default=None)
    if by is not None:
        segments.append((f": green by {ctx.hm(by, zone)} ({countdown_text(by, ctx.now)}) is in time", "plain"))
    return segments


def _urged(fix: str, act_by: datetime | None, ctx: RenderContext) -> Segment:
    is_near = act_by is not None and (act_by - ctx.now).total_seconds() < LATE_MINUTES * 60
    return f" {_capital(fix)}", "bad" if is_near else "warn"


def _with_saved(fix: list[Segment], titles: Sequence[str], width: int) -> list[Segment]:
    """The names of the services if they fit, else their number, else nothing."""
    named = saved_text(list(dict.fromkeys(titles)))
    short = f"saves {counted(len(set(titles)), 'service')}" if titles else ""
    for text in (named, short):
        if text and length_of(fix) + len(text) + 2 <= width:
            return [*fix, (f", {text}", "strong")]
    return fix


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
