"""Alerts through a real mail server and a real web hook, by the real command and engine, while receivers misbehave.

A replayed night replaces the schedulers: `extract_orders` has failed at 03:12. Its clock does not run faster: on a busy
machine the night would become another, with more alerts."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.demo.playback import DemoPlayback, is_evaluated, moment, set_clock, set_up
from console.engine.notify.outbox import REPEAT, REPEAT_MARK
from console.engine.notify.routing import FALLBACK_AFTER, unconfirmed_text
from console.engine.notify.self_monitoring import PROBLEM_TITLES, STORE
from console.timing.clock import ClockSetting, real_now
from tests.lab.headway import Headway
from tests.lab.process import wait_until
from tests.lab.sinks import Behaviour, HttpSink, SmtpSink
from tests.messages import without_countdown

pytestmark = pytest.mark.lab

BEFORE, AFTER = moment("03:11"), moment("03:13")
UNCONFIRMED = timedelta(minutes=2)
"""After which a fallback is notified."""
ROOT = "restart extract_orders"


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sixty nights read and judged, its clock a minute before the failure."""
    play = DemoPlayback(tmp_path_factory.mktemp("evening"))
    store = set_up(play, BEFORE, 1.0)
    headway = Headway(play.config, HEADWAY_DEMO_SINK="json://127.0.0.1:9/nobody")
    with headway.running_engine():
        wait_until(lambda: is_evaluated(store), "the history")
    store.close()
    return play.folder


class Morning:
    """A copy of that evening in which the failure has just happened, with routes of its own."""

    def __init__(self, evening: Path, folder: Path, routes: str, **urls: str) -> None:
        shutil.copytree(evening, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.log"))
        self.play = DemoPlayback(folder)
        self.store = set_up(self.play, BEFORE, 1.0)
        text = self.play.config.read_text().partition("[routes.oncall]")[0]
        self.play.config.write_text(text + routes + '[alerts]\ndefault_route = "oncall"\n')
        self.headway = Headway(self.play.config, **urls)

    @contextmanager
    def fails(self) -> Iterator[None]:
        """An engine at work once the failure has happened."""
        set_clock(self.play, self.store, ClockSetting(AFTER, real_now()))
        with self.headway.running_engine():
            yield

    def later(self, by: timedelta) -> None:
        """The clock jumps ahead."""
        set_clock(self.play, self.store, ClockSetting(AFTER + by, real_now()))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.rows(sql)]


def test_alert_test_reaches_mail_and_hook_and_says_so(
    evening: Path, tmp_path: Path, smtp: SmtpSink, http_sink: HttpSink
) -> None:
    routes = '[routes.oncall]\nurls = [{ env = "MAIL" }, { env = "HOOK" }]\n'
    morning = Morning(evening, tmp_path, routes, MAIL=smtp.url(), HOOK=http_sink.json_url())
    set_clock(morning.play, morning.store, ClockSetting(BEFORE, real_now(), 1.0, paused=True))
    with morning.headway.running_engine():
        answer = morning.headway.run_in_process("alert", "test", "oncall")
        assert (0, "") == (answer.exit_status, answer.stderr)
        assert ["env HOOK: accepted", "env MAIL: accepted"] == sorted(
            line.partition(" in ")[0] for line in answer.stdout.splitlines()
        )
        [mail], [post] = smtp.wait_for(1), http_sink.wait_for(1)
        assert ('Test of route "oncall": nothing is wrong',) * 2 == (mail.subject, post.data["title"])
        smtp.mode, http_sink.behaviour = "reject", Behaviour(status=503)
        answer = morning.headway.run_in_process("alert", "test", "oncall")
        assert 1 == answer.exit_status
        assert "env MAIL: not accepted: SMTP 550 5.1.1 no such user here" in answer.stdout
        assert "env HOOK: not accepted: " in answer.stdout
        assert "error=503" in answer.stdout
        smtp.mode, http_sink.behaviour = "drop", Behaviour()
        answer = morning.headway.run_in_process("alert", "test", "oncall")
        assert 5 == answer.exit_status
        assert "env MAIL: sent, outcome unknown: " in answer.stdout
        answer = morning.headway.run_in_process("alert", "test", "oncal")
        assert (6, True) == (answer.exit_status, 'Did you mean "oncall"?' in answer.stderr)
    assert 3 == morning.headway.run_in_process("alert", "test", "oncall").exit_status


