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

from connectors.sdk.states import RunEvidence, Verb
from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.routing import services_on_route
from console.control.incidents.correlation import IncidentMatch, ServiceDayKey
from console.control.incidents.decisions import list_names
from console.control.incidents.root_cause import failed_tasks
from console.control.incidents.titles import cause_name, plain_title
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import Blame, identity_blame
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.control.snapshot.runs import CLOCK_SKEW, red_since, run_time
from console.domain.alert import (
    ALERT_PLACEHOLDER,
    INCIDENT_PLACEHOLDER,
    TECHNICAL,
    AlertKind,
    PendingAlert,
    RouteNotification,
)
from console.domain.check import CheckState
from console.domain.decision import AffectedServiceVerdict, IncidentDecision, ServiceDayVerdict
from console.domain.estate import ServiceFacts
from console.domain.ids import incident_name
from console.domain.service import (
    UNMET_PROMISE,
    Timeliness,
    format_probability,
    limit_instances,
    reason_lines,
    service_of_instance,
)
from console.text.cleaning import clean, clean_line
from console.timing.durations import format_duration
from console.timing.formats import dated_time, local_time, zoned_time


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
_KINDS = {
    AlertKind.OPENED: "",
    AlertKind.UPDATED: " update",
    AlertKind.RECOVERED: " resolved",
    AlertKind.REPEATED: " still open",
    AlertKind.ESCALATED: " escalated",
}
_TECH_STATUS = {
    Timeliness.NO_ESTIMATE: "no estimate",
    Timeliness.ON_TIME: "on time",
    Timeliness.AT_RISK: "at risk",
    Timeliness.WILL_MISS: "will miss",
    Timeliness.BREACHED: "breached",
    Timeliness.MET_LATE: "delivered late",
    Timeliness.MET: "delivered",
}


def technical_text(
    index: EstateIndex, notification: Notification, log_tails: Mapping[int, str], changes: str
) -> MessageText:
    """Technical notification. `changes`: news for the route, or why it is notified again."""
    decision, kind = notification.subject.decision, notification.kind
    match = notification.subject.match
    bare, title = plain_title(index, match), decision.title
    if kind is AlertKind.RECOVERED:
        repair = _in_brackets(repair_text(index, match))
        is_promise = decision.rule == UNMET_PROMISE
        subject = list_names(row.service for row in decision.services) if is_promise else cause_name(index, match)
        bare, title = f"{bare}{repair}", f"{subject}{repair}"
    titles = [_technical_title(index, decision, kind, text) for text in (title, bare)]
    plain = [bare, *_services(index, decision, reasons=False), "", *_commands(notification)]
    body = "\n".join(_body(index, notification, log_tails, changes)) + "\n"
    return MessageText(titles[0], body, titles[1], "\n".join(plain) + "\n")


def _technical_title(index: EstateIndex, decision: IncidentDecision, kind: AlertKind, text: str) -> str:
    label = " again" if decision.reopened and kind is AlertKind.UPDATED else _KINDS[kind]
    act_by = ""
    if kind is not AlertKind.RECOVERED and not decision.closed and decision.act_by is not None:
        passed = decision.act_by < index.now
        at = zoned_time(decision.act_by, decision.zone, index.now)
        act_by = f"; act-by {at} has passed" if passed else f"; act by {at}"
    return f"[Headway] {INCIDENT_PLACEHOLDER}{label}: {text}{act_by}"


