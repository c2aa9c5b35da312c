"""Actions with their proof, and each action's history from the audit."""

from __future__ import annotations

from console.domain.action import ActionDetailView, ActionHistoryEntry, ActionProofView, ActionView
from console.domain.ids import instant, optional_instant
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.base import ReadStore, json_object, to_view, visible_state
from console.text.cleaning import clean_line

MAX_ACTIONS = 500
"""Of all that was asked, so many of the latest are listed."""
_SELECT_ACTIONS = (
    "SELECT a.key, a.verb, j.name AS job, a.job_id, y.name AS system, a.run_id, r.period_key, a.incident_id,"
    " s.plan_id AS plan,"
    " a.state, a.origin, a.requested_by, a.requested_from, a.requested_us, a.why, a.needs_approval, a.approved_by,"
    " a.approved_us, a.sent_us, a.ended_us, a.words, a.preview, s.preview AS step_preview, a.native_ref, a.parameters,"
    " t.run_id AS proof_run_id, t.number, t.state AS proof_state, t.evidence, t.native_state, t.started_us,"
    " t.ended_us AS proof_ended_us, t.exit_code, t.message"
    " FROM action a JOIN job j ON j.id = a.job_id JOIN system y ON y.id = j.system_id"
    " LEFT JOIN run r ON r.id = a.run_id LEFT JOIN plan_step s ON s.action_key = a.key"
    " LEFT JOIN attempt t ON a.sent_us IS NOT NULL AND t.id = COALESCE("
    "(SELECT x.id FROM attempt x WHERE x.action_key = a.key AND x.job_id = a.job_id ORDER BY x.number DESC LIMIT 1),"
    " (SELECT x.id FROM attempt x WHERE x.run_id = a.run_id AND a.native_ref <> '' AND x.attempt_key = a.native_ref"
    " ORDER BY x.number DESC LIMIT 1))"
)
"""With the attempt that carries its key, else the one that its receipt names: a redrive carries no key."""
_LATEST_US = 2**62
_HISTORY_MARGIN_US = 60_000_000
"""How far from an action's own times its rows in the audit may lie."""


_LIST = (
    "SELECT a.key, a.verb, j.name AS job, a.job_id, a.run_id, a.incident_id, a.state, a.requested_by, a.requested_us,"
    " a.sent_us,"
    " a.ended_us, a.words, a.preview FROM action a JOIN job j ON j.id = a.job_id"
)


class ActionQueries:
    """Actions, their proof and their history."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def withdrawable(self) -> list[ActionView]:
        """What was asked for and not sent, or of which nobody can tell; oldest first."""
        sql = f"{_LIST} WHERE a.state IN ('requested', 'unknown') ORDER BY a.requested_us, a.key"
        return [to_view(ActionView, row) for row in self.link.rows(sql)]

    def list_actions(self, run_id: int | None = None, incident_id: int | None = None) -> list[ActionView]:
        """Actions on a run or for an incident, or the 100 latest; newest first."""
        where = (
            " WHERE a.run_id = ?"
            if run_id is not None
            else " WHERE a.incident_id = ?"
            if incident_id is not None
            else ""
        )
        value = run_id if run_id is not None else incident_id
        rows = self.link.rows(
            f"{_LIST}{where} ORDER BY a.requested_us DESC, a.key DESC LIMIT 100", () if value is None else (value,)
        )
        return [to_view(ActionView, row) for row in rows]

    def in_flight(self) -> list[tuple[str, str, str]]:
        """(job, verb, who) of what is being sent or may have arrived: no freeze calls it back."""
        rows = self.link.rows(
            "SELECT j.name, a.verb, a.requested_by FROM action a JOIN job j ON j.id = a.job_id"
            " WHERE a.state IN ('sending', 'unknown') ORDER BY a.requested_us"
        )
        return [(row.name, row.verb, row.requested_by) for row in rows]

    def list_details(self, limit: int = MAX_ACTIONS) -> list[ActionDetailView]:
        """What was asked for lately, newest first."""
        rows = self.link.rows(f"{_SELECT_ACTIONS} ORDER BY a.requested_us DESC, a.key DESC LIMIT ?", (limit,))
        return [_view(row) for row in rows]

    def count(self) -> int:
        """How much was ever asked for."""
        return int(self.link.rows("SELECT count(*) FROM action")[0][0])

    def history_of(self, key: str) -> tuple[ActionDetailView, list[ActionHistoryEntry]]:
        """One action, and what happened to it, oldest first. Raises NotFound."""
        rows = self.link.rows(f"{_SELECT_ACTIONS} WHERE a.key = ?", (key,))
        if not rows:
            raise NotFound(f'action "{key}"')
        return _view(rows[0]), self._way(key, rows[0])

    def _way(self, key: str, row: Row) -> list[ActionHistoryEntry]:
        """Rows of the audit that name its key: those of a job lie between the first and the last of its times."""
        times = [at for at in (row.requested_us, row.approved_us, row.sent_us, row.ended_us) if at is not None]
        until = _LATEST_US if row.ended_us is None else max(times) + _HISTORY_MARGIN_US
        rows = self.link.rows(
            "SELECT at_us, actor, origin, verb, detail FROM audit"  # noqa: S608 - our own words
            f" WHERE at_us BETWEEN ? AND ? AND {self.link.contains('detail')} ORDER BY seq",
            (min(times) - _HISTORY_MARGIN_US, until, key),
        )
        return [_step(one) for one in rows]


def _view(row: Row) -> ActionDetailView:
    shown = json_object(row.preview) or json_object(row.step_preview or "{}")
    notes = (shown.get("refused"), shown.get("overlap"), *shown.get("notes", ()))
    return to_view(
        ActionDetailView,
        row,
        period=visible_state(row.period_key or ""),
        native_verb=str(shown.get("verb", "")),
        native_words=str(shown.get("summary", "")),
        scope=str(shown.get("scope", "")),
        sends=tuple(map(str, shown.get("native_calls", ()))),
        notes=tuple(str(note) for note in notes if note),
        native_ref=visible_state(row.native_ref),
        proof=None if row.proof_run_id is None else _proof(row),
    )


def _proof(row: Row) -> ActionProofView:
    ended = optional_instant(row.proof_ended_us)
    return to_view(ActionProofView, row, run_id=row.proof_run_id, state=row.proof_state, ended=ended)


def _step(row: Row) -> ActionHistoryEntry:
    try:
        told = json_object(row.detail)
    except ValueError:  # somebody wrote it past us; `headway audit verify` names the row
        told = {}
    words = str(told.get("refused") or told.get("words") or "")
    return ActionHistoryEntry(
        instant(row.at_us), clean_line(row.actor), clean_line(row.origin), clean_line(row.verb), clean_line(words)
    )
