"""Content of notifications: technical text, business text, the values for a route's own template, and digests.

Technical text is plain; outside text is cleaned and set in its own bordered block. Business text has no log and no
technical names beyond the service and the team.

Digest: up to `limit` alerts of a route are sent as they are each minute, oldest first. The rest wait a few seconds
and are sent as one digest, at most one a minute. The first notification about a tier-1 service never waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.headline import (
    REFERENCE,
    headline,
    needs_restart,
    repair_text,
    resolved_at,
    run_length,
    service_title,
    status_text,
)
from console.control.alerts.routing import services_on_route
from console.control.incidents.correlation import IncidentMatch, ServiceDayKey
from console.control.incidents.root_cause import failed_tasks
from console.control.incidents.titles import cause_name, plain_title
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import Blame, identity_blame
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.control.snapshot.runs import red_since, run_time
from console.domain.alert import (
    ALERT_PLACEHOLDER,
    INCIDENT_PLACEHOLDER,
    TECHNICAL,
    AlertKind,
    PendingAlert,
    RouteNotification,
    digest_title,
)
from console.domain.check import CheckState
from console.domain.decision import AffectedServiceVerdict, IncidentDecision, ServiceDayVerdict
from console.domain.estate import RunFacts, ServiceFacts
from console.domain.ids import incident_name
from console.domain.service import (
    ReasonKind,
    Timeliness,
    format_probability,
    limit_instances,
    service_of_instance,
    timeliness_label,
)
from console.text.cleaning import clean, clean_line
from console.text.message import RULE, quote, table, text_of, without_countdown
from console.timing.formats import dated_time, local_time, rough_duration, zoned_time


@dataclass(frozen=True, slots=True)
class MessageText:
    """Title and body; in the plain ones only names come from outside."""

    title: str
    body: str
    plain_title: str
    plain_body: str


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
    yield _services_table(context, decision)
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


def _services_table(context: AlertContext, decision: IncidentDecision) -> list[str]:
    rows, near = [], context.now
    labels = {zoned_time(service.deadline, decision.zone).rpartition(" ")[2] for service in decision.services}
    for service, hidden in limit_instances(decision.services, attrgetter("service")):
        due = (local_time if len(labels) == 1 else zoned_time)(service.deadline, decision.zone, near)
        status = status_text(service.timeliness)
        if not decision.closed and service.act_by is not None and service.timeliness not in _FINE:
            status += f", act by {local_time(service.act_by, decision.zone, near)}"
        elif known := _delivery(context, service, decision.zone):
            status += f"{'' if service.timeliness in _DELIVERED else ', expected'} {known}"
        rows.append([service_title(context.index, service), due, status])
        rows += [[f"{clean_line(service_of_instance(service.service))}: {hidden} more", "", ""]] if hidden else []
    return table([["SERVICE", f"DUE ({labels.pop()})" if len(labels) == 1 else "DUE", "STATUS"], *rows]) if rows else []


def _delivery(context: AlertContext, service: AffectedServiceVerdict, zone: str) -> str:
    """When it was delivered, or else is expected; empty if unknown."""
    day = context.days.get(service.key)
    at = (day.delivered_at or day.expected_at) if day is not None else service.expected_at
    return local_time(at, zone, context.now) if at is not None else ""


def _starts_table(decision: IncidentDecision) -> list[str]:
    """The native starts that limit the act-by."""
    starts = [reason for row in decision.services for reason in row.reasons if reason.kind is ReasonKind.NATIVE_START]
    rows = [[reason.at, reason.job, reason.text] for reason in dict.fromkeys(starts)]
    return table([["NEXT START", "JOB", "EFFECT"], *rows]) if rows and not decision.closed else []


def _failed_since(match: IncidentMatch, decision: IncidentDecision) -> datetime:
    """When the run that is named as the cause failed, once the root is repaired; until then that of the incident."""
    run = match.unrepaired
    return red_since(run) if run is not None and run.state.is_red else decision.failed_since


def _facts(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, plain: bool
) -> Iterator[tuple[str, str]]:
    """Rows of details; without those that are empty."""
    zone, root, since = decision.zone, match.to_repair, _failed_since(match, decision)
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


def _service_facts(index: EstateIndex, affected: AffectedServiceVerdict) -> ServiceFacts | None:
    return next((service for service in index.estate.services if service.name == affected.service), None)


def _zone(index: EstateIndex, affected: AffectedServiceVerdict) -> str:
    known = _service_facts(index, affected)
    return known.zone if known else "UTC"


UNREACHABLE_FOR = timedelta(minutes=15)
"""How long a reachable system may give no status before the owners of its services are notified."""
MATERIAL = timedelta(minutes=15)
"""An expectation that moves by less is not news; nor is one that is still in time."""
_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are shown in full minutes."""
_DELIVERED = (Timeliness.MET, Timeliness.MET_LATE)
_FINE = (Timeliness.ON_TIME, Timeliness.MET, Timeliness.MET_LATE)
_BUSINESS_STATUS = {
    Timeliness.AT_RISK: "may be late",
    Timeliness.NO_ESTIMATE: "may be late",
    Timeliness.WILL_MISS: "is likely late",
    Timeliness.BREACHED: "is late",
    Timeliness.ON_TIME: "is expected on time",
    Timeliness.MET: "was delivered on time",
    Timeliness.MET_LATE: "was delivered late",
}

