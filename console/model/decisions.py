"""What `control.evaluate` decides and `store.apply` writes: values only, so that neither needs to know the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from connectors.contract import Evidence, State, Verb
from console.model.alerting import TECHNICAL, HeldFacts
from console.model.findings import FindingChange
from console.model.forecasts import JobAhead
from console.model.holds import HoldFacts
from console.model.words import AlertKind, HoldState, Timeliness

PLACEHOLDER = "{incident}"
"""Stands in a notice for the incident's number: a new one gets it from the store, which puts it in."""
ALERT = "{alert}"
"""The same for the alert's own number."""


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """A run that the accepted schedule demands and that no start has fulfilled: PLANNED, HELD, MISSED, or still
    expected but unseen (PLANNED with evidence STALE). Upserted by (job, period key); a real attempt always wins."""

    job_id: int
    period_key: str
    period_at: datetime
    bd: date
    state: State
    evidence: Evidence
    reason: str
    """Why: "line gone since 02:10", "paused since 02:10", "nothing in the log by 03:15 UTC"."""


@dataclass(frozen=True, slots=True)
class RunJudgement:
    """Ours about a run that exists; written only where it changed. The source's own state is never overwritten."""

    run_id: int
    timeliness: Timeliness
    stale_read: bool
    partial_input: str = ""
    """What it read that was partial, in words."""


class Spread(NamedTuple):
    """How long something takes: in half, in nine of ten, in nineteen of twenty of all cases."""

    p50: timedelta
    p90: timedelta
    p95: timedelta

    def longer(self, by: timedelta) -> Spread:
        return Spread(self.p50 + by, self.p90 + by, self.p95 + by)

    def at_least(self, elapsed: timedelta) -> Spread:
        return Spread(max(elapsed, self.p50), max(elapsed, self.p90), max(elapsed, self.p95))


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a job takes, and from where we know: "history" (n runs), "declared", "like" (n jobs), "none"."""

    job_id: int
    source: str
    runs: int
    takes: Spread | None
    like: int = 0
    """By how many jobs like it."""

    @property
    def p50(self) -> timedelta | None:
        return self.takes.p50 if self.takes is not None else None

    @property
    def p90(self) -> timedelta | None:
        return self.takes.p90 if self.takes is not None else None


@dataclass(frozen=True, slots=True)
class ServiceDayVerdict:
    """One service on one business date, as judged now."""

    service: str
    bd: date
    deadline: datetime
    timeliness: Timeliness
    data_state: str
    """"open", "complete", "partial", "stale", "failed": an axis of its own, beside the timeliness."""
    delivered_at: datetime | None
    expected_at: datetime | None
    late_at: datetime | None
    """p90 of the finish."""
    act_by: datetime | None
    green_by: datetime | None
    cause: str
    incident_key: str | None
    sources: tuple[Estimate, ...]
    path: tuple[int, ...]
    reason: str
    """All of it in words; `given` first."""
    promised: datetime | None = None
    """The deadline before somebody extended it; None: nobody did, it is `deadline`."""
    agreed: datetime | None = None
    """When it is late by its SLA; None without one."""
    p95_at: datetime | None = None
    """p95 of the finish."""
    p80_at: datetime | None = None
    """p80 of it; None where it was not simulated, as with the next three."""
    p_late: float | None = None
    """The probability that it is delivered after its deadline, in steps of a hundredth."""
    p_own: float | None = None
    """The simulation's own, before it was recalibrated by what became of earlier ones."""
    critical: tuple[float, ...] = ()
    """Of each job of `path`: the probability that the finish is decided by it."""
    jobs: tuple[JobAhead, ...] = ()
    """What it leaves to the jobs below it that run or wait and matter most; empty where it was not simulated."""
    distrust: str = ""
    """Why its forecasts are not to be trusted, by what became of earlier ones; empty where they are."""
    nights: int = 0
    """How many earlier runs that rests on, of the job of `path` that has fewest; 0: of one it is declared."""
    extension: str = ""
    """Who extended it and why."""
    instance: str = ""
    """Which instance of its service, of one that is promised end to end: `service` ends in it."""
    submission: str = ""
    """Period key of the instance's submission, which is what it is known by: two may show the same key."""
    awaits: tuple[str, ...] = ()
    """Checks to be looked at: its jobs are done, and these are all that is missing."""
    given: str = ""
    """What all terminals gave, though not as promised: "delivered 05:10 UTC, stale: …"; empty otherwise."""
    runs: tuple[int, ...] = ()
    """Of a submission: the id of the run that each job of `path` has for it, 0 where it has none yet. Others have runs
    of the same jobs on the same date."""


@dataclass(frozen=True, slots=True)
class Member:
    """role: "root", "red", "stale", "threatened" (not yet started, will read it), "repaired"."""

    job_id: int
    period_key: str
    role: str
    run_id: int | None


