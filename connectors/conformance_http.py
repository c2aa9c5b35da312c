"""A server that answers as no server should, for the conformance of kinds that speak JSON over HTTP.

It stands between a fake and its connector: `NastyTransport(fake.handle, how)` is an httpx transport.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from unittest import SkipTest

import httpx

from connectors.conformance_replies import (
    BUSY,
    BUSY_7,
    ENDLESS,
    GARBLED,
    HOUR_OFF,
    LOGIN_PAGE,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    STATUS,
    TRUNCATED,
    TWICE,
)

Handler = Callable[[httpx.Request], httpx.Response]
Rows = list[dict[str, Any]]


@dataclass
class NastyTransport(httpx.BaseTransport):
    """The answers of `handler` to the looks below `paths`, spoiled as `how` says."""

    handler: Handler
    how: str
    paths: str = ""
    """Pattern of the paths that are spoiled; all others are answered as they should be."""
    text: str = "message"
    """Field of a record that holds free text."""
    endless: Callable[[Any, int], Any] | None = None
    """The body so that it promises more, each time anew (the number says which time); None: it cannot be said."""
    asking: str = ""
    """Pattern of the body of what is spoiled, for sources with one path for all."""
    _asked: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        good = self.handler(request)
        good.read()
        is_meant = re.search(self.paths, request.url.path) and re.search(self.asking, request.content.decode())
        if not is_meant or good.status_code >= 300:
            return good
        self._asked += 1
        return self._spoiled(good)

    def _spoiled(self, good: httpx.Response) -> httpx.Response:
        headers = {"content-type": "application/json"} | {k: v for k, v in good.headers.items() if k == "date"}
        if self.how == LOGIN_PAGE:
            page = b"<html><form action=/login><input name=password></form></html>"
            return httpx.Response(200, content=page, headers={"content-type": "text/html"})
        if self.how in (BUSY, BUSY_7):
            return httpx.Response(429, json={}, headers={"retry-after": "7"} if self.how == BUSY_7 else {})
        if self.how.startswith(STATUS):
            return httpx.Response(int(self.how.removeprefix(STATUS)), json={"detail": "no"})
        if self.how == HOUR_OFF:
            return httpx.Response(200, content=good.content, headers=headers | {"date": _later(headers.get("date"))})
        return httpx.Response(200, content=self._body(good.content), headers=headers)

    def _body(self, content: bytes) -> bytes:
        if self.how == TRUNCATED:
            return content[: len(content) // 2]
        body = json.loads(content)
        if self.how == ENDLESS:
            if self.endless is None:
                raise SkipTest("its pages cannot be endless: it does not page")
            return json.dumps(self.endless(body, self._asked)).encode()
        rows = rows_of(body)
        if rows:
            self._spoil(rows)
        return json.dumps(body).encode().replace(b"NOT-UTF-8", b"\xff\xfe")

    def _spoil(self, rows: Rows) -> None:
        if self.how == TWICE:
            rows.extend(dict(row) for row in list(rows))
        elif self.how == SHUFFLED:
            rows.reverse()
            rows.append(rows.pop(0))
        elif self.how == GARBLED:
            rows[-1] = {"odd": [None]}
        elif self.how == NOT_A_NUMBER:
            rows[-1] |= {name: float("nan") for name, value in rows[-1].items() if type(value) in (int, float)}
        elif self.how == LONG_LINE:
            rows[-1][self.text] = "x" * LONG_BYTES
        elif self.how == NOT_UTF8:
            rows[-1][self.text] = "NOT-UTF-8"


@dataclass
class Endless:
    """For servers that page by offset or by instant, and end a list with a short page: always the same full one."""

    size: int
    _first: Any = None

    def __call__(self, body: Any, times: int) -> Any:
        self._first = self._first or body
        return (self._first * self.size)[: self.size]


def rows_of(body: Any) -> Rows:
    """The first list of objects in a body; empty without one."""
    if isinstance(body, list):
        return body if body and all(isinstance(one, dict) for one in body) else []
    if isinstance(body, dict):
        return next((found for found in map(rows_of, body.values()) if found), [])
    return []


def _later(date: str | None) -> str:
    at = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return format_datetime((at + timedelta(hours=1)).astimezone(UTC), usegmt=True)
