"""Rows of somebody's own API or tables, read as jobs and runs by what config says each field is called.

Shared by the kinds that are made in the config alone. A path walks into a row ("run.result[0].code"); with braces it
puts texts together ("{project}/{name}"). Pure: whatever a row holds, only RecordUnreadable is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.contract import (
    ACTION_KEY,
    CannotTell,
    Clock,
    Evidence,
    Found,
    JobRecord,
    LookUp,
    Proof,
    RecordUnreadable,
    RunRecord,
    Schedule,
    Skipped,
    State,
    instant_key,
)
from connectors.fields import digest
from connectors.mapped_fields import BRACES, STEP, Fields, JobFields, RunFields

Row = Mapping[str, Any]

MOST_ID_CHARACTERS = 500
MOST_TEXT_CHARACTERS = 4000
TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})
AHEAD = timedelta(minutes=5)
"""How far behind the source's clock and ours a run's start or end may be written."""
FIRST = datetime(1980, 1, 1, tzinfo=UTC)
"""What is older is how somebody writes "none"."""


class AheadOfClock(RecordUnreadable):
    """A run that began or ended in the future: a wrong zone or clock. Nothing is proved by it before its time."""


def value_at(row: Any, path: str) -> Any:
    """What stands at a path; None where nothing does. Braces make a text, None where one of its parts is missing."""
    if "{" in path:
        parts = {name: value_at(row, name) for name in BRACES.findall(path)}
        if any(part is None for part in parts.values()):
            return None
        return BRACES.sub(lambda match: str(parts[match[1]]), path)
    for name, place in STEP.findall(path):
        if place and isinstance(row, list) and int(place) < len(row):
            row = row[int(place)]
        elif name and isinstance(row, dict) and name in row:
            row = row[name]
        else:
            return None
    return row


def rows_at(document: Any, path: str) -> list[Any] | None:
    """The list of rows at a path ("" is the document itself); None where there is no list."""
    found = value_at(document, path) if path else document
    return found if isinstance(found, list) else None


def text_at(row: Row, path: str, most: int = MOST_TEXT_CHARACTERS) -> str:
    found = value_at(row, path) if path else None
    if found is None:
        return ""
    return (found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))[:most]


def id_at(row: Row, path: str, what: str) -> str:
    """A name or a number that is somebody's identity. Raises RecordUnreadable."""
    found = value_at(row, path)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise RecordUnreadable(f"{what}: nothing that is a name or a number stands at {path!r}")
    if len(str(found)) > MOST_ID_CHARACTERS:
        raise RecordUnreadable(f"{what} at {path!r} is longer than {MOST_ID_CHARACTERS} characters")
    return str(found)


def instant_at(row: Row, path: str, fields: Fields) -> datetime | None:
    """Aware UTC; None where nothing stands. Raises RecordUnreadable for what is no instant."""
    found = value_at(row, path) if path else None
    return None if found is None or found == "" else instant_of(found, path, fields)


def instant_of(found: Any, what: str, fields: Fields) -> datetime:
    try:
        if fields.times != "iso":
            number = float(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else None
            seconds = number if fields.times == "seconds" or number is None else number / 1000
            return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]  # None is refused below
        at = datetime.fromisoformat(found)
        return (at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(fields.zone))).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        told = f"{str(found)[:60]!a} at {what!r} is no instant"
        raise RecordUnreadable(f"{told} written as {fields.times} (times = …)") from None


def truth_at(row: Row, path: str) -> bool | None:
    found = value_at(row, path) if path else None
    if found is None or isinstance(found, bool):
        return found
    word = str(found).strip().lower()
    if word not in TRUE | FALSE:
        raise RecordUnreadable(f"{word[:60]!a} at {path!r} is neither true nor false")
    return word in TRUE


def read_job(row: Row, fields: JobFields, proof: Proof) -> JobRecord:
    """One job. Raises RecordUnreadable."""
    native_id = id_at(row, fields.id, "the job's id")
    expression, next_at = text_at(row, fields.schedule), instant_at(row, fields.next_at, fields)
    paused = truth_at(row, fields.paused) or truth_at(row, fields.enabled) is False
    clock = Schedule(fields.dialect, expression, fields.zone, expression, next_at) if expression else None
    return JobRecord(
        native_id=native_id,
        title=text_at(row, fields.title, 200),
        schedule=clock or Schedule("none", next_at=next_at),
        paused=paused,
        definition=text_at(row, fields.definition),
        definition_hash=digest([text_at(row, fields.definition)]) if fields.definition else "",
        proof=proof,
        native_url=text_at(row, fields.url, 500),
        owner=text_at(row, fields.owner, 200),
    )


