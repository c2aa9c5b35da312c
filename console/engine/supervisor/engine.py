"""The engine process: waits for the lease, works while it holds it, and stops sending before it can pass on.

The lease is on real time. A holder that was suspended for longer than the lease finds its writes refused by the
fence.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from console.engine.notify.self_monitoring import OUTBOX, PARTS, STORE, SelfMonitor
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.config_reload import ConfigWatcher
from console.engine.supervisor.supervisor import WorkerSupervisor
from console.engine.worker import MESSAGE_LIMIT, WorkerFailures, grouped_reasons
from console.failpoints import failpoint
from console.store.db import lease as leases
from console.store.db.database import Database, open_database
from console.store.db.lease import HeldLease, LeaseHolder, holder_name, is_provably_dead
from console.store.errors import LeaseLost, StoreError, StoreOutdated, StoreTooNew, StoreUnusable, is_full
from console.text.redact import sanitize

log = structlog.get_logger("headway.engine")

LEASE_SECONDS, RENEW_SECONDS = 15.0, 3.0
STANDBY_SECONDS = 1.0
STOP_SECONDS = 2.5
"""Time for the workers' threads to end; hanging ones are abandoned."""
FINISH_SECONDS = 1.5
"""Additional time for sends and requests in progress."""
MIN_JOIN_SECONDS = 0.5
"""For the release of shards after all other work."""
PR_SET_PDEATHSIG = 1
WAITS_FOR_LEASE = "waiting for the lease"
WAITS_FOR_STORE = "the engine waits for its store"
TAKES_OVER = "this engine takes over when that one stops or dies"
POLLS_MEANWHILE = f"this engine polls its share of the systems; {TAKES_OVER.removeprefix('this engine ')}"


def open_store(url: str, mask: Callable[[str], str]) -> Database:
    """The store; waits for a server that has no free connection. Raises as `open_database`."""
    waits = False
    while True:
        try:
            return open_database(url)
        except StoreUnusable as error:
            if not is_full(error):
                raise
            if not waits:
                log.warning(WAITS_FOR_STORE, error=sanitize(str(error), mask))
            waits = True
            time.sleep(STANDBY_SECONDS)


@dataclass(slots=True)
class LeaseWatch:
    """Why the workers must stop: a signal, or a lease that was not renewed in time. A later renewal does not revoke it:
    some of them have stopped by then."""

    stop: threading.Event
    valid_until: float
    """time.monotonic() after which nothing may be sent: a third of the lease before it can pass on."""

    def stopping(self) -> bool:
        if time.monotonic() > self.valid_until:
            self.stop.set()
        return self.stop.is_set()


