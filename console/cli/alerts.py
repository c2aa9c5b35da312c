"""Alerts and who receives them: deliveries, suppressed alerts, silences, on-call rotas."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.arguments import duration, instant_with_zone, timeout, whole_number
from console.cli.clock_format import timestamp, until_text
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_message, print_parts, print_result, set_document, table
from console.cli.reader import store_reader, stored
from console.cli.requests import request_answer
from console.domain.alert import MATCHERS, AlertDeliveryView, RotaView, SuppressionView
from console.domain.ids import incident_name, instant, micros
from console.engine.api.requests import AddSilence, ExpireSilence, RetryAlerts, SendTest
from console.store.errors import AmbiguousName, NotFound
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.timing.formats import age_text

if TYPE_CHECKING:
    from console.store.queries import Queries

TEST_SECONDS = 90.0
"""How long to wait for a delivery; longer than a mail server takes to answer."""
MAX_NEAR_ALERTS = 5
TITLE_WIDTH = 60


def list_alerts(arguments: argparse.Namespace) -> int:
    """Lists deliveries that no receiver has accepted, or suppressed alerts."""
    if arguments.suppressed:
        return list_suppressed(arguments)
    with store_reader(arguments) as reads:
        deliveries, now = reads.alerts.undelivered(), reads.now()
    rows = table(
        deliveries,
        ValueColumn("id", lambda delivery: str(delivery.id)),
        ValueColumn("route", lambda delivery: delivery.route, 8),
        ValueColumn("to", lambda delivery: delivery.receiver, 12, drop=2),
        ValueColumn("state", lambda delivery: delivery.state),
        ValueColumn("attempts", lambda delivery: str(delivery.tries), drop=1),
        ValueColumn("created", lambda delivery: age_text(delivery.made, now), drop=3),
        ValueColumn("next try", lambda delivery: _next_try_text(delivery, now), drop=2),
        ValueColumn("alert", lambda delivery: delivery.title, 16),
        ValueColumn("last response", lambda delivery: delivery.error, 14),
    )
    print_result(arguments, deliveries, rows)
    if any(delivery.state == "parked" for delivery in deliveries) and not arguments.json:
        print_message(
            "a parked delivery is tried once more when its URL accepts another alert."
            " Fix the route, then: headway alert retry --parked (or ID)"
        )
    return Exit.OK


def _next_try_text(delivery: AlertDeliveryView, now: datetime) -> str:
    return "now" if delivery.next_try is not None and delivery.next_try <= now else until_text(delivery.next_try, now)


def list_suppressed(arguments: argparse.Namespace) -> int:
    """Lists suppressed alerts with stage and reason."""
    with store_reader(arguments) as reads:
        suppressions, now = reads.alerts.suppressed(), reads.now()
    rows = table(
        suppressions,
        ValueColumn("incident", lambda suppression: incident_name(suppression.incident_id)),
        ValueColumn("route", lambda suppression: suppression.route, 8),
        ValueColumn("kind", lambda suppression: suppression.kind, drop=1),
        ValueColumn("suppressed by", lambda suppression: suppression.stage),
        ValueColumn("until", lambda suppression: suppressed_until(suppression, now), drop=2),
        ValueColumn("why", lambda suppression: suppression.why, 16),
        whole=True,
    )
    return print_result(arguments, suppressions, rows)


def suppressed_until(suppression: SuppressionView, now: datetime) -> str:
    """The end of the suppression as a time; else as the condition that ends it."""
    return until_text(suppression.until, now) if suppression.until is not None else f"{suppression.stage} ends"


def _alert_number(typed: str) -> int | None:
    try:
        return whole_number(typed)
    except argparse.ArgumentTypeError:
        return None


def _no_such_delivery(typed: str, candidates: Sequence[tuple[int, str]]) -> str:
    known = "; ".join(f"{number} ({clean_line(title, TITLE_WIDTH)})" for number, title in candidates)
    return f'no parked delivery "{clean_line(typed[:40])}"; {f"known: {known}" if known else "none exists"}'


def test_route(arguments: argparse.Namespace) -> int:
    """Sends a message to each URL of a route; prints the outcomes, and how on-call services show it."""
    from console.diagnosis.routes import page_text
    from console.diagnosis.targets import differs_in_engine

    data = request_answer(arguments, SendTest(arguments.name))
    until = time.monotonic() + arguments.timeout
    deliveries = _test_deliveries(arguments, int(data["alert"]), until)
    header = stored(arguments, lambda reads: reads.estate.header())
    for variable in sorted({delivery.receiver.removeprefix("env ") for delivery in deliveries}):
        if differs_in_engine(header, variable):
            print_message(f"sent by the engine with its own {variable}, which differs from this shell's")
    set_document(arguments, deliveries)
    is_read, key = True, data.get("key")  # without one: an engine of the version before
    for delivery in deliveries if key else ():
        if delivery.state == "sent" and (page := page_text(delivery.route, delivery.receiver, str(key), until)):
            is_read = is_read and page[0]
            _report(arguments, delivery, page[1])
    if not is_read or any(delivery.state == "parked" and not delivery.repeats for delivery in deliveries):
        return Exit.PROBLEM
    return Exit.OK if all(delivery.state == "sent" for delivery in deliveries) else Exit.UNKNOWN


def _test_deliveries(arguments: argparse.Namespace, alert_id: int, until: float) -> Sequence[AlertDeliveryView]:
    """The deliveries of a test once all have ended or it is `until`; prints each as it ends."""
    printed = set[int]()
    with store_reader(arguments) as reads:
        while True:
            deliveries = reads.alerts.deliveries_of(alert_id)
            for delivery in deliveries:
                if delivery.is_over and delivery.id not in printed:
                    printed.add(delivery.id)
                    _report(arguments, delivery, _delivery_outcome(delivery))
            if len(printed) == len(deliveries) or time.monotonic() > until:
                break
            time.sleep(0.1)
    for delivery in deliveries:
        if not delivery.is_over:
            limit = format_duration(arguments.timeout)
            _report(arguments, delivery, f"no outcome after {limit}; delivery goes on. Status: headway alert")
    return deliveries


def _report(arguments: argparse.Namespace, delivery: AlertDeliveryView, outcome: str) -> None:
    line = f"{delivery.receiver}: {outcome}"
    if arguments.json:
        print_message(line)  # stdout is the one document
    else:
        print_parts([line])


def _delivery_outcome(delivery: AlertDeliveryView) -> str:
    if delivery.state == "sent":
        took = f" in {format_duration((delivery.sent - delivery.made).total_seconds())}" if delivery.sent else ""
        return f"accepted{took}"
    return f"sent, outcome unknown: {delivery.error}" if delivery.repeats else f"not accepted: {delivery.error}"


def retry_delivery(arguments: argparse.Namespace) -> int:
    """Queues parked deliveries again."""
    number = None if arguments.parked else _alert_number(arguments.name)
    if number is None and not arguments.parked:
        with store_reader(arguments) as reads:
            undelivered = reads.alerts.undelivered()
        parked = [(delivery.id, delivery.title) for delivery in undelivered if delivery.state == "parked"]
        raise CommandError(Exit.USAGE, _no_such_delivery(arguments.name, parked[:MAX_NEAR_ALERTS]))
    data = request_answer(arguments, RetryAlerts(number))
    message = f"{counted(data['deliveries'], 'alert')} queued for retry. Status: headway alert"
    return print_result(arguments, data, [message])


MATCHER_HELP = {
    "system": "system of the root cause; * matches any text",
    "job": "job of the root cause: SYSTEM/ID or a pattern",
    "service": "affected service",
    "tier": "tier of the most important affected service",
    "owner": "owner of the root cause",
    "route": "route that is not notified; others are",
}


def list_silences(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        silences = reads.alerts.silences(ended=arguments.all)
    rows = table(
        silences,
        ValueColumn("id", lambda silence: str(silence.id)),
        ValueColumn("matchers", lambda silence: matchers_text(silence.matchers), 20),
        ValueColumn("from", lambda silence: timestamp(silence.begins), drop=2),
        ValueColumn("until", lambda silence: timestamp(silence.ended or silence.until)),
        ValueColumn("by", lambda silence: silence.by, drop=1),
        ValueColumn("why", lambda silence: silence.why, 12),
    )
    return print_result(arguments, silences, rows)


def matchers_text(matchers: dict[str, str]) -> str:
    return " ".join(f"{name}={pattern}" for name, pattern in matchers.items())


def add_silence(arguments: argparse.Namespace) -> int:
    matchers = {name: getattr(arguments, name) for name in MATCHERS if getattr(arguments, name)}
    if not matchers:
        options = ", ".join(f"--{name}" for name in MATCHERS)
        raise CommandError(Exit.USAGE, f"no silence added: give at least one of {options}")
    if not arguments.why.strip():
        raise CommandError(Exit.USAGE, "no silence added: --why is required; it is shown with each suppressed alert")
    unmatched = _refuse_unknown_matcher(arguments, matchers)
    begins = micros(arguments.begins) if arguments.begins is not None else None
    data = request_answer(arguments, AddSilence(matchers, arguments.length.total_seconds(), arguments.why, begins))
    until = timestamp(instant(int(data["until_us"])))
    print_result(arguments, data, [f"silence {data['silence']}: {matchers_text(matchers)} until {until}"])
    for name, pattern in unmatched:
        print_message(f'no {name} matches "{pattern}" yet')
    return Exit.OK


def _refuse_unknown_matcher(arguments: argparse.Namespace, matchers: dict[str, str]) -> list[tuple[str, str]]:
    """Patterns that match nothing yet. Raises CommandError for an exact name that does not exist. Replaces a short
    name of a job in `matchers` by its full name."""
    with store_reader(arguments) as reads:
        unknown = reads.names.unknown_matchers(matchers)
        if any(name == "job" and "*" not in pattern for name, pattern, _ in unknown):
            matchers["job"] = _full_job_name(reads, matchers["job"])
            unknown = reads.names.unknown_matchers(matchers)
    for name, pattern, hint in unknown:
        if "*" not in pattern:
            raise CommandError(Exit.NOT_FOUND, f'no silence added: no {name} "{clean_line(pattern)}". {hint}')
    return [(name, clean_line(pattern)) for name, pattern, _ in unknown]


def _full_job_name(reads: Queries, typed: str) -> str:
    """The full name for a unique short one; else as typed. Raises AmbiguousName."""
    try:
        return reads.jobs.job_named(typed)
    except AmbiguousName:
        raise
    except NotFound:
        return typed


def expire_silence(arguments: argparse.Namespace) -> int:
    data = request_answer(arguments, ExpireSilence(arguments.id, arguments.why))
    return print_result(arguments, data, [f"silence {arguments.id}: expired"])


NEXT_SHIFTS = 5


def run_rota(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        now = reads.now()
        at: datetime = arguments.at or now
        rotas = reads.alerts.rotas(at)
    if arguments.name is not None:
        return _print_rota(arguments, rotas, at, now)
    rows = table(
        rotas,
        ValueColumn("rota", lambda rota: rota.name),
        ValueColumn("on call", lambda rota: rota.person or "nobody"),
        ValueColumn("until", lambda rota: timestamp(rota.until)),
        ValueColumn("refreshed", lambda rota: age_text(rota.read, now), drop=1),
        ValueColumn("problem", lambda rota: rota.error, 16, drop=2),
    )
    return print_result(arguments, rotas, rows)


def _print_rota(arguments: argparse.Namespace, rotas: list[RotaView], at: datetime, now: datetime) -> int:
    rota = next((rota for rota in rotas if rota.name == arguments.name), None)
    if rota is None:
        known = ", ".join(rota.name for rota in rotas)
        hint = f"known: {known}" if known else "the config has no [rotas.NAME]"
        raise CommandError(Exit.NOT_FOUND, f'no rota "{arguments.name}"; {hint}')
    if at > rota.known_until:
        print_message(f"the on-call calendar is read until {timestamp(rota.known_until)}; later shifts are unknown")
    until = f" until {timestamp(rota.until)}" if rota.until else ""
    lines = [
        f"{rota.name}: {rota.person or 'nobody'} is on call{until}",
        *(
            f"  then {person} from {timestamp(begins)} until {timestamp(ends)}"
            for person, begins, ends in rota.then[:NEXT_SHIFTS]
        ),
        f"  refreshed {age_text(rota.read, now)} from {rota.source}",
        *([f"  problem: {rota.error}"] if rota.error else []),
    ]
    return print_result(arguments, rota, lines, code=Exit.OK if rota.person else Exit.PROBLEM)


HANDLERS = {
    "silence": Handler(list_silences, flag("--all", "include expired silences"), JSON),
    "silence add": Handler(
        add_silence,
        *(option(f"--{name}", MATCHER_HELP[name], "PATTERN") for name in MATCHERS),
        option("--for", "duration: 2h", "TIME", dest="length", type=duration, required=True),
        option("--from", "start time (now)", "TIME", dest="begins", type=instant_with_zone),
        option("--why", "reason, shown with each suppressed alert", "TEXT", required=True),
        JSON,
    ),
    "silence expire": Handler(
        expire_silence,
        option("id", "id of the silence, from `headway silence`", "ID", type=whole_number),
        option("--why", "reason for the audit log", "TEXT", default=""),
        JSON,
    ),
    "oncall": Handler(
        run_rota,
        option("name", "name of the rota in the config", "ROTA", nargs="?"),
        option("--at", "show who is on call at this time: 2026-11-21T02:00Z", "TIME", type=instant_with_zone),
        JSON,
    ),
    "alert": Handler(list_alerts, flag("--suppressed", "list suppressed alerts, with the stage and the reason"), JSON),
    "alert test": Handler(
        test_route,
        option("name", "route in the config", "ROUTE"),
        timeout("how long to wait", TEST_SECONDS),
        JSON,
    ),
    "alert retry": Handler(
        retry_delivery,
        one_of(
            option("name", "id of a parked delivery, from `headway alert`", "ID", nargs="?"),
            flag("--parked", "all parked deliveries"),
            required=True,
        ),
        JSON,
    ),
}
