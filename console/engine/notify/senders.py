"""Sending of a message by apprise, and the receiver's answer. Mail is sent by `mail`."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from urllib.request import getproxies

import httpx

from connectors.sdk.transport.http import tls
from connectors.sdk.transport.loopback import is_loopback
from console.config.alert_urls import MAIL_SCHEMES, wrong_part
from console.domain.message import Message, body_text, title_text
from console.engine.notify.chat import DISCORD, SLACK, TEAMS, TELEGRAM, ChatMarkup, shortened_chat
from console.engine.notify.paging import (
    Page,
    PageAction,
    alias_address,
    is_pager,
    page_url,
    plugin_of,
    silent_fault,
    titled_details,
)
from console.engine.notify.responses import read_key_fault
from console.store.outbox import DueDelivery
from console.text.redact import is_secret_name

CONNECT_SECONDS = 5.0
PAGE_SECONDS = 15.0
"""Timeout of a request, as for mail."""
DATA_SCHEMES = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"})
"""Receivers of the text unchanged: programs and mail readers. All others are chats, which may read markup in it."""
PROGRAMS = DATA_SCHEMES - {*MAIL_SCHEMES}
CHATS = {"slack": SLACK, "discord": DISCORD, "workflow": TEAMS, "workflows": TEAMS, "tgram": TELEGRAM}
"""Chats whose own markup is written; all others get plain text."""
PERMANENT_STATUSES = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})
"""HTTP statuses after which the same message will be refused again. 408, 425, 429 and 5xx are temporary."""
_SOCKET = "Socket Exception: "
"""Prefix of apprise's debug message about a failed SMTP dialogue."""
_HTTP_LOG = "urllib3.connectionpool"
_HTTP_ANSWER = '%s://%s:%s "%s %s %s" %s %s'
"""Its debug message about each answer: the last but one value is the status."""
_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
_SMTP_REPLY = re.compile(r"(?:\(|refused: )([245]\d\d),? (b'[^']*'|b\"[^\"]*\")")
"""`(550, b'no such user')` in smtplib's exceptions, `refused: 550 b'…'` in apprise's message about one of several
recipients."""


class TextLimit(NamedTuple):
    """The longest text that a receiver accepts."""

    body: int
    is_json: bool = False
    """In bytes of JSON, else in characters of UTF-16."""


LIMITS = {
    "pagerduty": TextLimit(500_000, is_json=True),  # 512 KB an event: PagerDuty, Events API v2
    "splunk": TextLimit(20_480),  # help.victorops.com, Incident fields glossary
    "squadcast": TextLimit(28_000, is_json=True),  # 30 KB a request: developers.squadcast.com, Payload format
    "mmost": TextLimit(16_383),  # of a post, since Mattermost 5.0
    "lark": TextLimit(19_000, is_json=True),  # 20 KB a request: open.larksuite.com, Custom bot
    "ntfy": TextLimit(4_000, is_json=True),  # 4,096 bytes without an attachment: docs.ntfy.sh, Limitations
    "workflow": TextLimit(24_000, is_json=True),  # 28 KB a request: learn.microsoft.com, Teams, Webhooks
    "pushed": TextLimit(160),  # a push notification, not an SMS of several parts
    "wxteams": TextLimit(7_000, is_json=True),  # 7,439 bytes: developer.webex.com, Messages
}
"""By scheme; of other receivers apprise knows the limit, but sends a longer text all the same."""
SMS_PARTS = frozenset({140, 160})
"""apprise's limits of SMS: one part. Services send a text of several."""
SMS = TextLimit(1_600)  # twilio.com, error 21617


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of a send: `arrived` is True, False (refused), or None if unknown."""

    arrived: bool | None
    reason: str = ""
    for_good: bool = False
    """The same message would be refused again (HTTP 400, SMTP 550), unlike by a server that is down or busy."""


class Sender(Protocol):
    def __call__(self, url: str, message: Message, page: Page) -> SendResult: ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that leaves by one URL."""

    delivery: DueDelivery
    message: Message
    """Of the delivery, as of now and for this URL."""
    page: Page
    store_id: str = ""
    occasion: str = ""
    """Of an alert that no store has: distinguishes it from earlier ones with its key."""
    check_lease: Callable[[], None] = lambda: None
    """Raises LeaseLost in an engine that was stopped meanwhile: the engine that took over has sent it again."""


