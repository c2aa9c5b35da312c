"""Lineage as a drawing: its jobs, folds and labels, and the lines about the selected node. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from console.control.explain.lineage import LineageReach, blast_radius, runs_read_by_edge
from console.control.explain.lineage_layout import FOLDED, LayerPair, LayoutNode, LayoutRequest, LineageLayout, lay_out
from console.control.incidents.verdict.decision import job_label
from console.domain.dependency import LineageJob, LineageRun, RunInput
from console.domain.forecast import JobForecastView
from console.domain.service import ServiceView
from console.tui.frame.cells import RenderContext, act_by, counted
from console.tui.frame.clock_format import CyclicChoice, format_short
from console.tui.views.runs import forecast
from console.tui.views.runs.forecast import in_service
from console.tui.widgets.layered_drawing import LayeredDrawing, NodeSign
from console.tui.widgets.paint import Segment, length_of

Runs = Mapping[int, Sequence[LineageRun]]
Reading = Mapping[LayerPair, RunInput]
Ahead = Mapping[str, Sequence[JobForecastView]]


class LabelSize(StrEnum):
    """Content of the labels, the most first: the first size without cuts is drawn, else the last."""

    WHOLE = "whole"
    NAMED = "named"
    TERSE = "terse"
    """Also one figure a line, deadlines before names."""
    BRIEF = "brief"
    """Also of a run only its time: its mark has its state, the line below the drawing the rest."""


@dataclass(frozen=True, slots=True)
class NodeContext:
    """Everything that the labels of a drawing are made from."""

    reach: LineageReach
    ctx: RenderContext
    size: LabelSize
    reading: Reading
    runs: Runs | None
    ahead: Ahead
    delivers: Mapping[int, ServiceView | str]
    """Job -> the first service that it delivers; the name alone of a service without data."""
    lines: int


def node_label(spot: LayoutNode, context: NodeContext) -> NodeSign:
    jobs = [context.reach.view.jobs[job_id] for job_id in spot.jobs]
    if not jobs:
        return NodeSign((" ", "plain"), "", "plain")
    if spot.group or len(jobs) > 1:
        return _folded(spot, jobs, context.ctx)
    [job] = jobs
    style = "bad" if job in context.reach.causes else "strong" if job.name in context.reach.critical else "plain"
    is_brief = context.size is LabelSize.BRIEF
    text = job.name if context.size is LabelSize.WHOLE else job.name.partition("/")[2] or job.name
    text = job_label(job.name) if is_brief else text
    is_terse = is_brief or context.size is LabelSize.TERSE or context.lines <= 2
    status = _below(job, context.reading, context.runs, context.ctx, is_brief)
    promised = _promised(context.delivers[job.id], context.ctx, is_terse) if job.id in context.delivers else []
    [known, *_] = context.ahead.get(job.name) or (None,)
    ends = job.id in context.delivers
    figures = forecast.slack_segments(known, not is_terse, ends) if known is not None else []
    tail: Segment = ("", "plain")
    if known is not None and not known.has_failed and context.lines == 1:
        tail = (f" {forecast.slack_text(known)}", forecast.slack_style(known))
    parts = [part for part in (promised, *figures[:1], status) if part]
    parts += figures[1:][: max(0, context.lines - 1 - len(parts))]
    below = [list(part) for part in parts[: max(context.lines - 1, 0)]]
    for part in parts[len(below) :] if below else ():
        below[-1] += [("  ", "plain"), *part]  # surplus parts follow the last one
    return NodeSign(node_mark(job, context.ctx), text, style, below, tail)


def _promised(service: ServiceView | str, ctx: RenderContext, is_terse: bool) -> list[Segment]:
    """ "! Daily revenue 07:30", "! 07:30 Daily revenue": the delivered service, its state and deadline."""
    if isinstance(service, str):
        return [(f"delivers {service}", "key")]
    sign, _, style = ctx.status(service)
    due, name = ctx.due(service.deadline), service.title or service.name
    text = f" {due} {name}" if is_terse else f" {name} {due}"
    return [(sign, style), (text, style if style in ("bad", "warn") else "key")]


def node_mark(job: LineageJob, ctx: RenderContext) -> Segment:
    if not job.state:
        return " ", "dim"
    if job.stale_read and not job.is_red:
        return ctx.sign("stale"), "warn"
    sign, _, style = ctx.mark("state", job.state)
    return sign, "dim" if job.stale_since is not None and style == "ok" else style


def _age(job: LineageJob, ctx: RenderContext) -> list[Segment]:
    if job.stale_since is None:
        return []
    return [(f" {ctx.sign('unseen')} {format_short(ctx.now - job.stale_since)}", "warn")]


def _below(job: LineageJob, reading: Reading, runs: Runs | None, ctx: RenderContext, is_brief: bool) -> list[Segment]:
    """The second line: when and how it ran; by run, when it ran and what it read."""
    if runs is not None:
        run = next((candidate for candidate in runs.get(job.id, ()) if candidate.started is not None), None)
        if run is None:
            return [("has not run", "dim")]
        old = {read.business_date if read else "nothing" for (_, reader), (mine, read, _) in reading.items()
               if reader == job.id and (read is None or read.business_date != mine.business_date)}  # fmt: skip
        text = f"{ctx.day(run.started)}–{ctx.hm(run.ended) if run.ended else '…'}"
        return [(text, "dim"), (f" read {', '.join(sorted(old))}" if old else "", "warn")]
    if job.before or job.waits_for:
        return [*_ahead(job, ctx)[: 1 if is_brief else None], *_age(job, ctx)]
    if not job.state:
        return [("has not run", "dim")]
    _, label, _ = ctx.mark("state", job.state)
    at = ctx.day(job.at)
    if job.stale_read and not job.is_red:
        return [(f"{at} stale", "warn"), *_age(job, ctx)]
    if is_brief and job.at is not None and not job.is_red:
        label = ""
    return [(f"{at} {label}".rstrip(), "bad" if job.is_red else "dim"), *_age(job, ctx)]


def _ahead(job: LineageJob, ctx: RenderContext) -> list[Segment]:
    """The expected start, and dimmed the previous run: "due 04:00 (● Thu 04:12)", "held, due 04:00 (…)"; of a blocked
    job "due 04:00, waits for extract_orders"."""
    due = f"due {ctx.day(job.at)}" if job.at is not None else "planned" if job.before else "has not run"
    if job.waits_for:
        return [(due, "plain"), (f", waits for {job_label(job.waits_for)}", "warn")]
    _, label, _ = ctx.mark("state", job.state)
    was = ctx.mark("state", job.before)[0]
    expected = due if label == "planned" else f"{label}, {due}"
    return [(expected, "plain"), (f" ({was} {ctx.day(job.before_at)})", "dim")]


def _folded(spot: LayoutNode, jobs: Sequence[LineageJob], ctx: RenderContext) -> NodeSign:
    red = sum(job.is_red for job in jobs)
    ellipsis = "…" if not ctx.plain else "..."
    name = f"{ellipsis if spot.group == FOLDED else f'{spot.group}:'} {counted(len(jobs), 'job')}"
    states = Counter(job.state for job in jobs).most_common(3)
    counts = ", ".join(f"{n} {ctx.mark('state', state)[1] if state else 'not run'}" for state, n in states)
    sign: Segment = (ctx.mark("state", "failed")[0], "bad") if red else (ellipsis[0], "dim")
    return NodeSign(sign, f"{name}, {red} red" if red else name, "bad" if red else "dim", [[(counts, "dim")]])


def delivered_services(reach: LineageReach) -> dict[int, ServiceView | str]:
    """Job -> the first service that it delivers, by tier and name."""
    known = {service.name: service for service in reversed(reach.services)}
    first: dict[int, ServiceView | str] = {}
    for name, ends in reach.view.services.items():
        for end in ends:
            first.setdefault(end, known.get(name, name))
    return first


DEPTH = 3
MAX_NODES = 12
"""Nodes of a layer; Enter on a fold shows them all."""
WIDE = 110
"""Columns from which jobs show the name of their system, if that cuts nothing."""
LEAST = 20
NO_EDGES_TEXT: Ahead = MappingProxyType({})


class LineageFold(CyclicChoice):
    JOB = "job"
    SYSTEM = "system"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class LineageOptions:
    up: int = DEPTH
    down: int = DEPTH
    fold: LineageFold = LineageFold.JOB
    opened: frozenset[int] = frozenset()
    by_run: bool = False


@dataclass(frozen=True, slots=True)
class LineageDiagram:
    reach: LineageReach
    options: LineageOptions
    drawing: LayeredDrawing
    reading: Reading = field(default_factory=dict)
    runs: Runs | None = None
    ahead: Ahead = field(default_factory=dict)

    def jobs_below(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> steps away, of all jobs downstream of these."""
        steps_to: dict[int, int] = {}
        own = set(job_ids)
        for start in own:
            for job, steps in blast_radius(start, self.reach.below).items():
                if job not in own:
                    steps_to[job] = min(steps, steps_to.get(job, steps))
        return steps_to


