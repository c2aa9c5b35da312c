"""Every action from the question to its proof, and its way as the audit tells it."""

from __future__ import annotations

from console.clean import clean_line
from console.model.ids import instant, maybe_instant
from console.model.views.asked import AskedView, ProofView, WayStep
from console.store.errors import NotFound
from console.store.reads.base import Base, table, visible
from console.store.reads.link import Row

ASKED_SHOWN = 500
"""Of all that was asked, so many of the latest are listed."""
_ASKED = (
    "SELECT a.key, a.verb, j.name, a.job_id, y.name, a.run_id, COALESCE(r.period_key, ''), a.incident_id, s.plan_id,"
    " a.state, a.origin, a.requested_by, a.requested_from, a.requested_us, a.why, a.needs_approval, a.approved_by,"
    " a.approved_us, a.sent_us, a.ended_us, a.words, a.preview, COALESCE(s.preview, '{}'), a.native_ref, a.parameters,"
    " t.run_id, t.number, t.state, t.evidence, t.native_state, t.started_us, t.ended_us, t.exit_code, t.message"
    " FROM action a JOIN job j ON j.id = a.job_id JOIN system y ON y.id = j.system_id"
    " LEFT JOIN run r ON r.id = a.run_id LEFT JOIN plan_step s ON s.action_key = a.key"
    " LEFT JOIN attempt t ON a.sent_us IS NOT NULL AND t.id = COALESCE("
    "(SELECT x.id FROM attempt x WHERE x.action_key = a.key AND x.job_id = a.job_id ORDER BY x.number DESC LIMIT 1),"
    " (SELECT x.id FROM attempt x WHERE x.run_id = a.run_id AND a.native_ref <> '' AND x.attempt_key = a.native_ref"
    " ORDER BY x.number DESC LIMIT 1))"
)
"""With the attempt that carries its key, else the one that its receipt names: a redrive carries no key."""
_OF_ACTION = 25
"""Columns before those of the attempt."""
_LATEST_US = 2**62
_WAY_MARGIN_US = 60_000_000
"""How far from an action's own times its rows in the audit may lie."""


class AskedReads(Base):
    def asked(self, limit: int = ASKED_SHOWN) -> list[AskedView]:
        """What was asked for lately, newest first."""
        rows = self.link.rows(f"{_ASKED} ORDER BY a.requested_us DESC, a.key DESC LIMIT ?", (limit,))
        return [_view(row) for row in rows]

    def asked_count(self) -> int:
        """How much was ever asked for."""
        return int(self.link.rows("SELECT count(*) FROM action")[0][0])

    def asked_as(self, key: str) -> tuple[AskedView, list[WayStep]]:
        """One action, and what happened to it, oldest first. Raises NotFound."""
        rows = self.link.rows(f"{_ASKED} WHERE a.key = ?", (key,))
        if not rows:
            raise NotFound(f'action "{key}"')
        return _view(rows[0]), self._way(key, rows[0])

    def _way(self, key: str, row: Row) -> list[WayStep]:
        """Rows of the audit that name its key: those of a job lie between the first and the last of its times."""
        times = [at for at in (row[13], row[17], row[18], row[19]) if at is not None]
        rows = self.link.rows(
            "SELECT at_us, actor, origin, verb, detail FROM audit"  # noqa: S608 - our own words
            f" WHERE at_us BETWEEN ? AND ? AND {self.link.contains('detail')} ORDER BY seq",
            (min(times) - _WAY_MARGIN_US, _LATEST_US if row[19] is None else max(times) + _WAY_MARGIN_US, key),
        )
        return [_step(one) for one in rows]


def _view(row: Row) -> AskedView:
    (
        key, verb, job, job_id, system, run_id, period, incident_id, plan, state, origin, by, came_from, requested, why,
        needs, approved_by, approved, sent, ended, said, preview, of_step, native_ref, parameters,
    ) = row[:_OF_ACTION]  # fmt: skip
    shown = table(preview) or table(of_step)
    notes = (shown.get("refused"), shown.get("overlap"), *shown.get("notes", ()))
    return AskedView(
        key=key,
        verb=verb,
        job=job,
        job_id=job_id,
        system=system,
        run_id=run_id,
        period=visible(period),
        incident_id=incident_id,
        plan=plan,
        state=state,
        origin=origin,
        requested_by=by,
        requested_from=came_from,
        requested=instant(requested),
        why=why,
        needs_approval=bool(needs),
        approved_by=approved_by,
        approved=maybe_instant(approved),
        sent=maybe_instant(sent),
        ended=maybe_instant(ended),
        words=said,
        native_verb=str(shown.get("verb", "")),
        native_words=str(shown.get("words", "")),
        scope=str(shown.get("scope", "")),
        sends=tuple(map(str, shown.get("native_calls", ()))),
        notes=tuple(str(one) for one in notes if one),
        native_ref=visible(native_ref),
        parameters=table(parameters),
        proof=None if row[_OF_ACTION] is None else _proof(row[_OF_ACTION:]),
    )


def _proof(row: Row) -> ProofView:
    run_id, number, state, evidence, native, started, ended, code, message = row
    return ProofView(
        run_id, number, state, evidence, native, maybe_instant(started), maybe_instant(ended), code, message
    )


def _step(row: Row) -> WayStep:
    at_us, actor, origin, verb, detail = row
    try:
        told = table(detail)
    except ValueError:  # somebody wrote it past us; `headway audit verify` names the row
        told = {}
    words = str(told.get("refused") or told.get("words") or "")
    return WayStep(instant(at_us), clean_line(actor), clean_line(origin), clean_line(verb), clean_line(words))
