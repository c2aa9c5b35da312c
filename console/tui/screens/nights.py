"""A night as a screen looks at it: which one, at which moment, how much of it; and the acts that change that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.control.timeline import Lane, lanes, span
from console.model.views.night import NightView
from console.tui import gantt
from console.tui.gantt import Scale
from console.tui.ports import ReadsLike
from console.tui.screens.base import BaseScreen
from console.tui.widgets.grid import Grid


@dataclass(frozen=True, slots=True)
class Drawn:
    """A night as it stood at a moment."""

    night: NightView
    lanes: tuple[Lane, ...]
    at: datetime
    first: datetime
    last: datetime


def drawn_at(night: NightView, at: datetime | None) -> Drawn:
    whole = lanes(night, night.now)
    first, last = span(night, whole)
    shown = whole if at is None else lanes(night, at)
    return Drawn(night, tuple(shown), at or night.now, first, last)


class NightScreen(BaseScreen):
    """A screen that shows a night in `grid`, as wide as `cells_wide`; `paint` shows what was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.bd: str | None = None
        """A past night; None: the present one."""
        self.at: datetime | None = None
        """The moment that is looked at; None: the latest that there is."""
        self.playing = False
        self.scale: Scale | None = None
        self.drawn: Drawn | None = None
        self.grid = Grid((), "reading…", id="grid")

    @property
    def cells_wide(self) -> int:
        """Cells that there are for time."""
        return max(20, self.grid.room)

    def paint(self) -> None:
        """Shows the night as it was drawn, at the scale that was chosen."""

    # reading: what a moment looked like is found in the desk's thread too

    def fetch(self) -> None:
        bd, at = self.bd, self.at

        def read(reads: ReadsLike) -> Drawn:
            return drawn_at(reads.night(bd), at)

        self.board.ask_for(self, "night", read, self._show)

    def again(self) -> None:
        """The same night at another moment."""
        if self.drawn is not None:
            night, at = self.drawn.night, self.at
            self.board.ask_for(self, "moment", lambda reads: drawn_at(night, at), self._show, first=True)

    def _show(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.grid.empty = "no service is configured yet: [services.NAME] in the config promises one"
        if self.scale is None or self.scale.width != self.cells_wide:
            self.scale = gantt.fitted(drawn.first, drawn.last, self.cells_wide)
        self.paint()
        self.paint_foot()

    # scroll and zoom

    def why_not_later(self) -> str:
        return "" if self.scale is not None else "not read yet"

    why_not_earlier = why_not_zoom_in = why_not_zoom_out = why_not_whole = why_not_later

    def _see(self, scale: Scale, says: str = "") -> None:
        """`says`: why it goes no further, where it does not."""
        before, self.scale = self.scale, scale
        if self.drawn is not None:
            self.scale = scale.within(self.drawn.first, self.drawn.last)
        if says and self.scale == before:
            self.notice(says, "warn")
        self.paint()

    def do_later(self) -> None:
        if self.scale is not None:
            self._see(self.scale.moved(self.scale.width // 6), "the night goes no further")

    def do_earlier(self) -> None:
        if self.scale is not None:
            self._see(self.scale.moved(-(self.scale.width // 6)), "the night begins there")

    def do_zoom_in(self) -> None:
        if self.scale is not None and self.drawn is not None:
            self._see(self.scale.zoomed(-1, self.drawn.at))

    def do_zoom_out(self) -> None:
        if self.scale is not None and self.drawn is not None:
            self._see(self.scale.zoomed(1, self.drawn.at))

    def do_whole(self) -> None:
        if self.drawn is not None:
            self._see(gantt.fitted(self.drawn.first, self.drawn.last, self.cells_wide))

    # other nights, other moments

    def why_not_night_before(self) -> str:
        return self._why_no_night(-1)

    def why_not_night_after(self) -> str:
        return self._why_no_night(1)

    def _why_no_night(self, step: int) -> str:
        if self.drawn is None:
            return "not read yet"
        return "" if self._date(step) is not None else f"no night {'before' if step < 0 else 'after'} it was judged"

    def _date(self, step: int) -> str | None:
        """The business date so many after the one that is shown."""
        night = self.drawn.night if self.drawn is not None else None
        dates = [each for each in night.dates if (each > night.bd) == (step > 0) and each != night.bd] if night else []
        return (dates[0] if step > 0 else dates[-1]) if dates else None

    def do_night_before(self) -> None:
        self._go(self._date(-1))

    def do_night_after(self) -> None:
        self._go(self._date(1))

    def _go(self, bd: str | None) -> None:
        latest = self.drawn.night.dates[-1:] if self.drawn is not None else ()
        self.bd = None if bd in latest else bd
        self.at, self.playing, self.scale = None, False, None
        self.fetch()

    def do_moment_before(self) -> None:
        self.step(-1)

    def do_moment_after(self) -> None:
        self.step(1)

    def step(self, cells: int) -> None:
        """One cell on in time; at the last moment that there is it is the present again."""
        drawn, scale = self.drawn, self.scale
        if drawn is None or scale is None:
            return
        end = min(drawn.last, self.look.now)
        at = max(drawn.first, min(self.at or end, end) + cells * scale.step)
        self.at = at if at < end else None
        self.playing = self.playing and self.at is not None
        self.again()

    def do_play(self) -> None:
        self.playing = not self.playing
        if self.playing and self.at is None and self.drawn is not None:
            self.at = self.drawn.first
            self.again()
        self.tick()

    def close_something(self) -> bool:
        """Back to the present, moment by night."""
        if self.at is not None:
            self.at, self.playing = None, False
            self.again()
            return True
        if self.bd is not None:
            self._go(None)
            return True
        return False
