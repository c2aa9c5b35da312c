"""A proposed recovery plan: every step in order, editable, started only by the user.

It is recomputed while it is open, when its start is confirmed and right before it starts. An edited plan is recomputed
only from the confirmation on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult

from connectors.sdk.states import Verb
from console.domain.plan import ALTERNATIVE_TEXT, WAIT, DraftStep, PlanDraft, PlanRefused, PlanView
from console.domain.plan_editing import (
    PLAN_CHANGED,
    UNCHANGED,
    VALID_SECONDS,
    DraftChanges,
    PlanChange,
    apply_changes,
    is_same_plan,
    plan_outlook,
    step_key,
)
from console.timing.durations import parse_duration
from console.tui.dialogs.ask import AskScreen, duration_fault
from console.tui.dialogs.confirm import Confirmation, SendScreen
from console.tui.dialogs.palette import PaletteChoice, PickScreen
from console.tui.frame import cells
from console.tui.frame.cells import counted
from console.tui.frame.console_app import EngineAnswer, EngineRequests, Put
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import ActionIntent, RunChoice, ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.details import SelectionPane
from console.tui.views.incidents.path import PathBelow
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.plans import rows
from console.tui.views.plans.rows import MAX_ROWS, TALL, TALL_ROWS, finish_lines
from console.tui.views.preview import PREVIEW_BREAKPOINTS, list_width
from console.tui.widgets.bar import CoveredContainer
from console.tui.widgets.grid import Grid
from console.tui.widgets.paint import Segment, length_of
from console.tui.widgets.pane import Pane
from console.tui.widgets.table import FixedRows


class PlanConfirmation(Confirmation):
    """The dialog returns the number of the plan in progress; None if nothing was started."""

    SEND: ClassVar[str] = "Start the plan"
    HANG: ClassVar[int] = 4

    def __init__(self, proposal: DraftScreen, draft: PlanDraft) -> None:
        self.proposal, self.draft, self.word = proposal, draft, proposal.word
        self.unsafe = rows.unsafe_steps(draft)
        self.renewing = False
        """True while it is recomputed: a second Enter does nothing."""
        self.is_renewed = self.is_detailed = False
        self.changed: cells.SegmentLines = []
        """Differences from the plan that was shown before."""

    has_details = True

    def toggle_details(self) -> None:
        self.is_detailed = not self.is_detailed
        self.box.pane.show_runs(self._lines())
        self.box.pane.scroll_to(y=0, animate=False)

    @property
    def about(self) -> tuple[str, str]:
        return f"START {self.word}", self.draft.title

    @property
    def must_type(self) -> bool:
        return bool(self.unsafe or self.draft.first_tier)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.word,)

    def begin(self) -> None:
        self.box.pane.show_runs(self._lines())
        if self.proposal.is_old:
            self._renew()
        else:
            self._offer()

    def _offer(self) -> None:
        self.box.offer_sending(f"{counted(len(self.draft.steps), 'step')}, each after the ones it waits for")

    def _lines(self) -> cells.SegmentLines:
        lines: cells.SegmentLines = []
        if self.unsafe:
            lines.append([(f"{counted(len(self.unsafe), 'step')} not declared safe", "warn")])
        if self.draft.first_tier:
            titles = {service.name: service.title for service in self.proposal.board.services}
            affected = ", ".join(titles.get(name) or name for name in self.draft.first_tier)
            lines.append([(f"affects tier 1: {affected}", "warn")])
        if self.is_detailed:
            lines += rows.start_lines(self.draft, self.box.ctx)
        elif self.proposal.proposed is not None:
            outlook = plan_outlook(self.proposal.proposed, self.proposal.changes)
            lines = [*rows.summary_lines(self.draft, outlook, self.box.ctx), *lines]
        pause, abort = self.box.ctx.key("recovery", "pause"), self.box.ctx.key("recovery", "abort")
        how = f"{pause} pauses it, {abort} aborts it"
        end: cells.SegmentLines = [[(f"It stops at the first step that fails; {how}.", "dim")]]
        return [*self.changed, *lines, *([[]] if self.is_detailed else []), *end]

    def may_send(self) -> bool:
        """An old plan is recomputed first: if it changed, the confirmation does not apply to it."""
        if self.renewing:
            return False
        is_shown = self.draft is self.proposal.draft and not self.proposal.is_old
        if self.is_renewed or is_shown:
            self.is_renewed = False
            return True
        self._renew()
        return False

    def _renew(self) -> None:
        self.renewing = True
        self.box.say("checking that the plan has not changed…")
        self.proposal.renew(self._renewed)

    def _renewed(self, text: str) -> None:
        self.renewing = False
        if not self.box.is_attached:
            self.proposal.show_change(text)
            return
        shown, draft = self.draft, self.proposal.draft
        if (why := self.proposal.why_not("start")) or draft is None:
            self.proposal.notice(f"{why}; nothing was started", "warn")
            self.box.dismiss(None)
            return
        if text and draft is shown:
            self.box.say(f"{text}; nothing was started")
            return
        is_changed = bool(text) or not is_same_plan(shown, draft)
        if is_changed:
            self.changed = rows.changed_lines(shown, draft, self.proposal.ctx)
        self.draft, self.unsafe = draft, rows.unsafe_steps(draft)
        self.box.pane.show_runs(self._lines())
        if not self.box.is_offered:
            self._offer()
            self.box.say(text)
        elif is_changed:
            self.box.ask_again("the plan has changed, nothing was started: confirm it again")
        else:
            self.is_renewed = True
            self.box.send()

    def check(self, requests: EngineRequests) -> None:
        sent = [step for step in self.draft.steps if step.verb != WAIT]
        requests.check([ActionIntent(Verb(step.verb), step.job, job_id=step.job_id).request() for step in sent])

    def put(self, requests: EngineRequests) -> int:
        return requests.start_plan(self.draft, self.box.key, self.box.why)

    def gone(self, answer: Any) -> None:
        self.box.dismiss(int(answer))

    def refused(self, reason: str) -> None:
        """Offers the plan that is already in progress for this incident."""
        self.box.pane.show_runs([[("not started: ", "bad"), (reason, "plain")], [], *self._lines()])
        self.box.offer([("back", "Back", "nothing was started")])
        incident = self.draft.incident_id
        if incident is not None:
            self.box.ask("plans", lambda reads: reads.plans.list_plans(incident, ended=False), self._others)

    def _others(self, plans: Sequence[PlanView]) -> None:
        if plans:
            shown = f"plan {plans[0].id} of {plans[0].requester}, {plans[0].status}"
            self.box.offer([("back", "Back", "nothing was started"), (f"plan {plans[0].id}", "Show that plan", shown)])

    def decides(self, key: Any) -> bool:
        is_plan = isinstance(key, str) and key.startswith("plan ")
        if is_plan:
            self.box.dismiss(int(key.removeprefix("plan ")))
        return is_plan


MAX_RECOMPUTED = 50
KEEPS_TEXT = ("back", "leave", "suspend")
"""Commands that run while the confirmation is awaited: letters typed for it run no others."""


REQUESTED_TEXT = "asking every scheduler for a preview…"


class DraftScreen(HeadwayScreen):
    """`propose` sends the request for a plan, `wider` one for a plan that includes steps that no affected service
    needs. `word`, its short name, is typed if a step is not declared safe or it affects tier 1."""

    WHERE = "plan"
    DEFAULT_CSS = """
    DraftScreen #grid { height: 3fr; }
    DraftScreen #finishes { height: 0; }
    """
    HORIZONTAL_BREAKPOINTS = PREVIEW_BREAKPOINTS

    def __init__(self, propose: Put, about: str, confirm_name: str, wider: Put | None = None) -> None:
        super().__init__()
        self.propose, self.wider = propose, wider
        self.is_wide = False
        self.proposed: PlanDraft | None = None
        self.draft: PlanDraft | None = None
        """With the user's changes."""
        self.changes = DraftChanges()
        self.marked_change = UNCHANGED
        """Steps marked as new, changed or removed since the last proposal that differed."""
        self.trouble = ""
        self.is_wanted = False
        """Start it as soon as it has arrived."""
        self.drawn: datetime | None = None
        self._asked_at = self._drawn_at = 0.0  # time.monotonic()
        self.about, self.word = about, confirm_name
        self.grid = Grid(rows.DRAFT_COLUMNS, REQUESTED_TEXT, id="grid")
        self.finishes = Pane(id="finishes")
        self.finishes.can_focus = self.finishes.finds_errors = False
        self.pane = SelectionPane()
        self.verdict = VerdictLine(self, lambda reads: self.incident_id, lambda _: "start", loaded=self._show)
        self.path = PathBelow(self, self.grid, lambda: self.incident_id, lambda: self.verdict.view)
        self.parts = (self.verdict, self.path)

    @property
    def zone(self) -> str:
        return self.verdict.view.zone if self.verdict.view is not None else ""

    def commands(self) -> Sequence[ScreenCommand]:
        def no_step() -> str:
            return "" if self.selected else "no step is under the cursor"

        return [
            *common_commands(self),
            ScreenCommand("start", self.start, self._why_not_start),
            ScreenCommand("leave_out", self.leave_out, lambda: "" if self._place else "no step is under the cursor"),
            ScreenCommand("move_up", lambda: self._move(-1), no_step),
            ScreenCommand("move_down", lambda: self._move(1), no_step),
            ScreenCommand("wait", self.set_wait, no_step),
            ScreenCommand("alternative", self.choose_alternative, self._why_no_alternative),
            ScreenCommand("everything", self.toggle_wide, self._why_not_everything),
        ]

    def why_not(self, name: str) -> str:
        if self.is_wanted and (self.draft is None and not self.trouble) and name not in KEEPS_TEXT:
            return f"still asking: the dialog opens once the plan is here; {self.key_for('back')} abandons it"
        return super().why_not(name)

    def take(self, answer: EngineAnswer) -> None:
        self.proposed, self.drawn, self._drawn_at = PlanDraft.read(answer.data), self.ctx.now, time.monotonic()

    @property
    def is_old(self) -> bool:
        """True after `VALID_SECONDS` of real time, or of the console's clock: a replay's clock is faster."""
        if self.draft is None or self.drawn is None:
            return False
        is_past = self.ctx.now > self.drawn + timedelta(seconds=VALID_SECONDS)
        return is_past or time.monotonic() > self._drawn_at + VALID_SECONDS

    def tick(self) -> None:
        super().tick()
        as_proposed = (
            self.draft is not None and self.changes == DraftChanges() and len(self.draft.steps) <= MAX_RECOMPUTED
        )
        is_pending = time.monotonic() <= self._asked_at + VALID_SECONDS
        if self.is_old and as_proposed and self.is_current and not is_pending:
            self.renew(self.show_change)

    def renew(self, then: Callable[[str], None]) -> None:
        """`then` gets the reason why the plan has changed or is unknown; empty if it is the same."""
        self._asked_at = time.monotonic()
        propose = self.wider if self.is_wide and self.wider else self.propose
        PendingRequest(self, "plan again", propose, lambda answer: then(self._renewed(answer)), then)

    def _renewed(self, answer: EngineAnswer) -> str:
        if not answer.ok:
            self.proposed = self.draft = None
            self.failed(answer.error)
            return answer.error
        before, shown, changed = self.proposed, self.draft, self.changes != DraftChanges()
        self.take(answer)
        if self.proposed is not None and before is not None and is_same_plan(before, self.proposed):
            self.change(self.changes)
            return ""
        if shown is not None and self.proposed is not None:
            self.marked_change = PlanChange.between(shown, self.proposed)
        self.change(DraftChanges())
        return f"{PLAN_CHANGED}; your changes to the one before are gone" if changed else PLAN_CHANGED

    def show_change(self, text: str) -> None:
        if text:
            self.notice(text, "warn")

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        with CoveredContainer():
            yield self.grid
            yield self.finishes
            yield from self.path.widgets()
            yield self.pane

    @property
    def incident_id(self) -> int | None:
        return self.draft.incident_id if self.draft is not None else None

    def on_mount(self) -> None:
        self._ask(self.propose)

    def _ask(self, propose: Put) -> None:
        self.proposed = self.draft = None
        self.changes, self.trouble, self.is_wanted = DraftChanges(), "", False
        self.marked_change = UNCHANGED
        self.grid.empty = REQUESTED_TEXT
        self.grid.show(FixedRows())
        self._explain()
        self.paint_frame()
        PendingRequest(self, "plan", propose, self._proposed, self.failed)

    def failed(self, reason: str) -> None:
        self.trouble = reason
        self.grid.empty = f"no plan: {reason}"
        self.grid.show(FixedRows())
        self.paint_frame()

    def _proposed(self, answer: EngineAnswer) -> None:
        if not answer.ok:
            self.failed(answer.error)
            return
        self.take(answer)
        self.change(DraftChanges())
        self.fetch()
        if self.is_wanted and self.is_current:
            self.run_command("start")
        self.is_wanted = False

    def unsaved(self) -> str:
        return "" if self.changes == DraftChanges() else "the changes to this plan"

    # changing

    def change(self, changes: DraftChanges) -> None:
        """Shows the plan with these changes; an impossible change is refused with the reason."""
        if self.proposed is None:
            return
        try:
            self.draft = apply_changes(self.proposed, changes)
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
            self.grid.set_columns(rows.draft_columns(self.draft))
            self.grid.show(FixedRows(rows.draft_rows(self.draft, self._out, self.ctx, self.marked_change)))
            self._explain()
            self.paint_frame()

    @property
    def _out(self) -> list[DraftStep]:
        steps = self.proposed.steps if self.proposed else ()
        return [step for step in steps if step.place in self.changes.leave_out]

    @property
    def _place(self) -> int:
        """Of the step under the cursor, as it was proposed; 0 without one."""
        steps = self.proposed.steps if self.proposed else ()
        return next((step.place for step in steps if step_key(step) == self.grid.key), 0)

    @property
    def selected(self) -> DraftStep | None:
        steps = self.draft.steps if self.draft else ()
        return next((step for step in steps if step_key(step) == self.grid.key), None)

    def _explain(self) -> None:
        out = next((step for step in self._out if step.place == self._place), None)
        step = self.selected or (replace(out, saves=()) if out else None)
        self.pane.show_runs(
            rows.draft_detail(step, self.draft, self.ctx, self.marked_change) if step and self.draft else []
        )

        self._foresee()

    def _foresee(self) -> None:
        """Shows when each service would finish, for each alternative of the step under the cursor too."""
        outlook = plan_outlook(self.proposed, self.changes, self._place) if self.proposed and self.draft else None
        lines = finish_lines(outlook, self.ctx, list_width(self.size.width) - 1) if outlook else []
        room = 1 + (MAX_ROWS if self.size.height < TALL else TALL_ROWS)
        self.finishes.styles.height = min(len(lines), room)
        self.finishes.can_focus = len(lines) > room
        self.finishes.show_runs(lines)

    def on_resize(self, event: events.Resize) -> None:
        self._foresee()

    def moved(self) -> None:
        self._explain()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        title: list[Segment] = [(" PLAN ", "key"), (self.about, "strong")]
        if self.draft is None:
            return [*title, (f"  {'no plan' if self.trouble else 'asking…'}", "warn")], []
        wide = "everything, " if self.is_wide else ""
        since: Segment = (f"as of {self.ctx.clock.hms(self.drawn)} ", "warn" if self.is_old else "dim")
        changed = [(" changed ", "warn")] if self.marked_change != UNCHANGED else []
        after = [since, *changed, (" not sent ", "mark"), (" ", "plain")]
        room = self.size.width - length_of([*title, *after]) - len("  ") - 1
        return title, [(f"  {wide}{rows.draft_title(self.draft, room - len(wide))} ", "plain"), *after]

    # changing the selected step

    def leave_out(self) -> None:
        self.change(replace(self.changes, leave_out=frozenset(self.changes.leave_out ^ {self._place})))

    def _move(self, by: int) -> None:
        if self.draft is None or self.proposed is None or self.selected is None:
            return
        places = {step_key(step): step.place for step in self.proposed.steps}
        order = [places[step_key(step)] for step in self.draft.steps]
        index = self.selected.place - 1
        if not 0 <= index + by < len(order):
            self.notice(f"it is the {'first' if by < 0 else 'last'} step already", "warn")
            return
        order[index], order[index + by] = order[index + by], order[index]
        self.change(replace(self.changes, order=tuple(order)))

    def set_wait(self) -> None:
        place, step = self._place, self.selected
        if step is None:
            return

        def answered(text: str | None) -> None:
            if text is not None:
                seconds = parse_duration(text).total_seconds()
                self.change(replace(self.changes, waits={**self.changes.waits, place: seconds}))

        says = f"how long to wait before {step.job}, once what it waits for is good (0s: not at all)"
        self.board.push_screen(
            AskScreen(f"WAIT before step {step.place}", says, "5m", duration_fault, "duration"), answered
        )

    def _why_no_alternative(self) -> str:
        if self.selected is None:
            return "no step is under the cursor"
        return "" if self.selected.alternatives else f"no alternative for {self.selected.job}"

    def choose_alternative(self) -> None:
        place, step = self._place, self.selected
        if step is None:
            return

        def answered(name: Any) -> None:
            if isinstance(name, str):
                remaining = {key: chosen for key, chosen in self.changes.alternatives.items() if key != place}
                self.change(replace(self.changes, alternatives={**remaining, place: name} if name else remaining))

        choices = [PaletteChoice("", "as proposed", "", "")]
        choices += [PaletteChoice("", name, ALTERNATIVE_TEXT.get(name, ""), name) for name in step.alternatives]
        self.board.push_screen(PickScreen(f"alternative for {step.job}", choices), answered)

    def _why_not_everything(self) -> str:
        if self.wider is None:
            return "this plan is about what was marked"
        return "" if self.draft or self.trouble else "the plan is not here yet"

    def toggle_wide(self) -> None:
        """Proposes again, with or without steps that no affected service needs; asks before changes are lost."""

        def propose_other() -> None:
            self.is_wide = not self.is_wide
            self._ask(self.wider if self.is_wide and self.wider else self.propose)

        self.navigation.unless_lost([self], propose_other)

    def _why_not_start(self) -> str:
        if self.draft is None:
            return f"no plan: {self.trouble}" if self.trouble else ""
        if self.is_frozen and self.board.header is not None:
            return f"nothing is sent: {self.ctx.localized(self.board.header.frozen)}; {self.key_for('freeze')} thaws"
        return rows.why_not_start(self.draft, self.ctx, self.wider is not None and not self.is_wide)

    def start(self) -> None:
        """Confirms and starts the plan, as soon as it has arrived."""

        def started(number: int | None) -> None:
            if number is not None:
                self.board.pop_screen()
                if isinstance(self.board.screen, HeadwayScreen):
                    self.board.screen.clear_marks()
                self.navigation.open_plan(number)

        if self.draft is None:
            self.is_wanted = True
            self.paint_frame()
            self.run_command("start")  # which says so
        else:
            self.board.push_screen(SendScreen(PlanConfirmation(self, self.draft)), started)

    def selected_name(self) -> str:
        return self.selected.job if self.selected else ""

    def selected_record(self) -> Any:
        return rows.shown_order(self.draft) if self.draft else None

    def selected_run(self) -> RunChoice | str:
        step = self.selected
        if step is None or step.run_id is None:
            return "it has no run yet" if step else "no step is under the cursor"
        return RunChoice(step.run_id, step.job)
