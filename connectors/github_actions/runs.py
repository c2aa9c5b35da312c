"""Polling runs with their attempts and jobs.

First the history, oldest first, in windows of creation time: GitHub lists at most 1,000 runs of a window, newest
first, so windows hold fewer and their pages are read from the last to the first; a run that is deleted meanwhile moves
others to pages that are still to be read. Then each poll reads the newest runs, those in progress, and one of the
older pages in turns: GitHub has no filter by change, and an old run that runs again keeps its place in the list.
Unchanged pages are answered 304 and are free.

Jobs cost a request for each attempt. They are read for attempts that are open or not successful, for reruns, and for
workflows whose jobs may fail and leave the run green; not for runs too old to be run again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from connectors.github_actions import parse
from connectors.github_actions.client import MAX_RESULTS, PAGE_LIMIT, GitHubClient
from connectors.github_actions.inventory import WorkflowFiles
from connectors.sdk import fields
from connectors.sdk.errors import RecordUnreadable, SystemUnreachable
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.http import HttpReply
from connectors.sdk.vanished_runs import no_longer_listed

OVERLAP = timedelta(minutes=10)  # how late a run may come into the list behind its own creation
VISIBLE_AFTER = timedelta(seconds=60)
NEWEST_PAGES = 8
OLDER_PAGES = 10  # pages of the newest runs that are read again in turns: 1,000 runs
HISTORY = timedelta(days=90)
"""How far back the first poll reads."""
POLL_RESERVED_SHARE = 0.2


class GitHubPoller:
    def __init__(
        self,
        client: GitHubClient,
        attempts: GitHubAttemptReader,
        watched: Callable[[str], bool],
        events: Sequence[str],
        asleep: dict[str, str],
    ) -> None:
        self._client, self._attempts, self._watched, self._events = client, attempts, watched, events
        self._asleep = asleep
        self._reported = ReportedRuns()

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs two or three requests, mostly as 304."""
        result, seen = PollResult(), set[int]()
        self._attempts.begin({ref.run for open_run in open_runs if (ref := parse_reference(open_run)) and ref.task})
        newest = self._client.runs(1, keep=True)
        now = newest.clock.target if newest.clock else datetime.now(UTC)
        first = GitHubCursor((now - HISTORY).replace(microsecond=0), now)
        mark = result.cursor_or_first(cursor, first)

        def take(rows: list[Any]) -> None:
            for row in rows:
                self._add_row(row, now, seen, result)

        for run in mark.pending:  # previous polls had no requests left for them
            if self._attempts.may_request(run) and (reply := self._client.run(run)).status != 404:
                self._add_requested(reply.table(), run, now, seen, result)
        if mark.until is None:
            following = self._follow(mark, now, newest.rows("workflow_runs"), run_count(newest), take)
        else:  # history continues once the pending attempts fit into a poll
            following = (
                mark if len(self._attempts.pending) > MAX_JOB_REQUESTS else read_history(self._client, mark, take)
            )
        self._read_open_runs(open_runs, now, seen, result)
        following = replace(following, pending=tuple(self._attempts.pending))
        if following.pending:
            result.warn(f"attempts and jobs of {len(following.pending)} runs are read with the next polls")
        for job, why in self._asleep.items():
            result.warn(f"{job} is {why}; enable it again in GitHub if it is still wanted")
        has_more = mark.until is not None or following.until is not None
        seen_until = None if has_more or not result.complete else now - VISIBLE_AFTER
        poll = result.poll(fields.as_json(following), more=has_more, clock=newest.clock, seen_until=seen_until)
        return self._reported.filtered(poll, cursor)

    # where the runs come from

    def _follow(
        self, mark: GitHubCursor, now: datetime, rows: list[Any], total: int, take: Callable[[list[Any]], None]
    ) -> GitHubCursor:
        since = mark.at - OVERLAP
        for page in range(2, NEWEST_PAGES + 2):
            take(rows)
            if not _continues_before(rows, since):
                break
            if page > NEWEST_PAGES:
                return GitHubCursor(since, now)
            rows = self._client.runs(page).rows("workflow_runs")
        take(self._client.runs(1, keep=True, status="in_progress").rows("workflow_runs"))
        if total <= PAGE_LIMIT:
            return GitHubCursor(max(now, mark.at))
        older = self._client.runs(mark.older, keep=True).rows("workflow_runs")
        take(older)
        ends = mark.older >= OLDER_PAGES or not _continues_before(older, now - RERUN_PERIOD)
        return GitHubCursor(max(now, mark.at), older=2 if ends else mark.older + 1)

    def _read_open_runs(self, open_runs: Sequence[RunRef], now: datetime, seen: set[int], result: PollResult) -> None:
        for open_run in result.without_record(open_runs, self._client.deadline, POLL_RESERVED_SHARE):
            ref = parse_reference(open_run)
            if ref is None:
                continue
            if ref.run not in seen:
                reply = self._client.run(ref.run)
                if reply.status == 404:
                    result.add(vanished_run(open_run))
                    continue
                self._add_requested(reply.table(), ref.run, now, seen, result)
            is_read = ref.run in seen and ref.run not in self._attempts.pending
            if ref.task and (open_run.job, open_run.attempt_key) not in result.records and is_read:
                result.add(vanished_run(open_run))

    def _add_requested(self, row: Any, run: int, now: datetime, seen: set[int], result: PollResult) -> None:
        if row.get("id") != run:
            result.skip("runs", RecordUnreadable("the reply is about another run than requested"), row)
            result.complete = False
            return
        self._add_row(row, now, seen, result, requested=True)

    # records

    def _add_row(self, row: Any, now: datetime, seen: set[int], result: PollResult, requested: bool = False) -> None:
        try:
            row = fields.table(row)
            job = parse.workflow_job_id(self._client.repository, parse.workflow_path(row))
            event = fields.optional_text(row, "event")
            counts = self._watched(job) and fields.matches_any(event, self._events)
            if not (requested or counts) or (run := fields.positive(row, "id")) in seen:
                return
            records = self._attempts.records(row, now, result)
        except RecordUnreadable as error:
            result.skip("workflow_runs", error, row)
            return
        seen.add(run)
        result.add_all(records)


