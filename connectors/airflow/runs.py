"""Polling runs and tasks: changed ones, and open runs that did not change.

Each record gets what Airflow keeps elsewhere: the runs that wrote the assets it was started by (one request per run,
so cached), the full pool that a task waits for, and the question that a task asks a person (Airflow 3.1 and later).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from connectors.airflow import changes, parse
from connectors.airflow.changes import AirflowChangePages, AirflowCursor, AirflowRunChanges, rows_by_offset
from connectors.airflow.client import ALL_TASKS_PATH, EPOCH, PAGE_LIMIT, AirflowClient
from connectors.airflow.parse import AirflowPeriod, AirflowRunReference, AirflowTaskInstance, parse_reference
from connectors.sdk import fields
from connectors.sdk.errors import RateLimited, RecordUnreadable, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.poll_result import PollResult, ReportedRuns
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunState

TASK_HISTORY = timedelta(days=14)
"""How far back task instances are read at first; DAG runs are read as far back as Airflow has them."""

OPEN_RUNS_PER_POLL = 40
"""Open runs read individually; running ones are in the changes, since Airflow updates them every second."""

HISTORIES_PER_POLL = 30
"""Histories of tries that one poll reads, as its time allows; the next polls read the others."""
CACHED_HISTORIES = 20_000

RESERVED_TIME_SHARE = 0.2
"""Share of a call's time in which no request for a single run is started."""

CACHED_PERIODS = 50_000


TaskGroups = dict[parse.InstanceKey, list[AirflowTaskInstance]]
"""The instances of each task in each run."""
TriedInstances = dict[parse.InstanceKey, AirflowTaskInstance]


@dataclass(frozen=True, slots=True)
class AirflowCursors:
    runs: AirflowCursor = field(default_factory=lambda: AirflowCursor(EPOCH))
    tasks: AirflowCursor = field(default_factory=lambda: AirflowCursor(datetime.now(UTC) - TASK_HISTORY))


