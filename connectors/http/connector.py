"""The `http` connector: any REST API that lists jobs and runs, with its lists and fields named in the config.

The cursor holds up to which change runs were read, and the position in a walk over pages.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.http import actions, client
from connectors.http.client import MAX_PAGES, HttpApiClient, HttpPage, ids_digest, is_page_before
from connectors.http.options import HttpOptions
from connectors.sdk.contract import (
    ActionSpec,
    Connector,
    ConnectorKind,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
    SourcePermission,
)
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import changed_at, inventory_of, read_run, skipped, unknown_states
from connectors.sdk.fields import EPOCH, as_json, read_cursor
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRecord, RunRef, SkippedRecord, TargetClock
from connectors.sdk.settle import send_timeout, unless_in_flight
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.vanished_runs import no_longer_listed

TARGET = "api"
VANISHED_MESSAGE = "its source does not have it any more, and its end was not seen"
TOO_MANY_PAGES = f"more than {MAX_PAGES} pages: no more are read"
ENDLESS_PAGES = "the pages do not end: one repeated under another token, so no more are read; correct next and query"
SETTLE_TIME = timedelta(seconds=5)
"""A start is listed moments after its instant."""
MAX_SINGLE_READS = 50
"""Open runs that one poll looks up by themselves."""


class HttpConnector:
    def __init__(
        self, options: HttpOptions, secrets: SecretResolver, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._options = options
        self._client = HttpApiClient(options, secrets, transport)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs of the list. Not complete where one of them cannot be read, or pages do not end."""
        deadline, options = Deadline(timeout_seconds), self._options
        rows, clock, cut = self._all_jobs(deadline)
        proof = ProofLevel.FULL if options.log else ProofLevel.EXIT
        return inventory_of(rows, options.jobs, proof, previous_hash, clock, cut)

    def _all_jobs(self, deadline: Deadline) -> tuple[list[Any], TargetClock | None, str]:
        """All rows, the source's clock, and why rows may be missing ("" for none)."""
        rows: list[Any] = []
        page, walk = None, HttpCursor()
        for _ in range(MAX_PAGES):
            result = self._client.page(self._options.jobs, page, EPOCH, deadline)
            ids = ids_digest(result.rows, self._options.jobs.id)
            if walk.repeats(ids):
                return rows, result.clock, ENDLESS_PAGES
            rows, page, walk = rows + result.rows, result.following, walk.after(ids)
            if page is None:
                return rows, result.clock, result.cut
        return rows, None, TOO_MANY_PAGES

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next page of what changed since the cursor; at the end of a walk the open runs that it did not show."""
        at, deadline = read_cursor(HttpCursor, cursor), Deadline(timeout_seconds)
        if at is None:
            return Poll(
                (), as_json(HttpCursor()), more=True, warnings=("the cursor cannot be read: history is read again",)
            )
        if at.page is None:
            at = HttpCursor(since=at.since, begun=_read_since(at, open_runs), newest=at.since)
        page = self._client.page(self._options.runs, at.page, at.begun, deadline)
        at = at if at.page is not None else replace(at, until=_server_time(page))
        runs, newest, bad = self._read(page, at, {ref.attempt_key for ref in open_runs})
        ids = ids_digest(page.rows, self._options.runs.id)
        if at.page is not None and at.repeats(ids):
            return Poll((), as_json(HttpCursor(since=at.since)), complete=False, clock=page.clock,
                        skipped=(SkippedRecord(f"page {at.page}", ENDLESS_PAGES),),
                        warnings=(f"runs: {ENDLESS_PAGES}",))  # fmt: skip
        newest = min(max(newest, at.newest), _server_time(page))
        if page.following is not None and not is_page_before(page, at.begun, self._options.runs):
            following = replace(at.after(ids), page=page.following, newest=newest)
            return self._poll_of(runs, following, page, bad, seen_until=None)
        runs += self._singles(open_runs, {run.attempt_key for run in runs}, deadline, page.clock, bad)
        back = timedelta(seconds=self._options.overlap)
        newest = min(newest, max(at.until, at.since))
        since = max(newest - back, EPOCH) if newest > EPOCH else EPOCH
        return self._poll_of(runs, HttpCursor(since=since), page, bad, seen_until=at.until - SETTLE_TIME)

    def _poll_of(
        self,
        runs: list[RunRecord],
        cursor: HttpCursor,
        page: HttpPage,
        bad: list[SkippedRecord],
        seen_until: datetime | None,
    ) -> Poll:
        return Poll(
            tuple(runs),
            as_json(cursor),
            more=cursor.page is not None,
            complete=not bad and not page.cut,
            clock=page.clock,
            skipped=tuple(bad),
            seen_until=None if bad or page.cut else seen_until,
            warnings=(*unknown_states(runs), *([page.cut] if page.cut else [])),
        )

    def _read(
        self, page: HttpPage, at: HttpCursor, requested: Collection[str]
    ) -> tuple[list[RunRecord], datetime, list[SkippedRecord]]:
        """The runs of a page that changed since the walk's beginning, are open, or are asked for."""
        runs: dict[str, RunRecord] = {}
        newest, bad, fields = EPOCH, [], self._options.runs
        for number, row in enumerate(page.rows, 1):
            try:
                run = read_run(row, fields, self._options.states, page.clock)
                changed = changed_at(row, fields, run)
            except RecordUnreadable as error:
                bad.append(skipped(f"run {number}", row, error))
                continue
            newest = max(newest, changed or EPOCH)
            if changed is None or changed >= at.begun or run.state.is_open or run.attempt_key in requested:
                runs[run.attempt_key] = run
        return sorted(runs.values(), key=lambda run: run.started_at or run.queued_at or EPOCH), newest, bad

    def _singles(
        self,
        open_runs: Sequence[RunRef],
        reported: Collection[str],
        deadline: Deadline,
        clock: TargetClock | None,
        bad: list[SkippedRecord],
    ) -> list[RunRecord]:
        """Open runs that the list did not show, one by one, where config says how. What cannot be read joins `bad`."""
        if not self._options.runs.one:
            return []
        runs = []
        for ref in [ref for ref in open_runs if ref.attempt_key not in reported][:MAX_SINGLE_READS]:
            row = self._client.run(ref.attempt_key, deadline)
            try:
                runs.append(
                    no_longer_listed(ref, "gone", VANISHED_MESSAGE)
                    if row is None
                    else self._open_run_record(row, ref, clock)
                )
            except RecordUnreadable as error:
                bad.append(skipped(f"run {ref.attempt_key}", row, error))
        return runs

    def _open_run_record(self, row: Any, ref: RunRef, clock: TargetClock | None) -> RunRecord:
        run = read_run(row, self._options.runs, self._options.states, clock)
        if run.attempt_key != ref.attempt_key:
            raise RecordUnreadable("the reply is about another run than requested")
        return run

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        return client.read_log(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        return actions.preview(self._client, spec, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return actions.send(self._client, preview.plan, key, send_timeout(preview, timeout_seconds))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return unless_in_flight(actions.look_up(self._client, preview.plan, key, timeout_seconds), preview)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        """Both lists are asked; a refusal of the one is a missing right. Raises where both are out of reach."""
        deadline, options = Deadline(timeout_seconds), self._options
        jobs = self._client.page(options.jobs, None, EPOCH, deadline)
        rights = [SourcePermission("read jobs", True)]
        try:
            self._client.page(options.runs, None, datetime.now(UTC), deadline)
            rights.append(SourcePermission("read runs", True))
        except AccessRefused as error:
            rights.append(SourcePermission("read runs", False, str(error), f"let the account read {options.runs.path}"))
        acting = [name for name in ("rerun", "start", "cancel") if getattr(options.verbs, name) is not None]
        rights += [
            SourcePermission(name, None, "it shows when it is sent", "let the account call it", "act")
            for name in acting
        ]
        return Probe(True, "", tuple(rights), clock=jobs.clock)

    def close(self) -> None:
        self._client.close()


def _read_since(at: HttpCursor, open_runs: Sequence[RunRef]) -> datetime:
    """From when on is asked: the cursor's, or the start of the oldest run that is still open."""
    starts = [ref.started_at for ref in open_runs if ref.started_at is not None]
    return min([at.since, *starts])


def _server_time(page: HttpPage) -> datetime:
    return page.clock.target if page.clock else datetime.now(UTC)


def missing_capabilities(options: HttpOptions) -> dict[Capability, str]:
    """What config names no call for."""
    verbs = {Capability.RERUN: Verb.RERUN, Capability.START: Verb.START, Capability.CANCEL: Verb.CANCEL}
    missing = {can: actions.missing_verb(verb) for can, verb in verbs.items() if getattr(options.verbs, verb) is None}
    return missing if options.log is not None else {**missing, Capability.LOG: client.NO_LOG_CALL}


def open_connector(options: HttpOptions, target: str, secrets: SecretResolver) -> Connector:
    return HttpConnector(options, secrets)


NO_HOLD = "a hold needs a place for our mark at the source; this kind knows none"
CONNECTOR = ConnectorKind(
    kind="http",
    title="Any REST API, mapped in the config",
    options=HttpOptions,
    targets=lambda options: [TARGET],
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.LOG}),
    missing={
        Capability.MARK: "Headway records it as asserted",
        Capability.HOLD: NO_HOLD,
        Capability.TASKS: "a run is read as a whole",
        Capability.PERIODS: "what a rerun works on is up to the API",
        Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
    },
    lacks=missing_capabilities,
    proofs=frozenset({ProofLevel.EXIT, ProofLevel.FULL}),
    verbs={Verb.RERUN: "what verbs.rerun names", Verb.START: "what verbs.start names", Verb.CANCEL: "verbs.cancel"},
    may_start_early=True,
    schedules="expression",
    ladder="Proves a run's end as the API reports it, by the values that states names; any other value is UNKNOWN. "
    "With a log it proves output as well.",
)

