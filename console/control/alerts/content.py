"""Content of notifications: technical text, business text, the values for a route's own template, and digests.

Technical text is plain; outside text is cleaned and stands in its own bordered block. Business text has no log and
no technical names beyond the service and the team.

Digest: up to `limit` alerts of a route leave each minute as they are, oldest first. The rest wait a few seconds and
leave as one digest, at most one a minute. The first notification about a tier-1 service never waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any

from console.control.alerts.context import AlertContext, AlertSubject, Notification
from console.control.alerts.routing import services_on_route
from console.control.incidents.correlation import IncidentMatch, ServiceDayKey
from console.control.incidents.root_cause import failed_tasks
from console.control.incidents.titles import cause_name, plain_title
from console.control.snapshot.checks import declared_text
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import Blame, identity_blame
from console.control.snapshot.reachability import UNREACHABLE_REASONS
from console.control.snapshot.runs import run_time
from console.domain.alert import ALERT_PLACEHOLDER, INCIDENT_PLACEHOLDER, TECHNICAL, AlertKind, RouteNotification
from console.domain.check import CheckState
from console.domain.decision import AffectedServiceVerdict, IncidentDecision, ServiceDayVerdict
from console.domain.estate import ServiceFacts
from console.domain.ids import incident_name
from console.domain.service import Timeliness, format_late, limit_instances, reason_lines, service_of_instance
from console.text.cleaning import clean, clean_line
from console.timing.formats import dated_time, local_time, zoned_time


@dataclass(frozen=True, slots=True)
class MessageText:
    """Title and body, and both without a word from outside but names."""

    title: str
    body: str
    plain_title: str
    plain_body: str


TAIL_LINES = 20
TAIL_WIDTH = 160
MAX_FINDINGS = 3
"""Lines for what rules found besides."""
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
    """What a route is told. `changes`: what is new to it, or why it is told again."""
    match, decision, kind = notification.subject.match, notification.subject.decision, notification.kind
    bare = plain_title(index, match)
    body = "\n".join(_body(index, notification, log_tails, changes)) + "\n"
    plain = "\n".join(_plain_body(index, notification, bare)) + "\n"
    return MessageText(
        _technical_title(index, decision, kind, decision.title),
        body,
        _technical_title(index, decision, kind, bare),
        plain,
    )


def _technical_title(index: EstateIndex, decision: IncidentDecision, kind: AlertKind, text: str) -> str:
    word = " again" if decision.reopened and kind is AlertKind.UPDATED else _KINDS[kind]
    act_by = ""
    if kind is not AlertKind.RECOVERED and not decision.closed and decision.act_by is not None:
        zone = next((_tech_zone(index, each) for each in decision.services if each.act_by == decision.act_by), "UTC")
        passed = decision.act_by < index.now
        at = zoned_time(decision.act_by, zone, index.now)
        act_by = f"; act-by {at} has passed" if passed else f"; act by {at}"
    return f"[Headway] {INCIDENT_PLACEHOLDER}{word}: {text}{act_by}"


def _body(index: EstateIndex, notification: Notification, log_tails: Mapping[int, str], changes: str) -> Iterator[str]:
    match, decision = notification.subject.match, notification.subject.decision
    yield decision.title
    if changes:
        yield changes[:1].upper() + changes[1:]
    yield from _acknowledged(index, notification)
    yield ""
    yield from _facts(index, match, decision)
    yield from _services(index, decision)
    if notification.kind is not AlertKind.RECOVERED:
        yield from _changed(decision)
        yield from _log(index, match, log_tails)
    yield ""
    yield from _commands(notification)


def _plain_body(index: EstateIndex, notification: Notification, title: str) -> Iterator[str]:
    """Title, services, clocks and the command; nothing that a job, a log or a scheduler said."""
    yield title
    yield from _services(index, notification.subject.decision, reasons=False)
    yield ""
    yield from _commands(notification)


def _acknowledged(index: EstateIndex, notification: Notification) -> Iterator[str]:
    ack = notification.subject.ack
    if ack is not None and not notification.subject.decision.closed:
        yield f"Acknowledged by {clean_line(ack.by)} until {zoned_time(ack.until, 'UTC', index.now)}."


def _commands(notification: Notification) -> Iterator[str]:
    if not notification.subject.decision.closed and notification.subject.ack is None:
        yield f"Acknowledge: headway ack {INCIDENT_PLACEHOLDER}"
    yield f"Details:     headway incident {INCIDENT_PLACEHOLDER}"
    yield f"Useful?      headway alert rate {ALERT_PLACEHOLDER} yes|no"


def _facts(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> Iterator[str]:
    zone, where = _place(index, match)
    if where:
        yield f"Where:         {where}"
    root = match.group.root
    if root is not None:
        due = (
            dated_time(run_time(root), zone)
            if root.period_at is not None
            else f"no schedule ({clean_line(root.period_key)})"
        )
        yield f"Period:        {due}"
    yield f"Business date: {decision.business_date.isoformat()}"
    yield f"Failed since:  {dated_time(decision.failed_since, zone)}"
    if decision.reason:
        yield f"Reason:        {decision.reason}"
    if match.feeds and not decision.services:
        yield f"Feeds:         {clean_line(', '.join(match.feeds))}"
    if decision.split_from is not None:
        yield f"Split from:    {incident_name(decision.split_from)}"
    for one in match.evidence[:MAX_FINDINGS]:
        name = clean_line(index.job(one.job_id).name)
        yield f"Finding:       {name} {one.rule.text}: {one.with_source}"
    yield f"Owner:         {clean_line(decision.owner) or 'not set'}"
    yield f"Runbook:       {clean_line(decision.runbook) or 'not set'}"


def _place(index: EstateIndex, match: IncidentMatch) -> tuple[str, str]:
    """The zone in which its times are told, and where it runs."""
    if match.group.root is not None:
        job = index.job(match.group.root.job_id)
        target = index.estate.targets.get(job.target_id)
        host = f"{target.system}/{target.name}" if target is not None else job.system
        return job.zone, clean_line(f"{host} ({job.kind})" if job.kind else host)
    if match.group.target is not None:
        zone = next((job.zone for job in index.estate.jobs.values() if job.target_id == match.group.target.id), "UTC")
        return zone, cause_name(index, match)
    if (check := declared_text(index.estate, match.group.check)) is not None:
        return check.zone, check.about
    return "UTC", cause_name(index, match)


def _services(index: EstateIndex, decision: IncidentDecision, reasons: bool = True) -> Iterator[str]:
    yield ""
    if not decision.services:
        yield "No affected services."
        return
    yield "Affected services:"
    for each, more in limit_instances(decision.services, attrgetter("service")):
        known = _technical_service(index, each)
        title = clean_line(known.title or each.service) if known else each.service
        tier = f" (tier {known.tier})" if known else ""
        due = dated_time(each.deadline, _tech_zone(index, each))
        yield f"  {title}{tier}, due {due}: {_TECH_STATUS[each.timeliness]}"
        yield from (f"    {line}" for line in _clocks(index, each, decision.closed, reasons))
        yield from [f"  and {more} more of {clean_line(service_of_instance(each.service))}"] if more else []


def _clocks(index: EstateIndex, affected_service: AffectedServiceVerdict, closed: bool, reasons: bool) -> Iterator[str]:
    if affected_service.act_by is not None and affected_service.green_by is not None and not closed:
        act_by, green_by = (
            zoned_time(at, _tech_zone(index, affected_service), index.now)
            for at in (affected_service.act_by, affected_service.green_by)
        )
        yield f"act by {act_by}, green by {green_by} ({affected_service.source})"
    if reasons:
        yield from reason_lines(affected_service.reason)


def _changed(decision: IncidentDecision) -> Iterator[str]:
    if decision.changes:
        yield ""
        yield "Changes since the last successful run:"
        yield from (f"  | {line}" for line in decision.changes)


def _log(index: EstateIndex, match: IncidentMatch, log_tails: Mapping[int, str]) -> Iterator[str]:
    if match.group.root is None:
        return
    tail = tail_lines(index, match, log_tails)
    yield ""
    if not tail:
        yield "Log not available."
        return
    yield "Last log lines:"
    yield from (f"  | {line}" for line in tail)


def tail_lines(index: EstateIndex, match: IncidentMatch, log_tails: Mapping[int, str]) -> list[str]:
    """The end of the root's log, or of its failed task's, cleaned; empty where none is at hand."""
    root = match.group.root
    if root is None:
        return []
    runs = [root.id]
    for task in failed_tasks(index, root):
        runs += [run.id for run in index.runs.get(task.id, ()) if run.period_key == root.period_key]
    tail = next((log_tails[each] for each in runs if log_tails.get(each, "").strip()), "")
    return [clean_line(line, TAIL_WIDTH) for line in clean(tail).rstrip().splitlines()[-TAIL_LINES:]]


def _technical_service(index: EstateIndex, affected_service: AffectedServiceVerdict) -> ServiceFacts | None:
    return next((each for each in index.estate.services if each.name == affected_service.service), None)


def _tech_zone(index: EstateIndex, affected_service: AffectedServiceVerdict) -> str:
    known = _technical_service(index, affected_service)
    return known.zone if known else "UTC"


UNREACHABLE_FOR = timedelta(minutes=15)
"""How long a system that answers may be out of sight before the owners of services are told that they may be late."""
MATERIAL = timedelta(minutes=15)
"""An expectation that moves by less is no news; nor is one that is still in time."""
_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are told in full minutes."""
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
    """Whether any of the route's services is in danger. That Headway cannot see a system that answers is for those who
    keep it, for a while: its jobs go on as far as anybody knows."""
    stands = {one.timeliness for one in affected_services(context, subject, route)}.difference(_FINE)
    target = subject.match.group.target
    if target is None or target.error_kind not in UNREACHABLE_REASONS or target.failing_since is None:
        return bool(stands)
    is_late = bool(stands - {Timeliness.AT_RISK})
    return is_late or (bool(stands) and context.now >= target.failing_since + UNREACHABLE_FOR)


