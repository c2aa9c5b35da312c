"""What pg_cron does with holds and cancels, on a real PostgreSQL, as the roles that grants.sql makes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.pg_cron.connector import CONNECTOR
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector, Preview
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport import postgres as sql
from console.engine.actions.verification import never_started
from tests.lab.headway import Headway
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.test_pg_cron_real import RARELY, connect, runs_of, start_sleeper

COMMANDS = {
    "plain": "select 1",
    "lines": "\n  select 1;\n\t-- the end\n",
    "umlaut": "select 'größer … 🙂'",
    "comment": "/* nightly */ select 1",
    "alike": "/* headway-hold */ select 1",
    "quotes": "select '*/ drop table t; --' as \"%s\" -- %(x)s \\1",
}


@pytest.fixture
def act(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connector]:
    for role, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_PG_{role.upper()}", password)
    connector = connect(postgres, "headway_act", variable="HEADWAY_PG_HEADWAY_ACT")
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def jobs(postgres: PostgresServer) -> Iterator[dict[str, int]]:
    """Jobs that are not due this year, by name."""
    made = {name: postgres.schedule(f"acts-{name}", RARELY, command) for name, command in COMMANDS.items()}
    yield made
    postgres.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobid = ANY(%s)", list(made.values()))


@pytest.fixture(autouse=True)
def as_they_were(postgres: PostgresServer, jobs: dict[str, int]) -> Iterator[None]:
    """What a test leaves behind is no other test's."""
    yield
    for name, jobid in jobs.items():
        text = "SELECT cron.alter_job(%s, schedule := %s, command := %s, active := true)"
        postgres.execute(text, jobid, RARELY, COMMANDS[name])


@pytest.fixture(scope="module")
def sleeper(postgres: PostgresServer) -> Iterator[str]:
    """Name of a job that runs for as long as these tests."""
    jobid = start_sleeper(postgres, "acts-sleeper", 600)
    yield "acts-sleeper"
    postgres.execute("SELECT pg_cancel_backend(job_pid) FROM cron.job_run_details WHERE jobid = %s", jobid)
    wait_until(lambda: "failed" in postgres.runs(jobid)[0], "the sleeper's end")
    postgres.execute("SELECT cron.unschedule(%s::bigint)", jobid)


def entry(postgres: PostgresServer, jobid: int) -> tuple[str, bool]:
    """Command and active of an entry of cron.job."""
    ((command, active),) = postgres.execute("SELECT command, active FROM cron.job WHERE jobid = %s", jobid)
    return command, active


def hold(connector: Connector, job: str) -> str:
    """The key under which the job is held from now on."""
    preview, key = connector.preview(hold_ask(job), 10), new_key()
    assert preview.refused is None, preview.refused
    connector.act(preview, key, 10)
    return key


def release(connector: Connector, job: str, key: str) -> None:
    preview = connector.preview(release_ask(job, key), 10)
    assert preview.refused is None, preview.refused
    connector.act(preview, new_key(), 10)


def running(connector: Connector, job: str) -> RunRecord:
    return next(run for run in runs_of(connector, job) if run.state == RunState.RUNNING)


