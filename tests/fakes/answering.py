"""One process that answers for all fake tools: a script of ours calls them hundreds of times, and to start Python again
for each call took nine tenths of these tests' time.

Its standard input is the test process: with that it ends. A tool is a module whose `run` is called with the tool's
name, the state's folder and the arguments; what it prints, and its exit code, reach the caller. It is fed nothing.
"""

from __future__ import annotations

import io
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from socket import create_server, socket
from threading import Thread

SHIM = """\
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 127
printf '%s\\0' $(($# + 3)) {module} {tool} {state} "$@" >&3
read -r -u 3 code size
command -p head -c "$size" <&3
command -p cat <&3 >&2
exit "$code"
"""


def shim(module: str, tool: str, state: Path) -> str:
    """The script on a PATH for that tool."""
    return SHIM.format(port=_port(), module=module, tool=tool, state=state)


@cache
def _port() -> int:
    """Of the process, which is started with the first tool that is requested."""
    texts = [sys.executable, "-c", "from tests.fakes.answering import serve; serve()"]
    process = subprocess.Popen(
        texts, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], start_new_session=True
    )
    assert process.stdout is not None
    _processes.append(process)
    return int(process.stdout.readline())


_processes: list[subprocess.Popen[bytes]] = []
"""Whose inputs stay open as long as this process lives."""


def serve() -> None:
    """Answers one call after the other until the test process is gone."""
    with create_server(("127.0.0.1", 0)) as connection:
        print(connection.getsockname()[1], flush=True)
        Thread(target=_answer_all, args=(connection,), daemon=True).start()
        sys.stdin.read()


def _answer_all(connection: socket) -> None:
    while True:
        caller, _ = connection.accept()
        with caller, caller.makefile("rwb") as line:
            count = int(_first_token(line))
            module, tool, state, *arguments = (_first_token(line) for _ in range(count))
            code, out, err = _called(module, tool, state, arguments)
            line.write(b"%d %d\n%b%b" % (code, len(out), out, err))


def _first_token(line: io.BufferedRWPair) -> str:
    result = bytearray()
    while (letter := line.read(1)) not in (b"\0", b""):
        result += letter
    return result.decode("utf-8", "surrogateescape")


def _called(module: str, tool: str, state: str, arguments: list[str]) -> tuple[int, bytes, bytes]:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", newline="") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = int(import_module(module).run(tool, state, arguments) or 0)
        except Exception:  # noqa: BLE001 - as a process that fails
            traceback.print_exc()
            code = 1
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue())
    return code, texts[0], texts[1]
