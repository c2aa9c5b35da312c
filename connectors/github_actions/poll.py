"""One poll: a bite of history, or the newest runs, those that run, and a page of older ones that may have been run
again since; with the attempts and jobs that they have.

GitHub has no filter by change: a run of last week that is run again keeps its place in the list. So the runs in
progress are asked for, and the older pages one by one, in turns; what did not change is answered 304 and is free.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from connectors import fields
from connectors.contract import Clock, Poll, RecordUnreadable, RunRecord, RunRef, State
from connectors.gathered import Gathered, Told
from connectors.github_actions import parse, walk
from connectors.github_actions.attempts import MOST_REQUESTS, RERUN_WITHIN, AttemptReader
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.cursor import Mark, mark_of
from connectors.gone import no_longer_listed

OVERLAP = timedelta(minutes=10)
"""How late a run may come into the list behind its own creation."""
SEEN_AFTER = timedelta(seconds=60)
NEWEST_PAGES = 8
OLDER_PAGES = 10
"""Pages of the newest runs that are looked at again in turns: 1,000 runs."""
RESERVE = 0.2


class Poller:
    """Follows one repository."""

    def __init__(
        self,
        client: GitHubClient,
        attempts: AttemptReader,
        watched: Callable[[str], bool],
        events: Sequence[str],
        history_days: int,
        asleep: dict[str, str],
    ) -> None:
        self._client, self._attempts, self._watched, self._events = client, attempts, watched, events
        self._history = timedelta(days=history_days)
        self._asleep = asleep
        self._told = Told()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs two or three requests, mostly as 304."""
        found, seen = Gathered(), set[int]()
        self._attempts.begin({at[0] for one in open_runs if (at := reference(one)) is not None and at[2]})
        newest = self._client.runs(1, keep=True)
        now = newest.clock.target if newest.clock else datetime.now(UTC)
        mark = self._mark(cursor, now, found)

        def take(rows: list[Any]) -> None:
            for row in rows:
                self._take(row, now, seen, found)

        self._owed(mark, now, seen, found)
        if mark.until is None:
            following = self._follow(mark, now, walk.rows_of(newest), walk.count_of(newest), take)
        else:  # history goes on once what is owed of it is less than a poll can read
            following = mark if len(self._attempts.owed) > MOST_REQUESTS else walk.bite(self._client, mark, take)
        self._open(open_runs, now, seen, found)
        following = replace(following, owed=tuple(self._attempts.owed))
        if following.owed:
            found.warn(f"attempts and jobs of {len(following.owed)} runs are read with the next polls")
        for job, why in self._asleep.items():
            found.warn(f"{job} is {why}; enable it again in GitHub if it is still wanted")
        return self._poll(found, cursor, following, mark.until is not None, now, newest.clock)

    def _poll(
        self, found: Gathered, cursor: str, following: Mark, walked: bool, now: datetime, clock: Clock | None
    ) -> Poll:
        more = walked or following.until is not None
        told = following.told()
        return Poll(
            runs=self._told.new(found.records.values(), cursor, told),
            cursor=told,
            more=more,
            complete=found.complete,
            clock=clock,
            skipped=tuple(found.skipped),
            seen_until=None if more or not found.complete else now - SEEN_AFTER,
            warnings=tuple(found.warnings),
        )

    def _mark(self, cursor: str, now: datetime, found: Gathered) -> Mark:
        try:
            if cursor:
                return mark_of(cursor)
        except RecordUnreadable as error:
            found.warn(f"the cursor cannot be read ({error}); history is read again")
        return Mark((now - self._history).replace(microsecond=0), now)

    # where the runs come from

    def _owed(self, mark: Mark, now: datetime, seen: set[int], found: Gathered) -> None:
        """What the polls before had no request left for."""
        for run in mark.owed:
            if self._attempts.may_ask(run) and (reply := self._client.run(run)).status != 404:
                self._take_asked(reply.table(), run, now, seen, found)

    def _follow(
        self, mark: Mark, now: datetime, rows: list[Any], total: int, take: Callable[[list[Any]], None]
    ) -> Mark:
        """What was created since, what runs, and one page of older runs."""
        since = mark.at - OVERLAP
        for page in range(2, NEWEST_PAGES + 2):
            take(rows)
            if not _goes_on(rows, since):
                break
            if page > NEWEST_PAGES:
                return Mark(since, now)
            rows = walk.rows_of(self._client.runs(page))
        take(walk.rows_of(self._client.runs(1, keep=True, status="in_progress")))
        if total <= PAGE_LIMIT:
            return Mark(max(now, mark.at))
        older = walk.rows_of(self._client.runs(mark.older, keep=True))
        take(older)
        ends = mark.older >= OLDER_PAGES or not _goes_on(older, now - RERUN_WITHIN)
        return Mark(max(now, mark.at), older=2 if ends else mark.older + 1)

    def _open(self, open_runs: Sequence[RunRef], now: datetime, seen: set[int], found: Gathered) -> None:
        """The runs that the engine thinks open and that did not show up by themselves."""
        for known in open_runs:
            at = reference(known)
            if at is None or (known.job, known.attempt_key) in found.records:
                continue
            if self._client.deadline.left < self._client.deadline.seconds * RESERVE:
                found.complete = False
                found.warn("time ran out before all open runs were looked at: the rest comes with the next poll")
                return
            if at[0] not in seen:
                reply = self._client.run(at[0])
                if reply.status == 404:
                    found.add(gone(known))
                    continue
                self._take_asked(reply.table(), at[0], now, seen, found)
            is_read = at[0] in seen and at[0] not in self._attempts.owed
            if at[2] and (known.job, known.attempt_key) not in found.records and is_read:
                found.add(gone(known))

    def _take_asked(self, row: Any, run: int, now: datetime, seen: set[int], found: Gathered) -> None:
        if row.get("id") != run:
            found.skip("runs", RecordUnreadable("the answer is about another run than we asked for"), row)
            found.complete = False
            return
        self._take(row, now, seen, found, wanted=True)

    # what they become

    def _take(self, row: Any, now: datetime, seen: set[int], found: Gathered, wanted: bool = False) -> None:
        try:
            row = fields.table(row)
            job = parse.job_of(self._client.repository, parse.path_of(row))
            if not wanted and not (self._watched(job) and self._counts(fields.words(row, "event"))):
                return
            run = parse.id_of(row)
            if run in seen:
                return
            told = self._attempts.told(row, now, found)
        except RecordUnreadable as error:
            found.skip("workflow_runs", error, row)
            return
        seen.add(run)
        for one in told:
            found.add(one)
            if one.state is State.UNKNOWN:
                found.warn(f"state {one.native_state!r} of a run or job is not known to Headway")

    def _counts(self, event: str) -> bool:
        return any(fnmatchcase(event, pattern) for pattern in self._events)


def reference(known: RunRef) -> tuple[int, int, str] | None:
    """Run, attempt and task of a run that the engine hands us; None where it is not one of ours (a MISSED run)."""
    try:
        row = fields.table(json.loads(known.native_ref))
        return parse.id_of(row, "run"), max(1, fields.number(row, "attempt", 1)), fields.words(row, "task")
    except (ValueError, RecursionError, RecordUnreadable):
        return None


def gone(known: RunRef) -> RunRecord:
    """People delete runs: the end of a started one that is gone was not seen."""
    words = "GitHub no longer has this: it was deleted, or its job has another name, and its end was not seen"
    return no_longer_listed(known, "deleted", words)


def _goes_on(rows: list[Any], since: datetime) -> bool:
    """Whether a full page ends with a run that was created after `since`."""
    last = walk.created_of(rows[-1]) if len(rows) >= PAGE_LIMIT else None
    return last is not None and last > since
