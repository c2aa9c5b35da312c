"""A replayed system as a connector: the night at the replay's time, reported as its kind reports it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.replay import vocabulary
from connectors.replay.actions import NOT_REAL, ReplayActions
from connectors.replay.client import ActionLog, NightUnusable, ReplayClock, SentAction, load_night
from connectors.replay.options import ReplayOptions, targets
from connectors.replay.parse import JobDef, ReplayNight, SystemDef
from connectors.replay.world import ReplayAttempt, attempts, home, world
from connectors.sdk.contract import (
    ActionSpec,
    ConnectorKind,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SourcePermission,
)
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.fields import as_json, cursor_or_first, reference_row
from connectors.sdk.log_chunks import chunk_of, join_lines
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRef, TargetClock
from connectors.sdk.states import Capability, ProofLevel, Verb


@dataclass(frozen=True, slots=True)
class ReplayCursor:
    """Everything up to this position was reported, given this many actions."""

    at: datetime | None = None
    key: str = ""
    actions: int = 0

    def before(self, actions: Sequence[SentAction]) -> ReplayCursor:
        """This position, or the earlier one from which new actions may have changed something."""
        new = [action.sent_at for action in actions[self.actions :]]
        if not new or self.at is None or min(new) > self.at:
            return self
        return ReplayCursor(min(new), "", self.actions)


def lines(job: JobDef, attempt: ReplayAttempt, zone: str) -> list[str]:
    """All lines so far: the recorded ones, else start and end, stamped in the source's zone."""

    def stamp(at: datetime) -> str:
        return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"

    begun = f"{stamp(attempt.started_at or attempt.queued_at)} {job.definition or attempt.job[1]}"
    if attempt.ending is None:
        return [begun, f"{int(attempt.share * 100)}% done"]
    if attempt.ending.log:
        return [begun, *attempt.ending.log.splitlines()]
    return [begun, f"{stamp(attempt.ended_at)} {attempt.ending.message or 'done'}"] if attempt.ended_at else [begun]


PAGE_RUNS = 1000
"""Attempts in one poll."""


