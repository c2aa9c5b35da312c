"""A host's answer parsed: its processes, crontabs, files and journal. Pure; any bytes give a value."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from connectors.cron import anacron, log_files
from connectors.cron.busybox import writes_a_file
from connectors.cron.crontab import CronDaemon, CrontabFile, CrontabSet, is_user_table, read_crontabs
from connectors.cron.events import JournalEvents, journal_events
from connectors.cron.log_files import LogFileState
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.transport.script_output import HostNow, ScriptSection, host_now, text_of

DEFAULT_LEVEL = 1  # crontab(8): "The default is 1"
LEVEL = re.compile(r"-L *(\d{1,3})")
PROGRAMS = [[CronDaemon.CRONIE], [CronDaemon.BUSYBOX]]
"""As a host names them; it does not name Debian's."""
START_COMMANDS = {
    CronDaemon.DEBIAN: "systemctl start cron",
    CronDaemon.CRONIE: "systemctl start crond",
    CronDaemon.BUSYBOX: "rc-service crond start",
}


@dataclass(frozen=True, slots=True)
class CronProcesses:
    """cron's processes at one moment, and the requested ones. Keys are pids; births are ticks since boot."""

    daemon: int | None
    level: int | None
    """The daemon's -L; None where no daemon was seen."""
    hidden: bool
    """True where /proc hides other users' processes: then nothing proves that a job is gone."""
    children: frozenset[int] = frozenset()
    jobs: dict[int, int] = field(default_factory=dict)
    """Pid of a job -> pid of the CRON child that waits for it."""
    births: dict[int, str] = field(default_factory=dict)
    searched: frozenset[int] = frozenset()
    """Pids that were searched."""
    program: CronDaemon = CronDaemon.DEBIAN
    """The daemon; where none runs, the installed one."""
    has_own_file: bool = False
    """True where busybox's crond writes a log without times."""


def processes(section: ScriptSection) -> CronProcesses:
    """cron's processes of a PROC section, without unreadable lines."""
    daemon: int | None = None
    hidden, children, jobs, births, requested = False, set(), {}, {}, frozenset[int]()
    program = CronDaemon.DEBIAN
    for line in section.body.decode("ascii", "replace").splitlines():
        fields = line.split()
        if fields[:1] == ["crond"]:
            daemon = int(fields[1]) if len(fields) == 3 and fields[1].isdigit() else None
            hidden = fields[-1] == "hidden"
        elif fields[:1] == ["program"] and fields[1:] in PROGRAMS:
            program = CronDaemon(fields[1])
        elif fields[:1] == ["pids"]:
            requested = frozenset(int(field) for field in fields[1:] if field.isascii() and field.isdigit())
        elif len(fields) == 4 and all(field.isascii() and field.isdigit() for field in fields[1:]):
            pid = int(fields[1])
            births[pid] = fields[3]
            if fields[0] == "child":
                children.add(pid)
            elif fields[0] == "job":
                jobs[pid] = int(fields[2])
    is_debians = program is CronDaemon.DEBIAN
    match = LEVEL.search(section.rest.replace("\0", " ")) if is_debians else None
    level = None if daemon is None else int(match[1]) if match else DEFAULT_LEVEL
    has_own_file = program is CronDaemon.BUSYBOX and writes_a_file(section.rest)
    return CronProcesses(daemon, level, hidden, frozenset(children), jobs, births, requested, program, has_own_file)


@dataclass(slots=True)
class CrontabReply:
    checksum: str
    sees_all: bool
    """True where the spool of all users' crontabs can be listed (root)."""
    has_text: bool = False
    zone: str = ""
    files: list[CrontabFile] = field(default_factory=list)
    denied: list[tuple[str, str]] = field(default_factory=list)
    """Path, and what the host said."""
    users: frozenset[str] | None = None
    has_owners: bool = False
    """True where `users` has those with a crontab of their own too."""


