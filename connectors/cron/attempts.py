"""Log, wrapper and process table joined into attempts: one per start, whichever evidence comes first. Pure.

Log and wrapper name the same pid (measured), so they meet by pid, user and a start at most half a minute apart. The
attempt key is the minute of its start and that pid: the same from both, also in different polls. Attempts without an
end are compared with the process table: running, of unknown end, or lost. The table is read before log and records, so
a job that is gone from it has written all its lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

from connectors.cron import anacron
from connectors.cron.crontab import CronDaemon
from connectors.cron.events import KILLED, CronEvent, CronEventKind
from connectors.cron.parse import CronProcesses
from connectors.cron.wrapper import RUN_ID, CancelRecord, WrapperEnd, WrapperStart
from connectors.sdk.fields import epoch_instant, masked_head
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.transport.script_output import HostNow

RECORD_SECONDS = 2 * 86400.0  # the wrapper's record of an end may be late by as much
OF_ANACRON = "Job started"
LINE_LENGTH = 600
LINES_MOST = 6


@dataclass(slots=True)
class CronAttempt:
    """One attempt. Times are epoch seconds by the host's clock."""

    key: str
    job: str
    user: str
    pid: int
    started: float
    text: int = 0
    """crc32 of the command, to join a line that names neither job pid nor child."""
    child: int = 0
    birth: str = ""
    run_id: str = ""
    action: str = ""
    cancel: str = ""
    """Our action that sent SIGTERM to it."""
    ended: float = 0.0
    exit_code: int | None = None
    state: RunState = RunState.RUNNING
    evidence: RunEvidence = RunEvidence.NATIVE
    native_state: str = "CMD"
    message: str = ""
    missed_at: float = 0.0
    """When its process was first not found."""
    reported: bool = False
    from_log: bool = False
    lines: list[str] = field(default_factory=list)
    changed: bool = field(default=True, compare=False)
    undecided: bool = field(default=False, compare=False)
    """True until its process was checked."""

    @property
    def is_over(self) -> bool:
        """True for a proved end; UNKNOWN may still get one."""
        return self.state not in (RunState.RUNNING, RunState.UNKNOWN)

    @property
    def is_of_anacron(self) -> bool:
        """True while anacron runs it; `pid` is then anacron's own."""
        return self.native_state == OF_ANACRON

    @property
    def is_unproved(self) -> bool:
        """True where only its missing process made it UNKNOWN: seen again, it runs."""
        guessed = self.state in (RunState.UNKNOWN, RunState.CANCELLED) and self.evidence is RunEvidence.INFERRED
        return guessed and not self.ended

    @property
    def last_change(self) -> float:
        """Time of its last change; later for one whose end the wrapper may still record."""
        waits = self.run_id and not self.ended
        return max(self.started, self.ended, self.missed_at) + (RECORD_SECONDS if waits else 0.0)

    def add_line(self, line: str) -> None:
        if len(self.lines) < LINES_MOST:
            self.lines.append(masked_head(line, LINE_LENGTH))

    def end(
        self, state: RunState, evidence: RunEvidence, native_state: str, at: float, code: int | None, message: str = ""
    ) -> None:
        """Sets the end by its best evidence; a red end after our SIGTERM is CANCELLED. An exit status is not a message:
        without one the last error of the log explains the failure."""
        is_missed = state is RunState.UNKNOWN and self.missed_at
        if self.cancel and (state in (RunState.FAILED, RunState.LOST) or is_missed):
            state = RunState.CANCELLED
            message = "; ".join(filter(None, (f"SIGTERM sent under {self.cancel}", message)))
        self.state, self.evidence, self.native_state = state, evidence, native_state
        self.message, self.exit_code = message, code
        self.ended = max(at, self.started) if at else 0.0
        self.changed = True

    def as_json(self) -> dict[str, Any]:
        """The values for a cursor, without empty ones and without the lines of an ended attempt."""
        values = {short: getattr(self, name) for short, name in SHORT.items()}
        cached = {short: value for short, value in values.items() if value not in ("", 0, 0.0, None, False, [])}
        if self.exit_code is not None:
            cached["x"] = self.exit_code  # 0 is a value
        if self.is_over:
            cached.pop("l", None)
        return cached

    @staticmethod
    def from_json(value: dict[str, Any]) -> CronAttempt:
        """Raises KeyError, TypeError or ValueError for anything else."""
        known = {SHORT[short]: entry for short, entry in value.items()}
        known["state"], known["evidence"] = RunState(known["state"]), RunEvidence(known["evidence"])
        return CronAttempt(**known, changed=False)


