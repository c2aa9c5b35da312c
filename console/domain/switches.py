"""Switches that survive a restart: the freeze, shadow and live modes, paused polling."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from console.domain.ids import utc_second
from console.domain.request import RequestKind
from console.domain.text import At, Clock, Text

FREEZE = "freeze"
"""On a shared store "freeze LOGIN": each login freezes in a row of its own, which no other can lock."""
MODE = "mode"
"""Of the whole estate: "shadow" or "live"; scoped switches override it."""
SCOPES = ("system", "service", "dependency")


POLICY, BREAKER = "policy", "breaker"
"""Switches "policy NAME": "paused" or "resumed"; "breaker NAME": "open" or "closed"."""


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
    policies: Mapping[str, SwitchState] = field(default_factory=dict)
    """Policies that a person paused or resumed."""
    breakers: Mapping[str, SwitchState] = field(default_factory=dict)
    """By policy: those that opened or that a person closed."""

    def system_is_live(self, system: str) -> bool:
        return self.scoped.get(switch_name("system", system), self.estate_live)

    def service_is_live(self, service: str) -> bool:
        return self.scoped.get(switch_name("service", service), self.estate_live)

    def dependency_is_live(self, upstream: str, downstream: str, system: str) -> bool:
        """True if Headway may hold and start `downstream` (of `system`) for this dependency; its own switch wins."""
        named = self.scoped.get(switch_name("dependency", upstream, downstream))
        return self.system_is_live(system) if named is None else named

    def policy_stop(self, policy: str) -> str:
        """Why the policy sends nothing until a person commands it; empty if it may."""
        paused, breaker = self.policies.get(policy), self.breakers.get(policy)
        if paused is not None and paused.value == "paused":
            return f"policy {policy} is paused by {paused.by}. Resume it: headway policy resume {policy}"
        if breaker is not None and self.breaker_is_open(policy):
            return f"the breaker of policy {policy} is open: {breaker.why}. Close it: headway policy close {policy}"
        return ""

    def policy_since(self, policy: str) -> datetime | None:
        """When a person last resumed the policy or closed its breaker: older failures are left to people."""
        switches = (self.policies.get(policy), self.breakers.get(policy))
        return max((switch.at for switch in switches if switch is not None and switch.at is not None), default=None)

    def breaker_is_open(self, policy: str) -> bool:
        state = self.breakers.get(policy)
        return state is not None and state.value == "open"

    @property
    def nothing_is_live(self) -> bool:
        """True if a stored mode puts the whole estate in shadow, without an exception."""
        return self.has_mode and not self.estate_live and not any(self.scoped.values())

    @property
    def in_shadow(self) -> tuple[str, ...]:
        """ "the whole estate", "the estate" with its live exceptions, or the scopes that are not live, by name."""
        live = sorted(name for name, is_live in self.scoped.items() if is_live)
        if self.estate_live:
            return tuple(sorted(self.scoped.keys() - set(live)))
        return (f"the estate, but for {', '.join(live)}" if live else "the whole estate",)

    def block_code(self, system: str) -> str:
        """ "frozen" or "shadow" while nothing is sent to this system; else empty."""
        if self.frozen is not None:
            return FROZEN
        return "" if self.system_is_live(system) else SHADOW

    def why_not_sent(self, system: str) -> str:
        """Why nothing is sent to this system now, with the fix; empty if actions may be sent."""
        if self.frozen is not None:
            return freeze_verdict(self.frozen)
        if not self.system_is_live(system):
            return f"{system} is in shadow: nothing is sent there. Turn it live: {go_live(system)}"
        return ""

    def unblocking(self, system: str) -> list[str]:
        """The commands after which actions are sent to this system; empty if they are sent now."""
        thaw = [THAW] if self.frozen is not None else []
        return thaw if self.system_is_live(system) else [*thaw, go_live(system)]


THAW = "headway freeze --off"
"""Ends the freeze, which refuses each command that sends an action."""


def go_live(system: str) -> str:
    """The command that ends the shadow mode of a system."""
    return f"headway shadow off --system {shlex.quote(system)}"


def format_freeze(frozen: SwitchState, clock: Clock = utc_second, state: str = "frozen") -> str:
    """ "frozen by alice since 2026-11-20 03:12:50Z: the network is being moved"."""
    since = f" since {clock(frozen.at)}" if frozen.at is not None else ""
    why = f": {frozen.why}" if frozen.why else ""
    return f"{state} by {frozen.by or 'somebody'}{since}{why}"


def freeze_verdict(frozen: SwitchState, clock: Clock = utc_second, state: str = "frozen") -> str:
    """The freeze, its effect and the command that ends it."""
    return f"{format_freeze(frozen, clock, state)}; no action is sent. Thaw: {THAW}"


def freeze_banner(frozen: SwitchState, clock: Clock) -> str:
    """The verdict as the warning above a screen: "FROZEN by alice since …"."""
    return freeze_verdict(frozen, clock, "FROZEN")


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
        policies=_named(switches, POLICY),
        breakers=_named(switches, BREAKER),
    )


def _named(switches: Mapping[str, SwitchState], kind: str) -> dict[str, SwitchState]:
    """The switches "kind NAME" by name."""
    return {name.removeprefix(f"{kind} "): state for name, state in switches.items() if name.startswith(f"{kind} ")}


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
    def text(self) -> Text:
        """ "polling paused by mara until 06:26: db07 gets a new disk"."""
        why = f": {self.why}" if self.why else ""
        return f"polling paused by {self.by or 'somebody'} until ", At(self.until), why


SHADOW_EVENTS = {"shadow_notified": "notified", "shadow_held": "held", "shadow_started": "started"}
"""Kind of an event that a shadow prevented -> its verb."""


def polling_switch(system: str) -> str:
    return f"{POLLING_SWITCH} {system}"


def pause_length_fault(length: timedelta) -> str:
    """Why a pause cannot last that long; empty if it can."""
    if timedelta(0) < length <= MAX_PAUSE:
        return ""
    return "write more than 0 and at most 7d; to stop watching for longer, remove the system from the config"
