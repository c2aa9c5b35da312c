"""Lineage as a drawing: which jobs, folded how, what their labels say, and the lines that tell of one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from console.control.layering import REST, Layout, Pair, Spot, Wanted, lay_out
from console.control.lineage import blast_radius, which_read
from console.control.reach import Reach
from console.model.views import ServiceView
from console.model.views.lineage import LineageJob, LineageRun, Read
from console.tui.cells import Look, act_by, counted
from console.tui.graph import Drawing, Sign
from console.tui.when import short
from console.tui.widgets.paint import Run

DEPTH = 3
MOST = 12
"""Spots of a layer; Enter on what is folded shows them all."""
WIDE = 110
Runs = Mapping[int, Sequence[LineageRun]]
Reading = Mapping[Pair, Read]


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

    def jobs_below(self, job_ids: Iterable[int]) -> dict[int, int]:
        """Job -> steps away, of all that these take with them."""
        found: dict[int, int] = {}
        own = set(job_ids)
        for each in own:
            for job, steps in blast_radius(each, self.found.below).items():
                if job not in own:
                    found[job] = min(steps, found.get(job, steps))
        return found


def draw(found: Reach, options: Options, look: Look, size: tuple[int, int], runs: Runs | None = None) -> Shown:
    """Lays it out for so many columns and lines. `runs`: with them, which run read which."""
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
    tall = (max(spot.row for spot in layout.spots) + 1) * 2 <= size[1]
    labels = [_label(spot, found, reading, runs, look, size[0] >= WIDE) for spot in layout.spots]
    widest = max(18, (size[0] - 16) // 3)

    drawing = Drawing(layout, labels, widest, 2 if tall else 1, found.critical_edges, look.glyphs.plain, size[0])
    return Shown(found, options, drawing, reading, runs)


def _label(spot: Spot, found: Reach, reading: Reading, runs: Runs | None, look: Look, wide: bool) -> Sign:
    jobs = [found.view.jobs[each] for each in spot.jobs]
    if not jobs:
        return Sign((" ", "plain"), "", "plain")
    if spot.group or len(jobs) > 1:
        return _folded(spot, jobs, look)
    [one] = jobs
    style = "bad" if one in found.causes else "strong" if one.name in found.critical else "plain"
    text = one.name if wide else one.name.partition("/")[2] or one.name
    ends = [name for name, those in found.view.services.items() if one.id in those]
    due = {each.name: look.clock.hm(each.deadline, look.now, each.zone) for each in found.services}
    delivers: list[Run] = [(f" delivers {name} {due.get(name, '')}".rstrip(), "key") for name in ends[:1]]
    return Sign(_mark(one, look), text, style, [*_below(one, reading, runs, look, wide), *delivers])


def _mark(one: LineageJob, look: Look) -> Run:
    if not one.state:
        return " ", "dim"
    mark, _, style = look.glyphs.mark("state", one.state)
    return mark, "dim" if one.stale_since is not None and style == "ok" else style


def _age(one: LineageJob, look: Look) -> list[Run]:
    """How old what is told of it is, where nobody sees its target; as in Jobs."""
    if one.stale_since is None:
        return []
    return [(f" {look.glyphs.sign('stale')} {short(look.now - one.stale_since)}", "warn")]


def _below(one: LineageJob, reading: Reading, runs: Runs | None, look: Look, wide: bool) -> list[Run]:
    """The second line: where it is, and how it went; by run, when it ran and what it read."""
    if runs is not None:
        run = next((each for each in runs.get(one.id, ()) if each.started is not None), None)
        if run is None:
            return [("has not run", "dim")]
        old = {read.bd if read else "nothing" for (_, reader), (mine, read, _) in reading.items()
               if reader == one.id and (read is None or read.bd != mine.bd)}  # fmt: skip
        words = f"{look.clock.day(run.started, look.now)}–{look.clock.hm(run.ended, look.now) if run.ended else '…'}"
        return [(words, "dim"), (f" read {', '.join(sorted(old))}" if old else "", "warn")]
    if one.before or one.waits_for:
        return [*_ahead(one, look), *_age(one, look)]
    if not one.state:
        return [("has not run", "dim")]
    _, word, _ = look.glyphs.mark("state", one.state)
    said = word if wide else one.system
    return [(f"{said} {look.clock.day(one.at, look.now)}", "bad" if one.is_red else "dim"), *_age(one, look)]


def _ahead(one: LineageJob, look: Look) -> list[Run]:
    """What is expected, and dimmed beside it how it went before: "due 04:00 (● Thu 04:12)", "held, due 04:00 (…)"; of
    what an incident keeps from starting "waits for extract_orders, due 04:00"."""
    due = f"due {look.clock.day(one.at, look.now)}" if one.at is not None else "has not run"
    if one.waits_for:
        return [(f"waits for {short_name(one.waits_for)}", "warn"), (f", {due}", "dim")]
    _, word, _ = look.glyphs.mark("state", one.state)
    mark = look.glyphs.mark("state", one.before)[0]
    said = due if word == "planned" else f"{word}, {due}"
    return [(said, "plain"), (f" ({mark} {look.clock.day(one.before_at, look.now)})", "dim")]


def short_name(job: str) -> str:
    """A job without its system and host: "extract_orders"."""
    return (job.partition("/")[2] or job).rpartition(":")[2]


def _folded(spot: Spot, jobs: Sequence[LineageJob], look: Look) -> Sign:
    """A spot of several: what it stands for, how many are red, the state that most have."""
    red = sum(one.is_red for one in jobs)
    more = "…" if not look.glyphs.plain else "..."
    name = f"{more} {counted(len(jobs), 'job')}" if spot.group == REST else f"{spot.group}: {counted(len(jobs), 'job')}"
    states = Counter(look.glyphs.mark("state", one.state)[1] if one.state else "not run" for one in jobs)
    words = ", ".join(f"{number} {state}" for state, number in states.most_common(3))
    mark: Run = (look.glyphs.mark("state", "failed")[0], "bad") if red else (more[0], "dim")
    return Sign(mark, f"{name}, {red} red" if red else name, "bad" if red else "dim", [(words, "dim")])


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
    return [first, second, _services(shown, {*spot.jobs, *below}, look)]


def _name_line(jobs: Sequence[LineageJob], shown: Shown, look: Look) -> list[Run]:
    if len(jobs) != 1:
        names = ", ".join(one.name for one in jobs)
        return [(f" {counted(len(jobs), 'job')}: ", "strong"), (names, "plain")]
    [one] = jobs
    word = look.glyphs.mark("state", one.state)[1] if one.state else "has not run"
    runs: list[Run] = [(" ", "plain"), _mark(one, look), (f" {one.name}", "strong")]
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


def _services(shown: Shown, job_ids: set[int], look: Look) -> list[Run]:
    ends = {name for name, those in shown.found.view.services.items() if job_ids.intersection(those)}
    hurt = [one for one in shown.found.services if one.name in ends]
    if not hurt:
        return [(" no service waits for it", "dim")]
    runs: list[Run] = [(" services ", "dim")]
    for one in hurt:
        runs += [*_service(one, look), ("   ", "plain")]
    return runs


def _service(one: ServiceView, look: Look) -> list[Run]:
    mark, word, style = look.glyphs.mark("timeliness", one.timeliness)
    due = f" {one.title or one.name} {look.clock.hm(one.deadline, look.now, one.zone)} {word}"
    runs: list[Run] = [(mark, style), (due, style if style in ("bad", "warn") else "plain")]
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
