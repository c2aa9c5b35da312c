"""One poll: page through what is new of each state machine, look after what is open, keep what can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from connectors.contract import AccessRefused, Gap, NotSupported, RecordUnreadable, RunRecord, RunRef, Skipped, State
from connectors.step_functions import parse
from connectors.step_functions.client import StepFunctionsClient
from connectors.step_functions.cursor import MOST_CODES, OVERLAP_SECONDS, Mark, code
from connectors.step_functions.errors import Gone, Throttled

LIVE_SIZE, HISTORY_SIZE = 100, 1000
PAGES_PER_BITE = 3
HISTORY_PAGES = 60
"""60,000 executions of a state machine; what is older stays in AWS and is told as a gap."""
MOST_DESCRIBED = 60
"""DescribeExecution refills 10 to 15 a second, by region: the rest waits for its turn."""
MACHINES_FOR_REDRIVES = 10
SHORTEST_CALL_SECONDS = 0.5


@dataclass(slots=True)
class Reading:
    """What one poll gathers."""

    client: StepFunctionsClient
    region: str
    runs: dict[str, RunRecord] = field(default_factory=dict)
    """By attempt key: told once, as it was seen last."""
    marks: dict[str, Mark] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: list[AccessRefused] = field(default_factory=list)
    is_complete: bool = True
    more: bool = False
    described: int = 0

    @property
    def has_time(self) -> bool:
        return self.client.deadline.left > SHORTEST_CALL_SECONDS

    def machines(self, machines: Mapping[str, str], marks: Mapping[str, Mark], start: int) -> int:
        """Reads each state machine's new executions, beginning at the `start`-th. Answers where to begin next time."""
        names = sorted(machines)
        first = start % max(1, len(names))
        self.marks = {name: marks.get(name, Mark()) for name in names}
        for number, name in enumerate(names[first:] + names[:first]):
            if not self.has_time:
                self.more = True
                return first + number
            try:
                self.machine(name, machines[name])
            except Throttled as error:
                if number == 0:
                    raise
                self._partly(f"{error}; the other state machines come with the next poll")
                return first + number
        return first

    def machine(self, name: str, arn: str) -> None:
        """A bite of one state machine's executions, from the newest down to the floor."""
        for _ in range(PAGES_PER_BITE):
            mark = self.marks[name]
            try:
                page = self.client.executions(arn, LIVE_SIZE if mark.floor else HISTORY_SIZE, mark.token)
            except AccessRefused as error:
                self.refused.append(error)
                self._partly(str(error))
                return
            except Gone:
                return  # deleted since the list was made; the inventory will say so
            except NotSupported as error:
                self.marks[name] = Mark(mark.floor, told=mark.told)  # the token is too old: begin anew
                self._partly(f"{name}: {error}")
                self.more = mark.token is not None
                return
            if self._page(name, page):
                return
        self.more = True

    def _page(self, name: str, page: Mapping[str, Any]) -> bool:
        """Takes one page; True when the reading of this state machine is done."""
        mark, token, rows = self.marks[name], page.get("nextToken"), page["executions"]
        starts = [at.timestamp() for one in rows if (at := parse.instant(one.get("startDate")))]
        first = code(str(rows[0].get("executionArn"))) if rows else ""
        repeats = mark.token is not None and (first == mark.first or max(starts, default=0.0) > (mark.oldest or 0.0))
        mark = replace(
            mark, token=token, first=first, pages=mark.pages + 1, top=max([mark.top, *starts]),
            oldest=min([*starts, *([] if mark.oldest is None else [mark.oldest])], default=None),
        )  # fmt: skip
        mark = replace(mark, near=mark.near + tuple(self._take(rows, name, mark)))
        is_long = token is not None and mark.pages >= HISTORY_PAGES
        if repeats:
            self._partly(f"{name}: pages of ListExecutions repeat: the reading was cut after {mark.pages} pages")
        elif is_long:
            until = None if mark.oldest is None else datetime.fromtimestamp(mark.oldest, UTC)
            self.gaps.append(
                Gap(None, until, f"{name}: older executions than those of {mark.pages} pages are not read")
            )
        is_done = not token or repeats or is_long or (mark.oldest is not None and mark.oldest < mark.floor)
        self.marks[name] = mark.finished() if is_done else mark
        return is_done

    def _take(self, rows: Sequence[Mapping[str, Any]], name: str, mark: Mark) -> Iterator[str]:
        """Keeps what lies above the floor and was not told as it is. Answers the codes of ends near the top."""
        for one in rows:
            at = parse.instant(one.get("startDate"))
            if at is not None and at.timestamp() < mark.floor:
                continue
            ended = self._keep_unless_told(one, name, mark.told)
            if ended and at is not None and at.timestamp() >= mark.top - OVERLAP_SECONDS:
                yield ended

    def _keep_unless_told(self, execution: Mapping[str, Any], name: str, told: Sequence[str]) -> str | None:
        """The code of its end; None while it is open. Open runs are told each time: that is how they are seen alive."""
        status = str(execution.get("status"))
        found = code(f"{execution.get('executionArn')}#{execution.get('redriveCount') or 0}", status)
        is_open = parse.STATES.get(status, State.UNKNOWN).is_open
        if is_open or found not in told:
            self._keep(execution, name)
        return None if is_open else found

    def redriven(self, machines: Mapping[str, str], before: Mapping[str, Mark], turn: int) -> None:
        """Redrives of executions that are older than the floor: some state machines each time."""
        names = sorted(machines)
        first = turn * MACHINES_FOR_REDRIVES % max(1, len(names))
        for name in (names + names)[first : first + min(len(names), MACHINES_FOR_REDRIVES)]:
            if not self.has_time:
                return
            try:
                page = self.client.executions(machines[name], LIVE_SIZE, redriven=True)
            except (AccessRefused, NotSupported, Throttled):
                continue  # the reading of the machine itself has told it
            self._take_redriven(page["executions"], name, before.get(name, Mark()))

    def _take_redriven(self, rows: Sequence[Mapping[str, Any]], name: str, before: Mark) -> None:
        codes = []
        for one in rows:
            at = parse.instant(one.get("redriveDate"))
            if one.get("redriveCount") and at and at.timestamp() >= before.floor:
                codes.append(self._keep_unless_told(one, name, before.told))
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
                self._keep(self.client.execution(parse.reference(ref)["arn"]), ref.job)
            except Gone:
                self.runs[ref.attempt_key] = parse.gone(ref)
            except RecordUnreadable as error:
                self.skipped.append(Skipped(ref.job, str(error)))
            except (AccessRefused, Throttled) as error:
                self._partly(str(error))
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
                self._keep(self.client.execution(json_arn(run), with_data=True), run.job)
            except (AccessRefused, NotSupported, RecordUnreadable, Throttled):
                return  # the state is known; its cause can be read in the log

    def _keep(self, execution: Mapping[str, Any], name: str) -> None:
        try:
            run = parse.run(execution, name, self.region)
        except RecordUnreadable as error:
            self.skipped.append(Skipped(name, str(error), str(execution)[:200]))
            return
        self.runs[run.attempt_key] = run
        if run.state == State.UNKNOWN:
            self.warnings.append(f'unknown execution status "{run.native_state}": shown as UNKNOWN')

    def _partly(self, words: str) -> None:
        self.is_complete = False
        self.warnings.append(words)


EARLY = datetime(1970, 1, 1, tzinfo=UTC)


def json_arn(run: RunRecord) -> str:
    """ARN of the execution that a record tells of."""
    return run.attempt_key.rpartition("#")[0]
