"""The state of a night's schedulers at one moment, given the actions that people sent. Pure and repeatable.

Later events never change an earlier state: an attempt's outcome depends on the attempts that had ended when it started,
and an action only makes attempts that start after it was sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from statistics import median

from connectors.replay.client import CLEAR, HOLD, PAUSE, RELEASE, RERUN, RESUME, SentAction
from connectors.replay.parse import AttemptEnding, JobDef, JobKey, RecordedRun, ReplayNight, ScriptedRun
from connectors.sdk.contract import HoldMark
from connectors.sdk.fields import parse_instant
from connectors.sdk.marked_pause import PauseState
from connectors.sdk.states import RunState

FREE = PauseState(is_paused=False, marks=())


def pause_state(is_paused: bool, actions: Iterable[SentAction]) -> PauseState:
    """The pause of a job after these actions of its own. `is_paused`: as the recording has it."""
    now = PauseState(is_paused, ())
    for action in actions:
        now = _after(now, action)
    return now


def _after(now: PauseState, action: SentAction) -> PauseState:
    if action.verb in (PAUSE, RESUME):
        return PauseState(action.verb == PAUSE, now.marks)
    if action.verb in (RELEASE, CLEAR) and now.has_mark(action.mark):
        is_under_it = action.verb == RELEASE and now.marks[0].id == action.mark
        rest = tuple(mark for mark in now.marks if mark.id != action.mark)
        return PauseState(now.is_paused and not is_under_it, rest)
    mark = HoldMark.read(action.mark) if action.verb == HOLD and not now.is_paused else None
    return now if mark is None else PauseState(is_paused=True, marks=(mark, *now.marks))


class PauseHistory:
    """When the jobs of a night were paused, by what was done to them."""

    def __init__(self, actions: Sequence[SentAction]) -> None:
        self._changes: dict[JobKey, list[tuple[datetime, bool]]] = {}
        for job in {action.job for action in actions if not action.runs}:
            self._changes[job] = list(_changes(action for action in actions if action.job == job))

    def free_from(self, job: JobKey, at: datetime) -> datetime | None:
        """`at` itself where the job was not paused then, else when it was released; None while it is paused. Of actions
        at that very instant a pause comes too late, and a release in time."""
        changes = self._changes.get(job, ())
        before = [is_paused for when, is_paused in changes if when < at or (when == at and not is_paused)]
        if not before or not before[-1]:
            return at
        return next((when for when, is_paused in changes if when > at and not is_paused), None)


def _changes(actions: Iterable[SentAction]) -> Iterator[tuple[datetime, bool]]:
    """(instant, whether it was paused from then on)."""
    now = FREE
    for action in actions:
        now, before = _after(now, action), now
        if now.is_paused != before.is_paused:
            yield action.sent_at, now.is_paused


USUAL_SECONDS = 60
"""Duration of a rerun of a job that never succeeded in the recording."""

Plays = dict[JobKey, list["PlannedAttempt"]]
Begun = tuple[datetime, datetime, SentAction | None]
"""When an attempt is queued, when it starts, by which action."""


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """One attempt up to its end."""

    job: JobKey
    run: str
    due: datetime
    number: int
    queued_at: datetime
    started_at: datetime | None
    """None for a task that never starts because one before it failed."""
    ends_at: datetime
    ending: AttemptEnding
    action_key: str | None = None
    acted_on: JobKey | None = None
    first_task: int = 0
    """Of a DAG: the task it begins with; those before keep what they had."""


@dataclass(frozen=True, slots=True)
class ReplayAttempt:
    """One attempt as its scheduler shows it at one moment."""

    job: JobKey
    run: str
    due: datetime
    number: int
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ending: AttemptEnding | None
    """None while it is open."""
    action_key: str | None
    share: float
    """The elapsed share of its duration, 0 to 1."""

    @property
    def changed_at(self) -> datetime:
        return self.ended_at or self.started_at or self.queued_at

    @property
    def position(self) -> tuple[datetime, str]:
        return self.changed_at, f"{'/'.join(self.job)} {self.run} {self.number}"


def world(
    night: ReplayNight, actions: Sequence[SentAction], now: datetime, since: datetime | None = None
) -> list[ReplayAttempt]:
    """Every attempt at `now`, by `position`; with `since`, those that changed at or after it."""
    sent = [action for action in actions if action.sent_at <= now]
    tries = [*_recorded(night, PauseHistory(sent), since, now), *_requested(night, sent), *_scripted(night, sent)]
    shown = (seen(part, now) for entry in tries for part in parts(night.jobs[entry.job], entry))
    result = (entry for entry in shown if entry is not None and (since is None or entry.changed_at >= since))
    return sorted(result, key=lambda item: item.position)


def seen(attempt: PlannedAttempt, now: datetime) -> ReplayAttempt | None:
    if attempt.queued_at > now:
        return None
    started = attempt.started_at if attempt.started_at is not None and attempt.started_at <= now else None
    has_ended = attempt.ends_at <= now
    begun = attempt.started_at or attempt.queued_at
    length = max((attempt.ends_at - begun).total_seconds(), 1.0)
    share = 1.0 if has_ended else min(max((now - begun).total_seconds() / length, 0.0), 1.0)
    return ReplayAttempt(
        attempt.job, attempt.run, attempt.due, attempt.number, attempt.queued_at, started,
        attempt.ends_at if has_ended else None, attempt.ending if has_ended else None, attempt.action_key, share,
    )  # fmt: skip


def parts(job: JobDef, attempt: PlannedAttempt) -> Iterator[PlannedAttempt]:
    """The attempt, and those of a DAG's tasks: one after the other, the ones behind a failure blocked."""
    yield replace(attempt, action_key=attempt.action_key if attempt.acted_on in (None, job.key) else None)
    if not job.tasks or attempt.started_at is None:
        return
    todo = job.tasks[attempt.first_task :]
    names = [task.name for task in todo]
    ending = attempt.ending
    last = names.index(ending.task) if ending.task in names and ending.state.is_red else len(todo) - 1
    whole = sum(task.share for task in todo[: last + 1])
    length, at, done = attempt.ends_at - attempt.started_at, attempt.started_at, 0.0
    for place, task in enumerate(todo):
        key = (job.system, f"{job.native_id}.{task.name}")
        action_key = attempt.action_key if attempt.acted_on == key else None
        own = replace(attempt, job=key, action_key=action_key, first_task=0)
        if place > last:
            blocked = AttemptEnding(RunState.BLOCKED, fresh=False)
            yield replace(own, queued_at=attempt.ends_at, started_at=None, ending=blocked)
            continue
        done += task.share
        until = attempt.ends_at
        if place < last:
            until = attempt.started_at + timedelta(seconds=int((length * (done / whole)).total_seconds()))
        own_ending = ending if place == last else AttemptEnding()
        yield replace(own, queued_at=at, started_at=at, ends_at=until, ending=own_ending)
        at = until


