"""The whole kind on a host whose systemctl, journalctl and systemd-cat are fakes: no systemd can run here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunEvidence, RunState, Verb
from connectors.systemd.connector import CONNECTOR, SystemdConnector
from tests.fakes.login import keys_in, login_folder, no_secret
from tests.fakes.spoiled import Spoil, an_hour_off, each_twice, half, on_line
from tests.fakes.systemd import SystemdHost, service, timer
from tests.fakes.unsent import CROWDS, ELSEWHERE_OVER_SSH, UNSENT_IN_A_LOG

FAILED = b"broken.service: failure"
SPOILS: dict[str, Spoil] = {
    TRUNCATED: half,
    NOT_UTF8: on_line(FAILED, lambda line: line.replace(FAILED, b"\xff\xfe")),
    NOT_A_NUMBER: on_line(b'"EXIT_STATUS"', lambda line: line.replace(b'"3"', b"NaN")),
    GARBLED: on_line(FAILED, lambda line: line[:40]),
    TWICE: each_twice(rb'\{"__CURSOR"'),
    HOUR_OFF: an_hour_off,
    LONG_LINE: on_line(FAILED, lambda line: line.replace(FAILED, b"x" * LONG_BYTES)),
}


@pytest.fixture(scope="class")
def host(request: pytest.FixtureRequest) -> Iterator[None]:
    with login_folder("systemd") as folder:
        request.cls.host, request.cls.folder = SystemdHost(folder / "db07"), folder
        request.cls.host.ran("backup", 4000)
        request.cls.host.ran("broken", 3000)
        yield


@pytest.mark.usefixtures("host")
class TestSystemdConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = CONNECTOR
    against = "fake: systemctl and journalctl as systemd 252 documents them"
    host: SystemdHost
    folder: Path
    limits: ClassVar[Mapping[str, str]] = {
        "due": "no systemd runs here, so no timer elapses",
        "unknown_word": "a result that is not in the table is a failure all the same",
    }

    elsewhere: ClassVar[Mapping[str, str]] = {**ELSEWHERE_OVER_SSH, "crowded": CROWDS}
    unplayed = UNSENT_IN_A_LOG

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            world = self.host.world
            world.units["gone.timer"], world.units["gone.service"] = timer("gone", "daily"), service("gone", "well")
            world.save()
            self.host.ran("gone")
            world = self.host.world
            del world.units["gone.timer"], world.units["gone.service"]
            world.save()
            return self.connector()
        connector = self.connector()
        self.host.spoil = SPOILS[how]
        return connector

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        """On a host of its own: each later look would read these 50 MB."""
        host = SystemdHost(self.folder / "long")
        key = host.ran("broken", 3000)
        for _ in range(5):
            host.world.write(time.time(), MESSAGE="x" * (size // 5), _SYSTEMD_INVOCATION_ID=key)
        connector = SystemdConnector(host.options(sudo=False), "db07", no_secret, host)
        return connector, next(run for run in connector.poll("", (), 20).runs if run.attempt_key == key)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """The journal is read in the order of arrival: the host's clock was set back."""
        return self.connector(), lambda: self.host.ran("broken", 5000)

    def with_a_right_revoked(self) -> Connector:
        connector = self.connector()
        (self.host.shims / "id").write_text("#!/bin/sh\ncase $1 in -un) echo headway ;; *) echo 1000 ;; esac\n")
        (self.host.shims / "id").chmod(0o755)
        return connector

    def connector(self) -> Connector:
        self.host.spoil = bytes
        (self.host.shims / "id").unlink(missing_ok=True)
        return SystemdConnector(self.host.options(sudo=False), "db07", no_secret, self.host)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "db07", "address": host, "port": port}
        return SystemdConnector(self.host.options(hosts=[entry], **keys_in(self.folder)), "db07", no_secret)

    def make_success(self) -> str:
        return "db07:backup.service"

    def make_failure(self) -> str:
        return "db07:broken.service"

    def a_running_run(self) -> RunRecord:
        world = self.host.world
        if world.units["long.service"]["ActiveState"] != "activating":
            self.host.ran("long")
        with self.opened() as connector:
            return next(run for run in connector.poll("", (), 20).runs if run.state is RunState.RUNNING)

    def native_trace(self) -> object:
        return (self.host.folder / "units.json").read_text(), (self.host.folder / "journal.jsonl").read_text()


@pytest.fixture
def db07(tmp_path: Path) -> SystemdHost:
    return SystemdHost(tmp_path)


def connect(host: SystemdHost, **changes: Any) -> SystemdConnector:
    return SystemdConnector(host.options(**changes), "db07", no_secret, host)


def polled(host: SystemdHost, cursor: str = "") -> Poll:
    return connect(host).poll(cursor, (), 20)


