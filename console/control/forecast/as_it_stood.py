"""The runs of a job as they stood at an instant that is over, by its history; and the history as it was then.

What came later shows nowhere: a run that ended after it runs, one that began after it is not there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from connectors.contract import Evidence, State, instant_key
from console.control.expected import expects_nothing
from console.control.forecast.points import instant_of
from console.model.history import History
from console.model.values import JobFacts, RunFacts


@dataclass(frozen=True, slots=True)
class Ran:
    """One success of a history; instants."""

    run_id: int
    day: int
    period_at: datetime | None
    queued_at: datetime | None
    began: datetime
    """Its first start."""
    failed_at: datetime | None
    """When the first attempt had failed; None: it did not, or nobody knows when."""
    started: datetime
    ended: datetime
    takes: float

    @property
    def was_repaired(self) -> bool:
        return self.began < self.started


def ran_of(history: History) -> Iterator[Ran]:
    """Its successes. When the first of several attempts failed is known only where each was a run of its own."""
    for place, run_id in enumerate(history.run_ids):
        at, ended, takes = history.at[place], history.ended[place], history.takes[place]
        delay, waited, repair = history.delays[place], history.waits[place], history.repairs[place]
        started = ended - takes
        first = at + delay if delay >= 0 else at if history.attempts[place] > 1 or repair >= 0 else started
        began = min(first, started) if history.attempts[place] > 1 or repair >= 0 else started
        yield Ran(
            run_id=run_id,
            day=history.days[place],
            period_at=instant_of(at) if delay >= 0 else None,
            queued_at=instant_of(started - waited) if waited > 0 and began == started else None,
            began=instant_of(began),
            failed_at=instant_of(max(started - repair, began)) if repair >= 0 else None,
            started=instant_of(started),
            ended=instant_of(ended),
            takes=takes,
        )


def as_of(job: JobFacts, ran: Ran, at: datetime, usual: float) -> RunFacts | None:
    """That run as it stood then; None before it was there. `usual`: seconds that it took on earlier nights: an attempt
    of which nobody knows when it failed is taken to have failed half-way through them."""
    if at < ran.began and (ran.queued_at is None or at < ran.queued_at):
        return None
    run = RunFacts(
        id=ran.run_id,
        job_id=job.id,
        period_key=instant_key(ran.period_at) if ran.period_at is not None else f"run {ran.run_id}",
        period_at=ran.period_at,
        bd=date.fromordinal(ran.day),
        state=State.QUEUED,
        evidence=Evidence.NATIVE,
        expected=ran.period_at is not None and not expects_nothing(job),
        observed_at=at,
        queued_at=ran.queued_at,
    )
    if at < ran.began:
        return run
    if at < ran.started:
        red = ran.failed_at or ran.began + timedelta(seconds=usual / 2)
        first = replace(run, attempt=1, first_started_at=ran.began, started_at=ran.began)
        return replace(first, state=State.FAILED, ended_at=red) if red <= at else replace(first, state=State.RUNNING)
    number = 2 if ran.was_repaired else 1
    run = replace(run, state=State.RUNNING, attempt=number, first_started_at=ran.began, started_at=ran.started)
    if at < ran.ended:
        return run
    return replace(run, state=State.SUCCEEDED, ended_at=ran.ended, successes=((ran.started, ran.ended),))


def known_by(history: History, night: int, opens: datetime) -> History:
    """What of it lies before that night, and was over as it opened."""
    limit = opens.timestamp()
    pairs = enumerate(zip(history.days, history.ended, strict=True))
    kept = [place for place, (day, ended) in pairs if 0 < day < night and ended <= limit]
    unmended = [each for each in range(len(history.unmended)) if history.unmended[each] < night]
    return History(
        run_ids=_at(history.run_ids, kept),
        days=_at(history.days, kept),
        at=_at(history.at, kept),
        ended=_at(history.ended, kept),
        takes=_at(history.takes, kept),
        delays=_at(history.delays, kept),
        waits=_at(history.waits, kept),
        attempts=_at(history.attempts, kept),
        repairs=_at(history.repairs, kept),
        output=_at(history.output, kept) if history.output else history.output,
        output_unit=history.output_unit,
        unmended=_at(history.unmended, unmended),
    )


def _at(column: array[Any], places: Sequence[int]) -> array[Any]:
    return array(column.typecode, [column[each] for each in places])
