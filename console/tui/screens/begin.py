"""Starting a plan: all that it sends in one box that stands on "Back"; handed over once, under one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from console.model.carried import PlanView
from console.model.plans import Draft
from console.tui import steps
from console.tui.cells import counted
from console.tui.ports import RequestsLike
from console.tui.screens.sending import SendScreen

if TYPE_CHECKING:
    from console.tui.screens.draft import DraftScreen


class BeginScreen(SendScreen[int]):
    """Gives back the number of the plan that goes on; None where nothing was started."""

    SEND: ClassVar[str] = "Start the plan"

    def __init__(self, proposal: DraftScreen, draft: Draft) -> None:
        super().__init__()
        self.proposal, self.draft, self.word = proposal, draft, proposal.word
        self.unsafe = steps.unsafe(draft)
        self.renewing = False
        """True while it is worked out anew: a second Enter asks for nothing."""
        self.pane.hang = 4

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
        self.pane.show_runs(self._lines())
        self.offer_sending(f"{counted(len(self.draft.steps), 'step')}, each once those before it are good")

    def _lines(self) -> steps.Lines:
        found: steps.Lines = []
        if self.unsafe:
            found.append([(f"{counted(len(self.unsafe), 'step')} not declared safe", "warn")])
        if self.draft.first_tier:
            found.append([(f"tier 1 hangs on it: {', '.join(self.draft.first_tier)}", "warn")])
        found += steps.start_lines(self.draft, self.look)
        pause, abort = self.look.key("recovery", "pause"), self.look.key("recovery", "abort")
        how = f"{pause} pauses it, {abort} gives it up"
        return [*found, [], [(f"It stops at the first step that fails; {how}.", "dim")]]

    def send(self) -> None:
        """What was worked out a while ago is worked out anew first: where it is another plan, nobody said yes to it."""
        if self.sent or self.renewing:
            return
        if not self.proposal.is_old:
            super().send()
            return
        self.renewing = True
        self.say("works out once more whether it is still the same plan…")
        self.proposal.renew(self._renewed)

    def _renewed(self, words: str) -> None:
        self.renewing = False
        if not self.is_attached:
            self.proposal.told(words)
            return
        if words or self.proposal.draft is None:
            self.proposal.notice(f"{words}; nothing was started", "warn")
            self.dismiss(None)
            return
        self.draft = self.proposal.draft
        super().send()

    def put(self, requests: RequestsLike) -> int:
        return requests.start_plan(self.draft, self.key, self.why)

    def gone(self, answer: Any) -> None:
        self.dismiss(int(answer))

    def refused(self, words: str) -> None:
        """Where one goes on for this incident already, it is offered instead."""
        self.pane.show_runs([[("not started: ", "bad"), (words, "plain")], [], *self._lines()])
        self.offer([("back", "Back", "nothing was started")])
        incident = self.draft.incident_id
        if incident is not None:
            self.board.ask_for(self, "plans", lambda reads: reads.plans(incident, ended=False), self._others)

    def _others(self, plans: Sequence[PlanView]) -> None:
        if plans:
            shown = f"plan {plans[0].id} of {plans[0].requested_by}, {plans[0].state}"
            self.offer([("back", "Back", "nothing was started"), (f"plan {plans[0].id}", "Show that plan", shown)])

    def _decide(self, key: Any) -> None:
        if isinstance(key, str) and key.startswith("plan "):
            self.dismiss(int(key.removeprefix("plan ")))
        else:
            super()._decide(key)