def states(poll: Poll) -> dict[str, RunState]:
    return {run.job.removeprefix("db07:"): run.state for run in poll.runs}


def changed(host: SystemdHost, unit: str, **values: Any) -> None:
    world = host.world
    world.units[unit].update(values)
    world.save()


def test_a_poll_is_one_round_trip_and_a_quiet_one_reports_nothing(db07: SystemdHost) -> None:
    db07.ran("backup")
    first = polled(db07)
    assert (1, {"backup.service": RunState.SUCCEEDED}) == (db07.calls, states(first))
    again = polled(db07, first.cursor)
    assert ((), None) == (again.runs, again.inventory)
    assert again.seen_until is not None


def test_a_timer_is_the_schedule_of_its_service(db07: SystemdHost) -> None:
    jobs = {job.native_id: job for job in connect(db07).inventory("", 20).jobs}
    backup, long = jobs["db07:backup.service"], jobs["db07:long.service"]
    assert ("systemd", "*-*-* 03:10:00") == (backup.schedule.dialect, backup.schedule.expression)
    assert ("/opt/etl/backup --night", "etl", False) == (backup.definition, backup.run_as, backup.paused)
    assert ("none", "OnUnitActiveUSec=1h") == (long.schedule.dialect, long.schedule.text)


@pytest.mark.parametrize(
    "delays, minutes",
    [
        ({}, 0),
        ({"RandomizedDelayUSec": "6h", "AccuracyUSec": "1min"}, 361),
        ({"RandomizedDelayUSec": "1h 30min", "RandomizedOffsetUSec": "2d", "AccuracyUSec": "1us"}, 2970),
        ({"RandomizedDelayUSec": "0", "AccuracyUSec": "30s"}, 0.5),
        ({"RandomizedDelayUSec": "infinity", "AccuracyUSec": "[not set]"}, 0),
        ({"RandomizedDelayUSec": "99999999999y"}, 7 * 1440),
    ],
)
def test_the_random_delay_and_the_accuracy_of_a_timer_are_the_window_of_its_starts(
    db07: SystemdHost, delays: dict[str, str], minutes: float
) -> None:
    """The host's next elapse has the random delay in it; the instant of a run does not."""
    changed(db07, "backup.timer", **delays)
    (backup,) = (job for job in connect(db07).inventory("", 20).jobs if job.native_id == "db07:backup.service")
    assert abs(timedelta(minutes=minutes) - backup.schedule.window) <= timedelta(microseconds=1)
    assert backup.schedule.next_at is None


def test_a_service_with_two_timers_has_the_longer_window(db07: SystemdHost) -> None:
    world = db07.world
    world.units["again.timer"] = timer("again", "*-*-* 12:00:00", Unit="backup.service", RandomizedDelayUSec="20min")
    world.save()
    changed(db07, "backup.timer", RandomizedDelayUSec="10min")
    (backup,) = (job for job in connect(db07).inventory("", 20).jobs if job.native_id == "db07:backup.service")
    assert timedelta(minutes=20) == backup.schedule.window


def test_a_failure_for_an_unknown_reason_is_a_failure_and_a_warning(db07: SystemdHost) -> None:
    world = db07.world
    world.units["odd.timer"], world.units["odd.service"] = timer("odd", "daily"), service("odd", "eaten-by-a-dog")
    world.save()
    db07.ran("odd")
    poll = polled(db07)
    assert RunState.FAILED is states(poll)["odd.service"]
    assert ['unknown result "eaten-by-a-dog" of a service: shown as FAILED'] == [
        warning for warning in poll.warnings if "eaten" in warning
    ]


def test_a_timer_that_is_stopped_is_paused(db07: SystemdHost) -> None:
    changed(db07, "backup.timer", ActiveState="inactive")
    assert {"db07:backup.service"} == {job.native_id for job in connect(db07).inventory("", 20).jobs if job.paused}


def test_timers_of_the_operating_system_are_left_out_and_others_by_pattern(db07: SystemdHost) -> None:
    world = db07.world
    world.units["apt-daily.timer"], world.units["apt-daily.service"] = timer("apt-daily", "daily"), service("a", "well")
    world.save()
    assert 3 == len(connect(db07).inventory("", 20).jobs)
    assert ["db07:backup.service"] == [
        job.native_id for job in connect(db07, timers=["b*"], ignore=["broken"]).inventory("", 20).jobs
    ]


def test_a_run_that_was_stopped_is_no_success_though_systemd_calls_it_one(db07: SystemdHost) -> None:
    db07.ran("long")
    running = polled(db07)
    db07.world.stop("long.service", time.time())
    ended = polled(db07, running.cursor)
    assert ({"long.service": RunState.RUNNING}, {"long.service": RunState.CANCELLED}) == (
        states(running),
        states(ended),
    )


