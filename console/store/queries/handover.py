"""The summary for the next shift: events since a time, and what is still open."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import attrgetter

from console.domain.handover import ActiveOverride, HandoverView, ServiceNight, SwitchChange
from console.domain.ids import instant, micros
from console.domain.incident import EventView
from console.domain.request import RequestKind
from console.domain.switches import FREEZE
from console.store.db.session import Row
from console.store.events import event_of
from console.store.queries.actions import ActionQueries
from console.store.queries.alerts import AlertQueries
from console.store.queries.base import ContextQueries, ReadStore
from console.store.queries.estate import EstateQueries
from console.store.queries.holds import HoldQueries
from console.store.queries.incidents import IncidentQueries
from console.store.row_values import from_row
from console.text.cleaning import clean_line

DEADLINES_WITHIN = timedelta(hours=12)
"""How far ahead services at risk are listed."""
_SERVICES = (
    "SELECT s.name, s.title, s.tier, s.zone, d.business_date, d.deadline_us, d.timeliness, d.delivered_us, d.act_by_us,"
    " d.cause, d.incident_id, EXISTS (SELECT 1 FROM incident_service x WHERE x.service_id = s.id AND x.business_date ="
    " d.business_date) AS was_threatened FROM service_day d JOIN service s"
    " ON s.id = d.service_id WHERE {where} ORDER BY d.deadline_us, s.tier, s.name"
)
_OPENED = attrgetter("opened", "id")
_BY_PEOPLE = ("note", "acknowledged", "unacknowledged")
"""Kinds of events that a person made."""
_SWITCH_KINDS = (
    RequestKind.FREEZE, RequestKind.THAW, RequestKind.SHADOW_ON, RequestKind.SHADOW_OFF, RequestKind.PAUSE_POLLING,
    RequestKind.RESUME_POLLING, RequestKind.ADD_SILENCE, RequestKind.EXPIRE_SILENCE, RequestKind.PAUSE_POLICY,
    RequestKind.RESUME_POLICY, RequestKind.CLOSE_BREAKER,
)  # fmt: skip
# ruff: noqa: S608  (statements contain only constants of the code; every value is bound)


class HandoverQueries(ContextQueries):
    def __init__(
        self,
        store: ReadStore,
        incidents: IncidentQueries,
        estate: EstateQueries,
        actions: ActionQueries,
        holds: HoldQueries,
        alerts: AlertQueries,
    ) -> None:
        super().__init__(store)
        self.incidents = incidents
        self.estate = estate
        self.actions = actions
        self.holds = holds
        self.alerts = alerts

    def handover_since(self, since: datetime) -> HandoverView:
        """Events since then, and what is open now."""
        now, since_us = self.store.now(), micros(since)
        closed = [
            row for row in self.incidents.list_incidents(closed=True) if row.closed is not None and row.closed >= since
        ]
        opened = self.incidents.list_incidents()
        return HandoverView(
            since=since,
            at=now,
            open=tuple(opened),
            opened=tuple(sorted((row for row in [*opened, *closed] if row.opened >= since), key=_OPENED)),
            closed=tuple(sorted(closed, key=_OPENED)),
            notes=self._notes(since_us),
            services=self.service_nights(since, now + DEADLINES_WITHIN),
            actions=tuple(row for row in reversed(self.actions.list_actions()) if row.requested >= since),
            holds=tuple(self.holds.list_holds()),
            active_overrides=self._overrides(now),
            mode_changes=self._mode_changes(since_us),
            drift=tuple(self.estate.drift()),
            stale=tuple(
                (f"{row.system}/{row.name}", row.last_ok, row.whole_error)
                for row in self.estate.systems()
                if row.failing_since is not None
            ),
        )

    def service_nights(self, since: datetime, until: datetime) -> tuple[ServiceNight, ...]:
        """Every service day with a deadline in that window, by deadline."""
        where = "d.deadline_us >= ? AND d.deadline_us < ? AND NOT s.removed AND d.timeliness <> 'no_promise'"
        rows = self.link.rows(_SERVICES.format(where=where), (micros(since), micros(until)))
        return tuple(map(_night, rows))

    def nights_of_incident(self, incident_id: int) -> tuple[ServiceNight, ...]:
        """The service days affected by an incident."""
        where = (
            "EXISTS (SELECT 1 FROM incident_service h WHERE h.incident_id = ? AND h.service_id = s.id AND"
            " h.business_date = d.business_date)"
        )
        return tuple(map(_night, self.link.rows(_SERVICES.format(where=where), (incident_id,))))

    def _notes(self, since_us: int) -> tuple[EventView, ...]:
        marks = ", ".join("?" * len(_BY_PEOPLE))
        rows = self.link.rows(
            f"SELECT at_us, incident_id, kind, text, actor FROM event e"
            f" WHERE incident_id IS NOT NULL AND at_us >= ? AND kind IN ({marks}) ORDER BY id",
            (since_us, *_BY_PEOPLE),
        )
        return tuple(map(event_of, rows))

    def _mode_changes(self, since_us: int) -> tuple[SwitchChange, ...]:
        marks = ", ".join("?" * len(_SWITCH_KINDS))
        rows = self.link.rows(
            f"SELECT at_us, actor, verb, object, why FROM audit WHERE at_us >= ? AND verb IN ({marks}) ORDER BY seq",
            (since_us, *_SWITCH_KINDS),
        )
        changes = []
        for row in rows:
            about = "" if row.object == FREEZE else clean_line(row.object.removeprefix("silence "))
            actor, why = clean_line(row.actor), clean_line(row.why)
            changes.append(SwitchChange(instant(row.at_us), actor, row.verb, about, why))
        return tuple(changes)

    def _overrides(self, now: datetime) -> tuple[ActiveOverride, ...]:
        modes, overrides = self.estate.modes(), []
        if (freeze := modes.frozen) is not None:
            overrides.append(ActiveOverride("freeze", "", freeze.by, freeze.why, None, freeze.at))
        overrides += [ActiveOverride("shadow", name, "", "", None) for name in modes.in_shadow]
        for pause in self.store.paused().values():
            overrides.append(ActiveOverride("pause", pause.system, pause.by, pause.why, pause.until))
        for silence in self.alerts.silences():
            matchers = ", ".join(f"{key}={value}" for key, value in silence.matchers.items())
            overrides.append(ActiveOverride("silence", matchers, silence.by, silence.why, silence.until))
        rows = self.link.rows(
            "SELECT s.name, x.business_date AS day, x.by, x.why, x.until_us FROM extension x JOIN service s"
            " ON s.id = x.service_id WHERE x.until_us >= ? AND NOT EXISTS"
            " (SELECT 1 FROM extension y WHERE y.service_id = x.service_id AND y.business_date = x.business_date"
            " AND y.id > x.id) ORDER BY x.until_us, s.name",
            (micros(now),),
        )
        overrides += [
            ActiveOverride("extension", f"{row.name} {row.day}", row.by, row.why, instant(row.until_us)) for row in rows
        ]
        return tuple(overrides)


def _night(row: Row) -> ServiceNight:
    return from_row(ServiceNight, row, title=row.title or row.name)
