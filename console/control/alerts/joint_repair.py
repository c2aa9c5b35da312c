"""Restarts that several open incidents need for one service: every notification names all of them, by the earliest
act-by, so that two incidents of one minute never give two instructions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from connectors.sdk.states import RunState
from console.control.alerts.context import AlertContext, AlertSubject
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.titles import cancelled_by
from console.control.incidents.verdict import step_text
from console.control.snapshot.estate_index import EstateIndex
from console.domain.decision import AffectedServiceVerdict
from console.text.cleaning import clean_line

MAX_NAMES = 2
"""Jobs that a title names."""


def needs_restart(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if its cause is a run that failed, did not start or read bad data, and is not running again."""
    run, group = match.to_repair, match.group
    if run is None or run.state.is_open or group.finding is not None or group.target is not None or group.awaits:
        return False
    return not match.awaits and (run.state.is_red or index.is_stale(run))


def is_restartable(index: EstateIndex, match: IncidentMatch) -> bool:
    """The same, unless a person cancelled the run through Headway."""
    return needs_restart(index, match) and match.to_repair is not None and not cancelled_by(index, match.to_repair)


def other_repairs(
    context: AlertContext, subject: AlertSubject, services: Iterable[AffectedServiceVerdict]
) -> list[AlertSubject]:
    """The other incidents whose restart these services need, without those that are acknowledged or in maintenance."""
    related = (repair for service in services for repair in _repairs(context, service) if repair is not subject)
    return list({id(repair): repair for repair in related}.values())


def joint_act_by(context: AlertContext, service: AffectedServiceVerdict) -> datetime | None:
    """The earliest act-by of all restarts that the service day needs."""
    days = (day for repair in _repairs(context, service) for day in repair.decision.services if day.key == service.key)
    return min((day.act_by for day in (service, *days) if day.act_by is not None), default=None)


def joint_step(context: AlertContext, subject: AlertSubject, service: AffectedServiceVerdict) -> str:
    """ "restart extract and refund": all restarts that the service day needs, in the same order in each message."""
    subjects = sorted([subject, *other_repairs(context, subject, [service])], key=lambda repair: repair.decision.key)
    steps = list(dict.fromkeys(step for repair in subjects if (step := _step(context.index, repair.match))))
    names: dict[str, list[str]] = {}
    for step in steps[:MAX_NAMES]:
        verb, _, name = step.partition(" ")
        names.setdefault(verb, []).append(name)
    text = ", ".join(f"{verb} {' and '.join(jobs)}" for verb, jobs in names.items())
    return f"{text} and {len(steps) - MAX_NAMES} more" if len(steps) > MAX_NAMES else text


def _step(index: EstateIndex, match: IncidentMatch) -> str:
    run = match.to_repair
    if run is None or not is_restartable(index, match):
        return ""
    job = index.job(run.job_id)
    return step_text(clean_line(job.name), not job.cannot_rerun, run.state is RunState.MISSED)


def _repairs(context: AlertContext, service: AffectedServiceVerdict) -> Sequence[AlertSubject]:
    if context.repairs is None:
        context.repairs = {}
        for subject in context.subjects:
            decision = subject.decision
            if decision.closed or decision.maintenance is not None or subject.ack is not None:
                continue
            if is_restartable(context.index, subject.match):
                for day in decision.services:
                    context.repairs.setdefault(day.key, []).append(subject)
    return context.repairs.get(service.key, ())
