"""Lists that go on by tokens: jobs, runs, and the tasks of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connectors import fields
from connectors.contract import SystemUnreachable
from connectors.transport.http import Reply

PARTS = ("tasks", "repair_history", "job_parameters")
"""Lists of a run or a job that come a hundred at a time."""

EMPTY = frozenset({"has_more", "next_page_token", "prev_page_token"})
"""Of an answer whose list is left out, as there is nothing in it."""


def pages(ask: Callable[[str], Reply], name: str, most: int) -> Iterator[tuple[list[Any], Reply]]:
    """The rows of each page, at most so many pages. Raises SystemUnreachable for another shape, and for a page that
    names itself as the next."""
    token = ""
    for _ in range(most):
        reply = ask(token)
        table = reply.table()
        rows = table.get(name, [] if table.keys() <= EMPTY else None)
        if not isinstance(rows, list):
            raise SystemUnreachable(f"{reply.place} has no list of {name}; is the url that of a Databricks workspace?")
        yield rows, reply
        following = table.get("next_page_token")
        if not isinstance(following, str) or not following or table.get("has_more") is False:
            return
        if following == token:
            raise SystemUnreachable(f"{reply.place} names itself as its next page: the list does not end")
        token = following


def whole(ask: Callable[[str], Reply], most: int = 20) -> fields.Row | None:
    """A run or a job with all of its tasks; None where it is gone."""
    first = ask("")
    if first.status != 200:
        return None
    row = first.table()
    token = row.get("next_page_token")
    for _ in range(most):
        if not isinstance(token, str) or not token:
            break
        more = ask(token)
        table = more.table() if more.status == 200 else {}
        settings = table.get("settings")
        if isinstance(settings, dict) and isinstance(row.get("settings"), dict):
            row["settings"]["tasks"] = [*fields.rows(row["settings"].get("tasks")), *fields.rows(settings.get("tasks"))]
        for part in PARTS:
            if part in table:
                row[part] = [*fields.rows(row.get(part)), *fields.rows(table[part])]
        token = table.get("next_page_token")
    return row
