"""How each service stands on each business date: its deadline, its forecast, and what endangers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from console.control.data_state import handed_over, state_of
from console.control.deadlines import agreed_at
from console.control.delivery import delivered_at, waits_for
from console.control.end_to_end import Claims, seen_by
from console.control.forecast import Forecast, How, forecast, has_day
from console.control.moments import up
from console.control.picture import Picture
from console.control.scoring import distrust_of
from console.control.service_dates import dates_judged
from console.control.service_standing import Threat, timeliness_of
from console.control.words import moment
from console.model.decisions import ServiceDayVerdict
from console.model.promises import Instance
from console.model.values import ServiceFacts
from console.model.words import Timeliness

_DAY = timedelta(days=1)


def service_days(picture: Picture) -> list[Forecast]:
    """One forecast for each service and business date whose deadline lies between the lookback and the horizon."""
    found: list[Forecast] = []
    claims = Claims()
    for service in picture.estate.services:
        members = tuple(picture.graph.members(each for each in service.terminals if each in picture.estate.jobs))
        if service.instance is not None:
            found.append(_of_instance(picture, service, service.instance, members, claims))
            continue
        dates = [bd for bd in dates_judged(picture, service, members) if has_day(picture, service, members, bd)]
        found += [forecast(picture, service, members, bd) for bd in dates]
    return found


def _of_instance(
    picture: Picture, service: ServiceFacts, one: Instance, members: Sequence[int], claims: Claims
) -> Forecast:
    seen = seen_by(picture, service, members, claims)
    day = forecast(seen.picture, service, (*members, one.submission[0]), one.bd)
    return replace(day, seen=seen.picture, by_order=seen.by_order)


def verdict(picture: Picture, day: Forecast, threats: Sequence[Threat]) -> ServiceDayVerdict:
    """The service day as judged now. The most urgent threat gives its clocks and its cause."""
    picture = day.seen or picture
    done = delivered_at(picture, day)
    worst = _most_urgent(threats) if done is None else None
    budget = worst.budget if worst is not None else None
    timeliness, reason = timeliness_of(picture, day, done, worst)
    awaits = waits_for(picture, day)
    given = handed_over(picture, day) if done is None else ""
    has_forecast = done is None and not awaits and day.deadline > picture.now - _DAY  # nothing forecasts a check
    found = ServiceDayVerdict(
        service=day.service.name,
        bd=day.bd,
        deadline=day.deadline,
        timeliness=timeliness,
        data_state=state_of(picture, day, done, any(one.since is not None for one in awaits)),
        delivered_at=done,
        expected_at=None,
        late_at=None,
        act_by=_down(worst.act_by) if worst else None,
        green_by=_down(budget.green_by) if budget else None,
        cause=worst.cause if worst else "",
        incident_key=worst.key if worst else None,
        sources=tuple(picture.estimate(each) for each in day.path),
        path=day.path,
        reason="; ".join(filter(None, [given, reason])) + _extended(day) + _by_order(day) + _summed(day),
        promised=day.promised,
        agreed=agreed_at(day.service, day.bd, day.promised or day.deadline),
        extension=day.extended.words if day.extended else "",
        instance=_instance_of(day.service),
        submission=day.service.instance.submission[1] if day.service.instance else "",
        given=given,
        awaits=tuple(one.check for one in awaits),
        runs=_runs_read(day) if day.seen is not None else (),
    )
    return _with_forecast(found, picture, day) if has_forecast else found


def _with_forecast(found: ServiceDayVerdict, picture: Picture, day: Forecast) -> ServiceDayVerdict:
    finish, odds = day.finish, day.odds
    if finish is not None:
        found = replace(found, expected_at=up(finish.p50), late_at=up(finish.p90), p95_at=up(finish.p95))
    if odds is None:
        return found
    return replace(
        found,
        p80_at=up(odds.p80),
        p_late=round(odds.late, 2),
        p_own=round(odds.own, 3),
        critical=tuple(round(odds.critical.get(each, 0.0), 2) for each in day.path),
        jobs=odds.jobs,
        distrust=distrust_of(picture.estate.tallies, day.service.name),
        nights=odds.nights,
    )


def run_timeliness(
    picture: Picture, days: Sequence[Forecast], verdicts: Mapping[tuple[str, date], ServiceDayVerdict]
) -> dict[int, Timeliness]:
    """Run id -> how it stands: a terminal as its service; another as the worst service that still waits for it."""
    found: dict[int, Timeliness] = {}
    for day in days:
        said = verdicts[day.service.name, day.bd].timeliness
        for node in day.nodes.values():
            if node.run is None or not node.run.id:
                continue
            waits = node.how not in (How.DONE, How.OVER)
            if node.job_id in day.ends or (waits and verdicts[day.service.name, day.bd].delivered_at is None):
                found[node.run.id] = max(found.get(node.run.id, said), said, key=_URGENCY.index)
    return found


_URGENCY = [
    Timeliness.MET,
    Timeliness.ON_TIME,
    Timeliness.NO_ESTIMATE,
    Timeliness.MET_LATE,
    Timeliness.AT_RISK,
    Timeliness.WILL_MISS,
    Timeliness.BREACHED,
]
"""From calm to urgent."""


def _most_urgent(threats: Sequence[Threat]) -> Threat | None:
    timed = [each for each in threats if each.budget is not None and each.budget.act_by is not None]
    return min(timed, key=_act_by) if timed else next(iter(threats), None)


def _act_by(threat: Threat) -> tuple[datetime | None, str]:
    return threat.budget.act_by if threat.budget else None, threat.key


def _runs_read(day: Forecast) -> tuple[int, ...]:
    nodes = (day.nodes.get(each) for each in day.path)
    return tuple(node.run.id if node is not None and node.run is not None else 0 for node in nodes)


def _instance_of(service: ServiceFacts) -> str:
    """What follows the service's own name."""
    return service.name.partition(" #")[2] if service.instance is not None else ""


def _by_order(day: Forecast) -> str:
    return f"; without a key, told apart by their order: {', '.join(day.by_order)}" if day.by_order else ""


def _summed(day: Forecast) -> str:
    return "; its simulation failed: this is a sum of usual times, see headway status" if day.is_unforeseen else ""


def _extended(day: Forecast) -> str:
    if day.extended is None or day.promised is None:
        return ""
    zone = day.service.zone
    deadline, promised = moment(day.deadline, zone, day.promised), moment(day.promised, zone)
    return f"; deadline {deadline}, extended from {promised} {day.extended.words}"


def _down(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at is not None else None