_SHARED = {
    Blame.CREDENTIAL: "a credential that several jobs use is refused",
    Blame.CONNECTION: "a database or server that several jobs use does not answer",
    Blame.HOST: "a server that several jobs use is not found on the network",
    Blame.DISK: "a disk that several jobs write to is full",
    Blame.MEMORY: "a server on which several jobs run has no memory left",
    Blame.TIMEOUT: "a database or server that several jobs use responds too slowly",
    Blame.TARGET: "nearly all jobs of one server fail, though it answers",
}


def is_worth_notifying(context: AlertContext, subject: AlertSubject, route: str) -> bool:
    """True if any of the route's services is at risk. A reachable system that gives no status concerns only its
    operators for `UNREACHABLE_FOR`."""
    statuses = {service.timeliness for service in affected_services(context, subject, route)}.difference(_FINE)
    target = subject.match.group.target
    if target is None or target.error_kind not in NO_STATUS_REASONS or target.failing_since is None:
        return bool(statuses)
    is_late = bool(statuses - {Timeliness.AT_RISK})
    return is_late or (bool(statuses) and context.now >= target.failing_since + UNREACHABLE_FOR)


def business_fingerprint(context: AlertContext, subject: AlertSubject, route: str) -> str:
    """Status and expected time of each service of the route, as the route is notified of them."""
    rows = [[service.service, service.business_date.isoformat(), service.timeliness.value, _iso(service.expected_at)]
            for service in affected_services(context, subject, route)]  # fmt: skip
    return json.dumps(sorted(rows), separators=(",", ":"))


