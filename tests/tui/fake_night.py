"""The fake night over time: its services' critical paths and what ran; and the night before, which went well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from console.domain.job import JobRow
from console.domain.service import ServiceView
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun, TimelineView
from tests.tui.fake_lineage import ROOT

DAY = timedelta(days=1)
DATE, BEFORE = "2026-11-19", "2026-11-18"
TOOK = {1: 14, 2: 22, 3: 41, 4: 41}
"""Job -> minutes that it usually takes."""


def night_of(
    services: Sequence[ServiceView], rows: Sequence[JobRow], now: datetime, business_date: str | None
) -> TimelineView:
    """That business date: the fake night, or the one before it, when all was well."""
    is_past = business_date == BEFORE
    known = {row.name: row for row in rows}
    paths = {place: tuple(known[name].id for name in service.path) for place, service in enumerate(services)}
    shown = [_delivered(service) for service in services] if is_past else services
    by_id = {row.id: row for row in rows}
    jobs = {job_id: _job(by_id[job_id], is_past) for path in paths.values() for job_id in path}
    return TimelineView(business_date or DATE, now, tuple(shown), paths, jobs, (BEFORE, DATE))


def _delivered(service: ServiceView) -> ServiceView:
    deadline = service.deadline - DAY
    return replace(
        service, deadline=deadline, delivered=deadline - timedelta(minutes=40), timeliness="met", act_by=None
    )


def _job(row: JobRow, is_past: bool) -> TimelineJob:
    usual = TOOK[row.id] * 60.0
    due = row.next if row.started is None else row.started
    runs: tuple[TimelineRun, ...] = ()
    if due is not None and is_past:
        begun = due - DAY
        tried = (TimelineAttempt(begun, begun + timedelta(seconds=usual), "succeeded"),)
        runs = (TimelineRun(row.id + 1000, begun, begun, "succeeded", tried),)
    elif due is not None:
        tries = (TimelineAttempt(row.started, row.ended, row.state),) if row.started is not None else ()
        runs = (TimelineRun(row.id, due, due, row.state, tries),)
    root = ROOT if row.state == "planned" and not is_past else ""
    next_start = None if is_past else row.next
    return TimelineJob(row.id, row.name, usual, 1.4 * usual, "history", runs, root, next_start=next_start)
