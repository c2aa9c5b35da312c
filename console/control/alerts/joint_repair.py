"""Restarts that several open incidents need for one service: every notification names all of them, by the earliest
act-by, so that two incidents of one minute never give two instructions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from console.control.alerts.context import AlertContext, AlertSubject
from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.news import EarlierActBy
from console.control.incidents.restart import is_repaired_by_restart, needs_restart, repair_step
from console.control.incidents.verdict.decision import Instruction, releases, restart_instruction
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import RouteNotification
from console.domain.decision import AffectedServiceVerdict
from console.domain.incident import RepairStep

LEAST_MOVE = timedelta(minutes=5)
MOVED_SHARE = 1 / 8
"""An act-by that moves forward by less than this part of the time that was left waits for the next notification."""


def other_repairs(
    context: AlertContext, subject: AlertSubject, services: Iterable[AffectedServiceVerdict]
) -> list[AlertSubject]:
    """The other incidents whose restart these services need, without those that are acknowledged or in maintenance."""
    related = (repair for service in services for repair in context.restartable_by_day.get(service.key, ()))
    return list({id(repair): repair for repair in related if repair is not subject}.values())


def joint_act_by(context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict) -> datetime | None:
    """The earliest act-by of all restarts that the service day needs; of an incident without a restart its own."""
    instruction = joint_instruction(context, subject, service)
    return service.act_by if instruction is None else instruction.act_by


def remaining_act_by(context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict) -> datetime | None:
    """The earliest act-by of the restarts of other incidents that the service day of a closed one still needs."""
    repairs = other_repairs(context, subject, [service])
    act_bys = (_day_step(context.index, repair, service).act_by for repair in repairs)
    return min((act_by for act_by in act_bys if act_by is not None), default=None)


def joint_instruction(
    context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict
) -> Instruction | None:
    """All restarts that the service day needs, in the same order in each message; None without one, or if the
    incident is not repaired by a restart."""
    if not is_repaired_by_restart(context.index, subject.match):
        return None
    subjects = sorted([subject, *other_repairs(context, subject, [service])], key=lambda repair: repair.decision.key)
    steps = (_day_step(context.index, repair, service) for repair in subjects)
    return restart_instruction(steps, releases([service.reasons]))


def act_bys_of(context: AlertContext, subject: AlertSubject) -> dict[ServiceDayKey, datetime]:
    """The joint act-by of each service that its restart saves; empty while none is needed."""
    if not needs_restart(context.index, subject.match):
        return {}
    act_bys = ((service.key, joint_act_by(context, subject, service)) for service in subject.decision.services)
    return {day: act_by for day, act_by in act_bys if act_by is not None}


def earlier_act_by(context: AlertContext, subject: AlertSubject, last: RouteNotification) -> tuple[EarlierActBy, ...]:
    """Once its own restart has to be sent materially earlier; empty after the act-by that the route was notified of."""
    notified = {day.key: day.act_by for day in last.content.days if day.act_by is not None}
    own = {service.key: service.act_by for service in subject.decision.services}
    pairs = [
        (before, act_by)
        for day, act_by in (act_bys_of(context, subject) if notified else {}).items()
        if (before := notified.get(day, context.now)) > context.now
        and act_by == own[day]  # else another incident's restart comes first
    ]
    if not pairs:
        return ()
    before, act_by = min(before for before, _ in pairs), min(act_by for _, act_by in pairs)
    is_news = before - act_by >= max(LEAST_MOVE, (before - last.last_at) * MOVED_SHARE)
    return (EarlierActBy(was=before, act_by=act_by),) if is_news else ()


def _day_step(index: EstateIndex, subject: AlertSubject, service: AffectedServiceVerdict) -> RepairStep:
    act_bys = (day.act_by for day in subject.decision.services if day.key == service.key and day.act_by is not None)
    return replace(repair_step(index, subject.match), act_by=min(act_bys, default=None))
