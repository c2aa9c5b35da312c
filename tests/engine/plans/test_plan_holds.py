"""A plan that holds what would start in the middle of it: proposed, placed, let go, by store, actions and pollers."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from functools import partial
from pathlib import Path

import pytest

from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.states import RunState, Verb
from console.control.incidents.verdict.decision import incident_verdict
from console.control.incidents.verdict.text import verdict_text
from console.domain.ids import new_action_key
from console.domain.plan import PlanDraft
from console.domain.reason import reasons_text
from console.domain.request import RequestKind
from console.domain.settings import ServiceSetting
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from console.engine.notify.senders import SendResult
from console.store.queries import open_queries
from console.store.row_values import parse_reasons
from console.timing.formats import zoned_time
from tests.engine.holds.test_holds import Night, a_night, at, repair, started
from tests.lab.process import HANGS_SECONDS
from tests.reasons import dated


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    promised = ServiceSetting("daily", "daily", ("fake/load",), time(6, 30), "UTC")
    with a_night(tmp_path, mode="observe", promised=promised) as made:
        yield made


def proposal(night: Night, incident: int = 1) -> PlanDraft:
    requests = EngineClient(night.bench.url)
    question = requests.ask(ProposeRecovery(incident))
    night.bench.parts.answers.step(night.bench.fence)
    answer = requests.wait(question, HANGS_SECONDS)
    assert answer.ok, answer.error
    return PlanDraft.read(answer.data)


def plan(night: Night, looked_at_until: str = "") -> PlanDraft:
    draft = proposal(night)
    if looked_at_until:
        night.at(looked_at_until)
    EngineClient(night.bench.url).start_plan(draft, new_action_key())
    return draft


def go_on(night: Night) -> None:
    """A few rounds of everything, plans among it."""
    for _ in range(3):
        night.bench.parts.plans.step(night.bench.fence)
        night.rounds(2)
    night.bench.parts.plans.step(night.bench.fence)


def steps(night: Night) -> list[tuple[str, str, str]]:
    return [(verb, state, text) for verb, state, text in night.rows(
        "SELECT verb, state, text FROM plan_step ORDER BY place")]  # fmt: skip


def service_day(night: Night) -> tuple[str, str]:
    """The service's status, and the reason."""
    timeliness, reasons = night.rows("SELECT timeliness, reasons FROM service_day ORDER BY business_date")[0]
    return str(timeliness), reasons_text(parse_reasons(reasons), partial(zoned_time, zone="UTC", near=night.now))


def ends(night: Night, job: str, clock: str, state: RunState, message: str = "") -> None:
    """The run that the plan, or its hold, requested has ended at that time."""
    verb = "rerun" if job == "extract" else "start"
    [key] = [item for (item,) in night.rows(f"SELECT key FROM action WHERE verb = '{verb}'")]
    night.bench.scheduler.attempt(
        job, f"{job}-again", state, at(clock), action_key=key, period_key=None, ended_at=at(clock), message=message
    )


def shown_verdict(night: Night, incident: int = 1) -> str:
    """Of that incident, as `headway incident` says it."""
    with open_queries(night.bench.url) as reads:
        view, plans = reads.incidents.incident(incident), reads.plans.list_plans(incident, ended=False)
        now = reads.now()
        return verdict_text(incident_verdict(view, plans, now, is_frozen=False), now, lambda at: f"{at:%H:%M}")


@pytest.mark.deep
def test_what_starts_in_the_middle_of_a_repair_is_held_and_started_once_when_it_is_repaired(night: Night) -> None:
    night.at("03:40").rounds()
    draft = plan(night)
    assert ["hold", "rerun", "release", "wait"] == [step.verb for step in draft.steps]
    assert (getpass.getuser(), None) == (draft.steps[0].parameters["by"], draft.steps[0].preview["refused"])
    go_on(night)
    assert ["planned", "requested", "planned", "planned"] == [state for _, state, _ in steps(night)]
    assert {} == night.bench.scheduler.marks
    night.at("03:51")
    go_on(night)
    assert ["load"] == [*night.bench.scheduler.marks]
    assert ("held", "person") == night.hold()[:2]
    night.at("04:05")
    go_on(night)
    assert ("held", "verified") == (night.load()[0], steps(night)[0][1])
    assert "at_risk" == service_day(night)[0]
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.at("04:11")
    go_on(night)
    assert {} == night.bench.scheduler.marks
    assert ("on_time", "expected 04:21 UTC") == service_day(night)  # "no estimate" until its run was seen
    night.at("04:14")
    go_on(night)
    assert ([("start", "load")], "on_time") == (started(night), service_day(night)[0])
    ends(night, "load", "04:20", RunState.SUCCEEDED)
    night.at("04:21")
    go_on(night)
    assert ["verified"] * 4 == [state for _, state, _ in steps(night)]
    assert [("done",)] == night.rows("SELECT state FROM plan")


