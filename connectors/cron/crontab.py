"""Crontabs parsed: the lines that cron will run, and the faults that make it ignore a line or a whole file. Pure.

Debian: crontab(5), cron(8), entry.c and database.c of cron 3.0pl1, tried on cron 3.0pl1-162: one bad line, a missing
last newline, a user who does not exist, a file that others may write or a dot in its name under /etc/cron.d switches
the whole file off, some of it without a line in the log.

cronie: its crontab(5), and entry.c, user.c and database.c of 1.7; not measured, since it cannot run beside Debian's
cron: a line that it cannot read is left out alone; `-` before a line of the system's tables or of root's keeps its
start and its end out of the log; `a~b` in a field is a random number of that range, chosen at each read of the table;
every start moves by up to RANDOM_DELAY minutes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256

from connectors.cron import anacron, busybox, expressions
from connectors.cron.anacron import AnacronJob
from connectors.cron.expressions import (
    FIELDS,
    REBOOT,
    TimeField,
    TimeFieldError,
    plain_expression,
    read_ranges,
    read_times,
    schedule_text,
    split_fields,
)
from connectors.sdk.contract import HOLD_MARK
from connectors.sdk.cron_syntax import NICKNAMES
from connectors.sdk.fields import masked_head
from connectors.sdk.transport.script_output import bytes_of, text_of
from console.text.redact import NONE_KNOWN, sanitize

WRAPPER = "headway-sh"
FILE_IGNORED = "cron ignores this whole file"


def is_user_table(path: str) -> bool:
    """Whether a path is one of a user's own crontab: /var/spool/cron is cronie's folder of them."""
    folder = path.rpartition("/")[0]
    return folder.endswith("crontabs") or folder == "/var/spool/cron"


class CronDaemon(StrEnum):
    DEBIAN = "debian"
    CRONIE = "cronie"
    BUSYBOX = "busybox"


@dataclass(frozen=True, slots=True)
class CrontabFile:
    """One crontab file. `user` is None for system files, whose lines name the user."""

    path: str
    text: str
    user: str | None = None
    mode: int | None = None
    """Permission bits; None where they are unknown."""
    owner: str | None = None
    """"UNKNOWN" for a user id without a name."""
    daemon: CronDaemon = CronDaemon.DEBIAN
    links: int = 1
    """Hard links to it."""
    is_link: bool = False
    has_user: bool = True
    """False where its user does not exist."""

    @property
    def in_cron_d(self) -> bool:
        return self.user is None and "/cron.d/" in self.path


@dataclass(frozen=True, slots=True)
class CrontabFault:
    """A line that cron does not run (0: the whole file), with cron's message, the value, and the fix."""

    path: str
    line: int
    message: str
    value: str
    fix: str
    outcome: str = FILE_IGNORED

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def reason(self) -> str:
        return f"{self.message}: {self.outcome}. {self.fix}"


@dataclass(frozen=True, slots=True)
class CrontabLine:
    path: str
    user: str
    expression: str
    raw: str
    """The command as written, with `%`; input of the hash of a rerun."""
    name: str
    """From the comment above, else made of the command; unique on the host after `describe_line`."""
    ordinal: int = 1
    """Counts lines of the same user, file and command from 1."""
    settings: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    """Its line in the file, from 1."""
    mark: str = ""
    """The mark of our hold in the line above; this line is then commented out and cron does not run it."""
    daemon: CronDaemon = CronDaemon.DEBIAN
    written: str = ""
    """Its times as written, where cronie picks one at random; `expression` then has all that it may pick."""
    is_logged: bool = True
    """False where cronie does not log it (-)."""
    bare_mark: str = ""
    """The same above a line that cron runs: a person enabled it and left the mark."""

    @property
    def command(self) -> str:
        """The command that runs: up to the first bare `%`, with `\\%` as `%` and `\\\\` as `\\`."""
        is_busybox = self.daemon is CronDaemon.BUSYBOX
        return self.raw.partition("#")[0].rstrip(" \t") if is_busybox else command_of(self.raw)

    @property
    def logged(self) -> str:
        """The command as its daemon writes it into the log; for busybox as rsyslog writes a tab."""
        return self.command.replace("\t", "#011") if self.daemon is CronDaemon.BUSYBOX else as_logged(self.command)

    @property
    def hash(self) -> str:
        """Identifies the line for the scripts on the host, which compute the same from its crontab."""
        return sha256(bytes_of(f"{self.user}\n{self.path}\n{self.raw}")).hexdigest()

    @property
    def is_system(self) -> bool:
        return not is_user_table(self.path)

    @property
    def is_wrapped(self) -> bool:
        return self.wrapper.rpartition("/")[2] == WRAPPER

    @property
    def wrapper(self) -> str:
        """The shell that its crontab sets: the path of our wrapper where `is_wrapped`."""
        return self.settings.get("SHELL", "")


