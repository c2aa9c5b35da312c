"""The web server of `headway console serve`: one page, its script, and a socket for each open console.

Every answer passes the auth gate, and forbids the browser to load anything from elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import textual_serve
from aiohttp import WSMsgType, web
from jinja2 import Environment

from console.text.cleaning import clean, clean_line
from console.web.auth import COOKIE, AccessRequest, AuthGate, LinkGate, WebAccessDenied
from console.web.session import ConsoleSession, Size
from console.web.visitor import Visitor, to_environment

HEARTBEAT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
REQUEST_SECONDS = 15.0
"""From a connection, or from the last answer on it, to the next whole request, however its bytes drip."""
MAX_CONNECTIONS = 256
CHECK_SECONDS = 1.0
LONGEST_TITLE = 80
LARGEST_MESSAGE = 256 * 1024
SMALLEST_SIZE, LARGEST_SIZE = (20, 5), (500, 200)
"""A terminal's cells cost memory."""
FONT_SIZE = "15"
CLEARED = "\x1b[?1049l\x1b[2J\x1b[H"
NO_POLICY = "'none'"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " font-src 'self'; connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""'unsafe-inline' for styles alone: xterm puts its own styles into the page."""
ASSETS = Path(textual_serve.__file__).parent / "static"
TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
Log = Callable[[str], object]


class WebLimits(NamedTuple):
    """Each console is a process of some 40 MB."""

    sessions: int
    for_each: int


