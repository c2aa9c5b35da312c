"""How often each service kept its promise, from the days that were judged."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, time, timedelta
from typing import Any

from console.model.attainment import WINDOWS, KeptDay, attainment
from console.model.ids import instant, maybe_instant
from console.model.promises import Agreement, Objective, Promise
from console.model.views.services import AttainmentView
from console.model.words import Timeliness
from console.store.errors import NotFound
from console.store.reads.base import Base
from console.store.reads.near import near
from console.store.reads.services import current_bd, days_after

_SERVICES = "SELECT id, name, title, tier, zone, cutoff, promise FROM service WHERE NOT removed ORDER BY tier, name"
_DAYS = (
    "SELECT d.service_id, d.bd, d.deadline_us, d.promised_us, d.agreed_us, d.delivered_us, d.timeliness"
    " FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd > ? WHERE NOT s.removed ORDER BY d.bd"
)


class PromiseReads(Base):
    def attainment(self, name: str | None = None) -> list[AttainmentView]:
        """Each service, or the one of that name, by tier and name. Raises NotFound with near misses."""
        now = self.now()
        days: dict[int, list[KeptDay]] = defaultdict(list)
        since = (now - timedelta(days=max(WINDOWS) + 1)).date().isoformat()
        for service_id, *row in self.link.rows(_DAYS, (since,)):
            days[service_id].append(_day(*row))
        rows = self.link.rows(_SERVICES)
        if name is not None and name not in {row[1] for row in rows}:
            raise NotFound(name, near(name, [row[1] for row in rows]))
        found = []
        for service_id, service, title, tier, zone, cutoff, promise in rows:
            if name is None or service == name:
                today = current_bd(now, zone, time.fromisoformat(cutoff)) - timedelta(days=days_after(promise))
                kept = attainment(days[service_id], _promise(promise), today, now)
                found.append(AttainmentView(service, title or service, tier, kept))
        return found


def _day(bd: str, deadline: int, promised: int | None, agreed: int | None, delivered: int | None, word: str) -> KeptDay:
    due = instant(deadline)
    return KeptDay(
        date.fromisoformat(bd),
        due,
        maybe_instant(promised) or due,
        maybe_instant(agreed),
        maybe_instant(delivered),
        Timeliness(word),
    )


def _promise(text: str) -> Promise:
    """What of the document attainment goes by."""
    said: dict[str, Any] = json.loads(text)
    slo, sla = said.get("slo"), said.get("sla")
    return Promise(
        slo=None if slo is None else Objective(slo["share"], slo.get("days", 30)),
        sla=None if sla is None else Agreement(sla.get("misses", 0), sla.get("days", 30)),
    )
