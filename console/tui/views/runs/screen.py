"""Run: its history, attempt by attempt, and its log: tail first, followed, searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual.app import ComposeResult

from connectors.sdk.states import Verb, is_open
from console.domain.run import AttemptView, RunView
from console.engine.api.requests import ReadLog
from console.store.queries.reader import Queries
from console.tui.frame.cells import state_cells
from console.tui.frame.console_app import EngineAnswer
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import RunChoice, ScreenCommand
from console.tui.frame.screen import NOT_READ, HeadwayScreen
from console.tui.views.commands import HAS_ENDED, common_commands, order, show_links
from console.tui.views.details import SearchLine
from console.tui.views.incidents.preview import incident_source
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.preview import PREVIEW_FROM, PreviewBelow, PreviewBeside, PreviewSource
from console.tui.views.runs import overview
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Segment
from console.tui.widgets.pane import ERROR, Pane

FOLLOW_SECONDS = 1.0
LOG_LIMIT = 256 * 1024


class RunScreen(HeadwayScreen):
    WHERE = "run"

    def __init__(self, run_id: int, then: str = "") -> None:
        """`then`: the command to run once the log is loaded."""
        super().__init__()
        self.run_id, self._then = run_id, then
        self.subject = "run", run_id
        self.view: RunView | None = None
        self.attempt: AttemptView | None = None
        self.text, self.log_note = "", ""
        self.next_start: str | None = None
        self.cut = False
        self._asking: PendingRequest | None = None
        self._start_line: int | None = None
        """The first line in view when the screen was left, until the log is loaded."""
        self.pane = Pane(id="log")
        self.pane.following = self.pane.wrapped = True
        self.search = SearchLine(self, self.pane, "find in the log", self._seek_text, self._search_cleared)
        self.verdict = VerdictLine(
            self, lambda reads: self.view.incident_id if self.view else None, services=self._services
        )
        self.preview = PreviewBeside(self, lambda: job_source(self.view.row.job_id) if self.view else None)
        self.incident_preview = PreviewBelow(self, self._incident_source, self.pane, PREVIEW_FROM)
        self.parts = (self.search, self.verdict, self.preview, self.incident_preview)

    def commands(self) -> Sequence[ScreenCommand]:
        def no_text() -> str:
            return "" if self.text else self.log_note or "it has no log"

        def no_older() -> str:
            return "" if self.view and len(self.view.attempts) > 1 else "it has only one attempt"

        return [
            *common_commands(self),
            ScreenCommand("log", self.read_log_again, self.why_no_log),
            ScreenCommand("follow", self.toggle_follow),
            ScreenCommand("pager", self.open_pager, no_text),
            ScreenCommand("wrap", self.pane.toggle_wrap),
            ScreenCommand("error_first", self.seek_first_error),
            ScreenCommand("error_next", lambda: self._seek_error(1)),
            ScreenCommand("error_previous", lambda: self._seek_error(-1)),
            ScreenCommand("previous", self.show_previous_attempt, no_older),
            ScreenCommand("runbook", self.show_links, lambda: "" if self.view else NOT_READ),
            ScreenCommand("rerun", lambda: order(self, Verb.RERUN), lambda: self._lacks(Verb.RERUN)),
            ScreenCommand("cancel", lambda: order(self, Verb.CANCEL), self._why_not_cancel),
        ]

    # reading

    def show_attempt(self, attempt: AttemptView | None) -> None:
        """Shows an attempt's log: the stored one of the newest at once, the rest when the engine sends it."""
        self.attempt, self.next_start, self.cut = attempt, None, False
        view = self.view
        newest = view is not None and bool(view.attempts) and attempt == view.attempts[-1]
        stored = view.log if view is not None and newest else ""
        self._take(stored, replace=True)
        self.cut = bool(view and newest and view.log_cut)
        if attempt is not None and not self.why_no_log():
            self.ask_log(None)
        else:
            self._explain((view.log_error if view else "") or self.why_no_log())
            self._log_complete()

    def why_no_log(self) -> str:
        if self.view is None:
            return NOT_READ
        if "log" not in self.view.capabilities:
            return self.view.missing.get("log", "its system keeps no log that can be read")
        return ""

    def ask_log(self, start: str | None) -> None:
        if self._asking is not None:
            self._asking.stop()
        attempt_id = self.attempt.id if self.attempt else None
        self.log_note = "" if start else "asking for the log…"
        self._asking = PendingRequest(
            self,
            "log",
            lambda requests: requests.ask(ReadLog(self.run_id, attempt_id, start)),
            lambda answer: self._answered(answer, start),
            self._no_log,
        )

    def _no_log(self, text: str) -> None:
        self._asking = None
        self._explain(text)
        self.paint_log_title()
        self._log_complete()

    def _log_complete(self) -> None:
        then, self._then = self._then, ""
        if then:
            self.call_after_refresh(self.run_command, then)
        line, self._start_line = self._start_line, None
        if line is not None and self.pane.following:  # the user has not moved meanwhile
            self.pane.follow(False)
            self.call_after_refresh(self.pane.scroll_to, y=line, animate=False)

    # where one was

    @property
    def row_key(self) -> Any:
        return None if self.pane.following else self.pane.scroll_offset.y

    def restore_cursor(self, row: Any, top: int | None = None) -> None:
        self._start_line = row if isinstance(row, int) else None

    def _explain(self, text: str) -> None:
        self.log_note = text
        if not self.text:
            self.pane.show(text)

    def _answered(self, answer: EngineAnswer, start: str | None) -> None:
        self._asking = None
        if not answer.ok:
            self._no_log(answer.error)
            return
        data = answer.data
        if start is None:  # read again from the start
            self.cut = False
        self._take(str(data.get("text", "")), replace=start is None)
        self.cut = self.cut or bool(data.get("cut"))
        self.next_start = data.get("next") or None
        self.log_note = ""
        self.paint_log_title()
        if data.get("more") and self.next_start:
            self.ask_log(self.next_start)
            return
        self._log_complete()
        if self.next_start and self.pane.following and self.is_running_now:
            self.set_timer(FOLLOW_SECONDS, self._follow_on)

    @property
    def is_running_now(self) -> bool:
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
        self.call_after_refresh(self.incident_preview.moved)

    def paint_log_title(self) -> None:
        number = f" attempt {self.attempt.number}" if self.attempt else ""
        title: list[Segment] = [(f" LOG{number}", "head"), ("  earlier lines left out" if self.cut else "", "dim")]
        if self.log_note:
            title.append((f"  {self.log_note}", "warn"))
        marks: list[Segment] = [(" follows ", "mark")] if self.pane.following and self.is_running_now else []
        if self.search.text:
            marks += [(" ", "plain"), (f" / {self.search.text} ", "mark")]
        if self.bar("log-title").is_attached:
            self.bar("log-title").show(title, [*marks, (" ", "plain")])

    # in the log

    def read_log_again(self) -> None:
        self.pane.follow(True)
        self.ask_log(None)

    def toggle_follow(self) -> None:
        self.pane.follow(not self.pane.following)
        self.paint_log_title()
        self._follow_on()

    def open_pager(self) -> None:
        from console.tui.terminal.external_program import open_pager

        if problem := open_pager(self.board, self.text):
            self.notice(problem, "warn")

    def seek_first_error(self) -> None:
        self.pane.marked = None
        self._seek_error(1)

    def _seek_error(self, step: int) -> None:
        self._seek(lambda line: bool(ERROR.search(line)), step, "no line looks like an error")

    def _seek_text(self, step: int) -> None:
        text = self.search.text.lower()
        self._seek(lambda line: text in line.lower(), step, f'"{self.search.text}" is not in the log')

    def _seek(self, matches: Callable[[str], bool], step: int, no_match: str) -> None:
        if not self.pane.seek(matches, step):
            self.notice(no_match, "warn")
        self.paint_log_title()

    def _search_cleared(self) -> None:
        self.pane.marked = None
        self.pane.refresh()
        self.paint_log_title()

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield Bar(id="facts")
        log = [Bar(id="log-title", background="panel"), self.pane]
        yield from self.preview.beside(log, self.incident_preview.widgets())

    def fetch(self) -> None:
        self.fetch_subject("run", lambda reads: reads.runs.run(self.run_id), self._show)

    def _show(self, view: RunView) -> None:
        before, self.view = self.view, view
        ids = [attempt.id for attempt in view.attempts]
        grown = before is None or len(view.attempts) > len(before.attempts)
        if grown or self.attempt is None or self.attempt.id not in ids:
            self.show_attempt(view.attempts[-1] if view.attempts else None)
        else:
            self.attempt = view.attempts[ids.index(self.attempt.id)]
        self.tick()
        self.verdict.fetch()
        self.preview.fetch()
        self.incident_preview.fetch()

    def _incident_source(self) -> PreviewSource | None:
        incident_id = self.view.incident_id if self.view else None
        return incident_source(incident_id, self.verdict) if incident_id is not None else None

    def _services(self, reads: Queries) -> tuple[str, ...]:
        return reads.members.services_of(self.view.row.job_id) if self.view else ()

    # showing

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        if self.view is None:
            return [(f" RUN {self.run_id}", "key"), (f"  {self.waiting}", "warn")], []
        row = self.view.row
        mark, _, label = state_cells(row, self.ctx)
        name: list[Segment] = [(" RUN ", "key"), (row.job, "strong"), ("  ", "plain")]
        return [*name, mark, (" ", "plain"), label], [(f" business date {row.business_date} ", "dim")]

    def tick(self) -> None:
        super().tick()
        if self.view is None or not self.is_whole:
            return
        blocks = overview.run_overview(self.view, self.attempt, self.ctx, self.size.width)
        lines = overview.fit_lines(blocks, max(1, self.size.height // 2 - 2))
        self.bar("facts").show_lines([(tuple(line), (), "") for line in lines])
        self.paint_log_title()

    # the run

    def selected_name(self) -> str:
        return self.view.row.job if self.view else ""

    def selected_run(self) -> RunChoice | str:
        return RunChoice(self.run_id, self.view.row.job, self.view.incident_id) if self.view else NOT_READ

    def show_links(self) -> None:
        if self.view is not None:
            address = self.attempt.native_url if self.attempt else ""
            extra = [("web page of this attempt", address)] if address else []
            show_links(self, self.view.row.job_id, extra)

    def _lacks(self, verb: Verb) -> str:
        if self.view is None:
            return NOT_READ
        if verb.needs in self.view.capabilities:
            return ""
        return self.view.missing.get(verb.needs, f"its system cannot {verb}")

    @property
    def finished_keys(self) -> Sequence[str]:
        return ("cancel",) if self.view is not None and self.view.row.ended is not None else ()

    def _why_not_cancel(self) -> str:
        if self.finished_keys:
            return HAS_ENDED
        return self._lacks(Verb.CANCEL)

    def show_previous_attempt(self) -> None:
        if self.view and self.attempt:
            ids = [attempt.id for attempt in self.view.attempts]
            self.show_attempt(self.view.attempts[ids.index(self.attempt.id) - 1])
            self.tick()
