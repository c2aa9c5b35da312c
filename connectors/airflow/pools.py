"""Why a task waits for a slot: its pool is full. Told with the task, as long as it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from connectors import fields
from connectors.airflow.client import AirflowClient
from connectors.contract import RecordUnreadable, RunRecord, State, SystemUnreachable
from connectors.gathered import Gathered

REFUSED_SECONDS = 600.0
"""An account that may not read pools is not asked for them again so long."""


class Pools:
    """Asks for all pools where a task waits for a slot, at most once in a poll. One per Airflow."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._not_before = 0.0

    def attach(self, found: Gathered) -> None:
        """Puts the pool into the message of each task that waits for a slot of one that is full. The number of tasks
        that wait is left out: it changes in each poll."""
        waiting = [one for one in found.records.values() if _waits(one)]
        full: dict[str, int] = {}
        if waiting and self._monotonic() >= self._not_before:
            try:
                full = self._full()
            except SystemUnreachable as error:
                found.warn(f"pools could not be read: {error}")
        for one in waiting:
            slots = full.get(str(one.context["pool"]))
            if slots is not None:
                words = f"pool {one.context['pool']} is full ({slots} slot{'s' * (slots != 1)})"
                found.add(replace(one, message=words if not one.message else f"{words}; {one.message}"))

    def _full(self) -> dict[str, int]:
        """Slots of each pool that has none left; -1 open ones are no limit."""
        reply = self._client.pools()
        if reply.status != 200:
            self._not_before = self._monotonic() + REFUSED_SECONDS
            return {}
        full: dict[str, int] = {}
        for row in fields.rows(reply.table().get("pools")):
            try:
                pool = fields.table(row)
                slots, left = fields.number(pool, "slots", -1), fields.number(pool, "open_slots", 1)
                if slots >= 0 and left <= 0:
                    full[fields.text(pool, "name")] = slots
            except RecordUnreadable:
                continue
        return full


def _waits(one: RunRecord) -> bool:
    return one.state is State.WAITING and one.reason == "slot" and bool(one.context.get("pool"))
