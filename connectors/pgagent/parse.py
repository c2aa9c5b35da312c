"""Rows of pgAgent read as records, and schedules as calendar events. Pure: only RecordUnreadable is raised.

Each schedule is five arrays of booleans; minutes, hours, days, weekdays and months must all fit, an array without a
true means "every". That is what `OnCalendar=` says, one expression for each schedule, in dialect "pgagent". Source:
pga_next_schedule in pgagent--4.2.sql.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.sdk import fields
from connectors.sdk.fields import digest, epoch_instant, unreadable_times
from connectors.sdk.job_agent import Row
from connectors.sdk.log_chunks import with_newline, without_last_newlines
from connectors.sdk.records import JobRecord, RunRecord, Schedule
from connectors.sdk.states import ProofLevel, RunEvidence, RunState

WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
LAST_DAY = 31  # place of "last day of the month" in jscmonthdays
BOUNDED = "by schedules with a beginning to come, an end or exceptions: only the next start is known"


def schedule_of(schedules: Sequence[Row], zone: str, next_at: datetime | None) -> Schedule:
    """The enabled schedules of one job as one. Exceptions, a beginning to come and an end are in the next start
    alone, which pgAgent itself computes; a start by hand does not belong to the schedule's."""
    if not schedules:
        return Schedule("none")
    by_clock = next_at if next_at is not None and next_at.second == next_at.microsecond == 0 else None
    is_bounded = any(row["exceptions"] or row["until"] is not None or row["is_to_come"] for row in schedules)
    result = sorted({part for row in schedules for part in calendar_events(row)})
    expression = "" if is_bounded else ";".join(result)
    return Schedule("pgagent", expression, zone, BOUNDED if is_bounded else "; ".join(result), by_clock)


def calendar_events(row: Row) -> list[str]:
    """One schedule in systemd's syntax; two where it names the last day of a month beside others."""
    named = [name for name, on in zip(WEEKDAYS, row["weekdays"], strict=True) if on]
    weekdays = f"{','.join(named)} " if 0 < len(named) < len(WEEKDAYS) else ""
    time = f"{_numbers(row['hours'], 0)}:{_numbers(row['minutes'], 0)}:00"
    months, days = _numbers(row["months"], 1), row["monthdays"]
    dates = [f"*-{months}-{_numbers(days[:LAST_DAY], 1)}"] if any(days[:LAST_DAY]) or not days[LAST_DAY] else []
    dates += [f"*-{months}~1"] if days[LAST_DAY] else []
    return [f"{weekdays}{date} {time}" for date in dates]


def _numbers(flags: Sequence[bool], first: int) -> str:
    """ "5,20" for the places that are set; "*" for none or all."""
    result = [number for number, on in enumerate(flags, first) if on]
    return "*" if not result or len(result) == len(flags) else ",".join(map(str, result))


STATES = {  # check constraint and comment of pga_joblog.jlgstatus in pgagent--4.2.sql
    "r": RunState.RUNNING,
    "s": RunState.SUCCEEDED,
    "f": RunState.FAILED,
    "d": RunState.LOST,
    "i": RunState.SKIPPED,
}
STATUS_TEXTS = {"r": "running", "s": "succeeded", "f": "failed", "d": "aborted", "i": "ignored"}
KINDS = {"s": "SQL", "b": "batch"}
AGENT_GONE = "the agent that ran it is gone: its end is written only when another pgAgent starts"
NOTHING_RAN = "no step left a row: nothing was executed, or its steps were removed since"


