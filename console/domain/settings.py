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
from console.domain.promise import PLAIN_PROMISE, Promise


@dataclass(frozen=True, slots=True)
class IncidentGrouping:
    """`[incidents]`: grouping and reopening."""

    reopen_within: timedelta = timedelta(hours=2)
    """The same root red again this soon after its incident closed reopens it."""
    shared_jobs: int = 3
    """This many jobs that name the same host, database or credential are one incident."""
    shared_within: timedelta = timedelta(minutes=15)
    """If they turned red this close together."""
    steady_for: timedelta = timedelta(minutes=30)
    """After two reopenings it is notified again once red or green for this long; at most `reopen_within`."""


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """`[retention]`: how long the store keeps what has ended."""

    runs: timedelta = timedelta(days=90)
    """Runs with their attempts, and expected runs that were judged."""
    log_tails: timedelta = timedelta(days=30)
    incidents: timedelta = timedelta(days=400)
    """Closed incidents with their events and notifications; findings."""
    actions: timedelta = timedelta(days=400)
    """Actions, holds and plans."""
    job_days: timedelta = timedelta(days=1826)
    """Daily figures of each job."""


class JobPool(NamedTuple):
    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """One `[pools.NAME]`."""

    name: str
    jobs: tuple[str, ...]
    """Patterns of names, `*` for any text."""
    slots: int


@dataclass(frozen=True, slots=True)
class Declared:
    """In the order of its file; names are unique within a field."""

    calendars: tuple[Calendar, ...] = ()
    incidents: IncidentGrouping = field(default_factory=IncidentGrouping)
    checks: tuple[Check, ...] = ()
    rules: tuple[RuleSetting, ...] = ()
    alerting: AlertingSettings = NO_ALERTING

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
class JobSetting:
    """One `[jobs."PATTERN"]`: "system/native-id"; `*` for any text. None: not set here. Later settings win."""

    pattern: str
    owner: str | None = None
    expected: timedelta | None = None
    runbook: str | None = None
    rerun: Safety | None = None
    grace: timedelta | None = None
    notify: tuple[str, ...] | None = None
    calendar: str | None = None
    budget_time: timedelta | None = None
    budget_cost: float | None = None


@dataclass(frozen=True, slots=True)
class DependencySetting:
    """One `[[dependencies]]`: job names, "system/native-id"."""

    upstream: str
    downstream: str
    mode: DependencyMode = DependencyMode.OBSERVE
    engine_down: EngineDown = EngineDown.OPEN
    hold_lead: timedelta = timedelta(minutes=10)
    hold_for: timedelta = timedelta(hours=6)
    wants: Requirement = PLAIN_REQUIREMENT


@dataclass(frozen=True, slots=True)
class ServiceSetting:
    """One `[services.NAME]`."""

    name: str
    title: str
    delivered_by: tuple[str, ...]
    """Names of its terminal jobs."""
    deadline: time
    zone: str
    cutoff: time = time(12)
    tier: int = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    risk: float = 0.1
    promise: Promise = PLAIN_PROMISE
    calendar: str = ""
    ready: tuple[str, ...] = ()
    """Names of checks."""


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
