"""Alerts by mail, to a real mail server: a thread for each incident, text and HTML, and a refusal that is one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.control.alerts.headline import NO_SERVICE
from console.domain.ids import micros
from console.domain.message import NO_MESSAGE
from console.engine.notify.backoff import RetryDecision
from console.engine.notify.mail import MailThread, as_html, mail_thread, send_mail
from console.engine.notify.paging import Page
from console.engine.notify.senders import Outgoing, SendResult, send_by_apprise
from console.engine.supervisor.assembly import EngineAssembly
from console.store.db import lease
from console.store.db.lease import HeldLease, LeaseHolder
from console.store.outbox import DueDelivery
from tests.engine.bench import Bench, Sink, estate_config, running_bench, wait_until_sent
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import free_port
from tests.lab.sinks import SmtpSink
from tests.messages import message_of
from tests.store.ready import open_ready


def thread_of(
    store_id: str, key: str, route: str, number: int, is_about_incident: bool, begins: bool, parts: tuple[str, ...] = ()
) -> MailThread:
    incident_id = 1 if is_about_incident else None
    delivery = DueDelivery(
        number, route, 0, NO_MESSAGE, key, 0, 0, False, incident_id=incident_id, begins=begins, parts=parts
    )
    return mail_thread(Outgoing(delivery, NO_MESSAGE, Page(key), store_id))


ROOT = thread_of("store", "run:a@b", "oncall", 1, True, begins=True)
LATER = thread_of("store", "run:a@b", "oncall", 2, True, begins=False)
BODY = "hosts/extract failed: exit 1\n\nLast log lines:\n\n  | <b>no space</b> & more\n  | \u202eend\n\nOpen it: x\n"


@pytest.fixture
def server() -> Iterator[SmtpSink]:
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()


def test_the_mails_of_an_incident_are_one_thread_and_a_repeat_is_the_same_mail(server: SmtpSink) -> None:
    for thread in (ROOT, LATER, LATER):
        sent = send_mail(server.url(), message_of("failed [INC-0001]", BODY), thread)
        assert sent is not None
        assert sent.arrived
    first, later, repeat = (mail.message for mail in server.mails)
    assert (None, f"<headway.{ROOT.own}@example.org>") == (first["In-Reply-To"], first["Message-ID"])
    assert first["Message-ID"] == later["In-Reply-To"] == later["References"]
    assert later["Message-ID"] == repeat["Message-ID"] != first["Message-ID"]
    assert ROOT.own != thread_of("store", "run:a@b", "finance", 1, True, begins=True).own
    others = (thread_of("other", "run:a@b", "oncall", number, True, begins=number == 1) for number in (1, 2))
    assert {ROOT.own, LATER.own}.isdisjoint(other.own for other in others)


def test_the_mails_of_a_merged_incident_are_in_the_thread_of_the_whole(server: SmtpSink) -> None:
    part = thread_of("store", "run:c@d", "oncall", 3, True, begins=True)
    whole = thread_of("store", "run:a@b", "oncall", 4, True, begins=False, parts=("run:c@d",))
    for thread in (ROOT, part, whole):
        send_mail(server.url(), message_of("failed [INC-0001]", BODY), thread)
    first, second, update = (mail.message for mail in server.mails)
    assert first["Message-ID"] == update["In-Reply-To"]
    assert [second["Message-ID"], first["Message-ID"]] == update["References"].split()


def test_what_is_about_no_incident_belongs_to_no_thread(server: SmtpSink) -> None:
    send_mail(
        server.url(), message_of("Test", "x\n"), thread_of("store", "headway:test", "oncall", 9, False, begins=True)
    )
    assert (None, None) == (server.mails[0].message["In-Reply-To"], server.mails[0].message["References"])


def test_a_mail_says_the_same_as_text_and_as_html_with_everything_escaped(server: SmtpSink) -> None:
    send_mail(server.url(), message_of("<i>x</i> [INC-0001]", BODY), ROOT)
    message = server.mails[0].message
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]
    assert f"<i>x</i> [INC-0001]\n\n{BODY}" == text.get_content().replace("\r\n", "\n")
    page = html.get_content()
    assert "&lt;b&gt;no space&lt;/b&gt; &amp; more" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert set(re.findall(r"<(\w+)", page)) <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "p",
        "br",
        "pre",
        "code",
        "wbr",
    }
    assert "<i>x</i> [INC-0001]" == message["Subject"]


def test_the_page_fits_a_phone_in_light_and_dark_and_its_tables_are_tables() -> None:
    body = (
        "Open  https://ops.example/x\n\nSERVICE  DUE (CET)\nDaily    07:30\n\n" + "-" * 40 + "\n\nError  http://evil/\n"
    )
    page = as_html(message_of("Daily 07:30 at risk", body))
    ET.fromstring(re.sub(r"<meta[^>]*>|<!DOCTYPE html>|<hr>", "", page))  # every tag is closed
    assert (3, 1) == (page.count("<table"), page.count('<a href="https://ops.example/x">'))
    assert "<th>Due (CET)</th>" in page
    assert "<td>07:30</td>" in page
    assert "<td>db07:<wbr/>load_<wbr/>orders</td>" in as_html(message_of("t", "Cause  db07:load_orders\n"))
    assert 'href="http://evil' not in page
    assert "<th>Due (ChST)</th>" in as_html(message_of("t", body.replace("CET", "ChST")))
    assert "@media (prefers-color-scheme:dark)" in page
    assert [] == [width for width in re.findall(r"(?<!max-)width[:=]\D?(\d+)px", page) if int(width) > 360]


def test_the_signed_link_of_a_mail_is_a_label_in_html_and_whole_in_the_text(server: SmtpSink) -> None:
    link = f"https://ops.example/acknowledge?link={'x' * 120}"
    send_mail(server.url(), message_of("t", f"Acknowledge  {link}\nOpen         https://ops.example/x\n"), ROOT)
    text, html = (part.get_content() for part in server.mails[0].message.iter_parts())
    assert f'<td><a href="{link}">Acknowledge for 1h</a></td>' in html
    assert 1 == html.count(link)
    assert ">https://ops.example/x</a>" in html
    assert f"Acknowledge  {link}" in text


def test_a_subject_cannot_bring_a_header_of_its_own(server: SmtpSink) -> None:
    send_mail(server.url(), message_of("a\r\nBcc: thief@example.org\r\n\r\nb", "x\n"), ROOT)
    assert (("oncall@example.org",), None) == (server.mails[0].recipients, server.mails[0].message["Bcc"])


@pytest.mark.parametrize("name", ["x" * length for length in range(18, 60, 6)] + ["ü" * 40, "x" * 200])
def test_a_long_subject_arrives_as_it_is(server: SmtpSink, name: str) -> None:
    title = f"Resolved: hosts/{name} recovered (INC-0001, 10 min)"
    send_mail(server.url(), message_of(title, BODY), ROOT)
    assert title == server.mails[0].message["Subject"]


def test_all_recipients_of_a_url_get_one_mail_and_hidden_ones_stay_hidden(server: SmtpSink) -> None:
    url = server.url("a@example.org,b@example.org") + "&cc=c@example.org&bcc=d@example.org&name=Night"
    send_mail(url, message_of("t", "x\n"), ROOT)
    (mail,) = server.mails
    assert {f"{name}@example.org" for name in "abcd"} == set(mail.recipients)
    assert ("a@example.org, b@example.org", "c@example.org", None) == (
        mail.message["To"], mail.message["Cc"], mail.message["Bcc"])  # fmt: skip


@pytest.mark.parametrize(
    "mode, arrived, for_good, text",
    [
        ("refuse", False, False, "SMTP 451 try again later"),
        ("reject", False, True, "SMTP 550 5.1.1 no such user here"),
        ("drop", None, False, "the mail server closed the connection"),
    ],
)
def test_a_refusal_proves_that_nothing_arrived_and_a_lost_answer_proves_nothing(
    server: SmtpSink, mode: str, arrived: bool | None, for_good: bool, text: str
) -> None:
    server.mode = mode  # type: ignore[assignment]
    sent = send_mail(server.url(), message_of("t", "x\n"), ROOT)
    assert sent is not None
    assert (arrived, for_good) == (sent.arrived, sent.for_good)
    assert text in sent.reason


@pytest.mark.parametrize("reply, for_good", [("550 5.1.1 no such user here", True), ("451 try again later", False)])
def test_a_recipient_that_is_refused_for_good_is_not_retried_at_the_cost_of_the_others(
    server: SmtpSink, reply: str, for_good: bool
) -> None:
    server.refused["gone@example.org"] = reply
    sent = send_mail(server.url("oncall@example.org,gone@example.org"), message_of("t", "x\n"), ROOT)
    assert SendResult(None, f"SMTP {reply}", for_good) == sent
    assert ["oncall@example.org"] == [recipient for mail in server.mails for recipient in mail.recipients]


def test_a_server_that_is_not_there_was_never_reached() -> None:
    sent = send_mail(f"mailto://127.0.0.1:{free_port()}?from=h@example.org&mode=insecure", message_of("t", "x\n"), ROOT)
    assert sent is not None
    assert (False, False, True) == (sent.arrived, sent.for_good, "Connection refused" in sent.reason)


@pytest.mark.parametrize("url", ["mailto://", "mailtos://u:p@h?to=a@b.c&verify=no"])
def test_what_only_apprise_can_send_is_left_to_it(url: str) -> None:
    assert None is send_mail(url, message_of("t", "x\n"), MailThread("own"))


def test_the_engine_mails_opening_and_recovery_as_one_thread(
    tmp_path: Path, server: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCALL_MAIL", server.url())
    scheduler = FakeScheduler()
    config = estate_config(tmp_path, scheduler)
    config = replace(config, routes={"oncall": RouteSettings(urls=(SecretRef(env="ONCALL_MAIL"),))})
    store = open_ready(str(tmp_path / "headway.db"))
    got = lease.acquire_lease(store, "test", 600)
    assert isinstance(got, HeldLease)
    parts = EngineAssembly(config, store, SecretStore())
    parts.begin(got.fence)
    bench = Bench(tmp_path, scheduler, Sink(), config, store, parts, got.fence)
    ago = datetime.now(UTC) - timedelta(minutes=2)
    scheduler.attempt("extract", "a1", RunState.FAILED, ago, exit_code=1)
    bench.turn()
    scheduler.attempt("extract", "a2", RunState.SUCCEEDED, ago + timedelta(minutes=1), period_key=None)
    bench.turn()
    opened, recovered = (mail.message for mail in server.wait_for(2))
    parts.finish()
    store.close()
    assert f"fake/extract failed, {NO_SERVICE}: exit 1 [INC-0001]" == opened["Subject"]
    assert recovered["Subject"].startswith("Resolved: fake/extract recovered (INC-0001, ")
    assert opened["Message-ID"] == recovered["In-Reply-To"]


def test_after_an_outage_a_closed_incident_is_one_mail_and_one_success_sends_the_rest(
    tmp_path: Path, server: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The opening waits out a long back-off; the incident closes meanwhile, and the mail server comes back."""
    monkeypatch.setenv("ONCALL_MAIL", server.url())
    monkeypatch.setattr(
        "console.engine.notify.outbox.after_failure", lambda *_, **__: RetryDecision(timedelta(minutes=6))
    )
    scheduler = FakeScheduler()
    scheduler.job("other")
    config = estate_config(tmp_path, scheduler)
    config = replace(config, routes={"oncall": RouteSettings(urls=(SecretRef(env="ONCALL_MAIL"),))})
    with running_bench(tmp_path, scheduler, config) as bench:
        bench.parts.channels.send = send_by_apprise
        ago = datetime.now(UTC) - timedelta(minutes=2)
        server.mode = "refuse"
        for job in ("extract", "other"):
            scheduler.attempt(job, "a1", RunState.FAILED, ago, exit_code=1)
            bench.turn()
        assert [] == server.mails
        with bench.store.write(None) as session:
            session.rows("UPDATE alert SET made_us = made_us - 600000000")
            session.rows("UPDATE delivery SET since_us = since_us - 600000000")
        server.mode = "accept"
        scheduler.attempt("extract", "a2", RunState.SUCCEEDED, ago + timedelta(minutes=1), period_key=None)
        bench.turn()
    closed, still_open = server.mails
    assert closed.subject.startswith("Resolved: fake/extract recovered (INC-0001, ")
    opening = f"fake/extract failed, {NO_SERVICE}: exit 1 [INC-0001]"
    assert f"Replaces an alert of 10 min ago that was not delivered:\r\n\r\n  | {opening}\r\n" in closed.text
    assert "Delayed" not in closed.text
    assert still_open.subject == f"fake/other failed, {NO_SERVICE}: exit 1 [INC-0002]"
    assert "Delayed by 10 min.\r\n" in still_open.text


