"""Triggers of Glue: what starts a job by the clock, and after which other jobs. Pure.

Facts: Glue API reference, "Triggers". A schedule is a cron expression of AWS's own kind, always in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.aws import instants
from connectors.aws.values import texts
from connectors.words import GLUE_TRIGGERS

Trigger = Mapping[str, Any]


def by_job(triggers: Sequence[Trigger]) -> dict[str, list[Trigger]]:
    """The triggers that start each job, by name."""
    found: dict[str, list[Trigger]] = {}
    for one in sorted(triggers, key=lambda each: str(each.get("Name"))):
        for name in {str(action.get("JobName")) for action in one.get("Actions") or () if action.get("JobName")}:
            found.setdefault(name, []).append(one)
    return found


def is_active(trigger: Trigger) -> bool:
    return str(trigger.get("State")) in ("ACTIVATED", "ACTIVATING")


def scheduled(triggers: Sequence[Trigger]) -> list[Trigger]:
    """Those that a clock fires."""
    return [one for one in triggers if one.get("Type") == "SCHEDULED"]


def is_paused(triggers: Sequence[Trigger]) -> bool:
    """True when something would start the job by itself, and all of that is deactivated."""
    starting = [one for one in triggers if one.get("Type") in ("SCHEDULED", "CONDITIONAL", "EVENT")]
    return bool(starting) and not any(map(is_active, starting))


def upstreams(triggers: Sequence[Trigger]) -> tuple[str, ...]:
    """Jobs whose end the active conditional triggers wait for."""
    conditions = [
        str(condition["JobName"])
        for one in triggers
        if one.get("Type") == "CONDITIONAL" and is_active(one)
        for condition in (one.get("Predicate") or {}).get("Conditions") or ()
        if condition.get("JobName")
    ]
    return tuple(dict.fromkeys(conditions))


def words(triggers: Sequence[Trigger]) -> str:
    """ "Glue trigger: nightly cron(15 4 * * ? *) UTC"."""
    parts = [
        f"{one.get('Name')} {one.get('Schedule')} UTC{'' if is_active(one) else ' (not active)'}"
        for one in scheduled(triggers)
    ]
    return f"{GLUE_TRIGGERS}{'; '.join(parts)}" if parts else ""


def next_instant(triggers: Sequence[Trigger], now: datetime) -> datetime | None:
    """When the first active one fires after `now`. None without one, and where any of them cannot be read."""
    try:
        found = [
            instants.next_of({"ScheduleExpression": one.get("Schedule")}, now)
            for one in scheduled(triggers)
            if is_active(one)
        ]
    except (ValueError, KeyError, OSError):
        return None
    return min((at for at in found if at is not None), default=None)


def arguments_for(trigger: Trigger, job: str) -> Mapping[str, str]:
    """What the trigger gives the job when it starts it."""
    for action in trigger.get("Actions") or ():
        if action.get("JobName") == job:
            return texts(action.get("Arguments"))
    return {}
