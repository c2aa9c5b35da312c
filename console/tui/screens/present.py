"""A screen that tells who else looks that this console shows an incident, and says who else does."""

from __future__ import annotations

from collections.abc import Sequence

from console.clean import clean_line
from console.model.views import Looker
from console.tui.screens.base import BaseScreen
from console.tui.when import short

TELL_SECONDS = 25.0
"""Less than half of the minute after which a console is taken for gone."""
FIRST_SECONDS = 1.5
"""Who only passes by tells nothing."""


class PresentScreen(BaseScreen):
    """While it is open, covered by what was opened from it too, its incident is told to the store."""

    incident_id: int

    def on_mount(self) -> None:
        if self.board.is_seen:
            self.set_timer(FIRST_SECONDS, self._tell)
            self.set_interval(TELL_SECONDS, self._tell)

    def on_unmount(self) -> None:
        if self.board.is_running and self.board.is_seen and not self._others():
            self.board.ask_engine("present", lambda requests: requests.present(None), _nothing, _nothing)

    def _others(self) -> list[PresentScreen]:
        return [one for one in self.board.screen_stack if isinstance(one, PresentScreen) and one is not self]

    def _tell(self) -> None:
        """A store that cannot be written to is said by what a person does, not by this."""
        shown = [one for one in self.board.screen_stack if isinstance(one, PresentScreen)]
        if shown and shown[-1] is self:
            number = self.incident_id
            self.board.ask_engine("present", lambda requests: requests.present(number), _nothing, _nothing)


def _nothing(_: object) -> None:
    """Nobody waits for it."""


def others(lookers: Sequence[Looker], own: str) -> str:
    """ "mara (2m), noor (now)": who else has it open and for how long; where a name stands twice, from where too."""
    names = [one.person for one in lookers]
    return ", ".join(_looker(one, names.count(one.person) > 1) for one in lookers if one.console != own)


def _looker(one: Looker, is_twice: bool) -> str:
    long = short(one.seen - one.since)
    came = f" from {clean_line(one.came_from)}" if is_twice else ""
    return f"{clean_line(one.person)}{came} ({'now' if 'm' not in long and 'h' not in long else long})"
