"""What reports make of a run, whatever their order, and whatever the wall clock does."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from connectors.heartbeat import spool as spools
from connectors.heartbeat.parse import (
    LOG_BYTES,
    PING_FAIL,
    PING_LOG,
    PING_START,
    PING_SUCCESS,
    HeartbeatRun,
    PingArrival,
    PingRefused,
    PingRequest,
    parse_ping,
    token_digest,
)
from connectors.heartbeat.spool import Spool
from tests.rows import each_row

TOKEN = "0123456789abcdef"
TOKENS = {"export": token_digest(TOKEN), "mart": token_digest("another-0123456789")}


def at(seconds: float, wall: float | None = None, boot: str = "one") -> PingArrival:
    return PingArrival(1_800_000_000 + (seconds if wall is None else wall), boot, 500 + seconds)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool.db")


def runs(spool: Spool) -> list[HeartbeatRun]:
    return [run.run for run in spool.changes(0, 1000)]


def test_reports_of_one_rid_are_one_run_in_whatever_order_they_come(tmp_path: Path) -> None:
    expected = (
        PingRequest("a", PING_START, "r"),
        PingRequest("a", PING_SUCCESS, "r"),
        PingRequest("a", PING_FAIL, "r"),
    )
    for number, order in enumerate(permutations(expected)):
        spool = Spool(tmp_path / f"{number}.db")
        for second, ping in enumerate((*order, *order)):
            spool.take([(ping, b"", 0)], at(second))
        [run] = runs(spool)
        assert (PING_FAIL, False) == (run.kind, run.is_open)
        spool.close()


def test_a_read_only_command_removes_no_report(tmp_path: Path) -> None:
    """Endpoint and poll have the file open in one process; `headway check` opens and closes it in another."""
    file = tmp_path / "spool.db"
    endpoint, poll = Spool(file), Spool(file)
    endpoint.take([(PingRequest("a", PING_SUCCESS, "first"), b"", 0)], at(5))
    script = (
        "import sys, pathlib; from connectors.heartbeat.spool import Spool; Spool(pathlib.Path(sys.argv[1])).close()"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    endpoint.take([(PingRequest("a", PING_SUCCESS, "second"), b"", 0)], at(6))
    assert file.with_name("spool.db-wal").exists()
    assert ["first", "second"] == sorted(run.rid for run in runs(poll))
    assert ["first", "second"] == sorted(run.rid for run in runs(Spool(file)))


def test_one_rid_for_every_night_is_a_run_for_every_night(spool: Spool) -> None:
    day = 86_400
    for night in range(3):
        for second, term in ((0, PING_START), (600, PING_FAIL if night == 1 else PING_SUCCESS), (601, PING_LOG)):
            spool.take([(PingRequest("a", term, "nightly"), b"", 0)], at(night * day + second))
    assert [(PING_SUCCESS, 0), (PING_FAIL, day), (PING_SUCCESS, 2 * day)] == [
        (run.kind, (run.started or 0) - 1_800_000_000) for run in runs(spool)
    ]
    assert 3 == len({run.rid for run in runs(spool)}), "each has a key of its own"


def test_one_rid_of_a_job_that_reports_only_ends_is_a_run_for_every_end(spool: Spool) -> None:
    for second in (0, 3600, 7200):
        spool.take([(PingRequest("a", PING_SUCCESS, "hourly"), b"", 0)], at(second))
    assert [0, 3600, 7200] == [(run.ended or 0) - 1_800_000_000 for run in runs(spool)]


def test_a_rid_whose_last_run_never_ended_is_started_again_and_the_old_one_is_lost(spool: Spool) -> None:
    for second in (0, 3600, 86_400):
        spool.take([(PingRequest("a", PING_START, "nightly"), b"", 0)], at(second))
    assert [("overtaken", False), (PING_START, True)] == [(run.kind, run.is_open) for run in runs(spool)]
    spool.take([(PingRequest("a", PING_SUCCESS, "nightly"), b"", 0)], at(86_460))
    assert ["overtaken", PING_SUCCESS] == [run.kind for run in runs(spool)], "the end belongs to the run that runs"


def test_a_rid_that_begins_like_another_is_another(spool: Spool) -> None:
    for second, rid in enumerate(("r", "r1", "r-2", "ra", "r")):
        spool.take([(PingRequest("a", PING_SUCCESS, rid), b"", 0)], at(second))
    assert ["r", "r1", "r-2", "ra"] == [run.rid for run in runs(spool)]


def test_a_repeated_end_changes_nothing(spool: Spool) -> None:
    for second in (5, 6, 500):
        spool.take([(PingRequest("a", PING_SUCCESS, "r", rows=second), b"log", 0)], at(second))
    [run] = runs(spool)
    assert (5, b"log", 1_800_000_005) == (run.rows, run.log, run.ended)


def test_without_a_rid_an_end_belongs_to_the_run_that_is_open(spool: Spool) -> None:
    for second, term in (
        (0, PING_START),
        (2, PING_START),
        (60, PING_SUCCESS),
        (62, PING_SUCCESS),
        (100, PING_START),
        (300, PING_FAIL),
    ):
        spool.take([(PingRequest("a", term), b"", 0)], at(second))
    entries = [(run.started, run.ended, run.kind) for run in runs(spool)]
    base = 1_800_000_000
    assert [(base, base + 60, PING_SUCCESS), (base + 100, base + 300, PING_FAIL)] == entries


def test_a_start_that_another_start_overtakes_is_no_run_that_runs(spool: Spool) -> None:
    for second in (0, 3600):
        spool.take([(PingRequest("a", PING_START), b"", 0)], at(second))
    assert ["overtaken", PING_START] == [run.kind for run in runs(spool)]


def test_ends_alone_are_runs_without_a_start(spool: Spool) -> None:
    for second in (0, 3, 60):
        spool.take([(PingRequest("a", PING_SUCCESS), b"", 0)], at(second))
    assert [(None, 0), (None, 60)] == [(run.started, (run.ended or 0) - 1_800_000_000) for run in runs(spool)]


@pytest.mark.parametrize("jump", [-7200, 0, 7200])
def test_a_clock_that_jumps_changes_no_duration(spool: Spool, jump: float) -> None:
    spool.take([(PingRequest("a", PING_START, "r"), b"", 0)], at(0))
    spool.take([(PingRequest("a", PING_SUCCESS, "r"), b"", 0)], at(90, wall=90 + jump))
    [run] = runs(spool)
    assert run.started is not None
    assert 90 == (run.ended or 0) - run.started


def test_across_a_reboot_the_wall_clock_counts_and_never_backwards(spool: Spool) -> None:
    spool.take([(PingRequest("a", PING_START, "r"), b"", 0), (PingRequest("a", PING_START, "s"), b"", 0)], at(0))
    spool.take([(PingRequest("a", PING_SUCCESS, "r"), b"", 0)], PingArrival(1_800_000_600, "two", 5))
    spool.take([(PingRequest("a", PING_SUCCESS, "s"), b"", 0)], PingArrival(1_700_000_000, "two", 5))
    assert [600, 0] == [(run.ended or 0) - (run.started or 0) for run in runs(spool)]


def test_the_end_of_a_log_is_kept_and_the_omitted_bytes_counted(spool: Spool) -> None:
    spool.take(
        [(PingRequest("a", PING_START, "r"), b"begin\n", 0), (PingRequest("a", PING_LOG, "r"), b"x" * LOG_BYTES, 0)],
        at(0),
    )
    spool.take([(PingRequest("a", PING_FAIL, "r"), b"end\n", 100)], at(1))
    [run] = runs(spool)
    assert (b"end\n", 6 + LOG_BYTES + 100) == (run.log, run.left_out)


def test_a_log_too_large_to_be_read_leaves_the_log_that_was_there(spool: Spool) -> None:
    """It was thrown away, and the run's reason with it."""
    spool.take(
        [(PingRequest("a", PING_START, "r"), b"", 0), (PingRequest("a", PING_FAIL, "r"), b"no such table\n", 0)], at(0)
    )
    spool.take([(PingRequest("a", PING_LOG, "r"), b"", 20_000_000)], at(1))
    [run] = runs(spool)
    assert (b"no such table\n", 20_000_000) == (run.log, run.left_out)


