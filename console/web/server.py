"""textual-serve on loopback, behind a proxy that signs people in: the person of a request, and their console.

Every request must come from the proxy, which proves itself by a shared secret and names one person. That person's
console is a process with the person's name in its environment.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from console.text.cleaning import clean_line
from console.web.visitor import Visitor, is_valid_name

HOST = "127.0.0.1"
SECRET_HEADER, USER_HEADER = "X-Headway-Secret", "X-Forwarded-User"
PER_VISITOR = 4
LEAVE_SECONDS = 5.0
"""Time that a console has to finish unsent requests on exit."""
LARGEST_SIZE = (500, 200)
"""A terminal's cells cost memory."""
NOT_INHERITED = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TMUX", "STY", "LINES", "NO_COLOR")
"""About the server's terminal, not the visitor's."""
PAGE = Path(__file__).parent / "page"


class WebAccessDenied(Exception):
    """The request was rejected; the message is shown to the visitor and contains no secret."""


def admit(request: web.Request, origin: str, secret: str) -> Visitor:
    """The person that the proxy names. Raises WebAccessDenied unless it proves itself."""
    if not hmac.compare_digest(_header(request, SECRET_HEADER).encode("utf-8", "surrogatepass"), secret.encode()):
        raise WebAccessDenied(f"the proxy sent no {SECRET_HEADER}, or another one than the file of --secret-file holds")
    given = _header(request, "Origin")
    if given != origin and (given or request.path == "/ws"):
        raise WebAccessDenied(f"request from another origin than {origin}")
    name = _header(request, USER_HEADER)
    if not name:
        raise WebAccessDenied(f"the proxy sent no {USER_HEADER}. Fix: configure it to authenticate first")
    if not is_valid_name(name):
        raise WebAccessDenied(f"{USER_HEADER} contains a name that the audit cannot record: {name[:64]!a}")
    return Visitor(name, f"browser on {clean_line(_header(request, 'X-Real-IP'), 45) or request.remote}")


def _header(request: web.Request, name: str) -> str:
    """A header's value; empty if absent. Raises WebAccessDenied if repeated."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise WebAccessDenied(f"the header {name} came {len(values)} times: the proxy must replace it, not add to it")
    return values[0].strip() if values else ""


class VisitorConsole(AppService):
    """The console of one visitor. It ends with its browser tab, and the tab's socket with it."""

    visitor: Visitor

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(min(width, LARGEST_SIZE[0]), min(height, LARGEST_SIZE[1]))
        own = {name: value for name, value in environment.items() if name not in NOT_INHERITED}
        return own | self.visitor.to_environment()

    async def set_terminal_size(self, width: int, height: int) -> None:
        await super().set_terminal_size(min(int(width), LARGEST_SIZE[0]), min(int(height), LARGEST_SIZE[1]))

    async def run(self) -> None:
        with suppress(ConnectionError):  # the tab was closed meanwhile
            await super().run()
            await self.remote_close()

    async def stop(self) -> None:
        """Closes the console's keyboard, so that it exits; kills it if it does not."""
        if self._process is None or self._task is None:
            return
        task, self._task = self._task, None
        self.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), LEAVE_SECONDS)
        except TimeoutError:
            self._process.kill()
        await asyncio.gather(task, self._process.wait(), return_exceptions=True)


class ConsoleServer(Server):
    """Serves consoles, `sessions` at most; `log` writes a line to the terminal."""

    def __init__(
        self, command: str, url: str, secret: str, port: int, sessions: int, log: Callable[[str], object]
    ) -> None:
        super().__init__(command, HOST, port, "Headway", url.rstrip("/"), templates_path=PAGE)
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self._secret, self._sessions, self._log = secret, sessions, log
        self._open: dict[web.WebSocketResponse, str] = {}

    def initialize_logging(self) -> None:
        """Logs nothing but rejected requests and visitors."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        app.router.add_static("/page", PAGE)
        return app

    async def on_startup(self, app: web.Application) -> None:
        self._log(f"serving {self.public_url} on {self.host}:{self.port}")

    async def on_shutdown(self, app: web.Application) -> None:
        for socket in tuple(self._open):
            await socket.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            visitor = admit(request, self._origin, self._secret)
        except WebAccessDenied as why:
            self._log(f"rejected: {clean_line(str(why))}")
            return web.Response(status=403, text=f"Headway: {why}\n")
        if request.path in ("/", "/ws"):
            if len(self._open) >= self._sessions:
                return web.Response(
                    status=503, text=f"Headway: all {self._sessions} consoles are in use (--sessions)\n"
                )
            if Counter(self._open.values())[visitor.name.casefold()] >= PER_VISITOR:
                return web.Response(status=503, text=f"Headway: {visitor.name} has {PER_VISITOR} consoles open\n")
        return await handler(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        visitor, socket = admit(request, self._origin, self._secret), web.WebSocketResponse(heartbeat=15)
        width, height = to_int(request.query.get("width", ""), 80), to_int(request.query.get("height", ""), 24)
        senders: dict[str, Any] = {
            "write_bytes": socket.send_bytes,
            "write_str": socket.send_str,
            "close": socket.close,
        }
        console = VisitorConsole(self.command, download_manager=self.download_manager, **senders)
        console.visitor = visitor
        self._open[socket] = visitor.name.casefold()  # before the first await, so that concurrent visitors are counted
        try:
            with suppress(ConnectionError):  # the tab was closed meanwhile
                await socket.prepare(request)
                self._log(f"{visitor.name}: a console was opened ({visitor.address})")
                await console.start(width, height)
                await self._process_messages(socket, console)
        finally:
            await console.stop()
            del self._open[socket]
            self._log(f"{visitor.name}: the console has ended; {len(self._open)} open")
        return socket
