"""How a message leaves by apprise, and what the receiver said. Mail leaves from `sending_mail`."""

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
FOR_GOOD = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})
"""HTTP: the same message will be refused again. Not 408, 425, 429 nor any 5xx: those pass."""
_SOCKET = "Socket Exception: "
"""How apprise begins what it says, on its debug level only, of a failed SMTP dialogue."""
_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
_SMTP_REPLY = re.compile(r"(?:\(|refused: )([245]\d\d),? (b'[^']*'|b\"[^\"]*\")")
"""`(550, b'no such user')` of smtplib's exceptions, `refused: 550 b'…'` of apprise about one of several recipients."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receiver said: `arrived` True, False (it refused), or None when nobody can tell."""

    arrived: bool | None
    words: str = ""
    for_good: bool = False
    """The same message would be refused again (HTTP 400, SMTP 550), unlike a server that is down or busy."""


class Sender(Protocol):
    def __call__(self, url: str, title: str, body: str) -> Sent: ...


class _Overheard(logging.Handler):
    """What apprise logs of a sending, each sender's apart: several send at once, and a word about another sending would
    be taken for the answer to this one."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        said: _Said | None = getattr(self._here, "said", None)
        if said is None:
            return
        if record.levelno >= logging.WARNING:
            said.lines.append(record.getMessage())
        elif record.levelno == logging.INFO:
            said.some_left = said.some_left or record.getMessage().startswith("Sent ")
        elif (words := record.getMessage()).startswith(_SOCKET):
            said.replies += _SMTP_REPLY.findall(words)

    @contextmanager
    def listening(self) -> Iterator[_Said]:
        """What is said in this thread, as it comes."""
        logger = logging.getLogger("apprise")
        logger.addHandler(self)  # once: a handler that is there already is not added again
        logger.propagate = False
        if logger.level != logging.DEBUG:
            logger.setLevel(logging.DEBUG)
        said = _Said([], [])
        self._here.said = said
        try:
            yield said
        finally:
            self._here.said = None


@dataclass(slots=True)
class _Said:
    lines: list[str]
    """Warnings."""
    replies: list[tuple[str, str]]
    """(code, text) of an SMTP server."""
    some_left: bool = False
    """One of several recipients of one URL has it."""


_overheard = _Overheard()


def send_by_apprise(url: str, title: str, body: str) -> Sent:
    """Sends plain text through one apprise URL."""
    import apprise  # noqa: PLC0415 - 136 ms, and only the engine's sender needs it

    with _overheard.listening() as said:
        one: Any = apprise.Apprise.instantiate(url)
        if one is None:
            return Sent(False, "apprise cannot read this URL; see its scheme and parts", for_good=True)
        unreachable = _unreachable(one)
        if unreachable:
            return Sent(False, unreachable)
        done = bool(one.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
    return Sent(True) if done else _judge(said)


def _judge(said: _Said) -> Sent:
    """An HTTP status or an SMTP reply is an answer; "connection error" after a connect is not, nor a refusal for one of
    several recipients: the others have it, so the next try says that it may be a repeat."""
    words = next((line for text in reversed(said.lines) for line in reversed(text.strip().splitlines()) if line), "")
    status = [int(code) for text in said.lines for code in _HTTP_STATUS.findall(text)]
    replies = said.replies + [found for text in said.lines for found in _SMTP_REPLY.findall(text)]
    for_good = bool(status or replies) and all(one in FOR_GOOD for one in status)
    for_good = for_good and all(code.startswith("5") for code, _ in replies)
    if replies and not status:
        words = "; ".join(f"SMTP {code} {reply[2:-1]}" for code, reply in dict.fromkeys(replies))
    answered = bool(status or replies) and not said.some_left
    return Sent(False if answered else None, words or "the receiver gave no reason", for_good)


def _unreachable(one: Any) -> str:
    """Why no connection can be made at all; empty when one can, or nobody can tell. Then nothing has touched the wire.

    Only where the URL names the server itself: in `slack://TOKEN/…` the place of the host holds a token.
    """
    host = getattr(one, "smtp_host", None) or _own_host(one)
    secure = bool(getattr(one, "secure", False))
    port = getattr(one, "port", None) or (443 if secure else 80)
    if not isinstance(host, str) or not host:
        return ""
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return ""


def _own_host(one: Any) -> Any:
    """The server that every form of this kind of URL names; None for a service of one address, or behind a proxy."""
    named = all("{host}" in template for template in getattr(type(one), "templates", ("",)))
    return getattr(one, "host", None) if named and not getproxies() else None


def neutralise(text: str) -> str:
    """Outside words must not page a whole channel, nor be decoded by a mail reader (RFC 2047): breaks @channel, @here,
    @everyone, @all, <!…> and =?…?=."""
    text = re.sub(r"@(?=(channel|here|everyone|all)\b)", "@ ", text, flags=re.IGNORECASE)
    return text.replace("<!", "< !").replace("=?", "= ?")
