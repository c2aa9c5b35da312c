"""The jobs that the options name, with the triggers that start them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from connectors.aws.values import Reply
from connectors.contract import AccessRefused, Inventory, JobRecord, RecordUnreadable, Schedule, Skipped
from connectors.fields import digest
from connectors.glue import parse, triggers
from connectors.glue.client import GlueClient
from connectors.glue.options import GlueOptions
from connectors.words import CLOCK_UNREAD


class InventoryReader:
    """Reads jobs and triggers of one region."""

    def __init__(self, client: GlueClient, options: GlueOptions) -> None:
        self._client, self._options = client, options

    def read(self, previous_hash: str) -> Inventory:
        """All jobs that the options name. Raises SystemUnreachable or AccessRefused."""
        listed = self.listed()
        found, blind = self._triggers()
        jobs: list[JobRecord] = []
        skipped: list[Skipped] = []
        for one in listed:
            try:
                started_by = found.get(str(one.get("Name")), [])
                job = parse.job(one, started_by, self._options.region)
                jobs.append(replace(job, schedule=_schedule(started_by, blind)))
            except RecordUnreadable as error:
                skipped.append(Skipped("GetJobs", str(error), str(one)[:200]))
        now = digest([(*_told(job), job.upstreams, job.paused) for job in jobs])
        is_same = now == previous_hash and not skipped
        return Inventory(
            () if is_same else tuple(jobs), not skipped, now, is_same, self._client.clock, tuple(skipped),
            asks_for=lambda name, _: self.chooses(name),
        )  # fmt: skip

    def listed(self) -> list[Reply]:
        """Jobs that the options name, and what cannot be read."""
        return [one for one in self._client.jobs() if not one.get("Name") or self.chooses(str(one["Name"]))]

    def names(self) -> list[str]:
        """Of the jobs that the options name."""
        return [str(one["Name"]) for one in self.listed() if one.get("Name")]

    def chooses(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._options.jobs)

    def _triggers(self) -> tuple[dict[str, list[triggers.Trigger]], str]:
        """The triggers of each job; or why they cannot be read."""
        try:
            return triggers.by_job(list(self._client.triggers())), ""
        except AccessRefused as error:
            return {}, str(error)


def _schedule(started_by: Sequence[triggers.Trigger], blind: str) -> Schedule:
    """In words, with the next instant: its expression is of no dialect that is read elsewhere."""
    words = f"{CLOCK_UNREAD}{blind}" if blind else triggers.words(started_by)
    return Schedule("none", words=words, next_at=triggers.next_instant(started_by, datetime.now(UTC)))


def _told(job: JobRecord) -> tuple[object, ...]:
    return job.native_id, job.definition_hash, job.schedule
