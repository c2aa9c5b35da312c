"""The app and its screens: shared state, queries and requests, and what screens and dialogs have in common.

Before the first paint it imports textual, sqlite3 and our own light modules; a test checks that.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

from rich.console import Console
from textual import constants, events
from textual._styles_cache import StylesCache
from textual.actions import ActionParseResult
from textual.app import App
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.errors import NoWidget
from textual.geometry import Size
from textual.screen import Screen
from textual.theme import Theme

from console.config import key_table
from console.config.preferences import PersonalPreferences, effective_preferences, preferences_file
from console.domain.header import HeaderView
from console.domain.service import ServiceView
from console.store.errors import StoreMissing, StoreOutdated
from console.store.queries.reader import Queries
from console.timing.clock import ClockSetting, real_now
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.frame.history import ViewAddress, ViewHistory
from console.tui.frame.intent import ActionIntent, ScreenCommand
from console.tui.frame.resource_thread import ResourceThread, store_thread
from console.tui.frame.service_groups import ServiceGrouping, prepare
from console.tui.terminal.key_queue import URGENT_KEYS, KeyQueue
from console.tui.terminal.signals import TerminalSignals
from console.tui.widgets.bar import Bar, use_ascii_frames
from console.tui.widgets.themes import ansi_theme, selected_theme, theme_named

if TYPE_CHECKING:
    from console.domain.plan import StepKey
    from console.engine.api.client import EngineClient
    from console.engine.api.queue import RequestAnswer
    from console.store.queries.audit import ApprovalView
    from console.tui.frame.tour import GuidedTour

START_SECONDS = 20.0
"""Time that an engine started by this console has to create the store and the services."""
WHEEL_LINES = 3.0
HEADER_SECONDS = 5.0
"""Refresh interval without any change: a stopped engine changes nothing."""
SILENT_TICKS = 30
"""Seconds without an answer or an error, as on a hanging disk, after which the store counts as lost."""
SMALLEST = (60, 15)
"""Columns and lines below which only a status is shown."""
ScreenResult = TypeVar("ScreenResult")

EngineAnswer: TypeAlias = "RequestAnswer"
EngineRequests: TypeAlias = "EngineClient"
"""Requests to the engine; its module imports pydantic and is imported by the thread that owns the client."""
Put: TypeAlias = "Callable[[EngineRequests], int]"
"""Sends a request; returns its number."""
Propose: TypeAlias = "Callable[[EngineRequests, Collection[StepKey]], int]"
"""Requests a plan without these steps; returns the request's number."""


class EngineStartup:
    """The start of an engine by this console. `starts`: it starts one if none is running; `why_ended` returns why that
    engine ended, empty while it runs."""

    def __init__(self, starts: bool, why_ended: Callable[[], str] | None = None) -> None:
        self._starts, self._why_ended = starts, why_ended or str
        self._until = time.monotonic() + START_SECONDS if starts else 0.0
        self._worked = self._died = self._was_read = False
        self.starting = False
        self.awaits_services = False
        """True until the engine that was started has written a service, for a limited time."""

    def failed(self, error: Exception, is_first: bool) -> None:
        """The store could not be read; `is_first`: it never could."""
        awaited = self.starting or isinstance(error, StoreMissing | StoreOutdated)
        self.starting = is_first and self._is_early and awaited and not self._why_ended()
        self.awaits_services = self.starting

    def explain(self, error: Exception) -> str:
        """The error for the banner; before the store was ever read, with why the engine that was to create it ended."""
        text = f"{error}" or type(error).__name__
        if ended := "" if self._was_read else self._why_ended():
            return f"{ended} · {text}"
        if self._starts and isinstance(error, StoreOutdated):
            return f"{error.problem}: the engine started by this console is migrating it"
        return text

    def seen(self, header: HeaderView, services: Sequence[ServiceView]) -> bool:
        """Records a read of the store. True once: the engine died under the open console and must be started from here.
        An engine stopped by a user releases its lease and is not started again."""
        engine, was_starting, self._was_read = header.engine, self.starting, True
        is_missing = not (engine.alive or engine.stuck or header.replay)
        died = self._starts and self._worked and not self._died and is_missing and bool(engine.holder)
        if died:
            self._died, self._until = True, time.monotonic() + START_SECONDS
        self._worked = self._worked or engine.alive
        self.starting = self._is_early and is_missing
        began = self.starting or was_starting or self.awaits_services
        self.awaits_services = began and self._is_early and not services and not engine.stuck
        return died

    @property
    def _is_early(self) -> bool:
        return time.monotonic() < self._until


