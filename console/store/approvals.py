"""Actions that another person must approve before they are sent; one approval covers all periods of a backfill.

What was requested earlier is not covered: it may have run, and an approval is for at most one run of a period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.domain.access import APPROVAL_SECONDS
from console.store import access, alerts, audit, switches
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.db.session import Session
from console.store.names import decode_name
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.store.db.database import Database


_SIBLINGS = (
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id AND p.kind = 'backfill'"
    " JOIN plan_step n ON n.plan_id = p.id AND n.job_id = s.job_id AND n.verb IN ('rerun', 'start')"
)
_COVERED = (
    f"SELECT n.period_key, n.action_key{_SIBLINGS} LEFT JOIN action o ON o.key = n.action_key WHERE s.action_key = ?"
    " AND s.verb IN ('rerun', 'start') AND ((n.state = 'planned' AND n.started_us IS NULL)"
    " OR (o.state = 'requested' AND o.needs_approval AND o.approved_by = '')) ORDER BY n.place"
)
_APPROVED = (
    f"SELECT o.approved_by, o.approved_us{_SIBLINGS} JOIN action o ON o.key = n.action_key WHERE s.id = ?"
    " AND s.verb IN ('rerun', 'start') AND s.started_us IS NULL AND o.approved_by <> ''"
    " ORDER BY o.approved_us DESC LIMIT 1"
)
_USED = (
    f"SELECT COALESCE(MAX(COALESCE(o.ended_us, o.sent_us)), 0){_SIBLINGS} JOIN action o ON o.key = n.action_key"
    " JOIN action a ON a.key = s.action_key WHERE a.key = ? AND o.key <> a.key AND o.state <> 'refused'"
    " AND o.approved_by = a.approved_by AND o.approved_us = a.approved_us"
)


@dataclass(frozen=True, slots=True)
class CoveredPeriod:
    """A period that is approved with the one that was asked for."""

    period: str
    key: str
    """Of its action; empty while its step is only planned."""


def covered_periods(session: Session, key: str) -> list[CoveredPeriod]:
    """The periods that approving the action `key` approves, its own among them, in order; none for what is no step of
    a backfill."""
    return [CoveredPeriod(decode_name(period), action or "") for period, action in session.rows(_COVERED, (key,))]


def approval_of(session: Session, step_id: int) -> tuple[str, int] | None:
    """(by whom, when in µs) a step that is about to be asked for the first time was approved with another."""
    rows = session.rows(_APPROVED, (step_id,))
    return (str(rows[0].approved_by), int(rows[0].approved_us)) if rows else None


def approval_last_used(session: Session, key: str) -> int:
    """When the latest other run under the approval of `key` left or ended (µs); 0 for none: so long as they follow each
    other an approval does not grow old."""
    return int(session.rows(_USED, (key,))[0][0])


def format_periods(periods: list[str]) -> str:
    """ "31 periods: 2026-10-01 … 2026-10-31"; empty for one."""
    return f"{len(periods)} periods: {periods[0]} to {periods[-1]}" if len(periods) > 1 else ""


EXPIRED = f"nobody approved it within {format_duration(APPROVAL_SECONDS)}: ask again"


def approve_action(store: Database, fence: int, key: str, by: str, origin: str, now_us: int) -> str:
    """Approves an action that waits for it. Why not, in words; empty when it is approved."""
    with store.write(fence, durable=True) as session:
        action = session.first(
            "SELECT a.state, a.needs_approval, a.approved_by, a.requested_by, a.requested_us, a.verb, a.why,"
            " j.name AS job, s.name AS system FROM action a JOIN job j ON j.id = a.job_id"
            " JOIN system s ON s.id = j.system_id WHERE a.key = ?",
            (key,),
        )
        if action is None:
            return f'nothing was asked for as "{key}"; headway action approvals lists what waits'
        if action.approved_by:
            return f"it is approved already, by {action.approved_by}"
        if action.state != "requested" or not action.needs_approval:
            return f"it is {action.state} and waits for no approval"
        if action.requested_by == by:
            return f"{by} asked for it: another person must approve it"
        if (words := expired_reason(action.requested_us, now_us)) != "":
            return words
        if kept := switches.load_modes(session).why_not_sent(action.system):
            return f"{kept}. Then approve it"  # approved now it would be refused for that
        with_it = covered_periods(session, key)
        session.many(
            "UPDATE action SET approved_by = ?, approved_us = ?, next_us = 0 WHERE key = ?",
            [(by, now_us, one) for one in dict.fromkeys((key, *(each.key for each in with_it if each.key)))],
        )
        detail: dict[str, Any] = {"key": key, "asked_by": action.requested_by}
        if len(with_it) > 1:
            number, periods = access.plan_of(session, key)[0], [each.period for each in with_it]
            detail |= {"plan": number, "count": len(periods), "periods": periods}
        audit.append(session, now_us, by, origin, f"approve {action.verb}", action.job, detail, action.why)
    return ""


def require_approval(
    store: Database, fence: int, key: str, now_us: int, audience: AlertRouting = alerts.NO_ROUTING
) -> None:
    """The action waits for an approval from here on, if it did not yet; and somebody is told so, once for all that one
    approval covers. What was told is due again (`next_us`) when its time is over; before, nothing can become of it."""
    with store.write(fence) as session:
        rows = session.rows(
            "UPDATE action SET needs_approval = TRUE, words = ?, next_us = ?, changed_seq = changed_seq + 1"
            " WHERE key = ? AND state = 'requested' AND approved_by = '' AND (NOT needs_approval OR next_us = 0)"
            " RETURNING verb, job_id, incident_id, requested_by, why",
            (
                f"waiting for approval by another person: headway action approve {key}",
                now_us + APPROVAL_SECONDS * 1_000_000,
                key,
            ),
        )
        with_it = covered_periods(session, key)
        for verb, job_id, incident_id, by, why in rows if all(each.key in ("", key) for each in with_it) else []:
            [(job,)] = session.rows("SELECT name FROM job WHERE id = ?", (job_id,))
            about = f"{verb} {job}".replace("_", " ")
            many = format_periods([each.period for each in with_it])
            ways = (f"See and approve it, within the hour: headway action approve {key}",)
            need = AttentionRequest(key, "an approval is wanted", f"{about}, {many}" if many else about,
                        why or "no reason given", ways, by, incident_id, job_id)  # fmt: skip
            alerts.request_attention(session, audience, need, now_us)


def expired_reason(since_us: int, now_us: int) -> str:
    """Why something of then counts no more; empty while it does."""
    if now_us - since_us <= APPROVAL_SECONDS * 1_000_000:
        return ""
    ago, limit = format_duration((now_us - since_us) / 1e6), format_duration(APPROVAL_SECONDS)
    return f"that was {ago} ago, and an approval counts for {limit}: ask again"
