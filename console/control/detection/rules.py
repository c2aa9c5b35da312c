"""Rules: what is wrong with a job before it is red, or beside that, each a small pure function with its evidence.

`RULES` is the ordered list; if several match, the first that notifies opens the incident. `current_findings`
applies it to every job. A rule sees one job and that job's own past, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connectors.sdk.states import RunEvidence as Proved
from connectors.sdk.states import RunState
from console.control.detection.rule_input import JobRuleSettings, RuleInput, Threshold, at_least, at_most, usual_at_most
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import JobMemo
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import BEGINNING, NEVER, red_since, run_time
from console.domain.estate import JobFacts, RunFacts
from console.domain.finding import DetectionRule, Finding, FindingChange, FindingEvidence, FindingSeverity
from console.domain.history import RunHistory
from console.timing.durations import format_duration
from console.timing.formats import dated_time, zoned_time
from console.timing.maintenance import maintenance_of_job, starts_later, takes_longer

_RUNNING = (RunState.RUNNING, RunState.CANCELLING)


def too_long(rule_input: RuleInput) -> Iterator[Finding]:
    """What runs longer than usual: it may hang, and nothing is red before it ends."""
    for run in rule_input.open:
        if run.state not in _RUNNING or run.started_at is None:
            continue
        threshold = at_most(rule_input, DetectionRule.TOO_LONG, rule_input.history.takes, run_time(run)) or _expected(
            rule_input
        )
        if threshold is not None:
            threshold = threshold.later(
                *takes_longer(rule_input.index.estate.declared, rule_input.job.name, run.business_date)
            )
            since = run.started_at + timedelta(seconds=threshold.value)
            began, most = zoned_time(run.started_at, rule_input.job.zone, since), format_duration(threshold.value)
            words = f"has run since {began}, longer than {most}"
            seen = f"running since {dated_time(run.started_at, rule_input.job.zone)}"
            yield rule_input.of_run(DetectionRule.TOO_LONG, run, since, words, threshold.evidence(seen))


def too_short(rule_input: RuleInput) -> Iterator[Finding]:
    """The newest run succeeded sooner than usual: it may have found nothing to do. What was tried again may have had
    less to do."""
    run = rule_input.latest
    if run is None or run.state is not RunState.SUCCEEDED or run.evidence is not Proved.NATIVE or run.attempt > 1:
        return
    if run.started_at is None or run.ended_at is None:
        return
    took = (run.ended_at - run.started_at).total_seconds()
    if took >= _most(rule_input):
        return
    threshold = at_least(rule_input, DetectionRule.TOO_SHORT, rule_input.history.takes, run_time(run), without=run.id)
    if threshold is not None and took < threshold.value:
        least = format_duration(threshold.value)
        words = (
            f"ended {zoned_time(run.ended_at, rule_input.job.zone)} after {format_duration(took)}, sooner than {least}"
        )
        yield rule_input.of_run(
            DetectionRule.TOO_SHORT, run, run.ended_at, words, threshold.evidence(format_duration(took))
        )


def _expected(rule_input: RuleInput) -> Threshold | None:
    """From what the job's owner declared, where there is no history."""
    if rule_input.job.expected is None:
        return None
    wish, usual = rule_input.wish(DetectionRule.TOO_LONG), rule_input.job.expected.total_seconds()
    return Threshold(max(usual * wish.factor, usual + wish.floor), "declared in config, the job's expected")


def _most(rule_input: RuleInput) -> float:
    """No threshold is above this: the cheap question before the dear one."""
    wish = rule_input.wish(DetectionRule.TOO_SHORT)
    return wish.declared if wish.declared is not None else wish.factor * max(rule_input.history.takes, default=0.0)


def is_running(run: RunFacts) -> bool:
    """True for what its source says is at work now."""
    return run.state in _RUNNING and run.started_at is not None


