"""Recovery plans in the console, proposed: shown whole, changed, started by nobody who did not say so."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

import pytest

from console.domain.plan import WAIT
from console.domain.plan_change import PLAN_CHANGED
from console.tui.views.plans.proposal import DraftScreen
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOAD, MART, NOW, draft, plan_of
from tests.tui.terminal.test_burst import burst


async def planned(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.see("PLAN INC-0412", "4 steps ")


async def started(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("Start the plan")
    await night.press("down", "enter")
    await night.see("PLAN 1 running")


def rows(night: Night) -> list[str]:
    """The steps' lines, their jobs."""
    return [line for line in night.text.splitlines() if " rerun " in line and "/" in line]


@on_the_night()
async def test_r_shows_every_step_with_what_it_waits_for_and_what_is_left_out_and_why(night: Night) -> None:
    await planned(night)
    await night.see("1 rerun", EXTRACT, f"└ {LOAD}", f"└ {MART}", "✓ safe", "14m", "Supply plan, ")
    await night.see("late weekly-f")
    await night.see(
        "EXCLUDED 1",
        "excluded  cloud/supply-mart  starts by itself at 04:30",
        "weekly-finance cannot be saved any more",
    )
    assert [("plan", 412)] == night.requests.calls
    assert [] == night.requests.started


def _silent(night: Night) -> None:
    night.requests.silent = True


@on_the_night(prepare=_silent)
async def test_text_typed_while_schedulers_are_queried_runs_no_command_and_enter_is_queued(night: Night) -> None:
    """The letters of INC-0412 went to other screens and opened boxes."""
    await night.see("Supply plan")
    await night.press("r")
    await night.see("PLAN INC-0412", "asking")
    await night.press("enter", *"INC-0412")
    await night.see("still asking: the dialog opens once the plan is here; Esc abandons it", "PLAN INC-0412")
    night.requests.silent = False
    await night.see("Start the plan", "Back")
    assert [] == night.requests.started
    await night.press("escape")
    await night.wait_until_hidden("Start the plan")
    await night.see("4 steps ")