class DemoPause:
    """Stops the clock of a demo while a person reads or decides. `set_waiting` writes the store: a thread calls it."""

    def __init__(self, set_waiting: Callable[[bool], None], deliver: Callable[[Callable[[], None]], None]) -> None:
        self._thread = ResourceThread(lambda: set_waiting, "clock")
        self._thread.attach(deliver)
        self.waits = False
        self.by_key = False
        """Stopped by the user's key, until it is pressed again."""

    def update(self, is_reading: bool) -> None:
        waits = self.by_key or is_reading
        if waits != self.waits:
            self.waits = waits
            self._thread.ask("clock", lambda set_waiting: set_waiting(waits), lambda _: None, self._failed)

    def _failed(self, _: Exception) -> None:
        self.waits = not self.waits  # the next update asks again

    def close(self) -> None:
        self._thread.leave()


class Navigation(Protocol):
    """Ways from one screen to another; implemented above the screens, which do not import each other."""

    def first_screen(self) -> Screen[Any]: ...
    def go(self, where: str) -> None: ...
    def open_screen(self, where: str) -> None:
        """Opens it over the present screen, to which Esc returns."""

    def back(self, leave: bool = True) -> None:
        """One screen back; on the first one `q` quits, Escape does nothing."""

    def unless_lost(self, closed: Sequence[Screen[Any]], then: Callable[[], object]) -> None:
        """Runs `then`; asks first if one of these screens has unsaved changes."""

    def return_to(self, address: ViewAddress) -> None: ...
    def visit(self, kind: str, what: Any) -> None: ...
    def open_service(self, name: str) -> None: ...
    def open_incident(self, incident_id: int, tab: str = "") -> None: ...
    def open_job(self, name_or_id: str | int) -> None: ...
    def open_jobs(self, filter_text: str) -> None:
        """The jobs of another screen's subject: Escape returns there."""

    def open_run(self, run_id: int, then: str = "") -> None:
        """`then`: the command to run once the log is loaded."""

    def open_system(self, name: str) -> None: ...
    def open_action(self, key: str) -> None: ...
    def open_lineage(self, job: str | int, blast: bool = False) -> None: ...
    def open_plan(self, number: int) -> None: ...
    def open_order(self, order: ActionIntent) -> None: ...
    def open_draft(self, propose: Propose, about: str, confirm_name: str) -> None: ...


def is_small(size: Size) -> bool:
    return bool(size) and (size.width < SMALLEST[0] or size.height < SMALLEST[1])


