"""The engine's life: it waits for the lease, works while it holds it, and stops sending before it can pass on.

The lease is on real time. A holder that was stopped longer than the lease finds its writes refused by the fence.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from console.clean import clean_line
from console.engine.config_file import ConfigFile
from console.engine.crew import WORDS_LIMIT, Crew
from console.engine.own_alerts import OUTBOX, PARTS, STORE, OwnAlerts
from console.engine.wiring import Parts
from console.failpoints import failpoint
from console.store import lease as leases
from console.store.errors import LeaseLost, StoreError
from console.store.lease import HeldBy, Lease
from console.store.reads.holders import holder_name, is_dead_here

log = structlog.get_logger("headway.engine")

LEASE_NAME = "engine"
LEASE_SECONDS, RENEW_SECONDS = 15.0, 3.0
STAND_BY_SECONDS = 1.0
STOP_SECONDS = 2.5
"""For the parts' threads; a target that hangs is left behind."""
FINISH_SECONDS = 1.5
"""More, for what is being sent and answered."""
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Watch:
    """Why the parts must stop: a signal, or a lease that cannot be renewed in time."""

    stop: threading.Event
    valid_until: float
    """time.monotonic() after which nothing may be sent: a third of the lease before it can pass on."""

    def stopping(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.valid_until


class Engine:
    """Runs the parts while it holds the lease of their store."""

    def __init__(
        self,
        make_parts: Callable[[], Parts],
        parts: Parts,
        lease_seconds: float = LEASE_SECONDS,
        stands_by: bool = True,
        configs: ConfigFile | None = None,
    ) -> None:
        """`make_parts` goes by the newest of `configs`; without them the config of the parts stays what it is."""
        self._stands_by = stands_by
        self._configs = configs
        self._make_parts = make_parts
        self._parts = parts
        self._lease_seconds, self._renew_seconds = lease_seconds, min(RENEW_SECONDS, lease_seconds / 5)
        self._end = threading.Event()
        self._said = ""
        self._own = OwnAlerts()
        self._good: Parts | None = None  # the last that began
        self._unfit, self._why_unfit = "", ""  # digest of the config with which no parts could begin, and why

    def stop(self) -> None:
        """Ends the engine soon; safe from a signal handler."""
        self._end.set()

    def run(self) -> None:
        """Works until `stop`; without standing by, ends where another works already. A lease that a full disk kept it
        from freeing is its own."""
        if self._configs is not None:
            threading.Thread(target=self._configs.follow, args=(self._end,), name="config", daemon=True).start()
        told: HeldBy | None = None
        own = ""
        while not self._end.is_set():
            try:
                got = self._acquire()
                if isinstance(got, Lease):
                    told, own = None, got.holder
                    self._hold(got)
                    continue
            except StoreError as error:
                self._store_trouble(error)
                continue
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                self._surprise(error)
                continue
            if got is not None and not self._stands_by and got.holder != own:
                log.info("another engine works already", holder=got.holder)
                return
            if got is not None and (told is None or told.holder != got.holder):
                log.info("standing by", holder=got.holder, since=str(got.since))
            told = got
            self._end.wait(STAND_BY_SECONDS if got is not None else 0)
        self._parts.leave()

    def _acquire(self) -> Lease | HeldBy | None:
        """The lease, or who holds it; None when a dead holder's was freed just now."""
        got = leases.acquire(self._parts.store, LEASE_NAME, holder_name(), self._lease_seconds)
        if isinstance(got, HeldBy) and is_dead_here(got.holder):
            log.warning("the engine before died", holder=got.holder)
            leases.free_dead(self._parts.store, LEASE_NAME, got)
            return None
        if self._said:
            log.info("the store can be used again")
            self._said = ""
        return got

    def _store_trouble(self, error: StoreError) -> None:
        """Says it once for as long as it stays the same, and waits a little."""
        words = self._parts.secrets.mask(str(error))
        if words != self._said:
            log.warning("the engine waits for its store", error=words)
        self._said = words
        self._own.look(self._parts, None, {STORE: words})
        self._end.wait(STAND_BY_SECONDS)

    def _surprise(self, error: Exception) -> None:
        """Nothing can begin, or go on: somebody is told, and all is tried again."""
        words = self._in_words(error)
        log.error("the engine broke, it begins anew", error=words, exc_info=error)
        self._own.look(self._parts, None, {PARTS: words})
        self._end.wait(STAND_BY_SECONDS)

    def _in_words(self, error: Exception) -> str:
        return clean_line(self._parts.secrets.mask(f"{type(error).__name__}: {error}"), WORDS_LIMIT)

    def _hold(self, lease: Lease) -> None:
        """Works until the lease is lost or the engine ends. A newer config is taken up under the next fence of the same
        lease: no other engine, with an older file perhaps, gets in between."""
        failpoint("lease.acquired")
        try:
            while self._work(lease) and not self._end.is_set():
                lease = leases.begin_anew(self._parts.store, LEASE_NAME, lease)
        except LeaseLost:
            failpoint("lease.lost")
            log.warning("lease lost, standing by", fence=lease.fence)
        finally:
            self._free(lease)

    def _work(self, lease: Lease) -> bool:
        """Until the parts must end; True where they begin anew with a newer config. Raises LeaseLost, StoreError."""
        watch = Watch(threading.Event(), 0.0)
        crew: Crew | None = None
        try:
            self._own.know(self._parts)
            self._begin(lease)
            log.info("working", fence=lease.fence, config=self._parts.config.digest[:12])
            self._renew(lease, watch)  # to begin may have taken long
            crew = Crew(self._parts.running(), self._parts.secrets, watch.stopping)
            crew.start(lease.fence)
            self._renew_until_over(lease, watch, crew)
            return self._is_outdated()
        finally:
            watch.stop.set()
            self._finish(crew)
            if not self._end.is_set():
                self._parts = self._next_parts()

    def _begin(self, lease: Lease) -> None:
        """By the newest config; where a surprise keeps that from beginning, by the last one that began. Raises
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

    def _go_back(self, good: Parts, unfit: str, error: Exception) -> None:
        why = f"the config as it is now cannot be used, the one before goes on: {self._in_words(error)}"
        log.error("no parts can begin by this config", config=unfit[:12], error=why, exc_info=error)
        self._unfit = unfit
        self._why_unfit = f"{why} (since {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z; change it, or restart the engine)"
        self._parts = good.anew()

    def _next_parts(self) -> Parts:
        """By the newest config that may be fit; they know what the parts before them still send."""
        made = self._good.anew() if self._good is not None and self._is_unfit() else self._make_parts()
        made.follow(self._parts)
        return made

    @property
    def _newest(self) -> str:
        """Digest of the config as it is now; empty where that stays what it is."""
        return self._configs.config.digest if self._configs is not None else ""

    def _is_outdated(self) -> bool:
        """Whether the config has changed since the parts were made, to one that may be fit."""
        return self._newest not in ("", self._unfit, self._parts.config.digest)

    def _is_unfit(self) -> bool:
        return self._unfit != "" and self._newest == self._unfit

    def _renew(self, lease: Lease, watch: Watch) -> None:
        """Raises LeaseLost, StoreError."""
        failpoint("lease.before_renew")
        asked = time.monotonic()
        leases.renew(self._parts.store, LEASE_NAME, lease, self._lease_seconds)
        watch.valid_until = asked + self._lease_seconds * 2 / 3

    def _renew_until_over(self, lease: Lease, watch: Watch, crew: Crew) -> None:
        """Returns when the engine ends, or when its parts have stopped and must be made anew. Raises LeaseLost."""
        told = ""
        while not self._end.wait(self._renew_seconds):
            if watch.stopping():
                log.warning("the lease was not renewed in time; the parts have stopped and start anew")
                return
            if gone := crew.gone():
                log.error("a part has ended; all start anew", parts=", ".join(gone))
                return
            if self._is_outdated():
                log.info("all parts begin anew, with the config as it is now")
                return
            try:
                self._renew(lease, watch)
                told = self._tell_trouble(lease, self._trouble(crew), told)
                judging = self._parts.evaluator
                self._own.look(self._parts, lease.fence, _lasting(crew, judging.trouble, judging.unforeseen))
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                log.warning("lease not renewed", error=self._parts.secrets.mask(str(error)))
                if isinstance(error, StoreError):
                    self._own.look(self._parts, None, {STORE: str(error)})

    def _trouble(self, crew: Crew) -> str:
        config = self._configs.words() if self._configs is not None else ""
        words = [config, self._why_unfit * self._is_unfit(), self._parts.trouble(crew.trouble())]
        return "; ".join(filter(None, words))

    def _tell_trouble(self, lease: Lease, words: str, told: str) -> str:
        if words != told:
            leases.tell_trouble(self._parts.store, lease.fence, words)
        return words

    def _finish(self, crew: Crew | None) -> None:
        now = time.monotonic()
        hung = crew.join(now + STOP_SECONDS) if crew is not None else []
        if hung:
            log.warning("left behind", threads=", ".join(hung))
        self._parts.finish(now + STOP_SECONDS + FINISH_SECONDS)

    def _free(self, lease: Lease) -> None:
        try:
            leases.release(self._parts.store, LEASE_NAME, lease)
        except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
            log.warning("lease not freed", error=self._parts.secrets.mask(str(error)))


def _lasting(crew: Crew, *troubles: str) -> dict[str, str]:
    """The troubles that `OwnAlerts` knows, in words."""
    store, parts = crew.keeps_breaking()
    outbox = parts.pop("outbox", "")
    others = "; ".join([*(f"{name} {words}" for name, words in sorted(parts.items())), *filter(None, troubles)])
    return {key: words for key, words in ((STORE, store), (OUTBOX, outbox), (PARTS, others)) if words}


def stop_on_signals(engine: Engine, configs: ConfigFile | None = None) -> None:
    """SIGTERM and SIGINT end the engine within five seconds. So does SIGHUP where it was started at a terminal, which
    is gone then; elsewhere the config is read again."""
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    if configs is not None and not os.isatty(0):
        signal.signal(signal.SIGHUP, lambda *_: configs.ask())
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda *_: engine.stop())


def end_with_parent(parent: int = 0) -> None:
    """The kernel sends SIGTERM when the parent dies: engines of demo, lab and tests never outlive them. One that names
    itself may be dead already: without its pid, who has inherited this process would be taken for it."""
    parent = parent or os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def leave(code: int) -> NoReturn:
    """Ends the process although a thread may hang in a connector or sender: none of them is waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
