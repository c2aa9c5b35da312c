"""A timeline drawn as lines of cells: a lane for each service and job, below a ruler. Pure.

Of several things in one cell the most important is drawn: a red end, the deadline, the present. All times are in the
zone of the ruler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.sdk.states import RunState
from console.control.explain.timeline import BarKind, TimelineBar, TimelineLane, timeline_lanes, timeline_span
from console.control.incidents.verdict.decision import job_label
from console.domain.probability import format_risk
from console.domain.service import RepairCase
from console.domain.timeline import TimelineView
from console.tui.frame.cells import RenderContext, passed
from console.tui.widgets.paint import Segment, fit, fit_middle, length_of

ZOOMS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60)
TICKS = (5, 10, 15, 30, 60, 120, 180, 360, 720)
NAMED = 8
CLOCK = len("08:00")
MARKS = {BarKind.RAN: "ran", BarKind.RUNS: "ran", BarKind.EXPECTED: "ahead", BarKind.FAN: "fan"}
LEAST_RISK = 0.01
LEAST_PATH, LEAST_SCALE, PATH_WIDE = 3, 20, 100
DEADLINE_TIME = len("08:00")
"""Cells of a path behind its last bar: the time of a deadline covers no bar."""
BESIDE = 8
"""Cells from a deadline within which its time may be drawn."""


@dataclass(frozen=True, slots=True)
class TimeScale:
    start: datetime
    minutes: int
    width: int

    @property
    def end(self) -> datetime:
        return self.start + self.width * self.step

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    def cell(self, at: datetime) -> int:
        """The cell of a moment; outside of the screen below 0, or `width` and more."""
        return (at - self.start) // self.step

    def moved(self, cells: int) -> TimeScale:
        return TimeScale(self.start + cells * self.step, self.minutes, self.width)

    def within(self, first: datetime, last: datetime) -> TimeScale:
        """The same, moved so that at least a third of the screen shows the time from `first` to `last`."""
        shown = max(1, self.width // 3) * self.step
        start = max(min(self.start, max(last - shown, first)), first + shown - self.width * self.step)
        return TimeScale(start, self.minutes, self.width)

    def zoomed(self, by: int, around: datetime) -> TimeScale:
        """Finer (-1) or coarser (1); `around` keeps its place if it is in view."""
        minutes = ZOOMS[min(len(ZOOMS) - 1, max(0, ZOOMS.index(self.minutes) + by))]
        if not self.start <= around < self.end:
            around = self.start + self.width // 2 * self.step
        return TimeScale(around - self.cell(around) * timedelta(minutes=minutes), minutes, self.width)


def fitted_scale(first: datetime, last: datetime, width: int) -> TimeScale:
    """The finest scale that shows all of it, beginning at a full step; else the coarsest."""
    for minutes in ZOOMS:
        scale = TimeScale(_floor(first, minutes), minutes, width)
        if last < scale.end - scale.step:
            return scale
    return TimeScale(_floor(first, ZOOMS[-1]), ZOOMS[-1], width)


def _floor(at: datetime, minutes: int) -> datetime:
    return at - timedelta(minutes=at.minute % min(minutes, 60), seconds=at.second, microseconds=at.microsecond)


def ruler(scale: TimeScale, ctx: RenderContext) -> list[Segment]:
    step = next((minutes for minutes in TICKS if minutes >= NAMED * scale.minutes), TICKS[-1])
    text = ""
    for cell in range(scale.width):
        begins = ctx.clock.local(scale.start + cell * scale.step)
        until = -(begins.hour * 60 + begins.minute) % step
        if until < scale.minutes and len(text) <= cell <= scale.width - CLOCK:
            text += " " * (cell - len(text)) + (begins + timedelta(minutes=until)).strftime("%H:%M")
    return [(fit(text, scale.width), "head")]


def lane_cells(
    lane: TimelineLane, scale: TimeScale, at: datetime, ctx: RenderContext, marks: PathMarks | None = None
) -> list[Segment]:
    drawn: list[Segment] = [(" ", "plain")] * scale.width
    _put(drawn, scale.cell(at), (ctx.sign("now"), "key"))
    signs = {**MARKS, BarKind.EXPECTED: "usual"} if lane.repair_case is RepairCase.USUAL else MARKS
    for bar in sorted(lane.bars, key=lambda bar: bar.kind in (BarKind.RAN, BarKind.RUNS)):
        first, last = scale.cell(bar.start), max(scale.cell(bar.start), scale.cell(bar.end - timedelta(microseconds=1)))
        for cell in range(max(0, first), min(scale.width - 1, last) + 1):
            drawn[cell] = (ctx.sign(signs[bar.kind]), _style(bar))
        if bar.kind is BarKind.RAN and RunState(bar.state).is_red and not bar.superseded:
            _put(drawn, last, (ctx.mark("state", bar.state)[0], "bad"))
        elif bar.kind is BarKind.RUNS:
            _put(drawn, last, (ctx.mark("state", bar.state)[0], _style(bar)))
    if lane.service is not None:
        _promise(drawn, lane, scale, ctx)
    elif lane.next_start is not None and lane.next_start > at:
        _put(drawn, scale.cell(lane.next_start), (ctx.sign("start"), "strong"))
    if marks is not None:
        for moment, sign, style in ((marks.green_by, "green_by", "bad"), (marks.act_by, "act_by", "warn")):
            if moment is not None:
                _put(drawn, scale.cell(moment), (ctx.sign(sign), style))
    segments: list[Segment] = []
    for text, style in drawn:
        if segments and segments[-1][1] == style:
            segments[-1] = (segments[-1][0] + text, style)
        else:
            segments.append((text, style))
    return segments


def _promise(drawn: list[Segment], lane: TimelineLane, scale: TimeScale, ctx: RenderContext) -> None:
    service = lane.service
    if service is None:
        return
    if lane.done is not None:
        _put(drawn, scale.cell(lane.done), (ctx.mark("state", RunState.SUCCEEDED)[0], "ok"))
    if not service.is_promised:
        return
    cell = scale.cell(service.deadline)
    late = lane.expected is not None and lane.expected > service.deadline
    _put(drawn, cell, (ctx.sign("deadline"), "bad" if late else "strong"))
    if 0 <= cell < scale.width:
        letters = ctx.clock.local(service.deadline).strftime("%H:%M")
        first = _room_for(drawn, cell, len(letters), ctx.sign("now"))
        for at, letter in enumerate(letters if first is not None else "", first or 0):
            _put(drawn, at, (letter, "dim"))


def _room_for(drawn: Sequence[Segment], line: int, cells: int, now: str) -> int | None:
    """The cell of the time right of its line, else past a slight overrun, else left of the line; None where it would
    cover a bar: the ruler above has the time, too."""

    def is_free(at: int) -> bool:
        return 0 <= at <= len(drawn) - cells and all(text in (" ", now) for text, _ in drawn[at : at + cells])

    right = range(line + 1, line + 1 + BESIDE)
    past = (at + 1 for at in right if is_free(at) and is_free(at + 1))
    return next((at for at in (line + 1, *past, line - cells) if is_free(at)), None)


def _put(drawn: list[Segment], cell: int, run: Segment) -> None:
    if 0 <= cell < len(drawn):
        drawn[cell] = run


def _style(bar: TimelineBar) -> str:
    if bar.superseded:
        return "dim"
    if bar.kind is BarKind.RAN:
        return "bad" if RunState(bar.state).is_red else "ok"
    if bar.state == RunState.UNKNOWN:
        return "dim"
    return {BarKind.RUNS: "run", BarKind.EXPECTED: "plain", BarKind.FAN: "warn"}[bar.kind]


def lane_label(lane: TimelineLane, width: int, ctx: RenderContext) -> list[Segment]:
    if lane.service is not None:
        service = lane.service
        is_current = lane.state == service.timeliness
        mark, _, style = ctx.status(service) if is_current else ctx.mark("timeliness", lane.state)
        return [(f"{mark} ", style), (fit(service.title or service.name, width - 2), "strong")]
    room = width - JOB_MARKS
    name = lane.name.partition("/")[2] or lane.name
    name = name if length_of([(name, "")]) <= room else job_label(lane.name)
    state = lane.state or (RunState.WAITING if lane.waits_for else "")
    mark, _, style = ctx.mark("state", state) if state else (" ", "", "dim")
    return [("  ", "plain"), (f"{mark} ", style), (fit(fit_middle(name, room), room + 1), "plain")]


def lane_text(lane: TimelineLane, ctx: RenderContext, wide: bool = True) -> list[Segment]:
    """A lane as text: deadline, expected or actual end, and if `wide` the chance to be late."""
    clock, now = ctx.clock, ctx.now
    name = lane.service.title or lane.name if lane.service is not None else lane.name
    runs: list[Segment] = [(f" {name}  ", "strong")]
    if lane.service is not None and lane.service.is_promised:
        runs.append((f"due {clock.due(lane.service.deadline, now)}  ", "plain"))
    if lane.waits_for:
        runs.append((f"waits for {lane.waits_for}  ", "warn"))
    if lane.done is not None:
        return [*runs, (f"done {clock.hm(lane.done, now)}", "ok")]
    if lane.expected is None:
        return [*runs, ("no estimate", "dim")]
    late = clock.hm(lane.late, now)
    odds = lane.service.risk if wide and lane.service is not None else None
    chance = f", {format_risk(odds)}" if odds is not None and odds >= LEAST_RISK else ""
    case = lane.repair_case
    return [
        *runs,
        (f"{f'{case}:' if case else 'expected'} {clock.hm(lane.expected, now)}, p95 {late}{chance}", "plain"),
    ]


@dataclass(frozen=True, slots=True)
class DrawnNight:
    night: TimelineView
    lanes: tuple[TimelineLane, ...]
    at: datetime
    first: datetime
    last: datetime


def drawn_at(night: TimelineView, at: datetime | None) -> DrawnNight:
    whole = timeline_lanes(night, night.now)
    first, last = timeline_span(night, whole)
    shown = whole if at is None else timeline_lanes(night, at)
    return DrawnNight(night, tuple(shown), at or night.now, first, last)


PATH_LABEL, WIDE_PATH_LABEL = 22, 32
JOB_MARKS = 5
"""Cells of a job's label in addition to its name."""


