"""Actions that wait for another user's approval: the list, and the details of each before it is approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from connectors.sdk.states import Verb
from console.engine.api.requests import ApproveAction
from console.tui.dialogs.confirm import Confirmation, SendScreen
from console.tui.dialogs.palette import PaletteChoice, PickScreen
from console.tui.frame import cells
from console.tui.frame.console_app import EngineAnswer
from console.tui.frame.engine_request import PendingRequest, send_order
from console.tui.frame.intent import ActionIntent, verb_label
from console.tui.frame.screen import HeadwayScreen
from console.tui.widgets.table import Column

if TYPE_CHECKING:
    from console.store.queries.audit import ApprovalView

APPROVAL_COLUMNS = (Column("", 1, 1), Column("", 40, 1, flex=1), Column("", 20, 1, flex=1))


def list_approvals(screen: HeadwayScreen) -> None:
    waiting = {approval.key: approval for approval in screen.board.approvals}
    choices = []
    for key, approval in waiting.items():
        says = f"{approval.requested_by}: {approval.why or 'no reason given'}"
        choices.append(PaletteChoice("", f"{verb_label(approval.verb)} {approval.job}", says, key))

    def chosen(key: Any) -> None:
        if key in waiting:
            open_approval(screen, waiting[key])

    screen.board.push_screen(PickScreen("waits for approval", choices, columns=APPROVAL_COLUMNS), chosen)


def open_approval(screen: HeadwayScreen, approval: ApprovalView) -> None:
    def answered(yes: bool | None) -> None:
        if yes:
            about = f"{verb_label(approval.verb)} {approval.job}"
            order, done = f"approve {about}", f"approved: {about} is checked again and sent"
            request = ApproveAction(approval.key, approval.digest)
            send_order(screen, "approve", lambda requests: requests.ask(request), order, done, "not approved")

    screen.board.push_screen(SendScreen(ApprovalConfirmation(approval)), answered)


class ApprovalConfirmation(Confirmation):
    """The dialog returns True if the user approves."""

    SEND: ClassVar[str] = "Approve"
    DOES: ClassVar[str] = "approve"
    HANG: ClassVar[int] = cells.LABEL_WIDTH

    def __init__(self, approval: ApprovalView) -> None:
        self.approval = approval

    @property
    def about(self) -> tuple[str, str]:
        return "APPROVE", f"{verb_label(self.approval.verb)} {self.approval.job}"

    @property
    def must_type(self) -> bool:
        return False

    def begin(self) -> None:
        """Without a stored preview the scheduler is queried for one first."""
        self._show()
        if self.approval.text:
            self._offer()
        else:
            self.box.say("asking its scheduler for a preview…")
            approval = self.approval
            intent = ActionIntent(Verb(approval.verb), approval.job, approval.run_id, approval.job_id,
                                  parameters=approval.parameters)  # fmt: skip
            PendingRequest(
                self.box, "preview", lambda requests: requests.preview(intent.request()), self._previewed, self._failed
            )

    def _previewed(self, answer: EngineAnswer) -> None:
        if answer.ok:
            self.approval = self.approval.previewed(answer.data)
            self.box.say("")
            self._show()
            self._offer()
        else:
            self._failed(answer.error)

    def _failed(self, text: str) -> None:
        self.box.say(f"not known: {text}")
        self._offer()

    def _offer(self) -> None:
        self.box.offer_sending("the engine checks it again and sends")

    def _show(self) -> None:
        ctx, approval = self.box.ctx, self.approval
        clock, now = ctx.clock, ctx.now
        terms = approval.terms.facts(lambda at: clock.hm(at, now), now)
        rows = [*approval.details, ("requested", clock.hms(approval.requested)), *terms]
        self.box.pane.show_runs(cells.labelled_lines([(label, text, "plain") for label, text in rows]))

    def may_send(self) -> bool:
        self.box.dismiss(True)
        return False
