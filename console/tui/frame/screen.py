"""The base of every screen: header, footer, a notice, the input line, and its table of commands.

Bindings come from the key table, commands from the screen and its parts. `check_action`, which Textual
calls before it runs a binding, and `why_not`, the reason in the last line, are in `console_app`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from textual import actions, events, on
from textual.app import ComposeResult
from textual.widgets import Input

from console.config import key_table
from console.store.queries.reader import Queries
from console.tui.frame import header_footer
from console.tui.frame.console_app import ConsoleScreen, EngineRequests
from console.tui.frame.history import ViewAddress
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.widgets.bar import Bar, BarLine
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment
from console.tui.widgets.pane import Pane

QueryResult = TypeVar("QueryResult")
NOTICE_SECONDS = 8.0
READING_TEXT = "reading…"
NOT_READ = "not read yet"
NOT_SELECTED = "nothing is selected"
STORE_UNREADABLE = "no data yet, the store cannot be read: see the banner"
STORE_STARTING = "the engine is creating the store: data appears here by itself"


class ScreenPart:
    """A part of a screen: its widgets, and its share of the screen's events."""

    fault = ""
    """Why the text of the input line is invalid; shown in the last line."""

    @property
    def selected(self) -> Any:
        """The row under the cursor of this part."""
        return None

    @property
    def is_loading(self) -> bool:
        """True until it has its first rows, or none."""
        return False

    def widgets(self) -> ComposeResult:
        yield from ()

    def commands(self) -> Sequence[ScreenCommand]:
        return ()

    def mounted(self) -> None: ...

    def fetch(self) -> None: ...

    def resumed(self) -> None: ...

    def tick(self) -> None: ...

    def frame_painted(self) -> None:
        """The frame was painted: repaint what is drawn from the same services."""

    def typed(self, text: str) -> None: ...

    def entered(self, text: str) -> None: ...

    def moved(self) -> None: ...

    def resized(self) -> None: ...

    def headed(self, title: str) -> None:
        """The heading of this column was clicked."""

    @property
    def address(self) -> ViewAddress | None:
        """Where its settings are found again; None for those of its screen."""
        return None

    def close(self) -> bool:
        """Closes the filter or search of this part; False without one."""
        return False