def test_a_cursor_of_another_format_is_read_as_none(db07: SystemdHost) -> None:
    """Its open invocations have other fields: their ends are found by reading the history again."""
    db07.ran("long")
    value = json.loads(polled(db07).cursor)
    [run] = value["runs"]
    run["service"] = run.pop("unit")
    db07.world.stop("long.service", time.time())
    assert {"long.service": RunState.CANCELLED} == states(polled(db07, json.dumps(value)))


def test_a_main_process_that_was_killed_by_hand_is_no_success(db07: SystemdHost) -> None:
    """The journal has only "success": SIGTERM counts as a clean end there."""
    db07.ran("backup")
    changed(db07, "backup.service", ExecMainCode="2", ExecMainStatus="15")
    [run] = polled(db07).runs
    assert (RunState.CANCELLED, "its main process was ended by signal 15") == (run.state, run.message)


def test_an_end_lost_by_the_journal_is_reported_by_the_manager(db07: SystemdHost) -> None:
    db07.ran("long")
    first = polled(db07)
    ended = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainCode": "1"}
    changed(db07, "long.service", **ended, ExecMainStatus="4", ExecMainExitTimestamp="@4000000000")
    [run] = polled(db07, first.cursor).runs
    assert (RunState.FAILED, 4) == (run.state, run.exit_code)


def test_an_end_that_is_unknown_everywhere_is_unknown(db07: SystemdHost) -> None:
    db07.ran("long")
    first = polled(db07)
    changed(db07, "long.service", InvocationID="f" * 32, ActiveState="inactive", SubState="dead")
    [run] = polled(db07, first.cursor).runs
    assert (RunState.UNKNOWN, RunEvidence.INFERRED) == (run.state, run.evidence)


def test_a_run_that_a_restart_of_the_host_cut_is_lost(db07: SystemdHost) -> None:
    db07.ran("long")
    value = json.loads(polled(db07).cursor)
    value["runs"][0]["boot"] = "of-before"
    [run] = polled(db07, json.dumps(value)).runs
    assert (RunState.LOST, RunEvidence.INFERRED) == (run.state, run.evidence)


def test_a_start_of_ours_is_known_by_its_mark(db07: SystemdHost) -> None:
    db07.ran("broken")
    connector = connect(db07, sudo=False)
    first = connector.poll("", (), 20)
    ask = TestSystemdConformance().ask(first.runs[-1])
    preview, key = connector.preview(ask, 20), new_key()
    connector.act(preview, key, 20)
    connector.act(preview, key, 20)
    again = connector.poll(first.cursor, (), 20)
    assert [(RunState.FAILED, key)] == [(run.state, run.action_key) for run in again.runs if run.action_key]
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_what_no_start_answered_is_no_mark_of_a_later_run(db07: SystemdHost) -> None:
    world = db07.world
    world.write(time.time() - 900, SYSLOG_IDENTIFIER="headway-act", MESSAGE=f"{new_key()} start backup.service")
    db07.ran("backup")
    assert [None] == [run.action_key for run in polled(db07).runs]


@pytest.mark.parametrize(
    "line, text",
    [
        (b"{torn", "an entry that cannot be read: Expecting property name enclosed in double quotes: line 1 column 2"),
        (b'{"__CURSOR": 7}', "an entry that cannot be read: '__REALTIME_TIMESTAMP'"),
        (b'{"__CURSOR": "x", "__REALTIME_TIMESTAMP": "NaN"}', "an entry that cannot be read: no instant"),
        (b"\xff\xfe", "\udcff\udcfe"),
        (b"{}", "an entry that cannot be read: '__CURSOR'"),
    ],
)
def test_an_unreadable_line_is_skipped_and_the_rest_is_kept(db07: SystemdHost, line: bytes, text: str) -> None:
    with (db07.folder / "journal.jsonl").open("ab") as file:
        file.write(line + b"\n")
    db07.ran("backup")
    poll = polled(db07)
    assert {"backup.service": RunState.SUCCEEDED} == states(poll)
    [reported] = [*(skipped.reason for skipped in poll.skipped), *poll.warnings]
    assert text == reported.partition(" (char")[0]


