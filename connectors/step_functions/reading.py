"""One poll: page through what is new of each state machine, look after what is open, keep what can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from connectors.aws.cursor import MOST_CODES, Mark
from connectors.aws.errors import Gone
from connectors.aws.newest import EARLY, Newest
from connectors.aws.values import Reply, instant
from connectors.contract import (
    AccessRefused,
    NotSupported,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Skipped,
    State,
    TooBusy,
)
from connectors.step_functions import parse
from connectors.step_functions.client import StepFunctionsClient

MOST_DESCRIBED = 60
"""DescribeExecution refills 10 to 15 a second, by region: the rest waits for its turn."""
MACHINES_FOR_REDRIVES = 10


@dataclass(slots=True)
class Reading(Newest):
    """What one poll gathers."""

    operation: ClassVar[str] = "ListExecutions"

    door: StepFunctionsClient
    region: str = ""

    def page(self, where: str, size: int, mark: Mark) -> tuple[Sequence[Reply], str | None]:
        found = self.door.executions(where, size, mark.token)
        return found["executions"], found.get("nextToken")

    def began(self, row: Reply) -> datetime | None:
        return instant(row.get("startDate"))

    def state_of(self, row: Reply) -> tuple[str, str, bool]:
        status = str(row.get("status"))
        is_open = parse.STATES.get(status, State.UNKNOWN).is_open
        return f"{row.get('executionArn')}#{row.get('redriveCount') or 0}", status, is_open

    def read(self, row: Reply, name: str) -> list[RunRecord]:
        return [parse.run(row, name, self.region)]

    def redriven(self, machines: Mapping[str, str], before: Mapping[str, Mark], turn: int) -> None:
        """Redrives of executions that are older than the floor: some state machines each time."""
        names = sorted(machines)
        first = turn * MACHINES_FOR_REDRIVES % max(1, len(names))
        for name in (names + names)[first : first + min(len(names), MACHINES_FOR_REDRIVES)]:
            if not self.has_time:
                return
            try:
                page = self.door.executions(machines[name], self.live_size, redriven=True)
            except (AccessRefused, NotSupported, TooBusy):
                continue  # the reading of the machine itself has told it
            self._take_redriven(page["executions"], name, before.get(name, Mark()))

    def _take_redriven(self, rows: Sequence[Reply], name: str, before: Mark) -> None:
        codes = []
        for one in rows:
            at = instant(one.get("redriveDate"))
            if one.get("redriveCount") and at and at.timestamp() >= before.floor:
                found, is_told = self.keep_code(one, before.told)
                codes.append(found)
                if not is_told:
                    self.keep(one, name)
        mark = self.marks[name]
        told = dict.fromkeys([*mark.told, *(found for found in codes if found)])
        self.marks[name] = replace(mark, told=tuple(told)[-MOST_CODES:])

    def open_runs(self, refs: Sequence[RunRef], turn: int) -> None:
        """Describes the open runs that no page showed."""
        shown = {json_arn(run) for run in self.runs.values()}
        rest = [ref for ref in refs if (found := parse.reference(ref)) and found["arn"] not in shown]
        first = turn * MOST_DESCRIBED % len(rest) if len(rest) > MOST_DESCRIBED else 0
        for ref in (rest + rest)[first : first + min(len(rest), MOST_DESCRIBED)]:
            if not self.has_time:
                return
            try:
                self.keep(self.door.execution(parse.reference(ref)["arn"]), ref.job)
            except Gone:
                self.runs[ref.job, ref.attempt_key] = parse.gone(ref, datetime.now(UTC))
            except RecordUnreadable as error:
                self.skipped.append(Skipped(ref.job, str(error)))
            except (AccessRefused, TooBusy) as error:
                self.partly(str(error))
                return

    def causes(self) -> None:
        """Error and cause of the newest failures: the list does not tell them."""
        failed = [run for run in self.runs.values() if run.native_state in parse.FAILURES and not run.message]
        for run in sorted(failed, key=lambda one: one.ended_at or one.started_at or EARLY, reverse=True)[
            :MOST_DESCRIBED
        ]:
            if not self.has_time:
                return
            try:
                self.keep(self.door.execution(json_arn(run), with_data=True), run.job)
            except (AccessRefused, NotSupported, RecordUnreadable, TooBusy):
                return  # the state is known; its cause can be read in the log


def json_arn(run: RunRecord) -> str:
    """ARN of the execution that a record tells of."""
    return run.attempt_key.rpartition("#")[0]
