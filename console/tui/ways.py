"""How one gets from screen to screen; each is loaded when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.screen import Screen

from console.model.views import ServiceView
from console.tui.screens.base import BaseScreen
from console.tui.screens.numbered import make_screen, make_table
from console.tui.trail import Place, Trail

if TYPE_CHECKING:
    from console.tui.order import Order


class Ways(App[int], inherit_bindings=False):
    """The app, as far as going from one place to another is concerned."""

    services: tuple[ServiceView, ...]
    trail: Trail
    _home: str

    def go(self, where: str) -> None:
        """One of the screens that have a number; what was open above the first screen is closed."""

        def went() -> None:
            while len(self.screen_stack) > 1:
                self.pop_screen()
            if where != self._home:
                self.push_screen(make_screen(where))

        self.unless_lost(self.screen_stack, went)

    def return_to(self, place: Place) -> None:
        """A view that was seen before, instead of all that is open above the first screen."""

        def went() -> None:
            while len(self.screen_stack) > 1:
                self.pop_screen()
            if place != ("screen", self._home):
                self.visit(*place)

        self.unless_lost(self.screen_stack, went)

    def back(self, leave: bool = True) -> None:
        """One screen back; from the first one `q` leaves, Escape stays."""
        if len(self.screen_stack) > 1:
            self.unless_lost([self.screen], self.pop_screen)
        elif leave:
            self.exit(0)

    def unless_lost(self, closed: Sequence[Screen[Any]], then: Callable[[], object]) -> None:
        """Does it; where one of these screens holds what a person made and did not hand over, asks first."""
        lost = next((words for one in closed if isinstance(one, BaseScreen) and (words := one.unsaved())), "")
        if lost and isinstance(self.screen, BaseScreen):
            from console.tui.screens.pick import confirm

            confirm(self.screen, f"{lost} would be gone", "Drop them", "nothing was started", then)
        else:
            then()

    def visit(self, kind: str, what: Any) -> None:
        """Goes to a screen, service, incident, job, run, system or plan by name or id."""
        ways: dict[str, Callable[[Any], None]] = {
            "screen": self.go,
            "service": self.open_service,
            "incident": self.open_incident,
            "job": self.open_job,
            "run": self.open_run,
            "system": lambda name: self.open_jobs(f"system:{name}"),
            "plan": self.open_plan,
            "table": self.open_table,
        }
        ways[kind](what)

    def open_service(self, name: str) -> None:
        """Its incident where it has one, else the jobs that it hangs on."""
        view = next((service for service in self.services if service.name == name), None)
        if view is not None and view.incident_id is not None:
            self.open_incident(view.incident_id)
        else:
            self.open_jobs(f"service:{name}")

    def open_incident(self, incident_id: int) -> None:
        from console.tui.screens.incident import IncidentScreen

        self.push_screen(IncidentScreen(incident_id))

    def open_job(self, name_or_id: str | int) -> None:
        from console.tui.screens.job import JobScreen

        self.push_screen(JobScreen(name_or_id))

    def open_jobs(self, filter_text: str) -> None:
        self.push_screen(make_table("jobs", filter_text))

    def open_table(self, shown: tuple[Any, ...]) -> None:
        """Jobs or Runs with a filter, a sort, wide or not."""
        self.push_screen(make_table(*shown))

    def open_run(self, run_id: int) -> None:
        from console.tui.screens.run import RunScreen

        self.push_screen(RunScreen(run_id))

    def open_order(self, order: Order) -> None:
        """Shows what an order would send; a person decides there."""
        from console.tui.screens.preview import PreviewScreen

        self.push_screen(PreviewScreen(order))

    def open_plan(self, number: int) -> None:
        """A plan that was started."""
        from console.tui.screens.started import StartedScreen

        self.push_screen(StartedScreen(number))
