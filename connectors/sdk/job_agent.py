"""The base of database job agents (pg_cron, pgAgent, MySQL events): their actions, holds, look-ups and permissions.

A job is a row of the agent's catalogue. A hold disables it under a mark in that row or beside it. `look_up` reads the
catalogue; nothing counts as absent while a session of ours may still be sending it, or while rows are hidden from our
role.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from connectors.sdk.action_router import ActionRouter, RunPart
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import (
    ActionAbsent,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    Probe,
    Receipt,
    SourcePermission,
)
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.fields import cursor_or_first, epoch_instant, reference_row
from connectors.sdk.log_chunks import chunk_of_parts
from connectors.sdk.marked_pause import MarkedPauseHolder, PauseState, Source, mark_of
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRecord, RunRef, TargetClock
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import Capability, RunState, Verb
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.vanished_runs import row_deleted

Plan = Mapping[str, Any]
Row = dict[str, Any]
"""A raw row of a catalogue: column name to value."""
NO_MARK = "it cannot set a run's result; Headway records it as asserted"


PAGE_ROWS = 1000
"""Rows of one page of history, and rows read once more in one poll."""
GiveLog = Callable[[Iterable[str], bool], LogChunk]
"""Makes the chunk of a run's log from its parts, and whether more may still be written."""


class AgentSession(Protocol):
    """Connections to one database or server."""

    place: str
    unverified: tuple[str, ...]

    def close(self) -> None: ...


class JobAgentClient:
    """Queries and actions of one database or server."""

    _session: AgentSession

    def __init__(self, session: AgentSession, act_schema: str) -> None:
        self._session, self.deadline = session, Deadline(0.0)
        self.act_schema = act_schema
        """Schema of the functions of grants.sql."""

    @property
    def place(self) -> str:
        """Where it is and who signs in: "host:port/database as user"."""
        return self._session.place

    @property
    def unverified(self) -> tuple[str, ...]:
        """Settings of the connection weaker than the default, with their danger."""
        return self._session.unverified

    def close(self) -> None:
        self._session.close()

    def log(self, number: int, give: GiveLog) -> LogChunk | None:
        """The log of one run, made by `give`; None where its row is gone or hidden."""
        raise NotImplementedError

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        """Disables the job of the plan under the mark by grants.sql, if it is enabled and unchanged since its read."""
        raise NotImplementedError

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        """Removes the hold mark, if the one with this id is there; `enable`: and enables the job again."""
        raise NotImplementedError


Client = TypeVar("Client", bound=JobAgentClient)


class JobAgentConnector(ComposedConnector):
    """The connector of a database job agent, which reads its log of runs by number."""

    agent: ClassVar[str]
    """Its name in messages."""
    missing: ClassVar[Mapping[Capability, str]]
    """Why it lacks a capability."""
    table: str
    """Of its log of runs: "cron.job_run_details"."""
    number: ClassVar[str]
    """Column of the log that numbers its rows: "runid"."""
    no_log = "has no row in {table} any more"
    """Why a run has no log."""
    states: ClassVar[Mapping[str, RunState]]
    """Of each native status."""

    def __init__(
        self, client: JobAgentClient, starter: RunPart, holder: RunPart, canceller: RunPart | None = None
    ) -> None:
        parts = {Verb.RERUN: starter, Verb.START: starter, Verb.HOLD: holder, Verb.RELEASE: holder}
        parts |= {Verb.CANCEL: canceller} if canceller else {}
        super().__init__(
            client,
            inventory=self.read_inventory,
            poll=self.read_runs,
            log=self.read_log,
            acts=ActionRouter(self.agent, client, parts, self.missing),
            holds=self.read_holds,
            probe=self.read_permissions,
        )
        self._agent_client = client

    def read_inventory(self, previous_hash: str) -> Inventory:
        raise NotImplementedError

    def read_page(self, position: SequenceCursor, open_runs: Mapping[int, RunRef], again: Sequence[int]) -> Poll:
        """The next page of history after `position`, and the rows `again`. `open_runs`: by the number of their row."""
        raise NotImplementedError

    def read_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        raise NotImplementedError

    def read_permissions(self) -> Probe:
        raise NotImplementedError

    def read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """The next page of history after the cursor's number, and what may have come or changed below it."""
        position, warnings = cursor_or_first(SequenceCursor(), cursor)
        numbered = ((number_in(ref, self.number), ref) for ref in open_runs)
        refs = {number: ref for number, ref in numbered if number is not None and number <= position.after}
        again = sorted({*position.again, *refs})[:PAGE_ROWS]
        poll = self.read_page(position, refs, again)
        return replace(poll, warnings=(*warnings, *poll.warnings))

    def read_log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """The tail (`start` None), or what follows the byte `start`. Raises NotSupported where the run has no row."""

        def give(parts: Iterable[str], is_open: bool) -> LogChunk:
            return chunk_of_parts(parts, start, limit_bytes, is_open)

        number = number_in(run, self.number)
        chunk = self._agent_client.log(number, give) if number is not None else None
        if chunk is None:
            raise NotSupported(f"run {run.attempt_key} of {run.job} {self.no_log.format(table=self.table)}")
        return chunk

    def add_runs(
        self, rows: Iterable[Row], parse: Callable[[Row], RunRecord | None], result: PollResult
    ) -> list[tuple[Row, RunRecord]]:
        """Adds the runs in these rows to the result, and returns them. `parse` returns None for a row to leave out."""
        added = []
        for row in rows:
            try:
                record = parse(row)
            except RecordUnreadable as error:
                result.skip(f"{self.number} {row.get(self.number)}", error, row)
                continue
            if record is not None:
                result.add(record)
                added.append((row, record))
                if record.native_state not in self.states:
                    result.warn(f'unknown status "{record.native_state}" in {self.table}: shown as UNKNOWN')
        return added


