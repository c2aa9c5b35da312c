"""The sections of a cron host's answer -> what they say of its processes and crontabs. Pure; any bytes give a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from connectors.cron.busybox import writes_a_file
from connectors.cron.crontab import TableFile, is_user_table
from connectors.cron.tables import Daemon
from connectors.transport.answer import Section, text_of

DEFAULT_LEVEL = 1  # crontab(8): "The default is 1"
LEVEL = re.compile(r"-L *(\d{1,3})")
PROGRAMS = [[Daemon.CRONIE], [Daemon.BUSYBOX]]
"""What a host calls them; it says nothing of Debian's."""
START_WORDS = {
    Daemon.DEBIAN: "systemctl start cron",
    Daemon.CRONIE: "systemctl start crond",
    Daemon.BUSYBOX: "rc-service crond start",
}
"""What starts it."""


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
    program: Daemon = Daemon.DEBIAN
    """Whose the daemon is; where none runs, the one that would be started."""
    has_own_file: bool = False
    """True where busybox's crond writes a log without times."""

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
    program = Daemon.DEBIAN
    for line in section.body.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["crond"]:
            daemon = int(words[1]) if len(words) == 3 and words[1].isdigit() else None
            hidden = words[-1] == "hidden"
        elif words[:1] == ["program"] and words[1:] in PROGRAMS:
            program = Daemon(words[1])
        elif words[:1] == ["pids"]:
            asked = frozenset(int(word) for word in words[1:] if word.isascii() and word.isdigit())
        elif len(words) == 4 and all(word.isascii() and word.isdigit() for word in words[1:]):
            pid = int(words[1])
            births[pid] = words[3]
            if words[0] == "child":
                children.add(pid)
            elif words[0] == "job":
                jobs[pid] = int(words[2])
    is_debians = program is Daemon.DEBIAN
    level = None if daemon is None else _level(section.rest) if is_debians else DEFAULT_LEVEL
    has_own_file = program is Daemon.BUSYBOX and writes_a_file(section.rest)
    return Processes(daemon, level, hidden, frozenset(children), jobs, births, asked, program, has_own_file)


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
        if mode == "-" or (not reply.sees_all and is_user_table(_path)):
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
    user = path.rpartition("/")[2] if is_user_table(path) else None
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
