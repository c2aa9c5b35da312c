"""Sends what is due, each URL's on a thread of its own.

A delivery is a row: claimed, then `wire_us` is committed, then the wire is touched, then it is sent, put off or parked.
A crash between wire and record becomes one marked repeat; anything else leaves exactly once.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from connectors.contract import ConnectorError
from connectors.secrets import SecretStore
from console.clean import clean_line
from console.clock import Clock
from console.config import RouteSettings
from console.control.masks import mask_strictly
from console.control.retries import after_failure
from console.engine.health import Pulse
from console.engine.routing import Routing
from console.engine.sending import Sender, Sent, neutralise, send_by_apprise
from console.engine.sending_mail import Thread, thread_of
from console.failpoints import failpoint
from console.model.ids import micros
from console.store import outbox as rows
from console.store import routing as routing_rows
from console.store.alert_rows import TEST
from console.store.errors import LeaseLost, StoreError
from console.store.open import Store

log = structlog.get_logger("headway.outbox")

REPEAT_WORDS = "May be a repeat: the answer to the first sending was lost.\n\n"
SPARE = 2
"""Senders beside one for each URL, for what waits for a URL that left config: it is given up without a wire."""
WORDS_LIMIT = 300


class Outbox:
    """Claims due deliveries and sends each URL's on a thread of its own: however many sinks hang, the others have
    theirs."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        routes: Mapping[str, RouteSettings],
        secrets: SecretStore,
        routing: Routing,
        send: Sender = send_by_apprise,
        mail: Callable[[str, str, str, Thread], Sent | None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._routes = routes
        self._secrets = secrets
        self._routing = routing
        self._send = send
        self._mail = mail
        """Sends what goes to a mail server; None: that is sent like anything else."""
        self._busy: dict[tuple[str, int], float] = {}
        """(route, URL's place) -> since when something is sent there, by `time.monotonic`."""
        self._sending = 0
        self._unwritten: list[Callable[[], None]] = []
        """What a store that could not be used has not been told; a delivery stays claimed until it is."""
        self._lock = threading.Lock()
        urls = sum(len(route.urls) for route in routes.values())
        self._pool = ThreadPoolExecutor(urls + SPARE, thread_name_prefix="sender")
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        found = rows.recover_claims(self._store, fence)
        if found:
            log.warning("deliveries were in flight when the last engine stopped", count=found)
        self._routing.park_strays(fence)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Sends until `stopping`; wakes at once when `wake` is set, else every second. What was claimed when the store
        broke, and nobody sends, is put back first, once the store knows what was sent."""
        self.pulse.beat()
        with self._lock:
            busy = frozenset(self._busy)
        self._write_what_waits()
        rows.put_back_strays(self._store, fence, busy)
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            if not self.step(fence):
                self.wake.wait(1.0)

    def step(self, fence: int) -> int:
        """Decides what may leave, claims and hands out what is due; how many."""
        self._write_what_waits()
        self._routing.step(fence)
        with self._lock:
            busy = frozenset(self._busy)
        due = rows.claim_due(self._store, fence, self._now(), busy) if self._anything_due() else []
        if due:
            failpoint("outbox.claimed")
        for one in due:
            with self._lock:
                self._busy[one.route, one.url_index] = time.monotonic()
            self._pool.submit(self._deliver_guarded, one, fence)
        return len(due)

    def wait_idle(self) -> None:
        """Returns once nothing is being sent."""
        while self._busy:
            self.wake.wait(0.01)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Where a sending takes longer than that, and for how long it does."""
        now = time.monotonic()
        with self._lock:
            found = {at: now - since for at, since in self._busy.items() if now - since > seconds}
        return {f'sending to route "{route}", URL {place + 1}': taken for (route, place), taken in found.items()}

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
            self._write(lambda: self._failed(one, fence, broke))
        finally:
            with self._lock:
                self._sending -= 1
                self._busy.pop((one.route, one.url_index), None)
            self.wake.set()

    def _deliver(self, one: rows.DueDelivery, fence: int) -> None:
        url = self._url(one, fence)
        if url is None:
            return
        failpoint("send.before")
        try:
            rows.touch_wire(self._store, fence, one.id, self._now())
        except LeaseLost:
            raise
        except StoreError:  # not told, so nothing may leave yet
            self._write(lambda: rows.put_back(self._store, fence, one.id))
            return
        title, body = self._words(one)
        sent = self._sent(one, url, neutralise(title), neutralise(body))
        failpoint("send.after_wire")
        failpoint("send.after_reply")
        if sent.arrived:
            failpoint("record.before_commit")
            sent_us = self._now()
            self._write(lambda: rows.record_sent(self._store, fence, one.id, sent_us))
            failpoint("record.after_commit")
            log.info("alert sent", route=one.route, title=one.title, repeat=one.maybe_repeat)
        else:
            self._write(lambda: self._failed(one, fence, sent))

    def _sent(self, one: rows.DueDelivery, url: str, title: str, body: str) -> Sent:
        if self._mail is not None:
            is_about_incident = one.incident_id is not None
            thread = thread_of(one.dedup_key, one.route, one.id, is_about_incident, one.begins, one.parts)
            if (sent := self._mail(url, title, body, thread)) is not None:
                return sent
        return self._send(url, title, body)

    def _words(self, one: rows.DueDelivery) -> tuple[str, str]:
        """Title and body as far as the route lets them leave the house."""
        repeat = REPEAT_WORDS if one.maybe_repeat else ""
        how = self._routes[one.route].body
        if how == "link":
            return one.plain_title or one.title.partition(":")[0], repeat + one.plain_body
        if how == "masked":
            return mask_strictly(one.title), repeat + mask_strictly(one.body)
        return one.title, repeat + one.body

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

    def _url(self, one: rows.DueDelivery, fence: int) -> str | None:
        """The URL; None where it left config (parked) or its reference gives none now (put off)."""
        urls = {url.words: url for url in self._routes[one.route].urls} if one.route in self._routes else {}
        known = list(urls.values())
        found = urls.get(one.url_words) if one.url_words else dict(enumerate(known)).get(one.url_index)
        if found is None:
            words = routing_rows.stray_words(one.route, one.url_words)
            self._write(lambda: self._park(one, fence, words, Sent(False)))
            return None
        try:
            return self._secrets(found)
        except ConnectorError as error:
            refused = Sent(False, str(error))
            self._write(lambda: self._failed(one, fence, refused))
            return None

    def _failed(self, one: rows.DueDelivery, fence: int, sent: Sent) -> None:
        """Tries again later, with full jitter; or gives up. A test is tried once."""
        refusals = one.refusals + 1 if sent.for_good else 0
        error = clean_line(self._secrets.mask(sent.words), WORDS_LIMIT)
        age = timedelta(microseconds=self._now() - one.since_us)
        give_up = self._routes[one.route].give_up_after if one.route in self._routes else timedelta(0)
        found = after_failure(one.tries + 1, refusals, age, give_up, random.random())
        if found.wait is None or one.kind == TEST:
            self._park(one, fence, f"{error} ({found.why})" if found.why else error, sent, refusals)
            return
        next_us = micros(self._clock.after(found.wait.total_seconds()))
        rows.put_off(self._store, fence, one.id, error, next_us, sent.arrived, refusals)
        seconds = round(found.wait.total_seconds())
        log.warning("alert not sent, will be tried again", route=one.route, error=error, seconds=seconds)

    def _park(self, one: rows.DueDelivery, fence: int, error: str, sent: Sent, refusals: int = 0) -> None:
        rows.park(self._store, fence, one.id, error, self._now(), sent.arrived, refusals)
        log.error("alert given up", delivery=one.id, route=one.route, title=one.title, error=error)