def test_the_mark_alone_goes_and_the_job_stays_as_a_person_left_it(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    key, jobid = hold(act, "acts-plain"), jobs["plain"]
    postgres.execute("SELECT cron.alter_job(%s, active := true)", jobid)
    assert [(key, True)] == [(hold.mark.id, hold.bare) for hold in act.holds(10) if hold.job == "acts-plain"]
    only = replace(release_ask("acts-plain", key), parameters={"hold": key, "enable": "no"})
    preview = act.preview(only, 10)
    postgres.execute("SELECT cron.alter_job(%s, active := false)", jobid)
    act.act(preview, new_key(), 10)
    assert (COMMANDS["plain"], False) == entry(postgres, jobid)
    with pytest.raises(NotSupported, match="does not bear hold"):
        act.act(preview, new_key(), 10)


def test_a_hold_is_let_go_by_the_functions_of_an_older_grants_sql(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    """It has no `clear`: only what needs it is refused."""
    key, alone = hold(act, "acts-plain"), {"enable": "no"}
    postgres.execute("ALTER FUNCTION headway.clear(bigint, text) RENAME TO not_yet")
    try:
        ask = release_ask("acts-plain", key)
        preview = act.preview(replace(ask, parameters={"hold": key} | alone), 10)
        assert "may not remove the hold mark from acts-plain alone" in str(preview.refused)
        release(act, "acts-plain", key)
    finally:
        postgres.execute("ALTER FUNCTION headway.not_yet(bigint, text) RENAME TO clear")
    assert (COMMANDS["plain"], True) == entry(postgres, jobs["plain"])


@pytest.mark.parametrize("name", COMMANDS)
def test_any_command_is_the_same_byte_for_byte_after_a_hold(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int], name: str
) -> None:
    """While it is held, the mark is in the command, and the inventory shows the command without it."""
    job = f"acts-{name}"
    before = {job.native_id: job for job in act.inventory("", 10).jobs}[job]
    key = hold(act, job)
    command, active = entry(postgres, jobs[name])
    held = {job.native_id: job for job in act.inventory("", 10).jobs}[job]
    assert (f"/* headway-hold id={key} by=alice until=", False) == (command[: len(key) + 35], active)
    assert command.endswith(COMMANDS[name])
    assert (before.definition, before.definition_hash) == (held.definition, held.definition_hash)
    release(act, job, key)
    assert (COMMANDS[name], True) == entry(postgres, jobs[name])


def test_a_job_that_runs_is_not_held(act: Connector, postgres: PostgresServer, sleeper: str) -> None:
    """pg_cron would write "failed: job canceled" for its run at once, and leave its statement running (measured)."""
    preview = act.preview(hold_ask(sleeper), 10)
    assert preview.refused is not None
    assert "runs now" in preview.refused
    with pytest.raises(NotSupported, match="runs now"):
        act.act(preview, new_key(), 10)
    assert RunState.RUNNING == running(act, sleeper).state


def test_a_job_that_was_changed_since_the_preview_is_not_held(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    preview = act.preview(hold_ask("acts-plain"), 10)
    for change in ("command := 'select 2'", "command := 'select 1', schedule := '1 0 1 1 *'"):
        postgres.execute(f"SELECT cron.alter_job(%s, {change})", jobs["plain"])
        with pytest.raises(NotSupported, match="was changed since it was looked at"):
            act.act(preview, new_key(), 10)
    postgres.execute("SELECT cron.alter_job(%s, schedule := %s)", jobs["plain"], RARELY)
    act.act(preview, key := new_key(), 10)
    release(act, "acts-plain", key)


def test_what_a_person_changes_under_a_hold_stays_after_the_release(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    key = hold(act, "acts-plain")
    command, _ = entry(postgres, jobs["plain"])
    changed = command.replace("select 1", "select 3")
    postgres.execute("SELECT cron.alter_job(%s, command := %s)", jobs["plain"], changed)
    release(act, "acts-plain", key)
    assert ("select 3", True) == entry(postgres, jobs["plain"])
    postgres.execute("SELECT cron.alter_job(%s, command := 'select 1')", jobs["plain"])


def test_a_job_rescheduled_under_a_hold_is_reported_and_left(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    """cron.schedule under the same name overwrites the command and leaves the entry inactive: no mark, no release."""
    key = hold(act, "acts-plain")
    late = act.preview(release_ask("acts-plain", key), 10)
    postgres.schedule("acts-plain", RARELY, "select 1")
    assert ("select 1", False) == entry(postgres, jobs["plain"])
    preview = act.preview(release_ask("acts-plain", key), 10)
    assert preview.refused is not None
    assert f"SELECT cron.alter_job({jobs['plain']}, active := true);" in preview.refused
    with pytest.raises(NotSupported, match="nothing was changed"):
        act.act(late, new_key(), 10)
    assert isinstance(act.look_up(late, new_key(), 10), ActionAbsent)
    assert "acts-plain" not in {hold.job for hold in act.holds(10)}
    postgres.execute("SELECT cron.alter_job(%s, active := true)", jobs["plain"])


def test_a_held_job_is_rerun_without_our_mark(act: Connector, postgres: PostgresServer, jobs: dict[str, int]) -> None:
    key, rerun = hold(act, "acts-plain"), new_key()
    preview = act.preview(ActionSpec(Verb.RERUN, RunRef("acts-plain", "x", "", ""), RunState.MISSED), 10)
    act.act(preview, rerun, 10)
    name = f"headway:rerun:{jobs['plain']}:{rerun}"
    assert [(f"/* {name} */ select 1", True)] == postgres.execute(
        "SELECT command, active FROM cron.job WHERE jobname = %s", name
    )
    postgres.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %s", name)
    release(act, "acts-plain", key)


ESTATE = """
[estate]
name = "lab"
starts_in = "live"
store = "{folder}/headway.db"

[systems.dwh]
kind = "pg_cron"
host = "127.0.0.1"
port = {port}
dbname = "ops"
user = "headway_act"
password = {{ env = "HEADWAY_PG_HEADWAY_ACT" }}
poll_every = "5s"

[jobs."dwh/*"]
rerun = "safe"
"""


def test_an_entry_that_does_not_start_at_its_minute_is_unknown_and_gone_it_may_be_requested_again(
    postgres: PostgresServer, jobs: dict[str, int], tmp_path: Path
) -> None:
    """It stayed "it starts at the next full minute" for ten minutes, and whatever waited behind it with it."""
    config = tmp_path / "headway.toml"
    config.write_text(ESTATE.format(folder=tmp_path, port=postgres.port))
    headway = Headway(config, HEADWAY_PG_HEADWAY_ACT=PASSWORDS["headway_act"])

    def action() -> dict[str, Any]:
        return next(iter(headway.listed("action")), {})

    with headway.running_engine():
        wait_until(lambda: headway.listed("job", "dwh/acts-plain"), "the job", pause=0.5)
        sent = headway.run("job", "start", "dwh/acts-plain", "--yes", "--timeout", "0")
        wait_until(lambda: action().get("state") == "sent", f"the start: {sent}", pause=0.5)
        key, name = action()["key"], f"headway:rerun:{jobs['plain']}:%"
        postgres.execute("UPDATE cron.job SET schedule = %s WHERE jobname LIKE %s", RARELY, name)
        wait_until(lambda: action()["state"] != "sent", "the doubt", pause=1.0)
        [(number,)] = postgres.execute("SELECT jobid FROM cron.job WHERE jobname LIKE %s", name)
        waits = f"entry {number} waits for its minute ({RARELY}), unless SELECT cron.unschedule({number}) removes it"
        shown = action()
        assert ("unknown", True) == (shown["state"], f"Z: {waits}. Fix: check" in shown["text"]), shown
        assert f"start of dwh/acts-plain: outcome unknown: headway action {key}" in headway.run("status").stdout
        postgres.execute("SELECT cron.unschedule(%s::bigint)", number)
        wait_until(lambda: action()["state"] == "failed", "its end", pause=1.0)
    assert never_started("").text == action()["text"]


def test_a_locked_job_costs_the_deadline_and_the_lookup_finds_the_outcome(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    preview, key = act.preview(hold_ask("acts-plain"), 10), new_key()
    with psycopg.connect(postgres.dsn()) as other:
        other.execute("SELECT FROM cron.job WHERE jobid = %s FOR UPDATE", [jobs["plain"]])
        with pytest.raises((OutcomeUnknown, SystemUnreachable)):
            act.act(preview, key, 1.0)
        wait_until(lambda: not isinstance(act.look_up(preview, key, 10), ActionUnknown), "the session's end")
    assert isinstance(act.look_up(preview, key, 10), ActionAbsent)
    assert ("select 1", True) == entry(postgres, jobs["plain"])


def test_a_start_that_still_connects_is_not_absent_and_arrives(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is at the server, no session either: another engine must not call it absent."""
    connecting, go, opened = threading.Event(), threading.Event(), sql._open

    def slow(parameters: Mapping[str, str]) -> sql.Connection:
        if parameters["application_name"].startswith("headway act"):
            connecting.set()
            assert go.wait(HANGS_SECONDS)
        return opened(parameters)

    preview, key = (
        act.preview(ActionSpec(Verb.START, RunRef("acts-plain", "x", "", ""), RunState.PLANNED), 10),
        new_key(),
    )
    preview = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    monkeypatch.setattr(sql, "_open", slow)
    sender = threading.Thread(target=act.act, args=(preview, key, 30))
    sender.start()
    assert connecting.wait(HANGS_SECONDS)
    other = connect(postgres, "headway_act", variable="HEADWAY_PG_HEADWAY_ACT")
    try:
        assert isinstance(other.look_up(preview, key, 10), ActionUnknown)
        go.set()
        sender.join(HANGS_SECONDS)
        assert isinstance(other.look_up(preview, key, 10), ActionFound)
    finally:
        go.set()
        sender.join(HANGS_SECONDS)
        other.close()
        name = f"headway:rerun:{jobs['plain']}:{key}"
        postgres.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %s", name)


def test_cancel_refuses_a_process_that_is_not_the_runs_own(act: Connector, postgres: PostgresServer) -> None:
    """A row that names somebody else's process, as an old one does whose number is used again, or a forged one."""
    with psycopg.connect(postgres.dsn(role="etl"), autocommit=True) as other:
        pid = other.info.backend_pid
        rows = postgres.execute(
            "INSERT INTO cron.job_run_details (jobid, runid, job_pid, database, username, command, status, start_time)"
            " SELECT 1, nextval('cron.runid_seq'), %s, 'ops', 'etl', 'select 1', 'running', clock_timestamp()"
            " RETURNING runid",
            pid,
        )
        forged = Preview("cancel", "", "", plan={"how": "cancel", "runid": rows[0][0]})
        try:
            with pytest.raises(NotSupported, match="nothing was cancelled"):
                act.act(forged, new_key(), 10)
            other.execute("SET application_name = 'pg_cron'")
            postgres.execute("UPDATE cron.job_run_details SET start_time = '2026-01-01' WHERE runid = %s", rows[0][0])
            with pytest.raises(NotSupported, match="nothing was cancelled"):
                act.act(forged, new_key(), 10)
        finally:
            postgres.execute("DELETE FROM cron.job_run_details WHERE runid = %s", rows[0][0])


def test_view_may_neither_hold_nor_cancel(
    act: Connector, postgres: PostgresServer, jobs: dict[str, int], sleeper: str
) -> None:
    view = connect(postgres, "headway_view", variable="HEADWAY_PG_HEADWAY_VIEW")
    run = running(view, sleeper)
    for ask in (hold_ask("acts-plain"), ActionSpec(Verb.CANCEL, ref(run), run.state)):
        preview = view.preview(ask, 10)
        assert preview.refused is not None
        assert "headway connector grants pg_cron --login headway_view" in preview.refused
        with pytest.raises(AccessRefused, match="permission denied"):  # the database refuses by itself too
            view.act(act.preview(ask, 10), new_key(), 10)
    missing = [right for right in view.probe(10).rights if right.held is False]
    names = ["rerun or start a job", "hold and release a job", "take a mark alone from a job", "cancel a run"]
    assert names == [right.name for right in missing]
    view.close()
    assert ("select 1", True) == entry(postgres, jobs["plain"])


def test_a_server_with_functions_of_an_older_version_names_the_fix(
    postgres: PostgresServer, jobs: dict[str, int]
) -> None:
    options = CONNECTOR.options(host="127.0.0.1", port=postgres.port, dbname="ops", user="lab", act_schema="nowhere")
    connector = CONNECTOR.open(options, "x", SecretStore())
    refused = connector.preview(hold_ask("acts-plain"), 10).refused
    connector.close()
    assert refused is not None
    assert "headway connector grants pg_cron --login lab | psql ops" in refused


def test_hidden_jobs_leave_holds_unknown(postgres: PostgresServer) -> None:
    connector = connect(postgres, "headway_blind", variable="HEADWAY_PG_HEADWAY_BLIND")
    with pytest.raises(AccessRefused):
        connector.holds(10)
    connector.close()


@pytest.mark.parametrize(
    "by, until", [("a b", "2026-11-20T06:30:00Z"), ("x*/", "2026-11-20T06:30:00Z"), ("bob", "soon")]
)
def test_a_mark_that_cannot_be_written_is_refused(act: Connector, by: str, until: str) -> None:
    ask = ActionSpec(Verb.HOLD, RunRef("acts-plain", "", "", ""), RunState.PLANNED, {"by": by, "until": until})
    refused = act.preview(ask, 10).refused
    assert refused is not None
    assert f'by "{by}" until "{until}"' in refused


def test_the_server_functions_themselves_refuse_an_invalid_mark(postgres: PostgresServer, jobs: dict[str, int]) -> None:
    """Whoever has EXECUTE may call it without Headway: nothing of the caller's gets into a command."""
    for values in ((new_key(), "*/ drop table t; /*", "2026-11-20T06:30:00Z"), ("x", "bob", "2026-11-20T06:30:00Z")):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            postgres.execute(
                "SELECT headway.hold(%s, %s, %s, %s, %s, '')", jobs["plain"], *values, RARELY, role="headway_act"
            )
    assert ("select 1", True) == entry(postgres, jobs["plain"])
