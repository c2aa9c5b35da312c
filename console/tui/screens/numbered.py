"""The screens that a person goes to by name or number, each loaded when it is first wanted."""

from __future__ import annotations

from importlib import import_module

from console.tui.screens.base import BaseScreen
from console.tui.screens.frame import FrameScreen

_CLASSES = {
    "services": "ServicesScreen",
    "incidents": "IncidentsScreen",
    "systems": "SystemsScreen",
    "holds": "HoldsScreen",
    "tonight": "TonightScreen",
    "actions": "ActionsScreen",
    "shadow": "ShadowScreen",
    "audit": "AuditScreen",
}
"""Screen -> its class, in the module of the same name."""


def make_table(
    where: str, filter_text: str = "", sort: str = "", wide: bool = False, problems: bool = False, is_part: bool = False
) -> BaseScreen:
    """A table as a person left it; `is_part`: another screen opens it with a filter that belongs to that one."""
    from console.tui.screens.lists import ListScreen

    made = make_screen(where) if where not in ("jobs", "runs") else _made(where, filter_text, sort, wide)
    if isinstance(made, ListScreen):
        made.filter_text, made.only_problems = filter_text, problems
        made.came_with = filter_text if is_part else ""
    return made


def _made(where: str, filter_text: str, sort: str, wide: bool) -> BaseScreen:
    if where == "runs":
        from console.tui.screens.runs import RunsScreen

        return RunsScreen(filter_text, sort, wide)
    from console.tui.screens.jobs import JobsScreen

    return JobsScreen(filter_text, sort, wide)


def first_screen(where: str) -> FrameScreen:
    """What the console opens with: a screen of the table, or the wallboard."""
    if where == "wallboard":
        from console.tui.screens.wallboard import WallboardScreen

        return WallboardScreen()
    return make_screen(where)


def make_screen(where: str) -> BaseScreen:
    """A screen by its name in the table. Raises ValueError for one that is not there."""
    if where in ("jobs", "runs"):
        return make_table(where)
    if where not in _CLASSES:
        raise ValueError(f'no screen "{where}"; there are jobs, runs, {", ".join(_CLASSES)}')
    made: BaseScreen = getattr(import_module(f"console.tui.screens.{where}"), _CLASSES[where])()
    return made
