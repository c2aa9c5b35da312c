"""The settings of an estate, checked one by one; each field has its sentence below it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from connectors.contract import ConnectorKind
from connectors.secrets import SecretRef
from console.durations import parse_duration
from console.model.declared import NOTHING, Declared
from console.model.ids import split_job_name
from console.paths import STORE_URL


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not a duration; write it in quotes: "15s", "14m", "1h30m"')
    return parse_duration(value)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        raise ValueError(
            f'"{name}" is no time zone; ' + (f'did you mean "{near[0]}"?' if near else 'write "Europe/Berlin"')
        ) from None
    return name


def _time(value: Any) -> time:
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f'{value!r} is not a time of day; write "06:30"')
    return time(int(match[1]), int(match[2]))


def _job_name(value: str) -> str:
    split_job_name(value)
    return value


def _pause(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("no time at all would have it asked without a pause; write 15s")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Pause = Annotated[Duration, AfterValidator(_pause)]
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[time, BeforeValidator(_time)]
JobName = Annotated[str, AfterValidator(_job_name)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EstateSettings(Strict):
    name: str = "headway"
    """Shown in the header and in alerts."""
    store: str | SecretRef = "headway.db"
    """A file beside the config, or a reference to a postgresql:// URL."""
    starts_in: Literal["shadow", "live"] = "shadow"
    """The mode of a new store: in shadow everything is watched and nothing is sent; `headway shadow off` ends it."""

    @field_validator("store", mode="before")
    @classmethod
    def no_url(cls, store: object) -> object:
        if isinstance(store, str) and "://" in store:
            raise ValueError(f"a secret is not written here: {STORE_URL}")
        return store


class SystemSettings(Strict):
    """What every system has; everything else in its table belongs to its kind."""

    kind: str
    poll_every: Pause = timedelta(seconds=15)
    """Time between two polls of each target."""
    poll_timeout: Pause = timedelta(seconds=20)
    """Deadline of one poll; of each page where it has several."""
    timezone: Zone = "UTC"
    """For business dates."""
    cutoff: TimeOfDay = time(12, 0)
    """The business date's window runs from this time to the same time of the next day."""


class JobSettings(Strict):
    owner: str = ""
    """The team that answers; a route of the same name is told."""
    expected: Duration | None = None
    """How long it takes, until there is history; shown as declared."""
    runbook: str = ""
    rerun: Literal["safe", "ask", "never"] = "ask"
    grace: Duration = timedelta(minutes=5)
    """How late a start may be before it counts as missed."""
    notify: tuple[str, ...] = ()
    """Routes, besides the owner's."""


class DependencySettings(Strict):
    upstream: JobName
    downstream: JobName
    mode: Literal["observe", "hold", "trigger"] = "observe"
    """observe: warn. hold: keep the downstream from starting until its upstream is good. trigger: start it then."""
    engine_down: Literal["open", "closed"] = "open"
    """What no engine means: open, the downstream starts by its clock; closed, it is held always and stays so."""
    hold_lead: Pause = timedelta(minutes=10)
    """How long before its start the downstream is held."""
    hold_for: Pause = timedelta(hours=6)
    """How long after that start it is let go, whatever its upstream does; it is not started then."""


class ServiceSettings(Strict):
    title: str = ""
    delivered_by: Annotated[tuple[JobName, ...], Field(min_length=1)]
    """Terminal jobs: when all are done, it is delivered. Everything upstream belongs to it."""
    deadline: TimeOfDay
    """Time of day inside the business date's window."""
    timezone: Zone
    cutoff: TimeOfDay = time(12, 0)
    tier: Annotated[int, Field(ge=1, le=5)] = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    risk: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of nights that may be late."""


class RouteSettings(Strict):
    urls: Annotated[tuple[SecretRef, ...], Field(min_length=1)]
    """References to apprise URLs; one delivery each."""
    body: Literal["full", "masked", "link"] = "full"
    """How much may leave the house: all; known secrets, personal data and long numbers masked; or no outside word."""
    max_per_minute: Annotated[int, Field(ge=1)] = 10
    """More alerts than this in a minute leave as one digest; the first of a tier-1 service never waits."""
    give_up_after: Pause = timedelta(hours=24)
    """What a URL has not accepted by then is parked and told elsewhere."""
    fallback: str = ""
    """Another route, told where no URL of this one accepts an alert."""
    fallback_after: Pause = timedelta(minutes=2)
    """How long the URLs of this route have for that."""


class AlertSettings(Strict):
    default_route: str = ""
    """Told when a job's owner has no route, and about Headway itself."""
    shadow_route: str = ""
    """Told in place of the routes of what is in shadow; without it that is only recorded."""
    ping: SecretRef | None = None
    """A URL that is fetched while the engine is well: whoever waits for it tells when it stops."""
    ping_every: Pause = timedelta(minutes=1)


class PermissionSettings(Strict):
    who: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Logins, "group:NAME", or "*" for everybody."""
    role: Literal["view", "act", "approve", "admin"]
    """Each may do what the ones before it may."""
    systems: tuple[str, ...] = ()
    """Names of systems, * for any text; empty: all, and what belongs to none."""
    services: tuple[str, ...] = ()
    """Only jobs all of whose services are among these; empty: every job."""
    tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()
    """Only jobs whose most important service is of one of these tiers."""


class ActingSettings(Strict):
    reason_tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1,)
    """What is sent to a job below which a service of these tiers hangs wants a reason."""
    approval_tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()
    """And of these tiers: the approval of another person, within an hour."""
    per_hour: Annotated[int, Field(ge=0)] = 20
    """Most actions that one person asks for, steps of plans included; 0: no limit. A plan that may start goes through
    whole."""
    policy_per_hour: Annotated[int, Field(ge=0)] = 200
    """Most holds and starts by the modes of dependencies; 0: no limit. Letting go has none."""
    valid_for: Pause = timedelta(hours=4)
    """What a person or a plan asked for and could not be sent for so long (its host is away, its job still runs) is
    not sent any more."""


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One system with its kind's own options, checked."""

    name: str
    settings: SystemSettings
    kind: ConnectorKind
    options: Any

    @property
    def targets(self) -> list[str]:
        return self.kind.targets(self.options)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole estate that has passed every check that needs no network and no store."""

    path: Path
    digest: str
    estate: EstateSettings
    systems: Mapping[str, SystemConfig]
    jobs: Mapping[str, JobSettings]
    dependencies: tuple[DependencySettings, ...]
    services: Mapping[str, ServiceSettings]
    routes: Mapping[str, RouteSettings]
    alerts: AlertSettings
    permissions: tuple[PermissionSettings, ...] = ()
    acting: ActingSettings = field(default_factory=ActingSettings)
    declared: Declared = NOTHING

    def routes_of(self, owner: str, notify: tuple[str, ...]) -> tuple[str, ...]:
        """The routes that a job or service names, and its owner's: a route of the owner's name."""
        return tuple(dict.fromkeys([*notify, *([owner] if owner in self.routes else [])]))
