"""Task instances that are asked for by name: what was read, and of which task the answer proves that it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors import fields
from connectors.airflow.client import PAGE_LIMIT, AirflowClient
from connectors.airflow.parse_tasks import Instance, Key, instance
from connectors.airflow.walk import page_at
from connectors.contract import RecordUnreadable
from connectors.gathered import Gathered

MOST_LISTED = 20
"""Pages of one look at named task instances: 2,000 mapped instances."""


@dataclass(slots=True)
class Named:
    """The answer to one question."""

    read: list[Instance] = field(default_factory=list)
    unread: list[Any] = field(default_factory=list)
    """Rows that could not be read, as they came."""
    whole: bool = True
    """False where rows were left out, or belong to another question."""

    def is_gone(self, key: Key) -> bool:
        """True where neither what was read nor what could not be can be an instance of this task."""
        return (
            self.whole
            and all(one.key != key for one in self.read)
            and not any(_may_be(row, key) for row in self.unread)
        )

    def is_partly_read(self, key: Key) -> bool:
        """True where a row that could not be read names this very task: what was read of it is not all there is."""
        return any(_names(row) == key for row in self.unread)

    def unread_of(self, run: tuple[str, str]) -> list[str]:
        """Names of tasks of this run (dag, run) whose rows could not be read."""
        return [names[2] or "a task without a name" for names in map(_names, self.unread) if names[:2] == run]


def _names(row: Any) -> tuple[str, ...]:
    """Dag, run and task of a row, "" for each that cannot be read."""
    found = (row.get(name) if isinstance(row, dict) else None for name in ("dag_id", "dag_run_id", "task_id"))
    return tuple(fields.clean(name) if isinstance(name, str) else "" for name in found)


def _may_be(row: Any, key: Key) -> bool:
    """By as many of its names as can be read."""
    return all(name in ("", part) for name, part in zip(_names(row), key, strict=True))


def named(client: AirflowClient, body: Mapping[str, Any], found: Gathered) -> Named:
    """Task instances by name, all pages. Raises AnswerUnfit where the answer is no list."""
    answer = Named()
    offset = 0
    for _ in range(MOST_LISTED):
        reply = client.some_task_instances(body, offset)
        rows, following = page_at(reply, "task_instances", offset, shared=0)
        _take(answer, body, rows, found)
        if following is None:
            return answer
        offset = following
    answer.whole = False
    found.warn(f"more than {MOST_LISTED * PAGE_LIMIT} task instances were asked for at once; the rest is left out")
    return answer


def _take(answer: Named, body: Mapping[str, Any], rows: Sequence[Any], found: Gathered) -> None:
    """Without those of an answer that belongs to another question."""
    names = [set(body[name]) for name in ("dag_ids", "dag_run_ids", "task_ids") if name in body]
    for one in read(rows, found, answer.unread):
        if all(part in asked for part, asked in zip(one.key, names, strict=False)):
            answer.read.append(one)
        else:
            answer.whole = False
            error = RecordUnreadable("the answer is about another task than we asked for")
            found.skip("taskInstances", error, dict(one.row))


def read(rows: Sequence[Any], found: Gathered, unread: list[Any] | None = None) -> list[Instance]:
    """What can be read of a list; the rest is counted, and added to `unread`."""
    able: list[Instance] = []
    for row in rows:
        try:
            able.append(instance(row))
        except RecordUnreadable as error:
            found.skip("taskInstances", error, row)
            if unread is not None:
                unread.append(row)
    return able
