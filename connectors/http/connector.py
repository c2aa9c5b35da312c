"""Any REST API that lists jobs and runs: what its lists and fields are called stands in the config."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.arrival import time_to_send, unless_on_its_way
from connectors.contract import (
    AccessRefused,
    Ask,
    Capability,
    Clock,
    Connector,
    ConnectorKind,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RecordUnreadable,
    Right,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
    Verb,
)
from connectors.fields import digest
from connectors.gone import no_longer_listed
from connectors.http import acts, log
from connectors.http.client import MOST_PAGES, HttpClient, Page, ids_of, is_known_below
from connectors.http.cursor import EPOCH, Cursor
from connectors.http.options import HttpOptions
from connectors.mapping import changed_at, jobs_of, read_run, skipped, unknown_words
from connectors.transport.deadline import Deadline

TARGET = "api"
GONE = "its source does not have it any more, and its end was not seen"
TOO_MANY = f"more than {MOST_PAGES} pages: no more are asked for"
ENDLESS = "their pages do not end: one came again under another token, so no more are asked for; correct next and query"
SETTLE = timedelta(seconds=5)
"""A start is listed moments after its instant."""
MOST_SINGLES = 50
"""Open runs that one poll looks up by themselves."""


class HttpConnector:
    """One API as config maps it."""

    def __init__(self, options: HttpOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None) -> None:
        self._options = options
        self._client = HttpClient(options, secrets, transport)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs of the list. Not complete where one of them cannot be read, or pages do not end."""
        deadline, options = Deadline(timeout_seconds), self._options
        rows, clock, cut = self._all_jobs(deadline)
        jobs, bad = jobs_of(rows, options.jobs, Proof.FULL if options.log else Proof.EXIT)
        bad += [Skipped("jobs", cut)] if cut else []
        now = digest([[str(job) for job in jobs], [str(one) for one in bad]])
        if now == previous_hash:
            return Inventory((), not bad, now, unchanged=True, clock=clock)
        return Inventory(tuple(jobs), not bad, now, clock=clock, skipped=tuple(bad))

    def _all_jobs(self, deadline: Deadline) -> tuple[list[Any], Clock | None, str]:
        """Their rows, the source's clock, and why there may be more (empty: these are all)."""
        rows: list[Any] = []
        page, walk = None, Cursor()
        for _ in range(MOST_PAGES):
            got = self._client.page(self._options.jobs, page, EPOCH, deadline)
            ids = ids_of(got.rows, self._options.jobs.id)
            if walk.repeats(ids):
                return rows, got.clock, ENDLESS
            rows, page, walk = rows + got.rows, got.following, walk.after(ids)
            if page is None:
                return rows, got.clock, got.cut
        return rows, None, TOO_MANY

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next page of what changed since the cursor; at the end of a walk the open runs that it did not show."""
        at, deadline = Cursor.read(cursor), Deadline(timeout_seconds)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is none of this kind: reading anew",))
        if at.page is None:
            at = Cursor(since=at.since, begun=_from(at, open_runs), newest=at.since)
        page = self._client.page(self._options.runs, at.page, at.begun, deadline)
        at = at if at.page is not None else replace(at, until=_now(page))
        runs, newest, bad = self._read(page, at, {ref.attempt_key for ref in open_runs})
        ids = ids_of(page.rows, self._options.runs.id)
        if at.page is not None and at.repeats(ids):
            return Poll((), Cursor(since=at.since).text(), complete=False, clock=page.clock,
                        skipped=(Skipped(f"page {at.page}", ENDLESS),), warnings=(f"runs: {ENDLESS}",))  # fmt: skip
        newest = min(max(newest, at.newest), _now(page))
        if page.following is not None and not is_known_below(page, at.begun, self._options.runs):
            following = replace(at.after(ids), page=page.following, newest=newest)
            return self._told(runs, following, page, bad, seen_until=None)
        runs += self._singles(open_runs, {run.attempt_key for run in runs}, deadline, page.clock, bad)
        back = timedelta(seconds=self._options.overlap)
        newest = min(newest, max(at.until, at.since))
        since = max(newest - back, EPOCH) if newest > EPOCH else EPOCH
        return self._told(runs, Cursor(since=since), page, bad, seen_until=at.until - SETTLE)

    def _told(
        self, runs: list[RunRecord], cursor: Cursor, page: Page, bad: list[Skipped], seen_until: datetime | None
    ) -> Poll:
        return Poll(
            tuple(runs),
            cursor.text(),
            more=cursor.page is not None,
            complete=not bad and not page.cut,
            clock=page.clock,
            skipped=tuple(bad),
            seen_until=None if bad or page.cut else seen_until,
            warnings=(*unknown_words(runs), *([page.cut] if page.cut else [])),
        )

    def _read(self, page: Page, at: Cursor, wanted: Collection[str]) -> tuple[list[RunRecord], datetime, list[Skipped]]:
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
            if changed is None or changed >= at.begun or run.state.is_open or run.attempt_key in wanted:
                runs[run.attempt_key] = run
        return sorted(runs.values(), key=lambda run: run.started_at or run.queued_at or EPOCH), newest, bad

    def _singles(
        self,
        open_runs: Sequence[RunRef],
        told: Collection[str],
        deadline: Deadline,
        clock: Clock | None,
        bad: list[Skipped],
    ) -> list[RunRecord]:
        """Open runs that the list did not show, one by one, where config says how. What cannot be read joins `bad`."""
        if not self._options.runs.one:
            return []
        found = []
        for ref in [ref for ref in open_runs if ref.attempt_key not in told][:MOST_SINGLES]:
            row = self._client.one(ref.attempt_key, deadline)
            try:
                found.append(no_longer_listed(ref, "gone", GONE) if row is None else self._one(row, ref, clock))
            except RecordUnreadable as error:
                bad.append(skipped(f"run {ref.attempt_key}", row, error))
        return found

    def _one(self, row: Any, ref: RunRef, clock: Clock | None) -> RunRecord:
        run = read_run(row, self._options.runs, self._options.states, clock)
        if run.attempt_key != ref.attempt_key:
            raise RecordUnreadable("the answer is about another run than we asked for")
        return run

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        return log.chunk(self._client, run, start, limit_bytes, timeout_seconds)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """The call that config names for the verb; nothing is sent."""
        return acts.preview(self._client, ask, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return acts.send(self._client, preview.plan, key, time_to_send(preview, timeout_seconds))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        return unless_on_its_way(acts.look_up(self._client, preview.plan, key, timeout_seconds), preview)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        """Both lists are asked; a refusal of the one is a missing right. Raises where both are out of reach."""
        deadline, options = Deadline(timeout_seconds), self._options
        jobs = self._client.page(options.jobs, None, EPOCH, deadline)
        rights = [Right("read jobs", True)]
        try:
            self._client.page(options.runs, None, datetime.now(UTC), deadline)
            rights.append(Right("read runs", True))
        except AccessRefused as error:
            rights.append(Right("read runs", False, str(error), f"let the account read {options.runs.path}"))
        acting = [name for name in ("rerun", "start", "cancel") if getattr(options.verbs, name) is not None]
        rights += [Right(name, None, "it shows when it is sent", "let the account call it", "act") for name in acting]
        return Probe(True, "", tuple(rights), clock=jobs.clock)

    def close(self) -> None:
        self._client.door.close()


def _from(at: Cursor, open_runs: Sequence[RunRef]) -> datetime:
    """From when on is asked: the cursor's, or the start of the oldest run that is still open."""
    starts = [ref.started_at for ref in open_runs if ref.started_at is not None]
    return min([at.since, *starts])


