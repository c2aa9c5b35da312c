"""A list of changes that its server is slow to find is read in pieces; between, what an index finds is told.

Airflow has no index for what changed: a million runs are read for each page (two times 1.7 s of a processor on SQLite,
measured). It has them for (DAG, logical date) and (DAG, state): so changed runs of the last days, open runs, and those
that ended lately of DAGs of which we knew open ones cost it some milliseconds, and each poll asks for them. What none
of these finds (a run without a date that came and went between two polls, an old run that was marked by hand) a round
of pieces finds, some in each poll (`rounds`); until it is over, the mark stays where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.airflow.client import BEGINNING, AirflowClient
from connectors.airflow.references import reference
from connectors.airflow.rounds import PREFIX, Endless, Place, Rounds
from connectors.airflow.walk import OVERLAP, Bite, Mark, page_at
from connectors.contract import Clock, RunRef, SystemUnreachable

SLOW_SECONDS = 2.0
QUICK_SECONDS = 0.3
"""Where no piece of a round took as long, the whole list is tried again."""
MANY_PAGES = 2000
"""A history of so many pages is too long to look for changes in it as a whole."""
LATELY = timedelta(days=2)
"""By their logical date: of what is changed at all, nearly all."""
MOST_PAGES = 3
"""Of each question; what is beyond comes with the round."""
PIECES, PIECES_SECONDS = 2, 1.0
"""Of a round, in one poll; a further one is begun within these seconds only, and none beside one of the undated."""


class Sparing:
    """When to walk through what changed, and what is told instead. One per Airflow. The mark says that a round goes on,
    so that it does also after a restart."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._rounds = Rounds(client, monotonic)
        self._is_slow = False

    def walked(self, mark: Mark, walk: Callable[[Mark], Bite]) -> Bite:
        """A walk from this mark, timed; also one that its server did not answer in time. Raises as it does."""
        began = self._monotonic()
        try:
            taken = walk(mark)
        except SystemUnreachable:
            self._is_slow = self._monotonic() - began > SLOW_SECONDS
            raise
        if not taken.more and not taken.broken:
            whole = mark.since <= BEGINNING
            self._is_slow = mark.pages > MANY_PAGES if whole else self._monotonic() - began > SLOW_SECONDS
            if self._is_slow:
                taken.mark = replace(taken.mark, page=Place().page)
        return taken

    def instead(self, mark: Mark, open_runs: Sequence[RunRef]) -> Bite | None:
        """What stands for a walk now; None where a walk is to be made."""
        if mark.since <= BEGINNING or not (mark.page.startswith(PREFIX) or self._is_slow):
            return None
        rows, clock = self._some(self._client.open_of_all)
        dated = (clock.target if clock else mark.since) - LATELY
        rows += self._some(lambda offset: self._client.changed_dated(mark.since, dated, None, offset))[0]
        dags = _not_told(open_runs, rows)
        if dags:
            rows += self._some(lambda offset: self._client.ended_runs(dags, mark.since, offset))[0]
        found = Bite(mark, rows, clock)
        self._go_on(found, (clock.target if clock else datetime.now(UTC)) - OVERLAP)
        found.rows = list({_name(row, number): row for number, row in enumerate(found.rows)}.values())
        return found

    def _go_on(self, found: Bite, begins: datetime) -> None:
        """Some pieces of the round; `begins` is when a new one does."""
        began = self._monotonic()
        for _ in range(PIECES):
            mark = found.mark
            begun, place = mark.until or begins, Place.of(mark.page)
            try:
                piece = self._rounds.step(mark.since, begun, place)
            except Endless as error:
                found.mark, found.broken = Mark(mark.since, Place(turn=place.turn).page), str(error)
                return
            found.rows += piece.rows
            if piece.following is None:
                self._is_slow = piece.slowest > QUICK_SECONDS
                found.mark = Mark(begun, Place(turn=place.turn + 1, dags=place.dags).page if self._is_slow else "")
                return
            found.mark = Mark(mark.since, piece.following.page, begun)
            if piece.following.is_undated or self._monotonic() - began > PIECES_SECONDS:
                return

    def _some(self, page: Callable[[int], Any]) -> tuple[list[Any], Clock | None]:
        """The first rows of a question, and the clock of its first answer."""
        found: list[Any] = []
        clock: Clock | None = None
        offset = 0
        for _ in range(MOST_PAGES):
            reply = page(offset)
            rows, following = page_at(reply, "dag_runs", offset, shared=0)
            found, clock = found + rows, clock or reply.clock
            if following is None:
                break
            offset = following
        return found, clock


def _name(row: Any, number: int) -> tuple[object, ...]:
    """By which a row that came twice is one; a row without a name is another than any."""
    names = (row.get("dag_id"), row.get("dag_run_id")) if isinstance(row, dict) else ()
    return names if names and all(isinstance(name, str) for name in names) else (number,)


def _not_told(open_runs: Iterable[RunRef], rows: Iterable[Any]) -> list[str]:
    """DAGs of which a run was open that is not among these."""
    told = {(str(row.get("dag_id")), str(row.get("dag_run_id"))) for row in rows if isinstance(row, dict)}
    known = (at for one in open_runs if (at := reference(one)) and not at.task)
    return sorted({at.dag for at in known if (at.dag, at.run) not in told})
