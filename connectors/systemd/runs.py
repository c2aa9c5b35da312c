"""The life of invocations: what the journal and the manager say of each, joined into runs. Pure.

A run is one invocation of a service, whoever started it. Its journal proves how it ended; where that is lost, what the
manager still knows of the service's last invocation does; where that is another one, its end is UNKNOWN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.contract import Evidence, RunRecord, State
from connectors.systemd import journal, parse
from connectors.systemd.journal import Event
from connectors.systemd.parse import Service

ANSWERED_SECONDS = 300.0
"""A start that systemd was asked for and that waits longer than this behind other units is not told as ours."""
ALIVE = ("activating", "active", "reloading", "deactivating")


@dataclass(slots=True)
class Run:
    """One invocation that has not ended, or whose end is news. Times are epoch seconds."""

    invocation: str
    unit: str
    started: float
    boot: str
    ended: float = 0.0
    state: State = State.RUNNING
    word: str = "activating"
    evidence: Evidence = Evidence.NATIVE
    exit_code: int | None = None
    message: str = ""
    killed: str = ""
    """How its main process was killed, where the journal tells."""
    stopped: bool = False
    """Somebody asked systemd to stop it."""
    action: str = ""

    def end(self, state: State, word: str, at: float, evidence: Evidence = Evidence.NATIVE, message: str = "") -> None:
        self.state, self.word, self.evidence = state, word, evidence
        self.ended, self.message = max(at, self.started), message

    def record(self, host: str) -> RunRecord:
        ref = {"unit": self.unit, "invocation": self.invocation, "started": self.started, "boot": self.boot}
        return RunRecord(
            job=job_id(host, self.unit),
            attempt_key=self.invocation,
            state=State.CANCELLING if self.stopped and self.state is State.RUNNING else self.state,
            native_state=self.word,
            evidence=self.evidence,
            started_at=at(self.started),
            ended_at=at(self.ended) if self.ended and not self.state.is_open else None,
            exit_code=self.exit_code,
            message=self.message,
            native_ref=json.dumps(ref, separators=(",", ":")),
            action_key=self.action or None,
        )


def job_id(host: str, unit: str) -> str:
    """ "db07:backup.service"."""
    return f"{host}:{unit}"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(slots=True)
class Book:
    """Invocations without an end, and those that this poll tells."""

    runs: dict[str, Run] = field(default_factory=dict)
    asked: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Unit -> our key of a start that its next invocation answers, and when it was asked."""
    changed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Words for an end that are in no table."""

    @property
    def units(self) -> set[str]:
        """What runs or ran just now, also where its timer was disabled meanwhile."""
        return {run.unit for run in self.runs.values()}

    def hear(self, events: Iterable[Event], boot: str) -> None:
        """Takes in what the journal told, oldest first."""
        for event in events:
            if event.what == journal.ASKED:
                self._ask(event)
                continue
            run = self._run_of(event, boot)
            if run is not None:
                self._take(run, event)
                self.changed.add(run.invocation)

    def _ask(self, event: Event) -> None:
        if event.text == "start":
            self.asked[event.unit] = event.word, event.at.timestamp()
        elif event.text == "refused" and self.asked.get(event.unit, ("", 0.0))[0] == event.word:
            del self.asked[event.unit]  # whatever starts it now is not ours

    def _run_of(self, event: Event, boot: str) -> Run | None:
        if not event.invocation:
            return None
        if event.invocation not in self.runs:
            if event.what not in (journal.STARTING, journal.STARTED):
                return None  # its start was before what we read: nobody knows when it began
            run = Run(event.invocation, event.unit, event.at.timestamp(), boot)
            key, asked_at = self.asked.pop(event.unit, ("", 0.0))
            run.action = key if run.started - asked_at <= ANSWERED_SECONDS else ""
            self.runs[event.invocation] = run
        return self.runs[event.invocation]

    def _take(self, run: Run, event: Event) -> None:
        when = event.at.timestamp()
        if event.what == journal.EXITED:
            run.exit_code = event.exit_code
            run.killed = event.word if not event.word.startswith("exited") else ""
        elif event.what == journal.STOPPING:
            run.stopped = True
        elif event.what == journal.SUCCESS and not run.ended:
            self._success(run, when)
        elif event.what == journal.FAILURE:
            self._failure(run, event.word, when, event.text)
        elif event.what == journal.START_FAILED and not run.ended:
            state = State.CANCELLED if event.word == "canceled" else State.FAILED
            run.end(state, event.word or "failed", when, message=event.text)

    def _success(self, run: Run, when: float) -> None:
        """systemd calls a service that was told to end by SIGTERM a success; a job that was cut short is none."""
        if run.stopped or run.killed:
            run.end(State.CANCELLED, "success", when, message=f"stopped before its end {run.killed}".strip())
        else:
            run.exit_code = 0 if run.exit_code is None else run.exit_code
            run.end(State.SUCCEEDED, "success", when)

    def _failure(self, run: Run, result: str, when: float, text: str) -> None:
        state = parse.RESULTS.get(result, State.UNKNOWN)
        if state is State.UNKNOWN:
            self.unknown.add(result)
        if run.stopped and result in ("signal", "exit-code", "timeout"):
            state = State.CANCELLED
        run.end(State.FAILED if state is State.SUCCEEDED else state, result, when, message=text)

    def settle(self, now: Mapping[str, Service], boot: str, clock: datetime) -> None:
        """Judges what has no end in the journal by what the manager knows now. Only once the journal was read whole."""
        for run in self.runs.values():
            service = now.get(run.unit)
            if run.ended or service is None:
                continue
            if run.boot != boot:
                run.end(State.LOST, "rebooted", clock.timestamp(), Evidence.INFERRED, "the host restarted meanwhile")
            elif service.invocation == run.invocation:
                self._by_manager(run, service, clock)
            else:
                words = "its end is not in the journal, and systemd knows a later invocation only"
                run.end(State.UNKNOWN, "gone", clock.timestamp(), Evidence.INFERRED, words)
            if run.ended:
                self.changed.add(run.invocation)

    def _by_manager(self, run: Run, service: Service, clock: datetime) -> None:
        is_done = service.active == "active" and service.sub == "exited"  # RemainAfterExit=yes
        if service.active in ALIVE and not is_done:
            run.word = f"{service.active} {service.sub}".strip()
            return
        if service.ended is None and not is_done:
            return  # between two of its steps
        when = parse.seconds(service.ended) or clock.timestamp()
        run.exit_code = service.exit_code
        if service.signal is not None:
            run.killed = f"killed {service.signal}"
        if service.result == "success":
            self._success(run, when)
        else:
            self._failure(run, service.result, when, f"systemd says: {service.result}")

    def correct(self, now: Mapping[str, Service]) -> None:
        """A success whose main process was killed by hand is in no line of the journal: the manager knows."""
        for invocation in self.changed:
            run = self.runs[invocation]
            service = now.get(run.unit)
            if service is None or service.invocation != invocation or run.state is not State.SUCCEEDED:
                continue
            if service.signal is not None:
                words = f"its main process was ended by signal {service.signal}"
                run.exit_code = None
                run.end(State.CANCELLED, "success", run.ended, message=words)

    def told(self, again: Iterable[str]) -> list[Run]:
        """What changed, what runs, and what was asked for, by start."""
        names = {*self.changed, *again, *(one.invocation for one in self.runs.values() if not one.ended)}
        return sorted((self.runs[name] for name in names if name in self.runs), key=lambda one: one.started)

    def as_value(self, keep_after: float) -> dict[str, Any]:
        """For the cursor: what is open, and what ended since `keep_after`."""
        kept = [one for one in self.runs.values() if not one.ended or one.ended >= keep_after]
        return {"runs": [asdict(one) for one in kept], "asked": self.asked}

    @classmethod
    def of(cls, value: Any) -> Book:
        """The book of a cursor; what cannot be read is left out."""
        book = cls()
        if not isinstance(value, dict):
            return book
        for entry in value.get("runs", ()):
            try:
                run = Run(**{**entry, "state": State(entry["state"]), "evidence": Evidence(entry["evidence"])})
            except (TypeError, ValueError, KeyError):
                continue
            book.runs[run.invocation] = run
        asked = value.get("asked")
        for unit, pair in asked.items() if isinstance(asked, dict) else ():
            book.asked[str(unit)] = str(pair[0]), float(pair[1])
        return book
