"""Delivery of a service: the runs that deliver it, what its checks still miss, and the state of its data.

A promise that was kept stays kept: later runs by hand and failed reruns of that date are incidents of their own.
It is kept by good data only: a delivery of stale data is late until it was rerun, and is called "delivered,
stale" meanwhile. A partial delivery in time is called partial, never complete. The data of one that read a job out of
reach is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from connectors.sdk.states import RunState
from console.control.snapshot.checks import PendingChecks, all_proved_at, pending_checks_of
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import JobFacts, RunFacts
from console.domain.reason import BadDelivery, NotDelivered
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
