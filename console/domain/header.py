"""The header of every screen, and the engine as it shows it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from console.domain.switches import SystemPause


class EngineView(NamedTuple):
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


class HeaderView(NamedTuple):
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
    in_doubt: int = 0
    """How many of `at_risk` have no estimate: an open incident hurts them, nobody can tell by how much."""
    lost: int = 0
    """How many of `at_risk` are WILL_MISS: their deadline is ahead, and nothing in hand meets it."""
    frozen: str = ""
    """Since when, by whom and why nothing is sent; empty when it is."""
    in_shadow: tuple[str, ...] = ()
    """What is watched only: "the estate", or scoped names ("system etl-hosts"); empty when all is live."""
    stopped_plans: tuple[int, ...] = ()
    """Numbers of plans that wait for a person to resume or abort them."""
    paused: tuple[SystemPause, ...] = ()
    """Systems whose polls a person paused, by name."""
    config: str = ""
    """Digest of the config that the store has: the one an engine works by, or worked by last."""
    config_since: datetime | None = None
    """When that took the place of another."""
    console: str = ""
    """Keys and views that config has for every console (`console.config.preferences`)."""

    @property
    def dangers(self) -> tuple[tuple[int, str], ...]:
        """How many services stand how, the worst first; those that are merely at risk last, also where none is."""
        rest = max(0, self.at_risk - self.late - self.lost - self.in_doubt)
        worse = ((self.late, "late"), (self.lost, "will miss"), (self.in_doubt, "no estimate"))
        return (*((number, word) for number, word in worse if number), (rest, "at risk"))
