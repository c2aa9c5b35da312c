"""One table of actions: no key twice on a screen, every key does something, help and docs say what is true."""

from __future__ import annotations

from collections import Counter
from typing import Any

from textual.keys import _character_to_key

from console.config import key_table
from console.tui.dialogs.ask import AskScreen
from console.tui.dialogs.confirm import SendScreen
from console.tui.dialogs.overlay import Overlay, TextScreen
from console.tui.dialogs.palette import KEY_COLUMNS, PickScreen
from console.tui.dialogs.what_if import WhatIfScreen
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.actions.screen import ActionScreen, ActionsScreen
from console.tui.views.audit import AuditScreen
from console.tui.views.holds import HoldsScreen
from console.tui.views.incidents.list import IncidentsScreen
from console.tui.views.incidents.screen import IncidentScreen
from console.tui.views.jobs.list import JobsScreen
from console.tui.views.jobs.screen import JobScreen
from console.tui.views.lineage.screen import LineageScreen
from console.tui.views.plans.progress import StartedScreen
from console.tui.views.plans.proposal import DraftScreen
from console.tui.views.runs.run_list import RunsScreen
from console.tui.views.runs.screen import RunScreen
from console.tui.views.services.screen import ServicesScreen
from console.tui.views.shadow import ShadowScreen
from console.tui.views.systems import SystemScreen, SystemsScreen
from console.tui.views.tonight import TonightScreen
from console.tui.widgets.table import column_widths
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.keys_page import PAGE, markdown

BUILT: dict[str, type[HeadwayScreen] | type[Overlay[Any]]] = {
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
    "preview": SendScreen,
    "pick": PickScreen,
    "text": TextScreen,
    "what_if": WhatIfScreen,
}


def test_every_screen_of_the_table_is_built_and_every_built_one_is_in_the_table() -> None:
    assert set(BUILT) == {*key_table.SCREENS, *key_table.OVERLAYS}


@each_row("screen", sorted(BUILT))
def test_no_key_has_two_meanings_on_a_screen(screen: str) -> None:
    """What moves in its table or text counts too: a grid or a pane has the focus."""
    widget = key_table.focus_widget(screen)
    pressed = [
        _character_to_key(key) if len(key) == 1 else key
        for name in (screen, widget)
        for act in key_table.key_actions(name)
        for key in act.keys
    ]
    assert {} == {key: count for key, count in Counter(pressed).items() if count > 1}


@each_row("screen", sorted(BUILT))
def test_the_bindings_of_a_screen_are_those_of_the_table(screen: str) -> None:
    bound = {binding.key for binding in BUILT[screen].BINDINGS if not binding.key.startswith(key_table.NO_KEY_PREFIX)}  # type: ignore[union-attr]
    assert {key for act in key_table.key_actions(screen) for key in act.keys} == bound


def test_no_command_has_only_a_key_that_terminals_eat() -> None:
    keyed = [act for act in key_table.KEY_TABLE if act.keys]
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
    missing = [act.label for act in key_table.key_actions("jobs") if act.name != "help" and act.label not in night.text]
    assert [] == missing


def test_each_text_of_the_help_fits_into_one_line_of_80_columns() -> None:
    """The box leaves 75 cells between its frame and the scroll bar."""
    room = dict(column_widths(KEY_COLUMNS, 75))[2]
    texts = {
        key_table.action_help(act, screen)
        for screen in (*key_table.ALL_SCREENS, *key_table.OVERLAYS)
        for act in key_table.key_actions(screen)
    }
    assert [] == sorted(text for text in texts if len(text) > room)
