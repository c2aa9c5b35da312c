"""A rerun from the console: shown first, sent once, watched to its end; and every way of not sending it."""

from __future__ import annotations

import dataclasses

import pytest

from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOAD, MART, run_view


async def _preview(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("R")
    await night.see("run extract_orders once on db07 as etl")


@on_the_night()
async def test_the_preview_shows_verb_scope_calls_notes_and_followers(night: Night) -> None:
    await _preview(night)
    await night.see("run once", "declared safe to rerun", "business date 2026-11-19", "headway-run", "today's clock")
    await night.see("NOT SENT: 2 runs still to repair after this one", LOAD, MART)
    assert [] == night.requests.sent


@on_the_night()
async def test_escape_sends_nothing(night: Night) -> None:
    await _preview(night)
    await night.press("escape")
    await night.see("AFFECTED SERVICES")
    assert [] == night.requests.sent


@on_the_night()
async def test_a_safe_rerun_is_one_enter_on_send_it_and_is_watched_to_its_end(night: Night) -> None:
    await _preview(night)
    await night.press("down", "enter")
    await night.see("◌ requested")
    assert [1] == [run_id for run_id, _ in night.requests.sent]
    night.requests.advance("sending")
    await night.see("Sending.", "● requested   ▷ sending   · sent   · verified")
    night.requests.advance("sent", "started by cron, mark written")
    await night.see("The scheduler accepted it", "started by cron")
    night.requests.advance("verified", "exit 0")
    await night.see("● verified", "shows that it succeeded", "NOT SENT", LOAD)


def _wants_why(night: Night) -> None:
    night.requests.wants_why = True


@on_the_night(prepare=_wants_why)
async def test_an_action_on_a_tier_one_service_is_sent_with_a_reason(night: Night) -> None:
    await _preview(night)
    await night.see("reason", "required")
    assert "optional" not in night.text
    await night.press("enter")
    await night.see("tier 1 wants a reason", "required")
    assert [] == night.requests.sent
    await night.type("a bad file")
    await night.see("a bad file")
    assert "wants a reason" not in night.text
    await night.press("enter")
    await night.see("◌ requested")
    assert ["a bad file"] == night.requests.whys


@on_the_night(prepare=_wants_why)
async def test_escape_instead_of_a_reason_sends_nothing(night: Night) -> None:
    await _preview(night)
    await night.see("required")
    await night.press("escape")
    await night.see("AFFECTED SERVICES")
    assert [] == night.requests.sent


@on_the_night()
async def test_two_enters_are_one_action(night: Night) -> None:
    await _preview(night)
    await night.press("down", "enter", "enter", "enter")
    await night.until(lambda: bool(night.requests.sent), "the action")
    await night.press("enter")
    assert 1 == len(night.requests.sent)


@on_the_night()
async def test_a_rerun_that_failed_again_says_where_to_read_more(night: Night) -> None:
    await _preview(night)
    await night.press("down", "enter")
    await night.see("requested")
    night.requests.advance("failed", "exit 1")
    await night.see("● requested", "✖ failed", "exit 1", "It did not succeed, for the reason above")


@on_the_night()
async def test_a_lost_answer_is_reported_to_be_looked_up(night: Night) -> None:
    await _preview(night)
    await night.press("down", "enter")
    await night.see("requested")
    night.requests.advance("unknown")
    await night.see("checking the scheduler")


def _ask(night: Night) -> None:
    night.requests.shown["safety"] = "ask"


@pytest.mark.deep
@on_the_night(prepare=_ask)
async def test_a_job_not_declared_safe_wants_its_name_typed(night: Night) -> None:
    await _preview(night)
    await night.see("not declared safe", "type extract_orders")
    assert "Send" not in night.text
    await night.press("enter")
    await night.see("the field is empty: type extract_orders")
    assert [] == night.requests.sent
    await night.type("db07:extract_items")
    await night.press("enter")
    await night.see("another name was typed; type extract_orders")
    assert [] == night.requests.sent
    await night.press("backspace")
    await night.wait_until_hidden("another name was typed")
    for _ in "b07:extract_items":
        await night.press("backspace")
    await night.type("db07:extract_orders")
    await night.press("enter", "enter")
    await night.see("requested")
    assert 1 == len(night.requests.sent)


@pytest.mark.parametrize(
    "safety, line, is_typed, overlap",
    [("safe", 2, True, "allow"), ("safe", 1, False, "queue"), ("ask", 1, True, "queue")],
    ids=["beside what runs its name is typed though it is safe", "waiting takes no name", "but what is not safe does"],
)
def test_what_runs_now_is_waited_for_or_sent_beside(safety: str, line: int, is_typed: bool, overlap: str) -> None:
    def prepare(night: Night) -> None:
        night.requests.shown |= {"safety": safety, "overlap": "extract_orders runs on db07 since 03:15 (pid 812)"}
        night.requests.shown |= {"in_progress": ["headway-own"]}

    @on_the_night(prepare=prepare)
    async def steps(night: Night) -> None:
        await _preview(night)
        await night.see("runs on db07 since 03:15", "Send when it ends", "Send concurrently")
        assert "Send   " not in night.text
        await night.press(*["down"] * line, "enter")
        if is_typed:
            await night.see("type extract_orders")
            assert [] == night.requests.sent
            await night.type("db07:extract_orders")
            await night.press("enter", "enter")
        await night.see("requested")
        assert [(overlap, ("headway-own",))] == [
            (request.overlap, request.beside) for request in night.requests.action_requests
        ]

    steps()


def _never(night: Night) -> None:
    night.requests.shown["safety"] = "never"


@on_the_night(prepare=_never)
async def test_a_job_marked_never_is_refused_with_the_reason(night: Night) -> None:
    await _preview(night)
    await night.see("refused", 'rerun = "never"')
    assert "Send" not in night.text
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    assert [] == night.requests.sent


def _refused(night: Night) -> None:
    night.requests.shown["refused"] = "the execution is still running"


@on_the_night(prepare=_refused)
async def test_what_the_source_refuses_now_cannot_be_sent(night: Night) -> None:
    await _preview(night)
    await night.see("the execution is still running")
    assert "Send" not in night.text


@on_the_night()
async def test_an_engine_that_cannot_preview_says_why(night: Night) -> None:
    night.requests.preview_error = "etl-hosts/db07: port 22 does not answer"
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")
    await night.press("R")
    await night.see("no preview: etl-hosts/db07: port 22 does not answer", "nothing was sent")


@on_the_night()
async def test_enter_before_the_preview_came_sends_nothing(night: Night) -> None:
    night.requests.silent = True
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")
    await night.press("R")
    await night.see("asking the engine")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    assert [] == night.requests.sent


@on_the_night()
async def test_a_waiting_action_is_withdrawn_from_its_dialog(night: Night) -> None:
    await _preview(night)
    await night.press("down", "enter")
    await night.see("requested")
    assert "Withdraw" not in night.text
    night.requests.advance("requested", "queued: extract_orders runs since 03:15")
    await night.see("Withdraw", "it has not been sent yet", "queued: extract_orders")
    await night.press("down", "enter")
    await night.see("refused", "withdrawn by mara")
    await night.wait_until_hidden("Withdraw")
    assert [("withdraw", (night.requests.sent[0][1], ""))] == night.requests.calls[-1:]


@on_the_night()
async def test_somebody_elses_open_rerun_is_shown_in_place_of_mine(night: Night) -> None:
    await _preview(night)
    night.requests.requested_before(1, "headway-of-mara-01")
    night.requests.refuses = "already requested by mara 2m ago; it is sent"
    await night.press("down", "enter")
    await night.see("already requested by mara", "already requested")
    assert [] == night.requests.sent


@on_the_night()
async def test_a_follower_is_rerun_from_its_line(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("AFFECTED SERVICES", "2 to rerun: r plans it")
    await night.press("down", "R")
    await night.see(f"RERUN {LOAD}", "Send")
    await night.press("down", "enter")
    await night.see("requested")
    assert [2] == [run_id for run_id, _ in night.requests.sent]


def _half_listens(night: Night) -> None:
    incident = night.reads.incident_
    members = tuple(dataclasses.replace(member, can_rerun=member.role != "red") for member in incident.members)
    night.reads.incident_ = dataclasses.replace(incident, members=members)


def _repeats(night: Night) -> None:
    """Two more failures of the follower and one of the root's job, on the same date and of kinds without periods."""
    incident = night.reads.incident_
    root, stale, red, _ = incident.members
    more = [dataclasses.replace(red, run_id=number, period_key=str(number)) for number in (21, 22)]
    more.append(dataclasses.replace(root, role="red", run_id=23, period_key="23"))
    night.reads.incident_ = dataclasses.replace(incident, members=(root, stale, red, *more))


@on_the_night(prepare=_repeats)
async def test_runs_that_one_rerun_repeats_are_counted_once(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("RUNS 6", "after the root, 2 to rerun: r plans it")


@on_the_night(prepare=_half_listens)
async def test_an_incident_counts_as_to_rerun_only_what_can_be(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("enter")
    await night.see("AFFECTED SERVICES", "1 to rerun: r plans it")


@on_the_night()
async def test_a_system_that_cannot_rerun_says_so_in_the_footer(night: Night) -> None:
    night.reads.runs_[1] = run_view(capabilities=("log",), missing={"rerun": "its role may only read"})
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("r")
    await night.see("its role may only read")
    assert [] == [kind for kind, _ in night.requests.calls if kind == "preview"]


@on_the_night()
async def test_the_incident_shows_what_was_done(night: Night) -> None:
    night.requests.requested_before(1, "headway-1")
    night.reads.actions_[0] = dataclasses.replace(night.reads.actions_[0], state="verified", text="exit 0")
    night.app.navigation.open_incident(412)
    await night.see("rerun ● verified")
    await night.press("end")
    await night.see("ACTIONS 1", "exit 0")
    night.reads.actions_[0] = dataclasses.replace(night.reads.actions_[0], verb="mark_ok")
    night.reads.changed()
    await night.press("home")
    await night.see("mark OK ● verified")


@on_the_night()
async def test_enter_alone_on_a_preview_sends_nothing(night: Night) -> None:
    await _preview(night)
    await night.see("↓ then ↵: send")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    assert [] == night.requests.sent


def _root_repaired(night: Night) -> None:
    view = night.reads.incident_
    root = dataclasses.replace(view.members[0], state="succeeded")
    night.reads.incident_ = dataclasses.replace(view, members=(root, *view.members[1:]))


@on_the_night()
async def test_the_cursor_goes_on_to_the_next_step_once_the_root_is_repaired(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")
    await night.press("down", "up")
    _root_repaired(night)
    night.reads.changed()
    await night.see("● succeeded 03:12 root cause")
    await night.press("R")
    await night.see(f"RERUN {LOAD}")


def _all_green(night: Night) -> None:
    view = night.reads.incident_
    done = tuple(
        dataclasses.replace(member, role="root" if member.role == "root" else "repaired", state="succeeded")
        for member in view.members[:3]
    )
    night.reads.incident_ = dataclasses.replace(view, members=done)


@on_the_night(prepare=_all_green)
async def test_an_incident_without_a_step_says_so(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES")
    await night.press("r")
    await night.see("no step is left to send")
    assert [] == night.requests.calls


@on_the_night(size=(50, 12))
async def test_in_a_terminal_that_is_too_small_no_key_acts_unseen(night: Night) -> None:
    await night.see("terminal too small")
    await night.press("r", "enter", "down", "enter", "3")
    await night.at_rest()
    assert ([], 1) == (night.requests.calls, len(night.app.screen_stack))
    await night.pilot.resize_terminal(80, 24)
    await night.see("SERVICES 5")
    await night.press("down", "enter")
    await night.see("AFFECTED SERVICES")


@on_the_night()
async def test_a_preview_in_a_terminal_that_became_too_small_sends_nothing(night: Night) -> None:
    await _preview(night)
    await night.press("down")
    await night.pilot.resize_terminal(50, 12)
    await night.see("terminal too small: 50x12")
    await night.press("enter")
    await night.at_rest()
    assert [] == night.requests.sent
    await night.pilot.resize_terminal(80, 24)
    await night.see("Send")
    await night.press("enter")
    await night.see("requested")
    assert 1 == len(night.requests.sent)


@on_the_night(prepare=_ask)
async def test_a_name_that_was_typed_is_not_sent_by_an_enter_that_is_not_seen(night: Night) -> None:
    await _preview(night)
    await night.type("db07:extract_orders")
    await night.pilot.resize_terminal(50, 12)
    await night.see("terminal too small")
    await night.press("enter")
    await night.at_rest()
    assert [] == night.requests.sent
    await night.pilot.resize_terminal(80, 24)
    await night.see("type extract_orders")
    await night.typing()


@on_the_night(size=(50, 12))
async def test_ctrl_c_leaves_a_terminal_that_is_too_small(night: Night) -> None:
    await night.see("terminal too small")
    await night.press("ctrl+c")
    await night.until(lambda: night.app.return_code == 0 and not night.app.is_running, "the end")


@on_the_night()
async def test_a_takes_the_incident_for_as_long_as_was_typed_and_says_why(night: Night) -> None:
    await night.press("2")
    await night.see("INCIDENTS")
    await night.press("a")
    await night.see("ACKNOWLEDGE INC-0412", "for how long?")
    await night.press("enter")
    await night.see("note (shown")
    await night.press(*"disk", "enter")
    await night.see("INC-0412: acknowledged for 1h")
    assert [("ack", (412, 3600.0, "disk"))] == night.requests.calls[-1:]


def _dead(night: Night) -> None:
    engine = night.reads.head.engine._replace(alive=False)
    night.reads.head = night.reads.head._replace(engine=engine)


@on_the_night(prepare=_dead)
async def test_without_an_engine_a_preview_is_refused_at_once(night: Night) -> None:
    night.requests.silent = True
    night.app.navigation.open_incident(412)
    await night.see("AFFECTED SERVICES", "no engine")
    await night.press("R")
    await night.see("no preview: no engine for", "nothing was sent")
    assert "asking the engine" not in night.text
