"""Lineage as a drawing: which jobs, how folded, what each node says, and the lines about the selected one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from console.control.explain.lineage import (
    FOLDED,
    LayerPair,
    LayoutNode,
    LayoutRequest,
    LineageLayout,
    LineageReach,
    blast_radius,
    lay_out,
    runs_read_by_edge,
)
from console.domain.dependency import LineageJob, LineageRun, RunInput
from console.domain.forecast import JobForecastView
from console.domain.service import ServiceView
from console.tui.frame.cells import RenderContext, act_by, counted
from console.tui.frame.clock_format import format_short
from console.tui.views.runs import forecast
from console.tui.views.runs.forecast import in_service
from console.tui.widgets.layered_drawing import LayeredDrawing, NodeSign
from console.tui.widgets.paint import Segment

Runs = Mapping[int, Sequence[LineageRun]]
Reading = Mapping[LayerPair, RunInput]
Ahead = Mapping[str, Sequence[JobForecastView]]
"""By job, the service day that leaves it least first."""


class LabelSize(StrEnum):
    """How much labels say, the most first: the largest of which nothing is cut is what is drawn, else the last."""

    WHOLE = "whole"
    NAMED = "named"
    """Jobs without their system."""
    TERSE = "terse"
    """Also one figure a line, deadlines before names."""


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What all labels of a drawing are made from."""

    found: LineageReach
    look: RenderContext
    size: LabelSize
    reading: Reading
    runs: Runs | None
    ahead: Ahead
    delivers: Mapping[int, ServiceView | str]
    """Job -> the first service that it delivers; the name alone of one of which nothing is told."""
    lines: int
    """Of a spot."""


def node_label(spot: LayoutNode, told: NodeContext) -> NodeSign:
    jobs = [told.found.view.jobs[job] for job in spot.jobs]
    if not jobs:
        return NodeSign((" ", "plain"), "", "plain")
    if spot.group or len(jobs) > 1:
        return _folded(spot, jobs, told.look)
    [one] = jobs
    style = "bad" if one in told.found.causes else "strong" if one.name in told.found.critical else "plain"
    text = one.name if told.size is LabelSize.WHOLE else one.name.partition("/")[2] or one.name
    is_terse = told.size is LabelSize.TERSE or told.lines <= 2
    status = _below(one, told.reading, told.runs, told.look)
    promised = _promised(told.delivers[one.id], told.look, is_terse) if one.id in told.delivers else []
    [known, *_] = told.ahead.get(one.name) or (None,)
    slack, *decides = forecast.slack_segments(known, not is_terse) if known is not None else ([],)
    tail: Segment = (
        (f" {forecast.slack_text(known)}", forecast.slack_style(known)) if known is not None else ("", "plain")
    )
    parts = [each for each in (promised, slack, status) if each]
    parts += decides[: max(0, told.lines - 1 - len(parts))]
    return NodeSign(node_mark(one, told.look), text, style, _in_lines(parts, told.lines - 1),
                tail if told.lines == 1 else ("", "plain"))  # fmt: skip


def _promised(service: ServiceView | str, look: RenderContext, is_terse: bool) -> list[Segment]:
    """ "! Daily revenue 07:30", "! 07:30 Daily revenue": what the job delivers, how that stands and by when."""
    if isinstance(service, str):
        return [(f"delivers {service}", "key")]
    sign, _, style = look.glyphs.mark("timeliness", service.timeliness)
    due, name = look.clock.hm(service.deadline, look.now, service.zone), service.title or service.name
    words = f" {due} {name}" if is_terse else f" {name} {due}"
    return [(sign, style), (words, style if style in ("bad", "warn") else "key")]


def _in_lines(parts: Sequence[list[Segment]], lines: int) -> list[list[Segment]]:
    """The parts one below the other; what is too much stands beside the last."""
    found = [list(part) for part in parts[: max(lines, 0)]]
    for part in parts[len(found) :] if found else ():
        found[-1] += [("  ", "plain"), *part]
    return found


def node_mark(one: LineageJob, look: RenderContext) -> Segment:
    if not one.state:
        return " ", "dim"
    sign, _, style = look.glyphs.mark("state", one.state)
    return sign, "dim" if one.stale_since is not None and style == "ok" else style


def _age(job: LineageJob, look: RenderContext) -> list[Segment]:
    """How old what is told of it is, where nobody sees its target; as in Jobs."""
    if job.stale_since is None:
        return []
    return [(f" {look.glyphs.sign('stale')} {format_short(look.now - job.stale_since)}", "warn")]


