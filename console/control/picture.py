"""The estate as the rules look at it: runs by job and business date, the graph, what is red, stale and good.

Which run of the upstream a downstream reads on its business date: the last one before it (one that is due at the same
instant only where there is none before), else the first of that business date. Where that one was not good when the
downstream started, the latest of that date that was over by then stands for it, if it is good: of what runs many times
a day one red run keeps nobody back once the next is green. Runs of other periods: `console.control.mapping`; what each
run is worth: `console.control.standings`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.contract import Evidence, Proof, State
from console.control.estimate import estimate, quantile
from console.control.graph import Graph
from console.control.instances import with_instances
from console.control.moments import (
    BEGINNING,
    CLOCKS,
    NEVER,
    Key,
    anchor,
    began_after,
    key_of,
    red_since,
    when,
)
from console.control.partial import shrunk
from console.control.pools import holders
from console.control.remembered import Remembered
from console.control.sight import out_of_sight
from console.control.standing import Standing
from console.control.standings import Standings
from console.model.decisions import Estimate, ExpectedRun
from console.model.grouped import by_job, red_jobs
from console.model.pools import Pool
from console.model.values import Estate, JobFacts, RunFacts

__all__ = ["CLOCKS", "Key", "Picture", "Standing", "anchor", "key_of", "red_since", "when"]

_NEITHER = (State.UNKNOWN, State.PARTIAL, State.SKIPPED)


class Picture:
    """One evaluation's view. `expected`: this evaluation's own expected runs, laid over those of the estate."""

    def __init__(
        self,
        estate: Estate,
        now: datetime,
        expected: Iterable[ExpectedRun] = (),
        withdrawn: Iterable[int] = (),
        memory: Remembered | None = None,
        graph: Graph | None = None,
    ) -> None:
        """`memory`: what these expectations were put into; `graph`: of this estate, or of one that it is a part of."""
        self.estate = with_instances(estate)
        self.now = now
        self._unseen = {each.id for each in estate.targets.values() if out_of_sight(each, now, estate.settings)}
        self.graph = graph if graph is not None else Graph(estate.jobs, estate.dependencies)
        expected = tuple(expected)
        self.memory = memory
        self.runs = _merged(estate.jobs, by_job(estate.runs), expected, frozenset(withdrawn), memory)
        self._missing = {each.job_id for each in expected if each.state.is_red}
        self._days: dict[tuple[int, date], list[RunFacts]] = {}
        self._dated: set[int] = set()
        self._estimates: dict[int, Estimate] = {}
        earlier = [run for run in estate.earlier if run.job_id in estate.jobs]
        self._earlier = _merged(estate.jobs, by_job(earlier), (), frozenset()) if earlier else {}
        self._all: dict[int, Sequence[RunFacts]] = {}
        self._standings = Standings(self, earlier, shrunk(estate), memory)
        self._by_id: dict[int, RunFacts] | None = None
        self._tasks: dict[int, list[JobFacts]] | None = None
        self._holders: dict[Pool, list[str]] | None = None

    def end(self) -> None:
        """Nobody asks any more how its runs stand: what was laid out goes at once, not when cycles are sought. What is
        remembered of the estate is whole."""
        if self.memory is not None:
            self.memory.end()
        del self._standings

    def job(self, job_id: int) -> JobFacts:
        return self.estate.jobs[job_id]

    def red_jobs(self) -> Iterator[tuple[int, Sequence[RunFacts]]]:
        """The jobs of which a run is red, in the order of `runs`, each with all its runs."""
        red = self._missing.union(job_id for job_id, _ in red_jobs(self.estate.runs))
        return ((job_id, runs) for job_id, runs in self.runs.items() if job_id in red)

    def run_by_id(self, run_id: int) -> RunFacts | None:
        """The stored run of that id; None for what the estate does not show."""
        if self._by_id is None:
            self._by_id = {run.id: run for runs in self.runs.values() for run in runs if run.id}
        return self._by_id.get(run_id)

    def tasks_of(self, job_id: int) -> Sequence[JobFacts]:
        """The tasks of a DAG, in the order of the jobs."""
        if self._tasks is None:
            self._tasks = {}
            for job in self.estate.jobs.values():
                if job.parent_id is not None:
                    self._tasks.setdefault(self.graph.unit(job.id), []).append(job)
        return self._tasks.get(job_id, ())

    def slot_holders(self, pool: Pool) -> Sequence[str]:
        """The names of the jobs that have slots of the pool now, one for each of their runs."""
        if self._holders is None:
            self._holders = holders(self.estate, self.runs)
        return self._holders.get(pool, ())

    def of_day(self, job_id: int, day: date) -> Sequence[RunFacts]:
        """The job's runs of that business date, in order."""
        if job_id not in self._dated:
            self._dated.add(job_id)
            for run in self.runs.get(job_id, ()):
                self._days.setdefault((job_id, run.bd), []).append(run)
        return self._days.get((job_id, day), ())

    def read_by(self, upstream_id: int, day: date, at: datetime) -> RunFacts | None:
        """The upstream's run that a downstream of that business date reads which looks back from `at`."""
        runs = self.of_day(upstream_id, day)
        if not runs:
            return None
        return runs[max(bisect_left(runs, at, key=when) - 1, 0)]

    def all_of(self, job_id: int) -> Sequence[RunFacts]:
        """The job's runs, in order, also those of before the lookback that a dependency of another period may read."""
        if job_id not in self._all:
            runs: Sequence[RunFacts] = self.runs.get(job_id, ())
            known = {run.id for run in runs}
            self._all[job_id] = [*(run for run in self._earlier.get(job_id, ()) if run.id not in known), *runs]
        return self._all[job_id]

    def standing_in(self, read: RunFacts, by: datetime) -> RunFacts:
        """The run that is read, or, where it is not good by then, the latest of its date that was over and is."""
        good_at = self.good_since(read)
        if good_at is not None and began_after(by, good_at):
            return read
        later = self.of_day(read.job_id, read.bd)
        over = (run for run in reversed(later) if when(read) < when(run) <= by and _was_over(run, by))
        latest = next(over, None)
        instead = self.good_since(latest) if latest is not None else None
        return latest if latest is not None and instead is not None and began_after(by, instead) else read

    def good_by(self, read: RunFacts, by: datetime) -> datetime | None:
        """Since when the run that is read is good, or by that time the latest of its date that was over; None while
        neither is."""
        return self.good_since(self.standing_in(read, by))

    def good_since(self, run: RunFacts) -> datetime | None:
        """The end of its first clean success; None where there is none, or it is red now."""
        return None if run.state.is_red else self.standing(run).good_at

    def whole_since(self, run: RunFacts) -> tuple[datetime, str]:
        """Since when nothing partial is in it, and what was before; BEGINNING and no words where nothing ever was."""
        standing = self.standing(run)
        return (standing.whole_at or NEVER, standing.tainted) if standing.tainted else (BEGINNING, "")

    def estimate(self, job_id: int) -> Estimate:
        if job_id not in self._estimates:
            self._estimates[job_id] = estimate(
                self.job(job_id), self.estate.durations.get(job_id, ()), self.estate.likes
            )
        return self._estimates[job_id]

    def takes(self, job_id: int, risk: float) -> timedelta | None:
        """How long it takes at most, but for this share of its runs; None without an estimate. What is declared, or
        rests on nothing else, has no spread."""
        known = self.estimate(job_id)
        if known.source != "history":
            return known.p90
        return timedelta(seconds=quantile(self.estate.durations[job_id], 1 - risk))

    def standing(self, run: RunFacts) -> Standing:
        """Whether the run is good, and since when, or stale; and what it read that was partial."""
        return self._standings.of(run)

    def is_stale(self, run: RunFacts) -> bool:
        return self.standing(run).stale

    def is_green(self, run: RunFacts) -> bool:
        """True when it succeeded, reading nothing stale, whatever is tried again now; a red try ends that."""
        standing = self.standing(run)
        return standing.good_at is not None and not standing.stale and not run.state.is_red

    def is_superseded(self, run: RunFacts) -> bool:
        """True when a later run of the same job succeeded; of a job whose end cannot be proved, a later start does.
        What a person asserts of a run speaks for that run alone, and a
        run of another submission says nothing of this one."""
        at, proof = when(run), self.job(run.job_id).proof
        for later in reversed(self.runs.get(run.job_id, ())):
            if when(later) <= at:
                break
            is_good = later.state is State.SUCCEEDED and later.evidence is not Evidence.ASSERTED
            says = is_good or (proof is Proof.START and later.state is State.UNKNOWN)
            if says and self._is_for_the_same(run, later) and not (is_good and self._goes_on_it(later)):
                return True
        return False

    def _is_for_the_same(self, run: RunFacts, later: RunFacts) -> bool:
        """False for runs of two submissions of a service that is promised end to end."""
        keys, others = (self.estate.correlated.get(one.id, {}) for one in (run, later))
        return all(others.get(name, value) == value for name, value in keys.items())

    def _goes_on_it(self, later: RunFacts) -> bool:
        """True on a loop through the previous period for what read the run before when that was not good."""
        return self.graph.is_on_loop(self.graph.unit(later.job_id)) and self.is_stale(later)

    def is_excused(self, run: RunFacts) -> bool:
        """True for what was missed before the present schedule was accepted: accepting it accepts that."""
        accepted = self.job(run.job_id).accepted_at
        return run.state is State.MISSED and accepted is not None and when(run) < accepted

    def read_good(self, run: RunFacts, upstream_id: int) -> bool:
        """False when a run that has started read this upstream before it was good."""
        upstream = self.read_by(upstream_id, run.bd, anchor(run))
        if upstream is None or self.is_unknown(upstream) or run.started_at is None:
            return True
        good_at = self.good_by(upstream, run.started_at)
        return good_at is not None and began_after(run.started_at, good_at)

    def is_red_now(self, run: RunFacts) -> bool:
        return run.state.is_red and not self.is_excused(run) and not self.is_superseded(run)

    def is_unknown(self, run: RunFacts) -> bool:
        """True for what is neither green nor red: not proved, excused, or open and out of sight."""
        if run.state.is_open:
            return run.evidence is Evidence.STALE or self.job(run.job_id).target_id in self._unseen
        return run.state in _NEITHER or self.is_excused(run)

    def is_unseen(self, job: JobFacts) -> bool:
        """True where its source has not answered lately."""
        return job.target_id in self._unseen