class HeadwayScreen(ConsoleScreen[None], inherit_bindings=False):
    """A screen names itself in `WHERE`; keys come from the key table, abilities from its parts."""

    BLANK = True  # its widgets cover it: its own lines are never seen
    view: Any = None
    """The subject of a screen about one job, run, incident …; None before it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: tuple[ScreenPart, ...] = ()
        self.marked: dict[Hashable, RunChoice] = {}
        self.subject: ViewAddress | None = None
        """The address of a screen about one job, run, incident …"""
        self.lost = ""
        """The error of a subject that was not found."""
        self.waiting_keys: Sequence[str] = ()
        """Keys that run once the first rows are here."""
        self._notice: tuple[str, str] = ("", "")
        self._refused = ""

    def compose(self) -> ComposeResult:
        yield Bar(id="top", lines=2)
        yield from self.body()
        yield from header_footer.tour_bar(self.board, self.WHERE)
        yield Bar(id="foot", background="panel")

    def body(self) -> ComposeResult:
        for part in self.parts:
            yield from part.widgets()

    @property
    def is_whole(self) -> bool:
        """True while its widgets exist."""
        return self.is_attached and bool(self.query("#foot"))

    @property
    def is_frozen(self) -> bool:
        """True while no action is sent."""
        return self.board.header is not None and self.board.header.frozen is not None

    @property
    def is_loading(self) -> bool:
        """True until its subject or first rows are read, or cannot be."""
        if self.lost or self.board.store_error:
            return False
        return (self.subject is not None and self.view is None) or any(part.is_loading for part in self.parts)

    def needs_rows(self, key: str) -> bool:
        """True for a key that has to wait for the first rows: a move in them, or a command that is disabled without."""
        if not self.is_loading or self.is_typing or self.is_small:
            return False
        binding = self.active_bindings.get(key)
        if binding is None:
            return False
        _, name, parameters = actions.parse(binding.binding.action)
        return name == "move" or (name == "command" and bool(self.why_not(str(parameters[0]))))

    def show_waiting_keys(self, keys: Sequence[str]) -> None:
        self.waiting_keys = keys
        self.paint_foot()

    @property
    def waiting(self) -> str:
        if self.board.beginning.starting and self.board.header is None:
            return self.lost or STORE_STARTING
        return self.lost or (STORE_UNREADABLE if self.board.store_error else READING_TEXT)

    def _paint_waiting(self) -> None:
        for widget in self.query("Grid, Canvas"):
            if getattr(widget, "empty", "") in (READING_TEXT, STORE_UNREADABLE, STORE_STARTING):
                widget.empty = self.waiting  # type: ignore[attr-defined]
                widget.refresh()

    # life

    def fetch(self) -> None:
        for part in self.parts:
            part.fetch()

    def on_mount(self) -> None:
        for part in self.parts:
            part.mounted()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        event.refresh_styles = False  # they are new, or kept up to date by Textual
        self.paint_frame()
        self.fetch()
        for part in self.parts:
            part.resumed()
        if self.address is not None and self.app.screen is self:  # not one passed on the way to another
            self.board.trail.seen(self.address)

    def on_resize(self, event: events.Resize) -> None:
        header_footer.cover_if_small(self, event.size)
        header_footer.paint_tour(self, self.WHERE, self.only_problems)
        self.call_after_refresh(self.paint_frame)

    @property
    def only_problems(self) -> bool:
        return False

    def tick(self) -> None:
        super().tick()
        for part in self.parts:
            part.tick()

    @on(Grid.Moved)
    def cursor_moved(self) -> None:
        for part in self.parts:
            part.moved()
        self.moved()
        self.paint_foot()

    def moved(self) -> None: ...

    @on(Grid.Resized)
    @on(Pane.Resized)
    def lines_resized(self) -> None:
        for part in self.parts:
            part.resized()
        self.resized()

    def resized(self) -> None: ...

    @on(Grid.Headed)
    def heading_clicked(self, event: Grid.Headed) -> None:
        for part in self.parts:
            part.headed(event.title)

    @on(Grid.Picked)
    def row_picked(self) -> None:
        if "open" in self.command_table:
            self.run_command("open")

    # painting

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        return [(f" {key_table.SCREENS.get(self.WHERE, '').upper()}", "key")], []

    def paint_frame(self) -> None:
        if not self.is_whole:
            return
        self.paint_top()
        for part in self.parts:
            part.frame_painted()
        self._paint_waiting()
        header_footer.paint_tour(self, self.WHERE, self.only_problems)
        self.paint_foot()
        header_footer.paint_small(self)
        self.rows_arrived()

    def rows_arrived(self) -> None:
        if not self.is_loading:
            self.board.rows_arrived(self)

    def paint_top(self) -> None:
        board = self.board
        head, right, _ = self._head()
        lines: list[BarLine] = [(tuple(head), tuple(right), "panel")]
        colors = ("mark", "panel") if board.beginning.starting else ("alarm", "alarm")
        lines += header_footer.banner_lines(header_footer.banner_of(board, self.ctx), self.size.width, *colors)
        title, right_of_title = self.title_runs()
        self.bar("top").show_lines([*lines, (tuple(title), tuple(right_of_title), "")])

    def _head(self) -> header_footer.HeaderSides:
        board = self.board
        unread = "store not read" if board.store_error else header_footer.READING
        unread = "no store yet" if board.beginning.starting else unread
        return header_footer.header_segments(
            board.header, self.ctx, self.size.width, len(board.approvals), board.visitor, unread, board.clock_waits
        )

    def paint_foot(self) -> None:
        if self.waiting_keys and self.is_whole:
            labels = " ".join(key_table.key_label(key, self.ctx.plain) for key in self.waiting_keys)
            drop = key_table.key_label("escape", self.ctx.plain)
            self.bar("foot").show([(f" {READING_TEXT}  {labels} waits for it; {drop} drops it", "warn")])
            return
        if fault := next((part.fault for part in self.parts if part.fault), ""):
            self.bar("foot").show([(f" {fault}", "warn")])
            return
        text, style = self._notice
        if text and self._refused:
            text = self.why_not(self._refused)  # the reason may have changed or gone
            self._notice = self._notice if text else ("", "")
        if text:
            self.bar("foot").show([(f" {text}", style)])
        else:
            self.bar("foot").show(*self._foot())

    @property
    def footer_actions(self) -> Sequence[key_table.KeyAction]:
        """The actions whose keys the footer lists."""
        finished, labels = self.finished_keys, self.key_labels
        actions = key_table.footer_actions(self.WHERE, self.board.own.remap)
        return [act._replace(label=labels.get(act.name, act.label)) for act in actions if act.name not in finished]

    @property
    def key_labels(self) -> Mapping[str, str]:
        """Labels of actions that depend on its subject, in the footer."""
        return {}

    @property
    def finished_keys(self) -> Sequence[str]:
        """Actions that its subject does not take in its state: the footer leaves them out."""
        return ()

    def _foot(self) -> header_footer.Sides:
        actions = self.footer_actions
        disabled = set() if self.is_loading else {action.name for action in actions if self.why_not(action.name)}
        return header_footer.footer_segments(actions, self.crumb(), disabled, self.ctx.glyphs, self.size.width)

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        """Keys of the footer and counts of the header are buttons; a click on a notice closes it."""
        if event.bar.id == "top" and event.y == 0:
            if name := header_footer.counted_at(self._head(), self.size.width, event.x):
                self.run_command(name)
        elif event.bar.id == "foot" and self._notice[0]:
            self.notice("")
        elif event.bar.id == "foot" and (
            name := header_footer.act_at(self._foot(), self.footer_actions, self.size.width, event.x)
        ):
            self.run_command(name)

    def crumb(self) -> str:
        return self.WHERE

    def notice(self, text: str, style: str = "plain") -> None:
        """Shows one line instead of the footer, until the next key or for a few seconds; on the open screen if this
        one has closed."""
        if not self.is_whole:
            self.board.show_notice(text, style)
            return
        self._notice, self._refused = (text, style), ""
        self.paint_foot()
        if text:
            self.set_timer(NOTICE_SECONDS, lambda: self._end_notice(text))

    def _end_notice(self, text: str) -> None:
        if self._notice[0] == text:
            self.notice("")

    def fetch_subject(
        self, name: str, question: Callable[[Queries], QueryResult], then: Callable[[QueryResult], None]
    ) -> None:
        """Queries one subject; `self.lost` holds the reader's message if it does not exist."""

        def failed(error: Exception) -> None:
            from console.store.errors import NotFound

            if isinstance(error, NotFound):
                self.lost = str(error)
                self.tick()
            else:
                self.board.store_failed(error)

        self.ask(name, question, then, failed, first=True)

    def send_request(
        self, key: str, question: Callable[[EngineRequests], Any], then: Callable[[Any], None], order: str
    ) -> None:
        """Sends a request to the engine; a refusal is shown as a notice."""
        self.board.ask_engine(key, question, then, lambda error: self.notice(f"not done: {error}", "bad"), order)

    # the line where a person types a filter or a search

    @property
    def is_typing(self) -> bool:
        return any(line.display for line in self.query("Entry"))

    def open_line(self, text: str, placeholder: str) -> None:
        """Opens the line below the title. It is hidden afterwards, not removed, which would lay out everything
        again."""
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

    @on(Input.Changed)
    def line_changed(self, event: Input.Changed) -> None:
        if self.is_typing:
            for part in self.parts:
                part.typed(event.value)

    @on(Input.Submitted)
    def line_entered(self, event: Input.Submitted) -> None:
        for part in self.parts:
            part.entered(event.value)

    def on_key(self, event: events.Key) -> None:
        """Up and down move in the table also while the user types."""
        if event.key in ("up", "down") and self.is_typing and not isinstance(self.focused, Grid):
            for grid in self.query(Grid):
                event.stop()
                grid.action_move(event.key)

    def close_something(self) -> bool:
        return any(part.close() for part in self.parts)

    # commands

    @cached_property
    def command_table(self) -> Mapping[str, ScreenCommand]:
        own = (*self.commands(), *(command for part in self.parts for command in part.commands()))
        return {command.name: command for command in own}

    def refuse(self, action: str) -> None:
        _, name, parameters = actions.parse(action)
        if name == "command" and not self.is_small and (reason := self.why_not(str(parameters[0]))):
            self.notice(reason, "warn")
            self._refused = str(parameters[0])

    def action_command(self, name: str) -> None:
        if self._notice[0]:
            self.notice("")
        super().action_command(name)

    def run_command(self, name: str) -> None:
        """Runs a command as its key does: from a click, the palette, or another command."""
        if self.check_action("command", (name,)):
            self.action_command(name)
        else:
            self.refuse(f"command({name!r})")

    # the view, and the row under the cursor

    @property
    def address(self) -> ViewAddress | None:
        own = self.subject or next(filter(None, (part.address for part in self.parts)), None)
        return own or (("screen", self.WHERE) if self.WHERE in key_table.GLOBAL_SCREENS else None)

    @property
    def row_key(self) -> Any:
        return next((grid.key for grid in self.query(Grid)), None)

    @property
    def was_moved_in(self) -> bool:
        return all(grid.touched for grid in self.query(Grid))

    @property
    def top_line(self) -> int:
        return next((grid.scroll_offset.y for grid in self.query(Grid)), 0)

    def restore_cursor(self, row: Any, top: int | None = None) -> None:
        """Moves the cursor to a row as soon as it exists, with `top` as the first line in view."""

        def restore() -> None:
            for grid in self.query(Grid):
                grid.restore_cursor(row, top)

        if row is not None:
            self.call_after_refresh(restore)

    def unsaved(self) -> str:
        return ""

    def clear_marks(self) -> bool:
        had_marks = bool(self.marked)
        self.marked.clear()
        if had_marks:
            self.tick()
        return had_marks

    def marks_runs(self) -> list[Segment]:
        return [(f"  {len(self.marked)} marked ", "mark")] if self.marked else []

    def selected_run(self) -> RunChoice | str:
        """The run that verbs and `log` act on, or the reason why they are disabled."""
        return NOT_SELECTED

    def selected_name(self) -> str:
        return ""

    def selected_job(self) -> str | int:
        return self.selected_name()

    @property
    def selected(self) -> Any:
        """The row under the cursor; None for nothing."""
        return next((row for part in self.parts if (row := part.selected) is not None), None)

    def selected_record(self) -> Any:
        return self.view or self.selected

    def selected_links(self) -> list[tuple[str, str]]:
        """(label, address) of runbook, owner, web page."""
        return []

    def why_no_job(self) -> str:
        return "" if self.selected_job() else "no job is selected"

    def why_no_run(self) -> str:
        choice = self.selected_run()
        return choice if isinstance(choice, str) else ""

    def open_run(self) -> None:
        self.with_run(lambda choice: self.navigation.open_run(choice.run_id))

    def with_run(self, then: Callable[[RunChoice], None]) -> None:
        """Calls `then` with the selected run; a screen may query it first."""
        choice = self.selected_run()
        if isinstance(choice, RunChoice):
            then(choice)
        else:
            self.notice(choice, "warn")
