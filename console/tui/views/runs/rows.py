"""Runs as rows: those of one job, and of all jobs. Pure; the time is an argument."""

from __future__ import annotations

from console.domain.run import RunRow
from console.tui.frame.cells import RenderContext, duration_text, marked_row, state_cells
from console.tui.widgets.table import NAME_FIRST, Column, TableRow, by_priority, cells_row, roomy, widened

JOB_RUN_COLUMNS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("period", 20, 1, flex=2, most=32),
    Column("business date", 13, 4),
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
    Column("job", 30, 1, flex=NAME_FIRST, most=60, middle=True, whole=42, whole_rank=3),
    Column("period", 9, 2, flex=1, most=24),
    *JOB_RUN_COLUMNS[3:-1],
    Column("message", 16, 5, flex=3),
    Column("native", 10, 0, flex=1, most=20),
)
RUN_COLUMNS_ROOMY = roomy(by_priority(RUN_COLUMNS, native=6), job=48, period=16, native=14)
RUN_COLUMNS_WIDE = widened(by_priority(RUN_COLUMNS, native=6))


def run_row(view: RunRow, ctx: RenderContext, marked: bool = False) -> TableRow:
    mark, sign, label = state_cells(view, ctx)
    when = view.period_text(ctx.stamp, ctx.period)
    day = view.period or ctx.now
    return cells_row(
        view.id,
        mark,
        *marked_row(sign, when, ctx, marked),
        (view.business_date, "dim"),
        label,
        (str(view.attempts), "warn" if view.attempts > 1 else "dim"),
        (ctx.clock.day(view.started, day), "plain"),
        (ctx.clock.day(view.ended, view.started or day), "plain"),
        (duration_text(view, ctx), "plain"),
        ("" if view.exit_code is None else str(view.exit_code), "bad" if view.exit_code else "dim"),
        (view.report(ctx.zoned), "dim"),
    )


def any_run_row(view: RunRow, ctx: RenderContext, marked: bool = False) -> TableRow:
    mark, sign, _, *cells = run_row(view, ctx, marked=marked).cells
    job = view.job, "key" if marked else "plain"
    return TableRow(view.id, (mark, sign, job, (ctx.day(view.planned), "plain"), *cells, (view.native_state, "dim")))
