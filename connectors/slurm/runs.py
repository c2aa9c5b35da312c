"""Polls of a cluster: a window of accounting, the open jobs, and the queue, which is read last.

A job and an array are one run each; a requeue is a further attempt. A job of scrontab keeps its id, under which Slurm
puts it into the queue again after each run: each of its tries is a run, which answers the start that was due. The try
that waits for its time is left to the ledger, which plans it. An id is used again (after MaxJobId, or on a
cluster that was set up again with its old accounting): rows of one id are one job only by submitter, name and time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AliasChoices, Field, NonNegativeInt

from connectors.sdk import fields
from connectors.sdk.fields import bounded_context
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import HistoryGap, Poll, RunRecord, RunRef
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from connectors.sdk.transport.script_output import HostNow, host_now
from connectors.sdk.vanished_runs import no_longer_listed
from connectors.slurm import client, parse
from connectors.slurm.client import AccountingWindow, SlurmClient
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import NEVER, ParsedRows, PartGroup, QueueRow, SlurmAnswer, action_of, at, base_of

DEPENDENCY_OPTION = re.compile(r" (?:-d|--dependency)[ =]?(after\S+)")
ORDER = (RunState.RUNNING, RunState.QUEUED, RunState.WAITING, RunState.PLANNED, RunState.HELD)
THIN = "accounting is off or does not answer: the outcome of parts that ended before is unknown"
RUNAWAY = "accounting says {}, and slurmctld does not know it: lost when a daemon fell, or hidden from us (PrivateData)"


def with_queue(groups: Sequence[PartGroup], waits: Sequence[QueueRow]) -> list[PartGroup]:
    """The groups of accounting, and those that only slurmctld has: waiting ones, and ones not yet in accounting."""
    by_part = {(part, item.submit): item for item in groups for part in item.parts}
    existing = {item.submit for item in groups}
    merged = list(groups)
    if any("[" in line.part for line in waits):
        merged = [item for item in groups if item.native != "PENDING" or not any("[" in part for part in item.parts)]
    for line in waits:
        key = line.part, line.submit
        known, live = by_part.get(key), parse.group(line)
        if known is None:
            if line.is_pending or line.submit not in existing:
                merged.append(live)
                by_part[key] = live
            continue
        comment = line.comment or known.comment
        live = replace(live, following=known.following, comment=comment, folder=known.folder, line=known.line)
        if known not in merged:  # the queue has its waiting parts newer
            merged.append(live)
        elif known.count == 1 and _state(known)[0].is_open:
            merged[merged.index(known)] = live
        else:
            continue
        by_part[key] = live
    return merged


def _state(item: PartGroup) -> tuple[RunState, str]:
    if item.native == "PENDING":
        return parse.waiting_reason(item.reason, item.is_held)
    return parse.state_of(item.native, item.code), ""


@dataclass(slots=True)
class SlurmJob:
    """Identity of one submission and its requeues: an id, with its submitter and name, for a time."""

    base: str
    user: str
    name: str
    groups: list[PartGroup]
    is_in_queue: bool = False
    has_successor: bool = False
    """A later job has its id."""

    @property
    def last_submit(self) -> int:
        return max((group.submit for group in self.groups), default=0)

    def has_in_queue(self, queued: Iterable[QueueRow]) -> bool:
        """Whether slurmctld has this one under its id: unchanged, requeued since, or renamed."""
        submitted = {group.submit for group in self.groups}
        return any(
            row.submit in submitted
            or ((row.user, row.name) == (self.user, self.name) and row.submit >= self.last_submit)
            for row in queued
        )

    def is_read(self, since: int, requested: Mapping[str, set[int]]) -> bool:
        """False for one of years ago, which accounting gives with another of its id: that one is in the time that is
        read, or is one of the open runs (`requested`: their submissions by id)."""
        if not self.has_successor and self.base not in requested:
            return True
        return self.has_read(self.groups, since, requested)

    def has_read(self, groups: Iterable[PartGroup], since: int, requested: Mapping[str, set[int]]) -> bool:
        """Whether some of these are of the time that is read, or open runs."""
        submitted = requested.get(self.base, set())
        return any(not 0 < group.end < since or group.submit in submitted for group in groups)


def jobs_of(base: str, groups: Iterable[PartGroup], requeued_within: int) -> list[SlurmJob]:
    """The jobs that had one id, the latest last. Parts that were submitted at once are of one, whatever their names (of
    a heterogeneous job); a later submission is a requeue where user and name are the same and it follows soon."""
    by_submit: dict[int, list[PartGroup]] = {}
    for group in groups:
        by_submit.setdefault(group.submit, []).append(group)
    jobs: list[SlurmJob] = []
    for submit, parts in sorted(by_submit.items()):
        names = {(part.user, part.name) for part in parts}
        job = next((job for job in reversed(jobs) if (job.user, job.name) in names), None)
        if job is None or all(0 < part.end < submit - requeued_within for part in job.groups):
            job = SlurmJob(base, parts[0].user, parts[0].name, [])
            jobs.append(job)
        job.groups += parts
    return jobs


@dataclass(frozen=True, slots=True)
class SlurmAttempt:
    """One try of all parts: those that were submitted for it, and those of earlier tries that are still current."""

    first: int
    own: tuple[PartGroup, ...]
    carried: tuple[PartGroup, ...]


def attempts(groups: Iterable[PartGroup]) -> list[SlurmAttempt]:
    """In their order. A submission begins a new one when all parts of those before had ended by then."""
    ordered = sorted(groups, key=lambda part: (part.submit, part.native, part.code))
    tries: list[list[PartGroup]] = []
    for item in ordered:
        have_ended = bool(tries) and all(
            0 < before.end <= item.submit or before.native == "REQUEUED" for before in tries[-1]
        )
        if not tries or (item.submit != tries[-1][-1].submit and have_ended):
            tries.append([])
        tries[-1].append(item)
    result = []
    for number, own in enumerate(tries):
        last, earlier = own[-1].submit, [part for parts in tries[:number] for part in parts]
        result.append(SlurmAttempt(own[0].submit, _still_current(own, last), _still_current(earlier, last)))
    return result


def _still_current(parts: Iterable[PartGroup], last: int) -> tuple[PartGroup, ...]:
    """Those that were not submitted again by then."""

    def following(part: PartGroup) -> int:
        return part.following or (part.end if part.native == "REQUEUED" else 0)

    return tuple(part for part in parts if not 0 < following(part) <= last or part.submit == last)


@dataclass(frozen=True, slots=True)
class RunContext:
    """Facts about a run that are not in its own rows."""

    job: str
    is_thin: bool = False
    """Accounting is not there: ended parts of an array may be forgotten."""
    is_runaway: bool = False
    is_scrontab: bool = False
    names: Mapping[str, str] | None = None
    """Job id -> native id of its job, as far as this answer has it."""


def run_record(base: str, attempt: SlurmAttempt, known: RunContext) -> RunRecord | None:
    """The run in its present state; None where none of its parts is current."""
    parts = [*attempt.own, *attempt.carried]
    if not parts:
        return None
    by_state: dict[RunState, int] = {}
    for item in parts:
        part_state = _state(item)[0]
        by_state[part_state] = by_state.get(part_state, 0) + item.count
    state = _whole(by_state)
    number = sum(entry.count for entry in parts)
    is_array = number > 1 or any(part != base for entry in parts for part in entry.parts)
    evidence, message = RunEvidence.NATIVE, _message(parts, by_state, is_array)
    if known.is_thin and is_array and state in (RunState.SUCCEEDED, RunState.PARTIAL):
        state, evidence, message = RunState.UNKNOWN, RunEvidence.INFERRED, THIN
    elif known.is_runaway and state.is_open:
        state, evidence, message = RunState.UNKNOWN, RunEvidence.INFERRED, RUNAWAY.format(parts[0].native)
    elif state is RunState.UNKNOWN and any(entry.native == "REQUEUED" for entry in parts):
        evidence = RunEvidence.INFERRED
    return _record(base, attempt, known, state, evidence, message)


def _record(
    base: str, attempt: SlurmAttempt, known: RunContext, state: RunState, evidence: RunEvidence, message: str
) -> RunRecord:
    parts = [*attempt.own, *attempt.carried]
    red = [part for part in parts if _state(part)[0].is_red]
    head = (red or list(attempt.own) or parts)[0]
    started = min((item.start for item in attempt.own if item.start), default=0)
    ended = 0 if state.is_open or state is RunState.BLOCKED else max((item.end for item in attempt.own), default=0)
    code, _, signal = head.code.partition(":")
    waits = next((_state(part)[1] for part in parts if _state(part)[0] is state), "")
    keys = (action_of(item.comment, attempt.first) for item in attempt.own)
    return RunRecord(
        job=known.job,
        attempt_key=f"{base}.{attempt.first}",
        state=state,
        native_state=_native(parts),
        evidence=evidence,
        period_key=None if known.is_scrontab else base,
        period_kind=PeriodKind.RUN,
        queued_at=at(attempt.first),
        started_at=at(started),
        ended_at=at(ended) if ended >= started else None,
        exit_code=_exit_code(code, signal, state),
        message=message,
        reason=waits if state.is_open else "",
        native_ref=_reference(base, attempt, head, known.is_scrontab),
        action_key=next((key for key in keys if key), None),
        context=_context(parts, known),
    )


def _exit_code(code: str, signal: str, state: RunState) -> int | None:
    """None while it runs, where a signal ended it, and where 0 would contradict the state."""
    if state.is_open or not code.isdigit() or signal != "0":
        return None
    return int(code) if int(code) or state is RunState.SUCCEEDED else None


def _reference(base: str, attempt: SlurmAttempt, head: PartGroup, is_scrontab: bool) -> str:
    part = next((part for part in head.parts if "[" not in part), base)
    ref = {"id": base, "part": part, "submit": attempt.first, "user": head.user, "name": head.name}
    ref |= {"dir": head.folder, "line": head.line[:1000], "account": head.account, "partition": head.partition}
    ref |= {"array": head.parts != (base,), **({"scrontab": True} if is_scrontab else {})}
    return json.dumps(ref, separators=(",", ":"))


def _whole(by_state: Mapping[RunState, int]) -> RunState:
    if len(by_state) == 1:
        return next(iter(by_state))
    open_ones = [state for state in by_state if state.is_open]
    if open_ones:
        has_begun = RunState.RUNNING in by_state or len(open_ones) < len(by_state)
        return RunState.RUNNING if has_begun else min(open_ones, key=ORDER.index)
    red = [state for state in by_state if state.is_red]
    if red and (RunState.SUCCEEDED in by_state or RunState.SKIPPED in by_state):
        return RunState.PARTIAL
    if red:
        return RunState.FAILED
    return RunState.UNKNOWN if RunState.UNKNOWN in by_state else RunState.SUCCEEDED


def _native(parts: Sequence[PartGroup]) -> str:
    """ "FAILED"; of several parts "COMPLETED 8, FAILED 2"."""
    states: Counter[str] = Counter()
    for part in parts:
        states[f"{part.native} {part.reason}" if part.native == "PENDING" and part.reason else part.native] += (
            part.count
        )
    if states.total() == 1:
        return next(iter(states))
    return ", ".join(f"{state} {count}" for state, count in sorted(states.items()))


def _message(parts: Sequence[PartGroup], by_state: Mapping[RunState, int], is_array: bool) -> str:
    bad = [item for item in parts if _state(item)[0].is_red]
    if not is_array:
        return _why(parts[0])
    if not bad:
        return ""
    count, number = sum(item.count for item in bad), sum(by_state.values())
    names = [part for item in bad for part in item.parts][:10]
    suffix = ", …" if count > len(names) else ""
    return f"{count} of {number} tasks did not end well: {', '.join(names)}{suffix}; {_why(bad[0])}".rstrip("; ")


def _why(item: PartGroup) -> str:
    """Slurm's explanation of one part's end, or of its waiting."""
    if item.native == "PENDING" and item.reason == NEVER:
        return f"it will never run: its dependency {item.dependency or '?'} can never be satisfied".replace(" ? ", " ")
    if item.native == "REQUEUED" and item.code in ("", "0:0"):
        return "it was requeued: whether it had run or succeeded is not recorded"
    code, _, signal = item.code.partition(":")
    ended = f"exit code {code}" if code not in ("", "0") else ""
    ended = f"ended by signal {signal}" if signal not in ("", "0") else ended
    reason = item.reason if item.reason not in ("None", "NonZeroExitCode", "", "BeginTime", "Dependency") else ""
    texts = [parse.REASON_TEXTS.get(item.native, ""), ended, reason if _state(item)[0].is_red else ""]
    return ", ".join(text for text in texts if text)


def _context(parts: Sequence[PartGroup], known: RunContext) -> Mapping[str, object]:
    item = parts[0]
    context: dict[str, object] = {"account": item.account, "partition": item.partition}
    number = sum(entry.count for entry in parts)
    if number > 1:
        states: Counter[str] = Counter()
        for part in parts:
            states[part.native] += part.count
        context["tasks"] = dict(states)
    waits = next((entry.dependency for entry in parts if entry.dependency), "")
    names = known.names or {}
    match = DEPENDENCY_OPTION.search(item.line)
    texts = f"{waits},{match[1] if match else ''}".replace("?", ",").split(",")
    dependencies = [text.split("(")[0] for text in texts if text.startswith("after")]
    upstreams = [base_of(part.rstrip("*_")) for dependency in dependencies for part in dependency.split(":")[1:]]
    inputs = [{"job": names[base], "period_key": base} for base in dict.fromkeys(upstreams) if base in names]
    if waits:
        context["dependency"] = waits
    if inputs:
        context["inputs"] = inputs[:20]
    return bounded_context(context, "inputs") if len(context) > 2 else context


STEP_SECONDS = 24 * 3600
"""History that one poll reads."""
OVERLAP_SECONDS = 180
"""Seconds that slurmdbd may lag behind slurmctld, which queues for it."""
LAG = timedelta(seconds=5)
NO_ACCOUNTING = (
    "accounting is off in this cluster (AccountingStorageType): ends are known only as long as slurmctld keeps them"
    " ({} s), outcomes of arrays not at all"
)
MAX_AGAIN = 500


@dataclass(frozen=True, slots=True)
class SlurmCursor:
    """`until`: up to there accounting was read. `page`: rows of the window after it that were read already. Times are
    epoch seconds by the cluster's clock."""

    until: NonNegativeInt = 0
    page: NonNegativeInt = 0
    window: NonNegativeInt = 0
    queue_seen: Annotated[NonNegativeInt, Field(validation_alias=AliasChoices("queue_seen", "looked"))] = 0
    """When the queue was last read."""
    begun: NonNegativeInt = 0
    """When the first page of the window was read."""
    scrontab: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    """Ids of jobs of scrontab, which accounting does not name -> since when slurmctld lists them no more, 0 while it
    does: for as long as accounting is read that may have them."""