def job(row: Row, native_id: str, steps: Sequence[Row], schedules: Sequence[Row], zone: str) -> JobRecord:
    what = [[step[name] for name in ("name", "kind", "database", "on_error", "enabled", "code_hash")] for step in steps]
    texts = []
    for step in steps:
        place = f" in {step['database']}" if step["database"] else ""
        off = "" if step["enabled"] else ", off"
        texts.append(f"-- {step['name']} ({KINDS.get(step['kind'], step['kind'])}{place}{off})\n{step['code']}")
    return JobRecord(
        native_id=native_id,
        title=row["jobname"] or native_id,
        schedule=schedule_of(schedules, zone, epoch_instant(row["next_run"]) if row["enabled"] else None),
        paused=not row["enabled"],
        definition="\n".join(texts),
        definition_hash=digest([what, row["host"]]),
        match_keys=(f"jobid:{row['jobid']}",),
        proof=ProofLevel.FULL,
        run_as=f"pgAgent on {row['host']}" if row["host"] else "pgAgent",
    )


def has_failed(step: Row) -> bool:
    """By its result, whatever the letter: "s" after an error is written where `jstonerror` says so."""
    if step["status"] in ("f", "i", "d"):
        return True
    result = step["result"]
    return step["status"] == "s" and result is not None and (result < 0 if step["kind"] == "s" else result != 0)


@fields.reading("row of pga_joblog")
def run(
    row: Row, steps: Sequence[Row], names: Mapping[int, str], agent_is_there: bool = True, action_key: str | None = None
) -> RunRecord:
    """One row of pga_joblog with its steps; `names`: native ids by jobid. Raises RecordUnreadable."""
    jobid, jlgid, native = int(row["jobid"]), int(row["jlgid"]), str(row["status"] or "")
    failed = [step for step in steps if has_failed(step)]
    lost = native == "r" and not agent_is_there
    state = RunState.LOST if lost else STATES.get(native, RunState.UNKNOWN)
    if state == RunState.SUCCEEDED:
        state = RunState.SKIPPED if not steps else RunState.PARTIAL if failed else state
    codes = [int(step["result"]) for step in failed if step["kind"] == "b" and step["result"] is not None]
    messages = []
    for step in failed:  # of the output the first line only, which may be another job's: pgAgent's threads share it
        first_line = "".join(str(step["output"] or "").strip().splitlines()[:1])
        messages.append(f"{step['name']}: result {step['result']}{f', {first_line}' if first_line else ''}")
    message = NOTHING_RAN if state == RunState.SKIPPED else "; ".join(messages)
    # The result of a single SQL step is the number of rows of its last statement.
    is_count = state == RunState.SUCCEEDED and len(steps) == 1 and steps[0]["kind"] == "s"
    rows = {"rows": int(steps[0]["result"])} if is_count and steps[0]["result"] is not None else {}
    started, ended = epoch_instant(row["started"]), epoch_instant(row["ended"])
    return RunRecord(
        job=names.get(jobid, f"#{jobid}"),
        attempt_key=str(jlgid),
        state=state,
        native_state=native or "(null)",
        evidence=RunEvidence.INFERRED if lost else RunEvidence.NATIVE,
        started_at=started,
        ended_at=None if state.is_open else ended,
        exit_code=codes[-1] if codes else None,
        message=AGENT_GONE if lost else message,
        native_ref=json.dumps({"jlgid": jlgid, "jobid": jobid}),
        action_key=action_key,
        context={**unreadable_times(row), **rows},
    )


def may_change(record: RunRecord) -> bool:
    """True while pgAgent may still write to its row: also after its agent has gone."""
    return record.native_state == "r" or record.state == RunState.UNKNOWN


def run_log(row: Row, steps: Sequence[Row], output: Callable[[Row], Iterable[str]]) -> Iterator[str]:
    """Every step with its result and its output, as one text in parts that only grows at its end while steps follow."""
    for step in steps:
        began = epoch_instant(step["started"])
        at = f" {began:%Y-%m-%dT%H:%M:%SZ}" if began else ""
        yield f"-- {step['name']} ({KINDS.get(step['kind'], step['kind'])}){at}\n"
        if step["status"] != "r":
            yield from with_newline(without_last_newlines(output(step)))
            yield f"-- {STATUS_TEXTS.get(step['status'], step['status'])}, result {step['result']}\n"
    if row["status"] != "r":
        yield f"-- job {STATUS_TEXTS.get(row['status'], row['status'])}\n"
