"""`headway alert`: what was not delivered; `alert test ROUTE` shows that a route works; `alert retry` sends again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime

from console.clean import clean_line
from console.cli.asking import answered, require_engine
from console.cli.common import (
    Stop,
    count,
    day_words,
    now_of,
    print_json,
    reading,
    say,
    say_lines,
    since_words,
    wait_seconds,
    whole_number,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.model.ids import incident_name
from console.model.views import AlertDelivery, HeldView

TEST_SECONDS = 90.0
"""Longer than a mail server keeps anybody waiting that will answer at all."""
COLUMNS = (
    Col("id"), Col("route", 8), Col("to", 12, drop=2), Col("state"), Col("tries", drop=1), Col("made", drop=3),
    Col("alert", 16), Col("last answer", 14),
)  # fmt: skip

HELD_COLUMNS = (
    Col("incident"), Col("route", 8), Col("kind", drop=1), Col("held by"), Col("until", drop=2), Col("why", 16),
)  # fmt: skip


FEW = 5
TITLE = 60
USAGE = """%(prog)s [list] [--held] [options]
       %(prog)s test ROUTE [--timeout SECONDS] [options]
       %(prog)s retry (ID | --parked) [options]
       %(prog)s useful ID (yes | no) [--why TEXT] [options]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument("what", nargs="?", choices=["list", "test", "retry", "useful"], default="list")
    parser.add_argument(
        "name",
        nargs="?",
        metavar="ROUTE | ID",
        help="test: a route; retry: the id of a parked delivery; useful: the alert's number",
    )
    parser.add_argument("said", nargs="?", metavar="yes|no", choices=["yes", "no"], help="useful: whether it was")
    parser.add_argument("--why", default="", metavar="TEXT", help="useful: what made it so, or would have")
    parser.add_argument("--held", action="store_true", help="list: what is held back now, by which stage and why")
    parser.add_argument("--parked", action="store_true", help="retry: all that are parked")
    parser.add_argument(
        "--timeout", type=wait_seconds, default=TEST_SECONDS, metavar="SECONDS", help="test: wait that long (90)"
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.parked and arguments.what != "retry":
        raise Stop(Exit.USAGE, "--parked goes with retry: headway alert retry --parked; nothing was sent again")
    if arguments.held:
        return show_held(arguments)
    return {"list": show, "test": test, "retry": retry, "useful": useful}[arguments.what](arguments)


def show(arguments: argparse.Namespace) -> int:
    """Deliveries that were given up, or that nobody has accepted yet."""
    with reading(arguments) as reads:
        found, now = reads.unsent(), now_of(reads)
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    rows = [
        (str(one.id), one.route, one.url_words, one.state, str(one.tries), since_words(one.made, now), one.title,
         one.error)
        for one in found
    ]  # fmt: skip
    print_table(COLUMNS, rows)
    if any(one.state == "parked" for one in found):
        say("parked: not tried again by itself; once it is mended: headway alert retry --parked, or with its id")
    return Exit.OK


def show_held(arguments: argparse.Namespace) -> int:
    """What a stage holds back now: no notice is missing without a reason."""
    with reading(arguments) as reads:
        found, now = reads.held_back(), now_of(reads)
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    rows = [
        (incident_name(one.incident_id), one.route, one.kind, one.stage, held_until(one, now), one.why)
        for one in found
    ]  # fmt: skip
    print_table(HELD_COLUMNS, rows, whole=True)
    return Exit.OK


def held_until(one: HeldView, now: datetime) -> str:
    """When time alone lets it go; else when what holds it is over."""
    return day_words(one.until, now) if one.until is not None else f"{one.stage} is over"


def _number(typed: str) -> int | None:
    """As typed; None for what is no number."""
    try:
        return whole_number(typed)
    except argparse.ArgumentTypeError:
        return None


def _no_such(what: str, typed: str, known: Sequence[tuple[int, str]]) -> str:
    """With those that may be meant: number and title."""
    there = "; ".join(f"{number} ({clean_line(title, TITLE)})" for number, title in known)
    return f'no {what} has the number "{clean_line(typed[:40])}"; {f"there are {there}" if there else "there is none"}'


def useful(arguments: argparse.Namespace) -> int:
    """What a person says of an alert; `headway report --noise` counts it."""
    if not arguments.name or not arguments.said:
        raise Stop(Exit.USAGE, "headway alert useful ID yes|no: the alert names its ID in its last lines")
    with reading(arguments) as reads:
        number = _number(arguments.name)
        if number is None or not reads.has_alert(number):
            code = Exit.USAGE if number is None else Exit.NOT_FOUND
            raise Stop(code, _no_such("alert", arguments.name, reads.latest_alerts(FEW)))
    requests = require_engine(arguments)
    data = answered(arguments, requests, requests.judge_alert(number, arguments.said == "yes", arguments.why))
    if arguments.json:
        print_json(arguments, data)
    else:
        say_lines([f"alert {number}: {'useful' if data['useful'] else 'not useful'}"])
    return Exit.OK


def test(arguments: argparse.Namespace) -> int:
    """A message to each URL of a route; what became of each."""
    if not arguments.name:
        raise Stop(Exit.USAGE, "headway alert test ROUTE: which route?")
    requests = require_engine(arguments)
    data = answered(arguments, requests, requests.test_route(arguments.name))
    found = _outcomes(arguments, int(data["alert"]))
    if arguments.json:
        print_json(arguments, found)
    return _exit(found)


def _outcomes(arguments: argparse.Namespace, alert_id: int) -> Sequence[AlertDelivery]:
    """The deliveries of a test once each is over, or when the time is; each is told as it ends."""
    until, told = time.monotonic() + arguments.timeout, set[int]()
    with reading(arguments) as reads:
        while True:
            found = reads.deliveries_of(alert_id)
            for one in found:
                if one.is_over and one.id not in told:
                    told.add(one.id)
                    _tell(arguments, one)
            if len(told) == len(found) or time.monotonic() > until:
                break
            time.sleep(0.1)
    for one in found:
        if not one.is_over:
            words = f"no outcome in {duration_words(arguments.timeout)}; it goes on without this command"
            _say(arguments, f"{one.url_words}: {words}: headway alert")
    return found


def _tell(arguments: argparse.Namespace, one: AlertDelivery) -> None:
    if one.state == "sent":
        took = duration_words((one.sent - one.made).total_seconds()) if one.sent else ""
        _say(arguments, f"{one.url_words}: accepted{f' in {took}' if took else ''}")
    elif one.repeats:
        _say(arguments, f"{one.url_words}: sent, and nobody knows whether it arrived: {one.error}")
    else:
        _say(arguments, f"{one.url_words}: not accepted: {one.error}")


def _say(arguments: argparse.Namespace, line: str) -> None:
    if arguments.json:
        say(line)  # stdout is the one document
    else:
        say_lines([line])


def _exit(found: Sequence[AlertDelivery]) -> int:
    if any(one.state == "parked" and not one.repeats for one in found):
        return Exit.PROBLEM
    return Exit.OK if all(one.state == "sent" for one in found) else Exit.UNKNOWN


def retry(arguments: argparse.Namespace) -> int:
    """Parked deliveries leave again; `headway alert` tells how they fare."""
    if arguments.parked == bool(arguments.name):
        raise Stop(Exit.USAGE, "nothing was retried: write headway alert retry ID, or --parked for all")
    wanted = None if arguments.parked else _number(arguments.name)
    if wanted is None and not arguments.parked:
        with reading(arguments) as reads:
            parked = [(one.id, one.title) for one in reads.unsent() if one.state == "parked"]
        raise Stop(Exit.USAGE, _no_such("parked delivery", arguments.name, parked[:FEW]))
    requests = require_engine(arguments)
    data = answered(arguments, requests, requests.retry_parked(wanted))
    if arguments.json:
        print_json(arguments, data)
    else:
        say_lines([f"{count(data['deliveries'], 'alert')} will be sent again; how it goes: headway alert"])
    return Exit.OK