@dataclass(frozen=True, slots=True)
class HurtServiceVerdict:
    service: str
    bd: date
    deadline: datetime
    act_by: datetime | None
    green_by: datetime | None
    expected_at: datetime | None
    timeliness: Timeliness
    source: str
    reason: str
    submission: str = ""
    """Of an instance: as in ServiceDayVerdict."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert to one route: plain text, made of cleaned words; outside text only in its own bordered block."""

    kind: AlertKind
    route: str
    title: str
    body: str
    plain_title: str = ""
    plain_body: str = ""
    """The same without a word from outside but names: services, clocks, the command."""
    urgent: bool = False
    """The first word about a tier-1 service: nothing may delay it."""
    words: str = TECHNICAL
    """"technical", "business" or "shadow"."""
    fingerprint: str = ""
    """What the route has been told by this."""
    group: str = ""
    """Notices of one evaluation with the same word here leave as one message."""
    not_before: datetime | None = None
    template: str = ""
    """The route in whose own words it is to be put; empty: it has none."""
    values: Mapping[str, object] = field(default_factory=dict)
    plain_values: Mapping[str, object] = field(default_factory=dict)
    """What its template is given; without a word from outside but names."""


@dataclass(frozen=True, slots=True)
class HeldNotice:
    """A notice that a stage holds back. `until`: when time alone ends it; None: when what holds it is over."""

    route: str
    words: str
    kind: AlertKind
    stage: str
    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class IncidentDecision:
    """Open, update or close one incident. `incident_id` None opens a new one; the key never changes."""

    incident_id: int | None
    key: str
    title: str
    cause: str
    root_job_id: int | None
    root_run_id: int | None
    root_period_key: str
    root_target_id: int | None
    bd: date
    reason: str
    owner: str
    runbook: str
    failed_since: datetime
    act_by: datetime | None
    members: tuple[Member, ...]
    services: tuple[HurtServiceVerdict, ...]
    fingerprint: str
    closed: bool = False
    close_reason: str = ""
    root_shared: str = ""
    """The host, database or credential that many jobs name as they fail; empty for other roots."""
    split_from: int | None = None
    """Of a new one: the incident that it was a part of, until it showed a cause of its own."""
    reopened: bool = False
    """It had closed, and its root is red again."""
    flaps: int = 0
    """How often it was reopened since it was last steady, red or green; `flaps_since`: since when."""
    flaps_since: datetime | None = None
    changes: tuple[str, ...] = ()
    """What changed since the root was last good, in lines; empty where that was not looked up."""
    cause_run_ids: tuple[int, ...] = ()
    """The root's run; of a shared root the first of the runs that blame it."""
    merges: tuple[int, ...] = ()
    """Open incidents that turned out to be symptoms of this one: closed as merged, without a notice of their own."""
    notices: tuple[Notice, ...] = ()
    rule: str = ""
    """Of a finding that is the cause."""
    held: tuple[HeldNotice, ...] = ()
    """All that is held back now."""
    dropped: tuple[tuple[HeldFacts, str], ...] = ()
    """What was held back and is to be told no more, with the reason; empty where the route was told all the same, or
    is not asked for any more."""
    in_shadow: tuple[str, ...] = ()
    """Routes that are not told because what they would be told of is in shadow."""
    event: str = ""
    """What to write into the timeline; empty: nothing new."""
    root_check: str = ""
    """The check that is the cause; empty for a run or a target."""


@dataclass(frozen=True, slots=True)
class NewAction:
    """What a policy asks of a scheduler: a row of `action` under a key that is the same however often it is decided."""

    key: str
    verb: Verb
    job_id: int
    period_key: str = ""
    """Of the run that it is about; empty where it is about the job."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    origin: str = "hold"
    overlap: str = "refuse"


@dataclass(frozen=True, slots=True)
class HoldDecision:
    """A hold as it stands from now on; written only where it still stands as the decision saw it."""

    hold: HoldFacts
    was: HoldState | None
    """None: it is new."""
    action: NewAction | None = None
    withdraws: str = ""
    """Key of an action that nobody has taken up yet, and nobody shall any more."""
    event: str = ""
    """For the timeline of the incident it belongs to; empty: nothing to tell."""
    tells: str = ""
    """Why a person is needed, who may look at no screen; empty: nobody is."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """All of one evaluation. `next_at`: when time alone will change a verdict."""

    expected: tuple[ExpectedRun, ...] = ()
    """Only those that are new or read otherwise than before."""
    withdrawn: tuple[int, ...] = ()
    """Ids of runs without an attempt (PLANNED, HELD) that no accepted schedule demands any more: their rows go."""
    judgements: tuple[RunJudgement, ...] = ()
    service_days: tuple[ServiceDayVerdict, ...] = ()
    incidents: tuple[IncidentDecision, ...] = ()
    holds: tuple[HoldDecision, ...] = ()
    findings: tuple[FindingChange, ...] = ()
    """Only what differs from the store."""
    cycles: tuple[tuple[str, ...], ...] = ()
    """Dependencies that lead back to themselves, as paths of raw job names whose last is their first: none of a path's
    dependencies is followed."""
    next_at: datetime | None = None
