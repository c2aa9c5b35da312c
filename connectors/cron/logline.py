"""Lines of cron's log -> events. Pure; a line that is none of cron's is None, never an error.

Measured on cron 3.0pl1-162: with -L 1, 5 and 7 the CMD line is written by the job's own process, so `CRON[n]` is the
job's pid; with 8 added (-L 15) cron's child writes `CRON[child]: (user) CMD ([job] command)`. Error and END lines are
always the child's; an error names the job as `grandchild #job` and comes before END. A grandchild that is not the job
is the helper that feeds the lines after `%`.

cronie (its do_command.c; not run here): CMD by the job's own process; by the child CMDOUT (with -s) and, in newer ones,
CMDEND. No line tells an exit status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from connectors.cron import anacron, busybox

RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (\S+) (.*)", re.DOTALL)
CLASSIC = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) (.*)", re.DOTALL)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TAG = re.compile(
    r"(?:[a-z0-9]+\.[a-z]+ )?(?:/\S*/)?(CRON|CROND|cron|crond|crontab|anacron)\[(\d{1,10})\]: (.*)", re.DOTALL
)
BODY = re.compile(r"\((.*?)\) ([A-Za-z][A-Za-z ]*?) \((.*)\)", re.DOTALL)
JOB_PID = re.compile(r"\[(\d{1,10})\] (.*)", re.DOTALL)
GRANDCHILD = re.compile(r"grandchild #(\d{1,10}) (.*)", re.DOTALL)
FAILED = re.compile(r"failed with exit status (\d{1,10})")
KILLED = re.compile(r"terminated by signal (\d{1,3})")
NOT_RUN = ("will be ignored", "INSECURE MODE", "WRONG FILE OWNER", "bad username", "ORPHAN")
MORE_THAN_A_DAY = timedelta(days=1)


class Word(StrEnum):
    CMD = "CMD"
    END = "END"
    OUT = "CMDOUT"
    ERROR = "error"
    JOB_STARTED = "Job started"
    JOB_ENDED = "Job terminated"
    IGNORED = "ignored"
    CHANGED = "changed"
    STARTED = "started"


@dataclass(frozen=True, slots=True)
class Event:
    """One line that says something about cron's work."""

    word: Word
    at: datetime
    """Aware, UTC."""
    line: str
    pid: int = 0
    """Of the process that wrote it."""
    job_pid: int | None = None
    """The job's own pid, where the line names it."""
    user: str = ""
    text: str = ""
    """CMD, END: the command as logged. error: what happened to the grandchild. Of anacron: what stands for the job."""
    rest: str = ""
    """What anacron said behind it: " (exit status: 4)"."""

    @property
    def exit_code(self) -> int | None:
        """Of an error line: the exit status, 128 + n for signal n; None for a word that we do not know."""
        if self.word is Word.JOB_ENDED:
            return anacron.exit_code(self.rest)
        if found := FAILED.match(self.text):
            return int(found[1])
        found = KILLED.match(self.text)
        return 128 + int(found[1]) if found else None


def read_line(line: str, now: datetime, zone: tzinfo) -> Event | None:
    """The event of one line without its newline; None for lines that are not cron's. `now` gives classic stamps
    their year, `zone` their offset."""
    stamped = stamp(line, now, zone)
    return None if stamped is None else read_stamped(line, *stamped)


def read_stamped(line: str, at: datetime, rest: str) -> Event | None:
    """The same of a line whose stamp says `at`, with `rest` behind it."""
    tag = TAG.fullmatch(rest)
    return None if tag is None else event_of(at, line, tag[1], int(tag[2]), tag[3])


def event_of(at: datetime, line: str, program: str, pid: int, words: str) -> Event | None:
    """The same of what `program` said, as process `pid`, at `at`."""
    if program in ("CRON", "CROND"):
        return _of_child(at, line, pid, words)
    if program == "anacron":
        found = anacron.LINE.fullmatch(words)
        if found is None:
            return None
        word = Word.JOB_STARTED if found[2] == "started" else Word.JOB_ENDED
        return Event(word, at, line, pid, user=anacron.USER, text=anacron.text_of(found[1]), rest=found[3])
    if started := busybox.STARTED.fullmatch(words):
        job = int(started[2])  # its child is the job itself
        return Event(Word.CMD, at, line, job, job, started[1], started[3])
    if words.startswith("user ") and any(word in words for word in busybox.NOT_TAKEN):
        return Event(Word.IGNORED, at, line, pid, text=words)
    if any(word in words for word in NOT_RUN):
        return Event(Word.IGNORED, at, line, pid, text=words)
    body = BODY.fullmatch(words)
    if body is None:
        return None
    if body[2] in ("RELOAD", "REPLACE", "DELETE"):
        return Event(Word.CHANGED, at, line, pid, user=body[1], text=words)
    return Event(Word.STARTED, at, line, pid, text=words) if "@reboot jobs" in body[3] else None


def _of_child(at: datetime, line: str, pid: int, words: str) -> Event | None:
    body = BODY.fullmatch(words)
    if body is None:
        return None
    user, word, text = body[1], body[2], body[3]
    if word in ("CMD", "END", "CMDEND"):
        named = JOB_PID.fullmatch(text)
        job_pid, text = (int(named[1]), named[2]) if named else (None, text)
        return Event(Word.CMD if word == "CMD" else Word.END, at, line, pid, job_pid, user, text)
    if word == "CMDOUT":
        return Event(Word.OUT, at, line, pid, user=user, text=text)
    if word == "error" and (grandchild := GRANDCHILD.fullmatch(text)):
        return Event(Word.ERROR, at, line, pid, int(grandchild[1]), text=grandchild[2])
    return None


def stamp(line: str, now: datetime, zone: tzinfo) -> tuple[datetime, str] | None:
    """When a line was written, and what stands behind its time and host; None where it has no time that can be read."""
    found = RFC_3339.fullmatch(line)
    try:
        if found:
            return datetime.fromisoformat(found[1]).astimezone(UTC), found[3]
        found = CLASSIC.fullmatch(line)
        if found is None or found[1] not in MONTHS:
            return None
        month, day = MONTHS.index(found[1]) + 1, int(found[2])
        local_now = now.astimezone(zone)
        clock = [int(part) for part in found.group(3, 4, 5)]
        at = datetime(local_now.year, month, day, clock[0], clock[1], clock[2], tzinfo=zone)
        if at > local_now + MORE_THAN_A_DAY:  # a December line read in January
            at = at.replace(year=at.year - 1)
        return at.astimezone(UTC), found[7]
    except (ValueError, OverflowError):
        return None
