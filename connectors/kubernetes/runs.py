"""Polling Jobs: part of the list of all Jobs, then what changed since, with the pods of Jobs that run or failed.

Changes come from a watch, which reports a deleted Job with its last state: no history limit and no TTL hides an end
while changes are read. If they were not read (first poll, expired resourceVersion), missing Jobs are reported as
vanished. Pods are read in batches, by the names of their Jobs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import NonNegativeInt

from connectors.kubernetes import events, parse
from connectors.kubernetes.client import GONE_STATUS, MAX_PODS, KubernetesClient
from connectors.kubernetes.events import KubernetesListedJobs, report_vanished_runs
from connectors.kubernetes.parse import KubernetesJob, KubernetesPod, pods_by_job
from connectors.sdk import fields
from connectors.sdk.errors import AccessRefused, RecordUnreadable, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import HistoryGap, Poll, RunRef, SkippedRecord, TargetClock
from connectors.sdk.states import RunState
from connectors.sdk.transport.http import HttpAnswerTooLarge, HttpReply

PAGES_PER_POLL = 4
MAX_OPEN_RUNS_READ = 100
"""Open Jobs read individually per poll."""
MAX_VANISHED_READ = 20
"""Deleted Jobs whose events are read per poll."""
RESERVED_TIME_SHARE = 0.25
"""Share of a call's time in which no request for single runs or pods is started."""
VISIBLE_AFTER = timedelta(seconds=2)
QUIET_SECONDS = 90
"""So long without a change, and the version is moved on; etcd is compacted every five minutes."""
AHEAD_SECONDS = 10
"""For how long a change may be delayed by the server's caches."""
CHANGES_EXPIRED = (
    "Kubernetes no longer has the changes since then: Jobs that began and were deleted in between stay unseen"
)
TOO_MANY_CHANGES = "more changed than one answer holds: Jobs that began and were deleted in between stay unseen"
OUT_OF_TIME = "not all open runs were read in time: the next poll reads the rest"


@dataclass(slots=True)
class ReadJobs:
    """Jobs read by one poll, by uid: present ones, and deleted ones in their last state."""

    rows: dict[str, KubernetesJob] = field(default_factory=dict)
    deleted: dict[str, KubernetesJob] = field(default_factory=dict)
    clock: TargetClock | None = None
    gaps: list[HistoryGap] = field(default_factory=list)
    result: PollResult = field(default_factory=PollResult)


