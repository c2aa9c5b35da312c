"""Forecasts: how likely a service is late and why, how good past forecasts were, what-if, and the timeline of one
night.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from console.cli.arguments import JOB_HELP, business_date, positive_number
from console.cli.clock_format import (
    act_by_text,
    clock_cell,
    clock_text,
    display_zone,
    instant_of_clock,
    instants_of_clock,
    local_clock_cell,
    share_service_zone,
    zone_name,
)
from console.cli.commands import JSON, Handler, one_of, option
from console.cli.engine_process import limit_array_threads
from console.cli.exits import CommandError, Exit
from console.cli.output import Part, Table, ValueColumn, counted, print_message, print_result, table
from console.cli.reader import fresh_store_reader, store_url_of
from console.cli.services import (
    critical_path_text,
    deadline_text,
    expected_text,
    forecast_text,
    with_case,
)
from console.control.explain.timeline import BarKind, TimelineBar, TimelineLane, timeline_lanes
from console.control.services.order import by_urgency
from console.control.services.risk import (
    ENOUGH_DAYS,
    ForecastScore,
    score_forecasts,
    scores_by_service,
)
from console.domain.forecast import JobForecastView, WhatIfOutcome
from console.domain.history import EstimateKind
from console.domain.ids import utc_minute
from console.domain.probability import format_percent, format_probability
from console.domain.reason import reason_lines, reasons_text
from console.domain.service import ServiceView, status_label
from console.domain.timeline import TimelineView
from console.store.errors import NotFound
from console.timing.durations import format_duration, time_of_day

if TYPE_CHECKING:
    from console.engine.api.what_if import ServiceChange
    from console.store.queries import Queries


NO_FORECAST = "–"
LEGEND = (
    "Brier: mean squared error of P(late). Skill: 1 is perfect, 0 is a constant forecast of the share of late days.",
    "Off by: mean gap between forecast and observed share. Spread: median of p95 minus p50.",
)


def run_forecast(arguments: argparse.Namespace) -> int:
    name: str | None = arguments.name
    with fresh_store_reader(arguments) as reads:
        services, now = reads.services.list_services(), reads.now()
        if name and name not in {service.name for service in services} and _is_job_name(reads, name):
            return _print_job_forecast(arguments, reads, name)
        if name:
            return _print_service_forecast(arguments, reads, name)

    def expected(service: ServiceView) -> str:
        """The expected end with its case, unless the risk in the column before has that."""
        text = expected_text(service, now)
        return text if service.risk is not None else with_case(service, text)

    def risk(service: ServiceView) -> str:
        return NO_FORECAST if service.risk is None else with_case(service, format_probability(service.risk))

    pending = [service for service in by_urgency(services, now) if service.is_promised and service.delivered is None]
    rows = table(
        pending,
        ValueColumn("service", lambda service: service.title, 12),
        ValueColumn("deadline", lambda service: clock_cell(service.deadline, now)),
        ValueColumn("risk", risk),
        ValueColumn("expected", expected, drop=3),
        ValueColumn("status", status_label, drop=2),
        ValueColumn("runs", lambda service: NO_FORECAST if service.p_late is None else str(service.nights), drop=1),
        ValueColumn("why", lambda service: reasons_text(service.reasons, partial(clock_text, near=now)), 20),
    )
    return print_result(arguments, [forecast_document(service) for service in pending], rows)


def _print_service_forecast(arguments: argparse.Namespace, reads: Queries, name: str) -> int:
    service = reads.services.service(name)
    share_service_zone({service.zone})
    jobs = reads.service_days.job_forecasts(service.name, service.business_date)
    now = reads.now()
    document = forecast_document(service) | {"jobs": [_job_document(job) for job in jobs]}
    parts: list[Part] = [list(forecast_lines(service, now))]
    if jobs:
        parts += [[""], table(jobs, ValueColumn("job", lambda job: job.job, 12, middle=True), *_job_columns(now))]
    return print_result(arguments, document, *parts)


def _is_job_name(reads: Queries, name: str) -> bool:
    try:
        reads.jobs.job(name)
    except NotFound:
        return False
    return True


def _print_job_forecast(arguments: argparse.Namespace, reads: Queries, name: str) -> int:
    row, now = reads.jobs.job(name).row, reads.now()
    forecasts = reads.service_days.forecasts_of_job(row.id)
    reasons = "or it is never critical, or they have no forecast: headway forecast"
    return print_result(
        arguments,
        {"job": row.name, "services": [_job_document(forecast) for forecast in forecasts]},
        job_forecast_table(forecasts, now) if forecasts else [f"no open service waits for {row.name}, {reasons}"],
    )


def job_forecast_table(forecasts: Sequence[JobForecastView], now: datetime) -> Table:
    """A row for each service day; with the business date if a service has several."""
    days = Counter(forecast.name for forecast in forecasts)

    def service_day(forecast: JobForecastView) -> str:
        return f"{forecast.title} {forecast.business_date}" if days[forecast.name] > 1 else forecast.title

    return table(forecasts, ValueColumn("service", service_day, 12, middle=True), *_job_columns(now))


def _job_columns(now: datetime) -> tuple[ValueColumn[JobForecastView], ...]:
    def clock(at: datetime | None) -> str:
        return local_clock_cell(at, now) if at is not None else NO_FORECAST

    def slack(forecast: JobForecastView) -> str:
        seconds = forecast.slack_s
        return NO_FORECAST if seconds is None else "+" * (seconds >= 0) + format_duration(seconds)

    return (
        ValueColumn("expected", lambda job: f"{clock(job.p50)}–{clock(job.p95)}", drop=2),
        ValueColumn("critical", lambda job: format_percent(job.decides) if job.may_decide else NO_FORECAST),
        ValueColumn("risk", lambda job: format_probability(job.p_late), drop=1),
        ValueColumn("slack", slack),
        ValueColumn("act by", lambda job: clock(job.limits[0])),
        ValueColumn("green by", lambda job: clock(job.limits[1]), drop=3),
        ValueColumn("estimated from", lambda job: job.basis.text, drop=4),
    )


def _job_document(forecast: JobForecastView) -> dict[str, Any]:
    document = asdict(forecast)
    del document["title"]
    return {"service": document.pop("name"), **document}


def forecast_document(service: ServiceView) -> dict[str, Any]:
    """A service's forecast as data; values without a forecast are null."""
    shares = service.critical or (None,) * len(service.path)
    return {
        "service": service.name,
        "business_date": service.business_date,
        "deadline": service.deadline if service.is_promised else None,
        "delivered": service.delivered,
        "timeliness": service.timeliness,
        "p_late": service.p_late,
        "p50": service.expected,
        "p80": service.p80,
        "p90": service.late,
        "p95": service.p95,
        "repair_case": service.repair_case,
        "act_by": service.act_by,
        "green_by": service.green_by,
        "runs": service.nights,
        "critical_path": [{"job": job, "decides": share} for job, share in zip(service.path, shares, strict=False)],
        "why": reasons_text(service.reasons, utc_minute),
        "unreliable_because": service.unreliable_because,
    }