class Engine:
    """Runs the workers while it holds the lease of their store."""

    def __init__(
        self,
        make_parts: Callable[[], EngineAssembly],
        parts: EngineAssembly,
        lease_seconds: float = LEASE_SECONDS,
        standby: bool = True,
        configs: ConfigWatcher | None = None,
        on_standby: Callable[[LeaseHolder], object] | None = None,
    ) -> None:
        """`make_parts` uses the newest of `configs`; without them the config never changes. `on_standby` is called
        once for each other engine that this one waits for."""
        self._on_standby = on_standby
        self._standby = standby
        self._configs = configs
        self._make_parts = make_parts
        self._parts = parts
        self._lease_seconds, self._renew_seconds = lease_seconds, min(RENEW_SECONDS, lease_seconds / 5)
        self._end = threading.Event()
        self._stopped_at = 0.0
        self._shards = parts.shards
        self._polling: threading.Thread | None = None
        self._last_trouble = ""
        self._own = SelfMonitor()
        self._good: EngineAssembly | None = None  # the last assembly that started
        self._refused, self._why_refused = "", ""  # digest of the config that could not start, and why

    def stop(self) -> None:
        """Stops the engine soon; safe in a signal handler."""
        self._stopped_at = time.monotonic()
        self._end.set()
        if self._shards is not None:
            self._shards.wake.set()

    def run(self) -> None:
        """Runs until `stop`; without standby, returns if another engine is running. On a shared store it polls its
        shards meanwhile; without standby, only once it has the lease. A lease that could not be released because the
        disk was full is recognized as its own."""
        if self._configs is not None:
            threading.Thread(target=self._configs.follow, args=(self._end,), name="config", daemon=True).start()
        if self._standby:
            self._start_shards()
        self._run()
        if self._polling is not None:
            if not self._end.is_set():
                self.stop()
            until = self._stopped_at + STOP_SECONDS + FINISH_SECONDS
            self._polling.join(max(MIN_JOIN_SECONDS, until - time.monotonic()))
        self._parts.leave()
        leases.note_engine_end(self._parts.store.path, holder_name())

    def _start_shards(self) -> None:
        """Polls shards until the end. They expire one renewal before a lease does: an engine that died right after a
        renewal is replaced, and its systems are polled again, within a lease. Polls have fences, so an early expiry
        is safe."""
        if self._shards is None or self._polling is not None:
            return
        configs, first = self._configs, self._parts.config
        arguments = (
            self._end.is_set,
            lambda: first if configs is None else configs.config,
            self._lease_seconds - self._renew_seconds,
            self._renew_seconds,
        )
        self._polling = threading.Thread(target=self._shards.run, args=arguments, name="shards", daemon=True)
        self._polling.start()

    def _run(self) -> None:
        announced: LeaseHolder | None = None
        own = ""
        while not self._end.is_set():
            began: float | None = time.monotonic()
            try:
                answer = self._acquire()
                began = None
                if isinstance(answer, HeldLease):
                    announced, own = None, answer.holder
                    self._start_shards()
                    self._work_under(answer)
                    continue
            except StoreError as error:
                self._store_trouble(error, began)
                continue
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                self._surprise(error)
                continue
            if answer is not None and not self._standby and answer.holder != own:
                log.info("another engine works already", holder=answer.holder)
                return
            if answer is not None and (announced is None or announced.holder != answer.holder):
                log.info(WAITS_FOR_LEASE, holder=answer.holder, since=str(answer.since), next=self.standby_text)
                if self._on_standby is not None:
                    self._on_standby(answer)
            announced = answer
            self._end.wait(STANDBY_SECONDS if answer is not None else 0)

    @property
    def standby_text(self) -> str:
        """The work of this engine while another one holds the lease."""
        return TAKES_OVER if self._shards is None else POLLS_MEANWHILE

    def _acquire(self) -> HeldLease | LeaseHolder | None:
        """The lease, or its holder; None if a dead holder's lease was released just now."""
        got = leases.acquire_lease(self._parts.store, holder_name(), self._lease_seconds)
        self._own.lease_since = got.since
        self._own.store_id = self._own.store_id or leases.store_id(self._parts.store)
        if isinstance(got, LeaseHolder) and is_provably_dead(got.holder):
            log.warning("the engine before died", holder=got.holder)
            leases.free_dead(self._parts.store, got)
            return None
        if self._last_trouble:
            log.info("the store can be used again")
            self._last_trouble = ""
        self._own.leads = got.holder == holder_name()  # also of a lease that it could not release
        if isinstance(got, HeldLease):
            leases.note_engine(self._parts.store.path, got.holder)
        if not self._own.leads:
            self._own.note_standby(self._parts, self._lease_seconds)
        return got

    def _store_trouble(self, error: StoreError, began: float | None) -> None:
        """Reports a store error once while it stays the same, and waits a little. `began`: as `SelfMonitor.report`."""
        text = sanitize(str(error), self._parts.secrets.mask)
        if text != self._last_trouble:
            log.warning(WAITS_FOR_STORE, error=text)
        self._last_trouble = text
        self._own.report(self._parts, None, {STORE: text}, began)
        self._end.wait(STANDBY_SECONDS)

    def _surprise(self, error: Exception) -> None:
        """Reports an unexpected error of the engine; everything is retried."""
        text = self._trouble_text(error)
        log.error("the engine failed and restarts", error=text, exc_info=error)
        self._own.report(self._parts, None, {PARTS: text})
        self._end.wait(STANDBY_SECONDS)

    def _trouble_text(self, error: Exception) -> str:
        return sanitize(f"{type(error).__name__}: {error}", self._parts.secrets.mask, MESSAGE_LIMIT, on_one_line=True)

    def _work_under(self, lease: HeldLease) -> None:
        """Runs until the lease is lost or the engine stops. A newer config starts under the next fence of the same
        lease, so that no other engine, perhaps with an older file, takes over in between."""
        failpoint("lease.acquired")
        try:
            while self._work(lease) and not self._end.is_set():
                lease = leases.renew_fence(self._parts.store, lease)
        except LeaseLost:
            failpoint("lease.lost")
            log.warning(f"lease lost, {WAITS_FOR_LEASE}", fence=lease.fence)
        finally:
            self._free(lease)

    def _work(self, lease: HeldLease) -> bool:
        """Runs the workers until they must end; True if they restart with a newer config. Raises LeaseLost,
        StoreError."""
        watch = LeaseWatch(threading.Event(), 0.0)
        workers: WorkerSupervisor | None = None
        try:
            self._own.cache_modes(self._parts)
            self._begin(lease)
            log.info("working", fence=lease.fence, config=self._parts.config.digest[:12])
            self._renew(lease, watch)  # starting may have taken long
            workers = WorkerSupervisor(self._parts.running(), self._parts.failures, watch.stopping)
            workers.start(lease.fence)
            self._renew_until_over(lease, watch, workers)
            return self._is_outdated()
        finally:
            watch.stop.set()
            self._finish(workers)
            if not self._end.is_set():
                self._parts = self._next_parts()

    def _begin(self, lease: HeldLease) -> None:
        """Starts with the newest config; if that fails unexpectedly, with the last one that started. Raises
        LeaseLost, StoreError."""
        newest = self._newest
        try:
            if self._is_outdated():
                self._parts = self._next_parts()
            self._parts.begin(lease.fence)
        except Exception as error:
            if isinstance(error, StoreError) or self._good is None or newest in ("", self._good.config.digest):
                raise
            self._go_back(self._good, newest, error)
            self._parts.begin(lease.fence)
        self._good = self._parts

    def _go_back(self, good: EngineAssembly, digest: str, error: Exception) -> None:
        why = f"the changed config is invalid, the previous one stays in use: {self._trouble_text(error)}"
        log.error("no parts can begin by this config", config=digest[:12], error=why, exc_info=error)
        self._refused = digest
        self._why_refused = f"{why} (since {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z; change it, or restart the engine)"
        self._parts = good.anew()

    def _next_parts(self) -> EngineAssembly:
        """An assembly of the newest config that may work; it takes over what the one before has in flight."""
        made = self._good.anew() if self._good is not None and self._is_refused() else self._make_parts()
        made.follow(self._parts)
        return made

    @property
    def _newest(self) -> str:
        """Digest of the present config; empty if it never changes."""
        return self._configs.config.digest if self._configs is not None else ""

    def _is_outdated(self) -> bool:
        """Whether the config has changed since the assembly was made, to one that may work."""
        return self._newest not in ("", self._refused, self._parts.config.digest)

    def _is_refused(self) -> bool:
        return self._refused != "" and self._newest == self._refused

    def _renew(self, lease: HeldLease, watch: LeaseWatch) -> None:
        """Raises LeaseLost, StoreError."""
        failpoint("lease.before_renew")
        started = time.monotonic()
        leases.renew_lease(self._parts.store, lease, self._lease_seconds)
        watch.valid_until = started + self._lease_seconds * 2 / 3

    def _renew_until_over(self, lease: HeldLease, watch: LeaseWatch, workers: WorkerSupervisor) -> None:
        """Renews the lease until the engine stops, or until the workers have ended and must restart. Raises
        LeaseLost; StoreTooNew or StoreOutdated for a store that this version must not write."""
        recorded = ""
        while not self._end.wait(self._renew_seconds):
            if watch.stopping():
                log.warning("the lease was not renewed in time; its workers have stopped and restart")
                return
            if ended := workers.gone():
                log.error("a worker has ended; all restart", parts=", ".join(ended))
                return
            if self._is_outdated():
                log.info("all workers restart with the current config")
                return
            began = time.monotonic()
            try:
                self._renew(lease, watch)
                if (trouble := self._trouble()) != recorded:
                    leases.record_trouble(self._parts.store, lease.fence, trouble)
                recorded = trouble
                evaluator = self._parts.evaluator
                failures = [self._parts.failures, *([self._shards.failures] if self._shards is not None else [])]
                troubles = _persistent_troubles(failures, evaluator.trouble, evaluator.unforeseen)
                self._own.report(self._parts, lease.fence, troubles, have_lasted=True)
            except (LeaseLost, StoreTooNew, StoreOutdated):
                raise
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                log.warning("lease not renewed", error=sanitize(str(error), self._parts.secrets.mask))
                if isinstance(error, StoreError):
                    self._own.report(self._parts, None, {STORE: str(error)}, began)

    def _trouble(self) -> str:
        config = self._configs.trouble_text() if self._configs is not None else ""
        text = [config, self._why_refused * self._is_refused(), self._parts.trouble(self._parts.failures.trouble())]
        return "; ".join(filter(None, text))

    def _finish(self, workers: WorkerSupervisor | None) -> None:
        now = time.monotonic()
        hung = workers.join(now + STOP_SECONDS) if workers is not None else []
        if hung:
            log.warning("left behind", threads=", ".join(hung))
        self._parts.finish(now + STOP_SECONDS + FINISH_SECONDS)

    def _free(self, lease: HeldLease) -> None:
        try:
            leases.release_lease(self._parts.store, lease)
        except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
            log.warning("lease not freed", error=sanitize(str(error), self._parts.secrets.mask))


