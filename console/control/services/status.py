"""Status of each service on each business date: its deadline, timeliness, forecast and what threatens it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from connectors.sdk.states import RunState
from console.control.services.delivery import (
    bad_delivery,
    data_state_of,
    delivered_at,
    overdue_reason,
    partial_text,
    pending_checks,
    unseen_input,
)
from console.control.services.risk import distrust_reason, has_passed, judge_risk, misses
from console.control.snapshot.deadlines import clock_start, judged_dates, scheduled_starts, sla_deadline
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import weakest_basis
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.holds import HeldStart
from console.control.snapshot.reachability import out_of_reach, target_to_restore
from console.control.snapshot.runs import round_up_to_minute
from console.domain.decision import ServiceDayVerdict
from console.domain.dependency import DependencyMode
from console.domain.estate import Estate, JobFacts, LastVerdict
from console.domain.history import MIN_RUNS, DurationEstimate, EstimateBasis, EstimateKind
from console.domain.hold import HoldFacts, HoldState
from console.domain.reason import (
    ActByPassed,
    CauseKnown,
    CheckPending,
    DeadlineExtended,
    DeclareDuration,
    Delivered,
    FinishExpected,
    ForecastDistrusted,
    JobHeld,
    JobsDone,
    LateBecause,
    NativeStart,
    NoEstimate,
    NotObserved,
    NotSimulated,
    Reason,
    RepairNeeded,
    ResultUnproved,
    ScheduleChanged,
    stale_starts,
)
from console.domain.service import Timeliness
from console.domain.text import At, Text
from console.forecast.finish_times import (
    FinishTimes,
    ForecastNode,
    NodeState,
    ServiceForecast,
    forecast,
    has_day,
    path_through,
)
from console.text.cleaning import clean_line
from console.timing.schedule import accepted_instant, next_instant


@dataclass(frozen=True, slots=True)
class RepairBudget:
    """The two clocks of one broken job for one service."""

    job_id: int
    act_by: datetime | None
    green_by: datetime | None
    estimates: tuple[DurationEstimate, ...]
    """Of the job and of the path after it."""
    starts: tuple[NativeStart, ...] = ()
    """Native starts that limit it."""

    @property
    def basis(self) -> EstimateBasis:
        return weakest_basis(self.estimates)


def held_too_long(index: EstateIndex, day: ServiceForecast) -> JobHeld | None:
    """The first hold that makes the day late; None where all that is kept back still ends in time."""
    for node, held in late_holds(day):
        return JobHeld(index.name(node.job_id), held.text, not held.is_of_plan, held.until, day.deadline)
    return None


def late_holds(day: ServiceForecast) -> list[tuple[ForecastNode, HeldStart]]:
    """The held jobs that make the day late until they are released; empty if all of them still end in time."""
    if day.finish is not None and day.finish.p50 <= day.deadline:
        return []
    held = ((node, node.held_start) for node in day.unfinished() if node.held_start is not None)
    return [(node, start) for node, start in held if _is_late(day, node, start)]


def _is_late(day: ServiceForecast, node: ForecastNode, held: HeldStart) -> bool:
    if held.until is None or held.until >= day.deadline:
        return True
    return node.finish is not None and node.finish.p50 > day.deadline


def services_missed_by_hold(estate: Estate, job_id: int, until: datetime, now: datetime) -> list[Text]:
    """Cost of a hold of that job from now until then: "Daily revenue will miss 2026-11-20 17:30Z", one for each service
    day that it makes late, the earliest deadline first."""
    unit = DependencyGraph(estate.jobs, estate.dependencies).unit(job_id)
    hold = HoldFacts(
        "", unit, None, None, "person", DependencyMode.OBSERVE, HoldState.HELD, "", "", until, None, "", now
    )
    was, then = EstateIndex(estate, now), EstateIndex(replace(estate, holds=(*estate.holds, hold)), now)
    missed: list[tuple[datetime, str]] = []
    for service in estate.services:
        members = tuple(then.members(service))
        if unit not in members:
            continue
        for business_date in judged_dates(then, service, members):
            if not has_day(then, service, members, business_date):
                continue
            day = forecast(then, service, members, business_date)
            is_open = day.deadline > now and delivered_at(then, day) is None
            if not is_open or held_too_long(then, day) is None:
                continue
            if held_too_long(was, forecast(was, service, members, business_date)) is None:
                name = clean_line(service.title or service.name)
                missed.append((day.deadline, name))
    return [(f"{name} will miss ", At(deadline)) for deadline, name in sorted(missed)]


MIN_SHOWN_P_LATE = 0.05
"""From here on a reason says how likely it is late."""


@dataclass(frozen=True, slots=True)
class Threat:
    """Threat to one service day: an incident's cause and the tightest budget for this service."""

    key: str
    cause: str
    """Name of the job or target, cleaned."""
    budget: RepairBudget | None
    waits_for_restart: bool
    """False while all broken jobs run again: then the forecast counts, and there is no act-by."""

    hangs: bool = False
    """True if a run takes too long: its status is the forecast's, and a restart saves it until the act-by."""
    then: tuple[str, ...] = ()
    """Names of the broken jobs to restart after the cause, upstreams first; empty if the cause is not a broken job."""
    held: tuple[JobHeld, ...] = ()
    """Holds that no restart ends."""
    verb: str = "restart"
    """ "start" of a cause that did not start."""

    @property
    def act_by(self) -> datetime | None:
        return self.budget.act_by if self.budget is not None and (self.waits_for_restart or self.hangs) else None


