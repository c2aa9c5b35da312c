"""Actions with their proof, and each action's history from the audit."""

from __future__ import annotations

from console.domain.action import ActionDetailView, ActionHistoryEntry, ActionProofView, ActionView
from console.domain.ids import instant, optional_instant
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.base import ContextQueries, clean_name, preview_parts, stored_preview
from console.store.row_values import from_row, json_object
from console.text.cleaning import clean_line

MAX_ACTIONS = 500
"""Latest actions listed at most."""
_SELECT_ACTIONS = (
    "SELECT a.key, a.verb, j.name AS job, a.job_id, y.name AS system, a.run_id, r.period_key, a.incident_id, s.plan_id"
    " AS plan, a.state, a.origin, a.requested_by, a.requested_from, a.requested_us, a.why, a.needs_approval,"
    " a.approved_by, a.first_approver, a.approved_us, a.sent_us, a.ended_us, a.text, a.preview,"
    " s.preview AS step_preview, a.native_ref,"
    " a.parameters, t.run_id AS proof_run_id, t.number, t.state AS proof_state, t.evidence, t.native_state,"
    " t.started_us, t.ended_us AS proof_ended_us, t.exit_code, t.message FROM action a JOIN job j ON j.id = a.job_id"
    " JOIN system y ON y.id = j.system_id LEFT JOIN run r ON r.id = a.run_id LEFT JOIN plan_step s ON s.action_key ="
    " a.key LEFT JOIN attempt t ON a.sent_us IS NOT NULL AND t.id = COALESCE((SELECT x.id FROM attempt x WHERE"
    " x.action_key = a.key AND x.job_id = a.job_id ORDER BY x.number DESC LIMIT 1), (SELECT x.id FROM attempt x WHERE"
    " x.run_id = a.run_id AND a.native_ref <> '' AND x.attempt_key = a.native_ref ORDER BY x.number DESC LIMIT 1))"
)
"""Proof is the attempt with the action's key, else the one named by its receipt: a redrive carries no key."""
_LATEST_US = 2**62
_HISTORY_MARGIN_US = 60_000_000
"""Maximum distance of audit rows from an action's own times."""

_LIST = (
    "SELECT a.key, a.verb, j.name AS job, a.job_id, a.run_id, a.incident_id, a.state, a.requested_by, a.requested_us,"
    " a.sent_us, a.ended_us, a.text, a.preview FROM action a JOIN job j ON j.id = a.job_id"
)


class ActionQueries(ContextQueries):
    def withdrawable(self) -> list[ActionView]:
        """Unsent actions, and those with an unknown outcome, oldest first."""
        sql = f"{_LIST} WHERE a.state IN ('requested', 'unknown') ORDER BY a.requested_us, a.key"
        return [from_row(ActionView, row) for row in self.link.rows(sql)]

    def list_actions(self, run_id: int | None = None, incident_id: int | None = None) -> list[ActionView]:
        """Actions on a run or for an incident, or the 100 latest; newest first."""
        column, value = ("run_id", run_id) if run_id is not None else ("incident_id", incident_id)
        where, values = ("", ()) if value is None else (f" WHERE a.{column} = ?", (value,))
        rows = self.link.rows(f"{_LIST}{where} ORDER BY a.requested_us DESC, a.key DESC LIMIT 100", values)
        return [from_row(ActionView, row) for row in rows]

    def in_flight(self) -> list[tuple[str, str, str]]:
        """(job, verb, requester) of actions that are being sent or have an unknown outcome: a freeze does not stop
        them."""
        rows = self.link.rows(
            "SELECT j.name, a.verb, a.requested_by FROM action a JOIN job j ON j.id = a.job_id"
            " WHERE a.state IN ('sending', 'unknown') ORDER BY a.requested_us"
        )
        return [(row.name, row.verb, row.requested_by) for row in rows]

    def list_details(self, limit: int = MAX_ACTIONS) -> list[ActionDetailView]:
        """The latest actions, newest first."""
        rows = self.link.rows(f"{_SELECT_ACTIONS} ORDER BY a.requested_us DESC, a.key DESC LIMIT ?", (limit,))
        return [_view(row) for row in rows]

    def count(self) -> int:
        return int(self.link.rows("SELECT count(*) AS total FROM action")[0].total)

    def history_of(self, key: str) -> tuple[ActionDetailView, list[ActionHistoryEntry]]:
        """One action and its audit rows, oldest first. Raises NotFound."""
        action = self.link.first(f"{_SELECT_ACTIONS} WHERE a.key = ?", (key,))
        if action is None:
            raise NotFound(f'action "{key}"')
        times = (action.requested_us, action.approved_us, action.sent_us, action.ended_us)
        known = [at for at in times if at is not None]
        until = _LATEST_US if action.ended_us is None else max(known) + _HISTORY_MARGIN_US
        rows = self.link.rows(
            "SELECT at_us, actor, origin, verb, detail FROM audit"  # noqa: S608 - our own names
            f" WHERE at_us BETWEEN ? AND ? AND {self.link.contains('detail')} ORDER BY seq",
            (min(known) - _HISTORY_MARGIN_US, until, key),
        )
        return _view(action), [_history_entry(row) for row in rows]


def _view(row: Row) -> ActionDetailView:
    preview = stored_preview(row)
    summary, sends, notes = preview_parts(preview)
    proof = None
    if row.proof_run_id is not None:
        ended = optional_instant(row.proof_ended_us)
        proof = from_row(ActionProofView, row, run_id=row.proof_run_id, state=row.proof_state, ended=ended)
    return from_row(
        ActionDetailView,
        row,
        period=clean_name(row.period_key or ""),
        native_verb=str(preview.get("verb", "")),
        native_summary=summary,
        scope=str(preview.get("scope", "")),
        sends=sends,
        notes=notes,
        native_ref=clean_name(row.native_ref),
        proof=proof,
    )


def _history_entry(row: Row) -> ActionHistoryEntry:
    try:
        detail = json_object(row.detail)
    except ValueError:  # not written by Headway; `headway audit verify` names the row
        detail = {}
    texts = (row.actor, row.origin, row.verb, str(detail.get("refused") or detail.get("text") or ""))
    return ActionHistoryEntry(instant(row.at_us), *map(clean_line, texts))
