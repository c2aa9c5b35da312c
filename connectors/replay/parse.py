"""A night's document -> frozen values. Pure; whatever the document holds, only ValueError is raised, with the place.

    format 1 · zone · begins (every number of seconds counts from it) · starts (where a play begins) · until
    endings   [{state, exit, message, log, task, fresh}]           how attempts end; others name one by its place
    systems   {name: {as, zone, version, targets: {name: {jobs: [...]}}}}
    recorded  {"system/native-id": [[due, wait, seconds, ending], ...]}   runs that nothing can change
    scripts   [{job, due, by | after, wait, reads, first, good, stale, rerun, run}]   runs that depend on each other

Scripts stand in the order in which they read each other. A script's attempt is `good` when everything it `reads` is
fresh at its start, else `stale`: which may be red, or green on old data (`fresh: false`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import Proof, Schedule, State, instant_key

FORMAT = 1

JobKey = tuple[str, str]
"""(system, native id)."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends."""

    state: State = State.SUCCEEDED
    exit_code: int | None = None
    message: str = ""
    log: str = ""
    task: str = ""
    """The task at which a DAG failed."""
    fresh: bool = True
    """True when what it wrote is of this night's data; never for what is not green."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long an attempt takes, and how it ends."""

    seconds: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class TaskDef:
    """One task of a DAG; tasks run one after the other, each for its share of the whole."""

    name: str
    share: float
    operator: str = ""


@dataclass(frozen=True, slots=True)
class JobDef:
    """One job as its source defines it."""

    system: str
    target: str
    native_id: str
    title: str
    schedule: Schedule
    paused: bool
    upstreams: tuple[str, ...]
    definition: str
    proof: Proof
    run_as: str
    owner: str
    wait: int
    """Seconds from an ask or a trigger to the start."""
    tasks: tuple[TaskDef, ...]

    @property
    def key(self) -> JobKey:
        return self.system, self.native_id


@dataclass(frozen=True, slots=True)
class TargetDef:
    jobs: tuple[JobDef, ...]


@dataclass(frozen=True, slots=True)
class SystemDef:
    name: str
    lent: str
    """Whose words it speaks: "cron", "airflow", "pg_cron", "step_functions"."""
    zone: str
    version: str
    targets: Mapping[str, TargetDef]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run with one attempt, from the recording."""

    job: JobKey
    due: datetime
    started_at: datetime
    ended_at: datetime
    ending: Ending

    @property
    def run(self) -> str:
        return instant_key(self.due)


@dataclass(frozen=True, slots=True)
class Script:
    """One run whose attempts depend on other runs and on what people do."""

    job: JobKey
    due: datetime
    """Its scheduled instant; where another job starts it, the instant that names its run."""
    after: JobKey | None
    """It starts `wait` seconds after each success of this one; None: by the clock, at `due`."""
    wait: int
    reads: tuple[JobKey, ...]
    first: Outcome | None
    """Its first attempt, whatever it reads."""
    good: Outcome
    stale: Outcome
    again_good: Outcome
    again_stale: Outcome

    @property
    def run(self) -> str:
        return instant_key(self.due)


@dataclass(frozen=True, slots=True)
class Night:
    """Everything that can be played."""

    name: str
    zone: str
    begins: datetime
    starts: datetime
    until: datetime
    systems: Mapping[str, SystemDef]
    jobs: Mapping[JobKey, JobDef]
    recorded: tuple[Recorded, ...]
    """By start."""
    scripts: tuple[Script, ...]
    longest: timedelta = timedelta(0)
    """Of the recorded runs: how far back one may have started that has not ended."""
    by_run: Mapping[tuple[JobKey, str], Recorded | Script] = field(default_factory=dict)


def night(document: Any) -> Night:
    """The values of one document. Raises ValueError."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"is not a night of format {FORMAT}")
    try:
        return _night(document)
    except KeyError as error:
        raise ValueError(f"lacks {error}") from None
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"cannot be read: {type(error).__name__}: {error}") from None


