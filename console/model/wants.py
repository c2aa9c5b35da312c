"""What a dependency wants of its upstream: how it must have ended, which of its runs is meant, and with how many
others it is one gate."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from console.model.frozen import dataclass


class Condition(StrEnum):
    """What must be true of the upstream's run."""

    SUCCESS = "success"
    """It ended well, and read nothing stale."""
    COMPLETION = "completion"
    """It ran and ended, however."""
    FAILURE = "failure"
    """It is red: what runs then repairs or tells, and reads nothing."""
    READY = "ready"
    """A check of the data passes, whatever the run's own word."""


class Period(StrEnum):
    """Which run of the upstream is meant."""

    SAME = "same"
    """The last before the downstream on its business date, else the first of that date."""
    PREVIOUS = "previous"
    """The one before that. Where the upstream itself waits for the downstream, or is the same job: the last before
    it."""
    BUSINESS_DAY = "previous business day"
    """The last of the nearest date before that counts in the calendar."""
    MONTH_END = "last of month"
    """The last of the month that is over, or ends with the downstream's date; with a calendar, of its last day that
    counts."""
    LATEST = "latest before"
    """The last before the downstream, whatever its date."""
    WINDOW = "window"
    """The last good one that is due within so long before the downstream; none there is not good."""


@dataclass(frozen=True, slots=True)
class Wants:
    """Of one dependency."""

    condition: Condition = Condition.SUCCESS
    check: str = ""
    """Name of the check, with READY."""
    period: Period = Period.SAME
    calendar: str = ""
    """Name of the calendar that says which days count; empty: Monday to Friday with BUSINESS_DAY, else every day."""
    within: timedelta | None = None
    """With WINDOW."""
    gate: str = ""
    """The same for all dependencies of a downstream of which together `need` must hold; empty: it must hold alone."""
    need: int = 0
    """How many of its gate; 0 where `gate` is empty."""

    @property
    def is_plain(self) -> bool:
        """True for success on the same business date, by itself."""
        return self is PLAINLY or self == PLAINLY

    @property
    def is_simple(self) -> bool:
        """True for success on the same business date, also as one of a gate."""
        return self.condition is Condition.SUCCESS and self.period is Period.SAME

    @property
    def words(self) -> str:
        """ "completion, the previous business day"; empty for what is plain."""
        said = f"ready by check {self.check}" if self.condition is Condition.READY else self.condition.value
        parts = [said] if self.condition is not Condition.SUCCESS else []
        parts += [self.which] if self.which else []
        return ", ".join(parts)

    @property
    def which(self) -> str:
        """Which run is meant, in words; empty for that of the same business date."""
        if self.period is Period.SAME:
            return ""
        days = f" by calendar {self.calendar}" if self.calendar else ""
        if self.period is Period.WINDOW:
            return f"within {_span(self.within)} before"
        if self.period is Period.LATEST:
            return "the latest before"
        return f"the {self.period}{days}"


def _span(span: timedelta | None) -> str:
    minutes = int((span or timedelta(0)).total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


PLAINLY = Wants()
