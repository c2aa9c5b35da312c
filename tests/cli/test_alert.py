"""`headway alert`: test a route through the engine, list abandoned alerts and send them again."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.sdk.transport.http import HttpEndpoint
from console.cli.exits import Exit
from console.cli.main import main
from console.diagnosis import routes, targets
from console.engine.notify import responses
from console.engine.notify.paging import page_key
from console.engine.notify.senders import SendResult
from console.store.db.lease import store_id
from tests.engine.bench import Bench
from tests.engine.notify.test_paging import PAGERS
from tests.engine.notify.test_routing import BAD, bench_of, fail, later, post_of, route, rows
from tests.fakes.on_call import READ_KEY, FakeIncident, FakeOnCall
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS, wait_until


@contextmanager
def at_work(bench: Bench) -> Iterator[None]:
    """The parts that answer and send run, as in an engine."""
    stop = threading.Event()
    parts = (bench.parts.answers, bench.parts.outbox)
    threads = [threading.Thread(target=server.run, args=(bench.fence, stop.is_set)) for server in parts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for server in parts:
            server.wake.set()
        for thread in threads:
            thread.join(HANGS_SECONDS)


def document(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The one JSON document on stdout; the engine of this process logs there too, a line each."""
    lines = capsys.readouterr().out.splitlines()
    start = next(at for at, line in enumerate(lines) if line in ("[", "[]"))
    results: list[dict[str, Any]] = json.loads(
        "\n".join(lines[start : lines.index("]" if lines[start] == "[" else "[]") + 1])
    )
    return results


@pytest.mark.parametrize(
    "answer, code, text",
    [
        (SendResult(True), Exit.OK, "env ROUTE_ONE: accepted in"),
        (BAD, Exit.PROBLEM, "env ROUTE_ONE: not accepted: Failed to send: Bad Request, error=400."),
        (
            SendResult(None, "timed out"),
            Exit.UNKNOWN,
            "env ROUTE_ONE: sent, outcome unknown: timed out",
        ),
    ],
)
def test_a_route_test_reports_the_outcome_of_each_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: SendResult, code: Exit, text: str
) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench, at_work(bench):
        post_of(bench).answers["one"] = answer
        assert code == main(["--store", bench.url, "alert", "test", "oncall", "--timeout", "20"])
        out = [line for line in capsys.readouterr().out.splitlines() if line.startswith("env ")]
        assert 2 == len(out)
        assert any(line.startswith(text) for line in out)
        assert any(line.startswith("env ROUTE_TWO: accepted in") for line in out)
        [(title, body)] = post_of(bench).to("two")
        assert ('Test of route "oncall": nothing is wrong', True) == (
            title,
            "alerts arrive here" in body,
        )
        verbs = [verb for (verb,) in rows(bench, "SELECT verb FROM audit") if verb == "test alert"]
        assert ["test alert"] == verbs


@pytest.mark.parametrize(
    "name, read_key, code, shown",
    [
        ("pagerduty", READ_KEY, Exit.OK, "env ROUTE_PAGER: PagerDuty shows it as triggered"),
        ("opsgenie", READ_KEY, Exit.OK, "env ROUTE_PAGER: Opsgenie shows it as triggered"),
        ("splunk", READ_KEY, Exit.OK, "env ROUTE_PAGER: Splunk On-Call shows it as triggered"),
        ("ilert", READ_KEY, Exit.OK, "env ROUTE_PAGER: ilert shows it as triggered"),
        ("incidentio", READ_KEY, Exit.OK, "env ROUTE_PAGER: incident.io can be read; it lists a page once a person"),
        ("pagerduty", "", Exit.OK, "env ROUTE_PAGER: accepted in"),
        ("pagerduty", "stale", Exit.PROBLEM, 'env ROUTE_PAGER: route "oncall", PagerDuty: the answer to GET '),
    ],
)
def test_a_route_test_shows_what_the_on_call_service_has_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    name: str, read_key: str, code: Exit, shown: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("ROUTE_PAGER", PAGERS[name] + (f"?read_key={read_key}" if read_key else ""))
    service = FakeOnCall()
    with bench_of(tmp_path, oncall=route("PAGER")) as bench, at_work(bench):

        def answer(request: httpx.Request) -> httpx.Response:
            [(key,)] = rows(bench, "SELECT DISTINCT dedup_key FROM alert")
            service.incidents = {page_key(store_id(bench.store), key): FakeIncident(17)}
            return service(request)

        def endpoint(source: str, origin: str, **_: Any) -> HttpEndpoint:
            return HttpEndpoint(source, origin, transport=httpx.MockTransport(answer))

        monkeypatch.setattr(responses, "HttpEndpoint", endpoint)
        assert code == main(["--store", bench.url, "alert", "test", "oncall", "--timeout", "20"])
        *_, last = (line for line in capsys.readouterr().out.splitlines() if line.startswith("env "))
        assert last.startswith(shown)
        assert [] == service.acknowledged


