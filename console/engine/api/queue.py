"""The queue of requests between the console or the CLI and the engine: rows in the store.

Plain SQL on a short connection per call: no SQLAlchemy, and no running engine is needed to write a request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.access import ActionSubject, Person, Role
from console.engine.access import AccessRights, authorize_request
from console.engine.api.origin import request_origin
from console.engine.api.requests import ClientRequest
from console.store import access, audit, request_queue, subjects
from console.store.db import client
from console.store.db.session import Session
from console.store.errors import NotAllowed, ReasonNeeded

ANSWER_CHECK_SECONDS = 0.05
"""How often a request that waits for its answer reads it."""


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """The engine's answer to a request. Not ok: `error` is the reason, for a person to read."""

    ok: bool
    data: dict[str, Any]
    error: str = ""


def refusal_error(answer: AccessRefusal) -> NotAllowed:
    """The exception for a refusal: ReasonNeeded if only a reason is missing, else NotAllowed."""
    return (ReasonNeeded if answer.wants_reason else NotAllowed)(answer.reason)


def raise_if_refused(answer: AccessGranted | AccessRefusal) -> None:
    """Raises NotAllowed, or ReasonNeeded, for a refusal."""
    if isinstance(answer, AccessRefusal):
        raise refusal_error(answer)


class RequestQueue:
    """Requests of one store. Every call is short; only `wait` waits for the engine. All raise StoreUnusable if the
    store cannot be read or written."""

    def __init__(self, url: str, person: Person | None = None, origin: str = "") -> None:
        """`person` and `origin`: requester and origin of all its requests; default: those of this process."""
        self._url, self._person, self._origin = url, person, origin
        self._postgres = client.is_postgres(url)

    def transaction(self, writes: bool = True) -> AbstractContextManager[Session]:
        """A short transaction on a connection of its own."""
        return client.client_transaction(self._url, writes=writes)

    def person(self, session: Session) -> Person:
        """The person of its requests: the user of this process, or the visitor it serves, unless another was given."""
        return self._person or access.current_person(session, self._postgres)

    @property
    def origin(self) -> str:
        """Where its requests come from."""
        return self._origin or request_origin()

    def ask(self, request: ClientRequest, known: Mapping[int, ActionSubject] | None = None) -> int:
        """Inserts a request; its id. Raises NotAllowed if the person may not make it; refused changes are audited."""
        kind, arguments = request.kind, asdict(request)
        if kind.role > Role.VIEW:
            arguments["from"] = self.origin
        with self.transaction() as session:
            person = self.person(session)
            answer = authorize_request(session, person, request, known)
            if isinstance(answer, AccessGranted):
                return request_queue.insert_request(session, kind, arguments, person.name, client.store_now_us(session))
            if kind.role > Role.VIEW:
                subject = request.subjects(session)[0]
                about = subjects.name_of_job(session, subject.job_id)
                self.audit(session, person.name, f"refuse {kind}", about, answer.audit_detail)
        raise NotAllowed(answer.reason)

    def answer(self, request_id: int) -> RequestAnswer | None:
        """The engine's answer; None until there is one."""
        with self.transaction(writes=False) as session:
            row = request_queue.load_answer(session, request_id)
        if row is None:
            return RequestAnswer(False, {}, "the request expired before its answer was read. Fix: repeat it")
        if row.state not in ("answered", "refused"):
            return None
        data = json.loads(row.answer)
        return RequestAnswer(row.state == "answered", data, data.get("error", "") if row.state == "refused" else "")

    def wait(self, request_id: int, seconds: float) -> RequestAnswer:
        """The answer, or one that is not ok after `seconds` without any."""
        none = RequestAnswer(False, {}, f"no answer in {seconds:.0f} s; is an engine running? See: headway status")
        return self.wait_for(request_id, seconds) or none

    def wait_for(self, request_id: int, seconds: float) -> RequestAnswer | None:
        """The answer; None after `seconds` without any."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if answer := self.answer(request_id):
                return answer
            time.sleep(ANSWER_CHECK_SECONDS)
        return None

    def audit(self, session: Session, by: str, verb: str, about: str, detail: Mapping[str, Any], why: str = "") -> None:
        """Appends an audit entry about a job, plan, system or switch; without a name, about the estate."""
        now_us = client.store_now_us(session)
        audit.append(session, now_us, by, self.origin, verb, about or "estate", detail, why)

    def audit_decision(
        self,
        session: Session,
        by: str,
        verb: str,
        about: str,
        answer: AccessGranted | AccessRefusal,
        detail: Mapping[str, Any],
        why: str = "",
    ) -> None:
        """Appends that the verb was requested, or refused."""
        if isinstance(answer, AccessRefusal):
            verb, detail = f"refuse {verb}", {**detail, **answer.audit_detail}
        self.audit(session, by, verb, about, detail, why)

    def subjects(self, jobs: Callable[[Session], Iterable[int]]) -> dict[int, ActionSubject]:
        """The subjects of these jobs, read before the writing transaction so that the walk through the estate blocks
        no other writer."""
        with self.transaction(writes=False) as session:
            return AccessRights(session).subjects(jobs(session))