def command_of(raw: str) -> str:
    """The command that cron hands to the shell; measured: `a\\%b\\\\c%in` becomes `a%b\\c`."""
    out: list[str] = []
    characters = iter(raw)
    for character in characters:
        if character == "%":
            break
        if character == "\\":
            following = next(characters, "")
            out.append(following if following in ("%", "\\") else character + following)
        else:
            out.append(character)
    return "".join(out)


def as_logged(command: str) -> str:
    """The command as cron writes it into its log (mkprints of misc.c): `^X` for controls, octal above 127."""
    return "".join(
        "^" + chr(byte ^ 64) if byte < 32 or byte == 127 else chr(byte) if byte < 127 else f"\\{byte:03o}"
        for byte in bytes_of(command)
    )


@dataclass(frozen=True, slots=True)
class CrontabSet:
    """The crontabs of a host: the lines that run, and the faults of those that do not."""

    lines: tuple[CrontabLine, ...]
    """Held ones too."""
    faults: tuple[CrontabFault, ...]
    held_in_ignored: tuple[CrontabLine, ...] = ()
    """Lines that are held in files which cron ignores as a whole."""
    anacron: tuple[AnacronJob, ...] = ()

    @property
    def unread(self) -> dict[str, str]:
        """File -> fault, where the daemon runs more of it than Headway reads."""
        return {fault.path: fault.reason for fault in self.faults if fault.outcome in (NOT_READ, LINE_NOT_READ)}

    @property
    def held(self) -> tuple[CrontabLine, ...]:
        """Every line under a mark of ours."""
        return (*(line for line in self.lines if line.mark), *self.held_in_ignored)

    @property
    def bare(self) -> tuple[CrontabLine, ...]:
        """Every line that cron runs below a mark of ours."""
        return tuple(line for line in self.lines if line.bare_mark)

    def without(self, dropped: Mapping[str, str]) -> CrontabSet:
        """The same without the crontabs that the daemon drops. `dropped`: its message by path."""
        lines = tuple(line for line in self.lines if line.path not in dropped)
        held = tuple(line for line in self.lines if line.path in dropped and line.mark)
        faults = (CrontabFault(path, 0, text, "", "Repair it and save it again.") for path, text in dropped.items())
        held = (*self.held_in_ignored, *held)
        return replace(self, lines=lines, faults=(*self.faults, *faults), held_in_ignored=held)

    def of_users(self, users: Collection[str]) -> CrontabSet:
        """The same with the jobs of these users alone."""
        lines, held = (
            tuple(line for line in lines if line.user in users) for lines in (self.lines, self.held_in_ignored)
        )
        jobs = self.anacron if anacron.USER in users else ()
        return CrontabSet(lines, self.faults, held, jobs)


LEFT_OUT = "crond of cronie leaves this line out"
NO_NAME = re.compile(r"[.#].*|.*~|.+\.rpm(?:save|orig|new)", re.DOTALL)
"""Names of files that cronie does not read: not_a_crontab of database.c."""
MAY, MUST = 0o7533, 0o400
"""Permission bits that cronie checks, and their required value: check_open of database.c."""
DELAY = re.compile(r"\s*\+?(\d{1,9})", re.ASCII)
TO_SUNDAY = re.compile(r"(.+)-(?:0+|sun)", re.IGNORECASE)


