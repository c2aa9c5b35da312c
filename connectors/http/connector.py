"""The `http` connector: any REST API that lists jobs and runs, with its lists and fields named in the config.

The cursor holds up to which change runs were read, and the position in a walk over pages.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from connectors.http.client import MAX_PAGES, HttpApiClient, HttpPage, fill_placeholders, read_log
from connectors.http.options import PLACEHOLDER, HttpOptions, HttpVerbCall
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import changed_at, inventory_of, read_run, text_at, unknown_states
from connectors.sdk.fields import EPOCH, as_json
from connectors.sdk.mapped_actions import (
    KEY_PLACEHOLDER,
    MAPPED_CAPABILITIES,
    MISSING_CAPABILITIES,
    NO_HOLD,
    VERB_NAMES,
    MappedActions,
)
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import Inventory, Poll, RunRef, SkippedRecord, TargetClock
from connectors.sdk.settle import sent_at
from connectors.sdk.states import ProofLevel, Verb
from connectors.sdk.transport.http import Transport
from connectors.sdk.vanished_runs import no_longer_listed

TARGET = "api"
VANISHED_MESSAGE = "no longer listed by its source; its end was not observed"
TOO_MANY_PAGES = f"more than {MAX_PAGES} pages: no more are read"
ENDLESS_PAGES = "the pages do not end: one repeated under another token, so no more are read; correct next and query"
SETTLE_TIME = timedelta(seconds=5)  # a start is listed moments after its instant
MAX_SINGLE_READS = 50  # open runs that one poll looks up by themselves


SEARCH_WINDOW = timedelta(minutes=5)
"""How long before an action was sent runs are searched for it: the clocks may differ by as much."""
MAX_SEARCHED_PAGES = 50


class HttpActions(MappedActions[HttpVerbCall]):
    what, setting, id_place = "call", "path", "id"

    def __init__(self, client: HttpApiClient) -> None:
        super().__init__(client.options.verbs, client.options.runs, client.options.states)
        self._client, self._runs = client, client.options.runs

    def shown(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        given = {**values, "key": KEY_PLACEHOLDER}
        body = json.dumps(fill_placeholders(call.body, given)) if call.body is not None else ""
        path = PLACEHOLDER.sub(lambda match: str(given[match[1]]) or f"<{match[1]}>", call.path)
        native_call = f"{call.method} {self._client.endpoint.base_url}{path} {body}".rstrip()
        return f"{call.method} {call.path}", f"{call.method} {path}", (native_call,)

    def refusal(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> str | None:
        """Why a requested run could not be looked up later."""
        if verb is Verb.CANCEL or "since" in self._runs.places:
            return None
        try:
            deque(self._recent_rows(datetime.now(UTC) - SEARCH_WINDOW), maxlen=0)
        except NotSupported as error:
            return str(error)
        return None

    def send(self, call: HttpVerbCall, values: Mapping[str, Any]) -> str:
        self._client.request(call, values, once=True)
        return f"accepted by {call.method} {call.path}"

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        since = (sent_at(plan) or datetime.now(UTC)) - SEARCH_WINDOW
        rows = (row for row in self._recent_rows(since) if text_at(row, self._runs.key) == key)
        return next((text_at(row, self._runs.id) for row in rows), None), ""

    def run_row(self, run_id: str) -> Any | None:
        return next((row for row in self._recent_rows(EPOCH) if text_at(row, self._runs.id) == run_id), None)

    def _recent_rows(self, since: datetime) -> Iterator[Any]:
        """The rows of runs that changed since. Raises NotSupported where the list may leave out rows: then a run that
        is not among them may exist."""
        page, cut = None, f"more than {MAX_SEARCHED_PAGES} pages of runs are listed"
        for _ in range(MAX_SEARCHED_PAGES):
            result = self._client.page(self._runs, page, since)
            yield from result.rows
            page, end = result.following, result.is_before(since, self._runs)
            if end or (page is None and not result.cut):
                return
            if result.cut:
                cut = result.cut
                break
        fix = "" if "since" in self._runs.places else ". Fix: add {since} to the query of runs"
        raise NotSupported(f"the outcome of a lost reply cannot be checked: {cut}{fix}")


class HttpConnector(ComposedConnector):
    def __init__(self, options: HttpOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        self._options, self._api = options, HttpApiClient(options, secrets, transport)
        super().__init__(
            self._api,
            inventory=self._read_inventory,
            poll=self._read_runs,
            log=partial(read_log, self._api),
            acts=HttpActions(self._api),
            holds=unsupported(NO_HOLD),
            probe=self._permissions,
        )

    def _read_inventory(self, previous_hash: str) -> Inventory:
        rows, clock, cut = self._all_jobs()
        proof = ProofLevel.FULL if self._options.log else ProofLevel.EXIT
        return inventory_of(rows, self._options.jobs, proof, previous_hash, clock, cut)

    def _all_jobs(self) -> tuple[list[Any], TargetClock | None, str]:
        """All rows, the source's clock, and why rows may be missing ("" for none)."""
        rows: list[Any] = []
        page, walk = None, HttpCursor()
        for _ in range(MAX_PAGES):
            result = self._api.page(self._options.jobs, page, EPOCH)
            ids = result.ids_digest(self._options.jobs.id)
            if walk.repeats(ids):
                return rows, result.clock, ENDLESS_PAGES
            rows, page, walk = rows + result.rows, result.following, walk.after(ids)
            if page is None:
                return rows, result.clock, result.cut
        return rows, None, TOO_MANY_PAGES

    def _read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
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

    def _permissions(self) -> Probe:
        options = self._options
        jobs = self._api.page(options.jobs, None, EPOCH)
        rights = [SourcePermission("read jobs", True)]
        try:
            self._api.page(options.runs, None, datetime.now(UTC))
            rights.append(SourcePermission("read runs", True))
        except AccessRefused as error:
            rights.append(SourcePermission("read runs", False, str(error), f"let the account read {options.runs.path}"))
        rights += [
            SourcePermission(verb.value, None, "unknown until first sent", f"permit {call.method} {call.path}", "act")
            for verb in VERB_NAMES
            if (call := options.verbs.of(verb)) is not None
        ]
        return Probe(True, "", tuple(rights), clock=jobs.clock)


CONNECTOR = ConnectorKind(
    kind="http",
    title="Any REST API, mapped in the config",
    options=HttpOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: HttpConnector(options, secrets),
    capabilities=MAPPED_CAPABILITIES,
    missing=MISSING_CAPABILITIES,
    lacks=lambda options: HttpActions.missing_capabilities(options.verbs, options.log),
    proofs=frozenset({ProofLevel.EXIT, ProofLevel.FULL}),
    verbs=VERB_NAMES,
    may_start_early=True,
    schedules="expression",
    ladder="Proves a run's end as the API reports it, by the values that states names; any other value is UNKNOWN. "
    "With a log it proves output as well.",
)

MAX_EMPTY_PAGES = 20  # pages in a row without a row that a walk asks for: some APIs filter behind their pages


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
        """With one more page read. The stored digest is replaced at every power of two (Brent): so a circle of any
        length is found."""
        pages = self.pages + 1
        page_ids = ids if ids and (not self.page_ids or pages & (pages - 1) == 0) else self.page_ids
        return replace(self, pages=pages, page_ids=page_ids, empty=0 if ids else self.empty + 1)
