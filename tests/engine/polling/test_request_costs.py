"""The cost of polls for the source of a target: counted where requests leave, stored with its health, shown with the
source's own limit."""

from __future__ import annotations

import re
import threading

import httpx
import pytest

from connectors.sdk.transport.call_limits import Deadline, RequestTally, count_request, counting, note_limit
from connectors.sdk.transport.http import HttpEndpoint
from console.engine.polling.poller import RequestCosts
from tests.engine.bench import Bench
from tests.fakes.scheduler import FakeConnector
from tests.rows import each_row


def test_each_request_is_counted_and_the_remaining_quota_is_reported() -> None:
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4812"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}, headers=headers))
    endpoint, tally = HttpEndpoint("airflow", "https://airflow.example.com", transport=transport), RequestTally()
    with counting(tally):
        endpoint.call("GET", "/dags", Deadline(5))
        endpoint.call("GET", "/dagRuns", Deadline(5))
    endpoint.call("GET", "/later", Deadline(5))
    assert RequestTally(2, "4812 of 5000 left") == tally


def test_what_another_thread_sends_meanwhile_is_not_its() -> None:
    tally = RequestTally()
    with counting(tally):
        other = threading.Thread(target=count_request)
        other.start()
        other.join()
        count_request()
    assert 1 == tally.requests


@each_row("remaining", ["", "lots", "-3", "٣"])
def test_a_limit_that_is_no_number_is_none(remaining: str) -> None:
    tally = RequestTally()
    with counting(tally):
        note_limit({"x-ratelimit-limit": "5000", "x-ratelimit-remaining": remaining})
    assert "" == tally.allowed


def test_a_minute_costs_what_its_polls_do() -> None:
    spending = RequestCosts(every_seconds=15)
    for _ in range(3):
        with spending.poll():
            count_request()
            count_request()
            cost = spending.spent
    assert cost is not None
    assert (2, 8.0) == (cost.requests, cost.a_minute)


def test_what_nothing_leaves_for_cannot_be_counted_and_says_so(bench: Bench) -> None:
    bench.turn()
    with bench.reads() as reads:
        [view] = reads.estate.systems()
    assert (None, True) == (view.requests, "not counted" in view.budget)


def test_the_quota_is_stored_with_the_target(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeConnector.poll

    def poll(self: FakeConnector, *given: object) -> object:
        count_request()
        note_limit({"ratelimit-limit": "60", "ratelimit-remaining": "12"})
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeConnector, "poll", poll)
    bench.turn()
    with bench.reads() as reads:
        [view] = reads.estate.systems()
    assert (1, "12 of 60 left") == (view.requests, view.allowed)
    assert re.fullmatch(r"1 in the last poll, \d+ a minute over 10 minutes; 12 of 60 left", view.budget)
