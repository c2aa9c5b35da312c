"""A check that keeps service days from being delivered though all their jobs are done: the data are not as promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.control.incidents.causes.cause import AffectedDays, Cause, Ended, Evidence, unambiguous_name
from console.control.incidents.run_titles import REASON_LIMIT
from console.control.services.delivery import pending_checks
from console.control.snapshot.checks import ENOUGH
from console.control.snapshot.estate_index import EstateIndex
from console.domain.check import CheckState
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.incident_record import CauseKind
from console.domain.reason import CheckNotAwaited, CheckPassed
from console.domain.text import Part, Text
from console.forecast.finish_times import ServiceForecast
from console.text.cleaning import clean_line
from console.timing.maintenance import ActiveMaintenance, maintenance_of_check


@dataclass(frozen=True, slots=True)
class FailedCheck(Cause):
    """One check of one business date."""

    kind = CauseKind.CHECK
    end_text = "passes"
    quotes_end = True
    check: str = ""
    text: str = ""
    """Its result; empty once it keeps no service day back."""

    @property
    def subject(self) -> str:
        return self.check

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        """The known causes, and one for each check and date, oldest first. A check without a result is a cause from
        the deadline on: an engine that was down may still run it before."""
        index, results = evidence.index, dict[tuple[str, date], tuple[datetime, str]]()
        for day in evidence.days:
            for check in pending_checks(index, day):
                since = check.since or (day.deadline if index.now > day.deadline else None)
                if since is not None:
                    first, text = results.get((check.check, day.business_date), (since, check.text))
                    results[check.check, day.business_date] = min(since, first), text
        causes = [
            FailedCheck(business_date, since, check=check, text=clean_line(text, REASON_LIMIT))
            for (check, business_date), (since, text) in results.items()
        ]
        return [*known, *sorted(causes, key=lambda cause: (cause.since, cause.check))]

    @classmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> FailedCheck:
        return FailedCheck(incident.cause.business_date, incident.failed_since, check=incident.cause.subject)

    def name(self, index: EstateIndex) -> str:
        return f"check {self.check}"

    def key(self, index: EstateIndex) -> str:
        return f"check:{unambiguous_name(self.check)}@{self.business_date.isoformat()}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        return (self.text,) if self.text else ()

    def plain_title(self, index: EstateIndex) -> str:
        return f"{self.name(index)} does not pass" if self.text else ""

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        data = f"the data of {', '.join(services)}" if services else "the data"
        known = index.estate.checks.get((self.check, self.business_date))
        has_failed = known is not None and known.last.state is CheckState.FAILED
        return f"all jobs ran, but {data} {'failed a check' if has_failed else 'could not be checked'}"

    def location(self, index: EstateIndex) -> str:
        check = index.estate.declared.check(self.check)
        return check.about if check is not None else ""

    def reason(self, index: EstateIndex) -> Text:
        return (self.text,) if self.text else ()

    def maintenance(self, index: EstateIndex) -> ActiveMaintenance | None:
        return maintenance_of_check(index.estate, self.check, index.now)

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        known = index.estate.checks.get((self.check, self.business_date))
        if known is not None and known.last.state in ENOUGH:
            return Ended(CheckPassed(known.last.text), is_recovered=True)
        return Ended(CheckNotAwaited())

    def affected_days(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> AffectedDays:
        own = (day for day in days if day.business_date == self.business_date)
        held = (day for day in own if any(check.check == self.check for check in pending_checks(index, day)))
        return {day.key: (day, []) for day in held}
