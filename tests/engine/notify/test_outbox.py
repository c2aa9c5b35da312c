"""What becomes of one delivery: what the receiver said, when it is tried again, and when it says that it may repeat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.sections import RouteSettings
from console.domain.estate import PlanFacts
from console.engine.notify import senders
from console.engine.notify.outbox import Outbox
from console.engine.notify.paging import Page
from console.engine.notify.senders import SendResult, send_by_apprise
from console.store import outbox as rows
from console.store.errors import StoreUnusable
from tests.engine.bench import Bench, estate_config, running_bench, wait_until_sent
from tests.fakes.scheduler import FakeScheduler
from tests.fakes.web_server import web_server
from tests.lab.process import wait_until

SECONDS = 10.0


@contextmanager
def web_hook(answer: Callable[[str], int]) -> Iterator[str]:
    """The apprise URL of a server that says for each path which status it answers."""

    with web_server(lambda request: httpx.Response(answer(request.url.path))) as address:
        yield address.replace("http", "json")


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "pagerduty://integrationkey@apikey",
        "ntfy://a-topic",
    ],
)
def test_a_token_in_the_place_of_the_host_is_not_resolved_on_the_network(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert with a token in its URL is sent, and the token is in no error."""
    import apprise

    monkeypatch.setattr("socket.create_connection", _refuse)
    assert "" == senders.unreachable_reason(apprise.Apprise.instantiate(url))


def _refuse(*_: object) -> None:
    raise OSError("nobody is asked")


def test_an_internal_server_behind_a_proxy_is_not_resolved_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    monkeypatch.setenv("http_proxy", "http://proxy.internal:3128")
    monkeypatch.setattr("socket.create_connection", _refuse)
    assert "" == senders.unreachable_reason(
        apprise.Apprise.instantiate("mmost://chat.internal/3ccdd113474722377935511fc85d3dd4")
    )


def test_where_no_server_listens_nothing_was_sent() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    sent = send_by_apprise(f"json://127.0.0.1:{port}/", "title", "body", Page("incident"))
    assert (False, f"127.0.0.1:{port}: Connection refused") == (sent.arrived, sent.reason)


def test_a_refusal_is_heard_although_another_sending_ended_meanwhile() -> None:
    """Senders share apprise's one logger; each must hear its own receiver."""
    begun, over = threading.Event(), threading.Event()
    entered = threading.Event()

    def answer(path: str) -> int:
        if path == "/taken":
            entered.set()
            assert begun.wait(SECONDS)
            return 200
        begun.set()
        assert over.wait(SECONDS)
        return 500

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # as the engine's logs are set up
    results: list[SendResult] = []
    with web_hook(answer) as url:
        first = threading.Thread(
            target=lambda: results.append(send_by_apprise(f"{url}/taken", "title", "body", Page("incident")))
        )
        first.start()
        assert entered.wait(SECONDS)
        second = threading.Thread(
            target=lambda: results.append(send_by_apprise(f"{url}/refused", "title", "body", Page("incident")))
        )
        second.start()
        first.join(SECONDS)
        over.set()
        second.join(SECONDS)
    assert [True, False] == [result.arrived for result in results]
    assert "error=500" in results[1].reason


def fail_and_notify(bench: Bench, answer: SendResult) -> None:
    """One failure, its alert sent; the receiver says `answer`."""
    bench.sink.answer = answer
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
    bench.turn()


def send_again(bench: Bench, answer: SendResult) -> None:
    bench.sink.answer = answer
    with bench.store.write(None) as connection:
        connection.rows("UPDATE delivery SET next_us = 0")
    bench.send()


def test_a_lost_answer_stays_lost_although_the_receiver_is_out_of_reach_afterwards(bench: Bench) -> None:
    """The first may have arrived, whatever became of the second: the third says so."""
    fail_and_notify(bench, SendResult(None, "read timed out"))
    send_again(bench, SendResult(False, "connection refused"))
    send_again(bench, SendResult(True))
    assert [False, True, True] == [body.startswith("May be a duplicate") for _, _, body in bench.sink.got]


