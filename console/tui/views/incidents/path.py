"""The critical path of an incident tonight: from its root to the deadline of its most urgent service."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from textual.app import ComposeResult
from textual.geometry import Size

from console.control.incidents.verdict.decision import urgent_service
from console.control.services.order import by_urgency
from console.domain.incident import IncidentView
from console.domain.service import ServiceView
from console.domain.timeline import TimelineView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.views.incidents.timeline import timeline_below
from console.tui.views.lanes import LEAST_PATH, PathMarks, path_lines
from console.tui.views.preview import PREVIEW_FROM, list_width
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid

PATH_SHARE = 4
"""The path takes at most a quarter of the lines, or those that the rows above leave empty."""


def read_path(
    reads: Queries,
    incident_id: int | None,
    services: Sequence[ServiceView],
    further: int = 0,
    affects: Container[str] = (),
) -> TimelineView | None:
    """Timeline of the most urgent service, with an incident of those that it affects; then of at most `further` other
    services with the same business date, affected ones first. `affects`: titles of the services that the incident
    affected, which are no longer at risk once its root is repaired."""
    affected = [service for service in services if incident_id in (None, service.incident_id)]
    if not affected:
        affected = [service for service in services if service.title in affects]
    urgent = urgent_service(affected, reads.now())
    if urgent is None and incident_id is not None:
        urgent = next(iter(affected), None)

    def rank(service: ServiceView) -> tuple[bool, bool]:
        return service is not urgent, service not in affected

    shown = sorted(by_urgency(services, reads.now()), key=rank)
    same_date = [service for service in shown if service.business_date == shown[0].business_date]
    shown = same_date[: further + (urgent is not None)]
    return reads.service_days.timeline_of(shown, shown[0].business_date) if shown else None


def show_path(bar: Bar, view: IncidentView, night: TimelineView | None, ctx: RenderContext, size: Size) -> None:
    """The path of an open incident in its share of a screen of that size; no line without a path."""
    is_open = view.row.closed is None
    _show_lines(bar, _path(view.row.id, night, ctx, size.width, size.height // PATH_SHARE) if is_open else [])


def _path(
    incident_id: int | None, night: TimelineView | None, ctx: RenderContext, width: int, room: int
) -> SegmentLines:
    """The path, of a service that the incident affects with act-by and green-by."""
    if night is None or not night.services:
        return []
    service, marks = night.services[0], PathMarks()
    if incident_id is not None and service.incident_id == incident_id:
        marks = PathMarks(service.cause, service.act_by, service.green_by)
    return path_lines(night, ctx, width, room, marks)


def _show_lines(bar: Bar, lines: SegmentLines) -> None:
    bar.display = bool(lines)
    bar.show_lines([(tuple(line), (), "panel") for line in lines])


class PathBelow(ScreenPart):
    """The path of `incident` below the rows of `grid`; then, where the rows leave room, the other services of tonight,
    and on a wide screen the timeline of the incident, as `view` has it once another part has read it.

    `width`: columns of the screen from which it is shown. `share`: the least part of a wide screen that it takes; None:
    only lines that the rows leave empty."""

    def __init__(
        self,
        screen: HeadwayScreen,
        grid: Grid,
        incident: Callable[[], int | None],
        view: Callable[[], IncidentView | None],
        width: int = PREVIEW_FROM,
        share: int | None = PATH_SHARE,
        affects: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._screen, self._grid, self._incident, self._view = screen, grid, incident, view
        self._width, self._share, self._affects = width, share, affects
        self._bar = Bar(id="path", background="panel")
        self._bar.display = False
        self._fetched: tuple[int | None, int] | None = None
        self._answer: tuple[int | None, TimelineView | None] = None, None

    def widgets(self) -> ComposeResult:
        yield self._bar

    @property
    def _room(self) -> int:
        used = self._bar.size.height if self._bar.display else 0
        below_head = self._screen.size.height - self._grid.region.y - 2  # the bar may not fit any more
        spare = min(self._grid.page + used, below_head) - len(self._grid.source) - 1
        if self._share is None or self._screen.size.width < PREVIEW_FROM:
            return max(0, spare)
        return max(self._screen.size.height // self._share, spare)

    @property
    def _subject(self) -> tuple[int | None, int] | None:
        """The incident, and the number of other services that have room; None without room for a path."""
        room = self._room
        if self._screen.size.width < self._width or room < LEAST_PATH:
            return None
        return self._incident(), room // 2

    def fetch(self) -> None:
        subject = self._fetched = self._subject
        if subject is None:
            return
        (number, further), services, affects = subject, self._screen.board.services, self._affects()

        def show(night: TimelineView | None) -> None:
            self._answer = number, night
            self.tick()

        self._screen.ask("path", lambda reads: read_path(reads, number, services, further, affects), show, instead=True)

    def moved(self) -> None:
        if self._subject != self._fetched:
            self.fetch()

    def resized(self) -> None:
        self.tick()

    def tick(self) -> None:
        self.moved()
        size = self._screen.size
        number, night = self._answer if size.width >= self._width else (None, None)
        ctx, width, room = self._screen.ctx, list_width(size.width), self._room
        lines = _path(number, night, ctx, width, room)
        if size.width >= PREVIEW_FROM and (view := self._view()) is not None:
            lines += timeline_below(view, ctx, room - len(lines))
        _show_lines(self._bar, lines)
