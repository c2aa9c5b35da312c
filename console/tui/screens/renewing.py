"""A proposed plan that is worked out anew while it is looked at, and right before it starts.

What starts by its own clock meanwhile, or what became good, makes it another plan, which nobody has said yes to. One
that a person has changed waits for its start: what he did to it is not taken from him before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from console.model.plans import Draft
from console.model.shaping import MOVED_ON, VALID_SECONDS, Changes, alike
from console.tui.asking import Asking
from console.tui.ports import AnswerLike, RequestsLike
from console.tui.screens.base import BaseScreen

MOST_RENEWED = 50
"""Steps; what is longer is worked out anew only before it starts."""
STAYS = ("back", "leave", "suspend")
"""What a person can do while the box is awaited that opens once the plan is here: letters that were meant for it run no
commands."""


class RenewedDraft(BaseScreen):
    """`propose` puts the question to the engine, `wider` a wider one."""

    def __init__(
        self, propose: Callable[[RequestsLike], int], wider: Callable[[RequestsLike], int] | None = None
    ) -> None:
        super().__init__()
        self.propose, self.wider = propose, wider
        self.is_wide = False
        self.proposed: Draft | None = None
        self.draft: Draft | None = None
        """As a person wants it."""
        self.changes = Changes()
        self.trouble = ""
        self.is_wanted = False
        """Whether a person wants to start it as soon as it is here."""
        self.drawn: datetime | None = None
        """When it was worked out, by the estate's clock."""
        self._asked_at = self._drawn_at = 0.0  # time.monotonic()

    @property
    def is_asking(self) -> bool:
        return self.draft is None and not self.trouble

    def why_not(self, name: str) -> str:
        if self.is_wanted and self.is_asking and name not in STAYS:
            return f"still asking: the box opens once the plan is here; {self.key_for('back')} gives it up"
        return super().why_not(name)

    def want(self) -> None:
        """What starts it comes once it is here."""
        self.is_wanted = True
        self.paint_frame()
        self.action_act("start")  # which says so

    def change(self, changes: Changes) -> None:
        """Shows the plan as it then is."""
        raise NotImplementedError

    def failed(self, words: str) -> None:
        """Shows that there is none, and why."""
        raise NotImplementedError

    def take(self, answer: AnswerLike) -> None:
        self.proposed, self.drawn, self._drawn_at = Draft.read(answer.data), self.look.now, time.monotonic()

    @property
    def is_old(self) -> bool:
        return self.draft is not None and time.monotonic() > self._drawn_at + VALID_SECONDS

    def tick(self) -> None:
        super().tick()
        as_proposed = self.draft is not None and self.changes == Changes() and len(self.draft.steps) <= MOST_RENEWED
        was_asked = time.monotonic() <= self._asked_at + VALID_SECONDS
        if self.is_old and as_proposed and self.is_current and not was_asked:
            self.renew(self.told)

    def renew(self, then: Callable[[str], None]) -> None:
        """`then` gets why it is another plan now, or why nobody knows; empty where it is the same."""
        self._asked_at = time.monotonic()
        propose = self.wider if self.is_wide and self.wider else self.propose
        Asking(self.board, self, "plan anew", propose, lambda answer: then(self._renewed(answer)), then)

    def _renewed(self, answer: AnswerLike) -> str:
        if not answer.ok:
            self.proposed = self.draft = None
            self.failed(answer.error)
            return answer.error
        before, changed = self.proposed, self.changes != Changes()
        self.take(answer)
        if self.proposed is not None and before is not None and alike(before, self.proposed):
            self.change(self.changes)
            return ""
        self.change(Changes())
        return f"{MOVED_ON}; your changes to the one before are gone" if changed else MOVED_ON

    def told(self, words: str) -> None:
        """Says why it is another plan now, where it is."""
        if words:
            self.notice(words, "warn")