class JobAgentHolder(MarkedPauseHolder[Source], Generic[Client, Source]):
    """Holds of one agent's jobs. The functions of grants.sql check the job and write it in one transaction, so `act`
    reads nothing before."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def state_left(self, plan: Plan, key: str) -> tuple[PauseState | None, LookUpResult]:
        """The job now, None where it is gone or hidden; and the result where it does not show the action."""
        raise NotImplementedError

    def act(self, plan: Plan, key: str) -> Receipt:
        """Raises NotSupported where the job is not as it must be: then nothing was changed."""
        if plan["how"] == "hold":
            self.client.hold(plan, mark_of(plan, key))
        else:
            self.client.release(plan, str(plan["hold"]), key, plan["how"] == "release")
        return self.marking.receipt(plan)

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        now, absent = self.state_left(plan, key)
        return absent if now is None else self.marking.look_up(now, plan, key, absent)


def absent_unless(sessions: int, hidden: str = "", what: str = "session") -> LookUpResult:
    """The result of `look_up` without a trace: unknown while sessions of ours still send, or where rows are hidden."""
    if sessions:
        return ActionUnknown(f"{sessions} {what} of ours that sends it is still alive")
    return ActionUnknown(hidden) if hidden else ActionAbsent()


def number_in(ref: RunRef, name: str) -> int | None:
    """A number in the reference that the poll gave a run; None without it."""
    number = reference_row(ref.native_ref).get(name)
    return number if isinstance(number, int) else None


def running_note(running: Sequence[Row], number: str, job: str, otherwise: str = "") -> str | None:
    """The overlap of a preview with the first of the open runs; `otherwise` follows where that has no start."""
    if not running:
        return None
    since = epoch_instant(running[0]["started"])
    started = f" since {since:%H:%M:%S} UTC" if since else otherwise
    return f"run {running[0][number]} of {job} is running{started}"


def mark_values(mark: HoldMark) -> dict[str, str]:
    """The mark in the parameters of a function of grants.sql."""
    return {"key": mark.id, "by": mark.by, "until": mark.text.rpartition("until=")[2]}


def view_permission(name: str, held: object, fix: str) -> SourcePermission:
    """A permission to read; `fix` is the SQL that grants it."""
    return SourcePermission.checked(name, held, "not granted", fix)


def view_fixes(permissions: Iterable[SourcePermission]) -> str:
    """The SQL that grants the missing permissions to read."""
    missing = (item.fix for item in permissions if item.held is False and item.needed_for == "view")
    return "; ".join(missing)


def act_permission(name: str, held: object, why: str, fix: str) -> SourcePermission:
    return SourcePermission.checked(name, held, why, fix, "act")


def target_clock(at: datetime | None, zone: str = "UTC") -> TargetClock:
    now = datetime.now(UTC)
    return TargetClock(at or now, now, zone)


def add_deleted(result: PollResult, open_runs: Mapping[int, RunRef], existing: Collection[int]) -> None:
    """Adds those of the open runs whose row no longer exists."""
    for number in sorted({*open_runs} - {*existing})[:PAGE_ROWS]:
        result.add(row_deleted(open_runs[number]))


def version_of(access: Row) -> tuple[int, ...]:
    """(1, 4) for the extension's version "1.4-1"; () when the extension is not there."""
    numbers = str(access["version"] or "").partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def native_ids(rows: Iterable[Row]) -> dict[int, str]:
    """jobid -> jobname, or "#jobid" without one. Of jobs with the same name (pg_cron's are unique per user only) later
    ones carry the user's name in front, or their number."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for row in sorted(rows, key=lambda item: int(item["jobid"])):
        plain = row["jobname"] or f"#{row['jobid']}"
        of_user = [f"{row['username']}:{plain}"] if "username" in row else []
        name = next((name for name in (plain, *of_user) if name not in taken), f"#{row['jobid']}:{plain}")
        taken.add(name)
        ids[row["jobid"]] = name
    return ids