def retry_storm(rule_input: RuleInput) -> Iterator[Finding]:
    """A run is tried again and again, and is not good yet: each try costs, and hides that it never will be."""
    run = rule_input.latest
    if run is None or run.attempt <= 1 or run.started_at is None or not (run.state.is_open or run.state.is_red):
        return
    threshold = at_most(
        rule_input, DetectionRule.RETRY_STORM, rule_input.history.attempts, run_time(run), without=run.id
    )
    if threshold is not None and run.attempt > threshold.value:
        first = zoned_time(run.first_started_at or run.started_at, rule_input.job.zone, run.started_at)
        words = f"was tried {run.attempt} times since {first}, more than {threshold.value:.0f}"
        evidence = threshold.evidence(f"{run.attempt} attempts", lambda number: f"{number:.0f} attempts")
        yield rule_input.of_run(DetectionRule.RETRY_STORM, run, run.started_at, words, evidence)


def overlap(rule_input: RuleInput) -> Iterator[Finding]:
    """More runs of the job at once than usual: the one before is not over, and both may write the same data."""
    running = [run for run in rule_input.open if is_running(run)]
    if len(running) < 2:
        return
    threshold = usual_at_most(rule_input, DetectionRule.OVERLAP, _at_once(rule_input.history), "runs")
    if threshold is not None and len(running) > threshold.value:
        newest = max(running, key=_began)
        since = zoned_time(_began(newest), rule_input.job.zone)
        words = f"{len(running)} runs at once since {since}; usually {threshold.value:.0f}"
        evidence = threshold.evidence(f"{len(running)} runs at once", lambda number: f"{number:.0f} at once")
        yield rule_input.of_run(DetectionRule.OVERLAP, newest, _began(newest), words, evidence)


def _began(run: RunFacts) -> datetime:
    return run.started_at or run_time(run)


def _at_once(history: RunHistory) -> Sequence[float]:
    """How many past successes were at work when each of them began."""
    spans = [(ended - takes, float(ended)) for ended, takes in zip(history.ended, history.takes, strict=True)]
    return [float(sum(other <= began < over for other, over in spans)) for began, over in spans if over > began]


_DECLARED = "declared in config, the job's budget"


def over_budget(rule_input: RuleInput) -> Iterator[Finding]:
    """The newest run has cost, or taken, more than its budget. What it costs is what its source tells, all attempts
    together."""
    run = rule_input.latest
    if run is not None:
        yield from list(_cost(rule_input, run)) or _time(rule_input, run)


def _cost(rule_input: RuleInput, run: RunFacts) -> Iterator[Finding]:
    most, cost = rule_input.job.budget_cost, rule_input.index.estate.costs.get(run.id)
    if most is None or cost is None or cost <= most:
        return
    since = run.ended_at or run.observed_at or rule_input.now
    words = f"has cost {cost:,.2f}, more than {most:,.2f}"
    yield rule_input.of_run(
        DetectionRule.OVER_BUDGET, run, since, words, FindingEvidence(f"{cost:,.2f}", f"{most:,.2f}", _DECLARED)
    )


def _time(rule_input: RuleInput, run: RunFacts) -> Iterator[Finding]:
    most, began = rule_input.job.budget_time, run.first_started_at or run.started_at
    if most is None or began is None:
        return
    rested = _rested(run)
    spent = began + rested + most
    if run.ended_at is not None and run.ended_at <= spent:
        return
    if run.ended_at is None and not run.state.is_open:
        return
    words = (
        f"has gone on since {zoned_time(began, rule_input.job.zone, spent)}, longer than its budget of {_words(most)}"
    )
    if run.ended_at is not None:
        words = f"took {_words(run.ended_at - began - rested)}, longer than its budget of {_words(most)}"
    yield rule_input.of_run(
        DetectionRule.OVER_BUDGET, run, spent, words, FindingEvidence(words, _words(most), _DECLARED)
    )


def _rested(run: RunFacts) -> timedelta:
    """How long nothing of it was at work before its latest attempt: it may have waited all night for its repair. What
    lies between earlier attempts is counted, for nobody keeps when these began."""
    before = [ended for ended, _ in run.ends if run.started_at is not None and ended <= run.started_at]
    return run.started_at - max(before) if before and run.started_at is not None else timedelta(0)


def _words(taken: timedelta) -> str:
    return format_duration(taken.total_seconds())


