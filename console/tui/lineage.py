"""Lineage as a drawing: which jobs, folded how, what their labels say, and the lines that tell of one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from console.control.layering import Layout, Spot, Wanted, lay_out
from console.control.lineage import blast_radius, which_read
from console.control.reach import Reach
from console.model.views import ServiceView
from console.model.views.ahead import JobAheadView
from console.model.views.lineage import LineageJob
from console.tui.ahead import in_service
from console.tui.cells import Look, act_by, counted
from console.tui.graph import Drawing
from console.tui.spots import Ahead, Reading, Runs, Size, Told, delivers, label, mark
from console.tui.when import short
from console.tui.widgets.paint import Run

DEPTH = 3
MOST = 12
"""Spots of a layer; Enter on what is folded shows them all."""
WIDE = 110
"""Columns from which jobs bear the name of their system, where that cuts nothing."""
LEAST = 20
"""Cells of a name before it is cut; what is wider than the screen is walked along."""
NOTHING: Ahead = MappingProxyType({})


class Fold(StrEnum):
    """What is one spot; `z` turns to the next."""

    JOB = "job"
    SYSTEM = "system"
    SERVICE = "service"

    def next(self) -> Fold:
        folds = list(Fold)
        return folds[(folds.index(self) + 1) % len(folds)]


@dataclass(frozen=True, slots=True)
class Options:
    """How a person wants to see it."""

    up: int = DEPTH
    down: int = DEPTH
    fold: Fold = Fold.JOB
    opened: frozenset[int] = frozenset()
    by_run: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A lineage, drawn."""

    found: Reach
    options: Options
    drawing: Drawing
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


def draw(
    found: Reach, options: Options, look: Look, size: tuple[int, int], runs: Runs | None = None, ahead: Ahead = NOTHING
) -> Shown:
    """Lays it out for so many columns and lines. `runs`: with them, which run read which. `ahead`: what the forecast
    leaves to each job, by its name."""
    jobs, view = found.view.jobs, found.view
    causes = {one.id for one in found.causes}
    lit = {job.id for job in jobs.values() if job.name in found.critical}
    keep = {*lit, *causes, *(job.id for job in jobs.values() if job.is_red)}
    groups: Mapping[int, str] = {}
    if options.fold is Fold.SYSTEM:
        groups = {job.id: job.system for job in jobs.values()}
    elif options.fold is Fold.SERVICE:
        groups = found.service_of
    wanted = Wanted(view.job_id, options.up, options.down, MOST, options.opened, keep, groups)
    layout = lay_out(view.edges, wanted, order=lambda job: jobs[job].name)
    reading = which_read(view.edges, runs, {job.id: job.name for job in jobs.values()}) if runs is not None else {}
    lines = spacing(layout, size[1], bool(ahead))
    told = Told(found, look, Size.WHOLE, reading, runs, ahead, delivers(found), lines)
    for told_size in list(Size)[size[0] < WIDE :]:
        drawing = _drawing(layout, replace(told, size=told_size), size[0])
        if not drawing.is_cut:
            break
    return Shown(found, options, drawing, reading, runs, ahead)


def _drawing(layout: Layout, told: Told, room: int) -> Drawing:
    labels = [label(spot, told) for spot in layout.spots]
    return Drawing(layout, labels, LEAST, told.lines, told.found.critical_edges, told.look.glyphs.plain, room)


def spacing(layout: Layout, height: int, has_more: bool) -> int:
    """Lines of a row: its name, how it stands, where there `has_more` what the forecast leaves it, and the service that
    it delivers."""
    rows = max(spot.row for spot in layout.spots) + 1
    return next((lines for lines in (4, 3, 2) if rows * lines <= height and (lines < 4 or has_more)), 1)


# the lines that tell of the spot under the cursor


def facts(shown: Shown, spot: Spot, look: Look, blast: bool) -> list[list[Run]]:
    """Three lines: what it is, whom it hangs together with, which services wait for it."""
    jobs = [shown.found.view.jobs[each] for each in spot.jobs]
    first = _name_line(jobs, shown, look)
    below = shown.jobs_below(spot.jobs)
    if blast:
        systems = len({shown.found.view.jobs[each].system for each in below})
        red = sum(shown.found.view.jobs[each].is_red for each in below)
        words = f"{counted(len(below), 'job')} on {counted(systems, 'system')}"
        second: list[Run] = [
            (" takes with it ", "warn"),
            (words, "strong"),
            (f", {red} red already" * bool(red), "bad"),
        ]
    else:
        second = _next_to(jobs, shown, below)
    return [first, second, _services(shown, spot.jobs, below, look)]