def cronie_reading(expression: str) -> str:
    """The expression of cronie in Debian's syntax: a random number is its whole range. Raises TimeFieldError."""
    if expression in (REBOOT, *NICKNAMES):
        return expression
    parts = split_fields(expression)

    def read_item(item: str, field: TimeField) -> str:
        first, is_random, last = item.partition("~")
        if is_random and "/" in last:
            raise TimeFieldError(field.message)
        if is_random:
            picked = f"{first or field.low}-{last or field.high}"
            if not read_ranges(picked, field)[0][0].numbers:
                raise TimeFieldError(field.message)
            return picked
        match = TO_SUNDAY.fullmatch(item) if field.high == 7 else None
        return f"{match[1]}-7" if match and match[1].lower() not in ("0", "sun") else item

    fields = zip(parts, FIELDS, strict=True)
    result = " ".join(",".join(read_item(item, field) for item in part.split(",")) for part, field in fields)
    for part, time_field in zip(result.split(" "), FIELDS, strict=True):
        if read_ranges(part, time_field)[1]:
            raise TimeFieldError(time_field.message)
    return result


def at_no_minute(line: CrontabLine) -> str:
    """The schedule for people of a line without an expected minute; "" for other lines."""
    if is_never(line.expression):
        return schedule_text(line.expression)
    if line.daemon is not CronDaemon.CRONIE:
        return ""
    if not line.is_logged and not line.is_wrapped:
        return f"{line.written or schedule_text(line.expression)}, in no log (-)"
    return f"{line.written}, at a random time (~)" if line.written else ""


def random_delay(line: CrontabLine) -> timedelta:
    """How much later than its minute cronie may start the line: its RANDOM_DELAY."""
    match = DELAY.match(line.settings.get("RANDOM_DELAY", "")) if line.daemon is CronDaemon.CRONIE else None
    minutes = int(match[1]) if match else 0
    return timedelta(minutes=minutes if minutes <= 24 * 60 else 0)  # it ignores more (load_entry of entry.c)


def is_never(expression: str) -> bool:
    """Whether its times never come. Raises TimeFieldError."""
    times = read_times(expression)
    return times is not None and times.is_never


CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
SETTING = re.compile(
    r"""(?:"([^"=]*)"|'([^'=]*)'|(?!["'])([^\s=]*))\s*=\s*(?:"([^"]*)"\s*|'([^']*)'\s*|((?![\s"']).+)?)""",
    re.DOTALL | re.ASCII,
)
"""load_env of env.c: after a closing quote nothing may follow but blanks. Debian's cron refuses an empty value."""
BUSYBOX_SETTING = re.compile(r"""("[^"]*"|'[^']*'|[^ \t=]+)[ \t]*=(.*)""", re.DOTALL)
TIMES = re.compile(r"[^ \t@][^ \t]*(?:[ \t]+[^ \t]+){4}")
OPTION = re.compile(r"-n[ \t]+")
"""Before a command of cronie, since 1.7.0: mail only where it fails. Another option makes it leave out the line."""
MAX_SETTING = {CronDaemon.DEBIAN: 998, CronDaemon.CRONIE: 131_070}
"""Bytes of a setting that the daemon reads; it skips the rest of the line."""
MAX_COMMAND = {CronDaemon.DEBIAN: 998, CronDaemon.CRONIE: 131_071}
"""Bytes of a command."""
MAX_LINES = 10_003
"""Debian's cron ignores a file with more (measured); Headway reads no longer file of any daemon."""
MAX_SETTINGS = 1_000
"""crond of cronie ignores a user's table with more (user.c); Headway reads no file with more, of any daemon."""
MAX_BLANK = 32_768
"""Characters of comments and blanks in a row after which crond of cronie ignores a user's table."""
MAX_FILE = 4 * 2**20
"""Characters."""
MAX_TIMES = 1_000
"""Characters of the time fields of a line: 350 name every minute, hour, day, month and weekday."""
NOT_READ = "Headway does not read this file"
LINE_NOT_READ = "Headway does not read this line"
NEVER = "cron never runs this line"
SHELL_GETS_CR = "the shell gets it as part of the command"
OUR_NAME = re.compile(r"#\s*headway:(.*)", re.DOTALL)
MARK_LINE = re.compile(rf"# ({HOLD_MARK.pattern})(?: .*|\r)?")
"""A whole line that is a hold's mark; line.sh reads the same."""
NO_NEWLINE = "missing newline before EOF"
OF_A_LINE = {CronDaemon.DEBIAN: FILE_IGNORED, CronDaemon.CRONIE: LEFT_OUT, CronDaemon.BUSYBOX: busybox.LEFT_OUT}
"""The outcome of a line that the daemon cannot read."""
SLUG_LENGTH = 40
SAMPLE = 200