def draw_lineage(
    reach: LineageReach,
    options: LineageOptions,
    ctx: RenderContext,
    size: tuple[int, int],
    runs: Runs | None = None,
    ahead: Ahead = NO_EDGES_TEXT,
) -> LineageDiagram:
    """Lays the graph out for `size` (columns, lines). `runs`: with them, which run read which. `ahead`: the job
    forecasts by name."""
    jobs, view = reach.view.jobs, reach.view
    causes = {cause.id for cause in reach.causes}
    lit = {job.id for job in jobs.values() if job.name in reach.critical}
    keep = {*lit, *causes, *(job.id for job in jobs.values() if job.is_red)}
    groups: Mapping[int, str] = {}
    if options.fold is LineageFold.SYSTEM:
        groups = {job.id: job.system for job in jobs.values()}
    elif options.fold is LineageFold.SERVICE:
        groups = reach.service_of
    request = LayoutRequest(view.job_id, options.up, options.down, MAX_NODES, options.opened, keep, groups)
    layout = lay_out(view.edges, request, order=lambda job: jobs[job].name)
    names = {job.id: job.name for job in jobs.values()}
    reading = runs_read_by_edge(view.edges, runs, names) if runs is not None else {}
    lines = spacing(layout, size[1], bool(ahead))
    context = NodeContext(reach, ctx, LabelSize.WHOLE, reading, runs, ahead, delivered_services(reach), lines)
    for label_size in list(LabelSize)[1:] if size[0] < WIDE else list(LabelSize)[:-1]:
        drawing = _drawing(layout, replace(context, size=label_size), size[0])
        if not drawing.is_cut:
            break
    return LineageDiagram(reach, options, drawing, reading, runs, ahead)