def forecast_lines(service: ServiceView, now: datetime) -> Iterator[str]:
    """The forecast of one service in labeled lines."""
    yield f"{service.title}  {service.business_date}  {status_label(service)}"
    yield f"deadline  {deadline_text(service, now)}"
    yield f"expected  {forecast_text(service, now)}"
    if service.p80 is not None and service.delivered is None:
        shares = [("50 %", service.expected), ("80 %", service.p80), ("90 %", service.late), ("95 %", service.p95)]
        times = [f"{clock_cell(at, now)} in {share}" for share, at in shares if at is not None]
        yield f"done by   {with_case(service, ', '.join(times))}"
    if service.act_by is not None:
        yield f"act by    {act_by_text(service.act_by, now)}"
    yield f"path      critical: {critical_path_text(service) or NO_FORECAST}"
    for number, line in enumerate(reason_lines(service.reasons, partial(clock_text, near=now)) or [NO_FORECAST]):
        yield f"{'' if number else 'why':<10}{line}"
    if service.p_late is not None:
        guessed = next(
            (str(source.get("job")) for source in service.sources if source.get("source") == EstimateKind.PEERS), None
        )
        runs = f"{service.nights} runs" if service.nights else "declared durations (too few runs)"
        yield f"evidence  {runs if guessed is None else f'peer jobs of {guessed}, which has too few runs'}"
    if service.unreliable_because:
        yield f"trust     low: {service.unreliable_because}"


