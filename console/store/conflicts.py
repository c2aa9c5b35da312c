"""Conflicts of an action: holds of its job, other actions and planned steps for its run, an earlier success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connectors.sdk.states import STARTING, RunEvidence, RunState, Verb
from console.domain.action import NOTHING_TO_MARK
from console.domain.hold import ENDED_HOLDS
from console.domain.ids import instant
from console.domain.text import At, Text
from console.store.db.session import Row, Session

if TYPE_CHECKING:
    from console.store.db.database import Database


_OPEN = "('requested', 'sending', 'sent', 'unknown')"
_GIVES_WAY = "(origin = 'policy' AND state = 'requested')"
"""A request of a policy that is not sent yet: it is withdrawn once a person requests something for its run."""


def actions_in_flight(session: Session, run_id: int | None, job_id: int | None, verbs: Sequence[str]) -> list[Row]:
    """`requested_by`, `requested_us`, `state` and `key` of open actions of these verbs for the run, without one for the
    job; newest first. For a run without the requests of policies that give way to a person's."""
    column, number = ("job_id", job_id) if run_id is None else ("run_id", run_id)
    gives_way = _GIVES_WAY if run_id is not None else "FALSE"
    return session.rows(
        f"SELECT requested_by, requested_us, state, key FROM action WHERE {column} = ?"  # noqa: S608 - our own names
        f" AND verb IN ({_marks(verbs)}) AND state IN {_OPEN} AND NOT {gives_way}"
        " ORDER BY requested_us DESC",
        (number, *verbs),
    )


def planned_step(session: Session, run_id: int, verbs: Sequence[str]) -> Row | None:
    """The `plan_id`, `requested_by` and `place` of a planned step of these verbs for the run, in a running plan."""
    return session.first(
        "SELECT p.id AS plan_id, p.requested_by, s.place FROM run r JOIN plan_step s ON s.job_id = r.job_id"  # noqa: S608
        " AND s.period_key = r.period_key JOIN plan p ON p.id = s.plan_id WHERE r.id = ? AND p.state = 'running'"
        f" AND s.state = 'planned' AND s.verb IN ({_marks(verbs)}) ORDER BY p.id LIMIT 1",
        (run_id, *verbs),
    )


def earlier_action_of(store: Database, key: str) -> str | None:
    """Why the action `key` waits for another one of its run; None if it need not. A plan's steps are ordered by the
    request of their plan, so that no two wait for each other."""
    with store.read() as session:
        if action := session.first(_BEFORE, (key,)):
            return f"an action requested by {action.requested_by} on the same run has not ended"
        if step := session.first(_PLANNED_BEFORE, (key,)):
            return f"plan {step.id} does it first, in its step {step.place}"
    return None


def rival_action_of(session: Session, key: str) -> str:
    """The requester of another open action on the run of the action `key`; empty if there is none."""
    row = session.first(
        "SELECT o.requested_by FROM action a JOIN action o ON o.run_id = a.run_id AND o.key <> a.key WHERE a.key = ?"  # noqa: S608
        f" AND o.state IN {_OPEN} ORDER BY o.requested_us LIMIT 1",
        (key,),
    )
    return "" if row is None else str(row.requested_by)


_PLANS_US = (
    "COALESCE((SELECT p.requested_us FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE s.action_key = {0}.key),"
    " {0}.requested_us)"
)
_MINE_US, _THEIRS_US = _PLANS_US.format("a"), _PLANS_US.format("o")
_BEFORE = (
    "SELECT o.requested_by FROM action a JOIN action o ON o.run_id = a.run_id AND o.key <> a.key WHERE a.key = ?"  # noqa: S608
    f" AND o.verb IN ('rerun', 'start', 'mark_ok', 'skip') AND o.state IN {_OPEN} AND ({_THEIRS_US} < {_MINE_US}"
    f" OR ({_THEIRS_US} = {_MINE_US} AND o.key < a.key)) ORDER BY o.requested_us LIMIT 1"
)
_PLANNED_BEFORE = (
    "SELECT p.id, s.place FROM action a JOIN run r ON r.id = a.run_id JOIN plan_step s ON s.job_id = r.job_id"  # noqa: S608
    " AND s.period_key = r.period_key JOIN plan p ON p.id = s.plan_id WHERE a.key = ? AND p.state = 'running'"
    f" AND s.state = 'planned' AND s.verb <> 'wait' AND p.requested_us < {_MINE_US} ORDER BY p.id LIMIT 1"
)


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def format_hold(store: Database, run_id: int | None, job_id: int | None) -> Text:
    """Holder and end of the hold of the job or its DAG; empty without a hold."""
    return _hold_text(store.first(*((_HOLD_OF_JOB, (job_id,)) if run_id is None else (_HOLD_OF_RUN, (run_id,)))))