class AirflowPoller:
    """Polls one Airflow. Caches only what saves requests: periods of runs, and the records reported last."""

    def __init__(self, client: AirflowClient, base_url: str, patterns: Sequence[str]) -> None:
        self._client, self._base_url, self._patterns = client, base_url, patterns
        self._periods: dict[tuple[str, str], AirflowPeriod] = {}
        self._reported = ReportedRuns()
        self._attachments = (
            RunInputs(client, self.watched, self._periods.get),
            ApprovalQuestions(client),
            PoolReasons(client),
        )
        self._run_changes = AirflowRunChanges(client)
        self._turn = 0
        self._earlier_tries = EarlierTries(client, base_url, self._period)

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. Requests in a calm poll: two lists, one for failed tasks where runs ended."""
        result = PollResult()
        self._earlier_tries.begin(cursor)
        marks = result.cursor_or_first(cursor, AirflowCursors())
        runs, tasks = self._run_changes.read(marks.runs, open_runs), AirflowChangePages(marks.tasks)
        rows = [row for row in runs.rows if not isinstance(row, dict) or self._is_read(str(row.get("dag_id")))]
        red = self._failed_tasks(rows, result)
        for row in rows:
            self._add_run(row, red, result)
        if not runs.has_more or self._client.major > 2:  # tasks of Airflow 2 lack the period of their run: runs first
            tasks = self._changed_tasks(marks.tasks)
        self._cache_periods(tasks.rows)
        self._add_tasks(tasks.rows, open_runs, result)
        self._add_open_runs(open_runs, result)
        self._earlier_tries.add(result)
        for attachment in self._attachments:
            attachment.attach(result)
        for broken in (runs.broken, tasks.broken):
            if broken:
                result.complete = False
                result.warn(f"the list of changes was not read to its end: {broken}")
        following = fields.as_json(AirflowCursors(runs.mark, tasks.mark))
        self._earlier_tries.returned(following)
        seen_until = None if runs.has_more or runs.broken else runs.mark.since
        poll = result.poll(following, more=runs.has_more or tasks.has_more, clock=runs.clock, seen_until=seen_until)
        return self._reported.filtered(poll, cursor)

    def _cache_periods(self, rows: list[Any]) -> None:
        """Reads the period of runs that did not change lately and whose tasks lack it (Airflow 2), run by run."""
        if self._client.major != 2:
            return
        named = {_run_names(row) for row in fields.tables(rows)}
        for dag, run in sorted(named - self._periods.keys()):
            if self._is_late or not self._is_read(dag):
                continue
            reply = self._client.run(dag, run)
            with suppress(RecordUnreadable):
                if reply.status == 200:
                    row = reply.table()
                    started = fields.instant(row, "start_date")
                    self._periods[dag, run] = replace(parse.parse_period(row), run_started_at=started)

    def watched(self, dag: str) -> bool:
        return fields.matches_any(dag, self._patterns)

    def _is_read(self, dag: str) -> bool:
        """Whether runs of this DAG are reported: a subdag's task in its parent stands for it."""
        return self.watched(dag) and not self._client.is_subdag(dag)

    @property
    def _is_late(self) -> bool:
        return self._client.deadline.is_below(RESERVED_TIME_SHARE)

    # DAG runs

    def _add_run(self, row: Any, red: dict[tuple[str, str], list[str]], result: PollResult) -> RunRecord | None:
        try:
            key = fields.text(fields.table(row), "dag_id"), fields.text(row, "dag_run_id")
            record = parse.run_record(row, self._base_url, sorted(red.get(key, ())))
        except RecordUnreadable as error:
            result.skip("dagRuns", error, row)
            return None
        if record.state is RunState.UNKNOWN:
            result.warn(f"DAG run state {record.native_state!r} is not known to Headway")
        period = AirflowPeriod(record.period_key or key[1], record.period_at, record.interval_start, record.started_at)
        _cache(self._periods, key, period, CACHED_PERIODS)
        result.add(record)
        return record

    def _failed_tasks(self, rows: list[Any], result: PollResult) -> dict[tuple[str, str], list[str]]:
        """Failed and blocked tasks of ended runs: a run with failed tasks is a success if its last tasks passed."""
        ended_rows = (row for row in fields.tables(rows) if row.get("state") in ("success", "failed"))
        ended = list(dict.fromkeys(map(_run_names, ended_rows)))  # two lists, or two pages, may share a run
        red: dict[tuple[str, str], list[str]] = {}
        for first in range(0, len(ended), 100):
            runs = set(ended[first : first + 100])
            body = {**_names_filter(runs), "state": ["failed", "upstream_failed"]}
            answer = read_named_instances(self._client, body, result)
            for instance in (instance for instance in answer.read if instance.key[:2] in runs):
                red.setdefault(instance.key[:2], []).append(f"{parse.instance_name(instance)} ({instance.native})")
            for dag, run, task in map(_row_names, answer.unread):
                if (dag, run) in runs:
                    red.setdefault((dag, run), []).append(f"{task or 'a task without a name'} (cannot be read)")
        return red

    # tasks

    def _changed_tasks(self, mark: AirflowCursor) -> AirflowChangePages:
        """The next pages of the walk over tasks. After a walk over runs that failed, this one may fail too: then the
        mark stays, and the tasks of open runs are read by their names."""
        if not self._run_changes.failure:
            return changes.read_changes(self._client, ALL_TASKS_PATH, "task_instances", mark, keep=0.4)
        try:
            return changes.read_part(self._client, ALL_TASKS_PATH, "task_instances", mark)
        except RateLimited:
            raise
        except SystemUnreachable as error:
            return AirflowChangePages(mark, broken=f"task_instances: {error}")

    def _add_tasks(self, rows: Sequence[Any], open_runs: Sequence[RunRef], result: PollResult) -> None:
        instances = fields.readable(rows, parse.parse_instance, "taskInstances", result.skipped)
        changed = _grouped(instance for instance in instances if self._is_read(instance.key[0]))
        mapped = [key for key, group in changed.items() if any(instance.map_index >= 0 for instance in group)]
        for first in range(0, len(mapped), 50):
            batch = set(mapped[first : first + 50])
            answer = read_named_instances(self._client, _names_filter(batch), result)
            changed |= _grouped(instance for instance in answer.read if instance.key in batch)
            changed = {key: group for key, group in changed.items() if not answer.is_partly_read(key)}
        self._add_groups(changed, open_runs, result)

    def _add_groups(self, groups: TaskGroups, open_runs: Sequence[RunRef], result: PollResult) -> None:
        for group in groups.values():
            try:
                result.add(parse.task_record(group, self._period(group[0]), self._base_url))
            except RecordUnreadable as error:
                result.skip("taskInstances", error, dict(group[0].row))
            for instance in group:
                if instance.state is RunState.UNKNOWN:
                    result.warn(f"task state {instance.native!r} is not known to Headway")
        self._earlier_tries.note(groups)
        for open_run in open_runs:
            at = parse_reference(open_run)
            current = groups.get((at.dag, at.run, at.task)) if at else None
            if current and not result.has_record_of(open_run):
                result.add(parse.superseded_run(open_run, self._period(current[0])))

    def _period(self, instance: AirflowTaskInstance) -> AirflowPeriod:
        return self._periods.get(instance.key[:2]) or parse.parse_period(instance.row)

    # open runs that did not show up

    def _add_open_runs(self, open_runs: Sequence[RunRef], result: PollResult) -> None:
        missing = [open_run for open_run in open_runs if not result.has_record_of(open_run)]
        turn = self._turn % len(missing) if missing else 0
        batch = (missing[turn:] + missing[:turn])[:OPEN_RUNS_PER_POLL]
        self._turn = turn + len(batch)
        self._add_open_tasks([(run, at) for run in batch if (at := parse_reference(run)) and at.task], result)
        runs = [(run, at) for run in missing if (at := parse_reference(run)) and not at.task]
        listed = read_open_runs(self._client, (at.dag for _, at in runs))
        remaining = OPEN_RUNS_PER_POLL
        first = turn % len(runs) if runs else 0
        for open_run, at in runs[first:] + runs[:first]:
            row = listed.get((at.dag, at.run))
            if row is None and remaining and not self._is_late:
                remaining -= 1
                row = self._request_open_run(open_run, at, result)
            record = self._add_run(row, self._failed_tasks([row], result), result) if row is not None else None
            if record is not None and not result.has_record_of(open_run):
                result.add(parse.superseded_run(open_run, self._periods[at.dag, at.run]))

    def _request_open_run(self, open_run: RunRef, at: AirflowRunReference, result: PollResult) -> fields.Row | None:
        """The run as it is now; None, with a record or a reason in the result, where the server has none."""
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            result.add(parse.vanished_run(open_run))
            return None
        row = reply.table()
        if (row.get("dag_id"), row.get("dag_run_id")) != (at.dag, at.run):
            result.skip("dagRuns", RecordUnreadable("the reply is about another run than requested"), row)
            return None
        return row

    def _add_open_tasks(self, tasks: Sequence[tuple[RunRef, AirflowRunReference]], result: PollResult) -> None:
        if not tasks:
            return
        keys = {(at.dag, at.run, at.task) for _, at in tasks}
        answer = read_named_instances(self._client, _names_filter(keys), result)
        groups = _grouped(instance for instance in answer.read if instance.key in keys)
        groups = {key: group for key, group in groups.items() if not answer.is_partly_read(key)}
        self._add_groups(groups, [open_run for open_run, _ in tasks], result)
        for open_run, at in tasks:
            if answer.is_gone((at.dag, at.run, at.task)):
                result.add(parse.vanished_run(open_run))


