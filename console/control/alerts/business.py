"""An incident in business words: which promise is in danger, since when its owner's team knows, when the next word
comes. No log, and no technical names beyond the service and the team.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter

from console.clean import clean_line
from console.control.alerts.routes import services_of
from console.control.alerts.said import Words
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.words import clock, moment
from console.model.alerting import TECHNICAL, ToldFacts
from console.model.decisions import PLACEHOLDER, HurtServiceVerdict, ServiceDayVerdict
from console.model.promises import not_too_many, service_of
from console.model.values import AlertKind, ServiceFacts, Timeliness

MATERIAL = timedelta(minutes=15)
"""An expectation that moves by less is no news; nor is one that is still in time."""
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


def is_worth_telling(scene: Scene, subject: Subject, route: str) -> bool:
    """Whether any of the route's services is in danger."""
    return any(one.timeliness not in _FINE for one in _hurt(scene, subject, route))


def fingerprint(scene: Scene, subject: Subject, route: str) -> str:
    """What the route is told of each of its services: how it stands, and when it is expected."""
    rows = [[one.service, one.bd.isoformat(), one.timeliness.value, _iso(one.expected_at)]
            for one in _hurt(scene, subject, route)]  # fmt: skip
    return json.dumps(sorted(rows), separators=(",", ":"))


def is_news(scene: Scene, subject: Subject, told: ToldFacts) -> bool:
    """Whether a service stands otherwise than told, or its expectation moved materially."""
    before = _read(told.fingerprint)
    for one in _hurt(scene, subject, told.route):
        stood, expected = before.get((one.service, one.bd.isoformat()), ("", None))
        if stood != one.timeliness.value:
            return True
        moved = abs(one.expected_at - expected) if expected and one.expected_at else timedelta(0)
        if moved >= MATERIAL and one.expected_at and one.expected_at > one.deadline:
            return True
    return False


def words(scene: Scene, wanted: Wanted, leaves: bool) -> Words:
    """`leaves`: whether those who can mend it are told in the same evaluation."""
    hurt = _hurt(scene, wanted.subject, wanted.route)
    over = wanted.kind is AlertKind.RECOVERED
    lines = list(_lines(scene, hurt, over)) or ["What was in danger is not any more."]
    title = f"[Headway] {_title(scene, hurt, over) or 'nothing is late any more'}"
    body = [*lines, ""] if over else [*lines, "", _cause(scene, wanted.subject, leaves), *_next(scene, hurt), ""]
    text = "\n".join([*body, f"Reference: {PLACEHOLDER}"]) + "\n"
    return Words(title, text, title, text)


def _hurt(scene: Scene, subject: Subject, route: str) -> list[HurtServiceVerdict]:
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
    title = clean_line((service.title if service is not None else "") or one.service)
    promised = f"{title}, promised {moment(one.deadline, zone)},"
    day = scene.days.get((one.service, one.bd))
    if day is not None and day.delivered_at is not None:
        return f"{promised} was delivered at {clock(day.delivered_at, zone, one.deadline)}."
    if over and one.timeliness is not Timeliness.BREACHED:
        return f"{promised} is not in danger from this any more{_expected(day, one, zone, scene.now)}."
    return f"{promised} {_STANDS[one.timeliness]}{_expected(day, one, zone, scene.now)}."


def _expected(day: ServiceDayVerdict | None, one: HurtServiceVerdict, zone: str, now: datetime) -> str:
    if one.act_by is not None and one.act_by > now and one.timeliness is Timeliness.AT_RISK:
        return f" unless it is repaired by {clock(one.act_by, zone, one.deadline)}"
    expected = one.expected_at or (day.expected_at if day is not None else None)
    return f" (expected {clock(expected, zone, one.deadline)})" if expected is not None else ""


def _cause(scene: Scene, subject: Subject, leaves: bool) -> str:
    """Whose matter it is, and since when they know."""
    what = "a system" if subject.case.group.root is None else "a job"
    owner = clean_line(subject.job_owner)
    whose = f"{what} of {owner} failed" if owner else f"{what} failed"
    if subject.case.group.awaits:
        whose = "nothing failed, and not all jobs are done"
    if subject.case.group.check:
        whose = "all jobs ran, and the data are not as they must be"
    told = min((one.first_at for one in subject.told if one.words == TECHNICAL), default=None)
    if told is not None:
        return f"Cause: {whose}; they were told at {moment(told, _zone(scene, subject))}."
    if leaves:
        return f"Cause: {whose}; they were told at {moment(scene.now, _zone(scene, subject))}."
    return f"Cause: {whose}; they are not told yet."


def _next(scene: Scene, hurt: list[HurtServiceVerdict]) -> Iterator[str]:
    """Until when something more is told: by then it is mended, or another word is due."""
    ahead = [(at, one) for one in hurt for at in (one.act_by, one.green_by, one.expected_at, one.deadline)
             if at is not None and at > scene.now]  # fmt: skip
    if ahead:
        at, one = min(ahead, key=lambda pair: pair[0])
        service = _service(scene, one)
        yield f"Next word by {moment(at, service.zone if service is not None else 'UTC')}."


def _service(scene: Scene, hurt: HurtServiceVerdict) -> ServiceFacts | None:
    return next((each for each in scene.picture.estate.services if each.name == hurt.service), None)


def _zone(scene: Scene, subject: Subject) -> str:
    found = [_service(scene, one) for one in subject.decision.services]
    return next((one.zone for one in found if one is not None), "UTC")


def _iso(at: datetime | None) -> str:
    return at.replace(second=0, microsecond=0).isoformat() if at is not None else ""


def _read(text: str) -> dict[tuple[str, str], tuple[str, datetime | None]]:
    """What `fingerprint` wrote; nothing for anything else."""
    try:
        rows = json.loads(text)
        return {(name, bd): (stood, datetime.fromisoformat(at) if at else None) for name, bd, stood, at in rows}
    except (ValueError, TypeError):
        return {}