class Traits(NamedTuple):
    """The facts about a receiver that decide what it is sent."""

    knows_copies: bool = False
    """It recognizes a second copy of a message."""
    opens_pages: bool = False
    """A message opens an alert there, which is resolved by another one."""
    takes_links: bool = False
    """Its readers can acknowledge by a link alone."""
    reader: str = ""
    """The address of its only reader, where that is known."""
    risk: str = ""
    """A danger of its URL, with the fix."""


class Channel(ABC):
    """A URL of a route. One class per kind of receiver."""

    @property
    def traits(self) -> Traits:
        return Traits()

    @abstractmethod
    def problem(self) -> str:
        """Why nothing can be sent by the URL, with the fix and without secrets; empty if it can."""

    def probe(self) -> str:
        """Why its server cannot be reached; empty if it can, or if only a message would prove that."""
        return ""

    @abstractmethod
    def send(self, outgoing: Outgoing) -> SendResult:
        """Sends it once. Raises LeaseLost, StoreError."""


class AppriseChannel(Channel):
    """A URL that apprise reads: a chat, an on-call service, or a program."""

    def __init__(self, url: str, send: Sender) -> None:
        self._url, self._sender = url, send
        self._scheme = url.partition(":")[0].lower()

    @cached_property
    def plugin(self) -> Any:
        return plugin_of(self._url)

    @property
    def traits(self) -> Traits:
        pages = is_pager(self.plugin)
        takes_links = self.plugin is not None and not pages and self._scheme not in PROGRAMS
        return Traits(pages, pages, takes_links, risk=unverified_server(self.plugin))

    def problem(self) -> str:
        fault = wrong_part(self._url, _known_plugins().schemas()) if self.plugin is None else ""
        fault = fault or url_fault(self._url, self.plugin) or no_listener(self.plugin)
        return fault or silent_fault(self._url, self.plugin) or read_key_fault(self._url)

    def send(self, outgoing: Outgoing) -> SendResult:
        return self._sender(self._url, outgoing.message, outgoing.page)


def _known_plugins() -> Any:
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415 - see paging.plugin_of

    manager: Any = NotificationManager
    return manager()


