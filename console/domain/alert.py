"""Alerting: routes and rotas of config, notifications, suppressions, silences, deliveries. Instants are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple


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
PUSH_LENGTH = 50
"""Characters of a title that a locked phone shows."""
ALERT_PLACEHOLDER = "{alert}"
"""Placeholder for the alert's own number."""

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


MAX_TITLE_INCIDENTS = 3


def digest_title(titles: Sequence[str]) -> str:
    """ "Daily revenue 07:30 at risk, and 3 more alerts": begins with the first that is not resolved. Equal titles are
    shown once, with their incidents: "Daily revenue 07:30 at risk: restart load and extract [INC-0001, INC-0002]"."""
    resolved = KIND_LABELS[AlertKind.RECOVERED]
    if verdict := _shared_verdict(titles):
        further = f" and {len(titles) - MAX_TITLE_INCIDENTS} more" if len(titles) > MAX_TITLE_INCIDENTS else ""
        return f"{verdict} [{', '.join(map(_incident_of, titles[:MAX_TITLE_INCIDENTS]))}{further}]"
    titles = [title.removeprefix(SHADOW_LABEL) for title in titles]
    first = next((title for title in titles if not title.startswith(resolved)), None)
    if first is None:
        return f"{resolved}{len(titles)} incident{'s' if len(titles) > 1 else ''}"
    for label in filter(None, (*KIND_LABELS.values(), REOPENED_LABEL, CLOSED_LABEL, CAUSE_RESOLVED_LABEL)):
        first = first.removeprefix(label)
    suffix = f", and {len(titles) - 1} more alert{'s' if len(titles) > 2 else ''}" if len(titles) > 1 else ""
    return f"{first.partition(': ')[0].partition(' [')[0]}{suffix}"


def group_titles(titles: Sequence[str]) -> list[str]:
    """Title of each message of a group; of equal ones the incident alone, as that of the group has the verdict."""
    return list(map(_incident_of, titles) if _shared_verdict(titles) else titles)


def _shared_verdict(titles: Sequence[str]) -> str:
    """The verdict that all have; empty if they differ."""
    verdicts = {title.rpartition(" [")[0] for title in titles}
    return verdicts.pop() if len(titles) > 1 and len(verdicts) == 1 else ""


def _incident_of(title: str) -> str:
    return title.rpartition(" [")[2].rstrip("]")


MATCHERS = ("system", "job", "service", "tier", "owner", "route")
"""Matchers of silences and inhibit rules."""
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
    title: str = ""
    plain_title: str = ""
    route: str = ""
    zone_label: str = ""
    """Label of the zone of its times; empty without one."""
    commands: tuple[str, ...] = ()
    """The commands that it asks for."""
    needs_person: bool = False
    """It needs a person whatever the later state of its incident is."""


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
    group_wait: timedelta = timedelta(0)
    repeat_every: timedelta | None = None
    escalate_after: tuple[tuple[int, timedelta], ...] = ()
    """(tier, time without acknowledgement); tier 0: all others, and incidents without an affected service."""
    escalate_to: tuple[str, ...] = ()
    """The first route after `escalate_after`, each further one as much later."""
    quiet: QuietHours | None = None
    rota: str = ""
    """The person on call is notified instead of the route's own URLs."""
    fallback: str = ""
    templated: bool = False


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """One `[[inhibit]]`: an open incident that fits `by` suppresses those that fit `what` and agree with it in each of
    `equal`."""

    by: Matchers
    what: Matchers
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RotaRule:
    """One `[rotas.NAME]`, without the address of its calendar, which may be a secret."""

    name: str
    people: tuple[tuple[str, str], ...] = ()
    """(person as in the calendar, route)."""


@dataclass(frozen=True, slots=True)
class AlertingSettings:
    routes: tuple[RouteRule, ...] = ()
    inhibit: tuple[InhibitRule, ...] = ()
    rotas: tuple[RotaRule, ...] = ()
    noise_report: str = ""
    """Route of the weekly noise report; empty: none."""
    link: str = ""
    """Address of the console or the status page in a browser, with the incident's number filled in; empty: none."""

    def route(self, name: str) -> RouteRule:
        return next((route for route in self.routes if route.name == name), RouteRule(name))


NO_ALERTING = AlertingSettings()


class RouteNotification(NamedTuple):
    """The last notification of an incident to a route."""

    route: str
    style: str
    fingerprint: str
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


class SuppressionFacts(NamedTuple):
    route: str
    style: str
    kind: str
    stage: str
    why: str
    since: datetime
    until: datetime | None = None


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
    def kind_label(self) -> str:
        """ "opened", "escalated", "person needed": its kind, where people read it."""
        return "person needed" if self.kind == "person" else self.kind


@dataclass(frozen=True, slots=True)
class AlertDeliveryView:
    """One delivery of an alert, with its number in `headway alert`."""

    id: int
    route: str
    kind: str
    title: str
    receiver: str
    state: str
    tries: int
    repeats: int
    made: datetime
    sent: datetime | None
    error: str
    next_try: datetime | None = None
    """None unless it is pending."""

    @property
    def is_over(self) -> bool:
        """True in a final state."""
        return self.state in ("sent", "parked", "digested", "dropped", "shadow")


@dataclass(frozen=True, slots=True)
class SuppressionView:
    incident_id: int
    route: str
    style: str
    kind: str
    stage: str
    why: str
    since: datetime
    until: datetime | None
    ended: datetime | None
    ended_why: str
    """ "notified", or why it was dropped; empty while suppressed, or if another notification replaced it."""

    @property
    def is_listed(self) -> bool:
        """True while it is suppressed, and for one that was dropped."""
        return self.ended is None or self.ended_why not in ("", "notified")


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
