"""What waits for another person's approval: a list; of each all that is known of it before a person says yes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from connectors.words import Verb
from console.tui import chrome, steps
from console.tui.asking import Asking, give
from console.tui.order import Order, verb_word
from console.tui.ports import AnswerLike, RequestsLike
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
            approve_one(screen, waiting[key])

    screen.board.push_screen(PickScreen("waits for approval", choices, columns=WAITING), chosen)


def approve_one(screen: BaseScreen, one: ApprovalView) -> None:
    """Shows all that is known of it, and asks."""
    screen.board.push_screen(ApproveScreen(one), lambda yes: _put(screen, one, yes))


class ApproveScreen(SendScreen[bool]):
    """Gives back True where a person approves it."""

    SEND: ClassVar[str] = "Approve it"
    DOES: ClassVar[str] = "approves it"

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
        """Where what it would send is not known yet, its scheduler is asked before a person may say yes."""
        self._show()
        if self.one.words:
            self._offer()
        else:
            self.say("asking its scheduler what it would be sent…")
            Asking(self.board, self, "preview", self._ask, self._previewed, self._failed)

    def _ask(self, requests: RequestsLike) -> int:
        one = self.one
        return requests.preview(
            Order(Verb(one.verb), one.job, one.run_id, one.job_id, parameters=one.parameters).wish()
        )

    def _previewed(self, answer: AnswerLike) -> None:
        if answer.ok:
            self.one = self.one.previewed(answer.data)
            self.say("")
            self._show()
            self._offer()
        else:
            self._failed(answer.error)

    def _failed(self, words: str) -> None:
        self.say(f"not known: {words}")
        self._offer()

    def _offer(self) -> None:
        self.offer_sending("the engine looks at it once more and sends it")

    def _show(self) -> None:
        clock, one, now = self.look.clock, self.one, self.look.now
        ends = (
            f", in {span(one.until - now)}; later it must be asked anew"
            if one.until > now
            else ": it must be asked anew"
        )
        rows = [*one.told, ("asked at", clock.hms(one.requested)), ("until", clock.hm(one.until, now) + ends)]
        self.pane.show_runs(steps.labelled([(label, text, "plain") for label, text in rows]))

    def send(self) -> None:
        if not chrome.is_small(self.app.size):
            self.dismiss(True)


def _put(screen: BaseScreen, one: ApprovalView, yes: bool | None) -> None:
    if yes:
        about = f"{verb_word(one.verb)} {one.job}"
        done = f"approved: {about} is looked at once more and sent"
        give(screen, "approve", lambda asks: asks.approve(one.key), f"approve {about}", done, "not approved")
