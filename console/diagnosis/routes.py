"""Probes of how people are reached: the URLs of routes, rotas, Slack's tokens and on-call services."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING

import apprise

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretRef, SecretStore
from console.diagnosis.probes import NOT_TRIED, ProbeResult, guarded
from console.domain.ids import micros
from console.domain.message import Lines, Message
from console.engine.notify.channels import Channels
from console.engine.notify.on_call import CALENDAR_ERRORS, READS_AT_ONCE, error_text, read_calendar_of
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.responses import page_at_service
from console.engine.notify.senders import Outgoing
from console.engine.notify.slack import probe_app_token, probe_bot_token
from console.store.alerts import TEST
from console.store.outbox import DueDelivery
from console.text.redact import sanitize

if TYPE_CHECKING:
    from console.config.sections import Config


def probe_routes(config: Config, secrets: SecretStore, accepted: Collection[tuple[str, str]]) -> list[ProbeResult]:
    """Whether the references of every route and of the ping resolve, and each URL of a route can be used, its mail
    server answers, and it has accepted something before; sends nothing."""
    urls = [(name, url) for name, route in config.routes.items() for url in route.urls]
    urls += [("", config.alerts.ping)] if config.alerts.ping else []

    def probe(named: tuple[str, SecretRef]) -> ProbeResult:
        route, url = named
        return _probe_route(route, url, secrets, (route, url.text) in accepted)

    with ThreadPoolExecutor(min(8, len(urls) or 1)) as pool:
        return list(pool.map(probe, urls))


def _probe_route(route: str, url: SecretRef, secrets: SecretStore, is_tested: bool) -> ProbeResult:
    name = f"route {route} ({url.text})" if route else f"ping ({url.text})"
    try:
        address = secrets(url)
    except ConnectorError as error:
        return ProbeResult(name, "refused", "", (sanitize(str(error), secrets.mask),))
    if not route:
        return ProbeResult(name, "ok", "")
    channel = Channels(None).of(address)
    notes = tuple(filter(None, [channel.traits.risk]))
    if fault := channel.problem():
        return ProbeResult(name, "refused", "", (fault,), notes=notes)
    if reason := channel.probe():
        fix = f"Fix: start that mail server, or correct server and port in {url.text}"
        return ProbeResult(name, "unreachable", "", (f"{reason}. {fix}",), notes=notes)
    if is_tested:
        return ProbeResult(name, "ok", "", notes=notes)
    fix = f"Fix: headway alert test {route}"
    return ProbeResult(name, NOT_TRIED, "", (f"no alert of the engine yet. {fix}",), notes=notes)


EVENTS_NAMED = 20
"""Events of a calendar that cannot be read, named by `headway check`."""


def probe_rotas(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether the calendar of each rota can be read; events that are left out are notes."""
    folder = config.path if config.path.is_dir() else config.path.parent

    def probe(name: str) -> ProbeResult:
        title = f"rota {name}"
        try:
            left_out = read_calendar_of(config.rotas[name], folder, secrets, datetime.now(UTC)).left_out
        except CALENDAR_ERRORS as error:
            return ProbeResult(title, "broken", "", (sanitize(f"cannot be read: {error_text(error)}", secrets.mask),))
        notes = [sanitize(f"is read without {event}", secrets.mask) for event in left_out[:EVENTS_NAMED]]
        further = [f"and without {len(left_out) - EVENTS_NAMED} more"] if len(left_out) > EVENTS_NAMED else []
        return ProbeResult(title, "ok", "", notes=(*notes, *further))

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return list(pool.map(lambda name: guarded(f"rota {name}", secrets, partial(probe, name)), config.rotas))


def probe_slack(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether Slack takes the app token of the buttons, and the bot token of each route; nothing is posted."""
    calls: list[tuple[str, Callable[[], None]]] = []
    if config.slack is not None:
        app_token = config.slack.app_token
        calls.append(("slack app token", lambda: probe_app_token(secrets(app_token))))
    for route, settings in config.routes.items():
        for url in settings.urls:
            with suppress(ConnectorError):  # the probe of the route reports it
                if token := _slack_bot_token(secrets(url)):
                    calls.append((f"slack bot token (route {route})", partial(probe_bot_token, token)))
    return [guarded(name, secrets, call) for name, call in calls]


def _slack_bot_token(address: str) -> str:
    """Of an apprise URL that posts as a bot; else empty."""
    plugin = apprise.Apprise.instantiate(address) if address.lower().startswith("slack://") else None
    return str(getattr(plugin, "access_token", None) or "")


def send_test_message(address: str) -> str:
    """Sends a message by an apprise URL, and ends the page that it opens; why it was not accepted, or ""."""
    channel = Channels(None).of(address)
    if fault := channel.problem():
        return fault
    message = Message(("Test of the first route: nothing is wrong",), (Lines(("Alerts arrive here.",)),))
    now = datetime.now(UTC)
    key, made_us = f"headway:init:{now:%Y%m%dT%H%M%S}", micros(now)
    delivery = DueDelivery(0, "", 0, message, key, 0, 0, False, kind=TEST, origin=TEST, made_us=made_us)
    for action in (PageAction.INFORM, PageAction.RESOLVE)[: 2 if channel.traits.opens_pages else 1]:
        result = channel.send(Outgoing(delivery, message, Page(key, action)))
        if not result.arrived:
            return result.reason or "no answer"
    return ""


def page_text(route: str, receiver: str, key: str, until: float) -> tuple[bool, str] | None:
    """Whether an on-call service can be read with the read key of its URL, and how it shows the page. None for other
    URLs. `receiver`: the reference to the URL, "env ONCALL". `until`: by the monotonic clock, how long a service may
    take to list the page."""
    kind, _, name = receiver.partition(" ")
    if kind not in ("env", "file"):
        return None
    secrets = SecretStore()
    while True:
        try:
            page = page_at_service(route, secrets(SecretRef.model_validate({kind: name})), key, secrets)
        except ConnectorError:
            return None  # the engine has sent by another environment
        if page is None:
            return None
        if page.error:
            return False, page.error
        if page.status != "unknown":
            return True, f"{page.service} shows it as {page.status}"
        if page.lists_acknowledged:
            return True, f"{page.service} can be read; it lists a page once a person acknowledges it"
        if monotonic() > until:
            warning = ", and let a WARNING open an incident" if page.service == "Splunk On-Call" else ""
            return False, f"{page.service} does not list it. Fix: write a read_key of the same account{warning}"
        sleep(1.0)
