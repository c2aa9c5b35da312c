"""Access that needs no engine: release holds that the schedulers themselves report, restore a copy of the store, and
delete exported audit rows.

A user who can read the secrets of the config can reach the schedulers without Headway, and one who can write the
store's file can replace it: without a usable store, these rights are all that is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.access import Person
from console.domain.request import RequestKind
from console.domain.switches import format_freeze
from console.engine.access import AccessRights
from console.engine.api.origin import request_origin
from console.engine.api.queue import raise_if_refused
from console.store import access, audit, subjects, switches
from console.store.audit_export import AuditExport, delete_exported
from console.store.db import client
from console.store.db.session import Session


@dataclass(frozen=True, slots=True)
class ReportedHold:
    """A hold of Headway, as its scheduler reports it."""

    system: str
    target: str
    job: str
    """Native id, as the scheduler writes it."""
    hold: str


class EmergencyAccess:
    """Checks the rights of one store and writes into its audit. All methods raise StoreUnusable if it cannot be
    used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._postgres = client.is_postgres(url)

    def ask_release(self, mark: ReportedHold, why: str, anyway: bool) -> None:
        """Authorizes and audits the release before it is sent. Raises NotAllowed, ReasonNeeded. `anyway`: despite a
        freeze or a missing approval."""
        with client.client_transaction(self._url) as session:
            person = access.current_person(session, self._postgres)
            job_id, name = _job(session, mark)
            answer = AccessRights(session).may(
                person, RequestKind.RELEASE_NATIVELY, job_id, system=mark.system, why=why
            )
            if isinstance(answer, AccessGranted) and not anyway:
                answer = _check_modes(session, answer)
            detail = {"hold": mark.hold, "anyway": anyway}
            _audit_request(session, person, RequestKind.RELEASE_NATIVELY, name, detail, why, answer)
        raise_if_refused(answer)

    def record_release(self, mark: ReportedHold, done: bool, text: str) -> None:
        """Records the outcome of the release in the audit."""
        with client.client_transaction(self._url) as session:
            person, now = access.current_person(session, self._postgres), client.store_now_us(session)
            verb = "released natively" if done else "failed release natively"
            _, name = _job(session, mark)
            detail = {"hold": mark.hold, "text": text}
            audit.append(session, now, person.name, request_origin(), verb, name, detail, "")

    def ask_restore(self) -> None:
        """Authorizes and audits replacing this store by a copy. Raises NotAllowed."""
        with client.client_transaction(self._url) as session:
            person = access.current_person(session, self._postgres)
            answer = AccessRights(session).may(person, RequestKind.RESTORE)
            _audit_request(session, person, RequestKind.RESTORE, "store", {}, "", answer)
        raise_if_refused(answer)

    def delete_audit(self, export: AuditExport, why: str) -> int:
        """Deletes the audit rows of the export; how many. Raises NotAllowed, ReasonNeeded."""
        with client.client_transaction(self._url) as session:
            person = access.current_person(session, self._postgres)
            answer = AccessRights(session).may(person, RequestKind.DELETE_AUDIT, why=why)
            if isinstance(answer, AccessGranted):
                change = audit.ChangeOrigin(person.name, request_origin(), why, client.store_now_us(session))
                return delete_exported(session, export, change)
            _audit_request(session, person, RequestKind.DELETE_AUDIT, "audit", {}, why, answer)
        raise_if_refused(answer)
        return 0


def _audit_request(
    session: Session,
    person: Person,
    kind: RequestKind,
    subject: str,
    detail: dict[str, Any],
    why: str,
    answer: AccessGranted | AccessRefusal,
) -> None:
    verb = f"request {kind}"
    if isinstance(answer, AccessRefusal):
        verb, detail = f"refuse {kind}", {**detail, **answer.audit_detail}
    audit.append(session, client.store_now_us(session), person.name, request_origin(), verb, subject, detail, why)


def _job(session: Session, mark: ReportedHold) -> tuple[int | None, str]:
    """The job's id in the store, if known, and its name. An unknown job has the rights of its system."""
    job = subjects.job_at(session, mark.system, mark.target, mark.job)
    return (int(job.id), str(job.name)) if job is not None else (None, f"{mark.system}/{mark.job}")


def _check_modes(session: Session, granted: AccessGranted) -> AccessGranted | AccessRefusal:
    frozen = switches.load_modes(session).frozen
    if frozen is not None:
        return AccessRefusal(
            f"{format_freeze(frozen)}: nothing is released. Fix: --anyway releases it despite the freeze"
        )
    if granted.needs_approval:
        return AccessRefusal(
            "another person must approve it. Fix: headway hold release JOB requests approval; --anyway releases it now"
        )
    return granted
