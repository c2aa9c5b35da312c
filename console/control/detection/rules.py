"""Rules: problems of a job before it is red, or beside that, each a small pure function with its evidence.

`RULES` is the ordered list; if several match, the first that notifies opens the incident. `current_findings` applies
it to every job. A rule sees one job and that job's own past, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connectors.sdk.states import RunEvidence as Proved
from connectors.sdk.states import RunState
from console.control.detection.rule_input import TEXT_LIMIT, JobRuleSettings, RuleInput, Threshold
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import JobMemo
from console.control.snapshot.runs import BEGINNING, NEVER, red_since, run_time
from console.domain.estate import JobFacts, RunFacts
from console.domain.finding import DetectionRule, Finding, FindingChange, FindingEvidence, FindingSeverity
from console.domain.text import At, Text
from console.text.cleaning import clean_line
from console.timing.durations import TICK, format_duration
from console.timing.maintenance import maintenance_of_job, starts_later, takes_longer

_RUNNING = (RunState.RUNNING, RunState.CANCELLING)


def too_long(facts: RuleInput) -> Iterator[Finding]:
    """Runs longer than usual: it may hang, and nothing is red before it ends."""
    for run in facts.open:
        if run.state not in _RUNNING or run.started_at is None:
            continue
        threshold = facts.at_most(facts.history.takes, run_time(run)) or _expected(facts)
        if threshold is not None:
            threshold = threshold.later(*takes_longer(facts.index.estate.declared, facts.job.name, run.business_date))
            since = run.started_at + timedelta(seconds=threshold.value)
            text = "running since ", At(run.started_at), f", longer than {format_duration(threshold.value)}"
            yield facts.of_run(run, since, text, threshold.evidence())


def too_short(facts: RuleInput) -> Iterator[Finding]:
    """Success sooner than usual: it may have found nothing to do. A retry is left out: it may have had less to do."""
    run = facts.latest
    if run is None or run.state is not RunState.SUCCEEDED or run.evidence is not Proved.NATIVE or run.attempt > 1:
        return
    if run.started_at is None or run.ended_at is None:
        return
    took = (run.ended_at - run.started_at).total_seconds()
    setting = facts.setting
    most = setting.declared if setting.declared is not None else setting.factor * max(facts.history.takes, default=0.0)
    if took >= most:
        return
    threshold = facts.at_least(facts.history.takes, run_time(run), without=run.id)
    if threshold is not None and took < threshold.value:
        least = format_duration(threshold.value)
        text = "ended ", At(run.ended_at), f" after {format_duration(took)}, sooner than {least}"
        yield facts.of_run(run, run.ended_at, text, threshold.evidence())


def _expected(facts: RuleInput) -> Threshold | None:
    if facts.job.expected is None:
        return None
    setting, usual = facts.setting, facts.job.expected.total_seconds()
    return Threshold(max(usual * setting.factor, usual + setting.floor), "declared in config as the expected duration")


def is_running(run: RunFacts) -> bool:
    """True if its source reports it as running."""
    return run.state in _RUNNING and run.started_at is not None


def retry_storm(facts: RuleInput) -> Iterator[Finding]:
    """Retried again and again without success: each try costs, and hides the failure."""
    run = facts.latest
    if run is None or run.attempt <= 1 or run.started_at is None or not (run.state.is_open or run.state.is_red):
        return
    threshold = facts.at_most(facts.history.attempts, run_time(run), without=run.id)
    if threshold is not None and run.attempt > threshold.value:
        first = At(run.first_started_at or run.started_at)
        text = f"was tried {run.attempt} times since ", first, f", more than {threshold.value:.0f}"
        evidence = threshold.evidence(lambda number: f"{number:.0f} attempts")
        yield facts.of_run(run, run.started_at, text, evidence)


def overlap(facts: RuleInput) -> Iterator[Finding]:
    """More runs of the job at once than usual: they may write the same data."""
    running = [run for run in facts.open if is_running(run)]
    if len(running) < 2:
        return
    spans = [
        (ended - takes, float(ended)) for ended, takes in zip(facts.history.ended, facts.history.takes, strict=True)
    ]
    at_once = [float(sum(start <= began < end for start, end in spans)) for began, ended in spans if ended > began]
    threshold = facts.usual_at_most(at_once, "runs")
    if threshold is not None and len(running) > threshold.value:
        newest = max(running, key=_began)
        text = f"{len(running)} runs at once since ", At(_began(newest)), f"; usually {threshold.value:.0f}"
        evidence = threshold.evidence(lambda number: f"{number:.0f} at once")
        yield facts.of_run(newest, _began(newest), text, evidence)


def _began(run: RunFacts) -> datetime:
    return run.started_at or run_time(run)


_DECLARED = "declared in config as the budget"


def over_budget(facts: RuleInput) -> Iterator[Finding]:
    """More cost, or time, than the budget. The cost is that of all attempts, from its source."""
    run = facts.latest
    if run is not None:
        yield from list(_cost(facts, run)) or _time(facts, run)


def _cost(facts: RuleInput, run: RunFacts) -> Iterator[Finding]:
    most, cost = facts.job.budget_cost, facts.index.estate.costs.get(run.id)
    if most is None or cost is None or cost <= most:
        return
    since = run.ended_at or run.observed_at or facts.now
    text = (f"has cost {cost:,.2f}, more than {most:,.2f}",)
    yield facts.of_run(run, since, text, FindingEvidence(f"{most:,.2f}", _DECLARED))


def _time(facts: RuleInput, run: RunFacts) -> Iterator[Finding]:
    most, began = facts.job.budget_time, run.first_started_at or run.started_at
    if most is None or began is None or run.started_at is None:  # when a repeated attempt began may be unknown
        return
    before = [ended for ended, _ in run.ends if ended <= run.started_at]
    rested = run.started_at - max(before) if before else timedelta(0)
    spent = began + rested + most
    if run.ended_at is not None and run.ended_at <= spent:
        return
    if run.ended_at is None and not run.state.is_open:
        return
    spends: Text = "running since ", At(began)
    if run.ended_at is not None:
        spends = (f"took {format_duration(run.ended_at - began - rested)}",)
    text = *spends, f", longer than its budget of {format_duration(most)}"
    yield facts.of_run(run, spent, text, FindingEvidence(format_duration(most), _DECLARED))


def drift(facts: RuleInput) -> Iterator[Finding]:
    """Drift: schedule or definition differ from the accepted ones, or it is paused or gone."""
    if facts.job.drift_reason and facts.job.drift_since is not None:
        reason = clean_line(facts.job.drift_reason, TEXT_LIMIT // 2)
        yield facts.of_job(facts.job.drift_since, (f"differs from what was accepted: {reason}",), FindingEvidence())


def output_shrank(facts: RuleInput) -> Iterator[Finding]:
    """Fewer rows or bytes than usual: green, with incomplete data."""
    history = facts.history
    if not history.output or history.output[0] < 0:
        return
    run = next((known for known in reversed(facts.started) if known.id == history.run_ids[0]), None)
    if run is None or run.ended_at is None:
        return
    threshold = facts.at_least(history.output, run_time(run), without=run.id)
    wrote = history.output[0]
    if threshold is not None and wrote < threshold.value:
        unit = history.output_unit
        least = f"{threshold.value:,.0f} {unit}"
        text = "ended ", At(run.ended_at), f" with {wrote:,.0f} {unit}, fewer than {least}"
        evidence = threshold.evidence(lambda number: f"{number:,.0f} {unit}")
        yield facts.of_run(run, run.ended_at, text, evidence)


def not_started(facts: RuleInput) -> Iterator[Finding]:
    """MISSED runs of `expectations`, neither excused nor followed by a later success."""
    for run in facts.due:
        if run.state is RunState.MISSED and run.period_at is not None and facts.index.is_red_now(run):
            since = run.period_at + facts.job.grace
            text = "was due ", At(run.period_at), " and did not start: ", *run.why
            yield facts.of_run(run, since, text, FindingEvidence(format_duration(facts.job.grace), "the job's grace"))


def late_start(facts: RuleInput) -> Iterator[Finding]:
    """Started, or not yet started, later than usual. A start that our own hold suppressed is not late."""
    yield from _not_yet(facts)
    run = facts.latest
    if run is None or run.period_at is None or run.first_started_at is None:
        return
    delay = (run.first_started_at - run.period_at).total_seconds()
    threshold = _usual(facts, run.period_at, delay, run.id)
    if threshold is not None and delay > threshold.value and not facts.is_held(run):
        late, most = format_duration(delay), format_duration(threshold.value)
        text = "began ", At(run.first_started_at), f", {late} after it was due; usually at most {most} after"
        yield facts.of_run(run, _after(run.period_at, threshold), text, threshold.evidence())


def _not_yet(facts: RuleInput) -> Iterator[Finding]:
    run = next((planned for planned in facts.due if planned.state is RunState.PLANNED), None)
    if run is None or run.period_at is None or run.period_at >= facts.now or run.evidence is Proved.STALE:
        return
    if facts.is_held(run):
        return
    threshold = _usual(facts, run.period_at, (facts.now - run.period_at).total_seconds())
    if threshold is None or threshold.value >= facts.job.grace.total_seconds():
        return
    since = _after(run.period_at, threshold)
    if facts.is_proved(since):
        most = format_duration(threshold.value)
        text = "was due ", At(run.period_at), f" and has not begun; usually it does at most {most} after"
        yield facts.of_run(run, since, text, threshold.evidence())


def _usual(facts: RuleInput, at: datetime, delay: float, without: int = 0) -> Threshold | None:
    if delay <= facts.setting.least_delay:
        return None
    threshold = facts.at_most(facts.history.delays, at, without)
    return threshold and threshold.later(*starts_later(facts.index.estate.declared, facts.job.name, facts.date_of(at)))


def _after(due: datetime, threshold: Threshold) -> datetime:
    return due + timedelta(seconds=threshold.value)


def too_long_since_success(facts: RuleInput) -> Iterator[Finding]:
    """No success for longer than usual: no run came, or none ended well, and nothing need be red. With a schedule
    only after a run came due: a job that rests over a holiday is not late."""
    if facts.job.paused_since is not None or not _may_be_due(facts):
        return
    success_ends = [
        run.ended_at for run in facts.started if run.state is RunState.SUCCEEDED and run.ended_at is not None
    ]
    if len(facts.history):
        success_ends.append(datetime.fromtimestamp(max(facts.history.ended), UTC))
    last = max(success_ends, default=None)
    if last is None or not _was_due_since(facts, last):
        return
    ends = sorted(facts.history.ended)
    gaps = [float(after - before) for before, after in pairwise(ends)]
    threshold = facts.usual_at_most(gaps, "gaps between successes")
    if threshold is None:
        return
    since = last + timedelta(seconds=threshold.value)
    if facts.is_proved(since):  # while the history is being read the newest success is unknown
        text = "has had no success since ", At(last), f", longer than {format_duration(threshold.value)}"
        yield facts.of_job(since, text, threshold.evidence())


def n_in_a_row(facts: RuleInput) -> Iterator[Finding]:
    """Its latest runs all failed. Starts that did not come are left out."""
    ended = [run for run in _in_order(facts) if not run.state.is_open]
    if not ended or not facts.index.is_red_now(ended[-1]):
        return
    row: list[RunFacts] = []
    for latest in reversed(ended):
        if not latest.state.is_red:
            break
        row += [latest] if latest.state is not RunState.MISSED else []
    if not row:
        return
    row = row[::-1]
    count, first = len(row), red_since(row[0])
    if facts.history.failures > count and facts.history.failing_since is not None:
        count, first = facts.history.failures, facts.history.failing_since
    threshold = facts.setting.without_history
    if threshold is not None and count >= threshold.value:
        evidence = threshold.evidence(lambda number: f"{number:.0f} in a row")
        yield facts.of_job(first, (f"failed {count} times, since ", At(first)), evidence)


def _may_be_due(facts: RuleInput) -> bool:
    """False if the newest run succeeded and nothing came due after it: a cheap test before the expensive one."""
    latest = facts.latest
    if latest is None or latest.state is not RunState.SUCCEEDED or not _by_the_clock(facts):
        return True
    return any(run_time(latest) < run_time(run) <= facts.now for run in facts.due)


def _by_the_clock(facts: RuleInput) -> bool:
    return facts.job.schedule.dialect != "none" and facts.job.accepted_at is not None


def _was_due_since(facts: RuleInput, last: datetime) -> bool:
    """True if a run came due or started after that; always true without a schedule."""
    if not _by_the_clock(facts):
        return True
    later = (run for run in _in_order(facts) if run_time(run) > last and run.state is not RunState.SKIPPED)
    return any(run.state is not RunState.HELD and run_time(run) <= facts.now for run in later)


def _in_order(facts: RuleInput) -> list[RunFacts]:
    return sorted((*facts.started, *facts.due), key=run_time) if facts.due else list(facts.started)


_INTENDED_WAITS = ("time", "approval", "calendar")
"""Waits that the owner intended."""
_FOR_A_PLACE = ("resource", "slot")


def stuck_waiting(facts: RuleInput) -> Iterator[Finding]:
    """Queued or waiting without a turn: no worker, no slot, no upstream that will ever come."""
    for run in facts.open:
        since = run.queued_at or run.period_at
        if not may_be_stuck(run) or since is None or run.reason in _INTENDED_WAITS:
            continue
        threshold = facts.at_most(facts.history.waits, run_time(run))
        if threshold is not None and not (
            threshold.source == "default" and run.state is RunState.WAITING and run.reason not in _FOR_A_PLACE
        ):
            what = "queued" if run.state is RunState.QUEUED else f"waits for {run.reason}" if run.reason else "waits"
            at = since + timedelta(seconds=threshold.value)
            text = f"{what} since ", At(since), f", longer than {format_duration(threshold.value)}"
            yield facts.of_run(run, at, text, threshold.evidence())


def may_be_stuck(run: RunFacts) -> bool:
    return run.state is RunState.QUEUED or run.state is RunState.WAITING


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """One rule of the list."""

    rule: DetectionRule
    find: Callable[[RuleInput], Iterator[Finding]]
    of_tasks: bool = False
    """True if it applies to tasks: most problems of a task show at its job."""


RULES = (
    # A missing run leaves no row, no log and no error: first.
    RuleEntry(DetectionRule.NOT_STARTED, not_started),
    # Before the rules about single runs: waiting for the next run does not help.
    RuleEntry(DetectionRule.N_IN_A_ROW, n_in_a_row),
    # Each attempt ends and a new one starts, so "too long" does not find it.
    RuleEntry(DetectionRule.RETRY_STORM, retry_storm),
    # Nothing is red before it ends, and the deadline may have passed by then.
    RuleEntry(DetectionRule.TOO_LONG, too_long),
    # A run that is not stuck still costs money each minute.
    RuleEntry(DetectionRule.OVER_BUDGET, over_budget),
    # A pool without a slot shows at the tasks.
    RuleEntry(DetectionRule.STUCK_WAITING, stuck_waiting, of_tasks=True),
    # Green with incomplete data: the rules above do not find it.
    RuleEntry(DetectionRule.OUTPUT_SHRANK, output_shrank),
    # For any reason, no success for too long: after all rules that name a reason.
    RuleEntry(DetectionRule.TOO_LONG_SINCE_SUCCESS, too_long_since_success),
    # From here on hints: it started late, …
    RuleEntry(DetectionRule.LATE_START, late_start),
    # … it did nothing, …
    RuleEntry(DetectionRule.TOO_SHORT, too_short),
    # … it overlapped, …
    RuleEntry(DetectionRule.OVERLAP, overlap),
    # … its definition changed. Last: `headway system drift` shows it with the possible actions.
    RuleEntry(DetectionRule.DRIFT, drift),
)


def is_judged(index: EstateIndex, job: JobFacts) -> bool:
    """False while its target does not answer, or in maintenance: the job gets no new findings and keeps the old."""
    target = index.estate.targets.get(job.target_id)
    if target is None or target.polls_fail or index.is_unseen(job):
        return False
    return not index.estate.declared.maintenance or maintenance_of_job(index.estate, job, index.now) is None


RESOLVED = "it no longer holds"
UNWATCHED = "its job is no longer watched"


@dataclass(frozen=True, slots=True)
class CurrentFindings:
    """Findings now, and when time alone will add one."""

    findings: Sequence[Finding]
    """By job, then in the order of the rules."""
    next_at: datetime | None


def current_findings(index: EstateIndex) -> CurrentFindings:
    """The findings of all jobs now. A job that is not judged keeps its earlier findings."""
    settings = JobRuleSettings(index)
    stored: dict[int, list[Finding]] = {}
    for finding in index.estate.findings:
        stored.setdefault(finding.finding.job_id, []).append(finding.finding)
    findings: list[Finding] = []
    next_at: list[datetime] = []
    has_maintenance = bool(index.estate.declared.maintenance)
    for job in index.estate.jobs.values():
        entry = index.memo.get(job.id) or JobMemo(job, (), None, None, NEVER)
        if (has_maintenance or entry.findings is None) and not is_judged(index, job):
            findings += stored.get(job.id, ())
            continue
        if entry.findings is None:
            entry.findings = tuple(_fill(index, job, settings, entry))
        findings += entry.findings
        if entry.next_finding_at is not None:
            next_at.append(entry.next_finding_at)
    return CurrentFindings(findings, min(next_at, default=None))


def _fill(index: EstateIndex, job: JobFacts, settings: JobRuleSettings, entry: JobMemo) -> Iterator[Finding]:
    if job.parent_id is not None and not any(map(may_be_stuck, index.runs.get(job.id, ()))):
        return  # no other rule applies to tasks
    facts = RuleInput.of(index, job, settings)
    findings = list(_of(facts))
    yield from (finding for finding in findings if finding.since <= index.now)
    later = [finding.since for finding in findings if finding.since > index.now]
    entry.next_finding_at = min(later, default=None)
    grace = timedelta(seconds=settings.of(DetectionRule.LATE_START, job).least_delay)
    due = [run_time(run) for run in facts.due]
    entry.expire_at((*later, *due, *(at + grace + TICK for at in due)), index.now)
    if facts.proofs:
        index.memo.depends_on_poll(entry, facts.proofs)
    if index.graph.is_on_loop(index.graph.unit(job.id)):
        entry.until = BEGINNING  # superseding runs there depend on the other jobs


def finding_changes(index: EstateIndex, findings: Sequence[Finding]) -> tuple[FindingChange, ...]:
    """New, changed and ended findings."""
    stored = {finding.finding.key: finding for finding in index.estate.findings}
    decided: list[FindingChange] = []
    for finding in {finding.key: finding for finding in findings}.values():
        before = stored.pop(finding.key, None)
        if before is None or before.finding != finding:
            decided.append(FindingChange(before.id if before is not None else None, finding))
    decided += [
        FindingChange(known.id, known.finding, RESOLVED if known.finding.job_id in index.estate.jobs else UNWATCHED)
        for known in stored.values()
    ]
    return tuple(
        sorted(decided, key=lambda change: (change.finding.job_id, change.finding.rule, change.finding.period_key))
    )


def _of(facts: RuleInput) -> Iterator[Finding]:
    for entry in RULES:
        if facts.job.parent_id is not None and not entry.of_tasks:
            continue
        facts.rule = entry.rule
        for finding in entry.find(facts):
            if facts.setting.on:
                is_alert = facts.settings.notifies(entry.rule, facts.job)
                yield replace(finding, severity=FindingSeverity.ALERT) if is_alert else finding
