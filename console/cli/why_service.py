"""`headway why SERVICE`: where its minutes went, job by job along its critical path."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta

from console.clean import clean_line
from console.cli.common import cell_clock, clock_words, print_json, say_lines, store_of, watched
from console.cli.exits import Exit
from console.cli.services import deadline_words, forecast_words, instance_named
from console.cli.table import Col, print_table
from console.cli.wall import zone_name
from console.control.lateness import Lateness, Part, lateness, steps_of
from console.control.risk import alarm_of
from console.model.views import ServiceView
from console.model.views.services import PathJobView, PathUsual
from console.store.reads import Reads

KINDS = ("upstream", "clock", "queued", "slow", "retries", "repair")
NO_TIME = "–"
ADDED = (*KINDS[1:], "ahead")
"""What a job's lateness is made of besides what came from upstream, and what a clock gave back."""


def run(arguments: argparse.Namespace) -> int:
    """`arguments.name`: of a service that there is; `arguments.bd`: its business date, None for the present one."""
    with watched(arguments) as reads:
        view = _view(arguments, reads)
        path, now = reads.path_of(view.name, view.bd, view.submission), reads.now()
        alarm = alarm_of(*reads.told_in_time(view.name))
    usual = _usual_of(store_of(arguments), path, view.bd)
    moved = [each.moved for each in usual if each.moved]
    found = lateness(steps_of(path, view.deadline, usual), now, view.delivered is not None, view.expected)
    if arguments.json:
        print_json(arguments, as_json(view, found) | {"moved": moved, "alarm": asdict(alarm)})
        return Exit.OK
    is_open = view.is_promised and view.delivered is None
    say_lines([*heading(view, found, now), *(f"moved     {each}" for each in moved)])
    say_lines([*([f"alarm     {alarm.words}"] if is_open else []), ""])
    if found.parts:
        say_lines([f"times: {zone_name(now, view.zone)}"])
        print_table(columns(found), list(rows(found, view.zone, now)))
        say_lines(["", totals(found)])
    return Exit.OK


def _usual_of(url: str, path: Sequence[PathJobView], bd: str) -> Sequence[PathUsual]:
    from console.engine.explain import usual_of  # loads what writes to stores

    return usual_of(url, path, date.fromisoformat(bd)) if path else ()


def _view(arguments: argparse.Namespace, reads: Reads) -> ServiceView:
    """The service day, or the instance that was named. Raises Stop, NotFound."""
    if arguments.instance is None:
        return reads.service(arguments.name, arguments.bd)
    return instance_named(reads, arguments.name, arguments.instance, arguments.bd)


def heading(view: ServiceView, found: Lateness, now: datetime) -> Iterator[str]:
    """The service day in words: how it stands, its deadline, and its usual finish."""
    yield f"{view.title}  {view.bd}  {view.timeliness.replace('_', ' ')}"
    yield f"deadline  {deadline_words(view, now)}"
    if view.reason:
        yield f"says      {view.reason}"
    if not view.is_promised:
        return
    if (told := forecast_words(view, now)) != NO_TIME:
        yield f"forecast  {told}"
    if not found.parts:
        yield "path      nothing is known of its critical path on that date"
        return
    last = found.parts[-1]
    if view.awaits:
        yield f"waits     for check {', '.join(map(clean_line, view.awaits))}; its jobs are done"
    ends = "its jobs ended" if view.awaits else "ended" if last.is_over else "expected"
    yield (
        f"usually   {clock_words(last.usual_end, view.zone, now)}; {ends} {clock_words(last.end, view.zone, now)}:"
        f" {against(found.late, 'its usual')}, {against(last.end - view.deadline, 'its deadline')}"
    )


def against(late: timedelta, what: str) -> str:
    """ "22m after its usual", "8m before its deadline", "at its usual"."""
    if abs(late) < timedelta(seconds=1):
        return f"at {what}"
    return f"{minutes(abs(late))} {'after' if late > timedelta(0) else 'before'} {what}"


def kinds(found: Lateness) -> tuple[str, ...]:
    """Those that have a column: what the forecast expects beyond the usual only where there is any."""
    return (*KINDS, "ahead") if any(signed(part.ahead) != NO_TIME for part in found.parts) else KINDS


def columns(found: Lateness) -> tuple[Col, ...]:
    """Those of `rows`; on a narrow terminal a kind of which no job has a minute is left out first."""
    shown = (Col(kind, drop=0 if any(signed(getattr(one, kind)) != NO_TIME for one in found.parts) else 1)
             for kind in kinds(found))  # fmt: skip
    return Col("job", 12, middle=True), Col("ends", drop=3), Col("usually", drop=2), Col("late"), *shown


def rows(found: Lateness, zone: str, now: datetime) -> Iterator[tuple[str, ...]]:
    """One line a job. What came from upstream and what it added itself is its own lateness."""
    for part in found.parts:
        ends = cell_clock(part.end, zone, now).rpartition(" ")[0] + ("" if part.is_over else " …")
        usual = cell_clock(part.usual_end, zone, now).rpartition(" ")[0]
        yield (part.job, ends, usual, signed(part.late), *(signed(getattr(part, kind)) for kind in kinds(found)))


def totals(found: Lateness) -> str:
    """What the jobs added, by kind, and their sum."""
    shown = [f"{kind} {signed(found.total(kind))}" for kind in ADDED if found.total(kind)]
    return f"{signed(found.late)} in all: {', '.join(shown)}" if shown else "nothing was later or earlier than usual"


def as_json(view: ServiceView, found: Lateness) -> dict[str, object]:
    """All of it, in minutes."""
    return {
        "service": view.name,
        "bd": view.bd,
        "instance": view.instance,
        "timeliness": view.timeliness,
        "deadline": view.deadline if view.is_promised else None,
        "promised": view.promised if view.is_promised else None,
        "extension": view.extension,
        "reason": view.reason,
        "awaits": list(view.awaits),
        "p_late": view.p_late,
        "usual_end": found.parts[-1].usual_end if found.parts else None,
        "end": _end(found),
        "is_over": bool(found.parts) and found.parts[-1].is_over,
        "late_minutes": _minutes(found.late) if found.parts else None,
        "late_by_deadline_minutes": _minutes(found.parts[-1].end - view.deadline) if found.parts else None,
        "added_minutes": {kind: _minutes(found.total(kind)) for kind in ADDED},
        "jobs": [_part(part) for part in found.parts],
    }


def _part(part: Part) -> dict[str, object]:
    return {
        "job": part.job,
        "usual_end": part.usual_end,
        "end": part.end,
        "is_over": part.is_over,
        "late_minutes": _minutes(part.late),
        **{f"{kind}_minutes": _minutes(getattr(part, kind)) for kind in (*KINDS, "ahead")},
    }


def _end(found: Lateness) -> datetime | None:
    return found.parts[-1].end if found.parts else None


def _minutes(taken: timedelta) -> float:
    return round(taken.total_seconds() / 60, 6)


def minutes(taken: timedelta) -> str:
    """To the second, so that what is shown adds up: "1h9m19s", "2d3h", "0s"."""
    left, parts = round(taken.total_seconds()), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts) or "0s"


def signed(taken: timedelta) -> str:
    """ "+22m", "-8m"; "–" for nothing."""
    if abs(taken) < timedelta(seconds=1):
        return NO_TIME
    return f"{'+' if taken > timedelta(0) else '-'}{minutes(abs(taken))}"
