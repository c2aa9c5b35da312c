"""The console: screens that show the store's data and send a user's requests to the engine.

A screen never waits: threads query the store and send requests, handlers own the widgets, `rows` formats the cells.
Textual reads its settings from the environment on import, and every import of it passes through here.
"""

from __future__ import annotations

import os

ESCAPE_MS = "20"
"""How long a lone Escape waits for the rest of an arrow key; too short splits arrows on bad lines (20 to 50)."""

os.environ.setdefault("ESCDELAY", ESCAPE_MS)
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_FPS", "30" if os.environ.get("SSH_CONNECTION") else "240")
