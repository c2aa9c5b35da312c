"""cron on one host over SSH. Sources: cron(8), crontab(5), cron 3.0pl1-162 of Debian 12 as measured."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from connectors.contract import (
    Ask,
    Capability,
    ConnectorKind,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RunRef,
    Secrets,
    Shell,
    Verb,
)
from connectors.cron.acts import CronActs
from connectors.cron.client import CronClient, is_safe_name
from connectors.cron.look import Answer, Crontabs, Look, crontabs
from connectors.cron.options import CronOptions
from connectors.cron.probe import probe
from connectors.cron.records import Ref, user_of_table
from connectors.cron.state import Memory
from connectors.cron.wrapper import PATH
from connectors.transport.answer import Section, bytes_of, text_of
from connectors.transport.hosts import Session, targets
from connectors.transport.ssh_connect import SshAddress, trust_words
from connectors.transport.ssh_shell import ssh_shell
from connectors.transport.ways import address, session_of

NO_OUTPUT = "cron keeps no output of this job. The lines of its log about this run:\n"
JOURNAL_BACK = timedelta(days=7)
"""How far back the first poll reads where cron's log is the journal."""
LADDER = (
    "cron -L 1 (Debian's default) proves only that a job started: its end is UNKNOWN. -L 7 or -L 15 proves END and "
    "exit status. The shell wrapper (one line SHELL=… in the crontab) and our own reruns prove all, with output. "
    "anacron's log proves start, end and exit status; its jobs are rerun through anacron itself, and not held."
)


