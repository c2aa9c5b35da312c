"""Which jobs a service hangs on, and which services hang on a job: everything upstream of what delivers it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from console.store.reads.base import Base

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)
_SERVICES = "SELECT name, terminals, tier FROM service WHERE NOT removed ORDER BY tier, name"


class MemberReads(Base):
    def services_of(self, job_id: int) -> tuple[str, ...]:
        """Services that have the job upstream of them, by tier and name; a task counts as its DAG."""
        services = self.link.rows(_SERVICES)
        if not services:
            return ()
        below = self._walk([job_id], "upstream_id", "downstream_id")
        return tuple(name for name, terminals, _ in services if below & self._units(json.loads(terminals)))

    def members_of(self, wanted: Sequence[str] = (), tiers: Sequence[int] = ()) -> set[int]:
        """The jobs upstream of the services whose name holds one of these words, and of one of these tiers, those that
        deliver them included; empty: of any."""
        terminals = [
            job_id
            for name, jobs, tier in self.link.rows(_SERVICES)
            if (not wanted or any(word.lower() in name.lower() for word in wanted)) and (not tiers or tier in tiers)
            for job_id in json.loads(jobs)
        ]
        return self.upstream_of(terminals)

    def upstream_of(self, terminals: Sequence[int]) -> set[int]:
        """These jobs and all that they wait for, at whatever distance."""
        return self._walk(terminals, "downstream_id", "upstream_id")

    def lies_below(self, job_id: int, upstream_id: int) -> bool:
        """True where the job is the upstream itself, or reads it, at whatever distance."""
        return bool(self._units([job_id]) & self._walk([upstream_id], "upstream_id", "downstream_id"))

    def _walk(self, start: Sequence[int], mine: str, other: str) -> set[int]:
        """These jobs and all that is reached from them along the dependencies, one way."""
        found = self._units(start)
        edge = found
        while edge:
            inside = self.link.by_ids(
                f"SELECT d.{other} FROM {{ids}} JOIN dependency d ON d.{mine} = k.a",
                sorted(edge | set(self.tasks_of(edge))),
            )
            edge = self._units([row[0] for row in inside]) - found
            found = found | edge
        return found

    def tasks_of(self, ids: Iterable[int]) -> dict[int, int]:
        """Task -> its parent, for these parents."""
        # CROSS, because SQLite would read all jobs where few are tasks: it goes by the mean
        return dict(
            self.link.by_ids("SELECT j.id, k.a FROM {ids} CROSS JOIN job j WHERE j.parent_id = k.a", sorted(ids))
        )

    def _units(self, ids: Sequence[int]) -> set[int]:
        rows = self.link.by_ids("SELECT COALESCE(j.parent_id, j.id) FROM {ids} JOIN job j ON j.id = k.a", list(ids))
        return {row[0] for row in rows}