def business_fingerprint(context: AlertContext, subject: AlertSubject, route: str) -> str:
    """What the route is told of each of its services: how it stands, and when it is expected."""
    rows = [[one.service, one.business_date.isoformat(), one.timeliness.value, _iso(one.expected_at)]
            for one in affected_services(context, subject, route)]  # fmt: skip
    return json.dumps(sorted(rows), separators=(",", ":"))


def is_material_change(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """Whether a service stands otherwise than told, or its expectation moved materially."""
    before = _read(last.fingerprint)
    for one in affected_services(context, subject, last.route):
        stood, expected = before.get((one.service, one.business_date.isoformat()), ("", None))
        if stood != one.timeliness.value:
            return True
        moved = abs(one.expected_at - expected) if expected and one.expected_at else timedelta(0)
        if moved >= MATERIAL and one.expected_at and one.expected_at > one.deadline:
            return True
    return False


def is_late_as_notified(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> bool:
    """Whether all of its services are past their deadline, not delivered, and told as late: that this cause is over
    changes nothing for who waits for them. Another one tells how they end."""
    hurt = affected_services(context, subject, last.route)
    late = bool(hurt) and all(one.timeliness is Timeliness.BREACHED for one in hurt)
    return late and not is_material_change(context, subject, last)


def notified_as_healthy(last: RouteNotification) -> bool:
    """Whether the route was told of its services last, and that they are well."""
    before = _read(last.fingerprint)
    return bool(before) and all(stood in {one.value for one in _FINE} for stood, _ in before.values())


def business_text(context: AlertContext, notification: Notification, leaves: bool) -> MessageText:
    """`leaves`: whether those who can mend it are told in the same evaluation."""
    hurt = affected_services(context, notification.subject, notification.route)
    over = notification.kind is AlertKind.RECOVERED
    lines = list(_lines(context, hurt, over)) or ["No longer at risk."]
    title = f"[Headway] {_business_title(context, hurt, over) or 'no longer at risk'}"
    body = (
        [*lines, ""]
        if over
        else [*lines, "", _cause(context, notification.subject, hurt, leaves), *_next(context, hurt), ""]
    )
    text = "\n".join([*body, f"Reference: {INCIDENT_PLACEHOLDER}"]) + "\n"
    return MessageText(title, text, title, text)


def affected_services(context: AlertContext, subject: AlertSubject, route: str) -> list[AffectedServiceVerdict]:
    """The services that it hurts and that the route is told of."""
    names = services_on_route(context, subject, route)
    return [one for one in subject.decision.services if one.service in names]


def _business_title(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> str:
    if not affected:
        return ""
    worst = min(affected, key=lambda one: (one.timeliness in _FINE, one.deadline))
    more = f", and {len(affected) - 1} more" if len(affected) > 1 else ""
    return _line(context, worst, is_resolved).rstrip(".") + more


def _lines(context: AlertContext, affected: list[AffectedServiceVerdict], is_resolved: bool) -> Iterator[str]:
    for one, more in limit_instances(affected, attrgetter("service")):
        yield _line(context, one, is_resolved)
        yield from [f"And {more} more of {clean_line(service_of_instance(one.service))}."] if more else []


def _line(context: AlertContext, affected_service: AffectedServiceVerdict, is_resolved: bool) -> str:
    """ "Supply plan, promised 06:30, is likely late (expected 07:05)." """
    service = _affected_service(context, affected_service)
    zone = service.zone if service is not None else "UTC"
    promised = (
        f"{_named(affected_service, service)}, promised {zoned_time(affected_service.deadline, zone, context.now)},"
    )
    day = context.days.get((affected_service.service, affected_service.business_date))
    if day is not None and day.delivered_at is not None:
        return f"{promised} was delivered at {local_time(day.delivered_at, zone, affected_service.deadline)}."
    if is_resolved and affected_service.timeliness is not Timeliness.BREACHED:
        still = (
            f", but {_BUSINESS_STATUS[affected_service.timeliness]}"
            if affected_service.timeliness is Timeliness.WILL_MISS
            else ""
        )
        expected = (
            _expected(day, affected_service, zone, context.now)
            if still
            else _room(day, affected_service, zone, context.now)
        )
        return f"{promised} is no longer at risk from this incident{still}{expected}."
    expected = _expected(day, affected_service, zone, context.now)
    return f"{promised} {_BUSINESS_STATUS[affected_service.timeliness]}{expected}."


def _named(affected_service: AffectedServiceVerdict, service: ServiceFacts | None) -> str:
    return clean_line((service.title if service is not None else "") or affected_service.service)


def _expected(day: ServiceDayVerdict | None, affected_service: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    if (
        affected_service.act_by is not None
        and affected_service.act_by > now
        and affected_service.timeliness is Timeliness.AT_RISK
    ):
        return f" unless it is repaired by {local_time(affected_service.act_by, zone, affected_service.deadline)}"
    expected = affected_service.expected_at or (day.expected_at if day is not None else None)
    return f" (expected {local_time(expected, zone, affected_service.deadline)})" if expected is not None else ""


def _room(day: ServiceDayVerdict | None, affected_service: AffectedServiceVerdict, zone: str, now: datetime) -> str:
    """When it is expected; in the last minute before its deadline, how likely it is late."""
    expected = day.expected_at if day is not None else None
    if day is None or expected is None or not _ZERO <= expected - affected_service.deadline < _MINUTE:
        return _expected(day, affected_service, zone, now)
    late = f", {format_late(day.p_late)}" if day.p_late is not None else ""
    return f", with less than a minute to spare{late}"


def _cause(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict], leaves: bool) -> str:
    """What failed, and when its owner was notified."""
    what = _what_failed(context, subject, affected)
    owner = "its owner" if subject.job_owner else "the responsible team"
    told = min((one.first_at for one in subject.told if one.words == TECHNICAL), default=None)
    if told is None and not leaves:
        return f"Cause: {what}; {owner} has not been notified yet."
    at = zoned_time(told or context.now, _service_zone(context, subject), context.now)
    return f"Cause: {what}; {owner} was notified at {at}."


def _what_failed(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "a job of etl failed". The names of what a shared root blames and of what a check looks at are for those who can
    mend it."""
    group = subject.match.group
    if group.check:
        return _what_is_with_the_data(context, subject, affected)
    if group.awaits:
        return "nothing failed, but not all jobs have finished"
    if subject.match.awaits:
        return "the failure is fixed, but not all jobs have finished"
    if group.shared:
        return _SHARED[identity_blame(group.shared)]
    unseen = UNREACHABLE_REASONS.get(group.target.error_kind if group.target is not None else "")
    silent = f"{unseen}, so the state of its jobs is unknown" if unseen else "does not answer"
    what, did = ("a job", "failed") if group.root is not None else ("a system", silent)
    owner = clean_line(subject.job_owner)
    return f"{what} of {owner} {did}" if owner else f"{what} {did}"


def _what_is_with_the_data(context: AlertContext, subject: AlertSubject, affected: list[AffectedServiceVerdict]) -> str:
    """ "all jobs ran, but the data of Supply plan failed a check"."""
    group = subject.match.group
    titles = ", ".join(dict.fromkeys(_named(one, _affected_service(context, one)) for one in affected))
    data = f"the data of {titles}" if titles else "the data"
    known = context.index.estate.checks.get((group.check, group.business_date))
    if known is not None and known.last.state is CheckState.FAILED:
        return f"all jobs ran, but {data} failed a check"
    return f"all jobs ran, but {data} could not be checked"


def _next(context: AlertContext, affected: list[AffectedServiceVerdict]) -> Iterator[str]:
    """By when the next notification is due, unless it is resolved before."""
    ahead = [(at, one) for one in affected for at in (one.act_by, one.green_by, one.expected_at, one.deadline)
             if at is not None and at > context.now]  # fmt: skip
    if ahead:
        at, one = min(ahead, key=lambda pair: pair[0])
        service = _affected_service(context, one)
        yield f"Next update by {zoned_time(at, service.zone if service is not None else 'UTC', context.now)}."


def _affected_service(context: AlertContext, affected_service: AffectedServiceVerdict) -> ServiceFacts | None:
    return next((each for each in context.index.estate.services if each.name == affected_service.service), None)


def _service_zone(context: AlertContext, subject: AlertSubject) -> str:
    found = [_affected_service(context, one) for one in subject.decision.services]
    return next((one.zone for one in found if one is not None), "UTC")


def _iso(at: datetime | None) -> str:
    return at.replace(second=0, microsecond=0).isoformat() if at is not None else ""


def service_days_in(text: str) -> frozenset[ServiceDayKey]:
    """The service days in what `fingerprint` wrote."""
    return frozenset((name, date.fromisoformat(business_date)) for name, business_date in _read(text))


def _read(text: str) -> dict[tuple[str, str], tuple[str, datetime | None]]:
    """What `fingerprint` wrote; nothing for anything else."""
    try:
        rows = json.loads(text)
        return {
            (name, business_date): (stood, datetime.fromisoformat(at) if at else None)
            for name, business_date, stood, at in rows
        }
    except (ValueError, TypeError):
        return {}


def template_values(
    context: AlertContext, notification: Notification, text: MessageText, tail: list[str]
) -> Mapping[str, Any]:
    """By name, as `console.config.templates.SAMPLE` shows them. In business words nothing technical is among them."""
    decision = notification.subject.decision
    technical = notification.words == TECHNICAL
    return {
        **_common(context, notification),
        "title": decision.title if technical else text.title.removeprefix("[Headway] "),
        "cause": cause_name(context.index, notification.subject.match) if technical else "",
        "reason": decision.reason if technical else "",
        "log": tail if technical else [],
        "subject": text.title,
        "body": text.body,
    }


def plain_template_values(context: AlertContext, notification: Notification, text: MessageText) -> Mapping[str, Any]:
    """The same for routes with body = "link": no word from outside but names."""
    technical = notification.words == TECHNICAL
    title = (
        plain_title(context.index, notification.subject.match) if technical else text.title.removeprefix("[Headway] ")
    )
    plain = {"title": title, "cause": cause_name(context.index, notification.subject.match) if technical else ""}
    return {**_common(context, notification), **plain, "reason": "", "log": [], "subject": text.plain_title,
            "body": text.plain_body}  # fmt: skip


def _common(context: AlertContext, notification: Notification) -> dict[str, Any]:
    decision = notification.subject.decision
    return {
        "incident": INCIDENT_PLACEHOLDER,
        "kind": notification.kind.value,
        "style": notification.words,
        "route": notification.route,
        "owner": clean_line(decision.owner),
        "runbook": clean_line(decision.runbook) if notification.words == TECHNICAL else "",
        "business_date": decision.business_date.isoformat(),
        "failed_since": dated_time(decision.failed_since, "UTC"),
        "act_by": zoned_time(decision.act_by, "UTC", context.now) if decision.act_by is not None else "",
        "tier": notification.subject.tier or 0,
        "services": [_service_values(context, one) for one in decision.services],
    }


def _service_values(context: AlertContext, affected_service: AffectedServiceVerdict) -> dict[str, Any]:
    known = next((each for each in context.index.estate.services if each.name == affected_service.service), None)
    zone = known.zone if known is not None else "UTC"
    return {
        "name": clean_line(affected_service.service),
        "title": clean_line((known.title if known is not None else "") or affected_service.service),
        "tier": known.tier if known is not None else 0,
        "status": affected_service.timeliness.value.replace("_", " "),
        "deadline": zoned_time(affected_service.deadline, zone, context.now),
        "expected": zoned_time(affected_service.expected_at, zone, context.now)
        if affected_service.expected_at is not None
        else "",
        "act_by": zoned_time(affected_service.act_by, zone, context.now) if affected_service.act_by is not None else "",
    }


WINDOW = timedelta(minutes=1)
"""In which alerts are counted, and the least time between two digests of a route."""
GATHER = timedelta(seconds=5)
"""How long the first that is over the limit waits for others."""
LINES = 200
"""Alerts that a digest lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """An alert of one route that has not been let out."""

    id: int
    made_at: datetime
    urgent: bool
    incident: str = ""
    """The incident's name; empty where it is about none."""
    title: str = ""
    plain_title: str = ""


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """Ids of what leaves alone now, and what leaves together now; the rest waits."""

    alone: tuple[int, ...] = ()
    together: tuple[PendingAlert, ...] = ()


def plan_digest(
    waiting: Sequence[PendingAlert], let: int, last_digest: datetime | None, limit: int, now: datetime
) -> DigestPlan:
    """`let`: how many left alone in the last minute. `waiting`: oldest first."""
    urgent = [one for one in waiting if one.urgent]
    others = [one for one in waiting if not one.urgent]
    room = max(limit - let - len(urgent), 0)
    alone, rest = others[:room], others[room:]
    ids = tuple(sorted(one.id for one in (*urgent, *alone)))
    if not rest:
        return DigestPlan(ids)
    ripe = rest[0].made_at + GATHER
    if last_digest is not None:
        ripe = max(ripe, last_digest + WINDOW)
    return DigestPlan(ids, tuple(rest) if now >= ripe else ())


def digest_text(together: Sequence[PendingAlert], limit: int) -> MessageText:
    """What a digest says: each incident's newest title, in the order in which they were made."""
    newest: dict[str, PendingAlert] = {}
    for one in together:
        key = one.incident or f"alert {one.id}"
        newest.pop(key, None)
        newest[key] = one
    lines = sorted(newest.values(), key=lambda one: one.id)
    number = f"{len(together)} more alert{'s' if len(together) > 1 else ''}"
    about = f" about {len(lines)} incident{'s' if len(lines) > 1 else ''}" if len(lines) < len(together) else ""
    title = f"[Headway] {number}{about} since {min(one.made_at for one in together):%H:%M:%S}Z"
    head = f"More than {limit} alerts in one minute; these are sent together."
    tail = "List them: headway incident"
    body = _list(head, [one.title for one in lines], tail)
    plain = _list(head, [one.plain_title or one.incident for one in lines], tail)
    return MessageText(title, body, title, plain)


def _list(head: str, titles: Sequence[str], tail: str) -> str:
    shown = [f"  {title.removeprefix('[Headway] ')}" for title in titles[:LINES]]
    if len(titles) > LINES:
        shown.append(f"  and {len(titles) - LINES} more")
    return "\n".join([head, "", *shown, "", tail]) + "\n"
