"""The app as screens see it: shared state, queries, requests to the engine and navigation, without importing the
app."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from textual.app import App

from console.store.errors import StoreMissing, StoreOutdated
from console.timing.clock import real_now
from console.tui.frame.cells import RenderContext
from console.tui.frame.history import ViewHistory, ViewPlace
from console.tui.frame.resource_thread import ResourceThread, store_thread
from console.tui.frame.service_groups import ServiceGrouping
from console.tui.terminal.output import TerminalBuffer

if TYPE_CHECKING:
    from datetime import datetime

    from textual.driver import Driver
    from textual.screen import Screen

    from console.config.preferences import EffectivePreferences, PersonalPreferences
    from console.domain.header import HeaderView
    from console.domain.service import ServiceView
    from console.engine.api.client import EngineClient
    from console.engine.api.queue import RequestAnswer
    from console.store.queries import Queries
    from console.store.queries.audit import ApprovalView
    from console.timing.clock import ClockSetting
    from console.tui.frame.clock_format import ZonedClock
    from console.tui.frame.glyphs import GlyphSet
    from console.tui.frame.intent import ActionIntent
    from console.tui.frame.tour import GuidedTour

START_SECONDS = 20.0
"""Time that an engine started by this console has to create the store and the services."""
WHEEL_LINES = 3.0


EngineAnswer: TypeAlias = "RequestAnswer"
EngineRequests: TypeAlias = "EngineClient"
"""Requests to the engine; its module imports pydantic and is imported by the thread that owns the client."""
Put: TypeAlias = "Callable[[EngineRequests], int]"
"""Sends a request; returns its number."""


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


class ConsoleApp(App[int], inherit_bindings=False):
    """The app as screens see it: shared state, queries and requests. `HeadwayApp` adds navigation."""

    beginning: EngineStartup
    clock: ZonedClock
    glyphs: GlyphSet
    personal: PersonalPreferences
    own: EffectivePreferences
    """Keys and views: those of the config, overridden by the user's."""
    tour: GuidedTour | None
    demo_pause: DemoPause | None
    """None outside of a demo."""
    command: tuple[str, ...]
    """`headway` with this console's config and store; empty if no command may run beside it."""
    visitor: str

    def __init__(
        self, open_queries: Callable[[], Queries] | ResourceThread[Queries],
        requests_factory: Callable[[], EngineRequests], frozen: datetime | None, driver_class: type[Driver] | None,
    ) -> None:  # fmt: skip
        super().__init__(driver_class=driver_class)
        self.scroll_sensitivity_y = WHEEL_LINES
        self.query_thread = open_queries if isinstance(open_queries, ResourceThread) else store_thread(open_queries)
        self._requests_factory = requests_factory
        self._request_thread: ResourceThread[EngineRequests] | None = None
        self._frozen = frozen
        self._replay_clock: ClockSetting | None = None
        self.header: HeaderView | None = None
        self.services: tuple[ServiceView, ...] = ()
        self.approvals: tuple[ApprovalView, ...] = ()
        self.store_error = ""
        self.read_at: datetime | None = None
        self.trail = ViewHistory()
        self.grouping, self.folding = ServiceGrouping.NONE, True

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

    def ask_for(
        self, screen: Screen[Any], key: str, question: Callable[[Queries], Any], then: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None, *, first: bool = False,
        instead: bool = False, query_thread: ResourceThread[Queries] | None = None,
    ) -> None:  # fmt: skip
        """Queries the store, a slow query in a thread of its own; drops the result if the screen has closed."""

        def is_open() -> bool:
            return self.is_running and screen in self.screen_stack and screen.is_attached and bool(screen.children)

        def answered(result: Any) -> None:
            if is_open():
                then(result)

        def refused(error: Exception) -> None:
            if is_open():
                (failed or self.store_failed)(error)

        (query_thread or self.query_thread).ask(key, question, answered, refused, first=first, instead=instead)

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

    def read_header(self) -> None: ...

    def update_demo_clock(self) -> None: ...

    def reload(self) -> None: ...

    def store_failed(self, error: Exception) -> None: ...

    def take_personal(self, personal: PersonalPreferences) -> None: ...

    def show_notice(self, text: str, style: str = "plain") -> None: ...

    def rows_arrived(self, screen: Screen[Any]) -> None: ...

    # the terminal

    @cached_property
    def _shown(self) -> TerminalBuffer:
        return TerminalBuffer()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Sends only the difference to what the terminal shows."""
        super()._display(screen, self._shown.thinned(renderable, getattr(self._driver, "_writer_thread", None)))

    def on_resize(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        self._shown.forget()
        self.screen.refresh()

    # navigation

    def go(self, where: str) -> None: ...

    def back(self, leave: bool = True) -> None: ...

    def unless_lost(self, closed: Sequence[Screen[Any]], then: Callable[[], object]) -> None: ...

    def return_to(self, place: ViewPlace) -> None: ...

    def visit(self, kind: str, what: Any) -> None: ...

    def open_service(self, name: str) -> None: ...
    def open_incident(self, incident_id: int) -> None: ...
    def open_job(self, name_or_id: str | int) -> None: ...
    def open_jobs(self, filter_text: str) -> None: ...
    def open_run(self, run_id: int, then: str = "") -> None: ...
    def open_system(self, name: str) -> None: ...
    def open_action(self, key: str) -> None: ...
    def open_lineage(self, job: str | int, blast: bool = False) -> None: ...
    def open_plan(self, number: int) -> None: ...

    def open_order(self, order: ActionIntent) -> None: ...
    def open_draft(self, propose: Put, about: str, confirm_name: str, wider: Put | None = None) -> None: ...