@dataclass(frozen=True, slots=True)
class GitHubReference:
    """The attempt of a run that a `native_ref` names; `task` is "" for the whole run."""

    run: PositiveInt
    attempt: PositiveInt = 1
    task: str = ""


def parse_reference(run: RunRef) -> GitHubReference | None:
    return fields.read_reference(GitHubReference, run.native_ref)


def vanished_run(run: RunRef) -> RunRecord:
    message = "GitHub no longer has this: it was deleted, or its job has another name, and its end was not seen"
    return no_longer_listed(run, "deleted", message)


def _continues_before(rows: list[Any], since: datetime) -> bool:
    last = created_at(rows[-1]) if len(rows) >= PAGE_LIMIT else None
    return last is not None and last > since


MAX_WINDOW_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class GitHubCursor:
    """All runs created before `at` are known. `until` set: a walk goes on and ends there; its window is `seconds`
    wide, and of that the pages from `page` down to 1 are still to be read (0: not started). Without it: `older` is the
    page of the list that is read again next."""

    at: datetime
    until: datetime | None = None
    seconds: Annotated[int, Field(ge=1, le=MAX_WINDOW_SECONDS)] = MAX_WINDOW_SECONDS
    page: Annotated[int, Field(ge=0, le=10)] = 0
    older: Annotated[int, Field(ge=2)] = 2
    pending: tuple[PositiveInt, ...] = ()
    """Runs whose attempts and jobs are still to be read."""

    @property
    def window_end(self) -> datetime:
        """The end of the present window, itself within it: GitHub's ranges hold both ends, in whole seconds."""
        assert self.until is not None, "only a walk has windows"
        return min(self.at + timedelta(seconds=self.seconds), self.until)


HISTORY_REQUESTS_PER_POLL = 6
SPARSE_ROWS = 200  # a window with fewer is followed by one twice as wide


