"""The endpoint on a real socket: valid requests, and requests that must be refused."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.heartbeat.connector import HeartbeatConnector
from connectors.heartbeat.listener import PINGS_PER_MINUTE, REFUSED_PER_MINUTE, PingListener
from connectors.heartbeat.options import HeartbeatOptions
from connectors.heartbeat.parse import PingArrival
from connectors.heartbeat.spool import Spool, current_time
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport import http_server
from connectors.sdk.transport.http_server import BodyLimits
from console.cli.connectors import grants_text
from tests.connectors.heartbeat.support import (
    TOKENS,
    answer,
    calling,
    connected,
    latest_records,
    open_at,
    options_of,
    ping,
    raw_reply,
    secret,
    wait_for,
)

OK = "HTTP/1.1 200 "


@pytest.fixture
def ping_endpoint(tmp_path: Path) -> Iterator[PingListener]:
    with open_at(tmp_path) as opened:
        yield opened


def test_curl_reports_a_whole_run(ping_endpoint: PingListener) -> None:
    base = f"http://{ping_endpoint.options.listen}"
    for texts in (
        [f"{base}/ping/{TOKENS['export']}/start?rid=1"],
        ["--data-binary", "loaded\n", f"{base}/ping/{TOKENS['export']}/0?rid=1&rows=12&bytes=340"],
        ["-H", f"Authorization: Bearer {TOKENS['mart']}", "-T", "-", f"{base}/jobs/mart/fail"],
    ):
        done = subprocess.run(["curl", "-fsS", "-m", "20", *texts], input=b"no such table\n", capture_output=True)
        assert (0, b"") == (done.returncode, done.stderr), done
    export, mart = latest_records(ping_endpoint)
    assert ("succeeded", "exit 0", {"rid": "1", "rows": 12, "bytes": 340}) == (
        export.state, export.native_state, export.context,
    )  # fmt: skip
    assert ("failed", "no such table") == (mart.state, mart.message)


def test_the_lines_printed_by_grants_report_a_whole_run(ping_endpoint: PingListener, tmp_path: Path) -> None:
    lines = grants_text("heartbeat").replace("127.0.0.1:8787", ping_endpoint.options.listen)
    (tmp_path / "job").write_text("#!/bin/sh\necho loading\necho no space left\nexit 3\n")
    (tmp_path / "job").chmod(0o755)
    script = lines.replace("/ping/TOKEN", f"/ping/{TOKENS['export']}")
    done = subprocess.run(["sh"], input=script.encode(), cwd=tmp_path, capture_output=True)
    assert (3, b"") == (done.returncode, done.stderr)
    [run] = latest_records(ping_endpoint)
    assert ("failed", 3, "no space left", True) == (run.state, run.exit_code, run.message, run.started_at is not None)


@pytest.mark.parametrize(
    "script, is_notified",
    [
        ("echo nothing to read from >&2; exit 2", ("failed", 2, "nothing to read from", None, None)),
        ("printf 'a\\nb\\n' > out.csv", ("succeeded", 0, "", 2, 4)),
    ],
)
def test_the_lines_of_the_page_report_a_run_whether_or_not_it_wrote_its_file(
    ping_endpoint: PingListener, tmp_path: Path, script: str, is_notified: tuple[object, ...]
) -> None:
    page = (Path(__file__).parents[3] / "docs/connectors/heartbeat.md").read_text()
    lines = page.partition("```bash\n")[2].partition("```")[0].replace("127.0.0.1:8787", ping_endpoint.options.listen)
    (tmp_path / "export.sh").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "export.sh").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "NIGHTLY_EXPORT_TOKEN": TOKENS["export"]}
    subprocess.run(["bash"], input=lines.encode(), cwd=tmp_path, env=environment, check=True)
    [run] = latest_records(ping_endpoint)
    assert is_notified == (run.state, run.exit_code, run.message, run.context.get("rows"), run.context.get("bytes"))


def preview(listener: PingListener, method: str, path: str = "") -> str:
    head = f"{method} /ping/{TOKENS['export']}{path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"
    return raw_reply(listener, head.encode())


def test_a_link_preview_of_a_chat_is_no_report(tmp_path: Path) -> None:
    """A green run closed the incident of a failed one."""
    jobs = {"export": {"token": {"env": "export"}, "post_only": True}, "mart": {"token": {"env": "mart"}}}
    with open_at(tmp_path, jobs=jobs) as listener:
        assert OK == ping(listener, "/3?rid=1", b"no space left")
        for path in ("", "/start", "/fail", "/0"):
            shown = preview(listener, "GET", path)
            assert "HTTP/1.1 405 " == shown.partition("\r\n")[0]
            assert "Allow: POST\r\n" in shown
            assert "receives the reports of the job export for Headway. GET reports nothing; POST does.\n" in shown
            assert "-X POST ADDRESS\n" in shown
            assert TOKENS["export"] not in shown
            assert preview(listener, "HEAD", path).endswith("\r\n\r\n"), "a reply to HEAD has no body"
        assert [("1", "failed")] == [(run.attempt_key, run.state) for run in latest_records(listener)]
        assert OK == ping(listener, "?rid=2")
        assert OK == raw_reply(listener, f"GET /ping/{TOKENS['mart']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[:13]
        assert ["failed", "succeeded", "succeeded"] == [run.state for run in latest_records(listener)]


def test_head_is_no_report_of_any_job(ping_endpoint: PingListener) -> None:
    assert "HTTP/1.1 405 " == preview(ping_endpoint, "HEAD").partition("\r\n")[0]
    assert [] == latest_records(ping_endpoint)
    assert OK == preview(ping_endpoint, "GET").partition("\r\n")[0]


def test_a_report_is_delivered_at_once_and_then_no_more(tmp_path: Path) -> None:
    came: list[int] = []
    with open_at(tmp_path, lambda: came.append(1)) as listener:
        assert OK == ping(listener, "/start?rid=1")
        wait_for(lambda: came == [1])
        first = connected(listener).poll("", (), 5)
        assert ["running"] == [run.state for run in first.runs]
        assert [] == latest_records(listener, first.cursor)
        ping(listener, "?rid=1")
        assert ["succeeded"] == [run.state for run in latest_records(listener, first.cursor)]


@pytest.mark.deep
def test_a_slow_caller_delays_nobody_and_is_disconnected(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 0.3)
    with calling(ping_endpoint) as slow, calling(ping_endpoint) as silent:
        slow.sendall(b"POST /ping/")
        assert OK == ping(ping_endpoint, "")
        assert "408" in answer(slow)
        assert "408" in answer(silent)


def test_when_all_connections_are_in_use_the_oldest_is_closed(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 8)
    slow = [calling(ping_endpoint) for _ in range(20)]
    for connection in slow:
        connection.sendall(b"GET /pi")
    assert [OK] * 3 == [ping(ping_endpoint, "") for _ in range(3)]
    assert len(ping_endpoint._server._connections) <= 8
    for connection in slow:
        connection.close()


def test_a_body_without_end_costs_no_memory_and_its_report_counts(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping_endpoint._server, "limits", BodyLimits(300_000, 65_536))
    assert "HTTP/1.1 413 " == ping(ping_endpoint, "/fail?rid=declared", b"x" * 400_000)
    head = f"POST /ping/{TOKENS['export']}/fail?rid=drip HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with calling(ping_endpoint) as sock:
        sock.sendall(head.encode())
        try:
            for _ in range(100):
                sock.sendall(b"ffff\r\n" + b"y" * 0xFFFF + b"\r\n")
        except OSError:
            pass
    wait_for(lambda: len(latest_records(ping_endpoint)) == 2)
    assert {"declared": "failed", "drip": "failed"} == {
        run.attempt_key: run.state for run in latest_records(ping_endpoint)
    }


HEAD = f"POST /ping/{TOKENS['export']} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
        (b"nonsense\r\n\r\n", "400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\nabc", "400"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc", "501"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcde", "400"),
        (HEAD + b"Content-Length: -1\r\n\r\n", "400"),
        (HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n", "431"),
        (b"GET /ping/" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", "431"),
        (b"POST /ping/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (b"GET /ping/" + b"0" * 32 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
    ],
)
def test_what_is_no_report_makes_no_run(ping_endpoint: PingListener, request_: bytes, status: str) -> None:
    assert f"HTTP/1.1 {status} " == raw_reply(ping_endpoint, request_).partition("\r\n")[0]
    assert [] == latest_records(ping_endpoint)
    assert OK == ping(ping_endpoint, "")


@pytest.mark.parametrize("cut", [1, 20, 60, -3])
def test_a_report_that_is_cut_short_is_none(ping_endpoint: PingListener, cut: int) -> None:
    whole = HEAD + b"Content-Length: 9\r\n\r\nloaded it"
    with calling(ping_endpoint) as sock:
        sock.sendall(whole[:cut])
        sock.shutdown(socket.SHUT_WR)
        assert "200" not in answer(sock)
    assert [] == latest_records(ping_endpoint)


def test_a_body_that_is_no_text_is_stored_as_a_text_that_says_so(ping_endpoint: PingListener) -> None:
    body = b"\xff\xfe\x00 \x1b[31mred\r\n\xc3"
    ping(ping_endpoint, "/fail", body)
    [run] = latest_records(ping_endpoint)
    from connectors.sdk.conformance.world import ref

    chunk = connected(ping_endpoint).log(ref(run), None, 65536, 5)
    assert "\\xff\\xfe\ufffd red\n\\xc3" == chunk.text


def test_a_job_that_sends_without_end_is_slowed_and_no_other(ping_endpoint: PingListener) -> None:
    for _ in range(PINGS_PER_MINUTE):
        ping(ping_endpoint, "")
    answers = (raw_reply(ping_endpoint, HEAD + b"Content-Length: 0\r\n\r\n") for _ in range(PINGS_PER_MINUTE))
    refused = next(answer for answer in answers if not answer.startswith("HTTP/1.1 200 "))  # a slow machine earns some
    assert ("HTTP/1.1 429 ", True) == (refused.partition("\r\n")[0], "Retry-After: " in refused)
    assert OK == ping(ping_endpoint, "", job="mart")


def test_who_tries_tokens_is_slowed_and_a_right_one_passes(ping_endpoint: PingListener) -> None:
    wrong = b"GET /ping/" + b"0" * 32 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = {raw_reply(ping_endpoint, wrong).partition("\r\n")[0] for _ in range(REFUSED_PER_MINUTE + 5)}
    assert {"HTTP/1.1 404 ", "HTTP/1.1 429 "} == answers
    assert OK == ping(ping_endpoint, "")


def test_what_cannot_be_written_is_not_answered_with_ok(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> list[bool]:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ping_endpoint._spool, "take", full)
        assert "HTTP/1.1 503 " == ping(ping_endpoint, "/start?rid=1")
        assert "disk is full" in ping_endpoint.trouble
    assert OK == ping(ping_endpoint, "/start?rid=1")
    assert "" == ping_endpoint.trouble


def with_jobs(listener: PingListener, jobs: Mapping[str, object]) -> HeartbeatOptions:
    return HeartbeatOptions.model_validate(
        {"listen": listener.options.listen, "spool": listener.options.spool, "jobs": jobs}
    )


def test_an_unusable_token_is_reported_and_the_others_listen(ping_endpoint: PingListener) -> None:
    jobs = {"export": {"token": {"env": "export"}}, "lost": {"token": {"env": "gone"}}}
    refresh = ping_endpoint.refresh(with_jobs(ping_endpoint, jobs), secret)
    assert "token of lost: secret env gone: unset" in refresh
    assert OK == ping(ping_endpoint, "")
    assert "HTTP/1.1 404 " == ping(ping_endpoint, "", job="mart")


def test_two_jobs_with_one_token_are_reported(ping_endpoint: PingListener) -> None:
    jobs = {"export": {"token": {"env": "export"}}, "copy": {"token": {"env": "export"}}}
    assert "export, copy have one token: give each its own" == ping_endpoint.refresh(
        with_jobs(ping_endpoint, jobs), secret
    )
    assert "HTTP/1.1 404 " == ping(ping_endpoint, "")


def test_a_closed_endpoint_is_not_silence(ping_endpoint: PingListener) -> None:
    at = ping_endpoint.options
    ping_endpoint.close()
    Spool(at.spool_file)._set_fact("listened", (0.0, "of-before", 0.0))
    why = f"{at.spool_file}: the listener at {at.listen} wrote nothing into it since 1970-01-01 00:00:00Z."
    with pytest.raises(SystemUnreachable, match=why):
        HeartbeatConnector(at, secret).poll("", (), 5)
    probe = HeartbeatConnector(at, secret).probe(5)
    assert (False, True, 2) == (probe.reachable, probe.notes[0].startswith(why), len(probe.rights))


def test_an_endpoint_that_cannot_write_is_not_reported_as_not_listening(ping_endpoint: PingListener) -> None:
    at = current_time()
    later = PingArrival(at.wall + 60, at.boot, at.up + 60)
    [note] = HeartbeatConnector(ping_endpoint.options, secret, lambda: later).probe(5).notes
    assert not note.startswith("no engine")
    assert note.startswith(f"{ping_endpoint.options.spool_file}: ")
    assert note.endswith(
        " Fix: headway status; start the engine, free the address or the disk, or give the engines of one host the same"
        " spool"
    )


def test_an_endpoint_that_never_listened_says_so(tmp_path: Path) -> None:
    options = options_of(tmp_path)
    with pytest.raises(SystemUnreachable, match="wrote nothing into it yet"):
        HeartbeatConnector(options, secret).poll("", (), 5)
    probe = HeartbeatConnector(options, secret).probe(5)
    assert (False, True) == (probe.reachable, probe.opens_with_engine)
    assert not options.spool_file.exists()


def test_the_spool_is_ours_alone(ping_endpoint: PingListener) -> None:
    assert 0o600 == ping_endpoint.options.spool_file.stat().st_mode & 0o777


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "192.0.2.7:80"])
def test_an_address_reachable_by_others_needs_an_explicit_setting(listen: str) -> None:
    jobs = {"a": {"token": {"env": "A"}}}
    with pytest.raises(ValueError, match=r"others reach .*, and tokens"):
        HeartbeatOptions.model_validate({"listen": listen, "jobs": jobs})
    HeartbeatOptions.model_validate({"listen": listen, "jobs": jobs, "plain_http": True})
    assert HeartbeatOptions.model_validate({"listen": "[::1]:8787", "jobs": jobs}).address == ("::1", 8787)


@pytest.mark.deep
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_endpoint_whose_thread_ended_is_reopened(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(_: object) -> None:
        raise ValueError("what nobody thought of")

    monkeypatch.setattr(ping_endpoint._spool, "mark_listening", surprise)
    wait_for(lambda: "its thread has ended" in ping_endpoint.trouble)
    monkeypatch.undo()
    assert "" == ping_endpoint.refresh(ping_endpoint.options, secret)
    assert ping(ping_endpoint, "?rid=after").startswith(OK)
    assert ["after"] == [run.attempt_key for run in latest_records(ping_endpoint)]


@pytest.mark.deep
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_endpoint_that_cannot_be_reopened_says_why_and_tries_again(
    ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(_: object) -> None:
        raise ValueError("what nobody thought of")

    monkeypatch.setattr(ping_endpoint._spool, "mark_listening", surprise)
    wait_for(lambda: "its thread has ended" in ping_endpoint.trouble)
    monkeypatch.undo()
    with socket.create_server(ping_endpoint.options.address):
        assert "it cannot listen again" in ping_endpoint.refresh(ping_endpoint.options, secret)
    assert "" == ping_endpoint.refresh(ping_endpoint.options, secret)


def test_one_rid_for_several_runs_is_reported(ping_endpoint: PingListener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.heartbeat.parse.RID_EXPIRY_SECONDS", -1.0)
    for _ in range(2):
        assert ping(ping_endpoint, "?rid=nightly").startswith(OK)
    poll = connected(ping_endpoint).poll("", (), 5)
    assert ('export: several runs came under the rid "nightly". Give each run its own, or none',) == poll.warnings
    assert 2 == len(poll.runs)
    assert ["nightly", "nightly"] == [run.context["rid"] for run in poll.runs]


def test_our_own_secrets_do_not_reach_the_spool(tmp_path: Path) -> None:
    """In the file or its WAL, in usual forms, split by a color, and in a number that is none."""
    secrets = SecretStore()
    secrets.add('CANARY"f1le/7')

    def resolver(reference: Any) -> str:
        return secret(reference)

    resolver.mask = secrets.mask  # type: ignore[attr-defined]
    body = b'a CANARY"f1le/7 b CANARY%22f1le%2f7 c CANARY\\"f1le/7 d CANARY\x1b[0m"f1le/7 \xff e'
    with open_at(tmp_path) as listener:
        listener.refresh(listener.options, resolver)
        assert ping(listener, "/0?rows=CANARY%22f1le/7", body).startswith(OK)
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("spool.db*"))
    assert 0 == stored.count(b"CANARY")
    assert "a ••• b ••• c ••• d ••• ".encode() + b"\\xff e" in stored


def test_values_shaped_like_secrets_do_not_reach_the_spool(tmp_path: Path) -> None:
    """They are in no config: the spool is a file that backups read."""
    with open_at(tmp_path) as listener:
        assert ping(listener, "/1?rows=password=hunter2secret", b"login password=hunter2secret\nrefused").startswith(OK)
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("spool.db*"))
    assert b"hunter2secret" not in stored
    assert b"login password=***\nrefused" in stored


def test_a_secret_in_colors_and_a_progress_bar_reach_the_spool_as_a_terminal_shows_them(tmp_path: Path) -> None:
    body = b"part 1\r\n 0%\r100%\rpass\xef\xb8\x8fword\x1b[0m=\x1b[35mHunt\x1b]8;;x\x1b\\er2x\x1b[0m refused"
    with open_at(tmp_path) as listener:
        assert ping(listener, "/1?rows=pass%1b[0mword=Hunter2x", body).startswith(OK)
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("spool.db*"))
    assert b"part 1\n100%\npassword=*** refused" in stored
    assert b"er2x" not in stored
