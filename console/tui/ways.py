"""How one gets from screen to screen; each is loaded when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from console.clock import real_now
from console.model.views import ServiceView
from console.personal.left import Left
from console.personal.shared import Own
from console.tui import keys
from console.tui.screens.base import BaseScreen
from console.tui.screens.numbered import make_screen, make_table
from console.tui.services import Grouping
from console.tui.terminal import OnTerminal
from console.tui.theme import THEMES
from console.tui.trail import Place, Trail
from console.tui.when import Clock, ZoneMode

if TYPE_CHECKING:
    from console.tui.order import Order

BELOW = {"run": "jobs", "job": "jobs", "lineage": "jobs", "target": "systems"}
"""What Escape leads to from a place that one comes back to, where that is not home: the list that it stands in."""


class Ways(OnTerminal, inherit_bindings=False):
    """The app, as far as going from one place to another is concerned."""

    services: tuple[ServiceView, ...]
    trail: Trail
    own: Own
    clock: Clock
    grouping: Grouping
    _home: str

    def go(self, where: str) -> None:
        """One of the screens that have a number, on the row where one was there; what was open above the first screen
        is closed."""

        def went() -> None:
            self._leave()
            if where != self._home:
                self.push_screen(made := make_screen(where))
                made.stand_on(*self.trail.stood_in(where, made.place))

        self.unless_lost(self.screen_stack, went)

    def return_to(self, place: Place) -> None:
        """A view that was seen before, instead of all that is open above the first screen."""

        def went() -> None:
            self._leave()
            if place != ("screen", self._home):
                self.visit(*place)
                if isinstance(top := self.screen_stack[-1], BaseScreen):
                    top.stand_on(*self.trail.stood(place))

        self.unless_lost(self.screen_stack, went)

    def _leave(self) -> None:
        """Closes what is open above the first screen; where one stood there is kept."""
        while len(self.screen_stack) > 1:
            self._note_row()
            self.pop_screen()

    def _note_row(self) -> None:
        """Keeps where one stands on the screen that is open, if anybody has moved there."""
        if isinstance(one := self.screen, BaseScreen) and one.place is not None:
            self.trail.left(one.place, one.row_left if one.was_moved_in else None, one.top_left)

    def back(self, leave: bool = True) -> None:
        """One screen back; from the first one `q` leaves, Escape stays."""
        if len(self.screen_stack) > 1:
            self._note_row()
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
        self._ways()[kind](what)

    def _ways(self) -> dict[str, Callable[[Any], None]]:
        return {
            "screen": self.go,
            "service": self.open_service,
            "incident": self.open_incident,
            "job": self.open_job,
            "run": self.open_run,
            "system": lambda name: self.open_jobs(f"system:{name}"),
            "plan": self.open_plan,
            "action": self.open_action,
            "target": self.open_system,
            "table": self.open_table,
            "view": self.open_view,
            "lineage": self.open_lineage,
            "theme": self.use_theme,
            "silence": lambda what: self._silence(*what),
        }

    def use_theme(self, name: str) -> None:
        """Other colours, until the console is left."""
        self.register_theme(THEMES[name])
        self.theme = name

    def _silence(self, by: str, name: str) -> None:
        from console.tui.screens.silencing import silence

        if isinstance(self.screen, BaseScreen):
            silence(self.screen, by, name)

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
        """The jobs of what another screen is about: Escape leads back to it."""
        self.push_screen(make_table("jobs", filter_text, is_part=True))

    def open_table(self, shown: tuple[Any, ...]) -> None:
        """A table with a filter, a sort, wide or not, only problems or all."""
        self.push_screen(make_table(*shown))

    def open_view(self, name: str) -> None:
        """A saved view, by its name."""
        view = self.own.view(name)
        if view is not None:
            self.grouping = Grouping(view.grouping) if view.grouping else self.grouping
            self.open_table((view.table, view.filter, view.sort, view.wide, view.problems))

    def place_now(self) -> Left | None:
        """The screen that is open, or the one under what has no place of its own; and the row there."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen) and (place := screen.left_at) is not None:
                return Left(*place, screen.row_left, self.clock.mode.value)
        return None

    def paint_frame(self) -> None:
        """Header and banner of what stands on top, a box too."""
        paint = getattr(self.screen, "paint_frame", None)
        if paint is not None:
            paint()

    def tell(self, text: str, style: str = "plain") -> None:
        """A notice for whoever is not any more where it was asked for: on the screen that is open."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen) and screen.is_whole:
                screen.notice(text, style)
                return

    def come_back(self, left: Left) -> None:
        """Where a person was whose line was lost; says so."""
        kind, what = left.kind, left.what
        if kind not in self._ways():
            return
        home = self.screen_stack[0]
        if kind == "table" and what[0] == self._home and isinstance(home, BaseScreen):
            home.take_table(*what)
        elif (kind, what) != ("screen", self._home):
            if (below := BELOW.get(kind)) is not None and below != self._home:
                self.push_screen(make_screen(below))
            self.visit(kind, what)
        if self.clock.mode is ZoneMode.SERVICE and left.zone in list(ZoneMode):  # another one was asked for with --utc
            self.clock.mode = ZoneMode(left.zone)
        top = self.screen_stack[-1]
        if isinstance(top, BaseScreen):
            top.stand_on(left.row)
            [key, *_] = next(act.keys for act in keys.acts(top.WHERE, self.own.remap) if act.name == "services")
            words = f"back where you were at {self.clock.hm(left.at, real_now())}; {keys.shown(key)} for Services"
            self.call_after_refresh(top.notice, words)

    def open_run(self, run_id: int, then: str = "") -> None:
        """`then`: the act that follows once its log is there."""
        from console.tui.screens.run import RunScreen

        self.push_screen(RunScreen(run_id, then))

    def open_system(self, name: str) -> None:
        """One target of a system."""
        from console.tui.screens.system import SystemScreen

        self.push_screen(SystemScreen(name))

    def open_action(self, key: str) -> None:
        """What was asked for under this key."""
        from console.tui.screens.action import ActionScreen

        self.push_screen(ActionScreen(key))

    def open_lineage(self, shown: tuple[str | int, bool]) -> None:
        """The graph around a job, or what it takes with it."""
        from console.tui.screens.lineage import LineageScreen

        self.push_screen(LineageScreen(*shown))

    def open_order(self, order: Order) -> None:
        """Shows what an order would send; a person decides there."""
        from console.tui.screens.preview import PreviewScreen

        self.push_screen(PreviewScreen(order))

    def open_plan(self, number: int) -> None:
        """A plan that was started."""
        from console.tui.screens.started import StartedScreen

        self.push_screen(StartedScreen(number))
