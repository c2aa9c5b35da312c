"""The list of changed runs in pieces that an index finds: some in each poll, and all of them are a round.

Runs that have a logical date are asked for by spans of it, the newest first: each span four times as long as the one
before where that was quick, half as long where it was slow. Airflow 3 has runs without a date (started by hand or by an
asset): those that ended are asked for by some DAGs at a time, and of one DAG in each such piece those that were changed
within a day, by which a mark on an old one is found. What changed while a round goes on is told by the next one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.airflow.client import BEGINNING, PAGE_LIMIT, AirflowClient
from connectors.airflow.walk import digest_of, page_at
from connectors.contract import AnswerUnfit, RecordUnreadable
from connectors.transport.http import Reply

PREFIX = "round:"
FIRST_DAYS, LEAST_DAYS, MOST_DAYS = 2.0, 0.125, 40_000.0
GROWS_UNDER, SHRINKS_OVER = 0.25, 1.0
"""Seconds of a piece."""
GROWS = 4
MARKED_WITHIN = timedelta(days=1)
"""How far back a mark on a run without a date is looked for: each DAG comes to its turn more often."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a round stands. Dated runs from `before` on were asked for (None: none yet); `dag` is the number of the DAG
    that the runs without a date are asked from next, -1 before these; `offset` is the first row of the next page."""

    before: datetime | None = None
    days: float = FIRST_DAYS
    offset: int = 0
    dag: int = -1
    dags: int = PAGE_LIMIT
    """How many DAGs a piece has at most."""
    turn: int = 0
    """Of the DAGs of a piece, the one that is asked for marks; one further in each round."""
    slowest: float = 0.0
    """Seconds of the slowest piece of this round so far."""
    rows: str = ""
    """What the rows of the page before were, of a list that has several: the same again would never end."""

    @property
    def is_undated(self) -> bool:
        """Whether what comes next are the runs without a date: three requests at once."""
        return self.dag >= 0

    @property
    def page(self) -> str:
        """As the page of a walk's mark."""
        row = {"before": self.before.isoformat() if self.before else None, "days": self.days, "offset": self.offset}
        row |= {"dag": self.dag, "dags": self.dags, "turn": self.turn, "slowest": round(self.slowest, 2)}
        return PREFIX + json.dumps({**row, "rows": self.rows})

    @classmethod
    def of(cls, page: str) -> Place:
        """From that; a page that is none of ours is the beginning of a round."""
        try:
            row = fields.table(json.loads(page.removeprefix(PREFIX))) if page.startswith(PREFIX) else {}
            days, slowest = (row.get(name) for name in ("days", "slowest"))
            return cls(
                fields.instant(row, "before"),
                min(MOST_DAYS, max(LEAST_DAYS, days)) if isinstance(days, int | float) else FIRST_DAYS,
                fields.number(row, "offset", 0),
                fields.number(row, "dag", -1),
                min(PAGE_LIMIT, max(1, fields.number(row, "dags", PAGE_LIMIT))),
                fields.number(row, "turn", 0),
                slowest if isinstance(slowest, int | float) else 0.0,
                fields.words(row, "rows"),
            )
        except (ValueError, RecursionError, RecordUnreadable):
            return cls()


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step of a round found, and where the round stands then; None: it is over."""

    rows: list[Any]
    following: Place | None
    slowest: float = 0.0


class Endless(AnswerUnfit):
    """A list whose pages do not end: the round begins anew."""


class Rounds:
    """Takes the steps of a round. One per Airflow; what it remembers is only how a piece came to be too long."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._longest, self._most = MOST_DAYS, PAGE_LIMIT

    def step(self, since: datetime, begun: datetime, place: Place) -> Piece:
        """The next piece of what changed since, in the round that began then. Raises Endless, and as the client; the
        same piece is asked for shorter then."""
        if self._longest < place.days:
            place = replace(place, days=self._longest, offset=0, rows="")
        if self._most < place.dags:
            place = replace(place, dags=self._most, offset=0, rows="")
        began = self._monotonic()
        if place.is_undated:
            self._most = max(1, place.dags // 2)
        else:
            self._longest = max(LEAST_DAYS, place.days / 2)
        ask = self._undated if place.is_undated else self._dated
        rows, following = ask(since, begun, place)
        self._longest, self._most, took = MOST_DAYS, PAGE_LIMIT, self._monotonic() - began
        slowest = max(place.slowest, took)
        return Piece(rows, replace(_paced(following, took), slowest=slowest) if following else None, slowest)

    def _dated(self, since: datetime, begun: datetime, place: Place) -> tuple[list[Any], Place | None]:
        """Those of one span of logical dates; the first is open to the future, the last to the past."""
        until, long = place.before or begun, timedelta(days=place.days)
        begins = until - long if long < until - BEGINNING else None
        reply = self._client.changed_dated(since, begins, place.before, place.offset)
        rows, further = page_at(reply, "dag_runs", place.offset)
        if further is not None:
            return rows, _next_page(reply, rows, place, further)
        place = replace(place, offset=0, rows="")
        if begins is not None:
            return rows, replace(place, before=begins)
        return rows, None if self._client.major == 2 else replace(place, dag=0)

    def _undated(self, since: datetime, begun: datetime, place: Place) -> tuple[list[Any], Place | None]:
        """Those that ended, of the next DAGs; and what was changed of one of these."""
        told, next_dag = page_at(self._client.dags(place.dag), "dags", place.dag)
        if len(told) > place.dags:
            told, next_dag = told[: place.dags], place.dag + place.dags
        names = [str(row.get("dag_id")) for row in told if isinstance(row, dict)]
        if not names:
            return [], None
        reply = self._client.ended_runs(names, since, place.offset)
        page, further = page_at(reply, "dag_runs", place.offset)
        if further is not None:
            return page, _next_page(reply, page, place, further)
        rows = page + self._marked(names[place.turn % len(names)], begun - MARKED_WITHIN)
        return rows, None if next_dag is None else replace(place, offset=0, dag=next_dag, rows="")

    def _marked(self, dag: str, since: datetime) -> list[Any]:
        """Runs of a DAG that have no date and changed since: the first made, of which it is news."""
        reply = self._client.changed_of(dag, since)
        rows = page_at(reply, "dag_runs", 0)[0] if reply.status == 200 else []
        return [row for row in rows if isinstance(row, dict) and row.get("logical_date") is None]


def _next_page(reply: Reply, rows: list[Any], place: Place, further: int) -> Place:
    """Raises Endless where a page has the rows of the one before it."""
    content = digest_of(rows)
    if content == place.rows:
        raise Endless(f"{reply.place} has the rows of the page before it")
    return replace(place, offset=further, rows=content)


def _paced(following: Place, took: float) -> Place:
    """With a longer or a shorter span, by the seconds that the last one took, and with more DAGs again where it was
    quick; the pages of one piece keep it."""
    if following.is_undated and not following.offset and took <= SHRINKS_OVER:
        following = replace(following, dags=min(PAGE_LIMIT, following.dags * 2))
    if following.offset or GROWS_UNDER <= took <= SHRINKS_OVER:
        return following
    days = following.days * (GROWS if took < GROWS_UNDER else 0.5)
    return replace(following, days=min(MOST_DAYS, max(LEAST_DAYS, days)))
