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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from connectors.cron import dialects
from connectors.cron.dialects import (
    FIELDS,
    NICKNAMES,
    REBOOT,
    AnacronJob,
    TimeField,
    TimeFieldError,
    read_times,
    schedule_text,
)
from connectors.sdk.contract import HOLD_MARK
from connectors.sdk.transport.script_output import bytes_of

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
    daemon: CronDaemon = CronDaemon.DEBIAN

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
    def held(self) -> tuple[CrontabLine, ...]:
        """Every line under a mark of ours."""
        return (*(line for line in self.lines if line.mark), *self.held_in_ignored)

    @property
    def bare(self) -> tuple[CrontabLine, ...]:
        """Every line that cron runs below a mark of ours."""
        return tuple(line for line in self.lines if line.bare_mark)


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
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise TimeFieldError("bad time specifier")

    def read_item(item: str, field: TimeField) -> str:
        first, is_random, last = item.partition("~")
        if is_random and "/" in last:
            raise TimeFieldError(field.message)
        if is_random:
            return f"{first or field.low}-{last or field.high}"
        match = TO_SUNDAY.fullmatch(item) if field.high == 7 else None
        return f"{match[1]}-7" if match and match[1].lower() not in ("0", "sun") else item

    fields = zip(parts, FIELDS, strict=True)
    result = " ".join(",".join(read_item(item, field) for item in part.split(",")) for part, field in fields)
    read_times(result)
    return result


def at_no_minute(line: CrontabLine) -> str:
    """The schedule for people of a line without an expected minute; "" for other lines."""
    if not line.is_logged and not line.is_wrapped:
        return f"{line.written or schedule_text(line.expression)}, in no log (-)"
    if line.written:
        return f"{line.written}, at a random time (~)"
    match = DELAY.match(line.settings.get("RANDOM_DELAY", ""))
    minutes = int(match[1]) if match else 0
    if 0 < minutes <= 24 * 60:  # crond ignores more than a day (load_entry of entry.c)
        return f"{schedule_text(line.expression)}, up to {minutes} minutes later (RANDOM_DELAY)"
    return ""


CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
SETTING = re.compile(r"""[ \t]*("[^"]*"|'[^']*'|[^ \t=]+)[ \t]*=(.*)""", re.DOTALL)
OUR_NAME = re.compile(r"#\s*headway:(.*)", re.DOTALL)
MARK_LINE = re.compile(rf"# ({HOLD_MARK.pattern})(?: .*|\r)?")
"""A whole line that is a hold's mark; line.sh reads the same."""
NO_NEWLINE = "missing newline before EOF"
OF_A_LINE = {CronDaemon.DEBIAN: FILE_IGNORED, CronDaemon.CRONIE: LEFT_OUT, CronDaemon.BUSYBOX: dialects.LEFT_OUT}
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
        if table.path.endswith(dialects.TABLE):
            for job in dialects.anacron_jobs(table.path, table.text):
                if isinstance(job, AnacronJob):
                    jobs.append(job)
                else:
                    number, text = job
                    fix = f'Fix "{text[:80]}" or comment it out.'
                    outcome = dialects.SKIPS
                    faults.append(CrontabFault(table.path, number, "invalid syntax", text[:SAMPLE], fix, outcome))
        elif not _is_unread(table):
            table_lines, table_faults = _read_file(table, users)
            faults += table_faults
            if any(fault.outcome == FILE_IGNORED for fault in table_faults):
                held += [line for line in table_lines if line.mark]
            else:
                lines += table_lines
    return CrontabSet(tuple(describe_line(lines)), tuple(faults), tuple(held), tuple(jobs))


def _is_unread(table: CrontabFile) -> bool:
    """Whether the daemon does not read a file of this name."""
    name = table.path.rpartition("/")[2]
    if table.in_cron_d and name.startswith("."):
        return True  # .placeholder
    if table.daemon is CronDaemon.BUSYBOX:
        return "." in name  # among them cron.update, which is crontab(1)'s own
    return table.daemon is CronDaemon.CRONIE and table.path != "/etc/crontab" and NO_NAME.fullmatch(name) is not None


def _read_file(table: CrontabFile, users: frozenset[str] | None) -> tuple[list[CrontabLine], list[CrontabFault]]:
    lines: list[CrontabLine] = []
    faults: list[CrontabFault] = []
    settings: dict[str, str] = {}
    comment = mark = ""
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
            comment = match[1].strip()[:SAMPLE] if match else ("" if bare else comment)
        elif setting := SETTING.fullmatch(text):
            name = _unquoted(setting[1])
            if table.daemon is not CronDaemon.BUSYBOX or name in dialects.USED_SETTINGS:
                settings[name] = _unquoted(setting[2])
            elif name == dialects.CRASHES:
                faults.append(
                    CrontabFault(table.path, number, name, text[:SAMPLE], "Take the line out.", dialects.MAY_CRASH)
                )
        else:
            try:
                if table.daemon is CronDaemon.CRONIE and number == ends:
                    raise TimeFieldError(NO_NEWLINE)
                line = _job(table, bare, comment, settings, users)
                lines.append(replace(line, number=number, bare_mark=held))
                faults += _misread(table, number, bare)
            except TimeFieldError as error:
                fix = f'Fix "{text[:80]}" or comment it out.'
                faults.append(CrontabFault(table.path, number, str(error), text[:SAMPLE], fix, OF_A_LINE[table.daemon]))
            comment = ""
    return lines, [*_file_faults(table, bool(lines or faults)), *faults]


