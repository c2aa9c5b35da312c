"""How the jobs of the fake night hang together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from connectors.sdk.states import RunState
from console.domain.dependency import LineageJob, LineageRun, LineageView
from console.domain.job import JobRow

EDGES = ((1, 2), (2, 3), (2, 4), (6, 2), (3, 14), (2, 11), (11, 14), (1, 13))
"""Between the jobs of `fake_reads.jobs`: 1 extract_orders, 2 load_orders, 3 revenue_mart, 4 supply-mart."""
ROOT = "etl-hosts/db07:extract_orders"
"""Without it supply-mart does not start."""
ENDS = {"supply-plan": (4,), "daily-revenue": (3,), "churn-scores": (13,)}


def lineage_of(rows: Sequence[JobRow], edges: Sequence[tuple[int, int]], job_id: int, run: str) -> LineageView:
    """In the store's format: all that is reached upstream, and all that is reached downstream."""
    near = {job_id, *_walk(job_id, edges), *_walk(job_id, [(other, number) for number, other in edges])}
    jobs = {row.id: _job(row) for row in rows if row.id in near}
    remaining = tuple(edge for edge in edges if edge[0] in jobs and edge[1] in jobs)
    ends = {name: tuple(number for number in those if number in jobs) for name, those in ENDS.items()}
    return LineageView(job_id, run, jobs, remaining, {name: those for name, those in ends.items() if those})


def _walk(job_id: int, edges: Sequence[tuple[int, int]]) -> set[int]:
    results, ahead = set[int](), [job_id]
    for number in ahead:
        ahead += [other for index, other in edges if index == number and other not in results]
        results.update(ahead)
    return results


def _job(row: JobRow) -> LineageJob:
    is_red = bool(row.state) and RunState(row.state).is_red
    at = row.ended or row.started or row.next
    if row.state == RunState.PLANNED and row.next is not None:
        before = row.next - timedelta(hours=23, minutes=38)
        return LineageJob(
            row.id, row.name, row.system, row.state, False, "", at, None, RunState.SUCCEEDED, before, ROOT
        )
    return LineageJob(row.id, row.name, row.system, row.state, is_red, "", at, row.run_id, stale_since=row.stale_since)


def runs_of(row: JobRow) -> list[LineageRun]:
    """Tonight's run, and the one of the night before."""
    if row.started is None:
        return []
    day = timedelta(days=1)
    before = LineageRun(1000 + row.id, row.id, "2026-11-18", "succeeded", row.started - day,
                        row.started - day + timedelta(minutes=1), False)  # fmt: skip
    return [LineageRun(row.id, row.id, "2026-11-19", row.state, row.started, row.ended, row.stale_read), before]