@dataclass(frozen=True, slots=True)
class PathMarks:
    """Moments of a repair, on the lane of its root."""

    root: str = ""
    act_by: datetime | None = None
    green_by: datetime | None = None


def path_lines(
    night: TimelineView, ctx: RenderContext, width: int, room: int, marks: PathMarks = PathMarks()
) -> list[list[Segment]]:
    """A ruler and the critical path of the first service, from the root of its incident to its deadline; then the other
    services, in `room` lines at most; empty without a path. With marks, a last line explains them."""
    path = timeline_lanes(replace(night, services=night.services[:1]), ctx.now)
    if not path or room < LEAST_PATH or len(path) + len(night.services) < LEAST_PATH:
        return []
    service, *jobs = path
    first = next((place for place, lane in enumerate(jobs) if lane.name == marks.root), 0)
    has_legend = bool(marks.root) and room > len(jobs) - first + LEAST_PATH - 1
    own = [*jobs[first : first + room - 2 - has_legend], service]
    shown = [*own, *_other_lanes(night, own, room - 1 - has_legend - len(own), ctx)]
    start, end = timeline_span(night, shown)
    names = [job_label(lane.name) for lane in shown if lane.service is None]
    longest = max((length_of([(name, "")]) for name in names), default=0) + JOB_MARKS
    label = WIDE_PATH_LABEL if width >= PATH_WIDE else max(PATH_LABEL, min(longest, width // 3))
    cells = max(LEAST_SCALE, width - label - 1)
    scale = replace(fitted_scale(min(start, ctx.now), end, cells - DEADLINE_TIME), width=cells)
    lines: list[list[Segment]] = [[(" " * label, "dim"), *ruler(scale, ctx)]]
    for lane in shown:
        bars = lane_cells(lane, scale, ctx.now, ctx, marks if lane.name == marks.root else None)
        lines.append([*lane_label(lane, label, ctx), *bars])
    starts = [lane.next_start for lane in shown if lane.next_start is not None and lane.next_start < scale.end]
    return [*lines, _path_legend(bool(starts), marks, ctx, width)] if has_legend else lines


def _other_lanes(night: TimelineView, own: Sequence[TimelineLane], room: int, ctx: RenderContext) -> list[TimelineLane]:
    """Each other service after the jobs of its path that no lane before it has, if they all have room."""
    if len(night.services) < 2:
        return []
    known = {lane.job.id for lane in own if lane.job is not None}
    groups: list[list[TimelineLane]] = []
    jobs: list[TimelineLane] = []
    for lane in reversed(timeline_lanes(night, ctx.now)):
        if lane.service is None:
            jobs = [lane, *jobs] if lane.job is None or lane.job.id not in known else jobs
            continue
        if lane.service is not night.services[0]:
            groups.insert(0, [*jobs, lane])
        jobs = []
    lanes: list[TimelineLane] = []
    for group in groups:
        lanes += group if len(lanes) + len(group) <= room else []
    return lanes


def _path_legend(has_starts: bool, marks: PathMarks, ctx: RenderContext, width: int) -> list[Segment]:
    """As many parts as fit whole, the most important ones first."""
    parts: list[Segment] = [(f"  {ctx.sign('now')} now {ctx.hm(ctx.now)}", "dim")]
    if marks.act_by is not None:
        at = f"{ctx.hm(marks.act_by)}{passed(marks.act_by, ctx)}"
        parts.append((f"  {ctx.sign('act_by')} act by {at}", "warn"))
    if marks.green_by is not None:
        parts.append((f"  {ctx.sign('green_by')} green by {ctx.hm(marks.green_by)}", "bad"))
    if has_starts:
        parts.append((f"  {ctx.sign('start')} starts by its clock", "dim"))
    parts.append((f"  {ctx.sign('deadline')} deadline", "dim"))
    while length_of(parts) > width and len(parts) > 1:
        parts.pop()
    return parts
