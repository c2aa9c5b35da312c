"""Started plans: the list, and one with its steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connectors.sdk.states import RED_STATES
from console.domain.incident import error_line
from console.domain.plan import PlanStepView, PlanView, SavedService
from console.domain.stored import stored_value
from console.store.db.session import Row
from console.store.errors import PlanNotFound
from console.store.plan_steps import OTHER_HOLD, RUN_OF_STEP, format_other_hold, known_places, step_period
from console.store.queries.base import ContextQueries
from console.store.row_values import from_row

# ruff: noqa: S608  (only our own names; every value is bound)
MAX_PLANS = 200
_PLANS = (
    "SELECT id, key, kind, title, incident_id, state, requested_by, requested_from, requested_us, ended_us, why, text,"
    " go_on, at_once FROM plan"
)
_OPEN = "('running', 'paused', 'stopped')"
_STEPS = (
    "SELECT s.place, s.verb, j.name AS job, s.job_id, COALESCE(s.run_id, r.id) AS run_id, s.period_key, s.after,"
    " s.wait_s, s.due_us, s.safety, s.expected_s, s.state, s.action_key, a.state AS action_state, CASE WHEN s.text <>"
    " '' THEN s.text ELSE a.text END AS text, s.started_us, s.ended_us, y.name AS system, r.state AS run_state,"
    " r.period_name, r.changed_seq, r.exit_code, r.message, r.stale_read, j.target_id,"
    " CASE WHEN t.failing_since_us IS NOT NULL THEN y.name || '/' || t.name END AS failing,"
    " CASE WHEN s.state = 'planned' THEN (SELECT o.requested_by || ' ' || o.verb FROM action o"
    " WHERE o.run_id = r.id AND o.state IN ('requested', 'sending', 'sent', 'unknown') ORDER BY o.requested_us LIMIT 1)"
    f" END AS others, CASE WHEN s.state = 'planned' THEN {OTHER_HOLD} END AS beside, s.saves, (SELECT o.verb FROM"
    " action o WHERE o.job_id = s.job_id AND o.verb IN ('rerun', 'start') AND o.state = 'unknown' LIMIT 1) AS unknown"
    " FROM plan_step s JOIN plan p ON p.id = s.plan_id LEFT JOIN job j ON j.id = s.job_id LEFT JOIN system y ON y.id ="
    " j.system_id LEFT JOIN target t ON t.id = j.target_id LEFT JOIN action a ON a.key = s.action_key LEFT JOIN run r"
    f" ON r.id = {RUN_OF_STEP} WHERE s.plan_id = ? ORDER BY s.place"
)


class PlanQueries(ContextQueries):
    def list_plans(self, incident_id: int | None = None, ended: bool = True) -> list[PlanView]:
        """Newest first, at most MAX_PLANS; of one incident; with or without done and aborted ones."""
        conditions = [
            *(() if ended else (f"state IN {_OPEN}",)),
            *(() if incident_id is None else ("incident_id = ?",)),
        ]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        values = () if incident_id is None else (incident_id,)
        rows = self.link.rows(f"{_PLANS}{where} ORDER BY id DESC LIMIT {MAX_PLANS}", values)
        return [self._plan(row) for row in rows]

    def plan(self, number: int) -> PlanView:
        """One plan with its steps. Raises PlanNotFound."""
        row = self.link.first(f"{_PLANS} WHERE id = ?", (number,))
        if row is None:
            raise PlanNotFound(number)
        return self._plan(row)

    def _plan(self, row: Row) -> PlanView:
        steps, evaluated = self.link.rows(_STEPS, (row.id,)), int(self.store.meta("evaluated_seq") or 0)
        standstill = self._standstill(steps) if row.state == "running" else ""
        return from_row(PlanView, row, steps=tuple(_step(step, evaluated) for step in steps), standstill=standstill)

    def _standstill(self, steps: Sequence[Row]) -> str:
        """Why none of the next steps can be sent or verified; empty if one can be."""
        from console.store.switches import load_modes  # noqa: PLC0415 - the first paint does not need it

        if load_modes(self.link).frozen is not None:
            return "frozen, thaw first"
        verified = {step.place for step in steps if step.state == "verified"}
        due = [
            step
            for step in steps
            if step.state in ("planned", "requested") and verified.issuperset(known_places(step.after))
        ]
        paused = self.store.paused()
        stale = self.store.stale_targets() if any(step.failing for step in due) else {}
        reasons = [_obstacle(step, paused, stale) for step in due]
        return reasons[0] if reasons and all(reasons) else ""


def _obstacle(step: Row, paused: Collection[str], stale: Collection[int]) -> str:
    """Why the step cannot be sent or verified; empty if it can."""
    if step.system in paused:
        return f"polls of {step.system} are paused"
    if step.failing and step.target_id in stale:
        return f"{step.failing} is unreachable"
    return f"the outcome of the {step.unknown} of {step.job} is unknown" if step.unknown else ""


def _step(row: Row, evaluated: int) -> PlanStepView:
    saves = [save for save in stored_value(tuple[SavedService, ...], row.saves, ()) if save.saved is not False]
    has_failed = row.state == "failed" and row.run_state in RED_STATES
    return from_row(
        PlanStepView,
        row,
        period=step_period(row),
        after=known_places(row.after),
        others=(row.others or "").replace("_", " "),
        held_by=format_other_hold(row.beside),
        is_judged=row.changed_seq is not None and row.changed_seq <= evaluated,
        saves_by=max((save.expected for save in saves if save.expected is not None), default=None),
        saves=tuple(save.day for save in saves if save.saved),
        may_save=tuple(save.day for save in saves if save.saved is None),
        read_stale=bool(row.stale_read),
        error=error_line(row.exit_code, row.message or "") if has_failed else "",
    )