@on_the_night(prepare=_silent)
async def test_who_leaves_a_plan_that_is_awaited_gets_no_box(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.see("asking")
    await night.press("enter", "escape")
    await night.wait_until_hidden("asking")
    night.requests.silent = False
    await night.at_rest()
    assert "Start the plan" not in night.text


@on_the_night(size=(120, 36))
async def test_the_selected_step_is_shown_in_its_schedulers_own_terms(night: Night) -> None:
    await planned(night)
    await night.see("run extract_orders once on db07", "headway-run 3f9c", "history (31 runs)", "act by 03:58")
    await night.press("down", "down")
    await night.see("run revenue_mart once", f"after    step 2, {LOAD}", "parallel step 4")


@on_the_night(size=(80, 16))
async def test_excluded_jobs_are_counted_in_the_title_and_reached_by_the_key_of_the_last_row(night: Night) -> None:
    await planned(night)
    await night.see("4 steps \u00b7 1 excluded")
    assert "EXCLUDED 1" not in night.text
    await night.press("G")
    await night.see("excluded  cloud/supply-mart  starts by itself at 04:30")


@on_the_night(size=(120, 36))
async def test_each_service_has_its_simulated_finish_and_the_risk_that_it_is_late(night: Night) -> None:
    await planned(night)
    await night.see("FINISH, RISK", "in this plan")
    assert ["06:06, 12 %", "06:20, under 1 %", "05:03, 97 %"] == [
        finish_cell(night, service) for service in ("Supply plan", "Daily revenue", "weekly-finance")
    ]
    await night.press("down", "space")
    await night.see("EXCLUDED 2", "✖ not by this plan")
    assert "not by this plan" == finish_cell(night, "Supply plan")


def finish_cell(night: Night, service: str) -> str:
    """The finish of a service in the plan, below its steps."""
    rows = night.text.partition("FINISH, RISK")[2].splitlines()
    line = next(line for line in rows if line.strip().startswith(service))
    return re.split("[●✖!‼–]", line)[1].partition("│")[0].strip()


def _six_services(night: Night) -> None:
    plan_draft = night.requests.draft
    [first, *others] = plan_draft.steps
    many = tuple(dataclasses.replace(first.saves[0], service=f"service-{number}", title="") for number in range(6))
    night.requests.draft = dataclasses.replace(plan_draft, steps=(dataclasses.replace(first, saves=many), *others))


@on_the_night(prepare=_six_services)
async def test_services_that_have_no_room_in_the_outlook_are_scrolled_to_by_keys(night: Night) -> None:
    await planned(night)
    await night.see("service-0", "in this plan")
    assert "service-5" not in night.text
    await night.act("focus_next")
    await night.press("end")
    await night.see("service-5")
    await night.press("home")
    await night.see("service-0", "in this plan")


@on_the_night(size=(80, 26))
async def test_an_omitted_step_is_shown_as_such_and_included_again(night: Night) -> None:
    await planned(night)
    await night.press("down", "space")
    await night.see(
        "3 steps ",
        "EXCLUDED 2",
        "excluded  rerun warehouse-airflow/load_orders  Space includes it again",
        "which is left out",
    )
    await night.see("unsaved Suppl", "22m · history (31 runs)")
    assert "act by 03:58" not in night.text
    await night.press("x")
    await night.see("4 steps ", "EXCLUDED 1")


@on_the_night(size=(80, 26))
async def test_an_edit_is_a_request_and_the_plan_starts_once_it_is_answered(night: Night) -> None:
    """The draft on the screen, and no other, is started: until the answer it is the one before."""
    await planned(night)
    load = night.requests.draft.steps[1].key
    night.requests.silent = True
    await night.press("down", "space")
    await night.see("recomputing", "not sent")
    assert [frozenset(), frozenset({load})] == night.requests.left_out
    await night.press("enter")
    await night.see("still asking: the dialog opens once the plan is here")
    night.requests.silent = False
    await night.see("Start the plan", "3 reruns in 3 systems")
    await night.press("down", "enter")
    await night.see("PLAN 1 running")
    assert [3] == [len(plan.steps) for plan in night.requests.started]


@on_the_night(size=(80, 26))
async def test_the_last_of_several_edits_decides(night: Night) -> None:
    await planned(night)
    first, second, *_ = (step.key for step in night.requests.draft.steps)
    night.requests.silent = True
    await night.press("space", "down", "space")
    await night.until(lambda: len(night.requests.left_out) == 3, "both edits")
    assert [frozenset(), frozenset({first}), frozenset({first, second})] == night.requests.left_out
    night.requests.silent = False
    await night.see("2 steps ", "EXCLUDED 3")


@on_the_night(size=(80, 26))
async def test_an_edit_that_the_engine_refuses_leaves_the_plan_as_it_was(night: Night) -> None:
    await planned(night)
    night.requests.preview_error = "no answer in 45 s; is an engine running?"
    await night.press("down", "space")
    await night.see("the plan is as it was: no answer in 45 s; is an engine running?", "4 steps ")
    night.requests.preview_error = ""
    await night.press("space")
    await night.see("3 steps ", "EXCLUDED 2")


@on_the_night()
async def test_enter_alone_starts_nothing(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("START INC-0412", "Start the plan", "↓ then ↵: send")
    await night.press("enter")
    await night.see("PLAN INC-0412")
    assert [] == night.requests.started


@on_the_night()
async def test_the_start_dialog_shows_what_is_done_how_and_what_is_not_done_or_saved(night: Night) -> None:
    """What a person says yes to is this plan, not the one that was proposed."""
    await planned(night)
    await night.press("down", "down", "space", "enter")
    await night.see(
        "START INC-0412", "3 reruns in 3 systems", "does not save weekly-finance: its act-by 02:50 has passed"
    )
    await night.see(
        "excluded supply-mart: starts by itself at 04:30; revenue_mart: left ",
        "It stops at the first step that fails",
    )
    assert "✓ rerun: safe" not in night.text
    await night.press("d")
    await night.see(
        "START INC-0412",
        f" 2  run once {LOAD}  ✓ rerun: safe  after step 1",
    )
    await night.see(" 3  run once cloud/close-books  ✓ rerun: safe  after step 2", "EXCLUDED 2")
    await night.see("starts by itself at 04:30", "more below")
    await night.press("pagedown")
    await night.see(
        "NOT SAVED 3", "weekly-finance  its act-by 02:50 has passed", f"not by this plan: {MART} is left out"
    )
    await night.see("It stops at the first step that fails")
    await night.press("enter")
    await night.see("PLAN INC-0412")
    assert [] == night.requests.started


@pytest.mark.parametrize("key, where", [("2", "INCIDENTS"), ("q", "SERVICES"), ("escape", "SERVICES")])
def test_a_persons_plan_changes_are_discarded_only_after_confirmation(key: str, where: str) -> None:
    @on_the_night()
    async def steps(night: Night) -> None:
        await planned(night)
        await night.press("down", "space")
        await night.see("EXCLUDED 2")
        await night.press(key)
        await night.see("the changes to this plan would be lost", "Discard them")
        await night.press("enter")
        await night.see("EXCLUDED 2")
        await night.press(key)
        await night.see("Discard them")
        await night.press("down", "enter")
        await night.see(where)

    steps()


def _no_step(night: Night) -> None:
    night.requests.draft = dataclasses.replace(night.requests.draft, steps=())


@on_the_night()
async def test_an_unchanged_plan_is_left_without_a_question(night: Night) -> None:
    await planned(night)
    await night.press("2")
    await night.see("INCIDENTS")


@on_the_night()
async def test_two_enters_start_one_plan(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("Start the plan")
    await night.press("down", "enter", "enter", "enter")
    await night.until(lambda: bool(night.requests.started), "the plan")
    await night.at_rest()
    assert 1 == len(night.requests.started)


def _one_not_safe(night: Night) -> None:
    first, *rest = night.requests.draft.steps
    night.requests.draft = dataclasses.replace(
        night.requests.draft, steps=(dataclasses.replace(first, safety="ask"), *rest)
    )


@on_the_night(prepare=_one_not_safe)
async def test_where_one_job_is_not_declared_safe_the_incident_is_typed_as_the_title_has_it(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("1 step not declared safe", "START INC-0412", "type INC-0412", "reason")
    assert "Start the plan" not in night.text
    await night.type("INC-0413")
    await night.press("enter")
    await night.see("another name was typed")
    assert [] == night.requests.started
    await night.press("backspace")
    await night.type("2")
    await night.press("enter", "enter")
    await night.see("PLAN 1 running")


def _none_safe(night: Night) -> None:
    steps = tuple(dataclasses.replace(step, safety="ask") for step in night.requests.draft.steps)
    night.requests.draft = dataclasses.replace(night.requests.draft, steps=steps)


@on_the_night(prepare=_none_safe)
async def test_where_several_are_not_declared_safe_the_incident_is_typed(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("4 steps not declared safe", "type INC-0412")
    await night.see("next field")
    burst(night, "INC-0412\rdisk freed")
    await night.see("↵ start the plan", "disk freed")
    assert [] == night.requests.started
    burst(night, "\r")
    await night.see("PLAN 1 running")


def _native(night: Night) -> None:
    first, *rest = night.requests.draft.steps
    shown = {**first.preview, "native_calls": ["on db07, headway-rerun <key> 873a01d2"]}
    night.requests.draft = dataclasses.replace(
        night.requests.draft, steps=(dataclasses.replace(first, preview=shown), *rest)
    )


@on_the_night(prepare=_native)
async def test_before_a_plan_is_started_each_step_says_what_its_scheduler_is_sent(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("START INC-0412")
    await night.act("details")
    await night.see("sends on db07, headway-rerun <key> 873a01d2")


def _never(night: Night) -> None:
    first, *rest = night.requests.draft.steps
    night.requests.draft = dataclasses.replace(
        night.requests.draft, steps=(dataclasses.replace(first, safety="never"), *rest)
    )


@on_the_night(prepare=_never)
async def test_a_plan_with_a_step_that_may_never_be_sent_says_so_until_it_is_left_out(night: Night) -> None:
    await planned(night)
    await night.see("⊘ never", 'marked it rerun = "never"')
    await night.press("enter")
    await night.see("leave it out")
    await night.press("space", "enter")
    await night.see("Start the plan")


def _cannot(night: Night) -> None:
    first, *rest = night.requests.draft.steps
    step = dataclasses.replace(first, cannot="own cannot rerun: it only listens", preview={})
    night.requests.draft = dataclasses.replace(night.requests.draft, steps=(step, *rest))


@on_the_night(prepare=_cannot)
async def test_a_plan_whose_first_step_its_system_cannot_do_opens_no_box_until_it_is_left_out(
    night: Night,
) -> None:
    await planned(night)
    await night.see("refused", "own cannot rerun: it only listens")
    await night.wait_until_hidden("its scheduler is asked for it")
    await night.press("enter")
    await night.see("leave it out (")
    await night.wait_until_hidden("Start the plan")
    assert [] == night.requests.started


def _all_wait(night: Night) -> None:
    first = dataclasses.replace(night.requests.draft.steps[0], verb=WAIT, preview={}, why=("it runs again already",))
    night.requests.draft = dataclasses.replace(night.requests.draft, steps=(first,), notes=())


@on_the_night(prepare=_all_wait)
async def test_while_the_root_is_rerun_the_plan_says_what_is_waited_for(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("r")
    await night.see("1 step ", "it runs again already")
    await night.press("enter")
    await night.see(f"it waits for {EXTRACT}")
    assert [] == night.requests.started


def _wants_why(night: Night) -> None:
    night.requests.wants_why = True


@on_the_night(prepare=_wants_why)
async def test_where_tier_one_hangs_on_it_a_person_says_why_in_the_same_box(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("reason", "required")
    await night.press("enter")
    await night.see("tier 1 wants a reason")
    assert [] == night.requests.started
    await night.type("the disk was full")
    await night.press("enter")
    await night.see("PLAN 1 running", "why: the disk was full")


def _first_tier(night: Night) -> None:
    first, *rest = night.requests.draft.steps
    step = dataclasses.replace(first, first_tier=("daily-revenue",))
    night.requests.draft = dataclasses.replace(night.requests.draft, steps=(step, *rest))


@on_the_night(prepare=_first_tier)
async def test_a_plan_that_tier_one_hangs_on_is_started_by_its_typed_name_alone(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("affects tier 1: Daily revenue", "type INC-0412")
    assert "Start the plan" not in night.text
    await night.type("INC-0413")
    await night.press("enter")
    await night.see("another name was typed; type INC-0412")
    assert [] == night.requests.started
    await night.press("backspace")
    await night.type("2")
    await night.press("enter", "enter")
    await night.see("PLAN 1 running")


@on_the_night()
async def test_a_second_person_learns_who_started_it_and_is_led_to_that_plan(night: Night) -> None:
    await planned(night)
    night.reads.plans_ = [plan_of(draft(), 7)]
    night.requests.refuses = "plan 7 was started by mara 4s ago; it is running: headway plan 7 --watch follows it"
    await night.press("enter")
    await night.see("Start the plan")
    await night.press("down", "enter")
    await night.see("not started: plan 7 was started by mara 4s ago", "Show that plan")
    await night.press("down", "enter")
    await night.see("PLAN 7 running")
    assert [] == night.requests.started


@on_the_night()
async def test_an_engine_that_cannot_plan_says_why(night: Night) -> None:
    night.requests.preview_error = "INC-0412 is not open: nothing to repair"
    await night.see("Supply plan")
    await night.press("r")
    await night.see("no plan: INC-0412 is not open")
    await night.press("enter")
    await night.at_rest()
    assert [] == night.requests.started


# a plan grows old


@contextmanager
def old_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("console.tui.views.plans.proposal.VALID_SECONDS", 0.0)
        yield


def _moves_on(night: Night) -> None:
    """The second step starts by itself meanwhile: it is left out of what would be proposed now."""
    known = night.requests.draft
    night.requests.draft = dataclasses.replace(known, steps=known.steps[:1])


@on_the_night(size=(120, 36))
async def test_a_plan_shows_when_it_was_computed_and_is_computed_again_while_open(night: Night) -> None:
    await planned(night)
    await night.see("as of 03:1")
    known = night.requests.draft
    _moves_on(night)
    with old_at_once():
        night.app._tick()
        await night.see("1 step ", PLAN_CHANGED)
        await night.see("REMOVED 3", f"rerun {LOAD}", "changed  not sent")
        night.requests.draft = known
        night.app._tick()
        await night.wait_until_hidden("REMOVED 3")
        await night.press("down")
        await night.see("new since the plan was shown")


@on_the_night(size=(120, 36))
async def test_a_plan_is_old_by_the_clock_of_a_fast_replay(night: Night) -> None:
    await planned(night)
    shown = cast(DraftScreen, night.app.screen)
    assert not shown.is_old
    shown.drawn = NOW - timedelta(minutes=2)
    assert shown.is_old


@on_the_night(size=(120, 36))
async def test_an_edited_plan_that_changes_keeps_its_edit_and_is_confirmed_once_more(night: Night) -> None:
    await planned(night)
    await night.press("down", "down", "space")
    await night.see("EXCLUDED 2")
    await night.press("enter")
    await night.see("Start the plan")
    _moves_on(night)
    with old_at_once():
        await night.press("down", "enter")
        await night.see(
            "the plan has changed, nothing was started: confirm it again",
            f"removed  rerun {LOAD}",
            "1 rerun in 1 system",
        )
        assert [] == night.requests.started
        await night.press("down", "enter")
        await night.see("PLAN 1 running")
    assert 1 == len({*night.requests.left_out} - {frozenset()}), "each later proposal leaves the same step out"


@on_the_night(size=(120, 36))
async def test_an_old_plan_is_computed_again_when_its_dialog_opens_which_marks_what_changed(night: Night) -> None:
    """The dialog had the old one, until the name and the reason were typed."""
    await planned(night)
    _moves_on(night)
    night.requests.silent = True
    with old_at_once():
        await night.press("enter")
        await night.see("START INC-0412", "checking that the plan has not changed")
        assert "Start the plan" not in night.text
        night.requests.silent = False
        await night.see("Start the plan", "1 rerun in 1 system", f"removed  rerun {LOAD}", "the plan has changed")
    assert [] == night.requests.started
    await night.press("down", "enter")
    await night.see("PLAN 1 running")
    assert [1] == [len(plan.steps) for plan in night.requests.started]


@on_the_night(size=(120, 36))
async def test_closing_the_dialog_during_the_computation_reports_that_it_is_another_plan(night: Night) -> None:
    await planned(night)
    await night.press("enter")
    await night.see("Start the plan")
    _moves_on(night)
    with old_at_once():
        night.requests.silent = True
        await night.press("down", "enter")
        await night.see("checking that the plan has not changed")
        await night.press("escape")
        await night.wait_until_hidden("Start the plan")
    night.requests.silent = False
    await night.see(PLAN_CHANGED, "1 step ")
    assert [] == night.requests.started


@on_the_night(size=(120, 36))
async def test_an_old_plan_that_leaves_no_step_to_send_closes_its_dialog_with_the_reason(night: Night) -> None:
    await planned(night)
    await night.press("down", "down", "space")
    await night.see("EXCLUDED 2")
    _no_step(night)
    with old_at_once():
        await night.press("enter")
        await night.see("no step is left to send", "PLAN INC-0412", "0 steps")
    assert "START INC-0412" not in night.text


@on_the_night(size=(120, 36))
async def test_a_plan_that_changes_below_its_dialog_is_confirmed_once_more(night: Night) -> None:
    """The answer to the plan left open came after Enter: the dialog started the plan that it had replaced."""
    await planned(night)
    night.requests.silent = True
    asked = len(night.requests.calls)
    with old_at_once():
        night.app._tick()
        await night.until(lambda: len(night.requests.calls) > asked, "the plan computed again")
    _moves_on(night)
    await night.press("enter")
    await night.see("Start the plan", "4 reruns")
    night.requests.silent = False
    below = cast(DraftScreen, night.app.screen_stack[-2])
    await night.until(lambda: below.draft is not None and len(below.draft.steps) == 1, "its answer")
    await night.press("down", "enter")
    await night.see("nothing was started: confirm it again", f"removed  rerun {LOAD}", "1 rerun in 1 system")
    assert [] == night.requests.started


@on_the_night(size=(120, 36))
async def test_a_plan_that_is_still_the_same_starts_as_it_is_now(night: Night) -> None:
    await planned(night)
    with old_at_once():
        await night.press("enter")
        await night.see("Start the plan")
        await night.press("down", "enter")
        await night.see("PLAN 1 running")
    assert 2 <= night.requests.calls.count(("plan", 412))


@on_the_night(size=(120, 36))
async def test_enter_twice_computes_an_old_plan_again_once_and_starts_it_once(night: Night) -> None:
    """The second answer could say "nothing was started" of a plan that had just begun."""
    await planned(night)
    await night.press("enter")
    await night.see("Start the plan")
    with old_at_once():
        night.requests.silent = True
        before = night.requests.calls.count(("plan", 412))
        await night.press("down", "enter", "enter")
        await night.see("checking that the plan has not changed")
        night.requests.silent = False
        await night.see("PLAN 1 running")
    assert before + 1 == night.requests.calls.count(("plan", 412))
    assert 1 == len(night.requests.started)
