"""What has not started because an incident's root is not good: jobs that it threatens and that are kept until it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from console.store.reads.link import Link

_THREATENED = (
    "SELECT m.job_id, i.id, j.name FROM incident i JOIN incident_member m ON m.incident_id = i.id"
    " JOIN job j ON j.id = i.root_job_id WHERE i.closed_us IS NULL AND i.merged_into IS NULL AND m.role = 'threatened'"
    " ORDER BY i.opened_us, i.id"
)
_MEMBERS = (
    "SELECT m.incident_id, m.job_id FROM {ids} JOIN incident_member m ON m.incident_id = k.a WHERE m.role <> 'repaired'"
)
_EDGES = (
    "SELECT down.id, down.parent_id, d.upstream_id, up.parent_id FROM {ids} JOIN job down ON down.id = k.a"
    " JOIN dependency d ON d.downstream_id = down.id JOIN job up ON up.id = d.upstream_id"
    " WHERE d.origin = 'native' OR d.mode <> 'observe'"
)
"""Where a scheduler or a hold waits; what is only observed starts all the same."""
_TASKS = "SELECT j.id FROM {ids} CROSS JOIN job j WHERE j.parent_id = k.a"


def roots_awaited(link: Link, job_ids: Collection[int]) -> dict[int, str]:
    """Job -> name of the root that it waits for, of those among these jobs that an open incident threatens; the
    incident that was opened first where there are several."""
    wanted = set(job_ids)
    threats = [row for row in link.rows(_THREATENED) if row[0] in wanted]
    if not threats:
        return {}
    members: dict[int, set[int]] = defaultdict(set)
    for incident_id, job_id in link.by_ids(_MEMBERS, sorted({row[1] for row in threats})):
        members[incident_id].add(job_id)
    read = _waits_for(link, {row[0] for row in threats})
    found: dict[int, str] = {}
    for job_id, incident_id, root in threats:
        if read[job_id] & members[incident_id]:
            found.setdefault(job_id, root)
    return found


def _waits_for(link: Link, job_ids: Iterable[int]) -> dict[int, set[int]]:
    """Job -> what it, or a task of it, waits for; a task counts as itself and as its DAG."""
    units = sorted(job_ids)
    tasks = [row[0] for row in link.by_ids(_TASKS, units)]
    found: dict[int, set[int]] = defaultdict(set)
    for job_id, parent, upstream, above in link.by_ids(_EDGES, sorted({*units, *tasks})):
        for one in (job_id, parent):
            found[one] |= {upstream, above} - {None}
    return found