def _grouped(instances: Iterable[AirflowTaskInstance]) -> TaskGroups:
    """By task and run; of an instance that came twice, the later row."""
    groups: dict[parse.InstanceKey, dict[int, AirflowTaskInstance]] = {}
    for instance in instances:
        groups.setdefault(instance.key, {})[instance.map_index] = instance
    return {key: list(group.values()) for key, group in groups.items()}


def _run_names(row: fields.Row) -> tuple[str, str]:
    return str(row.get("dag_id")), str(row.get("dag_run_id"))


def _names_filter(keys: Iterable[tuple[str, ...]]) -> dict[str, list[str]]:
    """The body that asks for task instances by DAG, by run, and by task where the keys have one."""
    names = ("dag_ids", "dag_run_ids", "task_ids")
    return {name: sorted(set(parts)) for name, parts in zip(names, zip(*keys, strict=True), strict=False)}


def _cache(known: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Adds the value; drops the oldest ones above `most`."""
    while len(known) >= most:
        known.pop(next(iter(known)))
    known[key] = value


class EarlierTries:
    """Reads the tries of a task that came and went between two polls: the history of each instance whose try is not its
    first, once for each try. One per Airflow."""

    def __init__(
        self, client: AirflowClient, base_url: str, period: Callable[[AirflowTaskInstance], AirflowPeriod]
    ) -> None:
        self._client, self._base_url, self._period = client, base_url, period
        self._read: dict[parse.InstanceKey, int] = {}
        """By task of a run, the try before which all are stored."""
        self._unread: TriedInstances = {}
        self._reported: TriedInstances = {}
        """Those whose earlier tries the last poll reported."""
        self._following: str | None = None

    def begin(self, cursor: str) -> None:
        """Begins a poll. Records of the last one are stored if its cursor came back."""
        is_stored = self._following == cursor
        for key, instance in self._reported.items():
            if is_stored:
                _cache(self._read, key, instance.attempt, CACHED_HISTORIES)
            else:
                self._unread.setdefault(key, instance)
        self._reported, self._following = {}, None

    def note(self, groups: TaskGroups) -> None:
        for key, group in groups.items():
            if len(group) == 1 and group[0].map_index < 0 and group[0].attempt > self._read.get(key, 1):
                _cache(self._unread, key, group[0], CACHED_HISTORIES)

    def add(self, result: PollResult) -> None:
        """Adds the earlier tries of some of the noted instances; the next polls add those of the others."""
        for key, instance in list(self._unread.items())[:HISTORIES_PER_POLL]:
            if self._client.deadline.is_below(RESERVED_TIME_SHARE):
                break
            reply = self._client.tries(*key, instance.map_index)
            rows = fields.rows(reply.table().get("task_instances")) if reply.status == 200 else []
            for record in parse.earlier_try_records(instance, rows, self._period(instance), self._base_url):
                result.add(record)
            self._reported[key] = self._unread.pop(key)

    def returned(self, following: str) -> None:
        """Ends a poll that reports its records with this cursor."""
        self._following = following


ASSET_TRIGGERED = "asset_triggered"
MAX_REQUESTS_PER_POLL = 3
"""Requests of one poll; further runs get their inputs in a later one, newest first."""
MAX_CACHED_EDGES = 2000
MAX_INPUTS = 20
MAX_TRIES = 5
"""Of one run; Airflow 3.3.2 answers 500 while a run that the same update made has not started (seen)."""

RunKey = tuple[str, str]
"""DAG and run id."""


class RunInputs:
    """Reads the inputs of each run that an asset started, and caches them. A failed read is a warning and repeated."""

    def __init__(
        self, client: AirflowClient, watched: Callable[[str], bool], period: Callable[[RunKey], AirflowPeriod | None]
    ) -> None:
        self._client, self._watched, self._period = client, watched, period
        self._known: dict[RunKey, list[dict[str, str]]] = {}
        self._pending: dict[RunKey, RunRecord] = {}
        self._failed: Counter[RunKey] = Counter()

    def attach(self, result: PollResult) -> None:
        """Puts "inputs" into the context of each run that an asset started, as far as they are known."""
        for record in list(result.records.values()):
            if record.context.get("run_type") == ASSET_TRIGGERED:
                key = (record.job, str(record.context.get("run_id")))
                if key in self._known:
                    result.add(_with_inputs(record, self._known[key]))
                else:
                    self._pending[key] = record
        self._request_inputs(result)

    def _request_inputs(self, result: PollResult) -> None:
        remaining = MAX_REQUESTS_PER_POLL
        for key in [key for key in reversed(list(self._pending)) if self._pending[key].started_at]:
            if remaining <= 0 or self._client.deadline.is_below(0.25):
                break
            try:
                sources = self._sources(key)
                remaining -= 1 + len([source for source in sources if self._period(source) is None])
                periods = ((source, self._period(source) or self._read_period(source)) for source in sources)
                inputs = [
                    {"job": fields.clean(dag), "period_key": at.key} for (dag, _), at in periods if at is not None
                ]
            except SystemUnreachable as error:
                result.warn(f"which runs wrote the assets of {key[0]} {key[1]} could not be read: {error}")
                self._failed[key] += 1
                if self._failed[key] < MAX_TRIES:
                    break
                inputs = []
            _cache(self._known, key, inputs, MAX_CACHED_EDGES)
            result.add(_with_inputs(self._pending.pop(key), inputs))
        while len(self._pending) > MAX_CACHED_EDGES:
            self._pending.pop(next(iter(self._pending)))

    def _sources(self, key: RunKey) -> list[RunKey]:
        reply = self._client.upstream_events(*key)
        rows = fields.tables(reply.table().get("asset_events")) if reply.status == 200 else []
        named = ((row.get("source_dag_id"), row.get("source_run_id")) for row in rows)
        keys = {(dag, run): None for dag, run in named if isinstance(dag, str) and isinstance(run, str)}
        return [key for key in keys if self._watched(key[0])][:MAX_INPUTS]

    def _read_period(self, source: RunKey) -> AirflowPeriod | None:
        """None where Airflow no longer has the run, or it cannot be read."""
        reply = self._client.run(*source)
        try:
            return parse.parse_period(reply.table()) if reply.status == 200 else None
        except RecordUnreadable:
            return None


def _with_inputs(record: RunRecord, inputs: list[dict[str, str]]) -> RunRecord:
    return replace(record, context={**record.context, "inputs": inputs}) if inputs else record


MAX_LISTED = 20
"""Pages of one query of named task instances: 2,000 mapped instances."""


@dataclass(slots=True)
class NamedInstances:
    read: list[AirflowTaskInstance] = field(default_factory=list)
    unread: list[Any] = field(default_factory=list)
    """Rows that could not be read, as they came."""
    whole: bool = True
    """False if rows were left out, or belong to another query."""

    def is_gone(self, key: parse.InstanceKey) -> bool:
        """True if no row, readable or not, can be an instance of this task."""
        may_match = any(
            all(name in ("", part) for name, part in zip(_row_names(row), key, strict=True)) for row in self.unread
        )
        return self.whole and not may_match and all(instance.key != key for instance in self.read)

    def is_partly_read(self, key: parse.InstanceKey) -> bool:
        """True if an unreadable row names this task: its instances are incomplete."""
        return any(_row_names(row) == key for row in self.unread)


def _row_names(row: Any) -> tuple[str, ...]:
    """Dag, run and task of a row, "" for each that cannot be read."""
    names = (fields.subtable(row).get(name) for name in ("dag_id", "dag_run_id", "task_id"))
    return tuple(fields.clean(name) if isinstance(name, str) else "" for name in names)


def read_named_instances(client: AirflowClient, body: Mapping[str, Any], result: PollResult) -> NamedInstances:
    """Task instances by name, all pages, without those that were not requested. Raises InvalidAnswer."""
    answer = NamedInstances()
    listed = rows_by_offset(lambda offset: client.some_task_instances(body, offset), "task_instances", MAX_LISTED)
    names = [set(body[name]) for name in ("dag_ids", "dag_run_ids", "task_ids") if name in body]
    for row in listed.rows:
        try:
            instance = parse.parse_instance(row)
        except RecordUnreadable as error:
            result.skip("taskInstances", error, row)
            answer.unread.append(row)
            continue
        if all(part in allowed for part, allowed in zip(instance.key, names, strict=False)):
            answer.read.append(instance)
        else:
            answer.whole = False
            result.skip("taskInstances", RecordUnreadable("the reply is about another task than requested"), row)
    if not listed.is_whole:
        answer.whole = False
        result.warn(f"more than {MAX_LISTED * PAGE_LIMIT} task instances were requested at once; the rest is left out")
    return answer


RETRY_REFUSED_SECONDS = 600.0
"""How long pools are not read again by an account that may not read them."""


class PoolReasons:
    """Reads all pools if a task waits for a slot, at most once per poll. One per Airflow."""

    def __init__(self, client: AirflowClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._not_before = 0.0

    def attach(self, result: PollResult) -> None:
        """Names the pool in the message of each task that waits for a slot of a full pool."""
        waiting = [
            record for record in result.records.values() if _waits_for(record, "slot") and record.context.get("pool")
        ]
        full: dict[str, int] = {}
        if waiting and self._monotonic() >= self._not_before:
            try:
                full = self._full_pools()
            except SystemUnreachable as error:
                result.warn(f"pools could not be read: {error}")
        for record in waiting:
            slots = full.get(str(record.context["pool"]))
            if slots is not None:
                reason = f"pool {record.context['pool']} is full ({slots} slot{'s' * (slots != 1)})"
                result.add(_with_reason(record, reason))

    def _full_pools(self) -> dict[str, int]:
        """Slots by pool, of pools without a free one. A pool with -1 slots has no limit."""
        reply = self._client.pools()
        if reply.status != 200:
            self._not_before = self._monotonic() + RETRY_REFUSED_SECONDS
            return {}

        def parse_pool(pool: fields.Row) -> tuple[str, int, int]:
            return fields.text(pool, "name"), fields.number(pool, "slots", -1), fields.number(pool, "open_slots", 1)

        pools = fields.readable(fields.tables(reply.table().get("pools")), parse_pool)
        return {name: slots for name, slots, free in pools if slots >= 0 and free <= 0}


def _with_reason(record: RunRecord, reason: str) -> RunRecord:
    return replace(record, message=f"{reason}; {record.message}" if record.message else reason)


def _waits_for(record: RunRecord, reason: str) -> bool:
    return record.state is RunState.WAITING and record.reason == reason


MAX_CACHED_QUESTIONS = 1000
SUBJECT_CHARACTERS = 200


class ApprovalQuestions:
    """Reads open questions if a task waits with an unknown one. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], str] = {}
        """By job and attempt."""

    def attach(self, result: PollResult) -> None:
        """Puts the question into the message of each task that waits for an answer."""
        waiting = {key: record for key, record in result.records.items() if _waits_for(record, "approval")}
        if not waiting.keys() <= self._known.keys():
            while len(self._known) > MAX_CACHED_QUESTIONS:
                self._known.pop(next(iter(self._known)))
            try:
                reply = self._client.questions()
                rows = fields.rows(reply.table().get("hitl_details")) if reply.status == 200 else []
                self._known |= dict(fields.readable(rows, _parse_question))
                for key in waiting:
                    self._known.setdefault(key, "")
            except SystemUnreachable as error:
                result.warn(f"questions of tasks could not be read: {error}")
        for key, record in waiting.items():
            if question := self._known.get(key, ""):
                result.add(_with_reason(record, question))


