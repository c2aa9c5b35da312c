"""Polling of one target, on its own interval and deadline. Its thread: `pool`.

inventory (when the source says that it changed) -> poll(cursor) -> starts matched to periods -> log tails of failed
runs -> ingest with the cursor in ONE transaction -> the evaluator is woken. Polls stop while a person pauses a
system, and the requests that they cost are counted.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog

from connectors.sdk.contract import Connector
from connectors.sdk.errors import ConnectorError, RateLimited, SystemUnreachable
from connectors.sdk.records import Inventory, Poll, RunRecord, RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import RequestTally, counting
from console.control.expectations.inventory import changes_schedules, match_inventory, renames_jobs
from console.domain.ids import utc_minute
from console.domain.switches import SystemPause
from console.domain.system import poll_interval_seconds, problem_and_fix, with_fix
from console.domain.text import render
from console.engine.connector_pool import ConnectorPool, ConnectorTarget, close_quietly
from console.engine.holds import HoldObserver, Waiting
from console.engine.polling.sanitize import (
    chunks,
    inventory_text,
    map_texts,
    observed_until,
    sanitize_inventory,
    sanitize_log,
    sanitize_poll,
    sanitizer,
)
from console.engine.worker import Pulse
from console.failpoints import failpoint
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.errors import StoreError
from console.store.ingest import targets
from console.store.ingest.batch import IngestBatch, LogTailText, PollCost, attempts_without_tail
from console.store.ingest.grouped_writes import GroupedWrites
from console.store.ingest.inventory import TargetInventory, known_jobs
from console.store.ingest.targets import PollState, TargetProbe
from console.timing.business_dates import EARLIEST_START, assign_periods, business_date_of
from console.timing.clock import Clock, wait_seconds
from console.timing.schedule import is_interval, unreadable_schedules

VERIFY_SECONDS, VERIFY_EVERY_SECONDS, VERIFY_SPEED = 180.0, 5.0, 3.0
"""For so long after an action a target is polled more often, so that its end is soon seen: at most so many times as
often as configured. Not one that reports how many requests it still allows."""
PAUSE_CHECK_SECONDS = 1.0
"""Interval of checking whether the pause has ended."""
log = structlog.get_logger("headway.poll")


class PollingPause:
    """Whether a poller must pause; checked before each poll."""

    def __init__(self, store: Database, clock: Clock, target: str) -> None:
        self._store, self._clock = store, clock
        self._log = log.bind(target=target)
        self._before = False

    def lasts(self, pause: SystemPause | None, fence: Fence) -> bool:
        """Whether the system is paused. `pause`: its last one."""
        now = self._clock.now()
        lasts = pause is not None and pause.lasts(now)
        if pause is not None and not lasts:
            targets.record_pause_end(self._store, pause, now, fence)
        if lasts != self._before:
            text = render(pause.text, utc_minute) if pause else ""
            self._log.info("polls are paused" if lasts else "polls go on", text=text)
        self._before = lasts
        return lasts


RATE_WINDOW_SECONDS = 600.0
"""Window of the request rate."""


class RequestCosts:
    """Counts the requests of one poller."""

    def __init__(self, every_seconds: float) -> None:
        self._every = max(every_seconds, 0.001)
        self._polls: deque[tuple[float, int]] = deque()
        self._tally = RequestTally()
        self._goes_on = False
        """Whether the last poll was interrupted."""

    @contextmanager
    def poll(self) -> Iterator[None]:
        """Counts one poll, successful or not, with what it requested before it waited for config to be matched."""
        if not self._goes_on:
            self._tally = RequestTally()
        self._goes_on, began = False, time.monotonic()
        try:
            with counting(self._tally):
                yield
        except Unmatched:
            self._goes_on = True
            raise
        finally:
            if not self._goes_on:
                self._polls.append((began, self._tally.requests))
            while self._polls and began - self._polls[0][0] > RATE_WINDOW_SECONDS:
                self._polls.popleft()

    @property
    def spent(self) -> PollCost | None:
        """Requests of this poll so far, and per minute; None if they cannot be counted because no request goes
        through Headway's transport."""
        now = self._tally.requests
        past = sum(count for _, count in self._polls)
        if not now and not past:
            return None
        seconds = (time.monotonic() - self._polls[0][0]) if self._polls else 0.0
        polls = len(self._polls) + 1
        minute = (now + past) / max(seconds, polls * self._every) * 60
        return PollCost(now, minute, self._tally.allowed)