class KubernetesPoller:
    def __init__(self, client: KubernetesClient, watched: Callable[[str], bool]) -> None:
        self._client, self._watched = client, watched
        self._reported, self._listed = ReportedRuns(), KubernetesListedJobs()
        self._open: dict[str, KubernetesJob] = {}
        """Open Jobs by uid, as last reported; valid as long as the cursor is `_with`."""
        self._with = ""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs two requests, and one for the pods of what is open."""
        seen = ReadJobs()
        result = seen.result
        if cursor != self._with:
            self._open.clear()
            self._listed = KubernetesListedJobs()
        mark = result.cursor_or_first(cursor, KubernetesCursor())
        if not mark.listing:
            mark = self._follow(mark, seen)
        was_listed = mark.listing
        if mark.listing:
            if not mark.following:
                self._open.clear()
                self._listed = KubernetesListedJobs(is_whole=True)
                mark = replace(mark, last="")
            mark = self._list(mark, seen)
        self._open |= seen.rows
        for uid in [*seen.deleted, *(uid for uid, job in seen.rows.items() if job.is_over)]:
            self._open.pop(uid, None)
        if not mark.listing:
            seen.rows = {**self._open, **seen.rows}
            self._read_missing_runs(open_runs, seen)
            events.report_start_failures(self._client, result)
        self._add_records(seen)
        self._with = fields.as_json(mark)
        seen_until = seen.clock.target - VISIBLE_AFTER if seen.clock and result.complete and not was_listed else None
        poll = result.poll(self._with, more=mark.listing, clock=seen.clock, seen_until=seen_until, gaps=seen.gaps)
        return self._reported.filtered(poll, cursor)

    # where the rows come from

    def _follow(self, mark: KubernetesCursor, seen: ReadJobs) -> KubernetesCursor:
        until = datetime.now(UTC)
        try:
            reply = self._client.changes(mark.version)
        except HttpAnswerTooLarge:
            seen.gaps.append(HistoryGap(datetime.fromtimestamp(mark.at, UTC), until, TOO_MANY_CHANGES))
            return KubernetesCursor(at=mark.at)
        if reply.clock:
            seen.clock = replace(reply.clock, ours=until)  # it answers at once, and goes on for a while
        read = parse_watch(reply)
        seen.result.skipped += read.skipped
        for kind in read.unknown_kinds:
            seen.result.warn(f"a change of the kind {kind!r} is not known to Headway")
        for kind, row in read.rows:
            job = self._read(row, seen.result)
            if job is not None:
                (seen.deleted if kind == "DELETED" else seen.rows)[job.uid] = job
                if kind == "DELETED":
                    seen.rows.pop(job.uid, None)
        if read.is_expired:
            end = seen.clock.target if seen.clock else until
            seen.gaps.append(HistoryGap(datetime.fromtimestamp(mark.at, UTC), end, CHANGES_EXPIRED))
            return KubernetesCursor(at=mark.at)
        return self._moved(replace(mark, at=_server_seconds(reply)), read.version)

    def _moved(self, mark: KubernetesCursor, version: str) -> KubernetesCursor:
        """The cursor after the last change. The server forgets old versions after minutes: without a change for long, a
        version that was current at an earlier poll."""
        if version and version != mark.version:
            return replace(mark, version=version, moved=mark.at, ahead="")
        if mark.ahead and mark.at - mark.ahead_at >= AHEAD_SECONDS:
            return replace(mark, version=mark.ahead, moved=mark.at, ahead="")
        if not mark.ahead and mark.at - mark.moved >= QUIET_SECONDS:
            return replace(mark, ahead=resource_version(self._client.newest_version().table()), ahead_at=mark.at)
        return mark

    def _list(self, mark: KubernetesCursor, seen: ReadJobs) -> KubernetesCursor:
        for _ in range(PAGES_PER_POLL):
            reply = self._client.jobs(mark.following)
            seen.clock = reply.clock
            if reply.status != 200:
                seen.result.warn("the list of Jobs expired while it was read: the listing starts again")
                return KubernetesCursor(at=mark.at)
            mark = self._page(mark, reply, seen)
            if not mark.following:
                since = datetime.fromtimestamp(mark.at, UTC) if mark.at else None
                report_vanished_runs(self._client, self._watched, self._listed, since, seen.result)
                self._listed = KubernetesListedJobs()
                now = _server_seconds(reply)
                return KubernetesCursor(mark.version, now, listing=False, moved=now)
            if self._client.deadline.is_below(0.5):
                break
        return mark

    def _page(self, mark: KubernetesCursor, reply: HttpReply, seen: ReadJobs) -> KubernetesCursor:
        table = reply.table()
        items, meta = table.get("items"), table.get("metadata")
        if not isinstance(items, list) or not isinstance(meta, dict) or not resource_version(table):
            raise SystemUnreachable(f"{reply.place} is not a list of Jobs; is the url that of a cluster's API?")
        last = mark.last
        for row in items:
            job = self._read(row, seen.result)
            if job is None:
                continue
            seen.rows[job.uid] = job
            name = f"{job.namespace}/{job.name}"
            if mark.last and name <= mark.last:
                raise SystemUnreachable(f"{reply.place} lists {name} after {mark.last}: its pages do not end")
            last = max(last, name)
            self._listed.add(job)
        following = meta.get("continue")
        version = mark.version if mark.following else resource_version(table)
        return replace(mark, version=version, last=last, following=following if isinstance(following, str) else "")

    def _read(self, row: Any, result: PollResult) -> KubernetesJob | None:
        """A Job that is watched; None for others."""
        try:
            job = parse.parse_job(row)
        except RecordUnreadable as error:
            result.skip("jobs", error, row)
            return None
        return job if self._watched(job.job) else None

    def _read_missing_runs(self, open_runs: Sequence[RunRef], seen: ReadJobs) -> None:
        requests, lost, result = 0, 0, seen.result
        for open_run in open_runs:
            namespace, name, uid = parse.parse_reference(open_run)
            if not uid or uid in seen.rows or uid in seen.deleted:
                continue
            requests += 1
            if requests > MAX_OPEN_RUNS_READ or self._client.deadline.is_below(RESERVED_TIME_SHARE):
                result.mark_incomplete(OUT_OF_TIME)
                return
            try:
                reply = self._client.job(namespace, name)
            except AccessRefused as error:
                result.mark_incomplete(f"an open run can no longer be read: {error}")
                continue
            job = self._read(reply.table(), result) if reply.status == 200 else None
            if job is not None and job.uid == uid:
                seen.rows[uid] = job
                if not job.is_over:
                    self._open[uid] = job
                continue
            lost += 1
            space, cronjob, is_cron = parse.split_job_id(open_run.job)
            has_event = is_cron and lost <= MAX_VANISHED_READ
            ends = events.completed_jobs(self._client, cronjob, space) if has_event else ()
            result.add(parse.vanished_run(open_run, next((end.detail for end in ends if end.job == name), "")))

    # records

    def _add_records(self, seen: ReadJobs) -> None:
        pods = read_pods(self._client, [*seen.rows.values(), *seen.deleted.values()], seen.result)
        for uid, job in [*seen.rows.items(), *seen.deleted.items()]:
            try:
                record = parse.run_record(job, pods.get(uid, ()))
                if uid in seen.deleted and record.state.is_open:
                    record = parse.deleted_run(record, seen.clock.target if seen.clock else None)
            except RecordUnreadable as error:
                seen.result.skip("jobs", error, job.row)
                continue
            seen.result.add(record)
            if record.state is RunState.UNKNOWN:
                seen.result.warn(f"condition {record.native_state!r} of a Job is not known to Headway")


def _server_seconds(reply: HttpReply) -> int:
    return int((reply.clock.target if reply.clock else datetime.now(UTC)).timestamp())


@dataclass(frozen=True, slots=True)
class KubernetesCursor:
    """Position in the changes of Jobs. While a list is read: `listing`, `following` its next page, `last` the last
    Job reported, and `at` is the time of the previous state (0: none)."""

    version: str = ""
    """The resourceVersion after which changes are requested; "" before the first list."""
    at: NonNegativeInt = 0
    """When `version` was read, epoch seconds by the server's clock."""
    listing: bool = True
    following: str = ""
    last: str = ""
    moved: int = 0
    """When `version` last changed, as `at`."""
    ahead: str = ""
    """A later resourceVersion that was current at `ahead_at`: a later read from `version` covers everything before
    it."""
    ahead_at: int = 0