class _AppriseLog(logging.Handler):
    """Collects apprise's log messages per thread, as several sends run in parallel and a message about another one
    would be taken for this one's reply."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        captured: _AppriseReplies | None = getattr(self._here, "captured", None)
        if captured is None:
            return
        if record.name == _HTTP_LOG:
            if record.msg == _HTTP_ANSWER and isinstance(record.args, tuple):
                captured.answers.append(int(str(record.args[6])))
        elif record.levelno >= logging.WARNING:
            captured.lines.append(record.getMessage())
        elif record.levelno == logging.INFO:
            captured.some_sent = captured.some_sent or record.getMessage().startswith("Sent ")
        elif (reason := record.getMessage()).startswith(_SOCKET):
            captured.replies += _SMTP_REPLY.findall(reason)

    @contextmanager
    def listening(self) -> Iterator[_AppriseReplies]:
        """The messages of this thread, as they arrive."""
        for name in ("apprise", _HTTP_LOG):
            logger = logging.getLogger(name)
            logger.addHandler(self)  # adding the same handler again has no effect
            logger.propagate = False
            if logger.level != logging.DEBUG:
                logger.setLevel(logging.DEBUG)
        captured = _AppriseReplies([], [])
        self._here.captured = captured
        try:
            yield captured
        finally:
            self._here.captured = None


@dataclass(slots=True)
class _AppriseReplies:
    lines: list[str]
    """Warnings."""
    replies: list[tuple[str, str]]
    """(code, text) of an SMTP server."""
    some_sent: bool = False
    """At least one of several recipients has received it."""
    answers: list[int] = field(default_factory=list)
    """HTTP statuses, as they came."""


_apprise_log = _AppriseLog()


def send_by_apprise(url: str, message: Message, page: Page) -> SendResult:
    """Sends a message through one apprise URL; to an on-call service as a page, which a recovery resolves."""
    plugin = plugin_of(url)
    if fault := url_fault(url, plugin):
        return SendResult(False, fault, for_good=True)
    if fault := no_listener(plugin):
        return SendResult(False, fault)
    schemes = _schemes(plugin)
    markup = next((CHATS[scheme] for scheme in schemes if scheme in CHATS), None)
    title, body = title_text(message.title), body_text(message.blocks)
    if DATA_SCHEMES.isdisjoint(schemes):
        title, body = fitting(plugin, schemes, markup, message.mapped(without_markup))
    if "slack" in schemes:
        _title_as_text(plugin, page.buttons if plugin.mode == "bot" else None)
    if reason := unreachable_reason(plugin):
        return SendResult(False, reason)
    if not is_pager(plugin):
        return _notify(plugin, title, body, page.action, markup)
    for key, action in page.steps:
        result = _send_page(url, plugin, key, action, title, body, page.tier)
        if not result.arrived:
            return result
    return result


def fitting(plugin: Any, schemes: Iterable[str], markup: ChatMarkup | None, message: Message) -> tuple[str, str]:
    """Title and body as far as the receiver accepts them; a shortened one says so. Receivers refuse longer ones."""
    from apprise import NotifyFormat  # noqa: PLC0415 - see paging.plugin_of
    from apprise.conversion import convert_between  # noqa: PLC0415

    usual = SMS if plugin.body_maxlen in SMS_PARTS else TextLimit(plugin.body_maxlen)
    limit = next((LIMITS[scheme] for scheme in schemes if scheme in LIMITS), usual)
    title = _shortened(title_text(message.title), max(plugin.title_maxlen, MIN_TITLE), _utf16_length, "…")
    measure = _json_length if limit.is_json else _utf16_length
    if markup is not None:
        message, size = replace(message, title=(title,)), limit.body - MARGIN
        return shortened_chat(markup, message, lambda text: measure("\n\n".join(text)) <= size, SHORTENED)

    def length(text: str) -> int:
        convert: Any = convert_between
        return measure(convert(NotifyFormat.TEXT, plugin.notify_format, f"{title}\n\n{text}"))

    return title, _shortened(body_text(message.blocks), limit.body - MARGIN, length, f"\n\n{SHORTENED}")


SHORTENED = "Shortened: headway incident has the whole text."
MIN_TITLE = 250
"""Characters of a title that stay: Headway's titles are shorter, and receivers shorten those they find too long."""
MARGIN = 20
"""Characters that apprise may add."""


def _shortened(text: str, limit: int, length: Callable[[str], int], ending: str) -> str:
    """The text, or as much of its beginning as fits into the limit with the ending, at the end of a line if it has
    several. Where not even the ending fits, the ending."""
    if length(text) <= limit:
        return text

    def head(count: int) -> str:
        beginning = text[:count]
        return (beginning.rpartition("\n")[0] or beginning).rstrip() + ending

    return head(max(0, bisect(range(len(text)), limit, key=lambda count: length(head(count))) - 1))


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _json_length(text: str) -> int:
    return len(json.dumps(text))


def _title_as_text(plugin: Any, buttons: Mapping[str, Any] | None) -> None:
    """Lets apprise's Slack plugin send the title as the message's text, which a locked phone shows: it has a title of
    the attachment alone, which it does not. Without its own footer and icon; `buttons`: a further attachment."""
    send = plugin._send

    def send_with_text(url: str, payload: dict[str, Any], **options: Any) -> Any:
        for attachment in payload.get("attachments", ())[:1]:
            if text := attachment.pop("title", ""):  # none in a message of blocks
                payload["text"] = text
        if buttons is not None:
            payload["attachments"] = [*payload.get("attachments", ()), buttons]
        return send(url, payload, **options)

    plugin._send = send_with_text
    plugin.include_footer = plugin.include_image = False


def lost_answer(error: httpx.HTTPError) -> SendResult:
    """Unknown, unless no connection was made."""
    is_connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return SendResult(None if is_connected else False, f"{type(error).__name__}: {error}")


def status_result(status: int, details: str = "") -> SendResult:
    """By an HTTP status."""
    return SendResult(200 <= status < 300, f"HTTP {status}{details}", for_good=status in PERMANENT_STATUSES)


def _schemes(plugin: Any) -> list[str]:
    """All URL schemes of the plugin, which also reads some https:// addresses of its service."""
    names = [plugin.protocol or (), plugin.secure_protocol or ()]
    return [scheme for name in names for scheme in ([name] if isinstance(name, str) else name)]