def _night(document: dict[str, Any]) -> Night:
    begins = datetime.fromisoformat(document["begins"])
    endings = [_ending(one) for one in document["endings"]]
    systems = {name: _system(name, one) for name, one in document["systems"].items()}
    jobs = {job.key: job for one in systems.values() for target in one.targets.values() for job in target.jobs}
    recorded = sorted(_recorded(document["recorded"], begins, endings), key=lambda one: (one.started_at, one.job))
    scripts = tuple(_script(one, begins, endings) for one in document["scripts"])
    every: list[Recorded | Script] = [*recorded, *scripts]
    _check(jobs, every, scripts)
    return Night(
        name=str(document["name"]),
        zone=str(document["zone"]),
        begins=begins,
        starts=datetime.fromisoformat(document["starts"]),
        until=datetime.fromisoformat(document["until"]),
        systems=systems,
        jobs=jobs,
        recorded=tuple(recorded),
        scripts=scripts,
        longest=max((one.ended_at - one.started_at for one in recorded), default=timedelta(0)),
        by_run={(one.job, one.run): one for one in every},
    )


def _ending(row: Mapping[str, Any]) -> Ending:
    state = State(row.get("state", "succeeded"))
    fresh = state is State.SUCCEEDED and bool(row.get("fresh", True))
    code = row.get("exit")
    return Ending(state, code, row.get("message", ""), row.get("log", ""), row.get("task", ""), fresh)


def _system(name: str, row: Mapping[str, Any]) -> SystemDef:
    targets = {
        target: TargetDef(tuple(_job(name, target, one) for one in each["jobs"]))
        for target, each in row["targets"].items()
    }
    return SystemDef(name, row["as"], row.get("zone", "UTC"), row.get("version", ""), targets)


def _job(system: str, target: str, row: Mapping[str, Any]) -> JobDef:
    return JobDef(
        system=system,
        target=target,
        native_id=row["id"],
        title=row.get("title", ""),
        schedule=Schedule(**row["schedule"]) if "schedule" in row else Schedule("none"),
        paused=bool(row.get("paused", False)),
        upstreams=tuple(row.get("upstreams", ())),
        definition=row.get("definition", ""),
        proof=Proof(row.get("proof", "full")),
        run_as=row.get("run_as", ""),
        owner=row.get("owner", ""),
        wait=int(row.get("wait", 2)),
        tasks=tuple(TaskDef(*task) for task in row.get("tasks", ())),
    )


def job_key(name: str) -> JobKey:
    system, _, native_id = name.partition("/")
    return system, native_id


def _recorded(rows: Mapping[str, Any], begins: datetime, endings: list[Ending]) -> Iterator[Recorded]:
    for name, runs in rows.items():
        key = job_key(name)
        for due, wait, seconds, ending in runs:
            start = begins + timedelta(seconds=due + wait)
            at = begins + timedelta(seconds=due)
            yield Recorded(key, at, start, start + timedelta(seconds=seconds), endings[ending])


def _script(row: Mapping[str, Any], begins: datetime, endings: list[Ending]) -> Script:
    def outcome(given: Any) -> Outcome:
        return Outcome(int(given[0]), endings[given[1]])

    good = outcome(row["good"])
    stale = outcome(row["stale"]) if "stale" in row else good
    again = row.get("rerun", {})
    return Script(
        job=job_key(row["job"]),
        due=begins + timedelta(seconds=row["due"]),
        after=job_key(row["after"]) if "after" in row else None,
        wait=int(row.get("wait", 1)),
        reads=tuple(job_key(name) for name in row.get("reads", ())),
        first=outcome(row["first"]) if "first" in row else None,
        good=good,
        stale=stale,
        again_good=outcome(again["good"]) if "good" in again else good,
        again_stale=outcome(again["stale"]) if "stale" in again else stale,
    )


def _check(jobs: Mapping[JobKey, JobDef], every: Iterable[Recorded | Script], scripts: Iterable[Script]) -> None:
    """Every name is a job's, every script comes after those it reads, no run stands there twice."""
    runs: set[tuple[JobKey, str]] = set()
    for one in every:
        if one.job not in jobs:
            raise ValueError(f"has runs of {'/'.join(one.job)}, which is no job of it")
        if (one.job, one.run) in runs:
            raise ValueError(f"has the run {one.run} of {'/'.join(one.job)} twice")
        runs.add((one.job, one.run))
    told: set[JobKey] = set()
    for script in scripts:
        for up in (*script.reads, *((script.after,) if script.after else ())):
            if up not in told:
                raise ValueError(f"{'/'.join(script.job)} reads {'/'.join(up)}, whose script does not stand before it")
        told.add(script.job)
