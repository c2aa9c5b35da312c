"""What names, reasons and logs from outside can do in a chat, and logins that would cross the network unencrypted.

The payloads are those that apprise would send.
"""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import apprise
import pytest
import requests

from console.domain.message import DIVIDER, RULE, body_text
from console.domain.message_group import group_message
from console.engine.notify.channels import Channels
from console.engine.notify.chat import CHAT_DIVIDER, DISCORD, TELEGRAM, as_chat
from console.engine.notify.mail import as_html
from console.engine.notify.paging import Page
from console.engine.notify.senders import Outgoing, neutralise, send_by_apprise, unencrypted_login, without_markup
from console.store.outbox import DueDelivery
from tests.messages import message_of
from tests.rows import each_row

HEX = "8b799edf6f984d3a9be72862fb4e5752"
CHATS = {
    "Slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
    "Telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/12345",
    "Discord": f"discord://123456789012345678/{HEX}{HEX}",
    "Slack's own address": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "Discord's own address": f"https://discord.com/api/webhooks/123456789012345678/{HEX}{HEX}",
    "Mattermost": "mmosts://chat.example/abcdefghijklmnopqrstuvwx",
    "Teams": f"workflows://prod.example/{HEX}/abcdef_sig",
    "Google Chat": "gchat://workspace/key/token",
    "Webex": f"wxteams://{HEX}{HEX}abcdefghijklmnop",
    "Zulip": f"zulip://bot@org/{HEX}/stream",
}
TITLE = 'INC-0001 <a href="http://evil/">Approve</a> [click](http://evil) <@&999> <@U123> @everyone'
BODY = (
    '<a href="http://evil/">Approve</a> [click](http://evil) [x][y] @ann failed\n'
    "\n"
    "  | <a href='http://evil/'>x</a> ``` <pre> *b* _c_\n"
    "\n"
    "Error    http://evil/\n"
    "Runbook  https://wiki.example/load\n"
    "Do       headway recover `x` </code> INC-0001\n"
    "\n"
    "SERVICE                    DUE (UTC)\n"
    "[click](http://evil) <b>   06:30\n"
    "\n"
    "  | <@123> <#5> <b>x</b> <http://evil|here> ![i](http://evil) <at>ann</at> mail ann@bank.example\n"
    "  | [y]: http://evil\n"
)


def payload(url: str) -> str:
    """The text of all that would be sent."""
    sent = []

    def record(*_: Any, **given: Any) -> mock.Mock:
        sent.append(given.get("data") or given.get("json"))
        return mock.Mock(status_code=200, content=b"ok", text='{"ok": true}')

    with (
        mock.patch.object(requests, "post", record),
        mock.patch.object(requests.Session, "request", record),
        mock.patch("console.engine.notify.senders.unreachable_reason", return_value=""),
    ):
        assert send_by_apprise(url, message_of(TITLE, BODY).mapped(neutralise), Page("incident")).arrived
    texts = [text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in sent]
    return "\n".join(json.dumps(json.loads(text), ensure_ascii=False) if text[:1] == "{" else text for text in texts)


@each_row("chat", CHATS)
def test_text_from_outside_is_no_link_no_tag_and_no_mention_in_a_chat(chat: str) -> None:
    sent = payload(CHATS[chat])
    assert "click" in sent
    for live in ("<a", "<@", "<#", "<at", "<http", "](http", "][", "]:", "@everyone", "@ann", "http://evil"):
        assert live not in sent.replace("<https://wiki.example", "").replace("](https://wiki.example", ""), live
    assert "://wiki.example/load" in sent.replace("\\", "")


@each_row(
    "chat, bold, command, link, quoted",
    [
        ("Slack", "*Do*", "`headway recover 'x' ‹/code&gt; INC-0001`", "<https://wiki.example/load>", "```\n‹a"),
        ("Discord", "**Do**", "`headway recover 'x' ‹/code> INC-0001`", "https://wiki.example/load", "```\n‹a"),
        ("Slack's own address", "*Do*", "`headway recover 'x'", "<https://wiki.example/load>", "```\n‹a"),
        ("Discord's own address", "**Do**", "`headway recover 'x'", "https://wiki.example/load", "```\n‹a"),
        ("Teams", "**Do**", "headway recover \\`x\\`", "[https://wiki.example/load](https:", "‹a href='http\\[:"),
        ("Telegram", "<b>Do</b>", "<code>headway recover `x` ‹/code&gt; INC-0001</code>", "https:", "<pre>‹a"),
    ],
)
def test_a_chat_reads_its_own_markup(chat: str, bold: str, command: str, link: str, quoted: str) -> None:
    sent = payload(CHATS[chat]).replace("\\n", "\n").replace("\\\\", "\\")
    assert "SERVICE" not in sent  # a list: a phone has no room for columns
    for native in (bold, command, link, quoted):
        assert native in sent, native


@pytest.mark.parametrize("chat", ["Slack", "Slack's own address"])
def test_a_locked_phone_shows_the_title_of_a_message_in_slack(chat: str) -> None:
    sent = json.loads(payload(CHATS[chat]))
    assert sent["text"].startswith("INC-0001 ‹a href=")
    assert "<" not in sent["text"]
    assert {"text", "color"} == set(sent["attachments"][0])


@each_row("chat", CHATS)
@each_row("mention", ["<!channel>", "<@U123>", "<!here|x>", "@everyone", "@Channel"])
def test_an_address_with_a_mention_is_no_link(chat: str, mention: str) -> None:
    """A runbook is written by whoever may edit the card of a job."""
    address = f"https://wiki.example/{mention}"
    with mock.patch(f"{__name__}.BODY", f"Runbook  {address}\n"):
        sent = payload(CHATS[chat])
    assert "wiki" in sent
    assert mention not in sent.replace("\\", "")


