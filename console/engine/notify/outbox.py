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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.config.alerts import RouteSettings
from console.control.alerts.present_end import present_end
from console.domain.alert import AlertKind
from console.domain.ids import micros
from console.domain.message import Block, Lines, Message, Quote, title_text
from console.domain.message_group import joined_message
from console.engine.notify.acknowledge_link import AcknowledgeLinks
from console.engine.notify.alertmanager import REFRESH_SECONDS, AlertmanagerChannel
from console.engine.notify.backoff import after_failure
from console.engine.notify.channels import Channels
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.routing import AlertRouter
from console.engine.notify.senders import Outgoing, SendResult, neutralise
from console.engine.notify.slack import SlackButtons
from console.engine.worker import Pulse
from console.failpoints import failpoint
from console.store import alert_routing as routing_rows
from console.store import outbox as rows
from console.store.alerts import HEADWAY, HEADWAY_RESOLVED, PERSON, TEST, NewAlert
from console.store.db.database import Database
from console.store.db.lease import store_id
from console.store.errors import LeaseLost, StoreError
from console.text.redact import sanitize
from console.timing.clock import Clock, wait_seconds
from console.timing.durations import rough_duration

log = structlog.get_logger("headway.outbox")

REPEAT = Lines(("May be a duplicate: the answer to the first delivery was lost.",))
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
FIRST_EVALUATION_SECONDS = 30.0
"""How long alerts of the engine before wait for the first evaluation, which replaces those with a past state."""
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
        channels: Channels,
        links: AcknowledgeLinks | None = None,
        slack: SlackButtons | None = None,
    ) -> None:
        """`links`: None: messages name the command. `slack`: None: messages have no buttons."""
        self._links, self._slack = links, slack
        self._store_id = ""
        self._refreshed_at = -math.inf
        self._refresh_failed = ""
        self._other_urls: set[str] = set()
        """References to URLs of other receivers."""
        self._store, self._clock, self._routes, self._secrets = store, clock, routes, secrets
        self._routing, self._channels = routing, channels
        self._sends: dict[tuple[str, int], tuple[Future[None], float]] = {}
        """(route, index of the URL) -> its last send, and that one's start by `time.monotonic`."""
        self._unwritten: list[Callable[[], None]] = []
        """Outcomes that the store could not accept yet; their deliveries stay claimed."""
        urls = sum(len(route.urls) for route in routes.values())
        self._pool = ThreadPoolExecutor(urls + SPARE_THREADS, thread_name_prefix="sender")
        self.is_evaluated: Callable[[], bool] = lambda: True
        """False before the first evaluation."""
        self._waits_until = 0.0
        """When alerts about incidents no longer wait for it, by `time.monotonic`."""
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        count = rows.recover_claims(self._store, fence)
        if count:
            log.warning("deliveries were in flight when the last engine stopped", count=count)
        self._routing.park_strays(fence)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Sends until `stopping`; wakes on `wake`, else every second. Deliveries that a store failure left claimed
        and unsent are released first, once all outcomes are written. No alert about an incident is sent before the
        first evaluation, for at most FIRST_EVALUATION_SECONDS."""
        self.pulse.beat()
        busy = frozenset(self._busy())
        self._write_pending_outcomes()
        rows.release_stray_claims(self._store, fence, busy)
        self._waits_until = time.monotonic() + FIRST_EVALUATION_SECONDS
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            if not self.step(fence):
                self.wake.wait(1.0)

    def step(self, fence: int) -> int:
        """Routes, claims and starts the due deliveries; how many."""
        self._write_pending_outcomes()
        self._routing.step(fence)
        busy = frozenset(self._busy())
        next_due, now = rows.next_due(self._store), self._now()
        is_early = time.monotonic() < self._waits_until and not self.is_evaluated()
        is_due = next_due is not None and next_due <= now
        due = rows.claim_due(self._store, fence, now, busy, without_incidents=is_early) if is_due else []
        if due:
            failpoint("outbox.claimed")
        for delivery in due:
            sending = self._pool.submit(self._deliver_guarded, delivery, fence)
            self._sends[delivery.route, delivery.url_index] = sending, time.monotonic()
            sending.add_done_callback(lambda _: self.wake.set())
        return len(due)

    def _busy(self) -> dict[tuple[str, int], float]:
        """(route, index of the URL) -> start of the send in progress."""
        return {url: since for url, (sending, since) in list(self._sends.items()) if not sending.done()}

    def hanging(self, seconds: float) -> dict[str, float]:
        """Sends that take longer than `seconds`, with their duration."""
        ages = {url: time.monotonic() - since for url, since in self._busy().items()}
        texts = ((f'sending to route "{route}", URL {place + 1}', age) for (route, place), age in ages.items())
        return {text: age for text, age in texts if age > seconds}

    def close(self, until: float = math.inf) -> None:
        """Waits for sends in progress until `time.monotonic` reaches `until`; the next engine reports the rest."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._busy() and time.monotonic() < until:
            wait_seconds(0.01)

    def _now(self) -> int:
        return micros(self._clock.now())

    def _deliver_guarded(self, delivery: rows.DueDelivery, fence: int) -> None:
        try:
            self._deliver(delivery, fence)
        except LeaseLost:
            return  # another engine owns it now
        except Exception:
            log.exception("delivery failed", delivery=delivery.id, route=delivery.route)
            failed = SendResult(None, "sending failed; the engine's log has the details")
            self._write(lambda: self._failed(delivery, fence, failed))

    def _deliver(self, delivery: rows.DueDelivery, fence: int) -> None:
        url = self._url(delivery, fence)
        if url is None:
            return
        failpoint("send.before")
        try:
            self._store_id = self._store_id or store_id(self._store)
            for number in delivery.ids:
                rows.mark_sending(self._store, fence, number, self._now())
        except LeaseLost:
            raise
        except StoreError:  # not recorded, so nothing may be sent yet
            for number in delivery.ids:
                self._write(partial(rows.release_claim, self._store, fence, number))
            return
        delivery = self._as_of_now(delivery)
        original = self._message(delivery)
        message = original.below(*self._delay_blocks(delivery)).mapped(neutralise)
        channel = self._channels.of(url)
        if self._links is not None:
            to = (channel.traits, delivery.route, delivery.id)
            message = self._links.with_links(*to, message, self._clock.now())
        # a problem of Headway itself may begin or end while no store can be read
        page = replace(page_of(delivery), store_id="" if delivery.origin == HEADWAY else self._store_id)
        if self._slack is not None and delivery.incident_id is not None and not delivery.is_resolved:
            page = replace(page, buttons=self._slack.attachment(delivery.incident_id, original.approvals))
        check_lease = partial(self._check_lease, fence)
        sent = channel.send(Outgoing(delivery, message, page, self._store_id, check_lease=check_lease))
        if delivery.incident_id is None:  # a digest may have incidents, which are alerts of their own in Alertmanager
            self._refreshed_at = -math.inf
        failpoint("send.after_wire")
        failpoint("send.after_reply")
        sent_us, is_test = self._now(), delivery.kind == TEST and not delivery.is_resolved
        if is_test and sent.arrived is not False and channel.traits.opens_pages:
            self._write(lambda: self._queue_test_end(delivery, fence, sent_us))
        if sent.arrived:
            failpoint("record.before_commit")
            self._write(lambda: rows.record_sent(self._store, fence, delivery.id, sent_us, delivery.ids[1:]))
            failpoint("record.after_commit")
            title = title_text(delivery.message.title)
            log.info("alert sent", route=delivery.route, title=title, repeat=delivery.maybe_repeat)
        else:
            self._write(lambda: self._failed(delivery, fence, sent))

    def _queue_test_end(self, delivery: rows.DueDelivery, fence: int, sent_us: int) -> None:
        """Creates the alert that resolves a test at this URL."""
        message, due_us = delivery.message.titled(after="; resolved"), sent_us + TEST_LASTS // timedelta(microseconds=1)
        alert = NewAlert(
            delivery.route,
            TEST,
            message,
            delivery.dedup_key,
            message,
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
        channels = self._alertmanagers()
        unique = dict.fromkeys(channels.values())
        results = [channel.refresh(partial(self._open_messages, channel, channels)) for channel in unique]
        failed = [sanitize(result.reason, self._secrets.mask) for result in results if not result.arrived]
        if (text := "; ".join(failed)) != self._refresh_failed:
            log.warning("alerts in Alertmanager are not refreshed", error=text or "resolved")
        self._refresh_failed = text

    def _open_messages(
        self, channel: AlertmanagerChannel, channels: Mapping[tuple[str, str], AlertmanagerChannel]
    ) -> dict[int, Outgoing]:
        """The last one about each open incident that it received, by incident."""
        messages: dict[int, Outgoing] = {}
        for delivery in rows.latest_of_open_incidents(self._store):
            is_reopened = delivery.is_resolved  # and nothing was sent since
            incident_id, is_own = delivery.incident_id, channels.get((delivery.route, delivery.receiver)) is channel
            if is_own and incident_id is not None and not is_reopened:
                message = self._message(delivery).mapped(neutralise)
                messages[incident_id] = Outgoing(delivery, message, page_of(delivery))
        return messages

    def _alertmanagers(self) -> dict[tuple[str, str], AlertmanagerChannel]:
        """Each Alertmanager by route and reference. References to other URLs are resolved once."""
        channels: dict[tuple[str, str], AlertmanagerChannel] = {}
        for name, route in self._routes.items():
            for reference in route.urls:
                if reference.text in self._other_urls:
                    continue
                try:
                    channel = self._channels.of(self._secrets(reference))
                except ConnectorError:
                    continue  # its next delivery reports that
                if isinstance(channel, AlertmanagerChannel):
                    channels[name, reference.text] = channel
                else:
                    self._other_urls.add(reference.text)
        return channels

    def _check_lease(self, fence: int) -> None:
        """Raises LeaseLost if another engine has the lease; a store that cannot be read proves nothing."""
        try:
            self._store.check_fence(fence)
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("the lease could not be checked before the end of a mail", error=str(error))

    def _delay_blocks(self, delivery: rows.DueDelivery) -> Iterator[Block]:
        """Blocks above those of the alert: its delay, an act-by that has passed since, the undelivered alert that it
        replaces, and in a late alert or an end the present progress of the incident's plan, one that is done in an end
        only."""
        now, before, plan = self._now(), delivery.replaced, delivery.plan
        is_late = now - delivery.since_us >= LATE_US
        if is_late:
            yield Lines((f"Delayed by {_age(now, delivery.since_us)}.",))
        if not delivery.is_resolved and delivery.made_us < (delivery.act_by_us or 0) <= now:
            yield Lines(("Its act-by has passed since this was written.",))
        if before is not None:
            yield Lines((f"Replaces an alert of {_age(now, before.made_us)} ago that was not delivered:",))
            yield Quote((title_text(self._allowed(delivery.route, before).without_countdown().title),))
        may_follow = delivery.is_resolved or (is_late and (plan is None or plan.state != "done"))
        if plan is None or not may_follow or plan.has_no_further_step:
            return
        if plan.status not in title_text(delivery.message.title):
            next_step = f": headway plan {plan.id}" if plan.state in ("paused", "stopped") else "."
            yield Lines((f"{plan.progress.capitalize()}{next_step}",))

    def _allowed(self, route: str, alert: rows.DueDelivery | rows.ReplacedAlert) -> Message:
        """The message that the route's `body` setting allows."""
        return alert.plain if self._routes[route].body == "link" else alert.message

    def _as_of_now(self, delivery: rows.DueDelivery) -> rows.DueDelivery:
        """The delivery with the service days of an end as they are, a state below the alerts that need a person, and a
        digest without the parts that newer alerts replace."""
        if delivery.remaining:
            message, plain = self._routing.digest_texts(delivery.remaining)
        elif delivery.included:
            message = joined_message(*(alert.message for alert in delivery.included), delivery.message)
            plain = joined_message(*(alert.plain for alert in delivery.included), delivery.plain)
            delivery = replace(delivery, origin=PERSON)
        else:
            now = self._clock.now()
            message, plain = (present_end(text, delivery.days, now) for text in (delivery.message, delivery.plain))
        return replace(delivery, message=message, plain=plain)

    def _message(self, delivery: rows.DueDelivery) -> Message:
        """The message as its route allows it, as of now."""
        message = self._allowed(delivery.route, delivery)
        if delivery.tries or self._now() - delivery.made_us >= LATE_US:
            message = message.without_countdown()
        return as_repeat(message) if delivery.maybe_repeat else message

    def _write(self, write: Callable[[], None]) -> None:
        """Writes now, or later if the store is unavailable. Raises LeaseLost."""
        try:
            write()
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("a delivery waits for the store", error=str(error))
            self._unwritten.append(write)

    def _write_pending_outcomes(self) -> None:
        """Writes the pending outcomes. Raises StoreError while the store is unavailable."""
        while self._unwritten:
            self._unwritten[0]()
            self._unwritten.pop(0)

    def _url(self, delivery: rows.DueDelivery, fence: int) -> str | None:
        """The URL; None if it left the config (parked) or its secret is unavailable (postponed)."""
        urls = {url.text: url for url in self._routes[delivery.route].urls} if delivery.route in self._routes else {}
        by_index = dict(enumerate(urls.values()))
        url = urls.get(delivery.receiver) if delivery.receiver else by_index.get(delivery.url_index)
        if url is None:
            text = routing_rows.stray_text(delivery.route, delivery.receiver)
            for part in delivery.claimed:
                self._write(partial(self._park, part, delivery.route, fence, text, SendResult(False)))
            return None
        try:
            return self._secrets(url)
        except ConnectorError as error:
            refused = SendResult(False, str(error))
            self._write(lambda: self._failed(delivery, fence, refused))
            return None

    def _failed(self, delivery: rows.DueDelivery, fence: int, sent: SendResult) -> None:
        """Retries with backoff, or parks the delivery, and each included one by its own refusals and age. A test is
        tried once, its end until it arrives."""
        error = sanitize(sent.reason, self._secrets.mask, MESSAGE_LIMIT, on_one_line=True)
        until_act_by = timedelta(microseconds=(delivery.act_by_us or 0) - self._now())
        for part in delivery.claimed:
            refusals = part.refusals + 1 if sent.for_good else 0
            attempt = (part.tries + 1, refusals, timedelta(microseconds=self._now() - part.since_us), random.random())
            retry = after_failure(*attempt, maybe_arrived=sent.arrived is None, until_act_by=until_act_by)
            if retry.wait is None or (delivery.kind == TEST and not delivery.is_resolved):
                why = f"{error} ({retry.why})" if retry.why else error
                self._park(part, delivery.route, fence, why, sent, refusals)
                continue
            seconds = retry.wait.total_seconds()
            next_us = micros(self._clock.after(seconds))
            rows.postpone(self._store, fence, part.id, error, next_us, sent.arrived, refusals)
            route, wait = delivery.route, round(seconds)
            log.warning("alert not sent, will be tried again", route=route, error=error, seconds=wait)

    def _park(
        self,
        part: rows.DueDelivery | rows.IncludedAlert,
        route: str,
        fence: int,
        error: str,
        sent: SendResult,
        refusals: int = 0,
    ) -> None:
        rows.park(self._store, fence, part.id, error, self._now(), sent.arrived, refusals)
        log.error("alert abandoned", delivery=part.id, route=route, title=title_text(part.message.title), error=error)


def as_repeat(message: Message, why: Lines = REPEAT) -> Message:
    """The message of a second try, marked as one."""
    return message.titled(after=REPEAT_MARK).below(why)


def _age(now_us: int, at_us: int) -> str:
    """In minutes, rounded to the nearest."""
    return rough_duration(timedelta(microseconds=now_us - at_us, seconds=30))


def page_of(delivery: rows.DueDelivery) -> Page:
    action = PageAction.OPEN
    if delivery.is_resolved:
        action = PageAction.RESOLVE
    elif delivery.origin == AlertKind.UPDATED and not delivery.begins:
        action = PageAction.UPDATE
    tier = UNAFFECTED_TIER if delivery.incident_id is not None and delivery.tier is None else delivery.tier
    tier = TEST_TIER if delivery.kind == TEST else tier
    return Page(delivery.dedup_key, action, delivery.resolves, tier)
