"""Single verbs, marks, holds, the freeze and approvals: each previewed, sent once, or refused with the reason."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from connectors.sdk.states import Verb
from console.domain.approval import ApprovalTerms
from console.store.errors import NotAllowed
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, approval, at, draft, hold, plan_of, run_view, target


async def at_the_jobs(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14", EXTRACT)


def _runs_now(night: Night) -> None:
    row = dataclasses.replace(run_view(1).row, state="running", ended=None)
    night.reads.runs_[1] = run_view(row=row)
    night.requests.shown |= {"verb": "kill", "summary": "end the process group 812 on db07", "followers": []}


@on_the_night(prepare=_runs_now)
async def test_a_run_is_cancelled_once_its_preview_was_seen(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("c")
    await night.see("CANCEL " + EXTRACT, "end the process group 812", "Send")
    assert "overlap" not in night.text
    await night.press("enter")
    await night.see("RUN " + EXTRACT)
    assert [] == night.requests.sent
    await night.press("c")
    await night.see("Send")
    await night.press("down", "enter")
    await night.see("◌ requested")
    assert [(Verb.CANCEL, 1)] == [(request.verb, request.run_id) for request in night.requests.action_requests]
    night.requests.advance("verified", "its process group is gone")
    await night.see("its process group is gone", "Done, as shown above.")


@on_the_night()
async def test_a_run_that_has_ended_cannot_be_cancelled_and_says_so(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("c")
    await night.see("it has ended: nothing of it runs")
    assert [] == [kind for kind, _ in night.requests.calls if kind == "preview"]


@on_the_night()
async def test_a_verb_that_the_kind_lacks_says_why(night: Night) -> None:
    night.reads.runs_[1] = run_view(capabilities=("rerun",), missing={"cancel": "its role may only start"})
    await at_the_jobs(night)
    await night.press("c")
    await night.see("its role may only start")
    assert [] == night.requests.calls


@on_the_night()
async def test_marking_is_offered_for_any_kind_though_it_cannot_set_one_itself(night: Night) -> None:
    night.reads.runs_[1] = run_view(capabilities=("rerun",))
    night.requests.shown |= {"verb": "mark OK in Headway", "summary": "record on your word that it succeeded"}
    await at_the_jobs(night)
    await night.press("M")
    await night.see("MARK OK " + EXTRACT, "record on your word")
    await night.press("down", "enter")
    await night.see("◌ requested")
    assert [Verb.MARK_OK] == [request.verb for request in night.requests.action_requests]


def _by_people(night: Night) -> None:
    night.reads.targets_ = [target("etl-hosts", "db07", "manual")]
    night.requests.shown |= {"verb": "mark OK", "summary": "record on your word that it is done"}


@on_the_night(prepare=_by_people)
async def test_a_manual_step_on_red_inputs_is_done_only_by_who_says_all_the_same(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("M")
    await night.see("has an upstream that is not good", f"{LOAD} is failed", "Mark OK anyway", "record on your word")
    assert "Send" not in night.text
    await night.press("enter")
    await night.see("JOBS  row 1 of 14")
    assert [] == night.requests.sent
    await night.press("M")
    await night.see("Mark OK anyway")
    await night.press("down", "enter")
    await night.see("◌ requested")
    assert [Verb.MARK_OK] == [request.verb for request in night.requests.action_requests]


def _on_good_inputs(night: Night) -> None:
    _by_people(night)
    night.reads.upstream_ = "succeeded"


@on_the_night(prepare=_on_good_inputs)
async def test_a_manual_step_on_good_inputs_is_completed_without_a_question(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("M")
    await night.see("record on your word", "Send")
    assert "builds on" not in night.text


@on_the_night(prepare=_by_people)
async def test_a_manual_step_on_red_inputs_that_is_not_declared_safe_wants_its_name_too(night: Night) -> None:
    night.requests.shown |= {"safety": "ask"}
    await at_the_jobs(night)
    await night.press("M")
    await night.see("Mark OK anyway")
    await night.press("down", "enter")
    await night.see("type ", "reason")
    assert [] == night.requests.sent


@on_the_night()
async def test_skip_of_a_job_not_declared_safe_wants_its_name(night: Night) -> None:
    night.requests.shown |= {"safety": "ask"}
    await at_the_jobs(night)
    await night.press("X")
    await night.see("SKIP " + EXTRACT, "type its name to confirm")
    await night.type("db07:extract_orders")
    await night.press("enter", "enter")
    await night.see("◌ requested")
    assert [Verb.SKIP] == [request.verb for request in night.requests.action_requests]


@on_the_night()
async def test_a_refusal_names_the_needed_role_and_who_can_grant_it_though_it_was_sent_before(night: Night) -> None:
    night.requests.requested_before(1, "headway-yesterday")
    night.requests.advance("verified", "exit 0")
    text = "needs role act on etl-hosts (tier 1 (daily-revenue)); you (mara) have view; ask alice or group:oncall"
    night.requests.refuses = text
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("r")
    await night.see("Send")
    await night.press("down", "enter")
    await night.see("not sent: needs role act on etl-hosts", "ask alice or", "run extract_orders once")
    assert ([], False) == (night.requests.sent, "already requested" in night.text)


# marks


@on_the_night()
async def test_marks_are_counted_and_escape_clears_them(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("space", "space")
    await night.see("2 marked", f"◆ {EXTRACT}", f"◆ {MART}")
    await night.press("up", "space")
    await night.see("1 marked")
    await night.press("escape")
    await night.wait_until_hidden("marked ")
    await night.see("JOBS  row 3 of 14")


@on_the_night()
async def test_a_job_without_a_run_cannot_be_marked_and_says_why(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("down", "down", "down", "space")
    await night.see("cloud/supply-mart has no run yet")
    assert "marked" not in night.text


@on_the_night()
async def test_a_verb_on_the_marked_ones_is_one_plan(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("space", "space", "c")
    await night.see("PLAN cancel 2 marked runs", "2 steps ", "1 cancel", "2 cancel")
    assert [("plan", ((1, 3), Verb.CANCEL))] == night.requests.calls
    await night.press("enter")
    await night.see("Start the plan")
    await night.press("down", "enter")
    await night.see("PLAN 1 running")
    assert ["cancel", "cancel"] == [step.verb for step in night.requests.started[0].steps]
    await night.press("escape")
    await night.see("JOBS  row 3 of 14")
    assert "marked" not in night.text


@on_the_night()
async def test_runs_of_a_job_are_marked_too(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("enter")
    await night.see("upstream etl-hosts")
    await night.press("space", "space")
    await night.see("2 marked")
    await night.press("r")
    await night.see("PLAN rerun 2 marked runs")


@on_the_night()
async def test_a_hold_is_about_one_job(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("space", "h")
    await night.see("Hold works on one job; clear the marks first (Esc)")


# holds


def _can_hold(night: Night) -> None:
    night.reads.targets_ = [
        dataclasses.replace(target, capabilities=("rerun", "hold")) if not target.missing else target
        for target in night.reads.targets_
    ]
    night.requests.shown |= {
        "verb": "comment out",
        "summary": "put a # before the line",
        "followers": [],
        "safety": "ask",
    }


@on_the_night(prepare=_can_hold)
async def test_a_job_is_held_with_a_duration_and_a_reason(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("h")
    await night.see("HOLD " + EXTRACT, "for how long", "6h")
    await night.press("enter")
    await night.see("for 6h", "reason (recorded")
    await night.press("enter")
    await night.see("enter a short text")
    await night.type("disk is moved")
    await night.press("enter")
    await night.see("put a # before the line", "why      disk is moved", "Send")
    await night.press("down", "enter")
    await night.see("◌ requested")
    [request] = night.requests.action_requests
    assert (Verb.HOLD, None, 1, "disk is moved") == (request.verb, request.run_id, request.job_id, request.why)
    assert "2026-11-20T08:17:42Z" == request.parameters["until"]


@on_the_night(prepare=_can_hold)
async def test_escape_at_any_question_of_a_hold_sends_nothing(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("h")
    await night.see("for how long")
    await night.press("enter")
    await night.see("reason (recorded")
    await night.press("escape")
    await night.see("JOBS  row 1 of 14")
    assert ([], []) == (night.requests.calls, night.requests.sent)


@on_the_night(prepare=_can_hold)
async def test_a_hold_for_ever_is_refused_where_it_is_typed(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("h")
    await night.see("for how long", "6h")
    await night.press("backspace", "backspace")
    await night.type("900d")
    await night.press("enter")
    await night.see("a hold lasts 30d at most; write 6h")


@on_the_night(prepare=_can_hold)
async def test_a_system_that_cannot_hold_says_why(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("down", "down", "down", "h")
    await night.see("its role may only read")


def _held(night: Night) -> None:
    _can_hold(night)
    night.reads.holds_ = [
        hold(),
        hold(2, job="pg-dwh/vacuum_all", job_id=9, state="watching"),
    ]


@on_the_night(prepare=_held)
async def test_holds_are_reached_by_name_and_one_is_let_go(night: Night) -> None:
    await night.see("Supply plan")
    await night.press(":")
    await night.typing()
    await night.type("holds")
    await night.see("screen    holds")
    await night.press("enter")
    await night.see("HOLDS 2", LOAD, "held", "09:14 5h56m", "awaits start")
    await night.press("h")
    await night.see("RELEASE " + LOAD, "Send")
    await night.press("down", "enter")
    await night.see("◌ requested")
    [request] = night.requests.action_requests
    assert (Verb.RELEASE, 2, {"hold": "headway-hold-1"}) == (request.verb, request.job_id, dict(request.parameters))


@on_the_night()
async def test_the_holds_that_a_plan_has_not_placed_yet_are_named(night: Night) -> None:
    planned = plan_of(draft(), 7)
    due = ("placed", at("03:20")), ("planned", at("05:20")), ("planned", at("04:30"))
    steps = [
        dataclasses.replace(step, verb=Verb.HOLD, state=state, due=start)
        for step, (state, start) in zip(planned.steps, due, strict=False)
    ]
    night.reads.plans_ = [dataclasses.replace(planned, steps=tuple(steps))]
    night.app.navigation.go("holds")
    await night.see("HOLDS 0  plan 7 adds 2: 04:30, 05:20")


@on_the_night(prepare=_held)
async def test_a_hold_that_is_being_let_go_says_where_it_is(night: Night) -> None:
    night.app.navigation.go("holds")
    await night.see("HOLDS 2")
    await night.press("down", "h")
    await night.see("pg-dwh/vacuum_all was released: its own start is awaited")


@on_the_night(prepare=_held)
async def test_h_on_a_job_that_is_held_lets_it_go(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("down", "down", "h")
    await night.see("RELEASE " + LOAD)


# the freeze


@on_the_night()
async def test_all_sending_is_stopped_with_a_reason(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("F")
    await night.see("FREEZE all sending", "╭─ reason ─")
    await night.press("enter")
    await night.see("enter a short text")
    assert [] == night.requests.turned
    await night.type("network")
    await night.press("enter")
    await night.see("FREEZE all sending: network", "Freeze")
    assert [] == night.requests.turned
    await night.press("down", "enter")
    await night.see("FROZEN by mara since 03:17: network; no action is sent")
    assert [("freeze", "on", "network")] == night.requests.turned


@on_the_night()
async def test_a_pasted_line_with_its_end_freezes_nothing(night: Night) -> None:
    """A terminal without bracketed paste sends what was pasted as keys, the end of the line as Enter."""
    await night.see("Supply plan")
    await night.press("F", *"network", "enter", "enter")
    await night.answered()
    await night.see("SERVICES 5")
    assert [] == night.requests.turned


@on_the_night(prepare=_held)
async def test_while_all_is_frozen_a_preview_shows_what_it_would_send_and_offers_nothing(night: Night) -> None:
    night.requests.turn("freeze", "on", "network")
    night.app.navigation.go("holds")
    await night.see("HOLDS 2", "FROZEN")
    await night.press("h")
    await night.see("RELEASE " + LOAD, "nothing can be sent while all is frozen")
    assert "Send" not in night.text
    assert "↵ sends" not in night.text


@on_the_night(prepare=_held)
async def test_a_refused_action_is_not_reported_to_continue(night: Night) -> None:
    night.app.navigation.go("holds")
    await night.see("HOLDS 2")
    await night.press("h")
    await night.see("RELEASE " + LOAD, "Send")

    def refuse(*given: object, **named: object) -> None:
        raise NotAllowed("frozen by mara: network")

    night.requests.act = refuse  # type: ignore[method-assign]
    await night.press("down", "enter")
    await night.see("not sent: frozen by mara: network", "nothing was sent")
    assert "goes on" not in night.text


@on_the_night()
async def test_a_plan_is_not_begun_while_nothing_is_sent(night: Night) -> None:
    night.requests.turn("freeze", "on", "network")
    await night.see("FROZEN")
    await night.press("r")
    await night.see("PLAN INC-0412", "4 steps ")
    await night.press("enter")
    await night.see("nothing is sent: frozen by mara since 03:17: network; F thaws")
    assert "Start the plan" not in night.text


@on_the_night()
async def test_a_freeze_during_the_start_of_a_plan_is_shown_in_its_dialog(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.see("PLAN INC-0412", "4 steps ")
    await night.press("enter")
    await night.see("Start the plan")
    assert "FROZEN" not in night.text
    night.requests.turn("freeze", "on", "network")
    night.reads.changed()
    await night.see("FROZEN by mara since 03:17: network; no action is sent")
    assert "Start the plan" in night.text


@on_the_night()
async def test_what_is_frozen_is_thawed_only_once_it_was_confirmed(night: Night) -> None:
    night.requests.turn("freeze", "on", "network")
    await night.see("FROZEN")
    await night.press("F")
    await night.see("Thaw")
    await night.press("enter")
    await night.see("SERVICES 5")
    assert 1 == len(night.requests.turned)
    await night.press("F")
    await night.see("Thaw")
    await night.press("down", "enter")
    await night.wait_until_hidden("FROZEN")


# approvals


def _request_rerun(night: Night) -> None:
    night.reads.approvals_ = [approval()]


@on_the_night(prepare=_request_rerun)
async def test_a_pending_approval_appears_in_the_header_and_is_approved_once_shown(night: Night) -> None:
    await night.see("A 1 to approve")
    await night.press("A")
    await night.see("rerun " + EXTRACT, "mara: the disk was full")
    await night.press("enter")
    await night.see("APPROVE rerun", "by       mara, in plan 7", "why      the disk was full", "system   etl-hosts")
    await night.see("does     run extract_orders once", "scope    extract_orders, business date 2026-11-19")
    await night.see("period   2026-11-20T02:10:00Z", "given    scope failed", "touches  db07:extract_orders")
    await night.see("sends    ssh headway@db07", "requested 03:15:42", "until    04:15, in 58m", "Approve")
    await night.press("enter")
    await night.see("SERVICES 5")
    assert [] == night.requests.calls
    await night.press("A")
    await night.see("mara: the disk was full")
    await night.press("enter")
    await night.see("Approve")
    await night.press("down", "enter")
    await night.see("is checked again and sent")
    await night.wait_until_hidden("to approve")
    assert [("approve", "headway-ask-1")] == night.requests.calls


def _request_on_a_shared_store(night: Night) -> None:
    night.reads.approvals_ = [approval(text="", scope="", sends=(), touches=(), notes=(), run_id=1)]


@on_the_night(prepare=_request_on_a_shared_store)
async def test_a_scheduler_is_queried_first_where_only_it_knows_what_would_be_approved(night: Night) -> None:
    night.requests.silent = True
    await night.see("A 1 to approve")
    await night.press("A")
    await night.see("mara: the disk was full")
    await night.press("enter")
    await night.see("asking its scheduler for a preview")
    assert "Approve" not in night.text
    night.requests.silent = False
    await night.see("does     run extract_orders once on db07 as etl", "sends    ssh headway@db07", "Approve")
    assert [("preview", 1)] == night.requests.calls


@on_the_night()
async def test_without_anything_to_approve_the_key_says_so(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("A")
    await night.see("nothing waits for approval")


def _request_for_the_incident(night: Night) -> None:
    night.requests.requested_before(1, "headway-ask-1")
    until, act_by = NOW + timedelta(minutes=58), NOW + timedelta(minutes=20)
    night.reads.approvals_ = [approval(terms=ApprovalTerms(until, 412, act_by, given="ben", needed=2))]


@on_the_night(prepare=_request_for_the_incident)
async def test_an_incident_shows_what_waits_for_an_approval(night: Night) -> None:
    night.app.navigation.open_incident(412)
    await night.see(" waits for approval  rerun " + EXTRACT)
    await night.see("worked: no repair of this failure is known", "act by: 03:37, in 20m")
    await night.see("until: 04:15, in 58m", "approved: 1 of 2 by ben")


# start


def _can_start(night: Night) -> None:
    night.reads.targets_ = [
        dataclasses.replace(target, capabilities=("rerun", "start")) if not target.missing else target
        for target in night.reads.targets_
    ]
    night.requests.shown |= {"verb": "trigger", "summary": "trigger a run now", "safety": "ask", "takes": ["conf"]}


@pytest.mark.deep
@on_the_night(prepare=_can_start)
async def test_a_job_is_started_with_a_conf_that_was_shown_first(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("s")
    await night.see("START " + EXTRACT, "trigger a run now", "With a conf", "type the name first")
    await night.press("down", "down", "enter")
    await night.see("with a conf", "NAME=VALUE words or a JSON object")
    await night.type("password=x")
    await night.press("enter")
    await night.see("password is named like a secret")
    await night.press(*["backspace"] * len("password=x"))
    await night.type("day=2026-11-19 limit=5")
    await night.press("enter")
    await night.see("With a conf", "Send")
    await night.press("down", "enter")
    await night.see("type extract_orders")
    assert [] == night.requests.action_requests
    await night.type(EXTRACT)
    await night.press("enter", "enter")
    await night.see("◌ requested")
    [request] = night.requests.action_requests
    given = {"conf": {"day": "2026-11-19", "limit": 5}}
    assert (Verb.START, None, 1, given) == (request.verb, request.run_id, request.job_id, dict(request.parameters))


def _takes_nothing(night: Night) -> None:
    _can_start(night)
    night.requests.shown |= {"safety": "safe", "takes": []}


@on_the_night(prepare=_takes_nothing)
async def test_a_start_that_takes_nothing_along_is_sent_like_any_other(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("s")
    await night.see("START " + EXTRACT, "Send")
    assert "With a conf" not in night.text
    await night.press("down", "enter")
    await night.see("◌ requested")
    assert [{}] == [dict(request.parameters) for request in night.requests.action_requests]


@on_the_night()
async def test_a_system_that_cannot_start_says_so(night: Night) -> None:
    await at_the_jobs(night)
    await night.press("s")
    await night.see("cannot start a job")
    assert [] == night.requests.calls


OWN = {"number": 7, "job": "mart", "first": "2026-11-12T00:00:00Z", "last": "2026-11-14T00:00:00Z"}


@on_the_night()
async def test_a_backfill_of_its_schedulers_own_is_paused_once_its_preview_was_seen(night: Night) -> None:
    listed = {"verb": "list", "backfills": [{**OWN, "paused": False, "at_once": 2, "made": "2026-11-20T03:00:00Z"}]}
    night.requests.shown |= {"summary": "", "refused": "a list", **listed}
    night.app.navigation.open_job(EXTRACT)
    await night.see("JOB " + EXTRACT)
    await night.press("B")
    await night.see("BACKFILLS " + EXTRACT, "7  going on  2026-11-12 to 2026-11-14, 2 at once", "Pause 7", "Cancel 7")
    night.requests.shown |= {"verb": "pause the backfill", "summary": "pause backfill 7 of mart", "refused": None}
    await night.press("down", "enter")
    await night.see("BACKFILL " + EXTRACT, "pause backfill 7 of mart", "Send")
    assert [] == night.requests.action_requests, "it is shown first"
    await night.press("down", "enter")
    await night.see("◌ requested")
    [request] = night.requests.action_requests
    sent = {"do": "pause", "backfill": 7}
    assert (Verb.BACKFILL, None, 1, sent) == (request.verb, request.run_id, request.job_id, dict(request.parameters))


@on_the_night()
async def test_where_no_backfill_is_under_way_the_box_says_so_and_sends_nothing(night: Night) -> None:
    night.requests.shown |= {"verb": "list", "summary": "", "refused": "a list"}
    night.app.navigation.open_job(EXTRACT)
    await night.see("JOB " + EXTRACT)
    await night.press("B")
    await night.see("no native backfill is in progress")
    await night.press("enter")
    await night.see("JOB " + EXTRACT)
    assert [] == night.requests.sent
