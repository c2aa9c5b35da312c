"""Lines of cron's log, and entries of the journal, as events. Pure.

Measured on cron 3.0pl1-162: with -L 1, 5 and 7 the CMD line is written by the job's own process, so `CRON[n]` is the
job's pid; with 8 added (-L 15) cron's child writes `CRON[child]: (user) CMD ([job] command)`. Error and END lines are
always the child's; an error names the job as `grandchild #job` and comes before END. A grandchild that is not the job
is the helper that feeds the lines after `%`. cronie (its do_command.c; not run here): CMD by the job's own process; by
the child CMDOUT (with -s) and, in newer ones, CMDEND. No line has an exit status. A line of another program gives None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from connectors.cron import anacron, busybox
from connectors.cron.crontab import is_user_table
from connectors.sdk.fields import local_instant, mask_known, masked_head
from connectors.sdk.records import SkippedRecord
from connectors.sdk.transport import script_output
from connectors.sdk.transport.script_output import MAY_READ, SAMPLE, JournalEntry, ScriptSection
from console.text.redact import sanitize

PRIORITY = re.compile(r"(?:<\d{1,3}>(?:1 )?)?")
"""RFC 3164 and, with a version, RFC 5424."""
CLOCK = r"(\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?"
ISO = re.compile(rf"(\d{{4}}-\d\d-\d\d)[T ]{CLOCK}(Z|[+-]\d\d:?\d\d)? (\S+) (.*)", re.DOTALL)
DAY = r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (?:(\d{4}) )?"
CLASSIC = re.compile(rf"{DAY}{CLOCK} (\S+) (.*)", re.DOTALL)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TAG = re.compile(
    r"(?:[a-z0-9]+\.[a-z]+ )?(?:/\S*/)?(CRON|CROND|cron|crond|crontab|anacron)"
    r"(?:\[(\d{1,10})\]: ?| (\d{1,10}) \S+ (?:-|(?:\[[^\]]*\])+) *\ufeff? *)(.*)",
    re.DOTALL,
)
"""Program and pid, as `CRON[12]: ` or, in RFC 5424, `CRON 12 - - `."""
BODY = re.compile(r"(?=.*\)\Z)\((.*?)\) ([A-Za-z][A-Za-z ]*?) \((.*)\)", re.DOTALL)
CUT_BODY = re.compile(r"\((.*?)\) (CMD|END|CMDEND) \((.*)", re.DOTALL)
"""A message that syslog cut: its last parenthesis is missing."""
OF_CRON = re.compile(r"cron|\bCMD\b|\0", re.IGNORECASE)
"""Found in each line of cron, whatever its form; a crash that destroyed a log leaves NUL."""
OF_START = re.compile(r"\) CMD \(|USER \S+ pid +\d+ |Job `\S+' started|started for user ", re.IGNORECASE)
"""In a start of any cron: Debian's and cronie, busybox and dcron, anacron, fcron."""
OF_LOSS = re.compile(
    r"(?:[a-z0-9]+\.[a-z]+ )?(?:rsyslogd\S*: imjournal: .*?(?:messages lost|begin to drop messages)"
    r"|systemd-journald?\S*: (?:Suppressed \d+ messages from (?:\S*/)?crond?\.service"
    r"|Forwarding to syslog missed \d+ messages))",
    re.DOTALL,
)
"""A report in a log file that lines are lost which may be cron's. Limits by process or sender do not concern cron."""
DROPS_BEGIN = "begin to drop messages"
REPEATED = re.compile(r"last message repeated \d+ times")
JOB_PID = re.compile(r"\[(\d{1,10})\] (.*)", re.DOTALL)
GRANDCHILD = re.compile(r"grandchild #(\d{1,10}) (.*)", re.DOTALL)
FAILED = re.compile(r"failed with exit status (\d{1,10})")
KILLED = re.compile(r"terminated by signal (\d{1,3})")
DROPPED = re.compile(
    r"\((\S+)\) (?:INSECURE MODE|BAD FILE MODE|WRONG FILE OWNER|WRONG SYMLINK OWNER|WRONG INODE INFO"
    r"|NUMBER OF HARD LINKS|NOT (?:A )?REGULAR|CAN'T OPEN|ORPHAN|ERROR .*will be ignored)\b.*?(?:\((/?[^\s()]+)\))?",
    re.DOTALL,
)
"""The daemon drops a crontab until it reads it again: its name for the crontab, and the path where it writes one."""
RELOADED = re.compile(r"\((\S+)\) (?:RELOAD|REPLACE|STARTUP|INFO \(pidfile) ?.*", re.DOTALL)
"""It reads a crontab, or as CRON all of them, again: one that it still drops is named again."""
DAEMON = "CRON"
SYSTEM = "*system*"
"""Debian's name of /etc/crontab, and before the name of a file in /etc/cron.d."""
MORE_THAN_A_DAY = timedelta(days=1)


class CronEventKind(StrEnum):
    CMD = "CMD"
    END = "END"
    OUT = "CMDOUT"
    ERROR = "error"
    JOB_STARTED = "Job started"
    JOB_ENDED = "Job terminated"
    IGNORED = "ignored"
    RELOADED = "reloaded"
    LOST = "lost"
    """Lines of the log are lost."""
    OTHER = "other"
    """BEGIN EDIT, INFO (Running @reboot jobs), …: it proves that the log is written."""


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
    def evidence(self) -> str:
        """The line without the job's command and without secrets: cursor and reference keep it."""
        if self.kind not in (CronEventKind.CMD, CronEventKind.END) or not self.text:
            return sanitize(self.line, mask_known)
        before, _, after = self.line.rpartition(self.text)
        return f"{before}…{after}"

    @property
    def exit_code(self) -> int | None:
        """The exit status of an error line, 128 + n for signal n; None for an unknown message."""
        if self.kind is CronEventKind.JOB_ENDED:
            return anacron.anacron_exit_code(self.rest)
        if match := FAILED.match(self.text):
            return int(match[1])
        match = KILLED.match(self.text)
        return 128 + int(match[1]) if match else None


