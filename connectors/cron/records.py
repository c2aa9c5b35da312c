"""Crontab lines and attempts -> the contract's records. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from connectors.contract import (
    Clock,
    Evidence,
    Inventory,
    JobRecord,
    Proof,
    RunRecord,
    RunRef,
    Schedule,
    Skipped,
    State,
)
from connectors.cron import cronie
from connectors.cron.attempts import ENDS_LOGGED, ERRORS_LOGGED, Attempt, instant
from connectors.cron.crontab import slug
from connectors.cron.fields import NICKNAMES, REBOOT, words
from connectors.cron.parse import zone_of
from connectors.cron.spool import RUN_ID
from connectors.cron.tables import Daemon, Line, Tables, is_user_table
from connectors.transport.answer import bytes_of

DIALECT, OWN_ZONE, BUSYBOX = "debian-cron", "cronie", "busybox"
"""The second of lines under a CRON_TZ that their daemon goes by."""


def native_id(host: str, line: Line) -> str:
    """`host:name`."""
    return f"{host}:{line.name}"


def proof(line: Line, level: int) -> Proof:
    """What is proved about runs of that line: all by the wrapper, the exit by END and error lines, else the start."""
    if line.is_wrapped:
        return Proof.FULL
    return Proof.EXIT if level & ENDS_LOGGED and level & ERRORS_LOGGED else Proof.START


def job(host: str, line: Line, zone: str, level: int) -> JobRecord:
    """One crontab line as a job."""
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


def _match_keys(line: Line) -> tuple[str, ...]:
    """What knows the line again where its name is another: its times, unless a comment gives it that name, and what it
    runs. What stands in the same place alone is another job."""
    runs = sha256(bytes_of(f"{line.user} {line.raw}")).hexdigest()[:16]
    made = slug(line.user, line.command)
    is_named = made not in (line.name, line.name.rpartition("#")[0])
    times = () if is_named else (f"{line.user}|{line.path}|{line.expression}",)
    return (*times, f"{line.path}#{runs}")


def _schedule(line: Line, zone: str) -> Schedule:
    """cronie goes by CRON_TZ, where an unknown zone is UTC to it; to Debian's cron it is a variable like any other."""
    is_cronie = line.daemon is Daemon.CRONIE
    if is_cronie and (told := cronie.at_no_minute(line)):
        return Schedule("none", "", zone, told)
    own = line.settings.get("CRON_TZ", "").lstrip(":") if is_cronie else ""
    named = own if own and zone_of(own) is not None else "UTC"
    expression = NICKNAMES.get(line.expression, line.expression)
    usual = BUSYBOX if line.daemon is Daemon.BUSYBOX else DIALECT
    dialect = "none" if line.expression == REBOOT else OWN_ZONE if own else usual
    return Schedule(dialect, expression, named if own else zone, words(line.expression))


def user_of_table(match_keys: tuple[str, ...]) -> str | None:
    """Whose own crontab a job stands in, by its keys; None for the system's tables."""
    path = match_keys[-1].rpartition("#")[0] if match_keys else ""
    return path.rpartition("/")[2] if is_user_table(path) else None


def inventory(
    host: str,
    tables: Tables,
    denied: Iterable[tuple[str, str]],
    zone: str,
    level: int,
    clock: Clock,
) -> Inventory:
    """All jobs of the host. Not complete where a crontab was denied; a file that cron ignores has no jobs."""
    lines = (job(host, line, zone, level) for line in tables.lines)
    jobs = (*lines, *(one.record(host, zone) for one in tables.anacron))
    refused = [Skipped(path, f"denied: {why}", "") for path, why in denied]
    faults = [Skipped(fault.where, fault.reason, fault.value) for fault in tables.faults]
    content = repr((jobs, refused, faults))
    return Inventory(
        jobs, complete=not refused, hash=sha256(bytes_of(content)).hexdigest(), clock=clock,
        skipped=(*refused, *faults),
    )  # fmt: skip


def run(attempt: Attempt, spool: str) -> RunRecord:
    """An attempt as the engine takes it; cron's starts carry no period, `control` finds it."""
    return RunRecord(
        job=attempt.job,
        attempt_key=attempt.key,
        state=State.CANCELLING if attempt.cancel and attempt.state is State.RUNNING else attempt.state,
        native_state=attempt.word,
        evidence=attempt.evidence,
        started_at=instant(attempt.started),
        ended_at=instant(attempt.ended) if attempt.state is not State.RUNNING else None,
        exit_code=attempt.exit_code,
        message=attempt.message,
        native_ref=Ref.of(attempt, spool).as_json(),
        action_key=attempt.action or None,
        context={"pid": attempt.pid, "user": attempt.user},
    )


@dataclass(frozen=True, slots=True)
class Ref:
    """What finds an attempt again: its process, its output, its lines in cron's log."""

    attempt: dict[str, Any]
    output: str
    lines: tuple[str, ...]

    @staticmethod
    def of(attempt: Attempt, spool: str) -> Ref:
        output = f"{spool}/{attempt.user}/out/{attempt.run_id}" if RUN_ID.fullmatch(attempt.run_id) else ""
        kept = {"u": attempt.user, "p": attempt.pid, "s": attempt.started, "c": attempt.child, "b": attempt.birth,
                "r": attempt.run_id, "t": attempt.text, "a": attempt.action, "w": attempt.word,
                "z": attempt.state.value}  # fmt: skip
        return Ref({name: value for name, value in kept.items() if value}, output, tuple(attempt.lines))

    def has_output(self, spool: str) -> bool:
        """Whether it names the output of a run of some user's, and no other file of the host."""
        user, _, run_id = self.output.removeprefix(f"{spool}/").partition("/out/")
        is_name = user not in ("", ".", "..") and "/" not in user
        return is_name and self.output == f"{spool}/{user}/out/{run_id}" and bool(RUN_ID.fullmatch(run_id))

    def as_json(self) -> str:
        return json.dumps({"attempt": self.attempt, "output": self.output, "lines": self.lines}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Ref | None:
        """The reference again; None for anything that is none of ours."""
        try:
            value = json.loads(text)
            return Ref(dict(value["attempt"]), str(value["output"]), tuple(str(line) for line in value["lines"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def attempts_asked_for(open_runs: Iterable[RunRef], known: Iterable[Attempt]) -> Iterator[Attempt]:
    """Runs that the engine holds for open and this connector no longer knows, as attempts to look for."""
    have = {(one.job, one.key) for one in known}
    for ref in open_runs:
        found = Ref.from_json(ref.native_ref) if ref.native_ref else None
        if found is None or (ref.job, ref.attempt_key) in have or found.attempt.get("z") != State.RUNNING:
            continue
        start = {"k": ref.attempt_key, "j": ref.job, "v": Evidence.NATIVE, "d": True, "t": 0}
        try:
            attempt = Attempt.from_json({**start, **found.attempt, "l": list(found.lines), "f": bool(found.lines)})
        except (KeyError, TypeError, ValueError):
            continue
        yield attempt
