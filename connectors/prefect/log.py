"""The log of a flow run, including its tasks' lines. A rerun writes to the same log: an attempt is its part by time.

Lines arrive in batches, late, and out of order between processes. So each read starts some seconds before the last
line and drops the lines that were returned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, list_rows
from connectors.prefect.parse import parse_reference
from connectors.sdk import fields, log_chunks
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.records import LogChunk, RunRef

MAX_PAGES = 50
MAX_TAIL_BYTES = 1 << 20  # bytes kept of the end of a long log while it is read
REREAD_WINDOW = timedelta(seconds=5)  # how late a line may come behind one that is newer
MAX_SHOWN_IDS = 600  # lines of that time that a position in a log has; of more, the newest
QUIET_TIME = timedelta(seconds=30)  # after its run's end, a log without new lines for so long is complete
LEVELS = {10: "DEBUG ", 20: "", 30: "WARNING ", 40: "ERROR ", 50: "CRITICAL "}


@dataclass(frozen=True, slots=True)
class PrefectLogLine:
    id: str
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class PrefectLogPosition:
    """Position in a log: lines since `after` except those in `shown`, and how many bytes of these were read."""

    run: str
    after: datetime | None
    before: datetime | None
    shown: tuple[str, ...] = ()
    skip: int = 0


class PrefectLogReader:
    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        if start is not None:
            return self._go_on(log_chunks.log_position(PrefectLogPosition, start), limit_bytes)
        at = parse_reference(run)
        if at is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in Prefect, and so no log")
        history = parse.run_history(list_rows(self._client.states(at.run)))
        if not history:
            raise NotSupported(f"Prefect no longer has the run {at.run}, and so no log")
        attempts = parse.split_attempts(history)
        number = min(max(at.number, 1), len(attempts))
        began = attempts[number - 1][0].at if number > 1 else None
        until = attempts[number][0].at if number < len(attempts) else None
        return self._tail(PrefectLogPosition(at.run, began, until), min(limit_bytes, MAX_TAIL_BYTES))

    def _tail(self, place: PrefectLogPosition, limit_bytes: int) -> LogChunk:
        lines: list[PrefectLogLine] = []
        cut = True
        for page in range(MAX_PAGES):
            rows = list_rows(self._client.log(place.run, _log_filter(place), "TIMESTAMP_DESC", page * PAGE_LIMIT))
            lines += _parse_lines(rows)
            if len(rows) < PAGE_LIMIT:
                cut = False
                break
            if sum(len(line.text) for line in lines) > limit_bytes:
                break
        lines = _sorted_lines(lines)
        text, dropped = log_chunks.tail(log_chunks.join_lines(line.text for line in lines), limit_bytes)
        place = _position_after(place, lines)
        return LogChunk(text, None if self._is_over(place) else fields.as_json(place), cut=cut or dropped)

    def _go_on(self, place: PrefectLogPosition, limit_bytes: int) -> LogChunk:
        rows: list[Any] = []
        for page in range(MAX_PAGES):
            page_rows = list_rows(self._client.log(place.run, _log_filter(place), "TIMESTAMP_ASC", page * PAGE_LIMIT))
            rows += page_rows
            if len(page_rows) < PAGE_LIMIT or sum(len(str(row)) for row in rows) > MAX_TAIL_BYTES + place.skip:
                break
        lines = [line for line in _sorted_lines(_parse_lines(rows)) if line.id not in place.shown]
        text, skip = log_chunks.part_of(log_chunks.join_lines(line.text for line in lines), place.skip, limit_bytes)
        if skip is not None:
            return LogChunk(text, fields.as_json(replace(place, skip=skip)), more=True)
        following = _position_after(place, lines)
        return LogChunk(text, None if not lines and self._is_over(following) else fields.as_json(following))

    def _is_over(self, place: PrefectLogPosition) -> bool:
        if place.before is not None:
            return True
        reply = self._client.run(place.run)
        if reply.status == 404:
            return True
        row = reply.table()
        ended = fields.instant(row, "end_time") if row.get("state_type") in parse.ENDED_TYPES else None
        now = reply.clock.target if reply.clock else datetime.now(UTC)
        return ended is not None and now - ended > QUIET_TIME


def _log_filter(place: PrefectLogPosition) -> dict[str, Any]:
    times = {"after_": place.after, "before_": place.before}
    bounds = {name: at.isoformat() for name, at in times.items() if at is not None}
    return {"timestamp": bounds} if bounds else {}


def _parse_lines(rows: list[Any]) -> list[PrefectLogLine]:
    lines: list[PrefectLogLine] = []
    for item in rows:
        try:
            row = fields.table(item)
            at = fields.instant(row, "timestamp")
            if at is None:
                raise RecordUnreadable("no timestamp")
            level = LEVELS.get(fields.number(row, "level", 20), "")
            text = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {level}{fields.optional_text(row, 'message')}"
            lines.append(PrefectLogLine(parse.parse_id(row), at, text))
        except RecordUnreadable as error:
            at = lines[-1].at if lines else datetime.now(UTC)
            lines.append(PrefectLogLine(f"?{len(lines)}", at, f"[a line that cannot be read: {error}]"))
    return lines


def _sorted_lines(lines: list[PrefectLogLine]) -> list[PrefectLogLine]:
    return sorted({line.id: line for line in lines}.values(), key=lambda line: (line.at, line.id))


def _position_after(place: PrefectLogPosition, lines: list[PrefectLogLine]) -> PrefectLogPosition:
    if not lines:
        return replace(place, skip=0)
    since = max(lines[-1].at - REREAD_WINDOW, place.after or lines[0].at)
    fresh = [line.id for line in lines if line.at >= since]
    shown = tuple(dict.fromkeys((*place.shown, *fresh)))[-MAX_SHOWN_IDS:]
    return replace(place, after=since, shown=shown, skip=0)