def _parse_question(row: Any) -> tuple[tuple[str, str], str]:
    question = fields.table(row)
    instance = parse.parse_instance(question.get("task_instance"))
    job = parse.task_job_id(instance.key[0], instance.key[2])
    return (job, instance.attempt_key), question_text(question)


def question_options(question: Mapping[str, Any]) -> list[str]:
    return [fields.clean(option) for option in fields.rows(question.get("options")) if isinstance(option, str)]


def question_text(question: Mapping[str, Any]) -> str:
    """ "asks: Release the numbers? (Approve, Reject)". Raises RecordUnreadable."""
    subject = masked_head(fields.optional_text(question, "subject"), SUBJECT_CHARACTERS)
    return f"asks: {subject} ({', '.join(question_options(question))})"


MAX_OPEN_PAGES = 3
"""Pages per poll: 300 open runs; further ones are read individually, some in each poll."""
OPEN_STATES = ("queued", "running")


def read_open_runs(client: AirflowClient, dags: Iterable[str]) -> dict[tuple[str, str], Any]:
    """The open runs of these DAGs, by DAG and run id. Airflow 2 ignores a filter that it does not know, so the reply is
    compared with the request."""
    names = sorted(set(dags))
    if not names:
        return {}
    listed = rows_by_offset(partial(client.open_runs, names), "dag_runs", MAX_OPEN_PAGES)
    return {
        _run_names(row): row
        for row in fields.tables(listed.rows)
        if row.get("dag_id") in names and row.get("state") in OPEN_STATES
    }