def _drawing(layout: LineageLayout, context: NodeContext, room: int) -> LayeredDrawing:
    labels = [node_label(spot, context) for spot in layout.spots]
    return LayeredDrawing(layout, labels, LEAST, context.lines, context.reach.critical_edges, context.ctx.plain, room)


def spacing(layout: LineageLayout, height: int, has_more: bool) -> int:
    """Lines of a row: name, state, with `has_more` the forecast, and the delivered service."""
    rows = max(spot.row for spot in layout.spots) + 1
    return next((lines for lines in (4, 3, 2) if rows * lines <= height and (lines < 4 or has_more)), 1)


def node_lines(
    shown: LineageDiagram, spot: LayoutNode, ctx: RenderContext, blast: bool, width: int, beside: int
) -> list[list[Segment]]:
    """Three lines of `width` about a node; the first one, which shares it with `beside` cells, without its previous run
    if that has no room."""
    jobs = [shown.reach.view.jobs[job] for job in spot.jobs]
    first = _name_line(jobs, shown, ctx)
    if length_of(first) > width - beside:
        first = [segment for segment in first if segment[1] != "dim"]
    below = shown.jobs_below(spot.jobs)
    if blast:
        systems = len({shown.reach.view.jobs[downstream].system for downstream in below})
        red = sum(shown.reach.view.jobs[downstream].is_red for downstream in below)
        text = f"{counted(len(below), 'job')} on {counted(systems, 'system')}"
        reds: Segment = (f", {red} red already" * bool(red), "bad")
        second: list[Segment] = [(" affects ", "warn"), (text, "strong"), reds]
    else:
        second = _next_to(jobs, shown, below)
    return [first, second, _services(shown, spot.jobs, below, ctx, width)]


def _name_line(jobs: Sequence[LineageJob], shown: LineageDiagram, ctx: RenderContext) -> list[Segment]:
    if len(jobs) != 1:
        names = ", ".join(job.name for job in jobs)
        return [(f" {counted(len(jobs), 'job')}: ", "strong"), (names, "plain")]
    [job] = jobs
    label = ctx.mark("state", job.state)[1] if job.state else "has not run"
    runs: list[Segment] = [(" ", "plain"), node_mark(job, ctx), (f" {job.name}", "strong")]
    if job.before or job.waits_for:
        due = f", due {ctx.day(job.at)}" if job.at is not None else ""
        runs.append((f"  {label}{due}", "plain"))
        if job.before:
            was = f"last {ctx.mark('state', job.before)[1]} {ctx.day(job.before_at)}"
            runs.append((f"  {was}", "dim"))
        if job.waits_for:
            runs.append((f"  waits for {job.waits_for}", "warn"))
        elif any(job.id in shown.jobs_below([cause.id]) for cause in shown.reach.causes):
            runs.append(("  its upstream is red", "warn"))
    else:
        at = f"  {label} {ctx.day(job.at)}" if job.state else f"  {label}"
        runs.append((at, "bad" * job.is_red or "dim"))
        if job.stale_read:
            runs.append((", read stale data", "warn"))
    if job.stale_since is not None:
        runs.append((f"  not seen for {format_short(ctx.now - job.stale_since)}", "warn"))
    if job in shown.reach.causes:
        runs.append(("  root cause", "bad"))
    elif job.name in shown.reach.critical:
        runs.append(("  on the critical path", "warn"))
    if any(job.id in pair for pair in shown.drawing.layout.loops):
        runs.append(("  part of a cycle: one edge is not drawn", "warn"))
    return runs