def drift(rule_input: RuleInput) -> Iterator[Finding]:
    """What the drift rows say: its schedule or definition is not the accepted one, it is paused or gone."""
    if rule_input.job.drift_reason and rule_input.job.drift_since is not None:
        words = f"differs from what was accepted: {rule_input.job.drift_reason}"
        yield rule_input.of_job(
            DetectionRule.DRIFT, rule_input.job.drift_since, words, FindingEvidence(rule_input.job.drift_reason)
        )


def output_shrank(rule_input: RuleInput) -> Iterator[Finding]:
    """The newest success wrote fewer rows or bytes than usual: green, and yet half of the data is not there."""
    history = rule_input.history
    if not history.output or history.output[0] < 0:
        return
    run = next((each for each in reversed(rule_input.started) if each.id == history.run_ids[0]), None)
    if run is None or run.ended_at is None:
        return
    threshold = at_least(rule_input, DetectionRule.OUTPUT_SHRANK, history.output, run_time(run), without=run.id)
    wrote = history.output[0]
    if threshold is not None and wrote < threshold.value:
        unit = history.output_unit
        least = f"{threshold.value:,.0f} {unit}"
        words = f"ended {zoned_time(run.ended_at, rule_input.job.zone)} with {wrote:,.0f} {unit}, fewer than {least}"
        evidence = threshold.evidence(f"{wrote:,.0f} {unit}", lambda number: f"{number:,.0f} {unit}")
        yield rule_input.of_run(DetectionRule.OUTPUT_SHRANK, run, run.ended_at, words, evidence)


def not_started(rule_input: RuleInput) -> Iterator[Finding]:
    """What is MISSED, as `control.expected` decided it, and neither excused nor overtaken by a later success."""
    for run in rule_input.due:
        if run.state is RunState.MISSED and run.period_at is not None and rule_input.index.is_red_now(run):
            since = run.period_at + rule_input.job.grace
            words = f"was due {zoned_time(run.period_at, rule_input.job.zone, since)} and did not start: {run.reason}"
            grace = format_duration(rule_input.job.grace.total_seconds())
            evidence = FindingEvidence(run.reason, grace, "the job's grace")
            yield rule_input.of_run(DetectionRule.NOT_STARTED, run, since, words, evidence)


def late_start(rule_input: RuleInput) -> Iterator[Finding]:
    """The newest run began, or did not yet begin, later after its instant than it usually does. What our own hold kept
    back is not late."""
    yield from _not_yet(rule_input)
    run = rule_input.latest
    if run is None or run.period_at is None or run.first_started_at is None:
        return
    delay = (run.first_started_at - run.period_at).total_seconds()
    threshold = _usual(rule_input, run.period_at, delay, run.id)
    if threshold is not None and delay > threshold.value and not rule_input.is_held(run):
        zone, late, most = rule_input.job.zone, format_duration(delay), format_duration(threshold.value)
        since = _after(run.period_at, threshold)
        began = zoned_time(run.first_started_at, zone, since)
        words = f"began {began}, {late} after it was due; usually at most {most} after"
        evidence = threshold.evidence(f"{late} after {dated_time(run.period_at, zone)}")
        yield rule_input.of_run(DetectionRule.LATE_START, run, since, words, evidence)


def _not_yet(rule_input: RuleInput) -> Iterator[Finding]:
    """The first run that is due and has not begun, unless it is held, missed, or out of sight."""
    run = next((each for each in rule_input.due if each.state is RunState.PLANNED), None)
    if run is None or run.period_at is None or run.period_at >= rule_input.now or run.evidence is Proved.STALE:
        return
    if rule_input.is_held(run):
        return
    threshold = _usual(rule_input, run.period_at, (rule_input.now - run.period_at).total_seconds())
    if threshold is None or threshold.value >= rule_input.job.grace.total_seconds():
        return
    since = _after(run.period_at, threshold)
    if rule_input.is_proved(since):
        zone, most = rule_input.job.zone, format_duration(threshold.value)
        words = (
            f"was due {zoned_time(run.period_at, zone, since)} and has not begun; usually it does at most {most} after"
        )
        evidence = threshold.evidence(f"not begun; due {dated_time(run.period_at, zone)}")
        yield rule_input.of_run(DetectionRule.LATE_START, run, since, words, evidence)