def crontab_reply(parts: list[ScriptSection]) -> CrontabReply | None:
    """The crontabs of an answer; None where they were not requested."""
    reply: CrontabReply | None = None
    pending: ScriptSection | None = None  # a table that waits for the TABEND with its status
    for part in parts:
        if part.kind == "TABS":
            checksum, own = part.fields(2)
            reply = CrontabReply(checksum, own == "all")
            continue
        if reply is None:
            continue
        table, pending = pending, None
        if part.kind == "ZONE":
            reply.has_text, reply.zone = True, zone_name(*part.fields(3))
        elif part.kind == "TAB":
            mode, _, path = part.fields(3)
            if mode == "-" or (not reply.sees_all and is_user_table(path)):
                pending = part
            else:
                reply.files.append(_table(part))
        elif part.kind == "TABEND" and table is not None:
            status, message = part.fields(2)
            if status == "0":
                reply.files.append(_table(table))
            elif "no crontab for" not in message and "No such file" not in message:
                reply.denied.append((table.fields(3)[2], masked_head(message, 160) or "permission denied"))
        elif part.kind == "DENIED":
            reply.denied.append((part.rest, "permission denied"))
        elif part.kind == "NAMES":
            reply.users, reply.has_owners = frozenset(text_of(part.body).split()), part.rest == "all"
    return reply


def _table(part: ScriptSection) -> CrontabFile:
    mode, owner, path = part.fields(3)
    user = path.rpartition("/")[2] if is_user_table(path) else None
    mode, links, kind = [*mode.split(","), "", ""][:3]
    permissions = int(mode, 8) if mode.isascii() and mode.isdigit() and not set(mode) & {"8", "9"} else None
    return CrontabFile(
        path, text_of(part.body), user, permissions, None if owner in ("-", "") else owner,
        links=int(links) if links.isascii() and links.isdigit() and len(links) < 10 else 1, is_link=kind == "link",
    )  # fmt: skip


def zone_name(daemon_zone: str, localtime_link: str, timezone_file: str) -> str:
    """The IANA name that cron's clock runs in: the daemon's own TZ, else /etc/localtime, else /etc/timezone; or ""."""
    linked = localtime_link.partition("/zoneinfo/")[2]
    for name in (daemon_zone.lstrip(":"), linked, timezone_file):
        if name and zone_of(name) is not None:
            return name
    return ""


def zone_of(name: str) -> ZoneInfo | None:
    """None where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


@dataclass(slots=True)
class HostCrontabs:
    """The crontabs of the host as last sent, parsed."""

    checksum: str
    tables: CrontabSet
    denied: tuple[tuple[str, str], ...]
    zone: str
    users: Collection[str] = ()
    """Owners of the jobs that are watched; empty: all."""
    left_out: Collection[str] = ()
    """Names of the lines of other users in the system's crontabs."""


@dataclass(slots=True)
class HostAnswer:
    host: HostNow
    processes: CronProcesses
    tables: CrontabReply | None
    files: list[LogFileState]
    spool: str
    journal: JournalEvents | None = None
    """Cron's journal entries; None where a log was read, or without journalctl."""

    @staticmethod
    def of(parts: list[ScriptSection]) -> HostAnswer:
        by_kind = {part.kind: part for part in parts}
        if "HOST" not in by_kind or "PROC" not in by_kind:
            raise RecordUnreadable(f"the host's answer lacks its clock or its processes: {sorted(by_kind)}")
        spool = by_kind["SPOOL"].fields(2)[0] if "SPOOL" in by_kind else ""
        return HostAnswer(
            host_now(by_kind["HOST"]), processes(by_kind["PROC"]), crontab_reply(parts),
            log_files.log_files(parts), spool, journal_events(parts),
        )  # fmt: skip


def crontabs(reply: CrontabReply, offset: str, daemon: CronDaemon, only: Collection[str] = ()) -> HostCrontabs:
    """The crontabs of an answer; with jobs of the users `only`, if it names any."""
    owners = reply.users if reply.has_owners else None
    files = [
        replace(file, daemon=daemon, has_user=owners is None or file.user is None or file.user in owners)
        for file in reply.files
        if not only or _is_of_users(file, only)
    ]
    tables = read_crontabs(files, reply.users)
    watched = HostCrontabs(reply.checksum, tables, tuple(reply.denied), reply.zone or offset)
    if not only:
        return watched
    left_out = frozenset(line.name for line in (*tables.lines, *tables.held_in_ignored) if line.user not in only)
    return replace(watched, tables=tables.of_users(only), users=only, left_out=left_out)


def _is_of_users(file: CrontabFile, only: Collection[str]) -> bool:
    """Whether a table may have jobs of these users; anacron's has those of root alone."""
    is_anacron = file.path.endswith(anacron.TABLE)
    return anacron.USER in only if is_anacron else file.user in (None, *only)
