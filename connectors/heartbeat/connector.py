"""Jobs that report by themselves through the engine's inbound door; the API is that of healthchecks.io (its docs).

The door (`connectors.heartbeat.door`) writes each report into a spool before it answers; a poll reads the spool.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NoReturn

from connectors.characters import from_character
from connectors.contract import (
    Absent,
    Ask,
    Capability,
    Clock,
    Connector,
    ConnectorError,
    ConnectorKind,
    Gap,
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
    Right,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
    SystemUnreachable,
)
from connectors.heartbeat import parse
from connectors.heartbeat.book import AGAIN, Moment, Run
from connectors.heartbeat.door import open_door
from connectors.heartbeat.options import HeartbeatOptions, targets
from connectors.heartbeat.ping import A_NUMBER, TOKEN
from connectors.heartbeat.spool import Spool, Unread, now

BITE = 500
"""Runs in one poll; each may bring 64 KiB of log."""
CLOSED_SECONDS = 30.0
"""A door that wrote nothing for so long is not open."""
ONLY_LISTENS = "the door only listens: run the job where it runs, and it reports here"
SPOOL_LOST = "the spool is another one: what nobody had read of the one before is gone"


class NobodyListens(SystemUnreachable):
    """The door wrote nothing for long: an engine opens it, where no other program has its address."""


class HeartbeatConnector:
    """One door. `moment`: now, by both clocks."""

    def __init__(self, options: HeartbeatOptions, secrets: Secrets, moment: Callable[[], Moment] = now) -> None:
        self._options = options
        self._secrets = secrets
        self._moment = moment
        self._kept: Spool | None = None

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        jobs = tuple(parse.job(name, one, self._options.zone) for name, one in self._options.jobs.items())
        digest = sha256(repr(jobs).encode()).hexdigest()[:16]
        if digest == previous_hash:
            return Inventory((), complete=True, hash=digest, unchanged=True, clock=self._clock())
        return Inventory(jobs, complete=True, hash=digest, clock=self._clock())

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """What was reported since the cursor, and which of the open runs are lost by now."""
        with self._reading() as spool:
            before = _memory(cursor)
            known = before if before.get("spool") == spool.id else {}
            after, at = int(known.get("changed", 0)), self._moment()
            listening = self._listening(spool, at)  # before what arrived: nothing that came until then is left out
            spool.told(after)
            changes = spool.changes(after, BITE)
            seen = {(one.run.job, parse.key_of(one.run)) for one in changes}
            unread = spool.unread(after, changes[-1].number) if changes else []
            runs = [self._record(one.run, at) for one in changes]
            runs += self._lost(spool, open_runs, seen, at)
            closed = spool.closed(int(known.get("closed", 0)))
            more = len(changes) == BITE
            words = {
                "spool": spool.id,
                "changed": changes[-1].number if changes else after,
                "closed": closed[-1][0] if closed else known.get("closed", 0),
            }
        warnings = [SPOOL_LOST] if before and not known else []
        warnings += sorted({_one_rid(one.run) for one in changes if AGAIN in one.run.rid})
        return Poll(
            tuple(one for one in runs if one.job in self._options.jobs),
            json.dumps(words),
            more=more,
            clock=self._clock(),
            gaps=tuple(Gap(_at(since), _at(until), "the door was closed") for _, since, until in closed),
            seen_until=None if more else listening,
            skipped=tuple(_left_out(one) for one in unread if one.job in self._options.jobs),
            warnings=tuple(warnings),
        )

    def _listening(self, spool: Spool, at: Moment) -> datetime:
        """Until when all that was reported stands in the spool. Raises NobodyListens where the door is closed."""
        heard = spool.listened()
        if heard is None or at.since(heard[1]) > CLOSED_SECONDS:
            raise NobodyListens(self._silent(heard[1] if heard is not None else None))
        return _at(heard[1].wall) - timedelta(seconds=1)

    def _silent(self, last: Moment | None) -> str:
        """Why nothing was written for long. A door that listens and cannot write looks the same from here."""
        if last is None:
            return f"no engine listens at {self._options.listen} yet: headway engine opens it"
        return (
            f"the door at {self._options.listen} wrote nothing since {_at(last.wall):%Y-%m-%d %H:%M:%S}Z:"
            " no engine works, another program has its address,"
            f" or the disk of {self._options.spool_file} is full. See headway status"
        )

    def _lost(
        self, spool: Spool, refs: Sequence[RunRef], seen: set[tuple[str, str]], at: Moment
    ) -> Iterator[RunRecord]:
        for ref in refs:
            number = parse.number_of(ref.native_ref)
            if number is None or (ref.job, ref.attempt_key) in seen:
                continue
            run = spool.run(number)
            yield self._record(run, at) if run is not None and _is_of(run, ref) else parse.gone(ref)

    def _record(self, run: Any, at: Moment) -> RunRecord:
        return parse.record(run, self._options.jobs.get(run.job), at)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What was sent with the reports of this run: its last 64 KiB."""
        number = parse.number_of(run.native_ref)
        with self._reading() as spool:
            found = spool.run(number) if number is not None else None
        if found is None or not _is_of(found, run):
            raise NotSupported(f"{run.job}: this run stands in the spool no more")
        if start is not None and not (start.isascii() and start.isdigit() and len(start) < 16):
            raise NotSupported(f"not a place in a log: {start[:40]!r}")
        whole, dropped = found.log, found.left_out
        at = max(0, len(whole) - limit_bytes) if start is None else min(max(0, int(start) - dropped), len(whole))
        piece = whole[at : at + limit_bytes]
        piece = from_character(piece) if start is None and at else piece
        end = min(at + limit_bytes, len(whole))
        more = end < len(whole)
        text = piece.decode("utf-8", "surrogateescape")
        cut = start is None and (at > 0 or dropped > 0)
        return LogChunk(text, str(dropped + end) if more or found.is_open else None, more, cut)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        _refuse()

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        _refuse()

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        _refuse()

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """Nothing ever left."""
        return Absent()

    def probe(self, timeout_seconds: float) -> Probe:
        """Whether each job has a token that can be read, and whether an engine listens now."""
        rights = tuple(self._right(name) for name in self._options.jobs)
        try:
            with self._reading() as spool:
                self._listening(spool, self._moment())
        except SystemUnreachable as error:
            silent = isinstance(error, NobodyListens)
            return Probe(False, "", rights, (str(error),), self._clock(), opens_with_engine=silent)
        return Probe(True, rights=rights, notes=(f"an engine listens at {self._options.listen}",), clock=self._clock())

    def _right(self, name: str) -> Right:
        mend = f"openssl rand -hex 16, and let [systems.…jobs.{name}] token refer to it"
        try:
            usable = TOKEN.fullmatch(self._secrets(self._options.jobs[name].token)) is not None
        except ConnectorError as error:
            return Right(f"token of {name}", False, str(error), mend)
        why = "" if usable else "it is not 16 to 128 letters, digits, _ or -"
        return Right(f"token of {name}", usable, why, "" if usable else mend)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @contextmanager
    def _reading(self) -> Iterator[Spool]:
        """The spool. Raises SystemUnreachable where there is none, or where it cannot be read."""
        file = self._options.spool_file
        try:
            if self._kept is None:
                if not file.exists():
                    raise NobodyListens(self._silent(None))
                self._kept = Spool(file)
            yield self._kept
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise SystemUnreachable(f"the spool {file} cannot be read: {error}") from None

    def _clock(self) -> Clock:
        """The time of arrival counts, which is ours: a sender's clock is never asked."""
        at = datetime.now(UTC)
        return Clock(at, at, self._options.zone)


