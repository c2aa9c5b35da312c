"""One incident's decision into rows: the incident, members, affected services, timeline, alerts and deliveries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from console.domain.alert import with_incident
from console.domain.decision import (
    AffectedServiceVerdict,
    IncidentDecision,
    KnownIncident,
    MemberVerdict,
    NewIncident,
    Notice,
    ReopenedIncident,
)
from console.domain.failure import FailureSignature
from console.domain.ids import incident_name, micros, optional_micros, utc_minute
from console.domain.incident_record import RootRun
from console.domain.reason import BadDelivery, SymptomOf
from console.domain.service import MISSED
from console.domain.stored import stored_text
from console.domain.text import At, Text, joined, render, text_of
from console.store.alerts import NewAlert, insert_alert, send_as_group
from console.store.db.session import Values, WriteSession
from console.store.events import record_event
from console.store.names import encode_name
from console.store.notification_state import (
    REOPENED,
    end_suppressions,
    inherit_notifications,
    record_notified,
    record_suppressed,
    restart_escalation,
    retract_recovery,
)
from console.store.row_values import reason_json
from console.store.services import service_ids

# ruff: noqa: S608  (only our own names; every value is bound)


class IncidentWriter:
    """Writes all incidents of one evaluation, in its transaction."""

    def __init__(
        self, session: WriteSession, seq: Callable[[], int], now_us: int, routes: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._session = session
        self._seq = seq
        self._now_us = now_us
        self._routes = routes
        self.ids: dict[str, int] = {}
        """Decision's key -> id of its open incident."""
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.alerts: list[int] = []
        self._groups: dict[str, list[tuple[int, NewAlert]]] = {}
        """Group -> alerts sent as one."""

    def write(self, decision: IncidentDecision) -> None:
        incident_id, key, version = self._incident(decision)
        self._members(incident_id, decision.members)
        self._services(incident_id, decision.services)
        if not decision.closed:
            self.ids[decision.key] = incident_id
        for merged in decision.merges:
            self._merge(merged, incident_id)
        is_reopened = isinstance(decision.incident, ReopenedIncident)
        for route in retract_recovery(self._session, incident_id, self._now_us) if is_reopened else ():
            self._event(incident_id, "suppressed", f"{route} was not notified of its recovery: {REOPENED}", None)
        self._changes(incident_id, decision)
        is_new = incident_id in self.opened
        if decision.event:
            kind = "reopened" if is_reopened else "opened" if is_new else "updated"
            kind = "closed" if decision.closed else kind
            self._event(incident_id, kind, decision.event, decision.cause.job_id)
        if is_new and isinstance(decision.incident, NewIncident) and decision.incident.split_from is not None:
            split = f"{incident_name(incident_id)} was split from this: ", *decision.title.content
            self._event(decision.incident.split_from, "split", split, decision.cause.job_id)
        for notice in decision.notices:
            self._alert(incident_id, key, version, notice)
        ended_for = self._end_acknowledgement(incident_id, decision)
        if is_reopened or ended_for:
            restart_escalation(self._session, incident_id, self._now_us)
        record_notified(self._session, incident_id, decision.notices, self._now_us)
        if record_suppressed(self._session, incident_id, decision, self._now_us):
            self._seq()
        suppressions = decision.suppressions
        for line in suppressions.superseded:
            self._event(incident_id, "suppressed", line, None)
        for fact, why in suppressions.dropped:
            if why:
                self._event(incident_id, "suppressed", f"{fact.route} was not notified: {why}", None)
        if suppressions.in_shadow and (decision.event or decision.notices):
            what = decision.event or decision.title.content
            shadowed = f"would have notified {', '.join(suppressions.in_shadow)}: ", *what
            self._event(incident_id, "shadow_notified", shadowed, decision.cause.job_id)
        if is_new and not decision.notices and not suppressions.notices and not suppressions.in_shadow:
            text = "no route is configured for it, and there is no default route: not notified"
            self._event(incident_id, "unsent", text, None)

    def _end_acknowledgement(self, incident_id: int, decision: IncidentDecision) -> bool:
        """True if an acknowledgement was valid. One that was made after the decision stays."""
        incident = decision.incident
        if not isinstance(incident, KnownIncident) or not incident.ends_acknowledgement:
            return False
        ended = self._session.rows(
            "UPDATE acknowledgement SET ended_us = ? WHERE incident_id = ? AND ended_us IS NULL AND made_us <= ?"
            " AND until_us > ? RETURNING made_by",
            (self._now_us, incident_id, self._now_us, self._now_us),
        )
        for row in ended[-1:] if not decision.closed else ():
            text = f"unacknowledged (was {row.made_by}): {incident.ends_acknowledgement}"
            self._event(incident_id, "unacknowledged", text, None)
        return bool(ended)

    def finish(self) -> None:
        """Creates the alerts of groups."""
        for alerts in self._groups.values():
            group_id = send_as_group(self._session, self._routes, alerts, self._now_us)
            self.alerts += [group_id] if group_id is not None else []

    def _changes(self, incident_id: int, decision: IncidentDecision) -> None:
        """Stores the changes found; none in most evaluations, which search no past: then the last ones stay."""
        if not decision.changes.lines:
            return
        [row] = self._session.rows("SELECT changes FROM incident WHERE id = ?", (incident_id,))
        before = [*map(text_of, json.loads(row.changes))]
        if before == list(decision.changes.lines):
            return
        text = json.dumps([*map(stored_text, decision.changes.lines)])
        query = "UPDATE incident SET changes = ?, changed_seq = ? WHERE id = ?"
        self._session.rows(query, (text, self._seq(), incident_id))
        new = [line for line in decision.changes.lines if line not in before]
        if before and new and decision.changes.has_changes:
            self._event(incident_id, "changed", ("seen since: ", *joined(new, "; ")), decision.cause.job_id)

    def _incident(self, decision: IncidentDecision) -> tuple[int, str, int]:
        """(id, key, version). The version grows with each decision that notifies."""
        if isinstance(decision.incident, KnownIncident):
            stored = self._session.first("SELECT * FROM incident WHERE id = ?", (decision.incident.id,))
        else:
            query = "SELECT * FROM incident WHERE key = ? AND closed_us IS NULL"
            stored = self._session.first(query, (decision.key,))
        if stored is None:
            return self._open(decision)
        columns = self._columns(decision, stored.closed_us)
        version = stored.version + (1 if decision.notices else 0)
        if decision.notices or any(getattr(stored, name) != value for name, value in columns.items()):
            settings = ", ".join(f"{name} = ?" for name in columns)
            reopened = stored.reopened + isinstance(decision.incident, ReopenedIncident)
            self._session.rows(
                f"UPDATE incident SET {settings}, version = ?, reopened = ?, changed_seq = ? WHERE id = ?",
                (*columns.values(), version, reopened, self._seq(), stored.id),
            )
        if (columns["failure"], columns["root_run_id"]) != (stored.failure, stored.root_run_id):
            self._failure(stored.id, columns, decision.cause.failure)
        if decision.closed and stored.closed_us is None:
            self.closed.append(stored.id)
        return stored.id, stored.key, version

    def _open(self, decision: IncidentDecision) -> tuple[int, str, int]:
        order = ' COLLATE "C"' if self._session.is_postgres else ""
        earlier = self._session.rows(
            f"SELECT key FROM incident WHERE key = ? OR (key >= ?{order} AND key < ?{order})",
            (decision.key, f"{decision.key}#", f"{decision.key}$"),  # "$" is next to "#"
        )
        numbers = [row.key[len(decision.key) + 1 :] for row in earlier]  # not their count: retention deletes old ones
        last = max((int(number) if number.isdecimal() else 1 for number in numbers), default=0)
        key = f"{decision.key}#{last + 1}" if earlier else decision.key
        split_from = decision.incident.split_from if isinstance(decision.incident, NewIncident) else None
        values = {
            "key": key, "opened_us": self._now_us, "version": 1, "split_from": split_from,
            **self._columns(decision, None), "changed_seq": self._seq(),
        }  # fmt: skip
        marks = ", ".join("?" * len(values))
        [row] = self._session.rows(
            f"INSERT INTO incident ({', '.join(values)}) VALUES ({marks}) RETURNING id", tuple(values.values())
        )
        self._failure(row.id, values, decision.cause.failure)
        self.opened.append(row.id)
        return row.id, key, 1

    def _failure(self, incident_id: int, root: Mapping[str, Any], signature: FailureSignature | None) -> None:
        """Stores the failure of the root: in the place of one of its run that was known less well, after those of other
        runs; a further run that fails as the last one did continues it."""
        known = self._session.rows(
            "SELECT since_us, run_id, failure FROM incident_failure WHERE incident_id = ?"
            " ORDER BY since_us DESC LIMIT 2",
            (incident_id,),
        )
        since_us = max(self._now_us, known[0].since_us + 1) if known else min(root["failed_since_us"], self._now_us)
        replaced = []
        if known and known[0].run_id == root["root_run_id"]:
            replaced.append(known.pop(0))
        if known and known[0].failure == root["failure"]:
            replaced.append(known[0])
        self._session.many(
            "DELETE FROM incident_failure WHERE incident_id = ? AND since_us = ?",
            [(incident_id, row.since_us) for row in replaced],
        )
        values = {
            "incident_id": incident_id, "since_us": min((row.since_us for row in replaced), default=since_us),
            "job_id": root["root_job_id"], "run_id": root["root_run_id"], "failure": root["failure"],
            "signature": signature.id if signature is not None else "",
        }  # fmt: skip
        self._session.insert("incident_failure", tuple(values), [tuple(values.values())])

    def _columns(self, decision: IncidentDecision, closed_us: int | None) -> dict[str, Any]:
        root_run_id = next((member.run_id for member in decision.members if member.role == "root"), None)
        cause, (flaps, flaps_since) = decision.cause, decision.flaps or (0, None)
        return {
            "title": decision.title.to_json(), "cause": cause.kind, "root_job_id": cause.job_id,
            "root_run_id": root_run_id, "root_target_id": cause.target_id,
            "root_period_key": encode_name(cause.root.period_key) if isinstance(cause.root, RootRun) else "",
            "business_date": cause.business_date.isoformat(), "reason": stored_text(decision.reason),
            "owner": decision.owner.name, "runbook": decision.owner.runbook,
            "repetition": reason_json(decision.repeated),
            "failed_since_us": micros(decision.failed_since), "act_by_us": optional_micros(decision.act_by),
            "fingerprint": decision.fingerprint.to_json(),
            "closed_us": (closed_us or self._now_us) if decision.closed else None,
            "close_reason": reason_json(decision.close_reason), "cause_subject": cause.subject,
            "failure": cause.failure.to_json() if cause.failure is not None else "",
            "flaps": flaps, "flaps_since_us": optional_micros(flaps_since),
            **({"policy": "", "policy_us": None} if decision.closed else {}),
        }  # fmt: skip

    def _merge(self, merged: int, into: int) -> None:
        """Closes a symptom's incident silently."""
        if merged == into:
            return
        symptom = SymptomOf(into)
        text = render(symptom.text, utc_minute)
        rows = self._session.rows(
            "UPDATE incident SET closed_us = ?, close_reason = ?, merged_into = ?, changed_seq = ?, policy = '',"
            " policy_us = NULL WHERE id = ? AND closed_us IS NULL RETURNING root_job_id",
            (self._now_us, reason_json(symptom), into, self._seq(), merged),
        )
        for row in rows:
            self.closed.append(merged)
            inherit_notifications(self._session, merged, into)
            end_suppressions(self._session, merged, text, self._now_us)
            self._event(merged, "merged", text, row.root_job_id)
            self._event(into, "merged", f"{incident_name(merged)} is a symptom of this", row.root_job_id)

    def _members(self, incident_id: int, members: Sequence[MemberVerdict]) -> None:
        current = {
            (member.job_id, encode_name(member.period_key)): (member.role, place, member.run_id)
            for place, member in enumerate(members)
        }
        if self._replace("incident_member", incident_id, _MEMBER, current) != current:
            self._session.rows("UPDATE incident SET changed_seq = ? WHERE id = ?", (self._seq(), incident_id))

    def _services(self, incident_id: int, services: Sequence[AffectedServiceVerdict]) -> None:
        ids = service_ids(self._session, (verdict.service for verdict in services))
        verdicts = {
            (ids[verdict.service], verdict.business_date.isoformat()): verdict
            for verdict in services
            if verdict.service in ids
        }
        current = {day: _service_values(verdict) for day, verdict in verdicts.items()}
        stored = self._replace("incident_service", incident_id, _SERVICE, current)
        for day, verdict in verdicts.items():
            was, *_ = stored.get(day, ("",))
            if verdict.timeliness in MISSED and was not in MISSED:
                is_bad = any(isinstance(reason, BadDelivery) for reason in verdict.reasons)
                missed_text = f"not delivered{' with good data' if is_bad else ''} by its deadline, "
                text = f"{verdict.service} of {verdict.business_date}: {missed_text}", At(verdict.deadline)
                self._event(incident_id, "breached", text, None)

    def _replace(
        self, table: str, incident_id: int, columns: tuple[str, ...], current: Mapping[Any, Values]
    ) -> dict[Values, Values]:
        """Makes these the rows of the incident, by the first two of the columns; returns those before."""
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE incident_id = ?"
        stored = {values[:2]: values[2:] for values in map(tuple, self._session.rows(query, (incident_id,)))}
        self._session.many(
            f"DELETE FROM {table} WHERE incident_id = ? AND {columns[0]} = ? AND {columns[1]} = ?",
            [(incident_id, *key) for key, values in stored.items() if current.get(key) != values],
        )
        new = [(incident_id, *key, *values) for key, values in current.items() if stored.get(key) != values]
        self._session.insert(table, ("incident_id", *columns), new)
        return stored

    def _event(self, incident_id: int, kind: str, text: str | Text, job_id: int | None) -> None:
        record_event(self._session, self._now_us, kind, text, incident_id=incident_id, job_id=job_id)

    def _alert(self, incident_id: int, key: str, version: int, notice: Notice) -> None:
        """An alert and one pending delivery for each URL of its route."""
        name = incident_name(incident_id)
        message, plain = with_incident(notice.message, name), with_incident(notice.plain, name)
        new = NewAlert(
            notice.route, notice.kind.value, message, key, plain, incident_id, version, notice.urgent,
            not_before_us=micros(notice.not_before) if notice.not_before is not None else 0,
        )  # fmt: skip
        alert_id = insert_alert(self._session, self._routes, new, self._now_us)
        if alert_id is None:
            return
        self.alerts.append(alert_id)
        if notice.group:
            self._groups.setdefault(notice.group, []).append((alert_id, new))
        if not self._routes.get(notice.route):
            self._event(incident_id, "unsent", f'route "{notice.route}" has no URL: not notified', None)


_MEMBER = ("job_id", "period_key", "role", "place", "run_id")
_SERVICE = (
    "service_id", "business_date", "timeliness", "deadline_us", "act_by_us", "green_by_us", "expected_us", "basis",
    "reasons", "needs_restart",
)  # fmt: skip


def _service_values(service: AffectedServiceVerdict) -> Values:
    """The values of _SERVICE behind the key; the timeliness is the first."""
    basis = stored_text(service.basis) if service.basis else ""
    return (
        service.timeliness.value, micros(service.deadline), optional_micros(service.act_by),
        optional_micros(service.green_by), optional_micros(service.expected_at), basis, stored_text(service.reasons),
        service.needs_restart,
    )  # fmt: skip
