"""The app: shared state of the screens (threads, clock, glyphs), navigation, and its life from first paint to exit.

Before the first paint it imports textual, sqlite3 and our own light modules; a test checks that.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.screen import Screen

from console.config import key_table
from console.config.preferences import PersonalPreferences, effective_preferences, preferences_file
from console.domain.header import HeaderView
from console.domain.service import ServiceView
from console.timing.clock import ClockSetting, real_now
from console.tui.dialogs.overlay import Overlay
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.context import ConsoleApp, DemoPause, EngineRequests, EngineStartup, Put
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.header_footer import is_small
from console.tui.frame.history import ViewPlace
from console.tui.frame.resource_thread import ResourceThread
from console.tui.frame.screen import HeadwayScreen
from console.tui.frame.service_groups import ServiceGrouping
from console.tui.terminal.key_queue import URGENT_KEYS, KeyQueue
from console.tui.terminal.signals import TerminalSignals
from console.tui.views.lists import FilteredList, PagedList
from console.tui.widgets.bar import use_ascii_frames
from console.tui.widgets.themes import THEMES, selected_theme

if TYPE_CHECKING:
    from textual.actions import ActionParseResult
    from textual.dom import DOMNode
    from textual.driver import Driver

    from console.store.queries import Queries
    from console.store.queries.audit import ApprovalView
    from console.tui.frame.intent import ActionIntent
    from console.tui.frame.tour import GuidedTour


HEADER_SECONDS = 5.0
"""Refresh interval without any change: a stopped engine changes nothing."""
SILENT_TICKS = 30
"""Seconds without an answer or an error, as on a hanging disk, after which the store counts as lost."""


class HeadwayApp(ConsoleApp, inherit_bindings=False):
    """`open_queries` and `requests_factory` are called in threads of their own, the second at its first use."""

    CSS_PATH = "headway.tcss"
    TITLE = "Headway"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        open_queries: Callable[[], Queries] | ResourceThread[Queries],
        requests_factory: Callable[[], EngineRequests],
        *,
        ascii: bool = False,
        screen: str | None = None,
        place: ViewPlace | None = None,
        frozen: datetime | None = None,
        mine: tzinfo | None = None,
        on_painted: Callable[[], object] | None = None,
        why_ended: Callable[[], str] | None = None,
        command: Sequence[str] = (),
        tour: GuidedTour | None = None,
        set_clock_waiting: Callable[[bool], None] | None = None,
        personal: PersonalPreferences | None = None,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(open_queries, requests_factory, frozen, driver_class)
        theme = selected_theme()
        self.register_theme(theme)
        self.set_reactive(HeadwayApp.theme, theme.name)  # before any CSS is read, so that it is read once
        self.stylesheet.set_variables(self.get_css_variables())
        self.command, self.visitor = tuple(command), ""
        self.not_sent: list[str] = []
        self.clock, self.glyphs = ZonedClock(mine), GlyphSet(ascii)
        use_ascii_frames(self, ascii)
        self.tour = tour
        self.demo_pause = DemoPause(set_clock_waiting, self.deliver) if set_clock_waiting is not None else None
        self.touched_at = time.monotonic()
        self.personal = personal or PersonalPreferences(preferences_file())
        self.own = effective_preferences("", self.personal)
        self._silent = 0  # ticks since then: none are counted while another program has the terminal
        self.beginning = EngineStartup(on_painted is not None, why_ended)
        self._on_painted = on_painted
        self._home, self._place = screen or "services", place
        self._signaller = TerminalSignals(self._write_codes, self._set_title)
        self._gate = KeyQueue(self, super().on_event, self._needs_rows, self._show_waiting_keys)
        self.read_header()

    def get_default_screen(self) -> Screen[Any]:
        return make_screen(self._home)

    # life

    def on_mount(self) -> None:
        self.take_own("")
        self.query_thread.attach(self.deliver, self.reload)
        if self._place is not None:
            self.visit(*self._place)
        self.set_interval(1.0, self._tick)
        self.set_interval(HEADER_SECONDS, self.read_header)
        self.call_after_refresh(self._begin)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Resize):
            self.touched_at = time.monotonic()
        if isinstance(event, events.Key) and not event.is_forwarded:
            if event.key in URGENT_KEYS or not is_small(self.size):
                await self._gate.take(event)
            return  # keys do nothing on a screen that is not shown
        await super().on_event(event)
        if isinstance(event, events.Key):
            self._gate.back()

    def _needs_rows(self, key: str) -> bool:
        return isinstance(self.screen, HeadwayScreen) and self.screen.needs_rows(key)

    def _show_waiting_keys(self, keys: Sequence[str]) -> None:
        if isinstance(self.screen, HeadwayScreen):
            self.screen.waiting_keys = keys
            self.screen.paint_foot()

    def rows_arrived(self, screen: Screen[Any]) -> None:
        self._gate.rows_arrived(screen)

    def watch_app_focus(self, focus: bool) -> None:
        """Textual focuses nothing on a screen that opens while the terminal is in the background."""
        if focus and self.screen_stack and self.focused is None:
            self.screen.focus_next()

    def _begin(self) -> None:
        if not gc.isenabled():
            gc.collect()
            gc.freeze()
            gc.enable()
        if self._on_painted is not None:
            self.run_worker(self._on_painted, thread=True, exit_on_error=False)

    def on_unmount(self) -> None:
        self.query_thread.close()
        if self.demo_pause is not None:
            self.demo_pause.close()
        if self._request_thread is not None:
            self.not_sent = self._request_thread.close()

    def read_header(self) -> None:
        self.query_thread.ask("header", _header_of, self._on_header, self.store_failed, first=True)

    def _on_header(
        self, answer: tuple[HeaderView, ClockSetting | None, Sequence[ServiceView], Sequence[ApprovalView]]
    ) -> None:
        before = self.header
        self.header, self._replay_clock, services, approvals = answer
        self.read_at = real_now() if self._frozen is None else self._frozen
        if self.header.console != (before.console if before is not None else ""):
            self.take_own(self.header.console)
        self.services, self.approvals = tuple(services), tuple(approvals)
        self._signaller.update(self.header, self.services, self.own.signals, is_watched=self.app_focus)
        zones = {service.zone for service in self.services}
        self.clock.home = zones.pop() if len(zones) == 1 else ""
        broken, self.store_error, self._silent = bool(self.store_error), "", 0
        if self.beginning.seen(self.header, self.services):
            self._begin()
        unseen = {name for name, _ in self.header.silent_targets}
        self.paint_frame()
        if before is not None and unseen != {name for name, _ in before.silent_targets}:
            broken = True  # a target became unreachable without a change of the store
        if broken and isinstance(self.screen, HeadwayScreen):
            self.screen.fetch()

    def take_own(self, shared: str) -> None:
        reported = self.own.faults if self.header is not None else ()
        self.own = effective_preferences(shared, self.personal)
        self.set_keymap(key_table.textual_keymap(self.own.remap))
        faults = [fault for fault in self.own.faults if fault not in reported]
        if faults and isinstance(self.screen, HeadwayScreen):
            many = f"{len(faults)} faults, run headway check for all of them:  " if len(faults) > 1 else ""
            first = faults[0].replace(f"{self.personal.path}", self.personal.path.name, 1)
            self.call_after_refresh(self.screen.notice, f"{many}{first}", "warn")

    def take_personal(self, personal: PersonalPreferences) -> None:
        self.personal = personal
        self.take_own(self.header.console if self.header is not None else "")

    def store_failed(self, error: Exception) -> None:
        self.store_error = self.beginning.explain(error)
        if self.own.signals.title:
            self._signaller.set_title("Headway: store unreadable")
        self.beginning.failed(error, is_first=self.header is None)
        self.paint_frame()

    def reload(self) -> None:
        self.read_header()
        for screen in reversed(self.screen_stack):
            if isinstance(screen, HeadwayScreen | Overlay):
                screen.fetch()
            if isinstance(screen, HeadwayScreen):
                return

    def _tick(self) -> None:
        if self.is_running and isinstance(self.screen, HeadwayScreen | Overlay):
            self.screen.tick()
        self.update_demo_clock()
        self._silent += 1
        if self._silent > SILENT_TICKS and not self.store_error:
            self.store_failed(TimeoutError(f"the store has not answered for {SILENT_TICKS} s"))

    def update_demo_clock(self) -> None:
        """The clock of a demo waits while a dialog asks something, and while a step of the tour is read."""
        if self.demo_pause is not None:
            decides = isinstance(self.screen, Overlay) and self.screen.stops_demo
            self.demo_pause.update(decides or (self.tour is not None and self.tour.is_being_read))

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        handled = await super().run_action(action, default_namespace, namespaces)
        if not handled and isinstance(default_namespace, HeadwayScreen) and isinstance(action, str):
            default_namespace.refuse(action)
        return handled

    # the terminal

    def _write_codes(self, codes: str) -> None:
        if self._driver is not None:
            self._driver.write(codes)

    def _set_title(self, text: str) -> None:
        set_title = getattr(self._driver, "set_title", None)  # the drivers of tests have none
        if set_title is not None:
            set_title(text)

    # navigation

    def go(self, where: str) -> None:
        def open_screen() -> None:
            self._close_views()
            if where != self._home:
                self.push_screen(screen := make_screen(where))
                screen.restore_cursor(*self.trail.position_on_screen(where, screen.place))

        self.unless_lost(self.screen_stack, open_screen)

    def return_to(self, place: ViewPlace) -> None:
        def open_view() -> None:
            self._close_views()
            if place != ("screen", self._home):
                self.visit(*place)
                if isinstance(top := self.screen_stack[-1], HeadwayScreen):
                    top.restore_cursor(*self.trail.position(place))

        self.unless_lost(self.screen_stack, open_view)

    def _close_views(self) -> None:
        while len(self.screen_stack) > 1:
            self._store_cursor()
            self.pop_screen()

    def _store_cursor(self) -> None:
        screen = self.screen
        if isinstance(screen, HeadwayScreen) and screen.place is not None:
            self.trail.left(screen.place, screen.row_key if screen.was_moved_in else None, screen.top_line)

    def back(self, leave: bool = True) -> None:
        """One screen back; on the first one `q` quits, Escape does nothing."""
        if len(self.screen_stack) > 1:
            self._store_cursor()
            self.unless_lost([self.screen], self.pop_screen)
        elif leave:
            self.exit(0)

    def unless_lost(self, closed: Sequence[Screen[Any]], then: Callable[[], object]) -> None:
        """Runs `then`; asks first if one of these screens has unsaved changes."""
        unsaved = [text for screen in closed if isinstance(screen, HeadwayScreen) and (text := screen.unsaved())]
        if unsaved and isinstance(self.screen, HeadwayScreen):
            from console.tui.dialogs.palette import confirm

            confirm(self.screen, f"{unsaved[0]} would be lost", "Discard them", "nothing was started", then)
        else:
            then()

    def visit(self, kind: str, what: Any) -> None:
        openers: dict[str, Callable[[Any], object]] = {
            "screen": self.go,
            "service": self.open_service,
            "incident": self.open_incident,
            "job": self.open_job,
            "run": self.open_run,
            "system": lambda name: self.open_jobs(f"system:{name}"),
            "plan": self.open_plan,
            "action": self.open_action,
            "target": self.open_system,
            "table": lambda shown: self.push_screen(make_table(*shown)),
            "view": self.open_view,
            "lineage": lambda shown: self.open_lineage(*shown),
            "theme": self.use_theme,
            "silence": lambda matcher: self._silence(*matcher),
        }
        openers[kind](what)

    def use_theme(self, name: str) -> None:
        self.register_theme(THEMES[name])
        self.theme = name

    def _silence(self, by: str, name: str) -> None:
        from console.tui.views.commands import add_silence

        if isinstance(self.screen, HeadwayScreen):
            add_silence(self.screen, by, name)

    def open_view(self, name: str) -> None:
        view = self.own.view(name)
        if view is not None:
            self.grouping = ServiceGrouping(view.grouping) if view.grouping else self.grouping
            self.push_screen(make_table(view.table, view.filter, view.sort, view.wide, view.problems))

    def paint_frame(self) -> None:
        if isinstance(self.screen, HeadwayScreen | Overlay):
            self.screen.paint_frame()

    def show_notice(self, text: str, style: str = "plain") -> None:
        for screen in reversed(self.screen_stack):
            if isinstance(screen, HeadwayScreen) and screen.is_whole:
                screen.notice(text, style)
                return

    def open_service(self, name: str) -> None:
        view = next((service for service in self.services if service.name == name), None)
        if view is not None and view.incident_id is not None:
            self.open_incident(view.incident_id)
        else:
            self.open_jobs(f"service:{name}")

    def open_incident(self, incident_id: int) -> None:
        from console.tui.views.incidents.screen import IncidentScreen

        self.push_screen(IncidentScreen(incident_id))

    def open_job(self, name_or_id: str | int) -> None:
        from console.tui.views.jobs.screen import JobScreen

        self.push_screen(JobScreen(name_or_id))

    def open_jobs(self, filter_text: str) -> None:
        """The jobs of another screen's subject: Escape returns there."""
        self.push_screen(make_table("jobs", filter_text, is_part=True))

    def open_run(self, run_id: int, then: str = "") -> None:
        """`then`: the command to run once the log is loaded."""
        from console.tui.views.runs.screen import RunScreen

        self.push_screen(RunScreen(run_id, then))

    def open_system(self, name: str) -> None:
        from console.tui.views.systems import SystemScreen

        self.push_screen(SystemScreen(name))

    def open_action(self, key: str) -> None:
        from console.tui.views.actions.screen import ActionScreen

        self.push_screen(ActionScreen(key))

    def open_lineage(self, job: str | int, blast: bool = False) -> None:
        from console.tui.views.lineage.screen import LineageScreen

        self.push_screen(LineageScreen(job, blast))

    def open_order(self, order: ActionIntent) -> None:
        from console.tui.dialogs.confirm import SendScreen
        from console.tui.views.actions.preview import ActionConfirmation

        self.push_screen(SendScreen(ActionConfirmation(order)))

    def open_draft(self, propose: Put, about: str, confirm_name: str, wider: Put | None = None) -> None:
        from console.tui.views.plans.proposal import DraftScreen

        self.push_screen(DraftScreen(propose, about, confirm_name, wider))

    def open_plan(self, number: int) -> None:
        from console.tui.views.plans.progress import StartedScreen

        self.push_screen(StartedScreen(number))


def _header_of(reads: Queries) -> tuple[HeaderView, ClockSetting | None, Sequence[ServiceView], Sequence[ApprovalView]]:
    waiting = reads.approvals.list_approvals() if reads.estate.any_awaiting_approval() else []
    return reads.estate.header(), reads.clock_setting(), reads.services.list_services(), waiting


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
        case "wallboard":
            from console.tui.views.wallboard import WallboardScreen

            return WallboardScreen()
    raise ValueError(f'no screen "{where}"; there are {", ".join(key_table.GLOBAL_SCREENS)}')
