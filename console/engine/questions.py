"""What the engine is asked and answers by itself: rows in the store, answered by whoever holds the lease.

Plain SQL on its own short connection: the console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.control.authorize import DOORS, Granted, Refused
from console.engine.origin import where_from
from console.engine.rights import Rights, about_request, may_ask
from console.engine.wishes import Wish
from console.model.cards import is_looser
from console.model.rights import Role, Subject
from console.model.views import ServiceView
from console.store import asker, chain, permissions
from console.store.chain import Run
from console.store.errors import NotAllowed, NotFound, ReasonNeeded


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said. Not ok: `error` says why, in words for a person."""

    ok: bool
    data: dict[str, Any]
    error: str = ""


def refusal(answer: Refused) -> NotAllowed:
    """What is raised for it."""
    return (ReasonNeeded if answer.wants_reason else NotAllowed)(answer.reason)


def raise_refused(answer: Granted | Refused) -> None:
    """Raises NotAllowed, or ReasonNeeded, for a refusal."""
    if isinstance(answer, Refused):
        raise refusal(answer)


class Questions:
    """Leaves questions for the engine of one store, and reads its answers. Every call is short; none waits for the
    engine but `wait`. All raise StoreUnusable where the store cannot be read or written; what asks for anything raises
    NotAllowed, and ReasonNeeded where only a reason is missing."""

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

    def what_if(self, job_id: int, ways: Sequence[Mapping[str, Any]]) -> int:
        """Asks what would become of services if the job went otherwise, by each of these ways: {"how": "restart",
        "skip" or "faster", "at": when, "factor": the share of its time}; the request's id."""
        return self._ask("what if", {"job_id": job_id, "ways": [dict(one) for one in ways]})

    def accept_drift(self, job_id: int, shown: int) -> int:
        """Asks to accept the change with this number, the newest that the person saw of a job; 0 where there was none.
        The request's id."""
        return self._ask("accept_drift", {"job_id": job_id, "change": shown, "from": where_from()})

    def card(self, job_id: int, given: Mapping[str, str], why: str = "") -> int:
        """Asks to write these words on a job's card, an empty one to take back what was said; the request's id. That a
        rerun takes less from then on is for an admin to say."""
        kind = "card loosen" if self._loosens(job_id, given.get("rerun")) else "card"
        return self._ask(kind, {"job_id": job_id, "card": dict(given), "from": where_from(), "why": why})

    def _loosens(self, job_id: int, word: str | None) -> bool:
        with asker.transaction(self._url, writes=False) as run:
            rows = run(
                "SELECT j.rerun, c.was FROM job j LEFT JOIN job_card c ON c.job_id = j.id AND c.field = 'rerun'"
                " WHERE j.id = ?",
                (job_id,),
            )
        if not rows:
            raise NotFound(f"job {job_id}")
        before, was = rows[0]
        return word is not None and is_looser(before, word or was or before)

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

    def probe(self, system: str, target: str = "") -> int:
        """Asks whether a system answers, its version and our rights there, of one of its targets or all; the request's
        id."""
        return self._ask("probe", {"system": system, "target": target, "from": where_from()})

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
