"""All that is told of a run: its attempts, and of each its jobs as tasks.

Jobs cost a request for each attempt. They are read of what is open or not green, of what was run again, and of
workflows whose jobs may fail and leave the run green; not of runs that are too old to be run again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, RunRecord, State
from connectors.gathered import Gathered
from connectors.github_actions import parse
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.definitions import Definitions

RERUN_WITHIN = timedelta(days=30)  # "up to 30 days after its initial run", Re-running workflows, GitHub docs
MOST_ATTEMPTS = 20
JOB_PAGES = 50
"""Of one attempt: 5,000 jobs."""
MOST_KEPT = 2000
MOST_REQUESTS = 80
"""A poll, for attempts and jobs: 20 such polls would take a third of an hour's 5,000."""
RESERVE = 0.3
"""Share of a call's time in which no further attempt or job is asked for."""


class AttemptReader:
    """Tells runs of one repository whole. Attempts that ended are remembered."""

    def __init__(self, client: GitHubClient, definitions: Definitions) -> None:
        self._client, self._definitions = client, definitions
        self._ended: OrderedDict[str, tuple[str, list[RunRecord]]] = OrderedDict()
        """Attempt -> its row's last change, and what was told of it."""
        self._left = 0
        self.owed: dict[int, None] = {}
        """Runs whose attempts or jobs were not all read in this poll, the first that was left first."""
        self._asked: Collection[int] = ()

    def begin(self, asked: Collection[int] = ()) -> None:
        """A new poll. `asked`: runs whose jobs are read whatever they are, since some are thought open."""
        self._left, self._asked = MOST_REQUESTS, asked
        self.owed = {}

    def told(self, row: fields.Row, now: datetime, found: Gathered) -> list[RunRecord]:
        """Every attempt of a run with its tasks, the oldest first. Raises RecordUnreadable."""
        number, latest = parse.id_of(row), parse.attempt_of(row)
        records: list[RunRecord] = []
        recent = now - (fields.instant(row, "created_at") or now) < RERUN_WITHIN
        if latest > MOST_ATTEMPTS:
            found.warn(f"run {number} was attempted {latest} times: the latest {MOST_ATTEMPTS} are told")
        for attempt in range(max(1, latest - MOST_ATTEMPTS + 1), latest):
            records += self._earlier(number, attempt, recent, found)
        return records + self._whole(row, recent, found)

    def _earlier(self, number: int, attempt: int, recent: bool, found: Gathered) -> list[RunRecord]:
        known = self._ended.get(parse.key_of(number, attempt))
        if known is not None:
            return known[1]
        if not self.may_ask(number):
            return []
        reply = self._client.attempt(number, attempt)
        if reply.status == 404:
            return []
        row = reply.table()
        if (parse.id_of(row), parse.attempt_of(row)) != (number, attempt):
            raise RecordUnreadable(f"the answer is about another attempt than {number}.{attempt}")
        return self._whole(row, recent, found)

    def _whole(self, row: fields.Row, recent: bool, found: Gathered) -> list[RunRecord]:
        record = parse.run(row, self._client.repository)
        changed, known = fields.words(row, "updated_at"), self._ended.get(record.attempt_key)
        if known is not None and known[0] == changed:
            return known[1]
        definition = self._definitions.of(parse.path_of(row)) if recent else None
        wanted = parse.id_of(row) in self._asked or record.again_of or wants_jobs(record)
        soft = definition is not None and definition.is_soft
        if not recent or not (wanted or soft) or not self.may_ask(parse.id_of(row)):
            return [record]
        jobs = self._jobs(record, found)
        if jobs is None:
            return [record]
        by_task: dict[str, list[parse.Job]] = {}
        for one in jobs:
            name = definition.task_of(one.shown) if definition is not None else None
            if name is not None:
                by_task.setdefault(name, []).append(one)
        told = [parse.with_jobs(record, jobs), *(parse.task(record, *one) for one in sorted(by_task.items()))]
        if record.ended_at is not None:
            self._keep(record.attempt_key, (changed, told))
        return told

    def _jobs(self, record: RunRecord, found: Gathered) -> list[parse.Job] | None:
        """None where there was no time, or no request left, for all of them."""
        number, attempt = (int(part) for part in record.attempt_key.split("."))
        jobs: list[parse.Job] = []
        rows = _job_rows(self._client, number, attempt, lambda: self.may_ask(number))
        if rows is None:
            return None
        if len(rows) >= JOB_PAGES * PAGE_LIMIT:
            found.warn(f"attempt {record.attempt_key} has more than {len(rows)} jobs: the others are not read")
        for row in rows:
            try:
                jobs.append(parse.job(row))
            except RecordUnreadable as error:
                found.skip("jobs", error, row)
        return jobs

    def may_ask(self, number: int) -> bool:
        """Whether one more request may be spent on a run; what may not is owed."""
        self._left -= 1
        if self._left >= 0 and self._client.deadline.left > self._client.deadline.seconds * RESERVE:
            return True
        self.owed[number] = None
        return False

    def _keep(self, key: str, told: tuple[str, list[RunRecord]]) -> None:
        self._ended[key] = told
        while len(self._ended) > MOST_KEPT:
            self._ended.popitem(last=False)


def wants_jobs(record: RunRecord) -> bool:
    """Whether the jobs of an attempt tell more than the attempt itself: it has begun, and is not green."""
    return record.state is State.RUNNING or record.state.is_red or record.state is State.UNKNOWN


def job_rows(client: GitHubClient, run: int, attempt: int) -> Sequence[Any]:
    """The rows of an attempt's jobs; none where it is gone."""
    return _job_rows(client, run, attempt, lambda: True) or ()


def _job_rows(client: GitHubClient, run: int, attempt: int, may_ask: Callable[[], bool]) -> list[Any] | None:
    """The same; None where a further page was not allowed."""
    rows: list[Any] = []
    for page in range(1, JOB_PAGES + 1):
        reply = client.jobs(run, attempt, page)
        some = fields.rows(reply.table().get("jobs")) if reply.status == 200 else []
        rows += some
        if len(some) < PAGE_LIMIT or page == JOB_PAGES:
            break
        if not may_ask():
            return None
    return rows
