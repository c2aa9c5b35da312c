"""What can be done with a system's polls: asked whether it answers, paused for a while, gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from console.durations import duration_words, parse_duration
from console.model.pauses import PAUSED_FOR, Pause, length_fault
from console.model.views import TargetView
from console.tui.asking import Asking
from console.tui.ports import AnswerLike
from console.tui.rows import target_name
from console.tui.screens.base import BaseScreen
from console.tui.system import probe_text

if TYPE_CHECKING:
    from console.tui.screens.frame import FrameScreen


class PollingActs(BaseScreen):
    """`target_here`: what the keys are about."""

    @property
    def target_here(self) -> TargetView | None:
        raise NotImplementedError

    @property
    def is_watched(self) -> bool:
        """Whether an engine looks, as far as is known."""
        board = self.board
        return not board.store_error and (board.header is None or board.header.engine.alive)

    def name_here(self) -> str:
        return target_name(self.target_here) if self.target_here else ""

    def _nothing(self) -> str:
        return "" if self.target_here else "no system is selected"

    def why_not_probe(self) -> str:
        return self._nothing()

    def do_probe(self) -> None:
        if self.target_here:
            probe(self, self.target_here)

    def why_not_pause_polling(self) -> str:
        return self._nothing()

    def do_pause_polling(self) -> None:
        if self.target_here:
            pause_polling(self, self.target_here)

    def why_not_jobs_here(self) -> str:
        return self._nothing()

    def do_jobs_here(self) -> None:
        if self.target_here:
            self.board.open_jobs(f"system:{self.target_here.system}")

    def why_not_shell(self) -> str:
        return self._nothing()

    def do_shell(self) -> None:
        """Steps aside for a session at what the cursor stands on."""
        if not self.board.command:
            self.notice("a replay has no hosts to sign in to", "warn")
            return
        from console.tui.aside import shell_aside

        self.notice(shell_aside(self.board, self.board.command, self.name_here()))

    def why_not_lineage(self) -> str:
        return f"a system is no job: {self.key_for('jobs_here')} shows its jobs"


def probe(screen: FrameScreen, view: TargetView) -> None:
    """Has the engine ask it now; what came back is shown."""
    name = target_name(view)
    screen.notice(f"asking {name} whether it answers…")

    def answered(answer: AnswerLike) -> None:
        if not answer.ok:
            failed(answer.error)
            return
        from console.tui.screens.text import TextScreen

        found: Sequence[Mapping[str, Any]] = answer.data["targets"]
        text = probe_text(found)
        screen.notice("")
        screen.board.push_screen(TextScreen(f"probe of {name}", text, text))

    def failed(words: str) -> None:
        screen.notice(f"not probed: {words}", "bad")

    Asking(screen.board, screen, "probe", lambda asks: asks.probe(view.system, view.name), answered, failed)


def pause_polling(screen: FrameScreen, view: TargetView) -> None:
    """Stops its system's polls, asked how long and why; lets them go on where they are stopped, asked once more."""
    system = view.system
    if view.pause is not None:
        from console.tui.screens.pick import confirm

        says = f"{view.pause.words}; it is seen again with its next poll"
        confirm(screen, f"{system} is not polled", "Poll it again", says, lambda: _put(screen, system, 0.0, ""))
        return
    from console.tui.screens.ask import AskScreen

    def long(text: str | None) -> None:
        if text is not None:
            says = "why? Until then its jobs are shown as unknown, and nothing of it is green"
            title = f"PAUSE POLLS of {system} for {text}"
            screen.board.push_screen(AskScreen(title, says), lambda why: asked(parse_duration(text), why))

    def asked(length: timedelta, why: str | None) -> None:
        if why is not None:
            _put(screen, system, length.total_seconds(), why)

    says = "for how long is it not polled? It is polled again by itself after that; all of its targets"
    usual = duration_words(PAUSED_FOR.total_seconds())
    screen.board.push_screen(AskScreen(f"PAUSE POLLS of {system}", says, usual, _fault), long)


def _fault(text: str) -> str:
    from console.tui.screens.ask import a_duration

    return a_duration(text) or length_fault(parse_duration(text))


def _put(screen: FrameScreen, system: str, seconds: float, why: str) -> None:
    def done(said: Pause) -> None:
        until = screen.look.clock.hm(said.until, screen.look.now)
        screen.notice(f"{system}: not polled until {until}" if seconds else f"{system}: polled again", "ok")
        screen.board.read_header()
        screen.fetch()

    def refused(error: Exception) -> None:
        screen.notice(f"not done: {error}", "bad")

    order = f"{'pause' if seconds else 'resume'} polls of {system}"
    asks = screen.board.ask_engine
    asks("pause polling", lambda requests: requests.pause_polling(system, seconds, why), done, refused, order)
