"""Whether a gate opens: what the upstreams of one job are worth to a run of one business date, by the store's word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from connectors.contract import RED_STATES, Schedule, State
from console.control.gate_reads import has_ended, has_failed, passes, resolved
from console.control.schedule import fault, instants
from console.control.zones import date_in_window, window, zone_of
from console.model.declared import NOTHING, Declared
from console.model.values import Settings
from console.model.views import ClockView, GateView, UpstreamView
from console.model.wants import Condition, Period


class Standing(StrEnum):
    """How an upstream stands, or all of them: the worst counts."""

    SATISFIED = "satisfied"
    WAITING = "waiting"
    """It is still to come."""
    UNKNOWN = "unknown"
    """Nobody can tell: no engine, a source that is out of sight, an end that is not proved."""
    RED = "red"
    """It will not come by itself."""


_TICK = timedelta(microseconds=1)
_BEST = (Standing.SATISFIED, Standing.WAITING, Standing.UNKNOWN, Standing.RED)
_WORST = (Standing.RED, Standing.UNKNOWN, Standing.WAITING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the gate stands, and why: the upstreams that keep it shut, in words."""

    standing: Standing
    words: str


def judge(view: GateView, engine_alive: bool, now: datetime, declared: Declared = NOTHING) -> Verdict:
    """What a look at the store means. Success that was seen stays a fact, whoever looks now. `declared`: calendars and
    checks that dependencies name."""
    gates: dict[object, list[Verdict]] = {}
    needs: dict[object, int] = {}
    for place, one in enumerate(view.upstreams):
        stands, words = _wanted(view, resolved(view, one, declared), engine_alive, now, declared)
        together = one.wants.gate or place
        gates.setdefault(together, []).append(Verdict(stands, f"{one.job} {words}"))
        needs[together] = one.wants.need or 1
    found = [_of_gate(each, needs[together]) for together, each in gates.items()]
    for standing in _WORST:
        if shut := [each.words for each in found if each.standing is standing]:
            return Verdict(standing, "; ".join(shut))
    if not view.upstreams:
        return Verdict(Standing.SATISFIED, "it has no upstream")
    return Verdict(Standing.SATISFIED, "; ".join(each.words for each in found))


def _of_gate(found: Sequence[Verdict], need: int) -> Verdict:
    """So many of these must be satisfied: how the last of them stands."""
    if len(found) == 1:
        return found[0]
    ordered = sorted(found, key=lambda each: _BEST.index(each.standing))
    last = ordered[min(need, len(found)) - 1].standing
    how = "any" if need == 1 else str(need)
    return Verdict(last, f"{how} of {len(found)}: {', '.join(each.words for each in found)}")


def _wanted(
    view: GateView, one: UpstreamView, engine_alive: bool, now: datetime, declared: Declared
) -> tuple[Standing, str]:
    """By the condition of its dependency."""
    if one.wants.condition is Condition.READY:
        ready, words = passes(one, view.bd, declared, now)
        if ready or engine_alive:
            return (Standing.SATISFIED if ready else Standing.WAITING), f"({words})"
        return Standing.UNKNOWN, f"({words}): no engine works"
    if one.wants.period is Period.PREVIOUS and not one.state and one.wants.condition is not Condition.FAILURE:
        return Standing.SATISFIED, "has no run before"
    if one.wants.condition is Condition.COMPLETION and has_ended(one):
        return Standing.SATISFIED, f"has ended: it is {one.state}"
    stands, words = _stands(one, view.bd, engine_alive, now)
    if one.wants.condition is Condition.FAILURE:
        if has_failed(one):
            return Standing.SATISFIED, f"has failed: it is {one.state}"
        return (Standing.RED, "has not failed") if stands is Standing.SATISFIED else (stands, words)
    return stands, words


def business_date_of(now: datetime, zone: str, cutoff: str) -> str:
    """The business date of a moment, where no run tells it: "2026-11-19"."""
    return date_in_window(now, zone_of(zone), time.fromisoformat(cutoff)).isoformat()


def _stands(one: UpstreamView, bd: str, engine_alive: bool, now: datetime) -> tuple[Standing, str]:
    if one.state == State.SUCCEEDED and not one.stale_read:
        return Standing.SATISFIED, "is good"
    if one.state == State.SKIPPED:
        return Standing.SATISFIED, "was skipped"
    if one.state == State.SUCCEEDED:
        return Standing.RED, "is stale: it read what its upstream had not finished"
    if one.state in RED_STATES or one.state == State.PARTIAL:
        return Standing.RED, f"is {one.state}{_which(one)}"
    if not engine_alive:
        return Standing.UNKNOWN, "is not watched: no engine works"
    if one.unseen:
        return Standing.UNKNOWN, "is out of sight: its source does not answer"
    if one.state == State.UNKNOWN:
        return Standing.UNKNOWN, "has an end that nobody can prove"
    if not one.state and one.clock is not None:
        return without_run(one.clock, date.fromisoformat(bd), now)
    return Standing.WAITING, f"is {one.state or 'still to come'}{_which(one)}"


def _which(one: UpstreamView) -> str:
    """The run that is read, and its reason, behind a state: " (run 2026-11-20T03:10:00Z: no run by 03:15)"."""
    told = ": ".join(each for each in (f"run {one.period_key}" if one.period_key else "", one.reason) if each)
    return f" ({told})" if told else ""


def without_run(clock: ClockView, bd: date, now: datetime) -> tuple[Standing, str]:
    """What it means that no run of that date is known: only where the schedule is known to want none it is good. Holds
    ask the same (`control.conditions`)."""
    zone, cutoff = zone_of(clock.zone), time.fromisoformat(clock.cutoff)
    if bd < date_in_window(clock.accepted_at, zone, cutoff):
        return Standing.UNKNOWN, "has no known run on that date, which is before its schedule was known"
    if bd > date_in_window(now + Settings().horizon, zone, cutoff):
        return Standing.WAITING, "is not expected so far ahead"
    opens, closes = window(bd, zone, cutoff)
    dues = _dues(clock, opens, closes, now)
    if dues is None:
        return Standing.UNKNOWN, "has a schedule that does not tell of that date"
    if not dues:
        return Standing.SATISFIED, "has no run on that date"
    if dues[-1] < clock.accepted_at or closes <= now:
        return Standing.UNKNOWN, "was due on that date, and no run is known"
    return Standing.WAITING, "is still to come"


def _dues(clock: ClockView, opens: datetime, closes: datetime, now: datetime) -> list[datetime] | None:
    """The instants in a window, in order; None where the schedule cannot tell them."""
    told = Schedule(clock.dialect, clock.expression, clock.schedule_zone, next_at=clock.next_at)
    if fault(told) is not None:
        return None
    if not told.expression.strip() and (told.next_at is None or told.next_at < opens):
        return None
    over = instants(replace(told, next_at=None), opens - _TICK, min(closes - _TICK, now))  # before the next it names
    return sorted({*over, *instants(told, opens - _TICK, closes - _TICK)})
