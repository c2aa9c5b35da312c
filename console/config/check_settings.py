"""What every `[checks.NAME]` may say, and the words in which limits and values are asked for."""

from __future__ import annotations

from datetime import time, timedelta
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal, Self

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

    @model_validator(mode="after")
    def can_be(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}, so that nothing fits; swap them")
        if self.says_nothing():
            raise ValueError("says nothing: write min, max or both")
        return self

    def says_nothing(self) -> bool:
        return self.min is None and self.max is None


class RowSettings(LimitSettings):
    band: bool = False
    """By what past days of the same weekday had."""
    days: Annotated[int, Field(ge=2, le=26)] = 4
    """So many of them make a band."""
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.1
    """How far beyond their spread, as a share of their median."""

    def says_nothing(self) -> bool:
        return super().says_nothing() and not self.band

    @model_validator(mode="after")
    def has_its_band(self) -> RowSettings:
        unused = sorted(self.model_fields_set & {"days", "tolerance"})
        if unused and not self.band:
            raise ValueError(f"{' and '.join(unused)} are of a band, and there is none; add band = true")
        return self


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
        self._can_be()
        return self

    def _can_be(self) -> None:
        """ValueError for what no value is."""
        for name in sorted(self.model_fields_set):
            value = getattr(self, name)
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} = {value} is never so; write a number")
        low, high, only = self.at_least, self.at_most, self.equals
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least {low} is more than at_most {high}, so that nothing fits; swap them")
        if only is None:
            return
        is_number = isinstance(only, int | float) and not isinstance(only, bool)
        if (low is not None or high is not None) and not is_number:
            raise ValueError(
                f"equals {str(only).lower()} is no number, and at_least and at_most want one; keep one of them"
            )
        is_refused = only == self.is_not and isinstance(only, bool) is isinstance(self.is_not, bool)
        if is_refused or (is_number and not _between(only, low, high)):
            raise ValueError(f"equals {only!r} contradicts what stands beside it, so that nothing fits; keep equals")

    def comparisons(self) -> tuple[Comparison, ...]:
        words = {"equals": Compare.EQUALS, "is_not": Compare.NOT, "at_least": Compare.AT_LEAST,
                 "at_most": Compare.AT_MOST}  # fmt: skip
        given = ((how, getattr(self, name)) for name, how in words.items())
        return tuple(Comparison(how, to) for how, to in given if to is not None)


def _between(value: Any, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


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
            getattr(self, "system", None) or "", getattr(self, "target", None) or "",
        )  # fmt: skip
