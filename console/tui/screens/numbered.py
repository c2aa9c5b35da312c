"""The screens that a person goes to by name or number, each loaded when it is first wanted."""

from __future__ import annotations

from console.tui.screens.base import BaseScreen


def make_table(where: str, filter_text: str = "", sort: str = "", wide: bool = False) -> BaseScreen:
    """Jobs or Runs, as a person left it."""
    if where == "runs":
        from console.tui.screens.runs import RunsScreen

        return RunsScreen(filter_text, sort, wide)
    from console.tui.screens.jobs import JobsScreen

    return JobsScreen(filter_text, sort, wide)


def make_screen(where: str) -> BaseScreen:
    """A screen by its name in the table. Raises ValueError for one that is not there."""
    if where == "services":
        from console.tui.screens.services import ServicesScreen

        return ServicesScreen()
    if where == "incidents":
        from console.tui.screens.incidents import IncidentsScreen

        return IncidentsScreen()
    if where in ("jobs", "runs"):
        return make_table(where)
    if where == "systems":
        from console.tui.screens.systems import SystemsScreen

        return SystemsScreen()
    if where == "holds":
        from console.tui.screens.holds import HoldsScreen

        return HoldsScreen()
    if where == "tonight":
        from console.tui.screens.tonight import TonightScreen

        return TonightScreen()
    raise ValueError(f'no screen "{where}"; there are services, incidents, jobs, runs, tonight, systems and holds')
