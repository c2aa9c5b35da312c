"""The incident screen: who was notified and who acknowledged, its tabs by key, a note, the handover; and the list."""

from __future__ import annotations

import dataclasses
import gc
from datetime import datetime, timedelta
from typing import Any

import pytest
from textual._styles_cache import StylesCache

from console.domain.reason import FinishExpected, LateBecause
from console.store.errors import StoreUnusable
from console.tui.views.commands import HAS_ENDED
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.widgets.grid import Grid
from tests.tui.driving import Night, on_the_night, without_estimates
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, at, draft, incident, incident_row, plan_of
from tests.tui.views.runs.test_durations import render_context


async def _open(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")


@on_the_night()
async def test_the_last_notification_and_its_outcome_are_on_top(night: Night) -> None:
    await _open(night)
    await night.see("unacknowledged", "opened: chat not notified yet, 3 attempts: connection refused")


@on_the_night()
async def test_a_closed_screen_leaves_no_painted_lines_in_memory(night: Night) -> None:
    """Textual's cache of colors keeps up to 1,024 widgets: collections of garbage took 0.2 s in a console in use."""

    def painters() -> int:
        gc.collect()
        return sum(isinstance(item, StylesCache) for item in gc.get_objects())

    counts = []
    for _ in range(2):
        await _open(night)
        await night.press("escape")
        await night.see("Supply plan")
        await night.at_rest()
        counts.append(painters())
    assert counts[-1] <= counts[0] + 1  # another test's screen may be collected late


def _long_reasons(night: Night) -> None:
    incident_view = night.reads.incident_
    why = "load_orders starts 04:00 by the clock and must find it green, and so must all that reads it; " * 4
    services = tuple(dataclasses.replace(service, reasons=(LateBecause((why,)),)) for service in incident_view.services)
    night.reads.incident_ = dataclasses.replace(incident_view, services=services)


@on_the_night(prepare=_long_reasons)
async def test_one_that_is_opened_from_services_begins_at_its_top(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("INC-0412", "AFFECTED SERVICES")
    await night.at_rest()
    grid = night.widget("#grid")
    assert (0, True) == (grid.scroll_offset.y, grid.cursor < grid.page)  # type: ignore[attr-defined]


@on_the_night(size=(80, 36))
async def test_tab_leads_through_what_happened_log_timeline_reasons_and_what_worked_before(night: Night) -> None:
    await _open(night)
    await night.press("tab")
    await night.wait_until_hidden("AFFECTED SERVICES")
    await night.see("ERROR could not extend file")
    await night.press("tab")
    await night.see("── now ──", "act by, for Supply plan", "notified data-platform: accepted 03:12 (env ONCALL_MAIL)")
    await night.press("tab")
    await night.see(
        "FACTS", "NATIVE: recorded by its source", 'native state "END"', "last reported 03:12:05 (5m37s ago)"
    )
    await night.press("tab")
    await night.see(
        "FAILED 3 times before",
        "2x by rerun, usually green after 22m",
        "rerun by mara, green after 18m",
        "note: purged",
    )
    await night.press("tab")
    await night.see("AFFECTED SERVICES")
    await night.press("shift+tab")
    await night.see("FAILED 3 times before")


@pytest.mark.parametrize("act, seen", [
    ("timeline", "── now ──"), ("evidence", "usual repair: 38 % risk of being late, 05:50"), ("before", "as now"),
])  # fmt: skip
def test_each_of_them_has_a_key_and_escape_leads_back_to_what_happened(act: str, seen: str) -> None:
    @on_the_night()
    async def steps(night: Night) -> None:
        await _open(night)
        await night.act(act)
        await night.see(seen)
        await night.press("escape")
        await night.see("AFFECTED SERVICES")
        await night.press("escape")
        await night.see("SERVICES")

    steps()


@on_the_night(size=(120, 36))
async def test_a_wide_terminal_shows_both_at_once(night: Night) -> None:
    await _open(night)
    await night.act("evidence")
    await night.see("AFFECTED SERVICES", "FACTS")


@on_the_night()
async def test_a_note_that_the_store_refuses_comes_back_with_its_text(night: Night) -> None:
    write = night.requests.note

    def refuse(incident_id: int, text: str) -> None:
        raise StoreUnusable("database or disk is full")

    night.requests.note = refuse  # type: ignore[method-assign]
    await _open(night)
    await night.act("note")
    await night.typing()
    await night.type("purged the spool")
    await night.press("enter")
    await night.see("NOT noted: database or disk is full", "purged the spool")
    night.requests.note = write  # type: ignore[method-assign]
    await night.typing()
    await night.press("enter")
    await night.see("INC-0412: noted")
    assert [(412, "purged the spool")] == night.requests.notes


@on_the_night()
async def test_a_note_is_written_once_and_confirmed(night: Night) -> None:
    await _open(night)
    await night.act("note")
    await night.typing()
    await night.press("enter")
    await night.see("enter a short text")
    await night.type("purged  the spool")
    await night.press("enter")
    await night.see("INC-0412: noted")
    assert [(412, "purged the spool")] == night.requests.notes


@on_the_night()
async def test_the_page_to_hand_over_is_read_first_and_the_terminal_is_not_promised_to_take_it(night: Night) -> None:
    await _open(night)
    await night.act("handover")
    await night.see("handover of INC-0412", "Summary", "Unacknowledged")
    await night.see("Restart extract_orders by 03:58 CET (in 40 min)")
    assert "" == night.app.clipboard
    await night.press("y")
    await night.see("a terminal may ignore", "headway incident report INC-0412")
    assert "# INC-0412: " in night.app.clipboard


@on_the_night()
async def test_a_page_to_hand_over_is_on_the_wall_that_z_means(night: Night) -> None:
    await _open(night)
    await night.act("zone")
    await night.act("handover")
    await night.see("Restart extract_orders by 02:58 UTC (in 40 min)")


@on_the_night(size=(120, 36))
async def test_past_repairs_use_the_terms_of_their_tab(night: Night) -> None:
    await _open(night)
    [newest, *_] = incident().repairs
    await night.see("last repair: 2026-11-11 03:12, ", f"{newest.how} by", "after 18m, and 2 more")


# the list


@on_the_night(size=(80, 24))
async def test_the_cursor_keeps_its_run_and_its_line_when_the_root_changes(night: Night) -> None:
    """The list is read at 3 am while causes are still sorted out: the run under the eyes must not move away."""
    await _open(night)
    grid: Any = night.widget("#grid")
    await night.until(lambda: len(grid.source) > grid.page, "more rows than lines")
    place = grid.source.index_of(("run", 3, MART), 0)
    grid.move_to(len(grid.source) - 1)
    await night.at_rest()
    grid.move_to(place)
    await night.at_rest()
    line = next(at for at, text in enumerate(night.text.splitlines()) if MART in text)
    view = night.reads.incident_
    old_root, stale, new_root, *others = view.members
    members = (
        dataclasses.replace(new_root, role="root"),
        *(dataclasses.replace(stale, job=f"{stale.job}_{number}", run_id=20 + number) for number in range(4)),
        dataclasses.replace(old_root, role="stale"),
        *others,
    )
    row = dataclasses.replace(view.row, root_run_id=3, root_job=MART)
    night.reads.incident_ = dataclasses.replace(view, row=row, members=members, services=view.services * 2)
    await night.act("redraw")
    await night.see(f"root cause {MART}")
    await night.at_rest()
    assert (("run", 3, MART), line) == (
        grid.key, next(at for at, text in enumerate(night.text.splitlines()) if f"root cause {MART}" in text)
    )  # fmt: skip


@on_the_night(size=(80, 24))
async def test_a_closed_incident_offers_no_key_that_it_never_takes(night: Night) -> None:
    row = dataclasses.replace(night.reads.incident_.row, closed=NOW)
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, row=row)
    night.reads.plans_ = []
    await _open(night)
    await night.see("closed 03:17", "<INC-0412>")
    await night.at_rest()
    footer = night.text.splitlines()[-1]
    assert [] == [label for label in ("cancel", "acknowledge", "recover") if label in footer]
    await night.act("ack")
    await night.see("it is closed")


@on_the_night(size=(120, 36))
async def test_only_a_run_that_has_not_ended_offers_cancel(night: Night) -> None:
    view = night.reads.incident_
    members = (*view.members[:1], dataclasses.replace(view.members[1], state="running", ended=None), *view.members[2:])
    night.reads.incident_ = dataclasses.replace(view, members=members)
    await _open(night)
    await night.at_rest()
    assert "c cancel" not in night.text.splitlines()[-1], "the root has failed"
    await night.act("cancel")
    await night.see(HAS_ENDED)
    grid = night.app.screen.query_one(Grid)
    index = grid.source.index_of(("run", 2, LOAD), 0)
    assert index is not None
    grid.move_to(index)
    await night.see("c cancel")


def _with_closed(night: Night) -> None:
    over = incident_row(id=398, closed=NOW - timedelta(days=2), root_job="etl-hosts/db07:rotate", hits=(), services=0)
    old = incident_row(id=300, closed=NOW - timedelta(days=20))
    row = incident_row(acknowledged_by="mara", acknowledged_until=at("04:15"))
    night.reads.incidents_ = [row]
    night.reads.closed_ = [over, old]


@on_the_night(prepare=_with_closed)
async def test_the_list_shows_deadline_owner_assignee_and_notification(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412", "03:58 40m", "mara", "not yet")
    await night.see("act by   03:58", "affects  Supply plan, Daily revenue", "ack by   mara until 04:15")
    await night.see("opened: chat not notified yet")
    assert "INC-0398" not in night.text


@on_the_night(prepare=_with_closed)
async def test_what_closed_within_seven_days_is_a_key_or_a_filter_away(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.act("closed")
    await night.see("INC-0398", "1 open  1 closed in seven days")
    assert "INC-0300" not in night.text
    await night.act("closed")
    await night.wait_until_hidden("INC-0398")
    await night.act("filter")
    await night.typing()
    await night.type("state:closed")
    await night.see("INC-0398")
    await night.wait_until_hidden("✖ INC-0412")


@on_the_night(size=(200, 50), prepare=_with_closed)
async def test_a_large_screen_lists_the_same_incidents(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412", "INCIDENTS 1 open")
    await night.at_rest()
    assert "INC-0398" not in night.text
    await night.act("closed")
    await night.see("INC-0398", "1 open  1 closed in seven days")


@on_the_night(prepare=_with_closed)
async def test_a_note_and_the_page_are_there_in_the_list_too(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.act("note")
    await night.typing()
    await night.type("x")
    await night.press("enter")
    await night.see("INC-0412: noted")
    await night.act("handover")
    await night.see("handover of INC-0412", EXTRACT)


@on_the_night(prepare=without_estimates)
async def test_reasons_for_missing_estimates_are_in_the_evidence_and_leave_room_for_the_runs(night: Night) -> None:
    await _open(night)
    await night.see("e shows what an estimate needs", "Daily revenue", "root cause", "extract_orders failed, exit 1")
    assert 4 == night.text.count("no estimate")
    await night.act("evidence")
    await night.see("no estimate: cloud/load has 4 successful runs with a duration")


@pytest.mark.parametrize("delivered, forecast", [(None, "5 % risk of being late: expected"), (at("05:50"), "")])
def test_the_evidence_of_a_repaired_service_contradicts_itself_nowhere(
    delivered: datetime | None, forecast: str
) -> None:
    reason = FinishExpected(at("05:50"), is_late=False, p_late=0.05)
    service = dataclasses.replace(
        incident().services[0], timeliness="met" if delivered else "on_time", act_by=None, green_by=None, basis=None,
        p_late=0.05, expected=at("05:50"), reasons=(reason,), delivered=delivered,
        estimates=({"job": EXTRACT, "source": "declared", "runs": 1},),
    )  # fmt: skip
    lines = evidence_lines(dataclasses.replace(incident(), services=(service,)), render_context())
    text = "\n".join("".join(part for part, _ in line) for line in lines).partition(" FACTS")[0]
    assert "act by" not in text
    assert ("risk" in text, forecast in text) == (not delivered, True)
    assert ("no estimate: 1 successful run with a duration\n" in text) == (not delivered)
    assert (", delivered 05:50" in text) == bool(delivered)


@on_the_night(prepare=_with_closed)
async def test_a_closed_incident_in_the_list_is_neither_recovered_nor_acknowledged(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.act("closed")
    await night.see("INC-0398")
    await night.press("end")
    screen = night.app.screen
    await night.until(lambda: screen.check_action("command", ("recover",)) is None, "recover disabled")
    assert screen.check_action("command", ("ack",)) is None
    await night.act("recover")
    await night.see("it is closed")
    assert [] == night.requests.calls


@on_the_night()
async def test_a_closed_incident_whose_plan_runs_on_offers_no_recovery(night: Night) -> None:
    await night.press("2")
    await night.see("r recover")
    _closed(night)
    night.reads.incidents_, night.reads.closed_ = [], [night.reads.incident_.row]
    night.reads.services_, night.reads.plans_ = [], [plan_of(draft(), 7)]
    night.reads.changed()
    await night.act("closed")
    await night.see("Plan 7 running", "1 closed in seven days")
    await night.until(lambda: night.text.splitlines()[2].endswith("INC-0412"), "the name of the incident")


def _closed(night: Night) -> None:
    view = night.reads.incident_
    night.reads.incident_ = dataclasses.replace(view, row=dataclasses.replace(view.row, closed=NOW))


@on_the_night(prepare=_closed)
async def test_a_closed_incident_offers_no_step(night: Night) -> None:
    await night.press("2", "enter")
    await night.see("closed 03:17")
    for name in ("recover", "ack", "cancel"):
        assert night.app.screen.check_action("command", (name,)) is None
    await night.act("cancel")
    await night.see("it is closed")


@on_the_night()
async def test_why_typed_in_the_help_leads_to_the_evidence_from_the_list_too(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("?")
    await night.see("keys of")
    await night.type("why")
    await night.wait_until_hidden("acknowledge")
    await night.press("enter")
    await night.see("must find load_orders green", "declared duration")


def _policy_repairs_it(night: Night) -> None:
    row = incident_row(policy="retry-refused", policy_at=at("03:20"))
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, row=row)


@on_the_night(prepare=_policy_repairs_it, size=(120, 36))
async def test_x_stops_the_policy_that_is_about_to_repair_it(night: Night) -> None:
    await _open(night)
    await night.see("Policy retry-refused reruns extract_orders at 03:20; stop it", "x stop policy")
    await night.act("timeline")
    await night.see("policy retry-refused repairs it; x stops it  in 2m")
    await night.press("escape", "x")
    await night.see("policy retry-refused repairs INC-0412", "headway policy resume retry-refused")
    await night.press("enter")
    await night.wait_until_hidden("Pause it")
    assert [] == policy_requests(night), "the cursor begins on Back"
    await night.press("x")
    await night.see("Pause it")
    await night.press("down", "enter")
    await night.see("policy retry-refused: paused", "Restart extract_orders by 03:58")
    assert [("retry-refused", "INC-0412")] == policy_requests(night)
    await night.press("x")
    await night.see("no policy repairs it")


def policy_requests(night: Night) -> list[Any]:
    return [what for kind, what in night.requests.calls if kind == "policy"]


@on_the_night()
async def test_x_without_a_policy_says_so_and_is_not_in_the_footer(night: Night) -> None:
    await _open(night)
    await night.press("x")
    await night.see("no policy repairs it")
    assert "stop policy" not in night.text
