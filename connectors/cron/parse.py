"""The host's raw answer -> what it says. Pure; any bytes give a value or a ConnectorError.

An answer is cut into sections by byte 036 and the nonce of its call, so neither a chatty `~/.bashrc` before it nor a
log line inside it can pass for a section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from connectors.contract import RecordUnreadable, SystemUnreachable
from connectors.cron.crontab import TableFile, text_of

DEFAULT_LEVEL = 1  # crontab(8): "The default is 1"
LEVEL = re.compile(r"-L *(\d{1,3})")
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
CLOCK = re.compile(r"\d{1,12}(\.\d{1,9})?")


CRONIE = re.compile(r"(?:[^\0 ]*/)?crond(?![A-Za-z0-9_])")
"""How its command line begins; a shell that drops NUL bytes joins its options to it."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of an answer: its kind, the rest of its heading line, and what follows that line."""

    kind: str
    rest: str
    body: bytes

    def fields(self, count: int) -> list[str]:
        """The heading's fields, exactly `count`; the last keeps every further `|`."""
        parts = self.rest.split("|", count - 1)
        return parts + [""] * (count - len(parts))


def sections(data: bytes, nonce: str, where: str) -> list[Section]:
    """The sections of a whole answer, in order. SystemUnreachable for an answer that was cut short."""
    found = list(_sections(data, nonce))
    if not found or found[-1].kind != "END":
        seen = data[:120].decode("utf-8", "replace") if not found else f"{len(found)} sections without an end"
        raise SystemUnreachable(f"{where}: the answer was cut short or is not ours: {seen!r}. It is asked again.")
    return found


def _sections(data: bytes, nonce: str) -> Iterator[Section]:
    for part in data.split(b"\n\x1e" + nonce.encode() + b" ")[1:]:
        heading, _, body = part.partition(b"\n")
        kind, _, rest = text_of(heading).partition("|")
        yield Section(kind, rest, body)


@dataclass(frozen=True, slots=True)
class HostNow:
    """The host's own clock at the moment of its answer."""

    now: datetime
    offset: tzinfo
    uptime_seconds: float
    boot: str

    @property
    def offset_words(self) -> str:
        """ "+01:00"."""
        seconds = int((self.offset.utcoffset(None) or timedelta()).total_seconds())
        sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
        return f"{sign}{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"


