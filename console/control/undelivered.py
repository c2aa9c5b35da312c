"""Promises that are not kept though nothing failed: people are told of causes alone, so such a service day is one.

A job that nobody starts is neither red nor missed where no clock starts it, and what takes too long may have no past
that says so. A service day that will be delivered after its deadline, is at risk by an alarm that keeps its budget of
false ones, or was not delivered by then, and that no other incident tells, is told as a cause whose root is its
terminal. It goes on until the day is delivered, or surely will be in time; or until something fails that explains it:
then the incident goes on with that as its root. An incident that made a day late goes on until that is delivered, its
cause mended or not: who was told that it is late is told by it that it is there. Where nobody goes on with what is left
of the day, that is its cause from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from console.clean import clean_line
from console.control.cases import Case, cases, hurt_runs
from console.control.causes import Group
from console.control.expected import has_started
from console.control.fingerprint import Day, told_before
from console.control.forecast import Finish, Forecast
from console.control.hits import hits
from console.control.nodes import How
from console.control.picture import Picture
from console.control.risk import alarm_of
from console.control.rules.look import no_run
from console.control.services import verdict
from console.control.words import moment
from console.model.values import IncidentFacts, RunFacts
from console.model.words import UNDELIVERED, Timeliness

NEWS = timedelta(hours=24)
"""How long after its deadline a service day is still told as something new."""
PATIENCE = timedelta(minutes=15)
"""How long after a cause is over the next job of a day that is late may be awaited."""
_LOST = (Timeliness.WILL_MISS, Timeliness.BREACHED)
Place = tuple[int, date]


def with_undelivered(picture: Picture, groups: Sequence[Group], days: Sequence[Forecast]) -> list[Case]:
    """The cases of these groups and of the service days that are lost without any of them. What was told as lost
    without a cause and has one by now goes on with that."""
    found = cases(picture, groups)
    told = {_place(one): one.id for one in picture.estate.incidents if one.rule == UNDELIVERED}
    lost = [day for day in days if day.ends and _is_lost(picture, day, _end_of(day) in told)]
    if lost:
        others = [case for case in found if not _is_own(case)]
        broken = {(run.job_id, run.bd) for case in others if not case.close_reason for run in case.broken()}
        lost = [day for day in lost if _end_of(day) not in broken]
        explained = _explain(picture, [case for case in others if any(case.group is one for one in groups)], lost, told)
        lost = [day for day in lost if _end_of(day) not in explained]
        awaited, given_up = _made_late(picture, others, lost)
        lost = [day for day in lost if not any(day in each for each in awaited.values())]
        alone = {*_unexplained(picture, others, lost), *given_up}
        lost = [day for day in lost if _end_of(day) in told or (day.service.name, day.bd) in alone]
        found = cases(picture, [*groups, *_causes(picture, lost, given_up)])
        for case in found:
            _go_on(picture, case, awaited)
    for case in found:
        _say_why_over(picture, case, days)
    return found


def _made_late(
    picture: Picture, others: Sequence[Case], lost: Sequence[Forecast]
) -> tuple[dict[int, list[Forecast]], dict[Day, int]]:
    """Of days past their deadline that no open cause hurts, by the incident that told of them and is over now: those
    on which work goes on, or may be awaited; and the incident of each other one."""
    awaited: dict[int, list[Forecast]] = {}
    given_up: dict[Day, int] = {}
    late = [day for day in lost if picture.now > day.deadline]
    hurt = {name for case in others if late for name in hits(picture, case, late)}
    for case in others if late else ():
        before = told_before(case)
        if case.incident is None or before is None or not case.close_reason:
            continue
        if not picture.estate.telling.told.get(case.incident.id):
            continue  # nobody waits for a word of it
        for day in late:
            name = (day.service.name, day.bd)
            if name not in before.services or name in hurt:
                continue
            hurt.add(name)
            over = _mended_at(picture, case)
            if _goes_on(picture, day) or (over is not None and picture.now < over + PATIENCE):
                awaited.setdefault(case.incident.id, []).append(day)
            else:
                given_up[name] = case.incident.id
    return awaited, given_up


def _mended_at(picture: Picture, case: Case) -> datetime | None:
    """The last end of all that it had broken; None where nothing says when."""
    runs = [*case.group.roots(), *(hurt_runs(picture, case.incident) if case.incident is not None else [])]
    return max((run.ended_at for run in runs if run.ended_at is not None), default=None)


def _go_on(picture: Picture, case: Case, awaited: Mapping[int, Sequence[Forecast]]) -> None:
    """Its cause is over, and the service days that it made late are not delivered."""
    days = awaited.get(case.incident.id, ()) if case.incident is not None and case.close_reason else ()
    if days:
        case.awaits = tuple((day.service.name, day.bd) for day in days)
        late = "; ".join(_stands(picture, day) for day in days)
        case.awaits_words = f"{case.close_reason}; {late}"
        case.close_reason, case.recovered = "", False


def _stands(picture: Picture, day: Forecast) -> str:
    """ "supply-plan was not delivered by 06:30 CET and waits for warehouse/load_orders"."""
    waits = next((clean_line(picture.job(node.job_id).name) for node in day.unfinished()), "")
    late = f"{day.service.name} was not delivered by {moment(day.deadline, day.service.zone, picture.now)}"
    return f"{late} and waits for {waits}" if waits else late


def _explain(
    picture: Picture, causes: Sequence[Case], lost: Sequence[Forecast], told: Mapping[Place, int]
) -> frozenset[Place]:
    """The terminals that were told as lost without a cause, and all of whose lost days one of these hurts: the first
    that does tells them from now on."""
    ends: dict[Place, list[Forecast]] = {}
    for day in lost:
        if _end_of(day) in told:
            ends.setdefault(_end_of(day), []).append(day)
    found = set[Place]()
    for case in causes if ends else ():
        for end in [each for each in ends if each not in found]:
            if len(hits(picture, case, ends[end])) == len(ends[end]):
                case.group.explains = (*case.group.explains, told[end])
                found.add(end)
    return frozenset(found)


def _is_lost(picture: Picture, day: Forecast, is_told: bool) -> bool:
    """By its own forecast. What is told already goes on while it may still be late, so that it does not end and begin
    in turns."""
    if day.deadline >= picture.now and (day.finish is None or _is_calm(day, day.finish)):
        return False
    if day.deadline >= picture.now and not _has_begun(picture, day):
        return False
    if not is_told and not _was_watched(picture, day):
        return False
    said = verdict(picture, day, ())
    if said.awaits or said.delivered_at is not None:
        return False  # its checks are causes themselves
    if is_told:
        return said.timeliness is not Timeliness.NO_ESTIMATE
    if said.timeliness is Timeliness.AT_RISK:
        return _keeps_its_budget(picture, day)
    return said.timeliness in _LOST and picture.now - day.deadline < NEWS


def _is_calm(day: Forecast, finish: Finish) -> bool:
    """Whether it is hardly late, without a look at all that is known of it."""
    return finish.p90 <= day.deadline and (day.odds is None or day.odds.late < day.service.risk)


def _keeps_its_budget(picture: Picture, day: Forecast) -> bool:
    """Whether the alarm of its service is a false one as rarely as it may be: before its past says so, whoever is at
    risk is shown and not called for."""
    promise = day.service.promise
    peaks = picture.estate.peaks.get(day.service.name, ())
    return day.odds is not None and alarm_of(day.service.risk, promise.false_alarm_days, peaks).is_learned


def _has_begun(picture: Picture, day: Forecast) -> bool:
    """True once a job of it has started, or should have: before that its forecast judges the schedule alone."""
    own = (node.run for node in day.nodes.values() if node.run is not None and node.run.bd == day.bd)
    due = (node.due for node in day.nodes.values() if node.due is not None)
    return any(map(has_started, own)) or any(at <= picture.now for at in due)


def _was_watched(picture: Picture, day: Forecast) -> bool:
    """True where all its terminals were in sight before the deadline: of what was before nobody knows enough."""
    targets = (picture.estate.targets.get(picture.job(each).target_id) for each in day.ends)
    seen = (None if each is None else each.first_ok_at for each in targets)
    return all(at is not None and at < day.deadline for at in seen)


def _is_own(case: Case) -> bool:
    """True for an incident of nothing but lost service days, of which no job has turned red nor a rule found one."""
    is_told = case.incident is not None and case.incident.rule == UNDELIVERED
    return is_told and not case.group.red and case.group.finding is None


def _unexplained(picture: Picture, others: Sequence[Case], lost: Sequence[Forecast]) -> Iterator[Day]:
    """Those of these that none of these cases hurts, and none has hurt so lately that it is no news."""
    hurt = {name for case in others for name in hits(picture, case, lost)}
    ended = [Case(one, Group(one.bd, one.failed_since, None, None)) for one in picture.estate.closed]
    told = [(case, before.services) for case in [*others, *ended] if (before := told_before(case))]
    for day in lost:
        name = (day.service.name, day.bd)
        if name in hurt:
            continue
        if not any(_is_known(picture, day, case) for case, services in told if name in services):
            yield name


def _is_known(picture: Picture, day: Forecast, case: Case) -> bool:
    """Who was told of it knows that it may be late, while that goes on. Once that is over it is news that it is lost:
    at once where it was expected in time since, else after a while. A forecast that comes and goes is told once."""
    over = _closed_at(picture, case)
    if over is None:
        return True
    if picture.now > day.deadline:
        return _is_soon(picture, day, over)
    if case.incident is not None and case.incident.rule == UNDELIVERED:
        return True
    stood = picture.estate.stood.get((day.service.name, day.bd))
    return picture.now < over + PATIENCE and stood is not None and stood.timeliness in _LOST


def _is_soon(picture: Picture, day: Forecast, over: datetime) -> bool:
    """True while what was told past the deadline is over so lately, or the day goes on since, that nothing is lost: a
    job runs, or its start is ahead."""
    if over < day.deadline:
        return False
    return picture.now < over + PATIENCE or _goes_on(picture, day)


def _goes_on(picture: Picture, day: Forecast) -> bool:
    """Whether one of its jobs runs, or its start is ahead."""
    return any(node.how is How.RUNNING or (node.due or picture.now) > picture.now for node in day.unfinished())


def _closed_at(picture: Picture, case: Case) -> datetime | None:
    if case.incident is not None and case.incident.closed_at is not None:
        return case.incident.closed_at
    return picture.now if case.close_reason else None


def _causes(picture: Picture, lost: Sequence[Forecast], given_up: Mapping[Day, int]) -> list[Group]:
    """One for each terminal and business date, whatever the number of services that it keeps from being delivered.
    `given_up`: the incident that told of the day until now, which goes on with that."""
    found: dict[Place, Group] = {}
    for day in sorted(lost, key=lambda day: (day.deadline, day.service.name, day.bd)):
        since = min(day.deadline, picture.now)
        group = found.setdefault(
            _end_of(day),
            Group(day.bd, since, _root(day, since), None, words=_words(picture, day), lost_by=_lost_by(day)),
        )
        group.awaits = (*group.awaits, (day.service.name, day.bd))
        told_by = given_up.get((day.service.name, day.bd))
        group.explains += (told_by,) if told_by is not None else ()
    return list(found.values())


def _root(day: Forecast, since: datetime) -> RunFacts:
    node = day.nodes.get(day.ends[0])
    run = node.run if node is not None else None
    return run if run is not None and run.bd == day.bd else no_run(day.ends[0], "", day.bd, since)


def _words(picture: Picture, day: Forecast) -> str:
    """ "supply-plan was not delivered by 06:30 CET because of hosts/extract, and nothing failed; it waits for
    warehouse/load_orders"."""
    by = moment(day.deadline, day.service.zone, picture.now)
    is_late = day.finish is not None and day.finish.p50 > day.deadline
    ahead = f"{'is expected' if is_late else 'may be delivered'} after its deadline {by}"
    stands = f"was not delivered by {by}" if picture.now > day.deadline else ahead
    waits = next((clean_line(picture.job(node.job_id).name) for node in day.unfinished()), "")
    lost_by = _lost_by(day)
    loses = clean_line(picture.job(lost_by).name) if lost_by is not None else ""
    stands += f" because of {loses}" if loses else ""
    awaits = f"; it waits for {waits}" if waits not in ("", loses) else ""
    return f"{day.service.name} {stands}, and nothing failed{awaits}"


def _lost_by(day: Forecast) -> int | None:
    """The job that `headway why` tells first."""
    return day.odds.lost_by if day.odds is not None else None


def _say_why_over(picture: Picture, case: Case, days: Sequence[Forecast]) -> None:
    """What ends such an incident is its service days, not its root's run."""
    before = told_before(case)
    if not _is_own(case) or before is None or case.group.rule:
        return
    mine = [verdict(picture, day, ()) for day in days if (day.service.name, day.bd) in before.services]
    case.recovered = bool(mine) and all(one.timeliness is not Timeliness.NO_ESTIMATE for one in mine)
    case.close_reason = "; ".join(f"{one.service}: {one.reason}" for one in mine) or "out of view: it is too long ago"


def _end_of(day: Forecast) -> Place:
    return day.ends[0], day.bd


def _place(incident: IncidentFacts) -> Place:
    return incident.root_job_id or 0, incident.bd
