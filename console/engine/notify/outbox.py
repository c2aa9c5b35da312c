"""The outbox: sends deliveries that are due, each URL on its own thread.

A delivery is a row: claimed, then `wire_us` is committed, then the message is sent, then the row is marked sent,
postponed or parked. A crash between sending and marking becomes one repeat that says so; anything else leaves exactly
once.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.config.sections import RouteSettings
from console.domain.alert import AlertKind
from console.domain.ids import micros
from console.engine.notify.acknowledge_link import AcknowledgeLinks
from console.engine.notify.alertmanager import (
    LASTS,
    REFRESH_SECONDS,
    REPORT_LASTS,
    AlertmanagerSender,
    AlertMessage,
    is_alertmanager,
)
from console.engine.notify.backoff import after_failure
from console.engine.notify.mail import MailThread, mail_thread
from console.engine.notify.paging import Page, PageAction, is_pager_url
from console.engine.notify.routing import AlertRouter
from console.engine.notify.senders import Sender, SendResult, neutralise
from console.engine.notify.slack import SlackButtons
from console.engine.notify.webhook import WebhookSender, is_webhook, notification, post_webhook
from console.engine.worker import Pulse
from console.failpoints import failpoint
from console.store import alert_routing as routing_rows
from console.store import outbox as rows
from console.store.alerts import HEADWAY_RESOLVED, NOISE, TEST, NewAlert
from console.store.db.database import Database
from console.store.db.lease import store_id
from console.store.errors import LeaseLost, StoreError
from console.text.cleaning import clean_line
from console.text.message import quote, text_of, without_countdown
from console.text.redact import mask_strictly
from console.timing.clock import Clock, wait_seconds
from console.timing.formats import rough_duration

log = structlog.get_logger("headway.outbox")

REPEAT_TEXT = "May be a duplicate: the answer to the first delivery was lost.\n\n"
REPEAT_MARK = " (may be a duplicate)"
"""Ends the title: its begin has the service and its deadline."""
SPARE_THREADS = 2
"""Threads in addition to one per URL, for deliveries whose URL left the config: these are parked locally."""
MESSAGE_LIMIT = 300
TEST_TIER = 4
"""Of a test: the lowest severity that each on-call service has."""
TEST_LASTS = timedelta(minutes=2)
"""A test is resolved at an on-call service after this: `headway alert test` has read it back by then."""
UNAFFECTED_TIER = 3
"""The severity of a page about an incident without an affected service is that of this tier."""
LATE_US = 60_000_000
"""Age from which an alert is sent with its delay, and from which even the first try has no "(in 8 min)"."""


class Outbox:
    """Claims due deliveries and sends those of each URL on its own thread, so that a hanging receiver delays only
    itself."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        routes: Mapping[str, RouteSettings],
        secrets: SecretStore,
        routing: AlertRouter,
        send: Sender,
        mail: Callable[[str, str, str, MailThread, Callable[[], None]], SendResult | None] | None,
        alertmanager: AlertmanagerSender,
        webhook: WebhookSender,
        links: AcknowledgeLinks | None = None,
        slack: SlackButtons | None = None,
    ) -> None:
        """`mail`: sends mail to a mail server; None: apprise sends it. `links`: None: messages name the command.
        `slack`: None: messages have no buttons."""
        self._links, self._slack = links, slack
        self._alertmanager, self._webhook = alertmanager, webhook
        self._store_id = ""
        self._refreshed_at = -math.inf
        self._refresh_failed = ""
        self._other_urls: set[str] = set()
        """References to URLs of other receivers."""
        self._store, self._clock, self._routes, self._secrets = store, clock, routes, secrets
        self._routing, self._send, self._mail = routing, send, mail
        self._busy: dict[tuple[str, int], float] = {}
        """(route, index of the URL) -> start of the send in progress, by `time.monotonic`."""
        self._sending = 0
        self._unwritten: list[Callable[[], None]] = []
        """Outcomes that the store could not accept yet; their deliveries stay claimed."""
        self._lock = threading.Lock()
        urls = sum(len(route.urls) for route in routes.values())
        self._pool = ThreadPoolExecutor(urls + SPARE_THREADS, thread_name_prefix="sender")
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        count = rows.recover_claims(self._store, fence)
        if count:
            log.warning("deliveries were in flight when the last engine stopped", count=count)
        self._routing.park_strays(fence)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Sends until `stopping`; wakes on `wake`, else every second. Deliveries that a store failure left claimed
        and unsent are released first, once all outcomes are written."""
        self.pulse.beat()
        with self._lock:
            busy = frozenset(self._busy)
        self._write_pending_outcomes()
        rows.release_stray_claims(self._store, fence, busy)
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            if not self.step(fence):
                self.wake.wait(1.0)

    def step(self, fence: int) -> int:
        """Routes, claims and starts the due deliveries; how many."""
        self._write_pending_outcomes()
        self._routing.step(fence)
        with self._lock:
            busy = frozenset(self._busy)
        next_due, now = rows.next_due(self._store), self._now()
        due = rows.claim_due(self._store, fence, now, busy) if next_due is not None and next_due <= now else []
        if due:
            failpoint("outbox.claimed")
        for delivery in due:
            with self._lock:
                self._busy[delivery.route, delivery.url_index] = time.monotonic()
            self._pool.submit(self._deliver_guarded, delivery, fence)
        return len(due)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Sends that take longer than `seconds`, with their duration."""
        now = time.monotonic()
        with self._lock:
            busy = list(self._busy.items())
        return {
            f'sending to route "{route}", URL {place + 1}': now - since
            for (route, place), since in busy
            if now - since > seconds
        }

    def close(self, until: float = math.inf) -> None:
        """Waits for sends in progress until `time.monotonic` reaches `until`; the next engine reports the rest."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._sending and time.monotonic() < until:
            wait_seconds(0.01)

    def _now(self) -> int:
        return micros(self._clock.now())

    def _deliver_guarded(self, delivery: rows.DueDelivery, fence: int) -> None:
        with self._lock:
            self._sending += 1
        try:
            self._deliver(delivery, fence)
        except LeaseLost:
            return  # another engine owns it now
        except Exception:
            log.exception("delivery failed", delivery=delivery.id, route=delivery.route)
            failed = SendResult(None, "sending failed; the engine's log has the details")
            self._write(lambda: self._failed(delivery, fence, failed))
        finally:
            with self._lock:
                self._sending -= 1
                self._busy.pop((delivery.route, delivery.url_index), None)
            self.wake.set()

    def _deliver(self, delivery: rows.DueDelivery, fence: int) -> None:
        url = self._url(delivery, fence)
        if url is None:
            return
        failpoint("send.before")
        try:
            self._store_id = self._store_id or store_id(self._store)
            rows.mark_sending(self._store, fence, delivery.id, self._now())
        except LeaseLost:
            raise
        except StoreError:  # not recorded, so nothing may be sent yet
            self._write(lambda: rows.release_claim(self._store, fence, delivery.id))
            return
        title, body = self._message(delivery)
        title, body = neutralise(title), neutralise(self._delay_text(delivery) + body)
        if self._links is not None:
            body = self._links.with_links(url, delivery.route, delivery.id, body, self._clock.now())
        sent: SendResult | None = None
        if self._mail is not None:
            about = (delivery.incident_id is not None, delivery.begins, delivery.parts)
            thread = mail_thread(self._store_id, delivery.dedup_key, delivery.route, delivery.id, *about)
            sent = self._mail(url, title, body, thread, lambda: self._check_lease(fence))
        if is_alertmanager(url):
            lasts = LASTS if delivery.kind == TEST or delivery.incident_id is not None else REPORT_LASTS
            sent = self._alertmanager.send(url, title, body, _page(delivery), delivery.incident_id, lasts)
            self._refreshed_at = -math.inf if delivery.incident_id is None else self._refreshed_at
        if is_webhook(url):
            sent = self._webhook.send(url, delivery, title, body, _page(delivery))
        page = _page(delivery)
        if self._slack is not None and delivery.incident_id is not None and not delivery.is_resolved:
            page = replace(page, buttons=self._slack.attachment(delivery.incident_id))
        sent = sent or self._send(url, title, body, page)
        failpoint("send.after_wire")
        failpoint("send.after_reply")
        sent_us = self._now()
        if delivery.kind == TEST and not delivery.is_resolved and sent.arrived is not False and is_pager_url(url):
            self._write(lambda: self._queue_test_end(delivery, fence, sent_us))
        if sent.arrived:
            failpoint("record.before_commit")
            self._write(lambda: rows.record_sent(self._store, fence, delivery.id, sent_us))
            failpoint("record.after_commit")
            log.info("alert sent", route=delivery.route, title=delivery.title, repeat=delivery.maybe_repeat)
        else:
            self._write(lambda: self._failed(delivery, fence, sent))

    def _queue_test_end(self, delivery: rows.DueDelivery, fence: int, sent_us: int) -> None:
        """Creates the alert that resolves a test at this URL."""
        title, due_us = f"{delivery.title}; resolved", sent_us + TEST_LASTS // timedelta(microseconds=1)
        alert = NewAlert(
            delivery.route,
            TEST,
            title,
            delivery.body,
            delivery.dedup_key,
            title,
            delivery.body,
            version=HEADWAY_RESOLVED,
            not_before_us=due_us,
            first_url=delivery.url_index,
        )
        routing_rows.create_alert(self._store, fence, {delivery.route: (delivery.receiver,)}, alert, sent_us)

    def refresh_alertmanagers(self, fence: int) -> None:
        """Sends the alerts of open incidents again to each Alertmanager that received them, once a minute: they end
        otherwise. Raises StoreError."""
        if time.monotonic() < self._refreshed_at + REFRESH_SECONDS:
            return
        self._refreshed_at = time.monotonic()
        urls = self._alertmanager_urls()
        unique_urls = dict.fromkeys(urls.values())
        results = [self._alertmanager.refresh(url, partial(self._open_messages, url, urls)) for url in unique_urls]
        failed = [self._secrets.mask(result.reason) for result in results if not result.arrived]
        if (text := "; ".join(failed)) != self._refresh_failed:
            log.warning("alerts in Alertmanager are not refreshed", error=text or "resolved")
        self._refresh_failed = text

    def _open_messages(self, url: str, urls: Mapping[tuple[str, str], str]) -> list[AlertMessage]:
        """The last one about each open incident that the URL received."""
        messages = []
        for delivery in rows.latest_of_open_incidents(self._store):
            is_reopened = delivery.is_resolved  # and nothing was sent since
            if urls.get((delivery.route, delivery.receiver)) == url and not is_reopened:
                title, body = map(neutralise, self._message(delivery))
                messages.append(AlertMessage(title, body, _page(delivery), delivery.incident_id))
        return messages

    def _alertmanager_urls(self) -> dict[tuple[str, str], str]:
        """(route, reference) -> URL of each Alertmanager. References to other URLs are resolved once."""
        urls: dict[tuple[str, str], str] = {}
        for name, route in self._routes.items():
            for reference in route.urls:
                if reference.text in self._other_urls:
                    continue
                try:
                    url = self._secrets(reference)
                except ConnectorError:
                    continue  # its next delivery reports that
                if is_alertmanager(url):
                    urls[name, reference.text] = url
                else:
                    self._other_urls.add(reference.text)
        return urls

    def _check_lease(self, fence: int) -> None:
        """Raises LeaseLost if another engine has the lease; a store that cannot be read proves nothing."""
        try:
            self._store.check_fence(fence)
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("the lease could not be checked before the end of a mail", error=str(error))

    def _delay_text(self, delivery: rows.DueDelivery) -> str:
        """Lines before the alert: its delay, the undelivered alert that it replaces, and in a late alert or an end the
        present progress of the incident's plan, one that is done in an end only; empty if there are none."""
        now, before, plan = self._now(), delivery.replaced, delivery.plan
        is_late = now - delivery.since_us >= LATE_US
        blocks = [[f"Delayed by {_age(now, delivery.since_us)}."] if is_late else []]
        if before is not None:
            title, _ = self._allowed(delivery.route, before.title, before.plain_title, "", "")
            intro = f"Replaces an alert of {_age(now, before.made_us)} ago that was not delivered:"
            blocks += [[intro, *quote([without_countdown(title)])]]
        may_follow = delivery.is_resolved or (is_late and (plan is None or plan.state != "done"))
        if plan is not None and may_follow and not plan.has_no_further_step and plan.status not in delivery.title:
            next_step = f": headway plan {plan.id}" if plan.state in ("paused", "stopped") else "."
            blocks += [[f"{plan.progress.capitalize()}{next_step}"]]
        return f"{text_of(blocks)}\n" if any(blocks) else ""

    def _allowed(self, route: str, title: str, plain_title: str, body: str, plain_body: str) -> tuple[str, str]:
        """Title and body as far as the route's `body` setting allows."""
        how = self._routes[route].body
        if how == "link":
            return plain_title or title.partition(":")[0], plain_body
        return (mask_strictly(title), mask_strictly(body)) if how == "masked" else (title, body)

    def _message(self, delivery: rows.DueDelivery) -> tuple[str, str]:
        """Title and body as its route allows them, as of now."""
        texts = (delivery.title, delivery.plain_title, delivery.body, delivery.plain_body)
        title, body = self._allowed(delivery.route, *texts)
        if delivery.tries or self._now() - delivery.made_us >= LATE_US:
            title, body = without_countdown(title), without_countdown(body)
        return (f"{title}{REPEAT_MARK}", REPEAT_TEXT + body) if delivery.maybe_repeat else (title, body)

    def _write(self, write: Callable[[], None]) -> None:
        """Writes now, or later if the store is unavailable. Raises LeaseLost."""
        try:
            write()
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a delivery waits for the store", error=str(error))
            with self._lock:
                self._unwritten.append(write)

    def _write_pending_outcomes(self) -> None:
        """Writes the pending outcomes. Raises StoreError while the store is unavailable."""
        while self._unwritten:
            self._unwritten[0]()
            with self._lock:
                self._unwritten.pop(0)

    def _url(self, delivery: rows.DueDelivery, fence: int) -> str | None:
        """The URL; None if it left the config (parked) or its secret is unavailable (postponed)."""
        urls = {url.text: url for url in self._routes[delivery.route].urls} if delivery.route in self._routes else {}
        by_index = dict(enumerate(urls.values()))
        url = urls.get(delivery.receiver) if delivery.receiver else by_index.get(delivery.url_index)
        if url is None:
            text = routing_rows.stray_text(delivery.route, delivery.receiver)
            self._write(lambda: self._park(delivery, fence, text, SendResult(False)))
            return None
        try:
            return self._secrets(url)
        except ConnectorError as error:
            refused = SendResult(False, str(error))
            self._write(lambda: self._failed(delivery, fence, refused))
            return None

    def _failed(self, delivery: rows.DueDelivery, fence: int, sent: SendResult) -> None:
        """Retries with backoff, or parks the delivery. A test is tried once, its end until it arrives."""
        refusals = delivery.refusals + 1 if sent.for_good else 0
        error = clean_line(self._secrets.mask(sent.reason), MESSAGE_LIMIT)
        age = timedelta(microseconds=self._now() - delivery.since_us)
        give_up = self._routes[delivery.route].give_up_after if delivery.route in self._routes else timedelta(0)
        attempt = (delivery.tries + 1, refusals, age, give_up, random.random())
        until_act_by = timedelta(microseconds=(delivery.act_by_us or 0) - self._now())
        retry = after_failure(*attempt, maybe_arrived=sent.arrived is None, until_act_by=until_act_by)
        if retry.wait is None or (delivery.kind == TEST and not delivery.is_resolved):
            self._park(delivery, fence, f"{error} ({retry.why})" if retry.why else error, sent, refusals)
            return
        seconds = retry.wait.total_seconds()
        next_us = micros(self._clock.after(seconds))
        rows.postpone(self._store, fence, delivery.id, error, next_us, sent.arrived, refusals)
        log.warning("alert not sent, will be tried again", route=delivery.route, error=error, seconds=round(seconds))

    def _park(self, delivery: rows.DueDelivery, fence: int, error: str, sent: SendResult, refusals: int = 0) -> None:
        rows.park(self._store, fence, delivery.id, error, self._now(), sent.arrived, refusals)
        log.error("alert abandoned", delivery=delivery.id, route=delivery.route, title=delivery.title, error=error)


