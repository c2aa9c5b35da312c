"""Recovery plan, proposed: every step in order, changed by a person, started by nobody but him."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from textual import events, on
from textual.app import ComposeResult

from console.durations import parse_duration
from console.model.finishes import outlook
from console.model.plans import ALTERNATIVE_WORDS, PlanRefused, Step
from console.model.shaping import Changes, shape
from console.tui import steps
from console.tui.asking import Asking
from console.tui.finishes import MOST_ROWS, TALL, TALL_ROWS, finish_lines
from console.tui.ports import AnswerLike, RequestsLike
from console.tui.screens.base import BaseScreen, RunChoice
from console.tui.screens.renewing import RenewedDraft
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Run
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import Rows

ASKING = "asking every scheduler what it would do…"


class DraftScreen(RenewedDraft):
    """`propose` puts the question to the engine; `word`, its short name, is typed where a step is not declared safe or
    tier 1 hangs on it.

    `wider` puts a wider one: also what no service that is hit waits for."""

    WHERE = "plan"
    DEFAULT_CSS = """
    DraftScreen #grid { height: 3fr; }
    DraftScreen #finishes { height: 0; }
    DraftScreen #detail { height: 2fr; border-top: solid $foreground 25%; }
    """

    def __init__(
        self,
        propose: Callable[[RequestsLike], int],
        about: str,
        word: str,
        wider: Callable[[RequestsLike], int] | None = None,
    ) -> None:
        super().__init__(propose, wider)
        self.about, self.word = about, word
        self.grid = Grid(steps.DRAFT, ASKING, id="grid")
        self.finishes = Pane(id="finishes")
        self.finishes.can_focus = self.finishes.finds_errors = False
        """Where more services stand than there is room for, Tab leads there."""
        self.pane = Pane(id="detail")
        self.pane.wrapped, self.pane.hang, self.pane.finds_errors = True, steps.LABEL, False

    def body(self) -> ComposeResult:
        yield self.grid
        yield self.finishes
        yield self.pane

    def on_mount(self) -> None:
        self.grid.focus()
        self._ask(self.propose)

    def _ask(self, propose: Callable[[RequestsLike], int]) -> None:
        self.proposed = self.draft = None
        self.changes, self.trouble, self.is_wanted = Changes(), "", False
        self.grid.empty = ASKING
        self.grid.show(Rows())
        self._explain()
        self.paint_frame()
        Asking(self.board, self, "plan", propose, self._proposed, self.failed)

    def failed(self, words: str) -> None:
        self.trouble = words
        self.grid.empty = f"no plan: {words}"
        self.grid.show(Rows())
        self.paint_frame()

    def _proposed(self, answer: AnswerLike) -> None:
        if not answer.ok:
            self.failed(answer.error)
            return
        self.take(answer)
        self.change(Changes())
        if self.is_wanted and self.is_current:
            self.action_act("start")
        self.is_wanted = False

    def unsaved(self) -> str:
        return "" if self.changes == Changes() else "the changes to this plan"

    # changing

    def change(self, changes: Changes) -> None:
        """Shows the plan as it then is; what cannot be is refused with the reason, and nothing has changed."""
        if self.proposed is None:
            return
        try:
            self.draft = shape(self.proposed, changes)
        except PlanRefused as error:
            if self.draft is None:
                self.failed(str(error))
            else:
                self.notice(str(error), "warn")
            return
        self.changes = changes
        self._show()

    def _show(self) -> None:
        if self.draft is not None:
            self.grid.empty = "no step: nothing is left to send"
            self.grid.set_columns(steps.draft_columns(self.draft))
            self.grid.show(Rows(steps.draft_rows(self.draft, self._out, self.look)))
            self._explain()
            self.paint_frame()

    @property
    def _out(self) -> list[Step]:
        found = self.proposed.steps if self.proposed else ()
        return [step for step in found if step.place in self.changes.leave_out]

    @property
    def _place(self) -> int:
        """Of the step under the cursor, as it was proposed; 0 without one."""
        found = self.proposed.steps if self.proposed else ()
        return next((step.place for step in found if steps.key_of(step) == self.grid.key), 0)

    @property
    def here(self) -> Step | None:
        """The step under the cursor as it would be sent; None on one that is left out."""
        found = self.draft.steps if self.draft else ()
        return next((step for step in found if steps.key_of(step) == self.grid.key), None)

    def _explain(self) -> None:
        out = next((step for step in self._out if step.place == self._place), None)
        step = self.here or (replace(out, saves=()) if out else None)
        self.pane.show_runs(steps.draft_detail(step, self.draft, self.look) if step and self.draft else [])

        self._foresee()

    def _foresee(self) -> None:
        """When each service would be there, by each way: also by the other ways of the step under the cursor."""
        found = outlook(self.proposed, self.changes, self._place) if self.proposed and self.draft else None
        lines = finish_lines(found, self.look, self.size.width - 1) if found else []
        room = 1 + (MOST_ROWS if self.size.height < TALL else TALL_ROWS)
        self.finishes.styles.height = min(len(lines), room)
        self.finishes.can_focus = len(lines) > room
        self.finishes.show_runs(lines)

    def on_resize(self, event: events.Resize) -> None:
        self._foresee()

    @on(Grid.Moved)
    def moved(self) -> None:
        self._explain()
        self.paint_foot()

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        left: list[Run] = [(" PLAN ", "key"), (self.about, "strong")]
        if self.draft is None:
            return [*left, (f"  {'no plan' if self.trouble else 'asking…'}", "warn")], []
        wide = "everything, " if self.is_wide else ""
        since: Run = (f"as of {self.look.clock.hms(self.drawn)} ", "warn" if self.is_old else "dim")
        told = f"  {wide}{steps.draft_title(self.draft)} "
        return left, [(told, "plain"), since, (" not sent ", "mark"), (" ", "plain")]

    # acts

    def why_not_leave_out(self) -> str:
        return "" if self._place else "no step is under the cursor"

    def do_leave_out(self) -> None:
        out = self.changes.leave_out ^ {self._place}
        self.change(replace(self.changes, leave_out=frozenset(out)))

    def why_not_move_up(self) -> str:
        return "" if self.here else "no step is under the cursor"

    def why_not_move_down(self) -> str:
        return self.why_not_move_up()

    def do_move_up(self) -> None:
        self._move(-1)

    def do_move_down(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        if self.draft is None or self.proposed is None or self.here is None:
            return
        places = {steps.key_of(step): step.place for step in self.proposed.steps}
        order = [places[steps.key_of(step)] for step in self.draft.steps]
        index = self.here.place - 1
        if not 0 <= index + by < len(order):
            self.notice(f"it is the {'first' if by < 0 else 'last'} step already", "warn")
            return
        order[index], order[index + by] = order[index + by], order[index]
        self.change(replace(self.changes, order=tuple(order)))

    def why_not_wait(self) -> str:
        return self.why_not_move_up()

    def do_wait(self) -> None:
        from console.tui.screens.ask import AskScreen, a_duration

        place, step = self._place, self.here
        if step is None:
            return

        def answered(text: str | None) -> None:
            if text is not None:
                seconds = parse_duration(text).total_seconds()
                self.change(replace(self.changes, waits={**self.changes.waits, place: seconds}))

        says = f"how long to wait before {step.job}, once what it waits for is good (0s: not at all)"
        self.board.push_screen(AskScreen(f"WAIT before step {step.place}", says, "5m", a_duration), answered)

    def why_not_alternative(self) -> str:
        if self.here is None:
            return "no step is under the cursor"
        return "" if self.here.alternatives else f"there is no other way for {self.here.job}"

    def do_alternative(self) -> None:
        from console.tui.screens.pick import Choice, PickScreen

        place, step = self._place, self.here
        if step is None:
            return

        def answered(name: Any) -> None:
            if isinstance(name, str):
                ways = {key: way for key, way in self.changes.alternatives.items() if key != place}
                self.change(replace(self.changes, alternatives={**ways, place: name} if name else ways))

        choices = [Choice("", "as proposed", "", "")]
        choices += [Choice("", name, ALTERNATIVE_WORDS.get(name, ""), name) for name in step.alternatives]
        self.board.push_screen(PickScreen(f"another way for {step.job}", choices), answered)

    def why_not_everything(self) -> str:
        if self.wider is None:
            return "this plan is about what was marked"
        return "" if self.draft or self.trouble else "the plan is not here yet"

    def do_everything(self) -> None:
        """Proposed anew: what a person changed in the other proposal would be gone with it, so it is asked first."""
        self.board.unless_lost([self], self._propose_other)

    def _propose_other(self) -> None:
        self.is_wide = not self.is_wide
        self._ask(self.wider if self.is_wide and self.wider else self.propose)

    def why_not_start(self) -> str:
        if self.draft is None:
            return f"no plan: {self.trouble}" if self.trouble else ""
        if self.board.header is not None and self.board.header.frozen:
            return f"nothing is sent: {self.board.header.frozen}; {self.key_for('freeze')} thaws"
        return steps.why_not_start(self.draft, self.look, self.wider is not None and not self.is_wide)

    def do_start(self) -> None:
        from console.tui.screens.begin import BeginScreen

        def begun(number: int | None) -> None:
            if number is not None:
                self.board.pop_screen()
                if isinstance(self.board.screen, BaseScreen):
                    self.board.screen.clear_marks()
                self.board.open_plan(number)

        if self.draft is None:
            self.want()
        else:
            self.board.push_screen(BeginScreen(self, self.draft), begun)

    def do_focus_next(self) -> None:
        self.focus_next()

    def name_here(self) -> str:
        return self.here.job if self.here else ""

    def record_here(self) -> Any:
        return steps.as_shown(self.draft) if self.draft else None

    def run_here(self) -> RunChoice | str:
        step = self.here
        if step is None or step.run_id is None:
            return "it has no run yet" if step else "no step is under the cursor"
        return RunChoice(step.run_id, step.job)
