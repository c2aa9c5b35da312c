"""What becomes of one delivery: what the receiver said, when it is tried again, and when it says that it may repeat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.domain.estate import PlanFacts
from console.domain.ids import micros
from console.domain.message import Message, body_text
from console.engine.notify import senders
from console.engine.notify.outbox import REPEAT, Outbox
from console.engine.notify.paging import Page
from console.engine.notify.senders import SendResult, send_by_apprise
from console.store import outbox as rows
from console.store.alerts import AlertRouting, AttentionRequest, request_attention
from console.store.errors import StoreUnusable
from console.timing.clock import real_now
from tests.engine.bench import Bench, estate_config, running_bench, wait_until_sent
from tests.fakes.scheduler import FakeScheduler
from tests.fakes.web_server import web_server
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.messages import message_of

MESSAGE = message_of("title", "body")


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
    sent = send_by_apprise(f"json://127.0.0.1:{port}/", MESSAGE, Page("incident"))
    assert (False, f"127.0.0.1:{port}: Connection refused") == (sent.arrived, sent.reason)


def test_a_refusal_is_heard_although_another_sending_ended_meanwhile() -> None:
    """Senders share apprise's one logger; each must hear its own receiver."""
    begun, over = threading.Event(), threading.Event()
    entered = threading.Event()

    def answer(path: str) -> int:
        if path == "/taken":
            entered.set()
            assert begun.wait(HANGS_SECONDS)
            return 200
        begun.set()
        assert over.wait(HANGS_SECONDS)
        return 500

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # as the engine's logs are set up
    results: list[SendResult] = []
    with web_hook(answer) as url:
        first = threading.Thread(
            target=lambda: results.append(send_by_apprise(f"{url}/taken", MESSAGE, Page("incident")))
        )
        first.start()
        assert entered.wait(HANGS_SECONDS)
        second = threading.Thread(
            target=lambda: results.append(send_by_apprise(f"{url}/refused", MESSAGE, Page("incident")))
        )
        second.start()
        first.join(HANGS_SECONDS)
        over.set()
        second.join(HANGS_SECONDS)
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


def test_a_success_makes_what_its_receiver_refused_due_at_once(bench: Bench) -> None:
    """A login that is wrong refuses each message for good, until it is right."""
    bench.scheduler.job("transform")
    fail_and_notify(bench, SendResult(False, "403", for_good=True))
    bench.sink.answer = SendResult(True)
    bench.scheduler.attempt("transform", "t1", RunState.FAILED, datetime.now(UTC))
    bench.turn()
    bench.send()
    assert 3 == len(bench.sink.got)
    with bench.reads() as reads:
        assert [["sent"], ["sent"]] == [
            [delivery.state for delivery in reads.incidents.incident(number).deliveries] for number in (1, 2)
        ]


def stop_plan(bench: Bench) -> None:
    """A plan of incident 1 stops, which needs a person."""
    need = AttentionRequest(
        "plan:3", "plan 3 stopped", "resume it", "exit 1", (("Do", "headway plan resume 3"),), "ann", 1, None
    )
    with bench.store.write(bench.fence) as session:
        request_attention(session, AlertRouting({"oncall": ("env BENCH_URL",)}, "oncall"), need, micros(real_now()))


def test_a_plan_that_stops_while_its_receiver_is_down_is_sent_in_one_message_with_the_incident(bench: Bench) -> None:
    fail_and_notify(bench, SendResult(False, "451"))
    stop_plan(bench)
    for answer in (SendResult(False, "451"), SendResult(True)):
        send_again(bench, answer)
    (_, first, _), *_, (_, title, body) = bench.sink.got
    assert title.endswith(": plan 3 stopped: resume it [INC-0001]")
    assert body.index("headway plan resume 3") < body.index(first.partition(" (in ")[0]) < body.index("headway recover")
    assert 3 == len(bench.sink.got)
    with bench.reads() as reads:
        assert {("opened", "sent", 3), ("person", "digested", 2)} == {
            (delivery.kind, delivery.state, delivery.tries)
            for delivery in reads.incidents.incident(1).deliveries
            if delivery.sent is not None
        }


@pytest.mark.parametrize(
    "refusals, hours, answer, parked",
    [
        (3, 0, SendResult(False, "413", for_good=True), ("refused permanently 4 times", 4)),
        (0, 25, SendResult(False, "503"), ("not accepted within 1d", 0)),
    ],
)
def test_an_alert_that_needs_a_person_is_abandoned_by_its_own_refusals_and_age(
    bench: Bench, refusals: int, hours: int, answer: SendResult, parked: tuple[str, int]
) -> None:
    """The state that it is sent in was tried once more after three refusals, or is a day old."""
    fail_and_notify(bench, SendResult(False, "451"))
    with bench.store.write(bench.fence) as session:
        hours_us = hours * 3_600_000_000
        session.rows("UPDATE delivery SET refusals = ?, since_us = since_us - ?", (refusals, hours_us))
    stop_plan(bench)
    send_again(bench, answer)
    assert [("parked", parked), ("pending", ("", int(answer.for_good)))] == [
        (row.state, (row.error.partition(" (")[2].rstrip(")"), row.refusals))
        for row in bench.store.rows("SELECT state, error, refusals FROM delivery ORDER BY id LIMIT 2")
    ]
    send_again(bench, SendResult(True))
    assert [("sent",)] == bench.store.rows("SELECT state FROM delivery WHERE id = 2")


