"""Switches that survive a restart: the freeze, shadow and live modes, paused polling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from console.domain.service import service_of_instance

FREEZE = "freeze"
MODE = "mode"
"""Of the whole estate: "shadow" or "live"; scoped switches win over it."""
SCOPES = ("system", "service", "dependency")


@dataclass(frozen=True, slots=True)
class SwitchState:
    """One switch as somebody turned it."""

    value: str
    by: str = ""
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Modes:
    """Every switch. Without any, everything is live and nothing is frozen."""

    frozen: SwitchState | None = None
    estate_live: bool = True
    scoped: dict[str, bool] = field(default_factory=dict)
    """`scope_name` -> live; what is not named here is as the estate is."""

    def system_is_live(self, system: str) -> bool:
        return self.scoped.get(switch_name("system", system), self.estate_live)

    def service_is_live(self, service: str) -> bool:
        """A submission of a service that is promised end to end is as its service."""
        return self.scoped.get(switch_name("service", service_of_instance(service)), self.estate_live)

    def dependency_is_live(self, upstream: str, downstream: str, system: str) -> bool:
        """Whether Headway may hold and start `downstream` (of `system`) for this dependency; its own word wins."""
        named = self.scoped.get(switch_name("dependency", upstream, downstream))
        return self.system_is_live(system) if named is None else named

    @property
    def nothing_is_live(self) -> bool:
        """The whole estate is in shadow, without an exception."""
        return not self.estate_live and not any(self.scoped.values())

    @property
    def in_shadow(self) -> tuple[str, ...]:
        """What is watched only: "the estate", less what is live in it, or the scopes that are not live, by name."""
        live = sorted(name for name, is_live in self.scoped.items() if is_live)
        if self.estate_live:
            return tuple(sorted(self.scoped.keys() - set(live)))
        return (f"the estate, but for {', '.join(live)}" if live else "the estate",)

    def why_not_sent(self, system: str) -> str:
        """Why nothing is sent to this system's scheduler now, with the mend; empty when it may be."""
        if self.frozen is not None:
            return f"{format_freeze(self.frozen)}; nothing is sent. Thaw: headway freeze --off"
        if not self.system_is_live(system):
            return f"{system} is in shadow: nothing is sent there. Turn it live: headway shadow off --system {system}"
        return ""


def format_freeze(frozen: SwitchState) -> str:
    """ "frozen by alice since 2026-11-20 03:12Z: the network is being moved"."""
    since = f" since {frozen.at:%Y-%m-%d %H:%M}Z" if frozen.at is not None else ""
    why = f": {frozen.why}" if frozen.why else ""
    return f"frozen by {frozen.by or 'somebody'}{since}{why}"


def switch_name(scope: str, *names: str) -> str:
    """The switch of a scope: "system etl-hosts", "service supply-plan", "dependency a/x -> b/y"."""
    if scope not in SCOPES:
        raise ValueError(f'no scope "{scope}"; there are {", ".join(SCOPES)}')
    return f"{scope} {' -> '.join(names)}"


def parse_modes(rows: Iterable[tuple[str, SwitchState]]) -> Modes:
    """From the switches by name; a name that this version does not know is nobody's."""
    found = dict(rows)
    frozen = found.get(FREEZE)
    estate = found.get(MODE)
    return Modes(
        frozen=frozen if frozen is not None and frozen.value == "on" else None,
        estate_live=estate is None or estate.value == "live",
        scoped={
            name: one.value == "live" for name, one in found.items() if name.partition(" ")[0] in SCOPES and " " in name
        },
    )


POLLING_SWITCH = "polling"
"""Of a system: the switch "polling NAME", on whose value polling begins again by itself; empty: it goes on."""
DEFAULT_PAUSE = timedelta(hours=2)
MAX_PAUSE = timedelta(days=7)


BACKOFF_CAP_SECONDS = 300.0


def poll_interval_seconds(every_s: float, failures: int) -> float:
    """From one poll to the next, after so many that failed in a row: twice as long with each of the first four."""
    return min(every_s * 2.0 ** min(failures, 4), max(BACKOFF_CAP_SECONDS, every_s))


@dataclass(frozen=True, slots=True)
class SystemPause:
    """Who stopped the polls of a system, since when, until when and why."""

    system: str
    by: str
    why: str
    at: datetime | None
    until: datetime

    def lasts(self, now: datetime) -> bool:
        return now < self.until

    @property
    def text(self) -> str:
        """ "polling paused by mara until 2026-11-20 06:26Z: db07 gets a new disk"."""
        return self.text_until(f"{self.until:%Y-%m-%d %H:%M}Z")

    def text_until(self, until: str) -> str:
        """`words` with the end of it as somebody's wall clock shows it."""
        why = f": {self.why}" if self.why else ""
        return f"polling paused by {self.by or 'somebody'} until {until}{why}"


def polling_switch(system: str) -> str:
    """The name of the switch."""
    return f"{POLLING_SWITCH} {system}"


def parse_pause(system: str, value: str | None, by: str, why: str, at: datetime | None) -> SystemPause | None:
    """From the switch's row; None where it is polled, or the row says nothing that can be read."""
    try:
        until = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return SystemPause(system, by, why, at, until if until.tzinfo else until.replace(tzinfo=UTC))


def pause_length_fault(length: timedelta) -> str:
    """Why polls cannot be paused for so long; empty where they can."""
    if timedelta(0) < length <= MAX_PAUSE:
        return ""
    return "more than nothing and at most 7d: what is not to be watched for longer is taken out of the config"
