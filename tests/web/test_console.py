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
from tests.lab.process import HANGS_SECONDS, accepts, free_port, wait_until
from tests.web.test_server import wait_until_ended

__all__ = ["bench"]

SECRET = "0123456789abcdef"
ORIGIN = "https://ops.example.org"


@contextmanager
def serving(bench: Bench, url: str = f"{ORIGIN}/headway/") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, once it listens, and its address behind the proxy."""
    config, secret, port = bench.folder / "serve.toml", bench.folder / "secret", free_port()
    config.write_text(SYSTEM + PERMISSIONS)
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    argv = [sys.executable, "-m", "console", "--config", str(config), "--store", bench.url, "console", "serve"]
    arguments = (url, "--secret-file", str(secret), "--port", str(port))
    process = subprocess.Popen([*argv, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        at = f"127.0.0.1:{port}"
        assert f"serving {url.rstrip('/')} on {at}\n" == process.stderr.readline()
        wait_until(lambda: accepts(port), f"a server on port {port}")
        yield process, f"http://{at}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


class Screen:
    """What the console has sent to one browser so far."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._socket, self.seen = socket, ""

    async def see(self, text: str) -> None:
        while text not in self.seen:
            message = await asyncio.wait_for(self._socket.receive(), HANGS_SECONDS)
            assert message.type is aiohttp.WSMsgType.BINARY, self.seen[-2000:]
            self.seen += message.data.decode("utf-8", "replace")

    async def press(self, keys: str) -> None:
        self.seen = ""
        await self._socket.send_json(["stdin", keys])


def as_visitor(name: str, address: str = "192.0.2.7") -> dict[str, str]:
    """What the proxy sends with each request of somebody who has signed in."""
    return {"Origin": ORIGIN, "X-Headway-Secret": SECRET, "X-Forwarded-User": name, "X-Real-IP": address}


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
    with serving(bench) as (_, at):
        asyncio.run(freeze(at, "bob", "not done"))
        asyncio.run(freeze(at, "ann", "FROZEN"))
    results = audit_rows(bench)
    assert ("bob", "browser on 192.0.2.7", "refuse freeze") in results
    assert ("ann", "browser on 192.0.2.7", "freeze") in results


def test_the_signed_in_person_is_in_the_header(bench: Bench) -> None:
    async def drive(at: str) -> None:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{at}/ws?width=120&height=36", headers=as_visitor("ann.m")) as socket,
        ):
            screen = Screen(socket)
            await screen.see("ann.m")
            await screen.see("SERVICES")

    permit(bench, PermissionRule("*", Role.VIEW))
    with serving(bench) as (_, at):
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
    with serving(bench) as (_, at):
        asyncio.run(drive(at))
    verbs = [verb for who, _, verb in audit_rows(bench) if who == "ann"]
    assert ["freeze", "refuse freeze", "refuse freeze"] == sorted(verbs)


def test_a_browser_has_no_shell(bench: Bench) -> None:
    async def drive(at: str) -> None:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{at}/ws?width=120&height=36", headers=as_visitor("ann")) as socket,
        ):
            screen = Screen(socket)
            await screen.see("SERVICES")
            await screen.press("\x1a")
            await screen.see("a console in a browser has no shell")

    permit(bench, PermissionRule("*", Role.VIEW))
    with serving(bench) as (_, at):
        asyncio.run(drive(at))


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
            await asyncio.to_thread(process.wait, HANGS_SECONDS)
            return [int(name) for name in children.split()]

    with serving(bench) as (process, at):
        [console] = asyncio.run(opened(at, process))
        assert (0 if number != signal.SIGKILL else -9) == process.returncode
    asyncio.run(wait_until_ended(console))
