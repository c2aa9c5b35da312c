"""Requests about services: extend a deadline, undo a manual step, forecast scenarios of a job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from console.domain.ids import micros
from console.domain.request import RequestKind
from console.engine.api.server import ChangeHandlers, RequestFailed, RequestHandler
from console.engine.api.what_if import ServiceChange, WhatIfScenario, what_ifs
from console.forecast.what_if import Counterfactual
from console.store.assertions import reopen_step
from console.store.services import ExtendedPromise, extend_deadline


class ServiceHandlers(ChangeHandlers):
    """Extensions, and completions of manual steps undone."""

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {RequestKind.EXTEND: self._extend, RequestKind.UNDO_COMPLETION: self._undo_completion}

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        until = None if arguments.get("until_us") is None else int(arguments["until_us"])
        names = ("service", "business_date", "submission", "instance")
        promise = ExtendedPromise(*(str(arguments.get(name, "")) for name in names))
        now_us = micros(self.clock.now())
        self.finish(extend_deadline(self.store, arguments["fence"], promise, until, *_requester(arguments), now_us))
        return {"extended": until is not None}

    def _undo_completion(self, arguments: dict[str, Any]) -> dict[str, Any]:
        run_id, now = int(arguments["run_id"]), self.clock.now()
        self.finish(reopen_step(self.store, arguments["fence"], run_id, *_requester(arguments), now))
        return {"open": True}


def _requester(arguments: Mapping[str, Any]) -> tuple[str, str, str]:
    """Person, origin and reason."""
    return str(arguments["by"]), str(arguments.get("from", "")), str(arguments.get("why", ""))


MAX_SCENARIOS = 12
SCENARIO_KINDS = (Counterfactual.RESTARTED, Counterfactual.SKIPPED, Counterfactual.FASTER)


class WhatIfHandlers:
    """Forecasts of scenarios of a job."""

    def __init__(self, url: str) -> None:
        self._url = url

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {RequestKind.WHAT_IF: self._answer}

    def _answer(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """{"services": […]} as `console.domain` reads it: the service days that each scenario affects."""
        scenarios = [_scenario(entry) for entry in list(arguments.get("ways") or ())[:MAX_SCENARIOS]]
        days: dict[tuple[str, str], list[ServiceChange]] = {}
        for changes in what_ifs(self._url, int(arguments["job_id"]), scenarios):
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
