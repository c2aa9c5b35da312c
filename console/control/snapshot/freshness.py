"""Freshness of runs, from the sources down: good since when, stale, or built on partial inputs.

Staleness. A run is good from the end of its first success that started after all of its upstreams were good. A
downstream run that has started is stale while it has no such success: it started before its upstream of that
business date had succeeded, or the upstream is red, or stale itself. An upstream that is UNKNOWN, PARTIAL, SKIPPED
or unreachable is neither green nor red, and makes no downstream stale: unless the downstream started before the last
poll that still found it open, or the upstream's last known run of that date is red.

Partial inputs. A run that is PARTIAL, or whose output shrank, is reported by everything that read it, transitively:
a run has a partial input until it has started after all of its inputs were whole. That alone does not make it
stale.

Reads. A downstream reads the upstream's run of the same business date, or of the period that its dependency names.
Runs from before the lookback are in `Estate.earlier`, as last judged.

Gates. For a run that has started: was its input as wanted by then? What is unknown is not held against it, and what
starts on a failure has read nothing. For a run still to start everything must be known
(`console.control.holds.conditions`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from connectors.sdk.states import RunState
from console.control.snapshot.graph import DependencyEdge, DependencyGraph, UpstreamGate, UpstreamRead
from console.control.snapshot.incremental import EvaluationMemo, JobMemo
from console.control.snapshot.runs import (
    BEGINNING,
    NEVER,
    UNREAD,
    Freshness,
    RunKey,
    began_after,
    completed_at,
    has_started,
    lookback_time,
    run_key,
    run_time,
    success_spans,
)
from console.domain.check import CheckState
from console.domain.dependency import Requirement, UpstreamCondition, UpstreamPeriod
from console.domain.estate import Estate, JobFacts, RunFacts
from console.text.cleaning import clean_line
from console.timing.calendars import WEEKDAYS_ONLY, month_end_dates, previous_day


class EstateRuns(Protocol):
    """The part of `EstateIndex` that freshness reads."""

    @property
    def estate(self) -> Estate: ...
    @property
    def now(self) -> datetime: ...
    @property
    def graph(self) -> DependencyGraph: ...
    @property
    def runs(self) -> Mapping[int, Sequence[RunFacts]]: ...
    def job(self, job_id: int) -> JobFacts: ...
    def all_of(self, job_id: int) -> Sequence[RunFacts]: ...
    def read_by(self, upstream_id: int, day: date, at: datetime, period_name: str = "") -> RunFacts | None: ...
    def effective_run(self, read: RunFacts, by: datetime) -> RunFacts: ...
    def good_since(self, run: RunFacts, by: datetime | None = None) -> datetime | None: ...
    def whole_since(self, run: RunFacts) -> tuple[datetime, str]: ...
    def is_unknown(self, run: RunFacts, by: datetime | None = None) -> bool: ...
    def is_unseen(self, job: JobFacts) -> bool: ...


@dataclass(frozen=True, slots=True)
class ReadPoint:
    """The point from which a downstream reads its upstreams."""

    business_date: date
    at: datetime
    """Runs due later are not read, if there is a choice."""
    due: datetime
    """The instant of its own period."""
    by: datetime
    """Runs good after this come too late."""
    period_name: str = ""
    """The name of its period; empty without one."""


def read_point_of(run: RunFacts, now: datetime) -> ReadPoint:
    """That of a run: as it started, or as it would start now."""
    return ReadPoint(run.business_date, lookback_time(run), run_time(run), run.started_at or now, run.period_name)


def run_to_read(
    index: EstateRuns, upstream_id: int, wants: Requirement, read_point: ReadPoint, loops: bool
) -> RunFacts | None:
    """The upstream's run that is read; None where it has none of that period."""
    match wants.period:
        case UpstreamPeriod.SAME:
            return index.read_by(upstream_id, read_point.business_date, read_point.at, read_point.period_name)
        case UpstreamPeriod.PREVIOUS:
            if loops:
                return _last(_before(index, upstream_id, read_point.due))
            same = index.read_by(upstream_id, read_point.business_date, read_point.due, read_point.period_name)
            if same is not None:
                return _last(_before(index, upstream_id, run_time(same)))
            return _last([run for run in index.all_of(upstream_id) if run.business_date < read_point.business_date])
        case UpstreamPeriod.BUSINESS_DAY:
            day = previous_day(
                index.estate.declared.calendar(wants.calendar) or WEEKDAYS_ONLY, read_point.business_date
            )
            return _last(_between(index, upstream_id, day, day)) if day is not None else None
        case UpstreamPeriod.MONTH_END:
            calendar = index.estate.declared.calendar(wants.calendar)
            return _last(_between(index, upstream_id, *month_end_dates(read_point.business_date, calendar)))
        case UpstreamPeriod.LATEST:
            return _last(_before(index, upstream_id, read_point.at))
        case UpstreamPeriod.WINDOW:
            within = wants.within or timedelta(0)
            runs = [
                run for run in _before(index, upstream_id, read_point.due) if run_time(run) >= read_point.due - within
            ]
            good = (
                run for run in reversed(runs) if (since := index.good_since(run)) is not None and since <= read_point.by
            )
            return next(good, _last(runs))


