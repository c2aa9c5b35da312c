"""Gate status from the store's views: whether the upstreams of one job allow a run of one business date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from connectors.sdk.records import Schedule
from connectors.sdk.states import RED_STATES, RunState
from console.control.snapshot.checks import judged_readiness
from console.domain.dependency import (
    GateView,
    ScheduleView,
    UpstreamCondition,
    UpstreamPeriod,
    UpstreamRun,
    UpstreamView,
)
from console.domain.estate import EvaluationSettings
from console.domain.ids import utc_minute
from console.domain.settings import NOTHING_DECLARED, Declared
from console.domain.text import render
from console.timing.calendars import WEEKDAYS_ONLY, month_end_dates, previous_day
from console.timing.durations import TICK
from console.timing.schedule import instants, schedule_fault
from console.timing.zones import business_window, date_in_window, zone_of


def with_run_to_read(view: GateView, upstream: UpstreamView, declared: Declared) -> UpstreamView:
    """The upstream with the run that is meant in the place of that of the same date."""
    if upstream.wants.period is UpstreamPeriod.SAME:
        return upstream
    run = _meant(view, upstream, declared)
    if run is None:
        return replace(upstream, period_key="", state="", reason=(), stale_read=False, clock=None)
    return replace(upstream, period_key=run.period_key, state=run.state, reason=run.reason, stale_read=run.stale_read)


def has_ended(upstream: UpstreamView) -> bool:
    if not upstream.state or upstream.state in (RunState.MISSED, RunState.UNKNOWN):
        return False
    return not RunState(upstream.state).is_open


def has_failed(upstream: UpstreamView) -> bool:
    return upstream.state in RED_STATES


def check_passes(upstream: UpstreamView, business_date: str, declared: Declared, now: datetime) -> tuple[bool, str]:
    """True if its check passes for that date, and its text."""
    name = upstream.wants.check
    result = judged_readiness(
        name, declared.check(name), upstream.check_history, date.fromisoformat(business_date), now
    )
    return result.passes, result.text


def _meant(view: GateView, upstream: UpstreamView, declared: Declared) -> UpstreamRun | None:
    wants, business_date = upstream.wants, date.fromisoformat(view.business_date)
    match wants.period:
        case UpstreamPeriod.PREVIOUS:
            if upstream.loops:
                return _last(upstream.past)
            same = [run for run in upstream.past if run.business_date == view.business_date]
            return _last([run for run in upstream.past if run.at < same[-1].at] if same else upstream.past)
        case UpstreamPeriod.BUSINESS_DAY:
            day = previous_day(declared.calendar(wants.calendar) or WEEKDAYS_ONLY, business_date)
            return _last([run for run in upstream.past if day is not None and run.business_date == day.isoformat()])
        case UpstreamPeriod.MONTH_END:
            first, last = month_end_dates(business_date, declared.calendar(wants.calendar))
            return _last([run for run in upstream.past if first.isoformat() <= run.business_date <= last.isoformat()])
        case UpstreamPeriod.WINDOW:
            opens = view.at - (wants.within or timedelta(0))
            inside = [run for run in upstream.past if run.at >= opens]
            good = [run for run in inside if run.state == RunState.SUCCEEDED and not run.stale_read]
            return _last(good or inside)
    return _last(upstream.past)


def _last(runs: Sequence[UpstreamRun]) -> UpstreamRun | None:
    return runs[-1] if runs else None


class GateStatus(StrEnum):
    """Status of an upstream, or of all of them: the worst counts."""

    SATISFIED = "satisfied"
    WAITING = "waiting"
    """It is still to come."""
    UNKNOWN = "unknown"
    """No engine, an unreachable source, or an unproved end."""
    RED = "red"
    """It will not come by itself."""


_BEST = (GateStatus.SATISFIED, GateStatus.WAITING, GateStatus.UNKNOWN, GateStatus.RED)
_WORST = (GateStatus.RED, GateStatus.UNKNOWN, GateStatus.WAITING)


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Status of the gate, and the upstreams that keep it shut."""

    status: GateStatus
    text: str


def judge_gate(view: GateView, engine_alive: bool, now: datetime, declared: Declared = NOTHING_DECLARED) -> GateVerdict:
    """Verdict from the store. A success that was seen stays a fact without an engine. `declared`: calendars and
    checks that dependencies name."""
    gates: dict[object, list[GateVerdict]] = {}
    needs: dict[object, int] = {}
    for place, upstream in enumerate(view.upstreams):
        status_of, text = _wanted(view, with_run_to_read(view, upstream, declared), engine_alive, now, declared)
        key = upstream.wants.gate or place
        gates.setdefault(key, []).append(GateVerdict(status_of, f"{upstream.job} {text}"))
        needs[key] = upstream.wants.need or 1
    verdicts = [_of_gate(members, needs[key]) for key, members in gates.items()]
    for status in _WORST:
        if shut := [verdict.text for verdict in verdicts if verdict.status is status]:
            return GateVerdict(status, "; ".join(shut))
    if not view.upstreams:
        return GateVerdict(GateStatus.SATISFIED, "it has no upstream")
    return GateVerdict(GateStatus.SATISFIED, "; ".join(verdict.text for verdict in verdicts))


