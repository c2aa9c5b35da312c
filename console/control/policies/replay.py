"""A policy replayed over kept failures: the repairs that it would have sent by `selection`, and what stopped it.

Its limits and its breaker count the replayed repairs. Each ends as the next attempt of its run did. Unknown are the
decisions of people at that time, and the forecasts: `when.p_late` and `when.act_by_within` hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import heapify, heappop, heappush

from console.control.incidents.causes import FailedRun
from console.control.incidents.correlation import IncidentMatch
from console.control.policies.selection import RepairSelection, matches
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since
from console.domain.decision import IncidentDecision, IncidentOwner, NewIncident
from console.domain.estate import Estate, IncidentFacts
from console.domain.incident_record import CauseKind, CauseRecord, IncidentFingerprint
from console.domain.job import RepairedJob
from console.domain.policy import ANY_FAILURE, Policy, PolicyCondition, PolicyLimits, PolicyRepair, RepairAction
from console.domain.policy_report import PolicyReport, RecordedFailure, RepairResult, ReportedRepair
from console.domain.settings import Declared
from console.domain.text import Title

_NO_LIMIT = 1_000_000_000
_UNLIMITED = PolicyLimits(_NO_LIMIT, _NO_LIMIT, _NO_LIMIT)
_STATES = {RepairResult.WRONG: "failed", RepairResult.UNKNOWN: "refused"}


class Stop(StrEnum):
    """Why a policy does not repair a failure about which it decides."""

    LIMITS = "limits"
    BREAKER = "breaker"
    PEOPLE = "people"
    """No policy may rerun it, or its run was repeated before the log was read."""


_STOP_TEXTS = {
    Stop.LIMITS: "stopped by its limits",
    Stop.BREAKER: "stopped by its breaker",
    Stop.PEOPLE: "left to people",
}


@dataclass(frozen=True, slots=True)
class Replay:
    """The repair that a policy would have sent."""

    report: PolicyReport
    stopped: Mapping[Stop, int]
    """How many failures each left without a repair."""
    is_over: bool
    """True if more repairs were wrong than the budget has."""

    @property
    def text(self) -> str:
        """ "would have repaired 14 of 17, saved 3h10m, 3 wrong; 2 stopped by its limits; 4 left to people"."""
        done = self.report.text if self.report.repairs else "would have repaired nothing"
        return "; ".join([done, *(f"{number} {_STOP_TEXTS[stop]}" for stop, number in self.stopped.items() if number)])


def replay(
    policy: Policy,
    policies: Sequence[Policy],
    failures: Iterable[RecordedFailure],
    jobs: Mapping[str, RepairedJob],
    budget: int,
) -> Replay:
    """The policy as if it had been active. `policies`: of the config, with it; `jobs`: those still watched, by name;
    `budget`: how many repairs may be wrong."""
    tested = replace(policy, match=ANY_FAILURE, when=PolicyCondition(policy.when.attempts_below), mode="active")
    decided = [failure for failure in failures if _deciding(policies, failure, jobs) is policy]
    sent, reported, stopped = list[PolicyRepair](), list[ReportedRepair](), Counter[Stop]()
    turns = [(red_since(failure.run), number) for number, failure in enumerate(decided)]
    heapify(turns)
    while turns:
        now, number = heappop(turns)
        failure = decided[number]
        selection = _selection(tested, failure, sent, now)
        repair, turn = next(iter(selection.repairs.values()), None), min(selection.turns, default=None)
        if repair is not None:
            sent.append(_ended(repair, failure))
            reported.append(replace(failure.reported, repair=replace(repair, action=None)))
        elif turn is not None and (failure.repeated is None or turn < failure.repeated):
            heappush(turns, (turn, number))
        else:
            stopped[_stop(tested, failure, sent, now)] += 1
    report = PolicyReport(policy.name, policy.mode, tuple(reversed(reported)))
    is_over = report.counts(sent=False)[RepairResult.WRONG] > budget
    return Replay(report, {stop: stopped[stop] for stop in Stop}, is_over)


def _deciding(policies: Sequence[Policy], failure: RecordedFailure, jobs: Mapping[str, RepairedJob]) -> Policy | None:
    """The first policy that matches; None if the job is not watched any more."""
    name = failure.reported.job
    job = jobs.get(name)
    if job is None:
        return None
    return next((policy for policy in policies if matches(policy.match, failure.signature, name, job.services)), None)


def _selection(
    policy: Policy, failure: RecordedFailure, sent: Iterable[PolicyRepair], now: datetime
) -> RepairSelection:
    """The decision about the failure at that time. `sent`: the replayed repairs before it, with their ends."""
    job, run, key = failure.job, failure.run, f"replay {failure.reported.incident_id}"
    estate = Estate(
        jobs={job.id: job},
        runs=(run,),
        durations={},
        dependencies=(),
        services=(),
        targets={},
        policy_repairs=tuple(_as_known(repair, now) for repair in sent),
        declared=Declared(policies=(policy,)),
    )
    since, cause = red_since(run), CauseRecord(CauseKind.RUN, run.business_date, failure=failure.signature)
    unnotified = IncidentFingerprint()
    incident = IncidentFacts(failure.reported.incident_id, key, cause, frozenset((run.id,)), since, since, unnotified)
    decision = IncidentDecision(
        NewIncident(), key, Title(), cause, (), IncidentOwner(), since, None, None, (), (), unnotified
    )
    index = EstateIndex(estate, now)
    selection = RepairSelection(index, {})
    selection.decide(IncidentMatch(incident, FailedRun(run.business_date, since, (run,), run)), decision)
    index.end()
    return selection


def _ended(repair: PolicyRepair, failure: RecordedFailure) -> PolicyRepair:
    """The repair with its end: it takes as long as the one that a person sent, or none if no other was sent."""
    reported, key = failure.reported, repair.action.key if repair.action is not None else ""
    took = timedelta(0)
    if reported.sent is not None and failure.ended is not None:
        took = max(failure.ended - reported.sent, took)
    action = RepairAction(key, _STATES.get(reported.result, "verified"), ended_at=repair.at + took)
    return replace(repair, action=action)


def _as_known(repair: PolicyRepair, now: datetime) -> PolicyRepair:
    """The repair as it was known then."""
    action = repair.action
    if action is None or action.ended_at is None or action.ended_at <= now:
        return repair
    return replace(repair, action=RepairAction(action.key, "sent"))


def _stop(policy: Policy, failure: RecordedFailure, sent: Sequence[PolicyRepair], now: datetime) -> Stop:
    """Without which of its bounds the policy would have repaired it."""
    unlimited = replace(policy, limits=_UNLIMITED)
    for stop, lifted in ((Stop.LIMITS, unlimited), (Stop.BREAKER, replace(unlimited, breaker=_NO_LIMIT))):
        if _selection(lifted, failure, sent, now).repairs:
            return stop
    return Stop.PEOPLE
