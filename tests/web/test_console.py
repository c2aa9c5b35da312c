"""`headway console serve` with the real console behind it: the browser's user is the requester."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from console.domain.access import ActingRules, PermissionRule, Role
from console.store import access
from tests.cli.test_serve import PERMISSIONS, SYSTEM
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.process import free_port
from tests.web.test_server import wait_until_ended

__all__ = ["bench"]

SECRET = "0123456789abcdef"
ORIGIN = "https://ops.example.org"


@contextmanager
def serving(bench: Bench, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and its address."""
    config, port = bench.folder / "serve.toml", free_port()
    config.write_text(SYSTEM + PERMISSIONS)
    argv = [
        sys.executable,
        "-m",
        "console",
        "--config",
        str(config),
        "--store",
        bench.url,
        "console",
        "serve",
        "--no-engine",
    ]
    arguments = ("--port", str(port), *arguments)
    process = subprocess.Popen([*argv, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@contextmanager
def behind_a_proxy(bench: Bench) -> Iterator[tuple[subprocess.Popen[str], str]]:
    secret = bench.folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    proxy = ("--behind-proxy", f"{ORIGIN}/headway/", "--trust", "127.0.0.1", "--secret-file", str(secret))
    with serving(bench, *proxy) as (process, at):
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"serving {ORIGIN}/headway/ on 127.0.0.1:")
        yield process, at


class Screen:
    """What the console has sent to one browser so far."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._socket, self.seen = socket, ""
        self.titles: list[str] = []

    async def see(self, text: str) -> None:
        while text not in self.seen:
            message = await asyncio.wait_for(self._socket.receive(), 40)
            if message.type is aiohttp.WSMsgType.TEXT:  # the tab's title
                self.titles.append(message.json()[1])
                continue
            assert message.type is aiohttp.WSMsgType.BINARY, self.seen[-2000:]
            self.seen += message.data.decode("utf-8", "replace")

    async def press(self, keys: str) -> None:
        self.seen = ""
        await self._socket.send_json(["stdin", keys])


def as_visitor(name: str, address: str = "192.0.2.7") -> dict[str, str]:
    """What the proxy sends with each request of somebody who has signed in."""
    return {"Origin": ORIGIN, "X-Headway-Secret": SECRET, "X-Forwarded-User": name, "X-Forwarded-For": address}


async def freeze(at: str, name: str, then: str) -> None:
    async with (
        aiohttp.ClientSession() as browser,
        browser.ws_connect(f"{at}/ws?width=120&height=36", headers=as_visitor(name)) as socket,
    ):
        screen = Screen(socket)
        await screen.see("SERVICES")
        await screen.press("F")
        await screen.see("FREEZE")
        await screen.press(f"the network moves{name}\r")
        await screen.see("Freeze")
        await screen.press("\x1b[B\r")
        await screen.see(then)


def permit(bench: Bench, *allowed: PermissionRule) -> None:
    with bench.store.write(bench.fence) as connection:
        access.write_permissions(connection, allowed, ActingRules())


def audit_rows(bench: Bench) -> list[tuple[str, str, str]]:
    with bench.reads() as reads:
        return [(row.actor, row.origin, row.verb) for row in reads.audit.list_entries()]


def test_a_visitors_request_runs_in_their_name_with_their_rights(bench: Bench) -> None:
    permit(bench, PermissionRule("*", Role.VIEW), PermissionRule("ann", Role.ACT))
    with behind_a_proxy(bench) as (_, at):
        asyncio.run(freeze(at, "bob", "not done"))
        asyncio.run(freeze(at, "ann", "FROZEN"))
    results = audit_rows(bench)
    assert ("bob", "browser on 192.0.2.7", "refuse freeze") in results
    assert ("ann", "browser on 192.0.2.7", "freeze") in results


def test_the_signed_in_person_is_in_the_header_and_the_tab_shows_what_is_at_risk(bench: Bench) -> None:
    async def drive(at: str) -> None:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{at}/ws?width=120&height=36", headers=as_visitor("ann.m")) as socket,
        ):
            screen = Screen(socket)
            await screen.see("ann.m")
            await screen.see("SERVICES")
            assert "Headway: 0 at risk" in screen.titles

    permit(bench, PermissionRule("*", Role.VIEW))
    with behind_a_proxy(bench) as (_, at):
        asyncio.run(drive(at))


def test_an_open_session_goes_by_the_rights_of_each_moment(bench: Bench) -> None:
    async def drive(at: str) -> None:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{at}/ws?width=120&height=36", headers=as_visitor("ann")) as socket,
        ):
            screen = Screen(socket)
            await screen.see("SERVICES")
            for allowed, then in (
                ((PermissionRule("*", Role.VIEW),), "not done"),
                ((), "not done"),
                ((PermissionRule("ann", Role.ACT),), "FROZEN"),
            ):
                await asyncio.to_thread(permit, bench, *allowed)
                await screen.press("F")
                await screen.see("FREEZE")
                await screen.press("the network moves\r")
                await screen.see("Freeze")
                await screen.press("\x1b[B\r")
                await screen.see(then)

    permit(bench, PermissionRule("ann", Role.ACT))
    with behind_a_proxy(bench) as (_, at):
        asyncio.run(drive(at))
    verbs = [verb for who, _, verb in audit_rows(bench) if who == "ann"]
    assert ["freeze", "refuse freeze", "refuse freeze"] == sorted(verbs)


def test_a_config_that_permits_nothing_any_more_closes_the_console_until_it_does(bench: Bench) -> None:
    async def page(at: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as browser, browser.get(f"{at}/", headers=as_visitor("ann")) as answer:
            return answer.status, await answer.text()

    with behind_a_proxy(bench) as (_, at):
        config = bench.folder / "serve.toml"
        for text, status in ((SYSTEM, 503), ("[systems", 503), (SYSTEM + PERMISSIONS, 200), ("[systems", 200)):
            config.write_text(text)
            number, message = asyncio.run(page(at))
            assert status == number, message
            assert (status == 503) is ("without [[permissions]]" in message)


def test_a_person_serving_themself_is_the_requester(bench: Bench) -> None:
    async def drive(at: str, link: str) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(link) as page:
                base = str(page.url)
            async with browser.ws_connect(f"{base}ws?width=120&height=36", headers={"Origin": at}) as socket:
                screen = Screen(socket)
                await screen.see("SERVICES")
                await screen.press("\x1a")
                await screen.see("a console in a browser has no shell")
                await screen.press("F")
                await screen.see("FREEZE")
                await screen.press("why not\r")
                await screen.see("Freeze")
                await screen.press("\x1b[B\r")
                await screen.see("FROZEN")

    with serving(bench) as (process, at):
        assert process.stdout is not None
        asyncio.run(drive(at, process.stdout.readline().strip()))
    assert (access.os_user(), "browser on 127.0.0.1", "freeze") in audit_rows(bench)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_server_ends_its_consoles_end_too(bench: Bench, number: signal.Signals) -> None:
    async def opened(at: str, process: subprocess.Popen[str]) -> list[int]:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{at}/ws", headers=as_visitor("ann")) as socket,
        ):
            await Screen(socket).see("SERVICES")
            children = await asyncio.to_thread(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text)
            process.send_signal(number)
            await asyncio.to_thread(process.wait, 30)
            return [int(name) for name in children.split()]

    with behind_a_proxy(bench) as (process, at):
        [console] = asyncio.run(opened(at, process))
        assert (0 if number != signal.SIGKILL else -9) == process.returncode
    asyncio.run(wait_until_ended(console))
