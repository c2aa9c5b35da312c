"""Shared by the tests of cron: a session that loses answers, action requests, hostile crontabs, and one line of a
log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from connectors.cron.connector import CronConnector
from connectors.cron.events import CronEvent, read_stamped, stamp
from connectors.sdk.contract import ActionSpec
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.ssh import CompletedCommand, SshFailed
from tests.fakes.ssh_local import LocalHost

HOSTILE = (
    "$(touch {canary})", "`touch {canary}`", "; touch {canary}", "'; touch {canary}; '", "\"; touch {canary}; \"",
    "-rf {canary}", "* ? [a]", "| tee {canary}", "&& touch {canary}", "\\n touch {canary}", "%touch {canary}",
    "[b]markup[/b]", "name\u202eevil", "../../../../tmp/x",
)  # fmt: skip


def connect(host: LocalHost, session: Any = None, **changes: Any) -> CronConnector:
    return CronConnector(host.options(**changes), "db07", lambda _: "", session or host)


def ask(verb: Verb, job: str, parameters: Mapping[str, Any] | None = None, run: RunRef | None = None) -> ActionSpec:
    return ActionSpec(verb, run or RunRef(job, "", "", ""), RunState.PLANNED, parameters or {})


def until() -> str:
    """In two hours, as an ask has it."""
    return instant_key((datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0))


def read_line(line: str, now: datetime, zone: tzinfo) -> CronEvent | None:
    """The event of one line of a log; None for lines of other programs."""
    stamped = stamp(line, now, zone)
    return None if stamped is None else read_stamped(line, *stamped)


class PlainLogin(LocalHost):
    """A host whose login has no right of root's over files: one without a read bit is denied."""

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        return super().run(stdin, [*without, *argv], timeout_seconds, once)


class Breaking:
    """A session whose next call of `act` breaks: before the host, after it was reached, or with half an answer."""

    def __init__(self, host: LocalHost, how: str) -> None:
        self.host = host
        self.how = how
        self.address = host.address

    def run(self, stdin: bytes, argv: Any, timeout_seconds: float, once: bool = False) -> CompletedCommand:
        if not once:
            return self.host.run(stdin, argv, timeout_seconds)
        if self.how == "before":
            raise SshFailed("gone", touched=False)
        done = self.host.run(stdin, argv, timeout_seconds)
        if self.how == "after":
            raise SshFailed("gone", touched=True)
        return CompletedCommand(done.stdout[:40], b"", None)

    def close(self) -> None:
        """There is no connection to close."""
