"""Holds: jobs that Headway prevents from starting, until when and why; `h` releases one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from connectors.sdk.states import RunState, Verb
from console.domain.hold import HoldView
from console.domain.ids import utc_minute
from console.domain.plan import PlanView
from console.domain.text import render
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.clock_format import format_short
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands, release_hold
from console.tui.views.incidents.preview import empty_source
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.lists import ViewList
from console.tui.views.preview import PreviewBelow, PreviewSource
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, cells_row

HOLD_COLUMNS = (
    Column("", 1, 1),
    Column("job", 28, 1, flex=3, most=60),
    Column("state", 12, 1),
    Column("until", 11, 1),
    Column("start", 9, 3),
    Column("by", 8, 4, flex=1, most=18),
    Column("kind", 9, 5),
    Column("why", 18, 2, flex=4),
)


def hold_row(view: HoldView, ctx: RenderContext) -> TableRow:
    mark, _, style = ctx.mark("state", RunState.HELD)
    when = ctx.hm(view.until)
    remaining = view.until - ctx.now
    seen = f"; last seen held {ctx.hm(view.seen)}" if view.seen is not None else ""
    until: Segment = (
        (f"{when} {format_short(remaining)}", "plain") if remaining > timedelta(0) else (f"{when} past", "warn")
    )
    return cells_row(
        view.key,
        (mark, "warn" if view.state in ("held", "foreign") else style),
        (view.job, "plain"),
        (view.state_label, "strong"),
        until,
        (ctx.day(view.due) if view.due is not None else "all", "dim"),
        (view.held_by, "dim"),
        (view.kind_label, "dim"),
        (f"{render(view.explanation, ctx.zoned)}{seen}", "plain"),
    )


class HoldsScreen(HeadwayScreen):
    WHERE = "holds"

    def __init__(self) -> None:
        super().__init__()
        self.list = ViewList(
            self,
            HOLD_COLUMNS,
            lambda: "no holds: h on a job adds one",
            row=lambda view: hold_row(view, self.ctx),
            text=_filter_text,
            key=lambda view: view.key,
        )
        self.plans: Sequence[PlanView] = ()
        """Those that have not ended."""
        self.preview = PreviewBelow(self, self._preview_source, self.list.grid)
        self.verdict = VerdictLine(self, loaded=self.preview.moved)
        self.list.painted = self.preview.moved
        self.parts = (self.verdict, self.list, self.preview)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            ScreenCommand("open", lambda: self.navigation.open_job(self.list.selected.job_id), self.list.why_not_open),
            ScreenCommand("hold", lambda: release_hold(self, self.list.selected), self.list.why_not_open),
        ]

    def _preview_source(self) -> PreviewSource | None:
        hold: HoldView | None = self.list.selected
        if hold is None:
            return empty_source(self.verdict) if self.list.is_empty else None
        job = job_source(hold.job_id)

        def lines(answer: Any, ctx: RenderContext, width: int, height: int) -> SegmentLines:
            title: list[Segment] = [(" HOLD ", "key"), (f"{hold.state_label} by {hold.held_by}", "strong")]
            why: list[Segment] = [(f" {render(hold.explanation, ctx.zoned)}", "plain")]
            return [title, why, *job.lines(answer, ctx, width, height - 2)]

        return job._replace(key=("hold", hold.key), lines=lines)

    def fetch(self) -> None:
        self.ask("holds", lambda reads: (reads.holds.list_holds(), reads.plans.list_plans(ended=False)), self._show)
        super().fetch()

    def _show(self, answer: tuple[Sequence[HoldView], Sequence[PlanView]]) -> None:
        views, self.plans = answer
        self.list.show_views(views)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        title: list[Segment] = [(" HOLDS", "key"), (f" {len(self.list.views)}", "strong"), *self._planned()]
        if self.is_frozen and self.list.views:
            title.append(("   frozen: holds stay until it is thawed", "warn"))
        return title, self.list.title_marks()

    def _planned(self) -> Iterator[Segment]:
        """ "  plan 1 adds 3: 03:50, 04:30, 05:20": the holds that a plan has not placed yet."""
        for plan in self.plans:
            due = [step.due for step in plan.steps if step.verb == Verb.HOLD and step.state == "planned" and step.due]
            if due:
                yield f"  plan {plan.id} adds {len(due)}: {', '.join(map(self.ctx.hm, sorted(due)))}", "dim"

    def selected_name(self) -> str:
        return str(self.list.selected.job) if self.list.selected else ""

    def selected_run(self) -> RunChoice | str:
        return f"a hold is about a job: {self.key_for('open')} shows it"


def _filter_text(view: HoldView) -> str:
    return f"{view.job} {render(view.explanation, utc_minute)} {view.held_by} state:{view.state} system:{view.system}"
