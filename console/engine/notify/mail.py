"""Alerts by mail: a complete text part, the same as HTML, and headers that keep an incident in one thread.

apprise parses the URL and knows each provider; it gives every mail its own Message-ID with no way to set another, so
mail for a server leaves from here.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default as default_policy
from email.utils import format_datetime, formataddr, localtime
from functools import cache
from typing import TYPE_CHECKING, Any

from console.config.alert_urls import MAIL_SCHEMES, wrong_part
from console.domain.incident import ACKNOWLEDGE_FOR
from console.domain.message import Message, body_text, cell_text, table_rows, title_text
from console.engine.notify.paging import opaque_id, plugin_of
from console.engine.notify.senders import (
    AppriseChannel,
    Outgoing,
    SendResult,
    Traits,
    send_by_apprise,
    unencrypted_login,
    unreachable_reason,
)
from console.store.errors import LeaseLost
from console.text.cleaning import clean_line
from console.text.redact import NONE_KNOWN, sanitize

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

SECONDS = 15.0
"""Timeout of each reply of the server, as in apprise."""
TITLE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class MailThread:
    """The thread of a mail. Ids are digests, so that headers reveal no names."""

    own: str
    """Message-ID of the mail; the same for a duplicate, so that a receiver recognizes it."""
    root: str = ""
    """Message-ID of the first mail of the thread; empty without a thread."""
    joined: tuple[str, ...] = ()
    """First mails of the threads that were merged into this one."""

    @property
    def references(self) -> tuple[str, ...]:
        """Values of References; the last one is In-Reply-To."""
        return (*self.joined, self.root) if self.root else self.joined


def mail_thread(outgoing: Outgoing) -> MailThread:
    """The thread of an incident: its alerts to one route, with those of merged incidents. A reopened incident continues
    its thread; a split one gets its own. It is the same for all engines of a store, another one for another store."""
    delivery, store_id, occasion = outgoing.delivery, outgoing.store_id, outgoing.occasion
    key = f"{delivery.dedup_key} {occasion}" if occasion else delivery.dedup_key
    root = opaque_id(store_id, key, delivery.route) if delivery.incident_id is not None else ""
    joined = tuple(opaque_id(store_id, part, delivery.route) for part in delivery.parts)
    if root and delivery.begins:
        return MailThread(root, joined=joined)
    return MailThread(opaque_id(store_id, key, delivery.route, str(delivery.id)), root, joined)


class MailChannel(AppriseChannel):
    """A mail server. A mail that needs what only apprise can do leaves by it."""

    @property
    def traits(self) -> Traits:
        plugin = self.plugin
        has_one_reader = plugin is not None and len(plugin.targets) == 1 and not (plugin.cc or plugin.bcc)
        reader = str(plugin.targets[0][1]) if has_one_reader else ""
        return super().traits._replace(knows_copies=True, reader=reader)

    def problem(self) -> str:
        return wrong_part(self._url, MAIL_SCHEMES) or super().problem()  # apprise silently drops a wrong recipient

    def probe(self) -> str:
        return unreachable_reason(self.plugin)

    def send(self, outgoing: Outgoing) -> SendResult:
        if self._sender is not send_by_apprise:
            return super().send(outgoing)
        sent = send_mail(self._url, outgoing.message, mail_thread(outgoing), outgoing.check_lease)
        return sent or super().send(outgoing)


def send_mail(
    url: str, message: Message, thread: MailThread, check_lease: Callable[[], None] = lambda: None
) -> SendResult | None:
    """The server's reply; None for a URL by which only apprise can send.

    `check_lease` is called right before the end of the message, without which no server accepts it. It raises LeaseLost
    in an engine that was stopped meanwhile: the engine that took over has sent the mail again.
    """
    plugin = plugin_of(url)
    if plugin is not None and (fault := unencrypted_login(plugin)):
        return SendResult(False, fault, for_good=True)
    if plugin is None or not plugin.targets or str(getattr(plugin, "pgp_mode", "no")) not in ("no", "none"):
        return None
    if plugin.secure_mode != "insecure" and not plugin.verify_certificate:
        return None
    return _deliver(plugin, compose_mail(plugin, message, thread), check_lease)


_POLICY = default_policy.clone(max_line_length=998)
"""Subjects are not folded, up to the limit of RFC 5322, 2.1.1: `email` would move a long one to a line of its own,
which begins with a blank."""


def compose_mail(plugin: Any, alert: Message, thread: MailThread) -> EmailMessage:
    """The complete mail. `plugin`: the URL as parsed by apprise."""
    title = title_text(alert.title)
    name, address = plugin.from_addr
    domain = address.rpartition("@")[2] or "localhost"
    message = EmailMessage(_POLICY)
    message["Subject"] = clean_line(title, TITLE_LIMIT)
    message["From"] = formataddr((name or "Headway", address))
    message["To"] = ", ".join(formataddr((name or "", to)) for name, to in plugin.targets)
    if plugin.cc:
        message["Cc"] = ", ".join(sorted(plugin.cc))
    if plugin.reply_to:
        message["Reply-To"] = ", ".join(sorted(plugin.reply_to))
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<headway.{thread.own}@{domain}>"
    if thread.references:
        message["In-Reply-To"] = f"<headway.{thread.references[-1]}@{domain}>"
        message["References"] = " ".join(f"<headway.{reference}@{domain}>" for reference in thread.references)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{title}\n\n{body_text(alert.blocks)}")
    message.add_alternative(as_html(alert), subtype="html")
    return message


_END = b"\r\n.\r\n"
"""The end of a message (RFC 5321, 4.1.1.4)."""


class _LeaseChecked:
    """Calls `check_lease` between a message and its end."""

    check_lease: Callable[[], None]

    def send(self, s: Any) -> None:
        if isinstance(s, bytes) and s.endswith(_END):
            super().send(s[:-3])  # type: ignore[misc]
            self.check_lease()
            s = s[-3:]
        super().send(s)  # type: ignore[misc]


class _Smtp(_LeaseChecked, smtplib.SMTP): ...


class _SmtpSsl(_LeaseChecked, smtplib.SMTP_SSL): ...


def _deliver(plugin: Any, message: EmailMessage, check_lease: Callable[[], None]) -> SendResult:
    """The result of sending. A refusal, or a failure before the message itself is sent, proves that nothing arrived. A
    refusal of some recipients does not: the others have it, and each retry is a duplicate to them."""
    recipients = [to for _, to in plugin.targets] + sorted({*plugin.cc, *plugin.bcc})
    try:
        smtp = _connected(plugin)
        smtp.check_lease = check_lease
    except (OSError, smtplib.SMTPException) as error:
        return _refusal_result(error, f"{plugin.smtp_host}:{plugin.port}")
    try:
        refused = smtp.send_message(message, plugin.from_addr[1], recipients)
    except LeaseLost:
        smtp.close()
        raise
    except smtplib.SMTPServerDisconnected as error:
        return SendResult(None, f"the mail server closed the connection: {error}")
    except smtplib.SMTPException as error:
        return _refusal_result(error, f"{plugin.smtp_host}:{plugin.port}")
    except OSError as error:
        return SendResult(None, f"{plugin.smtp_host}:{plugin.port}: {error.strerror or error}")
    finally:
        try:
            smtp.quit()
        except (OSError, smtplib.SMTPException):  # its reply does not matter
            smtp.close()
    if refused:
        return _recipients_result(None, refused)
    return SendResult(True)


def _connected(plugin: Any) -> _Smtp | _SmtpSsl:
    """The connection, signed in if the URL has a login."""
    host, port, context = plugin.smtp_host, int(plugin.port), ssl.create_default_context()
    if plugin.secure_mode == "ssl":
        smtp: _Smtp | _SmtpSsl = _SmtpSsl(host, port, timeout=SECONDS, context=context)
    else:
        smtp = _Smtp(host, port, timeout=SECONDS)
    try:
        if plugin.secure_mode == "starttls":
            smtp.starttls(context=context)
        if plugin.user and plugin.password:
            smtp.login(plugin.user, plugin.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _refusal_result(error: Exception, where: str) -> SendResult:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _recipients_result(False, error.recipients)
    if isinstance(error, smtplib.SMTPResponseException):
        text = f"SMTP {error.smtp_code} {_text(error.smtp_error)}"
        return SendResult(False, text, for_good=error.smtp_code >= 500)
    if isinstance(error, OSError):
        return SendResult(False, f"{where}: {error.strerror or error}")
    return SendResult(False, f"{where}: {error}")


def _recipients_result(arrived: bool | None, refused: dict[str, tuple[int, bytes]]) -> SendResult:
    """The result where recipients were refused: the distinct replies, without addresses."""
    replies = "; ".join(dict.fromkeys(f"SMTP {code} {_text(text)}" for code, text in refused.values()))
    return SendResult(arrived, replies, for_good=all(code >= 500 for code, _ in refused.values()))


def _text(reply: bytes | str) -> str:
    return sanitize(reply, NONE_KNOWN, on_one_line=True)


_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ title }}</title>
<style>:root{color-scheme:light dark}
body{margin:0;padding:16px;max-width:640px;font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;\
color:#1a1a1a;background:#fff}
h1{font-size:20px;line-height:1.3;margin:0 0 12px}
h2{font-size:17px;line-height:1.3;margin:24px 0 12px;padding-top:12px;border-top:3px solid #888}
p{margin:0 0 12px;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:0 0 14px}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid #ddd;overflow-wrap:anywhere}
th{font-weight:600;color:#555;overflow-wrap:normal}
td:first-child,th:first-child{width:36%}
td:last-child,th:last-child{padding-right:0}
.rows th{white-space:nowrap;font-weight:400;width:1%}
pre,code{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
pre{margin:0 0 14px;padding:8px 10px;background:#f2f2f2;border-left:4px solid #999}
hr{border:0;border-top:1px solid #bbb;margin:18px 0}
a{color:#0b57d0}
@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#3a3a3a}th{color:#aaa}
pre{background:#262626}hr{border-color:#555}a{color:#8ab4f8}}</style></head>
<body>
<h1>{{ title }}</h1>
{% macro cell(label, value) -%}
{% set text = cell_text(value) -%}
{% if value.url is defined %}<a href="{{ text }}">{{ acknowledge if label == "Acknowledge" else text }}</a>
{%- elif value.command is defined %}<code>{{ text }}</code>{% else %}{{ breakable(text) }}{% endif %}
{%- endmacro -%}
{% for block in blocks -%}
{% if block.kind == "details" -%}
<hr>
{% elif block.kind == "section" -%}
<h2>{{ cell_text(title_text(block.title)) }}</h2>
{% elif block.kind == "quote" -%}
<pre>{{ block.rows | join("\n") }}</pre>
{% elif block.kind == "lines" -%}
<p>{% for line in block.rows %}{{ breakable(line) }}{% if not loop.last %}<br>{% endif %}{% endfor %}</p>
{% elif block.kind == "table" -%}
{% set rows = table_rows(block) -%}
<table><tr>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{%- for row in rows[1:] %}<tr>{% for text in row %}<td>{{ breakable(text) }}</td>{% endfor %}</tr>
{%- endfor %}</table>
{% else -%}
<table class="rows">{% for label, value in block.rows %}<tr><th>{{ cell_text(label) }}</th>
{{- "" }}<td>{{ cell(label, value) }}</td></tr>{% endfor %}</table>
{% endif -%}
{% endfor -%}
</body></html>
"""


@cache
def _page() -> Template:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only where a mail is sent

    return Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True).from_string(_PAGE)


_JOINT = re.compile(r"([_/]|[:.](?!\d))(?=\w)")


def _breakable(text: str) -> Markup:
    """The text escaped; a narrow column may break a name after its punctuation."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - see _page

    return Markup(_JOINT.sub(r"\1<wbr/>", str(escape(text))))  # noqa: S704 - escaped before


def as_html(message: Message) -> str:
    """The message as a page for a phone: tables are tables, external text is in a block of its own, all is escaped."""
    functions = {"cell_text": cell_text, "title_text": title_text, "table_rows": table_rows, "breakable": _breakable}
    acknowledge, title = f"Acknowledge for {ACKNOWLEDGE_FOR}", title_text(message.title)
    return _page().render(title=title, blocks=message.blocks, acknowledge=acknowledge, **functions)
