"""Rows of squeue and sacct parsed, and Slurm's state names as ours. Pure; any bytes give a value or a warning.

Source: JOB STATE CODES and JOB REASON CODES of squeue(1), Slurm 22.05.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.sdk.errors import AccessRefused, InvalidAnswer, NotSupported, PermissionMissing
from connectors.sdk.fields import clean, masked_head
from connectors.sdk.records import SkippedRecord
from connectors.sdk.states import RunState
from connectors.sdk.transport.script_output import ScriptSection

STATES = {
    "PENDING": RunState.QUEUED,
    "CONFIGURING": RunState.RUNNING,
    "RUNNING": RunState.RUNNING,
    "COMPLETING": RunState.RUNNING,
    "RESIZING": RunState.RUNNING,
    "SIGNALING": RunState.RUNNING,
    "STAGE_OUT": RunState.RUNNING,
    "STOPPED": RunState.RUNNING,
    "SUSPENDED": RunState.RUNNING,
    "SPECIAL_EXIT": RunState.HELD,
    "REQUEUE_HOLD": RunState.HELD,
    "REQUEUE_FED": RunState.QUEUED,
    "RESV_DEL_HOLD": RunState.HELD,
    "COMPLETED": RunState.SUCCEEDED,
    "CANCELLED": RunState.CANCELLED,
    "PREEMPTED": RunState.CANCELLED,
    "FAILED": RunState.FAILED,
    "BOOT_FAIL": RunState.FAILED,
    "LAUNCH_FAILED": RunState.FAILED,
    "NODE_FAIL": RunState.FAILED,
    "OUT_OF_MEMORY": RunState.FAILED,
    "TIMEOUT": RunState.TIMED_OUT,
    "DEADLINE": RunState.TIMED_OUT,
    "REVOKED": RunState.SKIPPED,
    "REQUEUED": RunState.FAILED,
}
"""REQUEUED is a try that was started again: by its exit code it had failed, else see `state_of`."""
REASON_TEXTS = {
    "NODE_FAIL": "a node of it failed",
    "BOOT_FAIL": "its node did not boot",
    "OUT_OF_MEMORY": "it used more memory than it requested",
    "PREEMPTED": "it was ended for a job that goes before it",
    "TIMEOUT": "its time limit was reached",
    "DEADLINE": "it could not end before its deadline",
    "REVOKED": "a sister cluster runs it",
    "SUSPENDED": "it is suspended",
    "STOPPED": "it was stopped by a signal, and keeps its nodes",
    "SPECIAL_EXIT": "it ended with the exit code for special attention and is held in the queue",
}
HELD_REASONS = ("JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "held", "Held")
NEVER = "DependencyNeverSatisfied"
WAITS = {
    "Dependency": (RunState.WAITING, "upstream"),
    "BeginTime": (RunState.PLANNED, "time"),
    "Reservation": (RunState.WAITING, "time"),
    "JobArrayTaskLimit": (RunState.QUEUED, "slot"),
    "Licenses": (RunState.QUEUED, "resource"),
    "Resources": (RunState.QUEUED, "resource"),
    "Nodes": (RunState.QUEUED, "resource"),
    "NodeDown": (RunState.QUEUED, "resource"),
    "ReqNodeNotAvail": (RunState.QUEUED, "resource"),
    "Priority": (RunState.QUEUED, "slot"),
    "None": (RunState.QUEUED, ""),
}
"""State and reason by Slurm's reason; limits of users, accounts and QOS are slots."""


def state_of(native: str, exit_code: str) -> RunState:
    """The state of a part by Slurm's name of it, without "by UID", and its "code:signal". A try that was requeued
    without an exit code may have succeeded: its end is unknown."""
    if native == "REQUEUED" and exit_code in ("", "0:0"):
        return RunState.UNKNOWN
    return STATES.get(native, RunState.UNKNOWN)


def waiting_reason(reason: str, is_held: bool) -> tuple[RunState, str]:
    plain = reason.split(",")[0].strip("() ")
    if plain == NEVER:
        return RunState.BLOCKED, "upstream"
    if is_held or any(text in plain for text in HELD_REASONS):
        return RunState.HELD, ""
    if plain.startswith(("Assoc", "QOS", "Max")) or plain.endswith("Limit"):
        return WAITS.get(plain, (RunState.QUEUED, "slot"))
    return WAITS.get(plain, (RunState.QUEUED, "resource" if "Node" in plain or "Partition" in plain else ""))


@dataclass(frozen=True, slots=True)
class SlurmAnswer:
    """The sections of one answer, what separates the fields of its rows, and the host, for messages."""

    parts: list[ScriptSection]
    delimiter: str
    where: str = ""

    def section(self, kind: str) -> ScriptSection | None:
        return next((part for part in self.parts if part.kind == kind), None)

    def needed(self, kind: str) -> ScriptSection:
        """Raises InvalidAnswer where the answer lacks it."""
        section = self.section(kind)
        if section is None:
            hint = " Fix: give the login a POSIX sh." if kind == "HOST" else ""  # the first section of every script
            raise InvalidAnswer(f"{self.where}: the answer lacks {kind}. Headway retries.{hint}")
        return section

    def lines(self, kind: str) -> list[str]:
        return lines(self.section(kind))

    def rows(self, kind: str) -> list[list[str]]:
        """The fields of each line."""
        return [line.split(self.delimiter) for line in self.lines(kind)]


