"""Of one incident each route hears what happened in the order in which it did, and what is true when it leaves."""

from __future__ import annotations

from typing import Any

from console.model.decisions import Notice
from console.model.ids import micros
from console.model.words import AlertKind
from console.store import outbox
from tests.store.estate import JOBS, Estate, at, failed
from tests.store.test_apply import decide, incident

ROUTINE = {"route": "oncall", "title": "t", "body": "b"}


def says(kind: AlertKind, **changes: Any) -> tuple[Notice, ...]:
    return (Notice(kind, **{**ROUTINE, "fingerprint": kind.value, **changes}),)


def let_out(served: Estate) -> None:
    with served.store.write(None) as connection:
        connection.exec_driver_sql("UPDATE alert SET waits = FALSE WHERE waits")


def leave(served: Estate, now: str) -> list[str]:
    """The kinds of what leaves to the first URL, one after the other, all of it arriving."""
    return [kind for kind, _ in leave_as(served, now)]


def leave_as(served: Estate, now: str) -> list[tuple[str, bool]]:
    """The same, and whether each begins a thread."""
    let_out(served)
    found: list[tuple[str, bool]] = []
    while due := outbox.claim_due(served.store, None, micros(at(now)), frozenset()):  # type: ignore[arg-type]
        for one in due:
            outbox.touch_wire(served.store, None, one.id, micros(at(now)))  # type: ignore[arg-type]
            outbox.record_sent(served.store, None, one.id, micros(at(now)))  # type: ignore[arg-type]
        found += [(one.kind, one.begins) for one in due if one.url_index == 0]
    return found


def test_that_it_was_over_is_told_to_nobody_once_it_is_back_and_keeps_nothing_urgent_waiting(served: Estate) -> None:
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
    assert ["oncall was not told that it was over: it came back before that could be said"] == [
        one for (one,) in served.rows("SELECT words FROM event WHERE kind = 'untold'")
    ]


def test_what_was_put_off_leaves_at_its_time_where_nothing_came_back(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=says(AlertKind.OPENED)),), now="03:30")
    over = says(AlertKind.RECOVERED, not_before=at("06:00"))
    decide(served, incidents=(incident(incident_id=1, closed=True, notices=over),), now="03:40")
    assert ["opened"] == leave(served, "05:59")
    assert ["recovered"] == leave(served, "06:00")


def test_that_one_of_a_group_recovered_leaves_after_the_group(served: Estate) -> None:
    """The mail that says so begins its thread: the incident had none of its own yet."""
    served.ingest(failed(), failed(JOBS[1]))
    together = says(AlertKind.OPENED, group="oncall")
    second = incident(key="run:2:x", root_job_id=2, root_run_id=2, notices=together)
    decide(served, incidents=(incident(notices=together), second))
    with served.store.write(None) as connection:  # the first try was put off
        connection.exec_driver_sql(f"UPDATE delivery SET next_us = {micros(at('05:00'))} WHERE state = 'pending'")
    over = incident(incident_id=1, closed=True, notices=says(AlertKind.RECOVERED))
    decide(served, incidents=(over,), now="03:40")
    assert [] == leave(served, "03:51")
    assert [("group", True), ("recovered", True)] == leave_as(served, "05:01")
    decide(served, incidents=(incident(incident_id=1, reopened=True, notices=says(AlertKind.UPDATED)),), now="05:02")
    assert [("updated", False)] == leave_as(served, "05:03")
