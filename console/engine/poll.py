"""One target, polled on its own clock, deadline and thread: it never waits for another target, nor another for it.

inventory (when the source says it changed) → poll(cursor) → starts matched to periods → log tails of what turned red
→ ingest with the cursor in ONE transaction → the evaluator is woken.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta

import structlog

from connectors.contract import (
    Connector,
    ConnectorError,
    Inventory,
    Poll,
    RunRecord,
    SystemUnreachable,
)
from connectors.secrets import SecretStore
from console.clock import Clock
from console.control.inventory import match, moves_clocks, renames
from console.control.periods import assign, business_date
from console.engine.arriving import bites, failure_kind, inventory_words, kept_inventory, kept_poll, seen_until, shown
from console.engine.doors import Doors, Place, close_quietly
from console.engine.health import Pulse
from console.engine.holds import HoldLooker
from console.engine.pausing import Pausing
from console.engine.spending import Spending
from console.engine.tails import Tails
from console.failpoints import failpoint
from console.model.pauses import pause_seconds
from console.store import ingest as store_ingest
from console.store import polling
from console.store.errors import StoreError
from console.store.inventory import write_inventory
from console.store.known import known_jobs
from console.store.open import Store

log = structlog.get_logger("headway.poll")

INVENTORY_EVERY = timedelta(minutes=1)
"""How often an inventory is asked for, for kinds whose poll does not bring it."""
BITE = 2_000
"""Records in one transaction: a source that floods holds the store for a tenth of a second, not for seconds."""
FLOOD = 200
"""Records from which on a transaction is one of a flood: of those only one at a time stands in the line for the store,
so that a lease, an alert or a small poll waits for one of them at most, however many sources flood at once."""
BREATH_SECONDS = 0.005
"""Between two of them, in which another target's thread gets the store."""
RIGHTS_EVERY = timedelta(hours=1)
"""How often a target is asked for its version and our rights there, after a poll that went well."""
RIGHTS_AGAIN = timedelta(minutes=5)
"""When it is asked again after a look that failed."""
RIGHTS_SECONDS = 10.0
"""Longest look; where the next poll is due before, it ends with this one's time, after a second at the earliest."""
PAGES_A_POLL = 200
"""More pages than this in one poll are left to the next one."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What every poller uses."""

    store: Store
    clock: Clock
    doors: Doors
    secrets: SecretStore
    changed: Callable[[], None]
    """Wakes the evaluator."""
    jobs_changed: Callable[[int], None]
    """New jobs were written in a lease with this fence: config is matched against the jobs again."""
    clocks_changed: Callable[[int], None]
    """Jobs went, came back, were paused or have another clock: which dependencies cannot hold is told anew."""
    flood: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever writes a part of a flood."""


class RepeatsItselfError(Exception):
    """A source whose pages do not end: what they hold is stored, and the next poll tries again."""


class Poller:
    """Polls one target until it is told to stop."""

    def __init__(self, shared: Shared, place: Place) -> None:
        self._shared = shared
        self._place = place
        self._connector: Connector | None = None
        self._failures = 0
        self._asked_to_wait = 0.0
        """Seconds, by a server that has too much to do."""
        self._inventory_at = 0.0
        self._rights_at = self._begun = 0.0
        self._doubted_hash = ""
        self._inventory_words: tuple[str, ...] = ()
        """What the last inventory could not read or take; said with every poll until the next one."""
        self._tails = Tails(shared.store, shared.clock, shared.secrets, place.target_id)
        self._holds = HoldLooker(shared.store, shared.clock, shared.secrets, place)
        self._spending = Spending(place.system.settings.poll_every.total_seconds())
        self._pausing = Pausing(shared.store, shared.clock, place.system.name, place.name)
        self.wake = threading.Event()
        self.pulse = Pulse()
        self.name = place.name
        self.target_id = place.target_id
        self._log = log.bind(target=place.name)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Polls at once, then every `poll_every`; sooner when `wake` is set; backs off while it fails."""
        while not stopping():
            self.wake.clear()
            started = time.monotonic()
            self.pulse.beat(3 * self._timeout)
            try:
                if self._pausing.waits(self.wake, fence):
                    self.close()
                    continue
                self.poll_once(fence)
            except StoreError:
                self.close()
                raise  # no fault of the target; the crew waits and starts this again
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                self._log.exception("poll broke")
                self.close()
                self._failed(fence, error, "broken")
            pause = max(0.05, self._pause() - (time.monotonic() - started))
            self.pulse.beat(pause)
            self.wake.wait(pause)
        self.close()

    def poll_once(self, fence: int) -> None:
        """One poll, all its pages, stored. Expected failures are recorded, not raised."""
        failpoint("poll.before")
        self._asked_to_wait, self._begun = 0.0, time.monotonic()
        try:
            with self._spending.poll():
                self._pages(fence)
                self._rights(fence)
            if self._failures:
                self._log.info("target is back", failures=self._failures)
            self._failures = 0
        except RepeatsItselfError as error:
            self.close()
            self._failed(fence, error, "broken")
        except ConnectorError as error:
            self.close()
            if isinstance(error, SystemUnreachable):
                self._asked_to_wait = error.retry_after_seconds or 0.0
            self._failed(fence, error, failure_kind(error))

    def close(self) -> None:
        connector, self._connector = self._connector, None
        if connector is not None:
            close_quietly(connector)

    def _pause(self) -> float:
        """Seconds of real time until the next poll, spread a little so that targets do not march in step."""
        pause = pause_seconds(self._place.system.settings.poll_every.total_seconds(), self._failures)
        rate = self._shared.clock.rate
        return max((pause / rate if rate else 1.0) * random.uniform(0.97, 1.0), self._asked_to_wait)

    @property
    def _timeout(self) -> float:
        return self._place.system.settings.poll_timeout.total_seconds()

    def _failed(self, fence: int, error: Exception, kind: str) -> None:
        self._failures += 1
        words = self._shown(str(error)) or type(error).__name__
        if self._failures == 1:
            self._log.warning("target lost", error=words, error_kind=kind)
        now = self._shared.clock.now()
        store_ingest.record_failure(self._shared.store, self._place.target_id, words, kind, now, fence)
        self._shared.changed()

    def _pages(self, fence: int) -> None:
        deadline = time.monotonic() + self._timeout
        if self._connector is None:
            self._connector = self._shared.doors.open(self._place)
        known = polling.state(self._shared.store, self._place.target_id)
        self._inventory(self._connector, fence, known.inventory_hash)
        for page in range(PAGES_A_POLL):
            self.pulse.beat(3 * self._timeout)
            known = polling.state(self._shared.store, self._place.target_id)
            open_runs = polling.open_runs(self._shared.store, self._place.target_id)
            asked_at, started = self._shared.clock.now(), time.monotonic()
            poll = self._connector.poll(known.cursor, open_runs, max(1.0, deadline - started))
            failpoint("poll.after_reply")
            self._store(self._connector, fence, poll, known.cursor, asked_at, (time.monotonic() - started) * 1000)
            if not poll.more:
                break
            if poll.cursor == known.cursor:
                raise RepeatsItselfError(f"{self.name}: says that there is more and gives the same page again")
            if page:
                failpoint("poll.mid_pages")
            deadline = time.monotonic() + self._timeout
        if self._holds.look(self._connector, fence, self._timeout):
            self._shared.changed()

    def _inventory(self, connector: Connector, fence: int, previous_hash: str) -> None:
        kind = self._place.system.kind
        if kind.inventory_rides_poll or time.monotonic() < self._inventory_at:
            return
        found = connector.inventory(previous_hash, self._timeout)
        self._write_inventory(found, fence)
        rate = max(self._shared.clock.rate, 0.01)
        self._inventory_at = time.monotonic() + INVENTORY_EVERY.total_seconds() / rate

    def _rights(self, fence: int) -> None:
        """Which version answers there and which rights we hold. A look that fails says nothing: the polls tell."""
        if self._connector is None or time.monotonic() < self._rights_at:
            return
        self._rights_at = time.monotonic() + RIGHTS_AGAIN.total_seconds()
        left = self._pause() - (time.monotonic() - self._begun)
        try:
            found = self._connector.probe(max(1.0, min(RIGHTS_SECONDS, left)))
        except ConnectorError as error:
            self._log.info("rights not seen", error=self._shown(str(error)))
            return
        except Exception:  # noqa: BLE001 - the poll went well; the next one has a connection of its own
            self._log.exception("rights broke")
            self.close()
            return
        self._rights_at = time.monotonic() + RIGHTS_EVERY.total_seconds()
        shown = self._shown
        rights = [{k: shown(v) if isinstance(v, str) else v for k, v in asdict(one).items()} for one in found.rights]
        polling.record_probe(self._shared.store, self._place.target_id, shown(found.version), rights, fence)

    def _shown(self, text: str) -> str:
        return shown(text, self._shared.secrets.mask)

    def _write_inventory(self, found: Inventory, fence: int) -> None:
        found = kept_inventory(found, self._shared.secrets.mask)
        if found.unchanged:
            self._inventory_words = inventory_words(found, "") or self._inventory_words
            return
        store, target_id = self._shared.store, self._place.target_id
        known = known_jobs(store, target_id)
        changes = match(known, found, self._doubted_hash, self._place.system.kind.kind)
        self._doubted_hash = found.hash if changes.doubted else ""
        if changes.doubted:
            self._log.warning("inventory doubted", words=changes.doubted)
        self._inventory_words = inventory_words(found, changes.doubted)
        write_inventory(store, target_id, changes, self._shared.clock.now(), fence)
        if changes.new or renames(known, changes):  # the others keep the names by which config knows them
            self._shared.jobs_changed(fence)
        elif moves_clocks(known, changes):
            self._shared.clocks_changed(fence)

    def _store(self, connector: Connector, fence: int, poll: Poll, before: str, now: datetime, poll_ms: float) -> None:
        if poll.inventory is not None:
            self._write_inventory(poll.inventory, fence)
        store, target_id = self._shared.store, self._place.target_id
        bare = any(one.period_key is None for one in poll.runs)
        schedules = polling.accepted_schedules(store, target_id) if bare else {}
        poll = kept_poll(poll, self._shared.secrets.mask)
        taken = polling.taken(store, target_id, poll.runs)
        records = assign(poll.runs, schedules, *taken, may_start_early=self._place.system.kind.may_start_early)
        batch = store_ingest.IngestBatch(
            runs=tuple(records),
            cursor=poll.cursor,
            bd=self._business_date,
            now=now,
            seen_until=seen_until(poll),
            skew_s=poll.clock.skew_seconds if poll.clock else None,
            zone=poll.clock.zone if poll.clock else "",
            booted=poll.clock.booted if poll.clock else None,
            skipped=poll.skipped,
            warnings=tuple(dict.fromkeys((*self._inventory_words, *poll.warnings))),
            gaps=poll.gaps,
            poll_ms=poll_ms,
            spent=self._spending.spent,
            tails=self._tails.fetch(connector, records),
        )
        changed = False
        for number, bite in enumerate(bites(batch, before, BITE)):
            if changed:
                time.sleep(BREATH_SECONDS)
            if number:
                failpoint("ingest.mid_batch")
            with self._shared.flood if len(bite.runs) >= FLOOD else nullcontext():
                done = store_ingest.ingest(store, target_id, bite, fence)
            changed = changed or bool(done.changed_run_ids or done.changed_job_ids)
        failpoint("ingest.after_commit")
        if changed or self._failures:
            self._shared.changed()  # what only time changes is looked at every few seconds anyway

    def _business_date(self, record: RunRecord) -> date:
        settings = self._place.system.settings
        at = record.period_at or record.started_at or record.queued_at or record.ended_at or self._shared.clock.now()
        return business_date(at, record.interval_start, settings.timezone, settings.cutoff)
