"""Answers what would become of services if a job went otherwise: a simulation over the store as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from console.engine.answers import CannotAnswer
from console.engine.what_if import Changed, Otherwise, Prospect, Way, what_ifs

MOST_WAYS = 12
HOWS = (Otherwise.RESTARTED, Otherwise.SKIPPED, Otherwise.FASTER)


class Counterfactuals:
    """Answers "what if"."""

    def __init__(self, url: str) -> None:
        self._url = url

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {"what if": self._answer}

    def _answer(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """{"services": […]} as `model.views.otherwise` reads it: the days that every way is about."""
        ways = [_way(one) for one in list(arguments.get("ways") or ())[:MOST_WAYS]]
        days: dict[tuple[str, str], list[Changed]] = {}
        for changed in what_ifs(self._url, int(arguments["job_id"]), ways):
            for one in changed:
                days.setdefault((one.service, one.bd.isoformat()), []).append(one)
        whole = [day for day in days.values() if len(day) == len(ways)]
        whole.sort(key=lambda day: (day[0].deadline, day[0].service))
        return {"services": [_told(day) for day in whole]}


def _told(day: list[Changed]) -> dict[str, Any]:
    first = day[0]
    told = {"service": first.service, "title": first.title or first.service, "zone": first.zone}
    ways = [first.now, *(one.then for one in day)]
    return told | {"deadline": first.deadline.isoformat(), "ways": [_odds(odds) for odds in ways]}


def _odds(odds: Prospect) -> dict[str, Any]:
    return {"late": odds.late, "p50": odds.p50.isoformat(), "p95": odds.p95.isoformat()}


def _way(one: Any) -> Way:
    """Raises CannotAnswer for what is no way."""
    try:
        at = datetime.fromisoformat(one["at"]) if one.get("at") else None
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no zone: write +00:00 behind it")
        how = Otherwise(one["how"])
        if how not in HOWS:
            raise ValueError(f"{how} is about a pool, not about a job")
        factor = float(one.get("factor", 1.0))
        if not 0 < factor <= 1:
            raise ValueError(f"{factor} is no share of its time")
        return Way(how, at, factor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hows = ", ".join(HOWS)
        raise CannotAnswer(f"no way in which a job could go otherwise ({error}); there are {hows}") from error
