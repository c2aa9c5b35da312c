"""Crontab lines and attempts as the contract's records. Pure.

A start belongs to the nearest due line of its user and command.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Any

from connectors.cron import crontab, dialects
from connectors.cron.attempts import ENDS_LOGGED, ERRORS_LOGGED, CronAttempt, instant, text_mark
from connectors.cron.crontab import CronDaemon, CrontabLine, CrontabSet, is_user_table, slug
from connectors.cron.dialects import MAX_DELAY, NICKNAMES, REBOOT, AnacronJob, read_times, schedule_text
from connectors.cron.evidence import MAX_TEXT_BYTES, RUN_ID, as_recorded
from connectors.cron.parse import zone_of
from connectors.sdk.records import Inventory, JobRecord, RunRecord, RunRef, Schedule, SkippedRecord, TargetClock
from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from connectors.sdk.transport.script_output import bytes_of

DIALECT, OWN_ZONE, BUSYBOX = "debian-cron", "cronie", "busybox"
"""The second of lines under a CRON_TZ that their daemon goes by."""


def native_id(host: str, line: CrontabLine) -> str:
    return f"{host}:{line.name}"


def proof(line: CrontabLine, level: int) -> ProofLevel:
    """The proof level of the line: full by the wrapper, exit by END and error lines, else start."""
    if line.is_wrapped:
        return ProofLevel.FULL
    return ProofLevel.EXIT if level & ENDS_LOGGED and level & ERRORS_LOGGED else ProofLevel.START


def job(host: str, line: CrontabLine, zone: str, level: int) -> JobRecord:
    return JobRecord(
        native_id=native_id(host, line),
        title=line.name,
        schedule=_schedule(line, zone),
        paused=bool(line.mark),
        definition=line.command,
        definition_hash=sha256(bytes_of(f"{line.hash}{sorted(line.settings.items())}")).hexdigest(),
        match_keys=_match_keys(line),
        proof=proof(line, level),
        run_as=line.user,
    )


def _match_keys(line: CrontabLine) -> tuple[str, ...]:
    """Keys that identify a renamed line: the whole line, its times, unless a comment names it, and its command without
    wrappers. A line that is only in the same place is another job."""
    line_hash = sha256(bytes_of(f"{line.user} {line.written or line.expression} {line.raw}")).hexdigest()[:16]
    runs = sha256(bytes_of(f"{line.user} {crontab.unwrapped(line.raw)}")).hexdigest()[:16]
    made = slug(line.user, line.command)
    is_named = made not in (line.name, line.name.rpartition("#")[0])
    times = () if is_named else (f"{line.user}|{line.path}|{line.expression}",)
    return (f"{line.path}|{line_hash}", *times, f"{line.path}#{runs}")


def _schedule(line: CrontabLine, zone: str) -> Schedule:
    """cronie uses CRON_TZ, with UTC for an unknown zone; for Debian's cron it is an ordinary variable."""
    is_cronie = line.daemon is CronDaemon.CRONIE
    if at_no_minute := crontab.at_no_minute(line):
        return Schedule("none", "", zone, at_no_minute)
    own = line.settings.get("CRON_TZ", "").lstrip(":") if is_cronie else ""
    named = own if own and zone_of(own) is not None else "UTC"
    expression = NICKNAMES.get(line.expression, line.expression)
    usual = BUSYBOX if line.daemon is CronDaemon.BUSYBOX else DIALECT
    dialect = "none" if line.expression == REBOOT else OWN_ZONE if own else usual
    return Schedule(dialect, expression, named if own else zone, schedule_text(line.expression))


def user_of_table(match_keys: tuple[str, ...]) -> str | None:
    """The user whose crontab has the job, by its keys; None for the system's tables."""
    path = match_keys[-1].rpartition("#")[0] if match_keys else ""
    return path.rpartition("/")[2] if is_user_table(path) else None


def inventory(
    host: str, tables: CrontabSet, denied: Iterable[tuple[str, str]], zone: str, level: int, clock: TargetClock
) -> Inventory:
    """All jobs of the host. Not complete where a crontab was denied; a file that cron ignores has no jobs."""
    lines = (job(host, line, zone, level) for line in tables.lines)
    jobs = (*lines, *(item.record(host, zone) for item in tables.anacron))
    refused = [SkippedRecord(path, f"denied: {why}", "") for path, why in denied]
    faults = [SkippedRecord(fault.where, fault.reason, fault.value) for fault in tables.faults]
    content = repr((jobs, refused, faults))
    return Inventory(
        jobs, complete=not refused, hash=sha256(bytes_of(content)).hexdigest(), clock=clock,
        skipped=(*refused, *faults),
    )  # fmt: skip


