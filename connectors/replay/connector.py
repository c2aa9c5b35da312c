"""A replayed system as a connector: the night's world at the replay's time, told as its kind would tell it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from connectors.contract import (
    Ask,
    Capability,
    Clock,
    Connector,
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
    Right,
    RunRecord,
    RunRef,
    Secrets,
    SystemUnreachable,
    Verb,
)
from connectors.replay import words
from connectors.replay.acts import NOT_REAL, Acts
from connectors.replay.client import Actions, NightUnusable, ReplayClock, SentAction, load_night
from connectors.replay.cursor import Cursor
from connectors.replay.log import chunk, lines
from connectors.replay.options import ReplayOptions, targets
from connectors.replay.parse import JobDef, Night, SystemDef
from connectors.replay.world import Attempt, attempts, home, world

BITE = 1000
"""Attempts in one poll."""


class ReplayConnector:
    """One target of one system of a night."""

    def __init__(self, options: ReplayOptions, target: str) -> None:
        self._options = options
        self._target = target
        self._actions = Actions(options.actions)
        self._clock = ReplayClock(options.clock_file)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs of the target; they never change during a night."""
        system = self._system()
        acts = self._acts()
        records = tuple(one for job in self._jobs() for one in _job_records(job, acts.is_paused(job)))
        digest = hashlib.sha256(repr(records).encode()).hexdigest()[:16]
        clock = self._clock_pair(system)
        if digest == previous_hash:
            return Inventory((), complete=True, hash=digest, unchanged=True, clock=clock)
        return Inventory(records, complete=True, hash=digest, clock=clock)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """What changed since the cursor, oldest first, up to the replay's time and the end of the recording."""
        night, system, actions = self._night(), self._system(), self._actions.read()
        now = min(self._clock.now(), night.until)
        at = Cursor.read(cursor).before(actions)
        changed = [one for one in self._mine(night, actions, now, at.at) if at.is_before(one)]
        told = changed[:BITE]
        more = len(changed) > BITE
        last = told[-1].position if told else (at.at, at.key)
        records = (self._record(night, one) for one in told)
        return Poll(
            runs=tuple(one for one in records if one is not None),
            cursor=Cursor(last[0], last[1], len(actions)).text(),
            more=more,
            clock=self._clock_pair(system),
            seen_until=None if more else now,
            warnings=("the recording ends here",) if now == night.until else (),
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What the attempt has written by now."""
        night, now = self._night(), self._clock.now()
        job = home(night, (self._options.system, run.job))
        if job is not None and job.proof is not Proof.FULL:
            raise NotSupported(f"{self._target} keeps no output of {run.job}: only the wrapper does")
        one = next((one for one in self._attempts(night, run, now) if self._key(one) == run.attempt_key), None)
        if one is None or job is None:
            raise NotSupported(f"the recording has no attempt {run.attempt_key} of {run.job}")
        return chunk(
            "\n".join(lines(job, one, self._system().zone)) + "\n", start, limit_bytes, ended=one.ended_at is not None
        )

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """The verb of the lent kind; nothing is sent."""
        return self._acts().preview(ask, _run_of(ask.run))

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Written to the replay's memory under `key`; the same key twice is one action."""
        if preview.refused:
            raise NotSupported(preview.refused)
        action, receipt = self._acts().act(preview, key)
        if action is not None:
            self._actions.append(action)
        return receipt

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """By the replay's memory; bare marks too."""
        return tuple(self._acts().holds(self._jobs()))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By the replay's memory, which proves both."""
        return self._acts().look_up(preview, key)

    def probe(self, timeout_seconds: float) -> Probe:
        """Always there; says that it is a replay."""
        system = self._system()
        rights = (Right("view", True), *(Right(name, True, needed_for="act") for name in ("rerun", "start", "hold")))
        version = f"replay of {system.version or self._lent}"
        return Probe(True, version, rights, (NOT_REAL,), self._clock_pair(system))

    def close(self) -> None:
        """There is nothing to free."""

    @property
    def _lent(self) -> str:
        return self._options.lent or self._system().lent

    def _night(self) -> Night:
        try:
            return load_night(self._options.night)
        except NightUnusable as error:
            raise SystemUnreachable(str(error)) from None

    def _acts(self) -> Acts:
        return Acts(self._night(), self._options.system, self._lent, self._actions.read(), self._clock.now())

    def _system(self) -> SystemDef:
        return self._night().systems[self._options.system]

    def _jobs(self) -> tuple[JobDef, ...]:
        return self._system().targets[self._target].jobs

    def _clock_pair(self, system: SystemDef) -> Clock:
        now = self._clock.now()
        return Clock(now, now, system.zone)

    def _mine(
        self, night: Night, actions: Sequence[SentAction], now: datetime, since: datetime | None
    ) -> Iterator[Attempt]:
        """This target's attempts, by position."""
        mine = {job.key for job in self._jobs()}
        for one in world(night, actions, now, since):
            job = home(night, one.job)
            if job is not None and job.key in mine:
                yield one

    def _attempts(self, night: Night, run: RunRef, now: datetime) -> Iterator[Attempt]:
        """The attempts of one run so far, by start."""
        until = min(now, night.until)
        return attempts(night, self._actions.read(), (self._options.system, run.job), _run_of(run), until)

    def _record(self, night: Night, one: Attempt) -> RunRecord | None:
        job = home(night, one.job)
        return words.record(self._lent, job, one) if job is not None else None

    def _key(self, one: Attempt) -> str:
        return words.attempt_key(self._lent, one)


def _run_of(run: RunRef) -> str:
    """The run's name in the night; empty for a run that never had an attempt."""
    try:
        return str(json.loads(run.native_ref)["run"])
    except (ValueError, KeyError, TypeError):
        return ""


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
            native_id=name,
            title=task.name,
            parent=job.native_id,
            upstreams=before,
            definition=task.operator,
            definition_hash=task.operator,
        )
        before = (name,)


def open_connector(options: ReplayOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that reads files only."""
    del secrets  # a replay needs none
    return ReplayConnector(options, target)


CONNECTOR = ConnectorKind(
    kind="replay",
    title="Replay of a recorded night",
    options=ReplayOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset(
        {
            Capability.RERUN,
            Capability.START,
            Capability.HOLD,
            Capability.LOG,
            Capability.NATIVE_DEPENDENCIES,
            Capability.PERIODS,
        },
    ),
    starts_held=True,
    missing={
        Capability.CANCEL: "what a replay plays has ended long ago",
        Capability.MARK: "a recorded night is not changed; Headway asserts it itself",
        Capability.TASKS: "a replay runs a job again as a whole",
    },
    proofs=frozenset(Proof),
    verbs=dict.fromkeys((Verb.RERUN, Verb.START, Verb.HOLD, Verb.RELEASE), "the verb of the kind that is lent"),
    schedules="expression",
    ladder="Proves what the recording proves: a job recorded with starts only stays UNKNOWN after its start.",
)