def print_score(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        days = reads.service_days.past_forecasts(arguments.name)
    total, services = score_forecasts(days), scores_by_service(days)
    document = {"all": _score_document(total), "services": [_score_document(score) for score in services]}
    if not total.days:
        return print_result(arguments, document, ["no service day with a forecast has ended yet"])
    scores = table(
        [*services, total],
        ValueColumn("service", lambda score: score.service or "all", 12),
        ValueColumn("days", lambda score: str(score.days)),
        ValueColumn("late days", lambda score: str(score.late), drop=4),
        ValueColumn("Brier", lambda score: NO_FORECAST if score.brier is None else f"{score.brier:.3f}", drop=3),
        ValueColumn("skill", lambda score: NO_FORECAST if score.skill is None else f"{score.skill:.3f}"),
        ValueColumn("off by", lambda score: NO_FORECAST if score.ece is None else format_percent(score.ece, 1)),
        ValueColumn("spread", _spread_cell, drop=2),
        ValueColumn("trust", _trust_cell, 12),
    )
    bins = table(
        total.bins,
        ValueColumn("forecast", lambda share: f"{round(share.low * 100)}–{format_percent(share.high)}"),
        ValueColumn("days", lambda share: f"{share.days:.1f}"),
        ValueColumn("mean forecast", lambda share: format_percent(share.forecast, 1)),
        ValueColumn("observed", lambda share: format_percent(share.late, 1)),
    )
    return print_result(arguments, document, scores, ["", *LEGEND, ""], bins)


def _spread_cell(score: ForecastScore) -> str:
    return NO_FORECAST if score.sharpness is None else format_duration(score.sharpness.total_seconds())


def _trust_cell(score: ForecastScore) -> str:
    return score.trouble or (f"too few days: {score.days} of {ENOUGH_DAYS}" if score.days < ENOUGH_DAYS else "yes")


def _score_document(score: ForecastScore) -> dict[str, Any]:
    document = asdict(score)
    sharpness = document.pop("sharpness")
    return {
        **document, "sharpness_s": None if sharpness is None else sharpness.total_seconds(), "trouble": score.trouble,
    }  # fmt: skip


CHANGES = ("restart", "skip", "faster", "slots")
OPTION_REQUIRES = {"at": "restart", "by": "faster", "times": "slots"}
DOUBLE, HALF = 2, 0.5


def _faster_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!a} is not a factor above 0 and at most 1; write 0.5 for half the duration"
        )
    return share


def run_what_if(arguments: argparse.Namespace) -> int:
    change = next((option for option in CHANGES if getattr(arguments, option)), "")
    name = getattr(arguments, change) if change else ""
    if not change and not arguments.night:
        raise CommandError(
            Exit.USAGE, f"one change is required: {', '.join(f'--{option}' for option in CHANGES)}; or --night DATE"
        )
    if arguments.slots and change != "slots":
        raise CommandError(Exit.USAGE, f"only one change at a time: --{change} or --slots")
    for addition, required in OPTION_REQUIRES.items():
        if getattr(arguments, addition) and change != required:
            given = f"--{change}" if change else "an unchanged night"
            raise CommandError(Exit.USAGE, f"--{addition} needs --{required}, not {given}")
    with fresh_store_reader(arguments) as reads:
        if change not in ("", "slots"):
            reads.jobs.job(name)  # its near misses, before the heavy libraries are loaded
        now = reads.now()
    night = date.fromisoformat(arguments.night) if arguments.night else None
    begin = now if night is None else _night_begin(night, now)
    at = next_clock_reading(arguments.at, begin) if arguments.at else begin
    services = _simulated_services(arguments, change, name, at, night)
    document = {
        ("pool" if change == "slots" else "job"): name or None, "how": change or None, "at": at, "night": night,
        "services": [asdict(service) for service in services],
    }  # fmt: skip
    if not services:
        message = f"no open service waits for {name or 'anything'}, or they have no forecast: headway forecast"
        return print_result(arguments, document, [message])

    def span(outcome: WhatIfOutcome) -> str:
        return "–".join(dict.fromkeys(local_clock_cell(at, now) for at in (outcome.p50, outcome.p95)))

    what_if_risk: ValueColumn[ServiceChange] = ValueColumn(
        "what-if risk", lambda service: format_probability(service.then.late)
    )
    what_if_finish: ValueColumn[ServiceChange] = ValueColumn(
        "what-if expected", lambda service: span(service.then), drop=1
    )
    columns: list[ValueColumn[ServiceChange]] = [
        ValueColumn("service", lambda service: service.title, 12),
        ValueColumn("deadline", lambda service: clock_cell(service.deadline, now)),
        ValueColumn("risk", lambda service: format_probability(service.now.late)),
        *([what_if_risk] if change else []),
        ValueColumn("expected", lambda service: span(service.now), drop=2),
        *([what_if_finish] if change else []),
    ]
    return print_result(arguments, document, table(services, *columns))


