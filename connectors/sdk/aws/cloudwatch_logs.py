"""CloudWatch logs in chunks: the streams of a run as one text, its lines ordered by time.

Facts: CloudWatch Logs API reference, GetLogEvents: a page may be empty although more follows; the end is reached when
the token that was sent comes back; tokens expire after 24 hours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any, ClassVar

from connectors.sdk.aws.client import AwsClient, AwsNotFound, try_permission
from connectors.sdk.aws.options import AwsLogOptions
from connectors.sdk.aws.values import AwsReply, given
from connectors.sdk.contract import SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported
from connectors.sdk.log_chunks import from_character, to_character
from connectors.sdk.records import LogChunk
from connectors.sdk.transport.http import Transport

MAX_PAGES = 25
MAX_EVENTS = 10_000  # limit of GetLogEvents, "The maximum is as many log events as can fit in 1 MB, up to 10,000"

Line = tuple[int, int, int, bytes]
"""Time in milliseconds, number of its stream, number within that, and the line."""


@dataclass(frozen=True, slots=True)
class LogStream:
    """Where a run writes."""

    group: str
    name: str


@dataclass(frozen=True, slots=True)
class _StreamPosition:
    """The position in one stream: events of the page after `token` (None: from its beginning)."""

    token: str | None = None
    events: int = 0
    byte: int = 0
    """Of the event that comes next, where it was cut."""


def chunk(
    client: AwsClient, streams: Sequence[LogStream], start: str | None, limit_bytes: int, is_open: bool
) -> LogChunk:
    """The tail of all streams (`start` None), or the part after `start`. Raises NotSupported without any stream."""
    if start is not None:
        return _after(client, streams, _positions(start, len(streams)), limit_bytes, is_open)
    result = [_last(client, stream, number, limit_bytes) for number, stream in enumerate(streams)]
    if not is_open and all(place is None for _, place, _ in result):
        names = ", ".join(f"{item.group} {item.name}" for item in streams)
        raise NotSupported(f"{client.place}: no log is there (any more): {names}")
    whole = b"".join(line for *_, line in merge(*(lines for lines, _, _ in result)))
    piece = whole[max(0, len(whole) - limit_bytes) :]
    places = [place or _StreamPosition() for _, place, _ in result]
    is_cut = len(piece) < len(whole) or any(cut for *_, cut in result)
    return LogChunk(_text(from_character(piece)), _positions_text(places) if is_open else None, cut=is_cut)


def _last(
    client: AwsClient, stream: LogStream, number: int, limit_bytes: int
) -> tuple[list[Line], _StreamPosition | None, bool]:
    """The newest lines of one stream, the position after them (None: no such stream), and whether older ones exist."""
    lines: list[Line] = []
    token, place, size, is_whole = None, None, 0, False
    for _ in range(MAX_PAGES):
        page = _page(client, stream, token, from_head=False)
        if page is None:
            is_whole = True
            break
        place = place or _StreamPosition(str(page["nextForwardToken"]))
        before = [_line(event, number, 0) for event in page["events"]]
        lines = before + lines
        size += sum(len(line) for *_, line in before)
        following = str(page["nextBackwardToken"])
        is_whole = following == token
        if is_whole or size >= limit_bytes:
            break
        token = following
    numbered = [(at, number, index, line) for index, (at, _, _, line) in enumerate(lines)]
    return numbered, place, not is_whole


def _after(
    client: AwsClient, streams: Sequence[LogStream], places: list[_StreamPosition], limit_bytes: int, is_open: bool
) -> LogChunk:
    pages = [_following(client, stream, place) for stream, place in zip(streams, places, strict=True)]
    unread = [
        [_line(event, number, index) for index, event in enumerate(events)][place.events :]
        for number, ((events, _), place) in enumerate(zip(pages, places, strict=True))
    ]
    body, is_full = bytearray(), False
    for _, number, index, line in merge(*unread):
        rest = line[places[number].byte :]
        room = limit_bytes - len(body)
        taken = rest if len(rest) <= room else to_character(rest[:room])
        body += taken
        if len(taken) < len(rest):
            places[number] = replace(places[number], byte=places[number].byte + len(taken))
            is_full = True
            break
        places[number] = replace(places[number], events=index + 1, byte=0)
    has_more = is_full
    for number, (events, token) in enumerate(pages):
        if places[number].events >= len(events) and not places[number].byte and token is not None:
            has_more = has_more or bool(events)
            places[number] = _StreamPosition(token)
    return LogChunk(_text(bytes(body)), _positions_text(places) if is_open or has_more else None, more=has_more)


def _following(client: AwsClient, stream: LogStream, place: _StreamPosition) -> tuple[list[AwsReply], str | None]:
    """The next page that is not empty, and the token behind it; None while there is no such stream."""
    token = place.token
    for _ in range(MAX_PAGES):
        page = _page(client, stream, token, from_head=True)
        if page is None:
            return [], None
        following = str(page["nextForwardToken"])
        if page["events"] or following == token:
            return page["events"], following
        token = following
    return [], token


def _page(client: AwsClient, stream: LogStream, token: str | None, from_head: bool) -> AwsReply | None:
    which: AwsReply = {"logGroupName": stream.group, "logStreamName": stream.name, "startFromHead": from_head}
    try:
        page = client.call("logs", "get_log_events", "events", limit=MAX_EVENTS, **which, **given(nextToken=token))
    except AwsNotFound:
        return None
    return {"nextForwardToken": token or "", "nextBackwardToken": token or ""} | page


def _line(event: AwsReply, number: int, index: int) -> Line:
    text = str(event.get("message", "")).rstrip("\n") + "\n"
    return int(event.get("timestamp") or 0), number, index, text.encode("utf-8", "surrogateescape")


def _positions_text(places: Sequence[_StreamPosition]) -> str:
    return json.dumps([[place.token, place.events, place.byte] for place in places], separators=(",", ":"))


def _positions(start: str, count: int) -> list[_StreamPosition]:
    """The positions in `start`; the beginnings for any other text."""
    try:
        values: list[Any] = json.loads(start)
        places = [
            _StreamPosition(None if item[0] is None else str(item[0]), int(item[1]), int(item[2])) for item in values
        ]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        places = []
    return places if len(places) == count else [_StreamPosition()] * count


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "surrogateescape")


class AwsLogClient(AwsClient):
    """One region as one identity, and its CloudWatch Logs."""

    service: ClassVar[str]
    """ "Glue", for messages."""

    def __init__(self, options: AwsLogOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        self.reads_logs = options.reads_logs
        super().__init__(self.service, options, secrets, transport, {"logs": options.logs_endpoint_url})

    def require_logs(self) -> None:
        """Raises NotSupported where only the address of the service itself is known."""
        if not self.reads_logs:
            raise NotSupported(f"endpoint_url is the address of {self.service} alone: give logs_endpoint_url as well")


def log_permission(client: AwsLogClient, group: str) -> SourcePermission:
    """Whether logs of `group` may be read, tried on a stream that does not exist."""
    if not client.reads_logs:
        reason = f"endpoint_url is the address of {client.service} alone"
        return SourcePermission("logs:GetLogEvents", False, reason, "give logs_endpoint_url as well")

    def read_none() -> None:
        with suppress(NotSupported):
            chunk(client, [LogStream(group, "headway-probe")], None, 16, is_open=True)

    return try_permission("logs", "GetLogEvents", read_none)
