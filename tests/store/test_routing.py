"""Alerts as rows before they are sent, on either database: let out, handed on, parked, told from memory."""

from __future__ import annotations

from typing import Any

import pytest

from console.store import outbox, routing
from console.store.alert_rows import NewAlert
from console.store.reads import open_reads
from console.store.routing import Outcome
from tests.store.estate import Estate
from tests.store.test_apply import decide, incident

ROUTES = {"oncall": ("env MAIL", "env CHAT"), "boss": ("env BOSS",)}
MINUTE = 60_000_000
FENCE: Any = None
"""The estate of these tests has no engine and no lease."""


def made(night: Estate, at: int = 0, **more: Any) -> int:
    one = NewAlert(**{"route": "oncall", "kind": "headway", "title": "t", "body": "b", "dedup_key": "k", **more})
    found = routing.tell(night.store, FENCE, ROUTES, one, at)
    assert found is not None
    return found


def states(night: Estate, alert: int) -> list[str]:
    with night.store.read() as connection:
        found = connection.exec_driver_sql(f"SELECT state FROM delivery WHERE alert_id = {alert} ORDER BY url_index")
        return [row[0] for row in found]


def test_what_waits_is_not_claimed_before_it_is_let_out(night: Estate) -> None:
    alert = made(night)
    assert ([alert], None) == ([one.id for one in routing.waiting(night.store)], outbox.next_due(night.store))
    assert [] == outbox.claim_due(night.store, FENCE, 5, frozenset())
    routing.let_out(night.store, FENCE, ROUTES, [alert], [], 5)
    assert ([], 0) == (routing.waiting(night.store), outbox.next_due(night.store))
    assert [(0, "env MAIL"), (1, "env CHAT")] == [
        (one.url_index, one.url_words) for one in outbox.claim_due(night.store, FENCE, 5, frozenset())
    ]


def test_an_urgent_alert_stands_before_what_waits_for_the_same_url(night: Estate) -> None:
    late, urgent = made(night, waits=False, title="late"), made(night, waits=False, urgent=True, title="urgent")
    assert late < urgent
    assert ["urgent", "urgent"] == [one.title for one in outbox.claim_due(night.store, FENCE, 5, frozenset())]
    assert ["late", "late"] == [one.title for one in outbox.claim_due(night.store, FENCE, 5, frozenset())]


def test_of_one_incident_nothing_leaves_before_what_was_said_earlier(night: Estate) -> None:
    """Else the last word that a person gets says: act now, on an incident that is over."""
    decide(night, incidents=(incident(notices=()),))
    opened = made(night, waits=False, title="opened", incident_id=1)
    made(night, waits=False, title="recovered", incident_id=1, kind="recovered")
    for one in outbox.claim_due(night.store, FENCE, 5, frozenset()):
        outbox.put_off(night.store, FENCE, one.id, "503", 900, arrived=False)
    assert [] == outbox.claim_due(night.store, FENCE, 6, frozenset())
    again = outbox.claim_due(night.store, FENCE, 900, frozenset())
    assert ["opened", "opened"] == [one.title for one in again]
    for one in again:
        outbox.record_sent(night.store, FENCE, one.id, 901)
    assert ["recovered", "recovered"] == [one.title for one in outbox.claim_due(night.store, FENCE, 902, frozenset())]
    assert ["sent", "sent"] == states(night, opened)


def test_a_digest_takes_the_deliveries_of_what_left_in_it(night: Estate) -> None:
    first, second = made(night, kind="opened"), made(night, kind="opened")
    digest = NewAlert("oncall", "digest", "2 more", "both", "headway:digest", waits=False)
    routing.let_out(night.store, FENCE, ROUTES, [], [(digest, [first, second])], 9)
    assert [["digested"] * 2] * 2 == [states(night, first), states(night, second)]
    assert ["2 more"] * 2 == [one.title for one in outbox.claim_due(night.store, FENCE, 9, frozenset())]
    assert (0, 9) == routing.let_since(night.store, "oncall", 1)


