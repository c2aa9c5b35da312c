"""What screens and commands ask about plans: a proposal of the engine's, then rows that the engine carries out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from connectors.words import Verb
from console.clean import clean_line
from console.control.authorize import Granted, Refused
from console.durations import duration_words
from console.engine.alert_requests import AlertRequests
from console.engine.origin import where_from
from console.engine.questions import raise_refused
from console.engine.rights import Rights, all_granted, jobs_of_runs
from console.engine.wishes import ONE_AT_A_TIME, AlreadyAsked
from console.model.holding import wait_of_hold
from console.model.ids import instant
from console.model.plans import WAIT, Draft, PlanRefused, Step
from console.model.rights import Person
from console.store import asker, chain, permissions
from console.store.chain import Run
from console.store.errors import NoPlan, NotAllowed
from console.store.keys import pack

_NEW_PLAN = (
    "INSERT INTO plan (key, kind, title, incident_id, state, requested_by, requested_from, why, requested_us, at_once,"
    " words, changed_seq) VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, '', 0) RETURNING id"
)
_NEW_STEPS = (
    "INSERT INTO plan_step (plan_id, place, verb, job_id, run_id, period_key, parameters, after, wait_s, safety,"
    " expected_s, saves, preview, state, words) VALUES "
)
_NEW_STEP = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned', '')"
MOST_RUNS = 1_000
"""In one plan for marked runs: their ids fit into what PostgreSQL takes from a console (grants.sql)."""
_STEPS_AT_ONCE = 50
"""Rows in one statement: whoever starts a plan keeps everybody who writes waiting meanwhile."""
_OPEN = "('running', 'paused', 'stopped')"
_OPEN_PLANS = f"SELECT id, requested_by, requested_us, state FROM plan WHERE state IN {_OPEN}"  # noqa: S608 - our own
_STEPS_TO_COME = (
    "SELECT p.id, s.job_id, s.period_key, s.verb FROM plan_step s JOIN plan p ON p.id = s.plan_id"  # noqa: S608
    f" WHERE p.state IN {_OPEN} AND s.state IN ('planned', 'asked', 'failed') AND s.period_key <> ''"
)
"""What open plans still do, or do again when they are resumed."""
_STEERING = {
    "pause": (("running",), "paused"),
    "resume": (("paused", "stopped"), "running"),
    "abort": (("running", "paused", "stopped"), "aborted"),
}
"""What a person may do with a plan: in which states, and what comes of it."""
_DONE = {"running": "resumed"}
"""What was done, where the state is not the word for it."""


class PlanRequests(AlertRequests):
    """Everything that `AlertRequests` may ask, and plans. Raises as it does."""

    def propose(self, incident_id: int, everything: bool = False) -> int:
        """Asks what would repair the services that the incident hits, or `everything` that it left red or stale; the
        request's id. Its answer is a `Draft` as JSON."""
        return self._ask("plan preview", {"incident_id": incident_id, "all": everything})

    def propose_bulk(self, run_ids: Sequence[int], verb: Verb) -> int:
        """Asks for a plan that does the same with each of these runs, MOST_RUNS at most. Raises NotAllowed for more."""
        if len(run_ids) > MOST_RUNS:
            raise NotAllowed(f"{len(run_ids)} runs are more than the {MOST_RUNS} of one plan; nothing was asked")
        known = self._hanging_on(lambda run: jobs_of_runs(run, run_ids))
        return self._ask("plan preview", {"run_ids": list(run_ids), "verb": verb.value}, known)

    def propose_backfill(
        self, job_id: int, first: date, last: date, limit: int | None = None, unseen: bool = False
    ) -> int:
        """Asks for a plan that fills what the job has not done on these business dates, both included. `limit`: the
        oldest so many; `unseen`: also periods from before the job was first seen."""
        dates = {"first": first.isoformat(), "last": last.isoformat()}
        return self._ask("plan preview", {"job_id": job_id, **dates, "limit": limit, "unseen": unseen})

    def start_plan(self, draft: Draft, key: str, why: str = "", at_once: int = 1) -> int:
        """Hands the plan over under `key`; its number. The same key twice is one plan.

        Raises PlanRefused for a plan that cannot be carried out, AlreadyAsked where one for this incident, or with one
        of its runs, is open."""
        _refuse_useless(draft, at_once)
        known = self._hanging_on(lambda _: [step.job_id for step in draft.steps])
        with asker.transaction(self._url) as run:
            if rows := run("SELECT id FROM plan WHERE key = ?", (key,)):
                return int(rows[0][0])
            now = asker.now_us(run)
            person = permissions.asker(run, self._postgres)
            recent = permissions.asked_lately(run, person.name, now, key)
            answer = _may_all(Rights(run, known), person, draft.steps, why, recent)
            number = 0
            if isinstance(answer, Granted):
                _refuse_a_second(run, draft, now)
                told = (key, draft.kind, draft.title, draft.incident_id, person.name, where_from(), why, now, at_once)
                number = int(run(_NEW_PLAN, told)[0][0])
                _insert_steps(run, number, [_in_time(step, now) for step in draft.steps])
                self._tell_event(run, draft.incident_id, f"plan {number} started: {draft.title}", person.name, now)
            detail = {"plan": number, "steps": [f"{one.verb} {one.job}" for one in draft.steps]}
            self._tell_plan(run, person.name, "start", number, detail, answer, why)
        raise_refused(answer)
        return number

    def steer_plan(self, number: int, how: str, why: str = "") -> str:
        """Pauses, resumes or aborts a plan ("pause", "resume", "abort"); the state that it comes into.

        Resumed, what failed is asked anew, unless it became good by other means meanwhile. Raises NoPlan, and
        PlanRefused where the plan is in no state for it."""
        allowed, state = _STEERING[how]
        known = self._hanging_on(lambda run: _jobs_of(run, number))
        with asker.transaction(self._url) as run:
            rows = run("SELECT state, incident_id FROM plan WHERE id = ?", (number,))
            if not rows:
                raise NoPlan(number)
            now = asker.now_us(run)
            person = permissions.asker(run, self._postgres)
            rights = Rights(run, known)
            answer = all_granted(
                (how == "resume" and rights.kept_back(job)) or rights.may(person, f"plan {how}", job, why=why)
                for job in known
            )
            if isinstance(answer, Granted):
                if rows[0][0] not in allowed:
                    raise PlanRefused(f"plan {number} is {rows[0][0]}: it cannot {how}")
                done = _DONE.get(state, state)
                held = _stays_held(run, number) if how != "resume" else ""
                _steer(run, number, state, f"{done} by {person.name}{held}", now)
                self._tell_event(run, rows[0][1], f"plan {number} {done}", person.name, now)
            self._tell_plan(run, person.name, how, number, {"plan": number}, answer, why)
        raise_refused(answer)
        return state

    def _tell_event(self, run: Run, incident_id: int | None, words: str, by: str, now: int) -> None:
        sql = "INSERT INTO event (at_us, kind, words, incident_id, actor) VALUES (?, 'plan', ?, ?, ?)"
        run(sql, (now, words, incident_id, by))

    def _tell_plan(
        self, run: Run, by: str, what: str, number: int, detail: dict[str, object], answer: Granted | Refused, why: str
    ) -> None:
        """Into the audit. Who is only asked why is refused nothing."""
        if isinstance(answer, Refused) and answer.wants_reason:
            return
        about, verb = f"plan {number}" if number else "estate", f"plan {what}"
        if isinstance(answer, Refused):
            verb, detail = f"refuse {verb}", {**detail, "refused": answer.reason}
        chain.append(run, asker.now_us(run), by, where_from(), verb, about, detail, why)


