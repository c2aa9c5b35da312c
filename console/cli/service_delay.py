"""Explain a late service: where its minutes went, job by job along the critical path."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial

from console.cli.clock_format import clock_text, local_clock_cell, share_service_zone, zone_name
from console.cli.output import Part, Table, ValueColumn, print_result, table
from console.cli.reader import fresh_store_reader, store_url_of
from console.cli.services import deadline_text, forecast_text
from console.control.explain.lateness import LatenessBreakdown, LatenessShare, break_down_lateness, path_steps_of
from console.domain.ids import utc_minute
from console.domain.reason import reason_lines, reasons_text
from console.domain.service import ServiceView, status_label
from console.text.cleaning import clean_line

DELAY_KINDS = ("upstream", "clock", "queued", "slow", "retries", "repair")
ADDED_COLUMN = (*DELAY_KINDS[1:], "ahead")
"""The kinds of delay that a job adds itself."""


def explain_service(arguments: argparse.Namespace) -> int:
    """Prints the delay of a service day by job; `arguments.business_date` None is the present one."""
    with fresh_store_reader(arguments) as reads:
        view = reads.services.service(arguments.name, arguments.business_date)
        path, now = reads.service_days.critical_path(view.name, view.business_date), reads.now()
    from console.engine.api.explain import typical_path  # loads what writes to stores

    baselines = typical_path(store_url_of(arguments), path, date.fromisoformat(view.business_date)) if path else ()
    differences = [baseline.moved for baseline in baselines if baseline.moved]
    breakdown = break_down_lateness(
        path_steps_of(path, view.deadline, baselines, view.delivered), now, view.delivered is not None, view.expected
    )
    share_service_zone({view.zone})
    parts: list[Part] = [[*service_heading(view, breakdown, now), *(f"moved     {text}" for text in differences), ""]]
    if breakdown.parts and not is_unexplained(view, breakdown):
        heading = f"times: {zone_name(now)}"
        parts += [[heading], delay_table(breakdown, now), ["", delay_totals(breakdown)]]
    document = delay_document(view, breakdown) | {"moved": differences}
    return print_result(arguments, document, *parts)


def service_heading(view: ServiceView, breakdown: LatenessBreakdown, now: datetime) -> Iterator[str]:
    """The service day: its status, deadline and usual finish."""
    yield f"{view.title}  {view.business_date}  {status_label(view)}"
    yield f"deadline  {deadline_text(view, now)}"
    for number, line in enumerate(reason_lines(view.reasons, partial(clock_text, near=now))):
        yield f"{'' if number else 'why':<10}{line}"
    if not view.is_promised:
        return
    if (forecast := forecast_text(view, now)) != "–":
        yield f"forecast  {forecast}"
    if breakdown.unscheduled:
        yield f"usually   unknown: no start of {breakdown.unscheduled} is known"
        return
    if not breakdown.parts:
        yield "path      no critical path is known for that date"
        return
    if is_unexplained(view, breakdown):
        yield f"cause     {clean_line(view.cause)}: not repaired, and its delay is not known yet"
        return
    last = breakdown.parts[-1]
    if view.awaits:
        yield f"waits     for check {', '.join(map(clean_line, view.awaits))}; its jobs are done"
    if last.awaits_repair:
        job = next(part.job for part in breakdown.parts if part.awaits_repair)
        yield f"usually   {clock_text(last.usual_end, now)}; its end is unknown until {job} is repaired"
        return
    if view.delivered is None and view.expected is None and not view.awaits:
        yield f"usually   {clock_text(last.usual_end, now)}; no estimate of its end"
        return
    case = f"{view.repair_case}:" if view.repair_case is not None else "expected"
    ends = "its jobs ended" if view.awaits else "ended" if last.is_over else case
    yield (
        f"usually   {clock_text(last.usual_end, now)}; {ends} {clock_text(last.end, now)}:"
        f" {compared_with(breakdown.late, 'its usual end')}, {compared_with(last.end - view.deadline, 'its deadline')}"
    )


def is_unexplained(view: ServiceView, breakdown: LatenessBreakdown) -> bool:
    """True if the service is endangered by a cause that has delayed no job of its critical path yet."""
    return view.is_endangered and bool(view.cause) and not any(breakdown.total(kind) for kind in ADDED_COLUMN)


def compared_with(late: timedelta, what: str) -> str:
    """ "22m after its usual end", "8m before its deadline", "at its usual end"."""
    if abs(late) < timedelta(seconds=1):
        return f"at {what}"
    return f"{delay_text(abs(late))} {'after' if late > timedelta(0) else 'before'} {what}"


def delay_table(breakdown: LatenessBreakdown, now: datetime) -> Table:
    """A row for each job: its lateness is what came from upstream and what it added itself.

    A narrow terminal drops kinds of delay without a minute first. "to come", the delay that the forecast expects beyond
    the usual, has a column only if there is any.
    """

    def delay(kind: str, part: LatenessShare) -> str:
        return signed_delay_text(getattr(part, kind))

    def has_minutes(kind: str) -> bool:
        return any(delay(kind, part) != "–" for part in breakdown.parts)

    return table(
        breakdown.parts,
        ValueColumn("job", lambda part: part.job, 12, middle=True),
        ValueColumn("ends", lambda part: _end_cell(part, now), drop=3),
        ValueColumn("usually", lambda part: local_clock_cell(part.usual_end, now), drop=2),
        ValueColumn("delay", lambda part: signed_delay_text(part.late)),
        *(
            ValueColumn[LatenessShare](_label(kind), partial(delay, kind), drop=0 if has_minutes(kind) else 1)
            for kind in (*DELAY_KINDS, *(["ahead"] if has_minutes("ahead") else []))
        ),
    )


def _label(kind: str) -> str:
    return "to come" if kind == "ahead" else kind


def _end_cell(part: LatenessShare, now: datetime) -> str:
    end = part.known_end
    return "–" if end is None else local_clock_cell(end, now) + " …" * (not part.is_over)


def delay_totals(breakdown: LatenessBreakdown) -> str:
    """The delay that the jobs added, by kind, and its sum."""
    kinds = [
        f"{_label(kind)} {signed_delay_text(breakdown.total(kind))}" for kind in ADDED_COLUMN if breakdown.total(kind)
    ]
    return f"{compared_with(breakdown.late, 'its usual end')}: {', '.join(kinds)}" if kinds else "no delay"


def delay_document(view: ServiceView, breakdown: LatenessBreakdown) -> dict[str, object]:
    """The breakdown as data, in minutes."""
    parts = breakdown.parts
    last = parts[-1] if parts else None
    end = last.known_end if last else None
    return {
        "service": view.name,
        "business_date": view.business_date,
        "timeliness": view.timeliness,
        "deadline": view.deadline if view.is_promised else None,
        "promised": view.promised if view.is_promised else None,
        "extension": view.extension,
        "reason": reasons_text(view.reasons, utc_minute),
        "awaits": list(view.awaits),
        "p_late": view.p_late,
        "repair_case": view.repair_case,
        "usual_end": last.usual_end if last else None,
        "end": end,
        "is_over": last is not None and last.is_over,
        "late_minutes": _minutes_number(breakdown.late) if last else None,
        "late_by_deadline_minutes": _minutes_number(end - view.deadline) if end else None,
        "added_minutes": {kind: _minutes_number(breakdown.total(kind)) for kind in ADDED_COLUMN},
        "jobs": [
            {
                "job": part.job,
                "usual_end": part.usual_end,
                "end": part.known_end,
                "is_over": part.is_over,
                "late_minutes": _minutes_number(part.late),
                **{f"{kind}_minutes": _minutes_number(getattr(part, kind)) for kind in (*DELAY_KINDS, "ahead")},
            }
            for part in parts
        ],
    }


def _minutes_number(taken: timedelta) -> float:
    return round(taken.total_seconds() / 60, 6)


def delay_text(taken: timedelta) -> str:
    """To the second, so that the sum is exact: "1h9m19s", "2d3h", "0s"."""
    remaining, parts = round(taken.total_seconds()), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, remaining = divmod(remaining, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts) or "0s"


def signed_delay_text(taken: timedelta) -> str:
    """ "+22m", "-8m"; "–" for nothing."""
    if abs(taken) < timedelta(seconds=1):
        return "–"
    return f"{'+' if taken > timedelta(0) else '-'}{delay_text(abs(taken))}"
