"""Delivery of a service: the runs that deliver it, what its checks still miss, and the state of its data.

A promise that was kept stays kept: later runs by hand and failed reruns of that date are incidents of their own.
It is kept by good data only: a delivery of stale data is late until it was rerun, and is called "delivered,
stale" meanwhile. A partial delivery in time is called partial, never complete. The data of one that read a job out of
reach is unknown.

An instance of an end-to-end service sees only its own runs. A member whose runs carry no key is taken in order: of
its runs that began after what they wait for was done, the first that no earlier instance has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.sdk.states import RunState
from console.control.snapshot.checks import PendingChecks, all_proved_at, pending_checks_of
from console.control.snapshot.estate_index import EstateIndex, correlation_key_of
from console.control.snapshot.runs import RunKey, run_key
from console.domain.estate import DependencyFacts, JobFacts, RunFacts, ServiceFacts
from console.domain.reason import BadDelivery, NotDelivered
from console.domain.service import ServiceInstance
from console.forecast.finish_times import ServiceForecast, indispensable_jobs


def delivering_runs(index: EstateIndex, day: ServiceForecast) -> Iterator[RunFacts | None]:
    """Of each terminal the run that counts for the day; None where it has none yet. A task's is in the run of its job
    that the service reads, and in no other: that one may be of another period."""
    for terminal in day.service.terminals:
        unit = index.graph.unit(terminal)
        node = day.nodes.get(unit)
        read = node.run if node is not None else None
        if unit == terminal or read is None:
            yield read
            continue
        runs = index.runs.get(terminal, ())
        yield next((run for run in runs if run.period_key == read.period_key), None)


def delivered_at(index: EstateIndex, day: ServiceForecast) -> datetime | None:
    """When the last of its terminals was good for that date and each of its checks was proved since; None while one is
    not."""
    index = day.seen or index
    done = jobs_done_at(index, day)
    return None if done is None else all_proved_at(index.estate, day.service.ready, day.business_date, done)


def jobs_done_at(index: EstateIndex, day: ServiceForecast) -> datetime | None:
    """When the last of its terminals was good for that date; None while one never was. A rerun that fails later does
    not undo it."""
    moments = [index.freshness(run).good_at if run is not None else None for run in delivering_runs(index, day)]
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def pending_checks(index: EstateIndex, day: ServiceForecast) -> tuple[PendingChecks, ...]:
    """The checks that are all that is missing; nothing while a job is."""
    done = jobs_done_at(index, day) if day.service.ready else None
    return () if done is None else pending_checks_of(index.estate, day.service.ready, day.business_date, done)


_HANDED_OVER = (RunState.SUCCEEDED, RunState.PARTIAL)


def partial_text(index: EstateIndex, day: ServiceForecast) -> str:
    """Missing inputs of its terminals: "read etl/load of 2026-11-19, which was partial"; empty if none is known."""
    for run in _ends(index, day):
        freshness = index.freshness(run)
        if freshness.partial:
            return freshness.partial
        if freshness.tainted and freshness.whole_at is None:
            return f"{index.name(run.job_id)} brought less than it should"
    return ""


def data_state_of(index: EstateIndex, day: ServiceForecast, done: datetime | None, fails: bool) -> str:
    """ "complete", "partial", "unknown", "stale", "failed", "open". `done`: when it was delivered; `fails`: a check
    does."""
    if done is not None:
        return "partial" if partial_text(index, day) else "unknown" if unseen_input(index, day, done) else "complete"
    ends = [day.nodes[end] for end in day.ends if end in day.nodes]
    if fails or any(node.run is not None and node.run.state.is_red for node in ends):
        return "failed"
    if any(node.stale for node in ends):
        return "stale"
    return "partial" if any(node.run is not None and node.run.state is RunState.PARTIAL for node in ends) else "open"


def unseen_input(index: EstateIndex, day: ServiceForecast, done: datetime) -> JobFacts | None:
    """The first job out of reach that it needed before it was delivered and that is not known to have ended."""
    unseen = [
        node.job_id
        for node in day.unfinished()
        if node.at is not None
        and node.at <= done
        and (node.run is None or node.run.state.is_open)
        and index.is_unseen(index.job(node.job_id))
    ]
    needed = indispensable_jobs(index, day) if unseen else frozenset()
    return next((index.job(job_id) for job_id in unseen if job_id in needed), None)


def bad_delivery(index: EstateIndex, day: ServiceForecast) -> BadDelivery | None:
    """All terminals delivered, though not as promised; None if one did not. It does not keep the promise."""
    runs = list(_ends(index, day))
    ended = [run.ended_at for run in runs if run.state in _HANDED_OVER and run.ended_at is not None]
    if not ended or len(ended) < len(day.service.terminals):
        return None
    if any(index.is_stale(run) for run in runs):
        return BadDelivery(max(ended))
    if any(run.state is RunState.PARTIAL for run in runs):
        return BadDelivery(max(ended), partial_text(index, day))
    return None


def overdue_reason(index: EstateIndex, day: ServiceForecast) -> NotDelivered:
    return NotDelivered(day.deadline, bad_delivery(index, day) is not None)


def _ends(index: EstateIndex, day: ServiceForecast) -> Iterator[RunFacts]:
    return (run for run in delivering_runs(index, day) if run is not None)


ORDER_CLOCK_SKEW = timedelta(seconds=2)
"""Two systems' clocks differ by as much without a run having begun before its submission."""