def read_run(row: Row, fields: RunFields, states: Mapping[str, State], clock: Clock | None = None) -> RunRecord:
    """One run as the row tells it now. `clock`: the source's. Raises RecordUnreadable."""
    word = id_at(row, fields.state, "the state")
    state = state_of(word, states)
    started, ended = _times(row, fields, clock)
    period, key = instant_at(row, fields.period, fields), text_at(row, fields.key)
    native_id = id_at(row, fields.id, "the run's id")
    code = value_at(row, fields.exit_code) if fields.exit_code else None
    return RunRecord(
        job=id_at(row, fields.job, "the job of the run"),
        attempt_key=native_id,
        state=state,
        native_state=word,
        evidence=Evidence.NATIVE,
        period_key=instant_key(period) if period else None,
        period_at=period,
        queued_at=instant_at(row, fields.queued, fields),
        started_at=started,
        ended_at=None if state.is_open else ended,
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        message=text_at(row, fields.message),
        native_ref=native_id,
        native_url=text_at(row, fields.url, 500),
        action_key=key if ACTION_KEY.fullmatch(key) else None,
    )


def cancelled(row: Row | None, run_id: str, fields: RunFields, states: Mapping[str, State]) -> LookUp:
    """Whether a cancel arrived, by its run's row. Nobody's name is noted beside it: a run that reached its own end was
    not ended by us."""
    try:
        run = None if row is None else read_run(row, fields, states)
    except RecordUnreadable as error:
        return CannotTell(f"run {run_id} cannot be read: {error}")
    if run is None:
        return CannotTell(f"run {run_id} is not listed any more")
    if run.state.is_open:
        return CannotTell(f"run {run_id} is {run.native_state} still")
    if run.state is not State.CANCELLED:
        return CannotTell(f"run {run_id} is {run.native_state}: it ended by itself, or before the cancel came")
    return Found(run.attempt_key, f"it is over: {run.native_state}")


def _times(row: Row, fields: RunFields, clock: Clock | None) -> tuple[datetime | None, datetime | None]:
    """When it began and ended, as it can be. Raises RecordUnreadable."""
    started, ended = instant_at(row, fields.started, fields), instant_at(row, fields.ended, fields)
    now = max(datetime.now(UTC), clock.target if clock is not None else FIRST)
    for at, what, path in ((started, "began", fields.started), (ended, "ended", fields.ended)):
        if at is not None and at < FIRST:
            raise RecordUnreadable(
                f"{str(value_at(row, path))[:60]!a} at {path!r} is no time of a run: leave it empty where there is none"
            )
        if at is not None and at > now + AHEAD:
            minutes = round((at - now).total_seconds() / 60)
            mend = "correct zone or times in the config, or the clock that wrote it"
            raise AheadOfClock(f"it {what} at {instant_key(at)}, {minutes} min in the future: {mend}")
    if started is not None and ended is not None and ended < started:
        raise RecordUnreadable(f"it ended ({instant_key(ended)}) before it began ({instant_key(started)})")
    return started, ended


def state_of(word: str, states: Mapping[str, State]) -> State:
    """Ours for the source's word, however it is written in capitals; UNKNOWN for one that nobody named."""
    found = states.get(word)
    return (
        found
        if found is not None
        else {key.lower(): each for key, each in states.items()}.get(word.lower(), State.UNKNOWN)
    )


def changed_at(row: Row, fields: RunFields, run: RunRecord) -> datetime | None:
    """When the row changed last, as far as it tells."""
    return instant_at(row, fields.changed, fields) or run.ended_at or run.started_at or run.queued_at


def unknown_words(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    """A warning for each word that `states` does not name."""
    words = dict.fromkeys(run.native_state for run in runs if run.state is State.UNKNOWN)
    return tuple(f"unknown state {word[:60]!r}: shown as UNKNOWN until states names it" for word in words)


def skipped(place: str, row: Any, error: RecordUnreadable) -> Skipped:
    return Skipped(place, str(error), json.dumps(row, default=str)[:200])


def jobs_of(rows: Iterable[Any], fields: JobFields, proof: Proof) -> tuple[list[JobRecord], list[Skipped]]:
    """The jobs, each once, in the order of their ids; and what cannot be read."""
    jobs: dict[str, JobRecord] = {}
    bad: list[Skipped] = []
    for number, row in enumerate(rows, 1):
        try:
            job = read_job(row, fields, proof)
            if jobs.setdefault(job.native_id, job) != job:
                raise RecordUnreadable(f"another job has the id {job.native_id!r} as well")
        except RecordUnreadable as error:
            bad.append(skipped(f"job {number}", row, error))
    return [jobs[name] for name in sorted(jobs)], bad
