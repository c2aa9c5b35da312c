"""Evidence of runs on a host, as events: the log followed through rotation, the journal, wrapper records.

The position in a log is an offset and the cksum of the (at most 256) bytes before it; it survives rotation by rename,
gzip, copytruncate and reused inode numbers. The host sends those bytes again before the new ones, so each read proves
its own position.

Log lines, measured on cron 3.0pl1-162: with -L 1, 5 and 7 the CMD line is written by the job's own process, so
`CRON[n]` is the job's pid; with 8 added (-L 15) cron's child writes `CRON[child]: (user) CMD ([job] command)`. Error
and END lines are always the child's; an error names the job as `grandchild #job` and comes before END. A grandchild
that is not the job is the helper that feeds the lines after `%`. cronie (its do_command.c; not run here): CMD by the
job's own process; by the child CMDOUT (with -s) and, in newer ones, CMDEND. No line has an exit status. A line of
another program gives None.

A wrapper record belongs to the owner of its file, whatever it claims. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any
from zlib import crc32

from connectors.cron import dialects
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.transport import script_output
from connectors.sdk.transport.script_output import MAY_READ, SAMPLE, JournalEntry, ScriptSection

WINDOW = 256
SAMPLE_BYTES = 100
FILE_FIELDS = 6  # inode, size, mtime, owner, kind, birth
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def cksum(data: bytes) -> int:
    """The checksum of cksum(1): zlib's CRC over the data and its length, with the bits of all bytes reversed."""
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "little")
    crc = crc32((data + length).translate(REVERSED_BITS), 0xFFFFFFFF)
    return int(f"{crc:032b}"[::-1], 2)


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where reading stopped. `tag`: the host's stamp of the file then; unchanged means nothing to read."""

    path: str
    offset: int = 0
    checksum: int = 0
    inode: str = "0"
    """Of the last live file that was read; "0": none yet, only rotated ones."""
    tag: str = "-"
    since: int = 0
    """The host's clock, in epoch seconds, at the last read."""
    torn: bool = False
    """True inside a line that was too long; the rest of the line is dropped."""

    def as_json(self) -> list[Any]:
        return [self.path, self.offset, self.checksum, self.inode, self.tag, self.since, int(self.torn)]

    @staticmethod
    def from_json(value: Any) -> LogPosition:
        """Raises ValueError or TypeError for anything else."""
        path, offset, checksum, inode, tag, since, torn = value
        return LogPosition(str(path), int(offset), int(checksum), str(inode), str(tag), int(since), bool(torn))


@dataclass(slots=True)
class LogFileState:
    """One file as the host answered: its state, its pieces oldest first."""

    path: str
    status: str
    """"ok", "denied" or "absent"."""
    tag: str = ""
    owner: str = ""
    pieces: list[ScriptSection] = field(default_factory=list)
    has_gap: bool = False
    unread: str = ""
    """A rotated file that may hold our position and cannot be read."""
    has_more: bool = False
    after: str | None = None
    """Inode, size, birth of the live file after the read, and whether it begins as before; None if not requested."""

    @property
    def was_rotated(self) -> bool:
        """Whether the live file became another one, or shorter, while several files were read."""
        if self.after is None:
            return False
        before, now = self.tag.split("|"), self.after.split("|")
        if len(now) == 2:  # no such file then
            return before[0] != "0"
        if len(before) != FILE_FIELDS or len(now) != 4 or not (before[1].isdigit() and now[1].isdigit()):
            return True
        shorter = int(now[1][:18]) < int(before[1][:18])
        return shorter or (before[0], before[5], "same") != (now[0], now[2], now[3])

    @property
    def inode(self) -> str:
        return self.tag.partition("|")[0]


def log_files(parts: Iterable[ScriptSection]) -> list[LogFileState]:
    """The files of an answer, in its order."""
    files: list[LogFileState] = []
    for part in parts:
        if part.kind == "FILE":
            status, _, rest = part.rest.partition("|")
            tag, _, path = rest.rpartition("|")
            fields = tag.split("|")
            files.append(LogFileState(path, status, tag, fields[3] if len(fields) == FILE_FIELDS else ""))
        elif files and part.kind == "LOG":
            files[-1].pieces.append(part)
        elif files and part.kind == "GAP":
            files[-1].has_gap, files[-1].unread = True, part.fields(2)[0]
        elif files and part.kind == "MORE":
            files[-1].has_more = True
        elif files and part.kind == "AFTER":
            files[-1].after = part.rest
    return files


@dataclass(frozen=True, slots=True)
class LogReading:
    """Whole lines of one file, and the position after them."""

    place: LogPosition
    lines: tuple[bytes, ...] = ()
    has_more: bool = False
    gap: bool = False
    moved: bool = False
    """True: our position was not in the live file; the next query must search for it."""
    too_long: bytes = b""
    """The beginning of a line that exceeds the limit of one read; it is left out."""