@dataclass(slots=True)
class InstanceClaims:
    """Runs without a key that instances have been given, so that no two get the same."""

    taken: dict[RunKey, str] = field(default_factory=dict)
    keyed: dict[tuple[str, int], dict[str, list[RunFacts]]] = field(default_factory=dict)
    """Parameter and job -> value -> the runs that carry it, in order: looked up once for all instances."""
    edges: dict[frozenset[int], tuple[DependencyFacts, ...]] = field(default_factory=dict)
    """Members -> the dependencies between them."""


@dataclass(frozen=True, slots=True)
class InstanceView:
    """Index of an instance, and the members identified by their order alone."""

    index: EstateIndex
    by_order: tuple[str, ...]


def view_of_instance(
    index: EstateIndex, service: ServiceFacts, members: Iterable[int], claims: InstanceClaims
) -> InstanceView:
    """The instance's runs, all on the business date of its submission, members upstream first. `service.instance` is
    set; instances come in the order of their submissions."""
    instance = service.instance
    assert instance is not None
    order = index.graph.ordered(member for member in {*members, instance.submission[0]} if member in index.estate.jobs)
    chosen: dict[int, list[RunFacts]] = {}
    guessed: list[str] = []
    for job_id in order:
        runs = _keyed(index, service, instance, job_id, claims)
        if runs is None:
            runs = _in_order(index, service, instance, job_id, chosen, claims)
            guessed += [index.name(job_id)] if runs else []
        chosen[job_id] = [replace(run, business_date=instance.business_date) for run in runs]
    tasks: dict[int, list[RunFacts]] = {}
    for task in service.terminals:
        read = {run.period_key: run.business_date for run in chosen.get(index.graph.unit(task), ())}
        if task in index.estate.jobs and task not in chosen:
            task_runs = index.runs.get(task, ())
            tasks[task] = [
                replace(run, business_date=read[run.period_key]) for run in task_runs if run.period_key in read
            ]
    chosen |= tasks
    job_ids = frozenset(chosen)
    if job_ids not in claims.edges:
        dependencies = index.estate.dependencies
        claims.edges[job_ids] = tuple(
            edge for edge in dependencies if edge.upstream_id in job_ids and edge.downstream_id in job_ids
        )
    between = claims.edges[job_ids]
    estate = replace(
        index.estate,
        jobs={job_id: index.job(job_id) for job_id in chosen},
        runs=tuple(run for job_id in sorted(chosen) for run in chosen[job_id]),
        dependencies=between,
        services=(service,),
        incidents=(),
        holds=(),
    )
    return InstanceView(EstateIndex(estate, index.now), tuple(guessed))


def _keyed(
    index: EstateIndex, service: ServiceFacts, instance: ServiceInstance, job_id: int, claims: InstanceClaims
) -> Sequence[RunFacts] | None:
    """The runs that carry the instance's key; None where no run of the job carries any."""
    name = service.promise.deadline.key
    if (name, job_id) not in claims.keyed:
        runs_by_key: dict[str, list[RunFacts]] = {}
        for keyed_run in index.runs.get(job_id, ()):
            runs_by_key.setdefault(correlation_key_of(index.estate, keyed_run, name), []).append(keyed_run)
        claims.keyed[name, job_id] = runs_by_key
    known = claims.keyed[name, job_id]
    if job_id == instance.submission[0]:
        candidates = known.get(instance.key if instance.is_keyed else "", ())
        return [run for run in candidates if run_key(run) == instance.submission]
    if not instance.is_keyed or not known.keys() - {""}:
        return None
    return [run for run in known.get(instance.key, ()) if _is_in(run, instance)]


def _in_order(
    index: EstateIndex,
    service: ServiceFacts,
    instance: ServiceInstance,
    job_id: int,
    chosen: dict[int, list[RunFacts]],
    claims: InstanceClaims,
) -> Sequence[RunFacts]:
    ready = instance.submitted_at
    for edge in index.graph.into(job_id):
        if edge.upstream in chosen:
            ends = [run.ended_at for run in chosen[edge.upstream]]
            known = [at for at in ends if at is not None]
            if not known or len(known) < len(ends):
                return ()
            ready = max(ready, *known)
    for run in index.runs.get(job_id, ()):
        began = run.first_started_at
        if began is None or began + ORDER_CLOCK_SKEW < ready:
            continue
        if claims.taken.setdefault(run_key(run), service.name) == service.name:
            return (run,)
    return ()


def _is_in(run: RunFacts, instance: ServiceInstance) -> bool:
    began: datetime | None = run.first_started_at or run.period_at
    if began is None:
        return True
    return began + ORDER_CLOCK_SKEW >= instance.submitted_at and (instance.until is None or began < instance.until)
