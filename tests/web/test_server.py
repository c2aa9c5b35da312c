"""The web server with a console of a few lines: its pages, its access control, its clean-up."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import aiohttp
import pytest

from console.web.auth import LinkGate
from console.web.server import ConnectionLimits, WebLimits, WebServer
from tests.lab.process import free_port

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
TITLE = r'show(json.dumps({"type": "title", "title": "Headway: 1 late\x1b[2J"}), b"M")'
NAMED = CONSOLE.replace("while head", f"{TITLE}\nwhile head")
BROKEN = "import sys\nsys.exit('headway: there is no store at /nowhere')"


FEW = WebLimits(3, 2)


@dataclass
class Served:
    """A server that listens, and a browser of one user."""

    gate: LinkGate
    browser: aiohttp.ClientSession
    at: str
    output: list[str] = field(default_factory=list)

    async def sign_in(self) -> str:
        """The page."""
        async with self.browser.get(self.gate.link) as answer:
            return await answer.text()

    def socket(self, origin: str = "", size: str = "?width=90&height=30") -> aiohttp.client._WSRequestContextManager:
        return self.browser.ws_connect(f"{self.at}{self.gate.base}ws{size}", headers={"Origin": origin or self.at})


@asynccontextmanager
async def serving(
    code: str, limits: WebLimits = FEW, connections: ConnectionLimits | None = None
) -> AsyncIterator[Served]:
    port = free_port()
    gate, messages = LinkGate(port), list[str]()
    server = WebServer(gate, (sys.executable, "-c", code), limits, messages.append, connections=connections)
    jar = aiohttp.CookieJar(unsafe=True)
    async with server.listening("127.0.0.1", port), aiohttp.ClientSession(cookie_jar=jar) as browser:
        yield Served(gate, browser, f"http://127.0.0.1:{port}", messages)


def on_server(code: str = CONSOLE, limits: WebLimits = FEW) -> Callable[..., Callable[[], None]]:
    def made(drive: Callable[[Served], Awaitable[None]]) -> Callable[[], None]:
        @wraps(drive)
        def run() -> None:
            async def whole() -> None:
                async with serving(code, limits) as served:
                    await drive(served)

            asyncio.run(whole())

        del run.__wrapped__
        return run

    return made


async def heard(socket: aiohttp.ClientWebSocketResponse[Any]) -> str:
    message = await asyncio.wait_for(socket.receive(), 20)
    return message.data.decode() if message.type is aiohttp.WSMsgType.BINARY else f"{message.type.name}"


async def wait_until_ended(pid: int) -> None:
    for _ in range(400):
        if not os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC240 - the kernel keeps nobody waiting for it
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


@on_server()
async def test_the_page_fetches_nothing_from_elsewhere(served: Served) -> None:
    page = await served.sign_in()
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert {"assets/js/textual.js", "page.js", "page.css", "assets/css/xterm.css"} <= set(addresses)
    for name in {*addresses, "assets/fonts/RobotoMono-VariableFont_wght.ttf"} - {"data:,"}:
        if name == served.gate.socket_url(served.at.removeprefix("http://")):
            continue
        assert not re.match(r"[a-z]+:|//", name), name
        async with served.browser.get(f"{served.at}{served.gate.base}{name}") as answer:
            assert 200 == answer.status, name
            text = await answer.read()
        if name.endswith(("page.js", ".css")):
            assert b"//" not in re.sub(rb"/\*.*?\*/|^ *//.*?$|url\(\"?data:", b"", text, flags=re.DOTALL | re.MULTILINE)


@on_server()
async def test_a_file_with_a_name_that_is_too_long_is_not_found(served: Served) -> None:
    await served.sign_in()
    async with served.browser.get(f"{served.at}{served.gate.base}assets/{'a' * 5000}") as answer:
        assert 404 == answer.status


@on_server()
async def test_the_browser_is_instructed_to_fetch_nothing_from_elsewhere(served: Served) -> None:
    await served.sign_in()
    async with served.browser.get(f"{served.at}{served.gate.base}") as answer:
        policy = dict(name.strip().split(" ", 1) for name in answer.headers["Content-Security-Policy"].split(";"))
        assert {"'none'"} == {policy["default-src"], policy["frame-ancestors"], policy["base-uri"]}
        assert "'self'" == policy["script-src"]
        assert f"'self' ws://127.0.0.1:{answer.url.port}{served.gate.base}" == policy["connect-src"]
        assert "nosniff" == answer.headers["X-Content-Type-Options"]
        assert "script>" not in re.sub(r"<script src=[^>]*></script>|noscript>", "", await answer.text())


@on_server()
async def test_nobody_else_gets_anything(served: Served) -> None:
    await served.sign_in()
    async with aiohttp.ClientSession() as other:
        for path in (
            "/",
            "/ws",
            "/assets/js/textual.js",
            served.gate.base,
            f"{served.gate.base}page.js",
            "/download/x",
        ):
            async with other.get(served.at + path) as answer:
                assert 403 == answer.status, path
                assert "textual" not in await answer.text()
                assert served.gate.base not in str(answer.headers)
    for origin in ("http://evil.example", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.socket(origin)
        assert 403 == refused.value.status


@on_server()
async def test_a_prefetch_uses_up_no_link(served: Served) -> None:
    link = served.gate.link
    async with served.browser.head(link) as answer:
        assert (403, link) == (answer.status, served.gate.link)


@on_server()
async def test_keys_go_in_and_the_screen_comes_out(served: Served) -> None:
    await served.sign_in()
    async with served.socket() as socket:
        assert (await heard(socket)).endswith(" 90x30 ''")
        await socket.send_json(["stdin", "j"])
        assert "D:j" == await heard(socket)
        await socket.send_json(["resize", {"width": 999_999, "height": "7"}])
        assert 'M:{"type": "resize", "width": 80, "height": 7}' == await heard(socket)
        await socket.send_json(["resize", {"width": 9999, "height": 1}])
        assert 'M:{"type": "resize", "width": 500, "height": 5}' == await heard(socket)
        for odd in ("[]", "{}", "no json", "7", '["stdin"]', '["stdin", 7]', '["resize", 3]', "null", '["quit"]'):
            await socket.send_str(odd)
        await socket.send_json(["focus"])
        assert 'M:{"type": "focus"}' == await heard(socket)


async def all_ended(served: Served, number: int) -> None:
    """So many have ended by now, each as the only one."""
    for _ in range(400):
        if number == sum("the console has ended; 0 open" in line for line in served.output):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(served.output)


@on_server()
async def test_a_console_ends_with_its_tab_and_a_tab_with_its_console(served: Served) -> None:
    await served.sign_in()
    async with served.socket() as socket:
        closed = int((await heard(socket)).split()[0])
    await wait_until_ended(closed)
    await all_ended(served, 1)
    async with served.socket() as socket:
        remaining = int((await heard(socket)).split()[0])
        await socket.send_json(["stdin", "q"])
        last = await heard(socket)
        assert ("bye" in last, "\x1b[2J\x1b[H\r\n  bye" in last) == (True, True)
        assert "CLOSE" == await heard(socket)
    await wait_until_ended(remaining)
    await all_ended(served, 2)


@pytest.mark.parametrize("is_ending", [False, True])
def test_a_console_that_does_not_leave_is_ended_and_so_are_all_when_the_server_is(
    monkeypatch: pytest.MonkeyPatch, is_ending: bool
) -> None:
    """Also one whose tab was closed just before."""
    monkeypatch.setattr("console.web.session.LEAVE_SECONDS", 0.5)

    async def whole() -> int:
        async with serving(DEAF) as served:
            await served.sign_in()
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
async def test_why_a_console_could_not_begin_is_shown(served: Served) -> None:
    await served.sign_in()
    async with served.socket() as socket:
        assert "headway: there is no store at /nowhere" in await heard(socket)
    assert any("there is no store" in line for line in served.output)


@on_server()
async def test_there_are_no_more_consoles_than_allowed(served: Served) -> None:
    await served.sign_in()
    client_web_socket_response, two = await served.socket(), await served.socket()
    await heard(client_web_socket_response)
    await heard(two)
    async with served.socket() as third:
        assert "you have 2 consoles open; close one first" in await heard(third)
    async with served.browser.get(f"{served.at}{served.gate.base}") as answer:
        assert 503 == answer.status
    await client_web_socket_response.close()
    for _ in range(100):
        async with served.socket() as again:
            if "''" in await heard(again):
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the place of one that was closed stays taken")


@on_server(NAMED)
async def test_the_title_of_the_tab_is_the_clean_title_of_the_console(served: Served) -> None:
    await served.sign_in()
    async with served.socket() as socket:
        await heard(socket)
        message = await asyncio.wait_for(socket.receive(), 20)
        kind, text = message.json()
        assert ("title", "Headway: 1 late") == (kind, text[:15])
        assert "\x1b" not in text


async def raw(served: Served, *parts: bytes) -> bytes:
    """All that is answered to these bytes, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.at.rpartition(":")[2]))
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@on_server()
async def test_bytes_that_are_no_text_are_forbidden_and_not_an_error(served: Served) -> None:
    host = served.at.removeprefix("http://").encode()
    for path, header in (
        (b"/x", b"Cookie: headway=\xff"),
        (served.gate.base.encode(), b"Cookie: headway=\xc3\x28"),
        (b"/x", b"Origin: \xff"),
        (b"/?token=%ff%ed%a0%80", b"X-Y: \x80"),
        (b"/?token=\xff", b"X-Headway-Secret: \xff"),
    ):
        request = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\nConnection: close\r\n\r\n" % (path, host, header)
        assert (await raw(served, request))[9:12] in (b"403", b"400")
    assert not [line for line in served.output if "Traceback" in line]
    assert "<script" in await served.sign_in()