def read_crontabs(files: Iterable[CrontabFile], users: frozenset[str] | None) -> CrontabSet:
    """The lines of all files, in their order. `users`: those that exist on the host; None: unknown, all are valid."""
    lines: list[CrontabLine] = []
    faults: list[CrontabFault] = []
    held: list[CrontabLine] = []
    jobs: list[AnacronJob] = []
    for table in files:
        if table.path.endswith(anacron.TABLE):
            for job in anacron.anacron_jobs(table.path, table.text):
                if isinstance(job, AnacronJob):
                    jobs.append(job)
                else:
                    number, text = job
                    sample, outcome = masked_head(text, SAMPLE), anacron.SKIPS
                    fix = f'Fix "{masked_head(text, 80)}" or comment it out.'
                    faults.append(CrontabFault(table.path, number, "invalid syntax", sample, fix, outcome))
        elif not _is_unread(table):
            table_lines, table_faults = _read_file(table, users)
            faults += table_faults
            if any(fault.outcome in (FILE_IGNORED, NOT_READ) for fault in table_faults):
                held += [line for line in table_lines if line.mark]
            else:
                lines += table_lines
    return CrontabSet(tuple(describe_line(lines)), tuple(faults), tuple(held), tuple(jobs))


def _is_unread(table: CrontabFile) -> bool:
    """Whether the daemon does not read a file of this name."""
    name = table.path.rpartition("/")[2]
    if table.in_cron_d and name.startswith("."):
        return True  # .placeholder
    if table.user is not None and name.startswith("tmp."):
        return True  # a copy of crontab(1)
    if table.daemon is CronDaemon.BUSYBOX:
        return "." in name  # among them cron.update, which is crontab(1)'s own
    return table.daemon is CronDaemon.CRONIE and table.path != "/etc/crontab" and NO_NAME.fullmatch(name) is not None


def _read_file(table: CrontabFile, users: frozenset[str] | None) -> tuple[list[CrontabLine], list[CrontabFault]]:
    if (too_big := _too_big(table)) is not None:
        return [], [too_big]
    lines: list[CrontabLine] = []
    faults: list[CrontabFault] = []
    settings: dict[str, str] = {}  # replaced, never changed: the lines below share it
    comment = mark = ""
    setting_count = 0
    ends = table.text.count("\n") + 1  # the number of what follows the last newline
    for number, text in enumerate(table.text.split("\n"), 1):
        match = MARK_LINE.fullmatch(text)
        held, mark = mark, match[1] if match else ""
        if mark:
            continue  # the name above it stays the name of the line below it
        if held and (line := _held_job(table, text, comment, settings, users)):
            lines.append(replace(line, number=number, mark=held))
            comment = ""
            continue
        bare = text.lstrip(" \t")
        if not bare or bare.startswith("#"):
            match = OUR_NAME.match(bare)
            comment = masked_head(match[1].strip(), SAMPLE) if match else ("" if bare else comment)
            continue
        try:
            if table.daemon is not CronDaemon.BUSYBOX:
                if number == ends:
                    raise TimeFieldError(NO_NEWLINE)
                bare = _before_nul(bare, table.daemon)
            if setting := read_setting(bare, table.daemon):
                name, value = setting
                setting_count += 1
                if setting_count > MAX_SETTINGS:
                    outcome = FILE_IGNORED if _is_user_of_cronie(table) else NOT_READ
                    message = f"more than {MAX_SETTINGS:,} settings"
                    return [], [CrontabFault(table.path, 0, message, "", "Split it.", outcome)]
                if table.daemon is not CronDaemon.BUSYBOX or name in busybox.USED_SETTINGS:
                    settings = {**settings, name: value}
                elif name == busybox.CRASHES:
                    fix = "Take the line out."
                    sample = masked_head(text, SAMPLE)
                    faults.append(CrontabFault(table.path, number, name, sample, fix, busybox.MAY_CRASH))
            else:
                line = _job(table, bare, comment, settings, users)
                lines.append(replace(line, number=number, bare_mark=held))
                faults += _misread(table, number, bare)
                comment = ""
        except TimeFieldError as error:
            is_cut, sample = str(error) == NO_NEWLINE, masked_head(text, SAMPLE)
            fix = "End it with a newline." if is_cut else f'Fix "{masked_head(text, 80)}" or comment it out.'
            outcome = LINE_NOT_READ if isinstance(error, TimesTooLong) else OF_A_LINE[table.daemon]
            faults.append(CrontabFault(table.path, number, str(error), sample, fix, outcome))
            comment = ""
    with_return = next((line.number for line in lines if line.raw.endswith("\r") and not line.mark), 0)
    if with_return:
        fix = f"sed -i 's/\\r$//' {table.path}" if table.user is None else "Save it with Unix line ends."
        faults.append(CrontabFault(table.path, with_return, "carriage return at its end", "\r", fix, SHELL_GETS_CR))
    return lines, [*_file_faults(table, bool(lines or faults)), *faults]


