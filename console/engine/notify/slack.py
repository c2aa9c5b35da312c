"""Buttons below messages in Slack: acknowledge, silence for an hour, open.

Slack sends each press over a WebSocket that the engine opens (Socket Mode), so that nothing listens for it. A press is
a request of the login that `[slack.people]` gives its user: the rights, audit and engine of every request. Sources:
docs.slack.dev, Using Socket Mode; block_actions payload; Handling user interaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog

from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, tls
from console.config.sections import SlackSettings
from console.domain.access import Person
from console.domain.ids import EPOCH, derived_key, incident_id, incident_name, instant, micros
from console.domain.incident import ACKNOWLEDGE_FOR
from console.domain.name_pattern import literal
from console.engine.api.client import EngineClient
from console.engine.api.requests import Acknowledge, AddSilence, ApproveAction
from console.engine.approval import approved_text, awaited_approval, shown_facts, with_preview
from console.engine.endpoints import ApiFault
from console.engine.worker import Pulse
from console.engine.write_api import EngineCall
from console.store.errors import NotAllowed, NotFound, ReasonNeeded, StoreError
from console.text.redact import sanitize
from console.timing.clock import Clock
from console.timing.durations import parse_duration
from console.timing.formats import timestamp_text
from console.timing.zones import zone_of

if TYPE_CHECKING:
    from slack_sdk.socket_mode import SocketModeClient
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

log = structlog.get_logger("headway.slack")

ORIGIN = "Slack"
"""The origin of its requests in the audit."""
API = "https://slack.com/api/"
SECONDS = 10.0
"""Timeout of a request that tries a token."""
CHECK_SECONDS = 15.0
"""Interval of checks of the connection; the library opens a lost one again within 5 s."""
RETRY_SECONDS = 60.0
"""Pause after a failed connection: Slack's limit of apps.connections.open is about one a minute."""
ACKNOWLEDGE, SILENCE, OPEN = "headway_acknowledge", "headway_silence", "headway_open"
REVIEW, APPROVE = "headway_review", "headway_approve"
"""The first shows what is approved, to the person alone, with the second."""
SILENCE_SECONDS = 3600.0
MAX_TEXT = 3000
"""Characters of a section's text: Slack refuses more."""
BLOCK = "headway"
"""Block of the buttons in their attachment."""
NOT_INSTALLED = 'slack-sdk is not installed. Fix: pip install "headway[slack]"'
_METHOD = "apps.connections.open"
_APP_FIX = "Fix: an app_token (xapp-…) with the scope connections:write, of an app with Socket Mode on"


def probe_app_token(token: str) -> None:
    """Asks Slack for a Socket Mode address, to which nothing connects. Raises ConnectorError if a right is missing."""
    if find_spec("slack_sdk") is None:
        raise NotSupported(NOT_INSTALLED)
    _accepted(_METHOD, token, _APP_FIX)


def probe_bot_token(token: str) -> None:
    """Asks Slack for the owner and scopes of the token. Raises ConnectorError if a right is missing."""
    granted = _accepted("auth.test", token, "Fix: write the bot token (xoxb-…) of an installed app in the URL")
    if granted and "chat:write" not in granted:
        fix = "Fix: add it to the bot's scopes (OAuth & Permissions) and install the app again"
        raise AccessRefused(f"the bot token lacks the scope chat:write; it has {', '.join(sorted(granted))}. {fix}")


def _accepted(method: str, token: str, fix: str) -> set[str]:
    """The scopes of the token, as far as Slack names them. Raises ConnectorError."""
    endpoint = HttpEndpoint("Slack", API)
    try:
        reply = endpoint.call("POST", f"/{method}", Deadline(SECONDS), headers={"Authorization": f"Bearer {token}"})
    finally:
        endpoint.close()
    answer = reply.table()
    if not answer.get("ok"):
        needed = f" (needed: {answer['needed']})" if answer.get("needed") else ""
        raise AccessRefused(f"{method} answered {answer.get('error')}{needed}. {fix}")
    return set(filter(None, reply.headers.get("x-oauth-scopes", "").replace(" ", "").split(",")))


