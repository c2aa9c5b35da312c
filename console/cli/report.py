"""The monthly report of services, systems and pools: as tables, JSON, or one HTML file."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Any

from console.cli.clock_format import timestamp
from console.cli.commands import JSON, Handler, argument, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.output import Table, ValueColumn, print_result, table, write_page
from console.cli.reader import fresh_store_reader
from console.domain.report import (
    BARS_TEXT,
    TREND_MONTHS,
    MonthFigures,
    PoolFigures,
    ReportFigure,
    Unit,
    figures_of,
    months_back,
    share_text,
)
from console.timing.durations import format_duration

_DROPS = {"cost": 1, "changes": 2, "failed after": 2, "acknowledged": 3, "slack": 4, "missed": 5, "unknown": 6,
          "recovered": 7, "incidents": 8}  # fmt: skip
"""Order in which a narrow terminal loses figures."""


def run_report(arguments: argparse.Namespace) -> int:
    name = arguments.name or arguments.subject
    with fresh_store_reader(arguments) as reads:
        now, estate = reads.now(), reads.estate.header().estate
        last = arguments.month or now.date()
        if last > now.date():
            raise CommandError(Exit.USAGE, f"--month {last:%Y-%m} is in the future. Fix: a month up to {now:%Y-%m}")
        months = months_back(last, TREND_MONTHS if name else 1)
        figures = reads.reports.months(months, name or "")
        pools = [] if name else reads.reports.pools(months[-1])
    services, systems = ([row for row in figures if row.kind == kind] for kind in ("service", "system"))
    tables = [
        (title, figures_table(rows, bool(name), has_bars=bool(arguments.html)))
        for title, rows in (("Services", services), ("Systems", systems))
        if rows
    ]
    tables += [("Pools", pool_table(pools))] if pools else []
    about = figures[0].title if name and figures else "Report"
    headline = f"{about} {' to '.join(dict.fromkeys((months[0], months[-1])))}"
    if arguments.html:
        from importlib.resources import files

        from console.text.html_page import rendered_page

        template = files("console.cli").joinpath("report.html").read_text()
        texts = {"headline": headline, "bars_text": BARS_TEXT if name else ""}
        page = rendered_page(template, None, estate=estate, now=now, as_of=timestamp(now), tables=tables, **texts)
        write_page(page, arguments.html)
        return Exit.OK
    document = {"months": [_document(row) for row in figures], "pools": [_document(row) for row in pools]}
    parts = [part for title, rows in tables for part in (["", title], rows)]
    return print_result(arguments, document, [headline], *(parts or [["nothing is recorded"]]))


def figures_table(rows: Sequence[MonthFigures], is_trend: bool, has_bars: bool = False) -> Table:
    """One row per service or system; a trend has one per month, and with `has_bars` a last one of bars."""
    figures = figures_of(rows)
    name = ValueColumn[MonthFigures]("name", lambda row: row.title, 18)
    first = ValueColumn[MonthFigures]("month", lambda row: row.month) if is_trend else name
    columns = [ValueColumn(figure.name, partial(_cell, figure), drop=_DROPS.get(figure.name, 0)) for figure in figures]
    made = table(rows, first, *columns)
    bars = ["trend", *(figure.trend(rows) for figure in figures)]
    return made._replace(rows=[*made.rows, bars]) if is_trend and has_bars else made


def pool_table(rows: Sequence[PoolFigures]) -> Table:
    return table(
        rows,
        ValueColumn("pool", lambda row: row.pool, 12),
        ValueColumn("slots", lambda row: str(row.slots)),
        ValueColumn("busy", lambda row: "–" if row.busy_s is None else format_duration(row.busy_s)),
        ValueColumn("utilization", lambda row: "–" if row.utilization is None else share_text(row.utilization)),
    )


def _cell(figure: ReportFigure, row: MonthFigures) -> str:
    """ "97 % (29 of 30)", "12m", "4"; a dash without any."""
    value = figure.value(row)
    if value is None:
        return "–"
    if figure.parts is not None:
        part, whole = figure.parts(row)
        return f"{share_text(value)} ({part:,} of {whole:,})"
    if figure.unit is Unit.SECONDS:
        return format_duration(value)
    return f"{value:,.2f}" if figure.unit is Unit.COST else f"{value:,}"


def _document(row: MonthFigures | PoolFigures) -> dict[str, Any]:
    """The figures with their shares."""
    if isinstance(row, PoolFigures):
        return {**asdict(row), "utilization": row.utilization}
    return {
        **asdict(row),
        "attainment": row.attainment,
        "sla_attainment": row.sla_attainment,
        "success_rate": row.success_rate,
        "change_failure_rate": row.change_failure_rate,
    }


def month(text: str) -> date:
    """ "2026-10" as its first day. Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) or text < "1000":
        raise argparse.ArgumentTypeError(f'"{text}" is not a month; write it as 2026-10')
    return date.fromisoformat(f"{text}-01")


HANDLERS = {
    "report": Handler(
        run_report,
        one_of(
            option("name", f"one service or system over {TREND_MONTHS} months", "NAME", nargs="?"),
            argument("--service", "--system", help=argparse.SUPPRESS, dest="subject"),  # NAME, as others write it
        ),
        option("--month", "month, with NAME the last of six (default: the current)", "YYYY-MM", type=month),
        option("--html", "write an HTML page; - is stdout", "FILE"),
        JSON,
    )
}