def _usual(rule_input: RuleInput, at: datetime, delay: float, without: int = 0) -> Threshold | None:
    """How late a start may be; None too where this delay is below all that could come out."""
    wish = rule_input.wish(DetectionRule.LATE_START)
    if delay <= (wish.floor if wish.declared is None else wish.declared):
        return None
    found = at_most(rule_input, DetectionRule.LATE_START, rule_input.history.delays, at, without)
    return found and found.later(
        *starts_later(rule_input.index.estate.declared, rule_input.job.name, rule_input.date_of(at))
    )


def _after(due: datetime, threshold: Threshold) -> datetime:
    return due + timedelta(seconds=threshold.value)


def too_long_since_success(rule_input: RuleInput) -> Iterator[Finding]:
    """No success for longer than its successes usually lie apart: no run came, or none ended well, and nothing need be
    red. Where the clock demands runs, only after one came due: what rests over a holiday is not late."""
    if rule_input.job.paused_since is not None or not _may_want(rule_input):
        return
    last = _last_success(rule_input)
    if last is None or not _was_wanted_since(rule_input, last):
        return
    ends = sorted(rule_input.history.ended)
    gaps = [float(after - before) for before, after in pairwise(ends)]
    threshold = usual_at_most(rule_input, DetectionRule.TOO_LONG_SINCE_SUCCESS, gaps, "gaps between successes")
    if threshold is None:
        return
    since = last + timedelta(seconds=threshold.value)
    if rule_input.is_proved(since):  # while a source's past is still being read, its newest success is not
        at, most = dated_time(last, rule_input.job.zone), format_duration(threshold.value)
        words = f"has had no success since {at}, longer than {most}"
        yield rule_input.of_job(
            DetectionRule.TOO_LONG_SINCE_SUCCESS, since, words, threshold.evidence(f"last success {at}")
        )


def n_in_a_row(rule_input: RuleInput) -> Iterator[Finding]:
    """Its latest runs are all red: no bad night, but something that stays so until a person looks."""
    ended = [run for run in _in_order(rule_input) if not run.state.is_open]
    if not ended or not rule_input.index.is_red_now(ended[-1]):
        return
    row = _trailing_reds(rule_input, ended)
    count, first = len(row), red_since(row[0])
    if rule_input.history.failures > count and rule_input.history.failing_since is not None:
        count, first = rule_input.history.failures, rule_input.history.failing_since
    wish = rule_input.wish(DetectionRule.N_IN_A_ROW)
    least = wish.declared if wish.declared is not None else wish.default
    if least is not None and count >= least:
        threshold = Threshold(least, f"declared in config, {wish.place}" if wish.declared is not None else "default")
        words = f"failed {count} times, since {dated_time(first, rule_input.job.zone)}"
        seen = threshold.evidence(f"{count} red runs", lambda number: f"{number:.0f} in a row")
        yield rule_input.of_job(DetectionRule.N_IN_A_ROW, first, words, seen)


def _last_success(rule_input: RuleInput) -> datetime | None:
    """The end of its newest success, within view or before."""
    ends = [run.ended_at for run in rule_input.started if run.state is RunState.SUCCEEDED and run.ended_at is not None]
    if len(rule_input.history):
        ends.append(datetime.fromtimestamp(max(rule_input.history.ended), UTC))
    return max(ends, default=None)


def _may_want(rule_input: RuleInput) -> bool:
    """False where the newest run went well and nothing came due after it: the cheap question before the dear one."""
    latest = rule_input.latest
    if latest is None or latest.state is not RunState.SUCCEEDED or not _by_the_clock(rule_input):
        return True
    return any(run_time(latest) < run_time(run) <= rule_input.now for run in rule_input.due)


def _by_the_clock(rule_input: RuleInput) -> bool:
    return rule_input.job.schedule.dialect != "none" and rule_input.job.accepted_at is not None


def _was_wanted_since(rule_input: RuleInput, last: datetime) -> bool:
    """Whether a run came due or began after that; always true of what no clock starts."""
    if not _by_the_clock(rule_input):
        return True
    later = (run for run in _in_order(rule_input) if run_time(run) > last and run.state is not RunState.SKIPPED)
    return any(run.state is not RunState.HELD and run_time(run) <= rule_input.now for run in later)


def _in_order(rule_input: RuleInput) -> list[RunFacts]:
    return sorted((*rule_input.started, *rule_input.due), key=run_time) if rule_input.due else list(rule_input.started)


