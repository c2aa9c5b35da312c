"""A proxy in front of a real server that misbehaves on request. It listens on loopback, on a free port.

with FaultProxy(port) as proxy:
    proxy.fault = Fault(hang=True)      # for open and new connections
    proxy.fault = GOOD"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass

HIDDEN_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to bytes on their way from the server to the client, unless it says otherwise."""

    refuse: bool = False
    """A new connection is reset at once."""
    hang: bool = False
    """Connections stay open and nothing passes, in either direction."""
    swallow: bool = False
    """What the server says is read and thrown away: it did its work, and its answer is lost."""
    drip: float = 0.0
    """Bytes a second, one at a time."""
    reset_after: int | None = None
    """Both ends are reset after so many bytes of one connection."""
    cut_after: int | None = None
    """The connection ends, as if the server had, after so many bytes."""
    delay: float = 0.0
    """Seconds before each piece."""
    garble: float = 0.0
    """Share of the bytes that arrive as others."""
    after: bytes | int = b""
    """Nothing happens until the client has sent these bytes, or so many, since the fault was set."""


GOOD = Fault()


class FaultProxy:
    """Passes everything on to `upstream`, a port on loopback, but for its fault."""

    def __init__(self, upstream: int, seed: int = 0, fault: Fault = GOOD) -> None:
        self.upstream = upstream
        self._received = bytearray()
        self.fault = fault
        self.port = 0
        self.accepted = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._serve, name="fault proxy", daemon=True)
        self._ready = threading.Event()

    @property
    def fault(self) -> Fault:
        """What happens now."""
        after = self._fault.after
        is_due = len(self._received) >= after if isinstance(after, int) else after in self._received
        return self._fault if is_due else GOOD

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._received.clear()
        self._fault = fault

    @property
    def received(self) -> int:
        """Bytes that the client has sent since a fault with `after` was set."""
        return len(self._received)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reset_all(self) -> None:
        """Every open connection is reset, as by a firewall that was restarted."""
        for writer in list(self._writers):
            self._loop.call_soon_threadsafe(_reset, writer)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.fault.refuse:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._up(reader, far_writer), self._down(far_reader, writer, far_writer))
        except OSError:
            return  # one end was reset, so the other is closed
        except asyncio.CancelledError:
            return  # the proxy ends
        finally:
            self._writers -= {writer, far_writer}
            writer.close()
            far_writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(HIDDEN_BYTES):
            if self._fault.after:
                self._received += data
            await self._wait_while_hanging()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        passed = 0
        while data := await reader.read(HIDDEN_BYTES):
            await self._wait_while_hanging()
            fault = self.fault
            if fault.swallow:
                continue
            await asyncio.sleep(fault.delay)
            remaining = _remaining(fault, passed)
            await self._pass(data if remaining is None else data[:remaining], writer, fault)
            passed += len(data)
            if remaining is not None and remaining <= len(data):
                if fault.reset_after is not None:
                    _reset(writer)
                    _reset(far)
                return
        with suppress(OSError):
            writer.write_eof()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, fault: Fault) -> None:
        if fault.garble:
            data = bytes(item ^ 0x55 if self._random.random() < fault.garble else item for item in data)
        step = 1 if fault.drip else max(len(data), 1)
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await writer.drain()
            if fault.drip:
                await asyncio.sleep(1 / fault.drip)

    async def _wait_while_hanging(self) -> None:
        """The fault is set by another thread, at any time."""
        while self.fault.hang:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _remaining(fault: Fault, passed: int) -> int | None:
    """How many bytes more may pass; None without a limit."""
    limits = [limit for limit in (fault.reset_after, fault.cut_after) if limit is not None]
    return max(0, min(limits) - passed) if limits else None


def _reset(writer: asyncio.StreamWriter) -> None:
    extra_info = writer.get_extra_info("socket")
    if extra_info is not None:
        with suppress(OSError):
            extra_info.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
