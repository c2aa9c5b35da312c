"""One approval for a whole backfill: the same job for other periods, all of which the approver sees.

Plain SQL: a console that lists what waits pays for no more. What was asked before is not covered: it may have run, and
an approval is for one run of a period at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.store.chain import Run
from console.store.keys import unpack

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
class Covered:
    """A period that is approved with the one that was asked for."""

    period: str
    key: str
    """Of its action; empty while its step is only planned."""


def covered(run: Run, key: str) -> list[Covered]:
    """The periods that approving the action `key` approves, its own among them, in order; none for what is no step of
    a backfill."""
    return [Covered(unpack(period), action or "") for period, action in run(_COVERED, (key,))]


def approval_of(run: Run, step_id: int) -> tuple[str, int] | None:
    """(by whom, when in µs) a step that is about to be asked for the first time was approved with another."""
    rows = run(_APPROVED, (step_id,))
    return (str(rows[0][0]), int(rows[0][1])) if rows else None


def last_used(run: Run, key: str) -> int:
    """When the latest other run under the approval of `key` left or ended (µs); 0 for none: so long as they follow each
    other an approval does not grow old."""
    return int(run(_USED, (key,))[0][0])


def words(periods: list[str]) -> str:
    """ "31 periods: 2026-10-01 … 2026-10-31"; empty for one."""
    return f"{len(periods)} periods: {periods[0]} to {periods[-1]}" if len(periods) > 1 else ""
