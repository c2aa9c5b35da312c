"""Savings: the service days that each step of a plan saves, and by when it must start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.control.incidents.correlation import IncidentMatch, ServiceDayKey
from console.control.incidents.decisions import threat_to_day
from console.control.incidents.impact import RepairBudgets
from console.control.incidents.titles import target_names
from console.control.services.status import Threat
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import RunKey, run_key
from console.domain.estate import RunFacts
from console.domain.plan import SavedService
from console.domain.probability import format_risk
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast
from console.text.cleaning import clean_line
from console.timing.formats import zoned_time

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
    """Run -> the service days that need it, whether there still is time, and by when it must start."""
    saves_by_run: dict[RunKey, list[SavedService]] = {}
    for day, nodes in days.values():
        threat = threat_to_day(index, match, day, nodes)
        save = _save(index, day, threat.act_by)
        if threat.held and save.saved is not False:  # no plan saves what waits for a job that a person holds
            held = threat.held[0]
            save = replace(save, saved=False, text=f"not by this plan: {held.job} is {held.hold}", waits_for=held.job)
        save = replace(
            save,
            deadline=instant_key(day.deadline),
            zone=day.service.zone,
            title=clean_line(day.service.title),
        )
        clocks = _clocks(index, day, threat)
        for node in day.unfinished():
            act_by, takes = clocks(node.job_id)
            slack = None if act_by is None else (act_by - index.now).total_seconds()
            key = run_key(node.run or to_come(node, day))
            duration_s = None if takes is None else takes.total_seconds()
            saves_by_run.setdefault(key, []).append(replace(save, slack_s=slack, duration_s=duration_s))
    return {key: tuple(saves) for key, saves in saves_by_run.items()}


def _clocks(
    index: EstateIndex, day: ServiceForecast, threat: Threat
) -> Callable[[int], tuple[datetime | None, timedelta | None]]:
    budgets = RepairBudgets(index, day)
    ahead = {job.job_id: job for job in day.odds.jobs} if day.odds is not None else {}

    def of(job_id: int) -> tuple[datetime | None, timedelta | None]:
        known, budget = ahead.get(job_id), threat.budget
        if budget is not None and budget.job_id == job_id and known and budget.act_by and budget.green_by:
            return budget.act_by, budget.green_by - budget.act_by
        if known is not None and known.act_by is not None and known.green_by is not None:
            return known.act_by, known.green_by - known.act_by
        return budgets.of(job_id).act_by, index.takes(job_id, day.service.risk)

    return of


def _save(index: EstateIndex, day: ServiceForecast, act_by: datetime | None) -> SavedService:
    name, business_date = day.service.name, day.business_date.isoformat()
    if index.now > day.deadline:
        shown = zoned_time(day.deadline, day.service.zone, index.now)
        return SavedService(name, business_date, saved=False, text=f"its deadline {shown} has passed")
    if act_by is None:
        return SavedService(name, business_date, saved=None, text="unknown: no estimate")
    shown = zoned_time(act_by, day.service.zone, index.now)
    if index.now > act_by:
        chance = f", {format_risk(day.odds.late)}" if _may_be_saved(index, day) and day.odds is not None else ""
        return SavedService(name, business_date, saved=False, text=f"its act-by {shown} has passed{chance}")
    return SavedService(name, business_date, saved=True, text=f"act by {shown}")


def saving_notes(index: EstateIndex, match: IncidentMatch, days: AffectedDays) -> tuple[str, ...]:
    if silent := [target for target in match.group.targets if target.polls_fail]:
        text = "do not answer: nothing can be sent there before they do"
        text = text if len(silent) > 1 else "does not answer: nothing can be sent there before it does"
        return (f"{target_names(silent)} {text}",)
    lost = {day.key: day for day, nodes in days.values()
            if _save(index, day, threat_to_day(index, match, day, nodes).act_by).saved is False}  # fmt: skip
    return tuple(dict.fromkeys(_unsaved_text(index, lost[key]) for key in sorted(lost)))


def _unsaved_text(index: EstateIndex, day: ServiceForecast) -> str:
    name = clean_line(day.service.title or day.service.name)
    if _may_be_saved(index, day) and day.odds is not None:
        return f"{name}: {format_risk(day.odds.late)}, its act-by has passed; the plan may still save it"
    return f"{name} cannot be saved any more; the plan repairs it for those who read it late"


def _may_be_saved(index: EstateIndex, day: ServiceForecast) -> bool:
    """Past its act-by, which keeps P(late) within the service's risk, a chance may be left."""
    return day.odds is not None and day.odds.late <= SURE and index.now <= day.deadline
