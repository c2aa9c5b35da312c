"""Step Functions as a connector: one region of one account."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from connectors.arrival import unless_on_its_way
from connectors.contract import (
    AccessRefused,
    Ask,
    Capability,
    Connector,
    ConnectorKind,
    Inventory,
    JobRecord,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Receipt,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
)
from connectors.step_functions import act, log, parse, rights
from connectors.step_functions.client import Reply, StepFunctionsClient
from connectors.step_functions.cursor import Cursor
from connectors.step_functions.errors import Gone
from connectors.step_functions.options import StepFunctionsOptions, targets
from connectors.step_functions.reading import EARLY, Reading

MACHINES_KEPT_SECONDS = 300.0
"""How long a poll trusts the list of state machines of the poll before."""

IN_FLIGHT_SECONDS = 180.0
"""For how long after it was sent a call may still be on its way to AWS, through proxies and retries below us."""


class StepFunctionsConnector:
    """The state machines of one region that the options name."""

    def __init__(self, client: StepFunctionsClient, options: StepFunctionsOptions) -> None:
        self._client, self._options = client, options
        self._machines: dict[str, str] = {}
        self._machines_until = 0.0

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All state machines that the options name, with their definitions. Schedules are not theirs: EventBridge's."""
        self._client.begin(timeout_seconds)
        jobs: list[JobRecord] = []
        skipped: list[Skipped] = []
        listed = list(self._listed())
        self._remember(listed)
        for machine in listed:
            try:
                jobs.append(parse.job({**machine, **self._described(machine)}, self._options.region))
            except Gone:
                continue
            except (RecordUnreadable, AccessRefused) as error:
                skipped.append(Skipped(str(machine.get("name")), str(error), str(machine)[:200]))
        if skipped and not jobs:
            raise AccessRefused(skipped[0].reason)
        now = parse.digest([(job.native_id, job.definition_hash, job.match_keys) for job in jobs])
        is_same = now == previous_hash
        return Inventory(
            () if is_same else tuple(jobs), not skipped, now, is_same, clock=self._client.clock, skipped=tuple(skipped)
        )

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """New executions of each state machine, redrives, and the open runs, oldest first."""
        self._client.begin(timeout_seconds)
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of ours: reading anew",))
        machines = self._standard_machines()
        reading = Reading(self._client, self._options.region)
        start = reading.machines(machines, at.marks, at.start)
        if machines and len(reading.refused) == len(machines):
            raise reading.refused[0]
        reading.redriven(machines, at.marks, at.turn)
        reading.open_runs(open_runs, at.turn)
        reading.causes()
        return Poll(
            runs=tuple(sorted(reading.runs.values(), key=_by_start)),
            cursor=Cursor(reading.marks, at.turn + 1, start).text(),
            more=reading.more,
            complete=reading.is_complete,
            clock=self._client.clock,
            skipped=tuple(reading.skipped),
            gaps=tuple(reading.gaps),
            warnings=tuple(dict.fromkeys(reading.warnings)),
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """The execution's history, one line an event."""
        return log.chunk(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """A redrive where AWS offers it, else a start with the same input."""
        return act.preview(self._client, ask, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Redrives, or starts an execution whose name is our key."""
        return act.send(self._client, preview, key, timeout_seconds)

    def holds(self, timeout_seconds: float) -> tuple[NativeHold, ...]:
        raise NotSupported("Step Functions: holds are not kept by this kind")

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By the name of the execution, or by its count of redrives."""
        return unless_on_its_way(act.look_up(self._client, preview, key, timeout_seconds), preview, IN_FLIGHT_SECONDS)

    def probe(self, timeout_seconds: float) -> Probe:
        """Which calls are allowed, tried out; those that change something cannot be tried."""
        self._client.begin(timeout_seconds)
        machines, found = rights.listed(self._listed)
        held = (*found, *rights.tried(self._client, machines), rights.ACT)
        notes = (rights.identity(self._client), *rights.express_note(machines))
        return Probe(True, "", held, notes, self._client.clock)

    def close(self) -> None:
        """Closes connections; once more does nothing."""
        self._client.close()

    def _listed(self) -> Iterator[Reply]:
        """State machines that the options name, as the list tells them."""
        for machine in self._client.state_machines():
            names = (str(machine.get("name")), str(machine.get("stateMachineArn")))
            if any(fnmatchcase(name, pattern) for pattern in self._options.state_machines for name in names):
                yield machine

    def _described(self, machine: Reply) -> Reply:
        arn = machine.get("stateMachineArn")
        if not isinstance(arn, str):
            raise RecordUnreadable("a state machine without an ARN")
        return self._client.state_machine(arn)

    def _standard_machines(self) -> dict[str, str]:
        if time.monotonic() >= self._machines_until:
            self._remember(list(self._listed()))
        return self._machines

    def _remember(self, listed: Sequence[Reply]) -> None:
        """The machines that polls ask from now on."""
        standard = [one for one in listed if one.get("type") != parse.EXPRESS and one.get("stateMachineArn")]
        self._machines = {str(one.get("name")): str(one["stateMachineArn"]) for one in standard}
        self._machines_until = time.monotonic() + MACHINES_KEPT_SECONDS


def _by_start(run: RunRecord) -> tuple[datetime, str]:
    return run.started_at or EARLY, run.attempt_key


def open_connector(options: StepFunctionsOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    return StepFunctionsConnector(StepFunctionsClient(options, secrets), options)


CONNECTOR = ConnectorKind(
    kind="step_functions",
    title="AWS Step Functions",
    options=StepFunctionsOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.LOG}),
    missing={
        Capability.START: "Headway cannot do this here yet",
        Capability.CANCEL: "Headway cannot do this here yet",
        Capability.MARK: "Headway cannot do this here yet",
        Capability.HOLD: "Headway cannot do this here yet",
        Capability.TASKS: "the states of a machine are not shown as tasks; its log has every one",
        Capability.NATIVE_DEPENDENCIES: "Step Functions knows no order between state machines: declare it",
    },
    ladder="Proves start, end, outcome, error and every step of each execution of STANDARD state machines, "
    "for 90 days. EXPRESS state machines keep no list of executions: their runs cannot be seen.",
)
