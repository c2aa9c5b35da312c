"""Technical notifications: the error, the next steps and the affected services; below a rule the details.

Outside text is cleaned and set in its own bordered block.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject, Notification, clock_of
from console.control.alerts.headline import by_urgency, most_urgent, recovered_at
from console.control.alerts.joint_repair import other_repairs
from console.control.alerts.services_table import clock_time, service_title, services_table
from console.control.incidents.causes.shared_resource import has_own_error
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.repair import repair_of, resolved_at
from console.control.incidents.restart import (
    is_repaired_by_restart,
    job_step,
    needs_restart,
    repair_in_progress,
    repair_step,
)
from console.control.incidents.run_effects import failed_tasks
from console.control.incidents.run_titles import failure_text, finding_text
from console.control.incidents.titles import cause_name
from console.control.incidents.verdict.decision import (
    ContinuePlan,
    PlanUnderWay,
    RepairByPolicy,
    ResumePlan,
    StartOffered,
    Unfinished,
    releases,
)
from console.control.incidents.verdict.text import MAX_STEPS, repetition_text, step_text
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import target_to_restore
from console.control.snapshot.runs import completed_at, known_period_name, red_since, run_time
from console.domain.action import MANUAL_KIND
from console.domain.alert import INCIDENT_PLACEHOLDER, AlertKind
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import JobFacts, RunFacts, TargetFacts
from console.domain.failure import FailureMemory
from console.domain.finding import DetectionRule, accept_command
from console.domain.ids import incident_name
from console.domain.message import (
    BY_HAND,
    DO,
    Block,
    Cell,
    ClockTime,
    Columns,
    CommandRef,
    Details,
    Facts,
    Headline,
    Lines,
    Link,
    Message,
    Quote,
    filled_blocks,
    is_url,
    title_text,
)
from console.domain.plan import resume_commands
from console.domain.probability import format_risk
from console.domain.reason import (
    CauseKnown,
    DeclareDuration,
    FinishExpected,
    NativeStart,
    RepairNeeded,
    is_in_figures,
)
from console.domain.service import NOT_AT_RISK
from console.domain.switches import THAW
from console.domain.text import Clock, render
from console.text.cleaning import CUT, clean, clean_line
from console.text.lists import listed
from console.timing.durations import rough_duration
from console.timing.formats import local_time, zone_label, zoned_time

TAIL_LINES = 20
TAIL_WIDTH = 160
MAX_FINDINGS = 3
"""Findings of other rules, and symptoms that failed before their root, one line each."""


def technical_message(
    context: AlertContext, notification: Notification, title: Headline, changes: str, *, plain: bool = False
) -> Message:
    """Technical notification. `title`: its `headline`; `changes`: news for the route, or why it is notified again."""
    urgent = most_urgent(context, notification)
    blocks = _blocks(context, notification, title_text(title), "" if plain else changes, plain)
    label = zone_label(context.now if urgent is None else urgent.deadline, notification.subject.decision.zone)
    return Message(title, filled_blocks(*blocks), label)


def _blocks(
    context: AlertContext, notification: Notification, title: str, changes: str, plain: bool
) -> Iterator[Block]:
    """The error, the next commands and the affected services; below a rule the details, without the title's cause."""
    index, subject = context.index, notification.subject
    match, decision = subject.match, subject.decision
    repairs = _other_repairs(context, subject)
    yield Lines(tuple(_news(context, notification, changes, plain, repairs)))
    tail = [] if plain or decision.closed else tail_lines(index, match)
    clock = clock_of(decision, index.now)
    error = "" if plain else _error(match, decision, clock)
    if error and not decision.closed:
        error = match.cause.error or error  # its fix is the first of the next steps
    yield Quote((error,) if error and error not in title else ())
    yield Facts(tuple(_next_steps(context, subject, plain)))
    yield services_table(context, subject, by_urgency(context, notification), decision.zone)
    yield Details()
    facts = _facts(index, match, decision, plain)
    yield Facts(tuple((label, text) for label, text in facts if label != "Cause" or text not in title))
    if not plain:
        yield _starts_table(index, decision)
    if news := _without_error(tail, error):
        yield _LOG
        yield Quote(tuple(news))


_LOG = Lines(("Last log lines:",))


