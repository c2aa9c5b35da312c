"""Runs that consist of parts (the jobs of a pipeline), and whose parts are tried again under the same run.

A part that is tried again is listed again under its name, so the attempts of a run are counted by its parts. An earlier
attempt ended as the parts that were tried again did; the latest has the state of the run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.client import HttpApiClient, PageWalk
from connectors.http.options import HttpJobRunsCall, HttpPartsCall
from connectors.sdk.errors import InvalidAnswer, RecordUnreadable
from connectors.sdk.field_mapping import changed_at, id_at, instant_at, instant_of, jobs_of, read_run, state_of, text_at
from connectors.sdk.fields import EPOCH, clean, digest, listed
from connectors.sdk.records import RunRecord, TargetClock
from connectors.sdk.states import ProofLevel, RunState

MAX_ATTEMPTS = 20
MAX_CACHED_RUNS = 2000
MAX_KNOWN_RUNS = 100_000
MAX_JOB_PAGES = 1000
LISTED_WITHIN = timedelta(minutes=10)
"""How long a job's list of runs may be behind the list of all runs."""


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


def _numbered(run: RunRecord, number: int) -> RunRecord:
    first = f"{run.native_ref}.1"
    return replace(
        run,
        attempt_key=f"{run.native_ref}.{number}",
        again_of=first if number > 1 else "",
        queued_at=run.queued_at if number == 1 else None,
    )


