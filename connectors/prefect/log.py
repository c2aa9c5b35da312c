"""Logs of a flow run, its tasks' lines among them. A rerun writes on into the same log: an attempt has its time of it.

Lines come in batches and late, those of several processes out of order. So what follows is asked for from some seconds
before the last line, less the lines that were shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import characters, fields
from connectors.contract import LogChunk, NotSupported, RecordUnreadable, RunRef
from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.prefect.references import Reference, reference

MOST_PAGES = 50
KEPT_BYTES = 1 << 20
"""Of the end of a long log while it is read; more than anybody asks to see."""
AGAIN = timedelta(seconds=5)
"""How late a line may come behind one that is newer."""
MOST_SHOWN = 600
"""Lines of that time that a place in a log remembers; of more, the newest."""
QUIET = timedelta(seconds=30)
"""After the end of its run, a log that stays as it is so long is over."""
LEVELS = {10: "DEBUG ", 20: "", 30: "WARNING ", 40: "ERROR ", 50: "CRITICAL "}


@dataclass(frozen=True, slots=True)
class Line:
    """One line, as it was written."""

    id: str
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading stands: lines since `after` but those of `shown`, and so many bytes of these are read."""

    run: str
    after: datetime | None
    before: datetime | None
    shown: tuple[str, ...] = ()
    skip: int = 0

    def told(self) -> str:
        """As JSON text."""
        times = {name: at.isoformat() if at else None for name, at in (("after", self.after), ("before", self.before))}
        return json.dumps({"run": self.run, **times, "shown": self.shown, "skip": self.skip})


class LogReader:
    """Reads logs of one Prefect."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """As the contract says."""
        if start is not None:
            return self._go_on(_place(start), limit_bytes)
        at = reference(run)
        if at is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in Prefect, and so no log")
        return self._tail(self._bounds(at), min(limit_bytes, KEPT_BYTES))

    def _bounds(self, at: Reference) -> Place:
        steps = sorted((parse.step(row) for row in rows_of(self._client.states(at.run))), key=lambda one: one.at)
        if not steps:
            raise NotSupported(f"Prefect no longer has the run {at.run}, and so no log")
        tries = parse.attempts(steps)
        number = min(max(at.number, 1), len(tries))
        began = tries[number - 1][0].at if number > 1 else None
        return Place(at.run, began, tries[number][0].at if number < len(tries) else None)

    def _tail(self, place: Place, limit_bytes: int) -> LogChunk:
        """From the end backwards, until there is enough."""
        lines: list[Line] = []
        cut = True
        for page in range(MOST_PAGES):
            rows = rows_of(self._client.log(place.run, _where(place), "TIMESTAMP_DESC", page * PAGE_LIMIT))
            lines += _lines(rows)
            if len(rows) < PAGE_LIMIT:
                cut = False
                break
            if sum(len(one.text) for one in lines) > limit_bytes:
                break
        lines = _in_order(lines)
        text, dropped = characters.tail(characters.joined(one.text for one in lines), limit_bytes)
        place = _after(place, lines)
        return LogChunk(text, None if self._is_over(place) else place.told(), cut=cut or dropped)

    def _go_on(self, place: Place, limit_bytes: int) -> LogChunk:
        rows: list[Any] = []
        for page in range(MOST_PAGES):
            found = rows_of(self._client.log(place.run, _where(place), "TIMESTAMP_ASC", page * PAGE_LIMIT))
            rows += found
            if len(found) < PAGE_LIMIT or sum(len(str(row)) for row in rows) > KEPT_BYTES + place.skip:
                break
        lines = [one for one in _in_order(_lines(rows)) if one.id not in place.shown]
        data = characters.joined(one.text for one in lines).encode("utf-8", "replace")[place.skip :]
        if len(data) > limit_bytes:
            text = characters.head(data.decode("utf-8", "ignore"), limit_bytes)
            return LogChunk(text, replace(place, skip=place.skip + len(text.encode())).told(), more=True)
        following = _after(place, lines)
        over = not lines and self._is_over(following)
        return LogChunk(data.decode("utf-8", "replace"), None if over else following.told())

    def _is_over(self, place: Place) -> bool:
        if place.before is not None:
            return True
        reply = self._client.run(place.run)
        if reply.status == 404:
            return True
        row = reply.table()
        ended = fields.instant(row, "end_time") if row.get("state_type") in parse.ENDED else None
        now = reply.clock.target if reply.clock else datetime.now(UTC)
        return ended is not None and now - ended > QUIET


def _where(place: Place) -> dict[str, Any]:
    times = {"after_": place.after, "before_": place.before}
    kept = {name: at.isoformat() for name, at in times.items() if at is not None}
    return {"timestamp": kept} if kept else {}


def _lines(rows: list[Any]) -> list[Line]:
    """What cannot be read is shown as it is, in the place where it stood."""
    found: list[Line] = []
    for row in rows:
        try:
            found.append(_line(fields.table(row)))
        except RecordUnreadable as error:
            at = found[-1].at if found else datetime.now(UTC)
            found.append(Line(f"?{len(found)}", at, f"[a line that cannot be read: {error}]"))
    return found


def _line(row: fields.Row) -> Line:
    at = fields.instant(row, "timestamp")
    if at is None:
        raise RecordUnreadable("no timestamp")
    level = LEVELS.get(fields.number(row, "level", 20), "")
    shown = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {level}{fields.words(row, 'message')}"
    return Line(parse.id_of(row), at, shown)


def _in_order(lines: list[Line]) -> list[Line]:
    """By time, each once."""
    return sorted({one.id: one for one in lines}.values(), key=lambda one: (one.at, one.id))


def _after(place: Place, lines: list[Line]) -> Place:
    if not lines:
        return replace(place, skip=0)
    since = max(lines[-1].at - AGAIN, place.after or lines[0].at)
    fresh = [one.id for one in lines if one.at >= since]
    shown = tuple(dict.fromkeys((*place.shown, *fresh)))[-MOST_SHOWN:]
    return replace(place, after=since, shown=shown, skip=0)


def _place(start: str) -> Place:
    try:
        row = fields.table(json.loads(start))
        shown = tuple(str(one) for one in fields.rows(row.get("shown")))
        times = fields.instant(row, "after"), fields.instant(row, "before")
        return Place(parse.id_of(row, "run"), *times, shown, fields.number(row, "skip", 0))
    except (ValueError, RecursionError, RecordUnreadable) as error:
        raise NotSupported(f"this place in a log cannot be read back: {error}") from None
