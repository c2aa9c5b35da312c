"""Holds, starts and cancels of pg_cron: refusals, look-ups, and unknown outcomes."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.pg_cron.connector import PgCronConnector
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.job_agent import NO_MARK
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.settle import IN_FLIGHT_SECONDS, SEND_SECONDS
from connectors.sdk.states import RunState, Verb
from tests.connectors.pg_cron.test_recorded import connector_on
from tests.fakes.pg_cron import FakePgCron

KEY = "headway-0123456789abcdef"
JOB = "load_orders"


@pytest.fixture
def fake() -> FakePgCron:
    made = FakePgCron()
    made.page_rows = 100
    return made


def running(fake: FakePgCron) -> RunRecord:
    return next(run for run in connector_on(fake).poll("", (), 5).runs if run.state == RunState.RUNNING)


def cancel_ask(fake: FakePgCron) -> ActionSpec:
    run = running(fake)
    return ActionSpec(Verb.CANCEL, ref(run), run.state)


def start_ask(job: str = JOB) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef(job, "2026-11-20T03:00:00Z", "", ""), RunState.PLANNED)


def allowed(connector: PgCronConnector, spec: ActionSpec) -> Preview:
    shown = connector.preview(spec, 5)
    assert shown.refused is None, shown.refused
    return shown


def refused(connector: PgCronConnector, spec: ActionSpec) -> str:
    text = connector.preview(spec, 5).refused
    assert text is not None
    return text


def test_a_job_that_runs_is_not_held(fake: FakePgCron) -> None:
    run = running(fake)
    assert f"{run.job} runs now (run {run.attempt_key})" in refused(connector_on(fake), hold_ask(run.job))


def test_a_job_that_a_person_paused_says_so(fake: FakePgCron) -> None:
    assert "paused is inactive already, not by Headway" == refused(connector_on(fake), hold_ask("paused"))


def test_a_job_recreated_under_a_hold_comes_with_the_sql_that_resumes_it(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    jobid = next(row["jobid"] for row in fake.jobs if row["command"].startswith("/* headway-hold"))
    fake.change(jobid, command="select 2")
    text = refused(connector, release_ask(JOB, KEY))
    assert f"SELECT cron.alter_job({jobid}, active := true);" in text
    assert () == connector.holds(5)


def test_a_hold_resumed_by_a_person_is_still_found_and_removed(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    jobid = next(row["jobid"] for row in fake.jobs if row["command"].startswith("/* headway-hold"))
    fake.change(jobid, active=True)
    assert [(KEY, True)] == [(hold.mark.id, hold.bare) for hold in connector.holds(5)]
    connector.act(allowed(connector, release_ask(JOB, KEY)), new_key(), 5)
    assert () == connector.holds(5)


@pytest.mark.parametrize("active", [True, False])
def test_the_mark_alone_goes_and_the_job_stays_as_a_person_left_it(fake: FakePgCron, active: bool) -> None:
    connector = connector_on(fake)
    connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    jobid = next(row["jobid"] for row in fake.jobs if row["command"].startswith("/* headway-hold"))
    fake.change(jobid, active=True)
    preview = allowed(connector, replace(release_ask(JOB, KEY), parameters={"hold": KEY, "enable": "no"}))
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionAbsent)
    fake.change(jobid, active=active)
    connector.act(preview, new_key(), 5)
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionFound)
    [row] = [row for row in fake.jobs if row["jobid"] == jobid]
    assert (active, False) == (row["active"], row["command"].startswith("/*"))


@pytest.mark.parametrize("by, until", [("", "2026-11-20T06:30:00Z"), ("a b", "2026-11-20T06:30:00Z"), ("bob", "soon")])
def test_a_mark_that_cannot_be_written_is_refused(fake: FakePgCron, by: str, until: str) -> None:
    spec = ActionSpec(Verb.HOLD, RunRef(JOB, "", "", ""), RunState.PLANNED, {"by": by, "until": until})
    connector = connector_on(fake)
    assert f'a hold by "{by}" until "{until}"' in refused(connector, spec)
    with pytest.raises(NotSupported, match=f'a hold by "{by}"'):
        connector.act(connector.preview(spec, 5), KEY, 5)


@pytest.mark.parametrize("verb", ["hold", "release", "cancel"])
def test_what_may_still_be_on_its_way_is_not_called_absent(fake: FakePgCron, verb: str) -> None:
    connector = connector_on(fake)
    if verb == "release":
        connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    specs = {"hold": hold_ask(JOB), "release": release_ask(JOB, KEY), "cancel": cancel_ask(fake)}
    preview = allowed(connector, specs[verb])
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionAbsent)
    fake.sessions = 1
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


def sent(preview: Preview, seconds_ago: float) -> Preview:
    """As it is stored with its intent."""
    at = instant_key(datetime.now(UTC) - timedelta(seconds=seconds_ago))
    return replace(preview, plan={**preview.plan, SENT_AT: at})


@pytest.mark.parametrize("verb", ["start", "hold", "release", "cancel"])
def test_a_sender_that_still_connects_has_no_session_and_only_time_proves_that_it_ended(
    fake: FakePgCron, verb: str
) -> None:
    connector = connector_on(fake)
    if verb == "release":
        connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    specs = {"start": start_ask(), "hold": hold_ask(JOB), "release": release_ask(JOB, KEY), "cancel": cancel_ask(fake)}
    preview = allowed(connector, specs[verb])
    assert isinstance(connector.look_up(sent(preview, SEND_SECONDS), new_key(), 5), ActionUnknown)
    assert isinstance(connector.look_up(sent(preview, IN_FLIGHT_SECONDS + 1), new_key(), 5), ActionAbsent)


@pytest.mark.parametrize("verb", ["start", "hold"])
def test_what_was_to_be_sent_long_ago_is_not_sent_any_more(fake: FakePgCron, verb: str) -> None:
    """Its process was stopped in between: another engine may have called it absent."""
    connector = connector_on(fake)
    preview = allowed(connector, {"start": start_ask(), "hold": hold_ask(JOB)}[verb])
    before = copy.deepcopy(fake.jobs)
    with pytest.raises(SystemUnreachable, match="too late, send it again"):
        connector.act(sent(preview, SEND_SECONDS + 1), new_key(), 60)
    assert before == fake.jobs


def test_hidden_jobs_prove_no_absence_and_leave_holds_unknown(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    preview = allowed(connector, hold_ask(JOB))
    fake.access |= {"sees_all_jobs": False}
    assert isinstance(connector.look_up(preview, KEY, 5), ActionUnknown)
    with pytest.raises(AccessRefused, match="row security"):
        connector.holds(5)


def test_a_missing_right_is_named_with_its_fix_by_preview_and_probe(fake: FakePgCron) -> None:
    cancel = cancel_ask(fake)
    fake.access |= {"role": "watcher", "may_hold": False, "may_clear": None, "may_cancel": None}
    connector = connector_on(fake)
    fix = "as a superuser, headway connector grants pg_cron --login watcher | psql "
    for spec in (hold_ask(JOB), release_ask(JOB, KEY), cancel):
        assert fix in refused(connector, spec)
    missing = [right for right in connector.probe(5).rights if right.held is False]
    names = ["hold and release a job", "take a mark alone from a job", "cancel a run"]
    assert names == [right.name for right in missing]
    assert all(fix in right.fix and right.needed_for == "act" for right in missing)


def test_a_superuser_needs_the_functions_as_well(fake: FakePgCron) -> None:
    fake.access |= {"role": "postgres", "may_rerun": None}
    connector = connector_on(fake)
    assert "headway connector grants pg_cron --login postgres" in refused(connector, start_ask())
    [missing] = [right for right in connector.probe(5).rights if right.held is False and right.needed_for == "act"]
    text = "the function rerun of grants.sql: missing, or no EXECUTE for role postgres"
    assert ("rerun or start a job", text) == (missing.name, missing.why)


def test_what_is_held_is_let_go_where_an_older_grants_sql_knows_no_clear(fake: FakePgCron) -> None:
    """The functions of the version before: an upgrade must leave no job held that nobody can release."""
    fake.access |= {"may_clear": None}
    connector = connector_on(fake)
    connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    alone = replace(release_ask(JOB, KEY), parameters={"hold": KEY, "enable": "no"})
    text = refused(connector, alone)
    assert f"may not remove the hold mark from {JOB} alone: as a superuser, headway connector grants pg_cron" in text
    missing = [right.name for right in connector.probe(5).rights if right.held is False]
    assert ["take a mark alone from a job"] == missing
    connector.act(allowed(connector, release_ask(JOB, KEY)), new_key(), 5)
    assert () == connector.holds(5)


def test_a_standby_holds_nothing(fake: FakePgCron) -> None:
    fake.access |= {"is_standby": True}
    assert "this server is a standby" in refused(connector_on(fake), hold_ask(JOB))


def test_a_removed_job_is_not_held(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    assert "mist is no longer in cron.job" == refused(connector, hold_ask("mist"))
    with pytest.raises(NotSupported, match="cannot be sent: mist is no longer in"):
        connector.act(connector.preview(hold_ask("mist"), 5), KEY, 5)


def test_a_cancelled_run_is_found_and_one_that_ended_well_was_not_cancelled(fake: FakePgCron) -> None:
    connector = connector_on(fake)
    preview = allowed(connector, cancel_ask(fake))
    row = next(row for row in fake.runs if row["status"] == "running")
    row |= {"status": "succeeded", "ended": fake.access["clock"]}
    assert isinstance(connector.look_up(preview, KEY, 5), ActionAbsent)
    with pytest.raises(NotSupported):
        connector.act(preview, KEY, 5)
    row |= {"status": "failed", "message": "ERROR:  canceling statement due to user request\n"}
    assert ActionFound(str(row["runid"]), f"run {row['runid']}: ERROR:  canceling statement due to user request") == (
        connector.look_up(preview, KEY, 5)
    )


def test_a_run_that_never_was_is_not_cancelled(fake: FakePgCron) -> None:
    with pytest.raises(NotSupported, match="can only cancel a run that it has"):
        connector_on(fake).preview(ActionSpec(Verb.CANCEL, RunRef(JOB, "x", "", ""), RunState.MISSED), 5)


def test_a_queued_start_is_reported_before_a_cancel(fake: FakePgCron) -> None:
    assert any("pg_cron queues one" in note for note in allowed(connector_on(fake), cancel_ask(fake)).notes)


def test_a_start_of_a_held_job_runs_its_own_command(fake: FakePgCron) -> None:
    connector, start = connector_on(fake), new_key()
    before = next(row["command"] for row in fake.jobs if row["jobname"] == JOB)
    connector.act(allowed(connector, hold_ask(JOB)), KEY, 5)
    preview = allowed(connector, start_ask())
    assert f"{JOB} is paused in pg_cron; the start runs all the same" in preview.notes
    connector.act(preview, start, 5)
    assert f"/* {fake.jobs[-1]['jobname']} */ {before}" == fake.jobs[-1]["command"]


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
def test_a_state_cannot_be_set(fake: FakePgCron, verb: Verb) -> None:
    with pytest.raises(NotSupported, match=NO_MARK):
        connector_on(fake).preview(ActionSpec(verb, RunRef(JOB, "x", "", ""), RunState.FAILED), 5)


def test_the_role_of_the_grants_may_be_the_login(fake: FakePgCron) -> None:
    fake.access |= {"may_hold": False}
    [right] = [right for right in connector_on(fake).probe(5).rights if right.held is False]
    run = f"as a superuser, headway connector grants pg_cron --login headway_act | psql {fake.access['database']}"
    assert ("headway_act", run) == (fake.access["role"], right.fix)


@pytest.mark.parametrize(
    "message, expected",
    [("ERROR:  division by zero\n", ActionUnknown), ("ERROR:  canceling statement due to user request\n", ActionFound)],
)
def test_a_run_that_failed_on_its_own_does_not_prove_its_cancel(fake: FakePgCron, message: str, expected: type) -> None:
    connector = connector_on(fake)
    preview = allowed(connector, cancel_ask(fake))
    row = next(row for row in fake.runs if row["runid"] == preview.plan["runid"])
    row |= {"status": "failed", "message": message, "ended": fake.access["clock"]}
    assert isinstance(connector.look_up(preview, KEY, 5), expected)
