"""Repairs of policies as rows, each with the action that it requests, and the switches of policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from operator import attrgetter

from connectors.sdk.states import Verb
from console.domain.access import Role
from console.domain.estate import IncidentFacts
from console.domain.ids import instant, micros, optional_instant
from console.domain.policy import POLICY_ORIGIN, PendingRepair, PolicyRepair, RepairAction, requester_of
from console.domain.request import RequestKind
from console.domain.switches import BREAKER, POLICY
from console.domain.text import At
from console.failpoints import failpoint
from console.store import access, alerts, audit
from console.store.actions import ActionStep, move_action
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.audit import ChangeOrigin
from console.store.config_documents import load_declared
from console.store.db.session import Row, Session, WriteSession
from console.store.events import record_event
from console.store.new_actions import NewAction, insert_action
from console.store.row_values import from_row
from console.store.subjects import name_of_job
from console.store.switches import store_switch

# ruff: noqa: S608  (statements contain only constants of the code; every value is bound)
COUNTED = timedelta(days=7)
"""A run counts its repairs so long at least: its incident may be closed, and the run fail again, after the lookback."""
REPAIR_COLUMNS = (
    "p.policy, p.method, p.job_id, p.business_date, p.run_id, p.attempt, p.at_us, p.action_key,"
    " CASE WHEN d.state = 'unknown' AND d.looked_up = 0 THEN 'sending' ELSE d.state END AS action_state, d.unsent,"
    " d.ended_us, d.needs_approval, COALESCE((SELECT x.signature FROM"
    " incident_failure x WHERE x.incident_id = p.incident_id AND x.since_us <= p.at_us ORDER BY x.since_us DESC"
    " LIMIT 1), '') AS signature"
)
"""An outcome is unknown once it was looked up at its scheduler in vain."""
REPAIR_ACTION = "LEFT JOIN action d ON d.key = p.action_key"
"""The action `d` of repair `p`; `policy_repair` reads REPAIR_COLUMNS of both."""
_FAILED = "SELECT a.key FROM action a WHERE a.state = 'failed' AND a.origin = 'policy' AND NOT a.unsent"
_SELECT_REPAIRS = (
    f"SELECT {REPAIR_COLUMNS} FROM (SELECT run_id, attempt FROM policy_repair WHERE at_us >= ? UNION"
    f" SELECT run_id, attempt FROM policy_repair WHERE action_key IN ({_FAILED})) k CROSS JOIN policy_repair p"
    f" {REPAIR_ACTION} WHERE p.run_id = k.run_id AND p.attempt = k.attempt ORDER BY p.at_us, p.run_id"
)
"""Index lookups: with OR, each evaluation would read every repair."""


def load_policy_repairs(
    session: Session, since_us: int, now: datetime, incidents: Iterable[IncidentFacts] = ()
) -> tuple[PolicyRepair, ...]:
    """The repairs since then, of the last week and since the first of these open incidents, and those that failed, the
    oldest first."""
    first = min(map(attrgetter("opened_at"), incidents), default=now)
    since_us = min(since_us, micros(now - COUNTED), micros(first))
    return tuple(map(policy_repair, session.rows(_SELECT_REPAIRS, (since_us,))))


def policy_repair(row: Row) -> PolicyRepair:
    action = None
    if row.action_key is not None:
        ended = optional_instant(row.ended_us)
        state, waits = row.action_state or "deleted", bool(row.needs_approval)
        action = RepairAction(row.action_key, state, bool(row.unsent), ended, waits)
    return from_row(PolicyRepair, row, business_date=date.fromisoformat(row.business_date), action=action)


def write_policy_repairs(
    session: WriteSession, repairs: Mapping[str, PolicyRepair], incident_ids: Mapping[str, int]
) -> None:
    """Records each once, with its action, if it requests one, and an event of its incident. `incident_ids`: of open
    incidents, by key."""
    for key, repair in repairs.items():
        at_us, incident_id, action = micros(repair.at), incident_ids[key], repair.action
        values = repair.run_id, repair.attempt, repair.policy, repair.method, repair.job_id
        is_new = session.rows(
            "INSERT INTO policy_repair (run_id, attempt, policy, method, job_id, business_date, incident_id, at_us,"
            " action_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, attempt) DO NOTHING RETURNING run_id",
            (*values, repair.business_date.isoformat(), incident_id, at_us, action.key if action else None),
        )
        if not is_new:
            continue
        text = f'policy "{repair.policy}" would {repair.method} attempt {repair.attempt}; it is in shadow'
        if action is not None:
            failpoint("policy.recorded")
            _request(session, repair, action, incident_id)
            how = "asks for approval of" if action.needs_approval else "requests"
            text = f"{how} the {repair.method} of attempt {repair.attempt}: headway policy pause {repair.policy}"
            text = f'policy "{repair.policy}" {text} stops it'
        record_event(session, at_us, "policy", text, incident_id=incident_id, job_id=repair.job_id)


def write_pending_repairs(
    session: WriteSession,
    pending: Mapping[str, PendingRepair | None],
    incident_ids: Mapping[str, int],
    seq: Callable[[], int],
    now_us: int,
) -> None:
    """Stores with each of these open incidents the repair that is to come or in flight; a new one that is to come is an
    event. `incident_ids`: by key."""
    for key, repair in pending.items():
        incident_id = incident_ids.get(key)
        if incident_id is None:
            continue
        policy, at_us = (repair.policy, micros(repair.at)) if repair is not None else ("", None)
        known = session.first("SELECT policy FROM incident WHERE id = ?", (incident_id,))
        update = "UPDATE incident SET policy = ?, policy_us = ?, changed_seq = ? WHERE id = ?"
        session.rows(update, (policy, at_us, seq(), incident_id))
        if at_us is not None and at_us > now_us and known is not None and known.policy != policy:
            text = f'policy "{policy}" repairs it at ', At(instant(at_us)), f": headway policy pause {policy} stops it"
            record_event(session, now_us, "policy", text, incident_id=incident_id)


def _request(session: WriteSession, repair: PolicyRepair, action: RepairAction, incident_id: int) -> None:
    """Inserts its action, audited under the name of the policy."""
    by, verb = requester_of(repair.policy), Verb(repair.method)
    request = NewAction(
        key=action.key,
        verb=verb,
        job_id=repair.job_id,
        run_id=repair.run_id,
        incident_id=incident_id,
        parameters={},
        origin=POLICY_ORIGIN,
        requested_by=by,
        overlap="refuse",
        needs_approval=action.needs_approval,
        requested_us=micros(repair.at),
    )
    if insert_action(session, request):
        detail = {"key": action.key, "as": POLICY_ORIGIN, "run_id": repair.run_id, "attempt": repair.attempt}
        about = name_of_job(session, repair.job_id)
        audit.append(session, request.requested_us, by, audit.ENGINE_ORIGIN, f"request {verb}", about, detail)


def approvers_of(session: Session, key: str) -> int:
    """How many persons approve the action by the policy that requested it; 0 if no policy of the config did."""
    row = session.first("SELECT policy FROM policy_repair WHERE action_key = ?", (key,))
    policy = load_declared(session).policy(row.policy) if row is not None else None
    return policy.approvers if policy is not None else 0


def repair_of_action(session: Session, key: str) -> Row | None:
    """`policy`, `at_us`, `run_id` and `attempt` of the repair that requested the action; `state` and `attempts` of its
    run, and `rerun`, `paused_since_us` and `target` of its job, as they are now."""
    return session.first(
        "SELECT p.policy, p.at_us, p.run_id, p.attempt, r.state, r.attempts, j.rerun, j.paused_since_us, t.name AS"
        " target FROM policy_repair p JOIN run r ON r.id = p.run_id JOIN job j ON j.id = r.job_id JOIN target t ON"
        " t.id = j.target_id WHERE p.action_key = ?",
        (key,),
    )


def count_failed(session: Session, policy: str, since_us: int) -> int:
    """Repairs of the policy that were sent and failed since then."""
    [row] = session.rows(
        "SELECT COUNT(*) AS failed FROM policy_repair WHERE policy = ? AND action_key IN"
        f" ({_FAILED} AND a.ended_us > ?)",
        (policy, since_us),
    )
    return int(row.failed)


def withdraw_repairs(session: WriteSession, keys: Iterable[str], now_us: int) -> None:
    """Withdraws actions that policies requested, those that are not sent yet."""
    text = "withdrawn: a person or the scheduler came first, or the policy may not send it any more"
    for key in keys:
        move_action(session, key, "requested", ActionStep("refused", text, ended=True, event=text), now_us)


def open_breakers(session: WriteSession, failures: Mapping[str, int], audience: AlertRouting, now_us: int) -> None:
    """Opens the breakers of these policies and notifies people. `failures`: the failed repairs of each."""
    for policy, count in failures.items():
        why = f"{count} of its repairs failed"
        by, origin = audit.ENGINE_ACTOR, audit.ENGINE_ORIGIN
        if not store_switch(session, f"{BREAKER} {policy}", "open", by, why, now_us):
            continue
        audit.append(session, now_us, by, origin, "open breaker", requester_of(policy), {"failures": count}, why)
        last = session.first(
            f"SELECT job_id, incident_id FROM policy_repair WHERE policy = ? AND action_key IN ({_FAILED})"
            " ORDER BY at_us DESC LIMIT 1",
            (policy,),
        )
        permissions, _ = access.load_permissions(session)
        admins = [rule.who for rule in permissions if rule.role is Role.ADMIN and not rule.is_limited]
        closers = " or ".join(admins) or ("no person: give one the role admin" if permissions else "any person")
        need = AttentionRequest(
            key=f"{BREAKER} {policy} {now_us}",
            title="the breaker of a policy opened",
            about=requester_of(policy),
            why=why,
            fixes=(("Do", f"headway policy close {policy}"), ("Open", f"headway policy report {policy}")),
            by=requester_of(policy),
            incident_id=None if last is None else last.incident_id,
            job_id=None if last is None else last.job_id,
            meanwhile="The policy sends nothing until its breaker is closed.",
            notes=(f"Closed, once the cause is fixed, by {closers}.",),
        )
        alerts.request_attention(session, audience, need, now_us)


POLICY_SWITCHES = {
    RequestKind.PAUSE_POLICY: (POLICY, "paused"),
    RequestKind.RESUME_POLICY: (POLICY, "resumed"),
    RequestKind.CLOSE_BREAKER: (BREAKER, "closed"),
}


def switch_policy(session: WriteSession, policy: str, request: RequestKind, change: ChangeOrigin) -> bool:
    """Pauses or resumes the policy, or closes its breaker, audited; False if it was so already. A breaker that is
    closed counts from now on, also if it was closed."""
    kind, value = POLICY_SWITCHES[request]
    is_new = store_switch(
        session, f"{kind} {policy}", value, change.by, change.why, change.now_us, renews=kind == BREAKER
    )
    if is_new:
        change.audit(session, request, requester_of(policy), {})
    return is_new
