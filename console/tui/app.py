"""The console: what screens share (desks, clock, glyphs), and how one gets from screen to screen.

Before the first paint it imports textual, sqlite3 and our own light modules; a test holds it to that.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.screen import Screen

from console.clock import Hand, real_now
from console.model.views import HeaderView, ServiceView
from console.personal.file import Personal, own_file
from console.personal.left import Left, Places
from console.personal.shared import own_of
from console.tui import keys
from console.tui.beginning import Beginning
from console.tui.cells import Look
from console.tui.chrome import is_small
from console.tui.desk import Desk
from console.tui.gate import AT_ONCE, KeyGate
from console.tui.glyphs import Glyphs
from console.tui.messages import Arrived
from console.tui.ports import ReadsLike, RequestsLike
from console.tui.screens.base import BaseScreen
from console.tui.screens.numbered import first_screen
from console.tui.services import Grouping
from console.tui.signals import Signaller
from console.tui.start import reading, run_console
from console.tui.theme import chosen
from console.tui.trail import Place, Trail
from console.tui.ways import Ways
from console.tui.when import Clock
from console.tui.widgets.plain import dress

if TYPE_CHECKING:
    from textual.driver import Driver

    from console.store.reads.audit import ApprovalView
    from console.tui.tour import Tour

__all__ = ["HeadwayApp", "run_console"]

NOTE_SECONDS = 60.0
"""How often it is written down anew where a person is who goes nowhere: a lost line is told with its time."""
HEADER_SECONDS = 5.0
"""How often the header is read even without a change: an engine that stopped changes nothing."""
SILENT_TICKS = 30
"""Seconds after which a store that neither answers nor fails, as on a disk that hangs, is told as lost."""


class HeadwayApp(Ways, inherit_bindings=False):
    """`open_reads` and `requests_factory` are called in threads of their own, the second at its first use."""

    CSS_PATH = "headway.tcss"
    TITLE = "Headway"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        open_reads: Callable[[], ReadsLike] | Desk[ReadsLike],
        requests_factory: Callable[[], RequestsLike],
        *,
        ascii: bool = False,
        screen: str | None = None,
        place: Place | None = None,
        frozen: datetime | None = None,
        mine: tzinfo | None = None,
        on_painted: Callable[[], object] | None = None,
        why_ended: Callable[[], str] | None = None,
        command: Sequence[str] = (),
        tour: Tour | None = None,
        personal: Personal | None = None,
        places: Places | None = None,
        left: Left | None = None,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(driver_class=driver_class)
        theme = chosen()
        self.register_theme(theme)
        self.set_reactive(HeadwayApp.theme, theme.name)  # before any CSS is read, so that it is read once
        self.stylesheet.set_variables(self.get_css_variables())
        self.desk = open_reads if isinstance(open_reads, Desk) else reading(open_reads)
        self._requests_factory = requests_factory
        self.command = tuple(command)
        """`headway` with this console's config and store, for what runs beside it; nothing where none may."""
        self._asker: Desk[RequestsLike] | None = None
        self.is_seen = screen != "wallboard"
        """Whether others are told which incident this console shows."""
        self.not_sent: list[str] = []
        """What was ordered before the console was left, and was not sent."""
        self.clock, self.glyphs = Clock(mine), Glyphs(ascii)
        dress(self, ascii)
        self.trail = Trail()
        self.tour = tour
        """The demo's; None elsewhere."""
        self.touched_at = time.monotonic()
        """When a person last did something; or when it began."""
        self.places = Desk(lambda: places, "places") if places is not None else None
        """Where it is written down where a person is; None for nowhere."""
        self._left, self._noted = left, (Left("", None), 0.0)
        self.personal = personal or Personal(own_file())
        self.own = own_of("", self.personal)
        """Keys and views: of config, and of this person over them."""
        self.header: HeaderView | None = None
        self.services: tuple[ServiceView, ...] = ()
        self.approvals: tuple[ApprovalView, ...] = ()
        """What waits for another person's approval, oldest first."""
        self.grouping, self.folding = Grouping.NONE, True
        """How Services stand together, and whether what is well is folded where it does not fit."""
        self.store_error = ""
        self.read_at: datetime | None = None
        """When the store could last be read, by real time."""
        self._silent = 0  # ticks since then: none are counted while another program has the terminal
        self.beginning = Beginning(on_painted is not None, why_ended)
        self._hand: Hand | None = None
        self._frozen, self._on_painted = frozen, on_painted
        self._home, self._place = screen or "services", place
        self._signaller = Signaller(self.send, self.entitle)
        self._gate = KeyGate(self, super().on_event)
        self.read_header()

    def get_default_screen(self) -> Screen[Any]:
        return first_screen(self._home)

    @property
    def look(self) -> Look:
        """What cells need: the time, whose clock, which glyphs, whose keys."""
        return Look(self.now(), self.clock, self.glyphs, self.own.remap)

    def now(self) -> datetime:
        """The present, aware UTC: real, the replay's, or frozen by a test."""
        if self._frozen is not None:
            return self._frozen
        return self._hand.at(real_now()) if self._hand is not None else real_now()

    # life

    def on_mount(self) -> None:
        self.take_own("")
        if self._left is not None:
            self.come_back(self._left)
        self.desk.attach(self.deliver, self.look_again)
        if self._place is not None:
            self.visit(*self._place)
        self.set_interval(1.0, self._tick)
        self.set_interval(HEADER_SECONDS, self.read_header)
        self.call_after_refresh(self._begin)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Resize):
            self.touched_at = time.monotonic()
        if isinstance(event, events.Key) and not event.is_forwarded:
            if event.key in AT_ONCE or not is_small(self.size):
                await self._gate.take(event)
            return  # nobody acts on what he does not see
        await super().on_event(event)
        if isinstance(event, events.Key):
            self._gate.back()

    def _begin(self) -> None:
        if not gc.isenabled():
            gc.collect()
            gc.freeze()
            gc.enable()
        if self._on_painted is not None:
            self.run_worker(self._on_painted, thread=True, exit_on_error=False)

    def on_unmount(self) -> None:
        self.desk.close()
        if self.places is not None:
            self.places.close()
        if self._asker is not None:
            self.not_sent = self._asker.close()

    def deliver(self, answer: Callable[[], None]) -> None:
        try:
            self.post_message(Arrived(answer))
        except RuntimeError:  # the loop has just ended: nobody waits for it any more
            return

    def on_arrived(self, message: Arrived) -> None:
        if self.is_running:
            message.deliver()

    def ask_for(
        self, screen: Screen[Any], key: str, question: Callable[[ReadsLike], Any], then: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None, *, first: bool = False,
        instead: bool = False, desk: Desk[ReadsLike] | None = None,
    ) -> None:  # fmt: skip
        """Asks the store, at a `desk` of its own where that takes long; what comes after the screen closed is lost."""

        def whole() -> bool:
            return self.is_running and screen in self.screen_stack and screen.is_attached and bool(screen.children)

        def arrived(found: Any) -> None:
            if whole():
                then(found)

        def refused(error: Exception) -> None:
            if whole():
                (failed or self.store_failed)(error)

        (desk or self.desk).ask(key, question, arrived, refused, first=first, instead=instead)

    def read_header(self) -> None:
        """Asks for the header, and for the services that the small status and the header's zone need."""
        self.desk.ask("header", _header_of, self._on_header, self.store_failed, first=True)

    def _on_header(self, answer: tuple[HeaderView, Hand | None, Sequence[ServiceView], Sequence[ApprovalView]]) -> None:
        before = self.header
        self.header, self._hand, services, approvals = answer
        self.read_at = real_now() if self._frozen is None else self._frozen
        if self.header.console != (before.console if before is not None else ""):
            self.take_own(self.header.console)
        self.services, self.approvals = tuple(services), tuple(approvals)
        self._signaller.look(self.header, self.services, self.own.signals, is_watched=self.app_focus)
        zones = {service.zone for service in self.services}
        self.clock.home = zones.pop() if len(zones) == 1 else ""
        broken, self.store_error, self._silent = bool(self.store_error), "", 0
        if self.beginning.seen(self.header, self.services):
            self._begin()
        unseen = {name for name, _ in self.header.sick_targets}
        self.paint_frame()
        if before is not None and unseen != {name for name, _ in before.sick_targets}:
            broken = True  # nobody wrote that it is not seen any more: time did
        if broken and isinstance(self.screen, BaseScreen):
            self.screen.fetch()

    def take_own(self, shared: str) -> None:
        """Keys and views from now on; what cannot be used of a person's own file is said once."""
        told = self.own.faults if self.header is not None else ()
        self.own = own_of(shared, self.personal)
        self.set_keymap(keys.keymap(self.own.remap))
        faults = [one for one in self.own.faults if one not in told]
        if faults and isinstance(self.screen, BaseScreen):
            many = f"{len(faults)} faults, headway check tells all: " if len(faults) > 1 else ""
            first = faults[0].replace(f"{self.personal.path}", self.personal.path.name, 1)
            self.call_after_refresh(self.screen.notice, f"{many}{first}", "warn")

    def take_personal(self, personal: Personal) -> None:
        """A person's own file says something else now."""
        self.personal = personal
        self.take_own(self.header.console if self.header is not None else "")

    def store_failed(self, error: Exception) -> None:
        """The store cannot be read: said in the banner; what was read before stays."""
        self.store_error = self.beginning.told(error)
        if self.own.signals.title:
            self._signaller.entitle("Headway: nothing is seen")
        self.beginning.failed(error, is_first=self.header is None)
        self.paint_frame()

    def look_again(self) -> None:
        self.read_header()
        for screen in reversed(self.screen_stack):
            fetch = getattr(screen, "fetch", None)
            if fetch is not None:
                fetch()
                return

    def _tick(self) -> None:
        tick = getattr(self.screen, "tick", None) if self.is_running else None  # one that closes has lost its widgets
        if tick is not None:
            tick()
        self._silent += 1
        if self._silent > SILENT_TICKS and not self.store_error:
            self.store_failed(TimeoutError(f"the store has not answered for {SILENT_TICKS} s"))
        self._note_place()

    def _note_place(self) -> None:
        """Writes down where a person is: when it is another place, and each minute."""
        left, (before, at) = self.place_now(), self._noted
        if self.places is not None and left is not None and (left != before or time.monotonic() - at > NOTE_SECONDS):
            self._noted = (left, time.monotonic())
            written = replace(left, at=real_now())
            self.places.ask("place", lambda places: places.write(written), lambda _: None)

    def ask_engine(self, key: str, question: Callable[[RequestsLike], Any], then: Callable[[Any], None],
                   failed: Callable[[Exception], None], order: str = "") -> None:  # fmt: skip
        """Has a question to the engine put and answered outside of the screen's thread; an `order` whoever leaves."""
        if self._asker is None:
            self._asker = Desk(self._requests_factory, "asks")
            self._asker.attach(self.deliver)
        self._asker.ask(key, question, then, failed, order=order)


def _header_of(reads: ReadsLike) -> tuple[HeaderView, Hand | None, Sequence[ServiceView], Sequence[ApprovalView]]:
    waiting = reads.approvals() if reads.anything_to_approve() else []
    return reads.header(), reads.hand(), reads.services(), waiting
