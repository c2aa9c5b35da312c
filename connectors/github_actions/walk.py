"""The history of a repository's runs, oldest first, by windows of creation narrow enough to be listed whole.

GitHub lists at most 1,000 runs of a window, newest first. So a window is as wide as holds fewer, and its pages are read
from the last to the first: a run that is deleted meanwhile moves others to pages that are still to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, SystemUnreachable
from connectors.github_actions.client import MOST_RESULTS, PAGE_LIMIT, GitHubClient
from connectors.github_actions.cursor import WIDEST_SECONDS, Mark
from connectors.transport.http import Reply

REQUESTS_A_BITE = 6
SPARSE = 200
"""A window with fewer is followed by one twice as wide."""


def bite(client: GitHubClient, mark: Mark, take: Callable[[list[Any]], None]) -> Mark:
    """Reads on; the mark after it, without `until` at the end of the walk. `take` gets each page's rows. Raises
    SystemUnreachable for a list that is not what was asked for."""
    assert mark.until is not None, "a walk has an end"
    for _ in range(REQUESTS_A_BITE):
        if mark.at >= mark.until:
            return Mark(mark.until)
        mark = _page(client, mark, take) if mark.page else _window(client, mark, take)
        if client.deadline.left < client.deadline.seconds / 2:
            break
    return mark


def _window(client: GitHubClient, mark: Mark, take: Callable[[list[Any]], None]) -> Mark:
    """Asks for a window's newest page: all of it, or how many pages there are, or that it must be narrower."""
    reply = _asked(client, mark, 1)
    total, rows = count_of(reply), rows_of(reply)
    if total > MOST_RESULTS:
        if mark.seconds <= 1:
            raise SystemUnreachable(
                f"{reply.place}: {total} runs are said to be created within the second {mark.at:%Y-%m-%d %H:%M:%S};"
                f" no more than {MOST_RESULTS} are listed, so history cannot be read through"
            )
        narrower = min(mark.seconds // 2, mark.seconds * (MOST_RESULTS - 100) // total)
        return replace(mark, seconds=max(1, narrower))
    if total > PAGE_LIMIT and len(rows) == PAGE_LIMIT:
        return replace(mark, page=-(-total // PAGE_LIMIT))
    take(rows[::-1])
    return _after(mark, wider=total < SPARSE)


def _page(client: GitHubClient, mark: Mark, take: Callable[[list[Any]], None]) -> Mark:
    take(rows_of(_asked(client, mark, mark.page))[::-1])
    return replace(mark, page=mark.page - 1) if mark.page > 1 else _after(mark)


def _after(mark: Mark, *, wider: bool = False) -> Mark:
    end = mark.window_end
    following = end if end > mark.at else mark.at + timedelta(seconds=1)
    seconds = min(mark.seconds * 2, WIDEST_SECONDS) if wider else mark.seconds
    return Mark(following, mark.until, seconds)


def _asked(client: GitHubClient, mark: Mark, page: int) -> Reply:
    since, until = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (mark.at, mark.window_end))
    reply = client.runs(page, created=f"{since}..{until}")
    for row in rows_of(reply)[:1]:
        at = created_of(row)
        if at is not None and not _within(at, mark):
            raise SystemUnreachable(f"{reply.place} lists runs from outside of {since}..{until}: it ignores `created`")
    return reply


def _within(at: datetime, mark: Mark) -> bool:
    second = timedelta(seconds=1)
    return mark.at - second < at < mark.window_end + second


def rows_of(reply: Reply) -> list[Any]:
    """The rows of a page of runs. Raises SystemUnreachable for any other shape."""
    rows = reply.table().get("workflow_runs")
    if not isinstance(rows, list):
        raise SystemUnreachable(f"{reply.place} has no list of workflow_runs; is the url that of GitHub's API?")
    return rows


def count_of(reply: Reply) -> int:
    """How many runs there are of what was asked for; as many as came, where the answer does not tell."""
    try:
        return fields.number(reply.table(), "total_count", len(rows_of(reply)))
    except RecordUnreadable:
        return len(rows_of(reply))


def created_of(row: Any) -> datetime | None:
    """When a run was created; None where its row does not tell."""
    try:
        return fields.instant(fields.table(row), "created_at")
    except RecordUnreadable:
        return None
