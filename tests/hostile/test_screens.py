"""The console on the hostile estate: every screen shows outside text as text, and nothing of it acts on a terminal."""

from __future__ import annotations

import re
import sys

import pytest

from console.store.names import decode_name
from console.text.cleaning import clean_line
from tests.corpus import HOSTILE, MARKUP
from tests.hostile.console import ConsoleDriver, drive
from tests.hostile.world import WORST, World
from tests.pty.terminal import Terminal

WALKS = {
    "services": ("1", "down", "enter", "escape", "i", "escape"),
    "incidents": ("2", "enter", "enter", "escape", "l", "escape", "o", "escape", "r", "escape", "escape"),
    "jobs": ("3", "end", "enter", "enter", "i", "escape", "escape", "escape"),
    "systems": ("5", "i", "escape", "enter", "escape"),
    "drift": ("3", "down", "d", "escape", "escape"),
    "help and jump": ("?", "escape", ":", "h", "o", "s", "escape"),
}


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_through_the_screens_shows_nothing_that_acts(world: World, walk: str) -> None:
    async def steps(console: ConsoleDriver) -> None:
        for key in WALKS[walk]:
            await console.pilot.press(key)
            await console.pilot.pause(0.05)
            console.check()

    drive(world.url, steps, (80, 24))


def test_every_hostile_job_has_a_screen(world: World) -> None:
    with world.bench.store.read() as connection:
        jobs = [(decode_name(name), number) for name, number in connection.rows("SELECT native_id, id FROM job")]

    async def steps(console: ConsoleDriver) -> None:
        for name, number in jobs[::24]:
            console.app.navigation.open_job(number)
            await console.see(clean_line(f"JOB hostile/{name}")[:40].rstrip())
            console.check()
            await console.pilot.press("escape")

    drive(world.url, steps)


def test_f51_markup_in_a_name_is_shown_verbatim(world: World) -> None:
    plain = [text for text in MARKUP if clean_line(text) == text and len(text) < 40]

    async def steps(console: ConsoleDriver) -> None:
        for text in plain[::9]:
            console.app.navigation.open_job(f"hostile/{text}")
            await console.see(f"hostile/{text}")
            await console.pilot.press("escape")

    drive(world.url, steps)


def test_a_filter_of_hostile_text_is_only_a_filter(world: World) -> None:
    async def steps(console: ConsoleDriver) -> None:
        await console.pilot.press("3")
        for text in HOSTILE[::45]:
            await console.pilot.press("/")
            for entry in console.app.screen.query("Entry, Input").results():
                entry.value = text.replace("\n", " ")  # type: ignore[attr-defined]
            await console.pilot.press("enter")
            await console.pilot.pause(0.05)
            console.check()
            await console.pilot.press("escape")

    drive(world.url, steps)


def test_no_control_sequence_of_others_reaches_a_real_terminal(world: World) -> None:
    argv = [sys.executable, "-m", "console", "--store", world.url, "console", "--no-engine"]
    with Terminal(argv, (120, 40)) as terminal:
        terminal.wait_for("SERVICES")
        for walk in WALKS.values():
            for key in walk:
                terminal.press(key)
                terminal.settle(0.1, 3)
        received = bytes(terminal.received).decode("utf-8", "replace")
    acting = [text for text in [*HOSTILE, WORST] if re.search("[\x1b\x07\x9b\x90\x9d\u202e]", text) and len(text) > 4]
    ours = {"\x1b[0m", "\x1b[?1049h"}
    assert [] == [text for text in acting if text in received and text not in ours]
    titles = set(re.findall("\x1b\\][012];([^\x07\x1b]*)", received))
    assert [] == [text for text in titles if not re.fullmatch(r"Headway(: not monitoring|: [\d a-z,]+)?", text)]
    assert "\x1b]9;" not in received
    assert "\x1b]52;" not in received
    assert [] == re.findall("[\x80-\x9f\u202a-\u202e\u2066-\u2069]", received)
