"""Incidents: one row per root cause with both its clocks; a summary of the selected one below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from textual.app import ComposeResult

from console.domain.ids import incident_name
from console.domain.incident import IncidentRow, IncidentView, sort_by_impact
from console.domain.text import render
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, SegmentLines, act_by, counted, labelled_lines, passed
from console.tui.frame.clock_format import format_short
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands, recover_incident
from console.tui.views.incidents.actions import acknowledge, incident_commands, incident_links, root_run
from console.tui.views.incidents.path import PathBelow
from console.tui.views.incidents.preview import empty_source, incident_source
from console.tui.views.incidents.summary import incident_mark
from console.tui.views.incidents.timeline import notified_cell
from console.tui.views.incidents.verdict_line import OpenIncident, VerdictLine
from console.tui.views.lists import ViewList
from console.tui.views.preview import PreviewBeside, PreviewSource
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, cells_row

INCIDENT_COLUMNS = (
    Column("", 1, 1),
    Column("incident", 8, 1),
    Column("cause", 22, 1, flex=4, most=56, middle=True),
    Column("act by", 12, 1),
    Column("failed", 6, 1, right=True),
    Column("svcs", 4, 2, right=True),
    Column("ack by", 9, 3, flex=1, most=16),
    Column("notified", 10, 4),
    Column("reason", 40, 5, flex=2),
)


def incident_row(view: IncidentRow, ctx: RenderContext) -> TableRow:
    since = (view.failed_until or ctx.now) - view.failed_since
    closed: Segment = (f"closed {ctx.hm(view.closed)}", "ok")
    unacknowledged: Segment = ("none", "warn" if view.services else "dim")
    return cells_row(
        view.id,
        incident_mark(view, ctx),
        (incident_name(view.id), "strong"),
        (view.root_job or view.title.text(ctx.zoned), "plain"),
        closed if view.closed else act_by(view.act_by, ctx),
        (format_short(since), "plain"),
        (str(view.services), "plain" if view.services else "dim"),
        (view.acknowledged_by, "ok")
        if view.acknowledged_by
        else (ctx.sign("dash"), "dim")
        if view.closed
        else unacknowledged,
        notified_cell(view, ctx, is_short=True),
        (view.summary(ctx.zoned), "dim"),
    )


def incident_summary(view: IncidentRow, ctx: RenderContext) -> SegmentLines:
    hm, ends = ctx.hm, ("closed", ctx.hm(view.closed), "ok")
    if view.closed is None:
        ends = "act by", hm(view.act_by) + passed(view.act_by, ctx) if view.act_by else "", "warn"
    affected_runs = f", {counted(view.affected_runs, 'run')} red or stale" if view.affected_runs else ""
    since = "" if view.failed_until else "since "
    acknowledged = f"{view.acknowledged_by} until {hm(view.acknowledged_until)}" if view.acknowledged_by else ""
    return labelled_lines(
        [
            ("reason", view.summary(ctx.zoned), "strong"),
            (
                "failed",
                f"{since}{hm(view.failed_since)}, business date {view.business_date}",
                "plain",
            ),
            ends,
            ("affects", (", ".join(view.hits) or "no service") + affected_runs, "plain"),
            ("owner", view.owner, "plain"),
            ("ack by", acknowledged, "ok"),
            ("alert", *notified_cell(view, ctx)),
        ]
    )


CLOSED_SINCE = timedelta(days=7)
CLOSED_FILTERS = ("state:closed", "closed")
"""Filter words that list closed incidents without `!`."""


class IncidentsScreen(HeadwayScreen):
    WHERE = "incidents"
    DEFAULT_CSS = "IncidentsScreen #about { border-top: solid $foreground 25%; height: auto; box-sizing: content-box; }"

    def __init__(self) -> None:
        super().__init__()
        self.with_closed = False
        """Whether those closed within seven days are listed."""
        self._closed_read = False
        self.list = ViewList(
            self,
            INCIDENT_COLUMNS,
            lambda: f"no open incident; {self.key_for('closed')} shows those of the last seven days",
            row=lambda view: incident_row(view, self.ctx),
            text=self._filter_text,
            painted=self._paint_summary,
        )
        self.verdict = VerdictLine(self, command=self._verdict_command)
        self.preview = PreviewBeside(self, self._preview_source)
        self.path = PathBelow(
            self, self.list.grid, self._selected_id, self._selected_view, width=0, affects=self._selected_services
        )
        self.parts = (self.list, self.preview, self.verdict, self.path)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            *incident_commands(self, lambda: int(self.selected.id), self._why_none),
            ScreenCommand("open", self._open_first, self._why_not_open),
            ScreenCommand(
                "evidence", lambda: self.navigation.open_incident(self.selected.id, "evidence"), self._why_none
            ),
            ScreenCommand("recover", lambda: recover_incident(self, self.selected.id), self._why_closed),
            ScreenCommand("ack", lambda: acknowledge(self, self.selected), self._why_closed),
            ScreenCommand("closed", self.toggle_closed),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.preview.beside(self.list.widgets(), self.path.widgets(), [Bar(id="about")])

    def _preview_source(self) -> PreviewSource | None:
        if self.selected is None:
            return empty_source(self.verdict) if self.list.is_empty else None
        return incident_source(self.selected.id, self.verdict)

    def _selected_id(self) -> int | None:
        return self.selected.id if self.selected is not None else None

    def _selected_services(self) -> Sequence[str]:
        return self.selected.hits if self.selected is not None else ()

    def _selected_view(self) -> IncidentView | None:
        answer = self.preview.answer  # of another subject while no incident is selected
        return answer.view if isinstance(answer, OpenIncident) else None

    @property
    def key_labels(self) -> Mapping[str, str]:
        return self.verdict.key_labels

    def _verdict_command(self, incident_id: int) -> str:
        return "recover" if self.selected is not None and self.selected.id == incident_id else ""

    def fetch(self) -> None:
        self._closed_read = with_closed = self._lists_closed

        def read(reads: Queries) -> list[IncidentRow]:
            since = self.board.now() - CLOSED_SINCE
            closed = reads.incidents.list_incidents(closed=True) if with_closed else []
            recent = [row for row in closed if row.closed and row.closed >= since]
            return sort_by_impact([*reads.incidents.list_incidents(), *recent])

        self.ask("incidents", read, self.list.show_views)
        super().fetch()

    @property
    def _lists_closed(self) -> bool:
        return self.with_closed or any(term in self.list.filter_text.lower().split() for term in CLOSED_FILTERS)

    def toggle_closed(self) -> None:
        self.with_closed = not self.with_closed
        self.fetch()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        count = sum(row.closed is None for row in self.list.views)
        title: list[Segment] = [(" INCIDENTS", "key"), (f" {count} open", "strong")]
        if closed := len(self.list.views) - count:
            title.append((f"  {closed} closed in seven days", "dim"))
        return title, self.list.title_marks()

    def _paint_summary(self) -> None:
        if self._closed_read != self._lists_closed:
            self.fetch()
        if bars := self.query("#about"):
            bars.first().display = self.selected is not None and not self.preview.is_shown
            if self.selected is not None:
                lines = incident_summary(self.selected, self.ctx)
                self.bar("about").show_lines([(tuple(line), (), "") for line in lines])

    def moved(self) -> None:
        self._paint_summary()

    def resized(self) -> None:
        """The preview may have come or gone."""
        self._paint_summary()

    def _filter_text(self, view: IncidentRow) -> str:
        state = "closed" if view.closed is not None else "open"
        title = view.title.text(self.ctx.zoned)
        parts = [
            incident_name(view.id),
            title,
            view.root_job,
            render(view.reason, self.ctx.zoned),
            f"owner:{view.owner}",
            *view.hits,
        ]
        notified, _ = notified_cell(view, self.ctx)
        return " ".join([*parts, f"state:{state}", f"ack:{view.acknowledged_by or 'none'}", notified])

    def selected_name(self) -> str:
        return incident_name(self.selected.id) if self.selected else ""

    def selected_job(self) -> str:
        return str(self.selected.root_job) if self.selected else ""

    def why_no_job(self) -> str:
        if self.selected is None:
            return self._why_none()
        return "" if self.selected.root_job else f"its root cause is not a job: {self.key_for('open')} shows its runs"

    def selected_links(self) -> list[tuple[str, str]]:
        return incident_links(self.selected)

    def selected_run(self) -> RunChoice | str:
        if self.selected is None:
            return self._why_none()
        return root_run(self.selected)

    def _closed_by_plan(self) -> OpenIncident | None:
        """Where none is open, the closed incident whose plan still runs, which the first line names."""
        opened = self.verdict.opened
        is_closed = opened is not None and opened.view.row.closed is not None
        return opened if self.list.is_empty and is_closed else None

    def _first_id(self) -> int | None:
        opened = self._closed_by_plan()
        return opened.view.row.id if opened is not None else self._selected_id()

    def _open_first(self) -> None:
        if (number := self._first_id()) is not None:
            self.navigation.open_incident(number)

    def _why_not_open(self) -> str:
        return "" if self._first_id() is not None else self._why_none()

    def _why_none(self) -> str:
        if self.selected is not None:
            return ""
        if (opened := self._closed_by_plan()) is not None:
            running = next(plan for plan in opened.plans if plan.state == "running")  # else it is not opened
            name = incident_name(opened.view.row.id)
            return f"{name} is closed, plan {running.id} still runs: {self.key_for('open')} opens it"
        return "no open incident" if self.list.loaded and not self.list.views else self.list.no_row

    def _why_closed(self) -> str:
        is_closed = self.selected is not None and self.selected.closed is not None
        return "it is closed" if is_closed else self._why_none()
