"""Technical notifications: the error, the next steps and the affected services; below a rule the details.

Outside text is cleaned and set in its own bordered block.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import by_urgency, headline, most_urgent, recovered_at, resumed_plan
from console.control.alerts.joint_repair import (
    is_repaired_by_restart,
    needs_restart,
    other_repairs,
    repair_step,
    running_plan,
    unreachable_target,
)
from console.control.alerts.services_table import service_title, services_table
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.repair import repair_length, repair_text, requested_repair, resolved_at
from console.control.incidents.root_cause import failed_tasks, has_own_error
from console.control.incidents.titles import cause_name, failure_text, finding_text, with_log_line
from console.control.incidents.verdict import MAX_STEPS, releases, step_text
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import completed_at, red_since, run_time
from console.domain.action import MANUAL_KIND
from console.domain.alert import ALERT_PLACEHOLDER, INCIDENT_PLACEHOLDER, AlertKind
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import JobFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule, Finding, accept_command, drift_fix
from console.domain.ids import incident_name
from console.domain.message import render
from console.domain.plan import resume_commands
from console.domain.probability import format_risk
from console.domain.reason import CauseKnown, DeclareDuration, FinishExpected, NativeStart, RepairNeeded, is_in_figures
from console.domain.service import NOT_AT_RISK, limit_instances
from console.domain.switches import THAW
from console.text.cleaning import CUT, clean, clean_line
from console.text.message import RULE, MessageText, quote, table, text_of, zoned_column
from console.timing.formats import dated_time, local_time, rough_duration, zone_label, zoned_time

TAIL_LINES = 20
TAIL_WIDTH = 160
MAX_FINDINGS = 3
"""Findings of other rules, and symptoms that failed before their root, one line each."""


def technical_text(
    context: AlertContext, notification: Notification, log_tails: Mapping[int, str], changes: str
) -> MessageText:
    """Technical notification. `changes`: news for the route, or why it is notified again."""
    texts = []
    for plain in (False, True):
        title = headline(context, notification, plain)
        texts += [title, text_of(_blocks(context, notification, title, log_tails, "" if plain else changes, plain))]
    urgent = most_urgent(context, notification)
    label = zone_label(context.now if urgent is None else urgent.deadline, notification.subject.decision.zone)
    commands = tuple(text for name, text in _repairs(context, notification.subject) if name == "Do")
    return MessageText(*texts, zone_label=label, commands=commands)


def _blocks(
    context: AlertContext, notification: Notification, title: str, log_tails: Mapping[int, str], changes: str,
    plain: bool,
) -> Iterator[Sequence[str]]:  # fmt: skip
    """The error, the next commands and the affected services; below a rule the details, without the title's cause."""
    index, subject = context.index, notification.subject
    match, decision = subject.match, subject.decision
    repairs = _other_repairs(context, subject)
    yield list(_news(context, notification, changes, plain, repairs))
    tail = [] if plain or decision.closed else tail_lines(index, match, log_tails)
    error = "" if plain else _error(match, decision)
    root = match.to_repair
    if tail and root is not None and error == f"exit {root.exit_code}":  # its log was read later
        error = with_log_line(index, root, error, "\n".join(tail))
    if match.group.target is not None and not decision.closed:
        error = error.partition(" Fix: ")[0]  # the first of the next steps
    yield quote([error] if error and error not in title else [])
    yield table(_next_steps(context, subject, plain))
    yield services_table(context, subject, by_urgency(context, notification), decision.zone)
    yield [RULE]
    yield table(row for row in _facts(index, match, decision, plain) if row[0] != "Cause" or row[1] not in title)
    if not plain:
        yield _starts_table(index, decision)
        if decision.changes.has_changes and not decision.closed:
            yield ["Changes since the last successful run:"]
            yield quote(decision.changes.lines)
    if news := _without_error(tail, error):
        yield ["Last log lines:"]
        yield quote(news)


