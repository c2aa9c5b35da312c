"""`headway incidents`: root causes that are open, the most harmful first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from console.cli.common import now_of, print_json, since_words, stamp, until, watched
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.model.ids import incident_name
from console.model.views import IncidentRow
from console.model.views.incidents import by_harm

COLUMNS = (
    Col("incident"), Col("cause", 24), Col("failed", drop=3), Col("act by"), Col("services"), Col("runs", drop=2),
    Col("owner", drop=1), Col("on it", drop=4),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="closed ones too")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        incidents = reads.incidents() + (reads.incidents(closed=True) if arguments.all else [])
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, incidents)
    else:
        print_table(*incident_rows(incidents, now))
    return Exit.OK


def incident_rows(incidents: Sequence[IncidentRow], now: datetime) -> tuple[Sequence[Col], list[tuple[str, ...]]]:
    """Columns and rows of the list, the most harmful first, closed ones below."""
    return COLUMNS, [_row(one, now) for one in by_harm(incidents)]


def _taken(one: IncidentRow) -> str:
    return f"{one.taken_by} until {stamp(one.taken_until)}" if one.taken_by else ""


def _row(one: IncidentRow, now: datetime) -> tuple[str, ...]:
    act_by = "closed" if one.closed else until(one.act_by, now)
    failed = since_words(one.failed_since, now)
    return (
        incident_name(one.id),
        one.title,
        failed,
        act_by,
        str(one.services),
        str(one.hurt),
        one.owner or "–",
        _taken(one),
    )
