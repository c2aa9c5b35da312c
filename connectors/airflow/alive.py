"""Whether anything starts there: an Airflow whose scheduler is dead answers every question, and starts nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from connectors import fields
from connectors.airflow.client import AirflowClient
from connectors.contract import ConnectorError, RecordUnreadable, Right
from connectors.transport.http import Reply
from connectors.words import NOTHING_STARTS

EVERY_SECONDS = 60.0
"""How often the polls ask: Airflow itself calls a scheduler dead 30 s after its last heartbeat at the earliest
(scheduler_health_check_threshold, configuration reference)."""
DEAD = "unhealthy"
_PARTS = {
    "metadatabase": ("the metadata database is unhealthy", "see its own log and that of the Airflow web server"),
    "scheduler": ("the scheduler is unhealthy: it sends no heartbeat", "start it again: airflow scheduler"),
}


def still(health: Reply) -> Right | None:
    """What keeps every DAG from starting, by Airflow's own word; None where nothing does, or nobody can tell."""
    told = health.table() if health.status == 200 else {}
    for part, (why, mend) in _PARTS.items():
        one = told.get(part)
        if isinstance(one, dict) and one.get("status") == DEAD:
            last = fields.clean(str(one.get("latest_scheduler_heartbeat") or ""))[:40]
            return Right("DAGs start here", False, f"{why}{f' (the last {last})' if last else ''}", mend)
    return None


class Alive:
    """Asked beside the polls, now and then; what was found last stands meanwhile."""

    def __init__(self, client: AirflowClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._ask_at = 0.0
        self._words: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """To stand before a poll's own. A health that cannot be had says nothing: the poll itself was answered."""
        if self._clock() >= self._ask_at:
            self._ask_at = self._clock() + EVERY_SECONDS
            try:
                found = still(self._client.health())
            except (ConnectorError, RecordUnreadable):
                found = None
            self._words = (f"{NOTHING_STARTS}{found.why}. Mend: {found.mend}",) if found else ()
        return self._words
