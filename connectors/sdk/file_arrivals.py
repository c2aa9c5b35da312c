"""Files that are expected by name, date and time: the kinds that watch folders and buckets share what they conclude.

A file is a success once its size and time were the same in two polls a minute apart, so that a half-written one is
never green. The first read of a job takes only files older than a day at once. Where a time is not within
the polls that saw the file arrive (a copy that keeps times, a clock that is off), the poll's own counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple, Protocol, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import Probe, SourcePermission
from connectors.sdk.daily_time import ExpectedDelivery, instant_of
from connectors.sdk.errors import ConnectorError, NotSupported, PermissionMissing, SystemUnreachable
from connectors.sdk.fields import EPOCH, as_json, clean, cursor_or_first, masked_head
from connectors.sdk.records import (
    Inventory,
    JobRecord,
    LogChunk,
    Poll,
    RunRecord,
    RunRef,
    SkippedRecord,
    TargetClock,
    instant_key,
)
from connectors.sdk.states import Capability, ProofLevel, RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.vanished_runs import no_longer_listed

HISTORY_DAYS = 40
MAX_FILES = 1000
"""Files of one job that are watched, the newest."""
MAX_NAMES = 100_000
"""Files that are read of one folder."""
SETTLED_SECONDS = 86_400.0
STABLE_SECONDS = 60.0
"""So long the size and time of a file must stay the same before it counts."""
NO_ACTIONS = "a file is sent by its sender: ask there for another delivery, or rerun the job that writes it"
NO_LOG = "a file has no log"
MISSING = {
    **dict.fromkeys((Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD), NO_ACTIONS),
    Capability.MARK: "no scheduler has the run; Headway records its result as asserted",
    Capability.LOG: NO_LOG,
    Capability.TASKS: "a file has no tasks",
    Capability.PERIODS: "the date in its name is the period; nothing can be started for another one",
    Capability.NATIVE_DEPENDENCIES: "declare what writes it, and what waits for it: [[dependencies]]",
}
LADDER = (
    "Proves that a file is there, its size, and that neither size nor time changed between two polls; never its"
    " content. A writer that pauses for longer than a minute looks finished. A file that is moved before it counts is"
    " UNKNOWN."
)
OPEN = "@open"
_DIRECTIVES = {"Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d\d)", "m": r"(?P<m>\d\d)", "d": r"(?P<d>\d\d)"}


def _pattern(path: str) -> str:
    """The path. ValueError where its date is not a whole one, or it has no file name."""
    names = re.findall(r"%(.)", path)
    if unknown := [name for name in names if name not in _DIRECTIVES]:
        raise ValueError(f'"%{unknown[0]}" is not part of a date; write %Y, %m and %d, as in orders_%Y%m%d.csv')
    if names and not ({"m", "d"} <= set(names) and {"Y", "y"} & set(names)):
        given = ", ".join(f"%{name}" for name in names)
        raise ValueError(f"its date is not a whole one ({given}); write %Y, %m and %d")
    folder, _, name = path.rpartition("/")
    if not path.startswith("/") or not name or "*" in folder:
        raise ValueError(f"{path!r} is not /FOLDER/FILE with * in the file name only; write /in/orders_%Y%m%d*.csv")
    if {".", ".."} & {*path.split("/")}:
        raise ValueError(f'{path!r} contains the segment "." or "..". Fix: write the resolved path')
    fields = re.findall("%(.)", name.replace("%y", "%Y"))
    if repeated := next((field for field in fields if fields.count(field) > 1), ""):
        raise ValueError(f"its file name has %{repeated} twice; keep one date, and write * for the other")
    return path


class FileOptions(ExpectedDelivery):
    """One `[systems.NAME.files.FILE]`."""

    path: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_pattern)]
    """The path: %Y (or %y), %m, %d are its date, * any text in the file name: "/in/orders_%Y%m%d*.csv"."""
    title: str = ""
    """A short description of the file."""
    days_after: Annotated[int, Field(ge=0, le=31)] = 0
    """Days between the date in the path and the day on which the file is expected."""
    min_bytes: Annotated[int, Field(ge=0)] = 1
    """A smaller file is a failure."""

    @model_validator(mode="after")
    def no_early_beside_a_date(self) -> Self:
        if "early" in self.model_fields_set and "%" in self.path:
            raise ValueError("early: the date in the path already says which day a file is of. Fix: remove it")
        return self

    @property
    def fixed_folder(self) -> str:
        """The folder that exists on every day: without those with a date, and those below."""
        return re.split("/[^/]*%", self.path.rpartition("/")[0])[0] or "/"

    def folder(self, day: date) -> str:
        """The folder of a file with this date."""
        return _spelled(self.path.rpartition("/")[0], day) or "/"

    def folders(self, today: date) -> list[str]:
        """The folders to read, the newest first. Tomorrow's is one: a sender may be ahead."""
        days = (today + timedelta(days=1 - number) for number in range(HISTORY_DAYS + 2))
        return list(dict.fromkeys(map(self.folder, days)))


