"""The start that a hold asked for, and what tells whether its job needs it still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from console.model.holds import HoldFacts
from console.model.ids import micros
from console.model.values import JobFacts, RunFacts, TargetFacts
from console.store import clocks, facts, hold_facts
from console.store.open import Store
from console.store.wire import Wire, wire

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
AROUND = timedelta(days=2)
"""How long before what a hold is about a run of the same business date may lie."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A hold with what is known of its job, from one look."""

    hold: HoldFacts
    runs: tuple[RunFacts, ...]
    target: TargetFacts | None


def owed(store: Store, start_key: str) -> Owed | None:
    """By the key of the start; None where no hold asked for it, or its job is not watched any more."""
    with store.read() as connection:
        lines = wire(connection)
        held = [hold_facts.hold(row) for row in lines.rows(f"{hold_facts.HOLDS} WHERE h.start_key = ?", (start_key,))]
        jobs = [facts.job(row, {}) for one in held for row in lines.rows(f"{facts.JOBS} AND j.id = ?", (one.job_id,))]
        if not jobs:
            return None
        return Owed(held[0], _runs(lines, held[0], jobs[0], start_key), facts.targets(lines).get(jobs[0].target_id))


def _runs(lines: Wire, hold: HoldFacts, job: JobFacts, start_key: str) -> tuple[RunFacts, ...]:
    [(asked_us,)] = lines.rows("SELECT requested_us FROM action WHERE key = ?", (start_key,))
    about = [micros(at) for at in (hold.placed_at, hold.due_at) if at is not None]
    since = min([asked_us, *about]) - AROUND // timedelta(microseconds=1)
    rows = lines.rows(f"SELECT {facts.RUN} FROM run r WHERE r.job_id = ? AND r.sort_us >= ?", (job.id, since))
    read = ((row[-1], facts.run(row, ())) for row in rows)
    return tuple(run for _, run in clocks.on_our_clock(read, {job.id: job}, clocks.skews(lines)))
