"""What worked before: earlier failures of an incident's root, what was done, how long it took. Pure; views in, lines
out."""

from __future__ import annotations

from collections.abc import Iterator

from console.clean import clean_line
from console.durations import duration_words
from console.model.views import IncidentView
from console.model.views.repairs import Repair, ways
from console.tui.cells import Look, counted
from console.tui.widgets.paint import Run

Lines = list[list[Run]]
HANG = 4


def before(view: IncidentView, look: Look) -> Lines:
    """How often it failed and what made it green; then each time, newest first."""
    repairs = view.repairs
    if not repairs:
        return [[(" no earlier failure of its root is remembered", "dim")], *_told_before(view, look)]
    alike = sum(one.is_alike for one in repairs)
    times = counted(len(repairs), "time") if len(repairs) > 1 else "once"
    same = f", {'as now' if alike == len(repairs) else f'{alike} of them as now'}" if alike else ", never as now"
    lines: Lines = [[(f" FAILED {times} before", "key"), (same, "warn" if alike else "dim")], *_ways(repairs), []]
    for one in repairs:
        lines += _repair(one, look)
    return lines


def last_time(view: IncidentView, look: Look) -> str:
    """The newest of them that became green in a line, in the same words; empty where there is none."""
    if not view.repairs:
        if not view.seen_before:
            return ""
        (at, words), many = view.seen_before[0], len(view.seen_before)
    elif (newest := next((one for one in view.repairs if one.how), None)) is None:
        return f"nothing worked before: it stayed red {counted(len(view.repairs), 'time')}"
    else:
        at, words, many = newest.at, _became(newest), len(view.repairs)
    more = f", and {many - 1} more" if many > 1 else ""
    return f"what worked before: {look.clock.full(at)}, {clean_line(words)}{more}"


def _became(one: Repair) -> str:
    """ "rerun by mara, green after 14m", "it stayed red"."""
    if not one.how:
        return "it stayed red"
    return f"{one.done}, green after {duration_words(one.took_s)}" if one.took_s is not None else one.done


def _ways(repairs: tuple[Repair, ...]) -> Iterator[list[Run]]:
    for how, number, usual in ways(repairs):
        took = f", usually green after {duration_words(usual)}" if usual is not None else ""
        yield [("   became green ", "dim"), (f"{number}x by {how}", "ok"), (took, "plain")]
    if never := sum(not one.how for one in repairs):
        yield [(f"   {never}x that run stayed red", "dim")]


def _repair(one: Repair, look: Look) -> Iterator[list[Run]]:
    alike: Run = ("  as now", "warn") if one.is_alike else ("", "")
    yield [(f" {look.clock.full(one.at)} ", "dim"), (clean_line(one.said) or "failed", "plain"), alike]
    yield [(f"    {_became(one)}", "ok" if one.how else "dim")]
    if one.note:
        yield [("    note: ", "dim"), (clean_line(one.note), "strong")]


def _told_before(view: IncidentView, look: Look) -> Iterator[list[Run]]:
    """Of a cause that is no run: when it was a cause before."""
    for at, words in view.seen_before:
        yield [(f" {look.clock.full(at)} ", "dim"), (clean_line(words), "plain")]