def test_a_request_that_is_not_whole_in_time_and_an_idle_connection_are_closed() -> None:
    async def play() -> None:
        limits = ConnectionLimits(seconds=0.6)
        async with serving(CONSOLE, connections=limits) as served:
            host = served.at.removeprefix("http://").encode()
            began = asyncio.get_running_loop().time()
            dripping = raw(served, *[b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 6])
            answered = raw(served, b"GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
            nothing, dripped, denied = await asyncio.gather(raw(served), dripping, answered)
            assert (b"", b"", b"403") == (nothing, dripped, denied[9:12])
            assert asyncio.get_running_loop().time() - began < 10
            await served.sign_in()
            async with served.socket() as socket:
                await asyncio.sleep(3 * limits.seconds)  # a console stays, however long nobody types
                await socket.send_json(["stdin", "q"])
                assert not socket.closed

    asyncio.run(play())


def test_connections_that_send_nothing_keep_no_visitor_out() -> None:
    async def play() -> None:
        async with serving(CONSOLE, connections=ConnectionLimits(most=20)) as served:
            port = int(served.at.rpartition(":")[2])
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(120)]
            assert "<script" in await served.sign_in()
            removed = [reader.at_eof() or reader.exception() is not None for reader, _ in idle]
            assert 95 <= sum(removed) < 120
            for _, writer in idle:
                writer.close()

    asyncio.run(play())


def test_a_tab_that_is_gone_before_its_console_opens_leaves_no_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    @on_server()
    async def drive(served: Served) -> None:
        await served.sign_in()
        monkeypatch.setattr(aiohttp.web.WebSocketResponse, "prepare", gone)
        with pytest.raises(aiohttp.ClientError):
            await served.socket()
        while not any("the console has ended; 0 open" in line for line in served.output):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    drive()
    assert "Traceback" not in caplog.text
