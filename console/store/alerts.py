"""Alerts and deliveries as rows: the one place where an alert's route becomes deliveries.

An alert that a person is needed is created in the transaction that needs them. It goes to the routes of its incident,
else of its job's services, else to the default route; in shadow, to the shadow route only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from console.domain.alert import PUSH_LENGTH
from console.domain.ids import incident_name, instant
from console.domain.message import NO_MESSAGE, CommandRef, Facts, Lines, Message, Quote, Reference, filled_blocks
from console.domain.message_group import group_message
from console.store import access, switches
from console.store.db.session import WriteSession
from console.store.events import record_event
from console.text.cleaning import clean_line, one_line
from console.timing.formats import local_time

TEST, DIGEST, FALLBACK, HEADWAY, PERSON = "test", "digest", "fallback", "headway", "person"
GROUP = "group"
"""Kinds that are not about one incident's change (`console.domain.alert.AlertKind` has those)."""
HEADWAY_RESOLVED = 2
"""Version of an alert about Headway itself, or of a test, which says that it is resolved."""
_ALERT = (
    "incident_id", "dedup_key", "kind", "version", "route", "message", "plain", "made_us", "urgent", "waits", "let_us",
    "fallback_of", "commands",
)  # fmt: skip
_DELIVERY = (
    "alert_id", "url_index", "receiver", "state", "tries", "next_us", "repeats", "error", "since_us", "refusals",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewAlert:
    """One alert for one route, its message complete."""

    route: str
    kind: str
    message: Message
    dedup_key: str
    plain: Message = NO_MESSAGE
    """The same without text from outside."""
    incident_id: int | None = None
    version: int = 1
    urgent: bool = False
    waits: bool = True
    """Whether the outbox still has to release it."""
    fallback_of: int | None = None
    not_before_us: int = 0
    """Sent on its own, not before then; 0: now."""
    first_url: int = 0
    """Index in the route of the first URL that it is sent to."""


def insert_alert(
    session: WriteSession, routes: Mapping[str, tuple[str, ...]], alert: NewAlert, now_us: int
) -> int | None:
    """The alert's id, with a delivery for each URL of its route; None if the incident has this very alert already.

    `routes`: route -> the text of each of its URL references. An alert for a route without one reaches no user."""
    let_us = alert.not_before_us or (0 if alert.waits else now_us)
    row = session.first(
        f"INSERT INTO alert ({', '.join(_ALERT)}) VALUES ({', '.join('?' * len(_ALERT))})"  # noqa: S608  (our own names)
        " ON CONFLICT (incident_id, route, kind, version) DO NOTHING RETURNING id",
        (
            alert.incident_id, alert.dedup_key, alert.kind, alert.version, alert.route, alert.message.to_json(),
            alert.plain.to_json(), now_us, alert.urgent, alert.waits and not alert.not_before_us, let_us,
            alert.fallback_of, json.dumps(alert.message.commands),
        ),
    )  # fmt: skip
    if row is None:
        return None
    session.insert(
        "delivery",
        _DELIVERY,
        [
            (row.id, index, text, "pending", 0, alert.not_before_us, 0, "", alert.not_before_us or now_us, 0)
            for index, text in enumerate(routes.get(alert.route, ()), alert.first_url)
        ],
    )
    return int(row.id)


def send_as_group(
    session: WriteSession, routes: Mapping[str, tuple[str, ...]], alerts: Sequence[tuple[int, NewAlert]], now_us: int
) -> int | None:
    """Creates one alert for these alerts of one route; its id. `alerts`: (id, as it was created)."""
    group = NewAlert(
        route=alerts[0][1].route,
        kind=GROUP,
        message=group_message([new.message for _, new in alerts]),
        dedup_key=f"headway:group:{alerts[0][0]}",
        plain=group_message([new.plain for _, new in alerts]),
        waits=False,
        urgent=any(new.urgent for _, new in alerts),
    )
    group_id = insert_alert(session, routes, group, now_us)
    put_into_digest(session, [alert_id for alert_id, _ in alerts], group_id)
    return group_id


def put_into_digest(session: WriteSession, alert_ids: Sequence[int], digest_id: int | None) -> None:
    """Releases alerts as parts of a digest or group, in place of their own pending deliveries."""
    session.many(
        "UPDATE alert SET waits = ?, digest_id = ? WHERE id = ?", [(False, digest_id, number) for number in alert_ids]
    )
    digested = "UPDATE delivery SET state = 'digested' WHERE alert_id = ? AND state = 'pending'"
    session.many(digested, [(number,) for number in alert_ids])


@dataclass(frozen=True, slots=True)
class AlertRouting:
    """Routes of the config. Without any, no user is notified."""

    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Route -> the text of each of its URL references."""
    default: str = ""
    shadow: str = ""


NO_ROUTING = AlertRouting()


@dataclass(frozen=True, slots=True)
class AttentionRequest:
    """A request for a person's attention."""

    key: str
    """Of the plan or action: receivers recognize a repeated alert by it."""
    title: str
    """Text of Headway alone: "plan 3 stopped"."""
    about: str
    """Its subject; may hold names from outside."""
    why: str
    fixes: tuple[tuple[str, str], ...]
    """Rows "Do" and "Open", each with its command, and "By hand"."""
    by: str
    """The requester."""
    incident_id: int | None
    job_id: int | None
    meanwhile: str = "Headway does nothing further here by itself."
    notes: tuple[str, ...] = ()
    """Sentences about the commands."""
    facts: tuple[tuple[str, str], ...] = ()
    """Further rows below the requester, each with its label."""
    approves: str = ""
    """The key of the action that its command "Do" approves."""


def request_attention(session: WriteSession, audience: AlertRouting, need: AttentionRequest, now_us: int) -> None:
    """Creates an alert for each route; without any, an event in the timeline."""
    notified = session.rows(
        "SELECT DISTINCT route FROM alert_notified WHERE incident_id = ? AND style = 'technical' ORDER BY route",
        (need.incident_id,),
    )
    routes = [row.route for row in notified if row.route in audience.routes]
    routes = routes or _routes_of_job(session, audience, need.job_id)
    with_url = [route for route in routes if audience.routes.get(route)]
    for route in with_url:
        insert_alert(session, audience.routes, _attention_alert(session, need, route, now_us), now_us)
    if not with_url:
        text = f"{need.title}: no route is configured for it, and there is no default route: not notified"
        record_event(session, now_us, "unsent", text, incident_id=need.incident_id, job_id=need.job_id)


def _first_promise(session: WriteSession, incident_id: int | None, now_us: int) -> str:
    """ "Supply plan 06:30": of the services that the incident affects and that are not delivered in time, the one that
    is due first; empty without one."""
    services = session.rows(
        "SELECT s.name, s.title, s.zone, i.deadline_us FROM incident_service i JOIN service s ON s.id = i.service_id"
        " WHERE i.incident_id = ? AND i.timeliness NOT IN ('met', 'met_late', 'on_time')"
        " ORDER BY i.deadline_us, s.name LIMIT 1",
        (incident_id,),
    )
    if not services:
        return ""
    [service] = services
    due = f" {local_time(instant(service.deadline_us), service.zone, instant(now_us))}"
    return clean_line(service.title or service.name, PUSH_LENGTH - len(due)) + due


def _attention_alert(session: WriteSession, need: AttentionRequest, route: str, now_us: int) -> NewAlert:
    [last] = session.rows(
        "SELECT COALESCE(max(version), 0) AS version FROM alert WHERE incident_id = ? AND route = ? AND kind = ?",
        (need.incident_id, route, PERSON),
    )
    number = (Reference(incident_name(need.incident_id)),) if need.incident_id is not None else ()
    promise = _first_promise(session, need.incident_id, now_us)
    verdict = (promise, f": {need.title}") if promise else (need.title[:1].upper() + need.title[1:],)
    about, why, by = clean_line(need.about), one_line(need.why), clean_line(need.by)
    refs: dict[str, Callable[[str], str | CommandRef]] = {
        "Do": partial(CommandRef, approves=need.approves),
        "By hand": str,
    }
    fixes = tuple((label, refs.get(label, CommandRef)(text)) for label, text in need.fixes)
    next_steps = filled_blocks(Facts(fixes), Lines((f"A person is needed: {need.meanwhile}", *need.notes)))
    return NewAlert(
        route=route,
        kind=PERSON,
        message=Message(
            (*verdict, f": {about}", *number), (Quote((why,)), *next_steps, Facts((("Requested by", by), *need.facts)))
        ),
        dedup_key=f"headway:person:{need.key}",
        plain=Message((*verdict, *number), next_steps),
        incident_id=need.incident_id,
        version=last.version + 1,
    )


def _routes_of_job(session: WriteSession, audience: AlertRouting, job_id: int | None) -> list[str]:
    modes = switches.load_modes(session)
    subject = access.action_subject(session, job_id) if job_id is not None else None
    services = [name for name, _ in subject.services] if subject is not None else []
    is_live = modes.system_is_live(subject.system) if subject is not None else modes.estate_live or not modes.has_mode
    if not is_live and not any(map(modes.service_is_live, services)):
        return [audience.shadow] if audience.shadow else []
    rows = session.rows("SELECT notify FROM job WHERE id = ?", (job_id,))
    for name in services:
        rows += session.rows("SELECT notify FROM service WHERE name = ? AND NOT removed", (name,))
    routes = dict.fromkeys(route for row in rows for route in json.loads(row.notify or "[]"))
    return list(routes) or ([audience.default] if audience.default else [])
