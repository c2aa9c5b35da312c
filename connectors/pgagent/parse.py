"""Raw rows of pgAgent to records. Pure: whatever the rows hold, only RecordUnreadable is raised."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.contract import Evidence, JobRecord, Proof, RecordUnreadable, RunRecord, State
from connectors.fields import digest
from connectors.pgagent.calendar import schedule_of
from connectors.whole_log import with_newline, without_last_newlines

Row = dict[str, Any]
"""A raw row: column name to value."""

STATES = {  # check constraint and comment of pga_joblog.jlgstatus in pgagent--4.2.sql
    "r": State.RUNNING,
    "s": State.SUCCEEDED,
    "f": State.FAILED,
    "d": State.LOST,
    "i": State.SKIPPED,
}
WORDS = {"r": "running", "s": "succeeded", "f": "failed", "d": "aborted", "i": "ignored"}
"""What the letters mean, for people."""
KINDS = {"s": "SQL", "b": "batch"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AGENT_GONE = "the agent that ran it is gone: nobody will write its end before another pgAgent starts"
NOTHING_RAN = "no step left a row: nothing was executed, or its steps were removed since"


@dataclass(frozen=True, slots=True)
class Book:
    """Who is who: native ids by jobid, of the jobs that are there and of those that were."""

    names: Mapping[int, str] = field(default_factory=dict)

    def with_jobs(self, rows: Iterable[Row]) -> Book:
        """This book and what the rows say now."""
        return Book({**self.names, **native_ids(rows)})


def native_ids(rows: Iterable[Row]) -> dict[int, str]:
    """jobid -> jobname, which need not be unique: who came later carries its number in front."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for row in sorted(rows, key=lambda one: int(one["jobid"])):
        plain = row["jobname"] or f"#{row['jobid']}"
        name = plain if plain not in taken else f"#{row['jobid']}:{plain}"
        taken.add(name)
        ids[row["jobid"]] = name
    return ids


def job(row: Row, native_id: str, steps: Sequence[Row], schedules: Sequence[Row], zone: str) -> JobRecord:
    """One row of pga_job with its steps and schedules."""
    what = [[step[name] for name in ("name", "kind", "database", "on_error", "enabled", "code_hash")] for step in steps]
    return JobRecord(
        native_id=native_id,
        title=row["jobname"] or native_id,
        schedule=schedule_of(schedules, zone, instant(row["next_run"]) if row["enabled"] else None),
        paused=not row["enabled"],
        definition="\n".join(_step_words(step) for step in steps),
        definition_hash=digest([what, row["host"]]),
        match_keys=(f"jobid:{row['jobid']}",),
        proof=Proof.FULL,
        run_as=f"pgAgent on {row['host']}" if row["host"] else "pgAgent",
    )


def _step_words(step: Row) -> str:
    where = f" in {step['database']}" if step["database"] else ""
    off = "" if step["enabled"] else ", off"
    return f"-- {step['name']} ({KINDS.get(step['kind'], step['kind'])}{where}{off})\n{step['code']}"


def version_of(access: Row) -> tuple[int, ...]:
    """(4, 2) for "4.2"; () when the extension is not there."""
    return tuple(int(number) for number in str(access["version"] or "").split(".") if number.isdigit())


def instant(text: object) -> datetime | None:
    """Seconds since 1970 as text, to aware UTC. None for none, and for what no calendar of ours holds."""
    if text is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=int(Decimal(str(text)) * 1_000_000))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def is_no_run(row: Row, steps: Sequence[Row]) -> bool:
    """True for the row `i` that an agent leaves which came second to a job: a number, no steps, no run."""
    return row["status"] == "i" and not steps


def has_failed(step: Row) -> bool:
    """By its result, whatever the letter: "s" after an error stands where `jstonerror` says so."""
    if step["status"] in ("f", "i", "d"):
        return True
    result = step["result"]
    return step["status"] == "s" and result is not None and (result < 0 if step["kind"] == "s" else result != 0)