def read_stamped(line: str, at: datetime, rest: str) -> CronEvent | None:
    """The event of a line by its time and what follows its host; None for one of another program."""
    tag = TAG.fullmatch(rest)
    if tag is None:
        return CronEvent(CronEventKind.LOST, at, line) if "journal" in rest and OF_LOSS.match(rest) else None
    return event_of(at, line, tag[1], int(tag[2] or tag[3]), tag[4])


def dropped_crontab(message: str, paths: Iterable[str]) -> str:
    """The one of these crontabs that the daemon drops by its message; "" where it names another."""
    match = DROPPED.fullmatch(message)
    return "" if match is None else named_crontab(match[1], paths, match[2] or "")


def named_crontab(name: str, paths: Iterable[str], path: str = "") -> str:
    """The one of these crontabs that the daemon calls so; "" for none. `path`: as the daemon writes it, which may
    begin below its folder."""
    file = name.removeprefix(SYSTEM)
    is_users = not path and file == name
    below = "/".join(path.split("/")[-2:]) or (file if is_users else f"cron.d/{file}" if file else "crontab")
    end = f"/{below}"
    return next((item for item in paths if item.endswith(end) and (not is_users or is_user_table(item))), "")


def may_be_start(line: str, is_stamped: bool) -> bool:
    """Whether a line of cron that gave no event may be a start all the same."""
    return OF_START.search(line) is not None or (not is_stamped and "\0" in line)


def event_of(at: datetime, line: str, program: str, pid: int, message: str) -> CronEvent | None:
    child = _of_child(at, line, pid, message)
    if program in ("CRON", "CROND") or (child is not None and child.kind is not CronEventKind.OTHER):
        return child
    if program == "anacron":
        match = anacron.LINE.fullmatch(message)
        if match is None:
            return None
        kind = CronEventKind.JOB_STARTED if match[2] == "started" else CronEventKind.JOB_ENDED
        return CronEvent(kind, at, line, pid, user=anacron.USER, text=anacron.anacron_text(match[1]), rest=match[3])
    if started := busybox.STARTED.fullmatch(message):
        job = int(started[2])  # its child is the job itself
        return CronEvent(CronEventKind.CMD, at, line, job, job, started[1], started[3])
    is_refused = message.startswith("user ") and any(part in message for part in busybox.NOT_TAKEN)
    if is_refused or "bad username" in message or DROPPED.fullmatch(message):
        return CronEvent(CronEventKind.IGNORED, at, line, pid, text=message)
    if reloaded := RELOADED.fullmatch(message):
        return CronEvent(CronEventKind.RELOADED, at, line, pid, user=reloaded[1])
    return child


def _of_child(at: datetime, line: str, pid: int, message: str) -> CronEvent | None:
    body = BODY.fullmatch(message) or CUT_BODY.fullmatch(message)
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


def stamp(line: str, now: datetime, zone: tzinfo, after: datetime | None = None) -> tuple[datetime, str] | None:
    """The time of a line, and its text after time and host; None without a readable time. `after`: the earliest time
    that it can have, by the line before it; it separates readings that come twice, as the clocks go back."""
    line = line[PRIORITY.match(line).end() :]  # type: ignore[union-attr]  # it matches everywhere
    try:
        if match := ISO.fullmatch(line):
            local = datetime.fromisoformat(f"{match[1]}T{match[2]}{_fraction(match[3])}")
            if match[4]:
                offset = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[4]}").tzinfo
                return local.replace(tzinfo=offset).astimezone(UTC), match[6]
            return local_instant(local, zone, after, now), match[6]
        match = CLASSIC.fullmatch(line)
        if match is None or match[1] not in MONTHS:
            return None
        local_now = now.astimezone(zone).replace(tzinfo=None)
        year, month = int(match[3] or local_now.year), MONTHS.index(match[1]) + 1
        local = datetime.fromisoformat(f"{year:04}-{month:02}-{int(match[2]):02}T{match[4]}{_fraction(match[5])}")
        if not match[3] and local > local_now + MORE_THAN_A_DAY:  # a December line read in January
            local = local.replace(year=year - 1)
        return local_instant(local, zone, after, now), match[7]
    except (ValueError, OverflowError):
        return None


def _fraction(digits: str | None) -> str:
    return f".{digits:0<6.6}" if digits else ""


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
    skipped: tuple[SkippedRecord, ...]
    """Entries that cannot be read, starts of an unknown form among them."""

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
    warnings = [f"journalctl: {masked_head(item, SAMPLE)}" for item in batch.messages] if not denied else []
    warnings += [f"the journal: denied: {masked_head(denied, SAMPLE)} {MAY_READ}"] if denied else []
    failed |= bool(denied)
    return JournalEvents(
        batch.entries, batch.cursor, is_whole, failed, bool(denied), tuple(warnings), tuple(batch.skipped)
    )


def _journal_event(at: datetime, entry: JournalEntry) -> CronEvent | None:
    program = script_output.journal_text(entry.get("SYSLOG_IDENTIFIER"))
    number = script_output.journal_text(entry.get("SYSLOG_PID")) or script_output.journal_text(entry.get("_PID"))
    pid = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
    message = script_output.journal_text(entry.get("MESSAGE"))
    line = f"{at.isoformat()} {program}[{pid}]: {message}"
    event = event_of(at, line, program, pid, message)
    if event is None and may_be_start(line, is_stamped=True):
        raise ValueError("a start of an unknown form")
    return event
