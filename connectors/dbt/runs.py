"""Converts what a poll collected from a project to runs. Pure.

The log has every start and end, the artifact of the last run its nodes. A run whose artifact was overwritten before
it was read is reported from the log alone, without nodes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from connectors.dbt import parse
from connectors.dbt.host_program import FAULT_CHARACTERS
from connectors.dbt.parse import DbtOutcome
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.fields import epoch_instant, masked_head
from connectors.sdk.records import HistoryGap, RunRecord, SkippedRecord
from connectors.sdk.states import PeriodKind, RunEvidence, RunState

WRITE_GRACE = timedelta(seconds=60)  # an artefact that cannot be read and was written since is being written
FAILED_START_WINDOW = timedelta(minutes=10)
TORN_ARTIFACT = "it is incomplete and no longer written"


@dataclass(slots=True)
class DbtProjectPoll:
    runs: list[RunRecord] = field(default_factory=list)
    skipped: list[SkippedRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    gaps: list[HistoryGap] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    has_more: bool = False
    sees_all: bool = False
    """Every start of before would be in it."""


def read_project(
    host: str, project: Mapping[str, Any], before: Mapping[str, Any], again: Iterable[str], now: datetime,
) -> DbtProjectPoll:  # fmt: skip
    """`before`: its `memory` of the last poll; `again`: invocations requested again."""
    name = str(project["name"])
    poll, ledger = DbtProjectPoll(), DbtInvocationLedger.of(before.get("book"))
    log = project.get("log") or {}
    ledger.add_event(log.get("events") or ())
    if log.get("gone"):
        since = parse.parse_instant(before.get("at"))
        poll.gaps.append(HistoryGap(since, now, f"{name}: dbt.log was rotated or truncated"))
    poll.memory = {"log": log.get("at"), "at": now.isoformat()}
    results = _read_artifact(poll, name, "results", project, before, now)
    if results is not None and results.command in parse.RUN_COMMANDS:
        ledger.add_outcome(results)
    ledger.mark(project.get("acts") or ())
    quiet = math.inf if log.get("there") is False else log.get("quiet")  # a deleted log has no news
    ledger.settle(float(quiet) if quiet is not None else None, bool(project.get("alive")), now.timestamp())
    ledger.link()
    poll.runs += ledger.records(parse.job_id(host, name), again, now.timestamp())
    poll.runs += _failed_starts(parse.job_id(host, name), project.get("acts") or (), now)
    if ledger.overwritten:
        reason = "the nodes of a run are not known: run_results.json was overwritten before it was read"
        fix = "poll more often, or give each run its --target-path"
        poll.warnings.append(f"{name}: {reason} ({ledger.overwritten}); {fix}")
    sources = _read_artifact(poll, name, "sources", project, before, now)
    if sources is not None:
        poll.runs.append(_freshness_record(host, name, sources))
    if project.get("unkept"):
        unkept = masked_head(str(project["unkept"]), 200)
        poll.warnings.append(f"{name}: states of failed runs cannot be kept: {unkept}")
    poll.memory["book"] = ledger.as_value(now.timestamp())
    poll.has_more, poll.sees_all = bool(log.get("more")), bool(log.get("there")) and not log.get("more")
    return poll


def _read_artifact(
    poll: DbtProjectPoll, name: str, kind: str, project: Mapping[str, Any], before: Mapping[str, Any], now: datetime
) -> parse.DbtOutcome | None:
    """Adds the news of an artifact; an unreadable one is read again."""
    part, file = project.get(kind), {"results": "run_results.json", "sources": "sources.json"}[kind]
    poll.memory[kind] = before.get(kind)
    if not isinstance(part, Mapping):
        return None
    if "error" not in part:
        try:
            outcome = parse.parse_outcome(part["value"], f"{name}/{file}")
        except ValueError as error:
            part = {**part, "error": str(error)}
        else:
            poll.memory[kind] = part["stamp"]
            poll.skipped += outcome.skipped
            unknown = sorted(set(outcome.unknown))
            poll.warnings += [f'{name}: unknown state "{masked_head(state, 60)}" of a node' for state in unknown]
            return outcome
    stamp = part.get("stamp")
    written = datetime.fromtimestamp(stamp[0] / 1e9, UTC) if stamp else now
    if now - written > WRITE_GRACE and not project.get("alive"):
        poll.skipped.append(SkippedRecord(f"{name}/{file}", f"{TORN_ARTIFACT}: {masked_head(str(part['error']), 200)}"))
    return None


def _failed_starts(job: str, acts: Iterable[Mapping[str, Any]], now: datetime) -> Iterable[RunRecord]:
    """Runs that we started and that ended before dbt gave them an id: no program, a broken Python."""
    for act in acts:
        began = datetime.fromtimestamp(float(act["at"]), UTC)
        if act.get("id") or act.get("exit") is None or now - began > FAILED_START_WINDOW:
            continue
        lines = str(act.get("said") or "").strip().splitlines()[-1:]
        yield RunRecord(
            f"{job}/{act['node']}" if act.get("node") else job, str(act["key"]), RunState.FAILED, f"exit {act['exit']}",
            RunEvidence.NATIVE, str(act.get("period") or "") or None, period_kind=PeriodKind.RUN, started_at=began,
            ended_at=began, exit_code=int(act["exit"]), message=lines[0] if lines else "dbt said nothing",
            action_key=str(act["key"]),
        )  # fmt: skip


def _freshness_record(host: str, name: str, outcome: parse.DbtOutcome) -> RunRecord:
    """A source that is too old, or could not be queried, is a failure."""
    red = [node for node in outcome.nodes if node.native_state in parse.FAILED_STATUSES]
    details = [f"{node.job}: {node.message or node.native_state}" for node in red[:3]]
    started, ended = outcome.started, outcome.ended
    return RunRecord(
        job=parse.freshness_id(host, name),
        attempt_key=outcome.invocation,
        state=RunState.FAILED if red else outcome.state,
        native_state=outcome.native,
        period_key=outcome.invocation,
        period_kind=PeriodKind.RUN,
        started_at=started,
        ended_at=max(started, ended) if started and ended else ended,
        message="; ".join(details),
        native_ref=f'{{"id":"{outcome.invocation}"}}',
    )


QUIET_SECONDS = 60.0  # a run without an end whose log is silent for so long, while no dbt runs there, is lost
UNNAMED_SECONDS = 20.0  # a start without a command in the log is reported after that time anyway
RETENTION_SECONDS = 600.0
_DAY = timedelta(days=1)
_DONE_COUNTS = re.compile(r"\b(PASS|ERROR)=(\d{1,9})")


@dataclass(slots=True)
class DbtInvocation:
    """One invocation. Times are epoch seconds, 0 where unknown."""

    id: str
    began: float
    command: str = ""
    ended: float = 0.0
    ok: bool = False
    failed: bool = False
    done: str = ""
    fault: str = ""
    period: str = ""
    again_of: str = ""
    action: str = ""
    node: str = ""
    """Of our own action: the requested node."""
    state: str = ""
    native: str = ""
    message: str = ""
    rows: int | None = None

    @property
    def is_run(self) -> bool:
        return parse.parse_command(self.command) != ""


@dataclass(slots=True)
class DbtInvocationLedger:
    """Invocations of one project that are open or changed, and the run that a retry would belong to."""

    runs: dict[str, DbtInvocation] = field(default_factory=dict)
    now_in: str = ""
    """The invocation whose lines the log holds at its end."""
    red: str = ""
    """The last run with a failure, and its period: a retry is a further attempt of it."""
    red_period: str = ""
    changed: set[str] = field(default_factory=set)
    nodes: list[RunRecord] = field(default_factory=list)

    # -- the evidence ----------------------------------------------------------------------------------------------
    def add_event(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event, at in _dated_events(events):
            kind, invocation = str(event.get("what")), str(event.get("id") or "")
            if kind == "start" and invocation:
                self.now_in = invocation
                self.runs.setdefault(invocation, DbtInvocation(invocation, at))
                self.changed.add(invocation)
                continue
            invocation = invocation or self.now_in
            if kind == "end" and not event.get("id"):  # of two runs at once, the one with that command
                open_runs = (run for run in reversed(self.runs.values()) if not run.ended)
                same = (run.id for run in open_runs if run.command == event.get("command"))
                invocation = next(same, self.now_in)
            run = self.runs.get(invocation)
            if run is not None:
                self._apply(run, kind, event, at)
                self.changed.add(run.id)

    def _apply(self, run: DbtInvocation, kind: str, event: Mapping[str, Any], at: float) -> None:
        if kind == "command":
            run.command = run.command or str(event.get("command") or "")
        elif kind == "done":
            run.done = str(event.get("text") or "")
        elif kind == "fault":
            text = masked_head(str(event.get("text") or ""), FAULT_CHARACTERS)
            run.fault = masked_head(f"{run.fault} {text}".strip(), FAULT_CHARACTERS)
        elif kind == "end":
            run.command, run.ok = run.command or str(event.get("command") or ""), event.get("ok") is True
            run.ended, run.failed = max(at, run.began), not run.ok
            if run.state == RunState.LOST:
                run.state = run.native = ""

    def add_outcome(self, outcome: DbtOutcome) -> None:
        """Adds an artifact: the run's own outcome, and its nodes."""
        began = outcome.started.timestamp() if outcome.started else 0.0
        run = self.runs.setdefault(outcome.invocation, DbtInvocation(outcome.invocation, began))
        run.began = began or run.began
        run.command = outcome.command_text or run.command or outcome.command
        run.ended = run.ended or (outcome.ended.timestamp() if outcome.ended else run.began)
        run.ended = max(run.ended, run.began)
        run.state, run.native, run.message, run.rows = (
            outcome.state.value,
            outcome.native,
            outcome.message,
            outcome.rows,
        )
        run.action = outcome.action if ACTION_KEY.fullmatch(outcome.action) else run.action
        self.changed.add(run.id)
        self.nodes = outcome.nodes

    def mark(self, acts: Iterable[Mapping[str, Any]]) -> None:
        for act in acts:
            run = self.runs.get(str(act.get("id") or ""))
            if run is not None:
                run.action, run.node = str(act["key"]), str(act.get("node") or "")
                run.period = run.period or str(act.get("period") or "")

    def settle(self, quiet: float | None, alive: bool, now: float) -> None:
        """Marks runs without an end as lost if nothing runs; drops those of no interest."""
        for run in list(self.runs.values()):
            is_other = run.command != "" and not run.is_run and not run.state
            if is_other and (run.ended or not alive):
                del self.runs[run.id]
            elif not run.ended and not alive and quiet is not None and quiet > QUIET_SECONDS:
                run.ended, run.state, run.native = max(run.began, now - quiet), RunState.LOST.value, "no end in its log"
                self.changed.add(run.id)

    def link(self) -> None:
        """Which run each belongs to, oldest first: a retry is a further attempt of the last that was not all good."""
        for run in self._oldest_first(self.changed):
            is_retry = parse.parse_command(run.command) == "retry"
            if not run.period and run.command:
                run.period = self.red_period if is_retry and self.red_period else run.id
                run.again_of = self.red if is_retry else ""
            if run.ended and run.is_run:
                red = self.outcome(run)[0] is not RunState.SUCCEEDED
                if red:
                    self.red, self.red_period = run.id, run.period
                elif run.period == self.red_period:
                    self.red = self.red_period = ""

    def _oldest_first(self, ids: Iterable[str]) -> list[DbtInvocation]:
        return sorted((self.runs[run_id] for run_id in ids if run_id in self.runs), key=lambda run: run.began)

    # -- the report -------------------------------------------------------------------------------------------------
    def outcome(self, run: DbtInvocation) -> tuple[RunState, str, RunEvidence]:
        if run.state and not (run.ok and run.state == RunState.UNKNOWN):  # despite odd nodes a success
            if run.failed and run.state in (RunState.SUCCEEDED, RunState.UNKNOWN):  # a hook, an interrupt
                return RunState.FAILED, f"failed; {run.native}", RunEvidence.CONFLICT
            lost = run.state == RunState.LOST
            return RunState(run.state), run.native, RunEvidence.INFERRED if lost else RunEvidence.NATIVE
        if not run.ended:
            return RunState.RUNNING, "running", RunEvidence.NATIVE
        counts = {status: int(number) for status, number in _DONE_COUNTS.findall(run.done)}
        if counts.get("ERROR"):
            return RunState.PARTIAL if counts.get("PASS") else RunState.FAILED, run.done, RunEvidence.NATIVE
        state = RunState.SUCCEEDED if run.ok else RunState.FAILED
        return state, state.value, RunEvidence.NATIVE

    def records(self, job: str, again: Iterable[str], now: float) -> Iterator[RunRecord]:
        """Runs that changed or were requested, with the artifact's nodes, oldest first."""
        for run in self._oldest_first({*self.changed, *again}):
            if run.is_run or run.state or (not run.command and now - run.began > UNNAMED_SECONDS):
                yield self._record(run, job)
        for node in self.nodes:
            run = self.runs[node.attempt_key]
            key = run.action if run.node and run.node == node.job else None
            where = f'{{"id":"{run.id}"}}'
            node_job = f"{job}/{node.job}"
            yield replace(
                node, job=node_job, period_key=run.period or run.id, period_kind=PeriodKind.RUN, native_ref=where,
                action_key=key or None, again_of=run.again_of,
            )  # fmt: skip

    def _record(self, run: DbtInvocation, job: str) -> RunRecord:
        state, native, evidence = self.outcome(run)
        context = {"command": run.command, "rows": run.rows}
        message = run.message or run.fault
        if run.ended and not run.state and not message and state is not RunState.SUCCEEDED:
            message = "its nodes are not known: run_results.json is of another run"
        return RunRecord(
            job=job,
            attempt_key=run.id,
            state=state,
            native_state=native,
            evidence=evidence,
            period_key=run.period or run.id,
            period_kind=PeriodKind.RUN,
            again_of=run.again_of,
            started_at=epoch_instant(run.began) if run.began else None,
            ended_at=epoch_instant(run.ended) if run.ended and not state.is_open else None,
            message=message,
            native_ref=f'{{"id":"{run.id}"}}',
            action_key=None if run.node else run.action or None,
            context={name: value for name, value in context.items() if value},
        )

    @property
    def overwritten(self) -> int:
        """Runs that ended just now, and whose artefact was another run's already when it was read."""
        changed = self._oldest_first(self.changed)
        return sum(bool(run.ended and run.is_run and run.done and not run.state) for run in changed)

    # -- between two polls -------------------------------------------------------------------------------------------
    def as_value(self, now: float) -> dict[str, Any]:
        runs = [asdict(run) for run in self.runs.values() if not run.ended or now - run.ended < RETENTION_SECONDS]
        return {"runs": runs, "in": self.now_in, "red": self.red, "period": self.red_period}

    @classmethod
    def of(cls, value: Any) -> DbtInvocationLedger:
        """The ledger from JSON; unreadable entries are left out."""
        ledger = cls()
        if not isinstance(value, dict):
            return ledger
        for entry in value.get("runs") or ():
            try:
                run = DbtInvocation(**entry)
            except TypeError:
                continue
            ledger.runs[run.id] = run
        ledger.now_in, ledger.red = str(value.get("in") or ""), str(value.get("red") or "")
        ledger.red_period = str(value.get("period") or "")
        return ledger


def _dated_events(events: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], float]]:
    """Each with its instant. A text log has the time of day only: the last line is as old as the file, and each line
    before it at most a day older than the next."""
    dated: list[tuple[Mapping[str, Any], float]] = []
    after = datetime.max.replace(tzinfo=UTC)
    for event in reversed(events):
        written = datetime.fromtimestamp(float(event.get("written") or 0), UTC) + timedelta(seconds=2)
        after = min(after, written)
        at = _event_time(str(event.get("time") or ""), after)
        after = after if at is None else min(after, at + timedelta(seconds=2))
        dated.append((event, (at or after).timestamp()))
    return dated[::-1]


def _event_time(text: str, before: datetime) -> datetime | None:
    if len(text) < 8:
        return None
    if text[2] != ":":
        return parse.parse_instant(text)
    try:
        clock = time.fromisoformat(text[:15])
    except ValueError:
        return None
    at = datetime.combine(before.date(), clock, UTC)
    return at if at <= before else at - _DAY
