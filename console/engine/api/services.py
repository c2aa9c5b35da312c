"""Requests about services: extend a deadline, undo a manual step, forecast what would change if a job went
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from console.domain.forecast import WhatIfOutcome
from console.domain.ids import micros
from console.engine.api.server import RequestFailed, RequestHandler
from console.engine.api.what_if import ServiceChange, WhatIfScenario, what_ifs
from console.forecast.what_if import Counterfactual
from console.store.assertions import reopen_step
from console.store.db.database import Database
from console.store.services import ExtendedPromise, extend_deadline
from console.timing.clock import Clock


class ServiceHandlers:
    """Answers requests to extend a deadline and to undo manual steps."""

    def __init__(self, store: Database, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake`: wakes the evaluator."""
        self._store, self._clock, self._wake = store, clock, wake

    def by_kind(self) -> dict[str, RequestHandler]:
        return {"extend": self._extend, "undo done": self._undo_done}

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        until = None if arguments.get("until_us") is None else int(arguments["until_us"])
        names = ("service", "business_date", "submission", "instance")
        promise = ExtendedPromise(*(str(arguments.get(name, "")) for name in names))
        by, origin, why = _requester(arguments)
        now_us = micros(self._clock.now())
        self._finish(extend_deadline(self._store, arguments["fence"], promise, until, by, origin, why, now_us))
        return {"extended": until is not None}

    def _undo_done(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin, why = _requester(arguments)
        run_id, now = int(arguments["run_id"]), self._clock.now()
        self._finish(reopen_step(self._store, arguments["fence"], run_id, by, origin, why, now))
        return {"open": True}

    def _finish(self, refused: str) -> None:
        """Raises RequestFailed for a refusal; otherwise wakes the evaluator."""
        if refused:
            raise RequestFailed(refused)
        self._wake()


def _requester(arguments: Mapping[str, Any]) -> tuple[str, str, str]:
    """Person, origin and reason."""
    return str(arguments["by"]), str(arguments.get("from", "")), str(arguments.get("why", ""))


MAX_SCENARIOS = 12
SCENARIO_KINDS = (Counterfactual.RESTARTED, Counterfactual.SKIPPED, Counterfactual.FASTER)


class WhatIfHandlers:
    """Answers "what if"."""

    def __init__(self, url: str) -> None:
        self._url = url

    def by_kind(self) -> dict[str, RequestHandler]:
        return {"what if": self._answer}

    def _answer(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """{"services": […]} as `console.domain` reads it: the service days that any scenario affects."""
        ways = [_scenario(one) for one in list(arguments.get("ways") or ())[:MAX_SCENARIOS]]
        days: dict[tuple[str, str], list[ServiceChange]] = {}
        for changed in what_ifs(self._url, int(arguments["job_id"]), ways):
            for one in changed:
                days.setdefault((one.service, one.business_date.isoformat()), []).append(one)
        whole = [day for day in days.values() if len(day) == len(ways)]
        whole.sort(key=lambda day: (day[0].deadline, day[0].service))
        return {"services": [_impact_json(day) for day in whole]}


def _impact_json(day: list[ServiceChange]) -> dict[str, Any]:
    first = day[0]
    told = {"service": first.service, "title": first.title or first.service, "zone": first.zone}
    ways = [first.now, *(one.then for one in day)]
    return told | {"deadline": first.deadline.isoformat(), "ways": [_forecast_json(odds) for odds in ways]}


def _forecast_json(odds: WhatIfOutcome) -> dict[str, Any]:
    return {"late": odds.late, "p50": odds.p50.isoformat(), "p95": odds.p95.isoformat()}


def _scenario(one: Any) -> WhatIfScenario:
    """The scenario of one entry. Raises RequestFailed for an unknown one."""
    try:
        at = datetime.fromisoformat(one["at"]) if one.get("at") else None
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone; append one, for example +00:00")
        how = Counterfactual(one["how"])
        if how not in SCENARIO_KINDS:
            raise ValueError(f"{how} applies to a pool, not to a job")
        factor = float(one.get("factor", 1.0))
        if not 0 < factor <= 1:
            raise ValueError(f"factor must be above 0 and at most 1, not {factor}")
        return WhatIfScenario(how, at, factor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hows = ", ".join(SCENARIO_KINDS)
        raise RequestFailed(f"unknown scenario ({error}); known are {hows}") from error
