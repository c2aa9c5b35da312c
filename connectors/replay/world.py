"""What stands in the schedulers of a night at one moment, given what people did. Pure, and the same every time.

What happens after an instant never changes what was seen at it: an attempt's outcome depends on what had ended when it
started, and an action only makes attempts that start after it was sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median

from connectors.contract import State
from connectors.replay.client import RERUN, SentAction
from connectors.replay.held import Pauses
from connectors.replay.parse import Ending, JobDef, JobKey, Night, Outcome, Recorded, Script, TaskDef

USUAL_SECONDS = 60
"""How long the rerun of a job takes that never ended well in the recording."""

Plays = dict[JobKey, list["Try"]]
Begun = tuple[datetime, datetime, SentAction | None]
"""When an attempt is queued, when it starts, by which action."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt with all that will become of it."""

    job: JobKey
    run: str
    due: datetime
    number: int
    queued_at: datetime
    started_at: datetime | None
    """None for a task that never starts because one before it failed."""
    ends_at: datetime
    ending: Ending
    action_key: str | None = None
    acted_on: JobKey | None = None
    first_task: int = 0
    """Of a DAG: the task it begins with; those before keep what they had."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as its scheduler shows it at one moment."""

    job: JobKey
    run: str
    due: datetime
    number: int
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ending: Ending | None
    """None while it is open."""
    action_key: str | None
    share: float
    """How much of it has passed, 0 to 1."""

    @property
    def changed_at(self) -> datetime:
        """When what is shown began to be so."""
        return self.ended_at or self.started_at or self.queued_at

    @property
    def position(self) -> tuple[datetime, str]:
        """A total order of all that is shown."""
        return self.changed_at, f"{'/'.join(self.job)} {self.run} {self.number}"


def world(night: Night, actions: Sequence[SentAction], now: datetime, since: datetime | None = None) -> list[Attempt]:
    """Every attempt as it stands at `now`, by `position`; with `since`, only what changed at or after it."""
    sent = [one for one in actions if one.sent_at <= now]
    tries = [*_recorded(night, Pauses(sent), since, now), *_asked(night, sent), *script_tries(night, sent)]
    shown = (seen(part, now) for one in tries for part in parts(night.jobs[one.job], one))
    found = (one for one in shown if one is not None and (since is None or one.changed_at >= since))
    return sorted(found, key=lambda one: one.position)


def seen(one: Try, now: datetime) -> Attempt | None:
    """The attempt as it stands at `now`; None before it exists."""
    if one.queued_at > now:
        return None
    started = one.started_at if one.started_at is not None and one.started_at <= now else None
    over = one.ends_at <= now
    begun = one.started_at or one.queued_at
    length = max((one.ends_at - begun).total_seconds(), 1.0)
    share = 1.0 if over else min(max((now - begun).total_seconds() / length, 0.0), 1.0)
    return Attempt(
        one.job, one.run, one.due, one.number, one.queued_at, started,
        one.ends_at if over else None, one.ending if over else None, one.action_key, share,
    )  # fmt: skip


def parts(job: JobDef, one: Try) -> Iterator[Try]:
    """The attempt, and those of a DAG's tasks: one after the other, the ones behind a failure blocked."""
    yield replace(one, action_key=one.action_key if one.acted_on in (None, job.key) else None)
    if not job.tasks or one.started_at is None:
        return
    todo = job.tasks[one.first_task :]
    last = _failing(todo, one.ending)
    whole = sum(task.share for task in todo[: last + 1])
    length, at, done = one.ends_at - one.started_at, one.started_at, 0.0
    for place, task in enumerate(todo):
        key = (job.system, f"{job.native_id}.{task.name}")
        mine = replace(one, job=key, action_key=one.action_key if one.acted_on == key else None, first_task=0)
        if place > last:
            yield replace(mine, queued_at=one.ends_at, started_at=None, ending=Ending(State.BLOCKED, fresh=False))
            continue
        done += task.share
        until = one.ends_at if place == last else one.started_at + _whole_seconds(length * (done / whole))
        ending = one.ending if place == last else Ending()
        yield replace(mine, queued_at=at, started_at=at, ends_at=until, ending=ending)
        at = until


def _whole_seconds(length: timedelta) -> timedelta:
    return timedelta(seconds=int(length.total_seconds()))


def _failing(tasks: Sequence[TaskDef], ending: Ending) -> int:
    """Place of the last task that runs: the one that fails, or the last of all."""
    names = [task.name for task in tasks]
    return names.index(ending.task) if ending.task in names and ending.state.is_red else len(tasks) - 1


def _recorded(night: Night, pauses: Pauses, since: datetime | None, now: datetime) -> Iterator[Try]:
    begin = 0 if since is None else bisect_left(night.recorded, since - night.longest, key=_start)
    for one in night.recorded[begin : bisect_right(night.recorded, now, key=_start)]:
        if (since is None or one.ended_at >= since) and _starts_itself(one, pauses):
            yield _try_of(one)


def _starts_itself(one: Recorded, pauses: Pauses) -> bool:
    return pauses.free_from(one.job, _queued(one)) == _queued(one)


def _queued(one: Recorded) -> datetime:
    return min(one.due, one.started_at)


def _start(one: Recorded) -> datetime:
    return one.started_at


def _try_of(one: Recorded) -> Try:
    return Try(one.job, one.run, one.due, 1, _queued(one), one.started_at, one.ended_at, one.ending)


