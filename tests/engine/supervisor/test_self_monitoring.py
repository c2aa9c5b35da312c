"""Headway reports its own faults: through the store, or from memory while the store cannot be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from connectors.sdk.secrets import SecretStore
from console.config.sections import AlertSettings
from console.domain.switches import MODE
from console.engine import worker
from console.engine.notify import backoff, self_monitoring
from console.engine.notify.backoff import RetryDecision
from console.engine.notify.outbox import REPEAT_MARK
from console.engine.notify.self_monitoring import OUTBOX, PARTS, PROBLEM_TITLES, STORE, SelfMonitor
from console.engine.notify.senders import SendResult, send_by_apprise
from console.engine.supervisor.engine import _persistent_troubles
from console.engine.worker import WorkerFailures
from console.store import alert_routing as rows_module
from console.store.errors import StoreUnusable
from tests.engine.bench import Bench
from tests.engine.notify.test_routing import BAD, bench_of, fail, later, post_of, route, rows
from tests.factories import at
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.sinks import SmtpSink
from tests.messages import REPEAT_TEXT
from tests.present import present
from tests.reasons import dated

FULL = {STORE: "the store at x: database or disk is full"}


@pytest.fixture(autouse=True)
def no_sender_is_left() -> Iterator[None]:
    """One that is left tries for hours, and draws from `random` amid the properties of other tests, which must not."""
    yield
    no_sender_waits()


def at_once() -> SelfMonitor:
    return SelfMonitor({STORE: 0.0, OUTBOX: 0.0, PARTS: 0.0})


def titles(bench: Bench) -> list[str]:
    return [title for _, title, _ in post_of(bench).got]


def test_a_worker_that_crashes_repeatedly_is_notified_to_the_default_route_once_and_again_when_it_works(
    tmp_path: Path,
) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = at_once()
        for _ in range(3):
            own.report(bench.parts, bench.fence, {PARTS: "evaluate broke: ValueError: x"})
        bench.send()
        assert ["Headway bench: degraded, engine workers keep failing"] == titles(bench)
        assert "evaluate broke: ValueError: x" in post_of(bench).got[0][2]
        own.report(bench.parts, bench.fence, {})
        bench.send()
        assert ["Resolved: Headway bench: all engine workers run again"] == titles(bench)[1:]
        assert [("headway:parts", None, "headway"), ("headway:parts", None, "headway")] == rows(
            bench, "SELECT dedup_key, incident_id, kind FROM alert"
        )


def test_another_engine_does_not_repeat_the_notification_within_the_hour(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        for _ in range(2):
            at_once().report(bench.parts, bench.fence, {PARTS: "evaluate broke"})
        bench.send()
        assert 1 == len(titles(bench))


def test_a_problem_that_returns_is_notified_again(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = at_once()
        for troubles in ({PARTS: "evaluate broke"}, {}, {PARTS: "evaluate broke"}):
            own.report(bench.parts, bench.fence, troubles)
        bench.send()
        assert ["keep failing", "run again", "keep failing"] == [
            " ".join(title.split()[-2:]) for title in titles(bench)
        ]


def test_a_short_problem_is_not_notified(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = SelfMonitor()
        own.report(bench.parts, None, FULL)
        own.report(bench.parts, bench.fence, {})
        bench.send()
        assert [] == titles(bench)


def test_workers_that_failed_in_a_restart_of_the_database_are_notified_only_if_they_go_on_failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are notified with the failure that shows it, after which `began` says that it has lasted."""
    clock = [1_000.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    failures, own = WorkerFailures(SecretStore()), SelfMonitor()
    error = StoreUnusable("the server closed the connection")
    with bench_of(tmp_path, oncall=route("ONE")) as bench:

        def renewed(second: float) -> list[str]:
            clock[0] = 1_000.0 + second
            began = time.monotonic() - worker.STORE_LASTS_SECONDS
            own.report(bench.parts, bench.fence, _persistent_troubles([failures]), began)
            bench.send()
            return titles(bench)

        for number, second in enumerate((0.0, 1.0, 3.0, 7.0, 15.0), 1):
            clock[0] = 1_000.0 + second
            failures.record("evaluate", error, number)
        assert [[]] * 4 == [renewed(second) for second in (16.0, 24.0, 36.0, 60.0)]
        clock[0] = 1_031.0
        failures.record("evaluate", error, 6)
        assert ["Headway bench: cannot send alerts, store unavailable"] == renewed(34.0)
        assert "Resolved: Headway bench: store available again" == renewed(92.0)[-1]


def test_a_store_that_delayed_an_attempt_is_notified_at_the_first_error(tmp_path: Path) -> None:
    """The age of a lock counts from the first attempt: a locked SQLite file answers only after 30 s."""
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = SelfMonitor()
        own.report(bench.parts, None, {STORE: "the store at x: database is locked"}, time.monotonic() - 30)
        wait_until(lambda: bool(post_of(bench).got), "the alert")
        assert ["Headway bench: cannot send alerts, store unavailable"] == titles(bench)


def test_f12_a_full_store_is_notified_from_memory_and_recorded_later_and_not_sent_again(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        post_of(bench).answers["two"] = SendResult(False, "error=500")
        own = at_once()
        own.report(bench.parts, None, FULL)
        wait_until(lambda: len(post_of(bench).got) >= 2, "both sendings")
        assert [] == rows(bench, "SELECT id FROM alert")
        wait_until(lambda: bool(recorded(bench, own)), "the record")
        first, second = rows(
            bench, "SELECT receiver, state, tries > 0, error FROM delivery WHERE alert_id = 1 ORDER BY id"
        )
        assert ("env ROUTE_ONE", "sent", 1, "") == first
        assert ("env ROUTE_TWO", "pending", 1, "error=500") == second
        post_of(bench).answers.clear()
        later(bench)
        texts = [title for title, _ in post_of(bench).to("one")]
        assert [
            "Headway bench: cannot send alerts, store unavailable",
            "Resolved: Headway bench: store available again",
        ] == texts
        assert {"sent"} == {state for (state,) in rows(bench, "SELECT state FROM delivery")}


def test_two_engines_notify_of_one_outage_with_one_message_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail program shows them once. The error of the driver has two lines."""
    refused = "the store at postgresql://db07: Connection refused\n\tIs the server running?"
    server = SmtpSink()
    server.start()
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        monkeypatch.setenv("ROUTE_ONE", server.url())
        bench.parts.channels.send = send_by_apprise
        for store, outage in (("a", "03:00"), ("a", "03:00"), ("a", "04:00"), ("b", "03:00")):
            engine = at_once()
            engine.store_id, engine.lease_since = store, at(outage)
            engine.report(bench.parts, None, {STORE: refused})
        mails = server.wait_for(4)
    server.stop()
    assert 3 == len({mail.message["Message-ID"] for mail in mails})
    assert "  | the store at postgresql://db07: Connection refused · Is the server running?" in mails[0].text


def test_an_engine_without_the_lease_notifies_a_chat_of_its_store_later_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails of several engines have one Message-ID; a chat shows each message. Once the store is back, the engine with
    the lease reports the end, and the next outage is a new one."""
    problem = "Headway bench: cannot send alerts, store unavailable"
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        monkeypatch.setenv("ROUTE_ONE", "mailto://one.example/")
        own, post = at_once(), post_of(bench)
        own.leads = False
        own.report(bench.parts, None, FULL)
        wait_until(lambda: len(post.to("one")) == 1, "the mail")
        own.note_standby(bench.parts, 60.0)
        no_sender_waits()
        assert [] == post.to("two")
        wait_until(lambda: stands_by(bench, own), "the end")
        wait_until(lambda: len(post.got) == 2, "the end")
        monkeypatch.setattr(self_monitoring, "SECOND_SECONDS", 0.0)
        own.report(bench.parts, None, FULL)
        wait_until(lambda: len(post.got) == 4, "both")
        [(title, body)] = post.to("two")
        assert [problem, END, problem] == [title for title, _ in post.to("one")]
        assert (f"{problem}{REPEAT_MARK}", "May be a duplicate: the engine with the lease may") == (title, body[:49])
        at_once().report(bench.parts, None, FULL)
        wait_until(lambda: len(post.got) == 6, "both")
        assert problem == post.to("two")[1][0]


def no_sender_waits() -> None:
    wait_until(lambda: not any(thread.name.startswith("own alert") for thread in threading.enumerate()), "their end")


END = "Resolved: Headway bench: store available again"


def retries_wait(patch: pytest.MonkeyPatch) -> threading.Event:
    """What did not arrive is sent again at once, but not before this is set."""
    go = threading.Event()

    def retry(*_: object, **__: object) -> RetryDecision:
        assert go.wait(HANGS_SECONDS)
        return RetryDecision(timedelta(0))

    patch.setattr(self_monitoring, "after_failure", retry)
    return go


def stands_by(bench: Bench, own: SelfMonitor) -> bool:
    """Whether the engine without the lease has dropped what it reported, all of which has been sent."""
    own.note_standby(bench.parts, 0.0)
    return not own._offline


def test_an_engine_without_the_lease_ends_what_arrived_where_the_engine_with_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first one lost the store, or the second one had it back sooner. Each receiver reads one end."""
    monkeypatch.setattr(self_monitoring, "SECOND_SECONDS", 0.0)
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        post = post_of(bench)
        post.answers["one"] = SendResult(False, "error=503")

        def lose_store() -> SelfMonitor:
            own, count = at_once(), len(post.got)
            own.leads = False
            own.report(bench.parts, None, FULL)
            wait_until(lambda: {"one", "two"} == {name for name, _, _ in post.got[count:]}, "both")
            return own

        own = lose_store()
        wait_until(lambda: stands_by(bench, own), "the first end")
        wait_until(lambda: len(post.to("two")) == 2, "the first end")
        assert (END, []) == (post.to("two")[1][0], own._offline), (
            "to be sent to no other URL by an engine with the lease"
        )
        leader, own = at_once(), lose_store()
        post.answers.clear()
        leader.report(bench.parts, bench.fence, FULL)
        wait_until(lambda: stands_by(bench, own), "a problem that the store has")
        own = lose_store()
        leader.report(bench.parts, bench.fence, {})
        wait_until(lambda: stands_by(bench, own), "an end that the store has")
        bench.send()
        no_sender_waits()
        assert [1, 2] == [[title for title, _ in post.to(name)].count(END) for name in ("one", "two")]


def test_an_engine_without_the_lease_reports_again_what_one_read_of_the_store_had_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench_of(tmp_path, oncall=route("ONE", "TWO")) as bench:
        monkeypatch.setenv("ROUTE_ONE", "mailto://one.example/")
        own, post = at_once(), post_of(bench)
        own.leads = False
        own.report(bench.parts, None, FULL)
        own.note_standby(bench.parts, 60.0)
        no_sender_waits()
        assert [] == post.to("two")
        monkeypatch.setattr(self_monitoring, "SECOND_SECONDS", 0.0)
        own.report(bench.parts, None, FULL)
        wait_until(lambda: len(post.to("two")) == 1, "the chat")


def test_the_end_of_an_engine_without_the_lease_stops_where_the_problem_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pager would close the page of the new one."""
    monkeypatch.setattr(self_monitoring, "SECOND_SECONDS", 0.0)
    problem = f"Headway bench: cannot send alerts, store unavailable{REPEAT_MARK}"
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own, post = at_once(), post_of(bench)
        own.leads = False
        own.report(bench.parts, None, FULL)
        wait_until(lambda: len(post.got) == 1, "the problem")
        no_sender_waits()
        go = retries_wait(monkeypatch)
        post.answers["one"] = SendResult(False, "error=503")
        wait_until(lambda: stands_by(bench, own), "its end")
        wait_until(lambda: len(post.got) >= 2, "a try of its end")
        own.report(bench.parts, None, FULL)
        post.answers.clear()
        go.set()
        no_sender_waits()
        assert ([problem, END], {problem}) == (titles(bench)[:2], set(titles(bench)[2:]))


def recorded(bench: Bench, own: SelfMonitor) -> list[tuple[object, ...]]:
    own.report(bench.parts, bench.fence, {})
    return [] if own._offline else rows(bench, "SELECT id FROM alert")


def test_a_store_that_fails_during_the_notification_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnusable("the store at x: database or disk is full")

    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = at_once()
        with monkeypatch.context() as patch:
            patch.setattr(rows_module, "create_alert", full)
            own.report(bench.parts, bench.fence, {PARTS: "outbox broke"})
        wait_until(lambda: bool(titles(bench)), "the alert from memory")
        wait_until(lambda: bool(recorded(bench, own)), "the record")


def test_an_alert_that_cannot_be_recorded_is_still_sent_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnusable("the store at x: database or disk is full")

    go = retries_wait(monkeypatch)
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = SendResult(False, "error=503")
        own = at_once()
        own.report(bench.parts, None, FULL)
        wait_until(lambda: bool(post_of(bench).got) and not own._offline[0].sending, "the first try")
        with monkeypatch.context() as patch:
            patch.setattr(rows_module, "record_offline_alert", full)
            with pytest.raises(StoreUnusable):
                own.report(bench.parts, bench.fence, {})
            post_of(bench).answers.clear()
            go.set()
            wait_until(lambda: 2 <= len(post_of(bench).got), "the second try")
        wait_until(lambda: bool(recorded(bench, own)), "the record")


def test_a_receiver_that_refuses_permanently_is_logged_and_not_retried_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log alone has the reason while no store can be used."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    with bench_of(tmp_path, oncall=route("ONE")) as bench, capture_logs() as logged:
        post_of(bench).answers["one"] = BAD
        at_once().report(bench.parts, None, FULL)
        wait_until(lambda: 3 == len(post_of(bench).got), "three tries")
        wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "own alert 0"], "its end")
        assert 3 == len(post_of(bench).got)
    errors = [entry["error"] for entry in logged if entry["event"] == "alert not sent"]
    assert [BAD.reason, BAD.reason, f"{BAD.reason} (refused permanently 3 times)"] == errors


