"""The preview of one action: the calls to its scheduler; then its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.sdk.states import STARTING, Verb
from console.domain.action import IN_FLIGHT_STATES, ActionView
from console.domain.conf import parse_conf, split_conf
from console.domain.incident import step_refusal
from console.domain.job import Safety
from console.engine.api.requests import WithdrawAction
from console.tui.dialogs.ask import AskScreen
from console.tui.dialogs.confirm import Confirmation
from console.tui.frame.cells import LABEL_WIDTH, SegmentLines, labelled_lines
from console.tui.frame.console_app import EngineAnswer, EngineRequests
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import REVERSIBLE, ActionIntent, verb_label
from console.tui.views.actions import preview_lines

CONF_CHOICE = ("conf", "With a conf", "parameters as NAME=VALUE words or JSON; shown again before it is sent")
BACK_CHOICE = ("back", "Back", "nothing is sent")


class ActionConfirmation(Confirmation):
    """Requests the preview, lets the user decide, sends once, and shows the result."""

    HANG = LABEL_WIDTH

    def __init__(self, order: ActionIntent) -> None:
        self.order = order
        self.preview: dict[str, Any] | None = None
        self.overlap: str | None = None
        self.watched: tuple[ActionView, ...] = ()
        self.typed_conf = ""
        self.waits = False
        """Whether the sent action waits before it reaches the scheduler."""

    @property
    def about(self) -> tuple[str, str]:
        return verb_label(self.order.verb).upper(), self.order.job

    @property
    def names(self) -> tuple[str, ...]:
        job = self.order.job
        return (str((self.preview or {}).get("confirm", job)), job, job.partition("/")[2] or job)

    @property
    def must_type(self) -> bool:
        """True unless its owner declared it safe, or it overlaps a run; never for a hold."""
        if self.order.verb in REVERSIBLE:
            return False
        safety = (self.preview or {}).get("safety", Safety.ASK)
        return str(safety) != Safety.SAFE or (self._overlaps and self.overlap != "queue")

    @property
    def _overlaps(self) -> bool:
        return self.order.verb in STARTING and bool((self.preview or {}).get("overlap"))

    def may_send(self) -> bool:
        return self.preview is not None and not step_refusal(self.preview, Verb(self.order.verb))

    def begin(self) -> None:
        text = f"asking the engine for a preview: {verb_label(self.order.verb)}…"
        self.box.ask_preview(self.order, text, self._previewed, self._failed)

    def _failed(self, text: str) -> None:
        self.box.pane.show_runs([[("no preview: ", "bad"), (text, "plain")], [("nothing was sent", "dim")]])

    def _previewed(self, answer: EngineAnswer) -> None:
        if not answer.ok:
            self._failed(answer.error)
            return
        self.preview = answer.data
        self.box.pane.show_runs(self._lines(answer.data))
        refused = step_refusal(answer.data, self.order.verb)
        if self.box.board.header is not None and self.box.board.header.frozen:
            self.box.offer([("back", "Back", "nothing can be sent while all is frozen")])
        elif refused:
            again = [CONF_CHOICE] if self._takes_conf and self.typed_conf else []
            self.box.offer([("back", "Back", "nothing can be sent: " + refused), *again])
        elif self._overlaps:
            self._offer_ways(
                ("queue", "Send when it ends", "sent once when the current run has ended"),
                ("allow", "Send concurrently", "two runs at once; type the name first"),
            )
        elif self.order.builds_on:
            self._offer_ways(("anyway", "Mark OK anyway", "its upstream is not good"))
        elif self._takes_conf:
            self._offer_ways(("anyway", self.SEND, "type the name first" if self.must_type else ""))
        else:
            self.box.offer_sending(self.box.ctx.localized(str(answer.data.get("summary", ""))))

    def _offer_ways(self, *ways: tuple[str, str, str]) -> None:
        self.box.offer([BACK_CHOICE, *ways, *([CONF_CHOICE] if self._takes_conf else [])])
        self.box.paint_title(f"{self.box.key_name('down')} {self.box.key_name('enter')} chooses ")

    @property
    def _takes_conf(self) -> bool:
        return "conf" in (self.preview or {}).get("takes", ())

    def _with_conf(self, text: str | None) -> None:
        if text is None or self.box.sent:
            return
        self.typed_conf, conf = text, parse_conf(split_conf(text))
        parameters = {name: value for name, value in self.order.parameters.items() if name != "conf"}
        self.order = self.order._replace(parameters=parameters | ({"conf": conf} if conf else {}))
        self.preview, self.overlap = None, None
        self.box.offer([BACK_CHOICE])
        self.begin()

    def _lines(self, preview: Mapping[str, Any]) -> SegmentLines:
        why = self.box.why or self.order.why
        lines = labelled_lines([("why", why, "plain")])
        warned: SegmentLines = [[(self.order.builds_on, "bad")], []] if self.order.builds_on else []
        return [*warned, *preview_lines.preview_lines(preview, self.box.ctx, self.order.verb), *lines]

    def decides(self, key: Any) -> bool:
        if key == "withdraw":
            order = f"withdraw {self.box.order}"
            PendingRequest(
                self.box,
                "withdraw",
                lambda requests: requests.ask(WithdrawAction(self.box.key)),
                self._withdrawn,
                self.box.say,
                order,
            )
            return True
        if key == "conf":
            says = "parameters: NAME=VALUE words or a JSON object, no secret; empty removes them"
            dialog = AskScreen(f"START {self.order.job} with a conf", says, self.typed_conf, _conf_fault, "conf")
            self.box.board.push_screen(dialog, self._with_conf)
            return True
        if key not in ("queue", "allow", "anyway"):
            return False
        self.overlap = key if key != "anyway" else None
        if self.box.must_type:
            self.box.offer_sending("")
        else:
            self.box.send()
        return True

    def check(self, requests: EngineRequests) -> None:
        if not self.order.why:
            requests.check([self.order.request()])

    def put(self, requests: EngineRequests) -> None:
        requests.act(self.order.request(self.preview, self.box.why, self.overlap), self.box.key)

    def gone(self, answer: Any) -> None:
        self.fetch()

    def refused(self, reason: str) -> None:
        """Shows the reason above the preview, or the action of another user in progress."""
        super().refused(reason)
        if self.preview is not None:
            self.box.pane.show_runs([[("not sent: ", "bad"), (reason, "plain")], [], *self._lines(self.preview)])
        self.fetch()

    # watching

    def fetch(self) -> None:
        if self.box.sent:
            run_id = self.order.run_id
            self.box.ask("actions", lambda reads: reads.actions.list_actions(run_id=run_id), self._watch)

    def _watch(self, actions: Sequence[ActionView]) -> None:
        if not self.box.is_attached:
            return
        self.watched = tuple(actions)
        own = next((action for action in actions if action.key == self.box.key), None)
        about = (action for action in actions if self.order.run_id is not None or action.job_id == self.order.job_id)
        running = (action for action in about if action.state in IN_FLIGHT_STATES)
        waits = own is not None and own.state == "requested" and bool(own.text)
        if waits != self.waits:
            self.waits = waits
            back = ("back", "Back", "the sent action continues without this dialog")
            self.box.offer([back, ("withdraw", "Withdraw", "it has not been sent yet")] if waits else [back])
        latest = own or max(running, key=lambda action: action.requested, default=None)
        if self.preview is not None and (latest is not None or not self.box.message):
            self.box.pane.show_runs(
                preview_lines.result_lines(latest, self.preview, self.box.ctx, mine=own is not None)
            )

    def _withdrawn(self, answer: EngineAnswer) -> None:
        self.box.say("" if answer.ok else f"not withdrawn: {answer.error}")
        self.fetch()


def _conf_fault(text: str) -> str:
    try:
        parse_conf(split_conf(text))
    except ValueError as error:
        return str(error)
    return ""
