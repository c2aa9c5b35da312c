"""Validated config as plain values, without secrets and connector options. `Declared` is one document in the store, so
that every engine and screen decides by the same settings; the defaults of its fields mean "nothing declared", which
keeps older stores readable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import NamedTuple

from console.domain.access import ActingRules, PermissionRule
from console.domain.alert import NO_ALERTING, AlertingSettings
from console.domain.calendar import Calendar, MaintenanceWindow, PlannedException
from console.domain.check import Check
from console.domain.dependency import PLAIN_REQUIREMENT, DependencyMode, EngineDown, Requirement
from console.domain.finding import RuleSetting
from console.domain.job import Safety
from console.domain.policy import Policy
from console.domain.promise import PLAIN_PROMISE, Promise


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """`[retention]`: how long the store keeps what has ended; open work and the audit stay."""

    runs: timedelta = timedelta(days=90)
    """Runs with their attempts, and expected runs that were judged."""
    log_tails: timedelta = timedelta(days=30)
    """Ends of logs of failed runs."""
    incidents: timedelta = timedelta(days=400)
    """Closed incidents with their events and notifications; findings."""
    actions: timedelta = timedelta(days=400)
    """Ended actions, holds and plans; the audit keeps who did what."""
    job_days: timedelta = timedelta(days=1826)
    """Daily figures of each job, for dates whose runs are deleted."""


class JobPool(NamedTuple):
    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """One `[pools.NAME]`."""

    name: str
    jobs: tuple[str, ...]
    """Patterns of names, `*` for any text: each of their runs takes a slot. A job is in the first pool that names
    it."""
    slots: int
    """How many of them run at once; the others wait, first come, first served."""


@dataclass(frozen=True, slots=True)
class Declared:
    """In the order of its file; names are unique within a field."""

    calendars: tuple[Calendar, ...] = ()
    checks: tuple[Check, ...] = ()
    rules: tuple[RuleSetting, ...] = ()
    alerting: AlertingSettings = NO_ALERTING
    policies: tuple[Policy, ...] = ()

    maintenance: tuple[MaintenanceWindow, ...] = ()
    exceptions: tuple[PlannedException, ...] = ()
    pools: tuple[DeclaredPool, ...] = ()
    rejected_dependencies: tuple[tuple[str, str], ...] = ()
    """(upstream, downstream) that are never suggested."""
    endpoints: tuple[tuple[str, str], ...] = ()
    """(target, its address and port), where several systems may share them: ("etl-hosts/db07", "db07:22")."""

    def calendar(self, name: str) -> Calendar | None:
        return next((calendar for calendar in self.calendars if calendar.name == name), None)

    def check(self, name: str) -> Check | None:
        return next((check for check in self.checks if check.name == name), None)

    def policy(self, name: str) -> Policy | None:
        return next((policy for policy in self.policies if policy.name == name), None)


NOTHING_DECLARED = Declared()


@dataclass(frozen=True, slots=True)
class SystemSetting:
    """One `[systems.NAME]`."""

    name: str
    kind: str
    targets: tuple[str, ...]
    """Names of its hosts, databases, or the one API."""
    zone: str = "UTC"
    cutoff: time = time(12)
    poll_every: timedelta = timedelta(seconds=15)
    capabilities: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    """Capability -> why it is missing, for people."""
    starts_held: bool = False
    """Its kind can start a held job."""
    start_within: timedelta = timedelta()
    """As `ConnectorKind` has it."""
    dates_runs: bool = False
    """As `ConnectorKind` has it."""


@dataclass(frozen=True, slots=True)
class JobBudget:
    """Limits of one run; exceeding one is a finding. None: no limit."""

    time: timedelta | None = None
    """Limit for all attempts together."""
    cost: float | None = None
    """In the unit of its source: `cost` in the context of its attempts."""


@dataclass(frozen=True, slots=True)
class JobSetting:
    """One `[jobs."NAME"]`: "system/native-id"; `*` for any text. None: not set here. Later settings win."""

    name: str
    owner: str | None = None
    """The responsible team; its route has the same name."""
    expected: timedelta | None = None
    """How long it takes, until there is history; displayed as declared."""
    runbook: str | None = None
    rerun: Safety | None = None
    grace: timedelta | None = None
    """How late a start may be before it counts as missed."""
    notify: tuple[str, ...] | None = None
    """Routes, besides the owner's."""
    calendar: str | None = None
    """Days on which runs are expected; on all others none is missed. Empty: as scheduled."""
    budget: JobBudget = JobBudget()


@dataclass(frozen=True, slots=True)
class DependencySetting:
    """One `[[dependencies]]`: job names, "system/native-id"."""

    upstream: str
    downstream: str
    mode: DependencyMode = DependencyMode.OBSERVE
    engine_down: EngineDown = EngineDown.OPEN
    hold_for: timedelta = timedelta(hours=6)
    wants: Requirement = PLAIN_REQUIREMENT


@dataclass(frozen=True, slots=True)
class ServiceSetting:
    """One `[services.NAME]`."""

    name: str
    title: str
    delivered_by: tuple[str, ...]
    """Names of its terminal jobs: when all are done, it is delivered. Everything upstream belongs to it."""
    deadline: time
    """In the zone; the cutoff where the promise has another deadline."""
    zone: str
    cutoff: time = time(12)
    tier: int = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    promise: Promise = PLAIN_PROMISE
    calendar: str = ""
    """The business dates that have a promise; empty: every one on which something of it runs."""
    ready: tuple[str, ...] = ()
    """Checks that must pass, after its jobs are done, before it counts as delivered."""


@dataclass(frozen=True, slots=True)
class EstateSettings:
    systems: tuple[SystemSetting, ...] = ()
    jobs: tuple[JobSetting, ...] = ()
    dependencies: tuple[DependencySetting, ...] = ()
    services: tuple[ServiceSetting, ...] = ()
    permissions: tuple[PermissionRule, ...] = ()
    rules: ActingRules = field(default_factory=ActingRules)
    declared: Declared = NOTHING_DECLARED
    name: str = ""
    """The estate's name, shown in the header."""
    starts_in: str = "live"
    """The mode of a store that has none yet: "shadow" or "live"."""
    digest: str = ""
    """Of the config files; kept in `meta`."""
    console: str = ""
    """Keys and views that all consoles share; kept in `meta`."""
