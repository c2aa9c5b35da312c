"""The Tab key in fish and zsh, which a machine need not have."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from contextlib import suppress

import pytest

from console.cli.commands import COMMANDS
from tests.cli.test_completion import shell
from tests.engine.conftest import bench
from tests.lab.process import HANGS_SECONDS, wait_until

__all__ = ["bench", "shell"]

pytestmark = pytest.mark.lab


def test_fish_offers_what_fits_with_its_meaning(shell: dict[str, str]) -> None:
    fish = shutil.which("fish")
    assert fish, "tools/apt-packages.txt names it"
    ask = 'headway completion fish | source; complete -C "headway inc"; complete -C "headway job fake/ex"'
    done = subprocess.run(
        [fish, "-c", ask], env=shell, capture_output=True, text=True, timeout=HANGS_SECONDS, check=True
    )
    assert [f"incident\t{COMMANDS['incident'].help}", "fake/extract"] == (done.stdout.splitlines())


def test_zsh_completes_the_token_as_it_is_typed(shell: dict[str, str]) -> None:
    zsh = shutil.which("zsh")
    assert zsh, "tools/apt-packages.txt names it"
    process, terminal = pty.fork()
    if process == 0:
        os.execve(zsh, ["zsh", "-f", "-i"], {**shell, "TERM": "dumb", "PS1": "> "})
    try:
        os.write(terminal, b'autoload -U compinit; compinit -u; eval "$(headway completion zsh)"; echo re""ady\n')
        read_until(terminal, "ready")
        os.write(terminal, b"headway lineage fake/ex\t")
        assert "headway lineage fake/extract" in read_until(terminal, "fake/extract")
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows until the text is there."""
    seen = ""
    os.set_blocking(terminal, False)

    def is_shown() -> bool:
        nonlocal seen
        with suppress(BlockingIOError):
            seen += os.read(terminal, 4096).decode(errors="replace")
        return text in seen

    wait_until(is_shown, f"{text} in the terminal")
    return seen
