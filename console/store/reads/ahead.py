"""What forecasts leave to the jobs below a service, as the engine's last evaluation told it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from console.model.ids import instant, maybe_instant
from console.model.promises import BEFORE_DEADLINE, instance_name
from console.model.views.ahead import JobAheadView
from console.store.reads.base import Base
from console.store.reads.link import Row

_DAYS = (
    "SELECT s.name, s.title, s.zone, d.bd, d.deadline_us, d.instance, d.jobs FROM service s"
    " JOIN service_day d ON d.service_id = s.id WHERE NOT s.removed AND d.jobs <> '[]' AND d.bd >= ?"
)


class AheadReads(Base):
    def jobs_ahead(self, service: str, bd: str, submission: str = "") -> list[JobAheadView]:
        """The jobs of a service day that run or wait and matter most, upstreams first; empty where it is not
        simulated."""
        query = f"{_DAYS} AND d.bd = ? AND s.name = ? AND d.submission = ?"
        return self._ahead(self.link.rows(query, (bd, bd, service, submission)))

    def job_ahead(self, job_id: int) -> list[JobAheadView]:
        """One job, in each service day that waits for it, the soonest due first."""
        since = (self.now() - BEFORE_DEADLINE).date().isoformat()
        rows = self.link.rows(f"{_DAYS} AND d.jobs LIKE ?", (since, f'%"job": {int(job_id)},%'))
        return sorted(self._ahead(rows, job_id), key=lambda one: (one.deadline, one.service))

    def _ahead(self, rows: Iterable[Row], only: int | None = None) -> list[JobAheadView]:
        found = [(row, told) for row in rows for told in json.loads(row[-1]) if only in (None, told["job"])]
        ids = sorted({told["job"] for _, told in found})
        names: dict[int, str] = dict(self.link.by_ids("SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a", ids))
        return list(_shown(found, names))


def _shown(found: Iterable[tuple[Row, dict[str, Any]]], names: dict[int, str]) -> Iterator[JobAheadView]:
    for (name, title, zone, bd, deadline_us, instance, _), told in found:
        if told["job"] not in names:
            continue
        own = title or name
        yield JobAheadView(
            service=instance_name(own, instance) if instance else own,
            name=name,
            bd=bd,
            zone=zone,
            deadline=instant(deadline_us),
            job=names[told["job"]],
            p_late=told["late"],
            decides=told["decides"],
            p50=instant(told["p50_us"]),
            p80=instant(told["p80_us"]),
            p95=instant(told["p95_us"]),
            slack_s=told["slack_s"],
            act_by=maybe_instant(told["act_by_us"]),
            green_by=maybe_instant(told["green_by_us"]),
            source=told["source"],
        )