def _simulated_services(
    arguments: argparse.Namespace, change: str, name: str, at: datetime, night: date | None
) -> list[ServiceChange]:
    limit_array_threads()
    from console.engine.api.what_if import baseline, more_slots, what_if  # loads the simulation
    from console.forecast.what_if import Counterfactual

    url = store_url_of(arguments)
    try:
        if not change and night is not None:
            return baseline(url, night)
        if change == "slots":
            return more_slots(url, name, arguments.times or DOUBLE, night)
        speed = arguments.by or HALF if change == "faster" else 1.0
        return what_if(url, name, Counterfactual(change), at, speed, night)
    except NotFound as error:
        raise CommandError(Exit.NOT_FOUND, str(error)) from None


def _night_begin(night: date, now: datetime) -> datetime:
    """Noon of that date, the default begin of business dates; `now` if that has passed. Raises CommandError."""
    noon = instant_of_clock(datetime.combine(night, time(12)))
    if now - noon > timedelta(days=1):
        raise CommandError(Exit.USAGE, f"the night of {night} has ended; see headway forecast tonight --date {night}")
    return max(now, noon)


def _time_typed(text: str, example: str) -> time:
    try:
        return time_of_day(text)
    except ValueError:
        raise CommandError(Exit.USAGE, f"--at {text[:40]!a} is not a time of day; write {example}") from None


def next_clock_reading(text: str, now: datetime) -> datetime:
    """The next instant with this time of day in the display zone. Raises CommandError."""
    clock = datetime.combine(now.astimezone(display_zone()).date(), _time_typed(text, "03:58"))
    today = instants_of_clock(clock)
    at = next(at for at in (*today, *instants_of_clock(clock + timedelta(days=1))) if at >= now)
    if len(today) > 1 and at in today:
        print_message(f"{text} occurs twice tonight; using the next one, {at.astimezone(display_zone()):%H:%M %Z}")
    return at


