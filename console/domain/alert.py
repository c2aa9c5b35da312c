"""Alerting: routes and rotas of config, notifications, suppressions, silences, deliveries. Instants are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from console.domain.message import Link, Message
from console.domain.service import NOT_AT_RISK, Timeliness


class AlertKind(StrEnum):
    OPENED = "opened"
    UPDATED = "updated"
    RECOVERED = "recovered"
    REPEATED = "repeated"
    """Still open and unacknowledged."""
    ESCALATED = "escalated"
    """The first notification of a route, because the routes before did not acknowledge."""


NEEDS_PERSON = (AlertKind.OPENED, AlertKind.REPEATED, AlertKind.ESCALATED)
"""Kinds about an incident that need a person; alerts of kind "person" do too."""

INCIDENT_PLACEHOLDER = "{incident}"
"""Placeholder for the incident's number, which the store assigns and fills in."""


def with_incident(message: Message, name: str) -> Message:
    """The message with the incident's number filled in."""

    def change(part: Any) -> Any:
        if isinstance(part, Link):
            return Link(part.url.replace(INCIDENT_PLACEHOLDER, name))
        return part.replace(INCIDENT_PLACEHOLDER, name) if isinstance(part, str) else part

    return message.changed(change)


PUSH_LENGTH = 50
"""Characters of a title that a locked phone shows."""

TECHNICAL, BUSINESS, SHADOW = "technical", "business", "shadow"
"""The style of a notification."""
SHADOW_LABEL = "Shadow: "
"""Begins the title of what would have been sent."""
KIND_LABELS = {
    AlertKind.OPENED: "",
    AlertKind.UPDATED: "Update: ",
    AlertKind.RECOVERED: "Resolved: ",
    AlertKind.REPEATED: "Reminder: ",
    AlertKind.ESCALATED: "Escalated: ",
}
"""Begin the titles of notifications."""
REOPENED_LABEL = "Reopened: "
CLOSED_LABEL = "Closed: "
"""It ended without a repair."""
CAUSE_RESOLVED_LABEL = "Cause resolved: "
"""A service is not safe yet."""


MATCHERS = ("system", "job", "service", "tier", "owner", "route")
"""Matchers of silences."""
Matchers = tuple[tuple[str, str], ...]
"""(matcher, pattern); * matches any text; all must match."""


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """An alert of one route that has not been released."""

    id: int
    made_at: datetime
    urgent: bool
    incident: str = ""
    """Name of the incident; empty if it has none."""
    message: str = ""
    plain: str = ""
    """JSON of its messages: a digest alone reads them."""
    route: str = ""
    needs_person: bool = False
    """It needs a person whatever the later state of its incident is."""
    due_at: datetime | None = None
    """The hour for which an end waits; None for alerts that do not."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Local hours in which a route is not notified; across midnight if the end is earlier."""

    begins: time
    ends: time
    zone: str
    break_through: tuple[int, ...] = (1,)
    """Tiers that are notified despite quiet hours."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One `[routes.NAME]`: timing and style of its notifications."""

    name: str
    style: str = ""
    """"technical" or "business"; empty: technical to the root cause's owner, business to a service's."""
    wait: timedelta = timedelta(0)
    """`for`: how long a condition must last before a notification; tier 1 does not wait."""
    repeat_every: timedelta | None = None
    """Interval of repetitions while unacknowledged."""
    escalate_after: timedelta | None = None
    """Time without acknowledgement."""
    escalate_to: tuple[str, ...] = ()
    """The first route after `escalate_after`, each further one as much later."""
    quiet: QuietHours | None = None
    """`quiet_hours`: when only some tiers notify; the rest waits until the end, and is sent if still true."""
    rota: str = ""
    """The person on call is notified; in a gap the fallback, without one the route's own URLs."""
    fallback: str = ""
    """Route used if no URL of this one accepts an alert in time."""