def _without_error(tail: Sequence[str], error: str) -> list[str]:
    """The log lines without those that the error quotes, or that have it; empty if only blank ones remain."""
    known = " ".join(error.split()).removesuffix(CUT)

    def is_repeated(line: str) -> bool:
        line = " ".join(line.split()).removesuffix(CUT)
        return bool(known) and (known in line or known.partition(": ")[2] == line or (" " in line and line in known))

    lines = [line for line in tail if not is_repeated(line)]
    return lines if any(line.strip() for line in lines) else []


def _error(match: IncidentMatch, decision: IncidentDecision) -> str:
    """The error that the source reported; empty for an unmet promise, which the title and the services explain."""
    if decision.closed:
        return decision.close_reason if match.group.check else ""
    return "" if match.group.awaits or match.is_repaired else decision.reason


def _news(
    context: AlertContext, notification: Notification, changes: str, plain: bool, repairs: Sequence[AlertSubject]
) -> Iterator[str]:
    index, subject = context.index, notification.subject
    match, decision = subject.match, subject.decision
    is_shown = match.group.check or match.group.awaits or requested_repair(index, match.group.root)
    if decision.closed and match.recovered and not plain and not is_shown:
        yield f"{decision.close_reason[:1].upper()}{decision.close_reason[1:]}."
    if match.is_repaired and not plain:
        yield "The failure is repaired; not all jobs have finished."
    if changes:
        yield f"{changes[:1].upper()}{changes[1:].rstrip('.')}."
    if notification.kind is AlertKind.OPENED:
        for repair in repairs[:MAX_STEPS]:
            yield _also_restart(index, subject, repair)
    if subject.ack is not None and not decision.closed:
        until = zoned_time(subject.ack.until, decision.zone, index.now)
        yield f"Acknowledged by {clean_line(subject.ack.by)} until {until}."


def _next_steps(context: AlertContext, subject: AlertSubject, plain: bool) -> Iterator[tuple[str, str]]:
    """ "Do", "Acknowledge" and "Open", each with its command; a repair without one "By hand"."""
    decision, link = subject.decision, context.alerting.link
    target = _target_to_restore(context.index, subject.match)
    if target is not None and not decision.closed and not plain and (fix := target.error.partition("Fix: ")[2]):
        yield "By hand", clean_line(fix.rstrip("."))
    yield from _repairs(context, subject)
    if not decision.closed and subject.ack is None:
        yield "Acknowledge", f"headway ack {INCIDENT_PLACEHOLDER}"
    yield "Open", link or f"headway incident {INCIDENT_PLACEHOLDER}"
    if decision.runbook and not decision.closed and not plain:
        yield "Runbook", clean_line(decision.runbook)


def _repairs(context: AlertContext, subject: AlertSubject) -> Iterator[tuple[str, str]]:
    """Rows that repair it, or show why it waits, "Do" with a command; its own repair first, after the probe of its
    target. While a freeze refuses a command, the one that ends the freeze comes before it, once."""
    yield from dict.fromkeys(_repair_rows(context, subject))


def _repair_rows(context: AlertContext, subject: AlertSubject) -> Iterator[tuple[str, str]]:
    decision, match, index = subject.decision, subject.match, context.index
    plan = index.estate.plans_by_incident.get(decision.incident_id or 0)
    if decision.closed:
        yield from _send(index, plan.command) if plan is not None and plan.state != "running" else ()
        for repair in _other_repairs(context, subject):
            yield from _own_repairs(index, repair, _name(repair))
        return
    if (target := _target_to_restore(index, match)) is not None and target.failing_since is not None:
        yield "Do", f"headway system probe {clean_line(f'{target.system}/{target.name}')}"
    if needs_restart(index, match):
        yield from _own_repairs(index, subject, INCIDENT_PLACEHOLDER)
    for repair in _other_repairs(context, subject):
        yield from _own_repairs(index, repair, _name(repair))
    if is_repaired_by_restart(index, match):
        for step in releases(service.reasons for service in decision.services):
            yield from _send(index, f"headway hold release {shlex.quote(step.job)}")
    if match.awaited_plan is not None:
        yield "Do", f"headway plan {match.awaited_plan.id}"
    elif (held := resumed_plan(index, match)) is not None:
        yield from _send(index, *resume_commands(held, ()))
    elif (match.awaits or match.group.awaits) and decision.services:
        yield "Do", f"headway why {clean_line(decision.services[0].service)}"


