"""Buttons in Slack, against a fake of its Web API and Socket Mode: from a failed job to the audit."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, cast

import pytest
from apprise.plugins.slack import NotifySlack
from pydantic import ValidationError
from slack_sdk.socket_mode import SocketModeClient

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.config.sections import AlertSettings, SlackSettings
from console.diagnosis.routes import probe_slack
from console.domain.access import PermissionRule, Role
from console.domain.ids import micros
from console.domain.policy import Policy
from console.domain.settings import Declared
from console.engine.api.client import EngineClient
from console.engine.notify import slack as buttons
from console.engine.notify.paging import Page
from console.engine.notify.senders import send_by_apprise
from console.engine.notify.slack import ACKNOWLEDGE, APPROVE, NOT_INSTALLED, OPEN, REVIEW, SILENCE
from console.store.alert_responses import acknowledge
from console.store.audit import ChangeOrigin
from tests.engine.bench import Bench
from tests.engine.endpoints.test_write_api import count, permit
from tests.fakes.internet import fake_internet
from tests.fakes.slack import FakeSlack, hasten
from tests.lab.process import HANGS_SECONDS, free_port, wait_until
from tests.messages import message_of

MARA, LEE = "U012AB3CD", "U0LEE"
ASKS = Policy("retry", "rerun", mode="active", approval="one")
BOT_URL = "slack://xoxb-123456789012-123456789012-fakefakefake/C0123456"
WEBHOOK_URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    hasten(monkeypatch)
    with FakeSlack().running() as made:
        monkeypatch.setattr(buttons, "API", f"{made.url}/api/")
        monkeypatch.setattr(buttons, "RETRY_SECONDS", 0.2)
        monkeypatch.setattr(NotifySlack, "api_url", f"{made.url}/api/{{}}")
        monkeypatch.setenv("SLACK_APP_TOKEN", made.app_token)
        monkeypatch.setenv("BENCH_URL", BOT_URL)
        yield made


@pytest.fixture
def pressed(bench: Bench, slack: FakeSlack) -> Iterator[FakeSlack]:
    """A message about a failed job in a channel, whose buttons an engine answers."""
    settings = SlackSettings(app_token=SecretRef(env="SLACK_APP_TOKEN"), people={MARA: "mara", LEE: "lee"})
    alerts = AlertSettings(default_route="oncall", link="https://ops.example.org/{incident}")
    bench.config = replace(bench.config, slack=settings, alerts=alerts)
    bench.sink = cast(Any, send_by_apprise)
    bench.restart()
    bench.turn()
    permit(bench, PermissionRule("mara", Role.ACT), PermissionRule("lee", Role.VIEW))
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=9))
    bench.turn()
    assert bench.parts.slack is not None
    ended = threading.Event()
    workers = [
        threading.Thread(target=worker.run, args=(bench.fence, ended.is_set))
        for worker in (bench.parts.answers, bench.parts.slack)
    ]
    for worker in workers:
        worker.start()
    try:
        yield slack
    finally:
        ended.set()
        slack.ping()
        bench.parts.slack.wake.set()
        for worker in workers:
            worker.join(HANGS_SECONDS)
        assert not any(worker.is_alive() for worker in workers)


def press(slack: FakeSlack, action_id: str, user: str) -> dict[str, Any]:
    """The reply to a press of the last message's button."""
    wait_until(lambda: slack.is_connected, "a connection")
    before = len(slack.replies)
    envelope = slack.press(action_id, user, slack.messages[-1])
    wait_until(lambda: len(slack.replies) > before, "a reply")
    assert envelope in slack.confirmed
    return slack.replies[-1]