def test_a_link_in_telegram_is_escaped() -> None:
    body = "<b>Open</b>  https://ops.example/?a=1&amp;b=2\n"
    assert ("a &lt; b", body) == as_chat(TELEGRAM, message_of("a < b", "Open  https://ops.example/?a=1&b=2\n"))


@pytest.mark.parametrize("chat, key", [("Teams", "text"), ("Discord", "content")])
def test_a_chat_that_cuts_a_title_gets_it_in_the_body(chat: str, key: str) -> None:
    """A card of Teams shows one line of its title, on a phone 30 letters of a verdict."""
    sent = payload(CHATS[chat])
    assert f'"{key}": "**INC-0001 ' in sent
    assert '"id": "title"' not in sent


def test_a_list_in_a_chat_has_the_zone_of_each_time() -> None:
    _, body = as_chat(
        DISCORD, message_of("t", "SERVICE  DUE (CET)  STATUS\nDaily    07:30      at risk, act by 07:29\n")
    )
    assert "**t**\n\n**Daily**  07:30 CET, at risk, act by 07:29\n" == body


def test_each_incident_of_a_group_is_a_block_below_its_title() -> None:
    group = group_message(
        [message_of("Daily  at_risk", "Do    headway recover 1\n\n----\n"), message_of("Weekly", "  | ====\n")]
    )
    assert ["section", "facts", "lines", "section", "quote"] == [block.kind for block in group.blocks]
    _, chat = as_chat(DISCORD, group)
    title = "**Daily  at\\_risk, and 1 more alert**"
    begin = f"{title}\n\n{CHAT_DIVIDER}  \n**Daily at\\_risk**\n\n**Do**  `headway recover 1`\n\n"
    assert chat.startswith(begin)
    assert f"\n\n{CHAT_DIVIDER}  \n**Weekly**\n\n```\n====\n```\n" in chat
    assert "<h2>Weekly</h2>\n<pre>====</pre>" in as_html(group)


def test_what_all_messages_of_a_group_have_is_written_once() -> None:
    services = "SERVICE  DUE (CET)\nDaily    07:30\n"
    messages = [
        message_of(
            f"same [INC-{number}]",
            f"  | {error}\n\nDo    headway recover {number}\nOpen  https://x\n\n{services}\n{RULE}\n\nOwner  data\n",
        )
        for number, error in enumerate(("SERVICE  DUE", "SERVICE  DUE"), 1)
    ]
    assert body_text(group_message(messages).blocks) == (
        f"Open  https://x\n\n{services}\n"
        f"{DIVIDER}\nINC-1\n\n  | SERVICE  DUE\n\nDo  headway recover 1\n\n"
        f"{DIVIDER}\nINC-2\n\n  | SERVICE  DUE\n\nDo  headway recover 2\n\n"
        f"{DIVIDER}\nAll incidents\n\nOwner  data\n"
    )


def test_what_a_program_gets_is_not_changed() -> None:
    assert '<a href=\\"http://evil/\\">' in payload("jsons://hook.example/x")


def test_the_text_of_a_chat_stays_readable() -> None:
    text = "load@db07 failed: mail ann@bank.example, list[0] (x)"
    assert text == without_markup(text)


@each_row(
    "url, fix",
    [
        ("mailto://u:pw@mail.example.com?to=a@b.example", "mailtos"),
        ("mailto://u:pw@10.0.0.5:25?from=h@b.example&to=a@b.example&mode=insecure", "mailtos"),
        ("json://u:pw@hook.example/x", "jsons"),
        ("xml://u:pw@hook.example/x", "xmls"),
        ("ntfy://u:pw@ntfy.example/night", "ntfys"),
        ("ntfy://ntfy.example/night?token=tk_x", "ntfys"),
        ("ntfy://tk_x@ntfy.example/night", "ntfys"),
        ("ntfy://u:pw@night?mode=private&to=a", "ntfys"),
        ("matrix://u:pw@matrix.example/#night", "matrixs"),
        ("notica://u:pw@notica.example/aaaaaa", "noticas"),
        ("json://hook.example/x?+X-Api-Key=k", "jsons"),
        ("form://hook.example/x?%2BAuthorization=Bearer%20k", "forms"),
    ],
)
def test_a_login_is_not_sent_to_another_machine_without_tls(url: str, fix: str) -> None:
    message = message_of("t", "x")
    delivery = DueDelivery(1, "r", 0, message, "k", 0, 0, False)
    sent = Channels(None).of(url).send(Outgoing(delivery, message, Page("incident")))
    assert (False, True) == (sent.arrived, sent.for_good)
    assert f"the password would cross the network unencrypted: not sent. Fix: write {fix}:// for TLS" in sent.reason


@each_row(
    "url",
    [
        "mailtos://u:pw@mail.example.com?to=a@b.example",
        "mailto://u:pw@mail.example.com?to=a@b.example&mode=starttls",
        "mailto://u:pw@127.0.0.1:25?from=h@b.example&to=a@b.example",
        "mailto://relay.example.com?from=h@b.example&to=a@b.example",
        "mailto://u:pw@gmail.com",
        "json://u:pw@localhost/x",
        "jsons://u:pw@hook.example/x",
        "ntfys://u:pw@ntfy.example/night",
        "ntfy://u:pw@localhost/night",
        "ntfy://ntfy.example/night",
        "json://hook.example/x?+X-Estate=prod",
        "ntfy://u:pw@night?mode=cloud",
        CHATS["Telegram"],
    ],
)
def test_with_tls_without_a_login_or_on_this_machine_it_is_sent(url: str) -> None:
    assert "" == unencrypted_login(apprise.Apprise.instantiate(url))
