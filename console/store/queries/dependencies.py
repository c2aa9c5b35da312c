"""Causes of a wait: gates, earlier runs and check results of its gates, root causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime, timedelta

from console.domain.check import CheckHistory, CheckState, ResultSpan
from console.domain.dependency import Requirement, UpstreamCondition, UpstreamPeriod, UpstreamRun
from console.domain.ids import instant, micros
from console.store.db.read_connection import ReadConnection
from console.store.db.session import Row
from console.store.queries.base import clean_name
from console.store.row_values import from_row, run_reason

REQUIREMENT_COLUMNS = "d.condition, d.check_name, d.period, d.calendar, d.within_s, d.gate, d.need"


def parse_requirement(row: Row) -> Requirement:
    """From REQUIREMENT_COLUMNS."""
    within = None if row.within_s is None else timedelta(seconds=row.within_s)
    condition, period = UpstreamCondition(row.condition), UpstreamPeriod(row.period)
    return Requirement(condition, row.check_name, period, row.calendar, within, row.gate, row.need)


def gate_texts(link: ReadConnection, job_id: int) -> tuple[str, ...]:
    """The job's gates, by upstream name; empty if it only requires success of each on the same date."""
    rows = link.rows(
        f"SELECT u.id, u.name, {REQUIREMENT_COLUMNS} FROM dependency d JOIN job u ON u.id = d.upstream_id"  # noqa: S608  (ours)
        " WHERE d.downstream_id = ? ORDER BY u.name, u.id, d.origin",
        (job_id,),
    )
    upstreams: dict[int, tuple[str, Requirement]] = {}
    for row in rows:  # of a pair the declared dependency comes first
        upstreams.setdefault(row.id, (row.name, parse_requirement(row)))
    if all(requirement.is_plain for _, requirement in upstreams.values()):
        return ()
    gates: dict[object, list[tuple[str, Requirement]]] = {}
    for number, (name, requirement) in upstreams.items():
        gates.setdefault(requirement.gate or number, []).append((name, requirement))
    texts = []
    for members in gates.values():
        names, requirement = ", ".join(name for name, _ in members), members[0][1]
        of = f"{'any' if requirement.need == 1 else requirement.need} of " if requirement.gate else ""
        texts.append(f"{of}{names} ({requirement.text})" if requirement.text else f"{of}{names}")
    return tuple(texts)


MAX_PAST_RUNS = 400
"""Enough to include the last run of a month for a job that runs twelve times a day."""


def past_runs(link: ReadConnection, job_id: int, at: datetime) -> tuple[UpstreamRun, ...]:
    """The job's latest runs before that instant, oldest first."""
    rows = link.rows(
        "SELECT period_key, business_date, sort_us AS at_us, state, reason, attempts, stale_read FROM run"
        " WHERE job_id = ? AND sort_us < ? ORDER BY sort_us DESC LIMIT ?",
        (job_id, micros(at), MAX_PAST_RUNS),
    )
    return tuple(
        from_row(UpstreamRun, row, period_key=clean_name(row.period_key), reason=run_reason(row.reason, row.attempts))
        for row in reversed(rows)
    )


def check_results(link: ReadConnection, check: str, business_date: str) -> CheckHistory | None:
    """Results of a check for that date; None without any."""
    rows = link.rows(
        "SELECT state, since_us, at_us, text FROM check_result WHERE name = ? AND business_date = ? ORDER BY id",
        (check, business_date),
    )
    if not rows:
        return None
    spans = [ResultSpan(CheckState(row.state), instant(row.since_us), instant(row.at_us), row.text) for row in rows]
    return CheckHistory(check, date.fromisoformat(business_date), tuple(spans))


_THREATENED = (
    "SELECT m.job_id, i.id, j.name FROM incident i JOIN incident_member m ON m.incident_id = i.id"
    " JOIN job j ON j.id = i.root_job_id WHERE i.closed_us IS NULL AND i.merged_into IS NULL AND m.role = 'threatened'"
    " ORDER BY i.opened_us, i.id"
)
_MEMBERS = (
    "SELECT m.incident_id, m.job_id FROM {keys} JOIN incident_member m ON m.incident_id = k.a"
    " WHERE m.role NOT IN ('repaired', 'closing', 'awaited')"
)
_EDGES = (
    "SELECT down.id, down.parent_id, d.upstream_id, up.parent_id AS above FROM {keys} JOIN job down ON down.id = k.a"
    " JOIN dependency d ON d.downstream_id = down.id JOIN job up ON up.id = d.upstream_id"
    " WHERE d.origin = 'native' OR d.mode <> 'observe'"
)
"""Dependencies that prevent a start: of schedulers, and holds."""
_TASKS = "SELECT j.id FROM {keys} CROSS JOIN job j WHERE j.parent_id = k.a"


def roots_awaited(link: ReadConnection, job_ids: Collection[int]) -> dict[int, str]:
    """Job -> name of the root job that it waits for, of those among these jobs threatened by an open incident; of
    several incidents the one opened first."""
    candidates = set(job_ids)
    threats = [row for row in link.rows(_THREATENED) if row.job_id in candidates]
    if not threats:
        return {}
    members: dict[int, set[int]] = defaultdict(set)
    for row in link.by_keys(_MEMBERS, sorted({threat.id for threat in threats})):
        members[row.incident_id].add(row.job_id)
    units = sorted({threat.job_id for threat in threats})
    tasks = [row.id for row in link.by_keys(_TASKS, units)]
    upstreams: dict[int, set[int]] = defaultdict(set)
    for row in link.by_keys(_EDGES, sorted({*units, *tasks})):
        for job_id in (row.id, row.parent_id):  # a task counts as itself and as its DAG
            upstreams[job_id] |= {row.upstream_id, row.above} - {None}
    roots: dict[int, str] = {}
    for threat in threats:
        if upstreams[threat.job_id] & members[threat.id]:
            roots.setdefault(threat.job_id, threat.name)
    return roots
