"""One evaluation: the estate's values and the time in, decisions out.

The rules are listed in the order of their dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from console.control.alerts.pipeline import add_notifications
from console.control.alerts.routing import routes_of_incident
from console.control.detection.rules import current_findings, finding_changes
from console.control.expectations.expected_runs import expect_runs
from console.control.holds.state_machine import decide_holds
from console.control.incidents.causes import find_causes
from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.causes.target_down import next_effects, unreachable_from
from console.control.incidents.correlation import MOVE_WAIT, IncidentMatch, add_evidence
from console.control.incidents.decisions import (
    cause_change_text,
    decide_incident,
    event_text,
    threat_to_day,
    with_suppressions,
)
from console.control.incidents.impact import affected_days, closing_runs
from console.control.incidents.restart import is_restartable
from console.control.incidents.unmet_promise import with_unmet_promises
from console.control.policies.selection import RepairSelection
from console.control.services.status import Threat, run_timeliness, service_days, service_verdict
from console.control.snapshot.deadlines import excluded_dates
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import without_own_pauses
from console.control.snapshot.incremental import EvaluationCache, EvaluationMemo
from console.control.snapshot.runs import UNREAD
from console.domain.decision import Decisions, IncidentDecision, RunJudgement, ServiceDayVerdict
from console.domain.estate import Estate, RunFacts
from console.domain.service import Timeliness
from console.domain.text import joined
from console.forecast.finish_times import NodeState, ServiceForecast, SimulateDays

MOVING = timedelta(minutes=1)
"""How often a forecast from now on is refreshed."""


def evaluate(
    estate: Estate,
    now: datetime,
    *,
    cache: EvaluationCache | None = None,
    foresee: SimulateDays | None = None,
) -> Decisions:
    """All decisions for the estate at `now` (aware).

    `cache`: of this estate, or of one that it is a part of; with it
    only the changes since are computed. `foresee`: the simulation of finish times; without it they are sums of
    quantiles.

    Pure: evaluating twice without a change gives the same, without notifications and events. Earlier notifications
    are in the incidents' fingerprints, and per route in `estate.notifications`.
    """
    estate = without_own_pauses(estate)
    memo, graph = (cache.memo, cache.graph) if cache is not None else (EvaluationMemo(), None)
    # 1. Expected runs: a missing run is a fact for every rule below.
    due = expect_runs(estate, now, memo)
    # 2. State and freshness, over the existing runs and those of rule 1: every later rule reads this index.
    index = EstateIndex(estate, now, due.runs, due.withdrawn, memo, graph)
    # 3. Service days: before incidents, because those name the services that they affect.
    days = service_days(index)
    days = foresee(index, days) if foresee is not None else days
    # 4. Findings from each job's own past; and the causes: red runs, findings, failed checks, and promises that are
    #    unmet without a failure, each with its open incident.
    findings = current_findings(index)
    matches = with_unmet_promises(index, find_causes(index, findings.findings, days), days)
    add_evidence(index, matches, findings.findings)
    # 5. Services that each cause affects, and until when it can be repaired: from the days of rule 3.
    threats = [_threats(index, match, days) for match in matches]
    # 6. Status of each service: its own forecast, or the most urgent of its causes.
    verdicts = _verdicts(index, days, threats)
    # 7. Incidents, their repairs by policies and their notifications: last, as they contain the verdicts of rule 6.
    policies = RepairSelection(index, verdicts)
    decided = [_decided(index, *pair, verdicts, policies) for pair in zip(matches, threats, strict=True)]
    incidents, notify_at = add_notifications(index, matches, decided, verdicts.values())
    # 8. Holds, releases and starts: they read upstreams as rule 2 does, and change none of the verdicts above.
    held = decide_holds(index)
    turns = (
        *held.turns,
        *notify_at,
        *policies.turns,
        *_turning_points(now, due.next_at, days, verdicts, matches, incidents),
        *(at for at in unreachable_from(estate) if at > now),
    )
    judgements = _judgements(index, days, verdicts)
    index.end()
    return Decisions(
        expected=due.runs,
        withdrawn=due.withdrawn,
        judgements=judgements,
        service_days=(*verdicts.values(), *excluded_dates(index)),
        incidents=incidents,
        holds=tuple(held.decisions),
        policy_repairs=policies.repairs,
        pending_repairs=policies.pending,
        withdrawn_repairs=tuple(policies.withdrawn),
        opened_breakers=policies.opened_breakers,
        findings=finding_changes(index, findings.findings),
        cycles=tuple(
            tuple(index.job(job_id).name for job_id in path)
            for path in index.graph.cycles
            if path[0] in estate.jobs  # a part has all of a cycle, or nothing
        ),
        next_at=min([*turns, *filter(None, [findings.next_at])], default=None),
    )


def _threats(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> dict[ServiceDayKey, Threat]:
    """The threats to its affected days; sets the starts that close it, which are as good as jobs that run again."""
    affected = affected_days(index, match, days)
    threats = {name: threat_to_day(index, match, day, nodes) for name, (day, nodes) in affected.items()}
    limits = (threat.act_by or affected[name][0].deadline for name, threat in threats.items())
    match.closing = closing_runs(index, match, limits)
    if not match.closing:
        return threats
    return {name: replace(threat, waits_for_restart=False) for name, threat in threats.items()}


def _verdicts(
    index: EstateIndex, days: Sequence[ServiceForecast], threats: Sequence[Mapping[ServiceDayKey, Threat]]
) -> dict[ServiceDayKey, ServiceDayVerdict]:
    by_day: dict[ServiceDayKey, list[Threat]] = {}
    for threat in threats:
        for name, day_threat in threat.items():
            by_day.setdefault(name, []).append(day_threat)
    names = [day.key for day in days]
    return {name: service_verdict(index, day, by_day.get(name, ())) for name, day in zip(names, days, strict=True)}


def _decided(
    index: EstateIndex,
    match: IncidentMatch,
    threats: Mapping[ServiceDayKey, Threat],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
    policies: RepairSelection,
) -> IncidentDecision:
    decision = policies.decide(match, decide_incident(index, match, threats, verdicts))
    in_shadow = routes_of_incident(index, match, decision)[1]
    decision, maintenance = with_suppressions(index, match, decision, in_shadow)
    before = match.before.notified if match.before is not None else None
    events = event_text(decision, before), cause_change_text(match, decision), maintenance
    services = decision.services
    if not decision.closed and decision.suppressions.maintenance is None and is_restartable(index, match):
        services = tuple(replace(service, needs_restart=True) for service in services)
    return replace(decision, services=services, event=joined(filter(None, events), "; "))


def _judgements(
    index: EstateIndex, days: Sequence[ServiceForecast], verdicts: Mapping[ServiceDayKey, ServiceDayVerdict]
) -> tuple[RunJudgement, ...]:
    timely = run_timeliness(index, days, verdicts)
    read = {node.job_id for day in days for node in day.nodes.values()}
    judgements: list[RunJudgement] = []
    for job_id, runs in index.runs.items():
        entry = index.memo.get(job_id)
        if entry is None or job_id in read:
            judgements += _of_job(index, job_id, runs, timely)
            continue
        if entry.judgements is None:
            entry.judgements = tuple(_of_job(index, job_id, runs, timely))
        judgements += entry.judgements
    return tuple(judgements)


def _of_job(
    index: EstateIndex, job_id: int, runs: Sequence[RunFacts], timely: Mapping[int, Timeliness]
) -> Iterator[RunJudgement]:
    reads = index.graph.reads_any(index.graph.unit(job_id))
    for run in runs:
        if not run.id:
            continue
        timeliness = timely.get(run.id, Timeliness.NO_ESTIMATE)
        freshness = index.freshness(run) if reads else UNREAD
        if (
            run.timeliness is not timeliness
            or run.stale_read != freshness.stale
            or run.partial_input != freshness.partial
        ):
            yield RunJudgement(run.id, timeliness, freshness.stale, freshness.partial)


def _turning_points(
    now: datetime,
    next_due: datetime | None,
    days: Sequence[ServiceForecast],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
    matches: Sequence[IncidentMatch],
    incidents: Sequence[IncidentDecision],
) -> Iterator[datetime]:
    if next_due is not None:
        yield next_due
    for day in days:
        verdict = verdicts[day.key]
        if verdict.delivered_at is not None:
            continue
        yield from (at for at in (day.deadline, verdict.act_by) if at is not None and at > now)
        if day.deadline > now and any(node.how in (NodeState.RERUN, NodeState.RUNNING) for node in day.unfinished()):
            yield now + MOVING
        if day.finish is not None and now < day.deadline >= day.finish.p50:
            yield now + max(day.deadline - day.finish.p50, MOVING)  # no forecast advances faster than time
    for incident in incidents:
        yield from (
            service.act_by for service in incident.services if service.act_by is not None and service.act_by > now
        )
    moves = (match.cause_moved_at + MOVE_WAIT for match in matches if match.cause_moved_at is not None)
    yield from (at for at in moves if at > now)
    if any(incident.cause.target_id is not None and not incident.closed for incident in incidents):
        yield from (at for at in next_effects(days) if at > now)