class ConnectionLimits:
    """Closes connections on which no request is answered: those that wait too long, and the oldest when there are too
    many. `request_began` and `request_ended` are called for each request."""

    def __init__(self, seconds: float = REQUEST_SECONDS, most: int = MAX_CONNECTIONS) -> None:
        self.seconds, self._most = seconds, most
        self._waiting: dict[Any, float] = {}
        """Connection -> since when, by time.monotonic; the oldest first."""
        self._server: web.Server | None = None

    async def listen(self, runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
        """Listens for the runner's application. Raises OSError."""
        assert runner.server is not None
        self._server = runner.server
        return await asyncio.get_running_loop().create_server(self._connection, host, port)

    async def close_late(self) -> None:
        """Closes connections that wait too long, until cancelled."""
        while True:
            await asyncio.sleep(min(CHECK_SECONDS, self.seconds / 2))
            limit = time.monotonic() - self.seconds
            for connection in [connection for connection, since in self._waiting.items() if since < limit]:
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


class WebServer:
    """Answers requests. `argv`: command of each visitor's console; `log` writes a line to the terminal."""

    def __init__(
        self,
        gate: AuthGate,
        argv: Sequence[str],
        limits: WebLimits,
        log: Log,
        why_closed: Callable[[], str] = str,
        connections: ConnectionLimits | None = None,
    ) -> None:
        """`why_closed`: why no visitor is admitted now, empty otherwise; called per request."""
        self._why_closed = why_closed
        self._connections = connections or ConnectionLimits()
        self._gate, self._argv, self._limits, self._log = gate, tuple(argv), limits, log
        self._open: dict[asyncio.Task[Any], ConsoleSession] = {}
        self._open_by_name: Counter[str] = Counter()
        self._page = Environment(autoescape=True).from_string(_text("page.html"))

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        base = self._gate.base
        routes: list[web.AbstractRouteDef] = [
            web.get(base, self._show_page),
            web.get(f"{base}ws", self._serve_console),
            web.static(f"{base}assets", ASSETS, show_index=False, follow_symlinks=False),
            *(web.get(f"{base}{name}", self._show_file) for name in TYPES),
        ]
        if isinstance(self._gate, LinkGate):
            routes.append(web.get("/", self._sign_in, allow_head=False))  # HEAD must not redeem the token
        app.add_routes(routes)
        app.on_shutdown.append(self._end_all)
        return app

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Serves at this address. Raises OSError if it cannot."""
        runner = web.AppRunner(self.app(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            async with await self._connections.listen(runner, host, port) as server:
                closing = asyncio.create_task(self._connections.close_late())
                try:
                    yield
                finally:
                    closing.cancel()
                    server.close()
                    await runner.cleanup()  # ends the connections, for which the server waits
        finally:
            await runner.cleanup()

    # access

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        policy = NO_POLICY
        self._connections.request_began(request.protocol)
        try:
            if handler != self._sign_in:
                self._visitor(request)
                policy = self._policy(request)
            answer = await handler(request)
        except WebAccessDenied as why:
            self._log(f"rejected: {clean_line(str(why))}")
            answer = web.Response(status=403, text=f"Headway: {why}\n")
        except web.HTTPException as error:
            answer = web.Response(status=error.status, text=f"{error.reason}\n")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # of a file that is requested
                raise
            answer = web.Response(status=404, text="Not Found\n")
        finally:
            self._connections.request_ended(request.protocol)
        if not answer.prepared:
            answer.headers.update(_headers(policy))
        return answer

    def _visitor(self, request: web.Request) -> Visitor:
        return self._gate.admit(access_request(request))

    def _policy(self, request: web.Request) -> str:
        """The page's connect policy. It contains the secret path, so rejected requests do not get it."""
        return f"'self' {self._gate.socket_url(request.host).rpartition('/ws')[0]}/"

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        gate = self._gate
        assert isinstance(gate, LinkGate)
        gate.redeem(access_request(request))
        self._log(f"signed in from a browser on this machine; another one: {gate.link}")
        answer = web.Response(status=303, headers={"Location": gate.base})
        answer.set_cookie(COOKIE, gate.cookie, path=gate.base, httponly=True, samesite="Strict")
        return answer

    # display

    async def _show_page(self, request: web.Request) -> web.StreamResponse:
        if why := await self._refusal_reason(self._visitor(request)):
            return web.Response(status=503, text=f"Headway: {why}\n")
        text = self._page.render(socket=self._gate.socket_url(request.host), size=FONT_SIZE)
        return web.Response(text=text, content_type="text/html")

    async def _show_file(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        return web.Response(text=_text(name), content_type=TYPES[name])

    async def _refusal_reason(self, visitor: Visitor) -> str:
        if reason := await asyncio.to_thread(self._why_closed):
            self._log(f"rejected, {visitor.name or visitor.place}: {clean_line(reason)}")
        return reason or self._why_full(visitor)

    def _why_full(self, visitor: Visitor) -> str:
        if len(self._open) >= self._limits.sessions:
            return f"all {self._limits.sessions} consoles are in use (--sessions)"
        if self._open_by_name[visitor.name.casefold()] >= self._limits.for_each:
            return f"{visitor.name or 'you'} have {self._limits.for_each} consoles open; close one first"
        return ""

    # one console

    async def _serve_console(self, request: web.Request) -> web.StreamResponse:
        visitor = self._visitor(request)
        socket = web.WebSocketResponse(timeout=CLOSE_SECONDS, heartbeat=HEARTBEAT_SECONDS, max_msg_size=LARGEST_MESSAGE)
        socket.headers.update(_headers(self._policy(request)))
        why = await self._refusal_reason(visitor)
        if why:
            await socket.prepare(request)
            await _close_with_message(socket, f"Headway: {why}")
            return socket
        task = asyncio.current_task()
        assert task is not None
        size = _size(request.query.get("width"), request.query.get("height"))
        session = ConsoleSession(
            socket.send_bytes, lambda title: socket.send_json(["title", clean_line(title, LONGEST_TITLE)])
        )
        self._open[task] = session  # before the first await, so that concurrent visitors are counted
        self._open_by_name[visitor.name.casefold()] += 1
        label = visitor.name or visitor.place
        try:
            with suppress(ConnectionError):  # the tab was closed meanwhile
                await socket.prepare(request)
                self._log(f"{label}: a console was opened ({visitor.place})")
                await self._run_session(socket, session, size, visitor)
        finally:
            del self._open[task]
            self._open_by_name[visitor.name.casefold()] -= 1
            self._log(f"{label}: the console has ended; {len(self._open)} open")
        return socket

    async def _run_session(
        self, socket: web.WebSocketResponse, session: ConsoleSession, size: Size, visitor: Visitor
    ) -> None:
        session_task = asyncio.create_task(session.run(self._argv, size, to_environment(visitor)))
        input_task = asyncio.create_task(_forward_input(socket, session))
        try:
            await asyncio.wait({session_task, input_task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            input_task.cancel()
            session.leave()
            code, _ = await asyncio.gather(session_task, input_task, return_exceptions=True)
            if isinstance(code, OSError) and not isinstance(code, ConnectionError):
                session.last_output = f"the console could not be started: {code.strerror}"
            if session.last_output:
                self._log(f"{visitor.name or visitor.place}: {clean_line(session.last_output.strip()[-300:])}")
            await _close_with_message(socket, session.last_output)

    async def _end_all(self, _app: web.Application) -> None:
        for session in self._open.values():
            session.leave()  # a cancelled task that is already ending would leave its process and its pipes open
        await asyncio.gather(*self._open, return_exceptions=True)


async def _close_with_message(socket: web.WebSocketResponse, text: str) -> None:
    """Leaves a message on the screen and closes the socket, if it is still open."""
    with suppress(ConnectionError):
        if not socket.closed:
            shown = clean(text).strip().replace("\n", "\r\n  ")
            await socket.send_bytes(f"{CLEARED}\r\n  {shown}\r\n".encode())
            await socket.close()


async def _forward_input(socket: web.WebSocketResponse, session: ConsoleSession) -> None:
    """Forwards messages until the browser is gone. Unknown messages are ignored."""
    async for message in socket:
        try:
            kind, *rest = message.json() if message.type is WSMsgType.TEXT else ("",)
        except (ValueError, TypeError):
            continue
        value = rest[0] if rest else None
        if kind == "stdin" and isinstance(value, str):
            await session.type(value)
        elif kind == "resize" and isinstance(value, dict):
            width, height = _size(value.get("width"), value.get("height"))
            await session.send_event("resize", width=width, height=height)
        elif kind in ("focus", "blur"):
            await session.send_event(str(kind))
        elif kind == "ping":
            await socket.send_json(["pong", str(value)[:32]])


def _size(width: object, height: object) -> Size:
    return _within(width, 0, 80), _within(height, 1, 24)


def _within(value: object, axis: int, otherwise: int) -> int:
    digits = str(value)
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else otherwise
    return min(LARGEST_SIZE[axis], max(SMALLEST_SIZE[axis], number))


def _text(name: str) -> str:
    return files("console.web").joinpath(name).read_text(encoding="utf-8")


def _headers(connect: str) -> dict[str, str]:
    return {name: value.format(connect=connect) for name, value in HEADERS.items()}


def access_request(request: web.Request) -> AccessRequest:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
    token = request.query.get("token", "") if request.path == "/" else ""
    return AccessRequest(request.remote or "", request.path, headers, request.cookies.get(COOKIE, ""), token, upgrade)


async def run(consoles: WebServer, host: str, port: int, ready: Callable[[], object]) -> None:
    """Serves until SIGINT or SIGTERM; calls `ready` once it listens. Raises OSError if it cannot."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, event.set)
    async with consoles.listening(host, port):
        ready()
        await event.wait()
