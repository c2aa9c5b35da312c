"""Suggestions for a name that matches nothing."""

from __future__ import annotations

from console.text.suggestions import suggest_names
from tests.rows import each_row

NAMES = ("cron-db07/db07:batch-extract.sh-headway-extract_orders", "dwh/refresh_revenue")


@each_row(
    "typed", ["cron-db07/db07:extract_orders", "extract-orders", "db07:Extract_Orders", "cron-db07/db08:extract-orders"]
)
def test_a_name_that_holds_the_last_part_in_any_spelling_is_suggested(typed: str) -> None:
    assert (NAMES[0],) == suggest_names(typed, NAMES)


def test_a_name_unlike_all_others_has_no_suggestion() -> None:
    assert () == suggest_names("cron-db07/db07:payroll", NAMES)