@dataclass(frozen=True, slots=True)
class RotaRule:
    """One `[rotas.NAME]`, without the address of its calendar, which may be a secret."""

    name: str
    people: tuple[tuple[str, str], ...] = ()
    """(person as in the calendar, route)."""


@dataclass(frozen=True, slots=True)
class AlertingSettings:
    routes: tuple[RouteRule, ...] = ()
    rotas: tuple[RotaRule, ...] = ()
    link: str = ""
    """Address of the console or the status page in a browser, with the incident's number filled in; empty: none."""

    def route(self, name: str) -> RouteRule:
        return next((route for route in self.routes if route.name == name), RouteRule(name))


NO_ALERTING = AlertingSettings()


class IncidentPhase(StrEnum):
    """How far an incident is, as a route was notified of it."""

    OPEN = "open"
    HEALS = "heals"
    """Its next starts close it."""
    UNREPAIRED = "unrepaired"
    """A policy did not repair it."""
    REPAIRED = "repaired"
    """Its plan has repaired the cause, and goes on with all services safe."""
    CLOSED = "closed"


class JobErrors(NamedTuple):
    """A job that failed with more than one error, or again after a success, or a symptom with an error of its own."""

    job: str
    notified: int
    """Number of failures, at most `correlation.MAX_ERRORS`; 1 for the own error of a symptom."""
    after_success: bool
    """True if the job had succeeded before the last of them."""
    is_known: bool = False
    """True if the last of them has an error that was notified before."""

    @property
    def is_own(self) -> bool:
        return self.notified == 1

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        return self.after_success, self.is_known, self.is_own


class NotifiedDay(NamedTuple):
    """A service day, as a route was notified of it by one incident."""

    service: str
    business_date: date
    status: str
    """A `Timeliness`; empty for a day out of view."""
    expected: datetime | None = None
    act_by: datetime | None = None
    """Until when a restart saves it; None if none is needed."""

    @property
    def key(self) -> tuple[str, date]:
        return self.service, self.business_date


class NotifiedIncident(NamedTuple):
    """An incident, as a route was notified of it. Business text has its days alone."""

    cause: str = ""
    phase: IncidentPhase = IncidentPhase.OPEN
    errors: tuple[JobErrors, ...] = ()
    causes: tuple[str, ...] = ()
    """Further causes after the first, in the order in which they became the cause."""
    days: tuple[NotifiedDay, ...] = ()

    @property
    def day_keys(self) -> frozenset[tuple[str, date]]:
        return frozenset(day.key for day in self.days)


NOTHING_NOTIFIED = NotifiedIncident()


class RouteNotification(NamedTuple):
    """The last notification of an incident to a route."""

    route: str
    style: str
    content: NotifiedIncident
    first_at: datetime
    last_at: datetime
    times: int = 1
    until: datetime | None = None
    """Until when the last notification is delayed; None: sent at once."""
    accepted: tuple[datetime, ...] = ()
    """When a URL of the route accepted an alert about the incident, ascending."""
    is_undelivered: bool = False
    """No URL of the route has accepted the last notification or a later one."""

    def left_by(self, at: datetime) -> bool:
        return self.until is None or self.until <= at


class PresentDay(NamedTuple):
    """The present state of a service day of an alert, and the one that the alert was made with."""

    service: str
    """Its name."""
    title: str
    style: str
    """That in which its route was last notified."""
    zone: str
    deadline: datetime
    timeliness: Timeliness
    notified_as: str
    """The timeliness that the alert has."""
    is_affected: bool = True
    """True if an open incident affects it."""
    delivered: datetime | None = None
    expected: datetime | None = None
    act_by: datetime | None = None
    notified_act_by: datetime | None = None

    def has_changed(self, now: datetime) -> bool:
        """True for another timeliness, and for an act-by that has passed meanwhile."""
        is_passed = self.notified_act_by is not None and self.notified_act_by <= now
        return self.timeliness != self.notified_as or (is_passed and self.timeliness not in NOT_AT_RISK)


