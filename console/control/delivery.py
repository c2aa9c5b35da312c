"""What delivers a service: the run of each of its terminals that counts for a date, and when all of it was good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from console.control.forecast import Forecast
from console.control.picture import Picture
from console.control.readiness import Waiting, all_proved_at, waiting
from console.model.values import RunFacts


def delivering(picture: Picture, day: Forecast) -> Iterator[RunFacts | None]:
    """Of each terminal the run that counts for the day; None where it has none yet. A task's is in the run of its job
    that the service reads, and in no other: that one may be of another period."""
    for terminal in day.service.terminals:
        unit = picture.graph.unit(terminal)
        node = day.nodes.get(unit)
        read = node.run if node is not None else None
        if unit == terminal or read is None:
            yield read
            continue
        runs = picture.runs.get(terminal, ())
        yield next((run for run in runs if run.period_key == read.period_key), None)


def delivered_at(picture: Picture, day: Forecast) -> datetime | None:
    """When the last of its terminals was good for that date and each of its checks was proved since; None while one is
    not."""
    picture = day.seen or picture
    done = jobs_done_at(picture, day)
    return None if done is None else all_proved_at(picture.estate, day.service.ready, day.bd, done)


def jobs_done_at(picture: Picture, day: Forecast) -> datetime | None:
    """When the last of its terminals was good for that date; None while one is not."""
    moments = [_good_at(picture, run) for run in delivering(picture, day)]
    known = [each for each in moments if each is not None]
    return max(known) if known and len(known) == len(moments) else None


def waits_for(picture: Picture, day: Forecast) -> tuple[Waiting, ...]:
    """The checks that are all that is missing; nothing while a job is."""
    done = jobs_done_at(picture, day) if day.service.ready else None
    return () if done is None else waiting(picture.estate, day.service.ready, day.bd, done)


def _good_at(picture: Picture, run: RunFacts | None) -> datetime | None:
    return picture.standing(run).good_at if run is not None and picture.is_green(run) else None
