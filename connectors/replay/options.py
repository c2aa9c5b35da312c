"""Settings of a replayed system: its night, and the files of its actions and its clock."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from connectors.replay.client import NightUnusable, load_night
from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.secrets import FilePath

BorrowedKind = Literal["cron", "airflow", "pg_cron", "step_functions"]


class ReplayOptions(StrictOptions):
    """One system of one night."""

    night: FilePath
    """The night's file, JSON, gzipped when it ends in .gz."""
    system: str
    """Which system of the night."""
    lent: BorrowedKind | None = Field(default=None, alias="as")
    """The kind that it imitates; that of the night when not given."""
    actions: FilePath
    """File of the sent actions, JSON lines; shared by all systems of the replay, made when missing."""
    clock_file: FilePath | None = None
    """The replay's clock, as JSON: origin, started, rate, paused. Real time when not given."""

    @model_validator(mode="after")
    def night_has_it(self) -> ReplayOptions:
        try:
            known = load_night(self.night).systems
        except NightUnusable as error:
            raise ValueError(str(error)) from None
        if self.system not in known:
            raise ValueError(f'night {self.night} has no system "{self.system}"; it has {", ".join(sorted(known))}')
        return self


def targets(options: ReplayOptions) -> list[str]:
    """The targets of this system in the night: hosts, a database, an API."""
    return list(load_night(options.night).systems[options.system].targets)
