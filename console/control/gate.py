"""Whether a gate opens: what the upstreams of one job are worth to a run of one business date, by the store's word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from connectors.contract import RED_STATES, State
from console.control.zones import date_in_window, zone_of
from console.model.views import GateView, UpstreamView


class Standing(StrEnum):
    """How an upstream stands, or all of them: the worst counts."""

    SATISFIED = "satisfied"
    WAITING = "waiting"
    """It is still to come."""
    UNKNOWN = "unknown"
    """Nobody can tell: no engine, a source that is out of sight, an end that is not proved."""
    RED = "red"
    """It will not come by itself."""


_WORST = (Standing.RED, Standing.UNKNOWN, Standing.WAITING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the gate stands, and why: the upstreams that keep it shut, in words."""

    standing: Standing
    words: str


def judge(view: GateView, engine_alive: bool) -> Verdict:
    """What a look at the store means. Success that was seen stays a fact, whoever looks now."""
    judged = [(one, *_stands(one, engine_alive)) for one in view.upstreams]
    for standing in _WORST:
        found = [f"{one.job} {words}" for one, stands, words in judged if stands is standing]
        if found:
            return Verdict(standing, "; ".join(found))
    if not view.upstreams:
        return Verdict(Standing.SATISFIED, "it has no upstream")
    return Verdict(Standing.SATISFIED, "; ".join(f"{one.job} {words}" for one, _, words in judged))


def business_date_of(now: datetime, zone: str, cutoff: str) -> str:
    """The business date of a moment, where no run tells it: "2026-11-19"."""
    return date_in_window(now, zone_of(zone), time.fromisoformat(cutoff)).isoformat()


def _stands(one: UpstreamView, engine_alive: bool) -> tuple[Standing, str]:
    if one.state == State.SUCCEEDED and not one.stale_read:
        return Standing.SATISFIED, "is good"
    if one.state == State.SKIPPED:
        return Standing.SATISFIED, "was skipped"
    if one.state == State.SUCCEEDED:
        return Standing.RED, "is stale: it read what its upstream had not finished"
    if one.state in RED_STATES or one.state == State.PARTIAL:
        return Standing.RED, f"is {one.state}" + (f" ({one.reason})" if one.reason else "")
    if not engine_alive:
        return Standing.UNKNOWN, "is not watched: no engine works"
    if one.unseen:
        return Standing.UNKNOWN, "is out of sight: its source does not answer"
    if one.state == State.UNKNOWN:
        return Standing.UNKNOWN, "has an end that nobody can prove"
    if not one.state and one.by_clock:
        return Standing.SATISFIED, "has no run on that date"
    return Standing.WAITING, f"is {one.state or 'still to come'}" + (f" ({one.reason})" if one.reason else "")
