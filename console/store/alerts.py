"""Alerts and their deliveries as rows: the one place where an alert's route becomes deliveries.

Includes grouped alerts (several incidents in one message to a route) and the alert that a person is needed, made in
the
transaction that leaves something to them: it goes to the routes of its incident, else of its job's services, else to
the default route. What is in shadow goes to the shadow route alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.domain.alert import ALERT_PLACEHOLDER
from console.domain.ids import incident_name
from console.store import access, switches
from console.store.db.session import WriteSession
from console.store.events import record_event
from console.text.cleaning import clean_line, one_line

TEST, DIGEST, FALLBACK, HEADWAY, PERSON = "test", "digest", "fallback", "headway", "person"
GROUP, NOISE = "group", "noise"
"""Kinds that are not about one incident's change (`console.domain.alert.AlertKind` has those)."""
_ALERT = (
    "incident_id", "dedup_key", "kind", "version", "route", "title", "body", "plain_title", "plain_body", "made_us",
    "urgent", "waits", "let_us", "fallback_of",
)  # fmt: skip
_DELIVERY = (
    "alert_id", "url_index", "url_words", "state", "tries", "next_us", "repeats", "error", "since_us", "refusals",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewAlert:
    """One notice to one route, in words that are ready to be sent."""

    route: str
    kind: str
    title: str
    body: str
    dedup_key: str
    plain_title: str = ""
    plain_body: str = ""
    """The same without a word from outside."""
    incident_id: int | None = None
    version: int = 1
    urgent: bool = False
    waits: bool = True
    """Whether the outbox still has to decide that it leaves alone."""
    fallback_of: int | None = None
    not_before_us: int = 0
    """It leaves alone, and not before then; 0: now."""


def insert_alert(
    session: WriteSession, routes: Mapping[str, tuple[str, ...]], one: NewAlert, now_us: int
) -> int | None:
    """The alert's id, with a delivery for each URL of its route; None where the incident has told just that already.

    `routes`: route -> the words of each of its URLs. A route without one makes an alert that reaches nobody.
    """
    let_us = one.not_before_us or (0 if one.waits else now_us)
    columns = ", ".join(_ALERT)
    marks = ", ".join("?" * len(_ALERT))
    rows = session.rows(
        f"INSERT INTO alert ({columns}) VALUES ({marks})"  # noqa: S608  (our own column names)
        " ON CONFLICT (incident_id, route, kind, version) DO NOTHING RETURNING id",
        (
            one.incident_id, one.dedup_key, one.kind, one.version, one.route, one.title, one.body, one.plain_title,
            one.plain_body, now_us, one.urgent, one.waits and not one.not_before_us, let_us, one.fallback_of,
        ),
    )  # fmt: skip
    for (alert_id,) in rows:
        _fill_number(session, alert_id, one)
        session.insert(
            "delivery",
            _DELIVERY,
            [
                (alert_id, place, words, "pending", 0, one.not_before_us, 0, "", one.not_before_us or now_us, 0)
                for place, words in enumerate(routes.get(one.route, ()))
            ],
        )
        return int(alert_id)
    return None


def _fill_number(session: WriteSession, alert_id: int, one: NewAlert) -> None:
    """Puts the alert's own number into its words, where they name it."""
    if ALERT_PLACEHOLDER in one.body or ALERT_PLACEHOLDER in one.plain_body:
        told = (with_alert_number(one.body, alert_id), with_alert_number(one.plain_body, alert_id), alert_id)
        session.rows("UPDATE alert SET body = ?, plain_body = ? WHERE id = ?", told)


def with_alert_number(text: str, alert_id: int) -> str:
    return text.replace(ALERT_PLACEHOLDER, str(alert_id))


def send_as_group(
    session: WriteSession, routes: Mapping[str, tuple[str, ...]], alerts: Sequence[tuple[int, NewAlert]], now_us: int
) -> int | None:
    """One message for these alerts of one route; its alert's id. `alerts`: (id, as it was made)."""
    made = [new for _, new in alerts]
    texts = [(with_alert_number(new.body, number), with_alert_number(new.plain_body, number)) for number, new in alerts]
    title = f"[Headway] {len(made)} incidents: {'; '.join(_plain_title(one.title) for one in made)}"
    plain_title = f"[Headway] {len(made)} incidents: {'; '.join(_plain_title(one.plain_title) for one in made)}"
    body, plain = _join_bodies([text for text, _ in texts]), _join_bodies([text for _, text in texts])
    key = f"headway:group:{alerts[0][0]}"
    one = NewAlert(made[0].route, GROUP, title, body, key, plain_title, plain, waits=False)
    group_id = insert_alert(session, routes, one, now_us)
    for alert_id, _ in alerts:
        session.rows("UPDATE alert SET waits = ?, digest_id = ? WHERE id = ?", (False, group_id, alert_id))
        session.rows("UPDATE delivery SET state = 'digested' WHERE alert_id = ? AND state = 'pending'", (alert_id,))
    return group_id


def _plain_title(title: str) -> str:
    return title.removeprefix("[Headway] ")


def _join_bodies(bodies: Sequence[str]) -> str:
    return f"\n{'-' * 60}\n\n".join(bodies)


@dataclass(frozen=True, slots=True)
class AlertRouting:
    """Who can be told, as config has it. Without any, nobody is."""

    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Route -> the words of each of its URLs."""
    default: str = ""
    shadow: str = ""


NO_ROUTING = AlertRouting()


@dataclass(frozen=True, slots=True)
class AttentionRequest:
    """What a person must look at."""

    key: str
    """Of the plan or action: for receivers that know a notice again."""
    title: str
    """In words of our own: "plan 3 stopped"."""
    about: str
    """What it is about, which may hold names from outside."""
    why: str
    mend: tuple[str, ...]
    """Commands, and what each does."""
    by: str
    """Who asked for it."""
    incident_id: int | None
    job_id: int | None
    meanwhile: str = "Headway does nothing further here by itself."


def request_attention(session: WriteSession, audience: AlertRouting, need: AttentionRequest, now_us: int) -> None:
    """One alert for each route, and a line in the timeline where there is none."""
    found = [route for route in _routes(session, audience, need) if audience.routes.get(route)]
    for route in found:
        insert_alert(session, audience.routes, _attention_alert(session, need, route), now_us)
    if not found:
        words = f"{need.title}: no route is named for it, and there is no default route: nobody was told"
        record_event(session, now_us, "unsent", words, incident_id=need.incident_id, job_id=need.job_id)


def _attention_alert(session: WriteSession, need: AttentionRequest, route: str) -> NewAlert:
    name = f"{incident_name(need.incident_id)}: " if need.incident_id is not None else ""
    [(version,)] = session.rows(
        "SELECT COALESCE(max(version), 0) + 1 FROM alert WHERE incident_id = ? AND route = ? AND kind = ?",
        (need.incident_id, route, PERSON),
    )
    plain_title = f"[Headway] {name}{need.title}"
    plain = [f"A person is needed: {need.meanwhile}", "", *need.mend]
    body = [f"About:    {clean_line(need.about)}", f"Why:      {one_line(need.why)}",
            f"Asked by: {clean_line(need.by)}", "", *plain]  # fmt: skip
    return NewAlert(
        route=route,
        kind=PERSON,
        title=f"{plain_title}: {clean_line(need.about)}",
        body="\n".join(body) + "\n",
        dedup_key=f"headway:person:{need.key}",
        plain_title=plain_title,
        plain_body="\n".join(plain) + "\n",
        incident_id=need.incident_id,
        version=version,
    )


def _routes(session: WriteSession, audience: AlertRouting, need: AttentionRequest) -> list[str]:
    told = session.rows(
        "SELECT DISTINCT route FROM alert_told WHERE incident_id = ? AND words = 'technical' ORDER BY route",
        (need.incident_id,),
    )
    return [row[0] for row in told if row[0] in audience.routes] or _routes_of_job(session, audience, need.job_id)


def _routes_of_job(session: WriteSession, audience: AlertRouting, job_id: int | None) -> list[str]:
    modes = switches.load_modes(session)
    subject = access.action_subject(session, job_id) if job_id is not None else None
    services = [name for name, _ in subject.services] if subject is not None else []
    is_live = modes.estate_live if subject is None else modes.system_is_live(subject.system)
    if not is_live and not any(map(modes.service_is_live, services)):
        return [audience.shadow] if audience.shadow else []
    rows = session.rows("SELECT notify FROM job WHERE id = ?", (job_id,))
    for name in services:
        rows += session.rows("SELECT notify FROM service WHERE name = ? AND NOT removed", (name,))
    named = dict.fromkeys(route for row in rows for route in json.loads(row[0] or "[]"))
    return list(named) or ([audience.default] if audience.default else [])
