"""Jobs in the order of the jobs table, and one job with everything about it.

Never OFFSET: jobs matching the filter are found first (names are in one index: 15 ms for 100,000), then the order is
walked and only those are kept. A page stops as soon as it is full.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from connectors.sdk.records import Schedule
from connectors.sdk.states import OPEN_STATES, RunState
from console.domain.filter import ME, JobFilter
from console.domain.ids import MAX_ID_DIGITS, instant, is_suffix_of, micros, optional_instant
from console.domain.job import CARD_FIELDS, CardView, JobMonth, JobRow, JobView, RepairedJob, Safety, card_locked_reason
from console.domain.run import ATTENTION_RANKS, CALM_RANK, PROBLEM_RANK
from console.domain.system import DriftView
from console.store.db.session import Row
from console.store.errors import AmbiguousName, IndistinctName, NotFound
from console.store.names import decode_name, encode_name
from console.store.queries.base import (
    ContextQueries,
    ReadStore,
    exact_pattern,
    fuzzy_pattern,
    like_pattern,
    run_visibility,
)
from console.store.queries.dependencies import gate_texts
from console.store.queries.findings import FindingQueries
from console.store.queries.runs import RunQueries
from console.store.queries.services import MemberQueries, ServiceQueries
from console.store.queries.watched_jobs import unwatched_condition, unwatched_reason, watched_condition
from console.store.row_values import from_row
from console.text.suggestions import suggest_names

# ruff: noqa: S608  (only our own names; every value is bound)
FIRST_PAGE = 128
FEW_JOBS = 4_000
"""Up to this many jobs are read one by one; more are filtered while walking the order."""
STALE_READ_RANKS = (2, 3)
"""Ranks of runs of any state with a stale read, a contradiction or a stale target."""
_ATTENTION = "l.attention, l.sort_us DESC, l.job_id DESC"
_NEWEST_FIRST = "l.sort_us DESC, l.job_id ASC"
RECENT_RUNS = 2_048
"""Newest runs of all among which those of a first page are looked for."""
_NEWEST_RUNS = (
    "SELECT l.job_id AS a FROM (SELECT id, job_id, sort_us FROM run ORDER BY sort_us DESC, id DESC LIMIT {recent}) r"
    " JOIN latest_run l ON l.job_id = r.job_id AND l.run_id = r.id WHERE r.sort_us > (SELECT sort_us FROM run ORDER BY"
    " sort_us DESC LIMIT 1 OFFSET {recent} - 1) ORDER BY r.sort_us DESC, r.job_id LIMIT {limit}"
)
"""`_NEWEST_FIRST` without reading all jobs: latest_run has no index for it. The instant of the last run is left out, as
more runs may have it. Numbers are in the text, as PostgreSQL plans by them."""
_ORDERS = {
    "attention": "l.attention {up}, l.sort_us {down}, l.job_id {down}",
    "name": "j.name {up}, j.id {up}",
    "age": "l.sort_us {down}, l.job_id {up}",
}
OPEN_STATES_SQL = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))
_MONTHS = (
    "SELECT substr(business_date, 1, 7) AS month, CAST(SUM(runs) AS INTEGER) AS runs, CAST(SUM(succeeded) AS INTEGER)"
    " AS succeeded, AVG(p50_s) AS p50_s FROM job_day WHERE job_id = ? GROUP BY 1 ORDER BY 1"
)
SqlConditions = tuple[list[str], list[Any]]


class FilterMatch(NamedTuple):
    """The jobs of a filter: among `ids` (None: any), where the `job_conditions` hold too."""

    ids: set[int] | None
    job_conditions: SqlConditions


MAX_HISTORY = 60
MAX_COMING = 3
"""Expected runs shown."""
MAX_COMPARED = 20_000
"""Names compared by spelling for similar ones; beyond it only names that contain the text."""
MAX_SAME_NAME = 5
"""Jobs listed at most whose names look the same."""
_JOB_ID = re.compile(rf"id:[0-9]{{1,{MAX_ID_DIGITS}}}")
_ROW = (
    "SELECT j.id, j.name, j.title, s.name AS system, s.kind, l.state, COALESCE(r.evidence, 'native') AS evidence,"
    " r.native_state, COALESCE(r.timeliness, 'no_estimate') AS timeliness, r.business_date, r.id AS run_id,"
    " r.started_us, r.ended_us, p.sort_us AS planned_us, c.text AS schedule, c.next_us AS source_next_us, j.owner,"
    " j.paused_since_us, CASE WHEN c.id IS NOT NULL OR j.gone_since_us < (SELECT g.inventory_us FROM target g WHERE"
    " g.id = j.target_id) THEN j.gone_since_us END AS gone_us, j.parent_id, r.stale_read, COALESCE(r.attempts, 0) AS"
    " attempts, j.target_id, h.state AS hold, h.held_by, h.until_us AS held_until_us FROM {keys} JOIN job j ON j.id ="
    " k.a JOIN latest_run l ON l.job_id = j.id JOIN system s ON s.id = j.system_id LEFT JOIN run r ON r.id = l.run_id"
    " LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = j.id AND x.accepted_us IS NOT"
    " NULL) LEFT JOIN run p ON p.id = (SELECT x.id FROM run x WHERE x.job_id = j.id AND x.sort_us > ? AND x.state ="
    " 'planned' ORDER BY x.sort_us LIMIT 1) LEFT JOIN hold h ON h.key = (SELECT MAX(x.key) FROM hold x WHERE x.job_id ="
    " j.id AND x.ended_us IS NULL AND x.kind <> 'trigger')"
)
"""A job known only by a run is gone once a newer inventory does not include it."""
_HELD = ("held", "releasing", "foreign")


class JobQueries(ContextQueries):
    def __init__(
        self,
        store: ReadStore,
        runs: RunQueries,
        services: ServiceQueries,
        members: MemberQueries,
        findings: FindingQueries,
    ) -> None:
        super().__init__(store)
        self.runs, self.services, self.members, self.findings = runs, services, members, findings

    def job_ids(self, job_filter: JobFilter, sort: str = "attention") -> array[int]:
        """Ids of all matching jobs, in order: "attention" (needs a person first; on the first page a task after its
        parent), "name", "age" (newest first), "deadline", "slack" (least first); reversed with "-" before it."""
        ids = array("q", self._ids(job_filter, sort))
        return self._parents_first(ids[:FIRST_PAGE]) + ids[FIRST_PAGE:] if sort == "attention" else ids

    def jobs_first_page(self, job_filter: JobFilter, sort: str = "attention", limit: int = FIRST_PAGE) -> list[JobRow]:
        """The first rows of that order, at once."""
        ids = array("q", islice(self._ids(job_filter, sort, limit), limit))
        return self.jobs_by_ids(self._parents_first(ids) if sort == "attention" else ids)

    def _parents_first(self, ids: array[int]) -> array[int]:
        """The ids in their order, each parent among them moved before the first of its tasks."""
        sql = "SELECT j.id AS a, j.parent_id AS b FROM {keys} JOIN job j ON j.id = k.a WHERE j.parent_id IS NOT NULL"
        parent_of = {row.a: row.b for row in self.link.by_keys(sql, list(ids))}
        if not parent_of:
            return ids
        awaited, ordered = set(ids), array("q")
        for job_id in ids:
            parent = parent_of.get(job_id)
            for listed in (parent, job_id):
                if listed in awaited:
                    awaited.remove(listed)
                    ordered.append(listed)
        return ordered

    def _ids(self, job_filter: JobFilter, sort: str, limit: int | None = None) -> Iterator[int]:
        """In order; of a page with this `limit` no more than that is read where the database can say which."""
        order, is_back = sort.removeprefix("-"), sort.startswith("-")
        if order in ("deadline", "slack"):
            return self._by_promise(job_filter, order, is_back, limit)
        matching = self.match_jobs(job_filter)
        if order == "attention" and (matching.ids is None or len(matching.ids) > FEW_JOBS):
            return self._by_attention(job_filter, matching, is_back, limit)
        up, down = ("DESC", "ASC") if is_back else ("ASC", "DESC")
        return self._walk_order(job_filter, matching, _ORDERS[order].format(up=up, down=down), limit)

    def _by_attention(
        self, job_filter: JobFilter, matching: FilterMatch, is_back: bool, limit: int | None
    ) -> Iterator[int]:
        """Rank by rank along the index (attention, sort_us, job_id): no sorting, and a page stops early."""
        where, values = _and(self._of_latest(job_filter), matching.job_conditions)
        joins = self._joins(" ".join(where))
        down = "ASC" if is_back else "DESC"
        for rank in sorted(self._ranks(job_filter), reverse=is_back):
            condition = " AND ".join(["l.attention = ?", *where])
            sql = (
                f"SELECT l.job_id AS a FROM latest_run l{joins} WHERE {condition}"
                f" ORDER BY l.sort_us {down}, l.job_id {down}"
            )
            for job_id in self._numbers(sql, [rank, *values], limit, matching):
                if matching.ids is None or job_id in matching.ids:
                    yield job_id

    def _walk_order(self, job_filter: JobFilter, matching: FilterMatch, order: str, limit: int | None) -> Iterator[int]:
        where, values = _and(self._of_latest(job_filter), matching.job_conditions)
        joins = self._joins(f"{' '.join(where)} {order}")
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        tail = f"{joins}{condition} ORDER BY {order}"
        if matching.ids is not None and len(matching.ids) <= FEW_JOBS:
            sql = f"SELECT l.job_id AS a FROM {{keys}} JOIN latest_run l ON l.job_id = k.a{tail}"
            return (row.a for row in self.link.by_keys(sql, list(matching.ids), values))
        if order == _NEWEST_FIRST and limit is not None and not where and matching.ids is None:
            rows = self.link.rows(_NEWEST_RUNS.format(recent=RECENT_RUNS, limit=limit))
            if len(rows) == limit:
                return (row.a for row in rows)
        ids = self._numbers(f"SELECT l.job_id AS a FROM latest_run l{tail}", values, limit, matching)
        return (job_id for job_id in ids if matching.ids is None or job_id in matching.ids)

    def _numbers(self, sql: str, values: Sequence[Any], limit: int | None, matching: FilterMatch) -> Iterable[int]:
        """The numbers `a` of a statement in its order, at most `limit` if all of them match. A whole list is one JSON
        value: 100,000 steps in Python would block the screen."""
        if limit is None:
            collect = "CAST(json_agg(a) AS TEXT)" if self.link.is_postgres else "json_group_array(a)"
            [row] = self.link.rows(f"SELECT {collect} AS numbers FROM ({sql}) n", values)
            numbers: list[int] = json.loads(row.numbers or "[]")
            return numbers
        if matching.ids is None:
            return [row.a for row in self.link.rows(f"{sql} LIMIT {limit}", values)]
        return (row.a for row in self.link.stream(sql, values))

    def _by_promise(self, job_filter: JobFilter, order: str, is_back: bool, limit: int | None) -> Iterator[int]:
        """By deadline or slack of the first service it endangers; jobs of no service are last either way."""
        place = 0 if order == "deadline" else 1
        promised = {job_id: at for job_id, key in self.services.promised().items() if (at := key[place]) is not None}
        matching = self.match_jobs(job_filter)
        among = promised.keys() if matching.ids is None else promised.keys() & matching.ids
        ids = self._walk_order(job_filter, matching._replace(ids=set(among)), _ATTENTION, None)
        first = sorted(ids, key=promised.__getitem__, reverse=is_back)
        yield from first
        rest = self._ids(job_filter, "attention", limit and limit + len(first))
        yield from (job_id for job_id in rest if job_id not in promised)

    def match_jobs(self, job_filter: JobFilter) -> FilterMatch:
        """The jobs matching the filter's conditions on jobs, not on runs."""
        job_conditions = self._of_jobs(job_filter)
        few = self._few_jobs(job_conditions)
        if not few and (job_filter.terms or job_filter.fuzzy):  # no name has them
            job_conditions = self._of_jobs(job_filter, "j.title")
            few = self._few_jobs(job_conditions)
        ids: set[int] | None = None
        if job_conditions[0] and len(few) <= FEW_JOBS:
            ids, job_conditions = few, ([], [])
        if job_filter.services or job_filter.tiers:
            below = self._below(job_filter.services, job_filter.tiers)
            ids = below if ids is None else ids & below
        if job_filter.not_services:
            ids = {row.id for row in self.link.stream("SELECT id FROM job")} if ids is None else ids
            ids -= self._below(job_filter.not_services, ())
        return FilterMatch(ids, job_conditions)

    def _few_jobs(self, conditions: SqlConditions) -> set[int]:
        """Ids of the jobs with these conditions; one more than FEW_JOBS at most."""
        where, values = conditions
        query = f"SELECT j.id FROM job j WHERE {' AND '.join(where)} LIMIT {FEW_JOBS + 1}"
        return {row.id for row in self.link.rows(query, values)} if where else set()

    def _of_jobs(self, job_filter: JobFilter, column: str = "j.name") -> SqlConditions:
        """`column` that has the terms."""
        where: list[str] = []
        values: list[Any] = []

        def add(column: str, patterns: Iterable[str], any_of: bool = False, out: bool = False) -> None:
            bound = list(patterns)
            if bound:
                joined = (" OR " if any_of else " AND ").join(self.link.like(column) for _ in bound)
                where.append(f"{'NOT ' * out}({joined})")
                values.extend(bound)

        add(column, map(like_pattern, job_filter.terms))
        add(column, map(fuzzy_pattern, job_filter.fuzzy))
        add("j.name", map(like_pattern, job_filter.without), any_of=True, out=True)
        for names, out in ((job_filter.systems, False), (job_filter.not_systems, True)):
            if names:
                rows = self.link.rows("SELECT id, name, kind FROM system ORDER BY id")
                ids = [
                    row.id for row in rows if any(name.lower() in f"{row.name} {row.kind}".lower() for name in names)
                ]
                where.append(f"j.system_id {'NOT ' * out}IN ({', '.join(map(str, ids)) or '0'})")
        for owners, out in ((job_filter.owners, False), (job_filter.not_owners, True)):
            patterns = [like_pattern(owner) for owner in owners if owner != ME]
            if ME in owners:
                from console.store.access import own_names  # noqa: PLC0415 - only for "me"

                patterns += map(exact_pattern, own_names(self.link, self.link.is_postgres))
            add("j.owner", patterns, any_of=True, out=out)
        if unwatched := self.store.unwatched():
            where.append(f"NOT {unwatched}")
        return where, values

    def _below(self, services: Sequence[str], tiers: Sequence[int]) -> set[int]:
        units = self.members.members_of(services, tiers)
        return units | set(self.members.tasks_of(units))

    def _of_latest(self, job_filter: JobFilter) -> SqlConditions:
        where: list[str] = []
        values: list[Any] = []
        shown = self._shown("l.state")
        for states, sign in ((job_filter.states, "IN"), (job_filter.not_states, "NOT IN")):
            if states:
                where.append(f"{shown} {sign} ({', '.join('?' for _ in states)})")
                values += [encode_name(state.lower()) for state in states]
        if job_filter.problems_only and (unseen := self._unseen("l.state")):
            where.append(f"(l.attention <= {PROBLEM_RANK} OR {unseen})")
        conditions, bound = self.run_conditions(job_filter)
        return [*where, *conditions], [*values, *bound]

    def run_conditions(self, job_filter: JobFilter) -> SqlConditions:
        """The filter's conditions on the times of a run `r`."""
        where: list[str] = []
        values: list[Any] = []
        now = self.store.now()
        if job_filter.younger is not None:
            where.append("r.started_us > ?")
            values.append(micros(now - job_filter.younger))
        if job_filter.older is not None:
            where.append("r.started_us < ?")
            values.append(micros(now - job_filter.older))
        if job_filter.since is not None:
            at = micros(job_filter.since if isinstance(job_filter.since, datetime) else now - job_filter.since)
            where.append("(r.ended_us >= ? OR (r.ended_us IS NULL AND r.started_us IS NOT NULL) OR r.started_us >= ?)")
            values += [at, at]
        if job_filter.dates:
            where.append(f"r.business_date IN ({', '.join('?' for _ in job_filter.dates)})")
            values += job_filter.dates
        return where, values

    def _shown(self, state: str) -> str:
        unseen = self._unseen(state)
        return f"CASE WHEN {unseen} THEN 'unknown' ELSE {state} END" if unseen else state

    def _unseen(self, state: str) -> str:
        stale = ", ".join(map(str, sorted(self.store.stale_targets())))
        return f"(j.target_id IN ({stale}) AND {state} IN ({OPEN_STATES_SQL}))" if stale else ""

    def _ranks(self, job_filter: JobFilter) -> Iterable[int]:
        """The ranks that may match; the others are not walked."""
        if self.store.stale_targets():
            return range(CALM_RANK + 1)
        if job_filter.states:
            states = [state.lower() for state in job_filter.states if state.lower() in ATTENTION_RANKS]
            return {*(ATTENTION_RANKS.get(RunState(state), CALM_RANK) for state in states), *STALE_READ_RANKS}
        return range((PROBLEM_RANK if job_filter.problems_only else CALM_RANK) + 1)

    @staticmethod
    def _joins(sql: str) -> str:
        aliases = set(re.findall(r"\b([jr])\.", sql))
        joins = " JOIN job j ON j.id = l.job_id" if "j" in aliases else ""
        return joins + (" JOIN run r ON r.id = l.run_id" if "r" in aliases else "")

    def jobs_by_ids(self, ids: Sequence[int]) -> list[JobRow]:
        """In the order of the ids; unknown ones are left out."""
        return self._job_rows(ids, self._moved_schedules(ids))

    def _job_rows(self, ids: Sequence[int], moved: Mapping[int, Schedule]) -> list[JobRow]:
        """`moved`: their `_moved_schedules`."""
        stale = self.store.stale_targets()
        now_us = micros(self.store.now())
        rows = {row.id: row for row in self.link.by_keys(_ROW, list(ids), (now_us,))}
        return [_job_row(rows[job_id], stale, now_us, moved.get(job_id)) for job_id in ids if job_id in rows]

    def _moved_schedules(self, ids: Sequence[int]) -> dict[int, Schedule]:
        """Of these jobs: id -> the schedule at its source, where that changed and is not accepted."""
        return {job_id: changed.seen for job_id, changed in self.changed_schedules(ids).items()}

    def job(self, name_or_id: str | int) -> JobView:
        """One job by id, by "system/native-id", by a suffix of that unique to it, or by "id:4". Raises NotFound with
        similar names, or with the ids of jobs whose names look the same."""
        job_id = self._job_id(name_or_id)
        moved = self._moved_schedules([job_id])
        rows = self._job_rows([job_id], moved)
        if not rows:
            raise NotFound(str(name_or_id))
        [row] = rows
        from console.timing.schedule import schedule_text  # noqa: PLC0415 - the first paint rarely needs it

        [facts] = self.link.rows(
            "SELECT definition, run_as, proof, runbook, rerun, expected_s, native_url, config_says FROM job"
            " WHERE id = ?",
            (job_id,),
        )
        count, p50, p90 = self._durations(job_id)
        drift = self.link.rows(
            "SELECT id, what, text, seen_us FROM drift WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL"
            " ORDER BY id",
            (job_id,),
        )
        return from_row(
            JobView,
            facts,
            row=row,
            history_runs=count,
            p50_s=p50,
            p90_s=p90,
            upstreams=self._neighbours(job_id, "downstream_id", "upstream_id"),
            downstreams=self._neighbours(job_id, "upstream_id", "downstream_id"),
            services=self.members.services_of(job_id),
            coming=self._coming(job_id, row.next, moved.get(job_id)),
            changed_schedule=schedule_text(moved[job_id]) if job_id in moved else "",
            schedule_fault=self.schedule_faults(job_id).get(row.name, ""),
            waits=gate_texts(self.link, job_id),
            drift=tuple(from_row(DriftView, change, job=row.name) for change in drift),
            runs=tuple(self.runs.list_runs(job_id)),
            findings=tuple(self.findings.list_findings(job_id)),
            card=self._card(job_id, facts.config_says.split(","), (row.owner, facts.runbook, facts.rerun)),
            unwatched_reason=unwatched_reason(self.link, job_id),
            months=tuple(from_row(JobMonth, month) for month in self.link.rows(_MONTHS, (job_id,))),
        )

    def schedule_faults(self, job_id: int | None = None) -> dict[str, str]:
        """Name -> why no start is expected by its schedule at the source, of that watched job or of all."""
        from console.timing.schedule import expansion_fault  # noqa: PLC0415 - the first paint rarely needs it

        condition = " AND j.id = ?" if job_id is not None else ""
        rows = self.link.rows(
            "SELECT j.name, s.dialect, s.expression, s.zone, s.next_us FROM job j JOIN schedule s ON s.id ="
            " (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = j.id) WHERE j.gone_since_us IS NULL"
            " AND j.paused_since_us IS NULL"
            f" AND s.dialect <> 'none'{condition}{watched_condition(self.link)} ORDER BY j.name",
            () if job_id is None else (job_id,),
        )
        schedules = (
            (row.name, Schedule(row.dialect, decode_name(row.expression), row.zone, "", optional_instant(row.next_us)))
            for row in rows
        )
        return {name: fault for name, schedule in schedules if (fault := expansion_fault(schedule))}

    def _coming(self, job_id: int, first: datetime | None, moved: Schedule | None) -> tuple[datetime, ...]:
        """`first`, its next start, and those after it; by the `moved` schedule where its own changed."""
        if first is None or moved is None:
            rows = self.link.rows(
                "SELECT sort_us FROM run WHERE job_id = ? AND sort_us > ? AND state = 'planned' ORDER BY sort_us"
                " LIMIT ?",
                (job_id, micros(self.store.now()), MAX_COMING),
            )
            return tuple(instant(row.sort_us) for row in rows) if first is not None else ()
        starts = [first]
        while len(starts) < MAX_COMING and (following := _next_start(moved, starts[-1])) is not None:
            starts.append(following)
        return tuple(starts)

    def _card(self, job_id: int, configured: list[str], current: tuple[str, ...]) -> tuple[CardView, ...]:
        """Each field of the card with its current value, who set it, and why people may not."""
        from console.store.access import load_permissions  # noqa: PLC0415 - the first paint does not need it

        rows = self.link.rows("SELECT field, value, said_by, said_us FROM job_card WHERE job_id = ?", (job_id,))
        entries = {row.field: row for row in rows}
        allowed = load_permissions(self.link)[1].cards
        card = []
        for name, value in zip(CARD_FIELDS, current, strict=True):
            locked, entry = card_locked_reason(name, configured, allowed), entries.get(name)
            if entry is not None and entry.value and not locked:
                card.append(CardView(name, value, entry.said_by, instant(entry.said_us), locked))
            else:
                card.append(CardView(name, value, "", None, locked))
        return tuple(card)

    def repaired_jobs(self, names: Iterable[str]) -> dict[str, RepairedJob]:
        """The watched jobs with these names, by name."""
        tiers: dict[str, int] = dict(self.link.rows("SELECT name, tier FROM service WHERE NOT removed"))
        query = "SELECT j.id, j.name, j.rerun FROM {keys} JOIN job j ON j.name = k.a WHERE j.gone_since_us IS NULL"
        jobs = {}
        for row in self.link.by_keys(query + watched_condition(self.link), sorted(set(names))):
            services = {service: tiers[service] for service in self.members.services_of(row.id)}
            jobs[row.name] = RepairedJob(Safety(row.rerun), services)
        return jobs

    def job_named(self, typed: str) -> str:
        """The full name, as matched by patterns, of the job that `typed` means. Raises NotFound."""
        return decode_name(self.link.rows("SELECT name FROM job WHERE id = ?", (self._job_id(typed),))[0].name)

    def _job_id(self, name_or_id: str | int) -> int:
        if isinstance(name_or_id, int):
            return name_or_id
        if _JOB_ID.fullmatch(name_or_id):
            return int(name_or_id.removeprefix("id:"))
        system, _, native_id = name_or_id.partition("/")
        rows = self.link.rows(
            "SELECT j.id FROM system s JOIN job j ON j.system_id = s.id AND j.native_id = ? WHERE s.name = ?",
            (encode_name(native_id), encode_name(system)),
        ) or self.link.rows(
            "SELECT id FROM job WHERE name = ? ORDER BY id LIMIT ?", (encode_name(name_or_id), MAX_SAME_NAME + 1)
        )
        if len(rows) > 1:
            raise IndistinctName(name_or_id, tuple(row.id for row in rows))
        return int(rows[0].id) if rows else self._by_short_name(name_or_id)

    def _by_short_name(self, typed: str) -> int:
        """The one job with this suffix, else with this title; watched and existing jobs go first. A text that begins
        with a known system is not a suffix: another system's job may end with it."""
        system, slash, _ = typed.partition("/")
        if slash and self.link.rows("SELECT 1 FROM system WHERE name = ?", (encode_name(system),)):
            raise NotFound(typed, self.near_jobs(typed), "headway job list")
        known = unwatched_condition(self.link) or "FALSE"
        query = f"SELECT id, name, gone_since_us, {known} AS unwatched FROM job j WHERE {{}} ORDER BY name"
        stored = encode_name(typed)
        named = self.link.rows(query.format(self.link.contains("name")), (stored,))
        rows = [row for row in named if is_suffix_of(stored, row.name)]
        rows = rows or self.link.rows(query.format("title = ?"), (stored,))
        watched = [row for row in rows if not row.unwatched] or rows
        candidates = [row for row in watched if row.gone_since_us is None] or watched
        if len(candidates) > 1:
            raise AmbiguousName(typed, tuple(row.name for row in candidates))
        if not candidates:
            raise NotFound(typed, self.near_jobs(typed), "headway job list")
        return int(candidates[0].id)

    def near_jobs(self, name: str) -> tuple[str, ...]:
        """Names of similar jobs, best first; of the system that is named, if it has one."""
        holds = self.link.contains("name")
        typed = encode_name(name.rpartition("/")[2] or name)
        watched = watched_condition(self.link)
        names = self.link.rows(f"SELECT name FROM job j WHERE {holds}{watched} ORDER BY name LIMIT 50", (typed,))
        query = f"SELECT name FROM job j WHERE TRUE{watched} ORDER BY name LIMIT ?"
        names = names or self.link.rows(query, (MAX_COMPARED,))
        known = [row.name for row in names]
        of_system = [job for job in known if "/" in name and job.partition("/")[0] == name.partition("/")[0]]
        return suggest_names(name, of_system) or suggest_names(name, known)

    def _durations(self, job_id: int) -> tuple[int, float | None, float | None]:
        """Number of the latest 60 successes, with median and 90 % of their seconds."""
        rows = self.link.rows(
            "SELECT started_us, ended_us FROM run WHERE job_id = ? AND state = 'succeeded' AND evidence = 'native'"
            " AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT ?",
            (job_id, MAX_HISTORY),
        )
        seconds = [(row.ended_us - row.started_us) / 1_000_000 for row in rows]
        if len(seconds) < 2:
            return len(seconds), next(iter(seconds), None), next(iter(seconds), None)
        from statistics import quantiles  # noqa: PLC0415 - slow to import

        cuts = quantiles(seconds, n=10, method="inclusive")
        return len(seconds), cuts[4], cuts[8]

    def _neighbours(self, job_id: int, from_column: str, to_column: str) -> tuple[tuple[str, str], ...]:
        rows = self.link.rows(
            f"SELECT j.name, d.origin FROM dependency d JOIN job j ON j.id = d.{to_column} WHERE d.{from_column} = ?"
            " ORDER BY j.name, d.origin",
            (job_id,),
        )
        return tuple((row.name, row.origin) for row in rows)