def read_log(file: LogFileState, place: LogPosition, now: int, from_middle: bool = False) -> LogReading:
    """The lines after `place`. `from_middle`: the first piece begins inside a line."""
    if file.was_rotated:
        return LogReading(place, moved=True)
    since = now if file.pieces else place.since
    starts_inside = from_middle and bool(file.pieces) and not file.pieces[0].rest.startswith("0|")
    after = replace(place, path=file.path, tag=file.tag, since=since, torn=place.torn or starts_inside)
    lines: list[bytes] = []
    too_long = b""
    for number, part in enumerate(file.pieces):
        piece = _LogPiece.of(part, file)
        continues = piece.offset == after.offset and piece.offset > 0 and not from_middle
        if piece.is_short or (continues and cksum(piece.before) != after.checksum):
            if not number:
                return LogReading(place, moved=True)
            return LogReading(replace(after, tag="-"), tuple(lines), has_more=True, gap=file.has_gap)
        was_torn = after.torn
        result, after = _take(piece, after, is_first=number == 0, is_last=number == len(file.pieces) - 1)
        lines += result
        if after.torn and not was_torn and not result:
            too_long = piece.data[:SAMPLE_BYTES]
    if file.pieces:
        is_whole = after.inode == file.inode and not file.has_more
        after = replace(after, tag=file.tag if is_whole else "-")
    return LogReading(after, tuple(lines), file.has_more, file.has_gap, too_long=too_long)


@dataclass(frozen=True, slots=True)
class _LogPiece:
    offset: int
    before: bytes
    data: bytes
    is_cut: bool
    is_short: bool
    """The file lost bytes while it was read: it is being rotated."""
    inode: str
    """Of the live file; empty for a rotated one, which only its bytes identify."""

    @staticmethod
    def of(part: ScriptSection, file: LogFileState) -> _LogPiece:
        *numbers, path = part.fields(5)
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
            return _LogPiece(0, b"", b"", is_cut=False, is_short=True, inode="")
        offset, width, requested, size = (int(number) for number in numbers)
        expected = min(requested, width + size - offset)
        before, data = part.body[:width], part.body[width:requested]
        inode = file.inode if path == file.path else ""
        return _LogPiece(offset, before, data, len(part.body) >= requested, len(part.body) < expected, inode)


def _take(piece: _LogPiece, place: LogPosition, is_first: bool, is_last: bool) -> tuple[list[bytes], LogPosition]:
    """Whole lines of a piece and the position after them. The last line of a rotated file needs no newline."""
    end = piece.data.rfind(b"\n") + 1
    torn = place.torn and place.offset in (piece.offset, 0)
    too_long = end == 0 and piece.is_cut and is_first  # a line longer than what is read at a time
    used = len(piece.data) if too_long or not (is_last or piece.is_cut) else end
    if used == 0:
        return [], place
    lines = piece.data[:used].split(b"\n")
    if too_long or not lines[-1]:
        lines.pop()
    if torn and lines:
        lines.pop(0)
    before = (piece.before + piece.data[:used])[-WINDOW:]
    inode = piece.inode or place.inode
    return lines, replace(place, offset=piece.offset + used, checksum=cksum(before), inode=inode, torn=too_long)


def known_positions(values: Mapping[str, Any]) -> dict[str, LogPosition]:
    """The positions of a cursor by path, without unreadable ones (their files are read from the start)."""
    places: dict[str, LogPosition] = {}
    for path, value in values.items():
        with suppress(TypeError, ValueError):
            places[path] = LogPosition.from_json(value)
    return places


RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (\S+) (.*)", re.DOTALL)
CLASSIC = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) (.*)", re.DOTALL)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TAG = re.compile(
    r"(?:[a-z0-9]+\.[a-z]+ )?(?:/\S*/)?(CRON|CROND|cron|crond|crontab|anacron)\[(\d{1,10})\]: (.*)", re.DOTALL
)
BODY = re.compile(r"(?=.*\)\Z)\((.*?)\) ([A-Za-z][A-Za-z ]*?) \((.*)\)", re.DOTALL)
JOB_PID = re.compile(r"\[(\d{1,10})\] (.*)", re.DOTALL)
GRANDCHILD = re.compile(r"grandchild #(\d{1,10}) (.*)", re.DOTALL)
FAILED = re.compile(r"failed with exit status (\d{1,10})")
KILLED = re.compile(r"terminated by signal (\d{1,3})")
NOT_RUN = ("will be ignored", "INSECURE MODE", "WRONG FILE OWNER", "bad username", "ORPHAN")
MORE_THAN_A_DAY = timedelta(days=1)


