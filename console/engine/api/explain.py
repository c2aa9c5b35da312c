"""Explanations computed from the store as it is, for commands: why a job is not running, how a service did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from connectors.sdk.states import Verb
from console.control.expectations.expected_runs import expect_runs
from console.control.explain.why_not_running import actionable_reason, explain_job
from console.control.services.review import ReviewGap, review_services
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import without_own_pauses
from console.domain.estate import Estate, EvaluationSettings
from console.domain.job import ExplanationStep, JobRow
from console.domain.timeline import PathJobBaseline, TimelineJob
from console.forecast.usual import path_usual
from console.store.db.database import open_read_only
from console.store.queries import open_queries
from console.store.snapshot.estate import load_estate
from console.store.snapshot.history import read_histories
from console.text.cleaning import clean_line
from console.timing.zones import business_window, zone_of

if TYPE_CHECKING:
    from console.store.queries import Queries

_UPSTREAMS = (
    "SELECT d.downstream_id, COALESCE(u.parent_id, u.id) FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
    " JOIN job u ON u.id = d.upstream_id"
)


@dataclass(frozen=True, slots=True)
class JobExplanation:
    """Why a job is not running."""

    job: str
    reasons: tuple[ExplanationStep, ...]
    act_on: ExplanationStep | None
    """The step to act on first; None if only time helps."""


def why_job(url: str, name: str) -> JobExplanation:
    """The chain of reasons why a job is not running. Raises NotFound with near misses, StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        row = reads.jobs.job(name).row
        approvals = [*_approvals(reads)]
        picture = current_estate_index(url, reads)
        chain = (
            explain_job(picture, row.id, approvals) if row.id in picture.estate.jobs else (_event_reason(row, reads),)
        )
    return JobExplanation(row.name, chain, actionable_reason(chain))


def review_service(url: str, name: str) -> tuple[ReviewGap, ...]:
    """Differences between what config says about a service and what is observed. Raises NotFound with near misses,
    StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        known = reads.services.service(name)
        estate = _load_estate(url, reads)
        service = next(service for service in estate.services if service.name == known.name)
        return review_services(_estate_index(estate, reads), service)


def typical_path(url: str, path: Sequence[TimelineJob], business_date: date) -> list[PathJobBaseline]:
    """Baseline of each job of a critical path from nights before `business_date`. Raises StoreUnusable, StoreTooNew."""
    ids = [one.id for one in path]
    store = open_read_only(url)
    try:
        with store.read() as session:
            above: dict[int, set[int]] = {job_id: set() for job_id in ids}
            for job_id, upstream in session.by_keys(_UPSTREAMS, ids):
                above[job_id].add(upstream)
            for holder, job_id in pairwise(ids):
                above[job_id].add(holder)
            known = read_histories(session, store.is_sqlite, sorted({*ids, *chain.from_iterable(above.values())}), {})
    finally:
        store.close()
    return [
        path_usual(clean_line(one.name), known[one.id], [known[each] for each in sorted(above[one.id])], business_date)
        for one in path
    ]


def current_estate_index(url: str, reads: Queries) -> EstateIndex:
    """The estate as an evaluation would see it now, with expected runs."""
    return _estate_index(_load_estate(url, reads), reads)


def night_estate_index(url: str, reads: Queries, business_date: date) -> EstateIndex:
    """A future night as it starts, assuming that all of today succeeds and every system is reachable."""
    estate = _load_estate(url, reads)
    begins = [business_window(business_date, zone_of(service.zone), service.cutoff)[0] for service in estate.services]
    now = max(min(begins, default=reads.now()), reads.now())
    targets = {number: replace(one, last_ok_at=now, failing_since=None) for number, one in estate.targets.items()}
    estate = replace(estate, targets=targets)
    due = expect_runs(estate, now)
    return EstateIndex(estate, now, due.runs, due.withdrawn)


def _load_estate(url: str, reads: Queries) -> Estate:
    """The estate as an evaluation would load it now, back to the earliest deadline. A service measured end to end is
    one service here, not one per submission."""
    store, now = open_read_only(url), reads.now()
    try:
        estate = load_estate(store, now, EvaluationSettings())
        longest = max((service.promise.deadline.reach for service in estate.services), default=timedelta(0))
        return without_own_pauses(
            load_estate(store, now, EvaluationSettings(lookback=EvaluationSettings().lookback + longest))
            if longest
            else estate
        )
    finally:
        store.close()


def _estate_index(estate: Estate, reads: Queries) -> EstateIndex:
    """The estate with expected runs."""
    due = expect_runs(estate, reads.now())
    return EstateIndex(estate, reads.now(), due.runs, due.withdrawn)


def _event_reason(row: JobRow, reads: Queries) -> ExplanationStep:
    words = "no schedule, no downstream jobs and no run for two days"
    can = any(
        Verb.RERUN.needs in system.capabilities for system in reads.estate.systems() if system.system == row.system
    )
    act = f"headway rerun {row.name}" if can else ""
    return ExplanationStep(row.name, "event", words, evidence=f"headway job {row.name}", act=act)


def _approvals(reads: Queries) -> Iterator[ExplanationStep]:
    """Actions that wait for approval."""
    for approval in reads.approvals.list_approvals():
        words = f"{approval.verb} was requested and waits for approval by another person"
        yield ExplanationStep(
            approval.job,
            "approval",
            words,
            0,
            approval.requested,
            by=approval.requested_by,
            act=f"headway action approve {approval.key}",
        )
