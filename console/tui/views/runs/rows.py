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
"""With the soonest deadline and the least slack of the services below."""
JOB_COLUMNS_ROOMY = roomy(
    by_priority(JOB_COLUMNS, deadline=8, slack=9, native=10, **{"try": 11}), job=50, schedule=44, native=14
)
"""All of them, where a screen is so wide that each has its room."""
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
"""Runs of all jobs."""
RUN_COLUMNS_ROOMY = roomy(by_priority(RUN_COLUMNS, native=6), job=48, period=16, native=14)
RUN_COLUMNS_WIDE = widened(by_priority(RUN_COLUMNS, native=6))


def job_row(
    view: JobRow,
    look: RenderContext,
    drifted: str = "",
    marked: bool = False,
    promised: tuple[int, int | None] | None = None,
) -> TableRow:
    """A line of Jobs; `drifted`: what differs from the accepted definition; `promised`: deadline and slack of what
    hangs on it, in microseconds."""
    dash = look.glyphs.sign("dash")
    name = "  " + view.name if view.is_task else view.name
    if view.state:
        cells = state_cells(view, look)
    else:
        cells = ((" ", "dim"), (" ", "dim"), ("no run yet", "dim"))
    stands = "held" if view.held_by else "paused" if view.paused else "gone" if view.gone else ""
    schedule: Segment = (f"drift: {drifted}", "warn") if drifted else (view.schedule, "dim")
    return TableRow(
        view.id,
        (
            cells[0],
            *marked_row(cells[1], name, look, marked, "dim" if view.gone else "plain"),
            cells[2],
            *_promise(promised, look),
            (view.business_date, "dim"),
            (look.clock.day(view.started, look.now), "plain"),
            (duration_text(view, look) or dash, "plain"),
            (stands or look.clock.day(view.next, look.now), "warn" if stands else "plain"),
            schedule,
            (view.owner, "dim"),
            (view.native_state, "dim"),
            (str(view.attempts or ""), "warn" if view.attempts > 1 else "dim"),
        ),
    )


def _promise(promised: tuple[int, int | None] | None, look: RenderContext) -> tuple[Segment, Segment]:
    """The soonest deadline and the least slack of the services below; dashes where there is none."""
    dash: Segment = (look.glyphs.sign("dash"), "dim")
    if promised is None:
        return dash, dash
    deadline, slack_us = instant(promised[0]), promised[1]
    at: Segment = (look.clock.day(deadline, look.now), "plain" if deadline > look.now else "bad")
    if slack_us is None:
        return at, dash
    slack = timedelta(microseconds=slack_us)
    return at, (format_signed(slack), "bad" if slack < timedelta(0) else "plain")


def run_row(view: RunRow, look: RenderContext, zone: str = "", marked: bool = False) -> TableRow:
    mark, sign, word = state_cells(view, look)
    when = look.clock.full(view.period, zone) if view.period else look.clock.period(view.period_key, zone)
    day = view.period or look.now
    return TableRow(
        view.id,
        (
            mark,
            *marked_row(sign, when, look, marked),
            (view.business_date, "dim"),
            word,
            (str(view.attempts), "warn" if view.attempts > 1 else "dim"),
            (look.clock.day(view.started, day, zone), "plain"),
            (look.clock.day(view.ended, view.started or day, zone), "plain"),
            (duration_text(view, look), "plain"),
            ("" if view.exit_code is None else str(view.exit_code), "bad" if view.exit_code else "dim"),
            (view.message or view.reason, "dim"),
        ),
    )


def any_run_row(view: RunRow, look: RenderContext, marked: bool = False) -> TableRow:
    """A line of Runs: the same as among the runs of its job, with the job's name before it."""
    mark, sign, _, *others = run_row(view, look, marked=marked).cells
    period = look.clock.day(view.period, look.now) if view.period else look.clock.period(view.period_key)
    return TableRow(
        view.id,
        (mark, sign, (view.job, "key" if marked else "plain"), (period, "plain"), *others, (view.native_state, "dim")),
    )
