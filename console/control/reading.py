"""Which run of each of its jobs a service reads on a business date: from the terminals up, the last one in time.

Of a job that runs many times a day, that is the last one that can be done by the deadline: one that is due right before
it, and usually ends after it, is not waited for. A red one counts until the next is green, though more starts are
ahead: nobody knows that those go better.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

from console.control.deadlines import clock_starts
from console.control.expected import has_started
from console.control.picture import Picture, anchor, when
from console.model.values import JobFacts, RunFacts

Read = tuple[RunFacts | None, datetime | None]
"""A run, and the instant by which it starts where it has not; without a run the clock start that it will be."""


def runs_read(
    picture: Picture, order: Sequence[int], ends: Collection[int], bd: date, deadline: datetime
) -> dict[int, Read]:
    """The run of each job that the service reads, or its clock start where there is none. `order`: upstreams before
    their downstreams; `ends`: the jobs of its terminals."""
    limits = dict.fromkeys(ends, deadline)
    chosen: dict[int, Read] = {}
    for job_id in reversed(order):
        limit, job = limits.get(job_id, deadline), picture.job(job_id)
        starts = clock_starts(picture, job, bd)
        found = _of_many(picture, job, bd, limit, starts, job_id in ends) if len(starts) > 1 else None
        run, due = chosen[job_id] = found or _of_the_day(picture, job, bd, limit, starts)
        seen_from = _looks_back_from(picture, run, due, limit)
        for edge in picture.graph.into(job_id):
            limits[edge.upstream] = max(limits.get(edge.upstream, seen_from), seen_from)
    return chosen


def _looks_back_from(picture: Picture, run: RunFacts | None, due: datetime | None, limit: datetime) -> datetime:
    if run is None:
        return due or limit
    must_run_again = run.state.is_red or picture.is_stale(run)
    return limit if must_run_again else anchor(run)


def _of_the_day(picture: Picture, job: JobFacts, bd: date, limit: datetime, starts: Sequence[datetime]) -> Read:
    """The last run of that date before `limit`, else the first; a good one after it, where it is not good itself, or,
    where it is red, one that runs: somebody started it anew."""
    run = picture.read_by(job.id, bd, limit)
    ahead = _ahead(picture, job, starts, run)
    before = [each for each in ahead if each < limit]
    if run is None or before:
        return None, next(iter(before[-1:] or ahead[:1]), None)
    return _good_or_it(picture, run)


def _of_many(
    picture: Picture, job: JobFacts, bd: date, limit: datetime, starts: Sequence[datetime], delivers: bool
) -> Read | None:
    """Of a job that runs many times a day: its red one until the next is green, else the last that can be done in time;
    None where none can. What delivers has to end by `limit`, what feeds to start before it."""
    takes = (picture.estimate(job.id).p50 if delivers else None) or timedelta(0)
    runs = [each for each in picture.of_day(job.id, bd) if when(each) < limit and when(each) + takes <= limit]
    last = runs[-1] if runs else None
    ahead = [each for each in _ahead(picture, job, starts, last) if each < limit and each + takes <= limit]
    red = _red_until_green(picture, runs)
    if red is not None and (ahead or not _is_running(last)):
        return red, None if has_started(red) else when(red)
    if ahead:
        return None, ahead[-1]
    return _good_or_it(picture, last) if last is not None else None


def _red_until_green(picture: Picture, runs: Sequence[RunFacts]) -> RunFacts | None:
    """The latest that is red, unless one after it is green."""
    said = (run for run in reversed(runs) if run.state.is_red or picture.is_green(run))
    last = next(said, None)
    return last if last is not None and picture.is_red_now(last) else None


def _is_running(run: RunFacts | None) -> bool:
    return run is not None and run.state.is_open and run.started_at is not None


def _ahead(picture: Picture, job: JobFacts, starts: Sequence[datetime], run: RunFacts | None) -> list[datetime]:
    """The clock starts that no run has come of, after `run` where there is one."""
    begun = {each.period_at for each in picture.runs.get(job.id, ()) if has_started(each)}
    return [each for each in starts if each not in begun and (run is None or each > when(run))]


def _good_or_it(picture: Picture, run: RunFacts) -> Read:
    if not picture.is_green(run):
        later = [each for each in picture.of_day(run.job_id, run.bd) if when(each) > when(run)]
        repairs = (each for each in later if run.state.is_red and _is_running(each) and not picture.is_unknown(each))
        run = next(filter(picture.is_green, later), None) or next(repairs, run)
    return run, None if has_started(run) else when(run)
