"""Unmet promises that no failure explains: lost service days and failed checks as root causes of their own.

A job that is never started is neither red nor missed if no clock starts it, and a slow job may have no past that
says so. A service day that will be delivered after its deadline, is at risk by an alarm that keeps its budget of
false alarms, or was not delivered by then, and that no other incident covers, is a cause whose root is its
terminal. It continues until the day is delivered, or surely will be in time; or until a failure explains it: then
the incident continues with that as its root. An incident that made a day late continues until that day is
delivered, its cause repaired or not, so that whoever was notified that it is late is notified that it is there.

A failed check is a cause if all jobs of a service are done and its data are not what was promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

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
from console.control.services.delivery import pending_checks
from console.control.services.risk import risk_alarm_of
from console.control.services.status import service_verdict
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_started
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.service import UNMET_PROMISE, Timeliness
from console.forecast.finish_times import FinishTimes, NodeState, ServiceForecast
from console.text.cleaning import clean_line
from console.timing.formats import zoned_time

NEWS = timedelta(hours=24)
"""How long after its deadline a service day is still told as something new."""
PATIENCE = timedelta(minutes=15)
"""How long after a cause is over the next job of a day that is late may be awaited."""
_LOST = (Timeliness.WILL_MISS, Timeliness.BREACHED)
Place = tuple[int, date]


def with_unmet_promises(
    index: EstateIndex, groups: Sequence[RootCause], days: Sequence[ServiceForecast]
) -> list[IncidentMatch]:
    """The cases of these groups and of the service days that are lost without any of them. What was told as lost
    without a cause and has one by now goes on with that."""
    found = match_incidents(index, groups)
    told = {_place(one): one.id for one in index.estate.incidents if one.rule == UNMET_PROMISE}
    lost = [day for day in days if day.ends and _is_lost(index, day, _end_of(day) in told)]
    if lost:
        others = [match for match in found if not _is_own(match)]
        broken = {
            (run.job_id, run.business_date) for match in others if not match.close_reason for run in match.broken()
        }
        lost = [day for day in lost if _end_of(day) not in broken]
        explained = _explain(
            index, [match for match in others if any(match.group is one for one in groups)], lost, told
        )
        lost = [day for day in lost if _end_of(day) not in explained]
        awaited, given_up = _made_late(index, others, lost)
        lost = [day for day in lost if not any(day in each for each in awaited.values())]
        alone = {*_unexplained(index, others, lost), *given_up}
        lost = [day for day in lost if _end_of(day) in told or (day.service.name, day.business_date) in alone]
        found = match_incidents(index, [*groups, *_causes(index, lost, given_up)])
        for match in found:
            _go_on(index, match, awaited)
    for match in found:
        _say_why_over(index, match, days)
    return found


def _made_late(
    index: EstateIndex, others: Sequence[IncidentMatch], lost: Sequence[ServiceForecast]
) -> tuple[dict[int, list[ServiceForecast]], dict[ServiceDayKey, int]]:
    """Of days past their deadline that no open cause hurts, by the incident that told of them and is over now: those
    on which work goes on, or may be awaited; and the incident of each other one."""
    awaited: dict[int, list[ServiceForecast]] = {}
    given_up: dict[ServiceDayKey, int] = {}
    late = [day for day in lost if index.now > day.deadline]
    hurt = {name for match in others if late for name in affected_days(index, match, late)}
    for match in others if late else ():
        before = last_notification_of(match)
        if match.incident is None or before is None or not match.close_reason:
            continue
        if not index.estate.telling.told.get(match.incident.id):
            continue  # nobody waits for a word of it
        for day in late:
            name = (day.service.name, day.business_date)
            if name not in before.services or name in hurt:
                continue
            hurt.add(name)
            over = _repaired_at(index, match)
            if _goes_on(index, day) or (over is not None and index.now < over + PATIENCE):
                awaited.setdefault(match.incident.id, []).append(day)
            else:
                given_up[name] = match.incident.id
    return awaited, given_up


def _repaired_at(index: EstateIndex, match: IncidentMatch) -> datetime | None:
    """The last end of all that it had broken; None where nothing says when."""
    runs = [*match.group.roots(), *(affected_runs(index, match.incident) if match.incident is not None else [])]
    return max((run.ended_at for run in runs if run.ended_at is not None), default=None)


def _go_on(index: EstateIndex, match: IncidentMatch, awaited: Mapping[int, Sequence[ServiceForecast]]) -> None:
    """Its cause is over, and the service days that it made late are not delivered."""
    days = awaited.get(match.incident.id, ()) if match.incident is not None and match.close_reason else ()
    if days:
        match.awaits = tuple((day.service.name, day.business_date) for day in days)
        late = "; ".join(_stands(index, day) for day in days)
        match.awaits_words = f"{match.close_reason}; {late}"
        match.close_reason, match.recovered = "", False


def _stands(index: EstateIndex, day: ServiceForecast) -> str:
    """ "supply-plan was not delivered by 06:30 CET and waits for warehouse/load_orders"."""
    waits = next((clean_line(index.job(node.job_id).name) for node in day.unfinished()), "")
    late = f"{day.service.name} was not delivered by {zoned_time(day.deadline, day.service.zone, index.now)}"
    return f"{late} and waits for {waits}" if waits else late


def _explain(
    index: EstateIndex, causes: Sequence[IncidentMatch], lost: Sequence[ServiceForecast], told: Mapping[Place, int]
) -> frozenset[Place]:
    """The terminals that were told as lost without a cause, and all of whose lost days one of these hurts: the first
    that does tells them from now on."""
    ends: dict[Place, list[ServiceForecast]] = {}
    for day in lost:
        if _end_of(day) in told:
            ends.setdefault(_end_of(day), []).append(day)
    found = set[Place]()
    for match in causes if ends else ():
        for end in [each for each in ends if each not in found]:
            if len(affected_days(index, match, ends[end])) == len(ends[end]):
                match.group.explains = (*match.group.explains, told[end])
                found.add(end)
    return frozenset(found)


def _is_lost(index: EstateIndex, day: ServiceForecast, is_told: bool) -> bool:
    """By its own forecast. What is told already goes on while it may still be late, so that it does not end and begin
    in turns."""
    if day.deadline >= index.now and (day.finish is None or _is_calm(day, day.finish)):
        return False
    if day.deadline >= index.now and not _has_begun(index, day):
        return False
    if not is_told and not _was_watched(index, day):
        return False
    said = service_verdict(index, day, ())
    if said.awaits or said.delivered_at is not None:
        return False  # its checks are causes themselves
    if is_told:
        return said.timeliness is not Timeliness.NO_ESTIMATE
    if said.timeliness is Timeliness.AT_RISK:
        return _keeps_its_budget(index, day)
    return said.timeliness in _LOST and index.now - day.deadline < NEWS


def _is_calm(day: ServiceForecast, finish: FinishTimes) -> bool:
    """Whether it is hardly late, without a look at all that is known of it."""
    return finish.p90 <= day.deadline and (day.odds is None or day.odds.late < day.service.risk)


def _keeps_its_budget(index: EstateIndex, day: ServiceForecast) -> bool:
    """Whether the alarm of its service is a false one as rarely as it may be: before its past says so, whoever is at
    risk is shown and not called for."""
    promise = day.service.promise
    peaks = index.estate.peaks.get(day.service.name, ())
    return day.odds is not None and risk_alarm_of(day.service.risk, promise.false_alarm_days, peaks).is_learned


def _has_begun(index: EstateIndex, day: ServiceForecast) -> bool:
    """True once a job of it has started, or should have: before that its forecast judges the schedule alone."""
    own = (
        node.run for node in day.nodes.values() if node.run is not None and node.run.business_date == day.business_date
    )
    due = (node.due for node in day.nodes.values() if node.due is not None)
    return any(map(has_started, own)) or any(at <= index.now for at in due)


def _was_watched(index: EstateIndex, day: ServiceForecast) -> bool:
    """True where all its terminals were in sight before the deadline: of what was before nobody knows enough."""
    targets = (index.estate.targets.get(index.job(each).target_id) for each in day.ends)
    seen = (None if each is None else each.first_ok_at for each in targets)
    return all(at is not None and at < day.deadline for at in seen)


def _is_own(match: IncidentMatch) -> bool:
    """True for an incident of nothing but lost service days, of which no job has turned red nor a rule found one."""
    is_told = match.incident is not None and match.incident.rule == UNMET_PROMISE
    return is_told and not match.group.red and match.group.finding is None


def _unexplained(
    index: EstateIndex, others: Sequence[IncidentMatch], lost: Sequence[ServiceForecast]
) -> Iterator[ServiceDayKey]:
    """Those of these that none of these cases hurts, and none has hurt so lately that it is no news."""
    hurt = {name for match in others for name in affected_days(index, match, lost)}
    ended = [
        IncidentMatch(one, RootCause(one.business_date, one.failed_since, None, None)) for one in index.estate.closed
    ]
    told = [(match, before.services) for match in [*others, *ended] if (before := last_notification_of(match))]
    for day in lost:
        name = (day.service.name, day.business_date)
        if name in hurt:
            continue
        if not any(_is_known(index, day, match) for match, services in told if name in services):
            yield name


def _is_known(index: EstateIndex, day: ServiceForecast, match: IncidentMatch) -> bool:
    """Who was told of it knows that it may be late, while that goes on. Once that is over it is news that it is lost:
    at once where it was expected in time since, else after a while. A forecast that comes and goes is told once."""
    over = _closed_at(index, match)
    if over is None:
        return True
    if index.now > day.deadline:
        return _is_soon(index, day, over)
    if match.incident is not None and match.incident.rule == UNMET_PROMISE:
        return True
    stood = index.estate.stood.get((day.service.name, day.business_date))
    return index.now < over + PATIENCE and stood is not None and stood.timeliness in _LOST


def _is_soon(index: EstateIndex, day: ServiceForecast, over: datetime) -> bool:
    """True while what was told past the deadline is over so lately, or the day goes on since, that nothing is lost: a
    job runs, or its start is ahead."""
    if over < day.deadline:
        return False
    return index.now < over + PATIENCE or _goes_on(index, day)


def _goes_on(index: EstateIndex, day: ServiceForecast) -> bool:
    """Whether one of its jobs runs, or its start is ahead."""
    return any(node.how is NodeState.RUNNING or (node.due or index.now) > index.now for node in day.unfinished())


def _closed_at(index: EstateIndex, match: IncidentMatch) -> datetime | None:
    if match.incident is not None and match.incident.closed_at is not None:
        return match.incident.closed_at
    return index.now if match.close_reason else None


def _causes(
    index: EstateIndex, lost: Sequence[ServiceForecast], given_up: Mapping[ServiceDayKey, int]
) -> list[RootCause]:
    """One for each terminal and business date, whatever the number of services that it keeps from being delivered.
    `given_up`: the incident that told of the day until now, which goes on with that."""
    found: dict[Place, RootCause] = {}
    for day in sorted(lost, key=lambda day: (day.deadline, day.service.name, day.business_date)):
        since = min(day.deadline, index.now)
        group = found.setdefault(
            _end_of(day),
            RootCause(
                day.business_date, since, _root(day, since), None, words=_words(index, day), lost_by=_lost_by(day)
            ),
        )
        group.awaits = (*group.awaits, (day.service.name, day.business_date))
        told_by = given_up.get((day.service.name, day.business_date))
        group.explains += (told_by,) if told_by is not None else ()
    return list(found.values())


def _root(day: ServiceForecast, since: datetime) -> RunFacts:
    node = day.nodes.get(day.ends[0])
    run = node.run if node is not None else None
    return (
        run
        if run is not None and run.business_date == day.business_date
        else placeholder_run(day.ends[0], "", day.business_date, since)
    )


def _words(index: EstateIndex, day: ServiceForecast) -> str:
    """ "supply-plan was not delivered by 06:30 CET because of hosts/extract, and nothing failed; it waits for
    warehouse/load_orders"."""
    by = zoned_time(day.deadline, day.service.zone, index.now)
    is_late = day.finish is not None and day.finish.p50 > day.deadline
    ahead = f"{'is expected' if is_late else 'may be delivered'} after its deadline {by}"
    stands = f"was not delivered by {by}" if index.now > day.deadline else ahead
    waits = next((clean_line(index.job(node.job_id).name) for node in day.unfinished()), "")
    lost_by = _lost_by(day)
    loses = clean_line(index.job(lost_by).name) if lost_by is not None else ""
    stands += f" because of {loses}" if loses else ""
    awaits = f"; it waits for {waits}" if waits not in ("", loses) else ""
    return f"{day.service.name} {stands}, and nothing failed{awaits}"