def _now(page: Page) -> datetime:
    return page.clock.target if page.clock else datetime.now(UTC)


def unnamed(options: HttpOptions) -> dict[Capability, str]:
    """What config names no call for."""
    verbs = {Capability.RERUN: Verb.RERUN, Capability.START: Verb.START, Capability.CANCEL: Verb.CANCEL}
    found = {can: acts.unnamed(verb) for can, verb in verbs.items() if getattr(options.verbs, verb) is None}
    return found if options.log is not None else {**found, Capability.LOG: log.UNNAMED}


def open_connector(options: HttpOptions, target: str, secrets: Secrets) -> Connector:
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
        Capability.MARK: "Headway asserts it itself",
        Capability.HOLD: NO_HOLD,
        Capability.TASKS: "a run is read as a whole",
        Capability.PERIODS: "what a rerun works on is up to the API",
        Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
    },
    lacks=unnamed,
    proofs=frozenset({Proof.EXIT, Proof.FULL}),
    verbs={Verb.RERUN: "what verbs.rerun names", Verb.START: "what verbs.start names", Verb.CANCEL: "verbs.cancel"},
    may_start_early=True,
    schedules="expression",
    ladder="Proves what the API says of a run's end, by the words that states names; any other word is UNKNOWN. With a "
    "log it proves output as well.",
)
