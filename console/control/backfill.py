"""What a job has not done in a range of dates: one step for each period, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from connectors.contract import Capability, State, Verb, instant_key
from console.clean import clean_line
from console.control.estimate import label
from console.control.expected import has_started
from console.control.fewest import Can
from console.control.picture import Picture, when
from console.control.schedule import instants, is_interval
from console.control.zones import window, zone_of
from console.model.plans import Draft, LeftOut, Step
from console.model.values import Estate, JobFacts, RunFacts

_TICK = timedelta(microseconds=1)


def periods(job: JobFacts, first: date, last: date, now: datetime) -> list[datetime]:
    """The instants of these business dates, both included, at which the job's present schedule is due, and that have
    come by now; none without a schedule."""
    zone = zone_of(job.zone)
    opens, closes = window(first, zone, job.cutoff)[0], window(last, zone, job.cutoff)[1]
    if job.schedule.dialect == "none" or is_interval(job.schedule):
        return []
    return instants(job.schedule, opens - _TICK, min(closes - _TICK, now))


def backfill(
    estate: Estate,
    job_id: int,
    instants: Sequence[datetime],
    runs: Sequence[RunFacts],
    limit: int | None,
    now: datetime,
    can: Can,
) -> Draft:
    """The job for each of these periods that is not good: those of `instants` (its schedule's, in order) and those of
    `runs` (what the store has of it). At most `limit` steps; oldest first."""
    job = estate.jobs[job_id]
    picture = Picture(estate, now)
    stored = {run.period_at or run.period_key: run for run in runs}
    known = {run.period_key: run for run in runs}
    periods = {instant_key(at): at for at in instants}
    left_out: list[LeftOut] = []
    steps: list[Step] = []
    for key in sorted({*known, *periods}, key=lambda one: _at(one, known, periods)):
        run = known.get(key) or stored.get(periods.get(key, key))
        if run is not None and run.state is State.SUCCEEDED and not run.stale_read:
            left_out.append(LeftOut(clean_line(job.name), run.id, f"{clean_line(key)} is good"))
        elif run is not None and run.state.is_open and has_started(run):
            left_out.append(LeftOut(clean_line(job.name), run.id, f"{clean_line(key)} is {run.state}"))
        elif (run is None or not run.id) and not can(job, Capability.START):
            words = f"{clean_line(key)} has not run, and its kind cannot start it for a period"
            left_out.append(LeftOut(clean_line(job.name), None, words))
        elif limit is None or len(steps) < limit:
            steps.append(_period_step(picture, job, key, run, periods.get(key), len(steps) + 1, can))
        else:
            left_out.append(LeftOut(clean_line(job.name), None, f"{clean_line(key)} is beyond the limit"))
    title = f"backfill {clean_line(job.name)}: {len(steps)} periods"
    return Draft("backfill", title, None, tuple(steps), tuple(left_out))


def _at(key: str, known: Mapping[str, RunFacts], periods: Mapping[str, datetime]) -> tuple[datetime, str]:
    return (when(known[key]) if key in known else periods[key]), key


def _period_step(
    picture: Picture, job: JobFacts, key: str, run: RunFacts | None, at: datetime | None, place: int, can: Can
) -> Step:
    started = run is not None and has_started(run)
    at = at or (run.period_at if run is not None else None)
    parameters = {"period_at": instant_key(at)} if at is not None and not started else {}
    known = picture.estimate(job.id)
    return Step(
        place=place,
        verb=(Verb.RERUN if started or not can(job, Capability.START) else Verb.START).value,
        job_id=job.id,
        job=clean_line(job.name),
        system=job.system,
        run_id=run.id or None if run is not None else None,
        period_key=key,
        state=run.state.value if run is not None else State.PLANNED.value,
        why=f"it is {run.state}" if run is not None else "it has not run",
        parameters=parameters,
        safety=job.rerun.value,
        expected_s=None if known.p50 is None else known.p50.total_seconds(),
        source=label([known]),
        alternatives=("mark-ok", "skip") if run is not None and run.id else (),
    )