class TimesTooLong(TimeFieldError):
    """Time fields that cron reads, and Headway does not."""


def _too_big(table: CrontabFile) -> CrontabFault | None:
    """The fault of a file with more than is read; None within the limits."""
    if table.text.count("\n") > MAX_LINES:
        outcome = FILE_IGNORED if table.daemon is CronDaemon.DEBIAN else NOT_READ
        return CrontabFault(table.path, 0, f"more than {MAX_LINES:,} lines", "", "Split it.", outcome)
    if len(table.text) > MAX_FILE:
        return CrontabFault(table.path, 0, f"more than {MAX_FILE // 1024:,} KiB", "", "Split it.", NOT_READ)
    if _is_user_of_cronie(table) and _longest_blank(table.text) > MAX_BLANK:
        message = f"{MAX_BLANK:,} characters of comments and blanks in a row"
        return CrontabFault(table.path, 0, message, "", "Shorten them.")
    return None


def _is_user_of_cronie(table: CrontabFile) -> bool:
    return table.daemon is CronDaemon.CRONIE and table.user is not None


def _longest_blank(text: str) -> int:
    """The greatest number of characters of comments and blanks in a row."""
    longest = length = 0
    for line in text.split("\n"):
        bare = line.lstrip(" \t")
        length = length + len(line) + 1 if not bare or bare.startswith("#") else 0
        longest = max(longest, length)
    return longest


def _before_nul(text: str, daemon: CronDaemon) -> str:
    """A line up to a NUL, which ends it for the daemon, except in the times of a job of Debian's (measured). Raises
    TimeFieldError where more follows."""
    line, _, rest = text.partition("\0")
    times = TIMES.match(text) if rest and daemon is CronDaemon.DEBIAN and read_setting(line, daemon) is None else None
    if times is not None and "\0" in times[0]:
        below, _, rest = text[times.end() :].partition("\0")
        line = times[0] + below
    if rest.strip(" \t") and not rest.lstrip(" \t").startswith("#"):
        raise TimeFieldError("bad minute")
    return line


def read_setting(text: str, daemon: CronDaemon) -> tuple[str, str] | None:
    """Name and value of a line without leading blanks; None where the daemon does not take it for a setting."""
    if daemon is CronDaemon.BUSYBOX:
        match = BUSYBOX_SETTING.fullmatch(text)
        return (_unquoted(match[1]), _unquoted(match[2])) if match else None
    if len(text) > MAX_SETTING[daemon] // 4:  # a character has at most four bytes
        text = text_of(bytes_of(text)[: MAX_SETTING[daemon]])
    match = SETTING.fullmatch(text)
    if match is None or (daemon is CronDaemon.DEBIAN and match[4] is match[5] is match[6] is None):
        return None
    name = next((part for part in match.group(1, 2, 3) if part is not None), "")
    value = next((part for part in match.group(4, 5) if part is not None), (match[6] or "").rstrip(" \t\v\f\r"))
    return name, value