MAX_EMPTY_PAGES = 20
"""Pages in a row without a row that a walk asks for: some APIs filter behind their pages."""


@dataclass(frozen=True, slots=True)
class HttpCursor:
    """`since`: the newest change that was read completely. In a walk over pages: `begun`, the instant it began with;
    `page`, the next page (None: no walk); `newest`, the newest change so far; `until`, the source's clock at its first
    page. `page_ids`, a digest of one of the `pages` read, and `empty`, the number of last pages without rows, detect
    endless walks."""

    since: datetime = EPOCH
    begun: datetime = EPOCH
    page: str | int | None = None
    newest: datetime = EPOCH
    page_ids: str = ""
    until: datetime = EPOCH
    pages: int = 0
    empty: int = 0

    def repeats(self, ids: str) -> bool:
        """Whether a page whose rows have this digest ("" without rows) shows that the pages do not end."""
        return self.empty >= MAX_EMPTY_PAGES if not ids else ids == self.page_ids

    def after(self, ids: str) -> HttpCursor:
        """With one more page read. The page that is remembered is replaced at every power of two (Brent): so a circle
        of any length is found."""
        pages = self.pages + 1
        page_ids = ids if ids and (not self.page_ids or pages & (pages - 1) == 0) else self.page_ids
        return replace(self, pages=pages, page_ids=page_ids, empty=0 if ids else self.empty + 1)
