"""A service beside its list: its open incident, or its facts and the job that delivers it."""

from __future__ import annotations

from console.domain.probability import format_probability
from console.domain.reason import reason_lines
from console.domain.service import ServiceView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, SegmentLines, counted, labelled_lines
from console.tui.views.incidents.preview import incident_source
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import JobAnswer, job_lines, read_job
from console.tui.views.preview import PreviewSource
from console.tui.views.services.rows import service_reasons
from console.tui.widgets.paint import Segment


def service_source(view: ServiceView, verdict: VerdictLine, is_old: bool) -> PreviewSource:
    """`is_old`: nothing is monitored."""
    if view.incident_id is not None:
        return incident_source(view.incident_id, verdict)

    def read(reads: Queries) -> JobAnswer | None:
        return read_job(reads, view.path[-1]) if view.path else None

    def lines(delivering: JobAnswer | None, ctx: RenderContext, width: int, height: int) -> SegmentLines:
        facts = service_lines(view, ctx, is_old)
        below = [] if delivering is None else job_lines(delivering, ctx, width, height - len(facts) - 1)
        return [*facts, [], *below]

    return PreviewSource(("service", view.id, is_old), read, lines)


def service_lines(view: ServiceView, ctx: RenderContext, is_old: bool) -> SegmentLines:
    mark, label, style = ctx.status(view, is_old)
    rows = [
        ("tier", str(view.tier), "plain"),
        ("business date", view.business_date, "plain"),
        ("due", ctx.due(view.deadline) if view.is_promised else "", "plain"),
        ("expected", ctx.due(view.expected) if view.expected and not view.delivered else "", "plain"),
        ("assumes", view.repair_case or "", "plain"),
        ("delivered", ctx.hm(view.delivered) if view.delivered else "", "ok"),
        ("risk", format_probability(view.risk) if view.risk is not None else "", "plain"),
        ("history", counted(view.nights, "run") if view.nights else "", "plain"),
        ("owner", view.owner, "plain"),
        ("runbook", view.runbook, "plain"),
        ("calendar", view.calendar, "plain"),
        ("waits for", ", ".join(view.awaits), "warn"),
        *(("path" if not place else "", job, "plain") for place, job in enumerate(view.path)),
        *(("why", line, "plain") for line in reason_lines(service_reasons(view), ctx.zoned)),
    ]
    title: list[Segment] = [(f" {view.title or view.name}", "strong"), (f"  {mark} {label}", style)]
    return [title, [], *labelled_lines(rows, len("business date"))]
