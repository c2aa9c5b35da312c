"""One poll of a host: its answer merged into what earlier polls know, and the records that are new.

The cursor keeps the state between polls: positions in the logs, attempts without an end, and names of crontab lines.
Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from typing import Any

from connectors.cron import busybox, log_files, parse
from connectors.cron.attempts import (
    ENDS_LOGGED,
    ERRORS_LOGGED,
    RETENTION_SECONDS,
    STARTS_LOGGED,
    AttemptBook,
    ProcessSnapshot,
    began,
    instant,
    referenced_attempts,
    run_record,
    settle_attempts,
)
from connectors.cron.crontab import CronDaemon
from connectors.cron.events import (
    DAEMON,
    DROPS_BEGIN,
    OF_CRON,
    REPEATED,
    CronEvent,
    CronEventKind,
    dropped_crontab,
    may_be_start,
    named_crontab,
    read_stamped,
    stamp,
)
from connectors.cron.inventory import LineIndex, host_inventory, native_id
from connectors.cron.log_files import LogFileState, LogPosition, LogReading
from connectors.cron.parse import CronProcesses, HostAnswer, HostCrontabs
from connectors.cron.wrapper import read_record
from connectors.sdk.fields import EPOCH, masked_head
from connectors.sdk.records import HistoryGap, Inventory, Poll, RunRef, SkippedRecord
from connectors.sdk.transport.script_output import text_of

VERSION = 1


@dataclass(slots=True)
class CronCursor:
    log: LogPosition | None = None
    records: dict[str, LogPosition] = field(default_factory=dict)
    """The wrapper's files by path."""
    book: AttemptBook = field(default_factory=AttemptBook)
    journal: str = ""
    """Cursor of the journal, once it had an entry of cron."""
    level: int = 1
    """cron's log level as last seen."""
    names: dict[str, str] = field(default_factory=dict)
    """Mark of (user, command) -> native id, of the crontabs as last read."""
    old_names: dict[str, str] = field(default_factory=dict)
    """The same for lines that the last change removed: their last starts may still be unread."""
    last_line_at: float = 0.0
    """Stamp of the newest log line read, epoch seconds."""
    warned: list[str] = field(default_factory=list)
    unlogged_since: float = 0.0
    """Start of the first job that the log lacks, epoch seconds; 0 while the log is complete."""
    dropping_since: float = 0.0
    """When rsyslog began to drop lines, epoch seconds; 0 once it reported how many."""
    dropped: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By path the crontabs that the daemon drops: its message, and a mark of the lines that it dropped."""
    inventory: str = ""
    """Hash of the inventory that came with an earlier poll."""

    def follow_only(self, logs: Sequence[str], spool: str) -> None:
        """Drops positions in files that the settings no longer name."""
        if self.log is not None and self.log.path not in logs:
            self.log, self.last_line_at, self.unlogged_since = None, 0.0, 0.0
        self.records = {path: place for path, place in self.records.items() if path.startswith(f"{spool}/")}

    def as_json(self) -> str:
        value: dict[str, Any] = {
            "v": VERSION,
            "log": self.log.as_json() if self.log else None,
            "rec": [place.as_json() for place in self.records.values()],
            "att": [attempt.as_json() for attempt in self.book.attempts],
            "lvl": self.level,
            "nam": self.names,
            "old": self.old_names,
            "hrd": self.last_line_at,
            "wrn": self.warned,
            "sil": self.unlogged_since,
            "inv": self.inventory,
            **({"jrn": self.journal} if self.journal else {}),
            **({"drp": self.dropped} if self.dropped else {}),
            **({"los": self.dropping_since} if self.dropping_since else {}),
        }
        return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> CronCursor | None:
        """The cursor; a new one for "", None for an unreadable text: history is then read twice, with the same
        result."""
        if not text:
            return CronCursor()
        try:
            value = json.loads(text)
            if not isinstance(value, dict) or value.get("v") != VERSION:
                return None
            records = map(LogPosition.from_json, value["rec"])
            return CronCursor(
                log=LogPosition.from_json(value["log"]),
                records={place.path: place for place in records if place is not None},
                book=AttemptBook.from_json(value["att"]),
                level=int(value["lvl"]),
                names=_texts(value["nam"]),
                old_names=_texts(value["old"]),
                last_line_at=float(value["hrd"]),
                warned=[str(warning) for warning in value["wrn"]],
                unlogged_since=float(value.get("sil", 0.0)),
                inventory=str(value["inv"]),
                journal=str(value.get("jrn", "")),
                dropping_since=float(value.get("los", 0.0)),
                dropped={str(path): (str(text), str(mark)) for path, (text, mark) in value.get("drp", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(mark): str(name) for mark, name in value.items()}


LOG_LAG = timedelta(seconds=5)
"""Age from which a start is in the log that was read; rsyslog writes within a second."""
DROPPING_SECONDS = 600.0
"""Time in which rsyslog reports how many lines it dropped: its imjournal.ratelimit.interval."""
STAMP_SECONDS = 5.0
"""Largest difference between the stamp of a line and the start of its process."""
OUT_OF_ORDER = timedelta(minutes=1)
"""How much earlier than the line before it a line may be written."""
WARNED_MOST = 20
UNMATCHED_SHOWN = 5
AMBIGUOUS_MOST = 20
"""Unmatched starts of one command that are compared with what was due, newest first."""
SAMPLE_CHARACTERS = 100
"""Shown of an unreadable line."""


@dataclass(slots=True)
class LogClock:
    """Reads the times of a log's lines in their order, which distinguishes times that come twice, as the clocks go
    back."""

    now: datetime
    zone: tzinfo
    after: datetime
    """The earliest time of the next line."""
    lines: LineIndex
    doubtful: list[datetime] = field(default_factory=list)
    """The earlier times of starts that may as well be the later ones, in their order."""
    starts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """The starts at times that come twice, by minute, user and command."""
    _hour: int = -1
    _is_near: bool = False
    """True if the clocks change within two hours of that hour."""

    def read(self, line: str) -> tuple[datetime, str] | None:
        """The time of a line, and its text after time and host; None without a readable time."""
        stamped = stamp(line, self.now, self.zone, self.after)
        if stamped is None:
            return None
        second = self._second_of_start(line, *stamped)
        if second is None and self.doubtful:
            first = stamp(line, self.now, self.zone)
            second = stamped[0] if first is not None and first[0] < stamped[0] else None
        if second is not None:
            stamped = second, stamped[1]
            self.doubtful.clear()
        self.after = max(self.after, stamped[0] - OUT_OF_ORDER)
        return stamped

    def _is_twice(self, at: datetime) -> bool:
        """True near a change of the clocks, for an instant whose time comes again. The zone is read once an hour."""
        hour = int(at.timestamp()) // 3600
        if hour != self._hour:
            begin = instant(hour * 3600.0) or at
            offsets = {(begin + timedelta(hours=ahead)).astimezone(self.zone).utcoffset() for ahead in (0, 1, 2)}
            self._hour, self._is_near = hour, len(offsets) > 1
        return self._is_near and self.second_of(at) != at

    def second_of(self, at: datetime) -> datetime:
        """The later instant of the time that a clock of the zone shows at this one."""
        return at.astimezone(self.zone).replace(fold=1).astimezone(UTC)

    def _second_of_start(self, line: str, at: datetime, rest: str) -> datetime | None:
        """The later time of a start that came once already in that minute, since cron starts no line twice in one; None
        for any other line. Notes a start that may be at either time."""
        if not self._is_twice(at):
            return None
        event, again = read_stamped(line, at, rest), stamp(line, self.now, self.zone, self.second_of(at))
        if event is None or event.kind is not CronEventKind.CMD or again is None or again[0] == at:
            return None  # again: its time has an offset, or the later one is after the clock of the host
        start = (f"{at:%Y-%m-%dT%H:%M}", event.user, event.text)
        if self.starts[start] >= max(1, len(self.lines.find(event.user, event.text, at, ""))):
            return again[0]
        self.starts[start] += 1
        self.doubtful.append(at)
        return None


@dataclass(slots=True)
class HostPoll:
    """One answer of a host. `merge` adds it to the cursor, then `poll` returns the records that are new.

    Where `paths_to_search` names files, the host is queried once more before the merge.
    """

    target: str
    spool: str
    cursor: CronCursor
    answer: HostAnswer
    crontabs: HostCrontabs
    our_time: datetime
    from_middle: bool = False
    gaps: list[HistoryGap] = field(default_factory=list)
    loss: HistoryGap | None = None
    """The time of lines that the log reports as lost."""
    warnings: list[str] = field(default_factory=list)
    stopped: str | None = ""
    skipped: list[SkippedRecord] = field(default_factory=list)
    is_log_read: bool = False
    is_complete: bool = True
    has_more: bool = False
    are_records_read: bool = True

    @property
    def zone(self) -> tzinfo:
        return parse.zone_of(self.crontabs.zone) or self.answer.host.offset

    @property
    def level(self) -> int:
        level = self.answer.processes.level
        return self.cursor.level if level is None else level

    @property
    def logs_starts(self) -> bool:
        return bool(self.level & STARTS_LOGGED) or self.answer.processes.program is not CronDaemon.DEBIAN

    def paths_to_search(self) -> frozenset[str]:
        """Files whose live part does not hold our position: the host is queried again and searches rotated ones."""
        paths = set()
        for file in self.answer.files:
            log = self.cursor.log
            place = log if log is not None and log.path == file.path else self.cursor.records.get(file.path)
            if place is not None and (file.has_gap or log_files.read_log(file, place, 0).moved):
                paths.add(file.path)
        return frozenset(paths)

    def merge(self) -> None:
        """Adds the new lines of all files to the book, settles attempts without an end, and collects warnings."""
        cursor, heard_at = self.cursor, self.cursor.last_line_at
        tables, older = self.crontabs.tables, {**cursor.old_names, **cursor.names}
        lines = LineIndex(self.target, tables.lines, self.zone, older, tables.anacron)
        if lines.names != cursor.names:
            removed = {mark: name for mark, name in cursor.names.items() if mark not in lines.names}
            cursor.old_names, cursor.names = removed or cursor.old_names, lines.names
            cursor.warned = []
        cursor.level = self.level
        cursor.dropped = {path: item for path, item in cursor.dropped.items() if item[1] == self._mark_of(path)}
        for file in self.answer.files:
            if self._is_records(file.path):
                self._read_records(file, lines)
            else:
                self._read_log(file, lines)
        self._read_journal(lines)
        self.is_log_read &= not self.answer.processes.has_own_file
        self._end_dropping()
        self._settle_attempts()
        self._note_unlogged_start(heard_at)
        self._skip_ambiguous_starts(lines)
        self._warn()

    @property
    def _has_journal(self) -> bool:
        journal = self.answer.journal
        return journal is not None and not journal.failed and bool(journal.cursor_after(self.cursor.journal))

    def _is_records(self, path: str) -> bool:
        return path.startswith(f"{self.spool}/") and path.endswith("/runs")

    # -- files --------------------------------------------------------------------------------------------------------
    def _read(self, file: LogFileState, place: LogPosition | None) -> LogReading | None:
        """The new lines of a file; None where it cannot be read now."""
        if file.status == "denied" and not self._has_journal:
            self.is_complete = False
            login, *groups = file.login or ("LOGIN",)
            self.warnings.append(f"{file.path}: denied: {log_fix(login, groups, file.path)}")
        if file.status != "ok":
            return None
        now = int(self.answer.host.now.timestamp())
        reading = log_files.read_log(file, place or LogPosition(file.path), now, self.from_middle)
        if reading.moved:
            self.has_more = True
        if reading.gap:
            reason = f"{file.path} was truncated or replaced since the last poll; the lines in between are lost"
            if file.unread:
                reason = f"{file.unread} may hold later lines and is unreadable: give it the group of {file.path}"
            self.gaps.append(HistoryGap(instant(place.since) if place else None, self.answer.host.now, reason))
        return reading

    def _read_log(self, file: LogFileState, lines: LineIndex) -> None:
        reading = self._read(file, self.cursor.log)
        if reading is None:
            return
        unread: list[str] = []
        clock = LogClock(self.answer.host.now, self.zone, self._written_after(self.cursor.log), lines)
        follows_cron = True  # the line before these is unknown
        for data in reading.lines:
            text = text_of(data)
            stamped = clock.read(text)
            event = None if stamped is None else read_stamped(text, *stamped)
            if event is not None:
                self._add_event(event, lines)
                follows_cron = True
                continue
            is_of_cron = OF_CRON.search(text) is not None
            if (is_of_cron and may_be_start(text, stamped is not None)) or (follows_cron and REPEATED.search(text)):
                unread.append(masked_head(text, SAMPLE_CHARACTERS))
            follows_cron = is_of_cron
        if clock.doubtful:
            reason = f"{file.path}: starts at times that came twice, as the clocks went back, have no offset"
            until = clock.second_of(clock.doubtful[-1]) + OUT_OF_ORDER
            self.gaps.append(HistoryGap(clock.doubtful[0] - OUT_OF_ORDER, until, reason))
        if reading.too_long:
            reason = "a line longer than what is read at a time: left out"
            self.skipped.append(SkippedRecord(file.path, reason, text_of(reading.too_long), is_new=True))
        if unread and not self.answer.processes.has_own_file:  # a log that never has times has its own warning
            reason = f"{len(unread)} line{'s' * (len(unread) > 1)} of cron that cannot be read: left out"
            self.skipped.append(SkippedRecord(file.path, reason, unread[0], is_new=True))
        place = reading.place
        if reading.gap and not file.pieces:
            place = LogPosition(file.path, since=place.since)
        self.cursor.log = place
        self.has_more |= reading.has_more
        self.is_log_read = not reading.has_more and not reading.moved

    def _written_after(self, place: LogPosition | None) -> datetime:
        """The earliest time of the lines after that position: lines written before all of it was read are earlier."""
        is_whole = place is not None and place.tag != "-"
        read_at = place.since if place is not None and is_whole else 0
        return (instant(max(self.cursor.last_line_at, read_at)) or EPOCH) - OUT_OF_ORDER

    def _read_journal(self, lines: LineIndex) -> None:
        journal = self.answer.journal
        if journal is None:
            return
        for event in journal.events:
            self._add_event(event, lines)
        self.cursor.journal = journal.cursor_after(self.cursor.journal)
        self.warnings += journal.warnings
        self.skipped += journal.skipped
        self.is_complete &= not journal.denied
        self.has_more |= not journal.is_whole
        self.is_log_read = journal.is_whole and not journal.failed and bool(self.cursor.journal)

    def _note_loss(self, until: datetime) -> None:
        """Extends the gap of lines that the log reports as lost."""
        since = min(self.cursor.last_line_at, self.cursor.dropping_since or self.cursor.last_line_at)
        begun = self.loss.since if self.loss is not None else instant(since)
        self.loss = HistoryGap(begun, until, "lines of cron's log were dropped, as the log reports")

    def _end_dropping(self) -> None:
        """Notes a loss whose end rsyslog never reports, and the gap of all losses."""
        now, since = self.answer.host.now.timestamp(), self.cursor.dropping_since
        if self.is_log_read and since and now - since > DROPPING_SECONDS:
            self._note_loss(self.answer.host.now)
            self.cursor.dropping_since = 0.0
        self.gaps += [self.loss] if self.loss is not None else []

    def _add_event(self, event: CronEvent, lines: LineIndex) -> None:
        if event.kind is CronEventKind.LOST:
            self._note_loss(event.at)
            begins = self.cursor.dropping_since or event.at.timestamp()
            self.cursor.dropping_since = begins if DROPS_BEGIN in event.line else 0.0
            return
        self.cursor.last_line_at = max(self.cursor.last_line_at, event.at.timestamp())
        if event.kind is CronEventKind.IGNORED:
            self._warn_once(event.text)
            if path := dropped_crontab(event.text, {line.path for line in self.crontabs.tables.lines}):
                self.cursor.dropped[path] = event.text, self._mark_of(path)
        elif self.cursor.dropped:
            self._take_back(event, lines)
        self.cursor.book.add_event(event, lines.find, self.level)

    def _take_back(self, event: CronEvent, lines: LineIndex) -> None:
        """Forgets that a crontab is dropped once the daemon reads it again, or starts one of its jobs."""
        dropped = self.cursor.dropped
        if event.kind is CronEventKind.RELOADED:
            for path in list(dropped) if event.user == DAEMON else [named_crontab(event.user, dropped)]:
                dropped.pop(path, None)
        elif event.kind is CronEventKind.CMD:
            jobs = lines.find(event.user, event.text, event.at, "")
            for line in self.crontabs.tables.lines:
                if line.path in dropped and native_id(self.target, line) in jobs:
                    del dropped[line.path]

    def _mark_of(self, path: str) -> str:
        """A mark of the lines of a crontab: another one is another text, which the daemon reads again."""
        lines = (f"{line.expression} {line.hash}" for line in self.crontabs.tables.lines if line.path == path)
        return sha256("\n".join(lines).encode()).hexdigest()[:16]

    def _note_unlogged_start(self, heard_at: float) -> None:
        """Notes since when the log lacks starts of cron: a log that is no longer written proves no missed run, and none
        of the time in between once it is written again. Not checked where a crontab line is not logged. `heard_at`:
        stamp of the last line before this poll."""
        cursor, host = self.cursor, self.answer.host
        if cursor.unlogged_since and cursor.last_line_at >= cursor.unlogged_since - STAMP_SECONDS:
            reason = f"{cursor.log.path if cursor.log else 'the journal'} lacks starts of cron"
            self.gaps.append(HistoryGap(instant(min(heard_at, cursor.unlogged_since)), host.now, reason))
            cursor.unlogged_since = 0.0
        if not self.is_log_read or not all(line.is_logged for line in self.crontabs.tables.lines):
            return
        now = host.now.timestamp()
        processes = self.answer.processes
        starts = [began(host, processes.births[pid]) for pid in (*processes.children, *processes.jobs)]
        unlogged = [at for at in starts if cursor.last_line_at + STAMP_SECONDS < at < now - LOG_LAG.total_seconds()]
        cursor.unlogged_since = cursor.unlogged_since or min(unlogged, default=0.0)

    def _skip_ambiguous_starts(self, lines: LineIndex) -> None:
        """Reports starts that match no crontab line, at a minute when a line of their user was due and did not start:
        each may be that line's, as its log has it."""
        for (user, text), starts in self.cursor.book.unmatched.items():
            for at in map(instant, starts[-AMBIGUOUS_MOST:]):
                if at is not None and (job := lines.unstarted(user, at, self.cursor.book.has_start)):
                    reason = f"a start that matches no crontab line, when {job} was due"
                    sample = f"{at:%Y-%m-%dT%H:%M:%SZ} {user}: {masked_head(text, SAMPLE_CHARACTERS)}"
                    self.skipped.append(SkippedRecord("cron's log", reason, sample, is_new=True))

    def _read_records(self, file: LogFileState, lines: LineIndex) -> None:
        if file.status == "absent":
            self.cursor.records.pop(file.path, None)
            return
        reading = self._read(file, self.cursor.records.get(file.path))
        if reading is None:
            return
        for data in reading.lines:
            record = read_record(text_of(data), file.owner)
            if record is not None:
                self.cursor.book.add_record(record, lines.find)
            else:
                reason = "the line is not a record of headway-sh"
                self.skipped.append(SkippedRecord(file.path, reason, text_of(data), is_new=True))
        self.cursor.records[file.path] = reading.place
        self.has_more |= reading.has_more
        self.are_records_read &= not reading.has_more and not reading.moved

    # -- warnings -----------------------------------------------------------------------------------------------------
    def _warn(self) -> None:
        """Adds warnings: current ones, then those of the log since the crontabs last changed."""
        tables, processes = self.crontabs, self.answer.processes
        self.warnings += [f"{fault.where}: {fault.reason}" for fault in tables.tables.faults]
        self.warnings += [f"{path}: denied: {why}" for path, why in tables.denied]
        if self.answer.spool == "denied":
            self.warnings.append(f"{self.spool}: denied: put the login user into the folder's group (adm)")
        if processes.daemon is None:
            fix = parse.START_COMMANDS[processes.program]
            self.stopped = None if processes.hidden else f"cron does not run on {self.target}. Fix: {fix}"
        number = sum(not line.is_wrapped for line in tables.tables.lines)
        if number and (problem := unseen_ends(processes, self.level)):
            what, why = problem
            self.warnings.append(
                f"{what} of {number} job{'s' * (number > 1)} cannot be seen: {why}. Fix: {WRAPPER_FIX}"
            )
        if processes.has_own_file:
            self.warnings.append(busybox.NO_TIME)
        if not self.logs_starts:
            self.warnings.append(f"cron -L {self.level} logs no starts: missed runs are not detected. Fix: cron -L 1")
        logs = [file for file in self.answer.files if file.status != "absent" and not self._is_records(file.path)]
        if not logs and not self._has_journal:
            self.warnings.append("cron's log is not there: install rsyslog, or set logs = [...] to where it is")
        if self.cursor.unlogged_since:
            where = self.cursor.log.path if self.cursor.log else "the journal"
            program = "rsyslog" if self.cursor.log else "systemd-journald"
            self.warnings.append(
                f"{where}: cron started a job at {instant(self.cursor.unlogged_since):%Y-%m-%d %H:%M:%S} UTC "
                f"and the log has no line of it: missed runs are not detected. systemctl restart {program}"
            )
        for warning in self.cursor.book.warnings:
            self._warn_once(warning)
        starts = self.cursor.book.unmatched
        unmatched = [(user, text) for user, text in starts if not tables.users or user in tables.users]
        for user, text in unmatched[:UNMATCHED_SHOWN]:
            self._warn_once(f"a start belongs to no crontab line that can be read: {user}: {masked_head(text, 120)}")
        self.warnings += self.cursor.warned

    def _warn_once(self, warning: str) -> None:
        if warning not in self.cursor.warned:
            self.cursor.warned = [*self.cursor.warned, warning][-WARNED_MOST:]

    # -- the result --------------------------------------------------------------------------------------------------
    def poll(self, open_runs: tuple[RunRef, ...], inventory: Inventory | None) -> Poll:
        book = self.cursor.book
        self.has_more |= any(item.undecided and not item.reported for item in book.attempts)
        if not self.has_more and (unknown := list(referenced_attempts(open_runs, book.attempts))):
            for attempt in unknown:
                book.add(attempt)
            self._settle_attempts()
        runs = []
        for attempt in book.changes():
            is_history = attempt.state.is_open and not self.is_log_read  # its end may be in the next batch
            if attempt.reported or not (is_history or attempt.undecided):
                attempt.reported = True
                runs.append(run_record(attempt, self.spool))
        now = self.answer.host.now.timestamp()
        book.forget((now if self.is_log_read else min(now, self.cursor.last_line_at)) - RETENTION_SECONDS)
        is_known = self.is_log_read and self.logs_starts and not self.cursor.unlogged_since
        is_known &= not self.cursor.dropping_since
        seen_until = self.answer.host.now - LOG_LAG if is_known else None
        complete = self.is_complete and not (self.crontabs.denied or self.crontabs.tables.unread)
        clock = self.answer.host.clock(self.our_time, self.crontabs.zone)
        return Poll(
            tuple(runs), self.cursor.as_json(), self.has_more, complete, clock,
            gaps=tuple(self.gaps), inventory=inventory, seen_until=seen_until,
            skipped=tuple(self.skipped), warnings=tuple(self.warnings), stopped=self.stopped,
        )  # fmt: skip

    def _settle_attempts(self) -> None:
        processes, host = self.answer.processes, self.answer.host
        snapshot = ProcessSnapshot(host, processes, self.level, self.is_log_read, self.are_records_read)
        settle_attempts(self.cursor.book, snapshot)

    def inventory(self) -> Inventory:
        tables = self.crontabs
        clock = self.answer.host.clock(self.our_time, tables.zone)
        lines = tables.tables.without({path: text for path, (text, _) in self.cursor.dropped.items()})
        return host_inventory(self.target, lines, tables.denied, tables.zone, self.level, clock)


