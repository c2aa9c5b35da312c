"""The log of a run on a screen: what was kept at once, the rest as the engine brings it, followed and searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from connectors.words import is_open
from console.model.views import AttemptView, RunView
from console.tui.asking import Asking
from console.tui.ports import AnswerLike
from console.tui.screens.base import BaseScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.pane import ERROR, Pane

if TYPE_CHECKING:
    from textual.widgets import Input

FOLLOW_SECONDS = 1.0
LOG_LIMIT = 256 * 1024
"""Characters of a log that are kept on the screen; the older half goes when there are more."""


class LogScreen(BaseScreen):
    """A screen with the log of one attempt in `pane`, its title in the bar `log-title`."""

    def __init__(self, run_id: int, then: str = "") -> None:
        """`then`: the act that follows once the log is there."""
        super().__init__()
        self.run_id, self._then = run_id, then
        self.view: RunView | None = None
        self.attempt: AttemptView | None = None
        self.searched = ""
        self.text, self.log_words = "", ""
        self.next_start: str | None = None
        self.cut = False
        self._asking: Asking | None = None
        self._stand_at: int | None = None
        """The first line in view as it was left, until the log is there."""
        self.pane = Pane(id="log")
        self.pane.following = self.pane.wrapped = True

    # reading

    def look_at(self, attempt: AttemptView | None) -> None:
        """Shows an attempt's log: what the store kept of the newest at once, the rest as the engine brings it."""
        self.attempt, self.next_start, self.cut = attempt, None, False
        view = self.view
        newest = view is not None and bool(view.attempts) and attempt == view.attempts[-1]
        kept = view.log if view is not None and newest else ""
        self._take(kept, replace=True)
        self.cut = bool(view and newest and view.log_cut)
        if attempt is not None and not self.why_not_live():
            self.ask_log(None)
        else:
            self._tell((view.log_error if view else "") or self.why_not_live())
            self._is_there()

    def why_not_live(self) -> str:
        """Why the engine cannot bring a log; empty when it can."""
        if self.view is None:
            return "not read yet"
        if "log" not in self.view.capabilities:
            return self.view.missing.get("log", "its system keeps no log that can be read")
        return ""

    def ask_log(self, start: str | None) -> None:
        if self._asking is not None:
            self._asking.stop()
        attempt_id = self.attempt.id if self.attempt else None
        self.log_words = "" if start else "asking for the log…"
        self._asking = Asking(
            self.board,
            self,
            "log",
            lambda requests: requests.log(self.run_id, attempt_id, start),
            lambda answer: self._answered(answer, start),
            self._no_log,
        )

    def _no_log(self, words: str) -> None:
        self._asking = None
        self._tell(words)
        self.paint_log_title()
        self._is_there()

    def _is_there(self) -> None:
        """What there is of the log is read."""
        then, self._then = self._then, ""
        if then:
            self.call_after_refresh(self.action_act, then)
        line, self._stand_at = self._stand_at, None
        if line is not None and self.pane.following:  # nobody has moved meanwhile
            self.pane.follow(False)
            self.call_after_refresh(self.pane.scroll_to, y=line, animate=False)

    # where one was

    @property
    def row_left(self) -> Any:
        """The first line in view; None at the end, where what comes is followed."""
        return None if self.pane.following else self.pane.scroll_offset.y

    def stand_on(self, row: Any, top: int | None = None) -> None:
        """Shows the log from there on, as soon as it is read."""
        self._stand_at = row if isinstance(row, int) else None

    def _tell(self, words: str) -> None:
        """Why there is no log, or no more of it: in the title, and whole where nothing else stands below it."""
        self.log_words = words
        if not self.text:
            self.pane.show(words)

    def _answered(self, answer: AnswerLike, start: str | None) -> None:
        self._asking = None
        if not answer.ok:
            self._no_log(answer.error)
            return
        data = answer.data
        if start is None:  # read anew: what was left out of the one before stands here, or is told again
            self.cut = False
        self._take(str(data.get("text", "")), replace=start is None)
        self.cut = self.cut or bool(data.get("cut"))
        self.next_start = data.get("next") or None
        self.log_words = ""
        self.paint_log_title()
        if data.get("more") and self.next_start:
            self.ask_log(self.next_start)
            return
        self._is_there()
        if self.next_start and self.pane.following and self.is_running_now:
            self.set_timer(FOLLOW_SECONDS, self._follow_on)

    @property
    def is_running_now(self) -> bool:
        """Whether more of its log may come: what was lost, or nobody can tell, has no end either."""
        return self.attempt is not None and self.attempt.ended is None and is_open(self.attempt.state)

    def _follow_on(self) -> None:
        if self._asking is None and self.next_start and self.pane.following:
            self.ask_log(self.next_start)

    def _take(self, text: str, replace: bool) -> None:
        if replace and text == self.text:
            return
        before, self.text = self.text, text if replace else self.text + text
        if replace:
            self.pane.marked = None  # another text has other lines
        if len(self.text) > LOG_LIMIT:
            end = self.text[-LOG_LIMIT // 2 :]
            self.text, replace, self.cut = end.partition("\n")[2] or end, True, True
        if replace:
            self.pane.show(self.text.rstrip("\n"))
        elif text:
            ended = len(before) - len(before.rstrip("\n"))  # line ends that are not shown while nothing follows them
            self.pane.add("\n" * ended + text.rstrip("\n"))

    def paint_log_title(self) -> None:
        number = f" attempt {self.attempt.number}" if self.attempt else ""
        left: list[Run] = [(f" LOG{number}", "head"), ("  earlier lines left out" if self.cut else "", "dim")]
        if self.log_words:
            left.append((f"  {self.log_words}", "warn"))
        marks: list[Run] = [(" follows ", "mark")] if self.pane.following and self.is_running_now else []
        if self.searched:
            marks += [(" ", "plain"), (f" / {self.searched} ", "mark")]
        if self.bar("log-title").is_attached:
            self.bar("log-title").show(left, [*marks, (" ", "plain")])

    # acts

    def why_not_log(self) -> str:
        return self.why_not_live()

    def do_log(self) -> None:
        self.pane.follow(True)
        self.ask_log(None)

    def do_follow(self) -> None:
        self.pane.follow(not self.pane.following)
        self.paint_log_title()
        self._follow_on()

    def why_not_pager(self) -> str:
        return "" if self.text else self.log_words or "there is no log to show"

    def do_pager(self) -> None:
        from console.tui.aside import read_aside

        if problem := read_aside(self.board, self.text):
            self.notice(problem, "warn")

    def do_wrap(self) -> None:
        self.pane.toggle_wrap()

    def do_error_first(self) -> None:
        self.pane.marked = None
        self.do_error_next()

    def do_error_next(self) -> None:
        self._seek(lambda line: bool(ERROR.search(line)), 1, "no line looks like an error")

    def do_error_previous(self) -> None:
        self._seek(lambda line: bool(ERROR.search(line)), -1, "no line looks like an error")

    def why_not_match_next(self) -> str:
        return "" if self.searched else f"nothing was searched for: {self.key_for('search')} does"

    def why_not_match_previous(self) -> str:
        return self.why_not_match_next()

    def do_match_next(self) -> None:
        self._seek_text(1)

    def do_match_previous(self) -> None:
        self._seek_text(-1)

    def _seek_text(self, step: int) -> None:
        wanted = self.searched.lower()
        self._seek(lambda line: wanted in line.lower(), step, f'"{self.searched}" is not in the log')

    def _seek(self, wanted: Callable[[str], bool], step: int, otherwise: str) -> None:
        if not self.pane.seek(wanted, step):
            self.notice(otherwise, "warn")
        self.paint_log_title()

    def do_search(self) -> None:
        self.open_line(self.searched, "find in the log")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.searched = event.value
        self._leave_search()
        if self.searched:
            self._seek_text(1)

    def _leave_search(self) -> None:
        self.close_line()
        self.pane.focus()

    def close_something(self) -> bool:
        typing = self.is_typing
        if typing:
            self._leave_search()
        if not self.searched:
            return typing
        self.searched = ""
        self.pane.marked = None
        self.pane.refresh()
        self.paint_log_title()
        return True
