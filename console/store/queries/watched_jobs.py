"""Which jobs are watched. Config may leave out a system, a target or a job; of those only the past is shown."""

from __future__ import annotations

from console.store.db.read_connection import ReadConnection
from console.store.names import decode_name


def unwatched_condition(link: ReadConnection) -> str:
    """The condition that a job `j` is watched no more; empty where all are: then nobody needs to look at each."""
    rows = link.rows(
        "SELECT t.id FROM target t JOIN system s ON s.id = t.system_id WHERE t.removed OR s.removed ORDER BY t.id"
    )
    said = [f"j.target_id IN ({', '.join(str(row[0]) for row in rows)})"] if rows else []
    if link.rows("SELECT 1 FROM job WHERE unwatched = true LIMIT 1"):
        said.append("j.unwatched")
    return f"({' OR '.join(said)})" if said else ""


def watched_condition(link: ReadConnection) -> str:
    """ " AND …": that a job `j` is; empty where all are."""
    found = unwatched_condition(link)
    return f" AND NOT {found}" if found else ""


def unwatched_reason(link: ReadConnection, job_id: int) -> str:
    """Why a job is watched no more, in words; empty where it is."""
    rows = link.rows(
        "SELECT s.name, t.name, s.removed, t.removed, j.unwatched FROM job j JOIN target t ON t.id = j.target_id"
        " JOIN system s ON s.id = j.system_id WHERE j.id = ?",
        (job_id,),
    )
    if not rows:
        return ""
    [(system, target, is_system, is_target, is_job)] = rows
    if is_system:
        return f"system {decode_name(system)} is no longer configured: only its past is known"
    if is_target:
        return f"{decode_name(system)} has no target {decode_name(target)} in config any more: only its past is known"
    return f"the settings of {decode_name(system)} leave it out: only its past is known" if is_job else ""
