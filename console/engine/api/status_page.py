"""The status page: services, promises, forecasts in plain words, and how often promises were kept.

Only titles of services come from config, and nothing from logs, schedulers or persons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from importlib.resources import files
from operator import attrgetter

from console.control.services.order import by_urgency
from console.domain.probability import format_risk
from console.domain.promise import WINDOWS, AttainmentDay, AttainmentView, is_in_time, is_over
from console.domain.service import (
    INCOMPLETE_DATA,
    LOST,
    RepairCase,
    ServiceView,
    Timeliness,
    is_in_doubt,
    later_text,
    unseen_target,
    waits_for_polls,
)
from console.text.cleaning import clean_line
from console.text.html_page import rendered_page
from console.timing.durations import rough_duration
from console.timing.formats import clock_text

REWRITE_SECONDS = 300
OLD_AFTER_SECONDS = 3 * REWRITE_SECONDS
DAYS = WINDOWS[0]
"""Days of history."""
TITLE_LIMIT = 120
DOCUMENT_VERSION = 1
"""Of status.json: raised when a field changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class DayResult:
    """How one business date ended."""

    date: str
    """ "2026-11-21"."""
    result: str
    """ "in time", "late", "unknown"."""

    @property
    def tone(self) -> str:
        return {"in time": "ok", "late": "bad"}.get(self.result, "")


@dataclass(frozen=True, slots=True)
class StatusPageService:
    """One service as its readers see it."""

    service: str
    title: str
    tone: str
    """ "bad", "warn", "dim", "ok"."""
    outlook: str
    """Its status and forecast as one sentence."""
    promise: str
    history: str = ""
    days: Sequence[DayResult] = ()


def outlook(view: ServiceView, now: datetime) -> tuple[str, str]:
    """Status and forecast in plain words, and the tone."""
    due, timeliness = view.deadline, view.timeliness
    if not view.is_promised:
        return "Not due today", "dim"
    if view.delivered is not None:
        late = f", {rough_duration(view.delivered - due)} late" if view.delivered > due else ", in time"
        incomplete = f"; its data is {view.data_state}" if view.data_state in INCOMPLETE_DATA else ""
        is_well = view.delivered <= due and not incomplete
        return f"Delivered {_clock(view.delivered, view, now)}{late}{incomplete}", "ok" if is_well else "warn"
    in_work = "; the team is working on it" if view.acknowledged_by else ""
    case = f"after the {view.repair_case} " if view.repair_case is RepairCase.USUAL else ""
    expected = f"expected {case}{_clock(view.expected, view, now)}" if view.expected is not None else ""
    if timeliness == Timeliness.BREACHED:
        return f"Late: {expected or 'the finish is unknown'}{in_work}", "bad"
    if timeliness == Timeliness.WILL_MISS:
        after = f", {rough_duration(view.expected - due)} after its deadline" if view.expected and expected else ""
        return f"Will be late: {expected or 'by an unknown time'}{after}{in_work}", "bad"
    if view.act_by is not None and _can_be_repaired(view, now):
        return f"Interrupted: on time if repaired by {_clock(view.act_by, view, now)}{in_work}", "warn"
    if timeliness == Timeliness.AT_RISK:
        risk = format_risk(view.p_late) if view.p_late is not None else ""
        return f"May be late: {', '.join(filter(None, (expected, risk))) or 'no forecast'}{in_work}", "warn"
    if is_in_doubt(timeliness, view.incident_id):
        return f"Unknown: something that it needs has failed{in_work}", "warn"
    if unseen_target(view) is not None:
        is_paused = waits_for_polls(view)
        return f"Unknown: a system that it needs {'is paused' if is_paused else 'is unreachable'}", "dim"
    if timeliness == Timeliness.NO_ESTIMATE or not expected:
        return "No forecast yet", "dim"
    return (
        f"On time: {expected}, {rough_duration(due - view.expected)} before its deadline" if view.expected else "",
        "ok",
    )


