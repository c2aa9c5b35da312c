"""The repairs that policies send, or would in shadow: which policy decides about an incident, and whether it repairs
now.

The first policy in the order of the config whose `match` fits decides. It repairs only a failed run whose job may be
rerun without asking, once for each attempt, and never one that failed again after a policy had repaired it, nor one
that brings back a failure of its job that a policy had repaired on the same business date. Whatever a person decided
wins: a freeze, a maintenance, a hold, a pause, a plan, an acknowledgement, an action on the run whose
outcome is not known yet. A repair that is not sent yet is withdrawn by the first evaluation that would not request it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, takewhile

from connectors.sdk.states import RunState
from console.control.incidents.causes import FailedRun
from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.restart import is_restartable, needs_restart
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import red_since
from console.domain.decision import IncidentDecision, ServiceDayVerdict
from console.domain.estate import RunFacts
from console.domain.failure import FailureSignature
from console.domain.ids import derived_key
from console.domain.job import Safety
from console.domain.policy import (
    POLICY_ORIGIN,
    PendingRepair,
    Policy,
    PolicyCondition,
    PolicyMatch,
    PolicyRepair,
    RepairAction,
)
from console.timing.maintenance import matches_any

HOUR = timedelta(hours=1)
LOG_WAIT = timedelta(minutes=2)
"""A failure without an error line waits so long for its log, from when it was observed: a policy for its error may
come first."""
BREAKER_RETRY = timedelta(minutes=1)
"""Pause between the checks of a repair that waits for the end of repairs of other incidents."""
Verdicts = Mapping[ServiceDayKey, ServiceDayVerdict]


class RepairSelection:
    """The repairs of one evaluation."""

    def __init__(self, index: EstateIndex, verdicts: Verdicts) -> None:
        self._index, self._verdicts = index, verdicts
        self.repairs: dict[str, PolicyRepair] = {}
        """Incident key -> its repair."""
        self.turns: list[datetime] = []
        """When time alone lets a policy repair."""
        self.pending: dict[str, PendingRepair | None] = {}
        """Incident key -> the repair of an active policy that is to come or in flight, if that is not stored."""
        self._sent_to: dict[int, list[tuple[PolicyRepair, RepairAction]]] = {}
        """Run id -> the repairs that were requested, the oldest first."""
        self._wanted: set[str] = set()
        """Keys of actions that are not sent yet and still decided."""
        self._awaiting_log: dict[str, PendingRepair] = {}
        """Incident key -> the repair that a policy may send once the log is read."""
        self._limited: set[str] = set()
        """Keys of incidents whose repair a limit or the breaker of its policy delays."""
        for repair in index.estate.policy_repairs:
            if repair.action is not None:
                self._sent_to.setdefault(repair.run_id, []).append((repair, repair.action))
        self._open_actions: dict[int, set[str]] = {}
        """Run id -> the keys of its actions without a known outcome."""
        for key, (run_id, _) in index.estate.open_actions.items():
            self._open_actions.setdefault(run_id, set()).add(key)

    @property
    def withdrawn(self) -> list[str]:
        """Keys of the actions that are not sent yet and that no incident's decision wants any more."""
        return [
            action.key
            for sent in self._sent_to.values()
            for repair, action in sent
            if action.is_pending and action.key not in self._wanted and repair.job_id in self._index.estate.jobs
        ]

    def decide(self, match: IncidentMatch, decision: IncidentDecision) -> IncidentDecision:
        """Adds the repair of this incident, if a policy sends one now, or confirms the one that is not sent yet. The
        match gets the repair that is to come or in flight, the decision the policy that did not repair it."""
        if self._index.estate.declared.policies or self._sent_to:
            match.pending_repair = self._pending_repair(match, decision)
            match.awaited_repair = self._awaited_repair(match, decision)
        if match.pending_repair != (match.incident.pending_repair if match.incident is not None else None):
            self.pending[decision.key] = match.pending_repair
        undone = self._undone_repair(match, decision)
        left_by = self._left_by(match, decision) or (undone.policy if undone is not None else "")
        if not left_by:
            return decision
        known = match.continued
        came_back = undone is not None or (known is not None and known.left_by == left_by and known.came_back)
        return replace(decision, fingerprint=decision.fingerprint.not_repaired_by(left_by, came_back=came_back))

    def _awaited_repair(self, match: IncidentMatch, decision: IncidentDecision) -> PendingRepair | None:
        """The repair whose outcome its notifications wait for, also that of jobs downstream of the repaired root. None
        if its policy always notifies, while a limit delays it, and once one failed or has an unknown outcome."""
        root = match.cause.root
        sent = self._sent_to.get(root.id, ()) if root is not None else ()
        is_over = any(action.state == "unknown" or action.has_failed for _, action in sent)
        done = (PendingRepair(own.policy, own.at) for own, action in sent if action.state == "verified")
        downstream = next(done, None) if match.unrepaired is not None else None
        repair = match.pending_repair or self._awaiting_log.get(decision.key) or downstream
        if repair is None or decision.key in self._limited:
            return None
        policies = self._index.estate.declared.policies
        waits = any(policy.notify == "failure" for policy in policies if policy.name == repair.policy)
        return repair if waits and not is_over else None

    def _left_by(self, match: IncidentMatch, decision: IncidentDecision) -> str:
        """The policy whose repair, the newest, did not repair it; empty while another repair is to come."""
        if match.pending_repair is not None:
            return ""
        known, root = match.continued.left_by if match.continued is not None else "", match.cause.root
        if decision.key in self._awaiting_log or not needs_restart(self._index, match):
            return known
        sent = self._sent_to.get(root.id, ()) if root is not None else ()
        return next((repair.policy for repair, action in reversed(sent) if not action.in_flight), known)

    def _pending_repair(self, match: IncidentMatch, decision: IncidentDecision) -> PendingRepair | None:
        root, approvals = match.cause.root, self._index.estate.approvals
        sent = self._sent_to.get(root.id, ()) if root is not None else ()
        own, action = next((pair for pair in sent if pair[1].in_flight), (None, None))
        is_unsent = action is not None and action.is_pending
        if own is None or action is None or is_unsent:
            run = self._run_to_repair(match, decision, action.key if action is not None else "")
            if run is None or self._is_guarded(match, run, is_unsent) or self._undone_repair(match, decision):
                return None
            if own is None or action is None:
                return self._next_repair(run, match, decision)
            policy = self._deciding(run, decision)
            if policy is None or (policy.name, run.attempt) != (own.policy, own.attempt):
                return None
            if not (self._sends(policy, run) and self._permits(policy, run, decision, own)):
                return None
            self._wanted.add(action.key)
        if decision.closed or own.run_id in approvals:  # a person decides about it
            return None
        return PendingRepair(own.policy, own.at)

    def _next_repair(self, run: RunFacts, match: IncidentMatch, decision: IncidentDecision) -> PendingRepair | None:
        """The repair to come, also added if its time has come; None in shadow."""
        now, failure = self._index.now, decision.cause.failure
        observed = max(red_since(run), match.incident.opened_at if match.incident else now)
        read = observed + LOG_WAIT if failure is None or not failure.error else now
        policy = self._deciding(run, decision)
        if policy is None or not self._may_repair(policy, run, decision):
            for known in self._index.estate.declared.policies if now < read else ():
                may_match = _matches(self._index, replace(known.match, signatures=(), errors=()), run, decision)
                may_match = may_match and not known.approvers and self._sends(known, run)
                if may_match and self._may_repair(known, run, decision):
                    self._awaiting_log[decision.key] = PendingRepair(known.name, read)
                    self.turns.append(read)
                    break
            return None
        is_sent = self._sends(policy, run)
        earliest = max(_act_by_turn(policy.when, decision, now), read)
        due = max(earliest, self._next_in_hour(policy), self._next_below_breaker(policy))
        if due > max(earliest, now):
            self._limited.add(decision.key)
        if due > now:
            self.turns.append(due)
        else:
            job, of_run = self._index.job(run.job_id), (run.job_id, run.business_date, run.id, run.attempt)
            key = derived_key(job.system, job.native_id, run.period_key, f"attempt {run.attempt}", POLICY_ORIGIN)
            action = RepairAction(key, needs_approval=policy.approvers > 0) if is_sent else None
            signature = failure.id if failure is not None else ""
            self.repairs[decision.key] = PolicyRepair(policy.name, policy.do, *of_run, now, action, signature)
        return PendingRepair(policy.name, due) if is_sent and not policy.approvers else None

    def _deciding(self, run: RunFacts, decision: IncidentDecision) -> Policy | None:
        """The first policy that matches."""
        policies = self._index.estate.declared.policies
        return next((policy for policy in policies if _matches(self._index, policy.match, run, decision)), None)

    def _sends(self, policy: Policy, run: RunFacts) -> bool:
        """True if neither the policy nor the system is in shadow."""
        return policy.is_active and self._index.estate.modes.system_is_live(self._index.job(run.job_id).system)

    def _may_repair(self, policy: Policy, run: RunFacts, decision: IncidentDecision) -> bool:
        return self._permits(policy, run, decision) and self._is_within(policy, run)

    def _permits(
        self, policy: Policy, run: RunFacts, decision: IncidentDecision, own: PolicyRepair | None = None
    ) -> bool:
        """True if the policy repairs such a failure now, but for its limits. `own`: its repair that is not sent yet."""
        modes = self._index.estate.modes
        since = modes.policy_since(policy.name)
        if modes.policy_stop(policy.name) or (since is not None and red_since(run) <= since):
            return False
        if policy.is_active and self._failures[policy.name] >= policy.breaker:
            return False
        waits = own is not None and self._next_below_breaker(policy, own) > self._index.now
        return not waits and self._holds(policy.when, run, decision)

    def _next_below_breaker(self, policy: Policy, own: PolicyRepair | None = None) -> datetime:
        """Now, if its breaker stays closed even if all repairs in flight fail, those before `own`; else the next
        check."""
        now = self._index.now
        before = takewhile(lambda repair: repair is not own, self._sent)
        in_flight = sum(
            repair.policy == policy.name and repair.action is not None and repair.action.in_flight for repair in before
        )
        is_full = policy.is_active and self._failures[policy.name] + in_flight >= policy.breaker
        return now + BREAKER_RETRY if is_full else now

    @cached_property
    def opened_breakers(self) -> dict[str, int]:
        """Policies whose breaker opens now -> their repairs that failed since it was last closed."""
        estate = self._index.estate
        counts = {policy.name: self._failures[policy.name] for policy in estate.declared.policies if policy.is_active}
        limits = {policy.name: policy.breaker for policy in estate.declared.policies}
        return {
            name: count
            for name, count in counts.items()
            if count >= limits[name] and not estate.modes.breaker_is_open(name)
        }

    @cached_property
    def _failures(self) -> Counter[str]:
        """By policy: its repairs that failed since a person last closed its breaker."""
        breakers = self._index.estate.modes.breakers
        closed = {policy: breaker.at for policy, breaker in breakers.items() if breaker.at is not None}
        return Counter(
            repair.policy
            for repair, action in chain.from_iterable(self._sent_to.values())
            if action.has_failed
            and action.ended_at is not None
            and (repair.policy not in closed or action.ended_at > closed[repair.policy])
        )

    def _is_guarded(self, match: IncidentMatch, run: RunFacts, is_unsent: bool) -> bool:
        """True if a policy repaired this very run and it failed again, so that the repair may be what breaks it, or if
        a repair of the incident is in flight. `is_unsent`: that of the run is requested; a sent one comes first."""
        members = match.incident.member_run_ids if match.incident is not None else frozenset[int]()
        actions = [action for run_id in members for _, action in self._sent_to.get(run_id, ())]
        in_flight = any(action.in_flight and not (is_unsent and action.is_pending) for action in actions)
        return in_flight or any(action.state == "verified" for _, action in self._sent_to.get(run.id, ()))

    def _undone_repair(self, match: IncidentMatch, decision: IncidentDecision) -> PolicyRepair | None:
        """The newest repair, by any policy, of the same failure of the job on this business date that succeeded before
        the failure came back: the repair may be what causes it."""
        root, failure = match.cause.root, decision.cause.failure
        if root is None or failure is None or not needs_restart(self._index, match):
            return None
        of_job = [
            (repair.action.ended_at, repair)
            for repair in self._index.estate.policy_repairs
            if (repair.job_id, repair.business_date, repair.signature) == (root.job_id, root.business_date, failure.id)
            and repair.action is not None
            and repair.action.state == "verified"
            and repair.action.ended_at is not None
            and repair.action.ended_at < red_since(root)
        ]
        return of_job[-1][1] if of_job else None

    def _run_to_repair(self, match: IncidentMatch, decision: IncidentDecision, own: str) -> RunFacts | None:
        """The failed run that a policy may repair; None if there is none, or a person decides. `own`: the key of the
        policy's action that is not sent yet."""
        run, index, estate = match.cause.root, self._index, self._index.estate
        if not isinstance(match.cause, FailedRun) or run is None or run is not match.to_repair or decision.closed:
            return None
        job, cause, policy = index.job(run.job_id), match.cause, self._deciding(run, decision)
        target = estate.targets.get(job.target_id)
        can_rerun = (
            bool(run.id and run.attempt) and index.is_red_now(run) and not job.cannot_rerun and not job.gone_since
        )
        by_person = (
            run.state is RunState.CANCELLED,
            estate.modes.frozen is not None,
            cause.maintenance(index) is not None,
            job.paused_since is not None or (target is not None and target.paused(index.now) is not None),
            any(hold.job_id in (job.id, job.parent_id) and not hold.state.is_over for hold in estate.holds),
            match.plan(index) is not None or run.id in estate.plans_by_run or run.id in estate.planned_repairs,
            bool(self._open_actions.get(run.id, set()) - {own}),
            run.id in estate.repairs and estate.repairs[run.id].in_flight,
            self._is_acknowledged(match) and not (policy is not None and policy.approvers),
            not is_restartable(index, match),
        )
        is_allowed = job.rerun is Safety.SAFE if policy is None else policy.may_rerun(job.rerun)
        return run if is_allowed and can_rerun and not any(by_person) else None

    def _is_acknowledged(self, match: IncidentMatch) -> bool:
        acks = self._index.estate.notifications.acks
        ack = acks.get(match.incident.id) if match.incident is not None else None
        if ack is None or ack.until <= self._index.now:
            return False
        self.turns.append(ack.until)
        return True

    @property
    def _sent(self) -> list[PolicyRepair]:
        return [*self._index.estate.policy_repairs, *self.repairs.values()]

    def _holds(self, when: PolicyCondition, run: RunFacts, decision: IncidentDecision) -> bool:
        """True if its condition holds, but for the time until the act-by time."""
        if when.attempts_below is not None and run.attempt >= when.attempts_below:
            return False
        if when.act_by_within is not None and (decision.act_by is None or decision.act_by < self._index.now):
            return False
        days = [self._verdicts[day.key] for day in decision.services if day.key in self._verdicts]
        return when.p_late is None or any(day.p_late is not None and day.p_late >= when.p_late for day in days)

    def _is_within(self, policy: Policy, run: RunFacts) -> bool:
        """True if the limits of the run and of the job's date permit one more; an attempt has at most one."""
        if any((repair.run_id, repair.attempt) == (run.id, run.attempt) for repair in self._sent):
            return False
        own = [repair for repair in self._sent if repair.policy == policy.name]
        of_day = [repair for repair in own if (repair.job_id, repair.business_date) == (run.job_id, run.business_date)]
        of_run = [repair for repair in own if repair.run_id == run.id]
        return len(of_run) < policy.limits.per_run and len(of_day) < policy.limits.per_job_and_day

    def _next_in_hour(self, policy: Policy) -> datetime:
        """When its limit of an hour permits one more."""
        last = sorted(repair.at for repair in self._sent if repair.policy == policy.name)[-policy.limits.per_hour :]
        return last[0] + HOUR if len(last) == policy.limits.per_hour else self._index.now


