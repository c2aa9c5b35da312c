"""What a job ran of its past periods, for a backfill."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import text

from console.model.ids import instant
from console.model.values import RunFacts
from console.store import facts
from console.store.open import Store


def first_seen(store: Store, job_id: int) -> datetime | None:
    """When an inventory first told of the job."""
    with store.read() as connection:
        seen = connection.execute(text("SELECT first_seen_us FROM job WHERE id = :job"), {"job": job_id}).scalar()
    return instant(seen) if seen else None


def runs_between(store: Store, job_id: int, first: date, last: date) -> list[RunFacts]:
    """The job's runs of those business dates, both included, in order."""
    sql = (
        f"SELECT {facts.RUN} FROM run r WHERE r.job_id = :job AND r.bd BETWEEN :first AND :last"  # noqa: S608
        " ORDER BY r.sort_us"
    )
    with store.read() as connection:
        values = {"job": job_id, "first": first.isoformat(), "last": last.isoformat()}
        return [facts.run(tuple(row), ()) for row in connection.execute(text(sql), values)]