def read_history(client: GitHubClient, mark: GitHubCursor, take: Callable[[list[Any]], None]) -> GitHubCursor:
    """Continues the walk; returns the cursor after it, without `until` at the end. `take` gets each page's rows. Raises
    SystemUnreachable for a list outside the request."""
    assert mark.until is not None, "a walk has an end"
    for _ in range(HISTORY_REQUESTS_PER_POLL):
        if mark.at >= mark.until:
            return GitHubCursor(mark.until)
        if mark.page:
            take(_request_page(client, mark, mark.page).rows("workflow_runs")[::-1])
            mark = replace(mark, page=mark.page - 1) if mark.page > 1 else _next_window(mark)
        else:
            mark = _read_window(client, mark, take)
        if client.deadline.left < client.deadline.seconds / 2:
            break
    return mark


def _read_window(client: GitHubClient, mark: GitHubCursor, take: Callable[[list[Any]], None]) -> GitHubCursor:
    """Reads a window's newest page and decides: complete, how many pages to read, or a narrower window."""
    reply = _request_page(client, mark, 1)
    total, rows = run_count(reply), reply.rows("workflow_runs")
    if total > MAX_RESULTS:
        if mark.seconds <= 1:
            raise SystemUnreachable(
                f"{reply.place}: {total} runs are said to be created within the second {mark.at:%Y-%m-%d %H:%M:%S};"
                f" no more than {MAX_RESULTS} are listed, so history cannot be read through"
            )
        narrower = min(mark.seconds // 2, mark.seconds * (MAX_RESULTS - 100) // total)
        return replace(mark, seconds=max(1, narrower))
    if total > PAGE_LIMIT and len(rows) == PAGE_LIMIT:
        return replace(mark, page=-(-total // PAGE_LIMIT))
    take(rows[::-1])
    return _next_window(mark, wider=total < SPARSE_ROWS)


def _next_window(mark: GitHubCursor, *, wider: bool = False) -> GitHubCursor:
    end = mark.window_end
    following = end if end > mark.at else mark.at + timedelta(seconds=1)
    seconds = min(mark.seconds * 2, MAX_WINDOW_SECONDS) if wider else mark.seconds
    return GitHubCursor(following, mark.until, seconds)


def _request_page(client: GitHubClient, mark: GitHubCursor, page: int) -> HttpReply:
    since, until = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (mark.at, mark.window_end))
    reply = client.runs(page, created=f"{since}..{until}")
    for row in reply.rows("workflow_runs")[:1]:
        at, second = created_at(row), timedelta(seconds=1)
        if at is not None and not mark.at - second < at < mark.window_end + second:
            raise SystemUnreachable(f"{reply.place} lists runs from outside of {since}..{until}: it ignores `created`")
    return reply


def run_count(reply: HttpReply) -> int:
    """Total number of matching runs; the number received if the reply has no total."""
    try:
        return fields.number(reply.table(), "total_count", len(reply.rows("workflow_runs")))
    except RecordUnreadable:
        return len(reply.rows("workflow_runs"))


def created_at(row: Any) -> datetime | None:
    try:
        return fields.instant(fields.table(row), "created_at")
    except RecordUnreadable:
        return None


RERUN_PERIOD = timedelta(days=30)  # "up to 30 days after its initial run", Re-running workflows, GitHub docs
MAX_ATTEMPTS = 20
JOB_PAGES = 50  # of one attempt: 5,000 jobs
MAX_CACHED_ATTEMPTS = 2000
MAX_JOB_REQUESTS = 80  # a poll, for attempts and jobs: 20 such polls would take a third of an hour's 5,000
ATTEMPTS_RESERVED_SHARE = 0.3  # share of a call's time in which no further attempt or job is requested


class GitHubAttemptReader:
    """Records of runs with all attempts and tasks, for one repository. Ended attempts are cached."""

    def __init__(self, client: GitHubClient, definitions: WorkflowFiles) -> None:
        self._client, self._definitions = client, definitions
        self._ended: OrderedDict[str, tuple[str, list[RunRecord]]] = OrderedDict()
        """Attempt -> its row's last change, and its records."""
        self._requests_left = 0
        self.pending: dict[int, None] = {}
        """Runs whose attempts or jobs were not all read in this poll, oldest first."""
        self._requested: Collection[int] = ()

    def begin(self, requested: Collection[int] = ()) -> None:
        """`requested`: runs whose jobs are always read, since the engine has some as open."""
        self._requests_left, self._requested = MAX_JOB_REQUESTS, requested
        self.pending = {}

    def records(self, row: fields.Row, now: datetime, result: PollResult) -> list[RunRecord]:
        """Every attempt of a run with its tasks, the oldest first. Raises RecordUnreadable."""
        number, latest = fields.positive(row, "id"), parse.parse_attempt(row)
        records: list[RunRecord] = []
        recent = now - (fields.instant(row, "created_at") or now) < RERUN_PERIOD
        if latest > MAX_ATTEMPTS:
            result.warn(f"run {number} was attempted {latest} times: only the latest {MAX_ATTEMPTS} are reported")
        for attempt in range(max(1, latest - MAX_ATTEMPTS + 1), latest):
            records += self._earlier(number, attempt, recent, result)
        return records + self._whole(row, recent, result)

    def _earlier(self, number: int, attempt: int, recent: bool, result: PollResult) -> list[RunRecord]:
        cached = self._ended.get(parse.attempt_key(number, attempt))
        if cached is not None:
            return cached[1]
        if not self.may_request(number):
            return []
        reply = self._client.attempt(number, attempt)
        if reply.status == 404:
            return []
        row = reply.table()
        if (fields.positive(row, "id"), parse.parse_attempt(row)) != (number, attempt):
            raise RecordUnreadable(f"the answer is about another attempt than {number}.{attempt}")
        return self._whole(row, recent, result)

    def _whole(self, row: fields.Row, recent: bool, result: PollResult) -> list[RunRecord]:
        record = parse.run_record(row, self._client.repository, self._definitions.default_branch)
        changed, cached = fields.optional_text(row, "updated_at"), self._ended.get(record.attempt_key)
        if cached is not None and cached[0] == changed:
            return cached[1]
        definition = self._definitions.of(parse.workflow_path(row)) if recent else None
        needs_jobs = record.state in (RunState.RUNNING, RunState.UNKNOWN) or record.state.is_red
        required = fields.positive(row, "id") in self._requested or record.again_of or needs_jobs
        soft = definition is not None and definition.is_soft
        if not recent or not (required or soft) or not self.may_request(fields.positive(row, "id")):
            return [record]
        number, attempt = (int(part) for part in record.attempt_key.split("."))
        rows = _read_job_pages(self._client, number, attempt, lambda: self.may_request(number))
        if rows is None:  # time or requests ran out
            return [record]
        if len(rows) >= JOB_PAGES * PAGE_LIMIT:
            result.warn(f"attempt {record.attempt_key} has more than {len(rows)} jobs: the others are not read")
        jobs = fields.readable(rows, parse.parse_job, "jobs", result.skipped)
        by_task: dict[str, list[parse.GitHubJob]] = {}
        for job in jobs:
            name = definition.task_of(job.display_name) if definition is not None else None
            if name is not None:
                by_task.setdefault(name, []).append(job)
        records = [
            parse.record_with_jobs(record, jobs),
            *(parse.task_record(record, *item) for item in sorted(by_task.items())),
        ]
        if record.ended_at is not None:
            self._ended[record.attempt_key] = changed, records
            while len(self._ended) > MAX_CACHED_ATTEMPTS:
                self._ended.popitem(last=False)
        return records

    def may_request(self, number: int) -> bool:
        """Whether one more request may be spent on a run; otherwise the run becomes pending."""
        self._requests_left -= 1
        deadline = self._client.deadline
        if self._requests_left >= 0 and deadline.left > deadline.seconds * ATTEMPTS_RESERVED_SHARE:
            return True
        self.pending[number] = None
        return False


def read_job_rows(client: GitHubClient, run: int, attempt: int) -> Sequence[Any]:
    """The rows of an attempt's jobs; none if it was deleted."""
    return _read_job_pages(client, run, attempt, lambda: True) or ()


def _read_job_pages(client: GitHubClient, run: int, attempt: int, may_request: Callable[[], bool]) -> list[Any] | None:
    rows: list[Any] = []
    for page in range(1, JOB_PAGES + 1):
        reply = client.jobs(run, attempt, page)
        page_rows = fields.rows(reply.table().get("jobs")) if reply.status == 200 else []
        rows += page_rows
        if len(page_rows) < PAGE_LIMIT or page == JOB_PAGES:
            break
        if not may_request():
            return None
    return rows