def _before(index: EstateRuns, upstream_id: int, at: datetime) -> Sequence[RunFacts]:
    runs = index.all_of(upstream_id)
    return runs[: bisect_left(runs, at, key=run_time)]


def _between(index: EstateRuns, upstream_id: int, first: date, last: date) -> list[RunFacts]:
    return [run for run in index.all_of(upstream_id) if first <= run.business_date <= last]


def _last(runs: Sequence[RunFacts]) -> RunFacts | None:
    return runs[-1] if runs else None


@dataclass(frozen=True, slots=True)
class InputFreshness:
    """Freshness of one upstream for a run that has started, or was due."""

    good: datetime
    """Since when it is as wanted: BEGINNING where nothing speaks against it, NEVER while it is not."""
    whole: datetime
    """Since when nothing partial is in it."""
    text: str = ""
    """The partial input."""


def input_freshness(index: EstateRuns, read: UpstreamRead, read_point: ReadPoint) -> InputFreshness | None:
    """None where there is nothing of it to read: another of its gate must be there, if one is needed."""
    if read.wants.condition is UpstreamCondition.FAILURE:
        return None
    if read.wants.condition is UpstreamCondition.READY:
        return _seen_by_check(index, read, read_point)
    run = run_to_read(index, read.upstream, read.wants, read_point, read.loops)
    if run is None:
        return InputFreshness(NEVER, BEGINNING) if _must_be_there(index, read, read_point) else None
    return run_freshness(index, run, read_point.by, read.wants.condition)


def run_freshness(
    index: EstateRuns, run: RunFacts, by: datetime, condition: UpstreamCondition = UpstreamCondition.SUCCESS
) -> InputFreshness:
    """Freshness of a run that is read by one that started at `by`."""
    if condition is UpstreamCondition.COMPLETION:
        ended = completed_at(run)
        good = ended or (BEGINNING if index.is_unknown(run, by) else NEVER)
        return InputFreshness(good, *index.whole_since(run)) if ended is not None else InputFreshness(good, BEGINNING)
    if index.is_unknown(run, by):
        return InputFreshness(BEGINNING, *index.whole_since(run))
    read = index.effective_run(run, by)
    return InputFreshness(index.good_since(read, by) or NEVER, *index.whole_since(read))


def gate_freshness(gate: UpstreamGate, inputs: Sequence[InputFreshness | None]) -> InputFreshness:
    """Freshness of the gate from that of its upstreams."""
    present = [freshness for freshness in inputs if freshness is not None]
    need = min(gate.need, len(present))
    if need == 0:
        return InputFreshness(BEGINNING, BEGINNING)
    good = sorted(freshness.good for freshness in present)[need - 1]
    whole = sorted(max(freshness.good, freshness.whole) for freshness in present)[need - 1]
    text = next((freshness.text for freshness in present if freshness.text), "")
    return InputFreshness(good, whole if text else BEGINNING, text)


