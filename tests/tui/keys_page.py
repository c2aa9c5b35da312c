"""Writes docs/keys.md from the table of actions: `python -m tests.tui.keys_page`."""

from __future__ import annotations

from pathlib import Path

from console.tui import keys

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"

if __name__ == "__main__":
    PAGE.write_text(keys.markdown(), encoding="utf-8")
