"""Polls by the mapping of runs. The cursor holds up to which change runs were read, and the position in a walk over
pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from connectors.http.client import ENDLESS_PAGES, HttpApiClient, HttpPage, PageWalk
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.field_mapping import changed_at, read_run, unknown_states
from connectors.sdk.fields import EPOCH, as_json
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import Poll, RunRef, SkippedRecord, TargetClock
from connectors.sdk.vanished_runs import no_longer_listed

VANISHED_MESSAGE = "no longer listed by its source; its end was not observed"
SETTLE_TIME = timedelta(seconds=5)  # a start is listed moments after its instant
MAX_SINGLE_READS = 50  # open runs that one poll looks up by themselves


class HttpPoller:
    def __init__(self, client: HttpApiClient) -> None:
        self._api, self._options = client, client.options

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """The next page of what changed since the cursor; at the end of a walk the open runs that it did not show."""
        result = PollResult()
        at = result.cursor_or_first(cursor, HttpCursor())
        if at.page is None:  # from the cursor on, or from the start of the oldest run that is still open
            starts = [ref.started_at for ref in open_runs if ref.started_at is not None]
            at = HttpCursor(since=at.since, begun=min([at.since, *starts]), newest=at.since)
        page = self._api.page(self._options.runs, at.page, at.begun)
        now = page.clock.target if page.clock else datetime.now(UTC)
        at = at if at.page is not None else replace(at, until=now)
        ids = page.ids_digest(self._options.runs.id)
        if at.page is not None and at.repeats(ids):
            result.skipped.append(SkippedRecord(f"page {at.page}", ENDLESS_PAGES))
            result.warn(f"runs: {ENDLESS_PAGES}")
            return self._poll_of(result, HttpCursor(since=at.since), page, None)
        newest = min(max(self._add_runs(page, at, {ref.attempt_key for ref in open_runs}, result), at.newest), now)
        if page.following is not None and not page.is_before(at.begun, self._options.runs):
            return self._poll_of(result, replace(at.after(ids), page=page.following, newest=newest), page, None)
        self._add_unlisted(open_runs, page.clock, result)
        newest = min(newest, max(at.until, at.since))
        since = max(newest - timedelta(seconds=self._options.overlap), EPOCH) if newest > EPOCH else EPOCH
        return self._poll_of(result, HttpCursor(since=since), page, at.until - SETTLE_TIME)

    def _poll_of(self, result: PollResult, cursor: HttpCursor, page: HttpPage, seen_until: datetime | None) -> Poll:
        for text in (*unknown_states(result.records.values()), *([page.cut] if page.cut else [])):
            result.warn(text)
        result.complete = not result.skipped and not page.cut
        seen_until = seen_until if result.complete else None
        return result.poll(as_json(cursor), more=cursor.page is not None, clock=page.clock, seen_until=seen_until)

    def _add_runs(self, page: HttpPage, at: HttpCursor, open_keys: Collection[str], result: PollResult) -> datetime:
        """Adds the runs of a page that changed since the walk's beginning, are open, or were. The newest change."""
        newest, fields = EPOCH, self._options.runs
        for number, row in enumerate(page.rows, 1):
            try:
                run = read_run(row, fields, self._options.states, page.clock)
                changed = changed_at(row, fields, run)
            except RecordUnreadable as error:
                result.skip(f"run {number}", error, row)
                continue
            newest = max(newest, changed or EPOCH)
            if changed is None or changed >= at.begun or run.state.is_open or run.attempt_key in open_keys:
                result.add(run)
        return newest

    def _add_unlisted(self, open_runs: Sequence[RunRef], clock: TargetClock | None, result: PollResult) -> None:
        reported = {run.attempt_key for run in result.records.values()}
        unlisted = [ref for ref in open_runs if ref.attempt_key not in reported] if self._options.runs.one else []
        for ref in unlisted[:MAX_SINGLE_READS]:
            row = self._api.run(ref.attempt_key)
            if row is None:
                result.add(no_longer_listed(ref, "gone", VANISHED_MESSAGE))
                continue
            try:
                run = read_run(row, self._options.runs, self._options.states, clock)
                if run.attempt_key != ref.attempt_key:
                    raise RecordUnreadable("the reply is about another run than requested")
                result.add(run)
            except RecordUnreadable as error:
                result.skip(f"run {ref.attempt_key}", error, row)


@dataclass(frozen=True, slots=True)
class HttpCursor(PageWalk):
    """`since`: the newest change that was read completely. In a walk over pages: `begun`, the instant it began with;
    `page`, the next page (None: no walk); `newest`, the newest change so far; `until`, the source's clock at its first
    page."""

    since: datetime = EPOCH
    begun: datetime = EPOCH
    page: str | int | None = None
    newest: datetime = EPOCH
    until: datetime = EPOCH
