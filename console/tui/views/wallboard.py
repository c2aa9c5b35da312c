"""Wallboard: an unattended display. It reads, turns its own pages, and recovers by itself.

Stale data loses its mark and color, and the line above shows since when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from textual.app import ComposeResult

from console.domain.header import HeaderView
from console.domain.ids import incident_name
from console.domain.incident import IncidentRow, sort_by_impact
from console.domain.service import ServiceView, is_unverified, unverified_text
from console.domain.system import TargetView
from console.store.queries.reader import Queries
from console.tui.frame import service_groups
from console.tui.frame.cells import RenderContext, act_by, counted, target_name
from console.tui.frame.clock_format import format_short
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.services.rows import cause_text, deadline, forecast_bar, time_left
from console.tui.widgets.bar import Bar, BarLine
from console.tui.widgets.paint import Segment, cut, fit, length_of

PAGE_SECONDS = 12
HEADLINE_LINES = 30
"""Lines from which there is room for empty lines between services, the date and the age of the data."""
LATE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class WallboardState:
    header: HeaderView | None
    services: Sequence[ServiceView]
    incidents: Sequence[IncidentRow]
    targets: Sequence[TargetView]
    error: str = ""
    read: datetime | None = None

    def old_since(self, now: datetime) -> datetime | None:
        """Since when the data is stale; None while it is fresh."""
        if self.header is None or self.read is None:
            return now
        if not self.header.engine.alive:
            return self.header.engine.heartbeat or now
        return self.read if self.error or now - self.read > LATE else None


def wallboard_lines(wall: WallboardState, ctx: RenderContext, width: int, height: int) -> list[BarLine]:
    name = f" Headway {wall.header.estate}".rstrip() if wall.header is not None else " Headway"
    zone = ctx.clock.label(ctx.now)
    headline = _headline(wall, ctx)
    day = ctx.clock.local(ctx.now).strftime("%A %d %B")
    title: list[Segment] = [(name, "strong")]
    if wall.header is not None and wall.header.replay:
        title += [("  ", "plain"), (" REPLAY ", "mark")]
    lines = [_line(title, [(f"{ctx.clock.hms(ctx.now)} {zone} ", "strong")], "panel")]
    if height >= HEADLINE_LINES:
        lines.append(_line([(f" {day}", "dim")], [(f"{_age(wall, ctx)} ", "dim")]))
    head = [*lines, *headline, _line([])]
    foot = [_line([], ()), *_systems(wall, ctx, width)]
    incidents = _incidents(wall, ctx, width, 4 if height < HEADLINE_LINES else height // 4)
    room = max(1, height - len(head) - len(foot) - len(incidents))
    board = _services(wall, ctx, width, room, height >= HEADLINE_LINES)
    board += [_line([], ())] * (room - len(board))
    return [*head, *board[:room], *incidents, *foot][:height]


def _line(runs: Sequence[Segment], right: Sequence[Segment] = (), background: str = "") -> BarLine:
    return tuple(runs), tuple(right), background


def _age(wall: WallboardState, ctx: RenderContext) -> str:
    if wall.old_since(ctx.now) is not None:
        return ""
    seen = [target.last_ok for target in wall.targets if target.last_ok is not None and not target.polls_fail]
    return f"all data is at most {format_short(max(ctx.now - min(seen), timedelta(0)))} old" if seen else ""


def _headline(wall: WallboardState, ctx: RenderContext) -> list[BarLine]:
    header, since = wall.header, wall.old_since(ctx.now)
    if header is None and not wall.error:
        return [_line([(" reading the store", "dim")])]
    if header is None or since is not None:
        why = f"the store cannot be read: {wall.error}" if wall.error else _unassigned(wall, ctx)
        known = since is not None and since < ctx.now  # a replay's engine lives by another clock
        age = f"; the data is {format_short(ctx.now - since)} old" if known and since is not None else ""
        return [_line([(f" STALE: {why}{age}", "alarm")], (), "alarm")]
    lines = [_line([_summary(wall, ctx)])]
    quiet = header.frozen or (f"shadow: {', '.join(header.in_shadow)}" if header.in_shadow else "")
    return [*lines, _line([(f" nothing is sent: {quiet}", "alarm")], (), "alarm")] if quiet else lines


def _unassigned(wall: WallboardState, ctx: RenderContext) -> str:
    if wall.header is None or wall.header.engine.heartbeat is None:
        return "no engine has run yet"
    if wall.header.engine.alive:
        return "the store does not answer"
    return f"no engine since {ctx.hm(wall.header.engine.heartbeat)}"


def _summary(wall: WallboardState, ctx: RenderContext) -> Segment:
    bad = service_groups.needing_a_person(wall.services)
    if bad:
        late = sum(view.timeliness in ("will_miss", "breached", "met_late") for view in wall.services)
        text = f" {counted(bad, 'service')} need{'s' * (bad == 1)} attention"
        return (f"{text}, {late} miss{'es' * (late == 1)} the deadline", "bad") if late else (text, "warn")
    calm = service_groups.all_well_text(wall.services, wall.header, wall.error, ctx)
    return (f" {calm[0]}", calm[1]) if calm is not None else (" no service is configured yet", "dim")


def _services(wall: WallboardState, ctx: RenderContext, width: int, room: int, airy: bool) -> list[BarLine]:
    """Services that need a person are on every page; the others take turns."""
    ordered = service_groups.by_urgency(wall.services)
    urgent = [view for view in ordered if view.needs_a_person]
    well = ordered[len(urgent) :]
    height = 2 if airy and len(ordered) * 2 <= room else 1
    fits = max(1, (room - 1) // height)
    if len(urgent) >= fits:
        urgent, well = [], ordered
    turn = max(1, fits - len(urgent))
    pages = max(1, -(-len(well) // turn))
    page = int(ctx.now.timestamp()) // PAGE_SECONDS % pages
    shown = [*urgent, *well[page * turn : (page + 1) * turn]]
    lines: list[BarLine] = []
    for view in shown:
        lines += [_line(_service(view, wall, ctx, width)), *[_line([])] * (height - 1)]
    if pages > 1:
        lines = [*lines[: room - 1], _line([(f" page {page + 1} of {pages}, {len(ordered)} services", "dim")])]
    return lines


def _service(view: ServiceView, wall: WallboardState, ctx: RenderContext, width: int) -> list[Segment]:
    is_old, is_blind = wall.old_since(ctx.now) is not None, is_unverified(view)
    mark, label, style = ctx.status(view, is_old)
    bar = 10 if width < 100 else width // 8
    name = max(14, min(34, width // 4))
    due, ahead = deadline(view, ctx), time_left(view, ctx)
    drawn = ("", "dim") if is_blind else forecast_bar(view, ctx, bar)
    runs: list[Segment] = [
        (f" {mark} ", style),
        (fit(label, 12), style),
        (fit(view.title or view.name, name) + " ", "strong" if view.needs_a_person else "plain"),
        (fit(due[0], 9), due[1]),
        (fit(ahead[0], 7, right=True) + " ", ahead[1]),
        (fit(drawn[0], bar) + "  ", drawn[1]),
    ]
    if view.act_by is not None and view.delivered is None:
        when, urgent = act_by(view.act_by, ctx)
        runs.append((f"act by {when}  " if width >= 100 else f"by {when}", urgent))
    if width >= 100:
        taken = f"{ctx.sign('taken')} {view.acknowledged_by}  " if view.acknowledged_by else ""
        runs += [
            (taken, "ok"),
            (unverified_text(view, ctx.zoned), "warn") if is_blind else (cause_text(view), "plain"),
        ]
    return [(text, "dim" if is_old and own != "bad" else own) for text, own in runs]


def _incidents(wall: WallboardState, ctx: RenderContext, width: int, most: int) -> list[BarLine]:
    if not wall.incidents:
        return []
    ordered = sort_by_impact(wall.incidents)
    lines = [_line([(f" {counted(len(ordered), 'INCIDENT').upper()}", "key")])]
    lines += [_line(_incident(incident, ctx, width)) for incident in ordered[: max(1, most - 1)]]
    hidden = len(ordered) - (len(lines) - 1)
    return [*lines, _line([(f" {hidden} more", "dim")])] if hidden else lines


def _incident(incident: IncidentRow, ctx: RenderContext, width: int) -> list[Segment]:
    runs: list[Segment] = [
        (f" {incident_name(incident.id)} ", "bad"),
        (f"{format_short(ctx.now - incident.failed_since)} ", "dim"),
    ]
    if incident.act_by is not None:
        when, urgent = act_by(incident.act_by, ctx)
        runs.append((f"act by {when} ", urgent))
    until = f" until {ctx.hm(incident.acknowledged_until)}" if incident.acknowledged_until else ""
    taken: Segment = (f" {ctx.sign('taken')} {incident.acknowledged_by}{until}", "ok")
    assignee = taken if incident.acknowledged_by else (" unacknowledged", "warn")
    room = width - length_of([*runs, assignee]) - 1
    return [*runs, (cut(incident.title, max(10, room)), "plain"), assignee]


def _systems(wall: WallboardState, ctx: RenderContext, width: int) -> list[BarLine]:
    """Each target with the age of its last poll, unreachable ones first. At most three lines."""
    far = ctx.now - timedelta(days=3650)
    is_old = wall.old_since(ctx.now) is not None
    ordered = sorted(wall.targets, key=lambda target: (target.is_well, target.last_ok or far, target_name(target)))
    lines: list[list[Segment]] = [[(" SYSTEMS", "key")]]
    for place, system in enumerate(ordered):
        runs = _target(system, ctx, is_old)
        if length_of(lines[-1]) + length_of(runs) > width - 10:
            if len(lines) == 3:
                lines[-1].append((f"  +{len(ordered) - place}", "dim"))
                break
            lines.append([("        ", "plain")])
        lines[-1] += runs
    return [_line(runs) for runs in lines]


def _target(target: TargetView, ctx: RenderContext, is_old: bool) -> list[Segment]:
    age = format_short(max(ctx.now - target.last_ok, timedelta(0))) if target.last_ok is not None else "never"
    if target.pause is not None:
        until = f"paused by {target.pause.by or 'somebody'} until {ctx.hm(target.pause.until)}"
        return [(f"  {ctx.sign('unseen')} {target_name(target)} {until}", "warn")]
    if target.polls_fail:
        return [(f"  {ctx.sign('unseen')} {target_name(target)} {target.unseen_status} {age}", "warn")]
    if target.is_stopped:
        mark = ctx.mark("state", "missed")[0]
        return [(f"  {mark} {target_name(target)} {age}, nothing starts", "bad")]
    good = target.last_ok is not None and not is_old
    mark = ctx.mark("state", "succeeded")[0] if good else "?"
    return [(f"  {mark}", "ok" if good else "dim"), (f" {target_name(target)} {age}", "dim")]


READ_SECONDS = 5
WallboardQuery = tuple[Sequence[ServiceView], Sequence[IncidentRow], Sequence[TargetView]]


class WallboardScreen(HeadwayScreen):
    WHERE: ClassVar[str] = "wallboard"

    def __init__(self) -> None:
        super().__init__()
        self._found: WallboardQuery = ((), (), ())
        self._read: datetime | None = None
        self._ticks = 0

    def compose(self) -> ComposeResult:
        wall = Bar(id="wall")
        wall.styles.height = "1fr"
        yield wall
        yield Bar(id="foot")

    def fetch(self) -> None:
        def read(reads: Queries) -> WallboardQuery:
            return reads.services.list_services(), reads.incidents.list_incidents(), reads.estate.systems()

        self.ask("wallboard", read, self._arrived)

    def _arrived(self, answer: WallboardQuery) -> None:
        self._found, self._read = answer, self.ctx.now
        self.paint_frame()

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % READ_SECONDS == 0:
            self.fetch()
        super().tick()

    def paint_top(self) -> None:
        board = self.board
        wall = WallboardState(board.header, *self._found, board.store_error, self._read)
        bar = self.bar("wall")
        lines = wallboard_lines(wall, self.ctx, max(1, self.size.width), max(1, self.size.height - 1))
        bar.show_lines(lines)

    def paint_foot(self) -> None:
        age = f"read {self.ctx.clock.hms(self._read)}" if self._read is not None else "not read yet"
        self.bar("foot").show([(f" {age}", "dim")], [("q quits ", "dim")])

    def commands(self) -> Sequence[ScreenCommand]:
        return [ScreenCommand(name, lambda: self.board.exit(0)) for name in ("quit", "leave")]