def test_an_alert_is_handed_on_once_and_not_where_somebody_has_it(night: Estate) -> None:
    taken, lost = made(night, waits=False, kind="opened"), made(night, waits=False, kind="opened")
    due = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.record_sent(night.store, FENCE, due[0].id, 6)
    assert [] == routing.unaccepted(night.store, "oncall", -1, -1)
    [found] = routing.unaccepted(night.store, "oncall", MINUTE, -1)
    assert (lost, "t") == (found.id, found.new.title)
    again = routing.as_fallback(found, "boss", "first", "plain")
    routing.hand_over(night.store, FENCE, ROUTES, [(lost, again)], MINUTE)
    assert [] == routing.unaccepted(night.store, "oncall", MINUTE, -1)
    [handed] = routing.waiting(night.store)
    assert ("boss", taken) == (handed.route, due[0].id and taken)


def test_what_all_urls_gave_up_is_handed_on_at_once(night: Estate) -> None:
    alert = made(night, at=MINUTE, waits=False, kind="opened")
    for one in outbox.claim_due(night.store, FENCE, 2 * MINUTE, frozenset()):
        assert [] == routing.unaccepted(night.store, "oncall", 0, -1)
        outbox.park(night.store, FENCE, one.id, "400", MINUTE, False, 3)
    assert [alert] == [one.id for one in routing.unaccepted(night.store, "oncall", 0, -1)]


def test_parked_deliveries_are_counted_by_route_and_leave_again_when_asked_for(night: Estate, store_url: str) -> None:
    alert, own = made(night, waits=False, kind="opened"), made(night, waits=False)
    first, second = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.park(night.store, FENCE, first.id, "400", 7, False, 3)
    outbox.touch_wire(night.store, FENCE, second.id, 6)
    outbox.park(night.store, FENCE, second.id, "lost", 8, None)
    assert [("oncall", 2, 8)] == [(one.route, one.count, one.news_us) for one in routing.parked(night.store)]
    with open_reads(store_url) as reads:
        assert [(first.id, "parked", "400"), (second.id, "parked", "lost")] == [
            (one.id, one.state, one.error) for one in reads.unsent()
        ]
        assert ["pending", "pending"] == [one.state for one in reads.deliveries_of(own)]
    assert [first.id, second.id] == outbox.retry_parked(night.store, FENCE, None, 9, "ann", "here")
    assert ["pending", "pending"] == states(night, alert)
    assert [alert] == [one.id for one in routing.waiting(night.store)]  # what may be a repeat goes in no digest
    routing.let_out(night.store, FENCE, ROUTES, [alert], [], 9)
    due = {one.id: one for one in outbox.claim_due(night.store, FENCE, 9, frozenset())}
    assert [False, True] == [due[one.id].maybe_repeat for one in (first, second)]


def test_trouble_of_our_own_that_could_not_be_told_is_no_news(night: Estate) -> None:
    made(night, waits=False)
    for one in outbox.claim_due(night.store, FENCE, 5, frozenset()):
        outbox.park(night.store, FENCE, one.id, "400", 7, False, 3)
    assert [(2, 0)] == [(one.count, one.news_us) for one in routing.parked(night.store)]


def test_what_waits_for_a_url_that_is_gone_is_parked_with_the_reason(night: Estate) -> None:
    alert = made(night, kind="opened")
    routing.park_strays(night.store, FENCE, {"oncall": ("env CHAT",)}, 5)
    assert ["parked", "pending"] == states(night, alert)
    [parked] = routing.parked(night.store)
    assert 'route "oncall" has no URL env MAIL any more' == parked.error


def test_what_left_from_memory_is_recorded_as_it_went(night: Estate) -> None:
    new = NewAlert("oncall", "headway", "t", "b", "headway:store", waits=False)
    outcomes = {0: Outcome(True, 5, 1, "", False), 1: Outcome(False, 6, 2, "timed out", True)}
    routing.record_told(night.store, FENCE, ROUTES, new, 4, outcomes)
    [due] = outbox.claim_due(night.store, FENCE, 9, frozenset())
    assert ("env CHAT", True, 2) == (due.url_words, due.maybe_repeat, due.tries)
    assert (True, False) == (
        routing.told_since(night.store, "headway:store", 4), routing.told_since(night.store, "headway:store", 5)
    )  # fmt: skip


@pytest.mark.parametrize(
    "words, index, known", [("env CHAT", 7, True), ("env GONE", 0, False), ("", 1, True), ("", 2, False)]
)
def test_a_url_is_known_by_its_words_wherever_it_stands(words: str, index: int, known: bool) -> None:
    assert known == routing.is_known(ROUTES, "oncall", words, index)
