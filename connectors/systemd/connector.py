"""systemd timers of one host over SSH, as a connector.

Sources: systemd.timer(5), systemctl(1), journalctl(1) of systemd 252.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.fields import as_json, cursor_or_first, masked_head
from connectors.sdk.log_chunks import byte_offset, chunk_of_file
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRef, Schedule, SkippedRecord
from connectors.sdk.states import Capability, ProofLevel
from connectors.sdk.transport.hosts import HostSession, endpoint, open_shell, session_of, targets
from connectors.sdk.transport.script_output import (
    HostNow,
    ScriptSection,
    bytes_of,
    host_now,
    is_journal_denied,
    read_journal,
    text_of,
)
from connectors.systemd import parse
from connectors.systemd.actions import SystemdActions, invocation_of, sudo_fix
from connectors.systemd.client import SystemdClient
from connectors.systemd.options import SystemdOptions
from connectors.systemd.parse import ServiceUnit, TimerUnit
from connectors.systemd.runs import Invocation, InvocationBook, job_id

HISTORY = timedelta(days=14)
"""How far back the first poll reads the journal."""
LAG = timedelta(seconds=5)
"""How long journald may take to write an entry."""
RETENTION = timedelta(minutes=5)
"""Late lines are joined to an ended run for that long."""
NO_HOLD = (
    "a stopped timer cannot show who holds it until when, and starts again at the next boot. Hold its upstreams, or"
    " stop the timer by hand."
)


@dataclass(slots=True)
class SystemdCursor:
    journal: str = ""
    """Cursor of the journal."""
    inventory: str = ""
    """Hash of the inventory that was last reported."""
    runs: list[Invocation] = field(default_factory=list)
    """Open ones, those to be restarted, and those that ended less than RETENTION ago."""
    requested: dict[str, tuple[str, float]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    """By unit its last invocation."""
    restarting: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class SystemdAnswer:
    host: HostNow
    zone: str
    timers: list[TimerUnit]
    services: dict[str, ServiceUnit]
    skipped: list[SkippedRecord]
    warnings: list[str]


class SystemdConnector(ComposedConnector):
    def __init__(
        self, options: SystemdOptions, target: str, secrets: SecretResolver, session: HostSession | None = None
    ) -> None:
        self.options, self.target = options, target
        self._host = SystemdClient(options, session or session_of(options, target, secrets))
        super().__init__(
            self._host,
            inventory=self._read_inventory,
            poll=self._read_runs,
            log=self._read_log,
            acts=SystemdActions(self._host, target),
            holds=unsupported(NO_HOLD),
            probe=self._read_permissions,
        )

    def _read_inventory(self, previous_hash: str) -> Inventory:
        before = datetime.now(UTC)
        answer = self._read(self._host.timers())
        return self._inventory_of(answer, before).unless_same(previous_hash)

    def _inventory_of(self, answer: SystemdAnswer, ours: datetime) -> Inventory:
        by_service: dict[str, list[TimerUnit]] = {}
        for timer in answer.timers:
            by_service.setdefault(timer.service, []).append(timer)
        jobs = (_job(self.target, unit, timers, answer) for unit, timers in sorted(by_service.items()))
        return Inventory.of(jobs, not answer.warnings, answer.host.clock(ours, answer.zone), answer.skipped)

    def _read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        instead = f"history is read again from {HISTORY.days} days back"
        known, unreadable = cursor_or_first(SystemdCursor(), cursor, instead)
        before = datetime.now(UTC)
        since = int((before - HISTORY).timestamp())
        runs_by_id = {run.invocation: run for run in known.runs}
        book = InvocationBook(runs_by_id, known.requested, known.last, known.restarting)
        parts = self._host.snapshot(known.journal, since, sorted(book.units))
        answer = self._read(parts)
        ends = [part for part in parts if part.kind == "JEND"]
        is_whole = bool(ends)
        journal = read_journal(_only(parts, "JOURNAL").body, is_whole, parse.unit_event)
        messages = [parse.warnings_of(message, self._host.where) for message in journal.messages]
        watched = book.units | {timer.service for timer in answer.timers}
        lines = dict.fromkeys(event for event in journal.entries if event.unit in watched)  # one may come twice
        book.add_events(lines, answer.host.boot)
        if is_whole:
            book.settle(answer.services, answer.host.boot, answer.host.now)
            book.correct(answer.services)
        inventory = self._inventory_of(answer, before)
        runs = book.reported(map(invocation_of, open_runs))
        retained = (answer.host.now - RETENTION).timestamp()
        recent = [
            run
            for run in book.runs.values()
            if not run.ended or run.will_restart or run.ended >= retained or not (is_whole or run.answered)
        ]
        last = {unit: invocation for unit, invocation in book.last.items() if unit in watched}
        following = SystemdCursor(
            journal.cursor or known.journal, inventory.hash, recent, book.requested, last, book.restarting
        )
        failed = bool(ends) and ends[0].rest not in ("0", "")
        warnings = [*unreadable, *answer.warnings, *messages]
        warnings += [f"journalctl ended with status {ends[0].rest[:20]}"] if failed and not messages else []
        warnings += [
            f'unknown result "{masked_head(item, 60)}" of a service: shown as FAILED' for item in sorted(book.unknown)
        ]
        warnings += self._host.trust_warnings
        proves = is_whole and not failed and not answer.warnings
        return Poll(
            runs=tuple(run.record(self.target) for run in runs),
            cursor=as_json(following),
            more=not is_whole,
            complete=not failed,
            clock=answer.host.clock(before, answer.zone),
            skipped=journal.skipped,
            inventory=None if inventory.hash == known.inventory else inventory,
            seen_until=answer.host.now - LAG if proves else None,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _read(self, parts: list[ScriptSection]) -> SystemdAnswer:
        host = host_now(_only(parts, "HOST"))
        me = _only(parts, "ME").fields(4)
        version = parse.version(me[2])
        elapses, warnings = parse.next_elapses(_only(parts, "TIMERS").body, self._host.where)
        if version is not None and version < parse.OLDEST:
            raise NotSupported(
                f"{self._host.where}: {masked_head(me[2], 60)} is too old: {parse.OLDEST} or newer is needed"
            )
        timers: list[TimerUnit] = []
        skipped: list[SkippedRecord] = []
        services: dict[str, ServiceUnit] = {}
        for part in parts:
            if part.kind == "SET":
                timers, skipped = parse.timers(part.body, elapses)
            elif part.kind == "NAMES":
                loaded, files = part.fields(2)
                warnings += parse.unlisted(loaded, files, elapses)
            elif part.kind == "SERVICES":
                services = parse.services(part.body)
        chosen = [timer for timer in timers if parse.is_wanted(timer.unit, self.options.timers, self.options.ignore)]
        skipped = [item for item in skipped if parse.is_wanted(item.where, self.options.timers, self.options.ignore)]
        zone = me[3].partition("/zoneinfo/")[2] or host.offset_text
        return SystemdAnswer(host, zone, chosen, services, skipped, warnings)

    def _read_log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        invocation = invocation_of(run)
        if not (invocation.isascii() and invocation.isalnum() and len(invocation) == 32):
            raise NotSupported(f"{run.job}: the invocation of this run is unknown, so its log cannot be found")
        at = None if start is None else byte_offset(start)
        part = _only(self._host.output(invocation, at, limit_bytes), "CHUNK")
        begin, size = (int(number) if number.isdigit() else 0 for number in part.fields(2))
        if not size:
            raise NotSupported(f"{run.job}: the journal has no line of this run, or the login may not read it")
        return chunk_of_file(part.body, begin, size, start, limit_bytes)

    def _read_permissions(self) -> Probe:
        before = datetime.now(UTC)
        answer = self._read(self._host.timers())
        units = sorted({timer.service for timer in answer.timers})
        parts = self._host.rights(units)
        me = _only(parts, "ME").fields(4)
        notes = (f"{self._host.signed_in} as {me[0]} (groups {me[1]})", f"{len(answer.timers)} timers")
        can_read = not is_journal_denied(text_of(_only(parts, "JOURNAL").body))
        why, fix = "journalctl hides other users' entries", f"usermod -a -G systemd-journal {me[0]}"
        permissions = [SourcePermission.checked("read the journal", can_read, why, fix)]
        for answered, verb, unit in (part.fields(3) for part in parts if part.kind == "MAY"):
            fix = sudo_fix(self._host.where, unit)
            permissions.append(SourcePermission.checked(f"{verb} {unit}", answered == "yes", "refused", fix, "act"))
        clock = answer.host.clock(before, answer.zone)
        return Probe(True, me[2], tuple(permissions), (*notes, *answer.warnings), clock)


def _job(host: str, unit: str, timers: list[TimerUnit], answer: SystemdAnswer) -> JobRecord:
    service = answer.services.get(unit)
    calendar = [expression for timer in timers for expression in timer.calendar]
    monotonic = [setting for timer in timers for setting in timer.monotonic]
    next_at = min((timer.next_at for timer in timers if timer.next_at), default=None)
    if calendar:
        window, text = max(timer.window for timer in timers if timer.calendar), "; ".join([*calendar, *monotonic])
        schedule = Schedule("systemd", "; ".join(calendar), answer.zone, text, window=window)
    else:
        schedule = Schedule("none", "", answer.zone, ", ".join(monotonic), next_at)
    command, path = (service.command, service.path) if service else ("", "")
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


def _only(parts: list[ScriptSection], kind: str) -> ScriptSection:
    result = next((part for part in parts if part.kind == kind), None)
    if result is None:
        raise RecordUnreadable(f"the host's answer lacks {kind}: is its sh a POSIX shell, and systemd there?")
    return result


CONNECTOR = ConnectorKind(
    kind="systemd",
    title="systemd timers over SSH",
    options=SystemdOptions,
    targets=targets,
    open=SystemdConnector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.LOG}),
    missing={
        Capability.HOLD: NO_HOLD,
        Capability.MARK: "systemd cannot set a run's result; Headway records it as asserted",
        Capability.TASKS: "a service has no tasks",
        Capability.PERIODS: "a service gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "After= waits for no run: declare dependencies in the config",
    },
    proofs=frozenset({ProofLevel.FULL}),
    inventory_rides_poll=True,
    schedules="expression",
    ladder=(
        "Each invocation of a service that a timer starts is a run; the journal proves start, end and result (success,"
        " exit-code, signal, timeout …), with its output. Where the journal lost an end, systemd's own last invocation"
        " shows it; where that is another one, the end is UNKNOWN."
    ),
    shell=open_shell,
    endpoint=endpoint,
)
