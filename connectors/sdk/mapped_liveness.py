"""Whether a scheduler starts jobs, by one value that the config names; for the kinds that only the config defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from connectors.sdk.contract import SourcePermission
from connectors.sdk.errors import ConnectorError
from connectors.sdk.field_mapping import FieldPath, matched, text_at
from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.records import Poll
from connectors.sdk.scheduler_health import SchedulerHealth

MAX_VALUE_CHARACTERS = 200


class MappedLiveness(StrictOptions):
    """A value that shows whether the scheduler starts jobs. Values are matched as states are; any other one, and no
    answer, prove nothing."""

    value: FieldPath = Field(min_length=1)
    """Path to the value."""
    starts: Annotated[tuple[str, ...], Field(min_length=1)]
    """The values by which the scheduler starts jobs."""
    stopped: Annotated[dict[str, Annotated[str, Field(min_length=10, max_length=200)]], Field(min_length=1)]
    """The values by which it starts none, and why."""
    fix: Annotated[str, Field(min_length=2, max_length=200)]
    """How it starts jobs again."""

    @model_validator(mode="after")
    def one_meaning_each(self) -> Self:
        if both := sorted({name.lower() for name in self.starts} & {name.lower() for name in self.stopped}):
            raise ValueError(f'starts: "{both[0]}" is in stopped as well. Fix: keep one of them')
        return self

    def permission(self, row: Any) -> SourcePermission | None:
        """Held where the scheduler starts jobs; None for a value that proves nothing."""
        value = text_at(row, self.value, MAX_VALUE_CHARACTERS)
        reason = matched(value, {**dict.fromkeys(self.starts, ""), **self.stopped}) if value else None
        if reason is None:
            return None
        return SourcePermission.checked("jobs start here", not reason, reason, self.fix, is_grantable=False)


class MappedHealth:
    """The health of a scheduler by its mapping; without one nothing is read."""

    def __init__(self, liveness: MappedLiveness | None, read: Callable[[], Any]) -> None:
        self._liveness, self._read = liveness, read
        self._health = SchedulerHealth(self._stopped_by)

    def added_to(self, poll: Poll) -> Poll:
        return poll if self._liveness is None else replace(poll, stopped=self._health.stopped())

    def probe(self) -> tuple[tuple[SourcePermission, ...], tuple[str, ...]]:
        """The permission where the scheduler starts nothing, and a note where it cannot be read."""
        try:
            permission = self._permission()
        except ConnectorError as error:
            return (), (f"whether jobs start here is unknown: {error}",)
        return ((permission,) if permission is not None and not permission.held else ()), ()

    def _permission(self) -> SourcePermission | None:
        return None if self._liveness is None else self._liveness.permission(self._read())

    def _stopped_by(self) -> str | None:
        permission = self._permission()
        return None if permission is None else "" if permission.held else permission.problem
