"""Savings: the service days that each step of a plan saves, and by when it must start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from connectors.sdk.states import RunEvidence, RunState
from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.causes.target_down import target_names
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.decisions import threat_to_day
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import RunKey, run_key
from console.domain.estate import RunFacts
from console.domain.plan import SavedService
from console.domain.probability import format_risk
from console.domain.text import At, Text
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast
from console.text.cleaning import clean_line

SURE = 0.99
"""A P(late) above this leaves no chance that is worth a word."""
TO_COME = (NodeState.CLOCK, NodeState.WAITS, NodeState.UNKNOWN)
"""Runs that are about to start."""
AffectedDays = Mapping[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]]
"""Service days that a cause affects, each with its broken jobs."""


def to_come(node: ForecastNode, day: ServiceForecast) -> RunFacts:
    """Placeholder for a run that has not come; its period is unknown before it starts."""
    return RunFacts(0, node.job_id, "", node.due, day.business_date, RunState.PLANNED, RunEvidence.INFERRED)


def days_saved(index: EstateIndex, match: IncidentMatch, days: AffectedDays) -> dict[RunKey, tuple[SavedService, ...]]:
    """Run -> the service days that need it, and whether there still is time."""
    saves_by_run: dict[RunKey, list[SavedService]] = {}
    for day, nodes in days.values():
        threat = threat_to_day(index, match, day, nodes)
        save = _save(index, day, threat.act_by)
        if threat.held and save.saved is not False:  # no plan saves what waits for a job that a person holds
            held = threat.held[0]
            text = f"not by this plan: {held.job} is ", *held.hold
            save = replace(save, saved=False, text=text, waits_for=held.job)
        for node in day.unfinished():
            saves_by_run.setdefault(run_key(node.run or to_come(node, day)), []).append(save)
    return {key: tuple(saves) for key, saves in saves_by_run.items()}


def _save(index: EstateIndex, day: ServiceForecast, act_by: datetime | None) -> SavedService:
    service, business_date = day.service, day.business_date.isoformat()
    unknown = SavedService(
        service.name, business_date, day.deadline, None, ("unknown: no estimate",), clean_line(service.title)
    )
    if index.now > day.deadline:
        return replace(unknown, saved=False, text=("its deadline ", At(day.deadline), " has passed"))
    if act_by is None:
        return unknown
    if index.now > act_by:
        chance = f", {format_risk(day.odds.late)}" if _may_be_saved(index, day) and day.odds is not None else ""
        return replace(unknown, saved=False, text=("its act-by ", At(act_by), f" has passed{chance}"))
    return replace(unknown, saved=True, text=("act by ", At(act_by)))


def unresponsive_notes(match: IncidentMatch) -> tuple[Text, ...]:
    silent = [target for target in match.cause.targets if target.polls_fail]
    text = "do not answer: nothing can be sent there before they do"
    text = text if len(silent) > 1 else "does not answer: nothing can be sent there before it does"
    return ((f"{target_names(silent)} {text}",),) if silent else ()


def _may_be_saved(index: EstateIndex, day: ServiceForecast) -> bool:
    """Past its act-by, which keeps P(late) within the service's risk, a chance may be left."""
    return day.odds is not None and day.odds.late <= SURE and index.now <= day.deadline