def _earlier_attempt(run: RunRecord, number: int, tries: list[list[PartTry]]) -> RunRecord:
    repeated = [parts[number - 1] for parts in tries if len(parts) > number]
    worst = min(repeated, key=lambda part: (not part.state.is_red, part.id))
    ended = max((part.ended_at for part in repeated if part.ended_at), default=None)
    starts = [parts[number - 1].started_at for parts in tries if len(parts) >= number]
    started = min((at for at in starts if at is not None and (ended is None or at <= ended)), default=None)
    return replace(
        _numbered(run, number),
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
    started = min((at for at in starts if at is not None), default=run.started_at)
    ends = [part.ended_at for part in latest if part.ended_at is not None]
    ended = None if run.state.is_open else max(ends, default=run.ended_at or changed)
    has_red = any(part.state.is_red for part in latest)
    return replace(
        _numbered(run, number),
        state=RunState.PARTIAL if run.state is RunState.SUCCEEDED and has_red else run.state,
        started_at=started,
        ended_at=max(ended, started) if ended and started else ended,
        message=run.message or _red_parts(latest),
    )


def _red_parts(parts: Iterable[PartTry]) -> str:
    names = [f"{part.name} ({part.message or part.native_state})" for part in parts if part.state.is_red]
    return clean(f"failed: {listed(names, 10)}")[:1000] if names else ""


class RunReader:
    """The records of a row of runs: one, or one for each attempt where the mapping names the parts of a run."""

    def __init__(self, client: HttpApiClient) -> None:
        self._api, self._options = client, client.options
        self._jobs = RunJobs(client, client.options.runs.of_job) if client.options.runs.of_job else None
        self._ended: OrderedDict[str, tuple[str, list[RunRecord]]] = OrderedDict()
        """Run -> digest of its row, and its records."""
        self.requests = 0
        """Lists of parts that were read."""

    def learn_jobs(self, rows: Iterable[Any]) -> None:
        """Reads which job each of these runs is of, where the rows do not say it."""
        if self._jobs is not None:
            fields = self._options.runs
            self._jobs.learn(
                {
                    run_id: text_at(row, fields.changed)
                    for row in rows
                    if isinstance(row, dict) and (run_id := text_at(row, fields.id))
                }
            )

    def run(self, row: Any, clock: TargetClock | None) -> RunRecord | None:
        """The run in a row, without its attempts; None for one of a job that is gone. Raises RecordUnreadable."""
        job = self._jobs.job_of(row) if self._jobs is not None else ""
        return None if job is None else read_run(row, self._options.runs, self._options.states, clock, job)

    def records(self, row: Any, clock: TargetClock | None) -> list[RunRecord]:
        """All attempts of the run in a row, the oldest first. Raises RecordUnreadable."""
        run = self.run(row, clock)
        if run is None or self._options.parts is None:
            return [] if run is None else [run]
        fingerprint = digest(row)
        if self._ended.get(run.native_ref, ("", []))[0] == fingerprint:
            return self._ended[run.native_ref][1]
        self.requests += 1
        changed = changed_at(row, self._options.runs, run)
        records = attempt_records(run, self.parts(run.native_ref), changed)
        if not run.state.is_open:
            self._ended[run.native_ref] = fingerprint, records
            while len(self._ended) > MAX_CACHED_RUNS:
                self._ended.popitem(last=False)
        return records

    def parts(self, run_id: str) -> list[PartTry]:
        """All tries of the parts of a run. Raises RecordUnreadable."""
        call = self._options.parts
        assert call is not None, "only a mapping with parts has any"
        rows, _, cut = self._api.all_rows(call, call.id, {"id": run_id})
        if cut:
            raise RecordUnreadable(f"its parts: {cut}")
        return [self._part(row, call) for row in rows]

    def _part(self, row: Any, call: HttpPartsCall) -> PartTry:
        native_state = id_at(row, call.state, "the state of a part")
        return PartTry(
            id_at(row, call.id, "the id of a part"),
            id_at(row, call.name, "the name of a part"),
            state_of(native_state, self._options.states),
            native_state,
            instant_at(row, call.started, call),
            instant_at(row, call.ended, call),
            text_at(row, call.message, 200),
            text_at(row, call.account, 200),
        )


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

    def job_of(self, row: Any) -> str | None:
        """None for a run that no job lists: its job was deleted. Raises RecordUnreadable."""
        run_id = id_at(row, self._api.options.runs.id, "the run's id")
        if run_id not in self._job_of:
            raise RecordUnreadable(
                f"the job of run {run_id} is unknown: no list of a job that could be read has it yet"
            )
        return self._job_of[run_id] or None

    def learn(self, changes: Mapping[str, str]) -> None:
        """`changes`: run -> when it changed last, as its row has it."""
        missing = changes.keys() - self._job_of.keys()
        if not missing:
            return
        jobs = self._api.options.jobs
        rows, _, cut = self._api.all_rows(jobs, jobs.id)
        records, unread = jobs_of(rows, jobs, ProofLevel.EXIT)
        for job in dict.fromkeys((*(record.native_id for record in records), *self._pages)):
            is_known = job in self._pages
            self._read(job, self._pages.get(job), missing, stops_early=False)
            if is_known and missing:
                self._read(job, None, missing, stops_early=True)
            if not missing:
                return
        if not cut and not unread:
            self._job_of.update(dict.fromkeys((run_id for run_id in missing if self._is_settled(changes[run_id])), ""))

    def _is_settled(self, changed: str) -> bool:
        """Whether a run changed so long ago that its job would list it: a list may be some moments behind another."""
        fields = self._api.options.runs
        try:
            at = instant_of(changed, fields.changed, fields)
        except RecordUnreadable:
            return False
        return datetime.now(UTC) - at > LISTED_WITHIN

    def _read(self, job: str, page: str | int | None, missing: set[str], *, stops_early: bool) -> None:
        """Reads the runs of a job from a page on, until none is missing, or (`stops_early`) a page has no news."""
        walk = PageWalk()
        for _ in range(MAX_JOB_PAGES):
            result = self._api.page(self._call, page, EPOCH, {"job": job})
            run_ids = {text_at(row, self._call.id) for row in result.rows if isinstance(row, dict)} - {""}
            has_news = bool(run_ids - self._job_of.keys())
            self._job_of.update(dict.fromkeys(run_ids, job))
            while len(self._job_of) > MAX_KNOWN_RUNS:
                del self._job_of[next(iter(self._job_of))]
            missing -= run_ids
            if not stops_early:
                self._pages[job] = page
            ids = result.ids_digest(self._call.id)
            if walk.repeats(ids):
                raise InvalidAnswer(f"{self._call.path}: the pages of job {job} do not end; correct its query")
            if result.following is None or not missing or (stops_early and not has_news):
                return
            page, walk = result.following, walk.after(ids)