def _name_line(jobs: Sequence[LineageJob], shown: Shown, look: Look) -> list[Run]:
    if len(jobs) != 1:
        names = ", ".join(one.name for one in jobs)
        return [(f" {counted(len(jobs), 'job')}: ", "strong"), (names, "plain")]
    [one] = jobs
    word = look.glyphs.mark("state", one.state)[1] if one.state else "has not run"
    runs: list[Run] = [(" ", "plain"), mark(one, look), (f" {one.name}", "strong")]
    if one.before or one.waits_for:
        due = f", due {look.clock.day(one.at, look.now)}" if one.at is not None else ""
        runs.append((f"  {word}{due}", "plain"))
        if one.before:
            was = f"last {look.glyphs.mark('state', one.before)[1]} {look.clock.day(one.before_at, look.now)}"
            runs.append((f"  {was}", "dim"))
        if one.waits_for:
            runs.append((f"  waits for {one.waits_for}", "warn"))
        elif any(one.id in shown.jobs_below([cause.id]) for cause in shown.found.causes):
            runs.append(("  what it hangs on is red", "warn"))
    else:
        at = f"  {word} {look.clock.day(one.at, look.now)}" if one.state else f"  {word}"
        runs.append((at, "bad" * one.is_red or "dim"))
    if one.stale_since is not None:
        runs.append((f"  not seen for {short(look.now - one.stale_since)}", "warn"))
    if one in shown.found.causes:
        runs.append(("  root cause", "bad"))
    elif one.name in shown.found.critical:
        runs.append(("  on the critical path", "warn"))
    if any(one.id in pair for pair in shown.drawing.layout.loops):
        runs.append(("  part of a circle: one edge of it is not drawn", "warn"))
    return runs


def _next_to(jobs: Sequence[LineageJob], shown: Shown, below: Mapping[int, int]) -> list[Run]:
    """What it reads and feeds; by run, which runs it read."""
    ids = {one.id for one in jobs}
    names = shown.found.view.jobs
    above = {each for job in ids for each in blast_radius(job, shown.found.above)} - ids
    if shown.reading and len(ids) == 1:
        told = [(names[upstream].name, one) for (upstream, reader), one in shown.reading.items() if reader in ids]
        if told:
            words = (f"{name} of {one.read.bd}" if one.read else f"nothing of {name}" for name, one in told)
            stale = any(one.reader.stale_read for _, one in told)
            runs: list[Run] = [(f" the run of {told[0][1].reader.bd} read ", "dim"), (", ".join(words), "plain")]
            runs += [("  too early: stale", "warn")] if stale else []
            return runs if all(one.is_told for _, one in told) else [*runs, ("  (by the times)", "dim")]
    direct = [names[each].name for job in ids for each in shown.found.above(job)]
    feeds = [names[each].name for job in ids for each in shown.found.below(job)]
    return [
        (f" reads {len(above)}: ", "dim"), (", ".join(direct[:3]) or "nothing", "plain"),
        (f"   feeds {len(below)}: ", "dim"), (", ".join(feeds[:3]) or "nothing", "plain"),
    ]  # fmt: skip


def _services(shown: Shown, spot: Sequence[int], below: Iterable[int], look: Look) -> list[Run]:
    """Which services wait for it; of one job what the forecast of each leaves to it."""
    job_ids = {*spot, *below}
    ends = {name for name, those in shown.found.view.services.items() if job_ids.intersection(those)}
    hurt = [one for one in shown.found.services if one.name in ends]
    if not hurt:
        return [(" no service waits for it", "dim")]
    name = shown.found.view.jobs[spot[0]].name if len(spot) == 1 else ""
    left = {(one.name, one.bd): one for one in shown.ahead.get(name, ())}
    runs: list[Run] = [(" ", "plain")]
    for one in hurt:
        runs += [*_service(one, left.get((one.name, one.bd)), look), ("   ", "plain")]
    return runs


def _service(one: ServiceView, left: JobAheadView | None, look: Look) -> list[Run]:
    mark, word, style = look.glyphs.mark("timeliness", one.timeliness)
    due = f" {one.title or one.name} {look.clock.hm(one.deadline, look.now, one.zone)} {word}"
    runs: list[Run] = [(mark, style), (due, style if style in ("bad", "warn") else "plain")]
    runs += in_service(left) if left is not None else []
    if one.act_by is not None and one.delivered is None:
        when, urgent = act_by(one.act_by, look, one.zone)
        runs += [(" act by ", "dim"), (when, urgent)]
    return runs


def overview(layout: Layout, here: Spot, look: Look) -> list[Run]:
    """A map in one line: how full each layer is, and in which one the cursor stands."""
    counts = Counter(spot.layer for spot in layout.spots for _ in spot.jobs[:1])
    bars, most = ("123456789" if look.glyphs.plain else "▁▂▃▄▅▆▇█"), max(counts.values())
    runs: list[Run] = [(f" {layout.above} more ", "dim")] if layout.above else []
    for layer in sorted(counts):
        bar = bars[min(len(bars) - 1, counts[layer] * (len(bars) - 1) // most)]
        runs.append((bar, "here" if layer == here.layer else "strong" if layer == 0 else "dim"))
    return [*runs, (f" {layout.below} more ", "dim")] if layout.below else [*runs, (" ", "plain")]
