"""What the decisions know beyond what they write down, for commands that ask, over the store as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain, pairwise

from connectors.words import Verb
from console.clean import clean_line
from console.control.expected import expectations
from console.control.own_sleep import woken
from console.control.path_usual import path_usual
from console.control.picture import Picture
from console.control.review import Gap, review
from console.control.why import to_act_on, why
from console.control.zones import window, zone_of
from console.model.reasons import Reason
from console.model.values import Estate, Settings
from console.model.views import JobRow
from console.model.views.services import PathJobView, PathUsual
from console.store.estate import load
from console.store.histories import read
from console.store.open import open_to_look
from console.store.reads import Reads, open_reads
from console.store.wire import wire

_UPSTREAMS = (
    "SELECT d.downstream_id, COALESCE(u.parent_id, u.id) FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
    " JOIN job u ON u.id = d.upstream_id"
)


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a job is not running."""

    job: str
    reasons: tuple[Reason, ...]
    act_on: Reason | None
    """The one of them that is to be acted on first; None where only time helps."""


def why_job(url: str, name: str) -> Explained:
    """The chain of reasons of one job. Raises NotFound with near misses, StoreUnusable, StoreTooNew."""
    with open_reads(url) as reads:
        row = reads.job(name).row
        approvals = [*_approvals(reads)]
        picture = picture_of(url, reads)
        chain = why(picture, row.id, approvals) if row.id in picture.estate.jobs else (_quiet(row, reads),)
    return Explained(row.name, chain, to_act_on(chain))


def review_service(url: str, name: str) -> tuple[Gap, ...]:
    """What is written down about a service against what is observed. Raises NotFound with near misses, StoreUnusable,
    StoreTooNew."""
    with open_reads(url) as reads:
        known = reads.service(name)
        estate = _estate(url, reads)
        service = next(one for one in estate.services if one.name == known.name)
        return review(_picture(estate, reads), service)


def usual_of(url: str, path: Sequence[PathJobView], bd: date) -> list[PathUsual]:
    """What is usual for each job of a critical path, by its nights before `bd`. Raises StoreUnusable, StoreTooNew."""
    ids = [one.job_id for one in path]
    store = open_to_look(url)
    try:
        with store.read() as connection:
            lines = wire(connection)
            above: dict[int, set[int]] = {job_id: set() for job_id in ids}
            for job_id, upstream in lines.by_keys(_UPSTREAMS, "i", ids):
                above[job_id].add(upstream)
            for holder, job_id in pairwise(ids):
                above[job_id].add(holder)
            known = read(lines, store.is_sqlite, sorted({*ids, *chain.from_iterable(above.values())}), {})
    finally:
        store.close()
    return [
        path_usual(clean_line(one.job), known[one.job_id], [known[each] for each in sorted(above[one.job_id])], bd)
        for one in path
    ]


def picture_of(url: str, reads: Reads) -> Picture:
    """What an evaluation would see now, with what is expected laid over it."""
    return _picture(_estate(url, reads), reads)


def night_of(url: str, reads: Reads, bd: date) -> Picture:
    """A night that is still to come, as its evening begins and all of today's is well: every source is seen."""
    estate = _estate(url, reads)
    begins = [window(bd, zone_of(one.zone), one.cutoff)[0] for one in estate.services]
    now = max(min(begins, default=reads.now()), reads.now())
    targets = {number: replace(one, last_ok_at=now, failing_since=None) for number, one in estate.targets.items()}
    estate = replace(estate, targets=targets)
    due = expectations(estate, now)
    return Picture(estate, now, due.runs, due.withdrawn)


def _estate(url: str, reads: Reads) -> Estate:
    """As an evaluation would load it now, as far back as a deadline reaches; a service that is promised end to end is
    one there, not each submission."""
    store, now = open_to_look(url), reads.now()
    try:
        estate = load(store, now, Settings())
        longest = max((one.promise.deadline.reach for one in estate.services), default=timedelta(0))
        return woken(load(store, now, Settings(lookback=Settings().lookback + longest)) if longest else estate)
    finally:
        store.close()


def _picture(estate: Estate, reads: Reads) -> Picture:
    """The estate with what is expected laid over it."""
    due = expectations(estate, reads.now())
    return Picture(estate, reads.now(), due.runs, due.withdrawn)


def _quiet(row: JobRow, reads: Reads) -> Reason:
    words = "nothing starts it by the clock, nothing hangs on it, and it has not run for two days"
    can = any(Verb.RERUN.needs in one.capabilities for one in reads.systems() if one.system == row.system)
    act = f"headway rerun {row.name}" if can else ""
    return Reason(row.name, "event", words, evidence=f"headway job {row.name}", act=act)


def _approvals(reads: Reads) -> Iterator[Reason]:
    """What waits for the approval of another person."""
    for one in reads.approvals():
        words = f"{one.verb} was asked for and waits for the approval of another person"
        yield Reason(
            one.job, "approval", words, 0, one.requested, by=one.requested_by, act=f"headway approve {one.key}"
        )
