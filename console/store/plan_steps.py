"""Steps of plans as rows: each with its action, its run, its hold, and other actions for the same run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from connectors.sdk.states import OPEN_STATES, Verb
from console.domain.hold import held_start
from console.domain.ids import exact_instant, incident_name, instant, optional_instant, utc_minute
from console.domain.plan import (
    WAIT,
    StepPeriod,
    StepProgress,
    StepRun,
    StepStatus,
    is_bad_run,
    is_outdated,
    parse_places,
)
from console.store.db.session import Row, Session
from console.store.names import decode_name
from console.store.row_values import from_row, parse_object
from console.store.snapshot.clock_skew import corrected_instant
from console.text.cleaning import clean_line

# ruff: noqa: S608  (only our own names; every value is bound)
OTHER_HOLD = (
    "(SELECT CAST(o.until_us AS TEXT) || ' ' || o.held_by FROM hold o WHERE s.verb = 'hold' AND o.job_id = s.job_id"
    " AND o.key <> COALESCE(s.action_key, '') AND o.state IN ('placing', 'held', 'foreign', 'releasing', 'clearing')"
    " ORDER BY o.until_us DESC LIMIT 1)"
)
"""Of a hold step `s`: another hold of its job, for `format_other_hold`."""
RUN_OF_STEP = (
    "CASE WHEN s.verb = 'wait' AND s.period_key = '' THEN (SELECT x.id FROM run x WHERE x.job_id = s.job_id AND"
    " x.sort_us > p.requested_us - 86400000000 AND x.first_started_us - COALESCE(t.skew_s, 0) * 1000000 >="
    " p.requested_us ORDER BY x.sort_us DESC LIMIT 1) ELSE (SELECT x.id FROM run x WHERE x.job_id = s.job_id AND"
    " x.period_key = s.period_key) END"
)
"""Id of the run of step `s` of plan `p`, whose job is on target `t`; of a wait without a period the latest run that
began after the plan was requested."""
STEPS = (
    "SELECT s.id, s.plan_id, s.place, s.verb, s.after, s.wait_s, s.due_us, s.state, s.text, s.action_key, j.name AS"
    " job, y.name AS system, a.state AS action_state, a.text AS action_text, r.id AS run_id, r.state AS run_state,"
    " r.evidence, r.stale_read, r.started_us, r.ended_us, s.period_key, r.period_name, s.job_id, s.preview,"
    " t.last_ok_us, t.skew_s, y.poll_every_s,"
    f" h.state AS hold_state, h.reason AS hold_reason, s.parameters, j.paused_since_us, {OTHER_HOLD} AS beside, (SELECT"
    " o.requested_by || ' ' || o.verb FROM action o WHERE o.run_id = r.id AND o.key <> COALESCE(s.action_key, '') AND"
    " o.state IN ('requested', 'sending', 'sent', 'unknown') AND NOT (o.state = 'requested' AND o.overlap = 'queue' AND"
    " o.requested_us > p.requested_us) ORDER BY o.requested_us LIMIT 1) AS others FROM plan_step s JOIN plan p ON p.id"
    " = s.plan_id LEFT JOIN job j ON j.id = s.job_id LEFT JOIN system y ON y.id = j.system_id LEFT JOIN target t ON"
    " t.id = j.target_id LEFT JOIN action a ON a.key = s.action_key LEFT JOIN hold h ON h.key = s.action_key LEFT JOIN"
    f" run r ON r.id = {RUN_OF_STEP} WHERE s.plan_id = ? ORDER BY s.place"
)


_RUNS_OF_STEPS = (
    "FROM plan p JOIN plan_step s ON s.plan_id = p.id LEFT JOIN job j ON j.id = s.job_id LEFT JOIN target t ON t.id ="
    f" j.target_id LEFT JOIN run r ON r.id = {RUN_OF_STEP}"
)
_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_FAILED_WAITS = (
    f"SELECT DISTINCT j.name {_RUNS_OF_STEPS} WHERE p.id = ? AND s.verb = 'wait' AND s.state = 'failed' AND j.name IS"
    f" NOT NULL AND (r.id IS NULL OR NOT (r.state IN ({_OPEN}) OR (r.state = 'succeeded' AND NOT r.stale_read)))"
    " ORDER BY j.name"
)
_OPEN_STEPS = (
    f"SELECT s.plan_id, p.state AS plan_state, s.place, s.verb, s.after, s.state, s.job_id, r.id AS run_id, r.state AS"
    f" run_state, r.stale_read"
    f" {_RUNS_OF_STEPS} WHERE p.state IN ('running', 'paused', 'stopped')"
)
PLAN_FACTS = (
    "SELECT p.id, p.incident_id, p.state, SUM(CASE WHEN s.state = 'verified' OR (s.verb = 'wait' OR s.state ="
    " 'requested' AND s.verb NOT IN ('hold', 'release')) AND r.id IS NOT NULL THEN 1 ELSE 0 END) AS done,"
    " COUNT(*) AS total FROM plan p JOIN plan_step s ON s.plan_id = p.id LEFT JOIN run r ON r.job_id = s.job_id"
    " AND r.period_key = s.period_key AND (r.state = 'skipped' OR (r.state = 'succeeded' AND NOT r.stale_read))"
)
"""Plans `p` with their steps `s` and the good runs `r` of these; GROUP BY p.id, p.incident_id, p.state."""


def failed_waits(session: Session, number: int) -> list[str]:
    """Jobs that the plan waited for, that failed and that are not good or running again."""
    return [clean_line(row.name) for row in session.rows(_FAILED_WAITS, (number,))]


def open_plan_steps(session: Session, number: int | None = None) -> dict[int, list[Row]]:
    """Plan -> `plan_state`, `place`, `verb`, `after`, `state`, `job_id`, `run_id`, `run_state` and `stale_read` of its
    steps, of open plans, or of this one."""
    steps: dict[int, list[Row]] = defaultdict(list)
    of_plan, values = ("", ()) if number is None else (" AND p.id = ?", (number,))
    for row in session.rows(f"{_OPEN_STEPS}{of_plan} ORDER BY s.plan_id, s.place", values):
        steps[row.plan_id].append(row)
    return steps


def is_outdated_plan(steps: Sequence[Row]) -> bool:
    """True if resuming the plan would not repair its services. `steps`: of `open_plan_steps`."""
    if not any(step.verb == WAIT and step.state == "planned" and is_bad_step(step) for step in steps):
        return False
    return is_outdated(
        [StepStatus(step.place, step.verb, known_places(step.after), step.state, is_bad_step(step)) for step in steps]
    )


def is_bad_step(step: Row) -> bool:
    """Whether the run of a row of `open_plan_steps` failed, or read stale data."""
    return step.run_state is not None and is_bad_run(step.run_state, step.stale_read)


def replacing_incident(session: Session, number: int, incident_id: int | None) -> str:
    """The incident to recover in place of the open plan, which would not repair it any more; empty while it would."""
    if incident_id is None or not is_outdated_plan(open_plan_steps(session, number)[number]):
        return ""
    return incident_name(incident_id)


def known_places(after: str) -> tuple[int, ...]:
    """The places in a step's `after`; empty if Headway did not write it: the engine abandons such a plan."""
    try:
        return parse_places(after)
    except (ValueError, RecursionError):
        return ()


