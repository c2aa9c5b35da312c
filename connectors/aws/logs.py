"""Logs of CloudWatch, in pieces: one or several streams of a run as one text, its lines in the order of their times.

Facts: CloudWatch Logs API reference, GetLogEvents: a page may be empty although more follows; the end is reached when
the token that was sent comes back; tokens expire after 24 hours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any

from connectors.aws.door import AwsDoor
from connectors.aws.errors import Gone
from connectors.aws.values import Reply, given
from connectors.characters import from_character, to_character
from connectors.contract import LogChunk, NotSupported

MOST_PAGES = 25
MOST_EVENTS = 10_000  # limit of GetLogEvents, "The maximum is as many log events as can fit in 1 MB, up to 10,000"

Line = tuple[int, int, int, bytes]
"""Time in milliseconds, number of its stream, number within that, and the line."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a run writes."""

    group: str
    name: str


@dataclass(frozen=True, slots=True)
class _Place:
    """How far one stream was told: events of the page after `token` (None: from its beginning)."""

    token: str | None = None
    events: int = 0
    byte: int = 0
    """Of the event that comes next, where it was cut."""


def chunk(door: AwsDoor, streams: Sequence[Stream], start: str | None, limit_bytes: int, is_open: bool) -> LogChunk:
    """The tail of all streams together (`start` None), or what follows. Raises NotSupported where none is there and
    none will be."""
    if start is None:
        return _tail(door, streams, limit_bytes, is_open)
    return _after(door, streams, _places(start, len(streams)), limit_bytes, is_open)


def _tail(door: AwsDoor, streams: Sequence[Stream], limit_bytes: int, is_open: bool) -> LogChunk:
    found = [_last(door, stream, number, limit_bytes) for number, stream in enumerate(streams)]
    if not is_open and all(place is None for _, place, _ in found):
        names = ", ".join(f"{one.group} {one.name}" for one in streams)
        raise NotSupported(f"{door.place}: no log is there (any more): {names}")
    whole = b"".join(line for *_, line in merge(*(lines for lines, _, _ in found)))
    piece = whole[max(0, len(whole) - limit_bytes) :]
    places = [place or _Place() for _, place, _ in found]
    is_cut = len(piece) < len(whole) or any(cut for *_, cut in found)
    return LogChunk(_text(from_character(piece)), _words(places) if is_open else None, cut=is_cut)


def _last(door: AwsDoor, stream: Stream, number: int, limit_bytes: int) -> tuple[list[Line], _Place | None, bool]:
    """The newest lines of one stream, the place behind them (None: there is no such stream), whether some lack."""
    lines: list[Line] = []
    token, place, size, is_whole = None, None, 0, False
    for _ in range(MOST_PAGES):
        page = _page(door, stream, token, from_head=False)
        if page is None:
            is_whole = True
            break
        place = place or _Place(str(page["nextForwardToken"]))
        before = [_line(one, number, 0) for one in page["events"]]
        lines = before + lines
        size += sum(len(line) for *_, line in before)
        following = str(page["nextBackwardToken"])
        is_whole = following == token
        if is_whole or size >= limit_bytes:
            break
        token = following
    numbered = [(at, number, index, line) for index, (at, _, _, line) in enumerate(lines)]
    return numbered, place, not is_whole


def _after(door: AwsDoor, streams: Sequence[Stream], places: list[_Place], limit_bytes: int, is_open: bool) -> LogChunk:
    pages = [_following(door, stream, place) for stream, place in zip(streams, places, strict=True)]
    left = [
        [_line(one, number, index) for index, one in enumerate(events)][place.events :]
        for number, ((events, _), place) in enumerate(zip(pages, places, strict=True))
    ]
    body, is_full = bytearray(), False
    for _, number, index, line in merge(*left):
        rest = line[places[number].byte :]
        room = limit_bytes - len(body)
        taken = rest if len(rest) <= room else to_character(rest[:room])
        body += taken
        if len(taken) < len(rest):
            places[number] = replace(places[number], byte=places[number].byte + len(taken))
            is_full = True
            break
        places[number] = replace(places[number], events=index + 1, byte=0)
    more = is_full
    for number, (events, token) in enumerate(pages):
        if places[number].events >= len(events) and not places[number].byte and token is not None:
            more = more or bool(events)
            places[number] = _Place(token)
    return LogChunk(_text(bytes(body)), _words(places) if is_open or more else None, more=more)


def _following(door: AwsDoor, stream: Stream, place: _Place) -> tuple[list[Reply], str | None]:
    """The next page that is not empty, and the token behind it; None while there is no such stream."""
    token = place.token
    for _ in range(MOST_PAGES):
        page = _page(door, stream, token, from_head=True)
        if page is None:
            return [], None
        following = str(page["nextForwardToken"])
        if page["events"] or following == token:
            return page["events"], following
        token = following
    return [], token


def _page(door: AwsDoor, stream: Stream, token: str | None, from_head: bool) -> Reply | None:
    which: Reply = {"logGroupName": stream.group, "logStreamName": stream.name, "startFromHead": from_head}
    try:
        page = door.call("logs", "get_log_events", "events", limit=MOST_EVENTS, **which, **given(nextToken=token))
    except Gone:
        return None
    return {"nextForwardToken": token or "", "nextBackwardToken": token or ""} | page


def _line(event: Reply, number: int, index: int) -> Line:
    text = str(event.get("message", "")).rstrip("\n") + "\n"
    return int(event.get("timestamp") or 0), number, index, text.encode("utf-8", "surrogateescape")


def _words(places: Sequence[_Place]) -> str:
    return json.dumps([[one.token, one.events, one.byte] for one in places], separators=(",", ":"))


def _places(start: str, count: int) -> list[_Place]:
    """The places in `start`; the beginnings for what is none of ours."""
    try:
        found: list[Any] = json.loads(start)
        places = [_Place(None if one[0] is None else str(one[0]), int(one[1]), int(one[2])) for one in found]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        places = []
    return places if len(places) == count else [_Place()] * count


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "surrogateescape")
