"""Syntax of the cron daemons: Debian's time fields, busybox's deviations, anacron's table and log lines. Pure.

Time fields: crontab(5), and entry.c of cron 3.0pl1: a range is `*`, a number or number-number; a step follows only `*`
or a range; names stand for months and week days; a day field that begins with `*` never widens the other one.

busybox (measured on 1.35): users' crontabs only, each owned by root; a line ends at a `#`; a `%` is a plain character;
of the variables only SHELL counts (and MAILTO); a field that it cannot read is reported once, as "parse error", and
counts as `*`, 7 as a day of the week too; a line that still runs is not started again. Its log has the start of a job,
with the job's own pid, and nothing of its end.

anacron (anacrontab(5); measured on 2.3 of Debian 12): a job runs once in its period, some minutes after anacron was
started, so it has no expected minute. Its log has start, end and exit status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from connectors.sdk.records import JobRecord, Schedule
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.script_output import bytes_of

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAY_NAMES = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"
MAX_DELAY = timedelta(hours=3)  # how late a start may be logged: load, clock steps, the hour of a DST change


class TimeFieldError(ValueError):
    """cron refuses this line; the text is cron's own: "bad minute"."""


@dataclass(frozen=True, slots=True)
class TimeField:
    message: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    TimeField("bad minute", 0, 59),
    TimeField("bad hour", 0, 23),
    TimeField("bad day-of-month", 1, 31),
    TimeField("bad month", 1, 12, MONTHS),
    TimeField("bad day-of-week", 0, 7, DAYS),
)