def timeliness_of(
    index: EstateIndex, day: ServiceForecast, done: datetime | None, threat: Threat | None
) -> tuple[Timeliness, tuple[Reason, ...]]:
    """Status, and why. `done`: when it was delivered; `threat`: the most urgent one."""
    if target := unobserved_on(index, day):
        return Timeliness.NO_ESTIMATE, (NotObserved(target),)
    if done is not None:
        delivered = _delivered(index, day, done)
        return (Timeliness.MET_LATE if delivered.is_late else Timeliness.MET), (delivered,)
    overdue = (overdue_reason(index, day),) if index.now > day.deadline else ()
    if checks := pending_checks(index, day):
        pending = tuple(CheckPending(check.check, check.text) for check in checks)
        if overdue:
            return Timeliness.BREACHED, (*overdue, *pending)
        failing = any(check.since is not None for check in checks)
        return (Timeliness.AT_RISK if failing else Timeliness.ON_TIME), (JobsDone(), *pending)
    if unproved := _unproved(index, day):
        return Timeliness.NO_ESTIMATE, (unproved,)
    if overdue:
        return Timeliness.BREACHED, (*overdue, *_because(threat))
    if held := held_too_long(index, day):
        return Timeliness.WILL_MISS, (held,)
    if threat is not None and threat.waits_for_restart:
        return _threatened(index, day, threat)
    unverified = _unverified(index, day) if threat is None else ()
    if day.finish is None:  # an unknown repair time does not lower the risk
        reasons = (*unverified, *_missing(index, day), *_because(threat))
        return (Timeliness.AT_RISK if threat else Timeliness.NO_ESTIMATE), reasons
    status, reasons = _by_forecast(index, day, day.finish, threat)
    return status, (*unverified, *reasons)


def _by_forecast(
    index: EstateIndex, day: ServiceForecast, finish: FinishTimes, threat: Threat | None
) -> tuple[Timeliness, tuple[Reason, ...]]:
    expected = FinishExpected(round_up_to_minute(finish.p50), is_late=finish.p50 > day.deadline)
    why = list[Reason]()
    if day.odds is None:
        status = Timeliness.WILL_MISS if finish.p50 > day.deadline else Timeliness.ON_TIME
    else:
        estate, name = index.estate, day.service.name
        status = judge_risk(day.odds.late, estate.last_verdicts.get(day.key))
        why += [LateBecause(day.odds.why)] if day.odds.why else []
        if day.odds.late >= MIN_SHOWN_P_LATE or status is not Timeliness.ON_TIME:
            expected = replace(expected, p_late=round(day.odds.late, 4))
            distrust = distrust_reason(estate.tallies, name)
            why += [ForecastDistrusted(distrust)] if distrust else []
    if threat is not None and status is Timeliness.ON_TIME:
        status = Timeliness.AT_RISK  # until it is good: a restart proves nothing
    return status, (expected, *why, *_because(threat))


