"""Runs that consist of parts (the jobs of a pipeline), and whose parts are tried again under the same run.

A part that is tried again is listed again under its name, so the attempts of a run are counted by its parts. An earlier
attempt ended as the parts that were tried again did; the latest has the state of the run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from connectors.http.client import RESERVED_SHARE, HttpApiClient, HttpPage, ListNotFound, PageWalk
from connectors.http.options import HttpChildrenCall, HttpJobRunsCall
from connectors.sdk.errors import AccessRefused, InvalidAnswer, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import (
    MAX_ID_CHARACTERS,
    changed_at,
    has_field,
    id_at,
    instant_at,
    jobs_of,
    read_run,
    state_of,
    text_at,
    value_at,
)
from connectors.sdk.fields import EPOCH, clean, digest, listed, masked_head
from connectors.sdk.records import RunRecord, RunRef, TargetClock
from connectors.sdk.states import ProofLevel, RunState
from connectors.sdk.vanished_runs import no_longer_listed

SUPERSEDED_MESSAGE = "a later attempt of the run began; the end of this one was not observed"
NOT_BEGUN = (RunState.WAITING, RunState.QUEUED)
MAX_PART_READS = 80  # lists of parts, and runs alone, that one poll reads
MAX_ATTEMPTS = 20
MAX_STARTS = 1_000_000
MAX_CACHED_RUNS = 2000
MAX_KNOWN_RUNS = 100_000
MAX_JOB_PAGES = 1000
RETRIES_CACHED_SECONDS = 300.0
LISTED_WITHIN = timedelta(minutes=10)
"""How long a job's list of runs may be behind the list of all runs."""


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A failed run that its source tries again."""

    run: RunRecord
    """The run once the next one is there."""
    following: str
    """The id of the next run; empty where it is not named yet."""


@dataclass(frozen=True, slots=True)
class PartTry:
    """One try of a part of a run."""

    id: str
    name: str
    state: RunState
    native_state: str
    started_at: datetime | None
    ended_at: datetime | None
    message: str
    account: str
    """The account that started this try; empty where unknown."""
    is_child: bool = False
    """Whether it is a run that the run started: it may end after the run, and has no log."""


def attempt_of(attempt_key: str) -> int:
    """The number of an attempt, from 1."""
    number = attempt_key.rpartition(".")[2]
    return int(number) if number.isascii() and number.isdigit() else 1


def tries_by_name(parts: Iterable[PartTry]) -> list[list[PartTry]]:
    """The tries of each part, the oldest first: ids grow."""
    tries: dict[str, list[PartTry]] = {}
    for part in sorted(parts, key=lambda part: (len(part.id), part.id)):
        tries.setdefault(part.name, []).append(part)
    return list(tries.values())


def parts_of_attempt(parts: Iterable[PartTry], number: int) -> list[PartTry]:
    """The tries that belong to an attempt; of the first one, all first tries."""
    return [tries[number - 1] for tries in tries_by_name(parts) if len(tries) >= number]


def attempt_records(run: RunRecord, parts: Sequence[PartTry], changed: datetime | None) -> list[RunRecord]:
    """A record for each attempt of the run, the oldest first. `changed`: when its row changed last."""
    tries = tries_by_name(parts)
    count = max(map(len, tries), default=1)
    earlier = [_earlier_attempt(run, number, tries) for number in range(max(1, count - MAX_ATTEMPTS + 1), count)]
    return [*earlier, _latest_attempt(run, count, tries, changed)]


def _numbered(run: RunRecord, number: int, **changes: Any) -> RunRecord:
    first = f"{run.native_ref}.1"
    return replace(
        run,
        attempt_key=f"{run.native_ref}.{number}",
        again_of=first if number > 1 else "",
        queued_at=run.queued_at if number == 1 else None,
        **changes,
    )


def _counted(run: RunRecord, count: Any, counts_starts: bool) -> RunRecord:
    """The run as the attempt that it is, by the number of its attempts, or of those that began. One that did not begin
    yet has no times: those of its row are of the attempt before. A run without a start and a number has no attempt
    yet. Raises RecordUnreadable."""
    if count is None and run.started_at is None:
        count = 0
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < MAX_STARTS:
        raise RecordUnreadable(f"its number of attempts is {masked_head(str(count), 60)!a}")
    if run.state in NOT_BEGUN:
        number = count + 1 if counts_starts else max(count, 1)
        return _numbered(run, number, started_at=None, ended_at=None)
    return _numbered(run, max(count, 1))


def _first_attempt(run: RunRecord, started: datetime) -> RunRecord:
    """The attempt with which the run began, where the list has only a later one."""
    first = RunRef(run.job, run.period_key or "", run.again_of, run.native_ref, started)
    return no_longer_listed(first, "superseded", SUPERSEDED_MESSAGE)


def _earlier_attempt(run: RunRecord, number: int, tries: list[list[PartTry]]) -> RunRecord:
    repeated = [parts[number - 1] for parts in tries if len(parts) > number]
    worst = min(repeated, key=lambda part: (not part.state.is_red, part.id))
    ended = max((part.ended_at for part in repeated if part.ended_at), default=None)
    starts = [parts[number - 1].started_at for parts in tries if len(parts) >= number]
    started = min((at for at in starts if at is not None and (ended is None or at <= ended)), default=None)
    return _numbered(
        run,
        number,
        state=RunState.UNKNOWN if worst.state.is_open else worst.state,
        native_state=worst.native_state,
        started_at=started,
        ended_at=ended,
        message=_red_parts(repeated),
        action_key=None,
    )


def _latest_attempt(run: RunRecord, number: int, tries: list[list[PartTry]], changed: datetime | None) -> RunRecord:
    latest = [parts[-1] for parts in tries]
    starts = [parts[number - 1].started_at for parts in tries if len(parts) >= number]
    starts += [run.started_at] if number == 1 else []
    started = min((at for at in starts if at is not None), default=run.started_at)
    proving = [part for part in latest if not part.is_child or run.state is RunState.SUCCEEDED]
    ends = [part.ended_at for part in proving if part.ended_at is not None]
    unproved = [part for part in latest if part.is_child and (part.state.is_open or part.state is RunState.UNKNOWN)]
    unproved.sort(key=lambda part: (part.state.is_open, part.state is RunState.WAITING, part.id))
    state, native_state = run.state, run.native_state
    if state is RunState.SUCCEEDED and unproved:
        child = unproved[0]
        state = RunState.RUNNING if child.state.is_open and child.state is not RunState.WAITING else child.state
        native_state = f"{native_state}, {child.name}: {child.native_state}"
    elif state is RunState.SUCCEEDED and any(part.state.is_red or part.state is RunState.PARTIAL for part in latest):
        state = RunState.PARTIAL
    ended = None if state.is_open else run.ended_at or max(ends, default=changed)
    return _numbered(
        run,
        number,
        state=state,
        native_state=native_state,
        started_at=started,
        ended_at=max(ended, started) if ended and started else ended,
        message=run.message or _red_parts(latest),
    )


def _red_parts(parts: Iterable[PartTry]) -> str:
    names = [f"{part.name} ({part.message or part.native_state})" for part in parts if part.state.is_red]
    return masked_head(clean(f"failed: {listed(names, 10)}"), 1000) if names else ""


class RunReader:
    """The records of a row of runs: one, or one for each attempt where the mapping names the parts of a run."""

    def __init__(self, client: HttpApiClient) -> None:
        self._api, self._options = client, client.options
        self._jobs = RunJobs(client, client.options.runs.of_job) if client.options.runs.of_job else None
        self._ended: OrderedDict[str, tuple[str, list[RunRecord]]] = OrderedDict()
        """Run -> digest of its row, and its records."""
        self.requests = 0
        """Requests of this poll for parts, or for a run alone."""
        self._retries: dict[str, int] = {}
        self._retries_until = 0.0
        self.tries: dict[str, FailedTry] = {}
        """Run -> its end, of the runs of this poll that are retried by their source."""

    @property
    def is_spent(self) -> bool:
        """Whether this poll can send no more of these requests."""
        return self.requests >= MAX_PART_READS or self._api.deadline.is_below(RESERVED_SHARE)

    def learn_jobs(
        self, rows: Iterable[Any], search: JobSearch | None = None
    ) -> tuple[JobSearch | None, datetime | None]:
        """Reads which job each of these runs is of, where the rows do not say it. The search to go on with in the next
        call where the time of this one ends first; and the oldest change of a run that its job may list in a moment."""
        if self._jobs is None:
            return None, None
        changes = self._changes(rows)
        return self._jobs.learn(changes, search), self._jobs.unlisted_since(changes)

    def _changes(self, rows: Iterable[Any]) -> dict[str, datetime | None]:
        """Run -> its last change; None where that cannot be read."""
        fields = self._options.runs
        changes: dict[str, datetime | None] = {}
        for row in rows:
            if isinstance(row, dict) and (run_id := text_at(row, fields.id)):
                try:
                    changes[run_id] = instant_at(row, fields.changed, fields)
                except RecordUnreadable:
                    changes[run_id] = None
        return changes

    def runs_of(self, page: HttpPage) -> Iterator[RunRecord]:
        """The runs of a page, without the rows that cannot be read or are of no job."""
        for row in page.rows:
            with suppress(RecordUnreadable):
                if (run := self.run(row, page.clock)) is not None:
                    yield run

    def run(self, row: Any, clock: TargetClock | None, known_job: str = "") -> RunRecord | None:
        """The run in a row, without its attempts; None for one of no job, or of one that is gone. `known_job`: its job,
        where it is known without the row. Raises RecordUnreadable."""
        fields = self._options.runs
        is_row = any(value_at(row, path) is not None for path in {fields.id, fields.job} - {"", "*"})
        if fields.only_with and not known_job and is_row and value_at(row, fields.only_with) is None:
            return None
        job = "" if self._jobs is None else known_job or self._jobs.job_of(row)
        if job is None:
            return None
        run = read_run(row, fields, self._options.states, clock, job, fields.first_started)
        if fields.retry:
            return self._retried(row, run)
        if fields.retried_by and run.state is RunState.RETRYING:
            return self._waiting_for_retry(row, run, clock)
        if not fields.attempt:
            return run
        run = _counted(run, value_at(row, fields.attempt), fields.attempt_counts == "starts")
        return replace(run, started_at=None) if fields.first_started and run.again_of else run

    def retries(self, jobs: Collection[str]) -> dict[str, int]:
        """How often the source tries a failed run of each of these jobs again, for those that it tries again at all; by
        its list of jobs, which is read where one of them failed."""
        fields = self._options.jobs
        if jobs and monotonic() >= self._retries_until:
            rows: Sequence[Any] = ()
            with suppress(AccessRefused, NotSupported):  # the inventory reports it
                rows, _, _ = self._api.all_rows(fields, fields.id)
            counts = {text_at(row, fields.id): value_at(row, fields.retries) for row in rows if isinstance(row, dict)}
            self._retries = {job: count for job, count in counts.items() if type(count) is int and count > 0}
            self._retries_until = monotonic() + RETRIES_CACHED_SECONDS
        return {job: self._retries[job] for job in jobs if job in self._retries}

    def _retried(self, row: Any, run: RunRecord) -> RunRecord:
        """The run, RETRYING where it failed and another one follows."""
        fields = self._options.runs
        following = text_at(row, fields.retry, MAX_ID_CHARACTERS)
        if run.state is not RunState.RETRYING and not (following and run.state.is_red):
            return run
        if run.state is RunState.RETRYING:
            run = replace(run, state=RunState.FAILED, ended_at=instant_at(row, fields.ended, fields, run.started_at))
        self.tries[run.native_ref] = FailedTry(run, following if following != run.native_ref else "")
        return replace(run, state=RunState.RETRYING, ended_at=None, reason="time")

    def _waiting_for_retry(self, row: Any, run: RunRecord, clock: TargetClock | None) -> RunRecord:
        """The run, FAILED where nothing is left that would try it again, or its time for that has passed."""
        fields = self._options.runs
        ended, now = instant_at(row, fields.ended, fields, run.started_at), clock.target if clock else datetime.now(UTC)
        is_due = ended is not None and now - ended <= timedelta(seconds=fields.retry_within)
        if is_due and value_at(row, fields.retried_by):
            return replace(run, reason="time")
        return replace(run, state=RunState.FAILED, ended_at=ended)

    def records(self, row: Any, clock: TargetClock | None, known_job: str = "") -> list[RunRecord]:
        """All attempts of the run in a row, the oldest first; the rest as `run`."""
        run = self.run(row, clock, known_job)
        if run is None:
            return []
        runs, has_parts = self._options.runs, self._options.parts is not None
        if not has_parts and not (runs.first_started and run.again_of):
            return [run]
        fingerprint = digest(row)
        if self._ended.get(run.native_ref, ("", []))[0] == fingerprint:
            return self._ended[run.native_ref][1]
        is_whole = True
        if has_parts:
            records = attempt_records(run, self.parts(run.native_ref), changed_at(row, runs, run))
        else:
            first = instant_at(row, runs.first_started, runs)
            is_whole = not runs.started or has_field(row, runs.started) or not self.is_spent
            latest = replace(run, started_at=self._latest_start(row, run) if is_whole else None)
            records = [latest] if first is None else [_first_attempt(run, first), latest]
        if is_whole and not records[-1].state.is_open:
            self._ended[run.native_ref] = fingerprint, records
            while len(self._ended) > MAX_CACHED_RUNS:
                self._ended.popitem(last=False)
        return records

    def _latest_start(self, row: Any, run: RunRecord) -> datetime | None:
        """When the latest attempt of a repeated run began, by the run alone where the list does not show it; None where
        that is unknown. Raises RecordUnreadable."""
        runs = self._options.runs
        if not runs.started or run.state in NOT_BEGUN:
            return None
        if not has_field(row, runs.started):
            self.requests += 1
            row = self._api.run(run.native_ref, run.job)
        started = instant_at(row, runs.started, runs)
        is_its_own = started is not None and (run.ended_at is None or started <= run.ended_at)
        return started if is_its_own else None

    def parts(self, run_id: str) -> list[PartTry]:
        """All tries of the parts of a run. Raises RecordUnreadable."""
        call = self._options.parts
        assert call is not None, "only a mapping with parts has any"
        parts = [self._part(row, call) for row in self._part_rows(call, run_id)]
        if (of_children := call.children) is None:
            return parts
        rows = [row for row in self._part_rows(of_children, run_id) if value_at(row, of_children.state) is not None]
        return [*parts, *(replace(self._part(row, of_children), is_child=True) for row in rows)]

    def _part_rows(self, call: HttpChildrenCall, run_id: str) -> list[Any]:
        self.requests += 1
        try:
            rows, _, cut = self._api.all_rows(call, call.id, {"id": run_id})
        except ListNotFound:
            why = f"{call.path} answered 404: the run was deleted meanwhile, or {call.table}.path is wrong"
            raise RecordUnreadable(f"its parts: {why}") from None
        if cut:
            raise RecordUnreadable(f"its parts: {cut}")
        return list(rows)

    def _part(self, row: Any, call: HttpChildrenCall) -> PartTry:
        native_state = id_at(row, call.state, "the state of a part")
        state, started = state_of(native_state, self._options.states), instant_at(row, call.started, call)
        return PartTry(
            id_at(row, call.id, "the id of a part"),
            id_at(row, call.name, "the name of a part"),
            state,
            native_state,
            started,
            None if state.is_open else instant_at(row, call.ended, call, started),
            text_at(row, call.message, 200),
            text_at(row, call.account, 200),
        )


@dataclass(frozen=True, slots=True)
class JobSearch(PageWalk):
    """A search for the jobs of runs, where it goes on in a later call, perhaps of another connector: in the list of
    `job` at `page`."""

    job: str = ""
    page: str | int | None = None
    stops_early: bool = False
    """The list is read from its begin again, as far as its known pages."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Run -> job, of the runs whose jobs were looked for."""
    missing: tuple[str, ...] = ()
    """Runs that the lists before do not have."""
    began: datetime = EPOCH