class CronEventKind(StrEnum):
    CMD = "CMD"
    END = "END"
    OUT = "CMDOUT"
    ERROR = "error"
    JOB_STARTED = "Job started"
    JOB_ENDED = "Job terminated"
    IGNORED = "ignored"
    OTHER = "other"
    """RELOAD, REPLACE, INFO (Running @reboot jobs), …: it proves that the log is written."""


@dataclass(frozen=True, slots=True)
class CronEvent:
    kind: CronEventKind
    at: datetime
    """Aware, UTC."""
    line: str
    pid: int = 0
    """Of the process that wrote it."""
    job_pid: int | None = None
    """The job's own pid, where the line names it."""
    user: str = ""
    text: str = ""
    """CMD, END: the command as logged. error: the message about the grandchild. anacron: `anacron_text` of the job."""
    rest: str = ""
    """The rest of anacron's message: " (exit status: 4)"."""

    @property
    def exit_code(self) -> int | None:
        """The exit status of an error line, 128 + n for signal n; None for an unknown message."""
        if self.kind is CronEventKind.JOB_ENDED:
            return dialects.anacron_exit_code(self.rest)
        if match := FAILED.match(self.text):
            return int(match[1])
        match = KILLED.match(self.text)
        return 128 + int(match[1]) if match else None


def read_line(line: str, now: datetime, zone: tzinfo) -> CronEvent | None:
    """The event of one line without its newline; None for lines of other programs. `now` gives classic stamps their
    year, `zone` their offset."""
    stamped = stamp(line, now, zone)
    return None if stamped is None else read_stamped(line, *stamped)


def read_stamped(line: str, at: datetime, rest: str) -> CronEvent | None:
    tag = TAG.fullmatch(rest)
    return None if tag is None else event_of(at, line, tag[1], int(tag[2]), tag[3])


def event_of(at: datetime, line: str, program: str, pid: int, message: str) -> CronEvent | None:
    if program in ("CRON", "CROND"):
        return _of_child(at, line, pid, message)
    if program == "anacron":
        match = dialects.LINE.fullmatch(message)
        if match is None:
            return None
        kind = CronEventKind.JOB_STARTED if match[2] == "started" else CronEventKind.JOB_ENDED
        return CronEvent(kind, at, line, pid, user=dialects.USER, text=dialects.anacron_text(match[1]), rest=match[3])
    if started := dialects.STARTED.fullmatch(message):
        job = int(started[2])  # its child is the job itself
        return CronEvent(CronEventKind.CMD, at, line, job, job, started[1], started[3])
    is_refused = message.startswith("user ") and any(part in message for part in dialects.NOT_TAKEN)
    if is_refused or any(part in message for part in NOT_RUN):
        return CronEvent(CronEventKind.IGNORED, at, line, pid, text=message)
    return CronEvent(CronEventKind.OTHER, at, line, pid) if BODY.fullmatch(message) else None


def _of_child(at: datetime, line: str, pid: int, message: str) -> CronEvent | None:
    body = BODY.fullmatch(message)
    if body is None:
        return None
    user, kind, text = body[1], body[2], body[3]
    if kind in ("CMD", "END", "CMDEND"):
        named = JOB_PID.fullmatch(text)
        job_pid, text = (int(named[1]), named[2]) if named else (None, text)
        return CronEvent(CronEventKind.CMD if kind == "CMD" else CronEventKind.END, at, line, pid, job_pid, user, text)
    if kind == "CMDOUT":
        return CronEvent(CronEventKind.OUT, at, line, pid, user=user, text=text)
    if kind == "error" and (grandchild := GRANDCHILD.fullmatch(text)):
        return CronEvent(CronEventKind.ERROR, at, line, pid, int(grandchild[1]), text=grandchild[2])
    return CronEvent(CronEventKind.OTHER, at, line, pid)


def stamp(line: str, now: datetime, zone: tzinfo) -> tuple[datetime, str] | None:
    """The time of a line, and its text after time and host; None without a readable time."""
    match = RFC_3339.fullmatch(line)
    try:
        if match:
            return datetime.fromisoformat(match[1]).astimezone(UTC), match[3]
        match = CLASSIC.fullmatch(line)
        if match is None or match[1] not in MONTHS:
            return None
        month, day = MONTHS.index(match[1]) + 1, int(match[2])
        local_now = now.astimezone(zone)
        clock = [int(part) for part in match.group(3, 4, 5)]
        at = datetime(local_now.year, month, day, clock[0], clock[1], clock[2], tzinfo=zone)
        if at > local_now + MORE_THAN_A_DAY:  # a December line read in January
            at = at.replace(year=at.year - 1)
        return at.astimezone(UTC), match[7]
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class JournalEvents:
    """Cron's entries in one batch of the journal."""

    events: tuple[CronEvent, ...]
    cursor: str
    """Of its last entry; "" without one."""
    is_whole: bool
    """False: there is more after it."""
    failed: bool
    """True where journalctl failed."""
    denied: bool
    """True where it hides entries from the login."""
    warnings: tuple[str, ...]

    def cursor_after(self, cursor: str) -> str:
        """The next cursor after `cursor`; "" where journalctl no longer knows it."""
        return self.cursor or ("" if self.failed else cursor)