def _asked(night: Night, actions: Sequence[SentAction]) -> Iterator[Try]:
    """Reruns of recorded runs, and starts of those that did not come or that the recording never had: they end well,
    in the job's usual time."""
    numbers: dict[tuple[JobKey, str], int] = {}
    pauses = Pauses(actions)
    for action in actions:
        job = home(night, action.job)
        one = night.by_run.get((job.key, action.run)) if job is not None else None
        due = one.due if one is not None else due_of(action.run)
        if job is None or due is None or isinstance(one, Script) or not action.runs:
            continue
        came = one is not None and (action.sent_at < _queued(one) or _starts_itself(one, pauses))
        number = numbers[job.key, action.run] = numbers.get((job.key, action.run), int(came)) + 1
        start = action.sent_at + timedelta(seconds=job.wait)
        first = _first_task(job, action, one.ending if one is not None and came and number == 2 else None)
        yield Try(
            job.key, action.run, due, number, action.sent_at, start, start + _usual(night, job.key), Ending(),
            action.key, action.job, first,
        )  # fmt: skip


def due_of(run: str) -> datetime | None:
    """The instant that a run is named by; None for what is no name of a run."""
    try:
        return datetime.fromisoformat(run).astimezone(UTC)
    except ValueError:
        return None


def attempts(night: Night, actions: Sequence[SentAction], job: JobKey, run: str, now: datetime) -> Iterator[Attempt]:
    """The attempts of one run of a job or task so far, by start; none of a run that there is not."""
    at_home = home(night, job)
    one = night.by_run.get((at_home.key, run)) if at_home is not None else None
    due = one.due if one is not None else due_of(run)
    if due is None:
        return
    asked = (each.sent_at for each in actions if each.run == run)
    since = min((_queued(one) if isinstance(one, Recorded) else due, *asked))
    for each in world(night, actions, now, since):
        if each.job == job and each.run == run:
            yield each


def _usual(night: Night, job: JobKey) -> timedelta:
    lengths = [
        (one.ended_at - one.started_at).total_seconds()
        for one in night.recorded
        if one.job == job and one.ending.state is State.SUCCEEDED
    ]
    return timedelta(seconds=round(median(lengths))) if lengths else timedelta(seconds=USUAL_SECONDS)


def home(night: Night, key: JobKey) -> JobDef | None:
    """The job of this name, or the DAG of the task of this name."""
    system, native_id = key
    return night.jobs.get(key) or night.jobs.get((system, native_id.rpartition(".")[0]))


def script_tries(night: Night, actions: Sequence[SentAction]) -> list[Try]:
    """Every attempt of the scripts, played to their ends if nothing more is done."""
    plays: Plays = {}
    pauses = Pauses(actions)
    for script in night.scripts:
        starts = _starts(script, night.jobs[script.job], plays, actions, pauses)
        plays.setdefault(script.job, []).extend(_play(script, night.jobs[script.job], plays, starts))
    return [one for tries in plays.values() for one in tries]


def _play(script: Script, job: JobDef, plays: Plays, starts: Iterable[Begun]) -> list[Try]:
    tries: list[Try] = []
    for queued, start, action in sorted(starts, key=lambda one: one[1]):
        outcome = _outcome(script, plays, start, action is not None and action.verb == RERUN, first=not tries)
        before = tries[-1].ending if tries and tries[-1].ends_at <= start else None
        tries.append(
            Try(
                script.job, script.run, script.due, len(tries) + 1, queued, start,
                start + timedelta(seconds=outcome.seconds), outcome.ending,
                action.key if action else None, action.job if action else None,
                _first_task(job, action, before) if action else 0,
            )
        )  # fmt: skip
    return tries


def _starts(
    script: Script, job: JobDef, plays: Plays, actions: Sequence[SentAction], pauses: Pauses
) -> Iterator[Begun]:
    """Each attempt's beginning. A start by the clock does not come while its job is paused; what another job starts
    comes when its own is let go."""
    wait = timedelta(seconds=script.wait)
    if script.after is None:
        if pauses.free_from(script.job, script.due) == script.due:
            yield script.due, script.due + wait, None
    else:
        for one in plays.get(script.after, ()):
            at = pauses.free_from(script.job, one.ends_at) if one.ending.state is State.SUCCEEDED else None
            if at is not None:
                yield at, at + wait, None
    names = {script.job, *((job.system, f"{job.native_id}.{task.name}") for task in job.tasks)}
    for action in actions:
        if action.runs and action.job in names and action.run == script.run:
            yield action.sent_at, action.sent_at + timedelta(seconds=job.wait), action


def _outcome(script: Script, plays: Plays, start: datetime, again: bool, first: bool) -> Outcome:
    if first and script.first is not None:
        return script.first
    fresh = all(is_fresh(plays.get(up, ()), start) for up in script.reads)
    if again:
        return script.again_good if fresh else script.again_stale
    return script.good if fresh else script.stale


def is_fresh(tries: Sequence[Try], at: datetime) -> bool:
    """True when the last attempt that ended well by then wrote this night's data."""
    ended = [one for one in tries if one.ends_at <= at and one.ending.state is State.SUCCEEDED]
    return bool(ended) and max(ended, key=lambda one: (one.ends_at, one.number)).ending.fresh


def _first_task(job: JobDef, action: SentAction, before: Ending | None) -> int:
    """Where a rerun of a DAG begins: at the task that was asked for, at the one that failed, else at the first."""
    names = [task.name for task in job.tasks]
    asked = action.job[1].removeprefix(f"{job.native_id}.") if action.job != job.key else ""
    for name in (asked, before.task if before is not None and before.state.is_red else ""):
        if name in names:
            return names.index(name)
    return 0