def _refuse_useless(draft: Draft, at_once: int) -> None:
    if not draft.steps:
        raise PlanRefused("the plan has no step: nothing to do")
    if at_once < 1:
        raise PlanRefused("at least one write must be allowed at once")
    for step in draft.steps:
        if step.refusal:
            raise PlanRefused(f"step {step.place}, {step.job}: {step.refusal}; leave it out or mark it OK")


def _refuse_a_second(run: Run, draft: Draft, now_us: int) -> None:
    """Raises AlreadyAsked where a plan for this incident, or one that does the like with one of its runs, is open,
    whoever asked for it."""
    rows = run(f"{_OPEN_PLANS} AND incident_id = ? ORDER BY id DESC", (draft.incident_id,))
    if draft.incident_id is not None and rows:
        raise AlreadyAsked(_open_words(rows[0], now_us))
    taken = {(job_id, period, _like(verb)): plan_id for plan_id, job_id, period, verb in run(_STEPS_TO_COME, ())}
    for step in draft.steps:
        plan_id = taken.get((step.job_id, pack(step.period_key), _like(step.verb)))
        if plan_id is not None and step.verb != WAIT:
            [row] = run(f"{_OPEN_PLANS} AND id = ?", (plan_id,))
            raise AlreadyAsked(f"step {step.place}, {step.job}, is one of another plan: {_open_words(row, now_us)}")


