"""Texts of others may hold anything: every screen shows them as text, and no control byte of theirs leaves."""

from __future__ import annotations

import dataclasses
import re
import sys
from enum import Enum
from typing import Any, TypeVar

import pytest

from tests.corpus import HOSTILE
from tests.deep import some
from tests.pty.terminal import Terminal
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import LOG, FakeReads, FakeRequests, approval, draft, hold, plan_of

View = TypeVar("View")
FREE = {
    *(
        "title",
        "name",
        "job",
        "cause",
        "reason",
        "root_job",
        "owner",
        "runbook",
        "words",
        "detail",
        "message",
        "native_state",
    ),
    *("schedule", "error", "error_kind", "version", "kind", "definition", "actor", "receiver", "route", "log"),
    *("log_error", "estate", "period_key", "source", "run_as", "native_url", "why", "held_by", "frozen"),
    *("requested_by", "upstream", "service", "unreliable_because"),
}
"""Fields that hold text from outside."""
READS = {
    *("header", "list_services", "list_incidents", "incident", "jobs_first_page", "jobs_by_ids", "job", "run"),
    *("systems", "drift", "list_actions", "plan", "list_plans", "list_holds", "list_approvals", "lineage_of"),
    *("timeline", "job_forecasts", "forecasts_of_job"),
}
MARKED = "HOSTILE"


def poison(view: Any, text: str) -> Any:
    """The view with `text` in every field of outside text, at any depth."""
    is_named = hasattr(view, "_fields")
    if isinstance(view, tuple | list) and not is_named:
        return type(view)(poison(item, text) for item in view)
    if isinstance(view, type) or not (is_named or dataclasses.is_dataclass(view)):
        return view
    changes = {}
    for name in view._fields if is_named else [field.name for field in dataclasses.fields(view)]:
        value = getattr(view, name)
        if name in FREE and isinstance(value, str) and not isinstance(value, Enum):
            changes[name] = f"{MARKED}{text}{value}"
        elif isinstance(value, tuple) or dataclasses.is_dataclass(value):
            changes[name] = poison(value, text)
    return view._replace(**changes) if is_named else dataclasses.replace(view, **changes)


class HostileReads(FakeReads):
    """The fake night, written by an attacker of the operator's terminal."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __getattribute__(self, name: str) -> Any:
        result = super().__getattribute__(name)
        if name in READS:
            text = super().__getattribute__("text")
            return lambda *given, **named: poison(result(*given, **named), text)
        return result


WALK = (
    ("2", "3", "5", "1"),
    ("2", "enter", "enter", "escape", "i", "escape", "o", "escape", "R", "escape", "r", "end", "escape", "escape"),
    ("A", "escape", "F", "escape", ":", "h", "o", "l", "d", "s", "enter", "i", "escape", "escape"),
    ("3", "space", "space", "r", "a", "escape", "enter", "escape", "escape", "escape"),
    ("3", "enter", "enter", "i", "escape", "?", "escape", ":", "escape", "escape", "escape"),
    ("4", "down", "space", "[", "comma", "i", "escape", "escape", "enter", "escape", "1"),
    ("W", "t", "escape", "escape", "3", "enter", "W", "escape", "escape"),
    ("3", "g", "v", "z", "right", "z", "b", "o", "escape", "i", "escape", "escape", "escape"),
)


async def _walk(night: Night) -> None:
    for keys in WALK:
        for key in keys:
            await night.press(key)
            await night.until(lambda: night.app.is_running, "a living console")
            assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", night.text) is None


@pytest.mark.deep
@pytest.mark.parametrize("part", some(range(4), 2))
def test_f50_every_screen_survives_hostile_text_and_shows_none_of_its_controls(part: int) -> None:
    """All of the corpus, a quarter of it in each text."""
    text = " ".join(HOSTILE[part::4])

    def prepare(night: Night) -> None:
        night.reads = HostileReads(text)
        night.requests = FakeRequests(night.reads, log_text=text + LOG, draft=poison(draft(), text))
        night.reads.plans_, night.reads.holds_ = [plan_of(draft(), 7, incident_id=9)], [hold()]
        night.reads.approvals_ = [approval()]
        night.requests.shown |= {"summary": text, "scope": text, "verb": text, "native_calls": [text], "notes": [text]}

    on_the_night(prepare=prepare)(_walk)()


@on_the_night()
async def test_markup_in_a_name_is_shown_as_it_is(night: Night) -> None:
    night.reads.services_[2] = dataclasses.replace(night.reads.services_[2], title="[b]x[/oops]")
    night.reads.changed()
    await night.see("[b]x[/oops]")


@pytest.mark.deep
def test_no_control_sequence_of_a_name_or_log_reaches_the_terminal() -> None:
    """All of the corpus at once, through a real pseudo-terminal: what is received holds none of their payloads."""
    with Terminal([sys.executable, "-m", "tests.tui.show", "--hostile"], (100, 30)) as terminal:
        terminal.wait_for(MARKED)
        for keys in WALK:
            for key in keys:
                terminal.press(key)
                terminal.settle(0.1, 3)
        received = bytes(terminal.received).decode("utf-8", "replace")
    assert MARKED in received
    payloads = [text for text in HOSTILE if re.search("[\x1b\x07\x9b\x90\x9d\u202e]", text)]
    textuals_own = {"\x1b", "\x1b[", "\x1b[0m", "\x1b[?1049h"}
    assert [] == [text for text in payloads if text in received and text not in textuals_own]
    assert "\x1b]0;" not in received
    assert "\x1b]52;" not in received
    assert "\x9b" not in received
