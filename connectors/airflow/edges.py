"""Run-level edges: which runs wrote the assets that a run was started by. Airflow tells them for one run at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from connectors import fields
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import Period, period_of
from connectors.contract import RecordUnreadable, RunRecord, SystemUnreachable
from connectors.gathered import Gathered

BY_ASSET = "asset_triggered"
MOST_ASKED = 3
"""Requests of one poll; the runs beyond are told with their inputs by a later one, the newest first."""
MOST_KEPT = 2000
MOST_INPUTS = 20
MOST_TRIES = 5
"""Of one run; Airflow 3.3.2 answers 500 while a run that the same update made has not started (seen)."""

Key = tuple[str, str]
"""DAG and run id."""


class Edges:
    """Asks once for each run that an asset started, once it has begun, and remembers. One per Airflow.

    What cannot be read is a warning and asked for again: it says less than the poll that it rides on."""

    def __init__(
        self, client: AirflowClient, watched: Callable[[str], bool], period: Callable[[Key], Period | None]
    ) -> None:
        self._client, self._watched, self._period = client, watched, period
        self._known: dict[Key, list[dict[str, str]]] = {}
        self._pending: dict[Key, RunRecord] = {}
        self._failed: Counter[Key] = Counter()

    def attach(self, found: Gathered) -> None:
        """Puts "inputs" into the context of each run that an asset started, as far as they are known by now."""
        for record in list(found.records.values()):
            if record.context.get("run_type") == BY_ASSET:
                key = (record.job, str(record.context.get("run_id")))
                if key in self._known:
                    found.add(_with(record, self._known[key]))
                else:
                    self._pending[key] = record
        self._ask(found)

    def _ask(self, found: Gathered) -> None:
        left = MOST_ASKED
        for key in [one for one in reversed(list(self._pending)) if self._pending[one].started_at]:
            if left <= 0 or self._client.deadline.left < self._client.deadline.seconds / 4:
                break
            try:
                sources, left = self._sources(key), left - 1
                left -= len([one for one in sources if self._period(one) is None])
                inputs = [told for one in sources if (told := self._told(one))]
            except SystemUnreachable as error:
                found.warn(f"which runs wrote the assets of {key[0]} {key[1]} could not be read: {error}")
                self._failed[key] += 1
                if self._failed[key] < MOST_TRIES:
                    break
                inputs = []
            _keep(self._known, key, inputs)
            found.add(_with(self._pending.pop(key), inputs))
        while len(self._pending) > MOST_KEPT:
            self._pending.pop(next(iter(self._pending)))

    def _sources(self, key: Key) -> list[Key]:
        reply = self._client.upstream_events(*key)
        rows = fields.rows(reply.table().get("asset_events")) if reply.status == 200 else []
        named = ((row.get("source_dag_id"), row.get("source_run_id")) for row in rows if isinstance(row, dict))
        found = {(dag, run): None for dag, run in named if isinstance(dag, str) and isinstance(run, str)}
        return [one for one in found if self._watched(one[0])][:MOST_INPUTS]

    def _told(self, source: Key) -> dict[str, str] | None:
        """The source as an input; None where Airflow no longer has it, or it cannot be read."""
        period = self._period(source)
        if period is None:
            reply = self._client.run(*source)
            try:
                period = period_of(reply.table()) if reply.status == 200 else None
            except RecordUnreadable:
                return None
        return None if period is None else {"job": fields.clean(source[0]), "period_key": period.key}


def _with(record: RunRecord, inputs: list[dict[str, str]]) -> RunRecord:
    return replace(record, context={**record.context, "inputs": inputs}) if inputs else record


def _keep(known: dict[Key, Any], key: Key, value: Any) -> None:
    while len(known) >= MOST_KEPT:
        known.pop(next(iter(known)))
    known[key] = value
