"""A target that does not answer, or answers with a fault, for too many polls, or whose scheduler is stopped.

Runs that turned red on it, or downstream of its missing runs, belong to it. Unreachable targets with one endpoint are
one cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import STOPPED, RunState
from console.control.incidents.causes.cause import AffectedDays, Cause, Ended, Evidence, unambiguous_name
from console.control.incidents.run_effects import red_units, runs_on_target, unfinished_runs_on
from console.control.incidents.run_titles import REASON_LIMIT
from console.control.services.delivery import delivered_at
from console.control.services.status import unobserved_on
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import without_host
from console.control.snapshot.reachability import (
    NO_STATUS_REASONS,
    endpoint_key,
    outage_predicates,
    outage_text,
    stopped_from,
)
from console.control.snapshot.runs import red_since
from console.domain.estate import Estate, IncidentFacts, RunFacts, TargetFacts
from console.domain.failure import FailureSignature
from console.domain.incident_record import CauseKind
from console.domain.reason import NoLongerWatched, WorksAgain
from console.domain.system import with_fix
from console.domain.text import Part, Tense, Text
from console.forecast.finish_times import ForecastNode, ServiceForecast
from console.text.cleaning import clean, clean_line, one_line
from console.text.lists import listed
from console.text.normalize import constant_part
from console.timing.business_dates import business_date_of
from console.timing.durations import TICK
from console.timing.maintenance import ActiveMaintenance, maintenance_of_targets

MAX_TARGETS = 3
"""Targets at one endpoint that a sentence names."""
TARGETS_LIMIT = 150
"""Characters of their list."""


@dataclass(frozen=True, slots=True)
class TargetDown(Cause):
    """Targets at one endpoint, or one that answers with a fault; none once the config names it no longer."""

    kind = CauseKind.TARGET
    end_text = "works again"
    failing: tuple[TargetFacts, ...] = ()
    """The first that failed first; one that answers again while its incident is closed."""

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        return self.failing

    @property
    def subject(self) -> str:
        """ "also unreachable: cron-db07/db07"; empty if its target is the only one."""
        further = self.failing[1:]
        return clean_line(f"also unreachable: {target_names(further)}", TARGETS_LIMIT) if further else ""

    @property
    def can_close_itself(self) -> bool:
        return not self.is_down

    @property
    def starts_nothing(self) -> bool:
        return self.is_down and self.failing[0].error_kind == STOPPED

    @property
    def is_down(self) -> bool:
        return bool(self.failing) and self.failing[0].failing_since is not None

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        index = evidence.index
        causes = [_of_targets(index, targets) for targets in _failing_targets(index)]
        red: list[list[RunFacts]] = [[] for _ in causes]
        for jobs in red_units(index).values() if causes else ():
            remaining = dict(jobs)
            for cause, own in zip(causes, red, strict=True):
                for job_id in cause._explained(index, remaining):
                    own.extend(remaining.pop(job_id))
        return [*known, *(replace(cause, red=tuple(own)) for cause, own in zip(causes, red, strict=True))]

    @classmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> TargetDown:
        target = index.estate.targets.get(incident.cause.target_id or 0)
        return TargetDown(
            incident.cause.business_date, incident.failed_since, red, failing=(target,) if target is not None else ()
        )

    def name(self, index: EstateIndex) -> str:
        return clean_line(f"{self.failing[0].system}/{self.failing[0].name}") if self.failing else ""

    def key(self, index: EstateIndex) -> str:
        target = self.failing[0]
        since = f"@{instant_key(target.failing_since)}" if target.failing_since else ""
        return f"target:{unambiguous_name(f'{target.system}/{target.name}')}{since}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        if not self.is_down:
            return ()
        return self.name(index), Tense(*(f" {text}" for text in outage_predicates(self.failing[0].error_kind)))

    def plain_title(self, index: EstateIndex) -> str:
        return f"{self.name(index)} {outage_text(self.failing[0])}" if self.is_down else ""

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        if not self.is_down:
            return ""
        is_unknown = self.failing[0].error_kind in NO_STATUS_REASONS
        unknown = ", so the state of its jobs is unknown" if is_unknown else ""
        return f"a system {outage_text(self.failing[0])}{unknown}"

    @property
    def error(self) -> str:
        """The error of its first target, after the others that do not answer; empty once it answers."""
        error = self.failing[0].error if self.is_down else ""
        return one_line(f"{self.subject}; {error}" if self.subject else error, REASON_LIMIT)

    def failure(self, index: EstateIndex) -> FailureSignature | None:
        if not self.is_down:
            return None
        target = self.failing[0]
        kind = next((job.kind for job in index.estate.jobs.values() if job.target_id == target.id), "")
        error = constant_part(without_host(target.name, clean(target.error)))
        return FailureSignature(self.kind, kind, target.error_kind, error, "")

    def reason(self, index: EstateIndex) -> Text:
        return (with_fix(self.error, one_line(self.failing[0].error_fix)),) if self.is_down else ()

    def reopens(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        """Also true for a target at their endpoint that answers again."""
        target = index.estate.targets.get(incident.cause.target_id or 0)
        if target is None or any(known.id == target.id for known in self.failing):
            return target is not None
        return target.failing_since is None and target.endpoint in map(_outage_key, self.failing)

    def maintenance(self, index: EstateIndex) -> ActiveMaintenance | None:
        return maintenance_of_targets(index.estate, self.failing, index.now)

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        if not self.failing:
            return Ended(NoLongerWatched())
        if self.is_down:
            return None
        superseded = tuple(_superseded_unseen(index, incident, self.failing[0]))
        return Ended(WorksAgain(), is_recovered=True, superseded=superseded)

    def blocking(self, nodes: Sequence[ForecastNode]) -> Sequence[ForecastNode]:
        """Without those that may still run, on a target that gives no status."""
        if not self.failing or self.failing[0].error_kind not in NO_STATUS_REASONS:
            return nodes
        return [node for node in nodes if node.run is not None and node.run.state.is_red]

    def affected_days(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> AffectedDays:
        return _hit_by_targets(index, {target.id for target in self.failing}, days)

    def _explained(self, index: EstateIndex, jobs: Mapping[int, list[RunFacts]]) -> list[int]:
        dates = {runs[0].business_date for runs in jobs.values()}
        explained = dict[int, None]()
        for target in self.failing:
            waiting = {run.job_id for run in unfinished_runs_on(index, target.id) if run.business_date in dates}
            downstream = set().union(*(index.graph.descendants(unfinished) for unfinished in waiting))
            for job_id, runs in jobs.items():
                is_below = index.job(job_id).target_id == target.id or job_id in downstream
                if is_below and any(self._explains(target, run) for run in runs):
                    explained[job_id] = None
        return list(explained)

    def _explains(self, target: TargetFacts, run: RunFacts) -> bool:
        since = target.failing_since or self.since
        if target.error_kind == STOPPED and run.state is RunState.MISSED:
            since = stopped_from(target, since)
        return red_since(run) >= since


def _failing_targets(index: EstateIndex) -> list[list[TargetFacts]]:
    """Targets that are stopped, or fail for more polls than `stale_polls`, and have something to run, or members of
    services. With one that is unreachable all at its endpoint that are, also where an incident about it is open and it
    answers again."""
    targets = index.estate.targets
    down = {_outage_key(target) for target in targets.values() if _is_down(index, target)}
    known = (targets.get(incident.cause.target_id or 0) for incident in index.estate.incidents)
    down |= {target.endpoint for target in known if target is not None and target.failing_since is None}
    failing = [
        target for target in targets.values() if target.failing_since is not None and _outage_key(target) in down
    ]
    if not failing:
        return []
    members = set().union(*(index.graph.members(service.terminals) for service in index.estate.services))
    busy = {index.job(member).target_id for member in members if member in index.estate.jobs}
    for job_id, runs in index.runs.items():
        if any(run.state.is_open for run in runs):
            busy.add(index.job(job_id).target_id)
    places: dict[str | int, list[TargetFacts]] = {}
    for target in failing:
        if target.id in busy:
            places.setdefault(_outage_key(target), []).append(target)
    return list(places.values())


def _is_down(index: EstateIndex, target: TargetFacts) -> bool:
    if target.error_kind == STOPPED:
        return target.is_stopped
    return _failing_for(target, index.now) > index.estate.settings.stale_polls * target.poll_every


def _outage_key(target: TargetFacts) -> str | int:
    """Its endpoint, if it is unreachable. A target that answers with a fault is a cause of its own."""
    return endpoint_key(target) if target.error_kind == "unreachable" else target.id


def unreachable_from(estate: Estate) -> Iterator[datetime]:
    """When each failing target has failed for too many polls, unless it answers before. A poll, not time, proves a
    stop."""
    for target in estate.targets.values():
        if target.failing_since is not None and target.error_kind != STOPPED:
            since = max(target.failing_since, target.pause.until) if target.pause is not None else target.failing_since
            yield since + estate.settings.stale_polls * target.poll_every + TICK


def _failing_for(target: TargetFacts, now: datetime) -> timedelta:
    """How long polls failed; paused polling does not count. Negative if they do not fail."""
    since, pause = target.failing_since, target.pause
    if since is None:
        return timedelta(-1)
    if pause is None:
        return now - since
    if pause.lasts(now):
        return (pause.at or now) - since
    return now - max(since, pause.until)


def _of_targets(index: EstateIndex, targets: Sequence[TargetFacts]) -> TargetDown:
    failing = sorted(targets, key=lambda target: (target.failing_since or index.now, target.id))
    since = failing[0].failing_since or index.now
    zoned = next((job for job in index.estate.jobs.values() if job.target_id == failing[0].id), None)
    business_date = business_date_of(since, None, zoned.zone, zoned.cutoff) if zoned is not None else since.date()
    return TargetDown(business_date, since, failing=tuple(failing))


def _superseded_unseen(index: EstateIndex, incident: IncidentFacts, target: TargetFacts) -> list[RunFacts]:
    """Red runs at the endpoint of the target since the incident began that no incident has had, and that a later run
    superseded."""
    known = frozenset[int]().union(
        *(facts.affected_run_ids for facts in (*index.estate.incidents, *index.estate.closed))
    )
    return [
        run
        for near in index.estate.targets.values()
        if endpoint_key(near) == endpoint_key(target)
        for run in runs_on_target(index, near.id)
        if run.state.is_red
        and red_since(run) >= incident.failed_since
        and run.id not in known
        and index.is_superseded(run)
    ]


NEAR = timedelta(hours=1)
"""How far ahead an unreachable target puts work or a deadline at risk."""


def _hit_by_targets(index: EstateIndex, target_ids: Set[int], days: Sequence[ServiceForecast]) -> AffectedDays:
    """For each service the last day past its deadline, if it is not delivered and needs a job on the targets, and the
    first open day that needs one now or soon."""
    affected: AffectedDays = {}
    late = {day.service.name: day for day in days if day.deadline < index.now}
    seen: set[str] = set()
    for day in days:
        is_late = late.get(day.service.name) is day
        if not is_late and (day.service.name in seen or day.deadline < index.now):
            continue
        nodes = [node for node in day.unfinished() if index.job(node.job_id).target_id in target_ids]
        if is_late:
            if nodes and delivered_at(index, day) is None and not unobserved_on(index, day):
                affected[day.key] = (day, nodes)
        elif nodes and _is_near(day, nodes, index.now):
            seen.add(day.service.name)
            affected[day.key] = (day, nodes)
    return affected


def next_effects(days: Sequence[ServiceForecast]) -> Iterator[datetime]:
    """Instants from which an unreachable target may affect another day."""
    for day in days:
        yield day.deadline - NEAR
        yield from (at - NEAR for node in day.unfinished() if (at := node.at) is not None)


def _is_near(day: ServiceForecast, nodes: Sequence[ForecastNode], now: datetime) -> bool:
    """Work that follows other work is due once the day has begun: nothing else determines its start."""
    if day.deadline - NEAR <= now:
        return True
    follows = any(node.at is None for node in nodes)
    known = [at for node in (day.nodes.values() if follows else nodes) if (at := node.at) is not None]
    return min(known, default=day.deadline) - NEAR <= now


def target_names(targets: Sequence[TargetFacts]) -> str:
    """ "deliveries/db07, cron-db07/db07, … and 2 more"."""
    return listed([clean_line(f"{target.system}/{target.name}") for target in targets], MAX_TARGETS)
