"""One evaluation: values and the time in, decisions out. The rules stand in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from console.control.alerts import routes, tell
from console.control.cases import Case
from console.control.expected import expectations
from console.control.fingerprint import Day, told_before
from console.control.forecast import Forecast, How
from console.control.forecast.odds import Foresee
from console.control.hits import hits, nearing
from console.control.holds import holding
from console.control.incidents import decide, event_words, shaded, threat
from console.control.kept import Kept
from console.control.own_sleep import woken
from console.control.picture import Picture
from console.control.quiet import quieted
from console.control.rules.judging import changes, findings
from console.control.rules.telling import add_evidence, causes_of
from console.control.service_dates import unpromised
from console.control.service_standing import Threat
from console.control.services import run_timeliness, service_days, verdict
from console.control.shared import root_causes
from console.control.standing import UNREAD
from console.control.undelivered import with_undelivered
from console.control.unready import failing_checks
from console.model.decisions import Decisions, IncidentDecision, RunJudgement, ServiceDayVerdict
from console.model.values import Estate, RunFacts
from console.model.words import Timeliness

MOVING = timedelta(minutes=1)
"""How often a forecast is looked at again that is counted from now on."""


def evaluate(
    estate: Estate,
    now: datetime,
    *,
    log_tails: Mapping[int, str] | None = None,
    kept: Kept | None = None,
    foresee: Foresee | None = None,
) -> Decisions:
    """Everything that the estate's values mean at `now` (aware). `log_tails`: run id -> cleaned end of its log. `kept`:
    of this estate, or of one that it is a part of; with it only what has changed since is found anew. `foresee`: the
    simulation that says when services are done; without it their figures are sums of quantiles.

    Judging twice without a change gives the same, without notices and events. Nothing is asked and nothing remembered:
    what was told before is in the incidents' fingerprints, and of each route in `estate.telling`.
    """
    estate = woken(estate)
    memory, graph = (kept.remembered, kept.graph) if kept is not None else (None, None)
    # 1. What must run: a run that never came is a fact for every rule below.
    due = expectations(estate, now, memory)
    # 2. What is green, red, stale: the later rules look through this, over the runs that exist and those of rule 1.
    picture = Picture(estate, now, due.runs, due.withdrawn, memory, graph)
    # 3. What each service day waits for: before incidents, because those tell whom they hurt.
    days = service_days(picture)
    days = foresee(picture, days) if foresee is not None else days
    # 4. What each job's own past says of it; and which causes there are, red ones, those that only a rule or a check
    #    sees, and promises that are not kept though nothing failed, with the open incident that tells each of them.
    found = findings(picture)
    causes = causes_of(picture, root_causes(picture), found.findings)
    open_cases = with_undelivered(picture, [*causes, *failing_checks(picture, days)], days)
    add_evidence(picture, open_cases, found.findings)
    # 5. Whom each cause hurts, and until when it can be repaired: from the days of rule 3.
    threats = [_threats(picture, case, days) for case in open_cases]
    # 6. How each service stands: its own forecast, or the most urgent of its causes.
    verdicts = _verdicts(picture, days, threats)
    # 7. What is written of each incident, and told if it is new: last, because it tells the verdicts of rule 6.
    decided = [_decided(picture, *pair, verdicts) for pair in zip(open_cases, threats, strict=True)]
    incidents, tell_at = tell(picture, open_cases, decided, verdicts.values(), log_tails or {})
    # 8. Who is held, let go and started: it looks at upstreams as rule 2 does, and changes none of the verdicts above.
    held = holding(picture)
    turns = _turning_points(now, due.next_at, days, verdicts, incidents)
    judgements = _judgements(picture, days, verdicts)
    picture.end()
    return Decisions(
        expected=due.runs,
        withdrawn=due.withdrawn,
        judgements=judgements,
        service_days=(*verdicts.values(), *unpromised(picture)),
        incidents=incidents,
        holds=tuple(held.decisions),
        findings=changes(picture, found.findings),
        cycles=tuple(tuple(picture.job(each).name for each in path) for path in picture.graph.cycles),
        next_at=min([*turns, *held.turns, *tell_at, *filter(None, [found.next_at])], default=None),
    )


def _threats(picture: Picture, case: Case, days: Sequence[Forecast]) -> dict[Day, Threat]:
    return {name: threat(picture, case, day, nodes) for name, (day, nodes) in hits(picture, case, days).items()}


def _verdicts(
    picture: Picture, days: Sequence[Forecast], threats: Sequence[Mapping[Day, Threat]]
) -> dict[Day, ServiceDayVerdict]:
    by_day: dict[Day, list[Threat]] = {}
    for each in threats:
        for name, one in each.items():
            by_day.setdefault(name, []).append(one)
    names = [(day.service.name, day.bd) for day in days]
    return {name: verdict(picture, day, by_day.get(name, ())) for name, day in zip(names, days, strict=True)}


def _decided(
    picture: Picture, case: Case, threats: Mapping[Day, Threat], verdicts: Mapping[Day, ServiceDayVerdict]
) -> IncidentDecision:
    """The incident without what is told of it."""
    before = told_before(case)
    decision = decide(picture, case, threats, verdicts)
    decision = shaded(decision, routes(picture, case, decision)[1])
    decision, kept = quieted(picture, case, decision, before)
    return replace(decision, event="; ".join(filter(None, (event_words(decision, before), kept))))


def _judgements(
    picture: Picture, days: Sequence[Forecast], verdicts: Mapping[Day, ServiceDayVerdict]
) -> tuple[RunJudgement, ...]:
    """Of every stored run whose timeliness or staleness is another than it was."""
    timely = run_timeliness(picture, days, verdicts)
    read = {node.job_id for day in days for node in day.nodes.values()}
    found: list[RunJudgement] = []
    for job_id, runs in picture.runs.items():
        known = picture.memory.get(job_id) if picture.memory is not None else None
        if known is None or job_id in read:
            found += _of_job(picture, job_id, runs, timely)
            continue
        if known.judgements is None:
            known.judgements = tuple(_of_job(picture, job_id, runs, timely))
        found += known.judgements
    return tuple(found)


def _of_job(
    picture: Picture, job_id: int, runs: Sequence[RunFacts], timely: Mapping[int, Timeliness]
) -> Iterator[RunJudgement]:
    reads = picture.graph.reads_any(picture.graph.unit(job_id))
    for run in runs:
        if not run.id:
            continue
        said = timely.get(run.id, Timeliness.NO_ESTIMATE)
        stands = picture.standing(run) if reads else UNREAD
        if run.timeliness is not said or run.stale_read != stands.stale or run.partial_input != stands.partial:
            yield RunJudgement(run.id, said, stands.stale, stands.partial)


def _turning_points(
    now: datetime,
    next_due: datetime | None,
    days: Sequence[Forecast],
    verdicts: Mapping[Day, ServiceDayVerdict],
    incidents: Sequence[IncidentDecision],
) -> Iterator[datetime]:
    """The instants after now at which time alone changes a verdict."""
    if next_due is not None:
        yield next_due
    for day in days:
        said = verdicts[day.service.name, day.bd]
        if said.delivered_at is not None:
            continue
        yield from (at for at in (day.deadline, said.act_by) if at is not None and at > now)
        if day.deadline > now and any(node.how in (How.RERUN, How.RUNNING) for node in day.unfinished()):
            yield now + MOVING
        if day.finish is not None and now < day.deadline >= day.finish.p50:
            yield now + max(day.deadline - day.finish.p50, MOVING)  # no forecast moves on faster than time does
    for incident in incidents:
        yield from (each.act_by for each in incident.services if each.act_by is not None and each.act_by > now)
    if any(each.root_target_id is not None and not each.closed for each in incidents):
        yield from (at for at in nearing(days) if at > now)
