"""What waits for another person's approval: a list; of each all that is known of it before a person says yes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from console.tui import chrome, steps
from console.tui.asking import Asking
from console.tui.order import verb_word
from console.tui.ports import AnswerLike
from console.tui.screens.pick import Choice, PickScreen
from console.tui.screens.sending import SendScreen
from console.tui.when import span
from console.tui.widgets.table import Column

if TYPE_CHECKING:
    from console.store.reads.audit import ApprovalView
    from console.tui.screens.base import BaseScreen

WAITING = (Column("", 1, 1), Column("", 40, 1, flex=1), Column("", 20, 1, flex=1))


def approvals(screen: BaseScreen) -> None:
    """The list; choosing one shows it, and asks."""
    waiting = {one.key: one for one in screen.board.approvals}
    choices = [
        Choice("", f"{verb_word(one.verb)} {one.job}", f"{one.requested_by}: {one.why or 'no reason given'}", key)
        for key, one in waiting.items()
    ]

    def chosen(key: Any) -> None:
        if key in waiting:
            screen.board.push_screen(ApproveScreen(waiting[key]), lambda yes: _put(screen, waiting[key], yes))

    screen.board.push_screen(PickScreen("waits for approval", choices, columns=WAITING), chosen)


class ApproveScreen(SendScreen[bool]):
    """Gives back True where a person approves it."""

    SEND: ClassVar[str] = "Approve it"

    def __init__(self, one: ApprovalView) -> None:
        super().__init__()
        self.one = one
        self.pane.hang = steps.LABEL

    @property
    def about(self) -> tuple[str, str]:
        return "APPROVE", f"{verb_word(self.one.verb)} {self.one.job}"

    @property
    def must_type(self) -> bool:
        return False

    def begin(self) -> None:
        clock, one, now = self.look.clock, self.one, self.look.now
        ends = f"{clock.hm(one.until, now)}, in {span(one.until - now)}; later it must be asked anew"
        rows = [*one.told, ("asked at", clock.hms(one.requested))]
        rows.append(
            ("until", ends if one.until > now else f"{clock.hm(one.until, now)}: too late, it must be asked anew")
        )
        self.pane.show_runs(steps.labelled([(label, text, "plain") for label, text in rows]))
        self.offer_sending("the engine looks at it once more and sends it")

    def send(self) -> None:
        if not chrome.is_small(self.app.size):
            self.dismiss(True)


def _put(screen: BaseScreen, one: ApprovalView, yes: bool | None) -> None:
    def answered(answer: AnswerLike) -> None:
        if answer.ok:
            screen.notice(f"approved: {verb_word(one.verb)} {one.job} is looked at once more and sent", "ok")
        else:
            refused(answer.error)

    def refused(words: str) -> None:
        screen.notice(f"not approved: {words}", "bad")

    if yes:
        Asking(screen.board, screen, "approve", lambda requests: requests.approve(one.key), answered, refused)
