"""The estate indexed for one evaluation: runs by job and business date, the graph, red, stale and good runs.

Which run of the upstream a downstream reads on its business date: the last one before it (one due at the same
instant only if there is none before), else the first of that business date. If that one was not good when the
downstream started, the latest of that date that had ended by then replaces it, if it is good: of a job that runs
many times a day one red run blocks nothing once the next is green. Of runs that name their periods (partitions,
regions) one repairs no other: a downstream that names its own reads the one of that name, any other downstream reads
the one that failed. Runs of other periods, and the freshness of each run: `console.control.snapshot.freshness`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise, takewhile
from typing import NamedTuple

from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from console.control.snapshot.estimates import estimate_duration, quantile
from console.control.snapshot.freshness import FreshnessIndex
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.incremental import EvaluationMemo
from console.control.snapshot.pools import slot_holders_by_pool
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import (
    BEGINNING,
    NEVER,
    UNORDERED,
    Freshness,
    began_after,
    covers_period,
    has_started,
    lookback_time,
    run_time,
    success_or_attempt_start,
)
from console.domain.decision import ExpectedRun
from console.domain.estate import Estate, JobFacts, RunFacts, ServiceFacts, failed_jobs, runs_by_job
from console.domain.finding import DetectionRule
from console.domain.history import DurationEstimate, EstimateKind
from console.domain.promise import RISK
from console.domain.settings import JobPool
from console.text.cleaning import clean_line


def shrunk_outputs(estate: Estate) -> Mapping[int, datetime]:
    """Run id -> until when its output is partial, by the open findings: a later success is complete."""
    findings = (stored.finding for stored in estate.findings if stored.finding.rule is DetectionRule.OUTPUT_SHRANK)
    return {finding.run_id: finding.since for finding in findings if finding.run_id is not None}


_NEITHER = (RunState.UNKNOWN, RunState.PARTIAL, RunState.SKIPPED)


class _DatedRuns(NamedTuple):
    """A job's runs by business date, in order; those that count for its downstreams; and those that were repeated,
    where a rerun has no period."""

    runs: dict[date, list[RunFacts]]
    read: dict[date, list[RunFacts]]
    """Without excused ones."""
    reruns: dict[date, list[RunFacts]]
    named: set[date]
    """Dates with runs of periods without order."""
    good: list[RunFacts]
    """Runs that repair what they cover (`EstateIndex._is_good`), of all dates."""


class EstateIndex:
    """One evaluation's view. `expected`: this evaluation's own expected runs, laid over those of the estate."""

    def __init__(
        self,
        estate: Estate,
        now: datetime,
        expected: Iterable[ExpectedRun] = (),
        withdrawn: Iterable[int] = (),
        memo: EvaluationMemo | None = None,
        graph: DependencyGraph | None = None,
    ) -> None:
        """`memo`: of the evaluation that found `expected`; `graph`: of this estate, or of one that it is a part of."""
        self.estate = estate
        self.now = now
        targets = estate.targets.values()
        self._unseen = {target.id for target in targets if is_out_of_reach(target, now, estate.settings)}
        self.graph = graph if graph is not None else DependencyGraph(estate.jobs, estate.dependencies)
        expected = tuple(expected)
        self.memo = memo or EvaluationMemo()
        self.runs = _merged(estate.jobs, runs_by_job(estate.runs), expected, frozenset(withdrawn), self.memo)
        self._missing = {run.job_id for run in expected if run.state.is_red}
        self._dated: dict[int, _DatedRuns] = {}
        self._tasks_by_period: dict[int, dict[str, dict[int, RunFacts]]] = {}
        self._estimates: dict[int, DurationEstimate] = {}
        earlier = [run for run in estate.earlier if run.job_id in estate.jobs]
        self._earlier = _merged(estate.jobs, runs_by_job(earlier), (), frozenset(), EvaluationMemo()) if earlier else {}
        self._all: dict[int, Sequence[RunFacts]] = {}
        self._freshness = FreshnessIndex(self, earlier, shrunk_outputs(estate), self.memo)
        self._by_id: dict[int, RunFacts] | None = None
        self._holders: dict[JobPool, list[str]] | None = None
        self.bad_inputs: dict[tuple[int, str], tuple[list[int], bool]] = {}
        """Results of `downstream.bad_inputs` by job and period key."""
        self.service_days: dict[tuple[str, date], date] = {}
        """Results of `deadlines.service_day` by service and business date."""

    def end(self) -> None:
        """Ends the evaluation. Freshness is freed at once, not by the garbage collector."""
        self.memo.end()
        del self._freshness

    def job(self, job_id: int) -> JobFacts:
        return self.estate.jobs[job_id]

    def name(self, job_id: int) -> str:
        """The cleaned name of the job."""
        return clean_line(self.estate.jobs[job_id].name)

    def members(self, service: ServiceFacts) -> set[int]:
        """The jobs of a service that the estate has: its terminals and everything upstream of them."""
        return self.graph.members(terminal for terminal in service.terminals if terminal in self.estate.jobs)

    def red_jobs(self) -> Iterator[tuple[int, Sequence[RunFacts]]]:
        """The jobs of which a run is red, in the order of `runs`, each with all its runs."""
        red = self._missing.union(job_id for job_id, _ in failed_jobs(self.estate.runs))
        return ((job_id, runs) for job_id, runs in self.runs.items() if job_id in red)

    def run_by_id(self, run_id: int) -> RunFacts | None:
        """The stored run of that id; None for what the estate does not show."""
        if self._by_id is None:
            self._by_id = {run.id: run for runs in self.runs.values() for run in runs if run.id}
        return self._by_id.get(run_id)

    def tasks_of(self, job_id: int) -> Sequence[JobFacts]:
        """The tasks of a DAG, in the order of the jobs."""
        jobs = self.estate.jobs
        return [jobs[task] for task in self.graph.tasks(job_id) if task in jobs]

    def slot_holders(self, pool: JobPool) -> Sequence[str]:
        """The names of the jobs that have slots of the pool now, one for each of their runs."""
        if self._holders is None:
            self._holders = slot_holders_by_pool(self.estate, self.runs)
        return self._holders.get(pool, ())

    def of_day(self, job_id: int, day: date) -> Sequence[RunFacts]:
        """The job's runs of that business date, in order."""
        return self._dated_runs(job_id).runs.get(day, ())

    def _dated_runs(self, job_id: int) -> _DatedRuns:
        """Computed once per job."""
        if job_id not in self._dated:
            dated = self._dated[job_id] = _DatedRuns({}, {}, {}, set(), [])
            for run in self.runs.get(job_id, ()):
                dated.runs.setdefault(run.business_date, []).append(run)
                if not self.is_excused(run):
                    dated.read.setdefault(run.business_date, []).append(run)
                if run.attempt > 1 and not self.job(job_id).has_periods:
                    dated.reruns.setdefault(run.business_date, []).append(run)
                if run.period_kind in UNORDERED:
                    dated.named.add(run.business_date)
                if self._is_good(run):
                    dated.good.append(run)
        return self._dated[job_id]

    def read_by(self, upstream_id: int, day: date, at: datetime, period_name: str = "") -> RunFacts | None:
        """The upstream's run that a downstream of that business date reads which looks back from `at`. An excused or
        skipped one only if there is no other. `period_name`: of the downstream's run."""
        dated = self._dated_runs(upstream_id)
        runs = dated.read.get(day) or dated.runs.get(day)
        if not runs:
            return None
        last = max(bisect_left(runs, at, key=run_time) - 1, 0)
        last = next((place for place in range(last, -1, -1) if runs[place].state is not RunState.SKIPPED), last)
        return self._named_run(runs, last, at, period_name) if day in dated.named else runs[last]

    def _named_run(self, runs: Sequence[RunFacts], last: int, at: datetime, period_name: str) -> RunFacts:
        """Of a date on which runs name their periods: the last run of that name up to then, else its first one, else
        the last one; without a name the last one up to then that failed and was not good again by `at`."""
        if period_name:
            named = [run for run in runs if run.period_name == period_name]
            return named[max(bisect_left(named, at, key=run_time) - 1, 0)] if named else runs[last]
        return next((run for run in reversed(runs[: last + 1]) if self._is_unrepaired(run, at)), runs[last])

    def _is_unrepaired(self, run: RunFacts, at: datetime) -> bool:
        """True for a run that was red at `at`, and whose period no later run repaired."""
        was_red = run.ended_at is not None and run.ended_at > at and any(state.is_red for _, state in run.ends)
        if not (run.state.is_red or was_red):
            return False
        return not any(later.state is RunState.SUCCEEDED for later in self.later_of_day(run))

    def all_of(self, job_id: int) -> Sequence[RunFacts]:
        """The job's runs that count for its downstreams, in order, also those of before the lookback that a dependency
        of another period may read."""
        if job_id not in self._all:
            runs: Sequence[RunFacts] = self.runs.get(job_id, ())
            known = {run.id for run in runs}
            every = (*(run for run in self._earlier.get(job_id, ()) if run.id not in known), *runs)
            self._all[job_id] = [run for run in every if not self.is_excused(run)]
        return self._all[job_id]

    def later_of_day(self, run: RunFacts) -> Iterable[RunFacts]:
        """The job's later runs of that business date that cover its period, the latest first."""
        return self._later(run, self.of_day(run.job_id, run.business_date))

    def later_runs(self, run: RunFacts) -> Iterable[RunFacts]:
        """The job's later runs of any business date that cover its period, the latest first."""
        return self._later(run, self.runs.get(run.job_id, ()))

    def _later(self, run: RunFacts, runs: Sequence[RunFacts]) -> Iterable[RunFacts]:
        """Those of `runs` with a later period, and the reruns of earlier periods of its date that started after it:
        the later start decides, unless a rerun works on the period of its run. Without those that do not cover its
        period (`covers_period`)."""
        at = run_time(run)
        after = takewhile(lambda known: run_time(known) > at, reversed(runs))
        later = (known for known in after if covers_period(known, run))
        reruns = [
            known
            for known in self._dated_runs(run.job_id).reruns.get(run.business_date, ())
            if run_time(known) < at
            and known.evidence is not RunEvidence.ASSERTED
            and covers_period(known, run)
            and success_or_attempt_start(known) > (run.started_at or at)
        ]
        return sorted([*later, *reruns], key=lookback_time, reverse=True) if reruns else later

    def effective_run(self, read: RunFacts, by: datetime) -> RunFacts:
        """The run that is read, or, where it is not good by then, the latest of its date that was over and is."""
        good_at = self.good_since(read, by)
        if good_at is not None and began_after(by, good_at):
            return read
        latest = next((run for run in self.later_of_day(read) if run_time(run) <= by and _was_over(run, by)), None)
        latest_good_at = self.good_since(latest) if latest is not None else None
        return latest if latest is not None and latest_good_at is not None and began_after(by, latest_good_at) else read

    def good_by(self, read: RunFacts, by: datetime) -> datetime | None:
        """Since when the run to read is good, or the latest of its date that had ended by then; None while neither
        is."""
        return self.good_since(self.effective_run(read, by))

    def good_since(self, run: RunFacts, by: datetime | None = None) -> datetime | None:
        """The end of its first clean success; None without one, or if it is red now. `by`: for what read it then: or if
        it was red by then, whatever the outcome of a later rerun."""
        if run.state.is_red and (by is None or _last_end(run, by) is not RunState.SUCCEEDED):
            return None
        return self.freshness(run).good_at

    def whole_since(self, run: RunFacts) -> tuple[datetime, str]:
        """Since when nothing partial is in it, and what was before; BEGINNING and no words where nothing ever was."""
        freshness = self.freshness(run)
        return (freshness.whole_at or NEVER, freshness.tainted) if freshness.tainted else (BEGINNING, "")

    def estimate(self, job_id: int) -> DurationEstimate:
        if job_id not in self._estimates:
            self._estimates[job_id] = estimate_duration(
                self.job(job_id), self.estate.durations.get(job_id, ()), self.estate.peer_priors
            )
        return self._estimates[job_id]

    def takes(self, job_id: int) -> timedelta | None:
        """Duration not exceeded but for the share RISK of its runs; None without an estimate. A declared one has no
        spread."""
        known = self.estimate(job_id)
        if known.source is not EstimateKind.HISTORY:
            return known.p90
        return timedelta(seconds=quantile(self.estate.durations[job_id], 1 - RISK))

    def freshness(self, run: RunFacts) -> Freshness:
        """Whether the run is good, and since when, or stale; and what it read that was partial."""
        return self._freshness.of(run)

    def is_stale(self, run: RunFacts) -> bool:
        return self.freshness(run).stale

    def is_green(self, run: RunFacts) -> bool:
        """True when it succeeded, reading nothing stale, whatever is tried again now; a red try ends that."""
        freshness = self.freshness(run)
        return freshness.good_at is not None and not freshness.stale and not run.state.is_red

    def is_superseded(self, run: RunFacts) -> bool:
        """True if a later run that covers its period succeeded; for a job without provable ends, if one started. An
        asserted result counts for its own run only."""
        return next(self._superseding(run), None) is not None

    def repaired_at(self, run: RunFacts) -> datetime | None:
        """When it, or else the first run that repaired it, succeeded; None if that is unknown."""
        if self.is_green(run):
            return self.freshness(run).good_at
        return min((later.ended_at or run_time(later) for later in self.repairing_runs(run)), default=None)

    def repairing_run(self, run: RunFacts) -> RunFacts | None:
        """It, unless it is red or read stale data; else the first run that repaired it. None if a red run has none."""
        if not run.state.is_red and not self.is_stale(run):
            return run
        repairs = self.repairing_runs(run)
        return min(
            repairs, key=lambda later: later.ended_at or run_time(later), default=None if run.state.is_red else run
        )

    def repairing_runs(self, run: RunFacts) -> Sequence[RunFacts]:
        """The runs that superseded it; without those that read stale data, unless all did."""
        superseding = list(self._superseding(run))
        return [later for later in superseding if not self.is_stale(later)] or superseding

    def _superseding(self, run: RunFacts) -> Iterator[RunFacts]:
        """The runs that supersede it, the latest first."""
        red_tasks = {task for task, task_run in self._task_runs(run).items() if self.is_red_now(task_run)}
        for later in self._later(run, self._dated_runs(run.job_id).good):
            if self._is_good(later) and self._includes(later, red_tasks):
                on_loop = self.graph.is_on_loop(self.graph.unit(later.job_id))
                if not (later.state is RunState.SUCCEEDED and on_loop and self.is_stale(later)):
                    yield later

    def _is_good(self, run: RunFacts) -> bool:
        """True if it succeeded by a scheduler's word; of a job without provable ends, if it started."""
        if run.state is RunState.SUCCEEDED:
            return run.evidence is not RunEvidence.ASSERTED
        return run.state is RunState.UNKNOWN and self.job(run.job_id).proof is ProofLevel.START

    def _task_runs(self, run: RunFacts) -> Mapping[int, RunFacts]:
        """The runs of its tasks in it, by task, without tasks that are gone."""
        if run.job_id not in self._tasks_by_period:
            by_period = self._tasks_by_period[run.job_id] = defaultdict(dict)
            for task in self.tasks_of(run.job_id):
                for known in self.runs.get(task.id, ()) if task.gone_since is None else ():
                    by_period[known.period_key][task.id] = known
        return self._tasks_by_period[run.job_id].get(run.period_key, {})

    def _includes(self, run: RunFacts, tasks: Set[int]) -> bool:
        """False if the run was of other tasks alone. One whose tasks were not read includes all."""
        included = self._task_runs(run).keys() if tasks else ()
        return not included or tasks <= included

    def is_excused(self, run: RunFacts) -> bool:
        """True for what was missed before the present schedule was accepted: accepting it accepts that."""
        accepted = self.job(run.job_id).accepted_at
        return run.state is RunState.MISSED and accepted is not None and run_time(run) < accepted

    def read_good(self, run: RunFacts, upstream_id: int) -> bool:
        """False when a run that has started read this upstream before it was good."""
        upstream = self.read_by(upstream_id, run.business_date, lookback_time(run), run.period_name)
        if upstream is None or run.started_at is None or self.is_unknown(upstream, run.started_at):
            return True
        good_at = self.good_by(upstream, run.started_at)
        return good_at is not None and began_after(run.started_at, good_at)

    def is_red_now(self, run: RunFacts) -> bool:
        return run.state.is_red and not self.is_excused(run) and not self.is_superseded(run)

    def is_unknown(self, run: RunFacts, by: datetime | None = None) -> bool:
        """True for what is neither green nor red: not proved, excused, or open and unobserved. `by`: for what read it
        then: until the last successful poll it was still open, or the job's last known run of that date is red."""
        if run.state.is_open:
            if self.job(run.job_id).target_id in self._unseen:
                return by is None or not (self._was_open(run, by) or self._follows_red(run))
            return run.evidence is RunEvidence.STALE
        return run.state in _NEITHER or self.is_excused(run)

    def _was_open(self, run: RunFacts, by: datetime) -> bool:
        target = self.estate.targets.get(self.job(run.job_id).target_id)
        if target is None or target.last_ok_at is None:
            return False
        if has_started(run):
            return by <= target.last_ok_at
        is_lost = target.lost is not None and run_time(run) <= target.lost[1]
        return target.seen_until is not None and by <= target.seen_until and not is_lost

    def _follows_red(self, run: RunFacts) -> bool:
        day = self.of_day(run.job_id, run.business_date)
        ended = (known for known in reversed(day) if run_time(known) < run_time(run) and not known.state.is_open)
        last = next(ended, None)
        return last is not None and last.state.is_red and not self.is_excused(last)

    def is_unseen(self, job: JobFacts) -> bool:
        """True where its source has not answered lately."""
        return job.target_id in self._unseen


