"""What log, wrapper and process table say, joined into attempts: one per start, whichever evidence comes first. Pure.

Log and wrapper name the same pid (measured), so they meet by pid, user and a start at most half a minute apart. The
attempt's key is the minute of its start and that pid: both evidences make the same key, also in different polls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

from connectors.contract import Evidence, State
from connectors.cron import anacron
from connectors.cron.attempt import Attempt as Attempt
from connectors.cron.attempt import instant as instant
from connectors.cron.logline import Event, Word
from connectors.cron.spool import Cancel, WrapperEnd, WrapperStart

SAME_START_SECONDS = 30.0
LONGEST_SECONDS = 86400.0  # a child's pid means the same process for that long
KEPT_SECONDS = 300.0  # late evidence of an ended attempt is known again for this long
KEPT_MOST = 5000
PID_SPACE = 4194304
ENDS_LOGGED, ERRORS_LOGGED = 2, 4  # bits of cron -L, cron(8)

FindJobs = Callable[[str, str, datetime, str], Sequence[str]]
"""user, text, start, job mark of a rerun -> native ids of the lines that may have started it: one, but where several
are alike and due together; none where no crontab has such a line."""


@dataclass(slots=True)
class Book:
    """The attempts that are open or ended a short while ago."""

    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unmatched: dict[tuple[str, str], int] = field(default_factory=dict)
    """User and command of starts that belong to no line that we can read -> how many."""
    _by_pid: dict[int, list[Attempt]] = field(default_factory=dict)
    _by_run: dict[str, Attempt] = field(default_factory=dict)
    _by_text: dict[tuple[str, int], list[Attempt]] = field(default_factory=dict)
    """By user and mark of the command: one whose text changed stands under the old one too."""

    def __post_init__(self) -> None:
        for attempt in self.attempts:
            self._index(attempt)

    def add(self, attempt: Attempt) -> None:
        """Takes up an attempt that is not here yet."""
        self.attempts.append(attempt)
        self._index(attempt)

    def _index(self, attempt: Attempt) -> None:
        self._by_pid.setdefault(attempt.pid, []).append(attempt)
        self._by_text.setdefault((attempt.user, attempt.text), []).append(attempt)
        if attempt.run_id:
            self._by_run[attempt.run_id] = attempt

    # -- the log ------------------------------------------------------------------------------------------------------
    def hear_log(self, event: Event, find_jobs: FindJobs, level: int) -> None:
        """Takes in one line of cron's log."""
        if event.word is Word.CMD:
            self._log_start(event, find_jobs)
        elif event.word is Word.ERROR:
            self._log_error(event)
        elif event.word is Word.END:
            self._log_end(event, level)
        elif event.word is Word.OUT:
            self._log_output(event)
        elif event.word in (Word.JOB_STARTED, Word.JOB_ENDED):
            self._anacron(event, find_jobs)

    def _log_start(self, event: Event, find_jobs: FindJobs) -> None:
        pid, at = event.job_pid or event.pid, event.at.timestamp()
        child = event.pid if event.job_pid else 0
        known = self._started(pid, event.user, at)
        if known is None:
            job = self._line(find_jobs(event.user, event.text, event.at, ""), at)
            if job is None:
                self.unmatched[event.user, event.text] = self.unmatched.get((event.user, event.text), 0) + 1
                return
            known = Attempt(attempt_key(at, pid), job, event.user, pid, at, text_mark(event.text))
            self.add(known)
        if not known.from_log:
            known.from_log, known.child = True, known.child or child
            if known.text != (mark := text_mark(event.text)):
                known.text = mark
                self._by_text.setdefault((known.user, mark), []).append(known)
            known.add_line(event.line)

    def _line(self, jobs: Sequence[str], at: float) -> str | None:
        """The first of these lines of which no start at that time is known: lines that are alike start together."""
        if len(jobs) < 2:
            return jobs[0] if jobs else None
        near = {one.job for one in self.attempts if abs(one.started - at) <= SAME_START_SECONDS and not one.action}
        return next((job for job in jobs if job not in near), jobs[0])

    def _started(self, pid: int, user: str, at: float) -> Attempt | None:
        near = [
            one for one in self._by_pid.get(pid, ())
            if one.user == user and abs(one.started - at) <= SAME_START_SECONDS and not one.action
        ]  # fmt: skip
        return min(near, key=lambda one: abs(one.started - at), default=None)

    def _log_error(self, event: Event) -> None:
        at = event.at.timestamp()
        attempt = self._latest(event.job_pid or 0, at)
        if attempt is None:
            return  # the helper that feeds the lines after %, or a start that we never saw
        attempt.child = event.pid
        attempt.add_line(event.line)
        if attempt.is_over:
            return
        if event.exit_code is None:
            self.warnings.append(f"unknown word in cron's log: {event.text[:200]}")
            attempt.end(State.UNKNOWN, Evidence.NATIVE, event.text, at, None, event.text)
        else:
            attempt.end(State.FAILED, Evidence.NATIVE, event.text, at, event.exit_code, event.text)

    def _latest(self, pid: int, at: float) -> Attempt | None:
        """The latest attempt of that pid that had started by then."""
        begun = [one for one in self._by_pid.get(pid, ()) if one.started <= at + 1 and not one.action]
        return max(begun, key=lambda one: one.started, default=None)

    def _log_end(self, event: Event, level: int) -> None:
        at = event.at.timestamp()
        attempt = self._latest(event.job_pid, at) if event.job_pid else self._ending(event, at)
        if attempt is None:
            return
        attempt.add_line(event.line)
        if attempt.is_over or attempt.ended:
            return
        if level & ERRORS_LOGGED:
            attempt.end(State.SUCCEEDED, Evidence.NATIVE, event.word.value, at, 0)
        else:
            words = f"the log tells the end but no exit status (cronie's, or cron -L {level})"
            attempt.end(State.UNKNOWN, Evidence.INFERRED, event.word.value, at, None, words)

    def _log_output(self, event: Event) -> None:
        """A line of output that cronie logged: of its child's own attempt, else of the next pid above the child's."""
        begun = [one for one in self.attempts if one.user == event.user and one.started <= event.at.timestamp() + 1]
        open_ones = [one for one in begun if not one.is_over and not one.ended and one.child in (0, event.pid)]
        own = min(open_ones, key=lambda one: (one.child == 0, (one.pid - event.pid) % PID_SPACE), default=None)
        if own is not None:
            own.child, own.changed = event.pid, True
            own.add_line(event.line)

    def _anacron(self, event: Event, find_jobs: FindJobs) -> None:
        """anacron names the job, and itself by its pid, which all jobs of its one start share."""
        at, mark = event.at.timestamp(), text_mark(event.text)
        begun = [one for one in self._by_pid.get(event.pid, ()) if one.text == mark and one.started <= at]
        attempt = max(begun, key=lambda one: one.started, default=None)
        if event.word is Word.JOB_ENDED:
            if attempt is not None and not attempt.is_over and not attempt.ended:
                attempt.add_line(event.line)
                self._anacron_end(attempt, event, at)
        elif attempt is None or at - attempt.started > SAME_START_SECONDS:
            job = next(iter(find_jobs(event.user, event.text, event.at, "")), None)
            if job is None:
                self.unmatched[event.user, event.text] = self.unmatched.get((event.user, event.text), 0) + 1
                return
            if ours := self._ours(job, at):  # a rerun of ours: its wrapper tells the end
                ours.add_line(event.line)
                return
            attempt = Attempt(attempt_key(at, event.pid), job, event.user, event.pid, at, mark, word=event.word.value)
            attempt.from_log = True
            attempt.add_line(event.line)
            self.add(attempt)

    def _ours(self, job: str, at: float) -> Attempt | None:
        """The rerun of ours that made anacron start that job at that time."""
        began = (one for one in self.attempts if one.job == job and one.action)
        return next((one for one in began if -1 <= at - one.started <= SAME_START_SECONDS), None)

    def _logged(self, job: str, at: float) -> Attempt | None:
        """What anacron's log said of a rerun that began at that time, where the log was read first: in this look."""
        lone = (one for one in self.attempts if one.job == job and not (one.action or one.run_id or one.told))
        near = (one for one in lone if -1 <= one.started - at <= SAME_START_SECONDS)
        return max(near, key=lambda one: one.started, default=None)

    def _anacron_end(self, attempt: Attempt, event: Event, at: float) -> None:
        word, code = f"{event.word.value}{event.rest}", event.exit_code
        if code is None:
            self.warnings.append(f"unknown word of anacron: {word[:200]}")
        state = State.UNKNOWN if code is None else State.FAILED if code else State.SUCCEEDED
        attempt.end(state, Evidence.NATIVE, word, at, code, word if state is not State.SUCCEEDED else "")

    def _ending(self, event: Event, at: float) -> Attempt | None:
        """For END lines that name only cron's child (-L 7): its own attempt, else the nearest of that command."""
        mark = text_mark(event.text)
        same = [
            one for one in self._by_text.get((event.user, mark), ())
            if one.text == mark and one.started <= at + 1 and not one.action
        ]  # fmt: skip
        own = [one for one in same if one.child == event.pid and at - one.started < LONGEST_SECONDS]
        if own:
            return own[-1]
        free = [one for one in same if not one.child and not one.is_over and not one.ended]
        return min(free, key=lambda one: (one.pid - event.pid) % PID_SPACE, default=None)

    # -- the wrapper --------------------------------------------------------------------------------------------------
    def hear_wrapper(self, record: WrapperStart | WrapperEnd | Cancel, find_jobs: FindJobs) -> None:
        """Takes in one record of the shell wrapper, or of a cancel of ours."""
        if isinstance(record, Cancel):
            self._cancelled(record)
        elif isinstance(record, WrapperEnd):
            self._wrapper_end(record)
        elif record.run_id not in self._by_run:
            self._wrapper_start(record, find_jobs)

    def _wrapper_start(self, record: WrapperStart, find_jobs: FindJobs) -> None:
        at = record.at.timestamp()
        known = None if record.action else self._started(record.pid, record.user, at)
        if known is None:
            job = self._line(find_jobs(record.user, record.text, record.at, record.job), at)
            if job is None:
                self.unmatched[record.user, record.text] = self.unmatched.get((record.user, record.text), 0) + 1
                return
            key = f"{int(at)}.{record.pid}" if record.action else attempt_key(at, record.pid)
            known = self._logged(job, at) if record.action and anacron.ID in job else None
            if known is None:
                known = Attempt(key, job, record.user, record.pid, at, text_mark(record.text))
                self.add(known)
            else:
                self._by_pid.setdefault(record.pid, []).append(known)
            known.key, known.action = known.key if known.told else key, record.action or ""
            known.pid, known.word = record.pid, known.word if known.is_over else "S"
        known.child, known.birth, known.run_id = known.child or record.parent, record.birth, record.run_id
        known.changed = True
        self._by_run[record.run_id] = known

    def _wrapper_end(self, record: WrapperEnd) -> None:
        attempt = self._by_run.get(record.run_id)
        if attempt is None or (attempt.is_over and attempt.evidence is Evidence.NATIVE):
            return
        code = record.exit_code
        state = State.SUCCEEDED if code == 0 else State.FAILED
        words = "" if code == 0 else f"exit status {code}" + (f" (signal {code - 128})" if 128 < code < 193 else "")
        attempt.end(state, Evidence.NATIVE, f"E {code}", record.at.timestamp(), code, words)

    def _cancelled(self, record: Cancel) -> None:
        at, births = record.at.timestamp(), ("", "-", record.birth)
        same = [one for one in self._by_pid.get(record.pid, ()) if one.user == record.user and one.birth in births]
        one = max((one for one in same if one.started <= at + 1), key=lambda one: one.started, default=None)
        if one is None or one.cancel or (one.ended and one.ended < at - 1):
            return
        one.cancel, one.changed = record.action, True
        if one.is_over or one.is_unproved:
            one.end(one.state, one.evidence, one.word, one.ended, one.exit_code, one.message)

    # -- what is kept -------------------------------------------------------------------------------------------------
    def forget(self, before: float) -> None:
        """Drops what was over by then; keeps what is open, and the KEPT_MOST youngest."""
        kept = [one for one in self.attempts if one.state is State.RUNNING or one.last_heard >= before]
        if len(kept) > KEPT_MOST:
            kept = sorted(kept, key=lambda one: one.started)[-KEPT_MOST:]
        self.attempts = kept

    def news(self) -> Iterator[Attempt]:
        """What changed or is running, by start."""
        for attempt in sorted(self.attempts, key=lambda one: (one.started, one.pid)):
            if attempt.changed or attempt.state is State.RUNNING:
                yield attempt

    @staticmethod
    def from_json(values: Iterable[Any]) -> Book:
        """The attempts of a cursor; what cannot be read is left out."""
        attempts: list[Attempt] = []
        for value in values:
            try:
                attempts.append(Attempt.from_json(value))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
        return Book(attempts)


def attempt_key(started: float, pid: int) -> str:
    """The minute of the start, in epoch seconds, and the job's pid."""
    return f"{int(started) // 60 * 60}.{pid}"


def text_mark(text: str) -> int:
    """A short name of a command."""
    return crc32(text.encode("utf-8", "surrogateescape"))
