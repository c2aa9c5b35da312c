"""Incidents as decisions see them: the open ones, and those that closed lately."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from console.model.ids import instant, maybe_instant
from console.model.values import IncidentFacts
from console.store.keys import unpack
from console.store.wire import Row, Wire

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
HURT_ROLES = ("root", "red", "stale", "repaired")


def incidents(lines: Wire, closed_since_us: int | None = None) -> tuple[IncidentFacts, ...]:
    """The open ones; with a time those that closed since then, and were merged into no other."""
    where, bound = "i.closed_us IS NULL", tuple[int, ...]()
    if closed_since_us is not None:
        where, bound = "i.closed_us >= ? AND i.merged_into IS NULL", (closed_since_us,)
    members: dict[int, set[int]] = defaultdict(set)
    hurt: dict[int, set[int]] = defaultdict(set)
    jobs: dict[int, set[int]] = defaultdict(set)
    for incident_id, run_id, role, job_id in lines.rows(
        "SELECT i.id, r.id, m.role, m.job_id FROM incident i JOIN incident_member m ON m.incident_id = i.id"
        f" JOIN run r ON r.job_id = m.job_id AND r.period_key = m.period_key WHERE {where}",
        bound,
    ):
        members[incident_id].add(run_id)
        jobs[incident_id].add(job_id)
        if role in HURT_ROLES:
            hurt[incident_id].add(run_id)
    rows = lines.rows(
        "SELECT i.id, i.key, i.root_job_id, i.root_period_key, i.root_target_id, i.bd, i.opened_us, i.failed_since_us,"
        " i.fingerprint, i.title, i.reason, i.root_shared, i.closed_us, i.root_check, i.rule, i.flaps,"
        " i.flaps_since_us"
        f" FROM incident i WHERE {where} ORDER BY i.id",
        bound,
    )
    return tuple(_incident(row, *(frozenset(each[row[0]]) for each in (members, jobs, hurt))) for row in rows)


def _incident(row: Row, members: frozenset[int], jobs: frozenset[int], hurt: frozenset[int]) -> IncidentFacts:
    (
        incident_id, key, root_job, root_period, root_target, bd, opened, since, fingerprint, title, reason, shared,
        closed, root_check, rule, flaps, flaps_since,
    ) = row  # fmt: skip
    return IncidentFacts(
        id=incident_id,
        key=key,
        root_job_id=root_job,
        root_period_key=unpack(root_period) or None,
        root_target_id=root_target,
        member_run_ids=members,
        member_job_ids=jobs,
        bd=date.fromisoformat(bd),
        opened_at=instant(opened),
        failed_since=instant(since),
        fingerprint=fingerprint,
        hurt_run_ids=hurt,
        title=title,
        reason=reason,
        shared=shared,
        closed_at=maybe_instant(closed),
        rule=rule,
        root_check=root_check,
        flaps=flaps,
        flaps_since=maybe_instant(flaps_since),
    )