def _send_page(
    url: str, plugin: Any, key: str, action: PageAction, title: str, body: str, tier: int | None
) -> SendResult:
    by_alias = "alias" in type(plugin).template_args
    if not by_alias or action is not PageAction.RESOLVE:
        pager = plugin_of(page_url(url, key, plugin, tier))
        opened = _notify(pager, *titled_details(pager, title, body), action)
        if not (by_alias and opened.arrived and action is PageAction.UPDATE):
            return opened
    return _post_to_alias(plugin, key, "close" if action is PageAction.RESOLVE else "notes", f"{title}\n\n{body}")


def _post_to_alias(plugin: Any, key: str, verb: str, text: str) -> SendResult:
    """Adds a note to an Opsgenie or JSM alert, or closes it."""
    try:
        reply = httpx.post(
            f"{''.join(alias_address(plugin, key))}/{verb}",
            params={"identifierType": "alias"},
            headers={"Authorization": f"GenieKey {plugin.apikey}"},
            json={"source": "Headway", "note": text},
            timeout=PAGE_SECONDS,
            verify=tls("the on-call service", None) if plugin.verify_certificate else False,
        )
    except httpx.HTTPError as error:
        return lost_answer(error)
    return status_result(reply.status_code)


def _notify(plugin: Any, title: str, body: str, action: PageAction, markup: ChatMarkup | None = None) -> SendResult:
    """The result of sending by apprise. It is sent only if something left: some plugins report success without."""
    from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - see paging.plugin_of

    kinds = {PageAction.RESOLVE: NotifyType.SUCCESS, PageAction.INFORM: NotifyType.INFO}
    with _apprise_log.listening() as captured:
        notify_type = kinds.get(action, NotifyType.FAILURE)
        form = NotifyFormat.TEXT
        if markup is not None:
            form = NotifyFormat.HTML if markup.is_html else NotifyFormat.MARKDOWN
        done = bool(plugin.notify(title=title, body=body, body_format=form, notify_type=notify_type))
    if not done:
        return _result_of(captured)
    if captured.answers or captured.some_sent:
        return SendResult(True)
    return SendResult(False, "apprise sent no request by this URL; see its parameters", for_good=True)


def _result_of(captured: _AppriseReplies) -> SendResult:
    """The result by apprise's messages. An HTTP status or SMTP reply is final; "connection error" after a connect is
    not, nor a refusal by one of several recipients: the others have it, so that a retry may be a duplicate."""
    reason = next(
        (line for text in reversed(captured.lines) for line in reversed(text.strip().splitlines()) if line), ""
    )
    status = [int(code) for text in captured.lines for code in _HTTP_STATUS.findall(text)]
    if not status and all(code >= 400 for code in captured.answers):
        status = captured.answers
    replies = captured.replies + [reply for text in captured.lines for reply in _SMTP_REPLY.findall(text)]
    for_good = bool(status or replies) and all(code in PERMANENT_STATUSES for code in status)
    for_good = for_good and all(code.startswith("5") for code, _ in replies)
    if replies and not status:
        reason = "; ".join(f"SMTP {code} {reply[2:-1]}" for code, reply in dict.fromkeys(replies))
    answered = bool(status or replies) and not captured.some_sent
    return SendResult(False if answered else None, reason or "the receiver gave no reason", for_good)


def url_fault(url: str, plugin: Any) -> str:
    """Why nothing is ever sent by this apprise URL; empty if it is."""
    return unreadable_url(url, plugin) or unencrypted_login(plugin) or unconfirmed(plugin)


def unreadable_url(url: str, plugin: Any) -> str:
    """Why apprise makes no plugin of this URL; empty if it does."""
    if plugin is not None:
        return ""
    scheme, known = url.partition(":")[0].lower(), _known_plugins()
    if scheme in known and not known[scheme].enabled:
        needs = known[scheme].requirements
        packages = needs.get("packages_required") or []
        names = packages if isinstance(packages, str) else ", ".join(packages)
        reason = f"not installed: {names}" if names else str(needs.get("details")).rstrip(".")
        return f"{scheme}:// cannot be used on this machine: {reason}. Fix: name another kind of receiver"
    return "apprise cannot read the URL. Fix: check its scheme and parts"


SYSLOG_SOCKET = "/dev/log"


