"""Jobs and their runs as rows: the two tables that a person reads most. Pure; the time is an argument."""

from __future__ import annotations

from console.model.views import JobRow, RunRow
from console.tui.cells import Look, markable, state_cells, took
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

JOBS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("job", 34, 1, flex=4, middle=True),
    Column("state", 10, 2),
    Column("bd", 10, 5),
    Column("started", 9, 3),
    Column("took", 7, 4, right=True),
    Column("next", 9, 3),
    Column("schedule", 12, 6, flex=1, most=34),
    Column("owner", 8, 7, flex=1, most=18),
)
RUNS = (
    Column("", 1, 1),
    Column("", 1, 1),
    Column("period", 20, 1, flex=2, most=32),
    Column("bd", 10, 4),
    Column("state", 10, 1),
    Column("try", 3, 2, right=True),
    Column("started", 9, 2),
    Column("ended", 9, 2),
    Column("took", 7, 3, right=True),
    Column("exit", 4, 3, right=True),
    Column("message", 10, 5, flex=3),
)


def job(view: JobRow, look: Look, drifted: str = "", marked: bool = False) -> Row:
    """A line of Jobs; `drifted`: what differs from the accepted definition."""
    dash = look.glyphs.sign("dash")
    if view.state:
        cells = state_cells(view, look)
    else:
        cells = ((" ", "dim"), (" ", "dim"), ("no run yet", "dim"))
    stands = "held" if view.held_by else "paused" if view.paused else "gone" if view.gone else ""
    schedule: Run = (f"drift: {drifted}", "warn") if drifted else (view.schedule, "dim")
    return Row(
        view.id,
        (
            *cells[:2],
            markable("  " + view.name if view.is_task else view.name, look, marked, "dim" if view.gone else "plain"),
            cells[2],
            (view.bd, "dim"),
            (look.clock.day(view.started, look.now), "plain"),
            (took(view, look) or dash, "plain"),
            (stands or look.clock.day(view.next, look.now), "warn" if stands else "plain"),
            schedule,
            (view.owner, "dim"),
        ),
    )


def run(view: RunRow, look: Look, zone: str = "", marked: bool = False) -> Row:
    mark, sign, word = state_cells(view, look)
    when = look.clock.full(view.period, zone) if view.period else look.clock.period(view.period_key, zone)
    day = view.period or look.now
    return Row(
        view.id,
        (
            mark,
            sign,
            markable(when, look, marked),
            (view.bd, "dim"),
            word,
            (str(view.attempts), "warn" if view.attempts > 1 else "dim"),
            (look.clock.day(view.started, day, zone), "plain"),
            (look.clock.day(view.ended, view.started or day, zone), "plain"),
            (took(view, look), "plain"),
            ("" if view.exit_code is None else str(view.exit_code), "bad" if view.exit_code else "dim"),
            (view.message or view.reason, "dim"),
        ),
    )
