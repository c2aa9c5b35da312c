"""Unmet promises without a failure: lost service days as causes of their own.

A service day that will be delivered after its deadline, is at risk, or was not delivered by then, and that no other
incident covers, is a cause whose root is its terminal. It continues until the day is delivered, or certainly will be in
time; or until a failure explains it: then the incident continues with that as its root. An incident that made a day
late continues until that day is delivered, its cause repaired or not, so that the routes notified of the delay are
notified of the delivery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from console.control.detection.rule_input import placeholder_run
from console.control.incidents.causes import Cause, FailedRun, LostDay
from console.control.incidents.causes.cause import Ended, ServiceDayKey
from console.control.incidents.causes.lost_day import day_title
from console.control.incidents.correlation import IncidentMatch, match_incidents
from console.control.incidents.impact import affected_days
from console.control.incidents.run_effects import affected_runs
from console.control.services.status import offered_start, service_verdict
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import has_started
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import IncidentFacts, TargetFacts
from console.domain.promise import RISK
from console.domain.reason import DaysSettled, DeclareDuration, OutOfView
from console.domain.service import ENDANGERED, LOST, UNMET_PROMISE, Timeliness
from console.domain.text import Text, joined
from console.forecast.finish_times import NodeState, ServiceForecast

NEWS = timedelta(hours=24)
"""How long after its deadline a service day is still news."""
PATIENCE = timedelta(minutes=15)
"""How long after its cause is resolved the next job of a late day is awaited."""
Place = tuple[int, date]


def with_unmet_promises(
    index: EstateIndex, causes: Sequence[Cause], days: Sequence[ServiceForecast]
) -> list[IncidentMatch]:
    """Matches of these causes and of the service days lost without any of them. An incident about a lost day whose
    cause is found since continues with that."""
    matches = match_incidents(index, causes)
    notified = {
        (incident.cause.job_id or 0, incident.cause.business_date): incident.id
        for incident in index.estate.incidents
        if incident.cause.rule == UNMET_PROMISE
    }
    lost = [day for day in days if day.ends and _is_lost(index, day, _end_of(day) in notified)]
    if lost:
        other_matches = [match for match in matches if not _is_own(match)]
        still_broken = (run for match in other_matches if not match.ended for run in match.broken())
        broken = {(run.job_id, run.business_date) for run in still_broken}
        lost = [day for day in lost if _end_of(day) not in broken]
        explained = _explain(index, [match for match in other_matches if match.place is not None], lost, notified)
        lost = [day for day in lost if notified.get(_end_of(day)) not in explained]
        awaited, abandoned = _made_late(index, other_matches, lost)
        lost = [day for day in lost if not any(day in days_awaited for days_awaited in awaited.values())]
        alone = {*_unexplained(index, other_matches, lost), *abandoned}
        lost = [day for day in lost if _end_of(day) in notified or day.key in alone]
        own = _causes(index, lost)
        for place, cause in enumerate(own, len(causes)):
            for key in cause.days:
                if key in abandoned:
                    explained.setdefault(abandoned[key], place)
        matches = match_incidents(index, [*causes, *own], explained)
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
        before = match.before
        if match.incident is None or before is None or not match.ended:
            continue
        if not index.estate.notifications.notified.get(match.incident.id):
            continue  # it was never notified
        for day in late:
            if day.key not in before.notified.day_keys or day.key in affected:
                continue
            affected.add(day.key)
            runs = [*match.cause.roots(), *affected_runs(index, match.incident)]
            ended_at = max((run.ended_at for run in runs if run.ended_at is not None), default=None)
            if _goes_on(index, day) or (ended_at is not None and index.now < ended_at + PATIENCE):
                awaited.setdefault(match.incident.id, []).append(day)
            else:
                abandoned[day.key] = match.incident.id
    return awaited, abandoned


def _go_on(index: EstateIndex, match: IncidentMatch, awaited: Mapping[int, Sequence[ServiceForecast]]) -> None:
    """Keeps it open, with its error: its cause is resolved, and service days that it made late are not delivered."""
    days_awaited = awaited.get(match.incident.id, ()) if match.incident is not None and match.ended else ()
    if days_awaited:
        match.awaits = tuple(day.key for day in days_awaited)
        match.ended = None


def _explain(
    index: EstateIndex, causes: Sequence[IncidentMatch], lost: Sequence[ServiceForecast], notified: Mapping[Place, int]
) -> dict[int, int]:
    """Incidents about terminals notified as lost without a cause, all of whose lost days one of these affects: the
    position of the first that does, which continues them."""
    ends: dict[Place, list[ServiceForecast]] = {}
    for day in lost:
        if _end_of(day) in notified:
            ends.setdefault(_end_of(day), []).append(day)
    explained = dict[int, int]()
    for match in causes if ends else ():
        for end in [terminal for terminal in ends if notified[terminal] not in explained]:
            if match.place is not None and len(affected_days(index, match, ends[end])) == len(ends[end]):
                explained[notified[end]] = match.place
    return explained


def _is_lost(index: EstateIndex, day: ServiceForecast, is_notified: bool) -> bool:
    """True by its own forecast. A notified one stays lost while it may be late, so that it does not end and begin in
    turns."""
    if day.deadline >= index.now:
        is_calm = day.odds is None or day.odds.late < RISK
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
    return verdict.timeliness in ENDANGERED and index.now - day.deadline < NEWS


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
    is_notified = match.incident is not None and match.incident.cause.rule == UNMET_PROMISE
    return is_notified and not match.cause.red and isinstance(match.cause, FailedRun | LostDay)


def _unexplained(
    index: EstateIndex, matches: Sequence[IncidentMatch], lost: Sequence[ServiceForecast]
) -> Iterator[ServiceDayKey]:
    """Days that none of these matches affects, or affected so lately that it is not news."""
    affected = {name for match in matches for name in affected_days(index, match, lost)}
    notified = [
        (known, known.closed_at or (index.now if match.ended else None))
        for match in matches
        if (known := match.incident) is not None
    ]
    notified += [(known, known.closed_at) for known in index.estate.closed]
    for day in lost:
        related = (pair for pair in notified if day.key in pair[0].fingerprint.notified.day_keys)
        if day.key not in affected and not any(_is_known(index, day, *pair) for pair in related):
            yield day.key


def _is_known(index: EstateIndex, day: ServiceForecast, incident: IncidentFacts, closed_at: datetime | None) -> bool:
    """True while the notified incident continues. After it closed the loss is news: at once if it was expected in
    time since, else after `PATIENCE`. A forecast that comes and goes is notified once."""
    if closed_at is None:
        return True
    if index.now > day.deadline:
        if closed_at < day.deadline:
            return False
        return index.now < closed_at + PATIENCE or _goes_on(index, day)
    if incident.cause.rule == UNMET_PROMISE:
        return True
    last_verdict = index.estate.last_verdicts.get(day.key)
    return index.now < closed_at + PATIENCE and last_verdict is not None and last_verdict.timeliness in LOST


def _goes_on(index: EstateIndex, day: ServiceForecast) -> bool:
    return any(node.how is NodeState.RUNNING or (node.due or index.now) > index.now for node in day.unfinished())


def _causes(index: EstateIndex, lost: Sequence[ServiceForecast]) -> list[LostDay]:
    """One cause for each terminal and business date, whatever the number of services."""
    causes: dict[Place, LostDay] = {}
    for day in sorted(lost, key=lambda day: (day.deadline, day.service.name, day.business_date)):
        if (known := causes.get(_end_of(day))) is not None:
            causes[_end_of(day)] = replace(known, days=(*known.days, day.key))
            continue
        since = min(day.deadline, index.now)
        node = day.nodes.get(day.ends[0])
        run = node.run if node is not None else None
        if run is None or run.business_date != day.business_date:
            run = placeholder_run(day.ends[0], "", day.business_date, since)
        causes[_end_of(day)] = LostDay.of_day(index, day, run, since)
    return list(causes.values())


def _close_with_days(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> None:
    """Ends it: such an incident ends with its service days, not with its root's run."""
    before = match.before
    if not _is_own(match) or before is None or match.cause.rule:
        return
    verdicts = [(day, service_verdict(index, day, ())) for day in days if day.key in before.notified.day_keys]
    is_unknown = any(verdict.timeliness is Timeliness.NO_ESTIMATE for _, verdict in verdicts)
    settled = joined(((f"{day_title(day)}: ", *_settled(verdict)) for day, verdict in verdicts), "; ")
    reason = DaysSettled(settled) if settled else OutOfView()
    match.ended = Ended(reason, is_recovered=bool(verdicts) and not is_unknown)


def _settled(verdict: ServiceDayVerdict) -> Text:
    """The reasons of the verdict, without the advice to declare a duration."""
    return joined((reason.text for reason in verdict.reasons if not isinstance(reason, DeclareDuration)), "; ")


def _end_of(day: ServiceForecast) -> Place:
    return day.ends[0], day.business_date