JOB_ID = re.compile(r"(\d{1,10})(?:_(\d+|\[[0-9,:%-]*\])|\+\d+)?")
RUN_MARK = re.compile(r"headway-run id=(headway-[0-9a-z]{10,40}) at=(\d{1,12})")
MARKED_SECONDS = 30
"""How long after the instant in its mark a submission may be made for it."""
LAST_STAMP = 253402300799
SAMPLE = 200
QUEUE_FIELDS = 14
GROUP_FIELDS = 18
NAME_FIELDS = 9
NO_RIGHT = ("Permission denied", "Access/permission denied")
REFUSED = ("authentication error", "Munge", "munge", "Unauthorized")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One line of squeue: a job, a part of an array, or all parts of one that still wait."""

    part: str
    base: str
    native: str
    reason: str
    submit: int
    start: int
    """When it began, or is thought to begin."""
    end: int
    priority: str
    user: str
    account: str
    partition: str
    dependency: str
    comment: str
    name: str

    @property
    def is_pending(self) -> bool:
        return self.native == "PENDING"

    @property
    def is_over(self) -> bool:
        """Whether `end` is its end, and not the limit of its time."""
        return not state_of(self.native, "1:0").is_open

    @property
    def is_held(self) -> bool:
        return self.is_pending and self.priority == "0"


@dataclass(frozen=True, slots=True)
class PartGroup:
    """Parts of one job that were submitted together and have one state: of a plain job, its one part."""

    base: str
    submit: int
    following: int
    """When the same parts were submitted the next time; 0 where they were not."""
    native: str
    code: str
    """"code:signal"."""
    count: int
    start: int
    end: int
    parts: tuple[str, ...]
    """The first of them by id: "7", "7_2", "7_[4-9]"."""
    reason: str
    user: str
    account: str
    partition: str
    comment: str
    folder: str
    name: str
    line: str
    """The first line of what submitted it."""
    dependency: str = ""
    is_held: bool = False


@dataclass(slots=True)
class ParsedRows:
    groups: list[PartGroup] = field(default_factory=list)
    skipped: list[SkippedRecord] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Of sacct."""
    is_last: bool = False
    """Whether the end of the list was reached."""
    is_whole: bool = True