def test_f66_a_delivery_refused_by_a_mail_server_is_abandoned_notified_on_the_fallback_and_retried(
    evening: Path, tmp_path: Path, smtp: SmtpSink, http_sink: HttpSink
) -> None:
    routes = '[routes.oncall]\nurls = [{ env = "MAIL" }]\nfallback = "boss"\n'
    routes += '[routes.boss]\nurls = [{ env = "BOSS" }]\n'
    morning = Morning(evening, tmp_path, routes, MAIL=smtp.url(), BOSS=http_sink.json_url())
    smtp.mode = "reject"
    with morning.fails():
        wait_until(lambda: smtp.rejected > 0, "the first refusal")
        morning.later(UNCONFIRMED)
        wait_until(lambda: len(http_sink.posts) >= 2, "two notifications on the fallback route")
        titles = sorted(post.data["title"] for post in http_sink.posts)
        assert (True, True) == (titles[0].endswith(' route "oncall"'), ROOT in titles[1])
        handed = next(post.data["message"] for post in http_sink.posts if ROOT in post.data["title"])
        assert handed.startswith('Route "oncall" ')
        assert (3, []) == (smtp.rejected, smtp.mails)
        listed = morning.headway.json("alert")
        assert [("parked", 3, "env MAIL")] == [(item["state"], item["tries"], item["receiver"]) for item in listed]
        assert "SMTP 550 5.1.1 no such user here (refused permanently 3 times)" == listed[0]["error"]
        wait_until(
            lambda: (
                "1 alert abandoned: oncall, SMTP 550 5.1.1 no such" in morning.headway.run_in_process("status").stdout
            ),
            "the status",
        )
        smtp.mode = "accept"
        assert 0 == morning.headway.run_in_process("alert", "retry", "--parked").exit_status
        [mail] = smtp.wait_for(1)
        assert (True, False) == (ROOT in mail.subject, REPEAT.rows[0] in mail.text)
        wait_until(lambda: [] == morning.headway.json("alert"), "the record of the mail")
        wait_until(lambda: "given up" not in morning.headway.run_in_process("status").stdout, "the status to be well")


def test_f66_where_every_url_is_down_the_fallback_is_notified_once_and_a_broken_sink_delays_no_other(
    evening: Path, tmp_path: Path, smtp: SmtpSink, http_sink: HttpSink
) -> None:
    routes = '[routes.oncall]\nurls = [{ env = "HOOK" }]\nfallback = "boss"\n'
    routes += '[routes.boss]\nurls = [{ env = "MAIL" }]\nbody = "link"\n'
    morning = Morning(evening, tmp_path, routes, HOOK=http_sink.json_url(), MAIL=smtp.url())
    http_sink.behaviour = Behaviour(status=503)
    with morning.fails():
        wait_until(lambda: bool(http_sink.posts), "the first refusal")
        morning.later(UNCONFIRMED)
        [mail] = smtp.wait_for(1)
        assert ROOT in mail.subject
        assert unconfirmed_text("oncall", FALLBACK_AFTER) in mail.text
        for text in ("SERVICE", "headway incident INC-0001"):
            assert text in mail.text
        for text in ("error=503", "Last log lines", "  | "):
            assert text not in mail.text
        http_sink.behaviour = Behaviour()
        wait_until(lambda: ("sent",) in morning.rows("SELECT state FROM delivery WHERE receiver = 'env HOOK'"), "it")
        assert 1 == len(smtp.mails)
        assert ROOT in http_sink.posts[-1].data["title"]