def test_a_route_test_pages_with_the_lowest_severity_and_is_resolved_at_on_call_services_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTE_PAGER", PAGERS["pagerduty"])
    host = PAGERS["pagerduty"].split("//")[1]
    with bench_of(tmp_path, oncall=route("ONE", "PAGER")) as bench:
        with at_work(bench):
            assert Exit.OK == main(["--store", bench.url, "alert", "test", "oncall", "--timeout", "20"])
        assert {"one", host} == {name for name, _ in post_of(bench).pages}
        post_of(bench).answers[host] = SendResult(False, "error=503")
        with bench.store.read() as session:
            [end] = session.rows(
                "SELECT next_us - made_us AS wait_us, url_index FROM delivery d JOIN alert a ON a.id = d.alert_id"
                " WHERE d.state = 'pending'"
            )
        assert (120_000_000, 1) == (end.wait_us, end.url_index)
        later(bench, timedelta(minutes=2))
        del post_of(bench).answers[host]
        later(bench, timedelta(minutes=1))
        [(_, first), *ends] = [(name, page) for name, page in post_of(bench).pages if name == host]
        assert ("open", 4, {("resolve", first.key)}) == (first.action, first.tier, {(e.action, e.key) for _, e in ends})
        assert ["one"] == [name for name, _ in post_of(bench).pages if name == "one"]
        assert [] == rows(bench, "SELECT 1 FROM delivery WHERE state <> 'sent'")


def test_an_on_call_service_that_lists_no_page_is_not_awaited_past_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    page = responses.PageAtService("PagerDuty", "unknown", lists_acknowledged=False)
    monkeypatch.setenv("ROUTE_PAGER", PAGERS["pagerduty"])
    monkeypatch.setattr(routes, "page_at_service", lambda *_: page)
    monkeypatch.setattr(routes, "sleep", lambda seconds: pytest.fail("it waits"))
    text = routes.page_text("oncall", "env ROUTE_PAGER", "key", time.monotonic() - 1.0)
    assert (False, "PagerDuty does not list it. Fix: write a read_key of the same account") == text


def test_a_test_is_tried_once_and_is_no_trouble_of_the_outbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench_of(tmp_path, oncall=route("ONE"), boss=route("BOSS")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=500")
        with at_work(bench):
            assert Exit.PROBLEM == main(["--store", bench.url, "alert", "test", "oncall", "--json"])
        assert "parked" == document(capsys)[0]["state"]
        later(bench)
        assert 1 == len(post_of(bench).got)
        assert Exit.OK == main(["--store", bench.url, "alert", "--json"])
        assert [] == document(capsys)


def test_an_unknown_route_is_refused_with_a_near_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench, at_work(bench):
        assert Exit.NOT_FOUND == main(["--store", bench.url, "alert", "test", "oncal\x1b[2J"])
        assert 'no route "oncal". Did you mean "oncall"?' in capsys.readouterr().err


def test_an_abandoned_delivery_is_listed_and_sent_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = BAD
        fail(bench, "extract")
        for _ in range(4):
            later(bench)
        assert Exit.OK == main(["--store", bench.url, "alert"])
        output = capsys.readouterr()
        assert "parked" in output.out
        assert "(refused permanently 3 times)" in output.out
        assert "headway alert retry --parked" in output.err
        post_of(bench).answers.clear()
        with at_work(bench):
            assert Exit.OK == main(["--store", bench.url, "alert", "retry", "1"])
            assert Exit.NOT_FOUND == main(["--store", bench.url, "alert", "retry", "1"])
            assert "delivery 1 is not parked" in capsys.readouterr().err
            assert Exit.OK == main(["--store", bench.url, "alert", "retry", "--parked"])
        later(bench)
        wait_until(lambda: rows(bench, "SELECT count(*) FROM delivery WHERE state <> 'sent'") == [(0,)], "every send")


@pytest.mark.parametrize("texts", [["test"], ["retry"], ["retry", "7", "--parked"], ["retry", "seven"]])
def test_an_ambiguous_request_is_refused(tmp_path: Path, texts: list[str]) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        assert Exit.USAGE == headway(bench.url, "alert", *texts).code


STEPS = '[systems.steps]\nkind = "manual"\n[systems.steps.steps.sign]\nat = "09:00"\n'


@pytest.mark.parametrize(
    "url, fault",
    [
        ("nothing://host", "scheme: 'nothing' is unknown"),
        ("ntfy://u:pw@ntfy.example/night", "ntfy.example: the password "),
        ("rsyslog://127.0.0.1", "rsyslog:// sends UDP, which no receiver confirms"),
        ("opsgenie://8b799edf-6f98-4d3a-9be7-2862fb4e5752?action=close", "a new incident would not page"),
    ],
)
def test_check_refuses_a_url_that_would_send_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, fault: str
) -> None:
    monkeypatch.setenv("ROUTE_ONE", url)
    config = tmp_path / "check.toml"
    config.write_text(STEPS + '[routes.oncall]\nurls = [{ env = "ROUTE_ONE" }]\n')
    done = headway(str(tmp_path / "headway.db"), "--config", str(config), "check", "--json")
    [result] = [target for target in done.data["targets"] if target["target"] == "route oncall (env ROUTE_ONE)"]
    assert ("refused", True) == (result["verdict"], fault in result["text"][0])


