"""One visitor's console: a process whose screen is sent to the browser and whose keys come from there.

Packets as textual's web driver reads and writes them: a letter (D terminal output, M a message about the session), four
bytes of length, and that many bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from textual_serve.app_service import AppService

BEGINNING = b"__GANGLION__\n"
LEAVE_SECONDS = 5.0
"""Time that a console has to finish unsent requests on exit."""
LARGEST = 16 * 1024 * 1024
LAST_OUTPUT_BYTES = 4096
NOT_INHERITED = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TERM_PROGRAM", "TMUX", "STY", "LINES")
"""About the server's terminal, not the visitor's."""
Size = tuple[int, int]


class ConsoleSession:
    """`send` receives the output for the browser's terminal, `set_title` the title of its tab."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], set_title: Callable[[str], Awaitable[None]]) -> None:
        self._send, self._set_title = send, set_title
        self._process: asyncio.subprocess.Process | None = None
        self._leaving = asyncio.Event()
        self.last_output = ""
        """Last output outside its screen: why it could not start, or a message on exit."""

    async def run(self, argv: Sequence[str], size: Size, visitor: Mapping[str, str]) -> int:
        """Runs the console until it ends by itself or after `leave`; its exit code.

        Must not be cancelled: a process that is being created would stay.
        """
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        columns, rows = map(str, size)
        environment |= {
            "TEXTUAL_COLOR_SYSTEM": "truecolor",
            "COLUMNS": columns,
            "ROWS": rows,
            "PYTHONUTF8": "1",
            **visitor,
        }
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
        stderr_task = asyncio.create_task(self._read_errors(process.stderr))
        ends = [asyncio.create_task(self._forward_output(process.stdout)), asyncio.create_task(self._leaving.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        drain_task = asyncio.create_task(_drain(process.stdout))  # a full pipe would keep it from leaving
        await self._end(process)
        await asyncio.gather(drain_task, stderr_task)
        return process.returncode or 0

    def leave(self) -> None:
        self._leaving.set()

    async def type(self, keys: str) -> None:
        await self._send_packet(b"D", keys.encode("utf-8", "replace"))

    async def send_event(self, kind: str, **fields: Any) -> None:
        """Sends "resize" with width and height, "focus" or "blur"."""
        await self._send_packet(b"M", json.dumps({"type": kind, **fields}).encode())

    async def _send_packet(self, letter: Any, payload: bytes) -> None:
        stdin = self._process.stdin if self._process is not None else None
        if stdin is None or stdin.is_closing():
            return
        try:
            stdin.write(AppService.encode_packet(letter, payload))
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # it has just ended; `run` reports that

    async def _forward_output(self, stdout: asyncio.StreamReader | None) -> None:
        assert stdout is not None
        try:
            if await stdout.readline() != BEGINNING:
                return
            while True:
                head = await stdout.readexactly(5)
                size = int.from_bytes(head[1:], "big")
                if size > LARGEST:
                    return
                payload = await stdout.readexactly(size)
                if head[:1] == b"D":
                    await self._send(payload)
                    continue
                match json.loads(payload):
                    case {"type": "exit"}:
                        return
                    case {"type": "title", "title": str(title)}:
                        await self._set_title(title)
        except (asyncio.IncompleteReadError, ConnectionResetError, ValueError):
            return  # it has ended, or the browser has

    async def _read_errors(self, stderr: asyncio.StreamReader | None) -> None:
        assert stderr is not None
        while chunk := await stderr.read(LAST_OUTPUT_BYTES):
            self.last_output = (self.last_output + chunk.decode("utf-8", "replace"))[-LAST_OUTPUT_BYTES:]

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Closes the console's keyboard, so that it exits; kills it if it does not."""
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), LEAVE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(65_536):
        pass
