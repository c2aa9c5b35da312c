"""`headway checks [NAME]`: what is asked of data and what the last looks found; `--now` has the engine look."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from console.cli.asking import answered, require_engine
from console.cli.common import Stop, business_date, now_of, print_json, reading, say_lines, stamp, until
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.durations import duration_words

if TYPE_CHECKING:
    from console.model.views.checks import CheckView, LookView

LIST = (
    Col("check", 14), Col("last"), Col("date", drop=2), Col("age"), Col("next", drop=1), Col("found", 24),
    Col("waited for by", 14, drop=3),
)  # fmt: skip
LOOKS = (Col("date"), Col("looked at"), Col("since", drop=2), Col("looks", drop=1), Col("state"), Col("found", 24))
GOOD = ("passed", "learning")
SPARE_SECONDS = 15.0
"""Beyond a check's own timeout, for the engine to take the question up."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="CHECK", help="one check with its looks; without it, a list of all")
    parser.add_argument("--bd", type=business_date, metavar="DATE", help="business date; default: the latest looked at")
    parser.add_argument("--now", action="store_true", help="have the engine look now, for the present date or --bd")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        if arguments.now or arguments.bd:
            raise Stop(Exit.USAGE, "which check? Name one: headway checks CHECK --now")
        return _list(arguments)
    if arguments.now:
        return _now(arguments)
    with reading(arguments) as reads:
        [view] = reads.checks(arguments.name, arguments.bd)
        looks = reads.looks(arguments.name, arguments.bd)
    if arguments.json:
        print_json(arguments, {**_plain(view), "looks": [asdict(one) for one in looks]})
    else:
        say_lines(_head(view))
        if looks:
            print_table(LOOKS, [_look_cells(one) for one in looks])
    return Exit.PROBLEM if view.last is not None and view.last.state not in GOOD else Exit.OK


def _list(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        views = reads.checks()
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, [_plain(view) for view in views])
    elif views:
        print_table(LIST, [_cells(view, now) for view in views])
    else:
        say_lines(["the config has no check: docs/checks.md says how to write one"])
    return Exit.OK


def _now(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        [view] = reads.checks(arguments.name)
    requests = require_engine(arguments)
    seconds = view.timeout_seconds + SPARE_SECONDS
    data = answered(arguments, requests, requests.look(arguments.name, arguments.bd), seconds)
    if arguments.json:
        print_json(arguments, data)
    else:
        say_lines([f"{data['check']} {data['bd']}: {data['state']}: {data['words']}"])
    return Exit.OK if data["state"] in GOOD else Exit.PROBLEM


def _cells(view: CheckView, now: datetime) -> tuple[str, ...]:
    last, waits = view.last, ", ".join(view.waits) or "–"
    if last is None:
        return (view.name, "never", "–", "–", _next(view, now), view.about, waits)
    age = duration_words((now - last.at).total_seconds())
    return (view.name, last.state, last.bd, age, _next(view, now), last.words, waits)


def _next(view: CheckView, now: datetime) -> str:
    if view.next_at is not None:
        return until(view.next_at, now) if view.next_at > now else "now"
    return "when waited for" if view.waits and not view.awaited else "now"


def _look_cells(one: LookView) -> tuple[str, ...]:
    return (one.bd, stamp(one.at), stamp(one.since), str(one.looks), one.state, one.words)


def _head(view: CheckView) -> list[str]:
    every = duration_words(view.every_seconds)
    waits = ", ".join(view.waits) or f"nobody: it is looked at each {every}"
    lines = [f"{view.name}: {view.about} ({view.kind}, each {every}, business dates in {view.zone})"]
    lines += [f"  waited for by {waits}"]
    lines += ["  it only warns: it keeps nobody waiting"] if view.severity == "warn" else []
    return lines if view.last is not None else [*lines, f"  never looked at; now: headway checks {view.name} --now"]


def _plain(view: CheckView) -> dict[str, Any]:
    return asdict(view)
