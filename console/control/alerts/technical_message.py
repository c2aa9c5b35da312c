"""Technical notifications: the error, the next steps and the affected services; below a rule the details.

Outside text is cleaned and set in its own bordered block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import headline, needs_restart, repair_text, resolved_at, run_length
from console.control.alerts.services_table import service_title, services_table
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.root_cause import failed_tasks
from console.control.incidents.titles import cause_name
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since, run_time
from console.domain.alert import ALERT_PLACEHOLDER, INCIDENT_PLACEHOLDER
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import RunFacts
from console.domain.ids import incident_name
from console.domain.service import ReasonKind, limit_instances
from console.text.cleaning import clean, clean_line
from console.text.message import RULE, MessageText, quote, table, text_of
from console.timing.formats import local_time, rough_duration, zoned_time

TAIL_LINES = 20
TAIL_WIDTH = 160
MAX_FINDINGS = 3
"""Findings of other rules, one line each."""


def technical_text(
    context: AlertContext, notification: Notification, log_tails: Mapping[int, str], changes: str
) -> MessageText:
    """Technical notification. `changes`: news for the route, or why it is notified again."""
    texts = []
    for plain in (False, True):
        title = headline(context, notification, plain)
        texts += [title, text_of(_blocks(context, notification, title, log_tails, "" if plain else changes, plain))]
    return MessageText(*texts)


def _blocks(
    context: AlertContext, notification: Notification, title: str, log_tails: Mapping[int, str], changes: str,
    plain: bool,
) -> Iterator[Sequence[str]]:  # fmt: skip
    """The error, the next commands and the affected services; below a rule the details, without the title's cause."""
    index, subject = context.index, notification.subject
    match, decision = subject.match, subject.decision
    error = "" if plain or decision.reason in title else decision.reason
    yield list(_news(index, subject, changes, plain))
    if decision.closed and match.group.check and not plain:
        yield quote([decision.close_reason])
    if error and not decision.closed:
        yield quote([error])
    yield table(_ways_on(index, subject, plain))
    yield services_table(context, decision)
    yield [RULE]
    tail = [] if plain or decision.closed else tail_lines(index, match, log_tails)
    yield table(row for row in _facts(index, match, decision, plain) if row[0] != "Cause" or row[1] not in title)
    if not plain:
        yield _starts_table(decision)
        if decision.changes.lines and not decision.closed:
            yield ["Changes since the last successful run:"]
            yield quote(decision.changes.lines)
    if news := [line for line in tail if line.strip() != decision.reason]:
        yield ["Last log lines:"]
        yield quote(news)
    elif not (tail or plain or decision.closed) and _has_failed(match.to_repair):
        yield ["Log not available."]


def _has_failed(run: RunFacts | None) -> bool:
    """True for a run that began, so a log of it is expected."""
    return run is not None and run.state.is_red and run.state is not RunState.MISSED


def _news(index: EstateIndex, subject: AlertSubject, changes: str, plain: bool) -> Iterator[str]:
    decision = subject.decision
    if decision.closed and not plain and not subject.match.group.check:
        yield f"{decision.close_reason[:1].upper()}{decision.close_reason[1:]}."
    if changes:
        yield f"{changes[:1].upper()}{changes[1:].rstrip('.')}."
    if subject.ack is not None and not decision.closed:
        until = zoned_time(subject.ack.until, decision.zone, index.now)
        yield f"Acknowledged by {clean_line(subject.ack.by)} until {until}."


def _ways_on(index: EstateIndex, subject: AlertSubject, plain: bool) -> Iterator[tuple[str, str]]:
    """ "Do", "Acknowledge" and "Open", each with its command."""
    decision, link = subject.decision, index.estate.declared.alerting.link
    if not decision.closed and needs_restart(index, subject.match):
        yield "Do", f"headway recover {INCIDENT_PLACEHOLDER}"
    if not decision.closed and subject.ack is None:
        yield "Acknowledge", f"headway ack {INCIDENT_PLACEHOLDER}"
    yield "Open", link or f"headway incident {INCIDENT_PLACEHOLDER}"
    if decision.runbook and not decision.closed and not plain:
        yield "Runbook", clean_line(decision.runbook)


def _starts_table(decision: IncidentDecision) -> list[str]:
    """The native starts that limit the act-by."""
    starts = [reason for row in decision.services for reason in row.reasons if reason.kind is ReasonKind.NATIVE_START]
    rows = [[reason.at, reason.job, reason.text] for reason in dict.fromkeys(starts)]
    return table([["NEXT START", "JOB", "EFFECT"], *rows]) if rows and not decision.closed else []


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
    yield "Since", zoned_time(since, zone, index.now)
    if root is not None and root.period_at is not None:
        yield "Period", zoned_time(run_time(root), zone, index.now)
    elif root is not None and root.period_key:
        yield "Period", f"no schedule ({clean_line(root.period_key)})"
    yield "Business date", decision.business_date.isoformat()
    if match.feeds and not decision.services:
        yield "Feeds", clean_line(", ".join(match.feeds))
    if decision.split_from is not None:
        yield "Split from", incident_name(decision.split_from)
    for finding in match.evidence[:MAX_FINDINGS]:
        yield "Finding", f"{index.name(finding.job_id)} {finding.rule.predicate}: {finding.with_source}"
    for service, _ in limit_instances(decision.services, attrgetter("service")) if not decision.closed else ():
        if reasons := "; ".join(_service_reasons(service, decision, index.now)):
            yield service_title(index, service), reasons
    if decision.owner:
        yield "Owner", clean_line(decision.owner)
    yield "Rate", f"headway alert rate {ALERT_PLACEHOLDER} yes|no"


def _repair_facts(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> Iterator[tuple[str, str]]:
    """The repair: its requester, its time and its length."""
    at, took = resolved_at(index, match), run_length(index, match)
    if how := repair_text(index, match):
        ran = f", ran {rough_duration(took)}" if took is not None else ""
        yield "Repaired", f"{how}, good at {zoned_time(at, decision.zone, index.now)}{ran}"


def _service_reasons(affected: AffectedServiceVerdict, decision: IncidentDecision, now: datetime) -> Iterator[str]:
    reasons = (reason.clause for reason in affected.reasons if reason.kind is not ReasonKind.NATIVE_START)
    clauses = [clause for clause in reasons if clause != decision.reason]
    if affected.act_by is not None and affected.green_by is not None and affected.basis is not None:
        if not any("green by" in clause for clause in clauses):
            yield f"green by {local_time(affected.green_by, decision.zone, now)}"
        yield f"estimated from {affected.basis.text}"
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