def test_a_log_without_a_run_is_not_kept(spool: Spool) -> None:
    assert [False] == spool.take([(PingRequest("a", PING_LOG, "r"), b"x", 0)], at(0))
    assert [] == runs(spool)


def test_only_what_was_read_is_forgotten_and_numbers_never_come_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "MAX_RUNS", 20)
    monkeypatch.setattr(spools, "MAX_LOGS", 5)
    spool.take([(PingRequest("a", PING_FAIL, str(number)), b"log", 0) for number in range(30)], at(0))
    spool.tidy()
    assert 30 == len(spool.changes(0, 1000))
    last = spool.changes(0, 1000)[-1].number
    spool.mark_reported(last)
    spool.tidy()
    changes = spool.changes(0, 1000)
    assert (20, 5) == (len(changes), sum(bool(run.run.log) for run in changes))
    spool.take([(PingRequest("a", PING_SUCCESS, "new"), b"", 0)], at(1))
    assert ["new"] == [run.run.rid for run in spool.changes(last, 10)]


def test_the_downtime_of_the_endpoint_is_known(spool: Spool) -> None:
    spool.mark_listening(at(0))
    spool.mark_listening(at(10))
    spool.mark_listening(at(13))
    assert [] == spool.closed(0)
    spool.mark_listening(at(3600))
    assert [(1_800_000_013, 1_800_003_600)] == [gap[1:] for gap in spool.closed(0)]


