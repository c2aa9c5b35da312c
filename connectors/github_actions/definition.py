"""A workflow's file -> what starts it, its jobs and their order. Pure; any text gives a value or RecordUnreadable.

The API tells neither: schedules, `needs` and inputs stand only in the file on the default branch, which is also the one
that GitHub's clock reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable

KEY_INPUT = "headway_key"
"""Of workflow_dispatch: it gets our key. In `run-name` it is seen from outside."""
PERIOD_INPUT = "headway_period"
"""Of workflow_dispatch: it gets the period's instant."""
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_IN_NAME = re.compile(r"\$\{\{[^}]*\b(github\.event\.)?inputs\.headway_key\b[^}]*\}\}")


@dataclass(frozen=True, slots=True)
class Task:
    """A job of the file: its key, what GitHub calls it (a pattern where that holds expressions), what it waits for."""

    name: str
    title: str
    needs: tuple[str, ...]
    soft: bool
    """`continue-on-error`: its failure leaves the run green."""
    definition: str

    def runs_as(self, shown: str) -> bool:
        """Whether a job of a run is this one: itself, one of its matrix, or a job of the workflow that it calls."""
        return _named(self.title).fullmatch(shown) is not None or _named(self.name).fullmatch(shown) is not None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a workflow's file says."""

    crons: tuple[tuple[str, str], ...] = ()
    """Expression and zone of each schedule."""
    triggers: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Names of the workflows whose end starts it."""
    inputs: Mapping[str, bool] = field(default_factory=dict)
    """Of workflow_dispatch: whether it must be given."""
    shows_key: bool = False
    tasks: tuple[Task, ...] = ()

    @property
    def is_soft(self) -> bool:
        return any(task.soft for task in self.tasks)

    def task_of(self, shown: str) -> str | None:
        """The key of the task that a job of a run is; None for one that the file of now does not have."""
        return next((task.name for task in self.tasks if task.runs_as(shown)), None)


def read(text: str) -> Definition:
    """The definition in a file. Raises RecordUnreadable."""
    import yaml

    try:
        whole = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordUnreadable(f"it is no YAML: {str(error)[:150]}") from None
    if not isinstance(whole, dict):
        raise RecordUnreadable("it is no YAML mapping")
    on = _triggers(whole.get("on", whole.get(True)))  # YAML 1.1 reads the word "on" as true
    manual, chained = on.get("workflow_dispatch"), on.get("workflow_run")
    inputs = _inputs(manual.get("inputs")) if isinstance(manual, dict) else {}
    return Definition(
        crons=_crons(on.get("schedule")),
        triggers=tuple(sorted(on)),
        after=_texts(chained.get("workflows")) if isinstance(chained, dict) else (),
        inputs=inputs,
        shows_key=KEY_INPUT in inputs and _IN_NAME.search(str(whole.get("run-name") or "")) is not None,
        tasks=_tasks(whole.get("jobs")),
    )


def _triggers(on: Any) -> dict[str, Any]:
    if isinstance(on, dict):
        return {_text(name): value for name, value in on.items()}
    return dict.fromkeys(_texts(on))


def _crons(schedule: Any) -> tuple[tuple[str, str], ...]:
    rows = [row for row in fields.rows(schedule) if isinstance(row, dict) and isinstance(row.get("cron"), str)]
    return tuple((" ".join(_text(row["cron"]).split()), _text(row.get("timezone") or "UTC")) for row in rows)


def _inputs(found: Any) -> dict[str, bool]:
    if not isinstance(found, dict):
        return {}
    told = {}
    for name, given in found.items():
        row = given if isinstance(given, dict) else {}
        told[_text(name)] = row.get("required") is True and row.get("default") in (None, "")
    return told


def _tasks(jobs: Any) -> tuple[Task, ...]:
    if not isinstance(jobs, dict):
        return ()
    return tuple(_task(_text(name), row if isinstance(row, dict) else {}) for name, row in jobs.items())


def _task(name: str, row: Mapping[Any, Any]) -> Task:
    soft = row.get("continue-on-error")
    runs = row.get("uses") or row.get("runs-on")
    return Task(
        name=name,
        title=_text(row.get("name") or name),
        needs=_texts(row.get("needs")),
        soft=soft is True or isinstance(soft, str),
        definition=f"{'uses' if row.get('uses') else 'runs on'} {_text(runs)}" if runs else "",
    )


def _named(title: str) -> re.Pattern[str]:
    plain = ".*".join(re.escape(part) for part in _EXPRESSION.split(title)) if len(title) < 500 else re.escape(title)
    return re.compile(rf"{plain}( \(.*\))?( / .*)?", re.DOTALL)


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(_text(one) for one in found if isinstance(one, str))


def _text(value: Any) -> str:
    return fields.clean(str(value))[:1000]