def with_changes(message: Message, changes: Sequence[str]) -> Message:
    """The message with the changes since the last successful run above the end of the log."""
    at = message.blocks.index(_LOG) if _LOG in message.blocks else len(message.blocks)
    added = Lines(("Changes since the last successful run:",)), Quote(tuple(changes))
    return replace(message, blocks=(*message.blocks[:at], *added, *message.blocks[at:]))


def with_earlier_repairs(message: Message, memory: FailureMemory) -> Message:
    """The message with what repaired its failure before, below the commands that repair it."""
    at, steps = next((at, block) for at, block in enumerate(message.blocks) if isinstance(block, Facts))
    repairs = tuple(takewhile(lambda row: row[0] in (BY_HAND, DO), steps.rows))
    rows = (*repairs, ("Before", memory.text), *steps.rows[len(repairs) :])
    return replace(message, blocks=(*message.blocks[:at], Facts(rows), *message.blocks[at + 1 :]))


def _without_error(tail: Sequence[str], error: str) -> list[str]:
    """The log lines without those that the error quotes, or that have it; empty if only blank ones remain."""
    known = " ".join(error.split()).removesuffix(CUT)

    def is_repeated(line: str) -> bool:
        line = " ".join(line.split()).removesuffix(CUT)
        return bool(known) and (known in line or known.partition(": ")[2] == line or (" " in line and line in known))

    lines = [line for line in tail if not is_repeated(line)]
    return lines if any(line.strip() for line in lines) else []


def _error(match: IncidentMatch, decision: IncidentDecision, clock: Clock) -> str:
    """The error that the source reported; empty for an unmet promise, which the title and the services explain."""
    if decision.closed:
        return decision.closed_because(clock) if match.cause.quotes_end else ""
    return "" if match.cause.awaits or match.is_repaired else render(decision.reason, clock)


def _news(
    context: AlertContext, notification: Notification, changes: str, plain: bool, repairs: Sequence[AlertSubject]
) -> Iterator[str]:
    index, subject = context.index, notification.subject
    match, decision = subject.match, subject.decision
    is_shown = match.cause.quotes_end or match.cause.awaits or repair_of(index, match.cause.root).requested
    if decision.closed and match.recovered and not plain and not is_shown:
        text = decision.closed_because(clock_of(decision, index.now))
        yield f"{text[:1].upper()}{text[1:]}."
    if match.is_repaired and not plain:
        yield "The failure is repaired; not all jobs have finished."
    if changes:
        yield f"{changes[:1].upper()}{changes[1:].rstrip('.')}."
    if decision.repeated is not None:
        yield f"{repetition_text(decision.repeated, clock_of(decision, index.now))}."
    if notification.kind is AlertKind.OPENED:
        for repair in repairs[:MAX_STEPS]:
            yield _also_restart(index, subject, repair)
    if subject.ack is not None and not decision.closed:
        until = zoned_time(subject.ack.until, decision.zone, index.now)
        yield f"Acknowledged by {clean_line(subject.ack.by)} until {until}."


def _next_steps(context: AlertContext, subject: AlertSubject, plain: bool) -> Iterator[tuple[str, Cell]]:
    """ "Do", "Acknowledge" and "Open", each with its command; a repair without one "By hand"."""
    decision, link = subject.decision, context.alerting.link
    target = _target_to_restore(context.index, subject.match)
    if target is not None and not decision.closed and not plain and (fix := target.error_fix):
        yield BY_HAND, clean_line(fix.rstrip("."))
    yield from _repairs(context, subject)
    if not decision.closed and subject.ack is None:
        yield "Acknowledge", CommandRef(f"headway ack {INCIDENT_PLACEHOLDER}", INCIDENT_PLACEHOLDER)
    yield "Open", Link(link) if link else CommandRef(f"headway incident {INCIDENT_PLACEHOLDER}")
    if decision.owner.runbook and not decision.closed and not plain:
        runbook = clean_line(decision.owner.runbook)
        yield "Runbook", Link(runbook) if is_url(runbook) else runbook


def _repairs(context: AlertContext, subject: AlertSubject) -> Iterator[tuple[str, Cell]]:
    """Rows that repair it, or show why it waits, "Do" with a command; its own repair first, after the probe of its
    target. While a freeze refuses a command, the one that ends the freeze comes before it, once."""
    yield from dict.fromkeys(_repair_rows(context, subject))


