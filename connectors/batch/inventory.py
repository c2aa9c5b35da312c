"""The job definitions that the options name, and the queues in which their jobs are looked for."""

from __future__ import annotations

from fnmatch import fnmatchcase

from connectors.aws.values import Reply
from connectors.batch import parse
from connectors.batch.client import BatchClient
from connectors.batch.options import BatchOptions
from connectors.contract import Inventory, JobRecord, RecordUnreadable, Skipped
from connectors.fields import digest


class InventoryReader:
    """Reads job definitions and queues of one region."""

    def __init__(self, client: BatchClient, options: BatchOptions) -> None:
        self._client, self._options = client, options

    def read(self, previous_hash: str) -> Inventory:
        """All job definitions that the options name. Raises SystemUnreachable or AccessRefused."""
        jobs: list[JobRecord] = []
        skipped: list[Skipped] = []
        for one in self.listed():
            try:
                jobs.append(parse.job(one, self._options.region))
            except RecordUnreadable as error:
                skipped.append(Skipped("DescribeJobDefinitions", str(error), str(one)[:200]))
        now = digest([(job.native_id, job.definition_hash, job.run_as) for job in jobs])
        is_same = now == previous_hash and not skipped
        return Inventory(
            () if is_same else tuple(jobs), not skipped, now, is_same, self._client.clock, tuple(skipped),
            asks_for=lambda name, _: self.chooses(name),
        )  # fmt: skip

    def listed(self) -> list[Reply]:
        """The newest active revision of each definition that the options name, and what cannot be read."""
        newest: dict[str, Reply] = {}
        for one in self._client.definitions():
            name = str(one.get("jobDefinitionName") or "")
            if name and not self.chooses(name):
                continue
            if name not in newest or int(one.get("revision") or 0) > int(newest[name].get("revision") or 0):
                newest[name] = one
        return [newest[name] for name in sorted(newest)]

    def queues(self) -> list[str]:
        """Names of the job queues that the options name."""
        return [str(one["jobQueueName"]) for one in self.queues_whole()]

    def queues_whole(self) -> list[Reply]:
        """The job queues that the options name."""
        found = (one for one in self._client.queues() if one.get("jobQueueName"))
        return [one for one in found if _fits(str(one["jobQueueName"]), self._options.queues)]

    def chooses(self, name: str) -> bool:
        return _fits(name, self._options.definitions)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
