"""Tasks that wait for a person's answer (human in the loop, Airflow 3.1 and later): what they ask, told with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connectors import fields
from connectors.airflow.client import AirflowClient
from connectors.contract import RecordUnreadable, RunRecord, State, SystemUnreachable
from connectors.gathered import Gathered

MOST_KEPT = 1000
SUBJECT_CHARACTERS = 200


class Questions:
    """Asks once for what is open where a task waits whose question is not known. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client
        self._known: dict[str, str] = {}

    def attach(self, found: Gathered) -> None:
        """Puts the question into the message of each task that waits for an answer."""
        waiting = [one for one in found.records.values() if _waits(one)]
        if any(one.attempt_key not in self._known for one in waiting):
            try:
                self._read()
                for one in waiting:
                    self._known.setdefault(one.attempt_key, "")
            except SystemUnreachable as error:
                found.warn(f"what tasks ask could not be read: {error}")
        for one in waiting:
            words = self._known.get(one.attempt_key, "")
            if words:
                found.add(replace(one, message=words if not one.message else f"{words}; {one.message}"))

    def _read(self) -> None:
        while len(self._known) > MOST_KEPT:
            self._known.pop(next(iter(self._known)))
        reply = self._client.questions()
        rows = fields.rows(reply.table().get("hitl_details")) if reply.status == 200 else []
        for row in rows:
            try:
                asked = fields.table(row)
                self._known[fields.text(fields.table(asked.get("task_instance")), "id")] = words_of(asked)
            except RecordUnreadable:
                continue


def _waits(one: RunRecord) -> bool:
    return one.state is State.WAITING and one.reason == "approval"


def options_of(asked: Mapping[str, Any]) -> list[str]:
    """What may be answered."""
    return [fields.clean(one) for one in fields.rows(asked.get("options")) if isinstance(one, str)]


def words_of(asked: Mapping[str, Any]) -> str:
    """ "asks: Release the numbers? (Approve, Reject)". Raises RecordUnreadable."""
    return f"asks: {fields.words(asked, 'subject')[:SUBJECT_CHARACTERS]} ({', '.join(options_of(asked))})"