class ReplayConnector:
    def __init__(self, options: ReplayOptions, target: str) -> None:
        self._options = options
        self._target = target
        self._actions = ActionLog(options.actions)
        self._clock = ReplayClock(options.clock_file)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        acts = self._acts()
        records = (record for job in self._jobs() for record in _job_records(job, acts.is_paused(job)))
        return Inventory.of(records, clock=self._clock_pair(self._system())).unless_same(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """Changes since the cursor, oldest first, up to the replay's time and the end of the recording."""
        night, system, actions = self._night(), self._system(), self._actions.read()
        now = min(self._clock.now(), night.until)
        position, unreadable = cursor_or_first(ReplayCursor(), cursor, "the recording is read again")
        at = position.before(actions)
        jobs = {job.key for job in self._jobs()}
        changed = [
            (item, job)
            for item in world(night, actions, now, at.at)
            if (job := home(night, item.job)) is not None
            and job.key in jobs
            and (at.at is None or item.position > (at.at, at.key))
        ]
        reported, has_more = changed[:PAGE_RUNS], len(changed) > PAGE_RUNS
        last = reported[-1][0].position if reported else (at.at, at.key)
        records = (vocabulary.record(self._kind, job, item) for item, job in reported)
        return Poll(
            runs=tuple(record for record in records if record is not None),
            cursor=as_json(ReplayCursor(last[0], last[1], len(actions))),
            more=has_more,
            clock=self._clock_pair(system),
            seen_until=None if has_more else now,
            warnings=(*unreadable, *(["the recording ends here"] if now == night.until else [])),
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        night, now = self._night(), self._clock.now()
        job = home(night, (self._options.system, run.job))
        if job is not None and job.proof is not ProofLevel.FULL:
            raise NotSupported(f"{self._target} keeps no output of {run.job}: only the wrapper does")
        key, until = (self._options.system, run.job), min(now, night.until)
        shown = attempts(night, self._actions.read(), key, _run_of(run), until)
        matching = (item for item in shown if vocabulary.attempt_key(self._kind, item) == run.attempt_key)
        attempt = next(matching, None)
        if attempt is None or job is None:
            raise NotSupported(f"the recording has no attempt {run.attempt_key} of {run.job}")
        text = join_lines(lines(job, attempt, self._system().zone))
        return chunk_of(text, start, limit_bytes, is_open=attempt.ended_at is None)

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        return self._acts().preview(spec, _run_of(spec.run))

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Stores the action under `key`; the same key twice is one action."""
        if preview.refused:
            raise NotSupported(preview.refused)
        action, receipt = self._acts().act(preview, key)
        if action is not None:
            self._actions.append(action)
        return receipt

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        return tuple(self._acts().holds(self._jobs()))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return self._acts().look_up(preview, key)

    def probe(self, timeout_seconds: float) -> Probe:
        system = self._system()
        acts = (SourcePermission(name, True, needed_for="act") for name in ("rerun", "start", "hold"))
        rights = (SourcePermission("view", True), *acts)
        version = f"replay of {system.version or self._kind}"
        return Probe(True, version, rights, (NOT_REAL,), self._clock_pair(system))

    def close(self) -> None: ...

    @property
    def _kind(self) -> str:
        return self._options.lent or self._system().lent

    def _night(self) -> ReplayNight:
        try:
            return load_night(self._options.night)
        except NightUnusable as error:
            raise SystemUnreachable(str(error)) from None

    def _acts(self) -> ReplayActions:
        return ReplayActions(self._night(), self._options.system, self._kind, self._actions.read(), self._clock.now())

    def _system(self) -> SystemDef:
        return self._night().systems[self._options.system]

    def _jobs(self) -> tuple[JobDef, ...]:
        return self._system().targets[self._target]

    def _clock_pair(self, system: SystemDef) -> TargetClock:
        now = self._clock.now()
        return TargetClock(now, now, system.zone)


def _run_of(run: RunRef) -> str:
    """The name of the run in the night; empty for a run without an attempt."""
    return str(reference_row(run.native_ref).get("run", ""))


def _job_records(job: JobDef, is_paused: bool) -> Iterator[JobRecord]:
    yield JobRecord(
        native_id=job.native_id,
        title=job.title or job.native_id,
        schedule=job.schedule,
        paused=is_paused,
        upstreams=job.upstreams,
        definition=job.definition,
        definition_hash=hashlib.sha256(job.definition.encode()).hexdigest()[:16],
        proof=job.proof,
        run_as=job.run_as,
        owner=job.owner,
    )
    before: tuple[str, ...] = ()
    for task in job.tasks:
        name = f"{job.native_id}.{task.name}"
        yield JobRecord(
            name, task.name, parent=job.native_id, upstreams=before, definition=task.operator,
            definition_hash=task.operator,
        )  # fmt: skip
        before = (name,)


CONNECTOR = ConnectorKind(
    kind="replay",
    title="Replay of a recorded night",
    options=ReplayOptions,
    targets=targets,
    open=lambda options, target, secrets: ReplayConnector(options, target),
    dates_runs=True,
    capabilities=frozenset(Capability) - {Capability.CANCEL, Capability.MARK, Capability.TASKS},
    starts_held=True,
    missing={
        Capability.CANCEL: "the runs of a replay have ended long ago",
        Capability.MARK: "a recorded night does not change; Headway records the result as asserted",
        Capability.TASKS: "a replay runs a job again as a whole",
    },
    proofs=frozenset(ProofLevel),
    verbs=dict.fromkeys((Verb.RERUN, Verb.START, Verb.HOLD, Verb.RELEASE), "the verb of the imitated kind"),
    schedules="expression",
    ladder="Proves what the recording proves: a job recorded with starts only stays UNKNOWN after its start.",
)