TAIL_BYTES = 8 * 1024
TAIL_SECONDS = 5.0
"""For all log tails of one poll: its failures are reported only afterwards."""
TAILS_A_POLL = 10
LATER_TAILS = 1_000
"""Limit of the log tails that one target's poll leaves to its next ones."""
MAX_TAIL_AGE = timedelta(hours=24)
"""For older failures, logs are fetched on request."""


class LogTailFetcher:
    """Fetches log tails from one target."""

    def __init__(self, store: Database, clock: Clock, secrets: SecretStore, target_id: int, waiting: Waiting) -> None:
        """`waiting` is entered around each call to the target."""
        self._store, self._clock, self._target_id, self._shown = store, clock, target_id, sanitizer(secrets)
        self._secrets = secrets
        self._waiting = waiting
        self._later: dict[tuple[str, str], RunRef] = {}
        """Failed attempts whose log tails no poll had room for, oldest first."""

    def fetch(self, connector: Connector, records: Sequence[RunRecord]) -> dict[tuple[str, str], LogTailText]:
        """(job, attempt key) -> log tail, for failed attempts without one, of this poll and those before it; newest
        first."""
        since = self._clock.now() - MAX_TAIL_AGE
        red = {
            (run.job, run.attempt_key): RunRef(
                run.job, run.period_key or "", run.attempt_key, run.native_ref, run.started_at
            )
            for run in records
            if run.state.is_red and (run.ended_at or run.started_at or since) >= since
        }
        missing = attempts_without_tail(self._store, self._target_id, list(red)) if red else set()
        due = [*self._later.items(), *((attempt, run) for attempt, run in red.items() if attempt in missing)]
        self._later = dict(due[-LATER_TAILS:])
        tails: dict[tuple[str, str], LogTailText] = {}
        until = time.monotonic() + TAIL_SECONDS
        for attempt in [*reversed(self._later)][:TAILS_A_POLL]:
            seconds_left = until - time.monotonic()
            if seconds_left > 0:
                tails[attempt] = self._tail(connector, self._later.pop(attempt), seconds_left)
        return tails

    def _tail(self, connector: Connector, run: RunRef, seconds: float) -> LogTailText:
        try:
            with self._waiting():
                chunk = connector.log(run, None, TAIL_BYTES, seconds)
        except ConnectorError as error:
            return LogTailText("", error=self._shown(str(error)))
        except Exception as error:  # an unreadable log must not delay the report of the failure
            log.exception("log broke", job=run.job)
            return LogTailText(
                "", error=f"its log could not be read ({type(error).__name__}); the engine's log has the details"
            )
        return LogTailText(sanitize_log(chunk, self._secrets), chunk.cut)


INVENTORY_EVERY = timedelta(minutes=1)
"""Mean interval of inventories for kinds whose poll does not include one."""
EXTRA_INVENTORY_SECONDS = 30.0
"""Least time between two inventories that are read because of a start off the schedule."""
INVENTORY_JITTER = (0.75, 1.25)
"""Limits of the factor of each interval: targets that start together do not read their inventories together."""
CHUNK_RUNS = 2_000
"""Records per transaction: a flooding source holds the store for a tenth of a second, not for seconds."""
FLOOD = 200
"""Size from which a transaction counts as part of a flood. Only one of these waits for the store at a time, so that
a lease renewal, an alert or a small poll waits for at most one."""
CHUNK_PAUSE_SECONDS = 0.005
"""Pause between two of them, for other threads."""
RIGHTS_EVERY = timedelta(hours=1)
"""Interval of reading a target's version and rights, after a successful poll."""
RIGHTS_RETRY = timedelta(minutes=5)
"""Interval after a failed read."""
RIGHTS_SECONDS = 10.0
"""Maximum time of a read; shortened to the time until the next poll, but at least one second."""
PAGES_A_POLL = 200
"""Pages per poll; the rest is left to the next poll."""


