"""The app, as far as its terminal is concerned: what is sent there, and how little of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.screen import Screen

from console.tui.thin import Shown

if TYPE_CHECKING:
    from textual.driver import Driver

WHEEL_LINES = 3.0


class OnTerminal(App[int], inherit_bindings=False):
    """Sends what changed, titles and notifications; draws all anew when somebody else wrote there."""

    visitor = ""
    """Who sits at a browser, in whose name all is asked; nobody at a terminal."""

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self.scroll_sensitivity_y = WHEEL_LINES

    @property
    def was_ended(self) -> bool:
        """True where its line was lost, or something else ended it: who left by himself has his exit code."""
        return (self.return_value or 0) >= 128

    @cached_property
    def _shown(self) -> Shown:
        """What the terminal shows."""
        return Shown()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Sends what is painted, to a terminal no more of it than it does not show yet."""
        super()._display(screen, self._shown.thinned(renderable, getattr(self._driver, "_writer_thread", None)))

    def on_resize(self) -> None:
        """Nobody knows what a terminal shows once it has another size."""
        self.redraw()

    def redraw(self) -> None:
        """Sends all that is shown anew: somebody else may have written there."""
        self._shown.forget()
        self.screen.refresh()

    def send(self, codes: str) -> None:
        if self._driver is not None:
            self._driver.write(codes)

    def entitle(self, text: str) -> None:
        entitle = getattr(self._driver, "entitle", None)  # a test has no title of ours
        if entitle is not None:
            entitle(text)
