"""Invocations as runs, from the journal and the service manager. Pure.

A run is one invocation of a service, started by a timer or otherwise. Its journal proves how it ended; where that is
lost, the manager's state of the service's last invocation does; where that is another one, its end is UNKNOWN.
A start that systemd ends before it begins (a condition, an assertion, a dependency, the start limit) has no invocation:
its lines bear the one before. It is a run of its own, SKIPPED or FAILED.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunEvidence, RunState
from connectors.systemd import parse
from connectors.systemd.parse import ServiceUnit, UnitEvent

NOT_BEGUN = {
    "done": RunState.SKIPPED, "skipped": RunState.SKIPPED, "once": RunState.SKIPPED, "collected": RunState.SKIPPED,
    "canceled": RunState.CANCELLED,
}  # fmt: skip
"""The state of a start that did not begin, by the result of its job; FAILED by any other."""
NEVER_BEGINS = ("assert", "dependency", "unsupported", "invalid", "once", "collected", "skipped")
"""Results of a job that started nothing."""
START_LIMIT = "start-limit-hit"
WAS_SKIPPED = re.compile(
    r" was skipped(?: because)?(?: of|,)?(?: an?)? (?:unmet|failed|all|no)(?: trigger)? condition checks? "
    r"|^Condition check resulted in .* being skipped\.$"
)
"""In the line of a start whose condition is not met, systemd 243 and newer; it is that of a start in all else. The line
has the unit's description, in which any words may be."""
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
    answered: bool = False
    """True once the journal has the end of the job that started it: the next one is of another start."""
    settled: bool = False
    """Its end is the manager's: lines of the journal that come late are better."""
    action: str = ""
    again_of: str = ""
    """The first try, where systemd restarted the service (`Restart=`)."""
    will_restart: bool = False
    """True while systemd waits to restart the service after this try."""

    @property
    def is_open(self) -> bool:
        """Whether lines of the journal may still change it: it has not ended, or by the manager alone."""
        return not self.ended or self.settled

    def end(self, state: RunState, native_state: str, at: float, message: str = "", inferred: bool = False) -> None:
        self.state, self.native_state, self.message = state, native_state, message
        self.evidence = RunEvidence.INFERRED if inferred else RunEvidence.NATIVE
        self.ended, self.settled = max(at, self.started), False

    def record(self, host: str) -> RunRecord:
        ref = {"unit": self.unit, "invocation": self.invocation, "started": self.started, "boot": self.boot}
        state = RunState.CANCELLING if self.stopped and self.state is RunState.RUNNING else self.state
        state = RunState.RETRYING if self.will_restart and state.is_red else state
        return RunRecord(
            job=job_id(host, self.unit),
            attempt_key=self.invocation,
            state=state,
            native_state=self.native_state,
            evidence=self.evidence,
            started_at=datetime.fromtimestamp(self.started, UTC),
            ended_at=datetime.fromtimestamp(self.ended, UTC) if self.ended and not state.is_open else None,
            exit_code=self.exit_code,
            message=self.message,
            reason="time" if state is RunState.RETRYING else "",
            again_of=self.again_of,
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
    last: dict[str, str] = field(default_factory=dict)
    """By unit its last invocation that was seen to begin."""
    restarting: dict[str, str] = field(default_factory=dict)
    """By unit the first of the tries that its next invocation belongs to."""
    changed: set[str] = field(default_factory=set)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By unit the result and message of a start that its start limit refused, until its job ends."""
    unread: set[str] = field(default_factory=set)
    """Invocations that started before the first entry that was read."""
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
            if event.what == parse.FAILURE and event.detail == START_LIMIT:
                self.refusals[event.unit] = event.detail, event.text
                continue
            if event.what == parse.RESTARTING:
                before = self.runs.get(event.invocation)
                if before is not None and before.state.is_red:
                    self.restarting[event.unit] = before.again_of or event.invocation
                continue
            run = self._run_of(event, boot)
            if run is not None and run.is_open:
                self._apply(run, event)
                self.changed.add(run.invocation)

    def _run_of(self, event: UnitEvent, boot: str) -> Invocation | None:
        """The run that the line is about; None where it started before the first entry that was read. A job's end that
        is of no run is a start that did not begin."""
        run, is_another = self.runs.get(event.invocation), self._names_another(event)
        if event.what in (parse.STARTED, parse.START_FAILED):
            is_skip = WAS_SKIPPED.search(event.text) is not None or event.detail in NEVER_BEGINS
            if run is not None and not run.answered and not is_skip:
                run.answered = True
                return run
            if event.what == parse.STARTED and event.invocation in self.unread and not is_skip:
                self.unread.discard(event.invocation)
                self.last[event.unit] = event.invocation
                return None
            has_not_begun = event.what == parse.START_FAILED or is_another or is_skip
        else:
            has_not_begun = event.what == parse.SKIPPED and is_another and (run is None or not run.is_open)
        if has_not_begun:
            self._add_not_begun(event, boot)
            return None
        if run is None and event.invocation and event.what in (parse.STARTING, parse.STARTED, parse.SKIPPED):
            run = self._begun(event.invocation, event, boot)
            run.answered, self.last[event.unit] = event.what == parse.STARTED, event.invocation
        elif run is None and not is_another:
            self.unread.add(event.invocation)
        return run

    def _names_another(self, event: UnitEvent) -> bool:
        """Whether the line bears no invocation of its own, but that of an earlier run, or none."""
        return event.invocation in ("", self.last.get(event.unit)) or event.invocation in self.runs

    def _add_not_begun(self, event: UnitEvent, boot: str) -> None:
        key = f"{event.unit} {event.at:%Y-%m-%dT%H:%M:%SZ}"
        if key in self.runs:
            return
        run = self._begun(key, event, boot)
        state = RunState.SKIPPED if event.what == parse.SKIPPED else NOT_BEGUN.get(event.detail, RunState.FAILED)
        result, text = event.detail, event.text
        if event.what == parse.START_FAILED:
            result, text = self.refusals.pop(event.unit, (result, text))
        run.end(state, "condition" if result == "done" else result or "failed", run.started, text)
        self.changed.add(key)

    def _begun(self, key: str, event: UnitEvent, boot: str) -> Invocation:
        run = self.runs[key] = Invocation(key, event.unit, event.at.timestamp(), boot)
        action, requested_at = self.requested.pop(event.unit, ("", 0.0))
        run.action = action if run.started - requested_at <= ANSWERED_SECONDS else ""
        run.again_of = self.restarting.pop(event.unit, "")
        return run

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
        elif event.what == parse.SKIPPED:
            run.end(RunState.SKIPPED, event.detail or "skipped", when, event.text)
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
            self._set_will_restart(run, service)
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
                run.settled = True
                self.changed.add(run.invocation)

    def _set_will_restart(self, run: Invocation, service: ServiceUnit | None) -> None:
        is_last = run.invocation == self.last.get(run.unit)
        will_restart = is_last and service is not None and service.waits_to_restart
        if run.will_restart is not will_restart:
            run.will_restart = will_restart
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
        if service.result == START_LIMIT:
            run.end(RunState.UNKNOWN, "gone", when, "systemd knows the refusal of a later start only", inferred=True)
        elif service.result == "success":
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
