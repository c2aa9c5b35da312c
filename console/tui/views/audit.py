"""Audit: every action with its author, time, reason and outcome; and whether the chain is intact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from console.store.queries.reader import Queries
from console.text.cleaning import clean_line
from console.tui.dialogs.overlay import TextScreen
from console.tui.frame.cells import RenderContext, SegmentLines, counted
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.resource_thread import ResourceThread
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.lists import ViewList
from console.tui.views.preview import PreviewBelow, PreviewSource
from console.tui.views.runs.preview import runs_source
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, cells_row

if TYPE_CHECKING:
    from console.store.audit import ChainVerdict
    from console.store.queries.audit import AuditRow


AUDIT_COLUMNS = (
    Column("row", 5, 4, right=True),
    Column("at", 9, 1),
    Column("who", 9, 1, flex=1, most=18),
    Column("did", 14, 1, flex=1, most=24),
    Column("to", 22, 1, flex=3, most=46, middle=True),
    Column("outcome", 16, 1, flex=4),
    Column("from", 12, 5),
)
_FAILURE_PREFIXES = ("refuse", "failed", "lost sight")
LABEL_CELLS = 12


def outcome_text(row: AuditRow) -> str:
    return str(row.detail.get("refused") or row.detail.get("text") or row.why or "")


def is_failure(row: AuditRow) -> bool:
    return row.verb.startswith(_FAILURE_PREFIXES) or "refused" in row.detail


def audit_row(row: AuditRow, ctx: RenderContext) -> TableRow:
    style = "warn" if is_failure(row) else "plain"
    return cells_row(
        row.seq,
        (str(row.seq), "dim"),
        (ctx.day(row.at), "dim"),
        (row.actor, "dim" if row.actor == "headway" else "strong"),
        (row.verb, style),
        (row.object, "plain"),
        (outcome_text(row), style if style == "warn" else "dim"),
        (row.origin, "dim"),
    )


def audit_text(row: AuditRow) -> str:
    detail = json.dumps(row.detail, ensure_ascii=False, default=str)
    return f"{row.actor} {row.verb} {row.object} {row.why} {detail} by:{row.actor} from:{row.origin} to:{row.object}"


def audit_lines(row: AuditRow, at: str) -> list[str]:
    fields = [("by", row.actor), ("at", at), ("from", row.origin), ("did", row.verb),
            ("to", row.object), ("why", row.why), ("row", str(row.seq)), ("hash", row.hash)]  # fmt: skip
    return [*(f"{label:<{LABEL_CELLS}}{text}" for label, text in fields if text), "", *_detail(row.detail)]


def verdict_segments(verdict: ChainVerdict | None, rows: int, key: str = "v") -> list[Segment]:
    if verdict is None:
        return [(f"  chain not verified ({rows:,} rows): {key}", "dim")] if rows else []
    if verdict.bad is not None:
        return [(f"  BROKEN at row {verdict.bad}: {verdict.text}", "bad")]
    if verdict.missing_triggers:
        return [("  chain intact, but no longer append-only: headway audit verify", "bad")]
    if verdict.foreign_objects:
        return [("  chain intact, but the store is not Headway's alone: headway audit verify", "bad")]
    return [("  chain intact", "ok")]


def verdict_text(verdict: ChainVerdict, rows: int) -> Segment:
    [(text, style)] = verdict_segments(verdict, rows)
    return f"{counted(rows, 'row')} verified:{text.removeprefix(' ')}", "warn" if style == "bad" else "plain"


def _detail(detail: dict[str, Any]) -> Iterable[str]:
    for name, value in detail.items():
        if value in ("", [], {}, None):
            continue
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            label = "" if number else clean_line(name).replace("_", " ")
            yield f"{label:<{LABEL_CELLS}}{text}" if len(label) < LABEL_CELLS else f"{label}  {text}"


SHOWN = 1_000
AT_ONCE = 5_000
"""Rows that are verified automatically: hashing more takes a while."""


class AuditScreen(HeadwayScreen):
    WHERE = "audit"

    def __init__(self) -> None:
        super().__init__()
        self.verdict: ChainVerdict | None = None
        self.total = 0
        self._hashing: ResourceThread[Queries] | None = None
        """Hashing a long chain takes minutes, so it has a thread of its own."""
        self.list = ViewList(
            self,
            AUDIT_COLUMNS,
            lambda: "no audit rows yet",
            row=lambda row: audit_row(row, self.ctx),
            text=audit_text,
            key=lambda row: row.seq,
            is_problem=is_failure,
        )
        self.preview = PreviewBelow(self, self._preview_source, self.list.grid)
        self.list.painted = self.preview.moved
        self.parts = (self.list, self.preview)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            ScreenCommand("open", self.open_row, self.list.why_not_open),
            ScreenCommand("verify", self.verify),
        ]

    def on_unmount(self) -> None:
        if self._hashing is not None:
            self._hashing.leave()

    def _preview_source(self) -> PreviewSource | None:
        row: AuditRow | None = self.list.selected
        if row is None:
            return runs_source() if self.list.is_empty else None

        def lines(row: AuditRow, ctx: RenderContext, width: int, height: int) -> SegmentLines:
            title: list[Segment] = [(" AUDIT ", "key"), (f"row {row.seq}", "strong")]
            return [title, *([(f" {line}", "plain")] for line in audit_lines(row, ctx.stamp(row.at)))]

        return PreviewSource(("audit", row.seq), lambda reads: row, lines)

    def fetch(self) -> None:
        self.ask("audit", lambda reads: reads.audit.list_entries(limit=SHOWN), self._show)

    def _show(self, rows: Sequence[AuditRow]) -> None:
        newest = rows[-1].seq if rows else 0
        grown, self.total = newest != self.total, newest
        self.list.show_views(tuple(reversed(rows)))
        if grown and newest <= AT_ONCE:
            self._verify(self._show_verdict)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        count = len(self.list.views)
        shown = f" {count}" if self.total <= count else f" the latest {count:,} of {self.total:,}"
        title: list[Segment] = [(" AUDIT", "key"), (shown, "strong")]
        verdict = verdict_segments(self.verdict, self.total, self.key_for("verify"))
        return [*title, *verdict], self.list.title_marks()

    def verify(self) -> None:
        def answered(verdict: ChainVerdict) -> None:
            self._show_verdict(verdict)
            self.notice(*verdict_text(verdict, self.total))

        self.notice("verifying every row…")
        self._verify(answered)

    def _verify(self, then: Callable[[ChainVerdict], None]) -> None:
        self._hashing = self._hashing or self.board.query_thread.beside("audit", self.board.deliver)
        self.ask("verify", lambda reads: reads.audit.verify_audit(politely=True), then, query_thread=self._hashing)

    def _show_verdict(self, verdict: ChainVerdict) -> None:
        self.verdict = verdict
        self.paint_frame()

    def selected_name(self) -> str:
        return str(self.list.selected.object) if self.list.selected else ""

    def why_no_job(self) -> str:
        return f"an audit row is not a job: {self.key_for('copy')} copies its name, {self.key_for('jump')} goes there"

    def open_row(self) -> None:
        row: AuditRow = self.list.selected
        text = "\n".join(audit_lines(row, self.ctx.clock.full(row.at)))
        self.board.push_screen(TextScreen(f"audit, row {row.seq}: {row.verb}", text, text))
