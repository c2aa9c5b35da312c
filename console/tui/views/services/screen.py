"""Services: promised deliveries, their deadlines and risks. The first screen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from console.config.saved_views import SavedView
from console.domain.filter import field_term
from console.domain.header import HeaderView
from console.domain.reason import reasons_text
from console.domain.service import ServiceView
from console.domain.text import Clock
from console.domain.timeline import TimelineView
from console.store.queries.reader import Queries
from console.tui.frame import service_groups
from console.tui.frame.cells import heading, joined_segments
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_SELECTED, READING_TEXT, HeadwayScreen
from console.tui.frame.service_groups import ServiceGroup, ServiceGrouping
from console.tui.views.commands import common_commands, recover_incident
from console.tui.views.incidents.timeline import timeline_below
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.lanes import path_lines
from console.tui.views.lists import ViewList
from console.tui.views.months import show_months
from console.tui.views.preview import PreviewBeside, PreviewSource, list_width
from console.tui.views.services import rows
from console.tui.views.services.preview import service_source
from console.tui.widgets.bar import Bar, CoveredContainer
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import LazyRows, TableRow, list_share

if TYPE_CHECKING:
    from console.domain.incident import IncidentView

NO_JOBS_TEXT = (
    "Nothing is monitored yet.",
    "",
    "5  Systems shows what is polled, and any error.",
    "In a shell: headway check tests every system and permission;",
    "headway init detects schedulers on this machine.",
)
NO_DEADLINE_TEXT = (
    "{jobs} monitored, but no service is configured yet.",
    "",
    "3  Jobs shows them all; 4  Tonight what runs when.",
    "A service is an outcome with a deadline. In the config:",
    "",
    "   [services.daily-revenue]",
    '   delivered_by = ["SYSTEM/JOB"]      # its last job',
    '   deadline = "07:30"',
    '   timezone = "Europe/Berlin"',
    "",
    "It appears some ten seconds after the file is saved.",
)


WAITING_TEXT = ("The engine is being started.", "", "It reads the config; its services appear within seconds.")


def empty_text(header: HeaderView | None, is_awaited: bool = False) -> str:
    """The text for a board without a service; `is_awaited`: a starting engine has not written any yet."""
    if is_awaited:
        return "\n".join(WAITING_TEXT)
    if header is None:
        return READING_TEXT
    jobs = f"{header.jobs:,} job{'s are' if header.jobs != 1 else ' is'}"
    return "\n".join(NO_DEADLINE_TEXT).format(jobs=jobs) if header.jobs else "\n".join(NO_JOBS_TEXT)


DETAIL_FROM = 20
"""Lines of a terminal with room for the details of the selected service."""


Line = ServiceView | TableRow | tuple[ServiceView, ...]


def read_services(reads: Queries) -> tuple[ServiceView, ...]:
    """All services. Results for thousands are cached here, in the reader's thread, not in the screen's."""
    services = tuple(reads.services.list_services())
    service_groups.prepare(services, reads.now())
    rows.service_context(services)
    return services


class ServiceList(ViewList):
    """The services in groups; healthy ones are folded if they do not fit."""

    def __init__(self, screen: HeadwayScreen, painted: Callable[[], None]) -> None:
        super().__init__(
            screen,
            rows.SERVICES,
            lambda: empty_text(screen.board.header, screen.board.beginning.awaits_services),
            row=self._row,
            text=lambda view: _filter_text(view, screen.ctx.zoned),
            is_problem=lambda view: bool(view.needs_a_person),
            painted=painted,
        )
        self._grouped: tuple[tuple[object, ...], list[ServiceGroup]] | None = None
        """The groups of these views under this filter and grouping."""
        self._made: tuple[tuple[object, ...], LazyRows] | None = None
        """The rows of these groups on a page of this size; each is made when it comes into view, with the present
        time."""

    def view_here(self, name: str) -> SavedView:
        return super().view_here(name)._replace(grouping=self.screen.board.grouping.value)

    @property
    def _width(self) -> int:
        return list_share(self.screen.size.width)

    def resized(self) -> None:
        super().resized()
        self.refilter()

    def refilter(self) -> None:
        by_tier = self.screen.board.grouping is ServiceGrouping.TIER
        self.grid.empty = (self.no_match() or self.empty()) if self.loaded else self.screen.waiting
        self.grid.set_columns(rows.columns(self.views, self._width, by_tier))
        self.grid.show(self._rows(), keep=self.grid.touched)
        self.painted()

    def _rows(self) -> LazyRows:
        """The lines of all groups; the same object while they are the same."""
        all_groups = self.groups()
        is_cut = service_groups.line_count(all_groups) > self.grid.page
        folds = is_cut and bool(self.grid.size) and self.screen.board.folding and not self.filter_text
        if self._made is None or self._made[0][0] is not all_groups or self._made[0][1:] != (folds, self.grid.page):
            shown = service_groups.folded(all_groups, self.grid.page) if folds else all_groups
            lines = [line for group in shown for line in self._lines_of(group)]
            source = LazyRows([key for key, _ in lines], lambda index: self._row_at(*lines[index]))
            self._made = (all_groups, folds, self.grid.page), source
        return self._made[1]

    def groups(self) -> list[ServiceGroup]:
        """The filtered views, grouped; the same object while views, their order, filter and grouping are the same."""
        now, grouping = self.screen.ctx.now, self.screen.board.grouping
        made_of = (service_groups.ordered(self.views, now), self.filter_text, self.only_problems, grouping)
        if self._grouped is None or any(old is not new for old, new in zip(self._grouped[0], made_of, strict=True)):
            self._grouped = made_of, service_groups.groups(self.filtered(), grouping, now)
        return self._grouped[1]

    def _lines_of(self, group: ServiceGroup) -> list[tuple[Hashable, Line]]:
        lines: list[tuple[Hashable, Line]] = []
        if group.name:
            head = heading(group.name, group.name.upper(), service_groups.group_note(group))
            lines.append((head.key, head))
        lines += [(view.id, view) for view in group.views]
        if group.folded:
            lines.append((("folded", group.name), group.folded))
        return lines

    def _row_at(self, key: Hashable, line: Line) -> TableRow:
        if isinstance(line, ServiceView):
            return self._row(line)
        if isinstance(line, TableRow):
            return line
        return joined_segments(key, [(f"   {service_groups.folded_text(line, self.screen.ctx)}", "dim")])

    def _row(self, view: ServiceView) -> TableRow:
        return rows.service_row(view, self.screen.ctx, self._width, self.screen.board.is_old)


def _filter_text(view: ServiceView, clock: Clock) -> str:
    acknowledged = f" taken:{view.acknowledged_by}" if view.acknowledged_by else ""
    about = f"{view.name} {view.title} {view.cause} {view.problem.text(clock) if view.problem else ''}"
    return f"{about} owner:{view.owner} tier:{view.tier} state:{view.timeliness}{acknowledged}"


class ServicesScreen(HeadwayScreen):
    WHERE = "services"

    def __init__(self) -> None:
        super().__init__()
        self.list = ServiceList(self, self._list_painted)
        self.grid = self.list.grid
        self.verdict = VerdictLine(self, command=self._verdict_command)
        self.preview = PreviewBeside(self, self._preview_source)
        self.parts = (self.list, self.preview, self.verdict)
        self.night: TimelineView | None = None
        """The critical path of the selected service, or of the one selected before until it is read."""
        self._path_of: tuple[ServiceView, ...] = ()
        """Those that the path is queried of."""

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            ScreenCommand("open", self.open_selected, self.list.why_not_open),
            ScreenCommand("evidence", self.open_evidence, self.why_no_run),
            ScreenCommand("recover", lambda: recover_incident(self, self.selected.incident_id), self.why_no_run),
            ScreenCommand("group", self.next_grouping),
            ScreenCommand("fold", self.toggle_folding, self._why_not_fold),
            ScreenCommand("months", self.show_months, lambda: "" if self.selected is not None else NOT_SELECTED),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.preview.beside(self.list.widgets(), [Bar(id="detail", background="panel", lines=2)])

    def on_mount(self) -> None:
        if self.board.header is not None:  # read while textual was starting: the first paint has rows
            self.list.show_views(self.board.services)

    def fetch(self) -> None:
        self.ask("services", read_services, self.list.show_views)
        super().fetch()
        self._fetch_night()

    def _fetch_night(self) -> None:
        shown = self._path_of = self._path_services
        if shown:
            date = shown[0].business_date
            self.ask("night", lambda reads: reads.service_days.timeline_of(shown, date), self._show_night, instead=True)

    @property
    def _path_services(self) -> tuple[ServiceView, ...]:
        """The selected service, and other listed ones of that date, as far as there is room for their paths."""
        view: ServiceView | None = self.selected
        if view is None:
            return ()
        room, date = max(0, self._spare_lines // 2), view.business_date
        further = (
            service
            for service in service_groups.ordered(self.list.views, self.ctx.now)
            if service is not view and service.business_date == date and self.list.matches(service)
        )
        return (view, *islice(further, room))

    def _follow(self) -> None:
        if self._path_services != self._path_of:
            self._fetch_night()

    def _show_night(self, night: TimelineView) -> None:
        self.night = night
        self._paint_about()

    @property
    def _spare_lines(self) -> int:
        """Lines below the list; the rows get theirs first, whatever the details had before a resize."""
        listed = self.grid.head + service_groups.line_count(self.list.groups())
        return sum(container.size.height for container in self.query(CoveredContainer)) - listed

    def _preview_source(self) -> PreviewSource | None:
        return None if self.selected is None else service_source(self.selected, self.verdict, self.board.is_old)

    @property
    def only_problems(self) -> bool:
        return self.list.only_problems

    def show_all_rows(self) -> None:
        if self.only_problems:
            self.list.toggle_problems()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        views, by = self.list.views, self.board.grouping
        count = "" if self.board.beginning.awaits_services else f" {len(views)}"
        title: list[Segment] = [(" SERVICES", "key"), (count, "strong")]
        if by is not ServiceGrouping.NONE:
            title.append((f"   by {by}", "dim"))
        return title, self.list.title_marks()

    def _list_painted(self) -> None:
        if self.is_whole and self.query("#detail"):
            self._follow()  # a filter hides services
        self._paint_about()

    def _paint_about(self) -> None:
        if self.is_whole and self.query("#detail"):  # mounted later, inside a container
            self.verdict.paint()
            self._paint_detail()

    @property
    def key_labels(self) -> Mapping[str, str]:
        return self.verdict.key_labels

    def _verdict_command(self, incident_id: int) -> str:
        return "recover" if self.selected is not None and self.selected.incident_id == incident_id else ""

    def _paint_detail(self) -> None:
        """The status of the selected service, its path tonight, the timeline of its incident and without one its
        reasons, as far as there is room below the list."""
        bar, view = self.bar("detail"), self.selected
        bar.display = view is not None and self.size.height >= DETAIL_FROM
        if view is None or not bar.display:
            return
        width = list_width(self.size.width)
        context = rows.service_context(self.list.views)
        lines = rows.service_detail(view, self.ctx, width, is_old=self.board.is_old)
        height = rows.DETAIL_LINES + (rows.REASON_LINES if context.has_reasons else 0)
        lines += [[]] * (height - len(lines))
        room = max(0, self._spare_lines - height - 1)
        night = self.night
        if night is not None and night.services and night.services[0].id == view.id:
            lines += path_lines(night, self.ctx, width, room)
            opened = self.verdict.opened
            if opened is not None and opened.view.row.id == view.incident_id:
                lines += timeline_below(opened.view, self.ctx, height + room - len(lines))
        lines += [[]] * (height + room - len(lines))  # the same height for every row
        bar.show_lines([(tuple(line), (), "panel") for line in lines])

    def resized(self) -> None:
        self._follow()

    def moved(self) -> None:
        self._follow()
        self._paint_about()

    def next_grouping(self) -> None:
        by = self.board.grouping = self.board.grouping.next()
        self.list.refilter()
        self.notice("not grouped" if by is ServiceGrouping.NONE else f"grouped by {by}")
        self.paint_frame()

    def _why_not_fold(self) -> str:
        every = service_groups.line_count(self.list.groups())
        return "" if every > self.grid.page else "nothing to fold: all services fit on the screen"

    def toggle_folding(self) -> None:
        self.board.folding = not self.board.folding
        self.list.refilter()

    # the selected service

    def show_months(self) -> None:
        show_months(self, "service", self.selected.name, self.selected.title or self.selected.name)

    def selected_name(self) -> str:
        return str(self.selected.name) if self.selected else ""

    def selected_job(self) -> str:
        path = self.selected.path if self.selected is not None else ()
        return self.selected.cause if path and self.selected.cause in path else path[-1] if path else ""

    def why_no_job(self) -> str:
        view = self.selected
        if view is None:
            return NOT_SELECTED
        return "" if self.selected_job() else f"no critical path of {view.title or view.name} is known yet"

    def selected_links(self) -> list[tuple[str, str]]:
        view: ServiceView | None = self.selected
        links = (
            (("owner", view.owner), ("runbook", view.runbook), ("why", reasons_text(view.reasons, self.ctx.zoned)))
            if view is not None
            else ()
        )
        return [(label, text) for label, text in links if text]

    def open_selected(self) -> None:
        if self.selected.incident_id is not None:
            self.navigation.open_incident(self.selected.incident_id)
        else:
            self.navigation.open_jobs(field_term("service", self.selected.name))

    def open_evidence(self) -> None:
        self.navigation.open_incident(self.selected.incident_id, "evidence")

    def why_no_run(self) -> str:
        view = self.selected
        if view is None:
            return NOT_SELECTED
        if view.incident_id is None:
            return f"{view.title or view.name} has no open incident: {self.key_for('open')} shows its jobs"
        return ""

    def with_run(self, then: Callable[[RunChoice], None]) -> None:
        incident_id = self.selected.incident_id

        def root_found(view: IncidentView) -> None:
            if view.row.root_run_id is None:
                self.notice(f"the root cause of its incident is not a run: {self.key_for('open')} shows it", "warn")
            else:
                then(RunChoice(view.row.root_run_id, view.row.root_job, incident_id))

        self.fetch_subject("root", lambda reads: reads.incidents.incident(incident_id), root_found)