def run(attempt: CronAttempt, spool: str) -> RunRecord:
    """An attempt as a record, without a period: `control` assigns it."""
    return RunRecord(
        job=attempt.job,
        attempt_key=attempt.key,
        state=RunState.CANCELLING if attempt.cancel and attempt.state is RunState.RUNNING else attempt.state,
        native_state=attempt.native_state,
        evidence=attempt.evidence,
        started_at=instant(attempt.started),
        ended_at=instant(attempt.ended) if attempt.state is not RunState.RUNNING else None,
        exit_code=attempt.exit_code,
        message=attempt.message,
        native_ref=AttemptRef.of(attempt, spool).as_json(),
        action_key=attempt.action or None,
        context={"pid": attempt.pid, "user": attempt.user},
    )


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """Reference to an attempt: its process, its output, its lines in cron's log."""

    attempt: dict[str, Any]
    output: str
    lines: tuple[str, ...]

    @staticmethod
    def of(attempt: CronAttempt, spool: str) -> AttemptRef:
        output = f"{spool}/{attempt.user}/out/{attempt.run_id}" if RUN_ID.fullmatch(attempt.run_id) else ""
        values = {short: value for short, value in attempt.as_json().items() if short in "upscbrtawz"}
        return AttemptRef(values, output, tuple(attempt.lines))

    def has_output(self, spool: str) -> bool:
        """Whether it names the output of a run, and no other file of the host."""
        user, _, run_id = self.output.removeprefix(f"{spool}/").partition("/out/")
        is_name = user not in ("", ".", "..") and "/" not in user
        return is_name and self.output == f"{spool}/{user}/out/{run_id}" and bool(RUN_ID.fullmatch(run_id))

    def as_json(self) -> str:
        return json.dumps({"attempt": self.attempt, "output": self.output, "lines": self.lines}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> AttemptRef | None:
        """The reference; None for an unreadable text."""
        try:
            value = json.loads(text)
            return AttemptRef(dict(value["attempt"]), str(value["output"]), tuple(str(line) for line in value["lines"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def referenced_attempts(open_runs: Iterable[RunRef], known: Iterable[CronAttempt]) -> Iterator[CronAttempt]:
    """Open runs of the engine that this connector no longer knows, as attempts to search."""
    have = {(item.job, item.key) for item in known}
    for ref in open_runs:
        reference = AttemptRef.from_json(ref.native_ref) if ref.native_ref else None
        if reference is None or (ref.job, ref.attempt_key) in have or reference.attempt.get("z") != RunState.RUNNING:
            continue
        start = {"k": ref.attempt_key, "j": ref.job, "v": RunEvidence.NATIVE, "d": True, "t": 0}
        try:
            lines = {"l": list(reference.lines), "f": bool(reference.lines)}
            attempt = CronAttempt.from_json({**start, **reference.attempt, **lines})
        except (KeyError, TypeError, ValueError):
            continue
        yield attempt


class LineIndex:
    """The crontab lines of a host, by user and command as logged."""

    def __init__(
        self,
        host: str,
        lines: Iterable[CrontabLine],
        zone: tzinfo,
        older: Mapping[str, str],
        of_anacron: Iterable[AnacronJob] = (),
    ) -> None:
        self.host, self.zone, self.older = host, zone, older
        self.names: dict[str, str] = {}
        self._by_text: dict[tuple[str, str], list[CrontabLine]] = {}
        self._by_mark: dict[str, CrontabLine] = {}
        for line in lines:
            self._by_mark.setdefault(f"{line.hash}.{line.ordinal}", line)
            for text in {line.logged, line.command, recorded(line.command)}:
                self._by_text.setdefault((line.user, text), []).append(line)
                self.names.setdefault(name_mark(line.user, text), native_id(host, line))
        self._of_anacron: dict[str, str] = {}
        """By the mark of a rerun."""
        for item in of_anacron:
            job = dialects.anacron_id(host, item.name)
            self._of_anacron[f"{item.hash}.1"] = job
            self.names[name_mark(dialects.USER, dialects.anacron_text(item.name))] = job

    def find(self, user: str, text: str, started: datetime, mark: str) -> tuple[str, ...]:
        """Native ids of the lines to which this start may belong: several where equal lines are equally near; none
        where no crontab, now or just before, has such a line."""
        named = self._by_mark.get(mark)
        if named is not None and named.user == user:
            return (native_id(self.host, named),)
        if user == dialects.USER and mark in self._of_anacron:
            return (self._of_anacron[mark],)
        result = self._by_text.get((user, text))
        if not result:
            by = name_mark(user, text)
            known = self.names.get(by) or self.older.get(by)
            return (known,) if known is not None else ()
        return tuple(native_id(self.host, line) for line in self._nearest(result, started))

    def _nearest(self, lines: list[CrontabLine], started: datetime) -> list[CrontabLine]:
        if len(lines) == 1:
            return lines
        local = started.astimezone(self.zone).replace(tzinfo=None)

        def distance(line: CrontabLine) -> int:
            due = read_times(line.expression)
            minutes = due.minutes_since_due(local) if due else None
            return int(MAX_DELAY.total_seconds()) if minutes is None else minutes

        known = [(distance(line), line) for line in lines]
        least = min(at for at, _ in known)
        return [line for at, line in known if at == least]


def recorded(command: str) -> str:
    """A command as the wrapper's records have it: blanks for tabs and newlines, its first MAX_TEXT_BYTES bytes."""
    return bytes_of(as_recorded(command))[:MAX_TEXT_BYTES].decode("utf-8", "surrogateescape")


def name_mark(user: str, text: str) -> str:
    """A short name of user and command."""
    return f"{text_mark(f'{user} {text}'):x}"
