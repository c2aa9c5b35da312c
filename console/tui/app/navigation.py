"""The console with all its screens, and navigation between them: each screen is imported when it is first opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual.screen import Screen

from console.config import key_table
from console.domain.filter import field_term
from console.tui.frame.console_app import ConsoleApp, Propose
from console.tui.frame.history import ViewAddress
from console.tui.frame.intent import ActionIntent
from console.tui.frame.screen import HeadwayScreen
from console.tui.frame.service_groups import ServiceGrouping
from console.tui.views.lists import FilteredList, PagedList


class HeadwayApp(ConsoleApp, inherit_bindings=False):
    CSS_PATH = "headway.tcss"

    def make_navigation(self, home: str) -> Navigator:
        return Navigator(self, home)


class Navigator:
    """Navigation between the screens of one app; `home` is its first screen."""

    def __init__(self, app: ConsoleApp, home: str) -> None:
        self._app, self._home = app, home

    def first_screen(self) -> Screen[Any]:
        return make_screen(self._home)

    def go(self, where: str) -> None:
        def open_screen() -> None:
            self._close_views()
            if where != self._home:
                self._app.push_screen(screen := make_screen(where))
                screen.restore_cursor(*self._app.trail.position_on_screen(where, screen.address))

        self.unless_lost(self._app.screen_stack, open_screen)

    def open_screen(self, where: str) -> None:
        self._app.push_screen(make_screen(where))

    def return_to(self, address: ViewAddress) -> None:
        def open_view() -> None:
            self._close_views()
            if address != ("screen", self._home):
                self.visit(*address)
                if isinstance(top := self._app.screen_stack[-1], HeadwayScreen):
                    top.restore_cursor(*self._app.trail.position(address))

        self.unless_lost(self._app.screen_stack, open_view)

    def _close_views(self) -> None:
        while len(self._app.screen_stack) > 1:
            self._store_cursor()
            self._app.pop_screen()

    def _store_cursor(self) -> None:
        screen = self._app.screen
        if isinstance(screen, HeadwayScreen) and screen.address is not None:
            self._app.trail.left(screen.address, screen.row_key if screen.was_moved_in else None, screen.top_line)

    def back(self, leave: bool = True) -> None:
        if len(self._app.screen_stack) > 1:
            self._store_cursor()
            self.unless_lost([self._app.screen], self._app.pop_screen)
        elif leave:
            self._app.exit(0)

    def unless_lost(self, closed: Sequence[Screen[Any]], then: Callable[[], object]) -> None:
        unsaved = [text for screen in closed if isinstance(screen, HeadwayScreen) and (text := screen.unsaved())]
        if unsaved and isinstance(self._app.screen, HeadwayScreen):
            from console.tui.dialogs.palette import confirm

            confirm(self._app.screen, f"{unsaved[0]} would be lost", "Discard them", "nothing was started", then)
        else:
            then()

    def visit(self, kind: str, what: Any) -> None:
        openers: dict[str, Callable[[Any], object]] = {
            "screen": self.go,
            "service": self.open_service,
            "incident": self.open_incident,
            "job": self.open_job,
            "run": self.open_run,
            "system": lambda name: self.open_jobs(field_term("system", name)),
            "plan": self.open_plan,
            "action": self.open_action,
            "target": self.open_system,
            "table": lambda shown: self._app.push_screen(make_table(*shown)),
            "view": self.open_view,
            "lineage": lambda shown: self.open_lineage(*shown),
            "theme": self._choose_theme,
            "silence": lambda matcher: self._silence(*matcher),
        }
        openers[kind](what)

    def _choose_theme(self, name: str) -> None:
        from console.tui.dialogs.palette import choose_theme, list_themes

        if isinstance(self._app.screen, HeadwayScreen):
            if name:
                choose_theme(self._app.screen, name)
            else:
                list_themes(self._app.screen)

    def _silence(self, by: str, name: str) -> None:
        from console.tui.views.commands import add_silence

        if isinstance(self._app.screen, HeadwayScreen):
            add_silence(self._app.screen, by, name)

    def open_view(self, name: str) -> None:
        view = self._app.own.view(name)
        if view is not None:
            self._app.grouping = ServiceGrouping(view.grouping) if view.grouping else self._app.grouping
            self._app.push_screen(make_table(view.table, view.filter, view.sort, view.wide, view.problems))

    def open_service(self, name: str) -> None:
        view = next((service for service in self._app.services if service.name == name), None)
        if view is not None and view.incident_id is not None:
            self.open_incident(view.incident_id)
        else:
            self.open_jobs(field_term("service", name))

    def open_incident(self, incident_id: int, tab: str = "") -> None:
        from console.tui.views.incidents.screen import IncidentScreen

        self._app.push_screen(IncidentScreen(incident_id, tab))

    def open_job(self, name_or_id: str | int) -> None:
        from console.tui.views.jobs.screen import JobScreen

        self._app.push_screen(JobScreen(name_or_id))

    def open_jobs(self, filter_text: str) -> None:
        self._app.push_screen(make_table("jobs", filter_text, is_part=True))

    def open_run(self, run_id: int, then: str = "") -> None:
        from console.tui.views.runs.screen import RunScreen

        self._app.push_screen(RunScreen(run_id, then))

    def open_system(self, name: str) -> None:
        from console.tui.views.systems import SystemScreen

        self._app.push_screen(SystemScreen(name))

    def open_action(self, key: str) -> None:
        from console.tui.views.actions.screen import ActionScreen

        self._app.push_screen(ActionScreen(key))

    def open_lineage(self, job: str | int, blast: bool = False) -> None:
        from console.tui.views.lineage.screen import LineageScreen

        self._app.push_screen(LineageScreen(job, blast))

    def open_order(self, order: ActionIntent) -> None:
        from console.tui.dialogs.confirm import SendScreen
        from console.tui.views.actions.preview import ActionConfirmation

        self._app.push_screen(SendScreen(ActionConfirmation(order)))

    def open_draft(self, propose: Propose, about: str, confirm_name: str) -> None:
        from console.tui.views.plans.proposal import DraftScreen

        self._app.push_screen(DraftScreen(propose, about, confirm_name))

    def open_plan(self, number: int) -> None:
        from console.tui.views.plans.progress import StartedScreen

        self._app.push_screen(StartedScreen(number))


def make_table(
    where: str, filter_text: str = "", sort: str = "", wide: bool = False, problems: bool = False, is_part: bool = False
) -> HeadwayScreen:
    """A list with its saved settings; `is_part`: another screen opens it, and Escape does not clear its filter."""
    screen = make_screen(where)
    for part in screen.parts:
        if isinstance(part, FilteredList):
            part.filter_text, part.only_problems = filter_text, problems
            part.came_with = filter_text if is_part else ""
        if isinstance(part, PagedList):
            part.sort, part.wide = sort or part.sort, wide
    return screen


def make_screen(where: str) -> HeadwayScreen:
    match where:
        case "services":
            from console.tui.views.services.screen import ServicesScreen

            return ServicesScreen()
        case "incidents":
            from console.tui.views.incidents.list import IncidentsScreen

            return IncidentsScreen()
        case "jobs":
            from console.tui.views.jobs.list import JobsScreen

            return JobsScreen()
        case "runs":
            from console.tui.views.runs.run_list import RunsScreen

            return RunsScreen()
        case "systems":
            from console.tui.views.systems import SystemsScreen

            return SystemsScreen()
        case "holds":
            from console.tui.views.holds import HoldsScreen

            return HoldsScreen()
        case "tonight":
            from console.tui.views.tonight import TonightScreen

            return TonightScreen()
        case "actions":
            from console.tui.views.actions.screen import ActionsScreen

            return ActionsScreen()
        case "shadow":
            from console.tui.views.shadow import ShadowScreen

            return ShadowScreen()
        case "audit":
            from console.tui.views.audit import AuditScreen

            return AuditScreen()
    raise ValueError(f'no screen "{where}"; there are {", ".join(key_table.GLOBAL_SCREENS)}')
