"""Slot pools: the pool that a job's runs take a slot from, as declared or reported, and who holds slots now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from connectors.sdk.states import RunState
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.settings import Declared, JobPool
from console.text.cleaning import clean_line
from console.timing.maintenance import matches_any

_HOLDS_ONE = (RunState.RUNNING, RunState.CANCELLING)
MAX_NAMED = 3
"""Holders of slots that are named."""


def pool_of(declared: Declared, job: JobFacts) -> JobPool | None:
    """The first pool of config that names the job, else its source's; None where no limit is known."""
    for pool in declared.pools:
        if matches_any(pool.jobs, job.name):
            return JobPool(pool.name, pool.slots)
    if not job.pool or job.slots is None or job.slots < 1:
        return None
    return JobPool(f"{job.system}: {job.pool}", job.slots)


def pools_of(declared: Declared, jobs: Mapping[int, JobFacts]) -> dict[str, list[int]]:
    """The jobs of each pool, in their order."""
    jobs_by_pool: dict[str, list[int]] = {}
    for job in jobs.values():
        if (declared.pools or job.pool) and (pool := pool_of(declared, job)) is not None:
            jobs_by_pool.setdefault(pool.name, []).append(job.id)
    return jobs_by_pool


def slot_holders_by_pool(estate: Estate, runs: Mapping[int, Sequence[RunFacts]]) -> dict[JobPool, list[str]]:
    """By pool the names of the jobs that have slots of it now, one for each of their runs, in the order of their ids.
    `runs`: of the estate, by job."""
    holders: dict[JobPool, list[str]] = {}
    for job_id, count in sorted(_busy(estate, runs)):
        job = estate.jobs[job_id] if job_id in estate.jobs else estate.beside[job_id][0]
        if (pool := pool_of(estate.declared, job)) is not None:
            holders.setdefault(pool, []).extend([clean_line(job.name)] * count)
    return holders


def _busy(estate: Estate, runs: Mapping[int, Sequence[RunFacts]]) -> Iterator[tuple[int, int]]:
    beside = ((job_id, known) for job_id, (_, known) in estate.beside.items())
    for job_id, known in (*runs.items(), *beside):
        if count := sum(map(has_slot, known)):
            yield job_id, count


def has_slot(run: RunFacts) -> bool:
    """True while it runs. A queued run waits for a slot; between two attempts it has none, if its source reports the
    end of the first."""
    return run.state in _HOLDS_ONE or (run.state is RunState.RETRYING and run.ended_at is None)


def slot_text(pool: JobPool, holders: Sequence[str]) -> str:
    """ "a slot of etl_pool: 3 of 3 used by load_a, load_b and load_c"; without names if unknown."""
    slot = f"a slot of {clean_line(pool.name)}"
    if not holders:
        return f"{slot} ({pool.slots})"
    names = list(dict.fromkeys(holders))
    hidden = len(names) - MAX_NAMED
    labels = [*names[:MAX_NAMED], f"{hidden} more"] if hidden > 0 else list(names)
    listed = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{slot}: {len(holders)} of {pool.slots} used by {listed}"