def _age(now_us: int, at_us: int) -> str:
    """In minutes, rounded to the nearest."""
    return rough_duration(timedelta(microseconds=now_us - at_us, seconds=30))


def send_unstored(url: str, delivery: rows.DueDelivery, page: Page, estate: str, send: Sender) -> SendResult:
    """Sends a message about no incident without the store. `send`: for all URLs but Alertmanager's and webhooks."""
    title, body = neutralise(delivery.title), neutralise(delivery.body)
    if is_alertmanager(url):
        return AlertmanagerSender(None).send(url, title, body, page, None, REPORT_LASTS)
    if is_webhook(url):
        return post_webhook(url, notification(delivery, title, body, page, estate))
    return send(url, title, body, page)


def _page(delivery: rows.DueDelivery) -> Page:
    action = PageAction.INFORM if delivery.origin == NOISE else PageAction.OPEN
    if delivery.is_resolved:
        action = PageAction.RESOLVE
    elif delivery.origin == AlertKind.UPDATED and not delivery.begins:
        action = PageAction.UPDATE
    tier = UNAFFECTED_TIER if delivery.incident_id is not None and delivery.tier is None else delivery.tier
    tier = TEST_TIER if delivery.kind == TEST else tier
    return Page(delivery.dedup_key, action, delivery.resolves, tier)
