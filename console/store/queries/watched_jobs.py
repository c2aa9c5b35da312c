"""Which jobs are watched: the config may exclude a system, a target or a job, of which only the past is shown."""

from __future__ import annotations

from console.store.db.read_connection import ReadConnection
from console.store.names import decode_name


def unwatched_condition(link: ReadConnection) -> str:
    """SQL condition that a job `j` is not watched; empty if all are."""
    targets = link.rows(
        "SELECT t.id FROM target t JOIN system s ON s.id = t.system_id WHERE t.removed OR s.removed ORDER BY t.id"
    )
    conditions = [f"j.target_id IN ({', '.join(str(target.id) for target in targets)})"] if targets else []
    if link.rows("SELECT 1 FROM job WHERE unwatched = true LIMIT 1"):
        conditions.append("j.unwatched")
    return f"({' OR '.join(conditions)})" if conditions else ""


def watched_condition(link: ReadConnection) -> str:
    """As " AND …": a job `j` is watched; empty if all are."""
    unwatched = unwatched_condition(link)
    return f" AND NOT {unwatched}" if unwatched else ""


def unwatched_reason(link: ReadConnection, job_id: int) -> str:
    """Why a job is not watched; empty if it is."""
    row = link.first(
        "SELECT s.name AS system, t.name AS target, s.removed AS no_system, t.removed AS no_target, j.unwatched"
        " FROM job j JOIN target t ON t.id = j.target_id JOIN system s ON s.id = j.system_id WHERE j.id = ?",
        (job_id,),
    )
    if row is None:
        return ""
    system = decode_name(row.system)
    if row.no_system:
        return f"system {system} is no longer configured: only its past is known"
    if row.no_target:
        return f"{system} has no target {decode_name(row.target)} in config any more: only its past is known"
    return f"the settings of {system} leave it out: only its past is known" if row.unwatched else ""