def _recorded(
    night: ReplayNight, pauses: PauseHistory, since: datetime | None, now: datetime
) -> Iterator[PlannedAttempt]:
    begin = 0 if since is None else bisect_left(night.recorded, since - night.longest, key=attrgetter("started_at"))
    for item in night.recorded[begin : bisect_right(night.recorded, now, key=attrgetter("started_at"))]:
        if (since is None or item.ended_at >= since) and _starts_itself(item, pauses):
            yield PlannedAttempt(
                item.job, item.run, item.due, 1, item.queued_at, item.started_at, item.ended_at, item.ending
            )


def _starts_itself(run: RecordedRun, pauses: PauseHistory) -> bool:
    return pauses.free_from(run.job, run.queued_at) == run.queued_at


def _requested(night: ReplayNight, actions: Sequence[SentAction]) -> Iterator[PlannedAttempt]:
    """Reruns and starts of runs outside scripts: they succeed, in the job's usual time."""
    numbers: dict[tuple[JobKey, str], int] = {}
    pauses = PauseHistory(actions)
    for action in actions:
        job = home(night, action.job)
        item = night.by_run.get((job.key, action.run)) if job is not None else None
        due = item.due if item is not None else parse_instant(action.run)
        if job is None or due is None or isinstance(item, ScriptedRun) or not action.runs:
            continue
        came = item is not None and (action.sent_at < item.queued_at or _starts_itself(item, pauses))
        number = numbers[job.key, action.run] = numbers.get((job.key, action.run), int(came)) + 1
        start = action.sent_at + timedelta(seconds=job.wait)
        first = _first_task(job, action, item.ending if item is not None and came and number == 2 else None)
        lengths = [
            (item.ended_at - item.started_at).total_seconds()
            for item in night.recorded
            if item.job == job.key and item.ending.state is RunState.SUCCEEDED
        ]
        ends_at = start + timedelta(seconds=round(median(lengths)) if lengths else USUAL_SECONDS)
        yield PlannedAttempt(
            job.key, action.run, due, number, action.sent_at, start, ends_at, AttemptEnding(), action.key, action.job,
            first,
        )  # fmt: skip


