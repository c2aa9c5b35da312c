"""Checks that are root causes: all jobs of a service are done, and the data are not what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from console.control.causes import Group
from console.control.delivery import waits_for
from console.control.forecast import Forecast
from console.control.picture import Picture


def failing_checks(picture: Picture, days: Sequence[Forecast]) -> list[Group]:
    """One cause for each check and business date that keeps service days from being delivered; oldest first. One that
    nobody looked at is a cause from the deadline on: before it, an engine that was down has yet to look."""
    found: dict[tuple[str, date], Group] = {}
    for day in days:
        for one in waits_for(picture, day):
            since = one.since or (day.deadline if picture.now > day.deadline else None)
            if since is not None:
                group = found.setdefault(
                    (one.check, day.bd), Group(day.bd, since, None, None, [], one.check, one.words)
                )
                group.since = min(group.since, since)
    return sorted(found.values(), key=lambda group: (group.since, group.check))