def _target_to_restore(index: EstateIndex, match: IncidentMatch) -> TargetFacts | None:
    """The target that is its cause, or that does not answer and has its run to restart."""
    run = match.to_repair
    return unreachable_target(index, run) if run is not None and needs_restart(index, match) else match.group.target


def _other_repairs(context: AlertContext, subject: AlertSubject) -> list[AlertSubject]:
    """The other incidents to recover for its services, of a closed one for those that are still at risk; without those
    that open now, which have no number yet."""
    services = subject.decision.services
    if subject.decision.closed:
        services = tuple(service for service in services if service.timeliness not in NOT_AT_RISK)
    elif not is_repaired_by_restart(context.index, subject.match):
        return []
    related = other_repairs(context, subject, services)
    return sorted((repair for repair in related if repair.decision.incident_id is not None), key=_number)


def _do(*commands: str) -> list[tuple[str, str]]:
    return [("Do", command) for command in commands]


def _send(index: EstateIndex, *commands: str) -> list[tuple[str, str]]:
    """Commands that send an action."""
    return _do(*([THAW] if index.estate.modes.frozen is not None else ()), *commands)


def _own_repairs(index: EstateIndex, subject: AlertSubject, incident: str) -> list[tuple[str, str]]:
    run = subject.match.to_repair
    if run is not None and (approval := index.estate.approvals.get(run.id)) is not None:
        return _send(index, f"headway action approve {approval.action_key}")
    planned = index.estate.plans_by_run.get(run.id) if run is not None and run.state.is_red else None
    plan = running_plan(index, subject.match)
    if run is not None and planned is not None and planned.is_done:
        return _send(index, f"headway rerun {shlex.quote(clean_line(index.job(run.job_id).name))}")
    if plan is not None:
        return _do(f"headway plan {plan.id}")
    if run is None or planned is None:
        at_its_system = _repair_at_its_system(index.job(run.job_id), run) if run is not None else []
        return at_its_system or _send(index, f"headway recover {incident}")
    waits = [clean_line(index.job(run.job_id).name)] if planned.is_awaited else []
    return _send(index, *resume_commands(planned.plan_id, waits, incident if planned.is_outdated else ""))


def _repair_at_its_system(job: JobFacts, run: RunFacts) -> list[tuple[str, str]]:
    """The repair of a start that a changed schedule moved, or of a job that Headway cannot rerun; empty for others."""
    name = clean_line(job.name)
    if run.state is RunState.MISSED and job.is_moved:
        return [*_do(accept_command(name, job.drift_change)), ("By hand", "undo the change at its scheduler instead")]
    if job.kind == MANUAL_KIND:
        return _do(f"headway action complete {shlex.quote(name)}")
    return [("By hand", clean_line(job.cannot_rerun))] if job.cannot_rerun else []


def _number(subject: AlertSubject) -> int:
    return subject.decision.incident_id or 0


def _name(subject: AlertSubject) -> str:
    return incident_name(_number(subject))


def _also_restart(index: EstateIndex, subject: AlertSubject, repair: AlertSubject) -> str:
    """ "Also restart extract (INC-0001): Supply plan needs both.": with the services that both incidents affect."""
    keys = {service.key for service in repair.decision.services}
    shared = [service for service in subject.decision.services if service.key in keys]
    titles = list(dict.fromkeys(service_title(index, service.service) for service in shared))
    names = (
        f"{', '.join(titles[:MAX_STEPS])}{f' and {len(titles) - MAX_STEPS} more' if len(titles) > MAX_STEPS else ''}"
    )
    step = step_text(repair_step(index, repair.match))
    return f"Also {step} ({_name(repair)}): {names} need{'s' * (len(titles) == 1)} both."