def _persistent_troubles(failures: Sequence[WorkerFailures], *troubles: str) -> dict[str, str]:
    """Problems by the keys of SelfMonitor."""
    store, parts = "", dict[str, str]()
    for workers in failures:
        of_store, of_parts = workers.keeps_breaking()
        store, parts = store or of_store, parts | of_parts
    outbox = parts.pop("outbox", "")
    part_troubles = "; ".join(filter(None, [grouped_reasons(parts), *troubles]))
    return {key: text for key, text in ((STORE, store), (OUTBOX, outbox), (PARTS, part_troubles)) if text}


def stop_on_signals(engine: Engine, configs: ConfigWatcher | None = None) -> None:
    """Installs signal handlers: SIGTERM and SIGINT stop the engine within five seconds. So does SIGHUP if it was
    started at a terminal, which is gone then; otherwise the config is read again."""
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    if configs is not None and not os.isatty(0):
        signal.signal(signal.SIGHUP, lambda *_: configs.ask())
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda *_: engine.stop())


def exit_with_parent(parent: int = 0) -> None:
    """Asks the kernel for SIGTERM when the parent dies, so that engines of demo and tests do not outlive it.
    `parent`: its pid, as it may have died already."""
    parent = parent or os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def exit_process(code: int) -> NoReturn:
    """Ends the process without waiting for threads that hang in a connector or sender."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