def run_tonight(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        night = reads.service_days.timeline(arguments.business_date)
    at = moment_in_night(arguments.at, night) if arguments.at else night.now
    lanes = timeline_lanes(night, at)
    jobs = [lane for lane in lanes if lane.job is not None]
    services = [lane for lane in lanes if lane.service is not None]
    as_of = f", as of {clock_text(at, near=night.now)}" if arguments.at else ""
    counts = f"{counted(services, 'service')}, {counted(jobs, 'critical job')}"
    heading = f"business date {night.business_date}: {counts}{as_of}; times: {zone_name(at)}"
    return print_result(arguments, timeline_document(night, lanes, at), [heading, ""], timeline_table(lanes, at))


def moment_in_night(text: str, night: TimelineView) -> datetime:
    """The instant of that time of day in the night, in the display zone. Raises CommandError."""
    last = max((service.deadline for service in night.services), default=night.now).astimezone(display_zone())
    clock = datetime.combine(last.date(), _time_typed(text, "03:20"))
    at = instant_of_clock(clock)
    return min(night.now, at if at <= last else instant_of_clock(clock - timedelta(days=1)))


def timeline_table(lanes: Sequence[TimelineLane], near: datetime) -> Table:
    """A row for each service, then one for each job of its path that no service before it has."""

    def clock(at: datetime | None) -> str:
        return clock_text(at, near=near).rpartition(" ")[0] if at is not None else "–"

    def status(lane: TimelineLane) -> list[str]:
        """Status, due time and what ran."""
        if lane.service is not None:
            return [lane.state.replace("_", " "), clock(lane.service.deadline), ""]
        return _job_status(lane, clock)

    def name(lane: TimelineLane) -> str:
        return f"  {lane.name}" if lane.service is None else lane.service.title or lane.name

    return table(
        lanes,
        ValueColumn("service or job", name, 20, middle=True),
        ValueColumn("status", lambda lane: status(lane)[0]),
        ValueColumn("due", lambda lane: status(lane)[1], drop=2),
        ValueColumn("ran", lambda lane: status(lane)[2], drop=1),
        ValueColumn("done", lambda lane: clock(lane.done)),
        ValueColumn("expected", lambda lane: with_case(lane, clock(lane.expected))),
        ValueColumn("p95", lambda lane: clock(lane.late), drop=3),
    )


def _job_status(lane: TimelineLane, clock: Callable[[datetime | None], str]) -> list[str]:
    """Of a job with several runs a night: of the run that its service reads; earlier runs are named apart."""
    run = next((run for run in lane.job.runs if run.id == lane.run_id), None) if lane.job is not None else None
    due = run.due if run is not None else None
    bars = [bar for bar in lane.bars if bar.kind in (BarKind.RAN, BarKind.RUNS)]
    if lane.state:
        return [lane.state, clock(due), _bars_text(bars, clock)]
    due = min(filter(None, (due, lane.next_start)), default=None)
    if not bars:
        return ["not started", clock(due), ""]
    if due is not None and due <= bars[-1].start:
        later = [bar for bar in bars if bar.start >= due]
        return [f"{clock(due)} not started", clock(due), f"since then {_bars_text(later, clock)}"]
    status = f"{clock(due)} not started" if due is not None else "next not started"
    return [status, clock(due), f"before {_bars_text(bars, clock)}"]


def _bars_text(bars: list[TimelineBar], clock: Callable[[datetime | None], str]) -> str:
    return ", ".join(f"{clock(bar.start)}–{clock(bar.end) if bar.kind is BarKind.RAN else '…'}" for bar in bars[-2:])


def timeline_document(night: TimelineView, lanes: Sequence[TimelineLane], at: datetime) -> dict[str, object]:
    """The document of `--json`: the lanes in their order; instants in UTC."""
    return {
        "business_date": night.business_date,
        "at": at,
        "lanes": [
            {
                "kind": "service" if lane.service is not None else "job",
                "name": lane.name,
                "state": lane.state or None,
                "deadline": lane.service.deadline if lane.service is not None else None,
                "done": lane.done,
                "expected": lane.expected,
                "late": lane.late,
                "repair_case": lane.repair_case,
                "source": lane.job.source if lane.job is not None else None,
                "bars": [{"kind": bar.kind, "start": bar.start, "end": bar.end, "state": bar.state or None}
                         for bar in lane.bars],
            }
            for lane in lanes
        ],
    }  # fmt: skip


HANDLERS = {
    "forecast": Handler(run_forecast, option("name", "service or job", "SERVICE|JOB", nargs="?"), JSON),
    "forecast score": Handler(print_score, option("name", "only this service", "SERVICE", nargs="?"), JSON),
    "forecast what-if": Handler(
        run_what_if,
        one_of(
            option("--restart", f"job restarted now, or --at: {JOB_HELP}", "JOB"),
            option("--skip", "job that counts as done now", "JOB"),
            option("--faster", "job that takes half its time, or --by another share", "JOB"),
        ),
        option("--slots", "pool with twice the slots, or --times as many", "POOL"),
        option("--night", "future business date to simulate (default: current)", "DATE", type=business_date),
        option("--times", "with --slots: factor (2)", "N", type=positive_number),
        option("--at", "with --restart: next time of day", "HH:MM", default=""),
        option("--by", "with --faster: share of its duration (0.5)", "SHARE", type=_faster_share),
        JSON,
    ),
    "forecast tonight": Handler(
        run_tonight,
        option("--date", "past business date", "DATE", dest="business_date", type=business_date),
        option("--at", "show the night as of this time", "HH:MM", default=""),
        JSON,
    ),
}