def _trailing_reds(rule_input: RuleInput, ended: list[RunFacts]) -> list[RunFacts]:
    """The red ones at the end, oldest first; what a person or a new schedule excused does not count."""
    row: list[RunFacts] = []
    for run in reversed(ended):
        if not run.state.is_red or rule_input.index.is_excused(run):
            break
        row.append(run)
    return row[::-1]


_OWN_AFFAIR = ("time", "approval", "calendar")
"""Waits that somebody wanted so."""
_FOR_A_PLACE = ("resource", "slot")


def stuck_waiting(rule_input: RuleInput) -> Iterator[Finding]:
    """What is queued or waits, and gets no turn: no worker, no slot, no upstream that will ever come."""
    for run in rule_input.open:
        since = _waits_since(run)
        if not may_be_stuck(run) or since is None or run.reason in _OWN_AFFAIR:
            continue
        threshold = at_most(rule_input, DetectionRule.STUCK_WAITING, rule_input.history.waits, run_time(run))
        if threshold is not None and not _is_guess(run, threshold):
            what = "queued" if run.state is RunState.QUEUED else f"waits for {run.reason}" if run.reason else "waits"
            at = since + timedelta(seconds=threshold.value)
            limit = format_duration(threshold.value)
            words = f"{what} since {zoned_time(since, rule_input.job.zone, at)}, longer than {limit}"
            seen = f"{what} since {dated_time(since, rule_input.job.zone)}"
            yield rule_input.of_run(DetectionRule.STUCK_WAITING, run, at, words, threshold.evidence(seen))


def may_be_stuck(run: RunFacts) -> bool:
    """The cheap question before the dear ones."""
    return run.state is RunState.QUEUED or run.state is RunState.WAITING


def _waits_since(run: RunFacts) -> datetime | None:
    """Since when its source has it waiting; a source that says nothing of that: since it was due."""
    return run.queued_at or run.period_at


def _is_guess(run: RunFacts, threshold: Threshold) -> bool:
    """True where only the default speaks, and the wait is for something that may well take its time."""
    return threshold.source == "default" and run.state is RunState.WAITING and run.reason not in _FOR_A_PLACE


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """One rule of the list."""

    rule: DetectionRule
    find: Callable[[RuleInput], Iterator[Finding]]
    of_tasks: bool = False
    """Whether tasks are judged too: most things that a task does wrong show at its job."""


RULES = (
    # A run that never came leaves no row, no log and no error: the oldest pain, so it stands first.
    RuleEntry(DetectionRule.NOT_STARTED, not_started),
    # Fails each time: before all that asks how a single run went, for it says that waiting for the next helps nobody.
    RuleEntry(DetectionRule.N_IN_A_ROW, n_in_a_row),
    # At work and not getting done: each try ends and begins anew, so it is no "too long", which stands after it.
    RuleEntry(DetectionRule.RETRY_STORM, retry_storm),
    # Hangs: nothing is red before it ends, and the deadline may be gone by then.
    RuleEntry(DetectionRule.TOO_LONG, too_long),
    # Costs more than its owner allowed: an agent that goes on and on is at work, and each minute of it is paid for.
    RuleEntry(DetectionRule.OVER_BUDGET, over_budget),
    # Never got its turn: a pool without a slot is seen at the tasks.
    RuleEntry(DetectionRule.STUCK_WAITING, stuck_waiting, of_tasks=True),
    # Green, and half of the data is not there: what the three above cannot see, for all went well.
    RuleEntry(DetectionRule.OUTPUT_SHRANK, output_shrank),
    # The last net: whatever the reason, nothing good came for too long. After all that name a reason.
    RuleEntry(DetectionRule.TOO_LONG_SINCE_SUCCESS, too_long_since_success),
    # From here on hints, which explain another morning's trouble: it began late, …
    RuleEntry(DetectionRule.LATE_START, late_start),
    # … it did nothing, …
    RuleEntry(DetectionRule.TOO_SHORT, too_short),
    # … it ran into itself, …
    RuleEntry(DetectionRule.OVERLAP, overlap),
    # … somebody changed it. Last: `headway system drift` tells it with all that may be done about it.
    RuleEntry(DetectionRule.DRIFT, drift),
)


