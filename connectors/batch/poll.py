"""One poll: what was submitted to each queue since, described whole, and what is still open."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from connectors.aws.cursor import Cursor, Mark
from connectors.aws.newest import Newest
from connectors.aws.values import Reply, from_milliseconds
from connectors.batch import parse
from connectors.batch.client import PAGE_SIZE, BatchClient
from connectors.batch.inventory import InventoryReader
from connectors.contract import Poll, RunRecord, RunRef, Skipped

MOST_OPEN = 1000
"""Open jobs that are described in one poll: the rest waits for its turn."""
QUEUES_KEPT_SECONDS = 300.0
"""How long a poll trusts the list of queues of the poll before."""


@dataclass(slots=True)
class Reading(Newest):
    """What one poll gathers."""

    operation: ClassVar[str] = "ListJobs"
    live_size: ClassVar[int] = PAGE_SIZE
    history_size: ClassVar[int] = PAGE_SIZE
    history_pages: ClassVar[int] = 2000

    door: BatchClient
    region: str = ""
    chooses: Callable[[str], bool] = bool
    waited_for: dict[str, Reply] = field(default_factory=dict)
    """Jobs that others depend on, by id."""

    def page(self, where: str, size: int, mark: Mark) -> tuple[Sequence[Reply], str | None]:
        since = str(int(mark.floor * 1000))
        found = self.door.listed(where, "AFTER_CREATED_AT", since, size, mark.token)
        rows = found["jobSummaryList"]
        return [one for one in rows if not parse.is_part(one)], found.get("nextToken")

    def began(self, row: Reply) -> datetime | None:
        return from_milliseconds(row.get("createdAt"))

    def state_of(self, row: Reply) -> tuple[str, str, bool]:
        state = parse.state_of(row)
        return str(row.get("jobId")), f"{row.get('status')} {state}", state.is_open

    def fetched(self, rows: Sequence[Reply], name: str) -> Sequence[Reply]:
        """The rows with their attempts and dependencies; those that cannot be asked for as they are."""
        ids = list(dict.fromkeys(str(one["jobId"]) for one in rows if one.get("jobId")))
        found = self.described(ids)
        for lost in set(ids) - {str(one.get("jobId")) for one in found}:
            self.skipped.append(Skipped(name, f"job {lost} is listed, and DescribeJobs does not tell it"))
        return [*found, *(one for one in rows if not one.get("jobId"))]

    def described(self, ids: Sequence[str]) -> list[Reply]:
        """These jobs, whole, and what they depend on for `read`."""
        found = self.door.jobs(ids)
        known = {str(one.get("jobId")): one for one in found}
        needed = dict.fromkeys(
            str(each["jobId"]) for one in found for each in one.get("dependsOn") or () if each.get("jobId")
        )
        self.waited_for |= {one: known[one] for one in needed if one in known}
        missing = [one for one in needed if one not in self.waited_for][:PAGE_SIZE]
        self.waited_for |= {str(one["jobId"]): one for one in self.door.jobs(missing)}
        return found

    def read(self, row: Reply, name: str) -> list[RunRecord]:
        if row.get("jobDefinition") and not self.chooses(parse.definition_of(row)):
            return []
        ids = [str(one.get("jobId")) for one in row.get("dependsOn") or ()]
        inputs = [self.waited_for[one] for one in ids if one in self.waited_for]
        return parse.runs(row, inputs, self.region)

    def open_runs(self, refs: Sequence[RunRef], turn: int) -> None:
        """Describes the open jobs that no page showed."""
        shown = {run.period_key for run in self.runs.values()}
        rest = [ref for ref in refs if (job := parse.place(ref)[0]) and job not in shown]
        first = turn * MOST_OPEN % len(rest) if len(rest) > MOST_OPEN else 0
        wanted = (rest + rest)[first : first + min(len(rest), MOST_OPEN)]
        if not wanted or not self.has_time:
            return
        ids = list(dict.fromkeys(parse.place(ref)[0] for ref in wanted))
        found = {str(one.get("jobId")): one for one in self.described(ids)}
        for one in found.values():
            self.keep(one, "DescribeJobs")
        for ref in wanted:
            if parse.place(ref)[0] not in found:
                self.runs[ref.job, ref.attempt_key] = parse.gone(ref, datetime.now(UTC))


class Poller:
    """Polls one region; the names of its queues are kept for a while."""

    def __init__(self, client: BatchClient, reader: InventoryReader, region: str) -> None:
        self._client, self._reader, self._region = client, reader, region
        self._kept: list[str] = []
        self._until = 0.0

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """New jobs of each queue and the open ones, oldest first. Raises SystemUnreachable or AccessRefused."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of ours: reading anew",))
        if time.monotonic() >= self._until:
            self._kept, self._until = self._reader.queues(), time.monotonic() + QUEUES_KEPT_SECONDS
        reading = Reading(self._client, region=self._region, chooses=self._reader.chooses)
        start = reading.lists({name: name for name in self._kept}, at.marks, at.start)
        if self._kept and len(reading.refused) == len(self._kept):
            raise reading.refused[0]
        reading.open_runs(open_runs, at.turn)
        return reading.told(Cursor(reading.marks, at.turn + 1, start).text())
