"""Unmet promises without a failure: lost service days and failed checks as root causes of their own.

A job that is never started is neither red nor missed if no clock starts it, and a slow job may have no history that
shows it. A service day that will be delivered after its deadline, is at risk by an alarm that keeps its budget of
false alarms, or was not delivered by then, and that no other incident covers, is a cause whose root is its terminal.
It continues until the day is delivered, or certainly will be in time; or until a failure explains it: then the
incident continues with that as its root. An incident that made a day late continues until that day is delivered, its
cause repaired or not, so that the routes notified of the delay are notified of the delivery.

A failed check is a cause if all jobs of a service are done and its data are not as promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial

from console.control.detection.rule_input import placeholder_run
from console.control.incidents.correlation import (
    IncidentMatch,
    ServiceDayKey,
    affected_runs,
    last_notification_of,
    match_incidents,
)
from console.control.incidents.impact import affected_days
from console.control.incidents.root_cause import RootCause
from console.control.incidents.titles import REASON_LIMIT, TITLE_LIMIT
from console.control.services.delivery import overdue_reason, pending_checks
from console.control.services.risk import risk_alarm_of
from console.control.services.status import offered_start, service_verdict
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import has_started
from console.domain.estate import TargetFacts
from console.domain.message import render
from console.domain.reason import reasons_text
from console.domain.service import UNMET_PROMISE, Timeliness
from console.forecast.finish_times import NodeState, ServiceForecast
from console.text.cleaning import clean_line
from console.timing.formats import zoned_time

NEWS = timedelta(hours=24)
"""How long after its deadline a service day is still news."""
PATIENCE = timedelta(minutes=15)
"""How long after its cause is resolved the next job of a late day is awaited."""
_LOST = (Timeliness.WILL_MISS, Timeliness.BREACHED)
Place = tuple[int, date]


def with_unmet_promises(
    index: EstateIndex, groups: Sequence[RootCause], days: Sequence[ServiceForecast]
) -> list[IncidentMatch]:
    """Matches of these groups and of the service days lost without any of them. An incident about a lost day whose
    cause is found since continues with that."""
    matches = match_incidents(index, groups)
    notified = {
        (incident.root_job_id or 0, incident.business_date): incident.id
        for incident in index.estate.incidents
        if incident.rule == UNMET_PROMISE
    }
    lost = [day for day in days if day.ends and _is_lost(index, day, _end_of(day) in notified)]
    if lost:
        other_matches = [match for match in matches if not _is_own(match)]
        still_broken = (run for match in other_matches if not match.close_reason for run in match.broken())
        broken = {(run.job_id, run.business_date) for run in still_broken}
        lost = [day for day in lost if _end_of(day) not in broken]
        causes = [match for match in other_matches if any(match.group is group for group in groups)]
        explained = _explain(index, causes, lost, notified)
        lost = [day for day in lost if _end_of(day) not in explained]
        awaited, abandoned = _made_late(index, other_matches, lost)
        lost = [day for day in lost if not any(day in days_awaited for days_awaited in awaited.values())]
        alone = {*_unexplained(index, other_matches, lost), *abandoned}
        lost = [day for day in lost if _end_of(day) in notified or day.key in alone]
        matches = match_incidents(index, [*groups, *_causes(index, lost, abandoned)])
        for match in matches:
            _go_on(index, match, awaited)
    for match in matches:
        _close_with_days(index, match, days)
    return matches


def _made_late(
    index: EstateIndex, matches: Sequence[IncidentMatch], lost: Sequence[ServiceForecast]
) -> tuple[dict[int, list[ServiceForecast]], dict[ServiceDayKey, int]]:
    """Days past their deadline that no open cause affects, by the resolved incident that notified of them: those with
    work running or awaited; and the incident of each other one."""
    awaited: dict[int, list[ServiceForecast]] = {}
    abandoned: dict[ServiceDayKey, int] = {}
    late = [day for day in lost if index.now > day.deadline]
    affected = {name for match in matches if late for name in affected_days(index, match, late)}
    for match in matches if late else ():
        before = last_notification_of(match)
        if match.incident is None or before is None or not match.close_reason:
            continue
        if not index.estate.notifications.notified.get(match.incident.id):
            continue  # it was never notified
        for day in late:
            if day.key not in before.services or day.key in affected:
                continue
            affected.add(day.key)
            runs = [*match.group.roots(), *affected_runs(index, match.incident)]
            ended_at = max((run.ended_at for run in runs if run.ended_at is not None), default=None)
            if _goes_on(index, day) or (ended_at is not None and index.now < ended_at + PATIENCE):
                awaited.setdefault(match.incident.id, []).append(day)
            else:
                abandoned[day.key] = match.incident.id
    return awaited, abandoned


def _go_on(index: EstateIndex, match: IncidentMatch, awaited: Mapping[int, Sequence[ServiceForecast]]) -> None:
    """Keeps it open, with its error: its cause is resolved, and service days that it made late are not delivered."""
    days_awaited = awaited.get(match.incident.id, ()) if match.incident is not None and match.close_reason else ()
    if days_awaited:
        match.awaits = tuple(day.key for day in days_awaited)
        match.close_reason, match.recovered = "", False


def _explain(
    index: EstateIndex, causes: Sequence[IncidentMatch], lost: Sequence[ServiceForecast], notified: Mapping[Place, int]
) -> frozenset[Place]:
    """Terminals notified as lost without a cause, all of whose lost days one of these affects: the first that does
    continues their incident."""
    ends: dict[Place, list[ServiceForecast]] = {}
    for day in lost:
        if _end_of(day) in notified:
            ends.setdefault(_end_of(day), []).append(day)
    explained = set[Place]()
    for match in causes if ends else ():
        for end in [terminal for terminal in ends if terminal not in explained]:
            if len(affected_days(index, match, ends[end])) == len(ends[end]):
                match.group.explains = (*match.group.explains, notified[end])
                explained.add(end)
    return frozenset(explained)


def _is_lost(index: EstateIndex, day: ServiceForecast, is_notified: bool) -> bool:
    """True by its own forecast. A notified one stays lost while it may be late, so that it does not end and begin in
    turns."""
    if day.deadline >= index.now:
        is_calm = day.odds is None or day.odds.late < day.service.risk
        is_safe = day.finish.p90 <= day.deadline and is_calm if day.finish is not None else not _awaits_resume(day)
        if is_safe or not _has_begun(index, day):
            return False
    if not is_notified and not _was_watched(index, day):
        return False
    verdict = service_verdict(index, day, ())
    if verdict.awaits or verdict.delivered_at is not None:
        return False  # its checks are causes themselves
    if is_notified:
        return verdict.timeliness is not Timeliness.NO_ESTIMATE
    if verdict.timeliness is Timeliness.AT_RISK:
        promise = day.service.promise
        peaks = index.estate.peaks.get(day.service.name, ())
        return day.odds is not None and risk_alarm_of(day.service.risk, promise.false_alarm_days, peaks).is_learned
    return verdict.timeliness in _LOST and index.now - day.deadline < NEWS


def _awaits_resume(day: ServiceForecast) -> bool:
    return any(node.held_start is not None and node.held_start.is_of_plan for node in day.unfinished())


def _has_begun(index: EstateIndex, day: ServiceForecast) -> bool:
    """True once a job of it has started, or should have: before that its forecast judges the schedule alone."""
    nodes = day.nodes.values()
    own = (node.run for node in nodes if node.run is not None and node.run.business_date == day.business_date)
    due = (node.due for node in nodes if node.due is not None)
    return any(map(has_started, own)) or any(at <= index.now for at in due) or offered_start(index, day) is not None


def _was_watched(index: EstateIndex, day: ServiceForecast) -> bool:
    """False while a delivery in time may not have been read yet: before the first poll, and after a standstill of the
    engine until the next one."""
    targets = [index.estate.targets.get(index.job(end).target_id) for end in day.ends]
    return all(
        target is not None
        and target.first_ok_at is not None
        and target.first_ok_at < day.deadline
        and not _awaits_poll(index, target)
        for target in targets
    )


def _awaits_poll(index: EstateIndex, target: TargetFacts) -> bool:
    is_refused = target.failing_since is not None or target.paused(index.now) is not None
    return not is_refused and is_out_of_reach(target, index.now, index.estate.settings)


def _is_own(match: IncidentMatch) -> bool:
    """True for an incident of lost service days only, without a red job or a finding."""
    is_notified = match.incident is not None and match.incident.rule == UNMET_PROMISE
    return is_notified and not match.group.red and match.group.finding is None


def _unexplained(
    index: EstateIndex, matches: Sequence[IncidentMatch], lost: Sequence[ServiceForecast]
) -> Iterator[ServiceDayKey]:
    """Days that none of these matches affects, or affected so lately that it is not news."""
    affected = {name for match in matches for name in affected_days(index, match, lost)}
    closed = index.estate.closed
    ended = [
        IncidentMatch(incident, RootCause(incident.business_date, incident.failed_since, None, None))
        for incident in closed
    ]
    notified = [(match, before.services) for match in [*matches, *ended] if (before := last_notification_of(match))]
    for day in lost:
        known = (_is_known(index, day, match) for match, services in notified if day.key in services)
        if day.key not in affected and not any(known):
            yield day.key


def _is_known(index: EstateIndex, day: ServiceForecast, match: IncidentMatch) -> bool:
    """True while the notified incident continues. After it closed the loss is news: at once if it was expected in
    time since, else after `PATIENCE`. A forecast that comes and goes is notified once."""
    closed_at = match.incident.closed_at if match.incident is not None else None
    if closed_at is None and match.close_reason:
        closed_at = index.now
    if closed_at is None:
        return True
    if index.now > day.deadline:
        if closed_at < day.deadline:
            return False
        return index.now < closed_at + PATIENCE or _goes_on(index, day)
    if match.incident is not None and match.incident.rule == UNMET_PROMISE:
        return True
    last_verdict = index.estate.last_verdicts.get(day.key)
    return index.now < closed_at + PATIENCE and last_verdict is not None and last_verdict.timeliness in _LOST


def _goes_on(index: EstateIndex, day: ServiceForecast) -> bool:
    return any(node.how is NodeState.RUNNING or (node.due or index.now) > index.now for node in day.unfinished())


def _causes(
    index: EstateIndex, lost: Sequence[ServiceForecast], abandoned: Mapping[ServiceDayKey, int]
) -> list[RootCause]:
    """One cause for each terminal and business date, whatever the number of services. `abandoned`: the incident that
    notified of the day, which continues with this."""
    causes: dict[Place, RootCause] = {}
    for day in sorted(lost, key=lambda day: (day.deadline, day.service.name, day.business_date)):
        since = min(day.deadline, index.now)
        node = day.nodes.get(day.ends[0])
        root = node.run if node is not None else None
        if root is None or root.business_date != day.business_date:
            root = placeholder_run(day.ends[0], "", day.business_date, since)
        cause = RootCause(day.business_date, since, root, None, text=_text(index, day), lost_by=_lost_by(day))
        cause = causes.setdefault(_end_of(day), cause)
        cause.awaits = (*cause.awaits, day.key)
        cause.explains += (abandoned[day.key],) if day.key in abandoned else ()
    return list(causes.values())


def _text(index: EstateIndex, day: ServiceForecast) -> str:
    """ "Supply plan was not delivered by 06:30 CET because of hosts/extract, and nothing failed; it waits for
    warehouse/load_orders"; "Supply plan is expected after its deadline 06:30 CET: start warehouse/load_orders now: its
    changed schedule starts it 08:35 CET"."""
    by = zoned_time(day.deadline, day.service.zone, index.now)
    overdue = render(overdue_reason(index, day).text, lambda _: by)
    is_late = day.finish is None or day.finish.p50 > day.deadline
    ahead = f"{'is expected' if is_late else 'may be delivered'} after its deadline {by}"
    text = f"was {overdue}" if index.now > day.deadline else ahead
    offered = offered_start(index, day)
    if offered is not None:
        starts_at = zoned_time(offered.due, day.service.zone, index.now)
        title = clean_line(_title(day), TITLE_LIMIT)
        now = f"start {index.name(offered.job_id)} now: its changed schedule starts it {starts_at}"
        return f"{title} {text}: {now}"  # never cut: a command
    waits, lost_by = _awaited_job(index, day), _lost_by(day)
    loses = index.name(lost_by) if lost_by is not None else ""
    text += f" because of {loses}" if loses else ""
    awaits = f"; it waits for {waits}" if waits not in ("", loses) else ""
    return clean_line(f"{_title(day)} {text}, and nothing failed{awaits}", REASON_LIMIT)