def _misread(table: CrontabFile, number: int, text: str) -> Iterator[CrontabFault]:
    """The fields of a job line that its daemon reads otherwise than they are written."""

    def fault(message: str, part: str, outcome: str) -> CrontabFault:
        sample = masked_head(text, SAMPLE)
        return CrontabFault(table.path, number, message, sample, f'Fix "{part}" in "{masked_head(text, 80)}".', outcome)

    is_logged = table.daemon is not CronDaemon.CRONIE or not text.startswith("-")
    written = _split_times(text if is_logged else text[1:])[0]
    if written in (REBOOT, *NICKNAMES):
        return
    if table.daemon is CronDaemon.BUSYBOX:
        for part, taken in busybox.busybox_reading(written)[1]:
            yield fault(
                f"parse error at {masked_head(part, SAMPLE)}", masked_head(part, 80), busybox.reads_it_as(taken)
            )
        return
    expression = cronie_reading(written) if table.daemon is CronDaemon.CRONIE else written
    parts = expression.split(" ")
    if is_never(expression):
        yield fault("no such time", masked_head(" ".join(parts), 80), NEVER)
    for part, time_field in zip(parts, FIELDS, strict=True):
        ranges, skipped = read_ranges(part, time_field)
        plain = expressions.plain_field(part, time_field)
        backwards = any(item.last < item.first for item in ranges)
        if plain and (skipped or backwards):
            shown = masked_head(part, 80)
            yield fault(f'unusual {time_field.message.removeprefix("bad ")} "{shown}"', shown,
                        f"cron reads it as {masked_head(plain, 80)}")  # fmt: skip


def _held_job(
    table: CrontabFile, text: str, comment: str, settings: Mapping[str, str], users: frozenset[str] | None
) -> CrontabLine | None:
    """The job behind the `#` of a line below a mark; None where the line is something else now."""
    bare = text[1:].lstrip(" \t")
    if not text.startswith("#") or not bare or bare.startswith("#") or read_setting(bare, table.daemon):
        return None
    try:
        return _job(table, bare, comment, settings, users)
    except TimeFieldError:
        return None


def _job(
    table: CrontabFile, text: str, comment: str, settings: Mapping[str, str], users: frozenset[str] | None
) -> CrontabLine:
    is_logged = table.daemon is not CronDaemon.CRONIE or not text.startswith("-")
    if not is_logged and table.user not in (None, "root"):
        raise TimeFieldError("bad option")
    written, rest = _split_times(text if is_logged else text[1:])
    if rest is None and (table.daemon is not CronDaemon.DEBIAN or table.user is None):
        raise TimeFieldError("bad command" if written.startswith("@") else "bad time specifier")
    expression = written
    if table.daemon is CronDaemon.CRONIE:
        expression = cronie_reading(written)
    elif table.daemon is CronDaemon.BUSYBOX:
        expression = busybox.busybox_reading(written)[0]
    expression = plain_expression(expression)
    rest = rest or ""
    if rest.startswith("*") and table.daemon is not CronDaemon.BUSYBOX:
        raise TimeFieldError("bad command")
    user, raw = (table.user, rest) if table.user is not None else _split_user(rest, users)
    if not raw.strip(" \t") and table.daemon is not CronDaemon.DEBIAN:
        raise TimeFieldError("bad command")
    limit = MAX_COMMAND.get(table.daemon)
    if limit is not None and len(bytes_of(raw)) > limit:
        raise TimeFieldError("command too long")
    if table.daemon is CronDaemon.CRONIE and raw.lstrip(" \t").startswith("-") and not OPTION.match(raw.lstrip(" \t")):
        raise TimeFieldError("bad option")
    line = CrontabLine(
        table.path, user, expression, raw, "", settings=settings, daemon=table.daemon,
        written=written if "~" in written else "", is_logged=is_logged,
    )  # fmt: skip
    return replace(line, name=comment or slug(user, line.command))


def _split_times(text: str) -> tuple[str, str | None]:
    """The expression with single blanks, and what follows its blanks; None where it ends the line."""
    count = 1 if text.startswith("@") else 5
    parts = re.split(r"[ \t]+", text, maxsplit=count)
    if len(parts) < count:
        raise TimeFieldError("bad time specifier")
    if sum(map(len, parts[:count])) > MAX_TIMES:
        raise TimesTooLong(f"times of more than {MAX_TIMES:,} characters")
    return " ".join(parts[:count]), parts[count] if len(parts) > count else None


def _split_user(rest: str, users: frozenset[str] | None) -> tuple[str, str]:
    """User and command; cron takes one blank between them, further ones belong to the command (measured)."""
    match = re.match(r"([^ \t]+)(?:([ \t])(.*))?", rest, re.DOTALL)
    user = match[1] if match else ""
    if not user or (users is not None and user not in users):
        raise TimeFieldError("bad username")
    if match is None or match[2] is None:
        raise TimeFieldError("bad command")
    return user, match[3]


