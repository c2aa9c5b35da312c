"""What every screen shows: a line above, a line below, a notice, and the line where a person types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from console.tui import chrome, guide, keys, where
from console.tui.cells import Look
from console.tui.pace import Paced
from console.tui.ports import ReadsLike
from console.tui.widgets.bar import Bar, Line
from console.tui.widgets.breaks import breaks
from console.tui.widgets.paint import fit

if TYPE_CHECKING:
    from console.tui.app import HeadwayApp
    from console.tui.widgets.pane import Pane

Found = TypeVar("Found")
NOTICE_SECONDS = 8.0
BANNER_LINES = 2
READING = "reading…"
NOT_READ = "the store cannot be read, and this was not read before: the banner says why"
MAKING = "the engine is making the store: what it finds comes here by itself"


class FrameScreen(Paced, Screen[None], inherit_bindings=False):
    """A screen names itself in `WHERE`; its keys come from the table."""

    WHERE: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.WHERE:
            cls.BINDINGS = keys.bindings(cls.WHERE)
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self._notice: tuple[str, str] = ("", "")
        self._refused = ""
        """The act that the notice says why it cannot run."""
        self.lost = ""
        self._focus_kept: Widget | None = None
        """What had the focus before the terminal became too small: what is hidden cannot have it."""
        self._put_away: list[Widget] = []
        """What was shown before it."""

    @property
    def board(self) -> HeadwayApp:
        """The app, with what screens share: desks, clock, glyphs."""
        return cast("HeadwayApp", self.app)

    @property
    def look(self) -> Look:
        return self.board.look

    def key_for(self, act: str) -> str:
        """The key of an act here, as this person has it."""
        return self.look.key(self.WHERE, act)

    def compose(self) -> ComposeResult:
        yield Bar(id="top", lines=2)
        yield from self.body()
        yield from guide.bar(self.board, self.WHERE)
        yield Bar(id="foot", ground="panel")

    @property
    def waiting(self) -> str:
        """What stands where nothing was read yet: what it is called that is not there, or why nothing comes."""
        if self.board.beginning.starting and self.board.header is None:
            return self.lost or MAKING
        return self.lost or (NOT_READ if self.board.store_error else READING)

    def _tell_waiting(self) -> None:
        """Tables that were not read yet say so, as long as there is a store."""
        for one in self.query("Grid, Canvas"):
            if getattr(one, "empty", "") in (READING, NOT_READ, MAKING):
                one.empty = self.waiting  # type: ignore[attr-defined]
                one.refresh()

    def body(self) -> ComposeResult:
        """The widgets between title and footer."""
        yield from ()

    def bar(self, name: str) -> Bar:
        return self.query_one(f"#{name}", Bar)

    @property
    def is_whole(self) -> bool:
        """True while its widgets are there: an answer may come after the screen was closed."""
        return self.is_attached and bool(self.query("#foot"))

    # life

    def on_screen_resume(self) -> None:
        """It opens, or what covered it was closed."""
        self.paint_frame()
        self.fetch()

    def on_resize(self, event: events.Resize) -> None:
        small = chrome.is_small(event.size)
        if small and not self.query("#small"):
            from console.tui.widgets.pane import Pane

            pane = Pane(id="small")
            pane.can_focus = False  # else it is what has the focus once a second size comes
            self.mount(pane)
        if small:
            self._focus_kept = self.focused or self._focus_kept
        self._make_room(small)
        guide.paint(self, self.WHERE)
        if not small and self._focus_kept is not None:
            self.call_after_refresh(self._focus_kept.focus)
            self._focus_kept = None
        self.call_after_refresh(self.paint_frame)

    def _make_room(self, small: bool) -> None:
        """Hides what is shown, but for the status of a small terminal; or shows again what was hidden so."""
        for pane in self.query("#small"):
            pane.display = small
        if not small:
            for child in self._put_away:
                child.display = True
            self._put_away = []
            return
        for child in self.children:
            if child.display and child.id not in ("small", guide.BAR) and not (child.id or "").startswith("textual-"):
                child.display = False
                self._put_away.append(child)

    @property
    def is_small(self) -> bool:
        """Only a status is shown: whoever has news shows nothing of it."""
        return chrome.is_small(self.app.size)

    def fetch(self) -> None:
        """Asks for what this screen shows; called when it opens and when the store has changed."""

    def tick(self) -> None:
        """A second has passed: countdowns move."""
        self.paint_frame()

    def title_runs(self) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]:
        """Left and right of the title line."""
        return [(f" {where.SCREENS.get(self.WHERE, '').upper()}", "key")], []

    def paint_frame(self) -> None:
        """Header, banner, title and footer as they should be now."""
        if not self.is_whole:
            return
        self.paint_top()
        self._tell_waiting()
        guide.paint(self, self.WHERE)
        self.paint_foot()
        small = self.query("#small")
        if small and small.first().display:
            board = self.board
            warning = chrome.alarm(board.header, board.store_error, self.look, board.read_at, board.beginning.starting)
            told = chrome.small(self.size, board.header, board.services, self.look, warning)
            cast("Pane", small.first()).show_runs(told)

    def paint_top(self) -> None:
        """Header, banner where there is one, title."""
        board, look = self.board, self.look
        head, right = self._head()
        lines: list[Line] = [(tuple(head), tuple(right), "panel")]
        banner = chrome.banner(board.header, board.store_error, look, board.beginning.starting, board.read_at)
        if banner:
            style = "mark" if board.beginning.starting else "alarm"
            ground = "panel" if board.beginning.starting else "alarm"
            room = self.size.width - 1
            parts = [banner[at:end].strip() for at, end in breaks(banner, room)]
            if len(parts) > BANNER_LINES:
                parts[BANNER_LINES - 1 :] = [fit(" ".join(parts[BANNER_LINES - 1 :]), room)]
            lines += [(((f" {part}", style),), (), ground) for part in parts]
        left, right_of_title = self.title_runs()
        self.bar("top").show_lines([*lines, (tuple(left), tuple(right_of_title), "")])

    def _head(self) -> chrome.Sides:
        board = self.board
        lost = "store not read" if board.store_error else chrome.READING
        unread = "no store yet" if board.beginning.starting else lost
        return chrome.head(board.header, self.look, self.size.width, len(board.approvals), board.visitor, unread)

    def paint_foot(self) -> None:
        text, style = self._notice
        if text and self._refused:
            text = self.why_not(self._refused)  # it says no longer what holds no more
            self._notice = self._notice if text else ("", "")
        if text:
            self.bar("foot").show([(f" {text}", style)])
            return
        self.bar("foot").show(*self._foot())

    def _foot(self) -> chrome.Sides:
        dead = {act.name for act in keys.footer(self.WHERE) if self.why_not(act.name)}
        glyphs, remap = self.look.glyphs, self.board.own.remap
        return chrome.foot(self.WHERE, self.crumb(), dead, glyphs, self.size.width, remap)

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        """A key of the footer is also a button, and so is what the header counts; a notice over the keys goes away."""
        if event.bar.id == "top" and event.y == 0:
            if name := chrome.counted_at(self._head()[1], self.size.width, event.x):
                self.action_act(name)
            return
        if event.bar.id != "foot":
            return
        if self._notice[0]:
            self.notice("")
            return
        acts = keys.footer(self.WHERE, self.board.own.remap)
        if name := chrome.act_at(self._foot(), acts, self.size.width, event.x):
            self.action_act(name)

    def unsaved(self) -> str:
        """What a person made here that is gone with the screen, in words; empty for nothing."""
        return ""

    def crumb(self) -> str:
        """Where one is, for the footer."""
        return self.WHERE

    def notice(self, text: str, style: str = "plain") -> None:
        """One line in place of the footer, until the next key or for a few seconds; where this screen was left
        meanwhile, on the one that is open."""
        if not self.is_whole:
            self.board.tell(text, style)
            return
        self._notice, self._refused = (text, style), ""
        self.paint_foot()
        if text:
            self.set_timer(NOTICE_SECONDS, lambda: self._unnotice(text))

    def _unnotice(self, text: str) -> None:
        if self._notice[0] == text:
            self.notice("")

    def look_up(self, name: str, question: Callable[[ReadsLike], Found], then: Callable[[Found], None]) -> None:
        """Asks for one thing by its name or id; `self.lost` holds the reader's words when it is not there."""

        def failed(error: Exception) -> None:
            from console.store.reads import NotFound

            if isinstance(error, NotFound):
                self.lost = str(error)
                self.tick()
            else:
                self.board.store_failed(error)

        self.board.ask_for(self, name, question, then, failed, first=True)

    # the line where a person types a filter or a search

    @property
    def is_typing(self) -> bool:
        return any(line.display for line in self.query("Entry"))

    def open_line(self, text: str, placeholder: str) -> None:
        """Opens the line below the title; it is hidden afterwards, not removed: that would lay out everything twice."""
        from console.tui.widgets.entry import Entry

        for line in self.query(Entry):
            line.value, line.display = text, True
            line.focus()
            return
        line = Entry(text, placeholder=placeholder, id="line", select_on_focus=False)
        self.mount(line, after="#top")
        line.focus()

    def close_line(self) -> None:
        for line in self.query("Entry"):
            line.display = False

    # acts: what each screen can do is said by those that are built on this

    def why_not(self, name: str) -> str:
        """Why an act cannot run now, in one line; empty when it can."""
        reason = getattr(self, f"why_not_{name}", None)
        return str(reason()) if reason is not None else ""

    def action_act(self, name: str) -> None:
        if chrome.is_small(self.app.size) and name != "leave":
            return
        reason = self.why_not(name)
        if reason:
            self.notice(reason, "warn")
            self._refused = name
            return
        if self._notice[0]:
            self.notice("")
        getattr(self, f"do_{name}")()
