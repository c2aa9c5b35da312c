"""An incident as lines: affected services, its runs, notifications and actions, in the order of the questions at 3
am."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from textwrap import wrap
from typing import TYPE_CHECKING

from console.control.incidents.verdict.decision import Restart, incident_verdict, unsafe_services
from console.domain.history import NO_ESTIMATE
from console.domain.ids import incident_name
from console.domain.incident import (
    AffectedServiceView,
    IncidentRow,
    IncidentView,
    MemberView,
    PastRepair,
    further_reruns,
    member_errors,
    members_by_time,
    repair_methods,
)
from console.domain.probability import format_probability, format_risk
from console.domain.service import LOST, timeliness_label
from console.domain.text import render
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.frame.cells import (
    RenderContext,
    SegmentLines,
    act_by,
    aligned,
    counted,
    flowing,
    heading,
    joined_segments,
)
from console.tui.frame.clock_format import format_short
from console.tui.frame.intent import verb_label
from console.tui.views.incidents.timeline import delivery_cells, last_notified, suppressed_cells
from console.tui.views.incidents.verdict_line import OpenIncident, verdict_lines
from console.tui.widgets.paint import Segment, fit, length_of
from console.tui.widgets.table import TableRow

if TYPE_CHECKING:
    from console.domain.failure import FailureMemory
    from console.domain.plan import PlanView
    from console.store.queries.audit import ApprovalView

RISK_FROM = 60
"""Columns besides the name from which a row has room for "61 % risk of being late", and for the time left to act."""


def incident_mark(row: IncidentRow, ctx: RenderContext) -> Segment:
    """Failed, good again though it is open, or closed."""
    if row.failed_until is None:
        return ("X" if ctx.plain else "✖"), "bad"
    return ("+" if ctx.plain else "●"), ("warn" if row.closed is None else "ok")


def incident_title(
    view: IncidentView, ctx: RenderContext, width: int, plans: Sequence[PlanView] = ()
) -> tuple[list[Segment], list[Segment]]:
    """Its name and job, and the latest time to act: of one whose plan runs, the plan. `plans`: those in progress."""
    row = view.row
    mark = incident_mark(row, ctx)
    title: list[Segment] = [
        (f" {incident_name(row.id)} ", "key"),
        mark,
        (f" {row.root_job or row.title.text(ctx.zoned)}", "strong"),
    ]
    if row.closed is not None:
        return title, [(f"closed {ctx.hm(row.closed)} ", "ok")]
    if running := next((plan for plan in plans if plan.state == "running"), None):
        return title, [(f"plan {running.id} running ", "run")]
    if row.act_by is None:
        return title, [_without_act_by(view)]
    when, style = act_by(row.act_by, ctx)
    return title, [("act by ", "dim"), (when, style), (" ", "plain"), *_budget(view, ctx, width), (" ", "plain")]


def _without_act_by(view: IncidentView) -> Segment:
    for timeliness in LOST:
        if any(service.timeliness == timeliness for service in view.services):
            return f"{timeliness_label(timeliness)} ", "bad"
    return ("act-by unknown ", "warn") if unsafe_services(view.services) else ("no act-by ", "dim")


def _budget(view: IncidentView, ctx: RenderContext, width: int) -> list[Segment]:
    row = view.row
    if row.act_by is None or width < 100:
        return []
    whole = max(row.act_by - row.failed_since, timedelta(seconds=1))
    full = round(8 * min(1.0, max(0.0, (row.act_by - ctx.now) / whole)))
    return [(ctx.sign("full") * full, "warn"), (ctx.sign("empty") * (8 - full), "dim")]


SHORT = 30
"""Lines of a screen below which one line has the facts of an incident."""


def header_lines(
    opened: OpenIncident, ctx: RenderContext, width: int, height: int, *, is_frozen: bool
) -> list[list[Segment]]:
    """The verdict, the error, and the facts."""
    view, row = opened.view, opened.view.row
    parts: list[Segment] = [(_failed_text(row, ctx), "dim")]
    if row.acknowledged_by:
        parts.append((f"acknowledged by {row.acknowledged_by} until {ctx.hm(row.acknowledged_until)}", "ok"))
    elif row.closed is None:
        parts.append(("unacknowledged", "warn"))
    owner: list[Segment] = [(f"owner {row.owner}", "dim")] if row.owner else []
    text, style = last_notified(view, ctx)
    notified: Segment = (clean_line(text), style)
    is_unsent = style in ("warn", "bad")
    parts += [notified, *owner] if is_unsent else [*owner, notified]
    facts = flowing([*parts, (f"business date {row.business_date}", "dim")], width)
    verdict = verdict_lines(opened, ctx, width, is_frozen=is_frozen)
    step = incident_verdict(view, opened.plans, ctx.now, is_frozen=is_frozen).step
    is_said = isinstance(step, Restart) and bool(step.read_stale)
    reason = row.title.text(ctx.zoned) if is_said else row.summary(ctx.zoned)
    stopped = (plan.stop_reason for plan in opened.plans if plan.state == "stopped")
    text = next(stopped, reason)
    error: list[Segment] = [(f" {fit(clean_line(text), width - 1).rstrip()}", "plain")]
    return [
        *verdict,
        error,
        *(facts if height >= SHORT else facts[: 1 + is_unsent]),
    ]


def _failed_text(row: IncidentRow, ctx: RenderContext) -> str:
    at, lasted = ctx.hm(row.failed_since), format_short((row.failed_until or ctx.now) - row.failed_since)
    if row.closed is not None:
        return f"failed {at} for {lasted}"
    if row.root_good is not None:
        return f"failed {at}, repaired {ctx.hm(row.root_good)}"
    return f"due {at}, did not start ({lasted} ago)" if row.did_not_start else f"failed since {at} ({lasted})"


def summary_lines(view: IncidentView, ctx: RenderContext, width: int) -> list[TableRow]:
    return [
        *_services(view, ctx, width),
        *_members(view, ctx, width),
        *_changed(view, ctx, width),
        *_actions(view, ctx),
        *_notified_lines(view, ctx, width),
    ]


def approval_lines(approval: ApprovalView, ctx: RenderContext, width: int) -> list[list[Segment]]:
    """The action that waits, and below it the facts that its approver weighs."""
    reason = f": {approval.why}" if approval.why else ""
    text = f"{verb_label(approval.verb)} {approval.job}, requested by {approval.requested_by}{reason}"
    facts = approval.terms.facts(lambda at: ctx.clock.hm(at, ctx.now), ctx.now)
    head = [
        (" waits for approval ", "mark"),
        (f" {text}", "plain"),
        (f"   {ctx.key('incident', 'approvals')} approves", "dim"),
    ]
    return [head, *flowing([(f"{label}: {fact}", "plain") for label, fact in facts], width)]


def _services(view: IncidentView, ctx: RenderContext, width: int) -> Iterator[TableRow]:
    """A row each; `evidence_lines` has the reasons, and what an estimate needs."""
    note = f"{counted(view.row.affected_runs, 'run')} failed or stale" if view.row.affected_runs else ""
    if any(service.basis == NO_ESTIMATE for service in view.services):
        note = "; ".join(filter(None, [note, f"{ctx.key('incident', 'evidence')} shows what an estimate needs"]))
    many, days = len({service.name for service in view.services}), len(view.services)
    dates = f" {ctx.sign('dot')} {days} deadlines" if days > many else ""
    yield heading("services", f"AFFECTED SERVICES {many}{dates}", note)
    is_over = view.row.closed is not None
    longest = max((length_of([(service.title, "")]) for service in view.services), default=0)
    lines = aligned([_service(service, ctx, is_over, width - longest) for service in view.services], width - len(" !"))
    for service, line in zip(view.services, lines, strict=True):
        mark, _, style = ctx.mark("timeliness", service.timeliness)
        yield joined_segments(("service", service.name, service.business_date), [(f" {mark}", style), *line], pick=True)


def _service(service: AffectedServiceView, ctx: RenderContext, is_over: bool, room: int) -> list[Segment]:
    """`room`: columns besides the longest name."""
    is_narrow = room < RISK_FROM
    when, urgent = act_by(service.act_by, ctx)
    if is_narrow and service.act_by is not None and service.act_by > ctx.now:
        when = ctx.hm(service.act_by)
    risk = format_risk(service.risk, is_narrow) if service.risk is not None else ""
    if service.risk is not None and service.repair_case is not None:  # not without its case
        risk = "" if is_narrow else f"{service.repair_case}: {format_probability(service.risk)} late"
    risk = "no estimate" if service.basis == NO_ESTIMATE and service.delivered is None else risk
    data = "" if is_over else service.incomplete_data
    return [
        (service.title, "strong"),
        (ctx.due(service.deadline), "plain"),
        ("", "dim") if service.act_by is None or is_over else (f"act by {when}", urgent),
        (data or risk if is_narrow else ", ".join(filter(None, (data, risk))), "warn" if data else "dim"),
        (f"tier {service.tier}", "dim"),
    ]


_ERROR_INDENT = "     "


def _members(view: IncidentView, ctx: RenderContext, width: int) -> Iterator[TableRow]:
    further = further_reruns(view) if view.row.closed is None else 0
    note = f"after the root, {further} to rerun: {ctx.key('incident', 'recover')} plans it" if further else ""
    yield heading("runs", f"RUNS {len(view.members)}", note)
    role_width = max((len(ctx.mark("role", member.present_role)[1]) for member in view.members), default=0)
    state_width = max((len(_state_text(member, ctx)) for member in view.members), default=0)
    errors = member_errors(view)
    for member in members_by_time(view):
        runs = [*_member(member, state_width, role_width, ctx), *_acknowledged_by(view, member, ctx)]
        yield joined_segments(("run", member.run_id, member.job), runs, pick=member.run_id is not None)
        if error := errors.get((member.job_id, member.period_key)):
            text = fit(clean_line(error), width - len(_ERROR_INDENT)).rstrip()
            yield joined_segments(("error", member.job_id, member.period_key), [(f"{_ERROR_INDENT}{text}", "dim")])
    if repair := last_repair(view, ctx):
        yield from _wrapped(("before", 0), repair, "dim", width)


def _changed(view: IncidentView, ctx: RenderContext, width: int) -> Iterator[TableRow]:
    row = view.row
    if row.changes or row.origins:
        yield heading("changed", "CHANGES", "")
    if row.origins:
        yield joined_segments(("kin",), [(f"   {', '.join(row.origins)}", "warn")])
    for number, change in enumerate(row.changes):
        for part, text in enumerate(wrap(render(change, ctx.zoned), max(20, width - 4), max_lines=2, placeholder=" …")):
            yield joined_segments(("changed", number, part), [(f"   {text}", "plain")])


def _state_text(member: MemberView, ctx: RenderContext) -> str:
    return f"{ctx.mark('state', member.state)[1]} {ctx.hm(member.at)}"


def _member(member: MemberView, state_width: int, role_width: int, ctx: RenderContext) -> list[Segment]:
    """The present state first; then the role, and the job."""
    _, role, role_style = ctx.mark("role", member.present_role)
    state_mark, _, state_style = ctx.mark("state", member.state)
    stale: Segment = (" read stale data", "warn") if member.stale_read else ("", "plain")
    return [
        (f" {state_mark} {_state_text(member, ctx):<{state_width}} ", state_style),
        (f"{role:<{role_width}} ", role_style),
        (member.job, "strong" if member.role == "root" else "plain"),
        stale,
    ]


def _acknowledged_by(view: IncidentView, member: MemberView, ctx: RenderContext) -> list[Segment]:
    own = [action for action in view.actions if action.run_id == member.run_id]
    if not own:
        return []
    newest = max(own, key=lambda action: action.requested)
    mark, label, style = ctx.mark("action", newest.state)
    return [(f"  {verb_label(newest.verb)} ", "dim"), (f"{mark} {label}", style)]


def _actions(view: IncidentView, ctx: RenderContext) -> Iterator[TableRow]:
    if not view.actions:
        return
    yield heading("done", f"ACTIONS {len(view.actions)}")
    for action in view.actions:
        mark, label, style = ctx.mark("action", action.state)
        when = ctx.hm(action.requested)
        yield joined_segments(
            ("run", action.run_id, action.key),
            [(f" {mark} ", style), (f"{when} {verb_label(action.verb)} {action.job} ", "plain"), (label, style),
             (f"  {action.text}", "dim"), (f"  {action.requested_by}", "dim")],
            pick=True,
        )  # fmt: skip


def _notified_lines(view: IncidentView, ctx: RenderContext, width: int) -> Iterator[TableRow]:
    """A row for each suppressed notification and each delivery: alert, route, outcome, detail."""
    yield heading("notified", f"NOTIFIED {len(view.deliveries)}", "" if view.deliveries else "none sent")
    suppressed = [entry for entry in view.suppressed if entry.is_listed]
    rows = [*map(suppressed_cells, suppressed), *(delivery_cells(delivery, ctx) for delivery in view.deliveries)]
    heads = aligned([cells[:-1] for cells in rows], width)
    for number, (head, (*_, detail)) in enumerate(zip(heads, rows, strict=True)):
        if fits := length_of([*head, detail]) < width - 4:
            head += [("  ", "plain"), detail]
        yield joined_segments(("notified", number), [("  ", "plain"), *head])
        if not fits:
            yield from _wrapped(("notified", number), *detail, width)


def _wrapped(key: tuple[str, int], content: str, style: str, width: int) -> Iterator[TableRow]:
    for place, text in enumerate(wrap(content, max(20, width - 4), max_lines=3, placeholder=" …")):
        yield joined_segments((*key, place), [(f"   {'  ' if place else ''}{text}", style)])


HANG = 4


def past_repair_lines(view: IncidentView, ctx: RenderContext) -> SegmentLines:
    known = list(_memory(view.memory, ctx)) if view.memory is not None and view.memory.seen else []
    return [*known, *_past_runs(view, ctx)]


def _memory(memory: FailureMemory, ctx: RenderContext) -> Iterator[list[Segment]]:
    """The repairs of earlier incidents with this failure, the best first."""
    last = f", last {ctx.stamp(memory.last_seen)}" if memory.last_seen is not None else ""
    yield [(" SAME FAILURE ", "key"), (memory.id, "dim"), (f" {memory.seen_text}{last}", "plain")]
    for record in memory.repairs:
        yield [(f"   {record.count_text}", "ok" if record.successes else "warn"), (f"  {record.rate_text}", "plain")]
    yield []


def _past_runs(view: IncidentView, ctx: RenderContext) -> SegmentLines:
    repairs = view.repairs
    if not repairs:
        outcomes = ((ctx.stamp(at), clean_line(render(why.text, ctx.zoned))) for at, why in view.seen_before)
        earlier = ([(f" {at} ", "dim"), (outcome, "plain")] for at, outcome in outcomes)
        return [[(" no earlier failure of its root cause", "dim")], *earlier]
    similar = sum(repair.same_error for repair in repairs)
    times = counted(len(repairs), "time") if len(repairs) > 1 else "once"
    same: Segment = (f", {'' if similar == len(repairs) else f'{similar} of them '}as now", "warn")
    if not similar:
        same = (", never with this error", "dim")
    lines: SegmentLines = [[(f" FAILED {times} before", "key"), same], *_repair_steps(repairs), []]
    for repair in repairs:
        lines += _repair(repair, ctx)
    return lines


def last_repair(view: IncidentView, ctx: RenderContext) -> str:
    if view.memory is not None and view.memory.repairs:
        return f"same failure: {view.memory.text}"
    if not view.repairs:
        if not view.seen_before:
            return ""
        (at, why), many = view.seen_before[0], len(view.seen_before)
        text = render(why.text, ctx.zoned)
    elif (newest := next((repair for repair in view.repairs if repair.how), None)) is None:
        return f"never repaired: {counted(len(view.repairs), 'earlier failure')}"
    else:
        at, text, many = newest.at, _outcome_text(newest), len(view.repairs)
    suffix = f", and {many - 1} more" if many > 1 else ""
    return f"last repair: {ctx.stamp(at)}, {clean_line(text)}{suffix}"


def _outcome_text(repair: PastRepair) -> str:
    """ "rerun by mara, green after 14m", "not repaired"."""
    if not repair.how:
        return "not repaired"
    return f"{repair.done}, green after {format_duration(repair.took_s)}" if repair.took_s is not None else repair.done


def _repair_steps(repairs: tuple[PastRepair, ...]) -> Iterator[list[Segment]]:
    for how, number, usual in repair_methods(repairs):
        took = f", usually green after {format_duration(usual)}" if usual is not None else ""
        yield [("   became green ", "dim"), (f"{number}x by {how}", "ok"), (took, "plain")]
    if never := sum(not repair.how for repair in repairs):
        yield [(f"   {never}x not repaired", "dim")]


def _repair(repair: PastRepair, ctx: RenderContext) -> Iterator[list[Segment]]:
    same_error: Segment = ("  same error", "warn") if repair.same_error else ("", "")
    yield [(f" {ctx.stamp(repair.at)} ", "dim"), (clean_line(repair.error) or "failed", "plain"), same_error]
    yield [(f"    {_outcome_text(repair)}", "ok" if repair.how else "dim")]
    if repair.note:
        yield [("    note: ", "dim"), (clean_line(repair.note), "strong")]