def test_a_repeat_is_marked_in_its_title_and_counts_no_minutes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four mails within 47 s, each "(in 3 min)"; the list of a mail program shows the title alone."""
    title = "Daily 07:30 at risk: restart load (in db) by 21 Nov 07:29{} [INC-0001]"
    fail_and_notify(bench, SendResult(False, "connection refused"))
    with bench.store.write(None) as connection:
        connection.rows("UPDATE alert SET title = ?", (title.format(" (in 1 h 8 min)"),))
    send_again(bench, SendResult(None, "read timed out"))
    send_again(bench, SendResult(None, "read timed out"))
    monkeypatch.setattr("console.engine.notify.outbox.LATE_US", 0)
    send_again(bench, SendResult(True))
    (_, retried, _), (_, soon, body), (_, late, same_body) = bench.sink.got[1:]
    assert (title.format(""), f"{title.format('')} (may be a duplicate)") == (retried, soon)
    assert soon == late
    assert f"Delayed by under 1 min.\n\n{body}" == same_body


def test_a_sender_that_breaks_is_tried_again_after_a_pause_as_a_marked_repeat(bench: Bench) -> None:
    def broken(url: str, title: str, body: str, page: Page) -> SendResult:
        bench.sink(url, title, body, page)
        raise ZeroDivisionError

    bench.parts.outbox._send = broken
    fail_and_notify(bench, SendResult(True))
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert ("pending", 1, 1) == (delivery.state, delivery.tries, delivery.repeats)
    bench.parts.outbox._send = bench.sink
    send_again(bench, SendResult(True))
    assert [False, True] == [body.startswith("May be a duplicate") for _, _, body in bench.sink.got]


def test_however_much_waits_for_a_broken_receiver_the_others_have_theirs(bench: Bench) -> None:
    """A storm of alerts, one of two receivers down: what waits for it must not stand in the other's way."""
    fail_and_notify(bench, SendResult(True))
    with bench.store.write(None) as connection:
        connection.rows(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 602) INSERT INTO alert"
            " (id, incident_id, dedup_key, kind, version, route, title, body, made_us)"
            " SELECT i, 1, 'k', 'updated', i, CASE WHEN i = 602 THEN 'oncall' ELSE 'down' END, 't', 'b', 0 FROM n"
        )
        connection.rows(
            "INSERT INTO delivery (alert_id, url_index, receiver, state, tries, next_us, repeats, error)"
            " SELECT id, 0, '', 'pending', 0, 0, 0, '' FROM alert WHERE id > 1"
        )
    due = rows.claim_due(bench.store, bench.fence, 1, frozenset({("down", 0)}))
    assert [("oncall", 0)] == [(delivery.route, delivery.url_index) for delivery in due]


def test_however_many_receivers_hang_the_others_have_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than a pool of a fixed size would have threads for."""
    names = [*(f"SILENT_{number}" for number in range(60)), "PROMPT"]
    for name in names:
        monkeypatch.setenv(name, f"json://{name.lower()}.example/")
    free, prompt = threading.Event(), threading.Event()

    def send(url: str, title: str, body: str, page: Page) -> SendResult:
        if "silent" in url:
            free.wait(SECONDS * 3)
        else:
            prompt.set()
        return SendResult(True)

    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    route = RouteSettings(urls=tuple(SecretRef(env=name) for name in names))
    with running_bench(tmp_path, scheduler, replace(config, routes={"oncall": route})) as bench:
        bench.parts.outbox._send = send
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
        bench.poller.poll_once(bench.fence)
        bench.parts.evaluator.step(bench.fence)
        try:
            for _ in range(len(names)):
                bench.parts.outbox.step(bench.fence)
            assert prompt.wait(SECONDS)
            wait_until(lambda: len(bench.parts.outbox.hanging(0.0)) == 60, "the others to hang still", SECONDS)
        finally:
            free.set()
        wait_until_sent(bench.parts.outbox)


def test_a_receiver_that_is_down_for_a_month_is_tried_on(bench: Bench) -> None:
    fail_and_notify(bench, SendResult(False, "error=500"))
    with bench.store.write(None) as connection:
        connection.rows("UPDATE delivery SET tries = 3000")
    send_again(bench, SendResult(False, "error=500"))
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert ("pending", 3001, 0) == (delivery.state, delivery.tries, delivery.repeats)


def test_a_refusal_that_could_not_be_stored_is_no_repeat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put_off = rows.postpone
    full = iter([StoreUnusable("the disk is full")])

    def once_full(*results: object) -> None:
        for error in full:
            raise error
        put_off(*results)  # type: ignore[arg-type]

    monkeypatch.setattr(rows, "postpone", once_full)
    fail_and_notify(bench, SendResult(False, "error=500"))
    send_again(bench, SendResult(True))
    assert [False, False] == [body.startswith("May be a duplicate") for _, _, body in bench.sink.got]


def test_a_receivers_text_is_cleaned_before_it_is_stored(bench: Bench) -> None:
    fail_and_notify(bench, SendResult(False, "error=500\x1b[2J\nno"))
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert "error=500\ufffdno" == delivery.error


def test_what_was_claimed_when_the_answer_to_the_claim_was_lost_is_sent_all_the_same(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
    bench.poller.poll_once(bench.fence)
    bench.parts.evaluator.step(bench.fence)
    bench.parts.outbox.step(bench.fence)
    wait_until_sent(bench.parts.outbox)
    assert 1 == len(bench.sink.got)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE delivery SET state = 'claimed', wire_us = NULL")
    rounds = iter([False, False, True])
    bench.parts.outbox.wake.set()
    bench.parts.outbox.run(bench.fence, lambda: next(rounds))
    wait_until_sent(bench.parts.outbox)
    assert 2 == len(bench.sink.got)


@pytest.mark.parametrize(
    "state, is_resolved, text",
    [
        ("running", False, "Delayed by 20 min.\n\nPlan 2 is at 1 of 3 steps.\n"),
        ("done", False, "Delayed by 20 min.\n"),
        ("done", True, "Delayed by 20 min.\n\nPlan 2 is done.\n"),
    ],
)
def test_a_plan_that_is_done_is_named_at_the_end_of_its_incident_only(state: str, is_resolved: bool, text: str) -> None:
    """An alert of a second failure named the plan that had repaired the first one."""
    minute_us = 60_000_000
    delivery = rows.DueDelivery(
        1, "oncall", 0, "title", "body", "key", 0, 0, False, is_resolved=is_resolved, plan=PlanFacts(2, state, 1, 3)
    )
    outbox: Any = SimpleNamespace(_now=lambda: 20 * minute_us)
    assert text == Outbox._delay_text(outbox, delivery).rstrip("\n") + "\n"
