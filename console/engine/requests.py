"""What screens and commands may ask of the engine: rows in the store, answered by whoever holds the lease.

Plain SQL on its own short connection: the console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.words import Verb
from console.control.authorize import DOORS, Granted, Refused, switch_door
from console.engine.rights import Rights, about_request, all_granted, may_ask
from console.engine.wishes import Wish, insert, refuse_a_second
from console.model.holding import end_fault
from console.model.ids import incident_name, instant
from console.model.rights import Role, Subject
from console.model.views import ServiceView
from console.store import asker, chain, notes, permissions, switches
from console.store.chain import Run
from console.store.errors import NotAllowed, NotFound, ReasonNeeded


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
                refuse_a_second(run, wish, now)
                wish = replace(wish, needs_approval=wish.needs_approval or answer.needs_approval)
                insert(run, wish, key, person.name, where_from(), now)
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
