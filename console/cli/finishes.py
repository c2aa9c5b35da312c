"""When each service would be there, by each way to go on: a table below a plan that is shown."""

from __future__ import annotations

from datetime import datetime

from console.cli.common import clock_words, say_lines
from console.cli.table import Col, print_table
from console.model.finishes import SUM, Finish, Outlook
from console.model.plans import Save


def print_outlook(found: Outlook) -> None:
    """A row for each service; of the ways as many as fit, the most important ones first. Nothing where none is told."""
    if not found.ways:
        return
    summed = f"; {SUM} a sum of usual times" if found.is_mixed else ""
    say_lines(["", f"predicted finish, by each way (* as it stands here{summed}):"])
    last = len(found.ways)
    ways = [
        Col(f"{way.words}{'*' * way.is_present}", drop=0 if number < 2 else last - number)
        for number, way in enumerate(found.ways)
    ]
    rows = [
        [day.service, clock_words(_due(day), day.zone), *(_cell(found, way.finishes[at], day) for way in found.ways)]
        for at, day in enumerate(found.days)
    ]
    print_table([Col("service", 8, middle=True), Col("due"), *ways], rows)


def _due(day: Save) -> datetime:
    return datetime.fromisoformat(day.deadline)


def _cell(found: Outlook, one: Finish, day: Save) -> str:
    """ "06:05, 12 % late", "~06:05 on time", with its day where that is not the deadline's; "not delivered"."""
    at = clock_words(one.at, day.zone, _due(day)).rpartition(" ")[0] if one.at is not None else ""
    return f"{found.sign(one)}{at}{one.words}".lstrip()