def shown(message: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and buttons of a message's last attachment."""
    blocks = message["attachments"][-1]["blocks"]
    texts = [element["text"] for block in blocks if block["type"] == "context" for element in block["elements"]]
    names = [element["action_id"] for block in blocks if block["type"] == "actions" for element in block["elements"]]
    return texts, names


def test_acknowledge_in_slack_is_the_persons_and_the_message_says_so(pressed: FakeSlack, bench: Bench) -> None:
    [message] = pressed.messages
    assert ([], [ACKNOWLEDGE, SILENCE, OPEN]) == shown(message)
    assert "https://ops.example.org/INC-0001" == message["attachments"][-1]["blocks"][0]["elements"][-1]["url"]
    reply = press(pressed, ACKNOWLEDGE, MARA)
    [text], remaining = shown(reply)
    assert text.startswith("Acknowledged by mara 20")
    assert ", until 20" in text
    assert [SILENCE, OPEN] == remaining
    assert reply["replace_original"] is True
    assert (message["text"], message["attachments"][0]) == (reply["text"], reply["attachments"][0])
    with bench.store.read() as session:
        rows = session.rows("SELECT actor, origin, object FROM audit WHERE verb = 'acknowledge'")
    assert [("mara", "Slack", "INC-0001")] == [(row.actor, row.origin, row.object) for row in rows]


def test_a_press_does_not_shorten_a_longer_acknowledgement(pressed: FakeSlack, bench: Bench) -> None:
    now_us = micros(datetime.now(UTC))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=8)
    acknowledge(bench.store, bench.fence, 1, micros(until), ChangeOrigin("lee", "cli", "", now_us))
    [text], _ = shown(press(pressed, ACKNOWLEDGE, MARA))
    assert f"{until:%H:%M}" in text.partition(", until ")[2]


@pytest.mark.parametrize("action_id, table", [(ACKNOWLEDGE, "acknowledgement"), (SILENCE, "silence")])
def test_an_envelope_that_slack_sends_twice_is_one_change(
    pressed: FakeSlack, bench: Bench, action_id: str, table: str
) -> None:
    wait_until(lambda: pressed.is_connected, "a connection")
    pressed.press(action_id, MARA, pressed.messages[-1], again=True)
    wait_until(lambda: len(pressed.replies) == 2, "two replies")
    assert 1 == count(bench, table)


