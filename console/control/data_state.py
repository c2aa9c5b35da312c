"""What is in what a service delivers: an axis of its own beside its timeliness.

A promise is kept by good data alone: what was handed over on stale data is late until it was rerun, and is called
"delivered, stale" meanwhile. What is partial was delivered in time, and is called so; it is never called complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from connectors.contract import State
from console.clean import clean_line
from console.control.delivery import delivering
from console.control.forecast import Forecast
from console.control.picture import Picture
from console.control.words import moment
from console.model.values import RunFacts

_HANDED_OVER = (State.SUCCEEDED, State.PARTIAL)


def partial_words(picture: Picture, day: Forecast) -> str:
    """What is missing in what its terminals gave: "read etl/load of 2026-11-19, which was partial"; empty for nothing
    that is known."""
    for run in _ends(picture, day):
        standing = picture.standing(run)
        if standing.partial:
            return standing.partial
        if standing.tainted and standing.whole_at is None:
            return f"{clean_line(picture.job(run.job_id).name)} brought less than it should"
    return ""


def state_of(picture: Picture, day: Forecast, done: datetime | None, fails: bool) -> str:
    """ "complete", "partial", "stale", "failed", "open". `done`: when it was delivered; `fails`: a check does."""
    if done is not None:
        return "partial" if partial_words(picture, day) else "complete"
    ends = [day.nodes[each] for each in day.ends if each in day.nodes]
    if fails or any(node.run is not None and node.run.state.is_red for node in ends):
        return "failed"
    if any(node.stale for node in ends):
        return "stale"
    return "partial" if any(node.run is not None and node.run.state is State.PARTIAL for node in ends) else "open"


def handed_over(picture: Picture, day: Forecast) -> str:
    """ "delivered 05:10 UTC, stale": of what all terminals gave, though not as promised; empty while one gave nothing.
    The promise is not kept by it."""
    runs = list(_ends(picture, day))
    ended = [run.ended_at for run in runs if run.state in _HANDED_OVER and run.ended_at is not None]
    if not ended or len(ended) < len(day.service.terminals):
        return ""
    at = moment(max(ended), day.service.zone, day.deadline)
    if any(picture.is_stale(run) for run in runs):
        return f"delivered {at}, stale: it read what its upstream had not finished"
    if any(run.state is State.PARTIAL for run in runs):
        return f"delivered {at}, partial: {partial_words(picture, day)}"
    return ""


def _ends(picture: Picture, day: Forecast) -> Iterator[RunFacts]:
    """The run of each terminal that counts for the day."""
    return (run for run in delivering(picture, day) if run is not None)
