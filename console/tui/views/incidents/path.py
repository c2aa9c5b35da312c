"""The critical path of an incident tonight: from its root to the deadline of its most urgent service."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult

from console.control.incidents.verdict import urgent_service
from console.domain.incident import IncidentView
from console.domain.service import ServiceView
from console.domain.timeline import TimelineView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.views.lanes import PathMarks, path_lines
from console.tui.views.preview import PREVIEW_FROM, list_width
from console.tui.widgets.bar import Bar

PATH_SHARE = 4
"""The path takes at most a quarter of the lines."""


def read_path(reads: Queries, incident_id: int, services: Sequence[ServiceView]) -> TimelineView | None:
    """Tonight of the most urgent service of the incident, one of `services`."""
    affected = [service for service in services if service.incident_id == incident_id and not service.has_delivered]
    urgent = urgent_service(affected, reads.now())
    return reads.service_days.timeline_of((urgent,), urgent.business_date) if urgent is not None else None


def show_path(
    bar: Bar, view: IncidentView | None, night: TimelineView | None, ctx: RenderContext, width: int, height: int
) -> None:
    """The path on a screen of `height` lines, with act-by and green-by, while the incident is open; else no line."""
    lines: SegmentLines = []
    if night is not None and view is not None and view.row.closed is None:
        name = night.services[0].name
        service = next((service for service in view.services if service.name == name), None)
        green_by = service.green_by if service is not None else None
        marks = PathMarks(view.row.root_job, service.act_by if service is not None else None, green_by)
        lines = path_lines(night, ctx, width, height // PATH_SHARE, marks)
    bar.display = bool(lines)
    bar.show_lines([(tuple(line), (), "panel") for line in lines])


class PathBelow(ScreenPart):
    """The path below a plan, on a screen wide enough for a preview."""

    def __init__(self, screen: HeadwayScreen, incident: Callable[[], int | None]) -> None:
        self._screen, self._incident = screen, incident
        self._bar = Bar(id="path", background="panel")
        self._bar.display = False
        self._answer: tuple[IncidentView, TimelineView | None] | None = None

    def widgets(self) -> ComposeResult:
        yield self._bar

    def fetch(self) -> None:
        number, services = self._incident(), self._screen.board.services
        if number is None or self._screen.size.width < PREVIEW_FROM:
            return

        def show(answer: tuple[IncidentView, TimelineView | None]) -> None:
            self._answer = answer
            self.tick()

        self._screen.ask(
            "path", lambda reads: (reads.incidents.incident(number), read_path(reads, number, services)), show
        )

    def resized(self) -> None:
        self.fetch()
        self.tick()

    def tick(self) -> None:
        size = self._screen.size
        view, night = self._answer if self._answer is not None and size.width >= PREVIEW_FROM else (None, None)
        show_path(self._bar, view, night, self._screen.ctx, list_width(size.width), size.height)
