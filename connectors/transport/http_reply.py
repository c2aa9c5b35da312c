"""An HTTP answer, checked before it is read, and every status sorted by what happens next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from connectors.contract import (
    AccessRefused,
    AnswerUnfit,
    Clock,
    ConnectorError,
    NotSupported,
    OutcomeUnknown,
    RightMissing,
    TooBusy,
)

RETRY_AFTER_CEILING_SECONDS = 15 * 60.0
SAID_CHARACTERS = 200
SAYING = ("detail", "message", "title", "error_description", "error", "errors")
"""Fields of an answer in which servers say why, the wordiest first."""

REFUSED = frozenset({401, 402, 403, 407, 451})
NO_SIGN_IN = re.compile(
    r"\b(invalid|expired|malformed|bad|missing)\b.{0,20}\b(token|jwt|credentials?|signature)\b", re.I
)
"""What a 403 says of the sign-in, as Airflow 3 and Databricks do of a broken token; any other is of a right."""
LATER = frozenset({408, 423, 425, 429})
"""With all of 5xx but 501 and 505: the same request may be answered at another time."""
NEVER_5XX = frozenset({501, 505})

SECONDS = re.compile(r"[+-]?\d{1,20}(\.\d*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: status, headers (names in lower case), decoded body, and the server's clock."""

    who: str
    call: str
    """"GET https://host/path", for messages."""
    status: int
    headers: Mapping[str, str]
    body: bytes
    clock: Clock | None
    cut: bool = False
    """True where the body is the end of a longer one, as it was asked for."""

    def json(self) -> Any:
        """The body as JSON, None for NaN and Infinity. Raises AccessRefused for a web page (a login in between),
        AnswerUnfit otherwise."""
        return self._json(lambda _: None)

    def json_with_nan(self) -> Any:
        """The same with NaN and Infinity as they are, for who must tell them from what is missing."""
        return self._json(float)

    def _json(self, no_number: Callable[[str], Any]) -> Any:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise self.not_json(kind)
        try:
            return json.loads(self.body.decode("utf-8-sig"), parse_constant=no_number)
        except UnicodeDecodeError as error:
            raise AnswerUnfit(f"{self.place} is not UTF-8 at byte {error.start} of {len(self.body)}") from None
        except RecursionError:
            raise AnswerUnfit(f"{self.place} is nested too deep to be read ({len(self.body)} bytes)") from None
        except ValueError as error:
            at = getattr(error, "pos", 0)
            raise AnswerUnfit(
                f"{self.place} is not whole JSON: it breaks at character {at} of {len(self.body)} bytes"
            ) from None

    def table(self) -> dict[str, Any]:
        """The body as a JSON object. Raises as `json`, and AnswerUnfit for any other shape."""
        found = self.json()
        if not isinstance(found, dict):
            raise AnswerUnfit(f"{self.place} is a JSON {type(found).__name__}, not an object")
        return found

    @property
    def place(self) -> str:
        """Where and what, the beginning of each message."""
        return f"{self.who}: the answer to {self.call} ({self.status})"

    @property
    def said(self) -> str:
        """What the server itself said about a refusal, short; "" without words. Raw outside text.

        `detail` is text, an object, or a list of texts or of field errors, whose `input` (it may hold what we sent)
        is left out; where it is null, `title` says it (RFC 9457). Else what an `error` (as text, or with a message of
        its own), OAuth's `error_description` (RFC 6749) or `errors` say."""
        try:
            found = json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return ""
        found = found if isinstance(found, dict) else {}
        return next(filter(None, (_detail_words(found.get(name)) for name in SAYING)), "")[:SAID_CHARACTERS]

    def not_json(self, kind: str) -> ConnectorError:
        """What an answer of this content type is, where JSON was asked for."""
        if kind in ("text/html", "application/xhtml+xml"):
            return AccessRefused(
                f"{self.place} is a web page, not JSON: a login or a proxy stands in between. "
                "Give an address that answers the API without a browser."
            )
        return AnswerUnfit(f"{self.place} has content type {kind[:80] or 'none'!r}, not JSON")


def _detail_words(detail: Any) -> str:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return "; ".join(_detail_words(one) for one in detail[:5])
    if isinstance(detail, dict) and "msg" in detail:
        where = detail.get("loc")
        path = ".".join(str(part) for part in where) if isinstance(where, list) else ""
        return f"{path}: {detail['msg']}"
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or "")
    return ""


def refusal(reply: Reply, once: bool = False) -> ConnectorError:
    """The error for a status that nobody expected, by what happens next.

    3xx, 401, 402, 403 (a right, or by its words the sign-in), 407, 451: a person must act · 408, 423, 425, 429, 5xx:
    later, but for a request that is sent only `once` a 5xx leaves the outcome unknown · 501, 505 and every other
    status: this server cannot do it."""
    status = reply.status
    what = "says that it is asked too much" if status == 429 else "is a fault of its own" if status >= 500 else ""
    words = f"{reply.place} {what or 'is a refusal'}{f': {reply.said}' if reply.said else ' without words'}"
    if 300 <= status < 400:
        host = _host(reply.headers.get("location", ""))
        return AccessRefused(f"{reply.place} is a redirect to {host}; redirects are not followed. Correct the url.")
    if status in REFUSED:
        is_right = status == 403 and not NO_SIGN_IN.search(reply.said)
        mend = "Give the account this right" if is_right else "Check the account and its secret"
        return (RightMissing if is_right else AccessRefused)(f"{words}. {mend}, then run: headway check")
    if status in LATER or (status >= 500 and status not in NEVER_5XX):
        if once and status >= 500:
            return OutcomeUnknown(f"{words}. Whether it was done is not known; it is looked up.")
        later = TooBusy if status == 429 else AnswerUnfit
        return later(words, retry_after(reply.headers.get("retry-after"), reply.clock))
    return NotSupported(words)


def _host(location: str) -> str:
    try:
        return (urlsplit(location).hostname or "the same host")[:100]
    except ValueError:
        return "an unreadable address"


def retry_after(value: str | None, clock: Clock | None = None) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or a date), between 0 and 15 minutes; None without one."""
    text = (value or "").strip()
    try:
        seconds = float(text) if SECONDS.fullmatch(text) else _until(text, clock)
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_CEILING_SECONDS)


def _until(date: str, clock: Clock | None) -> float:
    now = clock.target if clock else datetime.now(UTC)
    return (_aware(parsedate_to_datetime(date)) - now).total_seconds()


def clock_of(date: str | None) -> Clock | None:
    """The server's clock by its Date header (whole seconds), beside ours; None without a readable one."""
    ours = datetime.now(UTC)
    try:
        return Clock(_aware(parsedate_to_datetime(date)), ours) if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _aware(at: datetime) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
