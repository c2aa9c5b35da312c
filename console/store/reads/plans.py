"""Plans that were started: the list, and one with its steps."""

from __future__ import annotations

from console.model.carried import PlanView, StepView, places_of
from console.model.ids import instant, maybe_instant
from console.store.errors import NoPlan
from console.store.keys import unpack
from console.store.plan_steps import HELD_BESIDE, held_by
from console.store.reads.link import Row
from console.store.reads.remarks import RemarkReads

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
SHOWN = 200
_PLANS = (
    "SELECT id, key, kind, title, incident_id, state, requested_by, requested_us, ended_us, why, words, at_once"
    " FROM plan"
)
_OPEN = "('running', 'paused', 'stopped')"
_STEPS = (
    "SELECT s.place, s.verb, COALESCE(j.name, ''), s.job_id, COALESCE(s.run_id, r.id), s.period_key, s.after, s.wait_s,"
    " s.due_us, s.safety, s.expected_s, s.state, s.action_key, COALESCE(a.state, ''),"
    " CASE WHEN s.words <> '' THEN s.words ELSE COALESCE(a.words, '') END, s.started_us, s.ended_us,"
    " COALESCE(y.name, ''), COALESCE(r.state, ''), CASE WHEN s.state = 'planned' THEN"
    " (SELECT o.requested_by || ' ' || o.verb FROM action o WHERE o.run_id = r.id"
    " AND o.state IN ('requested', 'sending', 'sent', 'unknown') ORDER BY o.requested_us LIMIT 1) END,"
    f" CASE WHEN s.state = 'planned' THEN {HELD_BESIDE} END"
    " FROM plan_step s LEFT JOIN job j ON j.id = s.job_id LEFT JOIN system y ON y.id = j.system_id"
    " LEFT JOIN action a ON a.key = s.action_key"
    " LEFT JOIN run r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.plan_id = ? ORDER BY s.place"
)


class PlanReads(RemarkReads):
    def plans(self, incident_id: int | None = None, ended: bool = True) -> list[PlanView]:
        """Newest first, at most SHOWN; of one incident; without those that are done or aborted."""
        limits = [f"state IN {_OPEN}"] if not ended else []
        values: tuple[int, ...] = ()
        if incident_id is not None:
            limits.append("incident_id = ?")
            values = (incident_id,)
        where = f" WHERE {' AND '.join(limits)}" if limits else ""
        return [self._plan(row) for row in self.link.rows(f"{_PLANS}{where} ORDER BY id DESC LIMIT {SHOWN}", values)]

    def plan(self, number: int) -> PlanView:
        """Raises NoPlan."""
        rows = self.link.rows(f"{_PLANS} WHERE id = ?", (number,))
        if not rows:
            raise NoPlan(number)
        return self._plan(rows[0])

    def _plan(self, row: Row) -> PlanView:
        number, key, kind, title, incident_id, state, by, requested, ended, why, words, at_once = row
        return PlanView(
            id=number,
            key=key,
            kind=kind,
            title=title,
            incident_id=incident_id,
            state=state,
            requested_by=by,
            requested=instant(requested),
            ended=maybe_instant(ended),
            why=why,
            words=words,
            at_once=at_once,
            steps=tuple(_step(one) for one in self.link.rows(_STEPS, (number,))),
        )


def _step(row: Row) -> StepView:
    (
        place, verb, job, job_id, run_id, period_key, after, wait_s, due, safety, expected_s, state, key, action_state,
        words, started, ended, system, run_state, others, beside,
    ) = row  # fmt: skip
    return StepView(
        place=place,
        verb=verb,
        job=job,
        job_id=job_id,
        run_id=run_id,
        period_key=unpack(period_key),
        after=_places(after),
        wait_s=wait_s,
        due=maybe_instant(due),
        safety=safety,
        expected_s=expected_s,
        state=state,
        action_key=key,
        action_state=action_state,
        words=words,
        started=maybe_instant(started),
        ended=maybe_instant(ended),
        system=system,
        run_state=run_state,
        others=(others or "").replace("_", " "),
        held_by=held_by(beside),
    )


def _places(stored: str) -> tuple[int, ...]:
    """None where no program of ours wrote them: a screen shows the plan that the engine gives up for it."""
    try:
        return places_of(stored)
    except (ValueError, RecursionError):
        return ()