@dataclass(frozen=True, slots=True)
class SuppressedNotice:
    """A notification suppressed by a stage. `until`: end by time; None: ends with its reason."""

    route: str
    style: str
    kind: str
    stage: str
    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionFacts(SuppressedNotice):
    since: datetime


class AcknowledgementFacts(NamedTuple):
    """An acknowledged incident."""

    by: str
    until: datetime
    why: str = ""
    at: datetime | None = None


class SilenceFacts(NamedTuple):
    id: int
    matchers: Matchers
    begins: datetime
    until: datetime
    by: str
    why: str = ""


class OnCallShift(NamedTuple):
    """A person on call, from `begins` (inclusive) to `ends`."""

    person: str
    begins: datetime
    ends: datetime


def on_call(shifts: Sequence[OnCallShift], at: datetime) -> OnCallShift | None:
    """The shift at that instant; of overlapping ones the one that began last, as a swap overrides the regular shift."""
    return max(
        (shift for shift in shifts if shift.begins <= at < shift.ends),
        key=lambda shift: (shift.begins, shift.person),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class NotificationState:
    """Notifications and responses so far, of open incidents."""

    notified: Mapping[int, tuple[RouteNotification, ...]] = field(default_factory=dict)
    """By incident id, merged incidents included."""
    suppressions: Mapping[int, tuple[SuppressionFacts, ...]] = field(default_factory=dict)
    acks: Mapping[int, AcknowledgementFacts] = field(default_factory=dict)
    """By incident id: the newest that was not withdrawn."""
    silences: tuple[SilenceFacts, ...] = ()
    """Active and future ones, oldest first."""
    shifts: Mapping[str, tuple[OnCallShift, ...]] = field(default_factory=dict)
    """By rota."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery of a notification."""

    route: str
    kind: str
    receiver: str
    state: str
    tries: int
    repeats: int
    sent: datetime | None
    error: str
    made: datetime | None = None

    @property
    def is_replaced(self) -> bool:
        """True if another alert is sent in place of it, and was not accepted yet."""
        return self.state == "digested" and self.sent is None

    @property
    def status(self) -> str:
        """Its state, as a person reads it."""
        return "queued in another alert" if self.is_replaced else self.state

    @property
    def kind_label(self) -> str:
        """ "opened", "escalated", "person needed": its kind, where people read it."""
        return "person needed" if self.kind == "person" else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDeliveryView(DeliveryView):
    """One delivery of an alert, with its number in `headway alert`."""

    id: int
    title: str
    made: datetime
    next_try: datetime | None = None
    """None unless it is pending."""

    @property
    def is_over(self) -> bool:
        """True in a final state."""
        return self.state in ("sent", "parked", "digested", "dropped", "shadow")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionView(SuppressionFacts):
    incident_id: int
    ended: datetime | None = None
    ended_why: str = ""
    """ "notified", or why it was dropped; empty while suppressed, or if another notification replaced it."""

    @property
    def is_listed(self) -> bool:
        """True while it is suppressed, and for one that was dropped."""
        return self.ended is None or self.ended_why not in ("", "notified")

    @property
    def reason(self) -> str:
        """Why it is suppressed, or was dropped."""
        return self.ended_why or self.why


@dataclass(frozen=True, slots=True)
class RotaView:
    """A rota at one instant."""

    name: str
    source: str
    person: str
    """On call now; empty: no person."""
    until: datetime | None
    """End of that shift."""
    then: tuple[tuple[str, datetime, datetime], ...]
    """(person, begins, ends) of later shifts."""
    read: datetime | None
    known_until: datetime
    error: str
    """Why the last read failed, or what it left out."""


@dataclass(frozen=True, slots=True)
class SilenceView:
    id: int
    matchers: dict[str, str]
    begins: datetime
    until: datetime
    why: str
    by: str
    ended: datetime | None
    ended_by: str