def test_an_endpoint_that_could_not_write_for_a_while_was_closed(spool: Spool) -> None:
    """The machine slept, or the disk was full and every sender got 503: what was not reported then is not missed."""
    spool.mark_listening(at(0))
    spool.mark_listening(at(3))
    spool.mark_listening(at(903))
    assert [(1_800_000_003, 1_800_000_903)] == [gap[1:] for gap in spool.closed(0)]


# what a request's line says


@each_row(
    "target, expected",
    [
        ("", PingRequest("export", PING_SUCCESS)),
        ("/", PingRequest("export", PING_SUCCESS)),
        ("/start?rid=3f1c-7", PingRequest("export", PING_START, "3f1c-7")),
        ("/fail", PingRequest("export", PING_FAIL)),
        ("/log?rid=a:b.c_d", PingRequest("export", PING_LOG, "a:b.c_d")),
        ("/0?rows=12&bytes=3400", PingRequest("export", PING_SUCCESS, "", 0, 12, 3400)),
        ("/137", PingRequest("export", PING_FAIL, "", 137)),
        ("/-9", PingRequest("export", PING_FAIL, "", -9)),
        ("/256", PingRequest("export", PING_FAIL, "", 256)),
        ("/3221225786", PingRequest("export", PING_FAIL, "", 3221225786)),
        ("?unknown=1", PingRequest("export", PING_SUCCESS)),
        ("/2?rows=&bytes=", PingRequest("export", PING_FAIL, "", 2)),
        ("/2?rows=-5&bytes=12.0", PingRequest("export", PING_FAIL, "", 2, unread=(("rows", "-5"), ("bytes", "12.0")))),
        ("/2?rows=1e400&bytes=7", PingRequest("export", PING_FAIL, "", 2, None, 7, (("rows", "1e400"),))),
        ("/2?rows=٣", PingRequest("export", PING_FAIL, "", 2, unread=(("rows", "٣"),))),
    ],
)
def test_a_path_says_who_and_what(target: str, expected: PingRequest) -> None:
    assert expected == parse_ping("GET", f"/ping/{TOKEN}{target}", "", TOKENS)
    assert expected == parse_ping("POST", f"/jobs/export{target}", f"Bearer {TOKEN}", TOKENS)