def stamp(text: str) -> int:
    """Seconds since 1970; 0 for "Unknown", "None", "N/A" and any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 and int(text) <= LAST_STAMP else 0


def at(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def count_of(part: str) -> int:
    """How many parts an id stands for: 1, or those of "7_[1-3,5,9-15:2%4]"."""
    _, bracket, inside = part.partition("[")
    if not bracket:
        return 1
    total = 0
    for piece in inside.rstrip("]").partition("%")[0].split(","):
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", piece)
        if match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            total += max(0, last - first) // max(1, int(match[3] or 1)) + 1
    return max(1, total)


def base_of(part: str) -> str:
    """The job that a part belongs to: "7" of "7_2"; "" for any other text."""
    match = JOB_ID.fullmatch(part)
    return match[1] if match else ""


def action_of(comment: str, submit: int) -> str | None:
    """Our key in a comment, where this submission is the one that it was written for."""
    for match in RUN_MARK.finditer(comment):
        if int(match[2]) <= submit <= int(match[2]) + MARKED_SECONDS:
            return match[1]
    return None


def lines(part: ScriptSection | None) -> list[str]:
    return clean(part.body.decode("utf-8", "replace")).split("\n") if part is not None else []


def queue(answer: SlurmAnswer) -> tuple[dict[str, list[QueueRow]], list[SkippedRecord], str]:
    """Lines of squeue by job, those that cannot be read, and the error of squeue."""
    end = answer.section("QEND")
    by_job: dict[str, list[QueueRow]] = {}
    skipped: list[SkippedRecord] = []
    errors: list[str] = []
    for line in dict.fromkeys(answer.lines("QUEUE")):
        row = line.split(answer.delimiter)
        if len(row) == 1:
            errors += [line.strip()] if line.strip() else []
            continue
        queued = _queued(row)
        if queued is None:
            skipped.append(SkippedRecord("squeue", "the line lacks the requested fields", _sample(line, answer)))
        else:
            by_job.setdefault(queued.base, []).append(queued)
    failed = end is None or end.rest != "0"
    if not failed:  # warnings of squeue are among the rows
        odd = (line for line in errors if not line.startswith("squeue: "))
        skipped += [
            SkippedRecord("squeue", "the line is not a row of the requested list", masked_head(line, SAMPLE))
            for line in odd
        ]
    return by_job, skipped, (masked_head(" ".join(errors), SAMPLE) or "squeue failed") if failed else ""


def _queued(row: list[str]) -> QueueRow | None:
    if len(row) != QUEUE_FIELDS or not base_of(row[0]) or not row[13] or not stamp(row[4]):
        return None
    part, _, state, reason, submit, start, end, *rest = ("" if value in ("(null)", "N/A") else value for value in row)
    texts = (*rest[:6], row[13])
    return QueueRow(part, base_of(part), state, reason, stamp(submit), stamp(start), stamp(end), *texts)


def group(row: QueueRow) -> PartGroup:
    start = 0 if row.is_pending else row.start
    return PartGroup(
        row.base, row.submit, 0, row.native, "", count_of(row.part), start, row.end if row.is_over else 0, (row.part,),
        row.reason, row.user, row.account, row.partition, row.comment, "", row.name, "", row.dependency, row.is_held,
    )  # fmt: skip


def groups(answer: SlurmAnswer) -> ParsedRows:
    rows = ParsedRows()
    for part in answer.parts:
        if part.kind == "ROWS":
            _read_groups(part, answer, rows)
    return rows


def _read_groups(part: ScriptSection, answer: SlurmAnswer, rows: ParsedRows) -> None:
    for line in lines(part):
        row = line.split(answer.delimiter)
        if row[0] == "=" and len(row) == 2:
            rows.is_last = True
            rows.is_whole = rows.is_whole and row[1] == "0"
        elif row[0] == "!":
            rows.errors.append(masked_head(row[1], SAMPLE) if len(row) > 1 else "")
        elif line.strip():
            result = _group(row[1:]) if row[0] == "+" else None
            if result is None:
                rows.skipped.append(SkippedRecord("sacct", "the row lacks the requested fields", _sample(line, answer)))
            else:
                rows.groups.append(result)


def _group(row: list[str]) -> PartGroup | None:
    if len(row) < GROUP_FIELDS - 1 or not row[0].isdigit() or not stamp(row[1]) or not row[3].strip():
        return None
    base, submit, following, state, code, count, start, end, parts, reason, user, account, partition, *rest = row
    if len(rest) < 4 or not count.isdigit() or not user:
        return None
    comment, folder, name, line = rest[:4]
    ids = tuple(part for part in parts.split(" ") if base_of(part))
    number = sum(map(count_of, ids)) if any("[" in part for part in ids) else int(count)
    return PartGroup(
        base, stamp(submit), stamp(following), state.split(" ")[0], code, number, stamp(start), stamp(end), ids,
        reason, user, account, partition, comment, folder, name, line,
    )  # fmt: skip


def _sample(line: str, answer: SlurmAnswer) -> str:
    return masked_head(line.replace(answer.delimiter, "|"), SAMPLE)


def settings(answer: SlurmAnswer) -> dict[str, str]:
    """Settings by `scontrol show config`; empty where slurmctld does not answer. Raises NotSupported without Slurm."""
    reported = answer.lines("CONFIG")
    parts = (line.partition("=") for line in reported)
    result = {name.strip(): value.strip() for name, equals, value in parts if equals}
    if not result and any("not found" in line for line in reported):
        raise NotSupported(
            f"{answer.where}: Slurm not found ({masked_head(reported[0], SAMPLE)})."
            " Fix: set `bin` to the folder of its commands"
        )
    return result


def is_private(config: Mapping[str, str]) -> bool:
    """Whether plain users see their own jobs alone."""
    return "jobs" in config.get("PrivateData", "").split(",")


def warnings_of(errors: Iterable[str], where: str) -> str:
    """Messages of Slurm's tools that did not answer. Raises AccessRefused where a person must act."""
    reported = " ".join(errors).strip()
    text = masked_head(reported, SAMPLE)
    if any(item in reported for item in NO_RIGHT):
        raise PermissionMissing(f"{where}: {text}. May the login use Slurm there? See headway connector grants slurm")
    if any(item in reported for item in REFUSED):
        raise AccessRefused(f"{where}: {text}. May the login use Slurm there, and does munged run?")
    return text


def nothing_seen(errors: Iterable[str], where: str) -> InvalidAnswer:
    return InvalidAnswer(f"{where}: {warnings_of(errors, where)}. Headway retries.")


def crontabs(answer: SlurmAnswer) -> dict[str, str]:
    """By job id the expression of jobs that scrontab made."""
    result = (line.partition("|") for line in answer.lines("CRONTABS"))
    return {base: spec.strip() for base, bar, spec in result if bar and base.isdigit()}


def name_rows(answer: SlurmAnswer) -> Iterator[tuple[str, list[str]]]:
    """Mark ("+" a submission, "<" what it waits for, "=" status, "!" error, "?" unreadable) and fields."""
    for mark, *row in answer.rows("NAMES"):
        if mark in ("+", "<", "=", "!", "?"):
            yield mark, row