def _threatened(index: EstateIndex, day: ServiceForecast, threat: Threat) -> tuple[Timeliness, tuple[Reason, ...]]:
    budget, repair = threat.budget, _repair(index, threat)
    if budget is None or budget.act_by is None or budget.green_by is None:
        missing, *advice = _missing(index, day)
        starts = budget.starts if budget is not None else ()
        before = min((start.at for start in stale_starts(starts) if start.at > index.now), default=None)
        unknown = replace(missing, of_act_by=True)
        return Timeliness.AT_RISK, (replace(repair, before=before), unknown, *advice, *starts)
    after: tuple[Reason, ...] = budget.starts
    if day.odds is not None and day.odds.late >= MIN_SHOWN_P_LATE and day.odds.why:
        after = (*after, LateBecause(day.odds.why, round(day.odds.late, 4)))
    was = index.estate.last_verdicts.get(day.key)
    if has_passed(budget.act_by, index.now, was if day.odds is not None else None):
        return Timeliness.WILL_MISS if _is_lost(day, was) else Timeliness.AT_RISK, (
            ActByPassed(threat.cause, budget.act_by),
            *after,
        )
    return Timeliness.AT_RISK, (replace(repair, act_by=budget.act_by, green_by=budget.green_by), *after)


def _is_lost(day: ServiceForecast, was: LastVerdict | None) -> bool:
    """True if the day is likelier late even if it is repaired now: its forecast waits for the usual repair."""
    before = was.timeliness if was is not None else None
    return day.odds is None or (misses(day.odds.late, before) and misses(day.odds.late_if_restarted(), before))


def _repair(index: EstateIndex, threat: Threat) -> RepairNeeded:
    """The jobs to restart, the broken upstream first; without a verb if no restart helps."""
    if threat.budget is None:
        return RepairNeeded(threat.cause, threat.verb if threat.then else "", then=threat.then)
    job_id = threat.budget.job_id
    target = target_to_restore(index.estate, job_id, index.now)
    first = clean_line(f"{target.system}/{target.name}") if target is not None else ""
    return RepairNeeded(threat.cause, threat.verb, index.name(job_id), threat.then, restore=first)


def _delivered(index: EstateIndex, day: ServiceForecast, done: datetime) -> Delivered:
    delivered = Delivered(done, done > day.deadline, partial_text(index, day))
    unseen = None if delivered.partial else unseen_input(index, day, done)
    if unseen is None:
        return delivered
    target = index.estate.targets.get(unseen.target_id)
    where: Text = (*out_of_reach(target, index.now).state, ", ") if target is not None else ()
    return replace(delivered, unseen=(*where, f"result of {index.name(unseen.id)} not seen"))


def unobserved_on(index: EstateIndex, day: ServiceForecast) -> str:
    """Target of a terminal that was first polled after the deadline and reports no earlier start of that terminal:
    whether the promise was kept is unknown. Empty if there is none, and until the deadline."""
    if index.now <= day.deadline:
        return ""
    for end in day.ends:
        target = index.estate.targets.get(index.job(end).target_id)
        if target is None or (target.first_ok_at is not None and target.first_ok_at <= day.deadline):
            continue
        run = day.nodes[end].run if end in day.nodes else None
        started = run.first_started_at if run is not None else None
        if started is None or target.first_ok_at is None or started >= target.first_ok_at:
            return clean_line(f"{target.system}/{target.name}")
    return ""


def _unproved(index: EstateIndex, day: ServiceForecast) -> ResultUnproved | None:
    for end in day.ends:
        node = day.nodes.get(end)
        run = node.run if node is not None and node.how is NodeState.OVER else None
        if run is not None and run.state is RunState.UNKNOWN:
            return ResultUnproved(index.name(end))
    return None


def _missing(index: EstateIndex, day: ServiceForecast) -> tuple[NoEstimate, *tuple[DeclareDuration, ...]]:
    """Why there is no estimate, and how to give one."""
    for node in day.unfinished():
        known = index.estimate(node.job_id)
        name, run = index.name(node.job_id), node.run
        if node.how is NodeState.UNKNOWN:
            if run is not None and run.state is RunState.HELD:
                return (NoEstimate(name, held=run.why),)
            return (NoEstimate(name),)
        if known.source is EstimateKind.NONE:
            return NoEstimate(name, known.runs, MIN_RUNS), DeclareDuration(name)
    return (NoEstimate(),)


