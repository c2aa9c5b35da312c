"""The SQL of `console.control.snapshot.runs.covers_period`."""

from __future__ import annotations

from connectors.sdk.states import PeriodKind

NO_LATER_PERIOD = f"('{PeriodKind.NAME}', '{PeriodKind.ALL}')"
"""Kinds of periods without order."""


def covers_period(later: str, run: str) -> str:
    """The condition on two rows of `run` of the same job, by their names in the statement."""
    return (
        f"({later}.period_kind = '{PeriodKind.ALL}' OR ({run}.period_name <> '' AND {later}.period_name ="
        f" {run}.period_name) OR ({run}.period_kind NOT IN {NO_LATER_PERIOD} AND {later}.period_kind <>"
        f" '{PeriodKind.NAME}' AND ('{PeriodKind.DATE}' NOT IN ({run}.period_kind, {later}.period_kind)"
        f" OR {later}.business_date >= {run}.business_date)))"
    )