class RunJobs:
    """Which job each run is of, for an API that lists the runs of a job and does not name the job in a run.

    New runs are at the end of such a list or at its begin, by the API's order: both are read, and known pages are not.
    """

    def __init__(self, client: HttpApiClient, call: HttpJobRunsCall) -> None:
        self._api, self._call = client, call
        self._job_of: dict[str, str] = {}
        """Run -> job; empty for a run that no job lists."""
        self._pages: dict[str, str | int | None] = {}
        """Job -> the last page of its list that was read."""
        self._began = EPOCH
        """When the last search began."""

    def job_of(self, row: Any) -> str | None:
        """None for a run that no job lists: its job was deleted. Raises RecordUnreadable."""
        run_id = id_at(row, self._api.options.runs.id, "the run's id")
        if run_id not in self._job_of:
            raise RecordUnreadable(
                f"the job of run {run_id} is unknown: no list of a job that could be read has it yet"
            )
        return self._job_of[run_id] or None

    def know(self, jobs: Mapping[str, str]) -> None:
        """`jobs`: run -> job."""
        self._job_of.update(jobs)
        while len(self._job_of) > MAX_KNOWN_RUNS:
            del self._job_of[next(iter(self._job_of))]

    def learn(self, changes: Mapping[str, datetime | None], search: JobSearch | None) -> JobSearch | None:
        """Looks for the jobs of runs, from `search` on. `changes`: run -> when it changed last. Returns where to go on;
        None where each list was read that may have one of them."""
        if search is not None:
            self.know(search.known)
        missing = changes.keys() - self._job_of.keys()
        if not missing:
            self._leave(search)
            return None
        self._began = datetime.now(UTC) if search is None else search.began
        # Lists that were read before may have runs that the search did not begin with.
        newcomers = set() if search is None else missing - {*search.missing}
        jobs = self._api.options.jobs
        rows, _, cut = self._api.all_rows(jobs, jobs.id)
        records, unread = jobs_of(rows, jobs, ProofLevel.EXIT)
        starts = self._lists({record.native_id for record in records}, search or JobSearch())
        for number, start in enumerate(starts):
            is_late = number > 0 and self._api.deadline.is_below(RESERVED_SHARE)
            rest = start if is_late else self._read(start, missing)
            if not missing:
                self._leave(rest)
                return None
            if rest is not None:
                known = {run_id: self._job_of[run_id] for run_id in changes if run_id in self._job_of}
                return replace(rest, known=known, missing=tuple(sorted(missing - newcomers)), began=self._began)
        settled = {run_id for run_id in missing if self._is_settled(changes[run_id])}
        if not cut and not unread:
            self.know(dict.fromkeys(settled - newcomers, ""))
        again = tuple(sorted(settled & newcomers))
        return JobSearch(missing=again, began=datetime.now(UTC)) if again else None

    def _leave(self, search: JobSearch | None) -> None:
        """A list whose begin was not read as far as its known pages is read as a whole the next time."""
        if search is not None and search.stops_early:
            self._pages.pop(search.job, None)

    def _lists(self, jobs: set[str], search: JobSearch) -> Iterator[JobSearch]:
        """The lists to read, from where `search` is: a job's from the last known page on, and again from its begin."""
        for job in sorted(jobs | self._pages.keys(), key=_age_of_job):
            if _age_of_job(job) < _age_of_job(search.job):
                continue
            is_known = job in self._pages or job == search.job
            if job != search.job:
                yield JobSearch(job=job, page=self._pages.get(job))
            elif not search.stops_early:
                yield search
            if is_known:
                yield search if job == search.job and search.stops_early else JobSearch(job=job, stops_early=True)

    def unlisted_since(self, changes: Mapping[str, datetime | None]) -> datetime | None:
        """The oldest of the changes of runs whose job is unknown, and that are not settled."""
        unlisted = (at for run_id, at in changes.items() if at is not None and run_id not in self._job_of)
        return min((at for at in unlisted if not self._is_settled(at)), default=None)

    def _is_settled(self, changed: datetime | None) -> bool:
        """Whether a run changed so long before the search that its job would list it: a list may be some moments
        behind another."""
        return changed is not None and self._began - changed > LISTED_WITHIN

    def _read(self, walk: JobSearch, missing: set[str]) -> JobSearch | None:
        """Reads the runs of a job until none is missing; with `stops_early`, as far as its known pages. Returns where
        to go on where the time of the call ends first."""
        while walk.pages < MAX_JOB_PAGES:
            result = self._api.page(self._call, walk.page, EPOCH, {"job": walk.job})
            run_ids = {text_at(row, self._call.id) for row in result.rows if isinstance(row, dict)} - {""}
            known = run_ids & self._job_of.keys()
            self.know(dict.fromkeys(run_ids, walk.job))
            missing -= run_ids
            # with all pages before; one without rows has none to go on from
            if not walk.stops_early and (walk.page is None or (result.rows and walk.job in self._pages)):
                self._pages[walk.job] = walk.page
            ids = result.ids_digest(self._call.id)
            if walk.repeats(ids):
                raise InvalidAnswer(f"{self._call.path}: the pages of job {walk.job} do not end; correct its query")
            is_read = known == run_ids or (known and not missing) if walk.stops_early else not missing
            if result.following is None or is_read:
                return None
            walk = replace(walk.after(ids), page=result.following)
            if self._api.deadline.is_below(RESERVED_SHARE):
                return walk
        return None


def _age_of_job(job: str) -> tuple[int, str]:
    """Numbers in their order: a job that is made during a search is behind the others."""
    return len(job), job
