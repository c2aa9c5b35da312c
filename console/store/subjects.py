"""The subjects of requests: the jobs of runs, incidents, alerts and services. Small imports: clients read them too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from console.domain.incident_record import CauseKind
from console.store.db.session import Row, Session
from console.store.errors import NotFound
from console.store.names import encode_name

ROOT_NAME = (
    "COALESCE(j.name, h.name || '/' || g.name,"
    f" CASE i.cause WHEN '{CauseKind.SHARED}' THEN i.cause_subject ELSE '' END)"
)
"""The job, target or resource that is the cause of incident `i`, joined by `ROOT_JOINS`."""
ROOT_JOINS = (
    "LEFT JOIN run f ON f.id = i.root_run_id LEFT JOIN job j ON j.id = COALESCE(f.job_id, i.root_job_id) LEFT JOIN"
    " target g ON g.id = i.root_target_id LEFT JOIN system h ON h.id = g.system_id"
)
_JOB_OF = {
    "job_id": "SELECT id AS job_id FROM job WHERE id = ?",
    "run_id": "SELECT job_id FROM run WHERE id = ?",
    "incident_id": "SELECT root_job_id AS job_id FROM incident WHERE id = ?",
    "alert": "SELECT i.root_job_id AS job_id FROM alert a JOIN incident i ON i.id = a.incident_id WHERE a.id = ?",
}


def job_of(session: Session, name: str, number: int) -> int | None:
    """The job with this number, or that of the "run_id", "incident_id" or "alert" with it; None if there is none."""
    row = session.first(_JOB_OF[name], (number,))
    return None if row is None or row.job_id is None else int(row.job_id)


def job_of_action(session: Session, run_id: int | None, job_id: int | None) -> int:
    """The id of the job, or of the run's job. Raises NotFound."""
    subject, number = ("run_id", run_id) if run_id is not None else ("job_id", job_id)
    known = None if number is None else job_of(session, subject, number)
    if known is None:
        raise NotFound(f"{subject.removesuffix('_id')} {number}")
    return known


def jobs_of_runs(session: Session, run_ids: Iterable[int]) -> list[int]:
    """The distinct jobs of these runs; unknown runs are left out."""
    ids = list(dict.fromkeys(run_ids))
    rows = session.by_keys("SELECT DISTINCT r.job_id FROM {keys} JOIN run r ON r.id = k.a", ids)
    return [int(row.job_id) for row in rows]


def jobs_of_service(session: Session, name: str) -> list[int]:
    """The terminal jobs of a configured service."""
    rows = session.rows("SELECT terminals FROM service WHERE name = ? AND NOT removed", (name,))
    return [int(job_id) for row in rows for job_id in json.loads(row.terminals)]


def requested_action(session: Session, key: str) -> Row | None:
    """`job_id` and `requested_by` of an action."""
    return session.first("SELECT job_id, requested_by FROM action WHERE key = ?", (key,))


def silence_matchers(session: Session, number: int) -> Any:
    """The matchers of a silence; empty without it."""
    row = session.first("SELECT matchers FROM silence WHERE id = ?", (number,))
    return {} if row is None else json.loads(row.matchers)


def has_system(session: Session, name: str) -> bool:
    return bool(session.rows("SELECT 1 FROM system WHERE name = ? AND NOT removed", (name,)))


def jobs_named(session: Session, name: str) -> list[int]:
    """The jobs with this full name."""
    return [int(row.id) for row in session.rows("SELECT id FROM job WHERE name = ?", (encode_name(name),))]


def name_of_job(session: Session, job_id: int | None) -> str:
    """The job's name as it is stored; empty for an unknown one."""
    row = None if job_id is None else session.first("SELECT name FROM job WHERE id = ?", (job_id,))
    return "" if row is None else str(row.name)


def job_at(session: Session, system: str, target: str, native_id: str) -> Row | None:
    """`id` and `name` of a job, by its native id."""
    return session.first(
        "SELECT j.id, j.name FROM job j JOIN target t ON t.id = j.target_id JOIN system s ON s.id = j.system_id"
        " WHERE s.name = ? AND t.name = ? AND j.source_id = ?",
        (system, target, encode_name(native_id)),
    )


def rerun_safety(session: Session, job_id: int) -> tuple[str, str]:
    """The rerun safety of a job now, and as config has it if its card changes that, else "". Raises NotFound."""
    row = session.first(
        "SELECT j.rerun, c.was FROM job j LEFT JOIN job_card c ON c.job_id = j.id AND c.field = 'rerun' WHERE j.id = ?",
        (job_id,),
    )
    if row is None:
        raise NotFound(f"job {job_id}")
    return row.rerun, row.was or ""
