"""Rows into the values that decisions see: holds with the actions that place, release and start, and cancels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from console.model.holding import hold_end
from console.model.holds import ActionFacts, HoldFacts
from console.model.ids import instant, maybe_instant
from console.model.values import CancelFacts
from console.model.words import HoldState, Mode, is_unsent
from console.store.keys import unpack
from console.store.questions import table
from console.store.wire import Row, Wire

_AWAITING = (
    "SELECT t.job_id, max(t.parameters) AS parameters FROM plan g JOIN plan_step t ON t.plan_id = g.id"
    " WHERE g.state IN ('running', 'paused', 'stopped') AND t.verb = 'hold' AND t.state = 'planned' GROUP BY t.job_id"
)
"""The jobs that a plan would hold, made once for all holds: plans that stopped may have thousands of steps."""
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
HOLDS = (
    "SELECT h.key, h.job_id, h.upstream_id, h.bd, h.kind, h.mode, h.state, h.held_by, h.why, h.until_us, h.due_us,"
    " h.period_key, h.placed_us, h.released_us, h.ended_us, h.release_key, h.start_key, h.words,"
    " (SELECT max(g.state) FROM plan_step t JOIN plan g ON g.id = t.plan_id WHERE t.action_key = h.key),"
    " w.parameters, p.state, p.words, p.ended_us, p.origin, r.state, r.words, r.ended_us, r.origin, s.state, s.words,"
    " s.ended_us, s.origin FROM hold h LEFT JOIN action p ON p.key = h.key LEFT JOIN action r ON r.key = h.release_key"
    f" LEFT JOIN action s ON s.key = h.start_key LEFT JOIN ({_AWAITING}) w ON w.job_id = h.job_id"
)
_LATELY = (
    f"{HOLDS} WHERE h.key IN (SELECT key FROM hold WHERE ended_us IS NULL"
    " UNION SELECT key FROM hold WHERE ended_us >= ? UNION SELECT key FROM hold WHERE due_us >= ?) ORDER BY h.key"
)
"""Three looks into indices: with OR, every hold that ever was would be walked at each evaluation."""


def holds(lines: Wire, since_us: int) -> tuple[HoldFacts, ...]:
    """Holds that are open, that ended since then, or whose start was not before it, by key."""
    return tuple(map(hold, lines.rows(_LATELY, (since_us, since_us))))


def hold(row: Row) -> HoldFacts:
    """`row` in the order of HOLDS."""
    (
        key, job_id, upstream_id, bd, kind, mode, state, held_by, why, until, due, period_key, placed, released, ended,
        release_key, start_key, words, plan_state, awaits, *actions,
    ) = row  # fmt: skip
    return HoldFacts(
        key=key,
        job_id=job_id,
        upstream_id=upstream_id,
        bd=date.fromisoformat(bd) if bd else None,
        kind=kind,
        mode=Mode(mode),
        state=HoldState(state),
        held_by=held_by,
        why=why,
        until=instant(until),
        due_at=maybe_instant(due),
        period_key=unpack(period_key),
        placed_at=maybe_instant(placed),
        released_at=maybe_instant(released),
        ended_at=maybe_instant(ended),
        release_key=release_key,
        start_key=start_key,
        words=words,
        is_let_go_by_plan=plan_state == "running",
        is_told_by_plan=plan_state in ("running", "stopped"),
        plan_until=hold_end(table(awaits)) if awaits else None,
        place=_action(actions[0:4]),
        release=_action(actions[4:8]),
        start=_action(actions[8:12]),
    )


def _action(row: Sequence[Any]) -> ActionFacts | None:
    state, words, ended, origin = row
    if state is None:
        return None
    return ActionFacts(state, words, maybe_instant(ended), is_unsent(state, words), origin)


def cancels(lines: Wire, since_us: int) -> dict[int, CancelFacts]:
    """By run id, the latest cancel that was asked for since then and has left."""
    rows = lines.rows(
        "SELECT run_id, requested_by, why, sent_us FROM action WHERE requested_us >= ? AND verb = 'cancel' AND run_id"
        " IS NOT NULL AND sent_us IS NOT NULL AND state IN ('sending', 'sent', 'unknown', 'verified') ORDER BY sent_us",
        (since_us,),
    )
    return {run_id: CancelFacts(by, why, instant(sent)) for run_id, by, why, sent in rows}
