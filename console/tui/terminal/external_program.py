"""Other programs: in the console's terminal, which pauses meanwhile, or a command of `headway` beside the console."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence

from textual.app import App, SuspendNotSupported

from console.text.cleaning import clean, clean_line
from console.tui.frame.console_app import ConsoleApp


def suspended(app: App[int], argv: Sequence[str]) -> int:
    with app.suspend():
        return subprocess.run(argv, check=False).returncode  # noqa: S603 - our own command


def _suspend_fault(app: App[int]) -> str:
    return "the console is in a browser, which" if app.is_web else "this terminal"


def open_shell(app: App[int], command: Sequence[str], name: str) -> str:
    try:
        code = suspended(app, (*command, "system", "shell", name))
    except SuspendNotSupported:
        return f"{_suspend_fault(app)} cannot open a session: headway system shell {shlex.quote(name)}"
    return f"back from {name}" if code == 0 else f"the session at {name} failed; see the terminal output"


def open_pager(app: App[int], text: str) -> str:
    """Shows the text in the pager of the environment (PAGER, else less); returns why it failed, empty on success. No
    control character of the text reaches the pager."""
    pager = os.environ.get("PAGER", "").strip() or "less"
    with tempfile.NamedTemporaryFile("w", prefix="headway-log-", suffix=".log", encoding="utf-8") as file:
        file.write(clean(text).rstrip("\n") + "\n")
        file.flush()
        try:
            suspended(app, [*shlex.split(pager), file.name])
        except SuspendNotSupported:
            return f"{_suspend_fault(app)} cannot open a pager"
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return f"the pager {pager} cannot be started: {why}; set PAGER to one that can"
    return ""


def run_beside(
    app: ConsoleApp, arguments: Sequence[str], then: Callable[[str], None], failed: Callable[[str], None]
) -> None:
    """Runs a command of `headway` and passes on what it prints, or why it failed. It goes on if the console quits."""

    def run() -> None:
        argv = [*app.command, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - our own command
                argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
            )
        except OSError as error:
            reason = str(error)
            app.deliver(lambda: failed(reason))
            return
        fault = clean_line(" ".join(done.stderr.split())).removeprefix("headway: ")
        fault = fault or f"headway {arguments[0]} ended with exit code {done.returncode}"
        app.deliver(lambda: then(done.stdout.strip()) if done.returncode == 0 else failed(fault))

    threading.Thread(target=run, name=f"headway-{arguments[0]}", daemon=True).start()