def _repair_rows(context: AlertContext, subject: AlertSubject) -> Iterator[tuple[str, Cell]]:
    decision, match, index = subject.decision, subject.match, context.index
    plan = match.plan(index)
    if decision.closed:
        yield from _send(index, plan.command) if plan is not None and plan.state != "running" else ()
        for repair in _other_repairs(context, subject):
            yield from _own_repairs(index, repair, _name(repair))
        return
    if (target := _target_to_restore(index, match)) is not None and target.failing_since is not None:
        yield from _do(f"headway system probe {shlex.quote(clean_line(f'{target.system}/{target.name}'))}")
    if needs_restart(index, match):
        yield from _own_repairs(index, subject, INCIDENT_PLACEHOLDER)
    for repair in _other_repairs(context, subject):
        yield from _own_repairs(index, repair, _name(repair))
    if is_repaired_by_restart(index, match):
        for step in releases(service.reasons for service in decision.services):
            yield from _send(index, f"headway hold release {shlex.quote(step.job)}")
    if match.awaited_plan is not None:
        yield from _do(f"headway plan {match.awaited_plan.id}")
        return
    match job_step(index, match, decision):
        case ResumePlan(plan=plan_id):
            yield from _send(index, *resume_commands(plan_id, ()))
        case StartOffered(job):
            yield from _send(index, f"headway job start {shlex.quote(job)}")
        case Unfinished() if decision.services:
            yield from _do(f"headway why {shlex.quote(clean_line(decision.services[0].service))}")


def _target_to_restore(index: EstateIndex, match: IncidentMatch) -> TargetFacts | None:
    """The target that is its cause, or that does not answer and has its run to restart."""
    run = match.to_repair
    if run is not None and needs_restart(index, match):
        return target_to_restore(index.estate, run.job_id, index.now)
    return next(iter(match.cause.targets), None)


def _other_repairs(context: AlertContext, subject: AlertSubject) -> list[AlertSubject]:
    """The other incidents to recover for its services, of a closed one for those that are still at risk; without those
    that open now, which have no number yet."""
    services = subject.decision.services
    if subject.decision.closed:
        services = tuple(service for service in services if service.timeliness not in NOT_AT_RISK)
    elif not is_repaired_by_restart(context.index, subject.match):
        return []
    related = other_repairs(context, subject, services)
    return sorted((repair for repair in related if repair.match.incident is not None), key=_number)


def _do(*commands: str) -> list[tuple[str, Cell]]:
    return [(DO, CommandRef(command)) for command in commands]


def _send(index: EstateIndex, *commands: str) -> list[tuple[str, Cell]]:
    """Commands that send an action."""
    return _do(*([THAW] if index.estate.modes.frozen is not None else ()), *commands)


def _own_repairs(index: EstateIndex, subject: AlertSubject, incident: str) -> list[tuple[str, Cell]]:
    run = subject.match.to_repair
    if run is not None and (approval := index.estate.approvals.get(run.id)) is not None:
        return _send(index, f"headway action approve {approval.action_key}")
    match repair_in_progress(index, subject.match):
        case PlanUnderWay(plan=plan):
            return _do(f"headway plan {plan}")
        case RepairByPolicy(policy=policy):
            return [("Stop", CommandRef(f"headway policy pause {policy}"))]
        case ContinuePlan(plan=plan, is_outdated=is_outdated, restarts=restarts):
            return _send(index, *resume_commands(plan, restarts, incident if is_outdated else ""))
    planned = index.estate.plans_by_run.get(run.id) if run is not None and run.state.is_red else None
    if run is not None and planned is not None and planned.is_done:
        return _send(index, f"headway rerun {shlex.quote(clean_line(index.job(run.job_id).name))}")
    if run is None or planned is None:
        at_its_system = _repair_at_its_system(index.job(run.job_id), run) if run is not None else []
        return at_its_system or _send(index, f"headway recover {incident}")
    waits = [clean_line(index.job(run.job_id).name)] if planned.is_awaited else []
    return _send(index, *resume_commands(planned.plan_id, waits, incident if planned.is_outdated else ""))