SHORT = {
    "k": "key", "j": "job", "u": "user", "p": "pid", "s": "started", "t": "text", "c": "child", "b": "birth",
    "r": "run_id", "a": "action", "e": "ended", "x": "exit_code", "z": "state", "v": "evidence", "w": "native_state",
    "m": "message", "g": "missed_at", "d": "reported", "f": "from_log", "l": "lines", "n": "cancel",
}  # fmt: skip


def instant(epoch: float) -> datetime | None:
    """Aware UTC; None for 0 and for what no calendar has."""
    return epoch_instant(epoch or None)


SAME_START_SECONDS = 30.0
LONGEST_SECONDS = 86400.0  # a child's pid means the same process for that long
RETENTION_SECONDS = 300.0  # late evidence is joined to an ended attempt for this long
MAX_ATTEMPTS = 5000
PID_SPACE = 4194304
STARTS_LOGGED, ENDS_LOGGED, ERRORS_LOGGED = 1, 2, 4  # bits of cron -L, cron(8)
FindJobs = Callable[[str, str, datetime, str], Sequence[str]]
"""user, text, start, job mark of a rerun -> native ids of the lines that may have started it: several where equal lines
are due together; none where no crontab has such a line."""


@dataclass(slots=True)
class AttemptBook:
    """Open attempts, and those that ended a short while ago."""

    attempts: list[CronAttempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unmatched: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """User and command of starts without a readable line -> when."""
    _by_pid: dict[int, list[CronAttempt]] = field(default_factory=dict)
    _by_run: dict[str, CronAttempt] = field(default_factory=dict)
    _by_text: dict[tuple[str, int], list[CronAttempt]] = field(default_factory=dict)
    """By user and mark of the command; also by the old mark after a change of the text."""

    def __post_init__(self) -> None:
        for attempt in self.attempts:
            self._index(attempt)

    def add(self, attempt: CronAttempt) -> None:
        self.attempts.append(attempt)
        self._index(attempt)

    def _index(self, attempt: CronAttempt) -> None:
        self._by_pid.setdefault(attempt.pid, []).append(attempt)
        self._by_text.setdefault((attempt.user, attempt.text), []).append(attempt)
        if attempt.run_id:
            self._by_run[attempt.run_id] = attempt

    # -- the log ------------------------------------------------------------------------------------------------------
    def add_event(self, event: CronEvent, find_jobs: FindJobs, level: int) -> None:
        if event.kind is CronEventKind.CMD:
            self._log_start(event, find_jobs)
        elif event.kind is CronEventKind.ERROR:
            self._log_error(event)
        elif event.kind is CronEventKind.END:
            self._log_end(event, level)
        elif event.kind is CronEventKind.OUT:
            self._log_output(event)
        elif event.kind in (CronEventKind.JOB_STARTED, CronEventKind.JOB_ENDED):
            self._anacron(event, find_jobs)

    def _job_of(self, jobs: Sequence[str], user: str, text: str, at: float) -> str | None:
        """The first of these jobs without a known start at that time, since equal lines start together. A start without
        a job is noted in `unmatched`."""
        if not jobs:
            self.unmatched.setdefault((user, text), []).append(at)
            return None
        if len(jobs) == 1:
            return jobs[0]
        near = {
            attempt.job
            for attempt in self.attempts
            if abs(attempt.started - at) <= SAME_START_SECONDS and not attempt.action
        }
        return next((job for job in jobs if job not in near), jobs[0])

    def _log_start(self, event: CronEvent, find_jobs: FindJobs) -> None:
        pid, at = event.job_pid or event.pid, event.at.timestamp()
        child = event.pid if event.job_pid else 0
        known = self._started(pid, event.user, at)
        if known is None:
            job = self._job_of(find_jobs(event.user, event.text, event.at, ""), event.user, event.text, at)
            if job is None:
                return
            known = CronAttempt(attempt_key(at, pid), job, event.user, pid, at, text_mark(event.text))
            self.add(known)
        if not known.from_log:
            known.from_log, known.child = True, known.child or child
            if known.text != (mark := text_mark(event.text)):
                known.text = mark
                self._by_text.setdefault((known.user, mark), []).append(known)
            known.add_line(event.evidence)

    def _started(self, pid: int, user: str, at: float) -> CronAttempt | None:
        near = [
            entry for entry in self._by_pid.get(pid, ())
            if entry.user == user and abs(entry.started - at) <= SAME_START_SECONDS and not entry.action
        ]  # fmt: skip
        return min(near, key=lambda item: abs(item.started - at), default=None)

    def _log_error(self, event: CronEvent) -> None:
        at = event.at.timestamp()
        attempt = self._latest(event.job_pid or 0, at)
        if attempt is None:
            return  # the helper that feeds the lines after %, or an unseen start
        attempt.child = event.pid
        attempt.add_line(event.evidence)
        if attempt.is_over:
            return
        if event.exit_code is None:
            self.warnings.append(f"unknown entry in cron's log: {masked_head(event.text, 200)}")
            attempt.end(RunState.UNKNOWN, RunEvidence.NATIVE, event.text, at, None, event.text)
        else:
            message = event.text if KILLED.match(event.text) else ""
            attempt.end(RunState.FAILED, RunEvidence.NATIVE, event.text, at, event.exit_code, message)

    def _latest(self, pid: int, at: float) -> CronAttempt | None:
        """The latest attempt of that pid that had started by then."""
        begun = [entry for entry in self._by_pid.get(pid, ()) if entry.started <= at + 1 and not entry.action]
        return max(begun, key=lambda item: item.started, default=None)

    def _log_end(self, event: CronEvent, level: int) -> None:
        at = event.at.timestamp()
        attempt = self._latest(event.job_pid, at) if event.job_pid else self._ending(event, at)
        if attempt is None:
            return
        attempt.add_line(event.evidence)
        if attempt.is_over or attempt.ended:
            return
        if level & ERRORS_LOGGED:
            attempt.end(RunState.SUCCEEDED, RunEvidence.NATIVE, event.kind.value, at, 0)
        else:
            message = f"the log has the end but no exit status (cronie's, or cron -L {level})"
            attempt.end(RunState.UNKNOWN, RunEvidence.INFERRED, event.kind.value, at, None, message)

    def _log_output(self, event: CronEvent) -> None:
        """A line of output that cronie logged: of its child's own attempt, else of the next pid above the child's."""
        latest = event.at.timestamp() + 1
        begun = (item for item in self.attempts if item.user == event.user and item.started <= latest)
        unended = (item for item in begun if not item.is_over and not item.ended and item.child in (0, event.pid))
        own = min(unended, key=lambda item: (item.child == 0, (item.pid - event.pid) % PID_SPACE), default=None)
        if own is not None:
            own.child, own.changed = event.pid, True
            own.add_line(event.evidence)

    def _anacron(self, event: CronEvent, find_jobs: FindJobs) -> None:
        """Events of anacron name the job, and the pid of anacron, which all its jobs share."""
        at, mark = event.at.timestamp(), text_mark(event.text)
        begun = [entry for entry in self._by_pid.get(event.pid, ()) if entry.text == mark and entry.started <= at]
        attempt = max(begun, key=lambda item: item.started, default=None)
        if event.kind is CronEventKind.JOB_ENDED:
            if attempt is None or attempt.is_over or attempt.ended:
                return
            attempt.add_line(event.evidence)
            native_state, code = f"{event.kind.value}{event.rest}", event.exit_code
            if code is None:
                self.warnings.append(f"unknown entry of anacron: {masked_head(native_state, 200)}")
            state = RunState.UNKNOWN if code is None else RunState.FAILED if code else RunState.SUCCEEDED
            message = native_state if code is None else ""
            attempt.end(state, RunEvidence.NATIVE, native_state, at, code, message)
        elif attempt is None or at - attempt.started > SAME_START_SECONDS:
            job = self._job_of(find_jobs(event.user, event.text, event.at, ""), event.user, event.text, at)
            if job is None:
                return
            reruns = (item for item in self.attempts if item.job == job and item.action)
            rerun = next((item for item in reruns if -1 <= at - item.started <= SAME_START_SECONDS), None)
            if rerun is not None:  # our rerun made anacron start it: its wrapper records the end
                rerun.add_line(event.evidence)
                return
            key, native_state = attempt_key(at, event.pid), event.kind.value
            attempt = CronAttempt(key, job, event.user, event.pid, at, mark, native_state=native_state, from_log=True)
            attempt.add_line(event.evidence)
            self.add(attempt)

    def _logged(self, job: str, at: float) -> CronAttempt | None:
        """The attempt of anacron's log for a rerun that began at that time, where the log was read first."""
        same_job = (item for item in self.attempts if item.job == job and -1 <= item.started - at <= SAME_START_SECONDS)
        unjoined = (item for item in same_job if not (item.action or item.run_id or item.reported))
        return max(unjoined, key=lambda item: item.started, default=None)

    def _ending(self, event: CronEvent, at: float) -> CronAttempt | None:
        """For END lines with the pid of cron's child only (-L 7): its own attempt, else the nearest of that command."""
        mark = text_mark(event.text)
        same = [
            entry for entry in self._by_text.get((event.user, mark), ())
            if entry.text == mark and entry.started <= at + 1 and not entry.action
        ]  # fmt: skip
        own = [entry for entry in same if entry.child == event.pid and at - entry.started < LONGEST_SECONDS]
        if own:
            return own[-1]
        free = [entry for entry in same if not entry.child and not entry.is_over and not entry.ended]
        return min(free, key=lambda item: (item.pid - event.pid) % PID_SPACE, default=None)

    # -- the wrapper --------------------------------------------------------------------------------------------------
    def add_record(self, record: WrapperStart | WrapperEnd | CancelRecord, find_jobs: FindJobs) -> None:
        if isinstance(record, CancelRecord):
            self._cancelled(record)
        elif isinstance(record, WrapperEnd):
            self._wrapper_end(record)
        elif record.run_id not in self._by_run:
            self._wrapper_start(record, find_jobs)

    def _wrapper_start(self, record: WrapperStart, find_jobs: FindJobs) -> None:
        at = record.at.timestamp()
        known = None if record.action else self._started(record.pid, record.user, at)
        if known is None:
            job = self._job_of(find_jobs(record.user, record.text, record.at, record.job), record.user, record.text, at)
            if job is None:
                return
            key = f"{int(at)}.{record.pid}" if record.action else attempt_key(at, record.pid)
            known = self._logged(job, at) if record.action and anacron.ID in job else None
            if known is None:
                known = CronAttempt(key, job, record.user, record.pid, at, text_mark(record.text))
                self.add(known)
            else:
                self._by_pid.setdefault(record.pid, []).append(known)
            known.key, known.action = known.key if known.reported else key, record.action or ""
            known.pid, known.native_state = record.pid, known.native_state if known.is_over else "S"
        known.child, known.birth, known.run_id = known.child or record.parent, record.birth, record.run_id
        known.changed = True
        self._by_run[record.run_id] = known

    def _wrapper_end(self, record: WrapperEnd) -> None:
        attempt = self._by_run.get(record.run_id)
        if attempt is None or (attempt.is_over and attempt.evidence is RunEvidence.NATIVE):
            return
        code = record.exit_code
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
        message = f"exit {code} (signal {code - 128})" if 128 < code < 193 else ""
        attempt.end(state, RunEvidence.NATIVE, f"E {code}", record.at.timestamp(), code, message)

    def _cancelled(self, record: CancelRecord) -> None:
        at, births = record.at.timestamp(), ("", "-", record.birth)
        same_process = (item for item in self._by_pid.get(record.pid, ()) if item.birth in births)
        begun = (item for item in same_process if item.user == record.user and item.started <= at + 1)
        attempt = max(begun, key=lambda item: item.started, default=None)
        if attempt is None or attempt.cancel or (attempt.ended and attempt.ended < at - 1):
            return
        attempt.cancel, attempt.changed = record.action, True
        if attempt.is_over or attempt.is_unproved:
            known = (attempt.state, attempt.evidence, attempt.native_state)
            attempt.end(*known, attempt.ended, attempt.exit_code, attempt.message)

    # -- the book -----------------------------------------------------------------------------------------------------
    def has_start(self, job: str, since: float, until: float) -> bool:
        return any(item.job == job and since <= item.started < until for item in self.attempts)

    def forget(self, before: float) -> None:
        """Drops attempts that ended before; keeps open ones, and the MAX_ATTEMPTS youngest."""
        recent = [item for item in self.attempts if item.state is RunState.RUNNING or item.last_change >= before]
        is_full = len(recent) > MAX_ATTEMPTS
        self.attempts = sorted(recent, key=lambda item: item.started)[-MAX_ATTEMPTS:] if is_full else recent

    def changes(self) -> Iterator[CronAttempt]:
        """Changed and running attempts, by start."""
        for attempt in sorted(self.attempts, key=lambda item: (item.started, item.pid)):
            if attempt.changed or attempt.state is RunState.RUNNING:
                yield attempt

    @staticmethod
    def from_json(values: Iterable[Any]) -> AttemptBook:
        """The attempts of a cursor, without unreadable ones."""
        attempts: list[CronAttempt] = []
        for value in values:
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                attempts.append(CronAttempt.from_json(value))
        return AttemptBook(attempts)


def attempt_key(started: float, pid: int) -> str:
    """The minute of the start, in epoch seconds, and the job's pid."""
    return f"{int(started) // 60 * 60}.{pid}"


def text_mark(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogateescape"))


JUST_STARTED_SECONDS = 3.0  # younger than the table, perhaps
LOG_DELAY_SECONDS = 4.0  # rsyslog may write END later; it has until the next poll
BOOT_CLOCK_SECONDS = 5.0
TICKS = 100  # USER_HZ, proc(5)
SAME_PROCESS_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """The host at one moment, which decides the state of attempts without an end."""

    host: HostNow
    processes: CronProcesses
    level: int
    log_is_read: bool
    records_are_read: bool

    @property
    def now(self) -> float:
        return self.host.now.timestamp()

    @property
    def booted(self) -> float:
        return self.now - self.host.uptime_seconds


def settle_attempts(book: AttemptBook, snapshot: ProcessSnapshot) -> None:
    for attempt in book.attempts:
        attempt.undecided = False
        if attempt.is_unproved and not _is_of_earlier_boot(attempt, snapshot) and _is_alive(attempt, snapshot):
            attempt.state, attempt.evidence, attempt.message = RunState.RUNNING, RunEvidence.NATIVE, ""
            attempt.missed_at, attempt.changed = 0.0, True
        if attempt.state is RunState.RUNNING:
            _judge(attempt, snapshot)


def _judge(attempt: CronAttempt, snapshot: ProcessSnapshot) -> None:
    rebooted = _is_of_earlier_boot(attempt, snapshot)
    searched = snapshot.processes.searched | snapshot.processes.births.keys()
    if attempt.started > snapshot.now - JUST_STARTED_SECONDS or (not rebooted and _is_alive(attempt, snapshot)):
        attempt.missed_at = 0.0
        return
    if snapshot.processes.hidden and not rebooted:
        message = "the process table of the host hides other users' processes (hidepid): its end cannot be seen"
        attempt.end(RunState.UNKNOWN, RunEvidence.INFERRED, attempt.native_state, 0, None, message)
    elif not snapshot.records_are_read or (not snapshot.log_is_read and snapshot.level & (ENDS_LOGGED | ERRORS_LOGGED)):
        return  # its end may be in what is not read yet
    elif (attempt.run_id or attempt.is_of_anacron) and not rebooted and attempt.pid not in searched:
        attempt.undecided = True  # it began after the table was read, or was not searched: the next poll does
    elif attempt.run_id:
        attempt.missed_at = snapshot.now
        message = "the host restarted" if rebooted else f"process {attempt.pid} is gone without an end mark"
        attempt.end(RunState.LOST, RunEvidence.INFERRED, attempt.native_state, 0, None, message)
    else:
        _missed(attempt, snapshot, rebooted)


def _is_of_earlier_boot(attempt: CronAttempt, snapshot: ProcessSnapshot) -> bool:
    return attempt.started < snapshot.booted - BOOT_CLOCK_SECONDS


def _missed(attempt: CronAttempt, snapshot: ProcessSnapshot, rebooted: bool) -> None:
    """Settles an attempt that only the log has, and whose process is gone."""
    is_first = attempt.missed_at == 0.0
    attempt.missed_at = attempt.missed_at or snapshot.now
    waits = snapshot.level & (ENDS_LOGGED | ERRORS_LOGGED) and snapshot.now - attempt.started < 3600
    if waits and (is_first or snapshot.now - attempt.missed_at < LOG_DELAY_SECONDS):
        return
    is_busybox = snapshot.processes.program is CronDaemon.BUSYBOX
    daemon = "crond of busybox" if is_busybox else f"cron -L {snapshot.level}"
    source = "anacron's log" if attempt.is_of_anacron else daemon
    message = f"{source} proves the start; its process is gone and its end is not recorded"
    message = "the host restarted while it ran" if rebooted else message
    attempt.end(RunState.UNKNOWN, RunEvidence.INFERRED, attempt.native_state, 0, None, message)


def _is_alive(attempt: CronAttempt, snapshot: ProcessSnapshot) -> bool:
    processes = snapshot.processes
    if attempt.is_of_anacron:  # which waits for it, and was there before it
        ticks = processes.births.get(attempt.pid)
        return ticks is not None and began(snapshot.host, ticks) <= attempt.started + JUST_STARTED_SECONDS
    if attempt.birth not in ("", "-"):
        return processes.births.get(attempt.pid) == attempt.birth
    child = processes.jobs.get(attempt.pid)
    if child is not None and attempt.child in (0, child):
        attempt.child = child
        return _began_near(attempt, snapshot, attempt.pid)
    return attempt.child in processes.children and _began_near(attempt, snapshot, attempt.child)


def _began_near(attempt: CronAttempt, snapshot: ProcessSnapshot, pid: int) -> bool:
    """Whether that process can be the attempt's: pids come back, and a clock may have been set meanwhile."""
    return abs(began(snapshot.host, snapshot.processes.births[pid]) - attempt.started) < SAME_PROCESS_SECONDS


def began(host: HostNow, ticks: str) -> float:
    """When a process began, epoch seconds by the host's clock of now."""
    return host.now.timestamp() - host.uptime_seconds + int(ticks) / TICKS


def run_record(attempt: CronAttempt, spool: str) -> RunRecord:
    """An attempt as a record, without a period: `control` assigns it."""
    return RunRecord(
        job=attempt.job,
        attempt_key=attempt.key,
        state=RunState.CANCELLING if attempt.cancel and attempt.state is RunState.RUNNING else attempt.state,
        native_state=attempt.native_state,
        evidence=attempt.evidence,
        started_at=instant(attempt.started),
        ended_at=instant(attempt.ended) if attempt.state is not RunState.RUNNING else None,
        exit_code=attempt.exit_code,
        message=attempt.message,
        native_ref=AttemptRef.of(attempt, spool).as_json(),
        action_key=attempt.action or None,
        context={"pid": attempt.pid, "user": attempt.user},
    )


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """Reference to an attempt: its process, its output, its lines in cron's log."""

    attempt: dict[str, Any]
    output: str
    lines: tuple[str, ...]

    @staticmethod
    def of(attempt: CronAttempt, spool: str) -> AttemptRef:
        output = f"{spool}/{attempt.user}/out/{attempt.run_id}" if RUN_ID.fullmatch(attempt.run_id) else ""
        values = {short: value for short, value in attempt.as_json().items() if short in "upscbrtawz"}
        return AttemptRef(values, output, tuple(attempt.lines))

    def has_output(self, spool: str) -> bool:
        """Whether it names the output of a run, and no other file of the host."""
        user, _, run_id = self.output.removeprefix(f"{spool}/").partition("/out/")
        is_name = user not in ("", ".", "..") and "/" not in user
        return is_name and self.output == f"{spool}/{user}/out/{run_id}" and bool(RUN_ID.fullmatch(run_id))

    def as_json(self) -> str:
        return json.dumps({"attempt": self.attempt, "output": self.output, "lines": self.lines}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> AttemptRef | None:
        """The reference; None for an unreadable text."""
        try:
            value = json.loads(text)
            return AttemptRef(dict(value["attempt"]), str(value["output"]), tuple(str(line) for line in value["lines"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def referenced_attempts(open_runs: Iterable[RunRef], known: Iterable[CronAttempt]) -> Iterator[CronAttempt]:
    """Open runs of the engine that this connector no longer knows, as attempts to search."""
    have = {(item.job, item.key) for item in known}
    for ref in open_runs:
        reference = AttemptRef.from_json(ref.native_ref) if ref.native_ref else None
        if reference is None or (ref.job, ref.attempt_key) in have or reference.attempt.get("z") != RunState.RUNNING:
            continue
        start = {"k": ref.attempt_key, "j": ref.job, "v": RunEvidence.NATIVE, "d": True, "t": 0}
        try:
            lines = {"l": list(reference.lines), "f": bool(reference.lines)}
            attempt = CronAttempt.from_json({**start, **reference.attempt, **lines})
        except (KeyError, TypeError, ValueError):
            continue
        yield attempt