def _next_to(jobs: Sequence[LineageJob], shown: LineageDiagram, below: Mapping[int, int]) -> list[Segment]:
    """Upstream and downstream jobs; by run, the runs that it read."""
    ids = {job.id for job in jobs}
    names = shown.reach.view.jobs
    above = {upstream for job in ids for upstream in blast_radius(job, shown.reach.above)} - ids
    if shown.reading and len(ids) == 1:
        read_pairs = shown.reading.items()
        inputs = [(names[upstream].name, read) for (upstream, reader), read in read_pairs if reader in ids]
        if inputs:
            texts = (f"{name} of {pair.read.business_date}" if pair.read else f"nothing of {name}"
                     for name, pair in inputs)  # fmt: skip
            stale = any(run_input.reader.stale_read for _, run_input in inputs)
            reader = f" the run of {inputs[0][1].reader.business_date} read "
            runs: list[Segment] = [(reader, "dim"), (", ".join(texts), "plain")]
            runs += [("  too early: stale", "warn")] if stale else []
            return (
                runs if all(run_input.is_reported for _, run_input in inputs) else [*runs, ("  (by the times)", "dim")]
            )
    return [(f" {len(above)} upstream, {len(below)} downstream", "plain")]


def _services(
    shown: LineageDiagram, spot: Sequence[int], below: Iterable[int], ctx: RenderContext, width: int
) -> list[Segment]:
    """The dependent services that fit in `width`, and how many more; of one job with the forecast of each for it."""
    job_ids = {*spot, *below}
    ends = {name for name, jobs in shown.reach.view.services.items() if job_ids.intersection(jobs)}
    affected = [service for service in shown.reach.services if service.name in ends]
    if not affected:
        return [(" no service depends on it", "dim")]
    name = shown.reach.view.jobs[spot[0]].name if len(spot) == 1 else ""
    forecasts = {(view.name, view.business_date): view for view in shown.ahead.get(name, ())}
    delivers = [any(job in shown.reach.view.services[service.name] for job in spot) for service in affected]
    known = [forecasts.get((service.name, service.business_date)) for service in affected]
    whole = [_service(*subject, ctx) for subject in zip(affected, known, delivers, strict=True)]
    brief = [_service_due(service, ctx) for service in affected]
    for parts in (whole, [*whole[:1], *brief[1:]], brief):
        runs = _joined(parts)
        if length_of(runs) <= width:
            return runs
    hidden = 0
    while len(brief) > 1 and length_of(_joined(brief)) + len(f"  +{hidden} more") > width:
        brief.pop()
        hidden += 1
    return [*_joined(brief), (f"  +{hidden} more", "dim")]


def _joined(parts: Sequence[Sequence[Segment]]) -> list[Segment]:
    return [segment for at, part in enumerate(parts) for segment in (("   " if at else " ", "plain"), *part)]


def _service_due(service: ServiceView, ctx: RenderContext) -> list[Segment]:
    mark, _, style = ctx.status(service)
    due = f" {service.title or service.name} {ctx.due(service.deadline)}"
    data: Segment = (f" {service.data_text}" if service.data_text else "", "warn")
    return [(mark, style), (due, style if style in ("bad", "warn") else "plain"), data]


def _service(service: ServiceView, forecast: JobForecastView | None, ends: bool, ctx: RenderContext) -> list[Segment]:
    """`ends`: the node delivers it."""
    _, label, style = ctx.status(service)
    runs = [*_service_due(service, ctx), (f" {label}", style if style in ("bad", "warn") else "plain")]
    runs += in_service(forecast, ends) if forecast is not None else []
    if service.act_by is not None and service.delivered is None:
        when, urgent = act_by(service.act_by, ctx)
        runs += [(" act by ", "dim"), (when, urgent)]
    return runs


def overview_lines(layout: LineageLayout, here: LayoutNode, ctx: RenderContext) -> list[Segment]:
    counts = Counter(spot.layer for spot in layout.spots for _ in spot.jobs[:1])
    bars, most = ("123456789" if ctx.plain else "▁▂▃▄▅▆▇█"), max(counts.values())
    runs: list[Segment] = [(f" {layout.above} more ", "dim")] if layout.above else []
    for layer in sorted(counts):
        bar = bars[min(len(bars) - 1, counts[layer] * (len(bars) - 1) // most)]
        runs.append((bar, "here" if layer == here.layer else "strong" if layer == 0 else "dim"))
    return [*runs, (f" {layout.below} more ", "dim")] if layout.below else [*runs, (" ", "plain")]