@dataclass(slots=True)
class ClusterSnapshot:
    host: HostNow
    settings: Mapping[str, str]
    rows: ParsedRows
    waits: dict[str, list[QueueRow]]
    queue_error: str
    result: PollResult = field(default_factory=PollResult)
    scrontab: Mapping[str, int] = field(default_factory=dict)
    """As in the cursor."""

    @property
    def keeps_accounts(self) -> bool:
        return not self.settings.get("AccountingStorageType", "").endswith("none")

    @property
    def is_accounted(self) -> bool:
        """Whether accounting answered whole."""
        return self.keeps_accounts and self.rows.is_whole and not self.rows.errors

    def lines(self, window: AccountingWindow) -> dict[str, list[QueueRow]]:
        """The rows that the queue adds to accounting. Jobs that ended outside of the window are left out, since
        accounting reports them whole, and ended parts of an array that accounting does not have yet."""
        if not self.is_accounted:
            return self.waits
        existing, last = {group.base for group in self.rows.groups}, window.until or parse.LAST_STAMP
        result = {}
        for base, waits in self.waits.items():
            rows = [row for row in waits if not row.is_over or window.since <= row.end <= last]
            is_part = base not in existing and any("_" in row.part for row in rows)
            if rows and not (is_part and all(row.is_over for row in rows)):
                result[base] = rows
        return result

    @property
    def min_job_age(self) -> int:
        """How long slurmctld knows ended jobs, in seconds."""
        return parse.stamp(self.settings.get("MinJobAge", "").split(" ")[0]) or 300


