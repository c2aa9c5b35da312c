"""Steps that people complete, as jobs of a system like any other: they wait by schedule, and nothing is ever sent.

A completed step is marked in Headway itself (`headway action complete`, or M on its run): evidence ASSERTED, who and
why in the audit. An overdue step fails, so that its owner is notified as of any other failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from connectors.manual.options import ManualOptions, StepOptions
from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import ConnectorKind, Probe
from connectors.sdk.daily_time import instant_of
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRecord, RunRef, TargetClock
from connectors.sdk.states import Capability, PeriodKind, ProofLevel, RunState


def job(name: str, step: StepOptions, zone: str) -> JobRecord:
    definition = f"a person completes it: {step.title or name}"
    schedule = step.schedule(zone)
    return JobRecord(name, step.title or name, schedule, definition=definition, definition_hash=definition)


def waiting(steps: Mapping[str, StepOptions], zone: str, since: datetime, now: datetime) -> list[RunRecord]:
    """Instances that began to wait after `since` and up to now, oldest first."""
    first, last = (at.astimezone(ZoneInfo(zone)).date() for at in (since, now))
    began = []
    for name, step in steps.items():
        for day, at in step.instants(first, last, zone):
            if since < at <= now:
                key, state = day.isoformat(), RunState.WAITING
                began.append((at, RunRecord(name, key, state, "waits for a person", queued_at=at, reason="approval")))
    return [run for _, run in sorted(began, key=lambda item: (item[0], item[1].job))]


def overdue(steps: Mapping[str, StepOptions], run: RunRef, queued: datetime, now: datetime) -> RunRecord | None:
    """The open step as overdue; None while it is not, and for a step that the config no longer has."""
    step = steps.get(run.job)
    if step is None or now < queued + step.remind_after:
        return None
    due = queued + step.remind_after
    message = f"it is not completed yet {queued:%Y-%m-%d %H:%M}Z"
    return RunRecord(
        run.job, run.attempt_key, RunState.TIMED_OUT, "overdue", period_key=run.period_key,
        period_kind=PeriodKind.RUN, queued_at=queued, ended_at=due, message=message,
    )  # fmt: skip


def queued_at(run: RunRef, steps: Mapping[str, StepOptions], zone: str) -> datetime | None:
    """When the open step began to wait, by its attempt key: a day, or the instant at which it was reopened."""
    step = steps.get(run.job)
    try:
        if step is not None and len(run.attempt_key) == len("2026-11-20"):
            return instant_of(date.fromisoformat(run.attempt_key), step.at, zone)
        return datetime.fromisoformat(run.attempt_key.rpartition("@")[2])
    except ValueError:
        return None


BY_A_PERSON = "a step is completed by a person: headway action complete STEP"


class ManualConnector(WatchOnly):
    """All steps of one config; `now`: aware."""

    no_actions = BY_A_PERSON

    def __init__(self, options: ManualOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._options, self._now = options, now

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        jobs = (job(name, step, self._options.zone) for name, step in self._options.steps.items())
        return Inventory.of(jobs, clock=self._clock()).unless_same(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """Steps that began to wait since the cursor, and open steps that are overdue."""
        now, zone, steps = self._now(), self._options.zone, self._options.steps
        known = [(run, queued_at(run, steps, zone)) for run in open_runs]
        late = [overdue(steps, run, at, now) for run, at in known if at is not None]
        try:
            since = datetime.fromisoformat(json.loads(cursor)["until"])
            warnings: tuple[str, ...] = ()
        except (ValueError, KeyError, TypeError):
            since = now  # without a cursor, earlier steps are not pending
            warnings = (f"{CURSOR_UNREADABLE}; steps that began to wait before are left out",) if cursor else ()
        runs = (*(item for item in late if item is not None), *waiting(steps, zone, since, now))
        return Poll(
            runs, json.dumps({"until": now.isoformat()}), clock=self._clock(), seen_until=now, warnings=warnings
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        raise NotSupported("a manual step has no log; its note is in the audit")

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(True, notes=("nothing to reach: people complete its steps",), clock=self._clock())

    def close(self) -> None: ...

    def _clock(self) -> TargetClock:
        now = self._now()
        return TargetClock(now, now, self._options.zone)


CONNECTOR = ConnectorKind(
    kind="manual",
    title="Manual steps",
    options=ManualOptions,
    targets=lambda options: ["people"],
    open=lambda options, target, secrets: ManualConnector(options),
    capabilities=frozenset(),
    missing={
        Capability.RERUN: BY_A_PERSON,
        Capability.START: BY_A_PERSON,
        Capability.CANCEL: "nothing of it runs: headway run skip says that it is not needed",
        Capability.MARK: "Headway records who did it",
        Capability.LOG: "a manual step has no log",
        Capability.HOLD: "a manual step waits for a person anyway",
        Capability.TASKS: "a step is one step",
        Capability.PERIODS: "a step is done for its day",
        Capability.NATIVE_DEPENDENCIES: "declare what a step waits for, and what waits for it: [[dependencies]]",
    },
    proofs=frozenset({ProofLevel.START}),
    schedules="expression",
    ladder="Proves that a step waits. A person asserts that it is done: ASSERTED.",
)
