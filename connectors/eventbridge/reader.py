"""The schedules that the options name: inventory, polls, holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from connectors.aws import hold, schedules
from connectors.aws.scheduler import Clocks, SchedulerDoor
from connectors.aws.values import Reply
from connectors.contract import Inventory, JobRecord, NativeHold, Poll, RecordUnreadable, RunRef, Skipped
from connectors.eventbridge import parse
from connectors.eventbridge.options import EventBridgeOptions
from connectors.fields import digest

CURSOR = "{}"
"""There is no place in what is never told."""


class Reader:
    """Reads the schedules of one region."""

    def __init__(self, client: SchedulerDoor, options: EventBridgeOptions) -> None:
        self._client, self._options = client, options
        self._clocks = Clocks(client)

    def inventory(self, previous_hash: str) -> Inventory:
        """All schedules that the options name. Raises SystemUnreachable or AccessRefused."""
        jobs: list[JobRecord] = []
        skipped: list[Skipped] = []
        for one in self._chosen():
            try:
                jobs.append(parse.job(one, datetime.now(UTC), self._options.region))
            except RecordUnreadable as error:
                skipped.append(Skipped("ListSchedules", str(error), str(one)[:200]))
        unnamed = (
            Skipped("ListSchedules", "a schedule without a name to ask for", str(one)[:200])
            for one in self._clocks.unread
        )
        skipped.extend(unnamed)
        now = digest([(job.native_id, job.definition_hash, job.paused, job.schedule, job.title) for job in jobs])
        is_same = now == previous_hash and not skipped
        return Inventory(
            () if is_same else tuple(jobs), not skipped, now, is_same, self._client.clock, tuple(skipped),
            asks_for=lambda name, _: self.chooses(name),
        )  # fmt: skip

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """No run: Scheduler keeps none. That it answers is seen, and nothing is said of what did not start."""
        del cursor, open_runs
        next(self._client.schedules(), None)
        return Poll((), CURSOR, clock=self._client.clock)

    def holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Our marks in descriptions, bare ones as well."""
        del known  # all are read
        return tuple(each for one in self._chosen() for each in hold.holds(schedules.full_name(one), [one]))

    def chooses(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._options.schedules)

    def _chosen(self) -> list[Reply]:
        return self._clocks.of(lambda row: self.chooses(schedules.full_name(row)), datetime.now(UTC))