class Interrupted(SmtpSink):
    """A mail server at which an engine is stopped for as long as another one needs to take the lease over."""

    take_over: Callable[[], None] | None = None

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, ___: Any) -> str:
        envelope.rcpt_tos.append(address)
        take_over, self.take_over = self.take_over, None
        if take_over is not None:
            take_over()
        return "250 OK"


def test_an_engine_that_was_stopped_in_mid_mail_does_not_end_it_after_another_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the unmarked mail comes after the one that says that it may be a duplicate."""
    server = Interrupted()
    server.start()
    monkeypatch.setenv("ONCALL_MAIL", server.url())
    scheduler = FakeScheduler()
    config = estate_config(tmp_path, scheduler)
    config = replace(config, routes={"oncall": RouteSettings(urls=(SecretRef(env="ONCALL_MAIL"),))})
    store = open_ready(str(tmp_path / "headway.db"))
    first = lease.acquire_lease(store, "first", 600)
    assert isinstance(first, HeldLease)
    stopped = EngineAssembly(config, store, SecretStore())
    stopped.begin(first.fence)
    bench = Bench(tmp_path, scheduler, Sink(), config, store, stopped, first.fence)
    scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=2), exit_code=1)
    expired = micros(datetime.now(UTC) + timedelta(days=1))
    leases: list[HeldLease | LeaseHolder] = []
    server.take_over = lambda: leases.append(lease.acquire_lease(store, "second", 600, expired))
    stopped.pollers[next(iter(stopped.pollers))].poll_once(first.fence)
    stopped.evaluator.step(first.fence)
    assert 1 == stopped.outbox.step(first.fence)
    wait_until_sent(stopped.outbox)
    assert [] == server.mails
    [second] = leases
    assert isinstance(second, HeldLease)
    bench.fence, bench.parts = second.fence, EngineAssembly(config, store, SecretStore())
    bench.parts.begin(second.fence)
    bench.send()
    [mail] = server.mails
    assert "[INC-0001] (may be a duplicate)\r\n\r\nMay be a duplicate" in mail.text
    stopped.finish()
    bench.parts.finish()
    store.close()
    server.stop()