def test_a_plan_reviewed_for_long_still_places_its_holds_in_time(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night, looked_at_until="03:48")
    go_on(night)
    assert {} == night.bench.scheduler.marks
    night.at("03:51")
    go_on(night)
    assert ["load"] == [*night.bench.scheduler.marks]


def test_a_repair_that_ends_in_time_touches_nothing_of_its_downstream(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    ends(night, "extract", "03:45", RunState.SUCCEEDED)
    night.at("03:46")
    go_on(night)
    assert ["verified", "verified", "verified", "planned"] == [state for _, state, _ in steps(night)]
    assert [("rerun",)] == night.rows("SELECT verb FROM action")
    assert "nothing was sent" in steps(night)[0][2]


def test_a_plan_that_is_given_up_leaves_what_it_held_held_and_says_so(night: Night) -> None:
    night.at("03:50").rounds()
    plan(night)
    go_on(night)
    assert ["load"] == [*night.bench.scheduler.marks]
    held = "fake/load stays held; release with: headway hold release JOB"
    for how, done in ((RequestKind.PAUSE_PLAN, "paused"), (RequestKind.ABORT_PLAN, "aborted")):
        EngineClient(night.bench.url).steer_plan(1, how)
        assert [(f"{done} by {getpass.getuser()}; {held}",)] == night.rows("SELECT text FROM plan")
    go_on(night)
    assert "it stays held until its hold ends: headway hold release fake/load releases it" in steps(night)[2][2]
    repair(night, "03:55")
    night.at("03:56").rounds()
    assert ["load"] == [*night.bench.scheduler.marks]


def pause_text(night: Night) -> str:
    EngineClient(night.bench.url).steer_plan(1, RequestKind.PAUSE_PLAN)
    [(text,)] = night.rows("SELECT text FROM plan")
    EngineClient(night.bench.url).steer_plan(1, RequestKind.RESUME_PLAN)
    return str(text)


def test_a_paused_plan_shows_what_is_about_to_be_held_and_not_what_is_released(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    assert "held" not in pause_text(night)
    night.at("03:51")
    night.bench.parts.plans.step(night.bench.fence)
    night.bench.parts.actions.step(night.bench.fence)
    assert (["load"], []) == ([*night.bench.scheduler.marks], night.rows("SELECT state FROM hold"))
    assert "fake/load stays held" in pause_text(night)
    ends(night, "extract", "03:54", RunState.SUCCEEDED)
    night.at("03:55").rounds()
    night.bench.parts.plans.step(night.bench.fence)
    night.bench.turn()
    assert "releasing" == night.hold()[0]
    assert "held" not in pause_text(night)


@pytest.mark.deep
def test_a_refused_hold_requested_again_is_placed_before_its_start(night: Night) -> None:
    """Resumed, it waited once more as long as at first, and its job started in the middle of the repair."""

    def refuse(_: str) -> None:
        raise NotSupported("its scheduler is in maintenance for a moment; nothing was sent")

    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    night.bench.scheduler.on_act = refuse
    night.at("03:51")
    go_on(night)
    assert [("stopped",)] == night.rows("SELECT state FROM plan")
    night.bench.scheduler.on_act = None
    EngineClient(night.bench.url).steer_plan(1, RequestKind.RESUME_PLAN)
    night.at("03:53")
    go_on(night)
    assert ["load"] == [*night.bench.scheduler.marks]
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.at("04:11")
    go_on(night)
    assert ({}, "verified") == (night.bench.scheduler.marks, steps(night)[2][1])


@pytest.mark.deep
def test_an_engine_that_dies_after_each_move_of_a_plan_holds_lets_go_and_starts_once(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    for clock in ("03:41", "03:51", "03:52", "04:05", "04:11", "04:12", "04:14", "04:15", "04:21"):
        night.at(clock)
        for ended, job in (("04:11", "extract"), ("04:21", "load")):
            if clock == ended:
                ends(night, job, clock, RunState.SUCCEEDED)
        for _ in range(2):
            night.bench.parts.plans.step(night.bench.fence)
            night.restart()
            night.rounds(1)
            night.restart()
    sent = [pair for pair in night.bench.scheduler.done if pair[1] == "load"]
    assert [("hold", "load"), ("release", "load"), ("start", "load")] == sent
    assert [("done",)] == night.rows("SELECT state FROM plan")


def test_a_plans_hold_that_runs_out_starts_nothing_while_the_repair_is_not_done(night: Night) -> None:
    night.at("03:50").rounds()
    plan(night)
    go_on(night)
    assert ["load"] == [*night.bench.scheduler.marks]
    night.at("10:01").rounds(6)
    night.at("10:05").rounds(4)
    assert ({}, []) == (night.bench.scheduler.marks, started(night))


def held_by_a_person(night: Night, until: str) -> str:
    """The key of a hold of load that a person requested at 03:45, after the plan began."""
    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    night.at("03:45")
    key = new_action_key()
    parameters = {"by": "mara", "until": f"2026-11-20T{until}:00Z"}
    request = ActionRequest(Verb.HOLD, job_id=night.job_id("load"), parameters=parameters, why="the network is moved")
    night.bench.requests().act(request, key)
    night.rounds().at("03:51")
    go_on(night)
    return key


@pytest.mark.deep
def test_a_hold_of_a_persons_own_is_enough_for_a_plan_and_stays_theirs(night: Night) -> None:
    """The plan's own was refused beside it, and the plan stopped."""
    key = held_by_a_person(night, until="12:00")
    assert [("running",)] == night.rows("SELECT state FROM plan")
    with open_queries(night.bench.url) as reads:
        shown = reads.plans.plan(1)
    assert f"it is held already by {getpass.getuser()} until 2026-11-20 12:00Z" == shown.waits_for(shown.steps[0])
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.at("04:11")
    go_on(night)
    hold, _, release, wait = steps(night)
    assert ("verified", "verified", "planned") == (hold[1], release[1], wait[1])
    assert "nothing was sent; headway hold release fake/load releases it" in release[2]
    assert key == night.bench.scheduler.marks["load"].id
    request = ActionRequest(Verb.RELEASE, job_id=night.job_id("load"), parameters={"hold": key})
    night.bench.requests().act(request, new_action_key())
    go_on(night)
    night.at("04:14")
    go_on(night)
    ends(night, "load", "04:20", RunState.SUCCEEDED)
    night.at("04:21")
    go_on(night)
    assert [("start", "load")] == started(night)
    assert [("done",)] == night.rows("SELECT state FROM plan")


def test_a_plan_releases_its_hold_though_a_person_requests_a_hold_at_the_same_time(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    night.at("03:51")
    go_on(night)
    assert "held" == night.hold()[0]
    ends(night, "extract", "03:54", RunState.SUCCEEDED)
    night.at("03:55").rounds(2)
    request = ActionRequest(
        Verb.HOLD, job_id=night.job_id("load"), parameters={"until": "2026-11-20T12:00:00+00:00", "by": "mara"}
    )
    night.bench.requests().act(request, new_action_key())
    night.bench.turn()
    assert ["held", "placing"] == sorted(state for (state,) in night.rows("SELECT state FROM hold"))
    go_on(night)
    assert {} == night.bench.scheduler.marks
    assert "nothing was sent" not in steps(night)[2][2]


@pytest.mark.deep
def test_a_persons_hold_that_ends_in_the_middle_of_a_repair_goes_on_until_it_is_done(night: Night) -> None:
    key = held_by_a_person(night, until="04:05")
    night.at("04:06")
    go_on(night)
    night.at("04:30")
    go_on(night)
    assert (key, "held") == (night.bench.scheduler.marks["load"].id, night.load()[0])
    assert "fake/load is held on while a plan repairs what it reads: the hold by " in night.events()[-1]
    ends(night, "extract", "04:40", RunState.SUCCEEDED)
    night.at("04:41")
    go_on(night)
    night.at("04:44")
    go_on(night)
    assert ({}, [("start", "load")]) == (night.bench.scheduler.marks, started(night))


@pytest.mark.deep
def test_a_persons_hold_that_ends_before_the_start_is_followed_by_the_plans_own(night: Night) -> None:
    key = held_by_a_person(night, until="03:56")
    assert key == night.bench.scheduler.marks["load"].id
    night.bench.requests().act(
        ActionRequest(Verb.RELEASE, job_id=night.job_id("load"), parameters={"hold": key}), new_action_key()
    )
    night.at("03:57")
    go_on(night)
    go_on(night)
    assert key != night.bench.scheduler.marks["load"].id


def test_a_job_that_a_person_paused_needs_no_hold_and_stops_no_plan(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    night.bench.scheduler.jobs["load"] = replace(night.bench.scheduler.jobs["load"], paused=True)
    go_on(night)
    night.at("03:51")
    go_on(night)
    assert [("running",)] == night.rows("SELECT state FROM plan")
    assert "paused at its source; nothing was sent" in steps(night)[0][2]


def test_a_hold_that_could_not_be_sent_before_its_start_is_not_sent_after_it(night: Night) -> None:
    night.at("03:40").rounds()
    plan(night)
    go_on(night)
    night.bench.scheduler.refuse = SystemUnreachable("no route to host")
    night.at("03:51")
    go_on(night)
    assert [("requested",)] == night.rows("SELECT state FROM action WHERE verb = 'hold'")
    night.at("04:01")
    go_on(night)
    assert [("refused",)] == night.rows("SELECT state FROM action WHERE verb = 'hold'")
    assert "fake/load was not held: it could not be sent before its start" in night.events()
    night.bench.scheduler.refuse = None
    night.at("04:02")
    go_on(night)
    assert ({}, "verified") == (night.bench.scheduler.marks, steps(night)[0][1])
    assert "it could not be sent before its start" in steps(night)[0][2]
    assert [("running",)] == night.rows("SELECT state FROM plan")


def test_a_release_of_a_plan_that_is_refused_calls_a_person_once(night: Night) -> None:
    """For the hold and for the plan, which stops at it: two calls for one fault."""

    def refuse(_: str) -> None:
        raise AccessRefused("role headway may not resume load")

    night.at("03:50").rounds()
    plan(night)
    go_on(night)
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.bench.scheduler.on_act = refuse
    night.at("04:11")
    go_on(night)
    night.rounds()
    assert [("stopped",)] == night.rows("SELECT state FROM plan")
    assert "fake/load is still held: role headway may not resume load" in night.events()
    titles = [title for _, title, body in night.bench.sink.got if "A person is needed" in body]
    assert ["Plan 1 stopped: headway plan resume 1 [INC-0001]"] == titles
    with night.bench.store.write(None) as session:  # as if the receiver had not answered
        session.rows(
            "UPDATE delivery SET state = 'pending' WHERE alert_id IN (SELECT id FROM alert WHERE kind = 'person')"
        )
    night.bench.sink.got.clear()
    EngineClient(night.bench.url).steer_plan(1, RequestKind.RESUME_PLAN)
    night.bench.send()
    assert [] == night.bench.sink.got, "it asks for what is done"
    dropped = night.rows("SELECT error FROM delivery WHERE state = 'dropped'")
    assert [("its plan was resumed or aborted meanwhile",)] == dropped


def sent(night: Night) -> list[tuple[str, str]]:
    """Titles and texts of the mails since the last call."""
    night.bench.send()
    mails = [(title, body) for _, title, body in night.bench.sink.got]
    night.bench.sink.got.clear()
    return mails


def stopped_at_its_wait(night: Night) -> list[tuple[str, str]]:
    """The plan repaired extract and started load, which failed; the mails about that."""
    night.at("03:50").rounds()
    plan(night)
    night.at("03:51")
    go_on(night)
    night.at("04:05")
    go_on(night)
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.at("04:11")
    go_on(night)
    night.at("04:14")
    go_on(night)
    sent(night)
    ends(night, "load", "04:20", RunState.FAILED)
    night.at("04:21")
    go_on(night)
    assert [("stopped",)] == night.rows("SELECT state FROM plan")
    return sent(night)


def test_a_plan_stopped_at_a_wait_names_the_rerun_of_its_job_before_the_resume(night: Night) -> None:
    mails = stopped_at_its_wait(night)
    commands = ["headway rerun fake/load", "headway plan resume 1"]
    [ended] = [title for title, _ in mails if "(INC-0001, " in title]
    assert ended.startswith("Cause resolved: daily 06:30 still at risk (INC-0001, ")
    mails = [(title, body) for title, body in mails if title != ended]
    assert [commands] == [re.findall(r"^Do +(.*)$", body, re.M) for _, body in mails], "one mail, one way"
    with open_queries(night.bench.url) as reads:
        view = reads.plans.plan(1)
    assert ["fake/load"] == view.failed_waits
    assert view.status_text.endswith("; to go on: headway rerun fake/load, then headway plan resume 1, or plan abort")
    assert view.incident_id is not None
    verdict = shown_verdict(night, view.incident_id)
    assert verdict.startswith("Plan 1 stopped: restart load, then resume it by ")
    draft = proposal(night, view.incident_id)
    with pytest.raises(AlreadyRequested, match="it is stopped: headway rerun fake/load, then headway plan resume 1, "):
        EngineClient(night.bench.url).start_plan(draft, new_action_key())


def test_a_stopped_plan_whose_job_ran_on_stale_data_is_replaced_and_not_resumed(night: Night) -> None:
    """Resuming it reruns extract alone and stops again; what `recover` proposes repairs the service."""
    night.at("03:49").rounds()
    night.at("03:50")
    plan(night)
    night.at("03:51")
    go_on(night)
    night.at("04:05")
    go_on(night)
    scheduler = night.bench.scheduler
    scheduler.marks.clear()  # a person released it there
    scheduler.attempt(
        "load", "l1", RunState.SUCCEEDED, at("04:06"), ended_at=at("04:07"), period_key="2026-11-20T04:00:00Z"
    )
    night.at("04:08").rounds()
    ends(night, "extract", "04:09", RunState.FAILED)
    sent(night)
    night.at("04:10")
    go_on(night)
    assert [("stopped",)] == night.rows("SELECT state FROM plan")
    assert shown_verdict(night).startswith("Plan 1 stopped: abort it, then restart extract and load by 06:")
    draft = proposal(night)
    assert [("rerun", "fake/extract"), ("rerun", "fake/load")] == [(step.verb, step.job) for step in draft.steps]
    commands = ["headway plan abort 1", "headway recover INC-0001"]
    mails = [re.findall(r"^Do +(.*)$", body, re.M) for _, body in sent(night)]
    assert mails
    assert all(commands == mail for mail in mails), mails
    [(go_on_with,)] = night.rows("SELECT go_on FROM plan")
    assert "headway plan abort 1, then headway recover INC-0001" == go_on_with, "and no second abort"
    replaced = "it is stopped: headway plan abort 1, then headway recover INC-0001$"
    with pytest.raises(AlreadyRequested, match=replaced):
        EngineClient(night.bench.url).start_plan(draft, new_action_key())


def test_a_verdict_names_the_release_of_a_job_that_a_person_holds(night: Night) -> None:
    """No restart saves a service that waits for it, as `recover` says too."""
    night.at("03:45").rounds()
    assert shown_verdict(night).startswith("Restart extract by 06:")
    parameters = {"by": "mara", "until": "2026-11-20T12:00:00Z"}
    request = ActionRequest(Verb.HOLD, job_id=night.job_id("load"), parameters=parameters, why="the network is moved")
    night.bench.requests().act(request, new_action_key())
    night.rounds().at("03:51")
    sent(night)
    night.rounds(3)
    with open_queries(night.bench.url) as reads:
        assert f"fake/load is held by {getpass.getuser()}" in [
            dated(event.text) for event in reads.incidents.incident(1).events
        ]
    assert shown_verdict(night).startswith("Restart extract, then release load by 06:")
    plan(night)
    go_on(night)
    ends(night, "extract", "03:53", RunState.FAILED, "No space left on device\nTraceback")
    night.at("03:54")
    go_on(night)
    with open_queries(night.bench.url) as reads:
        assert "step 1, fake/extract: No space left on device" == reads.plans.plan(1).stop_reason
    assert shown_verdict(night).startswith("Plan 1 stopped: fix extract, then resume it, then release load by 06:")


def test_a_resumed_plan_waits_for_a_rerun_that_is_on_its_way(night: Night) -> None:
    stopped_at_its_wait(night)
    requests = EngineClient(night.bench.url)
    [run_id] = [run_id for (run_id,) in night.rows("SELECT id FROM run WHERE state = 'failed' AND job_id = 2")]
    requests.act(ActionRequest(Verb.RERUN, run_id), new_action_key())
    requests.steer_plan(1, RequestKind.RESUME_PLAN)
    night.bench.parts.plans.step(night.bench.fence)
    assert [("running",)] == night.rows("SELECT state FROM plan")


def to_the_last_step(night: Night) -> None:
    """The root is good, one mail notifies of it, and the plan waits only for load."""
    night.at("03:50").rounds()
    plan(night)
    night.at("03:51")
    go_on(night)
    night.at("04:05")
    go_on(night)
    sent(night)
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    for clock in ("04:11", "04:14", "04:18"):
        night.at(clock)
        go_on(night)
    [(title, _)] = sent(night)
    assert title == (
        "Update: daily 06:30 on time, expected 04:21: extract repaired, plan 1 is at 2 of 4 steps [INC-0001]"
    )
    assert [(None,)] == night.rows("SELECT closed_us FROM incident")
    assert shown_verdict(night).startswith("Plan 1 running: 3 of 4 steps, services done about 04:2")
    ends(night, "load", "04:20", RunState.SUCCEEDED)


def test_an_incident_is_resolved_at_the_end_of_its_plan_and_the_mail_says_safe(night: Night) -> None:
    to_the_last_step(night)
    night.at("04:21")
    go_on(night)
    night.at("04:22").rounds()
    [(title, body)] = sent(night)
    assert title.startswith("Resolved: daily safe (INC-0001, ")
    assert "Plan 1 is at" not in body, "all of its steps have ended"
    [(reason,)] = night.rows("SELECT close_reason FROM incident")
    assert "plan" not in reason


def test_an_end_that_was_delayed_says_how_its_plan_ended(night: Night) -> None:
    to_the_last_step(night)
    night.bench.sink.answer = SendResult(False, "451")
    night.at("04:21")
    go_on(night)
    assert {"Resolved: daily safe"} == {title.partition(" (INC-0001, ")[0] for title, _ in sent(night)}
    night.bench.sink.answer = SendResult(True)
    with night.bench.store.write(None) as session:
        session.rows("UPDATE delivery SET next_us = 0")
        session.rows("UPDATE delivery SET since_us = since_us - 1190000000 WHERE state = 'pending'")
    [(title, body)] = sent(night)
    assert title.startswith("Resolved: daily safe (INC-0001, ")
    assert body.startswith("Delayed by 20 min.\n\nPlan 1 is done.\n")


def test_the_delayed_end_for_owners_names_no_plan(tmp_path: Path) -> None:
    """Owners know services, and no numbers of plans."""
    promised = ServiceSetting("daily", "daily", ("fake/load",), time(6, 30), "UTC", notify=("owners",))
    with a_night(tmp_path, promised=promised, has_owners=True) as night:
        night.at("03:50").rounds()
        plan(night)
        for clock in ("03:51", "04:05"):
            night.at(clock)
            go_on(night)
        sent(night)
        night.bench.sink.answer = SendResult(False, "451")
        ends(night, "extract", "04:10", RunState.SUCCEEDED)
        for clock in ("04:11", "04:14", "04:18"):
            night.at(clock)
            go_on(night)
        sent(night)
        night.bench.sink.answer = SendResult(True)
        with night.bench.store.write(None) as session:
            session.rows("UPDATE delivery SET next_us = 0")
            session.rows("UPDATE delivery SET since_us = since_us - 1190000000 WHERE state = 'pending'")
        named = {title.partition(" [")[0].partition(" (")[0]: "Plan 1" in body for title, body in sent(night)}
    assert {"Resolved: daily safe": True, "Resolved: daily 06:30 on time, expected 04:21": False} == named


def test_a_cause_that_is_resolved_while_its_plan_does_not_run_names_the_resume(night: Night) -> None:
    night.at("03:50").rounds()
    plan(night)
    night.at("03:51")
    go_on(night)
    night.at("04:05")
    go_on(night)
    sent(night)
    EngineClient(night.bench.url).steer_plan(1, RequestKind.PAUSE_PLAN)
    ends(night, "extract", "04:10", RunState.SUCCEEDED)
    night.at("04:11").rounds()
    mails = sent(night)
    commands = {title: re.findall(r"^Do +(.*)$", body, re.M) for title, body in mails}
    opened, resolved = commands  # what needs a person first
    for _, body in mails:  # not the end of the hold, at 10:00: nothing starts then
        assert "\ndaily    06:30      will miss\n" in body
    assert resolved.startswith(
        "Cause resolved: daily 06:30 will still miss, plan 1 paused at 2 of 4 steps: headway plan resume 1"
    )
    assert opened.startswith("daily 06:30 will miss: load is held by plan 1: headway plan resume 1 ")
    assert [["headway plan resume 1"]] * 2 == [*commands.values()]
    assert "load is held by plan 1: headway plan resume 1, daily 06:30 will miss" == shown_verdict(night, 2)