def _and(first: SqlConditions, second: SqlConditions) -> SqlConditions:
    return [*first[0], *second[0]], [*first[1], *second[1]]


def _next_start(schedule: Schedule, after: datetime) -> datetime | None:
    from console.timing.schedule import next_instant  # noqa: PLC0415 - the first paint rarely needs it

    return next_instant(schedule, after)


def _job_row(row: Row, stale: dict[int, datetime | None], now_us: int, moved: Schedule | None) -> JobRow:
    is_held = row.hold in _HELD or (row.hold == "placing" and row.paused_since_us is not None)
    is_paused, is_gone = row.paused_since_us is not None and row.hold is None, row.gone_us is not None
    next_us, source_us = row.planned_us, row.source_next_us
    if next_us is None and source_us is not None and source_us > now_us and not is_paused:
        next_us = source_us
    next_start = optional_instant(next_us)
    if moved is not None and not is_paused:
        next_start = _next_start(moved, instant(now_us))
    return from_row(
        JobRow,
        row,
        next=None if is_held or is_gone else next_start,
        paused=is_paused,
        gone=is_gone,
        is_task=row.parent_id is not None,
        held_by=row.held_by if is_held else "",
        held_until=optional_instant(row.held_until_us) if is_held else None,
        **run_visibility(row.state, row.evidence, row.target_id, stale)._asdict(),
    )
