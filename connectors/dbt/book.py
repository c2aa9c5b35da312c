"""The life of invocations: what dbt's log and its artefacts say of each, joined into runs. Pure.

The log tells every start and end, the artefact of the last run its nodes. A run whose artefact was overwritten before
it was read is told by its log alone, without nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from connectors.contract import ACTION_KEY, Evidence, RunRecord, State
from connectors.dbt import parse
from connectors.dbt.parse import Outcome

QUIET_SECONDS = 60.0
"""A run without an end whose log is silent for so long, while no dbt runs there, is lost."""
UNNAMED_SECONDS = 20.0
"""A start whose command the log does not tell within that time is told all the same."""
KEPT_SECONDS = 600.0
_DAY = timedelta(days=1)
_DONE = re.compile(r"\b(PASS|ERROR)=(\d{1,9})")


@dataclass(slots=True)
class Run:
    """One invocation. Times are epoch seconds, 0 where unknown."""

    id: str
    began: float
    command: str = ""
    """As it was typed."""
    ended: float = 0.0
    ok: bool = False
    failed: bool = False
    """The log says so."""
    done: str = ""
    fault: str = ""
    period: str = ""
    again_of: str = ""
    action: str = ""
    node: str = ""
    """Of our own action: the node that was asked for."""
    state: str = ""
    """By its artefact; empty where none was read."""
    native: str = ""
    message: str = ""
    rows: int | None = None

    @property
    def is_run(self) -> bool:
        return parse.command_of(self.command) != ""


@dataclass(slots=True)
class Book:
    """Invocations of one project that have not ended or are news, and what a retry would belong to."""

    runs: dict[str, Run] = field(default_factory=dict)
    now_in: str = ""
    """The invocation whose lines the log holds at its end."""
    red: str = ""
    """The last run that was not all good, and its period: a retry is a further attempt of it."""
    red_period: str = ""
    partial: State = State.PARTIAL
    """What a run is in which some nodes failed."""
    changed: set[str] = field(default_factory=set)
    nodes: list[RunRecord] = field(default_factory=list)

    # -- what was read -----------------------------------------------------------------------------------------------
    def hear(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Takes in what the log told, oldest first."""
        for event, at in _dated(events):
            what, own = str(event.get("what")), str(event.get("id") or "")
            if what == "start" and own:
                self.now_in = own
                self.runs.setdefault(own, Run(own, at))
                self.changed.add(own)
                continue
            run = self.runs.get(own or self._meant(what, event))
            if run is not None:
                self._take(run, what, event, at)
                self.changed.add(run.id)

    def _meant(self, what: str, event: Mapping[str, Any]) -> str:
        """Whose line it is, where the log does not say: of two at once, the one with that command."""
        if what == "end":
            newest_first = reversed(self.runs.values())  # of many that ended, few are looked at
            of_it = (one.id for one in newest_first if not one.ended and one.command == event.get("command"))
            return next(of_it, self.now_in)
        return self.now_in

    def _take(self, run: Run, what: str, event: Mapping[str, Any], at: float) -> None:
        if what == "command":
            run.command = run.command or str(event.get("command") or "")
        elif what == "done":
            run.done = str(event.get("text") or "")
        elif what == "fault":
            run.fault = f"{run.fault} {event.get('text') or ''}".strip()[:500]
        elif what == "end":
            run.command, run.ok = run.command or str(event.get("command") or ""), event.get("ok") is True
            run.ended, run.failed = max(at, run.began), not run.ok
            if run.state == State.LOST:
                run.state = run.native = ""

    def learn(self, found: Outcome) -> None:
        """Takes in an artefact: the run's own outcome, and its nodes."""
        began = found.started.timestamp() if found.started else 0.0
        run = self.runs.setdefault(found.invocation, Run(found.invocation, began))
        run.began = began or run.began
        run.command = found.words or run.command or found.command
        run.ended = run.ended or (found.ended.timestamp() if found.ended else run.began)
        run.ended = max(run.ended, run.began)
        state = self.partial if found.state is State.PARTIAL else found.state
        run.state, run.native, run.message, run.rows = state.value, found.native, found.message, found.rows
        run.action = found.action if ACTION_KEY.fullmatch(found.action) else run.action
        self.changed.add(run.id)
        self.nodes = found.nodes

    def mark(self, acts: Iterable[Mapping[str, Any]]) -> None:
        """Takes in what we started: which invocation is which action's."""
        for act in acts:
            run = self.runs.get(str(act.get("id") or ""))
            if run is not None:
                run.action, run.node = str(act["key"]), str(act.get("node") or "")
                run.period = run.period or str(act.get("period") or "")

    def settle(self, quiet: float | None, alive: bool, now: float) -> None:
        """What has no end while nothing runs is lost; what is of no interest is left out."""
        for run in list(self.runs.values()):
            is_other = run.command != "" and not run.is_run and not run.state
            if is_other and (run.ended or not alive):
                del self.runs[run.id]
            elif not run.ended and not alive and quiet is not None and quiet > QUIET_SECONDS:
                run.ended, run.state, run.native = max(run.began, now - quiet), State.LOST.value, "no end in its log"
                self.changed.add(run.id)

    def link(self) -> None:
        """Which run each belongs to, oldest first: a retry is a further attempt of the last that was not all good."""
        for run in sorted((self.runs[one] for one in self.changed if one in self.runs), key=lambda one: one.began):
            is_retry = parse.command_of(run.command) == "retry"
            if not run.period and run.command:
                run.period = self.red_period if is_retry and self.red_period else run.id
                run.again_of = self.red if is_retry else ""
            if run.ended and run.is_run:
                red = self.outcome(run)[0] is not State.SUCCEEDED
                if red:
                    self.red, self.red_period = run.id, run.period
                elif run.period == self.red_period:
                    self.red = self.red_period = ""

    # -- what is told ------------------------------------------------------------------------------------------------
    def outcome(self, run: Run) -> tuple[State, str, Evidence]:
        if run.state:
            if run.failed and run.state == State.SUCCEEDED:  # a hook, an interrupt: its nodes do not tell it
                return State.FAILED, f"failed; {run.native}", Evidence.CONFLICT
            lost = run.state == State.LOST
            return State(run.state), run.native, Evidence.INFERRED if lost else Evidence.NATIVE
        if not run.ended:
            return State.RUNNING, "running", Evidence.NATIVE
        counts = {word: int(number) for word, number in _DONE.findall(run.done)}
        if counts.get("ERROR"):
            return self.partial if counts.get("PASS") else State.FAILED, run.done, Evidence.NATIVE
        return (State.SUCCEEDED, "succeeded", Evidence.NATIVE) if run.ok else (State.FAILED, "failed", Evidence.NATIVE)

    def told(self, job: str, again: Iterable[str], now: float) -> Iterator[RunRecord]:
        """The runs that changed or were asked for, with the nodes of the artefact, oldest first."""
        wanted = {*self.changed, *again}
        for run in sorted((self.runs[one] for one in wanted if one in self.runs), key=lambda one: one.began):
            if run.is_run or run.state or (not run.command and now - run.began > UNNAMED_SECONDS):
                yield self._record(run, job)
        for node in self.nodes:
            run = self.runs[node.attempt_key]
            key = run.action if run.node and run.node == node.job else None
            where = f'{{"id":"{run.id}"}}'
            node_job = f"{job}/{node.job}"
            yield replace(
                node, job=node_job, period_key=run.period or run.id, native_ref=where, action_key=key or None,
                again_of=run.again_of,
            )  # fmt: skip

    def _record(self, run: Run, job: str) -> RunRecord:
        state, native, evidence = self.outcome(run)
        context = {"command": run.command, "rows": run.rows}
        message = run.message or run.fault
        if run.ended and not run.state and not message:
            message = "" if state is State.SUCCEEDED else "its nodes are not known: run_results.json is of another run"
        return RunRecord(
            job=job,
            attempt_key=run.id,
            state=state,
            native_state=native,
            evidence=evidence,
            period_key=run.period or run.id,
            again_of=run.again_of,
            started_at=_at(run.began) if run.began else None,
            ended_at=_at(run.ended) if run.ended and not state.is_open else None,
            message=message,
            native_ref=f'{{"id":"{run.id}"}}',
            action_key=None if run.node else run.action or None,
            context={name: value for name, value in context.items() if value},
        )

    @property
    def overwritten(self) -> int:
        """Runs that ended just now, and whose artefact was another run's already when it was read."""
        ended = [self.runs[one] for one in self.changed if one in self.runs]
        return sum(bool(one.ended and one.is_run and one.done and not one.state) for one in ended)

    # -- between two polls -------------------------------------------------------------------------------------------
    def as_value(self, now: float) -> dict[str, Any]:
        kept = [asdict(one) for one in self.runs.values() if not one.ended or now - one.ended < KEPT_SECONDS]
        return {"runs": kept, "in": self.now_in, "red": self.red, "period": self.red_period}

    @classmethod
    def of(cls, value: Any) -> Book:
        """What cannot be read is left out."""
        book = cls()
        if not isinstance(value, dict):
            return book
        for entry in value.get("runs") or ():
            try:
                run = Run(**entry)
            except TypeError:
                continue
            book.runs[run.id] = run
        book.now_in, book.red = str(value.get("in") or ""), str(value.get("red") or "")
        book.red_period = str(value.get("period") or "")
        return book


def _dated(events: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], float]]:
    """Each with its instant. A text log has the time of day only: the last line is as old as the file, and each line
    before it at most a day older than the next."""
    found: list[tuple[Mapping[str, Any], float]] = []
    after = datetime.max.replace(tzinfo=UTC)
    for event in reversed(events):
        written = datetime.fromtimestamp(float(event.get("written") or 0), UTC) + timedelta(seconds=2)
        after = min(after, written)
        at = _moment(str(event.get("time") or ""), after)
        after = after if at is None else min(after, at + timedelta(seconds=2))
        found.append((event, (at or after).timestamp()))
    return found[::-1]


def _moment(text: str, before: datetime) -> datetime | None:
    if len(text) < 8:
        return None
    if text[2] != ":":
        return parse.instant(text)
    try:
        clock = time.fromisoformat(text[:15])
    except ValueError:
        return None
    at = datetime.combine(before.date(), clock, UTC)
    return at if at <= before else at - _DAY


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
