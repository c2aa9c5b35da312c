"""Incidents as they are written: root cause, members, affected services and their fingerprint.

The fingerprint holds the content of the notification: the root, the services and whether the incident is resolved, so
that passing time alone notifies nothing twice. A notified service stays in it until the incident closes. During a
maintenance nothing is notified: the incident is open, with the reason; if it outlives the maintenance it is notified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, count

from connectors.sdk.states import RunState
from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.causes.shared_resource import has_own_error
from console.control.incidents.changes import MAX_ROOTS
from console.control.incidents.correlation import MAX_ERRORS, MOVE_WAIT, IncidentMatch, cause_finding
from console.control.incidents.impact import RepairBudgets, last_starts, runs_again, tightest_budget
from console.control.incidents.news import AFTER_SUCCESS, NewCause, NewError, NextCause, change_texts, changes_of
from console.control.incidents.restart import repetition
from console.control.incidents.run_effects import (
    affected_runs,
    is_lost_out_of_reach,
    run_error,
    threatened_runs,
    unfinished_runs_on,
)
from console.control.incidents.run_titles import awaited_inputs
from console.control.incidents.titles import (
    blamed_name,
    cause_name,
    cause_rule,
    incident_reason,
    incident_title,
    notified_cause,
    superseded_lines,
)
from console.control.services.status import Threat, late_holds, whole_second
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import endpoint_key
from console.control.snapshot.runs import RunKey, is_of_same_work, red_since, run_key, run_time, success_spans
from console.domain.alert import IncidentPhase, JobErrors, NotifiedDay, NotifiedIncident
from console.domain.decision import (
    AffectedServiceVerdict,
    IncidentDecision,
    IncidentOwner,
    KnownIncident,
    MaintenanceCover,
    MemberVerdict,
    NewIncident,
    ReopenedIncident,
    RunComparison,
    ServiceDayVerdict,
    Suppressions,
)
from console.domain.estate import IncidentFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule
from console.domain.ids import incident_name
from console.domain.incident import FailureError
from console.domain.incident_record import CauseRecord, Flaps, IncidentFingerprint, KnownFailure, Withheld
from console.domain.reason import BadDelivery, JobHeld
from console.domain.service import SAFE, Timeliness
from console.domain.text import Text, joined
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast
from console.text.cleaning import clean_line
from console.timing.formats import zoned_time

STEADY_FOR = timedelta(minutes=30)
"""A flapping incident is notified again once it is red or green for this long."""


def count_flaps(index: EstateIndex, match: IncidentMatch) -> Flaps | None:
    """How often it was reopened since it was last steady; a red or green time of STEADY_FOR restarts the count."""
    incident = match.incident
    if incident is None or not match.reopened:
        return incident.flaps if incident is not None else None
    closed_at = incident.closed_at or index.now
    # Green until now, not until it failed: by now an all-clear may have left.
    longest = max(closed_at - incident.failed_since, index.now - closed_at)
    if incident.flaps is None or longest >= STEADY_FOR:
        return Flaps(1, incident.failed_since)
    return Flaps(incident.flaps.times + 1, incident.flaps.since)


def with_suppressions(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, in_shadow: tuple[str, ...]
) -> tuple[IncidentDecision, Text]:
    """The decision, with the routes in shadow and the maintenance that covers its root; and its timeline entry. The
    resolution is notified if the incident was."""
    before, now = match.before, decision.fingerprint
    suppressions, maintenance = replace(decision.suppressions, in_shadow=in_shadow), match.cause.maintenance(index)
    shadowed = replace(decision, suppressions=suppressions)
    known = before.quiet if before is not None else Withheld.ALL
    if maintenance is None:
        if before is None or not known or (decision.closed and known is Withheld.ALL):
            return shadowed, ()
        outcome = "nothing to notify" if known is Withheld.NOTHING else "notified now"
        return shadowed, (f"{outcome}: its maintenance has ended",)
    if decision.closed and known is not Withheld.ALL:
        return shadowed, ()
    withheld, cover = known or Withheld.NOTHING, MaintenanceCover(maintenance.text, maintenance.until)
    if withheld is Withheld.NOTHING and before is not None and any(changes_of(before.notified, now)):
        withheld = Withheld.CHANGES
    held = replace(suppressions, maintenance=cover)
    event = () if before is not None and known else ("suppressed: ", *cover.reason)
    return replace(shadowed, fingerprint=replace(now, quiet=withheld), suppressions=held), event


def dedup_key_of(index: EstateIndex, match: IncidentMatch) -> str:
    """Dedup key: that of the open incident; for a new cause its first run or the start of its outage, and a number
    where an open incident has that key, which has another root by now."""
    if match.incident is not None:
        return match.incident.key
    key = match.cause.key(index)
    taken = {incident.key for incident in index.estate.incidents if incident.key.startswith(key)}
    return next(name for name in chain((key,), (f"{key}#{number}" for number in count(2))) if name not in taken)


def threat_to_day(
    index: EstateIndex, match: IncidentMatch, day: ServiceForecast, nodes: Sequence[ForecastNode]
) -> Threat:
    """Effect of the cause on one service day: act-by and green-by of the jobs that must be restarted first."""
    nodes = match.cause.blocking(nodes)
    if not nodes:  # no restart needed: its forecast counts
        return Threat(dedup_key_of(index, match), blamed_name(index, match), None, waits_for_restart=False)
    budgets = RepairBudgets(index, day)
    stopped = [node for node in nodes if node.how is not NodeState.RUNNING]
    budget = tightest_budget(budgets.of(node.job_id) for node in stopped or nodes)
    if budget is not None and day.odds is not None:
        times = day.odds.act_by_times(node.job_id for node in stopped or nodes)
        budget = replace(budget, act_by=times.act_by, green_by=times.green_by) if times is not None else budget
    if budget is not None and match.cause.starts_nothing:
        target_id = match.cause.targets[0].id
        jobs = [node.job_id for node in stopped if index.job(node.job_id).target_id == target_id]
        starts = last_starts(index, day, budgets, jobs, budget)
        budget = replace(budget, act_by=min(filter(None, [*starts, budget.act_by]), default=None))
    is_hanging = match.cause.rule == DetectionRule.TOO_LONG
    first = match.to_repair
    runs = (node.run for node in stopped if node.run is not None)
    waiting = {run.job_id for run in runs if run.state.is_red and run.state is not RunState.BLOCKED}
    later = index.graph.ordered(waiting - {first.job_id}) if first is not None and first.job_id in waiting else ()
    then = tuple(map(index.name, later))
    verb = "start" if first is not None and first.state is RunState.MISSED else "restart"
    held = tuple(JobHeld(index.name(node.job_id), start.text, not start.is_of_plan) for node, start in late_holds(day))
    return Threat(
        dedup_key_of(index, match), cause_name(index, match), budget, bool(stopped), is_hanging, then, held, verb
    )


def decide_incident(
    index: EstateIndex,
    match: IncidentMatch,
    threats: Mapping[ServiceDayKey, Threat],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
) -> IncidentDecision:
    """The incident to write, without its notifications. `threats`: of this match, by service day."""
    before = match.before
    notified = frozenset(threats) | (before.notified.day_keys if before else frozenset())
    cause, (failures, errors) = notified_cause(index, match), _failures(index, match)
    days = sorted((day for day in notified if day in verdicts), key=lambda day: (verdicts[day].deadline, day))
    services = tuple(_affected_service(index, match, verdicts[day], threats.get(day)) for day in days)
    is_safe = all(day.timeliness in SAFE for day in services)
    causes = _further_causes(index, match, cause)
    is_saved = match.awaited_plan is not None and bool(services) and is_safe
    is_broken = any(index.is_red_now(run) or index.is_stale(run) for run in match.broken())
    is_saved |= before is not None and before.notified.phase is IncidentPhase.REPAIRED and not is_broken
    phase = IncidentPhase.REPAIRED if is_saved else IncidentPhase.HEALS if _heals(index, match) else IncidentPhase.OPEN
    phase = IncidentPhase.CLOSED if match.ended else phase
    is_over = bool(match.ended) or match.is_repaired
    content = IncidentFingerprint(
        NotifiedIncident(cause, phase, errors, causes, tuple(NotifiedDay(*day, "") for day in sorted(notified))),
        failures=failures,
        is_stop=before.is_stop if is_over and before is not None else match.cause.starts_nothing,
    )
    zone = _zone(index, services)
    known = [
        (service.act_by, service.act_by >= index.now or service.timeliness is Timeliness.AT_RISK)
        for service in services
        if service.act_by is not None and service.timeliness is not Timeliness.BREACHED
    ]
    act_by = min((at for at, is_open in known if is_open), default=max((at for at, _ in known), default=None))
    roles = _roles(index, match)
    ranks = {job_id: rank for rank, job_id in enumerate(index.graph.ordered({member.job_id for member in roles}))}
    groups = {"root": 0, "red": 1, "stale": 1, "closing": 2, "awaited": 2, "threatened": 2, "repaired": 3}
    members = tuple(sorted(roles, key=lambda member: (groups[member.role], ranks[member.job_id], member.period_key)))
    return IncidentDecision(
        incident=_incident(match, content),
        key=dedup_key_of(index, match),
        title=incident_title(index, match),
        cause=_cause_record(index, match),
        reason=incident_reason(index, match),
        owner=_owner(index, match, services),
        failed_since=_failed_since(index, match),
        act_by=act_by,
        repeated=repetition(index, match, act_by) if not match.ended else None,
        members=members,
        services=services,
        fingerprint=content,
        close_reason=match.ended.reason if match.ended is not None else None,
        flaps=count_flaps(index, match),
        changes=RunComparison(tuple(run.id for run in match.roots()[:MAX_ROOTS] if run.id)),
        merges={merged.id: _root_name(index, merged) for merged in match.merges},
        suppressions=Suppressions(superseded=superseded_lines(index, match)),
        zone=zone,
    )


def _incident(match: IncidentMatch, now: IncidentFingerprint) -> NewIncident | KnownIncident:
    if match.incident is None:
        return NewIncident(match.split_from)
    if match.reopened:
        return ReopenedIncident(match.incident.id, "reopened")
    return KnownIncident(match.incident.id, _end_of_acknowledgement(match.incident.fingerprint.notified, now))


def _zone(index: EstateIndex, services: Sequence[AffectedServiceVerdict]) -> str:
    """That of the first affected service; of an incident without one that of the estate."""
    zones = {service.name: service.zone for service in index.estate.services}
    affected = (zones[service.service] for service in services if service.service in zones)
    return next(affected, index.estate.settings.zone)


def _further_causes(index: EstateIndex, match: IncidentMatch, root: str) -> tuple[str, ...]:
    """The known ones, and the job that has been the cause since the root was repaired, unless it starts again by itself
    and closes the incident."""
    known = match.continued.notified.causes if match.continued is not None else ()
    has_moved = not match.closing and match.cause_moved_at is not None and match.cause_moved_at + MOVE_WAIT <= index.now
    name = cause_name(index, match)
    return (*known, name) if has_moved and name not in (root, *known) and len(known) < MAX_ERRORS else known


def _heals(index: EstateIndex, match: IncidentMatch) -> bool:
    """True while its next starts close it, or run; once one did not help, it needs a repair until its end."""
    if match.continued is None:
        return bool(match.closing)
    is_known = match.continued.notified.phase is IncidentPhase.HEALS
    return is_known and (bool(match.closing) or runs_again(index, match))


def _end_of_acknowledgement(before: NotifiedIncident, now: IncidentFingerprint) -> str:
    phase = now.notified.phase
    if phase is IncidentPhase.CLOSED:
        return "resolved"
    if before.phase is IncidentPhase.REPAIRED is not phase:
        return "red again after its repair"
    if before.phase is IncidentPhase.HEALS and phase is IncidentPhase.OPEN:
        return "its next start did not repair it"
    ends = (
        change
        for change in changes_of(before, now)
        if type(change) is NewCause or (isinstance(change, NewError) and change.kind == AFTER_SUCCESS)
    )
    return ", ".join(change_texts(ends))


def _failures(index: EstateIndex, match: IncidentMatch) -> tuple[tuple[KnownFailure, ...], tuple[JobErrors, ...]]:
    """Different failures of the red jobs, and the jobs notified of more than one, or of an error of their own. A known
    error is news only if a root fails with it again after a success."""
    if match.ended or match.cause.targets:
        return (match.before.failures, match.before.notified.errors) if match.before is not None else ((), ())
    before = match.continued or IncidentFingerprint()
    failures: dict[str, list[KnownFailure]] = {}
    for known_failure in before.failures:
        failures.setdefault(known_failure.job, []).append(known_failure)
    errors = {error.job: error for error in before.notified.errors}
    red = {run.job_id: run for run in [*match.cause.red, *match.cause.roots()] if index.is_red_now(run)}
    for run in red.values():
        name = index.name(run.job_id)
        if is_lost_out_of_reach(index, run) if name in failures else len(failures) >= MAX_ROOTS:
            continue
        error, success = run_error(index, run), _last_success(index, run)
        failure = KnownFailure(name, run.state.value, *error, success.isoformat() if success is not None else "")
        own_errors = sum(known_errors.is_own for known_errors in errors.values())
        if name not in errors and own_errors < MAX_ERRORS and has_own_error(index, match.cause, run):
            errors[name] = JobErrors(name, 1, after_success=False)
        known = failures.setdefault(name, [failure])
        after_success = failure.succeeded_at > known[-1].succeeded_at
        is_again = after_success and success is not None and match.is_root_since(run.job_id, success)
        if known[-1].error == FailureError(None, "") and not is_again:  # it is reported later than the failure
            known[-1] = failure
            continue
        is_known = not all(failure.differs_from(known_error) for known_error in known)
        if len(known) <= MAX_ERRORS and (is_again or not is_known):
            if len(known) < MAX_ERRORS:
                errors[name] = JobErrors(name, len(known) + 1, after_success, is_known)
            known.append(failure)
    return tuple(chain.from_iterable(failures.values())), tuple(errors.values())


def _last_success(index: EstateIndex, run: RunFacts) -> datetime | None:
    """The last success of its work before it turned red, of any run of its job."""
    since = red_since(run)
    same = (known for known in index.runs.get(run.job_id, ()) if is_of_same_work(known, run))
    spans = chain.from_iterable(map(success_spans, same))
    return max((ended for _, ended in spans if ended <= since), default=None)


def _cause_record(index: EstateIndex, match: IncidentMatch) -> CauseRecord:
    """Its cause; of a finding or late day that holds no longer, with the kind and subject that its incident has. Its
    failure is the first whose error is known, until another run or target is the cause."""
    record, known = match.cause.record, match.incident.cause if match.incident is not None else None
    if known is not None and not match.cause.rule and cause_rule(match):
        record = replace(record, kind=known.kind, subject=known.subject)
    is_kind = known is not None and (known.kind, known.rule) == (record.kind, record.rule)
    is_same = known is not None and is_kind and record.root in (known.root, None)
    failure = known.failure if known is not None and is_same else None
    if failure is None or not failure.error:
        failure = match.cause.failure(index) or failure
    return replace(record, failure=failure)


def cause_change_text(match: IncidentMatch, decision: IncidentDecision) -> Text:
    """Timeline entry of a change of its cause that no notification has to name; empty without one."""
    incident = match.incident
    if incident is None or decision.closed or match.reopened:
        return ()
    cause_now: Text = ("cause is now: ", *decision.title.content)
    if match.stays_with_endpoint:
        also, is_another = match.cause.subject, decision.cause.root != incident.cause.root
        new = [(also,)] if also and also != incident.cause.subject else []
        return joined([*([cause_now] if is_another else []), *new], "; ")
    if match.to_repair is None:
        return ()
    now, before = decision.fingerprint, incident.fingerprint
    is_changed = (
        decision.title != incident.title and now.notified.cause == before.notified.cause and not match.cause.rule
    )
    texts = [cause_now] if is_changed else []
    counts, counts_before = (
        Counter(failure.job for failure in notification.failures) for notification in (now, before)
    )
    jobs = [job for job, count in counts.items() if count > MAX_ERRORS >= counts_before[job]]
    texts += [(f"not notified of further errors of {job}: {MAX_ERRORS} were notified",) for job in jobs]
    return joined(texts, "; ")


def _root_name(index: EstateIndex, incident: IncidentFacts) -> str:
    """The job of its root; its title where it has none."""
    job = index.estate.jobs.get(incident.cause.job_id) if incident.cause.job_id is not None else None
    return clean_line(
        job.name if job is not None else incident.title.text(partial(zoned_time, zone=index.estate.settings.zone))
    )


def event_text(decision: IncidentDecision, before: NotifiedIncident | None) -> Text:
    """Timeline entry of a change; empty if nothing new is notified."""
    if before is None:
        origin = decision.incident.split_from if isinstance(decision.incident, NewIncident) else None
        split = (f"; split from {incident_name(origin)}",) if origin is not None else ()
        return "opened: ", *decision.title.content, *split
    if isinstance(decision.incident, ReopenedIncident):
        return "reopened, red again: ", *decision.title.content
    if decision.close_reason is not None:
        return "closed: ", *decision.close_reason.text
    news = (
        change
        for change in changes_of(before, decision.fingerprint, decision.merges)
        if not isinstance(change, NextCause)
    )
    texts = change_texts(news)
    return ("; ".join(texts),) if texts else ()


def _affected_service(
    index: EstateIndex, match: IncidentMatch, verdict: ServiceDayVerdict, threatened: Threat | None
) -> AffectedServiceVerdict:
    budget = threatened.budget if threatened else None
    starts = budget.starts if budget else ()
    held = [hold for hold in threatened.held if hold.is_of_person] if threatened else []
    reasons = verdict.reasons
    if starts and budget is not None and budget.act_by is not None:
        reasons = tuple(reason for reason in reasons if isinstance(reason, BadDelivery))
    return AffectedServiceVerdict(
        service=verdict.service,
        business_date=verdict.business_date,
        deadline=verdict.deadline,
        act_by=whole_second(threatened.act_by) if threatened else None,
        green_by=whole_second(budget.green_by) if budget else None,
        expected_at=verdict.expected_at,
        timeliness=verdict.timeliness,
        basis=budget.basis if budget else None,
        reasons=(*held, *dict.fromkeys((*reasons, *starts))),
    )


def _failed_since(index: EstateIndex, match: IncidentMatch) -> datetime:
    """Since when it fails without a success in between; a slot that was missed and has begun late fails since then."""
    if match.incident is None or match.reopened:
        return match.cause.since
    root = match.cause.root
    since = min(match.cause.since, match.incident.failed_since)
    if root is None or not root.state.is_red:
        return since
    begun = [run.first_started_at for run in match.cause.red if run_time(run) == since]
    latest = max(filter(None, (_last_success(index, root), *begun)), default=since)
    return max(match.cause.since, latest) if latest > since else since


def _owner(index: EstateIndex, match: IncidentMatch, services: Sequence[AffectedServiceVerdict]) -> IncidentOwner:
    """Owner and runbook: of the job to fix, or common to several; else of the service with the earliest deadline. A
    target with several owners has none."""
    to_fix = [match.unrepaired.job_id] if match.unrepaired is not None else match.cause.job_ids_to_fix()
    jobs = [index.job(job_id) for job_id in to_fix]
    known = {service.name: service for service in index.estate.services}
    affected = [known[service.service] for service in services if service.service in known]
    service_owners = [service.owner for service in affected]
    owners = [_common(job.owner for job in jobs), *(service_owners if jobs else [_common(service_owners)])]
    runbooks = [_common(job.runbook for job in jobs), *(service.runbook for service in affected)]
    return IncidentOwner(next(filter(None, owners), ""), next(filter(None, runbooks), ""))


def _common(values: Iterable[str]) -> str:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""


def _roles(index: EstateIndex, match: IncidentMatch) -> Sequence[MemberVerdict]:
    root, targets = match.to_repair, match.cause.targets
    affected = affected_runs(index, match.incident) if match.incident is not None else []
    roles: list[tuple[str, Sequence[RunFacts]]] = [
        ("root", [root] if root is not None else []),
        ("red", match.cause.red),
        ("stale", match.stale),
        # a run that turned red since is part of another incident
        ("repaired", [run for run in affected if not index.is_red_now(run)]),
        ("closing", match.closing),
        ("awaited", awaited_inputs(index, root) if root is not None and not match.ended else []),
    ]
    if targets and not match.ended:
        roles += [("threatened", unfinished_runs_on(index, known.id)) for known in targets]
    elif targets and match.incident is not None:
        roles.append(("threatened", _starts_lost_beside(index, match.incident, targets[0])))
    members: dict[RunKey, MemberVerdict] = {}
    for role, runs in roles:
        for run in runs:
            members.setdefault(run_key(run), MemberVerdict(run.job_id, run.period_key, role, run.id or None))
    if match.ended:
        return list(members.values())
    broken = [
        run.job_id
        for run in match.broken()
        if run.state.is_red or index.is_stale(run) or (cause_finding(match) is not None and not index.is_green(run))
    ]
    for business_date in sorted({match.cause.business_date, *(run.business_date for run in match.cause.roots())}):
        for job_id, period_key, run_id in threatened_runs(index, dict.fromkeys(broken), business_date):
            members.setdefault((job_id, period_key), MemberVerdict(job_id, period_key, "threatened", run_id))
    return list(members.values())


def _starts_lost_beside(index: EstateIndex, incident: IncidentFacts, target: TargetFacts) -> list[RunFacts]:
    """Members on other targets at its endpoint that have not been seen to start or were lost. They stay members of the
    closed incident: that their targets did not answer is known by it alone (`reachability.outage_during`)."""
    runs = filter(None, map(index.run_by_id, sorted(incident.member_run_ids)))
    return [
        run
        for run in runs
        if run.state in (RunState.PLANNED, RunState.MISSED, RunState.LOST)
        if (known := index.estate.targets.get(index.job(run.job_id).target_id)) is not None
        if known.id != target.id and endpoint_key(known) == endpoint_key(target)
    ]