class SlurmPoller:
    def __init__(self, client: SlurmClient, selection: JobSelection) -> None:
        self._client, self._selection, self._reported = client, selection, ReportedRuns()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        before, hours = datetime.now(UTC), self._client.options.history_hours
        instead = f"history is read again from history_hours ({hours}) back"
        was, unreadable = fields.cursor_or_first(SlurmCursor(), cursor, instead)
        now = int(before.timestamp())
        since = was.until or now - hours * 3600
        until = was.window or (since + STEP_SECONDS if since + STEP_SECONDS < now - OVERLAP_SECONDS else 0)
        window = AccountingWindow(max(1, since - OVERLAP_SECONDS), until, was.page)
        answer = self._client.snapshot(window, _ids(open_runs))
        seen = self.read(answer)
        seen.scrontab = _scrontab(was, seen, parse.crontabs(answer), open_runs)
        seen.result.warnings |= dict.fromkeys(unreadable)
        self._add_runs(seen, window, open_runs)
        self._warn(seen)
        self._add_forgotten(seen, open_runs)
        has_more = seen.is_accounted and (not seen.rows.is_last or bool(until))
        proves = seen.is_accounted and not seen.queue_error and not has_more
        seen.result.complete = not seen.queue_error and (seen.is_accounted or not seen.keeps_accounts)
        seen_until = seen.host.now - LAG if proves or not (seen.keeps_accounts or seen.queue_error) else None
        following, clock, gaps = self._next(was, since, until, seen), seen.host.clock(before), _gaps(was, seen)
        poll = seen.result.poll(fields.as_json(following), more=has_more, clock=clock, seen_until=seen_until, gaps=gaps)
        return self._reported.filtered(poll, cursor)

    def read(self, answer: SlurmAnswer) -> ClusterSnapshot:
        """One answer, parsed. Raises where neither slurmctld nor accounting answered."""
        host, settings, rows = host_now(answer.needed("HOST")), parse.settings(answer), parse.groups(answer)
        waits, skipped, error = parse.queue(answer)
        seen = ClusterSnapshot(host, settings, rows, waits, error)
        has_rows = (rows.is_whole and rows.is_last) or answer.section("NAMES") is not None
        if error and not has_rows:
            raise parse.nothing_seen([error, *rows.errors], answer.where)
        seen.result.skipped += [*rows.skipped, *skipped]
        return seen

    def _next(self, was: SlurmCursor, since: int, until: int, seen: ClusterSnapshot) -> SlurmCursor:
        """The next cursor; where accounting was not read, its position stays."""
        now = int(seen.host.now.timestamp())
        queue_seen, begun = was.queue_seen if seen.queue_error else now, was.begun if was.page else now
        if seen.keeps_accounts and not seen.is_accounted:
            return SlurmCursor(since, was.page, was.window, queue_seen, begun, seen.scrontab)
        if not seen.rows.is_last and seen.keeps_accounts:
            return SlurmCursor(since, was.page + client.PAGE_ROWS, until, queue_seen, begun, seen.scrontab)
        read = until or begun
        scrontab = {base: at for base, at in seen.scrontab.items() if not 0 < at < read - OVERLAP_SECONDS}
        return SlurmCursor(read, 0, 0, queue_seen, scrontab=scrontab)

    def _add_runs(self, seen: ClusterSnapshot, window: AccountingWindow, open_runs: Sequence[RunRef]) -> None:
        requested, stored = _submissions(open_runs), {run.attempt_key for run in open_runs}
        jobs = [job for job in self._jobs(seen, window) if job.is_read(window.since, requested)]
        names = {base: self._selection.job_of(rows[0].user, rows[0].name) for base, rows in seen.waits.items()}
        names |= {
            job.base: self._selection.job_of(job.user, job.name)
            for job in sorted(jobs, key=lambda job: job.last_submit)
        }
        for job in jobs:
            if not self._selection.wants(job.name):
                continue
            is_runaway = not seen.queue_error and not job.is_in_queue
            native = self._selection.job_of(job.user, job.name)
            is_scrontab = job.base in seen.scrontab
            tries = attempts(job.groups)
            if is_scrontab:
                tries = [replace(item, carried=()) for item in tries if job.has_read(item.own, window.since, requested)]
            context = RunContext(native, not seen.is_accounted, is_runaway, is_scrontab, names)
            for group in job.groups:
                if group.native not in parse.STATES:
                    seen.result.warn(
                        f'unknown state "{fields.masked_head(group.native, 60)}" of a job: shown as UNKNOWN'
                    )
            for attempt in tries:
                record = run_record(job.base, attempt, context)
                if record is not None and is_scrontab:
                    record = _try_of_scrontab(record, None if record.attempt_key in stored else seen.host.now)
                if record is not None:
                    seen.result.add(record)

    def _jobs(self, seen: ClusterSnapshot, window: AccountingWindow) -> list[SlurmJob]:
        """By accounting and the queue."""
        by_base: dict[str, list[PartGroup]] = {}
        for group in dict.fromkeys(seen.rows.groups):
            by_base.setdefault(group.base, []).append(group)
        lines, result = seen.lines(window), []
        for base in {**by_base, **lines}:
            jobs = jobs_of(base, by_base.get(base, []), seen.min_job_age + OVERLAP_SECONDS)
            queued = seen.waits.get(base, [])
            if queued:
                live = next((job for job in reversed(jobs) if job.has_in_queue(queued)), None)
                if live is None and base in lines:
                    live = SlurmJob(base, queued[0].user, queued[0].name, [])
                    jobs.append(live)
                if live is not None:
                    live.is_in_queue, live.groups = True, with_queue(live.groups, lines.get(base, []))
            for job in jobs[:-1]:
                job.has_successor = True
            result += jobs
        return result

    def _add_forgotten(self, seen: ClusterSnapshot, open_runs: Sequence[RunRef]) -> None:
        """Open runs that neither slurmctld nor accounting knows any more, by id."""
        if seen.queue_error or seen.keeps_accounts != seen.is_accounted or parse.is_private(seen.settings):
            return
        requested = set(_ids(open_runs))
        existing: dict[str, set[object]] = {}
        live = [parse.group(row) for rows in seen.waits.values() for row in rows]
        for row in (*seen.rows.groups, *live):
            existing.setdefault(row.base, set()).update((row.submit, (row.user, row.name)))
        for run in open_runs:
            ref = fields.reference_row(run.native_ref)
            base, by_submit, by_name = str(ref.get("id", "")), ref.get("submit"), (ref.get("user"), ref.get("name"))
            if base in requested and existing.get(base, set()).isdisjoint((by_submit, by_name)):
                message = "neither slurmctld nor accounting knows it any more: it ended, and how was not seen"
                seen.result.add(no_longer_listed(run, "(not known any more)", message, RunState.LOST))

    def _warn(self, seen: ClusterSnapshot) -> None:
        if seen.queue_error:
            seen.result.stopped = f"slurmctld does not answer: {seen.queue_error}. Fix: {client.CONTROLLER_FIX}"
        if not seen.keeps_accounts:
            seen.result.warn(NO_ACCOUNTING.format(seen.min_job_age))
        elif not seen.is_accounted:
            errors = parse.warnings_of(seen.rows.errors, self._client.where)
            seen.result.warn(f"accounting does not answer, so only jobs that slurmctld still knows are shown: {errors}")
        never = [run for run in seen.result.records.values() if "can never be satisfied" in run.message]
        if never:
            names = ", ".join(f"{run.job} {run.period_key or run.attempt_key}" for run in never[:5])
            seen.result.warn(f"{len(never)} jobs will never run, as their dependency can never be satisfied: {names}")