@dataclass(frozen=True, slots=True)
class TimeFields:
    """When a line is due: one set of numbers per field; 7 is Sunday as 0 is."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """True when both day fields are given: one of them is then enough."""

    def due(self, local: datetime) -> bool:
        if local.minute not in self.minutes or local.hour not in self.hours or local.month not in self.months:
            return False
        by_day, by_weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return (by_day or by_weekday) if self.either_day else (by_day and by_weekday)

    def minutes_since_due(self, local: datetime) -> int | None:
        """Minutes from the latest due minute to `local`; None where it is more than MAX_DELAY ago."""
        minutes = range(int(MAX_DELAY.total_seconds()) // 60)
        return next((back for back in minutes if self.due(local - timedelta(minutes=back))), None)


def read_times(expression: str) -> TimeFields | None:
    """The times of five fields or a nickname; None for @reboot. Raises TimeFieldError."""
    if expression == REBOOT:
        return None
    parts = NICKNAMES.get(expression, expression).split()
    if len(parts) != len(FIELDS):
        raise TimeFieldError("bad time specifier")
    sets = [numbers(part, field) for part, field in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return TimeFields(sets[0], sets[1], sets[2], sets[3], weekdays, either)


def numbers(text: str, field: TimeField) -> frozenset[int]:
    """The numbers of one field. Raises TimeFieldError."""
    result: set[int] = set()
    for item in text.split(","):
        body, slash, step = item.partition("/")
        first_text, dash, last_text = body.partition("-")
        if body == "*":
            first, last = field.low, field.high
        else:
            first = _number(first_text, field)
            last = _number(last_text, field) if dash else first
        is_step = (body == "*" or dash) and step.isascii() and step.isdigit() and int(step) > 0
        if last < first or (slash and not is_step):
            raise TimeFieldError(field.message)
        result.update(range(first, last + 1, int(step[:9]) if slash else 1))
    return frozenset(result)


def _number(text: str, field: TimeField) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4:
        value = int(text)
    elif text.lower() in field.names:
        value = field.names.index(text.lower()) + (1 if field.names is MONTHS else 0)
    else:
        raise TimeFieldError(field.message)
    if not field.low <= value <= field.high:
        raise TimeFieldError(field.message)
    return value


def schedule_text(expression: str) -> str:
    """The schedule for people: "daily at 03:10", "every 15 minutes"; the expression itself for a complex one."""
    if expression == REBOOT:
        return "when cron starts"
    plain = NICKNAMES.get(expression, expression)
    minute, hour, day, month, weekday = plain.split()
    at = _clock(minute, hour)
    if at is None:
        return plain
    every_day = day.startswith("*") and weekday.startswith("*")
    if every_day and (day, month, weekday) == ("*", "*", "*"):
        return f"daily {at}" if at.startswith("at ") else at
    on = _days(day, month, weekday)
    return plain if on is None else f"{on} {at}"


def _clock(minute: str, hour: str) -> str | None:
    if hour == "*" and minute in ("*", "*/1"):
        return "every minute"
    if hour == "*" and minute.startswith("*/") and minute[2:].isdigit():
        return f"every {minute[2:]} minutes"
    if hour == "*":
        return f"hourly at :{int(minute):02d}" if minute.isdigit() else None
    if hour.startswith("*/") and hour[2:].isdigit() and minute.isdigit():
        return f"every {hour[2:]} hours at :{int(minute):02d}"
    hours, minutes = hour.split(","), minute.split(",")
    if not all(part.isdigit() for part in (*hours, *minutes)) or len(hours) * len(minutes) > 4:
        return None
    return "at " + ", ".join(f"{int(h):02d}:{int(m):02d}" for h in hours for m in minutes)


def _days(day: str, month: str, weekday: str) -> str | None:
    if month != "*" or (day != "*" and weekday != "*"):
        return None
    if day != "*":
        return f"on day {day} of the month" if day.isdigit() else None
    first, dash, last = weekday.lower().partition("-")
    if dash and _day_name(first) and _day_name(last):
        return f"{_day_name(first)}–{_day_name(last)}"
    names = [_day_name(part) for part in weekday.lower().split(",")]
    return ", ".join(name for name in names if name) if all(names) else None


def _day_name(text: str) -> str | None:
    if text.isdigit() and int(text) <= 7:
        return DAY_NAMES[int(text) % 7]
    return DAY_NAMES[DAYS.index(text)] if text in DAYS else None


STARTED = re.compile(r"USER (\S+) pid +(\d{1,10}) cmd (.*)", re.DOTALL)
NOT_TAKEN = ("process already running: ", "parse error at ")
OWN_FILE = re.compile(r"-[bfS]*L[\0/]")
"""Of the daemon's command line: it writes a log of its own. A shell that drops NUL bytes joins its options."""
USED_SETTINGS = ("SHELL", "HEADWAY_SHELL")
CRASHES = "CRON_TZ"
NO_TIME = (
    "crond writes to a file of its own (-L), whose lines have no time: no start is proved. "
    "Start it without -L (it then writes to syslog, as with -S)"
)
AS_STAR = "crond of busybox reads it as *"
LEFT_OUT = "crond of busybox leaves this line out"
MAY_CRASH = "crond of busybox 1.35 crashes on it"


def busybox_reading(expression: str) -> tuple[str, tuple[str, ...]]:
    """The expression in Debian's syntax, and the fields that busybox cannot read. Raises TimeFieldError."""
    if expression in (REBOOT, *NICKNAMES):
        return expression, ()
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise TimeFieldError("bad time specifier")
    wrong = tuple(part for part, field in zip(parts, FIELDS, strict=True) if not _is_read(part, field))
    taken = ["*" if part in wrong else part for part in parts]
    if not {"*"} & {taken[2], taken[4]}:  # both given: either is enough, also where one begins with *
        taken[2] = re.sub(r"\*", "1-31", taken[2])
        taken[4] = re.sub(r"\*", "0-6", taken[4])
    return " ".join(taken), wrong


def _is_read(part: str, field: TimeField) -> bool:
    bound = replace(field, high=6) if field.high == 7 else field
    try:
        numbers(part, bound)
    except TimeFieldError:
        return False
    return True


