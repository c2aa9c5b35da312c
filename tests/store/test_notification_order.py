"""Of one incident each route hears what happened in the order in which it did, and what is true when it leaves."""

from __future__ import annotations

from typing import Any

from console.domain.alert import AlertKind
from console.domain.decision import Notice
from console.domain.ids import micros
from console.store import alert_routing, outbox
from console.store.alert_responses import acknowledge, active_acknowledgements, record_sent_acknowledgement
from console.store.alerts import DIGEST, NewAlert
from console.store.audit import ChangeOrigin
from tests.store.estate import JOBS, Estate, at, failed
from tests.store.test_decisions import ROUTES, decide, incident

ROUTINE = {"route": "oncall", "title": "t", "body": "b"}


def says(kind: AlertKind, **changes: Any) -> tuple[Notice, ...]:
    return (Notice(kind, **{**ROUTINE, "fingerprint": kind.value, **changes}),)


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
    decide(served, incidents=(incident(incident_id=1, closed=True, notices=over),), now="03:40")
    back = says(AlertKind.UPDATED, urgent=True)
    decide(served, incidents=(incident(incident_id=1, reopened=True, notices=back),), now="03:50")
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
    decide(served, incidents=(incident(incident_id=1, closed=True, notices=over),), now="03:40")
    assert [] == leave(served, "05:59")
    assert ["recovered"] == leave(served, "06:00")


def test_an_opening_that_was_not_sent_before_its_end_is_not_sent_in_the_quiet_hours(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    over = says(AlertKind.RECOVERED, not_before=at("06:00"))
    decide(served, incidents=(incident(incident_id=1, closed=True, notices=over),), now="03:40")
    assert [] == leave(served, "05:59")
    assert ["recovered"] == leave(served, "06:00")


def test_that_one_of_a_group_recovered_leaves_after_the_group(served: Estate) -> None:
    """The mail that says so begins its thread: the incident had none of its own yet."""
    served.ingest(failed(), failed(JOBS[1]))
    together = says(AlertKind.OPENED, group="oncall")
    second = incident(key="run:2:x", root_job_id=2, root_run_id=2, notices=together)
    decide(served, incidents=(incident(notices=together), second))
    with served.store.write(None) as connection:  # the first try was put off
        connection.rows(f"UPDATE delivery SET next_us = {micros(at('05:00'))} WHERE state = 'pending'")
    over = incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    assert [] == leave(served, "03:51")
    assert [("group", True), ("recovered", True)] == leave_as(served, "05:01")
    decide(served, incidents=(incident(incident_id=1, reopened=True, notices=says(AlertKind.UPDATED)),), now="05:02")
    assert [("updated", False)] == leave_as(served, "05:03")


def digested(served: Estate, now: str) -> None:
    """All that waits leaves in one digest."""
    waiting = [number for (number,) in served.rows("SELECT id FROM alert WHERE waits ORDER BY id")]
    alert = NewAlert("oncall", DIGEST, "2 more alerts", "all of them", f"digest {now}", waits=False)
    alert_routing.release_alerts(served.store, None, ROUTES, [], [(alert, waiting)], micros(at(now)))  # type: ignore[arg-type]


def put_off(served: Estate, until: str) -> None:
    with served.store.write(None) as connection:
        connection.rows(f"UPDATE delivery SET next_us = {micros(at(until))} WHERE state = 'pending'")


def two_fail(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))
    second = incident(key="run:2:x", root_job_id=2, root_run_id=2, notices=says(AlertKind.OPENED))
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)), second), now="03:30")


def test_a_digest_replaces_the_earlier_alerts_about_its_incidents(served: Estate) -> None:
    """The receiver put the first word off, and takes the digest, which replaces it: also of what is still open."""
    two_fail(served)
    let_out(served)
    put_off(served, "05:00")
    over = incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED))
    news = incident(incident_id=2, key="run:2:x", root_job_id=2, root_run_id=2, notices=says(AlertKind.UPDATED))
    decide(served, incidents=(over, news), now="03:40")
    digested(served, "03:41")
    assert ["digest"] == leave(served, "03:42")
    assert [("digested",)] == served.rows(
        "SELECT DISTINCT d.state FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE a.incident_id IS NOT NULL"
    )
    assert [] == leave(served, "05:01")


def test_a_digest_leaves_after_an_earlier_one_about_the_same_incident(served: Estate) -> None:
    two_fail(served)
    digested(served, "03:31")
    put_off(served, "05:00")
    over = incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    digested(served, "03:41")
    assert [] == leave(served, "03:42")
    assert ["digest", "digest"] == leave(served, "05:01")


def test_a_notification_names_the_threads_of_the_incidents_merged_into_it(served: Estate) -> None:
    two_fail(served)
    leave(served, "03:31")
    whole = incident(incident_id=1, merges={2: "load"}, notices=says(AlertKind.UPDATED))
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
    decide(served, incidents=(incident(incident_id=1, notices=says(AlertKind.UPDATED)),), now="03:40")
    leave(served, "03:41")
    assert [(1, "updated", url) for url in ROUTES["oncall"]] == latest()
    decide(served, incidents=(incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED)),), now="03:50")
    let_out(served)
    for due in outbox.claim_due(served.store, None, micros(at("03:51")), frozenset()):  # type: ignore[arg-type]
        outbox.mark_sending(served.store, None, due.id, micros(at("03:51")))  # type: ignore[arg-type]
    assert [] == latest()
    decide(served, incidents=(incident(incident_id=1, reopened=True),), now="03:52")
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
    decide(served, incidents=(incident(incident_id=1, notices=says(AlertKind.UPDATED)),), now="03:40")
    leave(served, "03:41")
    assert ([(1, first)], []) == (paged(), paged(0))
    over = incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:50")
    leave(served, "03:51")
    decide(served, incidents=(incident(incident_id=1, reopened=True),), now="03:52")
    assert [] == paged()


def test_an_acknowledgement_is_sent_to_a_service_once_and_the_next_one_again(served: Estate) -> None:
    def acknowledged(now: str) -> None:
        acknowledge(served.store, None, 1, micros(at("05:00")), ChangeOrigin("bob", "cli", "", micros(at(now))))  # type: ignore[arg-type]

    def was_sent() -> bool:
        return active_acknowledgements(served.store, micros(at("04:00")))[1].was_sent_to("PagerDuty")

    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    acknowledged("03:31")
    assert not was_sent()
    for service in ("Opsgenie", "PagerDuty"):
        args = (1, service, "acknowledgement sent", micros(at("03:32")))
        record_sent_acknowledgement(served.store, None, *args)  # type: ignore[arg-type]
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
        decide(served, incidents=(incident(incident_id=1, closed=True, notices=over),), now="03:50")
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
        session.rows("UPDATE alert_notified SET style = 'business'")
    assert [None] == named("03:52")
    decide(served, incidents=(incident(incident_id=1, reopened=True, event="reopened"),), now="03:55")
    ends()
    assert [None] == named("03:59")