def _title(day: ServiceForecast) -> str:
    return clean_line(day.service.title or day.service.name)


def _awaited_job(index: EstateIndex, day: ServiceForecast) -> str:
    return next((index.name(node.job_id) for node in day.unfinished()), "")


def _lost_by(day: ServiceForecast) -> int | None:
    return day.odds.lost_by if day.odds is not None else None


def _close_with_days(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> None:
    """Sets the close reason: such an incident ends with its service days, not with its root's run."""
    before = last_notification_of(match)
    if not _is_own(match) or before is None or match.group.rule:
        return
    verdicts = [(day, service_verdict(index, day, ())) for day in days if day.key in before.services]
    unknown = [day for day, verdict in verdicts if verdict.timeliness is Timeliness.NO_ESTIMATE]
    match.recovered = bool(verdicts) and not unknown
    clocks = [partial(zoned_time, zone=day.service.zone, near=index.now) for day, _ in verdicts]
    reasons = [
        f"{_title(day)}: {reasons_text(verdict.reasons, clock)}"
        for (day, verdict), clock in zip(verdicts, clocks, strict=True)
    ]
    match.close_reason = "; ".join(reasons) or "out of view: it is too long ago"


def _end_of(day: ServiceForecast) -> Place:
    return day.ends[0], day.business_date


def failed_check_causes(index: EstateIndex, days: Sequence[ServiceForecast]) -> list[RootCause]:
    """One cause for each check and business date that keeps service days from being delivered; oldest first. A check
    without a result is a cause from the deadline on: an engine that was down may still run it before."""
    causes: dict[tuple[str, date], RootCause] = {}
    for day in days:
        for check in pending_checks(index, day):
            since = check.since or (day.deadline if index.now > day.deadline else None)
            if since is not None:
                text = clean_line(check.text, REASON_LIMIT)
                cause = RootCause(day.business_date, since, None, None, [], check.check, text)
                cause = causes.setdefault((check.check, day.business_date), cause)
                cause.since = min(cause.since, since)
    return sorted(causes.values(), key=lambda group: (group.since, group.check))
