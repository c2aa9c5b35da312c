"""The big tables' order: ids of the jobs that a filter leaves, never OFFSET.

First the jobs that are meant are found by what is said of jobs (names stand in one index: 15 ms for 100,000), then the
order is walked and only they are kept. A page stops as soon as it is full.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.words import OPEN_STATES, State
from console.model.filters import ME, JobFilter
from console.model.ids import micros
from console.store.keys import pack
from console.store.ranks import ATTENTION, CALM, PROBLEM
from console.store.reads.base import exactly, fuzzy, holding
from console.store.reads.promised import PromisedReads

if TYPE_CHECKING:
    from console.model.views import JobRow

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)
FIRST_PAGE = 128
FEW = 4_000
"""So many jobs are looked up one by one; more are picked out of the order of all."""
STALE_READ_RANKS = (2, 3)
"""Ranks at which a run of any state may stand that read stale data, contradicts itself or is out of sight."""
_ORDERS = {
    "attention": "l.attention {up}, l.sort_us {down}, l.job_id {down}",
    "name": "j.name {up}, j.id {up}",
    "age": "l.sort_us {down}, j.id {up}",
}
OPEN_WORDS = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))
Conditions = tuple[list[str], list[Any]]


class Meant(NamedTuple):
    """The jobs that a filter means: among `ids` (None: any), where `told` holds as well."""

    ids: set[int] | None
    told: Conditions


class OrderReads(PromisedReads):
    if TYPE_CHECKING:

        def jobs_by_ids(self, ids: Sequence[int]) -> list[JobRow]: ...

    def job_ids(self, wanted: JobFilter, sort: str = "attention") -> array[int]:
        """Ids of all jobs that match, in order: "attention" (needs a person first), "name", "age" (newest first),
        "deadline", "slack" (least first); with "-" before it the other way round."""
        return array("q", self._ids(wanted, sort, whole=True))

    def jobs_first_page(self, wanted: JobFilter, sort: str = "attention", limit: int = FIRST_PAGE) -> list[JobRow]:
        """The first rows of that order, at once."""
        return self.jobs_by_ids(list(islice(self._ids(wanted, sort), limit)))

    def _ids(self, wanted: JobFilter, sort: str, whole: bool = False) -> Iterator[int]:
        order, is_back = sort.removeprefix("-"), sort.startswith("-")
        if order in ("deadline", "slack"):
            return self._by_promise(wanted, order, is_back)
        meant = self.jobs_meant(wanted)
        if order == "attention" and (meant.ids is None or len(meant.ids) > FEW):
            return self._by_attention(wanted, meant, is_back, whole)
        up, down = ("DESC", "ASC") if is_back else ("ASC", "DESC")
        return self._walk_order(wanted, meant, _ORDERS[order].format(up=up, down=down), whole)

    def _by_attention(self, wanted: JobFilter, meant: Meant, is_back: bool, whole: bool) -> Iterator[int]:
        """Rank by rank along the index (attention, sort_us, job_id): no sorting, and a page stops early."""
        where, values = _and(self._of_latest(wanted), meant.told)
        joins = self._joins(" ".join(where))
        down = "ASC" if is_back else "DESC"
        for rank in sorted(self._ranks(wanted), reverse=is_back):
            condition = " AND ".join(["l.attention = ?", *where])
            sql = (
                f"SELECT l.job_id AS a FROM latest_run l{joins} WHERE {condition}"
                f" ORDER BY l.sort_us {down}, l.job_id {down}"
            )
            for job_id in self._numbers(sql, [rank, *values], whole):
                if meant.ids is None or job_id in meant.ids:
                    yield job_id

    def _walk_order(self, wanted: JobFilter, meant: Meant, order: str, whole: bool) -> Iterator[int]:
        where, values = _and(self._of_latest(wanted), meant.told)
        joins = self._joins(f"{' '.join(where)} {order}")
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        tail = f"{joins}{condition} ORDER BY {order}"
        if meant.ids is not None and len(meant.ids) <= FEW:
            sql = f"SELECT l.job_id FROM {{ids}} JOIN latest_run l ON l.job_id = k.a{tail}"
            return (row[0] for row in self.link.by_ids(sql, list(meant.ids), values))
        ids = self._numbers(f"SELECT l.job_id AS a FROM latest_run l{tail}", values, whole)
        return (job_id for job_id in ids if meant.ids is None or job_id in meant.ids)

    def _numbers(self, sql: str, values: Sequence[Any], whole: bool) -> Iterable[int]:
        """The numbers `a` of a statement in its order. All of them in one answer where the `whole` is wanted of SQLite:
        100,000 steps in Python would each take the interpreter away from the screen."""
        if whole and not self.link.is_postgres:
            [(numbers,)] = self.link.rows(f"SELECT json_group_array(a) FROM ({sql})", values)
            found: list[int] = json.loads(numbers)
            return found
        return (row[0] for row in self.link.each(sql, values))

    def _by_promise(self, wanted: JobFilter, order: str, is_back: bool) -> Iterator[int]:
        """By the deadline, or the slack, of the service it endangers first; what feeds none stands last either way."""
        promised = self.promised()
        place = 0 if order == "deadline" else 1
        mine = [(one, promised[one]) for one in self._ids(wanted, "attention") if one in promised]
        told = [(at, job_id) for job_id, both in mine if (at := both[place]) is not None]
        told.sort(key=itemgetter(0), reverse=is_back)
        yield from (job_id for _, job_id in told)
        known = {job_id for _, job_id in told}
        yield from (one for one in self._ids(wanted, "attention") if one not in known)

    # -- what a filter means ----------------------------------------------------------------------------------------
    def jobs_meant(self, wanted: JobFilter) -> Meant:
        """The jobs that are meant by what the filter says of jobs, not of their runs."""
        where, values = told = self._of_jobs(wanted)
        ids: set[int] | None = None
        if where:
            rows = self.link.rows(f"SELECT j.id FROM job j WHERE {' AND '.join(where)} LIMIT {FEW + 1}", values)
            if len(rows) <= FEW:
                ids, told = {row[0] for row in rows}, ([], [])
        if wanted.services or wanted.tiers:
            below = self._below(wanted.services, wanted.tiers)
            ids = below if ids is None else ids & below
        if wanted.not_services:
            ids = {row[0] for row in self.link.each("SELECT id FROM job")} if ids is None else ids
            ids -= self._below(wanted.not_services, ())
        return Meant(ids, told)

    def _of_jobs(self, wanted: JobFilter) -> Conditions:
        where: list[str] = []
        values: list[Any] = []

        def add(column: str, patterns: Iterable[str], any_of: bool = False, out: bool = False) -> None:
            bound = list(patterns)
            if bound:
                joined = (" OR " if any_of else " AND ").join(self.link.like(column) for _ in bound)
                where.append(f"{'NOT ' * out}({joined})")
                values.extend(bound)

        add("j.name", map(holding, wanted.words))
        add("j.name", map(fuzzy, wanted.fuzzy))
        add("j.name", map(holding, wanted.without), any_of=True, out=True)
        for systems, out in ((wanted.systems, False), (wanted.not_systems, True)):
            if systems:
                where.append(f"j.system_id {'NOT ' * out}IN ({self._systems(systems)})")
        for owners, out in ((wanted.owners, False), (wanted.not_owners, True)):
            add("j.owner", self._owners(owners), any_of=True, out=out)
        if unwatched := self.unwatched():
            where.append(f"NOT {unwatched}")
        return where, values

    def _systems(self, names: Sequence[str]) -> str:
        """Ids of the systems whose name or kind holds one of these texts."""
        rows = self.link.rows("SELECT id, name, kind FROM system ORDER BY id")
        found = [str(row[0]) for row in rows if any(one.lower() in f"{row[1]} {row[2]}".lower() for one in names)]
        return ", ".join(found) or "0"

    def _owners(self, owners: Sequence[str]) -> list[str]:
        """Patterns; for "me" who this process is, and their groups."""
        patterns = [holding(one) for one in owners if one != ME]
        if ME in owners:
            from console.store.permissions import my_names  # noqa: PLC0415 - only for who asks for their own

            patterns += map(exactly, my_names(self.link.rows, self.link.is_postgres))
        return patterns

    def _below(self, services: Sequence[str], tiers: Sequence[int]) -> set[int]:
        """The jobs, tasks included, that these services hang on."""
        units = self.members_of(services, tiers)
        return units | set(self.tasks_of(units))

    def _of_latest(self, wanted: JobFilter) -> Conditions:
        """What the filter says of a job's latest run."""
        where: list[str] = []
        values: list[Any] = []
        shown = self._shown("l.state")
        for states, sign in ((wanted.states, "IN"), (wanted.not_states, "NOT IN")):
            if states:
                where.append(f"{shown} {sign} ({', '.join('?' for _ in states)})")
                values += [pack(state.lower()) for state in states]
        if wanted.problems_only and (unseen := self._unseen("l.state")):
            where.append(f"(l.attention <= {PROBLEM} OR {unseen})")
        more, their = self.of_runs(wanted)
        return [*where, *more], [*values, *their]

    def of_runs(self, wanted: JobFilter) -> Conditions:
        """What the filter says of when a run `r` was."""
        where: list[str] = []
        values: list[Any] = []
        now = self.now()
        if wanted.younger is not None:
            where.append("r.started_us > ?")
            values.append(micros(now - wanted.younger))
        if wanted.older is not None:
            where.append("r.started_us < ?")
            values.append(micros(now - wanted.older))
        if wanted.since is not None:
            at = micros(wanted.since if isinstance(wanted.since, datetime) else now - wanted.since)
            where.append("(r.ended_us >= ? OR (r.ended_us IS NULL AND r.started_us IS NOT NULL) OR r.started_us >= ?)")
            values += [at, at]
        if wanted.dates:
            where.append(f"r.bd IN ({', '.join('?' for _ in wanted.dates)})")
            values += wanted.dates
        return where, values

    def _shown(self, state: str) -> str:
        """The state as it is shown: what is open at a target that is out of sight counts as unknown."""
        unseen = self._unseen(state)
        return f"CASE WHEN {unseen} THEN 'unknown' ELSE {state} END" if unseen else state

    def _unseen(self, state: str) -> str:
        stale = ", ".join(map(str, sorted(self.stale_targets())))
        return f"(j.target_id IN ({stale}) AND {state} IN ({OPEN_WORDS}))" if stale else ""

    def _ranks(self, wanted: JobFilter) -> Iterable[int]:
        """The ranks at which something may match; the others need not be walked."""
        if self.stale_targets():
            return range(CALM + 1)
        if wanted.states:
            return {*(ATTENTION.get(State(state), CALM) for state in _known(wanted.states)), *STALE_READ_RANKS}
        return range((PROBLEM if wanted.problems_only else CALM) + 1)

    @staticmethod
    def _joins(words: str) -> str:
        """The joins that these words need."""
        named = set(re.findall(r"\b([jr])\.", words))
        joins = " JOIN job j ON j.id = l.job_id" if "j" in named else ""
        return joins + (" JOIN run r ON r.id = l.run_id" if "r" in named else "")


def _and(one: Conditions, other: Conditions) -> Conditions:
    return [*one[0], *other[0]], [*one[1], *other[1]]


def _known(states: Iterable[str]) -> Iterator[str]:
    return (state.lower() for state in states if state.lower() in ATTENTION)
