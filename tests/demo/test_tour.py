"""The tour of the real demo, by keys in a real terminal: its engine, its plan, its proof, and the time it takes."""

from __future__ import annotations

import re
import sys
from datetime import timedelta

import pytest

from console.timing.durations import parse_duration
from tests.pty.terminal import Terminal

pytestmark = pytest.mark.timeout(300)
HEADWAY = [sys.executable, "-m", "console"]
LIMIT_SECONDS = 60.0


def opens_it(screen: str) -> bool:
    """The header tells of an incident a moment before the table has the services that it hurts."""
    return "TOUR 2/5" in screen and re.search(r"^\s*! (Supply plan|Daily revenue) ", screen, re.MULTILINE) is not None


@pytest.mark.deep  # a minute; its steps are in tests/tui/app/test_tour.py, its plan in tests/demo/test_play.py
def test_a_person_who_follows_it_ends_with_everything_proved_within_three_minutes() -> None:
    with Terminal([*HEADWAY, "demo"], size=(80, 24)) as terminal:
        terminal.wait_for("TOUR 1/5", LIMIT_SECONDS)
        for see, *keys in (
            ("shows only what needs attention", "!"),
            (opens_it, "enter"),
            ("AFFECTED SERVICES 2", "g"),
            ("TOUR 4/5", "escape"),
            ("shows a plan of reruns and holds", "r"),
            ("10 steps in 3 systems", "enter"),
            ("type INC-0001 and a reason, then ↵ starts it", "INC-0001", "enter"),
            ("depends on it: give a reason", "the disk was full", "enter"),
        ):
            terminal.wait_for(see, LIMIT_SECONDS)
            terminal.press(*keys)
        terminal.wait_for("Its scheduler confirms the rerun", LIMIT_SECONDS)
        screen = terminal.wait_for("Done in", LIMIT_SECONDS)
        found = re.search(r"Done in (\S+)", screen)
        assert found is not None
        assert timedelta(0) < parse_duration(found[1]) < timedelta(minutes=3)
        terminal.wait_for("0 at risk · 0 incidents", LIMIT_SECONDS)
        terminal.wait_for("verified", LIMIT_SECONDS)
        terminal.press("ctrl+c")
        assert 0 == terminal.wait_for_end()