def _starts_table(index: EstateIndex, decision: IncidentDecision) -> list[str]:
    """The native starts that limit the act-by; an effect with its service, where it differs between them."""
    effects: dict[tuple[str, str], dict[str, str]] = {}
    for service in decision.services:
        for start in service.reasons:
            if isinstance(start, NativeStart):
                at = zoned_time(start.at, decision.zone, index.now)
                known = effects.setdefault((at, start.job), {})
                known.setdefault(start.consequence, service_title(index, service.service))
    if not effects or decision.closed:
        return []
    header, *times = zoned_column("START", [at for at, _ in effects])
    rows = [
        [job, at, "; ".join(text if len(texts) == 1 else f"{service}: {text}" for text, service in texts.items())]
        for at, ((_, job), texts) in zip(times, effects.items(), strict=True)
    ]
    return table([["JOB", header, "EFFECT"], *rows])


def failed_since(match: IncidentMatch, decision: IncidentDecision) -> datetime:
    """When the run that is named as the cause failed, once the root is repaired; until then that of the incident."""
    run = match.unrepaired
    return red_since(run) if run is not None and run.state.is_red else decision.failed_since


def _facts(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, plain: bool
) -> Iterator[tuple[str, str]]:
    """Rows of details; without those that are empty."""
    zone, root, since = decision.zone, match.to_repair, failed_since(match, decision)
    if decision.closed:
        yield from _repair_facts(index, match, decision)
    yield "Cause", cause_name(index, match)
    if plain:
        yield "Rate", f"headway alert rate {ALERT_PLACEHOLDER} yes|no"
        return
    if decision.closed and decision.reason:
        yield "Error", decision.reason
    if place := _place(index, match):
        yield "Where", place
    if root is not None and (job := index.job(root.job_id)).title not in job.name:
        yield "Title", clean_line(job.title)
    since_text = zoned_time(since, zone, index.now)
    if decision.closed and match.recovered:
        yield "Lasted", f"{since_text} to {zoned_time(recovered_at(index, match), zone, index.now)}"
    else:
        yield "Since", since_text
    if root is not None and root.period_at is not None and run_time(root) <= since:  # not of a later failure
        period = zoned_time(run_time(root), zone, index.now)
        yield from [("Period", period)] if period != since_text else []
    yield "Business date", decision.business_date.isoformat()
    if match.feeds and not decision.services:
        yield "Feeds", f"{clean_line(', '.join(match.feeds))}: not late yet"
    if decision.split_from is not None:
        yield "Split from", incident_name(decision.split_from)
    for run in _failed_before(match) if not decision.closed else ():
        yield "Failed before", f"{index.name(run.job_id)}: {failure_text(index, run, zone)}"
    for run in _failed_too(index, match) if not decision.closed else ():
        yield "Also failed", f"{index.name(run.job_id)}: {failure_text(index, run, zone)}"
    drift = [finding for finding in match.evidence if finding.rule is DetectionRule.DRIFT and not decision.closed]
    for finding in islice((finding for finding in match.evidence if finding not in drift), MAX_FINDINGS):
        text = finding_text(index, finding, zone, with_source=True)
        yield "Finding", f"{index.name(finding.job_id)} {finding.rule.predicate}: {text}"
    for finding in drift[:MAX_FINDINGS]:
        name = index.name(finding.job_id)
        text = f"{name} {finding_text(index, finding, zone, with_source=True)}"
        fix = drift_fix(name, index.job(finding.job_id).drift_change)
        yield "Drift", f"not accepted. Fix: {fix}" if _is_change(finding, decision) else text
    for service, _ in limit_instances(decision.services, attrgetter("service")) if not decision.closed else ():
        if reasons := "; ".join(_service_reasons(index, match, decision, service)):
            yield service_title(index, service.service), reasons
    if decision.owner:
        yield "Owner", clean_line(decision.owner)
    yield "Rate", f"headway alert rate {ALERT_PLACEHOLDER} yes|no"


