"""Step Functions as a connector: one region of one account."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from connectors.arrival import time_to_send, unless_on_its_way
from connectors.aws import hold, schedules
from connectors.aws.cursor import Cursor
from connectors.aws.errors import Gone
from connectors.aws.options import targets
from connectors.aws.scheduler import Clocks
from connectors.contract import (
    AccessRefused,
    Ask,
    CannotTell,
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
    Proof,
    Receipt,
    RecordUnreadable,
    RunRef,
    Schedule,
    Secrets,
    Skipped,
    Verb,
)
from connectors.fields import digest
from connectors.step_functions import act, begin, log, parse, rights
from connectors.step_functions.client import Reply, StepFunctionsClient
from connectors.step_functions.options import StepFunctionsOptions, reads_schedules
from connectors.step_functions.reading import Reading
from connectors.words import CLOCK_UNREAD

NO_MARK = "AWS keeps no state of an execution that could be set; Headway asserts it itself"
NO_ADDRESS = "endpoint_url is the address of Step Functions alone: give scheduler_endpoint_url as well"
MACHINES_KEPT_SECONDS = 300.0
"""How long a poll trusts the list of state machines of the poll before."""


class StepFunctionsConnector:
    """The state machines of one region that the options name."""

    def __init__(self, client: StepFunctionsClient, options: StepFunctionsOptions) -> None:
        self._client, self._options = client, options
        self._clocks = Clocks(client)
        self._machines: dict[str, str] = {}
        self._machines_until = 0.0

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All state machines that the options name, with their definitions and what EventBridge Scheduler says."""
        self._client.begin(timeout_seconds)
        jobs: list[JobRecord] = []
        skipped: list[Skipped] = []
        listed = list(self._listed())
        self._remember(listed)
        by_machine, blind = self._schedules(listed)
        for machine in listed:
            try:
                job = parse.job({**machine, **self._described(machine)}, self._options.region)
                jobs.append(_with_schedules(job, by_machine.get(str(machine["stateMachineArn"]), ()), blind))
            except Gone:
                continue
            except (RecordUnreadable, AccessRefused) as error:
                skipped.append(Skipped(str(machine.get("name")), str(error), str(machine)[:200]))
        if skipped and not jobs:
            raise AccessRefused(skipped[0].reason)
        told = [(job.native_id, job.definition_hash, job.match_keys, job.schedule, job.paused) for job in jobs]
        now = digest(told)
        is_same = now == previous_hash
        return Inventory(
            () if is_same else tuple(jobs), not skipped, now, is_same, self._client.clock, tuple(skipped),
            asks_for=lambda name, keys: self._chooses(name, *keys),
        )  # fmt: skip

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """New executions of each state machine, redrives, and the open runs, oldest first."""
        self._client.begin(timeout_seconds)
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of ours: reading anew",))
        machines = self._standard_machines()
        reading = Reading(self._client, region=self._options.region)
        start = reading.lists(machines, at.marks, at.start)
        if machines and len(reading.refused) == len(machines):
            raise reading.refused[0]
        reading.redriven(machines, at.marks, at.turn)
        reading.open_runs(open_runs, at.turn)
        reading.causes()
        return reading.told(Cursor(reading.marks, at.turn + 1, start).text())

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """The execution's history, one line an event."""
        return log.chunk(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """A rerun is a redrive where AWS offers it, else a start with the same input; a hold disables schedules."""
        if ask.verb == Verb.RERUN:
            return act.preview(self._client, ask, timeout_seconds)
        self._client.begin(timeout_seconds)
        if ask.verb == Verb.CANCEL:
            return begin.preview_stop(self._client, ask)
        if ask.verb not in (Verb.START, Verb.HOLD, Verb.RELEASE):
            raise NotSupported(f"Step Functions cannot {ask.verb}: {NO_MARK}")
        machine = self._machine(ask.run.job)
        by_machine, blind = self._schedules([machine])
        found = by_machine.get(str(machine["stateMachineArn"]), [])
        if ask.verb == Verb.START:
            shown = begin.preview_start(self._client, ask, machine, found)
        else:
            shown = hold.hold(ask, found) if ask.verb == Verb.HOLD else hold.release(ask, found)
        return replace(shown, refused=blind) if blind else shown

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Redrives, starts under our key, stops, or writes schedules. Raises NotSupported where nothing was changed."""
        timeout_seconds = time_to_send(preview, timeout_seconds)
        plan, way = preview.plan, preview.plan["way"]
        if way in ("redrive", "start"):
            return act.send(self._client, preview, key, timeout_seconds)
        self._client.begin(timeout_seconds)
        if way == "begin":
            return begin.start(self._client, plan, key)
        return begin.stop(self._client, plan, key) if way == "stop" else hold.send(self._client, plan, key)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """Our marks in the descriptions of schedules. Raises AccessRefused or NotSupported where they are not read."""
        self._client.begin(timeout_seconds)
        listed = [one for one in self._listed() if one.get("stateMachineArn")]
        by_machine, blind = self._schedules(listed)
        if blind:
            raise (AccessRefused if reads_schedules(self._options) else NotSupported)(blind)
        names = {str(one["stateMachineArn"]): str(one.get("name")) for one in listed}
        return tuple(each for arn, found in by_machine.items() for each in hold.holds(names[arn], found))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By the name of the execution, its count of redrives or its cause; a hold by its mark."""
        return unless_on_its_way(self._looked_up(preview, key, timeout_seconds), preview)

    def _looked_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        plan, way = preview.plan, preview.plan["way"]
        if way in ("redrive", "start"):
            return act.look_up(self._client, preview, key, timeout_seconds)
        self._client.begin(timeout_seconds)
        try:
            if way in ("hold", "release"):
                return hold.look_up(self._client, plan, key)
            return (begin.look_up_stop if way == "stop" else begin.look_up_start)(self._client, plan, key)
        except NotSupported as error:
            return CannotTell(str(error))

    def probe(self, timeout_seconds: float) -> Probe:
        """Which calls are allowed, tried out; those that change something cannot be tried."""
        self._client.begin(timeout_seconds)
        machines, found = rights.listed(self._listed)
        clocks = rights.schedules(self._client) if reads_schedules(self._options) else (rights.NO_SCHEDULES,)
        held = (*found, *rights.tried(self._client, machines), *clocks, *rights.ACTS)
        notes = (self._client.identity(), *rights.express_note(machines))
        return Probe(True, "", held, notes, self._client.clock)

    def close(self) -> None:
        """Closes connections; once more does nothing."""
        self._client.close()

    def _listed(self) -> Iterator[Reply]:
        """State machines that the options name, as the list tells them."""
        for machine in self._client.state_machines():
            if self._chooses(str(machine.get("name")), str(machine.get("stateMachineArn"))):
                yield machine

    def _chooses(self, *names: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._options.state_machines for name in names)

    def _machine(self, name: str) -> Reply:
        """The state machine of this name. Raises NotSupported when there is none any more."""
        for one in self._listed():
            if str(one.get("name")) == name and one.get("stateMachineArn"):
                return one
        raise NotSupported(f"{self._client.place}: there is no state machine {name} any more")

    def _schedules(self, machines: Sequence[Reply]) -> tuple[dict[str, list[Reply]], str]:
        """The schedules of these state machines by ARN; or why they cannot be read."""
        if not reads_schedules(self._options):
            return {}, NO_ADDRESS
        arns = [str(one["stateMachineArn"]) for one in machines if one.get("stateMachineArn")]
        found: dict[str, list[Reply]] = {arn: [] for arn in arns}
        try:
            for one in self._clocks.of(lambda row: schedules.machine_of(row) in found, datetime.now(UTC)):
                if schedules.machine_of(one) in found:
                    found[schedules.machine_of(one)].append(one)
            return found, ""
        except AccessRefused as error:
            return {}, str(error)

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


def _with_schedules(job: JobRecord, found: Sequence[Reply], blind: str) -> JobRecord:
    """The job with its schedules in words, and the next instant that they name: no start is expected by them, since AWS
    tells none that it has made; a hold goes by it."""
    words = f"{CLOCK_UNREAD}{blind}" if blind and blind != NO_ADDRESS else schedules.words(found)
    named = schedules.next_instant(found, datetime.now(UTC))
    return replace(job, schedule=Schedule("none", words=words, next_at=named), paused=schedules.is_paused(found))


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
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.TASKS, Capability.NATIVE_DEPENDENCIES},
    starts_held=True,
    missing={
        Capability.MARK: NO_MARK,
        Capability.TASKS: "the states of a machine are not shown as tasks; its log has every one",
        Capability.NATIVE_DEPENDENCIES: "Step Functions knows no order between state machines: declare it",
    },
    proofs=frozenset({Proof.START, Proof.FULL}),
    verbs={
        Verb.RERUN: "redrive, or start again",
        Verb.START: "start",
        Verb.CANCEL: "stop",
        Verb.HOLD: "disable its schedules",
        Verb.RELEASE: "enable its schedules",
    },
    schedules="next",
    ladder="Proves start, end, outcome, error and every step of each execution of STANDARD state machines, "
    "for 90 days. EXPRESS state machines keep no list of executions: their runs cannot be seen.",
)