def _like(verb: str) -> tuple[str, ...]:
    """The verbs of which a run has one at a time, this one among them."""
    return next((group for group in ONE_AT_A_TIME if verb in group), (verb,))


def _open_words(row: Sequence[Any], now_us: int) -> str:
    number, by, at, state = row
    ago = duration_words((now_us - at) / 1e6)
    ways = "--watch follows it, --pause or --abort stops it" if state == "running" else "--resume or --abort"
    return f"plan {number} was started by {by} {ago} ago; it is {state}: headway recovery {number} {ways}"


def _may_all(rights: Rights, person: Person, steps: Sequence[Step], why: str, recent: int) -> Granted | Refused:
    """Whether this person may do every step; what sends none stands in the way of other plans all the same."""
    sends = [step for step in steps if step.verb != WAIT]
    doors = dict.fromkeys((door, step.job_id) for step in sends for door in ("plan start", step.verb))
    doors = doors or dict.fromkeys(("plan start", step.job_id) for step in steps)
    return all_granted(
        rights.kept_back(job_id) or rights.may(person, door, job_id, why=why, recent=recent) for door, job_id in doors
    )


def _jobs_of(run: Run, number: int) -> list[int]:
    return [row[0] for row in run("SELECT DISTINCT job_id FROM plan_step WHERE plan_id = ?", (number,))]


def _in_time(step: Step, now_us: int) -> Step:
    if step.verb != Verb.HOLD:
        return step
    return replace(step, wait_s=wait_of_hold(step.parameters, step.wait_s, instant(now_us)))


def _insert_steps(run: Run, number: int, steps: Sequence[Step]) -> None:
    for at in range(0, len(steps), _STEPS_AT_ONCE):
        part = steps[at : at + _STEPS_AT_ONCE]
        values = [value for step in part for value in (number, *_row(step))]
        run(_NEW_STEPS + ", ".join([_NEW_STEP] * len(part)), values)


_HELD = (
    "SELECT DISTINCT j.name FROM plan_step s JOIN action a ON a.key = s.action_key JOIN job j ON j.id = s.job_id"
    " LEFT JOIN hold h ON h.key = a.key LEFT JOIN action r ON r.key = h.release_key"
    " WHERE s.plan_id = ? AND s.verb = 'hold' AND (h.state IN ('held', 'found')"
    " OR (h.state = 'releasing' AND r.state IN ('refused', 'failed'))"
    " OR (COALESCE(h.state, 'placing') = 'placing' AND a.state IN ('sending', 'sent', 'unknown', 'verified')))"
    " ORDER BY j.name"
)
"""As `control.carry_holds.stays_held` has it: also what is on its way to be held, and not what is being let go."""


def _stays_held(run: Run, number: int) -> str:
    """What its plan has held and lets go no more by itself, as the end of a sentence; empty for nothing."""
    jobs = [clean_line(name) for (name,) in run(_HELD, (number,))]
    stay = "stays" if len(jobs) == 1 else "stay"
    return f"; {', '.join(jobs)} {stay} held meanwhile, headway release lets go" if jobs else ""


def _steer(run: Run, number: int, state: str, words: str, now: int) -> None:
    run(
        "UPDATE plan SET state = ?, words = ?, changed_seq = changed_seq + 1,"
        " ended_us = CASE WHEN CAST(? AS TEXT) = 'aborted' THEN CAST(? AS BIGINT) ELSE ended_us END WHERE id = ?",
        (state, words, state, now, number),
    )
    if state == "running":
        run(
            "UPDATE plan_step SET state = 'planned', action_key = NULL, due_us = NULL, ended_us = NULL"
            " WHERE plan_id = ? AND state = 'failed'",
            (number,),
        )


def _row(step: Step) -> tuple[object, ...]:
    """Its columns from `place` to `preview`, which keeps the state in which the person saw its run, too."""
    shown = {key: value for key, value in step.preview.items() if key != "plan"} | {"found": step.state}
    return (
        step.place,
        step.verb,
        step.job_id,
        step.run_id,
        pack(step.period_key),
        json.dumps(dict(step.parameters)),
        json.dumps(list(step.after)),
        step.wait_s,
        step.safety,
        step.expected_s,
        json.dumps(
            [{"service": one.service, "bd": one.bd, "saved": one.saved, "words": one.words} for one in step.saves]
        ),
        json.dumps(shown),
    )
