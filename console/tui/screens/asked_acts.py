"""What can be done with an action that was asked for: on the list, and on the one that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.model.views.asked import AskedView
from console.tui.asking import give
from console.tui.order import verb_word
from console.tui.screens.base import BaseScreen, RunChoice

if TYPE_CHECKING:
    from console.tui.screens.frame import FrameScreen


class AskedActs(BaseScreen):
    """`asked_here`: the action that the keys are about."""

    @property
    def asked_here(self) -> AskedView | None:
        raise NotImplementedError

    def name_here(self) -> str:
        return self.asked_here.key if self.asked_here else ""

    def job_here(self) -> str | int:
        return self.asked_here.job_id if self.asked_here else ""

    def run_here(self) -> RunChoice | str:
        one = self.asked_here
        if one is None:
            return "nothing is selected"
        run_id = one.proof.run_id if one.proof else one.run_id
        if run_id is None:
            return f"{verb_word(one.verb)} is about the job: {self.key_for('lineage')} shows what hangs on it"
        return RunChoice(run_id, one.job, one.incident_id)

    def why_not_withdraw(self) -> str:
        return self.asked_here.why_not_withdrawn if self.asked_here else "nothing is selected"

    def do_withdraw(self) -> None:
        if self.asked_here:
            withdraw(self, self.asked_here)

    def why_not_approve(self) -> str:
        one = self.asked_here
        if one is None:
            return "nothing is selected"
        if not one.waits_for_approval:
            return f"approved by {one.approved_by} already" if one.approved_by else "it waits for no approval"
        if all(one.key != each.key for each in self.board.approvals):
            return "its plan was given up: there is nothing to approve"
        return ""

    def do_approve(self) -> None:
        from console.tui.screens.approve import approve_one

        one = self.asked_here
        if one is not None:
            approve_one(self, next(each for each in self.board.approvals if each.key == one.key))


def withdraw(screen: FrameScreen, one: AskedView) -> None:
    """Takes back what was not sent, gives up what nobody can tell of; asks why first."""
    from console.tui.screens.ask import AskScreen

    about = f"{verb_word(one.verb)} {one.job}"
    says = "it was not sent and will not be. Why? It stands in the audit"
    if one.state == "unknown":
        says = "it MAY have arrived: asked for again, its job may run twice. Look at its scheduler first. Then: why?"

    def put(why: str | None) -> None:
        if why is not None:
            done = f"taken back: {about}" if one.state == "requested" else f"given up: {about}"
            order = f"take back {about}"
            give(screen, "withdraw", lambda asks: asks.withdraw(one.key, why), order, done, "not taken back")

    title = f"TAKE BACK {about}" if one.state == "requested" else f"GIVE UP {about}"
    screen.board.push_screen(AskScreen(title, says), put)