def summary(views: Sequence[ServiceView], now: datetime) -> tuple[str, str]:
    """The page's headline and its tone."""
    endangered = [view for view in views if view.is_endangered and view.delivered is None]
    late = [view for view in endangered if view.timeliness in LOST]
    if late:
        verb = "is" if all(view.timeliness == Timeliness.BREACHED for view in late) else "will be"
        return f"{_named(late, len(views))} {verb if len(late) == 1 else 'are or will be'} late", "bad"
    if endangered:
        are = "is" if len(endangered) == 1 else "are"
        is_repairable = all(_can_be_repaired(view, now) for view in endangered)
        return f"{_named(endangered, len(views))} {f'{are} interrupted' if is_repairable else 'may be late'}", "warn"
    if unknown := [view for view in views if view.is_promised and outlook(view, now)[1] == "dim"]:
        return f"No service is known to be late; {len(unknown)} cannot be judged", "dim"
    if weak := [view for view in views if outlook(view, now)[1] == "warn"]:
        return f"{_named(weak, len(views))} {'was' if len(weak) == 1 else 'were'} delivered late or incomplete", "warn"
    if any(view.is_promised for view in views):
        return "All services on time", "ok"
    return ("No service is due today" if views else "No service is shown here"), "dim"


def _can_be_repaired(view: ServiceView, now: datetime) -> bool:
    """True while something that it needs has failed, and a repair is in time."""
    in_time = view.act_by is not None and view.act_by > now
    return view.timeliness == Timeliness.AT_RISK and view.incident_id is not None and in_time


def _title(view: ServiceView) -> str:
    return clean_line(view.title, TITLE_LIMIT)


def _named(views: Sequence[ServiceView], of: int) -> str:
    return _title(views[0]) if len(views) == 1 else f"{len(views)} of {of} services"


def _clock(at: datetime, view: ServiceView, now: datetime) -> str:
    return clock_text(at, view.zone, now)


def day_results(days: Iterable[AttainmentDay], today: date, now: datetime) -> list[DayResult]:
    """The ended business dates of the last DAYS, oldest first."""
    results = []
    for day in days:
        if is_over(day.delivered, day.deadline, now) and today - timedelta(days=DAYS) < day.business_date <= today:
            judged = "in time" if is_in_time(day.delivered, day.deadline) else "late"
            result = "unknown" if day.timeliness is Timeliness.NO_ESTIMATE else judged
            results.append(DayResult(day.business_date.isoformat(), result))
    return sorted(results, key=attrgetter("date"))


def page_service(view: ServiceView, attainment: AttainmentView | None, now: datetime) -> StatusPageService:
    """`attainment`: None for the present status without its history."""
    text, tone = outlook(view, now)
    later = later_text(view, lambda at: _clock(at, view, now))
    text = f"{text}; {later}" if later else text
    promise = ""
    if view.is_promised:
        moved = view.promised is not None and view.promised != view.deadline
        before = f" today, instead of {_clock(view.promised, view, now)}" if moved and view.promised else ""
        promise = f"Promised by {_clock(view.deadline, view, now)}{before}"
    title = _title(view)
    if attainment is None:
        return StatusPageService(view.name, title, tone, text, promise)
    window, today = attainment.attainment.windows[0], date.fromisoformat(view.business_date)
    history = f"Last {DAYS} days: {window.kept} of {window.judged} in time" if window.judged else ""
    results = day_results(attainment.days, today, now)
    return StatusPageService(view.name, title, tone, text, promise, history, results)


def page_files(
    estate: str,
    as_of: str,
    views: Sequence[ServiceView],
    attainments: Mapping[str, AttainmentView],
    now: datetime,
    is_stale: bool = False,
) -> dict[str, str]:
    """Name of each file -> its text, with what needs attention first. `is_stale`: no engine
    runs, and `now` is the time of the last evaluation."""
    views = by_urgency(views, now)
    services = [page_service(view, attainments.get(view.name), now) for view in views]
    headline, tone = ("No engine is running: this page is stale", "bad") if is_stale else summary(views, now)
    html = rendered_page(
        files("console.engine.api").joinpath("status_page.html").read_text(),
        OLD_AFTER_SECONDS,
        estate=estate,
        now=now,
        as_of=as_of,
        headline=headline,
        tone=tone,
        services=services,
    )
    documents = [
        {
            **{name: value for name, value in asdict(service).items() if name != "tone"},
            "timeliness": view.timeliness,
            "business_date": view.business_date,
            "deadline": view.deadline.isoformat() if view.is_promised else None,
            "expected": view.expected.isoformat() if view.expected and view.delivered is None else None,
            "repair_case": view.repair_case,
            "delivered": view.delivered.isoformat() if view.delivered else None,
        }
        for service, view in zip(services, views, strict=True)
    ]
    status = {
        "version": DOCUMENT_VERSION,
        "estate": estate,
        "as_of": now.isoformat(),
        "summary": headline,
        "services": documents,
    }
    return {"index.html": html, "status.json": json.dumps(status, ensure_ascii=False, indent=1) + "\n"}
