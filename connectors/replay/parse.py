"""The document of a night, parsed. Pure; whatever the document holds, only ValueError is raised, with the place.

    format 1 · zone · begins (every number of seconds counts from it) · starts (where a play begins) · until
    endings   [{state, exit, message, log, task, fresh}]           how attempts end; others name one by its place
    systems   {name: {as, zone, version, targets: {name: {jobs: [...]}}}}
    recorded  {"system/native-id": [[due, wait, seconds, ending], ...]}   runs that nothing can change
    scripts   [{job, due, by | after, wait, reads, first, good, stale, rerun, run}]   runs that depend on each other

Scripts are listed in the order in which they read each other. A script's attempt is `good` when everything it `reads`
is fresh at its start, else `stale`: which may be failed, or succeeded on old data (`fresh: false`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import ProofLevel, RunState

FORMAT = 1

JobKey = tuple[str, str]
"""(system, native id)."""


@dataclass(frozen=True, slots=True)
class AttemptEnding:
    state: RunState = RunState.SUCCEEDED
    exit_code: int | None = None
    message: str = ""
    log: str = ""
    task: str = ""
    """The task at which a DAG failed."""
    fresh: bool = True
    """True when it wrote this night's data; never for a failed attempt."""


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How long an attempt takes, and how it ends."""

    seconds: int
    ending: AttemptEnding


@dataclass(frozen=True, slots=True)
class TaskDef:
    """One task of a DAG; tasks run one after the other, each for its share of the whole."""

    name: str
    share: float
    operator: str = ""


@dataclass(frozen=True, slots=True)
class JobDef:
    system: str
    target: str
    native_id: str
    title: str
    schedule: Schedule
    paused: bool
    upstreams: tuple[str, ...]
    definition: str
    proof: ProofLevel
    run_as: str
    owner: str
    wait: int
    """Seconds from an action or a trigger to the start."""
    tasks: tuple[TaskDef, ...]

    @property
    def key(self) -> JobKey:
        return self.system, self.native_id


@dataclass(frozen=True, slots=True)
class SystemDef:
    lent: str
    """The kind that it imitates: "cron", "airflow", "pg_cron", "step_functions"."""
    zone: str
    version: str
    targets: Mapping[str, tuple[JobDef, ...]]
    """Name -> jobs."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run with one attempt, from the recording."""

    job: JobKey
    due: datetime
    started_at: datetime
    ended_at: datetime
    ending: AttemptEnding

    @property
    def run(self) -> str:
        return instant_key(self.due)

    @property
    def queued_at(self) -> datetime:
        return min(self.due, self.started_at)


@dataclass(frozen=True, slots=True)
class ScriptedRun:
    """One run whose attempts depend on other runs and on actions."""

    job: JobKey
    due: datetime
    """Its scheduled instant; where another job starts it, the instant that names its run."""
    after: JobKey | None
    """It starts `wait` seconds after each success of this one; None: by the clock, at `due`."""
    wait: int
    reads: tuple[JobKey, ...]
    first: AttemptOutcome | None
    """Its first attempt, whatever it reads."""
    good: AttemptOutcome
    stale: AttemptOutcome
    again_good: AttemptOutcome
    again_stale: AttemptOutcome

    @property
    def run(self) -> str:
        return instant_key(self.due)


@dataclass(frozen=True, slots=True)
class ReplayNight:
    zone: str
    starts: datetime
    until: datetime
    systems: Mapping[str, SystemDef]
    jobs: Mapping[JobKey, JobDef]
    recorded: tuple[RecordedRun, ...]
    """By start."""
    scripts: tuple[ScriptedRun, ...]
    longest: timedelta = timedelta(0)
    """Of the recorded runs: how far back one may have started that has not ended."""
    by_run: Mapping[tuple[JobKey, str], RecordedRun | ScriptedRun] = field(default_factory=dict)


