"""Inventory: every workflow with its schedules, the workflows whose end starts it, and its jobs as tasks.

A quiet refresh costs the repository, the list of workflows and the folder of their files, mostly as 304; a file is read
again when its hash on the default branch changed. Previews of actions look up one workflow and its active runs here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from connectors.github_actions import parse
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.parse import GitHubWorkflow
from connectors.sdk import fields
from connectors.sdk.cron_syntax import single_steps
from connectors.sdk.errors import ActionRefused, RecordUnreadable, SystemUnreachable
from connectors.sdk.records import Inventory, JobRecord, Schedule, SkippedRecord, TargetClock

MAX_PAGES = 30
QUEUE = timedelta(hours=1)
"""GitHub's documentation names no limit for how late it starts a schedule under load; an hour is common."""
ACTIVE_STATE, DISABLED_BY_INACTIVITY = "active", "disabled_inactivity"
PAUSE_REASONS = {
    DISABLED_BY_INACTIVITY: "disabled by GitHub itself: no commit for 60 days",
    "disabled_fork": "disabled: schedules of a fork do not run until they are enabled",
}


def read_workflows(client: GitHubClient) -> tuple[list[Any], TargetClock | None, bool]:
    """All rows of workflows, GitHub's clock, and whether the list came to its end."""
    rows: list[Any] = []
    clock = None
    for page in range(1, MAX_PAGES + 1):
        reply = client.workflows(page)
        workflows, clock = reply.rows("workflows"), reply.clock
        rows += workflows
        if len(workflows) < PAGE_LIMIT:
            return rows, clock, True
    return rows, clock, False


class GitHubInventory:
    def __init__(self, client: GitHubClient, definitions: WorkflowFiles, watched: Callable[[str], bool]) -> None:
        self._client, self._definitions, self._watched = client, definitions, watched
        self.asleep: dict[str, str] = {}
        """Jobs that GitHub itself has disabled, and why, as of the last refresh."""

    def read(self, previous_hash: str) -> Inventory:
        skipped: list[SkippedRecord] = []
        rows, clock, complete = read_workflows(self._client)
        self._definitions.refresh()
        repository, clock_now = self._client.repository, clock.target if clock else datetime.now(UTC)
        read = fields.readable(rows, lambda row: _workflow_identity(row, repository), "workflows", skipped)
        present = [workflow for workflow in read if workflow is not None]
        named = {title: job for job, title, _ in present}
        self.asleep.clear()
        watched = [workflow for workflow in present if self._watched(workflow[0])]
        jobs = {job.native_id: job for item in watched for job in self._jobs(*item, named, clock_now, skipped)}
        records = (job for _, job in sorted(jobs.items()))
        complete = complete and not skipped
        return Inventory.since(previous_hash, records, complete, clock, skipped, self._watched)

    def _jobs(
        self, job: str, title: str, row: fields.Row, named: dict[str, str], now: datetime, skipped: list[SkippedRecord]
    ) -> Iterator[JobRecord]:
        path, state = parse.workflow_path(row), fields.optional_text(row, "state")
        parsed = self._definitions.of(path, skipped)
        definition = parsed or GitHubWorkflow()
        if state == DISABLED_BY_INACTIVITY:
            self.asleep[job] = PAUSE_REASONS[DISABLED_BY_INACTIVITY]
        yield JobRecord(
            native_id=job,
            title=title,
            schedule=_workflow_schedule(definition, state, now),
            paused=state != ACTIVE_STATE,
            upstreams=tuple(sorted({named[name] for name in definition.after if name in named} - {job})),
            definition=f"{path}: on {', '.join(definition.triggers)}" if definition.triggers else path,
            definition_hash=self._definitions.hash_of(path),
            native_url=parse.run_url(row),
        )
        for task in definition.tasks:
            yield JobRecord(
                native_id=f"{job}.{task.name}",
                title=task.title,
                parent=job,
                upstreams=tuple(f"{job}.{name}" for name in task.needs),
                definition=task.definition,
                native_url=parse.run_url(row),
            )