def is_material_change(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """True if the status of a service changed since the last notification, or its expectation moved materially."""
    before = _read(last.fingerprint)
    for service in affected_services(context, subject, last.route):
        status, expected = before.get((service.service, service.business_date.isoformat()), ("", None))
        if status != service.timeliness.value:
            return True
        moved = abs(service.expected_at - expected) if expected and service.expected_at else timedelta(0)
        if moved >= MATERIAL and service.expected_at and service.expected_at > service.deadline:
            return True
    return False


def is_late_as_notified(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """True if all of its services are past their deadline, undelivered, and notified as late: the end of this cause
    changes nothing for their owners."""
    affected = affected_services(context, subject, last.route)
    late = bool(affected) and all(service.timeliness is Timeliness.BREACHED for service in affected)
    return late and not is_material_change(context, subject, last)


def notified_as_healthy(last: RouteNotification) -> bool:
    """True if the last notification of the route said that all its services are well."""
    before = _read(last.fingerprint)
    return bool(before) and all(status in {timeliness.value for timeliness in _FINE} for status, _ in before.values())


def business_text(context: AlertContext, notification: Notification, leaves: bool) -> MessageText:
    """Business notification. `leaves`: a technical one is sent in the same evaluation."""
    affected = affected_services(context, notification.subject, notification.route)
    is_resolved = notification.kind is AlertKind.RECOVERED
    lines = list(_lines(context, affected, is_resolved)) or ["No longer at risk."]
    title = f"{_business_title(context, affected, is_resolved) or 'No longer at risk'}{REFERENCE}"
    lines.append("")
    if not is_resolved:
        lines += [_cause(context, notification.subject, affected, leaves), *_next(context, affected), ""]
    text = "\n".join([*lines, f"Reference: {INCIDENT_PLACEHOLDER}"]) + "\n"
    return MessageText(title, text, title, text)


def affected_services(context: AlertContext, subject: AlertSubject, route: str) -> list[AffectedServiceVerdict]:
    """Affected services that the route is notified of."""
    names = services_on_route(context, subject, route)
    return [service for service in subject.decision.services if service.service in names]


def _business_title(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> str:
    if not affected:
        return ""
    worst = min(affected, key=lambda service: (service.timeliness in _FINE, service.deadline))
    rest = sum(_BUSINESS_STATUS[row.timeliness] == _BUSINESS_STATUS[worst.timeliness] for row in affected) - 1
    suffix = f", and {rest} more" if rest else ""
    return _line(context, worst, is_resolved, in_title=True).rstrip(".") + suffix


def _lines(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> Iterator[str]:
    for service, hidden in limit_instances(affected, attrgetter("service")):
        yield _line(context, service, is_resolved)
        yield from [f"And {hidden} more of {clean_line(service_of_instance(service.service))}."] if hidden else []


def _line(context: AlertContext, affected: AffectedServiceVerdict, is_resolved: bool, in_title: bool = False) -> str:
    """ "Supply plan, promised 06:30 CET, is likely late (expected 07:05)."; in a title "Supply plan 06:30 is …"."""
    zone, title = _zone(context.index, affected), service_title(context.index, affected)
    promised = f"{title}, promised {zoned_time(affected.deadline, zone, context.now)},"
    if in_title:
        promised = f"{title} {local_time(affected.deadline, zone, context.now)}"
    day = context.days.get(affected.key)
    if day is not None and day.delivered_at is not None:
        return f"{promised} was delivered at {local_time(day.delivered_at, zone, affected.deadline)}."
    if is_resolved and affected.timeliness is not Timeliness.BREACHED:
        is_lost = affected.timeliness is Timeliness.WILL_MISS
        still = f", but {_BUSINESS_STATUS[affected.timeliness]}" if is_lost else ""
        expected = (_expected if is_lost else _margin)(day, affected, zone, context.now)
        return f"{promised} is no longer at risk from this incident{still}{expected}."
    expected = _expected(day, affected, zone, context.now)
    return f"{promised} {_BUSINESS_STATUS[affected.timeliness]}{expected}."


def _expected(day: ServiceDayVerdict | None, affected: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    if affected.act_by is not None and affected.act_by > now and affected.timeliness is Timeliness.AT_RISK:
        return f" unless it is repaired by {local_time(affected.act_by, zone, affected.deadline)}"
    expected = affected.expected_at or (day.expected_at if day is not None else None)
    return f" (expected {local_time(expected, zone, affected.deadline)})" if expected is not None else ""


def _margin(day: ServiceDayVerdict | None, affected: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    expected = day.expected_at if day is not None else None
    if day is None or expected is None or not _ZERO <= expected - affected.deadline < _MINUTE:
        return _expected(day, affected, zone, now)
    risk = f"; the risk of being late is {format_probability(day.p_late)}" if day.p_late is not None else ""
    return f", with less than a minute to spare{risk}"


def _cause(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict], leaves: bool) -> str:
    what = _what_failed(context, subject, affected)
    owner = "its owner" if subject.job_owner else "the responsible team"
    notified_at = min((notice.first_at for notice in subject.notified if notice.style == TECHNICAL), default=None)
    if notified_at is None and not leaves:
        return f"Cause: {what}; {owner} has not been notified yet."
    at = zoned_time(notified_at or context.now, subject.decision.zone, context.now)
    return f"Cause: {what}; {owner} was notified at {at}."


def _what_failed(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "a job of etl failed". Names of a shared cause and of a check are left to the technical notification."""
    group = subject.match.group
    if group.check:
        return _data_failure(context, subject, affected)
    if group.awaits:
        return "nothing failed, but not all jobs have finished"
    if subject.match.awaits:
        return "the failure is fixed, but not all jobs have finished"
    if group.shared:
        return _SHARED[identity_blame(group.shared)]
    unseen = NO_STATUS_REASONS.get(group.target.error_kind if group.target is not None else "")
    silent = f"{unseen}, so the state of its jobs is unknown" if unseen else "does not answer"
    what, did = ("a job", "failed") if group.root is not None else ("a system", silent)
    owner = clean_line(subject.job_owner)
    return f"{what} of {owner} {did}" if owner else f"{what} {did}"


def _data_failure(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "all jobs ran, but the data of Supply plan failed a check"."""
    group = subject.match.group
    titles = ", ".join(dict.fromkeys(service_title(context.index, service) for service in affected))
    data = f"the data of {titles}" if titles else "the data"
    known = context.index.estate.checks.get((group.check, group.business_date))
    if known is not None and known.last.state is CheckState.FAILED:
        return f"all jobs ran, but {data} failed a check"
    return f"all jobs ran, but {data} could not be checked"


def _next(context: AlertContext, affected: list[AffectedServiceVerdict]) -> Iterator[str]:
    ahead = [
        (at, row)
        for row in affected
        for at in (row.act_by, row.green_by, row.expected_at, row.deadline)
        if at is not None and at > context.now
    ]
    if ahead:
        at, row = min(ahead, key=lambda pair: pair[0])
        yield f"Next update by {zoned_time(at, _zone(context.index, row), context.now)}."


def _iso(at: datetime | None) -> str:
    return at.replace(second=0, microsecond=0).isoformat() if at is not None else ""


def service_days_in(text: str) -> frozenset[ServiceDayKey]:
    """Service days of a business fingerprint."""
    return frozenset((name, date.fromisoformat(business_date)) for name, business_date in _read(text))


def _read(text: str) -> dict[tuple[str, str], tuple[str, datetime | None]]:
    try:
        rows = json.loads(text)
        return {
            (name, business_date): (status, datetime.fromisoformat(at) if at else None)
            for name, business_date, status, at in rows
        }
    except (ValueError, TypeError):
        return {}


def template_values(
    context: AlertContext, notification: Notification, text: MessageText, tail: list[str]
) -> Mapping[str, Any]:
    """Values by name, as `console.config.templates.SAMPLE` shows them; business ones have nothing technical."""
    values = {**plain_template_values(context, notification, text), "subject": text.title, "body": text.body}
    if notification.style == TECHNICAL:
        decision = notification.subject.decision
        values |= {"title": decision.title, "reason": decision.reason, "log": tail}
    return values


def plain_template_values(context: AlertContext, notification: Notification, text: MessageText) -> Mapping[str, Any]:
    """The same for routes with body = "link": only names come from outside."""
    decision, match = notification.subject.decision, notification.subject.match
    technical = notification.style == TECHNICAL
    return {
        "incident": INCIDENT_PLACEHOLDER,
        "kind": notification.kind.value,
        "style": notification.style,
        "route": notification.route,
        "owner": clean_line(decision.owner),
        "runbook": clean_line(decision.runbook) if technical else "",
        "business_date": decision.business_date.isoformat(),
        "failed_since": dated_time(_failed_since(match, decision), decision.zone),
        "act_by": zoned_time(decision.act_by, decision.zone, context.now) if decision.act_by is not None else "",
        "tier": notification.subject.tier or 0,
        "services": [_service_values(context, service) for service in decision.services],
        "title": plain_title(context.index, match) if technical else text.title.removesuffix(REFERENCE),
        "cause": cause_name(context.index, match) if technical else "",
        "reason": "",
        "log": [],
        "subject": text.plain_title,
        "body": text.plain_body,
    }


def _service_values(context: AlertContext, affected: AffectedServiceVerdict) -> dict[str, Any]:
    known, zone = _service_facts(context.index, affected), _zone(context.index, affected)
    return {
        "name": clean_line(affected.service),
        "title": service_title(context.index, affected),
        "tier": known.tier if known is not None else 0,
        "status": timeliness_label(affected.timeliness),
        "deadline": zoned_time(affected.deadline, zone, context.now),
        "expected": zoned_time(affected.expected_at, zone, context.now) if affected.expected_at is not None else "",
        "act_by": zoned_time(affected.act_by, zone, context.now) if affected.act_by is not None else "",
    }


WINDOW = timedelta(minutes=1)
"""Window in which alerts are counted, and the least time between two digests of a route."""
GATHER = timedelta(seconds=5)
"""How long the first alert over the limit waits for others."""
LINES = 200
"""Alerts that a digest lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """Ids to send alone now, and alerts to send together now; the rest waits."""

    alone: tuple[int, ...] = ()
    together: tuple[PendingAlert, ...] = ()


def plan_digest(
    waiting: Sequence[PendingAlert], sent_last_minute: int, last_digest: datetime | None, limit: int, now: datetime
) -> DigestPlan:
    """The alerts to send alone, and the rest as a digest. `waiting`: oldest first."""
    urgent = [alert for alert in waiting if alert.urgent]
    deferrable = [alert for alert in waiting if not alert.urgent]
    room = max(limit - sent_last_minute - len(urgent), 0)
    alone, rest = deferrable[:room], deferrable[room:]
    ids = tuple(sorted(alert.id for alert in (*urgent, *alone)))
    if not rest:
        return DigestPlan(ids)
    ripe = rest[0].made_at + GATHER
    if last_digest is not None:
        ripe = max(ripe, last_digest + WINDOW)
    return DigestPlan(ids, tuple(rest) if now >= ripe else ())


def digest_text(together: Sequence[PendingAlert], limit: int, zone: str) -> MessageText:
    """Digest with each incident's newest title, in the order of their creation."""
    newest: dict[str, PendingAlert] = {}
    for alert in together:
        key = alert.incident or f"alert {alert.id}"
        newest.pop(key, None)
        newest[key] = alert
    lines = sorted(newest.values(), key=lambda alert: alert.id)
    since = zoned_time(min(alert.made_at for alert in together), zone)
    note = f"More than {limit} alerts in one minute: these {len(together)}, since {since}, are sent together."
    texts = []
    for titles in ([line.title for line in lines], [line.plain_title or line.incident for line in lines]):
        shown = [without_countdown(title) for title in titles[:LINES]]
        shown += [f"and {len(titles) - LINES} more"] if len(titles) > LINES else []
        blocks = table([title] for title in shown), table([("Open", "headway incident")]), [RULE], [note]
        texts += [digest_title(titles), text_of(blocks)]
    return MessageText(*texts)