def run(
    row: Row, steps: Sequence[Row], book: Book, agent_is_there: bool = True, action_key: str | None = None
) -> RunRecord:
    """One row of pga_joblog with its steps. Raises RecordUnreadable."""
    try:
        return _run(row, steps, book, agent_is_there, action_key)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"row of pga_joblog: {type(error).__name__}: {error}") from None


def _run(row: Row, steps: Sequence[Row], book: Book, agent_is_there: bool, action_key: str | None) -> RunRecord:
    jobid, jlgid, native = int(row["jobid"]), int(row["jlgid"]), str(row["status"] or "")
    failed = [step for step in steps if has_failed(step)]
    lost = native == "r" and not agent_is_there
    state = State.LOST if lost else _state(native, steps, failed)
    started, ended = instant(row["started"]), instant(row["ended"])
    odd = {name: row[name] for name in ("started", "ended") if row[name] is not None and instant(row[name]) is None}
    return RunRecord(
        job=book.names.get(jobid, f"#{jobid}"),
        attempt_key=str(jlgid),
        state=state,
        native_state=native or "(null)",
        evidence=Evidence.INFERRED if lost else Evidence.NATIVE,
        started_at=started,
        ended_at=None if state.is_open else ended,
        exit_code=_exit_code(failed),
        message=AGENT_GONE if lost else _message(state, steps, failed),
        native_ref=json.dumps({"jlgid": jlgid, "jobid": jobid}),
        action_key=action_key,
        context={**({"times that no calendar holds": odd} if odd else {}), **_rows(state, steps)},
    )


def _state(native: str, steps: Sequence[Row], failed: Sequence[Row]) -> State:
    state = STATES.get(native, State.UNKNOWN)
    if state != State.SUCCEEDED:
        return state
    if not steps:
        return State.SKIPPED
    return State.PARTIAL if failed else state


def _exit_code(failed: Sequence[Row]) -> int | None:
    batch = [int(step["result"]) for step in failed if step["kind"] == "b" and step["result"] is not None]
    return batch[-1] if batch else None


def _message(state: State, steps: Sequence[Row], failed: Sequence[Row]) -> str:
    """The failed steps; of their output the first line only, which may be another job's: pgAgent's threads share it."""
    if state == State.SKIPPED:
        return NOTHING_RAN
    words = []
    for step in failed:
        output = str(step["output"] or "").strip()
        first = output.splitlines()[0] if output else ""
        words.append(f"{step['name']}: result {step['result']}{f', {first}' if first else ''}")
    return "; ".join(words)


def _rows(state: State, steps: Sequence[Row]) -> dict[str, int]:
    """{"rows": 5} of a job of one SQL step: its result is the rows of its last statement."""
    if state != State.SUCCEEDED or len(steps) != 1 or steps[0]["kind"] != "s":
        return {}
    result = steps[0]["result"]
    return {"rows": int(result)} if result is not None else {}


def may_change(record: RunRecord) -> bool:
    """True while pgAgent may still write to its row: also after its agent has gone."""
    return record.native_state == "r" or record.state == State.UNKNOWN


def run_log(row: Row, steps: Sequence[Row], output: Callable[[Row], Iterable[str]]) -> Iterator[str]:
    """Every step with its result and its output, as one text in parts that only grows at its end while steps follow."""
    for step in steps:
        began = instant(step["started"])
        at = f" {began:%Y-%m-%dT%H:%M:%SZ}" if began else ""
        yield f"-- {step['name']} ({KINDS.get(step['kind'], step['kind'])}){at}\n"
        if step["status"] != "r":
            yield from with_newline(without_last_newlines(output(step)))
            yield f"-- {WORDS.get(step['status'], step['status'])}, result {step['result']}\n"
    if row["status"] != "r":
        yield f"-- job {WORDS.get(row['status'], row['status'])}\n"