def test_f12_a_full_store_is_notified_from_memory_and_recorded_when_there_is_space_again(
    evening: Path, tmp_path: Path, http_sink: HttpSink
) -> None:
    routes = '[routes.oncall]\nurls = [{ env = "HOOK" }]\n'
    morning = Morning(evening, tmp_path, routes, HOOK=http_sink.json_url())
    set_clock(morning.play, morning.store, ClockSetting(BEFORE, real_now(), 1.0, paused=True))
    with morning.headway.running_engine() as engine:
        _, hard = resource.prlimit(engine.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (16 * 1024, hard))
        [post] = http_sink.wait_for(1)
        assert post.data["title"].endswith(f": {PROBLEM_TITLES[STORE]}")
        assert "headway.db" in post.data["message"]
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (hard, hard))
        _, over = http_sink.wait_for(2)
        assert "store available again" in over.data["title"]
        entries = [("headway", "headway:store", "sent", 1)] * 2
        query = "SELECT a.kind, a.dedup_key, d.state, d.tries FROM alert a JOIN delivery d ON d.alert_id = a.id"
        wait_until(lambda: morning.rows(f"{query} ORDER BY a.id") == entries, f"{entries} in the store")
        assert 2 == len(http_sink.posts)


def test_f66_an_answer_that_is_lost_is_one_marked_repeat(evening: Path, tmp_path: Path, smtp: SmtpSink) -> None:
    morning = Morning(evening, tmp_path, '[routes.oncall]\nurls = [{ env = "MAIL" }]\n', MAIL=smtp.url())
    smtp.mode = "drop"
    with morning.fails():
        smtp.wait_for(1)
        smtp.mode = "accept"
        mails = smtp.wait_for(2)
        wait_until(lambda: ("sent",) in morning.rows("SELECT state FROM delivery"), "the record")
    assert [False, True] == [REPEAT.rows[0] in mail.text for mail in mails]
    first, repeat = (without_countdown(mail.subject) for mail in mails)
    assert f"{first}{REPEAT_MARK}" == repeat


def test_a_mail_server_that_is_stopped_is_shown_and_each_alert_arrives_once_after_its_return(
    evening: Path, tmp_path: Path, smtp: SmtpSink
) -> None:
    morning = Morning(evening, tmp_path, '[routes.oncall]\nurls = [{ env = "MAIL" }]\n', MAIL=smtp.url())
    smtp.stop()
    with morning.fails():
        notice = (
            f"\nPROBLEM: 1 alert not delivered: oncall, 127.0.0.1:{smtp.port}: Connection refused (headway alert)\n"
        )
        wait_until(lambda: notice in morning.headway.run_in_process("status").stdout, "the status")
        [waiting] = morning.headway.json("alert")
        assert ("env MAIL", True) == (waiting["receiver"], "Connection refused" in waiting["error"])
        check = morning.headway.run_in_process("check")
        assert (1, True) == (check.exit_status, "Connection refused. Fix: start that mail server" in check.stdout)
        smtp.start()
        wait_until(lambda: {("sent",)} == set(morning.rows("SELECT state FROM delivery")), "the record")
        wait_until(
            lambda: "not delivered" not in morning.headway.run_in_process("status").stdout, "the status to be well"
        )
    [mail] = smtp.mails
    assert (True, False) == (ROOT in mail.subject, REPEAT.rows[0] in mail.text)


def test_f66_greylisting_is_no_repeat_and_a_slow_receiver_delays_no_other(
    evening: Path, tmp_path: Path, smtp: SmtpSink, http_sink: HttpSink
) -> None:
    routes = '[routes.oncall]\nurls = [{ env = "HOOK" }, { env = "MAIL" }]\n'
    morning = Morning(evening, tmp_path, routes, MAIL=smtp.url(), HOOK=http_sink.json_url())
    smtp.mode, http_sink.behaviour = "refuse", Behaviour(delay_seconds=20)
    with morning.fails():
        refused = "SELECT tries FROM delivery WHERE receiver = 'env MAIL' AND error LIKE 'SMTP 451%'"
        wait_until(lambda: bool(morning.rows(refused)), "the first refusal")
        smtp.mode = "accept"
        [mail] = smtp.wait_for(1)
        assert (True, False) == (ROOT in mail.subject, REPEAT.rows[0] in mail.text)
        wait_until(lambda: bool(http_sink.posts), "the slow one")
        http_sink.behaviour = Behaviour()
        wait_until(lambda: {("sent",)} == set(morning.rows("SELECT state FROM delivery")), "both")
    repeats = [REPEAT.rows[0] in post.data["message"] for post in http_sink.posts]
    assert (False, True) == (repeats[0], repeats[-1])
    assert 1 == len(smtp.mails)
