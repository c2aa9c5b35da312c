"""An incident beside its list: verdict, reason, affected services, runs, the end of its log, and its evidence."""

from __future__ import annotations

from console.tui.frame.cells import RenderContext, SegmentLines, is_heading
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.views.incidents.summary import incident_title, summary_lines
from console.tui.views.incidents.verdict_line import OpenIncident, VerdictLine, verdict_lines
from console.tui.views.jobs.preview import jobs_source
from console.tui.views.preview import LOG_LINES, PreviewSource, log_end
from console.tui.widgets.paint import Segment

MIN_ROWS = 8


def incident_source(number: int, verdict: VerdictLine) -> PreviewSource:
    """The preview of an incident below the verdict line of its screen."""

    def lines(opened: OpenIncident, ctx: RenderContext, width: int, height: int) -> SegmentLines:
        return _lines(opened, ctx, width, height, verdict.opened, is_frozen=verdict.is_frozen)

    return PreviewSource(("incident", number), lambda reads: OpenIncident.read(reads, number), lines)


def empty_source(verdict: VerdictLine) -> PreviewSource:
    """Below a list without rows: the incident of the verdict line, else the jobs."""
    return incident_source(verdict.incident_id, verdict) if verdict.incident_id is not None else jobs_source()


def _lines(
    opened: OpenIncident, ctx: RenderContext, width: int, height: int, above: OpenIncident | None, *, is_frozen: bool
) -> SegmentLines:
    """`above`: the incident of the verdict line; its verdict is not repeated."""
    view = opened.view
    title, _ = incident_title(view, ctx, 0)
    reason: list[Segment] = [(f" {view.row.summary(ctx.zoned)}", "plain")]
    summary = summary_lines(view, ctx, width)
    is_above = above is not None and above.view.row.id == view.row.id
    verdict = [] if is_above else verdict_lines(opened, ctx, width, is_frozen=is_frozen)
    lines = [title, *verdict, reason, []]
    log_lines = min(LOG_LINES, height // 3)
    shown = summary[: max(MIN_ROWS, height - len(lines) - log_lines - 2)]
    if len(shown) < len(summary) and is_heading(shown[-1]):
        shown.pop()
    rows = [list(row.cells) for row in shown]
    lines += [*rows, [], *log_end(view.log, view.log_error, height - len(lines) - len(rows) - 1, log_lines)]
    room = height - len(lines) - 2
    evidence: SegmentLines = [[], [(" EVIDENCE", "key")], *evidence_lines(view, ctx)[: max(0, room)]]
    return [*lines, *evidence] if room >= MIN_ROWS else lines
