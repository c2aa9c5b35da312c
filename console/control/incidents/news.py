"""News of an incident: one class for each kind of change that a receiver does not know yet.

The values are made once. Candidates and suppression stages ask for their classes; the texts are rendered last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.domain.alert import IncidentPhase, NotifiedIncident
from console.domain.ids import incident_name
from console.domain.incident_record import IncidentFingerprint
from console.text.lists import listed

MAX_MERGED = 3
"""Incidents named as symptoms."""
AFTER_SUCCESS = (True, False, False)
"""The `JobErrors.kind` of another failure than the one that was acknowledged."""
_ERROR_TEXTS = {
    AFTER_SUCCESS: "failed again after a success, with another error",
    (True, True, False): "failed again after a success",
    (False, False, False): "failed again, with another error",
    (False, False, True): "failed as well, with an error of its own",
}
"""By `JobErrors.kind`, in their order."""


@dataclass(frozen=True)
class Change:
    """A change that a receiver does not know yet."""

    subject: str = ""
    """As its text has it; empty for one without a text."""


@dataclass(frozen=True)
class NewCause(Change):
    before: str = ""


class NextCause(NewCause):
    """The root is repaired, and what it left broken is not."""


@dataclass(frozen=True)
class NewError(Change):
    kind: tuple[bool, bool, bool] = AFTER_SUCCESS


@dataclass(frozen=True)
class NewPhase(Change):
    """`subject`: the policy that did not repair it, in that phase."""

    came_back: bool = False
    """True if the same failure came back after its repair."""


class NewDay(Change):
    """The receiver does not know that a service day is affected. `subject`: its service, if no day of it is known."""


class Merged(Change):
    """An open incident became a part of it: not notified for that alone."""


class Missed(Change):
    """The deadline of a service passed."""


class DayChange(Change):
    """A known service day is at risk, more than before or with another expected time."""


class DayOver(Change):
    """A service day is safe again, or delivered."""


class DeliveredLate(DayOver):
    """A service day was delivered after its deadline."""


@dataclass(frozen=True, kw_only=True)
class EarlierActBy(Change):
    """A restart has to be sent materially earlier."""

    was: datetime
    act_by: datetime


class Overtaken(Change):
    """The receiver has not accepted its last notification, and an instant that it names has passed meanwhile."""


def changes_of(
    before: NotifiedIncident, current: IncidentFingerprint, merges: Mapping[int, str] | None = None
) -> Iterator[Change]:
    """The changes of an incident for a receiver that knows it as `before`, in the order of their texts."""
    now, services = current.notified, {day.service for day in before.days}
    if now.cause != before.cause:
        yield NewCause(now.cause, before.cause)
    errors = [error for error in now.errors if error not in before.errors]
    yield from (NewError(error.job, kind) for kind in _ERROR_TEXTS for error in errors if error.kind == kind)
    if now.phase is not before.phase:
        yield left_to_people(current) if now.phase is IncidentPhase.UNREPAIRED else NewPhase()
    for service, _ in sorted(now.day_keys - before.day_keys):
        yield NewDay("" if service in services else service)
    yield from (Merged(f"{incident_name(incident)} ({job})") for incident, job in (merges or {}).items())
    if now.causes and now.causes[-1:] != before.causes[-1:]:
        yield NextCause(now.causes[-1], before.causes[-1] if before.causes else before.cause)


def left_to_people(current: IncidentFingerprint) -> NewPhase:
    return NewPhase(current.left_by, current.came_back)


def change_texts(changes: Iterable[Change], title: str = "") -> list[str]:
    """A text for each kind of change. `title`: that of the message, which is not repeated."""
    subjects: dict[Change, dict[str, None]] = {}
    for change in changes:
        if change.subject:
            subjects.setdefault(replace(change, subject=""), {})[change.subject] = None
    return [text for change, names in subjects.items() if (text := _text(change, [*names], title))]


def _text(change: Change, subjects: Sequence[str], title: str) -> str:
    names = list_names(subjects)
    match change:
        case NewCause(before=before) if _is_named(names, title):
            return f"the cause is no longer {before}" if before else ""
        case NextCause():
            return f"the cause is now {names}"
        case NewCause():
            return f"root cause is {names}"
        case NewError(kind=kind):
            return f"{_ERROR_TEXTS[kind]}: {names}"
        case NewPhase(came_back=True):
            return f"policy {names} does not repair it again: the same failure came back after its repair"
        case NewPhase():
            return f"policy {names} did not repair it"
        case NewDay():
            return f"also affects {names}"
        case Merged():
            return f"{listed(subjects, MAX_MERGED)} {'has' if len(subjects) == 1 else 'have'} the same cause"
        case Missed():
            return f"also past the deadline: {names}"
        case EarlierActBy():
            return f"act-by moved {names}"
    return ""


def _is_named(name: str, text: str) -> bool:
    """True if the text has the whole name."""
    return any(f" {name}{end}" in f" {text} " for end in (" ", ", ", ": "))


def list_names(names: Iterable[str]) -> str:
    return ", ".join(names)
