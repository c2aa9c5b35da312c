"""An incident in business words: which promise is in danger, since when its owner's team knows, when the next word
comes. No log, and no technical names beyond the service and the team.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from operator import attrgetter

from console.clean import clean_line
from console.control.alerts.routes import services_of
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.alerts.text import Text
from console.control.fingerprint import Day
from console.control.sight import UNSEEN
from console.control.signatures import Blame, blame_of
from console.control.words import clock, moment
from console.model.alerting import TECHNICAL, ToldFacts
from console.model.checks import CheckState
from console.model.decisions import PLACEHOLDER, HurtServiceVerdict, ServiceDayVerdict
from console.model.forecasts import late_words
from console.model.promises import not_too_many, service_of
from console.model.values import ServiceFacts
from console.model.words import AlertKind, Timeliness

UNSEEN_FOR = timedelta(minutes=15)
"""How long a system that answers may be out of sight before the owners of services are told that they may be late."""
MATERIAL = timedelta(minutes=15)
"""An expectation that moves by less is no news; nor is one that is still in time."""
_ZERO, _MINUTE = timedelta(0), timedelta(minutes=1)
"""Expectations are told in full minutes."""
_FINE = (Timeliness.ON_TIME, Timeliness.MET, Timeliness.MET_LATE)
_STANDS = {
    Timeliness.AT_RISK: "may be late",
    Timeliness.NO_ESTIMATE: "may be late",
    Timeliness.WILL_MISS: "is likely late",
    Timeliness.BREACHED: "is late",
    Timeliness.ON_TIME: "is expected in time",
    Timeliness.MET: "was delivered in time",
    Timeliness.MET_LATE: "was delivered late",
}

_SHARED = {
    Blame.CREDENTIAL: "a login that several jobs use is refused",
    Blame.CONNECTION: "a database or server that several jobs use does not answer",
    Blame.HOST: "a server that several jobs use is not found on the network",
    Blame.DISK: "a disk that several jobs write to is full",
    Blame.MEMORY: "a server on which several jobs run has no memory left",
    Blame.TIMEOUT: "a database or server that several jobs use answers too late",
    Blame.TARGET: "nearly all jobs of one server fail, though it answers",
}


def is_worth_telling(scene: Scene, subject: Subject, route: str) -> bool:
    """Whether any of the route's services is in danger. That Headway cannot see a system that answers is for those who
    keep it, for a while: its jobs go on as far as anybody knows."""
    stands = {one.timeliness for one in hurt_by(scene, subject, route)}.difference(_FINE)
    target = subject.case.group.target
    if target is None or target.error_kind not in UNSEEN or target.failing_since is None:
        return bool(stands)
    is_late = bool(stands - {Timeliness.AT_RISK})
    return is_late or (bool(stands) and scene.now >= target.failing_since + UNSEEN_FOR)


def fingerprint(scene: Scene, subject: Subject, route: str) -> str:
    """What the route is told of each of its services: how it stands, and when it is expected."""
    rows = [[one.service, one.bd.isoformat(), one.timeliness.value, _iso(one.expected_at)]
            for one in hurt_by(scene, subject, route)]  # fmt: skip
    return json.dumps(sorted(rows), separators=(",", ":"))


def is_news(scene: Scene, subject: Subject, told: ToldFacts) -> bool:
    """Whether a service stands otherwise than told, or its expectation moved materially."""
    before = _read(told.fingerprint)
    for one in hurt_by(scene, subject, told.route):
        stood, expected = before.get((one.service, one.bd.isoformat()), ("", None))
        if stood != one.timeliness.value:
            return True
        moved = abs(one.expected_at - expected) if expected and one.expected_at else timedelta(0)
        if moved >= MATERIAL and one.expected_at and one.expected_at > one.deadline:
            return True
    return False


def is_late_as_told(scene: Scene, subject: Subject, told: ToldFacts) -> bool:
    """Whether all of its services are past their deadline, not delivered, and told as late: that this cause is over
    changes nothing for who waits for them. Another one tells how they end."""
    hurt = hurt_by(scene, subject, told.route)
    late = bool(hurt) and all(one.timeliness is Timeliness.BREACHED for one in hurt)
    return late and not is_news(scene, subject, told)


def said_fine(told: ToldFacts) -> bool:
    """Whether the route was told of its services last, and that they are well."""
    before = _read(told.fingerprint)
    return bool(before) and all(stood in {one.value for one in _FINE} for stood, _ in before.values())


def words(scene: Scene, wanted: Wanted, leaves: bool) -> Text:
    """`leaves`: whether those who can mend it are told in the same evaluation."""
    hurt = hurt_by(scene, wanted.subject, wanted.route)
    over = wanted.kind is AlertKind.RECOVERED
    lines = list(_lines(scene, hurt, over)) or ["What was in danger is not any more."]
    title = f"[Headway] {_title(scene, hurt, over) or 'nothing is late any more'}"
    body = [*lines, ""] if over else [*lines, "", _cause(scene, wanted.subject, hurt, leaves), *_next(scene, hurt), ""]
    text = "\n".join([*body, f"Reference: {PLACEHOLDER}"]) + "\n"
    return Text(title, text, title, text)


def hurt_by(scene: Scene, subject: Subject, route: str) -> list[HurtServiceVerdict]:
    """The services that it hurts and that the route is told of."""
    names = services_of(scene, subject, route)
    return [one for one in subject.decision.services if one.service in names]


def _title(scene: Scene, hurt: list[HurtServiceVerdict], over: bool) -> str:
    if not hurt:
        return ""
    worst = min(hurt, key=lambda one: (one.timeliness in _FINE, one.deadline))
    more = f", and {len(hurt) - 1} more" if len(hurt) > 1 else ""
    return _line(scene, worst, over).rstrip(".") + more


def _lines(scene: Scene, hurt: list[HurtServiceVerdict], over: bool) -> Iterator[str]:
    for one, more in not_too_many(hurt, attrgetter("service")):
        yield _line(scene, one, over)
        yield from [f"And {more} more of {clean_line(service_of(one.service))}."] if more else []


def _line(scene: Scene, one: HurtServiceVerdict, over: bool) -> str:
    """ "Supply plan, promised 06:30, is likely late (expected 07:05)." """
    service = _service(scene, one)
    zone = service.zone if service is not None else "UTC"
    promised = f"{_named(one, service)}, promised {moment(one.deadline, zone, scene.now)},"
    day = scene.days.get((one.service, one.bd))
    if day is not None and day.delivered_at is not None:
        return f"{promised} was delivered at {clock(day.delivered_at, zone, one.deadline)}."
    if over and one.timeliness is not Timeliness.BREACHED:
        still = f", and still {_STANDS[one.timeliness]}" if one.timeliness is Timeliness.WILL_MISS else ""
        expected = _expected(day, one, zone, scene.now) if still else _room(day, one, zone, scene.now)
        return f"{promised} is not in danger from this any more{still}{expected}."
    return f"{promised} {_STANDS[one.timeliness]}{_expected(day, one, zone, scene.now)}."


def _named(one: HurtServiceVerdict, service: ServiceFacts | None) -> str:
    return clean_line((service.title if service is not None else "") or one.service)


def _expected(day: ServiceDayVerdict | None, one: HurtServiceVerdict, zone: str, now: datetime) -> str:
    if one.act_by is not None and one.act_by > now and one.timeliness is Timeliness.AT_RISK:
        return f" unless it is repaired by {clock(one.act_by, zone, one.deadline)}"
    expected = one.expected_at or (day.expected_at if day is not None else None)
    return f" (expected {clock(expected, zone, one.deadline)})" if expected is not None else ""


def _room(day: ServiceDayVerdict | None, one: HurtServiceVerdict, zone: str, now: datetime) -> str:
    """When it is expected; where that is the minute of its deadline, that it is close, and how likely too late."""
    expected = day.expected_at if day is not None else None
    if day is None or expected is None or not _ZERO <= expected - one.deadline < _MINUTE:
        return _expected(day, one, zone, now)
    late = f", {late_words(day.p_late)}" if day.p_late is not None else ""
    return f", and it is close (expected in the minute before it{late})"


def _cause(scene: Scene, subject: Subject, hurt: list[HurtServiceVerdict], leaves: bool) -> str:
    """Whose matter it is, and since when they know."""
    what = _what_failed(scene, subject, hurt)
    they = "they" if subject.job_owner else "those who can mend it"
    told = min((one.first_at for one in subject.told if one.words == TECHNICAL), default=None)
    if told is None and not leaves:
        return f"Cause: {what}; {they} are not told yet."
    return f"Cause: {what}; {they} were told at {moment(told or scene.now, _zone(scene, subject), scene.now)}."


def _what_failed(scene: Scene, subject: Subject, hurt: list[HurtServiceVerdict]) -> str:
    """ "a job of etl failed". The names of what a shared root blames and of what a check looks at are for those who can
    mend it."""
    group = subject.case.group
    if group.check:
        return _what_is_with_the_data(scene, subject, hurt)
    if group.awaits:
        return "nothing failed, and not all jobs are done"
    if subject.case.awaits:
        return "what was wrong is well again, and not all jobs are done"
    if group.shared:
        return _SHARED[blame_of(group.shared)]
    unseen = UNSEEN.get(group.target.error_kind if group.target is not None else "")
    silent = f"{unseen}, so that nobody sees what runs there" if unseen else "does not answer"
    what, did = ("a job", "failed") if group.root is not None else ("a system", silent)
    owner = clean_line(subject.job_owner)
    return f"{what} of {owner} {did}" if owner else f"{what} {did}"


def _what_is_with_the_data(scene: Scene, subject: Subject, hurt: list[HurtServiceVerdict]) -> str:
    """ "all jobs ran, and the data of Supply plan are not as they must be"."""
    group = subject.case.group
    titles = ", ".join(dict.fromkeys(_named(one, _service(scene, one)) for one in hurt))
    data = f"the data of {titles}" if titles else "the data"
    known = scene.picture.estate.checks.get((group.check, group.bd))
    if known is not None and known.last.state is CheckState.FAILED:
        return f"all jobs ran, and {data} are not as they must be"
    return f"all jobs ran, and nobody knows whether {data} are as they must be: they could not be looked at"


def _next(scene: Scene, hurt: list[HurtServiceVerdict]) -> Iterator[str]:
    """Until when something more is told: by then it is mended, or another word is due."""
    ahead = [(at, one) for one in hurt for at in (one.act_by, one.green_by, one.expected_at, one.deadline)
             if at is not None and at > scene.now]  # fmt: skip
    if ahead:
        at, one = min(ahead, key=lambda pair: pair[0])
        service = _service(scene, one)
        yield f"Next word by {moment(at, service.zone if service is not None else 'UTC', scene.now)}."


def _service(scene: Scene, hurt: HurtServiceVerdict) -> ServiceFacts | None:
    return next((each for each in scene.picture.estate.services if each.name == hurt.service), None)


def _zone(scene: Scene, subject: Subject) -> str:
    found = [_service(scene, one) for one in subject.decision.services]
    return next((one.zone for one in found if one is not None), "UTC")


def _iso(at: datetime | None) -> str:
    return at.replace(second=0, microsecond=0).isoformat() if at is not None else ""


def days(text: str) -> frozenset[Day]:
    """The service days in what `fingerprint` wrote."""
    return frozenset((name, date.fromisoformat(bd)) for name, bd in _read(text))


def _read(text: str) -> dict[tuple[str, str], tuple[str, datetime | None]]:
    """What `fingerprint` wrote; nothing for anything else."""
    try:
        rows = json.loads(text)
        return {(name, bd): (stood, datetime.fromisoformat(at) if at else None) for name, bd, stood, at in rows}
    except (ValueError, TypeError):
        return {}
