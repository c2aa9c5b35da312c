"""Several engines: this process polls the targets of the shards that it holds and sends their actions, with or without
the lease.

The engine with the lease decides, notifies and plans for the whole estate. Polls and actions are written under the
fence of their shard (`store.db.shards`), so a process that was stopped and resumes can write nothing there. It begins
and sends actions only in the first two thirds of the time for which it holds its shards. An engine works only while
its config is the one in effect, which the engine with the lease has written to the store, and the schema is its own:
in a rolling upgrade the older engines release their shards once a newer one has migrated the store.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.engine.actions.dispatcher import ActionDispatcher
from console.engine.actions.in_flight import ActionsInFlight
from console.engine.connector_pool import ConnectorPool, ConnectorTarget, configured_places
from console.engine.polling.poller import PollingContext, TargetPoller
from console.engine.polling.pool import PollPool
from console.engine.supervisor.config_sync import ConfigSync
from console.engine.supervisor.settings import audience
from console.engine.supervisor.supervisor import WorkerSupervisor
from console.engine.worker import MESSAGE_LIMIT, Pulse, WorkerFailures
from console.store.actions import ActionRow
from console.store.db import shards
from console.store.db.database import Database
from console.store.db.fence import Fence, ShardFence
from console.store.db.lease import holder_name
from console.store.db.schema_version import SCHEMA_QUERY, check_schema
from console.store.errors import GRANTS_FIX, StoreError, StoreOutdated, StoreTooNew, is_not_permitted
from console.store.ingest import targets
from console.store.meta import get_meta
from console.text.redact import sanitize
from console.timing.clock import Clock

log = structlog.get_logger("headway.poll")

RELEASE_SECONDS = 2.5
"""Time for the polls of a shard to end before it is released; the fence refuses what a hanging one still returns."""
ACTIONS = "actions of shards"
IDLE_SECONDS = 1.0
"""How often an engine without shards looks for some."""
PROMPT_THREADS = 48
"""More than for a store of one engine: most of their time they wait for the other writes of a group."""
AFTER_EXPIRY_SECONDS = 0.1
"""How soon after the expiry of another engine its shards are claimed."""


@dataclass(frozen=True, slots=True)
class PolledEstate:
    """The targets of one config, and what their pollers share."""

    config: Config
    context: PollingContext
    places: Mapping[int, ConnectorTarget]


class ShardPolling:
    """The pollers of this process on a shared store, and the dispatcher of their actions."""

    def __init__(self, store: Database, secrets: SecretStore, underway: ActionsInFlight) -> None:
        self._store, self._secrets, self._underway = store, secrets, underway
        self._holder = holder_name()
        self._led: PolledEstate | None = None
        """Of the assembly that had the lease last."""
        self._estate: PolledEstate | None = None
        self._places: Mapping[int, list[ConnectorTarget]] = {}
        """Shard -> its targets in `_estate`."""
        self._held: Mapping[int, int] = {}
        """Shard -> fence."""
        self._expiry_at = math.inf
        """When another engine's shards may be free, by `time.monotonic`."""
        self._polled: dict[int, ShardFence] = {}
        """Shard -> the fence under which its targets are polled."""
        self.failures = WorkerFailures(secrets)
        self._pool = PollPool(self.failures, prompt_threads=PROMPT_THREADS)
        self._shard_of: Mapping[int, int] = {}
        """Target id -> shard, of the targets in `_places`."""
        self._acting: Mapping[int, int] = {}
        """Shard -> fence, of those whose actions are sent, until `_acting_until` by `time.monotonic`."""
        self._acting_until = 0.0
        self._actions: tuple[ActionDispatcher, WorkerSupervisor] | None = None
        self._actions_over = threading.Event()
        self._idle = ""
        """Why this process polls nothing; empty if it polls."""
        self._trouble = ""
        self.wake = threading.Event()
        self.pulse = Pulse()

    def lead(self, estate: PolledEstate) -> None:
        """Called by the assembly that has the lease: the context of `estate` wakes its evaluator. Polls under the same
        config go on."""
        self._led = estate
        self.wake.set()

    def run(
        self, stopping: Callable[[], bool], newest: Callable[[], Config], lease_seconds: float, renew_seconds: float
    ) -> None:
        """Renews, claims and releases shards until `stopping`, then releases all. `newest`: the newest valid config of
        this process."""
        WorkerSupervisor([("polls of shards", self._pool)], self.failures, stopping).start(0)
        while not stopping():
            self.wake.clear()
            self.pulse.beat(renew_seconds)
            self._expiry_at = math.inf
            try:
                self.step(newest(), lease_seconds)
                self._report("")
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the polling
                self._report(error if isinstance(error, StoreError) else f"{type(error).__name__}: {error}", error)
            if not stopping():
                pause = renew_seconds if self._held else min(renew_seconds, IDLE_SECONDS)
                self.wake.wait(max(0.0, min(pause, self._expiry_at + AFTER_EXPIRY_SECONDS - time.monotonic())))
        until = time.monotonic() + RELEASE_SECONDS
        self._actions_over.set()
        self._stop(list(self._polled))
        self._end_actions(until)
        try:
            shards.leave(self._store, self._holder, self._held)
        except Exception as error:  # noqa: BLE001 - the shards are free when the lease expires
            log.warning("shards not released", error=sanitize(str(error), self._secrets.mask))

    def step(self, newest: Config, lease_seconds: float) -> None:
        """One renewal, with what follows from it. Raises StoreError."""
        refusal = ""
        with self._store.read() as session:
            digest = get_meta(session, "config_digest")
            try:
                check_schema(session.rows(SCHEMA_QUERY), self._store.place)
            except (StoreTooNew, StoreOutdated) as error:
                refusal = str(error)
        estate = None if refusal else self._estate_of(digest, newest)
        if estate is not self._estate:
            self._stop(list(self._polled))
            self._adopt(estate)
        if estate is None:
            missing = "no engine has synced a config yet" if digest is None else "its config is not the one in effect"
            why = refusal or missing
            if why != self._idle:
                log.warning("polls nothing", why=why)
            self._idle = why
            shards.poll_nothing(self._store, self._holder, self._held, f"polls nothing: {why}")
            self._held = {}
            return
        self._idle, began = "", time.monotonic()
        held = shards.hold_shards(self._store, self._holder, self._held, lease_seconds, self.failures.trouble())
        shares = {shard: fence for shard, fence in held.fences.items() if shard not in held.surplus}
        if lost := [shard for shard, fence in self._held.items() if held.fences.get(shard) != fence]:
            log.warning("shards lost", shards=len(lost))
        if self._held != shares:
            log.info("shards held", shards=len(shares), released=len(held.surplus))
        self._held, self._expiry_at = held.fences, time.monotonic() + held.expiry_s
        self._acting, self._acting_until = shares, began + lease_seconds * 2 / 3
        self._start_all(shares)
        ended = [
            shard
            for shard, fence in self._polled.items()
            if shares.get(shard) != fence.fence or self._pool.is_lost(fence)
        ]
        self._stop(ended)
        if held.surplus:
            shards.release_shards(self._store, self._holder, {shard: held.fences[shard] for shard in held.surplus})
            self._held = shares
        self._start_all(shares)

    def poll_now(self, target_id: int) -> None:
        """Polls the target at once if this process polls it."""
        self._pool.poll_now(target_id)

    def pulses(self) -> dict[str, Pulse]:
        """Of the pollers, the dispatcher of actions, and the renewal."""
        own = {"shards": self.pulse, "polls of shards": self._pool.pulse}
        if (actions := self._actions) is not None:
            own[ACTIONS] = actions[0].pulse
        return own | self._pool.pulses()

    def trouble(self) -> str:
        """Problems of the renewal and of the pollers, as text; empty if none."""
        return "; ".join(filter(None, [self._trouble, self.failures.trouble()]))

    def _estate_of(self, digest: str | None, newest: Config) -> PolledEstate | None:
        """The estate of the config in effect; None if this process does not have that config."""
        if digest is None:
            return None
        for known in (self._estate, self._led):
            if known is not None and known.config.digest == digest:
                return known
        if newest.digest != digest:
            return None
        places = configured_places(self._store, newest)
        clock, connectors = Clock(self._store.clock_setting), ConnectorPool(places, self._secrets)
        sync = ConfigSync(lambda: newest, self._store, clock, lambda _: None)
        context = PollingContext(self._store, clock, connectors, self._secrets, lambda: None, sync.sync_changed_jobs)
        return PolledEstate(newest, context, places)

    def _adopt(self, estate: PolledEstate | None) -> None:
        places: dict[int, list[ConnectorTarget]] = defaultdict(list)
        if estate is not None:
            systems = targets.systems_of_targets(self._store)
            for target_id, place in estate.places.items():
                if not place.is_local:
                    places[shards.shard_of(systems[target_id])].append(place)
        self._end_actions(time.monotonic() + RELEASE_SECONDS)
        self._estate, self._places, self._acting = estate, places, {}
        self._shard_of = {place.target_id: shard for shard, of_shard in places.items() for place in of_shard}
        if estate is not None:
            self._start_actions(estate)

    def _start_actions(self, estate: PolledEstate) -> None:
        context, self._actions_over = estate.context, threading.Event()
        dispatcher = ActionDispatcher(
            self._store, context.clock, context.connectors, self._secrets, self.poll_now, self._underway,
            moved=self._changed, audience=audience(estate.config), fence_of=self._fence_of, leads=False,
        )  # fmt: skip
        worker = WorkerSupervisor([(ACTIONS, dispatcher)], self.failures, self._actions_over.is_set)
        self._actions = dispatcher, worker
        worker.start(0)

    def _end_actions(self, until: float) -> None:
        """Ends the dispatcher. Threads that hang when `time.monotonic` reaches `until` are abandoned; they send nothing
        new."""
        self._actions_over.set()
        if self._actions is not None:
            dispatcher, worker = self._actions
            if hung := worker.join(until):
                log.warning("left behind", threads=", ".join(hung))
            dispatcher.close()
        self._actions = None

    def _fence_of(self, action: ActionRow, _: Fence) -> ShardFence | None:
        """The fence under which this process sends the action; None if it may not."""
        shard = self._shard_of.get(action.target_id)
        fence = None if shard is None else self._acting.get(shard)
        if shard is None or fence is None or time.monotonic() > self._acting_until:
            return None
        return ShardFence(shard, fence)

    def _start_all(self, shares: Mapping[int, int]) -> None:
        """Polls these shards (shard -> fence), without those that are polled already."""
        if self._estate is None:
            return
        context = replace(self._estate.context, changed=self._changed, jobs_changed=self._jobs_changed)
        for shard in shares.keys() & self._places.keys() - self._polled.keys():
            fence = self._polled[shard] = ShardFence(shard, shares[shard])
            self._pool.add(fence, [TargetPoller(context, place) for place in self._places[shard]])

    def _changed(self) -> None:
        if (context := self._context()) is not None:
            context.changed()

    def _jobs_changed(self, fence: Fence, ended: Callable[[bool], None]) -> bool:
        context = self._context()
        return context is None or context.jobs_changed(fence, ended)

    def _context(self) -> PollingContext | None:
        """That of the newest assembly, if its config is polled: pollers outlive assemblies."""
        led, polled = self._led, self._estate
        estate = led if led is not None and polled is not None and led.config.digest == polled.config.digest else polled
        return None if estate is None else estate.context

    def _stop(self, ended: list[int]) -> None:
        """Ends the polls of these shards; hanging ones are abandoned."""
        fences = [self._polled.pop(shard) for shard in ended]
        if hung := self._pool.remove(fences, time.monotonic() + RELEASE_SECONDS):
            log.warning("left behind", polls=", ".join(hung))

    def _report(self, trouble: object, error: Exception | None = None) -> None:
        """Reports a problem once while it stays the same."""
        text = sanitize(str(trouble).partition("\n")[0], self._secrets.mask, MESSAGE_LIMIT, on_one_line=True)
        text += GRANTS_FIX if is_not_permitted(error) else ""
        message = f"shards not renewed: {text}" if text else ""
        if message != self._trouble:
            unexpected = error is not None and not isinstance(error, StoreError)
            log.warning("shards not renewed", error=text or "resolved", exc_info=error if unexpected else None)
        self._trouble = message
