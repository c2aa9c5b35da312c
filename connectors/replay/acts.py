"""What is asked of a replayed system: previews in the lent kind's words, and what its memory then says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.contract import (
    Absent,
    Ask,
    Found,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    Verb,
    instant_key,
)
from connectors.marking import NO_END, Standing, asked_mark, hold_plan, native_holds, release_plan, shown
from connectors.previews import instant
from connectors.replay import held_words, words
from connectors.replay.client import HOLD, RERUN, START, SentAction
from connectors.replay.held import standing
from connectors.replay.parse import JobDef, Night
from connectors.replay.world import Attempt, attempts, home, world

LONGEST = timedelta(hours=12)
"""An attempt that began earlier than this is not looked for as one that may overlap."""
NOT_REAL = "replay: no real scheduler is touched"
OF_A_TASK = "a task starts with its DAG: ask for the DAG"


@dataclass(frozen=True, slots=True)
class Acts:
    """The acts of one system at one moment."""

    night: Night
    system: str
    lent: str
    sent: tuple[SentAction, ...]
    """The replay's memory."""
    now: datetime

    def preview(self, ask: Ask, run: str) -> Preview:
        """Nothing is sent. `run`: the run's name in the night, empty where none is known. NotSupported for what a
        replay cannot be asked."""
        if ask.verb is Verb.RERUN:
            return self._rerun(ask, run)
        job = self.night.jobs.get((self.system, ask.run.job))
        if job is None:
            is_task = home(self.night, (self.system, ask.run.job)) is not None
            why = OF_A_TASK if is_task else f"{self.system} has no job {ask.run.job}"
            return Preview(ask.verb.value, f"{ask.verb} {ask.run.job}", ask.run.job, refused=why)
        if ask.verb is Verb.START:
            return self._start(job, ask)
        if ask.verb is Verb.HOLD:
            return self._hold(job, ask)
        if ask.verb is Verb.RELEASE:
            return self._release(job, ask)
        raise NotSupported(f'a replay has no "{ask.verb}"; what it has is: rerun, start, hold, release')

    # runs

    def _rerun(self, ask: Ask, run: str) -> Preview:
        job = home(self.night, (self.system, ask.run.job))
        tries = self._attempts(ask.run.job, run)
        if job is None or not tries:
            why = f"nothing of {ask.run.job} {ask.run.period_key} has started yet: there is nothing to run again"
            return Preview("run once", f"rerun {ask.run.job}", ask.run.period_key, refused=why)
        last = tries[-1]
        failed = last.ending is not None and last.ending.state.is_red
        names = _tasks_again(job, ask.run.job, last)
        how = words.verb(self.lent, job, ask.run.job, last.run, self._local(last.due), failed, names)
        return _told(how, {"job": ask.run.job, "run": last.run, "how": RERUN}, _open(tries), self._overlap(job, run))

    def _start(self, job: JobDef, ask: Ask) -> Preview:
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key) or self.now.replace(microsecond=0)
        run = instant_key(at)
        why = self._not_started(job, at, self._attempts(job.native_id, run))
        how = held_words.start(self.lent, job, run, self._local(at))
        return _told(how, {"job": job.native_id, "run": run, "how": START}, why, self._overlap(job, run))

    def _not_started(self, job: JobDef, at: datetime, tries: list[Attempt]) -> str | None:
        if self.lent != "airflow":
            return _open(tries)
        now = self._standing(job)
        if tries:
            return f"Airflow has the run of {job.native_id} for {instant_key(at)} by now"
        if at > self.now:
            return f"Airflow runs no task before the logical date of its run ({instant_key(at)}): it is to come"
        if now.is_paused and not now.marks:
            return f"{job.native_id} is paused, not by Headway: the run would stay queued until somebody resumes it"
        return None

    def _attempts(self, job: str, run: str) -> list[Attempt]:
        until = min(self.now, self.night.until)
        return list(attempts(self.night, self.sent, (self.system, job), run, until)) if run else []

    def _overlap(self, job: JobDef, run: str) -> str | None:
        since = self.now - max(self.night.longest, LONGEST)
        seen = world(self.night, self.sent, self.now, since)
        running = [one for one in seen if one.job == job.key and one.ending is None and one.run != run]
        return f"{job.native_id} is running for {running[0].run}" if running else None

    def _local(self, at: datetime) -> str:
        return f"{at.astimezone(ZoneInfo(self.night.zone)):%Y-%m-%d %H:%M}"

    # holds

    def _hold(self, job: JobDef, ask: Ask) -> Preview:
        mark, marking = asked_mark(ask), held_words.MARKINGS[self.lent]
        text, until = (shown(mark), instant_key(mark.until)) if mark else ("", "")
        why = marking.unfit(job.native_id, self._standing(job)) if mark else NO_END
        plan = hold_plan(job.native_id, mark) if mark else {"how": HOLD, "job": job.native_id}
        return _told(held_words.hold(self.lent, job, text, until), plan, why)

    def _release(self, job: JobDef, ask: Ask) -> Preview:
        plan, by_hand = release_plan(job.native_id, ask), held_words.by_hand(self.lent, job)
        why = held_words.MARKINGS[self.lent].bound(job.native_id, self._standing(job), plan["hold"], by_hand)
        enables = ask.parameters.get("enable") != "no"
        return _told(held_words.release(self.lent, job, plan["hold"], enables), plan, why)

    def holds(self, jobs: tuple[JobDef, ...]) -> Iterator[NativeHold]:
        """Those of these jobs that bear a mark."""
        for job in jobs:
            yield from native_holds(job.native_id, self._standing(job), held_words.where(self.lent, job))

    def is_paused(self, job: JobDef) -> bool:
        return self._standing(job).is_paused

    def _standing(self, job: JobDef) -> Standing:
        mine = (one for one in self.sent if one.job == job.key and one.sent_at <= self.now)
        return standing(job.paused, mine)

    # sending

    def act(self, preview: Preview, key: str) -> tuple[SentAction | None, Receipt]:
        """What is to be written down under `key`: nothing where it was before. NotSupported where a hold is no longer
        as it was seen."""
        plan, receipt = preview.plan, Receipt(key, f"{preview.verb}: accepted by the replay")
        if key in {one.key for one in self.sent}:
            return None, receipt
        job, how = (self.system, str(plan["job"])), str(plan.get("how", RERUN))
        mark = "" if how in (RERUN, START) else self._mark(plan, key)
        return SentAction(key, job, str(plan.get("run", "")), self.now, how, mark), receipt

    def _mark(self, plan: Mapping[str, Any], key: str) -> str:
        marking, job = held_words.MARKINGS[self.lent], self.night.jobs[self.system, str(plan["job"])]
        now = self._standing(job)
        if plan["how"] == HOLD:
            mark = marking.to_write(now, plan, key)
            return mark.text if mark else ""
        marking.check_release(now, plan)
        return str(plan["hold"])

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """By the memory, which proves both; a hold and a release by the mark first, whoever took it away."""
        plan = preview.plan
        remembered = Found(key, "in the replay's actions") if key in {one.key for one in self.sent} else None
        if plan.get("how", RERUN) in (RERUN, START):
            return remembered or Absent()
        job = self.night.jobs.get((self.system, str(plan["job"])))
        seen = held_words.MARKINGS[self.lent].look(self._standing(job) if job else None, plan, key)
        return seen if isinstance(seen, Found) else remembered or seen


def _told(how: words.Verb, plan: Mapping[str, Any], refused: str | None, overlap: str | None = None) -> Preview:
    return Preview(
        verb=how.verb,
        words=how.words,
        scope=how.scope,
        affected=how.affected,
        overlap=overlap,
        native_calls=how.calls,
        notes=(*how.notes, NOT_REAL),
        refused=refused,
        plan=plan,
    )


def _open(tries: list[Attempt]) -> str | None:
    """Why the run cannot run again now; None where nothing of it is open."""
    return f"{tries[-1].job[1]} is still running" if any(one.ending is None for one in tries) else None


def _tasks_again(job: JobDef, asked: str, last: Attempt) -> tuple[str, ...]:
    names = [task.name for task in job.tasks]
    wanted = asked.removeprefix(f"{job.native_id}.") if asked != job.native_id else ""
    first = wanted or (last.ending.task if last.ending is not None else "")
    return tuple(names[names.index(first) :] if first in names else names)