def _scrontab(
    was: SlurmCursor, seen: ClusterSnapshot, listed: Iterable[str], open_runs: Iterable[RunRef]
) -> Mapping[str, int]:
    """The jobs of scrontab as in the cursor, with those that slurmctld lists now (`listed`) and of the open runs; an
    answer without slurmctld's part ends none."""
    refs = (fields.reference_row(run.native_ref) for run in open_runs)
    present = {str(ref["id"]) for ref in refs if ref.get("scrontab")}.union(listed)
    now = 0 if seen.queue_error else int(seen.host.now.timestamp())
    return {base: since or now for base, since in was.scrontab.items()} | dict.fromkeys(sorted(present), 0)


def _try_of_scrontab(record: RunRecord, overdue_since: datetime | None) -> RunRecord | None:
    """The try with the time since when it waits for more than its own, None where the store has that; None for a try
    that waits for its time, is held, or was withdrawn with its line."""
    if record.started_at is not None:
        return record
    if record.state not in (RunState.QUEUED, RunState.WAITING):
        return None
    return replace(record, queued_at=overdue_since)


def _submissions(open_runs: Iterable[RunRef]) -> dict[str, set[int]]:
    """When the open runs were submitted, by id."""
    result: dict[str, set[int]] = {}
    for run in open_runs:
        ref = fields.reference_row(run.native_ref)
        result.setdefault(str(ref.get("id", "")), set()).add(parse.stamp(str(ref.get("submit", ""))))
    return result


def _gaps(was: SlurmCursor, seen: ClusterSnapshot) -> tuple[HistoryGap, ...]:
    """Without accounting, jobs that ended and were forgotten between two reads of the queue."""
    now = int(seen.host.now.timestamp())
    if seen.keeps_accounts or not was.queue_seen or now - was.queue_seen <= seen.min_job_age or seen.queue_error:
        return ()
    since, until = parse.at(was.queue_seen), parse.at(now - seen.min_job_age)
    return (HistoryGap(since, until, "accounting is off, and slurmctld forgot what ended meanwhile"),)


def _ids(open_runs: Iterable[RunRef]) -> list[str]:
    ids = dict.fromkeys(str(fields.reference_row(run.native_ref).get("id", "")) for run in open_runs)
    return [base for base in ids if base.isascii() and base.isdigit() and len(base) < 11][:MAX_AGAIN]
