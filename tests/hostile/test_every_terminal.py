"""Every screen by the real program in a pseudo-terminal: it opens, says what it is, and one comes back from it."""

from __future__ import annotations

import sys

import pytest

from tests.hostile.test_every_screen import screens
from tests.hostile.world import World
from tests.pty.terminal import Terminal

TRIES = 4
ELSEWHERE = {
    "PlanConfirmation",  # opens over a plan that an engine proposed
}
INCIDENT, JOB, RUN = ("2", "enter"), ("3", "down", "enter"), ("3", "down", "enter", "enter")
WALK: dict[str, tuple[tuple[str, ...], str]] = {
    "ServicesScreen": (("1",), "SERVICES"),
    "IncidentsScreen": (("2",), "INCIDENTS"),
    "IncidentScreen": (INCIDENT, "INC-"),
    "JobsScreen": (("3",), "JOBS"),
    "JobScreen": (JOB, " JOB "),
    "RunScreen": (RUN, " RUN "),
    "RunsScreen": (("7",), " RUNS"),
    "HeatScreen": (("7", "H"), "runs by hour"),
    "LineageScreen": ((*JOB, "g"), "LINEAGE"),
    "TonightScreen": (("4",), "TONIGHT"),
    "SystemsScreen": (("5",), "SYSTEMS"),
    "SystemScreen": (("5", "enter"), " SYSTEM "),
    "ActionsScreen": (("6",), "ACTIONS"),
    "ActionScreen": (("6", "enter"), "ACTION "),
    "HoldsScreen": ((":", *"holds", "enter"), "HOLDS"),
    "ShadowScreen": (("6", "S"), "SHADOW"),
    "AuditScreen": ((":", *"audit", "enter"), "AUDIT"),
    "DraftScreen": (("2", "r"), "PLAN"),
    "StartedScreen": ((":", *"plan 901", "enter"), "PLAN 901"),
    "ActionConfirmation": ((*JOB, "r"), "RERUN"),
    "WhatIfScreen": ((*JOB, "W"), "WHAT IF"),
    "BackfillChoice": ((*JOB, "B"), "BACKFILLS"),
    "AskScreen": (("F",), "FREEZE"),
    "PickScreen": (("A",), "waits for approval"),
    "HelpChoices": (("?",), "keys of"),
    "ApprovalConfirmation": (("A", "enter"), "APPROVE"),
    "JumpChoices": ((":",), "Esc back"),
    "TextScreen": (("2", "i"), '"id"'),
}


@pytest.mark.deep
def test_every_screen_opens_in_a_real_terminal_and_is_left_again(written: World) -> None:
    argv = [sys.executable, "-m", "console", "--store", written.url, "console", "--no-engine"]
    with Terminal(argv, (120, 40)) as terminal:
        terminal.wait_for("SERVICES")
        for name, (walk, seen) in WALK.items():
            tries = (_walked(terminal, walk, seen, 0.15 * 3**number) for number in range(TRIES))
            assert any(tries), f"{name} never came; the screen:\n{terminal.text}"
            _home(terminal)
            assert not terminal.ended, name


def _walked(terminal: Terminal, walk: tuple[str, ...], seen: str, quiet_seconds: float) -> bool:
    """Goes there; goes home again where it did not come, as a key was too early for its rows: on a busy machine a
    console that is silent has not always ended its work."""
    for key in walk:
        terminal.press(key)
        terminal.settle(quiet_seconds, 2 + quiet_seconds)
    if seen not in terminal.text:
        _home(terminal)
        return False
    return True


def _home(terminal: Terminal) -> None:
    for _ in range(4):
        terminal.press("escape")
        terminal.settle(0.05, 1)
    terminal.press("1")
    terminal.wait_for("SERVICES")


def test_every_screen_is_walked_to() -> None:
    assert screens() - ELSEWHERE == set(WALK)