@each_row(
    "method, target, authorization, status",
    [
        ("GET", "/", "", 404),
        ("GET", "/ping/", "", 404),
        ("GET", f"/ping/{TOKEN[:-1]}", "", 404),
        ("GET", f"/ping/{TOKEN}x", "", 404),
        ("GET", f"/ping/../ping/{TOKEN}", "", 404),
        ("GET", f"/ping/%2e%2e/{TOKEN}", "", 404),
        ("GET", f"//ping/{TOKEN}", "", 404),
        ("GET", f"http://elsewhere/ping/{TOKEN}", "", 404),
        ("GET", f"/ping/{TOKEN}/start/../fail", "", 404),
        ("GET", f"/ping/{TOKEN}\n", "", 404),
        ("GET", f"/ping/{TOKEN}/éstart", "", 404),
        ("GET", "/jobs/export", "", 401),
        ("GET", "/jobs/export", "Basic abc", 401),
        ("GET", "/jobs/mart", f"Bearer {TOKEN}", 401),
        ("GET", "/jobs/nosuch", f"Bearer {TOKEN}", 401),
        ("DELETE", f"/ping/{TOKEN}", "", 405),
        ("GET", f"/ping/{TOKEN}/12345678901", "", 404),
        ("GET", f"/ping/{TOKEN}?rid=a%20b", "", 400),
        ("GET", f"/ping/{TOKEN}?rid=%ff", "", 400),
        ("GET", f"/ping/{TOKEN}?rid={'x' * 101}", "", 400),
        ("GET", f"/ping/{TOKEN}?{'&'.join('abcdefghijk')}", "", 400),
    ],
)
def test_what_is_no_report_is_refused(method: str, target: str, authorization: str, status: int) -> None:
    with pytest.raises(PingRefused) as refused:
        parse_ping(method, target, authorization, TOKENS)
    assert status == refused.value.status
    assert TOKEN not in refused.value.why


@each_row(
    "method, post_only, reports",
    [
        ("HEAD", (), False),
        ("HEAD", ("export",), False),
        ("OPTIONS", (), False),
        ("GET", (), True),
        ("GET", ("mart",), True),
        ("GET", ("export",), False),
        ("PUT", ("export",), False),
        ("PUT", (), True),
        ("POST", ("export",), True),
    ],
)
def test_a_method_that_a_link_preview_sends_reports_nothing(
    method: str, post_only: tuple[str, ...], reports: bool
) -> None:
    """On each path, and with the token in a header."""
    for path in ("", "/", "/success", "/start", "/fail", "/log", "/0", "/3", "?rid=1"):
        for target, header in ((f"/ping/{TOKEN}{path}", ""), (f"/jobs/export{path}", f"Bearer {TOKEN}")):
            if reports:
                assert "export" == parse_ping(method, target, header, TOKENS, post_only).job
                continue
            with pytest.raises(
                PingRefused, match=f"of the job export for Headway. {method} reports nothing;"
            ) as refused:
                parse_ping(method, target, header, TOKENS, post_only)
            assert (405, ("POST",) if "export" in post_only else ("GET", "POST", "PUT")) == (
                refused.value.status, refused.value.allow,
            )  # fmt: skip
            assert "Fix: report success by curl -fsS -m 30 --retry 5 -X POST ADDRESS" in refused.value.why


def test_an_unknown_token_is_not_found_whatever_the_method() -> None:
    with pytest.raises(PingRefused, match="no such token"):
        parse_ping("HEAD", f"/ping/{'0' * 16}", "", TOKENS)
