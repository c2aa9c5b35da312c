"""Jobs and runs as rows: the two tables that a person reads most. Pure; the time is an argument."""

from __future__ import annotations

from datetime import timedelta

from console.domain.ids import instant
from console.domain.job import JobRow
from console.domain.run import RunRow
from console.tui.frame.cells import RenderContext, duration_text, marked_row, state_cells
from console.tui.frame.clock_format import format_signed
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, by_priority, roomy, widened

JOB_COLUMNS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("job", 34, 1, flex=4, most=64, middle=True),
    Column("state", 10, 2),
    Column("deadline", 9, 0),
    Column("slack", 7, 0, right=True),
    Column("date", 10, 5),
    Column("started", 9, 3),
    Column("took", 7, 4, right=True),
    Column("next", 9, 3),
    Column("schedule", 12, 6, flex=1, most=44),
    Column("owner", 8, 7, flex=1, most=24),
    Column("native", 10, 0, flex=1, most=20),
    Column("try", 3, 0, right=True),
)
PROMISED_COLUMNS = by_priority(JOB_COLUMNS, deadline=2, slack=2)
JOB_COLUMNS_ROOMY = roomy(
    by_priority(JOB_COLUMNS, deadline=8, slack=9, native=10, **{"try": 11}), job=50, schedule=44, native=14
)
JOB_COLUMNS_WIDE = widened(by_priority(JOB_COLUMNS, deadline=3, slack=3, native=8, **{"try": 8}))
JOB_RUN_COLUMNS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("period", 20, 1, flex=2, most=32),
    Column("date", 10, 4),
    Column("state", 10, 1),
    Column("try", 3, 2, right=True),
    Column("started", 9, 2),
    Column("ended", 9, 2),
    Column("took", 7, 3, right=True),
    Column("exit", 4, 3, right=True),
    Column("message", 10, 5, flex=3),
)
RUN_COLUMNS = (
    *JOB_RUN_COLUMNS[:2],
    Column("job", 30, 1, flex=4, most=60, middle=True),
    Column("period", 9, 2, flex=1, most=24),
    *JOB_RUN_COLUMNS[3:-1],
    Column("message", 10, 5, flex=3),
    Column("native", 10, 0, flex=1, most=20),
)
RUN_COLUMNS_ROOMY = roomy(by_priority(RUN_COLUMNS, native=6), job=48, period=16, native=14)
RUN_COLUMNS_WIDE = widened(by_priority(RUN_COLUMNS, native=6))


def job_row(
    view: JobRow,
    ctx: RenderContext,
    drifted: str = "",
    marked: bool = False,
    promised: tuple[int, int | None] | None = None,
) -> TableRow:
    """A line of Jobs; `drifted`: its drift; `promised`: deadline and slack of the services below, in microseconds."""
    dash = ctx.sign("dash")
    name = "  " + view.name if view.is_task else view.name
    if view.state:
        cells = state_cells(view, ctx)
    else:
        cells = ((" ", "dim"), (" ", "dim"), ("no run yet", "dim"))
    status = "held" if view.held_by else "paused" if view.paused else "gone" if view.gone else ""
    schedule: Segment = (f"drift: {drifted}", "warn") if drifted else (view.schedule, "dim")
    return TableRow(
        view.id,
        (
            cells[0],
            *marked_row(cells[1], name, ctx, marked, "dim" if view.gone else "plain"),
            cells[2],
            *_promise(promised, ctx),
            (view.business_date, "dim"),
            (ctx.day(view.started), "plain"),
            (duration_text(view, ctx) or dash, "plain"),
            (status or ctx.day(view.next), "warn" if status else "plain"),
            schedule,
            (view.owner, "dim"),
            (view.native_state, "dim"),
            (str(view.attempts or ""), "warn" if view.attempts > 1 else "dim"),
        ),
    )


def _promise(promised: tuple[int, int | None] | None, ctx: RenderContext) -> tuple[Segment, Segment]:
    dash: Segment = (ctx.sign("dash"), "dim")
    if promised is None:
        return dash, dash
    deadline, slack_us = instant(promised[0]), promised[1]
    at: Segment = (ctx.day(deadline), "plain" if deadline > ctx.now else "bad")
    if slack_us is None:
        return at, dash
    slack = timedelta(microseconds=slack_us)
    return at, (format_signed(slack), "bad" if slack < timedelta(0) else "plain")


def run_row(view: RunRow, ctx: RenderContext, zone: str = "", marked: bool = False) -> TableRow:
    mark, sign, label = state_cells(view, ctx)
    when = ctx.clock.full(view.period, zone) if view.period else ctx.clock.period(view.period_key, zone)
    day = view.period or ctx.now
    return TableRow(
        view.id,
        (
            mark,
            *marked_row(sign, when, ctx, marked),
            (view.business_date, "dim"),
            label,
            (str(view.attempts), "warn" if view.attempts > 1 else "dim"),
            (ctx.clock.day(view.started, day, zone), "plain"),
            (ctx.clock.day(view.ended, view.started or day, zone), "plain"),
            (duration_text(view, ctx), "plain"),
            ("" if view.exit_code is None else str(view.exit_code), "bad" if view.exit_code else "dim"),
            (view.message or view.reason, "dim"),
        ),
    )


def any_run_row(view: RunRow, ctx: RenderContext, marked: bool = False) -> TableRow:
    mark, sign, _, *cells = run_row(view, ctx, marked=marked).cells
    period = ctx.day(view.period) if view.period else ctx.clock.period(view.period_key)
    return TableRow(
        view.id,
        (mark, sign, (view.job, "key" if marked else "plain"), (period, "plain"), *cells, (view.native_state, "dim")),
    )
