"""A service as a row, its forecast in one cell, and the few lines below the table. Pure; views in, cells out.

The forecast cell: the present at the left edge, the deadline always in the same place; a bar beyond it is late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from console.control.incidents.verdict.decision import cause_label
from console.domain.probability import format_percent, format_risk
from console.domain.reason import ForecastDistrusted, LaterRisk, NativeStart, Reason, reason_lines, reasons_text
from console.domain.service import (
    RepairCase,
    ServiceView,
    Timeliness,
    is_unverified,
    later_text,
    unverified_text,
    waits_for_polls,
)
from console.domain.text import Clock
from console.tui.frame.cells import RenderContext, act_by, counted
from console.tui.frame.clock_format import format_short, format_signed
from console.tui.frame.service_groups import cached_by_identity
from console.tui.widgets.paint import Segment, fit, length_of, line_breaks, one_line
from console.tui.widgets.table import NAME_FIRST, Column, TableRow, by_priority, cells_row, roomy

CELLS_BEFORE_DEADLINE = 0.7


def forecast_bar(view: ServiceView, ctx: RenderContext, width: int) -> Segment:
    """The bar in `width` cells, else the reason why not: when it was delivered, "no estimate", a dash."""
    if not view.is_promised:
        return ctx.sign("dash"), "dim"
    if view.delivered is not None:
        return f"at {ctx.hm(view.delivered)}", "dim"
    if view.expected is None:
        return "no estimate" if width > len("no estimate") else ctx.sign("dash"), "dim"
    style = ctx.mark("timeliness", view.timeliness)[2]
    return _bar_text(view, ctx, width), "plain" if view.timeliness == Timeliness.ON_TIME else style


def latest_finish(view: ServiceView) -> datetime | None:
    """The p95 of its finish; of an older store the p90."""
    return view.p95 or view.late or view.expected


def _bar_text(view: ServiceView, ctx: RenderContext, width: int) -> str:
    ahead, fan = ctx.sign("usual" if view.repair_case is RepairCase.USUAL else "ahead"), ctx.sign("fan")
    likely = max(view.expected or ctx.now, ctx.now)
    latest = max(latest_finish(view) or likely, likely)
    line = int(width * CELLS_BEFORE_DEADLINE) if view.deadline > ctx.now else 0
    start = min(ctx.now, view.deadline)
    scale = (view.deadline - ctx.now) / line if line else max(latest - start, timedelta(minutes=1)) / (width - 1)
    first, last = _bar_cell(likely - start, scale), _bar_cell(latest - start, scale)
    if line:  # on which side of the deadline a moment lies is never rounded
        first = min(first, line - 1) if likely <= view.deadline else max(first, line + 1)
        last = min(last, line - 1) if latest <= view.deadline else max(last, line + 1)
    least = 1 if view.repair_case is RepairCase.USUAL else 0  # the bar names its case
    cells = [ahead if cell < max(first, least) else fan if cell <= last else " " for cell in range(width)]
    cells[line] = ctx.sign("deadline")
    if last >= width:
        cells[-1] = ctx.sign("beyond")
    return "".join(cells)


def _bar_cell(after: timedelta, scale: timedelta) -> int:
    return int(after / scale) if scale > timedelta(0) else 0


WIDE, ROOMY, HUGE = 100, 102, 160
"""Widths of the list from which the cause is a sentence, and from which the forecast is longer."""
NAME, LONGEST = 14, 44
SERVICES = (
    Column("", 1, 1),
    Column("service", NAME, 1, flex=NAME_FIRST, most=34),
    Column("tier", 4, 5, right=True),
    Column("deadline", 8, 1),
    Column("left", 6, 4, right=True),
    Column("forecast", 9, 3, whole=14, whole_rank=6),
    Column("act by", 12, 1),
    Column("cause", 14, 2, flex=3, middle=True, whole=20, whole_rank=5),
    Column("status", 11, 1, whole=14, whole_rank=5),
    Column("who", 13, 7),
    Column("slack", 10, 8, right=True),
    Column("expected", 9, 9),
)
LEAST = 0.01
MOST = 0.99
"""No forecast is certain; the lines below show "over 99 %"."""


def columns(views: Sequence[ServiceView], width: int, by_tier: bool = False) -> tuple[Column, ...]:
    """The columns for that width, whatever their content: an incident moves none. On 80 columns the owner, "left" and
    "slack" have no room."""
    is_wide, most = width >= WIDE, max(NAME, min(service_context(views).longest_name, LONGEST))
    sizes = {"forecast": bar_cells(width), "who": 18 if width >= HUGE else 13}
    return tuple(
        column._replace(width=sizes.get(column.title, column.width), middle=column.middle and not is_wide)
        for column in roomy(by_priority(SERVICES, tier=0 if by_tier else 5), service=most)
    )


class ServiceContext(NamedTuple):
    has_reasons: bool
    """One has reasons to show."""
    longest_name: int


@cached_by_identity
def service_context(views: Sequence[ServiceView]) -> ServiceContext:
    """Of all rows, visible or not."""
    return ServiceContext(
        any(_shown_reasons(view) for view in views),
        max((length_of([(one_line(view.title or view.name), "")]) for view in views), default=NAME),
    )


def bar_cells(width: int) -> int:
    return 30 if width >= HUGE else 14 if width >= ROOMY else 9


def service_row(view: ServiceView, ctx: RenderContext, width: int, is_old: bool = False) -> TableRow:
    """A line of Services. `is_old`: nothing is monitored. A deadline with a plus
    was extended."""
    is_wide = width >= WIDE
    mark, label, style = ctx.status(view, is_old)
    dash: Segment = (ctx.sign("dash"), "dim")
    return cells_row(
        view.id,
        (mark, style),
        (view.title or view.name, "strong" if view.needs_a_person else "plain"),
        (str(view.tier), "dim"),
        deadline(view, ctx),
        time_left(view, ctx),
        forecast_bar(view, ctx, bar_cells(width)),
        act_by(view.act_by, ctx) if view.delivered is None else dash,
        _cause(view, ctx, is_wide),
        (f"{label}{_odds(view)}" if is_wide else f"{label}{_taken(view, ctx)}", style),
        _assigned_to(view, ctx, is_wide),
        _slack(view, ctx),
        (_with_case(view, ctx, ctx.hm(view.delivered or view.expected)), "dim"),
    )


def deadline(view: ServiceView, ctx: RenderContext) -> Segment:
    if not view.is_promised:
        return ctx.sign("dash"), "dim"
    extended = "+" if view.extension else ""
    if abs(view.deadline - ctx.now) >= timedelta(days=6):
        return f"{ctx.day(view.deadline)}{extended}", "plain"
    day, gap, shown = ctx.due(view.deadline).rpartition(" ")  # the column has no room for "Thu 18:00" or "Th 18:00+"
    return f"{day[:2]}{'' if extended else gap}{shown}{extended}", "plain"


def time_left(view: ServiceView, ctx: RenderContext) -> Segment:
    if not view.is_promised:
        return ctx.sign("dash"), "dim"
    if view.has_delivered:
        return (view.data_text, "warn") if view.data_text else ("done", "ok")
    return format_short(view.deadline - ctx.now), "plain" if view.deadline > ctx.now else "bad"


def cause_text(view: ServiceView, clock: Clock, name: str = "") -> str:
    name = name or view.cause.partition("/")[2] or view.cause
    if view.problem is None:
        return name
    return name + view.problem.rest(clock) if view.problem.subject == view.cause else view.problem.text(clock)


def _cause(view: ServiceView, ctx: RenderContext, is_wide: bool) -> Segment:
    if not view.is_promised:
        return reasons_text(view.reasons, ctx.zoned), "dim"
    if is_unverified(view):
        short = "paused" if waits_for_polls(view) else "unreachable"
        return unverified_text(view, ctx.zoned) if is_wide else short, "warn"
    if not view.cause and view.is_endangered and view.p_late is not None and view.delivered is None:
        return (reasons_text(view.reasons, ctx.zoned) if is_wide else "forecast"), "plain"
    if is_wide and not view.cause and view.problem is None and (later := later_text(view, ctx.zoned)):
        return later, "warn"
    short = cause_label(view.cause)
    if not is_wide and view.has_delivered and view.data_text:
        return f"{view.data_text}{short and f': {short}'}", "warn"
    return cause_text(view, ctx.zoned, short) if is_wide else short, "plain"


def _odds(view: ServiceView) -> str:
    """ " 61 %": the chance to be late, of an endangered service before its deadline; not the one after the usual
    repair, which the verdict next to it does not mean."""
    if view.risk is None or view.risk < LEAST or view.delivered is not None or not view.is_endangered:
        return ""
    return "" if view.repair_case is not None else f" {format_percent(min(view.risk, MOST))}"


def _taken(view: ServiceView, ctx: RenderContext) -> str:
    return f" {ctx.sign('taken')}" if view.acknowledged_by and view.is_endangered else ""


def service_reasons(view: ServiceView) -> tuple[Reason, ...]:
    """Its reasons; and why its forecast is unreliable."""
    if not view.unreliable_because or any(isinstance(reason, ForecastDistrusted) for reason in view.reasons):
        return view.reasons
    return *view.reasons, ForecastDistrusted(view.unreliable_because)


def evidence_text(sources: Sequence[Mapping[str, object]]) -> str:
    """Sources of a forecast other than the history: "2 of 5 jobs as declared"."""
    sources_used = [
        str(source.get("source", "")) for source in sources if source.get("source") not in ("history", "", None)
    ]
    if not sources_used:
        return ""
    labels = {"declared": "as declared", "peers": "from peer jobs", "none": "without an estimate"}
    text = ", ".join(dict.fromkeys(labels.get(name, name) for name in sorted(sources_used)))
    return f"{len(sources_used)} of {counted(len(sources), 'job')} {text}"


def _assigned_to(view: ServiceView, ctx: RenderContext, is_wide: bool) -> Segment:
    if not view.acknowledged_by:
        return view.owner if is_wide else "", "dim"
    until = f" {ctx.hm(view.acknowledged_until)}" if is_wide and view.acknowledged_until else ""
    return f"{ctx.sign('taken')} {view.acknowledged_by}{until}", "ok"


def _slack(view: ServiceView, ctx: RenderContext) -> Segment:
    slack = view.slack(ctx.now) if view.delivered is None and view.timeliness != Timeliness.NO_ESTIMATE else None
    if slack is None or view.expected is None:
        return ctx.sign("dash"), "dim"
    text = format_signed(slack)
    shown = text if view.can_act(ctx.now) else _with_case(view, ctx, text)
    return shown, "bad" if slack < timedelta(0) else "plain"


def _with_case(view: ServiceView, ctx: RenderContext, text: str) -> str:
    """A time or slack after the usual repair, with its sign."""
    return f"{ctx.sign('usual')}{text}" if view.repair_case is RepairCase.USUAL else text


DETAIL_LINES, REASON_LINES = 2, 2
"""Lines of the status and the people; and of the reasons."""


def service_detail(
    view: ServiceView, ctx: RenderContext, width: int, most: int = REASON_LINES, is_old: bool = False
) -> list[list[Segment]]:
    """Its status; the people and its cause; and its reasons in `most` lines."""
    people = _people(view, ctx)
    if cause := cause_text(view, ctx.zoned):
        people += [(f" {ctx.sign('dot')} ", "dim"), (cause, "bad" if view.is_endangered else "plain")]
    lines = [one_line(line) for line in reason_lines(_shown_reasons(view), ctx.zoned)]
    parts = _wrapped(lines, width)
    parts = parts if len(parts) <= most else [fit(line, width - 2).rstrip() for line in lines[:most]]
    return [
        _full_text(_status_lines(view, ctx, width < WIDE, is_old), width),
        people,
        *([(f" {part}", "plain")] for part in parts),
    ]


def _shown_reasons(view: ServiceView) -> tuple[Reason, ...]:
    """Its reasons; of one with an incident, whose page has them, the starts that limit the repair, and a later date in
    danger."""
    if view.incident_id is None:
        return service_reasons(view)
    return tuple(reason for reason in view.reasons if isinstance(reason, NativeStart | LaterRisk))


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    return [line[start:end].strip() for line in lines for start, end in line_breaks(line, width - 2)]


def _full_text(parts: Sequence[Sequence[Segment]], width: int) -> list[Segment]:
    segments = list(parts[0])
    for part in parts[1:]:
        if length_of([*segments, *part]) > width:
            break
        segments += part
    return segments


def _status_lines(view: ServiceView, ctx: RenderContext, is_narrow: bool, is_old: bool) -> list[list[Segment]]:
    """Parts in the order in which they have room. A narrow screen has the deadline in the row above alone."""
    mark, label, style = ctx.status(view, is_old)
    known: list[Segment] = []
    if view.is_promised and not is_narrow:
        at = f"{ctx.due(view.deadline)}{ctx.other_zone(view.deadline)}"
        known.append((f"due {at}", "plain"))
    if view.is_promised and view.delivered is not None:
        known.append((f"delivered {ctx.hm(view.delivered)}", "plain"))
    elif view.is_promised and view.expected is not None and not (view.has_plan and view.act_by is not None):
        expected = f"{f'{view.repair_case}:' if view.repair_case else 'expected'} {ctx.due(view.expected)}"
        latest = latest_finish(view)
        slip = f" to {ctx.due(latest)}" if latest and latest > view.expected else ""
        known.append((expected + slip, "plain"))
        if view.risk is not None and view.risk >= LEAST:
            known.append((format_risk(view.risk, is_narrow), style))
        if view.unreliable_because:
            known.append(("unreliable", "warn"))
        if text := evidence_text(view.sources):
            known.append((text, "warn"))
    known += [(f"tier {view.tier}", "dim"), (f"business date {view.business_date}", "dim")]
    dot: Segment = (f" {ctx.sign('dot')} ", "dim")
    return [
        [(f" {view.title or view.name}", "strong"), (f"  {mark} {label}", style)],
        *([dot, segment] for segment in known),
    ]


def _people(view: ServiceView, ctx: RenderContext) -> list[Segment]:
    runs: list[Segment] = [(f" service owner {view.owner}" if view.owner else " no service owner", "dim")]
    if view.extension and view.promised is not None:
        was = ctx.hm(view.promised)
        runs.append((f"  extended from {was} {view.extension}", "plain"))
    if view.acknowledged_by:
        until = f" until {ctx.hm(view.acknowledged_until)}" if view.acknowledged_until else ""
        return [*runs, (f"  {ctx.sign('taken')} acknowledged by {view.acknowledged_by}{until}", "ok")]
    if view.incident_id is not None and view.is_endangered:
        runs.append(("  unacknowledged", "warn"))
    return runs
