"""Alerts as rows before they are sent, on either database: sent, handed over, parked, restored from memory."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import product
from threading import Barrier
from typing import Any

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from console.domain.alert import PendingAlert
from console.domain.decision import KnownIncident
from console.domain.ids import derived_key, micros
from console.domain.message import Message, title_text
from console.domain.reason import GreenAgain
from console.store import alert_responses, alert_routing, outbox
from console.store.alert_routing import DeliveryOutcome
from console.store.alerts import PERSON, NewAlert
from console.store.audit import ChangeOrigin
from console.store.errors import KeyReused
from console.store.queries import open_queries
from tests.lab.process import HANGS_SECONDS
from tests.messages import message_of
from tests.rows import each_row
from tests.store.estate import Estate
from tests.store.ready import open_ready
from tests.store.test_decisions import decide, incident

ROUTES = {"oncall": ("env MAIL", "env CHAT"), "boss": ("env BOSS",)}
MINUTE = 60_000_000
FENCE: Any = None
"""The estate of these tests has no engine and no lease."""


def made(night: Estate, at: int = 0, **more: Any) -> int:
    message, plain = message_of(more.pop("title", "t"), "b"), message_of(more.pop("plain_title", ""))
    given = {"route": "oncall", "kind": "headway", "message": message, "dedup_key": "k", "plain": plain}
    alert = NewAlert(**{**given, **more})
    number = alert_routing.create_alert(night.store, FENCE, ROUTES, alert, at)
    assert number is not None
    return number


def title(alert: outbox.DueDelivery | outbox.ReplacedAlert | PendingAlert | NewAlert) -> str:
    message = alert.message
    return title_text((Message.from_json(message) if isinstance(message, str) else message).title)


def replaced(delivery: outbox.DueDelivery) -> tuple[str, str, int] | None:
    """Title, plain title and time of the alert that it is sent in place of."""
    before = delivery.replaced
    return before and (title(before), title_text(before.plain.title), before.made_us)


def all_titles(delivery: outbox.DueDelivery) -> list[str]:
    """Titles of the alert and of those that are sent in it."""
    return [title(delivery), *(title_text(alert.message.title) for alert in delivery.included)]


def states(night: Estate, alert: int) -> list[str]:
    with night.store.read() as connection:
        rows = connection.rows(f"SELECT state FROM delivery WHERE alert_id = {alert} ORDER BY url_index")
        return [row[0] for row in rows]


def test_what_waits_is_not_claimed_before_it_is_let_out(night: Estate) -> None:
    alert = made(night)
    assert ([alert], None) == (
        [alert.id for alert in alert_routing.pending_alerts(night.store)],
        outbox.next_due(night.store),
    )
    assert [] == outbox.claim_due(night.store, FENCE, 5, frozenset())
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [alert], [], 5)
    assert ([], 0) == (alert_routing.pending_alerts(night.store), outbox.next_due(night.store))
    assert [(0, "env MAIL"), (1, "env CHAT")] == [
        (delivery.url_index, delivery.receiver) for delivery in outbox.claim_due(night.store, FENCE, 5, frozenset())
    ]


def test_an_urgent_alert_is_sent_before_others_for_the_same_url(night: Estate) -> None:
    late, urgent = made(night, waits=False, title="late"), made(night, waits=False, urgent=True, title="urgent")
    assert late < urgent
    assert ["urgent", "urgent"] == [
        title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 5, frozenset())
    ]
    assert ["late", "late"] == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 5, frozenset())]


def test_after_an_outage_alerts_that_need_a_person_are_sent_first_and_ends_of_incidents_last(night: Estate) -> None:
    """An alert that replaces another has the more urgent rank of the two."""
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 7)))
    made(night, waits=False, title="resolved", incident_id=1, kind="recovered")
    made(night, waits=False, title="headway works again", version=2, urgent=True)
    made(night, waits=False, title="update", incident_id=2, kind="updated")
    made(night, waits=False, title="opened", incident_id=3, kind="opened")
    made(night, waits=False, title="plan stopped", incident_id=3, kind=PERSON)
    made(night, waits=False, title="own update", incident_id=4, kind="updated")
    made(night, waits=False, title="reminder", incident_id=4, kind="repeated")
    parts = [made(night, incident_id=5, kind="recovered"), made(night, incident_id=6, kind="opened")]
    group = NewAlert("oncall", "digest", message_of("digest with an opening", "b"), "headway:digest", waits=False)
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [], [(group, parts)], 1)
    made(night, waits=False, title="urgent", urgent=True)
    titles = []
    while due := outbox.claim_due(night.store, FENCE, 5, MAIL):
        titles += [" + ".join(all_titles(delivery)) for delivery in due]
        outbox.record_sent(night.store, FENCE, due[0].id, 5, due[0].ids[1:])
    assert [
        "headway works again", "urgent", "opened + plan stopped", "reminder", "digest with an opening", "update",
        "resolved",
    ] == titles  # fmt: skip


def test_before_the_first_evaluation_all_is_sent_that_is_about_no_incident(night: Estate) -> None:
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 4)))
    made(night, waits=False, title="opened", kind="opened", incident_id=1)
    parts = [made(night, kind="opened", incident_id=number) for number in (2, 3)]
    digest = NewAlert("oncall", "digest", message_of("digest", ""), "headway:digest", waits=False)
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [], [(digest, parts)], 1)
    [(digest_id,)] = night.rows("SELECT id FROM alert WHERE kind = 'digest'")
    made(night, waits=False, title="copy of the digest", kind="fallback", fallback_of=digest_id, route="boss")
    own = made(night, waits=False, title="Headway", urgent=True)
    made(night, waits=False, title="copy", kind="fallback", fallback_of=own, route="boss")
    made(night, waits=False, title="plan 3 stopped", kind=PERSON)
    made(night, waits=False, title="test", kind="test")
    early = []
    while due := outbox.claim_due(night.store, FENCE, 5, MAIL, without_incidents=True):
        for delivery in due:
            outbox.record_sent(night.store, FENCE, delivery.id, 5)
            early.append(title(delivery))
    assert ["Headway", "copy", "plan 3 stopped", "test"] == early


def test_an_update_waits_for_the_alert_that_is_being_sent(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))
    made(night, waits=False, title="opened", incident_id=1)
    [delivery] = outbox.claim_due(night.store, FENCE, 5, MAIL)
    made(night, waits=False, title="updated", incident_id=1, kind="updated")
    assert [] == outbox.claim_due(night.store, FENCE, 6, MAIL)
    outbox.record_sent(night.store, FENCE, delivery.id, 7)
    assert [("updated", None)] == [(title(due), due.replaced) for due in outbox.claim_due(night.store, FENCE, 8, MAIL)]


def test_what_waits_for_one_incident_and_route_is_sent_as_one_message_with_the_newest_state(night: Estate) -> None:
    """At risk, on time, at risk, within 0.3 s: the reader acts on a past state."""
    decide(night, incidents=(incident(notices=()),))
    made(night, at=1, waits=False, title="at risk", incident_id=1, kind="opened")
    [delivery] = outbox.claim_due(night.store, FENCE, 5, MAIL)
    outbox.postpone(night.store, FENCE, delivery.id, "451", 900, arrived=False)
    made(night, at=6, waits=False, title="on time", incident_id=1, kind="updated", version=2)
    made(night, at=7, title="late", incident_id=1, kind="updated", version=3, waits=False)
    [newest] = outbox.claim_due(night.store, FENCE, 8, MAIL)
    assert ("late", ("at risk", "", 1)) == (title(newest), replaced(newest))
    outbox.postpone(night.store, FENCE, newest.id, "451", 900, arrived=False)
    made(night, at=9, waits=False, title="lost", incident_id=1, kind="updated", version=4)
    [newest] = outbox.claim_due(night.store, FENCE, 10, MAIL)
    assert ("lost", ("at risk", "", 1)) == (title(newest), replaced(newest))
    outbox.record_sent(night.store, FENCE, newest.id, 11)
    assert [] == outbox.claim_due(night.store, FENCE, 1000, MAIL)


def test_an_alert_that_needs_a_person_is_sent_in_the_present_state_of_its_incident(
    night: Estate, store_url: str
) -> None:
    """Whichever is older and whatever it waits for; on its own once one of the two may have arrived, as the repeat of
    the other has its Message-ID."""
    decide(night, incidents=(incident(notices=()),))
    made(night, waits=False, title="at risk", incident_id=1, kind="opened")
    [delivery] = outbox.claim_due(night.store, FENCE, 1, MAIL)
    outbox.postpone(night.store, FENCE, delivery.id, "451", 900, arrived=False)
    plan = made(night, waits=False, title="plan 3 stopped", incident_id=1, kind=PERSON)
    [state] = outbox.claim_due(night.store, FENCE, 2, MAIL)
    assert (["at risk", "plan 3 stopped"], "claimed") == (all_titles(state), states(night, plan)[0])
    for number in state.ids:
        outbox.postpone(night.store, FENCE, number, "451", 900, arrived=False)
    made(night, waits=False, title="will miss", incident_id=1, kind="updated", version=2)
    [state] = outbox.claim_due(night.store, FENCE, 3, MAIL)
    assert ["will miss", "plan 3 stopped"] == all_titles(state)
    for number in state.ids:
        outbox.mark_sending(night.store, FENCE, number, 3)
        outbox.postpone(night.store, FENCE, number, "timeout", 4, arrived=None)
    made(night, waits=False, title="approval required", incident_id=1, kind=PERSON, version=2)
    alone = []
    while due := outbox.claim_due(night.store, FENCE, 5, MAIL):
        outbox.record_sent(night.store, FENCE, due[0].id, 5, due[0].ids[1:])
        alone.append((all_titles(due[0]), due[0].maybe_repeat))
    assert [(["plan 3 stopped"], True), (["will miss"], True), (["approval required"], False)] == alone
    made(night, waits=False, title="breached", incident_id=1, kind="updated", version=3)
    made(night, waits=False, title="plan 3 stopped", incident_id=1, kind=PERSON, version=3)
    [state] = outbox.claim_due(night.store, FENCE, 6, MAIL)
    outbox.record_sent(night.store, FENCE, state.id, 7, state.ids[1:])
    with open_queries(store_url) as reads:
        assert [("updated", "sent"), ("person", "digested")] == [
            (delivery.kind, delivery.state)
            for delivery in reads.incidents.incident(1).deliveries
            if delivery.sent is not None and micros(delivery.sent) == 7
        ]
    assert [] == outbox.claim_due(night.store, FENCE, 9000, MAIL)


def test_no_two_alerts_of_an_incident_wait_for_one_another(night: Estate) -> None:
    """An update waited for what needs a person, that for the opening, and the opening for the update that replaces
    it: nothing of the incident was sent any more. Every order of three alerts, each refused, lost or new."""
    kinds, outcomes = ("updated", PERSON, "recovered"), ("451", "lost", "")
    nights = [*product(outcomes[:2], product(kinds, outcomes), kinds)]
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(len(nights))))
    for number, (first, (kind, second), last) in enumerate(nights, 1):
        for version, (name, outcome) in enumerate((("opened", first), (kind, second), (last, ""))):
            alert = made(night, waits=False, incident_id=number, kind=name, version=version)
            if outcome:
                wire_us = 1 if outcome == "lost" else None
                with night.store.write(FENCE) as session:
                    session.rows(
                        "UPDATE delivery SET tries = 1, next_us = 2, error = ?, wire_us = ? WHERE alert_id = ?",
                        (outcome, wire_us, alert),
                    )
    while due := outbox.claim_due(night.store, FENCE, MINUTE, MAIL):
        outbox.record_sent(night.store, FENCE, due[0].id, MINUTE, due[0].ids[1:])
    query = "SELECT DISTINCT state FROM delivery WHERE url_index = 0 ORDER BY state"
    assert [("digested",), ("sent",)] == night.rows(query)


def test_an_alert_that_needs_a_person_waits_for_no_update_whose_hour_is_set(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))
    made(night, waits=False, title="update", incident_id=1, kind="updated", not_before_us=900)
    made(night, waits=False, title="plan 3 stopped", incident_id=1, kind=PERSON)
    assert ["plan 3 stopped"] == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 5, MAIL)]


def test_an_update_that_replaces_an_urgent_alert_is_as_urgent(night: Estate) -> None:
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 3)))
    made(night, waits=False, title="opened", incident_id=2, kind="opened")
    made(night, waits=False, title="urgent", incident_id=1, kind="opened", urgent=True)
    made(night, waits=False, title="news", incident_id=1, kind="updated", version=2)
    [first] = outbox.claim_due(night.store, FENCE, 5, MAIL)
    assert "news" == title(first)
    outbox.postpone(night.store, FENCE, first.id, "451", 6, arrived=False)
    assert ["news"] == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 7, MAIL)]


def test_what_asks_for_a_person_is_known_while_it_waits_on_a_fallback_route_too(night: Estate) -> None:
    first = made(night, waits=False, kind=PERSON, title="plan 3 stopped")
    made(night, kind="fallback", fallback_of=first, title="plan 3 stopped")
    made(night, kind="updated", version=2, title="late")
    waiting = alert_routing.pending_alerts(night.store)
    assert [("plan 3 stopped", True), ("late", False)] == [(title(alert), alert.needs_person) for alert in waiting]


def test_a_delivery_has_the_act_by_of_its_incident(night: Estate) -> None:
    decision = incident(notices=())
    assert decision.act_by is not None
    decide(night, incidents=(decision,))
    made(night, waits=False, title="opened", incident_id=1, kind="opened")
    [delivery] = outbox.claim_due(night.store, FENCE, 5, MAIL)
    assert micros(decision.act_by) == delivery.act_by_us


def test_the_end_of_an_incident_replaces_the_opening_where_that_was_not_accepted(night: Estate) -> None:
    """Else a person reads: act now, on an incident that is over."""
    decide(night, incidents=(incident(notices=()),))
    opened = made(night, at=1, waits=False, title="opened", plain_title="plain", incident_id=1, kind="opened")
    mail, chat = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.postpone(night.store, FENCE, mail.id, "451", 900, arrived=False)
    made(night, waits=False, title="recovered", incident_id=1, kind="recovered")
    [end] = outbox.claim_due(night.store, FENCE, 6, frozenset({("oncall", 1)}))
    assert ("recovered", ("opened", "plain", 1)) == (title(end), replaced(end))
    assert ["digested", "claimed"] == states(night, opened)
    outbox.postpone(night.store, FENCE, end.id, "451", 7, arrived=False)
    outbox.record_sent(night.store, FENCE, chat.id, 7)
    again = outbox.claim_due(night.store, FENCE, 8, frozenset())
    assert [("opened", "plain", 1), None] == [replaced(delivery) for delivery in again]
    assert ["recovered"] * 2 == [title(delivery) for delivery in again]


def handed(night: Estate, now: int) -> list[str]:
    """Titles of what the fallback of `oncall` is sent then."""
    alerts = alert_routing.undelivered_alerts(night.store, "oncall", now - MINUTE, -1, "boss")
    copies = [(alert.id, alert_routing.as_fallback(alert, "boss", "first", "plain")) for alert in alerts]
    alert_routing.forward_to_fallback(night.store, FENCE, ROUTES, copies, now)
    ids = [alert.id for alert in alert_routing.pending_alerts(night.store)]
    alert_routing.release_alerts(night.store, FENCE, ROUTES, ids, [], now)
    return [title(due) for due in outbox.claim_due(night.store, FENCE, now, frozenset()) if due.route == "boss"]


def test_a_fallback_is_sent_the_end_of_an_incident_only_if_it_was_sent_the_incident(night: Estate) -> None:
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 3)))
    made(night, waits=False, title="opened", incident_id=1, kind="opened")
    assert ["opened"] == handed(night, MINUTE)
    for number in (1, 2):
        over = incident(incident=KnownIncident(number), key=f"i{number}", close_reason=GreenAgain())
        decide(night, incidents=(over,))
        made(night, at=2 * MINUTE, waits=False, title=f"end {number}", incident_id=number, kind="recovered", version=2)
    for due in night.rows("SELECT d.id FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE a.route = 'boss'"):
        outbox.record_sent(night.store, FENCE, due[0], 2 * MINUTE)
    assert ["end 1"] == handed(night, 4 * MINUTE)


def test_a_copy_is_not_sent_to_a_fallback_once_the_alert_or_a_later_one_was_accepted(night: Estate) -> None:
    """The fallback was down as well: it would be sent a past state of an incident that its own route knows."""
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 5)))
    for number in range(1, 4):
        made(night, waits=False, title=f"opened {number}", incident_id=number, kind="opened")
    made(night, waits=False, title="plan 3 stopped", incident_id=4, kind=PERSON)
    assert ["opened 1"] == handed(night, MINUTE)
    with night.store.write(FENCE) as session:
        session.rows("UPDATE delivery SET state = 'pending', next_us = 0")
    made(night, at=2 * MINUTE, waits=False, title="closed 2", incident_id=2, kind="recovered", version=2)
    made(night, at=2 * MINUTE, waits=False, title="late 4", incident_id=4, kind="updated", version=2)
    boss = frozenset({("boss", 0)})
    while due := outbox.claim_due(night.store, FENCE, 3 * MINUTE, MAIL | boss):
        if title(due[0]) == "opened 3" or PERSON == due[0].kind:
            outbox.postpone(night.store, FENCE, due[0].id, "451", 9 * MINUTE, arrived=False)
        else:
            outbox.record_sent(night.store, FENCE, due[0].id, 3 * MINUTE)
    sent = []
    while due := outbox.claim_due(night.store, FENCE, 4 * MINUTE, MAIL | {("oncall", 0)}):
        outbox.record_sent(night.store, FENCE, due[0].id, 4 * MINUTE)
        sent += [title(due[0])]
    assert ["opened 3", "plan 3 stopped"] == sent
    decide(night, incidents=(incident(incident=KnownIncident(1), key="i1", close_reason=GreenAgain()),))
    made(night, at=5 * MINUTE, waits=False, title="closed 1", incident_id=1, kind="recovered", version=2)
    assert "closed 1" not in handed(night, 7 * MINUTE)


def test_each_url_of_a_fallback_is_sent_the_copy_unless_its_own_route_or_another_fallback_has_it(night: Estate) -> None:
    """A chat accepts it, the pager does not answer yet."""
    routes = {**ROUTES, "boss": ("env CHAT", "env PAGER"), "ceo": ("env CEO",)}
    decide(night, incidents=(incident(notices=()),))
    first = made(night, waits=False, title="opened", incident_id=1, kind="opened")
    copies = {
        route: alert_routing.create_alert(
            night.store, FENCE, routes,
            NewAlert(route, "fallback", message_of("opened", ""), "k", incident_id=1, fallback_of=first, waits=False), 1
        )
        for route in ("boss", "ceo")
    }  # fmt: skip
    chat, pager, ceo = outbox.claim_due(night.store, FENCE, 2, MAIL | {("oncall", 0)})
    outbox.record_sent(night.store, FENCE, chat.id, 3)
    for down in (pager, ceo):
        outbox.postpone(night.store, FENCE, down.id, "503", 9, arrived=False)
    assert [("boss", 1)] == [
        (due.route, due.url_index) for due in outbox.claim_due(night.store, FENCE, 10, MAIL | {("oncall", 0)})
    ]
    assert [["sent", "claimed"], ["dropped"]] == [states(night, copies[route] or 0) for route in ("boss", "ceo")]


def test_a_fallback_does_not_wait_anew_for_each_update_of_an_undelivered_alert(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))
    made(night, at=1, waits=False, title="opened", incident_id=1, kind="opened")
    for second in (20, 40, 59):
        now = second * 1_000_000
        made(night, at=now, waits=False, title=f"{second} s", incident_id=1, kind="updated", version=second)
        [due] = outbox.claim_due(night.store, FENCE, now, MAIL)
        outbox.postpone(night.store, FENCE, due.id, "451", 2 * MINUTE, arrived=False)
    assert ["59 s"] == handed(night, MINUTE + 1)


MAIL = frozenset({("oncall", 1)})
"""The urls that are busy, so that only the first one is claimed."""


def test_an_alert_that_needs_a_person_is_sent_after_the_end_of_its_incident(night: Estate) -> None:
    """A stopped plan remains stopped."""
    decide(night, incidents=(incident(notices=()),))
    stopped = made(night, at=6, waits=False, title="plan 3 stopped", incident_id=1, kind=PERSON)
    [delivery] = outbox.claim_due(night.store, FENCE, 7, MAIL)
    outbox.postpone(night.store, FENCE, delivery.id, "451", 900, arrived=False)
    made(night, at=8, waits=False, title="recovered", incident_id=1, kind="recovered")
    [end] = outbox.claim_due(night.store, FENCE, 9, MAIL)
    assert ("recovered", None) == (title(end), replaced(end))
    outbox.postpone(night.store, FENCE, end.id, "451", 2000, arrived=False)
    assert ["plan 3 stopped"] == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 900, MAIL)]
    assert "claimed" == states(night, stopped)[0]


def test_a_digest_of_the_end_leaves_an_alert_that_needs_a_person(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))
    stopped = made(night, at=6, waits=False, title="plan 3 stopped", incident_id=1, kind=PERSON)
    [delivery] = outbox.claim_due(night.store, FENCE, 7, MAIL)
    outbox.postpone(night.store, FENCE, delivery.id, "451", 900, arrived=False)
    end = made(night, at=8, title="recovered", incident_id=1, kind="recovered", version=1)
    digest = NewAlert("oncall", "digest", message_of("1 resolved", "both"), "headway:digest", waits=False)
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [], [(digest, [end])], 9)
    assert ["1 resolved"] == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 10, MAIL)]
    assert "pending" == states(night, stopped)[0]


def test_each_fallback_gets_the_alert_that_needs_a_person_beside_those_of_its_incident(night: Estate) -> None:
    """Their versions are counted apart, and the end of the incident replaces it on no route."""
    routes = {**ROUTES, "ceo": ("env CEO",)}
    decide(night, incidents=(incident(notices=()),))
    for kind, text in (("opened", "opened"), (PERSON, "plan 3 stopped")):
        made(night, at=1, waits=False, title=text, incident_id=1, kind=kind, version=1)
    for now, route, fallback in ((MINUTE, "oncall", "boss"), (2 * MINUTE, "boss", "ceo")):
        handed = alert_routing.undelivered_alerts(night.store, route, now, -1, fallback)
        copies = [(alert.id, alert_routing.as_fallback(alert, fallback, "first", "plain")) for alert in handed]
        alert_routing.forward_to_fallback(night.store, FENCE, routes, copies, now)
        ids = [alert.id for alert in alert_routing.pending_alerts(night.store)]
        alert_routing.release_alerts(night.store, FENCE, routes, ids, [], now)
    ended = NewAlert("ceo", "recovered", message_of("recovered", "b"), "k", incident_id=1, version=2, waits=False)
    alert_routing.create_alert(night.store, FENCE, routes, ended, 3 * MINUTE)
    sent: set[tuple[str, str]] = set()
    for down in (MAIL | {("oncall", 0), ("boss", 0)}, MAIL | {("oncall", 0)}, MAIL):
        for now in (3, 4, 5):
            for delivery in outbox.claim_due(night.store, FENCE, now * MINUTE, down):
                outbox.record_sent(night.store, FENCE, delivery.id, now * MINUTE, delivery.ids[1:])
                sent |= {(delivery.route, text) for text in all_titles(delivery)}
    assert {("ceo", "recovered"), ("ceo", "plan 3 stopped"), ("oncall", "plan 3 stopped")} <= sent


def test_copies_on_a_fallback_do_not_follow_a_newer_alert_about_their_incident(night: Estate) -> None:
    """The route was notified directly that the incident was opened again."""
    decide(night, incidents=(incident(notices=()),))
    for version, kind in enumerate(("opened", "recovered")):
        made(night, at=version, waits=False, title=kind, incident_id=1, kind=kind, version=version)
    made(night, at=3, waits=False, title="opened again", incident_id=1, kind="updated", version=2, route="boss")
    for delivery in outbox.claim_due(night.store, FENCE, 5, frozenset()):
        outbox.postpone(night.store, FENCE, delivery.id, "451", 2 * MINUTE, arrived=False)
    assert [] == handed(night, MINUTE + 1)
    assert ["opened again"] == handed(night, 2 * MINUTE)


def test_an_end_does_not_call_an_alert_undelivered_that_may_have_arrived(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))
    made(night, at=1, waits=False, title="opened", incident_id=1, kind="opened")
    [delivery] = outbox.claim_due(night.store, FENCE, 5, MAIL)
    outbox.mark_sending(night.store, FENCE, delivery.id, 5)
    outbox.postpone(night.store, FENCE, delivery.id, "timeout", 900, arrived=None)
    made(night, at=8, waits=False, title="recovered", incident_id=1, kind="recovered")
    [end] = outbox.claim_due(night.store, FENCE, 9, MAIL)
    assert ("recovered", None) == (title(end), replaced(end))


def test_one_success_makes_the_failed_deliveries_of_its_url_due(night: Estate) -> None:
    """Those that it refused for good as well, without those that wait for the end of the quiet hours. One that may have
    arrived leaves at the earliest 10 s after its last try."""
    now, long_after = 20_000_000, 900_000_000
    alerts = {name: made(night, waits=False, title=name) for name in ("lost", "lost just now", "first", "failed", "no")}
    alerts["quiet"] = made(night, waits=False, title="quiet", not_before_us=800_000_000)
    for name, refusals, arrived, at in (
        ("lost", 0, None, 4), ("lost just now", 0, None, now), ("first", 0, False, now), ("failed", 0, False, now),
        ("no", 1, False, now),
    ):  # fmt: skip
        [delivery] = outbox.claim_due(night.store, FENCE, now, MAIL)
        assert name == title(delivery)
        outbox.mark_sending(night.store, FENCE, delivery.id, at)
        outbox.postpone(night.store, FENCE, delivery.id, "broken", long_after, arrived=arrived, refusals=refusals)
    with night.store.write(FENCE) as session:
        session.rows("UPDATE delivery SET next_us = 6 WHERE alert_id = ?", (alerts["first"],))

    def sent(at: int) -> list[str]:
        titles = []
        while due := outbox.claim_due(night.store, FENCE, at, MAIL):
            outbox.record_sent(night.store, FENCE, due[0].id, at)
            titles += [title(due[0])]
        return titles

    assert ["first", "lost", "failed", "no"] == sent(now)
    assert [] == sent(now + 9_999_999)
    assert ["lost just now"] == sent(now + 10_000_000)


def test_a_success_tries_once_more_what_its_url_refused_for_good(night: Estate) -> None:
    """A login that is wrong for ten seconds refuses each message three times. What is refused again, has waited for a
    day, or has a newer state that the receiver has, remains parked."""
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 4)))
    day = 24 * 60 * MINUTE
    for number, (name, at, refusals) in enumerate(
        [("old", 1, 3), ("given up", day, 0), ("stale", day, 3), ("opened", day, 3), ("plan 3 stopped", day, 3)], 1
    ):
        kind, about = (PERSON, 3) if name == "plan 3 stopped" else ("opened", max(number - 2, 1))
        made(night, at=at, waits=False, title=name, kind=kind, incident_id=about, version=number)
        [delivery] = outbox.claim_due(night.store, FENCE, at, MAIL)
        assert name == title(delivery)
        outbox.park(night.store, FENCE, delivery.id, "403", at, False, refusals)
    made(night, at=day, waits=False, title="update", kind="updated", incident_id=1, version=9)

    def leaving(answer: int) -> list[str]:
        """Titles of all that leaves; `answer`: the refusals of each afterwards, 0: it is accepted."""
        titles = list[str]()
        while True:
            ids = [alert.id for alert in alert_routing.pending_alerts(night.store)]
            alert_routing.release_alerts(night.store, FENCE, ROUTES, ids, [], day)
            if not (due := outbox.claim_due(night.store, FENCE, day + 1, MAIL)):
                return titles
            titles.append(title(due[0]))
            if answer and titles[-1] != "update" and titles[-1] != "closed":
                outbox.park(night.store, FENCE, due[0].id, "403", day, False, answer)
            else:
                outbox.record_sent(night.store, FENCE, due[0].id, day + 1)

    assert ["update", "opened", "plan 3 stopped"] == leaving(4)
    made(night, at=day, waits=False, title="closed", kind="recovered", incident_id=2)
    assert ["closed"] == leaving(0)


def test_a_success_releases_no_alert_that_its_receiver_has_in_a_digest(night: Estate) -> None:
    """Both URLs of a route refused the alerts; the first one recovers, and they are sent to both in a digest, which the
    second one refuses at first too."""
    decide(night, incidents=tuple(incident(key=f"i{number}", notices=()) for number in range(1, 4)))
    alerts = [made(night, waits=False, kind="opened", incident_id=number) for number in (1, 2)]
    while due := outbox.claim_due(night.store, FENCE, 1, frozenset()):
        for delivery in due:
            outbox.park(night.store, FENCE, delivery.id, "403", 1, False, 3)
    made(night, waits=False, kind="opened", incident_id=3)
    mail, chat = outbox.claim_due(night.store, FENCE, 2, frozenset())
    outbox.record_sent(night.store, FENCE, mail.id, 2)
    outbox.park(night.store, FENCE, chat.id, "403", 2, False, 4)
    assert alerts == [alert.id for alert in alert_routing.pending_alerts(night.store)]
    digest = NewAlert("oncall", "digest", message_of("2 more", "both"), "headway:digest", waits=False)
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [], [(digest, alerts)], 3)
    mail, chat = outbox.claim_due(night.store, FENCE, 3, frozenset())
    outbox.park(night.store, FENCE, chat.id, "403", 3, False, 3)
    made(night, waits=False, title="another", kind="test")
    [chat] = outbox.claim_due(night.store, FENCE, 4, frozenset({("oncall", 0)}))
    outbox.record_sent(night.store, FENCE, chat.id, 4)
    sent = []
    while due := outbox.claim_due(night.store, FENCE, 5, frozenset({("oncall", 0)})):
        outbox.record_sent(night.store, FENCE, due[0].id, 5)
        sent += [title(due[0])]
        assert [] == alert_routing.pending_alerts(night.store)
    assert ["2 more"] == sent


def test_a_success_releases_an_alert_that_its_receiver_refused_and_another_has(night: Estate) -> None:
    """The state of its incident was sent with it to the first URL, and without it to the second."""
    decide(night, incidents=(incident(notices=()),))
    decision = made(night, waits=False, title="plan 3 stopped", kind=PERSON, incident_id=1)
    [chat] = outbox.claim_due(night.store, FENCE, 1, frozenset({("oncall", 0)}))
    outbox.park(night.store, FENCE, chat.id, "403", 1, False, 3)
    made(night, waits=False, kind="updated", incident_id=1)
    mail, chat = outbox.claim_due(night.store, FENCE, 2, frozenset())
    for state in (mail, chat):
        outbox.record_sent(night.store, FENCE, state.id, 2, state.ids[1:])
    assert ["digested", "pending"] == states(night, decision)


def test_a_digest_takes_the_deliveries_of_what_left_in_it(night: Estate) -> None:
    first, second = made(night, kind="opened"), made(night, kind="opened")
    digest = NewAlert("oncall", "digest", message_of("2 more", "both"), "headway:digest", waits=False)
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [], [(digest, [first, second])], 9)
    assert [["digested"] * 2] * 2 == [states(night, first), states(night, second)]
    assert ["2 more"] * 2 == [title(delivery) for delivery in outbox.claim_due(night.store, FENCE, 9, frozenset())]
    assert (0, 9) == alert_routing.released_since(night.store, "oncall", 1, 9)


def test_an_alert_is_handed_on_once_and_not_where_somebody_has_it(night: Estate) -> None:
    claimed, lost = made(night, waits=False, kind="opened"), made(night, waits=False, kind="opened")
    due = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.record_sent(night.store, FENCE, due[0].id, 6)
    assert [] == alert_routing.undelivered_alerts(night.store, "oncall", -1, -1, "boss")
    [alert] = alert_routing.undelivered_alerts(night.store, "oncall", MINUTE, -1, "boss")
    assert (lost, "t") == (alert.id, title(alert.new))
    again = alert_routing.as_fallback(alert, "boss", "first", "plain")
    alert_routing.forward_to_fallback(night.store, FENCE, ROUTES, [(lost, again)], MINUTE)
    assert [] == alert_routing.undelivered_alerts(night.store, "oncall", MINUTE, -1, "boss")
    [handed] = alert_routing.pending_alerts(night.store)
    assert ("boss", claimed) == (handed.route, due[0].id and claimed)


def test_what_all_urls_gave_up_is_handed_on_at_once(night: Estate) -> None:
    alert = made(night, at=MINUTE, waits=False, kind="opened")
    for delivery in outbox.claim_due(night.store, FENCE, 2 * MINUTE, frozenset()):
        assert [] == alert_routing.undelivered_alerts(night.store, "oncall", 0, -1, "boss")
        outbox.park(night.store, FENCE, delivery.id, "400", MINUTE, False, 3)
    assert [alert] == [alert.id for alert in alert_routing.undelivered_alerts(night.store, "oncall", 0, -1, "boss")]


def test_a_postponed_delivery_is_listed_with_its_next_try_and_a_parked_one_has_none(
    night: Estate, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made(night, waits=False, kind="opened")
    mail, chat = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.park(night.store, FENCE, chat.id, "400", 7, False, 3)
    times: list[str] = []
    for seconds in (600, -60):
        outbox.postpone(
            night.store, FENCE, mail.id, "451", micros(datetime.now(UTC) + timedelta(seconds=seconds)), False
        )
        assert main(["--store", store_url, "alert", "--json"]) == Exit.OK
        assert [row["next_try"] is None for row in json.loads(capsys.readouterr().out)] == [True, False]
        assert main(["--store", store_url, "alert"]) == Exit.OK
        times += [line for line in capsys.readouterr().out.splitlines() if "451" in line]
        outbox.claim_due(night.store, FENCE, 2**60, frozenset())
    assert re.search(r" in (10m|9m\d+s) ", times[0]), times
    assert " now " in times[1], times


def test_parked_deliveries_are_counted_by_route_and_sent_on_request(night: Estate, store_url: str) -> None:
    alert, own = made(night, waits=False, kind="opened"), made(night, waits=False)
    first, second = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.park(night.store, FENCE, first.id, "400", 7, False, 3)
    outbox.mark_sending(night.store, FENCE, second.id, 6)
    outbox.park(night.store, FENCE, second.id, "lost", 8, None)
    assert [("oncall", 2, 8)] == [
        (parked_deliveries.route, parked_deliveries.count, parked_deliveries.news_us)
        for parked_deliveries in alert_routing.parked_deliveries(night.store)
    ]
    with open_queries(store_url) as reads:
        assert [(first.id, "parked", "400"), (second.id, "parked", "lost")] == [
            (alert_delivery.id, alert_delivery.state, alert_delivery.error)
            for alert_delivery in reads.alerts.undelivered()
        ]
        assert ["pending", "pending"] == [alert_delivery.state for alert_delivery in reads.alerts.deliveries_of(own)]
    assert [first.id, second.id] == outbox.retry_parked(night.store, FENCE, None, ChangeOrigin("ann", "here", "", 9))
    assert ["pending", "pending"] == states(night, alert)
    assert [alert] == [
        alert.id for alert in alert_routing.pending_alerts(night.store)
    ]  # what may be a repeat goes in no digest
    alert_routing.release_alerts(night.store, FENCE, ROUTES, [alert], [], 9)
    due = {delivery.id: delivery for delivery in outbox.claim_due(night.store, FENCE, 9, frozenset())}
    assert [False, True] == [due[delivery.id].maybe_repeat for delivery in (first, second)]


def test_an_undeliverable_problem_of_our_own_is_no_news(night: Estate) -> None:
    made(night, waits=False)
    for delivery in outbox.claim_due(night.store, FENCE, 5, frozenset()):
        outbox.park(night.store, FENCE, delivery.id, "400", 7, False, 3)
    assert [(2, 0)] == [
        (parked_deliveries.count, parked_deliveries.news_us)
        for parked_deliveries in alert_routing.parked_deliveries(night.store)
    ]


def test_deliveries_for_a_removed_url_are_parked_with_the_reason(night: Estate) -> None:
    alert = made(night, kind="opened")
    alert_routing.park_strays(night.store, FENCE, {"oncall": ("env CHAT",)}, 5)
    assert ["parked", "pending"] == states(night, alert)
    [parked] = alert_routing.parked_deliveries(night.store)
    assert 'route "oncall" has no URL env MAIL any more' == parked.error


def test_what_left_from_memory_is_recorded_as_it_went(night: Estate) -> None:
    new = NewAlert("oncall", "headway", message_of("t", "b"), "headway:store", waits=False)
    outcomes = {0: DeliveryOutcome(True, 5, 1, "", False), 1: DeliveryOutcome(False, 6, 2, "timed out", True)}
    alert_routing.record_offline_alert(night.store, FENCE, ROUTES, new, 4, outcomes)
    [due] = outbox.claim_due(night.store, FENCE, 9, frozenset())
    assert ("env CHAT", True, 2) == (due.receiver, due.maybe_repeat, due.tries)
    assert (True, False) == (
        alert_routing.notified_since(night.store, "headway:store", 4),
        alert_routing.notified_since(night.store, "headway:store", 5),
    )


@each_row("text, index, known", [("env CHAT", 7, True), ("env GONE", 0, False), ("", 1, True), ("", 2, False)])
def test_a_url_is_identified_by_its_text_wherever_it_is_placed(text: str, index: int, known: bool) -> None:
    assert known == alert_routing.is_configured_url(ROUTES, "oncall", text, index)


def test_an_acknowledgement_keeps_a_later_end_on_request_until_it_is_ended(night: Estate) -> None:
    decide(night, incidents=(incident(notices=()),))

    def acknowledged(until: int, now: int, key: str, *, keeps_later: bool) -> int:
        change = ChangeOrigin("bob", "cli", "", now)
        assert "" == alert_responses.acknowledge(night.store, FENCE, 1, until, change, key, keeps_later)
        return alert_responses.acknowledged_until(night.store, 1)

    assert 0 == alert_responses.acknowledged_until(night.store, 1)
    assert 900 == acknowledged(900, 1, "key-a1", keeps_later=True)
    assert 900 == acknowledged(500, 2, "key-a2", keeps_later=True)
    assert 950 == acknowledged(950, 3, "key-b1", keeps_later=True)
    assert 600 == acknowledged(600, 4, "key-b2", keeps_later=False)
    assert "" == alert_responses.end_acknowledgement(night.store, FENCE, 1, ChangeOrigin("bob", "cli", "", 5))
    assert 550 == acknowledged(550, 6, "key-b3", keeps_later=True)


def test_of_acknowledgements_at_once_with_one_idempotency_key_and_different_bodies_one_is_made(
    night: Estate, store_url: str
) -> None:
    """All are sent at the same moment."""
    decide(night, incidents=(incident(notices=()),))
    ready = Barrier(4)

    def acknowledge(body: str) -> str:
        with closing(open_ready(store_url)) as store:
            key, change = f"{derived_key('a')}.{derived_key(body)}", ChangeOrigin("bob", "cli", "", 1)
            ready.wait(HANGS_SECONDS)
            try:
                return alert_responses.acknowledge(store, FENCE, 1, 900, change, key)
            except KeyReused:
                return "reused"

    with ThreadPoolExecutor(4) as pool:
        assert ["", *["reused"] * 3] == sorted(pool.map(acknowledge, "1234"))
    for key in (f"{derived_key('b')}.{derived_key('1')}", "headway-0", "headway-1"):
        change = ChangeOrigin("bob", "cli", "", 1)
        assert "" == alert_responses.acknowledge(night.store, FENCE, 1, 900, change, key)
    with night.store.read() as session:
        assert 4 == len(session.rows("SELECT id FROM acknowledgement"))


def test_an_alert_in_flight_when_its_engine_died_is_due_again_as_a_repeat(night: Estate) -> None:
    made(night, waits=False)
    due = outbox.claim_due(night.store, FENCE, 5, frozenset())
    outbox.mark_sending(night.store, FENCE, due[0].id, 6)
    outbox.recover_claims(night.store, FENCE)
    again = outbox.claim_due(night.store, FENCE, 7, frozenset())
    assert [(due[0].id, True), (due[1].id, False)] == [(delivery.id, delivery.maybe_repeat) for delivery in again]
