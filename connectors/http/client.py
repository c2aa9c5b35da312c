"""Client of the configured API: one method per call, raw rows out; and logs in chunks, by Range if the server can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from connectors.http.options import PLACEHOLDER, HttpCall, HttpListCall, HttpOptions, HttpRunsCall
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import InvalidAnswer, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import MappedFields, instant_at, rows_at, text_at, value_at
from connectors.sdk.fields import digest
from connectors.sdk.log_chunks import chunk_of, from_character, to_character
from connectors.sdk.records import LogChunk, RunRef, TargetClock
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply

GONE_STATUSES = frozenset({404, 410})
MAX_PAGES = 1000


@dataclass(frozen=True, slots=True)
class HttpPage:
    """Rows as they came, and what to ask for next (None: that was the last). `cut`: why rows may be left out, or ""."""

    rows: list[Any]
    following: str | int | None
    clock: TargetClock | None
    cut: str = ""


class HttpApiClient:
    def __init__(
        self, options: HttpOptions, secrets: SecretResolver, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.options, self._secrets = options, secrets
        self._account = HttpAccount(secrets, options.username, options.password, options.token)
        self.endpoint = HttpEndpoint("the API", options.url, options.ca_file, transport)

    def page(self, call: HttpListCall, page: str | int | None, since: datetime | None, deadline: Deadline) -> HttpPage:
        """One page of a list. Raises AnswerUnfit where the answer has no list where config says."""
        values: dict[str, Any] = {"cursor": page or "", "offset": page or 0, "page": page or 1}
        values["limit"] = self.options.limit
        if since is not None:
            fields = self.options.runs
            values["since"] = format_instant(since, fields)
        reply = self.request(call, values, deadline)
        document = reply.json_with_nan()  # an instant of NaN is no missing one
        rows = rows_at(document, call.rows)
        if rows is None:
            where = f"at rows = {call.rows!r}" if call.rows else "as a whole"
            raise InvalidAnswer(f"{reply.place} is no list {where}. Correct rows; headway connector try shows it.")
        repeats = page is not None and call.next != "" and value_at(document, call.next) == page
        cut = self._cut(call, len(rows), repeats)
        return HttpPage(rows, self._following(call, document, page, len(rows)), reply.clock, cut)

    def _cut(self, call: HttpListCall, count: int, repeats: bool) -> str:
        """`repeats`: the page after it is told to be itself."""
        if count and repeats:
            return f"{call.path} names as its next page the one that was asked for: what comes after it cannot be read"
        if count < self.options.limit or call.paging == "none" or {"cursor", "offset", "page"} & call.places:
            return ""
        return (
            f"{call.path} gave {count} rows, limit is {self.options.limit}, and no page after it can be asked for: say"
            ' how it pages, or paging = "none" where this is all'
        )

    def _following(self, call: HttpListCall, document: Any, page: str | int | None, count: int) -> str | int | None:
        if call.next:
            token = value_at(document, call.next)
            return token if isinstance(token, str | int) and token not in ("", page) else None
        if count < self.options.limit:
            return None
        if "offset" in call.places:
            return int(page or 0) + count
        return int(page or 1) + 1 if "page" in call.places else None

    def run(self, native_id: str, deadline: Deadline) -> Any | None:
        call = HttpCall(path=self.options.runs.one)
        reply = self.request(call, {"id": native_id}, deadline, accept=GONE_STATUSES)
        if reply.status in GONE_STATUSES:
            return None
        return value_at(reply.json_with_nan(), self.options.runs.one_row) or {}

    def log(self, values: Mapping[str, Any], span: str, deadline: Deadline) -> HttpReply:
        """`span`: what Range asks for; empty for all of it."""
        assert self.options.log is not None
        headers = {"Accept": "*/*"} | ({"Range": span, "Accept-Encoding": "identity"} if span else {})
        return self.request(self.options.log, values, deadline, headers, accept={*GONE_STATUSES, 416})

    def request(
        self,
        call: HttpCall,
        values: Mapping[str, Any],
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] | set[int] = frozenset(),
        once: bool = False,
    ) -> HttpReply:
        path = PLACEHOLDER.sub(lambda match: quote(str(values[match[1]]), safe=""), call.path)
        query = {name: fill_placeholders(value, values) for name, value in call.query.items()}
        own = {name: self._secrets(value) for name, value in self.options.headers.items()}

        def send(account: dict[str, str]) -> HttpReply:
            return self.endpoint.call(
                call.method,
                path,
                deadline,
                params=query or None,
                body=None if call.body is None else fill_placeholders(call.body, values),
                headers={**own, **account, **(headers or {})},
                accept={*accept, 401},
                once=once,
            )

        return self._account.asking(send)

    def close(self) -> None:
        self.endpoint.close()


def ids_digest(rows: list[Any], path: str) -> str:
    """A digest of whose rows these are, whatever else they say; "" without rows."""
    ids = [value_at(row, path) for row in rows]
    return digest(rows if None in ids else ids) if rows else ""


def is_page_before(page: HttpPage, since: datetime, fields: HttpRunsCall) -> bool:
    """Whether the runs behind this page of a list that is sorted so were made before `since`."""
    if not fields.newest_first or not page.rows:
        return False
    try:
        made = instant_at(page.rows[-1], fields.queued or fields.started, fields)
    except RecordUnreadable:
        return False
    return made is not None and made < since


def fill_placeholders(value: Any, values: Mapping[str, Any]) -> Any:
    """The value with each name in braces filled in; one that is nothing else keeps its type."""
    if isinstance(value, dict):
        return {name: fill_placeholders(item, values) for name, item in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(item, values) for item in value]
    if not isinstance(value, str):
        return value
    alone = PLACEHOLDER.fullmatch(value)
    return values[alone[1]] if alone else PLACEHOLDER.sub(lambda match: str(values[match[1]]), value)


def format_instant(at: datetime, fields: MappedFields) -> str | int:
    if fields.times == "iso":
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return int(at.timestamp() * (1000 if fields.times == "milliseconds" else 1))


_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
NO_LOG_CALL = "the config names no log of a run: add [systems.NAME.log] with its path"
MAX_LOG_CHARACTERS = 64 * 1024**2


def read_log(
    client: HttpApiClient, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float
) -> LogChunk:
    """The tail (`start` None), or what follows the byte `start`. Raises NotSupported without a log."""
    call = client.options.log
    if call is None:
        raise NotSupported(NO_LOG_CALL)
    begin = int(start) if start and start.isascii() and start.isdigit() else 0
    span = ""
    if call.ranges:
        span = f"bytes=-{limit_bytes}" if start is None else f"bytes={begin}-{begin + limit_bytes - 1}"
    reply = client.log({"id": run.native_ref, "job": run.job}, span, Deadline(timeout_seconds))
    if reply.status in GONE_STATUSES:
        raise NotSupported(f"there is no log of run {run.attempt_key} of {run.job} (any more)")
    if reply.status == 416:
        return LogChunk("", None)
    if reply.status == 206 and not call.text:
        return _partial_chunk(reply, start, limit_bytes)
    if call.text:
        document = reply.json()
        parts = (rows_at(document, call.parts) or []) if call.parts else [document]
        texts = [text_at(part, call.text, MAX_LOG_CHARACTERS) for part in parts if isinstance(part, dict)]
        text = "\n".join(line.removesuffix("\n") for line in texts if line) + "\n" if call.parts else "".join(texts)
    else:
        text = reply.body.decode("utf-8", "surrogateescape")
    return chunk_of(text, start, limit_bytes, is_open=False)


def _partial_chunk(reply: HttpReply, start: str | None, limit_bytes: int) -> LogChunk:
    match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    if match is None:
        raise NotSupported(f"{reply.place}: a part without Content-Range; set ranges = false")
    first, body = int(match[1]), reply.body[:limit_bytes]
    piece = from_character(body) if start is None else to_character(body) or body
    end = first + (len(body) if start is None else len(piece))
    more = match[3] != "*" and end < int(match[3])
    text = piece.decode("utf-8", "surrogateescape")
    return LogChunk(text, str(end) if more else None, more, cut=start is None and first > 0)
