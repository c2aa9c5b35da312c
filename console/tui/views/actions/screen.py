"""Actions: requests to schedulers with requester, reason and outcome; one action with its calls, history and proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from console.domain.action import ActionDetailView, ActionHistoryEntry
from console.domain.hold import HoldView
from console.tui.dialogs.approve import open_approval
from console.tui.dialogs.ask import AskScreen
from console.tui.frame.engine_request import send_order
from console.tui.frame.history import ViewPlace
from console.tui.frame.intent import RunChoice, ScreenCommand, verb_label
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.views.actions import rows
from console.tui.views.common_commands import common_commands
from console.tui.views.details import DetailText
from console.tui.views.lists import ViewList
from console.tui.widgets.paint import Segment

if TYPE_CHECKING:
    from console.store.queries import Queries

ActionsAnswer = tuple[Sequence[ActionDetailView], int, Sequence[HoldView]]


def action_commands(screen: HeadwayScreen, selected: Callable[[], ActionDetailView | None]) -> list[ScreenCommand]:
    def why_not_withdraw() -> str:
        action = selected()
        return action.why_not_withdrawn if action else NOT_SELECTED

    def why_not_approve() -> str:
        action = selected()
        if action is None:
            return NOT_SELECTED
        if not action.waits_for_approval:
            return (
                f"approved by {action.approved_by} already" if action.approved_by else "it does not wait for approval"
            )
        waits = any(approval.key == action.key for approval in screen.board.approvals)
        return "" if waits else "its plan was abandoned: nothing to approve"

    def withdraw() -> None:
        if (action := selected()) is not None:
            withdraw_action(screen, action)

    def approve() -> None:
        action = selected()
        open_approval(
            screen, next(approval for approval in screen.board.approvals if action and approval.key == action.key)
        )

    return [ScreenCommand("withdraw", withdraw, why_not_withdraw), ScreenCommand("approve", approve, why_not_approve)]


def run_of(screen: HeadwayScreen, action: ActionDetailView | None) -> RunChoice | str:
    if action is None:
        return NOT_SELECTED
    run_id = action.proof.run_id if action.proof else action.run_id
    if run_id is None:
        return f"{verb_label(action.verb)} is about the job: {screen.key_for('lineage')} shows its downstream jobs"
    return RunChoice(run_id, action.job, action.incident_id)


def withdraw_action(screen: HeadwayScreen, action: ActionDetailView) -> None:
    """Withdraws an unsent action, or abandons one with an unknown outcome; asks why first."""
    about = f"{verb_label(action.verb)} {action.job}"
    says = "it was not sent and will not be. Reason (recorded in the audit)"
    if action.state == "unknown":
        says = "it MAY have arrived: requested again, its job may run twice. Check its scheduler first. Reason"

    def send(why: str | None) -> None:
        if why is not None:
            done = f"withdrawn: {about}" if action.state == "requested" else f"abandoned: {about}"
            order = f"withdraw {about}"
            send_order(
                screen, "withdraw", lambda requests: requests.withdraw(action.key, why), order, done, "not withdrawn"
            )

    title = f"WITHDRAW {about}" if action.state == "requested" else f"ABANDON {about}"
    screen.board.push_screen(AskScreen(title, says), send)


class ActionsScreen(HeadwayScreen):
    WHERE = "actions"

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.holds: Sequence[HoldView] = ()
        self.list = ViewList(
            self,
            rows.ACTION_COLUMNS,
            lambda: "no action yet: r on a run or an incident previews one",
            row=lambda view: rows.action_row(view, self.ctx),
            text=lambda view: str(view.text),
            key=lambda view: view.key,
            is_problem=lambda view: bool(view.needs_a_person),
        )
        self.parts = (self.list,)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            *self.list.commands(),
            *action_commands(self, lambda: self.selected),
            ScreenCommand("open", lambda: self.board.open_action(self.selected_name()), self.list.why_not_open),
            ScreenCommand("show_holds", lambda: self.board.go("holds")),
            ScreenCommand("show_shadow", lambda: self.board.go("shadow")),
        ]

    def fetch(self) -> None:
        def read(reads: Queries) -> ActionsAnswer:
            return reads.actions.list_details(), reads.actions.count(), reads.holds.list_holds()

        self.ask("actions", read, self._show)

    def _show(self, answer: ActionsAnswer) -> None:
        views, self.total, self.holds = answer
        self.list.show_views(views)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        title = rows.action_title(self.list.views, self.total)
        if self.holds:
            until = self.ctx.day(min(hold.until for hold in self.holds))
            title += [(f"  {len(self.holds)} held", "warn"), (f" · the earliest expires {until} (h)", "dim")]
        return title, self.list.title_marks()

    def selected_name(self) -> str:
        return self.selected.key if self.selected else ""

    def selected_job(self) -> str | int:
        return self.selected.job_id if self.selected else ""

    def selected_run(self) -> RunChoice | str:
        return run_of(self, self.selected)


class ActionScreen(HeadwayScreen):
    WHERE = "action"

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.view: ActionDetailView | None = None
        self.history: Sequence[ActionHistoryEntry] = ()
        self.parts = (DetailText(lambda: rows.action_lines(self.view, self.history, self.ctx) if self.view else []),)

    def commands(self) -> Sequence[ScreenCommand]:
        common = common_commands(self)
        log = next(command for command in common if command.name == "log")
        return [*common, *action_commands(self, lambda: self.view), log._replace(name="open")]

    @property
    def place(self) -> ViewPlace:
        return "action", self.key

    def fetch(self) -> None:
        self.fetch_subject("action", lambda reads: reads.actions.history_of(self.key), self._show)

    def _show(self, answer: tuple[ActionDetailView, Sequence[ActionHistoryEntry]]) -> None:
        self.view, self.history = answer
        self.tick()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        view = self.view
        if view is None:
            return [(f" ACTION {self.key}", "key"), (f"  {self.waiting}", "warn")], []
        mark, label, style = self.ctx.mark("action", view.state)
        title = [(" ACTION ", "key"), (f"{verb_label(view.verb)} {view.job}", "strong")]
        return [*title, (f"  {mark} ", style), (label, style)], []

    def selected_name(self) -> str:
        return self.view.key if self.view else ""

    def selected_job(self) -> str | int:
        return self.view.job_id if self.view else ""

    def selected_run(self) -> RunChoice | str:
        return run_of(self, self.view)
