"""How each service stands on each business date: delivered, on time, at risk, lost; and why, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from connectors.contract import State
from console.clean import clean_line
from console.control.data_state import handed_over, partial_words, state_of
from console.control.deadlines import agreed_at
from console.control.delivery import delivered_at, waits_for
from console.control.end_to_end import Claims, seen_by
from console.control.estimate import ENOUGH_RUNS
from console.control.forecast import Forecast, How, forecast, has_day
from console.control.forecast.odds import Odds
from console.control.kept_too_long import kept_too_long
from console.control.picture import Picture
from console.control.readiness import Waiting
from console.control.recovery import Budget
from console.control.risk import alarm_of, has_passed, judged
from console.control.service_dates import dates_judged
from console.control.words import moment
from console.model.chance import late_words
from console.model.decisions import ServiceDayVerdict
from console.model.promises import Instance
from console.model.values import ServiceFacts
from console.model.words import Timeliness

SAID = 0.05
"""From here on a reason says how likely it is late."""
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Threat:
    """What endangers one service day: an incident's cause and the tightest of its clocks for this service."""

    key: str
    cause: str
    """Name of the job or target, cleaned."""
    budget: Budget | None
    waits_for_restart: bool
    """False while all that is broken is running again: then its forecast counts, and there is no act-by any more."""

    @property
    def act_by(self) -> datetime | None:
        return self.budget.act_by if self.budget is not None and self.waits_for_restart else None


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
    timeliness, reason = _timeliness(picture, day, done, worst)
    awaits = waits_for(picture, day)
    given = handed_over(picture, day) if done is None else ""
    has_forecast = done is None and not awaits and day.deadline > picture.now - _DAY  # nothing forecasts a check
    ahead, odds = (day.finish, day.odds) if has_forecast else (None, None)
    return ServiceDayVerdict(
        service=day.service.name,
        bd=day.bd,
        deadline=day.deadline,
        timeliness=timeliness,
        data_state=state_of(picture, day, done, any(one.since is not None for one in awaits)),
        delivered_at=done,
        expected_at=_up(ahead.p50) if ahead else None,
        late_at=_up(ahead.p90) if ahead else None,
        p95_at=_up(ahead.p95) if ahead else None,
        p80_at=_up(odds.p80) if odds else None,
        p_late=round(odds.late, 2) if odds else None,
        p_own=round(odds.own, 3) if odds else None,
        critical=tuple(round(odds.critical.get(each, 0.0), 2) for each in day.path) if odds else (),
        nights=odds.nights if odds else 0,
        act_by=_down(worst.act_by) if worst else None,
        green_by=_down(budget.green_by) if budget else None,
        cause=worst.cause if worst else "",
        incident_key=worst.key if worst else None,
        sources=tuple(picture.estimate(each) for each in day.path),
        path=day.path,
        reason="; ".join(filter(None, [given, reason])) + _extended(day) + _by_order(day),
        promised=day.promised,
        agreed=agreed_at(day.service, day.bd, day.promised or day.deadline),
        extension=day.extended.words if day.extended else "",
        instance=_instance_of(day.service),
        submission=day.service.instance.submission[1] if day.service.instance else "",
        given=given,
        awaits=tuple(one.check for one in awaits),
        runs=_runs_read(day) if day.seen is not None else (),
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


def _timeliness(
    picture: Picture, day: Forecast, done: datetime | None, threat: Threat | None
) -> tuple[Timeliness, str]:
    zone = day.service.zone
    if done is not None:
        late = done > day.deadline
        partial = partial_words(picture, day)
        at, how = moment(done, zone, day.deadline), f", partial: {partial}" if partial else ""
        words = f"delivered {at}{_late_words(late)}{how}"
        return (Timeliness.MET_LATE if late else Timeliness.MET), words
    if checks := waits_for(picture, day):
        return _unready(picture, day, checks)
    unproved = _unproved(picture, day)
    if unproved:
        return Timeliness.NO_ESTIMATE, unproved
    if picture.now > day.deadline:
        return Timeliness.BREACHED, f"not delivered by {moment(day.deadline, zone, picture.now)}{_because(threat)}"
    if kept := kept_too_long(picture, day):
        return Timeliness.WILL_MISS, kept
    if threat is not None and threat.waits_for_restart:
        return _threatened(picture, day, threat)
    if day.finish is None:  # what is broken is no calmer for it that nobody can tell how long its repair takes
        return (Timeliness.AT_RISK if threat else Timeliness.NO_ESTIMATE), f"{_missing(picture, day)}{_because(threat)}"
    expected = f"expected {moment(_up(day.finish.p50), zone, picture.now)}"
    if day.finish.p50 > day.deadline:
        expected += ", after its deadline"
    if day.odds is None:
        stands = Timeliness.WILL_MISS if day.finish.p50 > day.deadline else Timeliness.ON_TIME
    else:
        was = picture.estate.stood.get((day.service.name, day.bd))
        stands = judged(day.odds.late, alarm_of(picture.estate, day.service), was)
        told = day.odds.late >= SAID or stands is not Timeliness.ON_TIME
        expected = f"{late_words(day.odds.late)}: {expected}{_why(day.odds)}" if told else expected
    if threat is not None and stands is Timeliness.ON_TIME:
        stands = Timeliness.AT_RISK
    return stands, f"{expected}{_because(threat)}"


def _why(odds: Odds) -> str:
    return f"; {odds.why}" if odds.why else ""


def _threatened(picture: Picture, day: Forecast, threat: Threat) -> tuple[Timeliness, str]:
    budget, zone = threat.budget, day.service.zone
    if budget is None or budget.act_by is None or budget.green_by is None:
        return Timeliness.AT_RISK, _without_figures(picture, day, threat)
    after = f"; {budget.reason}" if budget.reason else ""
    act_by, green_by = (moment(at, zone, picture.now) for at in (budget.act_by, budget.green_by))
    was = picture.estate.stood.get((day.service.name, day.bd))
    if has_passed(budget.act_by, picture.now, was if day.odds is not None else None):
        return Timeliness.WILL_MISS, f"{threat.cause}: its act-by {act_by} has passed{after}"
    job = _name(picture, budget.job_id)
    what = "restart" if job == threat.cause else f"restart {job}"
    return Timeliness.AT_RISK, f"{threat.cause}: {what} by {act_by}, green by {green_by}{after}"


def _without_figures(picture: Picture, day: Forecast, threat: Threat) -> str:
    """That somebody must act, and why nobody can say by when."""
    job = _name(picture, threat.budget.job_id) if threat.budget is not None else ""
    what = "restart it now" if job == threat.cause else f"restart {job} now" if job else "a person must act now"
    why = _missing(picture, day).removeprefix("no estimate: ").replace(f"{threat.cause} ", "it ", 1)
    return f"{threat.cause}: {what}; no act-by can be told: {why}"


def _runs_read(day: Forecast) -> tuple[int, ...]:
    nodes = (day.nodes.get(each) for each in day.path)
    return tuple(node.run.id if node is not None and node.run is not None else 0 for node in nodes)


def _instance_of(service: ServiceFacts) -> str:
    """What follows the service's own name."""
    return service.name.partition(" #")[2] if service.instance is not None else ""


def _by_order(day: Forecast) -> str:
    return f"; without a key, told apart by their order: {', '.join(day.by_order)}" if day.by_order else ""


def _extended(day: Forecast) -> str:
    if day.extended is None or day.promised is None:
        return ""
    zone = day.service.zone
    deadline, promised = moment(day.deadline, zone, day.promised), moment(day.promised, zone)
    return f"; deadline {deadline}, extended from {promised} {day.extended.words}"


def _unready(picture: Picture, day: Forecast, checks: Sequence[Waiting]) -> tuple[Timeliness, str]:
    """Its jobs are done, and checks are not proved yet: at risk as soon as one was looked at."""
    words, zone = "; ".join(one.words for one in checks), day.service.zone
    if picture.now > day.deadline:
        return Timeliness.BREACHED, f"not delivered by {moment(day.deadline, zone, picture.now)}; {words}"
    failing = any(one.since is not None for one in checks)
    return (Timeliness.AT_RISK if failing else Timeliness.ON_TIME), f"its jobs are done; {words}"


def _unproved(picture: Picture, day: Forecast) -> str:
    """Why nobody can say whether it was delivered: a terminal has ended and its source cannot prove how."""
    for each in day.ends:
        node = day.nodes.get(each)
        if node is not None and node.how is How.OVER and node.run is not None and node.run.state is State.UNKNOWN:
            return f"{_name(picture, each)} has run; its source does not prove how it ended"
    return ""


def _missing(picture: Picture, day: Forecast) -> str:
    """The first job on the way for which there is no figure, and why."""
    for node in day.unfinished():
        known = picture.estimate(node.job_id)
        if node.how is How.UNKNOWN:
            held = node.run is not None and node.run.state is State.HELD
            return f"no estimate: {_name(picture, node.job_id)} " + (
                f"is held ({node.run.reason})"
                if held and node.run
                else "starts neither by the clock nor after another job"
            )
        if known.source == "none":
            name, ran = _name(picture, node.job_id), f"{known.runs} of {ENOUGH_RUNS} runs"
            return f'no estimate: {name} has {ran}; say how long it takes: expected = "…" in [jobs."{name}"]'
    return "no estimate"


def _because(threat: Threat | None) -> str:
    return f"; {threat.cause}" if threat else ""


def _late_words(late: bool) -> str:
    return ", after its deadline" if late else ""


def _name(picture: Picture, job_id: int) -> str:
    return clean_line(picture.job(job_id).name)


def _up(at: datetime) -> datetime:
    """To the full minute: what is counted from now on must not change with every look."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + _MINUTE


def _down(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at is not None else None
