"""The log of a run: whole, or by Range where the server can."""

from __future__ import annotations

import re

from connectors.characters import from_character, to_character
from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.http.client import GONE, HttpClient
from connectors.mapping import rows_at, text_at
from connectors.transport.deadline import Deadline
from connectors.transport.http import Reply
from connectors.whole_log import piece_of

_SPAN = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_LENGTH = re.compile(r"bytes \*/(\d{1,18})")
UNNAMED = "the config names no log of a run: add [systems.NAME.log] with its path"
MOST_CHARACTERS = 64 * 1024**2


def chunk(client: HttpClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported without a log."""
    call = client.options.log
    if call is None:
        raise NotSupported(UNNAMED)
    begin = int(start) if start and start.isascii() and start.isdigit() else 0
    span = ""
    if call.ranges:
        span = f"bytes=-{limit_bytes}" if start is None else f"bytes={begin}-{begin + limit_bytes - 1}"
    reply = client.log({"id": run.native_ref, "job": run.job}, span, Deadline(timeout_seconds))
    if reply.status in GONE:
        raise NotSupported(f"there is no log of run {run.attempt_key} of {run.job} (any more)")
    if reply.status == 416:
        return LogChunk("", None)
    if reply.status == 206 and not call.text:
        return _part(reply, start, limit_bytes)
    if call.text:
        document = reply.json()
        parts = (rows_at(document, call.parts) or []) if call.parts else [document]
        told = [text_at(one, call.text, MOST_CHARACTERS) for one in parts if isinstance(one, dict)]
        text = "\n".join(one.removesuffix("\n") for one in told if one) + "\n" if call.parts else "".join(told)
    else:
        text = reply.body.decode("utf-8", "surrogateescape")
    return piece_of(text, start, limit_bytes, is_open=False)


def _part(reply: Reply, start: str | None, limit_bytes: int) -> LogChunk:
    found = _SPAN.fullmatch(reply.headers.get("content-range", ""))
    if found is None:
        raise NotSupported(f"{reply.place}: a part without Content-Range; set ranges = false")
    first, body = int(found[1]), reply.body[:limit_bytes]
    piece = from_character(body) if start is None else to_character(body) or body
    end = first + (len(body) if start is None else len(piece))
    more = found[3] != "*" and end < int(found[3])
    text = piece.decode("utf-8", "surrogateescape")
    return LogChunk(text, str(end) if more else None, more, cut=start is None and first > 0)
