"""Access that needs no engine: release holds that the schedulers themselves report, restore a copy of the store, and
delete exported audit rows.

A user who can read the secrets of the config can reach the schedulers without Headway, and one who can write the
store's file can replace it: without a usable store, these rights are all that is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.request import RequestKind
from console.domain.switches import format_freeze
from console.engine.access import AccessRights
from console.engine.api.queue import RequestQueue, raise_if_refused
from console.store import subjects, switches
from console.store.audit import ChangeOrigin
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
        self._queue = RequestQueue(url)

    def ask_release(self, mark: ReportedHold, why: str, anyway: bool) -> None:
        """Authorizes and audits the release before it is sent. Raises NotAllowed, ReasonNeeded. `anyway`: despite a
        freeze or a missing approval."""
        with self._queue.transaction() as session:
            person = self._queue.person(session)
            verb, (job_id, name) = RequestKind.RELEASE_NATIVELY, _job(session, mark)
            answer = AccessRights(session).may(person, verb, job_id, system=mark.system, why=why)
            if isinstance(answer, AccessGranted) and not anyway:
                answer = _check_modes(session, answer)
            detail = {"hold": mark.hold, "anyway": anyway}
            self._queue.audit_decision(session, person.name, verb, name, answer, detail, why)
        raise_if_refused(answer)

    def record_release(self, mark: ReportedHold, done: bool, text: str) -> None:
        """Records the outcome of the release in the audit."""
        with self._queue.transaction() as session:
            verb = "released natively" if done else "failed release natively"
            _, name = _job(session, mark)
            detail = {"hold": mark.hold, "text": text}
            self._queue.audit(session, self._queue.person(session).name, verb, name, detail)

    def ask_restore(self) -> None:
        """Authorizes and audits replacing this store by a copy. Raises NotAllowed."""
        with self._queue.transaction() as session:
            person = self._queue.person(session)
            answer = AccessRights(session).may(person, RequestKind.RESTORE)
            self._queue.audit_decision(session, person.name, RequestKind.RESTORE, "store", answer, {})
        raise_if_refused(answer)

    def delete_audit(self, export: AuditExport, why: str) -> int:
        """Deletes the audit rows of the export; how many. Raises NotAllowed, ReasonNeeded."""
        with self._queue.transaction() as session:
            person = self._queue.person(session)
            answer = AccessRights(session).may(person, RequestKind.DELETE_AUDIT, why=why)
            if isinstance(answer, AccessGranted):
                change = ChangeOrigin(person.name, self._queue.origin, why, client.store_now_us(session))
                return delete_exported(session, export, change)
            self._queue.audit_decision(session, person.name, RequestKind.DELETE_AUDIT, "audit", answer, {}, why)
        raise_if_refused(answer)
        return 0


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