def _must_be_there(index: EstateRuns, read: UpstreamRead, read_point: ReadPoint) -> bool:
    """A window without any run is not good, where one could have been seen in all of it."""
    within, job = read.wants.within, index.job(read.unit)
    if read.wants.period is not UpstreamPeriod.WINDOW or within is None:
        return False
    return job.accepted_at is not None and job.accepted_at <= read_point.due - within and not index.is_unseen(job)


def _seen_by_check(index: EstateRuns, read: UpstreamRead, read_point: ReadPoint) -> InputFreshness | None:
    known = index.estate.checks.get((read.wants.check, read_point.business_date))
    stretches = (
        [stretch for stretch in known.stretches if stretch.state in (CheckState.PASSED, CheckState.FAILED)]
        if known
        else []
    )
    if not stretches:
        return InputFreshness(BEGINNING, BEGINNING)
    before = [stretch for stretch in stretches if stretch.since <= read_point.by]
    if before and before[-1].state is CheckState.PASSED:
        return InputFreshness(before[-1].since, BEGINNING)
    later = next(
        (
            stretch.since
            for stretch in stretches
            if stretch.state is CheckState.PASSED and stretch.since > read_point.by
        ),
        NEVER,
    )
    return InputFreshness(later, BEGINNING)


class FreshnessIndex:
    """The freshness of all runs of an index, each computed once. `shrunk`: run id -> until when its output is known to
    be partial."""

    def __init__(
        self, index: EstateRuns, earlier: Sequence[RunFacts], shrunk: Mapping[int, datetime], memo: EvaluationMemo
    ) -> None:
        self._index = index
        self._memo = memo
        self._jobs_read_from_earlier = {run.job_id for run in earlier}
        self._shrunk = shrunk
        self._by_run: dict[RunKey, Freshness] = {run_key(run): _as_stored(run) for run in earlier}
        self._has_new_output: dict[int, bool] = {}
        self._is_complete = False
        self._good_since: dict[tuple[int, date, datetime, str], datetime | None] = {}

    def of(self, run: RunFacts) -> Freshness:
        if not self._is_complete:
            self._is_complete = True
            self._compute_all()
        key = (run.job_id, run.period_key)
        freshness = self._by_run.get(key)
        if freshness is None:
            self._by_run[key] = UNREAD
            freshness = self._by_run[key] = self._cached(run) or self._compute(run)
        return freshness

    def _cached(self, run: RunFacts) -> Freshness | None:
        entry = self._memo.get(run.job_id)
        if entry is None or entry.freshness is None or entry.merged is None:
            return None
        pairs = zip(entry.merged, entry.freshness, strict=True)
        return next((freshness for merged_run, freshness in pairs if merged_run.period_key == run.period_key), None)

    def _compute_all(self) -> None:
        """Computes every run with upstreams or of a task, from the sources down, so that no recursion is as deep as the
        graph; with a cache only if something that it reads differs. In a loop through the previous period older runs
        come first."""
        graph, runs = self._index.graph, self._index.runs
        for batch in graph.batches_of(runs):
            is_plain = len(batch) == 1 and graph.gates(batch[0]) is None
            reads = (read for edge in graph.into(batch[0]) for read in edge.reads)
            inputs_differ = not is_plain or any(map(self._is_read_anew, reads))
            jobs = [member for unit in batch for member in (unit, *graph.tasks(unit))]
            outdated = {
                job_id: self._take_outdated(job_id) for job_id in jobs if self._is_outdated(job_id, inputs_differ)
            }
            if len(batch) > 1:
                ranks = {job_id: rank for rank, job_id in enumerate(graph.ordered(batch))}
                batch_runs = [run for job_id in outdated for run in runs.get(job_id, ())]
                for run in sorted(batch_runs, key=lambda run: (run_time(run), ranks.get(run.job_id, len(ranks)))):
                    self.of(run)
            for job_id, before in outdated.items():
                self._store(job_id, before)

    def _is_outdated(self, job_id: int, inputs_differ: bool) -> bool:
        entry = self._memo.get(job_id)
        if entry is None:
            return job_id in self._index.runs
        if entry.merged is None:
            return False
        return entry.freshness is None or inputs_differ or self._is_shrunk_otherwise(entry)

    def _take_outdated(self, job_id: int) -> tuple[Freshness, ...] | None:
        """The freshness of its runs in the last evaluation, removed from the memo with what rests on it."""
        before, entry = self._memo.last_evaluated(job_id), self._memo.get(job_id)
        freshness = before.freshness if before is not None else None
        if entry is not None:
            entry.freshness = entry.judgements = None
        return freshness

    def _is_shrunk_otherwise(self, entry: JobMemo) -> bool:
        return entry.shrunk != self._shrunk_runs(entry) or entry.job.id in self._jobs_read_from_earlier

    def _shrunk_runs(self, entry: JobMemo) -> tuple[object, ...]:
        if not self._shrunk:
            return ()
        return tuple((run.id, self._shrunk[run.id]) for run in entry.merged or () if run.id in self._shrunk)

    def _store(self, job_id: int, before: tuple[Freshness, ...] | None) -> None:
        """Computes the job's runs; stores the result unless time alone, or runs of before the lookback, may change it.
        `before`: in the last evaluation."""
        entry = self._memo.get(job_id)
        if entry is None:
            for run in self._index.runs[job_id]:
                self.of(run)
            return
        merged = entry.merged or ()
        freshness = tuple(map(self.of, merged))
        self._has_new_output[job_id] = (
            freshness != before or self._is_shrunk_otherwise(entry) or self._memo.has_new_output(job_id)
        )
        entry.shrunk = self._shrunk_runs(entry)
        is_settled = all(run.started_at or not success_spans(run) for run in merged)
        if is_settled and job_id not in self._jobs_read_from_earlier:
            entry.freshness = freshness

    def _is_read_anew(self, job_id: int) -> bool:
        """True if the job's readers may see other runs, or other freshness, than in the last evaluation."""
        if job_id not in self._has_new_output:
            entry = self._memo.get(job_id)
            is_new = self._memo.has_new_output(job_id)
            self._has_new_output[job_id] = is_new or (entry is not None and self._is_shrunk_otherwise(entry))
            if entry is not None:
                entry.shrunk = self._shrunk_runs(entry)
        return self._has_new_output[job_id]

    def _compute(self, run: RunFacts) -> Freshness:
        if self._is_plainly_good(run):
            return Freshness(run.ended_at, stale=False)
        if (run.started_at is None or not has_started(run)) and not success_spans(run):
            return UNREAD
        needed, whole_from, text = self._needs(run)
        ready = needed < NEVER
        clean = [span for span in success_spans(run) if ready and began_after(span[0], needed)]
        good_at = min((ended for _, ended in clean), default=None)
        if run.started_at is None or not has_started(run):
            return Freshness(good_at, stale=False)
        stale = not clean and not (ready and began_after(run.started_at, needed))
        own = self._own_part(run) if run.state is RunState.PARTIAL or run.id in self._shrunk else ""
        if not text and not own:
            return Freshness(good_at, stale)
        partial = "" if began_after(run.started_at, whole_from) else text
        since = self._shrunk.get(run.id, BEGINNING)
        whole = [ended for began, ended in clean if began_after(began, whole_from) and ended > since]
        if run.state is RunState.PARTIAL:
            return Freshness(good_at, stale, partial, None, own)
        return Freshness(good_at, stale, partial, min(whole, default=None), own or text)

    def _is_plainly_good(self, run: RunFacts) -> bool:
        """True for what nearly all runs are: one whole success, begun when all that it reads had long been good."""
        if run.state is not RunState.SUCCEEDED or run.successes or run.id in self._shrunk or not run.attempt:
            return False
        if run.started_at is None or run.ended_at is None:
            return False
        graph = self._index.graph
        unit = graph.unit(run.job_id)
        edges = graph.into(unit)
        if graph.gates(unit) is not None:
            return False
        good = self._plainly_good(unit, run, edges) if edges else BEGINNING
        return good is not None and began_after(run.started_at, good)

    def _own_part(self, run: RunFacts) -> str:
        name = clean_line(self._index.job(run.job_id).name)
        how = "partial" if run.state is RunState.PARTIAL else "found to be partial"
        return f"read {name} of {run.business_date.isoformat()}, which was {how}"

    def _needs(self, run: RunFacts) -> tuple[datetime, datetime, str]:
        """Since when all that the run reads is good, and whole; and what was partial of it before."""
        graph = self._index.graph
        unit = graph.unit(run.job_id)
        gates = graph.gates(unit)
        if gates is not None:
            return _joined(self._of_gates(run, gates))
        edges = graph.into(unit)
        if not edges:
            return _NOTHING
        good = self._plainly_good(unit, run, edges)
        if good is not None and began_after(run.started_at or self._index.now, good):
            return good, BEGINNING, ""
        return self._of_edges(run, edges)

    def _plainly_good(self, unit: int, run: RunFacts, edges: Iterable[DependencyEdge]) -> datetime | None:
        point = unit, run.business_date, lookback_time(run), run.period_name
        if point not in self._good_since:
            self._good_since[point] = self._good_in_all(run, edges)
        return self._good_since[point]

    def _good_in_all(self, run: RunFacts, edges: Iterable[DependencyEdge]) -> datetime | None:
        read_by, good, at = self._index.read_by, BEGINNING, lookback_time(run)
        for edge in edges:
            for read in edge.reads:
                upstream = read_by(read, run.business_date, at, run.period_name)
                if upstream is None:
                    continue
                if upstream.state is not RunState.SUCCEEDED:
                    return None
                known = self.of(upstream)
                if known.tainted or known.good_at is None:
                    return None
                good = max(good, known.good_at)
        return good

    def _of_gates(self, run: RunFacts, gates: Iterable[UpstreamGate]) -> Iterator[InputFreshness]:
        read_point = read_point_of(run, self._index.now)
        for gate in gates:
            yield gate_freshness(gate, [input_freshness(self._index, read, read_point) for read in gate.reads])

    def _of_edges(self, run: RunFacts, edges: Iterable[DependencyEdge]) -> tuple[datetime, datetime, str]:
        index, at, by = self._index, lookback_time(run), run.started_at or self._index.now
        good, rest = BEGINNING, list[InputFreshness]()
        for edge in edges:
            for read in edge.reads:
                upstream = index.read_by(read, run.business_date, at, run.period_name)
                if upstream is None:
                    continue
                known = self.of(upstream) if upstream.state is RunState.SUCCEEDED else None
                if known is None or known.tainted:
                    rest.append(run_freshness(index, upstream, by))
                    continue
                good_at = known.good_at or NEVER
                if not began_after(by, good_at) and index.effective_run(upstream, by) is not upstream:
                    rest.append(run_freshness(index, upstream, by))
                elif good_at > good:
                    good = good_at
        return _joined(rest, good) if rest else (good, BEGINNING, "")


_NOTHING = (BEGINNING, BEGINNING, "")


def _joined(inputs: Iterable[InputFreshness], good: datetime = BEGINNING) -> tuple[datetime, datetime, str]:
    whole, text = BEGINNING, ""
    for freshness in inputs:
        good = max(good, freshness.good)
        if freshness.text:
            whole, text = max(whole, freshness.whole), text or freshness.text
    return good, whole, text


def _as_stored(run: RunFacts) -> Freshness:
    clean = [] if run.stale_read else [ended for _, ended in success_spans(run)]
    tainted = run.partial_input or ("it was partial" if run.state is RunState.PARTIAL else "")
    whole = None if tainted else min(clean, default=None)
    return Freshness(min(clean, default=None), run.stale_read, run.partial_input, whole, tainted)
