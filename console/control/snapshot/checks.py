"""Data checks as conditions: whether data may be relied on, and what a delivery still waits for.

A condition fails closed. It passes only if the last result for that business date passed and is younger than AGES
times `every`; no result, an error, a timeout, an old result or a band that does not exist yet does not pass.

A service day is delivered at the first moment at which its jobs are done and each of its checks is proved by a
result that is not older: a check that has passed without a break since before then counts from when the jobs were
done. The day stays delivered if a later result fails: the promise was kept. A band without enough days keeps no
service from being delivered, or those days could never be gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.domain.check import Check, CheckHistory, CheckState, DataReadiness, ResultSpan
from console.domain.estate import Estate
from console.timing.durations import format_duration

AGES = 3
"""Results older than so many times `every` say nothing about now."""
ENOUGH = (CheckState.PASSED, CheckState.LEARNING)
"""For a service."""


def readiness(estate: Estate, name: str, business_date: date, now: datetime) -> DataReadiness:
    """Whether this check passes for that business date, now. Words say why, also where it does."""
    return judged_readiness(
        name, estate.declared.check(name), estate.checks.get((name, business_date)), business_date, now
    )


def judged_readiness(
    name: str, check: Check | None, known: CheckHistory | None, business_date: date, now: datetime
) -> DataReadiness:
    """The same for one check; `check` None: not in the config, `known` None: no result yet."""
    if check is None:
        return DataReadiness(False, f"check {name}: the config does not have it", None)
    if known is None:
        return DataReadiness(False, f"check {name}: not run for {business_date.isoformat()} yet", None)
    last = known.last
    if last.state is not CheckState.PASSED:
        return DataReadiness(False, readiness_text(name, last), last.at)
    if now - last.at > AGES * check.every + check.timeout:
        age, every = format_duration(now - last.at), format_duration(check.every)
        return DataReadiness(False, f"check {name}: last run {age} ago, is due each {every}", last.at)
    return DataReadiness(True, readiness_text(name, last), last.since)


def readiness_text(name: str, stretch: ResultSpan) -> str:
    """ "check supply-rows: 1,204 rows"."""
    unknown = "not measured: " if stretch.state is CheckState.ERROR else ""
    return f"check {name}: {unknown}{stretch.text}"


@dataclass(frozen=True, slots=True)
class PendingChecks:
    """A check that keeps a service day from being delivered."""

    check: str
    text: str
    since: datetime | None
    """Since when it does not pass; None: no result since the jobs were done."""


def proved_at(estate: Estate, name: str, business_date: date, done: datetime) -> datetime | None:
    """When this check was first proved for a service whose jobs were done at `done`; None: not yet."""
    known = estate.checks.get((name, business_date))
    passing = (
        stretch for stretch in (known.stretches if known else ()) if stretch.state in ENOUGH and stretch.at >= done
    )
    return next((max(stretch.since, done) for stretch in passing), None)


def pending_checks_of(
    estate: Estate, names: Sequence[str], business_date: date, done: datetime
) -> tuple[PendingChecks, ...]:
    """Checks that have not passed since the jobs were done at `done` in their order."""
    return tuple(
        _pending_state(estate, name, business_date, done)
        for name in names
        if proved_at(estate, name, business_date, done) is None
    )


def all_proved_at(estate: Estate, names: Sequence[str], business_date: date, done: datetime) -> datetime | None:
    """When the last of these checks was proved; None while one is not. `done` where nothing blocks."""
    if pending_checks_of(estate, names, business_date, done):
        return None
    moments = (proved_at(estate, name, business_date, done) for name in names)
    return max([done, *(moment for moment in moments if moment is not None)])


def _pending_state(estate: Estate, name: str, business_date: date, done: datetime) -> PendingChecks:
    known = estate.checks.get((name, business_date))
    if estate.declared.check(name) is None:
        return PendingChecks(name, f"check {name}: the config does not have it", None)
    if known is None or known.last.at < done:
        return PendingChecks(name, f"check {name}: not run since its jobs were done", None)
    return PendingChecks(name, readiness_text(name, known.last), max(known.last.since, done))