def open_hold(session: Session, job_id: int) -> Text:
    """The same for a hold of the job or its DAG that is placed or has not ended; empty without one."""
    return _hold_text(session.first(_OPEN_HOLD, (job_id,)))


def _hold_text(hold: Row | None) -> Text:
    if hold is None:
        return ()
    reason = f": {hold.why}" if hold.why else ""
    return f"it is held by {hold.held_by} until ", At(instant(hold.until_us)), reason


_HOLD_OF_JOB = (
    "SELECT h.held_by, h.until_us, h.why FROM hold h WHERE h.state IN ('held', 'releasing', 'foreign')"
    " AND h.job_id IN (SELECT COALESCE(j.parent_id, j.id) FROM job j WHERE j.id = ?) ORDER BY h.key"
)
_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED_HOLDS))
_OPEN_HOLD = (
    "SELECT h.held_by, h.until_us, h.why FROM hold h JOIN job j ON h.job_id IN (j.id, j.parent_id) WHERE j.id = ?"  # noqa: S608 - our own names
    f" AND h.state NOT IN ({_ENDED}) ORDER BY h.key"
)
_HOLD_OF_RUN = _HOLD_OF_JOB.replace("j.id = ?", "j.id = (SELECT r.job_id FROM run r WHERE r.id = ?)")


def start_in_flight(store: Database, run_id: int | None, job_id: int | None, key: str = "") -> str | None:
    """A rerun or start of the job, other than `key`, that was or may have been sent and that its source does not report
    yet, as text; None without one."""
    action = store.first(_SELECT_IN_FLIGHT, (run_id, job_id, key))
    if action is None:
        return None
    verb = "the rerun" if action.verb == Verb.RERUN else "the start"
    status = (
        f"its outcome is unknown: headway action {action.key}" if action.state == "unknown" else "has not begun yet"
    )
    return f"{verb} of {action.requested_by} was sent, and {status}"


_SELECT_IN_FLIGHT = (
    "SELECT a.verb, a.requested_by, a.state, a.key FROM action a WHERE a.job_id = COALESCE((SELECT r.job_id FROM run r"
    " WHERE r.id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) AND a.key <> ? AND a.verb IN ('rerun', 'start') AND a.state"
    " IN ('sending', 'sent', 'unknown') AND NOT EXISTS (SELECT 1 FROM attempt t WHERE (t.action_key = a.key AND"
    " t.job_id = a.job_id) OR (t.run_id = a.run_id AND a.native_ref <> '' AND t.attempt_key = a.native_ref))"
    " ORDER BY a.sent_us DESC"
)


def run_conflicts(store: Database, run_id: int | None) -> tuple[list[str], str | None]:
    """Keys of the run's open actions, and the reason why another start of it has to wait."""
    if run_id is None:
        return [], None
    with store.read() as session:
        actions = actions_in_flight(session, run_id, None, STARTING)
        plan = planned_step(session, run_id, STARTING)
    reason = f"an action requested by {actions[0].requested_by} on this run has not ended" if actions else None
    if plan is not None and reason is None:
        reason = f"plan {plan.plan_id} of {plan.requested_by} does it, in its step {plan.place}"
    return [str(action.key) for action in actions], reason


def mark_refusal(store: Database, verb: Verb, run_id: int | None) -> str:
    """Why this run cannot be marked OK or skipped; empty if it can, and for other verbs."""
    if run_id is None or verb not in (Verb.MARK_OK, Verb.SKIP):
        return ""
    sql = "SELECT 1 FROM run WHERE id = ? AND state = ? AND evidence <> ? AND NOT stale_read"
    rows = store.rows(sql, (run_id, RunState.SUCCEEDED.value, RunEvidence.ASSERTED.value))
    return NOTHING_TO_MARK if rows else ""