def test_a_page_that_is_cut_goes_on_where_it_was_cut(db07: SystemdHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.systemd.client.PAGE_BYTES", 3000)
    for number in range(8):
        db07.ran("backup", 4000 - 100 * number)
    cursor, polls = "", 0
    seen: list[RunRecord] = []
    while True:
        poll = polled(db07, cursor)
        polls, seen, cursor = polls + 1, [*seen, *poll.runs], poll.cursor
        if not poll.more:
            break
        assert poll.seen_until is None
    assert (8, True) == (len({run.attempt_key for run in seen if run.state is RunState.SUCCEEDED}), polls > 2)


def test_a_journal_that_hides_entries_is_refused_with_its_fix(db07: SystemdHost) -> None:
    hint = "Hint: You are currently not seeing messages from other users and the system."
    (db07.shims / "journalctl").write_text(f"#!/bin/sh\necho '{hint}' >&2\n")
    with pytest.raises(AccessRefused, match="systemd-journal"):
        polled(db07)
    rights = {right.name: right.held for right in connect(db07).probe(20).rights}
    assert rights["read the journal"] is False


def test_a_host_without_systemd_is_reported(db07: SystemdHost) -> None:
    text = "System has not been booted with systemd as init system (PID 1). Can't operate."
    (db07.shims / "systemctl").write_text(f'#!/bin/sh\necho "{text}" >&2\nexit 1\n')
    with pytest.raises(NotSupported, match="systemd does not run there"):
        polled(db07)


def test_a_truncated_answer_is_requested_again(db07: SystemdHost) -> None:
    (db07.shims / "systemctl").write_text("#!/bin/sh\nkill -9 $PPID\n")
    with pytest.raises(SystemUnreachable, match="cut short"):
        polled(db07)


def test_the_log_is_what_the_invocation_wrote(db07: SystemdHost) -> None:
    db07.ran("backup")
    [run] = polled(db07).runs
    reference = TestSystemdConformance().ask(run).run
    assert "backup.service works\n" == connect(db07).log(reference, None, 1000, 20).text


def attempts(poll: Poll) -> list[tuple[str, str, RunState]]:
    return [(run.attempt_key, run.again_of, run.state) for run in poll.runs]


@pytest.mark.parametrize("is_polled_between", [True, False])
def test_tries_of_a_service_that_systemd_restarts_are_one_run(db07: SystemdHost, is_polled_between: bool) -> None:
    first, now = db07.ran("broken", 2000), time.time()
    db07.world.waits_to_restart("broken.service")
    waiting = polled(db07)
    assert [(first, "", RunState.RETRYING)] == attempts(waiting)
    assert (None, "time") == (waiting.runs[0].ended_at, waiting.runs[0].reason)
    second = db07.world.restart("broken.service", now - 900, "exit 3")
    db07.world.waits_to_restart("broken.service")
    cursor = waiting.cursor
    if is_polled_between:
        again = polled(db07, cursor)
        assert [(first, "", RunState.FAILED), (second, first, RunState.RETRYING)] == attempts(again)
        cursor = again.cursor
    third = db07.world.restart("broken.service", now - 60, "well")
    earlier = [] if is_polled_between else [(first, "", RunState.FAILED)]
    tries = [(second, first, RunState.FAILED), (third, first, RunState.SUCCEEDED)]
    assert [*earlier, *tries] == attempts(polled(db07, cursor))


def test_a_service_that_is_not_restarted_after_all_has_failed(db07: SystemdHost) -> None:
    """`systemctl stop` ends the wait."""
    first = db07.ran("broken")
    db07.world.waits_to_restart("broken.service")
    waiting = polled(db07)
    changed(db07, "broken.service", ActiveState="inactive", SubState="dead")
    assert [(first, "", RunState.FAILED)] == attempts(polled(db07, waiting.cursor))


def test_a_restart_that_the_start_limit_refuses_is_the_last_try(db07: SystemdHost) -> None:
    first = db07.ran("broken", 2000)
    world = db07.world
    world.life("restarting", "broken.service", time.time() - 60)
    world.refuse("broken.service", time.time() - 60, "start-limit-hit")
    before, refused = polled(db07).runs
    assert (first, RunState.FAILED) == (before.attempt_key, before.state)
    assert (first, RunState.FAILED, "start-limit-hit") == (refused.again_of, refused.state, refused.native_state)


def test_a_success_that_systemd_starts_again_is_a_run_of_its_own(db07: SystemdHost) -> None:
    """`Restart=always`."""
    db07.ran("backup", 2000)
    db07.world.restart("backup.service", time.time() - 60, "well")
    assert ["", ""] == [run.again_of for run in polled(db07).runs]


def test_a_run_of_before_the_history_that_may_be_a_success_is_no_first_try(db07: SystemdHost) -> None:
    """`Restart=always`."""
    db07.ran("backup", 15 * 86_400)
    again = db07.world.restart("backup.service", time.time() - 60, "well")
    assert [(again, "", RunState.SUCCEEDED)] == attempts(polled(db07))


def test_an_answer_of_an_unknown_kind_is_an_unknown_outcome(db07: SystemdHost) -> None:
    connector = connect(db07)
    job = RunRef("db07:backup.service", "", "", "")
    preview = connector.preview(ActionSpec(Verb.START, job, RunState.PLANNED), 20)
    db07.spoil = lambda data: data.replace(b" DONE", b" HALF")
    with pytest.raises(OutcomeUnknown, match="unknown answer HALF"):
        connector.act(preview, new_key(), 20)
