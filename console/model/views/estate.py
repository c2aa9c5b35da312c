"""What stands above every screen, and what is polled: the header, the engine, targets, drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class EngineView:
    """Who holds the engine's lease. `alive` is judged on real time, not on a replay's clock."""

    holder: str
    since: datetime | None
    heartbeat: datetime | None
    alive: bool
    trouble: str = ""
    """Which of its parts broke lately and why, though it works; empty when all is well."""
    stuck: str = ""
    """Why another engine would help nothing though this one does not work: its process lives and cannot write, or the
    store's disk is full. Empty where one may be started."""


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The one line above every screen."""

    estate: str
    engine: EngineView
    open_incidents: int
    at_risk: int
    """Services of the current business dates that are not delivered, and AT_RISK, WILL_MISS, BREACHED or in doubt."""
    sick_targets: tuple[tuple[str, datetime | None], ...]
    """("etl-hosts/db07", last ok), worst first."""
    jobs: int
    replay: bool
    """True when the store has a clock row: a replay, not the present."""
    late: int = 0
    """How many of `at_risk` are BREACHED: their deadline has passed."""
    frozen: str = ""
    """Since when, by whom and why nothing is sent; empty when it is."""
    in_shadow: tuple[str, ...] = ()
    """What is watched only: "the estate", or scoped names ("system etl-hosts"); empty when all is live."""
    stopped_plans: tuple[int, ...] = ()
    """Numbers of plans that wait for a person to resume or abort them."""
    config: str = ""
    """Digest of the config that the store has: the one an engine works by, or worked by last."""
    config_since: datetime | None = None
    """When that took the place of another."""


@dataclass(frozen=True, slots=True)
class TargetView:
    """What is polled on its own, and how it is."""

    system: str
    kind: str
    name: str
    last_ok: datetime | None
    failing_since: datetime | None
    error: str
    error_kind: str
    skew_s: float | None
    zone: str
    poll_ms: float | None
    poll_every_s: float
    skipped: int
    skipped_words: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    rights: tuple[dict[str, object], ...]
    """As the last probe told them: {"name", "held", "why", "mend", "needed_for"}."""
    jobs: int
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    lost: tuple[datetime, datetime] | None = None
    """The last window whose evidence is lost for good."""


@dataclass(frozen=True, slots=True)
class DriftView:
    """A definition that changed at its source."""

    id: int
    job: str
    what: str
    words: str
    seen: datetime