def parse_step(row: Any) -> StepProgress:
    """Raises ValueError, TypeError, OverflowError or RecursionError for rows that Headway did not write."""
    if row.job_id is None:
        raise ValueError("a step is about no job")
    has_run, period = row.run_state is not None, step_period(row)
    return from_row(
        StepProgress,
        row,
        after=parse_places(row.after),
        due=None if row.due_us is None else exact_instant(row.due_us),
        run=parse_run(row, row.skew_s) if has_run else None,
        period=StepPeriod(clean_line(period.key), period.name),
        polled=optional_instant(row.last_ok_us),
        poll_every_s=row.poll_every_s or 0.0,
        state_at_start=str(parse_object(row.preview or "{}").get("run_state", "")) if has_run else "",
        start=held_start(parse_object(row.parameters)) if row.verb == Verb.HOLD else None,
        held_by=format_other_hold(row.beside),
        is_paused=row.verb == Verb.HOLD and row.paused_since_us is not None,
    )


def step_period(row: Row) -> StepPeriod:
    """The period of a row with the `period_key` of a step and the `period_name` of its run."""
    return StepPeriod(decode_name(row.period_key), clean_line(decode_name(row.period_name or "")))


def format_other_hold(beside: str | None) -> str:
    """Holder of the job's hold and its end; empty without a hold."""
    until, _, by = (beside or "").partition(" ")
    return f"{clean_line(by)} until {utc_minute(instant(int(until)))}" if by else ""


def parse_run(row: Any, skew_s: float | None) -> StepRun:
    """`skew_s`: skew of its target's clock, which is subtracted."""
    ends = corrected_instant(row.started_us, skew_s), corrected_instant(row.ended_us, skew_s)
    return StepRun(row.run_state, row.evidence, bool(row.stale_read), *ends)
