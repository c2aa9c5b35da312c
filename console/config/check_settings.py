"""What every `[checks.NAME]` may say, and the words in which limits and values are asked for."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from connectors.checks.questions import refuse_other_braces
from console.clean import clean_line
from console.config.models import Pause, Strict, TimeOfDay, Zone
from console.model.checks import Asks, Check, Compare, Comparison, Severity

WORDS_LIMIT = 120
Count = Annotated[int, Field(ge=0)]
Dated = Annotated[str, Field(min_length=1), AfterValidator(refuse_other_braces)]
Column = Annotated[str, Field(min_length=1, max_length=63)]


class LimitSettings(Strict):
    min: Count | None = None
    max: Count | None = None


class RowSettings(LimitSettings):
    band: bool = False
    """By what past days of the same weekday had."""
    days: Annotated[int, Field(ge=2, le=26)] = 4
    """So many of them make a band."""
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.1
    """How far beyond their spread, as a share of their median."""


class FreshSettings(Strict):
    column: Column
    within: Pause


class ExpectSettings(Strict):
    equals: bool | int | float | str | None = None
    is_not: bool | int | float | str | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None

    @model_validator(mode="after")
    def something(self) -> ExpectSettings:
        if not self.model_fields_set:
            raise ValueError("says nothing: write equals, is_not, at_least or at_most")
        return self

    def comparisons(self) -> tuple[Comparison, ...]:
        words = {"equals": Compare.EQUALS, "is_not": Compare.NOT, "at_least": Compare.AT_LEAST,
                 "at_most": Compare.AT_MOST}  # fmt: skip
        given = ((how, getattr(self, name)) for name, how in words.items())
        return tuple(Comparison(how, to) for how, to in given if to is not None)


class CheckSettings(Strict):
    """What every check has; the rest belongs to its kind."""

    systems: ClassVar[tuple[str, ...]] = ()
    """Kinds of systems whose door it can use."""
    kind: str
    every: Pause = timedelta(minutes=5)
    """How long a result is good; what is waited for is looked at again then."""
    timeout: Pause = timedelta(seconds=30)
    """For the whole look."""
    severity: Literal["fail", "warn"] = "fail"
    """warn: it is shown, and keeps nobody waiting."""
    timezone: Zone | None = None
    """Of the business date, and of times without one; empty: of the first service that waits for it, else UTC."""
    cutoff: TimeOfDay = time(12)
    """The business date's window runs from this time to the same time of the next day."""

    def asks(self) -> Asks:
        raise NotImplementedError

    def about(self) -> str:
        raise NotImplementedError

    def declared(self, name: str, zone: str) -> Check:
        return Check(
            name, self.kind, clean_line(self.about(), WORDS_LIMIT), self.asks(), self.every, self.timeout,
            Severity(self.severity), self.timezone or zone, self.cutoff,
        )  # fmt: skip