def _matches(index: EstateIndex, match: PolicyMatch, run: RunFacts, decision: IncidentDecision) -> bool:
    affected = {service.service for service in decision.services}
    services = {service.name: service.tier for service in index.estate.services if service.name in affected}
    return matches(match, decision.cause.failure, index.job(run.job_id).name, services)


def matches(match: PolicyMatch, failure: FailureSignature | None, job: str, services: Mapping[str, int]) -> bool:
    """True if the policy decides about this failure of the job. `services`: the affected ones, with their tiers."""
    fits = (
        not match.signatures or (failure is not None and failure.id in match.signatures),
        not match.errors or (failure is not None and _fits_any(match.errors, [failure.text])),
        not match.jobs or _fits_any(match.jobs, [job]),
        not match.services or _fits_any(match.services, services),
        not match.tiers or min(services.values(), default=None) in match.tiers,
    )
    return all(fits)


def _fits_any(patterns: Iterable[str], names: Collection[str]) -> bool:
    return any(matches_any(patterns, name) for name in names)


def _act_by_turn(when: PolicyCondition, decision: IncidentDecision, now: datetime) -> datetime:
    """The instant from which at most `act_by_within` remains."""
    if when.act_by_within is None or decision.act_by is None:
        return now
    return decision.act_by - when.act_by_within
