"""docs/plain.md: every screen has a command that shows the same as lines of text."""

from __future__ import annotations

import re
from pathlib import Path

from console.cli.commands import COMMANDS
from console.config.key_table import SCREENS

PAGE = Path(__file__).parents[1] / "docs" / "plain.md"
ROWS = re.findall(r"^\| ([^|`]+?) \| `headway ([a-z-]+)[^`]*` \|$", PAGE.read_text(encoding="utf-8"), re.M)


def test_every_screen_has_a_command_of_its_own() -> None:
    assert list(SCREENS.values()) == [screen for screen, _ in ROWS]


def test_every_command_listed_for_a_screen_exists() -> None:
    assert [] == [command for _, command in ROWS if command not in COMMANDS]
