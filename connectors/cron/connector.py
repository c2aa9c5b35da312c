"""cron on one host over SSH. Sources: cron(8), crontab(5), cron 3.0pl1-162 of Debian 12 as measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from connectors.arrival import sent_at
from connectors.contract import (
    ACTION_KEY,
    Absent,
    AccessRefused,
    Ask,
    CannotTell,
    Capability,
    ConnectorKind,
    Found,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Receipt,
    RunRef,
    Secrets,
    State,
)
from connectors.cron import client as talk
from connectors.cron import parse, rerun
from connectors.cron.client import CronClient
from connectors.cron.crontab import Line, bytes_of, text_of
from connectors.cron.look import Answer, Crontabs, Look, crontabs
from connectors.cron.options import CronOptions, targets
from connectors.cron.probe import denied_words, probe
from connectors.cron.records import Ref, native_id
from connectors.cron.state import Memory
from connectors.transport.ssh import SshSession

NO_OUTPUT = "cron keeps no output of this job. The lines of its log about this run:\n"
LADDER = (
    "cron -L 1 (Debian's default) proves only that a job started: its end is UNKNOWN. -L 7 or -L 15 proves END and "
    "exit status. The shell wrapper (one line SHELL=… in the crontab) and our own reruns prove all, with output."
)


class CronConnector:
    """One host; keeps its connection and the crontabs it last read between calls."""

    def __init__(
        self, options: CronOptions, target: str, secrets: Secrets, session: talk.Session | None = None
    ) -> None:
        self.options = options
        self.target = target
        self.address = talk.address(options, target, secrets)
        self._client = CronClient(options, session or SshSession(self.address))
        self.crontabs: Crontabs | None = None
        self._inventory: Inventory | None = None
        self._inventory_of: tuple[Crontabs, int] | None = None

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        look = self._look_at(self._client.tables(timeout_seconds), Memory(), datetime.now(UTC))
        found = look.inventory()
        if previous_hash and found.hash == previous_hash:
            return Inventory((), True, found.hash, unchanged=True, clock=found.clock)
        return found

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        until = monotonic() + timeout_seconds
        known = self.crontabs
        look = self._ask(Memory.from_json(cursor), known, frozenset(), until)
        moved = look.moved()
        if moved:
            look = self._ask(look.memory, known, moved, until)
        look.take()
        return look.poll(tuple(open_runs), self._news(look))

    def _news(self, look: Look) -> Inventory | None:
        """The inventory where it is not the one that came with an earlier poll of this cursor."""
        made_of = (look.crontabs, look.level)
        if self._inventory is None or self._inventory_of != made_of:
            self._inventory, self._inventory_of = look.inventory(), made_of
        if self._inventory.hash == look.memory.inventory:
            return None
        look.memory.inventory = self._inventory.hash
        return replace(self._inventory, clock=look.answer.clock(look.ours, look.crontabs.zone))

    def _ask(self, memory: Memory, known: Crontabs | None, search: frozenset[str], until: float) -> Look:
        unended = [one for one in memory.book.attempts if one.state.is_open or one.is_unproved]
        pids = {pid for one in unended for pid in (one.pid, one.child) if pid}
        before = datetime.now(UTC)
        parts = self._client.look(
            known.checksum if known else "-", pids, memory.log, memory.records.values(), until - monotonic(), search
        )
        return self._look_at(parts, memory, before)

    def _look_at(self, parts: list[parse.Section], memory: Memory, before: datetime) -> Look:
        """The answer beside the memory; `before` is our clock when we asked, and the host's clock is read first."""
        answer = Answer.of(parts)
        tables = answer.tables
        if tables is not None and tables.has_text:
            self.crontabs = crontabs(tables, answer.host.offset_words)
        if self.crontabs is None:
            raise NotSupported(f"{self.address.words}: the host sent no crontabs; is its sh a POSIX shell?")
        ours = before + (datetime.now(UTC) - before) / 4
        return Look(self.target, self.options.spool, memory, answer, self.crontabs, ours)

    # -- log ----------------------------------------------------------------------------------------------------------
    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        ref = Ref.from_json(run.native_ref)
        if ref is not None and ref.output.startswith(f"{self.options.spool}/"):
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
        return LogChunk(text_of(piece), str(begin + len(piece)) if left > 0 else None, left > 0, begin > 0 or left > 0)

    def _output(self, path: str, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        parts = self._client.output(path, None if start is None else _number(start), limit_bytes, timeout_seconds)
        status, begin_text, size_text, cut = parts[0].fields(4)
        if parts[0].kind != "CHUNK" or status != "ok":
            raise NotSupported(f"{self.address.words}: {path} is {status}: pruned, or not readable for the login user.")
        data = parts[0].body[:limit_bytes]
        begin, size = _number(begin_text), _number(size_text)
        end = begin + len(data)
        return LogChunk(text_of(data), str(end), end < size and bool(data), bool(cut) or begin > 0 or end < size)

    # -- rerun --------------------------------------------------------------------------------------------------------
    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        if ask.verb != "rerun":
            raise NotSupported(f'cron has no "{ask.verb}"; what it has is: rerun')
        until = monotonic() + timeout_seconds
        look = self._running(until)
        line = self._line(look, ask.run.job)
        overlap = _overlap(look, ask)
        skew = look.answer.clock(look.ours, "").skew_seconds
        order = rerun.Order.of(self.target, ask.run.job, line, skew, overlap is not None)
        refused = rerun.find_line(self._client, order, self.address.user, until - monotonic())
        return rerun.preview(order, line, ask, overlap, refused)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        until = monotonic() + timeout_seconds
        _check_key(key)
        order = rerun.Order.from_plan(preview.plan)
        talk.safe_name(order.user)
        if not order.overlap:
            pid = _runs(self._running(until), order.job)
            if pid is not None:
                words = f"{order.job} started meanwhile on {self.target} as process {pid}. Look at the preview again."
                raise NotSupported(words)
        return rerun.send(self._client, order, key, self.address.user, until - monotonic(), sent_at(preview.plan))

    def holds(self, timeout_seconds: float) -> tuple[NativeHold, ...]:
        raise NotSupported("cron: holds are not kept by this kind")

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        _check_key(key)
        order = rerun.Order.from_plan(preview.plan)
        parts = self._client.mark(talk.safe_name(order.user), key, timeout_seconds)
        answer, status = parts[1].fields(2)
        if answer == "found":
            return Found(key, f"its mark is on {self.target}" + (f", exit status {status}" if status else ""))
        if answer == "absent":
            return self._absent(order, sent_at(preview.plan), _number(parts[0].rest))
        folder = f"{self.options.spool}/{order.user}/actions"
        return CannotTell(f"{self.target}: {folder} cannot be read by {self.address.user}")

    def _absent(self, order: rerun.Order, sent: datetime | None, host_now: int) -> LookUp:
        """Proved only when, by its own clock, the host would not start it any more."""
        if sent is None or host_now > order.not_after(sent) + rerun.START_SECONDS:
            return Absent()
        left = int(order.not_after(sent) + rerun.START_SECONDS - host_now)
        return CannotTell(f"no mark of it is on {self.target} yet; it may still be started for {left} s")

    def _running(self, until: float) -> Look:
        """A look at the end of log and records, for what runs now."""
        before = datetime.now(UTC)
        look = self._look_at(self._client.tail(until - monotonic()), Memory(), before)
        look.from_middle = True
        look.take()
        return look

    def _line(self, look: Look, job: str) -> Line:
        for line in look.crontabs.tables.lines:
            if native_id(self.target, line) == job:
                return line
        if look.crontabs.denied:
            raise AccessRefused(denied_words(look.crontabs.denied, self.target, self.address.user))
        raise NotSupported(f"{job} is in no crontab of {self.target} now, so cron has nothing to run")

    # -- probe --------------------------------------------------------------------------------------------------------
    def probe(self, timeout_seconds: float) -> Probe:
        until = monotonic() + timeout_seconds
        before = datetime.now(UTC)
        look = self._look_at(self._client.tables(timeout_seconds), Memory(), before)
        users = [user for user in look.crontabs.users if talk.is_safe_name(user)]
        parts = self._client.rights(users, until - monotonic())
        return probe(parts, look.answer, look.crontabs, self.options, look.answer.clock(look.ours, look.crontabs.zone))

    def close(self) -> None:
        self._client.close()


def _overlap(look: Look, ask: Ask) -> str | None:
    pid = _runs(look, ask.run.job)
    if pid is not None:
        return f"it runs now as process {pid}; cron itself never keeps two runs of a line apart"
    if look.answer.processes.hidden:
        return "the host hides other users' processes (hidepid), so whether it runs cannot be seen"
    return None


def _runs(look: Look, job: str) -> int | None:
    """Process id of a run of that job that is alive now."""
    for one in look.memory.book.attempts:
        if one.job == job and one.state is State.RUNNING and not one.gone:
            return one.pid
    return None


def _check_key(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotSupported(f"not a place in a log: {text[:40]!r}")
    return int(text)


CONNECTOR = ConnectorKind(
    kind="cron",
    title="cron over SSH",
    options=CronOptions,
    targets=targets,
    open=CronConnector,
    capabilities=frozenset({Capability.RERUN, Capability.LOG}),
    missing={
        Capability.START: "Headway cannot do this here yet",
        Capability.CANCEL: "Headway cannot do this here yet",
        Capability.MARK: "Headway cannot do this here yet",
        Capability.HOLD: "Headway cannot do this here yet",
        Capability.TASKS: "a crontab line has no tasks",
        Capability.NATIVE_DEPENDENCIES: "cron knows no dependencies; declare them in the config",
    },
    inventory_rides_poll=True,
    ladder=LADDER,
)
