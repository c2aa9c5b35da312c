"""A real browser: Debian's chromium without a window, led over its debugging port."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from tests.lab.process import HANGS_SECONDS, LabError, clean_environment, wait_seconds, wait_until

T = TypeVar("T")
SETTLED_SECONDS = 0.5
KEYS = {"Enter": (13, "\r"), "Escape": (27, "\x1b"), "ArrowDown": (40, ""), "ArrowUp": (38, "")}
"""Name -> its code, and the text that it types."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--window-size=1280,800",
)  # fmt: skip


class Browser:
    """One tab. Use as a context: leaving it ends the browser."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self._profile = tempfile.TemporaryDirectory(prefix="headway-browser-", ignore_cleanup_errors=True)
        self._home = Path(self._profile.name)
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self.requested: list[str] = []
        """The address of every request that a page has made."""
        self.logged: list[str] = []
        """What pages wrote to their console: what a page was refused stands there."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["chromium", *FLAGS, *self._flags, f"--user-data-dir={self._home}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=clean_environment(HOME=str(self._home)),
        )  # fmt: skip
        try:
            self._loop.run_until_complete(self._connect(self._port()))
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._session.close())
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(HANGS_SECONDS)
        self._loop.close()
        self._profile.cleanup()

    def _port(self) -> int:
        file = self._home / "DevToolsActivePort"

        def has_port() -> bool:
            return file.exists() and bool(file.read_text().strip())

        wait_until(lambda: has_port() or self._process.poll() is not None, "chromium's debugging port")
        if not has_port():
            raise LabError(f"chromium ended with {self._process.poll()} before it opened its debugging port")
        return int(file.read_text().split()[0])

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = json.loads(await answer.text())
        page = next(page for page in pages if page["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    # what a person does and sees

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def type(self, text: str) -> None:
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)

    def press(self, key: str) -> None:
        code, text = KEYS[key]
        named: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def click(self, x: int, y: int) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, x: int = 0, y: int = 0, width: int = 0, height: int = 0) -> bytes:
        """A PNG of the current page, or of a part of it."""
        clip: dict[str, Any] = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        data: str = self.call("Page.captureScreenshot", **({"clip": clip} if width else {}))["data"]
        return base64.b64decode(data)

    def evaluate(self, script: str) -> Any:
        """What a script in the page comes to."""
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)["result"].get(
            "value"
        )

    def wait_for(self, script: str) -> Any:
        """Until a script in the page comes to something that is true; that. LabError when it does not."""
        return self._wait(lambda: self.evaluate(script), f"in the page: {script}")

    def settled(self, *part: int) -> bytes:
        """That part of the picture, once it stays as it is."""

        def lasting() -> bytes | None:
            picture = self.screenshot(*part)
            wait_seconds(SETTLED_SECONDS)
            return picture if picture == self.screenshot(*part) else None

        return self._wait(lasting, "the picture to stay as it is")

    def wait_for_other(self, before: bytes, *part: int) -> bytes:
        """Until that part of the picture is another one; it."""

        def other() -> bytes | None:
            picture = self.screenshot(*part)
            return picture if picture != before else None

        return self._wait(other, "another picture")

    def _wait(self, condition: Callable[[], T | None], what: str) -> T:
        try:
            return wait_until(condition, what, pause=0.1)
        except LabError as error:
            raise LabError(f"{error}; the page said {self.logged}") from error

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call of the debugging protocol; the browser's events meanwhile are stored."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), HANGS_SECONDS))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async for message in self._socket:
            document = json.loads(message.data)
            self._keep(document)
            if document.get("id") == self._number:
                if "error" in document:
                    raise LabError(f"{method}: {document['error']}")
                result: dict[str, Any] = document["result"]
                return result
        raise LabError(f"{method}: the browser has ended")

    def _keep(self, details: dict[str, Any]) -> None:
        about = details.get("params", {})
        match details.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])
            case "Network.webSocketCreated":
                self.requested.append(about["url"])
            case "Log.entryAdded":
                self.logged.append(str(about["entry"]["text"]))
            case "Runtime.exceptionThrown":
                self.logged.append(str(about["exceptionDetails"].get("exception", {}).get("description")))
