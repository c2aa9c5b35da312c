"""Small builders of the values that decisions see. Times are given as "03:12" of the night of 19/20 November 2026."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from connectors.sdk.contract import PreviewNote
from connectors.sdk.records import RunRecord, Schedule, instant_key
from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from console.domain.dependency import DependencyOrigin, Requirement
from console.domain.estate import (
    DependencyFacts,
    Estate,
    EvaluationSettings,
    IncidentFacts,
    JobFacts,
    RunFacts,
    ServiceFacts,
    TargetFacts,
)
from console.domain.job import Safety
from console.domain.settings import NOTHING_DECLARED, Declared
from console.timing.business_dates import business_date_of

NIGHT = date(2026, 11, 19)
"""The business date of the tests' night: from noon of the 19th to noon of the 20th."""


def at(clock: str, day: int = 0) -> datetime:
    """The instant (UTC) of "03:12" or "03:12:07" in the night of NIGHT: before noon is the 20th. `day` shifts it."""
    shown = time.fromisoformat(clock)
    on = NIGHT + timedelta(days=day + (1 if shown < time(12) else 0))
    return datetime.combine(on, shown, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def daily(clock: str, dialect: str = "debian-cron", zone: str = "UTC") -> Schedule:
    """Once a day at "03:10"."""
    hour, minute = clock.split(":")
    return Schedule(dialect, f"{int(minute)} {int(hour)} * * *", zone)


def target(number: int = 1, system: str = "etl-hosts", name: str = "db07", **changes: Any) -> TargetFacts:
    """A target that answers, seen until the end of time unless said otherwise."""
    facts: dict[str, Any] = {
        "poll_every": timedelta(seconds=15),
        "last_ok_at": at("11:59"),
        "failing_since": None,
        "error": "",
        "seen_until": at("11:59"),
        "first_ok_at": at("12:00", day=-30),
    }
    return TargetFacts(id=number, system=system, name=name, **(facts | changes))


def job(number: int, name: str, schedule: Schedule | str = "", **changes: Any) -> JobFacts:
    """A job by "system/native-id"; `schedule` "03:10" is daily cron, "" none. Accepted when the night opens."""
    system, _, native_id = name.partition("/")
    if isinstance(schedule, str):
        schedule = daily(schedule) if schedule else Schedule("none")
    facts: dict[str, Any] = {
        "kind": "cron",
        "target_id": 1,
        "parent_id": None,
        "accepted_at": at("12:00"),
        "zone": "UTC",
        "cutoff": time(12),
        "paused_since": None,
        "gone_since": None,
        "proof": ProofLevel.FULL,
        "expected": None,
        "grace": timedelta(minutes=5),
        "owner": "",
        "notify": (),
        "runbook": "",
        "rerun": Safety.ASK,
    }
    return JobFacts(id=number, system=system, native_id=native_id, schedule=schedule, **(facts | changes))


def run(
    number: int, of: JobFacts, due: datetime | str, state: RunState = RunState.SUCCEEDED, **changes: Any
) -> RunFacts:
    """A run of the job for the instant `due`. A state that has started starts there and, ended, ends 10 min later."""
    due = at(due) if isinstance(due, str) else due
    started = None if state in (RunState.PLANNED, RunState.HELD, RunState.MISSED) else changes.get("started_at", due)
    ended = started + minutes(10) if started is not None and not state.is_open else None
    facts: dict[str, Any] = {
        "period_key": instant_key(due),
        "period_at": due,
        "business_date": business_date_of(due, None, of.zone, of.cutoff),
        "evidence": RunEvidence.NATIVE if started else RunEvidence.INFERRED,
        "attempt": 1 if started else 0,
        "first_started_at": started,
        "started_at": started,
        "ended_at": ended,
        "expected": of.schedule.dialect != "none",
    }
    return RunFacts(id=number, job_id=of.id, state=state, **(facts | changes))


def record(native_id: str, started: datetime, key: str = "", **changes: Any) -> RunRecord:
    """A start as a log shows it: without a period."""
    facts: dict[str, Any] = {"state": RunState.RUNNING, "native_state": "CMD", "started_at": started}
    return RunRecord(job=native_id, attempt_key=key or instant_key(started), **(facts | changes))


def gate(need: int, downstream: JobFacts, *upstreams: JobFacts, **wants: Any) -> list[DependencyFacts]:
    """One gate of several upstreams, of which so many must hold."""
    requirement = Requirement(gate="1", need=need, **wants)
    return [DependencyFacts(job.id, downstream.id, DependencyOrigin.DECLARED, wants=requirement) for job in upstreams]


def wanting(upstream: JobFacts, downstream: JobFacts, **wants: Any) -> list[DependencyFacts]:
    """One dependency that wants something else than plain success."""
    return [DependencyFacts(upstream.id, downstream.id, DependencyOrigin.DECLARED, wants=Requirement(**wants))]


def feeds(
    upstream: JobFacts, *downstreams: JobFacts, origin: DependencyOrigin = DependencyOrigin.DECLARED
) -> list[DependencyFacts]:
    """One dependency from the upstream to each downstream."""
    return [DependencyFacts(upstream.id, job.id, origin) for job in downstreams]


def service(name: str, deadline: str, *terminals: JobFacts, **changes: Any) -> ServiceFacts:
    """A service in UTC that is delivered when these jobs are done."""
    facts: dict[str, Any] = {
        "title": name.replace("-", " ").capitalize(),
        "zone": "UTC",
        "cutoff": time(12),
        "tier": 1,
        "owner": "",
        "notify": (),
        "runbook": "",
    }
    ends = tuple(job.id for job in terminals)
    return ServiceFacts(name=name, terminals=ends, deadline=time.fromisoformat(deadline), **(facts | changes))


def estate(
    *jobs: JobFacts,
    runs: list[RunFacts] | tuple[RunFacts, ...] = (),
    feeds: list[DependencyFacts] | tuple[DependencyFacts, ...] = (),
    services: list[ServiceFacts] | tuple[ServiceFacts, ...] = (),
    targets: list[TargetFacts] | None = None,
    durations: dict[int, tuple[float, ...]] | None = None,
    incidents: tuple[IncidentFacts, ...] = (),
    settings: EvaluationSettings | None = None,
    declared: Declared = NOTHING_DECLARED,
) -> Estate:
    """The whole; without `targets`, one that answers for every target the jobs name."""
    if targets is None:
        targets = [target(number) for number in sorted({job.target_id for job in jobs})]
    return Estate(
        jobs={job.id: job for job in jobs},
        runs=tuple(sorted(runs, key=lambda run: (run.job_id, run.period_at or run.first_started_at or at("12:00")))),
        durations=durations or {},
        dependencies=tuple(feeds),
        services=tuple(services),
        targets={target.id: target for target in targets},
        incidents=incidents,
        declared=declared,
        settings=settings or EvaluationSettings(default_route=("oncall",)),
    )


def note_text(note: PreviewNote) -> str:
    """The note of a preview, its instants as keys."""
    return "".join(part if isinstance(part, str) else instant_key(part) for part in note)