def unjudged_reason(index: EstateIndex, job: JobFacts) -> str:
    """Why nothing new is found of the job now, and nothing that was found ends; empty where it is judged.

    The one place for it: whatever else lets a job rest belongs here.
    """
    target = index.estate.targets.get(job.target_id)
    if target is None or target.failing_since is not None or is_out_of_reach(target, index.now, index.estate.settings):
        return "its target does not answer"
    if not index.estate.declared.maintenance:
        return ""
    found = maintenance_of_job(index.estate, job, index.now)
    return found.text(job.zone) if found is not None else ""


OVER = "it holds no longer"
UNWATCHED = "its job is watched no more"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CurrentFindings:
    """What holds now, and when time alone will add to it."""

    findings: Sequence[Finding]
    """By job, then in the order of the rules."""
    next_at: datetime | None


def current_findings(index: EstateIndex) -> CurrentFindings:
    """The findings of all jobs now. A job that is not judged keeps its earlier findings."""
    settings = JobRuleSettings(index)
    stored: dict[int, list[Finding]] = {}
    for one in index.estate.findings:
        stored.setdefault(one.finding.job_id, []).append(one.finding)
    findings: list[Finding] = []
    next_at: list[datetime] = []
    has_maintenance = bool(index.estate.declared.maintenance)
    for job in index.estate.jobs.values():
        entry = index.memo.get(job.id) or JobMemo(job, (), None, None, NEVER)
        if (has_maintenance or entry.findings is None) and unjudged_reason(index, job):
            findings += stored.get(job.id, ())
            continue
        if entry.findings is None:
            entry.findings = tuple(_fill(index, job, settings, entry))
        findings += entry.findings
        if entry.next_finding_at is not None:
            next_at.append(entry.next_finding_at)
    return CurrentFindings(findings, min(next_at, default=None))


def _fill(index: EstateIndex, job: JobFacts, settings: JobRuleSettings, entry: JobMemo) -> Iterator[Finding]:
    """The job's findings now; sets until when they are the same."""
    if job.parent_id is not None and not any(map(may_be_stuck, index.runs.get(job.id, ()))):
        return  # no other rule applies to tasks
    rule_input = RuleInput.of(index, job, settings)
    findings = list(_of(rule_input))
    yield from (one for one in findings if one.since <= index.now)
    later = [one.since for one in findings if one.since > index.now]
    entry.next_finding_at = min(later, default=None)
    late = rule_input.wish(DetectionRule.LATE_START)
    grace = timedelta(seconds=late.floor if late.declared is None else late.declared)
    due = [run_time(run) for run in rule_input.due]
    entry.expire_at((*later, *due, *(at + grace + _TICK for at in due)), index.now)
    if rule_input.proofs:
        index.memo.depends_on_poll(entry)
    if index.graph.is_on_loop(index.graph.unit(job.id)):
        entry.until = BEGINNING  # what supersedes a run there depends on what the others read


def finding_changes(index: EstateIndex, found: Sequence[Finding]) -> tuple[FindingChange, ...]:
    """What is to be written: new ones, those that read otherwise, and those that are over."""
    stored = {one.finding.key: one for one in index.estate.findings}
    decided: list[FindingChange] = []
    for one in {each.key: each for each in found}.values():
        before = stored.pop(one.key, None)
        if before is None or before.finding != one:
            decided.append(FindingChange(before.id if before is not None else None, one))
    gone = index.estate.jobs.keys()
    decided += [
        FindingChange(one.id, one.finding, OVER if one.finding.job_id in gone else UNWATCHED) for one in stored.values()
    ]
    return tuple(sorted(decided, key=lambda one: (one.finding.job_id, one.finding.rule, one.finding.period_key)))


def _of(rule_input: RuleInput) -> Iterator[Finding]:
    job, wishes = rule_input.job, rule_input.wishes
    for entry in RULES:
        if job.parent_id is not None and not entry.of_tasks:
            continue
        for one in entry.find(rule_input):
            if rule_input.wish(entry.rule).on:
                yield replace(one, severity=FindingSeverity.ALERT) if wishes.tells(entry.rule, job) else one
