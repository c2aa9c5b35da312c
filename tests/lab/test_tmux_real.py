"""Title, bell and notification in a real terminal multiplexer: they arrive, and the title from before comes back."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import join

import pytest

from connectors.sdk.states import RunState
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.needs import command, what_is_missing
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.pty.terminal import Terminal

__all__ = ["bench"]

CONFIG = """
set -g allow-passthrough on
set -g focus-events on
set -g monitor-bell on
set -g bell-action any
set -g visual-bell off
set -g status off
"""
BEFORE = "what it was called before"


@dataclass
class Tmux:
    """A server of its own, with a terminal attached to its one window."""

    socket: str
    terminal: Terminal

    def ask(self, *arguments: str) -> str:
        argv = [command("tmux"), "-L", self.socket, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=HANGS_SECONDS, check=True).stdout.strip()

    @property
    def title(self) -> str:
        return self.ask("display-message", "-p", "#{pane_title}")

    def is_called(self, title: str) -> None:
        wait_until(lambda: self.title == title, f"the title {title}; it is {self.title}")

    def type(self, line: str) -> None:
        self.ask("send-keys", "-l", line)
        self.ask("send-keys", "Enter")

    def hears(self, sent: bytes, since: int) -> None:
        """The terminal outside gets this."""

        def result() -> bool:
            self.terminal.read(0.05)
            return sent in self.terminal.received[since:]

        wait_until(result, f"{sent!r}")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if missing := what_is_missing():
        pytest.fail(missing)
    config, socket = tmp_path / "tmux.conf", f"headway-{uuid.uuid4().hex[:12]}"
    config.write_text(CONFIG)
    argv = [command("tmux"), "-L", socket, "-f", str(config), "new-session", "-x", "120", "-y", "36", "sh"]
    with Terminal(argv, size=(120, 36), env={"TMUX": "", "XDG_STATE_HOME": str(tmp_path), "PS1": "$ "}) as terminal:
        made = Tmux(socket, terminal)
        terminal.wait_for(lambda text: "$" in text or "#" in text)
        yield made
        made.ask("kill-server")
        terminal.wait_for_end()


def test_title_bell_and_notification_arrive_and_the_title_is_as_before_at_the_end(bench: Bench, tmux: Tmux) -> None:
    services = {"supply": replace(bench.config.services["supply"], tier=1)}
    object.__setattr__(bench.parts.config, "services", services)
    bench.parts.config_sync.sync(bench.fence)
    bench.turn()
    tmux.type(f"printf '\\033]2;{BEFORE}\\007'")
    tmux.is_called(BEFORE)
    tmux.type(join([sys.executable, "-m", "console", "console", "--no-engine", "--store", bench.url]))
    tmux.terminal.wait_for("SERVICES 1")
    tmux.is_called("Headway: 0 at risk")
    tmux.terminal.press("\x1b[O")  # nobody watches this terminal
    tmux.terminal.settle(0.5)
    since = len(tmux.terminal.received)
    at = datetime.now(UTC) - timedelta(minutes=1)
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, at, message="exit 1")
    bench.turn()
    tmux.hears(b"\x1b]9;Headway: INC-0001 affects a tier-1 service\x07", since)
    heard = bytes(tmux.terminal.received[since:]).replace(b"tier-1 service\x07", b"")
    assert 1 == heard.count(b"\x07"), "one bell beside the end of the notification"
    tmux.is_called("Headway: 1 at risk")
    tmux.terminal.press("q")
    tmux.is_called(BEFORE)
