"""Steps that people complete, as jobs of a system like any other: they wait by the clock, and nothing is ever sent.

A step that is done is marked so in Headway itself (`headway done`, or M on its run): evidence ASSERTED, who and why in
the audit. One that nobody has done in time turns red, so that its owner is told as of anything that failed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from connectors.contract import (
    Absent,
    Ask,
    Capability,
    Clock,
    Connector,
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
)
from connectors.manual import parse
from connectors.manual.options import ManualOptions, targets

BY_A_PERSON = "a step is completed by a person: headway done STEP"


class ManualConnector:
    """All steps of one config; `now`: aware."""

    def __init__(self, options: ManualOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._options = options
        self._now = now

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        jobs = tuple(parse.job(name, step, self._options.zone) for name, step in self._options.steps.items())
        digest = hashlib.sha256(repr(jobs).encode()).hexdigest()[:16]
        if digest == previous_hash:
            return Inventory((), complete=True, hash=digest, unchanged=True, clock=self._clock())
        return Inventory(jobs, complete=True, hash=digest, clock=self._clock())

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """What began to wait since the cursor, and what of the open ones is overdue now."""
        now, zone, steps = self._now(), self._options.zone, self._options.steps
        known = [(run, parse.queued_at(run, steps, zone)) for run in open_runs]
        late = [parse.overdue(steps, run, at, now) for run, at in known if at is not None]
        began = parse.waiting(steps, zone, _since(cursor, now), now)
        runs = (*(one for one in late if one is not None), *began)
        return Poll(runs, json.dumps({"until": now.isoformat()}), clock=self._clock(), seen_until=now)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        raise NotSupported("a manual step has no log; its note stands in the audit")

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        _nothing_is_sent()

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        _nothing_is_sent()

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        _nothing_is_sent()

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """Nothing ever left."""
        return Absent()

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(True, notes=("nothing to reach: people complete its steps",), clock=self._clock())

    def close(self) -> None:
        """There is nothing to free."""

    def _clock(self) -> Clock:
        now = self._now()
        return Clock(now, now, self._options.zone)


def _nothing_is_sent() -> NoReturn:
    raise NotSupported(BY_A_PERSON)


def _since(cursor: str, now: datetime) -> datetime:
    """Where the last poll ended; of a cursor that is none of ours, now: what was to be done before is not owed."""
    try:
        return datetime.fromisoformat(json.loads(cursor)["until"])
    except (ValueError, KeyError, TypeError):
        return now


def open_connector(options: ManualOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that reads its settings and the clock only."""
    del target, secrets
    return ManualConnector(options)


CONNECTOR = ConnectorKind(
    kind="manual",
    title="Manual steps",
    options=ManualOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset(),
    missing={
        Capability.RERUN: BY_A_PERSON,
        Capability.START: BY_A_PERSON,
        Capability.CANCEL: "nothing of it runs: headway skip says that it is not needed",
        Capability.MARK: "Headway itself keeps who did it",
        Capability.LOG: "a manual step has no log",
        Capability.HOLD: "a manual step waits for a person anyway",
        Capability.TASKS: "a step is one step",
        Capability.PERIODS: "a step is done for its day",
        Capability.NATIVE_DEPENDENCIES: "declare what a step waits for, and what waits for it: [[dependencies]]",
    },
    proofs=frozenset({Proof.START}),
    schedules="expression",
    ladder="Proves that a step waits. That it is done is a person's word: ASSERTED.",
)
