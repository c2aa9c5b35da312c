"""Actions, the audit and the shadow report: what was requested, what came of it, and what can be taken back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from console.domain.incident import EventView
from console.domain.switches import Modes
from console.store.audit import ChainVerdict
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.actions.screen import action_lines
from console.tui.widgets.pane import Pane
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_ops import action_detail, minute
from tests.tui.fake_reads import NOW, approval, hold
from tests.tui.test_snapshots import SMALL, WIDE, Prepare, SnapCompare, shot


def waiting(night: Night) -> None:
    """The first of the list is one that the console knows to wait for an approval."""
    night.reads.approvals_ = [approval(key="headway-9wait1")]


@on_the_night(size=(120, 36))
async def test_the_newest_is_on_top_with_its_native_verb_and_its_evidence(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6", "1 to approve", "1 unknown", "run once", "attempt 3 succeeded, exi")
    lines = [
        line for line in night.text.splitlines() if "03:" in line and "Headway" not in line and "Restart" not in line
    ]
    assert [] == [text for text in ("clear fai", "approve?", "ben") if text not in lines[0]]


@on_the_night()
async def test_a_filter_leaves_what_it_names(night: Night) -> None:
    await night.press("6", "/")
    await night.typing()
    await night.type("state:failed")
    await night.wait_until_hidden("verified")
    await night.see("attempt 2 failed")


@on_the_night()
async def test_only_what_needs_a_person_is_left(night: Night) -> None:
    await night.press("6", "!")
    await night.wait_until_hidden("verified")
    await night.see("unknown", "approve?")


def test_a_text_of_the_requester_cannot_look_like_another_parameter() -> None:
    view = action_detail(parameters={"mode": "a, drop yes", "why": "disk"})
    lines = action_lines(view, (), RenderContext(NOW, ZonedClock(), GlyphSet()))
    [given] = [line for line in ("".join(text for text, _ in line) for line in lines) if "given" in line]
    assert ["given", 'mode "a, drop yes"'] == given.split(maxsplit=1)


@on_the_night(size=(120, 36))
async def test_an_open_action_shows_call_history_and_evidence(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("down", "down", "down", "enter")
    await night.see("ACTION rerun etl-hosts/db07:extract_orders", "setsid /opt/etl/extract_orders.sh 2026-11-19")
    await night.see("request rerun", "send rerun", "verified rerun", "PROOF", "3 succeeded", "03:13:12–03:15:54")
    await night.press("enter")
    await night.see("RUN ", "attempts")


@on_the_night()
async def test_a_sent_action_cannot_be_withdrawn_and_says_so(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("down", "w")
    await night.see("it was sent already")
    assert [] == night.requests.calls


@on_the_night()
async def test_an_unsent_action_is_withdrawn_with_a_reason(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("w")
    await night.see("WITHDRAW rerun warehouse-airflow/load_orders")
    await night.typing()
    await night.type("wrong date")
    await night.press("enter")
    await night.see("withdrawn: rerun warehouse-airflow/load_orders")
    assert [("withdraw", ("headway-9wait1", "wrong date"))] == night.requests.calls


@on_the_night()
async def test_an_unknown_outcome_warns_that_it_may_run_twice(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("down", "down", "w")
    await night.see("WITHDRAW rerun cloud/supply-mart", "it MAY have arrived")
    await night.press("escape")
    await night.see("ACTIONS 6")
    assert [] == night.requests.calls


@on_the_night(prepare=waiting)
async def test_what_waits_is_approved_from_its_row(night: Night) -> None:
    await night.see("A 1 to approve")
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("a")
    await night.see("Approve")
    await night.press("down", "enter")
    await night.see("approved: ")
    assert ("approve", "headway-9wait1") in night.requests.calls


@on_the_night()
async def test_an_action_that_needs_no_approval_cannot_be_approved(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("down", "a")
    await night.see("it does not wait for approval")


@on_the_night(size=(120, 36))
async def test_what_comes_in_is_seen_and_the_cursor_stays_on_its_row(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("down", "down")
    before = night.app.screen.selected.key  # type: ignore[attr-defined]
    night.reads.asked_.insert(
        0, action_detail("headway-new001", requested=minute(17.2), state="requested", why="just now")
    )
    night.reads.changed()
    await night.see("ACTIONS 7", "just now")
    assert before == night.app.screen.selected.key  # type: ignore[attr-defined]


def test_the_holds_and_what_would_have_been_done_are_a_key_away() -> None:
    def prepare(night: Night) -> None:
        night.reads.holds_ = [hold()]

    @on_the_night(size=(120, 36), prepare=prepare)
    async def steps(night: Night) -> None:
        await night.press("6")
        await night.see("1 held · the earliest expires")
        await night.press("h")
        await night.see("HOLDS 1")
        await night.press("6", "S")
        await night.see("SHADOW REPORT")

    steps()


def in_shadow(night: Night) -> None:
    night.reads.modes_ = Modes(estate_live=False)
    night.reads.shadow_ = [
        EventView(minute(14), "shadow_notified", ("would have notified oncall: extract_orders failed",), ""),
        EventView(minute(13), "shadow_held", ("would have held warehouse-airflow/load_orders",), ""),
        EventView(minute(-2000), "shadow_notified", ("would have notified oncall: Supply plan is at risk",), ""),
    ]
    night.reads.in_vain = 3


def many_in_shadow(night: Night) -> None:
    events = [EventView(minute(-at / 100), "shadow_held", (f"would have held job {at}",), "") for at in range(2_500)]
    night.reads.shadow_ = events


@on_the_night(prepare=many_in_shadow)
async def test_a_shadow_of_thousands_lists_the_latest_and_counts_them_all(night: Night) -> None:
    await night.press(":", *"shadow", "enter")
    await night.see("2,500  held", "EVENTS  the latest 1,000 of 2500 times, newest first")
    lines = night.app.screen.query_one(Pane).text.split("\n")
    assert 1_000 == sum("would have held job" in line for line in lines)


@on_the_night(prepare=in_shadow)
async def test_the_shadow_report_counts_and_its_window_turns(night: Night) -> None:
    await night.press(":", *"shadow", "enter")
    await night.see(
        "SHADOW REPORT  the last 14d", "IN SHADOW the whole estate", "2  notified", "1  held", "3  sent actions"
    )
    await night.press("w")
    await night.see("the last 1d", "1  notified", "<shadow>  q back  w window")
    await night.press("q")
    await night.see("SERVICES 5")


@on_the_night()
async def test_the_audit_is_newest_first_and_its_chain_is_verified(night: Night) -> None:
    await night.press(":", *"audit", "enter")
    await night.see("AUDIT 5", "chain intact", "verified rerun")
    await night.press("enter")
    await night.see("audit, row 5", "headway-5k2m8r")


@on_the_night()
async def test_verifying_the_chain_reports_an_unchanged_result_too(night: Night) -> None:
    await night.press(":", *"audit", "enter")
    await night.see("chain intact")
    await night.act("verify")
    await night.see("5 rows verified: chain intact")


@on_the_night()
async def test_a_chain_that_takes_long_to_hash_delays_no_other_query(night: Night) -> None:
    night.reads.hashed = threading.Event()
    try:
        await night.press(":", *"audit", "enter")
        await night.see("AUDIT 5", "chain not verified")
        await night.press("6")
        await night.see("ACTIONS 6")
        await night.press(":", *"audit", "enter")
        await night.see("AUDIT 5")
        night.reads.hashed.set()
        await night.see("chain intact")
    finally:
        night.reads.hashed.set()


@on_the_night()
async def test_a_chain_that_was_broken_names_the_row(night: Night) -> None:
    night.reads.verdict = ChainVerdict(5, "x", 3, "it was changed")
    await night.press(":", *"audit", "enter")
    await night.see("BROKEN at row 3: it was changed")


SCREENS: dict[str, tuple[tuple[str, ...], str, Prepare | None]] = {
    "actions": (("6",), "ACTIONS 6", waiting),
    "action": (("6", "see:ACTIONS 6", "down", "down", "down", "enter"), "PROOF", None),
    "action-waits": (("6", "see:ACTIONS 6", "enter"), "nothing was sent", waiting),
    "audit": ((":", *"audit", "enter"), "chain intact", None),
    "shadow": ((":", *"shadow", "enter"), "EVENTS", in_shadow),
}


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
@pytest.mark.parametrize("name", SCREENS)
def test_a_request_is_shown(snap_compare: SnapCompare, name: str, size: tuple[int, int]) -> None:
    keys, see, prepare = SCREENS[name]
    options: dict[str, Any] = {} if prepare is None else {"prepare": prepare}
    assert shot(snap_compare, keys, see, size, **options)


@on_the_night(size=(120, 36))
async def test_escape_from_the_holds_goes_back_to_the_actions(night: Night) -> None:
    await night.press("6")
    await night.see("ACTIONS 6")
    await night.press("h")
    await night.see(" HOLDS")
    await night.press("escape")
    await night.see("ACTIONS 6")


@on_the_night(size=(120, 36))
async def test_without_an_open_action_there_is_none_to_withdraw_or_approve(night: Night) -> None:
    night.reads.asked_ = []
    await night.press("6")
    await night.see("ACTIONS 0", "no action yet")
    await night.at_rest()
    assert [] == [label for label in ("withdraw", "approve") if label in night.text.splitlines()[-1]]