def _merged(
    jobs: Mapping[int, JobFacts],
    known: Mapping[int, Sequence[RunFacts]],
    expected: Iterable[ExpectedRun],
    withdrawn: frozenset[int],
    memo: EvaluationMemo,
) -> dict[int, Sequence[RunFacts]]:
    expected_by_job: dict[int, dict[str, ExpectedRun]] = {}
    for run in expected:
        expected_by_job.setdefault(run.job_id, {})[run.period_key] = run
    merged_runs: dict[int, Sequence[RunFacts]] = {}
    new = [job_id for job_id in expected_by_job if job_id not in known]
    for job_id in [*sorted(job_id for job_id in jobs if job_id in known), *new]:
        entry = memo.get(job_id)
        runs = entry.merged if entry is not None else None
        if runs is None:
            runs = known.get(job_id, ())
            if withdrawn:
                runs = [run for run in runs if run.id not in withdrawn]
            if job_id in expected_by_job:
                runs = _with_expected(runs, expected_by_job[job_id])
            runs = _in_order(runs)
            if entry is not None:
                entry.merged = runs
        if runs:
            merged_runs[job_id] = runs
    return merged_runs


def _in_order(runs: Sequence[RunFacts]) -> Sequence[RunFacts]:
    """The same object where they are: it is cached for every job."""
    if len(runs) < 2 or all(run_time(before) <= run_time(after) for before, after in pairwise(runs)):
        return runs
    return sorted(runs, key=run_time)


