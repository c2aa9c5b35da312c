"""Authorization against the store: may this person do this now?

Checked in the requester's process, and again by the engine before it sends. Each check runs in its caller's
transaction, so that the roles, rules and switches it saw still hold when the change is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from connectors.sdk.states import Verb
from console.control.access.authorization import ACTIONS, AccessGranted, AccessRefusal, approvers, authorize
from console.domain.access import ActionSubject, Person
from console.domain.policy import POLICY_ORIGIN
from console.domain.request import RequestKind
from console.domain.switches import Modes
from console.engine.api.requests import ClientRequest
from console.store import access, switches
from console.store.db.session import Session

POLICY = "headway"
"""The requester of actions that a mode of a dependency causes."""
POLICIES = ("hold", "trigger")
"""Origins of actions that a dependency mode causes."""


class AccessRights:
    """Rights as seen by the caller's transaction. The permissions are read once, each job's subject once."""

    def __init__(self, session: Session, known: Mapping[int, ActionSubject] | None = None) -> None:
        self._session = session
        self._permitted, self.rules = access.load_permissions(session)
        self._subjects = dict(known or {})
        """Subject (system, affected services, tier) of each job. `known`: read before the transaction, so that a
        writer does not hold the lock for it."""

    def may(
        self,
        person: Person,
        operation: Verb | RequestKind,
        job_id: int | None = None,
        system: str = "",
        why: str = "",
        requested_by: str = "",
        key: str = "",
        recent: int = 0,
    ) -> AccessGranted | AccessRefusal:
        """Whether the person may do this now: to a job, to a system, or, with neither, to the whole estate.

        `requested_by`: requester of the action to approve. `key`: key of the action that starts a job after its hold.
        `recent`: number of requests within the last hour.
        """
        subject = ActionSubject(system)
        if job_id is not None and (self._permitted or person.is_policy or operation in ACTIONS):
            subject = self._subject(job_id)
        held_back = person.is_policy and access.is_start_of_hold(self._session, key)
        subject = replace(subject, why=why, requested_by=requested_by, held_back=held_back, recent=recent)
        return authorize(person, operation, subject, self._permitted, self.rules)

    def mode_refusal(self, job_id: int) -> AccessRefusal | None:
        """A refusal if the job's system is in shadow or everything is frozen, whatever the person's rights."""
        system = self._subject(job_id).system
        why = self.modes.why_not_sent(system)
        return AccessRefusal(why, code=self.modes.block_code(system)) if why else None

    def approvers(self, job_id: int, requested_by: str) -> str:
        """The possible approvers of an action on the job: names in the config, or "another person"."""
        return approvers(replace(self._subject(job_id), requested_by=requested_by), self._permitted)

    @cached_property
    def modes(self) -> Modes:
        """The freeze and the shadow modes."""
        return switches.load_modes(self._session)

    def subjects(self, job_ids: Iterable[int]) -> dict[int, ActionSubject]:
        """The subject of each of these jobs."""
        return {job_id: self._subject(job_id) for job_id in job_ids}

    def _subject(self, job_id: int) -> ActionSubject:
        if job_id not in self._subjects:
            self._subjects[job_id] = access.action_subject(self._session, job_id)
        return self._subjects[job_id]


def authorize_request(
    session: Session, person: Person, request: ClientRequest, known: Mapping[int, ActionSubject] | None = None
) -> AccessGranted | AccessRefusal:
    """Whether the person may make this request for each of its subjects. `known`: as for AccessRights."""
    rights = AccessRights(session, known)
    return all_granted(
        rights.may(person, request.kind, about.job_id, about.system, requested_by=about.requested_by)
        for about in request.subjects(session)
    )


def all_granted(answers: Iterable[AccessGranted | AccessRefusal]) -> AccessGranted | AccessRefusal:
    """The first refusal; granted without one."""
    return next((answer for answer in answers if isinstance(answer, AccessRefusal)), AccessGranted())


def requester(session: Session, requested_by: str, origin: str, is_postgres: bool) -> Person:
    """The requester of an action: a policy, a dependency mode, or a person with their present groups."""
    if origin == POLICY_ORIGIN:
        return Person(requested_by, is_repair_policy=True)
    if origin in POLICIES:
        return Person(requested_by or POLICY, is_policy=True)
    return access.person_by_name(session, requested_by, is_postgres)
