"""The words of an incident's story where there is little to say."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from console.cli.incidents import incident_lines
from console.domain.alert import DeliveryView, SuppressionView
from console.domain.incident import IncidentView
from console.domain.reason import BadDelivery
from console.tui.views.incidents.summary import last_repair, summary_lines
from console.tui.views.incidents.timeline import (
    delivery_text,
    last_notified,
    notified_cell,
    suppressed_text,
    timeline_lines,
)
from tests.tui.fake_reads import NOW, at, incident
from tests.tui.views.runs.test_durations import render_context


def summary_text(view: IncidentView) -> str:
    return "\n".join("".join(text for text, _ in row.cells) for row in summary_lines(view, render_context(), 120))


def of(**changes: Any) -> IncidentView:
    view = incident()
    return dataclasses.replace(view, row=dataclasses.replace(view.row, **changes))


def test_a_root_without_followers_is_not_shown_as_nothing_failed() -> None:
    assert "2 runs failed or stale" in summary_text(of())
    assert "failed or stale" not in summary_text(of(affected_runs=0))


def test_a_resolved_incident_has_no_unknown_times() -> None:
    view = of(closed=NOW, act_by=None)
    over = tuple(dataclasses.replace(service, act_by=None, green_by=None) for service in view.services)
    message = summary_text(dataclasses.replace(view, services=over))
    assert ("act by" in message, "green by" in message) == (False, False)


def test_a_root_that_runs_again_is_not_green() -> None:
    view = incident()
    job = view.members[0].job

    def line(state: str) -> list[str]:
        members = (dataclasses.replace(view.members[0], role="repaired", state=state), *view.members[1:])
        lines = summary_text(dataclasses.replace(view, members=members)).splitlines()
        texts = next(line for line in lines if f" {job}" in line).split()
        return [text for text in texts if ":" not in text]

    assert ["▶", "running", "rerun"] == line("running")[:3]
    assert ["●", "succeeded", "repaired"] == line("succeeded")[:3]
    assert ["✖", "failed", "superseded"] == line("failed")[:3]


def test_each_failed_job_has_its_own_error_once() -> None:
    """Not that of the root, which the page begins with, and none of a job that is good again."""
    view = incident()
    first = view.members[0]
    failed = dataclasses.replace(first, role="red", state="failed", job_id=90, run_id=9, message="")
    members = (
        dataclasses.replace(first, message="disk full"),
        dataclasses.replace(failed, message='relation "stock" does not exist\nLINE 1'),
        dataclasses.replace(failed, period_key="another", message='relation "stock" does not exist'),
        dataclasses.replace(failed, job_id=91, exit_code=70),
        dataclasses.replace(failed, job_id=92, state="succeeded", message="NOTICE: done"),
    )
    view = dataclasses.replace(view, members=members)
    for page in (summary_text(view), "\n".join(incident_lines(view, NOW))):
        text = page[page.lower().index("runs") :].partition("log")[0]
        assert (1, 1, 0) == tuple(map(text.count, ('relation "stock" does not exist', "exit 70", "NOTICE"))), text
        assert "disk full" not in text


def test_what_worked_before_is_what_worked() -> None:
    view = incident()
    stayed = tuple(dataclasses.replace(repair, how="", by="", took_s=None) for repair in view.repairs)
    first = dataclasses.replace(view, repairs=(stayed[0], *view.repairs[1:]))
    worked = next(repair for repair in view.repairs[1:] if repair.how)
    assert f"{worked.how}" in last_repair(first, render_context())
    assert "not repaired" not in last_repair(first, render_context())
    assert "never repaired: 3 earlier failures" == last_repair(
        dataclasses.replace(view, repairs=stayed), render_context()
    )


ALL_CLEAR = DeliveryView("oncall", "recovered", "file /etc/headway/oncall-mail", "sent", 1, 0, NOW, "", NOW)
AGAIN = SuppressionView("oncall", "technical", "opened", "flapping", "red 3 times since 02:10Z",
                 NOW + timedelta(minutes=30), since=NOW, incident_id=412)  # fmt: skip


def test_what_is_red_again_does_not_read_as_recovered_while_its_alert_is_held_back() -> None:
    view = dataclasses.replace(of(reopened=2), deliveries=(ALL_CLEAR,), suppressed=(AGAIN,))
    assert last_notified(view, render_context()) == (
        "red again, suppressed until 03:47 (flapping: red 3 times since 02:10Z)", "warn")  # fmt: skip
    row = dataclasses.replace(view.row, notifications=(ALL_CLEAR,), suppression=AGAIN)
    assert notified_cell(row, render_context(), is_short=True) == ("suppressed", "warn")
    assert last_notified(dataclasses.replace(view, suppressed=()), render_context()) == (
        "red again, not notified yet",
        "warn",
    )
    over = dataclasses.replace(view, row=dataclasses.replace(view.row, closed=NOW), suppressed=())
    assert last_notified(over, render_context())[1] == "ok"


def test_the_reason_for_a_suppression_is_stated_once() -> None:
    assert suppressed_text(AGAIN) == "opened to oncall suppressed by flapping: red 3 times since 02:10Z"


def test_an_accepted_notification_comes_before_its_possibly_long_address() -> None:
    assert (
        delivery_text(ALL_CLEAR, render_context())[0]
        == "notified oncall: accepted 03:17 (file /etc/headway/oncall-mail)"
    )


def test_a_notification_that_asks_for_a_decision_says_so() -> None:
    delivery = dataclasses.replace(ALL_CLEAR, kind="person")
    text = "person needed: notified oncall: accepted 03:17 (file /etc/headway/oncall-mail)"
    view = dataclasses.replace(incident(), deliveries=(delivery,))
    assert text == last_notified(view, render_context())[0]
    lines = ["".join(part for part, _ in line) for line in timeline_lines(view, render_context())]
    assert any(line.endswith(text) for line in lines)


def test_the_root_cause_is_named_as_on_every_screen() -> None:
    assert "root cause etl-hosts/db07:extract_orders" in summary_text(incident())


def test_two_deadlines_of_one_service_are_counted_as_rows_too() -> None:
    view = incident()
    first = view.services[0]
    next_day = dataclasses.replace(first, business_date="2026-11-20", deadline=first.deadline + timedelta(days=1))
    assert "AFFECTED SERVICES 1 · 2 deadlines" in summary_text(dataclasses.replace(view, services=(first, next_day)))
    assert "AFFECTED SERVICES 2  2 runs" in summary_text(view)


def test_stale_data_is_named_beside_the_service_until_it_is_delivered() -> None:
    given = BadDelivery(at("05:20"))
    view = incident()
    first = dataclasses.replace(view.services[0], reasons=(given,))
    assert "stale" == first.incomplete_data
    assert "" == dataclasses.replace(first, delivered=NOW).incomplete_data
    stale = dataclasses.replace(view, services=(first, *view.services[1:]))
    for width in (80, 120):
        lines = ["".join(text for text, _ in row.cells) for row in summary_lines(stale, render_context(), width)]
        assert any(first.title in line and " stale" in line for line in lines), (width, lines)