def night(document: Any) -> ReplayNight:
    """The values of one document. Raises ValueError."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"is not a night of format {FORMAT}")
    try:
        return _night(document)
    except KeyError as error:
        raise ValueError(f"lacks {error}") from None
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"cannot be read: {type(error).__name__}: {error}") from None


def _night(document: dict[str, Any]) -> ReplayNight:
    begins = datetime.fromisoformat(document["begins"])
    endings = []
    for row in document["endings"]:
        state = RunState(row.get("state", "succeeded"))
        is_fresh = state is RunState.SUCCEEDED and bool(row.get("fresh", True))
        message, log, task = (row.get(name, "") for name in ("message", "log", "task"))
        endings.append(AttemptEnding(state, row.get("exit"), message, log, task, is_fresh))
    systems = {}
    for name, row in document["systems"].items():
        targets = {
            target: tuple(_job(name, target, job) for job in item["jobs"]) for target, item in row["targets"].items()
        }
        systems[name] = SystemDef(row["as"], row.get("zone", "UTC"), row.get("version", ""), targets)
    jobs = {job.key: job for system in systems.values() for target in system.targets.values() for job in target}
    recorded = []
    for name, rows in document["recorded"].items():
        for due, wait, seconds, ending in rows:
            at, start = begins + timedelta(seconds=due), begins + timedelta(seconds=due + wait)
            end = start + timedelta(seconds=seconds)
            recorded.append(RecordedRun(job_key(name), at, start, end, endings[ending]))
    recorded.sort(key=lambda item: (item.started_at, item.job))
    scripts = tuple(_script(script, begins, endings) for script in document["scripts"])
    runs: list[RecordedRun | ScriptedRun] = [*recorded, *scripts]
    _check(jobs, runs, scripts)
    return ReplayNight(
        zone=str(document["zone"]),
        starts=datetime.fromisoformat(document["starts"]),
        until=datetime.fromisoformat(document["until"]),
        systems=systems,
        jobs=jobs,
        recorded=tuple(recorded),
        scripts=scripts,
        longest=max((entry.ended_at - entry.started_at for entry in recorded), default=timedelta(0)),
        by_run={(entry.job, entry.run): entry for entry in runs},
    )


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
        proof=ProofLevel(row.get("proof", "full")),
        run_as=row.get("run_as", ""),
        owner=row.get("owner", ""),
        wait=int(row.get("wait", 2)),
        tasks=tuple(TaskDef(*task) for task in row.get("tasks", ())),
    )


def job_key(name: str) -> JobKey:
    system, _, native_id = name.partition("/")
    return system, native_id


def _script(row: Mapping[str, Any], begins: datetime, endings: list[AttemptEnding]) -> ScriptedRun:
    def outcome(pair: Any) -> AttemptOutcome:
        return AttemptOutcome(int(pair[0]), endings[pair[1]])

    good = outcome(row["good"])
    stale = outcome(row["stale"]) if "stale" in row else good
    again = row.get("rerun", {})
    return ScriptedRun(
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


def _check(
    jobs: Mapping[JobKey, JobDef], runs: Iterable[RecordedRun | ScriptedRun], scripts: Iterable[ScriptedRun]
) -> None:
    """Raises ValueError for a run of an unknown job, a run listed twice, and a script before one that it reads."""
    seen: set[tuple[JobKey, str]] = set()
    for run in runs:
        if run.job not in jobs:
            raise ValueError(f"has runs of {'/'.join(run.job)}, which is not one of its jobs")
        if (run.job, run.run) in seen:
            raise ValueError(f"has the run {run.run} of {'/'.join(run.job)} twice")
        seen.add((run.job, run.run))
    scripted: set[JobKey] = set()
    for script in scripts:
        for upstream in (*script.reads, *((script.after,) if script.after else ())):
            if upstream not in scripted:
                names = f"{'/'.join(script.job)} reads {'/'.join(upstream)}"
                raise ValueError(f"{names}, whose script is not listed before it")
        scripted.add(script.job)
