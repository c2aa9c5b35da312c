"""The inbound door: one thread, many connections, and an answer only once the report is on the disk.

Whoever is slow, silent or talks nonsense costs a place among MOST_CONNECTIONS until its time is over, and nobody else's
report waits for it: where all places are taken, the one that has been at it longest goes.
"""

from __future__ import annotations

import selectors
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from connectors.contract import ConnectorError, Secrets
from connectors.heartbeat.limits import Rate
from connectors.heartbeat.options import HeartbeatOptions
from connectors.heartbeat.ping import A_NUMBER, LOG, START, TOKEN, Ping, Refused, digest, read
from connectors.heartbeat.spool import Spool, now
from connectors.heartbeat.wire import Exchange

MOST_CONNECTIONS = 256
BACKLOG = 512
REQUEST_SECONDS = 30.0
"""For a request as a whole, however its bytes drip."""
GOODBYE_SECONDS = 2.0
"""After the answer, for the sender to take it."""
READ_BYTES = 16384
PINGS_A_MINUTE = 60
"""Of each job."""
WRONG_A_MINUTE = 60
"""Tokens that nobody has, of all senders together; more are not looked at. A right token passes all the same."""
BEAT_SECONDS = 3.0
TIDY_SECONDS = 3600.0
RETRY_SECONDS = 10


@dataclass(slots=True)
class _Caller:
    """One connection. `until`: by time.monotonic."""

    socket: socket.socket
    exchange: Exchange
    until: float
    answered: bool = False


@dataclass
class Door:
    """Listens at the address of its options, from the first `refresh` on."""

    options: HeartbeatOptions
    arrived: Callable[[], None]
    """Called after reports were written."""
    tokens: Mapping[str, bytes] = field(default_factory=dict)
    _words: str = ""
    _fault: str = ""

    def __post_init__(self) -> None:
        self._closing = threading.Event()
        self._open()

    def _open(self) -> None:
        """Has the address and the spool; nobody is heard before the thread starts."""
        host, port = self.options.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        try:
            self._spool = Spool(self.options.spool_file)
            self._spool.opens(now())
        except BaseException:
            self._listener.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_here, self._wake_there = socket.socketpair()
        self._selector.register(self._wake_here, selectors.EVENT_READ)
        self._callers: dict[socket.socket, _Caller] = {}
        self._whole: list[_Caller] = []
        self._rates: dict[str, Rate] = {}
        self._wrong = Rate(WRONG_A_MINUTE)
        self._thread = threading.Thread(target=self._run, name=f"door {self.options.listen}", daemon=True)
        self._beat_at = self._tidy_at = 0.0

    def refresh(self, options: HeartbeatOptions, secrets: Secrets) -> str:
        """Reads every token anew and opens, where it is not open yet or not any more; what is wrong, in words."""
        tokens, faults = _tokens(options, secrets)
        self.options, self.tokens, self._words = options, tokens, "; ".join(faults)
        if not self._thread.is_alive() and not self._closing.is_set():
            self._begin()
        return self.trouble

    def _begin(self) -> None:
        """A thread that ended, by whatever nobody thought of, has let go of everything: all is opened anew."""
        if self._thread.ident is not None:
            try:
                self._open()
            except (OSError, sqlite3.Error) as error:
                self._fault = f"it cannot listen again: {error}"
                return
            self._fault = ""
        self._thread.start()

    @property
    def trouble(self) -> str:
        gone = "" if self._thread.is_alive() else "its thread has ended"
        return "; ".join(filter(None, (self._words, self._fault, gone)))

    def close(self) -> None:
        """Listens no more; what was answered stands in the spool."""
        self._closing.set()
        with suppress(OSError):
            self._wake_there.send(b"x")
        if self._thread.is_alive():
            self._thread.join(2)
        else:
            self._end()

    # -- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select(BEAT_SECONDS / 2):
                    self._hear(key.fileobj)
                self._write()
                self._expire()
                self._beat()
        finally:
            self._end()

    def _end(self) -> None:
        for caller in list(self._callers.values()):
            self._drop(caller)
        for one in (self._selector, self._listener, self._wake_here, self._wake_there, self._spool):
            one.close()

    def _hear(self, ready: object) -> None:
        if ready is self._listener:
            self._accept()
        elif isinstance(ready, socket.socket) and (caller := self._callers.get(ready)) is not None:
            self._read(caller)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # too many files are open: one of ours goes, so that the next caller is heard
            self._drop_oldest()
            return
        if len(self._callers) >= MOST_CONNECTIONS:
            self._drop_oldest()
        sock.setblocking(False)
        self._callers[sock] = _Caller(sock, Exchange(self._admit), time.monotonic() + REQUEST_SECONDS)
        self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, caller: _Caller) -> None:
        try:
            data = caller.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(caller)
            return
        if caller.answered or caller.exchange.is_over:
            if not data:
                self._drop(caller)
            return
        now_to_send = caller.exchange.receive(data)
        if now_to_send:
            self._send(caller, now_to_send)
        if caller.exchange.refused is not None:
            self._answer(caller, caller.exchange.refused.status, caller.exchange.refused.why)
        elif caller.exchange.whole:
            self._whole.append(caller)

    def _admit(self, method: str, target: str, authorization: str) -> Ping:
        """The ping, of a job that has not sent too many. Raises Refused."""
        try:
            ping = read(method, target, authorization, self.tokens)
        except Refused as refused:
            if refused.status in (401, 404) and not self._wrong.allows():
                raise Refused(429, "too many requests with a token that nobody has") from None
            raise
        if not self._rates.setdefault(ping.job, Rate(PINGS_A_MINUTE)).allows():
            raise Refused(429, f"more than {PINGS_A_MINUTE} reports of this job in a minute")
        return ping

    def _write(self) -> None:
        """All that is whole goes to the disk together, and is answered then."""
        callers, self._whole = self._whole, []
        told = [(one.exchange.ping, one.exchange.body, one.exchange.left_out) for one in callers]
        pings = [(ping, body, left_out) for ping, body, left_out in told if ping is not None]
        if not pings:
            return
        try:
            kept = self._spool.take(pings, now())
            self._fault = ""
        except (sqlite3.Error, OSError) as error:
            self._fault = f"its spool {self.options.spool_file} cannot be written: {error}"
            for caller in callers:
                self._answer(caller, 503, "not kept: send it again", RETRY_SECONDS)
            return
        for caller, is_kept in zip(callers, kept, strict=True):
            self._answer(caller, *_answer(caller.exchange, is_kept))
        self.arrived()

    def _answer(self, caller: _Caller, status: int, words: str, retry_after: int = 0) -> None:
        caller.answered, caller.until = True, time.monotonic() + GOODBYE_SECONDS
        wait = retry_after or (RETRY_SECONDS if status == 429 else 0)
        self._send(caller, caller.exchange.answer(status, words, wait))
        with suppress(OSError):
            caller.socket.shutdown(socket.SHUT_WR)

    def _send(self, caller: _Caller, data: bytes) -> None:
        """An answer fits into the socket's buffer; a sender that left it full gets none."""
        with suppress(OSError):
            caller.socket.send(data)

    def _expire(self) -> None:
        moment = time.monotonic()
        for caller in [one for one in self._callers.values() if one.until < moment]:
            if caller.answered:
                self._drop(caller)
            else:
                self._answer(caller, 408, f"not whole within {REQUEST_SECONDS:.0f} s")

    def _drop_oldest(self) -> None:
        if self._callers:
            self._drop(min(self._callers.values(), key=lambda one: one.until))

    def _drop(self, caller: _Caller) -> None:
        del self._callers[caller.socket]
        self._selector.unregister(caller.socket)
        caller.socket.close()

    def _beat(self) -> None:
        moment = time.monotonic()
        if moment < self._beat_at:
            return
        self._beat_at = moment + BEAT_SECONDS
        try:
            self._spool.listens(now())
            if moment >= self._tidy_at:
                self._tidy_at = moment + TIDY_SECONDS
                self._spool.tidy()
            self._fault = ""
        except (sqlite3.Error, OSError) as error:
            self._fault = f"its spool {self.options.spool_file} cannot be written: {error}"


