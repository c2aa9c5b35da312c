"""One table of actions: no key twice on a screen, every key does something, help and docs say what is true."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from textual.keys import _character_to_key

from console.tui import keys, where
from console.tui.screens.action import ActionScreen
from console.tui.screens.actions import ActionsScreen
from console.tui.screens.ask import AskScreen
from console.tui.screens.audit import AuditScreen
from console.tui.screens.draft import DraftScreen
from console.tui.screens.frame import FrameScreen
from console.tui.screens.holds import HoldsScreen
from console.tui.screens.incident import IncidentScreen
from console.tui.screens.incidents import IncidentsScreen
from console.tui.screens.job import JobScreen
from console.tui.screens.jobs import JobsScreen
from console.tui.screens.lineage import LineageScreen
from console.tui.screens.overlay import Overlay
from console.tui.screens.pick import PickScreen
from console.tui.screens.preview import PreviewScreen
from console.tui.screens.run import RunScreen
from console.tui.screens.runs import RunsScreen
from console.tui.screens.services import ServicesScreen
from console.tui.screens.shadow import ShadowScreen
from console.tui.screens.started import StartedScreen
from console.tui.screens.system import SystemScreen
from console.tui.screens.systems import SystemsScreen
from console.tui.screens.text import TextScreen
from console.tui.screens.tonight import TonightScreen
from console.tui.screens.wallboard import WallboardScreen
from console.tui.screens.what_if import WhatIfScreen
from tests.tui.driving import Night, on_the_night
from tests.tui.keys_page import PAGE, markdown

BUILT: dict[str, type[FrameScreen] | type[Overlay[Any]]] = {
    "services": ServicesScreen,
    "incidents": IncidentsScreen,
    "incident": IncidentScreen,
    "jobs": JobsScreen,
    "runs": RunsScreen,
    "job": JobScreen,
    "run": RunScreen,
    "systems": SystemsScreen,
    "system": SystemScreen,
    "actions": ActionsScreen,
    "action": ActionScreen,
    "holds": HoldsScreen,
    "shadow": ShadowScreen,
    "audit": AuditScreen,
    "plan": DraftScreen,
    "recovery": StartedScreen,
    "lineage": LineageScreen,
    "tonight": TonightScreen,
    "ask": AskScreen,
    "preview": PreviewScreen,
    "pick": PickScreen,
    "text": TextScreen,
    "wallboard": WallboardScreen,
    "what_if": WhatIfScreen,
}


def test_every_screen_of_the_table_is_built_and_every_built_one_is_in_the_table() -> None:
    assert set(BUILT) == {*where.SCREENS, *where.OVERLAYS}


@pytest.mark.parametrize("screen", sorted(BUILT))
def test_no_key_has_two_meanings_on_a_screen(screen: str) -> None:
    """What moves in its table or text counts too: a grid or a pane has the focus."""
    widget = keys.widget_of(screen)
    pressed = [
        _character_to_key(key) if len(key) == 1 else key
        for name in (screen, widget)
        for act in keys.acts(name)
        for key in act.keys
    ]
    assert {} == {key: count for key, count in Counter(pressed).items() if count > 1}


@pytest.mark.parametrize("screen", sorted(BUILT))
def test_every_key_of_a_screen_does_something(screen: str) -> None:
    missing = [act.name for act in keys.acts(screen) if not hasattr(BUILT[screen], f"do_{act.name}")]
    assert [] == missing


@pytest.mark.parametrize("screen", sorted(BUILT))
def test_the_bindings_of_a_screen_are_those_of_the_table(screen: str) -> None:
    bound = {binding.key for binding in BUILT[screen].BINDINGS if not binding.key.startswith(keys.NO_KEY)}  # type: ignore[union-attr]
    assert {key for act in keys.acts(screen) for key in act.keys} == bound


def test_no_command_has_only_a_key_that_terminals_eat() -> None:
    keyed = [act for act in keys.TABLE if act.keys]
    eaten = [act.name for act in keyed if all(key.startswith(("alt+", "f")) and len(key) > 1 for key in act.keys)]
    assert [] == eaten


def test_the_page_of_keys_is_what_the_table_says() -> None:
    assert markdown() == PAGE.read_text(encoding="utf-8")


@on_the_night(size=(120, 36))
async def test_the_footer_shows_the_tables_keys_and_dims_what_cannot_be_done(night: Night) -> None:
    await night.see("Supply plan", "↵ open", "r recover", ": jump", "? keys")


@on_the_night(size=(120, 90))
async def test_help_shows_every_act_of_the_screen(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("?")
    await night.see("keys of Jobs")
    missing = [act.word for act in keys.acts("jobs") if act.name != "help" and act.word not in night.text]
    assert [] == missing