def _merged(
    jobs: Mapping[int, JobFacts],
    known: Mapping[int, Sequence[RunFacts]],
    expected: Iterable[ExpectedRun],
    withdrawn: frozenset[int],
    memory: Remembered | None = None,
) -> dict[int, Sequence[RunFacts]]:
    """The runs of each job, those that are expected among them, in order; none that is withdrawn."""
    demanded: dict[int, dict[str, ExpectedRun]] = {}
    for due in expected:
        demanded.setdefault(due.job_id, {})[due.period_key] = due
    found: dict[int, Sequence[RunFacts]] = {}
    for job_id in sorted(known):
        if job_id in jobs:
            kept = memory.get(job_id) if memory is not None else None
            if kept is not None and kept.merged is not None:
                if kept.merged:
                    found[job_id] = kept.merged
                demanded.pop(job_id, None)
                continue
            runs = known[job_id]
            if withdrawn:
                runs = [run for run in runs if run.id not in withdrawn]
            if job_id in demanded:
                runs = _with_due(runs, demanded.pop(job_id))
            runs = sorted(runs, key=when) if len(runs) > 1 else runs
            if runs:
                found[job_id] = runs
            if kept is not None:
                kept.merged = runs
    for job_id, dues in demanded.items():
        kept = memory.get(job_id) if memory is not None else None
        if kept is None or kept.merged is None:
            found[job_id] = sorted(map(_as_run, dues.values()), key=when)
        else:
            found[job_id] = kept.merged
        if kept is not None:
            kept.merged = found[job_id]
    return found


def _with_due(runs: Iterable[RunFacts], dues: dict[str, ExpectedRun]) -> list[RunFacts]:
    found = []
    for run in runs:
        due = dues.pop(run.period_key, None)
        if due is not None:
            run = replace(run, state=due.state, evidence=due.evidence, reason=due.reason)  # noqa: PLW2901
        found.append(run)
    return [*found, *map(_as_run, dues.values())]


def _as_run(due: ExpectedRun) -> RunFacts:
    return RunFacts(
        id=0,
        job_id=due.job_id,
        period_key=due.period_key,
        period_at=due.period_at,
        bd=due.bd,
        state=due.state,
        evidence=due.evidence,
        reason=due.reason,
        expected=True,
    )


def _was_over(run: RunFacts, by: datetime) -> bool:
    """True for what had ended by then, or was missed. What is skipped says nothing of the data, and what a person
    asserts of a run speaks for that run alone."""
    says = run.state is not State.SKIPPED and run.evidence is not Evidence.ASSERTED
    return says and not run.state.is_open and (run.ended_at or when(run)) <= by
