"""The displayed business date of a service, and the order of services: the same on every screen, command and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import IntEnum, auto
from typing import NamedTuple

from console.domain.service import ENDANGERED, ServiceEstimate, ServiceView, Timeliness, is_in_doubt, is_unverified


class DayStatus(NamedTuple):
    """A business date of a service, as it was last judged."""

    deadline: datetime
    timeliness: str
    is_delivered: bool
    incident_id: int | None = None

    @property
    def is_endangered(self) -> bool:
        return self.timeliness in ENDANGERED or is_in_doubt(self.timeliness, self.incident_id)

    @property
    def is_over(self) -> bool:
        """Delivered, or without a promise."""
        return self.is_delivered or self.timeliness == Timeliness.NO_PROMISE

    def is_current(self, now: datetime, opens: datetime) -> bool:
        """True until its deadline, or, if it was not delivered, until its window ends."""
        return self.deadline > now or (not self.is_delivered and self.deadline >= opens)


class DisplayedDay(NamedTuple):
    business_date: date
    is_later: bool = False
    """True for a date after the present one, which is no longer pending."""
    next: date | None = None
    """The first later date in danger, behind a present one that is pending."""


def displayed_day(
    days: Mapping[date, DayStatus], on: date, window: tuple[datetime, datetime], now: datetime
) -> DisplayedDay:
    """The present date until it is delivered or its window ends; then the first later one in danger, as notifications
    name it. `on`: the business date of now; `window`: the times between which the present deadlines lie."""
    opens, closes = window
    last = max(on, max((day for day, status in days.items() if status.deadline < closes), default=on))
    dates = sorted(days)
    current = next((day for day in dates if day <= last and days[day].is_current(now, opens)), None)
    present = last if current is None else current
    later = next((day for day in dates if day > present and days[day].is_endangered), None)
    if later is None or (current is not None and not days[current].is_over):
        return DisplayedDay(present, next=later)
    return DisplayedDay(later, is_later=True)


class Urgency(IntEnum):
    """The groups of services, the most urgent first."""

    SAVABLE = auto()
    """Endangered, and a restart may still deliver it in time or its deadline is ahead."""
    LOST = auto()
    """Endangered, and late whatever is done."""
    LATER = auto()
    """Endangered on a later date."""
    DELIVERED_LATE = auto()
    UNKNOWN = auto()
    """Without a verified forecast."""
    ON_TIME = auto()
    ENDED = auto()
    """Delivered, or without a promise."""


def urgency(view: ServiceView, now: datetime) -> Urgency:
    is_over = view.delivered is not None or not view.is_promised
    if view.needs_a_person and is_over:
        return Urgency.DELIVERED_LATE
    if view.needs_a_person:
        has_passed = view.last_chance <= now or view.timeliness == Timeliness.BREACHED
        is_lost = has_passed and not is_savable(view, now)
        return Urgency.LATER if view.is_later else Urgency.LOST if is_lost else Urgency.SAVABLE
    if is_over:
        return Urgency.ENDED
    is_unknown = view.timeliness == Timeliness.NO_ESTIMATE or is_unverified(view)
    return Urgency.UNKNOWN if is_unknown else Urgency.ON_TIME


def by_urgency(services: Iterable[ServiceView], now: datetime) -> list[ServiceView]:
    """By urgency, then by act-by or without one by deadline."""
    return sorted(services, key=lambda view: (urgency(view, now), view.last_chance, view.deadline, view.name))


def is_savable(service: ServiceEstimate, now: datetime) -> bool:
    """True if a restart may deliver it in time: until its act-by, and at risk after it."""
    is_at_risk = service.timeliness == Timeliness.AT_RISK
    is_late = service.timeliness == Timeliness.WILL_MISS
    return service.act_by is not None and (is_at_risk or (is_late and service.act_by > now))