class SlackButtons:
    """A worker: keeps the connection to Slack open and does what is pressed. `link`: as `alerts.link`."""

    def __init__(
        self, url: str, clock: Clock, settings: SlackSettings, secrets: SecretStore, zone: str, link: str
    ) -> None:
        """`url`: of the store."""
        self._url, self._clock, self._settings, self._secrets = url, clock, settings, secrets
        self._zone, self._link = zone_of(zone), link
        self._closing = threading.Event()
        self._error = ""
        self.wake = threading.Event()
        self.pulse = Pulse()

    @property
    def trouble(self) -> str:
        """Why presses do not arrive, with the fix; empty if they do."""
        return f"Slack buttons do nothing: {self._error}" if self._error else ""

    def attachment(self, number: int, approvals: Sequence[str] = ()) -> dict[str, Any]:
        """The buttons below a message about one incident. `approvals`: keys of the actions whose approval it asks
        for."""
        name = incident_name(number)
        labels = {ACKNOWLEDGE: f"Acknowledge {ACKNOWLEDGE_FOR}", SILENCE: "Silence 1h"}
        buttons = [_button(action, label) | {"value": name} for action, label in labels.items()]
        buttons[:0] = [_button(REVIEW, "Review to approve") | {"value": key} for key in approvals[:1]]
        if self._link:
            buttons.append(_button(OPEN, "Open") | {"url": self._link.replace("{incident}", name)})
        return {"fallback": name, "blocks": [{"type": "actions", "block_id": BLOCK, "elements": buttons}]}

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Keeps a connection until `stopping`. The app token is read again for each."""
        self._closing.clear()
        client: SocketModeClient | None = None
        try:
            while not stopping():
                self.wake.clear()
                self.pulse.beat(RETRY_SECONDS)
                if client is None or not client.is_connected():
                    if client is not None:
                        client.close()
                    client = self._connect()
                self.wake.wait(CHECK_SECONDS if client is not None else RETRY_SECONDS)
        finally:
            self._closing.set()
            if client is not None:
                client.close()

    def _connect(self) -> SocketModeClient | None:
        """The open connection; None, with the reason in `trouble`, if there is none."""
        try:
            client = self._opened()
        except ConnectorError as error:
            reason = sanitize(str(error), self._secrets.mask, on_one_line=True)
            if reason != self._error:
                log.warning("no connection to Slack", error=reason)
            self._error = reason
            return None
        log.info("connected to Slack", before=self._error)
        self._error = ""
        return client

    def _opened(self) -> SocketModeClient:
        """Raises ConnectorError."""
        try:
            from slack_sdk import WebClient  # noqa: PLC0415 - an extra
            from slack_sdk.errors import SlackApiError  # noqa: PLC0415
            from slack_sdk.socket_mode import SocketModeClient  # noqa: PLC0415
        except ImportError:
            raise NotSupported(NOT_INSTALLED) from None
        failures: list[Exception] = []
        token, web = self._secrets(self._settings.app_token), WebClient(base_url=API, ssl=tls(ORIGIN, None))
        client = SocketModeClient(token, web_client=web, on_error_listeners=[failures.append])
        client.socket_mode_request_listeners.append(self._received)
        try:
            client.connect()
        except SlackApiError as error:
            failure: ConnectorError | None = AccessRefused(f"{_METHOD} answered {error.response['error']}. {_APP_FIX}")
        except OSError as error:
            failure = SystemUnreachable(f"{_METHOD}: {error}. Fix: let the engine's machine connect to slack.com:443")
        else:
            reason = failures[-1] if failures else "refused"
            failure = SystemUnreachable(f"WebSocket: {reason}. Fix: let it pass to *.slack.com:443")
            failure = None if client.is_connected() else failure
        if failure is not None:
            client.close()
            raise failure
        return client

    def _received(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Stores what was pressed, confirms the message within Slack's 3 s, then waits for the engine. Slack sends an
        unconfirmed message again."""
        from slack_sdk.socket_mode.response import SocketModeResponse  # noqa: PLC0415 - an extra

        press = request.payload
        with ExitStack() as unconfirmed:
            response = SocketModeResponse(envelope_id=request.envelope_id)
            unconfirmed.callback(client.send_socket_mode_response, response)
            if request.type != "interactive" or press.get("type") != "block_actions":
                return
            action, user = press["actions"][0], str(press["user"]["id"])
            if action["action_id"] not in (ACKNOWLEDGE, SILENCE, REVIEW, APPROVE):
                return
            if action["action_id"] in (REVIEW, APPROVE):
                unconfirmed.close()
                self._answer(
                    press, {"replace_original": action["action_id"] == APPROVE, **self._approval(action, user)}
                )
                return
            try:
                text, is_done = self._done(action, user, unconfirmed.close), True
            except _Refused as error:
                text, is_done = f"Nothing was changed: {error}", False
            except Exception:
                log.exception("a press of a button failed")
                text, is_done = "Nothing was changed, or not all: the engine's log has the details.", False
        self._reply(press, action["action_id"], text, is_done)

    def _done(self, action: Mapping[str, Any], user: str, confirm: Callable[[], None]) -> str:
        """Makes the request, and confirms once it is stored; a text that describes the change. Raises _Refused."""
        person, call = self._call(action, user)
        number = incident_id(action["value"])
        try:
            if action["action_id"] == SILENCE:
                verb, request_id = self._silence(call, number, micros(_press_time(action)))
            else:
                verb, request_id = self._acknowledge(call, number)
            confirm()
            until_us = call.answer(request_id)["until_us"]
        except ApiFault as fault:
            raise _Refused(f"{fault.error}. Fix: {fault.fix}.") from None
        except ReasonNeeded as error:
            command = "headway silence add" if action["action_id"] == SILENCE else f"headway ack {action['value']}"
            raise _Refused(f"{error}. Run: {command} --why TEXT") from None
        except NotAllowed as error:
            raise _Refused(f'{error} Fix: {{ who = ["{person}"], role = "act" }} in [[permissions]].') from None
        except StoreError as error:
            raise _Refused(str(error)) from None
        at, until = (timestamp_text(time, self._zone) for time in (self._clock.now(), instant(until_us)))
        return f"{verb} by {person} {at}, until {until}"

    def _call(self, action: Mapping[str, Any], user: str) -> tuple[str, EngineCall]:
        """The login of the Slack user, and a request under it. Raises _Refused."""
        person = self._settings.people.get(user)
        if person is None:
            fix = (
                f'Fix: {user} = "LOGIN" below [slack.people] in the config, with the login\'s role in [[permissions]].'
            )
            raise _Refused(f"Slack user {user} has no login in Headway. {fix}")
        client = EngineClient(self._url, Person(person, is_visitor=True), ORIGIN)
        key = derived_key(ORIGIN, user, str(action["action_ts"]))
        return person, EngineCall(self._url, client, key, self._closing, "headway incident", "press again")

    def _approval(self, action: Mapping[str, Any], user: str) -> dict[str, Any]:
        """The reply to a press that reviews or approves: the action, with a button, or its outcome."""
        key, _, digest = str(action["value"]).partition(" ")
        try:
            person, call = self._call(action, user)
            view = awaited_approval(self._url, key)
            if action["action_id"] == APPROVE:
                call.answer(call.client.ask(ApproveAction(key, digest)))
                return {"text": approved_text(view, person)}
            facts = shown_facts(with_preview(call, view), self._clock, self._zone)
            button = _button(APPROVE, f"Approve as {person}") | {"value": f"{key} {view.digest}"}
        except (_Refused, NotFound, NotAllowed, ReasonNeeded, StoreError) as error:
            return {"text": f"Not approved: {error}"}
        except ApiFault as fault:
            return {"text": f"Not approved: {fault.error}"}
        except Exception:
            log.exception("a press of a button failed")
            return {"text": "Not approved: the engine's log has the details."}
        text = "\n".join(f"{label}: {value}" for label, value in facts)
        about = {"type": "section", "text": {"type": "plain_text", "text": text[:MAX_TEXT]}}
        blocks = [about, {"type": "actions", "block_id": BLOCK, "elements": [button]}]
        return {"text": f"Approve {view.verb} {view.job}?", "attachments": [{"fallback": key, "blocks": blocks}]}

    @staticmethod
    def _acknowledge(call: EngineCall, number: int) -> tuple[str, int]:
        seconds = parse_duration(ACKNOWLEDGE_FOR).total_seconds()
        return "Acknowledged", call.client.ask(Acknowledge(number, seconds, "", call.key, keeps_later=True))

    @staticmethod
    def _silence(call: EngineCall, number: int, from_us: int) -> tuple[str, int]:
        """Silences the job of the root cause, from the press on: one that arrives twice is one silence."""
        root = call.open_incident(number).row
        if root.root_run_id is None:
            raise _Refused(f"{incident_name(number)} has no failed run at its root. Run: headway silence add")
        matchers = {"system": root.root_job.partition("/")[0], "job": literal(root.root_job)}
        why = f"{incident_name(number)}, by a button in Slack"
        return f"{root.root_job} silenced", call.client.ask(AddSilence(matchers, SILENCE_SECONDS, why, from_us))

    def _reply(self, press: Mapping[str, Any], action: str, text: str, is_done: bool) -> None:
        """Replaces the pressed button by the text, or sends the text to the user alone if nothing was done."""
        message = press.get("message", {})
        body: dict[str, Any] = {"replace_original": False, "text": text}
        if is_done:
            attachments = [_without_button(part, action, text) for part in message.get("attachments", ())]
            body = {"replace_original": True, "text": message.get("text", ""), "attachments": attachments}
        self._answer(press, body)

    @staticmethod
    def _answer(press: Mapping[str, Any], body: dict[str, Any]) -> None:
        """Sends the reply; one that replaces no message goes to the user alone."""
        from slack_sdk.webhook import WebhookClient  # noqa: PLC0415 - an extra

        if not body["replace_original"]:
            body = {"response_type": "ephemeral", **body}
        try:
            reply = WebhookClient(press["response_url"], ssl=tls(ORIGIN, None)).send_dict(body)
        except OSError as error:
            log.warning("a message in Slack is not updated", error=str(error), text=body["text"])
        else:
            if reply.status_code != 200:
                log.warning("a message in Slack is not updated", status=reply.status_code, text=body["text"])


class _Refused(Exception):
    """Why nothing was done, with its fix."""


def _button(action: str, label: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": label}}


def _press_time(action: Mapping[str, Any]) -> datetime:
    """By Slack's clock: "1763982000.123456"."""
    seconds, _, fraction = str(action["action_ts"]).partition(".")
    return EPOCH + timedelta(seconds=int(seconds), microseconds=int(fraction or 0))


def _without_button(attachment: Mapping[str, Any], action: str, text: str) -> dict[str, Any]:
    """The attachment without the pressed button, and with the text above the buttons that remain. An attachment without
    the button is unchanged."""
    blocks: list[dict[str, Any]] = []
    for block in attachment.get("blocks", ()):
        if block.get("block_id") == BLOCK:
            blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": text}]})
            elements = [element for element in block["elements"] if element["action_id"] != action]
            blocks += [{**block, "elements": elements}] if elements else []
        else:
            blocks.append(block)
    return {**attachment, "blocks": blocks} if blocks else dict(attachment)
