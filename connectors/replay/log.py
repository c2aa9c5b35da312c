"""What an attempt has written, and the part of it that was asked for. Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.contract import LogChunk
from connectors.replay.parse import JobDef
from connectors.replay.world import Attempt


def lines(job: JobDef, one: Attempt, zone: str) -> list[str]:
    """All lines so far: the recorded ones, else a plain start and end; an open attempt has its first words only.

    Stamped in the source's own zone."""
    begun = f"{_stamp(one.started_at or one.queued_at, zone)} {job.definition or one.job[1]}"
    if one.ending is None:
        return [begun, f"{int(one.share * 100)}% done"]
    if one.ending.log:
        return [begun, *one.ending.log.splitlines()]
    ended = [f"{_stamp(one.ended_at, zone)} {one.ending.message or 'done'}"] if one.ended_at is not None else []
    return [begun, *ended]


def _stamp(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"


def chunk(text: str, start: str | None, limit_bytes: int, ended: bool) -> LogChunk:
    """The tail (`start` None) or what follows a byte offset; never half a character."""
    data = text.encode("utf-8", "surrogateescape")
    if start is None:
        begin = _next_character(data, max(0, len(data) - limit_bytes))
        return LogChunk(data[begin:].decode("utf-8", "ignore"), None if ended else str(len(data)), cut=begin > 0)
    begin = _next_character(data, min(_offset(start), len(data)))
    end = min(begin + limit_bytes, len(data))
    while begin < end < len(data) and _inside(data, end):
        end -= 1
    rest = begin < end < len(data)
    return LogChunk(data[begin:end].decode("utf-8", "ignore"), str(end) if rest or not ended else None, more=rest)


def _offset(start: str) -> int:
    return int(start) if start.isascii() and start.isdigit() else 0


def _inside(data: bytes, place: int) -> bool:
    return data[place] & 0xC0 == 0x80


def _next_character(data: bytes, place: int) -> int:
    while place < len(data) and _inside(data, place):
        place += 1
    return place
