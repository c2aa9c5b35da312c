"""The scheduler's own backfills of a job that are under way: one is chosen, and what is done to it is shown first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.words import Verb
from console.tui.order import Order
from console.tui.ports import AnswerLike
from console.tui.screens.preview import BACK, PreviewScreen
from console.tui.widgets.paint import Run

NONE = "no backfill of its scheduler's own is under way"
MORE = "headway backfill JOB --from DATE --to DATE --native makes one"


class BackfillsScreen(PreviewScreen):
    """Only looks; what is chosen opens the preview of that one change."""

    def __init__(self, job: str, job_id: int) -> None:
        super().__init__(Order(Verb.BACKFILL, job, job_id=job_id, parameters={"do": "list", "of": "job"}))

    @property
    def about(self) -> tuple[str, str]:
        return "BACKFILLS", self.order.job

    @property
    def asking(self) -> str:
        return "asking its scheduler for its backfills…"

    def may_send(self) -> bool:
        return False

    def _failed(self, words: str) -> None:
        self.pane.show_runs([[("no list: ", "bad"), (words, "plain")]])

    def _previewed(self, answer: AnswerLike) -> None:
        if not answer.ok or answer.data.get("verb") != "list":
            self._failed(answer.error or str(answer.data.get("refused") or "it has no list of its backfills"))
            return
        found = answer.data.get("backfills", ())
        self.pane.show_runs([_line(one) for one in found] or [[(NONE, "plain")], [(MORE, "dim")]])
        self.offer([BACK, *(way for one in found for way in _ways(one))])

    def _decide(self, key: Any) -> None:
        do, _, number = str(key).partition(" ")
        if not number:
            super()._decide(key)
            return
        board, order = self.board, self.order._replace(parameters={"do": do, "backfill": int(number)})
        self.dismiss(None)
        board.open_order(order)


def _line(one: Mapping[str, Any]) -> list[Run]:
    stands: Run = ("paused", "warn") if one["paused"] else ("going on", "plain")
    span = f"{one['first'][:10]} to {one['last'][:10]}, {one['at_once']} at once"
    made = f", made {one['made'][:16].replace('T', ' ')}Z" if one["made"] else ""
    return [(f"{one['number']}  ", "strong"), stands, (f"  {span}{made}", "plain")]


def _ways(one: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    number = one["number"]
    first = "resume" if one["paused"] else "pause"
    yield f"{first} {number}", f"{first.capitalize()} {number}", "shown first; nothing is sent yet"
    yield f"cancel {number}", f"Cancel {number}", "its queued runs are failed; shown first"
