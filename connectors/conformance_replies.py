"""The conformance tests of replies that no source should send: a login page, half a reply, endless pages.

A world that can play them has the hooks of `connectors.conformance_hooks`; what it does not play it says in `unplayed`
or `elsewhere`, and is skipped with that reason. Whatever comes: a call ends in its time, what cannot be read is told
with its reason, the rest is kept, and nothing is greener than it was.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

from connectors.conformance_hooks import Heard, RepliesHooks
from connectors.conformance_support import identity, is_long_over, ref, resident_bytes
from connectors.contract import (
    AccessRefused,
    Capability,
    Connector,
    ConnectorError,
    Poll,
    RunRecord,
    State,
    SystemUnreachable,
)
from connectors.transport.counting import Tally, counting

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
GONE = "a job that was renamed or deleted"
STATUS = "status "
"""And a number: every look is answered with that HTTP status."""
ANY_STATUS = "any status"
"""All of these, where a world says that it plays none."""

NASTY = (
    LOGIN_PAGE, TRUNCATED, NOT_UTF8, BUSY, BUSY_7, NOT_A_NUMBER, GARBLED, TWICE, SHUFFLED, ENDLESS, HOUR_OFF,
    LONG_LINE, GONE,
)  # fmt: skip
LONG_BYTES = 10_000_000
MOST_NASTY_BITES = 60
MOST_LOOKS = 4
Told = Mapping[tuple[str, str], RunRecord]
MOST_REQUESTS = 25
MANY_RUNS = 100_000
MOST_MEMORY_BYTES = 64 * 1024**2
LOG_BYTES = 50_000_000
LOG_PIECE_BYTES = 1024**2
A_PERSON = (401, 402, 403, 407, 451, 301, 302, 307)
LATER = (408, 425, 429, 500, 502, 503, 504, 520)


class RepliesConformance(RepliesHooks):
    """What becomes of replies that nobody should send, and of too many."""

    def test_revoked_right_is_named_by_the_probe(self) -> None:
        self.needs_played("with_a_right_revoked")
        with self.opened(self.with_a_right_revoked()) as connector:
            try:
                rights = connector.probe(self.timeout_seconds).rights
            except AccessRefused:
                return
        lost = [right for right in rights if right.held is False]
        assert lost, f"a right was revoked, and the probe knows nothing of it: {rights}"
        assert all(right.why and right.mend for right in lost), f"a right without its mend: {lost}"

    # what cannot be read at all

    def test_login_page_is_no_empty_list(self) -> None:
        heard = self.heard(LOGIN_PAGE)
        assert isinstance(heard.error, AccessRefused), f"a login page is taken for an answer: {heard}"

    def test_truncated_reply_is_no_short_list(self) -> None:
        heard = self.heard(TRUNCATED)
        assert isinstance(heard.error, SystemUnreachable), f"half a reply is taken for a whole one: {heard}"

    def test_bytes_that_are_no_text_leave_the_rest_alone(self) -> None:
        """Or the whole reply is none, where its form cannot hold them: then its error says that it is no UTF-8."""
        heard, truth = self.heard_beside_truth(NOT_UTF8)
        if isinstance(heard.error, SystemUnreachable) and "UTF-8" in str(heard.error):
            self.check_not_greener(heard, truth)
        else:
            self.check_kept(heard, truth, silent=True)

    def test_busy_source_is_asked_again_later(self) -> None:
        heard = self.heard(BUSY)
        assert isinstance(heard.error, SystemUnreachable), f"429 is {heard}"
        told = self.heard(BUSY_7)
        assert isinstance(told.error, SystemUnreachable)
        assert told.error.retry_after_seconds == 7, f"asked for 7 s, and {told.error.retry_after_seconds} is told"

    def test_every_status_is_sorted_by_what_happens_next(self) -> None:
        for statuses, wanted in ((A_PERSON, AccessRefused), (LATER, SystemUnreachable)):
            for status in statuses:
                error = self.heard(f"{STATUS}{status}").error
                assert isinstance(error, wanted), f"{status} is {error!r}, not {wanted.__name__}"
        for status in (400, 404, 405, 406, 410, 418, 422, 501, 505):
            heard = self.heard(f"{STATUS}{status}")
            assert heard.is_told, f"{status} is taken for an answer"
            assert not heard.runs, f"{status} told {heard.runs}"

    # what can be read in part

    def test_record_that_cannot_be_read_is_skipped_with_a_reason(self) -> None:
        heard, truth = self.heard_beside_truth(GARBLED)
        self.check_kept(heard, truth)
        assert all(heard.reasons), "a record is skipped without a reason"

    def test_number_that_is_none_makes_nothing_green(self) -> None:
        self.check_kept(*self.heard_beside_truth(NOT_A_NUMBER), silent=True)

    def test_records_that_come_twice_are_one(self) -> None:
        heard, truth = self.heard_beside_truth(TWICE)
        assert heard.error is None, f"records came twice: {heard.error}"
        assert self.states(heard.runs) == self.states(truth), "what came twice is told otherwise"

    def test_records_in_another_order_are_the_same(self) -> None:
        heard, truth = self.heard_beside_truth(SHUFFLED)
        assert heard.error is None, f"records came in another order: {heard.error}"
        assert self.states(heard.runs) == self.states(truth), "what came in another order is told otherwise"

    def test_endless_pages_end(self) -> None:
        heard = self.heard(ENDLESS)
        assert heard.is_told, "pages that never end were read as if they did, and nobody is told"
        self.check_not_greener(heard, self.truth())

    def test_clock_that_is_off_is_told_and_changes_no_record(self) -> None:
        heard, truth = self.heard_beside_truth(HOUR_OFF)
        clocks = [poll.clock for poll in heard.polls if poll.clock is not None]
        assert heard.error is None, f"a clock is off: {heard.error}"
        assert clocks, "no poll tells the clock of its source"
        assert all(3500 < one.skew_seconds < 3700 for one in clocks), f"an hour off, and told as {clocks}"
        assert self.states(heard.runs) == self.states(truth)

    def test_long_line_leaves_the_rest_alone(self) -> None:
        self.check_kept(*self.heard_beside_truth(LONG_LINE), silent=True)

    def test_runs_of_a_job_that_is_gone_do_not_end_the_poll(self) -> None:
        heard = self.heard(GONE)
        assert heard.error is None, f"a job is gone: {heard.error}"
        before, after = (
            sum(one.state == State.SUCCEEDED for one in runs.values()) for runs in (self.truth(), heard.runs)
        )
        assert after <= before, f"{before} runs were green, and {after} are since a job is gone"

    def test_inventory_is_short_with_a_word_only(self) -> None:
        """Whatever comes: jobs that are not in it are gone, so one that was not read is told."""
        self.needs_played("answering")
        with self.opened() as connector:
            truth = {job.native_id for job in self.whole_inventory(connector).jobs}
        for how in (LOGIN_PAGE, TRUNCATED, NOT_UTF8, NOT_A_NUMBER, GARBLED, TWICE, SHUFFLED, ENDLESS):
            if how in self.unplayed or how in self.elsewhere:
                continue
            with self.opened(self.answering(how)) as connector, suppress(ConnectorError):
                found = self.whole_inventory(connector)
                ids = [job.native_id for job in found.jobs]
                gone = truth - set(ids)
                assert len(ids) == len(set(ids)), f"{how}: jobs come twice: {sorted(ids)}"
                assert not gone or not found.complete, f"{how}: {sorted(gone)} are not told, and nobody hears of it"

    # what is read in pieces

    def test_what_is_read_twice_and_from_before_is_the_same(self) -> None:
        """Each bite once more by a connector of its own, from its cursor: repeated and overlapping pages converge."""
        self.make_success()
        with self.opened() as connector:
            cursors = ["", *(poll.cursor for poll in self.bites(connector, ""))]
        whole: dict[tuple[str, str], RunRecord] = {}
        for cursor in (*cursors, *reversed(cursors)):
            with self.opened() as connector:
                whole |= {identity(run): run for run in connector.poll(cursor, (), self.timeout_seconds).runs}
        truth = {key: run for key, run in self.truth().items() if is_long_over(run)}
        assert set(truth) <= set(whole), f"lost between the bites: {sorted(set(truth) - set(whole))}"
        assert self.states(truth) == {key: whole[key].state for key in truth}

    def test_incremental_equals_full(self) -> None:
        self.make_success()
        with self.opened() as connector:
            polls = list(self.bites(connector, ""))
        if "failure" not in self.limits:
            self.make_failure()
        self.advance()
        with self.opened() as connector:
            told = [run for poll in (*polls, *self.bites(connector, polls[-1].cursor)) for run in poll.runs]
        full = {key: run for key, run in self.truth().items() if is_long_over(run)}
        assert self.states(full) == {key: run.state for key, run in _latest(told).items() if key in full}

    def test_requests_of_a_quiet_poll_are_counted(self) -> None:
        """Printed (pytest -rP): what a poll costs that has nothing new to tell, in a world of a few jobs."""
        with self.opened() as connector:
            cursor = [*self.bites(connector, "")][-1].cursor
            tally = Tally()
            with counting(tally):
                connector.poll(cursor, (), self.timeout_seconds)
        sys.stdout.write(f"{self.kind.kind}: {tally.requests} requests in a quiet poll\n")
        assert tally.requests <= MOST_REQUESTS, f"{tally.requests} requests in a poll of nothing new"

    def test_run_behind_what_was_read_is_told(self) -> None:
        self.needs_played("with_a_run_behind")
        connector, put = self.with_a_run_behind()
        with self.opened(connector):
            cursor = connector.poll("", (), self.timeout_seconds).cursor
            key = put()
            walked = list(self.bites(connector, cursor))
            walked += self.bites(connector, walked[-1].cursor)
        assert key in {run.attempt_key for poll in walked for run in poll.runs}, f"run {key} is never told"

    def test_many_runs_take_bounded_memory(self) -> None:
        self.needs_played("crowded")
        with self.opened(self.crowded(MANY_RUNS)) as connector:
            begins = self.crowd_begins(connector)
            count, most, before = 0, 0, resident_bytes()
            for poll in self.bites(connector, begins):
                count, most = count + len(poll.runs), max(most, resident_bytes())
        assert count >= MANY_RUNS, f"{MANY_RUNS} runs, and {count} are told"
        assert most - before < MOST_MEMORY_BYTES, f"{(most - before) / 1024**2:.0f} MiB for {MANY_RUNS} runs"

    def test_long_log_is_read_in_pieces(self) -> None:
        self.needs("log", Capability.LOG)
        self.needs_played("long_log")
        connector, run = self.long_log(LOG_BYTES)
        with self.opened(connector):
            tail = connector.log(ref(run), None, LOG_PIECE_BYTES, self.timeout_seconds)
        assert tail.cut, "50 MB, and nothing is said to be left out"
        assert len(tail.text.encode("utf-8", "surrogateescape")) <= LOG_PIECE_BYTES

    # helpers

    def needs_heard(self, how: str) -> None:
        """Skips the test where such a reply is not played."""
        self.needs_played("answering")
        self.needs_played(ANY_STATUS if how.startswith(STATUS) else how)

    def heard(self, how: str) -> Heard:
        self.needs_heard(how)
        heard = Heard()
        with self.opened(self.answering(how)) as connector:
            try:
                heard.polls.extend(self.few_bites(connector))
            except ConnectorError as error:
                heard.error = error
        assert heard.error is None or str(heard.error), f"{how}: an error without words"
        return heard

    def few_bites(self, connector: Connector) -> Iterator[Poll]:
        cursor = ""
        for _ in range(MOST_NASTY_BITES):
            poll = connector.poll(cursor, (), self.timeout_seconds)
            yield poll
            if not poll.more:
                return
            cursor = poll.cursor
        raise AssertionError(f"does not end within {MOST_NASTY_BITES} bites")

    def heard_beside_truth(self, how: str) -> tuple[Heard, Told]:
        """What is heard, and the truth of the same time: a real source may start or end a run of its own meanwhile, and
        is then asked once more."""
        self.needs_heard(how)
        truth = self.truth()
        for _ in range(MOST_LOOKS):
            before, heard = truth, self.heard(how)
            truth = self.truth()
            if self.states(before) == self.states(truth):
                break
        return heard, truth

    def truth(self) -> Told:
        """What the same world tells when it answers well."""
        with self.opened() as connector:
            return {identity(run): run for poll in self.bites(connector, "") for run in poll.runs}

    def states(self, runs: Told) -> dict[tuple[str, str], State]:
        return {key: run.state for key, run in runs.items()}

    def check_kept(self, heard: Heard, truth: Told, silent: bool = False) -> None:
        """All but one record of each list are as they were, and the others are told."""
        assert heard.error is None, f"one record is odd, and nothing is read: {heard.error!r}"
        self.check_not_greener(heard, truth)
        states = self.states(truth)
        missing = {
            key for key, state in states.items() if heard.runs.get(key) is None or heard.runs[key].state != state
        }
        assert len(missing) <= self.lists_of_records, (
            f"one record is odd, and these are gone or changed: {sorted(missing)}"
        )
        assert silent or heard.is_told, "nobody is told"
        assert not missing or heard.is_told, f"{sorted(missing)} are not as they were, and nobody is told"

    def check_not_greener(self, heard: Heard, truth: Told) -> None:
        for key, run in heard.runs.items():
            was = truth.get(key)
            assert run.state != State.SUCCEEDED or (was and was.state == State.SUCCEEDED), f"green by accident: {run}"


def _latest(runs: list[RunRecord]) -> dict[tuple[str, str], RunRecord]:
    return {identity(run): run for run in runs}
