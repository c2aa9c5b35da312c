"""Reading lists that AWS gives newest first and without a "since": what is new of each, down to what was read before.

A kind says how a page is asked for and what a row means; this keeps the place in each list, cuts pages that repeat,
tells every end once and what is open each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar

from connectors.aws.cursor import OVERLAP_SECONDS, Mark, code
from connectors.aws.door import AwsDoor
from connectors.aws.errors import Gone
from connectors.aws.values import Reply
from connectors.contract import (
    AccessRefused,
    Gap,
    NotSupported,
    Poll,
    RecordUnreadable,
    RunRecord,
    Skipped,
    State,
    TooBusy,
)

PAGES_PER_BITE = 3
MOST_RUNS_A_BITE = 2000
"""After so many the other lists come with the next bite: a bite is held in memory."""
MOST_EMPTY = 10
"""Pages without a row, and with a token, that follow each other in a list that is believed; "-" stands for each."""
SHORTEST_CALL_SECONDS = 0.5
EARLY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Newest:
    """What one poll gathers of several lists."""

    operation: ClassVar[str]
    """ "ListExecutions", for messages."""
    live_size: ClassVar[int] = 100
    history_size: ClassVar[int] = 1000
    history_pages: ClassVar[int] = 60
    """How far back a list is read at most; what is older is told as a gap."""

    door: AwsDoor
    runs: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    """By job and attempt key: told once, as it was seen last."""
    marks: dict[str, Mark] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: list[AccessRefused] = field(default_factory=list)
    is_complete: bool = True
    more: bool = False

    # what a kind says

    def page(self, where: str, size: int, mark: Mark) -> tuple[Sequence[Reply], str | None]:
        """One page of the list `where`, newest first, and AWS's token of the next."""
        raise NotImplementedError

    def began(self, row: Reply) -> datetime | None:
        """What the list is sorted by."""
        raise NotImplementedError

    def state_of(self, row: Reply) -> tuple[str, str, bool]:
        """Identity of the row's attempt, its native state, and whether that is open."""
        raise NotImplementedError

    def read(self, row: Reply, name: str) -> list[RunRecord]:
        """The row as records of `name`. Raises RecordUnreadable."""
        raise NotImplementedError

    def fetched(self, rows: Sequence[Reply], name: str) -> Sequence[Reply]:
        """The rows with all that the list does not tell; here: as they are."""
        return rows

    # reading

    @property
    def has_time(self) -> bool:
        return self.door.deadline.left > SHORTEST_CALL_SECONDS

    def lists(self, places: Mapping[str, str], marks: Mapping[str, Mark], start: int) -> int:
        """Reads what is new of each list (name -> what `page` asks by), beginning at the `start`-th. Answers where to
        begin next time."""
        names = sorted(places)
        first = start % max(1, len(names))
        self.marks = {name: marks.get(name, Mark()) for name in names}
        for number, name in enumerate(names[first:] + names[:first]):
            if not self.has_time or len(self.runs) >= MOST_RUNS_A_BITE:
                self.more = True
                return first + number
            try:
                self._list(name, places[name])
            except TooBusy as error:
                if number == 0:
                    raise
                self.partly(f"{error}; the others come with the next poll")
                return first + number
        return first

    def _list(self, name: str, where: str) -> None:
        """A bite of one list, from the newest down to the floor."""
        for _ in range(PAGES_PER_BITE):
            mark = self.marks[name]
            try:
                rows, token = self.page(where, self.live_size if mark.floor else self.history_size, mark)
                if self._page(name, rows, token):
                    return
            except AccessRefused as error:
                self.refused.append(error)
                self.partly(str(error))
                return
            except Gone:
                return  # deleted since the names were listed; the inventory will say so
            except NotSupported as error:
                self.marks[name] = Mark(mark.floor, told=mark.told)  # the token is too old: begin anew
                self.partly(f"{name}: {error}")
                self.more = mark.token is not None
                return
        self.more = True

    def _page(self, name: str, rows: Sequence[Reply], token: str | None) -> bool:
        """Takes one page; True when the reading of this list is done."""
        mark = self.marks[name]
        starts = [at.timestamp() for one in rows if (at := self.began(one))]
        first = code(self.state_of(rows[0])[0]) if rows else "-" * (1 + mark.first.count("-"))
        is_newer = mark.oldest is not None and max(starts, default=0.0) > mark.oldest
        is_same = first == mark.first if rows else len(first) > MOST_EMPTY
        repeats = mark.token is not None and (is_same or is_newer)
        mark = replace(
            mark, token=token, first=first, pages=mark.pages + 1, top=max([mark.top, *starts]),
            oldest=min([*starts, *([] if mark.oldest is None else [mark.oldest])], default=None),
        )  # fmt: skip
        mark = replace(mark, near=mark.near + tuple(self._take(rows, name, mark)))
        is_long = token is not None and mark.pages >= self.history_pages
        if repeats:
            self.partly(f"{name}: pages of {self.operation} repeat: the reading was cut after {mark.pages} pages")
        elif is_long:
            until = None if mark.oldest is None else datetime.fromtimestamp(mark.oldest, UTC)
            self.gaps.append(Gap(None, until, f"{name}: older runs than those of {mark.pages} pages are not read"))
        is_done = not token or repeats or is_long or (mark.oldest is not None and mark.oldest < mark.floor)
        self.marks[name] = mark.finished() if is_done else mark
        return is_done

    def _take(self, rows: Sequence[Reply], name: str, mark: Mark) -> list[str]:
        """Keeps what lies above the floor and was not told as it is. Answers the codes of ends near the top."""
        above = [one for one in rows if (at := self.began(one)) is None or at.timestamp() >= mark.floor]
        ends = [(one, self.keep_code(one, mark.told)) for one in above]
        for one in self.fetched([one for one, (_, is_told) in ends if not is_told], name):
            self.keep(one, name)
        return [found for one, (found, _) in ends if found and self._is_near(one, mark)]

    def _is_near(self, row: Reply, mark: Mark) -> bool:
        at = self.began(row)
        return at is not None and at.timestamp() >= mark.top - OVERLAP_SECONDS

    def keep_code(self, row: Reply, told: Sequence[str]) -> tuple[str, bool]:
        """The code of its end ("" while it is open), and whether that was told. Open runs are told each time: that is
        how they are seen alive."""
        identity, native, is_open = self.state_of(row)
        found = code(identity, native)
        return ("", False) if is_open else (found, found in told)

    def keep(self, row: Reply, name: str) -> None:
        """The row among the records, or among what could not be read."""
        try:
            found = self.read(row, name)
        except RecordUnreadable as error:
            plain = {word: value for word, value in row.items() if not isinstance(value, dict | list)}
            self.skipped.append(Skipped(name, str(error), str(plain)[:200]))  # arguments, environments hold secrets
            return
        for run in found:
            self.runs[run.job, run.attempt_key] = run
            if run.state == State.UNKNOWN:
                self.warnings.append(f'unknown status "{run.native_state}": shown as UNKNOWN')

    def partly(self, words: str) -> None:
        """Something could not be read, for this reason."""
        self.is_complete = False
        self.warnings.append(words)

    def told(self, cursor: str) -> Poll:
        """What was found, oldest first."""
        return Poll(
            runs=tuple(sorted(self.runs.values(), key=_age)),
            cursor=cursor,
            more=self.more,
            complete=self.is_complete,
            clock=self.door.clock,
            skipped=tuple(self.skipped),
            gaps=tuple(self.gaps),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )


def _age(run: RunRecord) -> tuple[datetime, str]:
    return run.started_at or run.queued_at or EARLY, run.attempt_key
