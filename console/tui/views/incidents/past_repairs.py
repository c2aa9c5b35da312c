"""Past repairs: earlier failures of an incident's root, what was done, how long it took. Pure; views in, lines out."""

from __future__ import annotations

from collections.abc import Iterator

from console.domain.incident import IncidentView, PastRepair, repair_methods
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted
from console.tui.widgets.paint import Segment

HANG = 4


def past_repair_lines(view: IncidentView, ctx: RenderContext) -> SegmentLines:
    repairs = view.repairs
    if not repairs:
        earlier = ([(f" {ctx.clock.full(at)} ", "dim"), (clean_line(text), "plain")] for at, text in view.seen_before)
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
    if not view.repairs:
        if not view.seen_before:
            return ""
        (at, text), many = view.seen_before[0], len(view.seen_before)
    elif (newest := next((repair for repair in view.repairs if repair.how), None)) is None:
        return f"no successful repair: it stayed red {counted(len(view.repairs), 'time')}"
    else:
        at, text, many = newest.at, _outcome_text(newest), len(view.repairs)
    suffix = f", and {many - 1} more" if many > 1 else ""
    return f"last repair: {ctx.clock.full(at)}, {clean_line(text)}{suffix}"


def _outcome_text(repair: PastRepair) -> str:
    """ "rerun by mara, green after 14m", "it stayed red"."""
    if not repair.how:
        return "it stayed red"
    return f"{repair.done}, green after {format_duration(repair.took_s)}" if repair.took_s is not None else repair.done


def _repair_steps(repairs: tuple[PastRepair, ...]) -> Iterator[list[Segment]]:
    for how, number, usual in repair_methods(repairs):
        took = f", usually green after {format_duration(usual)}" if usual is not None else ""
        yield [("   became green ", "dim"), (f"{number}x by {how}", "ok"), (took, "plain")]
    if never := sum(not repair.how for repair in repairs):
        yield [(f"   {never}x that run stayed red", "dim")]


def _repair(repair: PastRepair, ctx: RenderContext) -> Iterator[list[Segment]]:
    same_error: Segment = ("  same error", "warn") if repair.same_error else ("", "")
    yield [(f" {ctx.clock.full(repair.at)} ", "dim"), (clean_line(repair.error) or "failed", "plain"), same_error]
    yield [(f"    {_outcome_text(repair)}", "ok" if repair.how else "dim")]
    if repair.note:
        yield [("    note: ", "dim"), (clean_line(repair.note), "strong")]