def _answer(exchange: Exchange, is_kept: bool) -> tuple[int, str]:
    ping = exchange.ping
    if exchange.is_too_long:
        return 413, "counted, without the log: send its end only, as in | tail -c 60000"
    if ping is not None and ping.word == LOG and not is_kept:
        return 409, "no run that this log belongs to: start first"
    words = "OK: started" if ping is not None and ping.word == START else "OK"
    unread = ", ".join(name for name, _ in ping.unread) if ping is not None else ""
    return 200, f"{words}; {unread} left out: not {A_NUMBER}" if unread else words


def _tokens(options: HeartbeatOptions, secrets: Secrets) -> tuple[dict[str, bytes], list[str]]:
    """Job -> digest of its token, and what is wrong with the others'; a token that two jobs have names neither."""
    found: dict[str, bytes] = {}
    faults: list[str] = []
    for name, job in options.jobs.items():
        try:
            token = secrets(job.token)
        except ConnectorError as error:
            faults.append(f"token of {name}: {error}")
            continue
        if TOKEN.fullmatch(token):
            found[name] = digest(token)
        else:
            faults.append(f"token of {name}: not 16 to 128 letters, digits, _ or -; openssl rand -hex 16 makes one")
    values = list(found.values())
    doubled = [name for name, value in found.items() if values.count(value) > 1]
    if doubled:
        faults.append(f"{', '.join(doubled)} have one token: give each its own")
    return {name: value for name, value in found.items() if name not in doubled}, faults


def open_door(options: HeartbeatOptions, target: str, arrived: Callable[[], None]) -> Door:
    """The door, bound: who calls waits until it is refreshed first. Raises OSError where the address cannot be had,
    sqlite3.Error where the spool cannot be used."""
    del target
    return Door(options, arrived)
