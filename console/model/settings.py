"""The checked settings as plain values, as `store.config_sync` writes them: no secret, no connector option in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta

from console.model.declared import NOTHING, Declared
from console.model.promises import PLAIN, Promise
from console.model.rights import Permission, Rules
from console.model.wants import PLAINLY, Wants
from console.model.words import EngineDown, Mode, Safety


@dataclass(frozen=True, slots=True)
class SystemSetting:
    """One `[systems.NAME]`."""

    name: str
    kind: str
    targets: tuple[str, ...]
    """Names of what is polled on its own: hosts, databases, or the one API."""
    zone: str = "UTC"
    cutoff: time = time(12)
    poll_every: timedelta = timedelta(seconds=15)
    capabilities: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    """Capability -> why it is missing, for people."""
    starts_held: bool = False
    """Its kind can start what is held."""


@dataclass(frozen=True, slots=True)
class JobSetting:
    """One `[jobs."PATTERN"]`. None: not said here, the default or what the source says holds.

    `pattern` is "system/native-id"; `*` stands for any text. Later settings win over earlier ones."""

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
    mode: Mode = Mode.OBSERVE
    engine_down: EngineDown = EngineDown.OPEN
    hold_lead: timedelta = timedelta(minutes=10)
    hold_for: timedelta = timedelta(hours=6)
    wants: Wants = PLAINLY


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
    promise: Promise = PLAIN
    calendar: str = ""
    ready: tuple[str, ...] = ()
    """Names of checks."""


@dataclass(frozen=True, slots=True)
class EstateSettings:
    """All of one config."""

    systems: tuple[SystemSetting, ...] = ()
    jobs: tuple[JobSetting, ...] = ()
    dependencies: tuple[DependencySetting, ...] = ()
    services: tuple[ServiceSetting, ...] = ()
    permissions: tuple[Permission, ...] = ()
    rules: Rules = field(default_factory=Rules)
    declared: Declared = NOTHING
    name: str = ""
    """The estate's name, shown in the header."""
    starts_in: str = "live"
    """The mode of a store that has none yet: "shadow" or "live"."""
    digest: str = ""
    """Of the config files; kept in `meta`."""
    console: str = ""
    """Keys and views that all consoles share; kept in `meta`."""
