"""What screens and commands may ask of the engine: rows in the store, answered by whoever holds the lease.

Plain SQL on its own short connection: the console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.words import Verb
from console.control.authorize import DOORS, Granted, Refused, switch_door
from console.durations import duration_words
from console.engine.rights import Rights, about_request, all_granted, may_ask
from console.model.holding import end_fault
from console.model.ids import incident_name, instant
from console.model.rights import Role, Subject
from console.model.views import ServiceView
from console.store import asker, beside, chain, notes, permissions, switches
from console.store.chain import Run
from console.store.errors import NotAllowed, NotFound, ReasonNeeded

_NEW_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    " changed_seq) SELECT ?, ?, j.id, r.id, COALESCE(CAST(? AS BIGINT), (SELECT MIN(i.id) FROM incident_member m"
    " JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = r.job_id AND m.period_key = r.period_key AND i.closed_us IS NULL)),"
    " 'requested', ?, ?, 'person', ?, ?, ?, ?, ?, '', ?, '', ?, 0, 0, 0"
    " FROM job j LEFT JOIN run r ON r.job_id = j.id AND r.id = CAST(? AS BIGINT)"
    " WHERE j.id = COALESCE((SELECT job_id FROM run WHERE id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) RETURNING key"
)
"""Without a named incident it is told in that of which the run is part, whichever way it was asked."""

ONE_AT_A_TIME = (
    (Verb.RERUN, Verb.START, Verb.MARK_OK, Verb.SKIP),
    (Verb.CANCEL,),
    (Verb.HOLD, Verb.RELEASE),
)
"""Of each group one action at most is under way for a run (for a job, where it is about no run)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of a run, or of a job."""

    verb: Verb
    run_id: int | None = None
    job_id: int | None = None
    """Where there is no run yet, and for hold and release."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`Ask.parameters` of the contract."""
    preview: Mapping[str, Any] = field(default_factory=dict)
    """What the person saw; empty: the engine asks for it right before sending, and sends what it then says."""
    why: str = ""
    overlap: str = "refuse"
    """Where its job is running already: "refuse", "queue" until it is not, "allow" what the person was shown."""
    incident_id: int | None = None
    needs_approval: bool = False
    beside: tuple[str, ...] | None = None
    """Where `overlap` was chosen, keys of what was shown to be under way for the same run: an allowed one leaves beside
    what of it has arrived, a queued one waits for all that was asked before it."""


class AlreadyAsked(Exception):
    """Somebody asked for this run already; the message says who and when."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said. Not ok: `error` says why, in words for a person."""

    ok: bool
    data: dict[str, Any]
    error: str = ""


def where_from() -> str:
    """The far end of an SSH line, else this host."""
    line = os.environ.get("SSH_CONNECTION", "").split()
    return line[0] if line else socket.gethostname()


def mark_name() -> str:
    """This process's user as the mark of a hold can bear it (`HoldMark.by`)."""
    bearable = (one if one.isascii() and (one.isalnum() or one in "_.@+-") else "-" for one in permissions.os_user())
    return "".join(bearable)[:64]


def overlap_shown(preview: Mapping[str, Any]) -> str:
    """`Wish.overlap` of who was shown this and sends it: one that was shown is allowed, one that comes later is not."""
    return "allow" if preview.get("overlap") else "refuse"


def _job_of(run: Run, run_id: int | None, job_id: int | None) -> int:
    """The job that is meant. Raises NotFound."""
    rows = run("SELECT job_id FROM run WHERE id = ?", (run_id,)) if run_id is not None else []
    if rows or (run_id is None and run("SELECT 1 FROM job WHERE id = ?", (job_id,))):
        return int(rows[0][0] if rows else job_id or 0)
    raise NotFound(f"run {run_id}" if run_id is not None else f"job {job_id}")


def raise_refused(answer: Granted | Refused) -> None:
    """Raises NotAllowed, or ReasonNeeded, for a refusal."""
    if isinstance(answer, Refused):
        raise (ReasonNeeded if answer.wants_reason else NotAllowed)(answer.reason)


def _refuse_a_second(run: Run, wish: Wish, now_us: int) -> None:
    """Raises AlreadyAsked where one of the same group is under way or to come, unless it was chosen to stand beside."""
    group = [verb.value for verb in next(verbs for verbs in ONE_AT_A_TIME if wish.verb in verbs)]
    queues = wish.beside is not None and wish.overlap == "queue"
    for by, at, state, key in [] if queues else beside.under_way(run, wish.run_id, wish.job_id, group):
        shown = wish.beside is not None and key in wish.beside
        if shown and state == "sent":
            continue  # it has arrived and runs, or is about to: that is what was chosen
        ago, lost = duration_words((now_us - at) / 1e6), state in ("requested", "unknown")
        further = f"; headway withdraw {key} takes it back" if shown and lost else ""
        raise AlreadyAsked(f"already asked by {by} {ago} ago; it is {state}{further}")
    plan = None if queues or wish.run_id is None else beside.to_come(run, wish.run_id, group)
    if plan is not None:
        number, by, place = plan
        ways = f"headway recovery {number} --watch follows it; --overlap queue waits for it"
        raise AlreadyAsked(f"plan {number} of {by} does it, in its step {place}: {ways}")


