"""The header of every screen, and the engine as it shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from console.domain.ids import incident_name
from console.domain.switches import SwitchState, SystemPause

MAX_SILENCED = 3
"""Silenced incidents named in the banner."""


def split_holder(holder: str) -> tuple[str, str]:
    """Host and process of a holder's name: "db-ops" and "4711" of "db-ops:4711~3f0a91"."""
    host, _, process = holder.rpartition(":")
    return host, process.partition("~")[0]


def lease_holder_text(holder: str) -> str:
    """The holder of a lease for people: "db-ops, process 4711" for "db-ops:4711~3f0a91"."""
    host, process = split_holder(holder)
    return f"{host}, process {process}" if host and process.isdigit() else holder


class EngineView(NamedTuple):
    """The holder of the engine's lease. `alive` is judged on real time, not on a replay's clock."""

    holder: str
    since: datetime | None
    heartbeat: datetime | None
    alive: bool
    trouble: str = ""
    """Part that broke lately and why, though the engine works; empty if all is well."""
    stuck: str = ""
    """Why starting another engine would not help: its process lives but cannot write, or the disk is full. Empty if one
    may be started."""

    @property
    def stopped_at(self) -> datetime | None:
        """Last heartbeat of an engine that no longer runs, the time of its last decisions."""
        return None if self.alive else self.heartbeat


class EngineShare(NamedTuple):
    """An engine of a shared store, and its share of the polling."""

    holder: str
    since: datetime
    heartbeat: datetime
    heartbeat_age_s: float
    """By real time, also in a replay."""
    alive: bool
    leads: bool
    """True if it holds the lease: it decides and notifies."""
    shards: int
    trouble: str = ""
    """Why it polls nothing, or what fails in its polling; empty if all is well."""
    hand_overs: int = 0
    """How many shards it has claimed since it joined that were held before, by any engine: after a restart, all of
    them."""
    handed_over: datetime | None = None
    """When it claimed the last of them."""

    @property
    def host(self) -> str:
        return split_holder(self.holder)[0]

    @property
    def process(self) -> str:
        return split_holder(self.holder)[1]

    @property
    def role(self) -> str:
        if not self.alive:
            return "no heartbeat"
        return "leads" if self.leads else "polls" if self.shards else "idle"


def unseen_status(error_kind: str, *, is_failing: bool) -> str:
    """Of a target without a recent poll: "unreachable" if it does not answer, else the kind of its error, "refused";
    "not seen" if no poll failed."""
    return error_kind or ("unreachable" if is_failing else "not seen")


class UnseenTarget(NamedTuple):
    """A target whose polls fail, or that was not seen for three intervals."""

    name: str
    """ "etl-hosts/db07"."""
    last_ok: datetime | None
    status: str
    """As `unseen_status` has it: "unreachable", "refused"."""
    failing_since: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """The last time it worked: a target whose scheduler stopped is still polled. None if it never did."""
        return min(self.last_ok, self.failing_since or self.last_ok) if self.last_ok is not None else None


class PausedPlan(NamedTuple):
    """A plan that a person paused."""

    id: int
    done: int
    """Verified steps."""
    steps: int

    @property
    def text(self) -> str:
        return f"Plan {self.id} is paused at {self.done} of {self.steps} step{'s' * (self.steps != 1)}"


class HeaderView(NamedTuple):
    """The one line above every screen."""

    estate: str
    engine: EngineView
    open_incidents: int
    at_risk: int
    """Undelivered services of the current business dates that are AT_RISK, WILL_MISS, BREACHED or without an estimate.
    """
    unseen_targets: tuple[UnseenTarget, ...]
    """The one seen least recently first."""
    jobs: int
    replay: bool
    """True if the store has a clock row."""
    late: int = 0
    """Those of `at_risk` that are BREACHED."""
    no_estimate: int = 0
    """Those of `at_risk` without an estimate, because of an open incident."""
    lost: int = 0
    """Those of `at_risk` that are WILL_MISS."""
    frozen: SwitchState | None = None
    """The freeze; None without one."""
    in_shadow: tuple[str, ...] = ()
    """ "the whole estate", or scoped names ("system etl-hosts"); empty if all is live."""
    silenced: tuple[tuple[int, str], ...] = ()
    """The first open incidents with a notification suppressed by a silence, each with the silence; one more than
    MAX_SILENCED if there are more."""
    stopped_plans: tuple[int, ...] = ()
    """Plans that wait for a person to resume or abort them."""
    paused_plans: tuple[PausedPlan, ...] = ()
    """Without those that await approval."""
    paused: tuple[SystemPause, ...] = ()
    """Paused systems, by name."""
    config: str = ""
    """Digest of the config in effect."""
    config_since: datetime | None = None
    console: str = ""
    """Keys and views that the config has for every console."""

    @property
    def dangers(self) -> tuple[tuple[int, str], ...]:
        """(number of services, label), the worst first; "at risk" last, also with 0."""
        rest = max(0, self.at_risk - self.late - self.lost - self.no_estimate)
        worse = ((self.late, "breached"), (self.lost, "will miss"), (self.no_estimate, "no estimate"))
        return (*((number, label) for number, label in worse if number), (rest, "at risk"))


def silenced_text(silenced: Sequence[tuple[int, str]]) -> str:
    """ "SILENCED: INC-0001 (silence 3 of anna: planned); list: headway silence", for several incidents without the
    silence; empty without one. `silenced`: that of a `HeaderView`."""
    names = [incident_name(number) for number, _ in silenced]
    why = f" ({silenced[0][1]})" if len(silenced) == 1 else ""
    further = " and more" if len(names) > MAX_SILENCED else ""
    return f"SILENCED: {', '.join(names[:MAX_SILENCED])}{why}{further}; list: headway silence" if names else ""


def unseen_targets_text(header: HeaderView, clock: Callable[[datetime], str]) -> str:
    """ "2 targets are unreachable, 1 target is not polled (paused by mara until 06:26)"; empty if all are polled."""
    pauses = {pause.system: pause for pause in header.paused}
    by_system = [(target.name.partition("/")[0], target.status) for target in header.unseen_targets]
    paused = [pauses[system] for system, _ in by_system if system in pauses]
    by = {pause.system: f"{pause.by} until {clock(pause.until)}" for pause in paused}
    lost = Counter(status for system, status in by_system if system not in pauses)
    texts = [f"{_targets(number)} {status}" for status, number in lost.items()]
    if paused:
        pause = f"paused by {by.popitem()[1]}" if len(by) == 1 else "paused"
        texts.append(f"{_targets(len(paused))} not polled ({pause})")
    return ", ".join(texts)


def _targets(number: int) -> str:
    return "1 target is" if number == 1 else f"{number} targets are"