class FileEntry(NamedTuple):
    """A file as its folder lists it."""

    path: str
    size: int
    modified: float
    """Seconds since 1970 by the server's clock."""


class FolderUnreachable(SystemUnreachable):
    """One folder gives no answer; others of its system may."""


class FolderMissing(SystemUnreachable):
    """A folder that does not exist."""

    def __init__(self, place: str, folder: str) -> None:
        super().__init__(f"{place}: {folder} does not exist. Fix: correct its path, or mount it")


_OF_ONE_FOLDER = (FolderUnreachable, FolderMissing, PermissionMissing, NotSupported)


class FolderReader(Protocol):
    """Where the files are. Each call ends by `deadline`."""

    deadline: Deadline

    def entries(self, folder: str) -> Iterable[FileEntry]:
        """Its files, links followed; FolderMissing, or empty in a bucket, where it does not exist. Raises
        ConnectorError."""
        ...

    def close(self) -> None: ...


def _spelled(text: str, day: date) -> str:
    """A path with its date: only what `_pattern` allows is replaced."""
    return re.sub(r"%[Ymdy]", lambda match: day.strftime(match[0]), text)


def _matcher(path: str) -> re.Pattern[str]:
    parts, seen = [], set[str]()
    for part in re.split(r"(%[Ymdy]|\*)", path):
        if part == "*":
            parts.append("[^/]*")
        elif re.fullmatch("%[Ymdy]", part):
            parts.append(_DIRECTIVES[part[1]] if part[1] not in seen else f"(?P={part[1]})")
            seen.add(part[1])
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts), re.DOTALL)


def _date_in(match: re.Match[str]) -> date | None:
    """The date of a matched path; None without one. ValueError for a day that no calendar has."""
    parts = match.groupdict()
    if not parts:
        return None
    year = int(parts["Y"]) if "Y" in parts else 2000 + int(parts["y"])
    return date(year, int(parts["m"]), int(parts["d"]))


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as polls saw it. Seconds since 1970, by our clock but for `modified`."""

    size: int
    modified: int
    since: float
    """When it was first seen with this size and time."""
    first: float
    """When this delivery began: of the first read of its job its own time."""
    done: bool = False
    """It was reported as ended."""
    was_open: bool = False


@dataclass(frozen=True, slots=True)
class ArrivalCursor:
    """`read`: job -> its last successful read; `files`: job -> path -> what it saw."""

    read: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, SeenFile]] = field(default_factory=dict)


def seen_now(entry: FileEntry, before: SeenFile | None, last: float, now: float) -> SeenFile:
    """The file after this poll; `last`: the time of the job's last successful read, 0 for its first one."""
    modified = int(entry.modified)
    if before is not None and (before.size, before.modified) == (entry.size, modified):
        return replace(before, done=before.done or now - before.since >= STABLE_SECONDS)
    if before is not None and not before.done:
        return replace(before, size=entry.size, modified=modified, since=now)
    first = min(entry.modified, now) if not last or entry.modified >= last else now
    return SeenFile(entry.size, modified, now, first, done=not last and now - entry.modified > SETTLED_SECONDS)


