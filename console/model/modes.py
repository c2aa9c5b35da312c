"""What may leave Headway now: the freeze, and what is still in shadow. Read from the store's `switch` rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from console.model.promises import service_of

FREEZE = "freeze"
MODE = "mode"
"""Of the whole estate: "shadow" or "live"; scoped switches win over it."""
SCOPES = ("system", "service", "dependency")


@dataclass(frozen=True, slots=True)
class Switched:
    """One switch as somebody turned it."""

    value: str
    by: str = ""
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Modes:
    """Every switch. Without any, everything is live and nothing is frozen."""

    frozen: Switched | None = None
    estate_live: bool = True
    scoped: dict[str, bool] = field(default_factory=dict)
    """`scope_name` -> live; what is not named here is as the estate is."""

    def system_is_live(self, system: str) -> bool:
        return self.scoped.get(scope_name("system", system), self.estate_live)

    def service_is_live(self, service: str) -> bool:
        """A submission of a service that is promised end to end is as its service."""
        return self.scoped.get(scope_name("service", service_of(service)), self.estate_live)

    def dependency_is_live(self, upstream: str, downstream: str, system: str) -> bool:
        """Whether Headway may hold and start `downstream` (of `system`) for this dependency; its own word wins."""
        named = self.scoped.get(scope_name("dependency", upstream, downstream))
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
            return f"{frozen_words(self.frozen)}; nothing is sent. Thaw: headway freeze --off"
        if not self.system_is_live(system):
            return f"{system} is in shadow: nothing is sent there. Turn it live: headway shadow off --system {system}"
        return ""


def frozen_words(frozen: Switched) -> str:
    """ "frozen by alice since 2026-11-20 03:12Z: the network is being moved"."""
    since = f" since {frozen.at:%Y-%m-%d %H:%M}Z" if frozen.at is not None else ""
    why = f": {frozen.why}" if frozen.why else ""
    return f"frozen by {frozen.by or 'somebody'}{since}{why}"


def scope_name(scope: str, *names: str) -> str:
    """The switch of a scope: "system etl-hosts", "service supply-plan", "dependency a/x -> b/y"."""
    if scope not in SCOPES:
        raise ValueError(f'no scope "{scope}"; there are {", ".join(SCOPES)}')
    return f"{scope} {' -> '.join(names)}"


def modes_of(rows: Iterable[tuple[str, Switched]]) -> Modes:
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
