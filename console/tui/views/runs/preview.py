"""A run beside its list: the lines of its page above the log, and the end of the log."""

from __future__ import annotations

from console.domain.run import RunView
from console.tui.frame.cells import RenderContext, SegmentLines
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
