"""A proposed recovery plan: every step in order, editable, started only by the user.

It is recomputed by the engine with each edit, while it is open, when its start is confirmed and right before it starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult

from connectors.sdk.states import Verb
from console.domain.plan import WAIT, DraftStep, PlanDraft, PlanView, StepKey
from console.domain.plan_change import PLAN_CHANGED, UNCHANGED, VALID_SECONDS, PlanChange, is_same_plan
from console.domain.switches import format_freeze
from console.tui.dialogs.confirm import Confirmation, SendScreen
from console.tui.frame import cells
from console.tui.frame.cells import counted
from console.tui.frame.console_app import EngineAnswer, EngineRequests, Propose
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
            lines.append([(f"{counted(len(self.unsafe), 'step')} not declared safe to rerun", "warn")])
        if self.draft.first_tier:
            titles = {service.name: service.title for service in self.proposal.board.services}
            affected = ", ".join(titles.get(name) or name for name in self.draft.first_tier)
            lines.append([(f"affects tier 1: {affected}", "warn")])
        if self.is_detailed:
            lines += rows.start_lines(self.draft, self.box.ctx)
        else:
            lines = [*rows.summary_lines(self.draft, self.box.ctx), *lines]
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
    """`propose` sends the request for a plan without the steps that the user leaves out. `word`, its short name, is
    typed if a step is not declared safe or it affects tier 1."""

    WHERE = "plan"
    DEFAULT_CSS = """
    DraftScreen #grid { height: 3fr; }
    DraftScreen #finishes { height: 0; }
    """
    HORIZONTAL_BREAKPOINTS = PREVIEW_BREAKPOINTS

    def __init__(self, propose: Propose, about: str, confirm_name: str) -> None:
        super().__init__()
        self.propose = propose
        self.draft: PlanDraft | None = None
        self.left_out: Mapping[StepKey, DraftStep] = {}
        """Steps that the user leaves out of the draft, or of the one that is awaited."""
        self._left_out_of_draft: Mapping[StepKey, DraftStep] = {}
        self._edit: PendingRequest | None = None
        self.marked_change = UNCHANGED
        """Steps marked as new, changed or removed since the last proposal that differed."""
        self.problem = ""
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
        return [
            *common_commands(self),
            ScreenCommand("start", self.start, self._why_not_start),
            ScreenCommand("leave_out", self.leave_out, lambda: "" if self.selected else "no step is under the cursor"),
        ]

    @property
    def is_awaited(self) -> bool:
        """True until the engine has answered with the draft that the user wants."""
        return self._edit is not None or (self.draft is None and not self.problem)

    def why_not(self, name: str) -> str:
        if self.is_wanted and self.is_awaited and name not in KEEPS_TEXT:
            return f"still asking: the dialog opens once the plan is here; {self.key_for('back')} abandons it"
        return super().why_not(name)

    def take(self, answer: EngineAnswer, left_out: Mapping[StepKey, DraftStep]) -> None:
        self.draft, self._left_out_of_draft = PlanDraft.read(answer.data), left_out
        self.drawn, self._drawn_at = self.ctx.now, time.monotonic()
        self._show()

    @property
    def is_old(self) -> bool:
        """True after `VALID_SECONDS` of real time, or of the console's clock: a replay's clock is faster."""
        if self.draft is None or self.drawn is None:
            return False
        is_past = self.ctx.now > self.drawn + timedelta(seconds=VALID_SECONDS)
        return is_past or time.monotonic() > self._drawn_at + VALID_SECONDS

    def tick(self) -> None:
        super().tick()
        is_pending = self.is_awaited or time.monotonic() <= self._asked_at + VALID_SECONDS
        is_short = self.draft is not None and len(self.draft.steps) <= MAX_RECOMPUTED
        if self.is_old and is_short and self.is_current and not is_pending:
            self.renew(self.show_change)

    def renew(self, then: Callable[[str], None]) -> None:
        """`then` gets the reason why the plan has changed or is unknown; empty if it is the same."""
        self._asked_at, left_out = time.monotonic(), self.left_out

        def renewed(answer: EngineAnswer) -> None:
            if left_out is self.left_out:  # else the answer to a later edit replaces it
                then(self._renewed(answer, left_out))

        self._request("plan again", left_out, renewed, then)

    def _request(
        self,
        name: str,
        left_out: Mapping[StepKey, DraftStep],
        then: Callable[[EngineAnswer], None],
        failed: Callable[[str], None],
    ) -> PendingRequest:
        return PendingRequest(self, name, lambda requests: self.propose(requests, left_out.keys()), then, failed)

    def _renewed(self, answer: EngineAnswer, left_out: Mapping[StepKey, DraftStep]) -> str:
        before = self.draft
        if not answer.ok:
            self.draft = None
            self.failed(answer.error)
            return answer.error
        self.take(answer, left_out)
        if before is None or self.draft is None or is_same_plan(before, self.draft):
            return ""
        self.marked_change = PlanChange.between(before, self.draft)
        self._show()
        return PLAN_CHANGED

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
        self._explain()
        self._request("plan", self.left_out, self._proposed, self.failed)

    def failed(self, reason: str) -> None:
        self.problem = reason
        self.grid.empty = f"no plan: {reason}"
        self.grid.show(FixedRows())
        self.paint_frame()

    def _proposed(self, answer: EngineAnswer) -> None:
        if not answer.ok:
            self.failed(answer.error)
            return
        self.take(answer, self.left_out)
        self.fetch()
        self._start_if_wanted()

    def _start_if_wanted(self) -> None:
        if self.is_wanted and self.is_current:
            self.run_command("start")
        self.is_wanted = False

    def unsaved(self) -> str:
        return "the changes to this plan" if self.left_out else ""

    # leaving steps out

    def leave_out(self) -> None:
        """Requests the plan without the step under the cursor, or with it again. Until the answer the draft stays."""
        step = self.selected
        if step is None:
            return
        if self._edit is not None:
            self._edit.stop()
        remaining = {key: known for key, known in self.left_out.items() if key != step.key}
        self.left_out = remaining if step.key in self.left_out else {**remaining, step.key: step}
        left_out = self.left_out

        def answered(answer: EngineAnswer) -> None:
            if not answer.ok:
                refused(answer.error)
                return
            self._edit = None
            self.take(answer, left_out)
            self._start_if_wanted()

        def refused(reason: str) -> None:
            self._edit, self.left_out, self.is_wanted = None, self._left_out_of_draft, False
            self.notice(f"the plan is as it was: {reason}", "bad")
            self.paint_frame()

        self._edit = self._request("plan edit", left_out, answered, refused)
        self.paint_frame()

    def _show(self) -> None:
        if self.draft is not None:
            self.grid.empty = "no step: nothing is left to send"
            self.grid.set_columns(rows.draft_columns(self.draft))
            self.grid.show(FixedRows(rows.draft_rows(self.draft, self._excluded, self.ctx, self.marked_change)))
            self._explain()
            self.paint_frame()

    @property
    def _excluded(self) -> list[DraftStep]:
        return list(self._left_out_of_draft.values())

    @property
    def selected(self) -> DraftStep | None:
        """The step under the cursor, also one that is left out."""
        steps = (*(self.draft.steps if self.draft else ()), *self._excluded)
        return next((step for step in steps if step.key == self.grid.key), None)

    def _explain(self) -> None:
        step, draft = self.selected, self.draft
        if step and step.key in self._left_out_of_draft:
            step = replace(step, saves=())
        self.pane.show_runs(rows.draft_detail(step, draft, self.ctx, self.marked_change) if step and draft else [])
        self._show_finishes()

    def _show_finishes(self) -> None:
        lines = finish_lines(self.draft.days, self.ctx, list_width(self.size.width) - 1) if self.draft else []
        room = 1 + (MAX_ROWS if self.size.height < TALL else TALL_ROWS)
        self.finishes.styles.height = min(len(lines), room)
        self.finishes.can_focus = len(lines) > room
        self.finishes.show_runs(lines)

    def on_resize(self, event: events.Resize) -> None:
        self._show_finishes()

    def moved(self) -> None:
        self._explain()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        title: list[Segment] = [(" PLAN ", "key"), (self.about, "strong")]
        if self.draft is None:
            return [*title, (f"  {'no plan' if self.problem else 'asking…'}", "warn")], []
        if self._edit is not None:
            return [*title, ("  recomputing…", "warn")], [(" not sent ", "mark"), (" ", "plain")]
        since: Segment = (f"as of {self.ctx.clock.hms(self.drawn)} ", "warn" if self.is_old else "dim")
        changed = [(" changed ", "warn")] if self.marked_change != UNCHANGED else []
        after = [since, *changed, (" not sent ", "mark"), (" ", "plain")]
        room = self.size.width - length_of([*title, *after]) - len("  ") - 1
        return title, [(f"  {rows.draft_title(self.draft, self._excluded, self.ctx, room)} ", "plain"), *after]

    def _why_not_start(self) -> str:
        if self.draft is None:
            return f"no plan: {self.problem}" if self.problem else ""
        if self.board.header is not None and (frozen := self.board.header.frozen) is not None:
            return f"nothing is sent: {format_freeze(frozen, self.ctx.zoned)}; {self.key_for('freeze')} thaws"
        return rows.why_not_start(self.draft, self.ctx)

    def start(self) -> None:
        """Confirms and starts the plan, as soon as it has arrived."""

        def started(number: int | None) -> None:
            if number is not None:
                self.board.pop_screen()
                if isinstance(self.board.screen, HeadwayScreen):
                    self.board.screen.clear_marks()
                self.navigation.open_plan(number)

        if self.is_awaited:
            self.is_wanted = True
            self.paint_frame()
            self.run_command("start")  # which says so
        elif self.draft is not None:
            self.board.push_screen(SendScreen(PlanConfirmation(self, self.draft)), started)

    def selected_name(self) -> str:
        return self.selected.job if self.selected else ""

    def selected_record(self) -> Any:
        return self.draft.displayed if self.draft else None

    def selected_run(self) -> RunChoice | str:
        step = self.selected
        if step is None or step.run_id is None:
            return "it has no run yet" if step else "no step is under the cursor"
        return RunChoice(step.run_id, step.job)
