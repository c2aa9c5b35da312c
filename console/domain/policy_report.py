"""Reports of policies: the repairs that each sent, and those in shadow, compared with those that people sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from console.domain.failure import FailureSignature
from console.domain.policy import Policy, PolicyRepair
from console.domain.switches import Modes
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.domain.estate import JobFacts, RunFacts


class RepairResult(StrEnum):
    """The outcome of a repair; in shadow, of the same repair by a person, who sent it later."""

    RIGHT = "right"
    """It succeeded."""
    WRONG = "wrong"
    """The run failed again."""
    NEEDLESS = "needless"
    """The run succeeded before the policy's next repair, without an action of Headway: its scheduler or a person at its
    source repeated it."""
    UNKNOWN = "unknown"
    """The run is red, or was repaired otherwise, or the outcome is unknown. Of a repair that was sent: it is in flight,
    or was refused or withdrawn."""


@dataclass(frozen=True, slots=True)
class ReportedRepair:
    """A recorded repair; in shadow, with the first repair of its run by a person before the policy's next one."""

    repair: PolicyRepair
    incident_id: int
    job: str
    sent: datetime | None
    """When the person sent it; None without one."""
    by: str
    result: RepairResult

    @property
    def saved(self) -> timedelta:
        """How much later the person sent it, if it was right in shadow; else zero."""
        if self.result is not RepairResult.RIGHT or self.sent is None or self.repair.action is not None:
            return timedelta(0)
        return self.sent - self.repair.at


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """A failed attempt of a run, as the store keeps it, for the replay of a policy."""

    signature: FailureSignature
    job: JobFacts
    """As it is now."""
    run: RunFacts
    """As it was once the attempt had failed."""
    reported: ReportedRepair
    """A repair in shadow at the time of the failure, with its outcome."""
    repeated: datetime | None
    """When the next attempt of the run was requested through Headway, or started; None without one."""
    ended: datetime | None
    """When that one ended."""


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The repairs of a policy."""

    policy: str
    mode: str
    """Its mode in the config; empty for one that the config has no longer."""
    repairs: tuple[ReportedRepair, ...]
    """The newest first."""
    stop: str = ""
    """Why it sends nothing until a person commands it; empty if it may."""

    @property
    def is_configured(self) -> bool:
        return bool(self.mode)

    def counts(self, *, sent: bool) -> dict[RepairResult, int]:
        """How many repairs have each result, of those that were sent, or in shadow."""
        results = Counter(repair.result for repair in self.repairs if (repair.repair.action is not None) is sent)
        return {result: results[result] for result in RepairResult}

    @property
    def saved(self) -> timedelta:
        """The time from its repairs to those of people, of those that were right."""
        return sum((repair.saved for repair in self.repairs), timedelta(0))

    @property
    def text(self) -> str:
        """ "repaired 5 of 6, 1 wrong; would have repaired 14 of 17, saved 3h10m, 1 wrong, 2 needless"."""
        sent, in_shadow = self.counts(sent=True), self.counts(sent=False)
        texts = [counts_text("repaired", sent)] if any(sent.values()) else []
        if any(in_shadow.values()):
            saved = f"saved {format_duration(self.saved.total_seconds())}" if in_shadow[RepairResult.RIGHT] else ""
            texts.append(counts_text("would have repaired", in_shadow, saved))
        return "; ".join(texts) or f"{'repaired' if self.mode == 'active' else 'would have repaired'} nothing yet"


def counts_text(verb: str, counts: Mapping[RepairResult, int], saved: str = "") -> str:
    """ "repaired 14 of 17, saved 3h10m, 1 wrong, 2 needless"."""
    right, *rest = counts.items()
    parts = [f"{verb} {right[1]} of {sum(counts.values())}", *filter(None, [saved])]
    return ", ".join(parts + [f"{number} {result}" for result, number in rest if number])


def reports_of(policies: Sequence[Policy], repairs: Sequence[ReportedRepair], modes: Modes) -> list[PolicyReport]:
    """A report of each policy in the order of the config, then of those that it has no longer, by name. `repairs`: the
    newest first."""
    configured = {policy.name: policy.mode for policy in policies}
    removed = sorted({reported.repair.policy for reported in repairs} - configured.keys())
    return [
        PolicyReport(
            name,
            configured.get(name, ""),
            tuple(reported for reported in repairs if reported.repair.policy == name),
            modes.policy_stop(name),
        )
        for name in (*configured, *removed)
    ]
