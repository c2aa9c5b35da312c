"""Sends what is due. The one place that knows apprise.

A delivery is a row: claimed, then `wire_us` is committed, then the wire is touched, then it is sent or put off. A crash
between wire and record becomes one marked repeat; anything else leaves exactly once.
"""

from __future__ import annotations

import logging
import math
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.request import getproxies

import structlog

from connectors.contract import ConnectorError
from connectors.secrets import SecretRef, SecretStore
from console.clean import clean_line
from console.clock import Clock
from console.failpoints import failpoint
from console.model.ids import micros
from console.store import outbox as rows
from console.store.errors import LeaseLost, StoreError
from console.store.open import Store

log = structlog.get_logger("headway.outbox")

REPEAT_WORDS = "May be a repeat: the answer to the first sending was lost.\n\n"
FIRST_RETRY_SECONDS = 5.0
CONNECT_SECONDS = 5.0
SENDERS = 8
WORDS_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receiver said: `arrived` True, False (it refused), or None when nobody can tell."""

    arrived: bool | None
    words: str = ""


class Sender(Protocol):
    def __call__(self, url: str, title: str, body: str) -> Sent: ...


class _Overheard(logging.Handler):
    """What apprise logs of a sending, each sender's apart: several send at once, and a word about another sending would
    be taken for the answer to this one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines = getattr(self._here, "lines", None)
        if lines is not None:
            lines.append(record.getMessage())

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The warnings of this thread, as they come."""
        logger = logging.getLogger("apprise")
        logger.addHandler(self)  # once: a handler that is there already is not added again
        logger.propagate = False
        if logger.level != logging.WARNING:
            logger.setLevel(logging.WARNING)
        lines: list[str] = []
        self._here.lines = lines
        try:
            yield lines
        finally:
            self._here.lines = None


_overheard = _Overheard()


def send_by_apprise(url: str, title: str, body: str) -> Sent:
    """Sends plain text through one apprise URL."""
    import apprise  # noqa: PLC0415 - 136 ms, and only the engine's sender needs it

    with _overheard.listening() as said:
        one: Any = apprise.Apprise.instantiate(url)
        if one is None:
            return Sent(False, "apprise cannot read this URL; see its scheme and parts")
        unreachable = _unreachable(one)
        if unreachable:
            return Sent(False, unreachable)
        done = bool(one.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
    return Sent(True) if done else _judge(said)


def _judge(said: list[str]) -> Sent:
    """An HTTP status or an SMTP refusal is an answer; "connection error" after a connect is not."""
    words = next((line for text in reversed(said) for line in reversed(text.strip().splitlines()) if line), "")
    answered = re.search(r"error=\d{3}\b", words) is not None
    return Sent(False if answered else None, words or "the receiver gave no reason")


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


class Outbox:
    """Claims due deliveries and sends each URL's on a thread of its own: a broken sink never delays another."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        routes: Mapping[str, tuple[SecretRef, ...]],
        secrets: SecretStore,
        send: Sender = send_by_apprise,
    ) -> None:
        self._store = store
        self._clock = clock
        self._routes = routes
        self._secrets = secrets
        self._send = send
        self._busy: set[tuple[str, int]] = set()
        self._sending = 0
        self._unwritten: list[Callable[[], None]] = []
        """What a store that could not be used has not been told; a delivery stays claimed until it is."""
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="sender")
        self.wake = threading.Event()

    def recover(self, fence: int) -> None:
        found = rows.recover_claims(self._store, fence)
        if found:
            log.warning("deliveries were in flight when the last engine stopped", count=found)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Sends until `stopping`; wakes at once when `wake` is set, else every second."""
        while not stopping():
            self.wake.clear()
            if not self.step(fence):
                self.wake.wait(1.0)

    def step(self, fence: int) -> int:
        """Claims and hands out what is due; how many."""
        self._write_what_waits()
        with self._lock:
            busy = frozenset(self._busy)
        due = rows.claim_due(self._store, fence, self._now(), busy) if self._anything_due() else []
        if due:
            failpoint("outbox.claimed")
        for one in due:
            with self._lock:
                self._busy.add((one.route, one.url_index))
            self._pool.submit(self._deliver_guarded, one, fence)
        return len(due)

    def wait_idle(self) -> None:
        """Returns once nothing is being sent."""
        while self._busy:
            self.wake.wait(0.01)

    def close(self, until: float = math.inf) -> None:
        """Waits for what is being sent until `time.monotonic` is `until`; the next engine tells what was left."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._sending and time.monotonic() < until:
            time.sleep(0.01)

    def _anything_due(self) -> bool:
        due = rows.next_due(self._store)
        return due is not None and due <= self._now()

    def _now(self) -> int:
        return micros(self._clock.now())

    def _deliver_guarded(self, one: rows.DueDelivery, fence: int) -> None:
        with self._lock:
            self._sending += 1
        try:
            self._deliver(one, fence)
        except LeaseLost:
            return  # another engine has it now
        except Exception:
            log.exception("a delivery broke", delivery=one.id, route=one.route)
            broke = Sent(None, "the sending broke; the engine's log has the details")
            self._write(lambda: self._put_off(one, fence, broke))
        finally:
            with self._lock:
                self._sending -= 1
                self._busy.discard((one.route, one.url_index))
            self.wake.set()

    def _deliver(self, one: rows.DueDelivery, fence: int) -> None:
        url = self._url(one)
        if isinstance(url, Sent):
            self._write(lambda: self._put_off(one, fence, url))
            return
        failpoint("send.before")
        try:
            rows.touch_wire(self._store, fence, one.id, self._now())
        except LeaseLost:
            raise
        except StoreError:  # not told, so nothing may leave yet
            self._write(lambda: rows.put_back(self._store, fence, one.id))
            return
        repeat = REPEAT_WORDS if one.maybe_repeat else ""
        sent = self._send(url, neutralise(one.title), neutralise(repeat + one.body))
        failpoint("send.after_wire")
        failpoint("send.after_reply")
        if sent.arrived:
            failpoint("record.before_commit")
            sent_us = self._now()
            self._write(lambda: rows.record_sent(self._store, fence, one.id, sent_us))
            failpoint("record.after_commit")
            log.info("alert sent", route=one.route, title=one.title, repeat=one.maybe_repeat)
        else:
            self._write(lambda: self._put_off(one, fence, sent))

    def _write(self, write: Callable[[], None]) -> None:
        """Writes now; later, as often as it takes, where the store cannot be used. Raises LeaseLost."""
        try:
            write()
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a delivery waits for the store", error=str(error))
            with self._lock:
                self._unwritten.append(write)

    def _write_what_waits(self) -> None:
        """Raises StoreError while the store still cannot be used."""
        while self._unwritten:
            self._unwritten[0]()
            with self._lock:
                self._unwritten.pop(0)

    def _url(self, one: rows.DueDelivery) -> str | Sent:
        urls = self._routes.get(one.route, ())
        if one.url_index >= len(urls):
            return Sent(False, f'route "{one.route}" has no URL number {one.url_index + 1} any more')
        try:
            return self._secrets(urls[one.url_index])
        except ConnectorError as error:
            return Sent(False, str(error))

    def _put_off(self, one: rows.DueDelivery, fence: int, sent: Sent) -> None:
        doubled = FIRST_RETRY_SECONDS * 2.0 ** min(one.tries, 30)  # a thousand tries would leave the floats
        wait = random.uniform(0.5, 1.0) * min(doubled, rows.RETRY_CAP_SECONDS)
        error = clean_line(self._secrets.mask(sent.words), WORDS_LIMIT)
        rows.put_off(self._store, fence, one.id, error, micros(self._clock.after(wait)), sent.arrived)
        log.warning("alert not sent, will be tried again", route=one.route, error=error, seconds=round(wait))