def writes_a_file(arguments: str) -> bool:
    return OWN_FILE.search(arguments) is not None


TABLE = "/anacrontab"
"""How the path of its table ends."""
USER = "root"
ID = ":anacron/"
"""In the native id of its jobs."""
JOB = re.compile(r"(\d{1,5}|@[a-z]+)[ \t]+(\d{1,6})[ \t]+([^ \t/]+)[ \t]+(.*)", re.DOTALL)
SETTING = re.compile(r"[ \t]*[A-Za-z_][A-Za-z0-9_]*[ \t]*=.*", re.DOTALL)
NAMED = {"@daily": "every day", "@weekly": "every week", "@monthly": "every month", "@yearly": "every year"}
LINE = re.compile(r"Job `(\S+)' (started|terminated)(.*)", re.DOTALL)
STATUS = re.compile(r" \(exit status: (\d{1,3})\)")
SIGNAL = re.compile(r" due to signal (\d{1,3})")
SKIPS = "anacron leaves this line out"
NO_HOLD = (
    "a job of anacron's cannot be held: anacron catches up what it left out. To leave out the turn that is due, as root"
    " on its host: anacron -u"
)
PATTERN = re.compile(r"[*?\[\]\\]|^-")
"""In a name: anacron takes the names that it is given for patterns, or for an option."""


@dataclass(frozen=True, slots=True)
class AnacronJob:
    path: str
    name: str
    period: str
    delay: int
    """Minutes after anacron's start."""
    command: str
    text: str
    """Name and command as written, on one line: by these the host finds it again."""

    @property
    def hash(self) -> str:
        """Of user, file and text, as of a crontab's line."""
        return sha256(bytes_of(f"{USER}\n{self.path}\n{self.text}")).hexdigest()

    @property
    def schedule_text(self) -> str:
        days = NAMED.get(self.period) or ("every day" if self.period == "1" else f"every {self.period} days")
        return f"{days} by anacron, {self.delay} min after it starts"

    def record(self, host: str, zone: str) -> JobRecord:
        """As a job without a clock: none of its runs is ever missed."""
        return JobRecord(
            native_id=anacron_id(host, self.name),
            title=self.name,
            schedule=Schedule("none", "", zone, self.schedule_text),
            definition=self.command,
            definition_hash=sha256(bytes_of(f"{self.period}\n{self.name}\n{self.command}")).hexdigest(),
            match_keys=(f"{self.path}|{self.name}",),
            proof=ProofLevel.EXIT,
            run_as=USER,
        )


def anacron_id(host: str, name: str) -> str:
    """`host:anacron/name`: no name of its has a slash."""
    return f"{host}{ID}{name}"


def anacron_text(name: str) -> str:
    """In place of the command of that job, where starts are joined to jobs."""
    return f"anacron/{name}"


def anacron_jobs(path: str, text: str) -> Iterator[AnacronJob | tuple[int, str]]:
    """The jobs of its table, and each line that it leaves out, with its number. A `\\` at its end continues a line."""
    number, pending = 0, ""
    for number, part in enumerate(text.split("\n"), 1):
        line = pending + part
        if line.endswith("\\"):
            pending = line[:-1]
            continue
        pending = ""
        bare = line.strip(" \t")
        if not bare or bare.startswith("#") or SETTING.fullmatch(bare):
            continue
        match = JOB.fullmatch(bare)
        if match is None or (match[1].startswith("@") and match[1] not in NAMED) or match[1] == "0":
            yield number, bare
        else:
            yield AnacronJob(path, match[3], match[1], int(match[2]), match[4], bare[match.start(3) :])


def anacron_exit_code(rest: str) -> int | None:
    """Of the text after "terminated": the exit status, 128 + n for signal n; None for an unknown text."""
    if match := STATUS.match(rest):
        return int(match[1])
    if match := SIGNAL.match(rest):
        return 128 + int(match[1])
    return 0 if rest in ("", " (mailing output)") else None