def attempts(
    night: ReplayNight, actions: Sequence[SentAction], job: JobKey, run: str, now: datetime
) -> Iterator[ReplayAttempt]:
    """The attempts of one run of a job or task so far, by start; none of a run that there is not."""
    at_home = home(night, job)
    entry = night.by_run.get((at_home.key, run)) if at_home is not None else None
    due = entry.due if entry is not None else parse_instant(run)
    if due is None:
        return
    requested = (action.sent_at for action in actions if action.run == run)
    since = min((entry.queued_at if isinstance(entry, RecordedRun) else due, *requested))
    for item in world(night, actions, now, since):
        if item.job == job and item.run == run:
            yield item


def home(night: ReplayNight, key: JobKey) -> JobDef | None:
    """The job of this name, or the DAG of the task of this name."""
    system, native_id = key
    return night.jobs.get(key) or night.jobs.get((system, native_id.rpartition(".")[0]))


def _scripted(night: ReplayNight, actions: Sequence[SentAction]) -> list[PlannedAttempt]:
    """Every attempt of the scripts up to its end, given these actions only."""
    plays: Plays = {}
    pauses = PauseHistory(actions)
    for script in night.scripts:
        starts = _starts(script, night.jobs[script.job], plays, actions, pauses)
        plays.setdefault(script.job, []).extend(_play(script, night.jobs[script.job], plays, starts))
    return [item for tries in plays.values() for item in tries]


def _play(script: ScriptedRun, job: JobDef, plays: Plays, starts: Iterable[Begun]) -> list[PlannedAttempt]:
    tries: list[PlannedAttempt] = []
    for queued, start, action in sorted(starts, key=lambda item: item[1]):
        is_fresh = all(_is_fresh(plays.get(upstream, ()), start) for upstream in script.reads)
        if script.first is not None and not tries:
            outcome = script.first
        elif action is not None and action.verb == RERUN:
            outcome = script.again_good if is_fresh else script.again_stale
        else:
            outcome = script.good if is_fresh else script.stale
        before = tries[-1].ending if tries and tries[-1].ends_at <= start else None
        tries.append(
            PlannedAttempt(
                script.job, script.run, script.due, len(tries) + 1, queued, start,
                start + timedelta(seconds=outcome.seconds), outcome.ending,
                action.key if action else None, action.job if action else None,
                _first_task(job, action, before) if action else 0,
            )
        )  # fmt: skip
    return tries


def _starts(
    script: ScriptedRun, job: JobDef, plays: Plays, actions: Sequence[SentAction], pauses: PauseHistory
) -> Iterator[Begun]:
    """The starts of a script. None by the clock while its job is paused; one by another job waits for the release."""
    wait = timedelta(seconds=script.wait)
    if script.after is None:
        if pauses.free_from(script.job, script.due) == script.due:
            yield script.due, script.due + wait, None
    else:
        for item in plays.get(script.after, ()):
            at = pauses.free_from(script.job, item.ends_at) if item.ending.state is RunState.SUCCEEDED else None
            if at is not None:
                yield at, at + wait, None
    names = {script.job, *((job.system, f"{job.native_id}.{task.name}") for task in job.tasks)}
    for action in actions:
        if action.runs and action.job in names and action.run == script.run:
            yield action.sent_at, action.sent_at + timedelta(seconds=job.wait), action


def _is_fresh(tries: Sequence[PlannedAttempt], at: datetime) -> bool:
    """True when the last attempt that succeeded by then wrote this night's data."""
    ended = [entry for entry in tries if entry.ends_at <= at and entry.ending.state is RunState.SUCCEEDED]
    return bool(ended) and max(ended, key=lambda item: (item.ends_at, item.number)).ending.fresh


def _first_task(job: JobDef, action: SentAction, before: AttemptEnding | None) -> int:
    """Where a rerun of a DAG begins: at the requested task, at the one that failed, else at the first."""
    names = [task.name for task in job.tasks]
    task = action.job[1].removeprefix(f"{job.native_id}.") if action.job != job.key else ""
    for name in (task, before.task if before is not None and before.state.is_red else ""):
        if name in names:
            return names.index(name)
    return 0
