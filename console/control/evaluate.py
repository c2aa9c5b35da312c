"""One evaluation: the estate's values and the time in, decisions out.

The rules are listed in the order in which they depend on each other.
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
from console.control.incidents.correlation import (
    IncidentMatch,
    ServiceDayKey,
    add_evidence,
    causes_from_findings,
    last_notification_of,
)
from console.control.incidents.decisions import (
    decide_incident,
    event_text,
    threat_to_day,
    with_maintenance,
    with_shadowed_routes,
)
from console.control.incidents.impact import affected_days, next_effects
from console.control.incidents.root_cause import root_causes
from console.control.incidents.unmet_promise import failed_check_causes, with_unmet_promises
from console.control.services.status import Threat, run_timeliness, service_days, service_verdict
from console.control.snapshot.deadlines import excluded_dates
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import without_own_pauses
from console.control.snapshot.incremental import EvaluationCache, EvaluationMemo
from console.control.snapshot.runs import UNREAD
from console.domain.decision import Decisions, IncidentDecision, RunJudgement, ServiceDayVerdict
from console.domain.estate import Estate, RunFacts
from console.domain.service import Timeliness
from console.forecast.finish_times import NodeState, ServiceForecast, SimulateDays

MOVING = timedelta(minutes=1)
"""How often a forecast is looked at again that is counted from now on."""


def evaluate(
    estate: Estate,
    now: datetime,
    *,
    log_tails: Mapping[int, str] | None = None,
    cache: EvaluationCache | None = None,
    foresee: SimulateDays | None = None,
) -> Decisions:
    """Everything that the estate's values mean at `now` (aware).

    `log_tails`: run id -> cleaned end of its log. `cache`: of this estate, or of one that it is a part of; with it only
    what has changed since is computed. `foresee`: the simulation that says when services are done; without it their
    figures are sums of quantiles.

    Pure: evaluating twice without a change gives the same, without notifications and events. What was notified before
    is in the incidents' fingerprints, and for each route in `estate.telling`.
    """
    estate = without_own_pauses(estate)
    memo, graph = (cache.memo, cache.graph) if cache is not None else (EvaluationMemo(), None)
    # 1. What must run: a run that never came is a fact for every rule below.
    due = expect_runs(estate, now, memo)
    # 2. What is green, red, stale: the later rules look through this, over the runs that exist and those of rule 1.
    index = EstateIndex(estate, now, due.runs, due.withdrawn, memo, graph)
    # 3. What each service day waits for: before incidents, because those tell whom they hurt.
    days = service_days(index)
    days = foresee(index, days) if foresee is not None else days
    # 4. What each job's own past says of it; and which causes there are, red ones, those that only a rule or a check
    #    sees, and promises that are not kept though nothing failed, with the open incident that tells each of them.
    found = current_findings(index)
    causes = causes_from_findings(index, root_causes(index), found.findings)
    open_cases = with_unmet_promises(index, [*causes, *failed_check_causes(index, days)], days)
    add_evidence(index, open_cases, found.findings)
    # 5. Whom each cause hurts, and until when it can be repaired: from the days of rule 3.
    threats = [_threats(index, match, days) for match in open_cases]
    # 6. How each service stands: its own forecast, or the most urgent of its causes.
    verdicts = _verdicts(index, days, threats)
    # 7. What is written of each incident, and told if it is new: last, because it tells the verdicts of rule 6.
    decided = [_decided(index, *pair, verdicts) for pair in zip(open_cases, threats, strict=True)]
    incidents, tell_at = add_notifications(index, open_cases, decided, verdicts.values(), log_tails or {})
    # 8. Who is held, let go and started: it looks at upstreams as rule 2 does, and changes none of the verdicts above.
    held = decide_holds(index)
    turns = _turning_points(now, due.next_at, days, verdicts, incidents)
    judgements = _judgements(index, days, verdicts)
    index.end()
    return Decisions(
        expected=due.runs,
        withdrawn=due.withdrawn,
        judgements=judgements,
        service_days=(*verdicts.values(), *excluded_dates(index)),
        incidents=incidents,
        holds=tuple(held.decisions),
        findings=finding_changes(index, found.findings),
        cycles=tuple(tuple(index.job(each).name for each in path) for path in index.graph.cycles),
        next_at=min([*turns, *held.turns, *tell_at, *filter(None, [found.next_at])], default=None),
    )


def _threats(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> dict[ServiceDayKey, Threat]:
    return {
        name: threat_to_day(index, match, day, nodes)
        for name, (day, nodes) in affected_days(index, match, days).items()
    }


def _verdicts(
    index: EstateIndex, days: Sequence[ServiceForecast], threats: Sequence[Mapping[ServiceDayKey, Threat]]
) -> dict[ServiceDayKey, ServiceDayVerdict]:
    by_day: dict[ServiceDayKey, list[Threat]] = {}
    for each in threats:
        for name, one in each.items():
            by_day.setdefault(name, []).append(one)
    names = [(day.service.name, day.business_date) for day in days]
    return {name: service_verdict(index, day, by_day.get(name, ())) for name, day in zip(names, days, strict=True)}


def _decided(
    index: EstateIndex,
    match: IncidentMatch,
    threats: Mapping[ServiceDayKey, Threat],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
) -> IncidentDecision:
    """The incident without what is told of it."""
    before = last_notification_of(match)
    decision = decide_incident(index, match, threats, verdicts)
    decision = with_shadowed_routes(decision, routes_of_incident(index, match, decision)[1])
    decision, kept = with_maintenance(index, match, decision, before)
    return replace(decision, event="; ".join(filter(None, (event_text(decision, before), kept))))


def _judgements(
    index: EstateIndex, days: Sequence[ServiceForecast], verdicts: Mapping[ServiceDayKey, ServiceDayVerdict]
) -> tuple[RunJudgement, ...]:
    """Of every stored run whose timeliness or staleness is another than it was."""
    timely = run_timeliness(index, days, verdicts)
    read = {node.job_id for day in days for node in day.nodes.values()}
    found: list[RunJudgement] = []
    for job_id, runs in index.runs.items():
        entry = index.memo.get(job_id)
        if entry is None or job_id in read:
            found += _of_job(index, job_id, runs, timely)
            continue
        if entry.judgements is None:
            entry.judgements = tuple(_of_job(index, job_id, runs, timely))
        found += entry.judgements
    return tuple(found)


def _of_job(
    index: EstateIndex, job_id: int, runs: Sequence[RunFacts], timely: Mapping[int, Timeliness]
) -> Iterator[RunJudgement]:
    reads = index.graph.reads_any(index.graph.unit(job_id))
    for run in runs:
        if not run.id:
            continue
        said = timely.get(run.id, Timeliness.NO_ESTIMATE)
        stands = index.freshness(run) if reads else UNREAD
        if run.timeliness is not said or run.stale_read != stands.stale or run.partial_input != stands.partial:
            yield RunJudgement(run.id, said, stands.stale, stands.partial)


def _turning_points(
    now: datetime,
    next_due: datetime | None,
    days: Sequence[ServiceForecast],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
    incidents: Sequence[IncidentDecision],
) -> Iterator[datetime]:
    """The instants after now at which time alone changes a verdict."""
    if next_due is not None:
        yield next_due
    for day in days:
        said = verdicts[day.service.name, day.business_date]
        if said.delivered_at is not None:
            continue
        yield from (at for at in (day.deadline, said.act_by) if at is not None and at > now)
        if day.deadline > now and any(node.how in (NodeState.RERUN, NodeState.RUNNING) for node in day.unfinished()):
            yield now + MOVING
        if day.finish is not None and now < day.deadline >= day.finish.p50:
            yield now + max(day.deadline - day.finish.p50, MOVING)  # no forecast moves on faster than time does
    for incident in incidents:
        yield from (each.act_by for each in incident.services if each.act_by is not None and each.act_by > now)
    if any(each.root_target_id is not None and not each.closed for each in incidents):
        yield from (at for at in next_effects(days) if at > now)
