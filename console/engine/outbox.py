"""Sends what is due. The one place that knows apprise.

A delivery is a row: claimed, then `wire_us` is committed, then the wire is touched, then it is sent or put off. A crash
between wire and record becomes one marked repeat; anything else leaves exactly once.
"""

from __future__ import annotations

import logging
import random
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from connectors.contract import ConnectorError
from connectors.secrets import SecretRef, SecretStore
from console.clock import Clock
from console.failpoints import failpoint
from console.model.ids import micros
from console.store import outbox as rows
from console.store.open import Store

log = structlog.get_logger("headway.outbox")

REPEAT_WORDS = "May be a repeat: the answer to the first sending was lost.\n\n"
FIRST_RETRY_SECONDS = 5.0
CONNECT_SECONDS = 5.0
SENDERS = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """What the receiver said: `arrived` True, False (it refused), or None when nobody can tell."""

    arrived: bool | None
    words: str = ""


class Sender(Protocol):
    def __call__(self, url: str, title: str, body: str) -> Sent: ...


def send_by_apprise(url: str, title: str, body: str) -> Sent:
    """Sends plain text through one apprise URL."""
    import apprise  # noqa: PLC0415 - 136 ms, and only the engine's sender needs it

    one: Any = apprise.Apprise.instantiate(url)
    if one is None:
        return Sent(False, "apprise cannot read this URL; see its scheme and parts")
    unreachable = _unreachable(one)
    if unreachable:
        return Sent(False, unreachable)
    capture: Any = apprise.LogCapture
    with capture(level=logging.WARNING) as captured:
        done = bool(one.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
        said = captured.getvalue()
    return Sent(True) if done else _judge(said)


def _judge(said: str) -> Sent:
    """An HTTP status or an SMTP refusal is an answer; "connection error" after a connect is not."""
    last = said.strip().splitlines()[-1] if said.strip() else "the receiver gave no reason"
    words = re.sub(r"^\S+ \S+ - \w+ - ", "", last)
    return Sent(False if re.search(r"error=\d{3}\b", words) else None, words)


def _unreachable(one: Any) -> str:
    """Why no connection can be made at all; empty when one can. Then nothing has touched the wire."""
    host = getattr(one, "smtp_host", None) or getattr(one, "host", None)
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
    """Outside words must not page a whole channel: breaks @channel, @here, @everyone, @all and <!…>."""
    text = re.sub(r"@(?=(channel|here|everyone|all)\b)", "@ ", text, flags=re.IGNORECASE)
    return text.replace("<!", "< !")


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

    def close(self) -> None:
        """Waits for what is being sent."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _anything_due(self) -> bool:
        due = rows.next_due(self._store)
        return due is not None and due <= self._now()

    def _now(self) -> int:
        return micros(self._clock.now())

    def _deliver_guarded(self, one: rows.DueDelivery, fence: int) -> None:
        try:
            self._deliver(one, fence)
        except Exception:
            log.exception("a delivery broke", delivery=one.id, route=one.route)
        finally:
            with self._lock:
                self._busy.discard((one.route, one.url_index))
            self.wake.set()

    def _deliver(self, one: rows.DueDelivery, fence: int) -> None:
        url = self._url(one)
        if isinstance(url, Sent):
            self._put_off(one, fence, url)
            return
        failpoint("send.before")
        rows.touch_wire(self._store, fence, one.id, self._now())
        repeat = REPEAT_WORDS if one.maybe_repeat else ""
        sent = self._send(url, neutralise(one.title), neutralise(repeat + one.body))
        failpoint("send.after_wire")
        failpoint("send.after_reply")
        if sent.arrived:
            failpoint("record.before_commit")
            rows.record_sent(self._store, fence, one.id, self._now())
            failpoint("record.after_commit")
            log.info("alert sent", route=one.route, title=one.title, repeat=one.maybe_repeat)
        else:
            self._put_off(one, fence, sent)

    def _url(self, one: rows.DueDelivery) -> str | Sent:
        urls = self._routes.get(one.route, ())
        if one.url_index >= len(urls):
            return Sent(False, f'route "{one.route}" has no URL number {one.url_index + 1} any more')
        try:
            return self._secrets(urls[one.url_index])
        except ConnectorError as error:
            return Sent(False, str(error))

    def _put_off(self, one: rows.DueDelivery, fence: int, sent: Sent) -> None:
        wait = random.uniform(0.5, 1.0) * min(FIRST_RETRY_SECONDS * 2**one.tries, rows.RETRY_CAP_SECONDS)
        error = self._secrets.mask(sent.words)[:300]
        rows.put_off(self._store, fence, one.id, error, self._now() + int(wait * 1e6), sent.arrived)
        log.warning("alert not sent, will be tried again", route=one.route, error=error, seconds=round(wait))