class ConsoleScreen(Screen[ScreenResult], inherit_bindings=False):
    """Base of screens and dialogs: the app, keys from the key table, commands, and the pace of painting.

    Textual calls `check_action` before it runs a binding; a disabled command says why.
    """

    WHERE: ClassVar[str] = ""
    """Its name in the key table."""

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.WHERE:
            cls.BINDINGS = key_table.bindings(cls.WHERE)
        super().__init_subclass__(**options)

    def on_unmount(self) -> None:
        # its keys hold the painted lines of every widget, closed ones too: garbage collections of 0.1 s and more
        StylesCache.get_inner_outer.cache_clear()

    def show_all_rows(self) -> None:
        """Ends "only problems", where the tour has led to it."""

    @property
    def stops_demo(self) -> bool:
        """True while the clock of a demo waits for this dialog."""
        return False

    @property
    def is_whole(self) -> bool:
        """True while it can show a notice: an answer may arrive after the screen was closed."""
        return False

    @property
    def board(self) -> ConsoleApp:
        return cast(ConsoleApp, self.app)

    @property
    def navigation(self) -> Navigation:
        return self.board.navigation

    @property
    def zone(self) -> str:
        """The zone of the services that it shows; empty: that of the console."""
        return ""

    @property
    def ctx(self) -> RenderContext:
        ctx = self.board.ctx
        return ctx._replace(clock=ctx.clock.at_home_in(self.zone)) if self.zone else ctx

    @property
    def is_small(self) -> bool:
        return is_small(self.app.size)

    def key_for(self, command: str) -> str:
        return self.ctx.key(self.WHERE, command)

    def bar(self, name: str) -> Bar:
        return self.query_one(f"#{name}", Bar)

    def ask(
        self, key: str, question: Callable[[Queries], Any], then: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None, *, first: bool = False,
        instead: bool = False, query_thread: ResourceThread[Queries] | None = None,
    ) -> None:  # fmt: skip
        """Queries the store, a slow query in a thread of its own; drops the result if the screen has closed. A newer
        query of this screen with the same key replaces one that waits; other screens have keys of their own."""
        board = self.board

        def is_open() -> bool:
            return board.is_running and self in board.screen_stack and self.is_attached and bool(self.children)

        def answered(result: Any) -> None:
            if is_open():
                then(result)

        def refused(error: Exception) -> None:
            if is_open():
                (failed or board.store_failed)(error)

        (query_thread or board.query_thread).ask((self, key), question, answered, refused, first=first, instead=instead)

    def fetch(self) -> None: ...

    def tick(self) -> None:
        self.paint_frame()

    def paint_frame(self) -> None: ...

    def notice(self, text: str, style: str = "plain") -> None: ...

    # keys

    def needs_rows(self, key: str) -> bool:
        return False

    def show_waiting_keys(self, keys: Sequence[str]) -> None: ...

    def commands(self) -> Sequence[ScreenCommand]:
        return ()

    @cached_property
    def command_table(self) -> Mapping[str, ScreenCommand]:
        return {command.name: command for command in self.commands()}

    def why_not(self, name: str) -> str:
        command = self.command_table.get(name)
        return command.why_not() if command is not None else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """True: Textual runs the binding. None: it is disabled (`refuse` shows why). False: too small a terminal."""
        if action != "command":
            return super().check_action(action, parameters)
        name = str(parameters[0])
        if self.is_small and name != "leave":
            return False
        return None if self.why_not(name) else True

    def refuse(self, action: str) -> None: ...

    def action_command(self, name: str) -> None:
        self.command_table[name].run()


