"""That a person is needed, told once: an alert in the transaction that leaves something to them.

It goes where its incident was told; without one to the routes of its job and of the services that hang on it, else to
the default route. What is in shadow is told to the shadow route alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from console.clean import clean_line, one_line
from console.model.ids import incident_name
from console.store import permissions, switches
from console.store.alert_rows import PERSON, NewAlert, insert_alert
from console.store.wire import Wire


@dataclass(frozen=True, slots=True)
class Audience:
    """Who can be told, as config has it. Without any, nobody is."""

    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Route -> the words of each of its URLs."""
    default: str = ""
    shadow: str = ""


NOBODY = Audience()


@dataclass(frozen=True, slots=True)
class Need:
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


def tell(lines: Wire, audience: Audience, need: Need, now_us: int) -> None:
    """One alert for each route, and a line in the timeline where there is none."""
    found = [route for route in _routes(lines, audience, need) if audience.routes.get(route)]
    for route in found:
        insert_alert(lines, audience.routes, _alert(lines, need, route), now_us)
    if not found:
        words = f"{need.title}: no route is named for it, and there is no default route: nobody was told"
        lines.rows(
            "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, 'unsent', ?, ?, ?, '')",
            (now_us, words, need.incident_id, need.job_id),
        )


def _alert(lines: Wire, need: Need, route: str) -> NewAlert:
    name = f"{incident_name(need.incident_id)}: " if need.incident_id is not None else ""
    [(version,)] = lines.rows(
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


def _routes(lines: Wire, audience: Audience, need: Need) -> list[str]:
    told = lines.rows(
        "SELECT DISTINCT route FROM alert_told WHERE incident_id = ? AND words = 'technical' ORDER BY route",
        (need.incident_id,),
    )
    return [row[0] for row in told if row[0] in audience.routes] or _routes_of_job(lines, audience, need.job_id)


def _routes_of_job(lines: Wire, audience: Audience, job_id: int | None) -> list[str]:
    modes = switches.modes(lines.rows)
    subject = permissions.subject_of_job(lines.rows, job_id) if job_id is not None else None
    services = [name for name, _ in subject.services] if subject is not None else []
    is_live = modes.estate_live if subject is None else modes.system_is_live(subject.system)
    if not is_live and not any(map(modes.service_is_live, services)):
        return [audience.shadow] if audience.shadow else []
    rows = lines.rows("SELECT notify FROM job WHERE id = ?", (job_id,))
    for name in services:
        rows += lines.rows("SELECT notify FROM service WHERE name = ? AND NOT removed", (name,))
    named = dict.fromkeys(route for row in rows for route in json.loads(row[0] or "[]"))
    return list(named) or ([audience.default] if audience.default else [])
