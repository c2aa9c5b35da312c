"""Polls by the mapping of runs. The cursor holds up to which change runs were read, and the position in a walk over
pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from connectors.http.client import ENDLESS_PAGES, RESERVED_SHARE, HttpApiClient, HttpPage, PageExpired, PageWalk
from connectors.http.parts import SUPERSEDED_MESSAGE, FailedTry, JobSearch, RunReader, attempt_of
from connectors.sdk.errors import AccessRefused, InvalidAnswer, NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.field_mapping import changed_at, instant_at, unknown_states
from connectors.sdk.fields import EPOCH, as_json
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import HistoryGap, Poll, RunRecord, RunRef, SkippedRecord, TargetClock
from connectors.sdk.states import RunState
from connectors.sdk.vanished_runs import no_longer_listed

VANISHED_MESSAGE = "no longer listed by its source; its end was not observed"
NOT_FOUND_ALONE = "runs.one does not find a listed run either, so this one stays open. Fix: correct the path"
UNCOUNTED_MESSAGE = "its source no longer counts this attempt: an earlier one is the latest"
SETTLE_TIME = timedelta(seconds=5)  # a start is listed moments after its instant
DELETED_WITHIN = timedelta(hours=1)  # the oldest runs are not requested: they are deleted while pages are read
UNNAMED_RETRY_WITHIN = timedelta(hours=1)  # a run that is to be retried waits so long for the name of its next try
MAX_SINGLE_READS = 50  # open runs that one poll looks up by themselves


class HttpPoller:
    def __init__(self, client: HttpApiClient, reader: RunReader) -> None:
        self._api, self._options, self._reader = client, client.options, reader
        self._next_single = 0
        """Where the next poll goes on among the open runs that it reads alone."""
        self._listed: RunRecord | None = None
        """An ended run that was listed lately, or any that is listed."""
        self._has_read_alone = False
        """Whether `runs.one` found a run."""
        self._shown_open: set[str] = set()
        """Runs that this walk listed as open: they are not read alone."""
        self._gone_tries: set[tuple[str, str]] = set()
        """Jobs and ids of runs that were named as the next try of another, and do not exist."""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """The next page of what changed since the cursor; at the end of a walk the open runs that it did not show."""
        result, self._reader.requests = PollResult(), 0
        self._reader.tries.clear()
        at = result.cursor_or_first(cursor, self._first_cursor())
        self._add_gap(cursor, at, result)
        try:
            return self._poll_from(at, open_runs, result)
        except PageExpired as error:
            result.warn(f"{error}; runs are read again from the last change that was read completely")
            restart = HttpCursor(since=at.since)
            self._add_gap(cursor, restart, result)
            return self._poll_from(restart, open_runs, result)

    def _poll_from(self, at: HttpCursor, open_runs: Sequence[RunRef], result: PollResult) -> Poll:
        if at.is_first:
            self._shown_open.clear()
        if self._options.runs.oldest_first:
            return self._poll_by_change(at, open_runs, result)
        if at.is_first:  # from the cursor on, or from the start of the oldest run that is still open
            starts = [ref.started_at for ref in open_runs if ref.started_at is not None]
            begun = max(min([at.since, *starts]), self._oldest_stored())
            at = HttpCursor(since=at.since, begun=begun, newest=at.since, search=at.search)
        page, at, poll = self._read_page(at, at.page, open_runs, result)
        if poll is not None:
            return poll
        now = page.clock.target if page.clock else datetime.now(UTC)
        at = self._add_runs(page, at, {ref.native_ref for ref in open_runs}, result)
        newest = min(at.newest, now)
        if at.row:
            return self._poll_of(open_runs, result, replace(at, newest=newest), page, None)
        if page.following is not None:
            following = replace(at.after(self._ids(page)), page=page.following, newest=newest)
            return self._poll_of(open_runs, result, following, page, None)
        self._add_unlisted(open_runs, page.clock, result)
        newest = min(newest, at.unread or newest, max(at.until, at.since))
        since = max(newest - timedelta(seconds=self._options.overlap), EPOCH) if newest > EPOCH else EPOCH
        return self._poll_of(open_runs, result, HttpCursor(since=since), page, at.seen_until)

    def _read_page(
        self, at: HttpCursor, number: str | int | None, open_runs: Sequence[RunRef], result: PollResult
    ) -> tuple[HttpPage, HttpCursor, Poll | None]:
        """The page and the cursor of its walk; the poll as well where it ends here, because pages repeat or the jobs of
        its runs are still looked for."""
        page = self._api.runs_page(number, at.begun)
        if at.is_first:
            at = replace(at, until=page.clock.target if page.clock else datetime.now(UTC))
        elif at.repeats(self._ids(page)):
            result.skipped.append(SkippedRecord(f"page {at.page}", ENDLESS_PAGES))
            result.warn(f"runs: {ENDLESS_PAGES}")
            return page, at, self._poll_of(open_runs, result, HttpCursor(since=at.since), page, None)
        search, unlisted = self._reader.learn_jobs(page.rows, at.search)
        if search is not None:
            return page, at, self._poll_of(open_runs, result, replace(at, page=number, search=search), page, None)
        # runs that no job lists yet are read again in time
        return page, replace(at, search=None).with_unread(unlisted), None

    def _ids(self, page: HttpPage) -> str:
        return page.ids_digest(self._options.runs.id)

    def _first_cursor(self) -> HttpCursor:
        days = self._options.runs.history_days
        today = datetime.now(UTC).replace(microsecond=0)
        return HttpCursor(since=today - timedelta(days=days)) if days else HttpCursor()

    def _oldest_stored(self) -> datetime:
        """The oldest instant that is requested: an API may refuse an older one than it keeps."""
        days = self._options.runs.retention_days
        return datetime.now(UTC).replace(microsecond=0) - timedelta(days=days) + DELETED_WITHIN if days else EPOCH

    def _add_gap(self, cursor: str, at: HttpCursor, result: PollResult) -> None:
        """Reports runs that the source deleted before they were read."""
        days = self._options.runs.retention_days
        oldest = datetime.now(UTC) - timedelta(days=days)
        if days and cursor and at.is_first and EPOCH < at.since < oldest:
            result.gaps.append(HistoryGap(at.since, oldest, f"runs are kept for {days} days: older ones were not read"))

    def _poll_by_change(self, at: HttpCursor, open_runs: Sequence[RunRef], result: PollResult) -> Poll:
        """The next rows by their change. A walk goes on from the last change that it read, so `page` is a later one
        only where a whole page has the same change."""
        first_page = self._options.runs.first_page
        begun = at.begun if at.page is not None else max(at.since, self._oldest_stored())
        number = first_page if at.page is None else at.page
        page, at, poll = self._read_page(replace(at, begun=begun), number, open_runs, result)
        if poll is not None:
            return poll
        last, has_rest, unread = self._add_changed(page, begun, result)
        at = at.with_unread(unread)
        if has_rest or page.following is not None:
            following = first_page if last > begun or page.following is None else page.following
            walk = at if has_rest else at.after(self._ids(page))  # the rest may be a page with the same rows
            at = replace(walk, begun=max(last, begun), page=following)
            return self._poll_of(open_runs, result, at, page, None)
        self._add_unlisted(open_runs, page.clock, result)
        newest = min(max(last, begun), max(at.until, at.since))
        newest = min(newest, at.unread or newest)
        since = max(newest - timedelta(seconds=self._options.overlap), at.since) if newest > at.since else at.since
        return self._poll_of(open_runs, result, HttpCursor(since=since), page, at.seen_until)

    def _add_changed(
        self, page: HttpPage, begun: datetime, result: PollResult
    ) -> tuple[datetime, bool, datetime | None]:
        """Adds the runs of a page in the order of their change, as many as one poll can read. Returns the change of the
        last one, whether some are left, and the oldest change of a run that could not be read as a whole."""
        rows: list[tuple[datetime, int, Any]] = []
        for number, row in enumerate(page.rows, 1):
            try:
                at = instant_at(row, self._options.runs.changed, self._options.runs)
            except RecordUnreadable as error:
                result.skip(f"run {number}", error, row)
                continue
            rows.append((at or EPOCH, number, row))
        last, unread = EPOCH, list[datetime]()
        for changed, number, row in sorted(rows, key=itemgetter(0, 1)):
            if self._reader.is_spent and last > begun:
                return last, True, min(unread, default=None)
            try:
                if not self._add_row(f"run {number}", row, page.clock, result):
                    unread.append(changed)
            except SystemUnreachable:
                if last > begun:  # the next poll waits as the source requests
                    return last, True, min(unread, default=None)
                raise
            last = max(last, changed)
        return last, False, min(unread, default=None)

    def _add_row(self, place: str, row: Any, clock: TargetClock | None, result: PollResult) -> bool:
        """Adds the attempts of the run in a row. False where the source answered a request for more of the run with a
        fault: it stays to be read. Raises SystemUnreachable where the source answers no further request now."""
        try:
            for record in self._reader.records(row, clock):
                result.add(record)
                if not record.state.is_open:
                    self._listed = record
        except RecordUnreadable as error:
            result.skip(place, error, row)
        except InvalidAnswer as error:
            result.skip(place, RecordUnreadable(f"{error}; it is read again by the next poll"), row)
            return False
        return True

    def _poll_of(
        self,
        open_runs: Sequence[RunRef],
        result: PollResult,
        cursor: HttpCursor,
        page: HttpPage,
        seen_until: datetime | None,
    ) -> Poll:
        """The poll of this page. The next page's open runs are without the attempts that a record here follows, so
        these end in the same poll."""
        self._add_superseded(open_runs, result)
        if self._options.runs.retry:
            self._join_tries(page.clock, result)
        if self._options.jobs.retries:
            self._join_counted_tries(page.clock, result)
        result.keep_periods(open_runs)
        self._shown_open |= {run.native_ref for run in result.records.values() if run.state.is_open}
        cut = [page.cut] if page.cut else []
        for text in (*unknown_states(result.records.values()), *cut, *self._api.page_warnings()):
            result.warn(text)
        result.complete = not result.skipped and not page.cut
        seen_until = seen_until if result.complete else None
        return result.poll(as_json(cursor), more=cursor.is_in_walk, clock=page.clock, seen_until=seen_until)

    def _add_runs(self, page: HttpPage, at: HttpCursor, open_refs: Collection[str], result: PollResult) -> HttpCursor:
        """Adds the runs of a page that changed since the walk's beginning, are open, or were, as many as one poll can
        read. Returns the cursor with the newest change, the oldest one of a run that could not be read as a whole, and
        the row to go on with."""
        fields = self._options.runs
        for number, row in enumerate(page.rows[at.row :], at.row + 1):
            if self._reader.requests and self._reader.is_spent:
                return replace(at, row=number - 1)
            try:
                run = self._reader.run(row, page.clock)
                changed = None if run is None else changed_at(row, fields, run)
            except RecordUnreadable as error:
                result.skip(f"run {number}", error, row)
                continue
            if run is None:
                continue
            if changed is None or changed >= at.begun or run.state.is_open or run.native_ref in open_refs:
                try:
                    if not self._add_row(f"run {number}", row, page.clock, result):
                        at = at.with_unread(changed or at.since)
                except SystemUnreachable:
                    if not result.records:
                        raise
                    return replace(at, row=number - 1)  # the next poll waits as the source requests
            at = replace(at, newest=max(at.newest, changed or EPOCH))
        return replace(at, row=0)

    def _add_open(self, clock: TargetClock | None, result: PollResult) -> None:
        """Adds the runs of the list of open ones."""
        call = self._options.runs.open
        if call is None:
            return
        rows, _, cut = self._api.all_rows(call, self._options.runs.id)
        if cut:
            result.skipped.append(SkippedRecord("open runs", cut))
        for number, row in enumerate(rows, 1):
            self._add_row(f"open run {number}", row, clock, result)

    def _add_unlisted(self, open_runs: Sequence[RunRef], clock: TargetClock | None, result: PollResult) -> None:
        self._add_open(clock, result)
        reported = self._shown_open | {run.native_ref for run in result.records.values()}
        unlisted = [ref for ref in open_runs if ref.native_ref not in reported] if self._options.runs.one else []
        groups = [*group_by_run(unlisted).items()]
        first = self._next_single % max(1, len(groups))
        self._next_single = first
        for run_id, refs in (groups[first:] + groups[:first])[:MAX_SINGLE_READS]:
            if self._next_single > first and self._api.deadline.is_below(RESERVED_SHARE):
                break
            self._next_single += 1
            try:
                row = self._api.run(run_id, refs[0].job)
            except InvalidAnswer as error:
                result.skip(f"run {run_id}", RecordUnreadable(str(error)), run_id)
                continue
            self._has_read_alone |= row is not None
            if row is None and not self._can_read_alone():
                result.skipped.append(SkippedRecord(f"run {run_id}", NOT_FOUND_ALONE))
                break
            if row is None:
                for ref in refs:
                    result.add(no_longer_listed(ref, "gone", VANISHED_MESSAGE))
                continue
            try:
                records = self._reader.records(row, clock, refs[0].job)
                if any(record.native_ref != run_id for record in records):
                    raise RecordUnreadable("the reply is about another run than requested")
                for record in records:
                    result.add(record)
            except (RecordUnreadable, InvalidAnswer) as error:
                result.skip(f"run {run_id}", RecordUnreadable(str(error)), row)
        if len(groups) > MAX_SINGLE_READS:
            result.warn(
                f"{len(groups)} open runs are not in the list, and a poll reads {MAX_SINGLE_READS} of them alone"
            )

    def _can_read_alone(self) -> bool:
        """Whether `runs.one` finds a listed run: a wrong path finds none, and says nothing about open runs. True where
        no run is listed any more."""
        listed = self._listed
        if self._has_read_alone or listed is None or self._reads_alone(listed):
            return True
        since = max(listed.queued_at or listed.started_at or EPOCH, self._oldest_stored())
        self._listed = self._listed_now(since, listed.native_ref)  # the one before may be deleted meanwhile
        if self._listed is None or self._listed.native_ref == listed.native_ref:
            return self._listed is None
        return self._reads_alone(self._listed)

    def _reads_alone(self, run: RunRecord) -> bool:
        with suppress(AccessRefused, NotSupported):
            self._has_read_alone = self._api.run(run.native_ref, run.job) is not None
        return self._has_read_alone

    def _listed_now(self, since: datetime, tested: str) -> RunRecord | None:
        """A run of the first page since then, other than the `tested` one and ended if possible; None without any."""
        runs = self._reader.runs_of(self._api.runs_page(None, since))
        return min(runs, key=lambda run: (run.native_ref == tested, run.state.is_open), default=None)

    def _join_tries(self, clock: TargetClock | None, result: PollResult) -> None:
        """Makes the runs that the source retries attempts of one run: once the next one is there, the one before has
        failed. Where the next one was stored first, as a page may list it before the other, that one joins it."""
        for failed in self._read_tries(clock, result):
            key, next_key = (failed.run.job, failed.run.attempt_key), (failed.run.job, failed.following)
            following, before = result.records.get(next_key), result.records[key]
            before = replace(before, again_of=before.again_of or failed.following)
            if following is not None:
                result.add(replace(following, again_of=failed.run.attempt_key))
            if following is not None or next_key in self._gone_tries or _waits_no_more(failed, clock):
                before = replace(before, state=failed.run.state, ended_at=failed.run.ended_at, reason="")
            result.add(before)

    def _join_counted_tries(self, clock: TargetClock | None, result: PollResult) -> None:
        """Makes the runs that follow a failed one within `retry_within`, as many as their job has retries, attempts of
        one run; the last of them has failed once no further one can come."""
        now, within = clock.target if clock else datetime.now(UTC), timedelta(seconds=self._options.runs.retry_within)
        failed_jobs = {run.job for run in result.records.values() if run.state.is_red}
        for job, retries in self._reader.retries(failed_jobs).items():
            runs = [run for run in result.records.values() if run.job == job and run.started_at is not None]
            runs.sort(key=lambda run: run.started_at or EPOCH)
            number = 0
            for before, run in zip([None, *runs], runs, strict=False):
                ended = _end_of_failure(before)
                is_retry = ended is not None and number < retries and (run.started_at or EPOCH) - ended <= within
                number = number + 1 if is_retry else 0
                if before is not None and is_retry:
                    result.add(replace(run, again_of=before.attempt_key))
            ended = _end_of_failure(runs[-1]) if runs else None
            if ended is not None and number < retries and now - ended <= within:
                last = result.records[job, runs[-1].attempt_key]
                result.add(replace(last, state=RunState.RETRYING, ended_at=None, reason="time"))

    def _read_tries(self, clock: TargetClock | None, result: PollResult) -> list[FailedTry]:
        """The runs of this poll that their source retries, oldest first. Their next ones are added, each read alone
        where no list shows it, and with it those that follow; where a list does not name it, the run itself is."""
        tries: dict[str, FailedTry] = {}
        read = set[str]()
        while self._reader.tries:
            run_id, failed = self._reader.tries.popitem()
            if (failed.run.job, run_id) not in result.records:  # read for another purpose
                continue
            tries[run_id] = failed
            next_id = failed.following or run_id
            next_key = (failed.run.job, next_id)
            is_known = next_id != run_id and (next_key in result.records or next_key in self._gone_tries)
            can_read = next_id not in read and len(read) < MAX_SINGLE_READS and not self._reader.is_spent
            if can_read and not is_known and not _waits_no_more(failed, clock):
                read.add(next_id)
                self._add_alone(next_key, clock, result)
        return sorted(tries.values(), key=lambda failed: failed.run.started_at or EPOCH)

    def _add_alone(self, key: tuple[str, str], clock: TargetClock | None, result: PollResult) -> None:
        """Adds a run of a job by itself, where it exists."""
        job, run_id = key
        try:
            row = self._api.run(run_id, job)
            if row is None:
                self._gone_tries.add(key)
            for record in self._reader.records(row, clock, job) if row is not None else ():
                if record.native_ref != run_id:
                    raise RecordUnreadable("the reply is about another run than requested")
                result.add(record)
        except (RecordUnreadable, InvalidAnswer) as error:
            result.skip(f"run {run_id}", RecordUnreadable(str(error)), run_id)

    def _add_superseded(self, open_runs: Sequence[RunRef], result: PollResult) -> None:
        """Ends open attempts that are not the latest one of their run: their own end is not listed any more."""
        latest = {run.native_ref: attempt_of(run.attempt_key) for run in result.records.values()}
        for ref in open_runs if self._options.runs.attempt else ():
            number = attempt_of(ref.attempt_key)
            count = latest.get(ref.native_ref, number)
            if number < count:
                result.add(no_longer_listed(ref, "superseded", SUPERSEDED_MESSAGE))
            elif number > count:
                result.add(no_longer_listed(ref, "not counted", UNCOUNTED_MESSAGE))


def _end_of_failure(run: RunRecord | None) -> datetime | None:
    """None for a run that did not fail."""
    return run.ended_at or run.started_at if run is not None and run.state.is_red else None


def _waits_no_more(failed: FailedTry, clock: TargetClock | None) -> bool:
    """Whether the source named no next try long after the run's end."""
    now, ended = clock.target if clock else datetime.now(UTC), failed.run.ended_at
    return not failed.following and ended is not None and now - ended > UNNAMED_RETRY_WITHIN