@dataclass(frozen=True, slots=True)
class PollingContext:
    """Shared by all pollers."""

    store: Database
    clock: Clock
    connectors: ConnectorPool
    secrets: SecretStore
    changed: Callable[[], None]
    """Wakes the evaluator."""
    jobs_changed: Callable[[Fence, Callable[[bool], None]], bool]
    """Called before the runs of the poll are stored, when jobs appeared, disappeared, returned, were renamed, paused or
    changed schedule: config is matched against the jobs and dependencies are checked again. False if the poll must
    wait (`ConfigSync.sync_changed_jobs`)."""
    flood: threading.Lock = field(default_factory=threading.Lock)
    """Held while writing a part of a flood."""
    writes: GroupedWrites = field(default_factory=GroupedWrites)


MATCHING_SECONDS = 15.0
"""After this time a poll that waits for config to be matched asks for it again."""


class Unmatched(Exception):
    """Config is being matched against the jobs of other polls. The poll goes on in a later step."""


class Reply(NamedTuple):
    """One page of a poll."""

    poll: Poll
    before: str
    """The cursor before it."""
    queried_at: datetime
    milliseconds: float


class RepeatedPageError(Exception):
    """The source's pages do not end. Their records are stored, and the next poll retries."""


class TargetPoller:
    """Polls one target."""

    def __init__(self, shared: PollingContext, place: ConnectorTarget) -> None:
        self._shared = shared
        self._place = place
        self._connector: Connector | None = None
        self._failures = 0
        self._error_kind = ""
        """Of the last failed poll."""
        self._is_spread = False
        """Whether `_due` is at a random time within the interval, as it is from the first success."""
        self._due = math.inf
        """When the next poll is due, by `time.monotonic`; infinity before the first has ended."""
        self._asked_to_wait = 0.0
        """Retry-After of an overloaded server, s."""
        self._is_midway = False
        """Whether this poll has stored pages, and more are announced."""
        self._inventory_at = -math.inf
        """When to read the next inventory; minus infinity before the first."""
        self._extra_inventory_at = -math.inf
        """When a start off the schedule may cause the next inventory."""
        self._job_changes = self._matched_changes = 0
        """Inventories that changed jobs; up to which of them config is matched."""
        self._match_ended: Callable[[bool], None] = lambda _: None
        """Called when the last of them has been matched."""
        self._known: PollState | None = None
        """Read for the next page."""
        self._reply: Reply | None = None
        """Received, and not stored yet."""
        self.verifying_until = 0.0
        """Until when it is polled more often, by `time.monotonic`; set by the pool."""
        self.wake: Callable[[], None] = lambda: None
        """Polls this target at once; set by the pool."""
        self._rights_at = self._begun = 0.0
        self._is_stopped = False
        """True if its scheduler started nothing at the last poll."""
        self._doubted_hash = ""
        self._inventory_faults: tuple[str, ...] = ()
        """Problems of the last inventory, repeated with every poll until the next one."""
        self._unread_schedules: tuple[str, ...] | None = None
        """The same of its schedules; None before the first inventory of this engine."""
        self._shown = sanitizer(shared.secrets)
        self._tails = LogTailFetcher(shared.store, shared.clock, shared.secrets, place.target_id, self._waiting)
        self._holds = HoldObserver(shared.store, shared.clock, shared.secrets, place, self._waiting)
        self._spending = RequestCosts(place.system.settings.poll_every.total_seconds())
        self._pausing = PollingPause(shared.store, shared.clock, place.name)
        self.waits_since = math.inf
        """Start of the call to the scheduler in progress, by `time.monotonic`; infinity without one. Minus infinity
        while this poll matches config against changed jobs, for all that wait for it."""
        self.waited_seconds = 0.0
        """For the scheduler, in the last poll."""
        self.pulse = Pulse()
        self.name = place.name
        self.target_id = place.target_id
        self._log = log.bind(target=place.name)

    def step(self, fence: Fence) -> float:
        """One poll, unless the system is paused; seconds until the next. They grow while polls fail."""
        started, self.waited_seconds = time.monotonic(), 0.0
        self.pulse.beat(3 * self._timeout)
        try:
            self._known = targets.poll_state(self._shared.store, self._place.target_id)
            if self._pausing.lasts(self._known.pause, fence):
                self.close()
                self.pulse.beat(PAUSE_CHECK_SECONDS)
                return PAUSE_CHECK_SECONDS
            self.poll_once(fence)
        except Unmatched:
            self.pulse.beat(MATCHING_SECONDS)
            return MATCHING_SECONDS
        except StoreError:
            self.close()
            raise  # not the target's fault; the pool tries again
        except Exception as error:  # noqa: BLE001 - an unexpected error must not end the polling
            self._log.exception("poll broke")
            self.close()
            self._failed(fence, error, "broken")
        pause = max(0.05, self._next_due(started) - time.monotonic())
        self.pulse.beat(pause)
        return pause

    def poll_once(self, fence: Fence) -> None:
        """Polls all pages and stores them. Expected failures are recorded, not raised."""
        failpoint("poll.before")
        self._asked_to_wait, self._is_midway, self._begun = 0.0, False, time.monotonic()
        try:
            with self._spending.poll():
                self._pages(fence)
                self._rights(fence)
            self._succeeded()
        except RepeatedPageError as error:
            self.close()
            self._failed(fence, error, "broken")
        except ConnectorError as error:
            self.close()
            if isinstance(error, SystemUnreachable):
                self._asked_to_wait = error.retry_after_seconds or 0.0
            self._is_midway = self._is_midway and isinstance(error, RateLimited)
            if self._is_midway:
                self._succeeded()  # the next poll continues at the stored cursor
            else:
                self._failed(fence, error, error.kind)

    def _succeeded(self) -> None:
        if self._failures:
            self._log.info("target is back", failures=self._failures)
        self._failures = 0

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Around each call to the scheduler, and nothing else: time in the store does not count."""
        self.waits_since = started = time.monotonic()
        try:
            yield
        finally:
            self.waits_since = math.inf
            self.waited_seconds += time.monotonic() - started

    def close(self) -> None:
        self._reply = None
        connector, self._connector = self._connector, None
        if connector is not None:
            close_quietly(connector)

    def _next_due(self, started: float) -> float:
        """When to poll after a poll that started then. A late one shortens the pause by up to half, so that polls that
        were late together do not stay together; the first success is followed by a random part of the interval. A poll
        that was limited between its pages continues as soon as the source allows it."""
        if self._is_midway and self._asked_to_wait:
            return time.monotonic() + self._asked_to_wait
        pause = self._pause()
        shortest = max(pause / 2, self._asked_to_wait)
        if not self._is_spread and not self._failures:
            self._is_spread, self._due, shortest = True, started - pause * random.random(), 0.0
        self._due = min(max(self._due + pause, started + shortest), started + pause)
        return self._due

    def _pause(self) -> float:
        """Real seconds until the next poll, with jitter."""
        every = self._place.system.settings.poll_every.total_seconds()
        spent = self._spending.spent
        if time.monotonic() < self.verifying_until and not self._failures and not (spent and spent.allowed):
            every = min(every, max(VERIFY_EVERY_SECONDS, every / VERIFY_SPEED))
        pause = poll_interval_seconds(every, self._failures, self._error_kind)
        rate = self._shared.clock.rate
        return max((pause / rate if rate else 1.0) * random.uniform(0.97, 1.0), self._asked_to_wait)

    @property
    def _timeout(self) -> float:
        return self._place.system.settings.poll_timeout.total_seconds()

    def _failed(self, fence: Fence, error: Exception, kind: str) -> None:
        self._failures, self._error_kind = self._failures + 1, kind
        text, fix = map(self._shown, problem_and_fix(str(error)))
        text = text or type(error).__name__
        if self._failures == 1:
            self._log.warning("target lost", error=with_fix(text, fix), error_kind=kind)
        now = self._shared.clock.now()
        targets.record_failure(self._shared.store, self._place.target_id, text, kind, now, fence, fix)
        if self._failures == 1:
            self._shared.changed()  # more failures in a row are evaluated soon anyway

    def _pages(self, fence: Fence) -> None:
        if self._connector is None:
            with self._waiting():
                self._connector = self._shared.connectors.open(self._place)
        if not self._place.system.kind.inventory_rides_poll and time.monotonic() >= self._inventory_at:
            self._read_inventory(self._connector, fence)
        self._match_config(fence)
        deadline = time.monotonic() + self._timeout
        for page in range(PAGES_A_POLL):
            self.pulse.beat(3 * self._timeout)
            reply = self._reply or self._receive(self._connector, fence, deadline)
            self._store(self._connector, fence, reply)
            self._reply, self._known, self._is_midway = None, None, reply.poll.more
            if not reply.poll.more:
                break
            if reply.poll.cursor == reply.before:
                raise RepeatedPageError(f"{self.name}: announces more pages but returns the same page again")
            if page:
                failpoint("poll.mid_pages")
            deadline = time.monotonic() + self._timeout
        if self._holds.refresh(self._connector, fence, self._timeout):
            self._shared.changed()

    def _read_inventory(self, connector: Connector, fence: Fence) -> None:
        """Reads and stores the inventory, unless another engine has just done so."""
        known = self._known or targets.poll_state(self._shared.store, self._place.target_id)
        age = self._shared.clock.now() - known.inventory_at
        pause = INVENTORY_EVERY - age
        if self._inventory_at > -math.inf or not timedelta(0) <= age < INVENTORY_EVERY:
            with self._waiting():
                inventory = connector.inventory(known.inventory_hash, self._timeout)
            self._write_inventory(inventory, fence)
            self._known = None  # a job of an open run may have another name now
            pause = timedelta(0) if inventory.more else INVENTORY_EVERY
        seconds = pause.total_seconds() * random.uniform(*INVENTORY_JITTER)
        self._inventory_at = time.monotonic() + seconds / max(self._shared.clock.rate, 0.01)

    def _receive(self, connector: Connector, fence: Fence, deadline: float) -> Reply:
        """The next page; its inventory is written."""
        known = self._known or targets.poll_state(self._shared.store, self._place.target_id)
        queried_at, started = self._shared.clock.now(), time.monotonic()
        with self._waiting():
            poll = connector.poll(known.cursor, known.open_runs, max(1.0, deadline - started))
        failpoint("poll.after_reply")
        reply = self._reply = Reply(poll, known.cursor, queried_at, (time.monotonic() - started) * 1000)
        if poll.inventory is not None:
            self._write_inventory(poll.inventory, fence)
            self._match_config(fence)
        return reply

    def _rights(self, fence: Fence) -> None:
        """Reads the target's version and rights. Failures are ignored: polls report them."""
        if self._connector is None or time.monotonic() < self._rights_at:
            return
        self._rights_at = time.monotonic() + RIGHTS_RETRY.total_seconds()
        until_next_poll = self._pause() - (time.monotonic() - self._begun)
        try:
            with self._waiting():
                probe = self._connector.probe(max(1.0, min(RIGHTS_SECONDS, until_next_poll)))
        except ConnectorError as error:
            self._log.info("rights not seen", error=self._shown(str(error)))
            return
        except Exception:  # noqa: BLE001 - the poll succeeded; the next one opens a connection of its own
            self._log.exception("rights broke")
            self.close()
            return
        self._rights_at = time.monotonic() + RIGHTS_EVERY.total_seconds()
        rights = map_texts([asdict(right) for right in probe.rights], self._shown)
        stated = TargetProbe(self._place.target_id, self._shown(probe.version), rights)
        self._shared.writes.probe(self._shared.store, stated, fence)

    def _write_inventory(self, inventory: Inventory, fence: Fence) -> None:
        inventory = sanitize_inventory(inventory, self._shared.secrets.mask)
        store, target_id = self._shared.store, self._place.target_id
        if inventory.unchanged:
            self._inventory_faults = inventory_text(inventory, "") or self._inventory_faults
            if self._unread_schedules is None:
                jobs = known_jobs(store, target_id)
                self._unread_schedules = unreadable_schedules(
                    (job.native_id, job.seen) for job in jobs if job.gone_since is None and job.paused_since is None
                )
            return
        known = known_jobs(store, target_id)
        changes = match_inventory(known, inventory, self._doubted_hash, self._place.system.kind.kind)
        self._doubted_hash = inventory.hash if changes.doubted else ""
        if changes.doubted:
            self._log.warning("inventory doubted", text=changes.doubted)
        self._inventory_faults = inventory_text(inventory, changes.doubted)
        self._unread_schedules = unreadable_schedules(
            (job.native_id, job.schedule) for job in inventory.jobs if not job.paused
        )
        match_config = (
            not known or bool(changes.new) or renames_jobs(known, changes) or changes_schedules(known, changes)
        )
        written = TargetInventory(target_id, changes, self._shared.clock.now(), match_config)
        self._shared.writes.inventory(store, written, fence)
        if match_config:
            self._job_changes += 1
            self._match_ended = partial(self._end_match, self._job_changes)

    def _with_periods(self, runs: Sequence[RunRecord], now: datetime) -> tuple[list[RunRecord], bool]:
        """The records with their periods; and whether a job with a clock started in the last minutes, but not at an
        instant of its schedule."""
        store, target_id, kind = self._shared.store, self._place.target_id, self._place.system.kind
        runs = targets.with_own_actions(store, target_id, runs)
        without_period = any(run.period_key is None for run in runs)
        schedules, seen = targets.known_schedules(store, target_id) if without_period else ({}, {})
        started = targets.started_periods(store, target_id, runs, schedules)
        records = assign_periods(runs, schedules, *started, may_start_early=kind.may_start_early, seen=seen)
        known = {(job, attempt) for (job, _), attempt in started.owners.items()}
        return records, any(
            (run.job, run.attempt_key) not in known
            and run.started_at is not None
            and now - run.started_at < 2 * INVENTORY_EVERY
            and (record.period_at is None or run.started_at - record.period_at > EARLIEST_START)
            and (schedule := schedules.get(run.job)) is not None
            and schedule.has_clock
            and not is_interval(schedule)
            for run, record in zip(runs, records, strict=True)
            if run.period_key is None
        )

    def _match_config(self, fence: Fence) -> None:
        """Matches config against changed jobs. Raises Unmatched if the poll must wait for that."""
        changes = self._job_changes
        if self._matched_changes == changes:
            return
        self.waits_since = -math.inf
        try:
            if self._shared.jobs_changed(fence, self._match_ended):
                self._matched_changes = changes
        finally:
            self.waits_since = math.inf
        if self._matched_changes < changes:
            raise Unmatched

    def _end_match(self, changes: int, is_matched: bool) -> None:
        """Called when the wait has ended."""
        if is_matched:
            self._matched_changes = changes
        self.wake()

    def _store(self, connector: Connector, fence: Fence, reply: Reply) -> None:
        poll, before, now, poll_ms = reply
        store, target_id = self._shared.store, self._place.target_id
        poll = sanitize_poll(poll, self._shared.secrets.mask)
        records, is_off_schedule = self._with_periods(poll.runs, now)
        may_read = not self._place.system.kind.inventory_rides_poll and time.monotonic() >= self._extra_inventory_at
        if is_off_schedule and may_read:
            self._extra_inventory_at = time.monotonic() + EXTRA_INVENTORY_SECONDS / max(self._shared.clock.rate, 0.01)
            self._read_inventory(connector, fence)  # its schedule may have changed since the last one
            self._match_config(fence)
            records, _ = self._with_periods(poll.runs, now)

        def business_date(record: RunRecord) -> date:
            if record.business_date is not None:
                return record.business_date
            settings = self._place.system.settings
            at = record.period_at or record.started_at or record.queued_at or record.ended_at or now
            return business_date_of(at, record.interval_start, settings.timezone, settings.cutoff)

        batch = IngestBatch(
            runs=tuple(records),
            cursor=poll.cursor,
            business_date=business_date,
            now=now,
            seen_until=observed_until(poll),
            skew_s=poll.clock.skew_seconds if poll.clock else None,
            zone=poll.clock.zone if poll.clock else "",
            booted=poll.clock.booted if poll.clock else None,
            skipped=poll.skipped,
            warnings=tuple(dict.fromkeys((*self._inventory_faults, *poll.warnings, *(self._unread_schedules or ())))),
            stopped=poll.stopped,
            gaps=poll.gaps,
            poll_ms=poll_ms,
            spent=self._spending.spent,
            tails=self._tails.fetch(connector, records),
        )
        # a permission may state it too, and is read seldom
        if poll.stopped is not None and bool(poll.stopped) != self._is_stopped:
            self._is_stopped, self._rights_at = bool(poll.stopped), 0.0
        changed = False
        for number, part in enumerate(chunks(batch, before, CHUNK_RUNS)):
            if changed:
                wait_seconds(CHUNK_PAUSE_SECONDS)
            if number:
                failpoint("ingest.mid_batch")
            with self._shared.flood if len(part.runs) >= FLOOD else nullcontext():
                done = self._shared.writes.ingest(store, target_id, part, fence)
            changed = changed or bool(done.changed_run_ids or done.changed_job_ids)
        failpoint("ingest.after_commit")
        if changed or self._failures:
            self._shared.changed()  # a moved `seen_until` is evaluated within a few seconds anyway