class ConsoleApp(App[int], inherit_bindings=False):
    """The shared state of all screens (threads, clock, glyphs), and its life from first paint to exit.

    `open_queries` and `requests_factory` are called in threads of their own, the second at its first use. `screen` is
    the first screen, `address` opens above it.
    """

    TITLE = "Headway"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    navigation: Navigation

    def __init__(
        self,
        open_queries: Callable[[], Queries] | ResourceThread[Queries],
        requests_factory: Callable[[], EngineRequests],
        *,
        ascii: bool = False,
        screen: str | None = None,
        address: ViewAddress | None = None,
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
        terminal = Console(force_terminal=driver_class is not None, color_system=constants.COLOR_SYSTEM)  # type: ignore[arg-type]
        self._has_16_colors = terminal.color_system == "standard"
        super().__init__(driver_class=driver_class, ansi_color=self._has_16_colors or None)
        self.scroll_sensitivity_y = WHEEL_LINES
        self.personal = personal or PersonalPreferences(preferences_file())
        theme = self._shown_theme(selected_theme(self.personal.theme))
        self.set_reactive(ConsoleApp.theme, theme.name)  # before any CSS is read, so that it is read once
        self.stylesheet.set_variables(self.get_css_variables())
        self.query_thread = open_queries if isinstance(open_queries, ResourceThread) else store_thread(open_queries)
        self._requests_factory = requests_factory
        self._request_thread: ResourceThread[EngineRequests] | None = None
        self.not_sent: list[str] = []
        self._frozen = frozen
        self._replay_clock: ClockSetting | None = None
        self.header: HeaderView | None = None
        self.services: tuple[ServiceView, ...] = ()
        self.approvals: tuple[ApprovalView, ...] = ()
        self.store_error = ""
        self.read_at: datetime | None = None
        self.trail = ViewHistory()
        self.grouping, self.folding = ServiceGrouping.NONE, True
        self.command, self.visitor = tuple(command), ""
        """`headway` with this console's config and store, empty if no command may run beside it; the user at a
        browser."""
        self.clock, self.glyphs = ZonedClock(mine), GlyphSet(ascii)
        use_ascii_frames(self, ascii)
        self.tour = tour
        self.demo_pause = DemoPause(set_clock_waiting, self.deliver) if set_clock_waiting is not None else None
        """None outside of a demo."""
        self.own = effective_preferences("", self.personal)
        """Keys and views: those of the config, overridden by the user's."""
        self._silent = 0  # ticks since then: none are counted while another program has the terminal
        self.beginning = EngineStartup(on_painted is not None, why_ended)
        self._on_painted = on_painted
        self._address = address
        self._signaller = TerminalSignals(self._write_codes, self._set_title)
        self._keys = KeyQueue(self, super().on_event, self._needs_rows, self._show_waiting_keys)
        self.navigation = self.make_navigation(screen or "services")
        self.read_header()

    def make_navigation(self, home: str) -> Navigation:
        raise NotImplementedError

    def get_default_screen(self) -> Screen[Any]:
        return self.navigation.first_screen()

    @property
    def is_old(self) -> bool:
        """Nothing is monitored, or the store cannot be read."""
        return bool(self.store_error) or (self.header is not None and not self.header.engine.alive)

    @property
    def ctx(self) -> RenderContext:
        return RenderContext(self.now(), self.clock, self.glyphs, self.own.remap)

    def now(self) -> datetime:
        if self._frozen is not None:
            return self._frozen
        return self._replay_clock.at(real_now()) if self._replay_clock is not None else real_now()

    @property
    def clock_waits(self) -> bool:
        """True while the clock of a replay does not go on."""
        return self._replay_clock is not None and self._replay_clock.waits(real_now())

    # queries and requests

    def ask_engine(self, key: str, question: Callable[[EngineRequests], Any], then: Callable[[Any], None],
                   failed: Callable[[Exception], None], order: str = "") -> None:  # fmt: skip
        """Sends a request to the engine from a thread of its own; `order`: see `ResourceThread.ask`."""
        if self._request_thread is None:
            self._request_thread = ResourceThread(self._requests_factory, "asks")
            self._request_thread.attach(self.deliver)
        self._request_thread.ask(key, question, then, failed, order=order)

    def deliver(self, answer: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has just ended
            self.call_later(lambda: answer() if self.is_running else None)

    # life

    def on_mount(self) -> None:
        self.take_own("")
        self.query_thread.attach(self.deliver, self.reload)
        if self._address is not None:
            self.navigation.visit(*self._address)
        self.set_interval(1.0, self._tick)
        self.set_interval(HEADER_SECONDS, self.read_header)
        self.call_after_refresh(self._begin)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            if event.key in URGENT_KEYS:
                await super().on_event(event)
            elif not is_small(self.size):  # keys do nothing on a screen that is not shown
                self._keys.take(event)
            return
        await super().on_event(event)
        if isinstance(event, events.MouseUp):
            with suppress(NoWidget):
                self._keys.take(self.screen.get_widget_at(event.x, event.y)[0])

    def _needs_rows(self, key: str) -> bool:
        return isinstance(self.screen, ConsoleScreen) and self.screen.needs_rows(key)

    def _show_waiting_keys(self, keys: Sequence[str]) -> None:
        if isinstance(self.screen, ConsoleScreen):
            self.screen.show_waiting_keys(keys)

    def rows_arrived(self, screen: Screen[Any]) -> None:
        self._keys.rows_arrived(screen)

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
        self._signaller.update(self.header, self.services, is_watched=self.app_focus)
        zones = {service.zone for service in self.services}
        self.clock.home = zones.pop() if len(zones) == 1 else ""
        broken, self.store_error, self._silent = bool(self.store_error), "", 0
        if self.beginning.seen(self.header, self.services):
            self._begin()
        unseen = {target.name for target in self.header.unseen_targets}
        self.paint_frame()
        if before is not None and unseen != {target.name for target in before.unseen_targets}:
            broken = True  # a target became unreachable without a change of the store
        if broken and isinstance(self.screen, ConsoleScreen):
            self.screen.fetch()

    def take_own(self, shared: str) -> None:
        reported = self.own.faults if self.header is not None else ()
        self.own = effective_preferences(shared, self.personal)
        self.set_keymap(key_table.textual_keymap(self.own.remap))
        faults = [fault for fault in self.own.faults if fault not in reported]
        if faults:
            many = f"{len(faults)} problems, run headway check for all of them:  " if len(faults) > 1 else ""
            first = faults[0].replace(f"{self.personal.path}", self.personal.path.name, 1)
            self.call_after_refresh(self.show_notice, f"{many}{first}", "warn")

    def take_personal(self, personal: PersonalPreferences) -> None:
        self.personal = personal
        self.take_own(self.header.console if self.header is not None else "")

    def store_failed(self, error: Exception) -> None:
        self.store_error = self.beginning.explain(error)
        self._signaller.set_title("Headway: store unreadable")
        self.beginning.failed(error, is_first=self.header is None)
        self.paint_frame()

    def reload(self) -> None:
        self.read_header()
        for screen in reversed(self.screen_stack):
            if isinstance(screen, ConsoleScreen):
                screen.fetch()
            if not screen.is_modal:
                return

    def _tick(self) -> None:
        if not self.is_running or not self.screen_stack:
            return  # it begins or ends
        if isinstance(self.screen, ConsoleScreen):
            self.screen.tick()
        self.update_demo_clock()
        self._silent += 1
        if self._silent > SILENT_TICKS and not self.store_error:
            self.store_failed(TimeoutError(f"the store has not answered for {SILENT_TICKS} s"))

    def update_demo_clock(self) -> None:
        """The clock of a demo waits while a dialog asks something, and while a step of the tour is read."""
        if self.demo_pause is not None:
            decides = isinstance(self.screen, ConsoleScreen) and self.screen.stops_demo
            self.demo_pause.update(decides or (self.tour is not None and self.tour.is_being_read))

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        handled = await super().run_action(action, default_namespace, namespaces)
        if not handled and isinstance(default_namespace, ConsoleScreen) and isinstance(action, str):
            default_namespace.refuse(action)
        return handled

    def paint_frame(self) -> None:
        if isinstance(self.screen, ConsoleScreen):
            self.screen.paint_frame()

    def show_notice(self, text: str, style: str = "plain") -> None:
        for screen in reversed(self.screen_stack):
            if isinstance(screen, ConsoleScreen) and screen.is_whole:
                screen.notice(text, style)
                return

    # the terminal

    def _write_codes(self, codes: str) -> None:
        if self._driver is not None:
            self._driver.write(codes)

    def _set_title(self, text: str) -> None:
        set_title = getattr(self._driver, "set_title", None)  # the drivers of tests have none
        if set_title is not None:
            set_title(text)

    def use_theme(self, name: str) -> None:
        self.theme = self._shown_theme(theme_named(name)).name

    def _shown_theme(self, theme: Theme) -> Theme:
        theme = ansi_theme(theme) if self._has_16_colors else theme
        self.register_theme(theme)
        return theme


def _header_of(reads: Queries) -> tuple[HeaderView, ClockSetting | None, Sequence[ServiceView], Sequence[ApprovalView]]:
    waiting = reads.approvals.list_approvals() if reads.estate.any_awaiting_approval() else []
    services = tuple(reads.services.list_services())
    prepare(services, reads.now())
    return reads.estate.header(services), reads.clock_setting(), services, waiting