def _below(job: LineageJob, reading: Reading, runs: Runs | None, look: RenderContext) -> list[Segment]:
    """The second line: where it is, and how it went; by run, when it ran and what it read."""
    if runs is not None:
        run = next((each for each in runs.get(job.id, ()) if each.started is not None), None)
        if run is None:
            return [("has not run", "dim")]
        old = {read.business_date if read else "nothing" for (_, reader), (mine, read, _) in reading.items()
               if reader == job.id and (read is None or read.business_date != mine.business_date)}  # fmt: skip
        text = f"{look.clock.day(run.started, look.now)}–{look.clock.hm(run.ended, look.now) if run.ended else '…'}"
        return [(text, "dim"), (f" read {', '.join(sorted(old))}" if old else "", "warn")]
    if job.before or job.waits_for:
        return [*_ahead(job, look), *_age(job, look)]
    if not job.state:
        return [("has not run", "dim")]
    _, word, _ = look.glyphs.mark("state", job.state)
    at = look.clock.day(job.at, look.now)
    return [(f"{at} {word}", "bad" if job.is_red else "dim"), *_age(job, look)]


def _ahead(job: LineageJob, look: RenderContext) -> list[Segment]:
    """What is expected, and dimmed beside it how it went before: "due 04:00 (● Thu 04:12)", "held, due 04:00 (…)"; of
    what an incident keeps from starting "waits for extract_orders, due 04:00"."""
    due = f"due {look.clock.day(job.at, look.now)}" if job.at is not None else "has not run"
    if job.waits_for:
        return [(due, "plain"), (f", waits for {short_name(job.waits_for)}", "warn")]
    _, word, _ = look.glyphs.mark("state", job.state)
    was = look.glyphs.mark("state", job.before)[0]
    said = due if word == "planned" else f"{word}, {due}"
    return [(said, "plain"), (f" ({was} {look.clock.day(job.before_at, look.now)})", "dim")]


def short_name(job: str) -> str:
    """A job without its system and host: "extract_orders"."""
    return (job.partition("/")[2] or job).rpartition(":")[2]


def _folded(spot: LayoutNode, jobs: Sequence[LineageJob], look: RenderContext) -> NodeSign:
    """A spot of several: what it stands for, how many are red, the state that most have."""
    red = sum(job.is_red for job in jobs)
    more = "…" if not look.glyphs.plain else "..."
    name = (
        f"{more} {counted(len(jobs), 'job')}" if spot.group == FOLDED else f"{spot.group}: {counted(len(jobs), 'job')}"
    )
    states = Counter(job.state for job in jobs).most_common(3)
    words = ", ".join(f"{n} {look.glyphs.mark('state', state)[1] if state else 'not run'}" for state, n in states)
    sign: Segment = (look.glyphs.mark("state", "failed")[0], "bad") if red else (more[0], "dim")
    return NodeSign(sign, f"{name}, {red} red" if red else name, "bad" if red else "dim", [[(words, "dim")]])


def delivered_services(found: LineageReach) -> dict[int, ServiceView | str]:
    """Job -> the first service that it delivers, by tier and name."""
    known = {service.name: service for service in reversed(found.services)}
    told: dict[int, ServiceView | str] = {}
    for name, ends in found.view.services.items():
        for end in ends:
            told.setdefault(end, known.get(name, name))
    return told


DEPTH = 3
MAX_NODES = 12
"""Spots of a layer; Enter on what is folded shows them all."""
WIDE = 110
"""Columns from which jobs bear the name of their system, where that cuts nothing."""
LEAST = 20
"""Cells of a name before it is cut; what is wider than the screen is walked along."""
NO_EDGES_TEXT: Ahead = MappingProxyType({})


class LineageFold(StrEnum):
    """What is one spot; `z` turns to the next."""

    JOB = "job"
    SYSTEM = "system"
    SERVICE = "service"

    def next(self) -> LineageFold:
        folds = list(LineageFold)
        return folds[(folds.index(self) + 1) % len(folds)]


@dataclass(frozen=True, slots=True)
class LineageOptions:
    """How a person wants to see it."""

    up: int = DEPTH
    down: int = DEPTH
    fold: LineageFold = LineageFold.JOB
    opened: frozenset[int] = frozenset()
    by_run: bool = False


