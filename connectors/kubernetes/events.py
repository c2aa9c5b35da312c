"""Events of the CronJob controller: why nothing was started, and runs whose Job came and went unseen.

Events live for an hour; routine ones (a Job was created, deleted) are not read. After a list, events of a CronJob name
the Jobs that it made, and the CronJob itself its latest start: Deleted Jobs are reported from these. While changes are
read every Job is seen, also one deleted at once. A run that never began has neither event nor start, so it stays
missed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from connectors.kubernetes import parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import read_objects
from connectors.sdk import fields
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import RunRecord, instant_key
from connectors.sdk.states import RunEvidence, RunState

ROUTINE_REASONS = ("SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob", "UnexpectedJob", "MissingJob")
NOT_STARTED_SELECTOR = "involvedObject.kind=CronJob," + ",".join(f"reason!={reason}" for reason in ROUTINE_REASONS)
COMPLETED_MESSAGE = re.compile(r"Saw completed job: (\S+), status: (\w+)")
CREATED_MESSAGE = re.compile(r"Created job (\S+)")
MAX_WARNINGS = 20
MAX_EVENT_PAGES = 20


def report_start_failures(client: KubernetesClient, result: PollResult) -> None:
    """Warns of each CronJob that did not start, with the controller's message."""
    reply = client.events(NOT_STARTED_SELECTOR)
    if reply.status != 200:
        result.warn("events cannot be read: why a CronJob did not start stays unknown (right: list events)")
        return

    def event_text(event: fields.Row) -> str:
        about, reason = fields.table(event.get("involvedObject")), fields.text(event, "reason")
        subject, at = f"{fields.text(about, 'namespace')}/{fields.text(about, 'name')}", _event_time(event)
        when = f" at {at:%Y-%m-%d %H:%M:%S}Z" if at else ""
        return f"{subject}: {reason}{when}: {masked_head(fields.optional_text(event, 'message'), 300)}"

    for text in fields.readable(fields.tables(reply.table().get("items")), event_text)[:MAX_WARNINGS]:
        result.warn(text)


def _event_time(event: fields.Row) -> datetime | None:
    return fields.instant(event, "lastTimestamp") or fields.instant(event, "eventTime")


@dataclass(frozen=True, slots=True)
class CronJobEvent:
    namespace: str
    cronjob: str
    job: str
    at: datetime
    detail: str = ""
    """Of one that ended: "Complete" or "Failed"."""


def completed_jobs(client: KubernetesClient, cronjob: str = "", namespace: str = "") -> Iterator[CronJobEvent]:
    """Jobs that ended within the hour that events live; of one CronJob, or of all."""
    where = f",involvedObject.namespace={namespace},involvedObject.name={cronjob}" if cronjob else ""
    yield from _read_events(client, f"reason=SawCompletedJob{where}", COMPLETED_MESSAGE)


def _read_events(client: KubernetesClient, where: str, pattern: re.Pattern[str]) -> Iterator[CronJobEvent]:
    following = ""
    for _ in range(MAX_EVENT_PAGES):
        reply = client.events(f"involvedObject.kind=CronJob,{where}", following)
        if reply.status != 200:
            return
        table = reply.table()
        events = fields.readable(fields.rows(table.get("items")), lambda row: _parse_event(fields.table(row), pattern))
        yield from (event for event in events if event is not None)
        following = str(fields.subtable(table, "metadata").get("continue") or "")
        if not following:
            return


def _parse_event(event: fields.Row, pattern: re.Pattern[str]) -> CronJobEvent | None:
    about, match = fields.table(event.get("involvedObject")), pattern.match(fields.optional_text(event, "message"))
    at = _event_time(event)
    if match is None or at is None:
        return None
    detail = match[2] if pattern.groups > 1 else ""
    return CronJobEvent(fields.text(about, "namespace"), fields.text(about, "name"), match[1], at, detail)


@dataclass(slots=True)
class KubernetesListedJobs:
    """The Jobs of CronJobs in a list: their names, and by CronJob the latest instant."""

    names: set[tuple[str, str]] = field(default_factory=set)
    latest: dict[str, datetime] = field(default_factory=dict)
    is_whole: bool = False
    """False where a missing Job proves nothing: no list was read, or another connector read the changes before."""

    def add(self, job: parse.KubernetesJob) -> None:
        if job.kind == "CronJob":
            self.names.add((job.namespace, job.name))
            if job.at is not None:
                self.latest[job.job] = max(job.at, self.latest.get(job.job, job.at))


def report_vanished_runs(
    client: KubernetesClient,
    watched: Callable[[str], bool],
    listed: KubernetesListedJobs,
    since: datetime | None,
    result: PollResult,
) -> None:
    """A record for each Job that a CronJob created after `since` and that no longer exists."""
    if not listed.is_whole:
        return
    ends = {(event.namespace, event.job): event for event in completed_jobs(client)}
    reported: set[tuple[str, datetime]] = set()
    for created in _read_events(client, "reason=SuccessfulCreate", CREATED_MESSAGE):
        job, name = f"{created.namespace}/{created.cronjob}", (created.namespace, created.job)
        at = parse.scheduled_time_in_name(created.cronjob, created.job)
        is_known = since is not None and created.at < since
        if is_known or at is None or not watched(job) or name in listed.names:
            continue
        reported.add((job, at))
        result.add(_vanished_record(job, created.job, at, created.at, ends.get(name)))
    for job, at in _latest_starts(client, watched, since):
        latest = listed.latest.get(job)
        if (job, at) not in reported and (latest is None or latest < at):
            namespace, _, cronjob = job.partition("/")
            made = f"{cronjob}-{int(at.timestamp()) // 60}"
            result.add(_vanished_record(job, made, at, at, ends.get((namespace, made))))


def _latest_starts(
    client: KubernetesClient, watched: Callable[[str], bool], since: datetime | None
) -> Iterator[tuple[str, datetime]]:
    """For which instant each CronJob made its latest Job, where that is after `since`."""
    for row, _ in read_objects(client.cronjobs):
        try:
            meta = parse.parse_metadata(fields.table(row))
            at = fields.instant(fields.subtable(row, "status"), "lastScheduleTime")
        except RecordUnreadable:
            continue  # the inventory reports unreadable rows
        job = f"{meta['namespace']}/{meta['name']}"
        if at is not None and watched(job) and (since is None or at > since):
            yield job, at


def _vanished_record(job: str, name: str, at: datetime, started: datetime, end: CronJobEvent | None) -> RunRecord:
    state = parse.COMPLETION_STATES.get(end.detail) if end is not None else None
    return RunRecord(
        job=job,
        attempt_key=f"name:{name}",
        state=state or RunState.UNKNOWN,
        native_state=f"SawCompletedJob: {end.detail}" if end and state else "lastScheduleTime",
        evidence=RunEvidence.NATIVE if state else RunEvidence.INFERRED,
        period_key=instant_key(at),
        period_at=at,
        started_at=started,
        ended_at=max(end.at, started) if end and state else None,
        message=f"its Job {name} was made and is deleted: "
        + ("its end is known from an event of its CronJob" if state else "its end is unknown"),
    )
