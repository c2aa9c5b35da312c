"""Service days that will be late, or were, without a failure: the terminal that delivers them is the root.

A job that is never started is neither red nor missed if no clock starts it, and a slow job may have no history that
shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from console.control.incidents.causes.cause import AffectedDays, Cause, Evidence, ServiceDayKey, unambiguous_name
from console.control.incidents.causes.failed_run import RunCause
from console.control.incidents.run_titles import TITLE_LIMIT
from console.control.services.delivery import overdue_reason
from console.control.services.status import offered_start
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import RunFacts
from console.domain.incident_record import CauseKind
from console.domain.service import UNMET_PROMISE
from console.domain.text import At, Part, Tense
from console.forecast.finish_times import ServiceForecast
from console.text.cleaning import clean_line


@dataclass(frozen=True, slots=True, kw_only=True)
class LostDay(RunCause):
    """The late days of one terminal and business date."""

    kind = CauseKind.UNDELIVERED
    root: RunFacts
    """The terminal's run; it may not exist."""
    parts: tuple[Part, ...]
    """Its title."""
    days: tuple[ServiceDayKey, ...]
    slow: int | None = None
    """The job that loses the time; None if none is clearly the cause."""

    @property
    def rule(self) -> str:
        return UNMET_PROMISE

    @property
    def lost_by(self) -> int | None:
        return self.slow

    @property
    def awaits(self) -> tuple[ServiceDayKey, ...]:
        return self.days

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        """The known causes: days are lost by what no incident explains (`unmet_promise`)."""
        return list(known)

    @classmethod
    def of_day(cls, index: EstateIndex, day: ServiceForecast, run: RunFacts, since: datetime) -> LostDay:
        """That of one service day. `run`: of its terminal."""
        return LostDay(
            day.business_date, since, root=run, parts=_title(index, day), days=(day.key,), slow=_lost_by(day)
        )

    def job_ids_to_fix(self) -> list[int]:
        return [self.lost_by if self.lost_by is not None else self.root.job_id]

    def key(self, index: EstateIndex) -> str:
        name = unambiguous_name(index.job(self.root.job_id).name)
        return f"{UNMET_PROMISE}:{name}@{self.business_date.isoformat()}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        return self.parts

    def plain_title(self, index: EstateIndex) -> str:
        because = f" because of {index.name(self.lost_by)}" if self.lost_by not in (None, self.root.job_id) else ""
        return f"{self.name(index)} did not finish in time{because} (no failed run)"

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        return "nothing failed, but not all jobs have finished"

    def affected_days(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> AffectedDays:
        return {day.key: (day, []) for day in days if day.key in self.days}


def _title(index: EstateIndex, day: ServiceForecast) -> tuple[Part, ...]:
    """ "Supply plan was not delivered by 06:30 CET because of hosts/extract, and nothing failed; it waits for
    warehouse/load_orders"; "Supply plan is expected after its deadline 06:30 CET: start warehouse/load_orders now: its
    changed schedule starts it 08:35 CET"."""
    title = clean_line(day_title(day), TITLE_LIMIT)
    is_late = day.finish is None or day.finish.p50 > day.deadline
    ahead = (" is expected", " was expected") if is_late else (" may be delivered", " was at risk of being delivered")
    status: tuple[Part, ...] = Tense(*ahead), " after its deadline ", At(day.deadline)
    status = (" was ", *overdue_reason(index, day).text) if index.now > day.deadline else status
    offered = offered_start(index, day)
    if offered is not None:
        now = f": start {index.name(offered.job_id)} now: its changed schedule starts it "
        return title, *status, now, At(offered.due)
    waits, lost_by = next((index.name(node.job_id) for node in day.unfinished()), ""), _lost_by(day)
    loses = index.name(lost_by) if lost_by is not None else ""
    because = f" because of {loses}" if loses else ""
    awaits = (Tense(f"; it waits for {waits}", f"; it waited for {waits}"),) if waits not in ("", loses) else ()
    return title, *status, f"{because}, and nothing failed", *awaits


def _lost_by(day: ServiceForecast) -> int | None:
    return day.odds.lost_by if day.odds is not None else None


def day_title(day: ServiceForecast) -> str:
    """The cleaned title of its service."""
    return clean_line(day.service.title or day.service.name)
