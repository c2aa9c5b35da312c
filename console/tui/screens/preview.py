"""Preview of one verb: what it would send, in the scheduler's own words; then what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.words import STARTING, Verb
from console.model.conf import read_conf, words_of
from console.model.steps import ON_ITS_WAY, refusal
from console.model.views import ActionView
from console.model.words import Safety
from console.tui import chrome, shown
from console.tui.asking import Asking
from console.tui.order import REVERSIBLE, Order, verb_word
from console.tui.ports import AnswerLike, RequestsLike
from console.tui.screens.sending import SendScreen

CONF = ("conf", "With a conf", "what is given along: NAME=VALUE words, or JSON; shown again before it is sent")
BACK = ("back", "Back", "nothing is sent")


class PreviewScreen(SendScreen[None]):
    """Asks for the preview, lets a person decide, sends once, and watches the result."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order
        self.preview: dict[str, Any] | None = None
        self.overlap: str | None = None
        """What a person chose where it runs now: "queue" or "allow"."""
        self.watched: tuple[ActionView, ...] = ()
        self.typed_conf = ""
        """As it was typed."""
        self.waits = False
        """Whether what was asked for waits before it is sent."""
        self.pane.hang = shown.LABEL

    @property
    def about(self) -> tuple[str, str]:
        return verb_word(self.order.verb).upper(), self.order.job

    @property
    def asking(self) -> str:
        return f"asking the engine what this would send: {verb_word(self.order.verb)}…"

    @property
    def names(self) -> tuple[str, ...]:
        job = self.order.job
        return (str((self.preview or {}).get("confirm", job)), job, job.partition("/")[2] or job)

    @property
    def must_type(self) -> bool:
        """True where its owner did not declare it safe, or it is to run beside what runs; never for a hold."""
        if self.order.verb in REVERSIBLE:
            return False
        safety = (self.preview or {}).get("safety", Safety.ASK)
        return str(safety) != Safety.SAFE or (self._overlaps and self.overlap != "queue")

    @property
    def _overlaps(self) -> bool:
        return self.order.verb in STARTING and bool((self.preview or {}).get("overlap"))

    def may_send(self) -> bool:
        return self.preview is not None and not refusal(self.preview, Verb(self.order.verb))

    def begin(self) -> None:
        header = self.board.header
        if header is not None and not header.engine.alive:  # nobody would answer
            self._failed(chrome.banner(header, "", self.look).strip())
            return
        self.pane.show_runs([[(self.asking, "dim")]])
        Asking(self.board, self, "preview", self._ask, self._previewed, self._failed)

    def _ask(self, requests: RequestsLike) -> int:
        return requests.preview(self.order.wish())

    def _failed(self, words: str) -> None:
        self.pane.show_runs([[("no preview: ", "bad"), (words, "plain")], [("nothing was sent", "dim")]])

    def _previewed(self, answer: AnswerLike) -> None:
        if not answer.ok:
            self._failed(answer.error)
            return
        self.preview = answer.data
        self.pane.show_runs(self._told(answer.data))
        refused = refusal(answer.data, self.order.verb)
        if self.board.header is not None and self.board.header.frozen:
            self.offer([("back", "Back", "nothing can be sent while all is frozen")])
        elif refused:
            again = [CONF] if self._takes_conf and self.typed_conf else []
            self.offer([("back", "Back", "nothing can be sent: " + refused), *again])
        elif self._overlaps:
            self._offer_ways(
                ("queue", "Wait for its turn", "sent once when what runs now has ended"),
                ("allow", "Send beside it", "it runs twice at once; its name is typed first"),
            )
        elif self.order.builds_on:
            self._offer_ways(("anyway", "Done all the same", "what it builds on is not good"))
        elif self._takes_conf:
            self._offer_ways(("anyway", self.SEND, "its name is typed first" if self.must_type else ""))
        else:
            self.offer_sending(str(answer.data.get("words", "")))

    def _offer_ways(self, *ways: tuple[str, str, str]) -> None:
        self.offer([BACK, *ways, *([CONF] if self._takes_conf else [])])
        self.paint_title(f"{self._key('down')} {self._key('enter')} chooses ")

    @property
    def _takes_conf(self) -> bool:
        return "conf" in (self.preview or {}).get("takes", ())

    def _ask_conf(self) -> None:
        """What is given along with the start; then the engine is asked anew what it would send."""
        from console.tui.screens.ask import AskScreen

        says = "what is given along: NAME=VALUE words or a JSON object, no secret; empty takes it away"
        box = AskScreen(f"START {self.order.job} with a conf", says, self.typed_conf, _conf_fault)
        self.board.push_screen(box, self._with_conf)

    def _with_conf(self, text: str | None) -> None:
        if text is None or self.sent:
            return
        self.typed_conf, conf = text, read_conf(words_of(text))
        others = {name: value for name, value in self.order.parameters.items() if name != "conf"}
        self.order = self.order._replace(parameters=others | ({"conf": conf} if conf else {}))
        self.preview, self.overlap = None, None
        self.offer([BACK])
        self.begin()

    def _told(self, preview: Mapping[str, Any]) -> shown.Lines:
        """What would be sent, and the reason that a person has typed for it by then."""
        why = self.why or self.order.why
        said: shown.Lines = [[("  why      ", "dim"), (why, "plain")]] if why else []
        warned: shown.Lines = [[(self.order.builds_on, "bad")], []] if self.order.builds_on else []
        return [*warned, *shown.lines(preview, self.look, self.order.verb), *said]

    def _decide(self, key: Any) -> None:
        if key == "withdraw":
            order = f"take back {self._order}"
            Asking(self.board, self, "withdraw", lambda asks: asks.withdraw(self.key), self._withdrawn, self.say, order)
            return
        if key == "conf":
            self._ask_conf()
            return
        if key not in ("queue", "allow", "anyway"):
            super()._decide(key)
            return
        self.overlap = key if key != "anyway" else None
        if self.must_type:
            self.offer_sending("")
        else:
            self.send()

    def put(self, requests: RequestsLike) -> None:
        requests.act(self.order.wish(self.preview, self.why, self.overlap), self.key)

    def gone(self, answer: Any) -> None:
        self.fetch()

    def refused(self, words: str) -> None:
        """Why it was not taken, above what would have been sent; or what somebody else has under way for it."""
        super().refused(words)
        if self.preview is not None:
            self.pane.show_runs([[("not sent: ", "bad"), (words, "plain")], [], *self._told(self.preview)])
        self.fetch()

    # watching

    def fetch(self) -> None:
        """What became of it; called again whenever the store has changed."""
        if self.sent:
            run_id = self.order.run_id
            self.board.ask_for(
                self, "actions", lambda reads: reads.actions(run_id=run_id), self._watch, self.board.store_failed
            )

    def _watch(self, actions: Sequence[ActionView]) -> None:
        if not self.is_attached:
            return
        self.watched = tuple(actions)
        own = next((action for action in actions if action.key == self.key), None)
        about = (one for one in actions if self.order.run_id is not None or one.job_id == self.order.job_id)
        others = (one for one in about if one.state in ON_ITS_WAY)
        self._offer_withdrawal(own is not None and own.state == "requested" and bool(own.words))
        latest = own or max(others, key=lambda action: action.requested, default=None)
        if self.preview is not None and (latest is not None or not self.said):
            self.pane.show_runs(shown.result(latest, self.preview, self.look, mine=own is not None))

    def _offer_withdrawal(self, waits: bool) -> None:
        """What waits before it is sent can be taken back; offered when it begins to wait, and until it does not."""
        if waits != self.waits:
            self.waits = waits
            back = ("back", "Back", "what was sent goes on without this box")
            self.offer([back, ("withdraw", "Take it back", "it has not been sent yet")] if waits else [back])

    def _withdrawn(self, answer: AnswerLike) -> None:
        self.say("" if answer.ok else f"not taken back: {answer.error}")
        self.fetch()

    def tick(self) -> None:
        """A second has passed; the age of each step moves."""
        super().tick()
        self.fetch()


def _conf_fault(text: str) -> str:
    """Why the text is no conf; empty when it is one, or is empty."""
    try:
        read_conf(words_of(text))
    except ValueError as error:
        return str(error)
    return ""