@dataclass(frozen=True, slots=True)
class LineageDiagram:
    """A lineage, drawn."""

    found: LineageReach
    options: LineageOptions
    drawing: LayeredDrawing
    reading: Reading = field(default_factory=dict)
    """Which run read which; empty unless that was asked for."""
    runs: Runs | None = None
    """The latest runs of each job; None unless that was asked for."""
    ahead: Ahead = field(default_factory=dict)
    """What the forecast leaves to each job."""

    def jobs_below(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> steps away, of all that these take with them."""
        found: dict[int, int] = {}
        own = set(job_ids)
        for each in own:
            for job, steps in blast_radius(each, self.found.below).items():
                if job not in own:
                    found[job] = min(steps, found.get(job, steps))
        return found


def draw_lineage(
    found: LineageReach,
    options: LineageOptions,
    look: RenderContext,
    size: tuple[int, int],
    runs: Runs | None = None,
    ahead: Ahead = NO_EDGES_TEXT,
) -> LineageDiagram:
    """Lays it out for so many columns and lines. `runs`: with them, which run read which. `ahead`: what the forecast
    leaves to each job, by its name."""
    jobs, view = found.view.jobs, found.view
    causes = {cause.id for cause in found.causes}
    lit = {job.id for job in jobs.values() if job.name in found.critical}
    keep = {*lit, *causes, *(job.id for job in jobs.values() if job.is_red)}
    groups: Mapping[int, str] = {}
    if options.fold is LineageFold.SYSTEM:
        groups = {job.id: job.system for job in jobs.values()}
    elif options.fold is LineageFold.SERVICE:
        groups = found.service_of
    wanted = LayoutRequest(view.job_id, options.up, options.down, MAX_NODES, options.opened, keep, groups)
    layout = lay_out(view.edges, wanted, order=lambda job: jobs[job].name)
    reading = (
        runs_read_by_edge(view.edges, runs, {job.id: job.name for job in jobs.values()}) if runs is not None else {}
    )
    lines = spacing(layout, size[1], bool(ahead))
    told = NodeContext(found, look, LabelSize.WHOLE, reading, runs, ahead, delivered_services(found), lines)
    for told_size in list(LabelSize)[size[0] < WIDE :]:
        drawing = _drawing(layout, replace(told, size=told_size), size[0])
        if not drawing.is_cut:
            break
    return LineageDiagram(found, options, drawing, reading, runs, ahead)


def _drawing(layout: LineageLayout, told: NodeContext, room: int) -> LayeredDrawing:
    labels = [node_label(spot, told) for spot in layout.spots]
    return LayeredDrawing(layout, labels, LEAST, told.lines, told.found.critical_edges, told.look.glyphs.plain, room)


def spacing(layout: LineageLayout, height: int, has_more: bool) -> int:
    """Lines of a row: its name, how it stands, where there `has_more` what the forecast leaves it, and the service that
    it delivers."""
    rows = max(spot.row for spot in layout.spots) + 1
    return next((lines for lines in (4, 3, 2) if rows * lines <= height and (lines < 4 or has_more)), 1)


def node_lines(shown: LineageDiagram, spot: LayoutNode, look: RenderContext, blast: bool) -> list[list[Segment]]:
    """Three lines: what it is, whom it hangs together with, which services wait for it."""
    jobs = [shown.found.view.jobs[job] for job in spot.jobs]
    first = _name_line(jobs, shown, look)
    below = shown.jobs_below(spot.jobs)
    if blast:
        systems = len({shown.found.view.jobs[each].system for each in below})
        red = sum(shown.found.view.jobs[each].is_red for each in below)
        text = f"{counted(len(below), 'job')} on {counted(systems, 'system')}"
        second: list[Segment] = [
            (" takes with it ", "warn"),
            (text, "strong"),
            (f", {red} red already" * bool(red), "bad"),
        ]
    else:
        second = _next_to(jobs, shown, below)
    return [first, second, _services(shown, spot.jobs, below, look)]


def _name_line(jobs: Sequence[LineageJob], shown: LineageDiagram, look: RenderContext) -> list[Segment]:
    if len(jobs) != 1:
        names = ", ".join(job.name for job in jobs)
        return [(f" {counted(len(jobs), 'job')}: ", "strong"), (names, "plain")]
    [one] = jobs
    word = look.glyphs.mark("state", one.state)[1] if one.state else "has not run"
    runs: list[Segment] = [(" ", "plain"), node_mark(one, look), (f" {one.name}", "strong")]
    if one.before or one.waits_for:
        due = f", due {look.clock.day(one.at, look.now)}" if one.at is not None else ""
        runs.append((f"  {word}{due}", "plain"))
        if one.before:
            was = f"last {look.glyphs.mark('state', one.before)[1]} {look.clock.day(one.before_at, look.now)}"
            runs.append((f"  {was}", "dim"))
        if one.waits_for:
            runs.append((f"  waits for {one.waits_for}", "warn"))
        elif any(one.id in shown.jobs_below([cause.id]) for cause in shown.found.causes):
            runs.append(("  its upstream is red", "warn"))
    else:
        at = f"  {word} {look.clock.day(one.at, look.now)}" if one.state else f"  {word}"
        runs.append((at, "bad" * one.is_red or "dim"))
    if one.stale_since is not None:
        runs.append((f"  not seen for {format_short(look.now - one.stale_since)}", "warn"))
    if one in shown.found.causes:
        runs.append(("  root cause", "bad"))
    elif one.name in shown.found.critical:
        runs.append(("  on the critical path", "warn"))
    if any(one.id in pair for pair in shown.drawing.layout.loops):
        runs.append(("  part of a cycle: one edge is not drawn", "warn"))
    return runs


def _next_to(jobs: Sequence[LineageJob], shown: LineageDiagram, below: Mapping[int, int]) -> list[Segment]:
    """What it reads and feeds; by run, which runs it read."""
    ids = {job.id for job in jobs}
    names = shown.found.view.jobs
    above = {blast_radiu for job in ids for blast_radiu in blast_radius(job, shown.found.above)} - ids
    if shown.reading and len(ids) == 1:
        told = [(names[upstream].name, one) for (upstream, reader), one in shown.reading.items() if reader in ids]
        if told:
            words = (f"{name} of {one.read.business_date}" if one.read else f"nothing of {name}" for name, one in told)
            stale = any(one.reader.stale_read for _, one in told)
            reader = f" the run of {told[0][1].reader.business_date} read "
            runs: list[Segment] = [(reader, "dim"), (", ".join(words), "plain")]
            runs += [("  too early: stale", "warn")] if stale else []
            return runs if all(one.is_told for _, one in told) else [*runs, ("  (by the times)", "dim")]
    direct = [names[each].name for job in ids for each in shown.found.above(job)]
    feeds = [names[each].name for job in ids for each in shown.found.below(job)]
    return [
        (f" reads {len(above)}: ", "dim"), (", ".join(direct[:3]) or "nothing", "plain"),
        (f"   feeds {len(below)}: ", "dim"), (", ".join(feeds[:3]) or "nothing", "plain"),
    ]  # fmt: skip


def _services(shown: LineageDiagram, spot: Sequence[int], below: Iterable[int], look: RenderContext) -> list[Segment]:
    """Which services wait for it; of one job what the forecast of each leaves to it."""
    job_ids = {*spot, *below}
    ends = {name for name, those in shown.found.view.services.items() if job_ids.intersection(those)}
    hurt = [service for service in shown.found.services if service.name in ends]
    if not hurt:
        return [(" no service depends on it", "dim")]
    name = shown.found.view.jobs[spot[0]].name if len(spot) == 1 else ""
    left = {(one.name, one.business_date): one for one in shown.ahead.get(name, ())}
    runs: list[Segment] = [(" ", "plain")]
    for one in hurt:
        runs += [*_service(one, left.get((one.name, one.business_date)), look), ("   ", "plain")]
    return runs


def _service(service: ServiceView, left: JobForecastView | None, look: RenderContext) -> list[Segment]:
    mark, word, style = look.glyphs.mark("timeliness", service.timeliness)
    due = f" {service.title or service.name} {look.clock.hm(service.deadline, look.now, service.zone)} {word}"
    runs: list[Segment] = [(mark, style), (due, style if style in ("bad", "warn") else "plain")]
    runs += in_service(left) if left is not None else []
    if service.act_by is not None and service.delivered is None:
        when, urgent = act_by(service.act_by, look, service.zone)
        runs += [(" act by ", "dim"), (when, urgent)]
    return runs


def overview_lines(layout: LineageLayout, here: LayoutNode, look: RenderContext) -> list[Segment]:
    """A map in one line: how full each layer is, and in which one the cursor stands."""
    counts = Counter(spot.layer for spot in layout.spots for _ in spot.jobs[:1])
    bars, most = ("123456789" if look.glyphs.plain else "▁▂▃▄▅▆▇█"), max(counts.values())
    runs: list[Segment] = [(f" {layout.above} more ", "dim")] if layout.above else []
    for layer in sorted(counts):
        bar = bars[min(len(bars) - 1, counts[layer] * (len(bars) - 1) // most)]
        runs.append((bar, "here" if layer == here.layer else "strong" if layer == 0 else "dim"))
    return [*runs, (f" {layout.below} more ", "dim")] if layout.below else [*runs, (" ", "plain")]
