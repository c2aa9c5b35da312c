"""The heartbeat connector: jobs that report by themselves; the API is that of healthchecks.io (its documentation).

`listener` writes each report into the spool before it answers; a poll reads the spool.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.heartbeat import parse
from connectors.heartbeat.listener import PingListener
from connectors.heartbeat.options import LISTENER, HeartbeatOptions
from connectors.heartbeat.parse import NUMBER_RULE, RID_SEPARATOR, TOKEN, HeartbeatRun, PingArrival
from connectors.heartbeat.spool import Spool, current_time
from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.fields import as_json, cursor_or_first
from connectors.sdk.log_chunks import byte_offset, from_character
from connectors.sdk.records import HistoryGap, Inventory, LogChunk, Poll, RunRef, SkippedRecord, TargetClock
from connectors.sdk.states import Capability, ProofLevel
from connectors.sdk.vanished_runs import no_longer_listed

RUNS_PER_POLL = 500
"""Runs in one poll; each may bring 64 KiB of log."""
LISTENER_SILENT_SECONDS = 30.0
"""A listener that wrote nothing for so long is down."""
NO_ACTIONS = "a heartbeat only reports: start, stop or pause the job in its own scheduler"
VANISHED = "no longer in the spool: the file was replaced, or the run is too old"
SPOOL_REPLACED = "the spool was replaced: reports that were not read from the previous one are lost"


class ListenerSilent(SystemUnreachable):
    """The listener wrote nothing for long: no engine runs, or another program has its address."""


@dataclass(frozen=True, slots=True)
class HeartbeatCursor:
    """The id of the spool, and the numbers of the last change and the last gap that were reported."""

    spool: str = ""
    changed: int = 0
    closed: int = 0


class HeartbeatConnector(WatchOnly):
    """One listener. `moment`: now, by both clocks."""

    no_actions = NO_ACTIONS

    def __init__(
        self, options: HeartbeatOptions, secrets: SecretResolver, moment: Callable[[], PingArrival] = current_time
    ) -> None:
        self._options, self._secrets, self._moment = options, secrets, moment
        self._spool: Spool | None = None

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        jobs = (parse.job_record(name, job, self._options.zone) for name, job in self._options.jobs.items())
        return Inventory.of(jobs, clock=self._target_clock()).unless_same(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        with self._reading() as spool:
            before, unreadable = cursor_or_first(HeartbeatCursor(), cursor, "the spool is read again")
            last = before if before.spool == spool.id else HeartbeatCursor(spool.id)
            after, at = last.changed, self._moment()
            listening = self._listening(spool, at)  # before the changes: nothing that arrived until then is left out
            spool.mark_reported(after)
            changes = spool.changes(after, RUNS_PER_POLL)
            seen = {(change.run.job, parse.attempt_key(change.run)) for change in changes}
            unread = spool.unread(after, changes[-1].number) if changes else []
            jobs = self._options.jobs
            runs = [parse.run_record(change.run, jobs.get(change.run.job), at) for change in changes]
            for ref in open_runs:  # some are lost by now
                number = parse.parse_run_number(ref.native_ref)
                if number is None or (ref.job, ref.attempt_key) in seen:
                    continue
                run = spool.run(number)
                if run is not None and _is_same_run(run, ref):
                    runs.append(parse.run_record(run, jobs.get(run.job), at))
                else:
                    runs.append(no_longer_listed(ref, "(not in the spool)", VANISHED))
            closed = spool.closed(last.closed)
            has_more = len(changes) == RUNS_PER_POLL
            changed = changes[-1].number if changes else after
            following = HeartbeatCursor(last.spool, changed, closed[-1].number if closed else last.closed)
        warnings = [*unreadable, *([SPOOL_REPLACED] if before.spool not in ("", last.spool) else [])]
        shared = {(change.run.job, change.run.rid) for change in changes if RID_SEPARATOR in change.run.rid}
        for job, rid in sorted({(job, rid.split(RID_SEPARATOR)[0]) for job, rid in shared}):
            warnings.append(f'{job}: several runs came under the rid "{rid}". Give each run its own, or none')
        skipped = []
        for invalid in unread:
            if invalid.job in jobs:
                where = f"{invalid.job}, {f'rid {invalid.rid}, ' if invalid.rid else ''}{invalid.name}"
                skipped.append(SkippedRecord(where, f"not {NUMBER_RULE}: left out, the report counts", invalid.text))
        gaps = (HistoryGap(_from_epoch(gap.since), _from_epoch(gap.until), "the listener was down") for gap in closed)
        return Poll(
            tuple(run for run in runs if run.job in jobs),
            as_json(following),
            more=has_more,
            clock=self._target_clock(),
            gaps=tuple(gaps),
            seen_until=None if has_more else listening,
            skipped=tuple(skipped),
            warnings=tuple(warnings),
        )

    def _listening(self, spool: Spool, at: PingArrival) -> datetime:
        """Until when the spool has every report. Raises ListenerSilent if the listener is down."""
        last = spool.last_listened()
        if last is None or at.since(last) > LISTENER_SILENT_SECONDS:
            raise ListenerSilent(self._silent(last))
        return _from_epoch(last.wall) - timedelta(seconds=1)

    def _silent(self, last: PingArrival | None) -> str:
        """Why nothing was written for long. A listener that cannot write, or has another spool, looks the same from
        here."""
        since = f" since {_from_epoch(last.wall):%Y-%m-%d %H:%M:%S}Z" if last is not None else " yet"
        return (
            f"{self._options.spool_file}: the listener at {self._options.listen} wrote nothing into it{since}. Fix:"
            " headway status; start the engine, free the address or the disk, or give the engines of one host the same"
            " spool"
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """Log sent with the reports of this run: its last 64 KiB."""
        number = parse.parse_run_number(run.native_ref)
        with self._reading() as spool:
            recorded = spool.run(number) if number is not None else None
        if recorded is None or not _is_same_run(recorded, run):
            raise NotSupported(f"{run.job}: this run is no longer in the spool")
        whole, dropped = recorded.log, recorded.left_out
        at = (
            max(0, len(whole) - limit_bytes) if start is None else min(max(0, byte_offset(start) - dropped), len(whole))
        )
        piece = whole[at : at + limit_bytes]
        piece = from_character(piece) if start is None and at else piece
        end = min(at + limit_bytes, len(whole))
        has_more = end < len(whole)
        following = str(dropped + end) if has_more or recorded.is_open else None
        is_cut = start is None and (at > 0 or dropped > 0)
        return LogChunk(piece.decode("utf-8", "surrogateescape"), following, has_more, is_cut)

    def probe(self, timeout_seconds: float) -> Probe:
        """Whether each job has a token that can be read, and whether an engine listens now."""
        rights = tuple(map(self._permission, self._options.jobs))
        try:
            with self._reading() as spool:
                self._listening(spool, self._moment())
        except SystemUnreachable as error:
            silent = isinstance(error, ListenerSilent)
            return Probe(False, "", rights, (str(error),), self._target_clock(), opens_with_engine=silent)
        return Probe(
            True, rights=rights, notes=(f"an engine listens at {self._options.listen}",), clock=self._target_clock()
        )

    def _permission(self, name: str) -> SourcePermission:
        fix = f"openssl rand -hex 16, and let [systems.…jobs.{name}] token refer to it"
        try:
            usable = TOKEN.fullmatch(self._secrets(self._options.jobs[name].token)) is not None
        except ConnectorError as error:
            return SourcePermission(f"token of {name}", False, str(error), fix)
        return SourcePermission.checked(f"token of {name}", usable, "it is not 16 to 128 letters, digits, _ or -", fix)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    @contextmanager
    def _reading(self) -> Iterator[Spool]:
        """The spool. Raises SystemUnreachable if it is missing or unreadable."""
        file = self._options.spool_file
        try:
            if self._spool is None:
                if not file.exists():
                    raise ListenerSilent(self._silent(None))
                self._spool = Spool(file)
            yield self._spool
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise SystemUnreachable(f"the spool {file} cannot be read: {error}") from None

    def _target_clock(self) -> TargetClock:
        """The clock of this machine: the time of arrival counts, never a sender's clock."""
        at = datetime.now(UTC)
        return TargetClock(at, at, self._options.zone)