def _unverified(index: EstateIndex, day: ServiceForecast) -> tuple[Reason, ...]:
    """The first target out of reach that it still needs."""
    for node in day.unfinished():
        target_id = index.job(node.job_id).target_id
        target = index.estate.targets.get(target_id)
        if target is not None and index.is_unseen(index.job(node.job_id)):
            nodes = [pending for pending in day.unfinished() if index.job(pending.job_id).target_id == target_id]
            start = min((at for pending in nodes if (at := pending.at) is not None), default=index.now)
            known = out_of_reach(target, index.now)
            return (replace(known, needed_from=start if start > index.now else None),)
    return ()


def _because(threat: Threat | None) -> tuple[Reason, ...]:
    return (CauseKnown(threat.cause),) if threat else ()


class MovedStart(NamedTuple):
    """A start that the changed, not yet accepted schedule has later than the accepted schedule."""

    job_id: int
    accepted: datetime
    """When the accepted schedule starts it."""
    due: datetime
    """When the changed schedule starts it."""
    is_skipped: bool
    """The changed schedule has an earlier start that had passed when the change was seen: `due` is its next one."""


def moved_starts(index: EstateIndex, day: ServiceForecast) -> Iterator[MovedStart]:
    """The starts of its unfinished jobs that are moved and still ahead."""
    for node in day.unfinished():
        job = index.job(node.job_id)
        if job.seen_schedule is not None and node.how is NodeState.CLOCK and node.due is not None:
            skipped = _skipped_start(index, job, day.business_date, node.due)
            accepted = skipped or accepted_instant(job.schedule, job.seen_schedule, node.due)
            if accepted is not None and accepted < node.due and index.now < node.due:
                yield MovedStart(node.job_id, accepted, node.due, skipped is not None)


def offered_start(index: EstateIndex, day: ServiceForecast) -> MovedStart | None:
    """The first start on its critical path that only the changed schedule delays: the accepted schedule would have
    started it by now, or the changed one no longer starts it on this date; and its upstreams have ended."""
    unfinished = {node.job_id for node in day.unfinished()}
    for start in moved_starts(index, day):
        upstreams = {edge.upstream for edge in index.graph.into(start.job_id)}
        is_due = start.is_skipped or start.accepted <= index.now
        if is_due and start.job_id in day.path and unfinished.isdisjoint(upstreams):
            return start
    return None


def _skipped_start(index: EstateIndex, job: JobFacts, business_date: date, due: datetime) -> datetime | None:
    """The accepted start of that date whose changed one had passed when the change was seen, so that `due` is next."""
    accepted = next_instant(job.schedule, job.drift_since) if job.drift_since is not None else None
    if accepted is None or accepted >= due or clock_start(job, accepted) != due:
        return None
    return accepted if accepted in scheduled_starts(index, job, business_date) else None


def _moved(index: EstateIndex, day: ServiceForecast) -> tuple[Reason, ...]:
    offered = offered_start(index, day)
    start = offered or next(moved_starts(index, day), None)
    if start is None:
        return ()
    return (ScheduleChanged(index.name(start.job_id), start.due, start_now=offered is not None),)


def service_days(index: EstateIndex) -> list[ServiceForecast]:
    """One forecast for each service and business date whose deadline lies between the lookback and the horizon."""
    days: list[ServiceForecast] = []
    for service in index.estate.services:
        members = tuple(index.members(service))
        dates = [day for day in judged_dates(index, service, members) if has_day(index, service, members, day)]
        days += [forecast(index, service, members, business_date) for business_date in dates]
    return days


