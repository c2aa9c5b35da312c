"""Sending of a message by apprise, and the receiver's answer. Mail is sent by `mail`."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.request import getproxies

CONNECT_SECONDS = 5.0
PERMANENT_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})
"""HTTP statuses after which the same message will be refused again. 408, 425, 429 and 5xx are temporary."""
_SOCKET = "Socket Exception: "
"""Prefix of apprise's debug message about a failed SMTP dialogue."""
_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
_SMTP_REPLY = re.compile(r"(?:\(|refused: )([245]\d\d),? (b'[^']*'|b\"[^\"]*\")")
"""`(550, b'no such user')` in smtplib's exceptions, `refused: 550 b'…'` in apprise's message about one of several
recipients."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of a send: `arrived` is True, False (refused), or None if unknown."""

    arrived: bool | None
    words: str = ""
    for_good: bool = False
    """The same message would be refused again (HTTP 400, SMTP 550), unlike by a server that is down or busy."""


class Sender(Protocol):
    def __call__(self, url: str, title: str, body: str) -> SendResult: ...


class _AppriseLog(logging.Handler):
    """Collects apprise's log messages per thread, as several sends run in parallel and a message about another one
    would be taken for this one's reply."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        said: _AppriseReplies | None = getattr(self._here, "said", None)
        if said is None:
            return
        if record.levelno >= logging.WARNING:
            said.lines.append(record.getMessage())
        elif record.levelno == logging.INFO:
            said.some_left = said.some_left or record.getMessage().startswith("Sent ")
        elif (words := record.getMessage()).startswith(_SOCKET):
            said.replies += _SMTP_REPLY.findall(words)

    @contextmanager
    def listening(self) -> Iterator[_AppriseReplies]:
        """The messages of this thread, as they arrive."""
        logger = logging.getLogger("apprise")
        logger.addHandler(self)  # adding the same handler again has no effect
        logger.propagate = False
        if logger.level != logging.DEBUG:
            logger.setLevel(logging.DEBUG)
        said = _AppriseReplies([], [])
        self._here.said = said
        try:
            yield said
        finally:
            self._here.said = None


@dataclass(slots=True)
class _AppriseReplies:
    lines: list[str]
    """Warnings."""
    replies: list[tuple[str, str]]
    """(code, text) of an SMTP server."""
    some_left: bool = False
    """At least one of several recipients has received it."""


_apprise_log = _AppriseLog()


def send_by_apprise(url: str, title: str, body: str) -> SendResult:
    """Sends plain text through one apprise URL."""
    import apprise  # noqa: PLC0415 - 136 ms, and only the engine's sender needs it

    with _apprise_log.listening() as said:
        one: Any = apprise.Apprise.instantiate(url)
        if one is None:
            return SendResult(False, "apprise cannot read this URL; see its scheme and parts", for_good=True)
        unreachable = _unreachable(one)
        if unreachable:
            return SendResult(False, unreachable)
        done = bool(one.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
    return SendResult(True) if done else _result_of(said)


def _result_of(said: _AppriseReplies) -> SendResult:
    """The result by apprise's messages. An HTTP status or SMTP reply is final; "connection error" after a connect is
    not, nor a refusal by one of several recipients: the others have it, so that a retry may be a duplicate."""
    words = next((line for text in reversed(said.lines) for line in reversed(text.strip().splitlines()) if line), "")
    status = [int(code) for text in said.lines for code in _HTTP_STATUS.findall(text)]
    replies = said.replies + [found for text in said.lines for found in _SMTP_REPLY.findall(text)]
    for_good = bool(status or replies) and all(one in PERMANENT_STATUSES for one in status)
    for_good = for_good and all(code.startswith("5") for code, _ in replies)
    if replies and not status:
        words = "; ".join(f"SMTP {code} {reply[2:-1]}" for code, reply in dict.fromkeys(replies))
    answered = bool(status or replies) and not said.some_left
    return SendResult(False if answered else None, words or "the receiver gave no reason", for_good)


def _unreachable(one: Any) -> str:
    """Why no connection can be made; empty if one can, or if that is unknown. A reason proves that nothing was sent.

    Only if the URL names the server itself: in `slack://TOKEN/…` the host part is a token.
    """
    # by the template of its kind, every URL names the server itself; not behind a proxy
    names_server = all("{host}" in template for template in getattr(type(one), "templates", ("",)))
    own_host = getattr(one, "host", None) if names_server and not getproxies() else None
    host = getattr(one, "smtp_host", None) or own_host
    secure = bool(getattr(one, "secure", False))
    port = getattr(one, "port", None) or (443 if secure else 80)
    if not isinstance(host, str) or not host:
        return ""
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return ""


def neutralise(text: str) -> str:
    """Breaks @channel, @here, @everyone, @all, <!…> and =?…?= in external text, so that it pages no channel and is
    not decoded by a mail reader (RFC 2047)."""
    text = re.sub(r"@(?=(channel|here|everyone|all)\b)", "@ ", text, flags=re.IGNORECASE)
    return text.replace("<!", "< !").replace("=?", "= ?")
