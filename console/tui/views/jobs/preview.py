"""A job beside its list: the lines of its page above the runs, then its latest runs. The jobs of a system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from console.domain.filter import field_term, parse_filter
from console.domain.forecast import JobForecastView
from console.domain.job import JobRow, JobView
from console.store.queries.reader import Queries
from console.tui.frame.cells import RenderContext, SegmentLines, aligned, duration_text, state_cells
from console.tui.views.preview import PreviewSource
from console.tui.views.runs.forecast import tonight_segments
from console.tui.views.runs.overview import job_overview
from console.tui.views.runs.preview import run_cells
from console.tui.widgets.paint import Segment


class JobAnswer(NamedTuple):
    view: JobView
    forecasts: Sequence[JobForecastView]


def job_source(job_id: int) -> PreviewSource:
    return PreviewSource(("job", job_id), lambda reads: read_job(reads, job_id), job_lines)


def read_job(reads: Queries, name_or_id: str | int) -> JobAnswer:
    """A job, and its forecast per service of tonight."""
    view = reads.jobs.job(name_or_id)
    return JobAnswer(view, tonight_segments(reads.service_days.forecasts_of_job(view.row.id)))


def title_segments(row: JobRow) -> list[Segment]:
    """The title behind the name."""
    return [(f"  {row.shown_title}", "plain")] if row.shown_title else []


def job_lines(answer: JobAnswer, ctx: RenderContext, width: int, height: int) -> SegmentLines:
    view, forecasts = answer
    title: SegmentLines = [[(" JOB ", "key"), (view.row.name, "strong"), *title_segments(view.row)], []]
    blocks = job_overview(view, ctx, width, forecasts)
    lines = [*title, *(line for block in blocks for line in block), []]
    room = max(0, height - len(lines) - 1)
    runs = [run_cells(view.runs[number], ctx) for number in range(min(room, len(view.runs)))]
    return [*lines, [(" RUNS", "key")], *aligned(runs, width)]


MAX_JOBS = 100


def jobs_source(system: str = "") -> PreviewSource:
    """The jobs of a system, or of all of them, those that need attention first."""
    job_filter = parse_filter(field_term("system", system) if system else "")

    def lines(jobs: Sequence[JobRow], ctx: RenderContext, width: int, height: int) -> SegmentLines:
        rows = [_job_cells(job, system, ctx) for job in jobs[: max(0, height - 2)]]
        return [[(" JOBS ", "key"), (system, "strong")], [], *aligned(rows, width)]

    return PreviewSource(("jobs", system), lambda reads: reads.jobs.jobs_first_page(job_filter, limit=MAX_JOBS), lines)


def _job_cells(job: JobRow, system: str, ctx: RenderContext) -> list[Segment]:
    (mark, _), _, (label, style) = state_cells(job, ctx) if job.state else ((" ", ""), (" ", ""), ("no run yet", "dim"))
    return [
        (f"{mark} {label}", style),
        (job.name.removeprefix(f"{system}/"), "plain"),
        (ctx.day(job.started), "plain"),
        (duration_text(job, ctx), "plain"),
    ]
