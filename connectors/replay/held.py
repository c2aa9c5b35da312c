"""Whether a job of a night is paused, under which marks, and what its own clock does of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from connectors.contract import HoldMark
from connectors.marking import Standing
from connectors.replay.client import CLEAR, HOLD, PAUSE, RELEASE, RESUME, SentAction
from connectors.replay.parse import JobKey

FREE = Standing(is_paused=False, marks=())


def standing(is_paused: bool, actions: Iterable[SentAction]) -> Standing:
    """How a job stands after these actions of its own. `is_paused`: as the recording has it."""
    now = Standing(is_paused, ())
    for one in actions:
        now = _after(now, one)
    return now


def _after(now: Standing, one: SentAction) -> Standing:
    if one.verb in (PAUSE, RESUME):
        return Standing(one.verb == PAUSE, now.marks)
    if one.verb in (RELEASE, CLEAR) and now.bears(one.mark):
        is_under_it = one.verb == RELEASE and now.marks[0].id == one.mark
        rest = tuple(mark for mark in now.marks if mark.id != one.mark)
        return Standing(now.is_paused and not is_under_it, rest)
    mark = HoldMark.read(one.mark) if one.verb == HOLD and not now.is_paused else None
    return now if mark is None else Standing(is_paused=True, marks=(mark, *now.marks))


class Pauses:
    """When the jobs of a night were paused, by what was done to them."""

    def __init__(self, actions: Sequence[SentAction]) -> None:
        self._changes: dict[JobKey, list[tuple[datetime, bool]]] = {}
        for job in {one.job for one in actions if not one.runs}:
            self._changes[job] = list(_changes(one for one in actions if one.job == job))

    def free_from(self, job: JobKey, at: datetime) -> datetime | None:
        """`at` itself where the job was not paused then, else when it was let go; None while it is paused.

        A pause of that very instant comes too late for it, and a release in time: what was seen is not taken back."""
        changes = self._changes.get(job, ())
        before = [is_paused for when, is_paused in changes if when < at or (when == at and not is_paused)]
        if not before or not before[-1]:
            return at
        return next((when for when, is_paused in changes if when > at and not is_paused), None)


def _changes(actions: Iterable[SentAction]) -> Iterator[tuple[datetime, bool]]:
    """(instant, whether it was paused from then on)."""
    now = FREE
    for one in actions:
        now, before = _after(now, one), now
        if now.is_paused != before.is_paused:
            yield one.sent_at, now.is_paused
