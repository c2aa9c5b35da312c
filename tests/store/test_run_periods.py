"""The SQL of the rule whose success repairs whose failure, next to the rule."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from itertools import product

from connectors.sdk.states import PeriodKind
from console.control.snapshot.runs import covers_period
from console.domain.estate import RunFacts
from console.store import run_periods
from tests.factories import at, job, run

LOAD = job(1, "etl/load")
FAILED = run(1, LOAD, "03:00", period_key="eu")
GOOD = run(2, LOAD, at("03:30"), period_key="us")


def in_sql(later: RunFacts, failed: RunFacts) -> bool:
    row = "SELECT ? AS period_kind, ? AS period_name, ? AS business_date"
    values = [
        value
        for it in (later, failed)
        for value in (it.period_kind.value, it.period_name, it.business_date.isoformat())
    ]
    query = f"SELECT {run_periods.covers_period('n', 'r')} FROM ({row}) n, ({row}) r"
    [(covers,)] = sqlite3.connect(":memory:").execute(query, values)
    return bool(covers)


def test_queries_and_decisions_have_one_rule() -> None:
    for failed_kind, kind, days, name in product(PeriodKind, PeriodKind, (-1, 0, 1), ("", "eu")):
        failed = replace(FAILED, period_kind=failed_kind)
        own = name if kind is PeriodKind.NAME else ""
        date = failed.business_date + timedelta(days=days)
        later = replace(GOOD, period_kind=kind, business_date=date, own_period=own)
        assert covers_period(later, failed) is in_sql(later, failed), (failed_kind, kind, days, name)