def _body(index: EstateIndex, notification: Notification, log_tails: Mapping[int, str], changes: str) -> Iterator[str]:
    match, decision = notification.subject.match, notification.subject.decision
    yield decision.title
    if notification.kind is AlertKind.RECOVERED:
        yield f"Resolved: {decision.close_reason}{_in_brackets(repair_text(index, match))}"
    if changes:
        yield changes[:1].upper() + changes[1:]
    ack = notification.subject.ack
    if ack is not None and not decision.closed:
        yield f"Acknowledged by {clean_line(ack.by)} until {zoned_time(ack.until, decision.zone, index.now)}."
    yield ""
    yield from _facts(index, match, decision)
    yield from _services(index, decision)
    if notification.kind is not AlertKind.RECOVERED:
        if decision.changes.lines:
            yield ""
            yield "Changes since the last successful run:"
            yield from (f"  | {line}" for line in decision.changes.lines)
        if match.to_repair is not None and not match.to_repair.state.is_open:  # the reason is of the attempt before
            tail = tail_lines(index, match, log_tails)
            yield ""
            yield "Last log lines:" if tail else "Log not available."
            yield from (f"  | {line}" for line in tail)
    yield ""
    yield from _commands(notification)


def _commands(notification: Notification) -> Iterator[str]:
    if not notification.subject.decision.closed and notification.subject.ack is None:
        yield f"Acknowledge: headway ack {INCIDENT_PLACEHOLDER}"
    yield f"Details:     headway incident {INCIDENT_PLACEHOLDER}"
    yield f"Useful?      headway alert rate {ALERT_PLACEHOLDER} yes|no"


def _failed_since(match: IncidentMatch, decision: IncidentDecision) -> datetime:
    """When the run that is named as the cause failed, once the root is repaired; until then that of the incident."""
    run = match.unrepaired
    return red_since(run) if run is not None and run.state.is_red else decision.failed_since