def host_now(section: Section) -> HostNow:
    """Clock, offset, uptime and boot id. RecordUnreadable where the host's `date` speaks otherwise."""
    clock, offset, uptime, boot = section.fields(4)
    found = OFFSET.fullmatch(offset)
    if not CLOCK.fullmatch(clock) or found is None or int(found[2]) > 23 or int(found[3]) > 59:
        raise RecordUnreadable(f"the host's clock cannot be read: {section.rest[:80]!r}; GNU date is needed there")
    minutes = int(found[2]) * 60 + int(found[3])
    zone = timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))
    try:
        now = datetime.fromtimestamp(float(clock), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise RecordUnreadable(f"the host's clock is out of range: {clock[:40]}") from error
    return HostNow(now, zone, float(uptime) if CLOCK.fullmatch(uptime) else 0.0, boot.strip())


@dataclass(frozen=True, slots=True)
class Processes:
    """cron's own processes at one moment, and those we asked for. Keys are pids; births are ticks since boot."""

    daemon: int | None
    level: int | None
    """The daemon's -L; None where no daemon was seen."""
    hidden: bool
    """True where /proc hides other users' processes: then nothing proves that a job is gone."""
    children: frozenset[int] = frozenset()
    jobs: dict[int, int] = field(default_factory=dict)
    """Pid of a job -> pid of the CRON child that waits for it."""
    births: dict[int, str] = field(default_factory=dict)
    asked: frozenset[int] = frozenset()
    """Pids that were looked for."""
    has_zones: bool = False
    """True where the daemon is cronie's crond: CRON_TZ in a crontab is the zone of the lines below it. Debian's cron
    hands it to the command as any other variable."""

    def of_cron(self) -> list[tuple[int, str]]:
        """cron's children and their jobs: pid and birth in ticks."""
        return [(pid, self.births[pid]) for pid in (*self.children, *self.jobs)]

    def tells_of(self, pid: int) -> bool:
        """Whether that pid was looked at: only then does absence prove anything."""
        return pid in self.asked or pid in self.births


def processes(section: Section) -> Processes:
    """cron's processes of a PROC section; lines that cannot be read are left out."""
    daemon: int | None = None
    hidden, children, jobs, births, asked = False, set(), {}, {}, frozenset[int]()
    for line in section.body.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["crond"]:
            daemon = int(words[1]) if len(words) == 3 and words[1].isdigit() else None
            hidden = words[-1] == "hidden"
        elif words[:1] == ["pids"]:
            asked = frozenset(int(word) for word in words[1:] if word.isascii() and word.isdigit())
        elif len(words) == 4 and all(word.isascii() and word.isdigit() for word in words[1:]):
            pid = int(words[1])
            births[pid] = words[3]
            if words[0] == "child":
                children.add(pid)
            elif words[0] == "job":
                jobs[pid] = int(words[2])
    level = None if daemon is None else _level(section.rest)
    has_zones = CRONIE.match(section.rest) is not None
    return Processes(daemon, level, hidden, frozenset(children), jobs, births, asked, has_zones)


def _level(arguments: str) -> int:
    found = LEVEL.search(arguments.replace("\0", " "))
    return int(found[1]) if found else DEFAULT_LEVEL


@dataclass(slots=True)
class TablesReply:
    """What the host let us see of its crontabs."""

    checksum: str
    sees_all: bool
    """True where the spool of all users' crontabs can be listed (root)."""
    has_text: bool = False
    zone: str = ""
    files: list[TableFile] = field(default_factory=list)
    denied: list[tuple[str, str]] = field(default_factory=list)
    """Path, and what the host said."""
    users: frozenset[str] | None = None


def tables_reply(parts: list[Section]) -> TablesReply | None:
    """The crontabs of an answer; None where they were not asked for."""
    reply: TablesReply | None = None
    pending: Section | None = None
    for part in parts:
        if part.kind == "TABS":
            checksum, own = part.fields(2)
            reply = TablesReply(checksum, own == "all")
        elif reply is not None:
            pending = _into(reply, part, pending)
    return reply


def _into(reply: TablesReply, part: Section, pending: Section | None) -> Section | None:
    """Adds one section; a table whose success is told by a later TABEND waits as `pending`."""
    if part.kind == "ZONE":
        reply.has_text, reply.zone = True, zone_name(*part.fields(3))
    elif part.kind == "TAB":
        mode, _owner, _path = part.fields(3)
        if mode == "-" or (not reply.sees_all and "crontabs/" in part.rest):
            return part
        reply.files.append(_table(part))
    elif part.kind == "TABEND" and pending is not None:
        status, words = part.fields(2)
        _settle(reply, pending, status, words)
    elif part.kind == "DENIED":
        reply.denied.append((part.rest, "permission denied"))
    elif part.kind == "NAMES":
        reply.users = frozenset(text_of(part.body).split())
    return None


def _settle(reply: TablesReply, table: Section, status: str, words: str) -> None:
    path = table.fields(3)[2]
    if status == "0":
        reply.files.append(_table(table))
    elif "no crontab for" not in words and "No such file" not in words:
        reply.denied.append((path, words[:160] or "permission denied"))


def _table(part: Section) -> TableFile:
    mode, owner, path = part.fields(3)
    folder, _, name = path.rpartition("/")
    user = name if folder.endswith("crontabs") else None
    permissions = int(mode, 8) if mode.isascii() and mode.isdigit() and not set(mode) & {"8", "9"} else None
    return TableFile(path, text_of(part.body), user, permissions, None if owner in ("-", "") else owner)


def zone_name(daemon_zone: str, localtime_link: str, timezone_file: str) -> str:
    """The IANA name that cron's clock runs in: the daemon's own TZ, else /etc/localtime, else /etc/timezone; or ""."""
    linked = localtime_link.partition("/zoneinfo/")[2]
    for name in (daemon_zone.lstrip(":"), linked, timezone_file):
        if name and zone_of(name) is not None:
            return name
    return ""


def zone_of(name: str) -> ZoneInfo | None:
    """The zone of that name, None where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
