"""Run: what happened, attempt by attempt, and its log: tail first, followed, searched, errors by `e`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult

from connectors.words import State, Verb, is_open
from console.model.views import AttemptView, JobView, RunView
from console.tui import rows
from console.tui.asking import Asking
from console.tui.ports import AnswerLike
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Run
from console.tui.widgets.pane import ERROR, Pane

if TYPE_CHECKING:
    from textual.widgets import Input

FOLLOW_SECONDS = 1.0
LOG_LIMIT = 256 * 1024
"""Characters of a log that are kept on the screen; the older half goes when there are more."""


class RunScreen(BaseScreen):
    WHERE = "run"

    def __init__(self, run_id: int) -> None:
        super().__init__()
        self.run_id = run_id
        self.view: RunView | None = None
        self.attempt: AttemptView | None = None
        self.searched = ""
        self.text, self.log_words = "", ""
        self.next_start: str | None = None
        self.cut = False
        self._asking: Asking | None = None
        self.pane = Pane(id="log")
        self.pane.following = self.pane.wrapped = True

    def body(self) -> ComposeResult:
        yield Bar(id="facts")
        yield Bar(id="tries")
        yield Bar(id="log-title", ground="panel")
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()

    def fetch(self) -> None:
        self.look_up("run", lambda reads: reads.run(self.run_id), self._show)

    def _show(self, view: RunView) -> None:
        before, self.view = self.view, view
        ids = [attempt.id for attempt in view.attempts]
        grown = before is None or len(view.attempts) > len(before.attempts)
        if grown or self.attempt is None or self.attempt.id not in ids:
            self._look_at(view.attempts[-1] if view.attempts else None)
        else:
            self.attempt = view.attempts[ids.index(self.attempt.id)]
        self.tick()

    # the log

    def _look_at(self, attempt: AttemptView | None) -> None:
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
            self.log_words = (view.log_error if view else "") or self.why_not_live()

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
        self._asking, self.log_words = None, words
        self.paint_log_title()

    def _answered(self, answer: AnswerLike, start: str | None) -> None:
        self._asking = None
        if not answer.ok:
            self._no_log(answer.error)
            return
        data = answer.data
        self._take(str(data.get("text", "")), replace=start is None)
        self.cut = self.cut or bool(data.get("cut"))
        self.next_start = data.get("next") or None
        self.log_words = ""
        self.paint_log_title()
        if data.get("more") and self.next_start:
            self.ask_log(self.next_start)
        elif self.next_start and self.pane.following and self.is_running_now:
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
        if len(self.text) > LOG_LIMIT:
            end = self.text[-LOG_LIMIT // 2 :]
            self.text, replace, self.cut = end.partition("\n")[2] or end, True, True
        if replace:
            self.pane.show(self.text.rstrip("\n"))
        elif text:
            ended = len(before) - len(before.rstrip("\n"))  # line ends that are not shown while nothing follows them
            self.pane.add("\n" * ended + text.rstrip("\n"))

    # showing

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self.view is None:
            return [(f" RUN {self.run_id}", "key"), (f"  {self.lost or 'reading…'}", "warn")], []
        row = self.view.row
        mark, sign, word = rows.state_cells(row, self.look)
        left: list[Run] = [(" RUN ", "key"), (row.job, "strong"), ("  ", "plain"), mark, sign, (" ", "plain"), word]
        if row.native_state and row.native_state.lower() != row.state:
            left.append((f' "{row.native_state}"', "dim"))
        return left, [(f"bd {row.bd} ", "dim")]

    def tick(self) -> None:
        super().tick()
        if self.view is None:
            return
        self.bar("facts").show(self._facts(self.view))
        self.bar("tries").show(self._tries(self.view))
        self.paint_log_title()

    def _facts(self, view: RunView) -> list[Run]:
        row, look = view.row, self.look
        runs: list[Run] = [(f" {look.clock.full(row.period, view.zone) if row.period else row.period_key}", "plain")]
        if row.started:
            took = rows.took(row, look)
            runs.append(
                (
                    f"   {look.clock.hms(row.started, view.zone)}–{look.clock.hms(row.ended, view.zone)} ({took})",
                    "plain",
                )
            )
        if row.exit_code is not None:
            runs.append((f"   exit {row.exit_code}", "bad" if row.exit_code else "ok"))
        if row.message or row.reason:
            runs.append((f"   {row.message or row.reason}", "warn" if _red(row.state) else "dim"))
        if row.stale_read:
            runs.append(("   read its upstream too early: its data is stale", "warn"))
        return runs

    def _tries(self, view: RunView) -> list[Run]:
        if not view.attempts:
            return [(" no attempt yet", "dim")]
        runs: list[Run] = [(" attempts ", "dim")]
        for attempt in view.attempts[-8:]:
            mark, word, style = self.look.glyphs.mark("state", attempt.state)
            here = self.attempt is not None and attempt.id == self.attempt.id
            ours = " ours" if attempt.action_key else ""
            when = self.look.clock.hm(attempt.started, self.look.now, view.zone)
            runs.append(
                (f" {attempt.number} {mark} {when} {word}{ours} ", "mark" if here and len(view.attempts) > 1 else style)
            )
            runs.append((" ", "plain"))
        last = view.actions[-1] if view.actions else None
        if last is not None and last.state not in ("verified",):
            mark, word, style = self.look.glyphs.mark("action", last.state)
            runs.append((f"  rerun: {mark} {word}", style))
        return runs

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

    def name_here(self) -> str:
        return self.view.row.job if self.view else ""

    def record_here(self) -> Any:
        return self.view

    def why_not_runbook(self) -> str:
        return "" if self.view else "not read yet"

    def do_runbook(self) -> None:
        """Those of its job, and the attempt's own page."""
        if self.view is not None:
            job_id = self.view.row.job_id
            self.look_up("job", lambda reads: reads.job(job_id), self._show_links)

    def _show_links(self, job: JobView) -> None:
        from console.tui.screens.job import job_links
        from console.tui.screens.text import links_screen

        own = self.attempt.native_url if self.attempt else ""
        links = [*job_links(job), *([("web page of this attempt", own)] if own else [])]
        if links:
            self.board.push_screen(links_screen(self.name_here(), links))
        else:
            self.notice("no runbook, owner or web page is known for it", "warn")

    def run_here(self) -> RunChoice | str:
        if self.view is None:
            return "not read yet"
        return RunChoice(self.run_id, self.view.row.job, self.view.incident_id)

    def _lacks(self, verb: Verb) -> str:
        if self.view is None:
            return "not read yet"
        if verb.needs in self.view.capabilities:
            return ""
        return self.view.missing.get(verb.needs, f"its system cannot {verb}")

    def why_not_rerun(self) -> str:
        return self._lacks(Verb.RERUN)

    def why_not_cancel(self) -> str:
        if self.view is not None and self.view.row.ended is not None:
            return "it has ended: nothing of it runs"
        return self._lacks(Verb.CANCEL)

    def why_not_log(self) -> str:
        return self.why_not_live()

    def do_log(self) -> None:
        self.pane.follow(True)
        self.ask_log(None)

    def why_not_previous(self) -> str:
        return "" if self.view and len(self.view.attempts) > 1 else "there is only one attempt"

    def do_previous(self) -> None:
        if self.view and self.attempt:
            ids = [attempt.id for attempt in self.view.attempts]
            self._look_at(self.view.attempts[ids.index(self.attempt.id) - 1])
            self.tick()

    def do_follow(self) -> None:
        self.pane.follow(not self.pane.following)
        self.paint_log_title()
        self._follow_on()

    def do_wrap(self) -> None:
        self.pane.toggle_wrap()

    def do_focus_next(self) -> None:
        self.focus_next()

    def do_error_next(self) -> None:
        self._seek(lambda line: bool(ERROR.search(line)), 1, "no line looks like an error")

    def do_error_previous(self) -> None:
        self._seek(lambda line: bool(ERROR.search(line)), -1, "no line looks like an error")

    def why_not_match_next(self) -> str:
        return "" if self.searched else "nothing was searched for: / does"

    def why_not_match_previous(self) -> str:
        return self.why_not_match_next()

    def do_match_next(self) -> None:
        self._seek_text(1)

    def do_match_previous(self) -> None:
        self._seek_text(-1)

    def _seek_text(self, step: int) -> None:
        wanted = self.searched.lower()
        self._seek(lambda line: wanted in line.lower(), step, f'"{self.searched}" is not in the log')

    def _seek(self, wanted: Any, step: int, otherwise: str) -> None:
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
        if self.is_typing:
            self._leave_search()
            return True
        if self.searched:
            self.searched = ""
            self.pane.marked = None
            self.pane.refresh()
            self.paint_log_title()
            return True
        return False


def _red(state: str) -> bool:
    try:
        return State(state).is_red
    except ValueError:
        return True