def _facts(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> Iterator[str]:
    zone, where = decision.zone, _place(index, match)
    if where:
        yield f"Where:         {where}"
    root = match.to_repair
    if root is not None:
        no_schedule = f"no schedule ({clean_line(root.period_key)})"
        yield f"Period:        {no_schedule if root.period_at is None else dated_time(run_time(root), zone)}"
    yield f"Business date: {decision.business_date.isoformat()}"
    yield f"Failed since:  {dated_time(_failed_since(match, decision), zone)}"
    if decision.reason:
        yield f"Reason:        {decision.reason}"
    if match.feeds and not decision.services:
        yield f"Feeds:         {clean_line(', '.join(match.feeds))}"
    if decision.split_from is not None:
        yield f"Split from:    {incident_name(decision.split_from)}"
    for finding in match.evidence[:MAX_FINDINGS]:
        name = index.name(finding.job_id)
        yield f"Finding:       {name} {finding.rule.predicate}: {finding.with_source}"
    yield f"Owner:         {clean_line(decision.owner) or 'not set'}"
    yield f"Runbook:       {clean_line(decision.runbook) or 'not set'}"


def _place(index: EstateIndex, match: IncidentMatch) -> str:
    if match.to_repair is not None:
        job = index.job(match.to_repair.job_id)
        target = index.estate.targets.get(job.target_id)
        host = f"{target.system}/{target.name}" if target is not None else job.system
        return clean_line(f"{host} ({job.kind})" if job.kind else host)
    check = index.estate.declared.check(match.group.check)
    return check.about if check is not None else cause_name(index, match)


_REPAIRS = {Verb.RERUN: "rerun", Verb.START: "started", Verb.MARK_OK: "marked OK", Verb.SKIP: "skipped"}


def repair_text(index: EstateIndex, match: IncidentMatch) -> str:
    """ "rerun by anna, 2m": how the root was repaired, the requester, and how long its run took. Empty if unknown."""
    root = match.group.root
    if root is None or root.state.is_red or root.state.is_open:
        return ""
    is_asserted, took = root.evidence is RunEvidence.ASSERTED, ""
    if root.started_at is not None and root.ended_at is not None and not is_asserted:
        took = f", {format_duration(root.ended_at - root.started_at)}"
    repair = index.estate.repairs.get(root.id)
    if repair is not None and (is_asserted or (root.started_at or index.now) + CLOCK_SKEW >= repair.sent_at):
        return f"{_REPAIRS[repair.verb]} by {clean_line(repair.by)}{took}"
    return f"attempt {root.attempt}{took}" if root.attempt > 1 and took else ""


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _services(index: EstateIndex, decision: IncidentDecision, reasons: bool = True) -> Iterator[str]:
    yield ""
    if not decision.services:
        yield "No affected services."
        return
    yield "Affected services:"
    for service, hidden in limit_instances(decision.services, attrgetter("service")):
        known = _service_facts(index, service)
        title = _named(index, service) if known else service.service
        tier = f" (tier {known.tier})" if known else ""
        due = dated_time(service.deadline, decision.zone)
        yield f"  {title}{tier}, due {due}: {_TECH_STATUS[service.timeliness]}"
        yield from (f"    {line}" for line in _service_lines(service, decision, index.now, reasons))
        yield from [f"  and {hidden} more of {clean_line(service_of_instance(service.service))}"] if hidden else []


def _service_lines(
    affected: AffectedServiceVerdict, decision: IncidentDecision, now: datetime, reasons: bool
) -> Iterator[str]:
    is_open, basis = not decision.closed, affected.basis
    if affected.act_by is not None and affected.green_by is not None and basis is not None and is_open:
        act_by, green_by = (zoned_time(at, decision.zone, now) for at in (affected.act_by, affected.green_by))
        yield f"act by {act_by}, green by {green_by}, estimated from {basis.text}"
    if reasons:
        yield from reason_lines(affected.reasons)


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
    title = f"[Headway] {_business_title(context, affected, is_resolved) or 'no longer at risk'}"
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
    suffix = f", and {len(affected) - 1} more" if len(affected) > 1 else ""
    return _line(context, worst, is_resolved).rstrip(".") + suffix


def _lines(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> Iterator[str]:
    for service, hidden in limit_instances(affected, attrgetter("service")):
        yield _line(context, service, is_resolved)
        yield from [f"And {hidden} more of {clean_line(service_of_instance(service.service))}."] if hidden else []


def _line(context: AlertContext, affected: AffectedServiceVerdict, is_resolved: bool) -> str:
    """ "Supply plan, promised 06:30, is likely late (expected 07:05)." """
    zone = _zone(context.index, affected)
    promised = f"{_named(context.index, affected)}, promised {zoned_time(affected.deadline, zone, context.now)},"
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


def _named(index: EstateIndex, affected: AffectedServiceVerdict) -> str:
    service = _service_facts(index, affected)
    return clean_line((service.title if service is not None else "") or affected.service)


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
    titles = ", ".join(dict.fromkeys(_named(context.index, service) for service in affected))
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
        "title": plain_title(context.index, match) if technical else text.title.removeprefix("[Headway] "),
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
        "title": _named(context.index, affected),
        "tier": known.tier if known is not None else 0,
        "status": affected.timeliness.value.replace("_", " "),
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


def digest_text(together: Sequence[PendingAlert], limit: int) -> MessageText:
    """Digest with each incident's newest title, in the order of their creation."""
    newest: dict[str, PendingAlert] = {}
    for alert in together:
        key = alert.incident or f"alert {alert.id}"
        newest.pop(key, None)
        newest[key] = alert
    lines = sorted(newest.values(), key=lambda alert: alert.id)
    number = f"{len(together)} more alert{'s' if len(together) > 1 else ''}"
    about = f" about {len(lines)} incident{'s' if len(lines) > 1 else ''}" if len(lines) < len(together) else ""
    title = f"[Headway] {number}{about} since {min(alert.made_at for alert in together):%H:%M:%S}Z"
    head = f"More than {limit} alerts in one minute; these are sent together."
    tail = "List them: headway incident"
    body = _list(head, [line.title for line in lines], tail)
    plain = _list(head, [line.plain_title or line.incident for line in lines], tail)
    return MessageText(title, body, title, plain)


def _list(head: str, titles: Sequence[str], tail: str) -> str:
    shown = [f"  {title.removeprefix('[Headway] ')}" for title in titles[:LINES]]
    if len(titles) > LINES:
        shown.append(f"  and {len(titles) - LINES} more")
    return "\n".join([head, "", *shown, "", tail]) + "\n"
