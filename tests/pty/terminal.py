"""The far side of a pseudo-terminal: starts a program, answers its queries as xterm does, reads its screen, types.

Times are taken when bytes arrive, before they are emulated: the emulation's cost is not the program's. It is paid only
when a test reads the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

from tests.lab.process import HANGS_SECONDS, LabError, time_left, wait_until

KEYS = {
    "down": "\x1b[B", "up": "\x1b[A", "pagedown": "\x1b[6~", "pageup": "\x1b[5~", "home": "\x1b[H", "end": "\x1b[F",
    "enter": "\r", "escape": "\x1b", "tab": "\t", "space": " ", "backspace": "\x7f", "ctrl+c": "\x03", "ctrl+p": "\x10",
}  # fmt: skip
_ANSWERS = [  # question -> answer, as xterm gives them; a program that waits for one is not made slow by us
    (re.compile(rb"\x1b\[0?c"), b"\x1b[?62;22c"),
    (re.compile(rb"\x1b\[>0?c"), b"\x1b[>41;390;0c"),
    (re.compile(rb"\x1b\[>q"), b"\x1bP>|xterm(390)\x1b\\"),
    (re.compile(rb"\x1b\[6n"), b"\x1b[1;1R"),
    (re.compile(rb"\x1b\[\?2026\$p"), b"\x1b[?2026;2$y"),
    (re.compile(rb"\x1b\[\?2048\$p"), b"\x1b[?2048;0$y"),
    (re.compile(rb"\x1b\]11;\?(?:\x07|\x1b\\)"), b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
    (re.compile(rb"\x1b\[\?u"), b"\x1b[?0u"),
]
_UNKNOWN_TO_PYTE = re.compile(
    rb"\x1b\[[<>=?][0-9;:]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b[P_^X][^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
_BEGINS, _ENDS = b"\x1b[?2026h", b"\x1b[?2026l"
"""Around each picture, by programs that know synchronized output: what lies between is not looked at in pieces."""


class Terminal:
    """A program in a terminal of `size` (columns, lines). Use as a context: leaving it ends the program."""

    def __init__(
        self, argv: Sequence[str], size: tuple[int, int] = (80, 24), env: Mapping[str, str] | None = None
    ) -> None:
        columns, lines = size
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._unseen = bytearray()
        self.received = bytearray()
        self.ended = False
        self.read_at = 0.0
        self.started_at = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            self._become(argv, size, env or {})
        os.set_inheritable(self._fd, False)  # another program that has it open keeps the line from being lost
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @staticmethod
    def _become(argv: Sequence[str], size: tuple[int, int], env: Mapping[str, str]) -> None:
        columns, lines = size
        try:
            own = {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.environ.update({**own, "LANG": "C.UTF-8", **env})
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background of a script ignores it
            os.execvp(argv[0], list(argv))
        finally:
            os._exit(127)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # reading

    def read(self, seconds: float) -> bool:
        """Takes in what the program writes within `seconds`; False when it stays silent or has ended."""
        if self._fd < 0:  # the line is lost
            return False
        ready, _, _ = select.select([self._fd], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the far end is closed
            data = b""
        if not data:
            self.ended = True
            return False
        self.read_at = time.perf_counter()
        self._answer(data)
        self.received += data
        self._unseen += data
        return True

    def _emulate(self) -> None:
        """The screen as the bytes until now make it."""
        if self._unseen:
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", self._unseen))
            self._unseen.clear()

    def _answer(self, data: bytes) -> None:
        tail = bytes(self.received[-32:])
        probe = tail + data
        questions = [
            (match.start(), answer)
            for question, answer in _ANSWERS
            for match in question.finditer(probe)
            if match.end() > len(tail)
        ]
        for _, answer in sorted(questions):
            os.write(self._fd, answer)

    @property
    def text(self) -> str:
        """The text of the screen."""
        self._emulate()
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def is_whole(self) -> bool:
        """False while a picture has begun to come and its end has not."""
        return self.ended or self.received.rfind(_BEGINS) <= self.received.rfind(_ENDS)

    def wait_for(self, *expected: str | Callable[[str], bool]) -> str:
        """The screen, as soon as a complete one contains all that is expected: what a screen reads comes in parts.
        Raises AssertionError with the screen when it does not within `time_left`."""
        end = time.perf_counter() + time_left()
        while not (
            self.is_whole and all(part(self.text) if callable(part) else part in self.text for part in expected)
        ):
            remaining = end - time.perf_counter()
            assert remaining > 0, f"{expected!r} never came; the screen:\n{self.text}"
            assert not self.ended, f"it ended before {expected!r} came; the screen:\n{self.text}"
            if self.read(min(remaining, 0.5)):
                self.settle(0.0, 0.2)  # existing text is checked together
        return self.text

    def wait_for_end(self, grace: float = HANGS_SECONDS) -> int:
        """The program's exit code, once it has ended by itself. Raises AssertionError when it has not by then."""
        codes = list[int]()

        def has_ended() -> bool:
            self.settle(0.0, 0.2)  # a program that cannot write does not end
            codes.extend(self._exit_code())
            return bool(codes)

        try:
            wait_until(has_ended, "its end", pause=0.02, grace=grace)
        except LabError as error:
            raise AssertionError(f"{error}; the screen:\n{self.text}") from None
        self.settle(0.0)  # what it wrote last
        return codes[0]

    def _exit_code(self) -> list[int]:
        """Its exit code, once: as soon as it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return []
        self.pid = 0
        return [os.waitstatus_to_exitcode(status)]

    def settle(self, quiet_seconds: float = 0.15, limit_seconds: float = 5.0) -> None:
        """Reads until the program is silent for a while."""
        end = time.perf_counter() + limit_seconds
        while time.perf_counter() < end and self.read(quiet_seconds):
            pass

    # typing

    def press(self, *keys: str) -> float:
        """Types keys by name, or texts as they are; the moment at which the last was written."""
        at = time.perf_counter()
        for key in keys:
            at = time.perf_counter()
            os.write(self._fd, KEYS.get(key, key).encode(errors="surrogateescape"))
        return at

    def answer_ms(self, key: str, timeout_seconds: float = 2.0) -> float | None:
        """Milliseconds from a key to the first output after which the screen differs; None when none came."""
        before = self._rows()
        at = self.press(key)
        while (remaining := at + timeout_seconds - time.perf_counter()) > 0 and not self.ended:
            if self.read(remaining) and self._differs(before):
                return (self.read_at - at) * 1000
        return None

    def _rows(self) -> dict[int, tuple[Any, ...]]:
        self._emulate()
        self._screen.dirty.clear()
        return {y: self._row(y) for y in range(self._screen.lines)}

    def _row(self, y: int) -> tuple[Any, ...]:
        line = self._screen.buffer[y]
        return tuple(line[x] for x in range(self._screen.columns))

    def _differs(self, before: dict[int, tuple[Any, ...]]) -> bool:
        self._emulate()
        return any(before[y] != self._row(y) for y in sorted(self._screen.dirty) if y in before)

    # the process

    @property
    def rss_mib(self) -> float:
        """Resident memory of the program."""
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))

    @property
    def cpu_ms(self) -> float:
        """Processor time that its threads have used: steadier than the clock on a busy machine."""
        paths = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in paths) / 1_000_000

    def hang_up(self) -> None:
        """The line is lost: the near end is closed, as sshd does. The program must end; it is waited for."""
        os.close(self._fd)
        self._fd = -1
        wait_until(self._exit_code, "its end after its line was lost")

    def close(self) -> None:
        """Ends the program, gently first, and waits for it."""
        for sign, grace in ((signal.SIGTERM, 20.0), (signal.SIGKILL, HANGS_SECONDS)):
            if self.pid == 0:
                break
            os.kill(self.pid, sign)
            try:
                self.wait_for_end(grace)
            except AssertionError:
                continue
        if self._fd >= 0:
            os.close(self._fd)