def _unquoted(text: str) -> str:
    text = text.strip(" \t")
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _file_faults(table: CrontabFile, has_jobs: bool) -> Iterator[CrontabFault]:
    """The faults of the file itself, which make the daemon ignore it."""
    name, daemon = table.path.rpartition("/")[2], table.daemon
    if daemon is CronDaemon.DEBIAN and table.in_cron_d and has_jobs and not CRON_D_NAME.fullmatch(name):
        fix = f"Rename it without dots: {re.sub(r'[^A-Za-z0-9_-]', '-', name)}."
        yield CrontabFault(table.path, 0, "bad file name", name, fix)
    path, mode, user = table.path, table.mode, table.user
    is_debians_user = daemon is CronDaemon.DEBIAN and user is not None
    if is_debians_user and mode is not None and mode != 0o600:
        yield CrontabFault(path, 0, "insecure mode", f"{mode:04o}", f"chmod 600 {path}")
    if daemon is CronDaemon.DEBIAN and user is None and mode is not None and mode & 0o022:
        yield CrontabFault(path, 0, "insecure mode", f"{mode:04o}", f"chmod go-w {path}")
    if daemon is CronDaemon.CRONIE and mode is not None and mode & MAY != MUST:
        yield CrontabFault(path, 0, "bad file mode", f"{mode:04o}", f"chmod u=rw,go-wx {path}")
    if not table.has_user:
        yield CrontabFault(path, 0, "orphan", str(user), f"No user {user} exists: remove the file.")
    needs_root = user is None or daemon is CronDaemon.BUSYBOX
    if table.owner not in (None, "root") and (needs_root or (table.owner != user and table.has_user)):
        fix = f"chown {'root' if needs_root else user} {path}"
        yield CrontabFault(path, 0, "wrong file owner", str(table.owner), fix)
    if is_debians_user and table.is_link:
        yield CrontabFault(path, 0, "symbolic link", "", f"Install it with crontab -u {user} instead.")
    counts_links = daemon is CronDaemon.DEBIAN or (daemon is CronDaemon.CRONIE and user is not None)
    if counts_links and table.links != 1:
        yield CrontabFault(path, 0, "number of hard links", str(table.links), "Leave one of its names.")


# -- names ------------------------------------------------------------------------------------------------------------
def slug(user: str, command: str) -> str:
    """A name made of user and command: folders, odd characters and secrets left out, at most SLUG_LENGTH of it."""
    parts = [
        re.sub(r"[^A-Za-z0-9_.-]+", "-", part.rpartition("/")[2]) for part in sanitize(command, NONE_KNOWN).split()
    ]
    text = "-".join(part.strip("-") for part in parts if part.strip("-"))[:SLUG_LENGTH].strip("-")
    return f"{user}-{text or sha256(bytes_of(command)).hexdigest()[:8]}"


WRAPPING = re.compile(
    r"(?:\w+=\S* +"  # a variable
    r"|(?:/\S*/)?(?:env|nohup|setsid|chronic|time)(?: +-\S+)* +"
    r"|(?:/\S*/)?(?:nice|ionice|timeout|flock|chrt|stdbuf)(?: +-(?:[nckwsp] ?[\w.]+|\S+))* +)",
    re.ASCII,
)
"""A command that runs the rest of the line; without the duration of `timeout` and the lock of `flock`."""


def unwrapped(command: str) -> str:
    """The command without variables and wrappers at its beginning."""
    while match := WRAPPING.match(command):
        is_one_more = re.search(r"(?:timeout|flock)\b", match[0])
        command = command[match.end() :]
        if is_one_more:
            command = command.partition(" ")[2].lstrip(" ")
    return command


def describe_line(lines: Iterable[CrontabLine]) -> Iterator[CrontabLine]:
    """The same lines with names that are unique on the host: `name`, `name#2`, ...; and their ordinals."""
    names: Counter[str] = Counter()
    same: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        names[line.name] += 1
        same[line.user, line.path, line.raw] += 1
        count = names[line.name]
        name = line.name if count == 1 else f"{line.name}#{count}"
        yield replace(line, name=name, ordinal=same[line.user, line.path, line.raw])