def _of_gate(verdicts: Sequence[GateVerdict], need: int) -> GateVerdict:
    if len(verdicts) == 1:
        return verdicts[0]
    ordered = sorted(verdicts, key=lambda verdict: _BEST.index(verdict.status))
    last = ordered[min(need, len(verdicts)) - 1].status
    how = "any" if need == 1 else str(need)
    return GateVerdict(last, f"{how} of {len(verdicts)}: {', '.join(verdict.text for verdict in verdicts)}")


def _wanted(
    view: GateView, upstream: UpstreamView, engine_alive: bool, now: datetime, declared: Declared
) -> tuple[GateStatus, str]:
    if upstream.wants.condition is UpstreamCondition.READY:
        ready, text = check_passes(upstream, view.business_date, declared, now)
        if ready or engine_alive:
            return (GateStatus.SATISFIED if ready else GateStatus.WAITING), f"({text})"
        return GateStatus.UNKNOWN, f"({text}): no engine works"
    on_failure = upstream.wants.condition is UpstreamCondition.FAILURE
    if upstream.wants.period is UpstreamPeriod.PREVIOUS and not upstream.state and not on_failure:
        return GateStatus.SATISFIED, "has no run before"
    if upstream.wants.condition is UpstreamCondition.COMPLETION and has_ended(upstream):
        return GateStatus.SATISFIED, f"has ended: it is {upstream.state}"
    status, text = _gate_status(upstream, view.business_date, engine_alive, now)
    if on_failure:
        if has_failed(upstream):
            return GateStatus.SATISFIED, f"has failed: it is {upstream.state}"
        return (GateStatus.RED, "has not failed") if status is GateStatus.SATISFIED else (status, text)
    return status, text


def business_date_at(now: datetime, zone: str, cutoff: str) -> str:
    """Business date of a moment without a run: "2026-11-19"."""
    return date_in_window(now, zone_of(zone), time.fromisoformat(cutoff)).isoformat()


def _gate_status(
    upstream: UpstreamView, business_date: str, engine_alive: bool, now: datetime
) -> tuple[GateStatus, str]:
    if upstream.state == RunState.SUCCEEDED and not upstream.stale_read:
        return GateStatus.SATISFIED, "is good"
    if upstream.state == RunState.SKIPPED:
        return GateStatus.SATISFIED, "was skipped"
    if upstream.state == RunState.SUCCEEDED:
        return GateStatus.RED, "is stale: it read what its upstream had not finished"
    if upstream.state in RED_STATES or upstream.state == RunState.PARTIAL:
        return GateStatus.RED, f"is {upstream.state}{_which(upstream)}"
    if not engine_alive:
        return GateStatus.UNKNOWN, "is not watched: no engine works"
    if upstream.unseen:
        return GateStatus.UNKNOWN, "cannot be observed: its source does not answer"
    if upstream.state == RunState.UNKNOWN:
        return GateStatus.UNKNOWN, "has an unproved end"
    if not upstream.state and upstream.clock is not None:
        return status_without_run(upstream.clock, date.fromisoformat(business_date), now)
    return GateStatus.WAITING, f"is {upstream.state or 'still to come'}{_which(upstream)}"


def _which(upstream: UpstreamView) -> str:
    """The run that is read, and its reason, behind a state: " (run 2026-11-20T03:10:00Z: no run by 03:15)"."""
    run = f"run {upstream.period_key}" if upstream.period_key else ""
    parts = ": ".join(filter(None, (run, render(upstream.reason, utc_minute))))
    return f" ({parts})" if parts else ""


def status_without_run(clock: ScheduleView, business_date: date, now: datetime) -> tuple[GateStatus, str]:
    """Status if no run of that date is known: satisfied only if the schedule has no start on it. Used by holds too."""
    zone, cutoff = zone_of(clock.zone), time.fromisoformat(clock.cutoff)
    if business_date < date_in_window(clock.accepted_at, zone, cutoff):
        return GateStatus.UNKNOWN, "has no known run on that date, which is before its schedule was known"
    if business_date > date_in_window(now + EvaluationSettings().horizon, zone, cutoff):
        return GateStatus.WAITING, "is not expected so far ahead"
    opens, closes = business_window(business_date, zone, cutoff)
    dues = _dues(clock, opens, closes, now)
    if dues is None:
        return GateStatus.UNKNOWN, "has a schedule that does not cover that date"
    if not dues:
        return GateStatus.SATISFIED, "has no run on that date"
    if dues[-1] < clock.accepted_at or closes <= now:
        return GateStatus.UNKNOWN, "was due on that date, and no run is known"
    return GateStatus.WAITING, "is still to come"


def _dues(clock: ScheduleView, opens: datetime, closes: datetime, now: datetime) -> list[datetime] | None:
    schedule = Schedule(clock.dialect, clock.expression, clock.schedule_zone, next_at=clock.next_at)
    if schedule_fault(schedule) is not None:
        return None
    if not schedule.expression.strip() and (schedule.next_at is None or schedule.next_at < opens):
        return None
    past_dues = instants(
        replace(schedule, next_at=None), opens - TICK, min(closes - TICK, now)
    )  # before the next it names
    return sorted({*past_dues, *instants(schedule, opens - TICK, closes - TICK)})