def service_verdict(index: EstateIndex, day: ServiceForecast, threats: Sequence[Threat]) -> ServiceDayVerdict:
    """The service day as judged now. The most urgent threat gives its clocks and its cause."""
    done = delivered_at(index, day)
    worst = _most_urgent(threats) if done is None else None
    budget = worst.budget if worst is not None else None
    day = replace(day, path=path_through(index, day, budget.job_id)) if budget is not None else day
    timeliness, reasons = timeliness_of(index, day, done, worst)
    awaits = pending_checks(index, day)
    given = bad_delivery(index, day) if done is None else None
    is_recent = day.deadline > index.now - timedelta(days=1)
    has_forecast = (
        done is None and not awaits and is_recent and not unobserved_on(index, day)
    )  # nothing forecasts a check
    notes = _extended(day)
    if day.is_unforeseen:
        notes += (NotSimulated(),)
    verdict = ServiceDayVerdict(
        service=day.service.name,
        business_date=day.business_date,
        deadline=day.deadline,
        timeliness=timeliness,
        data_state=data_state_of(index, day, done, any(pending.since is not None for pending in awaits)),
        delivered_at=done,
        act_by=whole_second(worst.act_by) if worst else None,
        green_by=whole_second(budget.green_by) if budget else None,
        cause=worst.cause if worst else "",
        incident_key=worst.key if worst else None,
        sources=tuple(index.estimate(job_id) for job_id in day.path),
        path=day.path,
        reasons=(*((given,) if given else ()), *reasons, *(() if done else _moved(index, day)), *notes),
        promised=day.promised,
        agreed=sla_deadline(day.service, day.business_date, day.promised or day.deadline),
        extension=day.extended.text if day.extended else "",
        awaits=tuple(pending.check for pending in awaits),
        starts=tuple(node.due if (node := day.nodes.get(job_id)) is not None else None for job_id in day.path),
    )
    return _with_forecast(verdict, index, day) if has_forecast else verdict


def _with_forecast(verdict: ServiceDayVerdict, index: EstateIndex, day: ServiceForecast) -> ServiceDayVerdict:
    finish, odds = day.finish, day.odds
    if finish is not None:
        verdict = replace(
            verdict,
            expected_at=round_up_to_minute(finish.p50),
            late_at=round_up_to_minute(finish.p90),
            p95_at=round_up_to_minute(finish.p95),
        )
    if odds is None:
        return verdict
    return replace(
        verdict,
        p80_at=round_up_to_minute(odds.p80),
        p_late=round(odds.late, 2),
        p_own=round(odds.own, 3),
        critical=tuple(round(odds.critical.get(job_id, 0.0), 2) for job_id in day.path),
        jobs=odds.jobs,
        distrust=distrust_reason(index.estate.tallies, day.service.name),
        nights=odds.nights,
    )


def run_timeliness(
    index: EstateIndex, days: Sequence[ServiceForecast], verdicts: Mapping[tuple[str, date], ServiceDayVerdict]
) -> dict[int, Timeliness]:
    """Run id -> status: a terminal's is its service's; another's the worst of the services that still wait for it."""
    statuses: dict[int, Timeliness] = {}
    for day in days:
        verdict = verdicts[day.key]
        status = verdict.timeliness
        for node in day.nodes.values():
            if node.run is None or not node.run.id:
                continue
            waits = node.how not in (NodeState.DONE, NodeState.OVER)
            if node.job_id in day.ends or (waits and verdict.delivered_at is None):
                statuses[node.run.id] = max(statuses.get(node.run.id, status), status, key=_URGENCY.index)
    return statuses


_URGENCY = [
    Timeliness.MET, Timeliness.ON_TIME, Timeliness.NO_ESTIMATE, Timeliness.MET_LATE, Timeliness.AT_RISK,
    Timeliness.WILL_MISS, Timeliness.BREACHED,
]  # fmt: skip
"""From calm to urgent."""


def _most_urgent(threats: Sequence[Threat]) -> Threat | None:
    timed = [threat for threat in threats if threat.budget is not None and threat.budget.act_by is not None]
    first = sorted(timed, key=lambda threat: (threat.budget.act_by if threat.budget else None, threat.key))
    return next(iter(first or threats), None)


def _extended(day: ServiceForecast) -> tuple[Reason, ...]:
    if day.extended is None or day.promised is None:
        return ()
    return (DeadlineExtended(day.deadline, day.promised, day.extended.text),)


def whole_second(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at is not None else None
