"""Every kind of message in every sink: nothing empty, nothing twice, its own markup and none of another."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from console.domain.message import Message, title_text
from tests.golden.alerts import SINKS, messages
from tests.rows import each_row

MARKUP = {
    "mail": r"\*\*|<\w|`",
    "Slack": r"<(?!https://|!here)\w|\\",
    "Discord": r"<(?!!here)\w",
    "Teams": r"<(?!!here)\w|`",
    "Telegram": r"\*\*|`|<(?!/?(?:b|code|pre)>)",
}
"""What no message of the sink has: markup that its reader would see."""
EMPTY = re.compile(
    r"(?m)^(?:\*\*|<b>)?[A-Z][a-z]+(?: [a-z]+)?(?:\*\*|</b>)? {2,}(?:none|nobody|unknown|-|–|None)?\W*$"
    r"|<t[hd]></t[hd]>|, *,|\(\)|: *\["
)
PROMISE = "Supply plan", "06:30"
VERDICTS = {
    "service at risk": (*PROMISE, "at risk"),
    "mixed status, two zones, with a link": ("Daily view", "05:10", "at risk"),
    "act-by passed": (*PROMISE, "will miss"),
    "reopened": (*PROMISE, "at risk"),
    "not started": (*PROMISE, "at risk"),
    "not started, in the zone of its service": ("Daily view", "06:40", "at risk"),
    "system away": (*PROMISE, "at risk"),
    "late": (*PROMISE, "will miss"),
    "missed": ("Supply plan", "03:40", "breached"),
    "reminder": (*PROMISE, "at risk"),
    "escalation": (*PROMISE, "at risk"),
    "resolved": ("Supply plan", "safe"),
    "resolved too late": (*PROMISE, "delivered late"),
    "for business people": (*PROMISE, "at risk"),
    "late, for business people": (*PROMISE, "late"),
    "resolved, for business people": (*PROMISE, "on time"),
    "shadow": (*PROMISE, "at risk"),
    "second cause": (*PROMISE, "at risk"),
    "group": (*PROMISE, "at risk"),
    "digest": (*PROMISE, "at risk"),
    "fallback": ("Daily view", "05:10", "at risk"),
}
"""Service, deadline and status of each message about a service."""


@cache
def all_messages() -> dict[str, Message]:
    return dict(messages())


@each_row("sink", SINKS)
def test_every_message_has_its_verdict_in_every_sink(sink: str) -> None:
    for name, verdict in VERDICTS.items():
        first = SINKS[sink](all_messages()[name]).split("\n\n")[0]
        assert [] == [part for part in verdict if part not in first], name


@each_row("sink", sorted(SINKS.keys() - {"push"}))
def test_no_message_has_an_empty_value_or_a_line_twice(sink: str) -> None:
    for name, message in all_messages().items():
        text = SINKS[sink](message)
        assert None is EMPTY.search(text), (name, EMPTY.search(text))
        lines = Counter(
            line.strip() for line in re.split(r"\n|<br>|<hr>|</tr>|</table>", text) if re.search(r"\w", line)
        )
        assert [] == [line for line, number in lines.items() if number > 1], name


@each_row("sink", MARKUP)
def test_no_message_shows_the_markup_of_another_sink(sink: str) -> None:
    for name, message in all_messages().items():
        match = re.search(MARKUP[sink], SINKS[sink](message))
        assert None is match, (name, match)


def test_every_message_is_read_as_it_was_stored() -> None:
    for name, message in all_messages().items():
        assert message == Message.from_json(message.to_json()), name


def test_the_incident_comes_last_and_once_in_each_first_line() -> None:
    for name, message in all_messages().items():
        title = title_text(message.title)
        incidents = re.findall(r"\{incident\}|INC-\d+", title)
        bracket = re.search(r"[\[(]((?:\{incident\}|INC-\d+)[^\[(]*)[\])]$", title)
        in_bracket = re.findall(r"\{incident\}|INC-\d+", bracket[1]) if bracket is not None else []
        assert incidents == in_bracket, name
        assert len(set(incidents)) == len(incidents), name


def test_a_line_that_is_empty_is_found() -> None:
    for line in ("Owner  nobody\n", "**Owner**  \n", "<b>Owner</b>  None\n", "<td></td>"):
        assert EMPTY.search(line), line
