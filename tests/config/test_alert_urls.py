"""Which part of a notification URL is wrong, and URLs made from what a person types."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import apprise
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config.alert_urls import mail_url, pagerduty_url, receiver_kind, wrong_part
from console.engine.notify.channels import Channels
from tests.rows import each_row

SECRET = "CANARY-hunter2"
SENDS = "from=headway@example.org&to=oncall@example.org"


@each_row(
    "url, part",
    [
        ("mail.example.com", "scheme: missing"),
        (f"foo://{SECRET}", "scheme: 'foo' is unknown. Fix: write mailtos://, slack://,"),
        (f"mailtox://user:{SECRET}@mail.example.com", "scheme: 'mailtox' is unknown. Fix: did you mean mailto"),
        (f"mailtos://user:{SECRET}/x@mail.example.com?to=a@example.com", "server or port: unreadable"),
        (
            f"mailto://user:{SECRET}@mail.example.com:99999?to=a@example.com",
            "port 99999 is not between 1 and 65535. Fix: write the port of the server",
        ),
        (f"mailtos://user:{SECRET}@mail.example.com:abc?to=a@example.com", "port: not a number. Fix: write the port"),
        ("mailto://127.0.0.1:99999?from=a@example.com&to=a@example.com", "port 99999 is not between"),
        ("mailtos://user:99999/x@mail.example.com?to=a@example.com", "server or port: unreadable. Fix: in a user"),
        ("mailto://?to=a@example.com", "server: missing"),
        ("mailto://mail.example.com?from=a@b.c&to=a@example.com", "from=: not a mail address"),
        (f"mailtos://user:{SECRET}@mail.example.com?to=nobody", "to=: not a mail address"),
        ("mailto://user@127.0.0.1?to=a@example.com", "from=: missing"),
        (f"mailto://127.0.0.1?{SENDS}&mode=insecur", "mode=: unknown. Fix: did you mean mode=insecure?"),
        (f"mailto://127.0.0.1?{SENDS}&mode={SECRET}", "mode=: unknown. Fix: write one of starttls, ssl, insecure"),
        (f"slack://{SECRET}", "parts: they do not fit slack://"),
        (f"pagerduty://{SECRET}", "parts: they do not fit pagerduty://. Fix: write pagerduty://INTEGRATION_KEY@"),
    ],
)
def test_the_wrong_part_of_a_url_is_named_without_its_value(url: str, part: str) -> None:
    fault = Channels(None).of(url).problem()
    assert (True, False) == (fault.startswith(part), SECRET in fault), fault


@each_row(
    "url",
    [
        f"mailto://127.0.0.1:2525?{SENDS}&mode=insecure",
        "mailtos://user:pw@mail.example.com?to=oncall@example.com",
        "mailtos://user:pw@mail.example.com/oncall@example.com",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "jsons://example.com/hook",
    ],
)
def test_a_url_that_sends_has_no_wrong_part(url: str) -> None:
    assert "" == Channels(None).of(url).problem()


@given(st.text())
def test_any_text_is_judged_without_an_error(text: str) -> None:
    for url in (text, f"mailtos://{text}", f"slack://{text}"):
        assert isinstance(wrong_part(url, {"mailto", "mailtos", "slack"}), str)
    receiver_kind(text)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_login_makes_a_mail_url_that_carries_it(user: str, password: str) -> None:
    url = mail_url("oncall@example.com", "mail.example.com:587", user, password)
    parts = urlsplit(url)
    assert (user, password) == (unquote(parts.username or ""), unquote(parts.password or ""))
    assert "" == wrong_part(url, {"mailtos"})


def test_mail_without_a_login_goes_to_the_port_that_was_named() -> None:
    plugin: Any = apprise.Apprise.instantiate(mail_url("oncall@example.com", "localhost:2525"))
    assert (2525, None, [(False, "oncall@example.com")]) == (plugin.port, plugin.user, plugin.targets)


def test_a_pagerduty_key_makes_a_url_of_that_integration() -> None:
    key = "0123456789abcdef0123456789abcdef"
    plugin: Any = apprise.Apprise.instantiate(pagerduty_url(key))
    assert ("pagerduty", key) == (receiver_kind(key), plugin.integration_key)


@each_row("server", ["", "me@mail.example.com", "mail.example.com/x", "mail.example.com:99999", "[::1"])
def test_a_server_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match=r"server|[Pp]ort|IPv6"):
        mail_url("a@example.com", server)
