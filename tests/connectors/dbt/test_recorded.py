"""The whole kind on projects of this machine whose dbt is a fake that writes what dbt 1.11 was recorded writing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import paramiko
import pytest

from connectors.dbt.connector import CONNECTOR, DbtConnector
from connectors.sdk.conformance import Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import AccessRefused, OutcomeUnknown
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunState, Verb
from tests.fakes.dbt import DbtHost, Spoiled
from tests.fakes.dbt_tool import NODES, outcomes
from tests.fakes.login import keys_in, login_folder, no_secret
from tests.fakes.ssh_stub import StubServer
from tests.fakes.unsent import CROWDS, ELSEWHERE_OVER_SSH, UNSENT_OVER_SSH
from tests.lab.process import wait_until
from tests.rows import each_row

RECORDED = Path(__file__).parents[2] / "recordings" / "dbt"
ORDERS = "model.shop.orders"


@pytest.fixture(scope="class")
def host(request: pytest.FixtureRequest) -> Iterator[None]:
    with login_folder("dbt") as folder:
        request.cls.host, request.cls.folder = DbtHost(folder / "etl01", "good", "bad", "odd"), folder
        request.cls.host.ran("good", ago=3600)
        yield


@pytest.mark.usefixtures("host")
class TestDbt(Reads, Logs, Deadlines, Reruns, Starts, Faults):
    kind = CONNECTOR
    against = "recorded: artefacts and log of dbt-core 1.11.16, behind a fake with a state"
    elsewhere: ClassVar[Mapping[str, str]] = {**ELSEWHERE_OVER_SSH, "crowded": CROWDS}
    unplayed = UNSENT_OVER_SSH
    host: DbtHost
    folder: Path
    limits: ClassVar[Mapping[str, str]] = {}
    lists_of_records = 2

    def connector(self) -> Connector:
        return self.host.connected()

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "etl01", "address": host, "port": port}
        return DbtConnector(self.host.options(hosts=[entry], **keys_in(self.folder)), "etl01", no_secret)

    def make_success(self) -> str:
        return "etl01:good"

    def make_failure(self) -> str:
        if not (self.host.tools["bad"].folder / "logs").exists():
            self.host.ran("bad", list(NODES), ago=3000)
        return "etl01:bad"

    def a_startable_job(self) -> str:
        return "etl01:good"

    def connector_with_an_unknown_state(self) -> Connector:
        self.spoilt("odd", lambda results: results[0].update(status="eaten"))
        return self.connector()

    def spoilt(self, project: str, spoil: Any) -> None:
        tool, at = self.host.tools[project], time.time() - 2000
        results = outcomes(list(NODES), [ORDERS], at)
        spoil(results)
        invocation = tool.begin("dbt build", at)
        tool.end(invocation, "dbt build", at, results)

    def native_trace(self) -> object:
        acts = self.host.folder / "home" / "acts"
        return sorted(acts.iterdir()) if acts.exists() else []

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """Of two at once, the one that began first may write last."""
        self.host.ran("good", ago=50)
        return self.host.connected(), lambda: self.host.ran("good", ago=150)

    def with_a_right_revoked(self) -> Connector:
        projects = {"good": {"folder": str(self.host.tools["good"].folder), "dbt": "/no/such/dbt"}}
        return self.host.connected(projects=projects)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        """On a host of its own: each later look would read these 50 MB."""
        host = DbtHost(self.folder / "long", "bad")
        invocation = host.ran("bad", list(NODES), ago=100)
        with (host.tools["bad"].folder / "logs/dbt.log").open("a") as file:
            file.write("x" * 99 + "\n")
            file.writelines(["y" * 99 + "\n"] * (size // 100))
        connector = host.connected()
        return connector, next(run for run in connector.poll("", (), 30).runs if run.attempt_key == invocation)

    def answering(self, how: str) -> Connector:
        connector = self.host.connected()
        session = connector._host.session
        assert isinstance(session, Spoiled)
        session.spoil = SPOILED[how]
        return connector


def _changed(change: Any) -> Any:
    """The answer of the host, with the first result of the first project that has any changed."""

    def spoil(stdout: bytes) -> bytes:
        head, json_text, tail = re.split(rb"(?<=JSON\n)(.*)(?=\n\x1e)", stdout, maxsplit=1)
        value = json.loads(json_text)
        change(value)
        return head + json.dumps(value).encode() + tail

    return spoil


def _results(value: Any) -> list[Any]:
    parts = [item["results"]["value"]["results"] for item in value["answer"] if item.get("results")]
    return parts[0] if parts else [{}]


def _hour_off(value: Any) -> None:
    value["now"] += 3600


SPOILED = {
    TRUNCATED: lambda stdout: stdout[: len(stdout) // 2],
    NOT_UTF8: _changed(lambda value: _results(value)[0].update(message="\udcff\udcfe")),
    NOT_A_NUMBER: _changed(lambda value: _results(value)[0].update(adapter_response={"rows_affected": float("nan")})),
    GARBLED: _changed(lambda value: _results(value)[0].clear()),
    TWICE: _changed(lambda value: _results(value).append(dict(_results(value)[0]))),
    SHUFFLED: _changed(lambda value: _results(value).reverse()),
    HOUR_OFF: _changed(_hour_off),
    LONG_LINE: _changed(lambda value: _results(value)[0].update(message="x" * LONG_BYTES)),
    JOB_DELETED: _changed(lambda value: _results(value)[0].update(unique_id="model.good.gone")),
}


@pytest.fixture
def etl01(tmp_path: Path) -> DbtHost:
    return DbtHost(tmp_path / "etl01")


def polled(host: DbtHost, cursor: str = "") -> Poll:
    return host.connected().poll(cursor, (), 20)


def states(poll: Poll) -> dict[str, RunState]:
    return {run.job.removeprefix("etl01:shop").lstrip("/"): run.state for run in poll.runs}


def test_a_recorded_build_is_reported_with_its_nodes_and_edges(etl01: DbtHost) -> None:
    shop = etl01.shop.folder
    (shop / "logs").mkdir()
    for name in ("manifest.json", "run_results.json"):
        source = RECORDED / ("build_failed.run_results.json" if "run" in name else name)
        shutil.copy(source, shop / "target" / name)
    log = Path(shutil.copy(RECORDED / "dbt.log", shop / "logs" / "dbt.log"))
    written = datetime(2026, 11, 21, 12, 29, 18, tzinfo=UTC).timestamp()  # its lines have the time of day alone
    os.utime(log, (written, written))
    connector = etl01.connected()
    jobs = {job.native_id: job for job in connector.inventory("", 20).jobs}
    assert ("etl01:shop/model.lab.orders",) == jobs["etl01:shop/model.lab.daily_total"].upstreams
    assert {"etl01:shop"} == {job.parent for job in jobs.values() if job.parent}
    poll = connector.poll("", (), 20)
    run = poll.runs[0]
    assert ("etl01:shop", RunState.PARTIAL, "1 fail, 2 pass, 3 skipped, 2 success") == (
        run.job,
        run.state,
        run.native_state,
    )
    assert "Got 1 result, configured to fail" in run.message
    assert (10, 3) == (round((run.ended_at - run.started_at).total_seconds()), run.context["rows"])  # type: ignore[operator]
    reported = states(poll)
    assert (RunState.FAILED, RunState.BLOCKED, RunState.SUCCEEDED) == (
        reported["test.lab.not_null_stg_orders_amount.2546645448"],
        reported["model.lab.orders"],
        reported["seed.lab.raw_orders"],
    )


def test_a_run_is_seen_while_it_runs_and_when_it_ended(etl01: DbtHost) -> None:
    at = time.time() - 5
    invocation = etl01.shop.begin("dbt build", at)
    first = polled(etl01)
    assert {"": RunState.RUNNING} == states(first)
    etl01.shop.end(invocation, "dbt build", at, outcomes(list(NODES), [], at))
    second = polled(etl01, first.cursor)
    assert {"": RunState.SUCCEEDED, **dict.fromkeys(NODES, RunState.SUCCEEDED)} == states(second)
    assert {invocation} == {run.attempt_key for run in second.runs}
    assert () == polled(etl01, second.cursor).runs


def test_completed_with_failed_nodes_is_partial_and_only_failures_are_red(etl01: DbtHost) -> None:
    etl01.ran(fails=[ORDERS])
    reported = states(polled(etl01))
    assert (RunState.PARTIAL, RunState.SUCCEEDED, RunState.FAILED, RunState.BLOCKED) == (
        reported[""],
        *(reported[name] for name in NODES),
    )


def test_green_nodes_of_a_command_that_failed_are_no_green_run(etl01: DbtHost) -> None:
    """A hook at its end, or Ctrl-C: the log says failed, and the artefact has what had succeeded until then."""
    etl01.ran()
    log = etl01.shop.folder / "logs/dbt.log"
    log.write_text(log.read_text().replace("succeeded at", "failed at"))
    [run] = [run for run in polled(etl01).runs if run.job == "etl01:shop"]
    assert (RunState.FAILED, "conflict") == (run.state, run.evidence)


def test_a_run_that_was_thought_lost_is_what_its_log_says_of_its_end(etl01: DbtHost) -> None:
    at = time.time() - 300
    own = etl01.shop.begin("dbt build", at)
    os.utime(etl01.shop.folder / "logs/dbt.log", (time.time() - 290, time.time() - 290))
    lost = polled(etl01)
    etl01.shop.end(own, "dbt build", at, [], took=299.0)
    (etl01.shop.folder / "target/run_results.json").unlink()
    assert {"": RunState.LOST} == states(lost)
    assert {"": RunState.SUCCEEDED} == states(polled(etl01, lost.cursor))


def test_runs_between_two_polls_are_reported_without_nodes_and_with_a_notice(etl01: DbtHost) -> None:
    first = polled(etl01)
    lost = etl01.ran(fails=[ORDERS], ago=300)
    stored = etl01.ran(ago=60)
    poll = polled(etl01, first.cursor)
    runs = {run.attempt_key: run for run in poll.runs if run.job == "etl01:shop"}
    assert (RunState.PARTIAL, RunState.SUCCEEDED) == (runs[lost].state, runs[stored].state)
    assert "its nodes are not known: run_results.json is of another run" == runs[lost].message
    assert any("run_results.json was overwritten before it was read (1)" in warning for warning in poll.warnings)
    assert {stored} == {run.attempt_key for run in poll.runs if run.job != "etl01:shop"}


def test_a_half_written_artifact_is_waited_for_and_then_reported(etl01: DbtHost) -> None:
    etl01.ran(fails=[ORDERS])
    file = etl01.shop.folder / "target/run_results.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    first = polled(etl01)
    assert ({"": RunState.PARTIAL}, ()) == (states(first), first.skipped)
    os.utime(file, (time.time() - 600, time.time() - 600))
    again = polled(etl01, first.cursor)
    assert ["shop/run_results.json"] == [skip.where for skip in again.skipped]
    file.write_text(whole)
    assert RunState.FAILED == states(polled(etl01, again.cursor))[ORDERS]


def test_a_retry_is_a_further_attempt_of_the_run_that_failed(etl01: DbtHost) -> None:
    failed = etl01.ran(fails=[ORDERS], ago=300)
    first = polled(etl01)
    tool, at = etl01.shop, time.time() - 60
    retried = tool.begin("dbt retry", at)
    tool.end(retried, "dbt retry", at, outcomes([ORDERS, "model.shop.daily_total"], [], at))
    runs = polled(etl01, first.cursor).runs
    assert {(failed, retried)} == {(run.period_key, run.attempt_key) for run in runs}
    assert {failed} == {run.again_of for run in runs}
    assert {RunState.SUCCEEDED} == {run.state for run in runs}


def test_other_commands_are_no_runs(etl01: DbtHost) -> None:
    for command in ("dbt compile", "dbt docs generate", "dbt parse"):
        etl01.ran(command=command)
    assert {} == states(polled(etl01))


def test_a_run_that_was_killed_is_lost(etl01: DbtHost) -> None:
    etl01.shop.begin("dbt build", time.time() - 300)
    first = polled(etl01)
    assert {"": RunState.RUNNING} == states(first)
    os.utime(etl01.shop.folder / "logs/dbt.log", (time.time() - 290, time.time() - 290))
    [run] = polled(etl01, first.cursor).runs
    assert (RunState.LOST, "inferred") == (run.state, run.evidence)


def test_a_run_whose_log_disappeared_does_not_run_for_ever(etl01: DbtHost) -> None:
    etl01.shop.begin("dbt build", time.time() - 300)
    first = polled(etl01)
    (etl01.shop.folder / "logs/dbt.log").unlink()
    [run] = polled(etl01, first.cursor).runs
    assert (RunState.RUNNING, RunState.LOST) == (first.runs[0].state, run.state)
    assert run.started_at == run.ended_at


def test_a_compile_that_was_killed_is_nothing(etl01: DbtHost) -> None:
    etl01.shop.begin("dbt compile", time.time() - 300)
    os.utime(etl01.shop.folder / "logs/dbt.log", (time.time() - 290, time.time() - 290))
    assert () == polled(etl01).runs


def test_a_log_of_json_lines_is_read_too(etl01: DbtHost) -> None:
    """As dbt 1.11 writes it with --log-format-file json."""
    expected = (
        ("MainReportVersion", "Running with dbt=1.11.16"),
        (
            "MainReportArgs",
            "running dbt with arguments {'quiet': 'False', 'invocation_command': 'dbt --log-format-file json build'}",
        ),
        (
            "MainEncounteredError",
            "Encountered an error:\nCompilation Error\n  Model 'm' depends on a node named 'nowhere'",
        ),
        ("CommandCompleted", "Command `dbt build` failed at 12:59:14.584185 after 3.36 seconds"),
    )
    at, own = "2026-11-19T12:59:1{}.000000Z", "7a272a38-cf05-408f-ad80-fbe12d37607d"
    lines = [
        json.dumps({"data": {}, "info": {"name": name, "msg": msg, "invocation_id": own, "ts": at.format(number)}})
        for number, (name, msg) in enumerate(expected)
    ]
    etl01.shop.log(*lines, "{torn", "7", '{"info": []}')
    [run] = polled(etl01).runs
    assert (own, RunState.FAILED) == (run.attempt_key, run.state)
    assert "Compilation Error Model 'm' depends on a node named 'nowhere'" in run.message
    assert (10, 3) == (run.started_at.second, (run.ended_at - run.started_at).seconds)  # type: ignore[union-attr,operator]


def test_a_start_that_broke_off_in_between_is_neither_found_nor_absent(etl01: DbtHost) -> None:
    connector, key = etl01.connected(), new_key()
    preview = connector.preview(ActionSpec(Verb.START, RunRef("etl01:shop", "", "", ""), RunState.PLANNED), 20)
    (etl01.folder / "home/acts" / key).mkdir(parents=True)
    assert isinstance(connector.look_up(preview, key, 20), ActionUnknown)
    connector.act(preview, key, 20)
    assert not (etl01.shop.folder / "logs").exists()


def test_a_log_that_was_rotated_is_read_to_its_end(etl01: DbtHost) -> None:
    first_id = etl01.shop.begin("dbt build", time.time() - 100)
    first = polled(etl01)
    at = time.time() - 90
    etl01.shop.end(first_id, "dbt build", at, outcomes(list(NODES), [], at))
    logs = etl01.shop.folder / "logs"
    (logs / "dbt.log").rename(logs / "dbt.log.1")
    second_id = etl01.shop.begin("dbt run", time.time() - 50)
    poll = polled(etl01, first.cursor)
    assert (RunState.SUCCEEDED, RunState.RUNNING) == tuple(run.state for run in poll.runs if run.job == "etl01:shop")
    assert ((), {first_id, second_id}) == (poll.gaps, {run.attempt_key for run in poll.runs})
    (logs / "dbt.log").unlink()
    etl01.shop.log("nothing of ours")
    assert ["shop: dbt.log was rotated or truncated"] == [gap.reason for gap in polled(etl01, poll.cursor).gaps]


def test_a_rotated_log_longer_than_one_poll_is_read_completely(etl01: DbtHost) -> None:
    first = polled(etl01)
    etl01.shop.log("before all")
    first = polled(etl01)
    noise = f"12:00:00.000000 [debug] [MainThread]: {'x' * 980}"
    etl01.shop.log(*[noise] * 9000)
    own = etl01.ran()
    logs = etl01.shop.folder / "logs"
    (logs / "dbt.log").rename(logs / "dbt.log.1")
    etl01.shop.log("the new one")
    (etl01.shop.folder / "target/run_results.json").unlink()
    poll = polled(etl01, first.cursor)
    assert (True, None) == (poll.more, poll.seen_until)
    rest = polled(etl01, poll.cursor)
    assert [own] == [run.attempt_key for run in (*poll.runs, *rest.runs)]


def test_history_days_are_the_age_of_the_log(etl01: DbtHost) -> None:
    """The text log has times of day only."""
    evening = datetime(2026, 11, 19, 23, 50, tzinfo=UTC)
    ids = [etl01.shop.begin("dbt build", (evening + timedelta(hours=9 * number)).timestamp()) for number in range(4)]
    written = (evening + timedelta(hours=27, seconds=1)).timestamp()
    os.utime(etl01.shop.folder / "logs/dbt.log", (written, written))
    began = {run.attempt_key: run.started_at for run in polled(etl01).runs}
    assert [evening + timedelta(hours=9 * number) for number in range(4)] == [began[name] for name in ids]


def test_stale_sources_are_a_failure(etl01: DbtHost) -> None:
    at = time.time() - 60
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    metadata = {"invocation_id": "0" * 36, "generated_at": stamp, "invocation_started_at": stamp, "env": {}}
    results = [{"unique_id": "source.shop.raw.orders", "status": "error", "max_loaded_at": stamp}]
    etl01.shop.write("sources.json", {"metadata": metadata, "results": results})
    assert "etl01:shop:freshness" in {job.native_id for job in etl01.connected().inventory("", 20).jobs}
    [run] = polled(etl01).runs
    assert ("etl01:shop:freshness", RunState.FAILED, "source.shop.raw.orders: error") == (
        run.job,
        run.state,
        run.message,
    )


def test_an_older_failed_run_is_retried_with_its_saved_state(etl01: DbtHost) -> None:
    etl01.ran(fails=[ORDERS], ago=300)
    connector = etl01.connected()
    first = connector.poll("", (), 20)
    failed = first.runs[0]
    etl01.ran(ago=60)
    second = connector.poll(first.cursor, (), 20)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(failed), failed.state), 20)
    assert (None, "dbt retry") == (preview.refused, preview.verb)
    [call] = preview.native_calls
    assert re.search(rf"cd .*/shop && .*fakedbt retry --state .*/{failed.attempt_key}$", call), call
    key = new_key()
    for _ in range(2):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    reported_runs: list[RunRecord] = []
    cursor = second.cursor

    def has_succeeded() -> bool:
        nonlocal cursor
        poll = connector.poll(cursor, (), 20)
        cursor = poll.cursor
        reported_runs.extend(poll.runs)
        return any(run.state is RunState.SUCCEEDED for run in reported_runs)

    wait_until(has_succeeded, "the retry's success")
    runs = [run for run in reported_runs if run.job == "etl01:shop"]
    assert {(key, failed.attempt_key)} == {(run.action_key, run.period_key) for run in runs}
    assert {ORDERS, "model.shop.daily_total"} == {run.job.partition("/")[2] for run in reported_runs} - {""}


def test_a_run_without_saved_state_is_not_retried(etl01: DbtHost) -> None:
    etl01.ran(fails=[ORDERS], ago=300)
    connector = etl01.connected(
        projects={"shop": {"folder": str(etl01.shop.folder), "dbt": str(etl01.shop.folder / "bin/fakedbt")}}
    )
    [failed, *_] = connector.poll("", (), 20).runs
    shutil.rmtree(etl01.folder / "home/states")
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(failed), failed.state), 20)
    assert "the state of that run is not kept" in str(preview.refused)
    whole = connector.preview(ActionSpec(Verb.RERUN, ref(failed), failed.state, {"scope": "all"}), 20)
    assert (None, "dbt build") == (whole.refused, whole.verb)


def test_a_node_is_built_alone_or_with_what_follows(etl01: DbtHost) -> None:
    etl01.ran(fails=[ORDERS])
    connector = etl01.connected()
    node = next(run for run in connector.poll("", (), 20).runs if run.job.endswith(ORDERS))
    for scope, expected in (("failed", "build --select orders"), ("downstream", "build --select orders+")):
        preview = connector.preview(ActionSpec(Verb.RERUN, ref(node), node.state, {"scope": scope}), 20)
        assert preview.native_calls[0].endswith(expected)
    hostile = replace(ref(node), job="etl01:shop/model.shop.x; touch /tmp/owned")
    assert connector.preview(ActionSpec(Verb.RERUN, hostile, node.state), 20).refused


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '{"metadata": 7, "results": []}', '{"metadata": {}, "results": {}}', "[" * 100_000, "\x00"],
)
def test_an_artefact_that_is_none_ends_no_poll(etl01: DbtHost, text: str) -> None:
    file = etl01.shop.folder / "target/run_results.json"
    file.write_text(text)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    poll = polled(etl01)
    assert ((), ["shop/run_results.json"]) == (poll.runs, [skip.where for skip in poll.skipped])


def test_a_project_that_is_not_there_deletes_no_job(etl01: DbtHost) -> None:
    connector = etl01.connected(projects={"gone": {"folder": "/no/such/project"}})
    inventory = connector.inventory("", 20)
    assert (False, "no dbt_project.yml in /no/such/project") == (inventory.complete, inventory.skipped[0].reason[:38])


def test_over_ssh_our_program_is_its_input_and_the_command_says_nothing_of_the_config(
    etl01: DbtHost, tmp_path: Path
) -> None:
    def talk(channel: paramiko.Channel, stdin: bytes) -> None:
        done = subprocess.run(server.commands[-1], shell=True, input=stdin, capture_output=True)
        channel.sendall(b"Welcome to etl01!\r\n" + done.stdout)
        channel.send_exit_status(done.returncode)

    etl01.ran(fails=[ORDERS])
    server = StubServer(tmp_path, talk)
    try:
        entry = {"name": "etl01", "address": "127.0.0.1", "port": server.port}
        options = etl01.options(hosts=[entry], key=str(server.key_file), known_hosts=str(server.known_hosts))
        connector = DbtConnector(options, "etl01", no_secret)
        assert RunState.PARTIAL is connector.poll("", (), 20).runs[0].state
        connector.close()
    finally:
        server.close()
    assert {f"sh -c 'exec {sys.executable} -I -S -'"} == {command.decode() for command in server.commands}


def test_a_host_without_python_is_reported_with_the_fix(etl01: DbtHost) -> None:
    connector = etl01.connected(python="/no/such/python3")
    with pytest.raises(AccessRefused, match='no "/no/such/python3" there: set python to the path'):
        connector.poll("", (), 20)


@each_row(
    "written, instead, error",
    [
        (b'"done"', b'"half"', "unknown answer half"),
        (b'{"now"', b'{now"', "not JSON of ours"),
        (b" JSON", b" YAML", "not JSON of ours"),
        (b" END", b" EN", "cut short"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_unknown_outcome(
    etl01: DbtHost, written: bytes, instead: bytes, error: str
) -> None:
    connector = etl01.connected()
    preview = connector.preview(ActionSpec(Verb.START, RunRef("etl01:shop", "", "", ""), RunState.PLANNED), 20)
    session = connector._host.session
    assert isinstance(session, Spoiled)
    session.spoil = lambda stdout: stdout.replace(written, instead)
    with pytest.raises(OutcomeUnknown, match=error):
        connector.act(preview, new_key(), 20)
