"""Keys that come before what they are about is read: they wait for it, and are not refused."""

from __future__ import annotations

from typing import Any

from console.tui.screens.base import BaseScreen
from console.tui.screens.frame import READING

WAITS = ("open", "recover", "log", "lineage", "blast", "runbook", "rerun")
"""What leads somewhere; nothing of it is sent without being shown first."""


class Early(BaseScreen):
    """A screen of one thing, in `view` once it is read. The last key counts; any other, as Escape, ends the wait."""

    view: Any = None
    _early = ""

    def action_act(self, name: str) -> None:
        waits = name in WAITS and self.view is None and not self.lost and not self.board.store_error
        self._early = name if waits else ""
        if waits:
            self.notice(READING)
        else:
            super().action_act(name)

    def act_early(self) -> None:
        """It is read: what was asked for meanwhile is done."""
        name, self._early = self._early, ""
        if name:
            self.call_after_refresh(self.action_act, name)
