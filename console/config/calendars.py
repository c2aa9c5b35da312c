"""`[calendars.NAME]`: the days on which something is expected."""

from __future__ import annotations

from console.config.shapes import Strict
from console.model.calendars import Calendar

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CalendarSettings(Strict):
    weekdays: tuple[str, ...] = _DAYS[:5]
    """Days of the week that count."""

    def declared(self, name: str) -> Calendar:
        return Calendar(name, tuple(_DAYS.index(day) for day in self.weekdays))
