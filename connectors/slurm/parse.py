"""Rows of squeue and sacct -> values. Pure; any bytes give a value or words about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.contract import AccessRefused, AnswerUnfit, NotSupported, RightMissing, Skipped
from connectors.fields import clean
from connectors.slurm import states
from connectors.slurm.answer import Answer
from connectors.transport.answer import Section

JOB_ID = re.compile(r"(\d{1,10})(?:_(\d+|\[[0-9,:%-]*\])|\+\d+)?")
RUN_MARK = re.compile(r"headway-run id=(headway-[0-9a-z]{10,40}) at=(\d{1,12})")
MARKED_SECONDS = 30
"""How long after the instant in its mark the submission may stand that answers it."""
LAST_STAMP = 253402300799
SAMPLE = 200
QUEUE_FIELDS = 15
GROUP_FIELDS = 18
NAME_FIELDS = 9
NO_RIGHT = ("Permission denied", "Access/permission denied")
REFUSED = ("authentication error", "Munge", "munge", "Unauthorized")


@dataclass(frozen=True, slots=True)
class Queued:
    """One line of squeue: a job, a part of an array, or all parts of one that still wait."""

    part: str
    base: str
    word: str
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
        return self.word == "PENDING"

    @property
    def is_over(self) -> bool:
        """Whether `end` is its end, and not the limit of its time."""
        return not states.of(self.word, "1:0").is_open

    @property
    def is_held(self) -> bool:
        return self.is_pending and self.priority == "0"


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of one job that were submitted together and stand alike: of a plain job, its one part."""

    base: str
    submit: int
    following: int
    """When the same parts were submitted the next time; 0 where they were not."""
    word: str
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
class Rows:
    """What was read of one list."""

    groups: list[Group] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Errors of sacct."""
    is_last: bool = False
    """Whether the end of the list was reached."""
    is_whole: bool = True


def stamp(text: str) -> int:
    """Seconds since 1970; 0 for "Unknown", "None", "N/A" and what is no instant."""
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
        found = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", piece)
        if found is not None:
            first, last = int(found[1]), int(found[2] or found[1])
            total += max(0, last - first) // max(1, int(found[3] or 1)) + 1
    return max(1, total)


def base_of(part: str) -> str:
    """The job that a part belongs to: "7" of "7_2"; "" for what is no id."""
    found = JOB_ID.fullmatch(part)
    return found[1] if found else ""


def action_of(comment: str, submit: int) -> str | None:
    """Our key in a comment, where this submission is the one that it was written for."""
    for found in RUN_MARK.finditer(comment):
        if int(found[2]) <= submit <= int(found[2]) + MARKED_SECONDS:
            return found[1]
    return None


def section(answer: Answer, kind: str) -> Section | None:
    return next((part for part in answer.parts if part.kind == kind), None)


def lines(part: Section | None) -> list[str]:
    return clean(part.body.decode("utf-8", "replace")).split("\n") if part is not None else []


def queue(answer: Answer) -> tuple[dict[str, list[Queued]], list[Skipped], str]:
    """Lines of squeue by job, those that cannot be read, and why there are none."""
    end = section(answer, "QEND")
    found: dict[str, list[Queued]] = {}
    skipped: list[Skipped] = []
    errors: list[str] = []
    for line in dict.fromkeys(lines(section(answer, "QUEUE"))):
        row = line.split(answer.delimiter)
        if len(row) == 1:
            errors += [line.strip()] if line.strip() else []
            continue
        one = _queued(row)
        if one is None:
            skipped.append(Skipped("squeue", "the line has not the fields that were asked for", _shown(line, answer)))
        else:
            found.setdefault(one.base, []).append(one)
    failed = end is None or end.rest != "0"
    if not failed:  # what squeue says of itself goes to the same place
        odd = (line for line in errors if not line.startswith("squeue: "))
        skipped += [
            Skipped("squeue", "the line is no row of the list that was asked for", line[:SAMPLE]) for line in odd
        ]
    return found, skipped, (" ".join(errors)[:SAMPLE] or "squeue failed") if failed else ""


def _queued(row: list[str]) -> Queued | None:
    if len(row) != QUEUE_FIELDS or not base_of(row[0]) or not row[13] or not stamp(row[4]):
        return None
    plain = ["" if value in ("(null)", "N/A") else value for value in row]
    part, _, word, reason, submit, start, end, priority, user, account, partition, dependency, comment, name, _ = plain
    times = stamp(submit), stamp(start), stamp(end)
    return Queued(
        part,
        base_of(part),
        word,
        reason,
        *times,
        priority,
        user,
        account,
        partition,
        dependency,
        comment,
        row[13] or name,
    )


def group(one: Queued) -> Group:
    """A line of squeue as accounting would tell it."""
    start = 0 if one.is_pending else one.start
    return Group(
        one.base, one.submit, 0, one.word, "", count_of(one.part), start, one.end if one.is_over else 0, (one.part,),
        one.reason, one.user, one.account, one.partition, one.comment, "", one.name, "", one.dependency, one.is_held,
    )  # fmt: skip


def groups(answer: Answer, kind: str = "ROWS") -> Rows:
    """Groups of accounting, of every section of that kind."""
    rows = Rows()
    for part in answer.parts:
        if part.kind == kind:
            _read_groups(part, answer, rows)
    return rows


def _read_groups(part: Section, answer: Answer, rows: Rows) -> None:
    for line in lines(part):
        row = line.split(answer.delimiter)
        if row[0] == "=" and len(row) == 2:
            rows.is_last = True
            rows.is_whole = rows.is_whole and row[1] == "0"
        elif row[0] == "!":
            rows.words.append(row[1][:SAMPLE] if len(row) > 1 else "")
        elif line.strip():
            found = _group(row[1:]) if row[0] == "+" else None
            if found is None:
                rows.skipped.append(
                    Skipped("sacct", "the row has not the fields that were asked for", _shown(line, answer))
                )
            else:
                rows.groups.append(found)


def _group(row: list[str]) -> Group | None:
    if len(row) < GROUP_FIELDS - 1 or not row[0].isdigit() or not stamp(row[1]) or not row[3].strip():
        return None
    base, submit, following, state, code, count, start, end, parts, reason, user, account, partition, *rest = row
    if len(rest) < 4 or not count.isdigit() or not user:
        return None
    comment, folder, name, line = rest[:4]
    ids = tuple(part for part in parts.split(" ") if base_of(part))
    number = sum(map(count_of, ids)) if any("[" in part for part in ids) else int(count)
    return Group(
        base, stamp(submit), stamp(following), state.split(" ")[0], code, number, stamp(start), stamp(end), ids,
        reason, user, account, partition, comment, folder, name, line,
    )  # fmt: skip


def _shown(line: str, answer: Answer) -> str:
    return line.replace(answer.delimiter, "|")[:SAMPLE]


def settings(answer: Answer, where: str) -> dict[str, str]:
    """What `scontrol show config` told of itself; empty where slurmctld does not answer. Raises where Slurm is not."""
    told = lines(section(answer, "CONFIG"))
    found = {}
    for line in told:
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip()
    if not found and any("not found" in line for line in told):
        raise NotSupported(
            f"{where}: there is no Slurm ({told[0][:SAMPLE]}). Set `bin` to the folder of its commands, if it has one."
        )
    return found


def is_private(told: Mapping[str, str]) -> bool:
    """Whether plain users see their own jobs alone."""
    return "jobs" in told.get("PrivateData", "").split(",")


def complain(words: Iterable[str], where: str) -> str:
    """Words of Slurm's tools that did not answer. Raises AccessRefused where a person must act."""
    told = " ".join(words).strip()
    if any(one in told for one in NO_RIGHT):
        raise RightMissing(f"{where}: {told[:SAMPLE]}. May the login use Slurm there? See headway grants slurm")
    if any(one in told for one in REFUSED):
        raise AccessRefused(f"{where}: {told[:SAMPLE]}. May the login use Slurm there, and does munged run?")
    return told[:SAMPLE]


def nothing_seen(words: Iterable[str], where: str) -> AnswerUnfit:
    return AnswerUnfit(f"{where}: {complain(words, where)}. It is asked again.")


def crontabs(answer: Answer) -> dict[str, str]:
    """Job id -> expression, of the jobs that scrontab made."""
    found = (line.partition("|") for line in lines(section(answer, "CRONTABS")))
    return {base: spec.strip() for base, bar, spec in found if bar and base.isdigit()}


def name_rows(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Mark ("+" a submission, "<" what it waits for, "=" status, "!" error, "?" unreadable) and fields."""
    for line in lines(section(answer, "NAMES")):
        mark, *row = line.split(answer.delimiter)
        if mark in ("+", "<", "=", "!", "?"):
            yield mark, row
