"""Approval of actions by a second person; one approval covers all periods of a backfill.

It does not cover what was requested earlier, which may have run: an approval is for at most one run of a period.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from console.domain.access import APPROVAL_SECONDS, is_same_person
from console.domain.action import approvers_text, parameters_text, quoted_text
from console.domain.approval import ApprovalTerms
from console.domain.failure import FailureSignature
from console.domain.ids import instant, optional_instant, utc_minute
from console.store import access, alerts, switches
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.audit import ChangeOrigin
from console.store.db.session import Row, Session
from console.store.failures import load_earlier
from console.store.names import decode_name
from console.store.policies import approvers_of
from console.store.row_values import parse_object
from console.text.cleaning import clean_line
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.store.db.database import Database
    from console.store.db.fence import Fence

PERIOD_AT = "period_at"
"""The parameter of a start by which its period is named."""
EXPIRED_REASON = f"not approved within {format_duration(APPROVAL_SECONDS)}: request it again"

_BACKFILL_STEPS = (
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id AND p.kind = 'backfill'"
    " JOIN plan_step n ON n.plan_id = p.id AND n.job_id = s.job_id AND n.verb IN ('rerun', 'start')"
)
_COVERED_STEPS = (
    "SELECT COALESCE(r.period_key, n.period_key) AS period_key, n.action_key, n.verb,"
    " s.verb AS approved_verb, n.run_id, n.parameters"
    f"{_BACKFILL_STEPS} LEFT JOIN action o ON o.key = n.action_key LEFT JOIN run r ON r.id = n.run_id"
    " WHERE s.action_key = ? AND s.verb IN ('rerun', 'start') AND ((n.state = 'planned' AND n.started_us IS NULL)"
    " OR (o.state = 'requested' AND o.needs_approval AND o.approved_us IS NULL)) ORDER BY n.place"
)
_SHOWN_FACTS = (
    "SELECT a.verb, a.job_id, a.run_id, a.requested_by, a.requested_us, a.why, a.overlap, a.parameters, a.preview,"
    " s.preview AS step_preview, p.id AS plan, p.at_once FROM action a LEFT JOIN plan_step s ON s.action_key = a.key"
    " LEFT JOIN plan p ON p.id = s.plan_id WHERE a.key = ?"
)
_STEP_APPROVAL = (
    f"SELECT o.approved_by, o.approved_us{_BACKFILL_STEPS} JOIN action o ON o.key = n.action_key WHERE s.id = ? AND"
    " s.verb IN ('rerun', 'start') AND s.started_us IS NULL AND o.approved_by <> '' ORDER BY o.approved_us DESC LIMIT 1"
)
_LAST_USED = (
    f"SELECT COALESCE(MAX(COALESCE(o.ended_us, o.sent_us)), 0) AS used_us{_BACKFILL_STEPS} JOIN action o ON o.key ="
    " n.action_key JOIN action a ON a.key = s.action_key WHERE a.key = ? AND o.key <> a.key AND o.state <> 'refused'"
    " AND o.approved_by = a.approved_by AND o.approved_us = a.approved_us"
)


@dataclass(frozen=True, slots=True)
class CoveredPeriod:
    period: str
    """The period key of the run, else of the step, after the verb if it is another than that of the approved action; in
    brackets the parameters, but a `period_at` that repeats the period key. Texts are quoted (`quoted_text`)."""
    key: str
    """Key of its action; empty while its step is only planned."""


def covered_periods(session: Session, key: str) -> list[CoveredPeriod]:
    """Periods that approving the action `key` covers, in order, its own included; none if it is not a step of a
    backfill."""
    return [CoveredPeriod(_period_text(row), row.action_key or "") for row in session.rows(_COVERED_STEPS, (key,))]


def _period_text(row: Row) -> str:
    period, parameters = decode_name(row.period_key), parse_object(row.parameters)
    if parameters.get(PERIOD_AT) == period:
        del parameters[PERIOD_AT]
    given, key = parameters_text(parameters), quoted_text(period)
    text = key if row.verb == row.approved_verb else f"{row.verb} {key}"
    return f"{text} ({given})" if given else text


def approval_digest(session: Session, key: str) -> str:
    """Digest of the stored facts about the action `key` that an approver is shown."""
    import hashlib  # noqa: PLC0415 - 3 ms that no first paint needs

    covered = [(row.period_key, row.verb, row.run_id, row.parameters) for row in session.rows(_COVERED_STEPS, (key,))]
    shown = [list(row) for row in session.rows(_SHOWN_FACTS, (key,))]
    return hashlib.sha256(json.dumps([shown, covered]).encode()).hexdigest()


def terms_of(session: Session, key: str) -> ApprovalTerms:
    """The terms of an action that awaits approval."""
    [row] = session.rows(
        "SELECT a.verb, a.requested_us, a.first_approver, a.incident_id, i.act_by_us, i.failure FROM action a"
        " LEFT JOIN incident i ON i.id = a.incident_id WHERE a.key = ?",
        (key,),
    )
    signature, needed = FailureSignature.from_json(row.failure or ""), approvers_of(session, key)
    repairs = load_earlier(session, signature, row.incident_id).repairs if signature is not None else ()
    return ApprovalTerms(
        instant(row.requested_us) + timedelta(seconds=APPROVAL_SECONDS),
        row.incident_id,
        optional_instant(row.act_by_us),
        next((record for record in repairs if record.method == row.verb), None),
        row.first_approver,
        max(needed, 1),
    )


def approval_of(session: Session, step_id: int) -> tuple[str, int] | None:
    """(approver, time in µs) of the approval that covers a step about to be requested for the first time; None without
    one."""
    rows = session.rows(_STEP_APPROVAL, (step_id,))
    return (str(rows[0].approved_by), int(rows[0].approved_us)) if rows else None


def approval_last_used(session: Session, key: str) -> int:
    """When the latest other run under the approval of `key` was sent or ended (µs); 0 for none. An approval does not
    expire while its runs follow each other."""
    return int(session.rows(_LAST_USED, (key,))[0].used_us)


def format_periods(periods: list[str]) -> str:
    """ "31 periods: 2026-10-01 to 2026-10-31"; empty for fewer than two periods."""
    return f"{len(periods)} periods: {periods[0]} to {periods[-1]}" if len(periods) > 1 else ""


def approve_action(store: Database, fence: int, key: str, digest: str, change: ChangeOrigin) -> str:
    """Approves an action that awaits approval, as it was shown under `digest`; the audit has the reason of its request.
    The reason for refusal; empty on success."""
    with store.write(fence, durable=True) as session:
        action = session.first(
            "SELECT a.state, a.needs_approval, a.approved_by, a.first_approver, a.approved_us, a.requested_by,"
            " a.requested_us, a.verb, a.why, j.name AS job, s.name AS system FROM action a"
            " JOIN job j ON j.id = a.job_id JOIN system s ON s.id = j.system_id WHERE a.key = ?",
            (key,),
        )
        if action is None:
            return f'there is no action "{key}"; headway action approvals lists the actions that await approval'
        if action.approved_us is not None:
            return f"it is approved already, by {approvers_text(action.first_approver, action.approved_by)}"
        if action.state != "requested" or not action.needs_approval:
            return f"it is {action.state} and awaits no approval"
        if is_same_person(clean_line(action.requested_by), change.by):
            return f"{action.requested_by} requested it: another person must approve it"
        given = action.first_approver  # one person, as no action needs more than two
        if is_same_person(given, change.by):
            return f"{change.by} approved it already: a second person must approve it"
        if reason := expired_reason(action.requested_us, change.now_us):
            return reason
        if reason := switches.load_modes(session).why_not_sent(action.system):
            return f"{reason}. Then approve it"  # approved now, it would be refused for that reason
        if digest != approval_digest(session, key):
            return f"it changed after you viewed it. Fix: review it again: headway action approve {key}"
        covered = covered_periods(session, key)
        if not given and approvers_of(session, key) > 1:
            waits = f"approved by {change.by}; waiting for a second person: headway action approve {key}"
            session.rows("UPDATE action SET first_approver = ?, text = ? WHERE key = ?", (change.by, waits, key))
        else:
            keys = dict.fromkeys((key, *(period.key for period in covered if period.key)))
            session.many(
                "UPDATE action SET approved_by = ?, approved_us = ?, next_us = 0 WHERE key = ?",
                [(change.by, change.now_us, action_key) for action_key in keys],
            )
        detail: dict[str, Any] = {"key": key, "requested_by": action.requested_by, "digest": digest}
        if len(covered) > 1:
            periods = [period.period for period in covered]
            plan = access.plan_of(session, key)
            detail |= {"plan": plan and plan.id, "count": len(periods), "periods": periods}
        replace(change, why=action.why).audit(session, f"approve {action.verb}", action.job, detail)
    return ""


def require_approval(
    store: Database, fence: Fence, key: str, approvers: str, now_us: int, audience: AlertRouting
) -> None:
    """Makes the action await approval, and notifies once for all that one approval covers.

    `approvers`: names for the messages. `next_us` becomes the time at which the approval expires; nothing else can
    happen to the action before."""
    with store.write(fence) as session:
        action = session.first(
            "UPDATE action SET needs_approval = TRUE, text = ?, next_us = ?, changed_seq = changed_seq + 1"
            " WHERE key = ? AND state = 'requested' AND approved_us IS NULL AND (NOT needs_approval OR next_us = 0)"
            " RETURNING verb, job_id, incident_id, requested_by, why",
            (
                f"waiting for approval by {approvers}: headway action approve {key}",
                now_us + APPROVAL_SECONDS * 1_000_000,
                key,
            ),
        )
        covered = covered_periods(session, key)
        if action is None or any(period.key not in ("", key) for period in covered):
            return
        [job] = session.rows("SELECT name FROM job WHERE id = ?", (action.job_id,))
        about = f"{action.verb.replace('_', ' ')} {job.name}"
        if periods := format_periods([period.period for period in covered]):
            about = f"{about}, {periods}"
        terms = terms_of(session, key).facts(utc_minute, instant(now_us))
        facts = tuple((label.capitalize(), text) for label, text in terms)
        fixes = (("Do", f"headway action approve {key}"),)
        need = AttentionRequest(key, "approval required", about, action.why or "no reason given", fixes,
                                action.requested_by, action.incident_id, action.job_id,
                                notes=(f"May approve: {approvers}. An approval is valid for one hour.",),
                                facts=facts, approves=key)  # fmt: skip
        alerts.request_attention(session, audience, need, now_us)


def expired_reason(since_us: int, now_us: int) -> str:
    """Why an approval or request of then has expired; empty while it is valid."""
    if now_us - since_us <= APPROVAL_SECONDS * 1_000_000:
        return ""
    ago, limit = format_duration((now_us - since_us) / 1e6), format_duration(APPROVAL_SECONDS)
    return f"requested {ago} ago; an approval is valid for {limit}: request it again"
