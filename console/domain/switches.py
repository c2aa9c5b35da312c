"""Switches that survive a restart: the freeze, shadow and live modes, paused polling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from console.domain.ids import utc_minute, utc_second
from console.domain.request import RequestKind
from console.domain.service import service_of_instance

FREEZE = "freeze"
"""On a shared store "freeze LOGIN": each login freezes in a row of its own, which no other can lock."""
MODE = "mode"
"""Of the whole estate: "shadow" or "live"; scoped switches override it."""
SCOPES = ("system", "service", "dependency")


FROZEN, SHADOW = "frozen", "shadow"
"""Codes of a refusal, in the detail of its audit entry."""


@dataclass(frozen=True, slots=True)
class SwitchState:
    value: str
    by: str = ""
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Modes:
    """Every switch. Nothing is frozen by default. Without a mode in the store everything is in shadow."""

    frozen: SwitchState | None = None
    estate_live: bool = True
    has_mode: bool = True
    """False before the engine has stored a config's mode: actions are in shadow, its alerts about itself are not."""
    scoped: dict[str, bool] = field(default_factory=dict)
    """`switch_name` -> live; other scopes follow the estate."""

    def system_is_live(self, system: str) -> bool:
        return self.scoped.get(switch_name("system", system), self.estate_live)

    def service_is_live(self, service: str) -> bool:
        """A submission is live like its service."""
        return self.scoped.get(switch_name("service", service_of_instance(service)), self.estate_live)

    def dependency_is_live(self, upstream: str, downstream: str, system: str) -> bool:
        """True if Headway may hold and start `downstream` (of `system`) for this dependency; its own switch wins."""
        named = self.scoped.get(switch_name("dependency", upstream, downstream))
        return self.system_is_live(system) if named is None else named

    @property
    def nothing_is_live(self) -> bool:
        """True if a stored mode puts the whole estate in shadow, without an exception."""
        return self.has_mode and not self.estate_live and not any(self.scoped.values())

    @property
    def in_shadow(self) -> tuple[str, ...]:
        """ "the estate" with its live exceptions, or the scopes that are not live, by name."""
        live = sorted(name for name, is_live in self.scoped.items() if is_live)
        if self.estate_live:
            return tuple(sorted(self.scoped.keys() - set(live)))
        return (f"the estate, but for {', '.join(live)}" if live else "the estate",)

    def block_code(self, system: str) -> str:
        """ "frozen" or "shadow" while nothing is sent to this system; else empty."""
        if self.frozen is not None:
            return FROZEN
        return "" if self.system_is_live(system) else SHADOW

    def why_not_sent(self, system: str) -> str:
        """Why nothing is sent to this system now, with the fix; empty if actions may be sent."""
        if self.frozen is not None:
            return freeze_verdict(format_freeze(self.frozen))
        if not self.system_is_live(system):
            return f"{system} is in shadow: nothing is sent there. Turn it live: headway shadow off --system {system}"
        return ""


THAW = "headway freeze --off"
"""Ends the freeze, which refuses each command that sends an action."""


def format_freeze(frozen: SwitchState) -> str:
    """ "frozen by alice since 2026-11-20 03:12:50Z: the network is being moved"."""
    since = f" since {utc_second(frozen.at)}" if frozen.at is not None else ""
    why = f": {frozen.why}" if frozen.why else ""
    return f"frozen by {frozen.by or 'somebody'}{since}{why}"


def freeze_verdict(frozen: str) -> str:
    """The freeze (`format_freeze`), its effect and the command that ends it."""
    return f"{frozen}; no action is sent. Thaw: {THAW}"


def freeze_banner(frozen: str) -> str:
    """The verdict as the warning above a screen: "FROZEN by alice since …"."""
    return freeze_verdict(f"FROZEN{frozen.removeprefix('frozen')}")


def switch_name(scope: str, *names: str) -> str:
    """The switch of a scope: "system etl-hosts", "service supply-plan", "dependency a/x -> b/y"."""
    if scope not in SCOPES:
        raise ValueError(f'no scope "{scope}"; there are {", ".join(SCOPES)}')
    return f"{scope} {' -> '.join(names)}"


def parse_modes(rows: Iterable[tuple[str, SwitchState]]) -> Modes:
    """From the switches by name; unknown names are ignored."""
    switches = dict(rows)
    frozen = [switch for name, switch in switches.items() if name.partition(" ")[0] == FREEZE and switch.value == "on"]
    estate = switches.get(MODE)
    scoped = {name for name in switches if name.partition(" ")[0] in SCOPES and " " in name}
    return Modes(
        frozen=frozen[0] if frozen else None,
        estate_live=estate is not None and estate.value == "live",
        has_mode=estate is not None,
        scoped={name: switch.value == "live" for name, switch in switches.items() if name in scoped},
    )


_SWITCH_REQUESTS = {
    "on": RequestKind.FREEZE, "off": RequestKind.THAW, "shadow": RequestKind.SHADOW_ON, "live": RequestKind.SHADOW_OFF
}  # fmt: skip


def switch_request(name: str, value: str) -> RequestKind:
    """The request that sets the switch to this value. Raises ValueError for a value that it cannot have."""
    request = _SWITCH_REQUESTS.get(value)
    if request is None or (name == FREEZE) != (request in (RequestKind.FREEZE, RequestKind.THAW)):
        raise ValueError(f'the switch "{name}" cannot be "{value}"')
    return request


POLLING_SWITCH = "polling"
"""The switch "polling SYSTEM" has no value: its `until_us` is the time at which polling resumes; None: not paused."""
DEFAULT_PAUSE = timedelta(hours=2)
MAX_PAUSE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SystemPause:
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
        return self.text_until(utc_minute(self.until))

    def text_until(self, until: str) -> str:
        """`text` with this time as its end."""
        why = f": {self.why}" if self.why else ""
        return f"polling paused by {self.by or 'somebody'} until {until}{why}"


def polling_switch(system: str) -> str:
    return f"{POLLING_SWITCH} {system}"


def pause_length_fault(length: timedelta) -> str:
    """Why a pause cannot last that long; empty if it can."""
    if timedelta(0) < length <= MAX_PAUSE:
        return ""
    return "write more than 0 and at most 7d; to stop watching for longer, remove the system from the config"
