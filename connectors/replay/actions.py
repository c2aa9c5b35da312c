"""Actions on a replayed system: previews in the terms of its kind, and the actions to store. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.replay import vocabulary
from connectors.replay.client import HOLD, RELEASE, RERUN, START, SentAction
from connectors.replay.parse import JobDef, ReplayNight
from connectors.replay.world import ReplayAttempt, attempts, home, pause_state, world
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import (
    STARTED_LATER,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import (
    KEY_PLACEHOLDER,
    PauseState,
    hold_plan,
    mark_of,
    native_holds,
    release_plan,
    shown_mark,
)
from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb

LONGEST = timedelta(hours=12)
"""An attempt that began earlier is not considered as overlapping."""
NOT_REAL = "replay: no real scheduler is touched"
OF_A_TASK = "a task starts with its DAG: start the DAG"


@dataclass(frozen=True, slots=True)
class ReplayActions:
    night: ReplayNight
    system: str
    kind: str
    """The kind that it imitates."""
    sent: tuple[SentAction, ...]
    """All actions sent so far."""
    now: datetime

    def preview(self, spec: ActionSpec, run: str) -> Preview:
        """`run`: the name of the run in the night; empty without one. Raises NotSupported for other verbs."""
        if spec.verb is Verb.RERUN:
            return self._rerun(spec, run)
        job = self.night.jobs.get((self.system, spec.run.job))
        if job is None:
            is_task = home(self.night, (self.system, spec.run.job)) is not None
            why = OF_A_TASK if is_task else f"{self.system} has no job {spec.run.job}"
            return Preview(spec.verb.value, f"{spec.verb} {spec.run.job}", spec.run.job, refused=why)
        previews = {Verb.START: self._start, Verb.HOLD: self._hold, Verb.RELEASE: self._release}
        if spec.verb not in previews:
            raise NotSupported(f'a replay has no "{spec.verb}"; it has rerun, start, hold and release')
        return previews[spec.verb](job, spec)

    def _rerun(self, spec: ActionSpec, run: str) -> Preview:
        job, requested = home(self.night, (self.system, spec.run.job)), spec.run.job
        attempts = self._attempts(requested, run)
        if job is None or not attempts:
            why = f"nothing of {requested} {spec.run.period_key} has started yet: there is nothing to run again"
            return Preview("run once", f"rerun {requested}", spec.run.period_key, refused=why)
        last = attempts[-1]
        failed = last.ending is not None and last.ending.state.is_red
        tasks = tuple(task.name for task in job.tasks)
        first = requested.removeprefix(f"{job.native_id}.") if requested != job.native_id else ""
        first = first or (last.ending.task if last.ending is not None else "")
        tasks = tasks[tasks.index(first) :] if first in tasks else tasks
        preview = vocabulary.rerun_preview(self.kind, job, requested, last.run, self._local(last.due), failed, tasks)
        plan = {"job": requested, "run": last.run, "how": RERUN}
        return _with_plan(preview, plan, _still_running(attempts), self._overlap(job, run))

    def _start(self, job: JobDef, spec: ActionSpec) -> Preview:
        at = period_of(spec) or self.now.replace(microsecond=0)
        run = instant_key(at)
        why = self._start_refusal(job, at, self._attempts(job.native_id, run))
        preview = vocabulary.preview_of(self.kind, START, job, run=run, label=self._local(at))
        return _with_plan(preview, {"job": job.native_id, "run": run, "how": START}, why, self._overlap(job, run))

    def _start_refusal(self, job: JobDef, at: datetime, attempts: list[ReplayAttempt]) -> str | None:
        if self.kind != "airflow":
            return _still_running(attempts)
        now = self._pause_state(job)
        if attempts:
            return f"Airflow has the run of {job.native_id} for {instant_key(at)} by now"
        if at > self.now:
            return f"Airflow runs no task before the logical date of its run ({instant_key(at)}): it is to come"
        if now.is_paused and not now.marks:
            return f"{job.native_id} is paused, not by Headway: the run would stay queued until it is resumed"
        return None

    def _attempts(self, job: str, run: str) -> list[ReplayAttempt]:
        until = min(self.now, self.night.until)
        return list(attempts(self.night, self.sent, (self.system, job), run, until)) if run else []

    def _overlap(self, job: JobDef, run: str) -> str | None:
        since = self.now - max(self.night.longest, LONGEST)
        seen = world(self.night, self.sent, self.now, since)
        running = [item for item in seen if item.job == job.key and item.ending is None and item.run != run]
        return f"{job.native_id} is running for {running[0].run}" if running else None

    def _local(self, at: datetime) -> str:
        return f"{at.astimezone(ZoneInfo(self.night.zone)):%Y-%m-%d %H:%M}"

    def _hold(self, job: JobDef, spec: ActionSpec) -> Preview:
        try:
            mark = mark_of(spec.parameters, KEY_PLACEHOLDER)
        except NotSupported as error:
            return Preview.refusal(HOLD, str(error))
        why = vocabulary.MARKINGS[self.kind].hold_refusal(job.native_id, self._pause_state(job))
        preview = vocabulary.preview_of(self.kind, HOLD, job, mark=shown_mark(mark), until=instant_key(mark.until))
        return _with_plan(preview, hold_plan(job.native_id, mark), why)

    def _release(self, job: JobDef, spec: ActionSpec) -> Preview:
        plan = release_plan(job.native_id, spec)
        by_hand = vocabulary.text_of(self.kind, "resume_by_hand", job)
        preview = vocabulary.preview_of(self.kind, plan["how"], job, hold=plan["hold"])
        if plan["how"] == RELEASE:
            preview = replace(preview, notes=(STARTED_LATER,))
        state, marking = self._pause_state(job), vocabulary.MARKINGS[self.kind]
        return _with_plan(preview, plan, marking.release_refusal(job.native_id, state, plan["hold"], by_hand))

    def holds(self, jobs: tuple[JobDef, ...]) -> Iterator[NativeHold]:
        for job in jobs:
            place = vocabulary.text_of(self.kind, "mark_place", job)
            yield from native_holds(job.native_id, self._pause_state(job), place)

    def is_paused(self, job: JobDef) -> bool:
        return self._pause_state(job).is_paused

    def _pause_state(self, job: JobDef) -> PauseState:
        own = (item for item in self.sent if item.job == job.key and item.sent_at <= self.now)
        return pause_state(job.paused, own)

    def act(self, preview: Preview, key: str) -> tuple[SentAction | None, Receipt]:
        """The action to store (None: it is stored already). Raises NotSupported where the hold changed."""
        plan, receipt = preview.plan, Receipt(key, f"{preview.verb}: accepted by the replay")
        if key in {item.key for item in self.sent}:
            return None, receipt
        job, how = (self.system, str(plan["job"])), str(plan.get("how", RERUN))
        mark = "" if how in (RERUN, START) else self._mark(plan, key)
        return SentAction(key, job, str(plan.get("run", "")), self.now, how, mark), receipt

    def _mark(self, plan: Mapping[str, Any], key: str) -> str:
        marking, job = vocabulary.MARKINGS[self.kind], self.night.jobs[self.system, str(plan["job"])]
        now = self._pause_state(job)
        if plan["how"] == HOLD:
            mark = marking.to_write(now, plan, key)
            return mark.text if mark else ""
        marking.check_release(now, plan)
        return str(plan["hold"])

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """By the stored actions, which prove presence and absence; a hold and a release by their mark first."""
        plan = preview.plan
        stored = ActionFound(key, "in the replay's actions") if key in {item.key for item in self.sent} else None
        if plan.get("how", RERUN) in (RERUN, START):
            return stored or ActionAbsent()
        job = self.night.jobs.get((self.system, str(plan["job"])))
        if job is None:
            return stored or ActionUnknown(f"{self.system} no longer has {plan['job']}")
        by_mark = vocabulary.MARKINGS[self.kind].look_up(self._pause_state(job), plan, key)
        return by_mark if isinstance(by_mark, ActionFound) else stored or by_mark


def _with_plan(preview: Preview, plan: Mapping[str, Any], refused: str | None, overlap: str | None = None) -> Preview:
    return replace(preview, notes=(*preview.notes, NOT_REAL), plan=plan, refused=refused, overlap=overlap)


def _still_running(attempts: list[ReplayAttempt]) -> str | None:
    return f"{attempts[-1].job[1]} is still running" if any(item.ending is None for item in attempts) else None