def _is_of(run: Run, ref: RunRef) -> bool:
    """Whether that number is still the same run's: in another spool they begin again."""
    return (run.job, parse.key_of(run)) == (ref.job, ref.attempt_key)


def _left_out(number: Unread) -> Skipped:
    where = f"{number.job}, {f'rid {number.rid}, ' if number.rid else ''}{number.name}"
    return Skipped(where, f"not {A_NUMBER}: left out, the report counts", number.text)


def _one_rid(run: Run) -> str:
    rid = run.rid.partition(AGAIN)[0]
    return f'{run.job}: several runs came under the rid "{rid}". Give each run its own, or none'


def _refuse() -> NoReturn:
    raise NotSupported(ONLY_LISTENS)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _memory(cursor: str) -> Mapping[str, Any]:
    """What a poll told the next one; what cannot be read begins anew."""
    try:
        value = json.loads(cursor) if cursor else {}
        return {"spool": str(value["spool"]), "changed": int(value["changed"]), "closed": int(value["closed"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def open_connector(options: HeartbeatOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that reads the spool."""
    del target
    return HeartbeatConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="heartbeat",
    title="Jobs that report by themselves",
    options=HeartbeatOptions,
    targets=targets,
    open=open_connector,
    listen=open_door,
    capabilities=frozenset({Capability.LOG}),
    missing={
        Capability.RERUN: ONLY_LISTENS,
        Capability.START: ONLY_LISTENS,
        Capability.CANCEL: ONLY_LISTENS,
        Capability.MARK: "Headway itself keeps who said that a run is good",
        Capability.HOLD: ONLY_LISTENS,
        Capability.TASKS: "a job that reports has no tasks; each may report as a job of its own",
        Capability.PERIODS: "a report says that it runs now, not for when",
        Capability.NATIVE_DEPENDENCIES: "declare what it waits for, and what waits for it: [[dependencies]]",
    },
    proofs=frozenset({Proof.FULL}),
    may_start_early=True,
    schedules="expression",
    ladder=(
        "Proves what the job itself reported: its start, its end, success, failure or exit status, and the log that it"
        " sent along. The time of arrival counts. A start without an end in its time is LOST, by inference; while the"
        " door was closed nothing is held to be missed."
    ),
)