def test_a_repeat_from_memory_is_marked_where_the_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "LEAST_REPEAT", timedelta(0))
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = SendResult(None, "the server closed the connection")
        own = at_once()
        own.report(bench.parts, None, FULL)
        wait_until(lambda: 2 <= len(post_of(bench).got), "two tries")
        bodies = [body for _, _, body in post_of(bench).got[:2]]
        assert [False, True] == [body.startswith(REPEAT_TEXT) for body in bodies]
        wait_until(lambda: bool(recorded(bench, own)), "the record")


def test_a_lasting_problem_is_notified_again_as_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.engine.notify.self_monitoring.RETRY_SECONDS", 0.0)
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        own = at_once()
        for number in (1, 2):
            own.report(bench.parts, None, FULL)
            wait_until(lambda number=number: number == len(titles(bench)), "the alert from memory")  # type: ignore[misc]
        title = f"Headway bench: {PROBLEM_TITLES[STORE]}"
        assert [title, f"Reminder: {title}"] == titles(bench)


def test_without_a_default_route_it_is_in_the_log_and_the_status_only(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        bench.parts.config = replace(bench.config, alerts=AlertSettings())
        at_once().report(bench.parts, bench.fence, FULL)
        assert [] == rows(bench, "SELECT id FROM alert")


def in_shadow(bench: Bench, *live: str) -> None:
    with bench.store.write(None) as connection:
        for name, value in ((MODE, "shadow"), *((name, "live") for name in live)):
            connection.rows(
                "INSERT INTO switch (name, value, set_by, why, at_us) VALUES (?, ?, '', '', 0)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )


def shadow_titles(bench: Bench) -> list[str]:
    with bench.reads() as reads:
        return [dated(event.text) for event in reads.estate.shadow_events(present() - timedelta(days=1))[0]]


def test_an_estate_in_shadow_records_its_own_notifications_and_sends_nothing(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        in_shadow(bench)
        own = at_once()
        own.report(bench.parts, bench.fence, {})
        own.report(bench.parts, None, FULL)
        own.report(bench.parts, bench.fence, {PARTS: "evaluate broke"})
        own.report(bench.parts, bench.fence, {})
        bench.send()
        assert [] == titles(bench)
        assert [] == rows(bench, "SELECT id FROM alert")
        assert [
            "would have notified oncall: Resolved: Headway bench: all engine workers run again",
            "would have notified oncall: Headway bench: degraded, engine workers keep failing",
            "would have notified oncall: Resolved: Headway bench: store available again",
            f"would have notified oncall: Headway bench: {PROBLEM_TITLES[STORE]}",
        ] == shadow_titles(bench)


def test_an_estate_in_shadow_notifies_the_shadow_route_of_itself_where_it_has_one(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE"), trial=route("TWO")) as bench:
        bench.parts.config = replace(bench.config, alerts=AlertSettings(default_route="oncall", shadow_route="trial"))
        in_shadow(bench)
        own = at_once()
        own.report(bench.parts, bench.fence, {})
        own.report(bench.parts, None, FULL)
        wait_until(lambda: bool(post_of(bench).got), "the alert from memory")
        [(title, body)] = post_of(bench).to("two")
        assert title.startswith("Shadow: Headway bench: cannot send alerts, store unavailable")
        assert body.partition("\n\n")[0].endswith(" oncall.")
        assert [] == post_of(bench).to("one")


def test_an_estate_with_something_live_notifies_of_itself(tmp_path: Path) -> None:
    """An estate with anything live is notified of failing engine workers."""
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        in_shadow(bench, "system fake")
        own = at_once()
        own.report(bench.parts, bench.fence, {PARTS: "evaluate broke"})
        bench.send()
        assert ["Headway bench: degraded, engine workers keep failing"] == titles(bench)


def test_what_was_given_up_is_only_recorded_in_shadow(tmp_path: Path) -> None:
    with bench_of(tmp_path, oncall=route("ONE")) as bench:
        post_of(bench).answers["one"] = BAD
        fail(bench, "extract")
        in_shadow(bench)
        for _ in range(4):
            later(bench)
        assert ['would have notified oncall: 1 alert not delivered: route "oncall"'] == shadow_titles(bench)
        assert [] == rows(bench, "SELECT id FROM alert WHERE kind = 'headway'")
