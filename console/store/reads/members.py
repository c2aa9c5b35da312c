"""Which jobs a service hangs on, and which services hang on a job: everything upstream of what delivers it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from console.store.reads.base import Base

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)
_SERVICES = "SELECT name, terminals FROM service WHERE NOT removed ORDER BY tier, name"


class MemberReads(Base):
    def services_of(self, job_id: int) -> tuple[str, ...]:
        """Services that have the job upstream of them, by tier and name; a task counts as its DAG."""
        services = self.link.rows(_SERVICES)
        if not services:
            return ()
        below = self._walk([job_id], "upstream_id", "downstream_id")
        return tuple(name for name, terminals in services if below & self._units(json.loads(terminals)))

    def members_of(self, wanted: Sequence[str]) -> set[int]:
        """The jobs upstream of the services whose name holds one of these words, those that deliver them included."""
        terminals = [
            job_id
            for name, jobs in self.link.rows(_SERVICES)
            if any(word.lower() in name.lower() for word in wanted)
            for job_id in json.loads(jobs)
        ]
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
                f"SELECT d.{other} FROM {{ids}} JOIN job j ON j.id = k.a OR j.parent_id = k.a"
                f" JOIN dependency d ON d.{mine} = j.id",
                sorted(edge),
            )
            edge = self._units([row[0] for row in inside]) - found
            found = found | edge
        return found

    def _units(self, ids: Sequence[int]) -> set[int]:
        rows = self.link.by_ids("SELECT COALESCE(j.parent_id, j.id) FROM {ids} JOIN job j ON j.id = k.a", list(ids))
        return {row[0] for row in rows}
