"""Policies: failures that are repaired without a person, within limits.

The repairs of a policy in shadow are recorded and not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.domain.job import Safety


@dataclass(frozen=True, slots=True)
class PolicyMatch:
    """The failures that a policy is about; an empty field matches all."""

    signatures: tuple[str, ...] = ()
    """Ids of failures, as `headway failure` lists them."""
    errors: tuple[str, ...] = ()
    """Patterns of errors as `headway failure` lists them, `*` for any text; so are the names below."""
    jobs: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """One of the affected services."""
    tiers: tuple[int, ...] = ()
    """The most important tier of the affected services is one of these."""


@dataclass(frozen=True, slots=True)
class PolicyCondition:
    """The state in which a policy repairs. None: any."""

    attempts_below: int | None = None
    """The run has had fewer attempts; not below 2, as a failed run has one."""
    p_late: float | None = None
    """An affected service is late with at least this probability."""
    act_by_within: timedelta | None = None
    """At most so long remains until the act-by time of the incident."""


@dataclass(frozen=True, slots=True)
class PolicyLimits:
    """The most repairs of a policy."""

    per_run: int = 1
    per_job_and_day: int = 3
    """Counts one job on one business date."""
    per_hour: int = 10
    """Counts all jobs."""


ANY_FAILURE, ANY_STATE, LIMITS = PolicyMatch(), PolicyCondition(), PolicyLimits()


@dataclass(frozen=True, slots=True)
class Policy:
    """One `[[policies]]`. The first in the order of the file that matches a failure decides about it."""

    name: str
    do: str
    """ "rerun": as `headway rerun` does."""
    match: PolicyMatch = ANY_FAILURE
    when: PolicyCondition = ANY_STATE
    limits: PolicyLimits = LIMITS
    mode: str = "shadow"
    """ "shadow" or "active"."""
    approval: str = "none"
    """ "none": its repairs need no person; only of jobs with `rerun = "safe"`. "one" and "two": so many persons approve
    each; of jobs with `rerun = "ask"` too."""
    breaker: int = 3
    """After so many repairs that failed since a person last closed its breaker, it sends nothing."""
    notify: str = "failure"
    """ "failure": notifications of a failure wait for the outcome of its repair; "always": they do not."""

    @property
    def is_active(self) -> bool:
        return self.mode == "active"

    @property
    def approvers(self) -> int:
        """How many persons approve each of its repairs."""
        return APPROVERS[self.approval]

    def may_rerun(self, card: Safety) -> bool:
        """True if it may rerun jobs with this `rerun` on their card."""
        return card is Safety.SAFE or (card is Safety.ASK and self.approvers > 0)


APPROVERS = {"none": 0, "one": 1, "two": 2}
"""By `Policy.approval`."""
POLICY_ORIGIN = "policy"
"""Origin of the actions that policies request."""


def requester_of(policy: str) -> str:
    """The name under which a policy requests and is audited."""
    return f"policy {policy}"


@dataclass(frozen=True, slots=True)
class RepairAction:
    """The action that a policy requested for its repair, as it is now."""

    key: str
    state: str = "requested"
    unsent: bool = False
    ended_at: datetime | None = None
    needs_approval: bool = False

    @property
    def is_pending(self) -> bool:
        """True until it is sent."""
        return self.state == "requested"

    @property
    def in_flight(self) -> bool:
        return self.state in ("requested", "sending", "sent", "unknown")

    @property
    def has_failed(self) -> bool:
        """True if it was sent and did not repair the run."""
        return self.state == "failed" and not self.unsent


@dataclass(frozen=True, slots=True)
class PendingRepair:
    """The repair of an incident that a policy sends at `at`, or has requested then."""

    policy: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PolicyRepair:
    """A repair that a policy requested, or would have in shadow: once for each attempt of a run."""

    policy: str
    method: str
    """The `do` of the policy then."""
    job_id: int
    business_date: date
    run_id: int
    attempt: int
    """Number of the failed attempt."""
    at: datetime
    action: RepairAction | None = None
    """None in shadow."""
    signature: str = ""
    """Id of the failure that it repairs; empty if unknown."""
