"""One incident's decision into rows: itself, members, hurt services, timeline, alerts and their deliveries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC

from console.model.decisions import PLACEHOLDER, HurtServiceVerdict, IncidentDecision, Member, Notice
from console.model.ids import incident_name, maybe_micros, micros
from console.model.past import told_anew
from console.model.promises import service_of
from console.model.words import Timeliness
from console.store.alert_rows import NewAlert, insert_alert
from console.store.grouped import leave_together
from console.store.keys import pack
from console.store.telling import CAME_BACK, let_go, take_back, take_over, write_held, write_told
from console.store.wire import Row, Wire, single

_COLUMNS = (
    "title", "cause", "root_job_id", "root_run_id", "root_period_key", "root_target_id", "bd", "reason", "owner",
    "runbook", "failed_since_us", "act_by_us", "fingerprint", "closed_us", "close_reason", "root_shared",
    "root_check", "rule", "flaps", "flaps_since_us",
)  # fmt: skip
_SERVICE = (
    "incident_id", "service_id", "bd", "deadline_us", "act_by_us", "green_by_us", "expected_us", "timeliness", "source",
    "reason", "submission",
)  # fmt: skip
_TIMELINESS = _SERVICE.index("timeliness")
_MISSED = (Timeliness.BREACHED, Timeliness.MET_LATE)
# ruff: noqa: S608  (the statements are made of our own column names; every value is bound)


class IncidentWriter:
    """All incidents of one evaluation, in its transaction."""

    def __init__(self, lines: Wire, seq: Callable[[], int], now_us: int, routes: Mapping[str, tuple[str, ...]]) -> None:
        self._lines = lines
        self._seq = seq
        self._now_us = now_us
        self._routes = routes
        self.ids: dict[str, int] = {}
        """Decision's key -> id of the incident that is open under it."""
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.alerts: list[int] = []
        self._together: dict[str, list[tuple[int, NewAlert]]] = {}
        """Group -> the alerts that leave as one message."""

    def write(self, one: IncidentDecision) -> None:
        incident_id, key, version = self._incident(one)
        self._members(incident_id, one.members)
        self._services(incident_id, one.services)
        if not one.closed:
            self.ids[one.key] = incident_id
        for merged in one.merges:
            self._merge(merged, incident_id)
        for route in take_back(self._lines, incident_id, self._now_us) if one.reopened else ():
            self._event(incident_id, "untold", f"{route} was not told that it was over: {CAME_BACK}", None)
        self._changes(incident_id, one)
        if one.event:
            self._event(incident_id, self._kind(incident_id, one), one.event, one.root_job_id)
        if one.split_from is not None and incident_id in self.opened:
            words = f"{incident_name(incident_id)} was split from this: {one.title}"
            self._event(one.split_from, "split", words, one.root_job_id)
        for notice in one.notices:
            self._alert(incident_id, key, version, notice)
        write_told(self._lines, incident_id, one, self._now_us)
        if write_held(self._lines, incident_id, one, self._now_us):
            self._seq()
        for fact, why in one.dropped:
            if why:
                self._event(incident_id, "untold", f"{fact.route} was not told: {why}", None)
        self._tell_nobody(incident_id, one)

    def finish(self) -> None:
        """What leaves together does."""
        for alerts in self._together.values():
            group_id = leave_together(self._lines, self._routes, alerts, self._now_us)
            self.alerts += [group_id] if group_id is not None else []

    def _tell_nobody(self, incident_id: int, one: IncidentDecision) -> None:
        """Into the timeline, where a shadow or a missing route keeps everybody from being told."""
        if one.in_shadow and (one.event or one.notices):
            words = f"would have told {', '.join(one.in_shadow)}: {one.event or one.title}"
            self._event(incident_id, "shadow", words, one.root_job_id)
        if incident_id in self.opened and not one.notices and not one.held and not one.in_shadow:
            words = "no route is named for it, and there is no default route: nobody was told"
            self._event(incident_id, "unsent", words, None)

    def _changes(self, incident_id: int, one: IncidentDecision) -> None:
        """Kept as told last: most evaluations look up no past. What is seen only now stands in the timeline too."""
        if not one.changes:
            return
        [(stored,)] = self._lines.rows("SELECT changes FROM incident WHERE id = ?", (incident_id,))
        before = json.loads(stored)
        if before == list(one.changes):
            return
        text = json.dumps(one.changes, ensure_ascii=False)
        query = "UPDATE incident SET changes = ?, changed_seq = ? WHERE id = ?"
        self._lines.rows(query, (text, self._seq(), incident_id))
        if words := told_anew(before, one.changes):
            self._event(incident_id, "changed", words, one.root_job_id)

    def _kind(self, incident_id: int, one: IncidentDecision) -> str:
        if one.closed:
            return "closed"
        return "reopened" if one.reopened else "opened" if incident_id in self.opened else "updated"

    # -- the incident itself ----------------------------------------------------------------------------------------
    def _incident(self, one: IncidentDecision) -> tuple[int, str, int]:
        """(id, key, version). The version grows with each decision that tells somebody something."""
        stored = self._stored(one)
        if stored is None:
            return self._open(one)
        incident_id, key, version, closed_us, *columns = stored
        row = self._row(one, closed_us)
        version += 1 if one.notices else 0
        if tuple(columns) != row or one.notices:
            settings = ", ".join(f"{name} = ?" for name in _COLUMNS)
            self._lines.rows(
                f"UPDATE incident SET {settings}, version = ?, reopened = reopened + ?, changed_seq = ? WHERE id = ?",
                (*row, version, int(one.reopened), self._seq(), incident_id),
            )
        if one.closed and closed_us is None:
            self.closed.append(incident_id)
        return incident_id, key, version

    def _stored(self, one: IncidentDecision) -> Row | None:
        """The open incident that the decision is about, by id, else by key."""
        query = f"SELECT id, key, version, closed_us, {', '.join(_COLUMNS)} FROM incident WHERE "
        if one.incident_id is not None:
            return single(self._lines.rows(query + "id = ?", (one.incident_id,)))
        return single(self._lines.rows(query + "key = ? AND closed_us IS NULL", (one.key,)))

    def _open(self, one: IncidentDecision) -> tuple[int, str, int]:
        key = self._free_key(one.key)
        columns = ("key", "opened_us", "version", "split_from", *_COLUMNS, "changed_seq")
        marks = ", ".join("?" * len(columns))
        [(incident_id,)] = self._lines.rows(
            f"INSERT INTO incident ({', '.join(columns)}) VALUES ({marks}) RETURNING id",
            (key, self._now_us, 1, one.split_from, *self._row(one, None), self._seq()),
        )
        self.opened.append(incident_id)
        return incident_id, key, 1

    def _free_key(self, key: str) -> str:
        """The key; numbered where an incident with this root was opened and closed before."""
        query = "SELECT count(*) FROM incident WHERE key = ? OR key LIKE ? ESCAPE '!'"
        escaped = key.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        [(earlier,)] = self._lines.rows(query, (key, f"{escaped}#%"))
        return key if not earlier else f"{key}#{earlier + 1}"

    def _row(self, one: IncidentDecision, closed_us: int | None) -> Row:
        return (
            one.title, one.cause, one.root_job_id, one.root_run_id, pack(one.root_period_key), one.root_target_id,
            one.bd.isoformat(), one.reason, one.owner, one.runbook, micros(one.failed_since), maybe_micros(one.act_by),
            one.fingerprint, (closed_us or self._now_us) if one.closed else None, one.close_reason, one.root_shared,
            one.root_check, one.rule, one.flaps, maybe_micros(one.flaps_since),
        )  # fmt: skip

    def _merge(self, merged: int, into: int) -> None:
        """A symptom's incident ends silently: its cause's tells from now on."""
        if merged == into:
            return
        rows = self._lines.rows(
            "UPDATE incident SET closed_us = ?, close_reason = ?, merged_into = ?, changed_seq = ?"
            " WHERE id = ? AND closed_us IS NULL RETURNING root_job_id",
            (self._now_us, f"a symptom of {incident_name(into)}", into, self._seq(), merged),
        )
        for (root_job_id,) in rows:
            self.closed.append(merged)
            take_over(self._lines, merged, into)
            let_go(self._lines, merged, f"a symptom of {incident_name(into)}", self._now_us)
            self._event(merged, "merged", f"a symptom of {incident_name(into)}", root_job_id)
            self._event(into, "merged", f"{incident_name(merged)} is a symptom of this", root_job_id)

    # -- what hangs on it -------------------------------------------------------------------------------------------
    def _members(self, incident_id: int, members: Sequence[Member]) -> None:
        wanted = {
            (one.job_id, pack(one.period_key)): (one.role, place, one.run_id) for place, one in enumerate(members)
        }
        query = "SELECT job_id, period_key, role, place, run_id FROM incident_member WHERE incident_id = ?"
        stored = {(row[0], row[1]): tuple(row[2:]) for row in self._lines.rows(query, (incident_id,))}
        if wanted == stored:
            return
        self._lines.many(
            "DELETE FROM incident_member WHERE incident_id = ? AND job_id = ? AND period_key = ?",
            [(incident_id, *key) for key in stored if wanted.get(key) != stored[key]],
        )
        self._lines.insert(
            "incident_member",
            ("incident_id", "job_id", "period_key", "role", "place", "run_id"),
            [(incident_id, *key, *facts) for key, facts in wanted.items() if stored.get(key) != facts],
        )
        self._lines.rows(
            "INSERT INTO meta (name, value) VALUES ('members_seq', ?) ON CONFLICT (name) DO UPDATE SET"
            " value = excluded.value",
            (str(self._seq()),),
        )

    def _services(self, incident_id: int, services: Sequence[HurtServiceVerdict]) -> None:
        ids: dict[str, int] = dict(self._lines.rows("SELECT name, id FROM service")) if services else {}
        rows = {
            _service(incident_id, service_id, one): one
            for one in services
            if (service_id := ids.get(service_of(one.service) if one.submission else one.service)) is not None
        }
        query = f"SELECT {', '.join(_SERVICE)} FROM incident_service WHERE incident_id = ?"
        stored = {tuple(row) for row in self._lines.rows(query, (incident_id,))}
        self._lines.many(
            "DELETE FROM incident_service WHERE incident_id = ? AND service_id = ? AND bd = ? AND submission = ?",
            [_day(row) for row in stored - set(rows)],
        )
        self._lines.insert("incident_service", _SERVICE, [row for row in rows if row not in stored])
        missed = {_day(row) for row in stored if row[_TIMELINESS] in _MISSED}
        for row, one in rows.items():
            if one.timeliness in _MISSED and _day(row) not in missed:
                deadline = f"{one.deadline.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
                words = f"{one.service} of {one.bd}: not delivered by its deadline, {deadline}"
                self._event(incident_id, "breached", words, None)

    def _event(self, incident_id: int, kind: str, words: str, job_id: int | None) -> None:
        self._lines.rows(
            "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, ?, ?, ?, ?, '')",
            (self._now_us, kind, words.replace(PLACEHOLDER, incident_name(incident_id)), incident_id, job_id),
        )

    def _alert(self, incident_id: int, key: str, version: int, notice: Notice) -> None:
        """An alert and one pending delivery for each URL of its route."""
        name = incident_name(incident_id)
        texts = (notice.title, notice.body, notice.plain_title, notice.plain_body)
        title, body, plain_title, plain_body = (text.replace(PLACEHOLDER, name) for text in texts)
        new = NewAlert(
            notice.route, notice.kind.value, title, body, key, plain_title, plain_body, incident_id, version,
            notice.urgent, not_before_us=micros(notice.not_before) if notice.not_before is not None else 0,
        )  # fmt: skip
        alert_id = insert_alert(self._lines, self._routes, new, self._now_us)
        if alert_id is None:
            return
        self.alerts.append(alert_id)
        if notice.group:
            self._together.setdefault(notice.group, []).append((alert_id, new))
        if not self._routes.get(notice.route):
            self._event(incident_id, "unsent", f'route "{notice.route}" has no URL: nobody was told', None)


def _service(incident_id: int, service_id: int, one: HurtServiceVerdict) -> Row:
    return (
        incident_id, service_id, one.bd.isoformat(), micros(one.deadline), maybe_micros(one.act_by),
        maybe_micros(one.green_by), maybe_micros(one.expected_at), one.timeliness.value, one.source, one.reason,
        one.submission,
    )  # fmt: skip


def _day(row: Row) -> Row:
    """What tells a hurt service's row from the others."""
    return (*row[:3], row[-1])
