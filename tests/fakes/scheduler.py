"""A scheduler of a test's own making, behind the contract: a fake, for the engine's logic. Real ones: tests/lab."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ConnectorKind,
    HoldMark,
    LookUpResult,
    NativeBackfill,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
    SourcePermission,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import KEY_PLACEHOLDER, mark_of
from connectors.sdk.records import (
    Inventory,
    JobRecord,
    LogChunk,
    Poll,
    RunRecord,
    RunRef,
    Schedule,
    SkippedRecord,
    TargetClock,
)
from connectors.sdk.states import Capability, PeriodKind, RunState, Verb


class NoOptions(BaseModel):
    """This fake needs no settings."""


@dataclass
class FakeScheduler:
    """Jobs and attempts that a test sets; records its requests and sent actions."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    """attempt key -> the attempt as the source tells it now."""
    logs: dict[str, str] = field(default_factory=dict)
    acted: list[str] = field(default_factory=list)
    """Keys that were acted on, once for each time."""
    refuse: Exception | None = None
    """Raised by every call but `act`."""
    on_act: Callable[[str], None] | None = None
    """Called when an action arrives; may raise what a connector raises."""
    look_ups: int = 0
    seen: bool = True
    """Whether polls prove what did not start."""
    hang: threading.Event | None = None
    """A poll waits for it."""
    polls: int = 0
    rights: tuple[SourcePermission, ...] = ()
    """What a probe tells."""
    warnings: tuple[str, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()
    """What polls tell beside the runs."""
    more: bool = False
    """Whether polls say that there is more, though they give the same page again."""
    unread: tuple[SkippedRecord, ...] = ()
    """What inventories could not read."""
    on_log: Callable[[str], None] | None = None
    """Called when the log of an attempt is requested, with its key."""
    broken_close: bool = False
    """Closing a connection raises what no contract foresees."""
    opened: int = 0
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """Its own clock."""
    skew: timedelta = timedelta(0)
    """How far that is ahead; runs are told by it as a test sets them."""
    marks: dict[str, HoldMark] = field(default_factory=dict)
    """What is held, by job."""
    undone: set[str] = field(default_factory=set)
    """Of these a person has enabled the job, and left the mark."""
    reply_text: str = "accepted"
    """What the scheduler says when it takes an action."""
    capabilities: frozenset[Capability] = frozenset({Capability.RERUN, Capability.LOG})
    takes: Mapping[Verb, frozenset[str]] = field(default_factory=dict)
    verbs: Mapping[Verb, str] = field(default_factory=dict)
    places: tuple[str, ...] = ("one",)
    """Its targets; all tell the same."""
    overlap: str | None = None
    refused: str | None = None
    """What previews say."""
    unknown: str | None = None
    """What they say of a rerun of a run that has no attempt here."""
    done: list[tuple[str, str]] = field(default_factory=list)
    """(verb, job) of what arrived."""
    specs: list[ActionSpec] = field(default_factory=list)
    """What previews were requested."""
    backfills: list[NativeBackfill] = field(default_factory=list)
    """Its own, that are under way."""
    start_within: timedelta = timedelta()
    waiting: str = ""
    """What look-ups say of actions that have not begun; empty: they have."""

    def kind(self) -> ConnectorKind:
        return ConnectorKind(
            kind="fake",
            title="Fake scheduler",
            options=NoOptions,
            targets=lambda _: list(self.places),
            open=lambda _options, _target, _secrets: FakeConnector(self, _secrets),
            capabilities=self.capabilities,
            takes=self.takes,
            verbs=self.verbs,
            start_within=self.start_within,
        )

    def records(self) -> Iterator[JobRecord]:
        """The jobs as they are now: what is held is paused."""
        return (
            replace(job, paused=True) if name in self.marks.keys() - self.undone else job
            for name, job in self.jobs.items()
        )

    def mark(self, plan: Mapping[str, Any], key: str) -> None:
        """Holds or releases by compare-and-set; another verb changes nothing here."""
        job, requested = str(plan.get("job", "")), plan.get("parameters", {})
        existing = self.marks.get(job)
        if plan.get("verb") == "hold":
            if self.jobs[job].paused or (existing is not None and existing.id != key):
                raise NotSupported(f"{job} is paused already; it is not held")
            self.marks[job] = HoldMark(key, requested["by"], datetime.fromisoformat(requested["until"]))
        elif plan.get("verb") == "release":
            if existing is None or existing.id != requested["hold"]:
                raise NotSupported(f"{job} is not held under {requested['hold']}")
            del self.marks[job]
            if requested.get("enable") == "no" and job not in self.undone:
                self.jobs[job] = replace(self.jobs[job], paused=True)  # whoever paused it: it stays so
            self.undone.discard(job)

    def job(self, native_id: str, schedule: Schedule | None = None, **more: Any) -> None:
        self.jobs[native_id] = JobRecord(native_id, schedule=schedule or Schedule("none"), **more)

    def rename(self, job: str, new: str) -> None:
        """Gives a job and its runs another name."""
        self.jobs[new] = replace(self.jobs.pop(job), native_id=new)
        self.runs = {key: replace(run, job=new) if run.job == job else run for key, run in self.runs.items()}

    def attempt(self, job: str, key: str, state: RunState, started: datetime, **more: Any) -> RunRecord:
        """Sets one attempt; an ended state without `ended_at` ended at its start. Without a period key it has an id."""
        ended = more.pop("ended_at", None if state.is_open else started)
        if "period_key" not in more:
            more |= {"period_key": f"{job}@{started:%Y-%m-%d}", "period_kind": PeriodKind.RUN}
        self.runs[key] = RunRecord(
            job, key, state, state.value, started_at=started, ended_at=ended, native_ref=key, **more
        )
        return self.runs[key]

    def end(self, key: str, state: RunState, at: datetime) -> None:
        self.runs[key] = replace(self.runs[key], state=state, native_state=state.value, ended_at=at)


class FakeConnector:
    def __init__(self, scheduler: FakeScheduler, secrets: SecretResolver) -> None:
        self._scheduler = scheduler
        scheduler.opened += 1
        del secrets

    def _check(self) -> None:
        if self._scheduler.refuse is not None:
            raise self._scheduler.refuse

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        self._check()
        return Inventory(
            tuple(self._scheduler.records()),
            complete=True,
            hash=f"{sorted(self._scheduler.jobs)} {sorted(self._scheduler.marks)}",
            skipped=self._scheduler.unread,
        )

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._scheduler.polls += 1
        if self._scheduler.hang is not None:
            self._scheduler.hang.wait(timeout_seconds)
        self._check()
        now = self._scheduler.now()
        runs = tuple(self._scheduler.runs.values())
        seen = now if self._scheduler.seen else None
        return Poll(
            runs,
            json.dumps(len(runs)),
            more=self._scheduler.more,
            clock=TargetClock(now + self._scheduler.skew, now),
            seen_until=seen,
            warnings=self._scheduler.warnings,
            skipped=self._scheduler.skipped,
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        self._check()
        if self._scheduler.on_log is not None:
            self._scheduler.on_log(run.attempt_key)
        return LogChunk(self._scheduler.logs.get(run.attempt_key, ""))

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        self._check()
        self._scheduler.specs.append(spec)
        if spec.verb is Verb.BACKFILL and spec.parameters.get("do") == "list":
            return Preview("list", "", "", refused="a list", backfills=tuple(self._scheduler.backfills))
        verb = "run again" if spec.verb is Verb.RERUN else f"native {spec.verb}"
        unknown = self._scheduler.unknown if spec.verb is Verb.RERUN and not spec.run.attempt_key else None
        return Preview(
            verb,
            f"{verb.partition(' ')[0]} {spec.run.job} again"
            if spec.verb is Verb.RERUN
            else f"{spec.verb} {spec.run.job}",
            "1 run",
            overlap=self._scheduler.overlap,
            refused=self._scheduler.refused or unknown or (_mark_refusal(spec) if spec.verb is Verb.HOLD else None),
            plan={"job": spec.run.job, "verb": spec.verb.value, "parameters": dict(spec.parameters)},
        )

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        self._scheduler.acted.append(key)
        self._scheduler.done.append((str(preview.plan.get("verb", "rerun")), str(preview.plan.get("job", ""))))
        if self._scheduler.on_act is not None:
            self._scheduler.on_act(key)
        self._scheduler.mark(preview.plan, key)
        return Receipt(key, self._scheduler.reply_text)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        self._check()
        marks, undone = self._scheduler.marks, self._scheduler.undone
        return tuple(NativeHold(job, mark, f"the notes of {job}", job in undone) for job, mark in marks.items())

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        self._scheduler.look_ups += 1
        self._check()
        waiting = self._scheduler.waiting
        return ActionFound(key, waiting, waits=bool(waiting)) if key in self._scheduler.acted else ActionAbsent()

    def probe(self, timeout_seconds: float) -> Probe:
        self._check()
        return Probe(True, "1", self._scheduler.rights)

    def close(self) -> None:
        if self._scheduler.broken_close:
            raise RuntimeError("the line is half open")


def _mark_refusal(spec: ActionSpec) -> str | None:
    try:
        mark_of(spec.parameters, KEY_PLACEHOLDER)
    except NotSupported as error:
        return str(error)
    return None
