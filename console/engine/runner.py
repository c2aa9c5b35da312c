"""The engine's life: it waits for the lease, works while it holds it, and stops sending before it can pass on.

The lease is on real time. A holder that was stopped longer than the lease finds its writes refused by the fence.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from console.engine.wiring import Parts
from console.failpoints import failpoint
from console.store import lease as leases
from console.store.errors import LeaseLost
from console.store.lease import HeldBy, Lease

log = structlog.get_logger("headway.engine")

LEASE_NAME = "engine"
LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
STAND_BY_SECONDS = 1.0
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1


def holder_name() -> str:
    """Who holds the lease: "host:pid~where"; `where` tells this boot and process namespace from others."""
    return f"{socket.gethostname()}:{os.getpid()}~{_where()}"


def is_dead_here(holder: str) -> bool:
    """True when `holder` was a process of this very machine, boot and namespace, and is gone."""
    host, _, process = holder.rpartition(":")
    pid, _, where = process.partition("~")
    if host != socket.gethostname() or where != _where() or not pid.isdigit():
        return False
    return not Path(f"/proc/{pid}").exists()


def _where() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:6]


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

    def __init__(self, make_parts: Callable[[], Parts], parts: Parts) -> None:
        self._make_parts = make_parts
        self._parts = parts
        self._end = threading.Event()

    def stop(self) -> None:
        """Ends the engine soon; safe from a signal handler."""
        self._end.set()

    def run(self, once: Callable[[], bool] | None = None) -> None:
        """Works until `stop`. `once` is asked between renewals whether enough is done."""
        told: HeldBy | None = None
        while not self._end.is_set():
            got = leases.acquire(self._parts.store, LEASE_NAME, holder_name(), LEASE_SECONDS)
            if isinstance(got, HeldBy):
                if is_dead_here(got.holder):
                    log.warning("the engine before died", holder=got.holder)
                    leases.free_dead(self._parts.store, LEASE_NAME, got)
                    continue
                if told is None or told.holder != got.holder:
                    log.info("standing by", holder=got.holder, since=str(got.since))
                told = got
                self._end.wait(STAND_BY_SECONDS)
                continue
            told = None
            failpoint("lease.acquired")
            log.info("working", fence=got.fence)
            self._hold(got, once)

    def _hold(self, lease: Lease, once: Callable[[], bool] | None) -> None:
        watch = Watch(threading.Event(), time.monotonic() + LEASE_SECONDS * 2 / 3)
        try:
            self._parts.begin(lease.fence)
            threads = self._start(lease.fence, watch)
        except LeaseLost:
            log.warning("lease lost at once")
            return
        try:
            self._renew_until_over(lease, watch, once)
        finally:
            watch.stop.set()
            self._parts.wake_all()
            self._join(threads)
            self._parts.finish()
            self._free(lease)
            if not self._end.is_set():
                self._parts = self._make_parts()

    def _start(self, fence: int, watch: Watch) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=part.run, args=(fence, watch.stopping), name=name, daemon=True)
            for name, part in self._parts.running()
        ]
        for thread in threads:
            thread.start()
        return threads

    def _renew_until_over(self, lease: Lease, watch: Watch, once: Callable[[], bool] | None) -> None:
        while not self._end.wait(0.2 if once else RENEW_SECONDS):
            failpoint("lease.before_renew")
            try:
                leases.renew(self._parts.store, LEASE_NAME, lease, LEASE_SECONDS)
            except LeaseLost:
                failpoint("lease.lost")
                log.warning("lease lost, standing by", fence=lease.fence)
                return
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                log.warning("lease not renewed", error=type(error).__name__)
                if watch.stopping():
                    return
                continue
            watch.valid_until = time.monotonic() + LEASE_SECONDS * 2 / 3
            if once is not None and once():
                self._end.set()

    def _join(self, threads: list[threading.Thread]) -> None:
        until = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        hung = [thread.name for thread in threads if thread.is_alive()]
        if hung:
            log.warning("left behind", threads=hung)

    def _free(self, lease: Lease) -> None:
        try:
            leases.release(self._parts.store, LEASE_NAME, lease)
        except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
            log.warning("lease not freed", error=type(error).__name__)


def stop_on_signals(engine: Engine) -> None:
    """SIGTERM, SIGINT and SIGHUP end the engine within five seconds."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: engine.stop())


def end_with_parent() -> None:
    """The kernel sends SIGTERM when the parent dies: engines of demo, lab and tests never outlive them."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
