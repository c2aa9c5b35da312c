"""Another program in the console's terminal, and back: the console waits, its engine does not."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from textual.app import App


def step_aside(app: App[int], argv: Sequence[str]) -> int:
    """Runs the program where the console was; its exit code once it has ended."""
    with app.suspend():
        return subprocess.run(argv, check=False).returncode  # noqa: S603 - our own command