def _is_same_run(run: HeartbeatRun, ref: RunRef) -> bool:
    """Whether that number is still the same run's: in another spool they begin again."""
    return (run.job, parse.attempt_key(run)) == (ref.job, ref.attempt_key)


def _from_epoch(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


CONNECTOR = ConnectorKind(
    kind="heartbeat",
    title="Jobs that report by themselves",
    options=HeartbeatOptions,
    targets=lambda options: [LISTENER],
    open=lambda options, target, secrets: HeartbeatConnector(options, secrets),
    listen=lambda options, target, arrived: PingListener(options, arrived),
    capabilities=frozenset({Capability.LOG}),
    missing={
        Capability.RERUN: NO_ACTIONS,
        Capability.START: NO_ACTIONS,
        Capability.CANCEL: NO_ACTIONS,
        Capability.MARK: "no scheduler has the run; Headway records its result as asserted",
        Capability.HOLD: NO_ACTIONS,
        Capability.TASKS: "a reporting job has no tasks; each task may report as a separate job",
        Capability.PERIODS: "a report carries no date: it counts for the time of its arrival",
        Capability.NATIVE_DEPENDENCIES: "declare what it waits for, and what waits for it: [[dependencies]]",
    },
    proofs=frozenset({ProofLevel.FULL}),
    may_start_early=True,
    schedules="expression",
    ladder=(
        "Proves what the job itself reported: its start, its end, success, failure or exit status, and the log that it"
        " sent along. The time of arrival counts. A start without an end in its time is LOST, by inference; while the"
        " listener was down no run counts as missed."
    ),
)
