"""Schedules of EventBridge Scheduler: what they say, and our mark in their description. Pure.

Facts: EventBridge Scheduler API reference, GetSchedule and UpdateSchedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.aws import instants
from connectors.aws.values import Reply, instant
from connectors.contract import HOLD_MARK, HoldMark
from connectors.fields import digest
from connectors.words import CLOCK_OF_ITS_SOURCE

UPDATABLE = frozenset({
    "Name", "GroupName", "ScheduleExpression", "StartDate", "EndDate", "Description", "ScheduleExpressionTimezone",
    "State", "KmsKeyArn", "Target", "FlexibleTimeWindow", "ActionAfterCompletion",
})  # fmt: skip
READ_ONLY = frozenset({"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"})
DESCRIPTION_CHARACTERS = 512
ZONES_APART = timedelta(hours=14)


def full_name(schedule: Mapping[str, Any]) -> str:
    """ "default/nightly": group and name."""
    return f"{schedule.get('GroupName') or 'default'}/{schedule.get('Name')}"


def target_of(schedule: Mapping[str, Any]) -> str:
    """ARN of what it starts; "" where it names none."""
    return str((schedule.get("Target") or {}).get("Arn") or "")


def machine_of(schedule: Mapping[str, Any]) -> str:
    """ARN of the state machine that it starts, without version or alias; "" for other targets."""
    parts = target_of(schedule).split(":")
    return ":".join(parts[:7]) if parts[2:3] == ["states"] and parts[5:6] == ["stateMachine"] else ""


def mark_in(schedule: Mapping[str, Any]) -> HoldMark | None:
    """Our mark in its description."""
    return HoldMark.read(str(schedule.get("Description") or ""))


def is_enabled(schedule: Mapping[str, Any]) -> bool:
    return str(schedule.get("State")) == "ENABLED"


def is_over(schedule: Mapping[str, Any], now: datetime) -> bool:
    """True when its end or its only instant has passed for certain: there is nothing to hold any more."""
    end, once = instant(schedule.get("EndDate")), _only_instant(schedule)
    return any(at is not None and at < now for at in (end, once and once + ZONES_APART))


def turn_before(schedule: Mapping[str, Any], now: datetime, until: datetime) -> str:
    """What happens to it once in its life between now and then: "begins", "ends" or "starts its only time"."""
    once = _only_instant(schedule)
    if once is not None and once - ZONES_APART <= until:
        return "starts its only time"
    begins, ends = instant(schedule.get("StartDate")), instant(schedule.get("EndDate"))
    if begins is not None and now < begins <= until:
        return "begins"
    return "ends" if ends is not None and ends <= until else ""


def _only_instant(schedule: Mapping[str, Any]) -> datetime | None:
    """Of a one-time schedule, as if its zone were UTC."""
    once = instants.AT.fullmatch(str(schedule.get("ScheduleExpression") or ""))
    try:
        return datetime.fromisoformat(once[1]).replace(tzinfo=UTC) if once else None
    except ValueError:
        return None


def with_mark(schedule: Mapping[str, Any], mark: HoldMark) -> Reply:
    """The fields that hold it: disabled, everything else as it is."""
    description = str(schedule.get("Description") or "")
    return fields(schedule) | {
        "State": "DISABLED",
        "Description": f"{description} {mark.text}" if description else mark.text,
    }


def without_mark(schedule: Mapping[str, Any], enable: bool = True) -> Reply:
    """The fields that release it: its description as it was before our mark, and enabled, or else as it stands."""
    kept = {name: value for name, value in fields(schedule).items() if name != "Description"}
    description = plain(schedule)
    return kept | ({"State": "ENABLED"} if enable else {}) | ({"Description": description} if description else {})


def plain(schedule: Mapping[str, Any]) -> str:
    """Its description without our mark."""
    description = str(schedule.get("Description") or "")
    found = HOLD_MARK.search(description)
    return description[: found.start()].removesuffix(" ") + description[found.end() :] if found else description


def fields(schedule: Mapping[str, Any]) -> Reply:
    """What UpdateSchedule must be given: it resets whatever is left out."""
    return {name: value for name, value in schedule.items() if name not in READ_ONLY and value is not None}


def unknown_fields(schedule: Mapping[str, Any]) -> list[str]:
    """Names of fields that UpdateSchedule does not know here: they would be lost."""
    return sorted(set(schedule) - UPDATABLE - READ_ONLY)


def seen(schedule: Mapping[str, Any]) -> str:
    """A digest of all that a person could have changed; inputs do not leave AWS by it."""
    return digest(_flat(fields(schedule)))


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _flat(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_flat(one) for one in value]
    at = instant(value)
    return at.isoformat() if at else value


def words(schedules: Sequence[Mapping[str, Any]]) -> str:
    """ "EventBridge Scheduler: cron(15 4 * * ? *) Europe/Berlin". A hold of ours changes nothing in it. What names no
    instant is said: no dependency can hold by it."""
    parts = [_words(one) for one in schedules]
    return f"{CLOCK_OF_ITS_SOURCE}{'; '.join(parts)}" if parts else ""


def _words(schedule: Mapping[str, Any]) -> str:
    expression = str(schedule.get("ScheduleExpression") or full_name(schedule))
    zone = "" if expression.startswith("rate(") else f" {schedule.get('ScheduleExpressionTimezone') or 'UTC'}"
    window = schedule.get("FlexibleTimeWindow") or {}
    within = f" within {window.get('MaximumWindowInMinutes')} min" if window.get("Mode") == "FLEXIBLE" else ""
    is_off = not is_enabled(schedule) and mark_in(schedule) is None
    return f"{expression}{zone}{within}{' (disabled)' if is_off else ''}"


def next_instant(schedules: Sequence[Mapping[str, Any]], now: datetime) -> datetime | None:
    """When the first of them starts it after `now`, if nobody held it. None without one, and where any of them names no
    instant (`instants.unreadable`)."""
    try:
        found = [instants.next_of(one, now) for one in schedules if _counts(one)]
    except (ValueError, KeyError, OSError):
        return None
    return min((at for at in found if at is not None), default=None)


def _counts(schedule: Mapping[str, Any]) -> bool:
    """What a person disabled does not; what we hold does."""
    return is_enabled(schedule) or mark_in(schedule) is not None


def is_paused(schedules: Sequence[Mapping[str, Any]]) -> bool:
    """True when schedules start it and all of them are disabled."""
    return bool(schedules) and not any(is_enabled(one) for one in schedules)