def _repair_at_its_system(job: JobFacts, run: RunFacts) -> list[tuple[str, Cell]]:
    """The repair of a start that a changed schedule moved, or of a job that Headway cannot rerun; empty for others."""
    name = clean_line(job.name)
    if run.state is RunState.MISSED and job.is_moved:
        return [*_do(accept_command(name, job.drift_change)), (BY_HAND, "undo the change at its scheduler instead")]
    if job.kind == MANUAL_KIND:
        return _do(f"headway action complete {shlex.quote(name)}")
    return [(BY_HAND, clean_line(job.cannot_rerun))] if job.cannot_rerun else []


def _number(subject: AlertSubject) -> int:
    return subject.match.incident.id if subject.match.incident is not None else 0


def _name(subject: AlertSubject) -> str:
    return incident_name(_number(subject))


def _also_restart(index: EstateIndex, subject: AlertSubject, repair: AlertSubject) -> str:
    """ "Also restart extract (INC-0001): Supply plan needs both.": with the services that both incidents affect."""
    keys = {service.key for service in repair.decision.services}
    shared = [service for service in subject.decision.services if service.key in keys]
    titles = list(dict.fromkeys(service_title(index, service.service) for service in shared))
    step = step_text(repair_step(index, repair.match))
    return f"Also {step} ({_name(repair)}): {listed(titles, MAX_STEPS)} need{'s' * (len(titles) == 1)} both."


def _starts_table(index: EstateIndex, decision: IncidentDecision) -> Columns:
    """The native starts that limit the act-by; an effect with its service, where it differs between them."""
    effects: dict[tuple[str, ClockTime], dict[str, str]] = {}
    for service in decision.services:
        for start in service.reasons:
            if isinstance(start, NativeStart):
                at = clock_time(start.at, decision.zone, index.now)
                known = effects.setdefault((start.job, at), {})
                known.setdefault(start.consequence, service_title(index, service.service))
    rows = (
        (job, at, "; ".join(text if len(texts) == 1 else f"{service}: {text}" for text, service in texts.items()))
        for (job, at), texts in effects.items()
    )
    return Columns(("Job", "Start", "Effect"), tuple(rows) if not decision.closed else ())


def failed_since(match: IncidentMatch, decision: IncidentDecision) -> datetime:
    """When the run that is named as the cause failed, once the root is repaired; until then that of the incident."""
    run = match.unrepaired
    return red_since(run) if run is not None and run.state.is_red else decision.failed_since


def _facts(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, plain: bool
) -> Iterator[tuple[str, str]]:
    """Rows of details; without those that are empty."""
    zone, root, since = decision.zone, match.to_repair, failed_since(match, decision)
    clock = clock_of(decision, index.now)
    if decision.closed:
        yield from _repair_facts(index, match, decision)
    yield "Cause", cause_name(index, match)
    if plain:
        return
    if decision.closed and decision.reason:
        yield "Error", render(decision.reason, clock)
    if place := _place(index, match):
        yield "Where", place
    if root is not None and (job := index.job(root.job_id)).title not in job.name:
        yield "Title", clean_line(job.title)
    since_text = zoned_time(since, zone, index.now)
    if decision.closed and match.recovered:
        yield "Lasted", f"{since_text} to {zoned_time(recovered_at(index, match), zone, index.now)}"
    else:
        yield "Since", since_text
    if root is not None and (name := known_period_name(root)):
        yield "Period", clean_line(name)
    elif root is not None and root.period_at is not None and run_time(root) <= since:  # not of a later failure
        period = zoned_time(run_time(root), zone, index.now)
        yield from [("Period", period)] if period != since_text else []
    yield "Business date", decision.cause.business_date.isoformat()
    if match.feeds and not decision.services:
        yield "Feeds", f"{clean_line(', '.join(match.feeds))}: not late yet"
    if match.split_from is not None:
        yield "Split from", incident_name(match.split_from)
    for run in _failed_before(match) if not decision.closed else ():
        yield "Failed before", f"{index.name(run.job_id)}: {render(failure_text(index, run), clock)}"
    for run in _failed_too(index, match) if not decision.closed else ():
        yield "Also failed", f"{index.name(run.job_id)}: {render(failure_text(index, run), clock)}"
    drift = [finding for finding in match.evidence if finding.rule is DetectionRule.DRIFT and not decision.closed]
    for finding in islice((finding for finding in match.evidence if finding not in drift), MAX_FINDINGS):
        text = render(finding_text(index, finding), clock)
        yield "Finding", f"{index.name(finding.job_id)} {finding.rule.predicate}: {text}"
    for finding in drift[:MAX_FINDINGS]:
        name = index.name(finding.job_id)
        yield "Drift", f"{name} {render(finding_text(index, finding), clock)}"
    for service in decision.services if not decision.closed else ():
        if reasons := "; ".join(_service_reasons(index, match, decision, service)):
            yield service_title(index, service.service), reasons
    if decision.owner.name:
        yield "Owner", clean_line(decision.owner.name)


