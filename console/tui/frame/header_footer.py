"""The lines around every screen: header, banner, footer, tour, and the status of a terminal that is too small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual.geometry import Size
from textual.screen import Screen

from console.config import key_table
from console.config.key_table import OVERLAYS
from console.domain.header import HeaderView, silenced_text
from console.domain.service import ServiceView, Timeliness
from console.domain.switches import freeze_banner
from console.store.queries.reader import Queries
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, act_by, counted, paused_text
from console.tui.frame.clock_format import ZoneMode, format_short
from console.tui.frame.console_app import ConsoleApp, ConsoleScreen, is_small
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.service_groups import ordered
from console.tui.widgets.bar import Bar, BarLine
from console.tui.widgets.paint import Segment, cut, fit, length_of, line_breaks

if TYPE_CHECKING:
    from console.domain.incident import IncidentView
    from console.domain.plan import PlanView
    from console.tui.frame.tour import GuidedTour, TourState
    from console.tui.widgets.pane import Pane


AT_RIGHT = ("jump", "help")
ROOMY = 48
LONGEST_NAME = 16
READING = "reading the store"
Sides = tuple[list[Segment], list[Segment]]


class HeaderSides(NamedTuple):
    """Both sides of the header, and the actions that show what its right side counts; empty for one without any."""

    left: list[Segment]
    right: list[Segment]
    actions: tuple[str, ...] = ()


def header_segments(
    view: HeaderView | None,
    ctx: RenderContext,
    width: int,
    approvals: int = 0,
    visitor: str = "",
    unread: str = READING,
    clock_waits: bool = False,
) -> HeaderSides:
    """Estate and clock on the left; problems on the right: services late or at risk, incidents, unreachable targets.
    `visitor` is the user at a browser; `unread` is shown before the first read, `clock_waits` for a stopped demo."""
    clock = f"{ctx.clock.hms(ctx.now)} {ctx.clock.label(ctx.now)}"
    if view is None:
        start: list[Segment] = [(" Headway", "strong"), (f" {ctx.sign('dot')} {clock}", "plain")]
        return HeaderSides(start, [(f"{unread} ", "dim")])
    dot: Segment = (f" {ctx.sign('dot')} ", "dim")
    replay = " REPLAY PAUSED " if clock_waits else " REPLAY "
    here: list[Segment] = [(replay, "mark"), (" ", "plain")] if view.replay else []
    if visitor:
        here += [(cut(visitor, LONGEST_NAME), "strong"), dot]
    here.append((clock, "plain"))
    name: list[Segment] = [(f" Headway {view.estate}".rstrip(), "strong"), dot]
    whole, bare = [*name, *here], [(" ", "plain"), *here]
    counts = _problems(view, ctx, width - length_of(whole) - 2, approvals)
    right = _joined(counts, dot)
    while len(counts) > 1 and length_of(right) >= width - length_of(bare):  # a blank stays between both sides
        counts.pop()
        right = _joined(counts, dot)
    left = whole if length_of(whole) + length_of(right) < width else bare
    return HeaderSides(left, right, tuple(action for _, action in counts))


def _joined(counts: Sequence[tuple[Segment, str]], dot: Segment) -> list[Segment]:
    runs = [run for part, _ in counts for run in (part, dot)]
    return [*runs[:-1], (" ", "dim")]


def _problems(view: HeaderView, ctx: RenderContext, room: int, approvals: int) -> list[tuple[Segment, str]]:
    """Each count or problem, with the action that shows it."""
    parts: list[tuple[Segment, str]] = []
    if approvals:
        parts.append(((f"A {approvals} to approve", "mark"), "approvals"))
    if stopped := view.stopped_plans:
        text = f"{len(stopped)} plans stopped" if len(stopped) > 1 else f"plan {stopped[0]} stopped"
        parts.append(((text, "bad"), ""))
    for number, label in view.dangers:
        if number or (view.engine.alive and not view.at_risk):
            parts.append(((f"{number} {label}", _DANGERS.get(label, "warn") if number else "dim"), "services"))
    if paused_plans := view.paused_plans:
        first = f"plan {paused_plans[0].id} paused"
        parts.append(((f"{len(paused_plans)} plans paused" if len(paused_plans) > 1 else first, "warn"), ""))
    if view.open_incidents or view.engine.alive:
        style = "bad" if view.open_incidents else "dim"
        parts.append(((counted(view.open_incidents, "incident"), style), "incidents"))
    paused = {pause.system for pause in view.paused}
    unseen = [
        target if view.engine.alive and target.name.partition("/")[0] not in paused
        else target._replace(status="not polled", last_ok=None)
        for target in view.unseen_targets
    ]  # fmt: skip
    for number, target in enumerate(unseen):
        age = f" {format_short(ctx.now - target.since)}" if target.since is not None else ""
        text, statuses = f"{target.name} {target.status}{age}", {further.status for further in unseen[number:]}
        status = statuses.pop() if len(statuses) == 1 else "not seen"
        reserve = len(f"+9 {status} · ") if number + 1 < len(unseen) else 0
        if sum(len(part[0]) + 3 for part, _ in parts) + len(text) + reserve > room:  # the clock is never what is cut
            parts.append(((f"{'+' * bool(number)}{len(unseen) - number} {status}", "warn"), "systems"))
            break
        parts.append(((text, "warn"), "systems"))
    return parts


def banner_text(
    view: HeaderView | None,
    store_error: str,
    ctx: RenderContext,
    starting: bool = False,
    read_at: datetime | None = None,
) -> str:
    """The warning above every screen; empty when all is well."""
    if starting:
        last = view.engine.heartbeat if view is not None and view.engine.holder else None
        before = f"the previous engine stopped at {_at(last, ctx)}: " if last is not None else ""
        return f" {before}starting the engine…"
    if store_error:
        seen = f"data from {_at(read_at, ctx)}" if read_at is not None else "the store cannot be read"
        return f" {seen}: {store_error}"
    if view is not None and view.engine.alive and view.engine.trouble:
        return f"{_shadow(view, ' · ')} {ctx.localized(view.engine.trouble)}"
    if view is None or view.engine.alive:
        return _suppressed(view, ctx) if view is not None else ""
    since = view.engine.heartbeat
    if view.engine.stuck:
        return f" monitoring stopped{f' since {ctx.hm(since)}' if since else ''}: {view.engine.stuck}"
    if since is None:
        return ' no engine has run on this store yet: nothing is monitored; run "headway engine"'
    if view.replay:  # leases stay on real time, the screen shows the night's; its config is gone with its console
        return f" no engine since {ctx.hm(since)} real time: the data is old; quit and start again"
    age = format_duration(max(ctx.now - since, timedelta(0)))
    return f' no engine for {age}: data from {_at(since, ctx)}; run "headway engine"'


BANNER_LINES = 3
LEAST_WIDTH = 20


def banner_lines(text: str, width: int, style: str = "alarm", background: str = "alarm") -> list[BarLine]:
    """The banner in whole lines; only a very long reason is cut. Empty without a banner."""
    text, room = text.strip(), max(LEAST_WIDTH, width - 1)
    texts = [text[start:end].strip() for start, end in line_breaks(text, room)] if text else []
    if len(texts) > BANNER_LINES:
        texts[BANNER_LINES - 1 :] = [fit(" ".join(texts[BANNER_LINES - 1 :]), room)]
    return [(((f" {line}", style),), (), background) for line in texts]


def banner_of(board: ConsoleApp, ctx: RenderContext) -> str:
    return banner_text(board.header, board.store_error, ctx, board.beginning.starting, board.read_at)


def alarm_of(board: ConsoleApp) -> str:
    return banner_of(board, board.ctx) if board.is_old else ""


def why_no_answer(board: ConsoleApp) -> str:
    """Why the engine cannot answer a request; empty while it is alive."""
    is_dead = board.header is not None and not board.header.engine.alive
    return banner_text(board.header, "", board.ctx).strip() if is_dead else ""


def cover_if_small(screen: Screen[Any], size: Size) -> None:
    """Covers a screen or dialog with the status while the terminal is too small for it."""
    if is_small(size) and not screen.query("#small"):
        from console.tui.widgets.pane import Pane

        status = Pane(id="small")
        status.can_focus = False
        screen.mount(status)
    for pane in screen.query("#small"):
        pane.display = is_small(size)


def paint_small(screen: Screen[Any]) -> None:
    board = cast(ConsoleApp, screen.app)
    for pane in screen.query("#small"):
        if pane.display:
            status = small_status(board.size, board.header, board.services, board.ctx, alarm_of(board))
            cast("Pane", pane).show_runs(status)


def _at(at: datetime, ctx: RenderContext) -> str:
    clock = ctx.clock
    old = abs(ctx.now - at) > timedelta(days=1)
    return clock.full(at) if old else f"{clock.hms(at)} {clock.label(at)}"


def _suppressed(view: HeaderView, ctx: RenderContext) -> str:
    paused = "".join(f" NOT POLLED, {pause.system}: {paused_text(pause, ctx)}" for pause in view.paused)
    if len(view.paused) > 1:
        paused = (
            f" NOT POLLED: {', '.join(pause.system for pause in view.paused)}; 5 shows by which user and until when"
        )
    silenced = clean_line(silenced_text(view.silenced))
    suppressed = " ·".join(filter(None, [paused, silenced and f" {silenced}"]))
    if view.frozen:
        verdict = freeze_banner(view.frozen, ctx.zoned)
        return f" {verdict}{suppressed and f' ·{suppressed}'}"
    if suppressed:
        return f"{_shadow(view, ' · ')}{suppressed}"
    return _shadow(view, f" for {', '.join(view.in_shadow)}")


def _shadow(view: HeaderView, suffix: str) -> str:
    return f" SHADOW, nothing is sent{suffix}" if view.in_shadow else ""


def footer_segments(
    acts: Sequence[key_table.KeyAction], crumb: str, dead: set[str], glyphs: GlyphSet, width: int
) -> Sides:
    """Keys of a screen, as many as fit; disabled ones dim. Jump and help stay at the right edge."""
    right: list[Segment] = []
    keys: list[Segment] = [(f" <{cut(crumb, 28)}> ", "dim")]
    for act in acts:
        runs: list[Segment] = [
            (f" {key_table.key_label(act.keys[0], glyphs.plain)}", "dim" if act.name in dead else "key"),
            (f" {act.label} ", "dim" if act.name in dead else "plain"),
        ]
        if act.name in AT_RIGHT:
            right += runs
        else:
            keys += runs
    while keys and length_of(keys) + length_of(right) > width:
        del keys[-2:]
    return keys, right


def act_at(sides: Sides, acts: Sequence[key_table.KeyAction], width: int, x: int) -> str:
    keys, right = sides
    names = {edge: [act.name for act in acts if (act.name in AT_RIGHT) is edge] for edge in (False, True)}
    for runs, edge, first in ((keys[1:], False, length_of(keys[:1])), (right, True, width - length_of(right))):
        start = first
        for name, key, label in zip(names[edge], runs[::2], runs[1::2], strict=False):
            size = length_of([key, label])
            if start <= x < start + size:
                return name
            start += size
    return ""


_DANGERS = {"breached": "bad", "will miss": "bad"}


def counted_at(header: HeaderSides, width: int, x: int) -> str:
    """The action of the count at that column; empty where none is."""
    start = width - length_of(header.right)
    for number, run in enumerate(header.right):  # a dot after each count
        size = length_of([run])
        if start <= x < start + size:
            return "".join(header.actions[number // 2 : number // 2 + 1]) if number % 2 == 0 else ""
        start += size
    return ""


def zone_text(ctx: RenderContext) -> str:
    mode = ctx.clock.mode
    if mode is ZoneMode.UTC:
        return "UTC"
    if mode is ZoneMode.MINE:
        return f"mine ({ctx.clock.label(ctx.now)})"
    return f"{ctx.clock.home or 'mine'} ({ctx.clock.label(ctx.now)})"


def small_status(
    size: Size, view: HeaderView | None, services: Sequence[ServiceView], ctx: RenderContext, warning: str = ""
) -> list[list[Segment]]:
    alone = 10 * size.width  # the lines below replace its right side
    lines: list[list[Segment]] = [[(warning, "alarm")]] if warning else [header_segments(view, ctx, alone).left]
    room = size.height - 3
    urgent = ordered(services, ctx.now)
    shown = urgent if len(urgent) <= room else urgent[: max(0, room - 1)]
    lines += [_short_line(service, ctx, size.width, is_old=bool(warning)) for service in shown]
    if len(shown) < len(urgent):
        lines.append([(f"{len(urgent) - len(shown)} more", "dim")])
    text = f"terminal too small: {size.width}x{size.height}; 60x15 shows a screen"
    short = f"terminal too small: {size.width}x{size.height}, needs 60x15"
    lines.append([(text if len(text) <= size.width else short, "warn")])
    return [*lines, [("only ^C works here: it quits", "dim")]]


def _short_line(service: ServiceView, ctx: RenderContext, width: int, is_old: bool) -> list[Segment]:
    mark, label, style = ctx.status(service, is_old)
    when = ctx.due(service.deadline) if service.is_promised else ""
    name = max(12, min(20, width - 28))
    runs: list[Segment] = [(f"{mark} ", style), (fit(service.title or service.name, name), "plain")]
    runs.append((f" {when} {label}", style))
    if service.act_by is not None and service.delivered is None:
        by, urgent = act_by(service.act_by, ctx)
        is_whole = width >= ROOMY or service.act_by <= ctx.now
        runs.append((f" act by {by}" if is_whole else f" act {ctx.hm(service.act_by)}", urgent))
    return runs


TOUR_BAR_ID = "tour"


def tour_bar(board: ConsoleApp, where: str) -> Iterator[Bar]:
    if board.tour is not None and (where not in OVERLAYS or where == "preview"):
        yield Bar(id=TOUR_BAR_ID, background="panel", lines=2)


def is_tour_shown(board: ConsoleApp) -> bool:
    return board.tour is not None and board.tour.on


def paint_tour(screen: Screen[Any], where: str, only_problems: bool = False, must_type: str = "") -> None:
    """Reports the state of a screen or dialog to the tour, and shows the next step."""
    board = cast(ConsoleApp, screen.app)
    tour = board.tour
    if tour is None or board.header is None or not screen.is_attached:
        return
    from console.tui.frame.tour import TourState

    at_risk = tuple(
        service.title or service.name
        for service in board.services
        if service.is_endangered and service.delivered is None
    )
    by_key = board.demo_pause is not None and board.demo_pause.by_key
    delivered = tuple(
        (service.title or service.name, f"Delivered {'on time' if service.timeliness == Timeliness.MET else 'late'}")
        for service in board.services
        if service.delivered is not None
    )
    incidents, is_paused = board.header.open_incidents, board.clock_waits
    seen = TourState(where, only_problems, incidents, must_type, at_risk, is_paused, by_key, delivered)
    if tour.awaits_plans:
        board.query_thread.ask("tour", _plan_states, lambda answer: tour.take_plans(*answer), lambda _: None)
    was_done = tour.is_done
    tour.notice(seen)
    if tour.is_done and not was_done:
        for shown in board.screen_stack:
            if isinstance(shown, ConsoleScreen):
                shown.show_all_rows()
    for bar in screen.query(f"#{TOUR_BAR_ID}").results(Bar):
        bar.display = tour.on and not is_small(board.size)
        bar.show_lines(_tour_lines(board, tour, seen, bar.size.width or board.size.width))


def _plan_states(reads: Queries) -> tuple[dict[int, str], IncidentView | None]:
    """The state of each plan, `MORE_STEPS` if it is done and its incident needs another one, `REPAIRED` if it runs and
    nothing of its incident is red or stale; and the newest incident of a plan, else the newest closed one."""
    plans = reads.plans.list_plans()
    states = {plan.id: _plan_state(plan, reads) for plan in plans}
    numbers = [plan.incident_id for plan in plans if plan.incident_id is not None]
    numbers = numbers or [row.id for row in reads.incidents.list_incidents(closed=True)]
    return states, reads.incidents.incident(numbers[0]) if numbers else None


def _plan_state(plan: PlanView, reads: Queries) -> str:
    from console.domain.incident import open_reason, open_steps
    from console.tui.frame.tour import MORE_STEPS, REPAIRED

    if plan.incident_id is None or plan.state not in ("done", "running"):
        return plan.state
    incident = reads.incidents.incident(plan.incident_id)
    if plan.state == "done":
        return MORE_STEPS if open_reason(incident) else plan.state
    return plan.state if open_steps(incident) else REPAIRED


def _tour_lines(board: ConsoleApp, tour: GuidedTour, seen: TourState, width: int) -> list[BarLine]:
    key = board.ctx.key
    hints = [] if seen.where in OVERLAYS else [("tour_skip", "skip"), ("tour", "leave")][tour.is_done :]
    right: list[Segment] = []
    for name, label in hints:
        right += [(key(seen.where, name), "key"), (f" {label}  ", "plain")]
    title: BarLine = (((f" {tour.title} ", "ok" if tour.is_done else "mark"),), tuple(right), "panel")
    recap = banner_lines(tour.recap(board.ctx.hm), width, "ok", "panel") if tour.is_done else []
    has_stopped = board.header is not None and board.header.engine.stopped_at is not None
    text = "The engine of the demo has stopped: quit and start again" if has_stopped else tour.text(seen, key)
    return [title, *recap, *banner_lines(text, width, "plain", "panel")]
