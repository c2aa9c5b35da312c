"""Incidents: one line for each root cause, with both its clocks; what is known of the one under the cursor below it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from textual.app import ComposeResult

from console.model.ids import incident_name
from console.model.views import IncidentRow
from console.model.views.incidents import by_harm
from console.tui import rows
from console.tui.course import row_told
from console.tui.ports import ReadsLike
from console.tui.screens.base import RunChoice
from console.tui.screens.lists import ShortListScreen
from console.tui.screens.present import others
from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

CLOSED_SINCE = timedelta(days=7)
"""How far back those are shown that are over."""
CLOSED_WORDS = ("state:closed", "closed")
"""Filters that are about what is over: it is read for them without `!`."""


class IncidentsScreen(ShortListScreen):
    WHERE = "incidents"
    COLUMNS = rows.INCIDENTS
    DEFAULT_CSS = "IncidentsScreen #about { border-top: solid $foreground 25%; height: auto; box-sizing: content-box; }"

    def __init__(self, filter_text: str = "") -> None:
        super().__init__(filter_text)
        self.with_closed = False
        self.own = ""
        """This console as the store knows it: who looks from here is nobody else."""

    def body(self) -> ComposeResult:
        yield self.grid
        yield Bar(id="about")

    def fetch(self) -> None:
        closed = self.with_closed or any(word in self.filter_text.lower().split() for word in CLOSED_WORDS)

        def question(reads: ReadsLike) -> list[IncidentRow]:
            since = self.board.now() - CLOSED_SINCE
            over = [one for one in reads.incidents(closed=True) if one.closed and one.closed >= since] if closed else []
            return [*reads.incidents(), *over]

        self.board.ask_for(self, "incidents", question, self._sorted)

    def _sorted(self, incidents: Sequence[IncidentRow]) -> None:
        from console.store.reads.holders import holder_name

        self.own = holder_name()
        self.show_views(by_harm(incidents))

    def set_filter(self, text: str) -> None:
        was = self.filter_text
        super().set_filter(text)
        if any((word in was.lower()) != (word in text.lower()) for word in CLOSED_WORDS):
            self.fetch()

    def do_closed(self) -> None:
        self.with_closed = not self.with_closed
        self.fetch()

    def empty_words(self) -> str:
        return (
            super().empty_words() or f"no incident is open; {self.key_for('closed')} shows those of the last seven days"
        )

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        is_open = sum(one.closed is None for one in self.views)
        left: list[Run] = [(" INCIDENTS", "key"), (f" {is_open} open", "strong")]
        if over := len(self.views) - is_open:
            left.append((f"  {over} closed in seven days", "dim"))
        return left, self.marks()

    def refilter(self) -> None:
        super().refilter()
        self._tell()

    def _tell(self) -> None:
        """What the table has no room for, of the incident under the cursor."""
        bars = self.query("#about")
        view: IncidentRow | None = self.here
        if not bars:
            return
        bars.first().display = view is not None and not self.is_small
        if view is not None:
            told = rows.incident_about(view, self.look, self.size.width, others(view.lookers, self.own))
            self.bar("about").show_lines([(tuple(runs), (), "") for runs in told])

    def row_of(self, view: IncidentRow) -> Row:
        return rows.incident(view, self.look, others(view.lookers, self.own))

    def text_of(self, view: IncidentRow) -> str:
        state = "closed" if view.closed is not None else "open"
        told, _ = row_told(view, self.look)
        words = [incident_name(view.id), view.title, view.root_job, view.reason, f"owner:{view.owner}", *view.hits]
        return " ".join([*words, f"state:{state}", f"on:{view.taken_by or 'nobody'}", told])

    def on_grid_moved(self, _: Grid.Moved) -> None:
        self._tell()

    def name_here(self) -> str:
        return incident_name(self.here.id) if self.here else ""

    def job_here(self) -> str:
        return str(self.here.root_job) if self.here else ""

    def why_not_lineage(self) -> str:
        if self.here is None:
            return self.no_row
        return "" if self.here.root_job else f"its root cause is no job: {self.key_for('open')} shows its runs"

    def links_here(self) -> list[tuple[str, str]]:
        view: IncidentRow | None = self.here
        if view is None:
            return []
        return [(word, text) for word, text in (("owner", view.owner), ("runbook", view.runbook)) if text]

    def run_here(self) -> RunChoice | str:
        view: IncidentRow | None = self.here
        if view is None:
            return self.no_row
        if view.root_run_id is None:
            return "its root cause is no run: nothing to rerun"
        return RunChoice(view.root_run_id, view.root_job, view.id)

    @property
    def no_row(self) -> str:
        """Why nothing is under the cursor; empty where something is."""
        if self.here is not None:
            return ""
        return "no incident is open" if self.loaded and not self.views else super().no_row

    def why_not_recover(self) -> str:
        return self.no_row

    def do_recover(self) -> None:
        from console.tui.screens.acting import recover

        recover(self, self.here.id)

    def why_not_ack(self) -> str:
        over = self.here is not None and self.here.closed is not None
        return "it is closed: there is nothing to be on" if over else self.no_row

    def do_ack(self) -> None:
        from console.tui.screens.taking import take

        take(self, self.here)

    def why_not_note(self) -> str:
        return self.no_row

    def do_note(self) -> None:
        from console.tui.screens.handing import note

        note(self, self.here.id)

    def why_not_handover(self) -> str:
        return self.no_row

    def do_handover(self) -> None:
        from console.tui.screens.handing import hand_over

        hand_over(self, self.here.id)

    def do_open(self) -> None:
        self.board.open_incident(self.here.id)
