"""Apprise URLs of routes: made from what a person answers, and which part of one is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

MAIL_SCHEMES = ("mailto", "mailtos")
MAIL_MODES = ("starttls", "ssl", "insecure")
_ADDRESS = re.compile(r"[^@\s,]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
_PAGERDUTY = re.compile(r"[A-Za-z0-9]{32}")
FORMS = {
    "slack": "use the webhook's own address, https://hooks.slack.com/services/T…/B…/…",
    "pagerduty": "write pagerduty://INTEGRATION_KEY@headway; the key is that of an Events API v2 integration",
    "discord": "write discord://WEBHOOK_ID/WEBHOOK_TOKEN",
    "tgram": "write tgram://BOT_TOKEN/CHAT_ID",
}
"""Scheme -> its shortest form, of receivers whose URLs are often mistyped."""

COMMON_SCHEMES = "mailtos://, slack://, msteams://, pagerduty:// or jsons://"
ALL_SCHEMES = "https://github.com/caronc/apprise/wiki"
_UNREADABLE = "server or port: unreadable. Fix: in a user name or password write / as %2F, # as %23, @ as %40"


def receiver_kind(answer: str) -> str:
    """The kind of a typed receiver: "mail", "url" (of apprise, or a Slack webhook), "pagerduty", or "" (unknown)."""
    if _ADDRESS.fullmatch(answer):
        return "mail"
    if "://" in answer:
        return "url"
    return "pagerduty" if _PAGERDUTY.fullmatch(answer) else ""


def pagerduty_url(integration_key: str) -> str:
    """The URL of an Events API v2 integration; apprise wants an API key as well, which that API ignores."""
    return f"pagerduty://{quote(integration_key, safe='')}@headway"


def mail_url(to: str, server: str, user: str = "", password: str = "") -> str:
    """The URL that mails `to` through `server` ("mail.example.com", or with a port): with a login by STARTTLS, without
    one as the server permits it. Raises ValueError for an invalid server."""
    parts = urlsplit(f"//{server}")
    if not parts.hostname or parts.username or parts.path:
        raise ValueError("the mail server is not a host; write mail.example.com or mail.example.com:25")
    port = f":{parts.port}" if parts.port else ""
    sender = user if _ADDRESS.fullmatch(user) else f"headway@{to.rpartition('@')[2]}"
    query = f"from={quote(sender, safe='@')}&to={quote(to, safe='@')}"
    if not user:
        return f"mailto://{parts.hostname}{port}/?{query}&mode=insecure"
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"mailtos://{login}@{parts.hostname}{port}/?{query}"


def wrong_part(url: str, schemes: Collection[str]) -> str:
    """Which part of an apprise URL is wrong, with its fix and without its values; empty if that is not known.
    `schemes`: those that apprise knows."""
    scheme, separator, _ = url.strip().partition("://")
    if not separator:
        return "scheme: missing. Fix: begin it as mailtos://, slack:// or json://"
    scheme = scheme.lower()
    if schemes and scheme not in schemes:
        near = get_close_matches(scheme, ["https", "http"], 1) or get_close_matches(scheme, sorted(schemes), 1)
        fix = f"did you mean {near[0]}://?" if near else f"write {COMMON_SCHEMES}, or one of {ALL_SCHEMES}"
        return f"scheme: {scheme[:20]!a} is unknown. Fix: {fix}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return _UNREADABLE
    try:
        _ = parts.port
    except ValueError:
        port = parts.netloc.rpartition("@")[2].rpartition(":")[2]
        if "@" not in parts.path + parts.fragment:  # else it is the begin of a password
            if port.isdecimal():
                return f"port {port} is not between 1 and 65535. Fix: write the port of the server"
            if "@" in parts.netloc:
                return "port: not a number. Fix: write the port of the server, 1 to 65535"
        return _UNREADABLE
    if scheme in MAIL_SCHEMES:
        return _wrong_mail_part(parts)
    return f"parts: they do not fit {scheme}://. Fix: {FORMS[scheme]}" if scheme in FORMS else ""


def _wrong_mail_part(parts: SplitResult) -> str:
    if parts.fragment:
        return "password or address: it contains a #. Fix: write # as %23"
    if not parts.hostname:
        return "server: missing. Fix: mailtos://USER:PASSWORD@mail.example.com?to=oncall@example.com"
    query = {name.lower(): values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    for name, example in (("to", "oncall@example.com"), ("from", "headway@example.com")):
        if name in query and not all(_is_address(text) for text in query[name].split(",")):
            return f"{name}=: not a mail address. Fix: {name}={example}"
    own = _is_address(parts.username or "") or _ADDRESS.fullmatch(f"{parts.username}@{parts.hostname}")
    if "from" not in query and not (parts.username and own):
        return "from=: missing, and user and server make no sender. Fix: add from=headway@example.com"
    if "to" not in query and not parts.path.strip("/") and not parts.username:
        return "to=: missing. Fix: add to=oncall@example.com"
    if (mode := query.get("mode", "").lower()) and mode not in MAIL_MODES:
        near = get_close_matches(mode, MAIL_MODES, 1)
        fix = f"did you mean mode={near[0]}?" if near else f"write one of {', '.join(MAIL_MODES)}"
        return f"mode=: unknown. Fix: {fix}"
    return ""


def _is_address(text: str) -> bool:
    address = re.search(r"<([^>]*)>\s*$", text)
    return _ADDRESS.fullmatch((address[1] if address else text).strip()) is not None
