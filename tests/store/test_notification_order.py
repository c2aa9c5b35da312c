"""Of one incident each route hears what happened in the order in which it did, and what is true when it leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from console.domain.alert import BUSINESS, AlertKind, IncidentPhase, NotifiedDay, NotifiedIncident
from console.domain.decision import KnownIncident, Notice, ReopenedIncident
from console.domain.ids import instant, micros
from console.domain.reason import GreenAgain
from console.store import alert_routing, outbox
from console.store.alert_responses import acknowledge, active_acknowledgements, record_sent_acknowledgement
from console.store.alerts import DIGEST, NewAlert
from console.store.audit import ChangeOrigin
from tests.messages import message_of
from tests.store.estate import JOBS, Estate, at, failed
from tests.store.test_decisions import ROUTES, decide, incident

ROUTINE = {"route": "oncall", "message": message_of("t", "b")}


def says(kind: AlertKind, **changes: Any) -> tuple[Notice, ...]:
    return (Notice(kind, **{**ROUTINE, "content": NotifiedIncident(kind.value), **changes}),)


def let_out(served: Estate) -> None:
    with served.store.write(None) as connection:
        connection.rows("UPDATE alert SET waits = FALSE WHERE waits")


def leave(served: Estate, now: str) -> list[str]:
    """The kinds of what leaves to the first URL, one after the other, all of it arriving."""
    return [kind for kind, _ in leave_as(served, now)]


def leave_as(served: Estate, now: str) -> list[tuple[str, bool]]:
    """The same, and whether each begins a thread."""
    let_out(served)
    results: list[tuple[str, bool]] = []
    while due := outbox.claim_due(served.store, None, micros(at(now)), frozenset()):  # type: ignore[arg-type]
        for delivery in due:
            outbox.mark_sending(served.store, None, delivery.id, micros(at(now)))  # type: ignore[arg-type]
            outbox.record_sent(served.store, None, delivery.id, micros(at(now)))  # type: ignore[arg-type]
        results += [(delivery.kind, delivery.begins) for delivery in due if delivery.url_index == 0]
    return results


def test_a_resolution_is_not_sent_once_the_incident_is_back_and_delays_nothing_urgent(served: Estate) -> None:
    """Said at the end of the quiet hours it would be false by then, and what is urgent would wait until then too."""
    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    assert ["opened"] == leave(served, "03:31")
    over = says(AlertKind.RECOVERED, not_before=at("06:00"))
    decide(
        served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=over),), now="03:40"
    )
    back = says(AlertKind.UPDATED, urgent=True)
    decide(served, incidents=(incident(incident=ReopenedIncident(1), notices=back),), now="03:50")
    assert ["updated"] == leave(served, "03:51")
    assert [] == leave(served, "06:01")
    assert ["oncall was not notified of its recovery: it was reopened before that was sent"] == [
        item for (item,) in served.rows("SELECT text FROM event WHERE kind = 'suppressed'")
    ]


def test_what_was_put_off_leaves_at_its_time_where_nothing_came_back(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    assert ["opened"] == leave(served, "03:31")
    over = says(AlertKind.RECOVERED, not_before=at("06:00"))
    decide(
        served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=over),), now="03:40"
    )
    assert [] == leave(served, "05:59")
    assert ["recovered"] == leave(served, "06:00")


def test_an_opening_that_was_not_sent_before_its_end_is_not_sent_in_the_quiet_hours(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    over = says(AlertKind.RECOVERED, not_before=at("06:00"))
    decide(
        served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=over),), now="03:40"
    )
    assert [] == leave(served, "05:59")
    assert ["recovered"] == leave(served, "06:00")


def test_that_one_of_a_group_recovered_leaves_after_the_group(served: Estate) -> None:
    """The mail that says so begins its thread: the incident had none of its own yet."""
    served.ingest(failed(), failed(JOBS[1]))
    together = says(AlertKind.OPENED, group="oncall")
    second = incident(key="run:2:x", root=2, notices=together)
    decide(served, incidents=(incident(notices=together), second))
    with served.store.write(None) as connection:  # the first try was put off
        connection.rows(f"UPDATE delivery SET next_us = {micros(at('05:00'))} WHERE state = 'pending'")
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    assert [] == leave(served, "03:51")
    assert [("group", True), ("recovered", True)] == leave_as(served, "05:01")
    decide(served, incidents=(incident(incident=ReopenedIncident(1), notices=says(AlertKind.UPDATED)),), now="05:02")
    assert [("updated", False)] == leave_as(served, "05:03")


def digested(served: Estate, now: str) -> None:
    """All that waits leaves in one digest."""
    waiting = [number for (number,) in served.rows("SELECT id FROM alert WHERE waits ORDER BY id")]
    alert = NewAlert("oncall", DIGEST, message_of("2 more alerts", "all of them"), f"digest {now}", waits=False)
    alert_routing.release_alerts(served.store, None, ROUTES, [], [(alert, waiting)], micros(at(now)))  # type: ignore[arg-type]


def put_off(served: Estate, until: str) -> None:
    with served.store.write(None) as connection:
        connection.rows(f"UPDATE delivery SET next_us = {micros(at(until))} WHERE state = 'pending'")


def two_fail(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))
    second = incident(key="run:2:x", root=2, notices=says(AlertKind.OPENED))
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)), second), now="03:30")


def test_a_digest_replaces_the_earlier_alerts_about_its_incidents(served: Estate) -> None:
    """The receiver put the first word off, and takes the digest, which replaces it: also of what is still open."""
    two_fail(served)
    let_out(served)
    put_off(served, "05:00")
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    news = incident(incident=KnownIncident(2), key="run:2:x", root=2, notices=says(AlertKind.UPDATED))
    decide(served, incidents=(over, news), now="03:40")
    digested(served, "03:41")
    assert ["digest"] == leave(served, "03:42")
    assert [("digested",)] == served.rows(
        "SELECT DISTINCT d.state FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE a.incident_id IS NOT NULL"
    )
    assert [] == leave(served, "05:01")


def claimed(served: Estate, now: str) -> list[tuple[str, list[str]]]:
    """The kind of each delivery to the first URL, all of them arriving, and the incidents that remain of a digest."""
    let_out(served)
    results: list[tuple[str, list[str]]] = []
    while due := outbox.claim_due(served.store, None, micros(at(now)), frozenset()):  # type: ignore[arg-type]
        for delivery in due:
            outbox.mark_sending(served.store, None, delivery.id, micros(at(now)))  # type: ignore[arg-type]
            outbox.record_sent(served.store, None, delivery.id, micros(at(now)))  # type: ignore[arg-type]
            if delivery.url_index == 0:
                results.append((delivery.kind, [part.incident for part in delivery.remaining]))
    return results


def test_a_part_of_an_undelivered_digest_is_replaced_by_that_of_a_later_one(served: Estate) -> None:
    two_fail(served)
    digested(served, "03:31")
    put_off(served, "05:00")
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    digested(served, "03:41")
    assert [("digest", [])] == claimed(served, "03:42")
    assert [("digest", ["INC-0002"])] == claimed(served, "05:01")


def test_an_end_replaces_the_part_of_an_undelivered_digest(served: Estate) -> None:
    """A receiver that was down got "failed" in the digest, and "resolved" a second later."""
    two_fail(served)
    digested(served, "03:31")
    put_off(served, "05:00")
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    put_off(served, "04:00")
    assert {("digest", ("INC-0002",)), ("recovered", ())} == {
        (kind, tuple(incidents)) for kind, incidents in claimed(served, "04:01")
    }


def test_a_digest_is_not_sent_once_newer_alerts_replace_all_its_parts(served: Estate) -> None:
    two_fail(served)
    digested(served, "03:31")
    put_off(served, "05:00")
    first_end = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    second_end = replace(first_end, incident=KnownIncident(2), key="run:2:x")
    decide(served, incidents=(first_end, second_end), now="03:40")
    let_out(served)
    [first, *_] = outbox.claim_due(served.store, None, micros(at("03:41")), frozenset())  # type: ignore[arg-type]
    assert first.replaced is not None
    assert at("03:30") == instant(first.replaced.made_us)
    outbox.recover_claims(served.store, None)  # type: ignore[arg-type]
    assert [("recovered", []), ("recovered", [])] == claimed(served, "03:42")
    assert [] == claimed(served, "05:01")


def test_a_digest_resolves_no_incident_whose_part_a_newer_alert_replaces(served: Estate) -> None:
    """The first incident ended in the digest, and was reopened before it left."""
    two_fail(served)
    leave(served, "03:31")
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    news = incident(incident=KnownIncident(2), key="run:2:x", root=2, notices=says(AlertKind.UPDATED))
    decide(served, incidents=(over, news), now="03:40")
    digested(served, "03:41")
    put_off(served, "05:00")
    decide(served, incidents=(incident(incident=ReopenedIncident(1), notices=says(AlertKind.UPDATED)),), now="03:50")
    let_out(served)
    leave(served, "03:51")
    [digest, *_] = outbox.claim_due(served.store, None, micros(at("05:01")), frozenset())  # type: ignore[arg-type]
    assert (DIGEST, ()) == (digest.kind, digest.resolves)


def test_a_dropped_digest_is_forwarded_while_no_newer_alert_has_arrived(served: Estate) -> None:
    def undelivered(now: str) -> list[str]:
        before = micros(at(now)) - 120_000_000
        return [
            alert.new.kind for alert in alert_routing.undelivered_alerts(served.store, "oncall", before, 0, "manager")
        ]

    two_fail(served)
    digested(served, "03:31")
    put_off(served, "05:00")
    assert [DIGEST] == undelivered("03:33:30")
    newer = [
        incident(incident=KnownIncident(number), key=f"run:{number}:x", root=number, notices=says(AlertKind.UPDATED))
        for number in (1, 2)
    ]
    decide(served, incidents=tuple(newer), now="03:32")
    digested(served, "03:32:30")
    put_off(served, "05:00")
    outbox.claim_due(served.store, None, micros(at("03:32:31")), frozenset())  # type: ignore[arg-type]
    assert [DIGEST] == undelivered("03:33:30")


def test_a_notification_names_the_threads_of_the_incidents_merged_into_it(served: Estate) -> None:
    two_fail(served)
    leave(served, "03:31")
    whole = incident(incident=KnownIncident(1), merges={2: "load"}, notices=says(AlertKind.UPDATED))
    decide(served, incidents=(whole,), now="03:40")
    let_out(served)
    due = outbox.claim_due(served.store, None, micros(at("03:41")), frozenset())  # type: ignore[arg-type]
    assert {("run:2:x",)} == {delivery.parts for delivery in due}


def test_the_last_delivery_of_each_open_incident_is_refreshed_and_none_of_a_closed_one(served: Estate) -> None:
    def latest(resolved: bool = False) -> list[tuple[int | None, str, str]]:
        deliveries = outbox.latest_of_open_incidents(served.store)
        assert {resolved} >= {delivery.is_resolved for delivery in deliveries}
        return [(delivery.incident_id, delivery.origin, delivery.receiver) for delivery in deliveries]

    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    assert [] == latest(), "nothing was sent yet"
    leave(served, "03:31")
    assert [(1, "opened", url) for url in ROUTES["oncall"]] == latest()
    decide(served, incidents=(incident(incident=KnownIncident(1), notices=says(AlertKind.UPDATED)),), now="03:40")
    leave(served, "03:41")
    assert [(1, "updated", url) for url in ROUTES["oncall"]] == latest()
    decide(
        served,
        incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED)),),
        now="03:50",
    )
    let_out(served)
    for due in outbox.claim_due(served.store, None, micros(at("03:51")), frozenset()):  # type: ignore[arg-type]
        outbox.mark_sending(served.store, None, due.id, micros(at("03:51")))  # type: ignore[arg-type]
    assert [] == latest()
    decide(served, incidents=(incident(incident=ReopenedIncident(1)),), now="03:52")
    assert [(1, "recovered", url) for url in ROUTES["oncall"]] == latest(resolved=True)


def test_incidents_that_page_are_listed_by_receiver_and_not_those_of_a_digest(served: Estate) -> None:
    def paged(limit: int = 50) -> list[tuple[int, str]]:
        receivers = [("oncall", url) for url in ROUTES["oncall"][:1]]
        return [(row.incident_id, row.receiver) for row in outbox.paged_incidents(served.store, receivers, limit)]

    first = ROUTES["oncall"][0]
    two_fail(served)
    digested(served, "03:31")
    leave(served, "03:31")
    assert [] == paged()
    decide(served, incidents=(incident(incident=KnownIncident(1), notices=says(AlertKind.UPDATED)),), now="03:40")
    leave(served, "03:41")
    assert ([(1, first)], []) == (paged(), paged(0))
    over = incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:50")
    leave(served, "03:51")
    decide(served, incidents=(incident(incident=ReopenedIncident(1)),), now="03:52")
    assert [] == paged()


def test_an_acknowledgement_is_sent_to_a_service_once_and_the_next_one_again(served: Estate) -> None:
    def acknowledged(now: str) -> None:
        acknowledge(served.store, None, 1, micros(at("05:00")), ChangeOrigin("bob", "cli", "", micros(at(now))))  # type: ignore[arg-type]

    def was_sent() -> bool:
        return "PagerDuty" in active_acknowledgements(served.store, micros(at("04:00")))[1].sent

    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    acknowledged("03:31")
    assert not was_sent()
    for service in ("Opsgenie", "PagerDuty: night"):
        args = (1, service, "acknowledgement sent", micros(at("03:32")))
        record_sent_acknowledgement(served.store, None, *args)  # type: ignore[arg-type]
    assert not was_sent()
    record_sent_acknowledgement(served.store, None, 1, "PagerDuty", "acknowledgement sent", micros(at("03:33")))  # type: ignore[arg-type]
    assert was_sent()
    acknowledged("03:40")
    assert not was_sent()


def test_the_plan_of_an_earlier_episode_is_not_named_nor_any_plan_for_business_readers(served: Estate) -> None:
    """ "Plan 1 is done": it had repaired the failure before; the one of this end was repaired by a plain rerun."""

    def named(now: str) -> list[int | None]:
        [due, *_] = outbox.claim_due(served.store, None, micros(at(now)), frozenset())  # type: ignore[arg-type]
        outbox.recover_claims(served.store, None)  # type: ignore[arg-type]
        return [due.plan.id if due.plan is not None else None]

    def ends() -> None:
        over = says(AlertKind.RECOVERED, style="technical")
        decide(
            served,
            incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=over),),
            now="03:50",
        )
        let_out(served)

    served.ingest(failed())
    decide(served, incidents=(incident(),), now="03:30")
    plan = {"id": 1, "key": "k", "kind": "recovery", "title": "", "incident_id": 1, "state": "done", "text": ""}
    plan |= {"requested_by": "", "requested_from": "", "why": "", "at_once": 1, "changed_seq": 1}
    plan |= {"requested_us": micros(at("03:31")), "ended_us": micros(at("03:40"))}
    step = {"plan_id": 1, "place": 1, "verb": "rerun", "period_key": "", "parameters": "{}", "after": "[]", "wait_s": 0}
    step |= {"safety": "ask", "saves": "[]", "preview": "{}", "state": "verified", "text": ""}
    with served.store.write(None) as session:
        session.insert("plan", tuple(plan), [tuple(plan.values())])
        session.insert("plan_step", tuple(step), [tuple(step.values())])
    ends()
    assert [1] == named("03:51")
    with served.store.write(None) as session:
        session.rows("UPDATE incident SET failed_since_us = ?", (micros(at("03:41")),))
    assert [None] == named("03:51"), "its cause failed after the plan"
    with served.store.write(None) as session:
        session.rows("UPDATE incident SET failed_since_us = ?", (micros(at("03:30")),))
        session.rows("UPDATE alert_notified SET style = 'business'")
    assert [None] == named("03:52")
    decide(served, incidents=(incident(incident=ReopenedIncident(1), event=("reopened",)),), now="03:55")
    ends()
    assert [None] == named("03:59")


def test_the_end_of_a_service_day_resolves_the_pages_of_its_closed_incidents(served: Estate) -> None:
    """The first incident closed without a message, because the second kept the day at risk."""
    served.ingest(failed(), failed(JOBS[1]))
    day = NotifiedDay("daily", date(2026, 11, 19), "at_risk")
    at_risk = says(AlertKind.OPENED, style=BUSINESS, content=NotifiedIncident(days=(day,)))
    decide(served, incidents=(incident(notices=at_risk),), now="03:30")
    leave(served, "03:31")
    second = incident(key="run:2:x", root=2, notices=())
    decide(served, incidents=(second,), now="03:32")
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=()),), now="03:40")
    over = NotifiedIncident(phase=IncidentPhase.CLOSED, days=(day._replace(status="on_time"),))
    end = says(AlertKind.RECOVERED, style=BUSINESS, content=over)
    decide(
        served,
        incidents=(replace(second, incident=KnownIncident(2), close_reason=GreenAgain(), notices=end),),
        now="03:50",
    )
    let_out(served)
    due = outbox.claim_due(served.store, None, micros(at("03:51")), frozenset())  # type: ignore[arg-type]
    [(first,)] = served.rows("SELECT key FROM incident WHERE id = 1")
    assert {(True, (first,))} == {(delivery.is_resolved, delivery.resolves) for delivery in due}
