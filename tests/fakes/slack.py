"""A fake Slack: the Web API methods and the Socket Mode WebSocket that Headway uses, with the fields of the examples in
docs.slack.dev (apps.connections.open, auth.test, chat.postMessage, Using Socket Mode, block_actions payload). It is not
Slack."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from queue import Queue
from time import time
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from slack_sdk.http_retry.builtin_interval_calculators import BackoffRetryIntervalCalculator
from slack_sdk.socket_mode.builtin import client as library
from slack_sdk.socket_mode.interval_runner import IntervalRunner

from tests.lab.process import HANGS_SECONDS

PAUSE_SECONDS = 0.02


def hasten(patch: pytest.MonkeyPatch) -> None:
    """slack-sdk looks for a lost connection every 5 s and for its own end every second, and tries again after a second.
    Its timeouts are as ever."""
    patch.setattr(library, "IntervalRunner", lambda target, seconds: IntervalRunner(target, min(seconds, 0.1)))
    patch.setattr(library, "Queue", _Queue)
    patch.setattr(BackoffRetryIntervalCalculator, "calculate_sleep_duration", lambda *_: 0.0)


class _Queue(Queue[Any]):
    """`get` waits in vain no longer than a moment."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return super().get(block, timeout and min(timeout, PAUSE_SECONDS))


class FakeSlack:
    """One workspace with one app and one channel."""

    def __init__(self) -> None:
        self.app_token = "xapp-1-A012345-fake"
        self.bot_token = "xoxb-123456789012-123456789012-fakefakefake"
        self.scopes = "chat:write,channels:read"
        """Of the bot token."""
        self.refuses = ""
        """ "apps.connections.open" or "link"."""
        self.messages: list[dict[str, Any]] = []
        """As posted, each with `ts`."""
        self.replies: list[dict[str, Any]] = []
        """Posted to a response_url."""
        self.confirmed: set[str] = set()
        """envelope_id of confirmed messages."""
        self.connections = 0
        self._sockets: list[web.WebSocketResponse] = []
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._pinging = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_connected(self) -> bool:
        return bool(self._sockets)

    def press(self, action_id: str, user: str, message: dict[str, Any], again: bool = False) -> str:
        """Sends a press of a button of the message; its envelope_id. `again`: once more, as Slack does where an
        envelope was not confirmed."""
        [block] = [block for part in message["attachments"] for block in part.get("blocks", ()) if "elements" in block]
        [button] = [element for element in block["elements"] if element.get("action_id") == action_id]
        number = next(self._numbers)
        action = {**button, "block_id": block["block_id"], "action_ts": f"{int(time())}.{number:06}"}
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": "mara", "name": "mara", "team_id": "T012345"},
            "api_app_id": "A012345",
            "token": "verification",
            "container": {"type": "message_attachment", "message_ts": message["ts"], "channel_id": "C012345"},
            "trigger_id": f"{number}.{number}.fake",
            "team": {"id": "T012345", "domain": "example"},
            "channel": {"id": "C012345", "name": "ops"},
            "message": {"type": "message", "bot_id": "B012345", **message},
            "response_url": f"{self.url}/actions/T012345/{number}/fake",
            "actions": [action],
        }
        envelope = {
            "envelope_id": f"envelope-{number}",
            "type": "interactive",
            "accepts_response_payload": False,
            "payload": payload,
        }
        for _ in range(2 if again else 1):
            asyncio.run_coroutine_threadsafe(self._sockets[-1].send_json(envelope), self._loop).result(HANGS_SECONDS)
        return str(envelope["envelope_id"])

    def drop(self) -> None:
        """Ends all connections, as a restart of the network does."""
        for socket in list(self._sockets):
            asyncio.run_coroutine_threadsafe(socket.close(), self._loop).result(HANGS_SECONDS)

    def ping(self) -> None:
        """Pings from now on, as Slack does: slack-sdk can close a connection only between two reads, each of which
        waits 3 s for data."""
        self._loop.call_soon_threadsafe(self._pinging.set)

    async def _open(self, request: web.Request) -> web.Response:
        if (
            self.refuses == "apps.connections.open"
            or request.headers.get("Authorization") != f"Bearer {self.app_token}"
        ):
            return web.json_response({"ok": False, "error": "invalid_auth"})
        return web.json_response({"ok": True, "url": f"ws://127.0.0.1:{self.port}/link/?ticket=fake&app_id=A012345"})

    async def _test(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.bot_token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        document = {"ok": True, "url": "https://example.slack.com/", "team": "Example", "user": "headway"}
        ids = {"team_id": "T012345", "user_id": "W012345", "bot_id": "B012345"}
        return web.json_response(document | ids, headers={"X-OAuth-Scopes": self.scopes})

    async def _post(self, request: web.Request) -> web.Response:
        message = {**await request.json(), "ts": f"1600000000.{next(self._numbers):06}"}
        self.messages.append(message)
        return web.json_response({"ok": True, "channel": "C012345", "ts": message["ts"], "message": message})

    async def _reply(self, request: web.Request) -> web.Response:
        self.replies.append(await request.json())
        return web.Response(text="ok")

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self.refuses == "link":
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = {"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A012345"}}
        await socket.send_json(hello)
        self.connections += 1
        self._sockets.append(socket)
        pings = asyncio.create_task(self._ping(socket))
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                self.confirmed.add(json.loads(message.data)["envelope_id"])
        self._sockets.remove(socket)
        pings.cancel()
        return socket

    async def _ping(self, socket: web.WebSocketResponse) -> None:
        await self._pinging.wait()
        with suppress(ConnectionError):
            while not socket.closed:
                await socket.ping()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _serve(self, ready: threading.Event, ended: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_post("/api/apps.connections.open", self._open)
        app.router.add_post("/api/auth.test", self._test)
        app.router.add_post("/api/chat.postMessage", self._post)
        app.router.add_post("/actions/{tail:.*}", self._reply)
        app.router.add_get("/link/", self._link)
        runner = web.AppRunner(app, shutdown_timeout=0.05)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await ended.wait()
        await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[FakeSlack]:
        ready, ended = threading.Event(), asyncio.Event()
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready, ended)))
        thread.start()
        assert ready.wait(HANGS_SECONDS)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(ended.set)
            thread.join(HANGS_SECONDS)
            self._loop.close()