@dataclass(slots=True)
class KubernetesChanges:
    """Changes since a resourceVersion, in order."""

    rows: list[tuple[str, fields.Row]] = field(default_factory=list)
    """ADDED, MODIFIED or DELETED, and the Job as it is, or was at its end."""
    version: str = ""
    """The latest version reported; "" without any."""
    is_expired: bool = False
    """The server no longer has the changes since: everything must be listed again."""
    skipped: list[SkippedRecord] = field(default_factory=list)
    unknown_kinds: list[str] = field(default_factory=list)


def parse_watch(reply: HttpReply) -> KubernetesChanges:
    """Raises SystemUnreachable for a reply that is not a watch."""
    if reply.status == GONE_STATUS:
        return KubernetesChanges(is_expired=True)
    changes = KubernetesChanges()
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise reply.not_json(kind)
    for line in reply.body.splitlines():
        if line.strip():
            _add_event(line, reply, changes)
    return changes


def _add_event(line: bytes, reply: HttpReply, changes: KubernetesChanges) -> None:
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise SystemUnreachable(f"{reply.place} is not whole: a line of {len(line)} bytes is not JSON") from None
    try:
        kind, job = fields.text(fields.table(row), "type"), fields.table(row.get("object"))
    except RecordUnreadable as error:
        changes.skipped.append(fields.skipped("changes of Jobs", error, row))
        return
    if kind == "ERROR":
        if job.get("code") != GONE_STATUS:
            raise SystemUnreachable(f"{reply.place} ends with an error: {masked_head(str(job.get('message')), 200)}")
        changes.is_expired = True
        return
    if kind in ("ADDED", "MODIFIED", "DELETED"):
        changes.rows.append((kind, job))
    elif kind != "BOOKMARK":
        changes.unknown_kinds.append(kind)
    changes.version = resource_version(job) or changes.version


def resource_version(row: Any) -> str:
    """resourceVersion of an object or a list; "" without one. It is opaque and never compared."""
    version = fields.subtable(row, "metadata").get("resourceVersion")
    return version if isinstance(version, str) else ""


JOBS_PER_BATCH = 60
"""Names per request: they are part of its URL."""
MAX_BATCHES = 5
TOO_MANY_PODS = f"some Jobs have more than {MAX_PODS} pods together: exit codes and waiting reasons of some are unknown"


def read_pods(
    client: KubernetesClient, jobs: Iterable[KubernetesJob], result: PollResult
) -> dict[str, list[KubernetesPod]]:
    """By uid of the Job, unless it is complete. Where pods may not be read, none, and a warning."""
    names = sorted({job.name for job in jobs if "Complete" not in job.conditions or "Failed" in job.conditions})
    pods: dict[str, list[KubernetesPod]] = {}
    for number, first in enumerate(range(0, len(names), JOBS_PER_BATCH)):
        if number >= MAX_BATCHES or client.deadline.is_below(RESERVED_TIME_SHARE):
            result.warn("too many Jobs are open or failed at once: the pods of some are not read")
            break
        reply = client.pods(names[first : first + JOBS_PER_BATCH])
        if reply.status != 200:
            result.warn("pods cannot be read: exit codes and waiting reasons are unknown (right: list pods)")
            break
        table = reply.table()
        pods |= pods_by_job(fields.rows(table.get("items")))
        if fields.subtable(table, "metadata").get("continue"):
            result.warn(TOO_MANY_PODS)
    return pods
