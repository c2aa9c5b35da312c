"""Requests about services: extend a deadline, undo a manual step, forecast scenarios of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.engine.api.requests import ExtendDeadline, ForecastScenarios, UndoCompletion
from console.engine.api.server import AnsweringEngine, Caller, Handlers, RequestFailed
from console.engine.api.what_if import ServiceChange, WhatIfScenario, what_ifs
from console.forecast.what_if import Counterfactual
from console.store.assertions import reopen_step
from console.store.services import extend_deadline


def extend_service(engine: AnsweringEngine, request: ExtendDeadline, caller: Caller) -> dict[str, Any]:
    day, change = (request.service, request.business_date), engine.change(caller, request.why)
    engine.finish(extend_deadline(engine.store, caller.fence, day, request.until_us, change))
    return {"extended": request.until_us is not None}


def undo_completion(engine: AnsweringEngine, request: UndoCompletion, caller: Caller) -> dict[str, Any]:
    change = engine.change(caller, request.why)
    engine.finish(reopen_step(engine.store, caller.fence, request.run_id, change))
    return {"open": True}


MAX_SCENARIOS = 12
SCENARIO_KINDS = (Counterfactual.RESTARTED, Counterfactual.SKIPPED, Counterfactual.FASTER)


def forecast_scenarios(engine: AnsweringEngine, request: ForecastScenarios, _: Caller) -> dict[str, Any]:
    """{"services": […]} as `console.domain` reads it: the service days that each scenario affects."""
    scenarios = [_scenario(entry) for entry in request.ways[:MAX_SCENARIOS]]
    days: dict[tuple[str, str], list[ServiceChange]] = {}
    for changes in what_ifs(engine.store.url, request.job_id, scenarios):
        for change in changes:
            days.setdefault((change.service, change.business_date.isoformat()), []).append(change)
    complete = [day for day in days.values() if len(day) == len(scenarios)]
    complete.sort(key=lambda day: (day[0].deadline, day[0].service))
    return {"services": [_impact_json(day) for day in complete]}


def _impact_json(day: list[ServiceChange]) -> dict[str, Any]:
    """The forecast of one service day: as it is now, then in each scenario."""
    first = day[0]
    return {
        "service": first.service,
        "title": first.title or first.service,
        "zone": first.zone,
        "deadline": first.deadline.isoformat(),
        "ways": [
            {"late": outcome.late, "p50": outcome.p50.isoformat(), "p95": outcome.p95.isoformat()}
            for outcome in (first.now, *(change.then for change in day))
        ],
    }


def _scenario(entry: Any) -> WhatIfScenario:
    """The scenario of one entry. Raises RequestFailed for an unknown one."""
    try:
        at = datetime.fromisoformat(entry["at"]) if entry.get("at") else None
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone; append one, for example +00:00")
        how = Counterfactual(entry["how"])
        if how not in SCENARIO_KINDS:
            raise ValueError(f"{how} applies to a pool, not to a job")
        factor = float(entry.get("factor", 1.0))
        if not 0 < factor <= 1:
            raise ValueError(f"factor must be above 0 and at most 1, not {factor}")
        return WhatIfScenario(how, at, factor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestFailed(f"unknown scenario ({error}); known are {', '.join(SCENARIO_KINDS)}") from error


HANDLERS: Handlers = {
    ExtendDeadline: extend_service, UndoCompletion: undo_completion, ForecastScenarios: forecast_scenarios
}  # fmt: skip