def _misread(table: CrontabFile, number: int, text: str) -> Iterator[CrontabFault]:
    """The fields of a job line that busybox's crond reads as `*`."""
    for part in dialects.busybox_reading(_split_times(text)[0])[1] if table.daemon is CronDaemon.BUSYBOX else ():
        fix = f'Fix "{part}" in "{text[:80]}".'
        yield CrontabFault(table.path, number, f"parse error at {part}", text[:SAMPLE], fix, dialects.AS_STAR)


def _held_job(
    table: CrontabFile, text: str, comment: str, settings: Mapping[str, str], users: frozenset[str] | None
) -> CrontabLine | None:
    """The job behind the `#` of a line below a mark; None where the line is something else now."""
    bare = text[1:].lstrip(" \t")
    if not text.startswith("#") or not bare or bare.startswith("#") or SETTING.fullmatch(bare):
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
    expression = written
    if table.daemon is CronDaemon.CRONIE:
        expression = cronie_reading(written)
    elif table.daemon is CronDaemon.BUSYBOX:
        expression = dialects.busybox_reading(written)[0]
    else:
        read_times(written)
    user, raw = (table.user, rest) if table.user is not None else _split_user(rest, users)
    if not raw.strip(" \t"):
        raise TimeFieldError("bad command")
    line = CrontabLine(
        table.path, user, expression, raw, "", settings=dict(settings), daemon=table.daemon,
        written=written if "~" in written else "", is_logged=is_logged,
    )  # fmt: skip
    return replace(line, name=comment or slug(user, line.command))


def _split_times(text: str) -> tuple[str, str]:
    """The expression with single blanks, and what follows its blanks."""
    count = 1 if text.startswith("@") else 5
    parts = re.split(r"[ \t]+", text, maxsplit=count)
    if len(parts) <= count:
        raise TimeFieldError("bad command" if text.startswith("@") else "bad time specifier")
    return " ".join(parts[:count]).lower() if count == 1 else " ".join(parts[:count]), parts[count]


def _split_user(rest: str, users: frozenset[str] | None) -> tuple[str, str]:
    """User and command; cron takes one blank between them, further ones belong to the command (measured)."""
    match = re.match(r"([^ \t]+)(?:[ \t](.*))?", rest, re.DOTALL)
    user = match[1] if match else ""
    if not user or (users is not None and user not in users):
        raise TimeFieldError("bad username")
    return user, (match[2] or "") if match else ""


def _unquoted(text: str) -> str:
    text = text.strip(" \t")
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _file_faults(table: CrontabFile, has_jobs: bool) -> Iterator[CrontabFault]:
    """The faults of the file itself, which make the daemon ignore it."""
    name, daemon = table.path.rpartition("/")[2], table.daemon
    if daemon is CronDaemon.DEBIAN and table.in_cron_d and has_jobs and not CRON_D_NAME.fullmatch(name):
        fix = f"Rename it without dots: {re.sub(r'[^A-Za-z0-9_-]', '-', name)}."
        yield CrontabFault(table.path, 0, "bad file name", name, fix)
    if daemon is CronDaemon.DEBIAN and table.text and not table.text.endswith("\n"):
        number, last = table.text.count("\n") + 1, table.text.rpartition("\n")[2]
        yield CrontabFault(table.path, number, NO_NEWLINE, last[:SAMPLE], "End it with a newline.")
    mode = table.mode
    if daemon is CronDaemon.DEBIAN and mode is not None and mode & 0o022:
        yield CrontabFault(table.path, 0, "insecure mode", f"{mode:04o}", f"chmod go-w {table.path}")
    if daemon is CronDaemon.CRONIE and mode is not None and mode & MAY != MUST:
        yield CrontabFault(table.path, 0, "bad file mode", f"{mode:04o}", f"chmod u=rw,go-wx {table.path}")
    needs_root = table.user is None or daemon is CronDaemon.BUSYBOX
    if needs_root and table.owner not in (None, "root"):
        yield CrontabFault(table.path, 0, "wrong file owner", str(table.owner), f"chown root {table.path}")


# -- names ------------------------------------------------------------------------------------------------------------
def slug(user: str, command: str) -> str:
    """A name made of user and command: folders and odd characters left out, at most SLUG_LENGTH characters of it."""
    parts = [re.sub(r"[^A-Za-z0-9_.-]+", "-", part.rpartition("/")[2]) for part in command.split()]
    text = "-".join(part.strip("-") for part in parts if part.strip("-"))[:SLUG_LENGTH].strip("-")
    return f"{user}-{text or sha256(bytes_of(command)).hexdigest()[:8]}"


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