def _with_expected(runs: Iterable[RunFacts], expected: dict[str, ExpectedRun]) -> list[RunFacts]:
    merged = [
        replace(
            run,
            state=due.state,
            evidence=due.evidence,
            why=due.why,
            period_kind=due.period_kind,
            own_period=due.period_name,
        )
        if (due := expected.pop(run.period_key, None)) is not None
        else run
        for run in runs
    ]
    return [*merged, *map(_as_run, expected.values())]


def _as_run(due: ExpectedRun) -> RunFacts:
    return RunFacts(
        id=0,
        job_id=due.job_id,
        period_key=due.period_key,
        period_at=due.period_at,
        business_date=due.business_date,
        state=due.state,
        evidence=due.evidence,
        why=due.why,
        expected=True,
        period_kind=due.period_kind,
        own_period=due.period_name,
    )


def _last_end(run: RunFacts, by: datetime) -> RunState | None:
    """State of its last attempt that had ended by then; None if that is unknown."""
    return next((state for ended, state in reversed(run.ends) if ended <= by), None)


def _was_over(run: RunFacts, by: datetime) -> bool:
    has_run = run.state is not RunState.SKIPPED and run.evidence is not RunEvidence.ASSERTED
    return has_run and not run.state.is_open and (run.ended_at or run_time(run)) <= by
