"""Logs in chunks: by Range if the server can, else cut from the whole. The log of a run with parts is that of its
failed ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.client import GONE_STATUSES, RESERVED_SHARE, HttpApiClient
from connectors.http.options import HttpLogCall, HttpLogFilesCall
from connectors.http.parts import PartTry, RunReader, attempt_of, parts_of_attempt
from connectors.sdk.errors import InvalidAnswer, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import has_field, id_at, rows_at, text_at, value_at
from connectors.sdk.fields import masked_head
from connectors.sdk.log_chunks import chunk_of, chunk_of_parts, from_character, join_lines, to_character
from connectors.sdk.mapped_actions import missing_log
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.states import Capability
from connectors.sdk.transport.http import HttpAnswerTooLarge, HttpReply

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
BEFORE_ITS_START = timedelta(days=1)
"""Of a run, where its log takes {since}."""
MAX_LOG_CHARACTERS = 64 * 1024**2
ANY_TYPE = {"Accept": "*/*"}


class LogNotFound(NotSupported):
    """A run, or one of its parts or files, has no log."""


class HttpLogReader:
    def __init__(self, client: HttpApiClient, reader: RunReader) -> None:
        self._api, self._reader = client, reader

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """The tail (`start` None), or what follows the byte `start`. Raises NotSupported without a log."""
        call = self._api.options.log
        if call is None:
            raise NotSupported(self._api.source.lacks.get(Capability.LOG) or missing_log("path"))
        if self._api.options.parts is None:
            return _read_run_log(self._api, call, run, start, limit_bytes)
        try:
            parts = parts_of_attempt(self._reader.parts(run.native_ref), attempt_of(run.attempt_key))
        except RecordUnreadable as error:
            raise NotSupported(f"the log of run {run.attempt_key}: {error}") from None
        begun = [part for part in parts if part.started_at is not None and not part.is_child]
        shown = [part for part in begun if part.state.is_red] or begun
        if not shown:
            raise NotSupported(f"run {run.attempt_key} of {run.job} has no log: no part has begun")
        if start is None:
            return self._tail(call, run, shown, limit_bytes)
        return chunk_of_parts(self._texts(call, run, shown), start, limit_bytes, is_open=False)

    def _tail(self, call: HttpLogCall, run: RunRef, parts: list[PartTry], limit_bytes: int) -> LogChunk:
        """The end of the last logs: no more of each is kept than fits. Parts without one are left out."""
        data, is_cut, missing = b"", False, list[LogNotFound]()
        for part in reversed(parts):
            room = limit_bytes - len(data)
            if room <= 0:
                is_cut = True
                break
            try:
                end, has_more = _end(self._api, call, _places(self._api, run, part.id), room)
            except LogNotFound as error:
                missing.append(error)
                continue
            data, is_cut = end + data, is_cut or has_more
        if len(missing) == len(parts):
            raise missing[0]
        text = (from_character(data) if is_cut else data).decode("utf-8", "surrogateescape")
        return LogChunk(text, None, cut=is_cut)

    def _texts(self, call: HttpLogCall, run: RunRef, parts: list[PartTry]) -> Iterator[str]:
        missing = list[LogNotFound]()
        for part in parts:
            try:
                yield from _texts(self._api, call, _places(self._api, run, part.id))
            except LogNotFound as error:
                missing.append(error)
        if len(missing) == len(parts):
            raise missing[0]


def _read_run_log(
    client: HttpApiClient, call: HttpLogCall, run: RunRef, start: str | None, limit_bytes: int
) -> LogChunk:
    if call.files is not None:
        return chunk_of_parts(_file_texts(client, call, call.files, run), start, limit_bytes, is_open=False)
    begin = int(start) if start and start.isascii() and start.isdigit() else 0
    places = _places(client, run)
    if "offset" in call.places and not call.text:
        chunk = chunk_of_parts(
            _pieces(client, call, places, begin), None if start is None else "0", limit_bytes, is_open=False
        )
        return replace(chunk, next=str(begin + int(chunk.next))) if chunk.next else chunk
    if call.text:  # its bytes are not those of the source where one was replaced
        return chunk_of_parts(_texts(client, call, places), start, limit_bytes, is_open=False)
    headers = dict(ANY_TYPE)
    if call.ranges:
        span = f"-{limit_bytes}" if start is None else f"{begin}-{begin + limit_bytes - 1}"
        headers |= {"Range": f"bytes={span}", "Accept-Encoding": "identity"}
    is_end = start is None and not call.ranges
    reply = _log_reply(client, call, places, headers, limit_bytes if is_end else None)
    if reply.status == 416:
        return LogChunk("", None)
    if is_end:
        end = from_character(reply.body) if reply.cut else reply.body
        return LogChunk(end.decode("utf-8", "surrogateescape"), None, cut=reply.cut)
    if reply.status == 206:
        return _partial_chunk(reply, start, limit_bytes)
    return chunk_of(reply.body.decode("utf-8", "surrogateescape"), start, limit_bytes, is_open=False)


def _places(client: HttpApiClient, run: RunRef, part: str = "") -> dict[str, Any]:
    """Place -> its value, for the log of a run or of a part."""
    window = client.window((run.started_at or datetime.now(UTC)) - BEFORE_ITS_START)
    attempt = str(attempt_of(run.attempt_key))
    return {"id": run.native_ref, "job": run.job, "attempt": attempt, "part": part, **window}


def _texts(client: HttpApiClient, call: HttpLogCall, places: Mapping[str, Any]) -> Iterator[str]:
    """The log from its beginning, one answer after the other."""
    if "cursor" in call.places:
        yield from _pages(client, call, places)
    elif "offset" in call.places:
        yield from _pieces(client, call, places, 0)
    else:
        reply = _log_reply(client, call, places, ANY_TYPE)
        if reply.status != 416 and call.text:
            document = _log_document(reply, call)
            yield _lines(document, call) if call.parts else _log_text(document, call)
        elif reply.status != 416:
            yield reply.body.decode("utf-8", "surrogateescape")


def _end(client: HttpApiClient, call: HttpLogCall, places: Mapping[str, Any], limit_bytes: int) -> tuple[bytes, bool]:
    """The last bytes of the log, and whether there are others before them."""
    if call.text or "offset" in call.places:
        chunk = chunk_of_parts(_texts(client, call, places), None, limit_bytes, is_open=False)
        return chunk.text.encode("utf-8", "surrogateescape"), chunk.cut
    reply = _log_reply(client, call, places, ANY_TYPE, limit_bytes)
    if reply.status == 416:
        return b"", False
    return reply.body[-limit_bytes:], reply.cut or len(reply.body) > limit_bytes


def _log_reply(
    client: HttpApiClient,
    call: HttpLogCall,
    places: Mapping[str, Any],
    headers: Mapping[str, str],
    end_bytes: int | None = None,
) -> HttpReply:
    """Raises LogNotFound without a log."""
    reply = client.request(call, places, headers, {*GONE_STATUSES, 416}, end_bytes=end_bytes)
    if reply.status in GONE_STATUSES:
        raise LogNotFound(f"run {places['id']} of {places['job']} has no log (any more)")
    return reply


def _log_document(reply: HttpReply, call: HttpLogCall) -> Any:
    """The answer that has the log, as JSON. Raises InvalidAnswer where it has other fields and not that of the log; an
    answer without any is an empty log."""
    document = reply.json()
    key, path = ("parts", call.parts) if call.parts else ("text", call.text)
    if document and not (
        has_field(document, path.removesuffix(".*")) or (call.next and has_field(document, call.next))
    ):
        raise InvalidAnswer(f"{reply.place} has no {path!r} (log.{key}). Fix: correct it")
    parts = rows_at(document, call.parts) if call.parts and not call.next and "{" not in call.text else None
    if parts and not any(has_field(part, call.text) for part in parts):
        raise InvalidAnswer(f"{reply.place} has parts without {call.text!r} (log.text). Fix: correct it")
    return document


def _pieces(client: HttpApiClient, call: HttpLogCall, places: Mapping[str, str], begin: int) -> Iterator[str]:
    """The log from the byte `begin` on, piece by piece; the last line says so where the time of the call ends first."""
    offset = begin
    following: int | None
    while True:
        try:
            reply = _log_reply(client, call, {**places, "offset": str(offset)}, ANY_TYPE)
        except HttpAnswerTooLarge as error:
            if call.text or not error.begin:
                raise
            body, following = error.begin, offset + len(error.begin)
        else:
            document = _log_document(reply, call) if call.text and reply.status != 416 else {}
            body = _log_text(document, call).encode() if call.text else reply.body
            if reply.status == 416 or not body:
                return
            following = _byte_at(document, call, reply) if call.text else offset + len(body)
        yield body.decode("utf-8", "surrogateescape")
        if following is None or following <= offset:
            return
        offset = following
        if client.deadline.is_below(RESERVED_SHARE):
            yield f"\n[the log from byte {offset} on could not be read in time]\n"
            return


def _lines(document: Any, call: HttpLogCall) -> str:
    """The texts of the parts in an answer, a line each."""
    texts = [_log_text(part, call) for part in rows_at(document, call.parts) or ()]
    return join_lines(text.removesuffix("\n") for text in texts)


def _log_text(row: Any, call: HttpLogCall) -> str:
    """The text of the log in an answer or a part of it, without halves of characters, which no encoding has."""
    text = text_at(row, call.text, MAX_LOG_CHARACTERS)
    if call.text_is_json:
        with suppress(ValueError, RecursionError):  # another text
            content = json.loads(text)
            text = content if isinstance(content, str) else "" if content is None else text
    return text.encode("utf-8", "replace").decode()


def _byte_at(document: Any, call: HttpLogCall, reply: HttpReply) -> int | None:
    """Where the next piece begins; None at the end. Raises InvalidAnswer for what is not a number of a byte."""
    value = value_at(document, call.next)
    if value is None or value == "":
        return None
    if not re.fullmatch(r"\d{1,18}(\.0)?", str(value)):
        text = f"{masked_head(str(value), 60)!a} at {call.next!r} (log.next) is not the number of a byte"
        raise InvalidAnswer(f"{reply.place}: {text}. Fix: correct it")
    return int(str(value).partition(".")[0])


def _pages(client: HttpApiClient, call: HttpLogCall, places: Mapping[str, str]) -> Iterator[str]:
    """The log, one answer after the other; the last line says so where the time of the call ends first."""
    token = None
    while True:
        document = _log_document(_log_reply(client, call, {**places, "cursor": token}, ANY_TYPE), call)
        if not rows_at(document, call.parts):
            return
        yield _lines(document, call)
        before, token = token, value_at(document, call.next)
        if token in (None, "", before):
            return
        if client.deadline.is_below(RESERVED_SHARE):
            yield f"[the log from {masked_head(str(token), 60)} on could not be read in time]\n"
            return


def _file_texts(client: HttpApiClient, call: HttpLogCall, files: HttpLogFilesCall, run: RunRef) -> Iterator[str]:
    """Each file of the log under its name, without those that have none. Raises NotSupported where one cannot be read,
    and LogNotFound where none is there."""
    places = {"id": run.native_ref, "job": run.job}
    rows, _, cut = client.all_rows(files, files.id, places)
    missing = list[LogNotFound]()
    for row in rows:
        try:
            values = {**places, "file": id_at(row, files.id, "the id of a file")}
        except RecordUnreadable as error:
            raise NotSupported(f"the log of run {run.attempt_key}: {error}") from None
        try:
            reply = _log_reply(client, call, values, ANY_TYPE)
        except LogNotFound as error:
            missing.append(error)
            continue
        text = "" if reply.status == 416 else reply.body.decode("utf-8", "surrogateescape")
        yield f"==> {text_at(row, files.title, 200)} <==\n{text}" + ("" if text.endswith("\n") else "\n")
    if missing and len(missing) == len(rows):
        raise missing[0]
    if cut:
        yield f"{cut}\n"


def _partial_chunk(reply: HttpReply, start: str | None, limit_bytes: int) -> LogChunk:
    match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    if match is None:
        raise NotSupported(f"{reply.place}: a part without Content-Range; set ranges = false")
    first, body = int(match[1]), reply.body[:limit_bytes]
    piece = from_character(body) if start is None else to_character(body) or body
    end = first + (len(body) if start is None else len(piece))
    has_more = match[3] != "*" and end < int(match[3])
    text = piece.decode("utf-8", "surrogateescape")
    return LogChunk(text, str(end) if has_more else None, has_more, cut=start is None and first > 0)
