"""A run beside its list: the lines of its page above the log, and the end of the log. The latest runs of a system."""

from __future__ import annotations

from collections.abc import Sequence

from console.domain.filter import field_term, parse_filter
from console.domain.run import RunRow, RunView
from console.tui.frame.cells import RenderContext, SegmentLines, aligned, duration_text, state_cells
from console.tui.views.preview import PreviewSource, log_end
from console.tui.views.runs.overview import run_overview
from console.tui.widgets.paint import Segment


def run_source(run_id: int) -> PreviewSource:
    return PreviewSource(("run", run_id), lambda reads: reads.runs.run(run_id), _lines)


def _lines(view: RunView, ctx: RenderContext, width: int, height: int) -> SegmentLines:
    blocks = run_overview(view, view.attempts[-1] if view.attempts else None, ctx, width)
    title: list[Segment] = [(" RUN ", "key"), (view.row.job, "strong")]
    lines = [title, [], *(line for block in blocks for line in block), []]
    return [*lines, *log_end(view.log, view.log_error, height - len(lines))]


def run_cells(run: RunRow, ctx: RenderContext) -> list[Segment]:
    """State, period, duration and message."""
    (mark, _), _, (label, style) = state_cells(run, ctx)
    return [
        (f"{mark} {label}", style),
        (run.period_text(ctx.stamp, ctx.period), "plain"),
        (duration_text(run, ctx), "plain"),
        (run.report(ctx.zoned), "dim"),
    ]


MAX_RUNS = 50


def runs_source(system: str = "") -> PreviewSource:
    """The latest runs of a system, or of all of them."""
    job_filter = parse_filter(field_term("system", system) if system else "")

    def lines(runs: Sequence[RunRow], ctx: RenderContext, width: int, height: int) -> SegmentLines:
        rows = [[(run.job, "plain"), *run_cells(run, ctx)] for run in runs[: max(0, height - 2)]]
        return [[(" LATEST RUNS ", "key"), (system, "strong")], [], *aligned(rows, width)]

    key = "latest runs", system
    return PreviewSource(key, lambda reads: reads.run_table.runs_first_page(job_filter, limit=MAX_RUNS), lines)
