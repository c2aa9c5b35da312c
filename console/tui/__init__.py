"""The console: screens that show what the store remembers and ask the engine for what a person wants.

A screen never waits: `desk.Desk` threads read and ask, handlers own the widgets, `rows` decides what a cell says.

Textual reads its settings from the environment when it is imported, and every import of it comes through here.
"""

from __future__ import annotations

import os

ESCAPE_MS = "20"
"""How long a lone Escape waits for the rest of an arrow key; too short splits arrows on bad lines (20 to 50)."""

os.environ.setdefault("ESCDELAY", ESCAPE_MS)
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_FPS", "30" if os.environ.get("SSH_CONNECTION") else "240")
"""What a key has changed waits for the next frame: of 60 a second for 8 ms, of 240 for 2. Nothing is painted that has
not changed, and a flood of changes not more than ten times a second (`pace`)."""
