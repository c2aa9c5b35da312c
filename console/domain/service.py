"""Services: timeliness, the reasons of a verdict, and the service's row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

from console.domain.reason import BadDelivery, FinishExpected, LaterRisk, OutOfReach, Reason, reasons_text
from console.domain.text import Clock, Title, render


class Timeliness(StrEnum):
    """Headway's judgement of a run or service against its deadline; independent of state and evidence."""

    NO_ESTIMATE = "no_estimate"
    ON_TIME = "on_time"
    AT_RISK = "at_risk"
    WILL_MISS = "will_miss"
    BREACHED = "breached"
    MET_LATE = "met_late"
    MET = "met"
    NO_PROMISE = "no_promise"
    """Of a service, on a business date outside its calendar."""


def timeliness_label(timeliness: str) -> str:
    """Its word on screens, in notifications and reports."""
    return "delivered late" if timeliness == Timeliness.MET_LATE else timeliness.replace("_", " ")


UNMET_PROMISE = "undelivered"
"""The rule of a cause that is nothing but an unmet promise."""

T = TypeVar("T")

MAX_DEADLINE_DAY = 7
"""Days after the window of its business date at which a deadline may be configured."""
MAX_LEAD = timedelta(days=MAX_DEADLINE_DAY + 3)
"""Longest time from a business date to its deadline, its own windows included."""


DEADLINE_FACET = "deadline"
"""Name under which a job's reported deadline is stored."""


class ReportedDeadline(NamedTuple):
    """The deadline of a run, as an event of its scheduler reports it. Times are aware."""

    deadline: datetime
    of: datetime
    """When the run was due, or its data interval began."""
    is_interval: bool

    @property
    def text(self) -> str:
        """ "2026-11-26T07:00:00Z for the run of 2026-11-26T04:00:00Z". Raises ValueError as `parse`."""
        deadline, of = (f"{_as_utc(at):%Y-%m-%dT%H:%M:%SZ}" for at in (self.deadline, self.of))
        return f"{deadline} for the {'data' if self.is_interval else 'run'} of {of}"

    @classmethod
    def parse(cls, text: str) -> ReportedDeadline:
        """Raises ValueError, also for times without a zone or outside of 1970 to 9000."""
        deadline, _, of = text.partition(" for the ")
        kind, _, instant = of.partition(" of ")
        deadline_at, of_at = (_as_utc(datetime.fromisoformat(stamp)) for stamp in (deadline, instant))
        return cls(deadline_at, of_at, kind == "data")


def _as_utc(at: datetime) -> datetime:
    """Raises ValueError for a time without a zone or outside of 1970 to 9000."""
    if at.tzinfo is None or not 1970 <= at.year <= 9000:
        raise ValueError(at)
    return at.astimezone(UTC)


def status_label(service: ServiceView, is_old: bool = False) -> str:
    """Its status on screens. `is_old`: nothing is monitored."""
    label = timeliness_label(service.timeliness)
    return f"was {label}" if is_unverified(service, is_old) else label


def is_unverified(service: ServiceView, is_old: bool = False) -> bool:
    """True for a service that was fine and may not be any more: nothing is monitored, or a target that it needs is out
    of reach."""
    return (is_old or unseen_target(service) is not None) and service.timeliness in SAFE and service.delivered is None


def unseen_target(service: ServiceView) -> OutOfReach | None:
    """The target out of reach that it needs."""
    return next((reason for reason in service.reasons if isinstance(reason, OutOfReach)), None)


def unverified_text(service: ServiceView, clock: Clock) -> str:
    """Which target that it needs is out of reach; empty without one."""
    target = unseen_target(service)
    return "" if target is None else render(target.text, clock)


def later_text(service: ServiceView, clock: Clock) -> str:
    """The first later date in danger: "next: Tue 11:00, 36 % risk"; empty without one."""
    return reasons_text((reason for reason in service.reasons if isinstance(reason, LaterRisk)), clock)


def waits_for_polls(service: ServiceView) -> bool:
    """True if polls of the system that it still needs are paused."""
    return any(isinstance(reason, OutOfReach) and reason.paused_until is not None for reason in service.reasons)


LOST = (Timeliness.BREACHED, Timeliness.WILL_MISS)
"""Not delivered, and late or expected to be; the worst first."""
MISSED = (Timeliness.BREACHED, Timeliness.MET_LATE)
"""Not delivered by its deadline."""
DELIVERED = (Timeliness.MET, Timeliness.MET_LATE)
ENDANGERED = (*LOST, Timeliness.AT_RISK)
"""The worst first."""
SAFE = (Timeliness.ON_TIME, Timeliness.MET)
"""In time."""
NOT_AT_RISK = (*SAFE, Timeliness.MET_LATE)
"""In time, or delivered late: there is nothing left to repair."""


def is_in_doubt(timeliness: str, incident_id: int | None) -> bool:
    """True for a service without an estimate because of an open incident."""
    return timeliness == Timeliness.NO_ESTIMATE and incident_id is not None


