"""Services: what the business was promised, by when, and what endangers it. The first screen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from textual import on
from textual.app import ComposeResult

from console.model.views import IncidentView, ServiceView
from console.personal.views import SavedView
from console.tui import leading, service_rows, services
from console.tui.cells import heading
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run, length_of
from console.tui.widgets.table import Made, Row

DETAIL_FROM = 20
"""Lines of a terminal that has room for what is told of the service under the cursor."""
ROOMY = 45
"""Lines of a terminal from which on there is room for more than the row under the cursor."""
TALL, TALL_REASON = 30, 3
"""Lines of a terminal in which a reason may take several, and how many; in one with fewer where no row needs them."""
BROKEN = 10
"""Cells of a line of a reason that its last word may leave free."""
LEAST_DETAIL = 3
"""Lines that are told of it beside its reason."""


Line = ServiceView | Row | tuple[ServiceView, ...]
"""A service, a heading, or what is folded."""


def read_services(reads: ReadsLike) -> tuple[ServiceView, ...]:
    """All of them; what is asked of thousands is found here, in the reader's thread, and not on the screen's."""
    found = tuple(reads.services())
    for look in (services.by_urgency, services.needing_a_person, service_rows.about):
        look(found)
    services.needing_a_person(services.by_urgency(found))
    return found


class ServicesScreen(ShortListScreen):
    WHERE = "services"
    COLUMNS = service_rows.SERVICES
    _grouped: tuple[tuple[object, ...], list[services.Group]] | tuple[()] = ()
    _made: tuple[tuple[object, ...], Made] | None = None
    """The rows of these groups in so many lines: they are made as they come into view, and say what the time is."""

    def empty_words(self) -> str:
        is_bare = self.loaded and not self.views and not self.filter_text and not self.only_problems
        if not is_bare:
            return super().empty_words()
        return leading.no_service(self.board.header, self.board.beginning.awaits_services)

    def body(self) -> ComposeResult:
        yield from super().body()
        yield Bar(id="detail", ground="panel", lines=2)

    def on_mount(self) -> None:
        super().on_mount()
        if self.board.header is not None:  # read while textual was starting: the first paint has rows
            self.show_views(self.board.services)

    def fetch(self) -> None:
        self.board.ask_for(self, "services", read_services, self.show_views)

    @on(Grid.Resized)
    def resized(self) -> None:
        self.refilter()

    def view_here(self, name: str) -> SavedView:
        return super().view_here(name)._replace(grouping=self.board.grouping.value)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        bad = services.needing_a_person(self.views)
        counted = "" if self.board.beginning.awaits_services else f" {len(self.views)}"
        left: list[Run] = [(" SERVICES", "key"), (counted, "strong")]
        if bad:
            left.append((f"  {services.needing(bad)}", "warn"))
        calm = services.calm_words(self.views, self.board.header, self.board.store_error, self.look)
        by = self.board.grouping
        if calm is not None:
            left.append((f"  {calm[0]}", calm[1]))
        elif by is not services.Grouping.NONE:
            left.append((f"   by {by}", "dim"))
        marks = self.marks()
        return service_rows.with_times(left, self.look, self.size.width - length_of(marks)), marks

    def refilter(self) -> None:
        """Groups and folds what the filter leaves, as many as there is room for."""
        by = self.board.grouping
        self.grid.empty = self.empty_words()
        self.grid.set_columns(service_rows.columns(self.views, self.size.width, by is services.Grouping.TIER))
        self.grid.show(self._rows(), keep=self.grid.touched)
        self.paint_detail()

    def _rows(self) -> Made:
        """The lines of all groups; the same object while they are the same."""
        found = self._groups()
        is_folded = self.is_folded(services.lines_of(found))
        if self._made is None or self._made[0][0] is not found or self._made[0][1:] != (is_folded, self.grid.page):
            of = found, is_folded, self.grid.page
            shown = services.folded(found, self.grid.page) if is_folded else found
            lines = [line for group in shown for line in self._lines_of(group)]
            self._made = of, Made([key for key, _ in lines], lambda index: self._row_at(*lines[index]))
        return self._made[1]

    def _groups(self) -> list[services.Group]:
        """What filter and grouping make of the services that were read last: no order hangs on the time."""
        of = (self.views, self.filter_text, self.only_problems, self.board.grouping)
        if not self._grouped or any(one is not other for one, other in zip(self._grouped[0], of, strict=True)):
            self._grouped = of, services.groups(self.shown(), self.board.grouping)
        return self._grouped[1]

    def is_folded(self, lines: int) -> bool:
        """What is well is folded where it does not fit, unless somebody wants all of it, or looks for something."""
        return self.board.folding and not self.filter_text and lines > self.grid.page > 0

    def _lines_of(self, group: services.Group) -> list[tuple[Hashable, Line]]:
        """Keys, and what is a row of its own or becomes one when it comes into view."""
        found: list[tuple[Hashable, Line]] = []
        if group.name:
            head = heading(group.name, group.name.upper(), services.group_note(group))
            found.append((head.key, head))
        found += [(self.key_of(view), view) for view in group.views]
        if group.folded:
            found.append((("folded", group.name), group.folded))
        return found

    def _row_at(self, key: Hashable, line: Line) -> Row:
        if isinstance(line, ServiceView):
            return self.row_of(line)
        if isinstance(line, Row):
            return line
        return Row(key, ((f"   {services.fold_words(line, self.look)}", "dim"),), pick=False, free=True)

    def row_of(self, view: ServiceView) -> Row:
        is_old = services.stale_for(self.board.header, self.board.store_error, self.look.now) is not None
        return service_rows.service(view, self.look, self.size.width, not self.look.clock.home, is_old)

    def paint_detail(self) -> None:
        """What the row under the cursor has no room for."""
        bar, view = self.query_one("#detail", Bar), self.here
        bar.display = view is not None and self.size.height >= DETAIL_FROM and not self.is_small
        if view is not None:
            of = service_rows.about(self.views)
            is_long = of.longest_reason > self.size.width - 2
            spare = self.grid.page + bar.size.height - services.lines_of(self._groups())
            is_tall = self.size.height >= TALL or spare >= LEAST_DETAIL + TALL_REASON
            needed = 1 + of.longest_reason // max(1, self.size.width - BROKEN)
            most = max(TALL_REASON, min(needed, spare - LEAST_DETAIL)) if is_long and is_tall else 1
            told = service_rows.detail(view, self.look, self.size.width, most)
            lines = max(len(told), 3 + most if of.has_cause else 2)  # it stays as high as it is
            told = [*told, *[[]] * (lines - len(told))]
            more = self._others(view, spare - lines) if self.size.height >= ROOMY else []
            bar.show_lines([(tuple(runs), (), "panel") for runs in [*told, *more]])

    def _others(self, here: ServiceView, room: int) -> list[list[Run]]:
        """On a large screen the same of the others that need a person, each below an empty line, while they fit whole;
        a line stays free above them."""
        found: list[list[Run]] = []
        for view in self.views:
            if view is not here and view.needs_a_person:
                lines = [[], *service_rows.detail(view, self.look, self.size.width)]
                if len(found) + len(lines) < room:
                    found += lines
        return found

    @on(Grid.Moved)
    def moved(self) -> None:
        super().moved()
        self.paint_detail()

    def is_problem(self, view: ServiceView) -> bool:
        return view.needs_a_person

    def text_of(self, view: ServiceView) -> str:
        taken = f" taken:{view.taken_by}" if view.taken_by else ""
        about = f"{view.name} {view.title} {view.cause} {view.trouble}"
        return f"{about} owner:{view.owner} tier:{view.tier} state:{view.timeliness}{taken}"

    def do_group(self) -> None:
        self.board.grouping = self.board.grouping.next()
        self.refilter()
        by = self.board.grouping
        self.notice("not grouped" if by is services.Grouping.NONE else f"grouped by {by}")
        self.paint_frame()

    def why_not_fold(self) -> str:
        every = services.lines_of(self._groups())
        return "" if every > self.grid.page else "all services are shown: they fit on the screen"

    def do_fold(self) -> None:
        self.board.folding = not self.board.folding
        self.refilter()

    def name_here(self) -> str:
        return str(self.here.name) if self.here else ""

    def job_here(self) -> str:
        """What endangers it, else what delivers it."""
        path = self.here.path if self.here is not None else ()
        return self.here.cause if path and self.here.cause in path else path[-1] if path else ""

    def why_not_lineage(self) -> str:
        if self.here is None:
            return "nothing is selected"
        return "" if self.job_here() else f"no critical path of {self.here.title or self.here.name} is known yet"

    def links_here(self) -> list[tuple[str, str]]:
        view: ServiceView | None = self.here
        if view is None:
            return []
        found = [("owner", view.owner), ("runbook", view.runbook), ("why", view.reason)]
        return [(word, text) for word, text in found if text]

    def do_open(self) -> None:
        """Its incident; without one the jobs that it hangs on."""
        if self.here.incident_id is not None:
            self.board.open_incident(self.here.incident_id)
        else:
            self.board.open_jobs(f"service:{self.here.name}")

    def run_here(self) -> RunChoice | str:
        return self.why_not_recover() or "looking for its root run"

    def why_not_recover(self) -> str:
        """Why there is nothing to repair."""
        if self.here is None:
            return "nothing is selected"
        if self.here.incident_id is None:
            return f"{self.here.title or self.here.name} has no open incident: {self.key_for('open')} shows its jobs"
        return ""

    def why_not_log(self) -> str:
        return self.why_not_recover()

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.here.incident_id)

    def with_run(self, then: Callable[[RunChoice], None]) -> None:
        incident_id = self.here.incident_id

        def found(view: IncidentView) -> None:
            if view.row.root_run_id is None:
                self.notice(f"the root cause of its incident is no run: {self.key_for('open')} shows it", "warn")
            else:
                then(RunChoice(view.row.root_run_id, view.row.root_job, incident_id))

        self.look_up("root", lambda reads: reads.incident(incident_id), found)
