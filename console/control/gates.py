"""How the gates of a downstream stand: each upstream by its condition, so many of each gate as it needs.

Two questions are asked. What has started: was what it read as wanted by then? There, what nobody can tell is not held
against it, and what starts on a failure has read nothing. What is still to start: may it? There, everything must be
known (`console.control.conditions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from console.control.graph import Gate, Read
from console.control.mapping import Look, meant
from console.control.moments import BEGINNING, NEVER, completed_at
from console.model.checks import CheckState
from console.model.values import RunFacts
from console.model.wants import Condition, Period

if TYPE_CHECKING:
    from console.control.picture import Picture


@dataclass(frozen=True, slots=True)
class Seen:
    """What one upstream is worth to a run that has started, or was due."""

    good: datetime
    """Since when it is as wanted: BEGINNING where nothing speaks against it, NEVER while it is not."""
    whole: datetime
    """Since when nothing partial is in it."""
    words: str = ""
    """What is partial."""


def seen(picture: Picture, read: Read, look: Look) -> Seen | None:
    """None where there is nothing of it to read: another of its gate must be there, if one is needed."""
    if read.wants.condition is Condition.FAILURE:
        return None
    if read.wants.condition is Condition.READY:
        return _seen_by_check(picture, read, look)
    run = meant(picture, read.upstream, read.wants, look, read.loops)
    if run is None:
        return Seen(NEVER, BEGINNING) if _must_be_there(picture, read, look) else None
    return seen_run(picture, run, look.by, read.wants.condition)


def seen_run(picture: Picture, run: RunFacts, by: datetime, condition: Condition = Condition.SUCCESS) -> Seen:
    """What a run that is read is worth to one that started at `by`."""
    if condition is Condition.COMPLETION:
        ended = completed_at(run)
        good = ended or (BEGINNING if picture.is_unknown(run) else NEVER)
        return Seen(good, *picture.whole_since(run)) if ended is not None else Seen(good, BEGINNING)
    if picture.is_unknown(run):
        return Seen(BEGINNING, *picture.whole_since(run))
    read = picture.standing_in(run, by)
    return Seen(picture.good_since(read) or NEVER, *picture.whole_since(read))


def stands(gate: Gate, found: Sequence[Seen | None]) -> Seen:
    """What the gate is worth, of what its upstreams are."""
    there = [each for each in found if each is not None]
    need = min(gate.need, len(there))
    if need == 0:
        return Seen(BEGINNING, BEGINNING)
    good = sorted(each.good for each in there)[need - 1]
    whole = sorted(max(each.good, each.whole) for each in there)[need - 1]
    words = next((each.words for each in there if each.words), "")
    return Seen(good, whole if words else BEGINNING, words)


def _must_be_there(picture: Picture, read: Read, look: Look) -> bool:
    """A window without any run is not good, where one could have been seen in all of it."""
    within, job = read.wants.within, picture.job(read.unit)
    if read.wants.period is not Period.WINDOW or within is None:
        return False
    return job.accepted_at is not None and job.accepted_at <= look.due - within and not picture.is_unseen(job)


def _seen_by_check(picture: Picture, read: Read, look: Look) -> Seen | None:
    """As the looks by then found it; where nobody has looked, nobody can tell."""
    known = picture.estate.checks.get((read.wants.check, look.bd))
    told = [each for each in known.stretches if each.state in (CheckState.PASSED, CheckState.FAILED)] if known else []
    if not told:
        return Seen(BEGINNING, BEGINNING)
    before = [each for each in told if each.since <= look.by]
    if before and before[-1].state is CheckState.PASSED:
        return Seen(before[-1].since, BEGINNING)
    later = next((each.since for each in told if each.state is CheckState.PASSED and each.since > look.by), NEVER)
    return Seen(later, BEGINNING)