def open_risk(p_late: float | None, timeliness: str) -> float | None:
    """None once the deadline has passed: that it is late is certain."""
    return None if timeliness == Timeliness.BREACHED else p_late


class RepairCase(StrEnum):
    """The repair that the estimates of a service with failed jobs assume."""

    USUAL = "usual repair"
    """The failed jobs are restarted after the usual repair time: simulated figures."""
    NOW = "restart now"
    """The failed jobs are restarted now: a plan, and estimates that are not simulated."""


def repair_case(act_by: datetime | None, p_late: float | None, reasons: Iterable[Reason]) -> RepairCase | None:
    """None for a service that waits for no repair; `reasons` of one whose job only takes too long have its finish."""
    if act_by is None or any(isinstance(reason, FinishExpected) for reason in reasons):
        return None
    return RepairCase.NOW if p_late is None else RepairCase.USUAL


INCOMPLETE_DATA = ("partial", "stale", "unknown")
"""States of delivered data that is not, or not known to be, as promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEstimate:
    """A service on one business date, with its promise, status and estimates."""

    name: str
    title: str
    """Its name, if the config names none."""
    tier: int
    zone: str
    business_date: str
    deadline: datetime
    timeliness: str
    delivered: datetime | None = None
    expected: datetime | None = None
    act_by: datetime | None = None
    green_by: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    p80: datetime | None = None
    """None if not simulated, as the next two."""
    p95: datetime | None = None
    p_late: float | None = None
    unreliable_because: str = ""
    """Why its forecasts are not trusted, by the outcome of earlier ones; empty if they are."""
    repair_case: RepairCase | None = field(init=False)
    """The case of its estimates, `expected` to `p_late`; None if it waits for no repair."""

    def __post_init__(self) -> None:
        case = repair_case(self.act_by, self.p_late, self.reasons) if self.delivered is None else None
        object.__setattr__(self, "repair_case", case)

    @property
    def risk(self) -> float | None:
        """P(late) while that is open; None once its deadline has passed."""
        return open_risk(self.p_late, self.timeliness)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView(ServiceEstimate):
    """A service on its current business date."""

    id: int
    owner: str
    runbook: str
    data_state: str = "open"
    late: datetime | None = None
    cause: str = ""
    incident_id: int | None = None
    sources: tuple[dict[str, object], ...] = ()
    path: tuple[str, ...] = ()
    """Jobs along the critical path, first to last."""
    promised: datetime | None = None
    """The deadline before an extension."""
    extension: str = ""
    """Person and reason of the extension; empty without one."""
    awaits: tuple[str, ...] = ()
    """Checks that are pending after all its jobs."""
    calendar: str = ""
    """Calendar of the dates with a promise; empty: all on which something of it runs."""
    critical: tuple[float, ...] = ()
    """Of each job of `path`: the probability that it decides the finish."""
    nights: int = 0
    """Earlier nights behind the forecast."""
    problem: Title | None = None
    """Title of its open incident."""
    has_plan: bool = False
    """True if a plan for it runs or was stopped: its estimate assumes another repair."""
    acknowledged_by: str = ""
    """The person who acknowledged it; empty: unacknowledged."""
    acknowledged_until: datetime | None = None
    is_later: bool = False
    """True on a date after the present one, which is no longer pending."""

    @property
    def last_chance(self) -> datetime:
        """Its act-by; without one its deadline."""
        return self.act_by or self.deadline

    def can_act(self, now: datetime) -> bool:
        """True until its act-by."""
        return self.act_by is not None and self.act_by > now

    def slack(self, now: datetime) -> timedelta | None:
        """The time left until its act-by; without one ahead, deadline less the expected finish, None if unknown."""
        if self.act_by is not None and self.act_by > now:
            return self.act_by - now
        return self.deadline - self.expected if self.expected is not None else None

    @property
    def is_promised(self) -> bool:
        """False on a date outside its calendar: its deadline means nothing."""
        return self.timeliness != Timeliness.NO_PROMISE

    @property
    def is_endangered(self) -> bool:
        """At risk or late, or without an estimate because of an open incident."""
        return self.timeliness in ENDANGERED or is_in_doubt(self.timeliness, self.incident_id)

    @property
    def needs_a_person(self) -> bool:
        """Endangered, or delivered late."""
        return self.is_endangered or self.timeliness == Timeliness.MET_LATE

    @property
    def has_delivered(self) -> bool:
        """True once all its jobs delivered, also data that does not keep the promise."""
        return self.delivered is not None or (
            self.data_state in INCOMPLETE_DATA and any(isinstance(reason, BadDelivery) for reason in self.reasons)
        )

    @property
    def delivery_text(self) -> str:
        """ "delivered", "delivered, partial", "delivered, data unknown"; empty if not delivered."""
        if not self.has_delivered:
            return ""
        return f"delivered, {self.data_text}" if self.data_text else "delivered"

    @property
    def data_text(self) -> str:
        """ "partial", "stale", "data unknown"; empty of complete or undelivered data."""
        if self.data_state not in INCOMPLETE_DATA:
            return ""
        return "data unknown" if self.data_state == "unknown" else self.data_state
