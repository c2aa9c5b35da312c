"""Conformance under faulty replies: a login page, half a reply, endless pages, and an HTTP server that sends them.

A world defines the hooks that play them, or names them in `unplayed` or `elsewhere`. Under every fault a call ends in
time, raises only ConnectorError, and loses nothing that it had.
`FaultyTransport(fake.handle, how)` is an httpx transport between a fake and its connector.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import httpx

from connectors.sdk.conformance.world import ConformanceWorld, Runs, identity, requires, resident_bytes, states
from connectors.sdk.errors import AccessRefused, ConnectorError, SystemUnreachable
from connectors.sdk.records import Poll, RunRecord
from connectors.sdk.states import RunState


@dataclass
class PollTrace:
    """The polls of a connector until they ended, or until an error."""

    polls: list[Poll] = field(default_factory=list)
    error: ConnectorError | None = None

    @property
    def runs(self) -> dict[tuple[str, str], RunRecord]:
        return {identity(run): run for poll in self.polls for run in poll.runs}

    @property
    def is_reported(self) -> bool:
        """True where an error, a skipped record or a warning shows that not all was read."""
        return bool(self.error) or any(poll.skipped or poll.warnings or not poll.complete for poll in self.polls)

    @property
    def reasons(self) -> list[str]:
        return [item.reason for poll in self.polls for item in poll.skipped]


LOGIN_PAGE = "login page with 200"
TRUNCATED = "truncated reply"
NOT_UTF8 = "invalid UTF-8"
BUSY = "429"
BUSY_7 = "429, come back in 7 s"
NOT_A_NUMBER = "NaN for a number"
GARBLED = "a record without its fields"
TWICE = "each record twice"
SHUFFLED = "records in another order"
ENDLESS = "endless pages"
HOUR_OFF = "a clock an hour off"
LONG_LINE = "a line of 10 MB"
JOB_DELETED = "a job that was renamed or deleted"
STATUS = "status "
"""And a number: every query is answered with that HTTP status."""
ANY_STATUS = "any status"
"""All of these, where a world says that it plays none."""

NASTY = (
    LOGIN_PAGE, TRUNCATED, NOT_UTF8, BUSY, BUSY_7, NOT_A_NUMBER, GARBLED, TWICE, SHUFFLED, ENDLESS, HOUR_OFF,
    LONG_LINE, JOB_DELETED,
)  # fmt: skip
LONG_BYTES = 10_000_000
MAX_NASTY_POLLS = 60
MAX_COMPARISONS = 4
MANY_RUNS = 40_000
MAX_MORE_MIB = 24
"""That a poller may grow while it reads nine tenths of them: as records they take twice as much."""
A_PERSON = (401, 402, 403, 407, 451, 301, 302, 307)
LATER = (408, 425, 429, 500, 502, 503, 504, 520)


class Faults(ConformanceWorld):
    """Faulty replies, lost rights, late runs, and too many records."""

    @requires("with_a_right_revoked")
    def test_revoked_right_is_named_by_the_probe(self) -> None:
        with self.opened(self.with_a_right_revoked()) as connector:
            try:
                rights = connector.probe(self.timeout_seconds).rights
            except AccessRefused:
                return
        lost = [right for right in rights if right.held is False]
        assert lost, f"a right was revoked, and the probe knows nothing of it: {rights}"
        assert all(right.why and right.fix for right in lost), f"a right without its fix: {lost}"

    @requires("answering", LOGIN_PAGE)
    def test_login_page_is_no_empty_list(self) -> None:
        trace = self.trace_of(LOGIN_PAGE)
        assert isinstance(trace.error, AccessRefused), f"a login page is taken for an answer: {trace}"

    @requires("answering", TRUNCATED)
    def test_truncated_reply_is_no_short_list(self) -> None:
        trace = self.trace_of(TRUNCATED)
        assert isinstance(trace.error, SystemUnreachable), f"half a reply is taken for a whole one: {trace}"

    @requires("answering", NOT_UTF8)
    def test_bytes_that_are_no_text_leave_the_rest_alone(self) -> None:
        """Or the whole reply is unreadable, where its format cannot contain them: then the error names UTF-8."""
        trace, truth = self.trace_beside_truth(NOT_UTF8)
        if isinstance(trace.error, SystemUnreachable) and "UTF-8" in str(trace.error):
            self.check_not_greener(trace, truth)
        else:
            self.check_unchanged(trace, truth, silent=True)

    @requires("answering", BUSY, BUSY_7)
    def test_busy_source_is_polled_again_later(self) -> None:
        trace = self.trace_of(BUSY)
        assert isinstance(trace.error, SystemUnreachable), f"429 is {trace}"
        reported = self.trace_of(BUSY_7)
        assert isinstance(reported.error, SystemUnreachable)
        seconds = reported.error.retry_after_seconds
        assert seconds == 7, f"7 s were requested, and {seconds} is returned"

    @requires("answering", ANY_STATUS)
    def test_every_status_is_sorted_by_what_happens_next(self) -> None:
        for statuses, requested in ((A_PERSON, AccessRefused), (LATER, SystemUnreachable)):
            for status in statuses:
                error = self.trace_of(f"{STATUS}{status}").error
                assert isinstance(error, requested), f"{status} is {error!r}, not {requested.__name__}"
        for status in (400, 404, 405, 406, 410, 418, 422, 501, 505):
            trace = self.trace_of(f"{STATUS}{status}")
            assert trace.is_reported, f"{status} is taken for an answer"
            assert not trace.runs, f"{status} returned {trace.runs}"

    @requires("answering", GARBLED)
    def test_record_that_cannot_be_read_is_skipped_with_a_reason(self) -> None:
        trace, truth = self.trace_beside_truth(GARBLED)
        self.check_unchanged(trace, truth)
        assert all(trace.reasons), "a record is skipped without a reason"

    @requires("answering", NOT_A_NUMBER)
    def test_number_that_is_none_makes_nothing_green(self) -> None:
        self.check_unchanged(*self.trace_beside_truth(NOT_A_NUMBER), silent=True)

    @requires("answering", TWICE)
    def test_records_that_come_twice_are_one(self) -> None:
        trace, truth = self.trace_beside_truth(TWICE)
        assert trace.error is None, f"records came twice: {trace.error}"
        assert states(trace.runs) == states(truth), "duplicates change the records"

    @requires("answering", SHUFFLED)
    def test_records_in_another_order_are_the_same(self) -> None:
        trace, truth = self.trace_beside_truth(SHUFFLED)
        assert trace.error is None, f"records came in another order: {trace.error}"
        assert states(trace.runs) == states(truth), "the order changes the records"

    @requires("answering", ENDLESS)
    def test_endless_pages_end(self) -> None:
        trace = self.trace_of(ENDLESS)
        assert trace.is_reported, "pages that never end were read as if they did, without a warning"
        self.check_not_greener(trace, self.truth())

    @requires("answering", HOUR_OFF)
    def test_clock_that_is_off_is_reported_and_changes_no_record(self) -> None:
        trace, truth = self.trace_beside_truth(HOUR_OFF)
        clocks = [poll.clock for poll in trace.polls if poll.clock is not None]
        assert trace.error is None, f"a clock is off: {trace.error}"
        assert clocks, "no poll has the clock of its source"
        assert all(3500 < clock.skew_seconds < 3700 for clock in clocks), f"an hour off, and reported as {clocks}"
        assert states(trace.runs) == states(truth)

    @requires("answering", LONG_LINE)
    def test_long_line_leaves_the_rest_alone(self) -> None:
        self.check_unchanged(*self.trace_beside_truth(LONG_LINE), silent=True)

    @requires("answering", JOB_DELETED)
    def test_runs_of_a_job_that_is_gone_do_not_end_the_poll(self) -> None:
        trace = self.trace_of(JOB_DELETED)
        assert trace.error is None, f"a job is gone: {trace.error}"
        before, after = ([*states(runs).values()].count(RunState.SUCCEEDED) for runs in (self.truth(), trace.runs))
        assert after <= before, f"{before} runs were green, and {after} are since a job is gone"

    @requires("answering")
    def test_inventory_is_short_with_a_warning_only(self) -> None:
        """Missing jobs count as deleted, so a job that was not read makes the inventory incomplete."""
        with self.opened() as connector:
            truth = {job.native_id for job in self.whole_inventory(connector).jobs}
        for how in (LOGIN_PAGE, TRUNCATED, NOT_UTF8, NOT_A_NUMBER, GARBLED, TWICE, SHUFFLED, ENDLESS):
            if self.lacks(how):
                continue
            with self.opened(self.answering(how)) as connector, suppress(ConnectorError):
                whole_inventory = self.whole_inventory(connector)
                ids = [job.native_id for job in whole_inventory.jobs]
                missing = truth - set(ids)
                assert len(ids) == len(set(ids)), f"{how}: jobs come twice: {sorted(ids)}"
                is_reported = not missing or not whole_inventory.complete
                assert is_reported, f"{how}: {sorted(missing)} are missing, without a warning"

    @requires("with_a_run_behind")
    def test_run_behind_the_cursor_is_reported(self) -> None:
        connector, put = self.with_a_run_behind()
        with self.opened(connector):
            cursor = connector.poll("", (), self.timeout_seconds).cursor
            key = put()
            walked = list(self.polls_until_end(connector, cursor))
            walked += self.polls_until_end(connector, walked[-1].cursor)
        assert key in {run.attempt_key for poll in walked for run in poll.runs}, f"run {key} is never reported"

    @requires("crowded")
    def test_many_runs_take_bounded_memory(self) -> None:
        with self.opened(self.crowded(MANY_RUNS)) as connector:
            begins = self.crowd_begins(connector)
            count, polls, sizes = 0, 0, []
            for poll in self.polls_until_end(connector, begins):
                count, polls = count + len(poll.runs), polls + 1
                if count >= MANY_RUNS // 10:
                    sizes.append(resident_bytes())
        assert count >= MANY_RUNS, f"{MANY_RUNS} runs, and {count} are reported"
        grown_mib = (max(sizes) - sizes[0]) / 1024**2
        assert len(sizes) >= 4, f"{MANY_RUNS} runs in {polls} polls: too many at once"
        assert grown_mib < MAX_MORE_MIB, f"{grown_mib:.0f} MiB more from {MANY_RUNS // 10} to {MANY_RUNS} runs"

    def trace_of(self, how: str) -> PollTrace:
        trace, cursor = PollTrace(), ""
        with self.opened(self.answering(how)) as connector:
            try:
                for _ in range(MAX_NASTY_POLLS):
                    trace.polls.append(connector.poll(cursor, (), self.timeout_seconds))
                    if not trace.polls[-1].more:
                        return trace
                    cursor = trace.polls[-1].cursor
            except ConnectorError as error:
                trace.error = error
        assert trace.error is not None, f"{how}: does not end within {MAX_NASTY_POLLS} polls"
        assert str(trace.error), f"{how}: an error without a message"
        return trace

    def trace_beside_truth(self, how: str) -> tuple[PollTrace, Runs]:
        """The trace and the truth, polled again where a real source started or ended a run meanwhile."""
        truth = self.truth()
        for _ in range(MAX_COMPARISONS):
            before, trace = truth, self.trace_of(how)
            truth = self.truth()
            if states(before) == states(truth):
                break
        return trace, truth

    def check_unchanged(self, trace: PollTrace, truth: Runs, silent: bool = False) -> None:
        """Fails unless at most one row of each list differs, and the others are reported."""
        assert trace.error is None, f"one record is odd, and nothing is read: {trace.error!r}"
        self.check_not_greener(trace, truth)
        reported = states(trace.runs)
        missing = {key for key, state in states(truth).items() if reported.get(key) != state}
        message = f"one record is odd, and these are gone or changed: {sorted(missing)}"
        rows = {(key[0], truth[key].native_ref or key[1]) for key in missing}  # a row may have several attempts
        fix = f"lists_of_records is {self.lists_of_records}: set the number of lists and pages that a poll reads"
        assert len(rows) <= self.lists_of_records, f"{message}; one record of each answer is odd. Fix: {fix}"
        assert silent or trace.is_reported, "no warning"
        assert not missing or trace.is_reported, f"{sorted(missing)} changed without a warning"

    def check_not_greener(self, trace: PollTrace, truth: Runs) -> None:
        before = states(truth)
        for key, run in trace.runs.items():
            is_green = run.state == RunState.SUCCEEDED
            assert not is_green or before.get(key) == RunState.SUCCEEDED, f"green by accident: {run}"


Handler = Callable[[httpx.Request], httpx.Response]
Rows = list[dict[str, Any]]


@dataclass
class FaultyTransport(httpx.BaseTransport):
    """The answers of `handler` to requests below `paths`, spoiled as `how` says."""

    handler: Handler
    how: str
    paths: str = ""
    """Pattern of the paths that are spoiled; all others are answered as they should be."""
    text: str = "message"
    """Field of a record that holds free text."""
    endless: Callable[[Any, int], Any] | None = None
    """Makes a body promise a next page (the number counts the calls). None: the source does not page, and its world
    names ENDLESS in `unplayed`."""
    body_pattern: str = ""
    """Pattern of the body of what is spoiled, for sources with one path for all."""
    _calls: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        good = self.handler(request)
        good.read()
        is_meant = re.search(self.paths, request.url.path) and re.search(self.body_pattern, request.content.decode())
        if not is_meant or good.status_code >= 300:
            return good
        self._calls += 1
        return self._spoiled(good)

    def _spoiled(self, good: httpx.Response) -> httpx.Response:
        headers = {"content-type": "application/json"} | {k: v for k, v in good.headers.items() if k == "date"}
        if self.how == LOGIN_PAGE:
            page = b"<html><form action=/login><input name=password></form></html>"
            return httpx.Response(200, content=page, headers={"content-type": "text/html"})
        if self.how in (BUSY, BUSY_7):
            return httpx.Response(429, json={}, headers={"retry-after": "7"} if self.how == BUSY_7 else {})
        if self.how.startswith(STATUS):
            return httpx.Response(int(self.how.removeprefix(STATUS)), json={"detail": "no"})
        if self.how == HOUR_OFF:
            date = headers.get("date")
            at = (parsedate_to_datetime(date) if date else datetime.now(UTC)) + timedelta(hours=1)
            headers["date"] = format_datetime(at.astimezone(UTC), usegmt=True)
            return httpx.Response(200, content=good.content, headers=headers)
        return httpx.Response(200, content=self._body(good.content), headers=headers)

    def _body(self, content: bytes) -> bytes:
        if self.how == TRUNCATED:
            return content[: len(content) // 2]
        body = json.loads(content)
        if self.how == ENDLESS:
            assert self.endless is not None, "it has no pages: name ENDLESS in `unplayed`"
            return json.dumps(self.endless(body, self._calls)).encode()
        rows = rows_of(body)
        if rows:
            self._spoil(rows)
        return json.dumps(body).encode().replace(b"NOT-UTF-8", b"\xff\xfe")

    def _spoil(self, rows: Rows) -> None:
        if self.how == TWICE:
            rows.extend(dict(row) for row in list(rows))
        elif self.how == SHUFFLED:
            rows.reverse()
            rows.append(rows.pop(0))
        elif self.how == GARBLED:
            rows[-1] = {"odd": [None]}
        elif self.how == NOT_A_NUMBER:
            rows[-1] |= {name: float("nan") for name, value in rows[-1].items() if type(value) in (int, float)}
        elif self.how == LONG_LINE:
            rows[-1][self.text] = "x" * LONG_BYTES
        elif self.how == NOT_UTF8:
            rows[-1][self.text] = "NOT-UTF-8"


@dataclass
class EndlessBody:
    """For servers that page by offset or by instant, and end a list with a short page: always the same full one."""

    size: int
    _first: Any = None

    def __call__(self, body: Any, times: int) -> Any:
        self._first = self._first or body
        return (self._first * self.size)[: self.size]


def rows_of(body: Any) -> Rows:
    """The first list of objects in a body; empty without one."""
    if isinstance(body, list):
        return body if body and all(isinstance(item, dict) for item in body) else []
    if isinstance(body, dict):
        return next((result for result in map(rows_of, body.values()) if result), [])
    return []