def journal_events(parts: Iterable[ScriptSection]) -> JournalEvents | None:
    """The journal of an answer; None where it was not read."""
    by_kind = {part.kind: part for part in parts}
    if "JOURNAL" not in by_kind:
        return None
    is_whole = "JEND" in by_kind
    batch = script_output.read_journal(by_kind["JOURNAL"].body, is_whole, _journal_event)
    denied = next((item for item in batch.messages if script_output.is_journal_denied(item)), "")
    failed = is_whole and by_kind["JEND"].rest not in ("0", "") and not batch.cursor
    warnings = [f"journalctl: {item[:SAMPLE]}" for item in batch.messages] if not denied else []
    warnings += [f"the journal: denied: {denied[:SAMPLE]} {MAY_READ}"] if denied else []
    warnings += [f"{item.where}: {item.reason}: {item.sample}" for item in batch.skipped]
    return JournalEvents(batch.entries, batch.cursor, is_whole, failed or bool(denied), bool(denied), tuple(warnings))


def _journal_event(at: datetime, entry: JournalEntry) -> CronEvent | None:
    program = script_output.journal_text(entry.get("SYSLOG_IDENTIFIER"))
    number = script_output.journal_text(entry.get("SYSLOG_PID")) or script_output.journal_text(entry.get("_PID"))
    pid = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
    message = script_output.journal_text(entry.get("MESSAGE"))
    return event_of(at, f"{at.isoformat()} {program}[{pid}]: {message}", program, pid, message)


RUN_ID = re.compile(r"\d{1,12}\.\d{1,10}")
NUMBER = re.compile(r"\d{1,12}")
MAX_TEXT_BYTES = 1500  # headway-sh writes that much of a command, with blanks for tabs and newlines
LATEST = 253402300799  # 9999-12-31


@dataclass(frozen=True, slots=True)
class WrapperStart:
    """`H2 S`: a job started under the wrapper."""

    run_id: str
    at: datetime
    pid: int
    parent: int
    user: str
    """Owner of the file of records."""
    boot: str
    birth: str
    """Start time of the process in ticks since boot; with the pid it identifies a process uniquely."""
    action: str | None
    job: str
    text: str


@dataclass(frozen=True, slots=True)
class WrapperEnd:
    """`H2 E`: it ended."""

    run_id: str
    at: datetime
    exit_code: int


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """`H2 C`: we sent SIGTERM to the session of that process (cancel.sh)."""

    at: datetime
    pid: int
    birth: str
    user: str
    """Owner of the file of records."""
    action: str


def read_record(line: str, owner: str) -> WrapperStart | WrapperEnd | CancelRecord | None:
    """The record of one line without its newline; None for a torn or foreign line."""
    fields = line.split("\t")
    version, kind = (*fields, "", "")[:2]
    if version != "H2":
        return None
    if kind == "S" and len(fields) >= 12:
        run_id, epoch, pid, parent, _, boot, birth, key, job = fields[2:11]
        at = _instant(epoch)
        if RUN_ID.fullmatch(run_id) and at is not None and NUMBER.fullmatch(pid) and NUMBER.fullmatch(parent):
            action, text = key if ACTION_KEY.fullmatch(key) else None, "\t".join(fields[11:])
            return WrapperStart(run_id, at, int(pid), int(parent), owner, boot, birth, action, job, text)
    elif kind == "E" and len(fields) == 5:
        run_id, epoch, status = fields[2:]
        at = _instant(epoch)
        if RUN_ID.fullmatch(run_id) and at is not None and NUMBER.fullmatch(status):
            return WrapperEnd(run_id, at, int(status))
    elif kind == "C" and len(fields) == 7:
        epoch, pid, birth, _, key = fields[2:]
        at = _instant(epoch)
        if at is not None and NUMBER.fullmatch(pid) and ACTION_KEY.fullmatch(key):
            return CancelRecord(at, int(pid), birth, owner, key)
    return None


def as_recorded(command: str) -> str:
    return command.replace("\t", " ").replace("\n", " ")


def _instant(epoch: str) -> datetime | None:
    if not NUMBER.fullmatch(epoch) or int(epoch) > LATEST:
        return None
    return datetime.fromtimestamp(int(epoch), UTC)
