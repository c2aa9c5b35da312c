"""Invocations as runs, from the journal and the service manager. Pure.

A run is one invocation of a service, started by a timer or otherwise. Its journal proves how it ended; where that is
lost, the manager's state of the service's last invocation does; where that is another one, its end is UNKNOWN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunEvidence, RunState
from connectors.systemd import parse
from connectors.systemd.parse import ServiceUnit, UnitEvent

ANSWERED_SECONDS = 300.0
"""A requested start that waits longer than this behind other units is not reported as ours."""


@dataclass(slots=True)
class Invocation:
    """One invocation that is open or ended a moment ago. Times are epoch seconds."""

    invocation: str
    unit: str
    started: float
    boot: str
    ended: float = 0.0
    state: RunState = RunState.RUNNING
    native_state: str = "activating"
    evidence: RunEvidence = RunEvidence.NATIVE
    exit_code: int | None = None
    message: str = ""
    killed: str = ""
    """How its main process was killed, where the journal says so."""
    stopped: bool = False
    """True once systemd was instructed to stop it, by a person or a program."""
    action: str = ""

    def end(self, state: RunState, native_state: str, at: float, message: str = "", inferred: bool = False) -> None:
        self.state, self.native_state, self.message = state, native_state, message
        self.evidence = RunEvidence.INFERRED if inferred else RunEvidence.NATIVE
        self.ended = max(at, self.started)

    def record(self, host: str) -> RunRecord:
        ref = {"unit": self.unit, "invocation": self.invocation, "started": self.started, "boot": self.boot}
        return RunRecord(
            job=job_id(host, self.unit),
            attempt_key=self.invocation,
            state=RunState.CANCELLING if self.stopped and self.state is RunState.RUNNING else self.state,
            native_state=self.native_state,
            evidence=self.evidence,
            started_at=datetime.fromtimestamp(self.started, UTC),
            ended_at=datetime.fromtimestamp(self.ended, UTC) if self.ended and not self.state.is_open else None,
            exit_code=self.exit_code,
            message=self.message,
            native_ref=json.dumps(ref, separators=(",", ":")),
            action_key=self.action or None,
        )


def job_id(host: str, unit: str) -> str:
    """ "db07:backup.service"."""
    return f"{host}:{unit}"


@dataclass(slots=True)
class InvocationBook:
    runs: dict[str, Invocation] = field(default_factory=dict)
    requested: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By unit our key of a start that its next invocation belongs to, and when it was requested."""
    changed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Results that RESULTS does not list."""

    @property
    def units(self) -> set[str]:
        """Units of these invocations, also where their timer was disabled meanwhile."""
        return {run.unit for run in self.runs.values()}

    def add_events(self, events: Iterable[UnitEvent], boot: str) -> None:
        for event in events:
            if event.what == parse.REQUESTED:
                if event.text == "start":
                    self.requested[event.unit] = event.detail, event.at.timestamp()
                elif event.text == "refused" and self.requested.get(event.unit, ("", 0.0))[0] == event.detail:
                    del self.requested[event.unit]  # the next invocation is not ours
                continue
            run = self._run_of(event, boot)
            if run is not None:
                self._apply(run, event)
                self.changed.add(run.invocation)

    def _run_of(self, event: UnitEvent, boot: str) -> Invocation | None:
        if not event.invocation:
            return None
        if event.invocation not in self.runs:
            if event.what not in (parse.STARTING, parse.STARTED):
                return None  # it started before the first entry that was read
            run = Invocation(event.invocation, event.unit, event.at.timestamp(), boot)
            key, requested_at = self.requested.pop(event.unit, ("", 0.0))
            run.action = key if run.started - requested_at <= ANSWERED_SECONDS else ""
            self.runs[event.invocation] = run
        return self.runs[event.invocation]

    def _apply(self, run: Invocation, event: UnitEvent) -> None:
        when = event.at.timestamp()
        if event.what == parse.EXITED:
            run.exit_code = event.exit_code
            run.killed = event.detail if not event.detail.startswith("exited") else ""
        elif event.what == parse.STOPPING:
            run.stopped = True
        elif event.what == parse.SUCCESS and not run.ended:
            self._success(run, when)
        elif event.what == parse.FAILURE:
            self._failure(run, event.detail, when, event.text)
        elif event.what == parse.START_FAILED and not run.ended:
            state = RunState.CANCELLED if event.detail == "canceled" else RunState.FAILED
            run.end(state, event.detail or "failed", when, event.text)

    def _success(self, run: Invocation, when: float) -> None:
        """A success of systemd; CANCELLED where SIGTERM ended it, which systemd calls a success as well."""
        if run.stopped or run.killed:
            run.end(RunState.CANCELLED, "success", when, f"stopped before its end {run.killed}".strip())
        else:
            run.exit_code = 0 if run.exit_code is None else run.exit_code
            run.end(RunState.SUCCEEDED, "success", when)

    def _failure(self, run: Invocation, result: str, when: float, text: str) -> None:
        state = parse.RESULTS.get(result, RunState.FAILED)
        if result not in parse.RESULTS:
            self.unknown.add(result)
        if run.stopped and result in ("signal", "exit-code", "timeout"):
            state = RunState.CANCELLED
        run.end(RunState.FAILED if state is RunState.SUCCEEDED else state, result, when, text)

    def settle(self, now: Mapping[str, ServiceUnit], boot: str, clock: datetime) -> None:
        """Sets the state of invocations without an end in the journal by the manager's own. Needs the whole journal."""
        for run in self.runs.values():
            service = now.get(run.unit)
            if run.ended or service is None:
                continue
            if run.boot != boot:
                message = "the host restarted meanwhile"
                run.end(RunState.LOST, "rebooted", clock.timestamp(), message, inferred=True)
            elif service.invocation == run.invocation:
                self._by_manager(run, service, clock)
            else:
                message = "its end is not in the journal, and systemd knows a later invocation only"
                run.end(RunState.UNKNOWN, "gone", clock.timestamp(), message, inferred=True)
            if run.ended:
                self.changed.add(run.invocation)

    def _by_manager(self, run: Invocation, service: ServiceUnit, clock: datetime) -> None:
        is_done = service.active == "active" and service.sub == "exited"  # RemainAfterExit=yes
        if service.is_alive and not is_done:
            run.native_state = f"{service.active} {service.sub}".strip()
            return
        if service.ended is None and not is_done:
            return  # between two of its steps
        when = (service.ended or clock).timestamp()
        run.exit_code = service.exit_code
        if service.signal is not None:
            run.killed = f"killed {service.signal}"
        if service.result == "success":
            self._success(run, when)
        else:
            self._failure(run, service.result, when, f"systemd says: {service.result}")

    def correct(self, now: Mapping[str, ServiceUnit]) -> None:
        """Corrects successes whose main process was killed by hand, which only the manager reports."""
        for invocation in self.changed:
            run = self.runs[invocation]
            service = now.get(run.unit)
            if service is None or service.invocation != invocation or run.state is not RunState.SUCCEEDED:
                continue
            if service.signal is not None:
                message = f"its main process was ended by signal {service.signal}"
                run.exit_code = None
                run.end(RunState.CANCELLED, "success", run.ended, message)

    def reported(self, again: Iterable[str]) -> list[Invocation]:
        names = {*self.changed, *again, *(run.invocation for run in self.runs.values() if not run.ended)}
        return sorted((self.runs[name] for name in names if name in self.runs), key=lambda item: item.started)