def _failed_before(match: IncidentMatch) -> list[RunFacts]:
    """The symptoms that failed before the first attempt of their root did: their errors may be their own."""
    root, red = match.group.root, match.group.red
    if root is None:
        return []
    ends = [completed_at(run) or red_since(run) for run in red if run.job_id == root.job_id]
    symptoms = (run for run in red if run.job_id != root.job_id and run.state is RunState.FAILED)
    return [run for run in symptoms if ends and red_since(run) < min(ends)][:MAX_FINDINGS]


def _failed_too(index: EstateIndex, match: IncidentMatch) -> list[RunFacts]:
    """The latest failure of each further job that failed with an error of its own."""
    shown = {run.job_id for run in (match.to_repair, *_failed_before(match)) if run is not None}
    own = {run.job_id: run for run in match.group.red if has_own_error(index, match.group, run)}
    return [run for job_id, run in own.items() if job_id not in shown][:MAX_FINDINGS]


def _is_change(drift: Finding, decision: IncidentDecision) -> bool:
    """True if it is listed among the changes since the last successful run."""
    seen = f"changed, seen {dated_time(drift.since, decision.zone)}: "
    return any(seen in line for line in decision.changes.lines)


LATE_END = timedelta(minutes=5)
"""An incident that closes later than this after its runs were good, as after a plan, shows since when they were."""


def _repair_facts(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> Iterator[tuple[str, str]]:
    """The repair: its requester, its time and its length."""
    root = match.group.root
    at, took = resolved_at(index, root), repair_length(index, root)
    how = repair_text(index, root)
    if how:
        ran = f", ran {rough_duration(took)}" if took is not None else ""
        yield "Repaired", f"{how}, good at {zoned_time(at, decision.zone, index.now)}{ran}"
    elif match.recovered and index.now - (good := recovered_at(index, match)) >= LATE_END:
        yield "Good since", zoned_time(good, decision.zone, index.now)


def _service_reasons(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, service: AffectedServiceVerdict
) -> Iterator[str]:
    """The reasons of its status, without those that the title, the error, the cause or the table of services shows, and
    without advice."""
    cause, clauses, has_green_by = CauseKnown(cause_name(index, match)), list[str](), False
    for reason in service.reasons:
        if isinstance(reason, FinishExpected) and reason.p_late is not None:
            clauses.append(format_risk(reason.p_late))
        elif isinstance(reason, NativeStart | FinishExpected | DeclareDuration) or is_in_figures(reason):
            continue
        elif (
            reason != cause
            and (clause := render(reason.text, lambda at: zoned_time(at, decision.zone, index.now))) != decision.reason
        ):
            clauses.append(clause)
            has_green_by |= isinstance(reason, RepairNeeded)
    if service.act_by is not None and service.green_by is not None and service.basis is not None:
        if service.green_by > index.now and not has_green_by:
            yield f"green by {local_time(service.green_by, decision.zone, index.now)}"
        yield f"estimated from {service.basis.text}"
    yield from clauses


def _place(index: EstateIndex, match: IncidentMatch) -> str:
    if match.to_repair is not None:
        job = index.job(match.to_repair.job_id)
        target = index.estate.targets.get(job.target_id)
        host = f"{target.system}/{target.name}" if target is not None else job.system
        return clean_line(f"{host} ({job.kind})" if job.kind else host)
    check = index.estate.declared.check(match.group.check)
    return check.about if check is not None else ""


def tail_lines(index: EstateIndex, match: IncidentMatch, log_tails: Mapping[int, str]) -> list[str]:
    """The end of the log of the root, or of its failed task, cleaned; empty without a log."""
    root = match.to_repair
    if root is None:
        return []
    runs = [root.id]
    for task in failed_tasks(index, root):
        runs += [run.id for run in index.runs.get(task.id, ()) if run.period_key == root.period_key]
    tail = next((log_tails[run] for run in runs if log_tails.get(run, "").strip()), "")
    return [clean_line(line, TAIL_WIDTH) for line in clean(tail).rstrip().splitlines()[-TAIL_LINES:]]