def _workflow_identity(item: Any, repository: str) -> tuple[str, str, fields.Row] | None:
    """Job, title and row of a workflow; None for a deleted one. Raises RecordUnreadable."""
    row = fields.table(item)
    if fields.text(row, "state") == "deleted":
        return None
    fields.positive(row, "id")
    return parse.workflow_job_id(repository, parse.workflow_path(row)), fields.optional_text(row, "name"), row


def _workflow_schedule(definition: GitHubWorkflow, state: str, now: datetime) -> Schedule:
    """A single expression unchanged; for several the next instant of all, since no dialect combines them."""
    asleep = PAUSE_REASONS.get(state, "")
    if not definition.crons:
        started = ", ".join(definition.triggers)
        return Schedule("none", text="; ".join(part for part in (f"on {started}" if started else "", asleep) if part))
    lines = [f"{cron} {zone}" for cron, zone in definition.crons]
    text = "; ".join([*lines, *([asleep] if asleep else [])])
    if len(definition.crons) == 1:
        (cron, zone), *_ = definition.crons
        return Schedule("github", cron, zone, text=asleep, window=QUEUE)
    following = []
    for cron, zone in definition.crons:
        with suppress(CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError, OSError):
            following.append(next(CronSim(single_steps(cron), now.astimezone(ZoneInfo(zone)))).astimezone(UTC))
    next_at = min(following, default=None) if state == ACTIVE_STATE else None
    return Schedule("github", text=text, next_at=next_at, window=QUEUE)


class WorkflowFiles:
    def __init__(self, client: GitHubClient) -> None:
        self._client = client
        self._hashes: dict[str, str] | None = None
        self._branch = ""
        self._read: dict[str, tuple[str, GitHubWorkflow]] = {}

    def refresh(self) -> None:
        reply = self._client.workflow_folder()
        rows = fields.tables(reply.json() if reply.status == 200 else [])
        entries = fields.readable(rows, lambda row: (fields.text(row, "path"), fields.text(row, "sha")))
        self._branch = fields.optional_text(self._client.repository_row().table(), "default_branch")
        self._hashes = dict(entries)

    @property
    def default_branch(self) -> str:
        if self._hashes is None:
            self.refresh()
        return self._branch

    def hash_of(self, path: str) -> str:
        return (self._hashes or {}).get(path, "")

    def of(self, path: str, skipped: list[SkippedRecord] | None = None) -> GitHubWorkflow | None:
        """The parsed workflow by its file's path; None if the file is unreadable, which is noted in `skipped`."""
        if self._hashes is None:
            self.refresh()
        digest = self.hash_of(path)
        if not digest:
            self._read.pop(path, None)
            return None
        cached = self._read.get(path)
        if cached is None or cached[0] != digest:
            try:
                reply = self._client.file(path)
                row = fields.table(reply.json()) if reply.status == 200 else {}
                with fields.reading("its content"):
                    text = base64.b64decode(fields.text(row, "content")).decode("utf-8")
                cached = digest, parse.parse_workflow(text)
            except RecordUnreadable as error:
                if skipped is not None:
                    skipped.append(SkippedRecord(path, str(error)))
                return None
            self._read[path] = cached
        return cached[1]


def find_workflow(client: GitHubClient, job: str) -> fields.Row:
    """The row of a workflow. Raises ActionRefused where GitHub has none of this name."""
    rows, _, complete = read_workflows(client)
    workflows = fields.readable(rows, lambda row: _workflow_identity(row, client.repository))
    for workflow in filter(None, workflows):
        if workflow[0] == job:
            return workflow[2]
    if not complete:
        raise SystemUnreachable("GitHub: the list of workflows does not end")
    raise ActionRefused(f"GitHub has no workflow {job}: its jobs start with it, never alone")


def active_runs_note(client: GitHubClient, workflow: int, but: int = 0) -> str | None:
    rows = fields.tables(client.runs_of(workflow, status="in_progress").rows("workflow_runs"))
    names = [f"#{row.get('run_number')} ({row.get('status')})" for row in rows if row["id"] != but]
    return fields.clean(f"other runs are active: {', '.join(names[:5])}") if names else None
