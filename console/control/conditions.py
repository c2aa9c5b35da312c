"""When an upstream is good enough for a downstream to start: what holds and triggers wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from connectors.contract import State
from console.clean import clean_line
from console.control.expected import expects_nothing
from console.control.gate import Standing, without_run
from console.control.picture import Picture
from console.model.values import DependencyFacts, EngineDown, JobFacts, Mode, RunFacts
from console.model.views import ClockView


@dataclass(frozen=True, slots=True)
class Policy:
    """What the dependencies in mode hold or trigger want of one downstream: one hold, however many upstreams."""

    job_id: int
    edges: tuple[DependencyFacts, ...]

    @property
    def mode(self) -> Mode:
        return Mode.TRIGGER if any(each.mode is Mode.TRIGGER for each in self.edges) else Mode.HOLD

    @property
    def stands(self) -> bool:
        """True where one of them wants it held while no engine works: it is held always, but for what may start."""
        return any(each.engine_down is EngineDown.CLOSED for each in self.edges)

    @property
    def lead(self) -> timedelta:
        return max(each.lead for each in self.edges)

    @property
    def hold_for(self) -> timedelta:
        return max(each.hold_for for each in self.edges)


def policies(picture: Picture) -> dict[int, Policy]:
    """By the job that its scheduler starts (the DAG of a task), in the order of the jobs."""
    found: dict[int, list[DependencyFacts]] = {}
    for edge in picture.estate.dependencies:
        if edge.mode is not Mode.OBSERVE and edge.downstream_id in picture.estate.jobs:
            found.setdefault(picture.graph.unit(edge.downstream_id), []).append(edge)
    return {job_id: Policy(job_id, tuple(found[job_id])) for job_id in sorted(found)}


def awaited(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> list[DependencyFacts]:
    """The edges whose upstream is not good for a run of that date which looks back from `at`."""
    return [each for each in edges if not is_satisfied(picture, each.upstream_id, bd, at)]


def is_satisfied(picture: Picture, upstream_id: int, bd: date, at: datetime) -> bool:
    """Good, or nothing to wait for: the run that is read from `at`, or the latest of that date that is over by now.
    UNKNOWN, PARTIAL and out of sight are not good. Without a run on that date a job is not waited for only where its
    schedule is known to want none, as at the gate; one that is started by events is."""
    if upstream_id not in picture.estate.jobs:
        return True  # gone from the estate: config names it in vain, and says so
    run = picture.read_by(upstream_id, bd, at)
    if run is not None:
        return is_good(picture, run) or picture.good_by(run, picture.now) is not None
    unit = picture.graph.unit(upstream_id)
    if unit != upstream_id and picture.of_day(unit, bd):
        return False
    clock = _clock(picture.job(unit))
    return clock is not None and without_run(clock, bd, picture.now)[0] is Standing.SATISFIED


def _clock(job: JobFacts) -> ClockView | None:
    """None where nothing runs by the clock."""
    if expects_nothing(job) or job.accepted_at is None:
        return None
    told = job.schedule
    return ClockView(
        told.dialect, told.expression, told.zone, told.next_at, job.accepted_at, job.zone, job.cutoff.isoformat()
    )


def is_good(picture: Picture, run: RunFacts) -> bool:
    """Green; or skipped, or missed and excused: then nothing more will come."""
    return picture.is_green(run) or run.state is State.SKIPPED or picture.is_excused(run)


def good_at(picture: Picture, upstream_id: int, bd: date, at: datetime) -> datetime | None:
    """Since when the run that is read is green, or the latest that is over by now; None while neither is."""
    run = picture.read_by(upstream_id, bd, at)
    return picture.good_by(run, picture.now) if run is not None else None


def names(picture: Picture, edges: Iterable[DependencyFacts]) -> str:
    """ "extract_orders and load_stock": the upstreams, each once, cleaned."""
    ids = dict.fromkeys(each.upstream_id for each in edges)
    jobs = [picture.estate.jobs[each] for each in ids if each in picture.estate.jobs]
    return " and ".join(clean_line(job.name) for job in jobs)


def are_green(picture: Picture, edges: Iterable[DependencyFacts], bd: date, at: datetime) -> bool:
    """True when every upstream has a green run that is read: nothing is taken for granted."""
    return all(good_at(picture, each.upstream_id, bd, at) is not None for each in edges)


def live_edges(picture: Picture, policy: Policy) -> list[DependencyFacts]:
    """The edges of the policy for which Headway may act now."""
    modes, jobs = picture.estate.modes, picture.estate.jobs
    return [
        each
        for each in policy.edges
        if each.upstream_id in jobs
        and modes.dependency_is_live(
            jobs[each.upstream_id].name, jobs[each.downstream_id].name, jobs[each.downstream_id].system
        )
    ]