def run_of(job: str, file: FileOptions, zone: str, path: str, day: date | None, seen: SeenFile) -> RunRecord:
    """The delivery as a run: open while it may still be written."""
    began, path = _instant(seen.first), clean(path)
    if day is not None:
        at = instant_of(day + timedelta(days=file.days_after), file.at, zone)
    else:
        at = file.time_of(began, zone)
    state, native, message = RunState.RUNNING, "being written", ""
    if seen.done:
        state, native = RunState.SUCCEEDED, "arrived"
        if seen.size < file.min_bytes:
            state, native = RunState.FAILED, "too small"
            message = f"{path}: {seen.size:,} bytes, and at least {file.min_bytes:,} are expected"
    ended = max(began, min(_instant(float(seen.modified)), _instant(seen.since)))
    return RunRecord(
        job=job,
        attempt_key=f"{path}@{seen.modified}.{seen.size}" if seen.done else f"{path}{OPEN}",
        formerly=f"{path}{OPEN}" if seen.done and seen.was_open else "",
        state=state,
        native_state=native,
        period_key=instant_key(at),
        period_at=at,
        interval_start=instant_of(day, datetime.min.time().replace(hour=12), zone) if day is not None else None,
        started_at=began,
        ended_at=ended if seen.done else None,
        message=message,
        native_ref=path,
        context={"path": path, "bytes": seen.size},
    )


