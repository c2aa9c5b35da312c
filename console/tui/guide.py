"""The tour's two lines above a footer: they are there in the demo only, and go where the person says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from console.tui import chrome
from console.tui.where import OVERLAYS
from console.tui.widgets.bar import Bar, Line

if TYPE_CHECKING:
    from console.model.carried import PlanView
    from console.tui.app import HeadwayApp
    from console.tui.ports import ReadsLike
    from console.tui.screens.base import BaseScreen
    from console.tui.tour import Tour

BAR = "tour"
SHORT = "short"
LAST = 4
"""Steps done before the one that a plan is started in: from then on it is asked how the plans stand."""


def bar(board: HeadwayApp, where: str) -> Iterator[Bar]:
    """The widget, where there is a tour; of boxes only those in which something is sent have it."""
    if board.tour is not None and (where not in OVERLAYS or where == "preview"):
        yield Bar(id=BAR, ground="panel", lines=2)


def is_shown(board: HeadwayApp) -> bool:
    return board.tour is not None and board.tour.on


def paint(screen: Any, where: str) -> None:
    """Tells the tour what is seen, and the person what comes next. `screen`: a screen or a box over one."""
    board: HeadwayApp = screen.board
    if board.tour is None or not screen.is_attached:
        return
    from console.tui.tour import Seen

    incidents = board.header.open_incidents if board.header is not None else 0
    asks = str(getattr(screen, "typed_first", ""))
    seen = Seen(where, bool(getattr(screen, "only_problems", False)), incidents, asks)
    if board.tour.step == LAST and not board.tour.is_done:
        board.desk.ask("tour", _plans, board.tour.take_plans, lambda _: None)
    board.tour.notice(seen)
    for found in screen.query(f"#{BAR}").results(Bar):
        found.display = board.tour.on and not chrome.is_small(board.size)
        found.show_lines(_lines(board, board.tour, seen))


def _plans(reads: ReadsLike) -> list[str]:
    """How each plan stands; `SHORT` where it is done and its incident needs another one."""
    return [SHORT if plan.state == "done" and _is_short(plan, reads) else plan.state for plan in reads.plans()]


def _is_short(plan: PlanView, reads: ReadsLike) -> bool:
    from console.model.steps import left_open

    return plan.incident_id is not None and bool(left_open(reads.incident(plan.incident_id)))


def _lines(board: HeadwayApp, tour: Tour, seen: Any) -> list[Line]:
    def key(screen: str, name: str) -> str:
        return key_of(board, screen, name)

    keys_ = [] if seen.where in OVERLAYS else [("tour_skip", "skip"), ("tour", "leave")]
    if tour.is_done:
        keys_ = [one for one in keys_ if one[0] == "tour"]
    right: list[tuple[str, str]] = []
    for name, word in keys_:
        right += [(f"{key(seen.where, name)}", "key"), (f" {word}  ", "plain")]
    style = "ok" if tour.is_done else "mark"
    title = f" {tour.title} "
    return [
        (((title, style),), tuple(right), "panel"),
        (((f" {tour.words(seen, key)}", "plain"),), (), "panel"),
    ]


def key_of(board: HeadwayApp, screen: str, name: str) -> str:
    """The first key of an act there, as this person has it."""
    return board.look.key(screen, name)


def turn(screen: BaseScreen) -> None:
    """Leaves the tour, or comes back to it."""
    tour = screen.board.tour
    if tour is None:
        return
    tour.on = not tour.on
    key = key_of(screen.board, screen.WHERE, "tour")
    screen.paint_frame()
    screen.notice("" if tour.on else f"the tour waits; {key} comes back to it")


def skip(screen: BaseScreen) -> None:
    if screen.board.tour is not None:
        screen.board.tour.skip()
        screen.paint_frame()
