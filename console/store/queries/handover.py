"""What happened since a time, and what is still open: for the next shift."""

from __future__ import annotations

from datetime import datetime, timedelta

from console.domain.handover import ActiveOverride, HandoverView, NoteView, ServiceNight, SwitchChange
from console.domain.ids import instant, micros
from console.domain.incident import IncidentRow
from console.domain.service import instance_name
from console.domain.switches import FREEZE, format_freeze
from console.store.db.session import Row
from console.store.queries.actions import ActionQueries
from console.store.queries.alerts import AlertQueries
from console.store.queries.audit import verb_shown
from console.store.queries.base import ReadStore, to_view
from console.store.queries.estate import EstateQueries
from console.store.queries.holds import HoldQueries
from console.store.queries.incidents import IncidentQueries
from console.text.cleaning import clean_line

DEADLINES_WITHIN = timedelta(hours=12)
"""How far ahead services at risk are told: the next shift."""
_SERVICES = (
    "SELECT s.name, s.title, s.tier, s.zone, d.bd, d.deadline_us, d.timeliness, d.delivered_us, d.act_by_us, d.cause,"
    " d.incident_id, EXISTS (SELECT 1 FROM incident_service x WHERE x.service_id = s.id AND x.bd = d.bd"
    " AND x.submission = d.submission) AS was_hurt, d.instance"
    " FROM service_day d JOIN service s ON s.id = d.service_id WHERE {where} ORDER BY d.deadline_us, s.tier, s.name"
)
_BY_PEOPLE = ("note", "acknowledged", "lapsed")
"""Kinds of events that a person made."""
_SWITCH_VERBS = ("freeze", "thaw", "turn on", "turn off", "turn live", "turn shadow", "pause polling", "resume polling")
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)


class HandoverQueries:
    """The summary for the next shift."""

    def __init__(
        self,
        store: ReadStore,
        incidents: IncidentQueries,
        estate: EstateQueries,
        actions: ActionQueries,
        holds: HoldQueries,
        alerts: AlertQueries,
    ) -> None:
        self.store = store
        self.link = store.link
        self.incidents = incidents
        self.estate = estate
        self.actions = actions
        self.holds = holds
        self.alerts = alerts

    def handover_since(self, since: datetime) -> HandoverView:
        """Everything since then, and what is open now."""
        now, since_us = self.store.now(), micros(since)
        ended = [
            one for one in self.incidents.list_incidents(closed=True) if one.closed is not None and one.closed >= since
        ]
        is_open = self.incidents.list_incidents()
        return HandoverView(
            since=since,
            at=now,
            open=tuple(is_open),
            opened=tuple(sorted((one for one in [*is_open, *ended] if one.opened >= since), key=_opened)),
            closed=tuple(sorted(ended, key=_opened)),
            notes=self._notes(since_us),
            services=self.service_nights(since, now + DEADLINES_WITHIN),
            actions=tuple(one for one in reversed(self.actions.list_actions()) if one.requested >= since),
            holds=tuple(self.holds.list_holds()),
            standing=self._standing(now),
            turned=self._turned(since_us),
            drift=tuple(self.estate.drift()),
            stale=tuple(
                (f"{one.system}/{one.name}", one.last_ok, one.error)
                for one in self.estate.systems()
                if one.failing_since is not None
            ),
        )

    def service_nights(self, since: datetime, until: datetime) -> tuple[ServiceNight, ...]:
        """Every service day whose deadline lies between, by deadline."""
        where = "d.deadline_us >= ? AND d.deadline_us < ? AND NOT s.removed AND d.timeliness <> 'no_promise'"
        rows = self.link.rows(_SERVICES.format(where=where), (micros(since), micros(until)))
        return tuple(map(_night, rows))

    def nights_of_incident(self, incident_id: int) -> tuple[ServiceNight, ...]:
        """The service days that an incident hurt, as they ended or stand."""
        where = (
            "EXISTS (SELECT 1 FROM incident_service h WHERE h.incident_id = ? AND h.service_id = s.id AND h.bd = d.bd"
            " AND h.submission = d.submission)"
        )
        return tuple(map(_night, self.link.rows(_SERVICES.format(where=where), (incident_id,))))

    def _notes(self, since_us: int) -> tuple[NoteView, ...]:
        marks = ", ".join("?" * len(_BY_PEOPLE))
        rows = self.link.rows(
            f"SELECT at_us, incident_id, kind, words, actor FROM event WHERE incident_id IS NOT NULL AND at_us >= ?"
            f" AND kind IN ({marks}) ORDER BY id",
            (since_us, *_BY_PEOPLE),
        )
        return tuple(to_view(NoteView, row) for row in rows)

    def _turned(self, since_us: int) -> tuple[SwitchChange, ...]:
        marks = ", ".join("?" * len(_SWITCH_VERBS))
        rows = self.link.rows(
            f"SELECT at_us, actor, verb, object, why FROM audit WHERE at_us >= ? AND verb IN ({marks}) ORDER BY seq",
            (since_us, *_SWITCH_VERBS),
        )
        return tuple(
            SwitchChange(
                instant(at),
                clean_line(by),
                verb_shown(verb, about),
                "" if about == FREEZE else clean_line(about),
                clean_line(why),
            )
            for at, by, verb, about, why in rows
        )

    def _standing(self, now: datetime) -> tuple[ActiveOverride, ...]:
        modes = self.estate.modes()
        found = [ActiveOverride("shadow", name, "", "", None) for name in modes.in_shadow]
        if modes.frozen is not None:
            found.insert(
                0, ActiveOverride("freeze", format_freeze(modes.frozen), modes.frozen.by, modes.frozen.why, None)
            )
        found += [
            ActiveOverride(
                "silence",
                ", ".join(f"{key}={value}" for key, value in one.matchers.items()),
                one.by,
                one.why,
                one.until,
            )
            for one in self.alerts.silences()
        ]
        rows = self.link.rows(
            "SELECT s.name, COALESCE((SELECT '#' || d.instance FROM service_day d WHERE d.service_id = x.service_id"
            " AND d.bd = x.bd AND d.submission = x.submission AND d.instance <> ''), x.bd), x.by, x.why, x.until_us"
            " FROM extension x JOIN service s ON s.id = x.service_id"
            " WHERE x.until_us >= ? AND NOT EXISTS (SELECT 1 FROM extension y WHERE y.service_id = x.service_id"
            " AND y.bd = x.bd AND y.submission = x.submission AND y.id > x.id) ORDER BY x.until_us, s.name",
            (micros(now),),
        )
        return (
            *found,
            *(ActiveOverride("extension", f"{name} {of}", by, why, instant(at)) for name, of, by, why, at in rows),
        )


def _opened(one: IncidentRow) -> tuple[datetime, int]:
    return one.opened, one.id


def _night(row: Row) -> ServiceNight:
    title = row.title or row.name
    return to_view(ServiceNight, row, title=instance_name(title, row.instance) if row.instance else title)
