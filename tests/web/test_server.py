"""The web server with a console of a few lines: its page, its access control, its clean-up."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from console.web import server as web_server
from console.web.server import SECRET_HEADER, USER_HEADER, ConsoleServer
from tests.lab.process import HANGS_SECONDS, async_wait_until, free_port

ORIGIN, SECRET = "https://ops.example.org", "0123456789abcdef"
SESSIONS = 5
CONSOLE = """
import json, os, sys
out, keyboard = sys.stdout.buffer, sys.stdin.buffer
def show(text, letter=b"D"):
    payload = text.encode()
    out.write(letter + len(payload).to_bytes(4, "big") + payload)
    out.flush()
out.write(b"__GANGLION__\\n")
show(f"{os.getpid()} {os.environ['COLUMNS']}x{os.environ['ROWS']} {os.environ['HEADWAY_VISITOR']!r}")
while head := keyboard.read(5):
    said = keyboard.read(int.from_bytes(head[1:], "big")).decode()
    if said == "q":
        print("bye\\x1b[2J", file=sys.stderr)
        show(json.dumps({"type": "exit"}), b"M")
        break
    show(f"{head[:1].decode()}:{said}")
"""
DEAF = CONSOLE + "\nimport time\ntime.sleep(60)"
BROKEN = "import sys\nsys.exit('headway: there is no store at /nowhere')"


@dataclass
class Served:
    """A server that listens, and requests of its proxy."""

    browser: aiohttp.ClientSession
    at: str
    output: list[str] = field(default_factory=list)

    def headers(self, name: str = "ann", **changed: str) -> dict[str, str]:
        return {"Origin": ORIGIN, SECRET_HEADER: SECRET, USER_HEADER: name, **changed}

    def socket(self, name: str = "ann", **changed: str) -> aiohttp.client._WSRequestContextManager:
        return self.browser.ws_connect(f"{self.at}/ws?width=90&height=30", headers=self.headers(name, **changed))

    async def get(self, path: str, name: str = "ann", **changed: str) -> tuple[int, str]:
        async with self.browser.get(self.at + path, headers=self.headers(name, **changed)) as answer:
            return answer.status, await answer.text("utf-8", "replace")


@asynccontextmanager
async def serving(code: str) -> AsyncIterator[Served]:
    port, messages = free_port(), list[str]()
    command = f"exec {shlex.join((sys.executable, '-c', code))}"
    server = ConsoleServer(command, f"{ORIGIN}/headway/", SECRET, port, SESSIONS, messages.append)
    runner = web.AppRunner(await server._make_app(), shutdown_timeout=20)
    await runner.setup()
    await web.TCPSite(runner, server.host, port).start()
    try:
        async with aiohttp.ClientSession() as browser:
            yield Served(browser, f"http://127.0.0.1:{port}", messages)
    finally:
        await runner.cleanup()


def on_server(code: str = CONSOLE) -> Callable[..., Callable[[], None]]:
    def made(drive: Callable[[Served], Awaitable[None]]) -> Callable[[], None]:
        @wraps(drive)
        def run() -> None:
            async def whole() -> None:
                async with serving(code) as served:
                    await drive(served)

            asyncio.run(whole())

        del run.__wrapped__
        return run

    return made


async def heard(socket: aiohttp.ClientWebSocketResponse[Any]) -> str:
    message = await asyncio.wait_for(socket.receive(), HANGS_SECONDS)
    return message.data.decode() if message.type is aiohttp.WSMsgType.BINARY else f"{message.type.name}"


async def wait_until_ended(pid: int) -> None:
    await async_wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"the end of process {pid}")


@on_server()
async def test_the_page_fetches_nothing_from_elsewhere(served: Served) -> None:
    status, page = await served.get("/")
    assert (200, True) == (status, f'"{ORIGIN.replace("https", "wss")}/headway/ws"' in page)
    addresses = re.findall(r"""(?:src|href)=["']?([^"'\s>)]+)""", page)
    assert {"static/js/textual.js", "page/page.js", "page/page.css", "static/css/xterm.css"} <= set(addresses)
    for name in {*addresses, "static/fonts/RobotoMono-VariableFont_wght.ttf"} - {"data:,"}:
        assert not re.match(r"[a-z]+:|//", name), name
        status, text = await served.get(f"/{name}")
        assert 200 == status, name
        if name.endswith(("page.js", ".css")):
            assert "//" not in re.sub(r"/\*.*?\*/|^ *//.*?$|url\(\"?data:", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "script>" not in re.sub(r"<script src=[^>]*></script>|noscript>", "", page)


@on_server()
async def test_nobody_gets_anything_without_the_proxy(served: Served) -> None:
    for path in ("/", "/ws", "/static/js/textual.js", "/page/page.js", "/download/x", "/nowhere"):
        for changed in ({SECRET_HEADER: ""}, {SECRET_HEADER: "guessed"}, {USER_HEADER: ""}, {USER_HEADER: "headway"}):
            status, text = await served.get(path, **changed)
            assert (403, False) == (status, "textual" in text), (path, changed)
    for origin in ("http://evil.example", "null", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.socket(Origin=origin)
        assert 403 == refused.value.status
    assert not any(SECRET in line for line in served.output)


@on_server()
async def test_each_visitor_gets_a_console_of_their_own(served: Served) -> None:
    async with served.socket("ann") as ann, served.socket("bob") as bob:
        first, second = await heard(ann), await heard(bob)
        assert first.endswith(" 90x30 'ann'")
        assert second.endswith(" 90x30 'bob'")
        assert first.split()[0] != second.split()[0]
        await ann.send_json(["stdin", "j"])
        await bob.send_json(["stdin", "k"])
        assert ("D:j", "D:k") == (await heard(ann), await heard(bob))
        await ann.send_json(["resize", {"width": 9999, "height": 9999}])
        assert 'M:{"type": "resize", "width": 500, "height": 200}' == await heard(ann)


async def all_ended(served: Served, number: int) -> None:
    """So many have ended by now, each as the only one."""

    def have_ended() -> bool:
        return number == sum("the console has ended; 0 open" in line for line in served.output)

    await async_wait_until(have_ended, f"the end of {number} consoles")


@on_server()
async def test_a_console_ends_with_its_tab_and_a_tab_with_its_console(served: Served) -> None:
    async with served.socket() as socket:
        closed = int((await heard(socket)).split()[0])
    await wait_until_ended(closed)
    await all_ended(served, 1)
    async with served.socket() as socket:
        remaining = int((await heard(socket)).split()[0])
        await socket.send_json(["stdin", "q"])
        assert "CLOSE" == await heard(socket)
    await wait_until_ended(remaining)
    await all_ended(served, 2)


@pytest.mark.parametrize("is_ending", [False, True])
def test_a_console_that_does_not_leave_is_ended_and_so_are_all_when_the_server_is(
    monkeypatch: pytest.MonkeyPatch, is_ending: bool
) -> None:
    """Also one whose tab was closed just before."""
    monkeypatch.setattr(web_server, "LEAVE_SECONDS", 0.5)

    async def whole() -> int:
        async with serving(DEAF) as served:
            socket = await served.socket()
            pid = int((await heard(socket)).split()[0])
            if is_ending:
                await socket.close()
            return pid

    pid = asyncio.run(whole())
    gc.collect()  # an open pipe that nobody holds fails this test and not a later one
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@on_server(BROKEN)
async def test_the_tab_of_a_console_that_cannot_begin_is_closed(served: Served) -> None:
    async with served.socket() as socket:
        assert "CLOSE" == await heard(socket)
    await all_ended(served, 1)


@on_server()
async def test_there_are_no_more_consoles_than_allowed(served: Served) -> None:
    sockets = [await served.socket() for _ in range(web_server.PER_VISITOR)]
    for socket in sockets:
        await heard(socket)
    for path in ("/", "/ws"):
        status, text = await served.get(path, "Ann")
        assert (503, True) == (status, "Ann has 4 consoles open" in text)
    sockets.append(await served.socket("bob"))
    assert (503, "Headway: all 5 consoles are in use (--sessions)\n") == await served.get("/", "eve")
    await sockets.pop().close()
    await async_wait_until(lambda: "the console has ended" in served.output[-1], "the end of the console")
    assert 200 == (await served.get("/", "eve"))[0]


def test_a_tab_that_is_gone_before_its_console_opens_leaves_no_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    @on_server()
    async def drive(served: Served) -> None:
        monkeypatch.setattr(aiohttp.web.WebSocketResponse, "prepare", gone)
        with pytest.raises(aiohttp.ClientError):
            await served.socket()
        await async_wait_until(
            lambda: any("the console has ended; 0 open" in line for line in served.output), "its end"
        )

    drive()
    assert "Traceback" not in caplog.text


async def raw(served: Served, *parts: bytes) -> bytes:
    """All that is answered to these bytes, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.at.rpartition(":")[2]))
    for part in parts:
        writer.write(part)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), HANGS_SECONDS)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@on_server()
async def test_bytes_that_are_no_text_are_forbidden_and_not_an_error(served: Served) -> None:
    for header in (b"Origin: \xff", b"X-Headway-Secret: \xff", b"X-Headway-Secret: \xc3\x28"):
        request = b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\n\r\n" % header
        assert (await raw(served, request))[9:12] in (b"403", b"400")
    assert 200 == (await served.get("/"))[0]
