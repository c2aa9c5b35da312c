"""One answer of a host, read as far as no memory is needed. Pure but for the clock values it is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.contract import Clock, RecordUnreadable
from connectors.cron import follow, parse
from connectors.cron.crontab import read_tables
from connectors.cron.follow import FileLook
from connectors.cron.journal import Heard, heard
from connectors.cron.parse import Processes, TablesReply
from connectors.cron.tables import Daemon, Tables
from connectors.transport.answer import HostNow, Section, host_now


@dataclass(slots=True)
class Crontabs:
    """The crontabs of the host as last sent, and what was made of them."""

    checksum: str
    tables: Tables
    denied: tuple[tuple[str, str], ...]
    zone: str
    users: tuple[str, ...] = ()
    sees_all: bool = True
    """False where users' crontabs are read one by one."""


@dataclass(slots=True)
class Answer:
    """The sections of one look, read as far as no memory is needed."""

    host: HostNow
    processes: Processes
    tables: TablesReply | None
    files: list[FileLook]
    spool: str
    journal: Heard | None = None
    """What cron wrote into the journal; None where a log was read, or there is no journalctl."""

    @staticmethod
    def of(parts: list[Section]) -> Answer:
        by_kind = {part.kind: part for part in parts}
        if "HOST" not in by_kind or "PROC" not in by_kind:
            raise RecordUnreadable(f"the host's answer lacks its clock or its processes: {sorted(by_kind)}")
        spool = by_kind["SPOOL"].fields(2)[0] if "SPOOL" in by_kind else ""
        return Answer(
            host_now(by_kind["HOST"]), parse.processes(by_kind["PROC"]), parse.tables_reply(parts),
            follow.files_looked_at(parts), spool, heard(parts),
        )  # fmt: skip

    def clock(self, ours: datetime, zone: str) -> Clock:
        up = timedelta(seconds=self.host.uptime_seconds)
        return Clock(self.host.now, ours, zone or self.host.offset_words, ours - up if up else None)


def crontabs(reply: TablesReply, offset: str, daemon: Daemon) -> Crontabs:
    """What the host sent of its crontabs, read."""
    tables = read_tables([replace(one, daemon=daemon) for one in reply.files], reply.users)
    users = tuple(sorted({line.user for line in tables.lines}))
    return Crontabs(reply.checksum, tables, tuple(reply.denied), reply.zone or offset, users, reply.sees_all)
