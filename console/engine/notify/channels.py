"""The channel of each URL, chosen by its scheme."""

from __future__ import annotations

from console.config.alert_urls import MAIL_SCHEMES
from console.engine.notify import alertmanager, webhook
from console.engine.notify.alertmanager import AlertmanagerChannel
from console.engine.notify.mail import MailChannel
from console.engine.notify.senders import AppriseChannel, Channel, Sender, send_by_apprise
from console.engine.notify.webhook import WebhookChannel
from console.store.db.database import Database


class Channels:
    """The channels of one engine. Each Alertmanager has one, which knows its open alerts."""

    def __init__(
        self, store: Database | None, estate: str = "", link: str = "", send: Sender = send_by_apprise
    ) -> None:
        """`store`: None where no message is about an incident. `link`: address of an incident, with {incident}; empty:
        none. `send`: replaces mail and apprise."""
        self._store, self._estate, self._link, self.send = store, estate, link, send
        self._alertmanagers: dict[str, AlertmanagerChannel] = {}

    def of(self, url: str) -> Channel:
        scheme = url.partition(":")[0].lower()
        if scheme in alertmanager.SCHEMES:
            return self._alertmanagers.setdefault(url, AlertmanagerChannel(url, self._store, self._link))
        if scheme in webhook.SCHEMES:
            return WebhookChannel(url, self._store, self._estate, self._link)
        return (MailChannel if scheme in MAIL_SCHEMES else AppriseChannel)(url, self.send)
