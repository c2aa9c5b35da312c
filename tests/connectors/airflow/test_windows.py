"""Windows of time over a list without an order: every row is read, whatever the rows' times are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.airflow.client_v2 import ChangeWindow
from tests.rows import each_row

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def walk(times: list[datetime], since: datetime, limit: int = 100) -> tuple[set[int], int]:
    """Numbers of the rows that were read, and how many requests that took."""
    page: str | None = ""
    read: set[int] = set()
    requests = 0
    while page is not None:
        window = ChangeWindow.of(page, since)
        while True:
            requests += 1
            until = window.until or NOW
            inside = [number for number, at in enumerate(times) if window.since <= at <= until]
            rows = inside[window.offset : window.offset + limit]
            if len(rows) >= len(inside) or window.is_smallest:
                break
            window = window.narrowed(len(inside), NOW)
        read |= set(rows)
        page = window.after(len(rows), len(inside), NOW)
        assert requests < 2000
    return read, requests


def test_a_quiet_list_takes_one_request() -> None:
    assert ({0, 1}, 1) == walk([NOW, NOW - timedelta(seconds=9)], NOW - timedelta(seconds=45))


def test_a_long_history_takes_little_more_than_its_pages() -> None:
    times = [NOW - timedelta(minutes=number) for number in range(5000)]
    read, requests = walk(times, EPOCH)
    assert 5000 == len(read)
    assert requests < 200


def test_a_moment_with_more_rows_than_a_page_is_paged() -> None:
    read, _ = walk([NOW - timedelta(hours=1)] * 350 + [NOW], EPOCH)
    assert 351 == len(read)


@given(st.lists(st.integers(0, 10**7), max_size=150), st.integers(5, 20))
def test_no_row_is_left_out(ages: list[int], limit: int) -> None:
    times = [NOW - timedelta(microseconds=age * 997) for age in ages]
    assert set(range(len(times))) == walk(times, NOW - timedelta(days=1), limit)[0]


@each_row("page", ["", "nonsense", "[]", '{"since": 5}', '{"offset": "x"}'])
def test_a_page_that_is_none_of_ours_is_the_first_one(page: str) -> None:
    assert ChangeWindow(NOW) == ChangeWindow.of(page, NOW)
