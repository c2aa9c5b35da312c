"""Incremental reading of lists that AWS returns newest first and without a "since".

A reading begins at the newest row and ends at the floor of the previous one; a long one continues with AWS's token. A
kind defines how a page is requested and what a row means; this module keeps the position in each list, drops repeated
rows, and reports every end once and open runs each time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar

from connectors.sdk.aws.client import AwsClient, AwsNotFound
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.errors import AccessRefused, NotSupported, RateLimited, RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import HistoryGap, Poll, RunRecord, RunRef, SkippedRecord
from connectors.sdk.vanished_runs import no_longer_listed, state_past_retention

T = TypeVar("T")

OVERLAP_SECONDS = 60.0
"""The list is "eventually consistent": executions may appear late."""
MAX_CODES = 3000


def code(attempt_key: str, status: str = "") -> str:
    """A short digest of an attempt and its end."""
    return hashlib.blake2s(f"{attempt_key} {status}".encode("utf-8", "surrogateescape"), digest_size=5).hexdigest()


@dataclass(frozen=True, slots=True)
class NewestFirstPosition:
    """The position in one list. Times are starts of its rows, in seconds since 1970."""

    floor: float = 0.0
    """Everything older was read; 0 before the history was read."""
    token: str | None = None
    """The next page; None when the next reading begins at the newest row."""
    top: float = 0.0
    """Newest start of the current reading."""
    oldest: float | None = None
    """Oldest start of it so far; the next page must not be newer."""
    pages: int = 0
    first: str = ""
    """Code of the first row of the previous page: a page that begins with it repeats."""
    reported: tuple[str, ...] = ()
    """Codes of reported ends above the floor."""
    near: tuple[str, ...] = ()
    """The same for the current reading."""
    closed: bool = False
    """The list gets no more rows, and is not read again."""

    def finished(self) -> NewestFirstPosition:
        """The position after a whole reading: the next begins at the newest row and ends here."""
        return NewestFirstPosition(floor=max(self.floor, self.top - OVERLAP_SECONDS), reported=self.near[-MAX_CODES:])


@dataclass(frozen=True, slots=True)
class NewestFirstCursor:
    """Positions by name of list. `turn` counts polls, for queries that take turns; `start` is the list to begin with,
    so that every list is read in time."""

    marks: Mapping[str, NewestFirstPosition] = field(default_factory=dict)
    turn: int = 0
    start: int = 0

    def text(self) -> str:
        marks = {
            name: {key: value for key, value in asdict(mark).items() if value} for name, mark in self.marks.items()
        }
        return json.dumps({"turn": self.turn, "start": self.start, "marks": marks}, separators=(",", ":"))


PAGES_PER_POLL = 3
MAX_RUNS_PER_POLL = 2000
"""After as many, the other lists wait for the next poll: a poll is held in memory."""
MAX_EMPTY = 10
"""Accepted successive pages without rows but with a token; `first` has a "-" for each."""
SHORTEST_CALL_SECONDS = 0.5


@dataclass(slots=True)
class NewestFirstReader:
    """The reader of several lists for one poll."""

    operation: ClassVar[str]
    """ "ListExecutions", for messages."""
    live_size: ClassVar[int] = 100
    history_size: ClassVar[int] = 1000
    retention: ClassVar[timedelta]
    """For how long the service keeps ended runs."""
    gone_status: ClassVar[str]
    gone_message: ClassVar[str]
    """Native state and message of an open run that the service no longer has."""
    history_pages: ClassVar[int] = 60
    """Limit of pages of a list; older rows are reported as a gap."""

    client: AwsClient
    result: PollResult = field(default_factory=PollResult)
    marks: dict[str, NewestFirstPosition] = field(default_factory=dict)
    gaps: list[HistoryGap] = field(default_factory=list)
    refused: list[AccessRefused] = field(default_factory=list)
    has_more: bool = False
    finished: set[str] = field(default_factory=set)
    """Lists that were read to their end."""

    def page(self, where: str, size: int, mark: NewestFirstPosition) -> tuple[Sequence[AwsReply], str | None]:
        """One page of the list `where`, newest first, and AWS's token of the next."""
        raise NotImplementedError

    def began(self, row: AwsReply) -> datetime | None:
        """The instant by which the list is sorted."""
        raise NotImplementedError

    def state_of(self, row: AwsReply) -> tuple[str, str, bool]:
        """Identity of the row's attempt, its native state, and whether that is open."""
        raise NotImplementedError

    def read(self, row: AwsReply, name: str) -> list[RunRecord]:
        """The row as records of `name`. Raises RecordUnreadable."""
        raise NotImplementedError

    def fetched(self, rows: Sequence[AwsReply], name: str) -> Sequence[AwsReply]:
        """The rows with fields that the list lacks; here unchanged."""
        return rows

    def read_rest(self, open_runs: Sequence[RunRef], places: Mapping[str, str], at: NewestFirstCursor) -> None:
        """Reads runs that the lists did not show: open runs, and others of a kind."""
        raise NotImplementedError

    def add_gone(self, ref: RunRef) -> None:
        state = state_past_retention(ref, self.retention, datetime.now(UTC))
        self.result.add(no_longer_listed(ref, self.gone_status, self.gone_message, state))

    def request(self, name: str, fetch: Callable[[], AwsReply], ref: RunRef | None = None) -> bool:
        """Adds the run that `fetch` reads; `ref`: the open run that it is. False where further requests would fail."""
        try:
            self.add(fetch(), name)
        except AwsNotFound:
            if ref is not None:
                self.add_gone(ref)
        except RecordUnreadable as error:
            self.result.skipped.append(SkippedRecord(name, str(error)))
        except (AccessRefused, RateLimited) as error:
            if ref is not None:
                self.result.mark_incomplete(str(error))
            return False
        except NotSupported:
            return ref is not None
        return True

    @staticmethod
    def in_turns(items: Sequence[T], most: int, turn: int) -> Sequence[T]:
        """At most `most` of the items, others with each turn."""
        first = turn * most % len(items) if len(items) > most else 0
        return [*items, *items][first : first + min(len(items), most)]

    @property
    def has_time(self) -> bool:
        return self.client.deadline.left > SHORTEST_CALL_SECONDS

    def lists(self, places: Mapping[str, str], marks: Mapping[str, NewestFirstPosition], start: int) -> int:
        """Reads the new rows of each list (name -> its parameter of `page`), beginning at the `start`-th. Returns where
        to begin next time."""
        names = sorted(places)
        first = start % max(1, len(names))
        self.marks = {name: marks.get(name, NewestFirstPosition()) for name in names}
        for number, name in enumerate(names[first:] + names[:first]):
            if not self.has_time or len(self.result.records) >= MAX_RUNS_PER_POLL:
                self.has_more = True
                return first + number
            try:
                self._list(name, places[name])
            except RateLimited as error:
                if number == 0:
                    raise
                self.result.mark_incomplete(f"{error}; the others come with the next poll")
                return first + number
        return first

    def _list(self, name: str, where: str) -> None:
        """Reads some pages of one list, from the newest row down to the floor."""
        for _ in range(PAGES_PER_POLL):
            mark = self.marks[name]
            try:
                rows, token = self.page(where, self.live_size if mark.floor else self.history_size, mark)
                if self._page(name, rows, token):
                    return
            except AccessRefused as error:
                self.refused.append(error)
                self.result.mark_incomplete(str(error))
                return
            except AwsNotFound:
                self.finished.add(name)
                return  # deleted since the names were listed
            except NotSupported as error:
                self.marks[name] = NewestFirstPosition(mark.floor, reported=mark.reported)  # the token expired
                self.result.mark_incomplete(f"{name}: {error}")
                self.has_more = mark.token is not None
                return
        self.has_more = True

    def _page(self, name: str, rows: Sequence[AwsReply], token: str | None) -> bool:
        """Adds the rows of one page above the floor that were not reported; True when this list is read."""
        mark = self.marks[name]
        starts = [at.timestamp() for row in rows if (at := self.began(row))]
        first = code(self.state_of(rows[0])[0]) if rows else "-" * (1 + mark.first.count("-"))
        is_newer = mark.oldest is not None and max(starts, default=0.0) > mark.oldest
        is_same = first == mark.first if rows else len(first) > MAX_EMPTY
        repeats = mark.token is not None and (is_same or is_newer)
        mark = replace(
            mark, token=token, first=first, pages=mark.pages + 1, top=max([mark.top, *starts]),
            oldest=min([*starts, *([] if mark.oldest is None else [mark.oldest])], default=None),
        )  # fmt: skip
        above = [row for row in rows if (at := self.began(row)) is None or at.timestamp() >= mark.floor]
        ends = [(row, *self.end_code(row, mark.reported)) for row in above]
        for row in self.fetched([row for row, _, is_reported in ends if not is_reported], name):
            self.add(row, name)
        newest = mark.top - OVERLAP_SECONDS
        near = (end for row, end, _ in ends if end and (at := self.began(row)) and at.timestamp() >= newest)
        mark = replace(mark, near=(*mark.near, *near))
        is_long = token is not None and mark.pages >= self.history_pages
        if repeats:
            reason = f"{name}: pages of {self.operation} repeat: the reading was cut after {mark.pages} pages"
            self.result.mark_incomplete(reason)
        elif is_long:
            until = None if mark.oldest is None else datetime.fromtimestamp(mark.oldest, UTC)
            reason = f"{name}: older runs than those of {mark.pages} pages are not read"
            self.gaps.append(HistoryGap(None, until, reason))
        is_done = not token or repeats or is_long or (mark.oldest is not None and mark.oldest < mark.floor)
        self.marks[name] = mark.finished() if is_done else mark
        if is_done and not repeats:
            self.finished.add(name)
        return is_done

    def end_code(self, row: AwsReply, reported: Sequence[str]) -> tuple[str, bool]:
        """The code of its end ("" while it is open), and whether it was reported. Open runs are reported each time."""
        identity, native, is_open = self.state_of(row)
        end = code(identity, native)
        return ("", False) if is_open else (end, end in reported)

    def add(self, row: AwsReply, name: str) -> None:
        try:
            self.result.add_all(self.read(row, name))
        except RecordUnreadable as error:
            plain = {field: value for field, value in row.items() if not isinstance(value, dict | list)}
            # Without nested values: arguments and environments hold secrets.
            self.result.skipped.append(SkippedRecord(name, str(error), masked_head(str(plain), 200)))


