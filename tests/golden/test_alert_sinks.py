"""Every kind of message in every sink: nothing empty, nothing twice, its own markup and none of another."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from tests.golden.alerts import SINKS, messages

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
ONCE_EACH = ("group",)
"""Of several incidents, each with its own steps and table."""


@cache
def all_messages() -> dict[str, tuple[str, str]]:
    return {name: (title, body) for name, title, body in messages()}


@pytest.mark.parametrize("sink", SINKS)
def test_every_message_has_its_verdict_in_every_sink(sink: str) -> None:
    for name, (title, body) in all_messages().items():
        verdict = re.split(r"[ :]", title)[0]
        assert verdict in SINKS[sink](title, body).split("\n\n")[0], name


@pytest.mark.parametrize("sink", sorted(SINKS.keys() - {"push"}))
def test_no_message_has_an_empty_value_or_a_line_twice(sink: str) -> None:
    for name, (title, body) in all_messages().items():
        text = SINKS[sink](title, body)
        assert None is EMPTY.search(text), (name, EMPTY.search(text))
        if name not in ONCE_EACH:
            lines = Counter(
                line.strip() for line in re.split(r"\n|<br>|</tr>|</table>", text) if re.search(r"\w", line)
            )
            assert [] == [line for line, number in lines.items() if number > 1], name


@pytest.mark.parametrize("sink", MARKUP)
def test_no_message_shows_the_markup_of_another_sink(sink: str) -> None:
    for name, (title, body) in all_messages().items():
        found = re.search(MARKUP[sink], SINKS[sink](title, body))
        assert None is found, (name, found)


def test_the_incident_stands_last_and_once_in_each_first_line() -> None:
    for name, (title, _) in all_messages().items():
        places = [place.start() for place in re.finditer(r"\{incident\}|INC-\d+", title)]
        assert not places or re.search(r"[\[(](?:\{incident\}|INC-\d+)[^\[(]*[\])]$", title), name


def test_a_line_that_is_empty_is_found() -> None:
    for line in ("Owner  nobody\n", "**Owner**  \n", "<b>Owner</b>  None\n", "<td></td>"):
        assert EMPTY.search(line), line
