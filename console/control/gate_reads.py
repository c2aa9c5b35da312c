"""What a gate makes of an upstream of which something else is wanted than success on its own date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.contract import RED_STATES, State
from console.control.calendars import previous_day
from console.control.mapping import WEEKDAYS_ONLY, month_end
from console.control.readiness import judged
from console.model.declared import Declared
from console.model.views import GateView, PastRun, UpstreamView
from console.model.wants import Period


def resolved(view: GateView, one: UpstreamView, declared: Declared) -> UpstreamView:
    """The upstream with the run that is meant in the place of that of the same date."""
    if one.wants.period is Period.SAME:
        return one
    found = _meant(view, one, declared)
    if found is None:
        return replace(one, run_id=None, period_key="", state="", evidence="", reason="", stale_read=False, clock=None)
    return replace(
        one, run_id=found.run_id, period_key=found.period_key, state=found.state, evidence=found.evidence,
        reason=found.reason, stale_read=found.stale_read,
    )  # fmt: skip


def has_ended(one: UpstreamView) -> bool:
    """True for what ran to an end, however."""
    return bool(one.state) and one.state not in (State.MISSED, State.UNKNOWN) and not State(one.state).is_open


def has_failed(one: UpstreamView) -> bool:
    return one.state in RED_STATES


def passes(one: UpstreamView, bd: str, declared: Declared, now: datetime) -> tuple[bool, str]:
    """Whether its check passes for that date, and what is known of it."""
    check = next((each for each in declared.checks if each.name == one.wants.check), None)
    found = judged(one.wants.check, check, one.looks, date.fromisoformat(bd), now)
    return found.passes, found.words


def _meant(view: GateView, one: UpstreamView, declared: Declared) -> PastRun | None:
    wants, bd = one.wants, date.fromisoformat(view.bd)
    match wants.period:
        case Period.PREVIOUS:
            return _previous(view, one)
        case Period.BUSINESS_DAY:
            day = previous_day(declared.calendar(wants.calendar) or WEEKDAYS_ONLY, bd)
            return _last([run for run in one.past if day is not None and run.bd == day.isoformat()])
        case Period.MONTH_END:
            first, last = month_end(bd, declared.calendar(wants.calendar))
            return _last([run for run in one.past if first.isoformat() <= run.bd <= last.isoformat()])
        case Period.WINDOW:
            opens = view.at - (wants.within or timedelta(0))
            inside = [run for run in one.past if run.at >= opens]
            return _last([run for run in inside if run.state == State.SUCCEEDED and not run.stale_read]) or _last(
                inside
            )
    return _last(one.past)


def _previous(view: GateView, one: UpstreamView) -> PastRun | None:
    if one.loops:
        return _last(one.past)
    same = [run for run in one.past if run.bd == view.bd]
    return _last([run for run in one.past if run.at < same[-1].at] if same else one.past)


def _last(runs: Sequence[PastRun]) -> PastRun | None:
    return runs[-1] if runs else None
