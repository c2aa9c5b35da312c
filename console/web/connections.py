"""Limits on open connections, so that silent clients keep no visitor out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

REQUEST_SECONDS = 15.0
"""From a connection, or from the last answer on it, to the next whole request, however its bytes drip."""
MAX_CONNECTIONS = 256
CHECK_SECONDS = 1.0


class ConnectionLimits:
    """Closes connections on which no request is answered: those that wait too long, and the oldest when there are too
    many. `request_began` and `request_ended` are called for each request."""

    def __init__(self, seconds: float = REQUEST_SECONDS, most: int = MAX_CONNECTIONS) -> None:
        self._seconds, self._most = seconds, most
        self._waiting: dict[Any, float] = {}
        """Connection -> since when, by time.monotonic; the oldest first."""
        self._server: web.Server | None = None

    async def listen(self, runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
        """Listens for the runner's application. Raises OSError."""
        assert runner.server is not None
        self._server = runner.server
        return await asyncio.get_running_loop().create_server(self._connection, host, port)

    async def follow(self) -> None:
        """Closes what waits too long, until cancelled."""
        while True:
            await asyncio.sleep(min(CHECK_SECONDS, self._seconds / 2))
            limit = time.monotonic() - self._seconds
            for connection in [one for one, since in self._waiting.items() if since < limit]:
                self._close(connection)

    def request_began(self, connection: Any) -> None:
        self._waiting.pop(connection, None)

    def request_ended(self, connection: Any) -> None:
        if connection.transport is not None:
            self._waiting[connection] = time.monotonic()

    def _connection(self) -> Any:
        assert self._server is not None
        if len(self._server.connections) >= self._most and self._waiting:
            self._close(next(iter(self._waiting)))
        connection = self._server()
        self._waiting[connection] = time.monotonic()
        return connection

    def _close(self, connection: Any) -> None:
        del self._waiting[connection]
        if connection.transport is not None:
            connection.transport.abort()
