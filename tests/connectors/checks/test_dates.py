"""How a business date is written in a path, and which other placeholders are refused."""

from __future__ import annotations

from datetime import date

import pytest

from connectors.checks.queries import refuse_other_braces, refuse_unreadable_path, with_business_date
from tests.rows import each_row

DATE = date(2026, 11, 9)


@each_row(
    "text, expected",
    [
        ("/in/{business_date}.csv", "/in/2026-11-09.csv"),
        ("/in/{business_date:%Y}/{business_date:%m}/x-{business_date:%Y%m%d}.csv", "/in/2026/11/x-20261109.csv"),
        ("/in/{business_date:%j}", "/in/313"),
        ("/in/plain", "/in/plain"),
    ],
)
def test_the_business_date_is_substituted_where_referenced(text: str, expected: str) -> None:
    assert expected == with_business_date(refuse_other_braces(text), DATE)


@each_row(
    "text",
    [
        "{business_date.year}",
        "{business_date!r}",
        "{}",
        "{0}",
        "{business_date:}",
        "{business_date:%s}",
        "{business_date:>20}%",
        "{business_date.__class__}",
    ],
)
def test_braces_that_hold_anything_else_are_refused(text: str) -> None:
    if text == "{business_date:>20}%":
        assert ">20%" == with_business_date(refuse_other_braces(text), DATE)  # a format's own letters stay as they are
        return
    with pytest.raises(ValueError, match="is not a business date"):
        refuse_other_braces(text)


@each_row("path", ["a..b", ".a", "a[", "a[x]", "a.[0]", "a]"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="leads nowhere"):
        refuse_unreadable_path(path)
