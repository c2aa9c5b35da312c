"""The history of a workspace's runs, oldest first, by windows of start that are narrow enough to be read at once.

Databricks lists the latest first and knows no other order; a window is as wide as a few pages hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from connectors.contract import SystemUnreachable
from connectors.databricks.client import DatabricksClient
from connectors.databricks.cursor import NARROWEST, WIDEST, Mark
from connectors.databricks.pages import pages

WINDOW_PAGES = 24
PAGES_A_BITE = 12
SPARSE = 100


def bite(client: DatabricksClient, mark: Mark, take: Callable[[list[Any]], None]) -> Mark:
    """Reads on; the mark after it, without `until` at the end of the walk. Raises SystemUnreachable for a list that is
    not what was asked for."""
    asked = 0
    while asked == 0 or (asked < PAGES_A_BITE and client.deadline.left > client.deadline.seconds / 2):
        if mark.at >= mark.until:
            return Mark(mark.until)
        rows, count, ended = _window(client, mark)
        asked += count
        if not ended:
            if mark.width <= NARROWEST:
                raise SystemUnreachable(
                    f"Databricks: {len(rows)} runs and more within a second at {mark.at} ms: its list does not end"
                )
            mark = replace(mark, width=max(mark.width // 2, NARROWEST))
            continue
        take(rows[::-1])
        width = min(mark.width * 2, WIDEST) if len(rows) < SPARSE else mark.width
        mark = Mark(_end(mark) + 1, mark.until, width)
    return mark


def _end(mark: Mark) -> int:
    return min(mark.at + mark.width, mark.until)


def _window(client: DatabricksClient, mark: Mark) -> tuple[list[Any], int, bool]:
    """The rows of a window, the pages that they came in, and whether these are all."""
    rows: list[Any] = []
    count, since, until = 0, mark.at, _end(mark)
    listed = pages(lambda page: client.runs(page, start_time_from=since, start_time_to=until), "runs", WINDOW_PAGES)
    ended = True
    for some, reply in listed:
        count += 1
        rows += some
        at = started_of(some[0]) if some else 0
        if at and not since <= at <= until:
            raise SystemUnreachable(f"{reply.place} lists runs from outside of the time that was asked for")
        ended = not reply.table().get("next_page_token")
        if client.deadline.left < client.deadline.seconds / 4:
            break
    return rows, count, ended


def started_of(row: Any) -> int:
    """When a run started, in milliseconds; 0 where its row does not tell."""
    found = row.get("start_time") if isinstance(row, dict) else 0
    return found if type(found) is int else 0
