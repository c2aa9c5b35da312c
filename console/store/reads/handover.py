"""What happened since a time, and what it left: for who takes over."""

from __future__ import annotations

from datetime import datetime, timedelta

from console.clean import clean_line
from console.model.ids import instant, maybe_instant, micros
from console.model.modes import FREEZE, frozen_words
from console.model.promises import instance_name
from console.model.views import IncidentRow
from console.model.views.handover import Handover, NoteView, ServiceNight, Standing, Turned
from console.store.reads.alerts import AlertReads
from console.store.reads.audit import verb_shown
from console.store.reads.holds import HoldReads
from console.store.reads.link import Row

AHEAD = timedelta(hours=12)
"""How far ahead services at risk are told: the next shift."""
_SERVICES = (
    "SELECT s.name, s.title, s.tier, s.zone, d.bd, d.deadline_us, d.timeliness, d.delivered_us, d.act_by_us, d.cause,"
    " d.incident_id, EXISTS (SELECT 1 FROM incident_service x WHERE x.service_id = s.id AND x.bd = d.bd"
    " AND x.submission = d.submission), d.instance"
    " FROM service_day d JOIN service s ON s.id = d.service_id WHERE {where} ORDER BY d.deadline_us, s.tier, s.name"
)
_BY_PEOPLE = ("note", "acknowledged", "lapsed")
"""Kinds of events that a person made."""
_TURNS = ("freeze", "thaw", "turn on", "turn off", "turn live", "turn shadow", "pause polling", "resume polling")
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)


class HandoverReads(HoldReads, AlertReads):
    def handover(self, since: datetime) -> Handover:
        """Everything since then, and what is open now."""
        now, since_us = self.now(), micros(since)
        ended = [one for one in self.incidents(closed=True) if one.closed is not None and one.closed >= since]
        is_open = self.incidents()
        return Handover(
            since=since,
            at=now,
            open=tuple(is_open),
            opened=tuple(sorted((one for one in [*is_open, *ended] if one.opened >= since), key=_opened)),
            closed=tuple(sorted(ended, key=_opened)),
            notes=self._notes(since_us),
            services=self.service_nights(since, now + AHEAD),
            actions=tuple(one for one in reversed(self.actions()) if one.requested >= since),
            holds=tuple(self.holds()),
            standing=self._standing(now),
            turned=self._turned(since_us),
            drift=tuple(self.drift()),
            stale=tuple(
                (f"{one.system}/{one.name}", one.last_ok, one.error)
                for one in self.systems()
                if one.failing_since is not None
            ),
        )

    def service_nights(self, since: datetime, until: datetime) -> tuple[ServiceNight, ...]:
        """Every service day whose deadline lies between, by deadline."""
        where = "d.deadline_us >= ? AND d.deadline_us < ? AND NOT s.removed AND d.timeliness <> 'no_promise'"
        rows = self.link.rows(_SERVICES.format(where=where), (micros(since), micros(until)))
        return tuple(map(_night, rows))

    def nights_of(self, incident_id: int) -> tuple[ServiceNight, ...]:
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
        return tuple(NoteView(instant(at), incident, kind, words, actor) for at, incident, kind, words, actor in rows)

    def _turned(self, since_us: int) -> tuple[Turned, ...]:
        marks = ", ".join("?" * len(_TURNS))
        rows = self.link.rows(
            f"SELECT at_us, actor, verb, object, why FROM audit WHERE at_us >= ? AND verb IN ({marks}) ORDER BY seq",
            (since_us, *_TURNS),
        )
        return tuple(
            Turned(
                instant(at),
                clean_line(by),
                verb_shown(verb, about),
                "" if about == FREEZE else clean_line(about),
                clean_line(why),
            )
            for at, by, verb, about, why in rows
        )

    def _standing(self, now: datetime) -> tuple[Standing, ...]:
        modes = self.modes()
        found = [Standing("shadow", name, "", "", None) for name in modes.in_shadow]
        if modes.frozen is not None:
            found.insert(0, Standing("freeze", frozen_words(modes.frozen), modes.frozen.by, modes.frozen.why, None))
        found += [
            Standing(
                "silence",
                ", ".join(f"{key}={value}" for key, value in one.matchers.items()),
                one.by,
                one.why,
                one.until,
            )
            for one in self.silences()
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
            *(Standing("extension", f"{name} {of}", by, why, instant(at)) for name, of, by, why, at in rows),
        )


def _opened(one: IncidentRow) -> tuple[datetime, int]:
    return one.opened, one.id


def _night(row: Row) -> ServiceNight:
    name, title, tier, zone, bd, deadline, timeliness, delivered, act_by, cause, incident_id, was_hurt, instance = row
    return ServiceNight(
        name=name,
        title=instance_name(title or name, instance) if instance else title or name,
        tier=tier,
        zone=zone,
        bd=bd,
        deadline=instant(deadline),
        timeliness=timeliness,
        delivered=maybe_instant(delivered),
        act_by=maybe_instant(act_by),
        cause=cause,
        incident_id=incident_id,
        was_hurt=bool(was_hurt),
    )