def _instant(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


class ArrivalConnector(WatchOnly):
    """The files of one host or bucket. `now`: seconds since 1970."""

    no_actions = NO_ACTIONS

    def __init__(
        self,
        reader: FolderReader,
        target: str,
        files: Mapping[str, FileOptions],
        zone: str,
        permission: Callable[[str], tuple[str, str]],
        now: Callable[[], float] = lambda: datetime.now(UTC).timestamp(),
    ) -> None:
        """`permission`: name and fix of the permission to read a folder."""
        self._reader, self._target, self._files, self._zone = reader, target, files, zone
        self._permission, self._now = permission, now

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """The files of the config. Raises SystemUnreachable or AccessRefused where their place cannot be read."""
        self._reader.deadline = Deadline(timeout_seconds)
        with suppress(*_OF_ONE_FOLDER):  # a poll names the folder
            folder = next(iter(self._files.values())).folder(self._today(self._now()))
            next(iter(self._reader.entries(folder)), None)
        jobs = []
        for name, file in self._files.items():
            definition = f"{file.path}, at least {file.min_bytes:,} bytes"
            schedule, title = file.schedule(self._zone), file.title or name
            native = f"{self._target}:{name}"
            jobs.append(
                JobRecord(
                    native, title, schedule, definition=definition, definition_hash=definition, proof=ProofLevel.EXIT
                )
            )
        return Inventory.of(jobs, clock=self._clock(self._now())).unless_same(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._reader.deadline = Deadline(timeout_seconds)
        before, warnings = cursor_or_first(ArrivalCursor(), cursor)
        now, runs, skipped = self._now(), list[RunRecord](), list[SkippedRecord]()
        after, read, unread = dict[str, Mapping[str, SeenFile]](), dict[str, float](), set[str]()
        failure: ConnectorError | None = None
        listed = dict[str, list[FileEntry] | ConnectorError]()
        for name, file in self._files.items():
            known, last = before.files.get(name, {}), before.read.get(name, 0.0)
            try:
                matches = self._matches(file, now, listed, skipped)
            except _OF_ONE_FOLDER as error:
                failure = error
                unread.add(name)
                skipped.append(SkippedRecord(name, str(error)))
                after[name], read[name] = known, last
                continue
            if len(matches) > MAX_FILES:
                warnings += (f"{name}: more than {MAX_FILES:,} files match {file.path}; the newest are watched",)
            seen_files = dict[str, SeenFile]()
            for entry, day in sorted(matches, key=_age, reverse=True)[:MAX_FILES]:
                old = known.get(entry.path)
                seen = seen_now(entry, old, last, now)
                if old is None or not seen.done or not old.done:
                    runs.append(run_of(f"{self._target}:{name}", file, self._zone, entry.path, day, seen))
                seen_files[entry.path] = replace(seen, was_open=not seen.done or seen.was_open)
            after[name], read[name] = seen_files, now
        if failure is not None and len(unread) == len(self._files):
            raise failure
        runs += self._gone(open_runs, after, unread)
        return Poll(
            tuple(sorted(runs, key=lambda run: (run.started_at or EPOCH, run.job))),
            as_json(ArrivalCursor(read, after)),
            complete=not unread,
            clock=self._clock(now),
            skipped=tuple(skipped),
            seen_until=None if unread else _instant(now),
            warnings=warnings,
        )

    def _matches(
        self,
        file: FileOptions,
        now: float,
        listed: dict[str, list[FileEntry] | ConnectorError],
        skipped: list[SkippedRecord],
    ) -> list[tuple[FileEntry, date | None]]:
        """Files of these days whose path matches, and their dates."""
        today = self._today(now)
        matches, pattern = list[tuple[FileEntry, date | None]](), _matcher(file.path)
        is_one = "*" not in file.path
        for folder in file.folders(today):
            entries = self._entries(file, folder, listed)
            if isinstance(entries, ConnectorError):
                raise entries
            for entry in entries:
                match = pattern.fullmatch(entry.path)
                if match is None:
                    continue
                try:
                    day, modified = _date_in(match), _instant(entry.modified).date()
                except (ValueError, OverflowError) as error:
                    skipped.append(SkippedRecord(masked_head(clean(entry.path), 200), str(error)))
                    continue
                if abs((day or (today if is_one else modified)) - today) <= timedelta(days=HISTORY_DAYS):
                    matches.append((entry._replace(modified=max(0.0, entry.modified)), day))
        return matches

    def _entries(
        self, file: FileOptions, folder: str, listed: dict[str, list[FileEntry] | ConnectorError]
    ) -> list[FileEntry] | ConnectorError:
        """The files of a folder, or why it alone cannot be read. A folder with a date may be missing on a day, the one
        above it may not."""
        entries = self._listed(folder, listed)
        if isinstance(entries, FolderMissing) and folder != file.fixed_folder:
            above = self._listed(file.fixed_folder, listed)
            return above if isinstance(above, SystemUnreachable) else []
        return entries

    def _listed(
        self, folder: str, listed: dict[str, list[FileEntry] | ConnectorError]
    ) -> list[FileEntry] | ConnectorError:
        if folder not in listed:
            try:
                listed[folder] = list(_limited(folder, self._reader.entries(folder)))
            except _OF_ONE_FOLDER as error:
                listed[folder] = error
        return listed[folder]

    def _gone(
        self, open_runs: Sequence[RunRef], after: Mapping[str, Mapping[str, SeenFile]], unread: Collection[str]
    ) -> Iterator[RunRecord]:
        """Deliveries that were open and whose file is no longer there."""
        for run in open_runs:
            name = run.job.removeprefix(f"{self._target}:")
            path = run.attempt_key.removesuffix(OPEN)
            files = map(clean, after.get(name, {}))
            if run.attempt_key.endswith(OPEN) and name not in unread and path not in files:
                message = "it was moved or deleted before its size stayed the same for long enough"
                yield no_longer_listed(run, "(gone)", message, RunState.UNKNOWN)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        raise NotSupported(NO_LOG)

    def probe(self, timeout_seconds: float) -> Probe:
        """Whether each folder can be read; unreachable with one that gives no answer. Raises SystemUnreachable."""
        self._reader.deadline = Deadline(timeout_seconds)
        today, rights = self._today(self._now()), dict[str, SourcePermission]()
        unreachable = list[str]()
        listed = dict[str, list[FileEntry] | ConnectorError]()
        for file in self._files.values():
            folder = file.folder(today)
            name, fix = self._permission(folder)
            entries = self._entries(file, folder, listed)
            if isinstance(entries, SystemUnreachable):
                unreachable.append(str(entries))
                reason, _, remedy = str(entries).partition(". Fix: ")
                rights[folder] = SourcePermission(name, None, reason, remedy or "check the folder's disk or share")
            elif isinstance(entries, ConnectorError):
                rights[folder] = SourcePermission(name, False, str(entries), fix)
            else:
                rights[folder] = SourcePermission(f"{name}, {len(entries):,} files", True)
        notes = tuple(dict.fromkeys(unreachable))
        return Probe(not notes, rights=tuple(rights.values()), notes=notes, clock=self._clock(self._now()))

    def close(self) -> None:
        self._reader.close()

    def _today(self, now: float) -> date:
        return _instant(now).astimezone(ZoneInfo(self._zone)).date()

    def _clock(self, now: float) -> TargetClock:
        """Our own: a file server does not report its clock."""
        return TargetClock(_instant(now), _instant(now), self._zone)


def _age(item: tuple[FileEntry, date | None]) -> tuple[date, float]:
    return item[1] or date.min, item[0].modified


def _limited(folder: str, entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
    for number, entry in enumerate(entries):
        if number >= MAX_NAMES:
            raise NotSupported(f"{folder}: more than {MAX_NAMES:,} files; move old ones to another folder")
        yield entry
