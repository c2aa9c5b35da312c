"""Explanations computed from the store as it is, for commands: why a job is not running, how a service did."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain, pairwise

from connectors.sdk.states import Verb
from console.control.expectations.expected_runs import index_with_expected
from console.control.explain.why_not_running import actionable_reason, explain_job
from console.control.holds.warnings import dependency_faults, with_settings
from console.control.services.review import ReviewGap, review_services
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import without_own_pauses
from console.domain.estate import Estate, EvaluationSettings
from console.domain.job import ExplanationStep
from console.domain.settings import EstateSettings
from console.domain.timeline import PathJobBaseline, TimelineJob
from console.forecast.usual import path_usual
from console.store.db.database import open_read_only
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from console.store.snapshot.history import direct_upstreams, read_histories
from console.text.cleaning import clean_line
from console.timing.zones import business_window, zone_of


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """Why a job is not running."""

    job: str
    reasons: tuple[ExplanationStep, ...]
    act_on: ExplanationStep | None
    """The step to act on first; None if only time helps."""


def why_job(url: str, name: str | int) -> JobExplanation:
    """The chain of reasons why a job is not running. Raises NotFound with near misses, StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        row = reads.jobs.job(name).row
        index = current_estate_index(url, reads)
        if row.id in index.estate.jobs:
            reasons = explain_job(index, row.id, list(_approvals(reads)))
        else:
            systems = [system for system in reads.estate.systems() if system.system == row.system]
            can_rerun = any(Verb.RERUN.needs in system.capabilities for system in systems)
            text = "no schedule, no downstream jobs and no run for two days"
            argument = shlex.quote(clean_line(row.name))
            act = f"headway rerun {argument}" if can_rerun else ""
            evidence = (f"headway job {argument}",)
            reasons = (ExplanationStep(row.name, "event", (text,), evidence=evidence, act=act),)
    return JobExplanation(row.name, reasons, actionable_reason(reasons))


def review_service(url: str, name: str) -> tuple[ReviewGap, ...]:
    """Differences between what config says about a service and what is observed. Raises NotFound with near misses,
    StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        known = reads.services.service(name)
        estate = _load_estate(url, reads)
        service = next(service for service in estate.services if service.name == known.name)
        return review_services(index_with_expected(estate, reads.now()), service)


def typical_path(url: str, path: Sequence[TimelineJob], business_date: date) -> list[PathJobBaseline]:
    """Baseline of each job of a critical path from nights before `business_date`. Raises StoreUnusable, StoreTooNew."""
    ids = [job.id for job in path]
    store = open_read_only(url)
    try:
        with store.read() as session:
            upstreams: dict[int, set[int]] = {job_id: set() for job_id in ids}
            for job_id, upstream in direct_upstreams(session, ids):
                upstreams[job_id].add(upstream)
            for slot_holder, job_id in pairwise(ids):
                upstreams[job_id].add(slot_holder)
            jobs = sorted({*ids, *chain.from_iterable(upstreams.values())})
            histories = read_histories(session, store.is_sqlite, jobs, {})
    finally:
        store.close()
    return [
        path_usual(
            clean_line(job.name),
            histories[job.id],
            [histories[upstream] for upstream in sorted(upstreams[job.id])],
            business_date,
        )
        for job in path
    ]


def edited_config_faults(url: str, reads: Queries, settings: EstateSettings) -> list[str]:
    """One sentence for each dependency and deadline of these settings that contradicts the stored schedules or cannot
    be enforced."""
    edited = with_settings(_load_estate(url, reads), settings, reads.warnings.former_names())
    return dependency_faults(edited, reads.now())


def current_estate_index(url: str, reads: Queries) -> EstateIndex:
    """The estate as an evaluation would see it now, with expected runs."""
    return index_with_expected(_load_estate(url, reads), reads.now())


def night_estate_index(url: str, reads: Queries, business_date: date) -> EstateIndex:
    """A future night as it starts, assuming that all of today succeeds and every system is reachable."""
    estate = _load_estate(url, reads)
    begins = [business_window(business_date, zone_of(service.zone), service.cutoff)[0] for service in estate.services]
    now = max(min(begins, default=reads.now()), reads.now())
    targets = {number: replace(target, last_ok_at=now, failing_since=None) for number, target in estate.targets.items()}
    estate = replace(estate, targets=targets)
    return index_with_expected(estate, now)


def _load_estate(url: str, reads: Queries) -> Estate:
    """The estate as an evaluation would load it now, back to the earliest deadline."""
    store, now, settings = open_read_only(url), reads.now(), EvaluationSettings()
    try:
        estate = load_estate(store, now, settings)
        longest = max((service.promise.deadline.reach for service in estate.services), default=timedelta(0))
        if longest:
            estate = load_estate(store, now, replace(settings, lookback=settings.lookback + longest))
        return without_own_pauses(estate)
    finally:
        store.close()


def _approvals(reads: Queries) -> Iterator[ExplanationStep]:
    """Actions that wait for approval."""
    for row in reads.approvals.list_approvals():
        text = f"{row.verb} was requested and is pending approval by another user"
        act = f"headway action approve {row.key}"
        yield ExplanationStep(row.job, "approval", (text,), 0, row.requested, by=row.requested_by, act=act)