@pytest.mark.parametrize("action_id, table", [(ACKNOWLEDGE, "acknowledgement"), (SILENCE, "silence")])
def test_a_press_is_confirmed_only_once_it_is_stored(
    pressed: FakeSlack, bench: Bench, action_id: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, ask, confirm = list[str](), EngineClient.ask, SocketModeClient.send_socket_mode_response

    def asked(self: EngineClient, request: Any) -> int:
        events.append("asked")
        number = ask(self, request)
        events.append("stored")
        return number

    def confirmed(self: SocketModeClient, response: Any) -> None:
        events.append("confirmed")
        confirm(self, response)

    monkeypatch.setattr(EngineClient, "ask", asked)
    monkeypatch.setattr(SocketModeClient, "send_socket_mode_response", confirmed)
    wait_until(lambda: pressed.is_connected, "a connection")
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE incident SET title = title")  # no other writer until it ends
        envelope = pressed.press(action_id, MARA, pressed.messages[-1])
        wait_until(lambda: bool(events), "the request")
        assert ["asked"] == events
    wait_until(lambda: envelope in pressed.confirmed, "a confirmation")
    wait_until(lambda: len(pressed.replies) == 1, "a reply")
    assert ["asked", "stored", "confirmed"] == events
    assert 1 == count(bench, table)


def test_a_press_is_confirmed_before_the_engine_answers(
    pressed: FakeSlack, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.parts.answers, "_answer", lambda *_: None)  # claimed, and never answered
    wait_until(lambda: pressed.is_connected, "a connection")
    envelope = pressed.press(ACKNOWLEDGE, MARA, pressed.messages[-1])
    wait_until(lambda: envelope in pressed.confirmed, "a confirmation")
    assert [] == pressed.replies


def test_silence_is_of_the_failed_job_for_an_hour(pressed: FakeSlack, bench: Bench) -> None:
    [text], remaining = shown(press(pressed, SILENCE, MARA))
    assert text.startswith("fake/extract silenced by mara 20")
    assert [ACKNOWLEDGE, OPEN] == remaining
    with bench.reads() as reads:
        [silence] = reads.alerts.silences()
    assert {"system": "fake", "job": "fake/extract"} == dict(silence.matchers)
    assert timedelta(hours=1) == silence.until - silence.begins
    assert ("mara", "INC-0001, by a button in Slack") == (silence.by, silence.why)


def test_only_its_presser_reads_why_nothing_was_changed(pressed: FakeSlack, bench: Bench) -> None:
    fixes = {"U0STRANGER": 'Fix: U0STRANGER = "LOGIN" below [slack.people]', LEE: 'who = ["lee"], role = "act"'}
    for user, action_id in product(fixes, (ACKNOWLEDGE, SILENCE)):
        reply = press(pressed, action_id, user)
        assert ("ephemeral", False) == (reply["response_type"], reply["replace_original"])
        assert reply["text"].startswith("Nothing was changed: ")
        assert fixes[user] in reply["text"]
    permit(bench)
    reply = press(pressed, ACKNOWLEDGE, MARA)
    assert "ephemeral" == reply["response_type"], "without permissions nobody may act from Slack"
    assert (0, 0) == (count(bench, "acknowledgement"), count(bench, "silence"))


def test_a_lost_connection_is_opened_again(pressed: FakeSlack) -> None:
    wait_until(lambda: pressed.is_connected, "a connection")
    pressed.drop()
    wait_until(lambda: pressed.connections == 2 and pressed.is_connected, "a second connection")
    assert shown(press(pressed, ACKNOWLEDGE, MARA))[0]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # slack-sdk leaves a refused socket open
def test_status_says_why_buttons_do_nothing(pressed: FakeSlack, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble() -> str:
        assert bench.parts.slack is not None
        assert bench.parts.slack._connect() is None
        return bench.parts.trouble("")

    wait_until(lambda: pressed.is_connected, "a connection")
    assert "" == bench.parts.trouble("")
    pressed.refuses = "apps.connections.open"
    text = trouble()
    assert "Slack buttons do nothing: apps.connections.open answered invalid_auth. Fix: an app_token (xapp-…" in text
    assert pressed.app_token not in text
    pressed.refuses = "link"
    assert "Slack buttons do nothing: WebSocket: refused. Fix: let it pass to *.slack.com:443" == trouble()
    gc.collect()
    monkeypatch.setattr(buttons, "API", f"http://127.0.0.1:{free_port()}/api/")
    assert "Connection refused" in trouble()
    monkeypatch.delenv("SLACK_APP_TOKEN")
    assert "SLACK_APP_TOKEN" in trouble()
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    assert NOT_INSTALLED in trouble()


def test_check_tries_both_tokens_and_says_what_lacks(
    bench: Bench, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SlackSettings(app_token=SecretRef(env="SLACK_APP_TOKEN"))
    config = replace(bench.config, slack=settings)

    def tried() -> list[tuple[str, str, str]]:
        return [(result.target, result.verdict, "".join(result.text)) for result in probe_slack(config, SecretStore())]

    names = ["slack app token", "slack bot token (route oncall)"]
    assert [(name, "ok", "") for name in names] == tried()
    assert [] == slack.messages
    slack.scopes = "channels:read"
    [_, (_, verdict, text)] = tried()
    assert ("refused", True) == (verdict, text.startswith("the bot token lacks the scope chat:write; it has channels"))
    slack.refuses, slack.bot_token = "apps.connections.open", "xoxb-another"
    [(_, _, app), (_, _, bot)] = tried()
    assert app.startswith("apps.connections.open answered invalid_auth. Fix: an app_token (xapp-…)")
    assert bot.startswith("auth.test answered invalid_auth. Fix: write the bot token (xoxb-…)")
    assert "xoxb-1" not in bot
    monkeypatch.setenv("SECOND", "Slack://xoxb-210987654321-210987654321-otherothe/C0123456")
    urls = (SecretRef(env="SECOND"), *config.routes["oncall"].urls)
    both = replace(config, routes={"oncall": config.routes["oncall"].model_copy(update={"urls": urls})})
    slack.bot_token, slack.scopes = "xoxb-210987654321-210987654321-otherothe", "chat:write"
    results = probe_slack(both, SecretStore())[1:]
    assert [("slack bot token (route oncall)", verdict) for verdict in ("ok", "refused")] == [
        (result.target, result.verdict) for result in results
    ]
    monkeypatch.setattr(buttons, "find_spec", lambda _: None)
    assert NOT_INSTALLED == tried()[0][2]
    assert [] == probe_slack(replace(config, slack=None, routes={}), SecretStore())


def test_the_recovery_has_no_buttons(pressed: FakeSlack, bench: Bench) -> None:
    bench.scheduler.attempt("extract", "x1", RunState.SUCCEEDED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    opened, resolved = pressed.messages
    assert resolved["text"].startswith("Resolved: ")
    assert (2, 1) == (len(opened["attachments"]), len(resolved["attachments"]))


def test_a_message_by_a_webhook_has_no_buttons() -> None:
    """Slack takes them there as well, but a webhook may be of another app, which would get the press."""
    with fake_internet() as internet:
        sent = send_by_apprise(WEBHOOK_URL, message_of("x failed", "x failed\n"), Page("key", buttons={"blocks": []}))
    assert sent.arrived
    [body] = internet.bodies
    assert 1 == len(body["attachments"])


@pytest.mark.parametrize("people", [{"mara": "mara"}, {MARA: "two words"}])
def test_a_person_is_a_member_id_and_a_login(people: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        SlackSettings(app_token=SecretRef(env="SLACK_APP_TOKEN"), people=people)


def test_a_repair_of_a_policy_is_reviewed_and_approved_by_a_button_under_the_persons_login(
    pressed: FakeSlack, bench: Bench
) -> None:
    bench.parts.config = replace(bench.config, declared=Declared(policies=(ASKS,)))
    bench.parts.config_sync.sync(bench.fence)
    permit(bench, PermissionRule("mara", Role.APPROVE), PermissionRule("lee", Role.VIEW))
    bench.scheduler.logs["x2"] = "ERROR: Connection refused\n"
    bench.scheduler.attempt("extract", "x2", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=8), exit_code=1)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    bench.send()
    assert [REVIEW, ACKNOWLEDGE, SILENCE, OPEN] == shown(pressed.messages[-1])[1]
    reviewed = press(pressed, REVIEW, MARA)
    [about, buttons] = reviewed["attachments"][0]["blocks"]
    assert ("ephemeral", False) == (reviewed["response_type"], reviewed["replace_original"])
    for label in ("does: ", "worked: no repair", "act by: ", "until: "):
        assert label in about["text"]["text"], about
    assert "Approve as mara" == buttons["elements"][0]["text"]["text"]
    pressed.messages.append({**pressed.messages[-1], "attachments": reviewed["attachments"]})
    assert "needs role approve" in press(pressed, APPROVE, LEE)["text"]
    assert (
        "rerun fake/extract: approved by mara; sent once it is checked again" == press(pressed, APPROVE, MARA)["text"]
    )
    assert (
        "Not approved: it awaits no approval: it is requested, approved by mara"
        in press(pressed, APPROVE, MARA)["text"]
    )
    with bench.store.read() as session:
        rows = session.rows("SELECT actor, origin, object FROM audit WHERE verb = 'approve rerun'")
    assert [("mara", "Slack", "fake/extract")] == [(row.actor, row.origin, row.object) for row in rows]