WRAPPER_FIX = "install the wrapper: headway connector cron wrapper"


def unseen_ends(processes: CronProcesses, level: int) -> tuple[str, str] | None:
    """("failures", reason) for jobs without the wrapper; None where cron logs every end, or starts nothing."""
    if processes.daemon is None and not processes.hidden:
        return None
    if processes.program is CronDaemon.BUSYBOX:
        return "failures", "cron logs starts only"
    if level & ERRORS_LOGGED:
        return None if level & ENDS_LOGGED else ("success", "cron logs failures only")
    return "failures", "/proc hides whether cron logs them" if processes.hidden else "cron logs starts only"


def log_fix(login: str, groups: Collection[str], *paths: str) -> str:
    """The command that lets the login, a member of `groups`, read these logs."""
    return readable_by_adm(*paths) if "adm" in groups else f"usermod -a -G adm {login}"


def readable_by_adm(*paths: str) -> str:
    named = " ".join(paths)
    return f"chgrp adm {named} && chmod g+r {named}"


def crontab_fix(denied: tuple[tuple[str, str], ...], login: str) -> str:
    rule = f"{login} ALL=(root) NOPASSWD: " + ", ".join(f"/usr/bin/cat {path}" for path, _ in denied[:6])
    return f"add to sudoers: {rule}; or name the users to read: users = [...]"


def denied_text(denied: tuple[tuple[str, str], ...], host: str, login: str) -> str:
    return f"{host}: crontab {denied[0][0]} is denied ({denied[0][1]}): {crontab_fix(denied, login)}"