def no_listener(plugin: Any) -> str:
    """Why no program on this machine would receive it, where apprise reports success all the same: syslog(3) drops
    messages without a daemon. Empty if one would."""
    if plugin.protocol != "syslog":
        return ""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as link:
            try:
                link.connect(SYSLOG_SOCKET)
            except OSError as error:
                reason = error.strerror
            else:
                return ""
    return f"no syslog daemon listens on {SYSLOG_SOCKET} ({reason}). Fix: start one, or name another kind of receiver"


def unconfirmed(plugin: Any) -> str:
    """Why a message by this apprise URL is never confirmed, so that it never counts as sent. Empty if it is."""
    if plugin.protocol != "rsyslog":
        return ""
    return "rsyslog:// sends UDP, which no receiver confirms: not sent. Fix: write syslog://, whose daemon forwards it"


_PRIVATE_MODES = frozenset({"device", "off", "private", "selfhosted"})
"""apprise's names of the mode in which a plugin of a public service asks the server that its URL names instead."""


def unencrypted_login(plugin: Any) -> str:
    """Why nothing may be sent by this apprise URL: it has a login and another machine would get it without TLS. Empty
    if that is not so."""
    host, is_plain = _remote_server(plugin)
    has_login = (plugin.user and plugin.password) or getattr(plugin, "auth", None) == "token"
    has_login = has_login or any(map(is_secret_name, getattr(plugin, "headers", None) or ()))
    if not is_plain or not has_login or not host:
        return ""
    secure = "mailtos" if getattr(plugin, "smtp_host", None) else getattr(plugin, "secure_protocol", None) or "https"
    scheme = secure if isinstance(secure, str) else secure[0]
    return f"{host}: the password would cross the network unencrypted: not sent. Fix: write {scheme}:// for TLS"


def unverified_server(plugin: Any) -> str:
    """The danger of an apprise URL by which TLS does not verify the other machine; empty if it does."""
    host, is_plain = _remote_server(plugin)
    if not host or is_plain or plugin.verify_certificate:
        return ""
    return f"verify=no: another server that answers as {host} gets the login and the alerts. Fix: leave it out"


def _remote_server(plugin: Any) -> tuple[str, bool]:
    """The other machine that the URL names, and whether it is reached without TLS. Empty for this machine, and where
    apprise knows the address."""
    host: Any = getattr(plugin, "smtp_host", None)
    is_plain = getattr(plugin, "secure_mode", "insecure") == "insecure"
    if not host:
        host = plugin.host if getattr(plugin, "mode", None) in _PRIVATE_MODES else _named_server(plugin)
        is_plain = not getattr(plugin, "secure", True)
    return ("" if not isinstance(host, str) or is_loopback(host.strip("[]")) else host), is_plain


def _named_server(plugin: Any) -> str | None:
    """The host of a URL that names the server itself; in `slack://TOKEN/…` the host part is a token."""
    by_template = all("{host}" in template for template in getattr(type(plugin), "templates", ("",)))
    return getattr(plugin, "host", None) if by_template else None


def unreachable_reason(plugin: Any) -> str:
    """Why no connection can be made; empty if one can, or if that is unknown. A reason proves that nothing was sent.

    Only if the URL names the server itself, and no proxy is in between.
    """
    host = getattr(plugin, "smtp_host", None) or (None if getproxies() else _named_server(plugin))
    secure = bool(getattr(plugin, "secure", False))
    port = getattr(plugin, "port", None) or (443 if secure else 80)
    if not isinstance(host, str) or not host:
        return ""
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return ""


def without_markup(text: str) -> str:
    """The text with nothing in it that a chat takes for a tag, a link or a mention: names, reasons and log lines are
    from outside."""
    text = re.sub(r"(?<!\w)@(?=\w)", "@ ", text.replace("<", "‹"))
    return re.sub(r"\](?=[(\[:])", "] ", text).replace("://", "[:]//")


def neutralise(text: str) -> str:
    """Breaks @channel, @here, @everyone, @all, <!…> and =?…?= in external text, so that it pages no channel and is
    not decoded by a mail reader (RFC 2047)."""
    text = re.sub(r"@(?=(channel|here|everyone|all)\b)", "@ ", text, flags=re.IGNORECASE)
    return text.replace("<!", "< !").replace("=?", "= ?")