class Requests:
    """Asks the engine of one store. Every call is short; none waits for the engine but `wait`. All raise StoreUnusable
    where the store cannot be read or written; what asks for anything raises NotAllowed, and ReasonNeeded where only
    a reason is missing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._postgres = asker.is_postgres(url)

    def preview(self, wish: Wish) -> int:
        """Asks what this would send; the request's id."""
        of = {"run_id": wish.run_id, "job_id": wish.job_id}
        return self._ask("preview", {**of, "verb": wish.verb.value, "parameters": dict(wish.parameters)})

    def log(
        self, run_id: int, attempt_id: int | None = None, start: str | None = None, against_good: bool = False
    ) -> int:
        """Asks for the log of a run's latest or named attempt, or its difference to the last good one; the request's
        id."""
        return self._ask(
            "log difference" if against_good else "log", {"run_id": run_id, "attempt_id": attempt_id, "start": start}
        )

    def accept_drift(self, job_id: int) -> int:
        """Asks to accept what a job's source says now; the request's id."""
        return self._ask("accept_drift", {"job_id": job_id, "from": where_from()})

    def approve(self, key: str) -> int:
        """Asks to approve what another person asked for under `key`; the request's id."""
        return self._ask("approve", {"key": key, "from": where_from()})

    def withdraw(self, key: str, why: str = "") -> int:
        """Asks to take back what was asked for under `key` and was not sent; the request's id."""
        return self._ask("withdraw", {"key": key, "from": where_from(), "why": why})

    def extend(self, day: ServiceView, until_us: int | None, why: str) -> int:
        """Asks for more time for a service day, or one submission, or, with None, to take back what was given; the
        request's id."""
        what = {"service": day.name, "bd": day.bd, "submission": day.submission, "instance": day.instance}
        return self._ask("extend", {**what, "until_us": until_us, "from": where_from(), "why": why})

    def undo_done(self, run_id: int, why: str) -> int:
        """Asks to take back that a manual step is done; the request's id."""
        return self._ask("undo done", {"run_id": run_id, "from": where_from(), "why": why})

    def look(self, check: str, bd: str | None = None) -> int:
        """Asks to look at a check's data now, for a business date or the present one; the request's id."""
        return self._ask("check look", {"check": check, "bd": bd or ""})

    def test_route(self, route: str) -> int:
        """Asks for a test message to every URL of a route; the request's id. The answer names its alert."""
        return self._ask("alert test", {"route": route, "from": where_from()})

    def retry_parked(self, delivery: int | None = None) -> int:
        """Asks to send a parked delivery again, or all of them; the request's id."""
        return self._ask("alert retry", {"delivery": delivery, "from": where_from()})

    def turn(self, name: str, value: str, why: str, system: str = "") -> bool:
        """Turns a switch of `console.model.modes` at once, engine or not; False where it stood so already. `system`: of
        a switch that is about one. Raises NotAllowed."""
        door = switch_door(name, value)
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            answer = Rights(run).may(person, door, system=system, why=why)
            now = asker.now_us(run)
            if isinstance(answer, Granted):
                return switches.turn(run, name, value, person.name, where_from(), why, now)
            chain.append(run, now, person.name, where_from(), f"refuse {door}", name, {"refused": answer.reason}, why)
        raise NotAllowed(answer.reason)

    def note(self, incident_id: int, words: str) -> None:
        """Writes into an incident's timeline at once, engine or not. Raises NotFound, NotAllowed."""
        with asker.transaction(self._url) as run:
            job_id = notes.root_job(run, incident_id)
            person, now = permissions.asker(run, self._postgres), asker.now_us(run)
            answer = Rights(run).may(person, "note", job_id)
            if isinstance(answer, Granted):
                return notes.add(run, incident_id, words, person.name, where_from(), now)
            detail = {"refused": answer.reason}
            chain.append(run, now, person.name, where_from(), "refuse note", incident_name(incident_id), detail)
        raise NotAllowed(answer.reason)

    def opens_shell(self, place: str) -> None:
        """Writes into the audit who opens a session at "system/target". Raises NotAllowed."""
        with asker.transaction(self._url) as run:
            person, now = permissions.asker(run, self._postgres), asker.now_us(run)
            answer = Rights(run).may(person, "shell", system=place.partition("/")[0])
            if isinstance(answer, Granted):
                return chain.append(run, now, person.name, where_from(), "shell", place, {})
            chain.append(run, now, person.name, where_from(), "refuse shell", place, {"refused": answer.reason})
        raise NotAllowed(answer.reason)

    def answer(self, request_id: int) -> Answer | None:
        """The engine's answer; None while there is none."""
        with asker.transaction(self._url, writes=False) as run:
            rows = run("SELECT state, answer FROM request WHERE id = ?", (request_id,))
        if not rows:
            return Answer(False, {}, "this question is gone from the store; ask again")
        state, answer = rows[0]
        if state not in ("answered", "refused"):
            return None
        data = json.loads(answer)
        return Answer(state == "answered", data, str(data.get("error", "")) if state == "refused" else "")

    def wait(self, request_id: int, seconds: float) -> Answer:
        """The answer, for commands. Not ok after `seconds` without one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.answer(request_id)
            if found is not None:
                return found
            time.sleep(0.05)
        return Answer(False, {}, f"no answer in {seconds:.0f} s; is an engine running? See: headway status")

    def act(self, wish: Wish, key: str) -> None:
        """Asks for what is wished, under `key`. The same key twice is one action.

        Raises AlreadyAsked when another action for this run is still under way, NotFound when run or job is gone."""
        with asker.transaction(self._url) as run:
            if run("SELECT 1 FROM action WHERE key = ?", (key,)):
                return
            job_id = _job_of(run, wish.run_id, wish.job_id)
            person = permissions.asker(run, self._postgres)
            now = asker.now_us(run)
            recent = permissions.asked_lately(run, person.name, now, key)
            rights = Rights(run)
            answer = rights.kept_back(job_id) or rights.may(
                person, wish.verb.value, job_id, why=wish.why, recent=recent
            )
            if isinstance(answer, Granted) and wish.verb is Verb.HOLD:
                answer = Refused(fault) if (fault := end_fault(wish.parameters, instant(now))) else answer
            if isinstance(answer, Granted):
                _refuse_a_second(run, wish, now)
                wish = replace(wish, needs_approval=wish.needs_approval or answer.needs_approval)
                self._insert(run, wish, key, person.name, now)
            self._tell(run, person.name, wish, job_id, key, answer)
        raise_refused(answer)

    def check(self, wishes: Iterable[Wish]) -> None:
        """Asks for nothing. Raises NotAllowed or ReasonNeeded, as asking for any of these without a reason would."""
        with asker.transaction(self._url, writes=False) as run:
            person = permissions.asker(run, self._postgres)
            rights = Rights(run)
            about = dict.fromkeys((wish.verb.value, _job_of(run, wish.run_id, wish.job_id)) for wish in wishes)
            answer = all_granted(rights.kept_back(job_id) or rights.may(person, verb, job_id) for verb, job_id in about)
        raise_refused(answer)

    def _insert(self, run: Run, wish: Wish, key: str, by: str, now: int) -> None:
        words = (json.dumps(dict(wish.preview)), json.dumps(dict(wish.parameters)))
        waits = f"waits for the approval of another person: headway approve {key}" if wish.needs_approval else ""
        asked_by = (by, where_from(), wish.why, wish.overlap, wish.needs_approval, now, waits)
        of = (wish.run_id, wish.run_id, wish.job_id)
        run(_NEW_ACTION, (key, wish.verb.value, wish.incident_id, *words, *asked_by, *of))

    def _tell(self, run: Run, by: str, wish: Wish, job_id: int, key: str, answer: Granted | Refused) -> None:
        """Into the audit, in the transaction of what was asked."""
        detail: dict[str, Any] = {"key": key, "run_id": wish.run_id, "parameters": dict(wish.parameters)}
        if isinstance(answer, Refused):
            detail["refused"] = answer.reason
        else:
            detail |= {"sends": wish.preview.get("native_calls", []), "needs_approval": answer.needs_approval}
        verb = f"{'refuse' if isinstance(answer, Refused) else 'request'} {wish.verb}"
        self._audit(run, by, verb, job_id, detail, wish.why)

    def _audit(self, run: Run, by: str, verb: str, job_id: int | None, detail: dict[str, Any], why: str = "") -> None:
        rows = run("SELECT name FROM job WHERE id = ?", (job_id,)) if job_id is not None else []
        chain.append(run, asker.now_us(run), by, where_from(), verb, rows[0][0] if rows else "estate", detail, why)

    def _hanging_on(self, jobs: Callable[[Run], Iterable[int]]) -> dict[int, Subject]:
        """What hangs on these jobs, read before the transaction that writes: a walk through the estate for each job
        must keep nobody waiting."""
        with asker.transaction(self._url, writes=False) as run:
            return Rights(run).hanging_on(jobs(run))

    def _ask(self, kind: str, arguments: dict[str, Any], known: Mapping[int, Subject] | None = None) -> int:
        """Leaves a question, if who asks may; what is more than looking is told to the audit where it is refused."""
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            answer = may_ask(run, person, kind, arguments, known)
            if isinstance(answer, Granted):
                rows = run(
                    "INSERT INTO request (kind, arguments, asked_by, asked_us, state, answer)"
                    " VALUES (?, ?, ?, ?, 'asked', '{}') RETURNING id",
                    (kind, json.dumps(arguments), person.name, asker.now_us(run)),
                )
                return int(rows[0][0])
            if kind not in DOORS or DOORS[kind].role > Role.VIEW:
                [about, *_] = about_request(run, kind, arguments)
                self._audit(run, person.name, f"refuse {kind}", about.get("job_id"), {"refused": answer.reason})
        raise NotAllowed(answer.reason)