def group_by_run(refs: Sequence[RunRef]) -> dict[str, list[RunRef]]:
    groups: dict[str, list[RunRef]] = {}
    for ref in refs:
        groups.setdefault(ref.native_ref, []).append(ref)
    return groups


@dataclass(frozen=True, slots=True)
class HttpCursor(PageWalk):
    """`since`: the newest change that was read completely. In a walk over pages: `begun`, the instant it began with;
    `page`, the next page (None: no walk, or its first page again for `search`, which looks for the jobs of its runs);
    `row`, the number of its rows that were read; `newest`, the newest change so far; `until`, the source's clock at its
    first page; `unread`, the oldest change of a run that no job lists yet, or that could not be read as a whole."""

    since: datetime = EPOCH
    begun: datetime = EPOCH
    page: str | int | None = None
    row: int = 0
    newest: datetime = EPOCH
    until: datetime = EPOCH
    unread: datetime | None = None
    search: JobSearch | None = None

    @property
    def is_first(self) -> bool:
        """Whether a walk begins."""
        return self.page is None and not self.row

    @property
    def is_in_walk(self) -> bool:
        return not self.is_first or self.search is not None

    def with_unread(self, changed: datetime | None) -> HttpCursor:
        """The cursor with a run, by its last change, that stays to be read; None for none."""
        changes = [change for change in (self.unread, changed) if change is not None]
        return replace(self, unread=min(changes, default=None))

    @property
    def seen_until(self) -> datetime | None:
        """Until when all runs were seen, at the end of a walk; None where a run is not listed yet."""
        return self.until - SETTLE_TIME if self.unread is None else None
