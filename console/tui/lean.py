"""Textual without what no screen of ours uses: what it loads is most of the console's start.

Textual's command palette brings five widgets along, asyncio brings TLS. While they are loaded something empty stands
in their place; whoever wants them afterwards gets the real ones. docs/decisions/2026-11-21-the-first-paint.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

UNUSED = ("textual.command", "rich.table")
"""The palette is off (`ENABLE_COMMAND_PALETTE`); of tables Textual draws its colours at a developer's wish."""


class _Empty(ModuleType):
    """A module that has every name: an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


def load_asyncio() -> None:
    """asyncio as in a Python that was built without TLS: no screen speaks it. Before a second thread is there."""
    if "asyncio" not in sys.modules and "ssl" not in sys.modules:
        with _instead({"ssl": None}):
            import asyncio  # noqa: F401 - loaded is all


def load_textual() -> None:
    """Textual's app, for `console.tui.app`; one that is loaded already stays as it is."""
    if "textual.app" not in sys.modules:
        with _instead({name: _Empty(name) for name in UNUSED}):
            import textual.app  # noqa: F401 - loaded is all


@contextmanager
def _instead(given: dict[str, Any]) -> Iterator[None]:
    """These stand in `sys.modules` for a moment, those that nobody has loaded yet."""
    given = {name: stand for name, stand in given.items() if name not in sys.modules}
    sys.modules.update(given)
    try:
        yield
    finally:
        for name, stand in given.items():
            if sys.modules.get(name) is stand:
                del sys.modules[name]