def test_what_waits_when_an_engine_begins_is_sent_after_its_first_evaluation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Restart it by 05:48" left 0.1 s before "breached": the engine was down meanwhile."""
    fail_and_notify(bench, SendResult(False, "451"))
    bench.sink.answer = SendResult(True)
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE delivery SET next_us = 0")
    bench.restart(dead=True)
    checks, sent = count(), list[int]()

    def stopping() -> bool:
        if (number := next(checks)) == 1:
            bench.parts.evaluator.step(bench.fence)
            sent.append(len(bench.sink.got))
        return number > 1

    monkeypatch.setattr(bench.parts.outbox.wake, "wait", lambda _: True)
    bench.parts.outbox.run(bench.fence, stopping)
    wait_until_sent(bench.parts.outbox)
    assert ([1], 2) == (sent, len(bench.sink.got))


def test_an_alert_that_is_sent_before_an_evaluation_sees_its_act_by_pass_says_so(bench: Bench) -> None:
    """The engine was down meanwhile, or what needs a person waited while its incident had been notified in time."""
    fail_and_notify(bench, SendResult(False, "451"))
    [(act_by,)] = bench.store.rows("SELECT act_by_us FROM incident")
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE incident SET act_by_us = ?", (micros(real_now()),))
    send_again(bench, SendResult(False, "451"))
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE incident SET act_by_us = ?", (act_by,))
    send_again(bench, SendResult(True))
    line = "Its act-by has passed since this was written.\n\n"
    assert [False, True, False] == [body.startswith(line) for _, _, body in bench.sink.got]


def test_a_lost_answer_stays_lost_although_the_receiver_is_out_of_reach_afterwards(bench: Bench) -> None:
    """The first may have arrived, whatever became of the second: the third says so."""
    fail_and_notify(bench, SendResult(None, "read timed out"))
    send_again(bench, SendResult(False, "connection refused"))
    send_again(bench, SendResult(True))
    assert [False, True, True] == [body.startswith(REPEAT.rows[0]) for _, _, body in bench.sink.got]


def test_a_repeat_is_marked_in_its_title_and_counts_no_minutes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four mails within 47 s, each "(in 3 min)"; the list of a mail program shows the title alone."""
    title = "Daily 07:30 at risk: restart load (in db) by 21 Nov 07:29{} [INC-0001]"
    fail_and_notify(bench, SendResult(False, "connection refused"))
    with bench.store.write(None) as connection:
        message = message_of(title.format(" (in 1 h 8 min)"))
        connection.rows("UPDATE alert SET message = ?", (message.to_json(),))
    send_again(bench, SendResult(None, "read timed out"))
    send_again(bench, SendResult(None, "read timed out"))
    monkeypatch.setattr("console.engine.notify.outbox.LATE_US", 0)
    send_again(bench, SendResult(True))
    (_, retried, _), (_, soon, body), (_, late, same_body) = bench.sink.got[1:]
    assert (title.format(""), f"{title.format('')} (may be a duplicate)") == (retried, soon)
    assert soon == late
    assert f"Delayed by under 1 min.\n\n{body}" == same_body


def test_a_sender_that_breaks_is_tried_again_after_a_pause_as_a_marked_repeat(bench: Bench) -> None:
    def broken(url: str, message: Message, page: Page) -> SendResult:
        bench.sink(url, message, page)
        raise ZeroDivisionError

    bench.parts.channels.send = broken
    fail_and_notify(bench, SendResult(True))
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert ("pending", 1, 1) == (delivery.state, delivery.tries, delivery.repeats)
    bench.parts.channels.send = bench.sink
    send_again(bench, SendResult(True))
    assert [False, True] == [body.startswith(REPEAT.rows[0]) for _, _, body in bench.sink.got]


def test_however_much_waits_for_a_broken_receiver_the_others_have_theirs(bench: Bench) -> None:
    """A storm of alerts, one of two receivers down: what waits for it must not stand in the other's way."""
    fail_and_notify(bench, SendResult(True))
    with bench.store.write(None) as connection:
        connection.rows(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 602) INSERT INTO alert"
            " (id, incident_id, dedup_key, kind, version, route, message, made_us)"
            " SELECT i, 1, 'k', 'updated', i, CASE WHEN i = 602 THEN 'oncall' ELSE 'down' END, 't', 0 FROM n"
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

    def send(url: str, message: Message, page: Page) -> SendResult:
        if "silent" in url:
            free.wait(HANGS_SECONDS * 3)
        else:
            prompt.set()
        return SendResult(True)

    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    route = RouteSettings(urls=tuple(SecretRef(env=name) for name in names))
    with running_bench(tmp_path, scheduler, replace(config, routes={"oncall": route})) as bench:
        bench.parts.channels.send = send
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
        bench.poller.poll_once(bench.fence)
        bench.parts.evaluator.step(bench.fence)
        try:
            for _ in range(len(names)):
                bench.parts.outbox.step(bench.fence)
            assert prompt.wait(HANGS_SECONDS)
            wait_until(lambda: len(bench.parts.outbox.hanging(0.0)) == 60, "the others to hang still")
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
    assert [False, False] == [body.startswith(REPEAT.rows[0]) for _, _, body in bench.sink.got]


def test_a_receivers_text_is_cleaned_before_it_is_stored(bench: Bench) -> None:
    fail_and_notify(bench, SendResult(False, "error=500\x1b[2J\nno"))
    with bench.reads() as reads:
        (delivery,) = reads.incidents.incident(1).deliveries
    assert "error=500 · no" == delivery.error


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
        1,
        "oncall",
        0,
        message_of("title", "body"),
        "key",
        0,
        0,
        False,
        is_resolved=is_resolved,
        plan=PlanFacts(2, state, 1, 3),
    )
    outbox: Any = SimpleNamespace(_now=lambda: 20 * minute_us)
    assert text == body_text(Outbox._delay_blocks(outbox, delivery))
