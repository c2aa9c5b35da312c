"""Audit: who did what, when, why and what came back, and whether the chain is whole."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from console.tui import trails
from console.tui.desk import Desk
from console.tui.ports import ReadsLike
from console.tui.screens.lists import ShortListScreen
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Row

if TYPE_CHECKING:
    from console.store.chain import Verdict
    from console.store.reads.audit import AuditRow

SHOWN = 1_000
"""Of all rows, so many of the latest are listed."""
AT_ONCE = 5_000
"""Rows that are verified unasked: hashing more takes a processor for a while."""


class AuditScreen(ShortListScreen):
    WHERE = "audit"
    COLUMNS = trails.AUDIT
    EMPTY = "nothing was done yet"

    found: Verdict | None = None
    total = 0
    _hashing: Desk[ReadsLike] | None = None
    """Hashing a long chain takes minutes: it has a desk of its own, so that nobody waits for it."""

    def on_unmount(self) -> None:
        if self._hashing is not None:
            self._hashing.leave()

    def fetch(self) -> None:
        self.board.ask_for(self, "audit", lambda reads: reads.audit(limit=SHOWN), self._rows)

    def _rows(self, rows: Sequence[AuditRow]) -> None:
        newest = rows[-1].seq if rows else 0
        grown, self.total = newest != self.total, newest
        self.show_views(tuple(reversed(rows)))
        if grown and newest <= AT_ONCE:
            self._verify(self._verified)

    def title_runs(self) -> tuple[Sequence[Run], Sequence[Run]]:
        shown = f" {len(self.views)}" if self.total <= len(self.views) else f" the latest {len(self.views):,}"
        more = f" of {self.total:,}" if self.total > len(self.views) else ""
        left: list[Run] = [(" AUDIT", "key"), (f"{shown}{more}", "strong")]
        return [*left, *trails.verdict_runs(self.found, self.total, self.key_for("verify"))], self.marks()

    def do_verify(self) -> None:
        self.notice("hashing every row anew…")
        self._verify(self._told)

    def _verify(self, then: Callable[[Verdict], None]) -> None:
        self._hashing = self._hashing or self.board.desk.beside("audit", self.board.deliver)
        self.board.ask_for(self, "verify", _whole, then, desk=self._hashing)

    def _told(self, found: Verdict) -> None:
        """A person asked: what came of it is said also where it is what stood there before."""
        self._verified(found)
        self.notice(*trails.verdict_words(found, self.total))

    def _verified(self, found: Verdict) -> None:
        self.found = found
        self.paint_frame()

    def key_of(self, view: AuditRow) -> Hashable:
        return view.seq

    def row_of(self, view: AuditRow) -> Row:
        return trails.audit_row(view, self.look)

    def is_problem(self, view: AuditRow) -> bool:
        return trails.did_not_go_well(view)

    def text_of(self, view: AuditRow) -> str:
        return trails.audit_text(view)

    def name_here(self) -> str:
        return str(self.here.object) if self.here else ""

    def why_not_lineage(self) -> str:
        return (
            f"a row of the audit is no job: {self.key_for('copy')} copies its name, {self.key_for('jump')} goes there"
        )

    def do_open(self) -> None:
        from console.tui.screens.text import TextScreen

        text = trails.audit_record(self.here, self.look)
        self.board.push_screen(TextScreen(f"audit, row {self.here.seq}: {self.here.verb}", text, text))


def _whole(reads: ReadsLike) -> Verdict:
    return reads.verify_audit(politely=True)
