"""Services: deadline and status, attainment, extensions and review."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from console.cli.arguments import business_date
from console.cli.clock_format import (
    act_by_text,
    clock_cell,
    clock_text,
    local_clock_cell,
    share_service_zone,
)
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.output import (
    PLAIN,
    Table,
    ValueColumn,
    counted,
    print_message,
    print_page,
    print_result,
    table,
)
from console.cli.reader import fresh_store_reader, store_reader, store_url_of
from console.cli.requests import request_answer
from console.control.explain.timeline import TimelineLane
from console.control.services.order import by_urgency
from console.domain.history import EstimateKind, timed_runs_text
from console.domain.ids import micros
from console.domain.incident import IncidentRow
from console.domain.probability import format_percent, format_risk
from console.domain.promise import Attainment, AttainmentView, AttainmentWindow
from console.domain.reason import reasons_text
from console.domain.service import ServiceView, later_text, status_label, unverified_text
from console.engine.api.documents import service_document, services_on
from console.engine.api.requests import ExtendDeadline
from console.timing.durations import format_duration, time_of_day
from console.timing.formats import relative_time_text
from console.timing.zones import instant_at, local_readings

if TYPE_CHECKING:
    from console.control.services.review import ReviewGap
    from console.store.queries import Queries


def attainment_table(views: Sequence[AttainmentView]) -> Table:
    """A row for each service, in their order."""
    return table(
        views,
        ValueColumn("service", lambda view: view.title, 12),
        ValueColumn("tier", lambda view: str(view.tier), drop=3),
        ValueColumn("30 days", lambda view: share_text(view.attainment.windows[0])),
        ValueColumn("90 days", lambda view: share_text(view.attainment.windows[1]), drop=2),
        ValueColumn("objective", lambda view: objective_text(view.attainment), drop=4),
        ValueColumn("error budget left", lambda view: budget_text(view.attainment)),
        ValueColumn("agreement", lambda view: agreement_text(view.attainment), 12, drop=1),
    )


def attainment_lines(view: AttainmentView) -> list[str]:
    """The attainment of one service."""
    attainment = view.attainment
    windows = ", ".join(f"{window.days} days: {share_text(window)}" for window in attainment.windows)
    return [
        f"attainment     {windows}",
        f"objective      {objective_text(attainment)}; error budget left: {budget_text(attainment)}",
        f"agreement      {agreement_text(attainment)}",
    ]


def attainment_json(view: AttainmentView) -> dict[str, object]:
    """The attainment as data, with computed shares and what is left of budget and agreement."""
    known = view.attainment
    slo = {
        "objective": known.objective, "days": known.slo_days,
        "budget_days": known.budget, "budget_left_days": known.budget_left,
    }  # fmt: skip
    sla = {"days": known.sla_days, "allowed": known.sla_allowed, "missed": known.sla_missed, "left": known.sla_left}
    return {
        "service": view.service,
        "title": view.title,
        "tier": view.tier,
        "windows": [
            {name: getattr(window, name) for name in ("days", "judged", "kept", "unknown", "share")}
            for window in known.windows
        ],
        "slo": None if known.objective is None else slo,
        "sla": None if known.sla_allowed is None else sla,
    }


def share_text(window: AttainmentWindow) -> str:
    """ "96.7 % (29 of 30)", with the number of unknown days; "–" if no day was judged."""
    unknown = f", {window.unknown} unknown" if window.unknown else ""
    if window.share is None:
        return f"–{unknown}"
    return f"{window.share:.1%} ({window.kept} of {window.judged}{unknown})".replace("%", " %", 1)


def objective_text(attainment: Attainment) -> str:
    return "–" if attainment.objective is None else f"{attainment.objective:.4g} over {attainment.slo_days}d"


def budget_text(attainment: Attainment) -> str:
    """The remaining error budget: "0.3 of 0.3 days", "-2.0 of 5.0 days: spent"."""
    remaining, budget = attainment.budget_left, attainment.budget
    if budget is None or remaining is None:
        return "–"
    return f"{remaining:.1f} of {budget:.1f} days{': spent' if remaining < 0 else ''}"


def agreement_text(attainment: Attainment) -> str:
    if attainment.sla_allowed is None or attainment.sla_left is None:
        return "–"
    missed = f"{attainment.sla_missed} late of {attainment.sla_allowed} allowed in {attainment.sla_days}d"
    return f"{missed}: broken" if attainment.sla_left < 0 else missed


CERTAIN = 0.995


def run_services(arguments: argparse.Namespace) -> int:
    if arguments.attainment:
        return _print_attainment(arguments)
    with fresh_store_reader(arguments) as reads:
        name, business_date = arguments.name, arguments.business_date
        services = services_on(reads, name, business_date)
        attainment = reads.service_days.service_attainment(name) if name else []
        now, is_old = reads.now(), not reads.estate.header().engine.alive
    document = [service_document(service) for service in services]
    if not arguments.name:
        return print_result(arguments, document, service_table(services, now, is_old))
    share_service_zone({services[0].zone})
    lines = [*service_lines(services[0], now), *attainment_lines(attainment[0])]
    return print_page(arguments, document[0], service_table(services, now, is_old), lines)


def _print_attainment(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        views = reads.service_days.service_attainment(arguments.name)
    document = [attainment_json(view) for view in views]
    return print_result(arguments, document[0] if arguments.name else document, attainment_table(views))


def service_table(services: Sequence[ServiceView], now: datetime, is_old: bool = False) -> Table:
    """The services by urgency. A date without a promise has dashes, and its reason as the cause. `is_old`: nothing is
    monitored."""

    def promised(text: Callable[[ServiceView], str]) -> Callable[[ServiceView], str]:
        return lambda service: text(service) if service.is_promised else "–"

    return table(
        by_urgency(services, now),
        ValueColumn("service", lambda service: service.title, 12),
        ValueColumn("tier", lambda service: str(service.tier), drop=5),
        ValueColumn("timeliness", lambda service: status_label(service, is_old)),
        ValueColumn("deadline", promised(lambda service: clock_cell(service.deadline, now))),
        ValueColumn(
            "time left",
            promised(lambda service: service.delivery_text or relative_time_text(service.deadline, now)),
            drop=6,
        ),
        ValueColumn("slack", promised(lambda service: slack_text(service, now)), drop=4),
        ValueColumn("expected", promised(lambda service: with_case(service, expected_text(service, now))), drop=3),
        ValueColumn("act by", promised(lambda service: _act_by_cell(service, now))),
        ValueColumn("data", promised(lambda service: service.data_state or "–"), drop=2),
        ValueColumn("cause", lambda service: _cause_cell(service, now), 14, middle=True),
        ValueColumn("owner", lambda service: service.owner, drop=1),
        ValueColumn("acknowledged by", promised(lambda service: acknowledged_text(service, now) or "–"), drop=7),
    )


def _act_by_cell(service: ServiceView, now: datetime) -> str:
    return act_by_text(service.act_by if service.delivered is None else None, now, local_clock_cell)


def _cause_cell(service: ServiceView, now: datetime) -> str:
    clock = partial(clock_text, near=now)
    if service.is_promised and (service.problem or service.cause):
        return service.problem.text(clock) if service.problem else service.cause
    if not service.is_promised:
        return reasons_text(service.reasons, clock) or "–"
    return unverified_text(service, clock) or later_text(service, clock) or "–"


def deadline_text(service: ServiceView, now: datetime) -> str:
    """ "06:30 CET", or "07:00 CET, extended from 06:30 CET by ann: late files"; with
    the day if it is not today. A dash on a date without a promise."""
    if not service.is_promised:
        return "–"
    deadline = clock_text(service.deadline, now)
    if not service.extension or service.promised is None:
        return deadline
    promised = clock_text(service.promised, near=service.deadline)
    return f"{deadline}, extended from {promised} {service.extension}"


def slack_text(service: ServiceView, now: datetime) -> str:
    """Deadline less the expected finish; until its act-by the time left to act: "+12m to act"."""
    slack = service.slack(now)
    if service.delivered is not None or service.expected is None or slack is None:
        return "–"
    text = "+" * (slack >= timedelta(0)) + format_duration(slack.total_seconds())
    return f"{text} to act" if service.can_act(now) else with_case(service, text)


def expected_text(service: ServiceView, now: datetime) -> str:
    """ "05:50–06:40": the finish in half and in 95 % of the simulated nights; a dash without a forecast."""
    if service.delivered is not None or service.expected is None:
        return "–"
    first, last = service.expected, max(service.p95 or service.late or service.expected, service.expected)
    return "–".join(dict.fromkeys(local_clock_cell(at, now) for at in (first, last)))


def with_case(of: ServiceView | TimelineLane, text: str) -> str:
    """ "61 %, usual repair": the estimate with the repair that it assumes, if it assumes one."""
    return f"{text}, {of.repair_case}" if of.repair_case is not None and text != "–" else text


def forecast_text(service: ServiceView, now: datetime) -> str:
    """ "05:50–06:40 CET, 61 % risk of being late"; the risk only if it was simulated. Of a service that waits for a
    repair "usual repair: 05:50–06:40 CET, 61 % risk of being late"."""
    expected = expected_text(service, now)
    if expected == "–":
        return expected
    late = "" if service.risk is None else f", {format_risk(service.risk)}"
    case = f"{service.repair_case}: " if service.repair_case is not None else ""
    return f"{case}{expected} {clock_cell(service.expected, now).rpartition(' ')[2]}{late}"


def critical_path_text(service: ServiceView) -> str:
    """ "extract → load (72 %) → publish": with the probability that a job decides the finish, unless it is certain."""
    steps = zip(service.path, service.critical or (1.0,) * len(service.path), strict=False)
    return " → ".join(job if share >= CERTAIN else f"{job} ({format_percent(share)})" for job, share in steps)


def acknowledged_text(service: ServiceView | IncidentRow, now: datetime) -> str:
    """ "mara until 04:15 CET"; empty if it is unacknowledged."""
    until = f" until {clock_cell(service.acknowledged_until, now)}" if service.acknowledged_until is not None else ""
    return f"{service.acknowledged_by}{until}" if service.acknowledged_by else ""


def service_lines(service: ServiceView, now: datetime) -> list[str]:
    return [
        "",
        f"business date  {service.business_date}",
        f"deadline       {deadline_text(service, now)}",
        f"expected       {forecast_text(service, now)}",
        f"owner          {service.owner or '–'}",
        f"acknowledged   {acknowledged_text(service, now) or '–'}",
        f"runbook        {service.runbook or '–'}",
        f"why            {reasons_text(service.reasons, partial(clock_text, near=now)) or '–'}",
        f"critical path  {critical_path_text(service) or '–'}",
        *(f"estimate       {_estimate_text(source)}" for source in service.sources),
    ]


def _estimate_text(source: Mapping[str, object]) -> str:
    """ "load_orders: history (60 runs)", "load_orders: no estimate (1 successful run with a duration)"."""
    kind, runs = str(source.get("source")), source.get("runs")
    count = runs if isinstance(runs, int) else 0
    if kind == EstimateKind.NONE:
        return f"{source.get('job')}: no estimate ({timed_runs_text(count)})"
    return f"{source.get('job')}: {kind} ({counted(count, 'run')})"


def run_extend(arguments: argparse.Namespace) -> int:
    if not arguments.why.strip():
        raise CommandError(Exit.USAGE, "not extended: --why is required; it is shown beside the deadline")
    with store_reader(arguments) as reads:
        view, now = _service_day_of(arguments, reads), reads.now()
    share_service_zone({view.zone})
    until = None if arguments.off else extended_deadline(arguments.until, view, now)
    until_us = None if until is None else micros(until)
    request_answer(arguments, ExtendDeadline(view.name, view.business_date, until_us, arguments.why))
    promised = view.promised or view.deadline
    service_day = {"service": view.name, "business_date": view.business_date}
    document = {**service_day, "promised": promised, "deadline": until or promised, "why": arguments.why}
    due = clock_text(until or promised, near=now)
    change = f"extended from {clock_text(promised, near=now)}" if until else "as promised"
    return print_result(arguments, document, [f"{view.name} {view.business_date}: deadline {due}, {change}"])


def _service_day_of(arguments: argparse.Namespace, reads: Queries) -> ServiceView:
    """The service day to extend. Raises NotFound, and CommandError for a date without a promise."""
    view = reads.services.service(arguments.name, arguments.business_date)
    if not view.is_promised:
        raise CommandError(Exit.REFUSED, f"not extended: {view.name} has {reasons_text(view.reasons, clock_text)}")
    return view


def extended_deadline(text: str, view: ServiceView, now: datetime) -> datetime:
    """The instant that was typed, in the service's zone: a time alone is the first one after its deadline. Of a time
    that occurs twice it is the next to come, which is printed. Raises CommandError."""
    promised, zone = view.promised or view.deadline, ZoneInfo(view.zone)
    try:
        typed = time_of_day(text) if len(text) <= len("08:00") else datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(Exit.USAGE, f'"{text[:40]}" is not a time; write 08:00, or "2026-11-21 08:00"') from None
    if isinstance(typed, datetime):
        try:
            first = typed.replace(tzinfo=typed.tzinfo or zone).astimezone(UTC)
        except OverflowError:
            message = f"{typed:%Y-%m-%d %H:%M} is out of range; check the year"
            raise CommandError(Exit.USAGE, message) from None
        deadline = _later_reading(first, zone, now, text)
    else:
        deadline = _later_reading(next_clock_time(promised, typed, zone), zone, now, text)
        if (extension := deadline - promised) > CLOCK_TIME:
            problem = f"{text} would extend by {format_duration(extension.total_seconds())}; if intended, add the date"
            raise CommandError(Exit.USAGE, f'{problem}: --until "{deadline.astimezone(zone):%Y-%m-%d} {text}"')
    if deadline <= promised:
        due = f"{promised.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        raise CommandError(Exit.USAGE, f"{view.name} is due {due}: {text} is not later")
    return deadline


CLOCK_TIME = timedelta(hours=12)
"""Longest extension by a time without a date: 00:10 for a deadline of 00:30 is a typing error, not a day."""


def _later_reading(at: datetime, zone: ZoneInfo, now: datetime, text: str) -> datetime:
    """`at`, or the second instant with the same clock time if the first has passed; prints which of two it is."""
    instants = local_readings(at.astimezone(zone).replace(tzinfo=None), zone)
    if len(instants) < 2:
        return at
    at = next((instant for instant in instants if instant >= max(at, now)), at)
    print_message(f"{text} occurs twice that night; the deadline is {at.astimezone(zone):%H:%M %Z}")
    return at


def next_clock_time(at: datetime, typed: time, zone: ZoneInfo) -> datetime:
    """The next instant after `at` with that time of day; the clock change for a time that it skips."""
    day = at.astimezone(zone).date()
    clocks = (datetime.combine(day + timedelta(days=days), typed) for days in (0, 1))
    return next(
        instant
        for clock in clocks
        for instant in local_readings(clock, zone) or (instant_at(clock, zone),)
        if instant > at
    )


def run_review(arguments: argparse.Namespace) -> int:
    from console.engine.api.explain import review_service

    with fresh_store_reader(arguments) as reads:
        view = reads.services.service(arguments.name)  # its near misses, before the heavy libraries are loaded
    gaps = review_service(store_url_of(arguments), view.name)
    rows = table(
        gaps,
        ValueColumn("level", lambda gap: gap.level),
        ValueColumn("about", lambda gap: gap.about, 16, middle=True),
        ValueColumn("field", lambda gap: gap.what),
        ValueColumn("declared", lambda gap: gap.written, 10, drop=1),
        ValueColumn("observed", lambda gap: gap.observed, 20),
        ValueColumn("fix", lambda gap: gap.fix, 16, drop=2),
        whole=True,
    )
    none = [f"{view.title}: no gap between declaration and observation"]
    return print_result(
        arguments,
        {"service": view.name, "gaps": gaps},
        *((rows, ["", f"{view.title}: {gap_summary(gaps)}"]) if gaps else (none,)),
        code=Exit.PROBLEM if any(gap.level == "high" for gap in gaps) else Exit.OK,
    )


def gap_summary(gaps: Sequence[ReviewGap]) -> str:
    """ "2 high, 1 medium"."""
    levels = list(dict.fromkeys(gap.level for gap in gaps))
    return ", ".join(f"{sum(gap.level == level for gap in gaps)} {level}" for level in levels)


HANDLERS = {
    "service": Handler(
        run_services,
        option("name", "show one service with its critical path and estimates", "SERVICE", nargs="?"),
        flag("--attainment", "show attainment and error budgets"),
        option("--date", "business date (default: current)", "DATE", dest="business_date", type=business_date),
        PLAIN,
        JSON,
    ),
    "service review": Handler(run_review, option("name", None, "SERVICE"), JSON),
    "service extend": Handler(
        run_extend,
        option("name", None, "SERVICE"),
        one_of(
            option("--until", 'new deadline in the service\'s zone: "08:00", or "2026-11-21 08:00"', "TIME"),
            flag("--off", "revoke the extension"),
            required=True,
        ),
        option("--why", "reason, shown beside the deadline and kept in the audit log", "TEXT", required=True),
        option("--date", "business date (default: current)", "DATE", dest="business_date", type=business_date),
        JSON,
    ),
}
