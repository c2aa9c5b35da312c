"""The wire below httpx: one deadline for a whole call, and names resolved where they cannot block it.

httpx counts its timeouts per operation, so a server that sends a byte a second outlives any of them. Here each read
and write gets only the time that is left of the call, in the headers as well as in the body.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpcore
import httpx

from connectors.contract import AccessRefused
from connectors.transport.deadline import Deadline as Deadline

Resolve = Callable[[str, int], list[str]]

LIMIT_BYTES = 32 * 1024 * 1024
"""Of one answer."""

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""What fails before the first byte of a request is on the wire."""


def tls(who: str, ca_file: Path | None) -> ssl.SSLContext:
    """What verifies a server's certificate: the machine's CAs, or those in `ca_file`. Raises AccessRefused."""
    if ca_file is None:
        return _of_the_machine(_as_they_are())
    try:
        return ssl.create_default_context(cafile=str(ca_file.expanduser()))
    except OSError as error:
        raise AccessRefused(
            f"{who}: ca_file {ca_file} cannot be read: {error}. Give a PEM file with the CA certificates."
        ) from None


@lru_cache(maxsize=1)
def _of_the_machine(files: tuple[tuple[str, int], ...]) -> ssl.SSLContext:
    """One for all connectors: to read some hundred certificates takes a hundredth of a second, and they stay in memory.
    `files`: what they were read from."""
    del files
    return ssl.create_default_context()


def _as_they_are() -> tuple[tuple[str, int], ...]:
    """The machine's files of CAs with their times (ns): once they change, connectors that are opened read them anew."""
    paths = ssl.get_default_verify_paths()
    return tuple((path, os.stat(path).st_mtime_ns) for path in (paths.cafile, paths.capath) if path)


def addresses(host: str, port: int) -> list[str]:
    """IP addresses of `host` in the order of preference. Blocks; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections whose every operation ends with the current call's deadline."""

    def __init__(self, resolve: Resolve = addresses) -> None:
        self.deadline = Deadline(0.0)
        self._resolve = resolve
        self._inner = httpcore.SyncBackend()

    def cut(self, timeout: float | None, error: type[Exception]) -> float:
        """The smaller of `timeout` and the time left. Raises `error` when none is left."""
        left = self.deadline.left
        if left <= 0:
            raise error(f"the deadline of {self.deadline.seconds:g} s passed")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Tries each address in turn, each with its share of the time: a dead IPv6 leaves time for IPv4."""
        found = self._addresses(host, port)
        for number, address in enumerate(found):
            share = self.cut(timeout, httpcore.ConnectTimeout) / (len(found) - number)
            try:
                inner = self._inner.connect_tcp(address, port, share, local_address, socket_options or ())
                return DeadlineStream(inner, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number + 1 == len(found):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        """What `getaddrinfo` says, asked in a thread of its own, since nothing can interrupt it."""
        answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                answers.put(error if isinstance(error, OSError) else OSError(f"{host} is not a host name"))

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        try:
            answer = answers.get(timeout=self.cut(None, httpcore.ConnectTimeout))
        except queue.Empty:
            raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
        if isinstance(answer, OSError):
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {answer.strerror or answer}")
        return answer


class DeadlineStream(httpcore.NetworkStream):
    """A connection that reads and writes only as long as the call may last."""

    def __init__(self, inner: httpcore.NetworkStream, backend: DeadlineBackend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        share = self._backend.cut(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, share), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own transport over a pool that knows the deadline of the call."""

    def __init__(self, verify: ssl.SSLContext, resolve: Resolve = addresses) -> None:
        super().__init__(verify=verify, trust_env=False)
        self.backend = DeadlineBackend(resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=4,
            max_keepalive_connections=2,
            keepalive_expiry=60.0,
            network_backend=self.backend,
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        )
