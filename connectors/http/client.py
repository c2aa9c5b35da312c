"""The API's calls as config names them: one method per call, raw rows out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from connectors.contract import AccessRefused, AnswerUnfit, Clock, RecordUnreadable, Secrets
from connectors.fields import digest
from connectors.http.options import PLACE, Call, HttpOptions, ListCall, RunsCall
from connectors.mapped_fields import Fields
from connectors.mapping import instant_at, rows_at, value_at
from connectors.transport.deadline import Deadline
from connectors.transport.http import HttpDoor, Reply

GONE = frozenset({404, 410})
MOST_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as they came, and what to ask for next (None: that was the last). `cut`: why rows may be left out, or ""."""

    rows: list[Any]
    following: str | int | None
    clock: Clock | None
    cut: str = ""


class HttpClient:
    """One API, asked as one account."""

    def __init__(self, options: HttpOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None) -> None:
        self.options = options
        self._secrets = secrets
        self.door = HttpDoor("the API", options.url, options.ca_file, transport)

    def page(self, call: ListCall, page: str | int | None, since: datetime | None, deadline: Deadline) -> Page:
        """One page of a list. Raises AnswerUnfit where the answer has no list where config says."""
        values: dict[str, Any] = {"cursor": page or "", "offset": page or 0, "page": page or 1}
        values["limit"] = self.options.limit
        if since is not None:
            fields = self.options.runs
            values["since"] = written(since, fields)
        reply = self.ask(call, values, deadline)
        document = reply.json_with_nan()  # an instant of NaN is no missing one
        rows = rows_at(document, call.rows)
        if rows is None:
            where = f"at rows = {call.rows!r}" if call.rows else "as a whole"
            raise AnswerUnfit(f"{reply.place} is no list {where}. Correct rows; headway connector try shows it.")
        repeats = page is not None and call.next != "" and value_at(document, call.next) == page
        cut = self._cut(call, len(rows), repeats)
        return Page(rows, self._following(call, document, page, len(rows)), reply.clock, cut)

    def _cut(self, call: ListCall, count: int, repeats: bool) -> str:
        """`repeats`: the page after it is told to be itself."""
        if count and repeats:
            return f"{call.path} names as its next page the one that was asked for: what comes after it cannot be read"
        if count < self.options.limit or call.paging == "none" or {"cursor", "offset", "page"} & call.places:
            return ""
        return (
            f"{call.path} gave {count} rows, limit is {self.options.limit}, and no page after it can be asked for: say"
            ' how it pages, or paging = "none" where this is all'
        )

    def _following(self, call: ListCall, document: Any, page: str | int | None, count: int) -> str | int | None:
        if call.next:
            token = value_at(document, call.next)
            return token if isinstance(token, str | int) and token not in ("", page) else None
        if count < self.options.limit:
            return None
        if "offset" in call.places:
            return int(page or 0) + count
        return int(page or 1) + 1 if "page" in call.places else None

    def one(self, native_id: str, deadline: Deadline) -> Any | None:
        """The row of one run; None where it is gone."""
        call = Call(path=self.options.runs.one)
        reply = self.ask(call, {"id": native_id}, deadline, accept=GONE)
        return None if reply.status in GONE else value_at(reply.json_with_nan(), self.options.runs.one_row) or {}

    def log(self, values: Mapping[str, Any], span: str, deadline: Deadline) -> Reply:
        """`span`: what Range asks for; empty for all of it."""
        assert self.options.log is not None
        headers = {"Accept": "*/*"} | ({"Range": span, "Accept-Encoding": "identity"} if span else {})
        return self.ask(self.options.log, values, deadline, headers, accept={*GONE, 416})

    def ask(
        self,
        call: Call,
        values: Mapping[str, Any],
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] | set[int] = frozenset(),
        once: bool = False,
    ) -> Reply:
        """The reply to a call with its names filled in."""
        path = PLACE.sub(lambda match: quote(str(values[match[1]]), safe=""), call.path)
        query = {name: filled(value, values) for name, value in call.query.items()}
        return self.door.call(
            call.method,
            path,
            deadline,
            params=query or None,
            body=None if call.body is None else filled(call.body, values),
            headers={**self._signed(), **(headers or {})},
            accept=accept,
            once=once,
        )

    def _signed(self) -> dict[str, str]:
        options = self.options
        found = {name: self._secrets(value) for name, value in options.headers.items()}
        if options.token is not None:
            found["Authorization"] = f"Bearer {self._secrets(options.token).strip()}"
        if options.username is not None:
            pair = f"{options.username}:{self._secrets(options.password)}"
            found["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        for name, value in found.items():
            if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
                raise AccessRefused(f"the value for header {name!a} holds what no header can. Look at its secret.")
        return found


def ids_of(rows: list[Any], path: str) -> str:
    """A digest of whose rows these are, whatever else they say; "" without rows."""
    ids = [value_at(row, path) for row in rows]
    return digest(rows if None in ids else ids) if rows else ""


def is_known_below(page: Page, since: datetime, fields: RunsCall) -> bool:
    """Whether the runs behind this page of a list that is sorted so were made before `since`."""
    if not fields.newest_first or not page.rows:
        return False
    try:
        made = instant_at(page.rows[-1], fields.queued or fields.started, fields)
    except RecordUnreadable:
        return False
    return made is not None and made < since


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """The value with each name in braces filled in; one that is nothing else keeps its type."""
    if isinstance(value, dict):
        return {name: filled(each, values) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, values) for each in value]
    if not isinstance(value, str):
        return value
    alone = PLACE.fullmatch(value)
    return values[alone[1]] if alone else PLACE.sub(lambda match: str(values[match[1]]), value)


def written(at: datetime, fields: Fields) -> str | int:
    """An instant as the API writes its own."""
    if fields.times == "iso":
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return int(at.timestamp() * (1000 if fields.times == "milliseconds" else 1))
