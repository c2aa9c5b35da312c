"""Steps and times -> records; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connectors.contract import JobRecord, RunRecord, RunRef, Schedule, State
from connectors.manual.options import DAYS, StepOptions

APPROVAL = "approval"
_MINUTE = timedelta(minutes=1)


def job(name: str, step: StepOptions, zone: str) -> JobRecord:
    """The step as a job that starts by the clock."""
    every = ",".join(str((DAYS.index(day) + 1) % 7) for day in step.days) if len(step.days) < len(DAYS) else "*"
    words = f"{', '.join(step.days) if every != '*' else 'daily'} at {step.at:%H:%M}"
    expression = f"{step.at.minute} {step.at.hour} * * {every}"
    definition = f"a person completes it: {step.title or name}"
    schedule = Schedule("debian-cron", expression, zone, words)
    return JobRecord(name, step.title or name, schedule, definition=definition, definition_hash=definition)


def waiting(steps: Mapping[str, StepOptions], zone: str, since: datetime, now: datetime) -> Iterator[RunRecord]:
    """Every instance that began to wait after `since` and up to now, oldest first."""
    found = [one for name, step in steps.items() for one in _instances(name, step, zone, since, now)]
    return iter(sorted(found, key=lambda one: (one.queued_at or now, one.job)))


def _instances(name: str, step: StepOptions, zone: str, since: datetime, now: datetime) -> Iterator[RunRecord]:
    day = since.astimezone(ZoneInfo(zone)).date()
    while (at := _instant(day, step.at, zone)) <= now:
        if at > since and DAYS[day.weekday()] in step.days:
            yield RunRecord(name, day.isoformat(), State.WAITING, "waits for a person", queued_at=at, reason=APPROVAL)
        day += timedelta(days=1)


def overdue(steps: Mapping[str, StepOptions], run: RunRef, queued: datetime, now: datetime) -> RunRecord | None:
    """The open step as overdue; None while it is not, or where config has it no more."""
    step = steps.get(run.job)
    if step is None or now < queued + step.remind_after:
        return None
    due = queued + step.remind_after
    message = f"nobody has completed it since {queued:%Y-%m-%d %H:%M}Z"
    return RunRecord(
        run.job, run.attempt_key, State.TIMED_OUT, "overdue", period_key=run.period_key, queued_at=queued,
        ended_at=due, message=message,
    )  # fmt: skip


def queued_at(run: RunRef, steps: Mapping[str, StepOptions], zone: str) -> datetime | None:
    """Since when the open step waits, by its attempt's key: the day, or the moment at which it was opened again."""
    step = steps.get(run.job)
    try:
        if step is not None and len(run.attempt_key) == len("2026-11-20"):
            return _instant(date.fromisoformat(run.attempt_key), step.at, zone)
        return datetime.fromisoformat(run.attempt_key.rpartition("@")[2])
    except ValueError:
        return None


def _instant(day: date, at: time, zone: str) -> datetime:
    """The first of two; of a time that a change of the clocks skips, the change itself, as its schedule has it."""
    local = datetime.combine(day, at, ZoneInfo(zone))
    found = local.astimezone(UTC)
    if found.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return found
    after = local.replace(fold=1)
    found = after.astimezone(UTC)  # by the clock of after the change: a time before it
    while found.astimezone(local.tzinfo).utcoffset() != after.utcoffset():
        found += _MINUTE
    return found
