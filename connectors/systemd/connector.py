"""systemd timers of one host over SSH. Sources: systemd.timer(5), systemctl(1), journalctl(1) of systemd 252."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from connectors.contract import (
    Ask,
    Capability,
    Clock,
    ConnectorKind,
    Inventory,
    JobRecord,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RecordUnreadable,
    RunRef,
    Schedule,
    Secrets,
    Shell,
    Skipped,
)
from connectors.systemd import journal, parse
from connectors.systemd.acts import SystemdActs, reference
from connectors.systemd.client import SystemdClient
from connectors.systemd.options import SystemdOptions
from connectors.systemd.parse import Service, Timer
from connectors.systemd.rights import act_rights, journal_right
from connectors.systemd.runs import Book, job_id
from connectors.transport.answer import HostNow, Section, bytes_of, host_now, text_of
from connectors.transport.hosts import Session, targets
from connectors.transport.ssh_connect import SshAddress, trust_words
from connectors.transport.ssh_shell import ssh_shell
from connectors.transport.ways import address, session_of

LAG = timedelta(seconds=5)
"""journald has written what happened that long ago."""
KEPT = timedelta(minutes=5)
"""Late lines about a run that has ended are joined to it for that long."""
NO_HOLD = (
    "a timer that was stopped bears no mark of who held it and until when, and starts again at the next boot: a hold"
    " could not be trusted. Hold its upstreams, or stop the timer by hand."
)


@dataclass(slots=True)
class Answer:
    """One look, read."""

    host: HostNow
    zone: str
    version: int | None
    timers: list[Timer]
    services: dict[str, Service]
    skipped: list[Skipped]
    words: list[str]


class SystemdConnector:
    """One host."""

    def __init__(self, options: SystemdOptions, target: str, secrets: Secrets, session: Session | None = None) -> None:
        self.options = options
        self.target = target
        self._session = session or session_of(options, target, secrets)
        self._client = SystemdClient(options, self._session)
        self._acts = SystemdActs(self._client, target)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        before = datetime.now(UTC)
        answer = self._read(self._client.timers(timeout_seconds))
        found = self._inventory(answer, before)
        if previous_hash and found.hash == previous_hash:
            return Inventory((), True, found.hash, unchanged=True, clock=found.clock)
        return found

    def _inventory(self, answer: Answer, ours: datetime) -> Inventory:
        jobs, skipped = jobs_of(self.target, answer)
        content = repr((sorted(map(repr, jobs)), skipped))
        known = sha256(bytes_of(content)).hexdigest()
        return Inventory(tuple(jobs), not answer.words, known, clock=_clock(answer, ours), skipped=tuple(skipped))

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        memory = _memory(cursor)
        before = datetime.now(UTC)
        since = int((before - timedelta(hours=self.options.history_hours)).timestamp())
        book = Book.of(memory.get("b"))
        parts = self._client.look(str(memory.get("c", "")), since, sorted(book.units), timeout_seconds)
        answer = self._read(parts)
        section = _only(parts, "JOURNAL")
        ends = [part for part in parts if part.kind == "JEND"]
        heard = journal.read(section.body, bool(ends), self._client.where)
        wanted = book.units | {timer.service for timer in answer.timers}
        book.hear((event for event in heard.events if event.unit in wanted), answer.host.boot)
        if heard.is_whole:
            book.settle(answer.services, answer.host.boot, answer.host.now)
            book.correct(answer.services)
        again = [str(reference(ref).get("invocation", "")) for ref in open_runs]
        inventory = self._inventory(answer, before)
        kept = (answer.host.now - KEPT).timestamp()
        runs = book.told(again)
        value = {"c": heard.cursor or memory.get("c", ""), "b": book.as_value(kept), "i": inventory.hash}
        failed = bool(ends) and ends[0].rest not in ("0", "")
        words = [*answer.words, *heard.words]
        words += [f"journalctl ended with status {ends[0].rest[:20]}"] if failed and not heard.words else []
        words += [f'unknown result "{one[:60]}" of a service: shown as UNKNOWN' for one in sorted(book.unknown)]
        words += trust_words(self._session.address) if isinstance(self._session.address, SshAddress) else ()
        proves = heard.is_whole and not failed and not answer.words
        return Poll(
            runs=tuple(run.record(self.target) for run in runs),
            cursor=json.dumps(value, separators=(",", ":")),
            more=not heard.is_whole,
            complete=not failed,
            clock=_clock(answer, before),
            skipped=heard.skipped,
            inventory=None if inventory.hash == memory.get("i") else inventory,
            seen_until=answer.host.now - LAG if proves else None,
            warnings=tuple(dict.fromkeys(words)),
        )

    def _read(self, parts: list[Section]) -> Answer:
        host = host_now(_only(parts, "HOST"))
        me = _only(parts, "ME").fields(4)
        version = parse.version(me[2])
        elapses, words = parse.next_elapses(_only(parts, "TIMERS").body, self._client.where)
        if version is not None and version < parse.OLDEST:
            raise NotSupported(f"{self._client.where}: {me[2][:60]} is too old: {parse.OLDEST} or newer is needed")
        timers: list[Timer] = []
        skipped: list[Skipped] = []
        services: dict[str, Service] = {}
        for part in parts:
            if part.kind == "SET":
                timers, skipped = parse.timers(part.body, elapses)
            elif part.kind == "NAMES":
                loaded, files = part.fields(2)
                words += parse.unlisted(loaded, files, elapses)
            elif part.kind == "SERVICES":
                services = parse.services(part.body)
        chosen = [one for one in timers if parse.is_wanted(one.unit, self.options.timers, self.options.ignore)]
        skipped = [one for one in skipped if parse.is_wanted(one.where, self.options.timers, self.options.ignore)]
        zone = me[3].partition("/zoneinfo/")[2] or host.offset_words
        return Answer(host, zone, version, chosen, services, skipped, words)

    # -- log ----------------------------------------------------------------------------------------------------------
    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What the invocation wrote into the journal."""
        invocation = str(reference(run).get("invocation", ""))
        if not (invocation.isascii() and invocation.isalnum() and len(invocation) == 32):
            raise NotSupported(
                f"{run.job}: no invocation of systemd's is known for this run, so its log cannot be found"
            )
        if start is not None and not (start.isascii() and start.isdigit() and len(start) < 19):
            raise NotSupported(f"not a place in a log: {start[:40]!r}")
        at = None if start is None else int(start)
        part = _only(self._client.output(invocation, at, limit_bytes, timeout_seconds), "CHUNK")
        begin, size = (int(word) if word.isdigit() else 0 for word in part.fields(2))
        data = part.body[:limit_bytes]
        end = begin + len(data)
        if not size:
            raise NotSupported(
                f"{run.job}: the journal has no line of this run (any more), or the login may not read it"
            )
        return LogChunk(text_of(data), str(end), end < size and bool(data), begin > 0 or end < size)

    # -- acts ---------------------------------------------------------------------------------------------------------
    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        return self._acts.preview(ask, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return self._acts.act(preview, key, timeout_seconds)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        return self._acts.look_up(preview, key, timeout_seconds)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        before = datetime.now(UTC)
        answer = self._read(self._client.timers(timeout_seconds))
        units = sorted({one.service for one in answer.timers})
        parts = self._client.rights(units, timeout_seconds)
        me = _only(parts, "ME").fields(4)
        far = isinstance(self._session.address, SshAddress)
        signed_in = "host key known; signed in" if far else "this machine, no SSH;"
        notes = (f"{signed_in} as {me[0]} (groups {me[1]})", f"{len(answer.timers)} timers")
        rights = (journal_right(_only(parts, "JOURNAL"), me[0]), *act_rights(parts, self._client.where))
        return Probe(True, me[2], rights, (*notes, *answer.words), _clock(answer, before))

    def close(self) -> None:
        self._client.close()


def jobs_of(host: str, answer: Answer) -> tuple[list[JobRecord], list[Skipped]]:
    """Each service that timers start is a job; its schedule is that of all its timers."""
    by_service: dict[str, list[Timer]] = {}
    for timer in answer.timers:
        by_service.setdefault(timer.service, []).append(timer)
    jobs = [_job(host, unit, timers, answer) for unit, timers in sorted(by_service.items())]
    return jobs, answer.skipped


def _job(host: str, unit: str, timers: list[Timer], answer: Answer) -> JobRecord:
    service = answer.services.get(unit)
    calendar = [expression for timer in timers for expression in timer.calendar]
    monotonic = [words for timer in timers for words in timer.monotonic]
    next_at = min((timer.next_at for timer in timers if timer.next_at), default=None)
    if calendar:
        schedule = Schedule("systemd", "; ".join(calendar), answer.zone, "; ".join([*calendar, *monotonic]))
    else:
        schedule = Schedule("none", "", answer.zone, ", ".join(monotonic), next_at)
    command = service.command if service else ""
    path = service.path if service else ""
    definition = command or f"{unit} {path}".strip()
    return JobRecord(
        native_id=job_id(host, unit),
        title=unit.removesuffix(".service"),
        schedule=schedule,
        paused=not any(timer.active for timer in timers),
        definition=definition,
        definition_hash=sha256(bytes_of(repr((definition, calendar, monotonic)))).hexdigest(),
        run_as=service.user if service else "",
    )


def _only(parts: list[Section], kind: str) -> Section:
    found = next((part for part in parts if part.kind == kind), None)
    if found is None:
        raise RecordUnreadable(f"the host's answer lacks {kind}: is its sh a POSIX shell, and systemd there?")
    return found


def _clock(answer: Answer, ours: datetime) -> Clock:
    up = timedelta(seconds=answer.host.uptime_seconds)
    return Clock(answer.host.now, ours, answer.zone, ours - up if up else None)


def _memory(cursor: str) -> dict[str, Any]:
    """What one poll hands to the next; what cannot be read begins anew."""
    try:
        value = json.loads(cursor) if cursor else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def open_shell(options: SystemdOptions, target: str, secrets: Secrets) -> Shell:
    """A login on the host; on this machine the person's own shell, as the engine's user would have it."""
    if options.host(target).local:
        return Shell((os.environ.get("SHELL") or "/bin/sh", "-l"))
    return ssh_shell(address(options, target, secrets))


CONNECTOR = ConnectorKind(
    kind="systemd",
    title="systemd timers over SSH",
    options=SystemdOptions,
    targets=targets,
    open=SystemdConnector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.LOG}),
    missing={
        Capability.HOLD: NO_HOLD,
        Capability.MARK: "systemd keeps no state of a run that could be set; Headway asserts it itself",
        Capability.TASKS: "a service has no tasks",
        Capability.PERIODS: "a service gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "After= waits for no run: declare dependencies in the config",
    },
    proofs=frozenset({Proof.FULL}),
    inventory_rides_poll=True,
    schedules="expression",
    ladder=(
        "Each invocation of a service that a timer starts is a run; the journal proves start, end and result (success,"
        " exit-code, signal, timeout …), with its output. Where the journal lost an end, systemd's own last invocation"
        " tells it; where that is another one, the end is UNKNOWN."
    ),
    shell=open_shell,
)
