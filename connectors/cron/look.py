"""One answer of a host, taken into the memory: what the poll tells. Pure but for the clock values it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from connectors.contract import Gap, Inventory, Poll, RunRef, Skipped
from connectors.cron import busybox, follow, parse, records
from connectors.cron.answer import Answer as Answer
from connectors.cron.answer import Crontabs as Crontabs
from connectors.cron.answer import crontabs as crontabs
from connectors.cron.attempts import KEPT_SECONDS, instant
from connectors.cron.follow import FileLook, Place, Reading
from connectors.cron.lines import Lines
from connectors.cron.logline import Event, Word, read_stamped, stamp
from connectors.cron.settle import Sight, began, settle
from connectors.cron.spool import read_record
from connectors.cron.state import Memory
from connectors.transport.answer import text_of
from connectors.words import NOTHING_STARTS

LOG_LAG = timedelta(seconds=5)  # rsyslog writes within a second; a start this old is in the log we read
STAMP_SECONDS = 5.0  # a line's stamp and the start of its process in ticks differ by less
WARNED_MOST = 20
UNMATCHED_SHOWN = 5
SAMPLE_CHARACTERS = 100
"""Of a line that cannot be read."""


@dataclass(slots=True)
class Look:
    """Takes one answer into the memory; `poll` is what it told."""

    target: str
    spool: str
    memory: Memory
    answer: Answer
    crontabs: Crontabs
    ours: datetime
    from_middle: bool = False
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    is_log_read: bool = False
    is_complete: bool = True
    has_more: bool = False
    are_records_read: bool = True

    @property
    def zone(self) -> tzinfo:
        return parse.zone_of(self.crontabs.zone) or self.answer.host.offset

    @property
    def level(self) -> int:
        return self.answer.processes.level or self.memory.level

    def moved(self) -> frozenset[str]:
        """Paths to ask for again with a search: our place was not where the host looked, or nowhere at first sight."""
        paths = set()
        for look in self.answer.files:
            place = self._place(look.path)
            if place is not None and (look.has_gap or follow.read(look, place, 0).moved):
                paths.add(look.path)
        return frozenset(paths)

    def _place(self, path: str) -> Place | None:
        log = self.memory.log
        return log if log is not None and log.path == path else self.memory.records.get(path)

    def take(self) -> None:
        """Reads the files into the book and judges what has no end."""
        memory = self.memory
        tables, older = self.crontabs.tables, {**memory.old_names, **memory.names}
        lines = Lines(self.target, tables.lines, self.zone, older, tables.anacron)
        if lines.names != memory.names:
            gone = {mark: name for mark, name in memory.names.items() if mark not in lines.names}
            memory.old_names, memory.names = gone or memory.old_names, lines.names
            memory.warned = []
        memory.level = self.level
        for look in self.answer.files:
            if self._is_records(look.path):
                self._read_records(look, lines)
            else:
                self._read_log(look, lines)
        self._read_journal(lines)
        processes, host = self.answer.processes, self.answer.host
        self.is_log_read &= not processes.has_own_file
        settle(memory.book, Sight(host, processes, self.level, self.is_log_read, self.are_records_read))
        self._listen()
        self._warn()

    @property
    def _has_journal(self) -> bool:
        said = self.answer.journal
        return said is not None and not said.failed and bool(said.cursor_after(self.memory.journal))

    def _is_records(self, path: str) -> bool:
        return path.startswith(f"{self.spool}/") and path.endswith("/runs")

    # -- files --------------------------------------------------------------------------------------------------------
    def _read(self, look: FileLook, place: Place | None) -> Reading | None:
        """What is new in a file; None where it cannot be read now."""
        if look.status == "denied" and not self._has_journal:
            self.is_complete = False
            mend = "put the login user into group adm, or into the group of that file"
            self.warnings.append(f"{look.path}: denied: {mend}")
        if look.status != "ok":
            return None
        now = int(self.answer.host.now.timestamp())
        reading = follow.read(look, place or Place(look.path), now, self.from_middle)
        if reading.moved:
            self.has_more = True
        if reading.gap:
            self._gap(look, place)
        return reading

    def _gap(self, look: FileLook, place: Place | None) -> None:
        since = instant(place.since) if place else None
        words = f"{look.path} was truncated or replaced since the last look; what it held in between is lost"
        if look.unread:
            words = (
                f"{look.unread} may hold what followed the last look and is denied: give it the group of {look.path}"
            )
        self.gaps.append(Gap(since, self.answer.host.now, words))

    def _read_log(self, look: FileLook, lines: Lines) -> None:
        reading = self._read(look, self.memory.log)
        if reading is None:
            return
        unread: list[str] = []
        for data in reading.lines:
            text = text_of(data)
            stamped = stamp(text, self.answer.host.now, self.zone)
            event = None if stamped is None else read_stamped(text, *stamped)
            if event is not None:
                self._hear(event, lines)
            elif stamped is None and text.strip():
                unread.append(text[:SAMPLE_CHARACTERS])
        self._skip(look, reading.too_long, unread)
        place = reading.place
        if reading.gap and not look.pieces:
            place = Place(look.path, since=place.since)
        self.memory.log = place
        self.has_more |= reading.more
        self.is_log_read = not reading.more and not reading.moved

    def _skip(self, look: FileLook, too_long: bytes, unread: Sequence[str]) -> None:
        """Tells what was left out of a log; one that never has times is told of elsewhere."""
        if too_long:
            words = "a line longer than what is read at a time: left out"
            self.skipped.append(Skipped(look.path, words, text_of(too_long)))
        if unread and not self.answer.processes.has_own_file:
            words = f"{len(unread)} line{'s' * (len(unread) > 1)} without a time that can be read: left out"
            self.skipped.append(Skipped(look.path, words, unread[0]))

    def _read_journal(self, lines: Lines) -> None:
        said = self.answer.journal
        if said is None:
            return
        for event in said.events:
            self._hear(event, lines)
        self.memory.journal = said.cursor_after(self.memory.journal)
        self.warnings += said.warnings
        self.is_complete &= not said.denied
        self.has_more |= not said.is_whole
        self.is_log_read = said.is_whole and not said.failed and bool(self.memory.journal)

    def _hear(self, event: Event, lines: Lines) -> None:
        self.memory.heard = max(self.memory.heard, event.at.timestamp())
        if event.word is Word.IGNORED:
            self._heard_words(event.text)
        self.memory.book.hear_log(event, lines.find, self.level)

    def _listen(self) -> None:
        """Whether the log still tells what cron starts: a log that nobody writes any more proves nothing missed. Where
        a line is to leave none, no start is missing from it."""
        memory, host = self.memory, self.answer.host
        if memory.heard >= memory.silent - STAMP_SECONDS:
            memory.silent = 0.0
        if not self.is_log_read or not all(line.is_logged for line in self.crontabs.tables.lines):
            return
        now = host.now.timestamp()
        starts = [began(host, ticks) for pid, ticks in self.answer.processes.of_cron()]
        untold = [at for at in starts if memory.heard + STAMP_SECONDS < at < now - LOG_LAG.total_seconds()]
        memory.silent = memory.silent or min(untold, default=0.0)

    def _read_records(self, look: FileLook, lines: Lines) -> None:
        if look.status == "absent":
            self.memory.records.pop(look.path, None)
            return
        reading = self._read(look, self.memory.records.get(look.path))
        if reading is None:
            return
        for data in reading.lines:
            record = read_record(text_of(data), look.owner)
            if record is not None:
                self.memory.book.hear_wrapper(record, lines.find)
        self.memory.records[look.path] = reading.place
        self.has_more |= reading.more
        self.are_records_read &= not reading.more and not reading.moved

    # -- words --------------------------------------------------------------------------------------------------------
    def _warn(self) -> None:
        """What a person should read: what is so now, then what the log said since the crontabs last changed."""
        tables, processes = self.crontabs, self.answer.processes
        self.warnings += [f"{fault.where}: {fault.reason}" for fault in tables.tables.faults]
        self.warnings += [f"{path}: denied: {why}" for path, why in tables.denied]
        if self.answer.spool == "denied":
            self.warnings.append(f"{self.spool}: denied: put the login user into the folder's group (adm)")
        if processes.daemon is None and not processes.hidden:
            mend = parse.START_WORDS[processes.program]
            self.warnings.insert(0, f"{NOTHING_STARTS}cron does not run on {self.target}. Start it: {mend}")
        if processes.has_own_file:
            self.warnings.append(busybox.NO_TIME)
        logs = [look for look in self.answer.files if look.status != "absent" and not self._is_records(look.path)]
        if not logs and not self._has_journal:
            self.warnings.append("cron's log is not there: install rsyslog, or set logs = [...] to where it is")
        if self.memory.silent:
            where = self.memory.log.path if self.memory.log else "the journal"
            program = "rsyslog" if self.memory.log else "systemd-journald"
            self.warnings.append(
                f"{where}: cron started a job at {instant(self.memory.silent):%Y-%m-%d %H:%M:%S} UTC "
                f"and the log has no line of it: nothing is proved missed until it speaks. systemctl restart {program}"
            )
        for words in self.memory.book.warnings:
            self._heard_words(words)
        for user, text in list(self.memory.book.unmatched)[:UNMATCHED_SHOWN]:
            self._heard_words(f"a start belongs to no crontab line that can be read: {user}: {text[:120]}")
        self.warnings += self.memory.warned

    def _heard_words(self, words: str) -> None:
        if words not in self.memory.warned:
            self.memory.warned = [*self.memory.warned, words][-WARNED_MOST:]

    # -- what it told -------------------------------------------------------------------------------------------------
    def poll(self, open_runs: tuple[RunRef, ...], inventory: Inventory | None) -> Poll:
        """The runs that changed or run, and the cursor after them."""
        book = self.memory.book
        self.has_more |= any(one.undecided and not one.told for one in book.attempts)
        if not self.has_more:
            self._take_up(open_runs)
        runs = []
        for attempt in book.news():
            if attempt.state.is_open and not self.is_log_read and not attempt.told:
                continue  # history: its end may be in the next bite
            if attempt.undecided and not attempt.told:
                continue
            attempt.told = True
            runs.append(records.run(attempt, self.spool))
        book.forget(self._past())
        seen_until = self.answer.host.now - LOG_LAG if self.is_log_read and not self.memory.silent else None
        complete = self.is_complete and not self.crontabs.denied
        clock = self.answer.clock(self.ours, self.crontabs.zone)
        return Poll(
            tuple(runs), self.memory.as_json(), self.has_more, complete, clock,
            gaps=tuple(self.gaps), inventory=inventory, seen_until=seen_until,
            skipped=tuple(self.skipped), warnings=tuple(self.warnings),
        )  # fmt: skip

    def _take_up(self, open_runs: tuple[RunRef, ...]) -> None:
        asked = list(records.attempts_asked_for(open_runs, self.memory.book.attempts))
        for attempt in asked:
            self.memory.book.add(attempt)
        if asked:
            processes, host = self.answer.processes, self.answer.host
            settle(self.memory.book, Sight(host, processes, self.level, self.is_log_read, self.are_records_read))

    def _past(self) -> float:
        """Attempts that ended before this are no longer needed to recognise late evidence."""
        now = self.answer.host.now.timestamp()
        reached = now if self.is_log_read else min(now, self.memory.heard)
        return reached - KEPT_SECONDS

    def inventory(self) -> Inventory:
        """All jobs of this look."""
        tables = self.crontabs
        clock = self.answer.clock(self.ours, tables.zone)
        return records.inventory(self.target, tables.tables, tables.denied, tables.zone, self.level, clock)
