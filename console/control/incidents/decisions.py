"""Incidents as they are written: root cause, members, affected services and their fingerprint.

The fingerprint holds the content of the notification: the root, the services and whether the incident is resolved, so
that passing time alone notifies nothing twice. A notified service stays in it until the incident closes. During a
maintenance nothing is notified: the incident is open, with the reason; if it outlives the maintenance it is notified.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunState
from console.control.incidents.changes import MAX_ROOTS, compare_runs
from console.control.incidents.correlation import (
    KNOWN,
    MAX_ERRORS,
    MOVE_WAIT,
    NEW,
    IncidentMatch,
    JobErrors,
    KnownFailure,
    LastNotification,
    ServiceDayKey,
    affected_runs,
    last_notification_of,
    parse_last_notification,
)
from console.control.incidents.impact import RepairBudgets, runs_again, tightest_budget
from console.control.incidents.root_cause import (
    has_own_error,
    is_lost_out_of_reach,
    run_error,
    threatened_runs,
    unfinished_runs_on,
)
from console.control.incidents.titles import (
    also_unreachable,
    awaited_inputs,
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
from console.control.snapshot.reachability import NO_STATUS_REASONS, endpoint_key
from console.control.snapshot.runs import RunKey, red_since, run_key, run_time, success_spans
from console.domain.decision import (
    AffectedServiceVerdict,
    IncidentDecision,
    MaintenanceCover,
    MemberVerdict,
    RunComparison,
    ServiceDayVerdict,
)
from console.domain.estate import IncidentFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule
from console.domain.ids import incident_name
from console.domain.incident import FailureError
from console.domain.reason import BadDelivery, JobHeld
from console.domain.service import SAFE, UNMET_PROMISE, Timeliness, limit_instances
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast
from console.text.cleaning import clean_line
from console.timing.maintenance import (
    ActiveMaintenance,
    maintenance_of_check,
    maintenance_of_job,
    maintenance_of_jobs,
    maintenance_of_targets,
)


def count_flaps(index: EstateIndex, match: IncidentMatch) -> tuple[int, datetime | None]:
    """(times reopened since it was last steady, since when); a red or green time of `steady_for` restarts the count."""
    incident = match.incident
    if incident is None or not match.reopened:
        return (incident.flaps, incident.flaps_since) if incident is not None else (0, None)
    closed_at = incident.closed_at or index.now
    # Green until now, not until it failed: by now an all-clear may have left.
    longest = max(closed_at - incident.failed_since, index.now - closed_at)
    if not incident.flaps or longest >= index.estate.declared.incidents.steady_for:
        return 1, incident.failed_since
    return incident.flaps + 1, incident.flaps_since


def with_maintenance(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, before: LastNotification | None
) -> tuple[IncidentDecision, str]:
    """The decision, marked as suppressed if a maintenance covers its root; and its timeline entry. The resolution is
    notified if the incident was."""
    maintenance, unheard = _maintenance_of_incident(index, match), before is None or before.quiet == NEW
    if maintenance is None:
        is_late = before is not None and before.quiet and not (decision.closed and unheard)
        return decision, "notified now: its maintenance has ended" if is_late else ""
    now = parse_last_notification(decision.fingerprint)
    nothing_new = before is not None and replace(now, failures=()) == replace(before, failures=())
    if not unheard and (decision.closed or nothing_new):
        return decision, ""
    notification = replace(now, quiet=NEW if unheard else KNOWN)
    cover = MaintenanceCover(maintenance.text(decision.zone), maintenance.until)
    event = f"suppressed: {cover.reason}" if before is None or not before.quiet else ""
    return replace(decision, fingerprint=notification.text(), maintenance=cover), event


def _maintenance_of_incident(index: EstateIndex, match: IncidentMatch) -> ActiveMaintenance | None:
    """Active maintenance of the root: its job, the unreachable target, the failed check, or all jobs that blame a
    shared cause."""
    group, estate = match.group, index.estate
    if group.target is not None:
        return maintenance_of_targets(estate, group.targets, index.now)
    if group.check:
        return maintenance_of_check(estate, group.check, index.now)
    if group.root is None:
        return maintenance_of_jobs(estate, [run.job_id for run in group.causes], index.now)
    return maintenance_of_job(estate, index.job(group.root.job_id), index.now)


def with_shadowed_routes(decision: IncidentDecision, routes: tuple[str, ...]) -> IncidentDecision:
    """The decision, with the routes that are not notified because of shadow."""
    if not routes:
        return decision
    notification = replace(parse_last_notification(decision.fingerprint), in_shadow=routes)
    return replace(decision, in_shadow=routes, fingerprint=notification.text())


def dedup_key_of(index: EstateIndex, match: IncidentMatch) -> str:
    """Dedup key: that of the open incident; for a new cause its first run or the start of its outage."""
    if match.incident is not None:
        return match.incident.key
    group, root, target = match.group, match.group.root, match.group.target
    if root is not None:
        name = unambiguous_name(index.job(root.job_id).name)
        if group.finding is not None:
            return f"rule:{group.finding.rule}:{name}@{unambiguous_name(root.period_key) or instant_key(group.since)}"
        if group.awaits:
            return f"{UNMET_PROMISE}:{name}@{group.business_date.isoformat()}"
        return f"run:{name}@{unambiguous_name(root.period_key)}{f'#{root.attempt}' if root.attempt > 1 else ''}"
    if group.check:
        return f"check:{unambiguous_name(group.check)}@{group.business_date.isoformat()}"
    if group.shared:
        return f"shared:{unambiguous_name(group.shared)}@{instant_key(group.since)}"
    since = f"@{instant_key(target.failing_since)}" if target is not None and target.failing_since else ""
    name = unambiguous_name(f"{target.system}/{target.name}") if target is not None else cause_name(index, match)
    return f"target:{name}{since}"


def threat_to_day(
    index: EstateIndex, match: IncidentMatch, day: ServiceForecast, nodes: Sequence[ForecastNode]
) -> Threat:
    """Effect of the cause on one service day: act-by and green-by of the jobs that must be restarted first."""
    target = match.group.target
    if target is not None and target.error_kind in NO_STATUS_REASONS:  # its jobs may still run
        nodes = [node for node in nodes if node.run is not None and node.run.state.is_red]
    if not nodes:  # no restart needed: its forecast counts
        return Threat(dedup_key_of(index, match), blamed_name(index, match), None, waits_for_restart=False)
    budgets = RepairBudgets(day.seen or index, day)
    stopped = [node for node in nodes if node.how is not NodeState.RUNNING]
    budget = tightest_budget(budgets.of(node.job_id) for node in stopped or nodes)
    if budget is not None and day.odds is not None:
        times = day.odds.act_by_times(node.job_id for node in stopped or nodes)
        budget = replace(budget, act_by=times.act_by, green_by=times.green_by) if times is not None else budget
    is_hanging = match.group.finding is not None and match.group.finding.rule is DetectionRule.TOO_LONG
    first = match.to_repair
    waiting = {node.job_id for node in stopped if node.run is not None and _needs_start(node.run)}
    later = index.graph.ordered(waiting - {first.job_id}) if first is not None and first.job_id in waiting else ()
    then = tuple(map(index.name, later))
    verb = "start" if first is not None and first.state is RunState.MISSED else "restart"
    held = tuple(JobHeld(index.name(node.job_id), start.text, not start.is_of_plan) for node, start in late_holds(day))
    return Threat(
        dedup_key_of(index, match), cause_name(index, match), budget, bool(stopped), is_hanging, then, held, verb
    )


def _needs_start(run: RunFacts) -> bool:
    return run.state.is_red and run.state is not RunState.BLOCKED


def decide_incident(
    index: EstateIndex,
    match: IncidentMatch,
    threats: Mapping[ServiceDayKey, Threat],
    verdicts: Mapping[ServiceDayKey, ServiceDayVerdict],
) -> IncidentDecision:
    """The incident to write, without its notifications. `threats`: of this match, by service day."""
    before = last_notification_of(match)
    notified = frozenset(threats) | (before.services if before else frozenset())
    cause, (failures, errors) = notified_cause(index, match), _failures(index, match, before)
    services = tuple(_affected_service(verdicts[day], threats.get(day)) for day in _in_order(notified, verdicts))
    is_safe = all(day.timeliness in SAFE for day in services)
    causes = _further_causes(index, match, before, cause)
    is_saved = match.awaited_plan is not None and bool(services) and is_safe
    is_broken = any(index.is_red_now(run) or index.is_stale(run) for run in match.broken())
    is_saved |= before is not None and before.repaired and not match.close_reason and not is_broken
    content = LastNotification(
        cause,
        notified,
        bool(match.close_reason),
        errors=errors,
        failures=failures,
        causes=causes,
        repaired=is_saved,
        heals=_heals(index, match, before),
    )
    root, zone = match.group.root, _zone(index, services)
    current = match.to_repair
    owner, runbook = _owner(index, match, services)
    flapped, flapping_since = count_flaps(index, match)
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
    title, reason = incident_title(index, match, zone), incident_reason(index, match, zone)
    return IncidentDecision(
        incident_id=match.incident.id if match.incident else None,
        key=dedup_key_of(index, match),
        title=title,
        cause=_cause_kind(match),
        cause_run_ids=tuple(run.id for run in match.roots()[:MAX_ROOTS] if run.id),
        rule=cause_rule(match),
        root_job_id=root.job_id if root else None,
        root_run_id=(current.id or None) if current else None,
        root_period_key=root.period_key if root else "",
        root_target_id=match.group.target.id if match.group.target else None,
        business_date=match.group.business_date,
        reason=reason,
        owner=owner,
        runbook=runbook,
        failed_since=_failed_since(index, match),
        act_by=act_by,
        members=members,
        services=services,
        fingerprint=content.text(),
        closed=bool(match.close_reason),
        close_reason=match.close_reason,
        root_shared=match.group.shared,
        split_from=match.split_from,
        reopened=match.reopened,
        changes=compare_runs(index, match.roots(), zone) if not match.close_reason else RunComparison(),
        flaps=flapped,
        flaps_since=flapping_since,
        merges={merged.id: _root_name(index, merged) for merged in match.merges},
        root_check=match.group.check,
        zone=zone,
        ends_ack=_end_of_acknowledgement(match, before, content),
        superseded=superseded_lines(index, match, zone),
    )


def _zone(index: EstateIndex, services: Sequence[AffectedServiceVerdict]) -> str:
    """That of the first affected service; of an incident without one that of the estate."""
    zones = {service.name: service.zone for service in index.estate.services}
    affected = (zones[service.service] for service in services if service.service in zones)
    return next(affected, index.estate.settings.zone)


def _further_causes(
    index: EstateIndex, match: IncidentMatch, before: LastNotification | None, root: str
) -> tuple[str, ...]:
    """The known ones, and the job that has been the cause since the root was repaired, unless it starts again by itself
    and closes the incident."""
    known = before.causes if before is not None and not match.reopened else ()
    has_moved = not match.closing and match.cause_moved_at is not None and match.cause_moved_at + MOVE_WAIT <= index.now
    name = cause_name(index, match)
    return (*known, name) if has_moved and name not in (root, *known) and len(known) < MAX_ERRORS else known


def _heals(index: EstateIndex, match: IncidentMatch, before: LastNotification | None) -> bool:
    """True while its next starts close it, or run; once one did not help, it needs a repair until its end."""
    if before is None or match.reopened:
        return bool(match.closing)
    return before.heals and (bool(match.closing) or runs_again(index, match))


def _end_of_acknowledgement(match: IncidentMatch, before: LastNotification | None, now: LastNotification) -> str:
    if before is None:
        return ""
    if now.closed:
        return "resolved"
    if match.reopened:
        return "reopened"
    if before.repaired and not now.repaired:
        return "red again after its repair"
    if before.heals and not now.heals:
        return "its next start did not repair it"
    return ", ".join(_news_of_cause(before, now, {_ANOTHER_AFTER_SUCCESS: _FAILURE_TEXTS[_ANOTHER_AFTER_SUCCESS]}))


_ANOTHER_AFTER_SUCCESS = (True, False, False)
_FAILURE_TEXTS = {
    _ANOTHER_AFTER_SUCCESS: "failed again after a success, with another error",
    (True, True, False): "failed again after a success",
    (False, False, False): "failed with another error",
    (False, False, True): "failed as well, with an error of its own",
}


def _news_of_cause(
    before: LastNotification,
    now: LastNotification,
    texts: Mapping[tuple[bool, bool, bool], str] = _FAILURE_TEXTS,
    shown: str = "",
) -> list[str]:
    """`texts`: by `JobErrors.kind`. `shown`: the title above it."""
    news = [cause_text("root cause is", now.root, before.root, shown)] if now.root != before.root else []
    for kind, text in texts.items():
        jobs = [error.job for error in now.new_errors(before) if error.kind == kind]
        news += [f"{text}: {', '.join(jobs)}"] if jobs else []
    return news


def _failures(
    index: EstateIndex, match: IncidentMatch, before: LastNotification | None
) -> tuple[tuple[KnownFailure, ...], tuple[JobErrors, ...]]:
    """Different failures of the red jobs, and the jobs notified of more than one, or of an error of their own. A known
    error is news only if a root fails with it again after a success."""
    if match.close_reason or match.group.target is not None:
        return (before.failures, before.errors) if before is not None else ((), ())
    is_continued = before is not None and not match.reopened
    failures: dict[str, list[KnownFailure]] = {}
    for known_failure in before.failures if before is not None and is_continued else ():
        failures.setdefault(known_failure.job, []).append(known_failure)
    errors = {error.job: error for error in before.errors} if before is not None and is_continued else {}
    red = {run.job_id: run for run in [*match.group.red, *match.group.roots()] if index.is_red_now(run)}
    for run in red.values():
        name = index.name(run.job_id)
        if is_lost_out_of_reach(index, run) if name in failures else len(failures) >= MAX_ROOTS:
            continue
        error, success = run_error(index, run), _last_success(index, run)
        failure = KnownFailure(name, run.state.value, *error, success.isoformat() if success is not None else "")
        own_errors = sum(known_errors.is_own for known_errors in errors.values())
        if name not in errors and own_errors < MAX_ERRORS and has_own_error(index, match.group, run):
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
    """The last success of its job before it turned red, of any run."""
    since = red_since(run)
    spans = chain.from_iterable(map(success_spans, index.runs.get(run.job_id, ())))
    return max((ended for _, ended in spans if ended <= since), default=None)


def _cause_kind(match: IncidentMatch) -> str:
    if match.group.target is not None:
        return "target"
    if match.group.shared:
        return "shared"
    if match.group.check:
        return "check"
    rule = cause_rule(match)
    return UNMET_PROMISE if rule == UNMET_PROMISE else "rule" if rule else "run"


def cause_change_text(match: IncidentMatch, decision: IncidentDecision, before: LastNotification | None) -> str:
    """Timeline entry of a change of its cause that no notification has to name; empty without one."""
    incident = match.incident
    if before is None or incident is None or decision.closed or decision.reopened:
        return ""
    if match.stays_with_endpoint:
        also, is_another = also_unreachable(match), decision.root_target_id != incident.root_target_id
        now_text = [f"cause is now: {decision.title}"] if is_another else []
        return "; ".join([*now_text, *([also] if also and also not in incident.reason else [])])
    if match.to_repair is None:
        return ""
    now = parse_last_notification(decision.fingerprint)
    is_changed = decision.title != incident.title and now.root == before.root and not match.group.rule
    texts = [f"cause is now: {decision.title}"] if is_changed else []
    counts, counts_before = (
        Counter(failure.job for failure in notification.failures) for notification in (now, before)
    )
    jobs = [job for job, count in counts.items() if count > MAX_ERRORS >= counts_before[job]]
    texts += [f"not notified of further errors of {job}: {MAX_ERRORS} were notified" for job in jobs]
    return "; ".join(texts)


MAX_MERGED = 3
"""Incidents named as symptoms."""


def cause_text(change: str, cause: str, before: str, shown: str) -> str:
    """ "root cause is hosts/extract"; below a title that names it "the cause is no longer warehouse/load", empty
    without an earlier one."""
    if not is_named(cause, shown):
        return f"{change} {cause}"
    return f"the cause is no longer {before}" if before else ""


def is_named(name: str, text: str) -> bool:
    """True if the text has the whole name."""
    return any(f" {name}{end}" in f" {text} " for end in (" ", ", ", ": "))


def _is_promised(service: str, text: str) -> bool:
    """True if the text has the service with its deadline: "Daily revenue 07:30" is not one of "Daily"."""
    return any(part[:1].isdigit() for part in f" {text}".split(f" {service} ")[1:])


def event_text(
    decision: IncidentDecision,
    before: LastNotification | None,
    title: Callable[[str], str] = str,
    shown: str = "",
) -> str:
    """Timeline entry of a change; empty if nothing new is notified. `title`: of a service, by its name. `shown`: title
    of the message that has it, which is not repeated."""
    if before is None:
        split = f"; split from {incident_name(decision.split_from)}" if decision.split_from is not None else ""
        return f"opened: {decision.title}{split}"
    if decision.reopened:
        return f"reopened, red again: {decision.title}"
    if decision.closed:
        return f"closed: {decision.close_reason}"
    now = parse_last_notification(decision.fingerprint)
    changes = [change for change in _news_of_cause(before, now, shown=shown) if change]
    new = sorted({name for name, _ in now.services} - {name for name, _ in before.services})
    titles = [service for service in map(title, new) if not _is_promised(service, shown)]
    changes += [f"also affects {list_names(titles)}"] if titles else []
    merged = [f"{incident_name(incident)} ({job})" for incident, job in decision.merges.items()]
    further = f" and {len(merged) - MAX_MERGED} more" if len(merged) > MAX_MERGED else ""
    symptoms = "a symptom" if len(merged) == 1 else "symptoms"
    changes += [f"{', '.join(merged[:MAX_MERGED])}{further} turned out to be {symptoms} of it"] if merged else []
    return "; ".join(changes)


def _root_name(index: EstateIndex, incident: IncidentFacts) -> str:
    """The job of its root; its title where it has none."""
    job = index.estate.jobs.get(incident.root_job_id) if incident.root_job_id is not None else None
    return clean_line(job.name if job is not None else incident.title)


def list_names(names: Iterable[str]) -> str:
    """ "supply, onboarding #1, … and 12 more"."""
    named = [f"{name} and {hidden} more" if hidden else name for name, hidden in limit_instances(names, str)]
    return ", ".join(named)


def _in_order(
    days: Iterable[ServiceDayKey], verdicts: Mapping[ServiceDayKey, ServiceDayVerdict]
) -> list[ServiceDayKey]:
    return sorted((day for day in days if day in verdicts), key=lambda day: (verdicts[day].deadline, day))


def _affected_service(verdict: ServiceDayVerdict, threatened: Threat | None) -> AffectedServiceVerdict:
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
        submission=verdict.submission,
    )


def _failed_since(index: EstateIndex, match: IncidentMatch) -> datetime:
    """Since when it fails without a success in between; a slot that was missed and has begun late fails since then."""
    if match.incident is None or match.reopened:
        return match.group.since
    root = match.group.root
    since = min(match.group.since, match.incident.failed_since)
    if root is None or not root.state.is_red:
        return since
    begun = [run.first_started_at for run in match.group.red if run_time(run) == since]
    latest = max(filter(None, (_last_success(index, root), *begun)), default=since)
    return max(match.group.since, latest) if latest > since else since


def _owner(index: EstateIndex, match: IncidentMatch, services: Sequence[AffectedServiceVerdict]) -> tuple[str, str]:
    """Owner and runbook: of the job to fix, or common to several; else of the service with the earliest deadline. A
    target with several owners has none."""
    to_fix = [match.unrepaired.job_id] if match.unrepaired is not None else match.group.job_ids_to_fix()
    jobs = [index.job(job_id) for job_id in to_fix]
    known = {service.name: service for service in index.estate.services}
    affected = [known[service.service] for service in services if service.service in known]
    service_owners = [service.owner for service in affected]
    owners = [_common(job.owner for job in jobs), *(service_owners if jobs else [_common(service_owners)])]
    runbooks = [_common(job.runbook for job in jobs), *(service.runbook for service in affected)]
    return next(filter(None, owners), ""), next(filter(None, runbooks), "")


def _common(values: Iterable[str]) -> str:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""


def _roles(index: EstateIndex, match: IncidentMatch) -> Sequence[MemberVerdict]:
    root, target = match.to_repair, match.group.target
    affected = affected_runs(index, match.incident) if match.incident is not None else []
    roles: list[tuple[str, Sequence[RunFacts]]] = [
        ("root", [root] if root is not None else []),
        ("red", match.group.red),
        ("stale", match.stale),
        # a run that turned red since is part of another incident
        ("repaired", [run for run in affected if not index.is_red_now(run)]),
        ("closing", match.closing),
        ("awaited", awaited_inputs(index, root) if root is not None and not match.close_reason else []),
    ]
    if target is not None and not match.close_reason:
        roles += [("threatened", unfinished_runs_on(index, known.id)) for known in match.group.targets]
    elif target is not None and match.incident is not None:
        roles.append(("threatened", _starts_lost_beside(index, match.incident, target)))
    members: dict[RunKey, MemberVerdict] = {}
    for role, runs in roles:
        for run in runs:
            members.setdefault(run_key(run), MemberVerdict(run.job_id, run.period_key, role, run.id or None))
    if match.close_reason:
        return list(members.values())
    broken = [
        run.job_id
        for run in match.broken()
        if run.state.is_red or index.is_stale(run) or (match.group.finding is not None and not index.is_green(run))
    ]
    for business_date in sorted({match.group.business_date, *(run.business_date for run in match.group.causes)}):
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


KEY_NAME_LIMIT = 300
_JOINTS = frozenset("@#~")
"""Separators of the parts of a key."""


def unambiguous_name(raw: str) -> str:
    """The name for a key: unchanged if it can be shown; else cleaned, with a digest of its bytes, so that similar
    names stay distinct."""
    shown = clean_line(raw, KEY_NAME_LIMIT)
    if shown == raw and not _JOINTS & set(raw):
        return raw
    return f"{shown}~{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