def _lost_by(day: ServiceForecast) -> int | None:
    """The job that `headway why` tells first."""
    return day.odds.lost_by if day.odds is not None else None


def _say_why_over(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> None:
    """What ends such an incident is its service days, not its root's run."""
    before = last_notification_of(match)
    if not _is_own(match) or before is None or match.group.rule:
        return
    mine = [service_verdict(index, day, ()) for day in days if (day.service.name, day.business_date) in before.services]
    match.recovered = bool(mine) and all(one.timeliness is not Timeliness.NO_ESTIMATE for one in mine)
    match.close_reason = "; ".join(f"{one.service}: {one.reason}" for one in mine) or "out of view: it is too long ago"


def _end_of(day: ServiceForecast) -> Place:
    return day.ends[0], day.business_date


def _place(incident: IncidentFacts) -> Place:
    return incident.root_job_id or 0, incident.business_date


def failed_check_causes(index: EstateIndex, days: Sequence[ServiceForecast]) -> list[RootCause]:
    """One cause for each check and business date that keeps service days from being delivered; oldest first. One that
    nobody looked at is a cause from the deadline on: before it, an engine that was down has yet to look."""
    found: dict[tuple[str, date], RootCause] = {}
    for day in days:
        for one in pending_checks(index, day):
            since = one.since or (day.deadline if index.now > day.deadline else None)
            if since is not None:
                group = found.setdefault(
                    (one.check, day.business_date),
                    RootCause(day.business_date, since, None, None, [], one.check, one.words),
                )
                group.since = min(group.since, since)
    return sorted(found.values(), key=lambda group: (group.since, group.check))
