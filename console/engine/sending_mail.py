"""Alerts by mail: a text part that says everything, the same as HTML, and headers that keep an incident in one thread.

apprise reads the URL and knows how each provider is reached; it gives every mail a Message-ID of its own and no way to
name another, so what goes to a mail server leaves from here. What it alone can do (PGP, a certificate that is not to be
checked) is left to it.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, localtime
from functools import lru_cache
from typing import Any

from console.clean import clean_line
from console.engine.sending import Sent

SECONDS = 15.0
"""For each answer of the server, as apprise waits."""
TITLE_LIMIT = 300
MARK = "  | "
"""How outside text begins in a body."""


@dataclass(frozen=True, slots=True)
class Thread:
    """Which mails belong together. Ids are digests: no name leaves the house in a header."""

    own: str
    """The same for a repeat, so that a receiver can tell."""
    root: str = ""
    """Of the mail that began it; empty: it belongs to none."""
    joined: tuple[str, ...] = ()
    """Of the mails that began the threads of what turned out to be a part of it."""

    @property
    def references(self) -> tuple[str, ...]:
        """The mails that it follows, the one that it answers last."""
        return (*self.joined, self.root) if self.root else self.joined


def thread_of(
    dedup_key: str, route: str, delivery_id: int, is_about_incident: bool, begins: bool, parts: Sequence[str] = ()
) -> Thread:
    """The thread of an incident is its alerts to one route, those of the incidents that were merged into it (`parts`,
    their keys) among them. One that comes back goes on in its thread; what is split off has one of its own. `begins`:
    no other of them left as a mail of its own, be it that the first word left among those of other incidents."""
    root = _digest(dedup_key, route) if is_about_incident else ""
    joined = tuple(_digest(one, route) for one in parts)
    if root and begins:
        return Thread(root, joined=joined)
    return Thread(_digest(dedup_key, route, str(delivery_id)), root, joined)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def send_mail(url: str, title: str, body: str, thread: Thread) -> Sent | None:
    """What the server said; None for a URL that is no mail, or that only apprise can send."""
    import apprise  # noqa: PLC0415 - see sending

    if not url.lower().startswith(("mailto:", "mailtos:")):
        return None
    one: Any = apprise.Apprise.instantiate(url)
    if one is None or not one.targets or str(getattr(one, "pgp_mode", "no")) not in ("no", "none"):
        return None
    if one.secure_mode != "insecure" and not one.verify_certificate:
        return None
    return _deliver(one, written(one, title, body, thread))


def written(one: Any, title: str, body: str, thread: Thread) -> EmailMessage:
    """The mail as it leaves. `one`: apprise's reading of the URL."""
    name, address = one.from_addr
    domain = address.rpartition("@")[2] or "localhost"
    message = EmailMessage()
    message["Subject"] = clean_line(title, TITLE_LIMIT)
    message["From"] = formataddr((name or "Headway", address))
    message["To"] = ", ".join(formataddr((name or "", to)) for name, to in one.targets)
    if one.cc:
        message["Cc"] = ", ".join(sorted(one.cc))
    if one.reply_to:
        message["Reply-To"] = ", ".join(sorted(one.reply_to))
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<headway.{thread.own}@{domain}>"
    if thread.references:
        message["In-Reply-To"] = f"<headway.{thread.references[-1]}@{domain}>"
        message["References"] = " ".join(f"<headway.{one}@{domain}>" for one in thread.references)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    message.add_alternative(as_html(title, body), subtype="html")
    return message


_PAGE = """<!DOCTYPE html>
<html><body style="font-family: sans-serif; font-size: 14px; color: #222">
<h2 style="font-size: 16px">{{ title }}</h2>
{% for is_outside, text in blocks -%}
{% if is_outside -%}
<pre style="font-family: monospace; background: #f4f4f4; border-left: 4px solid #999; padding: 6px 10px; \
white-space: pre-wrap">{{ text }}</pre>
{% else -%}
<pre style="font-family: inherit; margin: 0; white-space: pre-wrap">{{ text }}</pre>
{% endif -%}
{% endfor -%}
</body></html>
"""


@lru_cache(maxsize=1)
def _page() -> Any:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only where a mail is sent

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)


def as_html(title: str, body: str) -> str:
    """The same words; outside text stands in a block of its own, and everything is escaped."""
    return str(_page().render(title=title, blocks=list(_blocks(body))))


def _blocks(body: str) -> Iterator[tuple[bool, str]]:
    """(is it outside text, the lines) of each stretch."""
    lines: list[str] = []
    outside = False
    for line in body.rstrip("\n").split("\n"):
        if line.startswith(MARK) != outside:
            yield from _block(outside, lines)
            lines, outside = [], not outside
        lines.append(line.removeprefix(MARK) if outside else line)
    yield from _block(outside, lines)


def _block(outside: bool, lines: list[str]) -> Iterator[tuple[bool, str]]:
    if lines:
        yield outside, "\n".join(lines)


def _deliver(one: Any, message: EmailMessage) -> Sent:
    """A refusal, and whatever fails before the mail itself is on its way, is proof that nothing arrived."""
    everybody = [to for _, to in one.targets] + sorted({*one.cc, *one.bcc})
    try:
        smtp = _connected(one)
    except (OSError, smtplib.SMTPException) as error:
        return _refused(error, f"{one.smtp_host}:{one.port}")
    try:
        refused = smtp.send_message(message, one.from_addr[1], everybody)
    except smtplib.SMTPServerDisconnected as error:
        return Sent(None, f"the mail server hung up: {error}")
    except smtplib.SMTPException as error:
        return _refused(error, f"{one.smtp_host}:{one.port}")
    except OSError as error:
        return Sent(None, f"{one.smtp_host}:{one.port}: {error.strerror or error}")
    finally:
        _leave(smtp)
    if refused:
        return Sent(None, _replies(refused))
    return Sent(True)


def _connected(one: Any) -> smtplib.SMTP:
    """Signed in where the URL has a login."""
    host, port, context = one.smtp_host, int(one.port), ssl.create_default_context()
    if one.secure_mode == "ssl":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(host, port, timeout=SECONDS)
    try:
        if one.secure_mode == "starttls":
            smtp.starttls(context=context)
        if one.user and one.password:
            smtp.login(one.user, one.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _leave(smtp: smtplib.SMTP) -> None:
    """What the server says to a goodbye changes nothing."""
    try:
        smtp.quit()
    except (OSError, smtplib.SMTPException):
        smtp.close()


def _refused(error: Exception, where: str) -> Sent:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return Sent(False, _replies(error.recipients), for_good=all(code >= 500 for code in codes))
    if isinstance(error, smtplib.SMTPResponseException):
        words = f"SMTP {error.smtp_code} {_text(error.smtp_error)}"
        return Sent(False, words, for_good=error.smtp_code >= 500)
    if isinstance(error, OSError):
        return Sent(False, f"{where}: {error.strerror or error}")
    return Sent(False, f"{where}: {error}")


def _replies(refused: dict[str, tuple[int, bytes]]) -> str:
    """Each reply once, without the addresses."""
    return "; ".join(dict.fromkeys(f"SMTP {code} {_text(text)}" for code, text in refused.values()))


def _text(reply: bytes | str) -> str:
    return clean_line(reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply, 200)
