"""What a job waits for: its gates, earlier runs and check results that a gate reads, root causes it awaits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta

from console.domain.check import CheckHistory, CheckState, ResultSpan
from console.domain.dependency import Requirement, UpstreamCondition, UpstreamPeriod, UpstreamRun
from console.domain.ids import instant, micros
from console.store.db.read_connection import ReadConnection
from console.store.queries.base import visible_state

REQUIREMENT_COLUMNS = "d.condition, d.check_name, d.period, d.calendar, d.within_s, d.gate, d.need"


def parse_requirement(
    condition: str, check: str, period: str, calendar: str, within_s: float | None, gate: str, need: int
) -> Requirement:
    """What a dependency requires, from its REQUIREMENT_COLUMNS."""
    within = None if within_s is None else timedelta(seconds=within_s)
    return Requirement(UpstreamCondition(condition), check, UpstreamPeriod(period), calendar, within, gate, need)


def gate_texts(link: ReadConnection, job_id: int) -> tuple[str, ...]:
    """In the order of the upstreams' names; empty where each must be good on the same date, and nothing else."""
    rows = link.rows(
        f"SELECT u.id, u.name, {REQUIREMENT_COLUMNS} FROM dependency d JOIN job u ON u.id = d.upstream_id"  # noqa: S608  (ours)
        " WHERE d.downstream_id = ? ORDER BY u.name, u.id, d.origin",
        (job_id,),
    )
    wanted: dict[int, tuple[str, Requirement]] = {}
    for number, name, *columns in rows:  # what config says of a pair stands first
        wanted.setdefault(number, (name, parse_requirement(*columns)))
    if all(wants.is_plain for _, wants in wanted.values()):
        return ()
    gates: dict[object, list[tuple[str, Requirement]]] = {}
    for number, (name, wants) in wanted.items():
        gates.setdefault(wants.gate or number, []).append((name, wants))
    return tuple(map(_gate_text, gates.values()))


def _gate_text(found: list[tuple[str, Requirement]]) -> str:
    names, wants = ", ".join(name for name, _ in found), found[0][1]
    of = f"{'any' if wants.need == 1 else wants.need} of " if wants.gate else ""
    return f"{of}{names} ({wants.text})" if wants.text else f"{of}{names}"


MAX_PAST_RUNS = 400
"""So many of the latest are looked at: a month of what runs each hour would be more, and its last run is among them."""


def past_runs(link: ReadConnection, job_id: int, at: datetime) -> tuple[UpstreamRun, ...]:
    """The job's latest runs before that instant, oldest first."""
    rows = link.rows(
        "SELECT id, period_key, bd, sort_us, state, evidence, reason, stale_read, ended_us FROM run WHERE job_id = ?"
        " AND sort_us < ? ORDER BY sort_us DESC LIMIT ?",
        (job_id, micros(at), MAX_PAST_RUNS),
    )
    return tuple(
        UpstreamRun(number, visible_state(key), business_date, instant(sort), state, evidence, reason, bool(stale),
                instant(ended) if ended is not None else None)
        for number, key, business_date, sort, state, evidence, reason, stale, ended in reversed(rows)
    )  # fmt: skip


def check_results(link: ReadConnection, check: str, business_date: str) -> CheckHistory | None:
    """What the looks at a check came to on that date; None where nobody has looked."""
    rows = link.rows(
        "SELECT state, since_us, at_us, words FROM check_result WHERE name = ? AND bd = ? ORDER BY id",
        (check, business_date),
    )
    if not rows:
        return None
    found = [ResultSpan(CheckState(state), instant(since), instant(last), words) for state, since, last, words in rows]
    return CheckHistory(check, date.fromisoformat(business_date), tuple(found))


_THREATENED = (
    "SELECT m.job_id, i.id, j.name FROM incident i JOIN incident_member m ON m.incident_id = i.id"
    " JOIN job j ON j.id = i.root_job_id WHERE i.closed_us IS NULL AND i.merged_into IS NULL AND m.role = 'threatened'"
    " ORDER BY i.opened_us, i.id"
)
_MEMBERS = (
    "SELECT m.incident_id, m.job_id FROM {keys} JOIN incident_member m ON m.incident_id = k.a"
    " WHERE m.role <> 'repaired'"
)
_EDGES = (
    "SELECT down.id, down.parent_id, d.upstream_id, up.parent_id FROM {keys} JOIN job down ON down.id = k.a"
    " JOIN dependency d ON d.downstream_id = down.id JOIN job up ON up.id = d.upstream_id"
    " WHERE d.origin = 'native' OR d.mode <> 'observe'"
)
"""Where a scheduler or a hold waits; what is only observed starts all the same."""
_TASKS = "SELECT j.id FROM {keys} CROSS JOIN job j WHERE j.parent_id = k.a"


def roots_awaited(link: ReadConnection, job_ids: Collection[int]) -> dict[int, str]:
    """Job -> name of the root that it waits for, of those among these jobs that an open incident threatens; the
    incident that was opened first where there are several."""
    wanted = set(job_ids)
    threats = [row for row in link.rows(_THREATENED) if row[0] in wanted]
    if not threats:
        return {}
    members: dict[int, set[int]] = defaultdict(set)
    for incident_id, job_id in link.by_keys(_MEMBERS, sorted({row[1] for row in threats})):
        members[incident_id].add(job_id)
    read = _waits_for(link, {row[0] for row in threats})
    found: dict[int, str] = {}
    for job_id, incident_id, root in threats:
        if read[job_id] & members[incident_id]:
            found.setdefault(job_id, root)
    return found


def _waits_for(link: ReadConnection, job_ids: Iterable[int]) -> dict[int, set[int]]:
    """Job -> what it, or a task of it, waits for; a task counts as itself and as its DAG."""
    units = sorted(job_ids)
    tasks = [row[0] for row in link.by_keys(_TASKS, units)]
    found: dict[int, set[int]] = defaultdict(set)
    for job_id, parent, upstream, above in link.by_keys(_EDGES, sorted({*units, *tasks})):
        for one in (job_id, parent):
            found[one] |= {upstream, above} - {None}
    return found
