"""Whether data may be counted on: as a condition, and as what a service still needs to be delivered.

A condition fails closed. It passes only where the last look at that business date passed, and is younger than AGES
times `every`; no look, an error, a timeout, an old result, a band that does not exist yet do not pass.

A service day is delivered at the first moment at which its jobs are done and each of its checks is proved by a look
that was not before that: what passed without a break since before the jobs were done counts from when they were. It
stays delivered when a later look finds something else: the promise was kept. A band without enough days keeps no
service from being delivered, or none would ever be, and the days could never be gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.durations import duration_words
from console.model.checks import Check, CheckFacts, CheckState, Readiness, Severity, Stretch
from console.model.values import Estate

AGES = 3
"""Results older than so many times `every` say nothing about now."""
ENOUGH = (CheckState.PASSED, CheckState.LEARNING)
"""For a service."""


def readiness(estate: Estate, name: str, bd: date, now: datetime) -> Readiness:
    """Whether this check passes for that business date, now. Words say why, also where it does."""
    return judged(name, declared(estate, name), estate.checks.get((name, bd)), bd, now)


def judged(name: str, check: Check | None, known: CheckFacts | None, bd: date, now: datetime) -> Readiness:
    """The same of what is known of one check; `check` None: config has no such, `known` None: nobody has looked."""
    if check is None:
        return Readiness(False, f"check {name}: the config does not have it", None)
    if known is None:
        return Readiness(False, f"check {name}: not looked at for {bd.isoformat()} yet", None)
    last = known.last
    if last.state is not CheckState.PASSED:
        return Readiness(False, words(name, last), last.at)
    if now - last.at > AGES * check.every + check.timeout:
        age, every = duration_words((now - last.at).total_seconds()), duration_words(check.every.total_seconds())
        return Readiness(False, f"check {name}: last looked at {age} ago, is due each {every}", last.at)
    return Readiness(True, words(name, last), last.since)


def declared(estate: Estate, name: str) -> Check | None:
    """The check of that name."""
    return next((one for one in estate.declared.checks if one.name == name), None)


def words(name: str, stretch: Stretch) -> str:
    """ "check supply-rows: 1,204 rows"."""
    unknown = "not measured: " if stretch.state is CheckState.ERROR else ""
    return f"check {name}: {unknown}{stretch.words}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A check that keeps a service day from being delivered."""

    check: str
    words: str
    since: datetime | None
    """Since when it does not pass; None: nobody has looked since the jobs were done."""


def proved_at(estate: Estate, name: str, bd: date, done: datetime) -> datetime | None:
    """When this check was first proved for a service whose jobs were done at `done`; None: not yet."""
    known = estate.checks.get((name, bd))
    passing = (one for one in (known.stretches if known else ()) if one.state in ENOUGH and one.at >= done)
    return next((max(one.since, done) for one in passing), None)


def waiting(estate: Estate, names: Sequence[str], bd: date, done: datetime) -> tuple[Waiting, ...]:
    """Which of these checks are not proved since the jobs were done at `done`, in their order; those that only warn
    keep nobody waiting."""
    blocking = [name for name in names if not _warns(estate, name)]
    return tuple(_waiting(estate, name, bd, done) for name in blocking if proved_at(estate, name, bd, done) is None)


def all_proved_at(estate: Estate, names: Sequence[str], bd: date, done: datetime) -> datetime | None:
    """When the last of these checks was proved; None while one is not. `done` where nothing blocks."""
    if waiting(estate, names, bd, done):
        return None
    found = [proved_at(estate, name, bd, done) for name in names if not _warns(estate, name)]
    return max([done, *(each for each in found if each is not None)])


def _waiting(estate: Estate, name: str, bd: date, done: datetime) -> Waiting:
    known = estate.checks.get((name, bd))
    if declared(estate, name) is None:
        return Waiting(name, f"check {name}: the config does not have it", None)
    if known is None or known.last.at < done:
        return Waiting(name, f"check {name}: not looked at since its jobs were done", None)
    return Waiting(name, words(name, known.last), max(known.last.since, done))


def _warns(estate: Estate, name: str) -> bool:
    check = declared(estate, name)
    return check is not None and check.severity is Severity.WARN
