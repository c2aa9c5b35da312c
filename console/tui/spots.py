"""What a spot of Lineage says: the job's mark and name, how it stands, what the forecast leaves to it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from console.control.layering import REST, Pair, Spot
from console.control.reach import Reach
from console.model.views import ServiceView
from console.model.views.ahead import JobAheadView
from console.model.views.lineage import LineageJob, LineageRun, Read
from console.tui import ahead
from console.tui.cells import Look, counted
from console.tui.graph import Sign
from console.tui.when import short
from console.tui.widgets.paint import Run

Runs = Mapping[int, Sequence[LineageRun]]
Reading = Mapping[Pair, Read]
Ahead = Mapping[str, Sequence[JobAheadView]]
"""By job, the service day that leaves it least first."""


class Size(StrEnum):
    """How much labels say, the most first: the largest of which nothing is cut is what is drawn, else the last."""

    WHOLE = "whole"
    NAMED = "named"
    """Jobs without their system."""
    TERSE = "terse"
    """Also one figure a line, deadlines before names."""


@dataclass(frozen=True, slots=True)
class Told:
    """What all labels of a drawing are made from."""

    found: Reach
    look: Look
    size: Size
    reading: Reading
    runs: Runs | None
    ahead: Ahead
    delivers: Mapping[int, ServiceView | str]
    """Job -> the first service that it delivers; the name alone of one of which nothing is told."""
    lines: int
    """Of a spot."""


def label(spot: Spot, told: Told) -> Sign:
    jobs = [told.found.view.jobs[each] for each in spot.jobs]
    if not jobs:
        return Sign((" ", "plain"), "", "plain")
    if spot.group or len(jobs) > 1:
        return _folded(spot, jobs, told.look)
    [one] = jobs
    style = "bad" if one in told.found.causes else "strong" if one.name in told.found.critical else "plain"
    text = one.name if told.size is Size.WHOLE else one.name.partition("/")[2] or one.name
    is_terse = told.size is Size.TERSE or told.lines <= 2
    status = _below(one, told.reading, told.runs, told.look)
    promised = _promised(told.delivers[one.id], told.look, is_terse) if one.id in told.delivers else []
    [known, *_] = told.ahead.get(one.name) or (None,)
    slack, *decides = ahead.beside(known, not is_terse) if known is not None else ([],)
    tail: Run = (f" {ahead.slack_words(known)}", ahead.style(known)) if known is not None else ("", "plain")
    parts = [each for each in (promised, slack, status) if each]
    parts += decides[: max(0, told.lines - 1 - len(parts))]
    return Sign(mark(one, told.look), text, style, _in_lines(parts, told.lines - 1),
                tail if told.lines == 1 else ("", "plain"))  # fmt: skip


def _promised(service: ServiceView | str, look: Look, is_terse: bool) -> list[Run]:
    """ "! Daily revenue 07:30", "! 07:30 Daily revenue": what the job delivers, how that stands and by when."""
    if isinstance(service, str):
        return [(f"delivers {service}", "key")]
    sign, _, style = look.glyphs.mark("timeliness", service.timeliness)
    due, name = look.clock.hm(service.deadline, look.now, service.zone), service.title or service.name
    words = f" {due} {name}" if is_terse else f" {name} {due}"
    return [(sign, style), (words, style if style in ("bad", "warn") else "key")]


def _in_lines(parts: Sequence[list[Run]], lines: int) -> list[list[Run]]:
    """The parts one below the other; what is too much stands beside the last."""
    found = [list(part) for part in parts[: max(lines, 0)]]
    for part in parts[len(found) :] if found else ():
        found[-1] += [("  ", "plain"), *part]
    return found


def mark(one: LineageJob, look: Look) -> Run:
    if not one.state:
        return " ", "dim"
    sign, _, style = look.glyphs.mark("state", one.state)
    return sign, "dim" if one.stale_since is not None and style == "ok" else style


def _age(one: LineageJob, look: Look) -> list[Run]:
    """How old what is told of it is, where nobody sees its target; as in Jobs."""
    if one.stale_since is None:
        return []
    return [(f" {look.glyphs.sign('stale')} {short(look.now - one.stale_since)}", "warn")]


def _below(one: LineageJob, reading: Reading, runs: Runs | None, look: Look) -> list[Run]:
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
    at = look.clock.day(one.at, look.now)
    return [(f"{at} {word}", "bad" if one.is_red else "dim"), *_age(one, look)]


def _ahead(one: LineageJob, look: Look) -> list[Run]:
    """What is expected, and dimmed beside it how it went before: "due 04:00 (● Thu 04:12)", "held, due 04:00 (…)"; of
    what an incident keeps from starting "waits for extract_orders, due 04:00"."""
    due = f"due {look.clock.day(one.at, look.now)}" if one.at is not None else "has not run"
    if one.waits_for:
        return [(due, "plain"), (f", waits for {short_name(one.waits_for)}", "warn")]
    _, word, _ = look.glyphs.mark("state", one.state)
    was = look.glyphs.mark("state", one.before)[0]
    said = due if word == "planned" else f"{word}, {due}"
    return [(said, "plain"), (f" ({was} {look.clock.day(one.before_at, look.now)})", "dim")]


def short_name(job: str) -> str:
    """A job without its system and host: "extract_orders"."""
    return (job.partition("/")[2] or job).rpartition(":")[2]


def _folded(spot: Spot, jobs: Sequence[LineageJob], look: Look) -> Sign:
    """A spot of several: what it stands for, how many are red, the state that most have."""
    red = sum(one.is_red for one in jobs)
    more = "…" if not look.glyphs.plain else "..."
    name = f"{more} {counted(len(jobs), 'job')}" if spot.group == REST else f"{spot.group}: {counted(len(jobs), 'job')}"
    states = Counter(one.state for one in jobs).most_common(3)
    words = ", ".join(f"{n} {look.glyphs.mark('state', state)[1] if state else 'not run'}" for state, n in states)
    sign: Run = (look.glyphs.mark("state", "failed")[0], "bad") if red else (more[0], "dim")
    return Sign(sign, f"{name}, {red} red" if red else name, "bad" if red else "dim", [[(words, "dim")]])


def delivers(found: Reach) -> dict[int, ServiceView | str]:
    """Job -> the first service that it delivers, by tier and name."""
    known = {one.name: one for one in reversed(found.services)}
    told: dict[int, ServiceView | str] = {}
    for name, ends in found.view.services.items():
        for end in ends:
            told.setdefault(end, known.get(name, name))
    return told
