"""What stands beside an action about the same run: under way, asked for before it, or to come by a plan.

Plain SQL: whoever asks pays for no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.store.chain import Run

_OPEN = "('requested', 'sending', 'sent', 'unknown')"


def under_way(run: Run, run_id: int | None, job_id: int | None, verbs: Sequence[str]) -> list[tuple[Any, ...]]:
    """(who, when in µs, state, key) of actions of these verbs for the run, for the job where there is none; newest
    first."""
    column, number = ("job_id", job_id) if run_id is None else ("run_id", run_id)
    return run(
        f"SELECT requested_by, requested_us, state, key FROM action WHERE {column} = ?"  # noqa: S608 - our own names
        f" AND verb IN ({_marks(verbs)}) AND state IN {_OPEN} ORDER BY requested_us DESC",
        (number, *verbs),
    )


def to_come(run: Run, run_id: int, verbs: Sequence[str]) -> tuple[int, str, int] | None:
    """(plan, who started it, step) of a running plan that will do one of these to the run; None without one."""
    rows = run(
        "SELECT p.id, p.requested_by, s.place FROM run r JOIN plan_step s ON s.job_id = r.job_id"  # noqa: S608
        " AND s.period_key = r.period_key JOIN plan p ON p.id = s.plan_id WHERE r.id = ? AND p.state = 'running'"
        f" AND s.state = 'planned' AND s.verb IN ({_marks(verbs)}) ORDER BY p.id LIMIT 1",
        (run_id, *verbs),
    )
    return tuple(rows[0]) if rows else None


def before(run: Run, key: str) -> str:
    """What of the same run goes before the action `key`, in words; empty for nothing. A plan's steps stand where their
    plan does: so no two wait for each other."""
    for (by,) in run(_BEFORE, (key,)):
        return f"what {by} asked of the same run is not over yet"
    for number, place in run(_PLANNED_BEFORE, (key,)):
        return f"plan {number} does it first, in its step {place}"
    return ""


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
