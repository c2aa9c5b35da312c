"""Incidents: the list, and everything that hangs on one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.words import RED_STATES, State
from console.model.ids import incident_name, instant, maybe_instant
from console.model.promises import instance_name
from console.model.views import (
    DeliveryView,
    EventView,
    HeldView,
    HurtService,
    IncidentRow,
    IncidentView,
)
from console.store.errors import NotFound
from console.store.reads.grounds import DELIVERIES, HELD, GroundReads, delivery, held_view
from console.store.reads.link import Row

CLOSED_SHOWN = 200
_NEWEST = "ORDER BY i.opened_us DESC, i.id DESC"
_NOBODY: dict[str, Any] = {"taken_by": "", "taken_until": None}
_ROWS = (
    "SELECT i.id, i.title, i.cause, i.bd, i.reason, i.owner, i.failed_since_us, i.opened_us, i.act_by_us, i.closed_us,"
    " (SELECT count(DISTINCT x.service_id) FROM incident_service x WHERE x.incident_id = i.id),"
    " (SELECT count(*) FROM incident_member m WHERE m.incident_id = i.id AND m.role IN ('red', 'stale')),"
    " i.root_run_id, COALESCE(j.name, t.words, i.root_shared), i.runbook,"
    " i.split_from, i.merged_into, i.reopened, i.changes, k.made_by, k.until_us,"
    " (SELECT min(s.tier) FROM incident_service x JOIN service s ON s.id = x.service_id WHERE x.incident_id = i.id)"
    " FROM incident i LEFT JOIN job j ON j.id = i.root_job_id"
    " LEFT JOIN (SELECT t.id, s.name || '/' || t.name AS words FROM target t JOIN system s ON s.id = t.system_id) t"
    " ON t.id = i.root_target_id"
    " LEFT JOIN acknowledgement k ON k.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id)"
    " AND k.ended_us IS NULL AND i.closed_us IS NULL"
)
_LOG = (
    "SELECT l.text, l.error FROM attempt a JOIN log_tail l ON l.attempt_id = a.id WHERE a.run_id = ?"
    " ORDER BY CASE WHEN a.state = 'succeeded' THEN 1 ELSE 0 END, a.number DESC LIMIT 1"
)

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_RED = ", ".join(f"'{state}'" for state in sorted(RED_STATES))
_RED_BEFORE = (
    "SELECT recent.sort_us, recent.state, recent.attempts, recent.exit_code,"
    " (SELECT o.close_reason FROM incident o WHERE o.root_run_id = recent.id AND o.closed_us IS NOT NULL"
    " ORDER BY o.id DESC LIMIT 1),"
    " (SELECT a.requested_by FROM action a WHERE a.run_id = recent.id AND a.state = 'verified'"
    " ORDER BY a.requested_us DESC LIMIT 1) FROM ("
    "SELECT r.id, r.sort_us, r.state, r.attempts, r.exit_code FROM incident i JOIN run f ON f.id = i.root_run_id"
    " JOIN run r ON r.job_id = f.job_id AND r.sort_us < f.sort_us AND NOT EXISTS (SELECT 1 FROM incident_member m"
    " WHERE m.incident_id = i.id AND m.job_id = r.job_id AND m.run_id = r.id) WHERE i.id = ?"
    " ORDER BY r.sort_us DESC LIMIT 500"
    f") recent WHERE recent.state IN ({_RED}) OR (recent.attempts > 1 AND recent.state = 'succeeded'"
    f" AND EXISTS (SELECT 1 FROM attempt t WHERE t.run_id = recent.id AND t.state IN ({_RED})))"
    " ORDER BY recent.sort_us DESC LIMIT 5"
)
"""Earlier runs of the root's job that needed repair, without the incident's own, among its latest 500: a job that runs
each minute has many."""
_TOLD_BEFORE = (
    "SELECT o.opened_us, o.close_reason FROM incident i JOIN incident o ON o.id < i.id AND o.closed_us IS NOT NULL"
    " AND (o.root_target_id = i.root_target_id OR o.root_run_id = i.root_run_id) WHERE i.id = ?"
    " ORDER BY o.id DESC LIMIT 5"
)
"""Earlier incidents of the same target, or of the very same run."""


class IncidentReads(GroundReads):
    def incidents(self, closed: bool = False) -> list[IncidentRow]:
        """All open incidents, or the latest 200 closed ones; newest first."""
        where = f"NOT NULL {_NEWEST} LIMIT {CLOSED_SHOWN}" if closed else f"NULL {_NEWEST}"
        rows = self.link.rows(f"{_ROWS} WHERE i.closed_us IS {where}")
        return self._as_now([_row(row) for row in rows])

    def incident(self, incident_id: int) -> IncidentView:
        """One incident and all that hangs on it. Raises NotFound."""
        found = self.link.rows(f"{_ROWS} WHERE i.id = ?", (incident_id,))
        if not found:
            raise NotFound(incident_name(incident_id), tuple(incident_name(one.id) for one in self.incidents()[:3]))
        [row] = self._as_now([_row(found[0])])
        log, log_error = self._log(row.root_run_id)
        return IncidentView(
            row=row,
            services=self._services(incident_id),
            members=self._members(incident_id),
            events=self._events(incident_id),
            deliveries=self._deliveries(incident_id),
            log=log,
            log_error=log_error,
            actions=tuple(self.actions(incident_id=incident_id)),
            seen_before=self._seen_before(incident_id),
            held=self._held(incident_id),
            findings=self.findings_of_incident(incident_id),
            repairs=self._repairs(incident_id),
        )

    def incident_of_run(self, run_id: int) -> int | None:
        """The open incident that the run belongs to."""
        rows = self.link.rows(
            "SELECT i.id FROM run r JOIN incident_member m ON m.job_id = r.job_id AND m.period_key = r.period_key"
            " JOIN incident i ON i.id = m.incident_id WHERE r.id = ? AND i.closed_us IS NULL ORDER BY i.id LIMIT 1",
            (run_id,),
        )
        return int(rows[0][0]) if rows else None

    def _log(self, run_id: int | None) -> tuple[str, str]:
        """The tail of the latest attempt that did not succeed, else of the latest; or why there is none."""
        rows = self.link.rows(_LOG, (run_id,)) if run_id is not None else []
        if not rows:
            return "", "no log was fetched"
        [(text, error)] = rows
        return text, error if text or error else "the log is empty"

    def _services(self, incident_id: int) -> tuple[HurtService, ...]:
        rows = self.link.rows(
            "SELECT s.name, s.title, s.tier, s.zone, x.deadline_us, x.act_by_us, x.green_by_us, x.expected_us,"
            " x.timeliness,"
            " x.source, x.reason, d.instance, d.sources, d.p_late, d.p80_us, d.p95_us, d.distrust"
            " FROM incident_service x JOIN service s ON s.id = x.service_id"
            " LEFT JOIN service_day d ON d.service_id = x.service_id AND d.bd = x.bd AND d.submission = x.submission"
            " WHERE x.incident_id = ? ORDER BY x.deadline_us, s.tier, s.name, x.submission",
            (incident_id,),
        )
        return tuple(
            HurtService(
                name=row[0],
                title=instance_name(row[1] or row[0], row[11]) if row[11] else row[1],
                tier=row[2],
                zone=row[3],
                deadline=instant(row[4]),
                act_by=maybe_instant(row[5]),
                green_by=maybe_instant(row[6]),
                expected=maybe_instant(row[7]),
                timeliness=row[8],
                source=row[9],
                reason=row[10],
                instance=row[11] or "",
                estimates=tuple(json.loads(row[12] or "[]")),
                p_late=row[13],
                p80=maybe_instant(row[14]),
                p95=maybe_instant(row[15]),
                distrust=row[16] or "",
            )
            for row in rows
        )

    def _events(self, incident_id: int) -> tuple[EventView, ...]:
        rows = self.link.rows(
            "SELECT at_us, kind, words, actor FROM event WHERE incident_id = ? ORDER BY id", (incident_id,)
        )
        return tuple(EventView(instant(at), kind, words, actor) for at, kind, words, actor in rows)

    def _deliveries(self, incident_id: int) -> tuple[DeliveryView, ...]:
        rows = self.link.rows(
            f"{DELIVERIES} FROM alert a JOIN delivery d ON d.alert_id = a.id WHERE a.incident_id = ?"
            " ORDER BY a.id, d.url_index",
            (incident_id,),
        )
        return tuple(map(delivery, rows))

    def _as_now(self, rows: list[IncidentRow]) -> list[IncidentRow]:
        """The same with who has them open, whom they hit and what was told last, and without those who are on it no
        more because their time has passed."""
        now, ids = self.now(), [one.id for one in rows]
        lookers, hits = self._lookers() if rows else {}, self._hits(ids)
        told, held = self._last_told(ids), self._held_now(ids)
        return [
            replace(
                one,
                lookers=tuple(lookers.get(one.id, ())),
                hits=tuple(hits.get(one.id, ())),
                told=tuple(told.get(one.id, ())),
                held=held.get(one.id),
                **({} if one.taken_until is None or one.taken_until > now else _NOBODY),
            )
            for one in rows
        ]

    def _held(self, incident_id: int) -> tuple[HeldView, ...]:
        rows = self.link.rows(f"{HELD} WHERE incident_id = ? ORDER BY id", (incident_id,))
        return tuple(map(held_view, rows))

    def _seen_before(self, incident_id: int) -> tuple[tuple[datetime, str], ...]:
        """When its root was red earlier and how that ended, newest first, at most five."""
        runs = [(at, _how_it_ended(*row)) for at, *row in self.link.rows(_RED_BEFORE, (incident_id,))]
        told = self.link.rows(_TOLD_BEFORE, (incident_id,))
        return tuple((instant(at), words) for at, words in sorted([*runs, *told], reverse=True)[:5])


def _how_it_ended(state: str, attempts: int, exit_code: int | None, close_reason: str | None, by: str | None) -> str:
    """ "failed: exit 1", "repaired by attempt 2, rerun by alice", or what was said when its incident closed."""
    if close_reason:
        return close_reason
    if state != State.SUCCEEDED:
        return state if exit_code is None else f"{state}: exit {exit_code}"
    return f"repaired by attempt {attempts}" + (f", rerun by {by}" if by else "")


def _row(row: Row) -> IncidentRow:
    (
        incident_id,
        title,
        cause,
        bd,
        reason,
        owner,
        since,
        opened,
        act_by,
        closed,
        services,
        hurt,
        root_run,
        root,
        runbook,
        split_from,
        merged_into,
        reopened,
        changes,
        taken_by,
        taken_until,
        tier,
    ) = row
    return IncidentRow(
        id=incident_id,
        title=title,
        cause=cause,
        bd=bd,
        reason=reason,
        owner=owner,
        failed_since=instant(since),
        opened=instant(opened),
        act_by=maybe_instant(act_by),
        closed=maybe_instant(closed),
        services=services,
        hurt=hurt,
        root_run_id=root_run,
        root_job=root,
        runbook=runbook,
        split_from=split_from,
        merged_into=merged_into,
        reopened=reopened,
        changes=tuple(json.loads(changes)),
        taken_by=taken_by or "",
        taken_until=maybe_instant(taken_until),
        tier=tier,
    )
