"""The settings of an estate, checked one by one; each field has its sentence below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from connectors.contract import Capability, ConnectorKind
from connectors.secrets import SecretRef
from console.config.alerting import RotaSettings, ToldSettings
from console.config.promises import Deadline, SlaSettings, SloSettings
from console.config.shapes import Duration as Duration
from console.config.shapes import JobName as JobName
from console.config.shapes import Pause as Pause
from console.config.shapes import Strict as Strict
from console.config.shapes import TimeOfDay as TimeOfDay
from console.config.shapes import Zone as Zone
from console.model.declared import NOTHING, Declared
from console.paths import STORE_URL


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


class BudgetSettings(Strict):
    """What one run may take and cost at most; over it is a finding."""

    time: Pause | None = None
    """All attempts together."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """In what its source counts: `cost` in the context of its attempts."""


class JobSettings(Strict):
    owner: str = ""
    """The team that answers; a route of the same name is told."""
    expected: Pause | None = None
    """How long it takes, until there is history; shown as declared."""
    runbook: str = ""
    rerun: Literal["safe", "ask", "never"] = "ask"
    grace: Duration = timedelta(minutes=5)
    """How late a start may be before it counts as missed."""
    notify: tuple[str, ...] = ()
    """Routes, besides the owner's."""
    calendar: str = ""
    """The days on which a run is expected; on all others none counts as missed. Empty: whenever its schedule says."""
    budget: BudgetSettings | None = None
    """What one run may take and cost at most."""


Condition = Literal["success", "completion", "failure", "ready"]
Period = Literal["same", "previous", "previous business day", "last of month", "latest before", "window"]


def _need(value: Any) -> str | int:
    if value in ("all", "any") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value  # type: ignore[no-any-return]
    raise ValueError(f'{value!r} is neither "all" nor "any" nor a number from 1')


Need = Annotated[str | int, BeforeValidator(_need)]


class DependencySettings(Strict):
    upstream: JobName | None = None
    upstreams: tuple[JobName, ...] = ()
    """Instead of `upstream`: several, which are one gate together."""
    downstream: JobName
    need: Need = "all"
    """How many of the upstreams must be as `condition` says."""
    condition: Condition = "success"
    """success: well ended. completion: ended, however. failure: red. ready: the check passes."""
    check: str = ""
    """With "ready": the check's name."""
    period: Period = "same"
    """Which run of the upstream is meant: that of the same business date, or another."""
    calendar: str = ""
    """Which days count, for "previous business day" and "last of month"."""
    within: Pause | None = None
    """With "window": so long before the downstream a good run must be due."""
    mode: Literal["observe", "hold", "trigger"] = "observe"
    """observe: warn. hold: keep the downstream from starting until its upstream is good. trigger: start it then."""
    engine_down: Literal["open", "closed"] = "open"
    """What no engine means: open, the downstream starts by its clock; closed, it is held always and stays so."""
    hold_lead: Pause = timedelta(minutes=10)
    """How long before its start the downstream is held."""
    hold_for: Pause = timedelta(hours=6)
    """How long after that start it is let go, whatever its upstream does; it is not started then."""

    @property
    def feeding(self) -> tuple[str, ...]:
        """The names of its upstreams."""
        return self.upstreams if self.upstream is None else (self.upstream,)

    @property
    def needed(self) -> int:
        """How many of them must hold."""
        return {"all": len(self.feeding), "any": 1}.get(str(self.need)) or int(self.need)

    @model_validator(mode="after")
    def either_one_or_several(self) -> DependencySettings:
        if (self.upstream is None) == (not self.upstreams):
            raise ValueError('name one upstream = "…", or several in upstreams = ["…", "…"]')
        return self


class ServiceSettings(Strict):
    title: str = ""
    delivered_by: Annotated[tuple[JobName, ...], Field(min_length=1)]
    """Terminal jobs: when all are done, it is delivered. Everything upstream belongs to it."""
    deadline: Deadline
    """By when: a time of day inside the business date's window, `{ time, day }` or `{ after_start, of }`."""
    slo: SloSettings | None = None
    """What the team aims at: a share of its days in time, and the error budget that this leaves."""
    sla: SlaSettings | None = None
    """What was agreed with those who wait for it."""
    timezone: Zone
    cutoff: TimeOfDay = time(12, 0)
    tier: Annotated[int, Field(ge=1, le=5)] = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    risk: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of nights that may be late."""
    false_alarm_days: Annotated[int, Field(ge=1, le=90)] = 30
    """One false alarm in so many days is put up with: from which P(late) on it is at risk is learned from that."""
    calendar: str = ""
    """The business dates that have a promise; empty: every one on which something of it runs."""
    ready: tuple[str, ...] = ()
    """Checks that must pass, after its jobs are done, before it counts as delivered."""


class RouteSettings(ToldSettings):
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
    noise_report: str = ""
    """Told once a week which alerts were noise; empty: nobody."""
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
    cards: tuple[Literal["owner", "runbook", "rerun"], ...] = ("owner", "runbook")
    """What people may say on a job's card, in the console or by "headway job", where [jobs] does not say it."""


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

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do, as its options have it."""
        return self.kind.capabilities - self._left_out.keys()

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Why it cannot do the rest, for people."""
        return {**self.kind.missing, **self._left_out}

    @property
    def _left_out(self) -> Mapping[Capability, str]:
        return self.kind.lacks(self.options) if self.kind.lacks is not None else {}


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
    rotas: Mapping[str, RotaSettings] = field(default_factory=dict)
    checks: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the checks by name, as `config.checks.KINDS` has them."""
    console: str = ""
    """Keys and views that all consoles share, as the store keeps them (`config.console_parts`)."""

    def routes_of(self, owner: str, notify: tuple[str, ...]) -> tuple[str, ...]:
        """The routes that a job or service names, and its owner's: a route of the owner's name."""
        return tuple(dict.fromkeys([*notify, *([owner] if owner in self.routes else [])]))
