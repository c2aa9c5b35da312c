"""The kind with an endpoint of its own, which real requests reach."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from connectors.heartbeat.connector import CONNECTOR, HeartbeatConnector
from connectors.heartbeat.listener import PingListener
from connectors.heartbeat.parse import PingArrival, PingRequest
from connectors.heartbeat.spool import ChangedRun, Spool, current_time
from connectors.sdk.conformance import Faults, Logs, Reads
from connectors.sdk.conformance.faults import ANY_STATUS, BUSY, BUSY_7, SHUFFLED
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import RunRecord
from tests.connectors.heartbeat.support import open_at, options_of, ping, secret


@pytest.fixture(scope="class")
def ping_endpoint(request: pytest.FixtureRequest) -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="headway-door-"))
    with open_at(folder) as opened:
        request.cls.ping_endpoint, request.cls.folder = opened, folder
        yield
    shutil.rmtree(folder)


@pytest.mark.usefixtures("ping_endpoint")
class TestHeartbeat(Reads, Logs, Faults):
    kind = CONNECTOR
    against = "real: Headway's own endpoint, over HTTP"
    elsewhere: ClassVar[Mapping[str, str]] = {"answering": "tests/connectors/heartbeat/test_hostile_requests.py"}
    unplayed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (BUSY, BUSY_7, ANY_STATUS, SHUFFLED),
        "the kind sends no requests; test_endpoint covers its own replies",
    )
    limits: ClassVar = {
        "network": "the kind sends no requests: its jobs call Headway",
        "unknown_word": "the kind defines its own states; the endpoint refuses others",
    }
    ping_endpoint: PingListener
    folder: Path

    def connector(self) -> Connector:
        return HeartbeatConnector(self.ping_endpoint.options, secret)

    def test_a_cursor_of_another_layout_is_reported(self) -> None:
        with self.opened() as connector:
            warnings = connector.poll('{"former": 1}', (), 20).warnings
            assert any(CURSOR_UNREADABLE in warning for warning in warnings)
            assert not any("cursor" in warning for warning in connector.poll("", (), 20).warnings)

    def make_success(self) -> str:
        ping(self.ping_endpoint, "/start?rid=good", job="mart")
        assert ping(self.ping_endpoint, "?rid=good&rows=12", job="mart").endswith("200 ")
        return "mart"

    def make_failure(self) -> str:
        ping(self.ping_endpoint, "/start?rid=bad")
        assert ping(self.ping_endpoint, "/3?rid=bad", "line one\nno space left on device ÄÖÜ\n".encode()).endswith(
            "200 "
        )
        return "export"

    def with_a_right_revoked(self) -> Connector:
        jobs = {"export": {"token": {"env": "gone"}}}
        return HeartbeatConnector(options_of(self.folder, jobs=jobs), secret)

    def crowded(self, runs: int) -> Connector:
        options = options_of(self.folder, spool=self.folder / "crowd.db")
        spool, at = Spool(options.spool_file), current_time()
        spool.mark_listening(at)
        spool.take([(PingRequest("export", "success", rid="first"), b"", 0)], at)
        many = f"WITH RECURSIVE many(n) AS (VALUES (9) UNION ALL SELECT n + 1 FROM many LIMIT {runs})"
        copied = "n, job, 'r' || n, wall, boot, up, started, ended, word, exit_code, rows, size, log, left_out, n"
        spool._db.execute(f"{many} INSERT INTO run SELECT {copied} FROM run, many WHERE rid = 'first'")
        spool.close()
        return HeartbeatConnector(options, secret, lambda: at)  # on a busy machine its endpoint would seem closed

    def with_a_run_behind(self) -> tuple[Connector, object]:  # type: ignore[override]
        connector = self.connector()

        def put() -> str:
            ping(self.ping_endpoint, "/fail?rid=behind")
            return "behind"

        return connector, put

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        ping(self.ping_endpoint, "/fail?rid=long", b"x" * (size // 5))
        return self.connector(), self.latest("export")


def test_a_start_without_an_end_is_lost_by_the_time_that_passed(tmp_path: Path) -> None:
    options = options_of(tmp_path)
    spool, began = Spool(options.spool_file), current_time()
    spool.mark_listening(began)
    spool.take([(PingRequest("export", "start"), b"", 0)], began)
    later = type(began)(began.wall, began.boot, began.up + 7201)
    spool.mark_listening(later)
    first = HeartbeatConnector(options, secret, lambda: began).poll("", (), 5)
    connector = HeartbeatConnector(options, secret, lambda: later)
    [lost] = connector.poll(first.cursor, [ref(first.runs[0])], 5).runs
    assert ("running", "lost", "inferred") == (first.runs[0].state, lost.state, lost.evidence)
    assert "no end was reported within 2:00:00" in lost.message
    assert lost.started_at is not None
    assert lost.ended_at == lost.started_at + timedelta(hours=2)
    spool.take([(PingRequest("export", "success"), b"", 0)], later)
    assert ["succeeded"] == [run.state for run in connector.poll(first.cursor, (), 5).runs]


def test_while_the_endpoint_was_closed_nothing_is_missed(tmp_path: Path) -> None:
    options = options_of(tmp_path)
    spool, at = Spool(options.spool_file), current_time()
    spool.mark_listening(type(at)(at.wall - 7200, at.boot, at.up - 7200))
    connector = HeartbeatConnector(options, secret)
    with pytest.raises(SystemUnreachable, match="wrote nothing into it since"):
        connector.poll("", (), 5)
    spool.mark_listening(at)
    first = connector.poll("", (), 5)
    [gap] = first.gaps
    assert gap.since is not None
    assert (7200, "the listener was down") == (round(at.wall - gap.since.timestamp()), gap.reason)
    assert first.seen_until is not None
    assert () == connector.poll(first.cursor, (), 5).gaps


def test_a_lost_spool_is_reported_and_read_from_its_start(tmp_path: Path) -> None:
    with open_at(tmp_path) as listener:
        ping(listener, "?rid=1")
        cursor = HeartbeatConnector(listener.options, secret).poll("", (), 5).cursor
    listener.options.spool_file.unlink()
    with open_at(tmp_path) as listener:
        ping(listener, "?rid=2")
        poll = HeartbeatConnector(listener.options, secret).poll(cursor, (), 5)
    assert (["2"], True) == ([run.attempt_key for run in poll.runs], "spool was replaced" in poll.warnings[0])


def test_a_run_whose_spool_was_lost_is_lost_and_has_no_other_runs_log(tmp_path: Path) -> None:
    with open_at(tmp_path) as listener:
        ping(listener, "/start?rid=1")
        [run] = HeartbeatConnector(listener.options, secret).poll("", (), 5).runs
    listener.options.spool_file.unlink()
    with open_at(tmp_path) as listener:
        ping(listener, "/fail?rid=2", b"of another run")
        connector = HeartbeatConnector(listener.options, secret)
        runs = {run_record.attempt_key: run_record for run_record in connector.poll("", [ref(run)], 5).runs}
        assert {"1": "lost", "2": "failed"} == {key: run.state for key, run in runs.items()}
        assert (ref(run).period_key, "inferred") == (runs["1"].period_key, runs["1"].evidence)
        with pytest.raises(NotSupported, match="no longer in the spool"):
            connector.log(ref(run), None, 4096, 5)


def test_what_arrives_while_a_poll_reads_is_not_behind_its_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, began = options_of(tmp_path), current_time()
    spool = Spool(options.spool_file)
    spool.mark_listening(began)
    changes = Spool.changes

    def slow(self: Spool, after: int, most: int) -> list[ChangedRun]:
        runs = changes(self, after, most)
        spool.take([(PingRequest("export", "start"), b"", 0)], PingArrival(began.wall + 5, began.boot, began.up + 5))
        spool.mark_listening(PingArrival(began.wall + 9, began.boot, began.up + 9))
        return runs

    monkeypatch.setattr(Spool, "changes", slow)
    later = PingArrival(began.wall + 10, began.boot, began.up + 10)
    poll = HeartbeatConnector(options, secret, lambda: later).poll("", (), 5)
    assert () == poll.runs
    assert poll.seen_until is not None
    assert poll.seen_until.timestamp() < began.wall + 5
