"""The inventory: every workflow with its schedules, the workflows whose end starts it, and its jobs as tasks.

A calm look costs the list of workflows and the folder of their files, mostly as 304; a file is read when it changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from connectors import fields
from connectors.contract import Clock, Inventory, JobRecord, RecordUnreadable, Schedule, Skipped, SystemUnreachable
from connectors.github_actions import parse
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.definition import Definition
from connectors.github_actions.definitions import Definitions

MOST_PAGES = 30
ACTIVE, INACTIVITY = "active", "disabled_inactivity"
PAUSED_WORDS = {
    INACTIVITY: "disabled by GitHub itself: no commit for 60 days",
    "disabled_fork": "disabled: schedules of a fork do not run until somebody enables them",
}


def workflows(client: GitHubClient) -> tuple[list[Any], Clock | None, bool]:
    """All rows of workflows, GitHub's clock, and whether the list came to its end."""
    rows: list[Any] = []
    clock = None
    for page in range(1, MOST_PAGES + 1):
        reply = client.workflows(page)
        found, clock = reply.table().get("workflows"), reply.clock
        if not isinstance(found, list):
            raise SystemUnreachable(f"{reply.place} has no list of workflows; is the url that of GitHub's API?")
        rows += found
        if len(found) < PAGE_LIMIT:
            return rows, clock, True
    return rows, clock, False


class InventoryReader:
    """Reads inventories of one repository."""

    def __init__(self, client: GitHubClient, definitions: Definitions, watched: Callable[[str], bool]) -> None:
        self._client, self._definitions, self._watched = client, definitions, watched
        self.asleep: dict[str, str] = {}
        """Jobs that GitHub itself has disabled, and why, as of the last look."""

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says."""
        skipped: list[Skipped] = []
        rows, clock, complete = workflows(self._client)
        self._definitions.refresh()
        kept = [one for row in rows if (one := _kept(row, self._client.repository, skipped))]
        named = {title: job for job, title, _ in kept}
        self.asleep.clear()
        jobs: list[JobRecord] = []
        for job, title, row in kept:
            if self._watched(job):
                jobs += self._jobs(job, title, row, named, clock, skipped)
        complete = complete and not skipped
        found = tuple(sorted({one.native_id: one for one in jobs}.values(), key=lambda one: one.native_id))
        told = repr([complete, *found])
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        if digest == previous_hash and complete:
            return Inventory((), complete, digest, unchanged=True, clock=clock, skipped=tuple(skipped))
        return Inventory(
            found, complete, digest, clock=clock, skipped=tuple(skipped), asks_for=lambda name, _: self._watched(name)
        )

    def _jobs(
        self,
        job: str,
        title: str,
        row: fields.Row,
        named: dict[str, str],
        clock: Clock | None,
        skipped: list[Skipped],
    ) -> Iterator[JobRecord]:
        path, state = parse.path_of(row), fields.words(row, "state")
        told = self._definitions.of(path, skipped)
        definition = told or Definition()
        if state == INACTIVITY:
            self.asleep[job] = PAUSED_WORDS[INACTIVITY]
        yield JobRecord(
            native_id=job,
            title=title,
            schedule=_schedule(definition, state, clock),
            paused=state != ACTIVE,
            upstreams=tuple(sorted({named[name] for name in definition.after if name in named} - {job})),
            definition=f"{path}: on {', '.join(definition.triggers)}" if definition.triggers else path,
            definition_hash=self._definitions.hash_of(path),
            native_url=parse.url_of(row),
        )
        for task in definition.tasks:
            yield JobRecord(
                native_id=f"{job}.{task.name}",
                title=task.title,
                parent=job,
                upstreams=tuple(f"{job}.{name}" for name in task.needs),
                definition=task.definition,
                native_url=parse.url_of(row),
            )


def _kept(row: Any, repository: str, skipped: list[Skipped]) -> tuple[str, str, fields.Row] | None:
    """Job, title and row of a workflow; None for one that is deleted or cannot be read."""
    try:
        row = fields.table(row)
        if fields.text(row, "state") == "deleted":
            return None
        parse.id_of(row)
        return parse.job_of(repository, parse.path_of(row)), fields.words(row, "name"), row
    except RecordUnreadable as error:
        skipped.append(fields.skipped("workflows", error, row))
        return None


def _schedule(definition: Definition, state: str, clock: Clock | None) -> Schedule:
    """One expression as it stands; of several the next instant of all, since no dialect of ours joins them."""
    asleep = PAUSED_WORDS.get(state, "")
    if not definition.crons:
        started = ", ".join(definition.triggers)
        return Schedule("none", words="; ".join(one for one in (f"on {started}" if started else "", asleep) if one))
    lines = [f"{cron} {zone}" for cron, zone in definition.crons]
    words = "; ".join([*lines, *([asleep] if asleep else [])])
    if len(definition.crons) == 1:
        (cron, zone), *_ = definition.crons
        return Schedule("github", cron, zone, words=asleep)
    now = clock.target if clock else datetime.now(UTC)
    following = [at for cron, zone in definition.crons if (at := _next(cron, zone, now)) is not None]
    return Schedule("github", words=words, next_at=min(following, default=None) if state == ACTIVE else None)


def _next(cron: str, zone: str, now: datetime) -> datetime | None:
    try:
        return next(CronSim(cron, now.astimezone(ZoneInfo(zone)))).astimezone(UTC)
    except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError, OSError):
        return None