def _failed_before(match: IncidentMatch) -> list[RunFacts]:
    """The symptoms that failed before the first attempt of their root did: their errors may be their own."""
    root, red = match.cause.root, match.cause.red
    if root is None:
        return []
    ends = [completed_at(run) or red_since(run) for run in red if run.job_id == root.job_id]
    symptoms = (run for run in red if run.job_id != root.job_id and run.state is RunState.FAILED)
    return [run for run in symptoms if ends and red_since(run) < min(ends)][:MAX_FINDINGS]


def _failed_too(index: EstateIndex, match: IncidentMatch) -> list[RunFacts]:
    """The latest failure of each further job that failed with an error of its own."""
    shown = {run.job_id for run in (match.to_repair, *_failed_before(match)) if run is not None}
    own = {run.job_id: run for run in match.cause.red if has_own_error(index, match.cause, run)}
    return [run for job_id, run in own.items() if job_id not in shown][:MAX_FINDINGS]


LATE_END = timedelta(minutes=5)
"""An incident that closes later than this after its runs were good, as after a plan, shows since when they were."""


def _repair_facts(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> Iterator[tuple[str, str]]:
    """The repair: its requester, its time and its length."""
    root = match.cause.root
    at, repair = resolved_at(index, root), repair_of(index, root)
    took = repair.length
    if how := f"by policy {repair.policy}" if repair.policy else repair.text:
        ran = f", ran {rough_duration(took)}" if took is not None else ""
        yield "Repaired", f"{how}, good at {zoned_time(at, decision.zone, index.now)}{ran}"
    elif match.recovered and index.now - (good := recovered_at(index, match)) >= LATE_END:
        yield "Good since", zoned_time(good, decision.zone, index.now)


def _service_reasons(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, service: AffectedServiceVerdict
) -> Iterator[str]:
    """The reasons of its status, without those that the title, the news, the error, the cause or the table of services
    shows, and without advice."""
    cause, clauses, has_green_by = CauseKnown(cause_name(index, match)), list[str](), False
    for reason in service.reasons:
        if isinstance(reason, FinishExpected) and reason.p_late is not None:
            clauses.append(format_risk(reason.p_late))
        elif isinstance(reason, NativeStart | FinishExpected | DeclareDuration) or is_in_figures(reason):
            continue
        elif reason != cause and reason.text != decision.reason:
            clauses.append(render(reason.text, clock_of(decision, index.now)))
            has_green_by |= isinstance(reason, RepairNeeded)
    if service.act_by is not None and service.green_by is not None and service.basis is not None:
        if service.green_by > index.now and not has_green_by:
            yield f"the cause must be green by {local_time(service.green_by, decision.zone, index.now)}"
        yield f"estimated from {service.basis.path_text}"
    yield from clauses


def _place(index: EstateIndex, match: IncidentMatch) -> str:
    if match.to_repair is not None:
        job = index.job(match.to_repair.job_id)
        target = index.estate.targets.get(job.target_id)
        host = f"{target.system}/{target.name}" if target is not None else job.system
        return clean_line(f"{host} ({job.kind})" if job.kind else host)
    return match.cause.location(index)


def tail_lines(index: EstateIndex, match: IncidentMatch) -> list[str]:
    """The end of the log of the root, or of its failed task, cleaned; empty without a log."""
    root = match.to_repair
    if root is None:
        return []
    runs = [root]
    for task in failed_tasks(index, root):
        runs += [run for run in index.runs.get(task.id, ()) if run.period_key == root.period_key]
    tail = next((run.tail for run in runs if run.tail.strip()), "")
    return [clean_line(line, TAIL_WIDTH) for line in clean(tail).rstrip().splitlines()[-TAIL_LINES:]]