PLACES_CACHED_SECONDS = 300.0


class NewestFirstPoller:
    """Polls one region, with a new reader for each poll; the names of lists are cached for some minutes."""

    def __init__(self, places: Callable[[], Mapping[str, str]], reader: Callable[[], NewestFirstReader]) -> None:
        self._read_places, self._reader = places, reader
        self._places: Mapping[str, str] = {}
        self._cached_until = 0.0

    def cache(self, places: Mapping[str, str]) -> None:
        """Caches the lists (name -> parameter of `page`)."""
        self._places, self._cached_until = places, time.monotonic() + PLACES_CACHED_SECONDS

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """New runs of each list and the open ones, oldest first. Raises SystemUnreachable or AccessRefused."""
        if time.monotonic() >= self._cached_until:
            self.cache(self._read_places())
        reader = self._reader()
        at = reader.result.cursor_or_first(cursor, NewestFirstCursor())
        closed = {name: mark for name, mark in at.marks.items() if mark.closed and name in self._places}
        places = {name: where for name, where in self._places.items() if name not in closed}
        start = reader.lists(places, at.marks, at.start)
        if places and len(reader.refused) == len(places):
            raise reader.refused[0]
        reader.read_rest(open_runs, places, at)
        following = NewestFirstCursor(closed | reader.marks, at.turn + 1, start).text()
        clock = reader.client.clock
        return reader.result.poll(following, more=reader.has_more, clock=clock, seen_until=None, gaps=reader.gaps)