class CronConnector:
    """One host; keeps its connection and the crontabs it last read between calls."""

    def __init__(self, options: CronOptions, target: str, secrets: Secrets, session: Session | None = None) -> None:
        self.options = options
        self.target = target
        made = session or session_of(options, target, secrets)
        self.address = made.address
        self._client = CronClient(options, made)
        self.crontabs: Crontabs | None = None
        self._acts = CronActs(self._client, target, self.address.user, self)
        self._inventory: Inventory | None = None
        self._inventory_of: tuple[Crontabs, int] | None = None

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        look = self._look_at(self._client.tables(timeout_seconds), Memory(), datetime.now(UTC))
        found = self._asked_for(look)
        if previous_hash and found.hash == previous_hash:
            return Inventory((), True, found.hash, unchanged=True, clock=found.clock)
        return found

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        until = monotonic() + timeout_seconds
        known = self.crontabs
        memory = Memory.from_json(cursor)
        memory.follow_only(self.options.logs, self.options.spool)
        look = self._ask(memory, known, frozenset(), until)
        moved = look.moved()
        if moved:
            look = self._ask(look.memory, known, moved, until)
        look.take()
        look.warnings += trust_words(self.address) if isinstance(self.address, SshAddress) else ()
        return look.poll(tuple(open_runs), self._news(look))

    def _news(self, look: Look) -> Inventory | None:
        """The inventory where it is not the one that came with an earlier poll of this cursor."""
        made_of = (look.crontabs, look.level)
        if self._inventory is None or self._inventory_of != made_of:
            self._inventory, self._inventory_of = self._asked_for(look), made_of
        if self._inventory.hash == look.memory.inventory:
            return None
        look.memory.inventory = self._inventory.hash
        return replace(self._inventory, clock=look.answer.clock(look.ours, look.crontabs.zone))

    def _asked_for(self, look: Look) -> Inventory:
        """The inventory of a look, and which crontabs the settings ask for: `users` counts for a login that cannot
        list them all."""
        users, found = self.options.users, look.inventory()
        if not users or look.crontabs.sees_all:
            return found
        return replace(found, asks_for=lambda _, keys: user_of_table(keys) in (None, *users))

    def _ask(self, memory: Memory, known: Crontabs | None, search: frozenset[str], until: float) -> Look:
        unended = [one for one in memory.book.attempts if one.state.is_open or one.is_unproved]
        pids = {pid for one in unended for pid in (one.pid, one.child) if pid}
        before = datetime.now(UTC)
        parts = self._client.look(
            known.checksum if known else "-",
            pids,
            memory.log,
            memory.records.values(),
            until - monotonic(),
            search,
            memory.journal,
            int((before - JOURNAL_BACK).timestamp()),
        )
        return self._look_at(parts, memory, before)

    def _look_at(self, parts: list[Section], memory: Memory, before: datetime) -> Look:
        """The answer beside the memory; `before` is our clock when we asked, and the host's clock is read first."""
        answer = Answer.of(parts)
        tables = answer.tables
        if tables is not None and tables.has_text:
            self.crontabs = crontabs(tables, answer.host.offset_words, answer.processes.program)
        if self.crontabs is None:
            raise NotSupported(f"{self.address.words}: the host sent no crontabs; is its sh a POSIX shell?")
        ours = before + (datetime.now(UTC) - before) / 4
        return Look(self.target, self.options.spool, memory, answer, self.crontabs, ours)

    # -- log ----------------------------------------------------------------------------------------------------------
    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        ref = Ref.from_json(run.native_ref)
        if ref is not None and ref.has_output(self.options.spool):
            return self._output(ref.output, start, limit_bytes, timeout_seconds)
        if ref is None or not ref.lines:
            raise NotSupported(
                f"{run.job}: cron keeps no output, and its log has no line of this run. "
                'The shell wrapper keeps it: "headway cron wrapper".'
            )
        data = bytes_of(NO_OUTPUT + "\n".join(ref.lines) + "\n")
        begin = max(0, len(data) - limit_bytes) if start is None else _number(start)
        piece = data[begin : begin + limit_bytes]
        left = len(data) - begin - len(piece)
        is_cut = start is None and begin > 0
        return LogChunk(text_of(piece), str(begin + len(piece)) if left > 0 else None, left > 0, is_cut)

    def _output(self, path: str, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        parts = self._client.output(path, None if start is None else _number(start), limit_bytes, timeout_seconds)
        status, begin_text, size_text, cut = parts[0].fields(4)
        if parts[0].kind != "CHUNK" or status != "ok":
            raise NotSupported(f"{self.address.words}: {path} is {status}: pruned, or not readable for the login user.")
        data = parts[0].body[:limit_bytes]
        begin, size = _number(begin_text), _number(size_text)
        end = begin + len(data)
        is_cut = start is None and (bool(cut) or begin > 0)  # what goes on where another part ended leaves nothing out
        return LogChunk(text_of(data), str(end), end < size and bool(data), is_cut)

    # -- acts ---------------------------------------------------------------------------------------------------------
    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        return self._acts.preview(ask, monotonic() + timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return self._acts.act(preview, key, monotonic() + timeout_seconds)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        return self._acts.look_up(preview, key, monotonic() + timeout_seconds)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """Asked often, so read anew only when the crontabs' stamps say so, as at a poll."""
        stamp = self.crontabs.checksum if self.crontabs else "-"
        look = self.crontabs_now(monotonic() + timeout_seconds, stamp)
        return self._acts.holds(look)

    def running(self, until: float) -> Look:
        """A look at the end of log and records, for what runs now."""
        before = datetime.now(UTC)
        look = self._look_at(self._client.tail(until - monotonic()), Memory(), before)
        look.from_middle = True
        look.take()
        return look

    def crontabs_now(self, until: float, checksum: str = "-") -> Look:
        """A look at the crontabs alone; their text is sent unless `checksum` holds."""
        before = datetime.now(UTC)
        return self._look_at(self._client.tables(until - monotonic(), checksum), Memory(), before)

    def probe(self, timeout_seconds: float) -> Probe:
        until = monotonic() + timeout_seconds
        before = datetime.now(UTC)
        look = self._look_at(self._client.tables(timeout_seconds), Memory(), before)
        lines = [line for line in look.crontabs.tables.lines if is_safe_name(line.user)]
        holders = sorted({line.user for line in lines if not line.is_system})
        has_system = any(line.is_system for line in lines)
        users = sorted({line.user for line in lines})
        wrappers = sorted({line.wrapper for line in look.crontabs.tables.lines if line.is_wrapped})
        parts = self._client.rights(users, holders, has_system, wrappers or (PATH,), until - monotonic())
        clock = look.answer.clock(look.ours, look.crontabs.zone)
        far = isinstance(self.address, SshAddress)
        signed_in = "host key known; signed in" if far else "this machine, no SSH;"
        return probe(parts, look.answer, look.crontabs, self.options, clock, signed_in)

    def close(self) -> None:
        self._client.close()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotSupported(f"not a place in a log: {text[:40]!r}")
    return int(text)


def open_shell(options: CronOptions, target: str, secrets: Secrets) -> Shell:
    """A login on the host; on this machine the person's own shell, as the engine's user would have it."""
    if options.host(target).local:
        return Shell((os.environ.get("SHELL") or "/bin/sh", "-l"))
    return ssh_shell(address(options, target, secrets))


CONNECTOR = ConnectorKind(
    kind="cron",
    title="cron over SSH",
    options=CronOptions,
    targets=targets,
    open=CronConnector,
    capabilities=frozenset(
        {Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD, Capability.LOG},
    ),
    starts_held=True,
    missing={
        Capability.MARK: "cron keeps no state of a run; Headway asserts it itself",
        Capability.TASKS: "a crontab line has no tasks",
        Capability.PERIODS: "a crontab line gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "cron knows no dependencies; declare them in the config",
    },
    inventory_rides_poll=True,
    proofs=frozenset(Proof),
    verbs={
        Verb.RERUN: "run once",
        Verb.START: "run once",
        Verb.CANCEL: "SIGTERM",
        Verb.HOLD: "comment the line out, with our mark",
        Verb.RELEASE: "the line as it was",
    },
    schedules="expression",
    ladder=LADDER,
    shell=open_shell,
)