@pytest.mark.parametrize(
    "url", ["mailtos://u:pw@mail.example?to=a@b.example&verify=no", "jsons://hook.example/?verify=no"]
)
def test_check_reports_a_url_that_verifies_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ROUTE_ONE", url)
    config = tmp_path / "check.toml"
    config.write_text(STEPS + '[routes.oncall]\nurls = [{ env = "ROUTE_ONE" }]\n')
    done = headway(str(tmp_path / "headway.db"), "--config", str(config), "check")
    assert "route oncall (env ROUTE_ONE): verify=no: another server that answers as " in done.out


def test_check_connects_to_the_mail_server_of_a_route_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "check.toml"
    config.write_text(STEPS + '[routes.oncall]\nurls = [{ env = "ROUTE_ONE" }]\n')
    with bench_of(tmp_path, oncall=route("ONE")) as bench, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("ROUTE_ONE", f"mailto://127.0.0.1:{port}?from=a@b.example&to=c@d.example&mode=insecure")
        with at_work(bench):
            assert Exit.OK == main(["--store", bench.url, "alert", "test", "oncall"])
        assert ("ok", []) == checked_route(bench, config)
        server.close()
        fix = "Fix: start that mail server, or correct server and port in env ROUTE_ONE"
        assert ("unreachable", [f"127.0.0.1:{port}: Connection refused. {fix}"]) == checked_route(bench, config)
        assert ["PROBLEM"] == route_levels(bench, config)


def test_a_test_by_another_variable_of_the_engine_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine sends with its own environment, whatever the shell has."""
    with bench_of(tmp_path, oncall=route("ONE")) as bench, at_work(bench):
        for engine_value, named in ((os.environb[b"ROUTE_ONE"], False), (b"json://127.0.0.1:9/engine", True)):
            environment = {b"ROUTE_ONE": engine_value}
            monkeypatch.setattr(targets, "engine_environment_of", lambda _, result=environment: (7, result))
            assert Exit.OK == main(["--store", bench.url, "alert", "test", "oncall"])
            note = "sent by the engine with its own ROUTE_ONE, which differs from this shell's"
            assert named == (note in capsys.readouterr().err)


def test_a_route_that_has_accepted_nothing_yet_is_not_called_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTE_ONE", "json://127.0.0.1:9/x")
    config = tmp_path / "check.toml"
    config.write_text(STEPS + '[routes.oncall]\nurls = [{ env = "ROUTE_ONE" }]\n')
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        assert (
            "no alert yet",
            ["no alert of the engine yet. Fix: headway alert test oncall"],
        ) == checked_route(bench, config)
        assert ["note"] == route_levels(bench, config)
        with at_work(bench):
            assert Exit.OK == main(["--store", bench.url, "alert", "test", "oncall"])
        assert ("ok", []) == checked_route(bench, config)
        assert [] == route_levels(bench, config)


def checked_route(bench: Bench, config: Path) -> tuple[str, list[str]]:
    """Verdict and text of `headway check` about the route oncall."""
    done = headway(bench.url, "--config", str(config), "check", "--json")
    [result] = [target for target in done.data["targets"] if target["target"] == "route oncall (env ROUTE_ONE)"]
    return result["verdict"], result["text"]


def route_levels(bench: Bench, config: Path) -> list[str]:
    """Levels of the problems that `headway check --installation` reports of routes."""
    done = headway(bench.url, "--config", str(config), "check", "--installation", "--json")
    return [problem["level"] for problem in done.data["problems"] if problem["subject"].startswith("route ")]
